"""Gap filling."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fluxengine.declare import Arrays, PlainStage, Variable
from fluxengine.grid import Halo
from fluxkernels.filling.temporal import EMPTY, INTERPOLATED, fill_in_time
from fluxrecipes import vocabulary as cf

if TYPE_CHECKING:
    import xarray as xr

FILLABLE = (cf.NO_OBSERVATION, cf.NO_RETRIEVAL, cf.COAST)


@dataclass(frozen=True)
class FillInTime(PlainStage):
    """Baseline gap filling: linear interpolation in time, persistence at the ends of a gap.

    Observed values are kept. Land and sea ice are not filled: nothing can be observed there.

    Parameters
    ----------
    variables : tuple of Variable
    reach : int
        Days to look back and ahead.
    """

    variables: tuple[Variable, ...]
    reach: int = 3

    @property
    def inputs(self) -> tuple[str, ...]:
        """Each variable and its state."""
        return tuple(n for v in self.variables for n in (v.name, f"{v.name}_state"))

    @property
    def outputs(self) -> tuple[Variable, ...]:
        """The same, filled."""
        return tuple(m for v in self.variables for m in (v, cf.state_of(v.name)))

    @property
    def halo(self) -> Halo:
        """The days it looks back and ahead."""
        return Halo({"time": (self.reach, self.reach)})

    def load(self) -> Callable[[Arrays], Arrays]:
        """The stage's function."""
        return self._run

    def _run(self, arrays: Arrays) -> Arrays:
        made: dict[str, xr.DataArray] = {}
        for variable in self.variables:
            values, state = arrays[variable.name], arrays[f"{variable.name}_state"]
            filled = fill_in_time(values.values, self.reach)
            allowed = np.isin(state.values, FILLABLE) & (filled.how != EMPTY)
            told = np.where(filled.how == INTERPOLATED, cf.INTERPOLATED, cf.PERSISTED)
            made[variable.name] = values.copy(data=np.where(allowed, filled.values, values.values))
            made[f"{variable.name}_state"] = state.copy(
                data=np.where(allowed, told, state.values).astype(np.uint8)
            )
        return made
