"""NOAA OISST v2.1: daily sea surface temperature, its anomaly and error, and sea ice, 0.25 degrees.

A file is NetCDF4 with int16 values in (time=1, zlev=1, lat=720, lon=1440). The integers are kept as
they are; only the offset of temperature moves from degrees Celsius to kelvin. Packing that differs
in one file is handed on as found, so that the engine re-encodes it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from fluxengine.declare import Packing, Reference, Source, Variable, flag_variable
from fluxengine.errors import DamagedFile, MissingFile, WrongFile
from fluxengine.grid import Grid, days, degrees
from fluxrecipes import vocabulary as cf
from fluxrecipes.sources.gzipped import FETCH_AGAIN

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
FILL = -999
CELSIUS = frozenset({"Celsius", "degree_Celsius", "degrees_Celsius", "degree_C", "degC"})


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
    # The file says "%", yet its packing decodes to a fraction (0.15 to 1): see `_check_fraction`.
    Field("ice", _packed(cf.sea_ice_fraction), frozenset({"%", "percent", "1"})),
)
FLAG = flag_variable(
    "sea_surface_temperature_flag",
    "whether sea surface temperature has a value",
    {VALID: "valid", NO_VALUE: "no_value"},
    standard_name="status_flag",
    comment="no_value: land, or covered by ice without an analysed temperature",
)


def file_name(day: date) -> str:
    """The provider's name of a day's final file."""
    return f"oisst-avhrr-v02r01.{day:%Y%m%d}.nc"


def path(day: date) -> str:
    """Where the provider keeps a day, below the archive's root."""
    return f"v2.1/access/avhrr/{day:%Y%m}/{file_name(day)}"


def decode(path: Path, day: date) -> xr.Dataset:
    """One day's file as packed values.

    Parameters
    ----------
    path : Path
        A local file under the provider's name.
    day : date
        The day it should hold.

    Returns
    -------
    xarray.Dataset
        Dims (time=1, lat=720, lon=1440): int16 as in the file, and the uint8 flag; packing as the
        file has it in each variable's attributes, the offset of temperature in kelvin.

    Raises
    ------
    MissingFile, DamagedFile
        No file; not NetCDF, truncated, or with values its units do not allow.
    WrongFile
        Preliminary, of another day, grid, unit or kind of data.
    """
    import xarray as xr

    _check_name(path, day)
    with _opened(path) as file:
        _check_identity(file, path, day)
        found = {field.variable.name: _read(file, field, path) for field in FIELDS}
    sst, packing = found["sea_surface_temperature"]
    missing = sst == packing["_FillValue"]
    flag = np.where(missing, NO_VALUE, VALID).astype(np.uint8)
    found[FLAG.name] = flag, {"scale_factor": 1.0, "add_offset": 0.0, "_FillValue": 0}
    return xr.Dataset({name: (GRID.dims, values, attrs) for name, (values, attrs) in found.items()})


# Values may be read in the provider's files where they lie, except for the flag.
REFERENCES = tuple(
    Reference(field.variable.name, field.name, (720, 1440), ("shuffle", "zlib")) for field in FIELDS
)
OISST = Source(
    name="oisst",
    grid=GRID,
    path=path,
    decode=decode,
    provides=(*(field.variable for field in FIELDS), FLAG),
    archive="oisst",
    home=HOME,
    title="NOAA 0.25-degree daily optimum interpolation sea surface temperature, v2.1, final",
    provider="NOAA National Centers for Environmental Information",
    licence="United States public domain",
    cite="Huang et al. (2021), Improvements of the Daily Optimum Interpolation Sea Surface"
    " Temperature (DOISST) Version 2.1, J. Climate 34; doi:10.25921/RE9P-PT57",
    file_type="netcdf4",
    references=REFERENCES,
)


@contextmanager
def _opened(path: Path) -> Iterator[netCDF4.Dataset]:
    """The file with automatic decoding off; whatever the library cannot read is a damaged file."""
    import netCDF4

    if not path.exists():
        raise MissingFile("there is no such file.", where=str(path))
    try:
        with netCDF4.Dataset(path) as file:
            file.set_auto_maskandscale(False)
            yield file
    except (OSError, RuntimeError) as error:  # how the library reports damage, at opening or later
        raise DamagedFile(
            f"it cannot be read as NetCDF: {error}.", where=str(path), mend=FETCH_AGAIN
        ) from error


# --- Is it the file that was asked for? --------------------------------------------------------

NAME = re.compile(r"oisst-avhrr-v02r01\.(?P<day>\d{8})(?P<kind>_preliminary)?\.nc")
PRELIMINARY = "it is a preliminary analysis, which NOAA replaces by the final one after two weeks"


def _check_name(path: Path, day: date) -> None:
    found = NAME.fullmatch(path.name)
    if found is None:
        what = "its name is not that of a daily OISST v2.1 file"
    elif found["kind"]:
        what = PRELIMINARY
    elif found["day"] != f"{day:%Y%m%d}":
        what = f"it holds the day {found['day']}"
    else:
        return
    raise WrongFile(f"{what}; this day's file is {file_name(day)}.", where=str(path))


def _check_identity(file: netCDF4.Dataset, path: Path, day: date) -> None:
    """Kind, day and grid by what is inside."""
    title = str(getattr(file, "title", "")).lower()
    if "interim" in title or "preliminary" in title:
        raise WrongFile(f"{PRELIMINARY}, though its name says final.", where=str(path))
    if "sst" not in file.variables:
        names = ", ".join(file.variables) or "none"
        raise WrongFile(f"it has no variable 'sst'; its variables are {names}.", where=str(path))
    _check_day(file, path, day)
    _check_axis(file, "lat", path)
    _check_axis(file, "lon", path)


def _check_day(file: netCDF4.Dataset, path: Path, day: date) -> None:
    import netCDF4

    time = _variable(file, "time", path)
    if time.size != 1:
        raise WrongFile(f"it holds {time.size} days, not one.", where=str(path))
    try:
        units = str(getattr(time, "units", ""))
        moment = cast("datetime", netCDF4.num2date(time[:].item(), units))
    except (ValueError, OverflowError) as error:
        raise DamagedFile(f"its time cannot be read: {error}.", where=str(path)) from None
    if (moment.year, moment.month, moment.day) != (day.year, day.month, day.day):
        raise WrongFile(f"inside it is {moment:%Y-%m-%d}, not {day}.", where=str(path))


def _check_axis(file: netCDF4.Dataset, name: str, path: Path) -> None:
    """Cell centres as declared: 0.25 degrees, from the south pole, from Greenwich."""
    expected = GRID.axes[name].coordinate().astype(np.float64)
    found = np.asarray(_variable(file, name, path)[:], np.float64)
    if found.shape != expected.shape:
        raise WrongFile(f"{name} has {found.size} cells, not {expected.size}.", where=str(path))
    if not np.allclose(found, expected, rtol=0, atol=1e-3):
        raise WrongFile(
            f"{name} runs from {found[0]:g} to {found[-1]:g},"
            f" not from {expected[0]:g} to {expected[-1]:g}.",
            where=str(path),
        )


def _variable(file: netCDF4.Dataset, name: str, path: Path) -> netCDF4.Variable[Any]:
    if name not in file.variables:
        raise WrongFile(f"it has no variable '{name}'.", where=str(path))
    return file.variables[name]


# --- Values as packed in the file --------------------------------------------------------------


def _read(
    file: netCDF4.Dataset, field: Field, path: Path
) -> tuple[npt.NDArray[np.generic], dict[str, Any]]:
    """Packed values, shape (1, lat, lon), and their packing in our units."""
    variable = _variable(file, field.name, path)
    expected = (1, 1, GRID.axes["lat"].length, GRID.axes["lon"].length)
    units = str(getattr(variable, "units", "none"))
    if variable.shape != expected or variable.dtype != np.int16:
        kind = f"{variable.dtype} of shape {variable.shape}"
        raise WrongFile(f"{field.name} is {kind}, not int16 of {expected}.", where=str(path))
    if units not in field.units:
        expected_units = " or ".join(sorted(field.units))
        raise WrongFile(f"{field.name} is in '{units}', not {expected_units}.", where=str(path))
    raw = np.asarray(variable[:], np.int16)[:, 0]
    packing = _packing(variable, path)
    if field.name == "ice":
        _check_fraction(raw, packing, path)
    return raw, packing | {"add_offset": packing["add_offset"] + field.shift}


def _packing(variable: netCDF4.Variable[Any], path: Path) -> dict[str, Any]:
    names = ("scale_factor", "add_offset", "_FillValue")
    absent = [name for name in names if name not in variable.ncattrs()]
    if absent:
        what = f"{variable.name} has no {' and no '.join(absent)}: its values cannot be told."
        raise DamagedFile(what, where=str(path), mend=FETCH_AGAIN)
    # The file's float32 0.01 is meant as the decimal 0.01: its shortest text says so exactly.
    scale, offset = (float(str(variable.getncattr(name))) for name in names[:2])
    fill = int(variable.getncattr("_FillValue"))
    return {"scale_factor": scale, "add_offset": offset, "_FillValue": fill}


def _check_fraction(raw: npt.NDArray[np.int16], packing: dict[str, Any], path: Path) -> None:
    """Refuse ice in true per cent: the unit's text is the same, so only the values tell."""
    ice = raw[raw != packing["_FillValue"]] * packing["scale_factor"] + packing["add_offset"]
    if ice.size and (ice.min() < -1e-6 or ice.max() > 1 + 1e-6):
        what = f"ice decodes to {ice.min():g} to {ice.max():g}, not to a fraction of 0 to 1."
        raise DamagedFile(what, where=str(path), mend="Its packing is not that of OISST v2.1.")
