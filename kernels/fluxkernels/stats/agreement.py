"""How well an estimate agrees with measurements that come in clusters, such as stations."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri, stdtrit

from fluxkernels.errors import ShapeError
from fluxkernels.stats.series import filled

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

RESAMPLES = 1000
_SEED = 20180101  # the same sample has the same intervals
_ROUNDING = 1e-14, 1e-9  # of a sum of squares: of a few points, and at most
# Of the scores in the order of `scores`: no interval goes beyond.
_POSSIBLE = (
    (0.0, np.inf),
    (-np.inf, np.inf),
    (-1.0, 1.0),
    (0.0, np.inf),
    (0.0, np.inf),
    (0.0, np.inf),
    (-np.inf, np.inf),
)
_AT_ONCE = 20_000_000  # draws: ships come by the hundred thousand


class Interval(NamedTuple):
    """A number and its 95 % interval by resampling, as `widened` where clusters are few."""

    value: float
    low: float
    high: float


class Agreement(NamedTuple):
    """Scores of an estimate beside a reference.

    Parameters
    ----------
    points, clusters : int
        Compared, and of how many clusters they are.
    rmse, bias, correlation : Interval
        In the values' unit; bias is estimate minus reference.
    centred : Interval
        Root mean square difference of the departures from both means (Taylor, 2001):
        ``rmse² = centred² + bias²``.
    spread, spread_of_reference : Interval
        Standard deviations.
    slope : Interval
        Of the estimate on the reference, by least squares.
    p95, p99 : float
        95th and 99th percentiles of the estimate less those of the reference.
    """

    points: int
    clusters: int
    rmse: Interval
    bias: Interval
    correlation: Interval
    centred: Interval
    spread: Interval
    spread_of_reference: Interval
    slope: Interval
    p95: float
    p99: float


def agreement(
    estimate: Array, reference: Array, clusters: Array, *, resamples: int = RESAMPLES
) -> Agreement:
    """Scores with intervals, over the points where both are finite and none is masked.

    Reports of one station are alike: intervals come from resampling whole clusters with
    replacement (Field and Welsh, 2007). With fewer than two clusters there are none.

    Parameters
    ----------
    estimate, reference : float array, shape (point,)
    clusters : array, shape (point,)
        What each point belongs to: any labels. Points whose label is masked do not count.
    resamples : int
        0 leaves intervals out.

    Returns
    -------
    Agreement
        NaN where fewer than two points can be compared.

    Raises
    ------
    ShapeError
        FK103: shapes differ.

    References
    ----------
    Taylor: Summarizing multiple aspects of model performance in a single diagram. J. Geophys. Res.
    106, 7183-7192, 2001. Field and Welsh: Bootstrapping clustered data. J. R. Stat. Soc. B 69,
    369-390, 2007.

    Examples
    --------
    >>> import numpy as np
    >>> truth = np.arange(6.0)
    >>> found = agreement(truth + 1.0, truth, np.array([1, 1, 1, 2, 2, 2]))
    >>> float(found.bias.value), float(found.centred.value), found.clusters
    (1.0, 0.0, 2)
    """
    given, truth, labels = filled(estimate), filled(reference), np.asarray(clusters)
    if not given.shape == truth.shape == labels.shape:
        shapes = (given.shape, truth.shape, labels.shape)
        raise ShapeError(f"shapes {shapes} differ.", "estimate, reference, clusters")
    both = np.isfinite(given) & np.isfinite(truth) & ~np.ma.getmask(clusters)
    x, y = (np.asarray(one[both], np.float64) for one in (given, truth))
    _, member = np.unique(labels[both], return_inverse=True)
    number = int(member.max()) + 1 if member.size else 0
    if x.size < 2:
        nothing = Interval(np.nan, np.nan, np.nan)
        return _named(x.size, number, [nothing] * 7, (np.nan, np.nan))
    middle = y.mean()
    parts = sums_of(x - middle, y - middle)
    sums = np.array([np.bincount(member, one, number) for one in parts], np.float64).T
    tails = np.quantile(x, (0.95, 0.99)) - np.quantile(y, (0.95, 0.99))
    return agreement_of_sums(sums, x.size, tails, resamples=resamples)


def estimate(statistic: Callable[[Floats], Floats], sums: Floats) -> Interval:
    """One number of sums and its 95 % interval, where clusters may be few.

    Parameters
    ----------
    statistic : callable
        From sums over clusters, shape (..., *shape), to numbers, shape (...,).
    sums : float64 array, shape (cluster, *shape)

    Returns
    -------
    Interval
        NaN where there is no cluster, or no number; NaN bounds with one cluster.
    """
    number = len(sums)
    if not number:
        return Interval(np.nan, np.nan, np.nan)
    return Interval(*(float(one) for one in interval(statistic, sums)))


def widened(value: Floats, low: Floats, high: Floats, clusters: int) -> tuple[Floats, Floats]:
    """Limits for so few clusters, from those that resampling gives.

    Resampling so few as ten gives intervals that are too narrow: these are widened as Student's t
    is wider than a normal distribution, and by the bias of a small sample's variance.

    Parameters
    ----------
    value, low, high : float64 array
    clusters : int
        That were resampled; below two there are no limits.
    """
    if clusters < 2:
        return np.full_like(value, np.nan), np.full_like(value, np.nan)
    wider = float(stdtrit(clusters - 1, 0.975) / ndtri(0.975)) * (clusters / (clusters - 1)) ** 0.5
    return value - wider * (value - low), value + wider * (high - value)


def sums_of(x: Floats, y: Floats, weights: Array | float = 1.0) -> Floats:
    """What scores are made of, point by point: to be summed over the points of each cluster.

    Parameters
    ----------
    x, y : float64 array
        Estimate and reference, of one shape.
    weights : array or float

    Returns
    -------
    float64 array, shape (7, ...)
        Weights, and times these: x, y, their squares and product, and squared differences.
    """
    x, y = filled(x), filled(y)
    ones = np.broadcast_to(filled(weights).astype(np.float64), x.shape)
    return np.stack([ones, *(ones * one for one in (x, y, x * x, y * y, x * y, (x - y) ** 2))])


def agreement_of_sums(
    sums: Floats,
    points: int,
    tails: Sequence[float] | Floats = (np.nan, np.nan),
    *,
    resamples: int = RESAMPLES,
) -> Agreement:
    """Scores with intervals, of what `sums_of` gave: where points are too many to keep.

    Parameters
    ----------
    sums : float64 array, shape (cluster, 7)
        Clusters of no weight do not count.
    points : int
        How many there were.
    tails : (float, float)
        Percentiles of the estimate less those of the reference: sums do not know them.
    resamples : int
    """
    some = sums[sums[:, 0] > 0]
    drawn = scores(resampled(some, resamples))
    intervals = as_intervals(scores(some.sum(axis=0)), drawn, len(some))
    possible = [
        Interval(one.value, max(one.low, least), min(one.high, most))
        for one, (least, most) in zip(intervals, _POSSIBLE, strict=True)
    ]
    return _named(points, len(some), possible, tails)


def interval(
    statistic: Callable[[Floats], Floats], sums: Floats, *, resamples: int = RESAMPLES
) -> tuple[Floats, Floats, Floats]:
    """A statistic of sums, and its 95 % interval by resampling whole clusters with replacement.

    Parameters
    ----------
    statistic : callable
        From sums over clusters, shape (..., *shape), to numbers, shape (..., *of_statistic).
    sums : float64 array, shape (cluster, *shape)
        Of each cluster: station, or block of days.
    resamples : int
        0 leaves the interval out.

    Returns
    -------
    value, low, high : float64 array, shape (*of_statistic,)
        NaN bounds where there are fewer than two clusters.
    """
    value = np.asarray(statistic(sums.sum(axis=0)))
    drawn = np.asarray(statistic(resampled(sums, resamples)))
    return value, *_bounds(drawn, value, len(sums))


def resampled(sums: Floats, resamples: int = RESAMPLES) -> Floats:
    """Sums over samples of whole clusters, drawn with replacement.

    Parameters
    ----------
    sums : float array, shape (cluster, ...)
        Of each cluster: what statistics are made of.
    resamples : int

    Returns
    -------
    float array, shape (resample, ...)
        Of no resample where there are fewer than two clusters. The same sums give the same.
    """
    number = len(sums)
    made = np.empty((resamples if number > 1 else 0, *sums.shape[1:]))
    rng, share = np.random.default_rng(_SEED), np.full(number, 1.0 / max(number, 1))
    at_once = max(1, _AT_ONCE // max(number, 1))
    for begin in range(0, len(made), at_once):
        some = made[begin : begin + at_once]
        some[:] = np.tensordot(rng.multinomial(number, share, size=len(some)), sums, axes=1)
    return made


def as_intervals(whole: Floats, samples: Floats, clusters: int) -> list[Interval]:
    """Numbers of the whole sample with what 95 % of the resamples lie between, `widened`.

    Parameters
    ----------
    whole : float array, shape (statistic,)
    samples : float array, shape (resample, statistic)
        NaN does not count; of no resample the limits are NaN.
    clusters : int
        That were resampled.
    """
    low, high = _bounds(samples, whole, clusters)
    return [Interval(*map(float, three)) for three in zip(whole, low, high, strict=True)]


def _bounds(samples: Floats, whole: Floats, clusters: int) -> tuple[Floats, Floats]:
    """What 95 % of the resamples lie between, `widened`; NaN where there are none."""
    if not len(samples):
        return np.full_like(whole, np.nan), np.full_like(whole, np.nan)
    with warnings.catch_warnings():  # of a statistic that no sample has
        warnings.simplefilter("ignore", RuntimeWarning)
        low, high = np.nanquantile(samples, (0.025, 0.975), axis=0)
    return widened(whole, low, high, clusters)


def _named(
    points: int, clusters: int, scores: Sequence[Interval], tails: Sequence[float] | Floats
) -> Agreement:
    rmse, bias, correlation, centred, spread, of_reference, slope = scores
    return Agreement(
        points=int(points),
        clusters=clusters,
        rmse=rmse,
        bias=bias,
        correlation=correlation,
        centred=centred,
        spread=spread,
        spread_of_reference=of_reference,
        slope=slope,
        p95=float(tails[0]),
        p99=float(tails[1]),
    )


def scores(sums: Floats) -> Floats:
    """RMSE, bias, correlation, centred RMSE, both spreads and slope of sums: on the last axis."""
    n, x, y, xx, yy, xy, squared = np.moveaxis(sums, -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_x, mean_y = x / n, y / n
        rounding = np.clip(n * np.finfo(np.float64).eps, *_ROUNDING)
        var_x, var_y = _variance(xx / n, mean_x, rounding), _variance(yy / n, mean_y, rounding)
        covariance = xy / n - mean_x * mean_y
        square, bias = squared / n, mean_x - mean_y
        centred = np.sqrt(np.maximum(square - bias**2, 0.0))
        both = np.sqrt(var_x) * np.sqrt(var_y)
        correlation = np.where(both > 0, np.clip(covariance / both, -1.0, 1.0), np.nan)
        slope = np.where(var_y > 0, covariance / var_y, np.nan)
        spreads = np.sqrt(var_x), np.sqrt(var_y)
        made = (np.sqrt(square), bias, correlation, centred, *spreads, slope)
    return np.stack(made, axis=-1)


def _variance(square: Floats, mean: Floats, rounding: Floats) -> Floats:
    """Of mean square and mean; 0 where rounding alone may have made it, so values are all alike."""
    found = square - mean**2
    return np.where(found <= rounding * square, 0.0, found)  # NaN stays
