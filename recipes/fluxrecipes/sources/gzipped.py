"""Bounded reading of gzip files, with every failure as a typed error."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from fluxengine.errors import DamagedFile, MissingFile

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
    try:
        with gzip.open(path) as stream:
            return stream.read(at_most + 1)
    except FileNotFoundError:
        raise MissingFile("there is no such file.", where=str(path)) from None
    except gzip.BadGzipFile as error:
        what = f"gzip refuses it: {error}."
    except EOFError:
        what = "it ends in the middle of its gzip stream: the download was cut short."
    except zlib.error as error:
        what = f"its gzip stream is corrupt: {error}."
    raise DamagedFile(what, where=str(path), mend=FETCH_AGAIN)
