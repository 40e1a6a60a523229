"""When a sun-synchronous satellite sees each cell: day maps of observation time.

A circular orbit whose plane keeps its local time, and a swath of constant width square to the
track (the conical scan's curvature is left out). Seen from its ascending node every revolution
is the same, so one table serves all of them, turned to the node's longitude.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fluxrecipes.nature.fields import LATITUDES, hours_since_epoch

Pass = Literal["ascending", "descending"]
Grid = NDArray[np.float64]

_EARTH_RADIUS = 6371.0  # km
_DEGREES_AN_HOUR = 15.0  # the turning of the Earth under a plane that follows the mean sun


@dataclass(frozen=True)
class Satellite:
    """A sun-synchronous satellite and its imager.

    Parameters
    ----------
    name : str
        Short name as in the provider's file names.
    ascending_hour : float
        Local mean solar time of the ascending node, hours.
    period : float
        From node to node, minutes.
    inclination : float
        Degrees.
    swath : float
        Effective width, km: a little more than nominal, as a cell counts as seen when any
        footprint falls in it.
    node_hour : float
        Hours since the start of 1950 of one ascending node: sets the phase of the swaths.
    """

    name: str
    ascending_hour: float
    period: float
    inclination: float
    swath: float
    node_hour: float = 0.0

    def local_hour(self, which: Pass) -> float:
        """Local mean solar time at the equator of one kind of pass."""
        return self.ascending_hour if which == "ascending" else (self.ascending_hour + 12) % 24


F17 = Satellite("f17", 17.75, 101.85, 98.8, 1800.0, node_hour=0.6)


def observation_hours(satellite: Satellite, day: np.datetime64, which: Pass) -> Grid:
    """When each cell was last seen in a UTC day by one kind of pass.

    Later revolutions overwrite earlier ones, where swaths cross at high latitudes and at the
    seam where the day's last swath meets its first: as the provider fills its maps.

    Returns
    -------
    ndarray, shape (720, 1440)
        Hours since the start of the day, 0 to 24; NaN where not seen.
    """
    row, column, after = _swath(satellite, which)
    start = hours_since_epoch(day.astype("datetime64[D]"))
    period = satellite.period / 60.0
    hours = np.full((LATITUDES.size, 1440), np.nan)
    first = int(np.floor((start - satellite.node_hour) / period)) - 1
    for revolution in range(first, first + int(24.0 / period) + 4):
        node = satellite.node_hour + revolution * period - start
        longitude = _DEGREES_AN_HOUR * (satellite.ascending_hour - node)
        seen = node + after
        today = (seen >= 0.0) & (seen < 24.0)
        shifted = (column[today] + round(longitude / 0.25)) % 1440
        hours[row[today], shifted] = seen[today]
    return hours


@lru_cache(maxsize=4)
def _swath(satellite: Satellite, which: Pass) -> tuple[NDArray[np.intp], NDArray[np.intp], Grid]:
    """Cells that one revolution sees from a node at 0° E: row, column, hours after the node."""
    longitude = 0.25 * np.arange(1440)[None, :] + 0.125
    latitude = LATITUDES[:, None]
    period = satellite.period / 60.0
    middle = 0.0 if which == "ascending" else 180.0
    angle = np.full((LATITUDES.size, 1440), middle)
    # The cell turns with the Earth while the satellite comes: each round is 15 times closer.
    for _ in range(6):
        turned = longitude + _DEGREES_AN_HOUR * period * angle / 360.0
        along, across = _orbit_coordinates(latitude, turned, satellite.inclination)
        angle = (along - middle + 180.0) % 360.0 - 180.0 + middle
    half = np.degrees(satellite.swath / 2.0 / _EARTH_RADIUS)
    row, column = np.nonzero((np.abs(across) <= half) & (np.abs(angle - middle) <= 90.0))
    return row, column, period * angle[row, column] / 360.0


def _orbit_coordinates(latitude: Grid, longitude: Grid, inclination: float) -> tuple[Grid, Grid]:
    """Angles along the orbit from its node (at 0° E) and across it, degrees."""
    phi, lam, tilt = (np.radians(angle) for angle in (latitude, longitude, inclination))
    x, y, z = np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi) + 0.0 * lam
    ahead = y * np.cos(tilt) + z * np.sin(tilt)
    aside = z * np.cos(tilt) - y * np.sin(tilt)
    return np.degrees(np.arctan2(ahead, x)), np.degrees(np.arcsin(np.clip(aside, -1.0, 1.0)))
