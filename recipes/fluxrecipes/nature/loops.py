"""Compiled loops: half of the simulated world's time goes into reading maps at points.

A table holds maps of shape (rows, columns + MORE, maps), as `fields.table` makes it: all maps of a
place side by side, so that one look at memory fetches them together. `at_rest` and `carried` find
the places of a block of points first, then read map by map: a loop over the few maps of one point
costs more than it does, as the compiler asks each time whether the arrays overlap.

The others do in one go, number by number, what NumPy does in several, and give the same bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.core import decorators

MORE = 2  # columns that stand again at a table's end: the next one, and where rounding leads

_compiled: Any = decorators.njit(cache=True, nogil=True, error_model="numpy")
_inlined: Any = decorators.njit(inline="always", error_model="numpy")
_BLOCK = 128


@_compiled
def at_rest(values, table, row, turn, nearest):  # type: ignore[no-untyped-def]
    """Read maps at points.

    Parameters
    ----------
    values : float32 array, shape (maps, points)
        Filled in.
    table : float32 array
    row : int array, shape (points,)
    turn : float32 array, shape (points,)
        Place along a row, 1 for the whole row; any value.
    nearest : bool
        Take the nearest column; otherwise interpolate.
    """
    place, after = np.empty(_BLOCK, np.int32), np.empty(_BLOCK, np.float32)
    for begin in range(0, row.size, _BLOCK):
        block = slice(begin, min(begin + _BLOCK, row.size))
        _find(place, after, turn[block], row[block], table.shape, nearest)
        for one in range(len(values)):
            _read(values[one, block], table, one, place, after, nearest)


@_compiled
def carried(  # type: ignore[no-untyped-def]
    values, earlier, later, number, knot, row, longitude, flow, ages, weights, period, nearest
):
    """Read two knots' maps where the flow has carried them, and add them up.

    Parameters
    ----------
    values : float32 array, shape (maps, points)
        Filled in where `knot` is `number`.
    earlier, later : float32 array
        Tables of the knots before and after.
    number : int
    knot, row : int array, shape (points,)
    longitude, flow : float32 array, shape (points,)
        Degrees; degrees of longitude an hour.
    ages, weights : float32 array, shape (2, points)
        Of the two knots' maps: hours since, negative before; factors.
    period : float
        Degrees of a whole row of the table.
    nearest : bool
        Take the nearest column; otherwise interpolate.
    """
    turns = np.float32(1.0 / period)
    turn, after, old = np.empty((3, _BLOCK), np.float32)
    place = np.empty(_BLOCK, np.int32)
    end = 0
    while end < row.size:
        begin = end
        while end < min(begin + _BLOCK, row.size) and knot[end] == knot[begin]:
            end += 1
        if knot[begin] != number:
            continue
        block = slice(begin, end)
        for which, table in enumerate((earlier, later)):
            _turn(turn, longitude[block], flow[block], ages[which, block], turns)
            _find(place, after, turn, row[block], table.shape, nearest)
            for one in range(len(values)):
                _read(old[: end - begin], table, one, place, after, nearest)
                _add(values[one, block], old, weights[which, block], which)


@_compiled
def looked_up(values, table, which):  # type: ignore[no-untyped-def]
    """Fill in entries of a table of 65,536 by the 16 bits of each: NumPy would widen them first."""
    for point in range(which.size):
        values[point] = table[which[point]]


@_compiled
def of_season(values, mean, amplitude, row, season):  # type: ignore[no-untyped-def]
    """Fill in what a climate by rows is at points: `mean` and `amplitude` times the season's."""
    for point in range(np.uintp(row.size)):
        line = np.uintp(row[point])
        values[point] = mean[line] + amplitude[line] * season[point]


@_compiled
def between_knots(knot, ages, angle, hours, step, quarter):  # type: ignore[no-untyped-def]
    """Find the knots that times lie between.

    Parameters
    ----------
    knot : int array, shape (points,)
        Filled in: the number of the one before.
    ages : float32 array, shape (2, points)
        Filled in: hours since the knot before, and (negative) to the one after.
    angle : float32 array, shape (points,)
        Filled in: 0 at the knot before, a quarter of a circle at the one after.
    hours : float64 array, shape (points,)
    step : float
        Hours from knot to knot.
    quarter : float32
        Of a circle.
    """
    ahead = np.float32(step)
    back = ahead / quarter
    for point in range(np.uintp(hours.size)):
        phase = hours[point] / step
        first = np.floor(phase)
        part = np.float32(phase - first)
        knot[point] = np.intp(first)
        angle[point] = part * quarter
        ages[0, point] = part * ahead
        ages[1, point] = (part * quarter - quarter) * back


@_compiled
def in_steps(steps, values, scale, offset, last, lost):  # type: ignore[no-untyped-def]
    """Fill in the nearest step of each value, held within 0 to `last`; `lost` if not finite."""
    for point in range(np.uintp(values.size)):
        step = np.rint((values[point] - offset) / scale)
        if not np.isfinite(step):
            steps[point] = lost
        else:
            steps[point] = np.uint8(min(max(step, 0), last))


@_compiled
def seen_in_turn(hours, line, column, east, node, after):  # type: ignore[no-untyped-def]
    """Fill in when the cells of one revolution's swath are seen, where that is today.

    Parameters
    ----------
    hours : float64 array, shape (rows * 1440,)
    line, column : int32 array, shape (cells,)
        Number of the first cell of each cell's row; column from the node's.
    east : int
        Column of the node, 0 to 1439.
    node : float
        Hours since the day's start at which the satellite passes it.
    after : float64 array, shape (cells,)
        Hours from then.
    """
    for cell in range(np.uintp(line.size)):
        seen = node + after[cell]
        if 0.0 <= seen < 24.0:
            at = column[cell] + east
            hours[np.uintp(line[cell] + (at if at < 1440 else at - 1440))] = seen


@_compiled
def by_the_hour(cells, hours, where):  # type: ignore[no-untyped-def]
    """Number the cells that `where` marks, those of the same whole hour together.

    Parameters
    ----------
    cells : int array
        Filled in, as long as there are such cells.
    hours : float64 array
        0 to 24 where marked.
    where : bool array
        As long as `hours`.
    """
    place = np.zeros(26, np.intp)
    for cell in range(np.uintp(hours.size)):
        if where[cell]:
            place[np.intp(hours[cell]) + 1] += 1
    place = np.cumsum(place)
    for cell in range(np.uintp(hours.size)):
        if where[cell]:
            hour = np.intp(hours[cell])
            cells[place[hour]] = cell
            place[hour] += 1


# Each of these is one loop over few plain arrays: so the compiler makes vectors of it.


@_inlined
def _turn(turn, longitude, flow, age, turns):  # type: ignore[no-untyped-def]
    """Place along a row from where the flow has carried it, 1 for the whole row."""
    for k in range(np.uintp(longitude.size)):
        turn[k] = (longitude[k] - flow[k] * age[k]) * turns


@_inlined
def _find(place, after, turn, row, shape, nearest):  # type: ignore[no-untyped-def]
    """Where a flat table has what stands at a row and turn, and what is left of a column."""
    width, maps = np.int32(shape[1]), np.int32(shape[2])
    columns = width - np.int32(MORE)
    more = np.float32(0.5 if nearest else 0.0)
    for k in range(np.uintp(row.size)):
        exact = (turn[k] - np.floor(turn[k])) * np.float32(columns) + more
        column = min(max(np.int32(exact), np.int32(0)), columns)
        after[k] = exact - np.float32(column)
        place[k] = (np.int32(row[k]) * width + column) * maps


@_inlined
def _read(values, table, one, place, after, nearest):  # type: ignore[no-untyped-def]
    """Values of one map at places."""
    flat, one, next_one = table.reshape(-1), np.uintp(one), np.uintp(one + table.shape[2])
    for k in range(np.uintp(values.size)):
        here = flat[np.uintp(place[k]) + one]
        if nearest:
            values[k] = here
        else:
            values[k] = here + (flat[np.uintp(place[k]) + next_one] - here) * after[k]


@_inlined
def _add(values, old, weight, which):  # type: ignore[no-untyped-def]
    """The first of two maps as it is, the second onto it."""
    for k in range(np.uintp(values.size)):
        more = old[k] * weight[k]
        values[k] = values[k] + more if which else more
