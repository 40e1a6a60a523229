"""Triple collocation: the errors of three measurements of the same thing, none of which is true."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fluxkernels.errors import SampleError, ShapeError

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

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
        Of one shape; points count where all are finite. Their errors must be independent of one
        another and of the truth: two products that share an input have no independent errors.

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
    given = [np.asarray(one, np.float64) for one in (first, second, third)]
    if len({one.shape for one in given}) > 1:
        raise ShapeError(f"shapes {[one.shape for one in given]} differ.", "first, second, third")
    together = np.stack([one.ravel() for one in given])
    together = together[:, np.isfinite(together).all(axis=0)]
    points = together.shape[1]
    if points < _FEWEST:
        raise SampleError(f"{points} points have all three.", "first, second, third")
    q = np.cov(together)
    after, last = np.array([1, 2, 0]), np.array([2, 0, 1])
    own, here = np.arange(3), np.diag(q)
    with np.errstate(invalid="ignore", divide="ignore"):
        shared = q[own, after] * q[own, last] / q[after, last]
        correlation = np.sqrt(np.where(shared >= 0, shared, np.nan) / here)
        error = np.sqrt(here - shared)
        scale = np.array([1.0, q[1, 2] / q[0, 2], q[1, 2] / q[0, 1]])
    return Collocation(points, error, correlation, scale)
