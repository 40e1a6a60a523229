"""What a microwave imager and an SST analysis make of the truth.

The satellite's wind is a 10-m equivalent neutral wind. Its errors have a conditional part (by
wind, cloud and vapour), a part correlated along the swath, and noise; retrievals are lost where
it rains, so that loss is not at random. Sizes follow comparisons of two wind retrievals of one
real day and the literature's satellite-buoy statistics.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fluxrecipes.nature import land, loops
from fluxrecipes.nature.fields import (
    Float,
    Index,
    Points,
    RandomField,
    generator,
    hours_since_epoch,
    white_noise,
)
from fluxrecipes.nature.ocean import sea
from fluxrecipes.nature.orbits import Pass, Satellite, observation_hours
from fluxrecipes.nature.weather import KELVIN, State, saturation
from fluxrecipes.nature.world import World

Bytes = NDArray[np.uint8]

LAST_VALUE, NO_RETRIEVAL, SEA_ICE, COAST, NO_OBSERVATION, LAND = 250, 251, 252, 253, 254, 255
TENTH = 0.1  # of an hour: the step of times

SSMI = ("wind_speed", "water_vapour", "cloud_liquid_water", "rain_rate")  # what SSM/I retrieves

_ICE_LIMIT = 0.15
_SHAPE = (720, 1440)
_ALONG_SWATH = RandomField(
    "error/swath", np.inf, 1.1, 3.5, power=1.4, spacing=0.5, steered=False, members=3
)
# Chance to lose a retrieval by class of rain (see `_steps`).
_WIND_LOSS = np.array([0.0, 0.88, 0.99, 1.0, 1.0], np.float32)
_LOW_WIND_LOSS = np.array([0.0, 0.89, 0.995, 1.0, 1.0], np.float32)
_VAPOUR_LOSS = np.array([0.0, 0.0, 0.005, 0.18, 0.63], np.float32)

_SST_ERROR = RandomField("error/sst", 83.0, 3.0, 2.2, power=1.6, steered=False)
_SST_BIAS = RandomField("error/sst-slow", 41 * 24.0, 14.0, 9.0, spacing=1.0, steered=False)


class Character(NamedTuple):
    """How one satellite's wind errs: departures from the errors that all share."""

    offset: float
    """m/s."""
    wind: float
    """m/s for each m/s of wind above 7.5."""
    cloud: float
    """Factor on what cloud does."""
    vapour: float
    """m/s for each mm of vapour above 28."""

    @classmethod
    def of(cls, world: World, name: str) -> Character:
        """Character of a satellite of a world."""
        draw = generator(world.seed, f"character/{name}", 0).uniform(-1.0, 1.0, 4)
        return cls(*(float(v) for v in (0.0, 0.0, 1.0, 0.0) + draw * (0.2, 0.025, 0.4, 0.006)))


@dataclass(frozen=True)
class Errors:
    """How one pass errs at points: random numbers, and what is its satellite's and its time's.

    Parameters
    ----------
    swath : ndarray, shape (3, points)
        Correlated along the swath, normal: for wind, vapour, SST.
    white : ndarray, shape (6, points)
        Normal: for wind, vapour, cloud, rain, SST (and the direction of wind), low-frequency wind
        (and wind in rain).
    chance : ndarray, shape (points,)
        Uniform, for loss.
    character : Character
        Of the satellite.
    curves : float
        Factor on the conditional biases of the wind.
    vapour_drift : ndarray or float
        What the vapour has drifted by, kg m-2.
    """

    swath: Float
    white: Float
    chance: Float
    character: Character
    curves: float = 1.0
    vapour_drift: Float | float = 0.0

    @classmethod
    def of_pass(cls, world: World, name: str, number: int, points: Points) -> Errors:
        """Errors of one pass (by satellite name and running number) at its 0.25° cells."""
        random = generator(world.seed, f"noise/{name}", number)
        white = white_noise(random, (6, len(points)))
        chance = random.random(len(points), dtype=np.float32)
        # A pass of another satellite has other errors on the same day.
        turned = zlib.crc32(name.encode()) + number
        return cls(
            _ALONG_SWATH.map(points, world.seed, turned),
            white,
            chance,
            Character.of(world, name),
            world.physics.wind_bias,
            world.physics.vapour_drift * points.decades if world.physics.vapour_drift else 0.0,
        )


def retrieve(
    truth: State, errors: Errors, size: float = 1.0, names: Collection[str] = SSMI
) -> dict[str, Float]:
    """Satellite retrievals at points.

    Parameters
    ----------
    truth : State
    errors : Errors
    size : float
        Factor on biases and noise (`Physics.observation_error`).
    names : collection of str
        Which of those below are wanted.

    Returns
    -------
    dict of ndarray
        wind_speed, wind_speed_lf and wind_speed_aw [m s-1, neutral at 10 m; in rain too],
        wind_to_direction [degrees], water_vapour, cloud_liquid_water [mm = kg m-2], rain_rate
        [mm h-1], sea_surface_temperature [K]; NaN where there is no retrieval.
    """
    rain = truth.rain_rate * np.exp(size * 0.3 * errors.white[3])
    bias = wind_bias(truth, errors.character, errors.curves)
    seen = _Seen(truth, errors, size, _steps(rain), neutral_wind(truth), bias, rain)
    return {name: _RETRIEVALS[name](seen) for name in names}


class _Seen(NamedTuple):
    """What all retrievals rest on."""

    truth: State
    errors: Errors
    size: float
    rained: Index
    neutral: Float
    bias: Float
    rain: Float

    def unless(self, chance: Float, values: Float) -> Float:
        """Values, lost by chance."""
        return np.where(self.errors.chance < chance, np.float32(np.nan), values)


def _wind(seen: _Seen) -> Float:
    errors, cloud = seen.errors, seen.truth.cloud_liquid_water
    noise = wind_noise(seen.truth.wind_speed) * (0.91 * errors.swath[0] + 0.42 * errors.white[0])
    wind = seen.neutral + seen.size * (seen.bias + noise)
    lost = np.maximum(_WIND_LOSS[seen.rained], _cloud_loss(cloud, 0.13))
    return seen.unless(lost, np.maximum(wind, 0.0))


def _wind_lf(seen: _Seen) -> Float:
    errors, cloud = seen.errors, seen.truth.cloud_liquid_water
    noise = 0.75 * errors.swath[0] + 0.30 * errors.swath[2] + 0.5 * errors.white[5]
    # How the two winds differ by cloud was measured on a real day of AMSR2.
    shift = 0.19 - 0.51 * np.clip((cloud - 0.01) / 0.19, 0.0, 1.0)
    error = seen.bias + shift + wind_noise(seen.truth.wind_speed) * noise
    lost = np.maximum(_LOW_WIND_LOSS[seen.rained], _cloud_loss(cloud, 0.10) + 0.02)
    return seen.unless(lost, np.maximum(seen.neutral + seen.size * error, 0.0))


def _wind_aw(seen: _Seen) -> Float:
    rain = np.minimum(seen.truth.rain_rate, 10.0)
    noise = (0.7 + 0.25 * rain) * seen.errors.white[5] + 0.4 * seen.errors.swath[0]
    return np.asarray(np.maximum(seen.neutral + seen.size * noise, 0.0))


def _direction(seen: _Seen) -> Float:
    truth = seen.truth
    toward = np.degrees(np.arctan2(truth.eastward_wind, truth.northward_wind))
    spread = 10.0 + 60.0 / np.maximum(truth.wind_speed, 1.5)
    return np.asarray(np.mod(toward + seen.size * spread * seen.errors.white[4], 360.0))


def _sst(seen: _Seen) -> Float:
    errors, cloud = seen.errors, seen.truth.cloud_liquid_water
    error = seen.size * (0.46 * errors.swath[2] + 0.24 * errors.white[4])
    lost = np.maximum(_WIND_LOSS[seen.rained], _cloud_loss(cloud, 0.085) + 0.03)
    return seen.unless(lost, seen.truth.sea_surface_temperature + error)


def _vapour(seen: _Seen) -> Float:
    truth, errors = seen.truth, seen.errors
    vapour = truth.water_vapour + seen.size * _vapour_error(truth, errors) + errors.vapour_drift
    return seen.unless(_VAPOUR_LOSS[seen.rained], np.maximum(vapour, 0.0))


def _cloud(seen: _Seen) -> Float:
    cloud, errors = seen.truth.cloud_liquid_water, seen.errors
    error = errors.white[2] * (0.014 + 0.10 * cloud) + 0.009 * errors.swath[2]
    return np.asarray(cloud + seen.size * error)


def _rain(seen: _Seen) -> Float:
    return seen.rain


_RETRIEVALS: dict[str, Callable[[_Seen], Float]] = {
    "wind_speed": _wind,
    "wind_speed_lf": _wind_lf,
    "wind_speed_aw": _wind_aw,
    "wind_to_direction": _direction,
    "sea_surface_temperature": _sst,
    "water_vapour": _vapour,
    "cloud_liquid_water": _cloud,
    "rain_rate": _rain,
}


def wind_bias(truth: State, character: Character, curves: float = 1.0) -> Float:
    """Conditional bias of a satellite's wind, m/s: by wind, cloud, vapour and satellite.

    Given the fields of the product itself it could be taken off again.
    """
    speed, cloud, vapour = truth.wind_speed, truth.cloud_liquid_water, truth.water_vapour
    bias = (0.20 + character.offset) - (0.55 * character.cloud) * (1.0 - np.exp(cloud / -0.12))
    bias += (character.wind + 0.03) * (speed - 7.5)
    bias += (character.vapour - 0.013) * (vapour - 28.0)
    return np.asarray(curves * bias, np.float32)


def wind_noise(speed: Float) -> Float:
    """Standard deviation of the rest of the error, m/s: grows with the wind."""
    return np.asarray(0.24 + 0.05 * speed + 0.20 * np.maximum(speed - 15.0, 0.0))


def _vapour_error(truth: State, errors: Errors) -> Float:
    noise = 0.28 + 0.010 * truth.water_vapour
    bias = 0.012 * (28.0 - truth.water_vapour)
    bias += 0.5 * np.minimum(truth.rain_rate, 2.0)
    error: Float = bias + noise * (0.90 * errors.swath[1] + 0.44 * errors.white[1])
    return error


def _steps(rain: Float) -> Index:
    """Class of each rain rate: none, and up to 0.5, 2, 5 mm/h and more."""
    steps = (rain >= 0.05).astype(np.intp)
    for limit in (0.55, 2.05, 5.05):
        steps += rain >= limit
    return steps


def _cloud_loss(cloud: Float, thick: float) -> Float:
    """Chance to lose a retrieval under thick cloud without rain."""
    chance: Float = 0.01 + 0.8 / (1.0 + np.exp((thick - cloud) / 0.02))
    return chance


def neutral_excess(speed: Float, gap: Float) -> Float:
    """10-m equivalent neutral wind less actual wind, m/s.

    Parameters
    ----------
    speed : ndarray
        Actual wind at 10 m, m/s.
    gap : ndarray
        Virtual temperature of air at the surface's temperature and saturation less that of
        the air at 10 m, K.

    Notes
    -----
    Read from a table of COARE results at an air temperature of 288 K; at others the excess
    differs by little, as stability depends on the gap and the wind above all.
    """
    table, width = _excess_table().reshape(-1), _excess_table().shape[1]
    x = (np.clip(speed, 0.2, 39.9).astype(np.float32) - 0.2) * 2.0
    y = (np.clip(gap, -9.9, 14.9).astype(np.float32) + 10.0) * 2.0
    i, j = x.astype(np.intp), y.astype(np.intp)
    fx, fy = (x - i).astype(np.float32), (y - j).astype(np.float32)
    at = i * width + j
    low: Float = table.take(at)
    high: Float = table.take(at + width)
    low += fy * (table.take(at + 1) - low)
    high += fy * (table.take(at + width + 1) - high)
    return low + fx * (high - low)


@lru_cache(maxsize=1)
def _excess_table() -> Float:
    """Excess on wind 0 to 40 m/s (rows) and gap -10 to 15 K (columns), both by 0.5."""
    from fluxkernels.bulk import bulk_flux  # compiles at first use

    speed, gap = np.meshgrid(np.arange(0.2, 40.5, 0.5), np.arange(-10.0, 15.5, 0.5), indexing="ij")
    sst = 288.15 + gap
    # Air as moist as the surface: the gap is one of temperature alone.
    humidity = _surface_humidity(sst, np.full_like(sst, 101_300.0))
    flux = bulk_flux(speed, sst, np.full_like(sst, 288.15), humidity)
    return np.asarray(flux.neutral_wind_10m - speed, np.float32)


def neutral_wind(truth: State) -> Float:
    """10-m equivalent neutral wind, m/s: what a radiometer's wind is to be compared with."""
    sst, air, speed = truth.sea_surface_temperature, truth.air_temperature, truth.wind_speed
    moist = _surface_humidity(sst, truth.surface_pressure) - truth.specific_humidity
    return speed + neutral_excess(speed, sst - air + 0.61 * air * moist)


def _surface_humidity(sst: NDArray[Any], pressure: NDArray[Any]) -> NDArray[Any]:
    """Specific humidity at the sea surface, kg/kg: 2 % below pure water's, for the salt."""
    return 0.98 * saturation(sst - KELVIN, pressure)


def pass_number(day: np.datetime64, which: Pass) -> int:
    """Running number of a day's pass since 1950: the knot of its errors."""
    return 2 * int(hours_since_epoch(day.astype("datetime64[D]")) // 24) + (which == "ascending")


def pass_points(
    hours: NDArray[np.float64], day: np.datetime64, where: NDArray[np.bool_]
) -> tuple[Points, Index]:
    """Points of the cells of a day map that `where` marks, and their columns.

    They come by the hour: neighbours in the list then need the same few knots.
    """
    cells = np.empty(np.count_nonzero(where), np.intp)
    loops.by_the_hour(cells, hours.reshape(-1), where.reshape(-1))
    row, column = np.divmod(cells, _SHAPE[1])
    start = hours_since_epoch(day.astype("datetime64[D]"))
    longitude = (0.125 + 0.25 * column).astype(np.float32)
    return Points(row, longitude, start + hours.reshape(-1)[cells]), column


def pass_map(world: World, satellite: Satellite, day: np.datetime64, which: Pass) -> Bytes:
    """One pass of a day as the provider stores it.

    Returns
    -------
    ndarray of uint8, shape (layers, 720, 1440)
        In the order and packing of the satellite's series; codes 251 to 255 above the values,
        which end at 250.
    """
    layers = satellite.instrument.layers
    hours = observation_hours(satellite, day, which)
    land_here, seen = land.rss_land(), np.isfinite(hours)
    empty = np.where(land_here, LAND, np.where(seen, COAST, NO_OBSERVATION)).astype(np.uint8)
    maps = np.stack([empty] * len(layers))
    seen &= ~land_here
    maps[0][seen] = quantise(hours[seen], TENTH, 0.0)
    points, column = pass_points(hours, day, seen & ~land.rss_coast())
    cells = points.row * _SHAPE[1] + column
    below = world.sea(points)
    ice = below.ice > _ICE_LIMIT
    for stored in maps[1:]:
        stored.reshape(-1)[cells[ice]] = SEA_ICE
    points, cells = points.part(~ice), cells[~ice]
    truth = world.state(points, below=below.part(~ice))
    # By the instrument, not the series: two versions of its maps come of one measurement.
    prefix = satellite.instrument.prefix
    errors = Errors.of_pass(world, prefix, pass_number(day, which), points)
    names = [layer.name for layer in layers[1:]]
    values = retrieve(truth, errors, world.physics.observation_error, names)
    for stored, layer in zip(maps[1:], layers[1:], strict=True):
        packing = layer.packing
        stored.reshape(-1)[cells] = quantise(values[layer.name], packing.scale, packing.offset)
    return maps


def quantise(values: NDArray[np.floating], scale: float, offset: float) -> Bytes:
    """Bytes of values: nearest step, held within 0 to 250; NaN becomes 251 (no retrieval)."""
    steps = np.empty(values.shape, np.uint8)
    exact = values.dtype.type
    loops.in_steps(steps, values, exact(scale), exact(offset), LAST_VALUE, NO_RETRIEVAL)
    return steps


def analysed_sst(world: World, day: np.datetime64) -> dict[str, Float]:
    """SST analysis of a day: foundation SST, smoothed, with errors of its own.

    Returns
    -------
    dict of ndarray, shape (720, 1440)
        sst, anom, err [°C], ice [fraction]; NaN over land, and in ice below 0.15.
    """
    where = ~land.oisst_land()
    noon = np.full(_SHAPE, 12.0)
    points, column = pass_points(noon, day, where)
    shape_of = _on_map(points, column)
    below = sea(points, world.seed, world.physics)
    smooth = _smooth(shape_of(below.temperature))[points.row, column]
    size = world.physics.observation_error
    sst = np.maximum(smooth + analysis_error(world, points), -1.8)
    estimate = size * (0.13 + 0.3 * np.abs(below.unfelt)).clip(0.11, 0.6)
    ice = np.where(below.ice >= _ICE_LIMIT, below.ice, np.nan)
    fields = {"sst": sst, "anom": sst - below.climatology, "err": estimate, "ice": ice}
    return {name: shape_of(values) for name, values in fields.items()}


def analysis_error(world: World, points: Points) -> Float:
    """Error of an SST analysis at points, K: what it gives is the smoothed truth and this."""
    size = world.physics.observation_error
    error: Float = size * (
        0.24 * _SST_ERROR.at(points, world.seed)[0] + 0.12 * _SST_BIAS.at(points, world.seed)[0]
    )
    return error + world.physics.sst_drift * points.decades


def _on_map(points: Points, column: Index) -> Callable[[Float], Float]:
    """Give the function that puts values of points on a map, NaN elsewhere."""

    def put(values: Float) -> Float:
        grid = np.full(_SHAPE, np.nan, np.float32)
        grid[points.row, column] = values
        return grid

    return put


def _smooth(grid: Float) -> Float:
    """Mean over 3 by 3 cells, periodic in longitude, of the cells that have a value."""
    known = np.isfinite(grid)
    total, count = (
        ndimage.uniform_filter(part, 3, mode=("nearest", "wrap"))
        for part in (np.where(known, grid, 0.0), known.astype(np.float32))
    )
    return np.where(known, total / np.maximum(count, 1e-6), np.nan)
