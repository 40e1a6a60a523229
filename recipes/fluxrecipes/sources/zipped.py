"""Bounded unpacking of zip files, with every failure as a typed error."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fluxengine.errors import DamagedFile
from fluxrecipes.sources.gzipped import FETCH_AGAIN

MAGIC = b"PK\x03\x04"
MOST_MEMBERS = 64
MOST_TIMES = 10  # longer than the zip that all its members may be together
SMALL = 16 * 2**20  # bytes; so much is always allowed


@contextmanager
def unzipped(path: Path) -> Iterator[dict[str, Path]]:
    """The members of a zip file by their names there, unpacked to a folder for the time being.

    They are unpacked under names of our own, so that none can lead out of the folder. The zip's
    checksums are tested. Members that together are more than `MOST_TIMES` as long as the zip are
    refused before and while they are unpacked, whatever length they claim.

    Raises
    ------
    DamagedFile
        Not a zip, truncated, with a wrong checksum, encrypted, or out of all proportion.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            with zipfile.ZipFile(path) as archive:
                found = dict(_members(archive, Path(folder), path))
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            what = f"it cannot be unzipped: {error or 'it is cut short'}."
            raise DamagedFile(what, where=str(path), mend=FETCH_AGAIN) from None
        except (RuntimeError, ValueError, UnicodeError) as error:
            if isinstance(error, DamagedFile):
                raise
            what = f"it cannot be unzipped: {error}."
            raise DamagedFile(what, where=str(path), mend=FETCH_AGAIN) from None
        yield found


def _members(archive: zipfile.ZipFile, folder: Path, path: Path) -> Iterator[tuple[str, Path]]:
    files = [member for member in archive.infolist() if not member.is_dir()]
    room = max(MOST_TIMES * path.stat().st_size, SMALL)
    if len(files) > MOST_MEMBERS or sum(member.file_size for member in files) > room:
        size = sum(member.file_size for member in files)
        raise DamagedFile(
            f"it is a zip of {len(files)} files that would unpack to {size:,} bytes,"
            f" more than {room:,}.",
            where=str(path),
        )
    for number, member in enumerate(files):
        to = folder / str(number)
        with archive.open(member) as stream, to.open("wb") as copy:
            # The library ends a member at the length it claims, so the sum above bounds the disk.
            shutil.copyfileobj(stream, copy)
        yield member.filename, to
