"""Annual-mean maps and monthly global means of a record, and of products on the same cells."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fluxengine.errors import ConfigError
from fluxrecipes import vocabulary as cf
from fluxrecipes.stages.averages import reanalysis_share
from fluxrecipes.trends import records
from fluxrecipes.trends.regions import REGIONS, mean_over
from fluxrecipes.trends.series import annual
from fluxrecipes.trends.settings import Trends

if TYPE_CHECKING:
    import xarray as xr

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

RECORD = "record"
VARIABLES = tuple(v.name for v in (*cf.NEAR_SURFACE, *cf.FLUXES))
FEWEST_DAYS = 10  # that the mean of a month needs, as of deepflux-monthly


@dataclass(frozen=True)
class Mean:
    """A variable of the record, of one of its passes, or of a product.

    Parameters
    ----------
    variable, member : str
    height : str
        Of air; empty of a flux.
    units : str
        As stored.
    map : DataArray, on (lat, lon)
        Annual mean, over the months that all members have in a cell.
    months : datetime64[M] array
        That all members have.
    series : float64 array
        Mean over the cells that all members have in all months, weighed by area.
    """

    variable: str
    member: str
    height: str
    units: str
    map: xr.DataArray
    months: Array
    series: Floats

    @property
    def weights(self) -> Floats:
        """Areas of the cells of the map, relative to one another; 0 without a value."""
        areas = np.cos(np.radians(self.map["lat"].values))[:, None]
        return np.asarray(np.isfinite(self.map.values) * areas)


@dataclass(frozen=True)
class Means:
    """What was found.

    Parameters
    ----------
    asked : Trends
    found : list of Mean
        Of each variable the record before the others.
    """

    asked: Trends
    found: list[Mean]

    def of(self, variable: str) -> list[Mean]:
        """Members that have a variable."""
        return [one for one in self.found if one.variable == variable]

    def record(self, one: Mean) -> Mean:
        """The record beside a member: at its height, or at its own where it has no other."""
        mine = [m for m in self.of(one.variable) if m.member == RECORD]
        return next((m for m in mine if m.height == one.height), mine[0])

    def as_json(self) -> dict[str, Any]:
        """For machines: all but the maps."""
        return {
            "simulated": self.asked.simulated or None,
            "dataset": self.asked.dataset,
            "means": [
                {
                    "variable": one.variable,
                    "member": one.member,
                    "height": one.height,
                    "units": one.units,
                    "months": [str(month) for month in one.months],
                    "global_means": [_number(value) for value in one.series],
                    "root_mean_square_difference_of_maps": _number(apart(one, self.record(one))),
                }
                for one in self.found
            ],
        }


def _number(value: float) -> float | None:
    return float(f"{value:.7g}") if np.isfinite(value) else None


def apart(one: Mean, record: Mean) -> float:
    """Root mean square difference of two maps, weighed by area; NaN where they share no cell."""
    weights = one.weights * np.isfinite(record.map.values)
    if not weights.any():
        return float("nan")
    squared = np.where(weights > 0, one.map.values - record.map.values, 0.0) ** 2
    return float(np.sqrt((weights * squared).sum() / weights.sum()))


def of(asked: Trends, tell: Callable[[str], None] = lambda line: None) -> Means:
    """Means of the near-surface air and the fluxes.

    Parameters
    ----------
    asked : Trends
        Record, period, passes, what stands beside; what is only of trends does not count.
    tell : callable, optional
        Takes a line on what is being done.

    Raises
    ------
    NoTrend
        FF751: a variable of the record is not there, or a record is on another grid.
    ConfigError
        FF201: no year has enough months that all have.
    NotOurStore, UnknownName
    """
    there = _Opened.of(asked)
    asked = records.of_its_world(asked, there.record[0])
    found: list[Mean] = []
    for variable in VARIABLES:
        found.extend(_of_variable(asked, there, variable, tell))
    return Means(asked, found)


@dataclass(frozen=True)
class _Opened:
    """Datasets with what to call them: the record, by pass where that is asked for, and others."""

    record: tuple[xr.Dataset, str]
    passes: tuple[xr.Dataset, str] | None
    beside: dict[str, tuple[xr.Dataset, str]]

    @classmethod
    def of(cls, asked: Trends) -> _Opened:
        return cls(
            records.of_period(asked, asked.dataset, asked),
            records.of_period(asked, asked.passes, asked) if asked.passes else None,
            {
                name: records.of_period(one, one.dataset, asked)
                for name, one in asked.beside.items()
            },
        )


Values = tuple[str, str, "xr.DataArray"]  # member, height, monthly means


def _of_variable(
    asked: Trends, there: _Opened, variable: str, tell: Callable[[str], None]
) -> Iterator[Mean]:
    """One variable: all of its months are held at once, days only a month at a time."""
    members = list(_members(asked, there, variable, tell))
    months = [values["time"].values.astype("M8[M]") for *_, values in members]
    shared = months[0]
    for some in months[1:]:
        shared = np.intersect1d(shared, some)
    aligned = [
        values.isel(time=np.searchsorted(own, shared))
        for (*_, values), own in zip(members, months, strict=True)
    ]
    records.check_grids(
        {RECORD: aligned[0]}
        | {name: values for (name, *_), values in zip(members[1:], aligned[1:], strict=True)}
    )
    common = np.logical_and.reduce([np.isfinite(values.values) for values in aligned])
    _check_years(shared, common, asked, variable)
    for (name, height, _), values in zip(members, aligned, strict=True):
        masked = values.copy(data=np.where(common, values.values, np.nan))
        yearly = annual(masked, asked.min_months).mean("year", keep_attrs=True)
        places = [values[axis].values.astype(float) for axis in ("lat", "lon")]
        series = mean_over(REGIONS["global"], masked.values, *places)
        units = str(values.attrs.get("units", "1"))
        yield Mean(variable, name, height, units, yearly, shared, series)


def _check_years(months: Array, common: Array, asked: Trends, variable: str) -> None:
    """Raise where no year has as many months as an annual mean needs."""
    there = months[common.any(axis=(1, 2))] if len(months) else months
    years, number = np.unique(there.astype("M8[Y]"), return_counts=True)
    if not (number >= asked.min_months).any():
        raise ConfigError(
            f"no year has {asked.min_months} months of {variable.replace('_', ' ')} that all"
            f" records have: {len(there)} months of {len(years)} years are common.",
            where="period",
            mend="Give a longer period, lower `min_months`, or name fewer records beside.",
        )


def _members(
    asked: Trends, there: _Opened, variable: str, tell: Callable[[str], None]
) -> Iterator[Values]:
    """The record at the heights that it has, its passes, and the products that have it."""
    dataset, where = there.record
    tell(f"Means of {variable.replace('_', ' ')}.")
    yield RECORD, _height(variable), _monthly(dataset, variable, asked, where, limited=True)
    lower, beside = f"{variable}_2m", there.beside.values()
    if lower in dataset and any(_name_in(one, variable) == lower for one, _ in beside):
        yield RECORD, "2 m", _monthly(dataset, lower, asked, where, limited=True)
    if there.passes:
        passes, place = there.passes
        for orbit in records.orbits_of(passes):
            one = passes.sel(orbit=orbit, drop=True)
            yield orbit, _height(variable), _monthly(one, variable, asked, place, limited=True)
    for name, (one, place) in there.beside.items():
        found = _name_in(one, variable)
        if found is None:
            tell(f"{name} has no {variable.replace('_', ' ')}.")
            continue
        yield name, _height(found), _monthly(one, found, asked, place, limited=False)


def _name_in(dataset: xr.Dataset, variable: str) -> str | None:
    """Under which name a dataset has a variable; None where it has not."""
    return next((name for name in (variable, f"{variable}_2m") if name in dataset), None)


def _height(name: str) -> str:
    return "" if "flux" in name else "2 m" if name.endswith("_2m") else "10 m"


def _monthly(
    dataset: xr.Dataset, name: str, asked: Trends, where: str, *, limited: bool
) -> xr.DataArray:
    """Monthly means as they are stored, or of the days of each month, read a month at a time."""
    times = dataset["time"].values.astype("M8[M]")
    months, first = np.unique(times, return_index=True)
    if len(months) == len(times):
        plain = asked if limited else asked.model_copy(update={"reanalysis_at_most": 1.0})
        return records.variable(dataset, name, plain, where)
    if limited and asked.reanalysis_at_most < 1.0:
        raise records.NoTrend(
            f"days have no '{reanalysis_share.name}', by which months would be left out.",
            where=where,
            mend="Name monthly means, or leave out `reanalysis_at_most`.",
        )
    values = records.unread(dataset, name, where)
    made = np.full((len(months), *values.shape[1:]), np.nan, np.float32)
    for at, month in enumerate(months):
        days = values.isel(time=times == month).values
        number = np.isfinite(days).sum(axis=0)
        total = np.where(np.isfinite(days), days, 0.0).sum(axis=0, dtype=np.float64)
        made[at] = np.where(number >= FEWEST_DAYS, total / np.maximum(number, 1), np.nan)
    return values.isel(time=first).copy(data=made)
