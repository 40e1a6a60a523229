"""The daily mean of both passes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fluxengine.declare import Arrays, PlainStage, Variable
from fluxrecipes import vocabulary as cf
from fluxrecipes.stages.states import has_value, of_mean
from fluxrecipes.standard_errors import error_of, systematic_error_of

if TYPE_CHECKING:
    import xarray as xr

PASSES = cf.count_of("flux", "passes")
APART = 0.5  # days between the passes of a satellite


@dataclass(frozen=True)
class MeanOfPasses(PlainStage):
    """Mean of the ascending and the descending pass, for each variable where it has values.

    Of standard errors that of the mean is told: systematic parts of both passes are the same, so
    that theirs is the mean of them; random parts r and q are correlated by exp(-12 h / T), so that
    the variance is (r² + q² + 2 r q exp(-12 h / T)) / 4.

    Parameters
    ----------
    variables : tuple of Variable
        With the standard errors and their systematic parts, of those that have any.
    min_passes : int
        2 leaves a cell empty unless both passes have a value; 1 takes the one there is, and
        ``flux_count`` says so.
    erring : tuple of (Variable, float or None)
        Variables that have standard errors, and T [days] of the random parts of these; without it
        they are taken as the same in both passes.
    """

    variables: tuple[Variable, ...]
    min_passes: int = 1
    erring: tuple[tuple[Variable, float | None], ...] = ()

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
            for variable, days in self.erring:
                whole, part = error_of(variable).name, systematic_error_of(variable).name
                made[whole] = self._error(arrays[whole], arrays[part], made[part], days)
            state = arrays[cf.flux_state.name]
            count = state.copy(data=has_value(state.values)).sum("orbit").astype(np.uint8)
            made[cf.flux_state.name] = of_mean(state, count >= self.min_passes, "orbit")
            made[PASSES.name] = count
            return made

        return mean

    def _mean(self, values: xr.DataArray) -> xr.DataArray:
        count = values.notnull().sum("orbit")
        return (values.sum("orbit") / count.clip(min=1)).where(count >= self.min_passes)

    def _error(
        self, total: xr.DataArray, systematic: xr.DataArray, mean: xr.DataArray, days: float | None
    ) -> xr.DataArray:
        """Standard error of the mean of both passes, or of the one there is."""
        # Not below 0 by rounding, nor by that of what was stored.
        square = (total.astype(float) ** 2 - systematic.astype(float) ** 2).clip(min=0.0)
        count = square.notnull().sum("orbit")
        both = (square.prod("orbit", min_count=2) ** 0.5).fillna(0.0)
        alike = 1.0 if days is None else float(np.exp(-APART / days))
        variance = (square.sum("orbit") + 2.0 * alike * both) / count.clip(min=1) ** 2
        whole: xr.DataArray = (variance + mean**2) ** 0.5
        return whole
