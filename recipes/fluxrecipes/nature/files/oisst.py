"""The layout of a NOAA OISST v2.1 daily file, filled with simulated fields."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from fluxrecipes.nature import instruments
from fluxrecipes.nature.fields import LATITUDES, Float
from fluxrecipes.nature.files.kinds import Daily, whole
from fluxrecipes.nature.world import World
from fluxrecipes.sources import oisst

_FILL = np.int16(-999)
_DAY_ZERO = date(1978, 1, 1)

# Packed variables: long name, units, smallest and largest valid stored number.
_PACKED = {
    "sst": ("Daily sea surface temperature", "Celsius", -300, 4500),
    "anom": ("Daily sea surface temperature anomalies", "Celsius", -1200, 1200),
    "err": ("Estimated error standard deviation of analysed_sst", "Celsius", 0, 1000),
    "ice": ("Sea ice concentration", "%", 0, 100),
}
_COORDINATES = {
    "time": {"long_name": "Center time of the day", "units": "days since 1978-01-01 12:00:00"},
    "zlev": {
        "long_name": "Sea surface height",
        "units": "meters",
        "positive": "down",
        "actual_range": "0, 0",
    },
    "lat": {
        "long_name": "Latitude",
        "units": "degrees_north",
        "grids": "Uniform grid from -89.875 to 89.875 by 0.25",
    },
    "lon": {
        "long_name": "Longitude",
        "units": "degrees_east",
        "grids": "Uniform grid from 0.125 to 359.875 by 0.25",
    },
}


def path(root: Path, day: date) -> Path:
    """Where NOAA keeps a day's file."""
    return root / "oisst" / oisst.path(day)


def _write_day(world: World, root: Path, day: date) -> None:
    fields = instruments.analysed_sst(world, np.datetime64(day))
    with whole(path(root, day)) as part:
        write(part, day, fields, name=oisst.file_name(day))


def write(path: Path, day: date, fields: dict[str, Float], *, name: str) -> None:
    """Write one day: dimensions, packing, chunks and attributes as in the provider's file.

    Parameters
    ----------
    path : Path
        File to make.
    day : date
    fields : dict of ndarray, shape (720, 1440)
        sst, anom, err in °C and ice as a fraction; NaN where missing.
    name : str
        The file's final name, for its ``id``.
    """
    with netCDF4.Dataset(path, "w", format="NETCDF4") as file:
        for dimension, size in (("time", None), ("zlev", 1), ("lat", 720), ("lon", 1440)):
            file.createDimension(dimension, size)
        longitudes = 0.125 + 0.25 * np.arange(1440)
        _coordinate(file, "time", (day - _DAY_ZERO).days)
        for dimension, values in (("zlev", 0.0), ("lat", LATITUDES), ("lon", longitudes)):
            _coordinate(file, dimension, values)
        for variable, values in fields.items():
            _packed(file, variable, values)
        file.setncatts(_global_attributes(day, name))


def _coordinate(file: netCDF4.Dataset, name: str, values: Any) -> None:
    options: dict[str, Any] = (
        {"zlib": True, "complevel": 4, "shuffle": True, "chunksizes": (1,)}
        if name == "time"
        else {"contiguous": True}
    )
    variable = file.createVariable(name, "f4", (name,), **options)
    variable.setncatts(_COORDINATES[name])
    variable[:] = values


def _packed(file: netCDF4.Dataset, name: str, values: Float) -> None:
    long_name, units, smallest, largest = _PACKED[name]
    variable = file.createVariable(
        name,
        "i2",
        ("time", "zlev", "lat", "lon"),
        zlib=True,
        complevel=4,
        shuffle=True,
        chunksizes=(1, 1, 720, 1440),
        fill_value=_FILL,
    )
    variable.setncatts(
        {
            "long_name": long_name,
            "units": units,
            "add_offset": np.float32(0.0),
            "scale_factor": np.float32(0.01),
            "valid_min": np.int16(smallest),
            "valid_max": np.int16(largest),
        }
    )
    variable.set_auto_maskandscale(False)
    steps = np.clip(np.rint(np.nan_to_num(values) * 100.0), smallest, largest)
    variable[0, 0] = np.where(np.isfinite(values), steps, _FILL).astype(np.int16)


def _global_attributes(day: date, name: str) -> dict[str, Any]:
    return {
        "Conventions": "CF-1.6, ACDD-1.3",
        "title": "SIMULATED daily sea surface temperature in the layout of NOAA OISST v2.1",
        "source": "simulated world of fluxforge; no observation went into it",
        "id": name,
        "naming_authority": "none: simulated",
        "summary": (
            "Sea surface temperature of an imagined world, smoothed and with errors, laid out "
            "as a daily 0.25 degree OISST v2.1 file. Not a product of NOAA."
        ),
        "cdm_data_type": "Grid",
        "history": "Simulated.",
        "product_version": "Version v02r01",
        "processing_level": "NOAA Level 4",
        "institution": "simulated",
        "standard_name_vocabulary": "CF Standard Name Table (v40, 25 January 2017)",
        "geospatial_lat_min": np.float32(-90.0),
        "geospatial_lat_max": np.float32(90.0),
        "geospatial_lon_min": np.float32(0.0),
        "geospatial_lon_max": np.float32(360.0),
        "geospatial_lat_units": "degrees_north",
        "geospatial_lat_resolution": np.float32(0.25),
        "geospatial_lon_units": "degrees_east",
        "geospatial_lon_resolution": np.float32(0.25),
        "time_coverage_start": f"{day}T00:00:00Z",
        "time_coverage_end": f"{day}T23:59:59Z",
        "sensor": "Thermometer, AVHRR",
    }


OISST = Daily("oisst", path, _write_day)
