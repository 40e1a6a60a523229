"""How close each satellite's wind is to reports from the sea: the order in which they are merged.

Where several satellites serve, Wang et al. (2026, section 2.2.4) keep the one with the lowest RMSE
against in-situ measurements, and the newest where there are none. Here that is decided for a month
and the whole ocean, not for each cell with a buoy in it: cells beside buoys would else be made of
other satellites than their neighbours, and every comparison with buoys would flatter the record.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fluxengine.errors import ConfigError, UnknownName
from fluxengine.place import Place
from fluxengine.store import Store, open_dataset

if TYPE_CHECKING:
    import xarray as xr

Array = npt.NDArray[Any]

TABLE = "insitu"
WITHIN = 1.0  # hours between pass and report
FEWEST = 50  # pairs in a month: the RMSE of fewer says little
GOOD_ENOUGH = 4  # highest quality code of a report's wind: good, probably good, not checked
ACCEPTED, MEASURED, SHORT = 2, 2, 2  # codes of report_status, wind_method and averaging
NEEDED = ("wind_speed", "sea_surface_temperature", "air_temperature", "specific_humidity")
HEIGHTS = ("height_wind", "height_air_temperature", "height_humidity")


@dataclass(frozen=True)
class Closeness:
    """Agreement of one satellite's wind with reports in one month.

    Parameters
    ----------
    month, satellite : str
    pairs : int
    rmse, bias : float
        Satellite minus report, m s-1.
    """

    month: str
    satellite: str
    pairs: int
    rmse: float
    bias: float

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return asdict(self)


@dataclass(frozen=True)
class Winds:
    """Neutral winds at 10 m from reports: hours since 1970, row and column of the cell, m s-1."""

    hours: Array
    latitude: Array
    longitude: Array
    speed: Array

    @classmethod
    def of(cls, reports: xr.Dataset, leave_out: Iterable[str] = ()) -> Winds:
        """Measured winds of good reports, brought to 10 m by the bulk kernel.

        Reports without heights, air temperature, humidity or sea temperature are left out: their
        wind cannot be brought to what a satellite gives.

        Parameters
        ----------
        reports : Dataset
            A month of the in-situ table.
        leave_out : iterable of str
            Platforms kept for validation.
        """
        usable = np.isin(reports["platform"].values, list(leave_out), invert=True)
        usable &= reports["report_status"].values == ACCEPTED
        usable &= reports["wind_method"].values == MEASURED
        usable &= reports["averaging"].values == SHORT
        usable &= reports["wind_quality"].values <= GOOD_ENOUGH
        for name in (*NEEDED, *HEIGHTS):
            usable &= np.isfinite(reports[name].values)
        kept = reports.isel(report=np.flatnonzero(usable))
        seconds = kept["time"].values.astype("datetime64[s]").astype(np.int64)
        return cls(
            seconds / 3600.0,
            kept["latitude"].values.astype(float),
            kept["longitude"].values.astype(float) % 360.0,
            _neutral_at_10m(kept),
        )


def _neutral_at_10m(reports: xr.Dataset) -> Array:
    from fluxkernels.bulk import bulk_flux

    columns = {name: reports[name].values.astype(float) for name in (*NEEDED, *HEIGHTS)}
    made = bulk_flux(
        *(columns[name] for name in NEEDED),
        height_wind=columns["height_wind"],
        height_temperature=columns["height_air_temperature"],
        height_humidity=columns["height_humidity"],
        outputs=("neutral_wind_10m",),
    )
    return np.asarray(made.neutral_wind_10m)


def closeness(month: str, satellite: str, passes: xr.Dataset, winds: Winds) -> Closeness | None:
    """One satellite against the reports of a month; None where there are too few pairs.

    Parameters
    ----------
    month, satellite : str
    passes : Dataset
        Its passes of the month on the 1° grid: wind_speed and pass_time on (time, orbit, lat, lon).
    winds : Winds
    """
    differences = np.concatenate(
        [_differences(passes.isel(orbit=orbit), winds) for orbit in range(passes.sizes["orbit"])]
    )
    if differences.size < FEWEST:
        return None
    rmse, bias = float(np.sqrt((differences**2).mean())), float(differences.mean())
    return Closeness(month, satellite, differences.size, rmse, bias)


def _differences(one_pass: xr.Dataset, winds: Winds) -> Array:
    """Satellite minus report, where a report lies in a cell within an hour of its observation."""
    days = one_pass["time"].values.astype("datetime64[D]").astype(int)
    south, west = (float(one_pass[name].values[0]) - 0.5 for name in ("lat", "lon"))
    day = np.floor(winds.hours / 24.0).astype(int)
    at = np.searchsorted(days, day).clip(max=len(days) - 1)
    row = np.floor(winds.latitude - south).astype(int)
    column = np.floor((winds.longitude - west) % 360.0).astype(int)
    inside = (days[at] == day) & (row >= 0) & (row < one_pass.sizes["lat"])
    cell = at[inside], row[inside], column[inside]
    seen = one_pass["pass_time"].values[cell]
    speed = one_pass["wind_speed"].values[cell]
    near = np.abs(winds.hours[inside] % 24.0 - seen) <= WITHIN  # False where nothing was seen
    found: Array = (speed - winds.speed[inside])[near]
    return found[np.isfinite(found)]


def of_store(
    location: Place, sensors: Iterable[str], first: date, last: date, leave_out: Iterable[str] = ()
) -> list[Closeness]:
    """Every satellite of a store in every month that the store has reports and passes of.

    Raises
    ------
    ConfigError
        Where the store lacks the table of reports, or the passes of all of the satellites.
    """
    known = set(Store.at(location).names)
    present = [name for name in sensors if f"deepflux-{name}" in known]
    if TABLE not in known or not present:
        raise ConfigError(
            "there is nothing to compare: it needs the table of reports and the passes of a"
            " satellite.",
            where=str(location),
            mend=f"`fluxforge ingest {TABLE}`, then `fluxforge run` with `merge: newest`.",
        )
    passes = {name: open_dataset(location, f"deepflux-{name}") for name in present}
    found = []
    months = np.arange(np.datetime64(first, "M"), np.datetime64(last, "M") + 1)
    for month in map(str, months):
        winds = _winds(location, month, leave_out)
        if winds is not None:
            of_month = (
                closeness(month, name, one.sel(time=month), winds)
                for name, one in passes.items()
                if (one["time"].values.astype("M8[M]") == np.datetime64(month)).any()
            )
            found += [one for one in of_month if one is not None]
    return found


def _winds(location: Place, month: str, leave_out: Iterable[str]) -> Winds | None:
    """Winds of a month of reports; None where the table has none of it."""
    try:
        reports = open_dataset(location, TABLE, month=month)
    except UnknownName:
        return None
    return Winds.of(reports.load(), leave_out)


def ranking(found: Iterable[Closeness]) -> Mapping[str, tuple[str, ...]]:
    """Satellites of each month, the closest first: the option ``ranking`` of a run file."""
    ordered = sorted(found, key=lambda one: (one.month, one.rmse, one.satellite))
    months = dict.fromkeys(one.month for one in ordered)
    return {m: tuple(one.satellite for one in ordered if one.month == m) for m in months}
