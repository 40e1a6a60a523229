"""Scoring of the record's chains: air and fluxes, what a correction mends, what errs, how surely.

All chains are scored on the same cells of the same passes, against the simulated world at the time
of the pass, and where there are reports against these, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fluxengine.errors import ConfigError
from fluxkernels.stats.skill import skill
from fluxrecipes.processes import pool
from fluxrecipes.skill import fields
from fluxrecipes.skill.chain import BULK, ERRORS, SCORED, WHOLE, chains_of
from fluxrecipes.skill.chain_points import Outcome, Source, gathered, has_reports
from fluxrecipes.skill.chain_sample import ALL, IDEAL, Sample
from fluxrecipes.skill.closing import (
    Correction,
    Trust,
    correction,
    mean_square,
    monthly_bias,
    thirds,
    trust,
)
from fluxrecipes.skill.points import PLACES
from fluxrecipes.skill.retrieval import years
from fluxrecipes.skill.scores import Gathered, Score, joined, scores
from fluxrecipes.skill.settings import Validation
from fluxrecipes.skill.truth import FLUXES

Floats = npt.NDArray[np.floating[Any]]
Mask = npt.NDArray[np.bool_]

FEWEST = 30  # points of which anything is told
TRUTH, REPORTS = "truth", "reports"


class OfReports(NamedTuple):
    """How far a chain is from reports.

    Parameters
    ----------
    chain, variable, place, year : str
        Place and year say whether these stations, and these days, are kept from training.
    points : int
    rmse, bias, correlation : float
    of_report : float
        RMSE of the reports as an estimate of the cell: noise of sensors, place within the cell,
        minutes between.
    rest : float
        What is left of the RMSE without it; 0 where that is more than there is.
    """

    chain: str
    variable: str
    place: str
    year: str
    points: int
    rmse: float
    bias: float
    correlation: float
    of_report: float
    rest: float


class OfCorrection(NamedTuple):
    """What the correction of a chain does.

    Parameters
    ----------
    chain, variable, against, place, year, kind : str
        Against truth or reports; kind is whether the satellite saw the cell.
    score : Correction
    months_before, months_after : dict of str to float
        Mean error of each month, W m-2.
    """

    chain: str
    variable: str
    against: str
    place: str
    year: str
    kind: str
    score: Correction
    months_before: dict[str, float]
    months_after: dict[str, float]


class OfErrors(NamedTuple):
    """Whether standard errors are what they say, of a kind of points; else as `OfCorrection`."""

    chain: str
    variable: str
    against: str
    place: str
    year: str
    kind: str
    score: Trust


@dataclass(frozen=True)
class Judged:
    """What came of scoring chains.

    Parameters
    ----------
    chains : tuple of str
        The first one is what the others are divided by.
    cells : list of Score
        All chains on all cells, by kind of cell.
    budgets : dict of str to list of Score
        By chain: methods are what was true.
    reports : list of OfReports
    corrections : list of OfCorrection
    errors : list of OfErrors
    seconds : dict of str to float
        Of a processor, by chain, for each day scored.
    has_reports : bool
    """

    chains: tuple[str, ...]
    cells: list[Score]
    budgets: dict[str, list[Score]]
    reports: list[OfReports]
    corrections: list[OfCorrection]
    errors: list[OfErrors]
    seconds: dict[str, float]
    has_reports: bool

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        budgets = {
            chain: [score.as_json() for score in scored] for chain, scored in self.budgets.items()
        }
        return {
            "chains": list(self.chains),
            "cells": [score.as_json() for score in self.cells],
            "budgets": budgets,
            "has_reports": self.has_reports,
            "reports": [_plain(one._asdict()) for one in self.reports],
            "corrections": [_flat(one) for one in self.corrections],
            "standard_errors": [_flat(one) for one in self.errors],
            "cpu_seconds_a_day": {n: round(s, 3) for n, s in self.seconds.items()},
        }


def _flat(one: OfCorrection | OfErrors) -> dict[str, Any]:
    flat: dict[str, Any] = _plain({**one._asdict(), **one.score._asdict()})
    del flat["score"]
    return flat


def _plain(value: Any) -> Any:
    """As JSON has it, with null for what is no number."""
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def judge(asked: Validation) -> Judged:
    """Run all chains on the days that are scored, and score them.

    Parameters
    ----------
    asked : Validation
        With `chain` and `truth`.

    Raises
    ------
    ConfigError, NoValue, WrongWeights
        Where the data lack what is asked for, or weights are not fit.
    """
    of = asked.chain
    assert of is not None
    there = of.reports and has_reports(asked)
    if of.stations and not there:
        raise ConfigError(
            "withheld stations are asked for, and the store has no table `insitu`.",
            where="chain.stations",
            mend="Ingest it, or leave `stations` out.",
        )
    chains = chains_of(of.all)
    margin = max(chain.margin for chain in chains)
    days = Source.opened(asked).days
    runs = fields.runs(days, asked.score, every=asked.every, margin=margin)
    outcomes = list(_done(asked, runs))
    names = tuple(chain.name for chain in chains)
    cells = Sample.joined([part for one in outcomes for part in one.cells])
    if not len(cells):
        raise ConfigError(
            "no cell of the scored days has wind, vapour and sea surface temperature in all"
            " chains.",
            where=asked.store,
            mend="Score other days, or name the datasets that hold them.",
        )
    reports = [part for one in outcomes for part in one.reports]
    beside = Sample.joined(reports) if reports else None
    budgets = {name: joined(one.budgets[name] for one in outcomes) for name in names}
    days_scored = sum(one.days for one in outcomes)
    return Judged(
        names,
        compared(budgets),
        {name: scores(by, WHOLE) for name, by in budgets.items()} if of.budget else {},
        [] if beside is None else list(of_reports(beside)),
        [*of_corrections(cells, TRUTH), *(of_corrections(beside, REPORTS) if beside else ())],
        [*of_errors(cells, TRUTH), *(of_errors(beside, REPORTS) if beside else ())],
        {name: sum(one.seconds[name] for one in outcomes) / days_scored for name in names},
        there,
    )


def compared(budgets: Mapping[str, Gathered]) -> list[Score]:
    """Whole chains beside each other, the first one the one to beat.

    Parameters
    ----------
    budgets : mapping of str to mapping
        By chain: sums of each day by variable, kind of cell, and what was true.
    """
    names = list(budgets)  # of which one may begin as another does: numbers tell them apart
    whole = {
        (variable, kind, str(number)): summed
        for number, name in enumerate(names)
        for (variable, kind, what), summed in budgets[name].items()
        if what == WHOLE
    }
    return [replace(one, method=names[int(one.method)]) for one in scores(whole, "0")]


def _done(asked: Validation, runs: tuple[fields.Run, ...]) -> Iterator[Outcome]:
    if asked.processes == 1:
        yield from (gathered(asked, run) for run in runs)
        return
    with pool(asked.processes) as workers:
        yield from workers.map(gathered, repeat(asked), runs)


def groups(sample: Sample) -> Iterator[tuple[str, str, Sample]]:
    """Points by place and by what may be done with their year; those with enough of them."""
    for number, place in enumerate(PLACES):
        there = sample.at(sample.place == number)
        for year, of_year in years(there.day).items():
            if of_year.sum() >= FEWEST:
                yield place, year, there.at(of_year)


def of_reports(sample: Sample) -> Iterator[OfReports]:
    """All chains at reports, by station seen or not and year seen or not."""
    for place, year, part in groups(sample):
        for variable in SCORED:
            reference = part.reference[variable]
            own = mean_square(reference, part.truth[variable])
            for chain, given in part.chains.items():
                s = skill(given[variable], reference)
                rest = float(np.sqrt(max(s.rmse**2 - own, 0.0)))
                numbers = (s.points, s.rmse, s.bias, s.correlation)
                yield OfReports(chain, variable, place, year, *numbers, float(np.sqrt(own)), rest)


def of_corrections(sample: Sample, against: str) -> Iterator[OfCorrection]:
    """What corrections do, of all points and by whether the satellite saw them."""
    for place, year, part in groups(sample):
        for kind, at in ({ALL: np.ones(len(part), bool)} | part.fills).items():
            for chain, given in part.chains.items():
                for flux in FLUXES:
                    before = given[BULK[flux]][at]
                    if np.isfinite(before).sum() < FEWEST:  # also where nothing is corrected
                        continue
                    after, reference = given[flux][at], part.reference[flux][at]
                    months = part.day[at].astype("datetime64[M]")
                    yield OfCorrection(
                        chain, flux, against, place, year, kind,
                        corrected(before, after, reference, given[IDEAL[flux]][at]),
                        monthly_bias(before, reference, months),
                        monthly_bias(after, reference, months),
                    )  # fmt: skip


def corrected(before: Floats, after: Floats, reference: Floats, ideal: Floats) -> Correction:
    """Score of a correction; its share is left out where the ideal one mends nothing."""
    known = np.logical_and.reduce([np.isfinite(x) for x in (before, after, reference, ideal)])
    if known.sum() < FEWEST:
        return correction(before, after, reference)
    at_best = mean_square(ideal[known], reference[known])
    mendable = at_best < mean_square(before[known], reference[known])
    return correction(before, after, reference, ideal if mendable else None)


def of_errors(sample: Sample, against: str) -> Iterator[OfErrors]:
    """Whether standard errors hold, by kind of point, of all variables that have any.

    Against reports the interval is that of the difference: the report's own error, as it is found
    for low, middle and high wind, goes into it.
    """
    for place, year, part in groups(sample):
        kinds = part.kinds
        for variable in SCORED:
            own = report_error(part, variable)
            for chain, given in part.chains.items():
                error = given[ERRORS[variable]]
                if np.isfinite(error).sum() < FEWEST:  # also where there are none
                    continue
                both = np.hypot(error, own)
                found = trust(given[variable], both, part.reference[variable], kinds)
                for kind, score in found.items():
                    if score.points >= FEWEST:
                        yield OfErrors(chain, variable, against, place, year, kind, score)


def report_error(sample: Sample, variable: str) -> Floats:
    """Standard error of each report as an estimate of its cell, 0 where the truth is scored.

    As found for low, middle and high wind; a cell that was filled, of which nobody knows the minute
    of the pass, for itself.
    """
    own = np.zeros(len(sample))
    for fill in sample.fills.values():
        for third in thirds(sample.wind, "wind").values():
            at = fill & third
            if at.any():
                mean = mean_square(sample.reference[variable][at], sample.truth[variable][at])
                own[at] = np.sqrt(mean)
    return own
