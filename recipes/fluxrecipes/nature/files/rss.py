"""Daily bytemaps of Remote Sensing Systems, filled with what a simulated satellite sees.

Layers, packing, the order of the maps and the names are those of the sources' declaration, so
that what is written cannot differ from what is read.
"""

from __future__ import annotations

import gzip
import zlib
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np
from scipy import ndimage

from fluxrecipes import vocabulary as cf
from fluxrecipes.nature import instruments, land
from fluxrecipes.nature.fields import Float, Index, Points, generator
from fluxrecipes.nature.files.kinds import Daily, whole
from fluxrecipes.nature.instruments import Bytes, Errors
from fluxrecipes.nature.orbits import F17, Pass, Satellite, observation_hours
from fluxrecipes.nature.weather import State
from fluxrecipes.nature.world import World
from fluxrecipes.sources import rss
from fluxrecipes.sources.passes import ORBITS

_GZIP_LEVEL = 4  # 6 takes twice as long for 2 % less
_PASSES_A_SERIES = 100_000  # more than a satellite makes between 1950 and 2080
# Larger footprints lose the neighbours of rain too: share of lost cells among 3 by 3 around one
# above which the low-frequency wind and the SST are lost.
_LOST_WIND_LF, _LOST_SST = 0.3, 0.2


def path(satellite: Satellite, root: Path, day: date) -> Path:
    """Where the provider keeps a satellite's map of a day."""
    return root / "rss" / satellite.instrument.path(day)


def daily_maps(satellite: Satellite) -> Daily:
    """The daily maps of a satellite."""
    return Daily(
        f"rss-{satellite.name}",
        partial(path, satellite),
        partial(_write_day, satellite),
        satellite.flies,
    )


def _write_day(satellite: Satellite, world: World, root: Path, day: date) -> None:
    with whole(path(satellite, root, day)) as part:
        write(world, part, satellite, day)


def write(world: World, path: Path, satellite: Satellite, day: date) -> None:
    """Write one day of a satellite: both passes, the one that the provider puts first ahead."""
    first = satellite.instrument.first_map
    passes = ORBITS if first == ORBITS[0] else ORBITS[::-1]
    maps = [pass_map(world, satellite, np.datetime64(day), _pass(name)) for name in passes]
    path.write_bytes(gzip.compress(np.stack(maps).tobytes(), _GZIP_LEVEL, mtime=0))


def _pass(name: str) -> Pass:
    return "ascending" if name == "ascending" else "descending"


def pass_map(world: World, satellite: Satellite, day: np.datetime64, which: Pass) -> Bytes:
    """One pass of a day as the provider stores it.

    Returns
    -------
    ndarray of uint8, shape (layers, 720, 1440)
        In the order of the satellite's series; codes 251 to 255 above the values.
    """
    if satellite == F17:  # its errors are numbered without a series
        return instruments.pass_map(world, satellite, day, which)
    return observed(world, satellite, day, which)


def observed(world: World, satellite: Satellite, day: np.datetime64, which: Pass) -> Bytes:
    """As `pass_map`, by the layers of the satellite's series: five, seven or nine."""
    layers = satellite.instrument.layers
    hours = observation_hours(satellite, day, which)
    seen = np.isfinite(hours) & ~land.rss_land()
    maps = np.full((len(layers), *rss.CELLS), instruments.NO_OBSERVATION, np.uint8)
    maps[1:, seen] = instruments.COAST
    maps[0, seen] = instruments.quantise(hours[seen], 0.1, 0.0)
    points, column = instruments.pass_points(hours, day, seen & ~land.rss_coast())
    truth = world.state(points)
    values = _retrieved(world, satellite, _number(satellite, day, which), points, column, truth)
    ice = truth.sea_ice_fraction > 0.15
    for layer, variable in zip(maps[1:], layers[1:], strict=True):
        packing = variable.packing
        stored = instruments.quantise(values[variable.name], packing.scale, packing.offset)
        layer[points.row, column] = np.where(ice, np.uint8(instruments.SEA_ICE), stored)
    maps[:, land.rss_land()] = instruments.LAND
    return maps


def _number(satellite: Satellite, day: np.datetime64, which: Pass) -> int:
    """Running number of the pass among those of all satellites: no two share their errors.

    Two versions of one instrument's maps do: they come of the same measurement.
    """
    number = instruments.pass_number(day, which)
    if satellite == F17:
        return number
    return number + _PASSES_A_SERIES * (1 + zlib.crc32(satellite.instrument.prefix.encode()) % 9999)


def _retrieved(
    world: World, satellite: Satellite, number: int, points: Points, column: Index, truth: State
) -> dict[str, Float]:
    """Retrievals by the names of the vocabulary; NaN where there is none."""
    prefix, size = satellite.instrument.prefix, world.physics.observation_error
    errors = Errors.of_pass(world, prefix, number, points)
    seen = instruments.retrieve(truth, errors, size)
    values = {
        cf.wind_speed.name: seen["wind_speed"],
        cf.water_vapour.name: seen["water_vapour"],
        cf.cloud_liquid_water.name: seen["cloud_liquid_water"],
        cf.rain_rate.name: seen["rain_rate"],
    }
    if len(satellite.instrument.layers) == len(rss.SSMI_LAYERS):
        return values
    random = generator(world.seed, f"noise/{prefix}/more", number)
    white = random.standard_normal((4, len(points)), dtype=np.float32)
    lost = _share_lost(np.isnan(seen["wind_speed"]), points, column)
    values |= _low_frequency(truth, errors, seen["wind_speed"], lost, white, size)
    return values | _all_weather(truth, errors, white, size)


def _share_lost(lost: Float, points: Points, column: Index) -> Float:
    """Share of the 3 by 3 cells around each point that are lost."""
    grid = np.zeros(rss.CELLS, np.float32)
    grid[points.row, column] = lost
    share = ndimage.uniform_filter(grid, 3, mode=("nearest", "wrap"))
    return np.asarray(share[points.row, column])


def _low_frequency(
    truth: State, errors: Errors, wind: Float, lost: Float, white: Float, size: float
) -> dict[str, Float]:
    """Wind of the lower frequencies, and SST [K] as AMSR and WindSat see it.

    How the two winds differ (sd .24 m/s at 0-3 m/s, .41 at 6-9, .58 at 12-16, 1.2 above; mean
    +.19 under cloud below .02 mm to -.32 above .18 mm) was measured on a real day of AMSR2.
    """
    speed, cloud = truth.wind_speed, truth.cloud_liquid_water
    spread = np.interp(speed, (1.5, 7.5, 14.0, 20.0), (0.24, 0.41, 0.58, 1.2)).astype("f4")
    shift = np.interp(cloud, (0.01, 0.2), (0.19, -0.32)).astype("f4")
    # Where the higher frequencies lost it, the wind comes of the lower ones alone.
    from_lf = truth.wind_speed + size * (0.5 * errors.swath[0] + 0.6 * white[1])
    wind_lf = np.where(np.isnan(wind), from_lf, wind) + size * (shift + spread * white[0])
    sst = truth.sea_surface_temperature + size * (0.25 * errors.swath[1] + 0.4 * white[2])
    return {
        cf.wind_speed_lf.name: np.where(lost > _LOST_WIND_LF, np.nan, wind_lf.clip(0.0)),
        cf.sea_surface_temperature.name: np.where(lost > _LOST_SST, np.nan, sst),
    }


def _all_weather(truth: State, errors: Errors, white: Float, size: float) -> dict[str, Float]:
    """WindSat's wind that rain does not take away, and the direction it blows toward, degrees."""
    rain = np.minimum(truth.rain_rate, 10.0)
    noise = (0.7 + 0.25 * rain) * white[1] + 0.4 * errors.swath[0]
    toward = np.degrees(np.arctan2(truth.eastward_wind, truth.northward_wind))
    spread = 10.0 + 60.0 / np.maximum(truth.wind_speed, 1.5)
    return {
        cf.wind_speed_aw.name: (truth.wind_speed + size * noise).clip(0.0),
        cf.wind_to_direction.name: np.mod(toward + size * spread * white[3], 360.0),
    }
