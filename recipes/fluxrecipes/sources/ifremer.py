"""IFREMER turbulent fluxes, version 4: daily, 0.25 degrees, from satellites and ERA-Interim air.

Read in the form in which the Ocean Heat Flux project hands them out: a NetCDF file a day,
``ifremerflux-20040529120000-OHF-L4-global_daily_0.25x0.25-v0.7-f01.0.nc``, with fluxes positive
upward and what they rest on under the names of the CF convention. Its cells are centred on whole
quarters of a degree, longitudes from 180 W, latitudes perhaps between 80 S and 80 N alone. Known
from programs that read such files, not from a file: names of variables and the grid; the packing is
taken as found, the unit from each file.
"""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fluxengine.declare import AS_IS, Source, Variable
from fluxengine.errors import WrongFile
from fluxengine.grid import Grid, days, degrees
from fluxrecipes import vocabulary as cf
from fluxrecipes.sources import flux_files, netcdf
from fluxrecipes.sources.flux_files import Quantity

if TYPE_CHECKING:
    import netCDF4
    import xarray as xr

HOME = "https://oceanheatflux.ifremer.fr/Data"
HALF = 0.125
GRID = Grid(
    time=days("1992-01-01", block=10, chunk=1),
    lat=degrees(-90 - HALF, 90 + HALF, 0.25),
    lon=degrees(-HALF, 360 - HALF, 0.25, periodic=True),
)


def _quantity(variable: Variable, name: str, unit: str, usual: tuple[float, float]) -> Quantity:
    return Quantity(variable.stored(AS_IS), (name,), usual, unit)


QUANTITIES = (
    _quantity(cf.latent_heat_flux, "surface_upward_latent_heat_flux", "W m-2", flux_files.LATENT),
    _quantity(
        cf.sensible_heat_flux, "surface_upward_sensible_heat_flux", "W m-2", flux_files.SENSIBLE
    ),
    _quantity(cf.wind_speed, "wind_speed", "m s-1", flux_files.WIND),
    _quantity(cf.specific_humidity, "air_surface_specific_humidity", "g kg-1", flux_files.HUMIDITY),
    _quantity(cf.air_temperature, "air_temperature", "degC", flux_files.TEMPERATURE),
    _quantity(
        cf.sea_surface_temperature, "sea_surface_temperature", "degC", flux_files.TEMPERATURE
    ),
)


def path(day: date) -> str:
    """A day's file below the archive's root; the last version is meant."""
    name = f"ifremerflux-{day:%Y%m%d}120000-OHF-L4-global_daily_0.25x0.25-*.nc"
    return f"{day:%Y}/{name}"


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
        Dims (time=1, lat=721, lon=1440): values as packed in the file, with the packing in each
        variable's attributes, in W m-2, m s-1, kg kg-1 and K; and the uint8 flags.

    Raises
    ------
    MissingFile, DamagedFile
        No file; not NetCDF, truncated, or with impossible values.
    WrongFile
        Of another product, day, grid, unit or sign.
    """
    import xarray as xr

    _check_name(path, day)
    lat, lon = (GRID.axes[name].coordinate().astype(np.float64) for name in ("lat", "lon"))
    found: flux_files.Variables = {}
    with netcdf.opened(path) as file:
        _check_day(file, path, day)
        cells = flux_files.cells_of(file, lat, lon, path, tolerance=1e-3, band=True)
        for quantity in QUANTITIES:
            field = flux_files.read(file, quantity, cells, [0], path)
            valid = np.full(field.values.shape, flux_files.VALID, np.uint8)
            found |= flux_files.flagged(quantity, field, valid, GRID.dims, field.values.shape)
    return xr.Dataset(found)


IFREMER = Source(
    name="ifremer",
    grid=GRID,
    path=path,
    decode=decode,
    provides=flux_files.with_flags([one.variable for one in QUANTITIES]),
    archive="ifremer",
    home=HOME,
    title="IFREMER turbulent fluxes, version 4, daily, 0.25 degrees",
    provider="IFREMER / CERSAT, Laboratoire d'Océanographie Physique et Spatiale",
    licence="free for research with acknowledgement of IFREMER; handed out on request",
    cite="Bentamy et al. (2017), Review and assessment of latent and sensible heat flux accuracy"
    " over the global oceans, Remote Sens. Environ. 201, 196-218; doi:10.1016/j.rse.2017.08.016",
    file_type="netcdf4",
)

NAME = re.compile(r"(?P<product>[a-z]+)-(?P<day>\d{8})\d{6}-OHF-L4-global_daily_0\.25x0\.25-.+\.nc")


def _check_name(path: Path, day: date) -> None:
    found = NAME.fullmatch(path.name)
    if found is None:
        what = "its name is not that of a daily file of the Ocean Heat Flux project"
    elif found["product"] != "ifremerflux":
        what = f"it holds the product {found['product']}"
    elif found["day"] != f"{day:%Y%m%d}":
        what = f"it holds the day {found['day']}, not {day:%Y%m%d}"
    else:
        return
    raise WrongFile(f"{what}.", where=str(path))


def _check_day(file: netCDF4.Dataset, path: Path, day: date) -> None:
    moments = flux_files.moments(file, path)
    if moments.size != 1 or moments[0].astype("datetime64[D]") != np.datetime64(day):
        inside = ", ".join(str(moment) for moment in moments[:3]) or "no time"
        raise WrongFile(f"inside it is {inside}, not {day}.", where=str(path))
