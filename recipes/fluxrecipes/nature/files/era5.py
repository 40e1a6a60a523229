"""ERA5 as the Climate Data Store delivers it: NetCDF4 on 0.25° nodes, made of the truth.

The fields are smoother than the truth and have errors of their own, which no observation of the
archive shares. Over land they are what the imagined sea air would be there; the sea surface
temperature and the ice are missing there, as in the original.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
from scipy import ndimage

from fluxrecipes.nature import instruments
from fluxrecipes.nature.fields import Float, Points, RandomField, hours_since_epoch
from fluxrecipes.nature.files.kinds import Daily, whole
from fluxrecipes.nature.weather import State
from fluxrecipes.nature.world import World

_ROWS, _COLUMNS = 720, 720  # where the truth is asked: every row, every second node
_BITS = 16  # GRIB's packing: values stand on a grid of a power of two, 2**16 of them at most
_BLUR = (1.5, 1.0)  # standard deviation of the smoothing, in rows and columns of that grid
_UNIX = np.datetime64("1970-01-01T00:00:00", "s")

_ERRORS = {
    "t2m": RandomField("era5/t2m", 30.0, 4.0, 3.0, spacing=1.0, steered=False),
    "humidity": RandomField("era5/humidity", 30.0, 4.0, 3.0, spacing=1.0, steered=False),
    "wind": RandomField("era5/wind", 12.0, 3.0, 2.5, spacing=1.0, members=2),
    "msl": RandomField("era5/msl", 24.0, 9.0, 7.0, power=2.0, spacing=1.0),
    "sst": RandomField("era5/sst", 120.0, 3.0, 2.5, spacing=1.0, steered=False),
    "tcwv": RandomField("era5/tcwv", 24.0, 4.0, 3.0, spacing=1.0),
}
# Errors that stay: a model's own climate, degrees of an ocean basin's part.
_BIAS = RandomField("era5/bias", np.inf, 24.0, 10.0, spacing=1.0, steered=False, members=2)


@dataclass(frozen=True)
class Parameter:
    """A field of the file: its name there, GRIB's number, units, names."""

    name: str
    number: int
    units: str
    long_name: str
    standard_name: str


_INSTANT = (
    Parameter("u10", 165, "m s**-1", "10 metre U wind component", "eastward_wind"),
    Parameter("v10", 166, "m s**-1", "10 metre V wind component", "northward_wind"),
    Parameter("d2m", 168, "K", "2 metre dewpoint temperature", "unknown"),
    Parameter("t2m", 167, "K", "2 metre temperature", "unknown"),
    Parameter("msl", 151, "Pa", "Mean sea level pressure", "air_pressure_at_mean_sea_level"),
    Parameter("sst", 34, "K", "Sea surface temperature", "unknown"),
    Parameter("sp", 134, "Pa", "Surface pressure", "surface_air_pressure"),
    Parameter("siconc", 31, "(0 - 1)", "Sea ice area fraction", "sea_ice_area_fraction"),
    Parameter("tclw", 78, "kg m**-2", "Total column cloud liquid water", "unknown"),
    Parameter(
        "tcwv", 137, "kg m**-2", "Total column vertically-integrated water vapour", "unknown"
    ),
)
_ACCUMULATED = (
    Parameter(
        "slhf",
        147,
        "J m**-2",
        "Time-integrated surface latent heat net flux",
        "surface_upward_latent_heat_flux",  # so it says, though downward counts positive
    ),
    Parameter(
        "sshf",
        146,
        "J m**-2",
        "Time-integrated surface sensible heat net flux",
        "surface_upward_sensible_heat_flux",
    ),
    Parameter("tp", 228, "m", "Total precipitation", "unknown"),
)


def path(root: Path, day: date, suffix: str = "") -> Path:
    """Where a day's file is: ``era5/YYYY/MM/era5_YYYYMMDD.nc``."""
    return root / "era5" / f"{day:%Y}" / f"{day:%m}" / f"era5_{day:%Y%m%d}{suffix}.nc"


def accumulated_path(root: Path, day: date) -> Path:
    """Where the fields accumulated over the hour before each time are."""
    return path(root, day, "_accum")


def daily_files(hours: Sequence[int]) -> list[Daily]:
    """Instantaneous and accumulated fields at hours of each day."""
    times = tuple(hours)
    return [
        Daily("era5", path, partial(_write_instant, times)),
        Daily("era5-accum", accumulated_path, partial(_write_accumulated, times)),
    ]


def _write_instant(hours: tuple[int, ...], world: World, root: Path, day: date) -> None:
    surface = _surface(world, day)
    with whole(path(root, day)) as part, _opened(part, day, hours) as file:
        for step, hour in enumerate(hours):
            fields = instant(world, np.datetime64(day, "h") + hour, *surface)
            _put(file, _INSTANT, fields, step, "an")


def _write_accumulated(hours: tuple[int, ...], world: World, root: Path, day: date) -> None:
    with whole(accumulated_path(root, day)) as part, _opened(part, day, hours) as file:
        for step, hour in enumerate(hours):
            fields = accumulated(world, np.datetime64(day, "h") + hour)
            _put(file, _ACCUMULATED, fields, step, "fc")


# --- the fields --------------------------------------------------------------------------------


def instant(world: World, time: np.datetime64, foundation: Float, ice: Float) -> dict[str, Float]:
    """Instantaneous fields at a time.

    Parameters
    ----------
    world : World
    time : numpy.datetime64
        UTC.
    foundation, ice : ndarray, shape (721, 1440)
        SST [K] and ice fraction of the day, NaN over land.

    Returns
    -------
    dict of ndarray, shape (721, 1440)
        By ERA5's names and in its units, from 90 N to 90 S and from 0 E.
    """
    points = _points(time)
    fields = analysed(world, points, world.state(points, fine=False))
    nodes = {name: _on_nodes(values) for name, values in fields.items()}
    return nodes | {"sst": foundation + nodes["sst"], "siconc": ice}


def analysed(world: World, points: Points, truth: State) -> dict[str, Float]:
    """What the reanalysis makes of sea and air at points, before it is smoothed.

    Parameters
    ----------
    world : World
    points : Points
    truth : State
        At these points, without the finest scales.

    Returns
    -------
    dict of str to ndarray, shape (points,)
        Instantaneous fields by ERA5's names and in its units, without ice; of ``sst`` only its
        departure from the SST analysis that it is made of, K.
    """
    size = world.physics.observation_error
    error = {name: size * one.at(points, world.seed) for name, one in _ERRORS.items()}
    bias = size * _BIAS.map(points, world.seed, 0)
    air, dew = _two_metres(truth, error, bias)
    pressure = truth.surface_pressure + 40.0 * error["msl"][0]
    return {
        # The model's storms are a little too weak.
        "u10": 0.97 * truth.eastward_wind + 0.7 * error["wind"][0],
        "v10": 0.97 * truth.northward_wind + 0.7 * error["wind"][1],
        "d2m": dew,
        "t2m": air,
        "msl": pressure,
        "sp": pressure,
        "sst": 0.12 * error["sst"][0],
        "tclw": 0.9 * truth.cloud_liquid_water,
        "tcwv": truth.water_vapour * (1.0 + 0.03 * error["tcwv"][0] + 0.01 * bias[1]),
    }


def accumulated(world: World, time: np.datetime64) -> dict[str, Float]:
    """Fields accumulated over the hour before a time, downward positive; as `instant`."""
    from fluxkernels.bulk import bulk_flux  # compiles at first use

    points = _points(time - np.timedelta64(30, "m"))  # the hour's middle stands for it
    truth = world.state(points, fine=False)
    size = world.physics.observation_error
    humid = size * _ERRORS["humidity"].at(points, world.seed)[0]
    warm = size * _ERRORS["t2m"].at(points, world.seed)[0]
    flux = bulk_flux(
        0.97 * truth.wind_speed,
        truth.sea_surface_temperature,
        truth.air_temperature + 0.4 * warm,
        truth.specific_humidity * np.exp(0.04 * humid),
        pressure=truth.surface_pressure,
        outputs={"latent", "sensible"},
        algorithm="ecmwf",
    )
    return {
        "slhf": _on_nodes(-3600.0 * np.asarray(flux.latent)),
        "sshf": _on_nodes(-3600.0 * np.asarray(flux.sensible)),
        "tp": _on_nodes(truth.rain_rate / 1000.0),
    }


def _two_metres(truth: State, error: dict[str, Float], bias: Float) -> tuple[Float, Float]:
    """Temperature and dew point at 2 m, K, with their errors."""
    from fluxkernels.bulk import bulk_flux  # compiles at first use
    from fluxkernels.thermodynamics import dew_point

    flux = bulk_flux(
        truth.wind_speed,
        truth.sea_surface_temperature,
        truth.air_temperature,
        truth.specific_humidity,
        pressure=truth.surface_pressure,
        at_height=2.0,
        outputs={"air_temperature_at_height", "specific_humidity_at_height"},
    )
    air = np.asarray(flux.air_temperature_at_height) + 0.4 * error["t2m"][0] + 0.3 * bias[0]
    humidity = np.asarray(flux.specific_humidity_at_height)
    humidity = humidity * np.exp(0.04 * error["humidity"][0] + 0.02 * bias[1])
    dew = np.asarray(dew_point(humidity, truth.surface_pressure))
    return air, np.minimum(dew, air)


def _points(time: np.datetime64) -> Points:
    row, column = np.divmod(np.arange(_ROWS * _COLUMNS), _COLUMNS)
    longitude = (360.0 / _COLUMNS * column).astype(np.float32)
    return Points(row, longitude, np.full(row.size, hours_since_epoch(time)))


def _on_nodes(values: Float) -> Float:
    """Smooth values of `_points` and bring them to the nodes, shape (721, 1440), north first."""
    grid = values.reshape(_ROWS, _COLUMNS).astype(np.float32)
    smooth = ndimage.gaussian_filter(grid, _BLUR, mode=("nearest", "wrap"), truncate=3.0)
    nodes = np.empty((_ROWS + 1, _COLUMNS), np.float32)
    nodes[1:-1] = (smooth[1:] + smooth[:-1]) / 2.0  # a node's row lies between two of cells
    nodes[0], nodes[-1] = smooth[0].mean(), smooth[-1].mean()  # at a pole there is one value
    fine = np.repeat(nodes, 2, axis=1)
    fine[:, 1::2] = (nodes + np.roll(nodes, -1, axis=1)) / 2.0
    return fine[::-1]


def _surface(world: World, day: date) -> tuple[Float, Float]:
    """SST [K] and ice fraction of a day on the nodes, NaN where three of four cells are land."""
    analysis = instruments.analysed_sst(world, np.datetime64(day))
    ice = np.where(np.isnan(analysis["sst"]), np.nan, np.nan_to_num(analysis["ice"]))
    return _of_cells(analysis["sst"] + 273.15), _of_cells(ice)


def _of_cells(cells: Float) -> Float:
    """Mean of the four 0.25° cells around each node; at least two must have a value."""
    known = np.isfinite(cells)
    stack = []
    for part in (np.where(known, cells, 0.0), known.astype(np.float32)):
        padded = np.pad(part, ((1, 1), (0, 0)), mode="edge")
        pair = padded[1:] + padded[:-1]
        stack.append((pair + np.roll(pair, 1, axis=1))[::-1])
    total, count = stack
    return np.asarray(np.where(count >= 2.0, total / np.maximum(count, 1.0), np.nan))


# --- the file ----------------------------------------------------------------------------------


def _opened(path: Path, day: date, hours: tuple[int, ...]) -> netCDF4.Dataset:
    """Make a file with its dimensions and coordinates."""
    file = netCDF4.Dataset(path, "w", format="NETCDF4")
    for name, size in (("valid_time", len(hours)), ("latitude", 721), ("longitude", 1440)):
        file.createDimension(name, size)
    start = (np.datetime64(day, "s") - _UNIX).astype(np.int64)
    times = start + 3600 * np.array(hours, np.int64)
    _coordinate(file, "number", "i8", (), 0, _NUMBER)
    _coordinate(file, "valid_time", "i8", ("valid_time",), times, _TIME)
    latitude, longitude = 90.0 - 0.25 * np.arange(721), 0.25 * np.arange(1440)
    _coordinate(file, "latitude", "f8", ("latitude",), latitude, _LATITUDE, np.nan)
    _coordinate(file, "longitude", "f8", ("longitude",), longitude, _LONGITUDE, np.nan)
    expver = file.createVariable("expver", str, ("valid_time",))
    expver[:] = np.array(["0001"] * len(hours), object)
    file.setncatts(_GLOBAL)
    return file


def _coordinate(
    file: netCDF4.Dataset,
    name: str,
    kind: str,
    dims: tuple[str, ...],
    values: Any,
    attributes: dict[str, str],
    fill: float | None = None,
) -> None:
    variable = file.createVariable(name, kind, dims, fill_value=fill)
    variable.setncatts(attributes)
    variable[...] = values


def _put(
    file: netCDF4.Dataset,
    parameters: tuple[Parameter, ...],
    fields: dict[str, Float],
    step: int,
    kind: str,
) -> None:
    """Write one time of each field; at the first one make its variable."""
    for parameter in parameters:
        if parameter.name not in file.variables:
            variable = file.createVariable(
                parameter.name,
                "f4",
                ("valid_time", "latitude", "longitude"),
                zlib=True,
                complevel=1,
                shuffle=True,
                chunksizes=(1, 721, 1440),
                fill_value=np.float32(np.nan),
            )
            variable.setncatts(_attributes(parameter, kind))
        file[parameter.name][step] = packed(fields[parameter.name])


def packed(values: Float) -> Float:
    """Values as GRIB's packing leaves them: on a step of a power of two above their range."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    if high == low:
        return values.astype(np.float32)
    step = 2.0 ** np.ceil(np.log2((high - low) / (2**_BITS - 1)))
    return np.asarray(np.rint(values / step) * step, np.float32)


def _attributes(parameter: Parameter, kind: str) -> dict[str, Any]:
    return {
        "GRIB_paramId": np.int64(parameter.number),
        "GRIB_dataType": kind,
        "GRIB_numberOfPoints": np.int64(721 * 1440),
        "GRIB_typeOfLevel": "surface",
        "GRIB_stepUnits": np.int64(1),
        "GRIB_stepType": "instant" if kind == "an" else "accum",
        "GRIB_gridType": "regular_ll",
        "GRIB_Nx": np.int64(1440),
        "GRIB_Ny": np.int64(721),
        "GRIB_iDirectionIncrementInDegrees": 0.25,
        "GRIB_jDirectionIncrementInDegrees": 0.25,
        "GRIB_iScansNegatively": np.int64(0),
        "GRIB_jScansPositively": np.int64(0),
        "GRIB_latitudeOfFirstGridPointInDegrees": 90.0,
        "GRIB_latitudeOfLastGridPointInDegrees": -90.0,
        "GRIB_longitudeOfFirstGridPointInDegrees": 0.0,
        "GRIB_longitudeOfLastGridPointInDegrees": 359.75,
        "GRIB_missingValue": 3.4028234663852886e38,
        "GRIB_name": parameter.long_name,
        "GRIB_shortName": _SHORT_NAMES.get(parameter.name, parameter.name),
        "GRIB_units": parameter.units,
        "GRIB_cfName": parameter.standard_name,
        "GRIB_cfVarName": parameter.name,
        "long_name": parameter.long_name,
        "units": parameter.units,
        "standard_name": parameter.standard_name,
        "GRIB_surface": 0.0,
        "coordinates": "number valid_time latitude longitude expver",
    }


_SHORT_NAMES = {"u10": "10u", "v10": "10v", "d2m": "2d", "t2m": "2t", "siconc": "ci"}
_NUMBER = {
    "long_name": "ensemble member numerical id",
    "units": "1",
    "standard_name": "realization",
}
_TIME = {
    "long_name": "time",
    "standard_name": "time",
    "units": "seconds since 1970-01-01",
    "calendar": "proleptic_gregorian",
}
_LATITUDE = {
    "units": "degrees_north",
    "standard_name": "latitude",
    "long_name": "latitude",
    "stored_direction": "decreasing",
}
_LONGITUDE = {"units": "degrees_east", "standard_name": "longitude", "long_name": "longitude"}
_GLOBAL = {
    "GRIB_centre": "ecmf",
    "GRIB_centreDescription": "European Centre for Medium-Range Weather Forecasts",
    "GRIB_subCentre": np.int64(0),
    "Conventions": "CF-1.7",
    "institution": "SIMULATED in the layout of the Climate Data Store; not a product of ECMWF",
    "source": "simulated world of fluxforge; no observation went into it",
    "history": "Simulated.",
}
