"""The mean seasonal cycle of each cell, from gappy years.

A fit needs nothing of its sample but sums, and sums of two samples add up. So a long record is
gathered piece by piece, and a year that is never gathered (the test year) is never used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from fluxkernels.errors import SampleError, ShapeError

Array = npt.NDArray[Any]

TERMS = 5  # mean, annual and semi-annual cycle
YEAR = 365.2425  # days


def harmonics(days: npt.ArrayLike) -> Array:
    """Mean, annual and semi-annual cycle at given days.

    Parameters
    ----------
    days : array_like, shape (time,)
        Days since the start of any fixed year; the cycle's year has 365.2425 of them.

    Returns
    -------
    float64 array, shape (time, 5)
    """
    angle = 2.0 * np.pi / YEAR * np.asarray(days, np.float64)
    waves = [wave(n * angle) for n in (1, 2) for wave in (np.cos, np.sin)]
    return np.stack([np.ones_like(angle), *waves], axis=-1)


@dataclass(frozen=True, eq=False)
class SeasonalSums:
    """What a sample tells of the seasonal cycle of each cell; two of them add up.

    Parameters
    ----------
    products : float64 array, shape (5, 5, lat, lon)
        Sums of products of the harmonics over the observed steps; ``[0, 0]`` counts them.
    moments : float64 array, shape (5, lat, lon)
        Sums of each harmonic times the value.
    squares : float64 array, shape (lat, lon)
        Sums of squared values.
    """

    products: Array
    moments: Array
    squares: Array

    def __add__(self, other: SeasonalSums) -> SeasonalSums:
        """Sums over both samples."""
        return SeasonalSums(
            self.products + other.products,
            self.moments + other.moments,
            self.squares + other.squares,
        )

    def times(self, weight: Array) -> SeasonalSums:
        """The sums of each cell, shape (lat, lon), taken so many times."""
        return SeasonalSums(self.products * weight, self.moments * weight, self.squares * weight)

    @property
    def count(self) -> Array:
        """Observations of each cell, shape (lat, lon)."""
        count: Array = self.products[0, 0]
        return count


def gather(values: Array, days: npt.ArrayLike) -> SeasonalSums:
    """Sum up a sample.

    Parameters
    ----------
    values : float array, shape (time, lat, lon)
        NaN where there is no value. To get the climatology of an occurrence, 0 and 1.
    days : array_like, shape (time,)
        As in `harmonics`.

    Returns
    -------
    SeasonalSums

    Raises
    ------
    ShapeError
        FK103: `values` is not (time, lat, lon), or `days` not along it.
    """
    terms = harmonics(days)
    if values.ndim != 3 or terms.shape != (len(values), TERMS):
        raise ShapeError(
            f"values have shape {values.shape} and days {terms.shape[:-1]}.",
            "seasonal climatology",
            "Give values (time, lat, lon) and a day for each time.",
        )
    observed = np.isfinite(values)
    present = observed.astype(np.float64)
    known = np.where(observed, values, 0.0).astype(np.float64, copy=False)
    pairs = terms[:, :, None] * terms[:, None, :]
    return SeasonalSums(
        np.tensordot(pairs, present, (0, 0)),
        np.tensordot(terms, known, (0, 0)),
        np.einsum("t...,t...->...", known, known),
    )


@dataclass(frozen=True, eq=False)
class Climatology:
    """A seasonal cycle for each cell.

    Parameters
    ----------
    coefficients : float64 array, shape (5, lat, lon)
        Of the terms of `harmonics`, in the unit of the values; NaN where nothing was observed.
    spread : float64 array, shape (lat, lon)
        Standard deviation of the values about the cycle, in the same unit.
    """

    coefficients: Array
    spread: Array

    def at(self, days: npt.ArrayLike) -> Array:
        """The cycle at given days.

        Parameters
        ----------
        days : array_like, shape (time,)
            As in `harmonics`.

        Returns
        -------
        float64 array, shape (time, lat, lon)
        """
        return np.tensordot(harmonics(np.atleast_1d(days)), self.coefficients, (1, 0))


def fit(
    sums: SeasonalSums,
    *,
    borrowed: float = 10.0,
    radius: int = 2,
    damping: float = 1.0,
    periodic: bool = True,
) -> Climatology:
    """Least-squares cycle of each cell, helped by its neighbours where it has few observations.

    Each cell is given `borrowed` observations more, spread like those of the square of cells
    about it: a cell with thousands hardly notices, one with none takes its neighbours' cycle.
    `damping` observations more say that there is no cycle, so that where ice hides a season the
    cycle does not run away in it.

    Parameters
    ----------
    sums : SeasonalSums
        Of the training sample.
    borrowed : float, optional
        Weight of the neighbourhood, in observations.
    radius : int, optional
        Half width of the neighbourhood, in cells.
    damping : float, optional
        Weight of no cycle, in observations.
    periodic : bool, optional
        Whether the last longitude borders on the first.

    Returns
    -------
    Climatology
        NaN in cells whose whole neighbourhood was never observed.

    Raises
    ------
    SampleError
        FK115: no cell has any observation, or without `borrowed` and `damping` a cell's
        observations do not determine its cycle.

    Notes
    -----
    The normal equations of all cells are solved at once. Ridge regression as in Hoerl and
    Kennard (1970), the mean left alone.

    References
    ----------
    Hoerl, A. E., and R. W. Kennard, 1970: Technometrics, 12, 55-67.
    """
    near = _neighbourhood(sums, radius, periodic)
    share = np.divide(borrowed, near.count, out=np.zeros_like(near.count), where=near.count > 0)
    pooled = sums + near.times(share)
    known = pooled.count > 0
    if not known.any():
        raise SampleError(
            "no cell has an observation.", "sums", "Gather a sample that holds values."
        )
    products = np.moveaxis(pooled.products[:, :, known], -1, 0)
    moments = np.moveaxis(pooled.moments[:, known], -1, 0)
    ridge = damping * np.diag([0.0, 1.0, 1.0, 1.0, 1.0])
    solved = _solve(products + ridge, moments)
    explained = 2.0 * np.einsum("ni,ni->n", solved, moments)
    explained -= np.einsum("ni,nij,nj->n", solved, products, solved)
    variance = np.maximum(pooled.squares[known] - explained, 0.0) / pooled.count[known]
    coefficients = np.full(pooled.moments.shape, np.nan)
    coefficients[:, known] = solved.T
    spread = np.full(pooled.squares.shape, np.nan)
    spread[known] = np.sqrt(variance)
    return Climatology(coefficients, spread)


def _solve(products: Array, moments: Array) -> Array:
    """Solve the normal equations, or say that they have no one solution."""
    conditions = np.linalg.cond(products)
    if not (conditions < 1e12).all():
        raise SampleError(
            f"the observations of {int((conditions >= 1e12).sum())} cells do not determine a "
            "seasonal cycle.",
            "sums",
            "Give more steps, or borrow from neighbours and damp the cycle.",
        )
    solved: Array = np.linalg.solve(products, moments[..., None])[..., 0]
    return solved


def _neighbourhood(sums: SeasonalSums, radius: int, periodic: bool) -> SeasonalSums:
    """Sums over the square of cells about each cell, the cell itself included."""

    def total(values: Array) -> Array:
        along = _running_sum(values, radius, -1, "wrap" if periodic else "constant")
        return _running_sum(along, radius, -2, "constant")

    return SeasonalSums(total(sums.products), total(sums.moments), total(sums.squares))


def _running_sum(values: Array, radius: int, axis: int, mode: Literal["wrap", "constant"]) -> Array:
    """Sum of 2 radius + 1 neighbours; added up afresh, so that nothing but zeros gives zero."""
    width = [(0, 0)] * values.ndim
    width[axis] = (radius, radius)
    windows = sliding_window_view(np.pad(values, width, mode), 2 * radius + 1, axis)
    total: Array = windows.sum(axis=-1)
    return total
