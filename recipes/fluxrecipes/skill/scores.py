"""Scores from sums: gathered day by day, added up in any order, resampled for their uncertainty."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fluxkernels.stats.agreement import Interval, as_intervals
from fluxkernels.stats.probability import crps_of_errors, inside

Floats = npt.NDArray[np.floating[Any]]

LEVELS = (0.68, 0.95)
RESAMPLES = 1000
_SEED = 20180101  # of the resampling: the same sample has the same interval


class Sums(NamedTuple):
    """What a day's points tell of one estimate; weights are areas. Sums of two samples add up.

    Parameters
    ----------
    points : float
        Their number.
    weight, x, y, xx, yy, xy : float
        Sum of weights; weighted sums of estimate, reference, squares and products.
    squared : float
        Of squared errors, summed as such: as a difference of squares it would lose digits.
    logarithm : float
        Of squared errors of the logarithm.
    brier : float
        Of squared errors of the probability.
    certain : float
        Weight of the points with a standard error; of these:
    inside68, inside95, crps, width : float
        Weighted sums of points inside the intervals, of the score, and of the standard error.
    """

    points: float
    weight: float
    x: float
    y: float
    xx: float
    yy: float
    xy: float
    squared: float
    logarithm: float = np.nan
    brier: float = np.nan
    certain: float = 0.0
    inside68: float = 0.0
    inside95: float = 0.0
    crps: float = 0.0
    width: float = 0.0


@dataclass(frozen=True, eq=False)
class Points:
    """An estimate at the points of one sample, arrays of one length.

    Parameters
    ----------
    estimate, reference, weight : float array
    logarithms : (float array, float array), optional
        Of the estimate and of the reference.
    probability, occurred : float array, optional
        Of occurrence, and whether it did.
    error : float array, optional
        Standard error of the estimate.
    """

    estimate: Floats
    reference: Floats
    weight: Floats
    logarithms: tuple[Floats, Floats] | None = None
    probability: Floats | None = None
    occurred: Floats | None = None
    error: Floats | None = None


def sums(p: Points) -> Sums:
    """Sums over the points, which must all be finite."""
    w, x, y = (a.astype(np.float64) for a in (p.weight, p.estimate, p.reference))
    first = (w.sum(), w @ x, w @ y, w @ x**2, w @ y**2, w @ (x * y), w @ (x - y) ** 2)
    more: dict[str, float] = {}
    if p.logarithms is not None:
        more["logarithm"] = float(w @ (p.logarithms[0] - p.logarithms[1]) ** 2)
    if p.probability is not None and p.occurred is not None:
        more["brier"] = float(w @ (p.probability - p.occurred) ** 2)
    if p.error is not None:
        more |= _intervals(x - y, p.error.astype(np.float64), w)
    return Sums(float(w.size), *map(float, first), **more)


def _intervals(error: Floats, spread: Floats, w: Floats) -> dict[str, float]:
    parts = [float(w @ inside(error, spread, level)) for level in LEVELS]
    return {
        "certain": float(w.sum()),
        "inside68": parts[0],
        "inside95": parts[1],
        "crps": float(w @ crps_of_errors(error, spread)),
        "width": float(w @ spread),
    }


@dataclass(frozen=True)
class Score:
    """How good one estimate is on one sample.

    Parameters
    ----------
    variable, cause, method : str
        Of the gap that the sample is of; ``all`` is every cause.
    points, days : int
    rmse : Interval
        In the unit of the variable.
    ratio : Interval
        RMSE over that of the reference method, on the same resampled days.
    bias, correlation : float
    alike : Interval, optional
        RMSE over that of the reference method with the same inputs.
    log_rmse, log_ratio : Interval, optional
        Of the logarithm, in powers of e.
    brier, brier_ratio : Interval, optional
        Mean squared error of the probability of occurrence.
    inside68, inside95, crps, width : float, optional
        Parts of the points inside the intervals; continuous ranked probability score and mean
        standard error, in the unit of the variable.
    """

    variable: str
    cause: str
    method: str
    points: int
    days: int
    rmse: Interval
    ratio: Interval
    bias: float
    correlation: float
    alike: Interval | None = None
    log_rmse: Interval | None = None
    log_ratio: Interval | None = None
    brier: Interval | None = None
    brier_ratio: Interval | None = None
    inside68: float | None = None
    inside95: float | None = None
    crps: float | None = None
    width: float | None = None

    def as_json(self) -> dict[str, Any]:
        """For machines; what was not scored is left out, and what is no number is null."""

        def plain(value: Any) -> Any:
            if isinstance(value, Interval):
                return {name: plain(part) for name, part in value._asdict().items()}
            if isinstance(value, float):
                return round(value, 8) if np.isfinite(value) else None
            return value

        given = {name: getattr(self, name) for name in asdict(self)}
        return {name: plain(value) for name, value in given.items() if value is not None}


Key = tuple[str, str, str]  # variable, cause, method
Gathered = Mapping[Key, Mapping[np.datetime64, Sums]]


def joined(parts: Iterable[Gathered]) -> dict[Key, dict[np.datetime64, Sums]]:
    """Several gatherings of different days as one."""
    whole: dict[Key, dict[np.datetime64, Sums]] = {}
    for part in parts:
        for key, days in part.items():
            whole.setdefault(key, {}).update(days)
    return whole


def scores(
    gathered: Gathered,
    reference: str,
    *,
    alike: Mapping[str, str] = MappingProxyType({}),
    block: int = 10,
) -> list[Score]:
    """Turn sums into scores.

    Parameters
    ----------
    gathered : mapping of (variable, cause, method) to mapping of day to Sums
        Of common samples: all methods at the same points.
    reference : str
        Methods whose name begins so are the ones to beat: of a variable the best of them, by the
        score in question on all gaps, is what others are divided by.
    alike : mapping of str to str, optional
        Of methods, the reference method that has the same inputs.
    block : int, optional
        Days that are resampled together, as neighbouring days are alike.
    """
    made = []
    for variable in dict.fromkeys(key[0] for key in gathered):
        ours = {key: days for key, days in gathered.items() if key[0] == variable}
        to_beat = {name: _best(ours, reference, name) for name in ("squared", *_OPTIONAL)}
        made += [_score(key, ours, to_beat, alike.get(key[2]), block) for key in ours]
    return made


_OPTIONAL = ("logarithm", "brier")


def _best(ours: Gathered, reference: str, name: str) -> str | None:
    """The method to beat: the reference with the least mean of a sum over all its gaps."""
    found = {
        method: _mean(_stacked(days), name)
        for (_, cause, method), days in ours.items()
        if cause == "all" and method.startswith(reference)
    }
    known = {method: value for method, value in found.items() if np.isfinite(value)}
    return min(known, key=lambda method: known[method]) if known else None


def _stacked(days: Mapping[np.datetime64, Sums]) -> Floats:
    return np.array([days[day] for day in sorted(days)])


def _of(table: Floats, name: str) -> Floats:
    return table[..., Sums._fields.index(name)]


def _mean(table: Floats, name: str, over: str = "weight") -> float:
    total = float(_of(table, over).sum())
    return float(_of(table, name).sum()) / total if total > 0 else np.nan


def _score(
    key: Key,
    ours: Gathered,
    to_beat: Mapping[str, str | None],
    same_inputs: str | None,
    block: int,
) -> Score:
    variable, cause, method = key
    table = _stacked(ours[key])
    others = {
        name: None if best is None else _stacked(ours[variable, cause, best])
        for name, best in to_beat.items()
    }
    days = sorted(ours[key])
    draws = _Draws.of(np.array(days, "datetime64[D]"), block)
    rmse, ratio = _resampled(table, others["squared"], "squared", draws, root=True)
    made = Score(
        variable,
        cause,
        method,
        int(_of(table, "points").sum()),
        int((_of(table, "points") > 0).sum()),
        rmse,
        ratio,
        _mean(table, "x") - _mean(table, "y"),
        _correlation(table),
    )
    more: dict[str, Any] = {}
    if same_inputs is not None and (variable, cause, same_inputs) in ours:
        other = _stacked(ours[variable, cause, same_inputs])
        more["alike"] = _resampled(table, other, "squared", draws, root=True)[1]
    if np.isfinite(_mean(table, "logarithm")):
        more["log_rmse"], more["log_ratio"] = _resampled(
            table, others["logarithm"], "logarithm", draws, root=True
        )
    if np.isfinite(_mean(table, "brier")):
        more["brier"], more["brier_ratio"] = _resampled(
            table, others["brier"], "brier", draws, root=False
        )
    if _of(table, "certain").sum() > 0:
        names = ("inside68", "inside95", "crps", "width")
        more |= {name: _mean(table, name, "certain") for name in names}
    return Score(**{**{n: getattr(made, n) for n in Score.__dataclass_fields__}, **more})


def _correlation(table: Floats) -> float:
    x, y = _mean(table, "x"), _mean(table, "y")
    vx, vy = _mean(table, "xx") - x**2, _mean(table, "yy") - y**2
    spread = np.sqrt(max(vx, 0.0) * max(vy, 0.0))
    return (_mean(table, "xy") - x * y) / spread if spread > 0 else np.nan


class _Draws(NamedTuple):
    """How often each day counts in each resample, shape (resample, day), and of how many blocks."""

    counts: Floats
    blocks: int

    @classmethod
    def of(cls, days: npt.NDArray[np.datetime64], block: int) -> _Draws:
        """Whole blocks of days at once."""
        number = ((days - days[0]) / np.timedelta64(block, "D")).astype(int)
        names, of = np.unique(number, return_inverse=True)
        random = np.random.default_rng(_SEED)
        counts = random.multinomial(names.size, np.full(names.size, 1 / names.size), RESAMPLES)
        return cls(counts[:, of].astype(np.float64), names.size)


def _resampled(
    table: Floats, other: Floats | None, name: str, draws: _Draws, *, root: bool
) -> tuple[Interval, Interval]:
    """A mean and its ratio to that of the method to beat."""

    def means(rows: Floats) -> tuple[float, Floats]:
        weight, values = _of(rows, "weight"), _of(rows, name)
        with np.errstate(invalid="ignore", divide="ignore"):
            drawn = (draws.counts @ values) / (draws.counts @ weight)
        shape = np.sqrt if root else np.asarray
        return float(shape(_mean(rows, name))), np.asarray(shape(drawn))

    value, drawn = means(table)
    if other is None:
        return _interval(value, drawn, draws), Interval(np.nan, np.nan, np.nan)
    below, drawn_below = means(other)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = value / below if below > 0 else np.nan
        ratios = drawn / drawn_below
        return _interval(value, drawn, draws), _interval(ratio, ratios, draws)


def _interval(value: float, drawn: Floats, draws: _Draws) -> Interval:
    """Of means, Brier scores and ratios of them: none is below zero."""
    known = drawn[np.isfinite(drawn)]
    if not known.size or not np.isfinite(value):
        return Interval(value, np.nan, np.nan)
    samples = known[:, np.newaxis].astype(np.float64)
    (found,) = as_intervals(np.array([value]), samples, draws.blocks)
    return found._replace(low=max(found.low, 0.0))
