"""Offsets between satellites, from the months in which both flew."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fluxrecipes.trends import records
from fluxrecipes.trends.regions import blocks
from fluxrecipes.trends.settings import Overlap, Trends

if TYPE_CHECKING:
    import xarray as xr

Floats = npt.NDArray[np.float64]

FEWEST = 6  # months that two satellites must have in common
BLOCK = 10.0  # degrees over which an offset is averaged: that of a cell is mostly weather


@dataclass(frozen=True)
class Offset:
    """What a variable jumps by at a change of satellites.

    Parameters
    ----------
    variable, units : str
    on : str
        First day of the satellite after.
    months : int
        That both have.
    mean, error : float
        Over the globe, and the standard error of that mean, from its months.
    field : DataArray
        On (lat, lon), one value a block of 10 degrees.
    """

    variable: str
    units: str
    on: str
    months: int
    mean: float
    error: float
    field: xr.DataArray

    def as_json(self) -> dict[str, Any]:
        """For machines: all but the map."""
        names = ("variable", "units", "on", "months", "mean", "error")
        return {name: getattr(self, name) for name in names}


def estimated(
    asked: Trends, variable: str, tell: Callable[[str], None] = lambda line: None
) -> list[Offset]:
    """The offsets of a variable at all changes that are told, the first one first.

    Raises
    ------
    NoTrend
        FF751: too few months in common, or a variable that is not there.
    """
    several = sorted(asked.overlaps, key=lambda one: one.on)
    found = []
    for one in several:
        tell(f"Offset of {variable.replace('_', ' ')} on {one.on}.")
        found.append(_estimated(asked, one, variable))
    return found


def mended(monthly: xr.DataArray, offsets: Sequence[Offset]) -> xr.DataArray:
    """A monthly series with each offset taken from all months after it.

    The month of the change is taken as the satellite's that has more of its days, or the new one's.
    """
    made = monthly.copy()
    times = monthly["time"].values.astype("datetime64[M]")
    for one in offsets:
        later = times >= _first_after(np.datetime64(one.on))
        made.values[later] -= one.field.values.astype(made.dtype)
    return made


def _first_after(on: np.datetime64) -> np.datetime64:
    """The first month of which the satellite that comes on a day has no fewer days."""
    month = on.astype("datetime64[M]")
    before = on - month.astype("datetime64[D]")
    after = (month + 1).astype("datetime64[D]") - on
    first: np.datetime64 = month if after >= before else month + 1
    return first


def _estimated(asked: Trends, one: Overlap, variable: str) -> Offset:
    parts = []
    for record in (one.before, one.after):
        dataset = records.read(record, record.dataset, asked, fewest=0)
        parts.append(records.variable(dataset, variable, asked, f"overlaps: {record.place}"))
    before, after = parts
    records.check_grids({"record": before, "after": after}, where="overlaps")
    months = np.intersect1d(before["time"].values, after["time"].values)
    apart = (after.sel(time=months) - before.sel(time=months)).transpose("time", "lat", "lon")
    known = np.isfinite(apart.values).any(axis=(1, 2))
    if known.sum() < FEWEST:
        raise records.NoTrend(
            f"both records have {known.sum()} months of {variable} in common: an offset needs"
            f" {FEWEST}.",
            where=f"overlaps: {one.on}",
            mend="Run both for a longer time, or fit a step instead: `steps`.",
        )
    departures = np.asarray(apart.values[known], np.float64)
    latitude, longitude = (apart[name].values.astype(float) for name in ("lat", "lon"))
    field = _by_block(departures, latitude, longitude)
    globally = _means(departures, latitude)
    return Offset(
        variable,
        str(before.attrs.get("units", "1")),
        one.on.isoformat(),
        int(known.sum()),
        float(globally.mean()),
        float(globally.std(ddof=1) / np.sqrt(len(globally))),
        apart.isel(time=0, drop=True).copy(data=field),
    )


def _means(departures: Floats, latitude: Floats) -> Floats:
    """Of each month, weighed by area, over the cells that it has."""
    weight = np.cos(np.radians(latitude))[:, None] * np.isfinite(departures)
    total = (np.nan_to_num(departures) * weight).sum(axis=(1, 2))
    return np.asarray(total / weight.sum(axis=(1, 2)))


def _by_block(departures: Floats, latitude: Floats, longitude: Floats) -> Floats:
    """Mean over months and the cells of a block; of its latitudes where a block has none."""
    there = np.isfinite(departures)
    number = there.sum(axis=0).astype(float)
    total = np.nan_to_num(departures).sum(axis=0)
    whole = np.zeros_like(longitude)
    labels = (blocks(latitude, lon, BLOCK) for lon in (longitude, whole))
    by_block, by_row = (_ratio(total, number, label) for label in labels)
    return np.where(np.isnan(by_block), by_row, by_block)


def _ratio(total: Floats, number: Floats, label: npt.NDArray[np.intp]) -> Floats:
    sums, count = (np.bincount(label.ravel(), one.ravel()) for one in (total, number))
    mean = np.where(count > 0, sums / np.maximum(count, 1.0), np.nan)
    return np.asarray(mean[label])
