"""Moorings of TAO/TRITON, PIRATA and RAMA in the array's own NetCDF, daily and hourly.

A file holds one variable of one site and, here, one year, as a delivery of that year would:
``YYYY/airt0n110w_dy.cdf``. Names carry EPIC codes, ``AT_21`` with its quality ``QAT_5021``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
from numpy.typing import NDArray

from fluxrecipes.nature.files.kinds import Series, whole
from fluxrecipes.nature.moorings import MOORINGS
from fluxrecipes.nature.platforms import Sensors, hourly_truth, measured
from fluxrecipes.nature.world import World

Values = NDArray[np.float32]
Rows = tuple[Values, Values]  # (site, quantity, hour): values, NaN where missing; quality

_FILL = np.float32(1e35)
_SENSORS = Sensors(
    wind=0.15, wind_share=0.02, direction=4.0, pressure=20.0, air=0.15, water=0.02, dew=0.3
)
_HUMIDITY_ERROR = 1.5  # %
_DOUBTFUL = 0.01  # chance that a sensor is doubtful for a day: quality 4 and an error to match
_FEWEST_HOURS = 12  # of a day, for a daily mean
_STATIONS = [station for station, _ in MOORINGS.values()]


@dataclass(frozen=True)
class Quantity:
    """One column of the rows: its variable in the files and the error of a doubtful day."""

    code: str
    long_name: str
    units: str
    doubt: float


@dataclass(frozen=True)
class File:
    """A variable's files: their prefix, quality code, and the quantities they hold."""

    prefix: str
    quality: str
    quantities: tuple[int, ...]
    height: float  # below the surface, m: negative above it


QUANTITIES = (
    Quantity("WU_422", "EASTWARD WIND", "m s-1", 3.0),
    Quantity("WV_423", "NORTHWARD WIND", "m s-1", 3.0),
    Quantity("AT_21", "AIR TEMPERATURE", "C", 2.0),
    Quantity("RH_910", "RELATIVE HUMIDITY", "%", 8.0),
    Quantity("T_25", "SEA SURFACE TEMPERATURE", "C", 1.0),
)
FILES = (
    File("w", "QWS_5401", (0, 1), -4.0),
    File("airt", "QAT_5021", (2,), -3.0),
    File("rh", "QRH_5910", (3,), -3.0),
    File("sst", "QT_5025", (4,), 1.0),
)


def path(root: Path, year: int, prefix: str, site: str, interval: str) -> Path:
    """Where a year of a variable of a site is; the interval is ``dy`` or ``hr``."""
    return root / "gtmba" / str(year) / f"{prefix}{site}_{interval}.cdf"


def day_rows(world: World, day: date) -> Rows:
    """A UTC day of hourly values of every site; hours stand for their beginnings."""
    parts = [_site_rows(*site) for site in hourly_truth(world, _STATIONS, day, "gtmba")]
    values, quality = (np.stack(arrays) for arrays in zip(*parts, strict=True))
    return values, quality


def _site_rows(truth: dict[str, Any], random: np.random.Generator) -> Rows:
    seen = measured(truth, _SENSORS, random)
    toward = np.radians(seen["direction"] + 180.0)
    noise = random.standard_normal(24)
    humidity = np.minimum(100.0 * truth["relative"] + _HUMIDITY_ERROR * noise, 100.0)
    columns = (
        seen["wind"] * np.sin(toward),
        seen["wind"] * np.cos(toward),
        seen["air"] - 273.15,
        np.where(np.isnan(seen["dew"]), np.nan, humidity),
        seen["water"] - 273.15,
    )
    values = np.stack(columns).astype(np.float32)
    quality = np.full((len(QUANTITIES), 24), 1.0 + random.integers(0, 2), np.float32)
    doubtful = random.random(len(FILES)) < _DOUBTFUL
    error = random.standard_normal(len(QUANTITIES))
    for file, doubt in zip(FILES, doubtful, strict=True):
        for i in file.quantities if doubt else ():
            values[i] += np.float32(QUANTITIES[i].doubt * error[i])
            quality[i] = 4.0
    quality[np.isnan(values)] = 0.0
    return values, quality


def _daily(values: Values, quality: Values) -> Rows:
    """Means over the days of hourly (quantity, day, hour): doubtful hours only for want of others.

    Winds are averaged as vectors.
    """
    sound = (quality >= 1) & (quality <= 3)
    used = np.where(sound.any(axis=-1, keepdims=True), sound, quality > 0)
    count = used.sum(axis=-1)
    total = np.where(used, values, 0.0).sum(axis=-1, dtype="f8")
    enough = count >= _FEWEST_HOURS
    mean = np.where(enough, total / np.maximum(count, 1), np.nan).astype(np.float32)
    worst = np.where(used, quality, 0.0).max(axis=-1)
    return mean, np.where(enough, worst, 0.0).astype(np.float32)


# --- the files ---------------------------------------------------------------------------------


def _files(root: Path, year: int) -> list[Path]:
    return [
        path(root, year, file.prefix, site, interval)
        for site in MOORINGS
        for file in FILES
        for interval in ("hr", "dy")
    ]


def _write(root: Path, year: int, rows: dict[date, Rows]) -> None:
    days = sorted(rows)
    values, quality = (np.stack([rows[day][k] for day in days], axis=2) for k in (0, 1))
    hours = [(day - days[0]).days * 24 + hour for day in days for hour in range(24)]
    for i, site in enumerate(MOORINGS):
        flat = tuple(array[i].reshape(len(QUANTITIES), -1) for array in (values, quality))
        start = f"{days[0]} 00:00:00"
        _write_site(root, year, site, "hr", hours, f"hours since {start}", flat)
        daily = _daily(values[i], quality[i])
        steps = [(day - days[0]).days for day in days]
        _write_site(root, year, site, "dy", steps, f"days since {days[0]} 12:00:00", daily)


def _write_site(
    root: Path,
    year: int,
    site: str,
    interval: str,
    steps: list[int],
    units: str,
    rows: tuple[Values, ...],
) -> None:
    values, quality = rows
    for file in FILES:
        with (
            whole(path(root, year, file.prefix, site, interval)) as part,
            netCDF4.Dataset(part, "w", format="NETCDF3_CLASSIC") as out,
        ):
            _coordinates(out, site, file, steps, units)
            for i in file.quantities:
                one = QUANTITIES[i]
                _variable(out, one.code, values[i], one.long_name, one.units)
            if file.prefix == "w":
                _speed_and_direction(out, values[0], values[1], quality[0])
            _quality(out, file.quality, quality[file.quantities[0]])


def _coordinates(out: netCDF4.Dataset, site: str, file: File, steps: list[int], units: str) -> None:
    station, array = MOORINGS[site]
    depth = {-4.0: -station.anemometer, -3.0: -station.thermometer}.get(file.height, station.depth)
    out.createDimension("time", None)
    time = out.createVariable("time", "i4", ("time",))
    time.setncatts({"units": units, "type": "UNEVEN", "point_spacing": "uneven", "epic_code": 624})
    time[:] = np.array(steps, np.int32)
    axes = (
        ("depth", depth, "m", 3),
        ("lat", station.latitude, "degree_north", 500),
        ("lon", station.longitude, "degree_east", 502),
    )
    for name, value, unit, code in axes:
        out.createDimension(name, 1)
        axis = out.createVariable(name, "f4", (name,))
        axis.setncatts({"units": unit, "type": "EVEN", "epic_code": code})
        axis[:] = value
    out.setncatts(
        {
            "platform_code": site,
            "site_code": site,
            "array": array,
            "wmo_platform_code": "none: simulated",
            "Data_Source": "SIMULATED: an imagined world's moorings in the layout of GTMBA",
            "File_info": "no observation went into it",
        }
    )


def _variable(out: netCDF4.Dataset, code: str, values: Values, long_name: str, units: str) -> None:
    variable = out.createVariable(code, "f4", ("time", "depth", "lat", "lon"), fill_value=_FILL)
    name, _, number = code.partition("_")
    variable.setncatts(
        {
            "name": name,
            "long_name": long_name,
            "units": units,
            "epic_code": np.int32(number),
            "missing_value": _FILL,
        }
    )
    filled = np.where(np.isnan(values), _FILL, values).astype(np.float32)
    variable[:] = filled.reshape(-1, 1, 1, 1)


def _speed_and_direction(
    out: netCDF4.Dataset, east: Values, north: Values, quality: Values
) -> None:
    """Speed of the vector, and the direction it blows toward."""
    toward = np.mod(np.degrees(np.arctan2(east, north)), 360.0).astype(np.float32)
    _variable(out, "WS_401", np.hypot(east, north), "WIND SPEED", "m s-1")
    _variable(out, "WD_410", toward, "WIND DIRECTION (TOWARD)", "degrees true")
    _quality(out, "QWD_5410", quality)


def _quality(out: netCDF4.Dataset, code: str, quality: Values) -> None:
    """A quality variable, and beside it the source: 5 for delayed mode, 0 for none."""
    _variable(out, code, quality, f"{code[1:3].rstrip('_')} QUALITY", " ")
    name, _, number = code.partition("_")
    source = np.where(quality > 0, 5.0, 0.0).astype(np.float32)
    _variable(out, f"S{name[1:]}_{int(number) + 1000}", source, "SOURCE", " ")


def _kept(root: Path, year: int) -> dict[date, Rows]:
    if not all(file.exists() for file in _files(root, year)):
        return {}
    try:
        sites = [_read_site(root, year, site) for site in MOORINGS]
    except (OSError, RuntimeError, IndexError, KeyError, ValueError):
        return {}  # a damaged file: all are made anew
    days = sites[0][0]
    if any(found[0] != days for found in sites):
        return {}
    shape = (len(sites), len(QUANTITIES), len(days), 24)
    values = np.stack([found[1] for found in sites]).reshape(shape)
    quality = np.stack([found[2] for found in sites]).reshape(shape)
    return {day: (values[:, :, i], quality[:, :, i]) for i, day in enumerate(days)}


def _read_site(root: Path, year: int, site: str) -> tuple[list[date], Values, Values]:
    """Days, values and quality (quantity, time) that the hourly files of a site hold."""
    days: list[date] = []
    values: list[Values] = []
    quality: list[Values] = []
    for file in FILES:
        with netCDF4.Dataset(path(root, year, file.prefix, site, "hr")) as found:
            found.set_auto_mask(False)
            days = _days(found["time"].units, found["time"][:])
            flags = found[file.quality][:].ravel()
            for i in file.quantities:
                read = found[QUANTITIES[i].code][:].ravel()
                values.append(np.where(read == _FILL, np.float32(np.nan), read))
                quality.append(flags)
    return days, np.stack(values), np.stack(quality)


def _days(units: str, steps: NDArray[np.int32]) -> list[date]:
    first = date.fromisoformat(units.split()[2])
    return [first + timedelta(days=int(step) // 24) for step in steps[::24]]


GTMBA = Series("gtmba", _files, day_rows, _kept, _write)
