"""Passes of several satellites into one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt

from fluxengine.declare import Array, Arrays, PlainStage, Variable
from fluxrecipes import vocabulary as cf
from fluxrecipes.constellation import (
    DOUBTFUL,
    NO_SATELLITE,
    QUALITY,
    SURE,
    Constellation,
    codes,
    doubt,
    satellite_of,
)
from fluxrecipes.stages.regrid import Regrid

Flags = npt.NDArray[np.bool_]
TIME = cf.pass_time


@dataclass(frozen=True)
class MergeSatellites(PlainStage):
    """The most believed satellite of each cell.

    The first in the day's order that has all `steady` variables is taken; where none has, the first
    that has any. Values, counts, states and the time of observation come from one pass of one
    satellite.

    Parameters
    ----------
    variables : tuple of Variable
        Each with count and state, under the names ``<satellite>_<name>``.
    constellation : Constellation
    steady : tuple of str
        Names of those that weather takes from no pass: where rain hides the wind of one satellite,
        another's would be of a drier hour, and more satellites would make a drier record.
    """

    variables: tuple[Variable, ...]
    constellation: Constellation
    steady: tuple[str, ...]

    @property
    def sensors(self) -> tuple[str, ...]:
        """The satellites, in the order of the constellation's periods."""
        return tuple(name for name, _, _ in self.constellation.periods)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Everything merged, of each satellite."""
        return tuple(f"{sensor}_{v.name}" for sensor in self.sensors for v in self._merged)

    @property
    def outputs(self) -> tuple[Variable, ...]:
        """The same of the chosen satellite, and which it is."""
        return (*self._merged, satellite_of(self.sensors), QUALITY)

    @property
    def _merged(self) -> tuple[Variable, ...]:
        return (*(part for v in self.variables for part in Regrid.of(v)), TIME)

    def load(self) -> Callable[[Arrays], Arrays]:
        """The stage's function."""
        return self._run

    def _run(self, arrays: Arrays) -> Arrays:
        first = arrays[f"{self.sensors[0]}_{TIME.name}"]
        days = [date.fromisoformat(str(t)[:10]) for t in first["time"].values]
        merged = {v.name: _nothing(v, first.shape) for v in self.outputs}
        for at, day in enumerate(days):
            self._merge_day(merged, arrays, at, day)
        return {name: first.copy(data=values) for name, values in merged.items()}

    def _merge_day(self, merged: dict[str, Array], arrays: Arrays, at: int, day: date) -> None:
        order = self.constellation.order(day)
        state = {name: self._states(arrays, name, at) for name in order}
        open_cells = np.ones(merged[TIME.name].shape[1:], bool)
        steady = [at for at, v in enumerate(self.variables) if v.name in self.steady]
        for which, enough in ((steady, np.all), (slice(None), np.any)):
            for name in order:
                chosen = open_cells & enough(state[name][which] == cf.OBSERVED, axis=0)
                self._take(merged, arrays, at, name, chosen)
                self._sign(merged, at, name, day, chosen)
                open_cells &= ~chosen
        # Where no satellite has anything, the reason of the first that looked there.
        for name in order:
            chosen = open_cells & (state[name] != cf.NO_OBSERVATION).any(axis=0)
            self._take(merged, arrays, at, name, chosen)
            open_cells &= ~chosen

    def _states(self, arrays: Arrays, name: str, at: int) -> Array:
        """Shape (variables, orbit, lat, lon); a day without a file is one without observation."""
        states = np.stack([arrays[f"{name}_{v.name}_state"].values[at] for v in self.variables])
        return np.where(states < cf.OBSERVED, np.uint8(cf.NO_OBSERVATION), states)

    def _take(
        self, merged: dict[str, Array], arrays: Arrays, at: int, name: str, where: Flags
    ) -> None:
        for variable in self._merged:
            given = arrays[f"{name}_{variable.name}"].values[at]
            merged[variable.name][at][where] = given[where]

    def _sign(self, merged: dict[str, Array], at: int, name: str, day: date, where: Flags) -> None:
        code = next(code for code, known in codes(self.sensors).items() if known == name)
        merged["satellite"][at][where] = code
        merged[QUALITY.name][at][where] = DOUBTFUL if doubt(name, day) else SURE


def _nothing(variable: Variable, shape: tuple[int, ...]) -> Array:
    if variable.name == "satellite":
        return np.full(shape, NO_SATELLITE, np.uint8)
    if variable.name == QUALITY.name:
        return np.full(shape, SURE, np.uint8)
    if variable.is_flag:
        return np.full(shape, cf.NO_OBSERVATION, np.uint8)
    if variable.packing.dtype == "u1":  # a count
        return np.zeros(shape, np.float32)
    return np.full(shape, np.nan, np.float32)


def merged_inputs(variables: tuple[Variable, ...]) -> tuple[str, ...]:
    """What is read of each satellite: values, counts and states, and the time of observation."""
    return (*(part.name for v in variables for part in Regrid.of(v)), TIME.name)
