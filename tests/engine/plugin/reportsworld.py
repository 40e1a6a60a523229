"""A small world of reports for tests of tables: archives of text files, a store, and runs."""

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
import toytables
import xarray as xr
from toytables import REPORTS

from fluxengine.status import of_store
from fluxengine.store import Store, open_dataset
from fluxengine.table_plan import TablePlan, TableRequest, make_plan
from fluxengine.table_run import TableSummary, run
from fluxengine.tables import Table

RUN_FILE = """\
product: toy-reports
archives: {{buoys: {folder}/buoys, moorings: {folder}/moorings}}
profiles:
  serial: {{store: {folder}/store, cluster: {{kind: serial}}}}
"""


def report(when: str, platform: str, **values: object) -> str:
    """A line of a file."""
    words = [f"{name}={value}" for name, value in {"platform": platform, **values}.items()]
    return " ".join([when, *words])


def hourly(platform: str, first: str, hours: int, seed: int = 0) -> list[str]:
    """Reports of a buoy: the same values for the same platform, hours and seed."""
    dice = np.random.default_rng([seed, *platform.encode()])
    begin = np.datetime64(first, "s")
    wind = dice.integers(0, 300, hours) / 10
    return [
        report(str(begin + np.timedelta64(k, "h")), platform, lat=10.5, lon=150, wind=wind[k])
        for k in range(hours)
    ]


@dataclass
class Reports:
    """Archives of two feeds, and a store."""

    folder: Path
    table: Table = REPORTS

    @property
    def store(self) -> Path:
        return self.folder / "store"

    def path(self, name: str) -> Path:
        return self.folder / name

    def write(self, name: str, lines: Iterable[str], end: str = "END") -> Path:
        """A file such as ``buoys/hist/a.txt``."""
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(["TOY", *lines, end]))
        return path

    def request(self, first: str = "", last: str = "", *feeds: str) -> TableRequest:
        for name in ("buoys", "moorings"):
            self.path(name).mkdir(parents=True, exist_ok=True)
        archives = {name: str(self.path(name)) for name in ("buoys", "moorings")}
        begin, end = (date.fromisoformat(f"{m}-01") if m else None for m in (first, last))
        store = Store.at(self.store, create=True)
        return TableRequest(self.table, begin, end, archives, store, feeds)

    def plan(self, *args: str) -> TablePlan:
        return make_plan(self.request(*args))

    def run(self, *args: str, strict: bool = False) -> TableSummary:
        return run(self.request(*args), strict=strict)

    def open(self, month: str) -> xr.Dataset:
        return open_dataset(self.store, self.table.name, month=month).load()

    def content(self) -> str:
        """Equal content, equal digest."""
        (record,) = of_store(Store.at(self.store))
        digest: str = record["content"]
        return digest

    def run_file(self) -> Path:
        path = self.folder / "run.yaml"
        path.write_text(RUN_FILE.format(folder=self.folder))
        return path

    def made_anew(self, folder: Path) -> "Reports":
        """What a clean run makes of the files as they are."""
        for name in ("buoys", "moorings"):
            if self.path(name).exists():
                shutil.copytree(self.path(name), folder / name)
        clean = replace(self, folder=folder)
        clean.run()
        return clean


def warmer(table: Table, by: float) -> Table:
    """The table with other code of its feeds."""
    changed: Callable[..., object] = toytables.feed
    feeds = [changed(f.name, *f.patterns, warmer=by) for f in table.feeds]
    return replace(table, feeds=tuple(feeds))
