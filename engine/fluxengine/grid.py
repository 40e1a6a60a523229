"""Grids, blocks and windows: pure index arithmetic on named axes.

Cell edges are integers in the axis's own quantum (seconds since 1970 for time, arc seconds for
degrees, plain counts otherwise), so that axes of different resolution meet exactly. The first axis
of a grid is its *step axis*: the ledger keeps one row for each step and tile.
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

Unit = Literal["s", "arcsec", "count", "label"]
Indices = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Axis:
    """One axis: `size` cells of `step` quanta from edge `origin`, cut into blocks.

    Parameters
    ----------
    unit : {"s", "arcsec", "count", "label"}
        The quantum of `origin` and `step`.
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
        Names of the cells of a ``label`` axis.
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
        if self.periodic and self.size is None:
            raise DeclarationError("a periodic axis needs a size")

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
    def edges(self) -> npt.NDArray[np.int64]:
        """Cell edges in quanta, shape (size + 1,)."""
        return self.origin + self.step * np.arange(self.length + 1, dtype=np.int64)

    def coordinate(self) -> npt.NDArray[np.generic]:
        """Coordinate values: day starts, degrees at cell centres, counts or labels."""
        edges = self.edges
        match self.unit:
            case "s":
                return edges[:-1].astype("datetime64[s]").astype("datetime64[ns]")
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

    def between(self, first: date, last: date) -> Axis:
        """A time axis closed to the days `first` to `last`, within its own extent."""
        begin, end = _seconds(first), _seconds(last) + DAY
        origin = max(begin, self.origin)
        own_end = end if self.size is None else self.origin + self.size * self.step
        size = (min(end, own_end) - origin) // self.step
        if size <= 0:
            raise ConfigError(
                f"nothing lies between {first} and {last}",
                mend=f"The data begin on {_day(self.origin)}"
                + ("." if self.size is None else f" and end on {_day(own_end - DAY)}."),
            )
        return replace(self, origin=origin, size=size)


def days(first: str, last: str | None = None, *, block: int = 30, chunk: int = WHOLE) -> Axis:
    """Daily time axis from `first` to `last` inclusive; no `last`, and days are appended."""
    begin = date.fromisoformat(first)
    size = None if last is None else (date.fromisoformat(last) - begin).days + 1
    return Axis("s", _seconds(begin), DAY, size, block, chunk)


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


def labels(*names: str) -> Axis:
    """Axis of named cells, each an inner chunk of its own (passes, satellites)."""
    return Axis("label", 0, 1, len(names), chunk=1, labels=names)


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
        name, axis = next(iter(self.axes.items()))
        return self if axis.unit != "s" else _grid({**self.axes, name: axis.between(first, last)})

    def blocks(self) -> Iterator[Block]:
        """Every block, tiles of the same steps together."""
        for index in product(*(range(axis.blocks) for axis in self.axes.values())):
            yield self.block(index)

    def block(self, index: tuple[int, ...]) -> Block:
        """The block at `index`."""
        pairs = zip(self.axes.items(), index, strict=True)
        return Block(index, {name: axis.span(i) for (name, axis), i in pairs})

    def tile(self, block: Block) -> int:
        """Number of the block's tile within its steps."""
        number = 0
        for axis, i in zip(list(self.axes.values())[1:], block.index[1:], strict=True):
            number = number * axis.blocks + i
        return number

    def step_name(self, step: int) -> str:
        """How a person calls the step: a day, an hour, or a number."""
        axis = self.step_axis
        if axis.unit == "label":
            return axis.labels[step]
        edge = axis.origin + step * axis.step
        if axis.unit != "s":
            return str(edge)
        moment = np.datetime64(edge, "s")
        return str(moment)[:10] if axis.step % DAY == 0 else str(moment)[:16]

    def step_day(self, step: int) -> date:
        """The day a step of a time axis begins on."""
        return date.fromisoformat(_day(self.step_axis.origin + step * self.step_axis.step))

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
            name: self._axis_window(name, spans, halo, axis) for name, axis in source.axes.items()
        }

    def _axis_window(
        self, name: str, spans: Mapping[str, slice], halo: Halo, source: Axis
    ) -> Indices:
        own = self.axes.get(name)
        if own is None:
            return np.arange(source.length, dtype=np.intp)
        if own.unit != source.unit:
            raise DeclarationError(
                f"axis '{name}' counts {own.unit} here, {source.unit} in the input"
            )
        if own.unit == "label":
            wanted = own.labels[spans[name]]
            absent = sorted(set(wanted) - set(source.labels))
            if absent:
                raise DeclarationError(
                    f"the input has no {name} called {', '.join(absent)}; it has"
                    f" {', '.join(source.labels)}"
                )
            return np.array([source.labels.index(label) for label in wanted], dtype=np.intp)
        before, after = halo(name)
        start = own.origin + (spans[name].start - before) * own.step
        stop = own.origin + (spans[name].stop + after) * own.step
        return source.cells(start, stop)


def _grid(axes: Mapping[str, Axis]) -> Grid:
    return Grid(**axes)


def _seconds(day: date) -> int:
    return (day - EPOCH).days * DAY


def _day(seconds: int) -> str:
    return str(np.datetime64(seconds, "s"))[:10]


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
