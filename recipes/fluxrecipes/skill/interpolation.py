"""Optimal interpolation as well as it can be done: what the networks have to beat.

Anomalies are taken in standard deviations of each cell, in the space that each score asks for
(values; logarithms; occurrences, whose least-squares estimate is a probability). Distances in
time are right across the seams of the maps (see `slots`). Covariances are fitted by latitude on
the training period, of one pass or of both, half a day apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fluxkernels.filling import covariance
from fluxkernels.filling.covariance import Covariance, Grid, LaggedProducts
from fluxkernels.filling.optimal_interpolation import Neighbourhood, interpolate
from fluxrecipes.skill.fields import Passes
from fluxrecipes.skill.fillers import LayerFiller, Part
from fluxrecipes.skill.layers import Layer, Normal, values_of
from fluxrecipes.skill.slots import Slots

Floats = npt.NDArray[np.floating[Any]]
Mask = npt.NDArray[np.bool_]
Preset = Literal["causal", "centred", "both"]

BEFORE, AROUND = 6, 3  # days: of the causal window before its last one; of the centred to each side
FITTED_STEPS = 3  # days of the longest lag in time
RADIUS = 900.0  # km
COUNTS: Mapping[Preset, int] = {"causal": 40, "centred": 40, "both": 60}
PAD = 20  # columns carried over the ends of the map: more than RADIUS at 60 degrees


def slots_of(passes: Passes, orbits: Sequence[int]) -> Slots:
    """How some of the passes follow each other in local time."""
    turns = np.exp(2j * np.pi / 24.0 * passes.local_hours).sum(axis=1)
    hours = np.mod(np.angle(turns) * 24.0 / (2.0 * np.pi), 24.0)
    return Slots(tuple(float(hours[k]) for k in orbits), passes.longitudes, PAD)


def orbits_of(preset: Preset, number: int) -> tuple[tuple[int, ...], ...]:
    """Passes that are taken together."""
    return (tuple(range(number)),) if preset == "both" else tuple((k,) for k in range(number))


def grid_of(passes: Passes, slots: Slots) -> Grid:
    """The grid on which slots lie."""
    spacing = float(passes.longitudes[1] - passes.longitudes[0])
    return Grid(tuple(passes.latitudes.tolist()), spacing, slots.step, periodic=False)


def fit_covariances(
    stretches: Sequence[Passes], normals: Mapping[Layer, Normal], above: float, preset: Preset
) -> dict[Layer, tuple[Covariance, ...]]:
    """Covariances of each layer by latitude, from stretches of the training period.

    Parameters
    ----------
    stretches : sequence of Passes
        Consecutive days each, several times the longest lag.
    normals, above
        As `LayerFiller` takes them.
    preset : {"causal", "centred", "both"}
        One pass by itself, or both.
    """
    groups = orbits_of(preset, stretches[0].hours.shape[1])
    lags = covariance.default_lags(FITTED_STEPS * len(groups[0]))
    made = {}
    for layer, normal in normals.items():
        total: LaggedProducts | None = None
        for one in stretches:
            anomalies = normal.anomalies(values_of(one, layer, above), one.days)
            for group in groups:
                arranged = slots_of(one, group).arranged(anomalies[:, list(group)])
                inner = arranged[..., PAD:-PAD]
                sums = covariance.lagged_products(inner, lags, periodic=False)
                total = sums if total is None else total + sums
        assert total is not None
        grid = grid_of(stretches[0], slots_of(stretches[0], groups[0]))
        made[layer] = covariance.fit_by_latitude(total, grid)
    return made


@dataclass(frozen=True, eq=False)
class ByInterpolation(LayerFiller):
    """Optimal interpolation in space and time.

    Parameters
    ----------
    preset : {"causal", "centred", "both"}
        The day and six before it; the day and three to each side; the same with both passes.
    covariances : mapping of Layer to Covariance, one for each latitude
    """

    preset: Preset
    covariances: Mapping[Layer, tuple[Covariance, ...]]

    @property
    def name(self) -> str:
        """As in the tables."""
        return f"oi-{self.preset}"

    def layer(
        self, layer: Layer, values: Floats, passes: Passes, targets: Sequence[int], wanted: Mask
    ) -> Part:
        """Interpolate each pass where it is wanted."""
        normal = self.normals[layer]
        mean, error = (np.full(wanted.shape, np.nan) for _ in range(2))
        for place, day in enumerate(targets):
            first, last = self._window(day)
            near = passes.part(first, last + 1)
            anomalies = normal.anomalies(values[max(first, 0) : last + 1], near.days)
            for group in orbits_of(self.preset, wanted.shape[1]):
                slots = slots_of(near, group)
                arranged = slots.arranged(anomalies[:, list(group)])
                for rank, orbit in enumerate(group):
                    at = (day - max(first, 0), rank)
                    found = self._map(arranged, slots, near, at, layer, wanted[place, orbit])
                    mean[place, orbit], error[place, orbit] = found
        days = passes.days[list(targets)]
        return Part(normal.restored(mean, days), error * normal.spread)

    def _window(self, day: int) -> tuple[int, int]:
        if self.preset == "causal":
            return day - BEFORE, day
        return day - AROUND, day + AROUND

    def _map(
        self,
        arranged: Floats,
        slots: Slots,
        near: Passes,
        at: tuple[int, int],
        layer: Layer,
        wanted: Mask,
    ) -> tuple[Floats, Floats]:
        """Anomalies of one pass of one day, and the standard error of an observation there."""
        models = self.covariances[layer]
        steps = (BEFORE if self.preset == "causal" else AROUND) * len(slots.hours)
        window = Neighbourhood(steps, RADIUS, COUNTS[self.preset])
        noise = np.array([model.noise for model in models])[:, None]
        mean, error = (np.full(wanted.shape, np.nan) for _ in range(2))
        for slot, columns in slots.places(*at):
            where = np.zeros(arranged.shape[1:], bool)
            where[:, PAD:-PAD] = wanted & columns
            if where.any():
                found = interpolate(
                    arranged,
                    slot,
                    grid_of(near, slots),
                    models,
                    where=where,
                    neighbourhood=window,
                )
                here = where[:, PAD:-PAD]
                mean[here] = found.values[:, PAD:-PAD][here]
                spread = np.sqrt(found.standard_error**2 + noise)
                error[here] = spread[:, PAD:-PAD][here]
        return mean, error
