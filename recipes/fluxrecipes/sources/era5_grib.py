"""ERA5 single levels in GRIB, edition 1 or 2, read through cfgrib where that is installed.

A message is one map. Messages are read one after another with their own headers, which say more
than NetCDF does: the product's class and stream, and over which hours a value is summed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fluxengine.errors import DamagedFile, WrongFile
from fluxrecipes.sources.era5_fields import (
    BY_NAME,
    MOST_CELLS,
    Field,
    Layer,
    Nodes,
    checked_nodes,
    is_preliminary,
    whole_hours,
)
from fluxrecipes.sources.gzipped import FETCH_AGAIN

MAGIC = b"GRIB"
MISSING = float(np.finfo(np.float32).max)  # what cfgrib has messages give where there is no value
INSTALL = "Install it: pip install 'fluxforge[grib]'. Or download the data as NetCDF."

Header = dict[str, Any]
KEYS = (
    "shortName",
    "class",
    "stream",
    "type",
    "expver",
    "number",
    "units",
    "validityDate",
    "validityTime",
    "stepType",
    "startStep",
    "endStep",
    "stepUnits",
    "gridType",
    "Ni",
    "Nj",
    "iScansNegatively",
    "jScansPositively",
    "jPointsAreConsecutive",
    "alternativeRowScanning",
    "latitudeOfFirstGridPointInDegrees",
    "latitudeOfLastGridPointInDegrees",
    "longitudeOfFirstGridPointInDegrees",
    "longitudeOfLastGridPointInDegrees",
    "offset",
    "totalLength",
)


@contextmanager
def layers_of(path: Path) -> Iterator[list[Layer]]:
    """The known messages of a GRIB file, one layer each.

    Raises
    ------
    DamagedFile, WrongFile
        On entry, or while maps are read; also where cfgrib is not installed.
    """
    headers = _headers(path)
    _check_whole(headers, path)
    yield [
        _layer(header, BY_NAME[header["shortName"].lower()], path)
        for header in headers
        if str(header["shortName"]).lower() in BY_NAME
    ]


@contextmanager
def _as_damage(path: Path) -> Iterator[None]:
    """Whatever ecCodes cannot read is a damaged file: it says so in a dozen types."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        what = f"it cannot be read as GRIB: {type(error).__name__}: {str(error)[:200]}."
        raise DamagedFile(what, where=str(path), mend=FETCH_AGAIN) from error


def _cfgrib(path: Path) -> Any:
    try:
        import cfgrib
    except (ImportError, RuntimeError) as error:  # the latter: cfgrib without the C library
        what = f"it is GRIB, which is read through cfgrib: {error}."
        raise WrongFile(what, where=str(path), mend=INSTALL) from None
    return cfgrib


def _headers(path: Path) -> list[Header]:
    stream = _cfgrib(path).FileStream(str(path), errors="raise")
    with _as_damage(path):
        return [
            {key: message.message_get(key, default=None) for key in KEYS}
            for _, message in stream.items()
        ]


def _check_whole(headers: list[Header], path: Path) -> None:
    """Refuse bytes between messages, which ecCodes skips: a damaged message, or no GRIB at all."""
    end = 0
    with path.open("rb") as file:
        for header in [*headers, {"offset": path.stat().st_size, "totalLength": 0}]:
            offset = int(header["offset"])
            file.seek(end)
            if offset > end and file.read(min(offset - end, 2**20)).strip(b"\0"):
                what = f"bytes {end:,} to {offset:,} of it are no GRIB message."
                raise DamagedFile(what, where=str(path), mend=FETCH_AGAIN)
            end = max(end, offset + int(header["totalLength"]))


def _layer(header: Header, field: Field, path: Path) -> Layer:
    _check_product(header, field, path)
    field.check_units(header["units"], path)
    return Layer(
        field,
        whole_hours(np.array([_moment(header, path)]), path),
        np.array([is_preliminary(header["expver"] or "0001", path)]),
        _nodes(header, path),
        partial(_read, header, path),
        path,
    )


def _moment(header: Header, path: Path) -> np.datetime64:
    day, clock = int(header["validityDate"]), int(header["validityTime"])
    try:
        hour = np.datetime64(f"{day // 10000:04d}-{day // 100 % 100:02d}-{day % 100:02d}", "s")
    except ValueError:
        what = f"a message of it is of the day {day}."
        raise DamagedFile(what, where=str(path), mend=FETCH_AGAIN) from None
    return hour + np.timedelta64(clock // 100 * 3600 + clock % 100 * 60, "s")


def _read(header: Header, path: Path, first: int, stop: int) -> npt.NDArray[np.float64]:
    """The message's values, shape (1, lat, lon); a layer has this one only."""
    stream = _cfgrib(path).FileStream(str(path), errors="raise")
    with _as_damage(path):
        values = np.asarray(stream[int(header["offset"])]["values"], np.float64)
        found = values.reshape(1, header["Nj"], header["Ni"])
    return np.where(found == MISSING, np.nan, found)


# --- Is it what it seems? ----------------------------------------------------------------------

CLASSES = {"ea": "ERA5", "l5": "ERA5-Land", "ei": "ERA-Interim", "od": "operational forecasts"}
STREAMS = ("oper", None)


def _check_product(header: Header, field: Field, path: Path) -> None:
    """Refuse other products, means and members, and sums over more than an hour."""
    kind = header["class"]
    if kind not in ("ea", None):
        what = f"it is of the class '{kind}' ({CLASSES.get(kind, 'unknown')}), not of ERA5 ('ea')."
        raise WrongFile(what, where=str(path))
    if header["stream"] not in STREAMS or header["type"] not in ("an", "fc", None):
        of = f"the stream '{header['stream']}' and the type '{header['type']}'"
        what = f"it is of {of}, not ERA5's hours."
        raise WrongFile(what, where=str(path))
    step = header["stepType"]
    if step != ("accum" if field.accumulated else "instant"):
        expected = "a sum over the hour" if field.accumulated else "a value at the hour"
        what = f"{field.long_name} is of the kind '{step}', not {expected}."
        raise WrongFile(what, where=str(path))
    if field.accumulated:
        _check_hour(header, field, path)


HOUR_UNITS = (1, "h")


def _check_hour(header: Header, field: Field, path: Path) -> None:
    span = (header["startStep"], header["endStep"], header["stepUnits"])
    try:
        hours = int(str(span[1]).rstrip("h")) - int(str(span[0]).rstrip("h"))
    except ValueError:
        hours = 0
    if hours != 1 or span[2] not in HOUR_UNITS:
        raise WrongFile(
            f"{field.long_name} is summed over the steps {span[0]} to {span[1]}, not over an hour.",
            where=str(path),
        )


def _nodes(header: Header, path: Path) -> Nodes:
    if header["gridType"] != "regular_ll":
        what = f"its grid is of the kind '{header['gridType']}', not regular in degrees."
        raise WrongFile(what, where=str(path))
    odd = ("iScansNegatively", "jPointsAreConsecutive", "alternativeRowScanning")
    if any(header[key] for key in odd):
        raise WrongFile("its maps do not go eastward row by row.", where=str(path))
    with _as_damage(path):
        rows, columns = int(header["Nj"]), int(header["Ni"])
        if rows < 1 or columns < 1 or rows * columns > MOST_CELLS:
            raise ValueError(f"a map of {rows:,} x {columns:,} cells")
        first, last, west, east = (float(header[f"{key}GridPointInDegrees"]) for key in ENDS)
    east += 360 * (east < west)  # across the meridian at which the file begins to count
    lat = np.linspace(first, last, rows)
    return checked_nodes(lat, np.linspace(west, east, columns), path)


ENDS = ("latitudeOfFirst", "latitudeOfLast", "longitudeOfFirst", "longitudeOfLast")
