"""Two satellites over the same cells: sums of their differences, by day, pass and region.

A pass of the new sensor is compared with that pass of the reference, of the day or of its
neighbours, that is nearest in time over the same cell, if it is near enough. The hours between hold
weather, which is alike in both directions, and a part of the daily cycle, which is not: its first
harmonic falls out of the mean of passes twelve hours apart, and half the difference of both passes
bounds it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fluxengine.errors import FluxforgeError
from fluxkernels.stats.agreement import (
    Agreement,
    Interval,
    agreement_of_sums,
    estimate,
    scores,
    sums_of,
)
from fluxrecipes.sensors.settings import VARIABLES
from fluxrecipes.sources.passes import ORBITS
from fluxrecipes.trends.regions import REGIONS, Region

if TYPE_CHECKING:
    import xarray as xr

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

GLOBAL = "global"
BANDS = {
    "60-40 S": Region(-60, -40),
    "40-20 S": Region(-40, -20),
    "20-40 N": Region(20, 40),
    "40-60 N": Region(40, 60),
}
PLACES = {**REGIONS, **BANDS}
SEASONS = {"DJF": (12, 1, 2), "MAM": (3, 4, 5), "JJA": (6, 7, 8), "SON": (9, 10, 11)}
SCORES = 7  # of `sums_of`
ENOUGH = 500  # cells in both that a day needs to count
AT_ONCE = 10  # days that are read together
YEAR = 365.25  # days


class TooLittleOverlap(FluxforgeError, ValueError):
    """Two sensors do not share days enough to be compared."""

    code = "FF761"


@dataclass(frozen=True)
class Overlap:
    """Sums over cells that two satellites saw.

    Parameters
    ----------
    days : datetime64[D] array, shape (day,)
        On which both have values.
    sums : dict of str to float64 array, shape (day, orbit, region, 7)
        By variable: `sums_of` new sensor and reference, weighted by area; by the new sensor's pass.
    points : dict of str to int array, shape (day, orbit, region)
    clocks : complex array, shape (orbit, 2)
        Sums of local times as hands of a clock, of the new sensor and of the reference.
    maps : dict of str to float64 array, shape (2, lat, lon)
        Number of differences of each cell, and their sum.
    latitude, longitude : float array
    """

    days: Array
    sums: dict[str, Floats]
    points: dict[str, Array]
    clocks: npt.NDArray[np.complex128]
    maps: dict[str, Floats]
    latitude: Floats
    longitude: Floats

    @property
    def local_times(self) -> Floats:
        """Mean local solar time, h, shape (orbit, 2): of the new sensor and of the reference."""
        hours: Floats = np.angle(self.clocks) * 12.0 / np.pi % 24.0
        return hours

    def during(self, season: str | None) -> Array:
        """Which days are of a season; all without one."""
        if season is None:
            return np.ones(len(self.days), bool)
        return np.isin(self.days.astype("M8[M]").astype(int) % 12 + 1, SEASONS[season])

    def seasons(self, block: int) -> tuple[str, ...]:
        """Those with as many days as two blocks have: of fewer no interval can be told."""
        return tuple(name for name in SEASONS if self.during(name).sum() >= 2 * block)

    def blocks(self, values: Floats, length: int, which: Array | slice = slice(None)) -> Floats:
        """As `by_block`, of some of its days."""
        return by_block(self.days, values, length, which)


def by_block(
    days: Array, values: Floats, length: int, which: Array | slice = slice(None)
) -> Floats:
    """Sums of days as sums of blocks of so many days from the first, shape (block, ...)."""
    number = (days - days[0]).astype(int)[which] // length
    _, member = np.unique(number, return_inverse=True)
    made = np.zeros((member.max(initial=-1) + 1, *values.shape[1:]))
    np.add.at(made, member, values[which])
    return made


def days_of(dataset: xr.Dataset) -> Array:
    """Days on which a satellite has wind, datetime64[D]."""
    found = []
    for at in range(0, dataset.sizes["time"], AT_ONCE * 3):
        part = dataset["wind_speed"].isel(time=slice(at, at + AT_ONCE * 3))
        seen = np.isfinite(part.values).sum(axis=(1, 2, 3)) >= ENOUGH
        found.append(part["time"].values[seen].astype("M8[D]"))
    return np.concatenate(found) if found else np.empty(0, "M8[D]")


def in_parts(days: Array) -> Iterator[Array]:
    """A few days at a time."""
    for at in range(0, len(days), AT_ONCE):
        yield days[at : at + AT_ONCE]


def of_datasets(
    ours: xr.Dataset,
    theirs: xr.Dataset,
    days: Array,
    hours: float,
    tell: Callable[[int], None] = lambda done: None,
) -> Overlap:
    """Compare two satellites on the days that both have.

    Parameters
    ----------
    ours, theirs : Dataset
        Passes of the new sensor and of the reference, on (time, orbit, lat, lon): ``pass_time``
        [UTC hours of the day] and the variables of `fluxrecipes.vocabulary.MICROWAVE`.
    days : datetime64[D] array
    hours : float
        That may lie between two passes over a cell.
    tell : callable, optional
        Takes how many days more are done.
    """
    lat, lon = (ours[name].values.astype(np.float64) for name in ("lat", "lon"))
    inside = np.stack([region.holds(lat, lon).ravel() for region in PLACES.values()], axis=1)
    area = np.repeat(np.cos(np.radians(lat)), len(lon))
    shape = (len(days), len(ORBITS), len(PLACES))
    found = Overlap(
        days,
        {name: np.zeros((*shape, SCORES)) for name in VARIABLES},
        {name: np.zeros(shape, np.int64) for name in VARIABLES},
        np.zeros((len(ORBITS), 2), np.complex128),
        {name: np.zeros((2, len(lat), len(lon))) for name in VARIABLES},
        lat,
        lon,
    )
    names = ["pass_time", *VARIABLES]
    done = 0
    for some in in_parts(days):
        mine = ours[names].sel(time=some.astype("M8[ns]")).load()
        around = np.unique(np.add.outer(some, (-1, 0, 1)))  # midnight lies between many passes
        there = np.intersect1d(around.astype("M8[ns]"), theirs["time"].values)
        other = theirs[names].sel(time=there).load().reindex(time=around.astype("M8[ns]"))
        for at, day in enumerate(some):
            near = _three_days(other, int(np.searchsorted(around, day)))
            _add_day(found, done, mine.isel(time=at), near, inside, area, hours)
            done += 1
        tell(len(some))
    return found


def _three_days(passes: xr.Dataset, middle: int) -> dict[str, Floats]:
    """Passes of a day and of its neighbours, shape (pass, lat, lon), by hours of that day."""
    part = passes.isel(time=slice(middle - 1, middle + 2))
    shape = (-1, part.sizes["lat"], part.sizes["lon"])
    found = {name: part[name].values.reshape(shape) for name in VARIABLES}
    hours = part["pass_time"].values + np.array([-24.0, 0.0, 24.0])[:, None, None, None]
    return {**found, "pass_time": hours.reshape(shape)}


def _add_day(
    found: Overlap,
    day: int,
    ours: xr.Dataset,
    theirs: dict[str, Floats],
    inside: Array,
    area: Floats,
    hours: float,
) -> None:
    when = theirs["pass_time"]
    for orbit in range(len(ORBITS)):
        mine = ours["pass_time"].values[orbit]
        apart = np.where(np.isfinite(when), np.abs(when - mine), np.inf)
        apart = np.where(np.isfinite(mine), apart, np.inf)
        nearest = apart.argmin(axis=0)
        near = apart.min(axis=0) <= hours
        there = np.take_along_axis(when, nearest[None], axis=0)[0]
        for side, times in enumerate((mine, there)):
            turn = (times + found.longitude / 15.0) * (np.pi / 12.0)
            found.clocks[orbit, side] += np.exp(1j * turn[near]).sum()
        for name in VARIABLES:
            x = ours[name].values[orbit]
            y = np.take_along_axis(theirs[name], nearest[None], axis=0)[0]
            both = near & np.isfinite(x) & np.isfinite(y)
            cells = np.flatnonzero(both.ravel())
            parts = sums_of(x.ravel()[cells], y.ravel()[cells], area[cells])
            members = inside[cells].astype(np.float64)
            found.sums[name][day, orbit] += (parts @ members).T
            found.points[name][day, orbit] += inside[cells].sum(axis=0)
            found.maps[name][0] += both
            found.maps[name][1] += np.where(both, x - y, 0.0)


# --- what they tell ------------------------------------------------------------------------------


def agreement_in(
    found: Overlap, variable: str, block: int, region: str = GLOBAL, orbit: int | None = None
) -> Agreement:
    """New sensor against reference over all days, of one pass or of both."""
    at = list(PLACES).index(region)
    which = slice(None) if orbit is None else slice(orbit, orbit + 1)
    sums = found.blocks(found.sums[variable][:, which, at].sum(axis=1), block)
    return agreement_of_sums(sums, int(found.points[variable][:, which, at].sum()))


def spread_ratio(found: Overlap, variable: str, block: int) -> Interval:
    """Standard deviation of the new sensor over the reference's, over the whole ocean."""
    sums = found.sums[variable][:, :, list(PLACES).index(GLOBAL)].sum(axis=1)
    return estimate(_ratio_of_spreads, found.blocks(sums, block))


def _ratio_of_spreads(sums: Floats) -> Floats:
    made = scores(sums)
    ratio: Floats = made[..., 4] / made[..., 5]
    return ratio


def bias(
    found: Overlap, variable: str, block: int, region: str = GLOBAL, season: str | None = None
) -> Interval:
    """Mean difference, both passes weighing the same; NaN where there is none."""
    return _of_passes(found, variable, block, region, season, _mean_of_passes)


def daily_cycle(found: Overlap, variable: str, block: int, region: str = GLOBAL) -> Interval:
    """Half the difference of the biases of both passes: what may be the daily cycle's."""
    return _of_passes(found, variable, block, region, None, _half_of_passes)


def _of_passes(
    found: Overlap,
    variable: str,
    block: int,
    region: str,
    season: str | None,
    statistic: Callable[[Floats], Floats],
) -> Interval:
    sums = found.sums[variable][:, :, list(PLACES).index(region)]
    blocks = found.blocks(sums, block, found.during(season))
    return estimate(statistic, blocks[blocks[..., 0].sum(axis=1) > 0])


def _biases(sums: Floats) -> Floats:
    """Of each pass, from sums of shape (..., orbit, 7)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        made: Floats = (sums[..., 1] - sums[..., 2]) / sums[..., 0]
    return made


def _mean_of_passes(sums: Floats) -> Floats:
    made = _biases(sums)
    there = np.isfinite(made)
    with np.errstate(invalid="ignore"):
        mean: Floats = np.where(there, made, 0.0).sum(axis=-1) / there.sum(axis=-1)
    return mean


def _half_of_passes(sums: Floats) -> Floats:
    made = _biases(sums)
    half: Floats = (made[..., 0] - made[..., 1]) / 2.0
    return half


def daily(found: Overlap, variable: str, region: str = GLOBAL) -> Floats:
    """Mean difference of each day, shape (day,)."""
    return _mean_of_passes(found.sums[variable][:, :, list(PLACES).index(region)])


def drift(found: Overlap, variable: str, block: int) -> Interval:
    """Slope of the daily mean differences over the whole ocean, per year, by least squares."""
    y, t = daily(found, variable), (found.days - found.days[0]).astype(float) / YEAR
    there = np.isfinite(y)
    y, t = np.where(there, y, 0.0), np.where(there, t, 0.0)
    parts = np.stack([there.astype(float), t, y, t * t, t * y], axis=1)
    return estimate(_slope, found.blocks(parts, block))


def _slope(sums: Floats) -> Floats:
    n, t, y, tt, ty = np.moveaxis(sums, -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        slope: Floats = (n * ty - t * y) / (n * tt - t * t)
    return slope


def mean_maps(found: Overlap, cells: int, fewest: int) -> dict[str, Floats]:
    """Mean differences of boxes of so many cells each way, NaN where there are fewer pairs.

    Of boxes, not of cells: the weather of the hours between is noise.
    """
    made = {}
    for name, sums in found.maps.items():
        _, rows, columns = sums.shape
        boxes = sums.reshape(2, rows // cells, cells, columns // cells, cells).sum(axis=(2, 4))
        number, total = boxes
        made[name] = np.where(number >= fewest, total / np.maximum(number, 1), np.nan)
    return made


def check(days: Array, fewest: int, where: str) -> None:
    """Refuse to judge by too few days.

    Raises
    ------
    TooLittleOverlap
        FF761: naming how many days there are and how many are needed.
    """
    if len(days) < fewest:
        raise TooLittleOverlap(
            f"both sensors have values on {len(days)} days; {fewest} are needed.",
            where=where,
            mend="Run deepflux-merged with both sensors over a longer period, compare with another"
            " one (`--beside`), or ask for fewer days (`days` in a file of `--limits`).",
        )
