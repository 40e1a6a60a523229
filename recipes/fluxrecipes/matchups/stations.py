"""Monthly means at stations: the record beside the reports, and daily products beside both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fluxengine.errors import ConfigError, UnknownName
from fluxkernels.stats.agreement import Agreement, agreement
from fluxrecipes.matchups import day_scores, scores
from fluxrecipes.matchups.daily import RECORD, Days
from fluxrecipes.matchups.day_scores import Pair
from fluxrecipes.matchups.file import Stored
from fluxrecipes.matchups.matching import WITHHELD, Matchups
from fluxrecipes.matchups.scores import COMPARED, as_json, plain
from fluxrecipes.sources.passes import ORBITS
from fluxrecipes.sources.reports import COASTAL, FIXED, MOORED, NOBODY, UNKNOWN

Array = npt.NDArray[Any]
Flags = npt.NDArray[np.bool_]

FEWEST = 10  # matchups, or days, that a month needs
BOTH = "both passes"
STAYING = (MOORED, COASTAL, FIXED)  # kinds of platforms that are stations
NEAR = 1.0  # degrees that a platform of unknown kind may move by, to be one
_SHOWN = 3  # stations, where none is named


class Months(NamedTuple):
    """Monthly means; arrays of one length, without months that have too little."""

    months: Array
    estimate: Array
    reference: Array


@dataclass(frozen=True)
class Series:
    """Monthly means of a variable at a station.

    Parameters
    ----------
    station : str
    variable, units : str
    name : str
        Pass of the record, `BOTH`, or a daily product.
    height : str
        At which air is compared; empty of a flux.
    means : Months
    agreement : Agreement
        Of the monthly means, resampled by years.
    """

    station: str
    variable: str
    units: str
    name: str
    height: str
    means: Months
    agreement: Agreement

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        names = {"station": self.station, "variable": self.variable, "units": self.units}
        means = {
            "months": [str(month) for month in self.means.months],
            "monthly_means": [plain(float(one)) for one in self.means.estimate],
            "monthly_means_of_reports": [plain(float(one)) for one in self.means.reference],
        }
        names |= {"series": self.name, "height": self.height}
        return names | as_json(self.agreement) | means


def chosen(stored: Stored, which: Flags, asked: Sequence[str], *, held_out: bool) -> list[str]:
    """Stations to tell: those asked for, else the withheld ones, else the longest.

    A ship is none, nor is a name that stands for nobody, such as ``SHIP``.

    Parameters
    ----------
    stored : Stored
    which : bool array
        Matchups that count.
    asked : sequence of str
        Upper and lower case are alike.
    held_out : bool
        Whether withheld stations are open.

    Raises
    ------
    UnknownName
        FF102: no matchup of it counts, or it is no station; the message names some.
    ConfigError
        FF201: a station is withheld, and not opened.
    """
    longest = _longest(stored.found.matchups.at(which))
    for name in asked:
        if name.upper() in WITHHELD and not held_out:
            raise ConfigError(
                f"{name} is withheld for the last test.",
                where="--station",
                mend="Open it with `--held-out --purpose WHY`, or name another station.",
            )
        if name.upper() not in longest:
            known = stored.found.matchups.at(which).named([name]).any()
            what = f"'{name}' is no station: it moves, or is many." if known else ""
            raise UnknownName(
                what or f"no matchup of '{name}' counts.",
                where="--station",
                mend=f"The longest series are of {', '.join(longest[:10]) or 'none'}.",
            )
    if asked:
        return [name.upper() for name in asked]
    withheld = [name for name in WITHHELD if name in longest] if held_out else []
    return withheld or longest[:_SHOWN]


def _longest(matchups: Matchups) -> list[str]:
    """All stations, those with matchups in the most months first."""
    names, code = np.unique(_names(matchups), return_inverse=True)
    of, _ = np.unique(np.stack([code, matchups.day.astype("M8[M]").astype(int)]), axis=1)
    months = np.bincount(of, minlength=len(names))
    order = np.argsort(-months, kind="stable")
    keep = _stays(matchups, code, len(names)) & ~np.isin(names, NOBODY)
    return [names[at].decode() for at in order if keep[at]]


def _names(matchups: Matchups) -> Array:
    """Names of platforms; upper and lower case are alike."""
    return np.asarray(np.char.upper(np.char.strip(matchups.platform.astype("S16"))))


def _stays(matchups: Matchups, code: Array, number: int) -> Flags:
    """Which platforms stay where they are: by their kinds, else by where they were.

    Parameters
    ----------
    matchups : Matchups
    code : int array
        Which platform each of them is of.
    number : int
        Of platforms.
    """
    every = np.bincount(code, minlength=number)
    known = matchups.kind != UNKNOWN
    stay = np.isin(matchups.kind, STAYING)
    mostly = np.bincount(code[stay], minlength=number) > every / 2  # some kinds are told wrongly
    moved = np.bincount(code[known & ~stay], minlength=number) > 0
    _, first = np.unique(code, return_index=True)
    east = (matchups.longitude - matchups.longitude[first][code] + 180.0) % 360.0 - 180.0
    spreads = [_spread(along, code, number) for along in (matchups.latitude, east)]
    return mostly | ((np.maximum(*spreads) <= NEAR) & ~moved)


def _spread(values: Array, code: Array, number: int) -> Array:
    """Highest less lowest value of each code."""
    low, high = np.full(number, np.inf), np.full(number, -np.inf)
    np.minimum.at(low, code, values)
    np.maximum.at(high, code, values)
    return np.asarray(high - low)


def series(
    stored: Stored, days: Days | None, which: Flags, stations: Sequence[str]
) -> list[Series]:
    """Of each station and variable the passes of the record, and the daily products.

    Parameters
    ----------
    stored : Stored
    days : Days or None
        That count.
    which : bool array
        Matchups that count.
    stations : sequence of str

    Returns
    -------
    list of Series
        Passes are on common matchups, products on common days; none of what has no month.
    """
    found = []
    for station in stations:
        several = [*_of_passes(stored, which, station), *_of_days(days, station)]
        order = [variable for variable, *_ in COMPARED[:4]]
        for pair, name, means in sorted(several, key=lambda one: order.index(one[0].variable)):
            if len(means.months):
                years = means.months.astype("M8[Y]")
                told = agreement(means.estimate, means.reference, years)
                one = Series(station, pair.variable, pair.units, name, pair.height, means, told)
                found.append(one)
    return found


_Told = tuple[Pair, str, Months]


def _of_passes(stored: Stored, which: Flags, station: str) -> Iterator[_Told]:
    matchups = stored.found.matchups
    four = {variable for variable, *_ in COMPARED[:4]}
    pairs = [
        Pair(variable, units, "" if "flux" in variable else "10 m", x, y)
        for variable, units, x, y in scores.compared(stored)
        if variable in four
    ]
    mine = which & matchups.named([station])
    for pair in pairs:
        mine &= np.isfinite(pair.estimate) & np.isfinite(pair.reference)
    orbits = {name: mine & (matchups.orbit == code) for code, name in enumerate(ORBITS)}
    for pair in pairs:
        for name, members in (orbits | {BOTH: mine}).items():
            yield pair, name, monthly(matchups.day, pair, members)


def _of_days(days: Days | None, station: str) -> Iterator[_Told]:
    if days is None:
        return
    named = np.char.upper(np.char.strip(days.platform.astype("U16"))) == station
    mine = day_scores.common(days) & named
    for product in days.products:
        name = "record, days" if product == RECORD else product
        for pair in day_scores.pairs(days, product):
            yield pair, name, monthly(days.day, pair, mine)


def monthly(day: Array, pair: Pair, members: Flags) -> Months:
    """Means over the members of each month that has `FEWEST` of them."""
    months, place, number = np.unique(
        day[members].astype("M8[M]"), return_inverse=True, return_counts=True
    )
    enough = number >= FEWEST
    means = (
        np.bincount(place, one[members].astype(float), len(months))[enough] / number[enough]
        for one in (pair.estimate, pair.reference)
    )
    return Months(months[enough], *means)
