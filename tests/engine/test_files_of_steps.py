"""Files that are not one a step: several steps in one, several of one step, stand-ins, versions."""

import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path
from uuid import uuid4

import fsspec
import pytest
import toyfiles
import xarray as xr
from toyfiles import DATED, FINAL, HALVES, MONTHLY, times_read

from fluxengine import executors
from fluxengine.declare import Paths, Source
from fluxengine.errors import StoreError
from fluxengine.files import FileId, look, together, which
from fluxengine.plan import Plan, make_plan
from fluxengine.run import Summary, run
from fluxengine.stand import Request
from fluxengine.store import Store, open_dataset

DAYS = ("2020-01-30", "2020-01-31", "2020-02-01", "2020-02-02")


@dataclass(frozen=True)
class Archive:
    """Files of one source, and a store made from them."""

    source: Source
    folder: Path
    root: str = ""

    def write(self, path: str, table: dict[str, list[int]]) -> None:
        file = self.folder / "archive" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(table))

    def request(self, first: str = "2020-01-30", last: str = "2020-02-02") -> Request:
        store = Store.at(self.folder / "store", create=True)
        period = date.fromisoformat(first), date.fromisoformat(last)
        root = self.root or str(self.folder / "archive")
        return Request(self.source, *period, store, {"tiny": root})

    def run(self) -> Summary:
        times_read.clear()
        return run(self.request(), partial(nullcontext, executors.serial))

    def plan(self) -> Plan:
        return make_plan(self.request())

    def first_numbers(self) -> list[float]:
        """The westernmost number of each day; 0 where there is none."""
        return self.numbers()[:, 0].fillna(0).values.tolist()

    def numbers(self) -> xr.DataArray:
        return open_dataset(self.folder / "store", self.source.name)["number"]


@pytest.fixture
def archive(tmp_path: Path) -> Callable[[Source], Archive]:
    return lambda source: Archive(source, tmp_path)


def row(value: int) -> list[int]:
    return [value] * 6


def test_a_file_of_many_steps_is_read_once_for_each_block(
    archive: Callable[[Source], Archive],
) -> None:
    monthly = archive(MONTHLY)
    monthly.write("2020-01.json", {"2020-01-30": row(30), "2020-01-31": row(31)})
    monthly.write("2020-02.json", {"2020-02-02": row(2), "2020-02-01": row(1)})
    summary = monthly.run()
    assert times_read == ["2020-01.json", "2020-02.json"]
    assert monthly.first_numbers() == [30, 31, 1, 2]
    assert summary.actual["monthly"].traffic.gets == 2 and not summary.marked


def test_a_step_that_its_file_does_not_hold_is_missing_until_the_file_grows(
    archive: Callable[[Source], Archive],
) -> None:
    monthly = archive(MONTHLY)
    monthly.write("2020-01.json", {"2020-01-30": row(30), "2020-01-31": row(31)})
    monthly.write("2020-02.json", {"2020-02-01": row(1)})
    (mark,) = monthly.run().marked
    assert mark.startswith("monthly 2020-02-02: ") and mark.endswith("02.json does not hold it")
    assert monthly.first_numbers() == [30, 31, 1, 0]
    monthly.write("2020-02.json", {"2020-02-01": row(1), "2020-02-02": row(2)})
    assert not monthly.run().marked
    assert monthly.first_numbers() == [30, 31, 1, 2]
    assert monthly.plan().is_empty


def test_damage_to_a_file_of_many_steps_fails_those_steps_alone(
    archive: Callable[[Source], Archive],
) -> None:
    monthly = archive(MONTHLY)
    monthly.write("2020-01.json", {"2020-01-30": row(30), "2020-01-31": row(31)})
    (monthly.folder / "archive/2020-02.json").write_text("{")
    assert len(monthly.run().marked) == 2
    assert monthly.first_numbers() == [30, 31, 0, 0]


def test_a_step_needs_all_of_its_files(archive: Callable[[Source], Archive]) -> None:
    halves = archive(HALVES)
    days = ("2020-01-30", "2020-01-31", "2020-02-01", "2020-02-02")
    for number, day in enumerate(days):
        for half in ("west", "east"):
            if (number, half) != (3, "east"):
                halves.write(f"{half}/{day}.json", {day: [number + 1] * 3})
    (mark,) = halves.run().marked
    assert "no file west/2020-02-02.json and east/2020-02-02.json" in mark
    assert halves.first_numbers() == [1, 2, 3, 0]
    halves.write("east/2020-02-02.json", {"2020-02-02": [9] * 3})
    (planned,) = halves.plan().datasets[0].will_run
    assert planned.why == ("inputs changed: halves files 2020-02-02",)
    assert not halves.run().marked
    halves.write("east/2020-01-30.json", {"2020-01-30": [7] * 3})
    assert not halves.plan().is_empty
    halves.run()
    assert halves.numbers()[0].values.tolist() == [1, 1, 1, 7, 7, 7] and halves.plan().is_empty


def test_the_ledger_lists_the_files_of_a_step(archive: Callable[[Source], Archive]) -> None:
    halves = archive(HALVES)
    for half in ("west", "east"):
        halves.write(f"{half}/2020-01-30.json", {"2020-01-30": [1] * 3})
    halves.run()
    stand = halves.plan().datasets[0].stand
    record = stand.ledger.record(0)
    assert record is not None
    file = record["files"]["2020-01-30"]
    assert [Path(part["path"]).parent.name for part in file["parts"]] == ["west", "east"]
    assert all(part["sha256"] for part in file["parts"])


def test_a_preliminary_file_stands_in_until_the_final_one_comes(
    archive: Callable[[Source], Archive],
) -> None:
    final = archive(FINAL)
    for number, day in enumerate(("2020-01-30", "2020-01-31", "2020-02-01", "2020-02-02")):
        folder = "final" if number < 2 else "preliminary"
        final.write(f"{folder}/{day}.json", {day: row(number + 1)})
    assert not final.run().marked
    assert final.first_numbers() == [1, 2, 3, 4]
    final.write("final/2020-02-01.json", {"2020-02-01": row(33)})
    final.run()
    assert final.first_numbers() == [1, 2, 33, 4] and final.plan().is_empty


@pytest.mark.parametrize("flat", [False, True])
def test_a_preliminary_file_replaces_no_values_of_a_final_one_that_vanished(
    archive: Callable[[Source], Archive], flat: bool
) -> None:
    source = FINAL
    if flat:
        instead = (lambda day: f"preliminary/{day}_preliminary.json",)
        source = replace(FINAL, instead=instead)
    final = archive(source)

    def write(folder: str, day: str, value: int) -> Path:
        name = f"{day}_preliminary" if flat and folder == "preliminary" else day
        path = f"{name}.json" if flat else f"{folder}/{name}.json"
        final.write(path, {day: row(value)})
        return final.folder / "archive" / path

    for number, day in enumerate(DAYS):
        write("preliminary", day, 9)
        last = write("final", day, number + 1)
    first = last.with_name(f"{DAYS[0]}.json")
    final.run()
    last.unlink()
    first.unlink()
    assert final.run().did_nothing and final.plan().is_empty
    write("final", DAYS[1], 22)  # its block is made again, and the others' values are kept
    final.run()
    assert final.run().did_nothing
    assert final.first_numbers() == [1, 22, 3, 4]
    write("final", DAYS[3], 44)
    final.run()
    assert final.first_numbers() == [1, 22, 3, 44]


def test_a_preliminary_file_that_is_revised_is_taken_while_no_final_one_came(
    archive: Callable[[Source], Archive],
) -> None:
    final = archive(FINAL)
    for number, day in enumerate(DAYS):
        final.write(f"preliminary/{day}.json", {day: row(number + 1)})
    final.run()
    assert final.run().did_nothing
    final.write("preliminary/2020-02-01.json", {"2020-02-01": row(33)})
    final.run()
    assert final.first_numbers() == [1, 2, 33, 4]
    moved = final.folder / "elsewhere"
    (final.folder / "archive").rename(moved)
    again = replace(final, root=str(moved))
    (moved / "preliminary/2020-01-31.json").write_text(json.dumps({"2020-01-31": row(22)}))
    again.run()
    assert again.first_numbers() == [1, 22, 33, 4]


@pytest.mark.parametrize(
    ("path", "names", "place"),
    [
        ("/a/final/1.nc", ["final/1.nc", "early/1.nc"], 0),
        ("s3://a/early/1.nc", ["final/1.nc", "early/1.nc"], 1),
        ("/a/early/1.nc", ["1.nc", "early/1.nc"], 1),
        ("/a/1.nc", ["final/1.nc", "early/1.nc"], 0),  # kept flat: nothing tells them apart
        ("/a/1_early.nc", ["2020/1.nc", "2020/1_early.nc"], 1),
        ("/a/1_c2020.nc", ["0.nc", "1_c*.nc"], 1),
        ("/a/x.nc", ["final/1.nc", "early/1.nc"], 0),  # nobody knows
        ("/a/w/1.nc and 1 more", [("v/1.nc", "v/2.nc"), ("w/1.nc", "w/2.nc")], 1),
    ],
)
def test_the_ledger_tells_which_of_its_names_a_file_was_found_by(
    path: str, names: list[Paths], place: int
) -> None:
    assert which({"path": path}, names) == place


def test_files_that_were_put_together_are_told_by_all_of_their_names() -> None:
    found = together([FileId("/r/a.nc", 1, ""), FileId("/r/early/b.nc", 1, "")]).as_json()
    assert which(found, [("a.nc", "final/b.nc"), ("a.nc", "early/b.nc")]) == 1


def test_of_the_versions_of_a_file_the_last_is_taken(archive: Callable[[Source], Archive]) -> None:
    dated = archive(DATED)
    for day in ("2020-01-30", "2020-01-31", "2020-02-01", "2020-02-02"):
        dated.write(f"day_{day}_c20200301.json", {day: row(1)})
    dated.write("day_2020-01-31_c20200201.json", {"2020-01-31": row(5)})  # older
    dated.run()
    assert dated.first_numbers() == [1, 1, 1, 1]
    dated.write("day_2020-01-31_c20210101.json", {"2020-01-31": row(7)})
    dated.run()
    assert dated.first_numbers() == [1, 7, 1, 1] and dated.plan().is_empty


@pytest.fixture
def bucket() -> Iterator[str]:
    """An archive that is no folder of this machine."""
    root = f"memory://{uuid4().hex}"
    yield root
    fsspec.filesystem("memory").rm(root, recursive=True)


def test_remote_files_are_fetched_into_folders_as_they_lie_in(bucket: str, tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    for day in ("2020-01-30", "2020-01-31", "2020-02-01", "2020-02-02"):
        for half in ("west", "east"):
            memory.pipe(f"{bucket}/{half}/{day}.json", json.dumps({day: [4] * 3}).encode())
    halves = Archive(HALVES, tmp_path, bucket)
    assert not halves.run().marked
    assert halves.first_numbers() == [4, 4, 4, 4] and halves.plan().is_empty


def test_remote_versions_are_found_by_listing(bucket: str) -> None:
    memory = fsspec.filesystem("memory")
    for name in ("day_1_c1.json", "day_1_c2.json", "day_12_c9.json"):
        memory.pipe(f"{bucket}/folder/{name}", b"{}")
    (found,) = look(bucket, ["folder/day_1_c*.json"])
    assert found is not None and found.path.endswith("folder/day_1_c2.json")


def test_a_web_server_cannot_list_versions() -> None:
    with pytest.raises(StoreError, match="cannot be asked for day_") as raised:
        look("http://127.0.0.1:9/archive", ["day_2020-01-30_c*.json"])
    assert "Copy the files" in raised.value.mend


def test_the_pangeo_forge_pattern_names_every_file() -> None:
    def paths(source: Source) -> list[str]:
        grid = toyfiles.GRID.between(date(2020, 1, 31), date(2020, 2, 1))
        return [path for _, path in source.pattern(grid).items()]

    assert paths(MONTHLY) == ["2020-01.json", "2020-02.json"]
    assert paths(HALVES) == [
        "west/2020-01-31.json",
        "east/2020-01-31.json",
        "west/2020-02-01.json",
        "east/2020-02-01.json",
    ]
