"""Stores: what a folder may be, what a reader sees, and that damage never reads as a number."""

import json
import random
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Barrier

import icechunk
import numpy as np
import pytest
import xarray as xr
import zarr
from toyfields.products import Options, coarse, toy
from toyfields.source import PASSES
from toyworld import World, day

from fluxengine.errors import (
    FluxforgeError,
    NotOurStore,
    PublicationConflict,
    RunFailed,
    RunLocked,
    StoreDenied,
    StoreMismatch,
    UnknownName,
)
from fluxengine.layout import FORMAT
from fluxengine.outages import understood
from fluxengine.repository import Repository
from fluxengine.store import MARKER, Store, open_dataset


def test_a_new_folder_becomes_a_store_and_is_one_from_then_on(tmp_path: Path) -> None:
    made = Store.at(tmp_path / "new" / "store", create=True)
    assert Store.at(made.root) == made
    assert made.names == ()


def test_two_runs_may_begin_a_store_at_once(tmp_path: Path) -> None:
    together = Barrier(4, timeout=20)

    def begin(number: int) -> Store:
        together.wait()
        return Store.at(tmp_path / f"{number // 4}", create=True)

    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(begin, range(240)))
    assert len({str(store.root) for store in made}) == 60
    assert [path.name for path in (tmp_path / "0").iterdir()] == [MARKER]


@pytest.mark.parametrize("create", [True, False])
def test_a_folder_of_something_else_is_refused_and_left_alone(tmp_path: Path, create: bool) -> None:
    (tmp_path / "thesis.tex").write_text("draft")
    with pytest.raises(NotOurStore, match="holds something else"):
        Store.at(tmp_path, create=create)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_is_no_store(tmp_path: Path) -> None:
    path = tmp_path / "store"
    path.write_text("")
    with pytest.raises(NotOurStore, match="this is a file"):
        Store.at(path, create=True)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"fluxforge-store": "x"}', "\xff"])
def test_a_damaged_or_foreign_marker_is_refused(tmp_path: Path, content: str) -> None:
    Store.at(tmp_path / "store", create=True)
    (tmp_path / "store" / MARKER).write_bytes(content.encode("latin1"))
    with pytest.raises(NotOurStore, match=MARKER):
        Store.at(tmp_path / "store", create=True)


@pytest.mark.parametrize(("written", "age"), [(FORMAT + 1, "a newer"), (FORMAT - 1, "an older")])
def test_a_store_of_another_format_is_refused_with_both_numbers(
    made: World, written: int, age: str
) -> None:
    (made.store / MARKER).write_text(json.dumps({"fluxforge-store": written}))
    with pytest.raises(NotOurStore, match=f"{age} fluxforge wrote it, in format {written}"):
        Store.at(made.store)


def test_a_dataset_of_another_format_is_refused(made: World) -> None:
    repository = icechunk.Repository.open(
        icechunk.local_filesystem_storage(str(made.store / "toy"))
    )
    session = repository.writable_session("work")
    root = zarr.open_group(session.store, mode="r+")
    mark = json.loads(str(root.attrs["fluxforge"])) | {"format": FORMAT + 1}
    root.update_attributes({"fluxforge": json.dumps(mark)})
    session.commit("from the future")
    with pytest.raises(StoreMismatch, match=f"format {FORMAT + 1}; this fluxforge has {FORMAT}"):
        made.plan()


def test_a_store_that_is_not_there_is_not_made_by_looking(tmp_path: Path) -> None:
    with pytest.raises(NotOurStore, match="no store here yet"):
        Store.at(tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_an_unknown_dataset_is_told_the_known_ones(made: World) -> None:
    with pytest.raises(UnknownName, match=r"'toyy'.*It has: toy, toy-coarse, toy-passes"):
        open_dataset(made.store, "toyy")


@pytest.mark.parametrize("part", ["refs/branch.main", "refs/branch.work", "snapshots", "manifests"])
def test_a_run_says_in_words_that_a_part_of_a_dataset_is_lost(
    made: World, part: str, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(made.store / "toy" / part)
    with pytest.raises(FluxforgeError, match="store/toy: "):
        made.run()
    assert capfd.readouterr() == ("", "")  # the storage's own log would spoil --json


# --- what a reader sees --------------------------------------------------------------------------


def test_any_zarr_reader_opens_the_same_values(made: World) -> None:
    repo = icechunk.Repository.open(icechunk.local_filesystem_storage(str(made.store / "toy")))
    plain = xr.open_zarr(repo.readonly_session("main").store, consolidated=False)
    ours = open_dataset(made.store)
    xr.testing.assert_identical(plain.load(), ours.load())
    assert ours.sizes == {"time": 12, "lat": 12, "lon": 24, "bounds": 2}
    assert ours["wind"].attrs["units"] == "m s-1"
    assert float(ours["wind"].max()) < 60


def test_a_dataset_opens_by_its_own_folder_by_name_or_as_the_stores_product(made: World) -> None:
    for opened in (
        open_dataset(made.store / "toy"),
        open_dataset(made.store, "toy"),
        open_dataset(made.store),
    ):
        assert opened.attrs["title"] == "Daily toy wind"


def test_never_written_failed_and_valid_are_told_apart(world: World) -> None:
    world.file(2).unlink()
    world.run(4)
    world.run(12, 9)  # the days between were never asked for
    winds = open_dataset(world.store, "toy-passes")
    flags = {n: set(np.unique(winds["wind_flag"].sel(time=str(day(n))))) for n in (1, 2, 6, 9)}
    assert flags == {1: {2, 3}, 2: {1}, 6: {0}, 9: {2, 3}}
    meanings = winds["wind_flag"].attrs["flag_meanings"].split()
    assert meanings == ["never_written", "failed", "valid", "no_value"]
    assert np.isnan(winds["wind"].sel(time=[str(day(2)), str(day(6))])).all()


def test_an_unpublished_dataset_says_so(world: World) -> None:
    for number in range(1, 13):
        world.file(number).write_bytes(b"")
    with pytest.raises(RunFailed):
        world.run()
    with pytest.raises(UnknownName, match="nothing is published"):
        open_dataset(world.store, "toy-passes")


def data_chunks(world: World, name: str) -> list[Path]:
    """Files that hold published values, not the ledger."""

    def is_needed(path: Path) -> bool:
        aside = path.rename(path.with_suffix(".aside"))
        try:
            open_dataset(world.store, name).load()
        except Exception:
            return True
        else:
            return False
        finally:
            aside.rename(path)

    return [path for path in (world.store / name / "chunks").iterdir() if is_needed(path)]


def test_flipped_bytes_are_an_exception_and_never_a_number(made: World) -> None:
    chunks = data_chunks(made, "toy-passes")
    assert len(chunks) >= 3
    before = open_dataset(made.store, "toy-passes").load()
    dice, noticed = random.Random(1), 0
    for _ in range(40):
        path = dice.choice(chunks)
        sound = path.read_bytes()
        damaged = bytearray(sound)
        damaged[dice.randrange(len(damaged))] ^= 1 << dice.randrange(8)
        path.write_bytes(damaged)
        with suppress(RuntimeError, ValueError):  # what the codecs raise
            # Zstandard's frames have a few bits without a meaning: with those nothing changes.
            assert open_dataset(made.store, "toy-passes").load().identical(before)
            noticed -= 1
        noticed += 1
        path.write_bytes(sound)
    assert noticed > 35


def test_a_lost_chunk_is_an_exception_and_never_a_gap(made: World) -> None:
    data_chunks(made, "toy")[0].unlink()
    with pytest.raises(Exception, match="not found"):
        open_dataset(made.store, "toy").load()


# --- publication ---------------------------------------------------------------------------------


def test_every_publication_is_an_immutable_version(made: World) -> None:
    first = open_dataset(made.store, version="v1").load()
    made.write(5, seed=1)
    assert made.run().published["toy"] == "v2"
    xr.testing.assert_identical(open_dataset(made.store, version="v1").load(), first)
    assert not open_dataset(made.store).identical(first)
    repository = Store.at(made.store).repository("toy")
    assert repository.versions == ("v1", "v2")
    with pytest.raises(icechunk.IcechunkError):
        repository.inner.create_tag("v1", repository.tip())


def test_an_unknown_version_is_told_the_known_ones(made: World) -> None:
    with pytest.raises(UnknownName, match=r"'v7'.*It has: v1"):
        open_dataset(made.store, version="v7")


def test_publication_refuses_where_main_moved_in_between(made: World) -> None:
    repository = Store.at(made.store).repository("toy")
    expected = repository.tip("main")
    theirs = _somebody_publishes(repository)
    made.write(5, seed=1)
    made.request()
    work = repository.tip()
    assert work == expected
    _commit_to_work(repository)
    with pytest.raises(PublicationConflict, match="changed while this run was working"):
        repository.publish(expected)
    assert repository.tip("main") == theirs
    assert repository.versions == ("v1",)


def _somebody_publishes(repository: Repository) -> str:
    return _commit(repository, "main")


def _commit_to_work(repository: Repository) -> str:
    return _commit(repository, "work")


def _commit(repository: Repository, branch: str) -> str:
    session = repository.inner.writable_session(branch)
    zarr.open_group(session.store, mode="r+").update_attributes({"by": branch})
    return session.commit(f"to {branch}")


def test_publication_that_died_before_its_tag_is_finished(made: World) -> None:
    repository = Store.at(made.store).repository("toy")
    tip = _commit_to_work(repository)
    repository.inner.reset_branch("main", tip)
    assert repository.publish(tip) == "v2"
    assert repository.publish(tip) is None


def test_a_dataset_whose_making_died_is_made_anew(world: World) -> None:
    store = Store.at(world.store, create=True)
    unfinished = world.store / "toy-coarse"
    icechunk.Repository.create(_storage(unfinished))  # killed here: no template yet
    (begun,) = (unfinished / "snapshots").iterdir()
    begun.write_bytes(b"half of it")
    assert store.names == ()
    world.run()
    assert store.names == ("toy", "toy-coarse", "toy-passes", "toy-smooth")


def _storage(path: Path) -> icechunk.Storage:
    path.mkdir()
    return icechunk.local_filesystem_storage(str(path))


def test_another_layout_is_refused_with_the_difference(made: World) -> None:
    with pytest.raises(
        StoreMismatch, match="axis 'time' is stored with block 4; the run wants block 6"
    ):
        made.run(product=coarse(Options(), block=6))
    product = toy(Options())
    with pytest.raises(StoreMismatch, match="the run writes no wind_state"):
        made.run(product=_without_state(product))


def _without_state(product: object) -> object:
    from dataclasses import replace

    return replace(product, publishes=product.publishes[:1])


def test_a_new_notice_of_the_archive_reaches_an_old_store(made: World) -> None:
    (made.archive / "NOTICE.txt").write_text("These data are simulated.\n")
    made.write(5, seed=1)
    made.run()
    assert open_dataset(made.store).attrs["notice"] == "These data are simulated."


def test_a_notice_stays_where_its_archive_was_replaced(world: World) -> None:
    """Values of the simulated days are stored still, and what is made of them later is, too."""
    world.write(*range(1, 9))
    notice = world.archive / "NOTICE.txt"
    notice.write_text("SIMULATED DATA\n")
    world.run(8, product=PASSES)
    shutil.rmtree(world.archive)
    world.write(*range(9, 13))
    notice.write_text("Be careful.\n")
    assert world.run(12).marked == ()
    for name in (None, "toy-coarse", "toy-passes"):
        told = open_dataset(world.store, name).attrs["notice"]
        assert told == "SIMULATED DATA\nBe careful."


# --- the run lock --------------------------------------------------------------------------------

HOLD = """
import sys, time
from fluxengine.store import Store
with Store.at(sys.argv[1]).locked():
    print("locked", flush=True)
    time.sleep(60)
"""


def test_a_second_run_is_refused_until_the_first_ends_or_dies(made: World) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(made.store)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        with pytest.raises(RunLocked, match="another run"):
            made.run()
        assert not made.plan().datasets[0].blocks  # a plan needs no lock
    finally:
        holder.kill()
        holder.wait()
    assert made.run().did_nothing


def test_the_marker_is_plain_json(made: World) -> None:
    content = json.loads((made.store / MARKER).read_text())
    assert content == {"fluxforge-store": FORMAT, "products": ["toy"]}


def test_of_several_products_one_must_be_named(made: World) -> None:
    made.run(product=coarse(Options()))
    with pytest.raises(UnknownName, match=r"say which dataset: .* for toy, toy-coarse\. It has: "):
        open_dataset(made.store)
    assert open_dataset(made.store, "toy").attrs["title"]
    older = {"fluxforge-store": FORMAT, "product": "toy"}
    (made.store / MARKER).write_text(json.dumps(older))
    assert open_dataset(made.store).identical(open_dataset(made.store, "toy"))


@pytest.mark.parametrize(
    "said",
    [
        # As Icechunk says it, and as Python does.
        "Generic LocalFileSystem error: Unable to open file /s/x: Permission denied (os error 13)",
        str(PermissionError(13, "Permission denied", "/s/x")),
    ],
)
def test_a_folder_of_another_user_is_told_as_such(said: str) -> None:
    """Not tried for real: whoever may do everything, as in a container, is refused nowhere."""
    error = understood(OSError(said), "/s")
    assert isinstance(error, StoreDenied)
    assert "may not be read or written" in str(error)
