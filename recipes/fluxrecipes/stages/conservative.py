"""From any grid of latitudes and longitudes to another, by the areas in which cells overlap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fluxengine.declare import Arrays, PlainStage, Variable
from fluxengine.grid import DEGREE, Axis
from fluxrecipes import vocabulary as cf
from fluxrecipes.stages.regrid import VALID_FLAG

if TYPE_CHECKING:
    import xarray as xr

Doubles = npt.NDArray[np.float64]
Flags = npt.NDArray[np.uint8]
TURN = 360.0
EDGE = 1e-6  # of a cell's share: where the valid area is the wanted share but for rounding


@dataclass(frozen=True)
class Conservative(PlainStage):
    """First-order conservative regridding of valid cells, with a state.

    A cell's value is the mean of the valid cells that overlap it, weighed by the area they share
    with it on the sphere; where all is valid, the mean over any region that both grids bound is
    kept. `Regrid` counts cells instead, of which a whole number must fit. Where too little of a
    cell is valid, its state is the reason that covers most of what is not land.

    Parameters
    ----------
    fields : tuple of (str, Variable)
        Name in the input, beside which its flag stands, and what it becomes.
    reasons : tuple of (int, int)
        From the flag codes of the input to states.
    lat, lon : Axis
        The grid to bring them to, in degrees.
    min_valid : float
        Share of a cell's area that must be valid.
    rows : str
        The input's dimension from south to north: ``lat``, or another with `edges`.
    edges : tuple of float
        Bounds of the input's rows [degrees], from the south; none where `rows` is ``lat``, whose
        cells are equally wide.
    origin : int
        The state of a value.
    valid : tuple of int
        Flag codes of the input that stand for a value.
    """

    fields: tuple[tuple[str, Variable], ...]
    reasons: tuple[tuple[int, int], ...]
    lat: Axis
    lon: Axis
    min_valid: float = 0.5
    rows: str = "lat"
    edges: tuple[float, ...] = ()
    origin: int = cf.OBSERVED
    valid: tuple[int, ...] = (VALID_FLAG,)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Each variable and its flags."""
        return tuple(n for name, _ in self.fields for n in (name, f"{name}_flag"))

    @property
    def outputs(self) -> tuple[Variable, ...]:
        """Each variable and its state."""
        return tuple(made for _, v in self.fields for made in (v, cf.state_of(v.name)))

    def load(self) -> Callable[[Arrays], Arrays]:
        """The stage's function."""
        return self._run

    def _run(self, arrays: Arrays) -> Arrays:
        made: dict[str, xr.DataArray] = {}
        first = arrays[self.fields[0][0]]
        shares = Shares.between(self._row_edges(first), first["lon"].values, self.lat, self.lon)
        for name, variable in self.fields:
            values, flags = arrays[name], arrays[f"{name}_flag"]
            mean, state = self._regridded(values.values, flags.values, shares)
            made[variable.name] = self._on_target(values, mean)
            made[f"{variable.name}_state"] = self._on_target(values, state)
        return made

    def _regridded(
        self, values: npt.NDArray[Any], flags: Flags, shares: Shares
    ) -> tuple[npt.NDArray[np.float32], Flags]:
        valid = np.isin(flags, self.valid) & np.isfinite(values)
        mean = shares.mean(values, valid, self.min_valid)
        why_not = self._why_not(flags, shares.of(valid), shares)
        state = np.where(np.isfinite(mean), self.origin, why_not)
        return mean.astype(np.float32), state.astype(np.uint8)

    def _why_not(self, flags: Flags, valid: Doubles, shares: Shares) -> Flags:
        """The reason that covers most of what is not land; land if all is."""
        most, why = np.full(valid.shape, EDGE), np.full(valid.shape, cf.LAND, np.uint8)
        states = np.zeros(256, np.uint8)
        for code, state in self.reasons:
            states[code] = state
        because = states[flags]
        for state in sorted({s for _, s in self.reasons} - {cf.LAND}):
            area = shares.of(because == state)
            why = np.where(area > most, np.uint8(state), why)
            most = np.maximum(area, most)
        # Valid cells, but too few of them, beside land: the rest of the cell cannot be retrieved.
        partly = (most <= EDGE) & (valid > EDGE)
        return np.where(partly, np.uint8(cf.COAST), why)

    def _row_edges(self, values: xr.DataArray) -> Doubles:
        if self.edges:
            return np.array(self.edges)
        centres = np.asarray(values[self.rows].values, np.float64)
        return np.clip(edges_about(centres), -90, 90)

    def _on_target(self, values: xr.DataArray, made: npt.NDArray[Any]) -> xr.DataArray:
        import xarray as xr

        front = values.dims[:-2]
        coords = {name: values[name].values for name in front}
        coords |= {"lat": self.lat.coordinate(), "lon": self.lon.coordinate()}
        return xr.DataArray(made, dims=(*front, "lat", "lon"), coords=coords)


@dataclass(frozen=True)
class Shares:
    """How much of each target cell's area each source cell covers, latitude apart from longitude.

    Parameters
    ----------
    rows, columns : sparse matrix
        (target, source): shares of a target row's area and of a target column's width.
    """

    rows: Any
    columns: Any

    @classmethod
    def between(cls, edges: Doubles, lon: npt.NDArray[Any], to_lat: Axis, to_lon: Axis) -> Shares:
        """From rows with such edges and columns with such centres to a regular grid."""
        from scipy.sparse import csr_array

        south, north = _bounds(to_lat)
        rows = _overlaps(*(np.sin(np.radians(e)) for e in (edges[:-1], edges[1:], south, north)))
        west, east = _bounds(to_lon)
        centres = np.asarray(lon, np.float64)
        whole = _first_of_each(centres % TURN)  # a window may hold a column at both of its ends
        around = edges_about(centres[whole])
        columns = np.zeros((len(west), len(centres)))
        for turn in (-TURN, 0.0, TURN):
            begin, end = around[:-1] + turn, around[1:] + turn
            columns[:, whole] += _overlaps(begin, end, west, east)
        return cls(csr_array(rows), csr_array(columns))

    def mean(self, values: npt.NDArray[Any], valid: npt.NDArray[np.bool_], least: float) -> Doubles:
        """Means of the valid cells; NaN where they cover less than the share `least`."""
        area = self.of(valid)
        total = self.of(np.where(valid, values, 0))
        enough = area >= max(least - EDGE, EDGE)
        return np.where(enough, total / np.where(enough, area, 1), np.nan)

    def of(self, values: npt.NDArray[Any]) -> Doubles:
        """Sums of values weighed by shares: (..., source rows, columns) to the target's."""
        *front, rows, columns = values.shape
        steps = values.reshape(-1, rows, columns)
        to = self.rows.shape[0], self.columns.shape[0]
        sums = np.empty((len(steps), *to))
        for step, made in zip(steps, sums, strict=True):  # each stays in the processor's cache
            made[:] = (self.columns @ (self.rows @ step.astype(np.float64)).T).T
        return sums.reshape(*front, *to)


def _bounds(axis: Axis) -> tuple[Doubles, Doubles]:
    """Lower and upper bounds of an axis's cells [degrees]."""
    edges = axis.edges / DEGREE
    return edges[:-1], edges[1:]


def edges_about(centres: Doubles) -> Doubles:
    """Edges of equally wide cells, (n + 1,), through a seam of longitudes where there is one.

    Raises
    ------
    ValueError
        Where the cells are not equally wide.
    """
    steps = np.diff(centres) % TURN
    width = float(steps[0])
    if not np.allclose(steps, width, rtol=0, atol=1e-4):
        raise ValueError(f"cells are not equally wide: {steps.min():g} to {steps.max():g} degrees")
    edges: Doubles = centres[0] + width * (np.arange(centres.size + 1) - 0.5)
    return edges


def _first_of_each(values: Doubles) -> npt.NDArray[np.intp]:
    """Where each value stands first, in order."""
    return np.sort(np.unique(np.round(values, 6), return_index=True)[1])


def _overlaps(low: Doubles, high: Doubles, begin: Doubles, end: Doubles) -> Doubles:
    """Share of each target [begin, end) that each source [low, high) covers: (target, source)."""
    common = np.minimum(high, end[:, np.newaxis]) - np.maximum(low, begin[:, np.newaxis])
    shares: Doubles = np.clip(common, 0, None) / (end - begin)[:, np.newaxis]
    return shares
