"""What a run publishes that an earlier one, of another period, left behind."""

from collections.abc import Iterable, Iterator
from contextlib import nullcontext

import pytest
from toyworld import World

from fluxengine.errors import RunFailed
from fluxengine.executors import serial
from fluxengine.run import run
from fluxengine.store import open_dataset
from fluxengine.task import Job, Outcome

LATER = range(9, 13)
FAR_APART = (1, 2, 3, 4, 13, 14, 15, 16)


def dying(jobs: Iterable[Job]) -> Iterator[Outcome]:
    """Makes what is made before `toy-smooth`."""
    for outcome in serial(jobs):
        if outcome.job.startswith("toy-smooth"):
            raise KeyboardInterrupt
        yield outcome


def test_what_strict_refused_is_refused_for_a_shorter_period_too(world: World) -> None:
    world.write(*LATER)
    world.file(10).write_bytes(b"damaged")
    assert world.run(8, strict=True).marked == ()
    for days in (12, 8):
        with pytest.raises(RunFailed, match="2020-01-10"):
            world.run(days, strict=True)
        assert open_dataset(world.store, "toy-passes").sizes["time"] == 8
    summary = world.run(8)
    assert any("2020-01-10" in mark for mark in summary.marked)
    assert world.run(8).marked == ()  # it is published: this period knows nothing of it


def test_blocks_that_a_killed_run_never_made_are_told(world: World) -> None:
    world.write(*LATER)
    world.run(8)

    with pytest.raises(KeyboardInterrupt):
        run(world.request(12), lambda: nullcontext(dying))
    (mark,) = (one for one in world.run(8).marked if one.startswith("toy-smooth"))
    assert mark.startswith("toy-smooth 2020-01-09: not made yet")
    assert world.run(12).marked == ()


def test_what_lies_between_two_periods_is_nobodys_fault(world: World) -> None:
    """As of a few days of early and late years, to compare."""
    world.write(*FAR_APART)
    assert world.run(4).marked == ()
    assert not [mark for mark in world.run(16, 13).marked if "not made yet" in mark]
    wind = open_dataset(world.store, "toy-passes")["wind"]
    assert wind.sizes["time"] == 16 and wind[12:16].notnull().any()
    assert wind[5:10].isnull().all()


@pytest.fixture
def cut_off(world: World) -> World:
    """After a run of days 1 to 4, and one of days 13 to 16 that was killed."""
    world.write(*FAR_APART)
    world.run(4)
    with pytest.raises(KeyboardInterrupt):
        run(world.request(16, 13), lambda: nullcontext(dying))
    return world


def test_what_lies_between_two_periods_is_no_fault_of_a_run_that_was_cut_off(
    cut_off: World,
) -> None:
    assert cut_off.run(16, 13, strict=True).marked == ()
    assert open_dataset(cut_off.store).sizes["time"] == 16


def test_of_a_later_period_only_what_was_asked_for_is_told(cut_off: World) -> None:
    (mark,) = cut_off.run(4).marked
    assert mark.startswith("toy-smooth 2020-01-13: not made yet; an earlier run left 3 such")


def test_a_strict_run_goes_on_once_its_input_is_mended(world: World) -> None:
    world.write(*FAR_APART)
    world.run(4)
    good = world.file(14).read_bytes()
    world.file(14).write_bytes(b"damaged")
    with pytest.raises(RunFailed, match="2020-01-14"):
        world.run(16, 13, strict=True)
    world.file(14).write_bytes(good)
    assert world.run(16, 13, strict=True).published
