"""Validation against reports: all that is found, in numbers for machines and pictures."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fluxengine import place
from fluxengine.errors import ConfigError
from fluxengine.repository import storage_errors
from fluxkernels.stats.agreement import Agreement
from fluxrecipes.matchups import (
    counts,
    day_scores,
    file,
    pictures,
    published,
    scores,
    stations,
    wind,
)
from fluxrecipes.matchups.beside import KEPT, KEPT_BACK, SETS, TEST
from fluxrecipes.matchups.counts import Count
from fluxrecipes.matchups.daily import Days
from fluxrecipes.matchups.day_scores import OfProduct, Triple
from fluxrecipes.matchups.file import Stored
from fluxrecipes.matchups.scores import ALL, Score
from fluxrecipes.matchups.stations import Series
from fluxrecipes.skill import protocol
from fluxrecipes.sources.reports import FEEDS

Flags = npt.NDArray[np.bool_]

HELD_OUT = (TEST, KEPT_BACK)


@dataclass(frozen=True)
class Validated:
    """What was found.

    Parameters
    ----------
    stored : Stored
    counted : bool array
        Matchups that were scored.
    scores : list of Score
        Of the record at the passes.
    wind : list of Score
        By satellite and wind, before and after the correction.
    series : list of Series
        Monthly means at stations.
    days : Days or None
        Means of days that were scored; None where no daily product stands beside.
    products : list of OfProduct
        Of daily products, on common days: all, by set, and by what the record's passes were like.
    triples : list of Triple
        Record, reports and each product.
    counts : list of Count
        By satellite and network.
    opened_before : int or None
        How often held-out matchups were looked at before; None where they were not.
    """

    stored: Stored
    counted: Flags
    scores: list[Score]
    wind: list[Score]
    series: list[Series]
    days: Days | None
    products: list[OfProduct]
    triples: list[Triple]
    counts: list[Count]
    opened_before: int | None

    @property
    def simulated(self) -> str:
        """Of which simulated world the record and the reports are; empty where they are real."""
        told = str(self.stored.attrs.get("simulated", "no"))
        return "" if told == "no" else told

    @property
    def world(self) -> str:
        """Whether the record and the reports are real, or of which world."""
        return self.mark + (f" world ({self.simulated})" if self.simulated else "")

    @property
    def mark(self) -> str:
        """Where a figure was found, and whether it is of real data."""
        return f"measured here, {'SIMULATED' if self.simulated else 'real'}"

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "simulated": self.simulated or None,
            "source": self.stored.attrs.get("source"),
            "points": int(self.counted.sum()),
            "opened_before": self.opened_before,
            "counts": [one._asdict() for one in self.counts],
            "scores": [one.as_json() for one in self.scores],
            "wind": [one.as_json() for one in self.wind],
            "products": [one.as_json() for one in self.products],
            "triple_collocation": [one.as_json() for one in self.triples],
            "stations": [one.as_json() for one in self.series],
            "published": [row._asdict() for row in published.TABLE_4],
            "published_stations": [row._asdict() for row in published.STATIONS],
        }


def of(path: Path, *, held_out: bool, purpose: str, at_stations: Sequence[str] = ()) -> Validated:
    """Score a file of matchups.

    Parameters
    ----------
    path : Path
    held_out : bool
        Also of the test year and of the withheld stations: that is written down.
    purpose : str
        What for, where held-out matchups are looked at.
    at_stations : sequence of str, optional
        Stations of which to tell monthly means; by default see `stations.chosen`.

    Raises
    ------
    ConfigError
        FF201: no such file, no purpose, no matchup counts, or a station is withheld.
    UnknownName
        FF102: there is no such station.
    """
    stored, days = file.read(path), None
    counted = stored.verdicts == KEPT
    kept_back = counted & np.isin(stored.sets, HELD_OUT)
    if not held_out:
        counted = counted & ~kept_back
    if not counted.any():
        raise ConfigError(
            "no matchup counts: all are left out, or held out.",
            where=str(path),
            mend="`fluxforge matchup` tells why matchups do not count.",
        )
    named = stations.chosen(stored, counted, at_stations, held_out=held_out)
    before = _opened(path, stored, kept_back, purpose) if held_out and kept_back.any() else None
    if stored.days is not None:
        open_days = held_out | ~np.isin(stored.days.sets, HELD_OUT)
        some = stored.days.at(open_days)
        days = some if day_scores.common(some).any() else None
    found = scores.scores(stored, counted)
    if not found:
        raise ConfigError(
            "no matchup has a value of all that is compared.",
            where=str(path),
            mend="`fluxforge matchup` takes what the record has: look whether it is whole.",
        )
    return Validated(
        stored,
        counted,
        found,
        wind.scores(stored, counted),
        stations.series(stored, days, counted, named),
        days,
        day_scores.scores(days) if days else [],
        day_scores.triples(days) if days else [],
        counts.counted(stored.found.matchups.at(counted)),
        before,
    )


def _opened(path: Path, stored: Stored, kept_back: Flags, purpose: str) -> int:
    """Write down that held-out matchups are looked at; how often they were before."""
    if not purpose:
        raise ConfigError(
            "the test year and the withheld stations are to be looked at, and it is not said"
            " what for.",
            where="--held-out",
            mend="Say it with --purpose: it is written into openings.jsonl beside the file.",
        )
    names = [SETS[code] for code in HELD_OUT if (stored.sets[kept_back] == code).any()]
    what = "matchups: " + ", ".join(names)
    return protocol.opened(place.at(path.resolve().parent), protocol.Opening(what, purpose, {}))


# --- files ---------------------------------------------------------------------------------------


def write(found: Validated, folder: Path) -> list[Path]:
    """Write numbers and pictures into a folder; give their paths."""
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        numbers = folder / "validation.json"
        numbers.write_text(json.dumps(found.as_json(), indent=2, allow_nan=False) + "\n")
        return [numbers, *_pictures(found, folder)]


def _pictures(found: Validated, folder: Path) -> Iterable[Path]:
    overall = {s.variable: s.agreement for s in found.scores if s.by == ALL}
    winds = [name for name in (wind.BEFORE, wind.AFTER) if name in overall]
    members = found.counted
    by_pass = [
        (variable, units, x[members], y[members])
        for variable, units, x, y in scores.compared(found.stored)
        if variable in (*pictures.VARIABLES, *winds)
    ]
    title = f"Record against reports: {found.world}"
    yield pictures.densities(by_pass, overall, folder / "densities.png", title=title)
    labelled = {v: _labelled(found.scores, v) for v in pictures.VARIABLES if v in overall}
    yield pictures.taylor(labelled, folder / "taylor.png", title=title)
    if found.days is not None:
        yield from _of_products(found, found.days, folder)
    if found.series:
        yield pictures.series(
            found.series, folder / "stations.png", title=f"Monthly means at stations: {found.world}"
        )
    matchups = found.stored.found.matchups
    feeds = {name: members & (matchups.feed == code) for code, name in FEEDS.items()}
    yield pictures.places(
        matchups.latitude,
        matchups.longitude,
        feeds,
        folder / "places.png",
        title=f"Matchups: {found.world}",
    )


def _of_products(found: Validated, days: Days, folder: Path) -> Iterable[Path]:
    """A Taylor diagram of all products, and densities of each, on common days."""
    title, both = f"on common days: {found.world}", day_scores.common(days)
    told = _by_product(found.products)
    yield pictures.taylor(told, folder / "taylor_products.png", title=f"Daily products {title}")
    for product in days.products:
        own = {name: several[product] for name, several in told.items() if product in several}
        yield pictures.densities(
            [
                (pair.variable, pair.units, pair.estimate[both], pair.reference[both])
                for pair in day_scores.pairs(days, product)
            ],
            own,
            folder / f"densities_{product}_days.png",
            title=f"Days of {product} against those of reports, {title}",
            of=product,
        )


def _by_product(several: list[OfProduct]) -> dict[str, dict[str, Agreement]]:
    """Of each variable the agreement of each product on all common days."""
    made: dict[str, dict[str, Agreement]] = {}
    for one in several:
        if one.score.by == ALL:
            made.setdefault(one.score.variable, {})[one.product] = one.score.agreement
    return made


def _labelled(several: list[Score], variable: str) -> dict[str, Agreement]:
    """What a Taylor diagram shows of a variable: passes, and the kinds of cells."""
    wanted = (
        ("pass", "ascending"),
        ("pass", "descending"),
        ("fill", "observed"),
        ("fill", "filled"),
    )
    found = {group: scores.one(several, variable, by, group) for by, group in wanted}
    bulk = scores.one(several, f"{variable}, bulk", ALL, ALL)
    return {k: v for k, v in (found | {"before its correction": bulk}).items() if v is not None}
