"""The record in files as OAFlux v3 has them, for programs that read these.

A file a quantity and year, ``lh_oaflux_2014.nc``: 1 degree from 89.5 S and 0.5 E, int16 with a
scale factor, 32766 for what is missing, an error estimate ``err`` beside, degC, g/kg and W/m^2,
positive upward. What the record lacks (polewards of 60 degrees, days of the year before its first)
is missing. Names, units and packing are those of the reader, `fluxrecipes.sources.oaflux`.

Where OAFlux's form leaves room, the files follow CF: time counts days since the eve of the year, so
that its numbers are the days of the year, as OAFlux's are, and tell the year as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fluxengine.declare import Packing, Variable
from fluxengine.errors import ConfigError
from fluxengine.styles import File, Style
from fluxrecipes import vocabulary as cf
from fluxrecipes.sources.flux_files import Quantity
from fluxrecipes.sources.oaflux import GRID, QUANTITIES
from fluxrecipes.stages.surface import SurfaceStates

if TYPE_CHECKING:
    import xarray as xr

DIMS = ("time", "lat", "lon")
SIGN = "Fluxes are positive upward: a positive flux is heat that the ocean loses to the atmosphere."
BROUGHT = "Brought from 10 m to 2 m by COARE 3.6, from the daily means of the record."
OF_10M = "One standard deviation, of the value at 10 m."
CORRECTED = "wind_speed_corrected"  # where there is one, the fluxes rest on it
NAMING = ("units", "units_metadata", "long_name", "standard_name", "ancillary_variables")
HEIGHT = {
    "standard_name": "height",
    "long_name": "height above the surface",
    "units": "m",
    "positive": "up",
    "axis": "Z",
}
FLUXES = tuple(flux.name for flux in cf.FLUXES)
BATCH = 10  # days of which air is brought to 2 m at once


def files(year: xr.Dataset) -> Iterator[File]:
    """The files of a year.

    Parameters
    ----------
    year : Dataset
        Days of one year on (time, lat, lon), whole degrees: fluxes, and the wind, the sea and the
        air that they rest on. A quantity that it lacks has no file.

    Raises
    ------
    ConfigError
        FF201: it is no daily dataset on whole degrees, or has none of the quantities.
    OutOfRange
        FF304: a value that OAFlux's packing cannot hold.
    """
    _check(year)
    whole = _with_air_at_2m(year)
    named = {prefix: _name(whole, one.variable) for prefix, one in QUANTITIES.items()}
    lat, lon = (GRID.axes[axis].coordinate() for axis in DIMS[1:])
    days = year["time"].values.astype("M8[D]")
    first = days[0].astype("M8[Y]")
    times = np.arange(first.astype("M8[D]"), days[-1] + 1).astype("M8[ns]")
    eve = first.astype("M8[D]") - 1
    counted = {"units": f"days since {eve}", "calendar": "standard", "dtype": "i4"}
    for prefix, name in named.items():
        if name:
            cells = {"time": times, "lat": lat.astype("f4"), "lon": lon.astype("f4")}
            made = _dataset(whole, name, QUANTITIES[prefix], cells)
            # A coordinate has no missing values.
            encoding: dict[str, Any] = {str(n): {"_FillValue": None} for n in made.coords}
            yield File(f"{prefix}_oaflux_{first}.nc", made, encoding | {"time": counted})


OAFLUX_V3 = Style("oaflux", "year", files, "NETCDF3_CLASSIC")


def _check(year: xr.Dataset) -> None:
    """Refuse what is not of days, not on OAFlux's cells, or of other things."""
    steps = np.diff(year["time_bnds"].values if "time_bnds" in year else year["time"].values)
    daily = (steps.astype("m8[D]") == np.timedelta64(1, "D")).all()
    fits = all(np.isin(year[one], GRID.axes[one].coordinate()).all() for one in DIMS[1:])
    here = any(_name(year, one.variable) for one in QUANTITIES.values())
    if not (daily and fits and here):
        raise ConfigError(
            "files of the style oaflux hold daily fluxes, wind, sea and air on whole degrees; this"
            " dataset has none of them.",
            where="--style",
            mend="Export deepflux.",
        )


def _name(dataset: xr.Dataset, variable: Variable) -> str:
    """What the record calls a quantity; empty where it has none."""
    is_wind = variable.name == cf.wind_speed.name
    name = CORRECTED if is_wind and CORRECTED in dataset else variable.name
    return name if _is_daily(dataset, name) else ""


def _is_daily(dataset: xr.Dataset, name: str) -> bool:
    return name in dataset and dataset[name].dims == DIMS


def _with_air_at_2m(year: xr.Dataset) -> xr.Dataset:
    """The same with air at 2 m, brought there from 10 m; as it is where that cannot be had."""
    import xarray as xr

    stage = SurfaceStates(wind=CORRECTED if CORRECTED in year else cf.wind_speed.name)
    wanted = (cf.air_temperature_2m, cf.specific_humidity_2m)
    there = any(variable.name in year for variable in wanted)
    if there or not all(_is_daily(year, name) for name in stage.inputs):
        return year
    run, given, made = stage.load(), year[list(stage.inputs)], []
    for at in range(0, year.sizes["time"], BATCH):
        part = given.isel(time=slice(at, at + BATCH)).load()
        found = run({name: part[name] for name in stage.inputs})
        made.append(xr.Dataset({variable.name: found[variable.name] for variable in wanted}))
    air = xr.concat(made, "time")
    for variable in wanted:
        air[variable.name].attrs = {"comment": BROUGHT}
        error = f"{variable.name.removesuffix('_2m')}_standard_error"
        if error in year:
            air[f"{variable.name}_standard_error"] = year[error].assign_attrs(comment=OF_10M)
    return year.merge(air.drop_vars([n for n in air.coords if n not in DIMS]))


def _dataset(
    whole: xr.Dataset, name: str, quantity: Quantity, cells: Mapping[str, Any]
) -> xr.Dataset:
    """Values and standard errors of a quantity as packed, on OAFlux's grid."""
    import xarray as xr

    variable, values, error = quantity.variable, whole[name], f"{name}_standard_error"
    packing, is_temperature = variable.packing, variable.units == "K"
    plain = f"daily mean {variable.long_name.removesuffix(', over land and ice too')}"
    attrs = {
        **_kept(values, SIGN if variable.name in FLUXES else ""),
        "long_name": plain,
        "standard_name": str(variable.standard_name),
        **(cf.ON_SCALE if is_temperature else {}),
    }
    made = {quantity.names[0]: _packed(values, packing, quantity, attrs, cells)}
    if error in whole:
        made[quantity.names[0]].attrs["ancillary_variables"] = "err"
        attrs = {
            **_kept(whole[error]),
            "long_name": f"standard error of {plain}",
            "standard_name": f"{variable.standard_name} standard_error",
            **(cf.DIFFERENCE if is_temperature else {}),
        }
        spread = replace(packing, offset=0.0)
        made["err"] = _packed(whole[error], spread, quantity, attrs, cells)
    coords = {axis: (axis, values, whole[axis].attrs) for axis, values in cells.items()}
    dataset = xr.Dataset(made, coords, whole.attrs)
    dataset["time"].attrs = {k: v for k, v in whole["time"].attrs.items() if k != "bounds"}
    if variable.height is not None:
        dataset = dataset.assign_coords(height=((), np.float32(variable.height), HEIGHT))
    return dataset.assign_attrs(_told(whole))


def _kept(values: xr.DataArray, more: str = "") -> dict[str, Any]:
    """What the record tells of a variable beside its name and unit, and something more."""
    kept = {k: v for k, v in values.attrs.items() if k not in NAMING}
    comment = f"{kept.pop('comment', '')} {more}".strip()
    return {**kept, "comment": comment} if comment else kept


def _packed(
    values: xr.DataArray,
    packing: Packing,
    quantity: Quantity,
    attrs: Mapping[str, Any],
    cells: Mapping[str, Any],
) -> xr.DataArray:
    """As OAFlux's integers: the packing in our unit has them, the attributes tell theirs."""
    placed = values.drop_vars([n for n in values.coords if n not in DIMS]).load().reindex(cells)
    missing = np.int16(packing.fill or 0)
    told = {
        "units": quantity.unit,
        "scale_factor": np.float32(quantity.scale or 1.0),
        "missing_value": missing,
        "_FillValue": missing,
    }
    packed = packing.pack(placed.values, quantity.names[0])
    made = placed.copy(data=packed)
    made.attrs, made.encoding = {**attrs, **told}, {}
    return made


def _told(whole: xr.Dataset) -> dict[str, str]:
    """Global attributes: whose record it is, in whose form, and the sign."""
    title = str(whole.attrs.get("title", "fluxforge"))
    return {
        "title": f"{title}, in the form of OAFlux v3",
        "comment": f"This is not OAFlux, but a record in the form of its files. {SIGN}",
    }
