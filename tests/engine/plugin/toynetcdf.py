"""A source of small NetCDF files in many forms, whose values may be read in place."""

import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import netCDF4
import numpy as np
import xarray as xr

from fluxengine.declare import (
    RECORD,
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


FIRST = date(2020, 1, 1)


def path(day: date) -> str:
    return f"{day:%Y}/depth_{day:%Y%m%d}.nc"


def pentad_path(day: date, name: str = "depth") -> str:
    return f"{day:%Y}/{name}_{(day - FIRST).days // 5 + 1}.nc"


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
    days: Sequence[date] = (),
    **storage: object,
) -> None:
    """One day, or the `days`; `storage` is netCDF4's own: zlib, chunksizes, endian and so on."""
    file.parent.mkdir(parents=True, exist_ok=True)
    raw = raw.reshape(-1, *raw.shape[-2:])
    with netCDF4.Dataset(file, "w", format=form) as made:
        for name, length in zip(GRID.dims, raw.shape, strict=True):
            made.createDimension(name, None if record and name == "time" else length)
        if form == "NETCDF4":
            made.createVariable("name", str, ())  # of a kind that Zarr does not know
        if days:
            made.createVariable("time", "i4", ("time",))[:] = [d.toordinal() for d in days]
            made.createDimension("three", 3)  # bytes that NetCDF3 fills up to a word
            made.createVariable("odd", "i1", ("time", "three"))[:] = np.ones((len(days), 3))
        values = made.createVariable("d", dtype, ("time", "lat", "lon"), fill_value=fill, **storage)
        values.set_auto_maskandscale(False)
        values.scale_factor, values.add_offset = scale, offset
        values[:, rows] = np.where(raw == FILL, fill, raw)[:, rows]


def _read(file: Path) -> tuple[xr.Dataset, list[date]]:
    """All that a file holds, and the days where it names them."""
    try:
        with netCDF4.Dataset(file) as opened:
            opened.set_auto_maskandscale(False)
            values = opened["d"]
            raw = np.asarray(values[:])
            names = ("scale_factor", "add_offset", "_FillValue")
            attrs = {name: values.getncattr(name) for name in names}
            held = opened["time"][:].tolist() if "time" in opened.variables else ()
    except (OSError, RuntimeError, IndexError, AttributeError) as error:
        raise DamagedFile(f"it cannot be read: {error}.", where=str(file)) from error
    flags = np.where(raw == attrs["_FillValue"], NONE, VALID).astype("u1")
    found = xr.Dataset({"depth": (GRID.dims, raw, attrs), "depth_flag": (GRID.dims, flags)})
    return found, [date.fromordinal(number) for number in held]


def decode(file: Path, day: date) -> xr.Dataset:
    return _read(file)[0]


def decode_days(file: Path, wanted: tuple[date, ...]) -> xr.Dataset:
    found, held = _read(file)
    records = [held.index(day) for day in wanted if day in held]
    times = np.array([held[record] for record in records], "datetime64[s]")
    return found.isel(time=records).assign_coords({"time": times, RECORD: ("time", records)})


def decode_placeless(file: Path, wanted: tuple[date, ...]) -> xr.Dataset:
    return decode_days(file, wanted).drop_vars(RECORD)


def decode_misplaced(file: Path, wanted: tuple[date, ...], by: int) -> xr.Dataset:
    found = decode_days(file, wanted)
    return found.assign_coords({RECORD: found[RECORD] + by})


def decode_while_it_changes(file: Path, wanted: tuple[date, ...]) -> xr.Dataset:
    """The first file changes while it is read."""
    found = decode_days(file, wanted)
    if FIRST in wanted:
        os.utime(file)
    return found


def pair_paths(day: date) -> tuple[str, str]:
    return pentad_path(day), pentad_path(day, "height")


def decode_pair(files: tuple[Path, Path], wanted: tuple[date, ...]) -> xr.Dataset:
    """Depths of one file, heights of another, of the days that both hold."""
    depth, height = (decode_days(file, wanted) for file in files)
    height = height.drop_vars([RECORD, "depth_flag"]).rename(depth="height")
    return xr.merge([depth, height], join="inner", combine_attrs="drop_conflicts")


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


# Files of five days: each form with what `write` must be told to give it.
FORMS_OF_DAYS = {
    "NetCDF4": (CHUNKED, ZIPPED),
    "NetCDF4, two days a chunk, unfiltered": (_form(4, 12), {"chunksizes": (2, 4, 12)}),
    "NetCDF4 in one piece": (_form(8, 12), {"record": False, "contiguous": True}),
    "NetCDF3": (_form(8, 12, big_endian=True), {"form": "NETCDF3_64BIT_OFFSET"}),
    "NetCDF3 without records": (
        _form(8, 12, big_endian=True),
        {"form": "NETCDF3_CLASSIC", "record": False},
    ),
}


def of_days(source: Source) -> Source:
    """The same source with files of five days."""
    return replace(source, path=pentad_path, decode=decode_days, holds_many=True)


PENTADS = of_days(CHUNKED)
PAIRS = replace(
    PENTADS,
    path=pair_paths,
    decode=decode_pair,
    provides=(DEPTH, FLAG, replace(DEPTH, name="height")),
    references=(*CHUNKED.references, replace(CHUNKED.references[0], variable="height", part=1)),
)


class Doubled(PlainStage):
    """Twice the depth."""

    inputs = ("depth",)
    outputs = (replace(DEPTH, name="doubled", packing=Packing("i2", 0.1, 0, FILL)),)

    def load(self):
        return lambda arrays: {"doubled": 2 * arrays["depth"]}


PRODUCT = Product(
    "doubled", GRID, (Read(CHUNKED, ("depth",)),), (Doubled(),), publishes=Doubled.outputs
)
