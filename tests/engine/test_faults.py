"""Runs that die: killed, crowded out of the disk, robbed of workers. The same command goes on."""

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
from toyworld import World

from fluxengine.errors import NoSpace
from fluxengine.store import Store, open_dataset

RUN = """
import fluxengine.run
fluxengine.run.BLOCKS_PER_COMMIT = 2  # so that a run of seconds commits many times
from fluxengine.cli import script
script()
"""
DAYS = 20  # five blocks of the source, 30 in all
PAUSE = 0.05  # seconds that each block of toy-coarse takes


def start(world: World, profile: str) -> subprocess.Popen[str]:
    """The run as a process of its own."""
    path = world.run_file(DAYS, options=f"{{pause: {PAUSE}}}")
    words = ["run", "-c", str(path), "--profile", profile]
    return subprocess.Popen(
        [sys.executable, "-c", RUN, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    told, _ = process.communicate(timeout=120)
    assert process.returncode == 0, told
    return told


def commits(store: Path) -> int:
    return len(list(store.glob("*/snapshots/*")))


def wait_until(true: Callable[[], bool], what: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.01)


def workers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(process.pid).children(recursive=True)
    return []


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a killed run leaves behind goes where the test's own files go."""
    (tmp_path / "scratch").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))


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


class Reader(threading.Thread):
    """Reads what is published, again and again, and notes what is neither old nor new."""

    def __init__(self, world: World, clean: World) -> None:
        super().__init__(daemon=True)
        self.world, self.over, self.reads = world, threading.Event(), 0
        self.known = [self._read(world), self._read(clean)]
        self.strange: list[str] = []

    def _read(self, world: World) -> dict[str, np.ndarray]:
        names = ("toy-passes", "toy-smooth", "toy")
        return {name: open_dataset(world.store, name)["wind"].values for name in names}

    def run(self) -> None:
        while not self.over.is_set():
            for name, values in self._read(self.world).items():
                if not any(np.array_equal(values, k[name], equal_nan=True) for k in self.known):
                    self.strange.append(name)
            self.reads += 1
            time.sleep(0.1)


@contextmanager
def reader(world: World, clean: World) -> Iterator[None]:
    watching = Reader(world, clean)
    watching.start()
    yield
    watching.over.set()
    watching.join(30)
    assert watching.reads > 2
    assert watching.strange == []


def kill_at_random_moments(world: World, clean: World, times: int, commits_each: int) -> None:
    dice = random.Random(times)
    with reader(world, clean):
        for _ in range(times):
            run = start(world, "local")
            goal = commits(world.store) + dice.randrange(1, 1 + commits_each)
            wait_until(lambda: commits(world.store) >= goal or run.poll() is not None, "commits")  # noqa: B023
            time.sleep(dice.random() * 0.1)
            workers = workers_of(run)
            assert len(workers) >= 2
            run.kill()
            run.communicate()
            assert run.returncode == -signal.SIGKILL  # it was still at work
            wait_until(
                lambda: not any(w.is_running() and w.status() != "zombie" for w in workers),  # noqa: B023
                "orphaned workers to end",
                15,
            )
        finish(start(world, "serial"))
    assert world.content() == clean.content()


def test_a_run_killed_at_any_moment_goes_on_and_readers_see_whole_versions(
    revised: tuple[World, World],
) -> None:
    kill_at_random_moments(*revised, times=2, commits_each=4)


@pytest.mark.slow
def test_a_run_killed_many_times_goes_on(revised: tuple[World, World]) -> None:
    kill_at_random_moments(*revised, times=8, commits_each=1)


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


def test_a_killed_worker_does_not_stop_the_run(revised: tuple[World, World]) -> None:
    world, clean = revised
    run, before = start(world, "local"), commits(world.store)
    wait_until(lambda: commits(world.store) > before + 1, "commits")
    victim = next(w for w in workers_of(run) if "spawn_main" in " ".join(w.cmdline()))
    victim.send_signal(signal.SIGKILL)
    finish(run)
    assert world.content() == clean.content()


def test_a_run_stopped_by_the_terminal_ends_with_an_error_and_goes_on(
    revised: tuple[World, World],
) -> None:
    world, clean = revised
    run, before = start(world, "serial"), commits(world.store)
    wait_until(lambda: commits(world.store) > before, "a commit")
    run.send_signal(signal.SIGINT)
    told, _ = run.communicate(timeout=60)
    assert run.returncode not in (0, 3)
    assert "Traceback" not in told
    finish(start(world, "serial"))
    assert world.content() == clean.content()


# --- disk full -----------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 6 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a disk to fill cannot be mounted here: it needs root")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(disk: Path, leave: int) -> Path:
    """Fill a disk up to some free bytes with a file that can be deleted later."""
    ballast = disk / "ballast"
    stat = os.statvfs(disk)
    ballast.write_bytes(b"x" * max(0, stat.f_bavail * stat.f_frsize - leave))
    return ballast


@pytest.fixture
def crowded(made: World, small_disk: Path) -> World:
    """The world with its store on the small disk, and every file revised."""
    shutil.move(made.store, small_disk / "store")
    made.store.symlink_to(small_disk / "store")
    made.write(*range(1, 13), seed=1)
    return made


@pytest.mark.parametrize("leave", [0, 60_000, 200_000])
def test_a_full_disk_leaves_the_published_version_and_the_same_run_goes_on(
    crowded: World, small_disk: Path, tmp_path_factory: pytest.TempPathFactory, leave: int
) -> None:
    before = open_dataset(crowded.store).load()
    ballast = fill(small_disk, leave)
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
def test_a_full_disk_is_exit_code_one_in_words(
    crowded: World, small_disk: Path, profile: str
) -> None:
    ballast = fill(small_disk, 50_000)
    path = crowded.run_file(store=crowded.store)
    command = [sys.executable, "-c", RUN, "run", "-c", str(path), "--profile"]
    full = subprocess.run([*command, profile], capture_output=True, text=True)
    assert full.returncode == 1
    assert "the disk is full. What was published is untouched." in full.stderr
    assert "Traceback" not in full.stderr
    ballast.unlink()
    assert subprocess.run([*command, "serial"], capture_output=True).returncode == 0


def test_a_disk_that_is_full_from_the_start_makes_no_store(world: World, small_disk: Path) -> None:
    fill(small_disk, 0)
    with pytest.raises(NoSpace):
        Store.at(small_disk / "store", create=True)
