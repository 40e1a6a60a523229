"""ERA5 single levels in GRIB, edition 1 or 2, read through cfgrib where that is installed.

A message is one map. Messages are read one after another with their own headers, which say more
than NetCDF does: the product's class and stream, and over which hours a value is summed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fluxengine.errors import DamagedFile, WrongFile
from fluxrecipes.sources import grib_process
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
from fluxrecipes.sources.grib_process import Header, Messages, NotInstalled, Unreadable
from fluxrecipes.sources.gzipped import FETCH_AGAIN

MAGIC = b"GRIB"
MISSING = float(np.finfo(np.float32).max)  # what cfgrib has messages give where there is no value
INSTALL = "Install it: pip install 'fluxforge[grib]'. Or download the data as NetCDF."

HOURLY = {"class": "ea", "stream": "oper"}  # ERA5, and its stream of hours
IDENTITY = ("shortName", "class", "stream", "offset", "totalLength")
KEYS = (
    "type",
    "expver",
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
    "jPointsAreConsecutive",
    "alternativeRowScanning",
    "latitudeOfFirstGridPointInDegrees",
    "latitudeOfLastGridPointInDegrees",
    "longitudeOfFirstGridPointInDegrees",
    "longitudeOfLastGridPointInDegrees",
)


@contextmanager
def layers_of(path: Path) -> Iterator[list[Layer]]:
    """The known messages of a GRIB file, one layer each.

    Raises
    ------
    DamagedFile, WrongFile
        On entry, or while maps are read; also where cfgrib is not installed.
    """
    with grib_process.opened(path) as messages:
        headers = _headers(messages, path)
        _check_whole(headers, path)
        known = [(_field(header), header) for header in headers]
        yield [_layer(header, field, messages, path) for field, header in known if field]


@contextmanager
def _as_damage(path: Path) -> Iterator[None]:
    try:
        yield
    except (Unreadable, ValueError, TypeError) as error:
        what = f"it cannot be read as GRIB: {error}."
        raise DamagedFile(what, where=str(path), mend=FETCH_AGAIN) from error


def _headers(messages: Messages, path: Path) -> list[Header]:
    """What the messages say of themselves; little of those that are none of ours."""
    try:
        with _as_damage(path):
            return messages.headers(IDENTITY, KEYS, where=HOURLY)
    except NotInstalled as error:
        what = f"it is GRIB, which is read through cfgrib: {error}."
        raise WrongFile(what, where=str(path), mend=INSTALL) from None


def _field(header: Header) -> Field | None:
    return BY_NAME.get(str(header["shortName"]).lower())


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


def _layer(header: Header, field: Field, messages: Messages, path: Path) -> Layer:
    _check_product(header, field, path)
    field.check_units(header["units"], path)
    return Layer(
        field,
        whole_hours(np.array([_moment(header, path)]), path),
        np.array([is_preliminary(header["expver"], path)]),
        _nodes(header, path),
        partial(_read, header, messages, path),
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


def _read(
    header: Header, messages: Messages, path: Path, first: int, stop: int
) -> npt.NDArray[np.float64]:
    """The message's values, shape (1, lat, lon); a layer has this one only."""
    with _as_damage(path):
        values = messages.values(int(header["offset"]))
        found = values.reshape(1, header["Nj"], header["Ni"])
    return np.where(found == MISSING, np.nan, found)


# --- Is it what it seems? ----------------------------------------------------------------------

CLASSES = {"ea": "ERA5", "l5": "ERA5-Land", "ei": "ERA-Interim", "od": "operational forecasts"}


def _check_product(header: Header, field: Field, path: Path) -> None:
    """Refuse other products, means and members, and sums over more than an hour."""
    kind, stream = header["class"], header["stream"]
    if any(header[key] != value for key, value in HOURLY.items()):
        product = CLASSES.get(kind, "unknown")
        what = f"it is of the class '{kind}' ({product}) and the stream '{stream}'"
        raise WrongFile(f"{what}, not ERA5's hours ('ea', 'oper').", where=str(path))
    if header["type"] not in ("an", "fc"):
        what = f"it is of the type '{header['type']}', neither analysis nor forecast."
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
