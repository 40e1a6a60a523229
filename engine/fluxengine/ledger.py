"""The ledger: what each step and tile of a dataset is, why, and from what.

It lies in the dataset's own repository, in the group ``_ledger``, and is committed together with
the data it speaks of. Per step and tile: state, content digest and a seal (digest of the row
itself). Per block: one JSON record with the key, its parts, and notes such as why a day failed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import zarr

from fluxengine.declare import Array
from fluxengine.digest import BYTES
from fluxengine.grid import Block, Grid
from fluxengine.layout import COMPRESSORS

GROUP = "_ledger"
ABSENT, VALID, FAILED_STEP, MISSING_STEP = 0, 1, 2, 3
STATE_WORDS = {
    ABSENT: "never written",
    VALID: "valid",
    FAILED_STEP: "failed",
    MISSING_STEP: "no file",
}
RECORDS_PER_CHUNK = 64

Record = dict[str, Any]


@dataclass(frozen=True)
class BlockRows:
    """What a finished block adds to the ledger.

    Parameters
    ----------
    block : Block
    tile : int
    states : uint8 array, shape (steps,)
    digests : uint8 array, shape (steps, 32)
    record : dict
        ``key``, ``parts``, ``notes`` (step name to words) and what was measured.
    """

    block: Block
    tile: int
    states: Array
    digests: Array
    record: Record


@dataclass(frozen=True)
class Ledger:
    """All rows of a dataset, in columns.

    Parameters
    ----------
    states : uint8 array, shape (steps, tiles)
    digests, seals : uint8 array, shape (steps, tiles, 32)
    records : dict of str to dict
        By block name.
    """

    states: Array
    digests: Array
    seals: Array
    records: Mapping[str, Record] = field(default_factory=dict)

    @classmethod
    def empty(cls, grid: Grid) -> Ledger:
        """A ledger in which nothing was written yet."""
        rows = (grid.step_axis.length, grid.tiles)
        blank = np.zeros((*rows, BYTES), "u1")
        return cls(np.zeros(rows, "u1"), blank, blank.copy())

    @classmethod
    def read(cls, root: zarr.Group) -> Ledger:
        """The ledger of an opened dataset."""
        columns = {name: _array(root, name)[...] for name in ("states", "digests", "seals")}
        texts = _array(root, "records")[...]
        records = [json.loads(text) for text in texts.tolist() if text]
        return cls(**columns, records={record["block"]: record for record in records})

    def extended(self, grid: Grid) -> Ledger:
        """The same rows, with room for the steps of a longer grid."""
        more = grid.step_axis.length - len(self.states)

        def pad(column: Array) -> Array:
            return np.pad(column, [(0, more)] + [(0, 0)] * (column.ndim - 1))

        return Ledger(pad(self.states), pad(self.digests), pad(self.seals), self.records)

    def holds(self, rows: BlockRows) -> bool:
        """Whether a block came out exactly as it is stored: tried again, failed again."""
        known = self.records.get(rows.block.name)
        where = (slice(rows.block.steps.start, rows.block.steps.stop), rows.tile)
        return (
            known is not None
            and all(known[part] == rows.record[part] for part in ("key", "notes"))
            and bool((self.states[where] == rows.states).all())
            and bool((self.digests[where] == rows.digests).all())
        )

    def updated(self, finished: Iterable[BlockRows]) -> Ledger:
        """The ledger after some blocks were finished."""
        states, digests, seals = self.states.copy(), self.digests.copy(), self.seals.copy()
        records = dict(self.records)
        for rows in finished:
            where = (slice(rows.block.steps.start, rows.block.steps.stop), rows.tile)
            states[where], digests[where] = rows.states, rows.digests
            seals[where] = sealed(rows.states, rows.digests, rows.record["key"])
            records[rows.block.name] = rows.record | {"block": rows.block.name}
        return Ledger(states, digests, seals, records)

    def digest_words(self, step: int, tiles: Iterable[int], length: int) -> str:
        """Short hex digest of a step over some of its tiles."""
        raw = b"".join(self.digests[step, tile].tobytes() for tile in tiles)
        return raw.hex()[:length] if len(raw) == BYTES else hashlib.sha256(raw).hexdigest()[:length]


def sealed(states: Array, digests: Array, key: str) -> Array:
    """Digest of each row, so that a changed row shows. Shape (steps, 32)."""
    rows = zip(states.tolist(), digests, strict=True)
    seals = [hashlib.sha256(bytes([s]) + d.tobytes() + key.encode()).digest() for s, d in rows]
    return np.frombuffer(b"".join(seals), "u1").reshape(len(states), BYTES)


def create(root: zarr.Group, grid: Grid) -> None:
    """Make the ledger's arrays in a new dataset."""
    group = root.require_group(GROUP)
    steps, tiles = grid.step_axis.length, grid.tiles
    for name, shape in (("states", ()), ("digests", (BYTES,)), ("seals", (BYTES,))):
        group.create_array(
            name,
            shape=(steps, tiles, *shape),
            chunks=(max(1, 100_000 // tiles), tiles, *shape),
            dtype="u1",
            compressors=COMPRESSORS,
            fill_value=0,
        )
    group.create_array(
        "records",
        shape=(_record_count(grid),),
        chunks=(RECORDS_PER_CHUNK,),
        dtype="string",
        compressors=COMPRESSORS,
        fill_value="",
    )


def resize(root: zarr.Group, grid: Grid) -> None:
    """Make room for the steps of a longer grid."""
    for name in ("states", "digests", "seals"):
        array = _array(root, name)
        array.resize((grid.step_axis.length, *array.shape[1:]))
    _array(root, "records").resize((_record_count(grid),))


def write(root: zarr.Group, grid: Grid, ledger: Ledger, finished: Iterable[BlockRows]) -> None:
    """Store the columns, and the records of the finished blocks."""
    for name in ("states", "digests", "seals"):
        _array(root, name)[...] = getattr(ledger, name)
    records = _array(root, "records")
    for rows in finished:
        number = rows.block.index[0] * grid.tiles + rows.tile
        text = json.dumps(ledger.records[rows.block.name], sort_keys=True, ensure_ascii=False)
        records[number : number + 1] = np.array([text], dtype=np.dtypes.StringDType())


def _record_count(grid: Grid) -> int:
    return grid.step_axis.blocks * grid.tiles


def _array(root: zarr.Group, name: str) -> Any:
    return root[f"{GROUP}/{name}"]
