"""Turbulent heat fluxes, and the state of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fluxengine.declare import Arrays, PlainStage, Variable
from fluxrecipes import vocabulary as cf
from fluxrecipes.stages.plain import aligned

if TYPE_CHECKING:
    import xarray as xr


def choices(wind: xr.DataArray, algorithm: str) -> dict[str, Any]:
    """How fluxes are computed beside what is observed: keywords of `fluxkernels.bulk.bulk_flux`.

    Parameters
    ----------
    wind : DataArray
        Satellites give equivalent neutral wind. Its grid tells the latitudes.
    algorithm : str
    """
    latitude = wind["lat"].broadcast_like(wind).transpose(*wind.dims)
    return {
        "latitude": latitude.values,
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
            wind, sst, air, humidity = aligned(*(arrays[name] for name in self.inputs))
            observed = (values.values for values in (wind, sst, air, humidity))
            made = bulk_flux(*observed, **choices(wind, self.algorithm))
            return {
                cf.sensible_heat_flux.name: wind.copy(data=made.sensible),
                cf.latent_heat_flux.name: wind.copy(data=made.latent),
            }

        return fluxes


@dataclass(frozen=True)
class CombineStates(PlainStage):
    """The state of a flux: the highest code among its inputs, in the order of `STATES`."""

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
            highest = np.maximum.reduce([state.values for state in states])
            return {cf.flux_state.name: states[0].copy(data=highest)}

        return combine
