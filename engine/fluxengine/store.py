"""Stores: a folder with one Icechunk repository for each dataset.

Runs commit to the branch ``work``; ``main`` is the published version and moves by one
compare-and-swap, each version also becoming an immutable tag ``v<n>``. This module alone imports
icechunk, and turns what the storage says into typed errors.
"""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import icechunk
import zarr
from filelock import FileLock, Timeout

from fluxengine import layout, ledger
from fluxengine.errors import (
    ConfigError,
    FluxforgeError,
    NoSpace,
    NotOurStore,
    PublicationConflict,
    RunLocked,
    StoreError,
    UnknownName,
    first_line,
    stored_values,
)
from fluxengine.grid import Block
from fluxengine.layout import Layout
from fluxengine.ledger import Ledger
from fluxengine.traffic import CountedStore

if TYPE_CHECKING:
    import xarray as xr

MARKER = "fluxforge-store.json"
LOCK = ".run-lock"
WORK, MAIN = "work", "main"
REPOSITORY_PARTS = {"refs", "snapshots", "manifests", "transactions", "repo", "config.yaml"}

Fork = icechunk.ForkSession

# It warns at every opening that concurrent commits to a local folder are unsafe (here only one
# process commits, under the run lock), and logs to standard output, where --json belongs. What goes
# wrong is raised all the same.
icechunk.set_logs_filter("off")


@contextmanager
def storage_errors(where: Path) -> Iterator[None]:
    """Turn what the storage raises into `NoSpace` or `StoreError`, naming the place."""
    try:
        yield
    except FluxforgeError:
        raise
    except (icechunk.IcechunkError, OSError) as error:
        raise _typed(error, where) from error


def _typed(error: Exception, where: Path) -> FluxforgeError:
    text = str(error)
    if getattr(error, "errno", None) == errno.ENOSPC or "No space left" in text:
        return NoSpace(
            "the disk is full. What was published is untouched.",
            where=str(where),
            mend="Free some space and run the same command again: it goes on where it stopped.",
        )
    what = f"the storage failed: {first_line(error)}"
    return StoreError(what, where=str(where), mend="Run it again.")


@dataclass(frozen=True)
class Store:
    """A folder of datasets.

    Parameters
    ----------
    root : Path
    """

    root: Path

    @classmethod
    def at(cls, location: str | Path, *, create: bool = False) -> Store:
        """The store at a place, made there if `create` and nothing is there yet.

        Raises
        ------
        NotOurStore
            Where the place holds something else.
        """
        if "://" in str(location):
            raise ConfigError(
                "stores on object storage are not supported yet.",
                where=str(location),
                mend="Give a folder that every worker sees.",
            )
        root = Path(location).expanduser().resolve()
        with storage_errors(root):
            if not _is_ours(root):
                _refuse_foreign(root, create)
                root.mkdir(parents=True, exist_ok=True)
                (root / MARKER).write_text(json.dumps({"fluxforge-store": layout.FORMAT}) + "\n")
        return cls(root)

    @property
    def names(self) -> tuple[str, ...]:
        """Datasets that exist."""
        found = (path for path in self.root.iterdir() if (path / "refs").is_dir())
        return tuple(sorted(path.name for path in found if path.name[0] != "."))

    def has(self, name: str) -> bool:
        """Whether a dataset of that name exists."""
        return (self.root / name / "refs").is_dir()

    def repository(self, name: str) -> Repository:
        """An existing dataset."""
        if not self.has(name):
            raise UnknownName(
                f"the store has no dataset '{name}'",
                where=str(self.root),
                mend=f"It has: {', '.join(self.names) or 'none yet'}.",
            )
        return Repository.open(self.root / name)

    def create(self, wanted: Layout, book: Ledger) -> Repository:
        """A new dataset with its template committed to `work`; there as a whole or not at all."""
        path, unfinished = self.root / wanted.name, self.root / f".{wanted.name}.unfinished"
        with storage_errors(path):
            shutil.rmtree(unfinished, ignore_errors=True)
            Repository.create(unfinished, wanted, book)
            unfinished.rename(path)
        return Repository.open(path)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the store for one run; a run that dies lets go of it.

        Raises
        ------
        RunLocked
            Where another run holds it.
        """
        lock = FileLock(self.root / LOCK)
        with storage_errors(self.root):
            try:
                lock.acquire(timeout=0)
            except Timeout:
                raise RunLocked(
                    "another run is writing to this store.",
                    where=str(self.root),
                    mend="Wait until it ends, or give this run another store.",
                ) from None
        try:
            yield
        finally:
            lock.release()


def _is_ours(root: Path) -> bool:
    marker = root / MARKER
    if not marker.is_file():
        return False
    try:
        content = json.loads(marker.read_text())
    except ValueError:
        content = None
    if not isinstance(content, dict) or content.get("fluxforge-store") != layout.FORMAT:
        raise NotOurStore(
            f"its {MARKER} is not one this version can read.",
            where=str(root),
            mend="Give another folder, or the version of fluxforge that made it.",
        )
    return True


def _refuse_foreign(root: Path, create: bool) -> None:
    if root.exists() and not root.is_dir():
        raise NotOurStore("this is a file, not a store.", where=str(root), mend="Give a folder.")
    if root.is_dir() and any(root.iterdir()):
        raise NotOurStore(
            f"this folder holds something else than a fluxforge store (it has no {MARKER}).",
            where=str(root),
            mend="Give an empty or a new folder: nothing here was touched.",
        )
    if not create:
        raise NotOurStore(
            "there is no store here yet.", where=str(root), mend="`fluxforge run` makes one."
        )


@dataclass(frozen=True)
class Repository:
    """One dataset with its history."""

    path: Path
    inner: icechunk.Repository

    @classmethod
    def create(cls, path: Path, wanted: Layout, book: Ledger) -> Repository:
        """Make the dataset; its template becomes the first commit of `work`."""
        with storage_errors(path):
            path.mkdir(parents=True, exist_ok=True)
            inner = icechunk.Repository.create(icechunk.local_filesystem_storage(str(path)))
            # The template goes to `work` alone: `main` stays empty until something is published.
            inner.create_branch(WORK, inner.lookup_branch(MAIN))
            session = inner.writable_session(WORK)
            root = zarr.open_group(session.store, mode="a")
            layout.create(root, wanted)
            ledger.create(root, book)
            session.commit(f"template of {wanted.name}")
        return cls(path, inner)

    @classmethod
    def open(cls, path: Path) -> Repository:
        """An existing dataset."""
        try:
            with storage_errors(path):
                return cls(
                    path, icechunk.Repository.open(icechunk.local_filesystem_storage(str(path)))
                )
        except StoreError as error:
            raise NotOurStore(f"no readable dataset: {error.what}", where=str(path)) from error

    def tip(self, branch: str = WORK) -> str:
        """Snapshot a branch points at."""
        with storage_errors(self.path):
            return self.inner.lookup_branch(branch)

    def read(self, snapshot: str) -> zarr.Group:
        """The dataset as of a snapshot."""
        with stored_values(str(self.path)), storage_errors(self.path):
            store = self.inner.readonly_session(snapshot_id=snapshot).store
            return zarr.open_group(CountedStore(store), mode="r")

    def ledger(self, snapshot: str) -> Ledger:
        """What each step is, as of a snapshot."""
        with stored_values(str(self.path)):
            root = self.read(snapshot)
            return Ledger.read(root, layout.stored_grid(root), str(self.path))

    def steps(self, snapshot: str) -> int:
        """Length of the step axis as of a snapshot."""
        return layout.stored_grid(self.read(snapshot)).step_axis.length

    def fork(self) -> Fork:
        """A pickled-around session that many tasks write blocks into."""
        with storage_errors(self.path):
            return self.inner.writable_session(WORK).fork()

    def extend(self, wanted: Layout, book: Ledger) -> None:
        """Commit a longer step axis to `work`."""
        with storage_errors(self.path):
            session = self.inner.writable_session(WORK)
            root = zarr.open_group(session.store, mode="r+")
            layout.extend(root, wanted)
            ledger.resize(root, book)
            session.commit(f"extended to {wanted.grid.step_name(wanted.grid.shape[0] - 1)}")

    def commit(
        self,
        forks: Iterable[Fork],
        wanted: Layout,
        book: Ledger,
        blocks: list[Block],
        metadata: Mapping[str, Any],
    ) -> str:
        """Commit blocks together with their ledger rows. Returns the snapshot."""
        with storage_errors(self.path):
            session = self.inner.writable_session(WORK)
            session.merge(*forks)
            root = zarr.open_group(session.store, mode="r+")
            layout.describe(root, wanted)
            ledger.write(root, book, blocks)
            names = ", ".join(block.name for block in blocks[:4])
            more = f" and {len(blocks) - 4} more" if len(blocks) > 4 else ""
            return session.commit(f"blocks {names}{more}", metadata=dict(metadata))

    def publish(self, expected: str) -> str | None:
        """Move `main` to the tip of `work`; None where it is there already.

        Parameters
        ----------
        expected : str
            Snapshot `main` pointed at when the run began.

        Raises
        ------
        PublicationConflict
            Where `main` moved in the meantime.
        """
        with storage_errors(self.path):
            tip = self.inner.lookup_branch(WORK)
            known = self.versions
            if known and self.inner.lookup_tag(known[-1]) == tip:
                return None
            if tip != self.inner.lookup_branch(MAIN):
                self._move_main(tip, expected)
            return self._tag(tip)

    def _tag(self, snapshot: str) -> str:
        """Make a snapshot the newest version. A number is never given twice."""
        known = self.versions
        version = f"v{int(known[-1][1:]) + 1 if known else 1}"
        self.inner.create_tag(version, snapshot)
        return version

    def check_unmoved(self, expected: str) -> None:
        """Raise `PublicationConflict` where `main` is not what it was when the run began."""
        if self.tip(MAIN) != expected:
            raise self._conflict()

    def _move_main(self, tip: str, expected: str) -> None:
        try:
            self.inner.reset_branch(MAIN, tip, from_snapshot_id=expected)
        except icechunk.IcechunkError as error:
            if isinstance(_typed(error, self.path), NoSpace):
                raise
            raise self._conflict() from error

    def _conflict(self) -> PublicationConflict:
        return PublicationConflict(
            "the published version changed while this run was working.",
            where=str(self.path),
            mend="Look at what published it, then run again.",
        )

    @property
    def versions(self) -> tuple[str, ...]:
        """Published versions, oldest first."""
        with storage_errors(self.path):
            tags = [tag for tag in self.inner.list_tags() if tag[:1] == "v" and tag[1:].isdigit()]
        return tuple(sorted(tags, key=lambda tag: int(tag[1:])))

    @property
    def is_published(self) -> bool:
        """Whether `main` holds a version."""
        return bool(self.versions)

    def version(self, name: str) -> str:
        """Snapshot of a published version.

        Raises
        ------
        UnknownName
        """
        if name not in self.versions:
            raise UnknownName(
                f"there is no version '{name}'",
                where=str(self.path),
                mend=f"It has: {', '.join(self.versions) or 'none yet'}.",
            )
        with storage_errors(self.path):
            return self.inner.lookup_tag(name)

    def commits(self, snapshot: str) -> Iterator[Commit]:
        """Commits that led to a snapshot, the newest first."""
        with storage_errors(self.path):
            for info in self.inner.ancestry(snapshot_id=snapshot):
                yield Commit(info.id, info.written_at, info.message, info.metadata)

    def restore(self, snapshot: str) -> str:
        """Publish an earlier snapshot again and go on from it. Returns the new version."""
        with storage_errors(self.path):
            tip, main = self.inner.lookup_branch(WORK), self.inner.lookup_branch(MAIN)
            self.inner.reset_branch(WORK, snapshot, from_snapshot_id=tip)
            if snapshot != main:
                self._move_main(snapshot, main)
            return self._tag(snapshot)

    def prune(self, keep: int, older_than: datetime) -> int:
        """Forget all but the newest versions, then delete what nothing needs. Returns the bytes.

        Parameters
        ----------
        keep : int
            Versions to keep.
        older_than : datetime
            Objects written later stay: a run may just be writing them.
        """
        with storage_errors(self.path):
            known = self.versions
            for version in known[:-keep]:
                self.inner.delete_tag(version)
            if known[:-keep]:
                oldest = self.inner.lookup_tag(known[-keep])
                self.inner.expire_snapshots(self.inner.lookup_snapshot(oldest).written_at)
            return self.inner.garbage_collect(older_than).bytes_deleted

    def orphans(self) -> int:
        """Bytes of objects that no version needs: of runs that were cut off, of pruned versions."""
        with storage_errors(self.path):
            return self.inner.garbage_collect(datetime.now(UTC), dry_run=True).bytes_deleted


@dataclass(frozen=True)
class Commit:
    """One commit of a dataset."""

    snapshot: str
    when: datetime
    message: str
    metadata: Mapping[str, Any]


@lru_cache(maxsize=64)
def read_snapshot(path: Path, snapshot: str) -> zarr.Group:
    """An opened snapshot, kept open: workers read many blocks of the same one."""
    return Repository.open(path).read(snapshot)


def open_dataset(
    location: str | Path,
    name: str | None = None,
    *,
    version: str | None = None,
    group: str | None = None,
) -> xr.Dataset:
    """Open a published dataset lazily.

    Parameters
    ----------
    location : str or Path
        A store, or the folder of one dataset in it.
    name : str, optional
        Which dataset; by default the only product nothing else was made from.
    version : str, optional
        A published version such as ``v2``; by default the newest.
    group : str, optional
        Of a dataset with variables on several grids, one of the others.

    Returns
    -------
    xarray.Dataset
        Decoded: physical units, NaN where there is no value.

    Raises
    ------
    NotOurStore, UnknownName
    """
    import xarray as xr

    path = Path(location).expanduser().resolve()
    repository = _found(path, name)
    if not repository.is_published:
        raise UnknownName(
            "nothing is published here yet", where=str(repository.path), mend="Finish the run."
        )
    snapshot = repository.version(version) if version else repository.tip(MAIN)
    with storage_errors(repository.path):
        session = repository.inner.readonly_session(snapshot_id=snapshot)
    dataset: xr.Dataset = xr.open_zarr(session.store, group=group, consolidated=False, chunks=None)
    return dataset


def read_published(store: Store, name: str) -> zarr.Group:
    """The published version of a dataset as stored: packed values, flags."""
    repository = store.repository(name)
    return repository.read(repository.tip(MAIN))


def _found(path: Path, name: str | None) -> Repository:
    if name is None and (path / "refs").is_dir() and not (path / MARKER).exists():
        return Repository.open(path)
    store = Store.at(path)
    if name is not None:
        return store.repository(name)
    last = json.loads((path / MARKER).read_text()).get("product")
    if last is None or not store.has(last):
        raise UnknownName(
            "say which dataset", where=str(path), mend=f"It has: {', '.join(store.names)}."
        )
    return store.repository(last)


def remember_product(store: Store, product: str) -> None:
    """Note which dataset `open_dataset` gives where none is named."""
    marker = store.root / MARKER
    content = {"fluxforge-store": layout.FORMAT, "product": product}
    if json.loads(marker.read_text()) == content:
        return
    with storage_errors(store.root):
        fresh = marker.with_suffix(".new")
        fresh.write_text(json.dumps(content) + "\n")
        fresh.replace(marker)
