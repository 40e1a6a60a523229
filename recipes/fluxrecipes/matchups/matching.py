"""Matchups: reports from the sea beside the passes of satellites over the same cell.

A report belongs to the 1° cell that it lies in, whose middle is no further than half a degree in
latitude and longitude. Where a satellite saw the cell, it must be within half an hour of the pass;
where a gap was filled, near the hour at which the satellite passed elsewhere on that day.

Of the reports of one platform in one cell about one pass the nearest in time is taken, and not
their mean: so each matchup has the noise of one report, whether a platform reports every ten
minutes or every three hours. Air and wind are brought to 10 m, and fluxes computed, by the bulk
algorithm with the heights of the sensors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from fluxrecipes import vocabulary as cf
from fluxrecipes.at_10m import at_10m
from fluxrecipes.constellation import NO_SATELLITE
from fluxrecipes.near_surface import local_hours
from fluxrecipes.sources.reports import (
    ACCEPTED,
    DUPLICATE,
    GTMBA,
    ICOADS,
    MEASURED,
    NDBC,
    NOT_CHECKED,
    OCEANSITES,
    SHORT,
    WHOTS,
)
from fluxrecipes.sphere import distance

if TYPE_CHECKING:
    import xarray as xr

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]

NEEDED = ("wind_speed", "sea_surface_temperature", "air_temperature", "specific_humidity")
HEIGHTS = ("height_wind", "height_air_temperature", "height_humidity")
USABLE, NO_HEIGHT = "can be used", "unknown height of"  # what becomes of reports
JUDGED = ("wind", "air_temperature", "humidity", "sea_surface_temperature")
WORST = NOT_CHECKED  # quality of what is used: good, probably good, not checked
STANDARD_PRESSURE = 101_300.0  # Pa, where none is reported: the bulk algorithm's own
# Of two copies of a report the one from the feed that comes first is kept: nearer to the sensor.
FEEDS = (OCEANSITES, WHOTS, GTMBA, NDBC, ICOADS)
SAME_MOMENT = 1.0 / 60.0  # h: ICOADS rounds times to hundredths of an hour

# Kept for the last test, in whatever feed and by whatever number their reports come.
WITHHELD = ("WHOTS", "STRATUS", "NTAS", "51WH0", "32ST0", "41NT0", "32012", "41060", "48401")
WITHHELD_PLACES = ((22.7, 202.0), (-20.0, 275.0), (15.0, 309.0))  # degrees north and east
# Of these places whatever comes is taken for theirs: a mooring is laid out anew some 70 km away,
# and a copy of its reports is not known for one where the original has no heights or is doubted.
SURROUNDINGS = 100.0  # km


@dataclass(frozen=True)
class Rules:
    """How near in time a report must be.

    Parameters
    ----------
    within : float
        Hours from the satellite's own time.
    nominal : float
        Hours from the time at which a filled cell would have been seen; 0 leaves filled cells out.
    """

    within: float = 0.5
    nominal: float = 3.0


DEFAULT = Rules()


@dataclass(frozen=True)
class Matchups:
    """Reports from the sea, each beside a cell of a pass; arrays of one length.

    Parameters
    ----------
    platform : bytes array
        Call sign or number.
    satellite : uint8 array
        Code of the satellite that saw the cell, as of `fluxrecipes.constellation.CODES`; of a
        filled one, of that which saw most of the pass.
    orbit : int array
        0 of an ascending pass, 1 of a descending one.
    day : datetime64[D] array
        Of the pass.
    row, column : int array
        Of the cell, from the south and the west of the grid.
    latitude, longitude : float array
        Of the report, degrees north and east (0 to 360).
    air_temperature, specific_humidity : float array
        At 10 m, K and kg kg-1.
    sea_surface_temperature : float array
        As reported, K.
    wind_speed, neutral_wind : float array
        Actual and equivalent neutral wind at 10 m, m s-1.
    sensible_heat_flux, latent_heat_flux : float array
        Of the report by the bulk algorithm, W m-2, upward.
    hours_apart : float array
        Report minus pass, h; in a filled cell, minus the time at which it would have been seen.
    state : uint8 array
        Where the cell's wind and vapour come from: the higher code of the two.
    time : datetime64[s] array
        Of the report.
    feed, kind : uint8 array
        Codes of `fluxrecipes.sources.reports.FEEDS` and `KINDS`.
    """

    platform: Array
    satellite: Array
    orbit: Array
    day: Array
    row: Array
    column: Array
    latitude: Array
    longitude: Array
    air_temperature: Array
    specific_humidity: Array
    sea_surface_temperature: Array
    wind_speed: Array
    neutral_wind: Array
    sensible_heat_flux: Array
    latent_heat_flux: Array
    hours_apart: Array
    state: Array
    time: Array
    feed: Array
    kind: Array

    def __len__(self) -> int:
        return len(self.platform)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Several together; of two of one cell, pass and platform the nearer in time."""
        whole = cls.concatenated(parts)
        return whole.at(whole.nearest)

    @classmethod
    def concatenated(cls, parts: Sequence[Self]) -> Self:
        """Several one after the other, all of them kept."""
        names = [one.name for one in fields(cls)]
        return cls(**{n: np.concatenate([getattr(part, n) for part in parts]) for n in names})

    @property
    def cell(self) -> tuple[Array, Array, Array, Array]:
        """Day, orbit, row and column."""
        return self.day, self.orbit, self.row, self.column

    @property
    def nearest(self) -> Indices:
        """Of each cell, pass and platform the one nearest in time; in order of pass and cell."""
        return _nearest(self.cell, self.platform, self.hours_apart, self.feed)

    def at(self, which: Indices | Flags) -> Self:
        """Those with an index or a mark."""
        return type(self)(**{one.name: getattr(self, one.name)[which] for one in fields(self)})

    @property
    def observed(self) -> Flags:
        """Whether the satellite saw the cell."""
        return np.asarray(self.state == cf.OBSERVED)

    @property
    def year(self) -> Array:
        """Of the pass."""
        return np.asarray(self.day.astype("M8[Y]").astype(int) + 1970)

    def named(self, platforms: Iterable[str]) -> Flags:
        """Which are of some platforms; upper and lower case are alike."""
        upper = np.char.upper(np.char.strip(self.platform.astype("S16")))
        return np.isin(upper, [name.upper().encode() for name in platforms])

    def near(self, places: Iterable[tuple[float, float]], kilometres: float) -> Flags:
        """Which lie within some kilometres of any of the places (degrees north and east)."""
        found = np.zeros(len(self), bool)
        for latitude, longitude in places:
            found |= distance(self.latitude, self.longitude, latitude, longitude) <= kilometres
        return found


@dataclass(frozen=True)
class Passes:
    """When and how the cells of some days were seen.

    Parameters
    ----------
    days : datetime64[D] array
        Ascending.
    south, west : float
        Edges of a grid of whole degrees that goes around the globe, or of a part of it.
    pass_time : ndarray, shape (time, orbit, lat, lon)
        UTC hours since the start of the day, NaN where a cell was not seen.
    state : uint8 ndarray, of the same shape
        Codes of `fluxrecipes.vocabulary.STATES`.
    satellite : uint8 ndarray, of the same shape
    """

    days: Array
    south: float
    west: float
    pass_time: Array
    state: Array
    satellite: Array

    @classmethod
    def of(cls, merged: xr.Dataset, filled: xr.Dataset) -> Passes:
        """From the passes of a store, before and after the gap filling, of the same days."""
        states = (_codes(filled[f"{name}_state"].values) for name in ("wind_speed", "water_vapour"))
        return cls(
            merged["time"].values.astype("datetime64[D]"),
            *edges_of(merged),
            merged["pass_time"].values,
            np.maximum(*states),
            serving(_codes(merged["satellite"].values)),
        )

    @classmethod
    def of_satellite(cls, passes: xr.Dataset, code: int) -> Passes:
        """From the passes of one satellite: where it retrieved wind, and nothing filled."""
        seen = np.isfinite(passes["wind_speed"].values) & np.isfinite(passes["pass_time"].values)
        return cls(
            passes["time"].values.astype("datetime64[D]"),
            *edges_of(passes),
            passes["pass_time"].values,
            np.where(seen, cf.OBSERVED, cf.NO_OBSERVATION).astype(np.uint8),
            np.full(seen.shape, code, np.uint8),
        )


def serving(satellite: Array) -> Array:
    """The satellite of each cell; where none saw it, the one that saw most of the pass.

    Parameters
    ----------
    satellite : uint8 ndarray, shape (time, orbit, lat, lon)
        Codes of `fluxrecipes.constellation`.
    """
    found = satellite.copy()
    for at in np.ndindex(satellite.shape[:2]):
        counts = np.bincount(satellite[at].ravel(), minlength=NO_SATELLITE + 1)
        counts[: NO_SATELLITE + 1] = 0
        if counts.any():
            found[at][satellite[at] <= NO_SATELLITE] = counts.argmax()
    return found


def edges_of(dataset: xr.Dataset) -> tuple[float, float]:
    """Southern and western edge of a grid of whole degrees."""
    south, west = (float(dataset[name].values[0]) - 0.5 for name in ("lat", "lon"))
    return south, west


def _codes(flags: Array) -> Array:
    """Flags as codes: what was never written is read as NaN by xarray, and is 0."""
    return np.nan_to_num(flags, nan=0.0).astype(np.uint8)


def match(reports: xr.Dataset, passes: Passes, rules: Rules = DEFAULT) -> Matchups:
    """Matchups of a month of reports, those of withheld platforms too.

    These are left out later, by `fluxrecipes.matchups.beside.once`: without them nothing would
    tell which other reports are copies of theirs.

    Parameters
    ----------
    reports : Dataset
        Of the in-situ table. Without heights, or without any of `NEEDED`, a report is left out:
        it cannot be brought to 10 m. So is what its provider doubts.
    passes : Passes
        Of the same days, and better of a day more at either end.
    rules : Rules

    Returns
    -------
    Matchups
        One for each cell, pass and platform.
    """
    kept = np.flatnonzero(usable(reports))
    hours = reports["time"].values[kept].astype("datetime64[s]").astype(np.int64) / 3600.0
    latitude = reports["latitude"].values[kept].astype(float)
    longitude = reports["longitude"].values[kept].astype(float) % 360.0
    parts = list(_candidates(passes, hours, latitude, longitude, rules))
    which, cell, apart = (np.concatenate(side) for side in zip(*parts, strict=True))
    platform = reports["platform"].values[kept].astype("S16")
    feed = reports["feed"].values[kept].astype(np.uint8)
    nearest = _nearest(tuple(cell.T), platform[which], apart, feed[which])
    return _columns(
        reports.isel(report=kept[which[nearest]]), passes, cell[nearest], apart[nearest]
    )


def usable(reports: xr.Dataset) -> Flags:
    """Which reports are complete, measured and not doubted."""
    fine = np.ones(reports.sizes["report"], bool)
    for _, holds in _demands(reports):
        fine &= holds
    return fine


def use_of(reports: xr.Dataset) -> Counter[str]:
    """How many reports can be used, as `USABLE`, and of the others the first reason of each."""
    left, counts = np.ones(reports.sizes["report"], bool), Counter[str]()
    for reason, holds in _demands(reports):
        counts[reason] = int(np.count_nonzero(left & ~holds))
        left &= holds
    counts[USABLE] = int(np.count_nonzero(left))
    return +counts


def _demands(reports: xr.Dataset) -> Iterator[tuple[str, Flags]]:
    """What is asked of a report: why not in words, and which reports fulfil it."""
    for name in NEEDED:
        yield f"no {_words(name)}", np.isfinite(reports[name].values)
    status = reports["report_status"].values
    yield "another copy is better, says the provider", status != DUPLICATE
    yield "rejected by the provider", status == ACCEPTED
    yield "wind not said to be measured", reports["wind_method"].values == MEASURED
    yield "mean of more than an hour", reports["averaging"].values == SHORT
    for name in JUDGED:
        fine = reports[f"{name}_quality"].values <= WORST
        yield f"{_words(name)} doubted by the provider", fine
    for name in HEIGHTS:
        sensor = _words(name.removeprefix("height_"))
        metres = reports[name].values
        yield f"{NO_HEIGHT} {sensor}", np.isfinite(metres) & (metres > 0)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _candidates(
    passes: Passes, hours: Floats, latitude: Floats, longitude: Floats, rules: Rules
) -> Iterator[tuple[Indices, Indices, Floats]]:
    """Reports near enough in time, their cells (time, orbit, row, column), and the hours between.

    A pass may be early on the day after the report's, or late on the day before.
    """
    rows, columns = passes.state.shape[-2:]
    row, column = cell_of(latitude, longitude, passes.south, passes.west)
    inside = np.flatnonzero((row >= 0) & (row < rows) & (column < columns))
    day = np.floor(hours / 24.0).astype(np.intp)
    numbers = passes.days.astype(np.intp)
    when = _when(passes)
    for shift in (-1, 0, 1):
        at = np.searchsorted(numbers, day[inside] + shift).clip(max=len(numbers) - 1)
        there = numbers[at] == day[inside] + shift
        for orbit in range(passes.state.shape[1]):
            some, time = inside[there], at[there]
            cell = np.stack([time, np.full_like(time, orbit), row[some], column[some]], axis=-1)
            found = tuple(cell.T)
            apart = hours[some] - 24.0 * numbers[time] - when[found]
            state = passes.state[found]
            seen = (state == cf.OBSERVED) & np.isfinite(passes.pass_time[found])
            filled = (state > cf.OBSERVED) & (state <= cf.LAST_VALID) & (rules.nominal > 0)
            near = seen & (np.abs(apart) <= rules.within)
            near |= filled & (np.abs(apart) <= rules.nominal)
            yield some[near], cell[near], apart[near]


def cell_of(
    latitude: Floats, longitude: Floats, south: float, west: float
) -> tuple[Indices, Indices]:
    """Row and column on a grid of whole degrees with such edges; rows may lie outside of it."""
    row = np.floor(latitude - south).astype(np.intp)
    return row, np.floor((longitude - west) % 360.0).astype(np.intp)


def _when(passes: Passes) -> Floats:
    """UTC hour at which each cell was seen, or would have been."""
    longitude = passes.west + 0.5 + np.arange(passes.state.shape[-1])
    nominal = (local_hours(passes.pass_time, longitude) - longitude / 15.0) % 24.0
    return np.where(np.isfinite(passes.pass_time), passes.pass_time, nominal)


def rank_of(feed: Array) -> Indices:
    """Places of feeds in `FEEDS`."""
    rank = np.full(256, len(FEEDS))
    rank[list(FEEDS)] = np.arange(len(FEEDS))
    return rank[feed]


def _nearest(cell: tuple[Array, ...], platform: Array, apart: Array, feed: Array) -> Indices:
    """Of several of one cell, pass and platform the nearest in time; in order of pass and cell.

    Where several feeds have it, it is taken from the one nearest to the sensor.
    """
    _, name = np.unique(platform, return_inverse=True)
    day, orbit, row, column = (np.asarray(part).astype(np.int64) for part in cell)
    rank = rank_of(feed)
    order = np.lexsort((apart, rank, np.abs(apart), name, column, row, orbit, day))
    keys = np.stack([day, orbit, row, column, name], axis=-1)[order]
    first = np.ones(len(order), bool)
    first[1:] = (keys[1:] != keys[:-1]).any(axis=1)
    several = np.cumsum(first) - 1
    copy = np.abs(apart[order] - apart[order[first]][several]) <= SAME_MOMENT
    best = np.lexsort((np.where(copy, rank[order], len(FEEDS) + 1), several))
    return order[best[first]]


def _columns(reports: xr.Dataset, passes: Passes, cell: Indices, apart: Floats) -> Matchups:
    made = at_10m(**sensed(reports))
    time, orbit, row, column = cell.T
    found = tuple(cell.T)
    return Matchups(
        reports["platform"].values.astype("S16"),
        passes.satellite[found],
        orbit,
        passes.days[time],
        row,
        column,
        reports["latitude"].values.astype(float),
        reports["longitude"].values.astype(float) % 360.0,
        made.air_temperature,
        made.specific_humidity,
        reports["sea_surface_temperature"].values.astype(float),
        made.wind_speed,
        made.neutral_wind,
        made.sensible_heat_flux,
        made.latent_heat_flux,
        apart,
        passes.state[found],
        reports["time"].values.astype("datetime64[s]"),
        reports["feed"].values.astype(np.uint8),
        reports["platform_kind"].values.astype(np.uint8),
    )


def sensed(reports: xr.Dataset) -> dict[str, Floats]:
    """What reports say, and at which heights: the arguments of `fluxrecipes.at_10m.at_10m`."""
    given = {name: reports[name].values.astype(float) for name in (*NEEDED, "latitude")}
    return given | {
        "height_wind": reports["height_wind"].values.astype(float),
        "height_temperature": reports["height_air_temperature"].values.astype(float),
        "height_humidity": reports["height_humidity"].values.astype(float),
        "pressure": _pressure(reports),
    }


def _pressure(reports: xr.Dataset) -> Floats:
    pressure = reports["air_pressure"].values.astype(float)
    return np.where(np.isfinite(pressure), pressure, STANDARD_PRESSURE)
