"""The days of a record as a calendar: a row for each year, a cell for each day."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fluxrecipes.report.coverage import Coverage, Days, Kind

Slots = npt.NDArray[np.int_]

WIDTH = 1000
LEFT, TOP = 44, 22  # for the names of years and months
BEGINS = (0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 366)  # of months, and the end
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
APART = 8.0  # cells that are wider have a gap between them


@dataclass(frozen=True)
class Calendar:
    """Places in a picture of `width` by `height`.

    Parameters
    ----------
    height : float
    years, months : tuple of (float, str)
        Place and name: of each row its middle, of each month its beginning.
    paths : tuple of (str, str)
        Of each kind that occurs its name, and all its days as a path of SVG.
    """

    height: float
    years: tuple[tuple[float, str], ...]
    months: tuple[tuple[float, str], ...]
    paths: tuple[tuple[str, str], ...]

    width = WIDTH


def places(days: Days) -> tuple[Slots, Slots]:
    """Year of each day, and its place in it, from 0."""
    years = days.astype("M8[Y]")
    return years.astype(int) + 1970, (days - years.astype("M8[D]")).astype(int)


def drawn(coverage: Coverage) -> Calendar:
    """The calendar of a period; of one year, the months that lie in it."""
    year, slot = places(coverage.days)
    shown = range(12)
    if year[0] == year[-1]:
        ends = coverage.days[[0, -1]].astype("M8[M]").astype(int) % 12
        shown = range(int(ends[0]), int(ends[1]) + 1)
    begin, end = BEGINS[shown[0]], BEGINS[shown[-1] + 1] + (shown[-1] == 1)
    cell = (WIDTH - LEFT) / (end - begin)
    rows = int(year[-1] - year[0]) + 1
    tall = 16.0 if rows > 5 else 30.0
    gap = 1.5 if cell > APART else 0.0
    kinds = coverage.kinds
    paths = []
    for kind in Kind:
        runs = _runs(year, slot, kinds == kind, alone=gap > 0)
        parts = [
            f"M{LEFT + (first - begin) * cell:.2f} {TOP + (row - year[0]) * tall:.1f}"
            f"h{(last + 1 - first) * cell - gap:.2f}v{tall - 2:.1f}"
            f"h{-((last + 1 - first) * cell - gap):.2f}z"
            for row, first, last in runs
        ]
        if parts:
            paths.append((kind.name.lower(), "".join(parts)))
    return Calendar(
        TOP + rows * tall + 2,
        tuple((TOP + (at + 0.5) * tall - 1, str(year[0] + at)) for at in range(rows)),
        tuple((LEFT + (BEGINS[m] - begin) * cell, MONTHS[m]) for m in shown),
        tuple(paths),
    )


def _runs(
    year: Slots, slot: Slots, which: npt.NDArray[np.bool_], *, alone: bool
) -> list[tuple[int, int, int]]:
    """Year, first and last place of days that lie side by side; or of each day by itself."""
    found: list[tuple[int, int, int]] = []
    for row, at in zip(year[which].tolist(), slot[which].tolist(), strict=True):
        if found and not alone and found[-1][0] == row and found[-1][2] == at - 1:
            found[-1] = (row, found[-1][1], at)
        else:
            found.append((row, at, at))
    return found
