"""Standard errors of means over days and regions, from those published for each cell and day.

Dividing by the square root of the number of values is wrong twice: what is systematic does not
become less, and random errors of days and cells near each other are alike.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fluxengine.errors import FluxforgeError
from fluxrecipes.sphere import arc, unit_vectors

Floats = npt.NDArray[np.float64]

_SAME = 0.01  # km: rounding makes no two places of one
_ROWS = 256  # cells whose distances from all others are held at once


class WrongErrors(FluxforgeError, ValueError):
    """Standard errors that do not belong together, or of which no mean can be told."""

    code = "FF741"


class ErrorOfMean(NamedTuple):
    """Standard error of a mean, and the systematic part of it; random² = total² - systematic²."""

    total: float
    systematic: float


def effective_number(number: int, correlation_days: float) -> float:
    """How many independent errors have a mean as good as that of so many days in a row.

    Errors of days k apart are correlated by r(k) = exp(-k / T). The variance of the mean of n is
    that of one times (1 + 2 sum_k (1 - k / n) r(k)) / n, with k from 1 to n - 1, after Bayley and
    Hammersley, The "effective" number of independent observations in an autocorrelated time
    series, J. R. Stat. Soc. (Suppl.) 8, 184-197, 1946.

    Parameters
    ----------
    number : int
        Days, 1 or more.
    correlation_days : float
        T, 0 or more; infinite for errors that are the same on all days.

    Returns
    -------
    float
        From 1 to `number`.
    """
    lags = np.arange(1, number)
    weights = 1.0 - lags / number
    return float(number / (1.0 + 2.0 * (weights * _fading(lags, correlation_days)).sum()))


def error_of_mean(
    total: npt.ArrayLike,
    systematic: npt.ArrayLike,
    *,
    correlation_days: float,
    correlation_kilometres: float = math.inf,
    latitude: npt.ArrayLike | None = None,
    longitude: npt.ArrayLike | None = None,
    both_passes: bool = True,
) -> ErrorOfMean:
    """Standard error of a mean over days in a row, over cells, or over both.

    Systematic parts are taken as the same on all days and, for want of more, in all cells: for a
    large region that is an upper bound. Random parts r of days and cells are correlated by
    exp(-t / T) exp(-d / L). The mean's random variance is the sum over all pairs of
    w r w' r' exp(-t / T) exp(-d / L), where w are the weights of the mean: of `effective_number`,
    with errors that need not be alike. T is that of single passes: days that are means of two of
    them, 12 hours apart, are correlated by exp(-t / T) (1 + cosh(12 h / T)) / (1 + exp(-12 h / T)).

    Parameters
    ----------
    total, systematic : array_like, shape (time,) or (time, cell)
        Standard errors of consecutive days and their systematic parts, as published. NaN where
        there is no value: it does not count in the mean either.
    correlation_days : float
        T, the attribute ``random_error_correlation_time_days`` of the published errors; 0 or more,
        or infinite.
    correlation_kilometres : float
        L, ``random_error_correlation_length_km``. Infinite takes random errors as the same in all
        cells.
    latitude, longitude : array_like, shape (cell,), optional
        Of the cells, degrees. The mean over cells is weighted by their area, cos(latitude).
    both_passes : bool
        Whether days are means of both passes, as those of the daily record; of single passes False.

    Returns
    -------
    ErrorOfMean
        In the units given.

    Raises
    ------
    WrongErrors
        FF741: shapes differ, places of cells are missing, a systematic part exceeds the whole, or
        there is no value at all.
    """
    whole, lasting = (np.asarray(one, np.float64) for one in (total, systematic))
    north, east = (np.asarray([] if x is None else x, np.float64) for x in (latitude, longitude))
    _check(whole, lasting, north, east)
    if whole.ndim == 1:
        whole, lasting, north, east = whole[:, None], lasting[:, None], np.zeros(1), np.zeros(1)
    there = np.isfinite(whole) & np.isfinite(lasting)
    weight = there * np.cos(np.radians(north))
    weight = weight / weight.sum()
    random = np.where(there, np.sqrt(np.square(whole) - np.square(lasting)), 0.0) * weight
    fixed = float((np.where(there, lasting, 0.0) * weight).sum())
    half, one, more = _fading(np.array([0.5, 1.0, 1.5]), correlation_days).tolist()
    next_day = (2.0 * one + half + more) / (2.0 * (1.0 + half)) if both_passes else one
    of_all_days = _over_days(random, next_day, one)
    variance = _over_cells(random, of_all_days, north, east, correlation_kilometres)
    return ErrorOfMean(math.sqrt(variance + fixed**2), fixed)


def _over_days(random: Floats, next_day: float, fading: float) -> Floats:
    """For each day the sum over all days, each times its correlation with that day.

    Correlations, that of the next day first, fade by the same factor from day to day: so the sum
    over the days before follows from that of the day before, and time and memory grow with the
    days, not with their square.
    """
    before, after = np.zeros_like(random), np.zeros_like(random)
    for day in range(1, len(random)):
        before[day] = fading * before[day - 1] + next_day * random[day - 1]
        after[-day - 1] = fading * after[-day] + next_day * random[-day]
    return before + random + after


def _over_cells(
    random: Floats, of_all_days: Floats, north: Floats, east: Floats, kilometres: float
) -> float:
    """Sum over all pairs of cells, each times their correlation."""
    place = unit_vectors(north, east)
    total = 0.0
    for first in range(0, len(north), _ROWS):
        some = slice(first, first + _ROWS)
        apart = arc(place[some] @ place.T)
        apart[apart < _SAME] = 0.0
        total += float(((random[:, some].T @ of_all_days) * _fading(apart, kilometres)).sum())
    return total


def _fading(apart: npt.NDArray[np.generic], length: float) -> Floats:
    """exp(-apart / length); of length 0 it is 1 at 0 alone."""
    distance = np.asarray(apart, np.float64)
    if length == 0:
        return np.asarray(distance == 0.0, np.float64)
    with np.errstate(over="ignore"):  # of a length next to nothing: it is 0 then
        return np.exp(-distance / length)


def _check(whole: Floats, lasting: Floats, north: Floats, east: Floats) -> None:
    why = ""
    if whole.shape != lasting.shape or whole.ndim not in (1, 2):
        why = f"errors are of shape {whole.shape}, their systematic parts of {lasting.shape}."
    elif whole.ndim == 2 and {north.shape, east.shape} != {whole.shape[1:]}:
        why = f"there are {whole.shape[1]} cells, {north.size} latitudes, {east.size} longitudes."
    elif not np.isfinite(whole + lasting).any():
        why = "there is no value."
    elif (lasting > whole).any():
        why = "a systematic part exceeds the standard error that it is part of."
    if why:
        raise WrongErrors(
            why,
            where="error_of_mean",
            mend="Give (time,) or (time, cell) of both, and of cells their latitude and longitude.",
        )
