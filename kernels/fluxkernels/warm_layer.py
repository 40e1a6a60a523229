"""The ocean's diurnal warm layer: what the sun leaves in a quiet sea above a thermometer.

Heat and momentum that came in since the morning are spread over a layer as thick as its own shear
keeps mixed (a critical bulk Richardson number). Everything here is scalar and in the references'
units, one step in time at one point.

The reference is NOAA-PSL/COARE-algorithm, Python `coare36vnWarm_et`. Its absorption profile, which
its own comments call wrong, is kept: it has been part of the answer since 1996.

References
----------
Fairall, C. W., E. F. Bradley, J. S. Godfrey, G. A. Wick, J. B. Edson and G. S. Young, 1996a:
Cool-skin and warm-layer effects on sea surface temperature. J. Geophys. Res., 101, 1295-1308.
"""

from __future__ import annotations

from typing import NamedTuple

from fluxkernels.compile import Map
from fluxkernels.skin import DENSITY, WATER_HEAT_CAPACITY, net_longwave, salty_expansion
from fluxkernels.surface_layer import ABSOLUTE_ZERO, gravity
from fluxkernels.vector_math import NAN, exp, sqrt, where

_RICHARDSON = 0.65  # critical, of the layer as a whole
_THICKEST = 19.0  # m
_MORNING = 21600.0  # s: the first layer is begun no later than 6 h local time
_DAY = 86400.0
_LEAST_HEATING = 50.0  # W m-2 that begin a layer
_LEAST_STRESS = 0.002  # N m-2
_FIRST_SHARE = 0.5  # of the shortwave that a new layer absorbs
_PASSES = 5
_HEAT_CAPACITY_POWER = WATER_HEAT_CAPACITY**1.5
_COLDEST = -80.0  # exponents below are as good as this one


class Layer(NamedTuple):
    """State of the layer at one time."""

    heat: float  # J m-2 since the layer began
    momentum: float  # N s m-2 likewise
    absorbed: float  # share of the net shortwave that stays in the layer
    warming: float  # K, of the whole layer
    thickness: float  # m
    current: float  # m s-1, surface less base
    grows: float  # 1 from when the heating of a day first passed the least one
    awake: float  # 1 once a night was seen
    begun: float  # 1 after the first time
    day: float  # number of the local day, at the last time
    seconds: float  # since its beginning
    sensor_warming: float  # K, between the thermometer and the interface; NaN: something is missing


BEFORE = Layer(0.0, 0.0, _FIRST_SHARE, 0.0, _THICKEST, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
"""The state before the first time."""


class Step(NamedTuple):
    """What changes the layer from one time to the next, and its last state."""

    utc_day: float  # number of the day
    utc_seconds: float  # since its beginning
    longitude: float  # degrees east
    sea_surface_temperature: float  # °C, at sensor_depth
    sensor_depth: float  # m
    latitude: float  # degrees north
    shortwave_down: float  # W m-2
    longwave_down: float  # W m-2
    albedo: float
    sensible: float  # W m-2, upward, at the last time
    latent: float
    rain_heat: float
    stress: float  # N m-2
    skin_cooling: float  # K
    heat: float  # as in `Layer`
    momentum: float
    absorbed: float
    warming: float
    thickness: float
    current: float
    grows: float
    awake: float
    begun: float
    day: float
    seconds: float
    sensor_warming: float


class Options(NamedTuple):
    """What is fixed when the layer is compiled."""

    noaa_days: bool  # as in the reference: see `fluxkernels.series`


class Grown(NamedTuple):
    """What a step makes of a layer."""

    heat: float
    momentum: float
    absorbed: float
    warming: float
    thickness: float
    current: float


def is_known(x: Step) -> bool:
    """Whether all that was measured, and enters a step, is finite."""
    total = x.longitude + x.sea_surface_temperature + x.sensor_depth + x.latitude
    total += x.shortwave_down + x.longwave_down + x.albedo
    return total - total == 0.0


def absorption(thickness: float) -> float:
    """Share of the net shortwave that a layer of this thickness (m) absorbs, in three bands."""
    near = 0.28 * 0.014 * (1.0 - exp(max(_COLDEST, -thickness / 0.014)))
    red = 0.27 * 0.357 * (1.0 - exp(max(_COLDEST, -thickness / 0.357)))
    blue = 0.45 * 12.82 * (1.0 - exp(-thickness / 12.82))
    return 1.0 - (near + red + blue) / thickness


def losses(x: Step) -> float:
    """Heat (W m-2) that the surface lost at the last time."""
    skin = x.sea_surface_temperature - x.skin_cooling + ABSOLUTE_ZERO
    return net_longwave(skin, x.longwave_down) + x.sensible + x.latent + x.rain_heat


def grown(x: Step, elapsed: float, sun: float, lost: float) -> Grown:
    """Spread the heat of a step's seconds: the thicker the layer, the more of the sun it keeps."""
    weight = salty_expansion(x.sea_surface_temperature) * gravity(x.latitude)
    reach = sqrt(2.0 * _RICHARDSON * WATER_HEAT_CAPACITY / (weight * DENSITY))
    momentum = x.momentum + max(_LEAST_STRESS, x.stress) * elapsed
    absorbed, thickness, heat = x.absorbed, x.thickness, x.heat
    for _ in range(_PASSES):
        absorbed = absorption(thickness)
        heat = x.heat + (absorbed * sun - lost) * elapsed
        shallow = min(_THICKEST, reach * momentum / sqrt(where(heat > 0.0, heat, 1.0)))
        thickness = where(heat > 0.0, shallow, thickness)

    fades = x.heat + (x.absorbed * sun - lost) * elapsed <= 0.0
    absorbed = where(fades, 0.75, absorbed)
    thickness = where(fades, _THICKEST, thickness)
    heat = where(fades, x.heat + (0.75 * sun - lost) * elapsed, heat)

    stored = max(heat, 0.0)
    scale = sqrt(2.0 * weight / (_RICHARDSON * DENSITY)) / _HEAT_CAPACITY_POWER
    warming = scale * stored * sqrt(stored) / momentum
    current = where(stored > 0.0, 2.0 * momentum / (thickness * DENSITY), 0.0)
    return Grown(heat, momentum, absorbed, where(stored > 0.0, warming, 0.0), thickness, current)


def local_time(x: Step, o: Options) -> tuple[float, float]:
    """Number of the local day, and seconds since it began; half an hour ahead of the sun."""
    offset = (x.longitude + 7.5) * (3600.0 / 15.0)
    seconds = x.utc_seconds + offset
    days = where(
        seconds < 0.0, -1.0, where(seconds < _DAY, 0.0, where(seconds < 2.0 * _DAY, 1.0, 2.0))
    )
    if o.noaa_days:
        days = where(offset < 0.0, 0.0, days)
    return x.utc_day + days, seconds - days * _DAY


def kept(same_day: bool, old: float, none: float) -> float:
    """What is left of a layer that does not grow: all of it, until the next day."""
    return where(same_day, old, none)


def advance(x: Step, o: Options) -> Layer:
    """Bring the layer to this time."""
    day, seconds = local_time(x, o)
    sun, lost = (1.0 - x.albedo) * x.shortwave_down, losses(x)
    seen_night = x.begun > 0.5 and (seconds <= _MORNING or x.awake > 0.5)
    same_day = seconds >= x.seconds if o.noaa_days else day == x.day
    heated = x.absorbed * sun - lost >= _LEAST_HEATING or x.grows > 0.5
    grows = seen_night and same_day and heated
    new = grown(x, seconds - x.seconds, sun, lost)
    warming = where(grows, new.warming, kept(same_day, x.warming, 0.0))
    thickness = where(grows, new.thickness, kept(same_day, x.thickness, _THICKEST))
    above_sensor = warming * min(1.0, x.sensor_depth / thickness)
    return Layer(
        heat=where(grows, new.heat, kept(same_day, x.heat, 0.0)),
        momentum=where(grows, new.momentum, kept(same_day, x.momentum, 0.0)),
        absorbed=where(grows, new.absorbed, kept(same_day, x.absorbed, _FIRST_SHARE)),
        warming=warming,
        thickness=thickness,
        current=where(grows, new.current, kept(same_day, x.current, 0.0)),
        grows=where(grows, 1.0, kept(same_day, x.grows, 0.0)),
        awake=where(seen_night, 1.0, 0.0),
        begun=1.0,
        day=day,
        seconds=seconds,
        sensor_warming=where(is_known(x), above_sensor, NAN),
    )


def advancing(options: Options) -> Map:
    """The layer's step in time, for these options."""
    return Map("warm layer", advance, Step, Layer, options)
