"""Reanalysis in the place of satellites, on days on which none of them saw anything."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from fluxengine.declare import Array, Arrays, PlainStage, Shapes, Variable
from fluxengine.grid import Axis
from fluxrecipes import vocabulary as cf
from fluxrecipes.at_10m import at_10m
from fluxrecipes.constellation import NO_SATELLITE
from fluxrecipes.near_surface import NOMINAL_HOURS
from fluxrecipes.stages.conservative import Shares, edges_about

if TYPE_CHECKING:
    import xarray as xr

Floats = npt.NDArray[np.float64]

PREFIX = "reanalysis_"  # before its variables, beside the satellites'
ICE_LIMIT = 0.15  # above it the satellites' maps say sea ice
SEA = 0.5  # share of a cell that must be sea
VALID = (2, 3)  # its flags: valid, preliminary
STATE = cf.state_of("reanalysis")
FIELDS = (
    cf.eastward_wind,
    cf.northward_wind,
    cf.air_temperature_2m,
    cf.dew_point_temperature_2m,
    cf.surface_pressure,
    cf.sea_surface_temperature,
    cf.sea_ice_fraction,
    cf.water_vapour,
    cf.cloud_liquid_water,
)
WIND = (cf.eastward_wind.name, cf.northward_wind.name)
SPEED = cf.wind_speed.name  # of the actual wind: satellites see no direction that could cancel
RAIN = cf.precipitation_rate
OUTPUTS = (
    cf.sea_surface_temperature,
    *cf.MICROWAVE,
    *cf.NEAR_SURFACE,
    cf.pass_time,
    STATE,
)


@dataclass(frozen=True)
class ReanalysisOnPasses(PlainStage):
    """ERA5 as two passes a day of a satellite near 18 and 6 h local time, on 1° cells.

    Of the hours that there are, each column of cells takes the one nearest to its local time: with
    00 UTC alone, that one. Wind is brought to the equivalent neutral wind that satellites give,
    and the air at 2 m to 10 m, so that a retrieval can learn from it what a satellite does not see.

    Parameters
    ----------
    lat, lon : Axis
        The 1° grid.
    local_hours : (float, float)
        Local time [h] of the ascending and the descending pass.
    """

    lat: Axis
    lon: Axis
    local_hours: tuple[float, float] = NOMINAL_HOURS

    @property
    def inputs(self) -> tuple[str, ...]:
        """Fields on the nodes of ERA5's grid, 24 hours a day, with their flags."""
        return tuple(n for v in (*FIELDS, RAIN) for n in (v.name, f"{v.name}_flag"))

    @property
    def outputs(self) -> tuple[Variable, ...]:
        """What satellites give, the air near the surface, the hour, and where there is sea."""
        return OUTPUTS

    def memory(self, inputs: Shapes) -> int:
        """A few maps of one hour in double precision."""
        return 16 * 8 * max(math.prod(shape[-2:]) for shape in inputs.values())

    def load(self) -> Callable[[Arrays], Arrays]:
        """The stage's function."""
        return self._run

    def _run(self, arrays: Arrays) -> Arrays:
        given = arrays[FIELDS[0].name]
        edges = edges_about(given["lat"].values)
        shares = Shares.between(edges, given["lon"].values, self.lat, self.lon)
        days = [self._day(arrays, at, shares) for at in range(given.sizes["time"])]
        coords = {
            "time": given["time"].values,
            "orbit": ["ascending", "descending"],
            "lat": self.lat.coordinate(),
            "lon": self.lon.coordinate(),
        }
        return {name: _array(np.stack([day[name] for day in days]), coords) for name in days[0]}

    def _day(self, arrays: Arrays, at: int, shares: Shares) -> dict[str, Array]:
        """Both passes of a day, each variable of shape (orbit, lat, lon)."""
        flags = arrays[f"{FIELDS[0].name}_flag"].values[at]
        there = np.flatnonzero(np.isin(flags, VALID).any(axis=(-2, -1)))
        longitude = self.lon.coordinate().astype(np.float64)
        hours = np.stack([nearest_hour(there, local, longitude) for local in self.local_hours])
        cells = {
            v.name: _at_hours(*_hourly(arrays, v.name, at), hours, shares) for v in (*FIELDS, RAIN)
        }
        east, north = (_hourly(arrays, name, at) for name in WIND)
        speed = np.hypot(east[0], north[0]), east[1] & north[1]
        return as_seen(cells | {SPEED: _at_hours(*speed, hours, shares)}, hours)


def nearest_hour(there: Array, local: float, longitude: Floats) -> Array:
    """Of a day's hours [UTC] that are `there`, the nearest to a local time; -1 where none is.

    Not round the clock: the day's first hour is far from its last minutes.
    """
    if not len(there):
        return np.full(longitude.shape, -1)
    wanted = (local - longitude / 15.0) % 24.0
    apart = np.abs(there[:, None] - wanted[None, :])
    nearest: Array = there[apart.argmin(axis=0)]
    return nearest


def _hourly(arrays: Arrays, name: str, at: int) -> tuple[Array, Array]:
    """A day's values on the nodes, and which are valid, shape (hour, lat, lon)."""
    return arrays[name].values[at], np.isin(arrays[f"{name}_flag"].values[at], VALID)


def _at_hours(values: Array, valid: Array, hours: Array, shares: Shares) -> Floats:
    """Cell means, each column at its own hour, shape (orbit, lat, lon)."""
    found = np.full((len(hours), shares.rows.shape[0], hours.shape[1]), np.nan)
    for hour in np.unique(hours[hours >= 0]).tolist():
        mean = shares.mean(values[hour], valid[hour], SEA)
        for orbit, column in np.argwhere(hours == hour):
            found[orbit, :, column] = mean[:, column]
    return found


def as_seen(cells: Mapping[str, Floats], hours: Array) -> dict[str, Array]:
    """Cell means of a reanalysis as the passes of a satellite, with the air near the surface.

    Parameters
    ----------
    cells : mapping of str to ndarray, shape (orbit, lat, lon)
        Each of `FIELDS` but the wind's components, `RAIN`, and `SPEED`: the mean of the speeds.
    hours : ndarray, shape (orbit, lon)
        UTC hour of each column of cells; -1 where there is none.

    Returns
    -------
    dict of str to ndarray, shape (orbit, lat, lon)
        By the names of `OUTPUTS`; NaN but over open sea.
    """
    sea = cells[cf.sea_surface_temperature.name]
    ice = np.nan_to_num(cells[cf.sea_ice_fraction.name]) > ICE_LIMIT
    known = np.isfinite(cells[SPEED])
    state = np.where(ice, cf.SEA_ICE, np.where(np.isfinite(sea), cf.REANALYSIS, cf.LAND))
    state = np.where(known, state, cf.NO_OBSERVATION).astype(np.uint8)
    is_sea = state == cf.REANALYSIS
    found = {
        cf.sea_surface_temperature.name: sea,
        cf.water_vapour.name: cells[cf.water_vapour.name],
        cf.cloud_liquid_water.name: cells[cf.cloud_liquid_water.name].clip(min=0),
        cf.rain_rate.name: cells[RAIN.name].clip(min=0),
        cf.pass_time.name: np.broadcast_to(hours[:, None, :], sea.shape).astype(float),
        **_at_10m(cells, sea),
    }
    seen: dict[str, Array] = {name: np.where(is_sea, v, np.nan) for name, v in found.items()}
    return seen | {STATE.name: state}


def _at_10m(cells: Mapping[str, Floats], sea: Floats) -> dict[str, Array]:
    """Equivalent neutral wind, air temperature and specific humidity at 10 m."""
    from fluxkernels.thermodynamics import saturation_specific_humidity

    pressure = cells[cf.surface_pressure.name]
    dew_point = cells[cf.dew_point_temperature_2m.name]
    made = at_10m(
        cells[SPEED],
        sea,
        cells[cf.air_temperature_2m.name],
        np.asarray(saturation_specific_humidity(dew_point, pressure)),
        height_temperature=2.0,
        height_humidity=2.0,
        pressure=pressure,
    )
    return {
        cf.wind_speed.name: made.neutral_wind,
        cf.air_temperature.name: made.air_temperature,
        cf.specific_humidity.name: made.specific_humidity,
    }


def _array(values: Array, coords: Mapping[str, object]) -> xr.DataArray:
    import xarray as xr

    return xr.DataArray(values, dict(coords), tuple(coords))


@dataclass(frozen=True)
class FillLostDays(PlainStage):
    """Reanalysis for passes of days on which no satellite saw a single cell.

    A day with a satellite is left as it is: its gaps are for the gap filling.

    Parameters
    ----------
    variables : tuple of Variable
        What a product takes from satellites.
    """

    variables: tuple[Variable, ...]

    @property
    def inputs(self) -> tuple[str, ...]:
        """The merged passes and the reanalysis."""
        merged = (*self._filled, "satellite")
        given = (*self._values, STATE.name)
        return (*merged, *(f"{PREFIX}{name}" for name in given))

    @property
    def outputs(self) -> tuple[Variable, ...]:
        """The same, filled."""
        return (*(made for v in self.variables for made in (v, cf.state_of(v.name))), cf.pass_time)

    @property
    def _values(self) -> tuple[str, ...]:
        return (*(v.name for v in self.variables), cf.pass_time.name)

    @property
    def _filled(self) -> tuple[str, ...]:
        return tuple(v.name for v in self.outputs)

    def load(self) -> Callable[[Arrays], Arrays]:
        """The stage's function."""
        return self._run

    def _run(self, arrays: Arrays) -> Arrays:
        lost = (arrays["satellite"].values == NO_SATELLITE).all(axis=(-2, -1), keepdims=True)
        why = arrays[f"{PREFIX}{STATE.name}"].values
        made: dict[str, xr.DataArray] = {}
        for name in self._values:
            given = arrays[f"{PREFIX}{name}"].values
            own = arrays[name]
            made[name] = own.copy(data=np.where(lost, given, own.values))
            if name != cf.pass_time.name:
                told = np.where(
                    (why == cf.REANALYSIS) & ~np.isfinite(given), cf.NO_OBSERVATION, why
                )
                state = arrays[f"{name}_state"]
                filled = np.where(lost & (why >= cf.OBSERVED), told, state.values)
                made[f"{name}_state"] = state.copy(data=filled.astype(np.uint8))
        return made
