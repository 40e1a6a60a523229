"""Bounded reading of gzip files, with every failure as a typed error."""

from __future__ import annotations

import gzip
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from fluxengine.errors import DamagedFile, MissingFile

PART = 2**20  # bytes unpacked at a time
FETCH_AGAIN = "Fetch it again; if it stays so, tell the provider."


def gunzip(path: Path, at_most: int) -> bytes:
    """The unpacked bytes of a gzip file, or `at_most` + 1 of them where there are more.

    The bound keeps a few kilobytes of zeros from unpacking to the whole memory; the caller sees by
    the length that the file is longer than it may be. The checksum is tested when the end of the
    file is reached, so a result of at most `at_most` bytes is sound.

    Raises
    ------
    MissingFile
        No file of that name.
    DamagedFile
        Not gzip, truncated, or its checksum fails.
    """
    with _sound(path) as stream:
        return stream.read(at_most + 1)


@contextmanager
def gunzipped(path: Path, at_most: int) -> Iterator[Path]:
    """A gzip file unpacked to a temporary one, for libraries that read from a path.

    Raises
    ------
    MissingFile
        No file of that name.
    DamagedFile
        Not gzip, truncated, its checksum fails, or it unpacks to more than `at_most` bytes.
    """
    with tempfile.TemporaryDirectory(prefix="fluxforge-") as folder:
        target = Path(folder) / path.name.removesuffix(".gz")
        with _sound(path) as stream, target.open("wb") as unpacked:
            _copy(stream, unpacked, at_most, path)
        yield target


def _copy(stream: gzip.GzipFile, target: IO[bytes], at_most: int, path: Path) -> None:
    while part := stream.read(PART):
        target.write(part)
        if target.tell() > at_most:
            what = f"it unpacks to more than {at_most:,} bytes."
            raise DamagedFile(what, where=str(path), mend=FETCH_AGAIN)


@contextmanager
def _sound(path: Path) -> Iterator[gzip.GzipFile]:
    """The unpacked stream; what gzip finds wrong, at opening or later, is a damaged file."""
    try:
        with gzip.open(path) as stream:
            yield stream
        return
    except FileNotFoundError:
        raise MissingFile("there is no such file.", where=str(path)) from None
    except gzip.BadGzipFile as error:
        what = f"gzip refuses it: {error}."
    except EOFError:
        what = "it ends in the middle of its gzip stream: the download was cut short."
    except zlib.error as error:
        what = f"its gzip stream is corrupt: {error}."
    raise DamagedFile(what, where=str(path), mend=FETCH_AGAIN)
