"""The Earth as a sphere: places on it, and how far apart they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

EARTH_RADIUS = 6371.0  # km


def unit_vectors(latitude: npt.NDArray[Any], longitude: npt.NDArray[Any]) -> Floats:
    """Places as vectors of length 1 from the centre.

    Parameters
    ----------
    latitude, longitude : array, shape (place,)
        Degrees; longitudes in any convention.

    Returns
    -------
    array, shape (place, 3)
        float64.
    """
    north, east = (np.radians(np.asarray(angle, np.float64)) for angle in (latitude, longitude))
    level = np.cos(north)
    return np.stack([level * np.cos(east), level * np.sin(east), np.sin(north)], axis=1)


def arc(cosine: Floats) -> Floats:
    """Great-circle distance between places, km, from the products of their unit vectors.

    Near 1 such a product is rounded: one place may come out some decimetres from itself. `distance`
    keeps its digits there.
    """
    return np.asarray(EARTH_RADIUS * np.arccos(np.clip(cosine, -1.0, 1.0)))


def distance(
    latitude: npt.ArrayLike, longitude: npt.ArrayLike, north: float, east: float
) -> Floats:
    """Great-circle distance of places from one place, km; all in degrees.

    By the haversine of the angle.
    """
    here, there = np.radians(latitude), np.radians(north)
    apart = np.radians(np.asarray(longitude) - east)
    chord = np.sin((here - there) / 2.0) ** 2
    chord = chord + np.cos(here) * np.cos(there) * np.sin(apart / 2.0) ** 2
    return np.asarray(2.0 * EARTH_RADIUS * np.arcsin(np.sqrt(np.clip(chord, 0.0, 1.0))))
