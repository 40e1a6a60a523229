"""What becomes of the reports of the table: how many can be used, and why not the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fluxengine.errors import ConfigError, UnknownName
from fluxengine.place import Place
from fluxrecipes.matchups import by_month, matching
from fluxrecipes.matchups.beside import Asked
from fluxrecipes.stored import simulated_world

if TYPE_CHECKING:
    import xarray as xr


def of_days(asked: Asked, reports: xr.Dataset) -> Counter[str]:
    """What becomes of the reports of the days that are asked for: as of `matching.use_of`."""
    day = reports["time"].values.astype("M8[D]")
    inside = (day >= np.datetime64(asked.first)) & (day <= np.datetime64(asked.last))
    return matching.use_of(reports.isel(report=np.flatnonzero(inside)))


def in_words(use: Counter[str]) -> str:
    """Reasons and numbers in one line, the most frequent first."""
    return "; ".join(f"{reason} {count:,}" for reason, count in use.most_common())


def none_found(asked: Asked, use: Counter[str]) -> ConfigError:
    """Why there is no matchup at all, and how to come by some."""
    number, usable = use.total(), use[matching.USABLE]
    if usable:
        return ConfigError(
            f"none of {usable:,} reports that can be used lies in a cell of a pass of these days.",
            where=str(asked.location),
            mend="Run deepflux-passes for the period, or widen `--within` and `--nominal`.",
        )
    why = in_words(use)
    mend = f"`fluxforge ingest {by_month.TABLE}` brings in others."
    if any(matching.NO_HEIGHT in reason for reason in use):
        mend = (
            "Give heights of sensors in a `stations.csv` beside the files, and ingest them again."
        )
    return ConfigError(
        f"of {number:,} reports of these days none can be used{': ' * bool(why)}{why}.",
        where=str(asked.location),
        mend=mend,
    )


def world_of_reports(location: Place, months: Sequence[str]) -> str:
    """Of which simulated world the table of reports is; empty where it is of none.

    Raises
    ------
    UnknownName
        It has no report of these months, or there is no table.
    """
    for month in months:
        reports = by_month.unread_reports_of(location, month)
        if reports is not None:
            return simulated_world(reports)
    raise UnknownName(
        f"the table '{by_month.TABLE}' has no report from {months[0]} to {months[-1]}.",
        where=str(location),
        mend=f"`fluxforge ingest {by_month.TABLE}` brings them in.",
    )
