"""The ledger: what each step and tile of a dataset is, why, and from what.

It lies in the dataset's own repository, in the group ``_ledger``, and is committed together with
the data it speaks of. In columns: a state and a content digest for each step and tile; for each
block what its key is made of, and a seal (digest of the block's rows); for each step of a source
the file it came from. Beside them one JSON record a block, read only when somebody asks why.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from fluxengine.declare import Array
from fluxengine.digest import BYTES
from fluxengine.files import FileId
from fluxengine.grid import Block, Grid
from fluxengine.key import STANDING, block_key
from fluxengine.layout import COMPRESSORS
from fluxengine.metadata import GROUP as GROUP
from fluxengine.outages import stored_values

ABSENT, VALID, FAILED_STEP, MISSING_STEP, KEPT, OUTSIDE = range(6)
STATE_WORDS = {
    ABSENT: "never written",
    VALID: "valid",
    FAILED_STEP: "failed",
    MISSING_STEP: "no file",
    KEPT: "valid; a later file was refused",
    OUTSIDE: "outside the domain",
}
HOLDS_VALUES = (VALID, KEPT)
STAMP = 8  # bytes of the digest of a file's path, size and time
STEP_DIGEST = 16  # hex digits of a digest over the tiles of one upstream step
STEPS = "states", "digests"
FILES = "stamps", "files"
ROWS_PER_CHUNK, BLOCKS_PER_CHUNK, RECORDS_PER_CHUNK = 20_000, 4_096, 64

Record = dict[str, Any]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class BlockRows:
    """What a finished block adds to the ledger.

    Parameters
    ----------
    block : Block
    states : uint8 array, shape (steps,)
    digests : uint8 array, shape (steps, 32)
    standing : bytes
        Digest of code, weights and options.
    inputs : bytes
        Digest of everything in the block's window.
    record : dict
        What a person may ask for: ``notes`` (step name to words), files, inputs, what was measured.
    stamps, files : uint8 arrays, shapes (steps, 8) and (steps, 32)
        Of a source: digests of each file's identity and bytes.
    """

    block: Block
    states: Array
    digests: Array
    standing: bytes
    inputs: bytes
    record: Record
    stamps: Array | None = None
    files: Array | None = None


class Records:
    """The blocks' records, read from the store a chunk at a time when asked for."""

    def __init__(self, stored: Any = None, where: str = "") -> None:
        self._stored, self._where = stored, where
        self._fresh: dict[int, Record] = {}
        self._chunk: tuple[int, list[str]] = (-1, [])

    def __getitem__(self, number: int) -> Record | None:
        if number in self._fresh:
            return self._fresh[number]
        if self._stored is None or number >= self._stored.shape[0]:
            return None
        chunk, at = divmod(number, RECORDS_PER_CHUNK)
        held = self._chunk  # other threads may read another chunk meanwhile
        if held[0] != chunk:
            start = chunk * RECORDS_PER_CHUNK
            with stored_values(self._where):
                texts = self._stored[start : start + RECORDS_PER_CHUNK].tolist()
            held = self._chunk = (chunk, texts)
        text = held[1][at]
        return json.loads(text) if text else None

    def put(self, number: int, record: Record) -> None:
        """Note a finished block's record."""
        self._fresh[number] = record


class Columns(dict[str, Array]):
    """Columns by name, each read from the store when it is first asked for."""

    def __init__(
        self, made: Mapping[str, Array], stored: zarr.Group | None = None, where: str = ""
    ) -> None:
        super().__init__(made)
        self._stored, self._where = stored, where

    def __missing__(self, name: str) -> Array:
        if self._stored is None:
            raise KeyError(name)
        with stored_values(self._where):
            self[name] = _array(self._stored, name)[...]
        return self[name]


@dataclass(frozen=True)
class Ledger:
    """All rows of a dataset, in columns; blocks are numbered as `Grid.number` does.

    Parameters
    ----------
    grid : Grid
    columns : Columns
        Uint8 arrays: ``states`` (steps, tiles), ``digests`` (steps, tiles, 32); ``standings``
        (blocks, 16), ``inputs`` and ``seals`` (blocks, 32); of a source ``stamps`` (steps, 8) and
        ``files`` (steps, 32).
    records : Records
    standing_parts : dict of str to dict
        Code, weights and options, by the hex digest that a block's row names.
    of_source : bool
        Whether there are columns of files.
    """

    grid: Grid
    columns: Columns
    records: Records = field(default_factory=Records)
    standing_parts: dict[str, Any] = field(default_factory=dict)
    of_source: bool = False

    @classmethod
    def empty(cls, grid: Grid, inside: Flags | None = None, *, source: bool = False) -> Ledger:
        """A ledger in which nothing was written yet; tiles that are not `inside` never will be."""
        shapes = _shapes(grid, source).items()
        columns = Columns({name: np.zeros(shape, "u1") for name, shape in shapes})
        if inside is not None:
            columns["states"][:, ~inside] = OUTSIDE
        return cls(grid, columns, of_source=source)

    @classmethod
    def read(cls, root: zarr.Group, grid: Grid, where: str) -> Ledger:
        """The ledger of an opened dataset; columns and records only as they are asked for."""
        standing = json.loads(str(root[GROUP].attrs["standing_parts"]))
        source = f"{GROUP}/files" in root
        records = Records(_array(root, "records"), where)
        return cls(grid, Columns({}, root, where), records, standing, source)

    @property
    def states(self) -> Array:
        """Uint8, shape (steps, tiles)."""
        return self.columns["states"]

    @property
    def digests(self) -> Array:
        """Content digests, uint8, shape (steps, tiles, 32)."""
        return self.columns["digests"]

    @property
    def outside(self) -> Flags:
        """Tiles without a cell in the product's domain, shape (tiles,)."""
        found: Flags = (self.states == OUTSIDE).all(axis=0)
        return found

    @property
    def written(self) -> Flags:
        """Blocks with a step that was made, whatever came of it, shape (blocks,)."""
        return by_block(self.grid, (self.states != ABSENT) & (self.states != OUTSIDE))

    def extended(self, grid: Grid) -> Ledger:
        """The same rows, with room for the steps of a longer grid."""
        if grid == self.grid:
            return self
        longer = Ledger.empty(grid, ~self.outside, source=self.of_source).columns
        for name in longer:
            longer[name][: len(self.columns[name])] = self.columns[name]
        return replace(self, grid=grid, columns=longer)

    def rows_of(self, number: int) -> tuple[slice, int]:
        """Steps and tile of a block: an index of `states` and `digests`."""
        step_block, tile = divmod(number, self.grid.tiles)
        return self.grid.step_axis.span(step_block), tile

    def record(self, number: int) -> Record | None:
        """What was noted of a block; None where it was never made."""
        return self.records[number]

    def marked(self) -> npt.NDArray[np.intp]:
        """Numbers of blocks with a step that has no good values, or whose new file was refused."""
        odd = np.isin(self.states, (FAILED_STEP, MISSING_STEP, KEPT))
        return np.flatnonzero(by_block(self.grid, odd))

    def notes(self, numbers: Iterable[int]) -> Iterator[tuple[str, str]]:
        """Step or block name and words, for some blocks."""
        for number in numbers:
            yield from (self.records[int(number)] or {"notes": {}})["notes"].items()

    def holds(self, rows: BlockRows) -> bool:
        """Whether a block came out exactly as it is stored: tried again, failed again."""
        number = self.grid.number(rows.block)
        known, where = self.records[number], self.rows_of(number)
        same = [
            (self.columns["standings"][number], np.frombuffer(rows.standing, "u1")),
            (self.columns["inputs"][number], np.frombuffer(rows.inputs, "u1")),
            (self.states[where], rows.states),
            (self.digests[where], rows.digests),
        ]
        if rows.stamps is not None:  # references hold no longer where only the stamp is another
            same.append((self.columns["stamps"][where[0]], rows.stamps))
        return (
            known is not None
            and known["notes"] == rows.record["notes"]
            and all(bool((ours == theirs).all()) for ours, theirs in same)
        )

    def put(self, rows: BlockRows, parts: Mapping[str, Any]) -> None:
        """Note a finished block, made by code, weights and options `parts`."""
        number = self.grid.number(rows.block)
        where, record = self.rows_of(number), self._with_origins(rows)
        self.states[where], self.digests[where] = rows.states, rows.digests
        self.columns["inputs"][number] = np.frombuffer(rows.inputs, "u1")
        if rows.stamps is not None and rows.files is not None:
            self.columns["stamps"][where[0]] = rows.stamps
            self.columns["files"][where[0]] = rows.files
        self._sign(number, record | {"block": rows.block.name}, rows.standing, parts)

    def _with_origins(self, rows: BlockRows) -> Record:
        """The record, with the files that kept values came from; the refused ones stand beside.

        A refused one is None where it is not that a file is bad, but that it is gone.
        """
        steps, tile = self.rows_of(self.grid.number(rows.block))
        kept = steps.start + np.flatnonzero(rows.states == KEPT)
        if not len(kept):
            return rows.record
        former = self.records[self.grid.number(rows.block)] or {}
        names = {self.grid.step_name(int(step)): self.states[step, tile] for step in kept}
        files = rows.record.get("files", {})
        # Where the refused one was not noted, an older fluxforge noted it as the origin.
        known = {n for n, state in names.items() if state != KEPT or n in former.get("refused", {})}
        origins = {n: file for n, file in former.get("files", {}).items() if n in known}
        refused = {name: files.get(name) for name in names}
        read = {name: file for name, file in files.items() if name not in names}
        return rows.record | {"files": read | origins, "refused": refused}

    def accept(self, number: int, standing: bytes, parts: Mapping[str, Any], run: str) -> None:
        """Note that a block counts as made by other code, weights and options than it was."""
        record = dict(self.records[number] or {})
        before = self.columns["standings"][number].tobytes().hex()
        record["accepted"] = {"run": run, "made with": before}
        record["key"] = block_key(standing, self.columns["inputs"][number].tobytes())
        self._sign(number, record, standing, parts)

    def note_files(self, number: int, files: Mapping[int, FileId]) -> None:
        """Note where a block's files are now, and since when, by step; their bytes are the same."""
        record = dict(self.records[number] or {})
        for step, file in files.items():
            name = self.grid.step_name(step)
            which = "refused" if name in record.get("refused", {}) else "files"
            record[which] = record.get(which, {}) | {name: file.as_json()}
            self.columns["stamps"][step] = np.frombuffer(file.stamp_digest, "u1")
        self._seal(number, record)

    def _sign(self, number: int, record: Record, standing: bytes, parts: Mapping[str, Any]) -> None:
        """Note what made a block, and seal all that is said of it."""
        self.columns["standings"][number] = np.frombuffer(standing, "u1")
        self.standing_parts[standing.hex()] = dict(parts)
        self._seal(number, record)

    def _seal(self, number: int, record: Record) -> None:
        self.records.put(number, record)
        self.columns["seals"][number] = np.frombuffer(self.seal(number), "u1")

    def seal(self, number: int) -> bytes:
        """Digest of all that the ledger says of a block, so that a changed row shows.

        Steps that were added since the block was made do not count: it is made again for them.
        """
        steps, tile = self.rows_of(number)
        made = steps.start + np.flatnonzero(self.states[steps, tile] != ABSENT)
        sha = hashlib.sha256()
        for name in STEPS:
            sha.update(self.columns[name][made, tile].tobytes())
        for name in FILES if self.of_source else ():
            sha.update(self.columns[name][made].tobytes())
        for name in ("standings", "inputs"):
            sha.update(self.columns[name][number].tobytes())
        sha.update(_text(self.records[number] or {}).encode())
        return sha.digest()


def by_block(grid: Grid, rows: Flags) -> Flags:
    """Whether any step of each block is marked. From (steps, tiles) to (blocks,)."""
    starts = np.arange(grid.step_blocks) * grid.step_axis.block_length
    found: Flags = np.logical_or.reduceat(rows, starts, axis=0).ravel()
    return found


def create(root: zarr.Group, empty: Ledger) -> None:
    """Make the ledger's arrays in a new dataset."""
    group = root.require_group(GROUP)
    group.update_attributes({"standing_parts": "{}"})
    for name, column in empty.columns.items():
        rows = ROWS_PER_CHUNK // empty.grid.tiles if name in STEPS else BLOCKS_PER_CHUNK
        array = group.create_array(
            name,
            shape=column.shape,
            chunks=(max(1, rows), *column.shape[1:]),
            dtype="u1",
            compressors=COMPRESSORS,
            fill_value=0,
        )
        if column.any():
            array[...] = column
    group.create_array(
        "records",
        shape=(len(empty.columns["seals"]),),
        chunks=(RECORDS_PER_CHUNK,),
        dtype="string",
        compressors=COMPRESSORS,
        fill_value="",
    )


def resize(root: zarr.Group, book: Ledger) -> None:
    """Make room for the steps of a longer grid, as `book` has it."""
    for name in _shapes(book.grid, book.of_source):
        array, column = _array(root, name), book.columns[name]
        before = array.shape[0]
        array.resize(column.shape)
        if column[before:].any():
            array[before:] = column[before:]
    _array(root, "records").resize((len(book.columns["seals"]),))


def write(root: zarr.Group, book: Ledger, blocks: list[Block]) -> None:
    """Store the rows and records of some blocks, as `book` has them."""
    numbers = sorted(book.grid.number(block) for block in blocks)
    steps = min(b.steps.start for b in blocks), max(b.steps.stop for b in blocks)
    for name in _shapes(book.grid, book.of_source):
        array, column = _array(root, name), book.columns[name]
        low, high = steps if name in (*STEPS, *FILES) else (numbers[0], numbers[-1] + 1)
        chunk = array.chunks[0]  # whole chunks: nothing is read to be written again
        part = slice(low // chunk * chunk, min(-(-high // chunk) * chunk, len(column)))
        array[part] = column[part]
    _write_records(_array(root, "records"), book, numbers)
    _write_standing_parts(root, book)


def _write_standing_parts(root: zarr.Group, book: Ledger) -> None:
    """Code, weights and options that some block was made by."""
    stored = json.loads(str(root[GROUP].attrs["standing_parts"]))
    if set(book.standing_parts) <= set(stored):
        return
    used = {bytes(row).hex() for row in np.unique(book.columns["standings"], axis=0)}
    kept = {name: parts for name, parts in book.standing_parts.items() if name in used}
    root[GROUP].update_attributes({"standing_parts": json.dumps(kept, sort_keys=True)})


def _write_records(array: Any, book: Ledger, numbers: list[int]) -> None:
    for chunk in sorted({number // RECORDS_PER_CHUNK for number in numbers}):
        start = chunk * RECORDS_PER_CHUNK
        stop = min(start + RECORDS_PER_CHUNK, array.shape[0])
        texts = array[start:stop]
        for number in numbers:
            if start <= number < stop:
                texts[number - start] = _text(book.records[number] or {})
        array[start:stop] = texts


def _text(record: Mapping[str, Any]) -> str:
    text = json.dumps(record, sort_keys=True, ensure_ascii=False)
    # Half a letter, as in a file name of another system, is written as JSON escapes it.
    return text.encode(errors="backslashreplace").decode()


def _shapes(grid: Grid, source: bool) -> dict[str, tuple[int, ...]]:
    """Name and shape of each column."""
    steps, tiles = grid.step_axis.length, grid.tiles
    blocks = grid.step_blocks * tiles
    files = {"stamps": (steps, STAMP), "files": (steps, BYTES)} if source else {}
    return {
        "states": (steps, tiles),
        "digests": (steps, tiles, BYTES),
        "standings": (blocks, STANDING),
        "inputs": (blocks, BYTES),
        "seals": (blocks, BYTES),
        **files,
    }


def _array(root: zarr.Group, name: str) -> Any:
    return root[f"{GROUP}/{name}"]
