"""Simulating a satellite-day at 0.25 degrees: both passes, packed as the provider packs them.

Run it with ``make bench-simulate``. CPU-seconds of one core, at best and as medians: the speed of
machines that others use too moves by a quarter. Days are neighbours, as `fluxforge simulate` takes
them; the first ones, which compile loops and draw the fields of the weather, are not counted.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

os.environ.setdefault("NUMBA_NUM_THREADS", "1")  # one core, said before Numba is imported

from fluxrecipes.nature.files import rss
from fluxrecipes.nature.orbits import SATELLITES, Satellite
from fluxrecipes.nature.world import World

FIRST = date(2016, 1, 1)
WARM = 3  # days


def served(satellite: Satellite, days: int) -> list[date]:
    """Neighbouring days on which it flies: of 2016, or the first of its own."""
    begin = FIRST if satellite.flies(FIRST) else date.fromisoformat(satellite.instrument.first)
    return [begin + timedelta(days=number) for number in range(days)]


def seconds(satellite: Satellite, days: int, folder: Path) -> Iterator[float]:
    """Of the processor, for each day."""
    world = World(1)
    for number, day in enumerate(served(satellite, WARM + days)):
        began = time.process_time()
        rss.write(world, folder / f"{satellite.name}.gz", satellite, day)
        if number >= WARM:
            yield time.process_time() - began


def main() -> None:
    """Print a line for each satellite."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=15)
    parser.add_argument("--satellites", nargs="*", choices=SATELLITES, default=SATELLITES)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name in asked.satellites:
            took = list(seconds(SATELLITES[name], asked.days, Path(folder)))
            median = statistics.median(took)
            print(f"{name:11} best {min(took):.2f} s, median {median:.2f} s a day", flush=True)


if __name__ == "__main__":
    main()
