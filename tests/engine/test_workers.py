"""Real workers in processes of their own: same answer, same code, and an end when they are gone."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from shutil import copytree, ignore_patterns
from types import SimpleNamespace
from typing import Any

import distributed
import pytest
from processes import PLUGIN, Cluster
from toyfields.products import Options, smooth
from toyfields.stages import SmoothOnGpu
from toyworld import World, record_of

from fluxengine import clusters, task
from fluxengine.errors import CodeMismatch, RunFailed, VersionMismatch
from fluxengine.executors import on_cluster
from fluxengine.grid import Block
from fluxengine.progress import QUIET, Tick
from fluxengine.run import run
from fluxengine.task import Job


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Callable[..., Cluster]]:
    started = []

    def start(plugin: Path = PLUGIN) -> Cluster:
        started.append(Cluster(tmp_path, plugin))
        return started[-1]

    yield start
    for one in started:
        one.kill()


def test_workers_give_the_same_digests_as_this_process(
    world: World, first_run: World, cluster: Callable[..., Cluster]
) -> None:
    summary = cluster().run(world)
    assert summary.blocks["toy-smooth"] == 9
    assert world.content() == first_run.content()


def test_blocks_for_a_gpu_go_to_workers_that_declare_one(
    world: World, cluster: Callable[..., Cluster]
) -> None:
    """No GPU is needed for that: a worker says what it has."""
    started = cluster()
    started.add_worker("--name", "with-gpu", "--resources", "GPU=1")
    config = started.config()
    with distributed.Client(config.address) as client:
        client.wait_for_workers(2, timeout=30)
    product = smooth(Options())
    on_gpu = replace(product, stages=(SmoothOnGpu(),))
    run(world.request(product=on_gpu), lambda: clusters.executor(config))
    blocks = [f"{time:04}-0-0-{tile}" for time in range(3) for tile in range(3)]
    records = [record_of(world.store, "toy-smooth", block) for block in blocks]
    assert {record["worker"] for record in records} == {"with-gpu"}


class Counting(distributed.Client):
    """Notes how many of its tasks were on their way at most."""

    most = 0

    def submit(self, *args: Any, **options: Any) -> Any:
        future = super().submit(*args, **options)
        on_their_way = sum(one.status == "pending" for one in self.futures.values())
        self.most = max(self.most, on_their_way)
        return future


def test_blocks_that_are_tried_again_take_no_more_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every worker dies unless a block is made step by step."""

    def made_step_by_step(job: Job) -> str:
        time.sleep(0.05)
        if job.batch != 1:
            raise distributed.KilledWorker(job.name, SimpleNamespace(address="tcp://x:1"), 3)
        return job.name

    monkeypatch.setattr("fluxengine.executors.run_block", made_step_by_step)
    product = smooth(Options())
    blocks = [Block((n,), {"time": slice(2 * n, 2 * n + 2)}) for n in range(30)]
    jobs = [Job(product, (), block, None, None, {}) for block in blocks]  # type: ignore[arg-type]
    with (
        distributed.LocalCluster(
            processes=False, n_workers=1, threads_per_worker=8, dashboard_address=None
        ) as cluster,
        Counting(cluster) as client,
    ):
        made = [one for one in on_cluster(client, in_flight=4)(jobs) if one is not None]
    assert sorted(map(str, made)) == [job.name for job in jobs]
    assert client.most == 4


def test_a_worker_with_other_code_refuses_and_names_the_module(
    made: World, tmp_path: Path, cluster: Callable[..., Cluster]
) -> None:
    before = made.content()
    other = copytree(PLUGIN, tmp_path / "other", ignore=ignore_patterns("__pycache__"))
    numbers = other / "toyfields" / "numbers.py"
    numbers.write_text(numbers.read_text().replace("before, after + 1", "before, after"))
    with pytest.raises(CodeMismatch, match=r"this worker has code 'toyfields\.numbers'"):
        cluster(other).run(made, before=1)
    assert made.content() == before


def test_a_worker_that_came_late_with_other_libraries_refuses(
    made: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that are there at the beginning are compared before; this one came after."""
    before = made.content()
    made.write(5, seed=1)
    elsewhere = (*task.of_what_computes()[:-1], ("icechunk", "0.1"))
    monkeypatch.setattr(task, "of_what_computes", lambda: elsewhere)
    match = r"icechunk \S+ where the run was started, 0\.1 on this worker.*Finished blocks are kept"
    with pytest.raises(VersionMismatch, match=match):
        made.run()
    assert made.content() == before


def test_a_scheduler_that_dies_ends_the_run_with_an_error_and_the_next_run_goes_on(
    made: World, cluster: Callable[..., Cluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "CONNECT", "2s")
    made.write(*range(1, 13), seed=1)
    gone = cluster()

    class Killer:
        """Kills the scheduler when the first block is done."""

        def begin(self, dataset: str, blocks: int) -> None: ...

        def watch(self, what: str, files: int) -> AbstractContextManager[Tick]:
            return QUIET.watch(what, files)

        def advance(self, dataset: str) -> None:
            gone.scheduler.kill()

    config = gone.config()
    with pytest.raises(RunFailed, match="the cluster is gone"):
        run(made.request(pause=0.5), lambda: clusters.executor(config), progress=Killer())
    assert made.run().published["toy"] == "v2"


def test_a_worker_without_the_plugin_is_told_as_such(
    world: World, tmp_path: Path, cluster: Callable[..., Cluster]
) -> None:
    with pytest.raises(RunFailed, match=r"No module named 'toyfields'.*plug-ins installed there"):
        cluster(tmp_path).run(world)


@pytest.mark.parametrize("answer", [{}, OSError("closed"), TimeoutError()])
def test_a_scheduler_that_is_gone_before_the_first_block_is_told_in_words(answer):
    """Its client then has no list of workers, or cannot ask for one."""

    class Lost:
        def scheduler_info(self, n_workers: int) -> dict[str, object]:
            if isinstance(answer, Exception):
                raise answer
            return answer

    execute = on_cluster(Lost(), in_flight=2, wait=1.0)
    with pytest.raises(RunFailed, match="the cluster is gone: its scheduler does not answer"):
        next(iter(execute(iter(()))))
