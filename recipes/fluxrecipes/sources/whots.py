"""WHOTS surface mooring: raw meteorological text of its two systems, before any control.

Lines that begin with ``%`` name the columns and say that a time is the start of its averaging
period; reports here have its middle. Directions are where the wind blows to. What a sensor gives
when it is broken or on deck (air of -20 degrees, humidity below 0) is left out by the limits of
`LIMITS`, which the weather north of Oahu does not come near.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fluxengine.errors import DamagedFile, WrongFile
from fluxengine.tables import Feed, Rows
from fluxrecipes import vocabulary as cf
from fluxrecipes.sources import reports, stations
from fluxrecipes.sources.gzipped import FETCH_AGAIN, text_blocks
from fluxrecipes.sources.reports import Array, Measured

BLOCK, LONGEST = 2**20, 4096  # bytes of text read at once, and of a line
CLOCK = ("year", "mo", "day", "hr")
UNITS = {"BPR": "mbar", "ATMP": "degC", "STMP": "degC", "WSPD": "m/s", "WDIR": "deg", "RH": "%"}
LIMITS = {
    "BPR": (980.0, 1040.0),
    "ATMP": (14.0, 35.0),
    "STMP": (18.0, 34.0),
    "WSPD": (0.0, 75.0),
    "WDIR": (0.0, 360.0),
    "RH": (20.0, 103.0),
}
STATION = "WHOTS"


def read(path: Path) -> Iterator[Rows]:
    """Reports of a raw file, plain or gzip, as rows of the in-situ table.

    Raises
    ------
    MissingFile, DamagedFile
        No file; damaged gzip; no header; not one line that can be read.
    WrongFile
        Another mooring, other columns or units.
    """
    header: list[str] = []
    names: list[str] = []
    found = 0
    rejected: Counter[str] = Counter()
    for begin, block in text_blocks(path, BLOCK, LONGEST):
        lines = block.decode("ascii", errors="replace").replace("_", "?").split("\n")
        if not begin:
            header = [line for line in lines if line.startswith("%")]
            names = _columns(header, path)
        # The last number of a line without an end may be cut short.
        cut = lines.pop()
        values, counts = _values(lines, len(names))
        counts["the file ends within the line"] += bool(cut.strip())
        found += values.shape[1]
        yield reports.rows(_reports(dict(zip(names, values, strict=True)), path), rejected + counts)
        rejected = Counter()
    if not names:
        _columns([], path)
    if not found:
        raise DamagedFile("not one line of it can be read.", where=str(path), mend=FETCH_AGAIN)


def _columns(header: list[str], path: Path) -> list[str]:
    """Names of the columns, from the header's last lines."""
    lines = [line.lstrip("%").split() for line in header]
    at = next((i for i, words in enumerate(lines) if tuple(words[:4]) == CLOCK), None)
    if at is None:
        what = "it has no line '% year mo day hr ...' that names its columns."
        raise DamagedFile(what, where=str(path), mend=FETCH_AGAIN)
    names = lines[at]
    if not any(STATION in line for line in header):
        raise WrongFile(f"its header does not name {STATION}.", where=str(path))
    absent = [name for name in UNITS if name not in names]
    if absent:
        raise WrongFile(f"it has no {', '.join(absent)} but {' '.join(names)}.", where=str(path))
    _check_units(names, lines[at + 1 : at + 2], path)
    if not re.search(r"start of the averaging", " ".join(header)):
        what = "its header does not say that times are the start of the averaging period."
        raise WrongFile(what, where=str(path))
    return names


def _check_units(names: list[str], lines: list[list[str]], path: Path) -> None:
    """Units stand under the names from UTC on, which is under the hour; yday has none."""
    words = lines[0] if lines else []
    measured = names[names.index("BPR") :]
    given = dict(zip(measured, words[1:], strict=False))
    for name, unit in UNITS.items():
        if given.get(name) != unit:
            raise WrongFile(f"{name} is in {given.get(name)}, not {unit}.", where=str(path))


def _values(lines: list[str], width: int) -> tuple[npt.NDArray[np.float64], Counter[str]]:
    """Numbers of all lines that can be read, shape (column, line), and why the others cannot."""
    counts: Counter[str] = Counter()
    fields = [line.split() for line in lines if line.strip() and not line.startswith("%")]
    whole = [given for given in fields if len(given) == width]
    if len(fields) > len(whole):
        counts["wrong number of fields"] = len(fields) - len(whole)
    values = np.array([[_number(text) for text in given] for given in whole], np.float64)
    values = values.reshape(len(whole), width).T
    readable = ~np.isinf(values).any(axis=0)
    if not readable.all():
        counts["not a number"] = int(np.count_nonzero(~readable))
    return values[:, readable], counts


def _number(text: str) -> float:
    """A number, or NaN for "NaN"; infinity for what is no number."""
    try:
        return float(text)
    except ValueError:
        return np.inf


def _reports(given: dict[str, npt.NDArray[np.float64]], path: Path) -> reports.Reports:
    station = stations.station(STATION, path)
    assert station is not None  # it is in the package's table
    times = _middle(given)
    latitude, longitude = station.position
    toward = np.where(_within("WDIR", given["WDIR"]), given["WDIR"], np.nan)

    def measured(name: str, scale: float, offset: float, height: str) -> Measured:
        raw = given[name]
        junk = ~np.isnan(raw) & ~_within(name, raw)
        verdict = np.where(junk, np.uint8(reports.UNUSABLE), np.uint8(reports.NOT_CHECKED))
        return Measured(raw * scale + offset, verdict, station.heights(height, times))

    return reports.Reports(
        feed=reports.WHOTS,
        time=times,
        platform=STATION.encode(),
        kind=reports.MOORED,
        latitude=latitude,
        longitude=longitude,
        wind_speed=measured("WSPD", 1.0, 0.0, "height_wind"),
        wind_from_direction=np.mod(toward + 180.0, 360.0),
        air_temperature=measured("ATMP", 1.0, cf.KELVIN, "height_air"),
        relative_humidity=measured("RH", 0.01, 0.0, "height_air"),
        sea_surface_temperature=measured("STMP", 1.0, cf.KELVIN, "depth_water"),
        air_pressure=measured("BPR", 100.0, 0.0, "height_air"),
    )


def _within(name: str, values: npt.NDArray[np.float64]) -> Array:
    low, high = LIMITS[name]
    return (values >= low) & (values <= high)


def _middle(given: dict[str, npt.NDArray[np.float64]]) -> Array:
    """Middle of each averaging period: an hour, or a minute where the file has minutes."""
    year, month, day, hour = (_integers(given[name]) for name in CLOCK)
    minute = _integers(given["min"]) if "min" in given else np.zeros_like(hour)
    fine = (hour >= 0) & (hour < 24) & (minute >= 0) & (minute < 60)
    start = reports.moments(year, month, day, np.where(fine, hour * 3600 + minute * 60, -1))
    return np.asarray(start + np.timedelta64(30 if "min" in given else 1800, "s"))


def _integers(values: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Whole numbers; -1 for anything else."""
    whole = (np.abs(values) < 1e6) & (values == np.rint(values))
    return np.where(whole, values, -1.0).astype(np.int64)


FEED = Feed(
    name="whots",
    patterns=("*MET_sys*.txt", "*/*MET_sys*.txt"),
    read=read,
    archive="whots",
    home="https://uop.whoi.edu/currentprojects/WHOTS/data",
    title="WHOTS surface mooring, raw meteorology",
    provider="Woods Hole Oceanographic Institution and University of Hawaii",
    licence="free for use with acknowledgement of the Upper Ocean Processes Group, WHOI",
    cite="Plueddemann et al., WHOTS reference station, Woods Hole Oceanographic Institution",
    beside=stations.tables,
)
