"""Speed and memory of the readers of in-situ text: ICOADS IMMA1 and NDBC, one core.

Run it with ``python tests/bench/insitu.py``. The real samples are repeated to a million reports and
to a year of ten-minute ones; without them (FLUXFORGE_REAL_DATA) there is nothing to measure.
"""

from __future__ import annotations

import os
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

os.environ.setdefault("NUMBA_NUM_THREADS", "1")  # one core, said before Numba is imported

from fluxrecipes.sources import icoads, ndbc

ROOT = Path(__file__).parents[2]
REAL = Path(os.environ.get("FLUXFORGE_REAL_DATA", ROOT.parent / "shared" / "data")) / "insitu"
MILLION = 1_000_000
YEAR = 52_560  # ten-minute lines


def imma(folder: Path) -> Path:
    """A million reports of July 2010."""
    sample = (REAL / "imma/063-714_2010-07_subset.imma").read_bytes()
    path = folder / "IMMA1_R3.0.0_2010-07"
    with path.open("wb") as stream:
        for _ in range(MILLION // sample.count(b"\n")):
            stream.write(sample)
    return path


def stdmet(folder: Path) -> Path:
    """A year of ten-minute lines, their values from a real summer."""
    header, *lines = (REAL / "ndbc/41002h2021.txt").read_text().splitlines()
    starts = np.datetime64("2021-01-01T00:00") + 10 * np.arange(YEAR).astype("m8[m]")
    clocks = [str(start).replace("-", " ").replace("T", " ").replace(":", " ") for start in starts]
    made = [f"{clock} {lines[i % len(lines)].split(' ', 5)[5]}" for i, clock in enumerate(clocks)]
    path = folder / "41002h2021.txt"
    path.write_text("\n".join([header, *made]) + "\n")
    return path


def timed(reader: object, path: Path) -> tuple[float, float, int]:
    """Seconds of the processor and of the clock, and rows."""
    began, clock = time.process_time(), time.perf_counter()
    rows = sum(part.columns["time"].size for part in reader(path))  # type: ignore[operator]
    return time.process_time() - began, time.perf_counter() - clock, rows


def main() -> None:
    """Print a line for each reader."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        year, month = stdmet(folder), imma(folder)
        timed(ndbc.read, year)  # compiles the thermodynamics
        for reader, path, lines in ((ndbc.read, year, YEAR), (icoads.read, month, MILLION)):
            used, passed, rows = timed(reader, path)
            print(
                f"{path.name}: {lines:,} lines, {rows:,} rows, {used:.2f} s of one core"
                f" ({passed:.2f} s by the clock), {lines / used:,.0f} lines a second and core"
            )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"largest memory {peak:.0f} MiB")


if __name__ == "__main__":
    main()
