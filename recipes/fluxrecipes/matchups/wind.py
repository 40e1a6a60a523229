"""The satellites' wind beside the reports', before and after its correction."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from fluxkernels.stats.agreement import agreement
from fluxrecipes.matchups.file import Stored, satellites
from fluxrecipes.matchups.scores import ALL, Score, compared

Array = npt.NDArray[Any]
Flags = npt.NDArray[np.bool_]

BEFORE, AFTER = "wind of the satellite", "wind, corrected"
THIRDS = ("low", "middle", "high")


def scores(stored: Stored, which: Flags) -> list[Score]:
    """Of observed cells, by satellite and by thirds of wind.

    Parameters
    ----------
    stored : Stored
    which : bool array
        Matchups that count.

    Returns
    -------
    list of Score
        ``by`` is the satellite, ``group`` the third. Before and after are on the same points;
        without any after where the record holds no corrected wind.
    """
    winds = {name: (x, y) for name, _, x, y in compared(stored) if name in (BEFORE, AFTER)}
    if BEFORE not in winds:
        return []
    seen = which & stored.found.matchups.observed
    for x, y in winds.values():
        seen &= np.isfinite(x) & np.isfinite(y)
    found = []
    for satellite, third, members in _groups(stored, seen, *winds[BEFORE]):
        platforms = stored.found.matchups.platform[members]
        for name, (x, y) in winds.items():
            told = agreement(x[members], y[members], platforms)
            found.append(Score(name, "m/s", satellite, third, told))
    return found


def _groups(
    stored: Stored, seen: Flags, estimate: Array, report: Array
) -> Iterator[tuple[str, str, Flags]]:
    """Satellites and thirds that have points.

    Thirds are of the mean of both winds: by either alone its noise would count as bias, high wind
    of it too high and low wind too low. What is left of that is due to unlike noise of the two.
    """
    if not seen.any():
        return
    middle = (estimate + report) / 2.0
    low, high = np.quantile(middle[seen], (1 / 3, 2 / 3))
    limits = (-np.inf, low, high, np.inf)
    words = (f"below {low:.1f} m/s", f"{low:.1f} to {high:.1f} m/s", f"{high:.1f} m/s and above")
    satellite = stored.found.matchups.satellite
    of = {name: satellite == code for code, name in satellites(satellite[seen]).items()}
    every = {ALL: seen} if len(of) > 1 else {}
    for name, its in (every | of).items():
        yield name, ALL, seen & its
        for at, said in enumerate(words):
            members = seen & its & (middle >= limits[at]) & (middle < limits[at + 1])
            if members.any():
                yield name, f"{THIRDS[at]} third, {said}", members
