"""Regions of the ocean, and means over them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Region:
    """A box between two latitudes and two longitudes, in degrees north and east.

    A box whose western edge lies east of its eastern one goes over Greenwich.
    """

    south: float
    north: float
    west: float = 0.0
    east: float = 360.0

    def holds(self, latitude: Floats, longitude: Floats) -> Flags:
        """Which cells have their middle in it, shape (lat, lon)."""
        rows = (latitude >= self.south) & (latitude <= self.north)
        turn = longitude % 360.0
        if self.west <= self.east:
            columns = (turn >= self.west) & (turn <= self.east)
        else:
            columns = (turn >= self.west) | (turn <= self.east)
        inside: Flags = rows[:, None] & columns
        return inside


# The boundary currents' boxes hold where their heat loss is strongest; none is published for them.
REGIONS = {
    "global": Region(-90, 90),
    "Kuroshio": Region(25, 42, 125, 160),
    "Gulf Stream": Region(25, 45, 280, 320),
    "Brazil Current": Region(-45, -22, 300, 325),
    "Agulhas Current": Region(-45, -25, 15, 45),
    "East Australian Current": Region(-42, -20, 148, 165),
    "tropics, 20-5 S": Region(-20, -5),
    "tropics, 5 S-5 N": Region(-5, 5),
    "tropics, 5-20 N": Region(5, 20),
}
NINO34 = Region(-5, 5, 190, 240)
TROPICS = Region(-20, 20)


def blocks(latitude: Floats, longitude: Floats, degrees: float) -> npt.NDArray[np.intp]:
    """Number of the block of so many degrees that each cell lies in, shape (lat, lon)."""
    rows = ((latitude + 90.0) // degrees).astype(np.intp)
    columns = ((longitude % 360.0) // degrees).astype(np.intp)
    return np.asarray(rows[:, None] * (columns.max() + 1) + columns)


def mean_over(
    region: Region, values: npt.NDArray[np.floating], latitude: Floats, longitude: Floats
) -> Floats:
    """Area-weighted mean over the cells of a region that have a value at all times.

    Where cells come and go, the mean would move with them: a cell without a value at any time is
    left out at all.

    Parameters
    ----------
    region : Region
    values : float array, shape (time, lat, lon)
        Times at which there is no value anywhere do not count.
    latitude, longitude : array
        Degrees.

    Returns
    -------
    float64 array, shape (time,)
        NaN where there is no value anywhere, and everywhere where no cell has all.
    """
    there = np.isfinite(values)
    told = there.any(axis=(1, 2))
    always = there[told].all(axis=0) & region.holds(latitude, longitude)
    weight = np.cos(np.radians(latitude))[:, None] * always
    series = np.full(len(values), np.nan)
    if told.any() and weight.sum() > 0:
        known = np.where(always, values[told], 0.0).astype(np.float64)
        series[told] = np.tensordot(known, weight, axes=2) / weight.sum()
    return series
