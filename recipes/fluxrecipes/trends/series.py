"""What trends are taken of: annual means of monthly ones, or departures of months."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

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


def departures(values: Floats, months: npt.NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Of each month from the mean of its month of the year, and those means.

    Parameters
    ----------
    values : float array, shape (time, ...)
    months : int array, shape (time,)
        0 for January.

    Returns
    -------
    departures : float array, shape (time, ...)
    means : float array, shape (12, ...)
        NaN of months that there are none of.
    """
    means = np.full((12, *values.shape[1:]), np.nan, values.dtype)
    apart = np.empty_like(values)
    for month in np.unique(months):
        same = months == month
        some = values[same]
        there = np.isfinite(some)
        number = there.sum(axis=0)
        total = np.where(there, some, 0.0).sum(axis=0, dtype=np.float64)
        means[month] = np.where(number > 0, total / np.maximum(number, 1), np.nan)
        apart[same] = some - means[month]
    return apart, means


def annual(monthly: xr.DataArray, min_months: int = 9) -> xr.DataArray:
    """Mean of each year, months weighed by their days.

    A year that lacks a month is not moved by it: the mean is of the departures from each month's
    own mean, and the mean of those is added again. Of a complete year that is the plain mean.

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
    years, month = years_of(monthly), times.astype(int) % 12
    days = ((times + 1).astype("M8[D]") - times.astype("M8[D]")).astype(float)
    apart, means = departures(monthly.values, month)
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
    """Departures of months from the mean of their month of the year, about the record's mean.

    All departures of a year from such means would be alike where there is a trend, a step a year:
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
    apart, means = departures(monthly.values, times % 12)
    apart += _slope(apart, years_of(monthly)) * _along((times % 12 - 5.5) / 12.0, apart)
    known = np.isfinite(means)
    base = np.where(known, means, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    whole = np.arange(times.min(), times.max() + 1)
    made = np.full((len(whole), *monthly.shape[1:]), np.nan, apart.dtype)
    made[times - whole[0]] = apart + base
    coords = {name: c for name, c in monthly.coords.items() if "time" not in c.dims}
    years = 1970 + (whole + 0.5) / 12
    dims = ("year", *monthly.dims[1:])
    return xr.DataArray(made, {**coords, "year": years}, dims, monthly.name, monthly.attrs)


def _slope(values: Floats, years: npt.NDArray[np.int64]) -> Floats:
    """A year, by least squares over what is there."""
    when = _along(years - years.mean(), values)
    there = np.isfinite(values)
    spread = (there * when**2).sum(axis=0)
    return np.asarray((np.where(there, values, 0.0) * when).sum(axis=0) / np.maximum(spread, 1e-9))


def _along(times: Floats, values: Floats) -> Floats:
    return times.reshape(-1, *[1] * (values.ndim - 1))


def series_of(monthly: xr.DataArray, of: Of, min_months: int) -> xr.DataArray:
    """What a trend is taken of, on (year, ...)."""
    return annual(monthly, min_months) if of == "years" else anomalies(monthly)
