"""Memory that does not suffice: fewer steps at once, or an end in words that more memory mends."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from processes import start
from toyfaults import hungry
from toyworld import World, record_of
from trials import DAYS, Tally

pytestmark = pytest.mark.faults

RUN_FILE = """\
product: toy-hungry
period: {{first: 2020-01-01, last: 2020-01-08}}
options: {{mib: {mib}}}
archives: {{toy: {folder}/archive}}
profiles:
  small: {{store: {folder}/store, cluster: {{kind: local, workers: 1, memory: 600MiB, wait: 15}}}}
  large: {{store: {folder}/store, cluster: {{kind: local, workers: 1, memory: 3GiB}}}}
"""
# Dask gives a worker up that dies a second time while it starts again.
TOLD = ("most likely for want of memory", "no worker is left")


def written(folder: Path) -> World:
    world = World(folder)
    world.write(*range(1, DAYS + 1))
    return world


@pytest.fixture
def clean(folders: Iterator[Path]) -> World:
    world = written(next(folders))
    world.run(DAYS, product=hungry.hungry(hungry.Options()))
    return world


@pytest.mark.parametrize("at_most", [1, 2, 3])
def test_a_stage_that_runs_out_of_memory_is_given_fewer_steps(
    at_most: int, clean: World, folders: Iterator[Path], tally: Callable[[str], Tally]
) -> None:
    row, world = tally(f"MemoryError above {at_most} steps at once"), written(next(folders))
    told = world.run(DAYS, product=hungry.hungry(hungry.Options(at_most=at_most)))
    assert told.marked == ()
    row.compare(world.store, clean.store)
    batch = record_of(world.store, "toy-hungry", "0001-0-0-0")["batch"]
    assert batch == {1: 1, 2: 2, 3: 2}[at_most]
    row.remark = f"four steps at once became {batch}"
    row.check()


def run_in(profile: str, world: World, mib: int) -> int:
    """Exit code; not 0 only in words."""
    path = world.folder / "run.yaml"
    path.write_text(RUN_FILE.format(folder=world.folder, mib=mib))
    run = start(path, profile)
    words, _ = run.communicate(timeout=180)
    assert run.returncode in (0, 1), words
    assert run.returncode == 0 or any(told in words for told in TOLD), words
    assert "Traceback" not in words
    return run.returncode


def test_workers_killed_at_their_limit_are_given_fewer_steps(
    clean: World, folders: Iterator[Path], tally: Callable[[str], Tally]
) -> None:
    """Four steps at once do not fit, one does; the same command ends well, by the third time."""
    row, world = tally("workers killed at their memory limit"), written(next(folders))
    codes = []
    while 0 not in codes and len(codes) < 3:
        codes.append(run_in("small", world, mib=150))
    row.compare(world.store, clean.store)
    row.remark = f"fewer steps at once; exit codes {', '.join(map(str, codes))}"
    row.check()


def test_workers_whose_limit_is_too_low_for_one_step(
    clean: World, folders: Iterator[Path], tally: Callable[[str], Tally]
) -> None:
    row, world = tally("memory limit too low for one step"), written(next(folders))
    assert run_in("small", world, mib=450) == 1
    assert run_in("large", world, mib=450) == 0
    row.compare(world.store, clean.store)
    row.remark = "exit code 1 in words; with more memory it goes on"
    row.check()
