"""Where stations are whose files do not tell it, and how high their sensors are.

The table that comes with the package has the moored buoys of NDBC: positions as its list of active
stations had them in 2023, rounded as there; heights as its list of sensor heights had them in about
2013. Hulls and payloads of other heights were in use before and after, so these heights are taken
for 2005 to 2015 only and are unknown otherwise. Stations that begin with S are those of the
simulated world.

A file ``stations.csv`` with the same header, in the folder of a report file of this machine or up
to three folders above it, adds stations and replaces all that is said here of those that it names.
Several lines of one station give the heights of several periods.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path

import numpy as np

from fluxengine.digest import file_digest
from fluxengine.errors import DamagedFile
from fluxrecipes.sources.reports import DEEPEST, HIGHEST, Array, is_depth, is_height

NAME = "stations.csv"
PACKAGED = Path(__file__).with_name(NAME)
FOLDERS_ABOVE = 3
NUMBERS = ("latitude", "longitude", "height_wind", "height_air", "depth_water")
HEADER = ("station", *NUMBERS, "heights_from", "heights_until")


@dataclass(frozen=True)
class Period:
    """A station, and its heights from one day to another, both included.

    Parameters
    ----------
    latitude, longitude : float
        Degrees.
    height_wind, height_air, depth_water : float
        Of its sensors [m], NaN where unknown; humidity is measured beside air temperature.
    first, last : date
        When the heights hold.
    """

    latitude: float
    longitude: float
    height_wind: float
    height_air: float
    depth_water: float
    first: date
    last: date


@dataclass(frozen=True)
class Station:
    """What is known of one station: its position from the first of its periods."""

    periods: tuple[Period, ...]

    @property
    def position(self) -> tuple[float, float]:
        """Latitude and longitude [degrees]."""
        return self.periods[0].latitude, self.periods[0].longitude

    def heights(self, name: str, times: Array) -> Array:
        """``height_wind``, ``height_air`` or ``depth_water`` [m] at each time; NaN if unknown."""
        found = np.full(times.shape, np.nan)
        days = times.astype("M8[D]")
        for period in self.periods:
            within = (days >= np.datetime64(period.first)) & (days <= np.datetime64(period.last))
            found[within] = getattr(period, name)
        return found


def station(name: str, path: Path) -> Station | None:
    """The station of a report file; None if neither table has it.

    Raises
    ------
    DamagedFile
        A table that cannot be read.
    """
    for folder in _folders(path):
        if (folder / NAME).is_file():
            found = _table(folder / NAME, (folder / NAME).stat().st_mtime_ns).get(name)
            if found:
                return found
    return _table(PACKAGED, 0).get(name)


def tables(paths: Iterable[Path]) -> Mapping[str, str]:
    """What files' stations are told by: digests of the package's table and of all others."""
    beside = {folder / NAME for path in paths for folder in _folders(path)}
    others = sorted(file_digest(one) for one in beside if one.is_file())
    return {"packaged": file_digest(PACKAGED)[:8], NAME: " ".join(one[:8] for one in others)}


def _folders(path: Path) -> Sequence[Path]:
    """Where a table for a report file may lie, the nearest first."""
    return list(path.absolute().parents)[: FOLDERS_ABOVE + 1]


def unknown(name: str) -> str:
    """Why reports of a station that no table has are left out, and how to have them."""
    return f"position of station {name} unknown: add it to a {NAME} beside its file"


@lru_cache(maxsize=16)
def _table(path: Path, _written: int) -> Mapping[str, Station]:
    try:
        # Spreadsheets begin with a mark.
        with path.open(newline="", encoding="utf-8-sig") as stream:
            return _stations(csv.reader(stream), path)
    except (UnicodeError, csv.Error) as error:
        what = f"it cannot be read as CSV in UTF-8: {error}."
        raise DamagedFile(what, where=str(path), mend="Save it as CSV in UTF-8.") from None


def _stations(lines: Iterable[list[str]], path: Path) -> Mapping[str, Station]:
    found: dict[str, tuple[Period, ...]] = {}
    for number, fields in enumerate(lines, 1):
        if number == 1:
            if tuple(fields) != HEADER:
                raise DamagedFile(f"its header is not {','.join(HEADER)}.", where=str(path))
            continue
        try:
            name, period = _period(fields)
        except ValueError as error:
            what = f"line {number} cannot be read: {error}."
            raise DamagedFile(what, where=str(path), mend="Compare it with the header.") from None
        found[name] = (*found.get(name, ()), period)
    return {name: Station(periods) for name, periods in found.items()}


def _period(fields: list[str]) -> tuple[str, Period]:
    if len(fields) != len(HEADER):
        raise ValueError(f"it has {len(fields)} fields, not {len(HEADER)}")
    given = dict(zip(HEADER, (text.strip() for text in fields), strict=True))
    numbers = [float(given[name] or "nan") for name in NUMBERS]
    if not (abs(numbers[0]) <= 90 and -180 <= numbers[1] <= 360):
        raise ValueError("there is no such position")
    *heights, depth = numbers[2:]
    if not all(math.isnan(height) or is_height(height) for height in heights):
        raise ValueError(f"a height is not above 0 m, or above {HIGHEST:g} m")
    if not (math.isnan(depth) or is_depth(depth)):
        raise ValueError(f"a depth is below 0 m or above {DEEPEST:g} m")
    first = date.fromisoformat(given["heights_from"]) if given["heights_from"] else date.min
    last = date.fromisoformat(given["heights_until"]) if given["heights_until"] else date.max
    latitude, longitude, wind, air, water = numbers
    period = Period(latitude, longitude, wind, air, water, first, last)
    return given["station"].upper(), period
