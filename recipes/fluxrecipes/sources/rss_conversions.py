"""Bytemaps of RSS that others have put into NetCDF: read back to the provider's bytes, or refused.

Such files keep the codes 251 to 255 among the packed values and declare no fill value, so that a
plain decoding turns land into wind of 51 m/s. Here each number becomes the byte that it was, and
codes are codes again. A file from which they were taken out is refused: land, ice and cells that
were not seen could no longer be told apart.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fluxengine.declare import Variable
from fluxengine.errors import WrongFile
from fluxengine.grid import Axis, degrees
from fluxrecipes import vocabulary as cf
from fluxrecipes.sources import netcdf
from fluxrecipes.sources.passes import ORBITS, Bytes

if TYPE_CHECKING:
    import netCDF4

LAND = 255  # in every real map
CELLS = (720, 1440)  # lat, lon
AXES = (degrees(-90, 90, 0.25), degrees(0, 360, 0.25, periodic=True))
AXIS_NAMES = (("latitude", "lat"), ("longitude", "lon"))
BEGINNING = ("begin_time", "time_coverage_start")  # global attributes with the day
SATELLITE = ("satid", "platform")
# What converters call the layers: of GHRC, of RSS's own reading routines, and their like.
NAMES = {
    cf.pass_time.name: ("sst_dtime", "time", "gmt", "mingmt", "pass_time", "retrieval_time"),
    cf.sea_surface_temperature.name: ("sst", "sea_surface_temperature"),
    cf.wind_speed_lf.name: ("wind_speed_lf", "wspd_lf", "windlf", "w-lf", "w_lf"),
    cf.wind_speed.name: (
        "wind_speed",
        "wind_speed_mf",
        "wspd_mf",
        "windmf",
        "w-mf",
        "w_mf",
        "wspd",
    ),
    cf.water_vapour.name: ("atmosphere_water_vapor_content", "water_vapor", "vapor", "pwv"),
    cf.cloud_liquid_water.name: (
        "atmosphere_cloud_liquid_water_content",
        "cloud_liquid_water",
        "cloud",
    ),
    cf.rain_rate.name: ("rainfall_rate", "rain_rate", "rain", "precip_rate"),
    cf.wind_speed_aw.name: ("wind_speed_aw", "wspd_aw", "windaw", "w-aw", "w_aw"),
    cf.wind_to_direction.name: ("wind_direction", "wdir"),
}
USE_BYTEMAP = "Use the provider's bytemap."
MINUTES = 60.0  # in the unit of time of the bytemaps
ROUNDING = 0.02  # of a step: what float32 does to a byte's value


def read(path: Path, layers: tuple[Variable, ...], day: date | None, satellite: str) -> Bytes:
    """The provider's bytes of a converted bytemap.

    Parameters
    ----------
    path : Path
        A NetCDF file.
    layers : tuple of Variable
        The bytemap's, in the provider's packing. With times, maps of two passes are expected.
    day : date, optional
        The day that a daily map should hold: compared with what the file says of itself.
    satellite : str
        Such as ``F17``: likewise.

    Returns
    -------
    numpy.ndarray
        uint8, shape (pass, layer, lat=720, lon=1440), or (layer, lat, lon) without times: south
        and Greenwich first, passes in the file's order.

    Raises
    ------
    DamagedFile
        It cannot be read, or holds numbers that no bytemap has.
    WrongFile
        No conversion of a bytemap, of another day or satellite, or one that lost the codes.
    """
    with netcdf.opened(path) as file:
        _check_identity(file, day, satellite, path)
        has_passes = layers[0].name == cf.pass_time.name
        maps = []
        for layer in layers:
            found = _variable(file, layer, has_passes, path)
            maps.append(_oriented(file, found, _bytes(found, layer, day, path), path))
    return np.stack(maps, axis=-3)


def _check_identity(file: netCDF4.Dataset, day: date | None, satellite: str, path: Path) -> None:
    for name in BEGINNING:
        begin = netcdf.text(file, name)[:10]
        if begin and day and begin != str(day):
            raise WrongFile(f"its {name} is {begin}, not {day}.", where=str(path))
    for name in SATELLITE:
        found = netcdf.text(file, name).upper()
        if found.startswith("DMSP") and found.rpartition("-")[2] != satellite.upper():
            raise WrongFile(f"its {name} is {found}, not {satellite}.", where=str(path))


def _variable(
    file: netCDF4.Dataset, layer: Variable, has_passes: bool, path: Path
) -> netCDF4.Variable[Any]:
    """The file's variable of a layer: one of the known names, on the grid of the map."""
    shape = sorted((len(ORBITS), *CELLS) if has_passes else CELLS)
    known = NAMES[layer.name]
    for name, variable in file.variables.items():
        if name.lower() in known and sorted(variable.shape) == shape:
            return variable
    names = ", ".join(file.variables) or "none"
    raise WrongFile(
        f"it is no NetCDF form of this bytemap that is known: none of its variables ({names})"
        f" is {layer.name} on {netcdf.size(tuple(shape))} cells.",
        where=str(path),
    )


# --- Numbers back to bytes ---------------------------------------------------------------------


def _bytes(found: netCDF4.Variable[Any], layer: Variable, day: date | None, path: Path) -> Bytes:
    """The bytes of a layer, axes in the file's order."""
    if day and layer.name == cf.pass_time.name:
        _check_day(found, day, path)
    netcdf.check_numbers(found, path)
    raw = np.asarray(found[:])
    if raw.dtype.kind == "f":
        raw = _undone(raw, found, layer, path)
    else:
        _check_packing(found, layer, path)
        raw = raw.view(np.uint8) if raw.dtype.itemsize == 1 else raw  # NetCDF-3 has no unsigned
    strange = int(((raw < 0) | (raw > LAND)).sum())
    if strange:
        what = f"{found.name} has numbers at {strange:,} cells that are no bytes of a bytemap."
        raise WrongFile(what, where=str(path), mend=USE_BYTEMAP)
    if not (raw == LAND).any():
        raise _codes_lost(f"{found.name} has no cell with the code of land, {LAND}.", path)
    maps: Bytes = raw.astype(np.uint8)
    return maps


def _codes_lost(what: str, path: Path) -> WrongFile:
    return WrongFile(
        f"{what} The codes that tell land, ice and gaps apart were taken out when the map was"
        " converted.",
        where=str(path),
        mend=USE_BYTEMAP,
    )


def _check_day(found: netCDF4.Variable[Any], day: date, path: Path) -> None:
    """The day since which times are counted, where the file says one."""
    units = netcdf.text(found, "units")
    if " since " in units:
        netcdf.check_day(netcdf.moment(0, units, path), day, path)


def _packing(found: netCDF4.Variable[Any], path: Path) -> tuple[float, float]:
    scale = netcdf.number(found, "scale_factor", 1.0, path)
    return scale, netcdf.number(found, "add_offset", 0.0, path)


def _packings(layer: Variable) -> list[tuple[float, float]]:
    """Scale and offset in the units that a converter may have used: the provider's, or minutes."""
    scale, offset = layer.packing.scale, layer.packing.offset
    if layer.units == "K":
        return [(scale, offset - cf.KELVIN), (scale, offset)]
    if layer.name == cf.pass_time.name:
        return [(scale, offset), (scale * MINUTES, offset)]
    return [(scale, offset)]


def _check_packing(found: netCDF4.Variable[Any], layer: Variable, path: Path) -> None:
    """Integers are the provider's bytes where they are scaled as those are, or not at all."""
    scale, offset = _packing(found, path)
    if not any(
        np.allclose((scale, offset), known, rtol=1e-5, atol=1e-6)
        for known in (*_packings(layer), (1.0, 0.0))
    ):
        known = " or ".join(f"{s:g} and {o:g}" for s, o in _packings(layer))
        raise WrongFile(
            f"{found.name} is packed with scale {scale:g} and offset {offset:g}, not {known} as"
            " bytemaps are: it cannot be read back to them.",
            where=str(path),
            mend=USE_BYTEMAP,
        )


def _undone(
    values: npt.NDArray[Any], found: netCDF4.Variable[Any], layer: Variable, path: Path
) -> npt.NDArray[np.float64]:
    """Floating-point values as the bytes they were decoded from."""
    scale, offset = _packing(found, path)
    values = values.astype(np.float64) * scale + offset
    missing = int(np.count_nonzero(~np.isfinite(values)))
    if missing:
        raise _codes_lost(f"{found.name} has no value at {missing:,} cells.", path)
    for step, start in _packings(layer):
        steps = (values - start) / step
        whole: npt.NDArray[np.float64] = np.rint(steps)
        if np.abs(steps - whole).max() <= ROUNDING and whole.max() == LAND:
            return whole
    what = f"{found.name} has values that are no whole steps of a bytemap's, land at the end."
    raise WrongFile(what, where=str(path), mend=USE_BYTEMAP)


# --- Axes ---------------------------------------------------------------------------------------


def _oriented(
    file: netCDF4.Dataset, found: netCDF4.Variable[Any], maps: Bytes, path: Path
) -> Bytes:
    """Axes ([pass,] lat, lon), south and Greenwich first, by the file's coordinates."""
    dims = dict(zip(found.dimensions, found.shape, strict=True))
    lat, lon = (next(dim for dim, length in dims.items() if length == n) for n in CELLS)
    order = [dim for dim in dims if dim not in (lat, lon)] + [lat, lon]
    maps = maps.transpose([list(dims).index(dim) for dim in order])
    rows, columns = (
        _permutation(file, (dim, *names), axis, path)
        for dim, names, axis in zip((lat, lon), AXIS_NAMES, AXES, strict=True)
    )
    return maps[..., rows, :][..., columns]


def _permutation(
    file: netCDF4.Dataset, names: tuple[str, ...], axis: Axis, path: Path
) -> npt.NDArray[np.intp]:
    """Where each of our cells is along an axis of the file."""
    coordinate = next((file.variables[n] for n in names if n in file.variables), None)
    if coordinate is None:
        raise WrongFile(f"it has no coordinate {names[-1]}.", where=str(path))
    expected = axis.coordinate().astype(np.float64)
    found = netcdf.numbers(coordinate, expected.shape, path)
    found = found % 360 if axis.periodic else found
    order: npt.NDArray[np.intp] = np.argsort(found)
    if not np.allclose(found[order], expected, rtol=0, atol=1e-3):
        raise WrongFile(
            f"{coordinate.name} is not a bytemap's: it runs from {found[order[0]]:g} to"
            f" {found[order[-1]]:g}.",
            where=str(path),
        )
    return order
