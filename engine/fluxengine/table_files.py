"""Files of a feed: which lie below its archive's root, found by patterns instead of by name."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator
from pathlib import Path

from fluxengine.errors import ConfigError, StoreError
from fluxengine.files import NOTICE, FileId, is_local, look
from fluxengine.tables import Feed


def find(feed: Feed, root: str) -> dict[str, FileId]:
    """A feed's files as they are now, unread, by their path below the archive's root.

    Where a pattern with folders matches nothing, its last part is looked for in the root itself:
    the files of an archive may be kept flat.

    Raises
    ------
    ConfigError
        Where the archive is a web server: those have no listing.
    StoreError
        Where the archive cannot be reached.
    """
    look(root, ())  # complains where there is no such folder
    paths = sorted({path for pattern in feed.patterns for path in _matching(feed, root, pattern)})
    found = zip(paths, look(root, paths), strict=True)
    return {path: file for path, file in found if file is not None}


def _matching(feed: Feed, root: str, pattern: str) -> list[str]:
    match = _glob_local if is_local(root) else _glob_remote
    flat = pattern.rpartition("/")[2]
    found = list(match(feed, root, pattern)) or list(match(feed, root, flat))
    return [path for path in found if path.rpartition("/")[2] != NOTICE]


def _glob_local(feed: Feed, root: str, pattern: str) -> Iterator[str]:
    base = Path(root.removeprefix("file://")).expanduser()
    for path in glob.iglob(_literal(pattern), root_dir=base):
        if (base / path).is_file():
            yield _text(path, root)


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
    try:
        system.invalidate_cache()
        found = system.glob(f"{base}/{_literal(pattern)}", detail=True)
    except Exception as error:  # every protocol has errors of its own
        raise StoreError(f"the archive does not answer: {error}", where=root) from error
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
