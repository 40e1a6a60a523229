"""OAFlux v3 of WHOI: daily sea fluxes of latent and sensible heat and what they rest on, 1 degree.

One gzipped NetCDF file a quantity and year, ``lh_oaflux_1994.nc.gz``: int16 in (time, lat=180,
lon=360) from 89.5 S and 0.5 E, fluxes times ten and the others times a hundred, 32766 for land, ice
and missing; an error estimate ``err`` beside. Fluxes are positive upward. Time counts the days of
the year from 1 and names no year: that stands in the file's name alone. The files of the running
year end in ``rt`` until they are final. An archive may hold them unpacked, ``lh_oaflux_1994.nc``:
such files can be read in place. Source: the provider's readme, 29 July 2017.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fluxengine.declare import RECORD, Packing, Reference, Source, Variable
from fluxengine.errors import MissingFile, WrongFile
from fluxengine.grid import Grid, days, degrees
from fluxrecipes import vocabulary as cf
from fluxrecipes.sources import flux_files, netcdf
from fluxrecipes.sources.flux_files import Quantity
from fluxrecipes.sources.gzipped import FOLDER, gunzipped

if TYPE_CHECKING:
    import netCDF4
    import xarray as xr

HOME = "ftp://ftp.whoi.edu/pub/science/oaflux/data_v3"
GRID = Grid(
    time=days("1985-01-01", block=120, chunk=10),
    lat=degrees(-90, 90, 1),
    lon=degrees(0, 360, 1, periodic=True),
)
MISSING = 32766
LARGEST = 2**28  # bytes unpacked: a year's values and errors are 95 million as int16
MONTHS = 12


def _quantity(
    variable: Variable, name: str, unit: str, scale: float, usual: tuple[float, float]
) -> Quantity:
    factor, shift = flux_files.UNITS[variable.units][flux_files.spelled_plainly(unit)]
    packing = Packing("i2", scale * factor, shift, MISSING)
    return Quantity(variable.stored(packing), (name,), usual, unit, scale, (MISSING,))


# By the prefix of their files.
QUANTITIES = {
    "lh": _quantity(cf.latent_heat_flux, "lhtfl", "W/m^2", 0.1, flux_files.LATENT),
    "sh": _quantity(cf.sensible_heat_flux, "shtfl", "W/m^2", 0.1, flux_files.SENSIBLE),
    "ws": _quantity(cf.wind_speed, "wnd10", "m/s", 0.01, flux_files.WIND),
    "qa": _quantity(cf.specific_humidity_2m, "hum2m", "g/kg", 0.01, flux_files.HUMIDITY),
    "ta": _quantity(cf.air_temperature_2m, "tmp2m", "degC", 0.01, flux_files.TEMPERATURE),
    "ts": _quantity(cf.sea_surface_temperature, "tmpsf", "degC", 0.01, flux_files.TEMPERATURE),
}


def path(day: date, suffix: str = ".nc.gz") -> tuple[str, ...]:
    """Where the provider keeps the files of a day's year, below the archive's root."""
    return tuple(f"daily/turbulence/{prefix}_oaflux_{day:%Y}{suffix}" for prefix in QUANTITIES)


# The same unpacked, and the files of a year that is not final.
INSTEAD = tuple(partial(path, suffix=suffix) for suffix in (".nc", "rt.nc.gz", "rt.nc"))


def decode(files: tuple[Path, ...], wanted: tuple[date, ...]) -> xr.Dataset:
    """Some days of a year as packed values.

    Parameters
    ----------
    files : tuple of Path
        Local files of one year under the provider's names, in the order of `path`.
    wanted : tuple of date
        Days of that year.

    Returns
    -------
    xarray.Dataset
        Dims (time, lat=180, lon=360): those of the days that all files hold, int16, and the uint8
        flags; packing in each variable's attributes, in K and kg kg-1. Coordinate ``record`` beside
        time: the day's place in the files.

    Raises
    ------
    MissingFile, DamagedFile
        No file; not gzip or NetCDF, truncated, or with impossible values.
    WrongFile
        Of another quantity, year, grid, unit or sign, or of monthly means.
    """
    import xarray as xr

    found: flux_files.Variables = {}
    sizes = []
    for file, (prefix, quantity) in zip(files, QUANTITIES.items(), strict=True):
        with _Year.opened(file, prefix, wanted[0].year) as year:
            sizes.append(year.days)
            held = [day for day in wanted if _record(day) < min(sizes)]
            found |= year.packed(quantity, held)
    held = [day for day in wanted if _record(day) < min(sizes)]
    dataset = xr.Dataset({name: (d, v[: len(held)], a) for name, (d, v, a) in found.items()})
    records = np.array([_record(day) for day in held], np.int64)
    times = np.array(held, "datetime64[s]")
    return dataset.assign_coords({"time": times, RECORD: ("time", records)})


def _record(day: date) -> int:
    """A day's place in the files of its year."""
    return day.timetuple().tm_yday - 1


# Unpacked files are classic NetCDF: a day's integers lie in one piece, big-endian.
REFERENCES = tuple(
    Reference(one.variable.name, one.names[0], (180, 360), big_endian=True, part=part)
    for part, one in enumerate(QUANTITIES.values())
)
OAFLUX = Source(
    name="oaflux",
    grid=GRID,
    path=path,
    decode=decode,
    provides=flux_files.with_flags([one.variable for one in QUANTITIES.values()]),
    archive="oaflux",
    home=HOME,
    title="Objectively Analyzed air-sea Fluxes (OAFlux), version 3, daily, 1 degree",
    provider="Woods Hole Oceanographic Institution, OAFlux project",
    licence="free; acknowledge the WHOI OAFlux project, funded by the NOAA Climate Observations and"
    " Monitoring programme",
    cite="Yu, Jin and Weller (2008), Multidecade Global Flux Datasets from the Objectively Analyzed"
    " Air-sea Fluxes (OAFlux) Project, WHOI OAFlux Technical Report OA-2008-01. oaflux.whoi.edu",
    file_type="netcdf3",
    instead=INSTEAD,
    holds_many=True,
    references=REFERENCES,
)

NAME = re.compile(r"(?P<prefix>[a-z]+)_oaflux_(?P<year>\d{4})(rt)?\.nc(\.gz)?")


@dataclass(frozen=True)
class _Year:
    """One quantity's file of a year."""

    file: netCDF4.Dataset
    path: Path
    days: int

    @staticmethod
    @contextmanager
    def opened(path: Path, prefix: str, year: int) -> Iterator[_Year]:
        """The file, after a look at its name and its days."""
        found = NAME.fullmatch(path.name)
        if found is None or (found["prefix"], found["year"]) != (prefix, str(year)):
            wanted = f"{prefix}_oaflux_{year}.nc.gz"
            raise WrongFile(f"its name is not {wanted}.", where=str(path))
        with _unpacked(path) as plain, netcdf.opened(plain, path) as file:
            yield _Year(file, path, _days(file, year, path))

    def packed(self, quantity: Quantity, wanted: list[date]) -> flux_files.Variables:
        """Values and flags of some days."""
        lat, lon = (GRID.axes[name].coordinate().astype(np.float64) for name in ("lat", "lon"))
        cells = flux_files.cells_of(self.file, lat, lon, self.path, tolerance=1e-3, band=False)
        records = [_record(day) for day in wanted]
        field = flux_files.read(self.file, quantity, cells, records, self.path)
        valid = np.full(field.values.shape, flux_files.VALID, np.uint8)
        return flux_files.flagged(quantity, field, valid, GRID.dims, field.values.shape)


@contextmanager
def _unpacked(path: Path) -> Iterator[Path]:
    """A file as it is, or unpacked where it is gzip: some keep them so."""
    try:
        with path.open("rb") as file:
            is_gzip = file.read(2) == b"\x1f\x8b"
    except FileNotFoundError:
        raise MissingFile("there is no such file.", where=str(path)) from None
    except IsADirectoryError:
        raise WrongFile(FOLDER, where=str(path)) from None
    if not (is_gzip or path.suffix == ".gz"):
        yield path
        return
    with gunzipped(path, LARGEST) as plain:
        yield plain


def _days(file: netCDF4.Dataset, year: int, path: Path) -> int:
    """Number of days, which count from the first of January.

    Raises
    ------
    WrongFile
        Monthly means, another year, or a leap day in a year that has none.
    """
    time = flux_files.coordinate(file, ("time",), flux_files.MOST_STEPS, path)
    units = flux_files.text_of(file["time"], "units").lower()
    first = np.datetime64(f"{year}-01-01")
    whole = (date(year + 1, 1, 1) - date(year, 1, 1)).days
    # Monthly means have files of the same names: only the unit of time tells twelve of them from
    # the first twelve days of the running year.
    if "month" in units or (time.size == MONTHS and not re.search("day|since", units)):
        what = f"it holds {time.size} steps in the unit '{units}', not days: monthly means."
        raise WrongFile(what, where=str(path))
    if time.size > whole:
        raise WrongFile(f"it holds {time.size} days; {year} has {whole}.", where=str(path))
    if "since" in units:
        moments = flux_files.moments(file, path)
        time = (moments.astype("datetime64[D]") - first).astype(np.float64) + 1
    if not np.array_equal(time, np.arange(1, time.size + 1)):
        what = f"its time does not count the days of {year} from the first on."
        raise WrongFile(what, where=str(path))
    return int(time.size)
