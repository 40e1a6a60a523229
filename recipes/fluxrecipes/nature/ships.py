"""Ships of the simulated world: where each is at any time, and how well it measures.

Ships run to and fro along lanes of trade, so that any time can be asked without stepping to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fluxrecipes.nature import land
from fluxrecipes.nature.fields import generator

Series = NDArray[np.float64]

SHIPS = 240
# Lanes: latitude and longitude (any turn) of their way-points.
_LANES = (
    ((49, -7), (43, -50), (41, -66)),  # the Channel to New England
    ((49, -7), (30, -50), (26, -74)),  # the Channel to Florida
    ((36, -9), (20, -21), (0, -18), (-32, 14), (-36, 22)),  # Portugal to the Cape
    ((36, -9), (5, -30), (-22, -38), (-36, -53)),  # Portugal to the Plate
    ((-36, 22), (-30, 50), (-10, 90), (4, 95)),  # the Cape to Sumatra
    ((12, 52), (8, 70), (5, 80), (6, 94)),  # Aden to Sumatra
    ((-35, 22), (-42, 60), (-40, 110), (-39, 142)),  # the Cape to Melbourne
    ((35, 142), (46, 165), (50, 190), (44, 225), (36, 236)),  # Japan to California
    ((30, 125), (21, 150), (21, 200), (33, 239)),  # China to California by Hawaii
    ((34, 141), (10, 150), (-12, 158), (-32, 155)),  # Japan to Sydney
    ((7, 279), (3, 250), (-15, 210), (-35, 178)),  # Panama to New Zealand
    ((6, 279), (-12, 280), (-32, 286), (-50, 283)),  # Panama to the Strait
    ((-38, 179), (-55, 230), (-56, 290)),  # New Zealand to the Horn
    ((58, -5), (63, -20), (60, -43), (50, -50)),  # Scotland to Newfoundland
    ((22, -84), (15, -75), (18, -60), (35, -12)),  # the Caribbean to Gibraltar
)


@dataclass(frozen=True)
class Fleet:
    """The ships of a world; arrays of one length.

    Parameters
    ----------
    lane : ndarray of int
    phase, speed : ndarray
        Degrees along the lane at the start of 1950, and degrees an hour.
    aside : ndarray
        Degrees of latitude off the lane.
    anemometer, thermometer : ndarray
        Heights, m: ships' bridges and masts are of all sizes.
    air, dew, water, wind : ndarray
        Errors that a ship keeps: K, K, K, and a factor.
    intake : ndarray of bool
        Its water comes from the engine's intake, not from a bucket.
    """

    lane: NDArray[np.intp]
    phase: Series
    speed: Series
    aside: Series
    anemometer: Series
    thermometer: Series
    air: Series
    dew: Series
    water: Series
    wind: Series
    intake: NDArray[np.bool_]

    def positions(self, hours: float) -> tuple[Series, Series, NDArray[np.bool_]]:
        """Latitude and longitude (0 to 360) in tenths as reported, and whether it is at sea."""
        latitude, longitude = np.empty(SHIPS), np.empty(SHIPS)
        for number, lane in enumerate(_LANES):
            here = self.lane == number
            points = np.array(lane, "f8")
            along = np.concatenate([[0.0], np.hypot(*np.diff(points, axis=0).T).cumsum()])
            length = along[-1]
            run = np.mod(self.phase[here] + self.speed[here] * hours, 2.0 * length)
            done = np.minimum(run, 2.0 * length - run)  # there and back
            latitude[here] = np.interp(done, along, points[:, 0]) + self.aside[here]
            longitude[here] = np.interp(done, along, points[:, 1])
        north = np.round(latitude, 1)
        east = np.asarray(np.round(longitude, 1) % 360.0, np.float64)
        row, column = (4.0 * (north + 90.0)).astype(int), (4.0 * east).astype(int)
        return north, east, ~(land.rss_land() | land.rss_coast())[row, column]


@lru_cache(maxsize=4)
def fleet(seed: int) -> Fleet:
    """The ships of a world's seed."""
    random = generator(seed, "ships", 0)
    thermometer = random.uniform(12.0, 32.0, SHIPS)
    intake = random.random(SHIPS) < 0.7
    return Fleet(
        lane=np.arange(SHIPS) % len(_LANES),
        phase=random.uniform(0.0, 400.0, SHIPS),
        speed=random.uniform(0.17, 0.32, SHIPS),
        aside=random.uniform(-2.0, 2.0, SHIPS),
        anemometer=thermometer + random.uniform(2.0, 15.0, SHIPS),
        thermometer=thermometer,
        air=random.normal(0.2, 0.4, SHIPS),  # a ship in the sun is warm
        dew=random.normal(0.1, 0.5, SHIPS),
        water=random.normal(0.0, 0.3, SHIPS) + np.where(intake, 0.2, -0.1),
        wind=1.0 + random.normal(0.0, 0.06, SHIPS),
        intake=intake,
    )
