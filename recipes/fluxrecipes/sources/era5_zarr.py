"""ERA5 as a Zarr archive in the layout of ARCO-ERA5: one file for each field and hour.

The archive is in Zarr format 2, whatever its name says. A field is ``long_name/i.0.0``, i counting
hours since 1900: 721 x 1440 float32, north first, packed by Blosc. A day needs 24 of them for each
field, and some small files that say what they are. Those that change as the archive grows
(``.zarray`` of the fields, ``.zmetadata``) are left alone, or every day would seem changed whenever
one is added. What they would tell of a chunk, its length and item, the chunk's own header tells.

Blosc has no checksum, and whether an hour is ERA5 or still ERA5T only the growing files know: a
value is flagged valid in both, and replaced when the archive replaces it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fluxengine.declare import Source
from fluxengine.errors import DamagedFile, MissingFile, WrongFile
from fluxrecipes.sources import era5
from fluxrecipes.sources.era5_fields import (
    ACCUMULATED,
    INSTANT,
    NODES,
    Field,
    Layer,
    Nodes,
    checked_nodes,
)
from fluxrecipes.sources.gzipped import FETCH_AGAIN

if TYPE_CHECKING:
    import xarray as xr

HOME = (
    "https://storage.googleapis.com/gcp-public-data-arco-era5/ar/full_37-1h-0p25deg-chunk-1.zarr-v3"
)
CITE = (
    "Carver and Merose (2023), ARCO-ERA5: An Analysis-Ready Cloud-Optimized Reanalysis Dataset;"
    f" {era5.CITE}"
)
SINCE = date(1900, 1, 1)
UNITS = re.compile(r"hours since 1900-01-01(?:[ T]00:00(?::00(?:\.0+)?)?)?")
DIMS = ["time", "latitude", "longitude"]
MOST_TEXT = 2**20  # bytes of a file of attributes
HEADER = 16  # bytes that Blosc puts before what it packed

Local = Mapping[str, Path]  # from a file's path in the archive to where it lies here


def files(day: date, fields: Sequence[Field]) -> tuple[str, ...]:
    """What a day needs, below the archive's root."""
    first = (day - SINCE).days * era5.HOURS
    about = ("time/.zattrs", *(f"{a}/{part}" for a in DIMS[1:] for part in (".zarray", "0")))
    return about + tuple(
        f"{field.long_name}/{part}"
        for field in fields
        for part in (".zattrs", *(f"{first + hour}.0.0" for hour in range(era5.HOURS)))
    )


def decode(paths: Sequence[Path], day: date, fields: Sequence[Field]) -> xr.Dataset:
    """One day of the archive as packed values and flags.

    Parameters
    ----------
    paths : sequence of Path
        Local files, in the order of `files`.
    day : datetime.date
    fields : sequence of Field

    Returns
    -------
    xarray.Dataset
        As `era5.decode` gives it, of one day.

    Raises
    ------
    MissingFile, DamagedFile
        A file is absent, truncated, or cannot be unpacked.
    WrongFile
        The archive has another layout, grid or unit.
    """
    local = dict(zip(files(day, fields), map(Path, paths), strict=True))
    _check_time(local["time/.zattrs"])
    lat, lon = (_coordinate(local, axis) for axis in DIMS[1:])
    nodes = checked_nodes(lat, lon, local["latitude/0"])
    layers = [_layer(local, field, day, nodes) for field in fields]
    return era5.on_global_grid(layers, fields, np.array([day], "datetime64[D]"))


def _layer(local: Local, field: Field, day: date, nodes: Nodes) -> Layer:
    about = local[f"{field.long_name}/.zattrs"]
    attrs = _json(about)
    if attrs.get("_ARRAY_DIMENSIONS") != DIMS:
        what = f"{field.long_name} has the axes {attrs.get('_ARRAY_DIMENSIONS')}, not {DIMS}."
        raise WrongFile(what, where=str(about))
    field.check_units(attrs.get("units", "nothing"), about)
    hours = np.datetime64(day, "h") + np.arange(era5.HOURS)
    read = partial(_read, local, field, day)
    return Layer(field, hours, np.zeros(era5.HOURS, bool), nodes, read, about)


def _read(
    local: Local, field: Field, day: date, first: int, stop: int
) -> npt.NDArray[np.floating[Any]]:
    """Maps of the hours `first` to `stop` of the day, shape (hours, lat, lon)."""
    begin = (day - SINCE).days * era5.HOURS
    chunks = (local[f"{field.long_name}/{begin + hour}.0.0"] for hour in range(first, stop))
    return np.stack([_unpacked(chunk, "<f4", NODES) for chunk in chunks])


def _unpacked(path: Path, dtype: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """A chunk's array, after its header was found to promise just that many bytes."""
    from numcodecs.blosc import Blosc

    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = _bytes(path, size + size // 10 + 1024)
    claimed, length = (int.from_bytes(raw[at : at + 4], "little") for at in (4, 12))
    if len(raw) < HEADER or length != len(raw):
        what = f"{len(raw):,} bytes are not the Blosc chunk of {length:,} that it says it is."
        raise DamagedFile(what, where=str(path), mend=FETCH_AGAIN)
    if claimed != size or raw[3] != np.dtype(dtype).itemsize:
        raise WrongFile(
            f"it is a chunk of {claimed:,} bytes in items of {raw[3]}, not {dtype} of {shape}: the"
            " archive is not one hour to a chunk.",
            where=str(path),
        )
    try:
        return np.frombuffer(Blosc().decode(raw), dtype).reshape(shape)
    except (RuntimeError, ValueError) as error:
        what = f"Blosc refuses it: {error}."
        raise DamagedFile(what, where=str(path), mend=FETCH_AGAIN) from None


def _coordinate(local: Local, axis: str) -> npt.NDArray[Any]:
    about, size = local[f"{axis}/.zarray"], NODES[DIMS.index(axis) - 1]
    attrs = _json(about)
    layout = {key: attrs.get(key) for key in ("zarr_format", "shape", "chunks", "filters")}
    if layout != {"zarr_format": 2, "shape": [size], "chunks": [size], "filters": None}:
        what = f"its {axis} is laid out as {layout}, not as {size} in one chunk of Zarr format 2."
        raise WrongFile(what[:300], where=str(about))
    dtype = attrs.get("dtype")
    if dtype not in ("<f4", "<f8"):
        raise WrongFile(f"its {axis} is of the type {str(dtype)[:20]}.", where=str(about))
    return _unpacked(local[f"{axis}/0"], dtype, (size,))


def _check_time(path: Path) -> None:
    attrs = _json(path)
    units = str(attrs.get("units"))
    if not UNITS.fullmatch(units):
        what = f"it counts '{units[:60]}', not hours since {SINCE}."
        raise WrongFile(what, where=str(path))


def _json(path: Path) -> dict[str, Any]:
    raw = _bytes(path, MOST_TEXT)
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError) as error:
        what = f"it cannot be read as JSON: {str(error)[:100]}."
        raise DamagedFile(what, where=str(path), mend=FETCH_AGAIN) from None
    if not isinstance(found, dict):
        raise DamagedFile("it is no JSON object.", where=str(path), mend=FETCH_AGAIN)
    return found


def _bytes(path: Path, at_most: int) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(at_most + 1)
    except FileNotFoundError:
        raise MissingFile("there is no such file.", where=str(path)) from None
    if len(raw) > at_most:
        raise WrongFile(f"it has more than {at_most:,} bytes.", where=str(path))
    return raw


def source(name: str, fields: Sequence[Field], what: str) -> Source:
    """A source of some of the archive's fields; fewer of them need fewer files."""
    return Source(
        name=name,
        grid=era5.GRID,
        path=partial(files, fields=tuple(fields)),
        decode=partial(decode, fields=tuple(fields)),
        provides=era5.with_flags(fields),
        archive="era5-zarr",
        home=HOME,
        title=f"ERA5 hourly data on single levels, 0.25 degrees, from ARCO-ERA5: {what}",
        provider=f"{era5.PROVIDER}; Google Research",
        licence=era5.LICENCE,
        cite=CITE,
    )


SOURCES: Mapping[str, Source] = {
    made.name: made
    for made in (
        source("era5-zarr", INSTANT, era5.STATES),
        source("era5-fluxes-zarr", ACCUMULATED, era5.FLUXES),
    )
}
