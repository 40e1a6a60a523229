"""Grids, blocks and windows: pure index arithmetic on named axes.

Cell edges are integers in the axis's own quantum (seconds or months since 1970 for time, arc
seconds for degrees, plain counts otherwise), so that axes of different resolution meet exactly. The
first axis of a grid is its *step axis*: the ledger keeps one row for each step and tile.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from itertools import product
from typing import Literal

import numpy as np
import numpy.typing as npt

from fluxengine.errors import ConfigError, DeclarationError

WHOLE = 0  # as a block length: one block holds the whole axis
DAY = 86_400  # seconds
DEGREE = 3_600  # arc seconds
EPOCH = date(1970, 1, 1)

Unit = Literal["s", "month", "arcsec", "count", "label", "static"]
TIME = ("s", "month")
Indices = npt.NDArray[np.intp]
Edges = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Axis:
    """One axis: `size` cells of `step` quanta from edge `origin`, cut into blocks.

    Parameters
    ----------
    unit : {"s", "month", "arcsec", "count", "label", "static"}
        The quantum of `origin` and `step`. A ``static`` axis has one cell, and no stage sees it.
    origin, step : int
        Lower edge of cell 0 and length of a cell, in quanta.
    size : int or None
        Number of cells; None is an open end, closed by the run's period.
    block : int
        Cells in a block (= shard); `WHOLE` for all of them.
    chunk : int
        Cells in an inner chunk; `WHOLE` for the whole block.
    periodic : bool
        The last cell touches the first, as on longitude.
    labels : tuple of str
        Names of the cells of a ``label`` axis. One that is a step axis grows as labels are added.
    """

    unit: Unit
    origin: int
    step: int
    size: int | None
    block: int = WHOLE
    chunk: int = WHOLE
    periodic: bool = False
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.step <= 0 or (self.size is not None and self.size <= 0):
            raise DeclarationError(f"an axis needs a positive step and size, not {self}")
        if self.block and self.chunk and self.block % self.chunk:
            raise DeclarationError(
                f"blocks of {self.block} do not hold whole chunks of {self.chunk}"
            )
        if self.size is None and (self.periodic or not self.block):
            raise DeclarationError("an axis without an end needs a block, and cannot be periodic")
        if self.size is not None and self.chunk and self.block_length % self.chunk:
            raise DeclarationError(
                f"blocks of {self.block_length} do not hold whole chunks of {self.chunk}"
            )

    @property
    def length(self) -> int:
        """Number of cells of a closed axis."""
        if self.size is None:
            raise DeclarationError("the axis is open: give it a period first")
        return self.size

    @property
    def block_length(self) -> int:
        """Cells in a full block."""
        return self.block or self.length

    @property
    def chunk_length(self) -> int:
        """Cells in an inner chunk."""
        return self.chunk or self.block_length

    @property
    def blocks(self) -> int:
        """Number of blocks, the last perhaps shorter."""
        return -(-self.length // self.block_length)

    @property
    def is_time(self) -> bool:
        """Whether the cells are intervals of time."""
        return self.unit in TIME

    @property
    def edges(self) -> Edges:
        """Cell edges in quanta, shape (size + 1,)."""
        return self.origin + self.step * np.arange(self.length + 1, dtype=np.int64)

    def coordinate(self) -> npt.NDArray[np.generic]:
        """Coordinate values: starts of intervals, degrees at cell centres, counts or labels."""
        edges = self.edges
        match self.unit:
            case "s":
                return edges[:-1].astype("datetime64[s]").astype("datetime64[ns]")
            case "month":
                return edges[:-1].astype("datetime64[M]").astype("datetime64[ns]")
            case "arcsec":
                return (edges[:-1] + edges[1:]) / (2 * DEGREE)
            case "label":
                return np.array(self.labels)
            case _:
                return edges[:-1]

    def cells(self, start: int, stop: int) -> Indices:
        """Cells that overlap quanta [start, stop); clips, or wraps where periodic.

        A periodic axis gives every cell asked for, the same one twice where the halo meets itself:
        a stage then finds its neighbours whether blocks are tiles or span the globe.
        """
        low = (start - self.origin) // self.step
        high = -((self.origin - stop) // self.step)
        if self.periodic:
            return np.arange(low, high, dtype=np.intp) % self.length
        return np.arange(max(low, 0), min(high, self.length), dtype=np.intp)

    def span(self, block: int) -> slice:
        """Cells of block number `block`."""
        start = block * self.block_length
        return slice(start, min(start + self.block_length, self.length))

    def ranges(self, starts: Edges, stops: Edges) -> tuple[Indices, Indices]:
        """First and last-but-one cell that overlap each interval [start, stop), clipped."""
        low = (starts - self.origin) // self.step
        high = -((self.origin - stops) // self.step)
        return np.clip(low, 0, self.length), np.clip(high, 0, self.length)

    def between(self, first: date, last: date) -> Axis:
        """A time axis closed to its cells within the days `first` to `last`, and its own extent."""
        begin, end = self._quanta(first, last)
        start = max(0, -((self.origin - begin) // self.step))
        stop = (end - self.origin) // self.step
        if self.size is not None:
            stop = min(stop, self.size)
        if stop <= start:
            own_end = "." if self.size is None else f" and end with {self.name(self.size - 1)}."
            what = "no whole month" if self.unit == "month" else "nothing"
            raise ConfigError(
                f"{what} lies between {first} and {last}.",
                mend=f"The data begin with {self.name(0)}{own_end}",
            )
        return replace(self, origin=self.origin + start * self.step, size=stop - start)

    def meets(self, first: date, last: date) -> bool:
        """Whether any cell of a time axis lies within the days `first` to `last`."""
        try:
            self.between(first, last)
        except ConfigError:
            return False
        return True

    def _quanta(self, first: date, last: date) -> tuple[int, int]:
        """Where a period of whole days begins and ends, in quanta that lie within it."""
        begin, end = _seconds(first), _seconds(last) + DAY
        return (
            int(in_unit(np.array(begin), "s", self.unit, up=True)),
            int(in_unit(np.array(end), "s", self.unit, up=False)),
        )

    def name(self, cell: int) -> str:
        """How a person calls a cell: a day, an hour, a month, a label or a number."""
        if self.unit in ("label", "static"):
            return self.labels[cell]
        edge = self.origin + cell * self.step
        if self.unit == "month":
            return str(np.datetime64(edge, "M"))
        if self.unit != "s":
            return str(edge)
        length = 10 if self.step % DAY == 0 else 16 if self.step % 60 == 0 else 19
        return str(np.datetime64(edge, "s"))[:length]

    def day(self, cell: int) -> date:
        """The day on which a cell of a time axis begins."""
        edge = np.datetime64(self.origin + cell * self.step, "M" if self.unit == "month" else "s")
        return date.fromisoformat(str(edge.astype("datetime64[D]")))


def days(first: str, last: str | None = None, *, block: int = 30, chunk: int = WHOLE) -> Axis:
    """Daily time axis from `first` to `last` inclusive; no `last`, and days are appended."""
    return every(DAY, first, last, block=block, chunk=chunk)


def every(
    seconds: int, first: str, last: str | None = None, *, block: int, chunk: int = WHOLE
) -> Axis:
    """Time axis of equal intervals from the day `first` to the end of the day `last`.

    Without a `last`, intervals are appended. Hours are ``every(3600, ...)``, the granules of a
    swath sensor ``every(300, ...)``.
    """
    begin = date.fromisoformat(first)
    extent = None if last is None else ((date.fromisoformat(last) - begin).days + 1) * DAY
    return Axis("s", _seconds(begin), seconds, extent and extent // seconds, block, chunk)


def months(first: str, last: str | None = None, *, block: int = 12, chunk: int = WHOLE) -> Axis:
    """Monthly time axis from `first` to `last` inclusive, such as ``months("1993-01")``."""
    begin = int(np.datetime64(first, "M").astype(int))
    size = None if last is None else int(np.datetime64(last, "M").astype(int)) - begin + 1
    return Axis("month", begin, 1, size, block, chunk)


def counts(start: int, stop: int, step: int = 1, *, block: int = WHOLE, chunk: int = WHOLE) -> Axis:
    """Axis of numbered cells: lines of a scene, lead times, classes.

    A grid that is ten times finer has a tenth of the `step` between the same ends.
    """
    if (stop - start) % step:
        raise DeclarationError(f"{start} to {stop} is no whole number of cells of {step}")
    return Axis("count", start, step, (stop - start) // step, block, chunk)


def degrees(
    start: float,
    stop: float,
    step: float,
    *,
    block: int = WHOLE,
    chunk: int = WHOLE,
    periodic: bool = False,
) -> Axis:
    """Axis of cells `step` degrees wide between the edges `start` and `stop`."""
    low, high, width = (round(value * DEGREE) for value in (start, stop, step))
    if (high - low) % width:
        raise DeclarationError(
            f"{start} to {stop} degrees is no whole number of {step} degree cells"
        )
    return Axis("arcsec", low, width, (high - low) // width, block, chunk, periodic)


def labels(*names: str, block: int = WHOLE) -> Axis:
    """Axis of named cells, each an inner chunk of its own (passes, satellites, scenes)."""
    return Axis("label", 0, 1, len(names), block, chunk=1, labels=names)


def static() -> Axis:
    """The step axis of what does not change, such as a map of heights: one file, one step."""
    return Axis("static", 0, 1, 1, labels=("always",))


@dataclass(frozen=True)
class Halo:
    """Cells of the output grid needed before and after a block, for each axis."""

    widths: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def __call__(self, axis: str) -> tuple[int, int]:
        """Cells before and after, along one axis."""
        return self.widths.get(axis, (0, 0))

    def __add__(self, other: Halo) -> Halo:
        names = {*self.widths, *other.widths}
        return Halo({n: (self(n)[0] + other(n)[0], self(n)[1] + other(n)[1]) for n in names})


@dataclass(frozen=True)
class Block:
    """One block of a grid: its number along each axis and the cells it owns."""

    index: tuple[int, ...]
    spans: Mapping[str, slice]

    @property
    def shape(self) -> tuple[int, ...]:
        """Cells along each axis."""
        return tuple(span.stop - span.start for span in self.spans.values())

    @property
    def name(self) -> str:
        """Such as ``0003-0-0``: fit for a task key."""
        return "-".join(f"{i:04d}" if k == 0 else str(i) for k, i in enumerate(self.index))

    @property
    def steps(self) -> range:
        """Cells along the step axis."""
        span = next(iter(self.spans.values()))
        return range(span.start, span.stop)

    def batches(self, length: int) -> Iterator[Block]:
        """The block in parts of so many steps, the last perhaps shorter."""
        for start in range(self.steps.start, self.steps.stop, length):
            yield self.narrowed(start, min(start + length, self.steps.stop))

    def narrowed(self, start: int, stop: int) -> Block:
        """The part of the block with steps [start, stop)."""
        step_axis = next(iter(self.spans))
        return replace(self, spans={**self.spans, step_axis: slice(start, stop)})


@dataclass(frozen=True, init=False)
class Grid:
    """Named axes in order; the first is the step axis.

    Examples
    --------
    >>> grid = Grid(time=days("2016-01-01", "2016-03-31"), lat=degrees(-60, 60, 1))
    >>> grid.shape
    (91, 120)
    """

    axes: Mapping[str, Axis]

    def __init__(self, **axes: Axis) -> None:
        object.__setattr__(self, "axes", dict(axes))

    def __reduce__(self) -> tuple[object, ...]:
        return _grid, (self.axes,)

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the axes."""
        return tuple(self.axes)

    @property
    def shape(self) -> tuple[int, ...]:
        """Cells along each axis."""
        return tuple(axis.length for axis in self.axes.values())

    @property
    def shard_shape(self) -> tuple[int, ...]:
        """Cells of a full block."""
        return tuple(axis.block_length for axis in self.axes.values())

    @property
    def chunk_shape(self) -> tuple[int, ...]:
        """Cells of an inner chunk."""
        return tuple(axis.chunk_length for axis in self.axes.values())

    @property
    def step_axis(self) -> Axis:
        """The axis along which the record grows."""
        return next(iter(self.axes.values()))

    @property
    def tiles(self) -> int:
        """Blocks beside one another in a step."""
        return math.prod(axis.blocks for axis in list(self.axes.values())[1:])

    def between(self, first: date, last: date) -> Grid:
        """The grid closed to a period, where its step axis is time."""
        axis = self.step_axis
        return self.with_steps(axis.between(first, last)) if axis.is_time else self

    def with_steps(self, axis: Axis) -> Grid:
        """The grid with another step axis."""
        return _grid({**self.axes, self.dims[0]: axis})

    def blocks(self) -> Iterator[Block]:
        """Every block, tiles of the same steps together."""
        for index in product(*(range(axis.blocks) for axis in self.axes.values())):
            yield self.block(index)

    def block(self, index: tuple[int, ...]) -> Block:
        """The block at `index`."""
        pairs = zip(self.axes.items(), index, strict=True)
        return Block(index, {name: axis.span(i) for (name, axis), i in pairs})

    def tile_blocks(self) -> Iterator[tuple[slice, ...]]:
        """Cells of each tile along the axes beside the step axis, in the order of `tile`."""
        others = list(self.axes.values())[1:]
        for index in product(*(range(axis.blocks) for axis in others)):
            yield tuple(axis.span(i) for axis, i in zip(others, index, strict=True))

    def tile(self, block: Block) -> int:
        """Number of the block's tile within its steps."""
        number = 0
        for axis, i in zip(list(self.axes.values())[1:], block.index[1:], strict=True):
            number = number * axis.blocks + i
        return number

    @property
    def step_blocks(self) -> int:
        """Blocks after one another along the step axis."""
        return self.step_axis.blocks

    def number(self, block: Block) -> int:
        """Number of a block in the order of `blocks`: tiles of the same steps together."""
        return block.index[0] * self.tiles + self.tile(block)

    def numbered(self, number: int) -> Block:
        """The block of a number."""
        step, tile = divmod(number, self.tiles)
        others = tuple(axis.blocks for axis in list(self.axes.values())[1:])
        return self.block((step, *(int(i) for i in np.unravel_index(tile, others))))

    def step_name(self, step: int) -> str:
        """How a person calls the step: a day, an hour, a scene, or a number."""
        return self.step_axis.name(step)

    def step_key(self, step: int) -> date | datetime | str | int:
        """What a source's `path` is told: a day, the start of a shorter interval, label, number."""
        axis = self.step_axis
        if axis.unit in ("label", "static"):
            return axis.labels[step]
        if axis.unit == "s" and axis.step % DAY:
            return datetime.fromisoformat(axis.name(step))
        return axis.day(step) if axis.is_time else axis.origin + step * axis.step

    def window(self, spans: Mapping[str, slice], halo: Halo, source: Grid) -> dict[str, Indices]:
        """Cells of `source` that a block with `spans` of this grid needs (the window rule).

        An axis that both grids share follows the block's extent and halo; an axis that only the
        source has is read whole; one that only this grid has is broadcast by the reader.

        Returns
        -------
        dict of str to integer array
            Cell numbers along each axis of `source`, in reading order.
        """
        return {
            name: self.axis_window(name, spans.get(name, slice(None)), halo, axis)
            for name, axis in source.axes.items()
        }

    def axis_window(self, name: str, span: slice, halo: Halo, source: Axis) -> Indices:
        """Cells along one axis of an input that cells `span` of this grid's axis need."""
        own = self.axes.get(name)
        if own is None or source.unit == "static":
            return np.arange(source.length, dtype=np.intp)
        check_units(name, own, source)
        if own.unit == "label":
            return labelled(name, own, source)[span]
        before, after = halo(name)
        edges = own.origin + own.step * np.array([span.start - before, span.stop + after], np.int64)
        start = in_unit(edges[:1], own.unit, source.unit, up=False)
        stop = in_unit(edges[1:], own.unit, source.unit, up=True)
        return source.cells(int(start[0]), int(stop[0]))


def check_units(name: str, own: Axis, source: Axis) -> None:
    """Raise `DeclarationError` where two axes of one name cannot be compared."""
    if own.unit != source.unit and not (own.is_time and source.is_time):
        raise DeclarationError(f"axis '{name}' counts {own.unit} here, {source.unit} in the input")


def labelled(name: str, own: Axis, source: Axis) -> Indices:
    """Where each label of an axis stands in the input's."""
    absent = sorted(set(own.labels) - set(source.labels))
    if absent:
        raise DeclarationError(
            f"the input has no {name} called {', '.join(absent)}; it has {', '.join(source.labels)}"
        )
    places = {label: at for at, label in enumerate(source.labels)}
    return np.array([places[label] for label in own.labels], dtype=np.intp)


def in_unit(edges: Edges, have: Unit, want: Unit, *, up: bool) -> Edges:
    """Edges in another unit of time; one that falls within a cell goes down, or `up`."""
    if have == want:
        return edges
    if have == "month":
        return edges.astype("datetime64[M]").astype("datetime64[s]").astype(np.int64)
    down: Edges = edges.astype("datetime64[s]").astype("datetime64[M]").astype(np.int64)
    exact = in_unit(down, "month", "s", up=False) == edges
    return np.where(exact, down, down + 1) if up else down


def _grid(axes: Mapping[str, Axis]) -> Grid:
    return Grid(**axes)


def _seconds(day: date) -> int:
    return (day - EPOCH).days * DAY


def parse_day(text: str | date) -> date:
    """A day from ISO text.

    Raises
    ------
    ConfigError
        Where the text is no day.
    """
    if isinstance(text, datetime):
        return text.date()
    if isinstance(text, date):
        return text
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"'{text}' is no day", mend="Write it as 2016-01-31.") from None
