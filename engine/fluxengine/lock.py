"""The run lock: one run at a time writes to a store.

On a folder it is a lock of the operating system, which a dead process cannot hold. On an object
store it is a *lease*: an object that names its holder and is written again and again, each time
only over the version the holder wrote last. A lease that was not renewed in time, by the object
store's own clock, may be taken over, again only over the version that was seen. So at any moment
at most one run can renew it, and a run renews it before every commit.
"""

from __future__ import annotations

import errno
import inspect
import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from uuid import uuid4

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from fluxengine.errors import LeaseLost, RunLocked, StoreError
from fluxengine.outages import typed
from fluxengine.place import Folder, Place, Prefix, Version

LOCK = ".run-lock"
WAIT = "Wait until it ends, or give this run another store."
NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK)  # of a file system without flock
# A file that merely exists, later versions' way out, would hold the store for a run that died.
HARD: dict[str, Any] = (
    {"fallback_to_soft": False}
    if "fallback_to_soft" in inspect.signature(FileLock.__init__).parameters
    else {}
)
BEATS = 4  # renewals within the time a lease holds


class Lock(Protocol):
    """What a run holds while it writes."""

    def check(self) -> None:
        """Raise `LeaseLost` where another run holds it by now."""


class _OfFolder:
    """The operating system takes it from nobody who lives."""

    def check(self) -> None:
        """Nothing to look at."""


@contextmanager
def held(root: Place) -> Iterator[Lock]:
    """Hold the store at `root` for one run.

    Raises
    ------
    RunLocked
        Where another run holds it.
    StoreError
        Where the file system of a folder has no locks.
    """
    if isinstance(root, Folder):
        with _held_folder(root) as lock:
            yield lock
    else:
        with _held_lease(root / LOCK) as lease:
            yield lease


@contextmanager
def _held_folder(root: Folder) -> Iterator[Lock]:
    lock = FileLock(root.path / LOCK, **HARD)
    try:
        lock.acquire(timeout=0)
        _refuse_soft(lock)
    except Timeout:
        raise RunLocked(
            "another run is writing to this store.",
            where=str(root),
            mend=WAIT,
        ) from None
    except NotImplementedError as error:
        raise _without_locks(root) from error
    except OSError as error:
        raise (_without_locks(root) if error.errno in NO_LOCKS else typed(error, root)) from error
    try:
        yield _OfFolder()
    finally:
        lock.release()


def _refuse_soft(lock: BaseFileLock) -> None:
    """Some versions cannot be told not to fall back."""
    if isinstance(lock, SoftFileLock):
        lock.release()
        raise NotImplementedError


def _without_locks(root: Folder) -> StoreError:
    return StoreError(
        "this file system has no locks, so two runs could write at once.",
        where=str(root),
        mend="Mount it with flock, or use a bucket (s3://…).",
    )


# --- leases --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Holder:
    """Who holds a lease, as the object says.

    Parameters
    ----------
    run : str
        Different for every run; empty where the lease was given back.
    host : str
    pid : int
    since : str
        When the run began.
    seconds : int
        How long the lease holds after it was written.
    beat : int
        Renewals: no two versions of a lease are equal.
    """

    run: str
    host: str
    pid: int
    since: str
    seconds: int
    beat: int = 0

    @classmethod
    def of_this_run(cls, seconds: int) -> Holder:
        """The process itself, as a new run."""
        since = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
        return cls(uuid4().hex, socket.gethostname(), os.getpid(), since, seconds)

    @classmethod
    def read(cls, text: str, seconds: int) -> Holder:
        """Who wrote it; a text that cannot be read is somebody's lease all the same."""
        try:
            return cls(**json.loads(text))
        except (TypeError, ValueError):
            return cls("unknown", "unknown", 0, "an unknown time", seconds)

    @property
    def text(self) -> str:
        """As it is stored."""
        return json.dumps(self.__dict__)


@dataclass
class Lease:
    """A held lease; renewed by a thread of its own, and by every `check`."""

    place: Prefix
    holder: Holder
    tag: str
    over: threading.Event = field(default_factory=threading.Event)
    lost: bool = False
    turn: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def take(cls, place: Prefix) -> Lease:
        """Take a lease that is free or has expired.

        Raises
        ------
        RunLocked
            Where another run holds it; names the run, and when its lease ends.
        """
        mine = Holder.of_this_run(place.options.lease)
        found = place.look()
        if found is not None:
            _refuse_if_held(place, found)
        tag = place.put_over(mine.text, found.tag if found else None)
        if tag is not None:
            return cls(place, mine, tag)
        quicker = place.look()
        if quicker is not None:
            _refuse_if_held(place, quicker)
        raise RunLocked("another run held it just now.", where=_store(place), mend=WAIT)

    def check(self) -> None:
        """Renew the lease: what is renewed was nobody else's in between.

        Raises
        ------
        LeaseLost
            Where another run took it over.
        StoreError
            Where the object store does not say.
        """
        with self.turn:
            if not self.lost:
                self._renew(replace(self.holder, beat=self.holder.beat + 1))
            if self.lost:
                raise LeaseLost(
                    "this run was cut off for so long that another one took the store over.",
                    where=_store(self.place),
                    mend="Nothing is lost. Let the other run end, then run the same command again.",
                )

    def _renew(self, holder: Holder) -> None:
        tag = self.place.put_over(holder.text, self.tag)
        if tag is None:
            self.lost = True
        else:
            self.holder, self.tag = holder, tag

    def beat(self) -> None:
        """Renew it now and then until it is given back or lost."""
        while not self.over.wait(self.holder.seconds / BEATS):
            try:
                self.check()
            except StoreError:
                continue  # the next beat, or the check before a commit, tries again
            except LeaseLost:
                return

    def give_back(self) -> None:
        """Say that it is free, if it is still this run's. Not deleted: that has no condition."""
        self.over.set()
        with self.turn, suppress(StoreError):  # it expires by itself
            if not self.lost:
                self._renew(replace(self.holder, run="", beat=self.holder.beat + 1))


@contextmanager
def _held_lease(place: Prefix) -> Iterator[Lock]:
    lease = Lease.take(place)
    threading.Thread(target=lease.beat, name="lease", daemon=True).start()
    try:
        yield lease
    finally:
        lease.give_back()


def _store(place: Prefix) -> str:
    return str(place).removesuffix(f"/{LOCK}")


def _refuse_if_held(place: Prefix, found: Version) -> None:
    holder = Holder.read(found.text, place.options.lease)
    if not holder.run:
        return
    # The store keeps whole seconds: one more is waited for.
    end = found.modified + timedelta(seconds=holder.seconds + 1)
    if place.now() > end:
        return
    raise RunLocked(
        f"another run is writing to this store: process {holder.pid} on {holder.host}, since"
        f" {holder.since}. If it is dead, its lease ends at {end:%H:%M:%S} UTC.",
        where=_store(place),
        mend=WAIT,
    )
