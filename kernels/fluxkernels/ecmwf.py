"""The bulk algorithm of ECMWF's IFS (cycles 40r1 to 45r1) over open water, at one point.

The order of its updates, its limits, its first guess (COARE's) and its five passes are AeroBulk's
`turb_ecmwf` with a fixed Charnock number, without cool skin and warm layer.

References
----------
ECMWF, 2021: IFS documentation CY47R3, part IV: physical processes, chapter 3 (roughness: eq. 3.26;
gustiness: 3.8; stability: 3.20-3.24).
Beljaars, A. C. M., 1995: The parametrization of surface fluxes in large-scale models under free
convection. Q. J. R. Meteorol. Soc., 121, 255-270.
"""

from __future__ import annotations

from typing import NamedTuple

from fluxkernels.compile import Algorithm
from fluxkernels.limits import KELVIN_OF_ZERO_CELSIUS
from fluxkernels.stability import (
    psi_momentum_ecmwf,
    psi_momentum_ecmwf_guess,
    psi_scalar_ecmwf,
    psi_scalar_ecmwf_guess,
)
from fluxkernels.surface_layer import LOG_10, Fluxes, Inputs, Options, air_viscosity, output_height
from fluxkernels.transfer import (
    DRY_GAS,
    GRAVITY,
    KARMAN,
    LAPSE_RATE,
    LEAST_COEFFICIENT,
    VAPOUR_GAS,
    End,
    Nothing,
    Surface,
    bounded,
    fluxes,
    inverse_length,
    salty,
    surface,
    virtual,
)
from fluxkernels.vector_math import exp, log, log_or_nan, power, sqrt, where

PASSES = 5
_CHARNOCK = 0.018
_SMOOTH_WIND, _SMOOTH_HEAT, _SMOOTH_VAPOUR = 0.11, 0.40, 0.62
_BOUNDARY_LAYER = 1000.0  # m
_ROUGHEST = 0.001  # m
_LEAST_WIND = 0.2
_LEAST_WARMTH, _LEAST_MOISTURE = 1e-9, 1e-12
_LOG_FIRST_ROUGHNESS = -9.210340371976182  # 0.1 mm
_LOG_100000 = LOG_10 - _LOG_FIRST_ROUGHNESS
_GUESSED_FREE = 0.004 * 600.0 * 1.2**3  # COARE's: boundary layer, gustiness factor


class State(NamedTuple):
    """What a pass takes from the one before, and leaves."""

    wind: float  # mean wind at height_wind
    speed: float  # the same with gusts
    gust: float
    potential: float  # of the air at height_wind, K
    specific_humidity: float
    warmth: float  # air minus sea, of the pass before
    moisture: float
    friction: float
    roughness: float
    roughness_heat: float
    roughness_moisture: float
    inverse_length: float
    wind_psi: float  # at height_wind
    scalar_psi: float
    wind_profile: float  # kappa U / u*
    heat_profile: float
    moisture_profile: float


class Stability(NamedTuple):
    """What the first step changes."""

    inverse_length: float
    wind_psi: float
    scalar_psi: float


class Roughness(NamedTuple):
    """What the second step changes."""

    friction: float
    roughness: float
    roughness_heat: float
    roughness_moisture: float


class Profiles(NamedTuple):
    """What the third step changes."""

    wind: float
    speed: float
    gust: float
    wind_profile: float
    heat_profile: float
    moisture_profile: float


class Levels(NamedTuple):
    """What the last step changes."""

    potential: float
    specific_humidity: float
    warmth: float
    moisture: float


def algorithm(options: Options) -> Algorithm:
    """ECMWF's algorithm, for these options."""
    return Algorithm(
        name="ecmwf",
        prepare=prepare,
        guess=guess,
        steps=(stability, roughness, profiles, levels),
        finish=finish,
        passes=PASSES,
        inputs=Inputs,
        fixed=Surface,
        state=State,
        kept=Nothing,
        outputs=Fluxes,
        options=options,
    )


def prepare(x: Inputs, o: Options) -> Surface:
    """Derive from the inputs what stays fixed during the iteration."""
    t = x.sea_surface_temperature + KELVIN_OF_ZERO_CELSIUS
    vapour = salty(x) * 6.1121 * exp(17.502 * (t - 273.16) / (t - 32.19))
    ratio = DRY_GAS / VAPOUR_GAS
    humidity = ratio * vapour / (x.pressure - (1.0 - ratio) * vapour)
    # As in AeroBulk, of the potential temperature.
    warm = x.air_temperature + LAPSE_RATE * x.height_temperature
    return surface(x, humidity, air_viscosity(warm))


def least(difference: float, limit: float) -> float:
    """Keep a difference away from zero, on its side of it."""
    return where(difference >= 0.0, max(difference, limit), min(difference, -limit))


def first_roughness(s: Surface, friction: float) -> float:
    """Roughness length (m) of Charnock and of smooth flow, within a metre."""
    rough = _CHARNOCK * friction * friction / GRAVITY + 0.11 * s.viscosity / friction
    return max(1e-8, min(1.0, rough))


def first_roughness_heat(log_roughness: float, smallest: float) -> float:
    """Roughness length (m) such that the neutral Stanton number at 10 m is 0.00115."""
    rise = KARMAN * KARMAN / (0.00115 * (LOG_10 - log_roughness))
    return max(smallest, min(1.0, exp(LOG_10 - rise)))


def richardson(x: Inputs, s: Surface, kelvin: float, humidity: float, speed: float) -> float:
    """Bulk Richardson number of the layer below the height of the wind."""
    sea = virtual(s.sea, s.humidity)
    mean = 0.5 * (sea + virtual(kelvin - LAPSE_RATE * x.height_wind, humidity))
    difference = virtual(kelvin, humidity) - sea
    return GRAVITY * x.height_wind * difference / (mean * speed * speed)


class Guess(NamedTuple):
    """Stability and scales of the first guess."""

    friction: float
    exchange: float  # t* and q* for each unit of difference
    zeta: float


def first_scales(x: Inputs, s: Surface, speed: float, humidity: float, log_height: float) -> Guess:
    """COARE's first guess, from the bulk Richardson number."""
    friction = 0.035 * _LOG_100000 / (log_height - _LOG_FIRST_ROUGHNESS) * speed
    log_rough = log(first_roughness(s, friction))
    log_rough_heat = log(first_roughness_heat(log_rough, 1e-8))
    root_drag = KARMAN / (log_height - log_rough)
    heat_rise = log_height + s.log_temperature_rise - log_rough_heat
    ratio = KARMAN * KARMAN / (root_drag * root_drag * heat_rise)
    bulk = richardson(x, s, s.potential, humidity, speed)
    free = min(bulk, 0.0) * _GUESSED_FREE / x.height_wind
    stable = ratio * bulk + 3.0 * bulk * bulk
    zeta = where(bulk < 0.0, ratio * bulk / (1.0 - free), stable)
    profile = log_height - log_rough - psi_momentum_ecmwf_guess(zeta)
    exchange = KARMAN / (log_height - log_rough_heat - psi_scalar_ecmwf_guess(zeta))
    return Guess(max(speed * KARMAN / profile, 1e-9), exchange, zeta)


def first_levels(x: Inputs, s: Surface, humidity: float, first: Guess) -> Levels:
    """Temperature and humidity at the height of the wind, as first guessed."""
    temperature = first.exchange * least(s.potential - s.sea, _LEAST_WARMTH)
    vapour = first.exchange * least(humidity - s.humidity, _LEAST_MOISTURE)
    psi = psi_scalar_ecmwf_guess(first.zeta)
    heat_psi = psi_scalar_ecmwf_guess(first.zeta * (x.height_temperature / x.height_wind))
    vapour_psi = psi_scalar_ecmwf_guess(first.zeta * (x.height_humidity / x.height_wind))
    heat_rise = (s.log_temperature_rise + psi - heat_psi) * (1.0 / KARMAN)
    vapour_rise = (s.log_humidity_rise + psi - vapour_psi) * (1.0 / KARMAN)
    moved = s.potential - temperature * heat_rise
    wetter = max(x.specific_humidity - vapour * vapour_rise, 0.0)
    return at_levels(s, moved, wetter, humidity)


def at_levels(s: Surface, moved: float, wetter: float, unmoved: float) -> Levels:
    """Take what was moved where the heights differ, and the differences to the sea."""
    kelvin = where(s.log_temperature_rise == 0.0, s.potential, moved)
    humidity = where(s.log_humidity_rise == 0.0, unmoved, wetter)
    warmth = least(kelvin - s.sea, _LEAST_WARMTH)
    return Levels(kelvin, humidity, warmth, least(humidity - s.humidity, _LEAST_MOISTURE))


def guess(x: Inputs, s: Surface, o: Options) -> State:
    """Begin with COARE's first guess."""
    log_height = s.log_wind_height
    wind = s.wind
    if o.neutral:
        wind = s.wind * ((log_height - _LOG_FIRST_ROUGHNESS) / _LOG_100000)
    humidity = max(x.specific_humidity, 1e-6)
    speed = sqrt(wind * wind + 0.25)
    first = first_scales(x, s, speed, humidity, log_height)
    air = first_levels(x, s, humidity, first)
    temperature, vapour = first.exchange * air.warmth, first.exchange * air.moisture
    inverse = inverse_length(
        air.potential, air.specific_humidity, first.friction, temperature, vapour
    )
    rough = first_roughness(s, first.friction)
    rough_heat = first_roughness_heat(log(rough), 1e-9)
    at_wind = x.height_wind * inverse
    wind_psi, scalar_psi = psi_momentum_ecmwf(at_wind), psi_scalar_ecmwf(at_wind)
    return State(
        wind=wind,
        speed=speed,
        gust=0.5,
        potential=air.potential,
        specific_humidity=air.specific_humidity,
        warmth=air.warmth,
        moisture=air.moisture,
        friction=first.friction,
        roughness=rough,
        roughness_heat=rough_heat,
        roughness_moisture=rough_heat,
        inverse_length=inverse,
        wind_psi=wind_psi,
        scalar_psi=scalar_psi,
        wind_profile=profile_wind(log_height, rough, wind_psi, inverse),
        heat_profile=profile_scalar(log_height, rough_heat, scalar_psi, inverse),
        moisture_profile=1.0,
    )


def profile_wind(log_height: float, rough: float, psi: float, inverse: float) -> float:
    """Wind of a height over u* / kappa."""
    return log_height - log_or_nan(rough) - psi + psi_momentum_ecmwf(rough * inverse)


def profile_scalar(log_height: float, rough: float, psi: float, inverse: float) -> float:
    """Difference of temperature or humidity over its scale / kappa."""
    return log_height - log_or_nan(rough) - psi + psi_scalar_ecmwf(rough * inverse)


def stability(x: Inputs, s: Surface, old: State, o: Options) -> Stability:
    """First step: stability from the bulk Richardson number."""
    bulk = richardson(x, s, old.potential, old.specific_humidity, old.speed)
    inverse = bounded(bulk * old.wind_profile * old.wind_profile / old.heat_profile / x.height_wind)
    at_wind = x.height_wind * inverse
    return Stability(inverse, psi_momentum_ecmwf(at_wind), psi_scalar_ecmwf(at_wind))


def roughness(x: Inputs, s: Surface, old: State, o: Options) -> Roughness:
    """Second step: friction velocity, and roughness lengths of it."""
    log_height = s.log_wind_height
    profile = profile_wind(log_height, old.roughness, old.wind_psi, old.inverse_length)
    friction = old.speed * KARMAN / profile
    smooth = s.viscosity / friction
    rough = _SMOOTH_WIND * smooth + _CHARNOCK * friction * friction / GRAVITY
    return Roughness(
        friction=friction,
        roughness=min(rough, _ROUGHEST),
        roughness_heat=min(_SMOOTH_HEAT * smooth, _ROUGHEST),
        roughness_moisture=min(_SMOOTH_VAPOUR * smooth, _ROUGHEST),
    )


def profiles(x: Inputs, s: Surface, old: State, o: Options) -> Profiles:
    """Third step: gusts of the convecting boundary layer, and the profiles."""
    log_height, inverse = s.log_wind_height, old.inverse_length
    convecting = max(-_BOUNDARY_LAYER * inverse * (1.0 / KARMAN), 0.0)
    rising = power(max(convecting, 1e-30), 2.0 / 3.0)
    gusts = where(convecting > 0.0, old.friction * old.friction * rising, 0.0)
    wind_profile = profile_wind(log_height, old.roughness, old.wind_psi, inverse)
    wind = s.wind
    if o.neutral:
        wind = s.wind * wind_profile / (LOG_10 - log_or_nan(old.roughness))
    stirring = max(gusts, (_LEAST_WIND - wind) * (_LEAST_WIND + wind))
    return Profiles(
        wind=wind,
        speed=sqrt(wind * wind + stirring),
        gust=sqrt(stirring),
        wind_profile=wind_profile,
        heat_profile=profile_scalar(log_height, old.roughness_heat, old.scalar_psi, inverse),
        moisture_profile=profile_scalar(
            log_height, old.roughness_moisture, old.scalar_psi, inverse
        ),
    )


def levels(x: Inputs, s: Surface, old: State, o: Options) -> Levels:
    """Last step: bring temperature and humidity to the height of the wind."""
    heat_psi = psi_scalar_ecmwf(x.height_temperature * old.inverse_length)
    vapour_psi = psi_scalar_ecmwf(x.height_humidity * old.inverse_length)
    heat_rise = s.log_temperature_rise + old.scalar_psi - heat_psi
    vapour_rise = s.log_humidity_rise + old.scalar_psi - vapour_psi
    moved = s.potential - old.warmth / old.heat_profile * heat_rise
    wetter = x.specific_humidity - old.moisture / old.moisture_profile * vapour_rise
    return at_levels(s, moved, max(wetter, 0.0), max(x.specific_humidity, 0.0))


def finish(x: Inputs, s: Surface, first: Nothing, last: State, o: Options) -> Fluxes:
    """Fluxes of the coefficients that the last profiles make."""
    height, log_height = output_height(x, o)
    above = height * last.inverse_length
    rise = log_height - s.log_wind_height
    root = KARMAN / last.wind_profile
    end = End(
        wind=last.wind,
        speed=last.speed,
        gust=last.gust,
        potential=last.potential,
        specific_humidity=last.specific_humidity,
        drag=max(root * root, LEAST_COEFFICIENT),
        stanton=max(root * KARMAN / last.heat_profile, LEAST_COEFFICIENT),
        dalton=max(root * KARMAN / last.moisture_profile, LEAST_COEFFICIENT),
        inverse_length=last.inverse_length,
        roughness=last.roughness,
        roughness_heat=last.roughness_heat,
        roughness_moisture=last.roughness_moisture,
        neutral_profile=LOG_10 - log_or_nan(last.roughness),
        wind_rise=rise + last.wind_psi - psi_momentum_ecmwf(above),
        scalar_rise=rise + last.scalar_psi - psi_scalar_ecmwf(above),
    )
    return fluxes(x, s, end, o)
