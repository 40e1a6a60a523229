"""What the readers of flux products share: NetCDF files brought to one grid, unit and sign.

A file is read with the library's decoding off, so that packed integers stay as they are: a change
of units moves into the packing's scale and offset. Beside each variable stands a flag that says
whether there is a value, and why not. What is read must have a plausible mean, which a field of
another unit, scale or sign has not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fluxengine.declare import Variable, flag_variable
from fluxengine.errors import DamagedFile, WrongFile
from fluxrecipes import vocabulary as cf
from fluxrecipes.sources import netcdf
from fluxrecipes.sources.gzipped import FETCH_AGAIN

if TYPE_CHECKING:
    import netCDF4

Array = npt.NDArray[Any]
Doubles = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]
Moments = npt.NDArray[np.datetime64]

VALID, NO_VALUE, LAND, SEA_ICE, LAKE, UNRESOLVED = 2, 3, 4, 5, 6, 7
CODES = {
    VALID: "valid",
    NO_VALUE: "no_value",
    LAND: "land",
    SEA_ICE: "sea_ice",
    LAKE: "lake",
    UNRESOLVED: "unresolved",
}
MOST_STEPS = 1_500  # of a file: six-hourly ones of a leap year are 1,464
ENOUGH = 0.05  # share of a field's cells that its mean must rest on to tell anything


def flag_of(variable: Variable) -> Variable:
    """The flag that stands beside a variable."""
    return flag_variable(
        f"{variable.name}_flag",
        f"whether {variable.long_name} has a value, or why not",
        CODES,
        standard_name="status_flag",
    )


def with_flags(variables: Sequence[Variable]) -> tuple[Variable, ...]:
    """Each variable and its flag."""
    return tuple(one for v in variables for one in (v, flag_of(v)))


# --- Units -------------------------------------------------------------------------------------

CELSIUS = (
    *("c", "degc", "degreec", "degreesc", "degree_c", "degrees_c", "degree-c", "celsius"),
    *("degree_celsius", "degrees_celsius", "degreecelsius", "degreescelsius"),
)
# From a unit as files spell it, without blanks and signs of powers, to ours: factor and shift.
UNITS: Mapping[str, Mapping[str, tuple[float, float]]] = {
    "W m-2": dict.fromkeys(
        ("wm-2", "w/m2", "w/m/m", "watt/m2", "wattm-2", "watts/m2", "wattsm-2"), (1.0, 0.0)
    ),
    "m s-1": dict.fromkeys(("ms-1", "m/s", "m/sec", "meter/sec", "meters/second"), (1.0, 0.0)),
    "K": dict.fromkeys(("k", "degk", "kelvin", "degreesk", "degrees_kelvin"), (1.0, 0.0))
    | dict.fromkeys(CELSIUS, (1.0, cf.KELVIN)),
    "kg kg-1": dict.fromkeys(("kg/kg", "kgkg-1", "kg/kg-1", "1"), (1.0, 0.0))
    | dict.fromkeys(("g/kg", "gkg-1", "gm/kg", "grams/kg", "gram/kg"), (1e-3, 0.0)),
}


def spelled_plainly(unit: str) -> str:
    """A unit without what spellings differ in: case, blanks, the signs of a power."""
    return re.sub(r"\s|\*\*|\^|\.", "", unit).lower()


@dataclass(frozen=True)
class Quantity:
    """One quantity of a provider's files.

    Parameters
    ----------
    variable : Variable
        Ours, in the packing it is stored in.
    names : tuple of str
        How files call it; the first is the provider's own.
    usual : (float, float)
        Between which the mean of a global field lies, in our unit.
    unit : str
        The documented one, for files that name none.
    scale : float, optional
        The documented scale of packed integers, for files that name none.
    missing : tuple of float
        Documented missing values, beside those that a file names.
    """

    variable: Variable
    names: tuple[str, ...]
    usual: tuple[float, float]
    unit: str
    scale: float | None = None
    missing: tuple[float, ...] = ()

    def to_ours(self, unit: str, path: Path) -> tuple[float, float]:
        """Factor and shift from a file's unit to ours."""
        known = UNITS[self.variable.units]
        found = known.get(spelled_plainly(unit or self.unit))
        if found is None:
            raise WrongFile(
                f"{self.names[0]} is in '{unit}', which is no unit of {self.variable.long_name};"
                f" the provider's is '{self.unit}'.",
                where=str(path),
            )
        return found


# Means of global fields, sea alone or with land, between which every product of every day lies.
LATENT, SENSIBLE, WIND = (10.0, 250.0), (-5.0, 90.0), (2.0, 15.0)
TEMPERATURE, HUMIDITY, COMPONENT = (255.0, 308.0), (0.002, 0.022), (-6.0, 6.0)


# --- Files -------------------------------------------------------------------------------------


def text_of(thing: Any, *names: str) -> str:
    """Attributes of a file or variable as one text; empty where it has none of them."""
    there = set(thing.ncattrs())
    return " ".join(str(thing.getncattr(name)) for name in names if name in there)


def variable_of(file: netCDF4.Dataset, names: Sequence[str], path: Path) -> netCDF4.Variable[Any]:
    """The variable of a file that goes by one of some names. Raises WrongFile."""
    there = [name for name in names if name in file.variables]
    return netcdf.variable(file, (there or names)[0], path)


def coordinate(file: netCDF4.Dataset, names: Sequence[str], most: int, path: Path) -> Doubles:
    """Values of a coordinate variable, at most so many. Raises WrongFile."""
    found = variable_of(file, names, path)
    if found.ndim > 1 or found.size > most:
        raise WrongFile(f"{found.name} has the shape {found.shape}.", where=str(path))
    netcdf.check_numbers(found, path)
    return np.atleast_1d(np.asarray(found[:], np.float64))


def moments(file: netCDF4.Dataset, path: Path) -> Moments:
    """Times of the file's steps, in whole seconds.

    Years before 1582 are Julian ones unless the file says otherwise, as UDUNITS counts them: "hours
    since 1-1-1" in older NCEP files would otherwise be two days late.
    """
    time = variable_of(file, ("time",), path)
    numbers = coordinate(file, ("time",), MOST_STEPS, path)
    units, calendar = text_of(time, "units"), text_of(time, "calendar") or "standard"
    try:
        found = np.ravel(np.array(netcdf.moments(numbers, units, calendar), object))
        exact = np.array([np.datetime64(one.isoformat(), "us") for one in found], "datetime64[us]")
    except (ValueError, OverflowError, TypeError) as error:
        raise DamagedFile(f"its time cannot be read: {error}.", where=str(path)) from None
    return (exact + np.timedelta64(500, "ms")).astype("datetime64[s]")


# --- Cells -------------------------------------------------------------------------------------

LATITUDES, LONGITUDES = ("lat", "latitude"), ("lon", "longitude")


@dataclass(frozen=True)
class Cells:
    """Where a file's rows and columns lie on our grid.

    Parameters
    ----------
    shape : (int, int)
        Of our grid: rows from south to north, columns eastward from Greenwich.
    rows, columns : integer arrays
        Of our grid, one for each of the file's.
    """

    shape: tuple[int, int]
    rows: Indices
    columns: Indices

    def placed(self, values: Array, fill: Any) -> Array:
        """Values (..., file rows, file columns) on our grid, `fill` where the file has none."""
        full = np.full((*values.shape[:-2], *self.shape), fill, values.dtype)
        full[..., self.rows[:, np.newaxis], self.columns] = values
        return full


def cells_of(
    file: netCDF4.Dataset, lat: Doubles, lon: Doubles, path: Path, *, tolerance: float, band: bool
) -> Cells:
    """Where the cells of a file lie, whichever way its latitudes and longitudes run.

    Parameters
    ----------
    lat, lon : arrays
        Centres of our cells, ascending, longitudes from 0 to 360.
    tolerance : float
        By how much a centre in the file may differ [degrees].
    band : bool
        Whether it may lack latitudes.

    Raises
    ------
    WrongFile
        Where its cells are not ours.
    """
    rows = _matched(file, LATITUDES, lat, path, tolerance, band=band)
    columns = _matched(file, LONGITUDES, lon, path, tolerance, period=360.0)
    return Cells((len(lat), len(lon)), rows, columns)


def _matched(
    file: netCDF4.Dataset,
    names: Sequence[str],
    ours: Doubles,
    path: Path,
    tolerance: float,
    *,
    period: float | None = None,
    band: bool = False,
) -> Indices:
    """The place of each of the file's cells along one axis of ours."""
    found = coordinate(file, names, 4_000, path)
    places = _places(found, ours, tolerance, period)
    if places is None or (len(places) < len(ours) and not band):
        ends = f" from {found[0]:g} to {found[-1]:g}" if found.size else ""
        raise WrongFile(
            f"{names[0]} has {found.size} cells{ends}, not the product's {ours.size} from"
            f" {ours[0]:g} to {ours[-1]:g}.",
            where=str(path),
        )
    return places


def _places(
    found: Doubles, ours: Doubles, tolerance: float, period: float | None
) -> Indices | None:
    """The place of each centre among ours, or None where one has none or two share one."""
    if found.size == 0 or found.size > ours.size or not np.isfinite(found).all():
        return None
    away = np.abs(found[:, np.newaxis] - ours)
    if period is not None:
        away = np.abs((found[:, np.newaxis] - ours + period / 2) % period - period / 2)
    places = away.argmin(axis=1)
    fits = (away.min(axis=1) <= tolerance).all() and len(np.unique(places)) == len(places)
    return places if fits else None


# --- Values ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Field:
    """Values of one quantity on our grid, as packed, with the packing in `attrs`."""

    values: Array
    attrs: Mapping[str, Any]

    @property
    def missing(self) -> npt.NDArray[np.bool_]:
        """Where there is no value."""
        if self.values.dtype.kind == "f":
            return np.isnan(self.values)
        fill = self.attrs.get("_FillValue")
        return np.zeros(self.values.shape, bool) if fill is None else self.values == fill


def read(
    file: netCDF4.Dataset, quantity: Quantity, cells: Cells, steps: Sequence[int], path: Path
) -> Field:
    """Some steps of a quantity, shape (steps, lat, lon), in our unit.

    Raises
    ------
    WrongFile
        Of another shape, unit, sign or scale.
    DamagedFile
        A value is impossible.
    """
    variable = variable_of(file, quantity.names, path)
    _check_sign(variable, path)
    _check_shape(file, variable, cells, path)
    raw = _steps(variable, steps, (len(cells.rows), len(cells.columns)))
    field = _in_our_unit(variable, raw, quantity, cells, path)
    _check_values(field, variable.name, quantity, path)
    return field


def _check_sign(variable: netCDF4.Variable[Any], path: Path) -> None:
    """Refuse fluxes that their file calls downward."""
    said = text_of(variable, "long_name", "standard_name", "var_desc", "comment", "positive")
    if re.search(r"(?i)\bsurface_downward_|positive[\s_-]*down|^down$|\bdown$", said.strip()):
        raise WrongFile(
            f"{variable.name} counts downward ('{said}'); the provider's counts upward.",
            where=str(path),
        )


def _check_shape(
    file: netCDF4.Dataset, variable: netCDF4.Variable[Any], cells: Cells, path: Path
) -> None:
    """(time, lat, lon), perhaps without time, perhaps with axes of one cell."""
    *front, rows, columns = variable.shape if variable.ndim > 1 else (0, 0)
    times = file.dimensions["time"].size if "time" in file.dimensions else 1
    long = [size for size in front if size != 1]
    there = (rows, columns) == (len(cells.rows), len(cells.columns))
    if not there or long not in ([], [times]):
        raise WrongFile(
            f"{variable.name} is {variable.dtype} of shape {variable.shape}, not (time,"
            f" {len(cells.rows)}, {len(cells.columns)}).",
            where=str(path),
        )
    netcdf.check_numbers(variable, path)


def _steps(variable: netCDF4.Variable[Any], steps: Sequence[int], shape: tuple[int, int]) -> Array:
    """Only the steps asked for, from the first to the last in one reading."""
    if not steps:
        return np.empty((0, *shape), variable.dtype)
    long = next((k for k, size in enumerate(variable.shape[:-2]) if size != 1), None)
    if long is None:
        return np.asarray(variable[:]).reshape(1, *shape)[[0] * len(steps)]
    low, high = min(steps), max(steps) + 1
    window = [slice(None)] * variable.ndim
    window[long] = slice(low, high)
    part = np.asarray(variable[tuple(window)]).reshape(high - low, *shape)
    return part[[step - low for step in steps]]


def _in_our_unit(
    variable: netCDF4.Variable[Any], raw: Array, quantity: Quantity, cells: Cells, path: Path
) -> Field:
    factor, shift = quantity.to_ours(text_of(variable, "units"), path)
    scale, offset = _scaling(variable, quantity, raw.dtype, path)
    absent = _missing_values(variable, quantity, path)
    if raw.dtype.kind == "f":
        values = raw.astype(np.float32)
        if (scale * factor, offset * factor + shift) != (1.0, 0.0):
            values = ((raw.astype(np.float64) * scale + offset) * factor + shift).astype(np.float32)
        missing = ~(np.abs(raw) < netcdf.ENORMOUS)  # those that are not finite, too
        values[missing | _any_of(raw, np.array(absent, raw.dtype))] = np.nan
        return Field(cells.placed(values, np.nan), {})
    whole = [int(value) for value in absent if _fits(value, raw.dtype)]
    fill = whole[0] if whole else _unused(raw)
    packed = np.where(_any_of(raw, whole), fill, raw).astype(raw.dtype)
    attrs = {"scale_factor": scale * factor, "add_offset": offset * factor + shift}
    return Field(cells.placed(packed, fill), attrs | {"_FillValue": fill})


def _scaling(
    variable: netCDF4.Variable[Any], quantity: Quantity, dtype: np.dtype[Any], path: Path
) -> tuple[float, float]:
    """Scale and offset as the decimals that are meant: a float32 0.1 is no 0.1 otherwise."""
    names = set(variable.ncattrs())
    documented = quantity.scale if dtype.kind != "f" and quantity.scale is not None else 1.0
    try:
        scale, offset = (
            float(str(np.ravel(variable.getncattr(name))[0])) if name in names else default
            for name, default in (("scale_factor", documented), ("add_offset", 0.0))
        )
    except (ValueError, IndexError):
        scale, offset = np.nan, np.nan
    if not (np.isfinite([scale, offset]).all() and scale > 0):
        what = f"the packing of {variable.name} cannot be told: scale {scale}, offset {offset}."
        raise DamagedFile(what, where=str(path), mend=FETCH_AGAIN)
    return scale, offset


def _missing_values(variable: netCDF4.Variable[Any], quantity: Quantity, path: Path) -> list[float]:
    """Those the file names, the fill value first, then the documented ones."""
    names = [name for name in ("_FillValue", "missing_value") if name in variable.ncattrs()]
    try:
        named = [float(v) for name in names for v in np.ravel(variable.getncattr(name))]
    except ValueError:
        what = f"{variable.name} has a missing value that is no number."
        raise DamagedFile(what, where=str(path), mend=FETCH_AGAIN) from None
    return [*named, *quantity.missing]


def _any_of(raw: Array, few: Sequence[Any] | Array) -> npt.NDArray[np.bool_]:
    found = np.zeros(raw.shape, bool)
    for value in few:
        found |= raw == value
    return found


def _fits(value: float, dtype: np.dtype[Any]) -> bool:
    info = np.iinfo(dtype)
    return bool(np.isfinite(value)) and value == int(value) and info.min <= value <= info.max


def _unused(raw: Array) -> int:
    """An integer that stands for no value: files without missing values name none."""
    info = np.iinfo(raw.dtype)
    return next(int(n) for n in (info.min, info.max, *range(info.min, info.max)) if n not in raw)


def _check_values(field: Field, name: str, quantity: Quantity, path: Path) -> None:
    """Every value possible, and their mean as usual."""
    raw = field.values[~field.missing].astype(np.float64)
    if not raw.size:
        return
    values = raw * field.attrs.get("scale_factor", 1.0) + field.attrs.get("add_offset", 0.0)
    units, (low, high) = quantity.variable.units, quantity.variable.valid_range or (-np.inf, np.inf)
    bad = (values < low) | (values > high)
    if bad.any():
        raise DamagedFile(
            f"{name} = {values[bad][0]:g} {units} at {int(bad.sum())} cells; possible is {low:g}"
            f" to {high:g}.",
            where=str(path),
            mend=FETCH_AGAIN,
        )
    usual_low, usual_high = quantity.usual
    mean = values.mean()
    if raw.size >= ENOUGH * field.values.size and not usual_low <= mean <= usual_high:
        raise WrongFile(
            f"{name} is {mean:.4g} {units} on average; usual is {usual_low:g} to {usual_high:g}."
            " Its unit, scale or sign is another.",
            where=str(path),
        )


Variables = dict[str, tuple[tuple[str, ...], Array, Mapping[str, Any]]]

FLAG_ATTRS = {"scale_factor": 1.0, "add_offset": 0.0, "_FillValue": 0}


def flagged(
    quantity: Quantity, field: Field, why: Array, dims: tuple[str, ...], shape: tuple[int, ...]
) -> Variables:
    """A field and its flag as an xarray dataset takes them.

    Parameters
    ----------
    why : uint8 array
        The code of each cell, of which `VALID` gives way to `NO_VALUE` where there is no value.
    dims, shape
        Of both.
    """
    codes = np.where(field.missing & (why == VALID), NO_VALUE, why).astype(np.uint8)
    name = quantity.variable.name
    return {
        name: (dims, field.values.reshape(shape), field.attrs),
        f"{name}_flag": (dims, codes.reshape(shape), FLAG_ATTRS),
    }


def codes(
    file: netCDF4.Dataset, names: Sequence[str], cells: Cells, steps: Sequence[int], path: Path
) -> Array:
    """Codes of some steps as they are in the file, shape (steps, lat, lon)."""
    variable = variable_of(file, names, path)
    _check_shape(file, variable, cells, path)
    raw = _steps(variable, steps, (len(cells.rows), len(cells.columns)))
    return cells.placed(raw, 0)
