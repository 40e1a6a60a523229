"""Bounded reading of gzip files, with every failure as a typed error."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from gzip import BadGzipFile
from pathlib import Path

from zlib_ng import gzip_ng, zlib_ng  # unpacks in a quarter of the time that zlib takes

from fluxengine.errors import DamagedFile, MissingFile

STEP = 4096
PART = 2**20  # bytes unpacked at a time
CORRUPT: type[Exception] = zlib_ng.error  # type: ignore[assignment]  # its stub says an instance
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
    with _sound(path, at_most) as stream:
        unpacked: bytes = stream.read(at_most + 1)
        return unpacked


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
        with _sound(path, at_most) as stream, target.open("wb") as unpacked:
            while part := stream.read(PART):
                unpacked.write(part)
                if unpacked.tell() > at_most:
                    what = f"it unpacks to more than {at_most:,} bytes."
                    raise DamagedFile(what, where=str(path), mend=FETCH_AGAIN)
        yield target


@contextmanager
def _sound(path: Path, at_most: int) -> Iterator[gzip_ng.GzipNGFile]:
    """The unpacked stream; what is found wrong with it, at opening or later, is damage."""
    try:
        with gzip_ng.open(path) as stream:
            yield stream
        return
    except FileNotFoundError:
        raise MissingFile("there is no such file.", where=str(path)) from None
    except BadGzipFile as error:
        what = f"gzip refuses it: {error}."
    except EOFError:
        what = "it ends in the middle of its gzip stream: the download was cut short."
    except CORRUPT as error:
        what = f"its gzip stream is corrupt: {error}."
    sound = f"{_sound_bytes(path, at_most):,} bytes could be unpacked before."
    raise DamagedFile(f"{what} {sound}", where=str(path), mend=FETCH_AGAIN)


def _sound_bytes(path: Path, at_most: int) -> int:
    """How many bytes of a damaged file can be unpacked, in steps."""
    count = 0
    try:
        with gzip_ng.open(path) as stream:
            while count < at_most and (part := stream.read(STEP)):
                count += len(part)
    except (OSError, EOFError, CORRUPT):  # the damage that was found already
        pass
    return count
