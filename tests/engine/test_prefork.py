"""Workers on this machine are forks of a process that may be older than what they shall know."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from fluxengine import prefork
from fluxengine.clusters import mapper, prepare
from fluxengine.config import ClusterConfig

ONE = ClusterConfig(workers=1, memory="1GiB")


def seen_by_a_worker(names: list[str]) -> list[str | None]:
    with mapper(ONE) as mapped:
        return list(mapped(os.getenv, names))


@pytest.fixture(scope="module", autouse=True)
def begun() -> None:
    """It runs with a variable that is gone later."""
    os.environ["FLUX_TEST_OLD"] = "old"
    prepare(ONE)
    assert seen_by_a_worker(["FLUX_TEST_OLD"]) == ["old"]
    del os.environ["FLUX_TEST_OLD"]


def test_a_worker_has_the_environment_as_it_is_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUX_TEST_NEW", "new")
    wanted = ["FLUX_TEST_OLD", "FLUX_TEST_NEW", "HOME"]
    assert seen_by_a_worker(wanted) == [None, "new", os.environ["HOME"]]


def test_libraries_of_a_worker_take_one_thread_each() -> None:
    assert seen_by_a_worker(["MALLOC_ARENA_MAX"]) == ["1"]
    assert seen_by_a_worker(["OMP_NUM_THREADS"]) == [os.environ.get("OMP_NUM_THREADS", "1")]


def test_sets_have_the_same_order_in_the_workers_of_every_run() -> None:
    asked = "print(hash('a word'))"
    as_dask_has_it = os.environ | {"PYTHONHASHSEED": os.environ.get("PYTHONHASHSEED", "6640")}
    wanted = subprocess.check_output([sys.executable, "-c", asked], env=as_dask_has_it, text=True)
    with mapper(ONE) as mapped:
        assert list(mapped(hash, ["a word"])) == [int(wanted)]


def test_a_worker_begins_with_everything_loaded() -> None:
    parent = "' '.join(__import__('psutil').Process().parent().cmdline())"
    modules = "sorted(__import__('sys').modules)"
    with mapper(ONE) as mapped:
        command, loaded = mapped(eval, [parent, modules])
    assert "forkserver" in command
    assert {"xarray", "dask.array", "grimp", "fluxengine.task"} <= set(loaded)


def test_little_is_loaded_before_it_begins() -> None:
    """Else it begins half a second later."""
    asked = "import sys, fluxengine.clusters, fluxengine.config; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", asked], text=True).split()
    assert not {"zarr", "icechunk", "dask", "distributed", "xarray"} & set(loaded)


def forkservers(parent: int) -> list[psutil.Process]:
    children = psutil.Process(parent).children()
    return [child for child in children if "forkserver" in " ".join(child.cmdline())]


# A shell's job in the background ignores Ctrl-C, and so would what a test starts within one.
SCRIPT = """
import signal, time
from fluxengine import clusters, config
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    clusters.prepare(config.ClusterConfig())
    print("begun", flush=True)
    time.sleep(600)
"""


USE = """with clusters.mapper(config.ClusterConfig(workers=1, memory="1GiB")) as mapped:
        print(list(mapped(abs, [-6])))
"""


@pytest.mark.parametrize("stopped_by", [signal.SIGINT, signal.SIGKILL])
def test_it_ends_with_the_process_that_began_it(tmp_path: Path, stopped_by: signal.Signals) -> None:
    """Silently, also at a terminal's Ctrl-C, which comes while it loads."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    with subprocess.Popen(
        [sys.executable, script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "begun\n"
        while not (children := forkservers(process.pid)):  # it may still be about to become one
            time.sleep(0.01)
        if stopped_by == signal.SIGINT:
            os.killpg(process.pid, stopped_by)  # as a terminal does
        else:
            process.kill()
        _, said = process.communicate(timeout=60)
    assert not psutil.wait_procs(children, timeout=60)[1]
    assert said.count("KeyboardInterrupt") == (stopped_by == signal.SIGINT)  # of the script itself


@pytest.mark.parametrize("letters", [prefork.LONGEST, prefork.LONGEST + 1, 180])
def test_a_folder_for_temporary_files_may_have_a_long_name(tmp_path: Path, letters: int) -> None:
    """As some clusters make one for each job; sockets have short names."""
    short = tempfile.mkdtemp(dir="/tmp")
    folder = Path(short, "".ljust(letters - len(f"{short}/"), "x"))
    folder.mkdir()
    program = SCRIPT.replace("time.sleep(600)", USE)
    (tmp_path / "script.py").write_text(program)
    done = subprocess.run(
        [sys.executable, tmp_path / "script.py"],
        env=os.environ | {"TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    shutil.rmtree(short)
    assert (done.stdout, done.stderr) == ("begun\n[6]\n", "")


def test_it_is_begun_once() -> None:
    before = forkservers(os.getpid())
    prepare(ONE)
    time.sleep(0.1)
    assert len(before) == 1 and forkservers(os.getpid()) == before


def test_workers_end_with_what_they_are_forks_of_and_others_take_their_place() -> None:
    with mapper(ONE) as mapped:
        (worker,) = mapped(eval, ["__import__('os').getpid()"])
        (server,) = forkservers(os.getpid())
        left = [process for process in server.children() if process.pid == worker]
        server.kill()
        assert left and not psutil.wait_procs(left, timeout=60)[1]
        (other,) = mapped(eval, ["__import__('os').getpid()"])
    assert other != worker
