"""The bulk algorithm of NCAR's CORE forcing, Large and Yeager (2009), at one point.

The order of its updates, its limits and its five passes are AeroBulk's `turb_ncar`: with light
stable wind it does not settle, and how many passes are made is part of the answer.

References
----------
Large, W. G., and S. G. Yeager, 2004: Diurnal to decadal global forcing for ocean and sea-ice
models. NCAR Tech. Note NCAR/TN-460+STR (humidity of the surface: eq. 5).
Large, W. G., and S. G. Yeager, 2009: The global climatology of an interannually varying air-sea
flux data set. Climate Dyn., 33, 341-364 (drag: eq. 11; stability and heat: eq. 9-10).
"""

from __future__ import annotations

from typing import NamedTuple

from fluxkernels.compile import Algorithm
from fluxkernels.limits import KELVIN_OF_ZERO_CELSIUS
from fluxkernels.stability import psi_momentum_ncar, psi_scalar_ncar
from fluxkernels.surface_layer import LOG_10, Fluxes, Inputs, Options, output_height
from fluxkernels.transfer import (
    KARMAN,
    LEAST_COEFFICIENT,
    End,
    Nothing,
    Surface,
    density,
    fluxes,
    inverse_length,
    salty,
    surface,
    virtual,
)
from fluxkernels.vector_math import exp, sqrt, where

PASSES = 5
_LEAST_WIND = 0.5
_LEAST_NEUTRAL_WIND = 0.25
_GALE = 33.0
_FARTHEST = 10.0  # of z / L


class State(NamedTuple):
    """What a pass takes from the one before, and leaves."""

    wind: float  # mean wind at height_wind
    speed: float  # no less than the least
    potential: float  # of the air at height_wind, K
    specific_humidity: float
    drag: float
    stanton: float
    dalton: float
    neutral_drag: float  # at 10 m
    neutral_stanton: float
    inverse_length: float
    temperature: float  # t*
    vapour: float  # q*
    wind_psi: float
    scalar_psi: float


class Scales(NamedTuple):
    """What the first step changes."""

    inverse_length: float
    temperature: float
    vapour: float


class Levels(NamedTuple):
    """What the second step changes."""

    potential: float
    specific_humidity: float
    wind_psi: float
    scalar_psi: float


class Coefficients(NamedTuple):
    """What the last step changes."""

    wind: float
    speed: float
    drag: float
    stanton: float
    dalton: float
    neutral_drag: float
    neutral_stanton: float


def algorithm(options: Options) -> Algorithm:
    """Large and Yeager (2009), for these options."""
    return Algorithm(
        name="ncar",
        prepare=prepare,
        guess=guess,
        steps=(scales, levels, coefficients),
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
    sea = x.sea_surface_temperature + KELVIN_OF_ZERO_CELSIUS
    air = density(
        x.air_temperature + KELVIN_OF_ZERO_CELSIUS, x.specific_humidity, 100.0 * x.pressure
    )
    return surface(x, salty(x) * 640380.0 / air * exp(-5107.4 / sea), 0.0)


def neutral_drag(wind: float) -> float:
    """Neutral drag coefficient at 10 m of the neutral wind there."""
    square = wind * wind
    rough = 2.7 / wind + 0.142 + wind * (1.0 / 13.09) - 3.14807e-10 * (square * square * square)
    return max(1e-3 * where(wind < _GALE, rough, 2.34), LEAST_COEFFICIENT)


def neutral_stanton(stability: float, root_drag: float) -> float:
    """Neutral Stanton number at 10 m; `stability` is above zero where the air is stable."""
    return where(stability >= 0.0, 18e-3, 32.7e-3) * root_drag


def guess(x: Inputs, s: Surface, o: Options) -> State:
    """Begin with the neutral coefficients of the wind as it is given."""
    speed = max(_LEAST_WIND, s.wind)
    drag = neutral_drag(speed)
    stability = virtual(s.potential, x.specific_humidity) - virtual(s.sea, s.humidity)
    stanton = neutral_stanton(stability, sqrt(drag))
    return State(
        wind=s.wind,
        speed=speed,
        potential=s.potential,
        specific_humidity=max(x.specific_humidity, 1e-6),
        drag=drag,
        stanton=max(stanton, LEAST_COEFFICIENT),
        dalton=max(34.6e-3 * sqrt(drag), LEAST_COEFFICIENT),
        neutral_drag=drag,
        neutral_stanton=stanton,
        inverse_length=0.0,
        temperature=0.0,
        vapour=0.0,
        wind_psi=0.0,
        scalar_psi=0.0,
    )


def scales(x: Inputs, s: Surface, old: State, o: Options) -> Scales:
    """First step: scales of the last coefficients, and the stability that they make."""
    root = sqrt(old.drag)
    temperature = old.stanton / root * (old.potential - s.sea)
    vapour = old.dalton / root * (old.specific_humidity - s.humidity)
    friction = root * old.speed
    inverse = inverse_length(old.potential, old.specific_humidity, friction, temperature, vapour)
    return Scales(inverse, temperature, vapour)


def zeta(height: float, inverse: float) -> float:
    """Stability at a height, within what the stability functions are for."""
    return max(-_FARTHEST, min(_FARTHEST, height * inverse))


def levels(x: Inputs, s: Surface, old: State, o: Options) -> Levels:
    """Second step: bring temperature and humidity to the height of the wind."""
    at_wind = zeta(x.height_wind, old.inverse_length)
    psi = psi_scalar_ncar(at_wind)
    heat_psi = psi_scalar_ncar(zeta(x.height_temperature, old.inverse_length))
    vapour_psi = psi_scalar_ncar(zeta(x.height_humidity, old.inverse_length))
    heat_rise = s.log_temperature_rise + psi - heat_psi
    vapour_rise = s.log_humidity_rise + psi - vapour_psi
    moved = s.potential - old.temperature * (1.0 / KARMAN) * heat_rise
    wetter = max(0.0, x.specific_humidity - old.vapour * (1.0 / KARMAN) * vapour_rise)
    return Levels(
        potential=where(s.log_temperature_rise == 0.0, s.potential, moved),
        specific_humidity=where(s.log_humidity_rise == 0.0, max(x.specific_humidity, 1e-6), wetter),
        wind_psi=psi_momentum_ncar(at_wind),
        scalar_psi=psi,
    )


def coefficients(x: Inputs, s: Surface, old: State, o: Options) -> Coefficients:
    """Last step: neutral coefficients of the neutral wind, and what stability makes of them."""
    log_height = s.log_wind_height - LOG_10
    profile = log_height - old.wind_psi
    neutral = old.speed * (1.0 - sqrt(old.drag) * (1.0 / KARMAN) * profile)
    if o.neutral:
        neutral = s.wind
    drag_10m = neutral_drag(max(_LEAST_NEUTRAL_WIND, neutral))
    root_10m = sqrt(drag_10m)
    stretch = 1.0 + root_10m * (1.0 / KARMAN) * profile
    drag = max(drag_10m / (stretch * stretch), LEAST_COEFFICIENT)
    share = sqrt(drag) / root_10m
    rise = (log_height - old.scalar_psi) / (KARMAN * root_10m)
    stanton_10m = neutral_stanton(old.inverse_length, root_10m)
    dalton_10m = 34.6e-3 * root_10m
    wind = s.wind * stretch if o.neutral else s.wind
    return Coefficients(
        wind=wind,
        speed=max(_LEAST_WIND, wind),
        drag=drag,
        stanton=max(stanton_10m * share / (1.0 + stanton_10m * rise), LEAST_COEFFICIENT),
        dalton=max(dalton_10m * share / (1.0 + dalton_10m * rise), LEAST_COEFFICIENT),
        neutral_drag=drag_10m,
        neutral_stanton=stanton_10m,
    )


def finish(x: Inputs, s: Surface, first: Nothing, last: State, o: Options) -> Fluxes:
    """Fluxes of the coefficients at the end; roughness lengths are those of the neutral ones."""
    height, log_height = output_height(x, o)
    above = zeta(height, last.inverse_length)
    rise = log_height - s.log_wind_height
    root = sqrt(last.neutral_drag)
    end = End(
        wind=last.wind,
        speed=last.speed,
        gust=sqrt(max((_LEAST_WIND - last.wind) * (_LEAST_WIND + last.wind), 0.0)),
        potential=last.potential,
        specific_humidity=last.specific_humidity,
        drag=last.drag,
        stanton=last.stanton,
        dalton=last.dalton,
        inverse_length=last.inverse_length,
        roughness=10.0 * exp(-KARMAN / root),
        roughness_heat=10.0 * exp(-KARMAN * root / last.neutral_stanton),
        roughness_moisture=10.0 * exp(-KARMAN / 34.6e-3),
        neutral_profile=KARMAN / root,
        wind_rise=rise + last.wind_psi - psi_momentum_ncar(above),
        scalar_rise=rise + last.scalar_psi - psi_scalar_ncar(above),
    )
    return fluxes(x, s, end, o)
