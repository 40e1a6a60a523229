"""Scoring of the retrieval of near-surface air: networks beside what knows one point at a time.

All methods are scored on the same cells of the same passes, against the air of the simulated
world at the time of the pass. Regression, boosting and a plain multilayer perceptron are fitted on
one sample of the training period; the latter two with the very inputs that the networks have at a
point. The oracle is boosting, or a perceptron, on the sea and air as they were, without gaps, noise
and bias: what it misses, no method can find at a point.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fluxengine.errors import ConfigError
from fluxkernels import regression
from fluxkernels.stats.skill import skill
from fluxrecipes import networks
from fluxrecipes import vocabulary as cf
from fluxrecipes.near_surface import clock, from_sea, local_hours, relative_to_sea
from fluxrecipes.skill import fields
from fluxrecipes.skill.closing import Trust, bands, closed, thirds, trust
from fluxrecipes.skill.fields import VARIABLES, Passes, within
from fluxrecipes.skill.network import loaded
from fluxrecipes.skill.protocol import TEST_YEAR, TUNING
from fluxrecipes.skill.settings import Retrieval, Validation
from fluxrecipes.skill.truth import AIR, Simulated
from fluxrecipes.training.archive import Days, Part

Floats = npt.NDArray[np.floating[Any]]
Mask = npt.NDArray[np.bool_]
Fields = Mapping[str, Floats]
Air = tuple[Floats, Floats]  # temperature [K] and humidity [kg kg-1] of points

SST = cf.sea_surface_temperature.name
INPUTS = tuple(quantity.name for quantity in networks.RETRIEVAL.predictors)
BEYOND = (*VARIABLES, SST)  # of the truth: what the oracle is told
BASELINE, ORACLE = "quadratic", "oracle"
OCEAN, SEEN, UNSEEN = PLACES = ("ocean", "other stations", "withheld stations")


class Sample(NamedTuple):
    """Points of some passes.

    Parameters
    ----------
    inputs : float64 array, shape (point, input)
        `INPUTS`, in their units, NaN where there is none; then sine of latitude, sine and cosine
        of longitude.
    perfect : float64 array, shape (point, input)
        `BEYOND` as they were, then the same three.
    air : (float64 array, float64 array), shape (point,)
        True air temperature and humidity.
    day : datetime64[D] array, shape (point,)
    place : int array, shape (point,)
        Which of `PLACES`.
    networks : dict of str to (float64 array, float64 array)
        What each network retrieves there.
    errors : dict of str to (float64 array, float64 array)
        With what standard errors.
    """

    inputs: Floats
    perfect: Floats
    air: Air
    day: Days
    place: npt.NDArray[np.int64]
    networks: dict[str, Air]
    errors: dict[str, Air]

    @property
    def kinds(self) -> dict[str, Mask]:
        """Points by what was filled, latitude and wind."""
        filled = [
            self.inputs[:, INPUTS.index(q.name)] > 0
            for q in (networks.WIND_FILLED, networks.VAPOUR_FILLED)
        ]
        latitude = np.degrees(np.arcsin(np.clip(self.inputs[:, len(INPUTS)], -1.0, 1.0)))
        return {
            "observed": ~(filled[0] | filled[1]),
            "filled": filled[0] | filled[1],
            **bands(latitude),
            **thirds(self.inputs[:, INPUTS.index(VARIABLES[0])], "wind"),
        }

    @property
    def sst(self) -> Floats:
        """As the retrievals are told it, K."""
        return self.inputs[:, INPUTS.index(SST)]


@dataclass(frozen=True)
class RetrievalScore:
    """How good a retrieval is.

    Parameters
    ----------
    variable, method : str
    place, year : str
        Which points: cells drawn of the ocean, or those of moorings that are withheld or not;
        years that may be tuned on, or the one held out.
    points : int
    rmse, bias, correlation : float
    closed : float or None
        Share of the mean square error between regression and oracle.
    """

    variable: str
    method: str
    place: str
    year: str
    points: int
    rmse: float
    bias: float
    correlation: float
    closed: float | None

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {n: getattr(self, n) for n in self.__dataclass_fields__}


@dataclass(frozen=True)
class Judged:
    """What came of scoring the retrieval.

    Parameters
    ----------
    scores : list of RetrievalScore
    trust : dict of (method, variable) to dict of str to Trust
        Standard errors of networks, by kind of point.
    fitted_on : int
        Points.
    """

    scores: list[RetrievalScore]
    trust: dict[tuple[str, str], dict[str, Trust]]
    fitted_on: int

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        errors = [
            {"method": method, "variable": variable, "kind": kind, **_plain(one._asdict())}
            for (method, variable), by_kind in self.trust.items()
            for kind, one in by_kind.items()
        ]
        return {
            "fitted_on": self.fitted_on,
            "scores": [_plain(one.as_json()) for one in self.scores],
            "standard_errors": errors,
        }


def _plain(record: Mapping[str, Any]) -> dict[str, Any]:
    """With null for what is no number."""
    return {n: None if isinstance(v, float) and np.isnan(v) else v for n, v in record.items()}


def judge(asked: Validation) -> Judged:
    """Draw points, fit the baselines, retrieve with all methods, and score them.

    Raises
    ------
    ConfigError
        FF201: no dataset of SST is named, or scikit-learn is asked for and not there.
    """
    of = asked.retrieval
    assert of is not None and asked.truth is not None
    if asked.datasets.sst is None:
        raise ConfigError("it needs sea surface temperature.", where="datasets", mend="Name `sst`.")
    _check_installed(of)
    parts = _Parts.opened(asked)
    fit_days = np.concatenate([within(parts.days, one) for one in asked.fit])
    score_days = np.concatenate([within(parts.days, one)[:: asked.every] for one in asked.score])
    if not (fit_days.size and score_days.size):
        raise ConfigError("no day of `fit`, or none of `score`, was written.", where="store")
    places = station_cells(parts.observed) if of.stations else {}
    spread = np.unique(np.linspace(0, fit_days.size - 1, min(of.days, fit_days.size)).astype(int))
    referee = Simulated(asked.truth.seed, asked.truth.world)
    learn = joined(draw(parts, fit_days[spread], of, referee))
    test = joined(draw(parts, score_days, of, referee, of.weights, places))
    samples = dict.fromkeys(of.methods, learn)
    if ORACLE in of.methods:
        samples[ORACLE] = joined(everything(parts, fit_days[spread], of, referee))
    found = {m: BASELINES[m](samples[m], of.seed)(test) for m in of.methods} | test.networks
    return Judged(scored(found, test), trusted(test), len(learn.day))


def _check_installed(of: Retrieval) -> None:
    """Refuse boosting early where it cannot be had."""
    if not {"boosting", ORACLE} & set(of.methods):
        return
    try:
        import sklearn  # type: ignore[import-untyped]  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            "boosting and the oracle need scikit-learn, which is not installed.",
            where="retrieval.methods",
            mend="Install scikit-learn, or name other methods.",
        ) from error


@dataclass(frozen=True, eq=False)
class _Parts:
    """The datasets that the retrieval is fed from."""

    observed: Part
    filled: Part
    sst: Part

    @classmethod
    def opened(cls, asked: Validation) -> _Parts:
        names, place = asked.datasets, asked.place
        assert names.sst is not None
        return cls(
            fields.opened(place, names.observed),
            fields.opened(place, names.filled),
            fields.warmth(place, names.sst),
        )

    @property
    def days(self) -> Days:
        """Those that all of them have."""
        both = np.intersect1d(self.observed.written(), self.filled.written())
        return np.intersect1d(both, self.sst.written())

    def of(self, day: np.datetime64) -> tuple[Passes, dict[str, Floats]]:
        """Passes of a day, and what networks are told of it, (orbit, lat, lon) each."""
        days = np.array([day])
        passes = fields.read(self.observed, days)
        filled = self.filled.read(days)
        told = {name: filled.of(name)[0].astype(np.float64) for name in VARIABLES}
        warmth = self.sst.read(days).of(SST)[0].astype(np.float64)
        told[SST] = np.broadcast_to(warmth, passes.hours.shape[1:])
        hand = clock(local_hours(passes.hours, passes.longitudes)[0])
        for quantity, side in zip((networks.HOUR_COS, networks.HOUR_SIN), hand, strict=True):
            told[quantity.name] = np.asarray(side)
        for quantity in (networks.WIND_FILLED, networks.VAPOUR_FILLED):
            name = quantity.name.removesuffix("_filled")
            state = filled.states[filled.names.index(name), 0]
            told[quantity.name] = (state != cf.OBSERVED).astype(np.float64)
        return passes, told


def station_cells(part: Part) -> dict[int, tuple[Floats, Floats]]:
    """Rows and columns of the grid in which moorings lie, by their number among `PLACES`."""
    from fluxrecipes.nature.moorings import FLUX_MOORINGS, MOORINGS

    lat, lon = (part.dataset[name].values for name in ("lat", "lon"))
    inside = [s for s, _ in MOORINGS.values() if lat[0] - 0.5 <= s.latitude <= lat[-1] + 0.5]

    def cells(stations: Sequence[Any]) -> tuple[Floats, Floats]:
        rows = [int(np.abs(lat - s.latitude).argmin()) for s in stations]
        return np.array(rows), np.array([int(s.longitude % 360.0) % lon.size for s in stations])

    return {PLACES.index(SEEN): cells(inside), PLACES.index(UNSEEN): cells(FLUX_MOORINGS)}


def draw(
    parts: _Parts,
    days: Days,
    of: Retrieval,
    referee: Simulated,
    weights: Sequence[Path] = (),
    stations: Mapping[int, tuple[Floats, Floats]] = MappingProxyType({}),
) -> Iterator[Sample]:
    """Points of each day with what a retrieval needs: drawn ones, and those of stations."""
    nets = {f"mpfnet:{path.stem}": _Network.read(path) for path in weights}
    for day in days:
        passes, told = parts.of(day)
        rng = np.random.default_rng((of.seed, int(day.astype(int))))
        needed = np.isfinite(told[SST]) & np.isfinite(told[VARIABLES[0]])
        needed &= np.isfinite(told[VARIABLES[1]])
        where = chosen(needed, passes.latitudes, of.points, rng)
        kind = np.zeros(where.shape[1:], np.int64)
        for number, (row, column) in stations.items():
            kind[row, column] = number
        where |= needed & (kind > 0)
        truth = referee.at(passes, (0,), where[None], (*AIR, *BEYOND))
        known = where & np.isfinite(truth[AIR[0]][0])
        maps = {name: net.of(parts, day, told) for name, net in nets.items()}
        yield _points(passes, told, truth, known, kind, maps)


def everything(parts: _Parts, days: Days, of: Retrieval, referee: Simulated) -> Iterator[Sample]:
    """Many points for the oracle, wherever there is sea: of these nothing need be observed."""
    count = max(of.oracle_points // (2 * days.size), 1)
    for day in days:
        passes = fields.read(parts.observed, np.array([day]))
        rng = np.random.default_rng((of.seed, 1, int(day.astype(int))))
        sea = ~np.isin(passes.states[VARIABLES[0]][0], (cf.LAND, cf.SEA_ICE))
        where = chosen(sea, passes.latitudes, count, rng)
        truth = referee.at(passes, (0,), where[None], (*AIR, *BEYOND))
        known = where & np.isfinite(truth[AIR[0]][0])
        nothing = np.full(known.shape, np.nan)
        kind = np.zeros(known.shape[1:], np.int64)
        yield _points(passes, dict.fromkeys(INPUTS, nothing), truth, known, kind, {})


def chosen(
    there: npt.NDArray[np.bool_],
    latitudes: npt.NDArray[np.float64],
    count: int,
    rng: np.random.Generator,
) -> npt.NDArray[np.bool_]:
    """Draw so many cells of each pass, by their area, of shape (orbit, lat, lon)."""
    picked = np.zeros(there.shape, bool)
    area = np.broadcast_to(np.cos(np.radians(latitudes))[:, None], there.shape[1:])
    for orbit, cells in enumerate(there):
        flat = np.flatnonzero(cells)
        if flat.size:
            weight = area.ravel()[flat]
            some = rng.choice(flat, min(count, flat.size), False, weight / weight.sum())
            picked[orbit].ravel()[some] = True
    return picked


def _points(
    passes: Passes,
    told: Fields,
    truth: Fields,
    at: npt.NDArray[np.bool_],
    kind: npt.NDArray[np.int64],
    maps: Mapping[str, tuple[Air, Air]],
) -> Sample:
    _, row, column = np.nonzero(at)
    north, east = np.radians(passes.latitudes[row]), np.radians(passes.longitudes[column])
    place = [np.sin(north), np.sin(east), np.cos(east)]
    return Sample(
        np.stack([*(told[name][at] for name in INPUTS), *place], axis=1),
        np.stack([*(truth[name][0][at] for name in BEYOND), *place], axis=1),
        (truth[AIR[0]][0][at], truth[AIR[1]][0][at]),
        np.full(int(at.sum()), passes.days[0]),
        kind[row, column],
        *(
            {name: (both[k][0][at], both[k][1][at]) for name, both in maps.items()}
            for k in range(2)
        ),
    )


def joined(samples: Iterator[Sample]) -> Sample:
    """Samples as one."""
    parts = list(samples)

    def both(pairs: Sequence[Air]) -> Air:
        return np.concatenate([one[0] for one in pairs]), np.concatenate([one[1] for one in pairs])

    names = list(parts[0].networks)
    return Sample(
        np.concatenate([one.inputs for one in parts]),
        np.concatenate([one.perfect for one in parts]),
        both([one.air for one in parts]),
        np.concatenate([one.day for one in parts]),
        np.concatenate([one.place for one in parts]),
        {name: both([one.networks[name] for one in parts]) for name in names},
        {name: both([one.errors[name] for one in parts]) for name in names},
    )


# --- baselines -----------------------------------------------------------------------------------

Retrieve = Callable[[Sample], Air]


def quadratic(learn: Sample, seed: int) -> Retrieve:
    """Regression on wind, vapour and SST, fitted anew."""

    def inputs(sample: Sample) -> tuple[Floats, Floats, Floats]:
        wind, vapour = (sample.inputs[:, INPUTS.index(name)] for name in VARIABLES[:2])
        return wind, vapour, sample.sst

    model = regression.fit(*inputs(learn), *learn.air)
    return lambda sample: model.predict(*inputs(sample))


def boosting(learn: Sample, seed: int) -> Retrieve:
    """Gradient boosting on the inputs that networks have at a point."""
    trees = _trees(learn.inputs, relative_to_sea(learn.sst, *learn.air), seed)
    return lambda s: from_sea(s.sst, *(one.predict(s.inputs) for one in trees))


def oracle(learn: Sample, seed: int) -> Retrieve:
    """What knows most of what was there: trees or a perceptron, whichever errs less.

    That is decided on a tenth of the points, for temperature and humidity apart.
    """
    sea = BEYOND.index(SST)
    targets = relative_to_sea(learn.perfect[:, sea], *learn.air)
    kept = np.random.default_rng(seed).random(len(targets[0])) < 0.1
    parts = [target[~kept] for target in targets]
    trees = _trees(learn.perfect[~kept], parts, seed, finest=True)
    net = _perceptron(learn.perfect[~kept], parts, seed)

    def both(inputs: Floats) -> list[tuple[Floats, Floats]]:
        pairs = zip(trees, net(inputs), strict=True)
        return [(tree.predict(inputs), said) for tree, said in pairs]

    best = [
        int(np.argmin([np.mean((one - target[kept]) ** 2) for one in pair]))
        for pair, target in zip(both(learn.perfect[kept]), targets, strict=True)
    ]
    return lambda s: from_sea(
        s.perfect[:, sea],
        *(pair[k] for pair, k in zip(both(s.perfect), best, strict=True)),
    )


def _trees(
    inputs: Floats, targets: Sequence[Floats], seed: int, *, finest: bool = False
) -> list[Any]:
    from sklearn.ensemble import (  # type: ignore[import-untyped]
        HistGradientBoostingRegressor,
    )

    return [
        HistGradientBoostingRegressor(
            max_iter=300,
            max_leaf_nodes=127 if finest else 63,
            learning_rate=0.1,
            min_samples_leaf=40,
            early_stopping=True,
            random_state=seed,
        ).fit(inputs, target)
        for target in targets
    ]


_WIDTH, _EPOCHS, _BATCH, _STEPS = 64, 30, 1024, 12_000


def mlp(learn: Sample, seed: int) -> Retrieve:
    """A plain multilayer perceptron on the inputs that networks have at a point."""
    net = _perceptron(learn.inputs, relative_to_sea(learn.sst, *learn.air), seed)
    return lambda s: from_sea(s.sst, *net(s.inputs))


def _perceptron(
    inputs: Floats, targets: Sequence[Floats], seed: int
) -> Callable[[Floats], tuple[Floats, ...]]:
    import torch
    from torch import nn

    offset, scale = np.nanmean(inputs, axis=0), np.nanstd(inputs, axis=0) + 1e-9
    quantities = networks.RETRIEVAL.outputs

    def scaled(given: Floats) -> torch.Tensor:
        return torch.from_numpy(np.nan_to_num((given - offset) / scale).astype(np.float32))

    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Linear(inputs.shape[1], _WIDTH),
        nn.SiLU(),
        nn.Linear(_WIDTH, _WIDTH),
        nn.SiLU(),
        nn.Linear(_WIDTH, len(quantities)),
    )
    labels = [(t - q.offset) / q.scale for t, q in zip(targets, quantities, strict=True)]
    _train(net, scaled(inputs), torch.from_numpy(np.stack(labels, 1).astype(np.float32)))

    def retrieve(given: Floats) -> tuple[Floats, ...]:
        with torch.inference_mode():
            said = net(scaled(given)).double().numpy()
        return tuple(said[:, k] * q.scale + q.offset for k, q in enumerate(quantities))

    return retrieve


def _train(net: Any, inputs: Any, labels: Any) -> None:
    import torch

    a_round = max(1, -(-len(inputs) // _BATCH))
    rounds = max(1, min(_EPOCHS, _STEPS // a_round))
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, rounds * a_round)
    for _ in range(rounds):
        for some in torch.split(torch.randperm(len(inputs)), _BATCH):
            loss = torch.nn.functional.mse_loss(net(inputs[some]), labels[some])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()


BASELINES: Mapping[str, Callable[[Sample, int], Retrieve]] = {
    BASELINE: quadratic,
    "boosting": boosting,
    "mlp": mlp,
    ORACLE: oracle,
}


# --- networks ------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Network:
    """An MPFNet ready to run."""

    run: Any
    history: int

    @classmethod
    def read(cls, path: Path) -> _Network:
        from fluxkernels.nets.predict import Predictor

        net, card = loaded(path, "MPFNet")
        if card.vocabulary != networks.RETRIEVAL:
            raise ConfigError("they are not of the retrieval.", where=str(path))
        settings: Any = net.settings
        return cls(Predictor(net, batch=1), int(settings.history))

    def of(self, parts: _Parts, day: np.datetime64, today: Fields) -> tuple[Air, Air]:
        """Air of both passes of a day and its standard errors, (orbit, lat, lon) each."""
        import torch

        before = day + np.arange(1 - self.history, 0) * np.timedelta64(1, "D")
        days = [parts.of(one)[1] if one in parts.days else None for one in before]
        found: list[tuple[Floats, ...]] = []
        for orbit, sst in enumerate(today[SST]):
            values = np.stack([_channels(one, today, orbit) for one in (*days, today)])
            masks = np.isfinite(values)
            given = torch.from_numpy(np.where(masks, values, 0.0)[None])
            mean, spread = (
                x[0].double().numpy() for x in self.run(given, torch.from_numpy(masks[None]))
            )
            quantities = list(enumerate(networks.RETRIEVAL.outputs))
            air = from_sea(sst, *(mean[k] * q.scale + q.offset for k, q in quantities))
            found.append((*air, *(np.exp(0.5 * spread[k]) * q.scale for k, q in quantities)))
        warm, moist, *errors = (np.stack(maps) for maps in zip(*found, strict=True))
        return (warm, moist), (errors[0], errors[1])


def _channels(told: Fields | None, like: Fields, orbit: int) -> npt.NDArray[np.float32]:
    """Scaled predictors of a pass, NaN where there is none, shape (predictor, lat, lon)."""
    if told is None:
        return np.full((len(INPUTS), *like[SST].shape[1:]), np.nan, np.float32)
    return np.stack(
        [(told[q.name][orbit] - q.offset) / q.scale for q in networks.RETRIEVAL.predictors]
    ).astype(np.float32)


# --- scores --------------------------------------------------------------------------------------


def scored(found: Mapping[str, Air], test: Sample) -> list[RetrievalScore]:
    """Scores of all methods, by place and by whether the year is held out."""
    made: list[RetrievalScore] = []
    for number, place in enumerate(PLACES):
        for year, of_year in years(test.day).items():
            at = of_year & (test.place == number)
            if at.any():
                made += _scored(found, test, at, place, year)
    return made


def trusted(test: Sample) -> dict[tuple[str, str], dict[str, Trust]]:
    """Standard errors of each network, by kind of point."""
    return {
        (method, name): trust(test.networks[method][k], errors[k], test.air[k], test.kinds)
        for method, errors in test.errors.items()
        for k, name in enumerate(AIR)
    }


def _scored(
    found: Mapping[str, Air], test: Sample, at: npt.NDArray[np.bool_], place: str, year: str
) -> Iterator[RetrievalScore]:
    for number, name in enumerate(AIR):
        truth = test.air[number][at]
        squares = {m: float(np.mean((a[number][at] - truth) ** 2)) for m, a in found.items()}
        for method, air in found.items():
            s = skill(air[number][at], truth)
            share = _share(squares, method)
            numbers = (s.points, s.rmse, s.bias, s.correlation)
            yield RetrievalScore(name, method, place, year, *numbers, share)


def _share(squares: Mapping[str, float], method: str) -> float | None:
    """Share of the gap closed, where there is a baseline, an oracle, and a gap."""
    baseline, floor = squares.get(BASELINE), squares.get(ORACLE)
    if baseline is None or floor is None or not floor < baseline:
        return None
    return closed(squares[method], baseline, floor)


def years(day: Days) -> dict[str, npt.NDArray[np.bool_]]:
    """Points by what may be done with their year; only kinds that there are."""

    def inside(period: Any) -> npt.NDArray[np.bool_]:
        return (day >= np.datetime64(period.first)) & (day <= np.datetime64(period.last))

    held, tuned = inside(TEST_YEAR), inside(TUNING)
    kinds = {"held out": held, "tuning": tuned, "other": ~held & ~tuned}
    return {name: at for name, at in kinds.items() if at.any()}
