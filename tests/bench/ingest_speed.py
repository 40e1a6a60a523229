"""Ingest of a satellite-year of RSS bytemaps beside ``gzip -dc`` of the same files.

Run it with ``make bench-ingest``. A few simulated days of F17 stand under the names of all days.
`gzip` and ``fluxforge ingest``, each with one process and with two, take turns; CPU-seconds, user
and system, of all their processes (ingest: client, scheduler and workers), and seconds by the
clock, which mean something on a quiet machine only.
"""

from __future__ import annotations

import argparse
import ctypes
import gzip
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path

import numpy as np

FIRST = date(2016, 1, 1)
RUN_FILE = """\
product: deepflux
period: {{first: {first}, last: {last}}}
archives: {{rss: archive}}
profiles:
  one: {{store: store, cluster: {{kind: local, workers: 1, threads: 1, memory: 3GiB}}}}
  two: {{store: store, cluster: {{kind: local, workers: 2, threads: 1, memory: 3GiB}}}}
"""
ADOPT = 36  # PR_SET_CHILD_SUBREAPER: whose parent ended becomes this process's child
PROFILES = {1: "one", 2: "two"}


def simulated(number: int) -> bytes:
    """A packed bytemap of F17, as `fluxforge simulate` writes it but for gzip's usual level."""
    from fluxrecipes.nature import instruments
    from fluxrecipes.nature.orbits import F17
    from fluxrecipes.nature.world import World

    day = np.datetime64(FIRST + timedelta(days=number))
    passes = ("descending", "ascending")
    maps = [instruments.pass_map(World(1), F17, day, which) for which in passes]
    return gzip.compress(np.stack(maps).tobytes(), compresslevel=6, mtime=0)


def write_archive(folder: Path, days: int, distinct: int) -> Iterator[Path]:
    """Files of all days, links to the distinct ones."""
    from fluxrecipes.sources.rss import SOURCES

    with ProcessPoolExecutor(min(distinct, os.cpu_count() or 1)) as pool:
        contents = list(pool.map(simulated, range(distinct)))
    kept = []
    for number, content in enumerate(contents):
        kept.append(folder / f"distinct-{number}.gz")
        kept[-1].write_bytes(content)
    for number in range(days):
        path = folder / "archive" / SOURCES["rss-f17"].path(FIRST + timedelta(days=number))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.hardlink_to(kept[number % distinct])
        yield path


def cost(work: Callable[..., None], *given: object) -> tuple[float, float]:
    """CPU-seconds of all child processes, and seconds by the clock."""
    before, began = os.times(), time.perf_counter()
    work(*given)
    seconds = time.perf_counter() - began
    with suppress(ChildProcessError):  # what the command left behind, with the workers it had
        while True:
            os.waitpid(-1, 0)
    after = os.times()
    spent = after.children_user - before.children_user
    return spent + after.children_system - before.children_system, seconds


def by_gzip(paths: list[Path], processes: int) -> None:
    """Unpack all of them, shared among so many processes."""
    running = [
        subprocess.Popen(["gzip", "-dc", *paths[n::processes]], stdout=subprocess.DEVNULL)
        for n in range(processes)
    ]
    assert all(process.wait() == 0 for process in running)


def by_ingest(folder: Path, workers: int) -> None:
    """Ingest into a new store."""
    verb = ["ingest", "rss-f17", "-c", "run.yaml", "--profile", PROFILES[workers], "--json"]
    script = [sys.executable, "-c", "from fluxengine.cli import script; script()"]
    subprocess.run([*script, *verb], cwd=folder, check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    """Make the files, take turns, print medians and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--distinct", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    ctypes.CDLL(None).prctl(ADOPT, 1)
    with tempfile.TemporaryDirectory(prefix="ingest-speed-") as place:
        folder = Path(place)
        paths = list(write_archive(folder, asked.days, asked.distinct))
        last = FIRST + timedelta(days=asked.days - 1)
        (folder / "run.yaml").write_text(RUN_FILE.format(first=FIRST, last=last))
        for processes in PROFILES:
            rounds = []
            for _ in range(asked.rounds):
                unpacked, ingested = (
                    cost(by_gzip, paths, processes),
                    cost(by_ingest, folder, processes),
                )
                rounds.append((unpacked, ingested))
                shutil.rmtree(folder / "store")
            report(processes, rounds)


def report(processes: int, rounds: list[tuple[tuple[float, float], tuple[float, float]]]) -> None:
    """Medians of CPU and clock, and how many times gzip's the ingest's are."""
    for name, which in (("CPU", 0), ("clock", 1)):
        unpack = statistics.median(one[0][which] for one in rounds)
        ingest = statistics.median(one[1][which] for one in rounds)
        print(
            f"{processes} process(es), {name}: gzip -dc {unpack:.1f} s,"
            f" ingest {ingest:.1f} s, ratio {ingest / unpack:.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
