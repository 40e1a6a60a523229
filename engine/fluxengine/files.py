"""Input files: where they are, whether they changed, and a local copy to read."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from fluxengine.digest import file_digest
from fluxengine.errors import MissingFile, NoSpace, StoreError

NOTICE = "NOTICE.txt"  # a text in an archive's root that its datasets and products carry on


@dataclass(frozen=True)
class FileId:
    """What tells one state of a file from another.

    Parameters
    ----------
    path : str
        Where it was found.
    size : int
        Bytes; -1 where the archive does not say.
    stamp : str
        Modification time or ETag.
    sha256 : str
        Hex digest of the bytes; empty where they were not read yet.
    """

    path: str
    size: int
    stamp: str
    sha256: str = ""

    def same_stamp(self, other: FileId) -> bool:
        """Whether nothing speaks for a change, without reading the bytes."""
        return (self.path, self.size, self.stamp) == (other.path, other.size, other.stamp)

    def as_json(self) -> dict[str, Any]:
        """For the ledger."""
        return asdict(self)


def is_local(root: str) -> bool:
    """Whether an archive's root is a folder of this machine."""
    return "://" not in root or root.startswith("file://")


def _local(root: str) -> Path:
    return Path(root.removeprefix("file://")).expanduser()


def look(root: str, path: str) -> FileId | None:
    """The file at `path` below an archive's root as it is now, unread; None where it is not.

    In a local folder that keeps files flat, the file's bare name is looked for as well.

    Raises
    ------
    StoreError
        Where the archive itself cannot be reached.
    """
    if is_local(root):
        base = _local(root)
        if not base.is_dir():
            raise StoreError(
                "there is no such folder of input files.",
                where=root,
                mend="Correct `archives` in the run file.",
            )
        return _look_local(base / path) or _look_local(base / PurePosixPath(path).name)
    return _look_remote(f"{root.rstrip('/')}/{path}")


def _look_local(path: Path) -> FileId | None:
    try:
        stat = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return FileId(str(path), stat.st_size, str(stat.st_mtime_ns))


def _look_remote(url: str) -> FileId | None:
    import fsspec

    system, path = fsspec.core.url_to_fs(url)
    try:
        info = system.info(path)
    except FileNotFoundError:
        return None
    except Exception as error:  # every protocol has errors of its own
        raise StoreError(f"the archive does not answer: {error}", where=url) from error
    stamp = next((str(info[k]) for k in ("ETag", "etag", "mtime", "LastModified") if k in info), "")
    return FileId(url, int(info.get("size") or -1), stamp)


def settled(now: FileId | None, known: Mapping[str, Any] | None) -> FileId | None:
    """The file's identity with its digest: the known one if nothing speaks for a change.

    A local file whose size or time differs is read; a remote one keeps an empty digest until it is
    fetched, and so counts as changed.
    """
    if now is None:
        return None
    if known is not None and now.same_stamp(FileId(**known)):
        return FileId(**known)
    if is_local(now.path):
        try:
            return FileId(now.path, now.size, now.stamp, file_digest(_local(now.path)))
        except OSError:  # unreadable: the worker finds it so as well, and marks the step
            return now
    return now


@contextmanager
def local_copy(file: FileId) -> Iterator[Path]:
    """A path to read the file from; remote files are fetched for the time of the block.

    Raises
    ------
    MissingFile
        Where it vanished.
    NoSpace
        Where the copy does not fit on the disk.
    """
    if is_local(file.path):
        yield _local(file.path)
        return
    with tempfile.TemporaryDirectory(prefix="fluxforge-") as folder:
        target = Path(folder) / PurePosixPath(file.path).name
        _fetch(file.path, target)
        yield target


def _fetch(url: str, target: Path) -> None:
    import fsspec

    system, path = fsspec.core.url_to_fs(url)
    try:
        system.get_file(path, str(target))
    except FileNotFoundError as error:
        raise MissingFile("the file vanished from its archive.", where=url) from error
    except OSError as error:
        if error.errno == 28:
            raise NoSpace("no space for a copy of an input file.", where=url) from error
        raise StoreError(f"the file cannot be fetched: {error}", where=url) from error


def notice(root: str) -> str | None:
    """What the keeper of a local archive wants every user of its data to read."""
    if not is_local(root):
        return None
    path = _local(root) / NOTICE
    return " ".join(path.read_text().split()) if path.is_file() else None
