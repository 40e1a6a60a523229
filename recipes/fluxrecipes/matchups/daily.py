"""Daily products beside means of days of the reports: the record's own days, and other products.

A daily mean is compared with a daily mean. A platform has one in a cell where it reported in each
quarter of the UTC day; the mean is that of the quarters, so that no hour counts for more because
more was reported then. Only platforms that stay in a cell have such days: buoys, few ships. Days
are those of the matchups with passes, of which what speaks against a report is known. What the
record's passes were like on such a day stands beside, so that all products can be told by it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from fluxengine.errors import ConfigError, UnknownName
from fluxrecipes import vocabulary as cf
from fluxrecipes.at_10m import at_2m, at_10m
from fluxrecipes.matchups import beside, by_month, use
from fluxrecipes.matchups.beside import DUPLICATE, KEPT, OUTLIER, Asked, Beside
from fluxrecipes.matchups.matching import Matchups, cell_of, edges_of, sensed, usable
from fluxrecipes.sources.passes import ORBITS
from fluxrecipes.stages.states import has_value
from fluxrecipes.stored import is_plain, opened, simulated_world

if TYPE_CHECKING:
    import xarray as xr

Array = npt.NDArray[Any]
Columns = dict[str, Array]

RECORD, DATASET = "record", "deepflux"
# Air of a product is compared at its own height: with that of the report at 10 m, or at 2 m.
VARIABLES = tuple(
    v.name for v in (*cf.NEAR_SURFACE, cf.air_temperature_2m, cf.specific_humidity_2m, *cf.FLUXES)
)
QUARTERS = 4
# What a day is told by, of the record's passes.
CONDITIONS = {
    by_month.FILLED: ("wind_speed", "cloud_liquid_water", "water_vapour"),
    beside.PASSES: ("sea_surface_temperature", cf.flux_state.name),
}
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]*")


@dataclass(frozen=True)
class Days:
    """Means of days of platforms in cells, and daily products there; arrays of one length.

    Parameters
    ----------
    platform : bytes array
    day : datetime64[D] array
        UTC.
    row, column : int array
        Of the cell, from the south and the west of the record's grid.
    latitude, longitude : float array
        Mean over the reports, degrees north and east.
    feed : uint8 array
        Codes of `fluxrecipes.sources.reports.FEEDS`.
    reports : int array
        Of which the mean was taken.
    sets : uint8 array
        Codes of `fluxrecipes.matchups.beside.SETS`.
    state : uint8 array
        Of the record's flux, codes of `fluxrecipes.vocabulary.STATES`; 0 where no pass has one.
    conditions : dict of str to float32 array
        Means of the record's passes, by the names of `fluxrecipes.matchups.conditions.BINNED`.
    in_situ : dict of str to float32 array
        Of `VARIABLES`: what the reports say, K, kg kg-1 and W m-2.
    products : dict of str to dict of str to float32 array
        By product, the same names as far as it has them; the first is the record.
    """

    platform: Array
    day: Array
    row: Array
    column: Array
    latitude: Array
    longitude: Array
    feed: Array
    reports: Array
    sets: Array
    state: Array
    conditions: Columns
    in_situ: Columns
    products: Mapping[str, Columns]

    def __len__(self) -> int:
        return len(self.platform)

    def at(self, which: Array) -> Self:
        """Those with an index or a mark."""
        plain = {name: getattr(self, name)[which] for name in PLAIN}
        products = {name: _at(columns, which) for name, columns in self.products.items()}
        in_situ, conditions = (_at(one, which) for one in (self.in_situ, self.conditions))
        return replace(self, **plain, in_situ=in_situ, conditions=conditions, products=products)

    @classmethod
    def concatenated(cls, parts: Sequence[Self]) -> Self:
        """Several one after the other."""
        first = parts[0]
        plain = {name: np.concatenate([getattr(one, name) for one in parts]) for name in PLAIN}
        products = {
            name: _concatenated([one.products[name] for one in parts]) for name in first.products
        }
        in_situ = _concatenated([one.in_situ for one in parts])
        conditions = _concatenated([one.conditions for one in parts])
        return replace(first, **plain, in_situ=in_situ, conditions=conditions, products=products)


def _at(columns: Columns, which: Array) -> Columns:
    return {name: values[which] for name, values in columns.items()}


def _concatenated(parts: Sequence[Columns]) -> Columns:
    return {name: np.concatenate([one[name] for one in parts]) for name in parts[0]}


_COLUMNS = ("conditions", "in_situ", "products")
PLAIN = tuple(one.name for one in fields(Days) if one.name not in _COLUMNS)


def products_of(options: Iterable[str], record: str) -> tuple[tuple[str, str], ...]:
    """Names and datasets of what is asked for as ``NAME=DATASET``, the record before them.

    Raises
    ------
    ConfigError
        FF201: an option that says something else, or a name twice.
    """
    found: dict[str, str] = {}
    for option in (f"{RECORD}={record}", *options):
        name, _, dataset = option.partition("=")
        if not _NAME.fullmatch(name) or not dataset or name in found:
            raise ConfigError(
                f"'{option}' is not NAME=DATASET, with a name of letters, digits and '-' that is"
                " given once.",
                where="--beside",
                mend="Such as `--beside oaflux=comparison-oaflux`.",
            )
        local = is_plain(dataset) and "://" not in dataset
        found[name] = str(Path(dataset).absolute()) if local else dataset  # workers are elsewhere
    return tuple(found.items()) if len(found) > 1 else ()


def check(asked: Asked) -> dict[str, str]:
    """Raise where a product cannot stand beside the record, before anything is computed.

    Returns
    -------
    dict of str to str
        Of which simulated world each product is, empty where it is of none.

    Raises
    ------
    UnknownName
        It is not in the store, which the message lists.
    ConfigError
        FF201: it has no day of the period, or is not daily, has nothing to compare, or is on
        another grid.
    NotOurStore
    """
    if not asked.daily:
        return {}
    grid = by_month.grid_of(asked.location)
    return {name: simulated_world(dataset) for name, dataset in _datasets(asked, grid)}


class Month(NamedTuple):
    """What a month has: matchups with the passes of the record, and days with daily products.

    Parameters
    ----------
    found : Beside or None
        None where there is no matchup.
    days : Days or None
        None where there is none, or none was asked for.
    use : Counter
        What became of the reports, as of `fluxrecipes.matchups.matching.use_of`.
    """

    found: Beside | None
    days: Days | None
    use: Counter[str]


def of_month(asked: Asked, month: str) -> Month:
    """Matchups of a month with the passes of the record, and with daily products."""
    reports = by_month.reports_of(asked.location, month)
    if reports is None:
        return Month(None, None, Counter())
    found, told = beside.of_month(asked, month, reports), use.of_days(asked, reports)
    if found is None or not asked.daily:
        return Month(found, None, told)
    return Month(found, _days(asked, month, reports, found.matchups), told)


def judged(days: Sequence[Days], matchups: Matchups, verdicts: Array, sets: Array) -> Days | None:
    """Days that count: with a matchup that does, and none that speaks against the reports.

    Parameters
    ----------
    days : sequence of Days
    matchups : Matchups
        Of all months.
    verdicts, sets : uint8 array
        Of the matchups, codes of `fluxrecipes.matchups.beside`.

    Returns
    -------
    Days or None
        With their sets; None where no day counts.
    """
    if not days:
        return None
    whole = Days.concatenated(days)
    of_days, of_matchups = _keys(whole, matchups)
    against = np.isin(verdicts, (DUPLICATE, OUTLIER))
    fine = np.setdiff1d(of_matchups[verdicts == KEPT], of_matchups[against])
    known, member = np.unique(of_matchups, return_inverse=True)
    strictest = np.zeros(len(known), sets.dtype)
    np.maximum.at(strictest, member, sets)  # withheld with one matchup, a day is withheld
    counted = np.isin(of_days, fine)
    its_set = strictest[np.searchsorted(known, of_days[counted])]
    return replace(whole.at(counted), sets=its_set) if counted.any() else None


def check_days(days: Days | None, asked: Asked) -> None:
    """Raise where a product has no value beside any day of the reports.

    Raises
    ------
    ConfigError
        FF201: no platform reported all day, or a product has nothing there.
    """
    names = [name for name, _ in asked.daily if name != RECORD]
    if not names:
        return
    if days is None:
        raise ConfigError(
            "no platform that counts reported in a cell in each quarter of a day.",
            where=f"--beside {', '.join(names)}",
            mend="Leave it out, or ingest reports of moored buoys.",
        )
    for name in names:
        if not any(np.isfinite(values).any() for values in days.products[name].values()):
            raise ConfigError(
                f"it has no value on any of {len(days):,} days in the cells of"
                f" platforms with reports all day ({len(np.unique(days.platform)):,}).",
                where=f"--beside {name}",
                mend="Leave it out, or name a product of their region and days.",
            )


def _days(asked: Asked, month: str, reports: xr.Dataset, matchups: Matchups) -> Days | None:
    """Means of the days of a month on which platforms have matchups, whole days alone."""
    grid = by_month.grid_of(asked.location)
    in_month = matchups.at(matchups.day.astype("M8[M]") == np.datetime64(month, "M"))
    made = _means(reports, in_month, grid)
    if made is None:
        return None
    cell = {"lat": made.row, "lon": made.column}
    products = {
        name: beside.taken(dataset, made.day, cell) for name, dataset in _datasets(asked, grid)
    }
    state, conditions = _conditions(asked, made)
    return replace(made, state=state, conditions=conditions, products=products)


def _conditions(asked: Asked, days: Days) -> tuple[Array, Columns]:
    """State and conditions of the record's passes on each day.

    As of the record's own days: of both passes the less direct state counts, and the mean is of
    those that have a value.
    """
    passes = {
        "orbit": np.repeat(np.arange(len(ORBITS)), len(days)),
        "lat": np.tile(days.row, len(ORBITS)),
        "lon": np.tile(days.column, len(ORBITS)),
    }
    day = np.tile(days.day, len(ORBITS))
    found = beside.of_record(asked.location, CONDITIONS, day, passes)
    both = {name: values.reshape(len(ORBITS), len(days)) for name, values in found.items()}
    states = both.pop(cf.flux_state.name)
    state = np.where(has_value(states), states, 0.0).max(axis=0).astype(np.uint8)
    return state, {name: _mean_of_those_there(values) for name, values in both.items()}


def _mean_of_those_there(values: Array) -> Array:
    """Over the first axis; NaN where none is there."""
    there = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        mean = np.where(there, values, 0.0).sum(axis=0) / there.sum(axis=0)
    return np.asarray(mean, np.float32)


def _means(reports: xr.Dataset, matchups: Matchups, grid: xr.Dataset) -> Days | None:
    """Means of the quarters of days, with reports alone; None where no day is whole."""
    if not len(matchups):
        return None
    some = reports.isel(report=np.flatnonzero(usable(reports)))
    time = some["time"].values.astype("M8[s]")
    row, column = cell_of(
        some["latitude"].values.astype(float),
        some["longitude"].values.astype(float) % 360.0,
        *edges_of(grid),
    )
    cells = _Cells(some["platform"].values.astype("S16"), time.astype("M8[D]"), row, column)
    of_reports, of_matchups = _keys(cells, matchups)
    wanted = np.unique(of_matchups)
    place = np.searchsorted(wanted, of_reports).clip(max=len(wanted) - 1)
    quarter = (time - time.astype("M8[D]")).astype(int) * QUARTERS // 86_400
    slot = place * QUARTERS + quarter
    there = wanted[place] == of_reports
    number = np.bincount(slot[there], minlength=QUARTERS * len(wanted)).reshape(-1, QUARTERS)
    whole = np.asarray((number > 0).all(axis=1))
    if not whole.any():
        return None
    kept = np.flatnonzero(there & whole[place])
    mean = _Mean(slot[kept], number, whole)
    chosen = some.isel(report=kept)
    first = kept[np.unique(place[kept], return_index=True)[1]]
    return Days(
        cells.platform[first],
        cells.day[first],
        row[first],
        column[first],
        mean.of(chosen["latitude"].values),
        mean.of(chosen["longitude"].values % 360.0),
        some["feed"].values[first].astype(np.uint8),
        number[whole].sum(axis=1),
        np.zeros(len(first), np.uint8),
        np.zeros(len(first), np.uint8),
        {},
        {name: mean.of(values) for name, values in _air(chosen).items()},
        {},
    )


def _air(reports: xr.Dataset) -> Columns:
    """Of each report `VARIABLES`."""
    given = sensed(reports)
    at_10 = at_10m(**given)
    lower = at_2m(**given)
    return dict(
        zip(
            VARIABLES,
            (
                at_10.air_temperature,
                at_10.specific_humidity,
                *lower,
                at_10.sensible_heat_flux,
                at_10.latent_heat_flux,
            ),
            strict=True,
        )
    )


@dataclass(frozen=True)
class _Cells:
    """Of reports: platforms, days and cells."""

    platform: Array
    day: Array
    row: Array
    column: Array


@dataclass(frozen=True)
class _Mean:
    """Takes means of quarters of days, and of these the mean of whole days."""

    slot: Array
    number: Array
    whole: Array

    def of(self, values: Array) -> Array:
        total = np.bincount(self.slot, values.astype(float), self.number.size)
        quarters = total.reshape(self.number.shape)[self.whole] / self.number[self.whole]
        return np.asarray(quarters.mean(axis=1), np.float32)


def _keys(one: _Cells | Days, other: Matchups) -> tuple[Array, Array]:
    """A number for each platform, day and cell, the same for the same in both."""
    both = (one, other)
    _, platform = np.unique(np.concatenate([b.platform for b in both]), return_inverse=True)
    day = np.concatenate([b.day.astype("M8[D]").astype(np.int64) for b in both])
    row = np.concatenate([b.row for b in both]).astype(np.int64) + 1000  # a row may lie outside
    column = np.concatenate([b.column for b in both]).astype(np.int64)
    keys = ((platform.astype(np.int64) * 100_000 + day) * 10_000 + row) * 1000 + column
    return keys[: len(one.platform)], keys[len(one.platform) :]


def _datasets(asked: Asked, grid: xr.Dataset) -> Iterator[tuple[str, xr.Dataset]]:
    """Products with what of them is compared, on the record's grid."""
    for name, dataset in asked.daily:
        found, where = _opened(asked, name, dataset)
        there = [v for v in VARIABLES if v in found and found[v].dims == ("time", "lat", "lon")]
        if not there:
            raise ConfigError(
                f"it has none of {', '.join(VARIABLES)} on (time, lat, lon).",
                where=where,
                mend="Name a daily product, such as comparison-oaflux.",
            )
        _check_days(asked, found["time"].values.astype("M8[D]"), where)
        yield name, _on_grid(found[there], grid, where)


def _check_days(asked: Asked, days: Array, where: str) -> None:
    """Raise where a product has no days of the period, or means of longer than days."""
    if len(days) > 1 and (apart := np.median(np.diff(days).astype(int))) != 1:
        raise ConfigError(
            f"its times are {apart:g} days apart.",
            where=where,
            mend="Name a daily product: means of months are none of days.",
        )
    first, last = np.datetime64(asked.first, "D"), np.datetime64(asked.last, "D")
    if not ((days >= first) & (days <= last)).any():
        raise ConfigError(
            f"it has no day from {asked.first} to {asked.last}.",
            where=where,
            mend="Run it for the period.",
        )


def _opened(asked: Asked, name: str, dataset: str) -> tuple[xr.Dataset, str]:
    try:
        return opened(asked.location, dataset)
    except UnknownName as error:
        option = "--daily" if name == RECORD else f"--beside {name}"
        raise UnknownName(f"{option}: {error.what}", where=error.where, mend=error.mend) from error


def _on_grid(dataset: xr.Dataset, grid: xr.Dataset, where: str) -> xr.Dataset:
    """The cells of the record's grid, in its order."""
    same = all(np.array_equal(dataset[one], grid[one]) for one in ("lat", "lon"))
    if same:
        return dataset
    try:
        return dataset.sel(lat=grid["lat"], lon=grid["lon"], method="nearest", tolerance=0.01)
    except KeyError as error:
        raise ConfigError(
            "it lacks cells of the record's grid.",
            where=where,
            mend="Bring it to that grid first, as the products comparison-* are.",
        ) from error
