"""ERA5 hourly single levels: winds, temperatures, pressures, columns, rain and heat fluxes, 0.25°.

The Climate Data Store gives its downloads no lasting names, so the names are ours: put a day's
download at ``YYYY/MM/era5_YYYYMMDD.nc``, or a month's at ``YYYY/era5_YYYYMM.nc``. What a
file is its bytes say, not its name: NetCDF in the old form or the new one, a zip of NetCDF files,
or GRIB. Hours, fields and regions that a file does not hold have no values, and flags say so.

Values are packed anew, since every file in the old form has a packing of its own: they differ from
the file's by at most half a step of our packing (0.0025 m s-1, 0.0015 K, 0.5 Pa, 0.025 W m-2).
Fluxes are positive upward, and the mean of the hour that ends at their time. Values at single
places that cannot be, as winds beyond 50 m s-1, are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fluxengine.declare import Source, Variable, flag_variable
from fluxengine.errors import DamagedFile, MissingFile, WrongFile
from fluxengine.grid import Grid, counts, days, degrees
from fluxrecipes.sources import era5_grib, era5_netcdf, zipped
from fluxrecipes.sources.era5_fields import (
    ACCUMULATED,
    INSTANT,
    NODES,
    Field,
    Hours,
    Layer,
    Map,
    Nodes,
    maps,
    places,
)
from fluxrecipes.sources.gzipped import FETCH_AGAIN

if TYPE_CHECKING:
    import xarray as xr

HOME = "https://cds.climate.copernicus.eu/datasets/reanalysis-era5-single-levels"
PROVIDER = "ECMWF, Copernicus Climate Change Service (C3S)"
LICENCE = "CC-BY-4.0; contains modified Copernicus Climate Change Service information"
CITE = (
    "Hersbach et al. (2020), The ERA5 global reanalysis, Q. J. R. Meteorol. Soc. 146, 1999-2049,"
    " doi:10.1002/qj.3803; data: Hersbach et al. (2023), ERA5 hourly data on single levels from"
    " 1940 to present, C3S Climate Data Store, doi:10.24381/cds.adbb2d47"
)
READABLE = (*era5_netcdf.NETCDF3, era5_netcdf.NETCDF4, era5_grib.MAGIC)

Days = npt.NDArray[np.datetime64]  # datetime64[D]
HOURS = 24
GRID = Grid(
    time=days("1940-01-01", block=1, chunk=1),
    hour=counts(0, HOURS, chunk=1),
    lat=degrees(-90.125, 90.125, 0.25),
    lon=degrees(-0.125, 359.875, 0.25, periodic=True),
)

VALID, PRELIMINARY, NO_VALUE, NOT_IN_FILE = 2, 3, 4, 5
CODES = {
    VALID: "valid",
    PRELIMINARY: "preliminary",
    NO_VALUE: "no_value",
    NOT_IN_FILE: "not_in_file",
}


def flag_of(variable: Variable) -> Variable:
    """Flag variable that says what each value is, or why there is none."""
    return flag_variable(
        f"{variable.name}_flag",
        f"whether {variable.name.replace('_', ' ')} has a value",
        CODES,
        standard_name="status_flag",
        comment="preliminary: ERA5T, a value that may yet change. no_value: the field has none"
        " there, as sea surface temperature over land, or one that cannot be. not_in_file: the file"
        " read holds not this field, hour or region",
    )


def with_flags(fields: Sequence[Field]) -> tuple[Variable, ...]:
    """The variable of each field and its flags."""
    return tuple(v for field in fields for v in (field.variable, flag_of(field.variable)))


# --- A file of any form ------------------------------------------------------------------------


@contextmanager
def opened(path: Path) -> Iterator[list[Layer]]:
    """The fields we know in a file of any of ERA5's forms, told by its first bytes.

    Raises
    ------
    MissingFile, DamagedFile, WrongFile
        On entry, or while maps are read.
    """
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except FileNotFoundError:
        raise MissingFile("there is no such file.", where=str(path)) from None
    if start.startswith(zipped.MAGIC):
        with zipped.unzipped(path) as members, _of_members(members, path) as layers:
            yield layers
    else:
        with _of_one(path, start) as layers:
            yield layers


@contextmanager
def _of_one(path: Path, start: bytes) -> Iterator[list[Layer]]:
    if start.startswith((*era5_netcdf.NETCDF3, era5_netcdf.NETCDF4)):
        with era5_netcdf.layers_of(path, start) as layers:
            yield layers
    elif start.startswith(era5_grib.MAGIC):
        with era5_grib.layers_of(path) as layers:
            yield layers
    else:
        what = "it is empty" if not start else f"it begins with {start!r}"
        raise DamagedFile(
            f"{what}: neither NetCDF, nor GRIB, nor a zip of them.",
            where=str(path),
            mend=FETCH_AGAIN,
        )


@contextmanager
def _of_members(members: Mapping[str, Path], path: Path) -> Iterator[list[Layer]]:
    """The fields of a zip's members; messages name the zip, not where it was unpacked."""
    names = {str(file): f"{path} ({name})" for name, file in members.items()}
    try:
        with ExitStack() as stack:
            found = []
            for file in members.values():
                with file.open("rb") as stream:
                    start = stream.read(8)
                if start.startswith(READABLE):
                    found.append(stack.enter_context(_of_one(file, start)))
            if not found:
                held = ", ".join(list(members)[:5]) or "nothing"
                what = f"it is a zip that holds {held}: neither NetCDF nor GRIB."
                raise WrongFile(what, where=str(path))
            yield [layer for layers in found for layer in layers]
    except DamagedFile as error:
        where = names.get(error.where, error.where)
        raise type(error)(error.what, where=where, mend=error.mend) from error


# --- Whole files, on their own grid ------------------------------------------------------------

LARGEST_READ = 2 * 2**30  # bytes that `read` gives


def read(path: Path, at_most: int = LARGEST_READ) -> xr.Dataset:
    """Every field that we know of a file, on the file's own regular grid.

    Parameters
    ----------
    path : Path
        A local file in any of ERA5's forms.
    at_most : int
        Bytes of the result that are allowed.

    Returns
    -------
    xarray.Dataset
        Dims (time, latitude, longitude), the last two in the file's order: float64 in our units,
        NaN where there is no value, and flags beside. Of hours in both versions the final one.

    Raises
    ------
    MissingFile, DamagedFile
        No file; of no known form, truncated, or with many values that there are not on Earth.
    WrongFile
        Without a field that we know, of another product, or larger than `at_most`.
    """
    with opened(path) as layers:
        _check_some(layers, (*INSTANT, *ACCUMULATED), path)
        nodes = _same_nodes(layers, path)
        hours = np.unique(np.concatenate([layer.hours for layer in layers]))
        fields = {layer.field.variable.name: layer.field for layer in layers}
        shape = (hours.size, nodes.lat.size, nodes.lon.size)
        _check_size(9 * len(fields) * int(np.prod(shape, dtype=float)), at_most, path)
        values = {name: np.full(shape, np.nan) for name in fields}
        flags = {name: np.full(shape, NOT_IN_FILE, np.uint8) for name in fields}
        for found in maps(layers, lambda own: np.ones(own.shape, bool)):
            name, at = found.layer.field.variable.name, np.searchsorted(hours, found.hour)
            values[name][at], flags[name][at] = found.values, _flags(found)
    return _on_own_grid(fields, hours, nodes, values, flags)


def _same_nodes(layers: Sequence[Layer], path: Path) -> Nodes:
    nodes = layers[0].nodes
    for layer in layers:
        for own, other in ((nodes.lat, layer.nodes.lat), (nodes.lon, layer.nodes.lon)):
            if own.shape != other.shape or not np.allclose(own, other, rtol=0, atol=1e-4):
                what = f"its fields lie on different grids: {nodes}; {layer.nodes}."
                raise WrongFile(what, where=str(path))
    return nodes


def _check_size(size: int, at_most: int, path: Path) -> None:
    if size > at_most:
        raise WrongFile(
            f"read whole it takes {size:,} bytes, more than {at_most:,}.",
            where=str(path),
            mend="Read it a day at a time, or allow more.",
        )


def _on_own_grid(
    fields: Mapping[str, Field],
    hours: Hours,
    nodes: Nodes,
    values: Mapping[str, npt.NDArray[np.float64]],
    flags: Mapping[str, npt.NDArray[np.uint8]],
) -> xr.Dataset:
    import xarray as xr

    dims = ("time", "latitude", "longitude")
    made: dict[str, Any] = {}
    for name, field in fields.items():
        flag = flag_of(field.variable)
        made[name] = (dims, values[name], field.variable.cf_attributes())
        made[flag.name] = (dims, flags[name], flag.cf_attributes())
    coords = {"time": hours.astype("datetime64[ns]"), "latitude": nodes.lat, "longitude": nodes.lon}
    return xr.Dataset(made, coords)


def _flags(found: Map) -> npt.NDArray[np.uint8]:
    valid = np.uint8(PRELIMINARY if found.preliminary else VALID)
    return np.where(np.isnan(found.values), np.uint8(NO_VALUE), valid)


def _check_some(layers: Sequence[Layer], fields: Sequence[Field], path: Path) -> None:
    """Refuse a file without one of `fields`, saying which it has."""
    if not any(layer.field in fields for layer in layers):
        has = ", ".join(sorted({layer.field.names[0] for layer in layers})) or "none that is known"
        wanted = ", ".join(field.names[0] for field in fields)
        raise WrongFile(f"it has none of the fields {wanted}; it has {has}.", where=str(path))


# --- Days on the global grid -------------------------------------------------------------------


def decode(path: Path, wanted: tuple[date, ...], fields: Sequence[Field]) -> xr.Dataset:
    """Days of a file as packed values and flags, on the global grid.

    Parameters
    ----------
    path : Path
        A local file in any of ERA5's forms.
    wanted : tuple of datetime.date
        The days to give, in order.
    fields : sequence of Field
        The fields to give, whether or not the file has each of them.

    Returns
    -------
    xarray.Dataset
        Those of the days that the file holds an hour of: int16 values and uint8 flags, dims (time,
        hour=24, lat=721, lon=1440), south and Greenwich first; packing in each variable's
        attributes.

    Raises
    ------
    MissingFile, DamagedFile, WrongFile
        As `read`; also where the file holds none of the days or fields, or lies on another grid.
    """
    with opened(path) as layers:
        _check_some(layers, fields, path)
        mine = [layer for layer in layers if layer.field in fields]
        return on_global_grid(mine, fields, _held(mine, wanted, path))


def on_global_grid(layers: Sequence[Layer], fields: Sequence[Field], held: Days) -> xr.Dataset:
    """The maps of some days as the engine takes them: see `decode`."""
    values, flags = _empty(fields, len(held))
    for found in maps(layers, lambda hours: np.isin(hours.astype("datetime64[D]"), held)):
        _put(found, held, values, flags)
    return _dataset(fields, held, values, flags)


def _held(layers: Sequence[Layer], wanted: tuple[date, ...], path: Path) -> Days:
    """Those of the days that an hour of a layer lies on."""
    there = np.unique(np.concatenate([layer.hours for layer in layers]).astype("datetime64[D]"))
    asked = np.array(wanted, "datetime64[D]")
    held = asked[np.isin(asked, there)]
    if not held.size:
        some = f"{there[0]}" if there.size == 1 else f"{there[0]} to {there[-1]}"
        days_asked = ", ".join(map(str, asked[:3])) + (", ..." if asked.size > 3 else "")
        raise WrongFile(f"it holds {some}, not {days_asked}.", where=str(path))
    return held


def _empty(
    fields: Sequence[Field], number: int
) -> tuple[dict[str, npt.NDArray[np.int16]], dict[str, npt.NDArray[np.uint8]]]:
    """Days without values, and flags that say that the file does not hold them."""
    shape = (number, HOURS, *NODES)
    packings = {field.variable.name: field.variable.packing for field in fields}
    values = {name: np.full(shape, p.zarr_fill, p.dtype) for name, p in packings.items()}
    return values, {name: np.full(shape, NOT_IN_FILE, np.uint8) for name in packings}


def _put(
    found: Map,
    held: Days,
    values: Mapping[str, npt.NDArray[np.int16]],
    flags: Mapping[str, npt.NDArray[np.uint8]],
) -> None:
    """Put a map where it belongs among the days."""
    variable = found.layer.field.variable
    day = found.hour.astype("datetime64[D]")
    at = int(np.flatnonzero(held == day)[0]), int((found.hour - day).astype(int))
    cells = np.ix_(*places(found.layer.nodes, found.layer.path))
    values[variable.name][at][cells] = variable.packing.pack(found.values, variable.name)
    flags[variable.name][at][cells] = _flags(found)


def _dataset(
    fields: Sequence[Field],
    held: Days,
    values: Mapping[str, npt.NDArray[np.int16]],
    flags: Mapping[str, npt.NDArray[np.uint8]],
) -> xr.Dataset:
    import xarray as xr

    made: dict[str, Any] = {}
    for field in fields:
        variable, flag = field.variable, flag_of(field.variable)
        made[variable.name] = (GRID.dims, values[variable.name], variable.packing.attributes)
        made[flag.name] = (GRID.dims, flags[variable.name], flag.packing.attributes)
    return xr.Dataset(made, {"time": held.astype("datetime64[ns]")})


# --- Sources -----------------------------------------------------------------------------------


def daily(suffix: str) -> Callable[[date], str]:
    """Where a day's download is looked for, below the archive's root."""
    return partial(_daily, suffix)


def monthly(suffix: str) -> Callable[[date], str]:
    """Where a month's download is looked for, below the archive's root."""
    return partial(_monthly, suffix)


def _daily(suffix: str, day: date) -> str:
    return f"{day:%Y}/{day:%m}/era5_{day:%Y%m%d}{suffix}"


def _monthly(suffix: str, day: date) -> str:
    return f"{day:%Y}/era5_{day:%Y%m}{suffix}"


def source(
    name: str,
    fields: Sequence[Field],
    path: Callable[[date], str],
    instead: Callable[[date], str],
    what: str,
) -> Source:
    """A source of some of ERA5's fields; fewer of them make a smaller dataset."""
    return Source(
        name=name,
        grid=GRID,
        path=path,
        instead=(instead,),
        decode=partial(decode, fields=tuple(fields)),
        provides=with_flags(fields),
        archive="era5",
        home=HOME,
        title=f"ERA5 hourly data on single levels, 0.25 degrees: {what}",
        provider=PROVIDER,
        licence=LICENCE,
        cite=CITE,
        holds_many=True,
        on_request=True,
    )


STATES, FLUXES = "states at the hour", "precipitation and heat fluxes, means over the hour"
SOURCES: Mapping[str, Source] = {
    made.name: made
    for made in (
        source("era5", INSTANT, daily(".nc"), monthly(".nc"), STATES),
        # A zip that the data store sends for both kinds of fields is looked into by both sources.
        source("era5-fluxes", ACCUMULATED, daily("_accum.nc"), daily(".nc"), FLUXES),
        source(
            "era5-fluxes-monthly",
            ACCUMULATED,
            monthly("_accum.nc"),
            monthly(".nc"),
            f"{FLUXES}, in files of a month",
        ),
        source("era5-grib", INSTANT, daily(".grib"), monthly(".grib"), f"{STATES}, in GRIB"),
        source(
            "era5-fluxes-grib", ACCUMULATED, daily(".grib"), monthly(".grib"), f"{FLUXES}, in GRIB"
        ),
    )
}
