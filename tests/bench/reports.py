"""Speed of a table: a million reports from a hundred files, a changed file, a month read.

Run it with ``make bench-engine``. The readers only read NumPy files: what is timed is the engine's
part. Each platform has a file with hourly reports of a year and two months.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "engine" / "plugin"))

from toytables import LAT, LON, NAME, QUALITY, SST, WIND

from fluxengine.store import Store, open_dataset
from fluxengine.table_plan import TableRequest
from fluxengine.table_run import TableSummary, run
from fluxengine.tables import Feed, Rows, Table

FILES, HOURS, PART = 100, 10_000, 4_000


def write(folder: Path, number: int, seed: int = 0) -> None:
    """A platform's hours from 2002 on."""
    dice = np.random.default_rng([number, seed])
    wind, sst = dice.uniform(0, 30, HOURS), dice.uniform(280, 300, HOURS)
    np.savez(folder / f"{number:05}.npz", wind=wind, sst=sst)


def read(file: Path) -> Iterator[Rows]:
    """Its reports, in parts."""
    begin = np.datetime64("2002-01-01", "s")
    with np.load(file) as stored:
        values = {name: stored[name] for name in ("wind", "sst")}
    for start in range(0, HOURS, PART):
        hours = np.arange(start, min(start + PART, HOURS))
        count = len(hours)
        columns = {name: column[start : start + PART] for name, column in values.items()}
        columns |= {name: np.full(count, 10.5) for name in ("lat", "lon")}
        columns["platform"] = np.full(count, file.stem.encode())
        columns["quality"] = np.full(count, 2)
        yield Rows({"time": begin + hours * np.timedelta64(3600, "s"), **columns})


def table() -> Table:
    """One feed of the files."""
    feed = Feed("bench", ("*.npz",), read, "bench", "/nowhere", "", "", "", "")
    columns = (NAME, LAT, LON, WIND, SST, QUALITY)
    return Table("reports", columns, (feed,), "", "", merges=("platform",))


def timed(what: str, do: Callable[[], TableSummary | None]) -> None:
    """Do it and print how long it took."""
    began = time.perf_counter()
    done = do()
    seconds = time.perf_counter() - began
    told = f"{done.read} files, {done.months} months" if done else ""
    print(f"{what:<32} {seconds:7.2f} s   {told}")


def main() -> None:
    """All cases, in a folder that is removed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        archive = folder / "archive"
        archive.mkdir()
        for number in range(FILES):
            write(archive, number)
        store = Store.at(folder / "store", create=True)
        request = TableRequest(table(), None, None, {"bench": str(archive)}, store)
        print(f"{FILES * HOURS:,} rows in {FILES} files")
        timed("first run", lambda: run(request))
        timed("nothing changed", lambda: run(request))
        write(archive, 7, seed=1)
        timed("a file changed", lambda: run(request))
        read_month = open_dataset(folder / "store", "reports", month="2002-08")
        timed("a month read", lambda: read_month.load() and None)
        print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f} MB")


if __name__ == "__main__":
    from reports import main as run_as_module  # readers must lie in a module of a name

    run_as_module()
