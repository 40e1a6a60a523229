"""History: what each published version changed; an earlier one published again; old ones pruned."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from fluxengine.declare import Array
from fluxengine.digest import BYTES
from fluxengine.errors import ConfigError
from fluxengine.grid import Grid
from fluxengine.key import listed
from fluxengine.ledger import Ledger
from fluxengine.repository import Repository
from fluxengine.store import Store
from fluxengine.table_book import read as read_book
from fluxengine.table_store import is_table_in

SPARED = timedelta(hours=1)  # objects younger than this are never pruned


@dataclass(frozen=True)
class Version:
    """A published version and what it changed since the one before.

    Parameters
    ----------
    name, snapshot : str
    when : datetime
        Of its last commit.
    added, changed, removed, same : int or None
        Steps, over all tiles, whose content is new, different, gone, or as before; of a table,
        months. None where the version before was pruned.
    which : str
        Steps that were added, changed or removed, in words.
    like : str
        The first version before it that has the same content, as one has that is published again;
        empty where there is none.
    made_by : dict
        Versions of fluxforge and of what it rests on, and the run.
    """

    name: str
    snapshot: str
    when: datetime
    added: int | None
    changed: int | None
    removed: int | None
    same: int | None
    which: str
    like: str
    made_by: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return self.__dict__ | {"when": self.when.isoformat(timespec="seconds")}


def versions(store: Store, name: str) -> list[Version]:
    """Published versions of a dataset, the oldest first."""
    repository = store.repository(name)
    found = _of_table(repository) if is_table_in(repository) else _of_grid(repository)
    if found and found[0].name != "v1":
        unknown = replace(found[0], added=None, changed=None, removed=None, same=None)
        found[0] = replace(unknown, which="the version before was pruned")
    return found


def _of_grid(repository: Repository) -> list[Version]:
    """Versions of a dataset on a grid: what they changed is counted in steps."""
    found: list[Version] = []
    before: Ledger | None = None
    known: dict[str, str] = {}
    for version in repository.versions:
        snapshot = repository.version(version)
        book = repository.ledger(snapshot)
        like = known.setdefault(_content(book), version)
        made = _version(repository, version, snapshot, book, before)
        found.append(made if like == version else replace(made, like=like))
        before = book
    return found


def _content(book: Ledger) -> str:
    """A digest of all content; empty steps at the end, as an extension adds them, are none."""
    held = np.flatnonzero(book.digests.any(axis=(1, 2)))
    return hashlib.sha256(book.digests[: held[-1] + 1 if len(held) else 0].tobytes()).hexdigest()


def _version(
    repository: Repository, name: str, snapshot: str, book: Ledger, before: Ledger | None
) -> Version:
    commit = next(iter(repository.commits(snapshot)))
    books = [book] if before is None else [book, before]
    grid = max((one.grid for one in books), key=lambda grid: grid.step_axis.length)
    now, then = (_padded(one, grid) for one in (book, before))
    filled, was_filled = now.any(axis=2), then.any(axis=2)
    differs = (now != then).any(axis=2)
    added, changed = differs & ~was_filled, differs & was_filled & filled
    steps = np.flatnonzero(differs.any(axis=1))
    return Version(
        name,
        snapshot,
        commit.when,
        int(added.sum()),
        int(changed.sum()),
        int((differs & ~filled).sum()),
        int((filled & ~differs).sum()),
        listed((grid.step_name(int(s)) for s in steps), at_most=3),
        "",
        dict(commit.metadata),
    )


def _padded(book: Ledger | None, grid: Grid) -> Array:
    """Content digests over the steps of a grid at least as long; zeros where it has none."""
    made = np.zeros((grid.step_axis.length, grid.tiles, BYTES), "u1")
    if book is not None:
        made[: len(book.digests)] = book.digests
    return made


def _of_table(repository: Repository) -> list[Version]:
    """Versions of a table: what they changed is counted in months."""
    found: list[Version] = []
    before: dict[str, str] = {}
    known: dict[frozenset[tuple[str, str]], str] = {}
    for name in repository.versions:
        snapshot = repository.version(name)
        book = read_book(repository.read(snapshot), str(repository.path))
        commit = next(iter(repository.commits(snapshot)))
        now = {month: entry.digest for month, entry in book.months.items()}
        added, removed = now.keys() - before.keys(), before.keys() - now.keys()
        changed = {m for m in now.keys() & before.keys() if now[m] != before[m]}
        same = len(now) - len(added | changed)
        counts = len(added), len(changed), len(removed), same
        which = listed(added | changed | removed, at_most=3)
        first = known.setdefault(frozenset(now.items()), name)
        like = "" if first == name else first
        made_by = dict(commit.metadata)
        found.append(Version(name, snapshot, commit.when, *counts, which, like, made_by))
        before = now
    return found


def restore(store: Store, name: str, version: str) -> str:
    """Publish an earlier version again, as a new one; the next run goes on from it.

    Raises
    ------
    UnknownName
        Where there is no such version.
    RunLocked
    """
    with store.locked() as mine:
        repository = mine.repository(name)
        return repository.restore(repository.version(version))


def prune(store: Store, name: str, keep: int) -> int:
    """Forget all but the newest versions and delete what nothing needs. Returns the bytes.

    What was written within the last hour stays: a run that was cut off may just have written it.

    Raises
    ------
    ConfigError
        Where none would be kept.
    RunLocked
        A run may be writing what looks as if nobody needed it.
    """
    if keep < 1:
        raise ConfigError("at least one version must be kept.", where="--keep")
    with store.locked() as mine:
        return mine.repository(name).prune(keep, datetime.now(UTC) - SPARED)
