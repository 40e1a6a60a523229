"""The other pass of a satellite as seen twelve hours before each of one pass.

A day's map is cut at midnight UTC, so that the other pass on the same map was seen before in one
part of the globe and after in the rest: there the map of the day before holds what is wanted.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fluxrecipes.near_surface import NOMINAL_HOURS

Array = npt.NDArray[Any]


def same_day(orbit: int, longitude: Array) -> npt.NDArray[np.bool_]:
    """Where the other pass of the same map was seen before, twelve hours earlier.

    Parameters
    ----------
    orbit : int
        0 for ascending passes, 1 for descending ones.
    longitude : array, shape (lon,)
        Degrees east.
    """
    own, other = ((NOMINAL_HOURS[at] - longitude / 15.0) % 24.0 for at in (orbit, 1 - orbit))
    return np.asarray(other < own)


def twelve_hours_before(maps: Array, orbit: int, longitude: Array, axis: int) -> Array:
    """Maps of the other pass, arranged by the day of the pass that follows them.

    Parameters
    ----------
    maps : array, shape (..., lat, lon)
        Of the other pass, by consecutive days along `axis`.
    orbit : int
        Of the pass that follows.
    longitude : array, shape (lon,)
    axis : int
        Of the days.

    Returns
    -------
    array, of the same shape
        0, or False, on the first day where the day before it would be needed.
    """
    days = np.moveaxis(maps, axis, 0)
    found = np.zeros_like(days)
    now = same_day(orbit, longitude)
    np.copyto(found, days, where=now)
    np.copyto(found[1:], days[:-1], where=~now)
    return np.moveaxis(found, 0, axis)
