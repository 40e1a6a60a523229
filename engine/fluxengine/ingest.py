"""Ingest: one block of a source from its files, packed values kept as the provider has them."""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fluxengine.declare import FAILED, RECORD, Array, Packing, Source, Variable
from fluxengine.errors import DamagedFile, MissingFile, NoSpace, OutOfRange, StoreError
from fluxengine.files import NAMED, FileId, as_read, is_unchanged, local_copies
from fluxengine.grid import Grid
from fluxengine.ledger import FAILED_STEP, MISSING_STEP, VALID
from fluxengine.outages import is_full

if TYPE_CHECKING:
    import xarray as xr

MOST_LETTERS = 1_000  # of a note

Steps = tuple[int, ...]


@dataclass(frozen=True)
class Step:
    """One decoded step of a source.

    Parameters
    ----------
    arrays : dict of str to array
        Packed values with the grid's shape but for the step axis, which has length 1.
    state : int
        As in the ledger.
    file : FileId or None
        With the digest of the bytes that were read; the same for all steps of a file.
    note : str
        Why it failed; empty where it did not.
    traceback : str
        Where a decoder failed in a way it did not foresee.
    record : int or None
        Its place in the file that was decoded for it, from 0; None where none was, or where the
        decoder does not tell.
    """

    arrays: Mapping[str, Array]
    state: int
    file: FileId | None
    note: str = ""
    traceback: str = ""
    record: int | None = None


def read_steps(
    source: Source, grid: Grid, files: Mapping[int, FileId | None]
) -> Iterator[tuple[int, Step]]:
    """Fetch and decode the files of some steps; a missing or damaged one gives failed cells.

    A file that holds several steps is read once for those that stand side by side.
    """
    for file, run in groupby(files, key=lambda step: files[step]):
        steps = tuple(run)
        parts = (steps,) if source.holds_many else ((step,) for step in steps)
        for part in parts:
            yield from zip(part, _read(source, grid, part, file), strict=True)


def _read(source: Source, grid: Grid, steps: Steps, file: FileId | None) -> list[Step]:
    """Steps of one file."""
    if file is None:
        return [_absent(source, grid, step) for step in steps]
    found = _read_file(source, grid, steps, file)
    as_read = found[0].file
    if as_read is None or is_unchanged(as_read):
        return found
    # Without a digest it counts as unread: the next run tries it again, whatever it holds then.
    note = f"{file.path}: the file changed while it was read; the next run reads it again."
    unread = replace(as_read, sha256="")
    return _failed(source, grid, steps, unread, note)


def _absent(source: Source, grid: Grid, step: int) -> Step:
    return Step(_no_values(source, grid), MISSING_STEP, None, no_file(source, grid, step))


def no_file(source: Source, grid: Grid, step: int) -> str:
    """Words for a step whose file is not there."""
    expected = source.path(grid.step_key(step))
    return f"no file {expected if isinstance(expected, str) else ' and '.join(expected[:NAMED])}"


def _failed(
    source: Source, grid: Grid, steps: Steps, file: FileId, note: str, trace: str = ""
) -> list[Step]:
    return [Step(_no_values(source, grid), FAILED_STEP, file, note, trace) for _ in steps]


def _read_file(source: Source, grid: Grid, steps: Steps, file: FileId) -> list[Step]:
    copies: tuple[Path, ...] = ()
    try:
        with local_copies(file) as copies:
            file = as_read(file, copies)
            return _decoded(source, grid, steps, file, copies if file.parts else copies[0])
    except MissingFile as error:
        return [Step(_no_values(source, grid), MISSING_STEP, None, str(error)) for _ in steps]
    except (DamagedFile, OutOfRange) as error:
        return _failed(source, grid, steps, file, str(error))
    except (NoSpace, StoreError, MemoryError):
        raise
    except Exception as error:  # which the decoder did not foresee: the other days go on
        if is_full(error):
            raise
        # The file may be to blame, or the machine: an OSError is too many open files or a damaged
        # HDF5 file, a ValueError a bad header or a library that lacks a backend. To try a damaged
        # file at each run costs little; a sound one that is never tried again, its days.
        note = f"{file.path}: {_unforeseen(error, file, copies)}; the next run reads it again."
        return _failed(source, grid, steps, replace(file, sha256=""), note, traced(error))


def _unforeseen(error: Exception, file: FileId, copies: tuple[Path, ...]) -> str:
    """What a decoder raised, in words that name the files: a copy has another name each time."""
    words = f"{type(error).__name__}: {error}".rstrip(".")
    for part, copy in zip(file.parts or (file,), copies, strict=False):
        words = words.replace(str(copy), part.path)
    return words


def _decoded(
    source: Source, grid: Grid, steps: Steps, file: FileId, local: Path | tuple[Path, ...]
) -> list[Step]:
    keys = tuple(grid.step_key(step) for step in steps)
    if not source.holds_many:
        dataset = source.decode(local, keys[0])
        return [Step(conformed(source, grid, dataset, file.path), VALID, file, record=0)]
    dataset = source.decode(local, keys)
    return [
        Step(_no_values(source, grid), MISSING_STEP, file, f"{file.path} does not hold it")
        if at is None
        else _held(source, grid, dataset.isel({grid.dims[0]: [at]}), file)
        for at in _places(grid, dataset, steps, file.path)
    ]


def _held(source: Source, grid: Grid, dataset: xr.Dataset, file: FileId) -> Step:
    """One step of several that a file holds."""
    record = int(dataset[RECORD].item()) if RECORD in dataset.coords else None
    return Step(conformed(source, grid, dataset, file.path), VALID, file, record=record)


def _places(grid: Grid, dataset: xr.Dataset, steps: Steps, where: str) -> list[int | None]:
    """Where each step stands in a decoded file, by the coordinate along the step axis."""
    name = grid.dims[0]
    if name not in dataset.coords:
        raise DamagedFile(
            f"nothing tells which steps it holds: no coordinate '{name}'.", where=where
        )
    found = dataset.indexes[name]
    if found.has_duplicates:
        raise DamagedFile(f"it holds a step of '{name}' more than once.", where=where)
    numbers = {value: at for at, value in enumerate(_plain(found.values))}
    return [numbers.get(value) for value in _plain(grid.step_axis.coordinate()[list(steps)])]


def _plain(coordinate: Array) -> list[Any]:
    """Coordinate values that compare, whatever the resolution of their times."""
    is_time = coordinate.dtype.kind == "M"
    return list((coordinate.astype("datetime64[ns]") if is_time else coordinate).tolist())


def _no_values(source: Source, grid: Grid) -> dict[str, Array]:
    return failed_cells(source.provides, (1, *grid.shape[1:]))


def failed_cells(variables: Iterable[Variable], shape: tuple[int, ...]) -> dict[str, Array]:
    """Arrays without values: fill everywhere, flags say failed."""
    return {
        v.name: np.full(shape, FAILED if v.is_flag else v.packing.zarr_fill, v.packing.dtype)
        for v in variables
    }


def told(note: str) -> str:
    """The beginning of a note, as the ledger keeps it.

    What a decoder quotes of a damaged file may be no text at all, and long.
    """
    return _as_text(note)[:MOST_LETTERS]


def traced(error: Exception) -> str:
    """The end of a traceback, as the ledger keeps it."""
    return _as_text("".join(traceback.format_exception(error)))[-4000:]


def _as_text(words: str) -> str:
    """Words with no half of a letter, which nothing could write or show."""
    return words.encode(errors="backslashreplace").decode()


def conformed(source: Source, grid: Grid, dataset: xr.Dataset, where: str) -> dict[str, Array]:
    """Packed arrays in the source's own packing, shape (1, …).

    Raises
    ------
    DamagedFile
        Where a variable is absent or has another shape.
    OutOfRange
        Where a file packed otherwise holds values that the source's packing cannot.
    """
    _check_schema(source, grid, dataset, where)
    return {v.name: _repacked(v, dataset[v.name]) for v in source.provides}


def _check_schema(source: Source, grid: Grid, dataset: xr.Dataset, where: str) -> None:
    """Compare the variables, their dimensions and shapes with what is promised."""
    shape = (1, *grid.shape[1:])
    for variable in source.provides:
        found = dataset.variables.get(variable.name)
        if found is None:
            raise DamagedFile(f"the file has no {variable.name}.", where=where)
        if found.dims != grid.dims or found.shape != shape:
            raise DamagedFile(
                f"{variable.name} lies on {found.dims} {found.shape}, not on {grid.dims} {shape}.",
                where=where,
            )


def _repacked(variable: Variable, found: xr.DataArray) -> Array:
    """The values as stored; a file packed otherwise is decoded and packed again."""
    packing = packing_of(found)
    if packing == variable.packing or variable.is_flag:
        return np.ascontiguousarray(found.values, variable.packing.dtype)
    return variable.packing.pack(packing.unpack(found.values, "f8"), variable.name)


def packing_of(found: xr.DataArray) -> Packing:
    """The packing a decoded file declares in its attributes."""
    attrs: Mapping[str, Any] = found.attrs
    if np.dtype(found.dtype).kind == "f":
        return Packing(found.dtype.str[1:])
    fill = attrs.get("_FillValue")
    return Packing(
        found.dtype.str[1:],
        float(attrs.get("scale_factor", 1.0)),
        float(attrs.get("add_offset", 0.0)),
        None if fill is None else int(fill),
    )
