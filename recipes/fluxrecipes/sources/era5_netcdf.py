"""ERA5 single levels in NetCDF: the old form, the new one, and copies that others saved again.

The old form is NetCDF3 with int16 values, packed anew in each file, and hours since 1900; where
ERA5T is mixed in it has an axis ``expver``. The new one is NetCDF4 with float32 values, an axis
``valid_time`` and an ``expver`` for each time. Copies differ in harmless ways: names of axes, a
time without an axis, variables of their own beside. Those are read. What tells of another meaning
(means of months or days, ensembles, levels, other units) is refused.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import numpy.typing as npt

from fluxengine.errors import DamagedFile, WrongFile
from fluxrecipes.sources import netcdf
from fluxrecipes.sources.era5_fields import (
    BY_NAME,
    ERA5_LAND_STEP,
    STEP,
    Field,
    Hours,
    Layer,
    Nodes,
    check_hourly,
    checked_nodes,
    is_preliminary,
    whole_hours,
)
from fluxrecipes.sources.gzipped import FETCH_AGAIN

if TYPE_CHECKING:
    import xarray as xr

Numbers = npt.NDArray[Any]

NETCDF3 = (b"CDF\x01", b"CDF\x02")
NETCDF4 = b"\x89HDF"
LARGEST_CHUNK = 2**30  # bytes unpacked: a month of global hours in one chunk is 3/4 of it

READ_AT_ONCE = 2**28  # bytes of maps, where a chunk holds more than a day
A_DAY = 24
LONGEST_AXIS = 2**20  # a century of hours is a little less

LATITUDE, LONGITUDE = ("latitude", "lat"), ("longitude", "lon")
CLOCKS = ("valid_time", "time")
VERSION = "expver"
CALENDARS = ("standard", "gregorian", "proleptic_gregorian")


@contextmanager
def layers_of(path: Path, start: bytes) -> Iterator[list[Layer]]:
    """The known fields of a NetCDF file that begins with the bytes `start`.

    It is read without the netCDF C library. That takes what is missing of a truncated NetCDF3 file
    for zeros; and a NetCDF4 file whose header it refuses it never closes, so that a sound file
    written over the damaged one would be read as a mixture of both.

    Raises
    ------
    DamagedFile, WrongFile
        On entry, or while maps are read.
    """
    with path.open("rb") as stream, _opened(path, stream, start) as file:
        yield _layers(file, path)


def _opened(path: Path, stream: BinaryIO, start: bytes) -> xr.Dataset:
    import xarray as xr

    with warnings.catch_warnings():  # SciPy's, when it lets go of a damaged file that it mapped
        warnings.filterwarnings("ignore", "Cannot close a netcdf_file", RuntimeWarning)
        try:
            if start.startswith(NETCDF3):
                return xr.open_dataset(path, engine="scipy", decode_cf=False, cache=False)
            _check_root(stream, path)
            return xr.open_dataset(stream, engine="h5netcdf", decode_cf=False, cache=False)
        except DamagedFile:
            raise
        except Exception as error:  # out of memory too: only a damaged header asks for much here
            what = _unreadable(error)
    raise DamagedFile(what, where=str(path), mend=FETCH_AGAIN)


def _check_root(stream: BinaryIO, path: Path) -> None:
    """Fail where the root cannot be listed: h5netcdf would fail too, but not close the file.

    Refuse axes that would take much memory, too: xarray reads them when it opens the file.
    """
    import h5py

    with h5py.File(stream, "r") as file:
        list(file["/"].attrs)
        for name, found in file["/"].items():
            if isinstance(found, h5py.Dataset) and found.chunks:
                width = found.dtype.itemsize
                netcdf.check_chunk(name, found.chunks, found.shape, width, path)
                _check_length(name, found.size if found.ndim == 1 else 1, path)


def _unreadable(error: Exception) -> str:
    return f"it cannot be read as NetCDF: {type(error).__name__}: {str(error)[:200]}."


@contextmanager
def _as_damage(path: Path) -> Iterator[None]:
    """Whatever the libraries cannot read is a damaged file: they say so in a dozen types."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        raise DamagedFile(_unreadable(error), where=str(path), mend=FETCH_AGAIN) from error


def _layers(file: xr.Dataset, path: Path) -> list[Layer]:
    known = [(BY_NAME[n.lower()], n) for n in map(str, file.variables) if n.lower() in BY_NAME]
    _check_once(known, path)
    if not known:
        return []
    _check_origin(file, path)
    return [layer for field, name in known for layer in _of_variable(file, field, name, path)]


def _check_once(known: list[tuple[Field, str]], path: Path) -> None:
    names: dict[str, str] = {}
    for field, name in known:
        other = names.setdefault(field.long_name, name)
        if other != name:
            what = f"it holds {field.long_name} twice, as '{other}' and as '{name}'."
            raise WrongFile(what, where=str(path))


# --- One variable ------------------------------------------------------------------------------


def _of_variable(file: xr.Dataset, field: Field, name: str, path: Path) -> list[Layer]:
    """The layer of a variable, or one for each version where it has both beside one another."""
    variable = file.variables[name]
    _check_meaning(variable, field, path)
    field.check_units(variable.attrs.get("units", "nothing"), path)
    axes = _axes(file, variable, name, path)
    nodes = checked_nodes(_values(file, axes.lat, path), _values(file, axes.lon, path), path)
    _check_single_node(variable, field, nodes, path)
    hours = _hours(file, axes.time, path)
    check_hourly(hours, path)
    if field.accumulated:
        _check_accumulation(file, variable, field, nodes, path)
    _check_chunks(variable, name, path)
    packing = _packing(variable, name, path)
    at_once = _at_once(variable, nodes)

    def layer(preliminary: npt.NDArray[np.bool_], **version: int) -> Layer:
        read = partial(_read, variable.isel(version), axes, nodes, packing, path)
        return Layer(field, hours, preliminary, nodes, read, path, at_once)

    if VERSION in variable.dims:
        versions = _versions(file, variable.sizes[VERSION], path)
        return [
            layer(np.full(hours.shape, is_new), expver=at) for at, is_new in enumerate(versions)
        ]
    return [layer(np.broadcast_to(_versions(file, hours.size, path), hours.shape))]


@dataclass(frozen=True)
class _Axes:
    """Which variables are a field's coordinates, and which of its axes is time, if it has one."""

    lat: str
    lon: str
    time: str
    time_axis: str | None
    lat_axis: str | None
    lon_axis: str | None


def _axes(file: xr.Dataset, variable: xr.Variable, name: str, path: Path) -> _Axes:
    lat, lon = (_named(file, names, path) for names in (LATITUDE, LONGITUDE))
    lat_axis, lon_axis = (_own_axis(file, of, path) for of in (lat, lon))
    long = [str(d) for d, size in variable.sizes.items() if size > 1]
    others = [d for d in long if d not in (lat_axis, lon_axis, VERSION)]
    clock = _clock(file, variable, others, path)
    time_axis = _own_axis(file, clock, path)
    strange = [d for d in others if d != time_axis]
    if strange:
        raise WrongFile(
            f"{name} has an axis '{strange[0]}' of {variable.sizes[strange[0]]}: it is not one map"
            " an hour of a single level.",
            where=str(path),
        )
    absent = {lat_axis, lon_axis, time_axis} - {None, *map(str, variable.dims)}
    if any(file.sizes[str(axis)] > 1 for axis in absent):
        raise WrongFile(f"{name} has no axis '{sorted(map(str, absent))[0]}'.", where=str(path))
    return _Axes(lat, lon, clock, time_axis, lat_axis, lon_axis)


def _named(file: xr.Dataset, names: tuple[str, ...], path: Path) -> str:
    found = next((name for name in names if name in file.variables), None)
    if found is None:
        raise WrongFile(f"it has no variable '{names[0]}'.", where=str(path))
    return found


def _own_axis(file: xr.Dataset, name: str, path: Path) -> str | None:
    """The axis along which a coordinate lies; None where it is a single number."""
    dims = file.variables[name].dims
    if len(dims) > 1:
        what = f"its {name} has the axes {', '.join(map(str, dims))}, not one of its own."
        raise WrongFile(what, where=str(path))
    return str(dims[0]) if dims else None


def _clock(file: xr.Dataset, variable: xr.Variable, others: list[str], path: Path) -> str:
    """The variable that tells the times: ``valid_time`` where there is one."""
    for name in CLOCKS:
        if name in file.variables and set(file.variables[name].dims) <= {*variable.dims}:
            _check_clock(file, name, path)
            return name
    axes = f" along {', '.join(others)}" if others else ""
    raise WrongFile(f"it has no variable 'valid_time' or 'time'{axes}.", where=str(path))


def _check_clock(file: xr.Dataset, clock: str, path: Path) -> None:
    """Refuse the time at which a forecast began, unless it is the time it is for."""
    if file.variables[clock].attrs.get("standard_name") != "forecast_reference_time":
        return
    if clock == "time" and ("step" not in file.variables or _values(file, "step", path).any()):
        what = "its times are those at which forecasts began, and it has no 'valid_time'."
        raise WrongFile(what, where=str(path))


def _values(file: xr.Dataset, name: str, path: Path) -> Numbers:
    variable = file.variables[name]
    _check_chunks(variable, name, path)
    _check_length(name, variable.size, path)
    with _as_damage(path):
        return np.asarray(variable.values)


def _check_length(name: str, size: int, path: Path) -> None:
    if size > LONGEST_AXIS:
        raise WrongFile(f"its {name} has {size:,} values.", where=str(path))


def _hours(file: xr.Dataset, clock: str, path: Path) -> Hours:
    attrs, raw = file.variables[clock].attrs, np.atleast_1d(_values(file, clock, path))
    calendar = str(attrs.get("calendar", "standard")).lower()
    if calendar not in CALENDARS:
        raise WrongFile(f"its times are in the calendar '{calendar}'.", where=str(path))
    try:
        units = str(attrs.get("units", ""))
        found = netcdf.moments(raw, units, calendar, only_use_python_datetimes=True)
    except (ValueError, OverflowError, TypeError) as error:
        what = f"its times cannot be read: {str(error)[:200]}."
        raise DamagedFile(what, where=str(path), mend=FETCH_AGAIN) from None
    return whole_hours(np.asarray(found).astype("datetime64[s]"), path)


def _versions(file: xr.Dataset, size: int, path: Path) -> npt.NDArray[np.bool_]:
    """Whether each of `size` versions, or the one for all, is ERA5T; a file without says ERA5."""
    if VERSION not in file.variables:
        return np.array([False])
    raw = _values(file, VERSION, path)
    if raw.dtype.kind == "S" and raw.ndim and raw.dtype.itemsize == 1:  # letters along an axis
        raw = np.apply_along_axis(lambda letters: b"".join(letters), -1, raw)
    flat = np.atleast_1d(raw)
    if flat.ndim > 1 or flat.size not in (1, size):
        what = f"it has {flat.size} experiment versions for {size} maps."
        raise WrongFile(what, where=str(path))
    kinds = {text: is_preliminary(text, path) for text in set(flat.tolist())}
    return np.array([kinds[text] for text in flat.tolist()])


def _read(
    variable: xr.Variable,
    axes: _Axes,
    nodes: Nodes,
    packing: _Packing,
    path: Path,
    first: int,
    stop: int,
) -> npt.NDArray[np.floating[Any]]:
    """Maps `first` to `stop` in the file's units, shape (maps, lat, lon)."""
    kept = [a for a in (axes.time_axis, axes.lat_axis, axes.lon_axis) if a in variable.dims]
    part = variable.isel({d: 0 for d in variable.dims if d not in kept})
    if axes.time_axis in kept:
        part = part.isel({axes.time_axis: slice(first, stop)})
    with _as_damage(path):
        raw = part.transpose(*kept).values
    return packing.unpacked(raw.reshape(stop - first, nodes.lat.size, nodes.lon.size))


# --- Packing -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Packing:
    """How a file's numbers mean values: ``raw * scale + offset``, none where raw is a fill."""

    scale: float
    offset: float
    fills: tuple[float, ...]

    def unpacked(self, raw: Numbers) -> npt.NDArray[np.floating[Any]]:
        missing = np.isin(raw, np.array(self.fills, raw.dtype)) if self.fills else None
        if raw.dtype.kind == "f" and (self.scale, self.offset) == (1.0, 0.0):
            values = raw.astype(raw.dtype.newbyteorder("="))
        else:
            values = raw * np.float64(self.scale) + self.offset
        if missing is not None:
            values[missing] = np.nan
        return values


def _packing(variable: xr.Variable, name: str, path: Path) -> _Packing:
    kind, attrs = variable.dtype.kind, variable.attrs
    if kind not in "fi" or (kind == "i" and "scale_factor" not in attrs):
        what = f"{name} is {variable.dtype} without a scale: its values cannot be told."
        raise WrongFile(what, where=str(path))
    numbers = [_number(attrs.get(key, default), name, path) for key, default in PACKING.items()]
    scale, offset, *fills = numbers
    if not (np.isfinite(scale) and np.isfinite(offset) and scale != 0):
        what = f"{name} is packed with scale {scale:g} and offset {offset:g}."
        raise DamagedFile(what, where=str(path), mend=FETCH_AGAIN)
    limits = np.finfo if kind == "f" else np.iinfo
    low, high = limits(variable.dtype).min, limits(variable.dtype).max
    return _Packing(scale, offset, tuple(fill for fill in fills if low <= fill <= high))


# GRIB_missingValue is 3.4e38 in float32 files.
PACKING = {
    "scale_factor": 1.0,
    "add_offset": 0.0,
    "_FillValue": np.nan,
    "missing_value": np.nan,
    "GRIB_missingValue": np.nan,
}


def _number(value: object, name: str, path: Path) -> float:
    found = np.asarray(value)
    if found.size != 1 or found.dtype.kind not in "fiu":
        what = f"{name} has '{str(value)[:40]}' where its packing needs a number."
        raise DamagedFile(what, where=str(path), mend=FETCH_AGAIN)
    return float(found.item())


def _check_chunks(variable: xr.Variable, name: str, path: Path) -> None:
    """Refuse chunks that would unpack to more than any file of ERA5 needs."""
    size = variable.dtype.itemsize * math.prod(variable.encoding.get("chunksizes") or ())
    if size > LARGEST_CHUNK:
        what = f"a chunk of {name} would take {size:,} bytes, more than {LARGEST_CHUNK:,}."
        raise DamagedFile(what, where=str(path))


def _at_once(variable: xr.Variable, nodes: Nodes) -> int:
    """How many maps to read together: a chunk's, where that is longer than a day and not large."""
    chunks = variable.encoding.get("chunksizes") or (1,)
    size = 8 * nodes.lat.size * nodes.lon.size
    return max(A_DAY, min(int(chunks[0]), READ_AT_ONCE // size))


# --- Another meaning than ERA5's hours ---------------------------------------------------------

STREAM = re.compile(r'"stream":\s*\["?(\w+)')
STREAMS = {
    "moda": "monthly means",
    "mnth": "monthly means for hours of the day",
    "enda": "the ensemble's members",
    "edmo": "monthly means of the ensemble",
    "edmm": "monthly means of the ensemble for hours of the day",
}
HOURLY = "oper"
CENTRE = "ecmf"
# What earthkit, CDO and NCO write of a mean over time.
REDUCED = re.compile(
    r"(?:daily|monthly)_(?:reduce|mean|max|min|sum|std)"
    r"|\b(?:hour|day|mon|year|seas|tim)(?:mean|avg|min|max|sum|std)\b"
)
INCREMENT = "GRIB_iDirectionIncrementInDegrees"
OF_STEP = {None: None, "instant": False, "accum": True}
HOURS_OF_AN = ("an", "fc")


def _check_origin(file: xr.Dataset, path: Path) -> None:
    """Refuse what the converter, or whoever saved the file again, says is not hours of ERA5."""
    history, centre = str(file.attrs.get("history", "")), file.attrs.get("GRIB_centre", CENTRE)
    if centre != CENTRE:
        raise WrongFile(f"it is of the centre '{centre}', not of ECMWF.", where=str(path))
    for stream in STREAM.findall(history):
        if stream != HOURLY:
            what = STREAMS.get(stream, f"the stream '{stream}'")
            raise WrongFile(f"by its history it holds {what}, not ERA5's hours.", where=str(path))
    reduced = REDUCED.search(history)
    if reduced:
        what = f"by its history ('{reduced[0]}') its values are statistics over time, not hours."
        raise WrongFile(what, where=str(path))


def _check_meaning(variable: xr.Variable, field: Field, path: Path) -> None:
    step = variable.attrs.get("GRIB_stepType")
    if OF_STEP.get(step, not field.accumulated) not in (None, field.accumulated):
        expected = "a sum over the hour" if field.accumulated else "a value at the hour"
        what = f"{field.long_name} is of the kind '{step}', not {expected}."
        raise WrongFile(what, where=str(path))
    kind = variable.attrs.get("GRIB_dataType", HOURS_OF_AN[0])
    if kind not in HOURS_OF_AN:
        what = f"{field.long_name} is of the type '{kind}', neither analysis nor forecast."
        raise WrongFile(what, where=str(path))
    cells = str(variable.attrs.get("cell_methods", ""))
    if re.search(r"time:\s*(mean|maximum|minimum|sum)", cells) and not field.accumulated:
        what = f"{field.long_name} is a statistic over time ('{cells}'), not a value at the hour."
        raise WrongFile(what, where=str(path))


def _increment(variable: xr.Variable) -> float:
    """Degrees between nodes as the converter says; NaN where it does not."""
    given = np.ravel(variable.attrs.get(INCREMENT, np.nan))
    try:
        return float(given[0]) if given.size == 1 else np.nan
    except ValueError:
        return np.nan


def _check_single_node(variable: xr.Variable, field: Field, nodes: Nodes, path: Path) -> None:
    """Refuse one of another grid, such as ERA5-Land's, which its coordinates cannot tell."""
    increment = _increment(variable)
    if nodes.step is None and abs(increment - STEP) >= 1e-3:
        raise WrongFile(
            f"{field.long_name} is of a single node of a grid of {increment:g} degrees"
            f" ({INCREMENT}); ERA5's is of {STEP:g}, ERA5-Land's of {ERA5_LAND_STEP:g}.",
            where=str(path),
        )


def _check_accumulation(
    file: xr.Dataset, variable: xr.Variable, field: Field, nodes: Nodes, path: Path
) -> None:
    """Sums are over an hour in ERA5, three in its ensemble, up to a day in ERA5-Land.

    They are told apart by the converter's history, or else by the grid: only the hourly product is
    delivered at 0.25 degrees. ERA5-Land has the same stream and another grid, which of a single
    node only the converter tells.
    """
    if abs((nodes.step or _increment(variable)) - STEP) < 1e-3:
        return
    if nodes.step is None:
        raise WrongFile(
            f"over how long {field.long_name} is summed cannot be told of a single node whose grid"
            f" is not named ({INCREMENT}): in ERA5 it is an hour, in ERA5-Land up to a day.",
            where=str(path),
            mend="Ask for an area of two nodes or more.",
        )
    if HOURLY not in STREAM.findall(str(file.attrs.get("history", ""))):
        raise WrongFile(
            f"over how long {field.long_name} is summed cannot be told: its grid ({nodes}) is not"
            " that of 0.25 degrees, and its history does not name the hourly stream.",
            where=str(path),
        )
