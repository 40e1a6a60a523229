"""What a bulk algorithm gives: the record, and the CF attributes of its fields."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fluxkernels.errors import UnknownOutputError

Array: TypeAlias = NDArray[np.floating[Any]]


class BulkFlux(NamedTuple):
    """Fluxes between sea and air, each of the broadcast shape of the inputs.

    Positive is upward: the ocean loses heat. What was not asked for is None.
    """

    sensible: Array
    """Sensible heat flux, W m-2."""
    latent: Array
    """Latent heat flux, W m-2, Webb correction not included."""
    stress: Array
    """Magnitude of the wind stress along the mean wind, N m-2; 0 in a calm."""
    friction_velocity: Array
    """u*, gustiness included, m s-1."""
    temperature_scale: Array
    """t*, K."""
    humidity_scale: Array
    """q*, kg kg-1."""
    transfer_coefficient_momentum: Array
    """Drag coefficient, relative to the wind with gustiness at `height_wind`."""
    transfer_coefficient_heat: Array
    """Stanton number, relative to the wind with gustiness."""
    transfer_coefficient_moisture: Array
    """Dalton number, relative to the wind with gustiness."""
    obukhov_length: Array
    """m; infinite where the surface layer is exactly neutral."""
    roughness_length: Array
    """For momentum, m."""
    roughness_length_heat: Array
    """m."""
    roughness_length_moisture: Array
    """m."""
    gustiness: Array
    """m s-1."""
    skin_cooling: Array
    """How much colder the interface is than the water below, K; 0 without `cool_skin`."""
    surface_humidity: Array
    """Saturated specific humidity at the interface, kg kg-1."""
    air_density: Array
    """kg m-3, at `height_temperature`."""
    webb_latent: Array
    """Webb correction, W m-2: what to add to an eddy-covariance latent heat flux."""
    evaporation: Array
    """kg m-2 s-1."""
    wind_speed: Array
    """Mean wind at `height_wind`, m s-1: the input, or what a neutral wind stands for."""
    rain_heat: Array
    """Heat that rain at the wet-bulb temperature takes from the sea, W m-2."""
    neutral_wind_10m: Array
    """10-m equivalent neutral wind, m s-1."""
    wind_speed_at_height: Array
    """Mean wind at `at_height`, m s-1."""
    air_temperature_at_height: Array
    """At `at_height`, K."""
    specific_humidity_at_height: Array
    """At `at_height`, kg kg-1."""


def _cf(long_name: str, units: str, standard_name: str = "") -> Mapping[str, str]:
    named = {"standard_name": standard_name} if standard_name else {}
    return {**named, "long_name": long_name, "units": units}


ATTRIBUTES: Mapping[str, Mapping[str, str]] = {
    "sensible": _cf("sensible heat flux", "W m-2", "surface_upward_sensible_heat_flux"),
    "latent": _cf("latent heat flux", "W m-2", "surface_upward_latent_heat_flux"),
    "stress": _cf("wind stress", "N m-2", "magnitude_of_surface_downward_stress"),
    "friction_velocity": _cf(
        "friction velocity with gustiness", "m s-1", "magnitude_of_surface_friction_velocity_in_air"
    ),
    "temperature_scale": _cf("scale of the temperature profile", "K"),
    "humidity_scale": _cf("scale of the humidity profile", "kg kg-1"),
    "transfer_coefficient_momentum": _cf(
        "drag coefficient", "1", "surface_drag_coefficient_for_momentum_in_air"
    ),
    "transfer_coefficient_heat": _cf(
        "Stanton number", "1", "surface_drag_coefficient_for_heat_in_air"
    ),
    "transfer_coefficient_moisture": _cf("Dalton number", "1"),
    "obukhov_length": _cf("Obukhov length", "m", "atmosphere_obukhov_length"),
    "roughness_length": _cf(
        "roughness length for momentum", "m", "surface_roughness_length_for_momentum_in_air"
    ),
    "roughness_length_heat": _cf(
        "roughness length for heat", "m", "surface_roughness_length_for_heat_in_air"
    ),
    "roughness_length_moisture": _cf("roughness length for moisture", "m"),
    "gustiness": _cf("gustiness of the mean wind", "m s-1"),
    "skin_cooling": _cf("temperature below the cool skin less that of the interface", "K"),
    "surface_humidity": _cf("saturation specific humidity at the interface", "kg kg-1"),
    "air_density": _cf("density of the air", "kg m-3", "air_density"),
    "webb_latent": _cf("Webb correction of an eddy-covariance latent heat flux", "W m-2"),
    "evaporation": _cf("evaporation", "kg m-2 s-1", "water_evapotranspiration_flux"),
    "wind_speed": _cf("mean wind speed", "m s-1", "wind_speed"),
    "rain_heat": _cf("heat that rain takes from the sea", "W m-2"),
    "neutral_wind_10m": _cf("10-m equivalent neutral wind speed", "m s-1", "wind_speed"),
    "wind_speed_at_height": _cf("mean wind speed at another height", "m s-1", "wind_speed"),
    "air_temperature_at_height": _cf("air temperature at another height", "K", "air_temperature"),
    "specific_humidity_at_height": _cf(
        "specific humidity at another height", "kg kg-1", "specific_humidity"
    ),
}
"""CF attributes of each field, which results carry that are DataArrays."""


def chosen(outputs: Collection[str] | None) -> list[Mapping[str, str] | None]:
    """Attributes of the fields named, None for those that are not.

    Raises
    ------
    UnknownOutputError
        A name is that of no field.
    """
    wanted = BulkFlux._fields if outputs is None else outputs
    names = (wanted,) if isinstance(wanted, str) else tuple(wanted)
    for name in names:
        if name not in BulkFlux._fields:
            raise UnknownOutputError(
                f"a bulk flux has no {name!r}.",
                "outputs",
                f"Choose among: {', '.join(BulkFlux._fields)}.",
            )
    return [ATTRIBUTES[name] if name in names else None for name in BulkFlux._fields]


def some(outputs: Collection[str] | None) -> list[Mapping[str, str] | None]:
    """Attributes as `chosen` gives them, of one field at least.

    Raises
    ------
    UnknownOutputError
        A name is that of no field, or there is none.
    """
    wanted = chosen(outputs)
    if not any(wanted):
        mend = f"Choose among: {', '.join(BulkFlux._fields)}."
        raise UnknownOutputError("no field is named.", "outputs", mend)
    return wanted
