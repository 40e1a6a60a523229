"""When a satellite sees each cell: day maps of observation time.

A circular orbit and a swath of constant width square to the track (the conical scan's curvature
is left out). Seen from its ascending node every revolution is the same, so one table serves all
of them, turned to the node's longitude. That longitude follows from the local time of the node,
which drifts as the sources' table says, or runs round the clock where the plane is not held to
the sun.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fluxrecipes.nature import loops
from fluxrecipes.nature.fields import LATITUDES, hours_since_epoch
from fluxrecipes.sources import rss
from fluxrecipes.sphere import EARTH_RADIUS

Pass = Literal["ascending", "descending"]
Grid = NDArray[np.float64]

_SUN = 15.0  # degrees an hour, at which the Earth turns under the mean sun
_FIRST_DAY = date(1950, 1, 1)


@dataclass(frozen=True)
class Satellite:
    """A satellite and its imager.

    Parameters
    ----------
    instrument : rss.Instrument
        Its series in the sources: name, period, local times.
    period : float
        From node to node, minutes.
    inclination : float
        Degrees.
    swath : float
        Effective width, km: a little more than nominal, as a cell counts as seen when any
        footprint falls in it.
    node_hour : float
        Hours since the start of 1950 of one ascending node: sets the phase of the swaths.
    precession : float
        Change of the node's local time, hours a day; 0 for a plane that follows the sun.
    """

    instrument: rss.Instrument
    period: float
    inclination: float
    swath: float
    node_hour: float
    precession: float = 0.0

    @property
    def name(self) -> str:
        """As in the names of our datasets."""
        return self.instrument.sensor

    def ascending_hour(self, hours: float) -> float:
        """Local mean solar time of the ascending node [h], at hours since the start of 1950."""
        if self.precession:
            return float((self.precession * hours / 24.0) % 24.0)
        return self.instrument.crossing(_FIRST_DAY + timedelta(days=int(hours // 24.0)))

    def local_hour(self, which: Pass, day: np.datetime64) -> float:
        """Local mean solar time [h] at the equator of one kind of pass, at the day's noon."""
        hour = self.ascending_hour(hours_since_epoch(day.astype("datetime64[D]")) + 12.0)
        return hour if which == "ascending" else (hour + 12.0) % 24.0

    def flies(self, day: date) -> bool:
        """Whether a day lies in the period of the satellite's series."""
        last = self.instrument.last
        return self.instrument.first <= str(day) and (last is None or str(day) <= last)


def _table() -> dict[str, Satellite]:
    """Every instrument of the sources with its orbit.

    Periods, inclinations and nominal swaths are those of the missions' descriptions. The swaths
    here are some 90 km wider; AMSR2's is the one with which its coverage by latitude and the
    share of unseen cells are those of one real day (2 January 2016) within 2 %. The satellite of
    GPM turns 4.4° a day against the sun, round the clock in 82 days.
    """
    instruments = {one.sensor: one for one in rss.INSTRUMENTS}
    ssmi = {"period": 102.0, "inclination": 98.8, "swath": 1480.0}
    ssmis = {"period": 101.85, "inclination": 98.8, "swath": 1800.0}
    a_train = {"period": 98.85, "inclination": 98.2}
    orbits: Mapping[str, Mapping[str, float]] = {
        "f10": {**ssmi, "period": 100.8, "node_hour": 0.1},
        "f11": {**ssmi, "period": 101.9, "node_hour": 1.3},
        "f13": {**ssmi, "node_hour": 0.35},
        "f14": {**ssmi, "period": 101.95, "node_hour": 0.9},
        "f15": {**ssmi, "period": 101.8, "node_hour": 1.5},
        "f16": {**ssmis, "period": 101.9, "node_hour": 1.1},
        "f17": {**ssmis, "node_hour": 0.6},
        "f18": {**ssmis, "period": 101.95, "node_hour": 0.2},
        "amsr2": {**a_train, "swath": 1740.0, "node_hour": 0.7},
        "amsr2-v7.2": {**a_train, "swath": 1740.0, "node_hour": 0.7},
        "amsre": {**a_train, "swath": 1550.0, "node_hour": 1.6},
        "windsat": {"period": 101.6, "inclination": 98.7, "swath": 1040.0, "node_hour": 0.5},
        "gmi": {
            "period": 92.6,
            "inclination": 65.0,
            "swath": 940.0,
            "node_hour": 0.4,
            "precession": -24.0 / 82.0,
        },
    }
    return {name: Satellite(instruments[name], **orbit) for name, orbit in orbits.items()}


SATELLITES: Mapping[str, Satellite] = _table()
F17 = SATELLITES["f17"]


def observation_hours(satellite: Satellite, day: np.datetime64, which: Pass) -> Grid:
    """When each cell was last seen in a UTC day by one kind of pass.

    Later revolutions overwrite earlier ones, where swaths cross at high latitudes and at the
    seam where the day's last swath meets its first: as the provider fills its maps.

    Returns
    -------
    ndarray, shape (720, 1440)
        Hours since the start of the day, 0 to 24; NaN where not seen.
    """
    line, column, after = _swath(
        satellite.period, satellite.inclination, satellite.swath, satellite.precession, which
    )
    start = hours_since_epoch(day.astype("datetime64[D]"))
    period = satellite.period / 60.0
    hours = np.full(LATITUDES.size * 1440, np.nan)
    first = int(np.floor((start - satellite.node_hour) / period)) - 1
    for revolution in range(first, first + int(24.0 / period) + 4):
        node = satellite.node_hour + revolution * period - start
        longitude = _SUN * (satellite.ascending_hour(start + node) - node)
        east = round(longitude / 0.25) % 1440
        loops.seen_in_turn(hours, line, column, east, node, after)
    return hours.reshape(LATITUDES.size, 1440)


@lru_cache(maxsize=32)
def _swath(
    minutes: float, inclination: float, width: float, precession: float, which: Pass
) -> tuple[NDArray[np.int32], NDArray[np.int32], Grid]:
    """What one revolution sees from a node at 0° E.

    Number of the first cell of each cell's row, column, hours after the node.
    """
    longitude = 0.25 * np.arange(1440)[None, :] + 0.125
    latitude = LATITUDES[:, None]
    period = minutes / 60.0
    middle = 0.0 if which == "ascending" else 180.0
    turning = _SUN * (1.0 - precession / 24.0)  # of the Earth under the plane
    angle = np.full((LATITUDES.size, 1440), middle)
    # The cell turns with the Earth while the satellite comes: each round is 15 times closer.
    for _ in range(6):
        turned = longitude + turning * period * angle / 360.0
        along, across = _orbit_coordinates(latitude, turned, inclination)
        angle = (along - middle + 180.0) % 360.0 - 180.0 + middle
    half = np.degrees(width / 2.0 / EARTH_RADIUS)
    row, column = np.nonzero((np.abs(across) <= half) & (np.abs(angle - middle) <= 90.0))
    after = period * angle[row, column] / 360.0
    return (1440 * row).astype(np.int32), column.astype(np.int32), after


def _orbit_coordinates(latitude: Grid, longitude: Grid, inclination: float) -> tuple[Grid, Grid]:
    """Angles along the orbit from its node (at 0° E) and across it, degrees."""
    phi, lam, tilt = (np.radians(angle) for angle in (latitude, longitude, inclination))
    x, y, z = np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi) + 0.0 * lam
    ahead = y * np.cos(tilt) + z * np.sin(tilt)
    aside = z * np.cos(tilt) - y * np.sin(tilt)
    return np.degrees(np.arctan2(ahead, x)), np.degrees(np.arcsin(np.clip(aside, -1.0, 1.0)))
