"""How busy a cluster is kept: two workers that compute, and a thousand slots that wait.

Run it with ``make bench-slots``. One worker and two make the same blocks, which really compute.
Then forty worker processes of 25 threads run on this machine; their blocks wait instead of
computing, in several waves, after one wave in which the workers import what they need. Busy is the
time of all blocks over the time of all slots.

A block waits for 70 s: a plan assumes that for 30 days of fluxes at 0.25° before a block was ever
made (4.5 s at 1°, where 29 years have too few blocks for a thousand slots).
"""

from __future__ import annotations

import argparse
import os
import tempfile
from contextlib import nullcontext
from pathlib import Path

import waitrecord

from fluxengine import clusters
from fluxengine.config import ClusterConfig
from fluxengine.declare import Product
from fluxengine.run import Summary, run
from fluxengine.stand import Request
from fluxengine.store import Store


def made(folder: Path, product: Product, config: ClusterConfig, *, warm: float = 0.0) -> Summary:
    """Run a product on a cluster; first a wave of `warm` seconds that is not counted."""
    archive = {"seed": str(folder / "archive")}
    with clusters.executor(config) as executor:
        for name, wanted in (("warm", _warm(config, warm)), ("store", product)):
            store = Store.at(folder / name, create=True)
            asked = Request(wanted, None, None, store, archive)
            summary = run(asked, lambda: nullcontext(executor))
    return summary


def _warm(config: ClusterConfig, seconds: float) -> Product:
    return waitrecord.product(config.workers * config.threads, wait=seconds)


def thousand_slots(folder: Path, workers: int, threads: int, seconds: float, waves: int) -> None:
    """Print how busy they were."""
    slots = workers * threads
    product = waitrecord.product(slots * waves, wait=seconds)
    config = ClusterConfig(kind="local", workers=workers, threads=threads, memory="20GiB", wait=600)
    summary = made(folder, product, config, warm=seconds / 2)
    actual = summary.actual["busy"]
    busy = actual.tasks * seconds / (slots * actual.seconds)
    print(
        f"{slots} slots ({workers} workers of {threads} threads), {actual.tasks} blocks of"
        f" {seconds:g} s: {busy:.1%} busy in {actual.seconds:.0f} s"
    )


def two_over_one(folder: Path, blocks: int, seconds: float) -> None:
    """Print the gain of a second worker."""
    took = {}
    for workers in (1, 2):
        product = waitrecord.product(blocks, compute=seconds)
        config = ClusterConfig(kind="local", workers=workers, threads=1)
        place = folder / f"{workers}-workers"
        place.mkdir()
        (place / "archive").symlink_to(folder / "archive")
        took[workers] = made(place, product, config).actual["busy"].seconds
    gain = took[1] / took[2]
    print(
        f"{blocks} blocks of {seconds:g} s on {os.cpu_count()} processors: one worker"
        f" {took[1]:.1f} s, two {took[2]:.1f} s, gain {gain:.2f}"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=40)
    parser.add_argument("--threads", type=int, default=25)
    parser.add_argument("--seconds", type=float, default=70.0)
    parser.add_argument("--waves", type=int, default=4)
    chosen = parser.parse_args()
    os.environ["PYTHONPATH"] = str(Path(__file__).parent)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "archive").mkdir()
        (folder / "archive" / "seed.txt").write_text("1")
        two_over_one(folder, 40, 1.0)
        thousand_slots(folder, chosen.workers, chosen.threads, chosen.seconds, chosen.waves)


if __name__ == "__main__":
    main()
