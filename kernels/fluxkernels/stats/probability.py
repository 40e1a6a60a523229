"""How good estimates are that say how sure they are."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from fluxkernels.errors import OutOfRangeError, ShapeError

Array = npt.NDArray[Any]


class Brier(NamedTuple):
    """Brier score of a probability of occurrence, and what it is made of.

    Parameters
    ----------
    points : int
        Points compared.
    score : float
        Mean squared difference of probability and occurrence: 0 is perfect.
    reference : float
        That of the reference: of its own probabilities, or of the sample's frequency.
    skill : float
        1 - score / reference.
    reliability : float
        Mean squared difference of the probability and the frequency with which it comes true,
        over bins of probability: 0 is best.
    resolution : float
        Mean squared difference of those frequencies and the sample's: large is good.
    uncertainty : float
        Variance of the occurrence in the sample.
    """

    points: int
    score: float
    reference: float
    skill: float
    reliability: float
    resolution: float
    uncertainty: float


def brier(
    probability: Array, occurred: Array, reference: Array | None = None, *, bins: int = 10
) -> Brier:
    """Brier score with its decomposition, over the points where all are finite.

    Parameters
    ----------
    probability : float array
        0 to 1.
    occurred : float array of 0, 1 and NaN, or bool array
        Whether it did (it rained).
    reference : float array, optional
        Probabilities to beat, such as a climatology's. Default: the sample's own frequency.
    bins : int, optional
        Equal intervals of probability for the decomposition.

    Returns
    -------
    Brier
        NaN scores where there is no point.

    Raises
    ------
    ShapeError
        FK103: shapes differ.
    OutOfRangeError
        FK106: a probability outside 0 to 1.

    Notes
    -----
    ``score = reliability - resolution + uncertainty`` up to the variation of probabilities
    within a bin; exactly so where each bin holds a single value (Murphy, 1973).

    References
    ----------
    Brier, G. W., 1950: Mon. Weather Rev., 78, 1-3.
    Murphy, A. H., 1973: J. Appl. Meteorol., 12, 595-600.
    """
    parts = _finite(probability, occurred, *(() if reference is None else (reference,)))
    p, o = parts[0], parts[1]
    if not o.size:
        return Brier(0, *[np.nan] * 6)
    if min(part.min() for part in parts) < 0 or max(part.max() for part in parts) > 1:
        raise OutOfRangeError(
            "a value is not between 0 and 1.", "Brier score", "Give parts of 1, not percent."
        )
    frequency = float(o.mean())
    uncertainty = frequency * (1.0 - frequency)
    to_beat = uncertainty if reference is None else _mean_square(parts[2] - o)
    score = _mean_square(p - o)
    bin_ = np.minimum((p * bins).astype(int), bins - 1)
    share, said, came = _of_bins(bin_, p, o)
    return Brier(
        int(o.size),
        score,
        to_beat,
        1.0 - score / to_beat if to_beat > 0 else np.nan,
        float(share @ (said - came) ** 2),
        float(share @ (came - frequency) ** 2),
        uncertainty,
    )


def _of_bins(bin_: Array, probability: Array, occurred: Array) -> tuple[Array, Array, Array]:
    """Share of the points, mean probability and frequency of each bin that has any."""
    number = np.bincount(bin_)
    used = number > 0
    said, came = (np.bincount(bin_, x)[used] / number[used] for x in (probability, occurred))
    return number[used] / bin_.size, said, came


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
    if not y.size:
        return np.nan
    error = y - m
    z = np.divide(error, s, out=np.zeros_like(error), where=s > 0)
    density = np.exp(-0.5 * z**2) / np.sqrt(2.0 * np.pi)
    score = s * (z * (2.0 * ndtr(z) - 1.0) + 2.0 * density - 1.0 / np.sqrt(np.pi))
    return float(np.where(s > 0, score, np.abs(error)).mean())


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
    return float((np.abs(y - m) <= ndtri(0.5 + level / 2.0) * s).mean()) if y.size else np.nan


def log_rmse(estimate: Array, reference: Array, *, offset: float) -> float:
    """Root mean square error of log(x + offset), for values such as rain that are mostly zero.

    Parameters
    ----------
    estimate, reference : float array
        Of one shape and unit, not below zero.
    offset : float
        In the same unit: values well below it count as alike. For rain in mm/h, 0.1.

    Returns
    -------
    float
        In powers of e; NaN where there is no point at which both are finite.

    Raises
    ------
    ShapeError
        FK103: shapes differ.
    OutOfRangeError
        FK106: a value at or below minus the offset, or an offset that is not above zero.
    """
    x, y = _finite(estimate, reference)
    if not offset > 0 or (x.size and not min(x.min(), y.min()) > -offset):
        raise OutOfRangeError(
            f"the logarithm of a value plus {offset} does not exist.",
            "log_rmse",
            "Give an offset above zero and values that are not negative.",
        )
    return float(np.sqrt(_mean_square(np.log((x + offset) / (y + offset))))) if x.size else np.nan


def _mean_square(x: Array) -> float:
    return float(np.mean(x**2))


def _spread(mean: Array, standard_deviation: Array, reference: Array) -> tuple[Array, Array, Array]:
    """Finite points of a Gaussian estimate and its reference."""
    m, s, y = _finite(mean, standard_deviation, reference)
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
