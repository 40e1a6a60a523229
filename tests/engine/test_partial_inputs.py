"""Inputs that cover a part of a product's period, as satellites do."""

import json
from contextlib import nullcontext
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from toyfleet import PERIODS, newest, value

from fluxengine import executors
from fluxengine.declare import Read
from fluxengine.errors import DeclarationError
from fluxengine.estimate import Resources, estimates
from fluxengine.explain import explain
from fluxengine.grid import Grid, Halo, labels
from fluxengine.grid import days as days_axis
from fluxengine.plan import Plan, make_plan
from fluxengine.recompute import recompute
from fluxengine.run import Summary, run
from fluxengine.stand import Request
from fluxengine.store import Store, open_dataset
from fluxengine.window import window_cells

NOTHING = -1


class Fleet:
    """An archive of all satellites to 20 January, and a store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name, (first, last) in PERIODS.items():
            day = date.fromisoformat(first)
            while day <= date.fromisoformat(last or "2020-01-20"):
                self.write(name, day, value(name, day))
                day += timedelta(days=1)

    def write(self, name: str, day: date, number: int) -> None:
        file = self.folder / "archive" / name / f"{day}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps([number] * 6))

    def request(self, first: str, last: str, store: str = "store") -> Request:
        period = date.fromisoformat(first), date.fromisoformat(last)
        made = Store.at(self.folder / store, create=True)
        return Request(newest(), *period, made, {"tiny": str(self.folder / "archive")})

    def run(self, first: str, last: str, store: str = "store") -> Summary:
        return run(self.request(first, last, store), partial(nullcontext, executors.serial))

    def plan(self, first: str, last: str) -> Plan:
        return make_plan(self.request(first, last))

    def numbers(self, store: str = "store") -> list[int]:
        stored = open_dataset(self.folder / store, "newest")["number"]
        return stored[:, 0].fillna(NOTHING).astype(int).values.tolist()


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


def days(first: int, last: int) -> list[int]:
    return list(range(first, last + 1))


EXPECTED = [*days(101, 103), *days(204, 209), NOTHING, NOTHING, *days(312, 320)]


def test_each_satellite_serves_in_its_own_period(fleet: Fleet) -> None:
    summary = fleet.run("2020-01-01", "2020-01-20")
    assert not summary.marked
    assert fleet.numbers() == EXPECTED
    assert fleet.plan("2020-01-01", "2020-01-20").is_empty


def test_a_satellite_without_a_day_in_the_period_takes_no_part(fleet: Fleet) -> None:
    fleet.run("2020-01-01", "2020-01-03")
    assert Store.at(fleet.folder / "store").names == ("fleet-one", "newest")
    assert fleet.numbers() == days(101, 103)


def test_a_longer_period_makes_no_old_block_again(fleet: Fleet) -> None:
    fleet.run("2020-01-01", "2020-01-08")
    planned = fleet.plan("2020-01-01", "2020-01-20").datasets[-1]
    assert planned.name == "newest"
    assert [p.block.name for p in planned.blocks] == ["0002-0", "0003-0", "0004-0"]
    fleet.run("2020-01-01", "2020-01-20")
    assert fleet.numbers() == EXPECTED


def test_a_later_period_keeps_what_older_satellites_gave(fleet: Fleet) -> None:
    """A block across the beginning of the period rests on days before it."""
    fleet.run("2020-01-01", "2020-01-11")
    fleet.write("two", date(2020, 1, 9), 999)
    fleet.run("2020-01-10", "2020-01-20")
    assert fleet.numbers() == [*EXPECTED[:8], 209, *EXPECTED[9:]]
    fleet.run("2020-01-09", "2020-01-20")
    assert fleet.numbers() == [*EXPECTED[:8], 999, *EXPECTED[9:]]


def test_growth_ends_as_one_run_does(fleet: Fleet) -> None:
    for last in ("2020-01-02", "2020-01-05", "2020-01-12", "2020-01-20"):
        fleet.run("2020-01-01", last)
    fleet.run("2020-01-01", "2020-01-20", store="at once")
    ledgers = [Store.at(fleet.folder / s).repository("newest") for s in ("store", "at once")]
    ours, theirs = (book.ledger(book.tip()) for book in ledgers)
    for column in ("states", "digests", "inputs", "standings"):
        assert np.array_equal(ours.columns[column], theirs.columns[column]), column


def test_a_revised_day_runs_the_block_that_holds_it(fleet: Fleet) -> None:
    fleet.run("2020-01-01", "2020-01-20")
    fleet.write("one", date(2020, 1, 5), 7)  # satellite two is newer on that day
    (source, product) = (p for p in fleet.plan("2020-01-01", "2020-01-20").datasets if p.blocks)
    assert [p.block.name for p in source.will_run] == ["0002-0"]
    assert [p.block.name for p in product.may_run] == ["0001-0"]


def test_plans_make_again_and_explain_know_of_partial_inputs(fleet: Fleet) -> None:
    request = fleet.request("2020-01-01", "2020-01-20")
    assert all(planned.memory > 0 for planned in estimates(make_plan(request), Resources()))
    fleet.run("2020-01-01", "2020-01-20")
    made = explain(Store.at(fleet.folder / "store"), "newest", {"time": "2020-01-02", "lon": "0"})
    assert [given.dataset for given in made.inputs] == ["fleet-one"]
    compared = list(recompute(fleet.request("2020-01-01", "2020-01-20"), 5))
    assert compared and all(one.same for one in compared)


def test_two_inputs_may_not_share_a_name() -> None:
    product = newest()
    reads = tuple(Read(read.dataset, read.variables, partial=True) for read in product.reads)
    with pytest.raises(DeclarationError, match="more than once"):
        replace(product, reads=reads)


def test_only_intervals_of_the_products_own_axis_can_be_partial() -> None:
    ours, theirs = Grid(time=days_axis("2020-01-01", "2020-01-09")), Grid(scene=labels("a", "b"))
    with pytest.raises(DeclarationError, match="own intervals of 'scene'"):
        window_cells(ours, {"time": slice(0, 3)}, Halo(), theirs, partial=True)


@given(
    first=st.integers(-9, 30),
    size=st.integers(1, 30),
    start=st.integers(0, 19),
    halo=st.integers(0, 3),
)
def test_a_window_has_all_steps_and_tells_which_are_stored(
    first: int, size: int, start: int, halo: int
) -> None:
    """Steps of 12 hours in days: each day of the window stands for two of them."""
    ours = Grid(time=days_axis("2020-01-01", "2020-01-20"))
    begin = ours.step_axis.origin + first * 43_200
    theirs = Grid(time=replace(ours.step_axis, origin=begin, step=43_200, size=size))
    spans = {"time": slice(start, start + 1)}
    cells = window_cells(ours, spans, Halo({"time": (halo, halo)}), theirs, partial=True)
    assert cells.shape == (2 * (1 + 2 * halo),)
    edges = cells.grid.step_axis.edges[cells.cells["time"]]
    there = (edges >= begin) & (edges < begin + size * 43_200)
    assert np.array_equal(np.flatnonzero(there), np.arange(cells.shape[0])[cells.steps])
    assert np.array_equal(theirs.step_axis.edges[cells.stored["time"]], edges[there])
