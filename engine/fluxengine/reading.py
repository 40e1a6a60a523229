"""What a block reads: windows of its inputs, as stages see them and as they were stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any

import numpy as np

from fluxengine.declare import NEVER_WRITTEN, Array, Output, Read, Variable, stored_as
from fluxengine.errors import DeclarationError
from fluxengine.grid import Block, Grid, Halo
from fluxengine.outages import stored_values
from fluxengine.place import Place
from fluxengine.repository import stored_array
from fluxengine.window import Flags, WindowCells, runs, window_cells

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True)
class Upstream:
    """Where an input lies: place of the dataset, snapshot, and what it stores on which grid."""

    path: Place
    snapshot: str
    outputs: tuple[Output, ...]


Inputs = Mapping[str, Upstream]  # by dataset; a partial one without a step in the run is not there


@dataclass(frozen=True)
class StoredWindow:
    """A variable over a window: its values, and the packed ones that they were read from."""

    values: xr.DataArray
    raw: Array
    variable: Variable

    def holds(self, values: xr.DataArray, variable: Variable) -> bool:
        """Whether an array is this very one, and is stored in the same way."""
        return (
            values.data is self.values.data
            and values.dims == self.values.dims
            and (variable.packing, variable.flags) == (self.variable.packing, self.variable.flags)
        )

    def as_stored(self) -> xr.DataArray:
        """The packed values, with coordinates."""
        return self.values.copy(deep=False, data=self.raw)


@dataclass(frozen=True)
class _Window:
    """Cells of an input's grid, and what a stage is told of them."""

    cells: WindowCells
    kept: tuple[int | slice, ...]
    dims: tuple[str, ...]
    coords: xr.Coordinates

    @classmethod
    def of(cls, cells: WindowCells, own: Mapping[str, Flags]) -> _Window:
        """What a stage is told: no static axis, and along a halo which cells are the block's."""
        import xarray as xr

        axes = cells.grid.axes
        seen = {name: axis for name, axis in axes.items() if axis.unit != "static"}
        kept = tuple(slice(None) if name in seen else 0 for name in axes)
        coords = {name: axis.coordinate()[cells.cells[name]] for name, axis in seen.items()}
        # Made once: an index for each array took a third of the time that xarray took.
        marks = {f"own_{name}": (name, own[name]) for name in seen if name in own}
        shared = xr.Coordinates(coords).assign(marks)
        return cls(cells, kept, tuple(coords), shared)


def read_window(
    grid: Grid, inputs: Inputs, read: Read, part: Block, halo: Halo
) -> dict[str, StoredWindow]:
    """Variables of an input over a block's window, unpacked, with coordinates.

    They go by the names of `Read.names`.

    Parameters
    ----------
    grid : Grid
        Of the dataset that is made.
    inputs : mapping of str to Upstream
    read : Read
    part : Block
        Of `grid`: the block, or a batch of it.
    halo : Halo
    """
    windows: dict[str, _Window] = {}
    found = {}
    upstream = inputs.get(read.dataset.name)
    outputs = upstream.outputs if upstream else read.dataset.outputs
    with stored_values(str(upstream.path if upstream else "")):
        for name, known_by in zip(read.variables, read.names, strict=True):
            output, variable = stored_as(outputs, name)
            if output.group not in windows:
                cells = window_cells(grid, part.spans, halo, output.grid, partial=read.partial)
                windows[output.group] = _Window.of(cells, _own(grid, part, halo, cells))
            window = windows[output.group]
            raw = _raw(upstream, output, variable, window.cells)
            found[known_by] = _unpacked(raw[window.kept], variable, window)
    return found


def _own(grid: Grid, part: Block, halo: Halo, window: WindowCells) -> dict[str, Flags]:
    """Which cells of a window, along each axis with a halo, are those of the block."""
    axes = {name: axis for name, axis in window.grid.axes.items() if name in halo.widths}
    own = {name: grid.axis_window(name, part.spans[name], Halo(), axes[name]) for name in axes}
    return {name: np.isin(window.cells[name], own[name]) for name in axes}


def _raw(
    upstream: Upstream | None, output: Output, variable: Variable, window: WindowCells
) -> Array:
    """Packed values of a window; none where the input has no steps."""
    if upstream is None or window.steps == slice(0, 0):
        return _nothing(variable, window.shape)
    array = stored_array(upstream.path, upstream.snapshot, output.named(variable))
    stored = _selected(array, tuple(window.stored.values()))
    if window.is_whole:
        return stored
    raw = _nothing(variable, window.shape)
    raw[window.steps] = stored
    return raw


def _nothing(variable: Variable, shape: tuple[int, ...]) -> Array:
    fill = NEVER_WRITTEN if variable.is_flag else variable.packing.zarr_fill
    return np.full(shape, fill, variable.packing.dtype)


def _unpacked(raw: Array, variable: Variable, window: _Window) -> StoredWindow:
    import xarray as xr

    values = raw if variable.is_flag else variable.packing.unpack(raw)
    # What is handed on unchanged is stored as it was read: it must not be changed in place.
    values.flags.writeable = False
    made = xr.DataArray(values, window.coords, window.dims, name=variable.name)
    return StoredWindow(made, raw, variable)


def _selected(array: Any, cells: tuple[Array, ...]) -> Array:
    """Cells of a stored array. Zarr takes forty times as long to gather them as for slices."""
    each = [runs(index, chunk) for index, chunk in zip(cells, array.chunks, strict=True)]
    covered = [np.r_[tuple(spans)] if spans else np.arange(0) for spans in each]
    found = _joined(array, each)
    for axis, (index, there) in enumerate(zip(cells, covered, strict=True)):
        if not np.array_equal(index, there):
            found = found.take(np.searchsorted(there, index), axis)
    return found


def _joined(array: Any, each: list[list[slice]]) -> Array:
    """All that spans of each axis hold, side by side."""
    if all(len(spans) == 1 for spans in each):
        whole: Array = array[tuple(spans[0] for spans in each)]
        return whole
    targets = [_side_by_side(spans) for spans in each]
    found = np.empty([spans[-1].stop if spans else 0 for spans in targets], array.dtype)
    for target, region in zip(product(*targets), product(*each), strict=True):
        found[target] = array[region]
    return found


def _side_by_side(spans: list[slice]) -> list[slice]:
    ends = np.cumsum([0, *(span.stop - span.start for span in spans)]).tolist()
    return [slice(*pair) for pair in pairwise(ends)]


@dataclass(frozen=True)
class Cells:
    """Cells of one of a dataset's own grids, by their coordinates."""

    grid: Grid
    labels: Mapping[str, Array]

    @classmethod
    def of(cls, output: Output, main: Grid, part: Block) -> Cells:
        """A block's cells, or those of a batch of it, on the grid of one output."""
        spans = output.spans(main, part)
        axes = output.grid.axes
        return cls(
            output.grid, {name: axes[name].coordinate()[span] for name, span in spans.items()}
        )

    def of_values(self, values: xr.DataArray) -> xr.DataArray:
        """These cells alone, dimensions in the grid's order; a lacking one is broadcast.

        Raises
        ------
        DeclarationError
            Where the values lack a cell, or have a dimension that the grid has not.
        """
        dims = self.grid.dims
        if set(values.dims) - set(dims):
            raise DeclarationError(f"a stage gives {values.name} on {values.dims}, not {dims}.")
        lacking = {name: self.labels[name] for name in dims if name not in values.dims}
        if lacking:
            values = values.expand_dims(lacking)
        places = {name: _found(values, name, labels) for name, labels in self.labels.items()}
        return values.isel(places).transpose(*dims)


def _found(values: xr.DataArray, axis: str, labels: Array) -> slice:
    """Where a block's own coordinates stand: a halo may hold some of them a second time."""
    size, length = values.sizes[axis], len(labels)
    if axis not in values.coords and size == length:
        return slice(None)
    there = values[axis].values
    for start in np.flatnonzero(_same(there[: max(0, size - length + 1)], labels[:1])).tolist():
        if _same(there[start : start + length], labels).all():
            return slice(start, start + length)
    raise DeclarationError(f"a stage gives {values.name} without the block's own cells of '{axis}'")


def _same(found: Array, wanted: Array) -> Flags:
    """Where coordinates are equal; a computed one may be off by rounding."""
    if wanted.dtype.kind == "f" and found.dtype.kind == "f":
        return np.isclose(found, wanted, rtol=1e-9, atol=1e-6)
    equal: Flags = found == wanted
    return equal
