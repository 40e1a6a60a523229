"""Blocks that cannot be made: marked as failed, told with the reason, tried again next time."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
from toyfields.products import Options, coarse, not_calm, toy
from toyfields.stages import coarse_wind, wind_state
from toyworld import World, day, record_of

from fluxengine.declare import Arrays, PlainStage, Product, Variable
from fluxengine.errors import DeclarationError, RunFailed, StoreError
from fluxengine.grid import Halo
from fluxengine.store import open_dataset


@dataclass(frozen=True)
class Spoil(PlainStage):
    """Does something to the finished wind or state."""

    how: str
    inputs: tuple[str, ...] = ("wind", "wind_state")
    outputs: tuple[Variable, ...] = (coarse_wind, wind_state)

    def load(self) -> Callable[[Arrays], Arrays]:
        ways: dict[str, Callable[[Arrays], Arrays]] = {
            "too large": lambda a: a | {"wind": a["wind"].where(a["wind"]["lat"] > 0, 700.0)},
            "no code": lambda a: a | {"wind_state": a["wind_state"] + 200},
            "half a code": lambda a: a | {"wind_state": a["wind_state"] * 0.5},
            "an axis less": lambda a: a | {"wind": a["wind"].isel(lat=0, drop=True)},
            "an axis more": lambda a: a | {"wind": a["wind"].expand_dims("height")},
            "too few cells": lambda a: a | {"wind": a["wind"].isel(lat=slice(1, None))},
            "shifted": lambda a: a | {"wind": a["wind"].assign_coords(lat=a["wind"]["lat"] + 10)},
            "hungry": lambda a: a | {"wind": np.empty(1 << 58)},
            "not given": lambda a: {"wind": a["wind"]},
        }
        return ways[self.how]


def spoilt(how: str) -> Product:
    product = coarse(Options())
    return replace(product, stages=(product.stages[0], Spoil(how)))


def test_a_stage_that_raises_fails_its_block_and_the_rest_goes_on(world: World) -> None:
    summary = world.run(day="2020-01-06")
    assert summary.published["toy"] == "v1"
    (mark,) = (line for line in summary.marked if "toy-coarse" in line)
    assert mark == (
        "toy-coarse block 0001-0-0-0 from 2020-01-05: RuntimeError: this stage dislikes 2020-01-06"
    )
    assert "in misbehave" in record_of(world.store, "toy-coarse", "0001-0-0-0")["traceback"]
    stored = open_dataset(world.store, "toy-coarse")
    failed = stored.sel(time=slice(str(day(5)), str(day(8))))
    assert np.unique(failed["wind_state"]).tolist() == [1]
    assert bool(failed["wind"].isnull().all())
    rest = stored.drop_sel(time=failed["time"])
    assert np.unique(rest["wind_state"]).tolist() == [2, 3]


def test_a_failed_block_is_tried_again_without_troubling_the_others(world: World) -> None:
    world.run(day="2020-01-06")
    plan = world.plan(day="2020-01-06")
    (blocks,) = (d.will_run for d in plan.datasets if d.name == "toy-coarse")
    assert [(b.block.name, b.why) for b in blocks] == [("0001-0-0-0", ("quarantined",))]
    again = world.run(day="2020-01-06")
    assert again.blocks == {"toy-coarse": 1}
    assert again.published == {}  # it failed in the same way: no new version
    assert len(again.marked) == 1


def test_a_failure_that_passes_leaves_no_trace(world: World, first_run: World) -> None:
    trap = world.folder / "trap"
    trap.touch()
    options = {"day": "2020-01-06", "trap": str(trap)}
    world.run(**options)
    assert world.content() != first_run.content()
    trap.unlink()
    summary = world.run(**options)
    assert summary.blocks == {"toy-coarse": 1, "toy-smooth": 9, "toy": 3}
    assert summary.marked == ()
    assert world.content() == first_run.content()


def test_a_gate_fails_its_block_with_its_own_words(world: World) -> None:
    def strict_gate(block: Arrays, published: tuple[Variable, ...]) -> str | None:
        return "it is the second block." if str(day(5)) in str(block["wind"].time.values) else None

    (mark,) = world.run(product=replace(coarse(Options()), gates=(strict_gate,))).marked
    assert mark.endswith("toy-coarse-0001-0-0-0: it is the second block.")
    assert "traceback" not in record_of(world.store, "toy-coarse", "0001-0-0-0")


@pytest.mark.parametrize("batch", [0, 1])
def test_a_gate_sees_the_whole_block_whatever_the_batch(world: World, batch: int) -> None:
    calm = np.zeros((2, 24, 48), "i2")
    np.save(world.file(6), calm)  # one calm day of four: more than half of the block has wind
    summary = world.run(product=replace(coarse(Options(), batch=batch), gates=(not_calm,)))
    assert summary.marked == ()


@pytest.mark.parametrize(
    ("how", "complaint"),
    [
        ("too large", r"wind = 700 at \d+ cells cannot be stored"),
        ("no code", r"wind_state = 20\d at \d+ cells is no flag"),
        ("half a code", r"wind_state = 1\.5 at \d+ cells is no flag"),
        ("an axis more", r"a stage gives wind on \('height', 'time', 'orbit', 'lat', 'lon'\)"),
        ("too few cells", "without the block's own cells of 'lat'"),
        ("shifted", "without the block's own cells of 'lat'"),
        ("not given", "wind_state"),
    ],
)
def test_a_stage_can_store_nothing_that_it_should_not(
    world: World, how: str, complaint: str
) -> None:
    with pytest.raises(RunFailed, match=complaint):  # for every block fails in this way
        world.run(product=spoilt(how))


def test_what_is_no_text_in_a_fault_is_noted_so_far_as_it_can_be(world: World) -> None:
    def quoting(block: Arrays, published: tuple[Variable, ...]) -> str | None:
        second = str(day(5)) in str(block["wind"].time.values)
        return "it holds \udcff" + 5000 * "x" if second else None

    (mark,) = world.run(product=replace(coarse(Options()), gates=(quoting,))).marked
    assert r"it holds \udcff" in mark
    (note,) = record_of(world.store, "toy-coarse", "0001-0-0-0")["notes"].values()
    assert mark.endswith(note) and len(note) == 1000


def test_an_axis_that_a_stage_does_not_give_is_broadcast(world: World) -> None:
    world.run(product=spoilt("an axis less"))
    wind = open_dataset(world.store, "toy-coarse")["wind"]
    assert wind.sizes["lat"] == 12
    assert bool((wind == wind.isel(lat=0)).where(wind.notnull(), True).all())


def test_want_of_memory_stops_the_run_and_is_no_fault_of_the_block(world: World) -> None:
    with pytest.raises(RunFailed, match="toy-coarse-0000-0-0-0: the memory does not suffice"):
        world.run(product=spoilt("hungry"))


def test_damaged_values_of_an_input_stop_the_run_and_do_not_become_gaps(made: World) -> None:
    before = made.content()
    version = open_dataset(made.store).load()
    _damage(made, "toy-passes")
    made.write(6, seed=1)
    with pytest.raises(StoreError, match="toy-passes: stored values are damaged or lost"):
        made.run(pause=0.001)
    assert made.content()["toy"] == before["toy"]
    assert open_dataset(made.store).load().identical(version)


def test_a_damaged_block_is_whole_again_once_it_is_made_again(made: World) -> None:
    _damage(made, "toy-passes")
    made.write(1, 5, 9, seed=1)  # a day of each block
    assert made.run().blocks["toy-passes"] == 3
    assert float(open_dataset(made.store, "toy-passes")["wind"].max()) < 60


def _damage(world: World, dataset: str) -> None:
    dice = random.Random(1)
    for path in (world.store / dataset / "chunks").iterdir():
        if path.stat().st_size > 2000:
            damaged = bytearray(path.read_bytes())
            for _ in range(20):
                damaged[dice.randrange(len(damaged))] ^= 1
            path.write_bytes(damaged)


def test_a_halo_after_the_first_stage_is_refused_when_declared() -> None:
    smooth = toy(Options()).reads[0].dataset
    with pytest.raises(DeclarationError, match="only the first stage of 'toy-smooth'"):
        replace(smooth, stages=(*smooth.stages, *smooth.stages))
    assert smooth.halo == Halo({"time": (2, 1), "lon": (1, 1)})


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"reads": ()}, r"Coarsen of 'toy-coarse' needs \['wind', 'wind_flag'\]"),
        ({"stages": ()}, r"publishes \['wind_state'\], which nothing makes"),
    ],
)
def test_a_product_that_cannot_work_cannot_be_declared(
    changes: dict[str, object], complaint: str
) -> None:
    with pytest.raises(DeclarationError, match=complaint):
        replace(coarse(Options()), **changes)
