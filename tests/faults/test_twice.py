"""Every block made twice, by hand and by Dask after a worker's death; the second one is dropped."""

import pickle
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from random import Random

import deaths
import pytest
from processes import Cluster
from trials import DAYS, Tally, Worlds

from fluxengine import clusters, executors, run
from fluxengine.executors import Executor
from fluxengine.task import Job, Outcome, run_block

pytestmark = pytest.mark.faults


@pytest.fixture(autouse=True)
def many_commits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "BLOCKS_PER_COMMIT", 2)


def travelled(job: Job) -> Outcome:
    """As on a worker: with a copy of the job, and so with a fork of its own."""
    return pickle.loads(pickle.dumps(run_block(pickle.loads(pickle.dumps(job)))))


def either(seed: int) -> Executor:
    """Makes each block twice and gives back one of the two."""
    dice = Random(seed)

    def execute(jobs: Iterable[Job]) -> Iterator[Outcome]:
        for job in jobs:
            yield dice.choice([travelled(job), travelled(job)])

    return execute


def both(seed: int) -> Executor:
    """Makes each block twice and gives back both, the second one at any later time."""
    dice = Random(seed)

    def execute(jobs: Iterable[Job]) -> Iterator[Outcome]:
        late: list[Outcome] = []
        for job in jobs:
            yield travelled(job)
            late.append(travelled(job))
            dice.shuffle(late)
            while late and dice.random() < 0.4:
                yield late.pop()
        yield from late

    return execute


@pytest.mark.parametrize("twice", [either, both])
def test_each_block_made_twice(
    twice: Callable[[int], Executor],
    worlds: Worlds,
    folders: Iterator[Path],
    tally: Callable[[str], Tally],
) -> None:
    row = tally(f"each block made twice, {twice.__name__} given back")
    for seed in range(5):
        world = worlds.revised(next(folders))
        run.run(world.request(DAYS), lambda seed=seed: nullcontext(twice(seed)))
        row.compare(world.store, worlds.clean[1].store)
    row.check()


def test_a_worker_that_dies_after_it_wrote(
    worlds: Worlds,
    tmp_path: Path,
    tally: Callable[[str], Tally],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Dask makes the block again: its chunks are there twice, and one of the two is committed."""
    row, world = tally("worker dies after writing, Dask tries again"), worlds.revised(tmp_path)
    armed = tmp_path / "armed"
    monkeypatch.setattr(executors, "run_block", deaths.write_then_die)
    cluster = Cluster(tmp_path, workers=2, env={deaths.ARMED: str(armed)})
    try:
        config = cluster.config()
        for seed in range(1, 5):
            world.write(*range(1, DAYS + 1), seed=seed % 2)
            armed.touch()
            run.run(world.request(DAYS), lambda: clusters.executor(config))
            assert not armed.exists()
            cluster.add_worker()
            row.compare(world.store, worlds.clean[seed % 2].store)
    finally:
        cluster.kill()
    row.check()
