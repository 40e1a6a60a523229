"""What an hourly record of one place says: spreads, memories, and how variables go together.

A simulated place is asked for many draws of its weather (`Points.shift`) through ten-day pieces
spread over seasons and years: as much as years of reports, without their cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fluxkernels.thermodynamics import saturation_specific_humidity

if TYPE_CHECKING:
    from fluxrecipes.nature.world import World

Float = NDArray[np.floating[Any]]

Place = tuple[float, float]  # latitude, longitude

PAPA: Place = (50.1, 215.1)
ST_41002: Place = (31.76, 285.16)  # NDBC 41002, south-east of Cape Hatteras
MEMORIES = (6, 12, 24, 48)  # hours
_DRAWS = 30
_PIECE = 240  # hours
_SALINITY = 35.0


@dataclass(frozen=True)
class Record:
    """Hourly values at one place, each (pieces, draws, hours); K, m s-1, kg kg-1.

    Parameters
    ----------
    sea, air, humidity, wind : ndarray
        SST; air temperature, specific humidity and actual wind at 10 m.
    """

    sea: Float
    air: Float
    humidity: Float
    wind: Float

    @property
    def gap(self) -> Float:
        """SST less air temperature."""
        return self.sea - self.air

    @property
    def humidity_gap(self) -> Float:
        """Saturation humidity at the surface less that of the air, g/kg."""
        at_surface = saturation_specific_humidity(self.sea, 101_300.0, _SALINITY)
        return np.asarray(1000.0 * (at_surface - self.humidity))


def records(world: World, places: Sequence[Place], pieces: int = 8) -> list[Record]:
    """Hourly records of places, together for the sake of speed: they lie under the same maps.

    Of each, `pieces` times ten days, through all seasons, thirty draws each.
    """
    from fluxrecipes.nature.fields import YEAR, Points, hours_since_epoch

    begin = hours_since_epoch(np.datetime64("2010-01-01"))
    # Each piece a season further on, and two years later; all begin at midnight.
    days = np.floor((2.0 + 1.0 / pieces) * YEAR * np.arange(pieces) / 2.0 / 24.0)
    starts = begin + 24.0 * days
    shape = (pieces, len(places), _DRAWS, _PIECE)
    latitude, longitude = np.array(places).T[:, :, None, None]
    given = (
        ((latitude + 90.0) * 4.0).astype(int),
        longitude.astype(np.float32),
        starts[:, None, None, None] + np.arange(float(_PIECE)),
        (360.0 / _DRAWS * np.arange(_DRAWS, dtype=np.float32))[:, None],
    )
    truth = world.state(Points(*(np.broadcast_to(each, shape).ravel() for each in given)))
    found = [
        values.reshape(shape).astype("f8")
        for values in (
            truth.sea_surface_temperature,
            truth.air_temperature,
            truth.specific_humidity,
            truth.wind_speed,
        )
    ]
    return [Record(*(values[:, at] for values in found)) for at in range(len(places))]


def anomaly(values: Float) -> Float:
    """Departures from the mean over the draws of each piece: from season and climate."""
    return np.asarray(values - values.mean(axis=(1, 2), keepdims=True))


def memory(values: Float) -> Float:
    """Autocorrelation of the departures at `MEMORIES`."""
    away = anomaly(values)
    return np.array(
        [np.corrcoef(away[..., :-n].ravel(), away[..., n:].ravel())[0, 1] for n in MEMORIES]
    )


def together(one: Float, other: Float) -> float:
    """Correlation of two variables, seasons and all."""
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def residual(record: Record, *, knowing_humidity: bool) -> float:
    """Spread of SST less air temperature that a quadratic in the other variables leaves, K."""
    known = [record.sea, record.wind, *([record.humidity] if knowing_humidity else [])]
    x = np.stack([(v.ravel() - v.mean()) / v.std() for v in known])
    first, second = np.triu_indices(len(x))
    terms = np.concatenate([np.ones((1, x.shape[1])), x, x[first] * x[second]]).T
    target = record.gap.ravel()
    solution = np.linalg.lstsq(terms, target, rcond=None)[0]
    return float((target - terms @ solution).std())


def diurnal_range(values: Float) -> float:
    """Range of the mean day."""
    days = values.reshape(*values.shape[:2], -1, 24)
    course = (days - days.mean(axis=-1, keepdims=True)).mean(axis=(0, 1, 2))
    return float(np.ptp(course))
