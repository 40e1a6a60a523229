"""What users of flux products expect beside the fluxes: states of the surface and of the air."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fluxengine.declare import Arrays, Packing, PlainStage, Variable, flag_variable
from fluxrecipes import vocabulary as cf
from fluxrecipes.near_surface import PRESSURE, local_hours, sea_saturation
from fluxrecipes.stages.fluxes import choices
from fluxrecipes.stages.plain import aligned

if TYPE_CHECKING:
    import xarray as xr

LOW = 2.0  # m: where land stations measure, and other flux products give air
A_DAY = 86_400.0  # s

actual_wind_speed = replace(
    cf.wind_speed,
    name="actual_wind_speed",
    long_name="10-m wind speed, of which the equivalent neutral wind has the stress",
)
sea_surface_humidity = Variable(
    "sea_surface_humidity",
    "kg kg-1",
    "specific humidity of air in equilibrium with the sea surface",
    "surface_specific_humidity",
    (0, 0.05),
    Packing("i2", 1e-6, 0.02, -32768),
)
sea_minus_air_temperature = Variable(
    "sea_minus_air_temperature",
    "K",
    "sea surface temperature less air temperature at 10 m",
    valid_range=(-40, 60),
    packing=Packing("i2", 0.002, 0, -32768),
    attrs=cf.DIFFERENCE,
)
sea_minus_air_humidity = Variable(
    "sea_minus_air_humidity",
    "kg kg-1",
    "specific humidity at the sea surface less that at 10 m",
    valid_range=(-0.03, 0.04),
    packing=Packing("i2", 2e-6, 0, -32768),
)
relative_humidity = Variable(
    "relative_humidity",
    "1",
    "relative humidity at 10 m, over water",
    "relative_humidity",
    (0, 1.05),
    Packing("i2", 5e-5, 0.5, -32768),
    height=10.0,
)
wind_stress = Variable(
    "wind_stress",
    "N m-2",
    "magnitude of the wind stress, of the bulk algorithm",
    "magnitude_of_surface_downward_stress",
    (0, 19.6),
    Packing("i2", 0.0006, 0, -32768),  # no offset: a calm must come back as 0
)
evaporation = Variable(
    "evaporation",
    "mm day-1",
    "evaporation as a depth of water, positive upward: the latent heat flux by the latent heat"
    " of vaporisation at the sea surface temperature",
    "lwe_water_evaporation_rate",
    (-25, 60),
    Packing("i2", 0.002, 0, -32768),
)
air_density = Variable(
    "air_density",
    "kg m-3",
    "density of moist air at 10 m and standard pressure",
    "air_density",
    (1.0, 1.7),
    Packing("i2", 2e-5, 1.2, -32768),
    height=10.0,
)
air_temperature_2m = replace(
    cf.air_temperature, name="air_temperature_2m", long_name="air temperature at 2 m", height=LOW
)
specific_humidity_2m = replace(
    cf.specific_humidity,
    name="specific_humidity_2m",
    long_name="specific humidity at 2 m",
    height=LOW,
)
local_time = Variable(
    "local_time",
    "h",
    "local mean solar time of the pass",
    valid_range=(0, 24),
    packing=Packing("i2", 0.01, 0, -32768),
    attrs={"comment": "where a cell was not seen, that at which it would have been"},
)
OPEN_OCEAN, COAST, SEA_ICE, LAND = 2, 3, 4, 5
surface_type = flag_variable(
    "surface_type",
    "what the cell is",
    {OPEN_OCEAN: "open_ocean", COAST: "coast", SEA_ICE: "sea_ice", LAND: "land"},
    comment="open ocean is also what was not observed and is neither coast, ice nor land",
)

# In the order of `SurfaceStates.load`.
QUANTITIES = (
    actual_wind_speed,
    sea_surface_humidity,
    sea_minus_air_temperature,
    sea_minus_air_humidity,
    relative_humidity,
    wind_stress,
    evaporation,
    air_density,
    air_temperature_2m,
    specific_humidity_2m,
)


@dataclass(frozen=True)
class SurfaceStates(PlainStage):
    """States of surface and air that follow from a flux and what it was computed from.

    Stress, density, actual wind and air at 2 m are the bulk algorithm's, evaporation that of the
    published latent heat flux, corrected where that is.

    Parameters
    ----------
    algorithm : str
        As `fluxkernels.bulk.bulk_flux` names it.
    wind : str
        Name of the equivalent neutral wind.
    """

    algorithm: str = "coare36"
    wind: str = cf.wind_speed.name
    outputs: tuple[Variable, ...] = QUANTITIES

    @property
    def inputs(self) -> tuple[str, ...]:
        """Wind, SST, air, and the latent heat flux."""
        sea = cf.sea_surface_temperature.name
        return (self.wind, sea, *(v.name for v in cf.NEAR_SURFACE), cf.latent_heat_flux.name)

    def load(self) -> Callable[[Arrays], Arrays]:
        """Compile the kernel."""
        from fluxkernels.bulk import bulk_flux
        from fluxkernels.thermodynamics import latent_heat_of_vaporisation
        from fluxkernels.thermodynamics import relative_humidity as humidity_of

        def states(arrays: Arrays) -> Arrays:
            wind, *others = aligned(*(arrays[name] for name in self.inputs))
            sea, air, humidity, latent = (one.values for one in others)
            there = np.isfinite(latent)
            asked = choices(wind, self.algorithm) | {
                "at_height": LOW,
                "outputs": (
                    "wind_speed",
                    "stress",
                    "air_density",
                    "air_temperature_at_height",
                    "specific_humidity_at_height",
                ),
            }
            made = bulk_flux(wind.values, sea, air, humidity, **asked)
            surface = sea_saturation(sea)
            found = (
                np.maximum(made.wind_speed, 0.0),  # in very stable calm air COARE's runs below
                surface,
                sea - air,
                surface - humidity,
                humidity_of(humidity, air, PRESSURE, over="water"),
                made.stress,
                latent / latent_heat_of_vaporisation(sea) * A_DAY,
                made.air_density,
                made.air_temperature_at_height,
                made.specific_humidity_at_height,
            )
            return {
                variable.name: wind.copy(data=np.where(there, value, np.nan).astype(np.float32))
                for variable, value in zip(QUANTITIES, found, strict=True)
            }

        return states


@dataclass(frozen=True)
class WhenAndWhere(PlainStage):
    """Local time of each pass, and what each cell is."""

    inputs: tuple[str, ...] = (cf.pass_time.name, cf.flux_state.name)
    outputs: tuple[Variable, ...] = (local_time, surface_type)

    def load(self) -> Callable[[Arrays], Arrays]:
        """The stage's function."""

        def told(arrays: Arrays) -> Arrays:
            when, state = arrays[cf.pass_time.name], arrays[cf.flux_state.name]
            when = when.transpose("time", "orbit", "lat", "lon")
            hours = local_hours(when.values, when["lon"].values)
            return {
                local_time.name: when.copy(data=hours.astype(np.float32)),
                surface_type.name: _kinds(state),
            }

        return told


def _kinds(state: xr.DataArray) -> xr.DataArray:
    """Codes of `surface_type` from those of a state."""
    kinds = np.full(256, OPEN_OCEAN, np.uint8)
    kinds[[0, 1]] = [0, 1]  # never written, failed: the engine's
    kinds[[cf.COAST, cf.SEA_ICE, cf.LAND]] = COAST, SEA_ICE, LAND
    return state.copy(data=kinds[state.values])
