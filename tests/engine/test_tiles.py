"""In tiles, with a halo across the dateline, a product is what it is in one piece."""

import shutil
import time
import warnings
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import zarr
from toytiles import FILL, REACH, STEP, path, product, raw_day
from toyworld import day

from fluxengine import executors
from fluxengine.declare import Product
from fluxengine.digest import step_digests
from fluxengine.run import run
from fluxengine.stand import Request
from fluxengine.store import Store, read_published
from fluxengine.task import peak_memory
from fluxengine.verify import verify

VARIABLES = ("smooth", "running", "origin")
TILES = (2, 4)


@dataclass(frozen=True)
class Globe:
    """A globe with so many cells a degree over some days; files hold nothing but seeds."""

    folder: Path
    cells: int
    days: int
    block: int
    batch: int

    def write(self) -> None:
        (self.folder / "archive").mkdir()
        for number in range(1, self.days + 1):
            (self.folder / "archive" / path(day(number))).write_text(str(number))

    @property
    def store(self) -> Store:
        return Store.at(self.folder / "store", create=True)

    def product(self, name: str, tiles: tuple[int, int]) -> Product:
        return product(name, self.cells, self.block, tiles, self.batch)

    def run(self, product: Product) -> None:
        archives = {"tiles": str(self.folder / "archive")}
        request = Request(product, day(1), day(self.days), self.store, archives)
        run(request, lambda: nullcontext(executors.serial))

    def made(self, name: str) -> zarr.Group:
        return read_published(self.store, name)


@dataclass
class Compared:
    """Cells that were compared, and in how many steps of the packing the worst differ."""

    cells: int = 0
    differing: int = 0
    worst: int = 0

    def add(self, one: np.ndarray, other: np.ndarray) -> None:
        apart = np.abs(one.astype("i4") - other.astype("i4"))
        self.cells += apart.size
        self.differing += int(np.count_nonzero(apart))
        self.worst = max(self.worst, int(apart.max()))


def compared(globe: Globe) -> dict[str, Compared]:
    """Each variable as it is stored untiled and in tiles, a few days at a time."""
    untiled, tiled = (globe.made(name) for name in ("untiled", "tiled"))
    found = {name: Compared() for name in VARIABLES}
    for start in range(0, globe.days, 10):
        for name in VARIABLES:
            one, other = (np.asarray(made[name][start : start + 10]) for made in (untiled, tiled))
            found[name].add(one, other)
            if name != "running":
                ours, theirs = (step_digests({name: a}, len(a)) for a in (one, other))
                np.testing.assert_array_equal(ours, theirs)
    return found


@pytest.fixture
def globe(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Globe]:
    """The same product twice, untiled and in eight tiles."""
    made = Globe(tmp_path, *request.param)
    made.write()
    began = time.perf_counter()
    for name, tiles in (("untiled", (1, 1)), ("tiled", TILES)):
        made.run(made.product(name, tiles))
    print(
        f"\nmade in {time.perf_counter() - began:.0f} s, {peak_memory() / 1e9:.1f} GB at the peak"
    )
    yield made
    shutil.rmtree(tmp_path)


SMALL = (1, 60, 30, 0)
YEAR = pytest.param((4, 366, 30, 10), marks=pytest.mark.slow)


@pytest.mark.parametrize("globe", [SMALL, YEAR], indirect=True, ids=["60 days", "a year"])
def test_tiles_change_no_value_by_more_than_one_packing_step(globe: Globe) -> None:
    found = compared(globe)
    for name, told in found.items():
        print(
            f"{name}: {told.cells:,} cells, {told.differing:,} differ, at most {told.worst} steps"
        )
        assert told.cells == globe.days * 180 * 360 * globe.cells**2
    assert found["smooth"].differing == found["origin"].differing == 0
    assert found["running"].worst <= 1
    assert found["running"].differing > 0, "no rounding was put to the test"
    for name in ("untiled", "tiled"):
        assert verify(globe.store, name).findings == ()
    if globe.cells == 1:
        equals_plain_numpy(globe)


def equals_plain_numpy(globe: Globe) -> None:
    """Some days over the whole globe at once, rolled around it."""
    for number in (1, 30, 31, globe.days):  # ends of the record, and of a block
        near = range(max(1, number - REACH["time"]), min(globe.days, number + REACH["time"]) + 1)
        raw = np.stack([raw_day(globe.cells, n) for n in near])
        values = np.where(raw == FILL, np.nan, raw * STEP)
        wide = np.pad(values, [(0, 0), (REACH["lat"],) * 2, (0, 0)], constant_values=np.nan)
        rolled = [
            np.roll(wide[:, lat : lat + values.shape[1]], lon, axis=-1)
            for lat in range(2 * REACH["lat"] + 1)
            for lon in range(-REACH["lon"], REACH["lon"] + 1)
        ]
        with warnings.catch_warnings(action="ignore"):  # of a mean of nothing
            expected = np.nanmean(np.concatenate(rolled), axis=0)
        stored = np.asarray(globe.made("tiled")["smooth"][number - 1])
        there = stored != FILL
        assert 0 < there.sum() < there.size
        np.testing.assert_array_equal(there, np.isfinite(expected))
        assert np.abs(stored[there] * STEP - expected[there]).max() < 0.51 * STEP
