"""Filling gaps in time alone: interpolation, else persistence."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

KEPT, INTERPOLATED, PERSISTED, EMPTY = 0, 1, 2, 3


class Filled(NamedTuple):
    """Values with gaps filled, and how each came about.

    Parameters
    ----------
    values : float array, shape (time, ...)
    how : uint8 array, shape (time, ...)
        `KEPT`, `INTERPOLATED`, `PERSISTED` or `EMPTY`.
    """

    values: Array
    how: npt.NDArray[np.uint8]


def fill_in_time(values: Array, reach: int) -> Filled:
    """Interpolate gaps linearly between the nearest valid steps, else persist the one there is.

    Only steps at most `reach` away are used, so that the result at a step depends on nothing
    farther: a long record gives the same answer in blocks with a halo of `reach` as in one piece.

    Parameters
    ----------
    values : float array, shape (time, ...)
        NaN where there is no value. Not changed.
    reach : int
        Steps to look back and ahead.

    Returns
    -------
    Filled
    """
    before, since = _nearest(values, reach, backward=True)
    after, until = _nearest(values, reach, backward=False)
    has_before, has_after = since <= reach, until <= reach
    with np.errstate(invalid="ignore"):
        between = (before * until + after * since) / (since + until)
    filled = np.where(has_before & has_after, between, np.where(has_before, before, after))
    kept = ~np.isnan(values)
    how = np.select(
        [kept, has_before & has_after, has_before | has_after],
        [KEPT, INTERPOLATED, PERSISTED],
        EMPTY,
    ).astype(np.uint8)
    return Filled(np.where(kept, values, filled).astype(values.dtype, copy=False), how)


def _nearest(values: Array, reach: int, *, backward: bool) -> tuple[Array, Array]:
    """The nearest valid value on one side and its distance in steps (reach + 1: none)."""
    found = np.full_like(values, np.nan)
    distance = np.full(values.shape, reach + 1, values.dtype)
    for k in range(1, min(reach, len(values) - 1) + 1):
        here, there = (
            (slice(k, None), slice(None, -k)) if backward else (slice(None, -k), slice(k, None))
        )
        fresh = np.isnan(found[here]) & ~np.isnan(values[there])
        found[here] = np.where(fresh, values[there], found[here])
        distance[here] = np.where(fresh, k, distance[here])
    return found, distance
