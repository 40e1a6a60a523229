"""Both satellites against reports from the sea: of wind, and of air and fluxes that follow from it.

Each satellite's passes meet the reports of their own hour, so that what the daily cycle does falls
out of the difference of both satellites' biases. Air and fluxes are those of the baseline
retrieval, with the sea surface temperature of the report: what differs is the satellite's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fluxengine.place import Place
from fluxkernels.stats.agreement import (
    Agreement,
    Interval,
    agreement,
    estimate,
    scores,
    sums_of,
)
from fluxrecipes.matchups.beside import KEPT_BACK, duplicates, sets_of
from fluxrecipes.matchups.by_month import months_of, reports_of
from fluxrecipes.matchups.matching import Matchups, Passes, Rules, match
from fluxrecipes.near_surface import PRESSURE
from fluxrecipes.stages.retrieve import SHIPPED, read_regression

if TYPE_CHECKING:
    import xarray as xr

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

RULES = Rules(within=1.0, nominal=0.0)  # an hour between pass and report, and nothing filled
FEWEST = 50  # matchups of each satellite: fewer say little
WIND, LATENT = "wind", "latent heat flux"
# What is compared: unit shown, scale, and the report's.
COMPARED = {
    WIND: ("m/s", 1.0, "neutral_wind"),
    "air temperature": ("°C", 1.0, "air_temperature"),
    "specific humidity": ("g/kg", 1000.0, "specific_humidity"),
    LATENT: ("W/m²", 1.0, "latent_heat_flux"),
}


@dataclass(frozen=True)
class Met:
    """One satellite beside reports.

    Parameters
    ----------
    matchups : Matchups
    estimates : dict of str to float64 array
        By the names of `COMPARED`, in the shown unit.
    """

    matchups: Matchups
    estimates: dict[str, Floats]

    def reported(self, name: str) -> Floats:
        """What the reports say, in the shown unit."""
        _, scale, column = COMPARED[name]
        values: Floats = np.asarray(getattr(self.matchups, column), np.float64) * scale
        return values

    def agreement(self, name: str, orbit: int | None = None) -> Agreement:
        """Over all passes, or those of one kind."""
        some = slice(None) if orbit is None else self.matchups.orbit == orbit
        return agreement(
            self.estimates[name][some], self.reported(name)[some], self.matchups.platform[some]
        )


def met(
    location: Place,
    passes: xr.Dataset,
    days: Array,
    *,
    held_out: bool,
    tell: Callable[[int], None] = lambda done: None,
) -> Met | None:
    """Reports that a satellite's passes meet; None where there are too few.

    Parameters
    ----------
    location : Place
        Of a store with the table of reports.
    passes : Dataset
        Of one satellite.
    days : datetime64[D] array
        Of the passes.
    held_out : bool
        The withheld stations alone; without it all others.
    tell : callable, optional
        Takes how many months more are done.
    """
    found, winds, vapours = [], [], []
    for month in months_of(days[0].item(), days[-1].item()):
        first = np.datetime64(month, "M").astype("M8[D]")
        last = (np.datetime64(month, "M") + 1).astype("M8[D]")
        near = days[(days >= first - 1) & (days <= last)]
        reports = reports_of(location, month) if near.size else None
        tell(1)
        if reports is None:
            continue
        names = ["wind_speed", "water_vapour", "pass_time"]
        some = passes[names].sel(time=near.astype("M8[ns]")).load()
        matchups = match(reports, Passes.of_satellite(some, 0), rules=RULES)
        withheld = sets_of(matchups) == KEPT_BACK
        matchups = matchups.at((withheld == held_out) & ~duplicates(matchups))
        time = np.searchsorted(near, matchups.day)
        cell = (time, matchups.orbit, matchups.row, matchups.column)
        found.append(matchups)
        winds.append(some["wind_speed"].values[cell])
        vapours.append(some["water_vapour"].values[cell])
    if sum(map(len, found)) < FEWEST:
        return None
    whole = Matchups.concatenated(found)
    estimates = _estimates(whole, np.concatenate(winds), np.concatenate(vapours))
    both = np.logical_and.reduce([np.isfinite(one) for one in estimates.values()])
    nearest = np.zeros(len(whole), bool)
    nearest[whole.nearest] = True  # a report of midnight is in two months
    both &= nearest
    return Met(whole.at(both), {name: values[both] for name, values in estimates.items()})


def _estimates(matchups: Matchups, wind: Array, vapour: Array) -> dict[str, Floats]:
    """Wind, and by the baseline retrieval air and flux, in the shown units."""
    from fluxkernels.bulk import bulk_flux

    sea = np.asarray(matchups.sea_surface_temperature, np.float64)
    regression = read_regression(SHIPPED / Path("regression.json"))
    air, humidity = regression.predict(wind, vapour, sea)
    made = bulk_flux(
        np.asarray(wind, np.float64),
        sea,
        air,
        humidity,
        wind_kind="neutral",
        pressure=PRESSURE,
        latitude=np.asarray(matchups.latitude, np.float64),
        outputs=("latent",),
    )
    values = (wind, air, humidity, made.latent)
    return {
        name: np.asarray(one, np.float64) * scale
        for one, (name, (_, scale, _)) in zip(values, COMPARED.items(), strict=True)
    }


# --- two satellites ------------------------------------------------------------------------------


def difference(ours: Met, theirs: Met, name: str) -> Interval:
    """Bias of the new sensor less that of the reference, station by station."""
    return _between(ours, theirs, lambda met: met.estimates[name] - met.reported(name))


def daily_cycle(ours: Met, theirs: Met, name: str) -> Interval:
    """Reports at the hours of the new sensor less those at the reference's: what the hours make."""
    return _between(ours, theirs, lambda met: met.reported(name))


def ratio(ours: Met, theirs: Met, name: str) -> Interval:
    """Root mean square error of the new sensor over the reference's, at stations that both met."""
    stations = np.intersect1d(ours.matchups.platform, theirs.matchups.platform)
    sums = np.zeros((len(stations), 2, 7))
    for side, one in enumerate((ours, theirs)):
        parts = sums_of(one.estimates[name], one.reported(name))
        at, there = _places(stations, one.matchups.platform)
        np.add.at(sums[:, side], at, parts.T[there])
    return estimate(lambda total: scores(total)[..., 0, 0] / scores(total)[..., 1, 0], sums)


def _between(ours: Met, theirs: Met, values: Callable[[Met], Floats]) -> Interval:
    """Mean over stations of one side's mean less the other's, by how well each is known."""
    stations = np.intersect1d(ours.matchups.platform, theirs.matchups.platform)
    mean, number = np.zeros((2, len(stations))), np.zeros((2, len(stations)))
    for side, one in enumerate((ours, theirs)):
        at, there = _places(stations, one.matchups.platform)
        number[side] = np.bincount(at, minlength=len(stations))
        total = np.bincount(at, values(one)[there], len(stations))
        mean[side] = total / np.maximum(number[side], 1)
    weight = number.prod(axis=0) / number.sum(axis=0)
    sums = np.stack([weight, weight * (mean[0] - mean[1])], axis=1)
    return estimate(lambda total: total[..., 1] / total[..., 0], sums)


def _places(stations: Array, platform: Array) -> tuple[Array, Array]:
    """Place among the stations of each matchup that is at one, and which these are."""
    there = np.isin(platform, stations)
    return np.searchsorted(stations, platform[there]), there
