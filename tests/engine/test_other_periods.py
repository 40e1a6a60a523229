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

    def dying(jobs: Iterable[Job]) -> Iterator[Outcome]:
        for outcome in serial(jobs):
            if outcome.job.startswith("toy-smooth"):
                raise KeyboardInterrupt
            yield outcome

    with pytest.raises(KeyboardInterrupt):
        run(world.request(12), lambda: nullcontext(dying))
    (mark,) = (one for one in world.run(8).marked if one.startswith("toy-smooth"))
    assert mark.startswith("toy-smooth 2020-01-09: not made yet")
    assert world.run(12).marked == ()


def test_what_lies_between_two_periods_is_nobodys_fault(world: World) -> None:
    """As of a few days of early and late years, to compare."""
    world.write(1, 2, 3, 4, 13, 14, 15, 16)
    assert world.run(4).marked == ()
    assert not [mark for mark in world.run(16, 13).marked if "not made yet" in mark]
    wind = open_dataset(world.store, "toy-passes")["wind"]
    assert wind.sizes["time"] == 16 and wind[12:16].notnull().any()
    assert wind[5:10].isnull().all()
