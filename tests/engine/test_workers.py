"""Real workers in processes of their own: same answer, same code, and an end when they are gone."""

from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import copytree, ignore_patterns

import pytest
from processes import PLUGIN, Cluster
from toyworld import World

from fluxengine import clusters
from fluxengine.errors import CodeMismatch, RunFailed
from fluxengine.run import run


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
