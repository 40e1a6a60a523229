"""Files like those of RSS and of those who convert them, written from bytemaps."""

from __future__ import annotations

import gzip
from datetime import date
from pathlib import Path

import netCDF4
import numpy as np

EMPTY, LAND = 254, 255
UTC_BEHIND = (np.arange(1440) + 0.5) * 0.25 / 15  # h
# Layers of AMSR2's NetCDF after the time: name, units, scale, offset, layer of the bytemap.
FIELDS = (
    ("SST", "degrees_Celsius", 0.15, -3.0, 1),
    ("wind_speed_LF", "m s-1", 0.2, 0.0, 2),
    ("wind_speed_MF", "m s-1", 0.2, 0.0, 3),
    ("wind_speed_AW", "m s-1", 0.2, 0.0, 3),
    ("water_vapor", "kg m-2", 0.3, 0.0, 4),
    ("cloud_liquid_water", "kg m-2", 0.01, -0.05, 5),
    ("rain_rate", "mm hr-1", 0.1, 0.0, 6),
)
MASKS = {"land_mask": 255, "sea_ice_mask": 252, "coast_mask": 253, "noobs_mask": 254}


def pass_times(local: float, spread: float = 0.6) -> np.ndarray:
    """Time layer of a pass that crosses the equator at `local` h, give or take half a swath."""
    across = np.linspace(-spread, spread, 1440)[np.random.default_rng(0).permutation(1440)]
    row = np.rint(((local + across - UTC_BEHIND) % 24) / 0.1).astype(np.uint8)
    return np.tile(row, (720, 1))


def day_of_maps(layers: int, *locals_: float | None) -> np.ndarray:
    """Maps with given local times of their passes, None for a pass without observations."""
    maps = np.full((2, layers, 720, 1440), EMPTY, np.uint8)
    for number, local in enumerate(locals_):
        if local is not None:
            maps[number, 0] = pass_times(local)
            maps[number, 1:] = 10 + number
    return maps


def world(layers: int, *locals_: float | None) -> np.ndarray:
    """Maps as `day_of_maps` with land, ice, coast, rain and gaps, and every value somewhere."""
    maps = day_of_maps(layers, *locals_)
    maps[:, 1:, 600, :251] = np.arange(251)
    maps[:, 1:, 610:620, :400] = np.arange(251, 254).repeat(134)[:400]
    maps[:, 1:, 650:] = 252
    maps[:, :, 400:410] = EMPTY
    maps[:, :, :60] = LAND
    return maps


def bytemap(path: Path, maps: np.ndarray) -> Path:
    """As RSS ships it."""
    path.write_bytes(gzip.compress(maps.tobytes(), compresslevel=1))
    return path


def amsr2_netcdf(path: Path, maps: np.ndarray, day: date, **changes: object) -> Path:
    """AMSR2's NetCDF of an AMSR2 bytemap's bytes; a map without passes where `maps` has none.

    `changes` replace global attributes and, as ``SST__units``, those of variables; None takes one
    away.
    """
    daily = maps.ndim == 4
    dims = ("pass", "lat", "lon") if daily else ("lat", "lon")
    with netCDF4.Dataset(path, "w") as file:
        file.setncatts({"sensor": "AMSR2", "version": "8.2", "platform": "GCOM-W1"})
        file.time_coverage_start = f"{day}T00:00:00Z"
        _axes(file, {"lat": "degrees_north", "lon": "degrees_east"})
        if daily:
            file.createDimension("pass", 2)
            file.createVariable("pass", "i4", ("pass",))[:] = [1, 2]
            hours = np.where(maps[:, 0] <= 240, maps[:, 0] * np.float32(0.1), -999)
            _variable(file, "time", "f4", dims, hours)
            file["time"].units = f"hours since {day}T00:00:00Z"
        for name, units, scale, offset, number in FIELDS:
            layer = maps[:, number] if daily else maps[number - 1]
            values = np.where(layer <= 250, layer * np.float32(scale) + np.float32(offset), -999)
            _variable(file, name, "f4", dims, values)
            file[name].units = units
        layer = maps[:, 1] if daily else maps[0]
        for name, code in MASKS.items():
            _variable(file, name, "i1", dims, layer == code)
        _change(file, changes)
    return path


def _change(file: netCDF4.Dataset, changes: dict[str, object]) -> None:
    for name, value in changes.items():
        variable, _, attribute = name.rpartition("__")
        holder = file[variable] if variable else file
        holder.delncattr(attribute)
        if value is not None:
            holder.setncattr(attribute, value)


def _axes(file: netCDF4.Dataset, units: dict[str, str]) -> None:
    cells = (np.arange(-89.875, 90, 0.25), np.arange(0.125, 360, 0.25))
    for (name, unit), centres in zip(units.items(), cells, strict=True):
        file.createDimension(name, len(centres))
        file.createVariable(name, "f4", (name,))[:] = centres
        file[name].units = unit


def _variable(file, name, dtype, dims, values):
    fill = -999 if dtype == "f4" else None
    made = file.createVariable(name, dtype, dims, zlib=True, complevel=1, fill_value=fill)
    made.set_auto_maskandscale(False)
    made[:] = values


# Layers of an SSM/I map at GHRC: name, units, scale, offset.
GHRC_LAYERS = (
    ("sst_dtime", "hours since {day}T00:00:00Z", 0.1, 0.0),
    ("wind_speed", "m/s", 0.2, 0.0),
    ("atmosphere_water_vapor_content", "kg m-2", 0.3, 0.0),
    ("atmosphere_cloud_liquid_water_content", "kg m-2", 0.01, -0.05),
    ("rainfall_rate", "mm/hr", 0.1, 0.0),
)


def ghrc_netcdf(
    path: Path, maps: np.ndarray, day: date, dtype: str = "i2", **changes: object
) -> Path:
    """A bytemap as GHRC converts it: codes among the packed numbers, no fill value."""
    dims = ("time", "latitude", "longitude")[-(maps.ndim - 1) :]
    form = "NETCDF3_CLASSIC" if dtype == "i1" else "NETCDF4"
    with netCDF4.Dataset(path, "w", format=form) as file:
        file.setncatts({"satid": "DMSP-F17", "begin_time": f"{day}T00:00:00Z"})
        file.passdirection = "1:ascending orbit segments. 2:descending orbit segments."
        _axes(file, {"latitude": "degrees_north", "longitude": "degrees_east"})
        if len(dims) == 3:
            file.createDimension("time", 2)
            file.createVariable("time", "i2", ("time",))[:] = [1, 2]
        for number, (name, units, scale, offset) in enumerate(GHRC_LAYERS[-maps.shape[-3] :]):
            layer = maps[..., number, :, :]
            made = file.createVariable(name, dtype, dims, zlib=form == "NETCDF4", complevel=1)
            made.set_auto_maskandscale(False)
            made.units = units.format(day=day)
            made.setncatts({"scale_factor": np.float32(scale), "add_offset": np.float32(offset)})
            made[:] = layer.view("i1") if dtype == "i1" else layer.astype(dtype)
        _change(file, changes)
    return path
