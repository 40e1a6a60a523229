"""What the algorithms share that give transfer coefficients: NCAR's and ECMWF's.

Scalar and branch-free. Constants and formulas are those of AeroBulk (Brodeau et al., 2017), whose
numbers the two are tested against: its gravity is 9.8 everywhere, its air holds heat by its
vapour, too, and both algorithms are for open water.

References
----------
Brodeau, L., B. Barnier, S. K. Gulev and C. Woods, 2017: Climatologically significant effects of
some approximations in the bulk parameterizations of turbulent air-sea fluxes. J. Phys. Oceanogr.,
47, 5-28.
"""

from __future__ import annotations

from typing import NamedTuple

from fluxkernels.limits import KELVIN_OF_ZERO_CELSIUS
from fluxkernels.surface_layer import (
    Air,
    Fluxes,
    Inputs,
    Options,
    is_known,
    latent_heat,
    output_height,
    rain_heat,
    saturation_slope,
    webb_correction,
)
from fluxkernels.vector_math import NAN, log, sqrt, where

KARMAN = 0.4
GRAVITY = 9.8
DRY_GAS = 287.05  # J kg-1 K-1
VAPOUR_GAS = 461.495
MOIST = VAPOUR_GAS / DRY_GAS - 1.0
DRY_HEAT = 1005.0  # J kg-1 K-1
_VAPOUR_HEAT = 1860.0
LAPSE_RATE = GRAVITY / DRY_HEAT
LEAST_COEFFICIENT = 1e-4
_STEEPEST = 200.0  # m-1, of the inverse Obukhov length
_SAME_HEIGHT = 0.01  # m


class Surface(NamedTuple):
    """What the iteration does not change."""

    wind: float  # over the water: actual, or 10-m equivalent neutral
    sea: float  # K
    potential: float  # of the air at height_temperature, K
    humidity: float  # of the saturated surface, kg kg-1
    viscosity: float  # of the air
    log_wind_height: float
    log_temperature_rise: float  # logarithm of height_temperature over height_wind; 0 if the same
    log_humidity_rise: float


class End(NamedTuple):
    """The surface layer as the iteration leaves it."""

    wind: float  # mean wind at height_wind
    speed: float  # the same with gusts, or no less than the least
    gust: float  # what makes the one of the other
    potential: float  # of the air at height_wind, K
    specific_humidity: float  # likewise
    drag: float
    stanton: float
    dalton: float
    inverse_length: float  # m-1
    roughness: float  # m
    roughness_heat: float
    roughness_moisture: float
    neutral_profile: float  # logarithm of 10 m over the roughness
    wind_rise: float  # from height_wind to the height wanted, in scales / kappa
    scalar_rise: float


class Nothing(NamedTuple):
    """What is kept of the first pass: one value that nobody needs."""

    speed: float


def surface(x: Inputs, humidity: float, viscosity: float) -> Surface:
    """Make the record of what is known and derived."""
    log_wind = log(x.height_wind)
    return Surface(
        wind=abs(x.wind_speed - x.current),
        sea=x.sea_surface_temperature + KELVIN_OF_ZERO_CELSIUS,
        potential=potential(x),
        humidity=humidity,
        viscosity=viscosity,
        log_wind_height=log_wind,
        log_temperature_rise=_rise(x.height_temperature, x.height_wind, log_wind),
        log_humidity_rise=_rise(x.height_humidity, x.height_wind, log_wind),
    )


def _rise(height: float, wind_height: float, log_wind: float) -> float:
    same = abs(height - wind_height) < _SAME_HEIGHT
    return where(same, 0.0, log(height) - log_wind)


def potential(x: Inputs) -> float:
    """Potential temperature (K) of the air, brought to the surface."""
    return x.air_temperature + KELVIN_OF_ZERO_CELSIUS + LAPSE_RATE * x.height_temperature


def salty(x: Inputs) -> float:
    """Share of the vapour pressure of fresh water: 0.98 at a salinity of 35."""
    return 1.0 - 0.02 * x.salinity / 35.0


def density(kelvin: float, humidity: float, pascal: float) -> float:
    """Density (kg m-3) of moist air."""
    return pascal / (DRY_GAS * kelvin * (1.0 + MOIST * humidity))


def virtual(kelvin: float, humidity: float) -> float:
    """Virtual temperature (K)."""
    return kelvin * (1.0 + MOIST * humidity)


def inverse_length(
    kelvin: float, humidity: float, friction: float, temperature: float, vapour: float
) -> float:
    """Inverse Obukhov length (m-1) of scales u*, t* and q*."""
    buoyancy = temperature * (1.0 + MOIST * humidity) + MOIST * kelvin * vapour
    least = max(friction * friction * kelvin * (1.0 + MOIST * humidity), 1e-9)
    return bounded(GRAVITY * KARMAN * buoyancy / least)


def bounded(inverse: float) -> float:
    """Keep an inverse Obukhov length within what occurs."""
    return max(-_STEEPEST, min(_STEEPEST, inverse))


def fluxes(x: Inputs, s: Surface, e: End, o: Options) -> Fluxes:
    """Fluxes of transfer coefficients, and what else describes the surface layer."""
    kelvin = e.potential - LAPSE_RATE * x.height_wind
    pascal = 100.0 * x.pressure
    level = pascal - density(kelvin, e.specific_humidity, pascal) * GRAVITY * x.height_wind
    air_density = density(kelvin, e.specific_humidity, level)
    vaporisation = latent_heat(x.sea_surface_temperature)
    warmth, moisture = s.sea - e.potential, s.humidity - e.specific_humidity
    heat = DRY_HEAT + _VAPOUR_HEAT * e.specific_humidity
    known = is_known(x, o) and e.drag == e.drag
    sensible = where(known, air_density * e.speed * heat * e.stanton * warmth, NAN)
    evaporation = where(known, air_density * e.speed * e.dalton * moisture, NAN)
    stress = where(known, air_density * e.speed * e.drag * e.wind, NAN)
    latent = vaporisation * evaporation
    root = sqrt(e.drag)
    friction = root * e.speed
    temperature, vapour = -e.stanton * warmth / root, -e.dalton * moisture / root
    height, _ = output_height(x, o)
    slope = root * e.wind * (1.0 / KARMAN)  # u* / kappa without gusts
    reduced = e.potential + temperature * (1.0 / KARMAN) * e.scalar_rise - LAPSE_RATE * height
    above = e.specific_humidity + vapour * (1.0 / KARMAN) * e.scalar_rise
    air = Air(kelvin, air_density, vaporisation)
    wet = saturation_slope(x.specific_humidity, vaporisation, kelvin)
    drenched = rain_heat(x, air, x.sea_surface_temperature, s.humidity - x.specific_humidity, wet)
    return Fluxes(
        sensible=sensible,
        latent=latent,
        stress=stress,
        friction_velocity=where(known, friction, NAN),
        temperature_scale=where(known, temperature, NAN),
        humidity_scale=where(known, vapour, NAN),
        transfer_coefficient_momentum=where(known, e.drag, NAN),
        transfer_coefficient_heat=where(known, e.stanton, NAN),
        transfer_coefficient_moisture=where(known, e.dalton, NAN),
        obukhov_length=where(known, 1.0 / e.inverse_length, NAN),
        roughness_length=where(known, e.roughness, NAN),
        roughness_length_heat=where(known, e.roughness_heat, NAN),
        roughness_length_moisture=where(known, e.roughness_moisture, NAN),
        gustiness=where(known, e.gust, NAN),
        skin_cooling=where(known, 0.0, NAN),
        surface_humidity=where(known, s.humidity, NAN),
        air_density=where(known, air_density, NAN),
        webb_latent=webb_correction(x, air, sensible, latent),
        evaporation=evaporation,
        wind_speed=where(known, e.wind, NAN),
        rain_heat=where(known, drenched, NAN),
        neutral_wind_10m=where(known, slope * e.neutral_profile, NAN),
        wind_speed_at_height=where(known, e.wind + slope * e.wind_rise, NAN),
        air_temperature_at_height=where(known, reduced, NAN),
        specific_humidity_at_height=where(known, above, NAN),
    )
