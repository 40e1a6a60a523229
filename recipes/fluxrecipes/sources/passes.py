"""Which of a day's two maps is the ascending pass: told by the times of observation.

Providers' documents, and attributes of their files, have been found to say otherwise than the
times; a file's order is therefore never assumed.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from fluxengine.errors import WrongFile

Bytes = npt.NDArray[np.uint8]

ORBITS = ("ascending", "descending")
LAST_TIME = 240  # 24.0 h in tenths: codes of cells without a time begin above it

EQUATOR = slice(320, 400, 8)  # 10S to 10N, enough of it: farther off, local time runs away by hours
TROPICS = slice(240, 480)  # 30S to 30N
NORTHWARD = 40  # rows, 10 degrees: a satellite takes three minutes for them
SAME_OVERFLIGHT = 3  # tenths of an hour; the next one comes 16 of them later
DRIFT = 0.1  # tenths of an hour in 10 degrees: a quarter of what satellites show
FEWEST = 200  # cells that tell a pass: a single overflight has twice as many at the equator
EASTWARD = (np.arange(1440) + 0.5) * 0.25 / 15  # local time minus UTC, h


class Orbit(Protocol):
    """What is known of a satellite's orbit: as `rss.Instrument` has it."""

    @property
    def carrier(self) -> str:
        """Instrument and satellite, for people."""

    @property
    def first_map(self) -> str:
        """Which pass the provider documents as the first map."""

    @property
    def crossings(self) -> tuple[tuple[float, float], ...]:
        """Empty where the local time of crossing the equator goes round the clock."""

    @property
    def reach(self) -> float:
        """How far [h] a pass's local times may lie from the crossing."""

    def crossing(self, day: date) -> float:
        """Local time [h] at which the ascending pass crosses the equator."""


def order_of_passes(
    orbit: Orbit, times: Bytes, path: Path, day: date
) -> tuple[tuple[int, int], str]:
    """Which map is ascending and which descending, and how that is known.

    One map is enough, for the other is the other pass. Where neither has times that tell, the order
    is the one the provider documents.
    """
    found = [_pass(orbit, layer, path, day) for layer in times]
    if found[0] and found[0] == found[1]:
        raise WrongFile(f"both maps hold a {found[0]} pass by their times.", where=str(path))
    told = bool(found[0] or found[1])
    if told:
        ascending_first = found[0] == "ascending" or found[1] == "descending"
    else:
        ascending_first = orbit.first_map == "ascending"
    why = "times of observation" if told else "provider's documentation; no times to tell by"
    return ((0, 1) if ascending_first else (1, 0)), why


def _pass(orbit: Orbit, times: Bytes, path: Path, day: date) -> str | None:
    """The pass whose times these are, shape (lat, lon); None if there are too few to tell."""
    heading = by_heading(times)
    clock = by_clock(orbit, times, path, day) if orbit.crossings else None
    if heading and clock and heading != clock:
        raise WrongFile(
            f"a map that heads as the {heading} pass does has the local times of the {clock} pass"
            f" of {orbit.carrier}. It is another satellite's.",
            where=str(path),
        )
    return heading or clock


def by_heading(times: Bytes) -> str | None:
    """Ascending where what lies farther north on an overflight was seen later.

    On a real day of AMSR2 not one of 220,000 pairs of cells said otherwise. Needs no table of local
    times, so it also holds for satellites whose orbit is not fixed to the sun.
    """
    south, north = times[TROPICS][:-NORTHWARD], times[TROPICS][NORTHWARD:]
    seen = np.maximum(south, north) <= LAST_TIME
    later = north - south  # of bytes, modulo 256: no two times are as far apart as 253
    steps = range(-SAME_OVERFLIGHT, SAME_OVERFLIGHT + 1)
    cells = [np.count_nonzero(seen & (later == step % 256)) for step in steps]
    drift = np.average(steps, weights=cells) if sum(cells) >= FEWEST else 0.0
    if abs(drift) < DRIFT:
        return None
    return "ascending" if drift > 0 else "descending"


def by_clock(orbit: Orbit, times: Bytes, path: Path, day: date) -> str | None:
    """The pass by local times at the equator, where the satellite crosses it at fixed ones."""
    ascending = orbit.crossing(day)
    after = _hours_after(ascending, times)
    if after.size < FEWEST:
        return None
    early, middle, late = np.quantile(after, (0.1, 0.5, 0.9))
    for name, expected in zip(ORBITS, (0, 12), strict=True):
        if expected - orbit.reach <= early and late <= expected + orbit.reach:
            return name
    raise WrongFile(
        f"local times at the equator, about {(ascending + middle) % 24:.1f} h, fit neither pass of"
        f" {orbit.carrier}: {ascending:.1f} h ascending, {(ascending + 12) % 24:.1f} h"
        " descending. It is another satellite's map, or several passes in one.",
        where=str(path),
    )


def _hours_after(crossing: float, times: Bytes) -> npt.NDArray[np.float64]:
    """Local time minus `crossing`, from -6 to 18 h, so that neither pass lies at the seam."""
    rows, columns = np.nonzero(times[EQUATOR] <= LAST_TIME)
    local = times[EQUATOR][rows, columns] * 0.1 + EASTWARD[columns]
    after: npt.NDArray[np.float64] = (local - crossing + 6) % 24 - 6
    return after
