"""Buoys and ships of the simulated world: where they are, and what their sensors give.

Positions of buoys with a number and of the moorings are close to those of the real ones of that
name; stations that begin with S are ours, in oceans where NDBC has none. All they report is
simulated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from fluxkernels.bulk import bulk_flux
from fluxkernels.thermodynamics import dew_point, relative_humidity
from fluxrecipes.nature.fields import Points, generator, hours_since_epoch
from fluxrecipes.nature.weather import State
from fluxrecipes.nature.world import World

Series = NDArray[np.float64]
Measured = dict[str, Series]

_LOST_SENSOR, _SENSOR_DOWN = 0.01, 0.02  # chances: an hour, a whole day
_SENSORS = ("wind", "pressure", "air", "water", "dew")


@dataclass(frozen=True)
class Station:
    """A moored buoy.

    Parameters
    ----------
    name : str
        As in its provider's file names.
    latitude, longitude : float
        Degrees north and east (0 to 360).
    anemometer, thermometer : float
        Heights above the sea, m; the humidity is measured at the thermometer.
    depth : float
        Of the water's temperature, m.
    """

    name: str
    latitude: float
    longitude: float
    anemometer: float
    thermometer: float
    depth: float = 1.0


STATIONS = (
    Station("41040", 14.54, 306.86, 4.1, 3.7),  # tropical North Atlantic
    Station("41049", 27.49, 297.06, 4.1, 3.7),  # south of Bermuda
    Station("46006", 40.76, 222.62, 4.1, 3.7),  # off California, far
    Station("46035", 57.03, 182.53, 5.0, 4.0),  # Bering Sea
    Station("51004", 17.54, 207.77, 4.1, 3.7),  # south-east of Hawaii
    Station("32012", -19.43, 274.92, 4.1, 3.7),  # off Chile
    Station("SATLS", -10.00, 350.00, 4.0, 3.0),  # tropical South Atlantic
    Station("SINDS", -12.00, 80.50, 4.0, 3.0),  # southern tropical Indian Ocean
    Station("SPACW", 5.00, 165.00, 4.0, 3.0),  # western Pacific warm pool
    Station("SSOUT", -46.70, 142.00, 5.0, 4.0),  # south of Australia
    Station("41001", 34.72, 287.68, 4.1, 3.7),  # east of Hatteras
    Station("41002", 31.76, 285.16, 4.1, 3.7),
    Station("41041", 14.31, 313.67, 4.1, 3.7),
    Station("41044", 21.58, 301.37, 4.1, 3.7),
    Station("41048", 31.83, 290.43, 4.1, 3.7),
    Station("42001", 25.93, 270.34, 4.1, 3.7),  # Gulf of Mexico
    Station("42059", 15.30, 292.52, 4.1, 3.7),  # Caribbean
    Station("46001", 56.23, 212.05, 5.0, 4.0),  # Gulf of Alaska
    Station("46002", 42.66, 229.49, 5.0, 4.0),
    Station("46059", 38.09, 230.05, 4.1, 3.7),
    Station("46066", 52.79, 204.95, 5.0, 4.0),
    Station("51001", 24.45, 198.00, 4.1, 3.7),  # north-west of Hawaii
    Station("51002", 17.07, 202.25, 4.1, 3.7),
)


@dataclass(frozen=True)
class Sensors:
    """Standard errors of one kind of platform's sensors.

    Parameters
    ----------
    wind, wind_share : float
        m s-1, and the part that grows with the wind.
    direction : float
        Degrees.
    pressure : float
        Pa.
    air, water, dew : float
        K.
    """

    wind: float
    wind_share: float
    direction: float
    pressure: float
    air: float
    water: float
    dew: float


def hourly_truth(
    world: World, stations: Sequence[Station], day: date, purpose: str
) -> Iterator[tuple[Measured, np.random.Generator]]:
    """What perfect sensors give at the hours of a UTC day, and each station's random numbers.

    As `truth_at_sensors`, and relative [a fraction, the relative humidity]; 24 values of each.
    """
    start = hours_since_epoch(np.datetime64(day))
    truth = truth_at_sensors(world, stations, start + np.arange(24.0))
    truth["relative"] = np.asarray(
        relative_humidity(truth["humidity"], truth["air"], truth["pressure"])
    )
    for i, station in enumerate(stations):
        random = generator(world.seed, f"{purpose}/{station.name}", int(start // 24))
        yield {name: values[i] for name, values in truth.items()}, random


def truth_at_sensors(world: World, stations: Sequence[Station], hours: Series) -> Measured:
    """What perfect sensors of moored stations would give.

    Parameters
    ----------
    world : World
    stations : sequence of Station
    hours : ndarray, shape (times,)
        Since the start of 1950.

    Returns
    -------
    dict of ndarray, shape (stations, times)
        wind [m s-1], direction [degrees, from which it blows], pressure [Pa], air, water, dew
        [K], humidity [kg kg-1], rain [mm h-1].
    """
    times = hours.size
    row = np.repeat([int((one.latitude + 90.0) * 4.0) for one in stations], times)
    longitude = np.repeat([one.longitude for one in stations], times).astype(np.float32)
    truth = world.state(Points(row, longitude, np.tile(hours, len(stations))))
    heights = [
        np.repeat([getattr(one, name) for one in stations], times)
        for name in ("anemometer", "thermometer")
    ]
    shape = (len(stations), times)
    return {name: values.reshape(shape) for name, values in perfect(truth, *heights).items()}


def perfect(truth: State, anemometer: Series, thermometer: Series) -> Measured:
    """Quantities of `truth_at_sensors` from the truth at 10 m, each of the truth's shape."""
    wind, air, humidity = at_sensors(truth, anemometer, thermometer)
    toward = np.degrees(np.arctan2(truth.eastward_wind, truth.northward_wind))
    pressure = truth.surface_pressure.astype("f8")
    return {
        "wind": wind,
        "direction": np.mod(toward.astype("f8") + 180.0, 360.0),
        "pressure": pressure,
        "air": air,
        "water": truth.sea_surface_temperature.astype("f8"),
        "dew": np.asarray(dew_point(humidity, pressure)),
        "humidity": humidity,
        "rain": truth.rain_rate.astype("f8"),
    }


def measured(truth: Measured, sensors: Sensors, random: np.random.Generator) -> Measured:
    """Values as one station's sensors give them in a day, NaN where one failed.

    Parameters
    ----------
    truth : dict of ndarray, shape (times,)
        As of `truth_at_sensors`, of one station.
    sensors : Sensors
    random : numpy.random.Generator
        Of the station and the day.
    """
    times = truth["wind"].size
    noise = random.standard_normal((6, times))
    wind = truth["wind"] + (sensors.wind + sensors.wind_share * truth["wind"]) * noise[0]
    air = truth["air"] + sensors.air * noise[3]
    values = {
        "direction": np.mod(np.rint(truth["direction"] + sensors.direction * noise[1]), 360.0),
        "wind": np.maximum(wind, 0.0),
        "pressure": truth["pressure"] + sensors.pressure * noise[2],
        "air": air,
        "water": truth["water"] + sensors.water * noise[4],
        "dew": np.minimum(truth["dew"] + sensors.dew * noise[5], air),
    }
    down = random.random(len(_SENSORS)) < _SENSOR_DOWN
    for sensor, broken in zip(_SENSORS, down, strict=True):
        lost = (random.random(times) < _LOST_SENSOR) | broken
        for name in ("direction", "wind") if sensor == "wind" else (sensor,):
            values[name] = np.where(lost, np.nan, values[name])
    return values


def at_sensors(
    truth: State, anemometer: Series, thermometer: Series
) -> tuple[Series, Series, Series]:
    """Bring the wind, air temperature and humidity of 10 m to the sensors' heights.

    Values at the sensors are sought from which COARE gives back those at 10 m, so the stations
    are consistent with the fluxes: each round adds what is still missing at 10 m.

    Parameters
    ----------
    truth : State
    anemometer, thermometer : ndarray
        Heights of the sensors at each point, m.

    Returns
    -------
    wind, air_temperature, specific_humidity : ndarray
        m s-1, K, kg kg-1.
    """
    target = [
        values.astype("f8")
        for values in (truth.wind_speed, truth.air_temperature, truth.specific_humidity)
    ]
    wind, air, humidity = target
    for _ in range(5):
        flux = bulk_flux(
            wind,
            truth.sea_surface_temperature.astype("f8"),
            air,
            humidity,
            height_wind=anemometer,
            height_temperature=thermometer,
            height_humidity=thermometer,
            pressure=truth.surface_pressure.astype("f8"),
        )
        wind = np.maximum(wind + target[0] - flux.wind_speed_at_height, 0.0)
        air = air + target[1] - flux.air_temperature_at_height
        humidity = np.maximum(humidity + target[2] - flux.specific_humidity_at_height, 1e-5)
    return wind, air, humidity
