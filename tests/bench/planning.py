"""Speed and memory of planning, at a scale nobody has run yet: 300,000 blocks.

Run it with ``make bench-engine``. A source of 29 years of days, and two products of it in 425 tiles
by 30 days, the second with a halo in time and space. The store holds templates and ledgers as if
all had been made; planning reads nothing else. Each case is planned in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import numpy as np
from bigrecord import FIRST, LAST, chain, path_of

from fluxengine import key
from fluxengine.declare import Dataset, upstream_first
from fluxengine.ledger import VALID, Ledger
from fluxengine.plan import DatasetPlan, make_plan, plan_dataset
from fluxengine.stand import Request
from fluxengine.store import Store

CASES = ("never written", "nothing changed", "a revised day", "code changed", "all inputs changed")


def request(folder: Path) -> Request:
    """Ask for all of it."""
    store = Store.at(folder / "store", create=True)
    return Request(chain(), FIRST, LAST, store, {"big": str(folder / "archive")})


def write_files(folder: Path) -> None:
    """A small file for each day."""
    grid = chain().reads[0].dataset.grid.between(FIRST, LAST)
    for step in range(grid.step_axis.length):
        file = folder / "archive" / path_of(grid.step_axis.day(step))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")


def write_ledgers(folder: Path) -> None:
    """Templates and ledgers as if every block had been made."""
    wanted = request(folder)
    plans: dict[str, DatasetPlan] = {}
    for dataset in upstream_first(wanted.product):
        plan = plan_dataset(wanted, dataset, plans)
        fill(plan, dataset)
        assert wanted.store is not None
        wanted.store.create(plan.stand.layout, plan.stand.ledger)
        plans[dataset.name] = plan_dataset(wanted, dataset, plans)


def fill(plan: DatasetPlan, dataset: Dataset) -> None:
    """Columns as a run would leave them, with digests of nothing in particular."""
    book: Ledger = plan.stand.ledger
    book.states[...] = VALID
    random = np.random.default_rng(len(dataset.name))
    book.digests[...] = random.integers(0, 256, book.digests.shape, "u1")
    book.columns["standings"][...] = np.frombuffer(plan.standing_digest, "u1")
    if plan.files is not None:
        book.columns["stamps"][...] = plan.files.stamps
        book.columns["files"][...] = plan.files.digests
    for number in range(len(book.columns["inputs"])):
        book.columns["inputs"][number] = np.frombuffer(plan.key_inputs(number), "u1")
    book.standing_parts[plan.standing_digest.hex()] = plan.standing


def plan_case(folder: Path, case: str) -> dict[str, object]:
    """Plan one case and say how long it took and how much memory."""
    if case == "never written":
        folder = folder / "other"
        (folder).mkdir(exist_ok=True)
        if not (folder / "archive").exists():
            (folder / "archive").symlink_to(folder.parent / "archive")
    if case == "a revised day":
        (folder / "archive" / path_of(date(2005, 6, 7))).write_bytes(b"yy")
    if case == "all inputs changed":
        (folder / "archive" / path_of(date(2005, 6, 7))).write_bytes(b"x")
        known = DatasetPlan.key_inputs
        DatasetPlan.key_inputs = lambda plan, number: known(plan, number)[::-1]  # type: ignore[method-assign]
    if case == "code changed":
        digests = key.code_digests
        key.code_digests = lambda d: digests(d) | {"new.module": "0" * 64}  # type: ignore[assignment]
    began = time.perf_counter()
    plan = make_plan(request(folder))
    seconds = time.perf_counter() - began
    return {
        "case": case,
        "seconds": seconds,
        "peak MB": peak_memory(),
        "blocks": sum(int(d.wanted.sum()) for d in plan.datasets),
        "will run": sum(len(d.will_run) for d in plan.datasets),
        "may run": sum(len(d.may_run) for d in plan.datasets),
    }


def peak_memory() -> float:
    """Of this process [MB]; the peak that `getrusage` tells may be that of its parent."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", nargs=2, metavar=("FOLDER", "CASE"))
    chosen = parser.parse_args()
    if chosen.case:
        print(json.dumps(plan_case(Path(chosen.case[0]), chosen.case[1])))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_files(folder)
        write_ledgers(folder)
        print(f"{'case':20}{'blocks':>10}{'will run':>10}{'may run':>10}{'seconds':>9}{'peak':>9}")
        for case in CASES:
            command = [sys.executable, __file__, "--case", name, case]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            told = json.loads(done.stdout)
            print(
                f"{case:20}{told['blocks']:10}{told['will run']:10}{told['may run']:10}"
                f"{told['seconds']:9.1f}{told['peak MB']:6.0f} MB"
            )


if __name__ == "__main__":
    main()
