"""Trends by rank: Theil-Sen's slope, and whether it is there by Mann-Kendall and by Hamed-Rao."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import fft
from scipy.special import ndtr, ndtri

from fluxkernels.errors import OutOfRangeError
from fluxkernels.stats import inversions
from fluxkernels.stats.series import FEWEST, as_series, check_times

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

_NUMBERS = 1 << 18  # numbers of a block of series, so that it stays near the processor


class RankTrend(NamedTuple):
    """Trends of series by rank, each of the shape of the values without their first axis.

    Parameters
    ----------
    number : int array
        Of values that are there. Where they are fewer than three, all else is NaN.
    slope : float64 array
        Theil and Sen's: the median slope of all pairs, in the values' unit a unit of time.
    intercept : float64 array
        Median of the values less `slope` times the median of their times: at time zero.
    score : float64 array
        Kendall's S: rising pairs less falling ones.
    variance : float64 array
        Of the score, by chance alone and with independent values; ties are accounted for.
    tau : float64 array
        The score as a share of the pairs.
    p_mann_kendall : float64 array
        Of no trend, two-sided, as if each value were independent of the one before.
    p_hamed_rao : float64 array
        The same with the variance widened by the ranks' autocorrelation; NaN where that leaves
        nothing of it.
    """

    number: npt.NDArray[np.int64]
    slope: Floats
    intercept: Floats
    score: Floats
    variance: Floats
    tau: Floats
    p_mann_kendall: Floats
    p_hamed_rao: Floats


def rank_trend(values: Array, times: Array, *, significance: float = 0.05) -> RankTrend:
    """Theil-Sen slopes of series with the tests of Mann and Kendall and of Hamed and Rao.

    Missing values are left out, and so is the gap that they leave between their neighbours in
    Hamed and Rao's autocorrelation.

    Parameters
    ----------
    values : float array, shape (time, ...)
        NaN where there is none.
    times : array, shape (time,)
        Ascending; in the unit of time in which slopes are wanted.
    significance : float
        Of an autocorrelation that Hamed and Rao's variance takes in.

    Returns
    -------
    RankTrend

    Raises
    ------
    ShapeError
        FK103: times are not along the values.
    TimeError
        FK109: times do not ascend.
    OutOfRangeError
        FK106: `significance` is no probability.

    Notes
    -----
    Slopes are exact, but found in O(n log n): pairs with a slope below b are inversions of the
    series less b times its time, so the middle slope is searched by counting them (Matousek, 1991,
    has the idea). Variances as Hamed and Rao (1998, eq. 10 and 16): ranks of the series less its
    trend, all lags, those that are not significant left out.

    References
    ----------
    Hamed and Rao: A modified Mann-Kendall trend test for autocorrelated data. J. Hydrol. 204,
    182-196, 1998. Sen: Estimates of the regression coefficient based on Kendall's tau. J. Am.
    Stat. Assoc. 63, 1379-1389, 1968.

    Examples
    --------
    >>> import numpy as np
    >>> found = rank_trend(np.array([1.0, 3.0, 2.0, 5.0, np.nan, 6.0]), np.arange(6.0))
    >>> float(found.slope), int(found.number)
    (1.0, 5)
    """
    if not 0.0 < significance < 1.0:
        raise OutOfRangeError(f"{significance} is no probability.", "significance")
    series, shape = as_series(values)
    when = check_times(times, len(series))
    parts = [_of_block(block, when, significance) for block in _blocks(series)]
    columns = (np.concatenate(part).reshape(shape) for part in zip(*parts, strict=True))
    return RankTrend(*columns)


def _blocks(series: Array) -> Iterator[Array]:
    """Some series at a time, each in a row."""
    step = max(1, _NUMBERS // max(1, len(series)))
    for first in range(0, max(1, series.shape[1]), step):
        yield np.ascontiguousarray(series[:, first : first + step].T)


def _of_block(series: Array, times: Floats, significance: float) -> tuple[Array, ...]:
    """What `RankTrend` has, of series in rows."""
    many, length = series.shape
    rows, when = np.empty((many, length)), np.empty((many, length))
    counts = np.empty(many, np.int64)
    falling, level, variance, slope = (np.empty(many) for _ in range(4))
    table = inversions.room(length)
    inversions.pack(series, times, rows, when, counts)
    orders = np.argsort(rows, axis=1)
    inversions.scores(rows, orders, counts, falling, level, variance, table)
    inversions.middle_slopes(rows, when, counts, falling, level, slope, table)
    pairs = counts * (counts - 1) / 2.0
    score = pairs - level - 2.0 * falling
    widened = variance * _widening(rows, when, counts, slope, significance)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = (
            slope,
            _medians(rows, orders, counts) - slope * _middles(when, counts),
            score,
            variance,
            score / pairs,
            _two_sided(score, variance),
            _two_sided(score, widened),
        )
    enough = counts >= FEWEST
    return counts, *(np.where(enough, one, np.nan) for one in found)


def _medians(rows: Floats, orders: npt.NDArray[np.int64], counts: Array) -> Floats:
    """Of each row, in the order that sorts it."""
    lower, upper = (
        np.take_along_axis(rows, np.take_along_axis(orders, at[:, None], 1), 1)[:, 0]
        for at in (np.maximum(counts - 1, 0) // 2, np.minimum(counts // 2, rows.shape[1] - 1))
    )
    median: Floats = 0.5 * (lower + upper)
    return median


def _middles(when: Floats, counts: Array) -> Floats:
    """Median time of each row."""
    return _medians(when, np.broadcast_to(np.arange(when.shape[1]), when.shape), counts)


def _two_sided(score: Floats, variance: Floats) -> Floats:
    """Probability of a score so far from zero by chance, with its correction for continuity."""
    beyond = np.maximum(np.abs(score) - 1.0, 0.0) / np.sqrt(variance)
    return np.where(score == 0.0, 1.0, 2.0 * ndtr(-beyond))


def _widening(
    rows: Floats, when: Floats, counts: Array, slope: Floats, significance: float
) -> Floats:
    """By how much autocorrelation widens the variance of each row's score."""
    rest, ranks, widening = np.empty_like(rows), np.empty_like(rows), np.empty(len(rows))
    inversions.detrended(rows, when, counts, slope, rest)
    inversions.ranked(rest, np.argsort(rest, axis=1), counts, ranks)
    length = rows.shape[1]
    size = fft.next_fast_len(2 * length - 1, real=True)
    spectrum = fft.rfft(ranks, size, axis=1)
    products = fft.irfft(spectrum.real**2 + spectrum.imag**2, size, axis=1)
    inversions.widened(products, counts, ndtri(1.0 - significance / 2.0), widening)
    return np.where(widening > 0.0, widening, np.nan)
