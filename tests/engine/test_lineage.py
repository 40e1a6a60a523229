"""A value that rests on several blocks upstream is explained by all of them."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import partial
from pathlib import Path

import pytest
from toytiny import NUMBERS, around, number

from fluxengine import executors, show
from fluxengine.declare import Arrays, Dataset, PlainStage, Product, Read, Variable
from fluxengine.explain import explain
from fluxengine.grid import Grid, days, months
from fluxengine.run import run
from fluxengine.stand import Request
from fluxengine.store import Store

FIRST = date(2020, 1, 1)
DAYS = Grid(time=days("2020-01-01", block=10, chunk=1), lon=around())
TENS = replace(NUMBERS, name="tens", grid=DAYS)  # blocks of ten days
POINT = {"time": "2020-01", "lon": "0"}
mean = Variable("mean", "1", "mean of a month")


@dataclass(frozen=True)
class Doubled(PlainStage):
    """Twice each number."""

    inputs: tuple[str, ...] = ("number",)
    outputs: tuple[Variable, ...] = (number,)

    def load(self) -> Callable[[Arrays], Arrays]:
        return lambda arrays: {"number": 2 * arrays["number"]}


@dataclass(frozen=True)
class Monthly(PlainStage):
    """The mean of a month."""

    inputs: tuple[str, ...] = ("number",)
    outputs: tuple[Variable, ...] = (mean,)

    def load(self) -> Callable[[Arrays], Arrays]:
        def monthly(arrays: Arrays) -> Arrays:
            found = arrays["number"].resample(time="MS").mean()
            return {"mean": found}

        return monthly


DOUBLED = Product("doubled", DAYS, (Read(TENS, ("number",)),), (Doubled(),), (number,))


def monthly(name: str, daily: Dataset) -> Product:
    grid = Grid(time=months("2020-01", block=1), lon=around())
    return Product(name, grid, (Read(daily, ("number",)),), (Monthly(),), (mean,))


@dataclass(frozen=True)
class Tens:
    """An archive of sixty days but for the sixteenth, and a store."""

    folder: Path

    def write(self, day: int) -> None:
        file = self.folder / "archive" / f"{FIRST + timedelta(days=day - 1)}.json"
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps([day] * 6))

    @property
    def store(self) -> Store:
        return Store.at(self.folder / "store", create=True)

    def run(self, product: Dataset, last: int) -> None:
        period = FIRST, FIRST + timedelta(days=last - 1)
        request = Request(product, *period, self.store, {"tiny": str(self.folder / "archive")})
        run(request, partial(nullcontext, executors.serial))


@pytest.fixture
def tens(tmp_path: Path) -> Tens:
    made = Tens(tmp_path)
    for day in range(1, 61):
        if day != 16:
            made.write(day)
    return made


def test_all_files_of_a_month_and_the_day_without_one_are_told(tens: Tens) -> None:
    tens.run(monthly("monthly", TENS), last=60)
    (source,) = explain(tens.store, "monthly", POINT).inputs
    assert source.block == "0000-0 … 0003-0"
    assert source.state == "valid 30, no file 1"
    january = [str(FIRST + timedelta(days=n)) for n in range(31) if n != 15]
    assert list(source.files) == january
    assert source.made["notes"] == {"2020-01-16": "no file 2020-01-16.json"}
    assert source.window == "2020-01-01 … 2020-01-31"
    (value,) = (value for value in source.values if value.name == "number")
    assert (value.cells, value.missing) == (31, 1)


def test_what_all_blocks_have_in_common_is_told_of_them(tens: Tens) -> None:
    tens.run(monthly("monthly", TENS), last=60)
    (source,) = explain(tens.store, "monthly", POINT).inputs
    alone = explain(tens.store, "tens", {"time": "2020-01-01", "lon": "0"})
    assert {"run", "code"} <= set(source.made)
    assert source.made["run"] == alone.made["run"]
    assert "key" in alone.made and "key" not in source.made  # each block has its own


def test_blocks_are_explained_by_the_versions_that_each_was_made_from(tens: Tens) -> None:
    tens.run(DOUBLED, last=10)
    tens.run(monthly("monthly", DOUBLED), last=31)
    (doubled,) = explain(tens.store, "monthly", POINT).inputs
    assert doubled.block == "0000-0 … 0003-0"
    source = tens.store.repository("tens")
    snapshots = [source.version(version) for version in source.versions]
    assert [(one.dataset, one.snapshot) for one in doubled.inputs] == [
        ("tens", snapshots[0]),
        ("tens", snapshots[1]),
    ]
    first, second = doubled.inputs
    assert [one.where["time"] for one in doubled.inputs] == [
        "2020-01-01 … 2020-01-10",
        "2020-01-11 … 2020-01-31",
    ]
    assert (len(first.files), len(second.files)) == (10, 20)
    assert (first.state, second.state) == ("valid", "valid 20, no file 1")


def test_the_tree_shows_a_month_of_files_and_how_many_more(
    tens: Tens, capsys: pytest.CaptureFixture[str]
) -> None:
    tens.run(monthly("monthly", TENS), last=60)
    made = explain(tens.store, "monthly", POINT)
    show.lineage(made)
    assert capsys.readouterr().out.count("file of ") == 30
    (source,) = made.inputs
    many = {f"{day}": file for day, file in enumerate([*source.files.values()] * 2)}
    show.lineage(replace(made, inputs=(replace(source, files=many),)))
    told = capsys.readouterr().out
    assert told.count("file of ") == show.SHOWN_LINES
    assert "… and 29 more (all of them with --json)" in told
    for commit, words in (("a" * 40, "code aaaaaaaaaaaa"), ("b" * 40 + "+", "and changes to it")):
        known = {"when": "now", "run": "one", "code_commit": commit}
        show.lineage(replace(made, made=known, inputs=()))
        shown = " ".join(capsys.readouterr().out.split())
        assert words in shown and ("changes" in shown) == commit.endswith("+")
