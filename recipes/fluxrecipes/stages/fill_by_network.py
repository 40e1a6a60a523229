"""Gap filling by a network."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from fluxengine.declare import Array, Arrays, Shapes, Variable
from fluxengine.grid import Halo
from fluxkernels.nets.cards import Head
from fluxkernels.nets.quantities import Vocabulary
from fluxrecipes import networks
from fluxrecipes import vocabulary as cf
from fluxrecipes.coast import continued
from fluxrecipes.other_pass import twelve_hours_before
from fluxrecipes.stages.fill import FILLABLE
from fluxrecipes.stages.network import (
    Channels,
    Flags,
    NetworkStage,
    Window,
    activations,
    check_globe,
    in_batches,
    natural,
)
from fluxrecipes.stages.plain import aligned

if TYPE_CHECKING:
    import xarray as xr

    from fluxkernels.nets.predict import Predictor

SEEN = (cf.OBSERVED, cf.REANALYSIS)  # what counts as a value; what was filled before does not
SST = cf.sea_surface_temperature


@dataclass(frozen=True)
class FillByGDCM(NetworkStage):
    """Gap filling by a GDCM, which completes one pass of a day out of the days around it.

    Observed values are kept, bit for bit. Land and sea ice are not filled: nothing can be observed
    there. Days beyond the ends of the record count as days without observation.

    Parameters
    ----------
    variables : tuple of Variable
        What is filled: the microwave variables, in the order of `fluxrecipes.networks.MICROWAVE`.
    causal : bool
        Whether a day is completed out of days before it alone, or of days around it. Weights that
        do otherwise are refused.
    other_pass : bool or None
        Whether it sees the day's other pass besides, and weights that do otherwise are refused;
        None: as the weights do.
    """

    variables: tuple[Variable, ...] = cf.MICROWAVE
    causal: bool = False
    other_pass: bool | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        """Each variable and its state, and sea surface temperature."""
        return (*(n for v in self.variables for n in (v.name, f"{v.name}_state")), SST.name)

    @property
    def outputs(self) -> tuple[Variable, ...]:
        """Each variable and its state, filled."""
        return tuple(m for v in self.variables for m in (v, cf.state_of(v.name)))

    @property
    def window(self) -> tuple[int, int]:
        """Days before and after the one that is completed, as the weights say."""
        return _span(self.head)

    @property
    def halo(self) -> Halo:
        """The days of the window."""
        return Halo({"time": self.window})

    @property
    def architecture(self) -> str:
        """Of the network."""
        return "GDCM"

    @property
    def seconds_a_cell(self) -> float:
        """Of one pass, with all days of its window."""
        return 7e-7 * (sum(self.window) + 1)

    @property
    def vocabularies(self) -> tuple[Vocabulary, ...]:
        """A pass with SST, or with the day's other pass besides."""
        both = {False: networks.GAPS, True: networks.GAPS_BOTH_PASSES}
        return tuple(both.values()) if self.other_pass is None else (both[self.other_pass],)

    def check(self, found: Head) -> None:
        """Raise `WrongWeights` where they are not for this stage, or look the other way."""
        super().check(found)
        wanted = tuple(v.name for v in self.variables)
        if wanted != tuple(quantity.name for quantity in networks.MICROWAVE):
            raise self.refusal(f"they do not complete {', '.join(wanted)}.")
        before, after = _span(found)
        if (after == 0) != self.causal:
            asked = "days before it alone" if self.causal else "days around it"
            raise self.refusal(
                f"they complete a day out of {before} before and {after} after it, and {asked} were"
                " asked for."
            )

    def memory(self, inputs: Shapes) -> int:
        """All days as channels, a batch of windows, and what the net holds of them."""
        head = self.head
        time, orbit, *cells = inputs[self.variables[0].name]
        channels = len(head.card.vocabulary.predictors)
        days = time * orbit * channels * math.prod(cells) * 5
        filled = 3 * len(self.variables) * time * orbit * math.prod(cells) * 4
        window = sum(self.window) + 1
        batch = self.batch * window * channels * math.prod(cells) * 10
        return days + filled + batch + self.batch * activations(head, math.prod(cells))

    def load(self) -> Callable[[Arrays], Arrays]:
        """Read the weights."""
        run, head = self.predictor()
        return partial(self._run, run, head)

    def _run(self, run: Predictor, head: Head, arrays: Arrays) -> Arrays:
        values = {v.name: arrays[v.name] for v in self.variables}
        first = values[self.variables[0].name]
        check_globe(first)
        channels = self._channels(arrays, first)
        states = {name: arrays[f"{name}_state"].values for name in values}
        own = _own_days(first)[:, None, None, None]
        gaps = {name: np.isin(state, FILLABLE) & own for name, state in states.items()}
        # A pass without a gap needs no network.
        wanted = np.argwhere(np.logical_or.reduce(list(gaps.values())).any(axis=(-2, -1)))
        both = head.card.vocabulary == networks.GAPS_BOTH_PASSES
        longitude = first["lon"].values.astype(np.float64) if both else None
        windows = _windows(channels, wanted, _span(head), longitude)
        filled = {name: np.array(given.values) for name, given in values.items()}
        for (day, orbit), (estimate,) in zip(
            wanted, in_batches(run, windows, self.batch), strict=True
        ):
            for at, variable in enumerate(self.variables):
                made = natural(estimate[at], networks.FILLED[at])
                gap = gaps[variable.name][day, orbit]
                filled[variable.name][day, orbit][gap] = within(variable, made[gap])
        return self._told(arrays, filled, states, gaps)

    def _channels(self, arrays: Arrays, first: xr.DataArray) -> Channels:
        """Fields of each day and pass in the order of `networks.GAPS`."""
        fields = [
            seen(arrays[v.name].values, arrays[f"{v.name}_state"].values) for v in self.variables
        ]
        rain = fields[[v.name for v in self.variables].index(cf.rain_rate.name)]
        raining = np.where(np.isfinite(rain), rain > 0.0, np.nan)
        warmth = arrays[SST.name].reindex(time=first["time"])
        _, sst = aligned(first, warmth.copy(data=continued(warmth.values)))
        return Channels.of([*fields, raining, sst.values], networks.GAPS.predictors)

    def _told(
        self,
        arrays: Arrays,
        filled: dict[str, Array],
        states: dict[str, Array],
        gaps: dict[str, Flags],
    ) -> Arrays:
        made: dict[str, xr.DataArray] = {}
        for name, values in filled.items():
            told = np.where(gaps[name], cf.COMPLETED, states[name]).astype(np.uint8)
            made[name] = arrays[name].copy(data=values)
            made[f"{name}_state"] = arrays[f"{name}_state"].copy(data=told)
        return made


def _span(head: Head) -> tuple[int, int]:
    """Days before and after the one that a network completes."""
    steps, target = (int(head.settings[name]) for name in ("steps", "target"))
    return target, steps - 1 - target


def _windows(
    channels: Channels, wanted: Array, span: tuple[int, int], longitude: Array | None
) -> Iterator[Window]:
    """Windows to be completed, with the other pass where longitudes are given."""
    number = len(networks.FILLED)
    for day, orbit in wanted.tolist():
        own = channels.window(day, orbit, *span)
        if longitude is None:
            yield own
            continue
        other = channels.window(day, 1 - orbit, *span)
        before = (twelve_hours_before(x[:, :number], orbit, longitude, 0) for x in other)
        parts = zip(own, before, strict=True)
        yield Window(*(np.concatenate(pair, axis=1) for pair in parts))


def _own_days(values: xr.DataArray) -> Flags:
    """Which days are not halo alone: all, where nobody says."""
    if "own_time" in values.coords:
        return np.asarray(values["own_time"].values, bool)
    return np.ones(values.sizes["time"], bool)


def seen(values: Array, states: Array) -> Array:
    """Values that were observed, or taken from reanalysis; NaN elsewhere."""
    return np.where(np.isin(states, SEEN), values, np.nan)


def within(variable: Variable, values: Array) -> Array:
    """Values held within the variable's valid range; what is not finite stays so."""
    if variable.valid_range is None:
        return values
    return np.clip(values, *variable.valid_range)
