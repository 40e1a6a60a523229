"""Properties over many grids, ledgers and packings; `-m slow` tries many more examples."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fluxengine import ledger
from fluxengine.declare import Packing
from fluxengine.errors import OutOfRange
from fluxengine.grid import DAY, DEGREE, Axis, Grid, Halo, every, labels, static
from fluxengine.ledger import ABSENT, BlockRows, Ledger
from fluxengine.window import reach
from fluxrecipes import vocabulary


def examples(few: int, many: int) -> Callable[[Callable[[], None]], Any]:
    """A property as two tests: the same few examples always, many of them under ``-m slow``."""

    def decorate(check: Callable[[], None]) -> Any:
        def test(number: int) -> None:
            settings(max_examples=number, derandomize=True)(check)()

        long = pytest.param(many, marks=pytest.mark.slow)
        return pytest.mark.parametrize("number", [few, long])(test)

    return decorate


# --- windows: `reach` says in columns what `Grid.window` says of one block -----------------------

NAMES = "abcde"
Pair = tuple[Axis, Axis]  # an axis of a grid, and the input's axis of the same name


def cut(axis: st.SearchStrategy[Axis]) -> st.SearchStrategy[Axis]:
    """The axis in blocks of any length."""
    return st.builds(lambda a, block: replace(a, block=block), axis, st.integers(0, 7))


def numbered(unit: str, quantum: int, periodic: bool = False) -> st.SearchStrategy[Axis]:
    """A short axis of any resolution that begins somewhere near zero."""

    def axis(origin: int, step: int, size: int) -> Axis:
        return Axis(unit, origin * quantum, step * quantum, size, periodic=periodic)

    return cut(st.builds(axis, st.integers(-6, 6), st.integers(1, 5), st.integers(1, 12)))


HOURS = st.builds(
    lambda hours, first, size: replace(
        every(hours * 3600, f"2020-01-{first:02}", block=1), size=size
    ),
    st.sampled_from([1, 7, 24, 5 * 24]),
    st.integers(1, 31),
    st.integers(1, 40),
)
MONTHS = st.builds(
    lambda first, step, size: Axis("month", 600 + first, step, size),
    st.integers(-2, 2),
    st.integers(1, 3),
    st.integers(1, 6),
)
TIMES = cut(HOURS | MONTHS)


@st.composite
def named(draw: st.DrawFn) -> Pair:
    """Two label axes, the input's with every label of the grid's, in any order."""
    theirs = draw(st.permutations(NAMES))
    ours = draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
    return draw(cut(st.just(labels(*ours)))), draw(cut(st.just(labels(*theirs))))


def globe(cells: int) -> st.SearchStrategy[Axis]:
    """A globe of so many cells, cut into tiles."""
    step = 360 * DEGREE // cells
    return cut(st.just(Axis("arcsec", 0, step, cells, periodic=True)))


STEPS = st.tuples(TIMES, TIMES) | st.tuples(*[numbered("count", 1)] * 2) | named()
BESIDE = st.fixed_dictionaries(
    {
        "lat": st.tuples(*[numbered("arcsec", DEGREE)] * 2),
        "lon": st.tuples(*[st.sampled_from([6, 8, 12]).flatmap(globe)] * 2),
        "orbit": named(),
    }
)


@st.composite
def grids(draw: st.DrawFn) -> tuple[Grid, Halo, Grid]:
    """A grid, its halo and an input's grid; either may lack axes that the other has."""
    ours, theirs = map(dict, zip(*map(_split, draw(BESIDE).items()), strict=True))
    ours, theirs = (
        {name: axes[name] for name in draw(st.permutations(list(axes))) if draw(st.booleans())}
        for axes in (ours, theirs)
    )
    step, their_step = draw(STEPS)
    if draw(st.integers(0, 3)) == 0:  # the input's steps are none of the grid's
        of_input = draw(st.sampled_from([{"static": static()}, {"scene": labels("x", "y")}]))
    else:
        of_input = {"step": their_step}
    widths = st.tuples(st.integers(0, 4), st.integers(0, 4))
    halo = {name: draw(widths) for name in ("step", "lat", "lon")}
    return Grid(step=step, **ours), Halo(halo), Grid(**of_input, **theirs)


def _split(item: tuple[str, Pair]) -> tuple[tuple[str, Axis], tuple[str, Axis]]:
    name, (ours, theirs) = item
    return (name, ours), (name, theirs)


def rows_of_cells(window: dict[str, np.ndarray], source: Grid) -> tuple[set[int], set[int]]:
    """Steps and tiles of an input that hold the cells of a window."""
    steps, *others = window.values()
    axes = list(source.axes.values())[1:]
    blocks = [set((c // a.block_length).tolist()) for c, a in zip(others, axes, strict=True)]
    tiles = {
        int(np.ravel_multi_index(index, [a.blocks for a in axes])) if index else 0
        for index in product(*blocks)
    }
    return set(steps.tolist()), tiles if all(len(c) for c in others) else set()


@examples(300, 4_000)
@given(grids())
def test_reach_gives_the_rows_that_hold_the_cells_of_the_window(
    drawn: tuple[Grid, Halo, Grid],
) -> None:
    grid, halo, source = drawn
    reached = reach(grid, halo, source)
    for block in grid.blocks():
        steps, tiles = rows_of_cells(grid.window(block.spans, halo, source), source)
        given_steps = reached.steps_of(block.steps)
        found = set(range(given_steps.start, given_steps.stop))
        if grid.step_axis.unit == "label" and source.dims[0] == "step":
            # The rows between the first and the last label may be other scenes.
            assert steps <= found
            assert {min(steps), max(steps)} == {min(found), max(found)}
        else:
            assert found == steps
        assert set(reached.tiles[grid.tile(block)].tolist()) == tiles


@examples(150, 3_000)
@given(grids(), st.data())
def test_a_changed_row_touches_the_steps_and_tiles_whose_window_holds_it(
    drawn: tuple[Grid, Halo, Grid], data: st.DataObject
) -> None:
    grid, halo, source = drawn
    shape = source.step_axis.length, source.tiles
    changed = data.draw(hnp.arrays(bool, shape, elements=st.integers(0, 9).map(lambda n: n == 0)))
    touched = reach(grid, halo, source).touched(changed)
    expected = np.zeros((grid.step_axis.length, grid.tiles), bool)
    for block in grid.blocks():
        for step in block.steps:
            window = grid.window(block.narrowed(step, step + 1).spans, halo, source)
            rows = product(*rows_of_cells(window, source))
            expected[step, grid.tile(block)] = any(changed[row] for row in rows)
    np.testing.assert_array_equal(touched, expected)


# --- the ledger: what is put into it comes back from a store, whole and sealed -------------------

DAYS = st.integers(1, 9)
GRIDS = st.builds(
    lambda days, block, tile: Grid(
        time=Axis("s", 0, DAY, days, block), lon=Axis("count", 0, 1, 4, tile)
    ),
    DAYS,
    st.integers(1, 4),
    st.sampled_from([1, 2, 4]),
)


@pytest.fixture(autouse=True, scope="module")
def small_chunks() -> Iterator[None]:
    """A ledger of a few blocks spans many chunks."""
    with pytest.MonkeyPatch.context() as patch:
        for name, length in (("ROWS", 5), ("BLOCKS", 3), ("RECORDS", 2)):
            patch.setattr(ledger, f"{name}_PER_CHUNK", length)
        yield


def finished(book: Ledger, number: int, seed: int) -> tuple[BlockRows, dict[str, Any]]:
    """Any rows of a finished block, and what it was made with."""
    dice = np.random.default_rng([number, seed])
    block = book.grid.numbered(number)
    steps, parts = len(block.steps), {"options": {"seed": seed % 3}}
    files = (dice.integers(0, 256, (steps, n), "u1") for n in (ledger.STAMP, 32))
    stamps, digests = files if book.of_source else (None, None)
    return BlockRows(
        block,
        states=dice.integers(1, 5, steps, "u1"),
        digests=dice.integers(0, 256, (steps, 32), "u1"),
        standing=bytes([seed % 3]) * ledger.STANDING,
        inputs=dice.bytes(32),
        record={"notes": {"a day": "ümlaut"} if seed % 2 else {}, "run": str(seed)},
        stamps=stamps,
        files=digests,
    ), parts


def opened(book: Ledger) -> zarr.Group:
    """A new dataset that holds a ledger and nothing else."""
    root = zarr.open_group(zarr.storage.MemoryStore())
    ledger.create(root, book)
    return root


def stored(root: zarr.Group, grid: Grid) -> dict[str, Any]:
    """All that a stored ledger says."""
    book = Ledger.read(root, grid, "here")
    blocks = range(grid.step_blocks * grid.tiles)
    columns = {name: book.columns[name].tolist() for name in ledger._shapes(grid, book.of_source)}
    made = {number: book.record(number) for number in blocks if book.record(number)}
    return columns | {"records": made, "standing": book.standing_parts, "source": book.of_source}


class Model:
    """A ledger as plain dictionaries of rows."""

    def __init__(self) -> None:
        self.steps: dict[tuple[int, int], tuple[int, bytes]] = {}  # by step and tile
        self.blocks: dict[int, tuple[bytes, bytes, dict[str, Any]]] = {}
        self.files: dict[int, tuple[bytes, bytes]] = {}

    def put(self, grid: Grid, rows: BlockRows) -> None:
        tile, number = grid.tile(rows.block), grid.number(rows.block)
        for at, step in enumerate(rows.block.steps):
            self.steps[step, tile] = int(rows.states[at]), rows.digests[at].tobytes()
            if rows.files is not None and rows.stamps is not None:
                self.files[step] = rows.stamps[at].tobytes(), rows.files[at].tobytes()
        self.blocks[number] = rows.standing, rows.inputs, rows.record | {"block": rows.block.name}

    def assert_equals(self, book: Ledger) -> None:
        shape = book.grid.step_axis.length, book.grid.tiles
        for step, tile in product(*map(range, shape)):
            state, digest = self.steps.get((step, tile), (ABSENT, bytes(32)))
            assert (book.states[step, tile], book.digests[step, tile].tobytes()) == (state, digest)
        for number in range(book.grid.step_blocks * book.grid.tiles):
            standing, inputs, record = self.blocks.get(number, (bytes(16), bytes(32), None))
            assert book.columns["standings"][number].tobytes() == standing
            assert book.columns["inputs"][number].tobytes() == inputs
            known = dict(book.record(number) or {})
            assert {name: known.get(name) for name in record or {}} == (record or {})
            seal = book.seal(number) if record else bytes(32)
            assert book.columns["seals"][number].tobytes() == seal
        for step, (stamp, digest) in self.files.items():
            assert book.columns["stamps"][step].tobytes() == stamp
            assert book.columns["files"][step].tobytes() == digest


@examples(40, 400)
@given(GRIDS, st.booleans(), DAYS, st.data())
def test_a_ledger_comes_back_from_a_store_as_it_was_put_in(
    grid: Grid, source: bool, more: int, data: st.DataObject
) -> None:
    grid = Grid(time=grid.step_axis) if source else grid
    book, model = Ledger.empty(grid, source=source), Model()
    root = opened(book)

    def finish(some: list[int]) -> None:
        for number in some:
            rows, parts = finished(book, number, data.draw(st.integers(0, 9)))
            book.put(rows, parts)
            model.put(book.grid, rows)
        for number in data.draw(st.sets(st.sampled_from(some))):  # taken as made by other code
            other = b"\x07" * ledger.STANDING
            book.accept(number, other, {"code": "other"}, "a run")
            model.blocks[number] = (other, *model.blocks[number][1:])
        ledger.write(root, book, [book.grid.numbered(n) for n in some])

    def batches() -> list[list[int]]:
        numbers = range(book.grid.step_blocks * book.grid.tiles)
        return data.draw(
            st.lists(st.lists(st.sampled_from(numbers), min_size=1, unique=True), max_size=4)
        )

    for some in batches():
        finish(some)
    model.assert_equals(Ledger.read(root, grid, "here"))
    book = Ledger.read(root, grid, "here")  # as the next run finds it
    axis = grid.step_axis
    book = book.extended(grid.with_steps(replace(axis, size=axis.length + more)))
    ledger.resize(root, book)
    model.assert_equals(Ledger.read(root, book.grid, "here"))
    for some in batches():
        finish(some)
    model.assert_equals(book)
    model.assert_equals(Ledger.read(root, book.grid, "here"))


@examples(25, 400)
@given(GRIDS, st.booleans(), st.data())
def test_the_order_and_size_of_commits_leave_no_trace_in_the_ledger(
    grid: Grid, source: bool, data: st.DataObject
) -> None:
    grid = Grid(time=grid.step_axis) if source else grid
    numbers = list(range(grid.step_blocks * grid.tiles))
    made = data.draw(st.lists(st.sampled_from(numbers), min_size=1, unique=True))

    def written(batches: list[list[int]]) -> dict[str, Any]:
        book = Ledger.empty(grid, source=source)
        root = opened(book)
        for batch in batches:
            for number in batch:
                book.put(*finished(book, number, seed=number))
            ledger.write(root, book, [grid.numbered(number) for number in batch])
        return stored(root, grid)

    order = data.draw(st.permutations(made))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(made)))) | {0, len(made)})
    batches = [order[i:j] for i, j in pairwise(cuts)]
    assert written(batches) == written([sorted(made)])


@examples(40, 400)
@given(GRIDS, st.booleans(), st.data())
def test_a_seal_breaks_with_any_byte_of_what_it_seals(
    grid: Grid, source: bool, data: st.DataObject
) -> None:
    grid = Grid(time=grid.step_axis) if source else grid
    book = Ledger.empty(grid, source=source)
    number = data.draw(st.integers(0, grid.step_blocks * grid.tiles - 1))
    rows, parts = finished(book, number, seed=1)
    book.put(rows, parts)
    seal, (steps, tile) = book.seal(number), book.rows_of(number)
    sealed = [book.states[steps, tile], book.digests[steps, tile]]
    sealed += [book.columns[name][number] for name in ("standings", "inputs")]
    sealed += [book.columns[name][steps] for name in ("stamps", "files") if source]
    for column in sealed:
        at = tuple(data.draw(st.integers(0, size - 1)) for size in column.shape)
        flip = data.draw(st.integers(1, 255))
        column[at] ^= flip
        assert book.seal(number) != seal
        column[at] ^= flip
        assert book.seal(number) == seal
    record = book.record(number)
    assert record is not None
    book.records.put(number, record | {data.draw(st.sampled_from([*record, "new"])): "altered"})
    assert book.seal(number) != seal


# --- packing: exact there and back ---------------------------------------------------------------

DECLARED = sorted(
    {v.packing for v in vars(vocabulary).values() if hasattr(v, "packing")}
    | {Packing("u1", 0.2, 0, 255), Packing("u1", 0.15, -3.0, 255), Packing("i2", 0.01, 0, -999)},
    key=repr,
)
INTEGERS = [p for p in DECLARED if not p.is_float]
SCALES = st.sampled_from([1.0, 0.1, 0.01, 0.002, 1e-6, 3.0, 0.15])


@st.composite
def packings(draw: st.DrawFn, dtypes: str = "i1 u1 i2 u2 i4 u4") -> Packing:
    """Any packing whose steps double precision can tell apart."""
    dtype, scale = draw(st.sampled_from(dtypes.split())), draw(SCALES)
    info = np.iinfo(dtype)
    fill = draw(st.none() | st.sampled_from([info.min, info.max]) | st.just(min(info.max, 7)))
    offset = draw(st.integers(-3000, 3000)) * scale
    return Packing(dtype, scale, draw(st.sampled_from([0.0, offset, 290.0, -97500.0])), fill)


def every_raw(packing: Packing) -> np.ndarray:
    """All raw values of a packing; of wide ones the ends and a sample."""
    info = np.iinfo(packing.dtype)
    if info.bits <= 16:
        return np.arange(info.min, info.max + 1).astype(packing.dtype)
    sample = np.random.default_rng(0).integers(info.min, info.max, 5000, packing.dtype)
    ends = [info.min, info.min + 1, 0, info.max - 1, info.max]
    return np.concatenate([sample, np.array(ends, packing.dtype)])


@pytest.mark.parametrize("packing", INTEGERS, ids=repr)
def test_every_raw_value_of_a_declared_packing_comes_back(packing: Packing) -> None:
    raw = every_raw(packing)
    for dtype in (None, "f8"):
        np.testing.assert_array_equal(packing.pack(packing.unpack(raw, dtype), "x"), raw)


@examples(60, 3_000)
@given(packings())
def test_every_raw_value_of_any_packing_comes_back(packing: Packing) -> None:
    raw = every_raw(packing)
    for dtype in (None, "f8"):
        np.testing.assert_array_equal(packing.pack(packing.unpack(raw, dtype), "x"), raw)


@examples(300, 4_000)
@given(packings("i1 u1 i2 u2 i4 u4 i8 u8"), st.data())
def test_packing_is_exact_arithmetic_or_refuses(packing: Packing, data: st.DataObject) -> None:
    info = np.iinfo(packing.dtype)
    edges = [Fraction(e) + n for e in (info.min, info.max + 1) for n in (-2, -1, 0, 1)]
    anything = st.floats(allow_nan=False, width=data.draw(st.sampled_from([32, 64])))
    near = st.sampled_from(edges).map(lambda r: float(r * Fraction(packing.scale)) + packing.offset)
    value = data.draw(anything | near)
    try:
        (raw,) = packing.pack(np.array([value]), "x").tolist()
    except OutOfRange:
        raw = None
    if np.isinf(value):
        assert raw is None
        return
    exact = (Fraction(value) - Fraction(packing.offset)) / Fraction(packing.scale)
    steps_off = abs(Fraction(packing.offset) / Fraction(packing.scale))
    slack = Fraction(1, 2) + (abs(exact) + steps_off) / 2**50  # rounding of double precision
    if raw is not None:
        assert abs(raw - exact) <= slack
        assert info.min <= raw <= info.max and raw != packing.fill
    elif packing.fill is None or abs(exact - packing.fill) > slack:
        assert not info.min + slack < exact < info.max - slack, "refused what it holds"


@examples(40, 2_000)
@given(packings("i1 u1 i2 u2 i4"), hnp.array_shapes(min_dims=2, max_dims=3, max_side=4), st.data())
def test_a_step_at_a_time_is_the_same_as_all_at_once(
    packing: Packing, shape: tuple[int, ...], data: st.DataObject
) -> None:
    seed = data.draw(st.integers(0, 99))
    raw = np.random.default_rng(seed).choice(every_raw(packing), shape)
    values, in_f8 = packing.unpack(raw), packing.unpack(raw, "f8")
    for whole, given_values in ((packing.pack(values, "x"), values), (raw, in_f8)):
        for at in range(shape[0]):
            np.testing.assert_array_equal(packing.pack(given_values[at], "x"), whole[at])
            np.testing.assert_array_equal(packing.unpack(raw[at]), values[at])
        turned = packing.pack(np.asfortranarray(given_values), "x")
        np.testing.assert_array_equal(turned, whole)
        np.testing.assert_array_equal(packing.pack(given_values.ravel(), "x"), whole.ravel())
