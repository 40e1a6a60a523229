"""The stages of the products: each maps a window of named arrays to new ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fluxengine.declare import Array, Arrays, Variable
from fluxengine.grid import Halo
from fluxkernels.gaps import EMPTY, INTERPOLATED, fill_in_time
from fluxrecipes import vocabulary as cf

if TYPE_CHECKING:
    import xarray as xr

VALID_FLAG = 2  # of every source's flag variables
FILLABLE = (cf.NO_OBSERVATION, cf.NO_RETRIEVAL, cf.COAST)

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
class _Stage:
    """What most stages share: no halo, no weights."""

    @property
    def halo(self) -> Halo:
        """None."""
        return Halo()

    @property
    def weights(self) -> tuple[Path, ...]:
        """None."""
        return ()


@dataclass(frozen=True)
class Regrid(_Stage):
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
        return tuple(
            made
            for v in self.variables
            for made in (v, cf.count_of(v.name, "finer cells"), cf.state_of(v.name))
        )

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
        fine = self._in_cells(values.values)
        valid = self._in_cells(flags.values) == VALID_FLAG
        count = valid.sum(axis=(-3, -1), dtype=np.uint8)
        total = np.where(valid, fine, 0).sum(axis=(-3, -1), dtype=np.float64)
        enough = count >= max(1, self.min_valid * self.factor**2)
        mean = np.where(enough, total / np.maximum(count, 1), np.nan).astype(np.float32)
        state = np.where(enough, cf.OBSERVED, self._why_not(flags.values)).astype(np.uint8)
        return {
            name: self._coarse(values, mean),
            f"{name}_count": self._coarse(values, count),
            f"{name}_state": self._coarse(values, state),
        }

    def _why_not(self, flags: Array) -> Array:
        """The commonest reason among the fine cells that are not land; land if all are."""
        most = np.zeros((*flags.shape[:-2], *(n // self.factor for n in flags.shape[-2:])), "u1")
        why = np.full(most.shape, cf.LAND, "u1")
        for state in sorted({s for _, s in self.reasons} - {cf.LAND}):
            codes = [code for code, to in self.reasons if to == state]
            number = self._in_cells(np.isin(flags, codes)).sum(axis=(-3, -1), dtype="u1")
            why = np.where(number > most, state, why)
            most = np.maximum(number, most)
        # Valid cells, but too few of them, beside land: the rest of the cell cannot be retrieved.
        partly = (most == 0) & self._in_cells(flags == VALID_FLAG).any(axis=(-3, -1))
        return np.where(partly, cf.COAST, why)

    def _in_cells(self, values: Array) -> Array:
        """Shape (..., lat, factor, lon, factor)."""
        *front, rows, columns = values.shape
        return values.reshape(*front, rows // self.factor, self.factor, columns // self.factor, -1)

    def _coarse(self, fine: xr.DataArray, values: Array) -> xr.DataArray:
        import xarray as xr

        coords = {d: fine[d].values for d in fine.dims[:-2]}
        for name in fine.dims[-2:]:
            coords[name] = fine[name].values.reshape(-1, self.factor).mean(axis=1)
        return xr.DataArray(values, dims=fine.dims, coords=coords)


@dataclass(frozen=True)
class FillInTime(_Stage):
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


@dataclass(frozen=True)
class RetrieveByRegression(_Stage):
    """Baseline retrieval of air temperature and humidity from wind, vapour and SST.

    Parameters
    ----------
    model : Path
        Weights file of a `fluxkernels.regression.QuadraticRegression`.
    """

    model: Path
    inputs: tuple[str, ...] = ("wind_speed", "water_vapour", "sea_surface_temperature")
    outputs: tuple[Variable, ...] = cf.NEAR_SURFACE

    @property
    def weights(self) -> tuple[Path, ...]:
        """The regression's coefficients."""
        return (self.model,)

    def load(self) -> Callable[[Arrays], Arrays]:
        """Read the coefficients."""
        from fluxkernels.regression import QuadraticRegression

        regression = QuadraticRegression.load(self.model)

        def retrieve(arrays: Arrays) -> Arrays:
            wind, vapour, sst = _aligned(*(arrays[name] for name in self.inputs))
            near_surface = regression.predict(wind.values, vapour.values, sst.values)
            pairs = zip(self.outputs, near_surface, strict=True)
            return {variable.name: wind.copy(data=values) for variable, values in pairs}

        return retrieve


@dataclass(frozen=True)
class BulkFlux(_Stage):
    """Turbulent heat fluxes from satellite (equivalent neutral) wind, SST, Ta and Qa.

    Parameters
    ----------
    algorithm : str
        As `fluxkernels.bulk.bulk_flux` names it.
    """

    algorithm: str = "coare36"
    inputs: tuple[str, ...] = (
        "wind_speed",
        "sea_surface_temperature",
        "air_temperature",
        "specific_humidity",
    )
    outputs: tuple[Variable, ...] = cf.FLUXES

    def load(self) -> Callable[[Arrays], Arrays]:
        """Compile the kernel."""
        from fluxkernels.bulk import bulk_flux

        def fluxes(arrays: Arrays) -> Arrays:
            wind, sst, air, humidity = _aligned(*(arrays[name] for name in self.inputs))
            latitude = wind["lat"].broadcast_like(wind).transpose(*wind.dims)
            made = bulk_flux(
                wind.values,
                sst.values,
                air.values,
                humidity.values,
                latitude=latitude.values,
                wind_kind="neutral",
                algorithm=self.algorithm,
            )
            return {
                cf.sensible_heat_flux.name: wind.copy(data=made.sensible),
                cf.latent_heat_flux.name: wind.copy(data=made.latent),
            }

        return fluxes


FLUX_STATE = cf.state_of("flux")


@dataclass(frozen=True)
class CombineStates(_Stage):
    """The state of a flux: the highest code among its inputs, in the order of `STATES`."""

    inputs: tuple[str, ...] = (
        "wind_speed_state",
        "water_vapour_state",
        "sea_surface_temperature_state",
    )
    outputs: tuple[Variable, ...] = (FLUX_STATE,)

    def load(self) -> Callable[[Arrays], Arrays]:
        """The stage's function."""

        def combine(arrays: Arrays) -> Arrays:
            states = _aligned(*(arrays[name] for name in self.inputs))
            highest = np.maximum.reduce([state.values for state in states])
            return {FLUX_STATE.name: states[0].copy(data=highest)}

        return combine


PASSES = cf.count_of("flux", "passes")


@dataclass(frozen=True)
class MeanOfPasses(_Stage):
    """Mean of the ascending and the descending pass, for each variable where it has values.

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
        return (*(v.name for v in self.variables), FLUX_STATE.name)

    @property
    def outputs(self) -> tuple[Variable, ...]:
        """The same, with the number of passes."""
        return (*self.variables, FLUX_STATE, PASSES)

    def load(self) -> Callable[[Arrays], Arrays]:
        """The stage's function."""

        def mean(arrays: Arrays) -> Arrays:
            made = {v.name: self._mean(arrays[v.name]) for v in self.variables}
            state = arrays[FLUX_STATE.name]
            count = (state <= cf.LAST_VALID).sum("orbit").astype(np.uint8)
            valid = count >= self.min_passes
            # Of valid passes the less direct one counts; without enough, the lesser obstacle.
            best = state.where(state <= cf.LAST_VALID, 0).max("orbit")
            lacking = state.where(state > cf.LAST_VALID, 255).min("orbit")
            made[FLUX_STATE.name] = best.where(valid, lacking).astype(np.uint8)
            made[PASSES.name] = count
            return made

        return mean

    def _mean(self, values: xr.DataArray) -> xr.DataArray:
        count = values.notnull().sum("orbit")
        return (values.sum("orbit") / count.clip(min=1)).where(count >= self.min_passes)


def _aligned(*arrays: xr.DataArray) -> tuple[xr.DataArray, ...]:
    """Arrays broadcast to one another, dimensions as in the first."""
    import xarray as xr

    return tuple(a.transpose(*arrays[0].dims) for a in xr.broadcast(*arrays))
