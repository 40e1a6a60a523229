"""Optimal interpolation as well as it can be done: what the networks have to beat.

Anomalies are taken in standard deviations of each cell, in the space that each score asks for
(values; logarithms; occurrences, whose least-squares estimate is a probability). Distances in
time are right across the seams of the maps (see `slots`). Covariances are fitted by latitude on
the training period, of one pass or of both, half a day apart; then their scales are tuned there,
to fill hidden cells best.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
from fluxrecipes.skill.truth import Hidden

Floats = npt.NDArray[np.floating[Any]]
Mask = npt.NDArray[np.bool_]
Preset = Literal["causal", "centred", "both"]

BEFORE, AROUND = 6, 3  # days: of the causal window before its last one; of the centred to each side
FITTED_STEPS = 3  # days of the longest lag in time
RADIUS = 900.0  # km
COUNTS: Mapping[Preset, int] = {"causal": 40, "centred": 40, "both": 60}
SPACES, TIMES = (0.65, 0.8, 1.25, 1.5), (0.8, 1.25)  # factors on the fitted scales, beside 1
TUNED_ON = 4  # stretches at most
_THINNED = 5  # one hidden cell in so many is filled
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


def tuned(filler: ByInterpolation, stretches: Sequence[Passes]) -> ByInterpolation:
    """The same with scales that fill hidden cells of the training period best.

    The scales fitted to covariances are best for a Gaussian field of that very form. Of each
    layer first those of space, then that of time are tried longer and shorter.

    Parameters
    ----------
    filler : ByInterpolation
    stretches : sequence of Passes
        Of the training period, of ten days each: the seventh is filled, where another day's
        swaths hide it.
    """
    chosen = np.unique(np.linspace(0, len(stretches) - 1, TUNED_ON).astype(int))
    some = [stretches[k] for k in chosen]
    made = dict(filler.covariances)
    for layer in made:
        factors = (1.0, 1.0)
        for trials in ([(s, 1.0) for s in SPACES], [(0.0, t) for t in TIMES]):
            wide = [(space or factors[0], time) for space, time in trials]
            errors = {f: _hidden_error(filler, layer, f, some) for f in (factors, *wide)}
            factors = min(errors, key=lambda f: errors[f])
        made[layer] = _scaled(made[layer], factors)
    return replace(filler, covariances=made)


def _scaled(models: tuple[Covariance, ...], factors: tuple[float, float]) -> tuple[Covariance, ...]:
    space, time = factors
    return tuple(
        replace(
            one,
            zonal=one.zonal * space,
            meridional=one.meridional * space,
            temporal=one.temporal * time,
        )
        for one in models
    )


def _hidden_error(
    filler: ByInterpolation,
    layer: Layer,
    factors: tuple[float, float],
    stretches: Sequence[Passes],
) -> float:
    """Mean square error on hidden cells, in squared standard deviations."""
    trial = replace(filler, covariances={layer: _scaled(filler.covariances[layer], factors)})
    squares, number = 0.0, 0
    for one in stretches:
        day = min(BEFORE, one.days.size - 1)
        asked = Hidden().ask(one, (day,), (layer.variable,))
        wanted = asked.causes[layer.variable]["swath"].copy()
        wanted[..., np.arange(wanted.shape[-1]) % _THINNED != 0] = False
        given = values_of(asked.given, layer, filler.above)
        found = trial.layer(layer, given, asked.given, (day,), wanted).mean
        error = found - values_of(one, layer, filler.above)[[day]]
        error = (error / filler.normals[layer].spread)[wanted]
        squares, number = squares + float(np.sum(error**2)), number + error.size
    return squares / number if number else np.inf
