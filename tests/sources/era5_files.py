"""Files like the providers', small: ERA5 in each of its forms."""

from __future__ import annotations

import json
import zipfile
from datetime import date, datetime
from pathlib import Path

import netCDF4
import numpy as np

from fluxengine.declare import Source
from fluxrecipes.sources import era5
from fluxrecipes.sources.era5_fields import BY_NAME

DAY = date(2016, 1, 2)
LAT = np.arange(2.0, 0.9, -0.25)  # north first, as the provider has it
LON = np.arange(-0.5, 0.6, 0.25)  # across Greenwich
SHAPE = (LAT.size, LON.size)
ROWS = np.rint((LAT + 90) / 0.25).astype(int)
COLUMNS = np.rint(LON / 0.25).astype(int) % 1440
UNITS = {
    "u10": "m s**-1",
    "t2m": "K",
    "sst": "K",
    "siconc": "(0 - 1)",
    "sp": "Pa",
    "tp": "m",
    "slhf": "J m**-2",
    "sshf": "J m**-2",
}
HISTORY = (
    "2025-06-03T21:51 GRIB to CDM+CF via cfgrib-0.9.15.0/ecCodes-2.41.0 with"
    ' {"source": "data.grib", "filter_by_keys": {"stream": ["%s"], "stepType": ["%s"]}}'
)


def of(*names: str) -> Source:
    """A source of a few fields: the global grid of each takes 75 MB a day."""
    return era5.source("era5-few", [BY_NAME[n] for n in names], era5.daily(".nc"), None, "some")


def hours(*numbers: int, day: date = DAY) -> np.ndarray:
    return np.datetime64(day, "h") + np.array(numbers)


def temperatures(number: int, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """Maps of temperatures [K] in float32, as the new form holds them."""
    made = np.random.default_rng(number).uniform(240, 310, (number, *shape))
    return made.astype("f4")


def seconds(times: np.ndarray) -> np.ndarray:
    return times.astype("datetime64[s]").astype(int)


def new_form(
    path: Path,
    times: np.ndarray,
    values: dict[str, np.ndarray],
    *,
    lat: np.ndarray = LAT,
    lon: np.ndarray = LON,
    expver: object = "0001",
    units: dict[str, str] = {},  # noqa: B006 (never changed)
    attrs: dict[str, object] = {},  # noqa: B006
    step: str | None = "instant",
    stream: str = "oper",
    raw_times: np.ndarray | None = None,
    time_units: str = "seconds since 1970-01-01",
    calendar: str = "proleptic_gregorian",
    dims: tuple[str, ...] = ("valid_time", "latitude", "longitude"),
    extra: dict[str, int] = {},  # noqa: B006
) -> Path:
    """NetCDF4, float32, ``valid_time`` and a text ``expver`` for each time."""
    with netCDF4.Dataset(path, "w") as file:
        file.history = HISTORY % (stream, step)
        sizes = {"valid_time": len(times), "latitude": lat.size, "longitude": lon.size}
        for name, size in (sizes | extra).items():
            file.createDimension(name, size)
        clock = file.createVariable("valid_time", "f8", ("valid_time",))
        clock[:] = seconds(times) if raw_times is None else raw_times
        clock.units, clock.calendar = time_units, calendar
        file.createVariable("latitude", "f8", ("latitude",))[:] = lat
        file.createVariable("longitude", "f8", ("longitude",))[:] = lon
        if expver is not None:
            versions = file.createVariable("expver", str, ("valid_time",))
            versions[:] = np.array(np.broadcast_to(expver, len(times)), object)
        for name, given in values.items():
            made = file.createVariable(name, "f4", dims, zlib=True, fill_value=np.float32(np.nan))
            made[:] = given
            made.units = (UNITS | units).get(name, "1")
            if step:
                made.GRIB_stepType = step
            made.setncatts(attrs)
    return path


def old_form(
    path: Path,
    times: np.ndarray,
    raw: dict[str, np.ndarray],
    *,
    scale: float = 0.002,
    offset: float = 280.0,
    lat: np.ndarray = LAT,
    lon: np.ndarray = LON,
    form: str = "NETCDF3_64BIT_OFFSET",
    without: tuple[str, ...] = (),
) -> Path:
    """NetCDF3, int16 with a packing of its own, hours since 1900; ``expver`` where raw is 4-D."""
    with netCDF4.Dataset(path, "w", format=form) as file:
        file.history = "2021-11-07 08:59:26 GMT by grib_to_netcdf-2.23.0"
        sizes = {"longitude": lon.size, "latitude": lat.size, "expver": 2, "time": len(times)}
        mixed = any(np.ndim(given) == 4 for given in raw.values())
        for name, size in sizes.items():
            if name != "expver" or mixed:
                file.createDimension(name, size)
        file.createVariable("longitude", "f4", ("longitude",))[:] = lon
        file.createVariable("latitude", "f4", ("latitude",))[:] = lat
        if mixed:
            file.createVariable("expver", "i4", ("expver",))[:] = [1, 5]
        clock = file.createVariable("time", "i4", ("time",))
        clock[:] = (times - np.datetime64("1900-01-01T00", "h")).astype(int)
        clock.units, clock.calendar = "hours since 1900-01-01 00:00:00.0", "gregorian"
        dims = ("time", *(("expver",) if mixed else ()), "latitude", "longitude")
        for name, given in raw.items():
            made = file.createVariable(name, "i2", dims, fill_value=-32767)
            made.set_auto_maskandscale(False)
            packing = {"scale_factor": scale, "add_offset": offset}
            made.setncatts({k: v for k, v in packing.items() if k not in without})
            made.missing_value = np.int16(-32767)
            made.units = UNITS[name]
            made[:] = given
    return path


def zipped(path: Path, **members: Path | bytes) -> Path:
    """A zip as the data store sends it, under whatever name."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, given in members.items():
            archive.writestr(
                name.replace("__", "/").replace("_nc", ".nc"),
                given if isinstance(given, bytes) else given.read_bytes(),
            )
    return path


def grib(path: Path, *messages: dict[str, object]) -> Path:
    """GRIB, edition 1, of ERA5's hourly stream but for what a message says."""
    import eccodes

    grid = {
        "Ni": LON.size,
        "Nj": LAT.size,
        "latitudeOfFirstGridPointInDegrees": LAT[0],
        "latitudeOfLastGridPointInDegrees": LAT[-1],
        "longitudeOfFirstGridPointInDegrees": LON[0] % 360,
        "longitudeOfLastGridPointInDegrees": LON[-1],
        "iDirectionIncrementInDegrees": 0.25,
        "jDirectionIncrementInDegrees": 0.25,
    }
    product = {"setLocalDefinition": 1, "localDefinitionNumber": 1, "class": "ea"}
    product |= {"stream": "oper", "type": "an", "expver": "0001", "bitsPerValue": 24}
    with path.open("wb") as file:
        for message in messages:
            handle = eccodes.codes_grib_new_from_samples("regular_ll_sfc_grib1")
            for key, value in (product | grid | message).items():
                if key == "values":
                    _set_values(handle, np.asarray(value))
                else:
                    eccodes.codes_set(handle, key, value)
            eccodes.codes_write(handle, file)
            eccodes.codes_release(handle)
    return path


def _set_values(handle: int, values: np.ndarray) -> None:
    import eccodes

    if np.isnan(values).any():
        eccodes.codes_set(handle, "bitmapPresent", 1)
        eccodes.codes_set(handle, "missingValue", 9999.0)
        values = np.where(np.isnan(values), 9999.0, values)
    eccodes.codes_set_values(handle, values.ravel())


def global_map(number: int) -> np.ndarray:
    """A map of temperatures [K] on the global grid, north first, float32."""
    lat, lon = np.radians(np.linspace(90, -90, 721)), np.radians(np.arange(1440) / 4)
    wave = np.add.outer(30 * np.cos(lat), 3 * np.sin(lon + number))
    return (250 + wave).astype("f4")


def arco(root: Path, fields: dict[str, np.ndarray], first: datetime) -> Path:
    """A Zarr archive in ARCO-ERA5's layout with some hours, written by the library."""
    import zarr
    from numcodecs import Blosc

    begin = int((first - datetime(1900, 1, 1)).total_seconds() // 3600)
    group = zarr.open_group(root, mode="w", zarr_format=2)
    one = {"filters": None, "compressors": Blosc(cname="lz4", shuffle=1)}
    for name, cells, dtype in (
        ("latitude", np.linspace(90, -90, 721), "<f4"),
        ("longitude", np.arange(1440) / 4, "<f4"),
    ):
        made = group.create_array(name, shape=cells.shape, chunks=cells.shape, dtype=dtype, **one)
        made[:] = cells
        made.attrs.update({"_ARRAY_DIMENSIONS": [name]})
    made = group.create_array("time", shape=(1_323_648,), chunks=(67_706,), dtype="<i8", **one)
    made.attrs.update({"_ARRAY_DIMENSIONS": ["time"], "units": "hours since 1900-01-01"})
    for name, maps in fields.items():
        made = group.create_array(
            name,
            shape=(1_323_648, 721, 1440),
            chunks=(1, 721, 1440),
            dtype="<f4",
            fill_value=np.nan,
            **one,
        )
        made[begin : begin + len(maps)] = maps
        units = UNITS[BY_NAME[name].names[0]]
        made.attrs.update({"_ARRAY_DIMENSIONS": ["time", "latitude", "longitude"], "units": units})
    return root


def attributes(root: Path, name: str, **changes: object) -> None:
    """Change a variable's attributes in a Zarr archive."""
    path = root / name / ".zattrs"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
