"""A process that dies at a known place, between any two steps of a run. The next run goes on."""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest
from deaths import DIED, POINTS
from processes import RUN, start
from toyworld import World
from trials import DAYS, Tally, Worlds, published

pytestmark = pytest.mark.faults

PROGRAM = "import deaths; deaths.arm({point!r}, {call})\n" + RUN
MAKING = [p for p in POINTS if "template" in p or "dataset is made" in p]
EXTENDING = [p for p in POINTS if "extension" in p]
WORKING = [p for p in POINTS if p not in MAKING + EXTENDING]
ONCE_A_RUN = ("before publication", "before the product is noted")


known_version = cache(published)


def die_and_go_on(
    world: World, known: Sequence[World], row: Tally, point: str, call: int = 1
) -> None:
    """Whatever is published after the death is whole, and one of the known versions."""
    run = start(world.run_file(DAYS), "serial", PROGRAM.format(point=point, call=call))
    told, _ = run.communicate(timeout=120)
    assert run.returncode == DIED, f"did not die {point}: {told}"
    versions = [known_version(one.store) for one in known]
    for name, digest in published(world.store).items():
        assert digest in [version[name] for version in versions], point
    world.run(DAYS)
    row.compare(world.store, known[-1].store)


def test_in_a_first_run(
    worlds: Worlds, folders: Iterator[Path], tally: Callable[[str], Tally]
) -> None:
    row = tally("death at a known place: first run")
    for point in MAKING + WORKING:
        die_and_go_on(worlds.fresh(next(folders)), [worlds.clean[1]], row, point)
    for point in MAKING:  # of the third dataset of four
        die_and_go_on(worlds.fresh(next(folders)), [worlds.clean[1]], row, point, 3)
    row.check()


def test_in_a_run_over_revised_files(
    worlds: Worlds, folders: Iterator[Path], tally: Callable[[str], Tally]
) -> None:
    row = tally("death at a known place: revised files")
    for point in WORKING:
        call = 1 if point in ONCE_A_RUN else 2
        die_and_go_on(worlds.revised(next(folders)), worlds.clean, row, point, call)
    row.check()


def test_in_a_run_over_more_days(
    worlds: Worlds, folders: Iterator[Path], tally: Callable[[str], Tally]
) -> None:
    row = tally("death at a known place: more days")
    shorter = worlds.fresh(next(folders))
    shorter.run(DAYS - 2)  # the second block is half full
    for point in [*EXTENDING, "between ledger and commit", "between main and its tag"]:
        for call in (1, 3):
            world = worlds.copy(shorter, next(folders))
            die_and_go_on(world, [shorter, worlds.clean[1]], row, point, call)
    row.check()
