"""Runs that die: killed, crowded out of the disk, robbed of workers. The same command goes on."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest
from processes import (
    RUN,
    commits,
    fill,
    finish,
    kill_at_random_commits,
    reader,
    small_disk,
    start,
    wait_until,
    workers_of,
)
from toyworld import World

from fluxengine.errors import NoSpace
from fluxengine.store import Store, open_dataset

DAYS = 20  # five blocks of the source, 30 in all
OPTIONS = "{pause: 0.05}"  # seconds that each block of toy-coarse takes


@pytest.fixture(autouse=True)
def scratch(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a killed run leaves behind goes where it is deleted; a short name, for sockets in it."""
    with TemporaryDirectory(prefix="ff-", ignore_cleanup_errors=True) as folder:
        monkeypatch.setenv("TMPDIR", folder)
        yield


@pytest.fixture(scope="module")
def revised_once(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, World]:
    world, clean = (World(tmp_path_factory.mktemp(name)) for name in ("world", "clean"))
    world.write(*range(1, DAYS + 1))
    world.run(DAYS, pause=0.0)
    for one in (world, clean):
        one.write(*range(1, DAYS + 1), seed=1)
    clean.run(DAYS, pause=0.0)
    return world, clean


@pytest.fixture
def revised(revised_once: tuple[World, World], tmp_path: Path) -> tuple[World, World]:
    """A published version whose every file was revised since; and where a clean run leads."""
    world, clean = revised_once
    shutil.copytree(world.folder, tmp_path, dirs_exist_ok=True)
    return World(tmp_path), clean


@pytest.mark.faults
def test_a_run_killed_at_any_moment_goes_on_and_readers_see_whole_versions(
    revised: tuple[World, World],
) -> None:
    world, clean = revised
    path = world.run_file(DAYS, OPTIONS)
    with reader(world, world, clean):
        kill_at_random_commits(path, world.store, times=2, commits_each=4)
        finish(start(path, "serial"))
    assert world.content() == clean.content()


@pytest.mark.parametrize("moment", [0.1, 0.4])
def test_a_first_run_killed_while_it_makes_its_datasets_goes_on(
    world: World, first_run: World, moment: float
) -> None:
    path = world.run_file()
    run = subprocess.Popen(
        [sys.executable, "-c", RUN, "run", "-c", str(path)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_until(lambda: (world.store / "fluxforge-store.json").exists(), "the store")
    time.sleep(moment)
    run.kill()
    run.wait()
    world.run()
    assert world.content() == first_run.content()


@pytest.mark.faults
def test_a_killed_worker_does_not_stop_the_run(revised: tuple[World, World]) -> None:
    world, clean = revised
    run, before = start(world.run_file(DAYS, OPTIONS), "local"), commits(world.store)
    wait_until(lambda: commits(world.store) > before + 1, "commits")
    victim = next(w for w in workers_of(run) if "forkserver" in " ".join(w.parent().cmdline()))
    victim.send_signal(signal.SIGKILL)
    finish(run)
    assert world.content() == clean.content()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_is_told_to_end_keeps_what_was_finished(
    revised: tuple[World, World], number: signal.Signals
) -> None:
    """`kill`, a service that is stopped, a closed terminal: of the run itself, not its workers."""
    world, clean = revised
    path, before = world.run_file(DAYS, "{pause: 0.3}"), commits(world.store)
    here = signal.signal(number, signal.SIG_DFL)  # a run under `nohup` is to ignore one of them
    run = start(path, "local", terminal=True)
    signal.signal(number, here)
    wait_until(lambda: commits(world.store) > before, "a commit")
    workers = workers_of(run)
    run.send_signal(number)
    told, _ = run.communicate(timeout=60)
    assert run.returncode == 128 + number
    assert "What was finished is kept; run the same command again" in told
    assert "Traceback" not in told
    assert not psutil.wait_procs(workers, timeout=10)[1]
    finish(start(path, "serial"))
    assert world.content() == clean.content()


@pytest.mark.parametrize("profile", ["serial", "local"])
def test_a_run_stopped_by_the_terminal_ends_with_an_error_and_goes_on(
    revised: tuple[World, World], profile: str
) -> None:
    """Ctrl-C goes to all processes that run at the terminal, workers too."""
    world, clean = revised
    # Slow enough for the signal to come in time on a crowded machine.
    path, before = world.run_file(DAYS, "{pause: 0.3}"), commits(world.store)
    run = start(path, profile, terminal=True)
    wait_until(lambda: commits(world.store) > before, "a commit")
    os.killpg(run.pid, signal.SIGINT)
    told, _ = run.communicate(timeout=60)
    assert run.returncode == 130, told
    assert (
        "Traceback" not in told and "What was finished is kept; run the same command again" in told
    )
    finish(start(path, "serial"))
    assert world.content() == clean.content()


# --- disk full -----------------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk") as place:
        yield place


@pytest.fixture
def crowded(made: World, disk: Path) -> World:
    """The world with its store on the small disk, and every file revised."""
    shutil.move(made.store, disk / "store")
    made.store.symlink_to(disk / "store")
    made.write(*range(1, 13), seed=1)
    return made


@pytest.mark.parametrize("leave", [0, 60_000, 200_000])
def test_a_full_disk_leaves_the_published_version_and_the_same_run_goes_on(
    crowded: World, disk: Path, tmp_path_factory: pytest.TempPathFactory, leave: int
) -> None:
    before = open_dataset(crowded.store).load()
    ballast = fill(disk, leave)
    with pytest.raises(NoSpace, match="the disk is full"):
        crowded.run()
    assert open_dataset(crowded.store).load().identical(before)
    assert Store.at(crowded.store).repository("toy").versions == ("v1",)
    ballast.unlink()
    crowded.run()
    clean = World(tmp_path_factory.mktemp("clean"))
    clean.write(*range(1, 13), seed=1)
    clean.run()
    assert crowded.content() == clean.content()


@pytest.mark.parametrize("profile", ["serial", pytest.param("local", marks=pytest.mark.slow)])
def test_a_full_disk_is_exit_code_one_in_words(crowded: World, disk: Path, profile: str) -> None:
    ballast = fill(disk, 50_000)
    path = crowded.run_file(store=crowded.store)
    command = [sys.executable, "-c", RUN, "run", "-c", str(path), "--profile"]
    full = subprocess.run([*command, profile], capture_output=True, text=True)
    assert full.returncode == 1
    assert "the disk is full. What was published is untouched." in full.stderr
    assert "Traceback" not in full.stderr
    ballast.unlink()
    assert subprocess.run([*command, "serial"], capture_output=True).returncode == 0


def test_a_disk_that_is_full_from_the_start_makes_no_store(world: World, disk: Path) -> None:
    fill(disk, 0)
    with pytest.raises(NoSpace):
        Store.at(disk / "store", create=True)
