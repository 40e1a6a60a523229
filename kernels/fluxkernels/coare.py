"""COARE 3.6 bulk fluxes at one point, without waves, rain or a warm layer.

Everything here is scalar and in the reference's units (°C, hPa, m, kg kg-1). The numbers that
look like slips (273.16, exponents 0.333 and 0.3333, ten passes) are the reference's own:
published fluxes were computed with them, and "better" ones change the answer.

The reference is the Python `coare36vn_zrf_et` of NOAA-PSL/COARE-algorithm (October 2021
physics). Two things differ from it on purpose: a surface below freezing keeps its temperature
throughout (there, an aliased array raises it to the freezing point), and humidity is adjusted
to 10 m with the stability at its own height, not at the thermometer's.

References
----------
Fairall, C. W., E. F. Bradley, J. E. Hare, A. A. Grachev and J. B. Edson, 2003: Bulk
parameterization of air-sea fluxes: updates and verification for the COARE algorithm.
J. Climate, 16, 571-591.
Edson, J. B., et al., 2013: On the exchange of momentum over the open ocean. J. Phys.
Oceanogr., 43, 1589-1610.
"""

from __future__ import annotations

import math
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fluxkernels import humidity, skin, stability
from fluxkernels.compile import block_loop, inline

PASSES = 10
"""Passes of the iteration: fixed, for about 0.2 % of points with a cool skin never settle."""

_KARMAN = 0.4
_ABSOLUTE_ZERO = 273.16  # what the reference adds to °C; not the 273.15 of the front door
_GAS_CONSTANT = 287.1
_HEAT_CAPACITY = 1004.67
_GUST_FACTOR = 1.2
_ICE_ROUGHNESS = 0.0005
_EXTREME = 50.0

Array: TypeAlias = NDArray[np.float64]


class Inputs(NamedTuple):
    """What is known at one point; the rows of an input block, in this order."""

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


class Fluxes(NamedTuple):
    """What is computed at one point; the rows of an output block, in this order."""

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
    roughness_length_scalar: float
    gustiness: float
    skin_cooling: float
    surface_humidity: float
    air_density: float
    webb_latent: float
    evaporation: float
    wind_speed: float
    wind_speed_10m: float
    neutral_wind_10m: float
    air_temperature_10m: float
    specific_humidity_10m: float


class Surface(NamedTuple):
    """What the iteration does not change."""

    air_kelvin: float
    temperature_difference: float  # sea minus air, brought to the surface by the lapse rate
    humidity: float  # of the saturated surface, no cool skin
    humidity_difference: float  # sea minus air
    density: float
    viscosity: float
    vaporisation: float
    gravity: float
    ice: bool
    cools: bool  # has a cool skin
    wetness: float  # humidity of the surface lost for each kelvin of cooling
    expansion: float
    net_shortwave: float


class State(NamedTuple):
    """What a pass takes from the one before."""

    friction: float  # u*
    temperature: float  # t*
    humidity: float  # q*
    wind: float  # mean wind at height_wind
    gust: float
    charnock: float
    roughness: float
    roughness_scalar: float
    obukhov: float
    cooling: float  # of the skin
    thickness: float
    net_longwave: float


@inline
def gravity(latitude: float) -> float:
    """Acceleration of gravity (m s-2) at sea level."""
    x = math.sin(latitude * math.pi / 180.0)
    series = 0.0052790414 * x**2 + 2.32718e-5 * x**4 + 1.262e-7 * x**6 + 7e-10 * x**8
    return 9.7803267715 * (1.0 + series)


@inline
def charnock(neutral_wind: float) -> float:
    """Charnock's number from the 10-m neutral wind (Edson et al., 2013); negative in a calm."""
    return 0.0017 * min(neutral_wind, 19.0) - 0.005


@inline
def air_viscosity(temperature: float) -> float:
    """Kinematic viscosity of air (m2 s-1) at °C."""
    t = temperature
    return 1.326e-5 * (1.0 + 0.006542 * t + 8.301e-6 * t**2 - 4.84e-9 * t**3)


@inline
def is_missing(x: Inputs, cool_skin: bool) -> bool:
    """Whether the point cannot be solved: a needed input not finite, or a negative wind."""
    total = x.wind_speed + x.sea_surface_temperature + x.air_temperature + x.specific_humidity
    total += x.height_wind + x.height_temperature + x.height_humidity + x.pressure
    total += x.latitude + x.boundary_layer_height + x.salinity
    if cool_skin:
        total += x.shortwave_down + x.longwave_down + x.albedo
    return not (math.isfinite(total) and x.wind_speed >= 0.0)


@inline
def prepare(x: Inputs, cool_skin: bool) -> Surface:
    """Derive from the inputs what stays fixed during the iteration."""
    sea, air, q = x.sea_surface_temperature, x.air_temperature, x.specific_humidity
    air_kelvin = air + _ABSOLUTE_ZERO
    # The reference takes the air's pressure at the thermometer's height, the sea's at its own.
    air_pressure = x.pressure - 0.125 * x.height_temperature
    vapour = humidity.saturation_vapour_pressure(sea, x.pressure, x.salinity)
    saturated = humidity.mixing(vapour, x.pressure)
    vaporisation = (2.501 - 0.00237 * sea) * 1e6
    g = gravity(x.latitude)
    ice = sea < humidity.freezing_point(x.salinity)
    return Surface(
        air_kelvin=air_kelvin,
        temperature_difference=sea - air - g / _HEAT_CAPACITY * x.height_temperature,
        humidity=saturated,
        humidity_difference=saturated - q,
        density=air_pressure * 100.0 / (_GAS_CONSTANT * air_kelvin * (1.0 + 0.61 * q)),
        viscosity=air_viscosity(air),
        vaporisation=vaporisation,
        gravity=g,
        ice=ice,
        cools=cool_skin and not ice,
        wetness=0.622 * vaporisation * saturated / (_GAS_CONSTANT * (sea + _ABSOLUTE_ZERO) ** 2),
        expansion=skin.thermal_expansion(sea, x.salinity),
        net_shortwave=(1.0 - x.albedo) * x.shortwave_down,
    )


@inline
def exchange(height: float, roughness: float, obukhov: float) -> float:
    """Scale of temperature or humidity for each unit of difference between sea and `height`."""
    return _KARMAN / (math.log(height / roughness) - stability.psi_scalar(height / obukhov))


@inline
def exchanges(x: Inputs, roughness: float, obukhov: float) -> tuple[float, float]:
    """`exchange` of temperature and of humidity, worked out once where the heights are equal."""
    heat = exchange(x.height_temperature, roughness, obukhov)
    if x.height_humidity == x.height_temperature:
        return heat, heat
    return heat, exchange(x.height_humidity, roughness, obukhov)


@inline
def with_gusts(wind: float, gust: float) -> float:
    """Wind speed that drives the fluxes: mean wind and gustiness together."""
    return math.sqrt(wind**2 + gust**2)


@inline
def bulk_stability(
    x: Inputs, s: Surface, cooling: float, gusty: float, ratio: float
) -> tuple[float, bool]:
    """First guess of z/L from the bulk Richardson number; `ratio` is kappa Ct / Cd.

    Also returns whether the point is too far from neutral to iterate. The reference tells
    that from the stable formula, unstable or not: calm points of both kinds are caught.
    """
    virtual = s.temperature_difference - cooling + 0.61 * s.air_kelvin * s.humidity_difference
    richardson = -s.gravity * x.height_wind / s.air_kelvin * virtual / gusty**2
    stable = ratio * richardson * (1.0 + 27.0 / 9.0 * richardson / ratio)
    free = -x.height_wind / x.boundary_layer_height / 0.004 / _GUST_FACTOR**3
    unstable = ratio * richardson / (1.0 + richardson / free)
    return unstable if richardson < 0.0 else stable, stable > _EXTREME


@inline
def first_guess(x: Inputs, s: Surface, neutral: bool) -> tuple[State, bool]:
    """Begin the iteration as if the roughness were 0.1 mm and Charnock's number 0.011.

    Also returns whether only the first pass is to be trusted.
    """
    to_10m = math.log(10.0 / 0.0001) / math.log(x.height_wind / 0.0001)
    wind = x.wind_speed / to_10m if neutral else x.wind_speed
    gusty = with_gusts(wind, 0.5)
    friction = 0.035 * (gusty * to_10m)
    zo = 0.011 * friction**2 / s.gravity + 0.11 * s.viscosity / friction
    zot = 10.0 / math.exp(_KARMAN / (0.00115 / (_KARMAN / math.log(10.0 / zo))))
    cooling = 0.3 if s.cools else 0.0
    drag = (_KARMAN / math.log(x.height_wind / zo)) ** 2
    ratio = _KARMAN * (_KARMAN / math.log(x.height_temperature / zot)) / drag
    zeta, extreme = bulk_stability(x, s, cooling, gusty, ratio)
    obukhov = x.height_wind / zeta
    profile = math.log(x.height_wind / zo) - stability.psi_momentum_first_guess(zeta)
    heat, vapour = exchanges(x, zot, obukhov)
    guess = State(
        friction=gusty * _KARMAN / profile,
        temperature=-(s.temperature_difference - cooling) * heat,
        humidity=-(s.humidity_difference - s.wetness * cooling) * vapour,
        wind=wind,
        gust=0.5,
        charnock=charnock(gusty * to_10m),
        roughness=zo,
        roughness_scalar=zot,
        obukhov=obukhov,
        cooling=cooling,
        thickness=0.001,
        net_longwave=longwave_loss(x, cooling),
    )
    return guess, extreme


@inline
def longwave_loss(x: Inputs, cooling: float) -> float:
    """Net longwave radiation (W m-2, upward) of a surface with this skin cooling."""
    skin_kelvin = x.sea_surface_temperature - cooling + _ABSOLUTE_ZERO
    return skin.net_longwave(skin_kelvin, x.longwave_down)


@inline
def obukhov_length(x: Inputs, s: Surface, old: State) -> float:
    """Obukhov length (m) from the scales of the pass before; infinite where it is neutral."""
    buoyant = old.temperature + 0.61 * s.air_kelvin * old.humidity
    zeta = _KARMAN * s.gravity * x.height_wind / s.air_kelvin * buoyant / old.friction**2
    return x.height_wind / zeta


@inline
def roughness_lengths(s: Surface, old: State) -> tuple[float, float]:
    """Roughness lengths (m) of momentum, and of heat and moisture alike."""
    zo = old.charnock * old.friction**2 / s.gravity + 0.11 * s.viscosity / old.friction
    if s.ice:
        zo = _ICE_ROUGHNESS
    reynolds = zo * old.friction / s.viscosity
    return zo, min(0.00016, 5.8e-5 / math.pow(reynolds, 0.72))


@inline
def gustiness(x: Inputs, s: Surface, friction: float, warmth: float, moisture: float) -> float:
    """Gustiness (m s-1) from the buoyancy flux (Stull, 1988) of the scales t* and q*."""
    virtual = warmth * (1.0 + 0.61 * x.specific_humidity) + 0.61 * s.air_kelvin * moisture
    buoyancy = -s.gravity / s.air_kelvin * friction * virtual
    if buoyancy > 0.0:
        return _GUST_FACTOR * math.pow(buoyancy * x.boundary_layer_height, 0.333)
    return 0.2


@inline
def cool(
    x: Inputs, s: Surface, old: State, friction: float, warmth: float, moisture: float
) -> tuple[float, float]:
    """Cooling (K) and thickness (m) of the skin under the fluxes of this pass."""
    sensible = -s.density * _HEAT_CAPACITY * friction * warmth
    latent = -s.density * s.vaporisation * friction * moisture
    heat = old.net_longwave + sensible + latent
    heat -= skin.absorbed_shortwave(s.net_shortwave, old.thickness)
    buoyancy = skin.buoyancy_loss(heat, latent, s.vaporisation, s.expansion, x.salinity)
    thickness = skin.skin_thickness(buoyancy, friction, s.density, s.gravity)
    return heat * thickness / skin.CONDUCTIVITY, thickness


@inline
def one_pass(x: Inputs, s: Surface, old: State, neutral: bool) -> State:
    """One pass: length, roughness, wind, scales, gustiness, skin, Charnock's number."""
    obukhov = obukhov_length(x, s, old)
    zo, zoq = roughness_lengths(s, old)
    profile = math.log(x.height_wind / zo) - stability.psi_momentum(x.height_wind / obukhov)
    log_10m = math.log(10.0 / zo)
    # Mean wind and neutral wind are the same u* / (kappa gust factor) times their profiles.
    wind = x.wind_speed * profile / log_10m if neutral else x.wind_speed
    friction = with_gusts(wind, old.gust) * _KARMAN / profile
    heat, vapour = exchanges(x, zoq, obukhov)
    warmth = -(s.temperature_difference - old.cooling) * heat
    moisture = -(s.humidity_difference - s.wetness * old.cooling) * vapour
    gust = gustiness(x, s, friction, warmth, moisture)
    cooling, thickness, net_longwave = old.cooling, old.thickness, old.net_longwave
    if s.cools:
        cooling, thickness = cool(x, s, old, friction, warmth, moisture)
        net_longwave = longwave_loss(x, cooling)
    neutral_wind = friction / _KARMAN * (wind / with_gusts(wind, gust)) * log_10m
    return State(
        friction=friction,
        temperature=warmth,
        humidity=moisture,
        wind=wind,
        gust=gust,
        charnock=charnock(x.wind_speed if neutral else neutral_wind),
        roughness=zo,
        roughness_scalar=zoq,
        obukhov=obukhov,
        cooling=cooling,
        thickness=thickness,
        net_longwave=net_longwave,
    )


@inline
def keep_first(first: State, last: State) -> State:
    """Take the first pass but the last one's wind, as the reference does far from neutral."""
    return State(
        friction=first.friction,
        temperature=first.temperature,
        humidity=first.humidity,
        wind=last.wind,
        gust=last.gust,
        charnock=last.charnock,
        roughness=last.roughness,
        roughness_scalar=last.roughness_scalar,
        obukhov=first.obukhov,
        cooling=first.cooling,
        thickness=first.thickness,
        net_longwave=last.net_longwave,
    )


@inline
def iterate(x: Inputs, s: Surface, neutral: bool, passes: int) -> State:
    """Iterate to the fluxes; points too far from neutral to converge keep their first pass."""
    guess, extreme = first_guess(x, s, neutral)
    first = one_pass(x, s, guess, neutral)
    last = first
    for _ in range(1, passes):
        last = one_pass(x, s, last, neutral)
    if extreme:
        return keep_first(first, last)
    return last


@inline
def ratio_or(numerator: float, denominator: float, otherwise: float) -> float:
    """Quotient, or its limit where both are zero (sea and air alike)."""
    return otherwise if denominator == 0.0 else numerator / denominator


@inline
def coefficients(x: Inputs, s: Surface, e: State) -> tuple[float, float, float]:
    """Transfer coefficients of momentum, heat and moisture, relative to the gusty wind."""
    gusty = with_gusts(e.wind, e.gust)
    drag = e.friction**2 * (e.wind / gusty) / gusty / max(0.1, e.wind)
    heat, vapour = exchanges(x, e.roughness_scalar, e.obukhov)
    warmth = s.temperature_difference - e.cooling
    moisture = s.humidity_difference - s.wetness * e.cooling
    stanton = ratio_or(-e.friction * e.temperature / gusty, warmth, e.friction / gusty * heat)
    dalton = ratio_or(-e.friction * e.humidity / gusty, moisture, e.friction / gusty * vapour)
    return drag, stanton, dalton


@inline
def winds_at_10m(x: Inputs, e: State) -> tuple[float, float]:
    """Mean wind and equivalent neutral wind at 10 m (m s-1)."""
    height = x.height_wind
    slope = e.friction / _KARMAN * (e.wind / with_gusts(e.wind, e.gust))
    neutral = math.log(10.0 / height) + stability.psi_momentum(height / e.obukhov)
    mean = neutral - stability.psi_momentum(10.0 / e.obukhov)
    return e.wind + slope * mean, e.wind + slope * neutral


@inline
def rise_to_10m(height: float, scale: float, obukhov: float) -> float:
    """Difference of a scalar between `height` and 10 m."""
    psi = stability.psi_scalar(height / obukhov) - stability.psi_scalar(10.0 / obukhov)
    return scale / _KARMAN * (math.log(10.0 / height) + psi)


@inline
def fluxes(x: Inputs, s: Surface, e: State) -> Fluxes:
    """Fluxes and what else describes the surface layer, from the state at the end."""
    sensible = -s.density * _HEAT_CAPACITY * e.friction * e.temperature
    latent = -s.density * s.vaporisation * e.friction * e.humidity
    drag, stanton, dalton = coefficients(x, s, e)
    wind_10m, neutral_wind_10m = winds_at_10m(x, e)
    descent = s.gravity / _HEAT_CAPACITY * (x.height_temperature - 10.0)
    warming = rise_to_10m(x.height_temperature, e.temperature, e.obukhov) + descent
    moistening = rise_to_10m(x.height_humidity, e.humidity, e.obukhov)
    return Fluxes(
        sensible=sensible,
        latent=latent,
        # Written with U/S, not with the gust factor S/U: at no wind it is 0, not 0/0.
        stress=s.density * e.friction**2 * (e.wind / with_gusts(e.wind, e.gust)),
        friction_velocity=e.friction,
        temperature_scale=e.temperature,
        humidity_scale=e.humidity,
        transfer_coefficient_momentum=drag,
        transfer_coefficient_heat=stanton,
        transfer_coefficient_moisture=dalton,
        obukhov_length=e.obukhov,
        roughness_length=e.roughness,
        roughness_length_scalar=e.roughness_scalar,
        gustiness=e.gust,
        skin_cooling=e.cooling,
        surface_humidity=s.humidity - s.wetness * e.cooling,
        air_density=s.density,
        webb_latent=webb(x, s, sensible, latent),
        evaporation=latent / s.vaporisation,
        wind_speed=e.wind,
        wind_speed_10m=wind_10m,
        neutral_wind_10m=neutral_wind_10m,
        air_temperature_10m=x.air_temperature + warming,
        specific_humidity_10m=x.specific_humidity + moistening,
    )


@inline
def webb(x: Inputs, s: Surface, sensible: float, latent: float) -> float:
    """Webb's correction (W m-2) of a measured vapour flux for the mean vertical motion."""
    wet = 1.61 * latent / s.vaporisation / (1.0 + 1.61 * x.specific_humidity) / s.density
    warm = sensible / s.density / _HEAT_CAPACITY / s.air_kelvin
    return s.density * (wet + warm) * x.specific_humidity * s.vaporisation


@inline
def solve_point(x: Inputs, neutral: bool, cool_skin: bool, passes: int) -> Fluxes:
    """COARE 3.6 at one point, from the actual or the 10-m equivalent neutral wind."""
    s = prepare(x, cool_skin)
    return fluxes(x, s, iterate(x, s, neutral, passes))


@block_loop
def solve_block(
    inputs: Array, outputs: Array, count: int, neutral: bool, cool_skin: bool, passes: int
) -> None:
    """Solve the first `count` columns; rows as the fields of `Inputs` and of `Fluxes`."""
    for i in range(count):
        x = Inputs(
            inputs[0, i],
            inputs[1, i],
            inputs[2, i],
            inputs[3, i],
            inputs[4, i],
            inputs[5, i],
            inputs[6, i],
            inputs[7, i],
            inputs[8, i],
            inputs[9, i],
            inputs[10, i],
            inputs[11, i],
            inputs[12, i],
            inputs[13, i],
        )
        if is_missing(x, cool_skin):
            outputs[:, i] = math.nan
        else:
            result = solve_point(x, neutral, cool_skin, passes)
            for row, value in enumerate(result):
                outputs[row, i] = value
