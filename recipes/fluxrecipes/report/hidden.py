"""Hide and fill: how well a field can be completed from what is around it.

Patches of 9° by 9° on a chessboard are hidden from the ascending pass between 45° S and 45° N,
and filled from the rest of that pass and from the descending one, twelve hours away: by the
plainest means (the mean of the nearest value of the same pass and of the other pass's value),
and by kriging with covariances set by hand. The board is laid four times, each time shifted, so
that nearly every cell is hidden once or twice. How large the errors are says how a field varies in
space and time at the scales that matter to gap filling; a real and a simulated day must agree.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from fluxrecipes.report.realism import Day

Float = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]

ROWS = slice(15, 105)  # of the day's 1° rows: 45° S to 45° N
_PATCH = 9  # degrees
_SHIFTS = 4
_NEIGHBOURS = 20
_POWER = 1.4
_PASSES_APART = 12.0  # hours


class Covariance(NamedTuple):
    """Lengths of a field's correlation, exp(-distance^1.4), and its noise as a share."""

    zonal: float
    """Degrees."""
    meridional: float
    """Degrees."""
    time: float
    """Hours."""
    noise: float


COVARIANCES = {
    "wind_speed": Covariance(6.0, 4.0, 16.0, 0.08),
    "water_vapour": Covariance(9.0, 6.0, 30.0, 0.02),
    "cloud_liquid_water": Covariance(4.0, 3.2, 9.0, 0.15),
    "rain_rate": Covariance(3.0, 2.3, 7.0, 0.30),
}


def hide_and_fill(day: Day, name: str) -> tuple[float, float]:
    """Root mean square error of the simple filler and of kriging at hidden 1° cells."""
    cells = day.cells(name)[:, ROWS]
    simple, kriged = [], []
    for shift in range(_SHIFTS):
        hidden = _board(cells.shape[1], shift) & np.isfinite(cells[0])
        truth = cells[0][hidden]
        left = np.stack([np.where(hidden, np.nan, cells[0]), cells[1]])
        simple.append(_simple(left)[hidden] - truth)
        kriged.append(_krige(left, hidden, COVARIANCES[name]) - truth)
    return _rms(simple), _rms(kriged)


def _rms(parts: list[Float]) -> float:
    return float(np.sqrt(np.mean(np.concatenate(parts) ** 2)))


def _board(rows: int, shift: int) -> Mask:
    """Chessboard of patches, shape (rows, 360), moved north-east by the shift."""
    move = shift * _PATCH // _SHIFTS
    row = (np.arange(rows)[:, None] + move) // _PATCH
    column = (np.arange(360)[None, :] + 2 * move) // _PATCH
    return np.asarray((row + column) % 2 == 0)


def _simple(left: Float) -> Float:
    """Mean of the nearest value of the same pass and of the other pass; else the former."""
    thrice = np.concatenate([left[0]] * 3, axis=1)
    nearest = ndimage.distance_transform_edt(
        ~np.isfinite(thrice), return_distances=False, return_indices=True
    )
    own = thrice[tuple(nearest)][:, 360:720]
    return np.asarray(np.where(np.isfinite(left[1]), 0.5 * (own + left[1]), own))


def _krige(left: Float, hidden: Mask, covariance: Covariance) -> Float:
    """Simple kriging of departures from the smoothed zonal mean, from the nearest values."""
    count = np.isfinite(left).sum(axis=(0, 2))
    zonal = ndimage.uniform_filter1d(np.nansum(left, axis=(0, 2)), 5) / ndimage.uniform_filter1d(
        count.astype("f8"), 5
    )
    which, row, column = np.nonzero(np.isfinite(left))
    values = np.tile(left[which, row, column] - zonal[row], 3)
    around = [_places(which, row, column + turn, covariance) for turn in (-360, 0, 360)]
    tree = cKDTree(np.concatenate(around))
    at_row, at_column = np.nonzero(hidden)
    distance, near = tree.query(_places(0 * at_row, at_row, at_column, covariance), _NEIGHBOURS)
    # In single precision, half the time: the errors below stay as they are to seven digits.
    places, noise = tree.data[near].astype("f4"), covariance.noise * np.eye(_NEIGHBOURS, dtype="f4")
    squares = sum((axis[:, :, None] - axis[:, None]) ** 2 for axis in np.moveaxis(places, -1, 0))
    matrix = np.exp(-(squares ** (_POWER / 2))) + noise
    to_each = np.exp(-(distance.astype("f4") ** _POWER))
    weights = np.linalg.solve(matrix, to_each[..., None])[..., 0]
    return np.asarray((weights * values[near]).sum(axis=1) + zonal[at_row])


def _places(
    which: NDArray[Any], row: NDArray[Any], column: NDArray[Any], covariance: Covariance
) -> Float:
    """Coordinates in units of the correlation's lengths."""
    return np.stack(
        [
            column / covariance.zonal,
            row / covariance.meridional,
            which * (_PASSES_APART / covariance.time),
        ],
        axis=1,
    )
