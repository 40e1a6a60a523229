"""Running the record's chains day by day: what comes out beside what is true and reported."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fluxengine.errors import ConfigError, UnknownName
from fluxengine.store import MARKER
from fluxrecipes import vocabulary as cf
from fluxrecipes.matchups import beside, by_month, matching
from fluxrecipes.matchups.matching import Matchups
from fluxrecipes.skill.chain import (
    BULK,
    SCORED,
    SST,
    TRUE,
    UNCORRECTED,
    WHOLE,
    Chain,
    Maps,
    Truth,
    arrays_of,
    chains_of,
)
from fluxrecipes.skill.chain_sample import ALL, COLUMNS, FILLED, IDEAL, KINDS, Codes, Sample
from fluxrecipes.skill.fields import CAUSES, VARIABLES, Passes, Run, opened, read, warmth
from fluxrecipes.skill.points import OCEAN, PLACES, SEEN, UNSEEN, chosen
from fluxrecipes.skill.scores import Key, Points, Sums, sums
from fluxrecipes.skill.settings import Chains, Validation
from fluxrecipes.skill.truth import FLUXES, WIND_ERROR, Simulated
from fluxrecipes.training.archive import Days, Part

if TYPE_CHECKING:
    import xarray as xr

    from fluxengine.declare import Arrays

Floats = npt.NDArray[np.floating[Any]]
Mask = npt.NDArray[np.bool_]
ByDay = dict[Key, dict[np.datetime64, Sums]]

_DAY = np.timedelta64(1, "D")


class Outcome(NamedTuple):
    """What a run of days gave.

    Parameters
    ----------
    budgets : dict of str to mapping
        By chain: sums over all cells by variable, kind of cell, and what was true.
    cells, reports : list of Sample
    seconds : dict of str to float
        Of a processor, by chain, the variants not counted.
    days : int
    """

    budgets: dict[str, ByDay]
    cells: list[Sample]
    reports: list[Sample]
    seconds: dict[str, float]
    days: int


class Source(NamedTuple):
    """Where passes, sea surface temperature and reports are read."""

    passes: Part
    warmth: Part

    @classmethod
    def opened(cls, asked: Validation) -> Source:
        """As `Validation.datasets` names them.

        Raises
        ------
        ConfigError
            FF201: none is named of sea surface temperature.
        """
        names, place = asked.datasets, asked.place
        if names.sst is None:
            raise ConfigError(
                "it needs sea surface temperature.", where="datasets", mend="Name `sst`."
            )
        return cls(opened(place, names.observed), warmth(place, names.sst))

    @property
    def days(self) -> Days:
        """Those that both have."""
        return np.intersect1d(self.passes.written(), self.warmth.written())

    def satellite(self, days: Days) -> Codes | None:
        """Which satellite saw each cell, (time, orbit, lat, lon); None: that is not stored."""
        if "satellite" not in self.passes.dataset:
            return None
        stored = self.passes.dataset["satellite"].sel(time=days.astype("datetime64[ns]"))
        stored = stored.transpose("time", "orbit", "lat", "lon")
        return matching.serving(np.nan_to_num(stored.values, nan=0.0).astype(np.uint8))


@dataclass(frozen=True, eq=False)
class _Day:
    """All that is known of one day, (orbit, lat, lon) each."""

    day: np.datetime64
    passes: Passes
    number: int
    satellite: Codes
    kind: npt.NDArray[np.int64]
    truth: Maps
    reports: xr.Dataset | None

    @property
    def weight(self) -> Floats:
        """Area of each cell, up to a factor."""
        area = np.cos(np.radians(self.passes.latitudes))[:, None]
        return np.broadcast_to(area, self.kind.shape)

    @classmethod
    def of(
        cls,
        passes: Passes,
        number: int,
        satellite: Codes | None,
        truth: Maps,
        reports: xr.Dataset | None,
    ) -> _Day:
        unknown = np.zeros(passes.hours.shape[1:], np.uint8)
        return cls(
            passes.days[number],
            passes,
            number,
            unknown if satellite is None else satellite[number],
            _kind(passes, number),
            truth,
            reports,
        )

    def masks(self, usable: Mask) -> dict[str, Mask]:
        """Usable cells by kind."""
        of_kind = {name: usable & (self.kind == number) for number, name in enumerate(KINDS)}
        return {ALL: usable, FILLED: usable & (self.kind != 0), **of_kind}


class _Filled(NamedTuple):
    """A chain with the days that its later stages look at, the one in question last.

    Parameters
    ----------
    chain : Chain
    last : mapping of str to DataArray
        What was filled.
    truth : mapping of str to float array, shape (time, orbit, lat, lon)
    """

    chain: Chain
    last: Arrays
    truth: Truth

    @classmethod
    def of(
        cls, chain: Chain, filled: Arrays, days: Mapping[int, int], truths: Mapping[int, Maps]
    ) -> _Filled:
        kept = list(days)[-1 - chain.history :]
        at = [days[day] for day in kept]
        truth = {name: np.stack([truths[day][name] for day in kept]) for name in TRUE}
        return cls(chain, {name: v.isel(time=at) for name, v in filled.items()}, truth)


def gathered(asked: Validation, run: Run) -> Outcome:
    """Run all chains on a run of days, and gather what is scored.

    Parameters
    ----------
    asked : Validation
        With `chain` and `truth`.
    run : Run
    """
    of, world = asked.chain, asked.truth
    assert of is not None and world is not None
    source = Source.opened(asked)
    passes = read(source.passes, run.days)
    satellite = source.satellite(run.days)
    chains = chains_of(of.all)
    history = max(chain.history for chain in chains)
    needed = sorted({d for t in run.targets for d in range(max(0, t - history), t + 1)})
    arrays = arrays_of(passes, source.warmth)
    seconds = {}
    filled: dict[str, Arrays] = {}
    for chain in chains:
        began = time.process_time()
        filled[chain.name] = chain.fill(arrays, needed)
        seconds[chain.name] = time.process_time() - began
    wanted = of.reports and has_reports(asked)
    reports = _reports(asked, run.days[list(run.targets)]) if wanted else None
    made = Outcome({chain.name: {} for chain in chains}, [], [], seconds, len(run.targets))
    truths: dict[int, Maps] = {}
    referee = Simulated(world.seed, world.world)
    for target in run.targets:
        window = [day for day in needed if target - history <= day <= target]
        truths = {d: truths.get(d) or _truth(referee, passes, d, satellite) for d in window}
        today = _Day.of(passes, target, satellite, truths[target], reports)
        days = {day: needed.index(day) for day in window}
        runs = [_Filled.of(chain, filled[chain.name], days, truths) for chain in chains]
        _gather(made, today, runs, of)
    return made


def _truth(referee: Simulated, passes: Passes, day: int, satellite: Codes | None) -> Maps:
    """`TRUE` of a day, (orbit, lat, lon), and what satellites add to the wind where it is known."""
    where = np.ones((1, *passes.hours.shape[1:]), bool)
    if satellite is None:
        found = referee.at(passes, (day,), where, TRUE)
    else:
        names = (*TRUE, WIND_ERROR)
        found = referee.at(passes, (day,), where, names, satellite[day : day + 1])
    return {name: values[0].astype(np.float32) for name, values in found.items()}


def _kind(passes: Passes, day: int) -> npt.NDArray[np.int64]:
    """Which of `KINDS` each cell is of, by the worst that befell wind or vapour."""
    states = np.stack([passes.states[name][day] for name in VARIABLES[:2]])
    kind = np.full(states.shape[1:], -1, np.int64)
    kind[(states == cf.OBSERVED).all(axis=0)] = 0
    for number, code in reversed(list(enumerate(CAUSES.values(), 1))):
        kind[(states == code).any(axis=0)] = number
    return kind


def _gather(made: Outcome, today: _Day, runs: Sequence[_Filled], of: Chains) -> None:
    """Run all chains on one day; add what they give to the outcome."""
    found: dict[str, dict[str, Maps]] = {}
    whole: dict[str, Maps] = {}
    for one in runs:
        began = time.process_time()
        maps = one.chain.finish(one.last)
        made.seconds[one.chain.name] += time.process_time() - began
        found[one.chain.name] = {WHOLE: maps}
        whole[one.chain.name] = _columns(maps) | _ideal(one, today, maps)
        if of.budget:
            bulk = {flux: maps[name] for flux, name in BULK.items()} if one.chain.corrects else {}
            found[one.chain.name] |= {UNCORRECTED: maps | bulk} if bulk else {}
            found[one.chain.name] |= one.chain.variants(one.last, one.truth)
    known = [today.truth[name] for name in SCORED]
    known += [maps[name] for by in found.values() for maps in by.values() for name in SCORED]
    usable = np.logical_and.reduce([np.isfinite(one) for one in known])
    for name, by in found.items():
        _add_up(made.budgets[name], today, by, usable)
    rng = np.random.default_rng((of.seed, int(today.day.astype(int))))
    some = chosen(usable, today.passes.latitudes, of.points, rng)
    first = found[runs[0].chain.name][WHOLE]
    made.cells.append(_sample(today, first[VARIABLES[0]], whole, np.nonzero(some)))
    if today.reports is not None:
        state = first[cf.flux_state.name].astype(np.uint8)
        matched, withheld = _matched(today, state, today.reports, opens=of.stations)
        at = usable[matched.orbit, matched.row, matched.column]
        made.reports.append(
            _of_reports(today, first[VARIABLES[0]], whole, matched.at(at), withheld[at])
        )


def _ideal(one: _Filled, today: _Day, maps: Maps) -> Maps:
    """Fluxes as they were with the correctable error gone, where there is a correction."""
    if not one.chain.corrects or WIND_ERROR not in today.truth:
        return {}
    ideal = one.chain.without(today.truth[WIND_ERROR], one.last, maps)
    return {IDEAL[flux]: ideal[flux] for flux in FLUXES}


def _columns(maps: Maps) -> Maps:
    nothing = np.full(maps[SST].shape, np.nan, np.float32)
    return {name: maps.get(name, nothing) for name in COLUMNS}


def _add_up(to: ByDay, today: _Day, by: Mapping[str, Maps], usable: Mask) -> None:
    """Sums over all cells of a day, by variable, kind of cell, and what was true."""
    masks, weight = today.masks(usable), today.weight
    for variable in SCORED:
        truth = today.truth[variable]
        for kind, at in masks.items():
            for name, maps in by.items():
                points = Points(maps[variable][at], truth[at], weight[at])
                to.setdefault((variable, kind, name), {})[today.day] = sums(points)


def _sample(
    today: _Day, wind: Floats, whole: Mapping[str, Maps], at: tuple[npt.NDArray[Any], ...]
) -> Sample:
    """Cells of a day."""
    truth = {name: today.truth[name][at] for name in SCORED}
    return Sample(
        np.full(len(at[0]), today.day),
        today.passes.latitudes[at[1]],
        wind[at],
        today.satellite[at],
        today.kind[at],
        np.full(len(at[0]), PLACES.index(OCEAN)),
        truth,
        truth,
        {name: {n: maps[n][at] for n in COLUMNS} for name, maps in whole.items()},
    )


def _of_reports(
    today: _Day, wind: Floats, whole: Mapping[str, Maps], matched: Matchups, withheld: Mask
) -> Sample:
    """The cells of matchups, each scored against its report."""
    cells = _sample(today, wind, whole, (matched.orbit, matched.row, matched.column))
    place = np.where(withheld, PLACES.index(UNSEEN), PLACES.index(SEEN))
    reference = {name: getattr(matched, name) for name in SCORED}
    changed = {"place": place, "reference": reference}
    return Sample(**{f.name: getattr(cells, f.name) for f in fields(cells)} | changed)


def _matched(
    today: _Day, state: Codes, reports: xr.Dataset, *, opens: bool
) -> tuple[Matchups, Mask]:
    """Reports about the passes of a day, each once, and which are of withheld stations.

    These are there only where they are opened, under whatever number they come.
    """
    noon = today.day.astype("datetime64[ns]") + np.timedelta64(12, "h")
    near = np.abs(reports["time"].values - noon) <= np.timedelta64(36, "h")
    passes = today.passes
    seen = matching.Passes(
        np.array([today.day]),
        float(passes.latitudes[0]) - 0.5,
        float(passes.longitudes[0]) - 0.5,
        passes.hours[today.number][None],
        state[None],
        today.satellite[None],
    )
    found = matching.match(reports.isel(report=np.flatnonzero(near)), seen)
    withheld = beside.reported_by(found, matching.WITHHELD)
    kept = ~beside.duplicates(found) & (opens | ~withheld)
    return found.at(kept), withheld[kept]


def has_reports(asked: Validation) -> bool:
    """Whether the store has the table of reports, whatever is in it."""
    if (asked.place / MARKER).read() is None:
        return False
    try:
        by_month.reports_of(asked.place, "1900-01")  # none of that month is an answer, too
    except UnknownName:
        return False
    return True


def _reports(asked: Validation, days: Days) -> xr.Dataset | None:
    """Reports of the months of some days and of their neighbours; None where there are none."""
    import xarray as xr

    months = np.unique(np.concatenate([days - _DAY, days, days + _DAY]).astype("M8[M]"))
    found = (by_month.reports_of(asked.place, str(month)) for month in months)
    there = [_of_each_report(one) for one in found if one is not None]
    return (
        xr.concat(there, "report", data_vars="minimal", coords="minimal", compat="equals")
        if there
        else None
    )


def _of_each_report(month: xr.Dataset) -> xr.Dataset:
    """Without what is told of files, of which each month has its own."""
    return month[[name for name, values in month.items() if values.dims == ("report",)]]
