"""Verification: what is stored is what was written; and, asked for, what would be written again.

Each step and tile is read as Zarr stores it, packed, and compared with its content digest in the
ledger; the ledger's own rows with their seals; coordinates with the declared grid; attributes,
shapes and codecs with their digests.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import zarr

from fluxengine import layout, metadata, table_store
from fluxengine.declare import Array, Output, height_name
from fluxengine.digest import step_digests
from fluxengine.errors import ChangedFile, FluxforgeError, UnknownName
from fluxengine.grid import Block, Grid
from fluxengine.key import listed, standing_digest
from fluxengine.ledger import ABSENT, OUTSIDE, Ledger, by_block
from fluxengine.outages import first_line
from fluxengine.progress import QUIET, Progress
from fluxengine.repository import MAIN, WORK, Repository
from fluxengine.store import Store
from fluxengine.table_book import MonthEntry
from fluxengine.table_book import read as read_book
from fluxengine.table_store import is_table

HEIGHT = re.compile(height_name(0).replace("0", ".+"))


@dataclass(frozen=True)
class Finding:
    """Something that is not as it was written.

    Parameters
    ----------
    dataset : str
    block : str
        Its name; empty where the finding concerns no single block.
    steps : str
        Days, scenes or other steps, in words.
    what : str
        What is wrong, in words.
    """

    dataset: str
    block: str
    steps: str
    what: str

    def as_json(self) -> dict[str, str]:
        """For machines."""
        return asdict(self)


@dataclass(frozen=True)
class Verified:
    """What was looked at and what was found.

    Parameters
    ----------
    dataset : str
    blocks, steps : int
        Blocks, and steps of their tiles, that were compared; of a table, months and rows.
    bytes : int
        Of the values, as packed.
    findings : tuple of Finding
    orphans : int
        Bytes of objects that no version needs: information, no damage.
    """

    dataset: str
    blocks: int
    steps: int
    bytes: int
    findings: tuple[Finding, ...]
    orphans: int

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return asdict(self)


def verify(store: Store, name: str, *, progress: Progress = QUIET) -> Verified:
    """Compare every stored value of a dataset with what was written.

    Parameters
    ----------
    store : Store
    name : str
        The dataset; its published version is read, or its work where nothing is published.
    progress : Progress, optional

    Raises
    ------
    UnknownName
        Where there is no such dataset.
    """
    try:
        repository = store.repository(name)
        snapshot = repository.tip(MAIN if repository.is_published else WORK)
        root = repository.read(snapshot)
        if is_table(root):
            return verify_table(repository, root, name, progress)
        book = repository.ledger(snapshot)
        made = made_blocks(book)
        findings = [*_metadata(name, root), *_coordinates(name, root), *_standing(name, book)]
        stored = _Stored(name, root, book)
        cells = sum(_bytes(_array(root, path)) for path in layout.stored_variables(root))
    except UnknownName:  # a misspelt name is no damage
        raise
    except Exception as error:  # damaged metadata makes Zarr raise what it likes
        return Verified(name, 0, 0, 0, (Finding(name, "", "", _words(error)),), 0)
    progress.begin(name, len(made))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for found in pool.map(stored.check, made):
            findings += found
            progress.advance(name)
    steps = int((~np.isin(book.states, (ABSENT, OUTSIDE))).sum())
    orphans, damaged = _orphans(repository, name)
    return Verified(name, len(made), steps, cells, (*findings, *damaged), orphans)


def _orphans(repository: Repository, name: str) -> tuple[int, list[Finding]]:
    """Bytes that no version needs; it looks at every version, one of which may be damaged."""
    try:
        return repository.orphans(), []
    except FluxforgeError as error:
        return 0, [Finding(name, "", "", f"an older version is damaged: {error}")]


# --- tables --------------------------------------------------------------------------------------


def verify_table(
    repository: Repository, root: zarr.Group, name: str, progress: Progress
) -> Verified:
    """Compare every month of a table with what was written."""
    book = read_book(root, str(repository.path))
    findings = [
        Finding(name, "", "", f"the metadata of {path} are not as they were written")
        for path in table_store.altered(root, book)
    ]
    for month in sorted(set(table_store.stored_months(root)) - book.months.keys()):
        findings.append(Finding(name, month, "", "its book knows nothing of this month"))
    progress.begin(name, len(book.months))
    bytes_read = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for found, size in pool.map(partial(_month, root, name), sorted(book.months.items())):
            findings += found
            bytes_read += size
            progress.advance(name)
    orphans, damaged = _orphans(repository, name)
    rows = sum(entry.rows for entry in book.months.values())
    return Verified(name, len(book.months), rows, bytes_read, (*findings, *damaged), orphans)


def _month(root: zarr.Group, name: str, known: tuple[str, MonthEntry]) -> tuple[list[Finding], int]:
    """Findings of one month, and how many bytes were compared."""
    month, entry = known
    try:
        found = table_store.read_month(root, month)
        wrong = table_store.wrong_heights(root, month)
    except Exception as error:  # codecs raise what they like
        return [Finding(name, month, "", _words(error))], 0
    size = found.rows.nbytes + found.parts.nbytes
    what = [f"the coordinate {height} has another value" for height in wrong]
    if found.digest != entry.digest:
        what.append("other rows than were written")
    return [Finding(name, month, "", words) for words in what], size


# --- blocks --------------------------------------------------------------------------------------


def made_blocks(book: Ledger) -> list[int]:
    """Numbers of the blocks that the ledger knows anything of."""
    rows = by_block(book.grid, ~np.isin(book.states, (ABSENT, OUTSIDE)))
    sealed = book.columns["seals"].any(axis=1)
    return [int(number) for number in np.flatnonzero(rows | sealed)]


def _metadata(name: str, root: zarr.Group) -> Iterator[Finding]:
    for path in metadata.altered(root):
        what = f"the metadata of {path} (attributes, shape or codecs) are not as they were written"
        yield Finding(name, "", "", what)


def _standing(name: str, book: Ledger) -> Iterator[Finding]:
    """Code, weights and options that are not what the blocks' rows name."""
    for named, parts in book.standing_parts.items():
        if standing_digest(parts).hex() != named:
            what = "what the ledger says of code, weights and options was altered"
            yield Finding(name, "", "", what)


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, FluxforgeError) else first_line(error)


def _array(root: zarr.Group, path: str) -> Any:
    return root[path]


def _bytes(array: Any) -> int:
    return int(np.prod(array.shape)) * int(array.dtype.itemsize)


def _coordinates(name: str, root: zarr.Group) -> Iterator[Finding]:
    """Coordinates that are not those of the declared grid."""
    for group, grid in layout.stored_grids(root).items():
        for dim, axis in grid.axes.items():
            for part, expected in layout.coordinate_arrays(dim, axis).items():
                path = f"{group}/{part}" if group else part
                try:
                    found = np.asarray(_array(root, path)[...])
                except Exception as error:  # codecs raise what they like
                    yield Finding(name, "", "", f"the coordinate {path}: {first_line(error)}")
                    continue
                if not np.array_equal(found, np.asarray(expected)):
                    yield Finding(name, "", "", f"the coordinate {path} has other values")
    yield from _heights_and_domain(name, root)


def _heights_and_domain(name: str, root: zarr.Group) -> Iterator[Finding]:
    """Heights that are not those they are named after, and another mask than was declared."""
    for group in layout.stored_grids(root):
        at: Any = root[group] if group else root
        for height in [key for key in at.array_keys() if HEIGHT.fullmatch(key)]:
            path = f"{group}/{height}" if group else height
            try:
                if height_name(float(at[height][...])) != height:
                    yield Finding(name, "", "", f"the coordinate {path} has another value")
            except Exception as error:  # codecs raise what they like
                yield Finding(name, "", "", f"the coordinate {path}: {first_line(error)}")
    declared = layout.read_mark(root)["domain"]
    if declared is None:
        return
    try:
        found = layout.domain_digest(np.asarray(_array(root, layout.DOMAIN)[...]))
    except Exception as error:
        yield Finding(name, "", "", f"{layout.DOMAIN}: {first_line(error)}")
        return
    if found != declared:
        yield Finding(name, "", "", f"{layout.DOMAIN} has other values")


@dataclass(frozen=True)
class _Stored:
    """A dataset as it is stored, to be compared block by block."""

    name: str
    root: zarr.Group
    book: Ledger

    def check(self, number: int) -> list[Finding]:
        """Findings of one block."""
        block = self.book.grid.numbered(number)
        found: list[Finding] = []
        try:
            found += self._ledger(number, block)
            found += self._values(number, block)
        except Exception as error:  # as above
            days = _days(self.book.grid, block)
            found.append(Finding(self.name, block.name, days, _words(error)))
        return found

    def _ledger(self, number: int, block: Block) -> Iterator[Finding]:
        if self.book.seal(number) != self.book.columns["seals"][number].tobytes():
            days = _days(self.book.grid, block)
            yield Finding(self.name, block.name, days, "its rows in the ledger were altered")

    def _values(self, number: int, block: Block) -> Iterator[Finding]:
        steps, tile = self.book.rows_of(number)
        made = self.book.states[steps, tile] != ABSENT
        if not made.any():
            return
        arrays, damaged = self._read(block)
        if damaged:
            yield from damaged
            return
        found = step_digests(arrays, len(made))
        other = (found != self.book.digests[steps, tile]).any(axis=1) & made
        if other.any():
            names = listed(
                self.book.grid.step_name(steps.start + int(k)) for k in np.flatnonzero(other)
            )
            yield Finding(self.name, block.name, names, "other values than were written")

    def _read(self, block: Block) -> tuple[dict[str, Array], list[Finding]]:
        """The block's packed values by path, or what cannot be read of them."""
        arrays, findings = {}, []
        for path, grid in layout.stored_variables(self.root).items():
            spans = Output("", grid, ()).spans(self.book.grid, block)
            array, cells = _array(self.root, path), tuple(spans.values())
            try:
                arrays[path] = np.asarray(array[cells])
            except Exception:  # whatever codecs and storage raise: which chunk is it?
                damaged = list(self._chunks(path, array, grid, spans, block))
                findings += damaged
                if not damaged:  # memory ran short, or the storage faltered: once more, or say so
                    arrays[path] = np.asarray(array[cells])
        return arrays, findings

    def _chunks(
        self, path: str, array: Any, grid: Grid, spans: Mapping[str, slice], block: Block
    ) -> Iterator[Finding]:
        """Each damaged or missing inner chunk of a block."""
        for parts in product(*map(_pieces, spans.values(), array.chunks)):
            try:
                array[parts]
            except MemoryError:
                raise  # ours, not the chunk's
            except Exception as error:  # as above
                at = tuple(p.start // c for p, c in zip(parts, array.chunks, strict=True))
                first, last = grid.step_name(parts[0].start), grid.step_name(parts[0].stop - 1)
                words = error.what if isinstance(error, ChangedFile) else first_line(error)
                what = f"{path}, chunk {at}, is damaged or missing: {words}"
                yield Finding(self.name, block.name, _between(first, last), what)


def _pieces(span: slice, length: int) -> list[slice]:
    starts = range(span.start, span.stop, length)
    return [slice(start, min(start + length, span.stop)) for start in starts]


def _days(grid: Grid, block: Block) -> str:
    return _between(grid.step_name(block.steps[0]), grid.step_name(block.steps[-1]))


def _between(first: str, last: str) -> str:
    return first if first == last else f"{first} … {last}"
