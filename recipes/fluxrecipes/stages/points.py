"""What stages with an MPFNet share: it reads values, with their errors, at every cell of a pass."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fluxengine.declare import Array, Arrays, Shapes, Variable
from fluxengine.grid import Halo
from fluxkernels.nets.cards import ErrorModel, Head
from fluxrecipes import networks
from fluxrecipes import vocabulary as cf
from fluxrecipes.near_surface import clock, local_hours
from fluxrecipes.stages.network import (
    Channels,
    Edges,
    NetworkStage,
    activations,
    check_globe,
    in_batches,
    natural,
)
from fluxrecipes.stages.plain import aligned
from fluxrecipes.stages.residence import as_array, brought
from fluxrecipes.stages.states import was_filled
from fluxrecipes.standard_errors import error_of, systematic_error_of

if TYPE_CHECKING:
    import torch
    import xarray as xr

    from fluxkernels.nets.predict import Predictor

WIND, VAPOUR = f"{cf.wind_speed.name}_state", f"{cf.water_vapour.name}_state"
OF_PASS = (cf.pass_time.name, WIND, VAPOUR)  # what `of_pass` is made of


class Reading(NamedTuple):
    """What a network says of one quantity, in its units, shape (time, orbit, lat, lon), float64.

    Parameters
    ----------
    mean, error : ndarray
        The error is a standard error, calibrated as the network's card says.
    systematic : float
        Share of the error's variance that stays at a place; see `share_of`.
    """

    mean: Array
    error: Array
    systematic: float


@dataclass(frozen=True)
class PointStage(NetworkStage):
    """A stage that runs an MPFNet on every pass."""

    @property
    def architecture(self) -> str:
        """Of the network."""
        return "MPFNet"

    @property
    def seconds_a_cell(self) -> float:
        """Of one pass."""
        return 2.3e-6

    @property
    def error_models(self) -> tuple[ErrorModel, ...]:
        """How the standard error of each output is to be taken, as its weights say."""
        card = self.head.card
        return tuple(card.error_model(quantity.name) for quantity in card.vocabulary.outputs)

    @property
    def halo(self) -> Halo:
        """The earlier days that the network looks at, as its weights say."""
        history = int(self.head.settings["history"])
        return Halo({"time": (history - 1, 0)}) if history > 1 else Halo()

    def memory(self, inputs: Shapes) -> int:
        """All passes as channels and as double numbers, and a batch with the net's own."""
        head = self.head
        *_, rows, columns = cells = max(inputs.values(), key=math.prod)
        channels, outputs = (
            len(side) for side in (head.card.vocabulary.predictors, head.card.vocabulary.outputs)
        )
        passes = math.prod(cells) * (13 * channels + 16 * outputs + 64)
        grid = rows * columns
        fed = int(head.settings["history"]) * channels * 10 * grid
        return passes + self.batch * (fed + activations(head, grid))

    def held(self, arrays: Mapping[str, xr.DataArray]) -> dict[str, Array]:
        """The same by name, without their grid, on the device."""
        return {name: brought(values.data, self.device) for name, values in arrays.items()}

    def read(
        self,
        run: Predictor,
        head: Head,
        first: xr.DataArray,
        fields: Mapping[str, Array],
        there: Array,
    ) -> dict[str, Reading]:
        """Run the network on every pass.

        Parameters
        ----------
        run : Predictor
        head : Head
        first : DataArray, dims (time, orbit, lat, lon)
            Whose grid it is.
        fields : mapping of str to ndarray, shape (time, orbit, lat, lon)
            Each quantity that it takes, in its units, in main memory or on the device.
        there : bool ndarray, of the same shape, on the device
            Where it is to be read.

        Returns
        -------
        dict of str to Reading
            On the device; elsewhere anything may stand, mostly NaN.
        """
        settings, vocabulary = head.settings, head.card.vocabulary
        check_globe(first, Edges(*(settings[name] for name in Edges._fields)))
        predictors = vocabulary.predictors
        given = [brought(fields[q.name], self.device) for q in predictors]
        channels = Channels.of(given, predictors)
        days, orbits = first.shape[:2]
        windows = (
            (*channels.window(day, orbit, settings["history"] - 1, 0), there[day, orbit])
            for day in range(days)
            for orbit in range(orbits)
        )
        told = list(in_batches(run, windows, self.batch))
        mean, log_variance = (_of_passes(side, days, orbits) for side in zip(*told, strict=True))
        found = {}
        for number, quantity in enumerate(vocabulary.outputs):
            model = head.card.error_model(quantity.name)
            # The factor stands nowhere else: training knows what the net itself tells.
            spread = (0.5 * log_variance[number].double()).exp() * (quantity.scale * model.factor)
            value = natural(mean[number], quantity)
            found[quantity.name] = Reading(value, as_array(spread), share_of(model))
        return found


def _of_passes(told: Sequence[torch.Tensor], days: int, orbits: int) -> torch.Tensor:
    """Outputs of each pass, (output, lat, lon), as (output, time, orbit, lat, lon)."""
    import torch

    passes = torch.stack(tuple(told), dim=1)
    return passes.reshape(len(passes), days, orbits, *passes.shape[2:])


def of_pass(arrays: Arrays, first: xr.DataArray) -> dict[str, Array]:
    """What networks are told of a pass: its local time, and what was filled.

    Parameters
    ----------
    arrays : mapping of str to DataArray
        `OF_PASS`.
    first : DataArray, dims (time, orbit, lat, lon)
        Whose grid it is.

    Returns
    -------
    dict of str to ndarray, of the shape of `first`
    """
    _, time, wind, vapour = aligned(first, *(arrays[name] for name in OF_PASS))
    hours = local_hours(time.values, first["lon"].values)
    told = (*clock(hours), was_filled(wind.values), was_filled(vapour.values))
    return {quantity.name: value for quantity, value in zip(networks.PASS, told, strict=True)}


def error_within(variable: Variable, error: Array) -> Array:
    """A standard error, held at the largest that can be stored."""
    assert variable.valid_range is not None
    return np.minimum(error, variable.valid_range[1])


def share_of(model: ErrorModel) -> float:
    """Systematic share of the variance of an error.

    What is not known counts as systematic: so the error of no mean is told too small.
    """
    return 1.0 if model.systematic is None else model.systematic


def errors_of(variable: Variable, error: Array, systematic: float) -> dict[str, Array]:
    """A standard error and its systematic part, by name.

    Parameters
    ----------
    variable : Variable
        Whose errors they are.
    error : ndarray
        In its units, NaN where it has no value.
    systematic : float
        Share of the variance.
    """
    whole = error_within(error_of(variable), error)
    part = whole * math.sqrt(systematic)
    return {error_of(variable).name: whole, systematic_error_of(variable).name: part}
