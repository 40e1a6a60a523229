"""What the engine costs: CPU-seconds of a product that only copies, beside a plain copy.

Run it with ``make bench-engine``. The daily 1° record of 29 years, eight packed fields and two
flags, is copied block by block: once by the engine on a local cluster of two workers (workers,
scheduler and client counted), once by a loop of zarr on Icechunk with the same layout, codecs and
commits. They take turns; medians. Then the same run again, in which nothing changed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path

import numpy as np

FIRST = date(1992, 1, 1)
HERE = Path(__file__).parent


def last_day(years: int) -> date:
    """Last day of so many years."""
    return date(FIRST.year + years - 1, 12, 31)


def write_archive(folder: Path, years: int) -> None:
    """A small file a day: the seed of what the decoder makes."""
    from copyrecord import path_of

    for number in range((last_day(years) - FIRST).days + 1):
        file = folder / "archive" / path_of(FIRST + timedelta(days=number))
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez(file, day=number)


def request(folder: Path, years: int, store: str, *, copy: bool):
    """Ask for the source alone, or for the copy too."""
    import copyrecord

    from fluxengine.stand import Request
    from fluxengine.store import Store

    product = copyrecord.COPY if copy else copyrecord.DAILY
    made = Store.at(folder / store, create=True)
    return Request(product, FIRST, last_day(years), made, {"days": str(folder / "archive")})


def by_engine(folder: Path, years: int) -> None:
    """Copy with the engine."""
    from fluxengine import clusters
    from fluxengine.config import ClusterConfig
    from fluxengine.run import run

    config = ClusterConfig(kind="local", workers=2, threads=1)
    run(request(folder, years, "store", copy=True), lambda: clusters.executor(config))


def by_hand(folder: Path, years: int) -> None:
    """Copy without the engine: the same template, blocks, codecs and commits."""
    import icechunk
    import zarr

    icechunk.set_logs_filter("off")
    source = icechunk.Repository.open(
        icechunk.local_filesystem_storage(str(folder / "store" / "days"))
    )
    given = zarr.open_group(source.readonly_session("main").store, mode="r")
    target = icechunk.Repository.create(icechunk.local_filesystem_storage(str(folder / "by-hand")))
    names = [n for n, a in given.arrays() if a.ndim == 3]
    session = target.writable_session("main")
    root = zarr.open_group(session.store, mode="a")
    for name in names:
        like = given[name]
        root.create_array(
            name, shape=like.shape, shards=like.shards, chunks=like.chunks, dtype=like.dtype,
            fill_value=like.fill_value, compressors=like.compressors,
            config={"write_empty_chunks": True},
        )  # fmt: skip
    session.commit("template")
    length = given[names[0]].shards[0]
    starts = range(0, given[names[0]].shape[0], length)
    for at in range(0, len(starts), 32):
        session = target.writable_session("main")
        root = zarr.open_group(session.store, mode="r+")
        for start in starts[at : at + 32]:
            for name in names:
                root[name][start : start + length] = given[name][start : start + length]
        session.commit("blocks")


WAYS = {"engine": by_engine, "by hand": by_hand}


def measured(folder: Path, years: int, way: str) -> dict[str, float]:
    """Run one way in a process of its own; CPU-seconds of it and of all it started."""
    command = [sys.executable, __file__, "--way", way, "--folder", str(folder)]
    began, before = time.perf_counter(), os.times()
    subprocess.run([*command, "--years", str(years)], check=True)
    after = os.times()
    cpu = (after.children_user - before.children_user) + (
        after.children_system - before.children_system
    )
    return {"cpu": cpu, "wall": time.perf_counter() - began}


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--years", type=int, default=29)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--way", choices=WAYS)
    parser.add_argument("--folder", type=Path)
    chosen = parser.parse_args()
    if chosen.way:
        WAYS[chosen.way](chosen.folder, chosen.years)
        sys.stdout.flush()
        os._exit(0)
    import shutil

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_archive(folder, chosen.years)
        prepare(folder, chosen.years)
        found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
        for _ in range(chosen.turns):
            for way in WAYS:
                found[way].append(measured(folder, chosen.years, way))
                if way == "by hand":
                    shutil.rmtree(folder / "by-hand")
                    shutil.rmtree(folder / "store" / "copy")
                else:
                    again = measured(folder, chosen.years, way)
        medians = {
            way: {k: statistics.median(r[k] for r in rows) for k in ("cpu", "wall")}
            for way, rows in found.items()
        }
    for way, told in medians.items():
        print(f"{way:10} {told['cpu']:8.1f} CPU-seconds {told['wall']:8.1f} s")
    print(f"engine over by hand: {medians['engine']['cpu'] / medians['by hand']['cpu']:.3f}")
    print(f"nothing changed: {again['wall']:.2f} s, {again['cpu']:.2f} CPU-seconds")
    print(json.dumps(found))


def prepare(folder: Path, years: int) -> None:
    """Ingest the source, in this process."""
    from contextlib import nullcontext

    from fluxengine import executors
    from fluxengine.run import run

    run(request(folder, years, "store", copy=False), lambda: nullcontext(executors.serial))


if __name__ == "__main__":
    main()
