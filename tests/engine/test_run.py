"""Runs: only what changed is computed, and the plan says why beforehand."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr
from toyfields.products import Options, coarse, toy
from toyworld import World, day, record_of

from fluxengine import executors, files, key
from fluxengine.declare import Read
from fluxengine.digest import file_digest
from fluxengine.errors import ConfigError, PublicationConflict
from fluxengine.executors import Executor, refusing
from fluxengine.plan import Plan, make_plan
from fluxengine.repository import MAIN
from fluxengine.run import run
from fluxengine.store import Store, open_dataset
from fluxengine.task import Job, Outcome
from fluxengine.verify import verify

ALL = {"toy-passes": 3, "toy-coarse": 3, "toy-smooth": 9, "toy": 3}


def names(plan: Plan, dataset: str, kind: str = "will_run") -> list[str]:
    """Names of a dataset's planned blocks."""
    (found,) = (d for d in plan.datasets if d.name == dataset)
    return [planned.block.name for planned in getattr(found, kind)]


def why(plan: Plan, dataset: str) -> set[str]:
    (found,) = (d for d in plan.datasets if d.name == dataset)
    return {"; ".join(planned.why) for planned in found.blocks}


@contextmanager
def nobody() -> Iterator[Executor]:
    pytest.fail("no executor may be started")
    yield refusing


def test_a_first_run_makes_and_publishes_everything(world: World) -> None:
    summary = world.run()
    assert summary.blocks == ALL
    assert summary.published == dict.fromkeys(ALL, "v1")
    assert summary.marked == ()


def test_the_published_values_are_those_of_plain_numpy(made: World) -> None:
    raw = np.stack([np.load(made.file(n)) for n in range(1, 13)]).astype(float)
    fine = np.where(raw == -32768, np.nan, raw * 0.01)
    with warnings.catch_warnings(action="ignore"):  # of a mean of nothing
        coarse = np.nanmean(fine.reshape(12, 2, 12, 2, 24, 2), axis=(3, 5))
    near = np.stack([np.roll(coarse, shift, axis=-1) for shift in (-1, 0, 1)])
    smooth = [np.nanmean(near[:, max(0, t - 2) : t + 2], axis=(0, 1)) for t in range(12)]
    expected = np.nanmean(smooth, axis=1)
    difference = np.abs(open_dataset(made.store)["wind"].values - expected)
    assert difference.max() < 0.003  # half a packing step, once for each of three datasets


def test_a_second_run_computes_nothing_and_starts_no_executor(made: World) -> None:
    summary = run(made.request(), nobody)
    assert summary.did_nothing
    assert make_plan(made.request()).is_empty


def test_a_plan_writes_nothing(world: World) -> None:
    plan = world.plan()
    assert {d.name: len(d.blocks) for d in plan.datasets} == ALL
    assert why(plan, "toy-passes") == {"never written"}
    assert Store.at(world.store).names == ()


def test_a_revised_day_runs_the_blocks_whose_window_holds_it(made: World) -> None:
    made.write(8, seed=1)
    plan = made.plan()
    assert why(plan, "toy-passes") == {"inputs changed: toy-passes files 2020-01-08"}
    assert names(plan, "toy-passes") == ["0001-0-0-0"]
    assert names(plan, "toy-coarse", "may_run") == ["0001-0-0-0"]
    # Day 8 ends its block; the next block looks two days back. In longitude all tiles are touched.
    touched = [f"{time:04}-0-0-{tile}" for time in (1, 2) for tile in range(3)]
    assert names(plan, "toy-smooth", "may_run") == touched
    assert names(plan, "toy", "may_run") == ["0001-0-0", "0002-0-0"]
    assert "waits for toy-coarse: 2020-01-08" in why(plan, "toy-smooth")
    summary = made.run()
    assert summary.blocks == {"toy-passes": 1, "toy-coarse": 1, "toy-smooth": 6, "toy": 2}
    assert make_plan(made.request()).is_empty


def test_a_day_within_the_halo_before_a_block_reruns_the_block_before(made: World) -> None:
    made.write(5, seed=1)  # the first of its block: the day after the one before
    assert made.run().blocks == {"toy-passes": 1, "toy-coarse": 1, "toy-smooth": 6, "toy": 2}


def test_a_day_far_from_the_ends_of_its_block_stays_in_it(made: World) -> None:
    made.write(6, seed=1)
    assert made.run().blocks == {"toy-passes": 1, "toy-coarse": 1, "toy-smooth": 3, "toy": 1}


def test_an_input_that_is_read_no_more_is_a_reason_in_words(made: World) -> None:
    product = toy(Options())
    other = replace(product, reads=(Read(coarse(Options()), ("wind",)),))
    plan = make_plan(made.request(product=other))
    assert why(plan, "toy") == {
        "inputs changed: toy-coarse is read now; inputs changed: toy-smooth is not read any more"
    }


def test_a_revised_day_ends_like_a_clean_run(made: World, tmp_path_factory) -> None:
    made.write(8, seed=1)
    made.run()
    clean = World(tmp_path_factory.mktemp("clean"))
    clean.write(*range(1, 13))
    clean.write(8, seed=1)
    clean.run()
    assert made.content() == clean.content()


def test_a_change_of_the_same_size_is_noticed_by_its_time(made: World) -> None:
    size = made.file(3).stat().st_size
    made.write(3, seed=7)
    assert made.file(3).stat().st_size == size
    assert names(made.plan(), "toy-passes") == ["0000-0-0-0"]


def test_a_plan_reads_files_that_may_have_changed_once_and_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.run()
    read: list[str] = []

    def digest(path: Path) -> str:
        read.append(path.name)
        return file_digest(path)

    monkeypatch.setattr(files, "file_digest", digest)
    assert world.plan().is_empty and read == []
    world.write(3, 8, seed=1)
    assert names(world.plan(), "toy-passes") == ["0000-0-0-0", "0001-0-0-0"]
    assert sorted(read) == [world.file(3).name, world.file(8).name]


def nothing_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where a file's bytes are asked for."""
    monkeypatch.setattr(files, "_digest_of", lambda *_: pytest.fail("read again"))


def test_a_touched_file_with_the_same_bytes_runs_nothing_and_is_read_once(
    made: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.utime(made.file(3))
    assert made.plan().is_empty
    assert made.run().did_nothing
    repository = made.opened().repository("toy-passes")
    assert repository.versions == ("v1",) and not repository.has_unpublished
    assert repository.tip() != repository.tip(MAIN)
    nothing_is_read(monkeypatch)
    assert made.plan().is_empty and made.run().did_nothing
    assert record_of(made.store, "toy-passes", "0000-0-0-0")["files"]["2020-01-03"]["stamp"] == str(
        made.file(3).stat().st_mtime_ns
    )


def test_a_moved_archive_is_read_once(made: World, monkeypatch: pytest.MonkeyPatch) -> None:
    made.archive.rename(made.folder / "moved")
    moved = replace(made.request(), archives={"toy": str(made.folder / "moved")})
    for _ in range(2):
        assert run(moved, lambda: pytest.fail("no block runs")).did_nothing
        nothing_is_read(monkeypatch)
    known = record_of(made.store, "toy-passes", "0000-0-0-0")["files"]["2020-01-03"]["path"]
    assert known == str(made.folder / "moved" / made.file(3).relative_to(made.archive))
    assert verify(made.opened(), "toy-passes").findings == ()


def test_a_touched_file_that_was_refused_stays_refused(
    made: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = record_of(made.store, "toy-passes", "0000-0-0-0")["files"]["2020-01-03"]
    made.file(3).write_bytes(b"damaged")
    assert made.run().blocks == {"toy-passes": 1}
    os.utime(made.file(3))
    assert made.run().did_nothing
    nothing_is_read(monkeypatch)
    assert made.run().did_nothing
    record = record_of(made.store, "toy-passes", "0000-0-0-0")
    assert record["files"]["2020-01-03"] == good
    assert record["refused"]["2020-01-03"]["stamp"] == str(made.file(3).stat().st_mtime_ns)


def test_what_a_touched_file_is_noted_beside_is_published(made: World) -> None:
    os.utime(made.file(3))
    made.write(9, seed=1)
    assert made.run().published["toy-passes"] == "v2"
    os.utime(made.file(3))
    made.write(13)
    assert made.run(13).published["toy-passes"] == "v3"
    assert not made.opened().repository("toy-passes").has_unpublished


def test_other_bytes_with_the_same_values_stop_at_the_source(made: World) -> None:
    before = made.content()
    made.write(3, dtype=">i2")
    summary = made.run()
    assert summary.blocks == {"toy-passes": 1}
    assert summary.published == {"toy-passes": "v2"}
    assert made.content() == before
    assert made.run().did_nothing


def test_a_change_that_vanishes_in_the_mean_stops_there(made: World) -> None:
    raw = np.load(made.file(6))
    raw[0, 0, 0], raw[0, 0, 1] = raw[0, 0, 1].copy(), raw[0, 0, 0].copy()
    np.save(made.file(6), raw)
    assert made.run().blocks == {"toy-passes": 1, "toy-coarse": 1}


@pytest.mark.parametrize(
    ("options", "rerun"),
    [
        ({"gain": 2.0}, {"toy": 3}),
        ({"before": 1}, {"toy-smooth": 9, "toy": 3}),
        ({"pause": 0.001}, {"toy-coarse": 3}),
    ],
)
def test_an_option_reruns_the_datasets_whose_stages_hold_it(
    made: World, options: dict[str, object], rerun: dict[str, int]
) -> None:
    assert any("options changed" in words for words in why(made.plan(**options), next(iter(rerun))))
    assert made.run(**options).blocks == rerun
    assert made.run(**options).did_nothing


def test_changed_weights_rerun_the_stage_in_a_living_process(made: World) -> None:
    factor = made.folder / "factor.txt"
    means = []
    for number in ("1.0", "0.5"):
        factor.write_text(number)
        assert made.run(factor=factor).blocks == {"toy": 3}
        means.append(float(open_dataset(made.store)["wind"].mean()))
    assert means[1] == pytest.approx(means[0] / 2, rel=1e-3)


def test_more_days_run_the_new_blocks_and_those_whose_halo_touches_them(made: World) -> None:
    made.write(*range(13, 18))
    plan = made.plan(17)
    assert why(plan, "toy-passes") == {"never written"}
    summary = made.run(17)
    # Days 13 to 17 are two new blocks; block 2 looks one day ahead, into day 13.
    assert summary.blocks == {"toy-passes": 2, "toy-coarse": 2, "toy-smooth": 9, "toy": 3}
    assert open_dataset(made.store).sizes["time"] == 17


def test_a_part_block_is_extended_day_by_day(made: World, tmp_path_factory) -> None:
    made.write(13, 14)
    made.run(13)
    plan = made.plan(14)
    assert why(plan, "toy-passes") == {"extended: 2020-01-14"}
    assert names(plan, "toy-passes") == ["0003-0-0-0"]
    assert made.run(14).blocks == {"toy-passes": 1, "toy-coarse": 1, "toy-smooth": 3, "toy": 1}
    at_once = World(tmp_path_factory.mktemp("at-once"))
    at_once.write(*range(1, 15))
    at_once.run(14)
    assert made.content() == at_once.content()


def test_a_last_block_of_one_day_makes_no_other_block_run_day_by_day(made: World) -> None:
    made.write(13)
    made.run(13)
    assert record_of(made.store, "toy", "0002-0-0")["batch"] == 4


def test_a_shorter_period_leaves_the_rest_as_it_is(made: World) -> None:
    made.write(2, 11, seed=1)
    summary = made.run(4)
    assert summary.blocks["toy-passes"] == 1
    assert open_dataset(made.store).sizes["time"] == 12
    assert names(made.plan(), "toy-passes") == ["0002-0-0-0"]


def test_an_earlier_first_day_is_refused_in_words(world: World) -> None:
    world.run(12, 5)
    with pytest.raises(ConfigError, match=r"2020-01-01.*made from 2020-01-05.*a new store"):
        world.run(12, 1)


def test_a_period_beyond_an_input_is_refused_in_words(world: World) -> None:
    product = coarse(Options())
    (read,) = product.reads
    source = replace(
        read.dataset,
        grid=type(read.dataset.grid)(
            **{
                **read.dataset.grid.axes,
                "time": read.dataset.grid.step_axis.between(day(1), day(8)),
            }
        ),
    )
    product = replace(product, reads=(replace(read, dataset=source),))
    with pytest.raises(ConfigError, match="covers time 2020-01-01 to 2020-01-08, but"):
        world.run(product=product)


def test_a_source_alone_can_be_brought_up_to_date(world: World) -> None:
    from toyfields.source import PASSES

    assert world.run(product=PASSES).blocks == {"toy-passes": 3}


def test_a_plan_after_a_run_cut_off_still_names_all_that_may_run(made: World) -> None:
    made.write(8, seed=1)
    made.run(product=coarse(Options()))  # as if the run had died after this dataset
    plan = made.plan()
    assert names(plan, "toy-coarse") == []
    assert len(names(plan, "toy-smooth")) == 6
    assert names(plan, "toy", "may_run") == ["0001-0-0", "0002-0-0"]


def test_an_executor_may_finish_blocks_in_any_order(world: World, first_run: World) -> None:
    def backwards(jobs: Iterator[Job]) -> Iterator[Outcome]:
        return executors.serial(reversed(list(jobs)))

    run(world.request(), lambda: nullcontext(backwards))
    assert world.content() == first_run.content()


def test_a_refusing_executor_names_what_would_be_computed(world: World) -> None:
    with pytest.raises(Exception, match="toy-passes-0000-0-0-0 would be computed"):
        run(world.request(), lambda: nullcontext(refusing))


def test_a_run_that_finds_main_moved_loses_nothing(made: World) -> None:
    made.write(8, seed=1)
    repository = Store.at(made.store).repository("toy")
    published = repository.tip("main")

    def interfering(jobs: Iterator[Job]) -> Iterator[Outcome]:
        for job in jobs:
            if job.dataset.name == "toy" and repository.tip("main") == published:
                session = repository.inner.writable_session("main")
                zarr.open_group(session.store).update_attributes({"title": "Theirs"})
                session.commit("theirs")
            yield from executors.serial([job])

    with pytest.raises(PublicationConflict):
        run(made.request(), lambda: nullcontext(interfering))
    theirs = repository.tip("main")
    assert theirs != published
    assert {Store.at(made.store).repository(name).versions for name in ALL} == {("v1",)}
    assert made.plan().is_empty  # the finished blocks are kept
    assert made.run().published == dict.fromkeys(ALL, "v2")


@pytest.mark.parametrize("when", ["before it is read", "after it was read"])
def test_a_file_revised_while_the_run_goes_on_is_taken_as_it_was_read(
    made: World, tmp_path_factory: pytest.TempPathFactory, when: str
) -> None:
    made.write(2, seed=1)

    def slow(jobs: Iterator[Job]) -> Iterator[Outcome]:
        for job in jobs:
            if when.startswith("before"):
                made.write(3, seed=1)
            outcome = executors.run_block(job)
            made.write(3, seed=1)
            yield outcome

    run(made.request(), lambda: nullcontext(slow))
    left = [] if when.startswith("before") else ["0000-0-0-0"]
    assert names(made.plan(), "toy-passes") == left
    made.run()
    clean = World(tmp_path_factory.mktemp("clean"))
    clean.write(*range(1, 13))
    clean.write(2, 3, seed=1)
    clean.run()
    assert made.content() == clean.content()


def test_versions_written_before_are_never_rewritten(made: World) -> None:
    before = open_dataset(made.store, version="v1").load()
    for seed in (1, 2):
        made.write(5, seed=seed)
        made.run()
    xr.testing.assert_identical(open_dataset(made.store, version="v1").load(), before)


# --- blocks, tiles and batches never change a value -----------------------------------------------


@pytest.mark.parametrize("batch", [1, 2])
def test_batches_give_identical_digests(world: World, first_run: World, batch: int) -> None:
    world.run(product=toy(Options(), batch=batch))
    assert world.content() == first_run.content()


@pytest.mark.parametrize(("block", "tile"), [(4, 0), (5, 12), (3, 2)])
def test_blocks_and_tiles_give_identical_values(
    world: World, first_run: World, block: int, tile: int
) -> None:
    world.run(product=toy(Options(), block=block, tile=tile))
    for name in ("toy-coarse", "toy-smooth", "toy"):
        ours, theirs = (open_dataset(w.store, name) for w in (world, first_run))
        xr.testing.assert_equal(ours, theirs)


def test_other_attributes_alone_are_planned_and_published(made: World) -> None:
    before = made.content()
    asked = replace(made.request(), attributes={"creator_name": "Somebody"})
    plan = make_plan(asked)
    assert not plan.is_empty and plan.described == ("toy",)
    assert not any(dataset.reasons.any() for dataset in plan.datasets)
    summary = run(asked, lambda: pytest.fail("no block runs"))
    assert summary.blocks == {} and {*summary.published} == {"toy"} == {*summary.described}
    assert open_dataset(made.store).attrs["creator_name"] == "Somebody"
    assert verify(made.opened(), "toy").findings == () and made.content() == before
    assert make_plan(asked).is_empty
    assert run(asked, lambda: pytest.fail("no block runs")).did_nothing
    summary = made.run()  # what the run file says no more is taken away
    assert summary.blocks == {} and {*summary.published} == {"toy"}
    assert "creator_name" not in open_dataset(made.store).attrs and made.run().did_nothing


def test_what_is_read_keeps_the_attributes_that_its_own_run_file_gave_it(world: World) -> None:
    nothing = {"license": "none", "title": "Everything"}  # titles are declared, licences are not
    run_files = [
        replace(world.request(product=coarse(Options())), attributes={"creator_name": "Ada"}),
        replace(world.request(), attributes={"creator_name": "your name"} | nothing),
    ]
    for request, published in zip(run_files, ({"toy-coarse"}, {"toy", "toy-smooth"}), strict=True):
        made = run(request, lambda: nullcontext(executors.serial)).published
        assert {*made} - {"toy-passes"} == published
    attrs = {name: open_dataset(world.store, name).attrs for name in ALL}
    assert attrs["toy-coarse"]["creator_name"] == "Ada" and "license" not in attrs["toy-coarse"]
    for name in ("toy", "toy-smooth"):  # made by the second run
        assert (attrs[name]["creator_name"], attrs[name]["license"]) == ("your name", "none")
    titles = [attrs[name]["title"] == "Everything" for name in ("toy", "toy-smooth", "toy-coarse")]
    assert titles == [True, False, False]
    for request in run_files * 2:
        assert run(request, lambda: pytest.fail("no block runs")).did_nothing


# --- accepted code -------------------------------------------------------------------------------


@pytest.fixture
def other_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if somebody had edited a module that all stages import."""
    known = key.code_digests
    edited = {"toyfields.numbers": "0" * 64}
    monkeypatch.setattr(key, "code_digests", lambda dataset: known(dataset) | edited)


@pytest.mark.usefixtures("other_code")
def test_code_that_gives_the_same_values_can_be_accepted(made: World) -> None:
    assert why(made.plan(), "toy") == {"code changed: toyfields.numbers"}
    before = made.content()
    summary = made.run(accept_code=True)
    assert summary.accepted == ALL
    assert summary.blocks == {}
    assert summary.published == dict.fromkeys(ALL, "v2")
    assert made.content() == before
    assert make_plan(made.request()).is_empty
    record = record_of(made.store, "toy", "0001-0-0")
    assert record["accepted"]["run"]
    assert all(verify(Store.at(made.store), name).findings == () for name in ALL)


@pytest.mark.usefixtures("other_code")
def test_what_changed_beside_the_code_is_made_again(made: World) -> None:
    made.write(8, seed=1)
    summary = made.run(accept_code=True, gain=2.0)
    assert summary.accepted == {"toy-passes": 2, "toy-coarse": 2, "toy-smooth": 3}
    assert summary.blocks == {"toy-passes": 1, "toy-coarse": 1, "toy-smooth": 6, "toy": 3}
