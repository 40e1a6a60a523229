"""A block reads the cells that it names, in the order in which it names them."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import date
from functools import partial
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from zarr.storage import MemoryStore

from fluxengine import estimate, executors, reading
from fluxengine.declare import Arrays, Output, PlainStage, Product, Read, Source, Variable
from fluxengine.grid import Grid, days, degrees, labels
from fluxengine.run import run
from fluxengine.stand import Request
from fluxengine.store import Store, open_dataset
from fluxengine.traffic import CountedStore, counted
from fluxengine.window import runs

MEMBERS = ("a", "b", "c", "d")
number = Variable("number", "1", "a number")


def path(day: date) -> str:
    return f"{day}.json"


def decode(file: Path, day: date) -> xr.Dataset:
    numbers = np.array([json.loads(file.read_text())], "f4")
    return xr.Dataset({"number": (("time", "member"), numbers)})


def ensemble(*members: str, block: int = 0) -> Grid:
    return Grid(time=days("2020-01-01", block=2, chunk=1), member=labels(*members, block=block))


SOURCE = Source(
    name="members",
    grid=ensemble(*MEMBERS),
    path=path,
    decode=decode,
    provides=(number,),
    archive="members",
    home="/nowhere/members",
    title="Numbers of an ensemble",
    provider="Toy provider",
    licence="public domain",
    cite="Toy (2020)",
)


@dataclass(frozen=True)
class HandedOn(PlainStage):
    """The same numbers."""

    inputs: tuple[str, ...] = ("number",)
    outputs: tuple[Variable, ...] = (number,)

    def load(self) -> Callable[[Arrays], Arrays]:
        return lambda arrays: {"number": arrays["number"] + 0}


def made(folder: Path, name: str, grid: Grid) -> xr.Dataset:
    """What a product on a grid makes of the source."""
    reads, stages = (Read(SOURCE, ("number",)),), (HandedOn(),)
    product = Product(name, grid, reads, stages, (number,))
    store = Store.at(folder / "store", create=True)
    period = date(2020, 1, 1), date(2020, 1, 2)
    request = Request(product, *period, store, {"members": str(folder / "archive")})
    run(request, partial(nullcontext, executors.serial))
    return open_dataset(folder / "store", name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "archive").mkdir()
    for day in (1, 2):
        numbers = [10 * day + at for at in range(len(MEMBERS))]
        (tmp_path / "archive" / path(date(2020, 1, day))).write_text(json.dumps(numbers))
    return tmp_path


def test_labels_may_stand_in_any_order(folder: Path) -> None:
    for order in permutations(MEMBERS):
        found = made(folder, f"in-order-{''.join(order)}", ensemble(*order))["number"]
        stored = open_dataset(folder / "store", "members")["number"]
        assert found["member"].values.tolist() == list(order)
        for member in MEMBERS:
            np.testing.assert_array_equal(found.sel(member=member), stored.sel(member=member))


@pytest.mark.parametrize("order", [("a", "d"), ("c", "b", "a"), ("b", "d", "c")])
def test_some_of_the_labels_in_tiles_of_two_are_the_same(folder: Path, order: tuple[str]) -> None:
    found = made(folder, "some", ensemble(*order, block=2))["number"]
    stored = open_dataset(folder / "store", "members")["number"]
    np.testing.assert_array_equal(found, stored.sel(member=list(order)))


# --- which cells are read, and how ---------------------------------------------------------------

SHAPE, CHUNKS, SHARDS = (4, 9, 24), (1, 4, 6), (2, 8, 12)
GLOBE = Grid(
    time=days("2020-01-01", block=2, chunk=1),
    lat=degrees(0, 9, 1, block=8, chunk=4),
    lon=degrees(0, 24, 1, block=12, chunk=6, periodic=True),
)


@pytest.fixture(scope="module")
def stored() -> zarr.Array:
    store = CountedStore(MemoryStore())
    array = zarr.create_array(store, shape=SHAPE, chunks=CHUNKS, shards=SHARDS, dtype="int16")
    array[:] = 1 + np.arange(np.prod(SHAPE)).reshape(SHAPE)
    return array


def around(size: int) -> st.SearchStrategy[list[int]]:
    """Cells as windows have them, which may go round an axis; and any others."""
    neighbours = st.tuples(st.integers(0, size - 1), st.integers(0, size + 5))
    window = neighbours.map(lambda at: [(at[0] + step) % size for step in range(at[1])])
    return window | st.lists(st.integers(0, size - 1), max_size=5)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.tuples(*map(around, SHAPE)))
def test_any_cells_are_read_in_their_order(
    stored: zarr.Array, cells: tuple[list[int], ...]
) -> None:
    """In as many requests as the plan says."""
    wanted = tuple(np.array(index, np.intp) for index in cells)
    with counted() as traffic:
        found = reading._selected(stored, wanted)
    assert found.dtype == np.int16
    np.testing.assert_array_equal(found, stored[:][np.ix_(*wanted)])
    planned, _ = estimate._requests(Output("", GLOBE, (number,)), list(wanted), None)
    assert traffic.gets == planned


@pytest.mark.parametrize(
    ("cells", "spans"),
    [
        ([], []),
        ([3, 4, 5], [slice(3, 6)]),
        ([22, 23, 0, 1], [slice(0, 2), slice(22, 24)]),  # round the axis
        ([*range(24), 0], [slice(0, 24)]),
        ([7, 8, 10], [slice(7, 11)]),  # of one chunk
        ([6, 11], [slice(6, 7), slice(11, 12)]),  # the same, with more between them
        ([5, 6], [slice(5, 7)]),  # of two, but neighbours
        ([11, 2], [slice(2, 3), slice(11, 12)]),
    ],
)
def test_neighbours_are_read_together(cells: list[int], spans: list[slice]) -> None:
    assert runs(np.array(cells, np.intp), 6) == spans
