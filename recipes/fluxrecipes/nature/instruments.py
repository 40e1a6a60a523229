"""What a microwave imager and an SST analysis make of the truth.

The satellite's wind is a 10-m equivalent neutral wind. Its errors have a conditional part (by
wind, cloud and vapour), a part correlated along the swath, and noise; retrievals are lost where
it rains, so that loss is not at random. Sizes follow comparisons of two wind retrievals of one
real day and the literature's satellite-buoy statistics.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fluxrecipes.nature import land
from fluxrecipes.nature.fields import (
    Float,
    Index,
    Points,
    RandomField,
    generator,
    hours_since_epoch,
)
from fluxrecipes.nature.ocean import sea
from fluxrecipes.nature.orbits import Pass, Satellite, observation_hours
from fluxrecipes.nature.weather import KELVIN, State, saturation
from fluxrecipes.nature.world import World

Bytes = NDArray[np.uint8]

LAST_VALUE, NO_RETRIEVAL, SEA_ICE, COAST, NO_OBSERVATION, LAND = 250, 251, 252, 253, 254, 255
# Layers of an SSM/I or SSMIS map: name, scale, offset (hours; m/s; mm; mm; mm/h).
LAYERS = (
    ("time", 0.1, 0.0),
    ("wind_speed", 0.2, 0.0),
    ("water_vapour", 0.3, 0.0),
    ("cloud_liquid_water", 0.01, -0.05),
    ("rain_rate", 0.1, 0.0),
)

_ICE_LIMIT = 0.15
_SHAPE = (720, 1440)
_ALONG_SWATH = RandomField(
    "error/swath", np.inf, 1.1, 3.5, power=1.4, spacing=0.5, steered=False, kind="pair"
)
# Chance to lose the wind by rain rate: limits in mm/h, then the chance below each limit.
_WIND_LOSS = (np.array([0.05, 0.55, 2.05]), np.array([0.0, 0.88, 0.99, 1.0]))
_VAPOUR_LOSS = (np.array([0.05, 0.55, 2.05, 5.05]), np.array([0.0, 0.0, 0.005, 0.18, 0.63]))

_SST_ERROR = RandomField("error/sst", 83.0, 3.0, 2.2, power=1.6, steered=False)
_SST_BIAS = RandomField("error/sst-slow", 41 * 24.0, 14.0, 9.0, spacing=1.0, steered=False)


@dataclass(frozen=True)
class Errors:
    """Random numbers of one pass at points: correlated and white normal, and uniform.

    Parameters
    ----------
    swath : ndarray, shape (2, points)
        Correlated along the swath: for wind, for vapour.
    white : ndarray, shape (4, points)
        For wind, vapour, cloud, rain.
    chance : ndarray, shape (points,)
        Uniform, for loss.
    """

    swath: Float
    white: Float
    chance: Float

    @classmethod
    def of_pass(cls, world: World, name: str, number: int, points: Points) -> Errors:
        """Errors of one pass (by satellite name and running number) at its 0.25° cells."""
        random = generator(world.seed, f"noise/{name}", number)
        white = random.standard_normal((4, len(points)), dtype=np.float32)
        chance = random.random(len(points), dtype=np.float32)
        return cls(_ALONG_SWATH.map(points, world.seed, number), white, chance)


def retrieve(truth: State, errors: Errors, size: float = 1.0) -> dict[str, Float]:
    """Satellite retrievals at points.

    Parameters
    ----------
    truth : State
    errors : Errors
    size : float
        Factor on biases and noise (`Physics.observation_error`).

    Returns
    -------
    dict of ndarray
        wind_speed [m s-1, neutral at 10 m], water_vapour, cloud_liquid_water [mm = kg m-2],
        rain_rate [mm h-1]; NaN where there is no retrieval.
    """
    rain = truth.rain_rate * np.exp(size * 0.3 * errors.white[3])
    cloud = truth.cloud_liquid_water + size * errors.white[2] * (
        0.014 + 0.10 * truth.cloud_liquid_water
    )
    wind = _neutral_wind(truth) + size * _wind_error(truth, errors)
    lost = errors.chance < np.maximum(
        _chance(rain, _WIND_LOSS), _cloud_loss(truth.cloud_liquid_water)
    )
    vapour = truth.water_vapour + size * _vapour_error(truth, errors)
    no_vapour = errors.chance < _chance(rain, _VAPOUR_LOSS)
    return {
        "wind_speed": np.where(lost, np.nan, np.maximum(wind, 0.0)),
        "water_vapour": np.where(no_vapour, np.nan, np.maximum(vapour, 0.0)),
        "cloud_liquid_water": cloud,
        "rain_rate": rain,
    }


def _wind_error(truth: State, errors: Errors) -> Float:
    speed, cloud, vapour = truth.wind_speed, truth.cloud_liquid_water, truth.water_vapour
    bias = 0.20 - 0.55 * (1.0 - np.exp(-cloud / 0.12))
    bias += 0.25 * np.exp(-speed / 2.0)
    bias -= 0.008 * (vapour - 28.0)
    noise = 0.32 + 0.045 * speed
    error: Float = bias + noise * (0.88 * errors.swath[0] + 0.48 * errors.white[0])
    return error


def _vapour_error(truth: State, errors: Errors) -> Float:
    noise = 0.4 + 0.015 * truth.water_vapour
    bias = 0.012 * (28.0 - truth.water_vapour)
    bias += 0.5 * np.minimum(truth.rain_rate, 2.0)
    error: Float = bias + noise * (0.85 * errors.swath[1] + 0.52 * errors.white[1])
    return error


def _chance(rain: Float, table: tuple[NDArray[np.float64], NDArray[np.float64]]) -> Float:
    limits, chances = table
    return chances.astype(np.float32)[np.searchsorted(limits, rain, side="right")]


def _cloud_loss(cloud: Float) -> Float:
    """Chance to lose the wind under thick cloud without rain."""
    chance: Float = 0.01 + 0.8 / (1.0 + np.exp((0.13 - cloud) / 0.02))
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


def _neutral_wind(truth: State) -> Float:
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
    row, column = np.nonzero(where)
    order = np.argsort(hours[row, column].astype(np.int8), kind="stable")
    row, column = row[order], column[order]
    start = hours_since_epoch(day.astype("datetime64[D]"))
    longitude = (0.125 + 0.25 * column).astype(np.float32)
    return Points(row, longitude, start + hours[row, column]), column


def pass_map(world: World, satellite: Satellite, day: np.datetime64, which: Pass) -> Bytes:
    """One pass of a day as the provider stores it.

    Returns
    -------
    ndarray of uint8, shape (5, 720, 1440)
        Layers `LAYERS`; codes 251 to 255 above the values, which end at 250.
    """
    hours = observation_hours(satellite, day, which)
    seen = np.isfinite(hours) & ~land.rss_land()
    maps = np.full((len(LAYERS), *_SHAPE), NO_OBSERVATION, np.uint8)
    maps[1:, seen] = COAST
    maps[0, seen] = quantise(hours[seen], *LAYERS[0][1:])
    points, column = pass_points(hours, day, seen & ~land.rss_coast())
    truth = world.state(points)
    errors = Errors.of_pass(world, satellite.name, pass_number(day, which), points)
    values = retrieve(truth, errors, world.physics.observation_error)
    ice = truth.sea_ice_fraction > _ICE_LIMIT
    for layer, (name, scale, offset) in enumerate(LAYERS[1:], start=1):
        stored = quantise(values[name], scale, offset)
        maps[layer, points.row, column] = np.where(ice, np.uint8(SEA_ICE), stored)
    maps[:, land.rss_land()] = LAND
    return maps


def quantise(values: NDArray[np.floating], scale: float, offset: float) -> Bytes:
    """Bytes of values: nearest step, held within 0 to 250; NaN becomes 251 (no retrieval)."""
    steps = np.clip(np.rint((values - offset) / scale), 0, LAST_VALUE)
    return np.where(np.isfinite(values), steps, NO_RETRIEVAL).astype(np.uint8)


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
    below = sea(points, world.seed)
    smooth = _smooth(shape_of(below.temperature))[points.row, column]
    size = world.physics.observation_error
    error = size * (
        0.24 * _SST_ERROR.at(points, world.seed)[0] + 0.12 * _SST_BIAS.at(points, world.seed)[0]
    )
    sst = np.maximum(smooth + error, -1.8)
    estimate = size * (0.13 + 0.3 * np.abs(below.unfelt)).clip(0.11, 0.6)
    ice = np.where(below.ice >= _ICE_LIMIT, below.ice, np.nan)
    fields = {"sst": sst, "anom": sst - below.climatology, "err": estimate, "ice": ice}
    return {name: shape_of(values) for name, values in fields.items()}


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
