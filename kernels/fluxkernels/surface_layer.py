"""What every bulk algorithm takes and gives at one point, and the air it shares."""

from __future__ import annotations

import math
from typing import NamedTuple

from fluxkernels.vector_math import sin

_DEGREE = math.pi / 180.0
ABSOLUTE_ZERO = 273.16  # what the references add to °C; not the 273.15 of the front door
ANY, LEVEL, EQUAL = 0, 1, 2
"""Heights: any three; one for temperature and humidity; one for all."""


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


class Options(NamedTuple):
    """What is fixed when an algorithm is compiled."""

    version: int = 0  # of COARE: 30, 35 or 36
    neutral: bool = False  # the wind is the 10-m equivalent neutral one
    cool_skin: bool = False
    waves: bool = False
    heights: int = ANY
    at_height: bool = False  # a height is given to reduce to; else it is 10 m


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


def is_known(x: Inputs, o: Options) -> bool:
    """Whether all that is needed is finite, and the wind is not negative."""
    total = x.wind_speed + x.sea_surface_temperature + x.air_temperature + x.specific_humidity
    total += x.height_wind + x.height_temperature + x.height_humidity + x.pressure
    total += x.latitude + x.boundary_layer_height + x.salinity
    total += x.rain + x.current
    if o.at_height:
        total += x.at_height
    if o.cool_skin:
        total += x.shortwave_down + x.longwave_down + x.albedo
    return total - total == 0.0 and x.wind_speed >= 0.0
