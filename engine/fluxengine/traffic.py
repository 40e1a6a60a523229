"""What a task asks of its stores: requests and bytes, counted where Zarr hands them on.

A counter belongs to the context of the task that made it current, so that tasks in threads of one
worker are told apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from zarr.storage import WrapperStore

if TYPE_CHECKING:
    from collections.abc import Iterable

    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype


@dataclass
class Traffic:
    """Requests for chunks and what they carried, as stored: compressed."""

    gets: int = 0
    puts: int = 0
    bytes_read: int = 0
    bytes_written: int = 0

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(
            self.gets + other.gets,
            self.puts + other.puts,
            self.bytes_read + other.bytes_read,
            self.bytes_written + other.bytes_written,
        )

    def as_json(self) -> dict[str, int]:
        """For machines."""
        return asdict(self)


_CURRENT: ContextVar[Traffic | None] = ContextVar("traffic", default=None)


@contextmanager
def counted() -> Iterator[Traffic]:
    """Count what is asked of counted stores within the context."""
    traffic = Traffic()
    before = _CURRENT.set(traffic)
    try:
        yield traffic
    finally:
        _CURRENT.reset(before)


def note_read(size: int, requests: int = 1) -> None:
    """Count a file that was fetched, or several."""
    traffic = _CURRENT.get()
    if traffic is not None:
        traffic.gets += requests
        traffic.bytes_read += size


class CountedStore(WrapperStore[Any]):
    """A store whose requests for chunks are counted; metadata is not: it is read once."""

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """As the store does."""
        found = await super().get(key, prototype, byte_range)
        _read(key, found)
        return found

    async def get_partial_values(
        self,
        prototype: BufferPrototype,
        key_ranges: Iterable[tuple[str, ByteRequest | None]],
    ) -> list[Buffer | None]:
        """As the store does."""
        pairs = list(key_ranges)
        found = await super().get_partial_values(prototype, pairs)
        for (key, _), part in zip(pairs, found, strict=True):
            _read(key, part)
        return found

    async def set(self, key: str, value: Buffer) -> None:
        """As the store does."""
        await super().set(key, value)
        traffic = _CURRENT.get()
        if traffic is not None and _is_chunk(key):
            traffic.puts += 1
            traffic.bytes_written += len(value)


def _read(key: str, found: Buffer | None) -> None:
    if found is not None and _is_chunk(key):
        note_read(len(found))


def _is_chunk(key: str) -> bool:
    return not key.endswith("zarr.json")
