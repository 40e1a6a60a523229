"""Scoring of the retrieval of near-surface air: networks beside what knows one point at a time.

All methods are scored on the same cells of the same passes, against the air of the simulated world
at the time of the pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fluxengine.errors import ConfigError
from fluxkernels.stats.skill import skill
from fluxrecipes.skill.closing import Trust, closed, trust
from fluxrecipes.skill.fields import days_of
from fluxrecipes.skill.points import (
    PLACES,
    Air,
    Inputs,
    Sample,
    draw,
    everything,
    joined,
    station_cells,
)
from fluxrecipes.skill.protocol import TEST_YEAR, TUNING
from fluxrecipes.skill.reported import reported
from fluxrecipes.skill.retrievers import (
    BASELINE,
    BASELINES,
    ORACLE,
    REPORTED,
    check_installed,
)
from fluxrecipes.skill.settings import Validation
from fluxrecipes.skill.truth import AIR, Simulated
from fluxrecipes.training.archive import Days


@dataclass(frozen=True)
class RetrievalScore:
    """How good a retrieval is.

    Parameters
    ----------
    variable, method : str
    place, year : str
        Which points: cells drawn of the ocean, or those of moorings that are withheld or not;
        years that may be tuned on, or the one held out.
    points : int
    rmse, bias, correlation : float
    closed : float or None
        Share of the mean square error between regression and oracle.
    """

    variable: str
    method: str
    place: str
    year: str
    points: int
    rmse: float
    bias: float
    correlation: float
    closed: float | None

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {n: getattr(self, n) for n in self.__dataclass_fields__}


@dataclass(frozen=True)
class Judged:
    """What came of scoring the retrieval.

    Parameters
    ----------
    scores : list of RetrievalScore
    trust : dict of (method, variable) to dict of str to Trust
        Standard errors of networks, by kind of point.
    fitted_on : int
        Points.
    """

    scores: list[RetrievalScore]
    trust: dict[tuple[str, str], dict[str, Trust]]
    fitted_on: int

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        errors = [
            {"method": method, "variable": variable, "kind": kind, **_plain(one._asdict())}
            for (method, variable), by_kind in self.trust.items()
            for kind, one in by_kind.items()
        ]
        return {
            "fitted_on": self.fitted_on,
            "scores": [_plain(one.as_json()) for one in self.scores],
            "standard_errors": errors,
        }


def _plain(record: Mapping[str, Any]) -> dict[str, Any]:
    """With null for what is no number."""
    return {n: None if isinstance(v, float) and np.isnan(v) else v for n, v in record.items()}


def judge(asked: Validation) -> Judged:
    """Draw points, fit the baselines, retrieve with all methods, and score them.

    Raises
    ------
    ConfigError
        FF201: no dataset of SST is named, or scikit-learn is asked for and not there.
    NoMatchups
        FF721: reports are to be learned from, and there is none.
    """
    of = asked.retrieval
    assert of is not None and asked.truth is not None
    if asked.datasets.sst is None:
        raise ConfigError("it needs sea surface temperature.", where="datasets", mend="Name `sst`.")
    check_installed(of)
    parts = Inputs.opened(asked)
    fit_days = days_of(parts.days, asked.fit)
    score_days = days_of(parts.days, asked.score, asked.every)
    if not (fit_days.size and score_days.size):
        raise ConfigError("no day of `fit`, or none of `score`, was written.", where="store")
    places = station_cells(parts.observed) if of.stations else {}
    spread = np.unique(np.linspace(0, fit_days.size - 1, min(of.days, fit_days.size)).astype(int))
    referee = Simulated(asked.truth.seed, asked.truth.world)
    # What may be refused comes first: reports that are not there, then weights that cannot be used,
    # before minutes of drawing.
    some = [method for method in of.methods if method in REPORTED]
    of_reports = dict.fromkeys(some, reported(parts, asked)) if some else {}
    test = joined(draw(parts, score_days, of, referee, of.weights, places))
    learn = joined(draw(parts, fit_days[spread], of, referee))
    samples = dict.fromkeys(of.methods, learn) | of_reports
    if ORACLE in of.methods:
        samples[ORACLE] = joined(everything(parts, fit_days[spread], of, referee))
    found = {m: BASELINES[m](samples[m], of.seed)(test) for m in of.methods} | test.networks
    return Judged(scored(found, test), trusted(test), len(learn.day))


def scored(found: Mapping[str, Air], test: Sample) -> list[RetrievalScore]:
    """Scores of all methods, by place and by whether the year is held out."""
    made: list[RetrievalScore] = []
    for number, place in enumerate(PLACES):
        for year, of_year in years(test.day).items():
            at = of_year & (test.place == number)
            if at.any():
                made += _scored(found, test, at, place, year)
    return made


def trusted(test: Sample) -> dict[tuple[str, str], dict[str, Trust]]:
    """Standard errors of each network, by kind of point."""
    return {
        (method, name): trust(test.networks[method][k], errors[k], test.air[k], test.kinds)
        for method, errors in test.errors.items()
        for k, name in enumerate(AIR)
    }


def _scored(
    found: Mapping[str, Air], test: Sample, at: npt.NDArray[np.bool_], place: str, year: str
) -> Iterator[RetrievalScore]:
    for number, name in enumerate(AIR):
        truth = test.air[number][at]
        squares = {m: float(np.mean((a[number][at] - truth) ** 2)) for m, a in found.items()}
        for method, air in found.items():
            s = skill(air[number][at], truth)
            share = _share(squares, method)
            numbers = (s.points, s.rmse, s.bias, s.correlation)
            yield RetrievalScore(name, method, place, year, *numbers, share)


def _share(squares: Mapping[str, float], method: str) -> float | None:
    """Share of the gap closed, where there is a baseline, an oracle, and a gap."""
    baseline, floor = squares.get(BASELINE), squares.get(ORACLE)
    if baseline is None or floor is None or not floor < baseline:
        return None
    return closed(squares[method], baseline, floor)


def years(day: Days) -> dict[str, npt.NDArray[np.bool_]]:
    """Points by what may be done with their year; only kinds that there are."""

    def inside(period: Any) -> npt.NDArray[np.bool_]:
        return (day >= np.datetime64(period.first)) & (day <= np.datetime64(period.last))

    held, tuned = inside(TEST_YEAR), inside(TUNING)
    kinds = {"held out": held, "tuning": tuned, "other": ~held & ~tuned}
    return {name: at for name, at in kinds.items() if at.any()}
