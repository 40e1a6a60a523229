"""What trends are taken of: annual means of monthly ones, or departures of months."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import xarray as xr

Floats = npt.NDArray[np.floating]
Of = Literal["years", "months", "days"]


def years_of(monthly: xr.DataArray | xr.Dataset) -> npt.NDArray[np.int64]:
    """Year of each month."""
    found: npt.NDArray[np.int64] = monthly["time"].values.astype("datetime64[Y]").astype(int) + 1970
    return found


class Departures(NamedTuple):
    """Of months from what their months of the year are in the middle of the record.

    Parameters
    ----------
    apart : float array, shape (time, ...)
    usual : float array, shape (12, ...)
        What they are departures from; NaN of months that there are none of.
    slope : float array, shape (...)
        A year: of all months of the year together.
    """

    apart: Floats
    usual: Floats
    slope: Floats


def departures(values: Floats, months: npt.NDArray[np.int64]) -> Departures:
    """Departures of months, by least squares for a level of each month of the year and one slope.

    Where a month is there in early years alone, its mean is that of those years: what a trend
    makes of the difference is not taken out with the season.

    Parameters
    ----------
    values : float array, shape (time, ...)
    months : int array, shape (time,)
        Since 1970.
    """
    shape = (12, *values.shape[1:])
    years = np.asarray(months // 12 - (months // 12).mean())
    means, middles = np.full(shape, np.nan), np.zeros(shape)
    steep, spread = np.zeros(shape[1:]), np.zeros(shape[1:])
    for month in np.unique(months % 12):
        same = months % 12 == month
        there = np.isfinite(values[same])
        some = np.where(there, values[same], 0.0).astype(np.float64)
        number = np.maximum(there.sum(axis=0), 1)
        when = _along(years[same], some)
        middles[month] = (there * when).sum(axis=0) / number
        means[month] = np.where(there.any(axis=0), some.sum(axis=0) / number, np.nan)
        away = there * (when - middles[month])
        steep += (away * some).sum(axis=0)
        spread += (away * when).sum(axis=0)
    slope = np.where(spread > 0, steep / np.where(spread > 0, spread, 1.0), 0.0)
    usual = (means - slope * middles).astype(values.dtype)
    apart = np.empty_like(values)
    for month in np.unique(months % 12):
        apart[months % 12 == month] = values[months % 12 == month] - usual[month]
    return Departures(apart, usual, slope)


def annual(monthly: xr.DataArray, min_months: int = 9) -> xr.DataArray:
    """Mean of each year, months weighed by their days.

    A year that lacks a month is not moved by it: the mean is of `departures`, and the mean of what
    they are departures from is added again. Of a complete record that is the plain mean.

    Parameters
    ----------
    monthly : DataArray
        On (time, ...), with months as times.
    min_months : int
        With a value that a year needs.

    Returns
    -------
    DataArray
        On (year, ...), every year from the first to the last; NaN where there are too few months.
    """
    import xarray as xr

    times = monthly["time"].values.astype("datetime64[M]")
    years = years_of(monthly)
    days = ((times + 1).astype("M8[D]") - times.astype("M8[D]")).astype(float)
    apart, means, _ = departures(monthly.values, times.astype(int))
    known = np.isfinite(means)
    usual_days = np.array([31, 28.25, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
    weight = usual_days.reshape(-1, *[1] * (means.ndim - 1)) * known
    usual = np.where(known, means, 0.0) * weight
    base = usual.sum(axis=0) / np.where(weight.sum(axis=0) > 0, weight.sum(axis=0), np.nan)
    whole = np.arange(years.min(), years.max() + 1)
    made = np.full((len(whole), *monthly.shape[1:]), np.nan)
    for at, year in enumerate(whole):
        some = apart[years == year]
        there = np.isfinite(some)
        heavy = days[years == year].reshape(-1, *[1] * (some.ndim - 1)) * there
        enough = there.sum(axis=0) >= min_months
        total = (np.where(there, some, 0.0) * heavy).sum(axis=0)
        made[at] = np.where(enough, base + total / np.maximum(heavy.sum(axis=0), 1e-9), np.nan)
    coords = {name: c for name, c in monthly.coords.items() if "time" not in c.dims}
    dims = ("year", *monthly.dims[1:])
    return xr.DataArray(made, {**coords, "year": whole}, dims, monthly.name, monthly.attrs)


def anomalies(monthly: xr.DataArray) -> xr.DataArray:
    """`departures` of months, about the record's mean.

    All departures of a year would be alike where there is a trend, a step a year:
    Decembers are later than Januaries, and so is their mean. What the trend makes of that is given
    back.

    Parameters
    ----------
    monthly : DataArray
        On (time, ...), with months as times.

    Returns
    -------
    DataArray
        On (year, ...), every month from the first to the last; `year` is that of its middle, with
        fractions.
    """
    import xarray as xr

    times = monthly["time"].values.astype("datetime64[M]").astype(int)
    apart, means, slope = departures(monthly.values, times)
    apart += (slope * _along((times % 12 - 5.5) / 12.0, apart)).astype(apart.dtype)
    known = np.isfinite(means)
    base = np.where(known, means, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    whole = np.arange(times.min(), times.max() + 1)
    made = np.full((len(whole), *monthly.shape[1:]), np.nan, apart.dtype)
    made[times - whole[0]] = apart + base
    coords = {name: c for name, c in monthly.coords.items() if "time" not in c.dims}
    years = 1970 + (whole + 0.5) / 12
    dims = ("year", *monthly.dims[1:])
    return xr.DataArray(made, {**coords, "year": years}, dims, monthly.name, monthly.attrs)


def decades(years: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Times at which slopes are per decade, zero in the middle."""
    return np.asarray((years - years.mean(dtype=np.float64)) / 10.0)


def _along(times: npt.NDArray[Any], values: Floats) -> Floats:
    return times.reshape(-1, *[1] * (values.ndim - 1))


def series_of(monthly: xr.DataArray, of: Of, min_months: int) -> xr.DataArray:
    """What a trend is taken of, on (year, ...)."""
    return annual(monthly, min_months) if of == "years" else anomalies(monthly)
