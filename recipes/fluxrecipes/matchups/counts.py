"""How many matchups, by satellite and network."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fluxrecipes.matchups.file import satellites
from fluxrecipes.matchups.matching import Matchups
from fluxrecipes.sources.reports import FEEDS
from fluxrecipes.tables import Table

ALL = "all"


class Count(NamedTuple):
    """Matchups of a satellite and a network, `ALL` of all of them."""

    satellite: str
    network: str
    matchups: int
    platforms: int


def counted(matchups: Matchups) -> list[Count]:
    """Of each satellite and network, and of all; those that there are none of are 0."""
    names = satellites(matchups.satellite)
    networks = {name: matchups.feed == code for code, name in FEEDS.items()}
    every = np.ones(len(matchups), bool)
    by_satellite = {name: matchups.satellite == code for code, name in names.items()}
    found = []
    for satellite, seen in (by_satellite | {ALL: every}).items():
        for network, of in (networks | {ALL: every}).items():
            platforms = matchups.platform[seen & of]
            found.append(Count(satellite, network, len(platforms), len(np.unique(platforms))))
    return found


def table(found: list[Count]) -> Table:
    """Matchups, and platforms in brackets: satellites down, networks across."""
    networks = dict.fromkeys(one.network for one in found)
    rows: dict[str, list[str]] = {}
    for one in found:
        told = f"{one.matchups:,} ({one.platforms:,})" if one.matchups else ""
        rows.setdefault(one.satellite, []).append(told)
    return Table(
        "Matchups that count, and platforms, by satellite and network",
        ("satellite", *(f"#{name}" for name in networks)),
        tuple((name, *several) for name, several in rows.items()),
    )
