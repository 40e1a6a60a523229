"""Moored buoys of the simulated world, reported in NDBC's standard meteorological text.

Positions of buoys with a number are close to those of the real stations of that number; those
that begin with S are ours, in oceans where NDBC has none. All reports are simulated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fluxkernels.bulk import bulk_flux
from fluxrecipes.nature.fields import Points, generator, hours_since_epoch
from fluxrecipes.nature.weather import State
from fluxrecipes.nature.world import World

Series = NDArray[np.float64]


@dataclass(frozen=True)
class Station:
    """A buoy.

    Parameters
    ----------
    name : str
        Five characters, as in NDBC's file names.
    latitude, longitude : float
        Degrees north and east (0 to 360).
    anemometer, thermometer : float
        Heights above the sea, m; the humidity is measured at the thermometer.
    """

    name: str
    latitude: float
    longitude: float
    anemometer: float
    thermometer: float


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
)

HEADER = (
    "#YY  MM DD hh mm WDIR WSPD GST  WVHT   DPD   APD MWD   PRES  ATMP  WTMP  DEWP  VIS  TIDE\n"
    "#yr  mo dy hr mn degT m/s  m/s     m   sec   sec deg    hPa  degC  degC  degC  nmi    ft\n"
)
MINUTE = 50  # of the hour at which a report's ten-minute mean ends
_LOST_REPORT, _LOST_SENSOR, _SENSOR_DOWN = 0.01, 0.01, 0.02  # chances: hour, hour, whole day
_SENSORS = ("wind", "pressure", "air", "water", "dew")


def day_reports(world: World, day: np.datetime64) -> dict[str, str]:
    """One UTC day of hourly reports of every station, a line each.

    A report that never came has no line; a sensor that failed has NDBC's missing value.
    """
    start = hours_since_epoch(day.astype("datetime64[D]"))
    hours = start + np.arange(24) + MINUTE / 60.0
    row = np.repeat([int((station.latitude + 90.0) * 4.0) for station in STATIONS], 24)
    longitude = np.repeat([station.longitude for station in STATIONS], 24).astype(np.float32)
    truth = world.state(Points(row, longitude, np.tile(hours, len(STATIONS))))
    at_10m = _double(truth)
    at_10m |= dict(zip(("wind", "air", "humidity"), at_sensors(truth), strict=True))
    stamp = str(day.astype("datetime64[D]")).replace("-", " ")
    number = int(start // 24)
    return {
        station.name: _text(
            {name: values[24 * i : 24 * i + 24] for name, values in at_10m.items()},
            stamp,
            generator(world.seed, f"buoy/{station.name}", number),
        )
        for i, station in enumerate(STATIONS)
    }


def _text(truth: dict[str, Series], stamp: str, random: np.random.Generator) -> str:
    values = _measured(truth, random)
    came = random.random(24) >= _LOST_REPORT
    return "".join(
        f"{stamp} {hour:02d} {MINUTE} {_line({n: float(v[hour]) for n, v in values.items()})}\n"
        for hour in np.flatnonzero(came)
    )


def _double(truth: State) -> dict[str, Series]:
    return {name: getattr(truth, name).astype("f8") for name in truth.__dataclass_fields__}


def _line(value: dict[str, float]) -> str:
    """The columns after the time; NDBC's 99, 999 and 9999 where there is no value."""
    return (
        f"{_or(value['direction'], 999):3.0f} {_or(value['wind'], 99):4.1f} "
        f"{_or(value['gust'], 99):4.1f} 99.00 99.00 99.00 999 {_or(value['pressure'], 9999):6.1f} "
        f"{_or(value['air'], 999):5.1f} {_or(value['water'], 999):5.1f} "
        f"{_or(value['dew'], 999):5.1f} 99.0 99.00"
    )


def _or(value: float, missing: float) -> float:
    return missing if np.isnan(value) else value


def _measured(truth: dict[str, Series], random: np.random.Generator) -> dict[str, Series]:
    """Values as the sensors give them, NaN where one failed: m/s, degrees, hPa, °C."""
    noise = random.standard_normal((6, 24))
    pressure = truth["surface_pressure"]
    wind = np.maximum(truth["wind"] + (0.15 + 0.02 * truth["wind"]) * noise[0], 0.0)
    toward = np.arctan2(truth["eastward_wind"], truth["northward_wind"])
    direction = np.mod(np.rint(np.degrees(toward) + 180.0 + 5.0 * noise[1]), 360.0)
    air = truth["air"] - 273.15 + 0.1 * noise[3]
    dew = _dew_point(truth["humidity"], pressure) + 0.25 * noise[5]
    measured = {
        "direction": np.where(direction == 0.0, 360.0, direction),
        "wind": wind,
        "gust": wind * 1.22,
        "pressure": pressure / 100.0 + 0.2 * noise[2],
        "air": air,
        "water": truth["sea_surface_temperature"] - 273.15 + 0.06 * noise[4],
        "dew": np.minimum(dew, air),
    }
    down = random.random(len(_SENSORS)) < _SENSOR_DOWN
    for sensor, broken in zip(_SENSORS, down, strict=True):
        lost = (random.random(24) < _LOST_SENSOR) | broken
        for name in ("direction", "wind", "gust") if sensor == "wind" else (sensor,):
            measured[name] = np.where(lost, np.nan, measured[name])
    return measured


def at_sensors(truth: State) -> tuple[Series, Series, Series]:
    """Bring the wind, air temperature and humidity of 10 m to the sensors' heights.

    Values at the sensors are sought from which COARE gives back those at 10 m, so the stations
    are consistent with the fluxes: each round adds what is still missing at 10 m.

    Parameters
    ----------
    truth : State
        Of all stations in order, with the same number of times for each.

    Returns
    -------
    wind, air_temperature, specific_humidity : ndarray
        m s-1, K, kg kg-1.
    """
    times = truth.wind_speed.size // len(STATIONS)
    anemometer = np.repeat([station.anemometer for station in STATIONS], times)
    thermometer = np.repeat([station.thermometer for station in STATIONS], times)
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


def _dew_point(humidity: Series, pressure: Series) -> Series:
    """Dew point over water, °C, from kg/kg and Pa (inverse of Bolton, 1980)."""
    vapour = humidity * pressure / (0.622 + 0.378 * humidity)
    ratio = np.log(vapour / 611.2)
    return np.asarray(243.5 * ratio / (17.67 - ratio))
