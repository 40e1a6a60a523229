"""NOAA Climate Data Record of ocean heat fluxes, version 2 (SeaFlux): 3-hourly, 0.25 degrees.

A file is NetCDF4 with one day, ``SEAFLUX-OSB-CDR_V02R00_FLUX_D19940104_C20160824.nc``: eight steps
in the middle of three hours each (01:30 to 22:30), latent and sensible heat flux, positive upward,
in (time=8, lat=720, lon=1440) from 89.875 S and 0.125 E, and a code that says where a value is
from or why there is none. The second date, of creation, is known only to a listing of the folder.
Sources: the provider's file as others print it, and the codes in the Earth Engine catalogue.
"""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from fluxengine.declare import AS_IS, Source
from fluxengine.errors import WrongFile
from fluxengine.grid import Grid, counts, days, degrees
from fluxrecipes import vocabulary as cf
from fluxrecipes.sources import flux_files, netcdf
from fluxrecipes.sources.flux_files import Quantity

if TYPE_CHECKING:
    import netCDF4
    import xarray as xr

HOME = "https://www.ncei.noaa.gov/data/ocean-heat-fluxes"
HOURS = 3  # of a step
GRID = Grid(
    time=days("1988-01-01", block=4, chunk=1),
    hour=counts(0, 24, HOURS),
    lat=degrees(-90, 90, 0.25),
    lon=degrees(0, 360, 0.25, periodic=True),
)
QUANTITIES = (
    Quantity(
        cf.latent_heat_flux.stored(AS_IS),
        ("surface_upward_latent_heat_flux",),
        flux_files.LATENT,
        "W/m^2",
    ),
    Quantity(
        cf.sensible_heat_flux.stored(AS_IS),
        ("surface_upward_sensible_heat_flux",),
        flux_files.SENSIBLE,
        "W/m^2",
    ),
)
# Codes of the file: 0 from the network, 1 unused, 5 from it too but for a wind held at 45 m/s.
CODES = {
    0: flux_files.VALID,
    1: flux_files.VALID,
    2: flux_files.SEA_ICE,
    3: flux_files.LAND,
    4: flux_files.LAKE,
    5: flux_files.VALID,
    6: flux_files.UNRESOLVED,
}


def path(day: date) -> str:
    """Where the provider keeps a day, below the archive's root; the last one made is meant."""
    return f"access/{day:%Y}/SEAFLUX-OSB-CDR_V02R00_FLUX_D{day:%Y%m%d}_C*.nc"


def decode(path: Path, day: date) -> xr.Dataset:
    """One day's file.

    Parameters
    ----------
    path : Path
        A local file under the provider's name.
    day : date
        The day it should hold.

    Returns
    -------
    xarray.Dataset
        Dims (time=1, hour=8, lat=720, lon=1440): float32 in W m-2, NaN for missing, and the uint8
        flags.

    Raises
    ------
    MissingFile, DamagedFile
        No file; not NetCDF, truncated, or with impossible values.
    WrongFile
        Of another kind, day, grid, unit or sign.
    """
    import xarray as xr

    _check_name(path, day)
    lat, lon = (GRID.axes[name].coordinate().astype(np.float64) for name in ("lat", "lon"))
    found: flux_files.Variables = {}
    with netcdf.opened(path) as file:
        _check_steps(file, path, day)
        cells = flux_files.cells_of(file, lat, lon, path, tolerance=1e-3, band=False)
        why = _why(file, cells, path)
        for quantity in QUANTITIES:
            field = flux_files.read(file, quantity, cells, range(len(why)), path)
            found |= flux_files.flagged(quantity, field, why, GRID.dims, (1, *why.shape))
    return xr.Dataset(found)


OHF_CDR = Source(
    name="ohf-cdr",
    grid=GRID,
    path=path,
    decode=decode,
    provides=flux_files.with_flags([one.variable for one in QUANTITIES]),
    archive="ohf-cdr",
    home=HOME,
    title="NOAA Climate Data Record of ocean heat fluxes, version 2, 3-hourly, 0.25 degrees",
    provider="NOAA National Centers for Environmental Information",
    licence="United States public domain; use is not restricted",
    cite="Clayson, Brown and NOAA CDR Program (2016), NOAA Climate Data Record Ocean Surface Bundle"
    " (OSB) Climate Data Record (CDR) of Ocean Heat Fluxes, Version 2; doi:10.7289/V59K4885",
    file_type="netcdf4",
)

NAME = re.compile(r"SEAFLUX-OSB-CDR_V02R\d\d_(?P<kind>[A-Z]+)_D(?P<day>\d{8})_C\d{8}\.nc")


def _check_name(path: Path, day: date) -> None:
    found = NAME.fullmatch(path.name)
    if found is None:
        what = "its name is not that of a file of the SeaFlux CDR, version 2"
    elif found["kind"] != "FLUX":
        what = f"it holds {found['kind']}, not FLUX"
    elif found["day"] != f"{day:%Y%m%d}":
        what = f"it holds the day {found['day']}, not {day:%Y%m%d}"
    else:
        return
    raise WrongFile(f"{what}.", where=str(path))


def _check_steps(file: netCDF4.Dataset, path: Path, day: date) -> None:
    """Eight steps of that day, three hours apart."""
    moments = flux_files.moments(file, path)
    since = (moments - np.datetime64(day, "s")).astype(np.int64)
    wanted = 3600 * HOURS * np.arange(GRID.axes["hour"].length)
    first = int(since[0]) if since.size else -1
    if not (0 <= first < 3600 * HOURS and np.array_equal(since, wanted + first)):
        ends = f" from {moments[0]} to {moments[-1]}" if moments.size else ""
        raise WrongFile(
            f"inside it are {moments.size} steps{ends}, not {len(wanted)} of {day}.",
            where=str(path),
        )


def _why(file: netCDF4.Dataset, cells: flux_files.Cells, path: Path) -> npt.NDArray[np.uint8]:
    """The file's codes as ours, shape (hour, lat, lon); cells without a code have no value."""
    steps = range(GRID.axes["hour"].length)
    codes = flux_files.codes(file, ("fill_missing_qc",), cells, steps, path)
    why = np.full(codes.shape, flux_files.NO_VALUE, np.uint8)
    for theirs, ours in CODES.items():
        why[codes == theirs] = ours
    return why
