"""Input files: where they are, whether they changed, and a local copy to read."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from fluxengine.digest import file_digest
from fluxengine.errors import MissingFile, NoSpace, StoreError

LOOKS_AT_ONCE = 16  # questions to a web server at a time
NOTICE = "NOTICE.txt"  # a text in an archive's root that its datasets and products carry on


@dataclass(frozen=True, slots=True)
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

    @property
    def stamp_digest(self) -> bytes:
        """Eight bytes that differ where something speaks for a change, without reading the file."""
        return hashlib.sha256(f"{self.path}|{self.size}|{self.stamp}".encode()).digest()[:8]

    @property
    def digest(self) -> bytes:
        """Digest of the bytes; of the identity while the file is unread, which equals none."""
        if self.sha256:
            return bytes.fromhex(self.sha256)
        return hashlib.sha256(b"unread" + self.stamp_digest).digest()

    def as_json(self) -> dict[str, Any]:
        """For the ledger."""
        return asdict(self)


def is_local(root: str) -> bool:
    """Whether an archive's root is a folder of this machine."""
    return "://" not in root or root.startswith("file://")


def _local(root: str) -> Path:
    return Path(root.removeprefix("file://")).expanduser()


def look(root: str, paths: Iterable[str]) -> list[FileId | None]:
    """Files below an archive's root as they are now, unread; None for each that is not there.

    In a local folder that keeps files flat, the bare names are looked for as well. In an object
    store each folder is listed once.

    Raises
    ------
    StoreError
        Where the archive itself cannot be reached.
    """
    if not is_local(root):
        return _look_remote(root.rstrip("/"), list(paths))
    base = _local(root)
    if not base.is_dir():
        raise StoreError(
            "there is no such folder of input files.",
            where=root,
            mend="Correct `archives` in the run file.",
        )
    folder = str(base)
    return [
        _look_local(f"{folder}/{path}") or _look_local(f"{folder}/{path.rpartition('/')[2]}")
        for path in paths
    ]


def _look_local(path: str) -> FileId | None:
    try:
        stat = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return FileId(path, stat.st_size, str(stat.st_mtime_ns))


def _look_remote(root: str, paths: list[str]) -> list[FileId | None]:
    import fsspec

    system, base = fsspec.core.url_to_fs(root)
    with _answering(root):
        if "http" in str(system.protocol):  # has no listing that can be trusted
            with ThreadPoolExecutor(LOOKS_AT_ONCE) as pool:
                found = list(pool.map(lambda path: _info(system, f"{base}/{path}"), paths))
        else:
            folders = {path.rpartition("/")[0] for path in paths}
            listed = {k: v for folder in folders for k, v in _listed(system, base, folder).items()}
            found = [listed.get(f"{base}/{path}") for path in paths]
    return [
        None
        if info is None
        else FileId(f"{root}/{path}", int(info.get("size") or -1), _stamp(info))
        for path, info in zip(paths, found, strict=True)
    ]


@contextmanager
def _answering(root: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # every protocol has errors of its own
        raise StoreError(f"the archive does not answer: {error}", where=root) from error


def _info(system: Any, path: str) -> Mapping[str, Any] | None:
    try:
        found: Mapping[str, Any] = system.info(path)
    except FileNotFoundError:
        return None
    return found


def _listed(system: Any, base: str, folder: str) -> dict[str, Mapping[str, Any]]:
    try:
        infos = system.ls(f"{base}/{folder}".rstrip("/"), detail=True)
    except FileNotFoundError:
        return {}
    return {info["name"]: info for info in infos}


def _stamp(info: Mapping[str, Any]) -> str:
    return next((str(info[k]) for k in ("ETag", "etag", "mtime", "LastModified") if k in info), "")


def settled(now: FileId, known_stamp: bytes, known_digest: bytes) -> FileId:
    """The file's identity with its digest: the known one if nothing speaks for a change.

    A local file whose size or time differs is read; a remote one keeps an empty digest until it is
    fetched, and so counts as changed.
    """
    if now.stamp_digest == known_stamp and any(known_digest):
        return replace(now, sha256=known_digest.hex())
    if is_local(now.path):
        try:
            return replace(now, sha256=file_digest(_local(now.path)))
        except OSError:  # unreadable: the worker finds it so as well, and marks the step
            return now
    return now


def as_read(file: FileId, path: Path) -> FileId:
    """The file's identity just before it is read, which may be long after it was planned.

    Parameters
    ----------
    file : FileId
        As planned.
    path : Path
        Where its bytes are to be read: itself, or a copy fetched just now.
    """
    if not is_local(file.path):
        return replace(file, sha256=file_digest(path))
    if file.sha256 and is_unchanged(file):
        return file
    return replace(_look_local(file.path) or file, sha256=file_digest(path))


def is_unchanged(file: FileId) -> bool:
    """Whether a local file has the size and time it was known by; a copy has by nature."""
    return not is_local(file.path) or _look_local(file.path) == replace(file, sha256="")


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
