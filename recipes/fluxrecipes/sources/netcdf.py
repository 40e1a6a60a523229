"""Guarded reading of NetCDF files: whatever the library stumbles over is a damaged file."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from fluxengine.errors import DamagedFile, FluxforgeError, MissingFile, WrongFile
from fluxengine.grid import Axis
from fluxrecipes.sources.classic_netcdf import check_classic
from fluxrecipes.sources.gzipped import FETCH_AGAIN, FOLDER

if TYPE_CHECKING:
    import netCDF4

NETCDF = (b"CDF\x01", b"CDF\x02", b"CDF\x05", b"\x89HDF\r\n\x1a\n")  # how such files begin
CELSIUS = frozenset({"Celsius", "degree_Celsius", "degrees_Celsius", "degree_C", "degC"})
# Bytes of a chunk that its variable need not fill: so much the library gives by itself to variables
# whose axes have no end.
LARGEST_SPARE = 2**24
# EPIC's 1e35 and NetCDF's own 9.97e36 stand for "none", also where no attribute says so.
ENORMOUS = 1e30
POINTER = 16  # bytes that a chunk keeps for a text or a list, which lies elsewhere


def is_netcdf(first_bytes: bytes | bytearray) -> bool:
    """Whether a file that begins so is NetCDF, classic or HDF5."""
    return first_bytes.startswith(NETCDF)


def is_netcdf_file(path: Path) -> bool:
    """Whether there is a file that begins as NetCDF does, whatever its name."""
    try:
        with path.open("rb") as stream:
            return is_netcdf(stream.read(8))
    except OSError:  # its reader will say so
        return False


@contextmanager
def opened(path: Path, named: Path | None = None) -> Iterator[netCDF4.Dataset]:
    """The file with automatic decoding off; whatever the library cannot read is a damaged file.

    Parameters
    ----------
    path : Path
    named : Path, optional
        What to call it where something is wrong: the packed file that it was unpacked from.

    Raises
    ------
    MissingFile, WrongFile
        No file; a folder.
    DamagedFile
        Not NetCDF, truncated, with parts that cannot be read, or with chunks far wider than their
        variable.
    """
    named = named or path
    if not path.exists():
        raise MissingFile("there is no such file.", where=str(named))
    if path.is_dir():
        raise WrongFile(FOLDER, where=str(named))
    check_classic(path, named)
    file = _by_library(path, named)
    try:
        with file:
            file.set_auto_maskandscale(False)
            _check_chunks(file, named)
            yield file
    except FluxforgeError:
        raise
    except (OSError, RuntimeError, AttributeError, UnicodeError) as error:
        if isinstance(error, AttributeError) and not str(error).startswith("NetCDF: "):
            raise  # not the library's
        raise _unreadable(error, named) from error


def _by_library(path: Path, named: Path) -> netCDF4.Dataset:
    import netCDF4

    try:
        return netCDF4.Dataset(path)
    except Exception as error:  # what it cannot make of a header it says in a dozen types
        raise _unreadable(error, named) from error


def _unreadable(error: Exception, path: Path) -> DamagedFile:
    what = f"it cannot be read as NetCDF: {error}."
    return DamagedFile(what, where=str(path), mend=FETCH_AGAIN)


def _check_chunks(file: netCDF4.Dataset, path: Path) -> None:
    for name, found in file.variables.items():
        chunk = found.chunking()
        if isinstance(chunk, list):
            width = found.dtype.itemsize if _is_plain(found) else POINTER
            check_chunk(name, chunk, found.shape, width, path)


def check_chunk(
    name: str, chunk: Sequence[int], shape: Sequence[int], width: int, path: Path
) -> None:
    """Refuse a chunk that is far wider than its variable, as an axis without an end lets it be.

    A chunk is unpacked whole: a few kilobytes of zeros would take the whole memory.

    Parameters
    ----------
    name : str
        Of the variable.
    chunk, shape : sequences of int
        Cells of a chunk and of the variable.
    width : int
        Bytes of a cell.
    path : Path

    Raises
    ------
    DamagedFile
    """
    if width * math.prod(chunk) > max(width * math.prod(shape), LARGEST_SPARE):
        what = f"{name} has chunks of {[*chunk]}, and {size(tuple(shape))} cells in all."
        raise DamagedFile(what, where=str(path), mend=FETCH_AGAIN)


def variable(file: netCDF4.Dataset, name: str, path: Path) -> netCDF4.Variable[Any]:
    """A variable of the file. Raises WrongFile where there is none of that name."""
    if name not in file.variables:
        names = ", ".join(file.variables) or "none"
        raise WrongFile(f"it has no variable '{name}'; its variables are {names}.", where=str(path))
    return file.variables[name]


def text(holder: netCDF4.Dataset | netCDF4.Variable[Any], name: str) -> str:
    """An attribute as text, empty where there is none."""
    return str(holder.getncattr(name)) if name in holder.ncattrs() else ""


def number(found: netCDF4.Variable[Any], name: str, default: float, path: Path) -> float:
    """An attribute as a number, `default` where there is none. Raises DamagedFile."""
    if name not in found.ncattrs():
        return default
    value = np.asarray(found.getncattr(name))
    if value.size != 1 or value.dtype.kind not in "iuf":
        what = f"{found.name} has a {name} of '{value}', which is no number."
        raise DamagedFile(what, where=str(path), mend=FETCH_AGAIN)
    return float(value.item())


def check_axis(file: netCDF4.Dataset, name: str, axis: Axis, path: Path) -> None:
    """Compare a coordinate with the cell centres that are declared. Raises WrongFile."""
    expected = axis.coordinate().astype(np.float64)
    found = numbers(variable(file, name, path), expected.shape, path)
    if not np.allclose(found, expected, rtol=0, atol=1e-3):
        raise WrongFile(
            f"{name} runs from {found[0]:g} to {found[-1]:g},"
            f" not from {expected[0]:g} to {expected[-1]:g}.",
            where=str(path),
        )


def numbers(
    found: netCDF4.Variable[Any], shape: tuple[int, ...], path: Path
) -> npt.NDArray[np.float64]:
    """Stored numbers of a small variable that must have a shape, as float64. Raises WrongFile."""
    if found.shape != shape:
        what = f"{found.name} has {size(found.shape)} cells, not {size(shape)}."
        raise WrongFile(what, where=str(path))
    check_numbers(found, path)
    return np.asarray(found[:], np.float64)


def check_numbers(found: netCDF4.Variable[Any], path: Path) -> None:
    """Raise WrongFile where a variable holds something else than plain numbers."""
    if not _is_plain(found) or found.dtype.kind not in "iuf":
        raise WrongFile(f"{found.name} holds no numbers.", where=str(path))


def _is_plain(found: netCDF4.Variable[Any]) -> bool:
    """Whether its cells are of a type of a fixed width: no texts, no lists."""
    return isinstance(found.datatype, np.dtype)


def size(shape: tuple[int, ...]) -> str:
    """A shape in words, such as ``720 x 1440``."""
    return " x ".join(map(str, shape)) or "1"


def moment(value: Any, units: str, path: Path) -> datetime:
    """The moment that a number means in CF units of time. Raises DamagedFile."""
    try:
        return cast("datetime", moments(value, units))
    except (ValueError, OverflowError) as error:
        raise DamagedFile(f"its time cannot be read: {error}.", where=str(path)) from None


def moments(values: Any, units: str, calendar: str = "standard", **how: bool) -> Any:
    """The moments that numbers mean in CF units of time, as the library's `num2date` gives them.

    Numbers that are not finite are refused: the library masks them, and what lies under the mask is
    the date that the units count from.

    Raises
    ------
    ValueError, OverflowError, TypeError
    """
    import netCDF4

    if not np.isfinite(values).all():
        raise ValueError("it is not finite")
    return netCDF4.num2date(values, units, calendar, **how)


def check_day(found: datetime, day: date, path: Path) -> None:
    """Raise WrongFile where what is inside is of another day."""
    if (found.year, found.month, found.day) != (day.year, day.month, day.day):
        raise WrongFile(f"inside it is {found:%Y-%m-%d}, not {day}.", where=str(path))
