"""Maps and means of a record through time, read a few days at a time.

A short record is told by days. A longer one is told by months: those of its monthly product where
there is one, else means of its days, and then never more than a block of days is held.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from fluxrecipes.report.coverage import Days, steps_of
from fluxrecipes.trends.regions import Region, mean_over

if TYPE_CHECKING:
    import xarray as xr

    from fluxrecipes.report.subject import Subject

Floats = npt.NDArray[np.float64]
Tell = Callable[[int], None]

MIN_DAYS = 10  # with a value that the mean of a month needs, as in deepflux-monthly
COLUMNS = 360  # of a map: finer ones are averaged
GLOBE = Region(-90, 90)


def fields(subject: Subject, name: str, advance: Tell = lambda steps: None) -> xr.DataArray:
    """Maps of a variable through the period: of days, or monthly means.

    Parameters
    ----------
    subject : Subject
    name : str
        Of the variable.
    advance : callable, optional
        Told of each number of steps that were read.

    Returns
    -------
    float32 DataArray
        On (time, lat, lon), in the variable's unit; NaN where there is no value.
    """
    if subject.months is not None and name in subject.months:
        months = subject.months[name]
        inside = months["time"].values.astype("M8[D]")
        parts = [months[steps] for steps in steps_of(months, inside)]
        return _joined(months, (_read(part, advance) for part in parts))
    days = subject.record[name]
    parts = [days[steps] for steps in steps_of(days, subject.days)]
    if subject.by_days:
        return _joined(days, (_read(part, advance) for part in parts))
    return _joined(days, _monthly((_read(part, advance) for part in parts), subject.days))


def steps_to_read(subject: Subject, name: str) -> int:
    """How many steps `fields` will read."""
    monthly = subject.months is not None and name in subject.months
    values = subject.months if monthly and subject.months is not None else subject.record
    inside = values["time"].values.astype("M8[D]") if monthly else subject.days
    return sum(steps.stop - steps.start for steps in steps_of(values[name], inside))


def _read(part: xr.DataArray, advance: Tell) -> xr.DataArray:
    """Some steps, loaded."""
    plain = part.drop_vars([c for c in part.coords if c not in part.dims])
    loaded: xr.DataArray = coarse(plain.astype(np.float32)).load()
    advance(part.sizes["time"])
    return loaded


def coarse(values: xr.DataArray) -> xr.DataArray:
    """On a grid that is no finer than maps are shown: means over whole numbers of cells."""
    times = -(-values.sizes["lon"] // COLUMNS)
    if times == 1:
        return values
    made: xr.DataArray = values.coarsen(lat=times, lon=times, boundary="trim").mean()  # type: ignore[attr-defined]
    return made


def _joined(origin: xr.DataArray, parts: Iterator[xr.DataArray]) -> xr.DataArray:
    import xarray as xr

    made: xr.DataArray = xr.concat(list(parts), "time")
    return made.rename(origin.name).assign_attrs(origin.attrs)


def _monthly(parts: Iterator[xr.DataArray], days: Days) -> Iterator[xr.DataArray]:
    """Mean of each month over its days with a value, where these are enough.

    Of a month that the period cuts short, all its days are enough.
    """
    maps = (part.isel(time=[at]) for part in parts for at in range(part.sizes["time"]))
    for month, members in groupby(maps, key=lambda one: one["time"].values[0].astype("M8[M]")):
        total, number = np.zeros(()), np.zeros((), int)
        for one in members:
            there = np.isfinite(one.values)
            total, number = total + np.where(there, one.values, 0.0), number + there
        fewest = min(MIN_DAYS, int((days.astype("M8[M]") == month).sum()))
        mean = np.where(number >= fewest, total / np.maximum(number, 1), np.nan)
        time = np.array([month]).astype("M8[ns]")
        yield one.copy(data=mean.astype(np.float32)).assign_coords(time=time)


def days_of(subject: Subject) -> Days:
    """The days of the period that the record has."""
    return subject.days[np.isin(subject.days, subject.record["time"].values.astype("M8[D]"))]


def days_in(months: Days, days: Days) -> npt.NDArray[np.int_]:
    """How many of some days, in ascending order, lie in each month."""
    of = days.astype("M8[M]")
    return np.searchsorted(of, months, "right") - np.searchsorted(of, months, "left")


def over_time(values: xr.DataArray, days: Days) -> xr.DataArray:
    """Mean over the period, of the steps with a value.

    Months are weighted by their days in the period: it may cut the first and the last one short.

    Parameters
    ----------
    values : DataArray
        Of days or months, on (time, lat, lon).
    days : datetime64[D] array
        Of the period, as `days_of` gives them.
    """
    weight = np.ones(values.sizes["time"])
    months = values["time"].values.astype("M8[M]")
    if len(np.unique(months)) == len(months):
        weight = days_in(months, days).astype(float)
    there = np.isfinite(values.values)
    total = np.tensordot(weight, np.where(there, values.values, 0.0), axes=1)
    heavy = np.tensordot(weight, there.astype(float), axes=1)
    mean = np.where(heavy > 0, total / np.maximum(heavy, 1e-9), np.nan)
    return values.isel(time=0, drop=True).copy(data=mean)


def global_mean(values: xr.DataArray) -> tuple[Floats, float]:
    """Area-weighted mean of each step over the cells that have a value at every step.

    Returns
    -------
    series : float64 array, shape (time,)
    share : float
        Area of these cells over that of all cells that ever have a value.
    """
    latitude, longitude = (values[axis].values.astype(float) for axis in ("lat", "lon"))
    series = mean_over(GLOBE, values.values, latitude, longitude)
    there = np.isfinite(values.values)
    told = there.any(axis=(1, 2))
    area = np.cos(np.radians(latitude))[:, None] * np.ones(len(longitude))
    ever = float((area * there.any(axis=0)).sum())
    always = float((area * there[told].all(axis=0)).sum()) if told.any() else 0.0
    return series, always / ever if ever else 0.0
