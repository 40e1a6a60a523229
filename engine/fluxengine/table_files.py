"""Files of a feed: which lie below its archive's root, found by patterns instead of by name."""

from __future__ import annotations

import glob
import stat
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from fluxengine.errors import ConfigError, StoreError
from fluxengine.files import NOTICE, FileId, answering, is_local, local, look
from fluxengine.tables import Feed


def find(feed: Feed, root: str) -> dict[str, FileId]:
    """A feed's files as they are now, unread, by their path below the archive's root.

    The last part of a pattern with folders is looked for in the root itself as well: the files of
    an archive may be kept flat. One that lies in a folder too counts there alone.

    Raises
    ------
    ConfigError
        Where the archive is a web server: those have no listing.
    StoreError
        Where the archive cannot be reached.
    """
    look(root, ())  # complains where there is no such folder or bucket
    paths = sorted(_matching(feed, root))
    found = zip(paths, look(root, paths), strict=True)
    return {path: file for path, file in found if file is not None}


def _matching(feed: Feed, root: str) -> set[str]:
    match = partial(_glob_local if is_local(root) else _glob_remote, feed, root)
    found = {path for pattern in feed.patterns for path in match(pattern)}
    filed = {_bare(path) for path in found if "/" in path}  # moved there, or copied
    flat = {_bare(pattern) for pattern in feed.patterns} - {*feed.patterns}
    found |= {path for pattern in flat for path in match(pattern) if path not in filed}
    return {path for path in found if _bare(path) != NOTICE}


def _bare(path: str) -> str:
    return path.rpartition("/")[2]


def _glob_local(feed: Feed, root: str, pattern: str) -> Iterator[str]:
    base = local(root)
    for path in glob.iglob(_literal(pattern), root_dir=base):
        if _is_file(base / path):
            yield _text(path, root)


def _is_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:  # it is there: whoever reads it says why it cannot be read
        return True


def _glob_remote(feed: Feed, root: str, pattern: str) -> Iterable[str]:
    import fsspec

    system, base = fsspec.core.url_to_fs(root.rstrip("/"))
    if "http" in str(system.protocol):
        raise ConfigError(
            f"the files of '{feed.name}' are found by listing their archive, and a web server has"
            " no listing.",
            where=root,
            mend=f"Copy them into a folder or a bucket and give it as `archives: {{{feed.archive}:"
            " …}` in the run file; `--feed` leaves other feeds out.",
        )
    with answering(root):
        system.invalidate_cache()
        found = system.glob(f"{base}/{_literal(pattern)}", detail=True)
    files = (path for path, info in found.items() if info.get("type") != "directory")
    return [path.removeprefix(f"{base}/") for path in files]


def _literal(pattern: str) -> str:
    """The pattern for `glob`, in which nothing but the asterisk has a meaning."""
    return pattern.replace("[", "[[]").replace("?", "[?]")


def _text(path: str, root: str) -> str:
    try:
        path.encode()
    except UnicodeEncodeError:
        raise StoreError(
            f"the name of the file {path!r} is no text in UTF-8.", where=root, mend="Rename it."
        ) from None
    return path
