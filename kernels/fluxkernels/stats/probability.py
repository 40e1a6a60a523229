"""How good estimates are that say how sure they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from fluxkernels.errors import OutOfRangeError, ShapeError
from fluxkernels.stats.series import filled

Array = npt.NDArray[Any]


def crps_gaussian(mean: Array, standard_deviation: Array, reference: Array) -> float:
    """Mean continuous ranked probability score of Gaussian estimates.

    Parameters
    ----------
    mean, standard_deviation, reference : float array
        Of one shape and unit. A standard deviation of 0 is a sure estimate.

    Returns
    -------
    float
        In the unit of the values, 0 is perfect; for sure estimates the mean absolute error.
        NaN where there is no point at which all are finite.

    Raises
    ------
    ShapeError
        FK103: shapes differ.
    OutOfRangeError
        FK106: a standard deviation below zero.

    References
    ----------
    Gneiting, T., and A. E. Raftery, 2007: J. Am. Stat. Assoc., 102, 359-378 (section 4.2).
    """
    m, s, y = _spread(mean, standard_deviation, reference)
    return float(crps_of_errors(y - m, s).mean()) if y.size else np.nan


def coverage(
    mean: Array, standard_deviation: Array, reference: Array, *, level: float = 0.95
) -> float:
    """Part of the reference values inside the central interval of Gaussian estimates.

    Parameters
    ----------
    mean, standard_deviation, reference : float array
        Of one shape and unit.
    level : float, optional
        Probability of the interval, above 0 and below 1: what the coverage should be.

    Returns
    -------
    float
        0 to 1; NaN where there is no point at which all are finite.

    Raises
    ------
    ShapeError
        FK103: shapes differ.
    OutOfRangeError
        FK106: a standard deviation below zero, or a level that is no probability.

    References
    ----------
    Gneiting, T., and A. E. Raftery, 2007: J. Am. Stat. Assoc., 102, 359-378.
    """
    if not 0 < level < 1:
        raise OutOfRangeError(f"{level} is no probability.", "level", "Give 0.68, not 68.")
    m, s, y = _spread(mean, standard_deviation, reference)
    return float(inside(y - m, s, level).mean()) if y.size else np.nan


def crps_of_errors(error: Array, standard_deviation: Array) -> Array:
    """Continuous ranked probability score of each Gaussian estimate, by its error.

    Parameters
    ----------
    error, standard_deviation : float64 array
        Finite, of one shape and unit; a standard deviation of 0 is a sure estimate.

    Returns
    -------
    float64 array
        Of that shape and unit.

    References
    ----------
    Gneiting, T., and A. E. Raftery, 2007: J. Am. Stat. Assoc., 102, 359-378 (section 4.2).
    """
    z = np.divide(error, standard_deviation, out=np.zeros_like(error), where=standard_deviation > 0)
    density = np.exp(-0.5 * z**2) / np.sqrt(2.0 * np.pi)
    score = z * (2.0 * ndtr(z) - 1.0) + 2.0 * density - 1.0 / np.sqrt(np.pi)
    return np.where(standard_deviation > 0, standard_deviation * score, np.abs(error))


def inside(error: Array, standard_deviation: Array, level: float) -> Array:
    """Which errors are within the central interval of Gaussian estimates.

    Parameters
    ----------
    error, standard_deviation : float64 array
        Of one shape and unit.
    level : float
        Probability of the interval.

    Returns
    -------
    bool array
        Of that shape.
    """
    half = ndtri(0.5 + level / 2.0) * filled(standard_deviation)
    within: Array = np.abs(filled(error)) <= half
    return within


def _spread(mean: Array, standard_deviation: Array, reference: Array) -> tuple[Array, Array, Array]:
    """Finite points of a Gaussian estimate and its reference."""
    m, s, y = _finite(filled(mean), filled(standard_deviation), filled(reference))
    if s.size and s.min() < 0:
        raise OutOfRangeError(
            f"one is {s.min():g}.", "standard_deviation", "Give roots of variances."
        )
    return m, s, y


def _finite(*arrays: Array) -> list[Array]:
    """The points at which all are finite, in float64."""
    if len({array.shape for array in arrays}) > 1:
        raise ShapeError(
            f"shapes {', '.join(str(array.shape) for array in arrays)} differ.",
            "score",
            "Give arrays of one shape.",
        )
    both = np.logical_and.reduce([np.isfinite(array) for array in arrays])
    return [array[both].astype(np.float64) for array in arrays]
