"""How close each satellite's wind is to reports from the sea: the order in which they are merged.

Where several satellites serve, Wang et al. (2026, section 2.2.4) keep the one with the lowest RMSE
against in-situ measurements, and the newest where there are none. Here that is decided for a month
and the whole ocean, not for each cell with a buoy in it: cells beside buoys would else be made of
other satellites than their neighbours, and every comparison with buoys would flatter the record.
Months of the year that is kept for the last test are not ranked: there the newest comes first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np

from fluxengine import show
from fluxengine.errors import ConfigError
from fluxengine.place import Place
from fluxengine.store import Store, open_dataset
from fluxrecipes.constellation import NO_SATELLITE
from fluxrecipes.matchups.beside import once
from fluxrecipes.matchups.by_month import TABLE, months_of, reports_of
from fluxrecipes.matchups.matching import WITHHELD, Passes, Rules, match
from fluxrecipes.skill.protocol import TEST_YEAR

if TYPE_CHECKING:
    import xarray as xr

FEWEST = 50  # pairs in a month: the RMSE of fewer says little
RULES = Rules(within=1.0, nominal=0.0)  # an hour between pass and report, and nothing filled


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


def closeness(
    month: str,
    satellite: str,
    passes: xr.Dataset,
    reports: xr.Dataset,
    leave_out: Iterable[str] = (),
) -> Closeness | None:
    """One satellite against the reports of a month; None where there are too few pairs.

    Parameters
    ----------
    month, satellite : str
    passes : Dataset
        Its passes of the month on the 1° grid: wind_speed and pass_time on (time, orbit, lat, lon).
    reports : Dataset
        The month of the in-situ table.
    leave_out : iterable of str
        Platforms kept for validation.
    """
    found = once(match(reports, Passes.of_satellite(passes, NO_SATELLITE), RULES), leave_out)
    time = np.searchsorted(passes["time"].values.astype("datetime64[D]"), found.day)
    seen = passes["wind_speed"].values[time, found.orbit, found.row, found.column]
    differences = seen - found.neutral_wind
    if differences.size < FEWEST:
        return None
    rmse, bias = float(np.sqrt((differences**2).mean())), float(differences.mean())
    return Closeness(month, satellite, differences.size, rmse, bias)


def of_store(
    location: Place,
    sensors: Iterable[str],
    first: date,
    last: date,
    leave_out: Iterable[str] = WITHHELD,
    tell: Callable[[str], None] = show.notice,
) -> list[Closeness]:
    """Every satellite of a store in every month that the store has reports and passes of.

    Months of `fluxrecipes.skill.protocol.TEST_YEAR` are left out.

    Parameters
    ----------
    location : Place
    sensors : iterable of str
    first, last : date
    leave_out : iterable of str, optional
        Platforms kept for validation.
    tell : callable, optional
        Takes a line on what is left out.

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
    for month in _open_months(first, last, tell):
        reports = reports_of(location, month)
        if reports is not None:
            of_month = (
                closeness(month, name, one.sel(time=month), reports, leave_out)
                for name, one in passes.items()
                if (one["time"].values.astype("M8[M]") == np.datetime64(month)).any()
            )
            found += [one for one in of_month if one is not None]
    return found


def _open_months(first: date, last: date, tell: Callable[[str], None]) -> list[str]:
    months = months_of(first, last)
    kept = set(months_of(TEST_YEAR.first, TEST_YEAR.last))
    if held := [month for month in months if month in kept]:
        tell(
            f"{held[0]} to {held[-1]}: held out for the last test and not ranked; there the newest"
            " satellite comes first."
        )
    return [month for month in months if month not in kept]


def ranking(found: Iterable[Closeness]) -> Mapping[str, tuple[str, ...]]:
    """Satellites of each month, the closest first: the option ``ranking`` of a run file."""
    ordered = sorted(found, key=lambda one: (one.month, one.rmse, one.satellite))
    months = dict.fromkeys(one.month for one in ordered)
    return {m: tuple(one.satellite for one in ordered if one.month == m) for m in months}
