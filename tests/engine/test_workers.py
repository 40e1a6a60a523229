"""Real workers in processes of their own: same answer, same code, and an end when they are gone."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from shutil import copytree, ignore_patterns

import distributed
import pytest
import toyfields
from toyfields.products import Options, smooth
from toyfields.stages import SmoothOnGpu
from toyworld import World, record_of

from fluxengine import clusters
from fluxengine.clusters import ClusterConfig
from fluxengine.errors import CodeMismatch, RunFailed
from fluxengine.run import Summary, run

DASK = Path(sys.executable).with_name("dask")
PLUGIN = Path(toyfields.__file__).parent.parent


class Cluster:
    """A scheduler and one worker, started from the shell as on somebody's own machines."""

    def __init__(self, folder: Path, plugin: Path) -> None:
        file = folder / "scheduler.json"
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        env = {"PYTHONPATH": str(plugin), "PATH": "/usr/bin:/bin"}
        words = ["--scheduler-file", str(file), "--no-dashboard"]
        self.scheduler = subprocess.Popen(
            [DASK, "scheduler", "--host", "127.0.0.1", "--port", "0", *words], env=env, **quiet
        )
        self.file, self.env, self.workers = file, env, []
        self.add_worker()

    def add_worker(self, *words: str) -> None:
        command = [DASK, "worker", "--nthreads", "1", "--no-nanny", "--no-dashboard"]
        command += ["--scheduler-file", str(self.file), *words]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.workers.append(subprocess.Popen(command, env=self.env, **quiet))

    def config(self) -> ClusterConfig:
        import json

        end = time.monotonic() + 30
        while not self.file.exists():
            assert time.monotonic() < end, "the scheduler did not start"
            time.sleep(0.05)
        address = json.loads(self.file.read_text())["address"]
        return ClusterConfig(kind="address", address=address, workers=1)

    def run(self, world: World, *args: int, **options: object) -> Summary:
        config = self.config()
        return run(world.request(*args, **options), lambda: clusters.executor(config))

    def kill(self) -> None:
        for process in (self.scheduler, *self.workers):
            process.kill()
            process.wait()


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


def test_a_scheduler_that_dies_ends_the_run_with_an_error_and_the_next_run_goes_on(
    made: World, cluster: Callable[..., Cluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "CONNECT", "2s")
    made.write(*range(1, 13), seed=1)
    gone = cluster()

    class Killer:
        """Kills the scheduler when the first block is done."""

        def begin(self, dataset: str, blocks: int) -> None: ...

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
