"""What a run has finished is kept, whatever ends it, and nothing is lost on the way."""

import time
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from toyfields.source import PASSES
from toyworld import World

from fluxengine import executors
from fluxengine.errors import NoSpace, RunFailed
from fluxengine.ledger import ABSENT, VALID, Ledger
from fluxengine.repository import Repository
from fluxengine.run import run
from fluxengine.task import Job, Outcome
from fluxengine.verify import verify

ALL = {"toy-passes": 3, "toy-coarse": 3, "toy-smooth": 9, "toy": 3}


def states(world: World, dataset: str) -> list[int]:
    """Of each step, as the newest commit has them; of the first tile."""
    repository = world.opened().repository(dataset)
    found: list[int] = repository.ledger(repository.tip()).states[:, 0].tolist()
    return found


class Refuses:
    """A serial executor that ends with an error in place of one block."""

    def __init__(self, block: str, error: BaseException) -> None:
        self.block, self.error = block, error

    def __call__(self, jobs: Iterable[Job]) -> Iterator[Outcome]:
        for job in jobs:
            if job.name == self.block:
                raise self.error
            yield from executors.serial([job])


@pytest.mark.parametrize("error", [RunFailed("no room."), KeyboardInterrupt(), MemoryError()])
def test_blocks_that_were_finished_before_an_error_are_kept(
    world: World, error: BaseException
) -> None:
    workers = Refuses("toy-coarse-0002-0-0-0", error)
    with pytest.raises(type(error)):
        run(world.request(), lambda: nullcontext(workers))
    assert states(world, "toy-coarse") == [VALID] * 8 + [ABSENT] * 4
    assert world.run().blocks == {"toy-coarse": 1, "toy-smooth": 9, "toy": 3}


def test_an_error_is_told_where_what_was_finished_cannot_be_kept_either(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> str:
        raise NoSpace("the disk is full.")

    monkeypatch.setattr(Repository, "commit", full)
    workers = Refuses("toy-passes-0002-0-0-0", RunFailed("no room."))
    with pytest.raises(RunFailed, match="no room"):
        run(world.request(), lambda: nullcontext(workers))


def test_a_commit_that_fails_is_not_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    def full(*_: object) -> str:
        tries.append(1)
        raise NoSpace("the disk is full.")

    monkeypatch.setattr(Repository, "commit", full)
    with pytest.raises(NoSpace):
        world.run()
    assert len(tries) == 1


@pytest.mark.parametrize("at", ["before", "after"])
@pytest.mark.parametrize(("owner", "name"), [(Repository, "commit"), (Ledger, "put")])
def test_a_commit_that_is_interrupted_is_made_again(
    world: World,
    first_run: World,
    monkeypatch: pytest.MonkeyPatch,
    owner: type,
    name: str,
    at: str,
) -> None:
    """Wherever Ctrl-C comes, rows and data are committed together."""
    call, tries = getattr(owner, name), []

    def interrupted(*given: Any) -> object:
        tries.append(1)
        if len(tries) == 1 and at == "before":
            raise KeyboardInterrupt
        result = call(*given)
        if len(tries) == 1:
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(owner, name, interrupted)
    with pytest.raises(KeyboardInterrupt):
        world.run()
    assert states(world, "toy-passes") == [VALID] * 12
    assert verify(world.opened(), "toy-passes").findings == ()
    world.run()
    assert world.content() == first_run.content()


def test_what_is_finished_is_committed_while_the_next_block_takes_long(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fluxengine.run.SECONDS_PER_COMMIT", 0.2)
    seen = []

    def slow(jobs: Iterable[Job]) -> Iterator[Outcome | None]:
        *first, last = executors.serial(jobs)
        yield from first
        time.sleep(0.3)
        yield None
        seen.append(states(world, "toy-passes"))
        yield last

    run(world.request(product=PASSES), lambda: nullcontext(slow))
    assert seen == [[VALID] * 8 + [ABSENT] * 4]
    assert states(world, "toy-passes") == [VALID] * 12


def test_a_run_whose_workers_lose_an_outcome_publishes_nothing(world: World) -> None:
    def careless(jobs: Iterable[Job]) -> Iterator[Outcome]:
        _, *others = executors.serial(jobs)
        yield from others

    match = "1 of 3 blocks did not come back from the workers, toy-passes-0000-0-0-0 among them"
    with pytest.raises(RunFailed, match=match):
        run(world.request(), lambda: nullcontext(careless))
    assert states(world, "toy-passes") == [ABSENT] * 4 + [VALID] * 8
    assert world.opened().repository("toy-passes").versions == ()
    assert world.run().blocks == ALL | {"toy-passes": 1}


def test_memory_that_the_system_does_not_count_ends_no_run(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Path.read_text

    def without_peak(path: Path, *given: Any, **named: Any) -> str:
        text = read(path, *given, **named)
        return text.replace("VmHWM", "VmOther") if str(path) == "/proc/self/status" else text

    monkeypatch.setattr(Path, "read_text", without_peak)
    summary = world.run()
    assert summary.blocks == ALL
    assert summary.actual["toy"].memory > 0
