"""Near-surface air as the networks give it, relative to the sea, and back: for training and stages.

Also the local time of a pass, which they are told.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]

PRESSURE = 101_300.0  # Pa: that of the bulk algorithm and of the baseline retrieval
SALINITY = 35.0
WETTEST = 0.999  # of saturation: what is stored is rounded, and must not come out above it
# Local time of ascending and descending passes, where none is known: the constellation's, nearly.
NOMINAL_HOURS = (18.0, 6.0)


def sea_saturation(sst: npt.ArrayLike) -> Floats:
    """Specific humidity of air in equilibrium with sea water.

    Parameters
    ----------
    sst : array_like
        Sea surface temperature, K.

    Returns
    -------
    float64 ndarray, of the same shape
        kg kg-1: about 0.98 of that over fresh water.
    """
    from fluxkernels.thermodynamics import saturation_specific_humidity

    found: Floats = saturation_specific_humidity(_double(sst), PRESSURE, SALINITY, over="water")
    return found


def relative_to_sea(
    sst: npt.ArrayLike, air_temperature: npt.ArrayLike, specific_humidity: npt.ArrayLike
) -> tuple[Floats, Floats]:
    """Air as the networks know it.

    Parameters
    ----------
    sst, air_temperature : array_like
        K, of one shape.
    specific_humidity : array_like
        kg kg-1.

    Returns
    -------
    air_minus_sea_temperature : ndarray
        K.
    humidity_deficit : ndarray
        Saturation over the sea less the humidity of the air, kg kg-1.
    """
    sea = _double(sst)
    return _double(air_temperature) - sea, sea_saturation(sea) - _double(specific_humidity)


def from_sea(
    sst: npt.ArrayLike, warmth: npt.ArrayLike, deficit: npt.ArrayLike
) -> tuple[Floats, Floats]:
    """Air of what the networks give: the inverse of `relative_to_sea`, within what air can hold.

    Parameters
    ----------
    sst, warmth : array_like
        Sea surface temperature, and that of the air less it; K, of one shape.
    deficit : array_like
        Of humidity, kg kg-1.

    Returns
    -------
    air_temperature : float64 ndarray
        K.
    specific_humidity : float64 ndarray
        kg kg-1, from 0 to `WETTEST` of saturation at that temperature.
    """
    from fluxkernels.thermodynamics import saturation_specific_humidity

    sea = _double(sst)
    air = sea + _double(warmth)
    wettest = WETTEST * saturation_specific_humidity(air, PRESSURE)
    return air, np.clip(sea_saturation(sea) - _double(deficit), 0.0, wettest)


def _double(values: npt.ArrayLike) -> Floats:
    """In double precision, where it lies: an array on a GPU stays there."""
    if isinstance(values, np.ndarray) or not hasattr(values, "astype"):
        return np.asarray(values, np.float64)
    found: Floats = values.astype(np.float64)
    return found


def local_hours(pass_time: npt.ArrayLike, longitude: npt.ArrayLike) -> Floats:
    """Local mean solar time of the cells of passes, also of those that were not seen.

    Parameters
    ----------
    pass_time : array_like, shape (time, 2, lat, lon)
        UTC hours since the start of the day of the ascending and the descending pass, NaN where a
        cell was not seen.
    longitude : array_like, shape (lon,)
        Degrees east.

    Returns
    -------
    float64 ndarray, of the shape of `pass_time`
        Hours from 0 to 24. A cell that was not seen has the mean hour of the cells that were on
        the same pass; where there are none, `NOMINAL_HOURS`.
    """
    hours: Floats = np.asarray(pass_time, np.float64) + np.asarray(longitude, np.float64) / 15.0
    angle = hours * (2.0 * np.pi / 24.0)
    seen = np.isfinite(angle)
    east, north = (np.where(seen, side(angle), 0.0).sum(axis=(-2, -1)) for side in (np.cos, np.sin))
    mean = np.arctan2(north, east) * (24.0 / (2.0 * np.pi))
    mean = np.where(seen.any(axis=(-2, -1)), mean, NOMINAL_HOURS)
    return np.asarray(np.where(seen, hours, mean[..., None, None]) % 24.0)


def clock(hours: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Hand of a 24-hour clock: cosine and sine.

    Parameters
    ----------
    hours : array_like
        Local time, hours.

    Returns
    -------
    cosine, sine : ndarray, of the same shape
    """
    angle = np.asarray(hours, np.float64) * (2.0 * np.pi / 24.0)
    return np.cos(angle), np.sin(angle)
