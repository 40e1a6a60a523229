"""Assessing a sensor of a store: which data, which reference, all measures, the verdict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fluxengine.config import Period
from fluxengine.errors import ConfigError, UnknownName
from fluxengine.place import Place
from fluxengine.store import Store, open_dataset
from fluxrecipes.constellation import CODES, RECORD
from fluxrecipes.matchups.by_month import MERGED, TABLE, months_of
from fluxrecipes.matchups.use import world_of_reports
from fluxrecipes.sensors import overlap, seams, stations, verdict
from fluxrecipes.sensors.overlap import PLACES, Overlap
from fluxrecipes.sensors.seams import CHOSEN, Entry, Seams
from fluxrecipes.sensors.settings import VARIABLES, Thresholds
from fluxrecipes.sensors.stations import COMPARED, Met
from fluxrecipes.sensors.verdict import Check
from fluxrecipes.skill import protocol
from fluxrecipes.sources.passes import ORBITS
from fluxrecipes.stored import simulated_world, world_of_all

if TYPE_CHECKING:
    import xarray as xr

    from fluxengine.show import Bars

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Asked:
    """What is to be assessed.

    Parameters
    ----------
    location : Place
        Of the store.
    sensor : str
        The new one.
    beside : str
        The reference; empty for the one that shares most days.
    sensors : tuple of str
        Among which a reference is looked for.
    period : Period or None
        None for all days.
    thresholds : Thresholds
    held_out : bool
        Withheld stations in the place of the others, and the test year too.
    purpose : str
        What for.
    """

    location: Place
    sensor: str
    beside: str
    sensors: tuple[str, ...]
    period: Period | None
    thresholds: Thresholds
    held_out: bool = False
    purpose: str = ""


@dataclass(frozen=True)
class Assessed:
    """What was found.

    Parameters
    ----------
    asked : Asked
    beside : str
        The reference.
    simulated : str
        Of which simulated world the passes and reports are; empty where all are real.
    overlap : Overlap
    jumps : Seams or None
        None without a merged record of both.
    enters : Entry or None
    met : (Met, Met) or None
        Reports beside the new sensor and the reference.
    checks : list of Check
    opened_before : int or None
        How often held-out data were looked at before; None where they were not.
    """

    asked: Asked
    beside: str
    simulated: str
    overlap: Overlap
    jumps: Seams | None
    enters: Entry | None
    met: tuple[Met, Met] | None
    checks: list[Check]
    opened_before: int | None

    @property
    def verdict(self) -> str:
        """In words."""
        return verdict.verdict(self.checks)

    @property
    def world(self) -> str:
        """Whether passes and reports are real, or of which world."""
        return f"measured here, {self.mark}"

    @property
    def mark(self) -> str:
        """The same in few words."""
        return f"SIMULATED world ({self.simulated})" if self.simulated else "real"

    @property
    def stations(self) -> str:
        """Which stations the reports are of."""
        return "withheld stations" if self.asked.held_out else "stations that are not withheld"

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        found, block = self.overlap, self.asked.thresholds.block
        return {
            "sensor": self.asked.sensor,
            "beside": self.beside,
            "simulated": self.simulated or None,
            "verdict": self.verdict,
            "checks": [one.as_json() for one in self.checks],
            "days": len(found.days),
            "first": str(found.days[0]),
            "last": str(found.days[-1]),
            "local_times": found.local_times.round(2).tolist(),
            "differences": {n: _differences(found, n, block) for n in VARIABLES},
            "merging": None if self.jumps is None else _merging(self.jumps, self.enters, block),
            "stations": None if self.met is None else _of_stations(*self.met),
            "which_stations": self.stations,
            "opened_before": self.opened_before,
            "thresholds": self.asked.thresholds.model_dump(),
        }


def of(asked: Asked, progress: Bars) -> Assessed:
    """Assess a sensor.

    Raises
    ------
    UnknownName
        FF102: there are no passes of the sensor, or of no other one.
    TooLittleOverlap
        FF761: both share too few days.
    ConfigError
        FF201: held-out data without a purpose, or a sensor beside itself.
    NotOurStore
    """
    store, limits, before = Store.at(asked.location), asked.thresholds, None
    ours = _passes(store, asked.sensor, asked)
    if asked.held_out:
        what = f"sensor {asked.sensor}: withheld stations and the test year"
        before = protocol.opened(asked.location, protocol.Opening(what, asked.purpose, {}))
    beside, days = _reference(store, asked, ours)
    overlap.check(days, limits.days, f"{asked.sensor} and {beside} in {store.root}")
    theirs, tell = _passes(store, beside, asked), _counting(progress, len(days))
    found = overlap.of_datasets(ours, theirs, days, limits.hours, tell("passes"))
    jumps, enters = None, None
    merged, codes = _merged(store, asked, beside)
    if merged is not None:
        jumps = seams.of_datasets(ours, theirs, merged, codes, days, tell("seams"))
        enters = seams.entry(ours, theirs, merged, codes[0], days, limits.block, tell("entering"))
    met = _met(store, asked, (ours, theirs), days, progress)
    told = verdict.checks(found, jumps, enters, met, limits)
    worlds = {asked.sensor: simulated_world(ours), beside: simulated_world(theirs)}
    if met is not None:
        worlds["reports"] = world_of_reports(asked.location, _months(days))
    world = world_of_all(worlds)
    return Assessed(asked, beside, world, found, jumps, enters, met, told, before)


def _months(days: Array) -> list[str]:
    return months_of(days[0].item(), days[-1].item())


def _counting(progress: Bars, days: int) -> Callable[[str], Callable[[int], None]]:
    def of_step(name: str) -> Callable[[int], None]:
        progress.begin(name, days)
        return lambda done: progress.advance(name, done)

    return of_step


def _passes(store: Store, sensor: str, asked: Asked) -> xr.Dataset:
    """Passes of one satellite on the grid of the record, on the days that count."""
    name = f"deepflux-{sensor}"
    if not store.has(name):
        known = [n.removeprefix("deepflux-") for n in store.names if _is_sensor(n)]
        raise UnknownName(
            f"there are no passes of '{sensor}'.",
            where=str(store.root),
            mend=f"It has those of {', '.join(known) or 'none'}; `fluxforge run` of deepflux-merged"
            f" with `options: {{sensors: [..., {sensor}]}}` brings them.",
        )
    return _counted(open_dataset(store.root, name), asked)


def _is_sensor(dataset: str) -> bool:
    return dataset.startswith("deepflux-") and dataset.removeprefix("deepflux-") in CODES


def _reference(store: Store, asked: Asked, ours: xr.Dataset) -> tuple[str, Array]:
    """The reference and the days that both have, the test year left out unless it is asked for."""
    if asked.beside == asked.sensor:
        what = f"{asked.sensor} beside itself shows nothing."
        raise ConfigError(what, where="--beside", mend="Name another sensor.")
    own = overlap.days_of(ours)
    names = (asked.beside,) if asked.beside else _candidates(store, asked)
    shared = {n: np.intersect1d(own, overlap.days_of(_passes(store, n, asked))) for n in names}
    if not shared:
        raise UnknownName(
            f"there is no other sensor to compare {asked.sensor} with.",
            where=str(store.root),
            mend="Run deepflux-merged with one of the record beside it.",
        )
    return max(shared.items(), key=lambda pair: len(pair[1]))


def _candidates(store: Store, asked: Asked) -> tuple[str, ...]:
    names = dict.fromkeys((*asked.sensors, *RECORD, *CODES))
    return tuple(n for n in names if n != asked.sensor and store.has(f"deepflux-{n}"))


def _counted(passes: xr.Dataset, asked: Asked) -> xr.Dataset:
    """Days of the period; of the test year nothing is read unless it is asked for."""
    days = passes["time"].values.astype("M8[D]")

    def within(period: Period) -> Array:
        first, last = np.datetime64(period.first), np.datetime64(period.last)
        inside: Array = (days >= first) & (days <= last)
        return inside

    fine = np.ones(len(days), bool) if asked.period is None else within(asked.period)
    if not asked.held_out:
        fine = fine & ~within(protocol.TEST_YEAR)
    return passes.isel(time=np.flatnonzero(fine))


def _merged(store: Store, asked: Asked, beside: str) -> tuple[xr.Dataset | None, tuple[int, int]]:
    """The merged record with the codes of both sensors; none where it lacks one of them."""
    if not store.has(MERGED):
        return None, (0, 0)
    merged = open_dataset(store.root, MERGED)
    flags = merged["satellite"].attrs
    named = dict(zip(str(flags["flag_meanings"]).split(), flags["flag_values"], strict=True))
    words = [name.replace("-", "_") for name in (asked.sensor, beside)]
    if not set(words) <= set(named):
        return None, (0, 0)
    return _counted(merged, asked), (int(named[words[0]]), int(named[words[1]]))


def _met(
    store: Store, asked: Asked, both: tuple[xr.Dataset, xr.Dataset], days: Array, progress: Bars
) -> tuple[Met, Met] | None:
    """Reports beside both sensors; None without the table, or with too few."""
    if not store.has(TABLE):
        return None
    progress.begin("reports", 2 * len(_months(days)))
    found = [
        stations.met(
            store.root,
            one,
            days,
            held_out=asked.held_out,
            tell=lambda n: progress.advance("reports", n),
        )
        for one in both
    ]
    return None if found[0] is None or found[1] is None else (found[0], found[1])


# --- for machines --------------------------------------------------------------------------------


def _numbers(value: Any) -> Any:
    """Intervals and agreements as plain values, None where there is no number."""
    if hasattr(value, "_asdict"):
        return {name: _numbers(one) for name, one in value._asdict().items()}
    if isinstance(value, float):
        return round(value, 6) if np.isfinite(value) else None
    return value


def _differences(found: Overlap, name: str, block: int) -> dict[str, Any]:
    told = {
        "whole": overlap.agreement_in(found, name, block),
        **{o: overlap.agreement_in(found, name, block, orbit=n) for n, o in enumerate(ORBITS)},
        "daily_cycle_or_passes": overlap.daily_cycle(found, name, block),
        "drift_per_year": overlap.drift(found, name, block),
    }
    places = {place: _seasons_of(found, name, block, place) for place in PLACES}
    return {key: _numbers(one) for key, one in told.items()} | {"regions": places}


def _seasons_of(found: Overlap, name: str, block: int, place: str) -> dict[str, Any]:
    kinds = {"all": None} | {season: season for season in found.seasons(block)}
    biases = {k: overlap.bias(found, name, block, place, season) for k, season in kinds.items()}
    return {kind: _numbers(one) for kind, one in biases.items()}


def _merging(jumps: Seams, enters: Entry | None, block: int) -> dict[str, Any]:
    """What merging does beside the sensor: told, and not judged."""
    return {
        name: {
            "pairs_at_edges": seams.number(jumps, name),
            "pairs_chosen_by_weather": seams.number(jumps, name, CHOSEN),
            "jump_where_chosen": _numbers(seams.ratio(jumps, name, block, CHOSEN)),
            "jump_within_swath": _numbers(seams.ratio_within(jumps, name, block)),
            "step_with_choice": None if enters is None else _numbers(enters.whole[name]),
        }
        for name in VARIABLES
    }


def _of_stations(ours: Met, theirs: Met) -> dict[str, Any]:
    return {
        name: {
            "units": COMPARED[name][0],
            "sensor": _numbers(ours.agreement(name)),
            "reference": _numbers(theirs.agreement(name)),
            "difference": _numbers(stations.difference(ours, theirs, name)),
            "of_the_hours": _numbers(stations.daily_cycle(ours, theirs, name)),
        }
        for name in COMPARED
    }
