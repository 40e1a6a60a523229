"""Bounded unpacking of zip files, with every failure as a typed error."""

from __future__ import annotations

import errno
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
# How the data store packs. Others are not read: LZMA takes the memory that a damaged member claims.
PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
UNPACK = "Unpack it, or pack it again by deflate."
# What the library says of a damaged zip; the last of a member without a name.
BROKEN = (
    *(zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError),
    *(RuntimeError, ValueError, UnicodeError, IndexError),
)


@contextmanager
def unzipped(path: Path) -> Iterator[dict[str, Path]]:
    """The members of a zip file by their names there, unpacked to a folder for the time being.

    They are unpacked under names of our own, so that none can lead out of the folder. The zip's
    checksums are tested. Members that together are more than `MOST_TIMES` as long as the zip are
    refused before and while they are unpacked, whatever length they claim.

    Raises
    ------
    DamagedFile
        Not a zip, truncated, with a wrong checksum, encrypted, packed otherwise than by deflate, or
        out of all proportion.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            with zipfile.ZipFile(path) as archive:
                found = dict(_members(archive, Path(folder), path))
        except DamagedFile:
            raise
        except (*BROKEN, OSError) as error:
            if isinstance(error, OSError) and error.errno != errno.EINVAL:
                raise  # the disk's; the zip's own is a member at a place that no file reaches
            what = f"it cannot be unzipped: {str(error) or 'it is cut short'}."
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
        if member.compress_type not in PACKINGS:
            what = f"'{member.filename}' in it is packed by method {member.compress_type} of zip."
            raise DamagedFile(f"{what} Only deflate (8) is read.", where=str(path), mend=UNPACK)
        to = folder / str(number)
        with archive.open(member) as stream, to.open("wb") as copy:
            # The library ends a member at the length it claims, so the sum above bounds the disk.
            shutil.copyfileobj(stream, copy)
        yield member.filename, to
