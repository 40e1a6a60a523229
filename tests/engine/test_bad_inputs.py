"""Missing, damaged and revised files: marked where they are bad, kept where they were good."""

import json
import os
from contextlib import nullcontext
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from toyfields import source
from toyfields.products import Options, toy
from toyworld import World, day, record_of

from fluxengine import executors
from fluxengine.errors import DamagedFile, RunFailed, StoreError
from fluxengine.ledger import KEPT, VALID, BlockRows, Ledger, create, write
from fluxengine.plan import Request
from fluxengine.run import run
from fluxengine.status import of_store
from fluxengine.store import Store, open_dataset


def flags(world: World, number: int) -> set[int]:
    stored = open_dataset(world.store, "toy-passes")["wind_flag"]
    return set(np.unique(stored.sel(time=str(day(number)))).tolist())


def states(world: World) -> dict[str, int]:
    (record,) = (r for r in of_store(Store.at(world.store)) if r["dataset"] == "toy-passes")
    return {name: record[name] for name in ("valid", "failed", "no_file", "never_written")}


def test_a_missing_and_a_damaged_day_are_marked_and_the_rest_goes_on(world: World) -> None:
    world.file(3).unlink()
    world.file(7).write_bytes(world.file(7).read_bytes()[:100])
    summary = world.run()
    assert summary.published["toy"] == "v1"
    assert [line.split(":")[0] for line in summary.marked] == [
        "toy-passes 2020-01-03",
        "toy-passes 2020-01-07",
    ]
    assert "no file 2020/wind_20200103.npy" in summary.marked[0]
    assert "no NumPy file" in summary.marked[1]
    assert states(world) == {"valid": 10, "failed": 1, "no_file": 1, "never_written": 0}
    assert (flags(world, 3), flags(world, 7), flags(world, 8)) == ({1}, {1}, {2, 3})


def test_bad_days_are_not_tried_again_until_their_file_changes(world: World) -> None:
    sound = world.file(7).read_bytes()
    world.file(7).write_bytes(b"")
    world.run()
    assert world.plan().is_empty
    world.file(7).write_bytes(sound)
    summary = world.run()
    assert summary.blocks["toy-passes"] == 1
    assert summary.marked == ()
    assert flags(world, 7) == {2, 3}


def test_a_late_file_fills_its_day(world: World, first_run: World) -> None:
    late = world.file(12)
    late.rename(late.with_suffix(".later"))
    world.run()
    late.with_suffix(".later").rename(late)
    assert world.run().blocks == {"toy-passes": 1, "toy-coarse": 1, "toy-smooth": 3, "toy": 1}
    assert world.content() == first_run.content()


def test_a_damaged_replacement_of_a_good_day_keeps_the_good_values(made: World) -> None:
    before = made.content()
    made.file(6).write_bytes(b"\x00" * made.file(6).stat().st_size)
    summary = made.run()
    assert summary.blocks == {"toy-passes": 1}
    (mark,) = summary.marked
    assert "the values ingested before are kept" in mark
    assert made.content() == before
    assert made.plan().is_empty


def test_a_vanished_file_keeps_the_values_and_runs_nothing(made: World) -> None:
    before = made.content()
    made.file(6).unlink()
    assert made.run().did_nothing
    assert made.content() == before


def test_a_vanished_file_keeps_its_values_when_another_day_of_its_block_changes(
    made: World,
) -> None:
    before = open_dataset(made.store, "toy-passes").sel(time=str(day(6))).load()
    made.file(6).unlink()
    made.write(7, seed=1)
    assert made.run().blocks["toy-passes"] == 1
    after = open_dataset(made.store, "toy-passes").sel(time=str(day(6))).load()
    xr.testing.assert_identical(after, before)
    assert made.run().did_nothing


def test_a_vanished_file_that_comes_back_revised_is_taken(made: World) -> None:
    made.file(6).unlink()
    made.run()
    made.write(6, seed=3)
    assert made.run().blocks["toy-passes"] == 1


def test_a_vanished_file_that_comes_back_as_it_was_is_marked_no_more(made: World) -> None:
    aside = made.file(6).rename(made.folder / "aside.npy")
    made.write(7, seed=1)
    assert len(made.run().marked) == 1
    kept = made.content()
    aside.rename(made.file(6))
    summary = made.run()
    assert summary.blocks == {"toy-passes": 1}  # the values are as they were: it stops there
    assert summary.marked == ()
    assert made.content() == kept
    assert made.run().did_nothing


def test_an_archive_may_keep_its_files_flat(world: World) -> None:
    world.file(5).rename(world.archive / "wind_20200105.npy")
    assert world.run().marked == ()
    assert flags(world, 5) == {2, 3}


def test_damage_that_a_decoder_did_not_foresee_marks_the_day_with_a_traceback(
    world: World,
) -> None:
    raw = np.load(world.file(4))
    raw[0, 0, 0] = 32767
    np.save(world.file(4), raw)
    (mark,) = world.run().marked
    assert "ZeroDivisionError: a fault of this decoder" in mark
    record = record_of(world.store, "toy-passes", "0000-0-0-0")
    assert "in decode" in record["traceback"]


FAULTS: dict[int, Exception] = {}  # what the decoder below raises, by the day of the month


@pytest.fixture(autouse=True)
def _nothing_fails() -> None:
    FAULTS.clear()


def faulty(file: Path, key: date) -> xr.Dataset:
    if key.day in FAULTS:
        raise FAULTS[key.day]
    return source.decode(file, key)


FAULTY = replace(source.PASSES, decode=faulty)


@pytest.mark.parametrize(
    "fault",
    [
        OSError(24, "Too many open files"),
        ImportError("No module named 'cfgrib'"),
        RuntimeError("can't start new thread"),
        ValueError("unrecognized engine 'h5netcdf'"),
    ],
    ids=lambda fault: type(fault).__name__,
)
def test_a_day_that_no_file_is_known_to_be_to_blame_for_is_tried_again(
    world: World, first_run: World, fault: Exception
) -> None:
    FAULTS[4] = fault
    (mark,) = world.run(product=FAULTY).marked
    assert str(fault) in mark and mark.endswith("; the next run reads it again.")
    again = world.run(product=FAULTY)
    assert again.blocks == {"toy-passes": 1}
    assert again.published == {}  # failed in the same way: no new version
    FAULTS.clear()
    mended = world.run(product=FAULTY)
    assert (mended.blocks, mended.marked) == ({"toy-passes": 1}, ())
    assert world.content()["toy-passes"] == first_run.content()["toy-passes"]
    assert world.run(product=FAULTY).did_nothing


def test_good_values_are_kept_and_their_file_is_tried_again_after_a_fault(made: World) -> None:
    before = made.content()["toy-passes"]
    FAULTS[4] = OSError(24, "Too many open files")
    made.file(4).write_bytes(made.file(4).read_bytes() + b" ")  # revised: the values are as before
    (mark,) = made.run(product=FAULTY).marked
    assert "the values ingested before are kept" in mark
    FAULTS.clear()
    assert made.run(product=FAULTY).marked == ()
    assert made.content()["toy-passes"] == before


def test_a_copy_of_a_remote_file_is_noted_by_the_name_of_the_file(world: World) -> None:
    import fsspec

    def decode(file: Path, key: date) -> xr.Dataset:
        if key.day == 4:
            raise OSError(f"NetCDF: HDF error: '{file}'")
        return source.decode(file, key)

    product, root = replace(source.PASSES, decode=decode), f"memory://faulty-{os.getpid()}"
    for number in range(1, 5):
        target = f"{root}/{world.file(number).relative_to(world.archive)}"
        fsspec.filesystem("memory").pipe_file(target, world.file(number).read_bytes())
    store = Store.at(world.store, create=True)
    request = Request(product, day(1), day(4), store, {"toy": root})
    (mark,) = run(request, lambda: nullcontext(executors.serial)).marked
    assert f"HDF error: '{root}/2020/wind_20200104.npy'; the next run" in mark
    # The same words each time, whatever the copy is called: no new version.
    assert run(request, lambda: nullcontext(executors.serial)).published == {}


def test_a_damaged_file_that_is_quoted_stops_no_run(world: World) -> None:
    def decode(file: Path, key: date) -> xr.Dataset:
        if key.day == 4:
            header = file.read_text(errors="surrogateescape")
            raise DamagedFile(f"no header: {header}.", where=str(file))
        return source.decode(file, key)

    world.file(4).write_bytes(b"\xff\xfe" + 5000 * b"x")
    summary = world.run(product=replace(source.PASSES, decode=decode))
    assert summary.published == {"toy-passes": "v1"}
    (mark,) = summary.marked
    assert r"no header: \udcff\udcfe" in mark
    note = record_of(world.store, "toy-passes", "0000-0-0-0")["notes"]["2020-01-04"]
    assert mark.endswith(note) and len(note) == 1000


def test_a_traceback_that_is_no_text_stops_no_run(world: World) -> None:
    FAULTS[4] = RuntimeError("\udcff")
    assert len(world.run(product=FAULTY).marked) == 1
    assert (
        r"RuntimeError: \udcff" in record_of(world.store, "toy-passes", "0000-0-0-0")["traceback"]
    )


def rows(states: list[int], **record: Any) -> BlockRows:
    """Of the first block of the toy source."""
    steps, block = len(states), source.GRID.between(day(1), day(4)).numbered(0)
    digests, stamps = np.ones((steps, 32), "u1"), np.ones((steps, 8), "u1")
    made = {"notes": {}, **record}
    return BlockRows(
        block, np.array(states, "u1"), digests, b"s" * 16, b"i" * 32, made, stamps, digests
    )


def test_a_file_name_that_is_no_text_is_noted_as_it_is() -> None:
    book = Ledger.empty(source.GRID.between(day(1), day(4)), source=True)
    files = {"2020-01-01": {"path": "wind_\udcff.npy"}}
    group = zarr.create_group(zarr.storage.MemoryStore())
    create(group, book)
    put = rows([VALID] * 4, files=files)
    book.put(put, {})
    write(group, book, [put.block])
    stored = Ledger.read(group, book.grid, "toy")
    assert (stored.record(0) or {})["files"] == files
    assert stored.seal(0) == book.columns["seals"][0].tobytes()


def test_of_values_kept_by_an_older_fluxforge_no_file_is_named() -> None:
    """Its records name the refused file, as if the values were from there."""
    book = Ledger.empty(source.GRID.between(day(1), day(4)), source=True)
    files = {f"2020-01-0{n}": {"path": str(n)} for n in (1, 2, 3, 4)}
    book.put(rows([VALID] * 4, files=files), {})
    book.states[0, 0] = KEPT
    refused = {name: {"path": "refused"} for name in ("2020-01-01", "2020-01-02")}
    book.put(rows([KEPT, KEPT, VALID, VALID], files=files | refused), {})
    made = book.record(0) or {}
    assert made["files"] == {name: file for name, file in files.items() if name != "2020-01-01"}
    assert made["refused"] == refused


def test_a_file_of_another_shape_is_refused_with_both_shapes(world: World) -> None:
    np.save(world.file(4), np.zeros((2, 12, 24), "i2"))
    (mark,) = world.run().marked
    assert "[1, 2, 12, 24]" in mark.replace("(", "[").replace(")", "]")
    assert "(1, 2, 24, 48)" in mark


def test_what_is_no_file_marks_the_day_and_is_tried_again(world: World) -> None:
    world.file(4).unlink()
    world.file(4).mkdir()
    (mark,) = world.run().marked
    assert "Is a directory" in mark
    again = world.run()
    assert again.blocks == {"toy-passes": 1}
    assert again.published == {}  # failed in the same way: no new version


def test_all_files_bad_publish_nothing(world: World) -> None:
    for number in range(1, 13):
        world.file(number).write_bytes(b"")
    with pytest.raises(RunFailed, match=r"not one step of toy-passes .*no NumPy file"):
        world.run()
    assert [r["published"] for r in of_store(Store.at(world.store))] == [None]


def test_no_files_at_all_make_nothing(world: World) -> None:
    for number in range(1, 13):
        world.file(number).unlink()
    with pytest.raises(RunFailed, match=r"not one step .*no file 2020/wind_20200101\.npy"):
        world.run()
    assert of_store(Store.at(world.store)) == []


def test_where_all_files_are_gone_values_stay(world: World) -> None:
    world.run()
    for number in range(1, 13):
        world.file(number).unlink()
    assert world.run().did_nothing


def test_an_archive_that_is_not_there_is_said_before_anything_runs(world: World) -> None:
    world.archive.rename(world.folder / "elsewhere")
    with pytest.raises(StoreError, match="no such folder of input files"):
        world.plan()


def test_strict_stops_unpublished_and_a_later_run_goes_on(world: World) -> None:
    world.file(3).unlink()
    with pytest.raises(RunFailed, match="toy-passes: stopped at 2020-01-03: no file"):
        world.run(strict=True)
    assert all(record["published"] is None for record in of_store(Store.at(world.store)))
    with pytest.raises(RunFailed, match="2020-01-03"):
        world.run(strict=True)
    summary = world.run()
    assert "toy-passes" not in summary.blocks  # its blocks were kept
    assert summary.published["toy"] == "v1"


def test_only_marks_of_the_period_are_told(world: World) -> None:
    world.file(3).unlink()
    world.run()
    assert world.run(12, 9).marked == ()
    assert len(world.run(12, 1).marked) == 1


def test_every_file_leaves_its_path_size_and_digest_in_the_ledger(made: World) -> None:
    record = record_of(made.store, "toy-passes", "0001-0-0-0")
    file = record["files"]["2020-01-06"]
    assert file["path"].endswith("2020/wind_20200106.npy")
    assert file["size"] == made.file(6).stat().st_size
    assert len(file["sha256"]) == 64
    assert json.dumps(record)


def test_a_file_packed_otherwise_is_packed_again(world: World, tmp_path: Path) -> None:
    def celsius(path: Path, day: date) -> xr.Dataset:
        found = source.decode(path, day)
        found["wind"] = found["wind"].copy(data=np.where(found["wind"] == -32768, -1, 120))
        found["wind"] = found["wind"].astype("i2")
        found["wind"].attrs = {"scale_factor": 0.1, "add_offset": 1.0, "_FillValue": -1}
        return found

    world.run(product=replace(source.PASSES, decode=celsius))
    winds = open_dataset(world.store, "toy-passes")["wind"]
    assert np.unique(winds.values[np.isfinite(winds)]).tolist() == [13.0]
    assert bool(winds.isnull().any())


def test_remote_archives_are_read_through_fsspec(world: World, first_run: World) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    root = f"memory://toy-{os.getpid()}"
    for number in range(1, 13):
        target = f"{root}/{world.file(number).relative_to(world.archive)}"
        memory.pipe_file(target, world.file(number).read_bytes())
    store = Store.at(world.store, create=True)
    request = Request(toy(Options()), day(1), day(12), store, {"toy": root})
    run(request, lambda: nullcontext(executors.serial))
    assert world.content() == first_run.content()
    assert run(request, lambda: nullcontext(executors.refusing)).did_nothing
