"""Scores of the record against reports from the sea, for all and for groups of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fluxkernels.stats.agreement import Agreement, Interval, agreement
from fluxrecipes.constellation import CODES
from fluxrecipes.matchups import conditions
from fluxrecipes.matchups.beside import KEPT, SETS
from fluxrecipes.matchups.file import Stored
from fluxrecipes.sources.passes import ORBITS
from fluxrecipes.sources.reports import FEEDS

Array = npt.NDArray[Any]
Flags = npt.NDArray[np.bool_]

ALL = "all"
# What is compared with what: name, of the record, of the report, unit shown and its scale.
COMPARED = (
    ("air temperature", "air_temperature", "air_temperature", "°C", 1.0),
    ("specific humidity", "specific_humidity", "specific_humidity", "g/kg", 1000.0),
    ("sensible heat flux", "sensible_heat_flux", "sensible_heat_flux", "W/m²", 1.0),
    ("latent heat flux", "latent_heat_flux", "latent_heat_flux", "W/m²", 1.0),
    ("sensible heat flux, bulk", "sensible_heat_flux_bulk", "sensible_heat_flux", "W/m²", 1.0),
    ("latent heat flux, bulk", "latent_heat_flux_bulk", "latent_heat_flux", "W/m²", 1.0),
    ("wind of the satellite", "wind_speed", "neutral_wind", "m/s", 1.0),
    ("wind, corrected", "wind_speed_corrected", "neutral_wind", "m/s", 1.0),
    ("sea surface temperature", "sea_surface_temperature", "sea_surface_temperature", "°C", 1.0),
)


@dataclass(frozen=True)
class Score:
    """Agreement of one variable in one group.

    Parameters
    ----------
    variable : str
        In words, as of `COMPARED`.
    units : str
        Of the scores.
    by, group : str
        What the groups are told by, and which one; ``all`` of all.
    agreement : Agreement
        In `units`.
    """

    variable: str
    units: str
    by: str
    group: str
    agreement: Agreement

    def as_json(self) -> dict[str, Any]:
        """For machines; None where there is no number."""
        told = {"variable": self.variable, "units": self.units, "by": self.by, "group": self.group}
        return told | as_json(self.agreement)


def as_json(agreed: Agreement) -> dict[str, Any]:
    """An agreement for machines; None where there is no number."""
    return {
        name: {k: plain(v) for k, v in value._asdict().items()}
        if isinstance(value, Interval)
        else plain(value)
        for name, value in agreed._asdict().items()
    }


def plain(value: Any) -> Any:
    """A number for machines: rounded, None where there is none."""
    if isinstance(value, float):
        return round(value, 6) if np.isfinite(value) else None
    return value


def groups(stored: Stored, which: Flags) -> Iterator[tuple[str, str, Flags]]:
    """By what, which group, and its members among those that are marked.

    Parameters
    ----------
    stored : Stored
    which : bool array
        Matchups that count.
    """
    matchups, record = stored.found.matchups, stored.found.record
    yield ALL, ALL, which
    for code, name in enumerate(ORBITS):
        yield "pass", name, which & (matchups.orbit == code)
    for by, name, members in conditions.by_fill(matchups.state):
        yield by, name, which & members
    for name, code in CODES.items():
        yield "satellite", name, which & (matchups.satellite == code)
    for code, name in FEEDS.items():
        yield "feed", name, which & (matchups.feed == code)
    for code, name in SETS.items():
        yield "set", name.replace("_", " "), which & (stored.sets == code)
    for south, north in ((-60, -30), (-30, -10), (-10, 10), (10, 30), (30, 60)):
        inside = (matchups.latitude >= south) & (matchups.latitude < north)
        yield "latitude", f"{south} to {north}°", which & inside
    for by, name, members in conditions.by_class(record):
        yield by, name, which & members


def scores(stored: Stored, which: Flags) -> list[Score]:
    """All variables in all groups that have points.

    Parameters
    ----------
    stored : Stored
    which : bool array
        Matchups that count, of those that are kept.

    Returns
    -------
    list of Score
        In each group all variables are on the same points.
    """
    kept = which & (stored.verdicts == KEPT)
    both = list(compared(stored))
    common = np.logical_and.reduce([np.isfinite(x) & np.isfinite(y) for *_, x, y in both])
    found = []
    for by, group, members in groups(stored, kept & common):
        if not members.any():
            continue
        stations = stored.found.matchups.platform[members]
        for variable, units, x, y in both:
            told = agreement(x[members], y[members], stations)
            found.append(Score(variable, units, by, group, told))
    return found


def compared(stored: Stored) -> Iterator[tuple[str, str, Array, Array]]:
    """What the record has of what is compared: variable, unit, estimates and reports."""
    for variable, ours, theirs, units, scale in COMPARED:
        if ours in stored.found.record:
            reported = getattr(stored.found.matchups, theirs)
            yield variable, units, stored.found.record[ours] * scale, reported * scale


def one(found: list[Score], variable: str, by: str, group: str) -> Agreement | None:
    """The agreement of a variable in a group; None where there is none."""
    return next(
        (s.agreement for s in found if (s.variable, s.by, s.group) == (variable, by, group)), None
    )


Table = Mapping[str, list[Score]]


def by_variable(found: list[Score]) -> Table:
    """Scores of each variable, in their order."""
    names = dict.fromkeys(score.variable for score in found)
    return {name: [score for score in found if score.variable == name] for name in names}
