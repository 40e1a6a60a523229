"""What every bulk algorithm takes and gives at one point, and the air it shares."""

from __future__ import annotations

import math
from typing import NamedTuple

from fluxkernels.skin import WATER_HEAT_CAPACITY
from fluxkernels.vector_math import log, power_or_nan, sin

_DEGREE = math.pi / 180.0
LOG_10 = math.log(10.0)
HEAT_CAPACITY = 1004.67  # of dry air, J kg-1 K-1
GAS_CONSTANT = 287.1  # of dry air, J kg-1 K-1
ABSOLUTE_ZERO = 273.16  # what the references add to °C; not the 273.15 of the front door
ANY, LEVEL, EQUAL = 0, 1, 2
"""Heights: any three; one for temperature and humidity; one for all."""
GIVEN, TEN, OWN = 0, 1, 2
"""Height to reduce to: any; 10 m; the one height of all that is given."""


class Inputs(NamedTuple):
    """What is known at one point, in the physics' units."""

    wind_speed: float  # m s-1, at height_wind, or the 10-m equivalent neutral wind
    sea_surface_temperature: float  # °C
    air_temperature: float  # °C
    specific_humidity: float  # kg kg-1
    height_wind: float  # m
    height_temperature: float  # m
    height_humidity: float  # m
    pressure: float  # hPa, at sea level
    latitude: float  # degrees north
    boundary_layer_height: float  # m
    salinity: float
    shortwave_down: float  # W m-2
    longwave_down: float  # W m-2
    albedo: float
    rain: float  # mm h-1
    wave_speed: float  # phase speed at the spectral peak, m s-1; NaN: none given
    wave_height: float  # significant, m; NaN: none given
    current: float  # of the water along the wind, m s-1
    at_height: float  # m, of what is reduced to another height


class Fluxes(NamedTuple):
    """What is computed at one point."""

    sensible: float
    latent: float
    stress: float
    friction_velocity: float
    temperature_scale: float
    humidity_scale: float
    transfer_coefficient_momentum: float
    transfer_coefficient_heat: float
    transfer_coefficient_moisture: float
    obukhov_length: float
    roughness_length: float
    roughness_length_heat: float
    roughness_length_moisture: float
    gustiness: float
    skin_cooling: float
    surface_humidity: float
    air_density: float
    webb_latent: float
    evaporation: float
    wind_speed: float
    rain_heat: float
    neutral_wind_10m: float
    wind_speed_at_height: float
    air_temperature_at_height: float
    specific_humidity_at_height: float


class Air(NamedTuple):
    """What corrections to fluxes need to know of the air."""

    kelvin: float
    density: float  # kg m-3
    vaporisation: float  # J kg-1


class Options(NamedTuple):
    """What is fixed when an algorithm is compiled."""

    version: int = 0  # of COARE: 30, 35 or 36
    neutral: bool = False  # the wind is the 10-m equivalent neutral one
    cool_skin: bool = False
    waves: bool = False
    heights: int = ANY
    at_height: int = GIVEN


def gravity(latitude: float) -> float:
    """Acceleration of gravity (m s-2) at sea level."""
    x = sin(latitude * _DEGREE)
    y = x * x
    series = y * (0.0052790414 + y * (2.32718e-5 + y * (1.262e-7 + y * 7e-10)))
    return 9.7803267715 * (1.0 + series)


def air_viscosity(temperature: float) -> float:
    """Kinematic viscosity of air (m2 s-1) at °C."""
    t = temperature
    return 1.326e-5 * (1.0 + t * (0.006542 + t * (8.301e-6 - t * 4.84e-9)))


def output_height(x: Inputs, o: Options) -> tuple[float, float]:
    """Height (m) that the state of the air is reduced to, and its logarithm."""
    return (10.0, LOG_10) if o.at_height == TEN else (x.at_height, log(x.at_height))


def latent_heat(temperature: float) -> float:
    """Latent heat of vaporisation (J kg-1) of water at °C."""
    return (2.501 - 0.00237 * temperature) * 1e6


def saturation_slope(humidity: float, vaporisation: float, kelvin: float) -> float:
    """Rise of a saturated humidity with temperature (K-1), after Clausius and Clapeyron."""
    return 0.622 * vaporisation * humidity / (GAS_CONSTANT * (kelvin * kelvin))


def webb_correction(x: Inputs, air: Air, sensible: float, latent: float) -> float:
    """Webb's correction (W m-2) of a measured vapour flux for the mean vertical motion."""
    wet = 1.61 * latent / air.vaporisation / (1.0 + 1.61 * x.specific_humidity) / air.density
    warm = sensible / air.density / HEAT_CAPACITY / air.kelvin
    return air.density * (wet + warm) * x.specific_humidity * air.vaporisation


def rain_heat(x: Inputs, air: Air, interface: float, moisture: float, slope: float) -> float:
    """Heat (W m-2) that rain takes from the sea, at the wet-bulb temperature (Gosnell, 1995).

    `interface` in °C; `moisture` is the humidity there less that of the air, `slope` the rise of a
    saturated humidity with temperature.
    """
    t = x.air_temperature
    diffusivity_vapour = 2.11e-5 * power_or_nan(air.kelvin / ABSOLUTE_ZERO, 1.94)
    conductivity = (1.0 + 0.003309 * t - 1.44e-6 * t * t) * 0.02411
    diffusivity_heat = conductivity / (air.density * HEAT_CAPACITY)
    wet = slope * air.vaporisation * diffusivity_vapour / (HEAT_CAPACITY * diffusivity_heat)
    warmth = interface - t + moisture * air.vaporisation / HEAT_CAPACITY
    return x.rain / (1.0 + wet) * WATER_HEAT_CAPACITY * warmth / 3600.0


def is_known(x: Inputs, o: Options) -> bool:
    """Whether all that is needed is finite, and the wind is not negative."""
    total = x.wind_speed + x.sea_surface_temperature + x.air_temperature + x.specific_humidity
    total += x.height_wind + x.height_temperature + x.height_humidity + x.pressure
    total += x.latitude + x.boundary_layer_height + x.salinity
    total += x.rain + x.current
    if o.at_height == GIVEN:
        total += x.at_height
    if o.cool_skin:
        total += x.shortwave_down + x.longwave_down + x.albedo
    return total - total == 0.0 and x.wind_speed >= 0.0
