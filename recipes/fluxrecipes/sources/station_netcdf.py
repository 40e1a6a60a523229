"""NetCDF files of moorings: variables along time, with their units, times and sensor heights.

Classic files are read by SciPy, which notices one that is cut short: the NetCDF library reads zeros
beyond its end. All others are read by the NetCDF library, those of CDF-5 once their header is
checked. Values are decoded here, so that what is missing, packed or in another unit means the same
in every form.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fluxengine.errors import DamagedFile, FluxforgeError, MissingFile, WrongFile
from fluxrecipes import vocabulary as cf
from fluxrecipes.sources.classic_netcdf import check_classic
from fluxrecipes.sources.gzipped import FETCH_AGAIN
from fluxrecipes.sources.netcdf import ENORMOUS, POINTER, check_chunk
from fluxrecipes.sources.reports import LONG, PART, SHORT, WIDE, Array

Numbers = npt.NDArray[np.float64]
Units = Mapping[str, tuple[float, float]]  # by name: scale and offset to ours
CLASSIC = (b"CDF\x01", b"CDF\x02")
# Cells of a variable for each byte of the file: no more can be packed into it, and 1,000 are had by
# deflate where all are equal.
MOST_CELLS_A_BYTE = 1100
EPIC_DEPTH = "3"  # EPIC's number of a depth in metres
LARGEST_CHUNK = 2**28  # bytes unpacked: thirty years of minutes in one chunk are half of it


@dataclass(frozen=True)
class Field:
    """A variable of the file."""

    path: Path
    name: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    attrs: Mapping[str, Any]
    load: Callable[[tuple[slice | int, ...]], Array]

    def text(self, *names: str) -> str:
        """The first of these attributes that is there, as text."""
        found = (self.attrs[name] for name in names if name in self.attrs)
        return str(next(found, "")).strip()

    def numbers(self, at: tuple[slice | int, ...], limited: bool = True) -> Numbers:
        """Decoded values, NaN where missing and, if `limited`, outside of the valid range.

        Raises
        ------
        WrongFile
            No numbers, or an attribute that should be one and is not.
        """
        raw = self._stored(at)
        values = raw.astype(np.float64)
        missing = ~(np.abs(values) < ENORMOUS)
        for name in ("_FillValue", "missing_value"):
            for code in self._codes(name, raw):
                found, wanted = _in_one_type(raw, code)
                missing |= found == wanted
        values[missing] = np.nan
        scale, offset = self._factor("scale_factor", 1.0), self._factor("add_offset", 0.0)
        if (scale, offset) != (1.0, 0.0):
            values = values * scale + offset
        return np.where(self._outside(raw, values), np.nan, values) if limited else values

    def _stored(self, at: tuple[slice | int, ...]) -> Array:
        """Numbers as the file has them; classic files have no type for unsigned ones."""
        raw = self.load(at)
        if raw.dtype.kind not in "iuf":
            what = f"{self.name} holds {raw.dtype}, no numbers."
            raise WrongFile(what, where=str(self.path))
        if raw.dtype.kind == "i" and self.text("_Unsigned").lower() == "true":
            return raw.view(raw.dtype.str.replace("i", "u"))
        return raw

    def _told(self, name: str) -> Array:
        """Numbers of an attribute, also where they are text; none where it is absent or blank."""
        given = np.atleast_1d(np.asarray(self.attrs.get(name, ()))).ravel()
        if given.dtype.kind in "iuf":
            return given
        texts = [str(text).strip("\0 ") for text in given]
        try:
            return np.array([float(text) for text in texts if text], np.float64)
        except ValueError:
            what = f"{self.name} has a {name} of '{' '.join(texts)[:40]}', which is no number."
            raise WrongFile(what, where=str(self.path)) from None

    def _factor(self, name: str, default: float) -> float:
        return float(next(iter(self._told(name)), default))

    def _codes(self, name: str, raw: Array) -> Array:
        """Numbers of an attribute; of an unsigned variable, negative ones are meant unsigned."""
        codes = self._told(name)
        if (raw.dtype.kind, codes.dtype.kind) != ("u", "i"):
            return codes
        if codes.dtype.itemsize != raw.dtype.itemsize:
            return codes
        return np.mod(codes.astype(np.float64), 2.0 ** (8 * raw.dtype.itemsize))

    def _outside(self, raw: Array, values: Numbers) -> Array:
        """Which numbers are outside of the valid range.

        It is one of stored numbers; but where it has fractions, and integers are stored, of what
        they mean (NetCDF User's Guide).
        """
        outside = np.zeros(raw.shape, bool)
        for name, at, is_beyond in LIMITS:
            limits = self._codes(name, raw)
            if limits.size > at:
                is_of_values = self._told(name).dtype.kind == "f" and raw.dtype.kind != "f"
                compared = values if is_of_values else raw
                outside |= is_beyond(*_in_one_type(compared, np.asarray(limits[at])))
        return outside


LIMITS: tuple[tuple[str, int, Callable[[Array, Array], Array]], ...] = (
    ("valid_min", 0, np.less),
    ("valid_max", 0, np.greater),
    ("valid_range", 0, np.less),
    ("valid_range", 1, np.greater),
)


def _in_one_type(raw: Array, code: Array) -> tuple[Array, Array]:
    """Numbers and a code as the narrower of their types: -9.99 is another number in each."""
    kind = np.dtype(np.float64)
    if raw.dtype.kind == "f":
        is_narrower = code.dtype.kind == "f" and code.dtype.itemsize < raw.dtype.itemsize
        kind = code.dtype if is_narrower else raw.dtype
    with np.errstate(over="ignore"):
        return raw.astype(kind), code.astype(kind)


@dataclass(frozen=True)
class Station:
    """An open file.

    Parameters
    ----------
    path : Path
    fields : mapping of str to Field
    attrs : mapping
        Of the file.
    along : str
        Name of the dimension that reports lie along.
    count : int
        Its length.
    """

    path: Path
    fields: Mapping[str, Field]
    attrs: Mapping[str, Any]
    along: str
    count: int

    def parts(self) -> Iterator[slice]:
        """Reports in pieces that fit into memory."""
        for start in range(0, self.count, PART):
            yield slice(start, min(start + PART, self.count))

    def text(self, *names: str) -> str:
        """The first of these global attributes that is there, as text."""
        found = (str(self.attrs[name]).strip() for name in names if name in self.attrs)
        return next(filter(None, found), "")

    def first(self, *names: str) -> Field | None:
        """The first of these variables that lies along the reports."""
        found = (self.fields[name] for name in names if name in self.fields)
        return next((field for field in found if self.along in field.dims), None)

    def values(self, field: Field, part: slice, level: int = 0) -> Numbers:
        """Values of some reports, at one of the levels where it has several.

        Raises
        ------
        WrongFile
            Where it has several positions.
        """
        at: list[slice | int] = []
        for name, size in zip(field.dims, field.shape, strict=True):
            if name != self.along and size > 1 and not self._is_vertical(name):
                what = f"{field.name} has {size} places along {name}, not one."
                raise WrongFile(what, where=str(self.path))
            at.append(part if name == self.along else level if self._is_vertical(name) else 0)
        return field.numbers(tuple(at))

    def flags(self, field: Field, part: slice, level: int = 0) -> Numbers:
        """Values of a variable of quality flags, which may be characters, as may be its attributes.

        Raises
        ------
        WrongFile
            As `values`.
        """
        numbers = {key: v for key, v in field.attrs.items() if np.asarray(v).dtype.kind in "iuf"}
        plain = replace(field, load=partial(_digits, field.load), attrs=numbers)
        return self.values(plain, part, level)

    def vertical(self, field: Field) -> str:
        """Which coordinate says how high or deep a variable was measured: its name, or nothing.

        It is one of the variable's axes, or one that stands for all of its values.
        """
        named = [name for name in field.text("coordinates").split() if self._is_single(name)]
        found = (name for name in (*field.dims, *named) if self._is_vertical(name))
        return next(found, "")

    def _is_single(self, name: str) -> bool:
        return name in self.fields and math.prod(self.fields[name].shape) == 1

    def _is_vertical(self, name: str) -> bool:
        """Whether a coordinate is one of levels, by what it says of itself or by its name."""
        coordinate = self.fields.get(name)
        says = coordinate is not None and (
            coordinate.text("axis").upper() == "Z" or coordinate.text("epic_code") == EPIC_DEPTH
        )
        return says or any(word in name.lower() for word in ("depth", "height", "level", "nominal"))

    def levels(self, field: Field) -> Numbers:
        """Coordinates of a variable's levels, positive down [m]; NaN where not told."""
        vertical = self.vertical(field)
        size = field.shape[field.dims.index(vertical)] if vertical in field.dims else 1
        coordinate = self.fields.get(vertical)
        if coordinate is None or coordinate.shape not in ((), (size,)):
            return np.full(size, np.nan)
        values = np.atleast_1d(coordinate.numbers((slice(None),) * len(coordinate.dims)))
        up = coordinate.text("positive").lower() == "up" or (
            "height" in coordinate.name.lower() and coordinate.text("positive").lower() != "down"
        )
        return -values if up else values

    @property
    def _is_long(self) -> bool:
        """Whether the file says that its values are further apart than hourly ones."""
        found = DURATION.fullmatch(self.text("time_coverage_resolution").upper())
        if not found:
            return False
        hours, minutes, seconds = (float(found[name] or 0) for name in ("hour", "min", "sec"))
        seconds += 3600 * hours + 60 * minutes
        is_days = re.search("[1-9]", found["days"]) is not None
        return is_days or bool(seconds > WIDE / np.timedelta64(1, "s"))

    def unspaced(self, *names: str) -> int:
        """How long values are means of where no spacing tells it: by what file and variables say.

        A mean over time whose length nobody knows is not taken for one of an hour. What times show
        counts more: a provider writes 60 months (P60M) for the minutes of hourly values (PT60M).
        """
        found = [self.fields[name] for name in names if name in self.fields]
        is_mean = any(OVER_TIME.search(field.text("cell_methods")) for field in found)
        return LONG if is_mean or self._is_long else SHORT

    def in_si(self, field: Field, values: Numbers, units: Units) -> Any:
        """Values in our units.

        Raises
        ------
        WrongFile
            Units that are not known.
        """
        given = field.text("units")
        found = units.get(given.lower().replace("degrees", "degree"))
        if found is None:
            what = f"{field.name} is in '{given}', not in one of: {', '.join(units)}."
            raise WrongFile(what, where=str(self.path))
        return values * found[0] + found[1]

    def position(self, part: slice, *names: str) -> Numbers | float:
        """A coordinate of the reports: one for all, or one for each.

        Raises
        ------
        WrongFile
            None, or several that are not along the reports.
        """
        field = next((self.fields[name] for name in names if name in self.fields), None)
        if field is None:
            raise WrongFile(f"it has no {names[0]}.", where=str(self.path))
        if self.along in field.dims:
            return self.values(field, part)
        if int(np.prod(field.shape)) != 1:
            what = f"it has {int(np.prod(field.shape))} values of {field.name}, not one."
            raise WrongFile(what, where=str(self.path))
        return float(field.numbers((0,) * len(field.dims)))

    def times(self, part: slice, name: str, second_name: str = "") -> Array:
        """Times as datetime64[s], NaT where missing; EPIC's days and milliseconds, too.

        Raises
        ------
        WrongFile
            Units or a calendar that are not known.
        """
        field = self.fields[name]
        calendar = field.text("calendar").lower() or CALENDARS[0]
        if calendar not in CALENDARS:
            raise WrongFile(f"its times are in the calendar '{calendar}'.", where=str(self.path))
        # The template of OceanSITES itself gives a valid range that counts from another year.
        values = field.numbers((part,), limited=False)
        units = field.text("units")
        if "julian" in units.lower():
            milliseconds = self.fields.get(second_name)
            if milliseconds is None:
                raise WrongFile(f"{name} is in days, without {second_name}.", where=str(self.path))
            seconds = (values - JULIAN_1970) * 86_400 + self.values(milliseconds, part) / 1000
            return _moments(seconds, np.datetime64("1970-01-01", "s"))
        step, epoch = _since(units, self.path)
        return _moments(values * step, epoch)


def _digits(load: Callable[[tuple[slice | int, ...]], Array], at: tuple[slice | int, ...]) -> Array:
    """What a variable holds, characters as the digits they are; NaN for all others, as blanks."""
    raw = load(at)
    if raw.dtype != np.dtype("S1"):
        return raw
    codes = np.ascontiguousarray(raw).view(np.uint8).reshape(raw.shape)
    is_digit = (codes >= ord("0")) & (codes <= ord("9"))
    return np.where(is_digit, codes.astype(np.float64) - ord("0"), np.nan)


# --- Times and units ------------------------------------------------------------------------------

CALENDARS = ("standard", "gregorian", "proleptic_gregorian")
JULIAN_1970 = 2_440_588  # EPIC's true Julian day begins at midnight
STEPS = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86_400.0}
SINCE = re.compile(
    r"(?P<step>second|minute|hour|day)s?\s+since\s+(?P<day>\d{4}-\d{1,2}-\d{1,2})"
    r"(?:[T ]+(?P<clock>\d{1,2}:\d{1,2}(?::\d{1,2})?)(?:\.0*)?)?\s*(?:Z|UTC|\+?00:?00)?\s*",
    re.IGNORECASE,
)

_NUMBER = r"\d+(?:\.\d*)?"
DURATION = re.compile(  # of ISO 8601
    rf"P(?P<days>(?:{_NUMBER}[YMWD])*)"
    rf"(?:T(?:(?P<hour>{_NUMBER})H)?(?:(?P<min>{_NUMBER})M)?(?:(?P<sec>{_NUMBER})S)?)?"
)
OVER_TIME = re.compile(
    r"\btime:\s*(?:\w+:\s*)*(?:mean|median|mode|mid_range|maximum|minimum|sum)\b", re.IGNORECASE
)


def _since(units: str, path: Path) -> tuple[float, np.datetime64]:
    found = SINCE.fullmatch(units)
    try:
        if not found:
            raise ValueError
        year, month, day = (int(text) for text in found["day"].split("-"))
        hour, minute, second = (int(text) for text in f"{found['clock'] or '0:0'}:0".split(":")[:3])
        epoch = np.datetime64(datetime(year, month, day, hour, minute, second)).astype("M8[s]")
    except ValueError:
        raise WrongFile(f"its time is in '{units}', which is not known.", where=str(path)) from None
    return STEPS[found["step"].lower()], epoch


def _moments(seconds: Numbers, epoch: np.datetime64) -> Array:
    """Times, NaT outside the years 1650 to 2100."""
    total = np.rint(seconds) + (epoch - np.datetime64("1970-01-01", "s")).astype(np.float64)
    low, high = (
        np.datetime64(f"{year}-01-01", "s").astype(np.int64).item() for year in (1650, 2100)
    )
    valid = (total >= low) & (total < high)
    times = np.where(valid, total, 0).astype(np.int64).astype("M8[s]")
    return np.where(valid, times, np.datetime64("NaT", "s"))


_CELSIUS = (
    "degree_c",
    "degree c",
    "degc",
    "deg c",
    "deg_c",
    "c",
    "celsius",
    "degree_celsius",
    "degree celsius",
    "degreec",
)
TEMPERATURE = dict.fromkeys(_CELSIUS, (1.0, cf.KELVIN)) | dict.fromkeys(
    ("k", "kelvin", "degree_k"), (1.0, 0.0)
)
SPEED = dict.fromkeys(
    (
        "m/s",
        "m s-1",
        "m s**-1",
        "m s^-1",
        "ms-1",
        "m.s-1",
        "meter/second",
        "meters/second",
        "meter second-1",
        "meters second-1",
        "metre/second",
        "m/sec",
    ),
    (1.0, 0.0),
)
PRESSURE = (
    dict.fromkeys(
        ("hpa", "mb", "mbar", "millibar", "millibars", "mbars", "hectopascal"), (100.0, 0.0)
    )
    | dict.fromkeys(("pa", "pascal"), (1.0, 0.0))
    | {"kpa": (1000.0, 0.0), "dbar": (10_000.0, 0.0)}
)
FRACTION = dict.fromkeys(("%", "percent", "per cent", "percentage"), (0.01, 0.0)) | {
    "1": (1.0, 0.0)
}

# --- Opening --------------------------------------------------------------------------------------


@contextmanager
def opened(path: Path, *times: str) -> Iterator[Station]:
    """A file of reports along the dimension of one of these time variables.

    Raises
    ------
    MissingFile, DamagedFile
        No file; not NetCDF, or damaged.
    WrongFile
        No such time.
    """
    try:
        with path.open("rb") as stream:
            classic = stream.read(4) in CLASSIC
    except FileNotFoundError:
        raise MissingFile("there is no such file.", where=str(path)) from None
    with (_classic if classic else _modern)(path) as (fields, attrs):
        time = next((fields[name] for name in times if name in fields), None)
        if time is None or len(time.dims) != 1:
            names = ", ".join(list(fields)[:20]) or "none"
            what = f"it has no series of times named {times[0]}; its variables are {names}."
            raise WrongFile(what, where=str(path))
        yield Station(path, fields, attrs, time.dims[0], time.shape[0])


Parsed = tuple[Mapping[str, Field], Mapping[str, Any]]


@contextmanager
def _classic(path: Path) -> Iterator[Parsed]:
    from scipy.io import netcdf_file

    class Checked(netcdf_file):  # type: ignore[misc]
        """Notes where each variable lies, to see that none lies in another."""

        def _read_var(self) -> Any:
            made = super()._read_var()
            self.__dict__.setdefault("places", []).append(made[-2:])
            return made

    raw = BytesIO(path.read_bytes())
    try:
        size = raw.getbuffer().nbytes
        with Checked(raw, mmap=False) as file:
            _check_places(file.__dict__.get("places", []), size)
            fields = {n: _classic_field(path, n, v) for n, v in file.variables.items()}
            attrs = {name: _plain(value) for name, value in file._attributes.items()}
    except Exception as error:  # whatever garbage makes a parser in plain Python stumble upon
        at = "" if raw.closed else f" near byte {raw.tell():,}"
        what = f"it cannot be read as classic NetCDF{at}: {type(error).__name__} {error}."
        raise DamagedFile(what, where=str(path), mend=FETCH_AGAIN) from error
    yield fields, attrs


def _check_places(places: list[tuple[int, int]], size: int) -> None:
    """Refuse variables that share bytes: a damaged header gave one of them a wrong place."""
    last = 0
    for begin, length in sorted(map(tuple, places)):
        if begin < last:
            raise ValueError(f"two variables lie at byte {begin:,}")
        last = begin + length
    if last > size:
        raise ValueError(f"a variable ends at byte {last:,}, the file at {size:,}")


def _classic_field(path: Path, name: str, found: Any) -> Field:
    data = np.asarray(found.data)
    dims, shape = tuple(found.dimensions), tuple(data.shape)
    if len(dims) != len(shape):
        raise ValueError(f"{name} has {len(shape)} axes, not {len(dims)}")
    native = data.astype(data.dtype.newbyteorder("="), copy=False)
    attrs = {key: _plain(value) for key, value in found._attributes.items()}
    return Field(path, name, dims, shape, attrs, lambda at: np.asarray(native[at]))


def _plain(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


@contextmanager
def _modern(path: Path) -> Iterator[Parsed]:
    import netCDF4

    check_classic(path, path)
    try:
        with netCDF4.Dataset(path) as file:
            file.set_auto_maskandscale(False)
            file.set_auto_chartostring(False)
            size = path.stat().st_size
            fields = {n: _modern_field(n, v, path, size) for n, v in file.variables.items()}
            attrs = {name: file.getncattr(name) for name in file.ncattrs()}
            yield fields, attrs
    except FluxforgeError:
        raise
    except (OSError, RuntimeError, ValueError, AttributeError, KeyError) as error:
        what = f"it cannot be read as NetCDF: {error}."
        raise DamagedFile(what, where=str(path), mend=FETCH_AGAIN) from error


def _modern_field(name: str, found: Any, path: Path, size: int) -> Field:
    shape = tuple(int(length) for length in found.shape)
    if int(np.prod(shape, dtype=object)) > MOST_CELLS_A_BYTE * size:
        what = f"{name} is said to have {shape} cells, more than {size:,} bytes can hold."
        raise DamagedFile(what, where=str(path), mend=FETCH_AGAIN)
    _check_chunks(name, found, path)
    attrs = {key: found.getncattr(key) for key in found.ncattrs()}
    return Field(path, name, found.dimensions, shape, attrs, lambda at: np.asarray(found[at]))


def _check_chunks(name: str, found: Any, path: Path) -> None:
    """Refuse chunks that would unpack to far more than the variable, or than any series needs."""
    chunk = found.chunking()
    if not isinstance(chunk, list):  # stored in one piece, or classic
        return
    width = getattr(found.dtype, "itemsize", POINTER)
    check_chunk(name, chunk, found.shape, width, path)
    size = width * math.prod(chunk)
    if size > LARGEST_CHUNK:
        what = f"a chunk of {name} would take {size:,} bytes, more than {LARGEST_CHUNK:,}."
        raise DamagedFile(what, where=str(path), mend=FETCH_AGAIN)
