"""Counting pairs by their slope, compiled: what rank tests of trends spend their time on.

A pair of points is inverted where the later lies below the earlier one. The slopes below b are the
inversions of the series less b times its time: so that the middle slope of n² / 2 is found by some
counts, none of which looks at all pairs. To count, a point is a whole number of two digits, and a
table of what was seen so far tells at two looks how many were greater.

All series of a call lie in rows: their values, the times of these, and how many there are.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba.core import decorators

_compiled: Any = decorators.njit(cache=True, nogil=True, error_model="numpy")

_FEW = 4096  # pairs that are looked at one by one
_STEPS = 60  # counts at most, until few slopes are left about the middle one
_TINY = 1e-14  # of slopes: nearer than that they are one


def room(longest: int) -> tuple[Any, ...]:
    """Where pairs of series up to a length are counted: keys, and the table of two digits.

    Returns
    -------
    tuple of arrays
        Keys; what a digit adds to the counts of lesser ones; counts of the first digit; counts of
        the second beside each of the first.
    """
    bits = max(3, math.ceil(math.log2(max(longest, 1)) / 2))
    counts = np.uint16 if longest < 1 << 16 else np.uint32
    lesser = np.tri(1 << bits, k=-1, dtype=counts)
    keys = np.empty(longest, np.int64)
    return keys, lesser, np.zeros(1 << bits, counts), np.zeros((1 << bits, 1 << bits), counts)


@_compiled
def pack(values, times, rows, when, counts):  # type: ignore[no-untyped-def]
    """Bring together what is there of each series.

    Parameters
    ----------
    values : float array, shape (series, time)
    times : float64 array, shape (time,)
    rows, when : float64 array, shape (series, time)
        Filled in; infinite behind the last value.
    counts : int64 array, shape (series,)
        Filled in.
    """
    for series in range(values.shape[0]):
        found = 0
        for step in range(values.shape[1]):
            if np.isfinite(values[series, step]):
                rows[series, found] = values[series, step]
                when[series, found] = times[step]
                found += 1
        counts[series] = found
        rows[series, found:] = np.inf
        when[series, found:] = np.inf


@_compiled
def ranked(rows, orders, counts, ranks):  # type: ignore[no-untyped-def]
    """Ranks of each row, from 1; equal values share the mean of theirs.

    Parameters
    ----------
    rows : float64 array, shape (series, time)
    orders : int64 array, shape (series, time)
        Sorts each row.
    counts : int64 array, shape (series,)
    ranks : float64 array, shape (series, time)
        Filled in; 0 behind the last.
    """
    for series in range(rows.shape[0]):
        row, order, count = rows[series], orders[series], counts[series]
        ranks[series, count:] = 0.0
        first = 0
        while first < count:
            after = first + 1
            while after < count and row[order[after]] == row[order[first]]:
                after += 1
            for place in range(first, after):
                ranks[series, order[place]] = 0.5 * (first + 1 + after)
            first = after


@_compiled
def scores(rows, orders, counts, falling, level, variance, table):  # type: ignore[no-untyped-def]
    """Pairs of each row that fall and that do neither, and what Kendall's score varies by chance.

    Parameters
    ----------
    rows : float64 array, shape (series, time)
    orders : int64 array, shape (series, time)
        Sorts each row.
    counts : int64 array, shape (series,)
    falling, level, variance : float64 array, shape (series,)
        Filled in.
    table : tuple of arrays
        Of `room`.
    """
    key, mask, coarse, fine = table
    for series in range(rows.shape[0]):
        count = counts[series]
        tied = 0.0  # pairs, twice
        spread = count * (count - 1.0) * (2.0 * count + 5.0)
        for many in _keyed(rows[series], orders[series], count, key):
            tied += many * (many - 1.0)
            spread -= many * (many - 1.0) * (2.0 * many + 5.0)
        falling[series] = _inversions(key[:count], mask, coarse, fine)
        level[series] = 0.5 * tied
        variance[series] = spread / 18.0


@_compiled
def bracketed(  # type: ignore[no-untyped-def]
    rows, when, counts, falling, level, low, high, rest, table
):
    """Slopes on either side of the middle one of each row, with few between them.

    Parameters
    ----------
    rows, when : float64 array, shape (series, time)
    counts : int64 array, shape (series,)
    falling, level : float64 array, shape (series,)
        Of `scores`.
    low, high : float64 array, shape (series,)
        Filled in.
    rest : float64 array, shape (series, time)
        Filled in: the row less `low` times its time.
    table : tuple of arrays
        Of `room`.
    """
    key, mask, coarse, fine = table
    for series in range(rows.shape[0]):
        count = counts[series]
        y, t = rows[series, :count], when[series, :count]
        rest[series, count:] = np.inf
        low[series] = high[series] = 0.0
        few = count * (count - 1) // 2 <= _FEW
        if not few and not _level(count, falling[series], level[series]):
            low[series], high[series] = _bracket(y, t, key, mask, coarse, fine, False)
        rest[series, :count] = y - low[series] * t


@_compiled
def middle_slopes(  # type: ignore[no-untyped-def]
    rows, when, counts, falling, level, low, high, rest, orders, slope, table
):
    """Median of the slopes of all pairs of each row.

    Parameters
    ----------
    rows, when : float64 array, shape (series, time)
    counts : int64 array, shape (series,)
    falling, level : float64 array, shape (series,)
        Of `scores`.
    low, high, rest : float64 array
        As `bracketed` gives them.
    orders : int64 array, shape (series, time)
        Sorts each row of `rest`.
    slope : float64 array, shape (series,)
        Filled in; NaN where a series has fewer than two values.
    table : tuple of arrays
        Of `room`.
    """
    key, mask, coarse, fine = table
    found = np.empty(max(8 * rows.shape[1], _FEW))
    for series in range(rows.shape[0]):
        count = counts[series]
        y, t = rows[series, :count], when[series, :count]
        if count * (count - 1) // 2 <= _FEW:
            slope[series] = _middle_of_few(y, t, found)
            continue
        if _level(count, falling[series], level[series]):
            slope[series] = _beside_zero(y, t, falling[series], level[series])
            continue
        below = _inverted(rest[series, :count], orders[series], key, mask, coarse, fine)
        middle = _middle(y, t, orders[series], low[series], high[series], below, found)
        if np.isnan(middle):  # the counts were too rough: values far from all others
            near, far = _bracket(y, t, key, mask, coarse, fine, True)
            left = y - near * t
            order = np.argsort(left)
            below = _inverted(left, order, key, mask, coarse, fine)
            middle = _middle(y, t, order, near, far, below, found)
        slope[series] = middle


@_compiled
def _inversions(key, mask, coarse, fine):  # type: ignore[no-untyped-def]
    """Pairs of which the later key is the lesser."""
    digits = coarse.size
    bits = 3
    while 1 << bits < digits:
        bits += 1
    coarse[:] = 0
    fine[:] = 0
    found = 0
    for place in range(key.size):
        large, small = key[place] >> bits, key[place] & (digits - 1)
        found += coarse[large] + fine[large, small]
        for digit in range(digits):
            coarse[digit] += mask[large, digit]
        for digit in range(digits):
            fine[large, digit] += mask[small, digit]
    return found


@_compiled
def _keyed(row, order, count, key):  # type: ignore[no-untyped-def]
    """Give each value its place among the different ones; tell how many are equal at each."""
    equal = np.zeros(count, np.int64)
    places = -1
    last = np.inf
    for at in range(count):
        value = row[order[at]]
        if places < 0 or value != last:
            places += 1
            last = value
        key[order[at]] = places
        equal[places] += 1
    return equal[: places + 1]


@_compiled
def _inverted(row, order, key, mask, coarse, fine):  # type: ignore[no-untyped-def]
    """Exact number of inversions of a row."""
    _keyed(row, order, row.size, key)
    return _inversions(key[: row.size], mask, coarse, fine)


@_compiled
def _below(y, t, slope, key, mask, coarse, fine, exact):  # type: ignore[no-untyped-def]
    """Number of pairs with a lesser slope: roughly, or exactly."""
    rest = y - slope * t
    if exact:
        return float(_inverted(rest, np.argsort(rest), key, mask, coarse, fine))
    least, most = rest.min(), rest.max()
    keys = coarse.size * coarse.size
    scale = (keys - 0.5) / (most - least) if most > least else 0.0
    for place in range(y.size):
        key[place] = int((rest[place] - least) * scale)
    falling = float(_inversions(key[: y.size], mask, coarse, fine))
    alike = 0.0  # half of the pairs that the keys do not tell apart
    for large in range(coarse.size):
        more = coarse[large - 1] - coarse[large] if large else y.size - coarse[0]
        for small in range(coarse.size):
            here = fine[large, small - 1] - fine[large, small] if small else more - fine[large, 0]
            alike += here * (here - 1.0)
    return falling + 0.25 * alike


@_compiled
def _bracket(y, t, key, mask, coarse, fine, exact):  # type: ignore[no-untyped-def]
    """Slopes on either side of the middle one, with few between them or next to no distance."""
    count = y.size
    pairs = count * (count - 1) // 2
    middle = 0.5 * (pairs - 1)
    slack = 0.5 if exact else 0.125 * count
    guess, width = _first_guess(y, t)
    low, high = guess - width, guess + width
    under = _below(y, t, low, key, mask, coarse, fine, exact)
    over = _below(y, t, high, key, mask, coarse, fine, exact)
    for _ in range(_STEPS):
        if under <= middle - slack:
            break
        high, over, width = low, under, 3.0 * width
        low -= width
        under = _below(y, t, low, key, mask, coarse, fine, exact)
    for _ in range(_STEPS):
        if over >= middle + 1.0 + slack:
            break
        low, under, width = high, over, 3.0 * width
        high += width
        over = _below(y, t, high, key, mask, coarse, fine, exact)
    for step in range(_STEPS):
        if over - under <= count or high - low <= _TINY * (abs(low) + abs(high)):
            break
        density = (over - under) / (high - low)
        guess = low + (middle + 0.5 - under) / density
        margin = max(0.25 * count, 0.02 * (over - under)) / density
        if step % 3 == 2:  # where slopes crowd, a straight line leads nowhere
            guess, margin = 0.5 * (low + high), 0.0
        for at in (guess - margin, guess + margin):
            if not low < at < high:
                continue
            here = _below(y, t, at, key, mask, coarse, fine, exact)
            if here <= middle - slack:
                low, under = at, here
            elif here >= middle + 1.0 + slack:
                high, over = at, here
            elif here < middle + 0.5:  # too near to tell: the margin is what is left
                low, under = max(low, at - margin), min(under, here)
                break
            else:
                high, over = min(high, at + margin), max(over, here)
                break
    return low, high


@_compiled
def _level(count, falling, level):  # type: ignore[no-untyped-def]
    """Whether the middle slope, or one of the middle two, is zero."""
    pairs = count * (count - 1) // 2
    return level > 0 and falling <= pairs // 2 and falling + level > (pairs - 1) // 2


@_compiled
def _beside_zero(y, t, falling, level):  # type: ignore[no-untyped-def]
    """Median slope where one of the middle two is zero."""
    pairs = y.size * (y.size - 1) // 2
    if falling > (pairs - 1) // 2:
        return 0.5 * _least_slope(y, t, -1.0)
    if falling + level <= pairs // 2:
        return 0.5 * _least_slope(y, t, 1.0)
    return 0.0


@_compiled
def _least_slope(y, t, sign):  # type: ignore[no-untyped-def]
    """Of all slopes of a sign the one nearest to zero."""
    least = np.inf
    for later in range(1, y.size):
        for earlier in range(later):
            slope = sign * (y[later] - y[earlier]) / (t[later] - t[earlier])
            if 0.0 < slope < least:
                least = slope
    return sign * least


@_compiled
def _first_guess(y, t):  # type: ignore[no-untyped-def]
    """Median of some slopes over half of the series, and how far off it may be."""
    apart = y.size // 2
    stride = max(1, (y.size - apart) // 512)
    some = np.empty((y.size - apart + stride - 1) // stride)
    for at in range(some.size):
        place = at * stride
        some[at] = (y[place + apart] - y[place]) / (t[place + apart] - t[place])
    some.sort()
    guess, spread = some[some.size // 2], some[3 * some.size // 4] - some[some.size // 4]
    least = 1e-12 * abs(guess) + 1e-300
    return guess, max(2.0 * spread / np.sqrt(some.size), least)


@_compiled
def _middle_of_few(y, t, found):  # type: ignore[no-untyped-def]
    """Median slope of all pairs, each looked at."""
    number = 0
    for later in range(1, y.size):
        for earlier in range(later):
            found[number] = (y[later] - y[earlier]) / (t[later] - t[earlier])
            number += 1
    if number == 0:
        return np.nan
    return _select(found[:number], (number - 1) // 2, number // 2)


@_compiled
def _middle(y, t, order, low, high, below, found):  # type: ignore[no-untyped-def]
    """Median slope, given how many lie below `low`; NaN where it is not between low and high.

    Pairs whose slope is between are those that change places from one order to the other.
    """
    count = y.size
    pairs = count * (count - 1) // 2
    first, second = (pairs - 1) // 2 - below, pairs // 2 - below
    places = order[:count].copy()
    _by_time_where_equal(y - low * t, places)
    rest = y - high * t
    number = 0
    for at in range(1, count):
        one = places[at]
        here = at
        while here > 0 and rest[places[here - 1]] > rest[one]:
            other = places[here - 1]
            if number == found.size:
                # More equal slopes than there is room for: any of them will do.
                alike = high - low <= _TINY * (abs(low) + abs(high))
                return found[0] if alike and first >= 0 else np.nan
            found[number] = (y[one] - y[other]) / (t[one] - t[other])
            number += 1
            places[here] = other
            here -= 1
        places[here] = one
    if first < 0 or second >= number:
        return np.nan
    return _select(found[:number], first, second)


@_compiled
def _by_time_where_equal(row, places):  # type: ignore[no-untyped-def]
    """Put equal values in the order of time: sorting may have left them in any."""
    for at in range(1, places.size):
        one, here = places[at], at
        while here > 0 and row[places[here - 1]] == row[one] and places[here - 1] > one:
            places[here] = places[here - 1]
            here -= 1
        places[here] = one


@_compiled
def _select(values, first, second):  # type: ignore[no-untyped-def]
    """Mean of the values of two neighbouring ranks, from 0."""
    lower = np.partition(values, first)
    if second == first:
        return lower[first]
    return 0.5 * (lower[first] + lower[second:].min())
