"""Monthly means of a daily record, beside reading it once. Run it with ``make bench-trends``.

The daily 1° record of 29 years of one packed flux and its state is made, then read once, year by
year, and then averaged by the engine in one process: to months, as `deepflux-monthly` is, and these
to years. Each in a process of its own, in turns; medians.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from datetime import date
from pathlib import Path

from monthrecord import FIRST, FLUX, MONTHLY, RECORD

from fluxengine.declare import Product, Source
from fluxengine.executors import serial
from fluxengine.run import run
from fluxengine.stand import Request
from fluxengine.store import Store, open_dataset
from fluxrecipes.trends.series import annual


def request(folder: Path, product: Product | Source, years: int) -> Request:
    """Ask for all years."""
    store = Store.at(folder / "store", create=True)
    last = date(FIRST.year + years - 1, 12, 31)
    return Request(product, FIRST, last, store, {"record": str(folder)})


def make(folder: Path, years: int) -> None:
    """Store the daily record."""
    for year in range(FIRST.year, FIRST.year + years):
        (folder / f"{year}.txt").write_text("")
    run(request(folder, RECORD, years), lambda: nullcontext(serial))


def read(folder: Path, years: int) -> None:
    """All of it once, year by year."""
    record = open_dataset(Store.at(folder / "store").root, "record")
    for year in range(FIRST.year, FIRST.year + years):
        record.sel(time=str(year)).load()


def average(folder: Path, years: int) -> None:
    """Months by the engine, and years of these."""
    run(request(folder, MONTHLY, years), lambda: nullcontext(serial))
    monthly = open_dataset(Store.at(folder / "store").root, "monthly")
    annual(monthly[FLUX.name].load())


WAYS: dict[str, Callable[[Path, int], None]] = {"make": make, "read": read, "average": average}


def measured(folder: Path, way: str, years: int) -> dict[str, float]:
    """Seconds of one way in a process of its own, without its start, and its peak memory."""
    command = [sys.executable, __file__, "--way", way, "--folder", str(folder)]
    done = subprocess.run([*command, "--years", str(years)], check=True, capture_output=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--years", type=int, default=29)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--way", choices=WAYS)
    parser.add_argument("--folder", type=Path)
    chosen = parser.parse_args()
    if chosen.way:
        import resource

        began = time.perf_counter()
        WAYS[chosen.way](chosen.folder, chosen.years)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
        print(json.dumps({"seconds": time.perf_counter() - began, "GiB": peak}))
        return
    import shutil

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        measured(folder, "make", chosen.years)
        found: dict[str, list[dict[str, float]]] = {"read": [], "average": []}
        for _ in range(chosen.turns):
            for way, several in found.items():
                several.append(measured(folder, way, chosen.years))
            shutil.rmtree(folder / "store" / "monthly")
        medians = {w: statistics.median(one["seconds"] for one in s) for w, s in found.items()}
        peak = max(one["GiB"] for one in found["average"])
        ratio = medians["average"] / medians["read"]
        print(f"{chosen.years} years of days: read once in {medians['read']:.1f} s;", end=" ")
        print(f"months and years of them {medians['average']:.1f} s, {ratio:.2f} times,", end=" ")
        print(f"{peak:.2f} GiB")


if __name__ == "__main__":
    main()
