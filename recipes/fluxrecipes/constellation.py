"""The constellation: which satellites observe on which day, and which of them is believed first.

Passes of several satellites are merged cell by cell: for each day the satellites that serve on it
stand in an order, and the first that saw a cell gives its values, all of them together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

from fluxengine import registry
from fluxengine.declare import Source, Variable, flag_variable
from fluxengine.errors import ConfigError, UnknownName
from fluxengine.grid import Axis
from fluxrecipes import vocabulary as cf

Rule = Literal["newest", "fixed-local-time", "closest-to-in-situ"]

# The satellites of the first record (Wang et al., 2026, Table 2). Their periods are the sources'.
RECORD = ("f10", "f11", "f13", "f14", "f15", "f16", "f17")

# All near 6 and 18 h: without the change of local time that each newer satellite brings (Table 3
# of the same). A satellite serves till the next takes over.
FIXED_LOCAL_TIME = (
    ("f11", date(1992, 1, 1)),
    ("f13", date(1995, 5, 9)),
    ("f17", date(2006, 12, 20)),
)


@dataclass(frozen=True)
class Doubt:
    """Days on which a satellite is believed last, or not at all.

    Parameters
    ----------
    first, last : date
    use : bool
        Whether its values may be used where no other satellite has any, marked as doubtful.
    why : str
    """

    first: date
    last: date
    use: bool
    why: str


# Hilburn and Wentz (2008), J. Climate 21, on the RADCAL beacon; the provider's notes on F17.
DOUBTS: Mapping[str, tuple[Doubt, ...]] = {
    "f15": (
        Doubt(date(2006, 8, 14), date.max, False, "RADCAL beacon disturbs the 22 GHz channel"),
    ),
    "f17": (Doubt(date(2016, 3, 1), date(2016, 6, 30), True, "37 GHz vertical channel drifts"),),
}

# Codes of the satellites in the flag variable of a merged product; a newcomer's lies above them.
CODES = {
    "f10": 10,
    "f11": 11,
    "f13": 13,
    "f14": 14,
    "f15": 15,
    "f16": 16,
    "f17": 17,
    "f18": 18,
    "amsre": 30,
    "amsr2": 31,
    "amsr2-v7.2": 32,
    "windsat": 33,
    "gmi": 34,
}
NO_SATELLITE, NEWCOMERS = 2, range(100, 256)


def codes(sensors: Sequence[str]) -> dict[int, str]:
    """Code and name of each satellite, whatever others there are: stored codes keep their meaning.

    Raises
    ------
    ConfigError
        Where two newcomers have the same code.
    """
    found: dict[int, str] = {}
    for name in sensors:
        other = found.setdefault(_code(name), name)
        if other != name:
            raise ConfigError(
                f"the names '{other}' and '{name}' give the same satellite code, {_code(name)}.",
                where="options.sensors",
                mend="Give one of the two sources another name, or leave it out.",
            )
    return found


def _code(name: str) -> int:
    """A newcomer's comes from its name alone."""
    digest = hashlib.sha256(name.encode()).digest()
    return CODES.get(name, NEWCOMERS[int.from_bytes(digest) % len(NEWCOMERS)])


def satellite_of(sensors: Sequence[str]) -> Variable:
    """Flag variable that says which satellite gave the values of a cell."""
    named = {code: name.replace("-", "_") for code, name in codes(sensors).items()}
    return flag_variable(
        "satellite",
        "satellite that gave the values of the cell",
        {NO_SATELLITE: "none", **named},
        comment="all variables of a cell come from one satellite and one pass",
    )


SURE, DOUBTFUL = 2, 3
QUALITY = flag_variable(
    "satellite_quality",
    "whether the satellite was in order on that day",
    {SURE: "good", DOUBTFUL: "doubtful"},
    standard_name="quality_flag",
    comment="; ".join(
        f"{name} {d.first} to {d.last}: {d.why}"
        for name, doubts in DOUBTS.items()
        for d in doubts
        if d.use
    ),
)


@dataclass(frozen=True)
class Constellation:
    """Satellites with their periods, and the rule by which they are merged.

    Parameters
    ----------
    rule : {"newest", "fixed-local-time", "closest-to-in-situ"}
    periods : tuple of (str, date, date or None)
        Satellite, first day, last day; no last, and it goes on.
    ranking : tuple of (str, tuple of str)
        For ``closest-to-in-situ``: month as ``2004-07``, then satellites, the closest first.
    """

    rule: Rule
    periods: tuple[tuple[str, date, date | None], ...]
    ranking: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @classmethod
    def of(
        cls, rule: Rule, sources: Mapping[str, Source], ranking: Mapping[str, Sequence[str]]
    ) -> Constellation:
        """From the sources of some satellites, each with the period of its own time axis.

        Raises
        ------
        ConfigError
            Where the rule needs a satellite, or a ranking, that is not given.
        """
        needed = [name for name, _ in FIXED_LOCAL_TIME] if rule == "fixed-local-time" else []
        absent = [name for name in needed if name not in sources]
        if absent:
            raise ConfigError(
                f"the rule '{rule}' needs {', '.join(needed)}; {', '.join(absent)} is not among the"
                " sensors.",
                where="options.sensors",
                mend="Add it, or choose the rule 'newest'.",
            )
        if rule == "closest-to-in-situ" and not ranking:
            raise ConfigError(
                f"the rule '{rule}' needs a ranking of the satellites by month.",
                where="options.ranking",
                mend="Make one with `fluxforge rank`.",
            )
        periods = tuple((name, *_period(s.grid.step_axis)) for name, s in sources.items())
        ranked = tuple(sorted((month, tuple(names)) for month, names in ranking.items()))
        return cls(rule, periods, ranked)

    def order(self, day: date) -> tuple[str, ...]:
        """The satellites of a day, the most believed first; those in doubt come last."""
        serving = [name for name in self._by_rule(day) if self._serves(name, day)]
        return tuple(sorted(serving, key=lambda name: doubt(name, day) is not None))

    def _serves(self, name: str, day: date) -> bool:
        first, last = next((f, e) for n, f, e in self.periods if n == name)
        in_period = first <= day and (last is None or day <= last)
        found = doubt(name, day)
        return in_period and (found is None or found.use)

    def _by_rule(self, day: date) -> list[str]:
        newest = [name for name, _, _ in sorted(self.periods, key=lambda p: (p[1], p[0]))][::-1]
        if self.rule == "newest":
            return newest
        if self.rule == "fixed-local-time":
            return [name for name, since in FIXED_LOCAL_TIME if since <= day][-1:]
        ranked = dict(self.ranking).get(f"{day:%Y-%m}", ())
        return [*(n for n in ranked if n in newest), *(n for n in newest if n not in ranked)]


def source_of(sensor: str) -> Source:
    """The daily maps of a satellite: RSS's, by its short name, or the source of that name.

    Raises
    ------
    UnknownName
        Where there is neither.
    ConfigError
        Where that source has no passes: means of days, an analysis.
    """
    short = f"rss-{sensor}"
    known = registry.source_names()
    if short not in known and sensor not in known:
        satellites = [name.removeprefix("rss-") for name in known if _has_passes(name)]
        mend = f"Did you mean '{sensor.lower()}'?" if sensor.lower() in satellites else None
        mend = mend or f"Known: {', '.join(satellites)}."
        raise UnknownName(f"there is no satellite '{sensor}'.", where="sensors", mend=mend)
    name = short if short in known else sensor
    if not _has_passes(name):
        raise ConfigError(
            f"'{name}' has no wind on the ascending and descending passes of a day.",
            where="sensors",
            mend=f"`fluxforge sources {name}` says what it has. Name daily maps of a satellite.",
        )
    return registry.source(name)


def _has_passes(name: str) -> bool:
    """Whether a source has what a record is made from: wind, and when each pass saw it."""
    source = registry.source(name)
    needed = {cf.wind_speed.name, cf.pass_time.name}
    return "orbit" in source.grid.dims and needed <= {one.name for one in source.variables}


def doubt(name: str, day: date) -> Doubt | None:
    """What speaks against a satellite on a day."""
    return next((d for d in DOUBTS.get(name, ()) if d.first <= day <= d.last), None)


def _period(axis: Axis) -> tuple[date, date | None]:
    return axis.day(0), None if axis.size is None else axis.day(axis.size - 1)
