"""How much of a known trend a record gives back, and what trends it shows where there are none.

Worlds of one seed have the same weather, passes and noise: what differs between the records of two
is their trend alone, and a few days of early and late years tell it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fluxengine.errors import FluxforgeError
from fluxengine.registry import suggestion
from fluxkernels.stats.agreement import Interval, interval
from fluxrecipes import vocabulary as cf
from fluxrecipes.near_surface import sea_saturation
from fluxrecipes.stages.surface import sea_minus_air_humidity, sea_minus_air_temperature
from fluxrecipes.stored import opened
from fluxrecipes.trends.recovery_settings import Recovery, World
from fluxrecipes.trends.regions import REGIONS, blocks

if TYPE_CHECKING:
    import xarray as xr

Floats = npt.NDArray[np.float64]

APART = 5.0  # years at least between the first and the last day
NOTHING = 1e-3  # of a variable's own spread, a decade: its world has no trend in it
SLIGHT = 0.25  # of the typical trend of a world: a block that has less tests nothing
UNTESTED, LOST, OBSERVABLE = -1, 0, 1
_NEEDED = {
    sea_minus_air_temperature.name: (cf.sea_surface_temperature.name, cf.air_temperature.name),
    sea_minus_air_humidity.name: (cf.sea_surface_temperature.name, cf.specific_humidity.name),
}


class NothingInCommon(FluxforgeError, ValueError):
    """Records of simulated worlds have too few days, or no cells, in common."""

    code = "FF752"


class Trend(NamedTuple):
    """One trend of one world, over one region.

    Parameters
    ----------
    world, variable, region, units : str
    truth, record : float
        A decade, of the truth and of the record; less those of the reference.
    fraction : Interval or None
        Record over truth, with 95 % by resampling of blocks, NaN where there is but one block;
        none where the truth has no trend.
    """

    world: str
    variable: str
    region: str
    units: str
    truth: float
    record: float
    fraction: Interval | None

    def as_json(self) -> dict[str, Any]:
        """For machines; None where there is no value."""
        numbers = {k: v if np.isfinite(v) else None for k, v in self._numbers().items()}
        fraction = None
        if self.fraction is not None:
            fraction = [v if np.isfinite(v) else None for v in self.fraction]
        names = {k: getattr(self, k) for k in ("world", "variable", "region", "units")}
        return {**names, **numbers, "fraction": fraction}

    def _numbers(self) -> dict[str, float]:
        return {"truth": self.truth, "record": self.record}


@dataclass(frozen=True)
class Recovered:
    """What records give back of known trends.

    Parameters
    ----------
    asked : Recovery
    days : dict of str to int
        Compared, by world.
    trends : list of Trend
    fractions : dict
        By variable and world: DataArray on (lat, lon), one value a block; NaN where nothing is
        tested.
    """

    asked: Recovery
    days: dict[str, int]
    trends: list[Trend]
    fractions: dict[tuple[str, str], xr.DataArray]

    def observable(self, variable: str) -> xr.DataArray:
        """By the world in which the record gives back least: `OBSERVABLE`, `LOST`, `UNTESTED`."""
        several = [one for (name, _), one in self.fractions.items() if name == variable]
        least = np.fmin.reduce([one.values for one in several])
        codes = np.where(least >= self.asked.least, OBSERVABLE, LOST)
        return several[0].copy(data=np.where(np.isnan(least), UNTESTED, codes).astype(np.int8))

    def as_json(self) -> dict[str, Any]:
        """For machines: all but the maps."""
        shares = {}
        for variable in self.asked.variables:
            codes = self.observable(variable).values
            tested = codes != UNTESTED
            share = float((codes[tested] == OBSERVABLE).mean()) if tested.any() else None
            shares[variable] = share
        return {
            "simulated": True,
            "days": self.days,
            "least": self.asked.least,
            "share_of_tested_cells_observable": shares,
            "trends": [one.as_json() for one in self.trends],
        }


class _Sums(NamedTuple):
    """Of one variable over all days, each on (lat, lon): of times, and of both differences."""

    number: Floats
    time: Floats
    time2: Floats
    record: Floats
    time_record: Floats
    truth: Floats
    time_truth: Floats


def of(asked: Recovery, tell: Callable[[str], None] = lambda line: None) -> Recovered:
    """Compare the record of each world with that of the reference.

    Raises
    ------
    NothingInCommon
        FF752: too few days, or no cell, that all have.
    NotOurStore, UnknownName, ConfigError
    """
    reference = _Known.opened(asked.reference, asked.variables)
    nothing = {name: NOTHING * spread for name, spread in reference.spread().items()}
    regions = {n: r.holds(reference.latitude, reference.longitude) for n, r in REGIONS.items()}
    trends: list[Trend] = []
    fractions: dict[tuple[str, str], xr.DataArray] = {}
    days: dict[str, int] = {}
    for name, world in asked.worlds.items():
        tell(f"The world '{name}'.")
        known = _Known.opened(world, asked.variables, reference.truth)
        common = known.days(reference)
        days[name] = len(common)
        for variable, sums in _summed(known, reference, common).items():
            blocks = _Blocks.of(reference.latitude, reference.longitude, asked.block, sums)
            fractions[variable, name] = _map(blocks, nothing[variable], reference)
            trends += [
                Trend(
                    name,
                    variable,
                    region,
                    reference.units(variable),
                    *blocks.over(cells, nothing[variable]),
                )
                for region, cells in regions.items()
            ]
    return Recovered(asked, days, trends, fractions)


@dataclass(frozen=True)
class _Known:
    """Record and truth of a world, opened, on the record's grid."""

    record: xr.Dataset
    truth: xr.Dataset
    where: str
    variables: tuple[str, ...]

    @classmethod
    def opened(
        cls, world: World, variables: tuple[str, ...], others: xr.Dataset | None = None
    ) -> _Known:
        """With the truth of others, where the world has none of its own."""
        record, where = opened(world.place, world.dataset)
        truth = others if world.truth is None else opened(world.place, world.truth)[0]
        assert truth is not None
        for given in (record, truth):
            _check_variables(given, variables, where if given is record else str(world.truth))
        grid = {name: record[name] for name in ("lat", "lon")}
        return cls(record, truth.sel(grid, method="nearest", tolerance=0.01), where, variables)

    @property
    def latitude(self) -> Floats:
        return np.asarray(self.record["lat"].values, float)

    @property
    def longitude(self) -> Floats:
        return np.asarray(self.record["lon"].values, float)

    def days(self, reference: _Known) -> npt.NDArray[np.datetime64]:
        """Those that both worlds' records and truths have, far enough apart.

        Simulated truths have decades of days and values on a few: on these alone.
        """
        several = [_days(self.record), _days(reference.record), self.told, reference.told]
        common = several[0]
        for other in several[1:]:
            common = np.intersect1d(common, other)
        years = np.ptp(common.astype(float)) / 365.25 if common.size else 0.0
        if years < APART:
            raise NothingInCommon(
                f"{common.size} days of records and truths are the same, {years:.1f} years apart:"
                f" a trend needs {APART:g}.",
                where=self.where,
                mend="Simulate and run the same days of early and late years in all worlds.",
            )
        return common

    @cached_property
    def told(self) -> npt.NDArray[np.datetime64]:
        """Days on which the truth has values, as every tenth row and column tells."""
        some = self.truth[_stored(self.variables)[0]].isel(
            lat=slice(None, None, 10), lon=slice(None, None, 10)
        )
        there: npt.NDArray[np.bool_] = np.isfinite(some.values).any(axis=(1, 2))
        return _days(self.truth)[there]

    def spread(self) -> dict[str, float]:
        """Standard deviation of each variable over the truth's first day."""
        if not self.told.size:
            raise NothingInCommon(
                "the truth has no values.", where=self.where, mend="Simulate `--with truth`."
            )
        first = self.fields(self.truth, int(np.searchsorted(_days(self.truth), self.told[0])))
        return {name: float(np.nanstd(values)) for name, values in first.items()}

    def units(self, name: str) -> str:
        """Of a variable, or of the air's in a difference of sea and air."""
        return str(self.record[_NEEDED.get(name, (name,))[-1]].attrs.get("units", "1"))

    def fields(self, dataset: xr.Dataset, at: int) -> dict[str, Floats]:
        """All variables of a day, on (lat, lon); differences of sea and air made of their parts."""
        day = dataset[list(_stored(self.variables))].isel(time=at).load()
        return {name: _field(day, name) for name in self.variables}


def _check_variables(given: xr.Dataset, variables: tuple[str, ...], where: str) -> None:
    for name in _stored(variables):
        if name not in given:
            known = sorted(str(n) for n, v in given.data_vars.items() if v.dtype.kind == "f")
            raise NothingInCommon(
                f"there is no '{name}'.", where=where, mend=suggestion(name, known)
            )


def _stored(variables: tuple[str, ...]) -> tuple[str, ...]:
    """What must be in a dataset for some variables."""
    return tuple(dict.fromkeys(n for v in variables for n in _NEEDED.get(v, (v,))))


def _field(day: xr.Dataset, name: str) -> Floats:
    if name not in _NEEDED:
        return np.asarray(day[name].values, np.float64)
    sea, air = (np.asarray(day[part].values, np.float64) for part in _NEEDED[name])
    return np.asarray(
        (sea if name == sea_minus_air_temperature.name else sea_saturation(sea)) - air
    )


def _days(dataset: xr.Dataset) -> npt.NDArray[np.datetime64]:
    found: npt.NDArray[np.datetime64] = dataset["time"].values.astype("datetime64[D]")
    return found


def _summed(world: _Known, reference: _Known, days: npt.NDArray[np.datetime64]) -> dict[str, _Sums]:
    """One day after the other."""
    shape = (len(_Sums._fields), world.latitude.size, world.longitude.size)
    sums = {name: np.zeros(shape) for name in world.variables}
    middle = days.astype(float).mean()
    for day in days:
        decades = (float(day.astype(float)) - middle) / 3652.5
        parts = [
            known.fields(data, int(np.searchsorted(_days(data), day)))
            for known in (world, reference)
            for data in (known.record, known.truth)
        ]
        for name, total in sums.items():
            record, truth, its_record, its_truth = (one[name] for one in parts)
            apart, true = record - its_record, truth - its_truth
            there = np.isfinite(apart) & np.isfinite(true)
            apart, true = np.where(there, apart, 0.0), np.where(there, true, 0.0)
            for power in (0, 1, 2):
                total[power] += there * decades**power
            for place, one in ((3, apart), (5, true)):
                total[place] += one
                total[place + 1] += one * decades
    if not any(total[0].any() for total in sums.values()):
        raise NothingInCommon(
            f"no cell has a value in both records on any of {len(days)} days.",
            where=world.where,
            mend="Look at both records: `fluxforge status` tells which days were made.",
        )
    return {name: _Sums(*total) for name, total in sums.items()}


@dataclass(frozen=True)
class _Blocks:
    """Sums by cell, weighed by area, and the block that each cell is of."""

    sums: Floats
    number: npt.NDArray[np.intp]

    @classmethod
    def of(cls, latitude: Floats, longitude: Floats, degrees: int, sums: _Sums) -> _Blocks:
        area = np.cos(np.radians(latitude))[:, None]
        return cls(np.stack(sums) * area, blocks(latitude, longitude, degrees))

    def by_block(self, where: npt.NDArray[np.bool_] | None = None) -> Floats:
        """Sums, shape (7, block), of all cells or of some."""
        inside = np.ones(self.number.shape, bool) if where is None else where
        size = int(self.number.max()) + 1
        blocks = [np.bincount(self.number[inside], one[inside], size) for one in self.sums]
        return np.stack(blocks)

    def over(
        self, where: npt.NDArray[np.bool_], nothing: float
    ) -> tuple[float, float, Interval | None]:
        """Trends a decade of truth and record over some cells, and their ratio."""
        blocks = self.by_block(where)
        blocks = blocks[:, blocks[0] > 0]
        record, truth = _slopes(blocks.sum(axis=1))
        if not abs(truth) > nothing:
            return float(truth), float(record), None
        fraction = Interval(*map(float, interval(_fraction, blocks.T)))
        return float(truth), float(record), fraction


def _fraction(sums: Floats) -> Floats:
    """Trend of the record over that of the truth, from sums on the last axis."""
    record, truth = _slopes(np.moveaxis(sums, -1, 0))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(record / truth)


def _slopes(sums: Floats) -> tuple[Floats, Floats]:
    """Least squares of both differences on time, NaN where all is of one time."""
    number, time, time2, record, time_record, truth, time_truth = sums
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = time2 - time * time / number
        spread = np.where(spread > 1e-3 * number, spread, np.nan)
        return (
            (time_record - time * record / number) / spread,
            (time_truth - time * truth / number) / spread,
        )


def _map(blocks: _Blocks, nothing: float, grid: _Known) -> xr.DataArray:
    """Fraction of each block that its world's trend is large enough in, at all its cells."""
    import xarray as xr

    record, truth = _slopes(blocks.by_block())
    known = truth[np.isfinite(truth)]
    typical = float(np.sqrt(np.mean(known**2))) if known.size else 0.0
    tested = np.abs(truth) > max(SLIGHT * typical, nothing)
    with np.errstate(invalid="ignore", divide="ignore"):
        fraction = np.where(tested, record / truth, np.nan)
    values = np.where(blocks.sums[0] > 0, fraction[blocks.number], np.nan)
    return xr.DataArray(values, {n: grid.record[n] for n in ("lat", "lon")}, ("lat", "lon"))
