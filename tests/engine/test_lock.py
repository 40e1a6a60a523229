"""The lock of a folder: where the file system has none, no file takes its place."""

import errno
import os
from pathlib import Path

import pytest
from filelock import SoftFileLock

from fluxengine import lock, place
from fluxengine.errors import RunLocked, StoreError


def refused(folder: Path) -> None:
    match = r"this file system has no locks.*Mount it with flock, or use a bucket \(s3://…\)"
    with pytest.raises(StoreError, match=match), lock.held(place.at(folder)):
        pass


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK])
def test_a_file_system_without_locks_is_told_and_nothing_holds_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr("fcntl.flock", flock)
        refused(tmp_path)
        refused(tmp_path)
    with lock.held(place.at(tmp_path)):
        pass


def test_versions_that_cannot_be_told_not_to_fall_back_are_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "HARD", {})
    with monkeypatch.context() as patch:
        patch.setattr(lock, "FileLock", SoftFileLock)
        refused(tmp_path)
    with lock.held(place.at(tmp_path)):
        pass


def test_a_folder_is_held_once_at_a_time(tmp_path: Path) -> None:
    root = place.at(tmp_path)
    match = "another run is writing"
    with lock.held(root), pytest.raises(RunLocked, match=match), lock.held(root):
        pass
    with lock.held(root) as held:
        held.check()
