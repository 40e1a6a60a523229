"""Meteorology of the long flux moorings (WHOTS, Stratus, NTAS) in OceanSITES' NetCDF, hourly."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
from numpy.typing import NDArray

from fluxrecipes.nature.files.kinds import Series, whole
from fluxrecipes.nature.moorings import FLUX_MOORINGS
from fluxrecipes.nature.platforms import Sensors, Station, hourly_truth, measured
from fluxrecipes.nature.world import World

Values = NDArray[np.float32]  # (site, variable, hour), NaN where missing

_FILL = np.float32(99999.0)
_GOOD, _MISSING = 1, 9
_EPOCH = date(1950, 1, 1)
# Woods Hole carries two of each instrument and picks the better: small errors, few losses.
_SENSORS = Sensors(
    wind=0.1, wind_share=0.01, direction=3.0, pressure=20.0, air=0.08, water=0.02, dew=0.2
)
_HUMIDITY_ERROR = 1.0  # %
# Name: standard name, long name, units, which sensor's height.
_VARIABLES = {
    "AIRT": ("air_temperature", "air temperature", "degree_Celsius", "thermometer"),
    "RELH": ("relative_humidity", "relative humidity", "percent", "thermometer"),
    "ATMS": ("air_pressure", "atmospheric pressure at the sensor", "hPa", "thermometer"),
    "UWND": ("eastward_wind", "eastward wind", "m s-1", "anemometer"),
    "VWND": ("northward_wind", "northward wind", "m s-1", "anemometer"),
    "WSPD": ("wind_speed", "wind speed", "m s-1", "anemometer"),
    "WDIR": ("wind_to_direction", "direction the wind blows toward", "degree", "anemometer"),
    "TEMP": ("sea_water_temperature", "sea temperature", "degree_Celsius", "depth"),
    "RAIN": ("rainfall_rate", "rain rate", "mm h-1", "thermometer"),
}


def path(root: Path, site: str, year: int) -> Path:
    """Where a year of a site is: ``DATA/SITE/OS_SITE_YYYY_D_M.nc``."""
    return root / "oceansites/DATA" / site / f"OS_{site}_{year}_D_M.nc"


def day_rows(world: World, day: date) -> Values:
    """A UTC day of hourly values of every site."""
    parts = [_site_rows(*site) for site in hourly_truth(world, FLUX_MOORINGS, day, "oceansites")]
    return np.stack(parts)


def _site_rows(truth: dict[str, Any], random: np.random.Generator) -> Values:
    seen = measured(truth, _SENSORS, random)
    noise = random.standard_normal((2, 24))
    toward = np.mod(seen["direction"] + 180.0, 360.0)
    humidity = np.minimum(100.0 * truth["relative"] + _HUMIDITY_ERROR * noise[0], 100.0)
    columns = {
        "AIRT": seen["air"] - 273.15,
        "RELH": np.where(np.isnan(seen["dew"]), np.nan, humidity),
        "ATMS": seen["pressure"] / 100.0,
        "UWND": seen["wind"] * np.sin(np.radians(toward)),
        "VWND": seen["wind"] * np.cos(np.radians(toward)),
        "WSPD": seen["wind"],
        "WDIR": toward,
        "TEMP": seen["water"] - 273.15,
        "RAIN": truth["rain"] * np.exp(0.1 * noise[1]),
    }
    return np.stack([columns[name] for name in _VARIABLES]).astype(np.float32)


# --- the files ---------------------------------------------------------------------------------


def _files(root: Path, year: int) -> list[Path]:
    return [path(root, site.name, year) for site in FLUX_MOORINGS]


def _write(root: Path, year: int, rows: dict[date, Values]) -> None:
    days = sorted(rows)
    values = np.concatenate([rows[day] for day in days], axis=2)
    numbers = np.array([(day - _EPOCH).days for day in days], "f8")
    times = (numbers[:, None] + np.arange(24.0) / 24.0).ravel()
    for site, series in zip(FLUX_MOORINGS, values, strict=True):
        file = path(root, site.name, year)
        with whole(file) as part, netCDF4.Dataset(part, "w", format="NETCDF4_CLASSIC") as out:
            _axes(out, site, times)
            for name, one in zip(_VARIABLES, series, strict=True):
                _variable(out, site, name, one)
            out.setncatts(_global_attributes(site, file.stem, days))


def _axes(out: netCDF4.Dataset, site: Station, times: NDArray[np.float64]) -> None:
    longitude = (site.longitude + 180.0) % 360.0 - 180.0
    axes: dict[str, tuple[str, Any, str, str, str]] = {
        "TIME": ("f8", times, "time", "days since 1950-01-01T00:00:00Z", "T"),
        "LATITUDE": ("f4", [site.latitude], "latitude", "degrees_north", "Y"),
        "LONGITUDE": ("f4", [longitude], "longitude", "degrees_east", "X"),
        "DEPTH": ("f4", [site.depth], "depth", "meters", "Z"),
    }
    for name, (kind, values, standard, units, axis) in axes.items():
        out.createDimension(name, len(values))
        variable = out.createVariable(name, kind, (name,))
        variable.setncatts(
            {"standard_name": standard, "long_name": standard, "units": units, "axis": axis}
        )
        variable[:] = values
    out["TIME"].setncatts({"calendar": "standard", "conventions": "Relative julian days"})
    out["DEPTH"].setncatts({"positive": "down", "reference": "sea_level"})


def _variable(out: netCDF4.Dataset, site: Station, name: str, values: Values) -> None:
    standard, long_name, units, sensor = _VARIABLES[name]
    dims = ("TIME", "DEPTH") if sensor == "depth" else ("TIME",)
    shape = (-1, 1) if sensor == "depth" else (-1,)
    variable = out.createVariable(name, "f4", dims, fill_value=_FILL, zlib=True, complevel=1)
    above = -site.depth if sensor == "depth" else getattr(site, sensor)
    where = (
        {"sensor_depth": np.float32(site.depth)}
        if sensor == "depth"
        else {"sensor_height": np.float32(above), "sensor_depth": np.float32(-above)}
    )
    variable.setncatts(
        {
            "standard_name": standard,
            "long_name": long_name,
            "units": units,
            "coordinates": "TIME DEPTH LATITUDE LONGITUDE",
            "ancillary_variables": f"{name}_QC",
            "DM_indicator": "D",
            "cell_methods": "TIME: mean",
            **where,
        }
    )
    missing = np.isnan(values)
    variable[:] = np.where(missing, _FILL, values).reshape(shape)
    quality = out.createVariable(f"{name}_QC", "i1", dims, zlib=True, complevel=1)
    quality.setncatts(
        {
            "long_name": "quality flag",
            "conventions": "OceanSITES reference table 2",
            "valid_min": np.int8(0),
            "valid_max": np.int8(9),
            "flag_values": np.array([0, 1, 2, 3, 4, 7, 8, 9], np.int8),
            "flag_meanings": "unknown good_data probably_good_data potentially_correctable_bad_data"
            " bad_data nominal_value interpolated_value missing_value",
        }
    )
    quality[:] = np.where(missing, _MISSING, _GOOD).astype(np.int8).reshape(shape)


def _global_attributes(site: Station, name: str, days: list[date]) -> dict[str, Any]:
    return {
        "data_type": "OceanSITES time-series data",
        "format_version": "1.3",
        "Conventions": "CF-1.6, OceanSITES-1.3",
        "id": name,
        "title": f"SIMULATED meteorology in the layout of {site.name}; no observation went into it",
        "institution": "none: simulated",
        "source": "simulated world of fluxforge",
        "platform_code": site.name,
        "site_code": site.name,
        "data_mode": "D",
        "cdm_data_type": "TimeSeries",
        "featureType": "timeSeries",
        "geospatial_lat_min": site.latitude,
        "geospatial_lat_max": site.latitude,
        "time_coverage_start": f"{days[0]}T00:00:00Z",
        "time_coverage_end": f"{days[-1]}T23:00:00Z",
    }


def _kept(root: Path, year: int) -> dict[date, Values]:
    try:
        found = [_read(file) for file in _files(root, year)]
    except (OSError, RuntimeError, IndexError, KeyError, ValueError):
        return {}  # none, or a damaged one: all are made anew
    days = found[0][0]
    if any(other[0] != days for other in found):
        return {}
    values = np.stack([one for _, one in found])
    return {day: values[:, :, 24 * i : 24 * i + 24] for i, day in enumerate(days)}


def _read(file: Path) -> tuple[list[date], Values]:
    with netCDF4.Dataset(file) as found:
        found.set_auto_mask(False)
        days = [_EPOCH + timedelta(days=int(time)) for time in found["TIME"][::24]]
        values = np.stack([found[name][:].ravel() for name in _VARIABLES])
    return days, np.where(values == _FILL, np.float32(np.nan), values)


OCEANSITES = Series("oceansites", _files, day_rows, _kept, _write)
