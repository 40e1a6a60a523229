"""One block on a worker: what is loaded once, tried again, made smaller, guarded, handed on."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.lib.mixins import NDArrayOperatorsMixin
from toyfields.products import Options, coarse, smooth
from toyfields.stages import Smooth, coarse_wind, wind_state
from toyworld import World, record_of

from fluxengine.declare import UNKEYED, Arrays, Device, PlainStage, Product, Shapes, Variable
from fluxengine.errors import RunFailed
from fluxengine.estimate import Estimate, Resources, estimates
from fluxengine.packing import Packing
from fluxengine.plan import make_plan
from fluxengine.run import run
from fluxengine.store import Store, open_dataset
from fluxengine.task import Job, Outcome, run_block
from fluxengine.worker import loaded

CALLS: list[Any] = []  # what the stages below did; they run in this process


@pytest.fixture(autouse=True)
def _nothing_was_called() -> None:
    CALLS.clear()


@dataclass(frozen=True)
class Noted(Smooth):
    """Notes when it is loaded, and how many steps it is given."""

    name: str = ""

    def load(self) -> Callable[[Arrays], Arrays]:
        CALLS.append("loaded")
        inner = super().load()

        def noted(arrays: Arrays) -> Arrays:
            CALLS.append(len(arrays["wind"]))
            return inner(arrays)

        return noted


def with_stage(stage: Any, **changes: Any) -> Product:
    return replace(smooth(Options()), stages=(stage,), gates=(), **changes)


def test_a_stage_is_loaded_once_for_all_blocks(world: World) -> None:
    world.run(product=with_stage(Noted(name="once")))
    assert CALLS.count("loaded") == 1
    assert len(CALLS) == 1 + 9


@dataclass(frozen=True)
class Shifted(PlainStage):
    """Adds numbers to the wind, on whatever device."""

    by: Any
    device: Device = field(default="cpu", metadata=UNKEYED)
    inputs: tuple[str, ...] = ("wind",)
    outputs: tuple[Variable, ...] = (coarse_wind,)

    def load(self) -> Callable[[Arrays], Arrays]:
        CALLS.append(self.device)
        return lambda arrays: {"wind": arrays["wind"] + self.by}


def test_stages_that_differ_in_one_number_of_many_are_loaded_each() -> None:
    here = np.zeros((24, 48))
    there, nearly = here.copy(), here.copy()
    there[12, 20] = 5.0  # of more than a thousand numbers a text leaves out those in the middle
    nearly[12, 20] = 1e-12
    assert len({repr(Shifted(by)) for by in (here, there, nearly)}) == 1
    for by in (here, there, nearly, here.copy()):
        np.testing.assert_array_equal(loaded(Shifted(by))({"wind": 0.0})["wind"], by)
    assert len(CALLS) == 3


def test_a_stage_is_loaded_for_each_device() -> None:
    for device in ("cpu", "cuda", "cpu"):
        loaded(Shifted(1.0, device))
    assert CALLS == ["cpu", "cuda"]


def test_a_batch_is_never_more_steps_than_the_product_says(world: World) -> None:
    world.run(product=with_stage(Noted(name="batches"), batch=2))
    assert max(c for c in CALLS if c != "loaded") <= 2 + 2 + 1  # two, and the halo


@dataclass(frozen=True)
class Marked(Smooth):
    """Notes which steps it is told are the block's own."""

    def load(self) -> Callable[[Arrays], Arrays]:
        inner = super().load()

        def marked(arrays: Arrays) -> Arrays:
            wind = arrays["wind"]
            CALLS.append((len(wind), wind["time"].values[wind["own_time"].values]))
            return inner(arrays)

        return marked


def test_a_stage_is_told_which_steps_are_the_blocks_own(world: World) -> None:
    world.run(product=with_stage(Marked(), batch=2))
    days = np.concatenate([own for _, own in CALLS])
    made, times = np.unique(days, return_counts=True)
    record = open_dataset(world.store, "toy-smooth")
    np.testing.assert_array_equal(made, record["time"].values)
    assert set(times) == {3}  # tiles
    assert any(number > len(own) for number, own in CALLS)


@dataclass(frozen=True)
class Slow(Smooth):
    """Says so."""

    def seconds(self, inputs: Shapes) -> float:
        return 10.0 * inputs["wind"][0]


def test_a_plan_asks_stages_how_long_they_take_until_a_block_was_made(world: World) -> None:
    def planned(product: Product) -> Estimate:
        found = estimates(make_plan(world.request(product=product)), Resources())
        return next(one for one in found if one.dataset == "toy-smooth")

    quick, slow = planned(with_stage(Smooth())), planned(with_stage(Slow()))
    assert quick.assumed and slow.assumed
    steps = slow.block_seconds - quick.block_seconds
    assert steps == pytest.approx(10 * 7)  # four of a block, and the halo
    world.run(product=with_stage(Smooth()))
    known = planned(with_stage(Slow()))
    assert not known.assumed and known.block_seconds < 10


# --- out of memory -------------------------------------------------------------------------------


class OutOfMemoryError(RuntimeError):
    """As torch and CuPy call theirs."""


@dataclass(frozen=True)
class Hungry(Smooth):
    """Has memory for so many steps at once, the halo included."""

    steps: int = 0
    of: str = "host"

    def load(self) -> Callable[[Arrays], Arrays]:
        inner = super().load()

        def hungry(arrays: Arrays) -> Arrays:
            CALLS.append(len(arrays["wind"]))
            if len(arrays["wind"]) > self.steps:
                raise MemoryError() if self.of == "host" else OutOfMemoryError("CUDA")
            return inner(arrays)

        return hungry


@pytest.mark.parametrize("of", ["host", "device"])
def test_the_batch_is_halved_until_the_memory_suffices(
    world: World, first_run: World, of: str
) -> None:
    world.run(product=with_stage(Hungry(steps=5, of=of)))
    assert world.content()["toy-smooth"] == first_run.content()["toy-smooth"]
    assert record_of(world.store, "toy-smooth", "0001-0-0-0")["batch"] == 2
    assert 7 in CALLS  # four steps with the halo were tried first


# --- a fault of the block itself -----------------------------------------------------------------


@dataclass(frozen=True)
class Moody(Smooth):
    """Raises at the first calls for each block."""

    times: int = 1

    def load(self) -> Callable[[Arrays], Arrays]:
        inner = super().load()

        def moody(arrays: Arrays) -> Arrays:
            first = str(arrays["wind"]["time"].values[0]), float(arrays["wind"]["lon"].values[0])
            CALLS.append(first)
            if CALLS.count(first) <= self.times:
                raise ConnectionResetError("the licence server went away")
            return inner(arrays)

        return moody


def test_a_block_is_tried_twice(world: World, first_run: World) -> None:
    summary = world.run(product=with_stage(Moody(times=1)))
    assert summary.marked == ()
    assert world.content()["toy-smooth"] == first_run.content()["toy-smooth"]


def test_a_block_that_fails_twice_is_quarantined_with_its_traceback(world: World) -> None:
    with pytest.raises(RunFailed, match="not one step of toy-smooth can be used"):
        world.run(product=with_stage(Moody(times=2)))  # every block of it
    record = record_of(world.store, "toy-smooth", "0001-0-0-0")
    assert "ConnectionResetError" in record["traceback"]


# --- the GPU -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OnGpu(Smooth):
    """Notes how many are in it at once."""

    @property
    def device(self) -> Device:
        return "cuda"

    def load(self) -> Callable[[Arrays], Arrays]:
        inner, inside = super().load(), set()

        def computed(arrays: Arrays) -> Arrays:
            inside.add(threading.get_ident())
            CALLS.append(len(inside))
            time.sleep(0.02)
            made = inner(arrays)
            inside.discard(threading.get_ident())
            return made

        return computed


def in_threads(jobs: Iterable[Job]) -> Iterator[Outcome]:
    with ThreadPoolExecutor(4) as pool:
        yield from pool.map(run_block, list(jobs))


def test_one_block_at_a_time_is_on_a_workers_gpu(world: World, first_run: World) -> None:
    run(world.request(product=with_stage(OnGpu())), lambda: nullcontext(in_threads))
    assert CALLS == [1] * 9
    assert world.content()["toy-smooth"] == first_run.content()["toy-smooth"]


class Far(NDArrayOperatorsMixin):
    """An array in another memory; xarray carries it, and NumPy may not have it unasked."""

    def __init__(self, values: np.ndarray) -> None:
        self._values = values
        self.shape, self.dtype, self.ndim = values.shape, values.dtype, values.ndim

    def to_numpy(self) -> np.ndarray:
        """What xarray fetches it by."""
        return self._values

    def __array__(self, *_: object, **__: object) -> np.ndarray:
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")

    def __array_ufunc__(self, *_: object, **__: object) -> None:
        raise NotImplementedError

    def __array_function__(self, *_: object) -> None:
        raise NotImplementedError


@dataclass(frozen=True)
class Away(PlainStage):
    """Hands its input on in another memory, or what it is given there, and notes what that is."""

    number: int = 1
    device: Device = "cuda"
    inputs: tuple[str, ...] = ("wind", "wind_state")
    outputs: tuple[Variable, ...] = (coarse_wind, wind_state)

    def load(self) -> Callable[[Arrays], Arrays]:
        def away(arrays: Arrays) -> Arrays:
            CALLS.append((self.number, {type(one.data) for one in arrays.values()}))
            if self.number != 1:
                return dict(arrays)
            return {name: one.copy(data=Far(one.values)) for name, one in arrays.items()}

        return away


def test_arrays_stay_on_the_gpu_until_a_stage_or_the_store_wants_them(world: World) -> None:
    def gate(block: Arrays, published: tuple[Variable, ...]) -> None:
        CALLS.append(("gate", {type(one.data) for one in block.values()}))

    world.run(product=coarse(Options()))
    for third, found in (("cuda", Far), ("cpu", np.ndarray)):
        stages = (Away(1), Away(2), Away(3, third))
        world.run(product=replace(handed_on(stages[0]), stages=stages, gates=(gate,)))
        kinds = dict(CALLS)
        assert kinds == {1: {np.ndarray}, 2: {Far}, 3: {found}, "gate": {np.ndarray}}
        content = world.content()
        assert content["handed-on"] == content["toy-coarse"]
        CALLS.clear()


# --- what is handed on ---------------------------------------------------------------------------


@dataclass(frozen=True)
class HandOn(PlainStage):
    """Gives back what it was given."""

    inputs: tuple[str, ...] = ("wind", "wind_state")
    outputs: tuple[Variable, ...] = (coarse_wind, wind_state)

    def load(self) -> Callable[[Arrays], Arrays]:
        return dict


@dataclass(frozen=True)
class Scribble(HandOn):
    """Changes its input in place."""

    def load(self) -> Callable[[Arrays], Arrays]:
        def scribble(arrays: Arrays) -> Arrays:
            arrays["wind"].values[...] = 0
            return dict(arrays)

        return scribble


def handed_on(stage: Any, published: tuple[Variable, ...] = (coarse_wind, wind_state)) -> Product:
    above = coarse(Options())
    read = replace(smooth(Options()).reads[0], variables=("wind", "wind_state"))
    return Product("handed-on", above.grid, (read,), (stage,), published)


def test_what_is_handed_on_is_stored_as_it_was(world: World, monkeypatch) -> None:
    world.run(product=coarse(Options()))
    monkeypatch.setattr(Packing, "pack", _nobody_packs)
    world.run(product=handed_on(HandOn()))
    content = world.content()
    assert content["handed-on"] == content["toy-coarse"]


def _nobody_packs(self: Packing, values: object, name: str) -> np.ndarray:
    pytest.fail(f"{name} was packed again")


def test_another_packing_is_packed_again(world: World) -> None:
    finer = coarse_wind.stored(Packing("i4", 0.0001, 0, -1))
    world.run(product=handed_on(HandOn(outputs=(finer, wind_state)), (finer, wind_state)))
    given, made = (open_dataset(world.store, n)["wind"] for n in ("toy-coarse", "handed-on"))
    np.testing.assert_allclose(made.values, given.values, atol=1e-4)
    assert made.encoding["dtype"] == np.dtype("i4")


def test_inputs_cannot_be_changed_in_place(world: World) -> None:
    with pytest.raises(Exception, match="read-only"):
        world.run(product=handed_on(Scribble()))


def test_outcomes_say_what_they_cost(world: World) -> None:
    outcomes: list[Outcome] = []

    def noting(jobs: Iterable[Job]) -> Iterator[Outcome]:
        for job in jobs:
            outcomes.append(run_block(job))
            yield outcomes[-1]

    run(world.request(product=coarse(Options())), lambda: nullcontext(noting))
    source, product = outcomes[0], outcomes[-1]
    files = [Path(file["path"]) for file in source.files.values()]
    assert source.traffic.bytes_read == sum(file.stat().st_size for file in files)
    assert source.traffic.puts == 2  # a shard for each variable
    assert product.traffic.gets == 2
    assert 50_000_000 < product.peak_memory < 4_000_000_000
    assert Store.at(world.store).repository("toy-coarse").is_published


FAULTS = """
import resource, sys
import numpy as np
import threading
from fluxengine.worker import keep_memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

if sys.argv[1] == "keep":
    keep_memory()
def work():
    [np.ones(2_500_000) for _ in range(5)]  # 100 MB, freed together

def again_and_again():
    work()
    before = faults()
    for _ in range(5):
        work()
    print(faults() - before)

thread = threading.Thread(target=again_and_again)  # where workers make their blocks
thread.start()
thread.join()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator")
def test_freed_memory_is_kept_unless_the_environment_says_otherwise() -> None:
    def faults(word: str, **environment: str) -> int:
        clean = {n: v for n, v in os.environ.items() if not n.startswith("MALLOC_")}
        done = subprocess.run(
            [sys.executable, "-c", FAULTS, word],
            env=clean | environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return int(done.stdout)

    assert faults("keep") < 1_000 < 5_000 < faults("no")
    assert faults("keep", MALLOC_TRIM_THRESHOLD_="65536") > 5_000
