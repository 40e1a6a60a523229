"""Turbulent heat fluxes, and the state of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from fluxengine.declare import UNKEYED, Arrays, Device, PlainStage, Variable
from fluxrecipes import vocabulary as cf
from fluxrecipes.stages.plain import aligned
from fluxrecipes.stages.residence import brought
from fluxrecipes.stages.states import of_all

if TYPE_CHECKING:
    import xarray as xr


def choices(wind: xr.DataArray, algorithm: str, device: Device = "cpu") -> dict[str, Any]:
    """How fluxes are computed beside what is observed: keywords of `fluxkernels.bulk.bulk_flux`.

    Parameters
    ----------
    wind : DataArray
        Satellites give equivalent neutral wind. Its grid tells the latitudes.
    algorithm : str
    device : {"cpu", "cuda"}
    """
    beside = [-1 if dim == "lat" else 1 for dim in wind.dims]
    latitude = wind["lat"].values.astype(np.float64).reshape(beside)
    return {
        "latitude": brought(latitude, device),
        "wind_kind": "neutral",
        "algorithm": algorithm,
        "outputs": ("sensible", "latent"),
    }


@dataclass(frozen=True)
class BulkFlux(PlainStage):
    """Turbulent heat fluxes from satellite (equivalent neutral) wind, SST, Ta and Qa.

    Parameters
    ----------
    algorithm : str
        As `fluxkernels.bulk.bulk_flux` names it.
    inputs : tuple of str
        Wind, SST, air temperature and humidity.
    device : {"cpu", "cuda"}
        Where it is computed, and where the fluxes stay.
    """

    algorithm: str = "coare36"
    inputs: tuple[str, ...] = (
        "wind_speed",
        "sea_surface_temperature",
        "air_temperature",
        "specific_humidity",
    )
    outputs: tuple[Variable, ...] = cf.FLUXES
    device: Device = field(default="cpu", metadata=UNKEYED)

    def load(self) -> Callable[[Arrays], Arrays]:
        """Compile the kernel."""
        from fluxkernels.bulk import bulk_flux

        def fluxes(arrays: Arrays) -> Arrays:
            fields = aligned(*(arrays[name] for name in self.inputs))
            observed, wind = (brought(given.data, self.device) for given in fields), fields[0]
            made = bulk_flux(*observed, **choices(wind, self.algorithm, self.device))
            return {
                cf.sensible_heat_flux.name: wind.copy(data=made.sensible),
                cf.latent_heat_flux.name: wind.copy(data=made.latent),
            }

        return fluxes


@dataclass(frozen=True)
class CombineStates(PlainStage):
    """The state of a flux: of its inputs the one furthest from an observed value."""

    inputs: tuple[str, ...] = (
        "wind_speed_state",
        "water_vapour_state",
        "sea_surface_temperature_state",
    )
    outputs: tuple[Variable, ...] = (cf.flux_state,)

    def load(self) -> Callable[[Arrays], Arrays]:
        """The stage's function."""

        def combine(arrays: Arrays) -> Arrays:
            states = aligned(*(arrays[name] for name in self.inputs))
            told = of_all([state.values for state in states])
            return {cf.flux_state.name: states[0].copy(data=told)}

        return combine
