"""A disk that is full and a quota that is used up are told as what they are, and stop a run."""

import errno
import os
from pathlib import Path

import pytest
from reportsworld import Reports, hourly
from toyworld import World

from fluxengine import cli, files, ingest
from fluxengine.errors import NoSpace
from fluxengine.files import answering
from fluxengine.outages import is_full, typed
from fluxengine.repository import storage_errors

FULL = [(errno.ENOSPC, "the disk is full"), (errno.EDQUOT, "the quota of disk space")]
either = pytest.mark.parametrize("number", [number for number, _ in FULL])
fails_so = pytest.mark.parametrize(("number", "words"), FULL, ids=["full disk", "quota"])


def raised(number: int) -> OSError:
    return OSError(number, os.strerror(number), "/home/u/store/chunk")


@fails_so
def test_the_system_says_so_by_a_number(number: int, words: str) -> None:
    assert is_full(raised(number))
    assert not is_full(OSError(errno.EIO, "Input/output error"))
    assert not is_full(ValueError("no number at all"))
    with pytest.raises(NoSpace, match=f"/home/u/store: {words}"), storage_errors("/home/u/store"):
        raise raised(number)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("No space left on device (os error 28)", "the disk is full"),
        ("Disk quota exceeded (os error 122)", "the quota of disk space"),
        ("Disc quota exceeded (os error 69)", "the quota of disk space"),
    ],
)
def test_libraries_say_so_in_their_text(said: str, words: str) -> None:
    told = typed(RuntimeError(f"error writing object\n |-> io error: {said}"), "/home/u/store")
    assert isinstance(told, NoSpace)
    assert words in told.what


@either
def test_no_copy_of_an_input_file_can_be_made(number: int) -> None:
    with pytest.raises(NoSpace, match="no space for a copy"), answering("https://archive/a.gz"):
        raise raised(number)


@either
def test_an_archive_is_not_asked_again_where_our_own_disk_is_full(number: int) -> None:
    asked = []

    def ask() -> None:
        asked.append(1)
        raise raised(number)

    with pytest.raises(OSError, match=os.strerror(number)):
        files._patiently(ask)
    assert len(asked) == 1


@either
def test_a_source_stops_and_marks_no_day_as_failed(
    world: World, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def full(*_: object) -> None:
        raise raised(number)

    monkeypatch.setattr(ingest, "conformed", full)
    with pytest.raises(OSError, match=os.strerror(number)):
        world.run(4)
    monkeypatch.undo()
    assert world.run(4).marked == ()


@either
def test_a_table_stops_and_refuses_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    made = Reports(tmp_path)
    made.write("buoys/hist/a.txt", hourly("41001", "2002-08-01", 5))
    made.write("moorings/x/b_dy.txt", hourly("m1", "2002-08-01", 5))

    def full(*_: object) -> None:
        raise raised(number)

    monkeypatch.setattr("fluxengine.table_run.packed", full)
    with pytest.raises(OSError, match=os.strerror(number)):
        made.run()
    monkeypatch.undo()
    assert made.run().marked == ()


@fails_so
def test_the_command_line_says_so_without_a_traceback(number: int, words: str) -> None:
    told = cli._in_words(raised(number))
    assert isinstance(told, NoSpace)
    assert str(told).startswith(f"/home/u/store/chunk: {words}")
