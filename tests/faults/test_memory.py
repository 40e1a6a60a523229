"""Memory that does not suffice: fewer steps at once, or an end in words that more memory mends."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from processes import finish, start
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
  small: {{store: {folder}/store, cluster: {{kind: local, workers: 1, memory: {small}}}}}
  large: {{store: {folder}/store, cluster: {{kind: local, workers: 1, memory: 3GiB}}}}
"""


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


def test_workers_killed_for_want_of_memory(
    clean: World, folders: Iterator[Path], tally: Callable[[str], Tally]
) -> None:
    """Their nanny kills them again and again: exit code 1 in words; more memory, and it goes on."""
    row, world = tally("workers killed at their memory limit"), written(next(folders))
    path = world.folder / "run.yaml"
    path.write_text(RUN_FILE.format(folder=world.folder, mib=150, small="600MiB"))
    run = start(path, "small")
    words, _ = run.communicate(timeout=180)
    assert run.returncode == 1, words
    assert "most likely for want of memory" in words
    assert "Give each worker more `memory`" in words
    assert "Traceback" not in words
    finish(start(path, "large"))
    row.compare(world.store, clean.store)
    row.remark = "exit code 1 in words; it goes on with more memory"
    row.check()
