"""What several times a day become: wind speeds of components, and the mean of a day."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fluxengine.declare import Arrays, PlainStage, Variable
from fluxrecipes import vocabulary as cf
from fluxrecipes.stages.states import of_mean

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True)
class MeanOfHours(PlainStage):
    """Mean along the axis ``hour``, of each variable where enough of its times have a value.

    Parameters
    ----------
    variables : tuple of Variable
        Each with its state.
    min_hours : float
        Share of the day's times that must have a value.
    """

    variables: tuple[Variable, ...]
    min_hours: float = 0.5

    @property
    def inputs(self) -> tuple[str, ...]:
        """Each variable and its state."""
        return tuple(n for v in self.variables for n in (v.name, f"{v.name}_state"))

    @property
    def outputs(self) -> tuple[Variable, ...]:
        """The same, of the day."""
        return tuple(made for v in self.variables for made in (v, cf.state_of(v.name)))

    def load(self) -> Callable[[Arrays], Arrays]:
        """The stage's function."""

        def mean(arrays: Arrays) -> Arrays:
            made: dict[str, xr.DataArray] = {}
            for v in self.variables:
                made |= self._mean(v.name, arrays[v.name], arrays[f"{v.name}_state"])
            return made

        return mean

    def _mean(
        self, name: str, values: xr.DataArray, state: xr.DataArray
    ) -> dict[str, xr.DataArray]:
        there = values.notnull()
        count = there.sum("hour")
        enough = count >= max(1, self.min_hours * values.sizes["hour"])
        total = values.where(there, 0).astype(np.float64).sum("hour")
        mean = (total / count.clip(min=1)).where(enough).astype(np.float32)
        return {name: mean, f"{name}_state": of_mean(state, enough, "hour")}


@dataclass(frozen=True)
class LandWithoutWater(PlainStage):
    """Flags of fields that a reanalysis has over land, too: land where it has no sea temperature.

    Parameters
    ----------
    variables : tuple of Variable
        Each with its flag.
    land, no_value : int
        The code that is set, and that of a cell without a sea surface temperature.
    """

    variables: tuple[Variable, ...]
    land: int
    no_value: int

    @property
    def inputs(self) -> tuple[str, ...]:
        """The flags, and that of sea surface temperature."""
        return (*(v.name for v in self.outputs), f"{cf.sea_surface_temperature.name}_flag")

    @property
    def outputs(self) -> tuple[Variable, ...]:
        """The flags."""
        return self.variables

    def load(self) -> Callable[[Arrays], Arrays]:
        """The stage's function."""

        def flagged(arrays: Arrays) -> Arrays:
            water = arrays[f"{cf.sea_surface_temperature.name}_flag"]
            # It may be there for some hours only: what is land is land all day.
            land = (water == self.no_value).any("hour")
            made = {}
            for variable in self.variables:
                flags = arrays[variable.name]
                made[variable.name] = flags.where(~land, self.land).astype(np.uint8)
            return made

        return flagged


@dataclass(frozen=True)
class SpeedOfComponents(PlainStage):
    """Wind speed of its components, cell by cell, with the flag of the eastward one.

    Parameters
    ----------
    flag : Variable
        What the flag of the speed is called.
    """

    flag: Variable
    inputs: tuple[str, ...] = ("eastward_wind", "northward_wind", "eastward_wind_flag")

    @property
    def outputs(self) -> tuple[Variable, ...]:
        """The speed and its flag."""
        return cf.wind_speed, self.flag

    def load(self) -> Callable[[Arrays], Arrays]:
        """The stage's function."""

        def speed(arrays: Arrays) -> Arrays:
            eastward, northward, flag = (arrays[name] for name in self.inputs)
            values = np.hypot(eastward.values, northward.values)
            return {cf.wind_speed.name: eastward.copy(data=values), self.flag.name: flag}

        return speed
