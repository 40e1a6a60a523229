"""Daily products against the means of days of the reports, on the days that all of them have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fluxkernels.errors import SampleError
from fluxkernels.stats.agreement import agreement
from fluxkernels.stats.collocation import Resampled, resampled_collocation
from fluxrecipes.matchups import conditions
from fluxrecipes.matchups.beside import SETS
from fluxrecipes.matchups.daily import RECORD, Days
from fluxrecipes.matchups.scores import ALL, COMPARED, Score, plain

Array = npt.NDArray[Any]
Flags = npt.NDArray[np.bool_]

REPORTS = "reports"
SET = "set"


class Pair(NamedTuple):
    """A variable of a product, and of the reports at the same height, in the unit shown."""

    variable: str
    units: str
    height: str
    estimate: Array
    reference: Array


@dataclass(frozen=True)
class OfProduct:
    """A score of a product.

    Parameters
    ----------
    product : str
    height : str
        Of its air; empty of a flux.
    score : Score
    """

    product: str
    height: str
    score: Score

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {"product": self.product, "height": self.height} | self.score.as_json()


@dataclass(frozen=True)
class Triple:
    """Triple collocation of a variable.

    Parameters
    ----------
    variable, units : str
    names : tuple of str
        The record, the reports and a product: errors are told in this order, scales relative to the
        first.
    found : Resampled
    """

    variable: str
    units: str
    names: tuple[str, str, str]
    found: Resampled

    @property
    def contradicted(self) -> bool:
        """Whether an error's variance is below zero, or no common signal is left."""
        found = self.found
        return (
            min(found.variance) < 0 or not np.isfinite([e.value for e in found.correlation]).all()
        )

    def as_json(self) -> dict[str, Any]:
        """For machines; None where there is no number."""
        told: dict[str, Any] = {
            "variable": self.variable,
            "units": self.units,
            "points": self.found.points,
            "stations": self.found.clusters,
            "assumptions_contradicted": self.contradicted,
        }
        for at, name in enumerate(self.names):
            told[name] = {
                "error_variance": plain(self.found.variance[at]),
                "share_of_resamples_below_zero": plain(self.found.contradicted[at]),
                **{
                    what: {k: plain(v) for k, v in getattr(self.found, what)[at]._asdict().items()}
                    for what in ("error", "correlation", "scale")
                },
            }
        return told


def pairs(days: Days, product: str) -> Iterator[Pair]:
    """What a product has of what is compared."""
    own = days.products[product]
    for variable, name, _, units, scale in COMPARED[:4]:
        for stored, height in ((name, "10 m"), (f"{name}_2m", "2 m")):
            if stored in own:
                told = "" if "flux" in name else height
                x, y = (one[stored].astype(float) * scale for one in (own, days.in_situ))
                yield Pair(variable, units, told, x, y)
                break


def common(days: Days) -> Flags:
    """Days on which the reports and all products have all that each has at all."""
    there = np.ones(len(days), bool)
    for product in days.products:
        for pair in pairs(days, product):
            there &= np.isfinite(pair.estimate) & np.isfinite(pair.reference)
    return there


def alone(days: Days) -> dict[str, int]:
    """On how many days each product has all that it has at all."""
    found = {}
    for product in days.products:
        there = [np.isfinite(pair.estimate) for pair in pairs(days, product)]
        found[product] = int(np.stack(there).all(axis=0).sum())
    return found


def groups(days: Days) -> Iterator[tuple[str, str, Flags]]:
    """By what, which group, and its members: all, sets, and what the record's passes were like.

    Parameters
    ----------
    days : Days
        That count.
    """
    yield ALL, ALL, np.ones(len(days), bool)
    sets = np.unique(days.sets)
    for code in sets if len(sets) > 1 else ():
        yield SET, SETS[code].replace("_", " "), days.sets == code
    yield from conditions.by_fill(days.state)
    yield from conditions.by_class(days.conditions)


def scores(days: Days) -> list[OfProduct]:
    """Of each variable and product, overall and in groups.

    Parameters
    ----------
    days : Days
        That count.

    Returns
    -------
    list of OfProduct
        In each group of `groups` that has days, all products on the same: those of `common`.
    """
    both = common(days)
    told = [(by, group, both & members) for by, group, members in groups(days)]
    found = []
    for product in days.products:
        for pair in pairs(days, product):
            for by, group, members in told:
                if members.any():
                    x, y = pair.estimate[members], pair.reference[members]
                    agreed = agreement(x, y, days.platform[members])
                    score = Score(pair.variable, pair.units, by, group, agreed)
                    found.append(OfProduct(product, pair.height, score))
    return found


def triples(days: Days) -> list[Triple]:
    """The record, the reports and each product in turn, on the days that all have.

    Heights are as they are: the scale of each is its own, and a constant does not count.

    Returns
    -------
    list of Triple
        None of a product where fewer days than a collocation needs are common.
    """
    both = common(days)
    record = {one.variable: one for one in pairs(days, RECORD)}
    found = []
    for product in days.products:
        for pair in pairs(days, product):
            if product == RECORD or pair.variable not in record:
                continue
            own = record[pair.variable]
            three = (own.estimate[both], own.reference[both], pair.estimate[both])
            try:
                told = resampled_collocation(*three, days.platform[both])
            except SampleError:
                continue
            found.append(Triple(pair.variable, pair.units, (RECORD, REPORTS, product), told))
    return found
