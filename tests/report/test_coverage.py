"""Days are counted and told exactly; the calendar has each in its place."""

from __future__ import annotations

import csv
import io
import re
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from reportworld import GAPS, LAND, NO_FILE, SEA, WORDS, all_days, states_of

from fluxengine import config
from fluxengine.declare import FAILED
from fluxrecipes import vocabulary as cf
from fluxrecipes.report import calendar, coverage, subject
from fluxrecipes.report.coverage import Coverage, Kind

HOT = [date(2019, 12, 11) + timedelta(days=n) for n in range(5)]  # the block of the hot day
EXPECTED = {
    Kind.MISSING: {
        *HOT, *NO_FILE, date(2020, 3, 10), *(d for d, word in WORDS.items() if word == "empty"),
    },
    Kind.REANALYSIS: {d for d, word in WORDS.items() if word == "lost"},
    Kind.UNSEEN: {d for d, word in WORDS.items() if word == "filled"},
    Kind.PARTIAL: {d for d, word in WORDS.items() if word == "gaps"},
}  # fmt: skip


def covered(run_file: Path) -> Coverage:
    loaded = config.load(run_file)
    about = subject.of(loaded, loaded.profile(None).place)
    return coverage.read(about.record[about.state], about.days)


@pytest.fixture(scope="module")
def found(world: Path) -> Coverage:
    return covered(world / "run.yaml")


def days_of(found: Coverage, kind: Kind) -> set[date]:
    days = set()
    for span in found.spans(kind):
        some = np.arange(span.first, span.last + 1).tolist()
        assert len(some) == span.days
        days.update(some)
    return days


@pytest.mark.parametrize("kind", Kind)
def test_the_days_of_each_kind_are_exactly_those_that_were_made_so(
    found: Coverage, kind: Kind
) -> None:
    others = set().union(*EXPECTED.values())
    expected = EXPECTED.get(kind, set(all_days()) - others)
    assert days_of(found, kind) == expected
    assert found.number(kind) == len(expected)


def test_reasons_divide_ranges_of_missing_days(found: Coverage) -> None:
    told = [(str(s.first), str(s.last), s.why) for s in found.spans(Kind.MISSING)]
    assert told == [
        ("2019-12-11", "2019-12-15", "failed: see quality checks"),
        ("2020-01-20", "2020-01-21", "failed: see quality checks"),
        ("2020-02-27", "2020-03-01", "nothing was observed, and nothing filled"),
        ("2020-03-10", "2020-03-10", "failed: see quality checks"),
    ]


def test_shares_are_of_the_open_sea(found: Coverage) -> None:
    at = {date: n for n, date in enumerate(found.days.tolist())}
    columns = ~LAND[0]
    even = columns[::2].sum() / columns.sum()
    assert found.shares[at[date(2019, 11, 3)]] == pytest.approx([1 - even, even, 0, 0])
    assert found.shares[at[date(2019, 11, 8)]] == pytest.approx([0.5, 0, 0.5, 0])
    assert found.shares[at[date(2019, 11, 20)]] == pytest.approx([1 - GAPS / SEA, 0, 0, GAPS / SEA])
    assert found.shares[at[date(2020, 2, 29)]] == pytest.approx([0, 0, 0, 1])
    assert found.shares.sum(axis=1) == pytest.approx(1.0)
    assert (found.land == LAND).all()


def test_the_list_has_every_day_once(found: Coverage) -> None:
    rows = list(csv.DictReader(io.StringIO(found.table())))
    assert [row["day"] for row in rows] == [str(day) for day in all_days()]
    assert {row["day"] for row in rows if row["kind"] == "missing"} == {
        str(day) for day in EXPECTED[Kind.MISSING]
    }


def test_days_that_the_store_has_not_are_missing_and_said_to_be_so() -> None:
    days = np.arange("2020-02-26", "2020-03-03", dtype="M8[D]")
    codes = np.stack([states_of("whole"), states_of("half")])
    states = xr.DataArray(codes, {"time": days[2:4].astype("M8[ns]")}, ("time", "lat", "lon"))
    found = coverage.read(states, days)
    assert found.kinds.tolist() == [4, 4, 0, 0, 4, 4]
    spans = found.spans(Kind.MISSING)
    assert [(str(s.first), str(s.last)) for s in spans] == [
        ("2020-02-26", "2020-02-27"), ("2020-03-01", "2020-03-02"),
    ]  # fmt: skip
    assert all("not in the store" in s.why for s in spans)


def test_a_day_some_tiles_of_which_failed_has_gaps() -> None:
    codes = states_of("whole")
    codes[:3] = FAILED
    day = np.array(["2020-01-01"], "M8[D]")
    states = xr.DataArray(codes[None], {"time": day.astype("M8[ns]")}, ("time", "lat", "lon"))
    found = coverage.read(states, day)
    assert found.kinds.tolist() == [Kind.PARTIAL]
    assert found.shares[0, 3] == pytest.approx((codes == FAILED).sum() / (codes != cf.LAND).sum())


def counted_days(drawn: calendar.Calendar, cell: float) -> dict[str, float]:
    """Days of each kind, by the widths of what is drawn."""
    return {
        kind: sum(float(w) for w in re.findall(r"h(\d[\d.]*)v", path)) / cell
        for kind, path in drawn.paths
    }


def test_the_calendar_has_as_many_days_as_there_are(found: Coverage) -> None:
    drawn = calendar.drawn(found)
    assert [name for _, name in drawn.years] == ["2019", "2020"]
    assert len(drawn.months) == 12
    told = counted_days(drawn, (calendar.WIDTH - calendar.LEFT) / 366)
    for kind in Kind:
        assert told.get(kind.name.lower(), 0) == pytest.approx(found.number(kind), abs=0.1)


def test_every_day_of_any_year_has_its_own_place() -> None:
    days = np.arange("1992-01-01", "2021-01-01", dtype="M8[D]")
    year, slot = calendar.places(days)
    assert len(set(zip(year.tolist(), slot.tolist(), strict=True))) == len(days) == 10_593
    assert slot.max() == 365
    expected = [day.timetuple().tm_yday - 1 for day in days.tolist()]
    assert slot.tolist() == expected


def test_a_calendar_of_one_month_shows_that_month_alone(short: Path) -> None:
    found = covered(short)
    drawn = calendar.drawn(found)
    assert [name for _, name in drawn.months] == ["Feb", "Mar"]
    assert sum(path.count("M") for _, path in drawn.paths) == 40  # each day by itself
