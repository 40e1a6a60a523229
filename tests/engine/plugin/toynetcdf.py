"""A source of small NetCDF files in many forms, whose values may be read in place."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import netCDF4
import numpy as np
import xarray as xr

from fluxengine.declare import (
    Packing,
    PlainStage,
    Product,
    Read,
    Reference,
    Source,
    Variable,
    flag_variable,
)
from fluxengine.errors import DamagedFile
from fluxengine.grid import Grid, days, degrees

FILL, VALID, NONE = -999, 2, 3
GRID = Grid(
    time=days("2020-01-01", block=4, chunk=1),
    lat=degrees(-90, 90, 22.5),
    lon=degrees(0, 360, 30, periodic=True),
)
DEPTH = Variable("depth", "m", "depth", packing=Packing("i2", 0.01, 5.0, FILL))
FLAG = flag_variable("depth_flag", "whether there is a depth", {VALID: "valid", NONE: "none"})


def path(day: date) -> str:
    return f"{day:%Y}/depth_{day:%Y%m%d}.nc"


def preliminary(day: date) -> str:
    return f"{day:%Y}/depth_{day:%Y%m%d}_preliminary.nc"


def numbers(day: date, seed: int = 0) -> np.ndarray:
    raw = np.random.default_rng([day.toordinal(), seed]).integers(0, 9000, (8, 12)).astype("i2")
    raw[:2] = FILL
    return raw


def write(
    file: Path,
    raw: np.ndarray,
    *,
    form: str = "NETCDF4",
    scale: float = 0.01,
    offset: float = 5.0,
    fill: int = FILL,
    dtype: str = "i2",
    record: bool = True,
    rows: slice = slice(None),
    **storage: object,
) -> None:
    """One day; `storage` is netCDF4's own: zlib, shuffle, chunksizes, endian, fletcher32."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with netCDF4.Dataset(file, "w", format=form) as made:
        made.createDimension("time", None if record else 1)
        made.createDimension("lat", raw.shape[0])
        made.createDimension("lon", raw.shape[1])
        if form == "NETCDF4":
            made.createVariable("name", str, ())  # of a kind that Zarr does not know
        values = made.createVariable("d", dtype, ("time", "lat", "lon"), fill_value=fill, **storage)
        values.set_auto_maskandscale(False)
        values.scale_factor, values.add_offset = scale, offset
        values[0, rows] = np.where(raw == FILL, fill, raw)[rows]


def decode(file: Path, day: date) -> xr.Dataset:
    try:
        with netCDF4.Dataset(file) as opened:
            opened.set_auto_maskandscale(False)
            values = opened["d"]
            raw = np.asarray(values[:])
            names = ("scale_factor", "add_offset", "_FillValue")
            attrs = {name: values.getncattr(name) for name in names}
    except (OSError, RuntimeError, IndexError, AttributeError) as error:
        raise DamagedFile(f"it cannot be read: {error}.", where=str(file)) from error
    flags = np.where(raw == attrs["_FillValue"], NONE, VALID).astype("u1")
    return xr.Dataset({"depth": (GRID.dims, raw, attrs), "depth_flag": (GRID.dims, flags)})


CHUNKED = Source(
    name="depth",
    grid=GRID,
    path=path,
    decode=decode,
    provides=(DEPTH, FLAG),
    archive="depth",
    home="https://nowhere.example",
    title="depths",
    provider="nobody",
    licence="none",
    cite="nobody",
    references=(Reference("depth", "d", (4, 12), ("shuffle", "zlib")),),
)
ZIPPED = {"zlib": True, "shuffle": True, "chunksizes": (1, 4, 12)}
LATE = replace(CHUNKED, instead=(preliminary,))


def _form(*chunks: int, filters: tuple[str, ...] = (), big_endian: bool = False) -> Source:
    return replace(CHUNKED, references=(Reference("depth", "d", chunks, filters, big_endian),))


# Each form with what `write` must be told to give it.
FORMS = {
    "chunked": (CHUNKED, ZIPPED),
    "rows cut unevenly": (
        _form(3, 5, filters=("shuffle", "zlib")),
        {**ZIPPED, "chunksizes": (1, 3, 5)},
    ),
    "with checksums": (
        _form(8, 12, filters=("fletcher32",)),
        {"fletcher32": True, "chunksizes": (1, 8, 12)},
    ),
    "big-endian": (
        _form(4, 12, filters=("shuffle", "zlib"), big_endian=True),
        {**ZIPPED, "dtype": ">i2", "endian": "big"},
    ),
    "in one piece": (_form(8, 12), {"record": False, "contiguous": True}),
    "NetCDF3": (_form(8, 12, big_endian=True), {"form": "NETCDF3_64BIT_OFFSET"}),
    "NetCDF3 without records": (
        _form(8, 12, big_endian=True),
        {"form": "NETCDF3_CLASSIC", "record": False},
    ),
}


class Doubled(PlainStage):
    """Twice the depth."""

    inputs = ("depth",)
    outputs = (replace(DEPTH, name="doubled", packing=Packing("i2", 0.1, 0, FILL)),)

    def load(self):
        return lambda arrays: {"doubled": 2 * arrays["depth"]}


PRODUCT = Product(
    "doubled", GRID, (Read(CHUNKED, ("depth",)),), (Doubled(),), publishes=Doubled.outputs
)
