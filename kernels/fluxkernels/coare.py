"""The COARE bulk algorithms 3.0, 3.5 and 3.6 at one point.

Everything here is scalar and in the references' units (°C, hPa, m, kg kg-1), and works out both
sides of every choice, so that a loop over points runs in vector registers. The numbers that
look like slips (273.16, exponents 0.333 and 0.3333, ten passes) are the references' own:
published fluxes were computed with them, and "better" ones change the answer.

The references are, of NOAA-PSL/COARE-algorithm, Python `coare36vn_zrf_et` (October 2021
physics), Python `coare35vn` and Fortran `cor30a`. Two things differ from 3.6 on purpose: a surface
below freezing keeps its temperature throughout (there, an aliased array raises it to the freezing
point), and humidity is adjusted to another height with the stability at its own height, not at the
thermometer's.

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
from typing import NamedTuple

from fluxkernels.compile import Algorithm
from fluxkernels.humidity import freezing_point, mixing, vapour_pressure, vapour_pressure_over_water
from fluxkernels.limits import KELVIN_OF_ZERO_CELSIUS
from fluxkernels.sea_state import charnock, charnock_30, grown_height, of_waves
from fluxkernels.skin import (
    CONDUCTIVITY,
    absorbed_shortwave,
    buoyancy_loss,
    haline_contraction,
    net_longwave,
    salting,
    salty_expansion,
    shear_scale,
    skin_thickness,
    stirring_scale,
    thermal_expansion,
)
from fluxkernels.stability import (
    power_scalar,
    power_wind,
    psi_momentum,
    psi_momentum_30,
    psi_momentum_first_guess,
    psi_scalar,
    psi_scalar_30,
)
from fluxkernels.surface_layer import (
    ABSOLUTE_ZERO,
    ANY,
    EQUAL,
    GAS_CONSTANT,
    HEAT_CAPACITY,
    LEVEL,
    LOG_10,
    OWN,
    Air,
    Fluxes,
    Inputs,
    Options,
    air_viscosity,
    gravity,
    is_known,
    latent_heat,
    output_height,
    rain_heat,
    saturation_slope,
    webb_correction,
)
from fluxkernels.vector_math import NAN, exp, log, log_or_nan, power, sqrt, where

PASSES = 10
"""Passes of 3.5 and 3.6: fixed, for about 0.2 % of points with a cool skin never settle."""
PASSES_30 = 3

_KARMAN = 0.4
_LAPSE_RATE = 0.0098  # of 3.0 and 3.5; 3.6 takes g / cp
_GUST_FACTOR = 1.2
_GUST_CUBED = _GUST_FACTOR**3
_ICE_ROUGHNESS = 0.0005
_EXTREME = 50.0
_FIRST_ROUGHNESS = 1e-4
_FIRST_COOLING = 0.3
_FIRST_THICKNESS = 0.001
_LOG_FIRST_ROUGHNESS = math.log(_FIRST_ROUGHNESS)
_LOG_100000 = math.log(10.0 / _FIRST_ROUGHNESS)
# Scalar roughness: the largest, and the factor of its fall with the roughness Reynolds number.
_LOG_LARGEST = math.log(1.6e-4)
_LOG_FACTOR = math.log(5.8e-5)
_LOG_LARGEST_30 = math.log(1.15e-4)
_LOG_FACTOR_30 = math.log(5.5e-5)


class Surface(NamedTuple):
    """What the iteration does not change."""

    wind: float  # over the water: actual, or 10-m equivalent neutral
    air_kelvin: float
    temperature_difference: float  # sea minus air, brought to the surface by the lapse rate
    humidity: float  # of the saturated surface, no cool skin
    humidity_difference: float  # sea minus air
    density: float
    viscosity: float
    vaporisation: float
    gravity: float
    ice: float  # 1 where the surface is taken for ice
    cools: float  # 1 where it has a cool skin
    wetness: float  # humidity of the surface lost for each kelvin of cooling
    expansion: float
    net_shortwave: float
    salting: float  # of the skin: see `fluxkernels.skin`
    shear_scale: float
    stirring_scale: float
    wave_height: float
    buoyancy: float  # z/L of unit scales
    moist: float  # K of t* that are worth one of q*
    lift: float  # upward buoyancy of unit t*
    per_gravity: float
    per_viscosity: float
    log_wind_height: float
    log_temperature_height: float
    log_humidity_height: float


class State(NamedTuple):
    """What a pass takes from the one before, and leaves."""

    friction: float  # u*
    temperature: float  # t*
    humidity: float  # q*
    wind: float  # mean wind at height_wind
    gust: float
    speed: float  # mean wind with gusts
    charnock: float
    log_roughness: float
    log_roughness_scalar: float
    zeta: float  # height_wind over the Obukhov length
    wind_power: float  # what the stability functions take of zeta: see `fluxkernels.stability`
    heat_power: float
    vapour_power: float
    wind_psi: float  # stability functions at the three heights
    heat_psi: float
    vapour_psi: float
    cooling: float  # of the skin
    thickness: float
    net_longwave: float
    extreme: float  # 1 where only the first pass is to be trusted


class Kept(NamedTuple):
    """What is kept of the first pass."""

    friction: float
    temperature: float
    humidity: float
    zeta: float
    wind_psi: float
    heat_psi: float
    vapour_psi: float
    cooling: float


class Lengths(NamedTuple):
    """What the first step changes."""

    zeta: float
    log_roughness: float
    log_roughness_scalar: float


class Powers(NamedTuple):
    """What the second step changes."""

    wind_power: float
    heat_power: float
    vapour_power: float


class Psis(NamedTuple):
    """What the third step changes."""

    wind_psi: float
    heat_psi: float
    vapour_psi: float


class Scales(NamedTuple):
    """What the fourth step changes."""

    wind: float
    friction: float
    temperature: float
    humidity: float


class Gust(NamedTuple):
    """What the fifth step changes."""

    gust: float


class Wind(NamedTuple):
    """What the sixth step changes."""

    speed: float
    charnock: float


class Skin(NamedTuple):
    """What the last step changes, if there is a cool skin."""

    cooling: float
    thickness: float
    net_longwave: float


def algorithm(options: Options) -> Algorithm:
    """COARE of `options.version`, for these options."""
    steps = (lengths, powers, psis, scales, gusts, winds)
    return Algorithm(
        name="coare",
        prepare=prepare,
        guess=guess,
        steps=(*steps, skin) if options.cool_skin else steps,
        finish=finish,
        passes=PASSES_30 if options.version == 30 else PASSES,
        inputs=Inputs,
        fixed=Surface,
        state=State,
        kept=Kept,
        outputs=Fluxes,
        options=options,
    )


def prepare(x: Inputs, o: Options) -> Surface:
    """Derive from the inputs what stays fixed during the iteration."""
    sea, q = x.sea_surface_temperature, x.specific_humidity
    air_kelvin = x.air_temperature + ABSOLUTE_ZERO
    sea_kelvin = sea + ABSOLUTE_ZERO
    wind = abs(x.wind_speed - x.current)
    g = gravity(x.latitude)
    viscosity = air_viscosity(x.air_temperature)
    vaporisation = latent_heat(sea)
    ice = is_ice(x, o)
    saturated = surface_humidity(x, ice, o)
    moist = 0.61 * air_kelvin
    if o.version == 30:
        moist = moist / (1.0 + 0.61 * q)
    cools = 1.0 - ice if o.cool_skin else 0.0
    log_wind, log_temperature, log_humidity = log_heights(x, o)
    density = air_pressure(x, o) * 100.0 / (GAS_CONSTANT * air_kelvin * (1.0 + 0.61 * q))
    salty, shear, stirring = skin_scales(x, density, g, vaporisation, o)
    return Surface(
        wind=wind,
        air_kelvin=air_kelvin,
        temperature_difference=sea - x.air_temperature - lapse_rate(g, o) * x.height_temperature,
        humidity=saturated,
        humidity_difference=saturated - q,
        density=density,
        viscosity=viscosity,
        vaporisation=vaporisation,
        gravity=g,
        ice=ice,
        cools=cools,
        wetness=saturation_slope(saturated, vaporisation, sea_kelvin),
        expansion=expansion(x, o),
        net_shortwave=(1.0 - x.albedo) * x.shortwave_down,
        salting=salty,
        shear_scale=shear,
        stirring_scale=stirring,
        wave_height=wave_height(x, wind, log_wind, o),
        buoyancy=_KARMAN * g * x.height_wind / air_kelvin,
        moist=moist,
        lift=-g / air_kelvin,
        per_gravity=1.0 / g,
        per_viscosity=1.0 / viscosity,
        log_wind_height=log_wind,
        log_temperature_height=log_temperature,
        log_humidity_height=log_humidity,
    )


def lapse_rate(g: float, o: Options) -> float:
    """Cooling with height (K m-1) of air that mixes freely."""
    return g * (1.0 / HEAT_CAPACITY) if o.version == 36 else _LAPSE_RATE


def is_ice(x: Inputs, o: Options) -> float:
    """Tell (1 or 0) whether the surface is below freezing; only 3.6 knows ice."""
    if o.version == 36:
        return where(x.sea_surface_temperature < freezing_point(x.salinity), 1.0, 0.0)
    return 0.0


def air_pressure(x: Inputs, o: Options) -> float:
    """Pressure (hPa) of the air; 3.6 takes it at the thermometer's height, the sea's at its own."""
    return x.pressure - 0.125 * x.height_temperature if o.version == 36 else x.pressure


def surface_humidity(x: Inputs, ice: float, o: Options) -> float:
    """Specific humidity (kg kg-1) of air saturated at the surface."""
    sea = x.sea_surface_temperature
    if o.version == 36:
        salty = 1.0 - 0.02 * x.salinity / 35.0
        return mixing(salty * vapour_pressure(sea, x.pressure, ice > 0.5), x.pressure)
    vapour = 0.98 * vapour_pressure_over_water(sea, x.pressure)
    if o.version == 30:
        vapour = vapour * (6.112 / 6.1121)
    # NOAA's test output of 3.0 has 0.622 in `mixing`, too; its Fortran of today has 0.62197.
    return mixing(vapour, x.pressure)


def expansion(x: Inputs, o: Options) -> float:
    """Thermal expansion coefficient of the water (K-1), needed for a cool skin only."""
    if not o.cool_skin:
        return 0.0
    if o.version == 36:
        return thermal_expansion(x.sea_surface_temperature, x.salinity)
    return salty_expansion(x.sea_surface_temperature)


def skin_scales(
    x: Inputs, density: float, g: float, vaporisation: float, o: Options
) -> tuple[float, float, float]:
    """What a cool skin takes of the air and of salt in every pass."""
    if not o.cool_skin:
        return 0.0, 0.0, 0.0
    haline = haline_contraction(x.salinity) if o.version == 36 else 0.026
    return salting(haline, vaporisation), shear_scale(density), stirring_scale(density, g)


def log_heights(x: Inputs, o: Options) -> tuple[float, float, float]:
    """Logarithms of the heights of wind, temperature and humidity, no more than are needed."""
    wind = log(x.height_wind)
    if o.heights == EQUAL:
        return wind, wind, wind
    temperature = log(x.height_temperature)
    if o.heights == LEVEL:
        return wind, temperature, temperature
    return wind, temperature, log(x.height_humidity)


def with_gusts(wind: float, gust: float) -> float:
    """Wind speed that drives the fluxes: mean wind and gustiness together."""
    return sqrt(wind * wind + gust * gust)


def first_winds(given: float, log_height: float, o: Options) -> tuple[float, float]:
    """Mean wind at its height before anything is known of stability, and the factor to 10 m."""
    to_10m = _LOG_100000 / (log_height - _LOG_FIRST_ROUGHNESS)
    return given / to_10m if o.neutral else given, to_10m


def wave_height(x: Inputs, over_water: float, log_height: float, o: Options) -> float:
    """Significant height of the waves (m): as given, or in 3.6 from their age and the wind."""
    if not (o.waves and o.version == 36):
        return x.wave_height
    wind, to_10m = first_winds(over_water, log_height, o)
    grown = grown_height(x.wave_speed, with_gusts(wind, 0.5) * to_10m)
    return where(x.wave_height >= 0.0, x.wave_height, grown)


def bulk_stability(
    x: Inputs, s: Surface, cooling: float, speed: float, ratio: float
) -> tuple[float, float]:
    """First guess of z/L from the bulk Richardson number, and the same by the stable formula.

    `ratio` is kappa Ct / Cd.
    """
    virtual = s.temperature_difference - cooling + 0.61 * s.air_kelvin * s.humidity_difference
    richardson = s.lift * x.height_wind * virtual / (speed * speed)
    stable = ratio * richardson * (1.0 + 27.0 / 9.0 * richardson / ratio)
    free = -x.height_wind / x.boundary_layer_height / 0.004 / _GUST_CUBED
    unstable = ratio * richardson / (1.0 + richardson / free)
    return where(richardson < 0.0, unstable, stable), stable


def guess(x: Inputs, s: Surface, o: Options) -> State:
    """Begin the iteration as if the roughness were 0.1 mm and Charnock's number 0.011.

    A point may be too far from neutral to iterate. The references tell that from the stable
    formula, unstable or not: calm points of both kinds are caught. Only 3.0 tells it from the
    guess itself.
    """
    wind, to_10m = first_winds(s.wind, s.log_wind_height, o)
    speed = with_gusts(wind, 0.5)
    friction = 0.035 * (speed * to_10m)
    log_zo = log(0.011 * friction * friction * s.per_gravity + 0.11 * s.viscosity / friction)
    # Such that the exchange coefficient of heat at 10 m is 0.00115.
    log_zot = LOG_10 - _KARMAN * _KARMAN / (0.00115 * (LOG_10 - log_zo))
    cooling = _FIRST_COOLING * s.cools
    root_drag = _KARMAN / (s.log_wind_height - log_zo)
    ratio = _KARMAN * (_KARMAN / (s.log_temperature_height - log_zot)) / (root_drag * root_drag)
    zeta, stable_zeta = bulk_stability(x, s, cooling, speed, ratio)
    if o.version == 30:
        psi = psi_momentum_30(zeta, power_wind(zeta))
        number, told_by = charnock_30(speed), zeta
    else:
        psi = psi_momentum_first_guess(zeta)
        number, told_by = charnock(speed * to_10m), stable_zeta
    friction = speed * _KARMAN / (s.log_wind_height - log_zo - psi)
    heat_psi, vapour_psi = scalar_psis(x, zeta, o)
    heat, vapour = exchanges(s, log_zot, heat_psi, vapour_psi, o)
    if o.waves:
        number = of_waves(x, s.wave_height, s.gravity, s.viscosity, friction, number, False, o)
    extreme = where(told_by > _EXTREME, 1.0, 0.0)
    return State(
        friction=friction,
        temperature=-(s.temperature_difference - cooling) * heat,
        humidity=-(s.humidity_difference - s.wetness * cooling) * vapour,
        wind=wind,
        gust=0.5,
        speed=speed,
        charnock=number,
        log_roughness=log_zo,
        log_roughness_scalar=log_zot,
        zeta=zeta,
        wind_power=1.0,
        heat_power=1.0,
        vapour_power=1.0,
        wind_psi=0.0,
        heat_psi=0.0,
        vapour_psi=0.0,
        cooling=cooling,
        thickness=_FIRST_THICKNESS,
        net_longwave=longwave_loss(x, cooling),
        extreme=extreme,
    )


def psi_wind(zeta: float, power: float, o: Options) -> float:
    """Stability function of the wind profile."""
    return psi_momentum_30(zeta, power) if o.version == 30 else psi_momentum(zeta, power)


def psi_heat(zeta: float, power: float, o: Options) -> float:
    """Stability function of the temperature and humidity profiles."""
    return psi_scalar_30(zeta, power) if o.version == 30 else psi_scalar(zeta, power)


def zetas(x: Inputs, zeta: float, o: Options) -> tuple[float, float]:
    """Stability at the heights of temperature and humidity."""
    if o.heights == EQUAL:
        return zeta, zeta
    heat = zeta * (x.height_temperature / x.height_wind)
    return heat, heat if o.heights == LEVEL else zeta * (x.height_humidity / x.height_wind)


def scalar_psis(x: Inputs, zeta: float, o: Options) -> tuple[float, float]:
    """Stability functions at the heights of temperature and humidity."""
    at_heat, at_vapour = zetas(x, zeta, o)
    heat = psi_heat(at_heat, power_scalar(at_heat), o)
    if o.heights != ANY:
        return heat, heat
    return heat, psi_heat(at_vapour, power_scalar(at_vapour), o)


def exchanges(
    s: Surface, log_roughness: float, heat_psi: float, vapour_psi: float, o: Options
) -> tuple[float, float]:
    """Scales of temperature and humidity for each unit of difference between sea and air."""
    heat = _KARMAN / (s.log_temperature_height - log_roughness - heat_psi)
    if o.heights != ANY:
        return heat, heat
    return heat, _KARMAN / (s.log_humidity_height - log_roughness - vapour_psi)


def longwave_loss(x: Inputs, cooling: float) -> float:
    """Net longwave radiation (W m-2, upward) of a surface with this skin cooling."""
    return net_longwave(x.sea_surface_temperature - cooling + ABSOLUTE_ZERO, x.longwave_down)


def lengths(x: Inputs, s: Surface, old: State, o: Options) -> Lengths:
    """First step of a pass: stability and roughness lengths from the scales."""
    friction = old.friction
    per_friction = 1.0 / friction
    zeta = s.buoyancy * (old.temperature + s.moist * old.humidity) * per_friction * per_friction
    zo = old.charnock * friction * friction * s.per_gravity + 0.11 * s.viscosity * per_friction
    zo = where(s.ice > 0.5, _ICE_ROUGHNESS, zo)
    log_zo = log_or_nan(zo)
    log_reynolds = log_or_nan(zo * friction * s.per_viscosity)
    if o.version == 30:
        return Lengths(zeta, log_zo, min(_LOG_LARGEST_30, _LOG_FACTOR_30 - 0.6 * log_reynolds))
    return Lengths(zeta, log_zo, min(_LOG_LARGEST, _LOG_FACTOR - 0.72 * log_reynolds))


def powers(x: Inputs, s: Surface, old: State, o: Options) -> Powers:
    """Second step: what the stability functions take of zeta."""
    at_heat, at_vapour = zetas(x, old.zeta, o)
    heat = power_scalar(at_heat)
    vapour = power_scalar(at_vapour) if o.heights == ANY else heat
    return Powers(power_wind(old.zeta), heat, vapour)


def psis(x: Inputs, s: Surface, old: State, o: Options) -> Psis:
    """Third step: the stability functions."""
    at_heat, at_vapour = zetas(x, old.zeta, o)
    heat = psi_heat(at_heat, old.heat_power, o)
    vapour = psi_heat(at_vapour, old.vapour_power, o) if o.heights == ANY else heat
    return Psis(psi_wind(old.zeta, old.wind_power, o), heat, vapour)


def scales(x: Inputs, s: Surface, old: State, o: Options) -> Scales:
    """Fourth step: the scales from the profiles."""
    profile = s.log_wind_height - old.log_roughness - old.wind_psi
    wind, speed = s.wind, old.speed
    if o.neutral:
        # Mean and neutral wind are the same u* / (kappa gust factor) times their profiles.
        wind = s.wind * profile / (LOG_10 - old.log_roughness)
        speed = with_gusts(wind, old.gust)
    heat, vapour = exchanges(s, old.log_roughness_scalar, old.heat_psi, old.vapour_psi, o)
    return Scales(
        wind=wind,
        friction=speed * _KARMAN / profile,
        temperature=-(s.temperature_difference - old.cooling) * heat,
        humidity=-(s.humidity_difference - s.wetness * old.cooling) * vapour,
    )


def gusts(x: Inputs, s: Surface, old: State, o: Options) -> Gust:
    """Fifth step: gustiness from the buoyancy flux; in 3.6 that of Stull (1988, p. 146)."""
    warm = old.temperature
    if o.version == 36:
        warm = warm * (1.0 + 0.61 * x.specific_humidity)
    buoyancy = s.lift * old.friction * (warm + 0.61 * s.air_kelvin * old.humidity)
    rising = max(buoyancy, 1e-30) * x.boundary_layer_height
    return Gust(where(buoyancy > 0.0, _GUST_FACTOR * power(rising, 0.333), 0.2))


def winds(x: Inputs, s: Surface, old: State, o: Options) -> Wind:
    """Sixth step: wind with gusts, and Charnock's number for the next pass."""
    speed = with_gusts(old.wind, old.gust)
    number = old.charnock
    if o.version != 30:
        slope = old.friction * (1.0 / _KARMAN) * (old.wind / speed)
        neutral_wind = s.wind if o.neutral else slope * (LOG_10 - old.log_roughness)
        number = charnock(neutral_wind)
    if o.waves:
        number = of_waves(x, s.wave_height, s.gravity, s.viscosity, old.friction, number, True, o)
    return Wind(speed, number)


def skin(x: Inputs, s: Surface, old: State, o: Options) -> Skin:
    """Last step: cooling and thickness of the skin under the fluxes of this pass."""
    sensible = -s.density * HEAT_CAPACITY * old.friction * old.temperature
    latent = -s.density * s.vaporisation * old.friction * old.humidity
    # 3.0 has the longwave of the pass's own cooling, as old as that of the others: the same.
    heat = old.net_longwave + sensible + latent
    heat = heat - absorbed_shortwave(s.net_shortwave, old.thickness)
    buoyancy = buoyancy_loss(heat, latent, s.expansion, s.salting)
    thickness = skin_thickness(buoyancy, old.friction, s.shear_scale, s.stirring_scale)
    cooling = heat * thickness / CONDUCTIVITY * s.cools
    return Skin(cooling, thickness, longwave_loss(x, cooling))


def finish(x: Inputs, s: Surface, first: Kept, last: State, o: Options) -> Fluxes:
    """Fluxes and what else describes the surface layer, from the state at the end.

    Far from neutral the references take the first pass but the last one's wind.
    """
    extreme = last.extreme > 0.5
    friction = where(extreme, first.friction, last.friction)
    known = is_known(x, o) and friction == friction and last.speed == last.speed
    friction = where(known, friction, NAN)
    temperature = where(known, where(extreme, first.temperature, last.temperature), NAN)
    humidity = where(known, where(extreme, first.humidity, last.humidity), NAN)
    zeta = where(extreme, first.zeta, last.zeta)
    cooling = where(known, where(extreme, first.cooling, last.cooling), NAN)
    sensible = -s.density * HEAT_CAPACITY * friction * temperature
    latent = -s.density * s.vaporisation * friction * humidity
    warmth = s.temperature_difference - cooling
    moisture = s.humidity_difference - s.wetness * cooling
    # Written with U/S, not with the gust factor S/U: at no wind the stress is 0, not 0/0.
    share = last.wind / last.speed
    still = friction / last.speed
    psi = Psis(
        where(extreme, first.wind_psi, last.wind_psi),
        where(extreme, first.heat_psi, last.heat_psi),
        where(extreme, first.vapour_psi, last.vapour_psi),
    )
    heat, vapour = exchanges(s, last.log_roughness_scalar, psi.heat_psi, psi.vapour_psi, o)
    slope = friction * (1.0 / _KARMAN) * share
    height, log_height = output_height(x, o)
    wind_rise, heat_rise, vapour_rise = rises(x, s, zeta, psi, height, log_height, o)
    neutral_rise = LOG_10 - s.log_wind_height + psi.wind_psi
    descent = lapse_rate(s.gravity, o) * (x.height_temperature - height)
    reduced = x.air_temperature + temperature * (1.0 / _KARMAN) * heat_rise + descent
    air = Air(s.air_kelvin, s.density, s.vaporisation)
    scalar_roughness = where(known, exp(last.log_roughness_scalar), NAN)
    return Fluxes(
        sensible=sensible,
        latent=latent,
        stress=s.density * friction * friction * share,
        friction_velocity=friction,
        temperature_scale=temperature,
        humidity_scale=humidity,
        transfer_coefficient_momentum=friction * still * share / max(0.1, last.wind),
        # Where sea and air are alike the quotients are 0/0: their limit is the exchange itself.
        transfer_coefficient_heat=still * where(warmth == 0.0, heat, -temperature / warmth),
        transfer_coefficient_moisture=still * where(moisture == 0.0, vapour, -humidity / moisture),
        obukhov_length=where(known, x.height_wind / zeta, NAN),
        roughness_length=where(known, exp(last.log_roughness), NAN),
        roughness_length_heat=scalar_roughness,
        roughness_length_moisture=scalar_roughness,
        gustiness=where(known, last.gust, NAN),
        skin_cooling=cooling,
        surface_humidity=s.humidity - s.wetness * cooling,
        air_density=where(known, s.density, NAN),
        webb_latent=webb_correction(x, air, sensible, latent),
        evaporation=latent / s.vaporisation,
        wind_speed=where(known, last.wind, NAN),
        rain_heat=rain_heat(
            x, air, x.sea_surface_temperature - cooling, moisture, wet_slope(x, s, o)
        ),
        neutral_wind_10m=last.wind + slope * neutral_rise,
        wind_speed_at_height=last.wind + slope * wind_rise,
        air_temperature_at_height=reduced + KELVIN_OF_ZERO_CELSIUS,
        specific_humidity_at_height=x.specific_humidity + humidity * (1.0 / _KARMAN) * vapour_rise,
    )


def rises(
    x: Inputs, s: Surface, zeta: float, psi: Psis, height: float, log_height: float, o: Options
) -> tuple[float, float, float]:
    """Wind, temperature and humidity at a height less those at their own, in scales / kappa."""
    if o.at_height == OWN:
        return 0.0, 0.0, 0.0
    above = zeta * (height / x.height_wind)
    scalar_psi = psi_heat(above, power_scalar(above), o)
    return (
        log_height - s.log_wind_height + psi.wind_psi - psi_wind(above, power_wind(above), o),
        log_height - s.log_temperature_height + psi.heat_psi - scalar_psi,
        log_height - s.log_humidity_height + psi.vapour_psi - scalar_psi,
    )


def wet_slope(x: Inputs, s: Surface, o: Options) -> float:
    """Rise of saturation humidity with temperature (K-1): of the sea in 3.0, else of the air."""
    if o.version == 30:
        return s.wetness
    return saturation_slope(x.specific_humidity, s.vaporisation, s.air_kelvin)
