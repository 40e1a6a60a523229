"""Ways of filling gaps behind one protocol: the baselines that fill one layer at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh

from fluxkernels.filling import dineof
from fluxkernels.filling.temporal import fill_in_time
from fluxrecipes.skill.fields import Passes
from fluxrecipes.skill.layers import Layer, Normal, values_of

Floats = npt.NDArray[np.floating[Any]]
Mask = npt.NDArray[np.bool_]


class Estimate(NamedTuple):
    """A filled variable on the days asked for; shape (target, orbit, lat, lon) each.

    Parameters
    ----------
    values : float array
        The best estimate where the squared error counts.
    error : float array, optional
        Its standard error.
    logarithm : float array, optional
        The best estimate of the logarithm; by default that of the values.
    probability : float array, optional
        Of occurrence.
    """

    values: Floats
    error: Floats | None = None
    logarithm: Floats | None = None
    probability: Floats | None = None


class Filler(Protocol):
    """A way of filling gaps."""

    @property
    def name(self) -> str:
        """As in the tables."""

    def fill(
        self, passes: Passes, targets: Sequence[int], wanted: Mapping[str, Mask]
    ) -> dict[str, Estimate]:
        """Estimates of some days.

        Parameters
        ----------
        passes : Passes
            The days around are there as far as the record has any.
        targets : sequence of int
            Days to fill.
        wanted : mapping of str to bool array, shape (target, orbit, lat, lon)
            By variable: where an estimate is needed. Elsewhere anything may stand.
        """


class Part(NamedTuple):
    """A filled layer: mean and, where it is told, standard error."""

    mean: Floats
    error: Floats | None = None


@dataclass(frozen=True, eq=False)
class LayerFiller:
    """A filler that fills each layer of each variable by itself.

    Parameters
    ----------
    normals : mapping of Layer to Normal
        Of all layers, fitted on the training period.
    above : float
        Rain rate from which on it rains, mm h-1.
    """

    normals: Mapping[Layer, Normal]
    above: float

    @property
    def name(self) -> str:
        """As in the tables."""
        raise NotImplementedError

    def layer(
        self, layer: Layer, values: Floats, passes: Passes, targets: Sequence[int], wanted: Mask
    ) -> Part:
        """Fill one layer; NaN where the method has nothing to say."""
        raise NotImplementedError

    def fill(
        self, passes: Passes, targets: Sequence[int], wanted: Mapping[str, Mask]
    ) -> dict[str, Estimate]:
        """As `Filler.fill`: where the method has nothing to say, it is the climatology."""
        found = {
            layer: self._whole(layer, passes, targets, wanted[layer.variable])
            for layer in self.normals
            if layer.variable in wanted
        }
        made = {}
        for name in wanted:
            value = found[Layer(name, "value")]
            log, rains = (found.get(Layer(name, kind)) for kind in ("logarithm", "occurrence"))
            made[name] = Estimate(
                value.mean,
                value.error,
                None if log is None else log.mean,
                None if rains is None else np.clip(rains.mean, 0.0, 1.0),
            )
        return made

    def _whole(self, layer: Layer, passes: Passes, targets: Sequence[int], wanted: Mask) -> Part:
        values = values_of(passes, layer, self.above)
        part = self.layer(layer, values, passes, targets, wanted)
        days = passes.days[list(targets)]
        mean = np.where(np.isfinite(part.mean), part.mean, self.normals[layer].mean(days))
        return Part(mean, part.error)


@dataclass(frozen=True, eq=False)
class Normals(LayerFiller):
    """The climatology."""

    @property
    def name(self) -> str:
        """As in the tables."""
        return "climatology"

    def layer(
        self, layer: Layer, values: Floats, passes: Passes, targets: Sequence[int], wanted: Mask
    ) -> Part:
        """The normal and its spread."""
        normal = self.normals[layer]
        mean = normal.mean(passes.days[list(targets)])
        return Part(mean, np.broadcast_to(normal.spread, mean.shape))


@dataclass(frozen=True, eq=False)
class InTime(LayerFiller):
    """Interpolation between the nearest values of the same pass, else the nearest one.

    Parameters
    ----------
    reach : int, optional
        Days to look back and ahead.
    """

    reach: int = 3

    @property
    def name(self) -> str:
        """As in the tables."""
        return "temporal"

    def layer(
        self, layer: Layer, values: Floats, passes: Passes, targets: Sequence[int], wanted: Mask
    ) -> Part:
        """What is observed stays, the rest comes from the days around."""
        return Part(fill_in_time(values, self.reach).values[list(targets)])


@dataclass(frozen=True, eq=False)
class Patterns:
    """Leading patterns of a layer's anomalies.

    Parameters
    ----------
    maps : float32 array, shape (mode, lat * lon)
        Orthonormal; 0 in cells never observed.
    mean : float
    """

    maps: Floats
    mean: float


@dataclass(frozen=True, eq=False)
class ByPatterns(LayerFiller):
    """DINEOF, its patterns and their number found on the training period alone.

    The patterns are those of the training days as DINEOF completes them. A day is filled as its
    iteration fills it when the patterns stand: by the combination of them that comes closest to
    what was observed.

    Parameters
    ----------
    patterns : mapping of Layer to Patterns
    """

    patterns: Mapping[Layer, Patterns]

    @property
    def name(self) -> str:
        """As in the tables."""
        return "dineof"

    def layer(
        self, layer: Layer, values: Floats, passes: Passes, targets: Sequence[int], wanted: Mask
    ) -> Part:
        """Combine the patterns."""
        normal, known = self.normals[layer], self.patterns[layer]
        chosen = list(targets)
        days = passes.days[chosen]
        anomalies = normal.anomalies(values[chosen], days)
        filled = np.stack([[_combined(known, one) for one in day] for day in anomalies])
        return Part(normal.restored(filled, days))


def _combined(known: Patterns, day: Floats) -> Floats:
    flat = day.ravel() - known.mean
    seen = np.isfinite(flat)
    maps = known.maps[:, seen].astype(np.float64)
    weights = np.linalg.lstsq(maps @ maps.T, maps @ flat[seen], rcond=1e-6)[0]
    whole: Floats = (known.mean + weights @ known.maps).reshape(day.shape)
    return whole


MODES = dineof.Settings(most_modes=15, patience=2, tolerance=3e-3, most_iterations=60)
_GAPS_FROM = 2  # steps on: whose gaps are laid over a day to hold values back


def learn_patterns(
    stretches: Sequence[Passes], normals: Mapping[Layer, Normal], above: float
) -> dict[Layer, Patterns]:
    """Run DINEOF on the training days.

    Values are held back as swaths hide them: in every fifth step under another day's gaps.

    Parameters
    ----------
    stretches : sequence of Passes
    normals, above
        As `LayerFiller` takes them.
    """
    made = {}
    for layer, normal in normals.items():
        rows = np.concatenate(
            [
                normal.anomalies(values_of(one, layer, above), one.days).swapaxes(0, 1)
                for one in stretches
            ],
            axis=1,
        )
        made[layer] = _patterns(rows.reshape(-1, rows.shape[2] * rows.shape[3]))
    return made


def _patterns(rows: Floats) -> Patterns:
    seen = np.isfinite(rows)
    held = seen & ~np.roll(seen, -_GAPS_FROM, axis=0)
    held[np.arange(len(rows)) % 5 != 0] = False
    cells = seen.any(axis=0) & (seen & ~held).any(axis=0)
    steps = (seen & ~held)[:, cells].any(axis=1)
    inner = rows[np.ix_(steps, cells)]
    found = dineof.reconstruct(inner, held_back=held[np.ix_(steps, cells)], settings=MODES)
    mean = float(inner.mean(where=np.isfinite(inner), dtype=np.float64))
    maps = np.zeros((found.modes, rows.shape[1]), np.float32)
    if found.modes:
        filled = np.nan_to_num(found.values - mean).astype(np.float64)
        size = filled.shape[0]
        value, vector = eigh(filled @ filled.T, subset_by_index=(size - found.modes, size - 1))
        maps[:, cells] = (vector.T @ filled) / np.sqrt(value)[:, None]
    return Patterns(maps, mean)
