"""Scoring of gap filling: all methods on the same cells, by what caused the gap."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fluxengine.errors import ConfigError
from fluxengine.place import Place
from fluxkernels.stats.samples import ALL, common_sample
from fluxrecipes.processes import pool
from fluxrecipes.skill import fields, layers
from fluxrecipes.skill.fields import RAIN, Passes, Run, occurrence
from fluxrecipes.skill.fillers import (
    ByPatterns,
    Estimate,
    Filler,
    InTime,
    Normals,
    learn_patterns,
)
from fluxrecipes.skill.interpolation import ByInterpolation, fit_covariances, tuned
from fluxrecipes.skill.layers import OFFSETS, Layer, Normal
from fluxrecipes.skill.network import Warmth, networks_of
from fluxrecipes.skill.scores import Key, Points, Score, Sums, joined, scores, sums
from fluxrecipes.skill.settings import Gaps, Method, Validation
from fluxrecipes.skill.truth import Hidden, Question, Referee, Simulated
from fluxrecipes.training.archive import Days, Part

Floats = npt.NDArray[np.floating[Any]]
Mask = npt.NDArray[np.bool_]

TO_BEAT = "oi-"  # beginning of the names of the methods that others are divided by
STRETCH = 10  # days of a piece of the training period
MARGIN = 6  # days around each scored one: what the longest window looks back
PIECE = 30  # days read at once for the climatology


@dataclass(frozen=True)
class Judged:
    """What came of scoring gap filling.

    Parameters
    ----------
    scores : list of Score
    cells : dict of str to dict of str to int
        Gaps scored by variable and cause.
    seconds : dict of str to float
        Of a processor, by method, for each day scored (both passes, all variables).
    fitting : dict of str to float
        Seconds of a processor that fitting took.
    against : str
    """

    scores: list[Score]
    cells: dict[str, dict[str, int]]
    seconds: dict[str, float]
    fitting: dict[str, float]
    against: str

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "against": self.against,
            "cells": self.cells,
            "cpu_seconds_a_day": {n: round(s, 3) for n, s in self.seconds.items()},
            "cpu_seconds_of_fitting": {n: round(s, 1) for n, s in self.fitting.items()},
            "scores": [score.as_json() for score in self.scores],
        }


class _Job(NamedTuple):
    """One run of days for one process."""

    location: Place
    dataset: str
    run: Run
    fillers: tuple[Filler, ...]
    referee: Referee
    names: tuple[str, ...]
    above: float


class Outcome(NamedTuple):
    """What a run of days gave."""

    gathered: dict[Key, dict[np.datetime64, Sums]]
    seconds: dict[str, float]
    days: int


def judge(asked: Validation) -> Judged:
    """Fit the baselines, fill with all methods, and score them.

    Parameters
    ----------
    asked : Validation
        With `gaps`.

    Raises
    ------
    ConfigError, NoValue, SampleError
        Where the data lack what is asked for.
    """
    gaps = asked.gaps
    assert gaps is not None
    names = gaps.variables
    part = fields.opened(asked.place, asked.datasets.observed)
    written = part.written()
    referee: Referee = Simulated(asked.truth.seed, asked.truth.world) if asked.truth else Hidden()
    runs = fields.runs(written, asked.score, every=asked.every, margin=MARGIN)
    days = np.unique(np.concatenate([run.days for run in runs]))
    nets = networks_of(gaps.weights, _warmth(asked, days))  # refused before minutes of fitting
    watch = Stopwatch()
    fillers = (*fitted(part, asked, gaps, watch), *nets)
    jobs = [
        _Job(asked.place, asked.datasets.observed, run, fillers, referee, names, gaps.rains_above)
        for run in runs
    ]
    outcomes = list(_done(jobs, asked.processes))
    gathered = joined(one.gathered for one in outcomes)
    return Judged(
        scores(gathered, TO_BEAT, alike={one.name: one.alike for one in nets}),
        _cells(gathered),
        _seconds(outcomes),
        watch.spent,
        "simulated truth" if asked.truth else "observed cells that were hidden",
    )


class Stopwatch:
    """Seconds of the processor, by what they were spent on."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}
        self._last = time.process_time()

    def lap(self, name: str) -> None:
        """All since the last lap was spent on this."""
        now = time.process_time()
        self.spent[name] = self.spent.get(name, 0.0) + now - self._last
        self._last = now


def fitted(part: Part, asked: Validation, gaps: Gaps, watch: Stopwatch) -> tuple[Filler, ...]:
    """The baselines asked for, fitted on the training period alone.

    Raises
    ------
    ConfigError
        FF201: no day of it was written, or too few one after another.
    SampleError
        FK115: on none of them was there a value.
    """
    written = part.written()
    _check_fit(written, asked)
    pieces = (
        fields.read(part, days[k : k + PIECE])
        for period in fields.disjoint(asked.fit)
        for days in fields.pieces(fields.within(written, period))
        for k in range(0, days.size, PIECE)
    )
    above = gaps.rains_above
    normals = layers.normals(pieces, layers.layers_of(gaps.variables), above)
    watch.lap("climatology")
    stretches: list[Passes] = []
    if any(one.startswith((TO_BEAT, "dineof")) for one in gaps.methods):
        chosen = fields.sampled(written, asked.fit, length=STRETCH, count=gaps.stretches)
        stretches = [fields.read(part, one.days) for one in chosen]
        watch.lap("reading")
    return tuple(_fitted(one, normals, stretches, above, watch) for one in gaps.methods)


def _check_fit(written: Days, asked: Validation) -> None:
    if not fields.days_of(written, asked.fit).size:
        told = ", ".join(f"{one.first} to {one.last}" for one in asked.fit)
        raise ConfigError(
            f"no day of {told} was written: there is nothing to fit the baselines on.",
            where="fit",
            mend="Name days that the store has, or run these first.",
        )


def _fitted(
    method: Method,
    normals: Mapping[Layer, Normal],
    stretches: Sequence[Passes],
    above: float,
    watch: Stopwatch,
) -> Filler:
    if method == "climatology":
        return Normals(normals, above)
    if method == "temporal":
        return InTime(normals, above)
    if method == "dineof":
        patterns = learn_patterns(stretches, normals, above)
        watch.lap(method)
        return ByPatterns(normals, above, patterns)
    preset: Any = method.removeprefix(TO_BEAT)
    covariances = fit_covariances(stretches, normals, above, preset)
    made = tuned(ByInterpolation(normals, above, preset, covariances), stretches)
    watch.lap(method)
    return made


def _warmth(asked: Validation, days: Days) -> Warmth | None:
    name = asked.datasets.sst
    if name is None or not (asked.gaps and asked.gaps.weights):
        return None
    return Warmth.stored(fields.warmth(asked.place, name), days)


def _done(jobs: Sequence[_Job], processes: int) -> Iterator[Outcome]:
    if processes == 1:
        yield from map(_of_run, jobs)
        return
    with pool(processes) as workers:
        yield from workers.map(_of_run, jobs)


def _of_run(job: _Job) -> Outcome:
    passes = fields.read(fields.opened(job.location, job.dataset), job.run.days)
    return score_run(passes, job.run.targets, job.fillers, job.referee, job.names, job.above)


def score_run(
    passes: Passes,
    targets: tuple[int, ...],
    fillers: Sequence[Filler],
    referee: Referee,
    names: tuple[str, ...],
    above: float,
) -> Outcome:
    """Fill some days of a run with all methods, and sum up their errors.

    Parameters
    ----------
    passes : Passes
    targets : tuple of int
        Days that are scored.
    fillers : sequence of Filler
    referee : Referee
        Who knows what was there.
    names : tuple of str
        Variables scored.
    above : float
        Rain rate from which on it rains, mm h-1.
    """
    question = referee.ask(passes, targets, names)
    wanted = {
        name: np.logical_or.reduce(list(question.causes[name].values()))
        & np.isfinite(question.truth[name])
        for name in names
    }
    estimates: dict[str, dict[str, Estimate]] = {}
    seconds: dict[str, float] = {}
    for filler in fillers:
        began = time.process_time()
        estimates[filler.name] = filler.fill(question.given, targets, wanted)
        seconds[filler.name] = time.process_time() - began
    gathered: dict[Key, dict[np.datetime64, Sums]] = {}
    for name in names:
        found = {m: made[name] for m, made in estimates.items() if name in made}
        for place, day in enumerate(passes.days[list(targets)]):
            for cause, method, sample in _day(name, place, found, question, passes, above):
                gathered.setdefault((name, cause, method), {})[day] = sums(sample)
    return Outcome(gathered, seconds, len(targets))


def _day(
    name: str,
    place: int,
    found: Mapping[str, Estimate],
    question: Question,
    passes: Passes,
    above: float,
) -> Iterator[tuple[str, str, Points]]:
    """Samples of one variable of one day, for each cause and method."""
    truth = question.truth[name][place]
    weight = np.broadcast_to(np.cos(np.radians(passes.latitudes))[:, None], truth.shape)
    parts = {
        method: {n: x[place] for n, x in one._asdict().items() if x is not None}
        for method, one in found.items()
    }
    usable = common_sample(truth, {method: list(p.values()) for method, p in parts.items()})
    causes = {cause: masks[place] for cause, masks in question.causes[name].items()}
    samples = causes | {ALL: np.logical_or.reduce(list(causes.values()))}
    for cause, mask in samples.items():
        at = mask & usable
        for method, one in parts.items():
            yield cause, method, _points(name, {n: x[at] for n, x in one.items()},
                                         truth[at], weight[at], above)  # fmt: skip


def _points(
    name: str, one: Mapping[str, Floats], truth: Floats, weight: Floats, above: float
) -> Points:
    logs = None
    if name in OFFSETS:
        said = one.get("logarithm")
        mine = layers.logarithm(name, one["values"]) if said is None else said
        logs = (mine, layers.logarithm(name, truth))
    rains = occurrence(truth, above) if name == RAIN else None
    return Points(
        one["values"], truth, weight, logs, one.get("probability"), rains, one.get("error")
    )


def _cells(gathered: Mapping[Key, Mapping[np.datetime64, Sums]]) -> dict[str, dict[str, int]]:
    made: dict[str, dict[str, int]] = {}
    for (name, cause, _), days in gathered.items():
        made.setdefault(name, {})[cause] = int(sum(one.points for one in days.values()))
    return made


def _seconds(outcomes: Sequence[Outcome]) -> dict[str, float]:
    days = sum(one.days for one in outcomes)
    names = outcomes[0].seconds if outcomes else {}
    return {name: sum(one.seconds[name] for one in outcomes) / days for name in names}
