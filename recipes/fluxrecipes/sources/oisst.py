"""NOAA OISST v2.1: daily sea surface temperature, its anomaly and error, and sea ice, 0.25 degrees.

A file is NetCDF4 with int16 values in (time=1, zlev=1, lat=720, lon=1440). The integers are kept as
they are; only the offset of temperature moves from degrees Celsius to kelvin. Packing that differs
in one file is handed on as found, so that the engine re-encodes it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fluxengine.declare import Packing, Reference, Source, Variable, flag_variable
from fluxengine.errors import DamagedFile, WrongFile
from fluxengine.grid import Grid, days, degrees
from fluxrecipes import vocabulary as cf
from fluxrecipes.sources import netcdf
from fluxrecipes.sources.gzipped import FETCH_AGAIN
from fluxrecipes.sources.netcdf import CELSIUS

if TYPE_CHECKING:
    import netCDF4
    import xarray as xr

HOME = "https://www.ncei.noaa.gov/data/sea-surface-temperature-optimum-interpolation"
GRID = Grid(
    time=days("1981-09-01", block=10, chunk=1),
    lat=degrees(-90, 90, 0.25),
    lon=degrees(0, 360, 0.25, periodic=True),
)
VALID, NO_VALUE = 2, 3
FINAL, PRELIMINARY = 2, 3
FILL = -999


@dataclass(frozen=True)
class Field:
    """A variable of the file: its name there, ours, its units there, and what brings it to ours."""

    name: str
    variable: Variable
    units: frozenset[str]
    shift: float = 0.0


def _packed(variable: Variable, offset: float = 0.0) -> Variable:
    return variable.stored(Packing("i2", 0.01, offset, FILL))


FIELDS = (
    Field("sst", _packed(cf.sea_surface_temperature, cf.KELVIN), CELSIUS, shift=cf.KELVIN),
    Field("anom", _packed(cf.sea_surface_temperature_anomaly), CELSIUS),
    Field("err", _packed(cf.sea_surface_temperature_error), CELSIUS),
    # The file says "%", yet its packing decodes to a fraction (0.15 to 1): see `_check_range`.
    Field("ice", _packed(cf.sea_ice_fraction), frozenset({"%", "percent", "1"})),
)
FLAG = flag_variable(
    "sea_surface_temperature_flag",
    "whether sea surface temperature has a value",
    {VALID: "valid", NO_VALUE: "no_value"},
    standard_name="status_flag",
    comment="no_value: land, or covered by ice without an analysed temperature",
)
KIND = flag_variable(
    "analysis_flag",
    "whether the analysis is the final one",
    {FINAL: "final", PRELIMINARY: "preliminary"},
    standard_name="status_flag",
    comment="the same for all cells of a day; the provider replaces a preliminary analysis by the"
    " final one after two weeks",
)


def file_name(day: date) -> str:
    """The provider's name of a day's final file."""
    return f"oisst-avhrr-v02r01.{day:%Y%m%d}.nc"


def path(day: date) -> str:
    """Where the provider keeps a day, below the archive's root."""
    return f"v2.1/access/avhrr/{day:%Y%m}/{file_name(day)}"


def preliminary_path(day: date) -> str:
    """Where the provider keeps a day's analysis until the final one is there."""
    return path(day).replace(".nc", "_preliminary.nc")


def decode(path: Path, day: date) -> xr.Dataset:
    """One day's file as packed values.

    Parameters
    ----------
    path : Path
        A local file under the provider's name, final or preliminary.
    day : date
        The day it should hold.

    Returns
    -------
    xarray.Dataset
        Dims (time=1, lat=720, lon=1440): int16 as in the file, and two uint8 flags; packing as the
        file has it in each variable's attributes, the offset of temperature in kelvin.

    Raises
    ------
    MissingFile, DamagedFile
        No file; not NetCDF, truncated, or with values its units do not allow.
    WrongFile
        Preliminary under a final name, or of another day, grid, unit or kind of data.
    """
    import xarray as xr

    is_final = _check_name(path, day)
    with netcdf.opened(path) as file:
        _check_identity(file, path, day, is_final)
        found = {field.variable.name: _read(file, field, path) for field in FIELDS}
    sst, packing = found["sea_surface_temperature"]
    missing = sst == packing["_FillValue"]
    flag = np.where(missing, NO_VALUE, VALID).astype(np.uint8)
    kind = np.full(sst.shape, FINAL if is_final else PRELIMINARY, np.uint8)
    for variable, codes in ((FLAG, flag), (KIND, kind)):
        found[variable.name] = codes, {"scale_factor": 1.0, "add_offset": 0.0, "_FillValue": 0}
    return xr.Dataset({name: (GRID.dims, values, attrs) for name, (values, attrs) in found.items()})


# Values may be read in the provider's files where they lie, except for the flag.
REFERENCES = tuple(
    Reference(field.variable.name, field.name, (720, 1440), ("shuffle", "zlib")) for field in FIELDS
)
OISST = Source(
    name="oisst",
    grid=GRID,
    path=path,
    instead=(preliminary_path,),
    decode=decode,
    provides=(*(field.variable for field in FIELDS), FLAG, KIND),
    archive="oisst",
    home=HOME,
    title="NOAA 0.25-degree daily optimum interpolation sea surface temperature, v2.1",
    provider="NOAA National Centers for Environmental Information",
    licence="United States public domain",
    cite="Huang et al. (2021), Improvements of the Daily Optimum Interpolation Sea Surface"
    " Temperature (DOISST) Version 2.1, J. Climate 34; doi:10.25921/RE9P-PT57",
    file_type="netcdf4",
    references=REFERENCES,
)


# --- Is it the file that was asked for? --------------------------------------------------------

NAME = re.compile(r"oisst-avhrr-v02r01\.(?P<day>\d{8})(?P<kind>_preliminary)?\.nc")


def _check_name(path: Path, day: date) -> bool:
    """Whether the name is that of the day's final file; else it is the preliminary one's."""
    found = NAME.fullmatch(path.name)
    if found and found["day"] == f"{day:%Y%m%d}":
        return not found["kind"]
    what = (
        f"it holds the day {found['day']}"
        if found
        else "its name is not that of a daily OISST v2.1 file"
    )
    raise WrongFile(f"{what}; this day's file is {file_name(day)}.", where=str(path))


def _check_identity(file: netCDF4.Dataset, path: Path, day: date, is_final: bool) -> None:
    """Kind, day and grid by what is inside."""
    title = netcdf.text(file, "title").lower()
    if is_final and ("interim" in title or "preliminary" in title):
        what = "it is a preliminary analysis, though its name says final."
        raise WrongFile(what, where=str(path))
    netcdf.variable(file, "sst", path)
    _check_day(file, path, day)
    for name in ("lat", "lon"):
        netcdf.check_axis(file, name, GRID.axes[name], path)


def _check_day(file: netCDF4.Dataset, path: Path, day: date) -> None:
    time = netcdf.variable(file, "time", path)
    if time.size != 1:
        raise WrongFile(f"it holds {time.size} days, not one.", where=str(path))
    value = netcdf.numbers(time, time.shape, path).item()
    netcdf.check_day(netcdf.moment(value, netcdf.text(time, "units"), path), day, path)


# --- Values as packed in the file --------------------------------------------------------------


def _read(
    file: netCDF4.Dataset, field: Field, path: Path
) -> tuple[npt.NDArray[np.generic], dict[str, Any]]:
    """Packed values, shape (1, lat, lon), and their packing in our units."""
    variable = netcdf.variable(file, field.name, path)
    expected = (1, 1, GRID.axes["lat"].length, GRID.axes["lon"].length)
    units = netcdf.text(variable, "units") or "none"
    if variable.shape != expected or variable.dtype != np.int16:
        kind = f"{variable.dtype} of shape {variable.shape}"
        raise WrongFile(f"{field.name} is {kind}, not int16 of {expected}.", where=str(path))
    if units not in field.units:
        expected_units = " or ".join(sorted(field.units))
        raise WrongFile(f"{field.name} is in '{units}', not {expected_units}.", where=str(path))
    raw = np.asarray(variable[:], np.int16)[:, 0]
    packing = _packing(variable, path)
    _check_range(raw, packing, field, path)
    return raw, packing | {"add_offset": packing["add_offset"] + field.shift}


def _packing(variable: netCDF4.Variable[Any], path: Path) -> dict[str, Any]:
    names = ("scale_factor", "add_offset", "_FillValue")
    absent = [name for name in names if name not in variable.ncattrs()]
    if absent:
        what = f"{variable.name} has no {' and no '.join(absent)}: its values cannot be told."
        raise DamagedFile(what, where=str(path), mend=FETCH_AGAIN)
    scale, offset, fill = (netcdf.number(variable, name, np.nan, path) for name in names)
    is_of_int16 = fill.is_integer() and -(2**15) <= fill < 2**15
    if not (0 < scale < np.inf and np.isfinite(offset) and is_of_int16):
        packing = f"scale {scale:g}, offset {offset:g} and fill value {fill:g}"
        what = f"{variable.name} is packed with {packing}: its values cannot be told."
        raise DamagedFile(what, where=str(path), mend=FETCH_AGAIN)
    # The file's float32 0.01 is meant as the decimal 0.01: its shortest text says so exactly.
    scale, offset = (float(str(np.ravel(variable.getncattr(name))[0])) for name in names[:2])
    return {"scale_factor": scale, "add_offset": offset, "_FillValue": int(fill)}


def _check_range(
    raw: npt.NDArray[np.int16], packing: dict[str, Any], field: Field, path: Path
) -> None:
    """Refuse values that cannot be: ice in true per cent, whose units say the same; a bad scale."""
    values = raw[raw != packing["_FillValue"]] * packing["scale_factor"] + packing["add_offset"]
    low, high = (edge - field.shift for edge in field.variable.valid_range or (-np.inf, np.inf))
    if values.size and not (low - 1e-3 <= values.min() and values.max() <= high + 1e-3):
        found = f"{values.min():g} to {values.max():g}"
        what = f"{field.name} decodes to {found}, not to within {low:g} to {high:g}."
        raise DamagedFile(what, where=str(path), mend="Its packing is not that of OISST v2.1.")
