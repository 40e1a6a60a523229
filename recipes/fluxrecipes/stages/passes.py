"""The daily mean of both passes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fluxengine.declare import Arrays, PlainStage, Variable
from fluxrecipes import vocabulary as cf

if TYPE_CHECKING:
    import xarray as xr

PASSES = cf.count_of("flux", "passes")


@dataclass(frozen=True)
class MeanOfPasses(PlainStage):
    """Mean of the ascending and the descending pass, for each variable where it has values.

    A standard error, too, is the mean of both: that of a mean of errors that are alike.

    Parameters
    ----------
    variables : tuple of Variable
    min_passes : int
        2 leaves a cell empty unless both passes have a value; 1 takes the one there is, and
        ``flux_count`` says so.
    """

    variables: tuple[Variable, ...]
    min_passes: int = 1

    @property
    def inputs(self) -> tuple[str, ...]:
        """The variables and the state of the flux."""
        return (*(v.name for v in self.variables), cf.flux_state.name)

    @property
    def outputs(self) -> tuple[Variable, ...]:
        """The same, with the number of passes."""
        return (*self.variables, cf.flux_state, PASSES)

    def load(self) -> Callable[[Arrays], Arrays]:
        """The stage's function."""

        def mean(arrays: Arrays) -> Arrays:
            made = {v.name: self._mean(arrays[v.name]) for v in self.variables}
            state = arrays[cf.flux_state.name]
            count = (state <= cf.LAST_VALID).sum("orbit").astype(np.uint8)
            valid = count >= self.min_passes
            # Of valid passes the less direct one counts; without enough, the lesser obstacle.
            best = state.where(state <= cf.LAST_VALID, 0).max("orbit")
            lacking = state.where(state > cf.LAST_VALID, 255).min("orbit")
            made[cf.flux_state.name] = best.where(valid, lacking).astype(np.uint8)
            made[PASSES.name] = count
            return made

        return mean

    def _mean(self, values: xr.DataArray) -> xr.DataArray:
        count = values.notnull().sum("orbit")
        return (values.sum("orbit") / count.clip(min=1)).where(count >= self.min_passes)
