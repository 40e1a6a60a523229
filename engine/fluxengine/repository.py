"""Repositories: one dataset with its history, in Icechunk.

Runs commit to the branch ``work``; ``main`` is the published version and moves by one
compare-and-swap, each version also becoming an immutable tag ``v<n>``. This module alone imports
icechunk, and turns what the storage says into typed errors.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import icechunk
import zarr
from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import WrapperStore

from fluxengine import layout, ledger, metadata
from fluxengine.errors import (
    FluxforgeError,
    LeaseLost,
    NotOurStore,
    PublicationConflict,
    StoreError,
    StoreUnreachable,
    UnknownName,
)
from fluxengine.grid import Block
from fluxengine.layout import Layout
from fluxengine.ledger import Ledger
from fluxengine.lock import Lock
from fluxengine.outages import GOES_ON, stored_values, typed, understood
from fluxengine.place import Folder, Place, Prefix
from fluxengine.traffic import CountedStore

WORK, MAIN = "work", "main"
PASSED_OVER = "passed over"  # first and end of new steps that nobody asked for
NOTED = "noted"  # marks commits of ledger rows alone, which change nothing that is published
# With waits that double in between: a worker gives up after about half a minute.
RETRIES = icechunk.StorageRetriesSettings(
    max_tries=8, initial_backoff_ms=100, max_backoff_ms=10_000
)
PATIENCE = 300.0  # seconds until a request that gets no answer is an error
WAITS = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)  # seconds before a provider's file is asked for again

Fork = icechunk.ForkSession
REFUSALS = (icechunk.IcechunkError, icechunk.ConflictError)

# It warns at every opening that concurrent commits to a local folder are unsafe (here only one
# process commits, under the run lock), and logs to standard output, where --json belongs. What goes
# wrong is raised all the same.
icechunk.set_logs_filter("off")
# The codecs of NetCDF4 files are in no Zarr specification; those who read references have them.
warnings.filterwarnings("ignore", "Numcodecs codecs are not in the Zarr version 3", UserWarning)


@contextmanager
def storage_errors(where: object) -> Iterator[None]:
    """Turn what the storage raises into `NoSpace` or a `StoreError`, naming the place."""
    try:
        yield
    except FluxforgeError:
        raise
    except icechunk.ConflictError as error:
        raise LeaseLost(
            "another run committed to this dataset in between.",
            where=str(where),
            mend="Nothing is lost. Let the other run end, then run the same command again.",
        ) from error
    except (icechunk.IcechunkError, OSError) as error:
        raise typed(error, where) from error


def _storage(path: Place) -> icechunk.Storage:
    """How icechunk reaches a place: always with credentials it finds itself, never with a copy.

    Of its two ways to S3 this one gives a request up that got no answer for 30 seconds, and tries
    again; the other waits for ever.
    """
    if isinstance(path, Folder):
        return icechunk.local_filesystem_storage(str(path))
    chosen = path.options
    anonymous, from_env = icechunk.s3_anonymous_credentials, icechunk.s3_from_env_credentials
    return icechunk.Storage.new_s3_object_store(
        icechunk.S3Options(
            region=chosen.region,
            endpoint_url=chosen.endpoint_url,
            allow_http=chosen.allow_http,
            anonymous=chosen.anonymous,
            force_path_style=bool(chosen.force_path_style),
        ),
        path.bucket,
        path.key,
        anonymous() if chosen.anonymous else from_env(),
    )


@dataclass(frozen=True)
class Repository:
    """One dataset with its history."""

    path: Place
    inner: icechunk.Repository
    lock: Lock | None = None

    @classmethod
    def create(cls, path: Place, wanted: Layout, book: Ledger) -> Repository:
        """Make the dataset; its template becomes the first commit of `work`."""

        def fill(root: zarr.Group) -> None:
            layout.create(root, wanted)
            ledger.create(root, book)
            metadata.sign(root)

        return cls.begin(path, wanted.name, fill)

    @classmethod
    def begin(cls, path: Place, name: str, fill: Callable[[zarr.Group], None]) -> Repository:
        """Make a dataset; what `fill` writes becomes the first commit of `work`."""
        with storage_errors(path):
            if isinstance(path, Folder):
                path.path.mkdir(parents=True, exist_ok=True)
            inner = _created(_storage(path))
            # The template goes to `work` alone: `main` stays empty until something is published.
            session = inner.writable_session(MAIN)
            fill(zarr.open_group(session.store, mode="a"))
            snapshot = session.flush(f"template of {name}")
            # Last: with this one write the dataset is there.
            _settle(
                lambda: inner.create_branch(WORK, snapshot),
                lambda: inner.lookup_branch(WORK) == snapshot,
            )
        return cls(path, inner)

    @classmethod
    def open(cls, path: Place, lock: Lock | None = None) -> Repository:
        """An existing dataset."""
        config = icechunk.RepositoryConfig(storage=icechunk.StorageSettings(retries=RETRIES))
        try:
            with storage_errors(path):
                inner = icechunk.Repository.open(_storage(path), config)
                return cls(path, _reading_elsewhere(inner), lock)
        except StoreError as error:
            if type(error) is not StoreError:  # it is known what it was
                raise
            raise NotOurStore(f"no readable dataset: {error.what}", where=str(path)) from error

    def tip(self, branch: str = WORK) -> str:
        """Snapshot a branch points at."""
        with storage_errors(self.path):
            return self.inner.lookup_branch(branch)

    def read(self, snapshot: str) -> zarr.Group:
        """The dataset as of a snapshot."""
        try:
            with stored_values(str(self.path)), storage_errors(self.path):
                return zarr.open_group(CountedStore(self.store(snapshot)), mode="r")
        except StoreError:
            # The libraries call a record lost that the storage refuses to give. What is always
            # there tells the two apart.
            self.tip()
            raise

    def store(self, snapshot: str) -> ReadStore:
        """The dataset as of a snapshot, for whoever reads Zarr."""
        with storage_errors(self.path):
            return ReadStore(self.inner.readonly_session(snapshot_id=snapshot).store, self.path)

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

    def referring(self, root: Place) -> Repository:
        """The dataset as one whose chunks may lie in files below an archive's root as well.

        The root is noted in the dataset, with region and endpoint, but never a credential.
        """
        config = self.inner.config
        if address_of(root) in (config.virtual_chunk_containers or {}):
            return self
        with storage_errors(self.path):
            self._check_lock()
            config.set_virtual_chunk_container(_container(root))
            inner = _reading_elsewhere(self.inner.reopen(config))
            inner.save_config()
        return replace(self, inner=inner)

    def extend(self, wanted: Layout, book: Ledger, passed_over: tuple[int, int] = (0, 0)) -> None:
        """Commit a longer step axis to `work`, of which nobody asked for some steps."""
        with storage_errors(self.path):
            session = self._writable()
            root = zarr.open_group(session.store, mode="r+")
            metadata.check(root, self.path)
            layout.extend(root, wanted)
            ledger.resize(root, book)
            metadata.sign(root)
            last = wanted.grid.step_name(wanted.grid.shape[0] - 1)
            self._commit(session, f"extended to {last}", {PASSED_OVER: passed_over})

    def commit(
        self,
        forks: Iterable[Fork],
        book: Ledger,
        blocks: list[Block],
        provenance: Mapping[str, Any],
    ) -> str:
        """Commit blocks together with their ledger rows. Returns the snapshot."""
        with storage_errors(self.path):
            session = self._writable()
            session.merge(*forks)
            root = zarr.open_group(session.store, mode="r+")
            ledger.write(root, book, blocks)
            names = ", ".join(block.name for block in blocks[:4])
            more = f" and {len(blocks) - 4} more" if len(blocks) > 4 else ""
            return self._commit(session, f"blocks {names}{more}", provenance)

    def describe(self, wanted: Layout, provenance: Mapping[str, Any]) -> None:
        """Bring the attributes up to date: a notice of an archive must reach old stores."""
        with storage_errors(self.path):
            session = self._writable()
            root = zarr.open_group(session.store, mode="r+")
            if not layout.differs(root, wanted):
                return  # where the dataset was extended, it was described as well
            metadata.check(root, self.path)
            layout.describe(root, wanted)
            metadata.sign(root)
            self._commit(session, "attributes", provenance)

    def note(self, book: Ledger, blocks: list[Block], provenance: Mapping[str, Any]) -> str:
        """Commit ledger rows of blocks that hold what they held: nothing to publish."""
        return self.commit([], book, blocks, {**provenance, NOTED: True})

    def changes(self) -> Changes:
        """Changes to `work` that are made by this process alone."""
        with storage_errors(self.path):
            return Changes(self, self._writable())

    def _writable(self) -> icechunk.Session:
        """A session on the tip of `work`, with the lock looked at afterwards.

        So whatever another run commits after it took the lock over, it commits after this tip was
        read, and then the commit to be made here is refused.
        """
        session = self.inner.writable_session(WORK)
        self._check_lock()
        return session

    def _check_lock(self) -> None:
        if self.lock is not None:
            self.lock.check()

    def _commit(
        self, session: icechunk.Session, message: str, provenance: Mapping[str, Any] | None = None
    ) -> str:
        """Commit; where it was done but the reply was lost, the tip bears this commit's mark."""
        mark = uuid4().hex
        try:
            return session.commit(message, metadata={**(provenance or {}), "commit": mark})
        except REFUSALS:
            tip = next(iter(self.inner.ancestry(branch=WORK)))
            if tip.metadata.get("commit") != mark:
                raise
            return tip.id

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
            if not self.has_unpublished:
                return None
            tip = self.inner.lookup_branch(WORK)
            if tip != self.inner.lookup_branch(MAIN):
                self._move_main(tip, expected)
            return self._tag(tip)

    @property
    def has_unpublished(self) -> bool:
        """Whether `work` holds more than the newest version, apart from rows that only `note`d."""
        with storage_errors(self.path):
            known, tip = self.versions, self.inner.lookup_branch(WORK)
            newest = self.inner.lookup_tag(known[-1]) if known else ""
            if newest == tip:
                return False
            return not all(commit.metadata.get(NOTED) for commit in self.commits(tip, newest))

    def _tag(self, snapshot: str) -> str:
        """Make a snapshot the newest version. A number is never given twice."""
        known = self.versions
        version = f"v{int(known[-1][1:]) + 1 if known else 1}"
        _settle(
            lambda: self.inner.create_tag(version, snapshot),
            lambda: self.inner.lookup_tag(version) == snapshot,
        )
        return version

    def check_unmoved(self, expected: str) -> None:
        """Raise `PublicationConflict` where `main` is not what it was when the run began."""
        if self.tip(MAIN) != expected:
            raise self._conflict()

    def _move_main(self, tip: str, expected: str) -> None:
        self._check_lock()
        try:
            _settle(
                lambda: self.inner.reset_branch(MAIN, tip, from_snapshot_id=expected),
                lambda: self.inner.lookup_branch(MAIN) == tip,
            )
        except icechunk.IcechunkError as error:
            if understood(error, self.path) is not None:
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

    def commits(self, snapshot: str, after: str = "") -> Iterator[Commit]:
        """Commits that led to a snapshot, the newest first; of these, those after another one."""
        with storage_errors(self.path):
            for info in self.inner.ancestry(snapshot_id=snapshot):
                if info.id == after:
                    return
                yield Commit(info.id, info.written_at, info.message, info.metadata)

    def restore(self, snapshot: str) -> str:
        """Publish an earlier snapshot again and go on from it. Returns the new version."""
        with storage_errors(self.path):
            tip, main = self.inner.lookup_branch(WORK), self.inner.lookup_branch(MAIN)
            self._check_lock()
            _settle(
                lambda: self.inner.reset_branch(WORK, snapshot, from_snapshot_id=tip),
                lambda: self.inner.lookup_branch(WORK) == snapshot,
            )
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
            self._check_lock()
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


class ReadStore(WrapperStore[Any]):
    """A store that says in words what cannot be read: a file that changed under its references.

    A reply that breaks off in a file is asked for again, and one that never comes is given up:
    icechunk does so for its own chunks alone.
    """

    def __init__(self, store: Any, where: Place) -> None:
        super().__init__(store)
        self._where = where

    def _with_store(self, store: Any) -> ReadStore:
        return ReadStore(store, self._where)

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """As the store does."""
        try:
            return await asyncio.wait_for(self._patiently(key, prototype, byte_range), PATIENCE)
        except TimeoutError as error:
            raise StoreUnreachable(
                f"no answer for {PATIENCE:g} seconds, asked for {key}.",
                where=str(self._where),
                mend=f"When the storage answers again, {GOES_ON}",
            ) from error

    async def _patiently(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None
    ) -> Buffer | None:
        for wait in WAITS:
            try:
                return await self._get(key, prototype, byte_range)
            except StoreUnreachable:
                await asyncio.sleep(wait)
        return await self._get(key, prototype, byte_range)

    async def _get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None
    ) -> Buffer | None:
        try:
            return await super().get(key, prototype, byte_range)
        except icechunk.IcechunkError as error:
            if "virtual" in str(error):
                raise typed(error, self._where) from error
            raise


@dataclass(frozen=True)
class Part:
    """Where the bytes of one chunk lie.

    Parameters
    ----------
    index : tuple of int
        Of the chunk in its array.
    file : str
        Address of the file.
    etag : str
        What an object store calls its state: once it is another, the chunk is refused.
    offset, length : int
    """

    index: tuple[int, ...]
    file: str
    etag: str
    offset: int
    length: int


def refer(fork: Fork, name: str, parts: Iterable[Part]) -> bool:
    """Make chunks of an array references; False where one lies below no root that was named."""
    specs = [
        icechunk.VirtualChunkSpec(list(p.index), p.file, p.offset, p.length, etag_checksum=p.etag)
        for p in parts
    ]
    with storage_errors(name):
        return not fork.store.set_virtual_refs(name, specs, validate_containers=True)


def etag_of(file: Path) -> str:
    """The ETag that icechunk gives to the state of a local file."""
    stat = file.stat()
    return f"{stat.st_ino:x}-{stat.st_mtime_ns // 1000:x}-{stat.st_size:x}"


def address_of(root: Place) -> str:
    """An archive's root as icechunk names it."""
    return f"{root}/" if isinstance(root, Prefix) else f"file://{root}/"


def _container(root: Place) -> icechunk.VirtualChunkContainer:
    if isinstance(root, Folder):
        files = icechunk.local_filesystem_store(str(root))
        return icechunk.VirtualChunkContainer(address_of(root), files)
    chosen = root.options
    objects = icechunk.s3_store(
        region=chosen.region,
        endpoint_url=chosen.endpoint_url,
        allow_http=chosen.allow_http,
        anonymous=chosen.anonymous,
        s3_compatible=chosen.endpoint_url is not None,
        force_path_style=bool(chosen.force_path_style),
    )
    return icechunk.VirtualChunkContainer(address_of(root), objects)


def _reading_elsewhere(inner: icechunk.Repository) -> icechunk.Repository:
    """The repository with leave to read below the roots noted in it."""
    containers = inner.config.virtual_chunk_containers
    if not containers:
        return inner
    credentials = {address: _credentials(known) for address, known in containers.items()}
    return inner.reopen(authorize_virtual_chunk_access=credentials)


def _credentials(container: icechunk.VirtualChunkContainer) -> Any:
    """Found by each process for itself; none for files, and for a public bucket."""
    if container.url_prefix.startswith("file://"):
        return None
    options = getattr(container.store, "_0", None)  # what its kind of store was made with
    if getattr(options, "anonymous", False):
        return icechunk.containers_credentials({"": icechunk.s3_anonymous_credentials()})[""]
    return icechunk.containers_credentials({"": icechunk.s3_from_env_credentials()})[""]


@dataclass(frozen=True)
class Changes:
    """Changes to `work` that come about with one commit, or never."""

    repository: Repository
    session: icechunk.Session

    @property
    def root(self) -> zarr.Group:
        """The dataset as it is with the changes so far."""
        return zarr.open_group(self.session.store, mode="r+")

    def commit(self, message: str, provenance: Mapping[str, Any]) -> str:
        """Make them. Returns the snapshot."""
        with storage_errors(self.repository.path):
            self.repository._check_lock()
            return self.repository._commit(self.session, message, provenance)


@dataclass(frozen=True)
class Commit:
    """One commit of a dataset."""

    snapshot: str
    when: datetime
    message: str
    metadata: Mapping[str, Any]


def _created(storage: icechunk.Storage) -> icechunk.Repository:
    try:
        return icechunk.Repository.create(storage)
    except icechunk.IcechunkError:
        if not icechunk.Repository.exists(storage):
            raise
        return icechunk.Repository.open(storage)


def _settle(write: Callable[[], object], is_done: Callable[[], bool]) -> None:
    """Make a conditional write. If only its reply was lost, a second try was refused: so look."""
    try:
        write()
    except REFUSALS:
        if not is_done():
            raise


@lru_cache(maxsize=64)
def read_snapshot(path: Place, snapshot: str) -> zarr.Group:
    """An opened snapshot, kept open: workers read many blocks of the same one."""
    return Repository.open(path).read(snapshot)


@lru_cache(maxsize=1024)
def stored_array(path: Place, snapshot: str, name: str) -> Any:
    """An opened array of a snapshot, by its path within the dataset; kept open as well."""
    return read_snapshot(path, snapshot)[name]
