"""From a source's fine grid to a product's: mean, count, and the reason where there is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fluxengine.declare import Array, Arrays, PlainStage, Variable
from fluxrecipes import vocabulary as cf

if TYPE_CHECKING:
    import xarray as xr

VALID_FLAG = 2  # of every source's flag variables

# From a source's flag code to the state of a product's cell.
RSS_REASONS = (
    (0, cf.NO_OBSERVATION),
    (1, cf.NO_OBSERVATION),
    (251, cf.NO_RETRIEVAL),
    (252, cf.SEA_ICE),
    (253, cf.COAST),
    (254, cf.NO_OBSERVATION),
    (255, cf.LAND),
)
OISST_REASONS = ((0, cf.NO_OBSERVATION), (1, cf.NO_OBSERVATION), (3, cf.LAND))


@dataclass(frozen=True)
class Regrid(PlainStage):
    """Mean of the valid cells of a finer grid, with their count and, if none, the reason.

    Parameters
    ----------
    variables : tuple of Variable
    reasons : tuple of (int, int)
        From the flag codes of the input to states.
    factor : int
        Fine cells along each side of a coarse one.
    min_valid : float
        Share of the ``factor**2`` fine cells that must be valid. One valid cell of 16 would stand
        for a rainy cell by its dry corner.
    """

    variables: tuple[Variable, ...]
    reasons: tuple[tuple[int, int], ...]
    factor: int = 4
    min_valid: float = 0.5

    @property
    def inputs(self) -> tuple[str, ...]:
        """Each variable and its flags."""
        return tuple(n for v in self.variables for n in (v.name, f"{v.name}_flag"))

    @property
    def outputs(self) -> tuple[Variable, ...]:
        """Each variable with count and state."""
        return tuple(part for v in self.variables for part in self.of(v))

    @staticmethod
    def of(variable: Variable) -> tuple[Variable, Variable, Variable]:
        """What is made of a variable: itself, count and state."""
        name = variable.name
        return variable, cf.count_of(name, "finer cells"), cf.state_of(name)

    def load(self) -> Callable[[Arrays], Arrays]:
        """The stage's function."""
        return self._run

    def _run(self, arrays: Arrays) -> Arrays:
        made: dict[str, xr.DataArray] = {}
        for variable in self.variables:
            name = variable.name
            made |= self._regridded(name, arrays[name], arrays[f"{name}_flag"])
        return made

    def _regridded(
        self, name: str, values: xr.DataArray, flags: xr.DataArray
    ) -> dict[str, xr.DataArray]:
        fine = in_cells(values.values, self.factor)
        valid = in_cells(flags.values, self.factor) == VALID_FLAG
        count = valid.sum(axis=(-3, -1), dtype=np.uint8)
        total = np.where(valid, fine, 0).sum(axis=(-3, -1), dtype=np.float64)
        enough = count >= max(1, self.min_valid * self.factor**2)
        mean = np.where(enough, total / np.maximum(count, 1), np.nan).astype(np.float32)
        state = np.where(enough, cf.OBSERVED, self._why_not(flags.values)).astype(np.uint8)
        return {
            name: coarse(values, self.factor, mean),
            f"{name}_count": coarse(values, self.factor, count),
            f"{name}_state": coarse(values, self.factor, state),
        }

    def _why_not(self, flags: Array) -> Array:
        """The commonest reason among the fine cells that are not land; land if all are."""
        most = np.zeros((*flags.shape[:-2], *(n // self.factor for n in flags.shape[-2:])), "u1")
        why = np.full(most.shape, cf.LAND, "u1")
        for state in sorted({s for _, s in self.reasons} - {cf.LAND}):
            codes = [code for code, to in self.reasons if to == state]
            number = in_cells(np.isin(flags, codes), self.factor).sum(axis=(-3, -1), dtype="u1")
            why = np.where(number > most, state, why)
            most = np.maximum(number, most)
        # Valid cells, but too few of them, beside land: the rest of the cell cannot be retrieved.
        partly = (most == 0) & in_cells(flags == VALID_FLAG, self.factor).any(axis=(-3, -1))
        return np.where(partly, cf.COAST, why)


@dataclass(frozen=True)
class ObservationTime(PlainStage):
    """When a coarse cell was observed: the middle one of its finer cells' times.

    A mean would be noon where a day's first swath meets its last one at midnight.

    Parameters
    ----------
    factor : int
        Fine cells along each side of a coarse one.
    """

    factor: int = 4
    inputs: tuple[str, ...] = (cf.pass_time.name, f"{cf.pass_time.name}_flag")
    outputs: tuple[Variable, ...] = (cf.pass_time,)

    def load(self) -> Callable[[Arrays], Arrays]:
        """The stage's function."""
        return self._run

    def _run(self, arrays: Arrays) -> Arrays:
        times, flags = (arrays[name] for name in self.inputs)
        known = np.where(flags.values == VALID_FLAG, times.values, np.nan)
        fine = np.moveaxis(in_cells(known, self.factor), -3, -2)
        inner = fine.reshape(*fine.shape[:-2], self.factor**2)
        inner = np.sort(inner, axis=-1)  # NaN last
        middle = (np.isfinite(inner).sum(axis=-1, keepdims=True) - 1).clip(min=0) // 2
        found = np.take_along_axis(inner, middle, axis=-1)[..., 0]
        return {cf.pass_time.name: coarse(times, self.factor, found)}


def in_cells(values: Array, factor: int) -> Array:
    """Fine cells by the coarse ones that hold them, shape (..., lat, factor, lon, factor)."""
    *front, rows, columns = values.shape
    return values.reshape(*front, rows // factor, factor, columns // factor, factor)


def coarse(fine: xr.DataArray, factor: int, values: Array) -> xr.DataArray:
    """Values on the coarse grid of a fine field."""
    import xarray as xr

    coords = {d: fine[d].values for d in fine.dims[:-2]}
    for name in fine.dims[-2:]:
        coords[name] = fine[name].values.reshape(-1, factor).mean(axis=1)
    return xr.DataArray(values, dims=fine.dims, coords=coords)
