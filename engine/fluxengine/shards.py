"""Shards: the file in which one block of a variable is stored, put together by its task.

A task owns whole shards and has their cells in the order of steps. So each chunk is packed as soon
as its steps are there, while they are in the processor's cache, and no more of a block is held than
its packed bytes. Zarr takes a block as a whole, copies it several times and reads first what
is to be overwritten: `infra/decisions/0035`. The form is that of Zarr's sharding codec, version
1.0: chunks, then an index of offsets and lengths with its CRC-32C.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import google_crc32c
import numpy as np
import zarr
from numcodecs.zstd import Zstd
from zarr.codecs import BytesCodec, Crc32cCodec, ShardingCodec, ZstdCodec
from zarr.core.buffer.cpu import Buffer
from zarr.core.sync import sync

from fluxengine.declare import Array
from fluxengine.errors import StoreMismatch

ABSENT = 2**64 - 1  # offset and length of a chunk that was never written
SAMPLE = 256  # cells of a chunk that are looked at first, to see that two chunks differ


@dataclass(frozen=True)
class Encoding:
    """How cells become the bytes of a chunk."""

    dtype: str
    level: int  # of Zstandard
    checksum: bool

    def __call__(self, cells: Array) -> bytes:
        """The chunk of contiguous cells of this dtype."""
        packed: bytes = Zstd(self.level, self.checksum).encode(cells)
        return packed


class Alike:
    """Packs chunks, and those once that several arrays have alike: flags of one sensor often are.

    Meant for one step: what it was given is held, and must stay as it is meanwhile. Of chunks that
    have a sample in common it knows the last one, so that each is compared with one at most.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[Encoding, bytes], tuple[Array, bytes]] = {}

    def packed(self, encoding: Encoding, cells: Array) -> bytes:
        """The chunk of contiguous cells of the encoding's dtype."""
        values = cells.reshape(-1)
        looks_like = encoding, values[:: max(1, values.size // SAMPLE)].tobytes()
        other = self._known.get(looks_like)
        if other is None or not np.array_equal(_as_bytes(other[0]), _as_bytes(cells)):
            other = self._known[looks_like] = cells, encoding(cells)
        return other[1]


@dataclass
class Shard:
    """One shard of an array; its cells are given step after step.

    Parameters
    ----------
    array : zarr.Array
        With Zarr's sharding codec, as `layout.create` makes it.
    index : tuple of int
        Of the shard in the array.

    Raises
    ------
    StoreMismatch
        Where the array is stored otherwise.
    """

    array: zarr.Array[Any]
    index: tuple[int, ...]
    _chunks: list[bytes] = field(default_factory=list)
    _waiting: list[Array] = field(default_factory=list)  # steps that do not fill a chunk yet

    def __post_init__(self) -> None:
        self._encoding = _encoding(self.array)
        assert self.array.shards is not None
        self._chunk: tuple[int, ...] = self.array.chunks
        self._shape: tuple[int, ...] = self.array.shards

    def append(self, values: Array, alike: Alike | None = None) -> None:
        """The next steps, packed as they are stored: of the block's shape but for the first axis.

        They may be overwritten afterwards; with `alike`, that other arrays of the step share, when
        that is done with.
        """
        length, held = self._chunk[0], sum(len(steps) for steps in self._waiting)
        if held + len(values) < length:
            self._waiting.append(values.copy())
            return
        steps = np.concatenate([*self._waiting, values]) if held else values
        whole = len(steps) // length * length
        for first in range(0, whole, length):
            self._pack(steps[first : first + length], alike)
        self._waiting = [steps[whole:].copy()] if whole < len(steps) else []

    async def store(self) -> None:
        """Write what was given; steps that were not are left without a chunk."""
        if self._waiting:
            self._pack(np.concatenate(self._waiting))
            self._waiting = []
        key = self.array.metadata.encode_chunk_key(self.index)
        content = b"".join([*self._chunks, self._table()])
        await (self.array.store_path / key).set(Buffer.from_bytes(content))

    def _pack(self, steps: Array, alike: Alike | None = None) -> None:
        """Chunks side by side, as many as a whole shard has; empty beyond the grid's end."""
        encoding = self._encoding
        for within in self._cells(steps.shape[1:]):
            part = steps[(slice(None), *within)]
            if not part.size:
                self._chunks.append(b"")
                continue
            cells = np.ascontiguousarray(self._filled(part), encoding.dtype)
            self._chunks.append(alike.packed(encoding, cells) if alike else encoding(cells))

    def _cells(self, shape: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
        """Of each chunk but for the step axis; the grid may end before the shard does."""
        starts = (
            range(0, size, chunk)
            for size, chunk in zip(self._shape[1:], self._chunk[1:], strict=True)
        )
        for corner in product(*starts):
            ends = zip(corner, self._chunk[1:], shape, strict=True)
            yield tuple(slice(start, min(start + n, end)) for start, n, end in ends)

    def _filled(self, part: Array) -> Array:
        """A whole chunk, with the fill value in cells beyond the grid's end."""
        if part.shape == self._chunk:
            return part
        chunk = np.full(self._chunk, self.array.fill_value, part.dtype)
        chunk[tuple(slice(0, n) for n in part.shape)] = part
        return chunk

    def _table(self) -> bytes:
        """The index: offset and length of each chunk, and its checksum."""
        sides = zip(self._shape, self._chunk, strict=True)
        table = np.full((np.prod([size // n for size, n in sides]), 2), ABSENT, "<u8")
        lengths = np.array([len(chunk) for chunk in self._chunks], "u8")
        given = np.flatnonzero(lengths)
        table[given] = np.stack([np.cumsum(lengths) - lengths, lengths], axis=1)[given]
        packed: bytes = table.tobytes()
        checksum: int = google_crc32c.value(packed)
        return packed + checksum.to_bytes(4, "little")


def store_all(shards: Iterable[Shard]) -> None:
    """Write them, side by side."""

    async def together() -> None:
        await asyncio.gather(*(shard.store() for shard in shards))

    sync(together())


def _encoding(array: zarr.Array[Any]) -> Encoding:
    """By the codecs that the array was made with."""
    codecs: Any = array.metadata.codecs  # type: ignore[union-attr]
    if len(codecs) == 1 and isinstance(codecs[0], ShardingCodec):
        match codecs[0].codecs, codecs[0].index_codecs, codecs[0].index_location.value:
            case (
                (BytesCodec() as order, ZstdCodec() as zstd),
                (BytesCodec(), Crc32cCodec()),
                "end",
            ) if _is_little(order):
                dtype = np.dtype(array.dtype).newbyteorder("<")
                return Encoding(dtype.str, zstd.level, zstd.checksum)
    raise StoreMismatch(
        "it is stored with other codecs than this fluxforge writes.",
        where=array.name,
        mend="Use the fluxforge that wrote it, or give the run a new store.",
    )


def _is_little(order: BytesCodec) -> bool:
    """One byte has no order."""
    return order.endian is None or order.endian.value == "little"


def _as_bytes(cells: Array) -> Array:
    """Of contiguous cells: a missing value is not equal to itself, nor is -0 stored as 0."""
    return cells.reshape(-1).view(np.uint8)
