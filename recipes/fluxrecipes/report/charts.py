"""Lines and areas through time, as the coordinates that a page draws them by."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from fluxrecipes.report.coverage import Days

Floats = npt.NDArray[np.float64]
Tick = tuple[float, str]

WIDTH, HEIGHT = 560, 220
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 10, 30  # margins


@dataclass(frozen=True)
class Chart:
    """A picture of WIDTH by HEIGHT.

    Parameters
    ----------
    title, units : str
    across, up : tuple of (float, str)
        Places and texts of the ticks of both axes.
    shapes : tuple of (str, str)
        What each line or area shows, and its path as SVG writes it.
    told : str
        The same in words.
    """

    title: str
    units: str
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    shapes: tuple[tuple[str, str], ...]
    told: str

    width, height = WIDTH, HEIGHT
    left, right, top, bottom = LEFT, WIDTH - RIGHT, TOP, HEIGHT - BOTTOM


def line(title: str, units: str, days: Days, values: Floats) -> Chart:
    """A line through time, broken where there is no value.

    Parameters
    ----------
    title, units : str
    days : datetime64[D] array, shape (time,)
    values : float array, shape (time,)
    """
    from matplotlib.ticker import MaxNLocator

    known = values[np.isfinite(values)]
    low, high = (known.min(), known.max()) if known.size else (0.0, 1.0)
    marks = np.asarray(MaxNLocator(5).tick_values(low, high))
    up = _vertical(marks)
    down = TOP + (HEIGHT - TOP - BOTTOM) * (marks[-1] - values) / (marks[-1] - marks[0])
    points = zip(_horizontal(days, days), down, strict=True)
    path = " ".join(
        "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in some) + "h0"  # a lone point is a dot
        for there, some in groupby(points, key=lambda point: bool(np.isfinite(point[1])))
        if there
    )
    if known.size:
        ends = f"from {known.min():.4g} to {known.max():.4g} {units}, mean {known.mean():.4g}"
        told = f"{title}, {days[0]} to {days[-1]}: {ends}."
    else:
        told = f"{title}: no value."
    return Chart(title, units, _dates(days), up, (("line", path),), told)


def areas(title: str, days: Days, shares: Floats, names: tuple[str, ...]) -> Chart:
    """Shares of a whole through time, one on the other.

    Parameters
    ----------
    title : str
    days : datetime64[D] array, shape (time,)
    shares : float array, shape (time, names)
        Their sums are 1.
    names : tuple of str
    """
    stacked = np.cumsum(np.column_stack([np.zeros(len(days)), shares]), axis=1).clip(0, 1)
    y = TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - stacked)
    # Each share holds for its whole day or month: a step.
    length = days[-1] - days[-2] if len(days) > 1 else np.timedelta64(1, "D")
    edges = np.append(days, days[-1] + length)
    x = np.repeat(_horizontal(edges, edges), 2)[1:-1]
    shapes = []
    for at, name in enumerate(names):
        lower, upper = (np.repeat(y[:, row], 2) for row in (at, at + 1))
        points = [*zip(x, upper, strict=True), *zip(x[::-1], lower[::-1], strict=True)]
        shapes.append((name, f"M{'L'.join(f'{a:.1f} {b:.1f}' for a, b in points)}Z"))
    mean = ", ".join(f"{n} {100 * s:.1f} %" for n, s in zip(names, shares.mean(0), strict=True))
    up = _vertical(np.array([0.0, 25.0, 50.0, 75.0, 100.0]))
    return Chart(title, "%", _dates(edges), up, tuple(shapes), f"{title}: on average {mean}.")


def _horizontal(days: Days, over: Days) -> Floats:
    """Places of days in a picture of a period."""
    span = max((over[-1] - over[0]).astype(float), 1.0)
    since = (days - over[0]).astype(float)
    return np.asarray(LEFT + (WIDTH - LEFT - RIGHT) * since / span)


def _vertical(marks: Floats) -> tuple[Tick, ...]:
    share = (marks[-1] - marks) / (marks[-1] - marks[0])
    places = TOP + (HEIGHT - TOP - BOTTOM) * share
    return tuple((float(y), f"{mark:g}") for y, mark in zip(places, marks, strict=True))


def _dates(days: Days) -> tuple[Tick, ...]:
    """Ticks at round dates of a period: a few."""
    from matplotlib import dates

    ends = days[[0, -1]].astype("M8[s]").tolist()
    if ends[0] == ends[1]:
        return ((float(LEFT), str(days[0])),)
    locator: Any = dates.AutoDateLocator(minticks=3, maxticks=5)  # type: ignore[no-untyped-call]
    marks = np.asarray(locator.tick_values(*ends)).astype(int).astype("M8[D]")  # since 1970
    inside = [mark for mark in marks if days[0] <= mark <= days[-1]]
    unit = next((u for u in "YM" if all(mark == mark.astype(f"M8[{u}]") for mark in inside)), "D")
    places = _horizontal(np.array(inside, "M8[D]"), days)
    return tuple(
        (float(x), str(mark.astype(f"M8[{unit}]"))) for x, mark in zip(places, inside, strict=True)
    )
