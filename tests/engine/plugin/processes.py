"""Runs as processes of their own, to be killed; a reader beside them; disks that are small."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

import numpy as np
import psutil
import pytest
from toyworld import World

from fluxengine import clusters
from fluxengine.config import ClusterConfig
from fluxengine.deployments import PROFILER, as_environment
from fluxengine.run import Summary, run
from fluxengine.store import open_dataset

DASK = Path(sys.executable).with_name("dask")
PLUGIN = Path(__file__).parent

RUN = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
import fluxengine.run
fluxengine.run.BLOCKS_PER_COMMIT = 2  # so that a run of seconds commits many times
from fluxengine.cli import script
script()
"""
NAMES = ("toy-passes", "toy-smooth", "toy")


def start(
    path: Path, profile: str, program: str = RUN, *, terminal: bool = False
) -> subprocess.Popen[str]:
    """The run of a run file as a process of its own; as at a terminal of its own, with its own."""
    words = ["run", "-c", str(path), "--profile", profile]
    return subprocess.Popen(
        [sys.executable, "-c", program, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=terminal,
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


def _is_written(file: Path) -> bool:
    return file.exists() and bool(file.read_text())


def workers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(process.pid).children(recursive=True)
    return []


def kill_with_workers(run: subprocess.Popen[str]) -> None:
    """Kill the client of a run at work; its own workers must end by themselves."""
    workers = workers_of(run)
    assert len(workers) >= 2
    run.kill()
    run.communicate()
    assert run.returncode == -signal.SIGKILL  # it was still at work
    wait_until(
        lambda: not any(w.is_running() and w.status() != "zombie" for w in workers),
        "orphaned workers to end",
        15,
    )


def kill_at_random_commits(path: Path, store: Path, times: int, commits_each: int) -> None:
    """Start a run with workers of its own and kill it after some commits, again and again."""
    dice = Random(times)
    for _ in range(times):
        run = start(path, "local")
        goal = commits(store) + dice.randrange(1, 1 + commits_each)
        wait_until(lambda: commits(store) >= goal or run.poll() is not None, "commits")  # noqa: B023
        time.sleep(dice.random() * 0.1)
        kill_with_workers(run)


class Cluster:
    """A scheduler and workers, started from the shell as on somebody's own machines."""

    def __init__(
        self,
        folder: Path,
        plugin: Path = PLUGIN,
        port: int = 0,
        workers: int = 1,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.file = folder / "scheduler.json"
        self.file.unlink(missing_ok=True)
        self.env = {"PYTHONPATH": python_path(plugin), "PATH": "/usr/bin:/bin"}
        self.env |= as_environment({PROFILER: False}) | dict(env or {})
        self.scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", str(port))
        self.workers: list[subprocess.Popen[bytes]] = []
        for _ in range(workers):
            self.add_worker()

    def _start(self, *words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [DASK, *words, "--scheduler-file", str(self.file), "--no-dashboard"],
            env=self.env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def add_worker(self, *words: str) -> None:
        self.workers.append(self._start("worker", "--nthreads", "1", "--no-nanny", *words))

    def replace_worker(self) -> None:
        """Kill the oldest worker; another one comes, as a nanny or a batch system would do."""
        oldest = self.workers.pop(0)
        oldest.kill()
        oldest.wait()
        self.add_worker()

    @property
    def address(self) -> str:
        wait_until(lambda: _is_written(self.file), "the scheduler to start")
        address: str = json.loads(self.file.read_text())["address"]
        return address

    def config(self) -> ClusterConfig:
        return ClusterConfig(kind="address", address=self.address, workers=1)

    def run(self, world: World, *args: int, **options: object) -> Summary:
        config = self.config()
        return run(world.request(*args, **options), lambda: clusters.executor(config))

    def kill(self) -> None:
        for process in (self.scheduler, *self.workers):
            process.kill()
            process.wait()


def settings_of_the_cluster() -> tuple[bool, float]:
    """Whether any worker runs Dask's profiler, and how many blocks a thread its scheduler sends."""
    from distributed import get_client

    client = get_client()
    profiled = client.run(lambda dask_worker: "profile" in dask_worker.periodic_callbacks)
    sent = client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.WORKER_SATURATION)
    return any(profiled.values()), sent


def python_path(plugin: Path) -> str:
    """What this process was given, with another folder of plug-ins."""
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return os.pathsep.join([str(plugin), *(path for path in given if path != str(PLUGIN))])


class Reader(threading.Thread):
    """Reads what is published, again and again, and notes what is none of the known versions."""

    def __init__(self, world: World, *known: World) -> None:
        super().__init__(daemon=True)
        self.world, self.over, self.reads = world, threading.Event(), 0
        self.known = [self._read(one) for one in known]
        self.strange: list[str] = []

    def _read(self, world: World) -> dict[str, np.ndarray]:
        return {name: open_dataset(world.store, name)["wind"].values for name in NAMES}

    def run(self) -> None:
        while not self.over.is_set():
            for name, values in self._read(self.world).items():
                if not any(np.array_equal(values, k[name], equal_nan=True) for k in self.known):
                    self.strange.append(name)
            self.reads += 1
            time.sleep(0.1)


@contextmanager
def reader(world: World, *known: World) -> Iterator[Reader]:
    watching = Reader(world, *known)
    watching.start()
    yield watching
    watching.over.set()
    watching.join(30)
    assert not watching.is_alive()
    assert watching.reads > 2
    assert watching.strange == []


@contextmanager
def small_disk(place: Path, options: str = "size=6m") -> Iterator[Path]:
    """A disk of a few MiB."""
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a disk to fill cannot be mounted here: it needs root")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill(disk: Path, leave: int) -> Path:
    """Fill a disk up to some free bytes with a file that can be deleted later."""
    ballast = disk / "ballast"
    stat = os.statvfs(disk)
    ballast.write_bytes(b"x" * max(0, stat.f_bavail * stat.f_frsize - leave))
    return ballast
