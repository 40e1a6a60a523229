"""Matchups of a store, month by month."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fluxengine.errors import UnknownName
from fluxengine.place import Place
from fluxengine.store import open_dataset
from fluxrecipes.matchups.matching import DEFAULT, Matchups, Passes, Rules, match

if TYPE_CHECKING:
    import xarray as xr

Array = npt.NDArray[Any]

TABLE, MERGED, FILLED = "insitu", "deepflux-merged", "deepflux-filled"
_DAY = np.timedelta64(1, "D")


def of_store(
    location: Place,
    first: date,
    last: date,
    *,
    rules: Rules = DEFAULT,
    merged: str = MERGED,
    filled: str = FILLED,
) -> Matchups | None:
    """Matchups of a period, read month by month.

    Parameters
    ----------
    location : Place
        Of a store with the table of reports and the passes.
    first, last : date
        Of the passes, both included.
    rules : Rules
    merged, filled : str
        Datasets of the passes before and after the gap filling.

    Returns
    -------
    Matchups or None
        None where no month has both reports and passes.

    Raises
    ------
    NotOurStore, UnknownName
        Where there is no such store or dataset.
    """
    options: dict[str, Any] = {"rules": rules, "merged": merged, "filled": filled}
    found = []
    for month in months_of(first, last):
        reports = reports_of(location, month)
        if reports is None:
            continue
        part = of_month(location, month, reports, (first, last), **options)
        if part is not None:
            found.append(part)
    return Matchups.joined(found) if found else None


def months_of(first: date, last: date) -> list[str]:
    """Months of a period, such as 2014-07."""
    months = np.arange(np.datetime64(first, "M"), np.datetime64(last, "M") + 1)
    return [str(month) for month in months]


def of_month(
    location: Place,
    month: str,
    reports: xr.Dataset,
    period: tuple[date, date],
    *,
    rules: Rules = DEFAULT,
    merged: str = MERGED,
    filled: str = FILLED,
) -> Matchups | None:
    """Matchups of a month of reports; a pass may be of the day before or after it.

    Parameters
    ----------
    location, rules, merged, filled
        As of `of_store`.
    month : str
    reports : Dataset
        Of the month: of `reports_of`.
    period : (date, date)
        Passes count from the first to the last, both included.

    Returns
    -------
    Matchups or None
        None where the month has no passes.

    Raises
    ------
    NotOurStore, UnknownName
    """
    before = open_dataset(location, merged)[["pass_time", "satellite"]]
    after = open_dataset(location, filled)[["wind_speed_state", "water_vapour_state"]]
    begin, end = (np.datetime64(one, "D") for one in period)
    which = np.datetime64(month, "M")
    edges = which.astype("M8[D]") - _DAY, (which + 1).astype("M8[D]")
    days = _days(before, after, (begin, edges[0]), (end, edges[1]))
    if not days.size:
        return None
    passes = Passes.of(before.sel(time=days).load(), after.sel(time=days).load())
    return match(reports, passes, rules)


def reports_of(location: Place, month: str) -> xr.Dataset | None:
    """Reports of a month, read; None where the table has none of it.

    Raises
    ------
    NotOurStore, UnknownName
    """
    found = unread_reports_of(location, month)
    return None if found is None else found.load()


def unread_reports_of(location: Place, month: str) -> xr.Dataset | None:
    """The same, of which no value is read yet.

    Raises
    ------
    NotOurStore, UnknownName
        Where there is no such store, or no table of reports in it.
    """
    try:
        return open_dataset(location, TABLE, month=month)
    except UnknownName as error:
        if "no month" in error.what:
            return None
        raise


def grid_of(location: Place) -> xr.Dataset:
    """Latitudes and longitudes of the passes, without anything on them."""
    return open_dataset(location, MERGED)[["lat", "lon"]]


def _days(
    before: xr.Dataset, after: xr.Dataset, first: Sequence[Any], last: Sequence[Any]
) -> Array:
    """Days that both datasets have, none before any of the first or after any of the last."""
    common: Array = np.intersect1d(before["time"].values, after["time"].values)
    days = common.astype("M8[D]")
    late = np.logical_and.reduce([days >= one for one in first])
    early = np.logical_and.reduce([days <= one for one in last])
    found: Array = common[late & early]
    return found
