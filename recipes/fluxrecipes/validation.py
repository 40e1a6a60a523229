"""Validation: the record against the simulated truth and against buoys."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fluxengine.declare import Variable
from fluxkernels.stats.skill import Skill, skill
from fluxrecipes import vocabulary as cf
from fluxrecipes.processes import pool

if TYPE_CHECKING:
    import xarray as xr

SCORED = (*cf.NEAR_SURFACE, *cf.FLUXES)
REPORTS_PER_DAY = 12  # hourly reports a buoy's daily mean needs at the least


@dataclass(frozen=True)
class Score:
    """Skill of one variable against one reference."""

    variable: Variable
    against: str
    skill: Skill

    def as_json(self) -> dict[str, Any]:
        """For machines; scores in the variable's own unit."""
        found = self.skill._asdict()
        return {"variable": self.variable.name, "units": self.variable.units} | {
            "against": self.against,
            **{name: round(value, 8) for name, value in found.items()},
        }


@dataclass(frozen=True)
class Mooring:
    """A buoy: where it is, how high its sensors are [m], and its file."""

    station: str
    latitude: float
    longitude: float
    height_wind: float
    height_air: float
    path: Path


def against_truth(record: xr.Dataset, seed: int, *, processes: int = 2) -> list[Score]:
    """Score a record against the world it was simulated from, area-weighted.

    Parameters
    ----------
    record : Dataset
        On (time, lat, lon), 60S–60N, 1°.
    seed : int
        Of the simulated world.
    processes : int
        Days of truth are computed in parallel.
    """
    days = [(seed, day) for day in record["time"].values]
    with pool(processes) as workers:
        truth = list(workers.map(_truth_of_day, days))
    weights = np.cos(np.deg2rad(record["lat"].values))[None, :, None]
    found = []
    for variable in SCORED:
        reference = np.stack([day[variable.name] for day in truth])
        scores = skill(record[variable.name].values, reference, weights)
        found.append(Score(variable, "simulated truth", scores))
    return found


def _truth_of_day(asked: tuple[int, np.datetime64]) -> dict[str, np.ndarray[Any, Any]]:
    from fluxrecipes.nature import World

    seed, day = asked
    truth = World(seed).daily_truth(day, (-60, 60))
    return {variable.name: truth[variable.name].values for variable in SCORED}


def against_buoys(record: xr.Dataset, moorings: Iterable[Mooring], label: str) -> list[Score]:
    """Score a record against daily means of buoys, brought to 10 m by the bulk kernel.

    A buoy is compared with the 1° cell it lies in, on days with at least twelve hourly reports.
    """
    pairs = [_pairs(record, mooring) for mooring in moorings]
    return [
        Score(variable, label, skill(*_joined([found[variable.name] for found in pairs])))
        for variable in SCORED
    ]


def _joined(pairs: Sequence[tuple[Any, Any]]) -> tuple[Any, Any]:
    ours, theirs = zip(*pairs, strict=True)
    return np.concatenate(ours), np.concatenate(theirs)


def _pairs(record: xr.Dataset, mooring: Mooring) -> dict[str, tuple[Any, Any]]:
    """Values of the record's cell and of the buoy, on the record's days."""
    cell = record.sel(lat=mooring.latitude, lon=mooring.longitude % 360, method="nearest")
    daily = daily_means(mooring).reindex(time=record["time"].values)
    return {v.name: (cell[v.name].values, daily[v.name].values) for v in SCORED}


def daily_means(mooring: Mooring) -> xr.Dataset:
    """Daily means of a buoy's air at 10 m and of its bulk fluxes.

    Returns
    -------
    Dataset
        On time (days): the variables of `SCORED`, NaN on days with too few reports.
    """
    from fluxkernels.bulk import bulk_flux
    from fluxkernels.thermodynamics import saturation_specific_humidity
    from fluxrecipes.sources.ndbc import read_stdmet

    reports = read_stdmet(mooring.path)
    humidity = saturation_specific_humidity(
        reports["dew_point_temperature"].values, reports["surface_pressure"].values
    )
    made = bulk_flux(
        reports["wind_speed"].values,
        reports["sea_surface_temperature"].values,
        reports["air_temperature"].values,
        humidity,
        height_wind=mooring.height_wind,
        height_temperature=mooring.height_air,
        height_humidity=mooring.height_air,
        pressure=reports["surface_pressure"].values,
        latitude=mooring.latitude,
    )
    hourly = reports.drop_vars(list(reports.data_vars)).assign(
        {
            cf.air_temperature.name: ("time", made.air_temperature_at_height),
            cf.specific_humidity.name: ("time", made.specific_humidity_at_height),
            cf.sensible_heat_flux.name: ("time", made.sensible),
            cf.latent_heat_flux.name: ("time", made.latent),
        }
    )
    days = hourly.resample(time="1D")
    return days.mean().where(days.count() >= REPORTS_PER_DAY)
