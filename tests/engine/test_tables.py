"""Tables of reports: what is stored of which file, what is read again, and what is told."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import toytables
import xarray as xr
from reportsworld import Reports, hourly, report, warmer
from toytables import COLUMNS, REPORTS

from fluxengine import files, show
from fluxengine.declare import Array, Variable
from fluxengine.digest import file_digest
from fluxengine.errors import DeclarationError, RunFailed, StoreMismatch, UnknownName
from fluxengine.explain import Lineage, explain
from fluxengine.history import restore, versions
from fluxengine.status import of_store
from fluxengine.store import Store, open_dataset
from fluxengine.table_run import run
from fluxengine.tables import Rows

AUGUST, SEPTEMBER = "2002-08", "2002-09"


@pytest.fixture
def world(tmp_path: Path) -> Reports:
    """Two buoys over the turn of a month, and a mooring with a file for each variable."""
    made = Reports(tmp_path)
    made.write("buoys/hist/41001.txt", hourly("41001", "2002-08-31T20:00", 8))
    made.write("buoys/hist/41002.txt", hourly("41002", "2002-08-31T21:00", 8))
    noon = "2002-08-15T12:00"
    made.write("moorings/tao/airt_dy.txt", [report(noon, "0n110w", lat=0, lon=250, wind=5)])
    made.write("moorings/tao/sst_dy.txt", [report(noon, "0n110w", lat=0, lon=250, sst=299.5)])
    return made


# --- what is stored ------------------------------------------------------------------------------


def test_a_month_is_a_cf_point_dataset_sorted_by_time(world: Reports) -> None:
    summary = world.run()
    assert (summary.read, summary.months, summary.rows) == (4, 2, 17)
    august = world.open(AUGUST)
    assert august.attrs["featureType"] == "point"
    assert august.attrs["license"] == "buoys: public domain; moorings: public domain"
    assert august["time"].dtype.kind == "M" and august.sizes == {"report": 8, "source_file": 4}
    assert august["wind"].encoding["coordinates"] == "time lat lon height_4m"
    assert set(august.coords) == {"time", "lat", "lon", "height_4m"}
    assert august["platform"].values.tolist() == [
        "0n110w", "41001", "41001", "41002", "41001", "41002", "41001", "41002",
    ]  # fmt: skip
    assert (np.diff(august["time"].values) >= np.timedelta64(0)).all()
    lines = hourly("41001", "2002-08-31T20:00", 8)
    stored = august["wind"].values[august["platform"].values == "41001"]
    expected = [float(line.split("wind=")[1]) for line in lines[:4]]
    np.testing.assert_allclose(stored, expected, rtol=1e-6)


def test_each_row_says_which_file_and_line_it_is_from(world: Reports) -> None:
    world.run()
    september = world.open(SEPTEMBER)
    paths = september["source_path"].values[september["file"].values]
    names = [Path(path).stem for path in paths]
    assert names == september["platform"].values.tolist()
    assert september["row"].values.tolist() == [4, 3, 5, 4, 6, 5, 7, 6, 7]


def test_files_of_one_platform_are_put_together(world: Reports) -> None:
    world.run()
    (row,) = np.flatnonzero(world.open(AUGUST)["platform"].values == "0n110w")
    merged = world.open(AUGUST).isel(report=row)
    assert (float(merged["wind"]), int(merged["files"])) == (5, 2)
    assert float(merged["sst"]) == pytest.approx(299.5)


def test_the_first_value_there_is_wins_in_order_of_the_paths(world: Reports) -> None:
    noon = "2002-08-15T12:00"
    world.write("moorings/tao/a_dy.txt", [report(noon, "0n110w", sst=300)])
    world.write("moorings/tao/zz_dy.txt", [report(noon, "0n110w", wind=9, quality=2)])
    world.run()
    first = world.open(AUGUST).isel(report=0)
    values = (float(first["sst"]), float(first["wind"]), int(first["quality"]), int(first["files"]))
    assert values == (300, 5, 2, 4)


def test_rows_that_agree_within_a_file_stay_apart(world: Reports) -> None:
    noon = "2002-08-15T12:00"
    twice = [report(noon, "SHIP", wind=1), report(noon, "SHIP", wind=2)]
    world.write("moorings/tao/a_dy.txt", twice)
    world.write("moorings/tao/b_dy.txt", [report(noon, "SHIP", sst=280), *twice])
    world.run()
    august = world.open(AUGUST)
    ships = august.isel(report=august["platform"].values == "SHIP")
    assert ships["wind"].values.tolist() == [1, 2, 2]
    assert ships["files"].values.tolist() == [2, 2, 1]
    assert ships["sst"].isnull().values.tolist() == [False, True, True]


def by_longitude(columns: Mapping[str, Array]) -> Array:
    return columns["lon"][:, None] / 10.0


def test_rows_of_one_name_at_other_places_stay_apart(world: Reports) -> None:
    noon = "2002-08-15T12:00"
    first = [report(noon, "SHIP", lon=20, wind=1), report(noon, "SHIP", lon=200, wind=2)]
    second = [report(noon, "SHIP", lon=201, sst=280), report(noon, "SHIP", lon=100, sst=290)]
    world.write("moorings/tao/a_dy.txt", first)
    world.write("moorings/tao/b_dy.txt", second)
    placed = replace(world, table=replace(REPORTS, place=by_longitude))
    placed.run()
    august = placed.open(AUGUST)
    ships = august.isel(report=august["platform"].values == "SHIP")
    found = np.stack([ships[name].values for name in ("lon", "wind", "sst", "files")], axis=1)
    expected = [[20, 1, np.nan, 1], [100, np.nan, 290, 1], [200, 2, 280, 2]]
    np.testing.assert_allclose(found[np.argsort(found[:, 0])], expected)


def test_what_better_files_left_out_does_not_come_back(world: Reports) -> None:
    times = ["2002-08-15T12:00", "2002-08-15T13:00"]
    world.write("moorings/tao/a_live_dy.txt", [report(t, "b", wind=44, sst=281) for t in times])
    world.write("moorings/tao/z_dy.txt", [report(times[0], "b", sst=280)])
    feeds = [replace(f, rank=lambda path: int("_live" in path)) for f in REPORTS.feeds]
    ranked = replace(world, table=replace(REPORTS, feeds=tuple(feeds)))
    ranked.run()
    august = ranked.open(AUGUST)
    buoy = august.isel(report=august["platform"].values == "b")
    assert np.isnan(buoy["wind"].values[0]) and buoy["wind"].values[1] == 44
    np.testing.assert_allclose(buoy["sst"].values, [280, 281])
    assert buoy["files"].values.tolist() == [2, 1]


def test_rows_of_other_feeds_are_never_put_together(world: Reports) -> None:
    same = report("2002-08-15T12:00", "0n110w", wind=7)
    world.write("buoys/hist/41003.txt", [same])
    assert world.run().rows == 18


def test_a_table_that_merges_nothing_keeps_every_row(world: Reports) -> None:
    plain = replace(world, table=replace(REPORTS, merges=()))
    assert plain.run().rows == 18
    assert "files" not in plain.open(AUGUST)


def test_what_was_left_out_is_told_with_its_reason(world: Reports) -> None:
    lines = [*hourly("41001", "2002-08-31T20:00", 8), "NOISE", "NOISE"]
    world.write("buoys/hist/41001.txt", lines)
    summary = world.run()
    assert summary.rejected == {"buoys": {"no time": 2}, "moorings": {}}
    (record,) = of_store(Store.at(world.store))
    assert record["rejected"] == summary.rejected
    assert summary.marked == ()


# --- what is read again --------------------------------------------------------------------------


def whys(world: Reports, *months: str) -> dict[str, str]:
    return {planned.path: planned.why for planned in world.plan(*months).reads}


def test_nothing_is_read_twice(world: Reports) -> None:
    assert set(whys(world).values()) == {"new"}
    world.run()
    assert whys(world) == {}
    again = world.run()
    assert (again.read, again.published) == (0, None)


def test_what_a_reader_looks_at_beside_its_files_is_part_of_them(
    world: Reports, tmp_path: Path
) -> None:
    """A table of stations that comes later counts, and one that is mended."""
    table = tmp_path / "buoys" / "stations"

    def beside(paths: Sequence[Path]) -> dict[str, str]:
        assert {path.parent for path in paths} == {tmp_path / "buoys" / "hist"}
        return {"stations": file_digest(table)[:8] if table.exists() else ""}

    buoys, moorings = REPORTS.feeds
    world.table = replace(REPORTS, feeds=(replace(buoys, beside=beside), moorings))
    world.run()
    assert whys(world) == {}
    table.write_text("41001 is 5 m high")
    told = set(whys(world).values())
    assert len(told) == 1 and "beside.stations" in told.pop()
    assert set(whys(world)) == {"hist/41001.txt", "hist/41002.txt"}
    again = world.run()
    assert (again.read, again.months) == (2, 0)  # the toy reader makes the same of them
    assert whys(world) == {}


def test_files_are_read_in_the_order_of_their_feed(world: Reports) -> None:
    buoys, moorings = REPORTS.feeds
    world.table = replace(REPORTS, feeds=(replace(buoys, order=lambda path: path[::-1]), moorings))
    world.write("buoys/hist/z41000.txt", [])
    assert [planned.path for planned in world.plan().reads[:3]] == [
        "hist/z41000.txt",
        "hist/41001.txt",
        "hist/41002.txt",
    ]


def test_a_changed_file_is_read_and_only_its_months_are_rewritten(
    world: Reports, tmp_path: Path
) -> None:
    world.run()
    world.write("moorings/tao/sst_dy.txt", [report("2002-08-15T12:00", "0n110w", sst=301)])
    assert whys(world) == {"tao/sst_dy.txt": "changed"}
    summary = world.run()
    assert (summary.read, summary.months, summary.published) == (1, 1, "v2")
    first = world.open(AUGUST).isel(report=0)
    assert (float(first["sst"]), float(first["wind"])) == (pytest.approx(301), 5)
    assert world.content() == world.made_anew(tmp_path / "clean").content()


def test_a_file_that_moves_to_another_month_leaves_the_one_it_was_in(world: Reports) -> None:
    world.run()
    for name in ("airt", "sst"):
        line = report("2003-01-01T00:00", "0n110w", wind=1)
        world.write(f"moorings/tao/{name}_dy.txt", [line])
    world.run()
    assert "0n110w" not in world.open(AUGUST)["platform"]
    assert world.open("2003-01").sizes["report"] == 1
    world.write("moorings/tao/airt_dy.txt", [])
    world.write("moorings/tao/sst_dy.txt", [])
    world.run()
    with pytest.raises(UnknownName, match=r"no month '2003-01'.*from 2002-08 to 2002-09"):
        world.open("2003-01")


def test_a_touched_file_is_compared_and_not_read(world: Reports) -> None:
    world.run()
    path = world.path("buoys/hist/41001.txt")
    path.write_bytes(path.read_bytes())
    assert whys(world) == {}
    assert world.run().published is None


def test_other_code_of_a_reader_reads_its_files_again(world: Reports) -> None:
    world.run()
    world.table = warmer(REPORTS, 1.0)
    assert set(whys(world).values()) == {
        "options changed: read.{} {'warmer': 0.0} → absent"
    } or all("options changed" in why for why in whys(world).values())
    world.run()
    assert float(world.open(AUGUST)["sst"].max()) == pytest.approx(300.5)


def test_a_file_that_is_gone_keeps_its_rows(world: Reports, tmp_path: Path) -> None:
    before = world.run().rows
    digest = world.content()
    world.path("moorings/tao/sst_dy.txt").unlink()
    summary = world.run()
    assert (summary.rows, summary.marked, world.content()) == (before, (), digest)
    # A change of its partner in merging takes nothing from it.
    world.write("moorings/tao/airt_dy.txt", [report("2002-08-15T12:00", "0n110w", wind=6)])
    world.run()
    first = world.open(AUGUST).isel(report=0)
    assert (float(first["sst"]), float(first["wind"])) == (pytest.approx(299.5), 6)


def test_files_that_are_gone_are_told_of(
    world: Reports, capsys: pytest.CaptureFixture[str]
) -> None:
    world.run()
    world.path("moorings/tao/sst_dy.txt").unlink()
    summary = world.run()
    assert summary.as_json()["gone"] == [{"feed": "moorings", "path": "tao/sst_dy.txt"}]
    show.table_summary(summary)
    told = "1 file is gone; the rows read of it stay: moorings tao/sst_dy.txt."
    assert told in capsys.readouterr().out
    world.path("buoys/hist/41001.txt").unlink()
    show.table_summary(world.run())
    told = "2 files are gone; the rows read of them stay: buoys hist/41001.txt and 1 more."
    assert told in capsys.readouterr().out


def test_a_file_that_was_moved_is_not_counted_twice(world: Reports) -> None:
    before = world.run().rows
    old = world.path("moorings/tao/sst_dy.txt")
    new = world.path("moorings/pirata/sst_dy.txt")
    new.parent.mkdir()
    old.rename(new)
    assert world.run().rows == before
    assert "tao/sst_dy.txt" not in world.open(AUGUST)["source_path"]


def test_touched_and_moved_archives_are_read_once(
    world: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.run()
    world.path("buoys").rename(world.path("elsewhere"))
    moved = replace(
        world.request(),
        archives={"buoys": str(world.path("elsewhere")), "moorings": str(world.path("moorings"))},
    )
    os.utime(world.path("moorings/tao/sst_dy.txt"))
    for _ in range(2):
        summary = run(moved)
        assert (summary.read, summary.published, summary.marked) == (0, None, ())
        monkeypatch.setattr(files, "_digest_of", lambda *_: pytest.fail("read again"))
    (record,) = of_store(Store.at(world.store))
    assert (record["published"], record["unpublished_work"]) == ("v1", False)


# --- damage --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "end", "complaint"),
    [
        (["2002-08-01T00:00 wind=1"] * 7, "", "it ends before its END"),
        (["2002-08-01T00:00 wind=1"] * 4 + ["CRASH"], "END", "ZeroDivisionError: a fault"),
        (["2002-08-01T00:00 wind=99"], "END", "'wind' = 99 m s-1 at 1 rows lies outside 0 to 60"),
        (["2002-08-01T00:00 wind=inf"], "END", "'wind' = inf"),
        (["2002-08-01T00:00 depth=99"], "END", "a column 'depth', which 'toy-reports' has not"),
        (["2002-08-01T00:00 quality=7"], "END", "'quality' = 7 is none of its codes"),
        (["2002-08-01T00:00 platform=1234567"], "END", "'platform' = b'1234567' is longer than S6"),
        (["2002-08-01T00:00 platform=bü"], "END", "'platform' holds a name that is no ASCII"),
        (["NaT wind=1"], "END", "'time' = NaT is no time of a report"),
        (["20020-08-01T00:00 wind=1"], "END", "'time' = 20020-08-01T00:00:00 is no time"),
    ],
)
def test_a_file_that_cannot_be_read_is_noted_and_the_others_go_on(
    world: Reports, lines: list[str], end: str, complaint: str
) -> None:
    before = world.run()
    path = world.write("buoys/hist/41001.txt", lines, end)
    summary = world.run()
    (mark,) = summary.marked
    assert complaint in mark and str(path) in mark
    assert "The 8 rows read of it before are kept." in mark
    assert summary.rows == before.rows
    assert whys(world) == {}  # the same bytes give the same complaint
    assert world.run().marked == summary.marked


def test_a_damaged_file_that_is_whole_again_is_read_again(world: Reports) -> None:
    clean = world.run()
    digest, path = world.content(), world.path("buoys/hist/41001.txt")
    whole = path.read_bytes()
    path.write_bytes(whole[:200])
    assert world.run().marked
    path.write_bytes(whole)
    summary = world.run()
    assert (summary.read, summary.rows, summary.marked) == (1, clean.rows, ())
    assert world.content() == digest


def test_a_damaged_file_that_is_taken_away_is_told_no_more(world: Reports) -> None:
    world.write("buoys/hist/bad.txt", [], "")
    assert len(world.run().marked) == 1
    world.path("buoys/hist/bad.txt").unlink()
    assert world.run().marked == ()
    (record,) = of_store(Store.at(world.store))
    assert record["refused"] == 0


def test_a_file_that_changes_while_it_is_read_is_read_again(world: Reports) -> None:
    path = world.path("buoys/hist/41001.txt")
    whole = path.read_bytes()

    def growing(file: Path) -> Iterator[Rows]:
        yield from toytables.read(file)
        if file == path and file.read_bytes() == whole:
            file.write_bytes(whole.replace(b"END", report("2002-08-01T00:00", "x").encode()))

    feeds = tuple(replace(feed, read=growing) for feed in REPORTS.feeds)
    world.table = replace(REPORTS, feeds=feeds)
    (mark,) = world.run().marked
    assert "the file changed while it was read" in mark
    assert "41001" not in world.open(SEPTEMBER)["platform"]
    path.write_bytes(whole + b"\nEND")
    world.table = REPORTS
    world.run()
    assert "41001" not in world.open(AUGUST)["platform"] or world.run().marked == ()


def test_a_complaint_that_is_no_text_is_noted_all_the_same(world: Reports) -> None:
    def quoting(file: Path) -> Iterator[Rows]:
        raise ValueError("\udcff\x00" * 10_000)
        yield

    buoys, moorings = REPORTS.feeds
    world.table = replace(REPORTS, feeds=(replace(buoys, read=quoting), moorings))
    marked = world.run().marked
    assert len(marked) == 2 and all(len(mark) < 1100 and r"\udcff" in mark for mark in marked)


def test_strict_publishes_nothing(world: Reports) -> None:
    world.write("buoys/hist/bad.txt", [], "")
    with pytest.raises(RunFailed, match="it ends before its END"):
        world.run(strict=True)
    assert not Store.at(world.store).repository("toy-reports").is_published


def test_a_table_without_a_row_is_not_published(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match="not one row of toy-reports: buoys: no file hist"):
        Reports(tmp_path).run()


def test_why_no_row_could_be_used_is_told(tmp_path: Path) -> None:
    empty = Reports(tmp_path)
    empty.write("buoys/hist/41001.txt", ["NOISE"] * 3)
    told = r"not one row of toy-reports: .* of buoys 3 rows were left out: no time\. Nothing was"
    with pytest.raises(RunFailed, match=told):
        empty.run()


def test_months_without_a_report_are_marked_and_publish_nothing(
    world: Reports, tmp_path: Path
) -> None:
    world.run(AUGUST, SEPTEMBER)
    summary = world.run("2012-01", "2012-02")
    mark = "no report from 2012-01 to 2012-02: the table's months are 2002-08:2002-09."
    assert (summary.read, summary.months, summary.published) == (4, 0, None)
    assert summary.marked == (mark,)
    assert not whys(world, "2012-01", "2012-02")
    assert world.run("2012-01", "2012-02").marked == (mark,)
    assert world.run(AUGUST, "2012-02").marked == ()
    (record,) = of_store(Store.at(world.store))
    assert (record["published"], record["unpublished_work"]) == ("v1", False)
    world.write("buoys/hist/41003.txt", [report("2012-01-15T12:00", "41003", wind=3)])
    assert world.run("2012-01", "2012-02").published == "v2"
    assert world.content() == world.made_anew(tmp_path / "clean").content()


def test_what_a_keeper_wants_told_is_published_though_no_row_changed(world: Reports) -> None:
    world.run()
    world.path("buoys/NOTICE.txt").write_text("Use with care.")
    world.write("buoys/hist/empty.txt", [])
    summary = world.run()
    assert (summary.read, summary.published) == (1, "v2")
    assert "Use with care." in world.open(AUGUST).attrs["notice"]


def test_a_feed_without_files_is_marked(world: Reports) -> None:
    for path in world.path("moorings/tao").iterdir():
        path.unlink()
    (mark,) = world.run().marked
    assert mark.startswith("moorings: no file */*_dy.txt or latest.txt in ")


@pytest.mark.parametrize(
    ("columns", "complaint"),
    [
        ({"wind": np.zeros(2)}, "'wind' is float64 of shape .2,., not 1 numbers"),
        ({"wind": np.zeros((1, 1))}, "'wind' is float64 of shape .1, 1.,"),
        ({"wind": np.array(["a"])}, "'wind' is <U1"),
        ({"wind": np.array([None])}, "'wind' is object"),
        ({"platform": np.array(["a"])}, "'platform' is <U1"),
        ({"quality": np.array([2.0])}, "'quality' is float64"),
        ({"time": np.array(["2002-08-01"], "M8[ns]")}, "'time' is datetime64.ns."),
        ({"time": np.zeros(1)}, "'time' is float64"),
    ],
)
def test_a_reader_that_gives_other_columns_is_told_so(
    world: Reports, columns: dict[str, np.ndarray], complaint: str
) -> None:
    known = {"time": np.array(["2002-08-01"], "M8[s]")}

    def wrong(file: Path) -> Iterator[Rows]:
        yield Rows(known | columns)

    buoys, moorings = REPORTS.feeds
    world.table = replace(REPORTS, feeds=(replace(buoys, read=wrong), moorings))
    marked = world.run().marked
    assert len(marked) == 2
    import re

    assert all(
        re.search(complaint, mark) and "fault of the feed's reader" in mark for mark in marked
    )


# --- months --------------------------------------------------------------------------------------


def test_only_the_months_asked_for_are_stored_and_more_may_be_asked_for(
    world: Reports, tmp_path: Path
) -> None:
    assert world.run(SEPTEMBER, SEPTEMBER).rows == 9
    with pytest.raises(UnknownName):
        world.open(AUGUST)
    assert world.run(SEPTEMBER, SEPTEMBER).read == 0
    summary = world.run(AUGUST, AUGUST)
    assert (summary.read, summary.rows) == (4, 17)
    assert world.run(AUGUST, AUGUST).read == 0  # both months from now on
    assert world.content() == world.made_anew(tmp_path / "clean").content()


def test_a_file_that_is_gone_cannot_give_more_months(world: Reports) -> None:
    world.run(SEPTEMBER, SEPTEMBER)
    world.path("buoys/hist/41001.txt").unlink()
    (mark,) = world.run().marked
    assert mark == "buoys: hist/41001.txt is gone: of it only 2002-09 can be kept."


def test_one_feed_alone_leaves_the_rows_of_the_others(world: Reports) -> None:
    assert world.run("", "", "buoys").rows == 16
    assert world.run("", "", "moorings").rows == 17


# --- versions, lineage ---------------------------------------------------------------------------


def test_versions_say_which_months_changed_and_one_can_be_restored(world: Reports) -> None:
    world.run()
    digest = world.content()
    world.write("buoys/hist/41001.txt", hourly("41001", "2002-08-31T20:00", 4, seed=1))
    world.run()
    world.write("buoys/hist/41003.txt", hourly("41003", "2002-10-31T20:00", 4, seed=1))
    world.run()
    store = Store.at(world.store)
    found = versions(store, "toy-reports")
    assert [(v.added, v.changed, v.same) for v in found] == [(2, 0, 0), (0, 2, 0), (1, 0, 2)]
    assert restore(store, "toy-reports", "v1") == "v4"
    assert world.content() == digest
    assert world.run().read == 2


def test_a_report_is_explained_down_to_its_files(world: Reports) -> None:
    world.run()
    point = {"time": "2002-08-15T12:00", "platform": "0n110w"}
    made = explain(Store.at(world.store), "toy-reports", point)
    assert made.state == "put together from 2 files"
    assert [file["path"] for part in made.inputs for file in part.files.values()] == [
        str(world.path("moorings/tao/airt_dy.txt")),
        str(world.path("moorings/tao/sst_dy.txt")),
    ]
    assert "toytables" in made.inputs[0].made["code"]
    values = {value.name: value.shown for value in made.values}
    assert (values["wind"], values["sst"]) == ("5", "299.5")


def test_reports_of_one_time_are_each_explained_by_their_own_rows(world: Reports) -> None:
    when = "2002-08-01T00:00"
    place = {"lat": 0, "lon": 5}
    winds = [report(when, "m1", **place, wind=wind) for wind in (1, 2, 3)]
    warmth = [report(when, "m1", **place, sst=sst) for sst in (291, 292)]
    world.write("moorings/x/a_dy.txt", winds)
    world.write("moorings/x/b_dy.txt", warmth)
    world.run()
    made = explain(Store.at(world.store), "toy-reports", {"time": when, "platform": "m1"})
    told = [[_shown(part) for part in row.inputs or (row,)] for row in made.inputs]
    assert [row.state for row in made.inputs] == ["put together from 2 files"] * 2 + [
        "as it was read"
    ]
    none = "no value"
    assert told == [[("1", none), (none, "291")], [("2", none), (none, "292")], [("3", none)]]


def _shown(row: Lineage) -> tuple[str, str]:
    values = {value.name: value.shown for value in row.values}
    return values["wind"], values["sst"]


def test_a_table_is_no_grid_and_says_so(world: Reports) -> None:
    world.run()
    with pytest.raises(UnknownName, match=r"say which month.*from 2002-08 to 2002-09"):
        open_dataset(world.store, "toy-reports")


def test_other_columns_want_another_store(world: Reports) -> None:
    world.run()
    world.table = replace(REPORTS, columns=COLUMNS[:-1])
    with pytest.raises(StoreMismatch, match="toy-reports: it holds other columns"):
        world.run()


# --- where files lie -----------------------------------------------------------------------------


def test_files_are_found_in_a_flat_folder_too(world: Reports, tmp_path: Path) -> None:
    world.run()
    flat = Reports(tmp_path / "flat")
    for feed in ("buoys", "moorings"):
        for path in world.path(feed).rglob("*.txt"):
            target = flat.path(feed) / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    assert flat.run().rows == 17
    xr.testing.assert_equal(
        flat.open(AUGUST).drop_vars("source_path"), world.open(AUGUST).drop_vars("source_path")
    )


def test_flat_files_are_found_beside_others_in_folders(tmp_path: Path) -> None:
    flat = Reports(tmp_path)
    flat.write("buoys/a.txt", hourly("A", "2002-08-01", 3))
    flat.write("buoys/b.txt", hourly("B", "2002-08-01", 3))
    assert flat.run().rows == 6
    flat.write("buoys/hist/c.txt", hourly("C", "2002-08-01", 3))
    flat.write("buoys/b.txt", hourly("B", "2002-08-01", 30))
    flat.write("buoys/d.txt", hourly("D", "2002-08-01", 5))
    summary = flat.run()
    assert (summary.read, summary.rows) == (3, 3 + 30 + 3 + 5)
    assert flat.plan().gone == ()
    flat.write("buoys/hist/a.txt", hourly("A", "2002-08-01", 3))  # copied: counts in its folder
    assert flat.run().rows == 41
    assert "a.txt" not in {path for _, path in flat.plan().there}
    assert flat.plan().reads == ()


def test_a_file_that_cannot_be_looked_at_is_noted(world: Reports) -> None:
    world.run()
    file = world.path("buoys/hist/41001.txt")
    file.unlink()
    file.symlink_to(file)
    (mark,) = world.run().marked
    assert "41001.txt: it cannot be read: Too many levels of symbolic links" in mark


def test_files_are_listed_in_an_object_store(world: Reports, tmp_path: Path) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    for name in ("buoys", "moorings"):
        memory.put(str(world.path(name)), f"/{tmp_path.name}/{name}", recursive=True)
    world.run()
    remote = Reports(tmp_path / "remote")
    (tmp_path / "remote").mkdir()
    request = replace(
        remote.request(),
        archives={name: f"memory://{tmp_path.name}/{name}" for name in ("buoys", "moorings")},
    )
    from fluxengine.table_plan import make_plan
    from fluxengine.table_run import run

    assert run(request).rows == 17
    assert remote.content() == world.content()
    assert make_plan(request).reads == ()
    memory.pipe(f"/{tmp_path.name}/buoys/hist/41001.txt", b"TOY\nEND")
    assert [planned.why for planned in make_plan(request).reads] == ["changed"]


def test_a_web_server_cannot_be_listed(world: Reports) -> None:
    from fluxengine.errors import ConfigError
    from fluxengine.table_plan import make_plan

    request = replace(world.request(), archives={"buoys": str(world.path("buoys"))})
    with pytest.raises(ConfigError, match=r"a web server has no listing.*archives: {moorings"):
        make_plan(request)
    assert len(make_plan(replace(request, feeds=("buoys",))).reads) == 2
    with pytest.raises(ConfigError, match=r"no feed 'ships'\. It has: buoys, moorings"):
        make_plan(replace(request, feeds=("ships",)))


# --- declarations --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"columns": (*COLUMNS, COLUMNS[0])}, r"declares \['platform'\] more than once"),
        ({"feeds": REPORTS.feeds * 2}, "more than once"),
        ({"columns": (Variable("row", "1", "row"),)}, r"columns \['row'\] .* are the engine's"),
        ({"merges": ("wind",)}, "merges by 'wind', which is no column of names or codes"),
        ({"merges": ("ship",)}, "merges by 'ship'"),
    ],
)
def test_a_table_that_cannot_work_cannot_be_declared(
    changes: dict[str, object], complaint: str
) -> None:
    with pytest.raises(DeclarationError, match=complaint):
        replace(REPORTS, **changes)
