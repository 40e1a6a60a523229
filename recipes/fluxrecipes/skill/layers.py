"""What is filled of a variable: its value, its logarithm, its occurrence, each with its normals.

The mean, the mean of the logarithm and the probability of occurrence are different things to
estimate. A filler that knows one variable at a time is asked for each of them in its own space, so
that each score meets the best that the filler can say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from fluxkernels.filling import climatology
from fluxkernels.filling.climatology import Climatology, SeasonalSums
from fluxrecipes import vocabulary as cf
from fluxrecipes.skill.fields import RAIN, Passes, occurrence
from fluxrecipes.training.archive import Days

Floats = npt.NDArray[np.floating[Any]]
Kind = Literal["value", "logarithm", "occurrence"]

# Added before a logarithm is taken: values well below it count as alike.
OFFSETS: Mapping[str, float] = {RAIN: 0.1, cf.cloud_liquid_water.name: 0.02}
_EPOCH = np.datetime64("2000-01-01")


class Layer(NamedTuple):
    """A variable in one space."""

    variable: str
    kind: Kind


def layers_of(names: Sequence[str]) -> tuple[Layer, ...]:
    """All spaces in which variables are scored."""
    found = [Layer(name, "value") for name in names]
    found += [Layer(name, "logarithm") for name in names if name in OFFSETS]
    return (*found, *(Layer(name, "occurrence") for name in names if name == RAIN))


def logarithm(name: str, values: Floats) -> Floats:
    """Logarithm of a variable with its offset; retrievals that scatter below zero count as zero."""
    made: Floats = np.log(np.maximum(values, 0.0) + OFFSETS[name])
    return made


def values_of(passes: Passes, layer: Layer, above: float) -> Floats:
    """A layer's values, shape (time, orbit, lat, lon), NaN in gaps.

    Parameters
    ----------
    above : float
        Rain rate from which on it rains, mm h-1, not included.
    """
    values = passes.values[layer.variable]
    if layer.kind == "logarithm":
        return logarithm(layer.variable, values)
    return occurrence(values, above) if layer.kind == "occurrence" else values


def day_numbers(days: Days) -> npt.NDArray[np.float64]:
    """Days as the climatology counts them."""
    return ((days - _EPOCH) / np.timedelta64(1, "D")).astype(np.float64)


@dataclass(frozen=True, eq=False)
class Normal:
    """Seasonal cycle of a layer, of each orbit by itself.

    Parameters
    ----------
    of_orbit : tuple of Climatology
    """

    of_orbit: tuple[Climatology, ...]

    def mean(self, days: Days) -> Floats:
        """Shape (time, orbit, lat, lon)."""
        return np.stack([one.at(day_numbers(days)) for one in self.of_orbit], axis=1)

    @property
    def spread(self) -> Floats:
        """Standard deviation about the cycle, never zero, shape (orbit, lat, lon)."""
        spread = np.stack([one.spread for one in self.of_orbit])
        floored: Floats = np.maximum(spread, 1e-3 * np.nanmax(spread))
        return floored

    def anomalies(self, values: Floats, days: Days) -> Floats:
        """Departures from the cycle in standard deviations, shape (time, orbit, lat, lon)."""
        made: Floats = ((values - self.mean(days)) / self.spread).astype(np.float32)
        return made

    def restored(self, anomalies: Floats, days: Days) -> Floats:
        """The inverse of `anomalies`."""
        made: Floats = self.mean(days) + anomalies * self.spread
        return made


def normals(pieces: Iterable[Passes], layers: Sequence[Layer], above: float) -> dict[Layer, Normal]:
    """Seasonal cycles of the training period, gathered piece by piece.

    Parameters
    ----------
    pieces : iterable of Passes
        Only one is held at once.
    layers : sequence of Layer
    above : float
        As `values_of` takes it.

    Raises
    ------
    SampleError
        FK115: a layer was never observed.
    """
    gathered: dict[Layer, list[SeasonalSums]] = {}
    for piece in pieces:
        days = day_numbers(piece.days)
        for layer in layers:
            values = values_of(piece, layer, above)
            sums = [climatology.gather(values[:, k], days) for k in range(values.shape[1])]
            before = gathered.get(layer)
            gathered[layer] = (
                sums if before is None else [a + b for a, b in zip(before, sums, strict=True)]
            )
    return {
        layer: Normal(tuple(climatology.fit(one) for one in sums))
        for layer, sums in gathered.items()
    }
