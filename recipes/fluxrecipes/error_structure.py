"""How errors hang together: what stays at a place, and how long and how far the rest lasts.

The errors of a retrieval are not drawn anew for each cell and day. A part stays at a place through
a month; the rest fades with time and distance. Both are found from pairs of matchups, in which the
errors of reports do not count: those of two reports are not alike, so that the mean of their
product is zero. Only a report's own error that lasts (a sensor out of adjustment) is taken for one
of the retrieval.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fluxrecipes.sphere import arc, unit_vectors

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

MONTH = 30.0  # days: pairs further apart tell of seasons
LASTING = 10.0  # days, beyond which what two errors share is systematic
SAME_PLACE = 80.0  # km that a platform may have moved
FEWEST_PAIRS, FEWEST_PLATFORMS = 100, 5
FURTHEST_FROM_1 = 3.0  # of the factor, either way
_STEP = 0.5  # days between passes
_APART = (10, 15, 20, 25, 30)  # days between passes that share only what is systematic
_EDGES = np.array([0, 50, 100, 200, 300, 450, 600, 800, 1000, 1300, 1600, 2000, 2500], float)  # km
_NEAR = 1000.0  # km within which there must be enough pairs to tell a length
_DAYS = np.geomspace(0.05, 15.0, 300)
_KILOMETRES = np.geomspace(10.0, 3000.0, 300)
_RANDOM_AT_LEAST = 0.02  # of the variance: else there is nothing to have a length


class Samples(NamedTuple):
    """Errors of one quantity at matchups, divided by the standard errors told of them.

    Parameters
    ----------
    error : float64 array, shape (matchup,)
        The retrieval's own has a variance of 1; that of the report comes on top.
    platform : int array, shape (matchup,)
        Number of the ship or buoy.
    time : float64 array, shape (matchup,)
        Days.
    passage : int array, shape (matchup,)
        Twice the number of the day, and 1 more for the other pass of it.
    latitude, longitude : float64 array, shape (matchup,)
        Degrees north and east.
    """

    error: Floats
    platform: npt.NDArray[np.integer[Any]]
    time: Floats
    passage: npt.NDArray[np.integer[Any]]
    latitude: Floats
    longitude: Floats


class Structure(NamedTuple):
    """How the errors of one quantity hang together; None is what could not be found.

    Parameters
    ----------
    systematic : float or None
        Share of the variance that stays at a place through a month, 0 to 1.
    days, kilometres : float or None
        In which the correlation of the random rest falls to 1/e.
    """

    systematic: float | None
    days: float | None
    kilometres: float | None


UNKNOWN = Structure(None, None, None)


class _Binned(NamedTuple):
    """Covariance of pairs by lag or distance; `pairs` counts them."""

    at: Floats
    covariance: Floats
    pairs: Floats


def structure_of(samples: Samples) -> Structure:
    """Find the structure of errors from pairs of matchups.

    With the variance of the retrieval's own error at 1, errors of one platform that have a lag t
    are taken to have the covariance s + (1 - s) exp(-t / T); those of different platforms of one
    pass at a distance d, less what such platforms share at passes of `LASTING` days or more apart,
    (1 - s) exp(-d / L). Both are fitted by least squares, weighted by the number of pairs.

    Parameters
    ----------
    samples : Samples

    Returns
    -------
    Structure
        Nothing where fewer than `FEWEST_PLATFORMS` platforms stayed in their place for long, or
        they have fewer than `FEWEST_PAIRS` pairs; no length where too few lie near each other.
    """
    steady, by_lag = _by_lag(samples)
    beyond = by_lag.at > LASTING
    if steady < FEWEST_PLATFORMS or by_lag.pairs[beyond].sum() < FEWEST_PAIRS:
        return UNKNOWN
    systematic, days = _fit_in_time(by_lag)
    by_distance = _by_distance(samples)
    enough = by_distance.pairs[by_distance.at < _NEAR].sum() >= FEWEST_PAIRS
    if not enough or 1.0 - systematic < _RANDOM_AT_LEAST:
        return Structure(systematic, days, None)
    return Structure(systematic, days, _fit_in_space(by_distance, 1.0 - systematic))


def calibration(error: Floats, own: Floats, report: Floats | float) -> float:
    """Factor by which a standard error that is told must be multiplied to be true.

    The one of the greatest likelihood, errors being Gaussian with a variance of
    factor² own² + report².

    Parameters
    ----------
    error : float64 array, shape (matchup,)
        Retrieval less report.
    own : float64 array, shape (matchup,)
        Standard errors as told by the retrieval; positive.
    report : float64 array, shape (matchup,), or float
        Standard error of a report as a measure of its cell, in the same units.

    Returns
    -------
    float
        From 1 / `FURTHEST_FROM_1` to `FURTHEST_FROM_1`; at a bound there is no true factor within.
    """
    square = np.square(error)

    def surprise(logarithms: Floats) -> Floats:
        """Negative log likelihood of factors."""
        found = [np.square(np.exp(one) * own) + report**2 for one in logarithms]
        return np.array([np.mean(np.log(v) + square / v) for v in found])

    furthest = np.log(FURTHEST_FROM_1)
    low, high = -furthest, furthest
    for _ in range(6):  # each time around the best of a finer grid, so that no hill can mislead
        tried = np.linspace(low, high, 21)
        best, step = tried[int(np.argmin(surprise(tried)))], tried[1] - tried[0]
        low, high = max(best - step, -furthest), min(best + step, furthest)
    return float(np.exp(best))


# --- pairs ---------------------------------------------------------------------------------------


def _by_lag(samples: Samples) -> tuple[int, _Binned]:
    """Pairs of one platform in one place; and how many platforms have some with a long lag."""
    order = np.lexsort((samples.time, samples.platform))
    platform, time, error = (
        np.asarray(column)[order] for column in (samples.platform, samples.time, samples.error)
    )
    place = unit_vectors(samples.latitude, samples.longitude)[order]
    number = round(MONTH / _STEP) + 1
    sums, lags, pairs = np.zeros(number), np.zeros(number), np.zeros(number)
    steady: set[int] = set()
    for step in range(1, len(order)):
        lag = time[step:] - time[:-step]
        near = (platform[step:] == platform[:-step]) & (lag <= MONTH)
        if not near.any():  # in order of time: later ones are further
            break
        late = np.flatnonzero(near)
        late = late[arc((place[late + step] * place[late]).sum(axis=1)) <= SAME_PLACE]
        steady.update(platform[late[lag[late] > LASTING]].tolist())
        at = np.round(lag[late] / _STEP).astype(np.intp).clip(max=number - 1)
        sums += np.bincount(at, error[late + step] * error[late], number)
        lags += np.bincount(at, lag[late], number)
        pairs += np.bincount(at, minlength=number)
    some = np.flatnonzero(pairs)
    some = some[some > 0]  # of the same hours a report counts only once
    return len(steady), _Binned(lags[some] / pairs[some], sums[some] / pairs[some], pairs[some])


def _by_distance(samples: Samples) -> _Binned:
    """Pairs of different platforms of a pass, less what they share when long apart in time."""
    number = _EDGES.size - 1
    near, far = np.zeros((3, number)), np.zeros((3, number))
    place = unit_vectors(samples.latitude, samples.longitude)
    passes = dict(_by_passage(samples))
    for passage, some in passes.items():
        near += _pairs(samples, place, some, some) / 2.0  # each is met twice
        for days in _APART:
            other = passes.get(passage + 2 * days)
            if other is not None:
                far += _pairs(samples, place, some, other)
    there = np.flatnonzero((near[2] > 0) & (far[2] > 0))
    (sums, distances, pairs), (lasting, _, others) = near[:, there], far[:, there]
    return _Binned(distances / pairs, sums / pairs - lasting / others, pairs)


def _by_passage(samples: Samples) -> Iterator[tuple[int, Indices]]:
    order = np.argsort(samples.passage, kind="stable")
    passages, starts = np.unique(samples.passage[order], return_index=True)
    yield from zip(passages.tolist(), np.split(order, starts[1:]), strict=True)


def _pairs(samples: Samples, place: Floats, some: Indices, others: Indices) -> Floats:
    """By distance: sums of products and of distances, and numbers, of different platforms."""
    number = _EDGES.size - 1
    distance = arc(place[some] @ place[others].T)
    apart = samples.platform[some][:, None] != samples.platform[others][None, :]
    one, other = np.nonzero(apart & (distance < _EDGES[-1]))
    distance = distance[one, other]
    at = np.searchsorted(_EDGES, distance, side="right") - 1
    product = samples.error[some[one]] * samples.error[others[other]]
    return np.stack([np.bincount(at, w, number) for w in (product, distance, np.ones(at.size))])


# --- fits ----------------------------------------------------------------------------------------


def _fit_in_time(found: _Binned) -> tuple[float, float]:
    """Share of what lasts, and days of the rest: the best share for each time, then the time."""
    fading = np.exp(-found.at / _DAYS[:, None])
    lasting = 1.0 - fading
    weight = found.pairs
    share = ((found.covariance - fading) * lasting * weight).sum(axis=1)
    share = np.clip(share / (np.square(lasting) * weight).sum(axis=1), 0.0, 1.0)
    model = fading + share[:, None] * lasting
    best = int(np.argmin((np.square(model - found.covariance) * weight).sum(axis=1)))
    return float(share[best]), float(_DAYS[best])


def _fit_in_space(found: _Binned, random: float) -> float:
    """Length of an exponential that begins with the variance of the random part."""
    model = random * np.exp(-found.at / _KILOMETRES[:, None])
    misfit = (np.square(model - found.covariance) * found.pairs).sum(axis=1)
    return float(_KILOMETRES[int(np.argmin(misfit))])
