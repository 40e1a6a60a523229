"""Executors: an end in words when workers are gone, and no outcome that is lost on the way."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import distributed
import pytest
from processes import Cluster, wait_until
from toyfields.products import Options, coarse, smooth
from toyfields.stages import SmoothOnGpu
from toyworld import World

from fluxengine import clusters, executors
from fluxengine.config import ClusterConfig
from fluxengine.errors import MissingFile, RunFailed
from fluxengine.executors import mapped_on, on_cluster, serial
from fluxengine.grid import Block
from fluxengine.progress import QUIET, Tick
from fluxengine.run import run
from fluxengine.task import Job

NOBODY_LEFT = "no worker is left, and none came within 0.5 s"


def some(number: int) -> list[Job]:
    product = smooth(Options())
    blocks = [Block((n,), {"time": slice(2 * n, 2 * n + 2)}) for n in range(number)]
    return [Job(product, (), block, None, None, {}) for block in blocks]  # type: ignore[arg-type]


@contextmanager
def cluster_of_threads() -> Iterator[tuple[distributed.LocalCluster, distributed.Client]]:
    with (
        distributed.LocalCluster(
            processes=False, n_workers=1, threads_per_worker=1, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield cluster, client


def let_all_go(cluster: distributed.LocalCluster, client: distributed.Client) -> None:
    cluster.scale(0)
    wait_until(lambda: not client.scheduler_info(n_workers=-1)["workers"], "workers to go")


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., Cluster]]:
    made = []

    def start(**options: Any) -> Cluster:
        made.append(Cluster(tmp_path, **options))
        return made[-1]

    yield start
    for one in made:
        one.kill()


def patient(cluster: Cluster, workers: int) -> ClusterConfig:
    """For two seconds, once its workers are there."""
    config = cluster.config()
    with distributed.Client(config.address) as client:
        client.wait_for_workers(workers, timeout=60)
    return config.model_copy(update={"wait": 2.0})


# --- outcomes ------------------------------------------------------------------------------------


def stops_early(_: object) -> object:
    return next(iter(()))


def test_a_block_that_stops_an_iteration_ends_the_run_with_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(executors, "run_block", stops_early)
    with pytest.raises(RuntimeError, match="StopIteration"):
        list(serial(some(2)))
    with clusters.mapper(ClusterConfig(kind="serial")) as mapped:
        with pytest.raises(RuntimeError, match="StopIteration"):
            list(mapped(stops_early, [1, 2]))
        assert list(mapped(str, [1, 2])) == ["1", "2"]


def test_who_waits_for_blocks_can_look_at_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(job: Job) -> str:
        time.sleep(0.4)
        return job.name

    monkeypatch.setattr(executors, "run_block", slow)
    monkeypatch.setattr(executors, "GLANCE", 0.1)
    with cluster_of_threads() as (_, client):
        told = list(on_cluster(client, in_flight=2)(some(2)))
    assert told.count(None) >= 2
    assert [one for one in told if one is not None] == [job.name for job in some(2)]


def test_an_outcome_that_is_lost_with_the_last_worker_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(executors, "run_block", lambda job: job.name)
    with cluster_of_threads() as (cluster, client):
        outcomes = filter(None, on_cluster(client, in_flight=2, wait=0.5)(iter(some(4))))
        next(outcomes)
        time.sleep(0.5)  # a commit, while the next blocks are done
        let_all_go(cluster, client)
        with pytest.raises(RunFailed, match=f"{NOBODY_LEFT}. Finished blocks are kept"):
            list(outcomes)


def test_an_outcome_that_is_lost_with_its_worker_is_made_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(executors, "run_block", lambda job: job.name)
    with cluster_of_threads() as (cluster, client):
        outcomes = filter(None, on_cluster(client, in_flight=2)(iter(some(4))))
        made = [next(outcomes)]
        time.sleep(0.5)
        let_all_go(cluster, client)
        cluster.scale(1)
        made += outcomes
    assert sorted(map(str, made)) == [job.name for job in some(4)]


def test_an_outcome_that_is_lost_while_it_is_asked_for_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The client believes that a worker holds it, and Dask itself would wait until one does."""
    monkeypatch.setattr(executors, "run_block", lambda job: job.name)
    with cluster_of_threads() as (cluster, client):

        class Late(distributed.Client):
            """Asks when the workers have gone."""

            def gather(self, *args: Any, **options: Any) -> Any:
                let_all_go(cluster, client)
                return super().gather(*args, **options)

        with Late(cluster) as late, pytest.raises(RunFailed, match=NOBODY_LEFT):
            list(on_cluster(late, in_flight=2, wait=0.5)(some(2)))


def test_blocks_beside_one_that_fails_come_back_before_the_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def made(job: Job) -> str:
        if job.block.index == (0,):
            raise MissingFile("it is gone.")
        return job.name

    monkeypatch.setattr(executors, "run_block", made)
    # All are done before any is asked for.
    monkeypatch.setattr(executors, "TICK", 1.0)
    with cluster_of_threads() as (_, client):
        outcomes = filter(None, on_cluster(client, in_flight=4)(some(3)))
        assert {str(next(outcomes)), str(next(outcomes))} == {job.name for job in some(3)[1:]}
        with pytest.raises(MissingFile):
            next(outcomes)


# --- workers with a GPU --------------------------------------------------------------------------


def test_blocks_for_a_gpu_do_not_wait_for_workers_without_one(
    world: World, started: Callable[..., Cluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.run(8, product=coarse(Options()))
    cluster = started()
    cluster.add_worker("--resources", "GPU=1")
    config = patient(cluster, 2)

    class Killer:
        """Kills the worker with the GPU when the first block that needs it is done."""

        def begin(self, dataset: str, blocks: int) -> None: ...

        def watch(self, what: str, files: int) -> AbstractContextManager[Tick]:
            return QUIET.watch(what, files)

        def advance(self, dataset: str) -> None:
            if dataset == "toy-smooth":
                cluster.workers[1].kill()

    monkeypatch.setattr("fluxengine.run.BLOCKS_PER_COMMIT", 1)
    product = replace(smooth(Options()), stages=(SmoothOnGpu(),))
    match = "no worker with a GPU is left, and none came within 2 s.*do not declare the resource"
    with pytest.raises(RunFailed, match=match):
        run(world.request(8, product=product), lambda: clusters.executor(config), progress=Killer())


# --- any function --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("victim", "complaint"),
    [("workers", "no worker is left, and none came within 2 s"), ("scheduler", "cluster is gone")],
)
def test_what_is_mapped_does_not_wait_for_ever(
    victim: str,
    complaint: str,
    started: Callable[..., Cluster],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clusters, "CONNECT", "2s")
    cluster = started()
    with clusters.mapper(patient(cluster, 1)) as mapped:
        monkeypatch.setattr(executors, "GLANCE", 0.2)
        results = mapped(time.sleep, [0, 600])
        assert next(results) is None
        (cluster.scheduler if victim == "scheduler" else cluster.workers[0]).kill()
        with pytest.raises(RunFailed, match=complaint) as caught:
            next(results)
    assert "blocks" not in str(caught.value)


def test_what_is_mapped_is_there_as_soon_as_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pause for each item took longer than many items do."""
    pause = SimpleNamespace(monotonic=time.monotonic, sleep=lambda _: pytest.fail("a pause"))
    with cluster_of_threads() as (_, client):
        monkeypatch.setattr(executors, "time", pause)
        assert list(mapped_on(client)(abs, range(-3, 0))) == [3, 2, 1]


def test_what_went_wrong_with_what_is_mapped_is_said_in_words() -> None:
    def fails(error: Exception) -> None:
        raise error

    killed = distributed.KilledWorker("x", SimpleNamespace(address="tcp://x:1"), 3)
    with cluster_of_threads() as (_, client):
        mapped = mapped_on(client)
        assert list(mapped(abs, [-1, 2])) == [1, 2]
        with pytest.raises(RunFailed, match=r"workers died again and again.*more `memory`"):
            list(mapped(fails, [killed]))
        with pytest.raises(RunFailed, match="a worker failed: ImportError: no toys"):
            list(mapped(fails, [ImportError("no toys")]))
        with pytest.raises(MissingFile, match="it is gone"):
            list(mapped(fails, [MissingFile("it is gone.")]))
