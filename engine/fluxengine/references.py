"""References: a source's values read where they lie, in the provider's files, and not copied.

Such a dataset has the same name, steps, ledger and content digests as a copy, so that what is made
of it has the same keys. Its arrays have the chunks and codecs of the files. Each file is decoded
all the same: what it holds is checked as for a copy, then compared with what its source declares of
its packing and layout; at last each chunk is read through its reference, and must be equal bit by
bit. A file that differs in any of this becomes failed steps that say why.

A chunk of the array holds one step. So does one of a file with several steps, or it has no filters:
then its part of each step is a range of bytes. Filtered chunks of several steps cannot be cut.
"""

from __future__ import annotations

import math
import os
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fluxengine import place
from fluxengine.declare import RECORD, Array, Reference, Source, Variable
from fluxengine.errors import (
    ChangedFile,
    ConfigError,
    DeclarationError,
    DriftedFile,
    FluxforgeError,
)
from fluxengine.files import FileId, is_local, is_unchanged, together
from fluxengine.grid import Grid
from fluxengine.ingest import Step, failed_cells, packing_of
from fluxengine.layout import FILTERS
from fluxengine.ledger import FAILED_STEP, HOLDS_VALUES
from fluxengine.place import Folder, Place, StorageOptions
from fluxengine.repository import Fork, Part, etag_of, refer, storage_errors

if TYPE_CHECKING:
    import xarray as xr

HDF5, GZIP = b"\x89HDF", b"\x1f\x8b"  # how such files begin
PLAIN = re.compile(r"[A-Za-z0-9_.~/-]*")  # what stays as it is in an address
CHANGED = "the file changed while it was read; the next run reads it again."
BY_COPY = "Take its archive by copy: values are then packed again as the source declares."

# Offset and length of each chunk of a step in its file, by its index without the step axis.
Chunks = dict[tuple[int, ...], tuple[int, int]]
Found = dict[str, dict[int, Chunks]]  # by variable and record


def of(source: Source, archive: str) -> tuple[Reference, ...]:
    """What a source lets a run store by reference, from an archive with this root.

    Raises
    ------
    ConfigError
        Where it declares nothing of the kind, or the archive cannot be referred to.
    DeclarationError
        Where it declares what is not there.
    """
    root(archive)
    if not source.references:
        raise ConfigError(
            "its files cannot be read in place: nothing is declared of how values lie in them.",
            where=source.name,
            mend="Take it by copy: leave `by: reference` out.",
        )
    for reference in source.references:
        _check(source, reference)
    return source.references


def _check(source: Source, reference: Reference) -> None:
    unknown = [name for name in reference.filters if name not in FILTERS]
    if unknown:
        raise DeclarationError(
            f"'{source.name}' refers to files with the filter '{unknown[0]}'",
            mend=f"Known are {', '.join(FILTERS)}.",
        )
    if reference.variable not in {variable.name for variable in source.provides}:
        raise DeclarationError(
            f"'{source.name}' has no variable '{reference.variable}' to refer to"
        )
    if len(reference.chunks) != len(source.grid.dims) - 1:
        raise DeclarationError(
            f"chunks of '{reference.variable}' must have a length for each axis but the first"
        )
    paths = source.path(source.grid.step_key(0))
    if not 0 <= reference.part < (1 if isinstance(paths, str) else len(paths)):
        raise DeclarationError(
            f"'{source.name}' refers to file {reference.part} of a step, which has no such file"
        )


def root(address: str) -> Place:
    """The root of an archive whose files are referred to; credentials are those of each reader.

    Raises
    ------
    ConfigError
        Where it is neither a folder nor a bucket.
    """
    if is_local(address):
        found = _absolute(address)
        if not PLAIN.fullmatch(str(found)):
            raise ConfigError(
                "an address cannot have this folder's name as it is.",
                where=address,
                mend="Give a path of letters, digits and - _ . ~ / alone, or take it by copy.",
            )
        return Folder(found)
    if not address.startswith("s3://"):
        raise ConfigError(
            "only a folder and a bucket (s3://) can be referred to.",
            where=address,
            mend="Mirror the archive there, or take it by copy: leave `by: reference` out.",
        )
    return place.at(address, StorageOptions(anonymous=_is_anonymous()))


def _absolute(path: str) -> Path:
    """Of a file or folder of this machine; links stay as they are."""
    return Path(os.path.abspath(Path(path.removeprefix("file://")).expanduser()))


def _is_anonymous() -> bool:
    """Whether buckets of input files are read without credentials: where fsspec is told so."""
    import fsspec

    return str(fsspec.config.conf.get("s3", {}).get("anon", "")).lower() in ("true", "1")


def known_by_etag(file: FileId) -> FileId:
    """A file whose stamp is its ETag, as that of an object is: exact to the inode."""
    if not is_local(file.path):
        return file
    if file.parts:
        return replace(together([known_by_etag(part) for part in file.parts]), sha256=file.sha256)
    try:
        return replace(file, stamp=etag_of(_absolute(file.path)))
    except OSError:  # gone meanwhile
        return file


def settled(now: FileId, known_stamp: bytes, known_digest: bytes) -> FileId:
    """The file's identity with the digest it is known by, if its references still hold.

    They hold for one state of the file alone, even where another has the same bytes.
    """
    holds = known_by_etag(now).stamp_digest == known_stamp and any(known_digest)
    return replace(now, sha256=known_digest.hex()) if holds else now


@dataclass
class Pointer:
    """Makes the chunks of one block references, a step at a time.

    Parameters
    ----------
    source : Source
    references : tuple of Reference
        Empty where the block is copied: then nothing is done.
    grid : Grid
        Of the dataset, closed.
    fork : ForkSession
    opened : callable
        From the name of a variable to its array in the fork.
    """

    source: Source
    references: tuple[Reference, ...]
    grid: Grid
    fork: Fork
    opened: Callable[[str], Any]
    _found: Found = field(default_factory=dict)  # in the file that was decoded last

    @property
    def watched(self) -> Source:
        """The source, with each file that is decoded looked at for its chunks."""
        return replace(self.source, decode=self._decode) if self.references else self.source

    def _decode(self, path: Path | tuple[Path, ...], key: Any) -> xr.Dataset:
        dataset = self.source.decode(path, key)
        self._found = find(path, self.source, self.grid, self.references, dataset)
        return dataset

    def pointed(self, number: int, step: Step) -> Step:
        """A step whose chunks now are references, or why they cannot be."""
        if not self.references or step.file is None:
            return step
        file = known_by_etag(step.file)
        if not is_unchanged(step.file):  # or the ETag may be that of another state
            return self._failed(replace(file, sha256=""), CHANGED)
        step = replace(step, file=file)
        return step if step.record is None else self._all_pointed(number, step, file, step.record)

    def _all_pointed(self, number: int, step: Step, file: FileId, record: int) -> Step:
        files = file.parts or (file,)
        try:
            for reference in self.references:
                lies, name = _address(files[reference.part]), reference.variable
                self._point(number, lies, name, self._found[name][record], step.arrays[name])
        except ChangedFile:
            return self._failed(replace(file, sha256=""), CHANGED)
        except DriftedFile as error:
            return self._failed(file, f"{error.what} {error.mend}")
        return step

    def _point(
        self,
        number: int,
        lies: tuple[str, str],
        name: str,
        chunks: Chunks,
        values: Array,
    ) -> None:
        """Make the chunks of one variable references, and read them once through these."""
        array = self.opened(name)
        if len(chunks) < _chunks_a_step(array):  # the file leaves out what has no values
            array[number : number + 1] = values
        parts = [Part((number, *at), *lies, *chunk) for at, chunk in chunks.items()]
        if not refer(self.fork, name, parts):
            raise DriftedFile("no address can have a name like this file's.", mend=BY_COPY)
        if not _is_same(self._read_back(number, array), values):
            raise DriftedFile(
                f"{name}, read in place, has other values than decoded.", mend=BY_COPY
            )

    def _read_back(self, number: int, array: Any) -> Array:
        """Stored values as every reader will get them."""
        try:
            with storage_errors(array.name):
                found: Array = np.asarray(array[number : number + 1])
        except (FluxforgeError, MemoryError):
            raise
        except Exception as error:  # codecs raise what they like
            what = f"{array.name} cannot be read in place: {error}."
            raise DriftedFile(what, mend=BY_COPY) from error
        return found

    def blank(self, number: int, step: Step) -> None:
        """Where a step holds no values, its chunks say so and refer to no file."""
        if step.state not in HOLDS_VALUES:
            for reference in self.references:
                name = reference.variable
                with storage_errors(name):
                    self.opened(name)[number : number + 1] = step.arrays[name]

    def _failed(self, file: FileId, why: str) -> Step:
        cells = failed_cells(self.source.provides, (1, *self.grid.shape[1:]))
        return Step(cells, FAILED_STEP, file, f"{file.path}: {why}")


def _chunks_a_step(array: Any) -> int:
    cells = zip(array.shape[1:], array.chunks[1:], strict=True)
    return math.prod(-(-length // chunk) for length, chunk in cells)


def _address(file: FileId) -> tuple[str, str]:
    """Address and ETag: once the file has another one, its chunks are refused."""
    if not file.stamp:
        raise DriftedFile("its archive gives no ETag to know its state by.", mend=BY_COPY)
    return f"file://{_absolute(file.path)}" if is_local(file.path) else file.path, file.stamp


def _is_same(found: Array, given: Array) -> bool:
    """Bit by bit, whatever the order of bytes."""
    return found.astype(given.dtype, copy=False).tobytes() == given.tobytes()


# --- what a file says of itself ------------------------------------------------------------------


def find(
    path: Path | tuple[Path, ...],
    source: Source,
    grid: Grid,
    references: tuple[Reference, ...],
    dataset: xr.Dataset,
) -> Found:
    """Where the chunks of decoded steps lie in their file, by variable and place of the step.

    Parameters
    ----------
    path : Path or tuple of Path
        A local file, or those that the steps need.
    source : Source
    grid : Grid
        Of the dataset, closed.
    references : tuple of Reference
    dataset : Dataset
        As `Source.decode` gives it: packed values, with their packing in attributes.

    Raises
    ------
    DriftedFile
        Where packing or layout are other than declared, naming the first difference.
    """
    paths = path if isinstance(path, tuple) else (path,)
    records = _records(source, dataset, paths[0])
    variables = {variable.name: variable for variable in source.provides}
    found: Found = {}
    for part in sorted({reference.part for reference in references}):
        here = [reference for reference in references if reference.part == part]
        arrays = _arrays(paths[part], {reference.name for reference in here})
        for reference in here:
            variable, array = variables[reference.variable], arrays.get(reference.name)
            lies = None if array is None else _InFile(array, grid.shape[1:], source.holds_many)
            for what in _drifts(reference, variable, dataset[variable.name], lies, records):
                where = str(paths[part])
                raise DriftedFile(f"{reference.name}: {what}.", where=where, mend=BY_COPY)
            assert lies is not None
            found[variable.name] = lies.chunks(records)
    return found


def _records(source: Source, dataset: xr.Dataset, path: Path) -> list[int]:
    """The place of each decoded step in its file."""
    if not source.holds_many:
        return [0]
    if RECORD not in dataset.coords:
        what = f"nothing tells where its steps lie: the decoder gives no coordinate '{RECORD}'."
        raise DriftedFile(what, where=str(path), mend=BY_COPY)
    return [int(record) for record in dataset[RECORD].values]


def _arrays(path: Path, names: set[str]) -> dict[str, Any]:
    """Variables of a file as VirtualiZarr describes them."""
    from virtualizarr.parsers import HDFParser, NetCDF3Parser

    try:
        with path.open("rb") as stream:
            begin = stream.read(len(HDF5))
            if begin.startswith(GZIP):
                mend = "Unpack the files of the archive, or take it by copy."
                raise DriftedFile("it is packed as a whole, by gzip.", where=str(path), mend=mend)
            if begin == HDF5:
                # Others may be of a kind that Zarr does not know.
                others = _names_in(stream) - names
                parser = HDFParser(drop_variables=others, reader_factory=lambda *_: stream)
                store = parser("file:///", place.registry())
            else:
                store = NetCDF3Parser()(f"file://{path}", place.registry())
        held = store.to_virtual_dataset(loadable_variables=[])
    except (MemoryError, DriftedFile):
        raise
    except Exception as error:  # what decodes may still have filters that Zarr does not know
        raise DriftedFile(
            f"where its values lie cannot be told: {error}.", where=str(path), mend=BY_COPY
        ) from error
    return {name: held[name].variable.data for name in names if name in held.variables}


def _names_in(stream: Any) -> set[str]:
    import h5py

    with h5py.File(stream) as file:
        return set(file)


@dataclass(frozen=True)
class _InFile:
    """How a variable lies in its file.

    Dimensions of size one do not count: with or without them the bytes are the same.

    Parameters
    ----------
    array : ManifestArray
    cells : tuple of int
        Of a step.
    holds_many : bool
        Whether its file may hold several steps.
    """

    array: Any
    cells: tuple[int, ...]
    holds_many: bool

    @property
    def along(self) -> int | None:
        """The axis of the steps; None where the file holds one."""
        long = [axis for axis, length in enumerate(self.array.shape) if length != 1]
        own = sum(length != 1 for length in self.cells)
        return long[0] if self.holds_many and len(long) == own + 1 else None

    @property
    def steps(self) -> int:
        """How many the file holds."""
        return 1 if self.along is None else int(self.array.shape[self.along])

    @property
    def together(self) -> int:
        """Steps in one chunk."""
        return 1 if self.along is None else int(self.array.chunks[self.along])

    @property
    def filters(self) -> list[str]:
        """What its bytes went through, in order."""
        told = [codec.to_dict()["name"] for codec in self.array.metadata.codecs]
        return [name.removeprefix("numcodecs.") for name in told if name != "bytes"]

    @property
    def endian(self) -> str:
        """The order of bytes: big or little."""
        told = [codec.to_dict() for codec in self.array.metadata.codecs]
        return next((t["configuration"]["endian"] for t in told if "endian" in str(t)), "little")

    def chunks(self, records: Collection[int]) -> dict[int, Chunks]:
        """Offsets and lengths of some steps' chunks; a chunk that the file left out has none."""
        found: dict[int, Chunks] = {record: {} for record in records}
        held: defaultdict[int, list[int]] = defaultdict(list)  # records by the index of their chunk
        for record in records:
            held[record // self.together].append(record)
        for key, entry in self.array.manifest.dict().items():
            if not entry["path"]:
                continue
            index = [int(at) for at in key.split(".")]
            length = int(entry["length"]) // self.together
            for record in held[0 if self.along is None else index[self.along]]:
                offset = int(entry["offset"]) + record % self.together * length
                found[record][self._of_step(index)] = offset, length
        return found

    def _of_step(self, index: list[int]) -> tuple[int, ...]:
        """A chunk's index in the file as that within a step."""
        lengths = enumerate(self.array.shape)
        own = iter(index[axis] for axis, n in lengths if n != 1 and axis != self.along)
        return tuple(0 if length == 1 else next(own) for length in self.cells)


def _drifts(
    reference: Reference,
    variable: Variable,
    decoded: xr.DataArray,
    lies: _InFile | None,
    records: Collection[int],
) -> Iterator[str]:
    """What is otherwise in a file than its source declares, in words."""
    if lies is None:
        yield "the file has no such variable"
        return
    yield from _shape_drifts(reference, lies)
    yield from _packing_drifts(variable, decoded)
    yield from _codec_drifts(reference, lies)
    for record in records:
        if not 0 <= record < lies.steps:
            yield f"it has {lies.steps} steps; its decoder tells of {record}, from 0"


def _shape_drifts(reference: Reference, lies: _InFile) -> Iterator[str]:
    array, shape = lies.array, lies.cells
    axes = list(zip(array.shape, array.chunks, strict=True))
    of_step = [axis for number, axis in enumerate(axes) if number != lies.along]
    has = [axis for axis in of_step if axis[0] != 1]
    wanted = [axis for axis in zip(shape, reference.chunks, strict=True) if axis[0] != 1]
    if [length for length, _ in has] != [length for length, _ in wanted]:
        yield f"its shape is {array.shape}, not that of {shape} cells"
    elif has != wanted or any(chunk > length == 1 for length, chunk in axes):
        yield f"its chunks are {array.chunks}, not {reference.chunks} of a step"
    elif lies.together > 1 and lies.filters:
        yield (
            f"its chunks are {array.chunks}: {lies.together} steps are filtered together"
            f" ({_listed(lies.filters)}), and none can be read alone"
        )


def _packing_drifts(variable: Variable, decoded: xr.DataArray) -> Iterator[str]:
    found, wanted = packing_of(decoded), variable.packing
    for name, has, wants in (
        ("data type", np.dtype(found.dtype), np.dtype(wanted.dtype)),
        ("scale_factor", found.scale, wanted.scale),
        ("add_offset", found.offset, wanted.offset),
        ("_FillValue", found.fill, wanted.fill),
    ):
        if has != wants:
            yield f"its {name} is {has}, not {wants} (in {variable.units})"


def _codec_drifts(reference: Reference, lies: _InFile) -> Iterator[str]:
    """Filters, and the order of bytes."""
    if lies.filters != list(reference.filters):
        yield f"its filters are {_listed(lies.filters)}, not {_listed(reference.filters)}"
    if lies.array.dtype.itemsize > 1 and (lies.endian == "big") != reference.big_endian:
        yield f"its bytes are {lies.endian}-endian"


def _listed(filters: Iterable[str]) -> str:
    return ", ".join(filters) or "none"
