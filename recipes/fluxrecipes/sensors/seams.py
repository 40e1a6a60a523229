"""Seams: where a merged map goes from one satellite to the other, and the day a sensor enters.

Neighbouring cells of two satellites differ by what lies between the cells, by the weather of the
hours between the passes, and by what the satellites disagree about. The first two the reference
makes alone, too: its own neighbouring cells differ by D(0) at once, by D(12 h) between its passes
and by D(24 h) from day to day. Where differences in time forget themselves exponentially,
D(h) = D(0) + (D(12 h) - D(0)) (1 - q^(h/12)) / (1 - q) with q = (D(24 h) - D(0)) / (D(12 h) - D(0))
- 1, so that what the hours of each seam should make is known without the new sensor. Squared
differences are compared band by band of latitude, and by direction on the map.

Some seams are no edges of a swath: a satellite that looked and retrieved nothing steady leaves the
cell to the other (`fluxrecipes.stages.merge`). Such seams, and what that choice does to the ocean's
mean, are told apart: a perfect sensor has them, too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fluxkernels.stats.agreement import Interval, estimate
from fluxrecipes.sensors.overlap import by_block, in_parts
from fluxrecipes.sensors.settings import VARIABLES
from fluxrecipes.sources.passes import ORBITS

if TYPE_CHECKING:
    import xarray as xr

Array = npt.NDArray[Any]
Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

BAND = 20  # rows of a band of latitude
DIRECTIONS = 2  # to the east, to the north
HOURS = 25
# Kinds of pairs: of the reference, of the new sensor, and across seams, these by their hours.
AT_ONCE, TWELVE, DAY, OURS = range(4)
EDGES, CHOSEN = slice(4, 4 + HOURS), slice(4 + HOURS, 4 + 2 * HOURS)
KINDS = 4 + 2 * HOURS
SAME_SWATH = 0.25  # hours between neighbouring cells of one swath, at the most
NEAR = 1.5  # hours, about 12 and 24
CALM = 0.999  # of q: differences in time that never end growing have no exponential
LOOK_BACK = 30  # days before a sensor enters that its step is told from


class Cells(NamedTuple):
    """A field, its times, its satellites, and where the new one did not look: (lat, lon) each."""

    values: Floats
    hours: Floats
    satellite: Array
    unseen: Flags

    def changed(self, how: Callable[[Array], Array]) -> Cells:
        """All of it, moved or cut in the same way."""
        return Cells(how(self.values), how(self.hours), how(self.satellite), how(self.unseen))


@dataclass(frozen=True)
class Seams:
    """Sums of squared differences between neighbouring cells.

    Parameters
    ----------
    days : datetime64[D] array
    squares : dict of str to float64 array, shape (day, band, direction, kind, 2)
        By variable: number of pairs, and their squared differences.
    """

    days: Array
    squares: dict[str, Floats]


def of_datasets(
    ours: xr.Dataset,
    theirs: xr.Dataset,
    merged: xr.Dataset | None,
    codes: tuple[int, int],
    days: Array,
    tell: Callable[[int], None] = lambda done: None,
) -> Seams:
    """Differences of neighbours within each satellite, and across seams of the merged maps.

    Parameters
    ----------
    ours, theirs : Dataset
        As of `fluxrecipes.sensors.overlap.of_datasets`.
    merged : Dataset or None
        The same with ``satellite``; without it there are no seams.
    codes : (int, int)
        Of the new sensor and of the reference in ``satellite``.
    days : datetime64[D] array
    tell : callable, optional
        Takes how many days more are done.
    """
    bands = -(-ours.sizes["lat"] // BAND)
    shape = (len(days), bands, DIRECTIONS, KINDS, 2)
    found = Seams(days, {name: np.zeros(shape) for name in VARIABLES})
    names = ["pass_time", *VARIABLES]
    merged_days = np.empty(0) if merged is None else merged["time"].values.astype("M8[D]")
    before: xr.Dataset | None = None
    done = 0
    for some in in_parts(days):
        times = some.astype("M8[ns]")
        mine, other = (d[names].sel(time=times).load() for d in (ours, theirs))
        with_seams = np.isin(some, merged_days)
        whole = None
        if merged is not None and with_seams.any():
            whole = merged[[*names, "satellite"]].sel(time=times[with_seams]).load()
        for at, day in enumerate(some):
            today = other.isel(time=at)
            yesterday = before if done and days[done - 1] == day - 1 else None
            _add_within(found, done, mine.isel(time=at), today, yesterday)
            if whole is not None and with_seams[at]:
                unseen = ~np.isfinite(mine["pass_time"].values[at])
                _add_seams(found, done, whole.sel(time=times[at]), unseen, codes)
            before = today
            done += 1
        tell(len(some))
    return found


def _add_within(
    found: Seams, day: int, ours: xr.Dataset, theirs: xr.Dataset, before: xr.Dataset | None
) -> None:
    """Pairs of each satellite by itself."""
    for name in VARIABLES:
        into = found.squares[name][day]
        first, second = (_field(theirs, name, orbit) for orbit in range(len(ORBITS)))
        for orbit, own in enumerate((first, second)):
            _add(into, AT_ONCE, own, own, lambda hours: hours <= SAME_SWATH)
            mine = _field(ours, name, orbit)
            _add(into, OURS, mine, mine, lambda hours: hours <= SAME_SWATH)
            if before is not None:
                last = _field(before, name, orbit)
                last = last._replace(hours=last.hours - 24.0)
                _add(into, DAY, own, last, lambda hours: np.abs(hours - 24.0) <= NEAR)
        _add(into, TWELVE, first, second, lambda hours: np.abs(hours - 12.0) <= NEAR)


def _add_seams(
    found: Seams, day: int, merged: xr.Dataset, unseen: Flags, codes: tuple[int, int]
) -> None:
    """Pairs across seams; `unseen`: where the new sensor did not look, (orbit, lat, lon)."""
    for name in VARIABLES:
        for orbit in range(len(ORBITS)):
            one = _field(merged, name, orbit)._replace(unseen=unseen[orbit])
            for direction, (here, there) in enumerate(_pairs(one, one)):
                meet = np.isin(here.satellite, codes) & np.isin(there.satellite, codes)
                meet &= here.satellite != there.satellite
                jump, apart = here.values - there.values, np.abs(here.hours - there.hours)
                at = np.nonzero(meet & np.isfinite(jump + apart))
                first = np.where((here.unseen | there.unseen)[at], EDGES.start, CHOSEN.start)
                kind = first + np.minimum(np.rint(apart[at]), HOURS - 1).astype(int)
                into = found.squares[name][day, :, direction]
                place = at[0] // BAND * KINDS + kind
                for what, weights in enumerate((None, jump[at] ** 2)):
                    sums = np.bincount(place, weights, into.shape[0] * KINDS)
                    into[..., what] += sums.reshape(-1, KINDS)


def _field(passes: xr.Dataset, name: str, orbit: int) -> Cells:
    values, hours = (passes[n].values[orbit].astype(np.float64) for n in (name, "pass_time"))
    nowhere = np.zeros(values.shape, bool)
    known = passes["satellite"].values[orbit] if "satellite" in passes else nowhere
    return Cells(values, hours, np.nan_to_num(known).astype(int), nowhere)


def _pairs(here: Cells, there: Cells) -> tuple[tuple[Cells, Cells], ...]:
    """Each cell of one field beside its neighbour of the other, to the east and to the north."""
    east = there.changed(lambda one: np.roll(one, -1, axis=1))
    south, north = here.changed(lambda one: one[:-1]), there.changed(lambda one: one[1:])
    return (here, east), (south, north)


def _add(
    into: Floats, kind: int, one: Cells, other: Cells, fits: Callable[[Floats], Flags]
) -> None:
    """Add the pairs whose hours fit, shape of `into` (band, direction, kind, 2)."""
    for direction, (here, there) in enumerate(_pairs(one, other)):
        square = (here.values - there.values) ** 2
        with np.errstate(invalid="ignore"):
            good = np.isfinite(square) & fits(np.abs(here.hours - there.hours))
        rows = np.arange(len(square)) // BAND
        into[:, direction, kind, 0] += np.bincount(rows, good.sum(axis=1), len(into))
        into[:, direction, kind, 1] += np.bincount(
            rows, np.where(good, square, 0.0).sum(axis=1), len(into)
        )


# --- what they tell ------------------------------------------------------------------------------


def ratio(found: Seams, variable: str, block: int, kind: slice = EDGES) -> Interval:
    """Root mean square jump across seams over that which the hours between make; NaN without.

    `kind` is `EDGES` of swaths, or those that merging has `CHOSEN`.
    """
    blocks = by_block(found.days, found.squares[variable], block)
    some = blocks[blocks[..., kind, 0].sum(axis=(1, 2, 3)) > 0]
    return estimate(partial(_ratio, kind=kind), some)


def ratio_within(found: Seams, variable: str, block: int) -> Interval:
    """Root mean square jump within the new sensor's swath over that within the reference's."""
    return estimate(_within, by_block(found.days, found.squares[variable], block))


def number(found: Seams, variable: str, kind: slice = EDGES) -> int:
    """Pairs across seams."""
    return int(found.squares[variable][..., kind, 0].sum())


def _ratio(sums: Floats, kind: slice) -> Floats:
    """From sums of shape (..., band, direction, kind, 2)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = sums[..., 1] / sums[..., 0]
        seams = sums[..., kind, :]
        expected = _expected(mean[..., AT_ONCE], mean[..., TWELVE], mean[..., DAY])
        known = np.isfinite(expected)
        whole = np.where(known, seams[..., 0] * expected, 0.0).sum(axis=(-3, -2, -1))
        jumps = np.where(known, seams[..., 1], 0.0).sum(axis=(-3, -2, -1))
        made: Floats = np.sqrt(jumps / whole)
    return made


def _expected(at_once: Floats, twelve: Floats, day: Floats) -> Floats:
    """Squared difference after each hour, shape (..., hours)."""
    grown = np.maximum(twelve - at_once, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        kept = np.clip((day - at_once) / grown - 1.0, 0.0, CALM)
    kept = np.where(np.isnan(kept) & np.isfinite(grown), 0.0, kept)[..., None]
    power = kept ** (np.arange(HOURS) / 12.0)  # 0 to the power of 0 is 1: at once nothing has grown
    made: Floats = at_once[..., None] + grown[..., None] * (1.0 - power) / (1.0 - kept)
    return made


def _within(sums: Floats) -> Floats:
    pairs, squares = np.moveaxis(sums[..., (AT_ONCE, OURS), :], -1, 0)
    common = (pairs > 0).all(axis=-1)
    # Each band and direction as heavy as in the reference: swaths differ in width.
    weight = np.where(common, pairs[..., 0], 0.0)[..., None]
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(common[..., None], squares / pairs, 0.0)
        theirs, ours = np.moveaxis((weight * mean).sum(axis=(-3, -2)), -1, 0)
        made: Floats = np.sqrt(ours / theirs)
    return made


# --- in time -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Entry:
    """The merged record less the reference alone, before and after the new sensor enters.

    Parameters
    ----------
    first : datetime64[D]
        Day of the new sensor's first cell in the merged record, of those looked at.
    days_before : int
        On which the reference served without it; none, and before is taken as the reference alone.
    own, whole : dict of str to Interval
        By variable: by how much the mean over the ocean jumps. The whole of it, and without the
        cells in which just one of both sensors lost a variable, so that merging chose by weather.
    """

    first: np.datetime64
    days_before: int
    own: dict[str, Interval]
    whole: dict[str, Interval]


def entry(
    ours: xr.Dataset,
    theirs: xr.Dataset,
    merged: xr.Dataset,
    code: int,
    days: Array,
    block: int,
    tell: Callable[[int], None] = lambda done: None,
) -> Entry | None:
    """Step of the ocean's mean on the day that the new sensor enters the merged record.

    Of merged record minus reference, over cells that both have: the weather falls out.

    Parameters
    ----------
    ours, theirs, merged : Dataset
        Passes of the new sensor, of the reference, and of the merged record.
    code : int
        Of the new sensor in ``satellite``.
    days : datetime64[D] array
        Of the overlap.
    block : int
        Days that are resampled together.
    tell : callable, optional
        Takes how many days of the overlap more are done.

    Returns
    -------
    Entry or None
        None where the merged record has no cell of the new sensor on these days.
    """
    have = np.intersect1d(merged["time"].values, theirs["time"].values).astype("M8[D]")
    wanted = have[(have >= days[0] - LOOK_BACK) & (have <= days[-1])]
    area = np.cos(np.radians(merged["lat"].values))[:, None]
    sums = {name: np.zeros((len(wanted), 2, 2)) for name in VARIABLES}
    enters, done = np.zeros(len(wanted), bool), 0
    for some in in_parts(wanted):
        times, names = some.astype("M8[ns]"), list(VARIABLES)
        alone = theirs[names].sel(time=times).load()
        both = merged[["satellite", *names]].sel(time=times).load()
        new = ours[["pass_time", *names]].reindex(time=times).load()
        undecided = _complete(alone) & _complete(new) | ~np.isfinite(new["pass_time"].values)
        for at in range(len(some)):
            enters[done + at] = (both["satellite"].values[at] == code).any()
            for name in names:
                apart = both[name].values[at] - alone[name].values[at]
                for part, which in enumerate((undecided[at], True)):
                    weight = np.where(np.isfinite(apart) & which, area, 0.0)
                    total = (weight * np.nan_to_num(apart)).sum()
                    sums[name][done + at, part] = weight.sum(), total
        done += len(some)
        tell(int(np.isin(some, days).sum()))
    if not enters.any():
        return None
    first = wanted[enters][0]
    before = wanted < first
    before &= next(iter(sums.values()))[:, 0, 0] > 0
    own, whole = (
        {
            name: _step(wanted, before, enters, values[:, part], block)
            for name, values in sums.items()
        }
        for part in range(2)
    )
    return Entry(first, int(before.sum()), own, whole)


def _complete(passes: xr.Dataset) -> Flags:
    """Where all variables were retrieved."""
    found: Flags = np.logical_and.reduce([np.isfinite(passes[n].values) for n in VARIABLES])
    return found


def _step(days: Array, before: Flags, after: Flags, sums: Floats, block: int) -> Interval:
    parts = np.stack([sums * before[:, None], sums * after[:, None]], axis=1)
    blocks = by_block(days, parts, block)
    return estimate(_jump, blocks[blocks[..., 0].sum(axis=1) > 0])


def _jump(sums: Floats) -> Floats:
    """After less before, from sums of shape (..., 2, 2); nothing before is no difference before."""
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = sums[..., 1] / sums[..., 0]
    made: Floats = mean[..., 1] - np.where(sums[..., 0, 0] > 0, mean[..., 0], 0.0)
    return made
