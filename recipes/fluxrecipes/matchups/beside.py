"""Matchups with what the record has beside each report, and what speaks against some of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from fluxengine.place import Place
from fluxengine.store import open_dataset
from fluxrecipes.matchups import by_month
from fluxrecipes.matchups.climatology import Climatology
from fluxrecipes.matchups.matching import (
    SURROUNDINGS,
    WITHHELD,
    WITHHELD_PLACES,
    Flags,
    Indices,
    Matchups,
    Rules,
    rank_of,
)

if TYPE_CHECKING:
    import xarray as xr

Array = npt.NDArray[Any]
Columns = dict[str, Array]

PASSES = "deepflux-passes"
# Of the record beside a report: everything that scores, and that they are told by.
OF_FILLED = ("wind_speed", "water_vapour", "cloud_liquid_water", "rain_rate")
OF_PASSES = (
    "sea_surface_temperature",
    "air_temperature",
    "specific_humidity",
    "sensible_heat_flux",
    "latent_heat_flux",
    "sensible_heat_flux_bulk",
    "latent_heat_flux_bulk",
    "wind_speed_corrected",
    "air_temperature_standard_error",
    "specific_humidity_standard_error",
    "sensible_heat_flux_standard_error",
    "latent_heat_flux_standard_error",
)

KEPT, DUPLICATE, OUTLIER, NO_RECORD = range(2, 6)
VERDICTS = {
    KEPT: "kept",
    DUPLICATE: "same_report_from_another_feed_or_under_another_name",
    OUTLIER: "implausible_for_its_region_and_month",
    NO_RECORD: "record_has_no_value",
}
TRAIN, VALIDATION, TEST, KEPT_BACK = range(2, 6)
SETS = {
    TRAIN: "training_years",
    VALIDATION: "validation_2016_2017",
    TEST: "test_2018",
    KEPT_BACK: "withheld_station",
}
SAME_WITHIN = np.timedelta64(15, "m")
SAME_VALUES = {"air_temperature": 0.15, "sea_surface_temperature": 0.11, "wind_speed": 0.6}


@dataclass(frozen=True)
class Asked:
    """Which matchups are wanted; a value that travels to workers.

    Parameters
    ----------
    location : Place
        Of the store.
    first, last : date
        Of the passes, both included.
    rules : Rules
    daily : tuple of (str, str)
        Names of daily products to stand beside the reports' means of days, and their datasets: of
        the store, or plain Zarr stores by their paths. None where none is asked for.
    """

    location: Place
    first: date
    last: date
    rules: Rules
    daily: tuple[tuple[str, str], ...] = ()

    @property
    def months(self) -> list[str]:
        """Months of the period."""
        return by_month.months_of(self.first, self.last)


@dataclass(frozen=True)
class Beside:
    """Matchups, and values of the record in the same cells and passes.

    Parameters
    ----------
    matchups : Matchups
    record : dict of str to float32 array
        By the names of variables, NaN where the record has no value.
    """

    matchups: Matchups
    record: Columns

    def __len__(self) -> int:
        return len(self.matchups)

    def at(self, which: Indices | Flags) -> Self:
        """Those with an index or a mark."""
        record = {name: values[which] for name, values in self.record.items()}
        return type(self)(self.matchups.at(which), record)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Several together, the nearest in time of each platform, cell and pass."""
        record = {
            name: np.concatenate([part.record[name] for part in parts]) for name in parts[0].record
        }
        whole = cls(Matchups.concatenated([part.matchups for part in parts]), record)
        return whole.at(whole.matchups.nearest)


def of_month(asked: Asked, month: str, reports: xr.Dataset) -> Beside | None:
    """Matchups of a month of reports with the record beside them; None where there are none.

    Parameters
    ----------
    asked : Asked
    month : str
    reports : Dataset
        Of the month: of `fluxrecipes.matchups.by_month.reports_of`.

    Raises
    ------
    NotOurStore, UnknownName
    """
    period = asked.first, asked.last
    found = by_month.of_month(asked.location, month, reports, period, rules=asked.rules)
    if found is None or not len(found):
        return None
    cell = {"orbit": found.orbit, "lat": found.row, "lon": found.column}
    wanted = {by_month.FILLED: OF_FILLED, PASSES: OF_PASSES}
    return Beside(found, of_record(asked.location, wanted, found.day, cell))


def of_record(
    location: Place,
    wanted: Mapping[str, Sequence[str]],
    day: Array,
    cell: Mapping[str, Array],
) -> Columns:
    """Values of the record in cells on days, of what it has of that which is wanted.

    Parameters
    ----------
    location : Place
        Of the store.
    wanted : mapping of str to sequence of str
        Of each dataset the variables.
    day, cell
        As of `taken`.

    Raises
    ------
    NotOurStore, UnknownName
    """
    record: Columns = {}
    for name, variables in wanted.items():
        dataset = open_dataset(location, name)
        there = [one for one in variables if one in dataset]
        record |= taken(dataset[there], day, cell)
    return record


def taken(dataset: xr.Dataset, day: Array, cell: Mapping[str, Array]) -> Columns:
    """Values in cells on days; NaN on days that the dataset has not.

    Parameters
    ----------
    dataset : Dataset
        On time and the axes of the cells.
    day : datetime64[D] array
    cell : mapping of str to int array
        Of each axis the indices.
    """
    days, inverse = np.unique(day, return_inverse=True)
    times = dataset["time"].values.astype("datetime64[D]")
    place = np.searchsorted(times, days).clip(max=len(times) - 1)
    there = times[place] == days
    some = dataset.isel(time=place[there]).transpose("time", *cell).load()
    number = np.cumsum(there) - 1
    at = (number[inverse], *cell.values())
    known = there[inverse]
    made = {}
    for name, values in some.items():
        column = np.full(len(day), np.nan, np.float32)
        column[known] = values.values[tuple(one[known] for one in at)]
        made[str(name)] = column
    return made


def whole(parts: Iterable[Beside | None]) -> Beside | None:
    """All months together; None where none has any."""
    found = [part for part in parts if part is not None]
    return Beside.joined(found) if found else None


def sets_of(matchups: Matchups) -> Array:
    """Codes of `SETS`: what is held out of training and tuning, by station and by year."""
    year = matchups.year
    found = np.full(len(matchups), TRAIN, np.uint8)
    found[(year == 2016) | (year == 2017)] = VALIDATION
    found[year == 2018] = TEST
    found[reported_by(matchups, WITHHELD)] = KEPT_BACK
    return found


def verdicts(found: Beside, sets: Array, limit: float) -> Array:
    """Codes of `VERDICTS`; the limits of what is plausible know nothing of what is held out.

    They are learned from the training years, without these from those of validation, and without
    both there are none.

    Parameters
    ----------
    found : Beside
    sets : uint8 array
        Of `sets_of`.
    limit : float
        Standard deviations from the mean of region and month.
    """
    matchups = found.matchups
    told = np.full(len(matchups), KEPT, np.uint8)
    told[np.isnan(found.record["latent_heat_flux"])] = NO_RECORD
    known = next((at for at in (sets == TRAIN, sets == VALIDATION) if at.any()), None)
    if known is not None:
        told[~Climatology.of(matchups.at(known)).plausible(matchups, limit)] = OUTLIER
    told[duplicates(matchups)] = DUPLICATE
    return told


def duplicates(matchups: Matchups) -> Flags:
    """Which say what another one of the same cell and pass says, and is nearer to the sensor.

    A buoy's reports come from its owner, and again through ICOADS, at times under another number.
    They are the same where time, air, sea and wind are, as far as rounding and heights leave them.
    """
    marked = np.zeros(len(matchups), bool)
    for former, later in _copies(matchups):
        marked[later[~marked[former]]] = True
    return marked


def reported_by(matchups: Matchups, platforms: Iterable[str]) -> Flags:
    """Which are reports of some platforms, under their own name or, as copies, under another.

    Of the moorings kept for the last test also whatever comes from near them: a report without
    heights, or one that is doubted, meets nothing, and so its copies cannot be told.
    """
    names = {name.upper() for name in platforms}
    found = matchups.named(names)
    if not names.isdisjoint(WITHHELD):
        found |= matchups.near(WITHHELD_PLACES, SURROUNDINGS)
    copies = list(_copies(matchups)) if found.any() else []
    grows = bool(copies)
    while grows:  # by copies of copies
        before = np.count_nonzero(found)
        for one, other in copies:
            found[other[found[one]]] = True
            found[one[found[other]]] = True
        grows = bool(np.count_nonzero(found) > before)
    return found


def once(matchups: Matchups, leave_out: Iterable[str] = ()) -> Matchups:
    """Each report once, and none of some platforms, by whatever number it comes.

    A copy under another number must not check what the other one taught, nor teach what is
    withheld.
    """
    return matchups.at(~(duplicates(matchups) | reported_by(matchups, leave_out)))


def one_name(matchups: Matchups) -> dict[bytes, bytes]:
    """For each platform one of the names under which it reports, the same for all of these.

    Two numbers are one platform where most of what they say of the same cells and passes is the
    same: ships that meet agree at times by chance.
    """
    names, which = np.unique(matchups.platform, return_inverse=True)
    pairs = list(_meetings(matchups))
    if not pairs:
        return {name: name for name in names.tolist()}
    one, other, same = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    shape = len(names), len(names)
    met, alike = (
        coo_array((weight, (which[one], which[other])), shape).tocsr()
        for weight in (np.ones(len(same)), same.astype(float))
    )
    met, alike = met + met.T, alike + alike.T
    _, group = connected_components(alike * 2.0 > met, directed=False)
    first = np.full(group.max() + 1, len(names))
    np.minimum.at(first, group, np.arange(len(names)))
    return dict(zip(names.tolist(), names[first[group]].tolist(), strict=True))


def _copies(matchups: Matchups) -> Iterator[tuple[Indices, Indices]]:
    """Pairs that say the same of a cell and pass, first the one that is nearer to the sensor."""
    for former, later, same in _meetings(matchups):
        yield former[same], later[same]


def _meetings(matchups: Matchups) -> Iterator[tuple[Indices, Indices, Flags]]:
    """Pairs of reports of a cell and pass, and whether both say the same; as `_copies` has them."""
    day, orbit, row, column = (np.asarray(one).astype(np.int64) for one in matchups.cell)
    order = np.lexsort((rank_of(matchups.feed), column, row, orbit, day))
    keys = np.stack([day, orbit, row, column], axis=-1)[order]
    for apart in range(1, len(order)):
        near = (keys[apart:] == keys[:-apart]).all(axis=1)
        if not near.any():
            return
        former, later = order[:-apart][near], order[apart:][near]
        yield former, later, _same(matchups, former, later)


def _same(matchups: Matchups, one: Indices, other: Indices) -> Flags:
    alike = np.abs(matchups.time[one] - matchups.time[other]) <= SAME_WITHIN
    for name, width in SAME_VALUES.items():
        values = getattr(matchups, name)
        alike &= np.abs(values[one] - values[other]) <= width
    return np.asarray(alike & (matchups.platform[one] != matchups.platform[other]))


def counts(codes: Array, meanings: Mapping[int, str]) -> dict[str, int]:
    """How many of each code, by its meaning."""
    return {said: int((codes == code).sum()) for code, said in meanings.items()}
