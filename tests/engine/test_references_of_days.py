"""By reference into files that hold several days, or need two for each."""

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import toynetcdf
import xarray as xr
from depths import World, assert_same, day
from toynetcdf import FORMS_OF_DAYS, PAIRS, PENTADS, ZIPPED, numbers, of_days, pentad_path

from fluxengine import layout
from fluxengine.declare import Reference
from fluxengine.errors import ChangedFile, DeclarationError, RunFailed
from fluxengine.estimate import Resources, estimates
from fluxengine.explain import explain
from fluxengine.ledger import FAILED_STEP, MISSING_STEP, VALID
from fluxengine.plan import make_plan
from fluxengine.references import of
from fluxengine.store import read_published

PENTAD_1, PENTAD_2 = range(1, 6), range(6, 11)


def write(world: World, days: range | list[int], *, name: str = "depth", **told: object) -> Path:
    """A file of some days of one pentad."""
    file = world.archive / pentad_path(day(days[0]), name)
    seed = told.pop("seed", 0)
    raw = np.stack([numbers(day(n), seed) for n in days])
    form = told if "form" in told or "contiguous" in told else {**ZIPPED, **told}
    toynetcdf.write(file, raw, days=[day(n) for n in days], **form)
    return file


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Two files of five days, in three blocks of four days."""
    made = World(tmp_path, PENTADS)
    write(made, PENTAD_1)
    write(made, PENTAD_2)
    return made


def states(world: World, by: str = "reference") -> list[int]:
    return world.ledger(by).states[:, 0].tolist()


# --- the same values -----------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS_OF_DAYS)
def test_every_form_of_file_gives_what_a_copy_gives(tmp_path: Path, form: str) -> None:
    source, told = FORMS_OF_DAYS[form]
    world = World(tmp_path, of_days(source))
    for days in (PENTAD_1, PENTAD_2):
        raw = np.stack([numbers(day(n)) for n in days])
        file = world.archive / pentad_path(day(days[0]))
        toynetcdf.write(file, raw, days=[day(n) for n in days], **told)
    assert world.run("copy").marked == world.run().marked == ()
    assert_same(world, "depth")
    raw = read_published(world.store("reference"), "depth")["depth"][...]
    assert np.array_equal(raw, np.stack([numbers(day(n)) for n in range(1, 11)]))
    assert world.findings() == [] and world.run().did_nothing
    stored = world.folder / "reference" / "depth"
    bodies = b"".join(file.read_bytes() for file in stored.rglob("*") if file.is_file())
    assert numbers(day(3))[5].tobytes() not in bodies


def test_some_of_the_days_of_a_file_and_then_the_others(world: World) -> None:
    for days in (7, 10):
        part = replace(world, days=days)
        assert part.run("copy").marked == part.run().marked == ()
        assert_same(part, "depth")
        assert part.findings() == []


def test_days_that_a_file_lacks(world: World) -> None:
    write(world, [6, 7, 9, 10])
    for by in ("copy", "reference"):
        (mark,) = world.run(by).marked
        assert "depth_2.nc does not hold it" in mark
    assert states(world) == [VALID] * 7 + [MISSING_STEP] + [VALID] * 2
    assert_same(world, "depth")
    assert world.findings() == []


def test_a_file_that_grows_is_referred_to_again(world: World) -> None:
    write(world, [6, 7])
    assert len(world.run().marked) == 3
    write(world, PENTAD_2)
    with pytest.raises(ChangedFile, match=r"depth_2.nc, .* changed since"):
        world.depth()
    assert world.run().marked == ()
    world.run("copy")
    assert_same(world, "depth")


def test_chunks_that_a_file_leaves_out_hold_no_values(world: World) -> None:
    file = world.archive / pentad_path(day(6))
    raw = np.stack([numbers(day(n)) for n in PENTAD_2])
    raw[:, 4:] = toynetcdf.FILL
    toynetcdf.write(file, raw, rows=slice(0, 4), days=[day(n) for n in PENTAD_2], **ZIPPED)
    assert world.run("copy").marked == world.run().marked == ()
    assert_same(world, "depth")


def test_plan_and_run_agree_on_requests(world: World) -> None:
    world = replace(world, days=4)
    (expected,) = estimates(make_plan(world.request()), Resources())
    actual = world.run().actual["depth"].traffic
    assert expected.gets == actual.gets == 1 + 4 * 2  # the file, and each day's two chunks in place
    assert expected.puts == actual.puts == 1  # the flags


# --- drift ---------------------------------------------------------------------------------------


def test_filtered_chunks_of_several_days_are_refused_in_words(world: World) -> None:
    file = write(world, PENTAD_2, chunksizes=(2, 4, 12))
    mark, *others = world.run().marked
    assert len(others) == 4 and str(file) in mark
    assert "its chunks are (2, 4, 12): 2 steps are filtered together (shuffle, zlib)" in mark
    assert "none can be read alone" in mark and "Take its archive by copy" in mark
    assert states(world) == [VALID] * 5 + [FAILED_STEP] * 5
    world.run("copy")
    assert states(world, "copy") == [VALID] * 10
    assert world.findings() == []


@pytest.mark.parametrize(
    ("drift", "words"),
    [
        ({"scale": 0.02}, "its scale_factor is 0.02, not 0.01"),
        ({"offset": 4.0}, "its add_offset is 4.0, not 5.0"),
        ({"fill": -32768}, "its _FillValue is -32768, not -999"),
        ({"dtype": "i4"}, "its data type is int32, not int16"),
        ({"shuffle": False}, "its filters are zlib, not shuffle, zlib"),
        ({"chunksizes": (1, 8, 12)}, "its chunks are (1, 8, 12), not (4, 12) of a step"),
        ({"form": "NETCDF3_CLASSIC"}, "its chunks are (1, 8, 12), not (4, 12) of a step"),
    ],
)
def test_one_file_of_two_in_another_form(
    world: World, drift: dict[str, object], words: str
) -> None:
    file = write(world, PENTAD_1, **drift)
    marked = world.run().marked
    assert len(marked) == 5 and all(words in mark and str(file) in mark for mark in marked)
    assert states(world) == [FAILED_STEP] * 5 + [VALID] * 5
    world.run("copy")
    assert states(world, "copy") == [VALID] * 10
    assert np.array_equal(world.depth()[5:], world.depth("copy")[5:], equal_nan=True)
    assert np.isnan(world.depth()[:5]).all() and world.findings() == []


# --- what the decoder tells of places ------------------------------------------------------------


@pytest.mark.parametrize(
    ("decode", "words"),
    [
        (toynetcdf.decode_placeless, "the decoder gives no coordinate 'record'"),
        (partial(toynetcdf.decode_misplaced, by=5), "it has 5 steps; its decoder tells of 5"),
        (
            partial(toynetcdf.decode_misplaced, by=-5),
            "it has 5 steps; its decoder tells of -5",
        ),
        (partial(toynetcdf.decode_misplaced, by=1), "read in place, has other values than decoded"),
    ],
)
def test_a_decoder_that_tells_no_places_or_wrong_ones(
    world: World, decode: Callable[..., xr.Dataset], words: str
) -> None:
    wrong = replace(world, dataset=replace(PENTADS, decode=decode), days=4)
    with pytest.raises(RunFailed, match=words):  # not one day can be used
        wrong.run()
    assert states(wrong) == [FAILED_STEP] * 4


# --- files that change, and go -------------------------------------------------------------------


def test_a_file_that_changed_is_refused_until_it_is_taken_again(world: World) -> None:
    world.run()
    file = world.archive / pentad_path(day(1))
    older = file.stat().st_mtime - 1e6
    write(world, PENTAD_1, seed=1)
    os.utime(file, (older, older))  # a mirror keeps the provider's times
    with pytest.raises(ChangedFile, match=r"depth_1.nc, .* changed since it was ingested. Run"):
        world.depth()
    assert len(world.findings()) == 2 * 5
    assert world.run().blocks == {"depth": 2}
    world.run("copy")
    assert_same(world, "depth")
    assert world.findings() == [] and world.run().did_nothing


def test_the_days_of_a_sound_file_are_not_read_again(world: World) -> None:
    world.run()
    write(world, PENTAD_1, seed=1)
    # Day 5 from its file; the block's other days as they are stored, for its shard of flags.
    gets = world.run().actual["depth"].traffic.gets
    assert gets == (1 + 4 * 2) + (1 + 2) + 3 * (2 + 2)


def test_a_file_that_is_gone(world: World) -> None:
    world.run()
    file = world.archive / pentad_path(day(6))
    away = file.rename(world.folder / "away.nc")
    with pytest.raises(ChangedFile, match=r"depth_2.nc, .* is gone from its archive. Bring"):
        world.depth()
    assert len(world.findings()) == 2 * 5 and world.run().did_nothing
    away.rename(file)
    assert world.findings() == []


def test_a_file_that_changes_while_it_is_read(world: World) -> None:
    world.run("copy")
    hasty = replace(PENTADS, decode=toynetcdf.decode_while_it_changes)
    marked = replace(world, dataset=hasty).run().marked
    assert len(marked) == 4 and all("changed while it was read" in mark for mark in marked)
    assert world.run().marked == ()
    assert_same(world, "depth")


# --- two files a day -----------------------------------------------------------------------------


@pytest.fixture
def pairs(tmp_path: Path) -> World:
    """Depths and heights of ten days, in files of five days each."""
    made = World(tmp_path, PAIRS)
    for days in (PENTAD_1, PENTAD_2):
        write(made, days)
        write(made, days, name="height", seed=2)
    return made


def test_variables_in_files_of_their_own(pairs: World) -> None:
    assert pairs.run("copy").marked == pairs.run().marked == ()
    assert_same(pairs, "depth")
    assert pairs.findings() == [] and pairs.run().did_nothing
    told = explain(
        pairs.store("reference"), "depth", {"time": "2020-01-07", "lat": "50", "lon": "30"}
    )
    names = [Path(part["path"]).name for part in told.files["2020-01-07"]["parts"]]
    assert names == ["depth_2.nc", "height_2.nc"]


def test_one_of_two_files_changes_or_drifts(pairs: World) -> None:
    pairs.run()
    file = write(pairs, PENTAD_2, name="height", seed=3)
    with pytest.raises(ChangedFile, match=r"height_2.nc, .* changed since"):
        read_published(pairs.store("reference"), "depth")["height"][...]
    assert np.isfinite(pairs.depth()[:, 2:]).all()  # depths lie in the other file
    assert pairs.run().blocks == {"depth": 2}
    pairs.run("copy")
    assert_same(pairs, "depth")
    write(pairs, PENTAD_2, name="height", scale=0.02)
    marked = pairs.run().marked
    assert len(marked) == 5 and str(file) in marked[0]
    assert "its scale_factor is 0.02, not 0.01" in marked[0]


def test_where_variables_lie_does_not_shape_the_store(pairs: World) -> None:
    """Stores that were made when a step had one file alone go on."""
    pairs.run()
    repository = pairs.store("reference").repository("depth")
    mark = layout.read_mark(repository.read(repository.tip()))
    told = {"variable", "name", "chunks", "filters", "big_endian"}
    assert [set(one) for one in mark["references"].values()] == [told, told]


def test_a_reference_to_a_file_that_a_day_has_not() -> None:
    wrong = replace(PAIRS, references=(Reference("depth", "d", (4, 12), part=2),))
    with pytest.raises(DeclarationError, match="refers to file 2 of a step"):
        of(wrong, "/archive")
    with pytest.raises(DeclarationError, match="refers to file 1 of a step"):
        of(replace(PENTADS, references=(PAIRS.references[1],), provides=PAIRS.provides), "/archive")
