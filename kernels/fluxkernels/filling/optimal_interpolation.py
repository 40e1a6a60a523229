"""Optimal interpolation in space and time: each cell from the best observations about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fluxkernels.errors import GridError, ShapeError, TimeError
from fluxkernels.filling.covariance import KM_PER_DEGREE, Covariance, Grid

Array = npt.NDArray[Any]
Integers = npt.NDArray[np.int64]


class Estimate(NamedTuple):
    """A map and how sure it is.

    Parameters
    ----------
    values : float64 array, shape (lat, lon)
        Anomalies.
    standard_error : float64 array, shape (lat, lon)
        Of the signal: an observation's noise comes on top, in squares. In the same unit.
    """

    values: Array
    standard_error: Array


@dataclass(frozen=True)
class Neighbourhood:
    """Which observations a cell is estimated from.

    Parameters
    ----------
    steps : int, optional
        Steps of time to look back and ahead.
    radius : float, optional
        Half width of the window east, west, north and south, km.
    count : int, optional
        Observations at most: those in the window that go best with the cell.
    """

    steps: int = 3
    radius: float = 900.0
    count: int = 40

    def __post_init__(self) -> None:
        if self.steps < 0 or not self.radius > 0 or self.count < 1:
            raise GridError(
                f"nothing can be estimated from {self}.",
                "neighbourhood",
                "Give a radius above zero and at least one observation.",
            )


DEFAULT = Neighbourhood()


def interpolate(
    anomalies: Array,
    at: int,
    grid: Grid,
    covariance: Covariance | Sequence[Covariance],
    *,
    where: npt.NDArray[np.bool_] | None = None,
    neighbourhood: Neighbourhood = DEFAULT,
) -> Estimate:
    """Least-squares estimate of one step's anomalies from those about it (simple kriging).

    What is observed is estimated like anything else: it is returned as it was only where the
    covariance has no noise.

    Parameters
    ----------
    anomalies : float array, shape (time, lat, lon)
        From a climatology; NaN in gaps. Only steps within the neighbourhood of `at` are used.
    at : int
        The step to estimate.
    grid : Grid
        Of the anomalies.
    covariance : Covariance or sequence of them, one for each latitude
        In the squared unit of the anomalies.
    where : bool array, shape (lat, lon), optional
        Cells to estimate. Default: all.
    neighbourhood : Neighbourhood, optional

    Returns
    -------
    Estimate
        NaN where nothing was asked for. Where no observation is in the window the best estimate
        is the climatology: zero, with the signal's standard deviation for its error.

    Raises
    ------
    ShapeError
        FK103: anomalies, latitudes, covariances and `where` do not belong together.
    TimeError
        FK109: `at` is not among the steps.
    GridError
        FK116: the window reaches around the globe and would see a cell twice.

    Notes
    -----
    Distances are those in the plane that touches the sphere at the cell's latitude, so that the
    covariance of any set of neighbours is positive definite.

    References
    ----------
    Bretherton, F. P., R. E. Davis and C. B. Fandry, 1976: Deep-Sea Res., 23, 559-582.
    """
    rows = anomalies.shape[1] if anomalies.ndim == 3 else -1
    models = [covariance] * rows if isinstance(covariance, Covariance) else list(covariance)
    wanted = np.ones(anomalies.shape[1:], bool) if where is None else where
    _check(anomalies, at, grid, models, wanted)
    window = slice(max(0, at - neighbourhood.steps), at + neighbourhood.steps + 1)
    near, now = anomalies[window].astype(np.float64, copy=False), at - window.start
    values, error = (np.full(wanted.shape, np.nan) for _ in range(2))
    for row in np.flatnonzero(wanted.any(axis=1)).tolist():
        columns = np.flatnonzero(wanted[row])
        plan = _plan(row, grid, models[row], neighbourhood, near.shape, now)
        values[row, columns], error[row, columns] = _one_row(near, columns, plan, grid.periodic)
    return Estimate(values, error)


def _check(
    anomalies: Array, at: int, grid: Grid, models: Sequence[Covariance], wanted: Array
) -> None:
    """Refuse what does not belong together."""
    shape, rows = anomalies.shape, len(grid.latitudes)
    if len(shape) != 3 or shape[1] != rows or wanted.shape != shape[1:] or len(models) != rows:
        raise ShapeError(
            f"anomalies {shape}, cells wanted {wanted.shape}, {rows} latitudes and "
            f"{len(models)} covariances do not belong together.",
            "optimal interpolation",
            "Give (time, lat, lon), (lat, lon), and one of the others for each latitude.",
        )
    if not 0 <= at < shape[0]:
        raise TimeError(f"there is no step {at} among {shape[0]}.", "at", "Count steps from 0.")


class _Plan(NamedTuple):
    """What all cells of a row have in common."""

    places: Integers
    """Steps of time, row and column (from the cell) of the window's places, the best first."""
    codes: Integers
    """Of each place; the difference of two tells where their covariance is in the table."""
    table: Array
    """Covariance at each difference of codes, shifted by `centre`."""
    centre: int
    model: Covariance
    number: int
    """Observations for each cell at most."""


def _plan(
    row: int,
    grid: Grid,
    model: Covariance,
    neighbourhood: Neighbourhood,
    shape: tuple[int, ...],
    now: int,
) -> _Plan:
    """Order a row's window by covariance, and tabulate the covariance of any two of its places.

    On a regular grid the covariance of two neighbours depends on nothing but the difference of
    their places; one table serves the whole row.
    """
    span = _half_widths(row, grid, neighbourhood)
    if grid.periodic and 2 * span[2] + 1 > shape[2]:
        raise GridError(
            f"at latitude {grid.latitudes[row]:g} a window of {neighbourhood.radius:g} km either "
            f"side is wider than the {shape[2]} columns there are.",
            "neighbourhood.radius",
            "Make it smaller, or stay farther from the poles.",
        )
    span = tuple(min(half, size - 1) for half, size in zip(span, shape, strict=True))
    lags = np.ix_(*(np.arange(-2 * half, 2 * half + 1) for half in span))
    table = model(grid.lag(row, *lags))
    ranges = [
        np.arange(max(-span[0], -now), min(span[0], shape[0] - 1 - now) + 1),
        np.arange(max(-span[1], -row), min(span[1], shape[1] - 1 - row) + 1),
        np.arange(-span[2], span[2] + 1),
    ]
    places = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, 3)
    codes = places @ np.array([table.shape[1] * table.shape[2], table.shape[2], 1])
    centre = table.size // 2
    flat = table.ravel()
    best = np.argsort(-flat[centre + codes], kind="stable")
    origin = np.array([now, row, 0])
    return _Plan(
        places[best] + origin, codes[best], flat, centre, model, min(neighbourhood.count, best.size)
    )


def _half_widths(row: int, grid: Grid, neighbourhood: Neighbourhood) -> tuple[int, ...]:
    """Half widths of the window in steps of time, rows and columns."""
    one = np.ones(1)
    lag = grid.lag(row, one, one, one)
    north = abs(float(lag.north[0])) or KM_PER_DEGREE
    east = max(float(lag.east[0]), 1e-6)  # at a pole all columns are one place
    return (
        neighbourhood.steps,
        int(neighbourhood.radius // north),
        int(neighbourhood.radius // east),
    )


def _one_row(near: Array, columns: Integers, plan: _Plan, periodic: bool) -> tuple[Array, Array]:
    """Estimate some cells of a row."""
    place, value, known = _choose(near, columns, plan, periodic)
    codes = plan.codes[place]
    with_cell = np.where(known, plan.table[plan.centre + codes], 0.0)
    among = plan.table[plan.centre + codes[:, :, None] - codes[:, None, :]]
    # What is missing to the full count becomes an observation of nothing: weight zero.
    among *= known[:, :, None] & known[:, None, :]
    diagonal = np.arange(plan.number)
    among[:, diagonal, diagonal] = plan.model.signal + plan.model.noise
    weights = np.linalg.solve(among, with_cell[..., None])[..., 0]
    variance = plan.model.signal - (weights * with_cell).sum(axis=1)
    return (weights * value).sum(axis=1), np.sqrt(np.maximum(variance, 0.0))


def _choose(
    near: Array, columns: Integers, plan: _Plan, periodic: bool
) -> tuple[Integers, Array, npt.NDArray[np.bool_]]:
    """The best observations of each cell: place in the window, value, and whether there is one.

    Returns
    -------
    place, value, known : array, shape (cell, count)
    """
    width = near.shape[2]
    time, row, shift = plan.places.T
    column = columns[:, None] + shift
    start = (time * near.shape[1] + row) * width
    inside = None if periodic else (column >= 0) & (column < width)
    index = start + (column % width)
    found = near.ravel()[index]
    valid = np.isfinite(found) if inside is None else np.isfinite(found) & inside
    rank = np.cumsum(valid, axis=1, dtype=np.int32)
    cell, order = np.nonzero(valid & (rank <= plan.number))
    slot = rank[cell, order] - 1
    place = np.zeros((columns.size, plan.number), np.int64)
    value = np.zeros(place.shape)
    known = np.zeros(place.shape, bool)
    place[cell, slot], value[cell, slot], known[cell, slot] = order, found[cell, order], True
    return place, value, known
