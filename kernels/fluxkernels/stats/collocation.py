"""Triple collocation: the errors of three measurements of the same thing, none of which is true."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fluxkernels.errors import SampleError, ShapeError
from fluxkernels.stats.agreement import RESAMPLES, Interval, as_intervals, resampled
from fluxkernels.stats.series import filled

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

_FEWEST = 10


class Collocation(NamedTuple):
    """What three measurements tell of one another; arrays of three, in their order.

    Parameters
    ----------
    points : int
        Where all three are finite.
    error : float64 array, shape (3,)
        Standard deviation of each one's random error, in its own unit and scale. NaN where the
        sample contradicts what is assumed: a variance below zero.
    correlation : float64 array, shape (3,)
        Of each with what all three have in common.
    scale : float64 array, shape (3,)
        Of each, relative to the first.
    """

    points: int
    error: Floats
    correlation: Floats
    scale: Floats


def triple_collocation(first: Array, second: Array, third: Array) -> Collocation:
    """Random errors of three collocated measurements.

    Parameters
    ----------
    first, second, third : float array
        Of one shape; points count where all are finite and none is masked. Their errors must be
        independent of one another and of the truth: two products that share an input have no
        independent errors.

    Returns
    -------
    Collocation

    Raises
    ------
    ShapeError
        FK103: shapes differ.
    SampleError
        FK115: too few points.

    Notes
    -----
    With covariances Q the error variance of the first is ``Q11 - Q12 Q13 / Q23``, its squared
    correlation ``Q12 Q13 / (Q11 Q23)`` (eq. 4 and 5 of McColl et al., 2014). What two of them
    see and the third does not, such as scales below its cell, counts as the third's error.

    References
    ----------
    McColl et al.: Extended triple collocation. Geophys. Res. Lett. 41, 6229-6236, 2014.
    """
    _, together = _together(first, second, third)
    variance, correlation, scale = _told(np.cov(together))
    with np.errstate(invalid="ignore"):
        return Collocation(together.shape[1], np.sqrt(variance), correlation, scale)


class Resampled(NamedTuple):
    """What three measurements tell of one another, with intervals; tuples of three.

    Parameters
    ----------
    points, clusters : int
        Where all three are finite, and of how many clusters.
    variance : tuple of float
        Of each one's random error, as the sample gives it: below zero where the sample contradicts
        what is assumed.
    error, correlation, scale : tuple of Interval
        As of `Collocation`.
    contradicted : tuple of float
        Share of the resamples in which each one's variance of error is below zero.
    """

    points: int
    clusters: int
    variance: tuple[float, ...]
    error: tuple[Interval, ...]
    correlation: tuple[Interval, ...]
    scale: tuple[Interval, ...]
    contradicted: tuple[float, ...]


def resampled_collocation(
    first: Array, second: Array, third: Array, clusters: Array, *, resamples: int = RESAMPLES
) -> Resampled:
    """Triple collocation with 95 % intervals by resampling whole clusters, such as stations.

    Parameters
    ----------
    first, second, third : float array, shape (point,)
        As of `triple_collocation`.
    clusters : array, shape (point,)
        What each point belongs to: any labels. Points whose label is masked do not count; with
        fewer than two labels there are no intervals.
    resamples : int

    Returns
    -------
    Resampled

    Raises
    ------
    ShapeError, SampleError
        As of `triple_collocation`.
    """
    there, together = _together(first, second, third, labels=clusters)
    _, member = np.unique(np.asarray(clusters)[there], return_inverse=True)
    number = int(member.max()) + 1
    sums = _sums(together - together.mean(axis=1, keepdims=True), member, number)
    whole = np.stack(_told(_covariance(sums.sum(axis=0))))
    samples = np.stack(_told(_covariance(resampled(sums, resamples))), axis=-2)
    with np.errstate(invalid="ignore"):
        below = (samples[:, 0] < 0).mean(axis=0) if len(samples) else np.full(3, np.nan)
        error = as_intervals(np.sqrt(whole[0]), np.sqrt(samples[:, 0]), number)
    return Resampled(
        together.shape[1],
        number,
        tuple(map(float, whole[0])),
        tuple(error),
        tuple(as_intervals(whole[1], samples[:, 1], number)),
        tuple(as_intervals(whole[2], samples[:, 2], number)),
        tuple(map(float, below)),
    )


def _together(*three: Array, labels: Array | None = None) -> tuple[Mask, Floats]:
    """Where all three have a value, and a label if there are any; and these, shape (3, point)."""
    given = [filled(one).astype(np.float64) for one in three]
    shapes = [one.shape for one in (*given, *(() if labels is None else (np.asarray(labels),)))]
    if len(set(shapes)) > 1:
        raise ShapeError(f"shapes {shapes} differ.", "first, second, third")
    there: Mask = np.logical_and.reduce([np.isfinite(one) for one in given])
    if np.ma.isMA(labels):
        there &= ~np.ma.getmaskarray(labels)
    together = np.stack([one[there] for one in given])
    if together.shape[1] < _FEWEST:
        raise SampleError(f"{together.shape[1]} points have all three.", "first, second, third")
    return there, together


def _told(q: Floats) -> tuple[Floats, Floats, Floats]:
    """Variance of error, correlation and scale of covariances of shape (..., 3, 3)."""
    after, last = np.array([1, 2, 0]), np.array([2, 0, 1])
    own = np.arange(3)
    here = q[..., own, own]
    with np.errstate(invalid="ignore", divide="ignore"):
        shared = q[..., own, after] * q[..., own, last] / q[..., after, last]
        correlation = np.sqrt(np.where(shared >= 0, shared, np.nan) / here)
        ratios = (q[..., 1, 2] / q[..., 0, 2], q[..., 1, 2] / q[..., 0, 1])
    scale = np.stack([np.ones_like(ratios[0]), *ratios], axis=-1)
    return here - shared, correlation, scale


def _sums(together: Floats, member: Array, number: int) -> Floats:
    """Of each cluster: points, the three, and their products; shape (cluster, 4, 4)."""
    with_one = np.concatenate([np.ones((1, together.shape[1])), together])
    made = np.empty((number, 4, 4))
    for row, column in np.ndindex(4, 4):
        made[:, row, column] = np.bincount(member, with_one[row] * with_one[column], number)
    return made


def _covariance(sums: Floats) -> Floats:
    """Covariances of sums of shape (..., 4, 4), as of `_sums`."""
    n = sums[..., :1, :1]
    mean = sums[..., 1:, :1] / n
    centred = sums[..., 1:, 1:] / n - mean * np.swapaxes(mean, -1, -2)
    return np.asarray(centred * n / np.maximum(n - 1.0, 1.0))
