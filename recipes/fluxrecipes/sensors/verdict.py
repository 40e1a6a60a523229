"""The verdict: each thing that a sensor must show, what was measured, and whether it holds.

A check holds where the whole 95 % interval lies within its limit, and fails where all of it lies
beyond. Between them it is open: what there is does not tell.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fluxkernels.stats.agreement import Interval
from fluxrecipes.sensors import overlap, seams, stations
from fluxrecipes.sensors.overlap import GLOBAL, PLACES, Overlap
from fluxrecipes.sensors.seams import Entry, Seams
from fluxrecipes.sensors.settings import VARIABLES, Thresholds
from fluxrecipes.sensors.stations import LATENT, WIND, Met

NOTHING = Interval(np.nan, np.nan, np.nan)
HOLDS, FAILS, OPEN = "holds", "fails", "open"
FIT, UNFIT, UNDECIDED = "fit", "not fit", "undecided"
UNITS = {"wind_speed": "m/s", "water_vapour": "mm", "cloud_liquid_water": "mm", "rain_rate": "mm/h"}


@dataclass(frozen=True)
class Check:
    """One thing that a sensor must show.

    Parameters
    ----------
    what, variable : str
    units : str
    measured : Interval
        NaN where there is nothing to measure it by.
    low, high : float
        Between which it must lie.
    note : str
    """

    what: str
    variable: str
    units: str
    measured: Interval
    low: float
    high: float
    note: str = ""

    @property
    def result(self) -> str:
        """Whether it holds, fails or is open."""
        _, lowest, highest = self.measured  # not finite, nothing is known of what chance did
        if self.low <= lowest and highest <= self.high:
            return HOLDS
        return FAILS if highest < self.low or lowest > self.high else OPEN

    def as_json(self) -> dict[str, Any]:
        """For machines; None where there is no number."""
        names = ("value", "low", "high")
        numbers = {n: _plain(v) for n, v in zip(names, self.measured, strict=True)}
        told = {"what": self.what, "variable": self.variable, "units": self.units}
        limits = {"at_least": _plain(self.low), "at_most": _plain(self.high)}
        return {**told, **numbers, **limits, "result": self.result, "note": self.note}


def _plain(value: float) -> float | None:
    return round(float(value), 6) if np.isfinite(value) else None


def verdict(checks: list[Check]) -> str:
    """Fit where all holds, not fit where anything fails; else it is undecided."""
    results = {check.result for check in checks}
    if FAILS in results:
        return UNFIT
    return UNDECIDED if OPEN in results else FIT


def checks(
    found: Overlap,
    jumps: Seams | None,
    enters: Entry | None,
    beside: tuple[Met, Met] | None,
    asked: Thresholds,
) -> list[Check]:
    """All that a sensor must show, in the order in which it is told."""
    return [
        _seasons(found, asked),
        *_of_overlap(found, asked),
        *_of_seams(jumps, enters, asked),
        *_of_stations(beside, asked),
    ]


def _seasons(found: Overlap, asked: Thresholds) -> Check:
    seasons = found.seasons(asked.block)
    seen = float(len(seasons))
    note = f"{', '.join(seasons) or 'none'} in {len(found.days)} days"
    return Check("seasons seen", "", "", Interval(seen, seen, seen), asked.seasons, 4, note)


def _of_overlap(found: Overlap, asked: Thresholds) -> Iterator[Check]:
    for name in VARIABLES:
        limits, units, block = asked.of(name), UNITS[name], asked.block
        cycle = overlap.daily_cycle(found, name, block)
        note = f"passes differ by ±{abs(cycle.value):.2g} from it: daily cycle or sensor"
        yield _within("bias", name, units, overlap.bias(found, name, block), limits.bias, note)
        regions = {r: overlap.bias(found, name, block, r) for r in PLACES if r != GLOBAL}
        seasons = {s: overlap.bias(found, name, block, season=s) for s in found.seasons(block)}
        for what, several in (("region", regions), ("season", seasons or {"": NOTHING})):
            yield _worst(
                [
                    _within(f"bias, worst {what}", name, units, one, limits.regional, place)
                    for place, one in several.items()
                ]
            )
        drift = overlap.drift(found, name, block)
        yield _within("drift", name, f"{units} a year", drift, limits.drift)
        told = overlap.agreement_in(found, name, block)
        spread = f"σ of differences {told.centred.value:.2g} {units}"
        note, edges = (
            f"r {told.correlation.value:.3f}, {spread}",
            (1 - asked.spread, 1 + asked.spread),
        )
        ratio = overlap.spread_ratio(found, name, block)
        yield Check("ratio of spreads", name, "", ratio, *edges, note)


def _within(
    what: str, name: str, units: str, found: Interval, limit: float, note: str = ""
) -> Check:
    return Check(what, name, units, found, -limit, limit, note)


def _worst(several: list[Check]) -> Check:
    """One that fails, else one that is open, else whose interval reaches furthest from 0."""
    known = [one for one in several if np.isfinite(one.measured.value)]
    if not known:
        return replace(several[0], note="nowhere enough pairs")
    order = (HOLDS, OPEN, FAILS)
    worst = max(known, key=lambda c: (order.index(c.result), np.nanmax(np.abs(c.measured))))
    silent = ", ".join(one.note for one in several if np.isnan(one.measured.value))
    return replace(worst, note=f"{worst.note}; no pairs in {silent}") if silent else worst


def _of_seams(jumps: Seams | None, enters: Entry | None, asked: Thresholds) -> Iterator[Check]:
    for name in VARIABLES:
        ratio, note = NOTHING, "no merged record with this sensor and the reference"
        if jumps is not None:
            ratio = seams.ratio(jumps, name, asked.block)
            note = f"{seams.number(jumps, name):,} pairs of cells at edges of swaths"
        yield Check("jump at seams", name, "", ratio, 0.0, asked.seam_ratio, note)
        own = NOTHING if enters is None else enters.own[name]
        note = "" if enters is None else f"enters {enters.first}, {enters.days_before} days before"
        yield _within("step on entering", name, UNITS[name], own, asked.of(name).bias, note)


def _of_stations(beside: tuple[Met, Met] | None, asked: Thresholds) -> Iterator[Check]:
    apart = NOTHING if beside is None else stations.difference(*beside, WIND)
    note = "too few reports, or no table of them" if beside is None else _hours(beside)
    yield _within("difference at stations", WIND, "m/s", apart, asked.stations_wind, note)
    for name in (WIND, LATENT):
        ratio = NOTHING if beside is None else stations.ratio(*beside, name)
        note = "" if beside is None else _errors(beside, name)
        yield Check("error at stations, ratio", name, "", ratio, 0.0, asked.stations_ratio, note)


def _hours(beside: tuple[Met, Met]) -> str:
    """What the hours between the passes make, by the reports themselves."""
    cycle = stations.daily_cycle(*beside, WIND)
    between = f"{cycle.low:+.2f} to {cycle.high:+.2f}"
    return f"reports of both hours differ by {cycle.value:+.2f} ({between})"


def _errors(beside: tuple[Met, Met], name: str) -> str:
    units = stations.COMPARED[name][0]
    ours, theirs = (one.agreement(name) for one in beside)
    return (
        f"RMSE {ours.rmse.value:.2f} and {theirs.rmse.value:.2f} {units}, {ours.clusters} stations"
    )
