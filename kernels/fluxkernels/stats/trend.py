"""Linear trends by least squares, with errors that know of autocorrelation."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import stdtr

from fluxkernels.errors import SampleError, ShapeError
from fluxkernels.stats.series import FEWEST, as_series, check_times, filled

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

_NUMBERS = 1 << 18  # numbers of a block of series, so that it stays near the processor
_ROUNDING = 1e-14  # of the values
_SINGULAR = 1e-10  # of what is fitted, beside what it is fitted to


class LinearTrend(NamedTuple):
    """Trends of series by least squares.

    Parameters
    ----------
    number : int array
        Of values that are there. Where they are too few for what is fitted, all else is NaN.
    slope : float64 array
        In the values' unit a unit of time.
    standard_error : float64 array
        Of the slope, with the effective number of values.
    p_value : float64 array
        Of no trend, two-sided, by Student's t with as many degrees of freedom as there are
        effective values less what is fitted.
    effective : float64 array
        Number of independent values that are worth as much as those that are there.
    autocorrelation : float64 array
        Of what the fit leaves, from one value to the next, corrected for its bias.
    coefficients : float64 array, shape (1 + regressors, ...)
        Of the constant and of each regressor: the series at time zero with all regressors zero,
        and what changes with one unit of each.
    """

    number: npt.NDArray[np.int64]
    slope: Floats
    standard_error: Floats
    p_value: Floats
    effective: Floats
    autocorrelation: Floats
    coefficients: Floats

    def within(self, confidence: float = 0.95) -> Floats:
        """Half the width of the interval that holds the slope with this confidence."""
        from scipy.special import stdtrit

        freedom = self.effective - len(self.coefficients) - 1.0
        with np.errstate(invalid="ignore"):
            half: Floats = stdtrit(freedom, 0.5 + confidence / 2.0) * self.standard_error
        return half

    def with_error(self, error: Floats, freedom: Floats) -> LinearTrend:
        """The same with a further standard error of the slopes, one that their values do not show.

        Such as that of an offset which was taken out of the series beforehand. Degrees of freedom
        are put together as Welch does (Biometrika 34, 28-35, 1947); `effective` follows from them.

        Parameters
        ----------
        error, freedom : float64 array
            A standard error for each slope, and its degrees of freedom.
        """
        fitted = len(self.coefficients) + 1.0
        own, other = self.standard_error**2, error**2
        with np.errstate(invalid="ignore", divide="ignore"):
            shares = own**2 / (self.effective - fitted) + other**2 / freedom
            together = np.where(other > 0, (own + other) ** 2 / shares, self.effective - fitted)
            total = np.sqrt(own + other)
            chance = 2.0 * stdtr(together, -np.abs(self.slope) / total)
        return self._replace(standard_error=total, p_value=chance, effective=together + fitted)


class Mean(NamedTuple):
    """Means of series.

    Parameters
    ----------
    number : int array
        Of values that are there. Where they are too few for what is fitted, all else is NaN.
    mean, standard_error, freedom : float64 array
        The error, and its degrees of freedom, with the effective number of values.
    """

    number: npt.NDArray[np.int64]
    mean: Floats
    standard_error: Floats
    freedom: Floats

    def within(self, confidence: float = 0.95) -> Floats:
        """Half the width of the interval that holds the mean with this confidence."""
        from scipy.special import stdtrit

        half: Floats = stdtrit(self.freedom, 0.5 + confidence / 2.0) * self.standard_error
        return half

    def where(self, there: npt.NDArray[np.bool_], other: Mean) -> Mean:
        """These means, and others where they are not to count."""
        return Mean(
            np.where(there, self.number, other.number),
            np.where(there, self.mean, other.mean),
            np.where(there, self.standard_error, other.standard_error),
            np.where(there, self.freedom, other.freedom),
        )


def mean_of(values: Array, regressors: Array | None = None) -> Mean:
    """Means of series whose values depend on the ones before, with the error that they have.

    Parameters
    ----------
    values : float array, shape (time, ...)
        NaN where there is none.
    regressors : float array, shape (time, regressors), optional
        What else moves the series, such as the season: the mean is that where they are zero.

    Returns
    -------
    Mean

    Raises
    ------
    ShapeError
        FK103: regressors are not along the values.
    SampleError
        FK115: regressors and the mean cannot be told apart even where no value is missing.

    Notes
    -----
    The effective number of values is that of `linear_trend`, with an autocorrelation that knows
    of all that is fitted, k columns: ``(n r + k) / (n - k - 3)``. Of 12, 18 and 24 months with
    an annual wave and an autocorrelation of 0.6, intervals of 95 % hold 84, 91 and 93 %; with the
    correction for a mean alone 72, 84 and 88.

    Examples
    --------
    >>> import numpy as np
    >>> found = mean_of(np.array([1.0, 2.0, np.nan, 0.5, 1.5, 2.5, 1.0]))
    >>> print(f"{found.mean:.2f} ± {found.within(0.95):.2f} of {found.number} values")
    1.42 ± 0.77 of 6 values
    """
    series, shape = as_series(values)
    basis, back = _design(_columns(regressors, len(series)), np.ones(len(series)))
    count, level, error, _, effective, _, _ = _of_block(series, basis, back, len(back))
    told = count, level, error, effective - len(back)
    return Mean(*(one.reshape(shape) for one in told))


def linear_trend(values: Array, times: Array, regressors: Array | None = None) -> LinearTrend:
    """Least-squares trends of series, beside regressors where there are any.

    Parameters
    ----------
    values : float array, shape (time, ...)
        NaN where there is none.
    times : array, shape (time,)
        Ascending; in the unit of time in which slopes are wanted. Values are taken as equally far
        apart where autocorrelation is concerned.
    regressors : float array, shape (time, regressors), optional
        What else moves the series, such as a step where satellites change, or an index of ENSO.

    Returns
    -------
    LinearTrend

    Raises
    ------
    ShapeError
        FK103: times or regressors are not along the values.
    TimeError
        FK109: times do not ascend.
    SampleError
        FK115: regressors, constant and trend cannot be told apart even where no value is missing.

    Notes
    -----
    The effective number of values is ``n (1 - r) / (1 + r)``, at most n, with the residuals'
    autocorrelation r at lag one (Santer et al., 2000) after the correction of its bias,
    ``(n r + 1) / (n - 4)`` (Kendall, 1954). Of trend-free series of 29 values with an
    autocorrelation of 0, 0.2, 0.4, 0.6 it finds a trend at the 5 % level in 3.9, 5.7, 7.0, 7.7 %.

    References
    ----------
    Santer et al.: Statistical significance of trends and trend differences in layer-average
    atmospheric temperature time series. J. Geophys. Res. 105, 7337-7356, 2000. Kendall: Note on
    bias in the estimation of autocorrelation. Biometrika 41, 403-404, 1954.

    Examples
    --------
    >>> import numpy as np
    >>> years = np.arange(1992.0, 2021.0)
    >>> found = linear_trend(0.02 * years + np.cos(years), years / 10.0)  # a decade
    >>> print(f"{found.slope:.2f} ± {found.within(0.95):.2f} in {found.number} years")
    0.14 ± 1.04 in 29 years
    """
    series, shape = as_series(values)
    when = check_times(times, len(series))
    basis, back = _design([np.ones_like(when), *_columns(regressors, len(when))], when)
    step = max(1, _NUMBERS // max(1, len(series)))
    starts = range(0, max(1, series.shape[1]), step)
    some = [series[:, at : at + step] for at in starts]
    parts = [_of_what_changes(one, _of_block(one, basis, back)) for one in some]
    columns = (np.concatenate(part, axis=-1) for part in zip(*parts, strict=True))
    return LinearTrend(*(one.reshape((*one.shape[:-1], *shape)) for one in columns))


def _columns(regressors: Array | None, length: int) -> list[Floats]:
    if regressors is None:
        return []
    given = filled(regressors).astype(np.float64)
    if given.ndim != 2 or len(given) != length:
        raise ShapeError(
            f"of shape {given.shape}, beside {length} times.",
            "regressors",
            "Give (time, regressors).",
        )
    if not np.isfinite(given).all():
        raise SampleError("some are not finite.", "regressors", "Give one for each time.")
    return list(given.T)


def _design(beside: list[Floats], wanted: Floats) -> tuple[Floats, Floats]:
    """What is fitted, made orthonormal, and the matrix that leads back to it.

    That whose coefficient is wanted comes last.
    """
    columns = [*beside, wanted]
    if len(wanted) < len(columns):
        return np.zeros((len(wanted), len(columns))), np.eye(len(columns))  # nothing has a trend
    scale = np.array([max(np.abs(one).max(initial=0.0), 1e-300) for one in columns])
    basis, triangle = np.linalg.qr(np.stack(columns, axis=1) / scale)
    if np.abs(np.diag(triangle)).min() < _SINGULAR:
        raise SampleError(
            "constant, trend and regressors cannot be told apart.",
            "regressors",
            "Leave out steps beyond the series' ends, and regressors that are the same.",
        )
    return basis, np.linalg.inv(triangle) / scale[:, None]


def _of_block(series: Array, basis: Floats, back: Floats, hiding: int = 1) -> tuple[Array, ...]:
    """What `LinearTrend` has, of series side by side.

    `hiding` columns of what is fitted are taken to hide autocorrelation.
    """
    there = np.isfinite(series)
    given = np.where(there, series, 0.0).astype(np.float64)
    count = there.sum(axis=0)
    inverse = _inverses(there, basis)
    beta = np.einsum("spq,ps->qs", inverse, basis.T @ given)
    rest = given - basis @ beta
    rest[~there] = 0.0
    last = back[-1]
    unit = np.einsum("p,spq,q->s", last, inverse, last)  # variance of the slope of unit noise
    parameters = len(back)
    squares = (rest**2).sum(axis=0)
    correlation, effective = _persistence(rest, there, count, squares, hiding)
    with np.errstate(invalid="ignore", divide="ignore"):
        freedom = np.maximum(effective - parameters, 1.0)
        error = np.sqrt(squares / freedom * unit)
        slope = last @ beta
        chance = 2.0 * stdtr(freedom, -np.abs(slope) / error)
    enough = (count >= max(FEWEST, parameters + 1)) & np.isfinite(unit)
    floats = slope, error, chance, freedom + parameters, correlation
    told = (np.where(enough, one, np.nan) for one in (*floats, (back @ beta)[:-1]))
    return count, *told


def _of_what_changes(series: Array, found: tuple[Array, ...]) -> tuple[Array, ...]:
    """Of `_of_block`, but series that are constant have no trend: a fit finds one in rounding."""
    there = np.isfinite(series)
    low = np.where(there, series, np.inf).min(axis=0)
    high = np.where(there, series, -np.inf).max(axis=0)
    size = np.maximum(np.abs(low), np.abs(high))
    flat = (high - low <= _ROUNDING * size) & np.isfinite(found[1])
    count, slope, error, chance, effective, correlation, others = found
    slope, error, correlation = (np.where(flat, 0.0, one) for one in (slope, error, correlation))
    chance, effective = np.where(flat, 1.0, chance), np.where(flat, count, effective)
    others = np.where(flat, 0.0, others)
    others[0] = np.where(flat, low, others[0])
    return count, slope, error, chance, effective, correlation, others


def _inverses(there: npt.NDArray[np.bool_], basis: Floats) -> Floats:
    """Of each series' normal matrix, shape (series, p, p); NaN where it has none."""
    size = basis.shape[1]
    gappy = ~there.all(axis=0)
    inverse = np.tile(np.eye(size), (there.shape[1], 1, 1))  # of the others: it is orthonormal
    products = (basis[:, :, None] * basis[:, None, :]).reshape(len(basis), -1)
    normal = (products.T @ there[:, gappy].astype(np.float64)).T.reshape(-1, size, size)
    singular = np.linalg.eigvalsh(normal)[:, 0] < _SINGULAR
    normal[singular] = np.eye(size)
    some = np.linalg.inv(normal)
    some[singular] = np.nan
    inverse[gappy] = some
    return inverse


def _persistence(
    rest: Floats, there: npt.NDArray[np.bool_], count: Array, squares: Floats, hiding: int
) -> tuple[Floats, Floats]:
    """Autocorrelation of residuals at lag one, and the effective number of values."""
    fewest = hiding + 3
    pairs = (there[1:] & there[:-1]).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        product = (rest[1:] * rest[:-1]).sum(axis=0) * np.where(
            pairs == count - 1, 1.0, (count - 1.0) / pairs
        )
        raw = np.where(squares > 0, product / squares, 0.0)
        correlation = np.clip((count * raw + hiding) / (count - fewest), -0.99, 0.99)
        correlation = np.where((count > fewest) & np.isfinite(correlation), correlation, 0.0)
        effective = count * np.minimum((1.0 - correlation) / (1.0 + correlation), 1.0)
    return correlation, effective
