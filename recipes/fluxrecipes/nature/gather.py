"""Reading maps at points, compiled: half of the simulated world's time goes into it.

A table holds maps of shape (rows, columns + MORE, maps), as `fields.table` makes it: all maps of a
place side by side, so that one look at memory fetches them together. The loops below find the
places of a block of points first, then read map by map: a loop over the few maps of one point
costs more than it does, as the compiler asks each time whether the arrays overlap.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.core import decorators

MORE = 2  # columns that stand again at a table's end: the next one, and where rounding leads

_compiled: Any = decorators.njit(cache=True, nogil=True, error_model="numpy")
_inlined: Any = decorators.njit(inline="always", error_model="numpy")
_BLOCK = np.uintp(128)
_ONE = np.uintp(1)


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
    points, maps = np.uintp(row.size), np.uintp(table.shape[2])
    place, after = np.empty(_BLOCK, np.uintp), np.empty(_BLOCK, np.float32)
    flat, out = table.reshape(-1), values.reshape(-1)
    for begin in range(np.uintp(0), points, _BLOCK):
        count = min(_BLOCK, points - begin)
        for k in range(count):
            column, after[k] = _column(turn[begin + k], table.shape[1], nearest)
            place[k] = _place(row[begin + k], column, table.shape)
        for one in range(maps):
            start = one * points + begin
            for k in range(count):
                out[start + k] = _value(flat, place[k] + one, maps, after[k], nearest)


@_compiled
def carried(  # type: ignore[no-untyped-def]
    values, earlier, later, number, knot, row, longitude, speed, ages, weights, period, nearest
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
    longitude : float32 array, shape (points,)
        Degrees.
    speed : float32 array, shape (rows,)
        Degrees of longitude an hour.
    ages, weights : float32 array, shape (2, points)
        Of the two knots' maps: hours since, negative before; factors.
    period : float
        Degrees of a whole row of the table.
    nearest : bool
        Take the nearest column; otherwise interpolate.
    """
    turns = np.float32(1.0 / period)
    points, maps = np.uintp(row.size), np.uintp(earlier.shape[2])
    point, first, last = np.empty((3, _BLOCK), np.uintp)
    after_first, after_last = np.empty((2, _BLOCK), np.float32)
    before, behind, out = earlier.reshape(-1), later.reshape(-1), values.reshape(-1)
    ages, weights = ages.reshape(-1), weights.reshape(-1)
    for begin in range(np.uintp(0), points, _BLOCK):
        count = np.uintp(0)
        for at in range(begin, min(begin + _BLOCK, points)):
            if knot[at] == number:
                line = np.uintp(row[at])
                east, flow = longitude[at], speed[line]
                turn = (east - flow * ages[at]) * turns
                column, after_first[count] = _column(turn, earlier.shape[1], nearest)
                first[count] = _place(line, column, earlier.shape)
                turn = (east - flow * ages[points + at]) * turns
                column, after_last[count] = _column(turn, later.shape[1], nearest)
                last[count] = _place(line, column, later.shape)
                point[count] = at
                count += _ONE
        for one in range(maps):
            for k in range(count):
                at = point[k]
                old = _value(before, first[k] + one, maps, after_first[k], nearest)
                new = _value(behind, last[k] + one, maps, after_last[k], nearest)
                out[one * points + at] = old * weights[at] + new * weights[points + at]


@_compiled
def looked_up(values, table, which):  # type: ignore[no-untyped-def]
    """Fill in entries of a table of 65,536 by the 16 bits of each: NumPy would widen them first."""
    for point in range(which.size):
        values[point] = table[which[point]]


@_inlined
def _column(turn, width, nearest):  # type: ignore[no-untyped-def]
    """Column of a place along a row, and what is left of it."""
    columns = width - MORE
    place = (turn - np.floor(turn)) * np.float32(columns)
    if nearest:
        place += np.float32(0.5)
    column = min(max(np.int32(place), np.int32(0)), np.int32(columns))
    return np.uintp(column), place - np.float32(column)


@_inlined
def _place(line, column, shape):  # type: ignore[no-untyped-def]
    """Where a row and column of a flat table begin."""
    return (np.uintp(line) * np.uintp(shape[1]) + column) * np.uintp(shape[2])


@_inlined
def _value(flat, place, maps, after, nearest):  # type: ignore[no-untyped-def]
    here = flat[place]
    if nearest:
        return here
    return here + (flat[place + maps] - here) * after
