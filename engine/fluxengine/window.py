"""Which steps and tiles of an input each block of a grid reads: the window rule, in columns.

`Grid.window` gives the cells of one block, for reading. A plan of a hundred thousand blocks asks
only which rows of the input's ledger they rest on; along each axis those are worked out once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import numpy.typing as npt

from fluxengine.errors import DeclarationError
from fluxengine.grid import Axis, Grid, Halo, Indices, check_units, in_unit, labelled

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Reach:
    """Rows of an input's ledger that the steps and tiles of a grid rest on.

    Parameters
    ----------
    low, high : integer arrays, shape (steps,)
        The input's steps in the window of each own step: from `low`, before `high`.
    tiles : tuple of integer arrays
        The input's tiles in the window of each own tile.
    """

    low: Indices
    high: Indices
    tiles: tuple[Indices, ...]

    def steps_of(self, steps: range) -> slice:
        """The input's steps in the window of a range of own steps."""
        if not len(steps):
            return slice(0, 0)
        part = slice(steps.start, steps.stop)
        return slice(int(self.low[part].min()), int(self.high[part].max()))

    def touched(self, changed: Flags) -> Flags:
        """Own steps and tiles whose window holds a changed row of the input.

        Parameters
        ----------
        changed : bool array, shape (steps of the input, tiles of the input)

        Returns
        -------
        bool array, shape (steps, tiles)
        """
        found = np.zeros((len(self.low), len(self.tiles)), bool)
        if not changed.any():
            return found
        for tile, theirs in enumerate(self.tiles):
            count = np.concatenate([[0], np.cumsum(changed[:, theirs].any(axis=1))])
            found[:, tile] = count[self.high] > count[self.low]
        return found


@dataclass(frozen=True)
class WindowCells:
    """The cells of an input that a block, or a batch of it, sees.

    Parameters
    ----------
    grid : Grid
        The input's; of a partial one with its steps stretched to those that are wanted.
    cells : mapping of str to integer array
        Numbers along each axis of `grid`.
    stored : mapping of str to integer array
        Numbers of those that there are, along each axis of what is stored.
    steps : slice
        Where their steps stand among those wanted.
    """

    grid: Grid
    cells: Mapping[str, Indices]
    stored: Mapping[str, Indices]
    steps: slice

    @property
    def shape(self) -> tuple[int, ...]:
        """Cells along each axis."""
        return tuple(len(cells) for cells in self.cells.values())

    @property
    def is_whole(self) -> bool:
        """Whether all that is wanted is there."""
        return self.steps == slice(0, self.shape[0])


def window_cells(
    grid: Grid, spans: Mapping[str, slice], halo: Halo, source: Grid, *, partial: bool = False
) -> WindowCells:
    """The cells of `source` that `spans` of `grid` need; see `Grid.window`.

    A partial input may lack steps of them, or be open, which is to say that nothing is stored.

    Raises
    ------
    DeclarationError
        Where a partial input's steps are none of the grid's, or no intervals.
    """
    if not partial:
        cells = grid.window(spans, halo, source)
        return WindowCells(source, cells, cells, slice(0, len(cells[source.dims[0]])))
    name, axis = source.dims[0], source.step_axis
    own = grid.axes.get(name)
    if own is None or axis.unit in ("label", "static"):
        raise DeclarationError(f"a partial input needs the grid's own intervals of '{name}'")
    before, after = halo(name)
    span = spans[name]
    edges = own.origin + own.step * np.array([span.start - before, span.stop + after], np.int64)
    low = (in_unit(edges[:1], own.unit, axis.unit, up=False)[0] - axis.origin) // axis.step
    high = -((axis.origin - in_unit(edges[1:], own.unit, axis.unit, up=True)[0]) // axis.step)
    wide = replace(axis, origin=axis.origin + int(low) * axis.step, size=int(high - low))
    cells = grid.window(spans, halo, source.with_steps(wide))
    numbers = cells[name] + int(low)
    there = np.flatnonzero((numbers >= 0) & (numbers < (axis.size or 0)))
    steps = slice(int(there[0]), int(there[-1]) + 1) if len(there) else slice(0, 0)
    return WindowCells(source.with_steps(wide), cells, {**cells, name: numbers[steps]}, steps)


def runs(cells: Indices, chunk: int) -> list[slice]:
    """Spans of an axis that hold these cells: of neighbours, small gaps within a chunk included.

    No gap is larger than what is wanted: on a fine grid the rest of a chunk may fill the memory.

    Parameters
    ----------
    cells : integer array
        In any order, and a cell several times where a window goes round the axis.
    chunk : int
        Cells that are read together.
    """
    there = np.unique(cells)
    step = np.diff(there)
    apart = (step > 1) & ((np.diff(there // chunk) > 0) | (step > len(there)))
    parts = np.split(there, np.flatnonzero(apart) + 1)
    return [slice(int(part[0]), int(part[-1]) + 1) for part in parts if len(part)]


def reach(grid: Grid, halo: Halo, source: Grid) -> Reach:
    """Which rows of `source` the blocks of `grid` rest on.

    Raises
    ------
    DeclarationError
        Where the step axis of one is another axis of the other: their ledgers do not match.
    """
    step, their_step = grid.dims[0], source.dims[0]
    if their_step in grid.dims[1:] or step in source.dims[1:]:
        raise DeclarationError(
            f"the steps of one dataset are {step}, of the other {their_step}, and both have both:"
            " a shared step axis must come first in both."
        )
    low, high = _steps(step, grid.step_axis, halo, source)
    return Reach(low, high, _tiles(grid, halo, source))


def _steps(name: str, own: Axis, halo: Halo, source: Grid) -> tuple[Indices, Indices]:
    theirs = source.step_axis
    if source.dims[0] != name:  # lacked by the block: read whole
        return np.zeros(own.length, np.intp), np.full(own.length, theirs.length, np.intp)
    check_units(name, own, theirs)
    if own.unit == "label":
        places = labelled(name, own, theirs)
        return places, places + 1
    before, after = halo(name)
    starts = own.edges[:-1] - before * own.step
    stops = own.edges[1:] + after * own.step
    return theirs.ranges(
        in_unit(starts, own.unit, theirs.unit, up=False),
        in_unit(stops, own.unit, theirs.unit, up=True),
    )


def _tiles(grid: Grid, halo: Halo, source: Grid) -> tuple[Indices, ...]:
    """The input's tile numbers for each own tile."""
    names = grid.dims[1:]
    numbers: list[dict[int, Indices]] = []
    for name, axis in list(source.axes.items())[1:]:
        own = grid.axes.get(name)
        places = range(own.blocks) if own is not None else range(1)
        numbers.append({i: _blocks(grid, name, i, halo, axis) for i in places})
    found = []
    for index in product(*(range(grid.axes[name].blocks) for name in names)):
        at = dict(zip(names, index, strict=True))
        tiles = np.zeros(1, np.intp)
        for (name, axis), along in zip(list(source.axes.items())[1:], numbers, strict=True):
            tiles = (tiles[:, None] * axis.blocks + along[at.get(name, 0)][None, :]).ravel()
        found.append(tiles)
    return tuple(found)


def _blocks(grid: Grid, name: str, number: int, halo: Halo, axis: Axis) -> Indices:
    """Blocks along an axis of the input that one own block touches."""
    own = grid.axes.get(name)
    if own is None:
        return np.arange(axis.blocks, dtype=np.intp)
    cells = grid.axis_window(name, own.span(number), halo, axis)
    return np.unique(cells // axis.block_length)
