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
_WALKS = 40  # pairs of a key for each point, beyond which sorting is faster


def room(longest: int) -> tuple[Any, ...]:
    """Where pairs of series up to a length are counted: keys, and the table of two digits.

    Returns
    -------
    tuple of arrays
        Keys; what a digit adds to the counts of lesser ones; counts of the first digit; counts of
        the second beside each of the first; the last place of each key; and the one before it.
    """
    bits = max(3, math.ceil(math.log2(max(longest, 1)) / 2))
    counts = np.uint16 if longest < 1 << 16 else np.uint32
    lesser = np.tri(1 << bits, k=-1, dtype=counts)
    first, second = np.zeros(1 << bits, counts), np.zeros((1 << bits, 1 << bits), counts)
    keys, former = np.empty(longest, np.int64), np.empty(longest, np.int64)
    return keys, lesser, first, second, np.empty(1 << 2 * bits, np.int64), former


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
def detrended(rows, when, counts, slope, rest):  # type: ignore[no-untyped-def]
    """What a trend leaves of each row.

    Parameters
    ----------
    rows, when : float64 array, shape (series, time)
    counts : int64 array, shape (series,)
    slope : float64 array, shape (series,)
    rest : float64 array, shape (series, time)
        Filled in; infinite behind the last value.
    """
    for series in range(rows.shape[0]):
        count = counts[series]
        rest[series, count:] = np.inf
        for place in range(count):
            rest[series, place] = rows[series, place] - slope[series] * when[series, place]


@_compiled
def ranked(rows, orders, counts, ranks):  # type: ignore[no-untyped-def]
    """Ranks of each row less their mean; equal values share the mean of theirs.

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
                ranks[series, order[place]] = 0.5 * (first + after - count)
            first = after


@_compiled
def widened(products, counts, noise, widening):  # type: ignore[no-untyped-def]
    """By how much autocorrelation widens the variance of a score.

    Parameters
    ----------
    products : float64 array, shape (series, lag)
        Sums of products of ranks so many steps apart.
    counts : int64 array, shape (series,)
    noise : float
        Autocorrelations up to this, by the square root of the count, are left out.
    widening : float64 array, shape (series,)
        Filled in.
    """
    for series in range(products.shape[0]):
        count = float(counts[series])
        least = noise / np.sqrt(count) * products[series, 0]
        total = 0.0
        for lag in range(1, counts[series]):
            product = products[series, lag]
            if abs(product) > least:
                total += (count - lag) * (count - lag - 1.0) * (count - lag - 2.0) * product
        scale = count * (count - 1.0) * (count - 2.0) * products[series, 0]
        widening[series] = 1.0 + 2.0 * total / scale if scale > 0.0 else np.nan


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
    key, mask, coarse, fine, _, _ = table
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
def middle_slopes(rows, when, counts, falling, level, slope, table):  # type: ignore[no-untyped-def]
    """Median of the slopes of all pairs of each row.

    Parameters
    ----------
    rows, when : float64 array, shape (series, time)
    counts : int64 array, shape (series,)
    falling, level : float64 array, shape (series,)
        Of `scores`.
    slope : float64 array, shape (series,)
        Filled in; NaN where a series has fewer than two values.
    table : tuple of arrays
        Of `room`.
    """
    longest = rows.shape[1]
    found = np.empty(max(16 * longest, _FEW))
    rest, places = np.empty(longest), np.empty(longest, np.int64)
    for series in range(rows.shape[0]):
        count = counts[series]
        y, t = rows[series, :count], when[series, :count]
        if count * (count - 1) // 2 <= _FEW:
            slope[series] = _middle_of_few(y, t, found)
        elif _level(count, falling[series], level[series]):
            slope[series] = _beside_zero(y, t, falling[series], level[series])
        else:
            below_zero, zero = falling[series], level[series]
            low, high, under, over = _bracket(y, t, below_zero, zero, rest[:count], table, False)
            middle = _middle(y, t, low, high, under, over, rest[:count], places, found, table)
            if np.isnan(middle):  # slopes crowd: both ends are counted then
                low, high, under, over = _bracket(y, t, below_zero, zero, rest[:count], table, True)
                middle = _middle(y, t, low, high, under, over, rest[:count], places, found, table)
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
def _below(y, t, slope, rest, table):  # type: ignore[no-untyped-def]
    """Number of pairs with a lesser slope.

    Keys are what is left of a value, in 16,384 steps or so. Pairs within a step are looked at.
    """
    key, mask, coarse, fine, last, former = table
    count, digits = y.size, coarse.size
    bits = 3
    while 1 << bits < digits:
        bits += 1
    _rough(y, t, slope, rest, key, last.size)
    coarse[:] = 0
    fine[:] = 0
    last[:] = -1
    found = walked = 0
    for place in range(count):
        here = key[place]
        large, small = here >> bits, here & (digits - 1)
        found += coarse[large] + fine[large, small]
        before = last[here]
        while before >= 0:
            found += rest[before] > rest[place]
            before = former[before]
            walked += 1
        if walked > _WALKS * count:  # some values are far from all others
            _keyed(rest, np.argsort(rest), count, key)
            return float(_inversions(key[:count], mask, coarse, fine))
        former[place] = last[here]
        last[here] = place
        for digit in range(digits):
            coarse[digit] += mask[large, digit]
        for digit in range(digits):
            fine[large, digit] += mask[small, digit]
    return float(found)


@_compiled
def _rough(y, t, slope, rest, key, keys):  # type: ignore[no-untyped-def]
    """What is left of each value, and in which of so many equal steps it is."""
    least, most = np.inf, -np.inf
    for place in range(y.size):
        left = y[place] - slope * t[place]
        rest[place] = left
        least, most = min(least, left), max(most, left)
    scale = (keys - 0.5) / (most - least) if most > least else 0.0
    for place in range(y.size):
        step = (rest[place] - least) * scale
        # No step at all where all values are within 1e-300 of one another, or 1e300 apart.
        key[place] = int(step) if step < keys else keys - 1


@_compiled
def _ordered(y, t, slope, rest, places, table):  # type: ignore[no-untyped-def]
    """Places of values by what is left of them, equal ones in the order of time."""
    key, last = table[0], table[4]
    count = y.size
    _rough(y, t, slope, rest, key, last.size)
    last[:] = 0
    for place in range(count):
        last[key[place]] += 1
    crowd = 0
    first = 0
    for step in range(last.size):
        here = last[step]
        crowd += here * here
        last[step] = first
        first += here
    if crowd > _WALKS * count:
        places[:count] = np.argsort(rest)
        _by_time_where_equal(rest, places[:count])
        return
    for place in range(count):
        places[last[key[place]]] = place
        last[key[place]] += 1
    for at in range(1, count):  # within a step they are in the order of time
        one, here = places[at], at
        while here > 0 and rest[places[here - 1]] > rest[one]:
            places[here] = places[here - 1]
            here -= 1
        places[here] = one


@_compiled
def _bracket(y, t, falling, level, rest, table, both):  # type: ignore[no-untyped-def]
    """Slopes on either side of the middle ones, with few between them or next to no distance.

    Where values are often equal, `level` slopes are zero, above `falling` ones: a straight line
    across that jump leads nowhere.

    Returns low and high, and how many slopes are below each: -1 of one of them where that one was
    not counted, as it need not be unless `both` are asked for.
    """
    count = y.size
    pairs = count * (count - 1) // 2
    first, second = (pairs - 1) // 2, pairs // 2
    middle, aside = 0.5 * pairs, 0.25 * count
    guess, apart, least = _first_guess(y, t)
    low = high = guess
    under = over = _below(y, t, guess, rest, table)
    width = max(1.3 * abs(middle - under) * apart, aside * apart, least)
    for _ in range(_STEPS):
        if under > first:
            low = high - width
            under = _below(y, t, low, rest, table)
            if under > first:
                high, over = low, under
        elif over <= second:
            high = low + width
            over = _below(y, t, high, rest, table)
            if over <= second:
                low, under = high, over
        else:
            break
        width *= 3.0
    if low < 0.0 < high and level > 0.0:
        if falling + level <= first:
            low, under = 0.0, falling + level
        else:
            high, over = 0.0, falling
    for step in range(_STEPS):
        if over - under <= count or high - low <= _TINY * (abs(low) + abs(high)):
            break
        density = (over - under) / (high - low)
        at = low + (middle - under) / density
        if step % 3 == 2:  # where slopes crowd, a straight line leads nowhere
            at = 0.5 * (low + high)
        here = _below(y, t, at, rest, table)
        if first < here <= second:  # just between the middle two
            at = min(at + aside / density, high)
            here = _below(y, t, at, rest, table)
        lacking = middle - here
        if here <= first:
            if lacking <= count and not both:
                return at, min(at + (lacking + aside) / density, high), here, -1.0
            low, under = at, here
        elif here > second:
            if -lacking <= count and not both:
                return max(at - (aside - lacking) / density, low), at, -1.0, here
            high, over = at, here
    return low, high, under, over


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
    """Median of some slopes over half of the series, and how far apart slopes lie near the middle.

    Of independent values whose differences have the standard deviation s there are about
    n³ / (6 s (2 pi)^0.5) slopes a unit (of a step of time), and over half of the series slopes vary
    by 2 s / n. The last number is the least distance that tells slopes apart.
    """
    half = y.size // 2
    stride = max(1, (y.size - half) // 512)
    some = np.empty((y.size - half + stride - 1) // stride)
    for at in range(some.size):
        place = at * stride
        some[at] = (y[place + half] - y[place]) / (t[place + half] - t[place])
    some.sort()
    guess, spread = some[some.size // 2], some[3 * some.size // 4] - some[some.size // 4]
    apart = 7.5 * spread / 1.35 / y.size**2
    return guess, apart, 1e-12 * abs(guess) + 1e-300


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
def _middle(y, t, low, high, under, over, rest, places, found, table):  # type: ignore[no-untyped-def]
    """Median slope, given how many lie below low or high; NaN where it is not between them.

    Pairs whose slope is between are those that change places from one order to the other.
    """
    count = y.size
    pairs = count * (count - 1) // 2
    _ordered(y, t, low, rest, places, table)
    for place in range(count):
        rest[place] = y[place] - high * t[place]
    number = 0
    for at in range(1, count):
        one = places[at]
        here, mine = at, rest[one]
        while here > 0 and rest[places[here - 1]] > mine:
            other = places[here - 1]
            if number == found.size:
                # More equal slopes than there is room for: any of them will do.
                alike = high - low <= _TINY * (abs(low) + abs(high))
                return found[0] if alike else np.nan
            found[number] = (y[one] - y[other]) / (t[one] - t[other])
            number += 1
            places[here] = other
            here -= 1
        places[here] = one
    below = under if under >= 0 else over - number
    first, second = (pairs - 1) // 2 - int(below), pairs // 2 - int(below)
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
    """Mean of the values of two neighbouring ranks, from 0; sorts the values in part (Hoare's)."""
    low, high = 0, values.size - 1
    while low < high:
        pivot = values[(low + high) // 2]
        left, right = low, high
        while left <= right:
            while values[left] < pivot:
                left += 1
            while values[right] > pivot:
                right -= 1
            if left <= right:
                values[left], values[right] = values[right], values[left]
                left += 1
                right -= 1
        if first <= right:
            high = right
        elif first >= left:
            low = left
        else:
            break
    lower = values[first]
    if second == first:
        return lower
    return 0.5 * (lower + values[second:].min())
