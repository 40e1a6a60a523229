"""Input files: where they are, whether they changed, and a local copy to read."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import cache, lru_cache, partial
from itertools import islice, takewhile
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from fluxengine.declare import Paths
from fluxengine.digest import file_digest
from fluxengine.errors import (
    DamagedFile,
    FluxforgeError,
    MissingFile,
    NoBucket,
    NoSpace,
    StoreDenied,
    StoreError,
    StoreUnreachable,
)
from fluxengine.outages import GOES_ON, first_line, is_full
from fluxengine.progress import Tick, Watch, unseen, unwatched

LOOKS_AT_ONCE = 16  # questions to a web server at a time
LOOK = 20.0  # seconds until a web server that does not say what a file is like is given up
STALL = 60.0  # seconds without a byte until a download is given up
DOWNLOAD = 3600.0  # seconds for one file at most: some 100 MB come through a slow line as well
GONE = 404, 410  # what a web server answers of a file that is not there; all else is a failure
REFUSED = 401, 403  # what it answers of a file that is not for everybody
# How archives call what tells one state of a file from another; the first that is there is taken.
STAMPS = (
    "ETag",
    "etag",
    "mtime",
    "LastModified",
    "Last-Modified",  # a web server
    "Content-MD5",
    "Digest",
    "modify",  # FTP
)
READS_AT_ONCE = 8  # local files: a shared disk answers several sooner than one after another
NOTICE = "NOTICE.txt"  # a text in an archive's root that its datasets and products carry on
NAMED = 8  # files of one step that the ledger lists one by one; of more, their digest must do
ANY = "*"  # in a file's name: any text, such as the day on which it was made
MEND = "Correct `archives` in the run file."

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class FileId:
    """What tells one state of a file, or of the several files of one step, from another.

    Parameters
    ----------
    path : str
        Where it was found.
    size : int
        Bytes; -1 where the archive does not say.
    stamp : str
        Modification time or ETag; empty where the archive tells neither.
    sha256 : str
        Hex digest of the bytes; empty where they were not read yet.
    parts : tuple of FileId
        The files, where there are several: see `together`.
    """

    path: str
    size: int
    stamp: str
    sha256: str = ""
    parts: tuple[FileId, ...] = ()

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
        found = asdict(self)
        if not 0 < len(self.parts) <= NAMED:
            del found["parts"]
        return found


def together(files: Sequence[FileId]) -> FileId:
    """Several files as one: it changes where any of them does."""
    stamps = "\n".join(f"{file.path}|{file.size}|{file.stamp}" for file in files)
    read = "".join(file.sha256 for file in files) if all(file.sha256 for file in files) else ""
    return FileId(
        f"{files[0].path} and {len(files) - 1} more",
        sum(max(file.size, 0) for file in files),
        hashlib.sha256(stamps.encode()).hexdigest(),
        hashlib.sha256(read.encode()).hexdigest() if read else "",
        tuple(files),
    )


def is_local(root: str) -> bool:
    """Whether an archive's root is a folder of this machine."""
    return "://" not in root or root.startswith("file://")


def local(root: str) -> Path:
    """A file or folder of this machine."""
    return Path(root.removeprefix("file://")).expanduser()


def look(root: str, steps: Sequence[Paths], watch: Watch = unwatched) -> list[FileId | None]:
    """Files below an archive's root as they are now, unread; None for each that is not there.

    A step with several files has them only if all are there. Where a name holds a `*`, the last
    name that fits is meant. In a local folder that keeps files flat, the bare names are looked for
    as well. In an object store each folder is listed once, and anew each time.

    An archive that fails has not said that a file is not there: it is asked again for some seconds,
    then it is an error. One that tells neither times nor ETags is known by sizes alone: a file that
    changed and kept its size goes unnoticed there. A local file that is there and cannot be looked
    at is given all the same: whoever reads it says why it cannot be read.

    `watch` shows each path that was looked for; in an object store, each folder that was listed.

    Raises
    ------
    StoreError
        Where the archive itself cannot be reached, or cannot be listed as a `*` demands.
        `StoreUnreachable`, `StoreDenied` and `NoBucket` where it is known that it is one of these.
    """
    paths = dict.fromkeys(path for step in steps for path in _each(step))
    seek = _look_below if is_local(root) else _look_remote
    found = seek(root.rstrip("/"), list(paths), watch)
    files = dict(zip(paths, found, strict=True))
    return [_of_step([files[path] for path in _each(step)]) for step in steps]


def _each(step: Paths) -> tuple[str, ...]:
    return (step,) if isinstance(step, str) else step


def _of_step(files: list[FileId | None]) -> FileId | None:
    there = [file for file in files if file is not None]
    if len(there) < len(files):
        return None
    return there[0] if len(there) == 1 else together(there)


def which(found: Mapping[str, Any], names: Sequence[Paths]) -> int:
    """Which of a step's names a file of the ledger has: the place of the longest that fits.

    The archive may have another root now, so the end of the file's path decides; where none fits,
    its bare name, for the files may be kept flat. 0, the first and best, where that does not tell.

    Parameters
    ----------
    found : mapping
        As `FileId.as_json` gives it.
    names : sequence of str or tuple of str
        Below the archive's root, best first.
    """
    for flat in (False, True):
        fits = [at for at, step in enumerate(names) if _is_named(found, _each(step), flat)]
        if fits:
            return max(fits, key=lambda at: len("".join(_each(names[at]))))
    return 0


def _is_named(found: Mapping[str, Any], step: tuple[str, ...], flat: bool) -> bool:
    """Whether the paths of a step name the file, or the files that it was put together from."""
    first = found["path"].removesuffix(f" and {len(step) - 1} more")
    there = [part["path"] for part in found.get("parts", ())] or [first]
    return all(_ends_with(path, name, flat) for path, name in zip(there, step, strict=False))


def _ends_with(path: str, name: str, flat: bool) -> bool:
    """Whether a path ends with another, in whose name a `*` may stand for any text."""
    (place, _, given), (folder, _, meant) = path.rpartition("/"), name.rpartition("/")
    if not re.fullmatch(re.escape(meant).replace(re.escape(ANY), ".*"), given):
        return False
    return flat or not folder or f"/{place}".endswith(f"/{folder}")


def _look_below(root: str, paths: list[str], watch: Watch) -> list[FileId | None]:
    base = local(root)
    with _legible(root):
        if not base.is_dir():
            raise StoreError("there is no such folder of input files.", where=root, mend=MEND)
        names = _Names(lambda folder: [e.name for e in _entries(base / folder)])
        found = (
            _look_local(f"{base}/{names.of(path)}")
            or _look_local(f"{base}/{names.of(path.rpartition('/')[2])}")
            for path in paths
        )
        with watch(len(paths)) as tick:
            return list(_ticked(found, tick))


@contextmanager
def _legible(path: str) -> Iterator[None]:
    """Say in words why a folder or a text of an archive cannot be read."""
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        kind = StoreDenied if isinstance(error, PermissionError) else StoreError
        what = f"it cannot be read: {error.strerror or error}."
        mend = "Whoever runs this process must be able to read the archive."
        raise kind(what, where=str(error.filename or path), mend=mend) from error


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return list(found)
    except (FileNotFoundError, NotADirectoryError):
        return []


class _Names:
    """File names with a `*` filled in; each folder is listed once."""

    def __init__(self, listing: Callable[[str], Iterable[str]]) -> None:
        self._sorted = cache(lambda folder: sorted(listing(folder)))

    def of(self, path: str) -> str:
        """The path with the last name that fits; as it is where none does, or it has no `*`."""
        folder, _, name = path.rpartition("/")
        before, star, after = name.partition(ANY)
        if not star:
            return path
        names = self._sorted(folder)
        start = bisect_left(names, before)
        begun = takewhile(lambda found: found.startswith(before), islice(names, start, None))
        shortest = len(before) + len(after)
        fits = [found for found in begun if found.endswith(after) and len(found) >= shortest]
        return f"{folder}/{fits[-1]}".lstrip("/") if fits else path


def _look_local(path: str) -> FileId | None:
    try:
        stat = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:  # it is there: whoever reads it says in words why it cannot be read
        return FileId(path, -1, f"unreadable, error {error.errno}")
    return FileId(path, stat.st_size, str(stat.st_mtime_ns))


def _look_remote(root: str, paths: list[str], watch: Watch) -> list[FileId | None]:
    with answering(root):
        system, base = _opened(root, total=LOOK)
        if "http" in str(system.protocol):  # has no listing that can be trusted
            _refuse_stars(root, paths)
            with ThreadPoolExecutor(LOOKS_AT_ONCE) as pool, watch(len(paths)) as tick:
                answers = pool.map(lambda path: _info(system, f"{base}/{path}"), paths)
                found = list(_ticked(answers, tick))
        else:
            system.invalidate_cache()  # a listing is kept for as long as the process lives
            folders = {path.rpartition("/")[0] for path in paths} or {""}
            listings = ((folder, _listed(system, base, folder)) for folder in folders)
            with watch(len(folders)) as tick:
                listed = dict(_ticked(listings, tick))
            names = _Names(lambda folder: [path.rpartition("/")[2] for path in listed[folder]])
            paths = [names.of(path) for path in paths]
            found = [listed[path.rpartition("/")[0]].get(f"{base}/{path}") for path in paths]
    return [
        None
        if info is None
        else FileId(f"{root}/{path}", int(info.get("size") or -1), _stamp(info))
        for path, info in zip(paths, found, strict=True)
    ]


def _refuse_stars(root: str, paths: list[str]) -> None:
    path = next((path for path in paths if ANY in path), None)
    if path is not None:
        raise StoreError(
            f"a web server cannot be asked for {path}: its names hold what only a listing tells.",
            where=root,
            mend="Copy the files to a folder or a bucket, and name that in `archives`.",
        )


def _opened(address: str, **seconds: float) -> tuple[Any, str]:
    """The file system of an address, and the path in it.

    A web server is given up after so many seconds (as aiohttp names them), unless the settings of
    fsspec say otherwise: they may hold credentials as well.
    """
    import fsspec

    options: dict[str, Any] = {}
    if address.startswith(("http://", "https://")):
        from aiohttp import ClientTimeout

        given = {**fsspec.config.conf.get("http", {}), **fsspec.config.conf.get("https", {})}
        limit = {"timeout": ClientTimeout(**seconds)}
        options["client_kwargs"] = limit | given.get("client_kwargs", {})
    found: tuple[Any, str] = fsspec.core.url_to_fs(address, **options)
    return found


@contextmanager
def answering(where: str) -> Iterator[None]:
    """Turn whatever an archive raises into a typed error in words.

    Raises
    ------
    NoSpace, StoreError
        Of the kinds of the latter: `StoreDenied` and `StoreUnreachable`.
    """
    try:
        yield
    except (FluxforgeError, MemoryError):
        raise
    except Exception as error:  # every protocol has errors of its own
        raise _in_words(error, where) from error


def _in_words(error: Exception, where: str) -> FluxforgeError:
    status = getattr(error, "status", None)
    said = f"{status} {getattr(error, 'message', '')}".strip() if status else first_line(error)
    if is_full(error):
        mend = "Free some space, or some of the quota, where TMPDIR points; then run again."
        return NoSpace("no space for a copy of an input file.", where=where, mend=mend)
    if isinstance(error, PermissionError) or status in REFUSED:
        mend = "Look at the credentials in the environment and at the rights of their owner."
        return StoreDenied(f"the archive does not let us read: {said}.", where=where, mend=mend)
    if isinstance(error, ValueError | ImportError):  # the address itself is no good
        return StoreError(f"the archive cannot be reached: {said}.", where=where, mend=MEND)
    if isinstance(error, TimeoutError):
        said = "nothing came for too long"
    what = f"the archive does not answer, or not as it should: {said}."
    return StoreUnreachable(what, where=where, mend=f"When it answers again, {GOES_ON}")


def _patiently(ask: Callable[[], Answer]) -> Answer:
    """What an archive answers; while it fails it is asked again for some seconds.

    Raises
    ------
    FileNotFoundError
        Where it answers that the file is not there.
    """
    from fluxengine.repository import WAITS  # slow to import, and not needed to list products

    for wait in WAITS:
        try:
            return _answer(ask)
        except FileNotFoundError:
            raise
        except Exception as error:
            if isinstance(error, MemoryError) or is_full(error):
                raise  # ours, not the archive's
            time.sleep(wait)
    return _answer(ask)


def _answer(ask: Callable[[], Answer]) -> Answer:
    try:
        return ask()
    except Exception as error:
        if getattr(error, "status", None) in GONE:
            raise FileNotFoundError(str(error)) from error
        raise


def _info(system: Any, path: str) -> Mapping[str, Any] | None:
    """What a web server says of a file; None where it says that there is none."""

    def ask() -> Mapping[str, Any]:
        try:
            found: Mapping[str, Any] = system.info(path)
        except FileNotFoundError as error:  # fsspec says so of whatever fails
            raise error.__cause__ or error from None
        return found

    with answering(path):
        try:
            return _patiently(ask)
        except FileNotFoundError:
            return None


def _listed(system: Any, base: str, folder: str) -> dict[str, Mapping[str, Any]]:
    try:
        infos = system.ls(f"{base}/{folder}".rstrip("/"), detail=True)
    except FileNotFoundError as error:
        said = f"{error} {error.__cause__}"
        if re.search(r"NoSuchBucket|(bucket|container) does not exist", said):
            what = "there is no such bucket of input files."
            raise NoBucket(what, where=system.unstrip_protocol(base), mend=MEND) from error
        return {}
    return {info["name"]: info for info in infos}


def _stamp(info: Mapping[str, Any]) -> str:
    """What tells this state of a file from others beside its size; empty where nothing does."""
    return next((str(info[name]) for name in STAMPS if info.get(name)), "")


def settled(now: FileId, known_stamp: bytes, known_digest: bytes) -> FileId:
    """The file's identity with its digest: the known one if nothing speaks for a change.

    A local file whose size or time differs is read; a remote one keeps an empty digest until it is
    fetched, and so counts as changed.
    """
    if now.stamp_digest == known_stamp and any(known_digest):
        return replace(now, sha256=known_digest.hex())
    if not is_local(now.path):
        return now
    try:
        return _digested(now)
    except OSError:  # unreadable: the worker finds it so as well, and marks the step
        return now


def _digested(file: FileId) -> FileId:
    """A local file with the digest of its bytes."""
    if file.parts:
        return together([_digested(part) for part in file.parts])
    return replace(file, sha256=_digest_of(file.path, file.size, file.stamp))


def local_parts(files: Iterable[FileId]) -> list[FileId]:
    """The files of this machine among some, each once: a year's file is one of all its days."""
    parts = dict.fromkeys(part for file in files for part in file.parts or (file,))
    return [part for part in parts if is_local(part.path)]


def read_ahead(files: Iterable[FileId], tick: Tick = unseen) -> None:
    """Digest local files several at a time, for `settled` to find them known one by one."""
    with ThreadPoolExecutor(READS_AT_ONCE) as pool:
        list(_ticked(pool.map(_read_ahead, files), tick))


def _ticked(answers: Iterable[Answer], tick: Tick) -> Iterator[Answer]:
    for answer in answers:
        yield answer
        tick()


def _read_ahead(file: FileId) -> None:
    with suppress(OSError):  # met again where it is asked for
        _digested(file)


@lru_cache(maxsize=100_000)  # files of a plan
def _digest_of(path: str, size: int, stamp: str) -> str:
    """Digest of a local file as it is known: a year's file is asked for by each of its days."""
    return file_digest(local(path))


def as_read(file: FileId, copies: Sequence[Path]) -> FileId:
    """The file's identity just before it is read, which may be long after it was planned.

    Parameters
    ----------
    file : FileId
        As planned.
    copies : sequence of Path
        Where its bytes are to be read, one path for each of its parts: itself, or a copy fetched
        just now.
    """
    if file.sha256 and is_local(file.path) and is_unchanged(file):
        return file
    if file.parts:
        pairs = zip(file.parts, copies, strict=True)
        return together([as_read(part, [copy]) for part, copy in pairs])
    now = _look_local(file.path) if is_local(file.path) else None
    return replace(now or file, sha256=file_digest(copies[0]))


def is_unchanged(file: FileId) -> bool:
    """Whether a local file has the size and time it was known by; a copy has by nature."""
    if file.parts:
        return all(is_unchanged(part) for part in file.parts)
    return not is_local(file.path) or _look_local(file.path) == replace(file, sha256="")


@contextmanager
def local_copies(file: FileId) -> Iterator[tuple[Path, ...]]:
    """Paths to read a file from: one, or one for each of its parts.

    Remote files are fetched for the time of the reading, into folders as they lie in.

    Raises
    ------
    MissingFile
        Where it vanished.
    NoSpace
        Where the copy does not fit on the disk.
    StoreError
        Where the archive does not give it, though it was asked again for some seconds.
    """
    with ExitStack() as stack:
        if is_local(file.path):
            place = local
        else:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fluxforge-")))
            place = partial(_fetched, folder)
        yield tuple(place(part.path) for part in file.parts or (file,))


def _fetched(folder: Path, url: str) -> Path:
    target = folder.joinpath(*PurePosixPath(url.partition("://")[2]).parts)
    target.parent.mkdir(parents=True, exist_ok=True)
    _fetch(url, target)
    return target


def _fetch(url: str, target: Path) -> None:
    with answering(url):
        system, path = _opened(url, total=DOWNLOAD, sock_connect=LOOK, sock_read=STALL)
        try:
            _patiently(partial(system.get_file, path, str(target)))
        except FileNotFoundError as error:
            raise MissingFile("the file vanished from its archive.", where=url) from error


def joined(*notices: str | None) -> str:
    """One notice a line, each once, however many ways it came."""
    lines = (line for text in notices if text for line in text.splitlines())
    return "\n".join(dict.fromkeys(lines))


def notice(root: str) -> str | None:
    """What the keeper of a local archive wants every user of its data to read.

    Raises
    ------
    DamagedFile, StoreError
        Where it is no text in UTF-8, or cannot be read: data must not lose what goes with them.
    """
    if not is_local(root):
        return None
    path = local(root) / NOTICE
    try:
        with _legible(str(path)):
            return " ".join(path.read_text("utf-8").split()) if path.is_file() else None
    except UnicodeDecodeError as error:
        what = "it is no text in UTF-8."
        raise DamagedFile(what, where=str(path), mend="Save it as UTF-8.") from error
