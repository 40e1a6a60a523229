"""NDBC standard meteorological files: one station's observations as text, in all their layouts.

Since 2007 ``#YY MM DD hh mm WDIR ... TIDE`` and a line of units; before, no unit line, WD and BAR
(or BARO) for WDIR and PRES, no minute before 2005, no TIDE before 2000 and in the first lines of
that year's files, two-digit years before 1999. Files of the last 45 days (realtime2) are newest
first, say ``MM`` for missing and have PTDY; they roll on, so each download is to be kept under a
name of its own, such as ``realtime2/41002_20260101.txt``. Fields are read by the names of the
header, separated by any white space, so a file whose spacing was collapsed is read as well.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fluxengine.declare import Variable
from fluxengine.errors import DamagedFile, WrongFile
from fluxengine.tables import Feed, Rows
from fluxrecipes import vocabulary as cf
from fluxrecipes.sources import reports, stations
from fluxrecipes.sources.gzipped import FETCH_AGAIN, text_blocks

if TYPE_CHECKING:
    import xarray as xr

BLOCK, LONGEST = 2**20, 4096  # bytes of text read at once, and of a line
FIRST_YEAR = 1970  # of NDBC's record
OLD_NAMES = {"YYYY": "YY", "WD": "WDIR", "BAR": "PRES", "BARO": "PRES"}
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
    "WDIR": Column(
        cf.wind_from_direction, "degT", 999, attrs={"comment": "clockwise from true north"}
    ),
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
        Along time (datetime64[ns], UTC, sorted, unique): wind_speed [m s-1] and
        wind_from_direction [degree] at the anemometer's height, air_temperature,
        sea_surface_temperature, dew_point_temperature [K], surface_pressure [Pa]; float64, NaN
        where missing. Attribute ``rejected_lines`` counts the lines left out and
        ``rejected_reasons`` says why; of lines with the same time the first in the file is kept.

    Raises
    ------
    MissingFile, DamagedFile
        No file; a damaged gzip stream; no header; not one line that can be read.
    WrongFile
        Another kind of NDBC file (wave spectra, continuous winds), or other units.
    """
    import xarray as xr

    times, found, rejected, _ = _observations(path)
    variables: dict[str, tuple[str, npt.NDArray[np.float64], dict[str, Any]]] = {}
    for name, column in COLUMNS.items():
        attrs = column.variable.cf_attributes() | column.attrs
        variables[column.variable.name] = ("time", found[name], attrs)
    attrs = {"rejected_lines": rejected.total(), "rejected_reasons": _words(rejected)}
    coords = {"time": ("time", times.astype("M8[ns]"), {"standard_name": "time"})}
    return xr.Dataset(variables, coords, attrs)


def read(path: Path) -> Iterator[Rows]:
    """Reports of a standard meteorological file as rows of the in-situ table.

    The station is told by the file's name, its position and heights by `stations`. Reports of a
    station whose position is unknown are left out.

    Raises
    ------
    MissingFile, DamagedFile, WrongFile
        As `read_stdmet` does; and for a name that begins with no station.
    """
    name = _station(path)
    times, found, rejected, realtime = _observations(path)
    station = stations.station(name, path)
    if station is None:
        yield reports.none_of(times.size, stations.unknown(name), rejected)
        return
    for start in range(0, times.size, reports.PART):
        part = slice(start, start + reports.PART)
        values = {key: column[part] for key, column in found.items()}
        made = _reports(name, station, times[part], values, realtime)
        yield reports.rows(made, rejected)
        rejected = Counter()


def _reports(
    name: str,
    station: stations.Station,
    times: reports.Array,
    values: dict[str, npt.NDArray[np.float64]],
    realtime: bool,
) -> reports.Reports:
    # Files of past years went through the provider's full control, recent ones through the
    # automatic one only.
    quality = reports.PROBABLY_GOOD if realtime else reports.GOOD
    height = {key: station.heights(key, times) for key in ("height_wind", "height_air")}
    latitude, longitude = station.position

    def measured(key: str, above: reports.Array | float = np.nan) -> reports.Measured:
        return reports.Measured(values[key], quality, above)

    return reports.Reports(
        feed=reports.NDBC,
        time=times,
        platform=name.encode(),
        kind=reports.MOORED if name[:5].isdigit() or name.startswith("EB") else reports.COASTAL,
        latitude=latitude,
        longitude=longitude,
        wind_speed=measured("WSPD", height["height_wind"]),
        wind_from_direction=values["WDIR"],
        air_temperature=measured("ATMP", height["height_air"]),
        dew_point=measured("DEWP", height["height_air"]),
        sea_surface_temperature=measured("WTMP", station.heights("depth_water", times)),
        air_pressure=measured("PRES"),
    )


STATION = re.compile(r"eb\d\d(?=h|\.)|[0-9a-z]{5}(?![a-z]{2})", re.IGNORECASE)


def _station(path: Path) -> str:
    found = STATION.match(path.name)
    if found is None:
        what = "its name does not begin with a station's five characters, as in 41002h2021.txt."
        raise WrongFile(what, where=str(path))
    return found[0].upper()


def _rank(path: str) -> int:
    """Files of past years went through the full control, then those of months; others did not."""
    return 2 if "realtime2/" in path else 0 if "historical/" in path else 1


FEED = Feed(
    name="ndbc",
    patterns=(
        "historical/stdmet/*.txt.gz",
        "historical/stdmet/*.txt",
        "stdmet/*/*.txt.gz",
        "stdmet/*/*.txt",
        "realtime2/*.txt",
    ),
    read=read,
    rank=_rank,
    archive="ndbc",
    home="https://www.ndbc.noaa.gov/data",
    title="Standard meteorological data of moored buoys and coastal stations. Files of"
    " realtime2 hold the last 45 days and roll on: keep each download under a name of its own, such"
    " as realtime2/41002_20260101.txt, for a file takes the place of what it held before",
    provider="NOAA National Data Buoy Center",
    licence="United States public domain",
    cite="NOAA National Data Buoy Center (1971): Meteorological and oceanographic data collected"
    " from the National Data Buoy Center Coastal-Marine Automated Network (C-MAN) and moored"
    " (weather) buoys; NOAA National Centers for Environmental Information",
    beside=stations.tables,
)


# --- The file -------------------------------------------------------------------------------------


def _observations(
    path: Path,
) -> tuple[reports.Array, dict[str, npt.NDArray[np.float64]], Counter[str], bool]:
    """Sorted times, values in our units by NDBC's names, what is left out, whether realtime2."""
    table = None
    for _, block in text_blocks(path, BLOCK, LONGEST):
        # A character replaced, or an underscore that Python takes in numbers, spoils its line.
        lines = block.decode("ascii", errors="replace").replace("_", "?").split("\n")
        if table is None:
            header = _header(lines.pop(0), path)
            if lines and lines[0].startswith("#"):
                _check_units(header, lines.pop(0), path)
            table = _Table(header)
        table.add(lines)
    if table is None:
        _header("", path)
    assert table is not None  # an empty header was refused
    if not table.times:
        reasons = _words(table.rejected) or "it has none"
        raise DamagedFile(f"no line of it can be read: {reasons}.", where=str(path))
    times, first = np.unique(np.concatenate(table.times), return_index=True)
    values = np.concatenate(table.values, axis=1)[:, first]
    repeated = sum(map(len, table.times)) - times.size
    if repeated:
        table.rejected["time given before"] += repeated
    named = zip(COLUMNS.items(), values, strict=True)
    found = {name: _converted(column, raw) for (name, column), raw in named}
    return times, found, table.rejected, "PTDY" in table.header


def _header(first: str, path: Path) -> list[str]:
    """Column names in today's spelling.

    ``MM`` is the month in the header and "missing" below it: both are NDBC's.
    """
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


# --- Lines to numbers -----------------------------------------------------------------------------


@dataclass
class _Table:
    """What was read of a file so far."""

    header: list[str]
    times: list[reports.Array] = field(default_factory=list)
    values: list[npt.NDArray[np.float64]] = field(default_factory=list)  # (column, time)
    rejected: Counter[str] = field(default_factory=Counter)
    tide_seen: bool = False

    def add(self, lines: list[str]) -> None:
        """Every line that can be read, in the file's order, and why the others cannot."""
        fields = [line.split() for line in lines if line.strip() and not line.startswith("#")]
        whole = [given for given in fields if self._is_whole(given)]
        self._reject("wrong number of fields", len(fields) - len(whole))
        if not whole:
            return
        times = self._times(whole)
        values = np.array([self._column(name, whole) for name in COLUMNS])
        dated, readable = ~np.isnat(times), ~np.isinf(values).any(axis=0)
        self._reject("no such time", int(np.count_nonzero(~dated)))
        self._reject("not a number", int(np.count_nonzero(dated & ~readable)))
        kept = dated & readable
        if kept.any():
            self.times.append(times[kept])
            self.values.append(values[:, kept])

    def _reject(self, reason: str, count: int) -> None:
        if count:
            self.rejected[reason] += count

    def _is_whole(self, fields: list[str]) -> bool:
        """Whether a line has all fields; in the first lines of 2000, all but the new TIDE."""
        missing = len(self.header) - len(fields)
        if missing == 1 and self.header[-1] == "TIDE" and fields[0] == "2000":
            return not self.tide_seen
        self.tide_seen |= missing == 0
        return missing == 0

    def _times(self, rows: list[list[str]]) -> reports.Array:
        year, month, day, hour = (_integers([row[i] for row in rows]) for i in range(len(CLOCK)))
        minute = np.zeros_like(hour)
        if "mm" in self.header:
            minute = _integers([row[len(CLOCK)] for row in rows])
        short = np.array([len(row[0]) == 2 for row in rows])  # only files of the 1900s have two
        year = np.where(short, year + 1900, year)
        fine = (year >= FIRST_YEAR) & (hour >= 0) & (hour < 24) & (minute >= 0) & (minute < 60)
        return reports.moments(year, month, day, np.where(fine, hour * 3600 + minute * 60, -1))

    def _column(self, name: str, rows: list[list[str]]) -> list[float]:
        at = self.header.index(name)
        return [_number(row[at]) for row in rows]


def _integers(texts: list[str]) -> npt.NDArray[np.int64]:
    """Unsigned integers of at most four digits; -1 for anything else."""
    return np.array([int(t) if t.isdecimal() and len(t) <= 4 else -1 for t in texts], np.int64)


def _number(text: str) -> float:
    """A number, NaN where there is none; infinity for what is no number."""
    try:
        value = float(text)
    except ValueError:
        return math.nan if text == MISSING_TEXT else math.inf
    return value if math.isfinite(value) else math.inf


def _converted(column: Column, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    present = np.where(values == column.missing, np.nan, values)
    return present * column.scale + column.offset


def _words(reasons: Counter[str]) -> str:
    return "; ".join(f"{reason}: {count}" for reason, count in sorted(reasons.items()))
