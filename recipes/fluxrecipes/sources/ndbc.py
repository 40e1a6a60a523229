"""NDBC standard meteorological files: one station's observations as text, in all their layouts.

Since 2007 ``#YY MM DD hh mm WDIR ... TIDE`` and a line of units; before, no unit line, WD and BAR
for WDIR and PRES, no minute before 2005, two-digit years before 1999. Files of the last 45 days
(realtime2) are newest first, say ``MM`` for missing and have PTDY. Fields are read by the names of
the header, separated by any white space, so a file whose spacing was collapsed is read as well.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fluxengine.declare import Variable
from fluxengine.errors import DamagedFile, MissingFile, WrongFile
from fluxrecipes import vocabulary as cf
from fluxrecipes.sources.gzipped import FETCH_AGAIN, gunzip

if TYPE_CHECKING:
    import xarray as xr

MOST = 256 * 2**20  # bytes: fifty years of ten-minute lines
GZIP = b"\x1f\x8b"
FIRST_YEAR = 1970  # of NDBC's record
OLD_NAMES = {"YYYY": "YY", "WD": "WDIR", "BAR": "PRES"}
CLOCK = ("YY", "MM", "DD", "hh")
MISSING_TEXT = "MM"


@dataclass(frozen=True)
class Column:
    """A column we keep: ``value * scale + offset`` in our units, `missing` where there is none."""

    variable: Variable
    units: str
    missing: float
    scale: float = 1.0
    offset: float = 0.0
    attrs: dict[str, str] = field(default_factory=dict)


COLUMNS = {
    "WSPD": Column(
        cf.wind_speed,
        "m/s",
        99,
        attrs={
            "long_name": "wind speed at the anemometer's height",
            "comment": "not brought to 10 m; heights differ from station to station",
        },
    ),
    "ATMP": Column(
        cf.air_temperature,
        "degC",
        999,
        offset=cf.KELVIN,
        attrs={"long_name": "air temperature at the sensor's height"},
    ),
    "WTMP": Column(cf.sea_surface_temperature, "degC", 999, offset=cf.KELVIN),
    "DEWP": Column(cf.dew_point_temperature, "degC", 999, offset=cf.KELVIN),
    "PRES": Column(
        cf.surface_pressure,
        "hPa",
        9999,
        scale=100,
        attrs={
            "standard_name": "air_pressure_at_mean_sea_level",
            "comment": "reduced to sea level by NDBC, which a buoy is at",
        },
    ),
}


def read_stdmet(path: Path) -> xr.Dataset:
    """Observations of a standard meteorological file, plain or gzip.

    Parameters
    ----------
    path : Path
        A local file.

    Returns
    -------
    xarray.Dataset
        Along time (datetime64[ns], UTC, sorted, unique): wind_speed [m s-1] at the anemometer's
        height, air_temperature, sea_surface_temperature, dew_point_temperature [K],
        surface_pressure [Pa]; float64, NaN where missing. Attribute ``rejected_lines`` counts the
        lines left out and ``rejected_reasons`` says why; of lines with the same time the first in
        the file is kept.

    Raises
    ------
    MissingFile, DamagedFile
        No file; a damaged gzip stream; no header; not one line that can be read.
    WrongFile
        Another kind of NDBC file (wave spectra, continuous winds), or other units.
    """
    lines = _text(path).splitlines()
    header = _header(lines, path)
    body = lines[1:]
    if body and body[0].startswith("#"):
        _check_units(header, body.pop(0), path)
    table = _parse(header, body)
    if not table.times:
        reasons = _words(table.rejected) or "it has none"
        raise DamagedFile(f"no line of it can be read: {reasons}.", where=str(path))
    return _dataset(table)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            raw = stream.read(MOST + 1)
    except FileNotFoundError:
        raise MissingFile("there is no such file.", where=str(path)) from None
    if raw.startswith(GZIP):  # by its bytes: files are renamed, and some servers unpack them
        raw = gunzip(path, MOST)
    if len(raw) > MOST:
        raise DamagedFile(f"it has more than {MOST:,} bytes.", where=str(path))
    return raw.decode("ascii", errors="replace")  # a replaced character spoils its line only


def _header(lines: list[str], path: Path) -> list[str]:
    """Column names in today's spelling.

    ``MM`` is the month in the header and "missing" below it: both are NDBC's.
    """
    first = lines[0] if lines else ""
    names = [OLD_NAMES.get(name, name) for name in first.lstrip("#").split()]
    if tuple(names[: len(CLOCK)]) != CLOCK:
        start = f"it begins with '{first[:40]}'" if first.strip() else "it is empty"
        raise DamagedFile(
            f"{start}, not with NDBC's header YY MM DD hh.", where=str(path), mend=FETCH_AGAIN
        )
    absent = [name for name in COLUMNS if name not in names]
    if absent:
        raise WrongFile(_other_kind(names, absent), where=str(path))
    return names


def _other_kind(names: list[str], absent: list[str]) -> str:
    """In words, what an NDBC file without the standard columns is instead."""
    rest = [name for name in names[len(CLOCK) :] if name != "mm"]
    if rest and all(_is_number(name) for name in rest):
        return "its columns are frequencies: a wave spectrum, not standard meteorological data."
    return f"it has no {', '.join(absent)} but {' '.join(rest)}: not standard meteorological data."


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _check_units(header: list[str], line: str, path: Path) -> None:
    units = dict(zip(header, line.lstrip("#").split(), strict=False))
    for name, column in COLUMNS.items():
        found = units.get(name, "nothing")
        if found != column.units:
            raise WrongFile(f"{name} is in {found}, not {column.units}.", where=str(path))


# --- Lines to numbers --------------------------------------------------------------------------


class _Rejected(Exception):
    """A line that cannot be used; its text is the reason that is counted."""


@dataclass
class _Table:
    times: list[datetime] = field(default_factory=list)
    rows: list[list[float]] = field(default_factory=list)
    rejected: Counter[str] = field(default_factory=Counter)


def _parse(header: list[str], lines: list[str]) -> _Table:
    """Every line that can be read, in the file's order, and why the others cannot."""
    table = _Table()
    for fields in filter(None, map(str.split, lines)):
        try:
            time, row = _observation(header, fields)
        except _Rejected as reason:
            table.rejected[str(reason)] += 1
        else:
            table.times.append(time)
            table.rows.append(row)
    return table


def _observation(header: list[str], fields: list[str]) -> tuple[datetime, list[float]]:
    if len(fields) != len(header):
        raise _Rejected("wrong number of fields")
    try:
        time = _time(fields[: len(CLOCK) + ("mm" in header)])
    except ValueError:
        raise _Rejected("no such time") from None
    try:
        return time, [_number(fields[header.index(name)]) for name in COLUMNS]
    except ValueError:
        raise _Rejected("not a number") from None


def _time(fields: list[str]) -> datetime:
    year, month, day, hour, minute = (*(int(text) for text in fields), 0)[:5]
    if len(fields[0]) == 2:  # only files of the 1900s have two digits
        year += 1900
    if year < FIRST_YEAR:
        raise ValueError(f"year {year}")
    return datetime(year, month, day, hour, minute)


def _number(text: str) -> float:
    if text == MISSING_TEXT:
        return math.nan
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _dataset(table: _Table) -> xr.Dataset:
    import xarray as xr

    times = np.array(table.times, "datetime64[ns]")
    raw = np.array(table.rows, np.float64)
    unique, kept = np.unique(times, return_index=True)  # the first of equal times
    repeated = times.size - unique.size
    if repeated:
        table.rejected["time given before"] += repeated
    found: dict[str, tuple[str, npt.NDArray[np.float64], dict[str, Any]]] = {}
    for column, values in zip(COLUMNS.values(), raw[kept].T, strict=True):
        attrs = column.variable.cf_attributes() | column.attrs
        found[column.variable.name] = ("time", _converted(column, values), attrs)
    attrs = {
        "rejected_lines": table.rejected.total(),
        "rejected_reasons": _words(table.rejected),
    }
    return xr.Dataset(found, {"time": ("time", unique, {"standard_name": "time"})}, attrs)


def _converted(column: Column, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    present = np.where(values == column.missing, np.nan, values)
    return present * column.scale + column.offset


def _words(reasons: Counter[str]) -> str:
    return "; ".join(f"{reason}: {count}" for reason, count in sorted(reasons.items()))
