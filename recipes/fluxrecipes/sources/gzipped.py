"""Bounded reading of gzip and text files, with every failure as a typed error."""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from gzip import BadGzipFile
from pathlib import Path
from typing import IO, cast

import deflate
from isal import igzip, isal_zlib  # unpacks in a quarter of the time that zlib takes

from fluxengine.errors import DamagedFile, MissingFile, WrongFile

STEP = 4096
PART = 2**20  # bytes unpacked at a time
CORRUPT: type[Exception] = isal_zlib.error  # type: ignore[assignment]  # its stub says an instance
FETCH_AGAIN = "Fetch it again; if it stays so, tell the provider."
FOLDER = "it is a folder, not a file."
GZIP = b"\x1f\x8b"
GZIP_FORM = 16 + zlib.MAX_WBITS  # what zlib calls it
# Text of numbers packs to a tenth; columns of nothing but missing values to a thirtieth.
MOST_TIMES, SMALL = 100, 2**20


def gunzip(path: Path, at_most: int) -> bytes | bytearray:
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
    with _typed_errors(path, at_most):
        whole = _at_once(path, at_most)
        if whole is not None:
            return whole
        with igzip.open(path) as stream:
            unpacked: bytes = stream.read(at_most + 1)
            return unpacked


def _at_once(path: Path, at_most: int) -> bytearray | None:
    """A sound file of one stream, by a library that unpacks in half the time but knows no parts.

    None of any other file: long, damaged, of several streams, or with something behind it.
    """
    if path.stat().st_size > at_most:  # packed, nothing becomes longer by more than a thousandth
        return None
    packed = path.read_bytes()
    checksum, size = (int.from_bytes(part, "little") for part in (packed[-8:-4], packed[-4:]))
    if not 0 < size <= at_most:  # by its end, which need not be true
        return None
    try:
        unpacked: bytearray = deflate.gzip_decompress(packed, size)
    except deflate.DeflateError:
        return None
    # The library ends with the first stream, whose checksum it has tested: was it the last one?
    is_all = len(unpacked) == size and deflate.crc32(unpacked) == checksum
    return unpacked if is_all else None


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
        with _typed_errors(path, at_most), igzip.open(path) as stream, target.open("wb") as file:
            while part := stream.read(PART):
                file.write(part)
                if file.tell() > at_most:
                    what = f"it unpacks to more than {at_most:,} bytes."
                    raise DamagedFile(what, where=str(path), mend=FETCH_AGAIN)
        yield target


@contextmanager
def _typed_errors(path: Path, at_most: int) -> Iterator[None]:
    """Whatever is wrong with a gzip file as an error of ours."""
    try:
        yield
        return
    except FileNotFoundError:
        raise MissingFile("there is no such file.", where=str(path)) from None
    except IsADirectoryError:
        raise WrongFile(FOLDER, where=str(path)) from None
    except BadGzipFile as error:
        what = f"gzip refuses it: {error}."
    except EOFError:
        what = "it ends in the middle of its gzip stream: the download was cut short."
    except CORRUPT as error:
        what = f"its gzip stream is corrupt: {error}."
    count, goes_on = _sound_bytes(path, at_most)
    if goes_on:
        what = "its gzip stream is whole, but bytes follow that are none of it."
    sound = f"{count:,} bytes could be unpacked before."
    raise DamagedFile(f"{what} {sound}", where=str(path), mend=FETCH_AGAIN)


def _sound_bytes(path: Path, at_most: int) -> tuple[int, bool]:
    """How many bytes of a damaged file can be unpacked, in steps; and what the damage may be.

    Returns
    -------
    (int, bool)
        The bytes, and whether a stream ended well and others than those of a stream follow.
    """
    count, rest, stream = 0, b"", zlib.decompressobj(GZIP_FORM)
    try:
        with path.open("rb") as file:
            while count < at_most and (rest := rest or file.read(STEP)):
                if stream.eof:  # another may follow, behind zeros that fill up a block
                    rest = rest.lstrip(b"\0")
                    if rest and not rest.startswith(GZIP[: len(rest)]):
                        return count, True
                    stream = zlib.decompressobj(GZIP_FORM) if rest else stream
                    continue
                count += len(stream.decompress(rest))
                rest = stream.unused_data
    except zlib.error:  # the damage that was found already
        pass
    return count, False


def text_blocks(path: Path, size: int, longest: int) -> Iterator[tuple[int, bytes]]:
    """Whole lines of a text file, plain or gzip, in blocks of about `size` bytes.

    Whether it is gzip is told by its bytes: files are renamed, and some servers unpack them.

    Parameters
    ----------
    path : Path
    size : int
        Bytes of a block, and of memory that it needs.
    longest : int
        Bytes that a line may have at the most.

    Yields
    ------
    (int, bytes)
        Where the block begins in the unpacked text, and its lines. Each ends with a newline, but
        for a last one that has none in the file.

    Raises
    ------
    MissingFile, DamagedFile
        No file; damaged gzip; a line longer than `longest`; more than a hundred times as many
        bytes as the packed file has, which no text comes to.
    """
    with _typed_errors(path, MOST_TIMES * SMALL), path.open("rb") as raw:
        packed = raw.read(len(GZIP)) == GZIP
        raw.seek(0)
        most = SMALL + MOST_TIMES * path.stat().st_size
        stream = cast("IO[bytes]", igzip.IGzipFile(fileobj=raw)) if packed else raw
        begin, rest = 0, b""
        while more := stream.read(size):
            rest += more
            end = rest.rfind(b"\n") + 1
            if len(rest) - end > longest:
                at = f"at byte {begin + end:,} a line has more than {longest:,} bytes"
                raise DamagedFile(f"{at}: no text of this format.", where=str(path))
            if begin + len(rest) > most:
                what = f"it unpacks to more than {MOST_TIMES} times its size: no text does."
                raise DamagedFile(what, where=str(path))
            if end:
                yield begin, rest[:end]
                begin, rest = begin + end, rest[end:]
        if rest:
            yield begin, rest
