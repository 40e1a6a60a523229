"""Tables after any history are as a clean run makes them, whole after a kill, and proved."""

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from processes import commits, fill, small_disk, wait_until
from reportsworld import Reports, hourly, report
from toytables import REPORTS

from fluxengine import cli, table_run
from fluxengine.errors import NoSpace, StoreError
from fluxengine.store import Store, open_dataset
from fluxengine.table_rows import Key, arranged, dtype_of, joined
from fluxengine.table_rows import Reports as RowsOfFiles
from fluxengine.tables import FILES, Table
from fluxengine.verify import verify

AUGUST = "2002-08"


@pytest.fixture(scope="module")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> Reports:
    """Six buoys and a mooring over the turn of a month, after a first run; not to be changed."""
    made = Reports(tmp_path_factory.mktemp("reports"))
    for number in range(6):
        name = f"4100{number}"
        made.write(f"buoys/hist/{name}.txt", hourly(name, "2002-08-31T20:00", 8))
    for name in ("airt", "sst"):
        line = report("2002-08-15T12:00", "0n110w", wind=5)
        made.write(f"moorings/tao/{name}_dy.txt", [line])
    made.run()
    return made


@pytest.fixture
def made(first_run: Reports, tmp_path: Path) -> Reports:
    shutil.copytree(first_run.folder, tmp_path, dirs_exist_ok=True)
    return Reports(tmp_path)


# --- any history ---------------------------------------------------------------------------------

KEYS: tuple[Key, ...] = (("a", "1"), ("a", "2"), ("a", "3"), ("b", "1"))
# Few times and platforms, so that many rows agree.
ROWS = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from("xy"), st.none() | st.integers(0, 9)), max_size=6
)


def rows_of(key: Key, drawn: list[tuple[int, str, int | None]]) -> RowsOfFiles:
    made = np.zeros(len(drawn), dtype_of(REPORTS))
    made["lat"], made["lon"], made["sst"], made[FILES] = np.nan, 1, -32768, 1
    for at, (when, platform, wind) in enumerate(drawn):
        made["time"][at], made["platform"][at], made["row"][at] = when, platform, at
        made["wind"][at] = np.nan if wind is None else wind
    return RowsOfFiles((key,), made)


@pytest.mark.parametrize("number", [80, pytest.param(5000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("merges", [(), ("platform",), ("platform", "quality")])
@pytest.mark.parametrize("placed", [False, True])
def test_a_month_is_the_same_whatever_the_history(
    number: int, merges: tuple[str, ...], placed: bool
) -> None:
    table = replace(REPORTS, merges=merges)
    if placed:  # where the wind says, and files that come later are the better ones
        ranked = replace(table.feeds[0], name="a", rank=lambda path: -int(path))
        table = replace(table, place=lambda rows: rows["wind"][:, None] / 2.0, feeds=(ranked,))

    @settings(max_examples=number, derandomize=True)
    @given(st.lists(st.tuples(st.sampled_from(KEYS), ROWS), max_size=8))
    def check(history: list[tuple[Key, list[tuple[int, str, int | None]]]]) -> None:
        month = arranged(table, joined(table, []))
        for key, drawn in history:
            added = _like(table, rows_of(key, drawn))
            month = arranged(table, joined(table, [joined(table, [month.as_read()], {key}), added]))
        last = {key: _like(table, rows_of(key, drawn)) for key, drawn in history}
        clean = arranged(table, joined(table, reversed(last.values())))
        assert month.digest == clean.digest
        assert np.array_equal(month.rows["row"], clean.rows["row"])

    check()


def _like(table: Table, reports: RowsOfFiles) -> RowsOfFiles:
    """The same rows with the fields that the table has."""
    made = np.zeros(len(reports.rows), dtype_of(table))
    for name in made.dtype.names or ():
        made[name] = reports.rows[name]
    return RowsOfFiles(reports.sources, made)


NAMES = ("buoys/hist/a.txt", "buoys/hist/b.txt", "moorings/x/c_dy.txt", "moorings/x/d_dy.txt")
EDITS = st.tuples(
    st.sampled_from(NAMES),
    st.sampled_from(("write", "write", "write", "damage", "remove", "touch")),
    st.integers(0, 5),
)


def some_lines(name: str, seed: int) -> list[str]:
    """Reports of one platform about the turn of a month, some of them at the same time."""
    dice = random.Random(f"{name} {seed}")
    times = [f"2002-{dice.choice(('08-31T23', '09-01T00'))}:00" for _ in range(seed * 2)]
    column = "wind" if "c_dy" in name else "sst"
    values = {"wind": range(60), "sst": range(280, 300)}[column]
    return [report(when, "m", **{column: dice.choice(values)}) for when in times]


@dataclass
class Model:
    """What a table should hold: of each file the last bytes that could be read."""

    world: Reports
    held: dict[str, bytes] = field(default_factory=dict)

    def edit(self, name: str, how: str, seed: int) -> None:
        path = self.world.path(name)
        if how == "write":
            self.world.write(name, some_lines(name, seed))
        elif path.exists() and how == "remove":
            path.unlink()
        elif path.exists():
            path.write_bytes(path.read_bytes()[: -2 if how == "damage" else None])

    def run(self) -> None:
        there = {name for name in NAMES if self.world.path(name).exists()}
        for name in there:
            content = self.world.path(name).read_bytes()
            if content.endswith(b"END"):
                self.held[name] = content
        bytes_of_feed = {(name[:5], self.held[name]) for name in there & self.held.keys()}
        for name in self.held.keys() - there:
            if (name[:5], self.held[name]) in bytes_of_feed:
                del self.held[name]  # it lies elsewhere now
        self.world.run()

    def clean(self, folder: Path) -> Reports:
        made = Reports(folder)
        for name, content in self.held.items():
            path = made.path(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        made.write("buoys/hist/always.txt", [report("2002-08-01T00:00", "always")])
        made.run()
        return made


@pytest.mark.parametrize("number", [4, pytest.param(100, marks=pytest.mark.slow)])
@pytest.mark.parametrize("at_once", [1, 10_000])
def test_any_history_of_files_leads_to_what_a_clean_run_makes(
    number: int,
    at_once: int,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(table_run, "ROWS_HELD", at_once)

    @settings(max_examples=number, derandomize=True)
    @given(st.lists(st.lists(EDITS, min_size=1, max_size=5), min_size=1, max_size=4))
    def check(history: list[list[tuple[str, str, int]]]) -> None:
        model = Model(Reports(tmp_path_factory.mktemp("history")))
        model.world.write("buoys/hist/always.txt", [report("2002-08-01T00:00", "always")])
        for edits in history:
            for edit in edits:
                model.edit(*edit)
            model.run()
        clean = model.clean(tmp_path_factory.mktemp("clean"))
        assert model.world.content() == clean.content()
        assert verify(Store.at(model.world.store), REPORTS.name).findings == ()

    check()


# --- files with more rows than are held ----------------------------------------------------------


@pytest.mark.parametrize("end", ["END", "cut off"])
def test_a_file_of_many_rows_is_written_bit_by_bit_or_not_at_all(
    made: Reports,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    end: str,
) -> None:
    digest = made.content()
    made.write("buoys/hist/41000.txt", hourly("41000", "2002-08-31T04:00", 60, seed=1), end)
    made.write("buoys/hist/41001.txt", [])
    monkeypatch.setattr(table_run, "ROWS_HELD", 100)  # and a piece counts as fifty
    made.run()
    monkeypatch.undo()
    clean = made.made_anew(tmp_path_factory.mktemp("clean"))
    if end == "END":
        assert made.content() == clean.content()
    else:
        clean.write("buoys/hist/41000.txt", hourly("41000", "2002-08-31T20:00", 8))
        clean.run()
        assert made.content() == clean.content() != digest


# --- kills ---------------------------------------------------------------------------------------

SLOW = """
import time
from fluxengine import table_run
table_run.ROWS_HELD = 1  # so that every file is a commit
commit = table_run._Writer.commit
table_run._Writer.commit = lambda self: (commit(self), time.sleep(0.02))
from fluxengine.cli import script
script()
"""


def start(world: Reports) -> subprocess.Popen[str]:
    words = ["ingest", "toy-reports", "-c", str(world.run_file())]
    return subprocess.Popen(
        [sys.executable, "-c", SLOW, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_a_run_killed_at_any_commit_goes_on(
    made: Reports, tmp_path_factory: pytest.TempPathFactory
) -> None:
    before = open_dataset(made.store, "toy-reports", month=AUGUST).load()
    for number in range(6):
        name = f"4100{number}"
        made.write(f"buoys/hist/{name}.txt", hourly(name, "2002-08-31T20:00", 9, seed=1))
    dice = random.Random(1)
    for _ in range(2):
        run, goal = start(made), commits(made.store) + 1
        wait_until(lambda: commits(made.store) >= goal or run.poll() is not None, "a commit")  # noqa: B023
        time.sleep(dice.random() * 0.1)
        run.kill()
        run.communicate()
        assert run.returncode == -signal.SIGKILL
        assert open_dataset(made.store, "toy-reports", month=AUGUST).load().identical(before)
    assert 0 < len(made.plan().reads) < 6  # what was committed is not read again
    made.run()
    assert made.content() == made.made_anew(tmp_path_factory.mktemp("clean")).content()
    assert verify(Store.at(made.store), "toy-reports").findings == ()


def test_a_full_disk_leaves_the_published_version_and_the_same_run_goes_on(
    made: Reports, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with small_disk(tmp_path_factory.mktemp("full") / "disk") as disk:
        shutil.move(made.store, disk / "store")
        made.store.symlink_to(disk / "store")
        before = made.open(AUGUST)
        made.write("buoys/hist/41000.txt", hourly("41000", "2002-08-01T00:00", 700))
        ballast = fill(disk, 1000)
        with pytest.raises(NoSpace, match="the disk is full"):
            made.run()
        assert made.open(AUGUST).identical(before)
        ballast.unlink()
        made.run()
        assert made.content() == made.made_anew(tmp_path_factory.mktemp("clean")).content()


# --- damaged stores ------------------------------------------------------------------------------


def test_a_sound_table_verifies(made: Reports) -> None:
    found = verify(Store.at(made.store), "toy-reports")
    assert (found.blocks, found.steps, found.findings) == (2, 49, ())


def test_every_flipped_bit_of_a_chunk_is_found(made: Reports) -> None:
    made.write("buoys/hist/41006.txt", hourly("41006", "2002-08-01T00:00", 700))
    made.run()  # what is smaller lies within manifests
    dice = random.Random(3)
    chunks = sorted((made.store / "toy-reports" / "chunks").iterdir())
    for path in dice.choices(chunks, k=8):
        whole = path.read_bytes()
        flipped = bytearray(whole)
        flipped[dice.randrange(len(whole))] ^= 1 << dice.randrange(8)
        path.write_bytes(flipped)
        assert verify(Store.at(made.store), "toy-reports").findings, path
        path.write_bytes(whole)


def altered(world: Reports, change: Callable[[Any], None]) -> list[str]:
    """Findings after something was written past the engine."""
    repository = Store.at(world.store).repository("toy-reports")
    before = repository.tip("main")
    changes = repository.changes()
    change(changes.root)
    changes.commit("past the engine", {})
    repository.publish(before)
    found = verify(Store.at(world.store), "toy-reports").findings
    return [f"{finding.block}: {finding.what}" for finding in found]


def test_what_was_written_past_the_engine_is_found(made: Reports) -> None:
    def value(root: Any) -> None:
        root[f"{AUGUST}/wind"][0] += 1
        root["2002-09/height_4m"][...] = 5

    assert altered(made, value) == [
        "2002-08: other rows than were written",
        "2002-09: the coordinate height_4m has another value",
    ]


def test_other_metadata_are_found(made: Reports) -> None:
    def units(root: Any) -> None:
        root[f"{AUGUST}/wind"].update_attributes({"units": "knots"})
        root.create_group("2002-10")

    assert altered(made, units) == [
        ": the metadata of 2002-08 are not as they were written",
        "2002-10: its book knows nothing of this month",
    ]


def test_an_altered_book_is_found_and_stops_a_run(made: Reports) -> None:
    def rows(root: Any) -> None:
        root["_ledger/files"][8, 0] = "99"

    (finding,) = altered(made, rows)
    assert "the book of its files was altered" in finding
    with pytest.raises(StoreError, match="the book of its files was altered"):
        made.run()


def test_a_lost_month_is_found_and_stops_a_run_that_needs_it(made: Reports) -> None:
    def lost(root: Any) -> None:
        del root[AUGUST]

    (finding,) = altered(made, lost)
    assert finding.startswith("2002-08: ")
    made.write("buoys/hist/41000.txt", hourly("41000", "2002-08-31T20:00", 9))
    with pytest.raises(StoreError, match="damaged or lost"):
        made.run()


def test_a_notice_of_an_archive_reaches_every_month(made: Reports) -> None:
    (made.path("moorings") / "NOTICE.txt").write_text("These reports are simulated.")
    made.write("buoys/hist/41000.txt", hourly("41000", "2002-10-01T00:00", 1))
    made.run()
    for month in (AUGUST, "2002-09", "2002-10"):
        assert made.open(month).attrs["notice"] == "These reports are simulated."
    (made.path("moorings") / "NOTICE.txt").unlink()  # but what was read of it is there still
    made.write("buoys/hist/41000.txt", hourly("41000", "2002-10-01T00:00", 2))
    made.run()
    assert made.open("2002-10").attrs["notice"] == "These reports are simulated."
    assert verify(Store.at(made.store), "toy-reports").findings == ()


# --- the command line ----------------------------------------------------------------------------


@pytest.fixture
def fluxforge(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[str, str]]:
    """Run the command in this process and check its exit code."""

    def run(*words: object, code: int = 0) -> tuple[str, str]:
        monkeypatch.setattr(sys, "argv", ["fluxforge", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        done = capsys.readouterr()
        assert ended.value.code == code, done
        return done.out, done.err

    return run


Command = Callable[..., tuple[str, str]]


def test_tables_are_listed_and_described(fluxforge: Command) -> None:
    assert "toy-reports" in fluxforge("sources")[0]
    page, _ = fluxforge("sources", "toy-reports")
    for words in ("Toy buoys", "public domain", "Toy (2020)", "hist/*.txt", "wind", "K", "S6"):
        assert words in page
    facts = json.loads(fluxforge("sources", "toy-reports", "--json")[0])
    assert [feed["name"] for feed in facts["feeds"]] == ["buoys", "moorings"]
    assert "Did you mean 'toy-reports'?" in fluxforge("sources", "toy-report", code=1)[1]


def test_a_table_is_planned_ingested_and_told_of(made: Reports, fluxforge: Command) -> None:
    path = made.run_file()
    assert "knows all 8 files" in fluxforge("plan", "-c", path)[0]
    assert "up to date" in fluxforge("run", "-c", path)[0]
    made.write("buoys/hist/41000.txt", [*hourly("41000", "2002-08-31T20:00", 9), "NOISE"])
    made.write("buoys/hist/41001.txt", [], "cut off")
    planned = json.loads(fluxforge("plan", "-c", path, "--json")[0])
    assert [file["why"] for file in planned["will_read"]] == ["changed", "changed"]
    told, marks = fluxforge("ingest", "toy-reports", "-c", path, code=3)
    assert "files read 2, months rewritten 1, rows in all 50" in told
    assert "buoys: rows left out: 1 no time" in " ".join(told.split())
    assert "Published: toy-reports v2" in told
    assert "it ends before its END" in marks
    told, _ = fluxforge("status", "-c", path)
    assert "toy-reports" in told and "1 no time" in told
    assert "it ends before its END" in told
    (record,) = json.loads(fluxforge("status", "-c", path, "--json")[0])
    assert (record["rows"], record["files"], record["refused"]) == (50, 8, 1)
    assert "Everything is as it was written" in fluxforge("verify", "toy-reports", "-c", path)[0]
    assert "v2" in fluxforge("history", "toy-reports", "-c", path)[0]
    assert "not for tables" in fluxforge("run", "-c", path, "--accept-code", code=1)[1]
    place = ("toy-reports", "time=2002-08-31T20:00", "platform=41000", "-c", path)
    assert "hist/41000.txt" in "".join(fluxforge("explain", *place)[0].split())


def test_months_and_feeds_are_chosen_on_the_command_line(
    first_run: Reports, tmp_path: Path, fluxforge: Command
) -> None:
    for name in ("buoys", "moorings"):
        shutil.copytree(first_run.path(name), tmp_path / name)
    path = Reports(tmp_path).run_file()
    words = ("ingest", "toy-reports", "-c", path, "--feed", "buoys", "--first", "2002-09-01")
    done = json.loads(fluxforge(*words, "--json")[0])
    assert (done["read"], done["rows"], done["months"]) == (6, 24, 1)
    assert "comes before" in fluxforge(*words, "--last", "2002-08-01", code=1)[1]
    assert "for tables" in fluxforge("ingest", "toy-passes", "-c", path, "--feed", "x", code=1)[1]
    said = fluxforge("export", "toy-reports", "-c", path, "-o", "x", code=1)[1]
    assert "no files of a grid" in said and "month='2002-08'" in said
