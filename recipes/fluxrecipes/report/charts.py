"""Lines and areas through time, as the coordinates that a page draws them by."""

from __future__ import annotations

from dataclasses import dataclass

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
    marks = MaxNLocator(5).tick_values(low, high)
    up = _vertical(marks)
    down = TOP + (HEIGHT - TOP - BOTTOM) * (marks[-1] - values) / (marks[-1] - marks[0])
    points = list(zip(_horizontal(days), down, strict=True))
    path, pen = [], "M"
    for x, y in points:
        if np.isfinite(y):
            path.append(f"{pen}{x:.1f} {y:.1f}")
            pen = "L"
        else:
            pen = "M"
    if known.size:
        ends = f"from {known.min():.4g} to {known.max():.4g} {units}, mean {known.mean():.4g}"
        told = f"{title}, {days[0]} to {days[-1]}: {ends}."
    else:
        told = f"{title}: no value."
    return Chart(title, units, _dates(days), up, (("line", " ".join(path)),), told)


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
    x = _horizontal(days)
    if len(x) == 1:  # an area needs a width
        x, shares = np.array([LEFT, WIDTH - RIGHT], float), np.repeat(shares, 2, axis=0)
    stacked = np.cumsum(np.column_stack([np.zeros(len(x)), shares]), axis=1).clip(0, 1)
    y = TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - stacked)
    shapes = []
    for at, name in enumerate(names):
        upper = [f"{a:.1f} {b:.1f}" for a, b in zip(x, y[:, at + 1], strict=True)]
        lower = [f"{a:.1f} {b:.1f}" for a, b in zip(x[::-1], y[::-1, at], strict=True)]
        shapes.append((name, f"M{'L'.join([*upper, *lower])}Z"))
    mean = ", ".join(f"{n} {100 * s:.1f} %" for n, s in zip(names, shares.mean(0), strict=True))
    up = _vertical(np.array([0.0, 25.0, 50.0, 75.0, 100.0]))
    return Chart(title, "%", _dates(days), up, tuple(shapes), f"{title}: on average {mean}.")


def _horizontal(days: Days) -> Floats:
    since = (days - days[0]).astype(float)
    return np.asarray(LEFT + (WIDTH - LEFT - RIGHT) * since / max(since[-1], 1.0))


def _vertical(marks: Floats) -> tuple[Tick, ...]:
    share = (marks[-1] - marks) / (marks[-1] - marks[0])
    places = TOP + (HEIGHT - TOP - BOTTOM) * share
    return tuple((float(y), f"{mark:g}") for y, mark in zip(places, marks, strict=True))


def _dates(days: Days) -> tuple[Tick, ...]:
    """Ticks at round dates: at most about six."""
    from matplotlib.dates import AutoDateLocator, date2num, num2date

    ends = days[[0, -1]].astype("M8[s]").tolist()
    if ends[0] == ends[1]:
        return ((float(LEFT), str(days[0])),)
    locator = AutoDateLocator(minticks=3, maxticks=6)
    marks = [num2date(mark).replace(tzinfo=None) for mark in locator.tick_values(*ends)]
    marks = [mark for mark in marks if ends[0] <= mark <= ends[1]]
    years = all((mark.month, mark.day) == (1, 1) for mark in marks)
    first, last = date2num(ends)
    share = (np.asarray(date2num(marks)) - first) / (last - first)
    places = LEFT + (WIDTH - LEFT - RIGHT) * share
    return tuple(
        (float(x), str(mark.year) if years else str(mark.date()))
        for x, mark in zip(places, marks, strict=True)
    )
