"""Notices of products: they go with the values that they speak of, and no sooner."""

import json
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import partial
from pathlib import Path

import pytest
from toytiny import NUMBERS, Total, number, state

from fluxengine.declare import Product, Read, Source
from fluxengine.executors import Executor, serial
from fluxengine.grid import Grid, days
from fluxengine.plan import make_plan
from fluxengine.run import Summary, run
from fluxengine.stand import Request
from fluxengine.store import Store, open_dataset
from fluxengine.task import Job, Outcome

GRID = Grid(time=days("2020-01-01", block=10))
SIMULATED, TRAINED = "SIMULATED DATA", "The weights were trained on simulated data."
EARLY, LATE, ALL = (1, 10), (11, 20), (1, 20)
Period = tuple[int, int]


def source(name: str) -> Source:
    grid = Grid(time=days("2020-01-01", block=10, chunk=1), lon=NUMBERS.grid.axes["lon"])
    return replace(NUMBERS, name=name, archive=name, grid=grid)


def day(number: int) -> date:
    return date(2020, 1, 1) + timedelta(days=number - 1)


def dying(jobs: Iterable[Job]) -> Iterator[Outcome]:
    """Makes what is read, and one block of the product."""
    for outcome in serial(jobs):
        yield outcome
        if outcome.job.startswith("sums"):
            raise KeyboardInterrupt


@dataclass
class Archives:
    """A simulated and a real archive of twenty days, and a store."""

    folder: Path

    def __post_init__(self) -> None:
        for name in ("sim", "real"):
            (self.folder / name).mkdir()
            for n in range(1, 21):
                (self.folder / name / f"{day(n)}.json").write_text(json.dumps([n] * 6))
        (self.folder / "sim" / "NOTICE.txt").write_text(f"{SIMULATED}\n")
        self.weigh("1")

    def weigh(self, factor: str) -> None:
        (self.folder / "factor.txt").write_text(factor)

    def request(self, name: str, period: Period, **attrs: str) -> Request:
        sums = Product(
            "sums",
            GRID,
            reads=(Read(source(name), ("number",), partial=True),),
            stages=(Total(1, self.folder / "factor.txt"),),
            publishes=(number, state),
            attrs=attrs,
        )
        store = Store.at(self.folder / "store", create=True)
        archives = {name: str(self.folder / name) for name in ("sim", "real")}
        return Request(sums, day(period[0]), day(period[1]), store, archives)

    def run(self, name: str, period: Period, executor: Executor = serial, **attrs: str) -> Summary:
        return run(self.request(name, period, **attrs), partial(nullcontext, executor))

    def notice(self) -> str | None:
        return open_dataset(self.folder / "store", "sums").attrs.get("notice")


@pytest.fixture
def archives(tmp_path: Path) -> Archives:
    made = Archives(tmp_path)
    made.run("sim", EARLY)
    assert made.notice() == SIMULATED
    return made


def test_a_notice_stays_as_long_as_days_are_stored_that_were_made_under_it(
    archives: Archives,
) -> None:
    archives.run("real", LATE)
    assert archives.notice() == SIMULATED
    assert make_plan(archives.request("real", LATE)).is_empty


def test_a_notice_goes_when_all_days_were_made_again(archives: Archives) -> None:
    assert "sums" in make_plan(archives.request("real", ALL)).described
    summary = archives.run("real", ALL)
    assert summary.blocks["sums"] == 2 and summary.described == ("sums",)
    assert archives.notice() is None
    assert make_plan(archives.request("real", ALL)).is_empty


def test_a_notice_outlives_a_run_that_was_cut_off(archives: Archives) -> None:
    archives.run("sim", ALL)
    with pytest.raises(KeyboardInterrupt):
        archives.run("real", ALL, dying)
    archives.run("real", EARLY)  # which is made again; the later days are the simulated ones still
    assert archives.notice() == SIMULATED
    archives.run("real", ALL)
    assert archives.notice() is None


def test_a_notice_of_weights_goes_with_what_they_made(archives: Archives) -> None:
    archives.run("real", ALL, notice=TRAINED)
    assert archives.notice() == TRAINED
    archives.weigh("2")
    archives.run("real", LATE)
    assert archives.notice() == TRAINED
    archives.run("real", ALL)
    assert archives.notice() is None


def test_a_new_notice_stands_beside_the_old_one(archives: Archives) -> None:
    archives.run("real", LATE, notice=TRAINED)
    assert archives.notice() == f"{SIMULATED}\n{TRAINED}"
