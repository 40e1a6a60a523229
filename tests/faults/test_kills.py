"""Clients, workers and schedulers killed at any moment, and two runs at once. The same command."""

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from processes import (
    RUN,
    Cluster,
    commits,
    finish,
    kill_at_random_commits,
    reader,
    start,
    wait_until,
)
from shapesworld import Shapes
from toyshapes import land, leads, transport
from toyworld import World
from trials import DAYS, Tally, Worlds

from fluxengine.deployments import as_environment

pytestmark = pytest.mark.faults

OPTIONS = "{pause: 0.05}"
ALL_DAYS = range(1, DAYS + 1)
# What takes time to import is there before the moments are counted.
PROGRAM = (
    """
import grimp, xarray, pangeo_forge_recipes.aggregation
import fluxengine.clusters, fluxengine.config, fluxengine.show
fluxengine.clusters.CONNECT = "3s"  # so that a scheduler that is gone is given up soon
print("begins", flush=True)
"""
    + RUN
)
Begin = Callable[[str], Tally]


def begin(path: Path, profile: str = "serial", program: str = PROGRAM) -> subprocess.Popen[str]:
    """A run that has all its modules and now begins."""
    run = start(path, profile, program)
    assert run.stdout is not None and run.stdout.readline() == "begins\n"
    return run


def duration(path: Path, profile: str = "serial", program: str = PROGRAM) -> float:
    """Seconds that a clean run takes."""
    run = begin(path, profile, program)
    began = time.monotonic()
    finish(run)
    return time.monotonic() - began


def moments(number: int, seconds: float) -> Iterator[float]:
    """Random moments spread evenly over some seconds."""
    dice = Random(number)
    return ((part + dice.random()) / number * seconds for part in range(number))


def kill(run: subprocess.Popen[str], moment: float) -> bool:
    """Whether the run was still at work."""
    time.sleep(moment)
    run.kill()
    run.communicate()
    assert run.returncode in (0, -signal.SIGKILL)
    return run.returncode != 0


# --- the client ----------------------------------------------------------------------------------


def test_a_killed_client_while_readers_read(worlds: Worlds, tmp_path: Path, tally: Begin) -> None:
    row = tally("client killed, readers reading")
    world, killed = worlds.revised(tmp_path), 0
    path = world.run_file(DAYS, OPTIONS)
    lasts = duration(path)
    with reader(world, *worlds.clean) as watching:
        for seed, moment in enumerate(moments(20, lasts)):
            world.write(*ALL_DAYS, seed=seed % 2)
            killed += kill(begin(path), moment)
            finish(start(path, "serial"))
            row.compare(world.store, worlds.clean[seed % 2].store)
    row.remark = f"{killed} at work; {watching.reads} reads, all of whole versions"
    row.check()
    assert killed >= 10


def test_a_client_killed_in_its_first_run(
    worlds: Worlds, folders: Iterator[Path], tally: Begin
) -> None:
    row, killed = tally("client killed in a first run"), 0
    lasts = duration(worlds.fresh(next(folders)).run_file(DAYS, OPTIONS))
    for moment in moments(10, lasts):
        world = worlds.fresh(next(folders))
        killed += kill(begin(world.run_file(DAYS, OPTIONS)), moment)
        world.run(DAYS, pause=0.05)
        row.compare(world.store, worlds.clean[1].store)
    row.remark = f"{killed} at work"
    row.check()


def test_a_client_killed_again_and_again_with_workers_of_its_own(
    folders: Iterator[Path], tally: Begin
) -> None:
    """Its workers end by themselves; a run of many commits is killed after each of the first."""
    row, days = tally("client killed with its workers"), 20
    old, world, clean = (World(next(folders)) for _ in range(3))
    for one, seed in ((old, 0), (world, 0), (clean, 1)):
        one.write(*range(1, days + 1), seed=seed)
        one.run(days)
    world.write(*range(1, days + 1), seed=1)
    path = world.run_file(days, OPTIONS)
    with reader(world, old, clean) as watching:
        kill_at_random_commits(path, world.store, times=6, commits_each=1)
        finish(start(path, "serial"))
    row.compare(world.store, clean.store)
    row.seeds, row.remark = 6, f"one run; {watching.reads} reads, all of whole versions"
    row.check()


# --- workers -------------------------------------------------------------------------------------


@contextmanager
def cluster(folder: Path, **options: Any) -> Iterator[Cluster]:
    made = Cluster(folder, **options)
    try:
        assert made.address
        yield made
    finally:
        made.kill()


def add_profile(path: Path, world: World, address: str) -> None:
    """The profile `address`: workers that somebody started."""
    where = f"{{kind: address, address: '{address}'}}"
    path.write_text(f"{path.read_text()}  address: {{store: {world.store}, cluster: {where}}}\n")


def test_killed_workers(worlds: Worlds, tmp_path: Path, tally: Begin) -> None:
    row, world, killed = tally("worker killed"), worlds.published(tmp_path), 0
    path = world.run_file(DAYS, OPTIONS)
    with cluster(tmp_path, workers=2) as started:
        add_profile(path, world, started.address)
        finish(start(path, "address"))  # now the workers have all their modules
        world.write(*ALL_DAYS, seed=1)
        lasts = duration(path, "address")
        for seed, moment in enumerate(moments(20, lasts)):
            world.write(*ALL_DAYS, seed=seed % 2)
            run = begin(path, "address")
            time.sleep(moment)
            killed += run.poll() is None
            for _ in range(2 if seed % 5 == 2 else 1):
                started.replace_worker()
            finish(run)  # exit code 0
            row.compare(world.store, worlds.clean[seed % 2].store)
    row.remark = f"{killed} at work, and the run went on; both at once in every fifth"
    row.check()


def test_silent_workers(worlds: Worlds, tmp_path: Path, tally: Begin) -> None:
    """Stopped, as when a node hangs: they neither answer nor end."""
    row, world, silenced = tally("worker silent"), worlds.published(tmp_path), 0
    path = world.run_file(DAYS, OPTIONS)
    # Dask gives a worker up that was not heard of for five minutes.
    soon = as_environment({"distributed.scheduler.worker-ttl": "5s"})
    with cluster(tmp_path, workers=2, env=soon) as started:
        add_profile(path, world, started.address)
        finish(start(path, "address"))
        world.write(*ALL_DAYS, seed=1)
        lasts = duration(path, "address")
        for seed, moment in enumerate(moments(4, 0.8 * lasts)):
            world.write(*ALL_DAYS, seed=seed % 2)
            run = begin(path, "address")
            time.sleep(moment)
            silenced += run.poll() is None
            started.workers[0].send_signal(signal.SIGSTOP)
            finish(run)  # exit code 0
            row.compare(world.store, worlds.clean[seed % 2].store)
            started.replace_worker()
    row.remark = f"{silenced} at work, and the run went on without it"
    row.check()
    assert silenced >= 2


def test_the_last_worker_killed(worlds: Worlds, tmp_path: Path, tally: Begin) -> None:
    """No other one comes: an end in words, and the same command goes on once there is one."""
    row, world = tally("last worker killed"), worlds.revised(tmp_path)
    path = world.run_file(DAYS, "{pause: 1.0}")
    with cluster(tmp_path) as started:
        add_profile(path, world, started.address)
        path.write_text(path.read_text().replace("kind: address", "kind: address, wait: 6"))
        run, before = begin(path, "address"), commits(world.store)
        wait_until(lambda: commits(world.store) > before, "a commit")
        started.workers[0].kill()
        words, _ = run.communicate(timeout=60)
        assert run.returncode == 1
        assert "no worker is left" in words
        assert "Traceback" not in words
        started.add_worker()
        finish(start(path, "address"))
    row.compare(world.store, worlds.clean[1].store)
    row.remark = "exit code 1 in words; with another worker it goes on"
    row.check()


# --- the scheduler -------------------------------------------------------------------------------


def test_a_killed_scheduler(worlds: Worlds, tmp_path: Path, tally: Begin) -> None:
    row, world, told = tally("scheduler killed"), worlds.revised(tmp_path), []
    path = world.run_file(DAYS, OPTIONS)
    with cluster(tmp_path) as first:
        port = int(first.address.rpartition(":")[2])
        add_profile(path, world, first.address)
        lasts = duration(path, "address")
    for seed, moment in enumerate(moments(20, 0.9 * lasts)):
        world.write(*ALL_DAYS, seed=seed % 2)
        with cluster(tmp_path, port=port) as doomed:
            run = begin(path, "address")
            time.sleep(moment)
            doomed.scheduler.kill()
            words, _ = run.communicate(timeout=120)
            told.append((run.returncode, words))
        with cluster(tmp_path, port=port):
            finish(start(path, "address"))
        row.compare(world.store, worlds.clean[seed % 2].store)
    row.remark = f"{sum(code != 0 for code, _ in told)} told by exit code 1"
    row.check()
    for code, words in told:
        assert code in (0, 1)
        assert "Traceback" not in words


# --- two runs on one store -----------------------------------------------------------------------


def test_two_runs_at_once(worlds: Worlds, tmp_path: Path, tally: Begin) -> None:
    row, world, dice = tally("two runs on one store"), worlds.revised(tmp_path), Random(2)
    path = world.run_file(DAYS, "{pause: 2.0}")
    for seed in (1, 2, 3, 4):
        world.write(*ALL_DAYS, seed=seed % 2)
        runs = [begin(path)]
        time.sleep(dice.choice([0, dice.random()]))
        runs.append(begin(path))
        told = [run.communicate(timeout=120)[0] for run in runs]
        assert sorted(run.returncode for run in runs) == [0, 1], told
        (refused,) = (words for run, words in zip(runs, told, strict=True) if run.returncode)
        assert "another run is writing to this store" in refused
        row.compare(world.store, worlds.clean[seed % 2].store)
    row.remark = "one refused at once, in words"
    row.check()


# --- products of other shapes --------------------------------------------------------------------

SHAPES = {
    "toy-leads": leads.leads(leads.Options()),
    "toy-transport": transport.transport(transport.Options()),
    "toy-land": land.land(land.Options()),
}
SLOW = """
import time
from fluxengine import executors
at_once = executors.run_block
executors.run_block = lambda job: (time.sleep(0.1), at_once(job))[1]
"""
RUN_FILE = """\
product: {product}
period: {{first: 2020-01-01, last: 2020-01-12}}
archives: {{shapes: {folder}/archive}}
profiles:
  serial: {{store: {folder}/store, cluster: {{kind: serial}}}}
"""


@pytest.mark.parametrize("product", SHAPES)
def test_products_of_other_shapes(product: str, folders: Iterator[Path], tally: Begin) -> None:
    row, killed = tally(f"client killed: {product}"), 0
    world, *clean = (Shapes(next(folders)) for _ in range(3))
    for seed, one in enumerate(clean):
        one.write_all(seed)
        one.run(SHAPES[product])
    path = world.folder / "run.yaml"
    path.write_text(RUN_FILE.format(product=product, folder=world.folder))
    world.write_all(seed=1)
    lasts = duration(path, program=SLOW + PROGRAM)
    for seed, moment in enumerate(moments(3, lasts)):
        world.write_all(seed % 2)
        killed += kill(begin(path, program=SLOW + PROGRAM), moment)
        finish(start(path, "serial"))
        row.compare(world.store, clean[seed % 2].store)
    row.remark = f"{killed} at work"
    row.check()
