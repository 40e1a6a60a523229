"""Reading maps at points, compiled: half of the simulated world's time goes into it.

A table holds maps of shape (rows, columns + MORE, maps), as `fields.table` makes it: all maps of a
place side by side, so that one look at memory fetches them together.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.core import decorators

MORE = 2  # columns that stand again at a table's end: the next one, and where rounding leads

_compiled: Any = decorators.njit(cache=True, nogil=True, error_model="numpy")
_inlined: Any = decorators.njit(inline="always", error_model="numpy")
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
    for point in range(row.size):
        line = np.uintp(row[point])
        column, after = _column(table, turn[point], nearest)
        for one in range(table.shape[2]):
            values[one, point] = _value(table, line, column, after, one, nearest)


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
    for point in range(row.size):
        if knot[point] == number:
            line = np.uintp(row[point])
            east, flow = longitude[point], speed[line]
            first, after_first = _column(earlier, (east - flow * ages[0, point]) * turns, nearest)
            last, after_last = _column(later, (east - flow * ages[1, point]) * turns, nearest)
            for one in range(earlier.shape[2]):
                before = _value(earlier, line, first, after_first, one, nearest)
                behind = _value(later, line, last, after_last, one, nearest)
                values[one, point] = before * weights[0, point] + behind * weights[1, point]


@_inlined
def _column(table, turn, nearest):  # type: ignore[no-untyped-def]
    """Column of a place along a row, and what is left of it."""
    columns = table.shape[1] - MORE
    place = (turn - np.floor(turn)) * np.float32(columns)
    if nearest:
        place += np.float32(0.5)
    column = min(max(np.intp(place), 0), columns)
    return np.uintp(column), place - np.float32(column)


@_inlined
def _value(table, line, column, after, one, nearest):  # type: ignore[no-untyped-def]
    here = table[line, column, one]
    if nearest:
        return here
    return here + (table[line, column + _ONE, one] - here) * after
