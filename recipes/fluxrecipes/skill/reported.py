"""Points with reports from the sea: what a retrieval is fitted on where no truth is known."""

from __future__ import annotations

import numpy as np

from fluxrecipes.matchups.beside import once, one_name
from fluxrecipes.matchups.climatology import Climatology
from fluxrecipes.matchups.matching import Matchups
from fluxrecipes.skill.points import (
    BEYOND,
    INPUTS,
    NEEDED,
    PLACES,
    SEEN,
    Inputs,
    Sample,
    joined,
    with_place,
)
from fluxrecipes.skill.settings import Validation
from fluxrecipes.training.labelled import NoMatchups
from fluxrecipes.training.matched import Matching, of_periods, unseen


def reported(parts: Inputs, asked: Validation) -> Sample:
    """Reports beside completed passes of the days of `fit`: those that a network learns from.

    The air is that of the reports; of what was there besides nothing is known.

    Raises
    ------
    NoMatchups
        FF721: the store has no report of these days that can be used.
    NotOurStore, UnknownName
        It is a plain Zarr, or has no table of reports.
    """
    found = _matchups(asked)
    if found is not None and (days := np.intersect1d(found.day, parts.days)).size:
        return joined(_of_day(parts, day, found.at(found.day == day)) for day in days)
    raise NoMatchups(
        "the store has no report of the days of `fit` that can be used.",
        where=asked.store,
        mend="Ingest `insitu` for these days, name others, or take `boosting-reports` and"
        " `mlp-reports` out of `retrieval.methods`.",
    )


def _matchups(asked: Validation) -> Matchups | None:
    """Chosen as for a training: no withheld station, and not what checks the training.

    Under which names a platform reports is asked of all days: whether it is kept back from a fit
    must not depend on which days are fitted.
    """
    rules, names = Matching.model_validate({}), asked.datasets
    fit, score = (
        of_periods(asked.place, periods, rules, names.observed, names.filled)
        for periods in (asked.fit, asked.score)
    )
    if not fit:
        return None
    whole = once(Matchups.joined(fit), rules.withheld)
    fine = Climatology.of(whole).plausible(whole, rules.limit)
    named = one_name(Matchups.joined([*fit, *score]))
    return whole.at(fine & ~unseen(whole, rules.unseen, named))


def _of_day(parts: Inputs, day: np.datetime64, some: Matchups) -> Sample:
    passes, told = parts.of(day)
    cells = some.orbit, some.row, some.column
    inputs = with_place(passes, [told[name] for name in INPUTS], cells)
    known = np.isfinite(inputs[:, [INPUTS.index(name) for name in NEEDED]]).all(axis=1)
    count = int(known.sum())
    return Sample(
        inputs=inputs[known],
        perfect=np.full((count, len(BEYOND) + 3), np.nan),
        air=(some.air_temperature[known], some.specific_humidity[known]),
        day=np.full(count, day),
        place=np.full(count, PLACES.index(SEEN)),
        networks={},
        errors={},
    )
