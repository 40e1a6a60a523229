"""Offsets between satellites, from the months in which both flew."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fluxkernels.stats.trend import LinearTrend, Mean, linear_trend, mean_of
from fluxrecipes.trends import records
from fluxrecipes.trends.regions import blocks
from fluxrecipes.trends.series import decades
from fluxrecipes.trends.settings import Overlap, Trends

if TYPE_CHECKING:
    import xarray as xr

Floats = npt.NDArray[np.float64]
Months = npt.NDArray[np.datetime64]

FEWEST = 6  # months that two satellites must have in common
YEAR = 12
SEASONS = 18  # months: beside fewer a season cannot be fitted, and a year's mean has little of it
SEEN = 9  # of the year's months: where ice hides the others, an annual wave says nothing of them
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
    known : Mean
        How well the field is known, from the months of each block: of shape (lat, lon).
    known_in : dict of str to Mean
        The same of means over regions.
    """

    variable: str
    units: str
    on: str
    months: int
    mean: float
    error: float
    field: xr.DataArray
    known: Mean
    known_in: Mapping[str, Mean]

    def as_json(self) -> dict[str, Any]:
        """For machines: all but the maps."""
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


def unsure(
    trend: LinearTrend,
    values: Floats,
    years: Floats,
    regressors: Floats | None,
    offsets: Iterable[tuple[str, Mean]],
) -> LinearTrend:
    """Trends with the error that offsets have, which were taken out of the series.

    What is left of an offset is a step, and a step has a slope.

    Parameters
    ----------
    trend : LinearTrend
        Of the series.
    values : float array, shape (year, ...)
        The series, for the years that they have.
    years : array, shape (year,)
        Whole ones, or those of the middles of months.
    regressors : float array, shape (year, regressors), optional
        What was fitted beside the trends.
    offsets : iterable of (str, Mean)
        First day of the satellite after, and how well its offset is known for each series.
    """
    for on, known in offsets:
        step = _step(years, np.datetime64(on)).reshape(-1, *[1] * (values.ndim - 1))
        steps = np.where(np.isfinite(values), step, np.nan)
        slope = linear_trend(steps, decades(years), regressors).slope
        # Of an offset of too few months nothing is known, but where no value sees the step.
        told = np.isfinite(known.standard_error)
        error = np.where(told, known.standard_error, np.where(slope == 0, 0.0, np.inf))
        trend = trend.with_error(np.abs(slope) * error, np.where(told, known.freedom, 1.0))
    return trend


def _step(years: Floats, on: np.datetime64) -> Floats:
    """Share of each year, or month, that lies after the change of satellites."""
    whole = (years % 1.0 == 0.0).all()
    change = 1970.0 + _first_after(on).astype(int) / 12.0
    begin, length = (years, 1.0) if whole else (years - 0.5 / 12.0, 1.0 / 12.0)
    return np.asarray(np.clip((begin + length - change) / length, 0.0, 1.0))


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
    both = months[known]
    weight = np.cos(np.radians(latitude))[:, None]
    globally = _level(_means(departures, weight), both)
    by_block = _by_block(departures, both, latitude, longitude)
    in_regions = {
        name: _level(_means(departures, weight * region.holds(latitude, longitude)), both)
        for name, region in asked.boxes.items()
    }
    return Offset(
        variable,
        str(before.attrs.get("units", "1")),
        one.on.isoformat(),
        int(known.sum()),
        float(globally.mean),
        float(globally.standard_error),
        apart.isel(time=0, drop=True).copy(data=by_block.mean),
        by_block,
        in_regions,
    )


def _means(departures: Floats, weight: Floats) -> Floats:
    """Of each month, over the cells that it has; NaN where it has none."""
    heavy = (weight * np.isfinite(departures)).sum(axis=(1, 2))
    total = (np.nan_to_num(departures) * weight).sum(axis=(1, 2))
    return np.asarray(np.where(heavy > 0, total / np.where(heavy > 0, heavy, 1.0), np.nan))


def _by_block(departures: Floats, months: Months, latitude: Floats, longitude: Floats) -> Mean:
    """Level of each block, on (lat, lon); of its latitudes where a block has none."""
    whole = np.zeros_like(longitude)
    by_block, by_row = (
        _of_label(departures, months, blocks(latitude, some, BLOCK)) for some in (longitude, whole)
    )
    return by_block.where(np.isfinite(by_block.mean), by_row)


def _of_label(departures: Floats, months: Months, label: npt.NDArray[np.intp]) -> Mean:
    size, flat = int(label.max()) + 1, label.ravel()

    def summed(values: Floats) -> Floats:
        return np.stack([np.bincount(flat, one.ravel(), size) for one in values])

    total, count = summed(np.nan_to_num(departures)), summed(np.isfinite(departures).astype(float))
    monthly = np.where(count > 0, total / np.maximum(count, 1.0), np.nan)
    level = _level(monthly, months)
    return Mean(
        level.number[label], level.mean[label], level.standard_error[label], level.freedom[label]
    )


def _level(monthly: Floats, months: Months) -> Mean:
    """Mean of months; beside the season, where enough of them and of the year are there."""
    plain = mean_of(monthly)
    of_year = months.astype("datetime64[M]").astype(int) % YEAR
    there = np.isfinite(monthly)
    seen = sum(there[of_year == month].any(axis=0).astype(int) for month in range(YEAR))
    fit = (plain.number >= SEASONS) & (seen >= SEEN)
    if not fit.any():
        return plain
    turn = 2.0 * np.pi * of_year / YEAR
    seasonal = mean_of(monthly, np.stack([np.cos(turn), np.sin(turn)], axis=1))
    return seasonal.where(fit, plain)
