"""NCEP/NCAR Reanalysis 1: heat fluxes and near-surface air on its T62 Gaussian grid.

One NetCDF file a variable and year from NOAA PSL, ``lhtfl.sfc.gauss.1994.nc``, in (time, lat=94,
lon=192): latitudes of the Gaussian quadrature from 88.542 N, longitudes every 1.875 degrees from
Greenwich. ``Dailies`` hold daily means, the folder above them four steps a day: fluxes as means of
the six hours that begin, the rest at the moment. Fluxes are positive upward. Newer files are
float32, older ones int16 with a scale and offset that differ from file to file; newer times count
hours since 1800, older ones since the year 1, in the mixed calendar (1948 begins at 17,067,072).
Reanalysis 2 has files of the same names. Sources: headers as others print them, NOAA PSL's pages.

Rows have no equal widths: they are numbered from the south, and `EDGES` are their bounds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from fluxengine.declare import AS_IS, Source, Variable
from fluxengine.errors import DamagedFile, WrongFile
from fluxengine.grid import Axis, Grid, counts, days, degrees
from fluxrecipes import vocabulary as cf
from fluxrecipes.sources import flux_files, netcdf
from fluxrecipes.sources.flux_files import Quantity
from fluxrecipes.sources.gzipped import FETCH_AGAIN

if TYPE_CHECKING:
    import netCDF4
    import xarray as xr

HOME = "https://downloads.psl.noaa.gov/Datasets/ncep.reanalysis"
ROWS, COLUMNS = 94, 192
WIDTH = 360 / COLUMNS
FREEZING = 271.0  # K: no open sea is colder; the skin of ice is
MASK = "surface_gauss/land.sfc.gauss.nc"

_SINES, _WEIGHTS = np.polynomial.legendre.leggauss(ROWS)
LATITUDES: npt.NDArray[np.float64] = np.degrees(np.arcsin(_SINES))  # from the south
# A row ends where it has the area that the quadrature gives it: then global means agree.
EDGES = tuple(
    np.degrees(np.arcsin(np.clip(np.concatenate([[-1], np.cumsum(_WEIGHTS) - 1]), -1, 1))).tolist()
)


def _quantity(variable: Variable, name: str, unit: str, usual: tuple[float, float]) -> Quantity:
    return Quantity(variable.stored(AS_IS), (name,), usual, unit)


# By the stem of their files.
SCALARS: Mapping[str, Quantity] = {
    "lhtfl.sfc": _quantity(cf.latent_heat_flux, "lhtfl", "W/m^2", flux_files.LATENT),
    "shtfl.sfc": _quantity(cf.sensible_heat_flux, "shtfl", "W/m^2", flux_files.SENSIBLE),
    "air.2m": _quantity(cf.air_temperature_2m, "air", "degK", flux_files.TEMPERATURE),
    "shum.2m": _quantity(cf.specific_humidity_2m, "shum", "kg/kg", flux_files.HUMIDITY),
    "skt.sfc": _quantity(cf.skin_temperature, "skt", "degK", flux_files.TEMPERATURE),
}
# The mean of a day's wind is slower than its mean speed: components are of use each six hours only.
WIND: Mapping[str, Quantity] = {
    "uwnd.10m": _quantity(cf.eastward_wind, "uwnd", "m/s", flux_files.COMPONENT),
    "vwnd.10m": _quantity(cf.northward_wind, "vwnd", "m/s", flux_files.COMPONENT),
}


@dataclass(frozen=True)
class Files:
    """The files of daily means, or those of four steps a day.

    Parameters
    ----------
    folder : str
        Below the archive's root.
    quantities : mapping of str to Quantity
        By the stem of their files.
    steps : int
        A day.
    """

    folder: str
    quantities: Mapping[str, Quantity]
    steps: int

    @property
    def grid(self) -> Grid:
        """Daily steps; where each has several, along an axis of hours."""
        axes: dict[str, Axis] = {"time": days("1948-01-01", block=60, chunk=10)}
        if self.steps > 1:
            axes["hour"] = counts(0, 24, 24 // self.steps)
        columns = degrees(-WIDTH / 2, 360 - WIDTH / 2, WIDTH, periodic=True)
        return Grid(**axes, row=counts(0, ROWS), lon=columns)

    @property
    def provides(self) -> tuple[Variable, ...]:
        """Variables and their flags."""
        return flux_files.with_flags([one.variable for one in self.quantities.values()])

    def path(self, day: date) -> tuple[str, ...]:
        """The files of a day's year, and the mask of land."""
        names = (f"{self.folder}/{stem}.gauss.{day:%Y}.nc" for stem in self.quantities)
        return (*names, MASK)

    def decode(self, files: tuple[Path, ...], wanted: tuple[date, ...]) -> xr.Dataset:
        """Some days of a year.

        Parameters
        ----------
        files : tuple of Path
            Local files of one year under the provider's names, in the order of `path`.
        wanted : tuple of date
            Days of that year.

        Returns
        -------
        xarray.Dataset
            Dims (time, row=94, lon=192), of four steps a day (time, hour=4, row, lon): those of
            the days that all files hold, values as packed, with the packing in each variable's
            attributes, and the uint8 flags: land, and sea whose skin is colder than water can be.

        Raises
        ------
        MissingFile, DamagedFile
            No file; not NetCDF, truncated, or with impossible values.
        WrongFile
            Of another reanalysis, variable, year, interval, grid, unit or sign.
        """
        import xarray as xr

        *fields, mask = files
        land = _land(mask)
        held = self._held_by_all(fields, wanted)
        found = {
            stem: self._read(file, stem, held, wanted[0].year)
            for file, stem in zip(fields, self.quantities, strict=True)
        }
        why = _why(land, found["skt.sfc"])
        shape = (len(held), *(axis.length for axis in list(self.grid.axes.values())[1:]))
        variables: flux_files.Variables = {}
        for stem, field in found.items():
            quantity = self.quantities[stem]
            variables |= flux_files.flagged(quantity, field, why, self.grid.dims, shape)
        return xr.Dataset(variables, {"time": np.array(held, "datetime64[s]")})

    def _held_by_all(self, files: list[Path], wanted: tuple[date, ...]) -> list[date]:
        there = []
        for path, stem in zip(files, self.quantities, strict=True):
            with netcdf.opened(path) as file:
                there.append(self._days(file, path, stem, wanted[0].year))
        return [day for day in wanted if all(day in days for days in there)]

    def _read(self, path: Path, stem: str, wanted: list[date], year: int) -> flux_files.Field:
        """Shape (steps of all days, row, lon)."""
        with netcdf.opened(path) as file:
            firsts = self._days(file, path, stem, year)
            steps = [firsts[day] + step for day in wanted for step in range(self.steps)]
            return flux_files.read(file, self.quantities[stem], _cells(file, path), steps, path)

    def _days(self, file: netCDF4.Dataset, path: Path, stem: str, year: int) -> dict[date, int]:
        """The whole days of a file, and the step at which each begins."""
        _check_kind(file, path, stem, year)
        moments = flux_files.moments(file, path)
        interval = np.timedelta64(24 // self.steps, "h")
        if (np.diff(moments) != interval).any():
            raise WrongFile(f"its steps are not {interval} apart.", where=str(path))
        if moments.size and {moments[0].item().year, moments[-1].item().year} != {year}:
            what = f"inside it is {moments[0]} to {moments[-1]}, not the year {year}."
            raise WrongFile(what, where=str(path))
        begins = (moments - moments.astype("datetime64[D]")).astype(np.int64) == 0
        firsts = [int(at) for at in np.flatnonzero(begins) if at + self.steps <= moments.size]
        return {moments[at].item().date(): at for at in firsts}


def _cells(file: netCDF4.Dataset, path: Path) -> flux_files.Cells:
    columns = WIDTH * np.arange(COLUMNS, dtype=np.float64)
    return flux_files.cells_of(file, LATITUDES, columns, path, tolerance=0.01, band=False)


def _land(path: Path) -> npt.NDArray[np.bool_]:
    """Where the reanalysis has land, shape (row, lon)."""
    with netcdf.opened(path) as file:
        codes = flux_files.codes(file, ("land",), _cells(file, path), [0], path)[0]
    if not np.isin(codes, (0, 1)).all():
        what = "its mask of land is not 0 for sea and 1 for land."
        raise DamagedFile(what, where=str(path), mend=FETCH_AGAIN)
    return np.asarray(codes == 1)


def _why(land: npt.NDArray[np.bool_], skin: flux_files.Field) -> npt.NDArray[np.uint8]:
    """Land, ice, or valid: shape (steps, row, lon)."""
    attrs = skin.attrs
    kelvin = skin.values * attrs.get("scale_factor", 1.0) + attrs.get("add_offset", 0.0)
    ice = (kelvin < FREEZING) & ~skin.missing
    why = np.where(ice, flux_files.SEA_ICE, flux_files.VALID)
    return np.where(land, flux_files.LAND, why).astype(np.uint8)


# --- Is it the file that was asked for? --------------------------------------------------------

OTHERS = re.compile(r"(?i)reanalysis[\s-]*(2|ii)\b|ncep[\s/-]*doe|20th century|amip")


def _check_kind(file: netCDF4.Dataset, path: Path, stem: str, year: int) -> None:
    wanted = f"{stem}.gauss.{year}.nc"
    if path.name != wanted:
        raise WrongFile(f"its name is not {wanted}.", where=str(path))
    said = flux_files.text_of(file, "title", "dataset_title", "source")
    if OTHERS.search(said):
        what = f"it says '{said.strip()}': another reanalysis, which names its files alike."
        raise WrongFile(what, where=str(path))


def _source(name: str, files: Files, interval: str) -> Source:
    return Source(
        name=name,
        grid=files.grid,
        path=files.path,
        decode=files.decode,
        provides=files.provides,
        archive="ncep-r1",
        home=HOME,
        title=f"NCEP/NCAR Reanalysis 1, surface fluxes and near-surface air, {interval}, T62",
        provider="NOAA Physical Sciences Laboratory; National Centers for Environmental Prediction",
        licence="United States public domain; acknowledge NOAA PSL",
        cite="Kalnay et al. (1996), The NCEP/NCAR 40-Year Reanalysis Project, Bull. Amer. Meteor."
        " Soc. 77, 437-471. NOAA PSL, Boulder, psl.noaa.gov",
        file_type="netcdf4",
        holds_many=True,
    )


SOURCES: Mapping[str, Source] = {
    source.name: source
    for source in (
        _source("ncep-r1", Files("Dailies/surface_gauss", SCALARS, 1), "daily"),
        _source("ncep-r1-6h", Files("surface_gauss", {**SCALARS, **WIND}, 4), "6-hourly"),
    )
}
