"""What is published can be proved, explained, taken back and thinned out."""

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import icechunk
import numpy as np
import pytest
import zarr
from toyfields.products import Options, toy
from toyfields.source import PASSES
from toyworld import World, record_of

from fluxengine import history, recompute
from fluxengine.declare import AS_IS, Arrays, Packing, PlainStage, Product, Read, Variable
from fluxengine.errors import ConfigError, RunLocked, StoreError, UnknownName
from fluxengine.explain import Lineage, explain, find
from fluxengine.grid import days, degrees, labels, months
from fluxengine.repository import Repository
from fluxengine.store import Store, open_dataset
from fluxengine.verify import Verified, verify

NAMES = ("toy-passes", "toy-coarse", "toy-smooth", "toy")


def verified(world: World, name: str) -> Verified:
    return verify(Store.at(world.store), name)


def found(world: World, name: str) -> set[tuple[str, str]]:
    """Block and steps of each finding."""
    return {(f.block, f.steps) for f in verified(world, name).findings}


def alter(world: World, name: str, change, branch: str = "main") -> None:
    """Change what is stored behind the engine's back, in a sound commit."""
    repository = icechunk.Repository.open(
        icechunk.local_filesystem_storage(str(world.store / name))
    )
    session = repository.writable_session(branch)
    change(zarr.open_group(session.store, mode="r+"))
    session.commit("behind the engine's back")


# --- verify --------------------------------------------------------------------------------------


def test_what_was_written_is_as_it_was_written(made: World) -> None:
    for name in NAMES:
        told = verified(made, name)
        assert (told.findings, told.orphans) == ((), 0)
    assert verified(made, "toy-smooth").blocks == 9
    assert verified(made, "toy-smooth").steps == 36
    assert verified(made, "toy-smooth").bytes == 12 * 2 * 12 * 24 * (2 + 1)


def chunks_of(world: World, name: str) -> list[Path]:
    return sorted((world.store / name / "chunks").iterdir())


def test_each_lost_chunk_is_found_and_named(made: World) -> None:
    for chunk in chunks_of(made, "toy-smooth"):
        aside = chunk.rename(chunk.with_suffix(".aside"))
        findings = verified(made, "toy-smooth").findings
        aside.rename(chunk)
        assert findings
        words = " ".join(f.what for f in findings)
        assert "damaged or" in words or "coordinate" in words
    assert verified(made, "toy-smooth").findings == ()


def test_a_lost_chunk_is_told_with_its_variable_block_and_days(made: World) -> None:
    told = set()
    for chunk in chunks_of(made, "toy"):
        aside = chunk.rename(chunk.with_suffix(".aside"))
        told |= {(f.block, f.steps, f.what.split(",")[0]) for f in verified(made, "toy").findings}
        aside.rename(chunk)
    days = ("2020-01-01 … 2020-01-04", "2020-01-05 … 2020-01-08", "2020-01-09 … 2020-01-12")
    assert {found for found in told if found[2] == "wind"} == {
        (f"000{number}-0-0", days[number], "wind") for number in range(3)
    }


@pytest.mark.parametrize("seed", range(12))
def test_a_flipped_bit_anywhere_is_found_or_does_no_harm(made: World, seed: int) -> None:
    """In a chunk, a manifest or a snapshot: either it is found, or all is read as before."""
    before = open_dataset(made.store, "toy-smooth").load()
    dice = random.Random(seed)
    folder = ("chunks", "manifests", "snapshots")[seed % 3]
    file = dice.choice(sorted((made.store / "toy-smooth" / folder).iterdir()))
    content = bytearray(file.read_bytes())
    content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
    file.write_bytes(content)
    if not verified(made, "toy-smooth").findings:
        assert open_dataset(made.store, "toy-smooth").load().identical(before)


def test_a_flipped_bit_in_a_chunk_is_always_found(made: World) -> None:
    dice = random.Random(0)
    for chunk in chunks_of(made, "toy-smooth"):
        whole = chunk.read_bytes()
        content = bytearray(whole)
        content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
        chunk.write_bytes(content)
        assert verified(made, "toy-smooth").findings, chunk
        chunk.write_bytes(whole)


def test_values_that_were_changed_in_a_sound_commit_are_found_by_day(made: World) -> None:
    def change(root: zarr.Group) -> None:
        root["wind"][5, 0, 3, 4] = 7

    alter(made, "toy-smooth", change)
    assert found(made, "toy-smooth") == {("0001-0-0-0", "2020-01-06")}


@pytest.mark.parametrize("column", ["states", "digests", "inputs", "standings", "records"])
def test_an_altered_row_of_the_ledger_is_found(made: World, column: str) -> None:
    def change(root: zarr.Group) -> None:
        array = root[f"_ledger/{column}"]
        if column == "records":
            text = str(array[4])
            array[4:5] = np.array([text.replace('"notes": {}', '"notes": {"x": "y"}')], "T")
        else:
            array[(4, *(0 for _ in array.shape[1:]))] ^= 3

    alter(made, "toy-smooth", change)
    told = verified(made, "toy-smooth").findings
    assert any("rows in the ledger were altered" in f.what for f in told)


def test_altered_options_in_the_ledger_are_found(made: World) -> None:
    def change(root: zarr.Group) -> None:
        text = str(root["_ledger"].attrs["standing_parts"])
        root["_ledger"].update_attributes({"standing_parts": text.replace("2", "3", 1)})

    alter(made, "toy-smooth", change)
    assert any("was altered" in f.what for f in verified(made, "toy-smooth").findings)


@pytest.mark.parametrize("path", ["wind", "time", "_ledger/states", ""])
def test_altered_metadata_are_found_by_name(made: World, path: str) -> None:
    def change(root: zarr.Group) -> None:
        (root[path] if path else root).update_attributes({"units": "furlong"})

    alter(made, "toy-smooth", change)
    (told,) = verified(made, "toy-smooth").findings
    assert (path or "the dataset itself") in told.what


def test_damaged_metadata_are_not_signed_anew(made: World) -> None:
    def change(root: zarr.Group) -> None:
        root["wind"].update_attributes({"units": "furlong"})

    alter(made, "toy-smooth", change, branch="work")
    made.write(13)
    with pytest.raises(StoreError, match="metadata of wind are not as they were written"):
        made.run(13)


def test_a_changed_coordinate_is_found(made: World) -> None:
    def change(root: zarr.Group) -> None:
        root["lat"][0] = -54.0

    alter(made, "toy-smooth", change)
    (finding,) = verified(made, "toy-smooth").findings
    assert finding.what == "the coordinate lat has other values"


def test_a_dataset_that_cannot_be_opened_is_a_finding(made: World) -> None:
    shutil.rmtree(made.store / "toy" / "snapshots")
    (finding,) = verified(made, "toy").findings
    assert "the storage failed" in finding.what


def test_failed_and_refused_days_verify_too(world: World) -> None:
    world.file(2).write_bytes(b"no file")
    world.run()
    world.file(3).write_bytes(b"no file any more")
    world.run()
    for name in NAMES:
        assert verified(world, name).findings == ()


def test_an_extended_store_verifies_while_its_new_days_are_not_there_yet(world: World) -> None:
    world.run(6)  # the second block is half full
    store = Store.at(world.store)
    plan = world.plan(12)
    for dataset in plan.datasets:
        store.repository(dataset.name).extend(dataset.stand.layout, dataset.stand.ledger)
    assert [f for name in NAMES for f in verified(world, name).findings] == []


def failing(patch: pytest.MonkeyPatch, times: int) -> None:
    """Let so many readings of a whole block fail, as where memory runs short."""
    left, read = [times], zarr.Array.__getitem__

    def sometimes(self: zarr.Array, cells: Any) -> Any:
        whole = isinstance(cells, tuple) and cells[0] == slice(0, 4)
        if self.basename == "wind" and whole and left[0]:
            left[0] -= 1
            raise MemoryError("Unable to allocate 3 GiB")
        return read(self, cells)

    patch.setattr(zarr.Array, "__getitem__", sometimes)


def test_what_cannot_be_read_for_a_moment_is_not_said_to_be_altered(
    made: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, times=1)
    assert verified(made, "toy").findings == ()


def test_what_can_never_be_read_is_said_to_be_so_and_not_to_be_altered(
    made: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, times=99)
    (finding,) = verified(made, "toy").findings
    assert (finding.block, finding.steps) == ("0000-0-0", "2020-01-01 … 2020-01-04")
    assert finding.what == "Unable to allocate 3 GiB"


def test_what_no_version_needs_is_information(made: World) -> None:
    repository = Store.at(made.store).repository("toy")
    fork = repository.fork()  # of a run that died before it committed
    noise = np.random.default_rng(0).integers(0, 999, (4, 12, 24))
    zarr.open_group(fork.store, mode="r+")["wind"][0:4] = noise
    told = verified(made, "toy")
    assert told.findings == ()
    assert told.orphans > 0


def command(*words: object) -> subprocess.CompletedProcess[str]:
    program = "from fluxengine.cli import script; script()"
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, words)],
        capture_output=True,
        text=True,
        env=os.environ | {"COLUMNS": "400"},
    )


def test_the_verb_ends_with_one_where_something_is_damaged(made: World) -> None:
    sound = command("verify", "--store", made.store)
    assert sound.returncode == 0, sound.stderr
    assert "Everything is as it was written." in sound.stdout
    for chunk in chunks_of(made, "toy"):
        chunk.unlink()
    broken = command("verify", "toy", "--store", made.store, "--json")
    assert broken.returncode == 1
    assert json.loads(broken.stdout)["datasets"][0]["findings"]


# --- recompute -----------------------------------------------------------------------------------


def test_blocks_made_once_more_are_the_same(made: World) -> None:
    told = list(recompute.recompute(made.request(), 40))
    assert len(told) == 15  # all blocks of the three products
    assert all(c.same and c.differing == 0 and c.worst == 0 for c in told)
    assert len(list(recompute.recompute(made.request(), 2))) == 2


def test_another_option_shows_in_blocks_made_once_more(made: World) -> None:
    told = list(recompute.recompute(made.request(gain=1.5), 40))
    other = [c for c in told if not c.same]
    assert {c.dataset for c in other} == {"toy"}
    assert all(c.remark == "options changed: MeanOfPasses.gain 1.0 → 1.5" for c in other)


def test_blocks_are_made_from_the_inputs_of_then(made: World) -> None:
    made.write(6, seed=1)
    made.run(product=toy(Options()).reads[0].dataset)  # all but the last product
    told = list(recompute.recompute(made.request(), 40))
    assert all(c.same for c in told)


@dataclass(frozen=True)
class Altered(PlainStage):
    """The wind less 5 m/s, a little or much otherwise, with another value in weak winds."""

    gain: float = 1.0
    weak: float = 1.0
    packing: Packing = AS_IS
    inputs: tuple[str, ...] = ("wind",)

    @property
    def outputs(self) -> tuple[Variable, ...]:
        return (Variable("anomaly", "m s-1", "wind less 5 m/s", packing=self.packing),)

    def load(self) -> Callable[[Arrays], Arrays]:
        def altered(arrays: Arrays) -> Arrays:
            wind = arrays["wind"]
            made = wind * np.float32(self.gain) - np.float32(5)
            return {"anomaly": made.where((wind > 2) | wind.isnull(), self.weak)}

        return altered


def altered(**changes: Any) -> Product:
    stage = Altered(**changes)
    return Product("altered", PASSES.grid, (Read(PASSES, ("wind",)),), (stage,), stage.outputs)


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"gain": 1 + 2.0**-22}, True),  # as another processor rounds, also near zero
        ({"gain": 1.0001}, False),
        ({"gain": 1.5}, False),
        ({"weak": 1.5}, False),
        ({"weak": float("nan")}, False),
    ],
)
def test_floats_are_the_same_within_what_processors_differ_by(
    world: World, changes: dict[str, Any], same: bool
) -> None:
    world.run(product=altered())
    told = list(recompute.recompute(world.request(product=altered(**changes)), 3))
    assert [c.same for c in told] == [same] * 3
    assert all(c.differing > 0 and (c.worst <= 1) is same for c in told)


def test_a_value_is_never_within_a_step_of_none(world: World) -> None:
    packing = Packing("i2", 0.01, 0, -32768)
    lowest = -327.67  # stored one step beside what is stored for none
    world.run(product=altered(packing=packing, weak=lowest))
    none = altered(packing=packing, weak=float("nan"))
    told = list(recompute.recompute(world.request(product=none), 3))
    assert not any(c.same for c in told)
    beside = altered(packing=packing, weak=lowest + 0.01)
    told = list(recompute.recompute(world.request(product=beside), 3))
    assert all(c.same and c.worst == 1 for c in told)


def never_published(world: World, patch: pytest.MonkeyPatch, **options: Any) -> None:
    """A run that is killed when all its blocks are made."""

    def dying(*_: object) -> None:
        raise KeyboardInterrupt

    with patch.context() as patched:
        patched.setattr(Repository, "publish", dying)
        with pytest.raises(KeyboardInterrupt):
            world.run(**options)


def test_blocks_that_are_made_again_are_compared_with_what_is_published(
    made: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    never_published(made, monkeypatch, gain=1.5)
    repository = Store.at(made.store).repository("toy")
    assert repository.has_unpublished
    told = list(recompute.recompute(made.request(), 40, only="toy"))
    assert [(c.same, c.remark) for c in told] == [(True, "")] * 3
    other = list(recompute.recompute(made.request(gain=1.5), 40, only="toy"))
    assert not any(c.same for c in other)
    assert {c.remark for c in other} == {"options changed: MeanOfPasses.gain 1.0 → 1.5"}


def test_where_nothing_is_published_it_is_the_work_that_is_made_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    never_published(world, monkeypatch)
    told = list(recompute.recompute(world.request(), 40))
    assert told and all(c.same for c in told)


def test_published_blocks_are_made_again_where_the_work_is_longer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.run(8)
    never_published(world, monkeypatch)
    told = list(recompute.recompute(world.request(), 40, only="toy"))
    assert sorted(c.block for c in told) == ["0000-0-0", "0001-0-0"]
    assert all(c.same for c in told)


def test_nothing_to_make_again_is_told(world: World) -> None:
    with pytest.raises(ConfigError, match="no good block"):
        list(recompute.recompute(world.request(), 1))


# --- history -------------------------------------------------------------------------------------


@pytest.fixture
def revised(made: World) -> World:
    made.write(6, seed=1)
    made.run()
    return made


def test_each_version_says_what_it_changed(revised: World) -> None:
    first, second = history.versions(Store.at(revised.store), "toy")
    assert (first.name, first.added, first.changed, first.same) == ("v1", 12, 0, 0)
    # Day 6 enters the means of days 5 to 8.
    assert (second.name, second.added, second.changed, second.same) == ("v2", 0, 4, 8)
    assert second.which == "2020-01-05 … 2020-01-08 (4)"
    assert second.made_by["fluxforge"]
    assert first.made_by["run"] != second.made_by["run"]


def test_an_earlier_version_can_be_published_again(revised: World, first_run: World) -> None:
    second = open_dataset(revised.store).load()
    assert history.restore(Store.at(revised.store), "toy", "v1") == "v3"
    assert open_dataset(revised.store).load().identical(open_dataset(first_run.store).load())
    assert open_dataset(revised.store, version="v2").load().identical(second)
    assert verified(revised, "toy").findings == ()


def test_a_run_goes_on_from_what_was_restored(revised: World) -> None:
    before = revised.content()
    history.restore(Store.at(revised.store), "toy", "v1")
    summary = revised.run()  # its inputs are still the revised ones
    assert summary.blocks == {"toy": 1}
    assert summary.published == {"toy": "v4"}
    assert revised.content() == before


def test_pruning_leaves_the_newest_versions_and_frees_space(
    revised: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "SPARED", history.timedelta(0))
    store = Store.at(revised.store)
    newest = open_dataset(revised.store).load()
    assert history.prune(store, "toy", 1) > 0
    (left,) = history.versions(store, "toy")
    assert (left.name, left.added, left.same) == ("v2", None, None) and "pruned" in left.which
    assert open_dataset(revised.store).load().identical(newest)
    assert verified(revised, "toy").findings == ()
    with pytest.raises(UnknownName, match="no version 'v1'"):
        open_dataset(revised.store, version="v1")
    revised.write(6, seed=2)
    assert revised.run().published["toy"] == "v3"  # a number is not given twice


def test_days_that_a_shorter_version_lost_are_told(world: World) -> None:
    for last in (4, 8, 12):
        world.run(last)
    store = Store.at(world.store)
    history.restore(store, "toy", "v1")
    restored = history.versions(store, "toy")[-1]
    # The fourth day is a mean over neighbours that v1 did not have.
    assert (restored.name, restored.like, restored.removed) == ("v4", "v1", 8)
    assert (restored.added, restored.changed, restored.same) == (0, 1, 3)
    assert restored.which == "2020-01-04 … 2020-01-12 (9)"
    world.run(12)
    again = history.versions(store, "toy")[-1]
    assert (again.name, again.like, again.removed) == ("v5", "v3", 0)
    assert (again.added, again.changed, again.same) == (8, 1, 3)


def test_nothing_is_pruned_or_restored_under_a_run(revised: World) -> None:
    store = Store.at(revised.store)
    with store.locked():
        for act in (
            lambda: history.prune(store, "toy", 1),
            lambda: history.restore(store, "toy", "v1"),
        ):
            with pytest.raises(RunLocked):
                act()


# --- explain -------------------------------------------------------------------------------------


def upstream(node: Lineage, name: str) -> Lineage:
    return next(given for given in node.inputs if given.dataset == name)


@pytest.mark.parametrize("lat", ["inf", "-inf", "nan", "north"])
def test_what_is_no_coordinate_is_refused(made: World, lat: str) -> None:
    with pytest.raises(ConfigError, match=f"'{lat}' is no lat"):
        explain(Store.at(made.store), "toy", {"time": "2020-01-06", "lat": lat, "lon": "40"})


def test_a_value_is_explained_down_to_its_file(made: World) -> None:
    point = {"time": "2020-01-06", "lat": "15", "lon": "40"}
    top = explain(Store.at(made.store), "toy", point)
    assert top.where == {"time": "2020-01-06", "lat": "15", "lon": "37.5"}
    (wind,) = (v for v in top.values if v.name == "wind")
    stored = open_dataset(made.store)["wind"].sel(time="2020-01-06", lat=15, lon=37.5)
    assert float(wind.shown) == pytest.approx(float(stored), abs=1e-5)
    assert [v.shown for v in top.values if v.name == "wind_state"] == ["observed"]
    assert top.made["options"]["0 MeanOfPasses"]["gain"] == 1.0
    assert {"key", "run", "when", "device", "worker", "code", "code_commit"} <= set(top.made)

    smooth = upstream(top, "toy-smooth")
    assert smooth.where["orbit"] == "ascending … descending"
    coarse = upstream(smooth, "toy-coarse")
    assert coarse.window == "2020-01-03 … 2020-01-09"
    passes = upstream(coarse, "toy-passes")
    assert passes.where["lat"] == "12.5 … 17.5"
    (file,) = passes.files.values()
    assert file["path"].endswith("archive/2020/wind_20200106.npy")
    assert file["sha256"] == hashlib.sha256(made.file(6).read_bytes()).hexdigest()


def test_kept_values_are_explained_by_the_file_that_they_came_from(made: World) -> None:
    def named(record: dict[str, Any]) -> str:
        return str(record["2020-01-06"]["sha256"])

    point = {"time": "2020-01-06", "orbit": "ascending", "lat": "15", "lon": "40"}
    good = hashlib.sha256(made.file(6).read_bytes()).hexdigest()
    made.file(6).write_bytes(b"damaged")
    made.run()
    told = explain(Store.at(made.store), "toy-passes", point)
    assert (told.state, named(told.files)) == ("valid; a later file was refused", good)
    record = record_of(made.store, "toy-passes", "0001-0-0-0")
    assert named(record["refused"]) == hashlib.sha256(b"damaged").hexdigest()
    assert made.run().did_nothing  # the refused one is known, and not tried again

    made.file(6).unlink()
    made.write(7, seed=1)  # so that the block is made again
    made.run()
    told = explain(Store.at(made.store), "toy-passes", point)
    assert (list(told.files), named(told.files)) == (["2020-01-06"], good)
    assert record_of(made.store, "toy-passes", "0001-0-0-0")["refused"] == {"2020-01-06": None}
    assert verified(made, "toy-passes").findings == ()


def test_values_upstream_are_those_that_were_used(revised: World) -> None:
    point = {"time": "2020-01-06", "lat": "15", "lon": "40"}
    store = Store.at(revised.store)
    then, now = (explain(store, "toy", point, version=v) for v in ("v1", "v2"))
    before, after = (upstream(top, "toy-smooth").values[0].shown for top in (then, now))
    assert before != after
    assert then.inputs[0].remark == ""


def test_a_pruned_input_is_said_to_be_so(revised: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "SPARED", history.timedelta(0))
    store = Store.at(revised.store)
    history.prune(store, "toy-smooth", 1)
    point = {"time": "2020-01-01", "lat": "15", "lon": "40"}  # of a block that v2 did not touch
    top = explain(store, "toy", point)
    assert "has been pruned" in top.inputs[0].remark


@pytest.mark.parametrize(
    ("point", "words"),
    [
        ({"time": "2020-01-06", "lat": "15"}, "say lon too"),
        ({"time": "2020-01-06", "lat": "15", "lon": "4", "depth": "3"}, "no axis depth"),
        ({"time": "2021-01-06", "lat": "15", "lon": "4"}, "is outside"),
        ({"time": "soon", "lat": "15", "lon": "4"}, "'soon' is no time"),
    ],
)
def test_a_point_that_is_no_cell_is_told(made: World, point: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        explain(Store.at(made.store), "toy", point)


def test_cells_are_found_on_every_kind_of_axis() -> None:
    assert find(days("2020-01-01", "2020-01-31"), "2020-01-03T18:00", "time") == 2
    assert find(months("2020-01", "2020-12"), "2020-03-31", "time") == 2
    assert find(degrees(0, 360, 1, periodic=True), "-0.5", "lon") == 359
    assert find(degrees(-60, 60, 1), "-60", "lat") == 0
    assert find(labels("ascending", "descending"), "descending", "orbit") == 1


def test_the_verb_draws_a_tree(made: World) -> None:
    told = command("explain", "toy", "time=2020-01-06", "lat=15", "lon=40", "--store", made.store)
    assert told.returncode == 0, told.stderr
    assert "toy-passes: time 2020-01-06" in told.stdout
    assert "wind_20200106.npy" in told.stdout
