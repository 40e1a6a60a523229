"""Matchups as pictures: densities with their spread, a Taylor diagram, and where they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fluxkernels.stats.agreement import Agreement
from fluxrecipes.matchups.matching import WITHHELD, WITHHELD_PLACES
from fluxrecipes.matchups.scores import COMPARED
from fluxrecipes.matchups.stations import BOTH, Series
from fluxrecipes.report import lines
from fluxrecipes.report.maps import PRINT
from fluxrecipes.vocabulary import KELVIN

Array = npt.NDArray[Any]

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKS = "osD^v<>"


def _pyplot() -> Any:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    return plt


def densities(
    compared: Sequence[tuple[str, str, Array, Array]],
    told: Mapping[str, Agreement],
    path: Path,
    *,
    title: str,
    of: str = "record",
) -> Path:
    """Estimates over reports, counted in hexagons, with the line of equality and ± 2 σ about it.

    Parameters
    ----------
    compared : sequence of (variable, unit, estimates, reports)
        At most six are drawn.
    told : mapping of str to Agreement
        By variable.
    path : Path
        Of the PNG; a PDF goes beside it.
    title : str
    of : str
        Whose estimates they are.
    """
    from matplotlib.ticker import LogFormatter

    plt = _pyplot()
    shown = compared[:6]
    columns = 2 if len(shown) <= 4 else 3
    size = (4.4 * columns, 8.6)
    figure, axes = plt.subplots(2, columns, figsize=size, layout="constrained", squeeze=False)
    for axis, (variable, unit, x, y) in zip(axes.flat, shown, strict=False):
        offset = KELVIN if unit == "°C" else 0.0
        ours, theirs = x - offset, y - offset
        low, high = np.nanpercentile(np.concatenate([ours, theirs]), (0.1, 99.9))
        drawn = axis.hexbin(
            theirs, ours, gridsize=70, extent=(low, high, low, high), mincnt=1, bins="log",
            cmap="viridis", linewidths=0.1,
        )  # fmt: skip
        agreed = told[variable]
        ends = np.array([low, high])
        width = 2.0 * agreed.centred.value
        axis.plot(ends, ends, color="black", linewidth=1)
        for side in (-width, width):
            (line,) = axis.plot(
                ends, ends + agreed.bias.value + side, "--", color=_COLOURS[1], linewidth=1
            )
        line.set_label("bias ± 2 centred RMSE")
        axis.set(xlim=(low, high), ylim=(low, high), aspect="equal")
        axis.set_xlabel(f"report [{unit}]")
        axis.set_ylabel(f"{of} [{unit}]")
        axis.set_title(variable, loc="left", fontsize=11)
        axis.text(
            0.03,
            0.97,
            f"RMSE {agreed.rmse.value:.2f} {unit}\nbias {agreed.bias.value:+.2f} {unit}\n"
            f"r {agreed.correlation.value:.3f}\n{agreed.points:,} points",
            transform=axis.transAxes,
            va="top",
            fontsize=9,
            bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none"},
        )
        counts = figure.colorbar(drawn, ax=axis, shrink=0.75, label="points")
        counts.ax.yaxis.set_major_formatter(LogFormatter())  # no powers of ten: few are hundreds
        counts.ax.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1.0, 0.5)))
    axes.flat[0].legend(loc="lower right", fontsize=8)
    for axis in axes.flat[len(shown) :]:
        axis.set_visible(False)
    figure.suptitle(title, fontsize=14, fontweight="bold")
    return _saved(figure, path)


def taylor(several: Mapping[str, Mapping[str, Agreement]], path: Path, *, title: str) -> Path:
    """Taylor diagrams, one for each variable: spread and correlation of each estimate.

    Spreads are divided by that of the reports, so that a perfect estimate is at 1 on the axis;
    arcs about that point are centred errors. A diagram reaches as far as its estimates do, and to
    correlations below zero where there is one.

    Parameters
    ----------
    several : mapping of variable to mapping of label to Agreement
    path : Path
        Of the PNG; a PDF goes beside it.
    title : str
    """
    plt = _pyplot()
    rows = -(-len(several) // 2)
    figure, axes = plt.subplots(
        rows, 2, figsize=(11, 5.3 * rows + 0.6), subplot_kw={"projection": "polar"}, squeeze=False
    )
    # Quarter circles: what lays out axes by itself takes them for whole ones.
    figure.subplots_adjust(left=0.06, right=0.95, bottom=0.06, top=0.87, hspace=0.28, wspace=0.15)
    for axis in axes.flat[len(several) :]:
        axis.set_visible(False)
    names = list(dict.fromkeys(label for labelled in several.values() for label in labelled))
    shown: dict[str, Any] = {}
    for axis, (variable, labelled) in zip(axes.flat, several.items(), strict=False):
        points = np.array([_taylor_point(one) for one in labelled.values()]).reshape(-1, 2)
        _taylor_axis(axis, points)
        axis.set_title(variable, loc="left", fontsize=11)
        for label, point in zip(labelled, points, strict=True):
            at = names.index(label)
            (shown[label],) = axis.plot(
                np.arccos(point[0]),
                point[1],
                _MARKS[at % len(_MARKS)],
                color=_COLOURS[at % len(_COLOURS)],
                label=label,
                markerfacecolor="none",  # they lie close together
                markeredgewidth=1.8,
                markersize=8,
            )
    handles = [shown[name] for name in names]
    where = {"loc": "upper center", "bbox_to_anchor": (0.5, 0.955), "ncols": min(len(names), 6)}
    figure.legend(handles, names, fontsize=9, **where)
    figure.suptitle(title, fontsize=14, fontweight="bold")
    return _saved(figure, path)


def _taylor_point(agreed: Agreement) -> tuple[float, float]:
    """Correlation, and spread over that of the reports."""
    reference = agreed.spread_of_reference.value
    return agreed.correlation.value, agreed.spread.value / reference if reference > 0 else np.nan


def _taylor_axis(axis: Any, points: Array) -> None:
    below_zero = bool((points[:, 0] < 0).any())
    reach = max(1.5, 1.1 * float(np.fmax.reduce(points[:, 1], initial=0.0)))
    axis.set_thetalim(0, np.pi if below_zero else np.pi / 2)
    axis.set_rlim(0, reach)
    ticks = np.array([0.0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0])
    if below_zero:
        ticks = np.concatenate([-ticks[:0:-1], ticks])
    axis.set_thetagrids(np.degrees(np.arccos(ticks)), [f"{tick:g}" for tick in ticks], fontsize=8)
    step = 0.5 * np.ceil(reach / 2.0)
    axis.set_rgrids(np.arange(step, reach + 0.01, step), fontsize=8)
    axis.plot(0.0, 1.0, "k*", markersize=13, clip_on=False)
    turn = np.linspace(0, np.pi, 100)
    for radius in (0.25, 0.5, 0.75, 1.0):
        east, north = 1.0 + radius * np.cos(turn), radius * np.sin(turn)
        axis.plot(np.arctan2(north, east), np.hypot(east, north), ":", color="0.6", linewidth=0.8)
        top = np.arctan2(radius, 1.0), np.hypot(1.0, radius)
        axis.text(*top, f"{radius:g}", fontsize=7, color="0.45", clip_on=True)
    outside = (1.28 if below_zero else 1.12) * reach
    axis.text(np.pi / 5, outside, "correlation", rotation=-54, ha="center", va="center", fontsize=9)
    below = 0.16 if below_zero else -0.09  # a half circle has the middle of its axes
    axis.text(
        0.5, below, "standard deviation, and centred error (dotted), over that of the reports",
        transform=axis.transAxes, ha="center", fontsize=9,
    )  # fmt: skip


def series(several: Sequence[Series], path: Path, *, title: str) -> Path:
    """Monthly means: a column for each station, a row for each variable.

    Parameters
    ----------
    several : sequence of Series
    path : Path
        Of the PNG; a PDF goes beside it.
    title : str
    """
    plt = _pyplot()
    stations = list(dict.fromkeys(one.station for one in several))
    names = [name for name in dict.fromkeys(one.name for one in several) if name != BOTH]
    looks = {name: _COLOURS[at % len(_COLOURS)] for at, name in enumerate(names)}
    rows, columns = len(VARIABLES), len(stations)
    figure, axes = plt.subplots(
        rows, columns, figsize=(6.2 * columns + 1, 2.4 * rows + 1), layout="constrained",
        squeeze=False, sharex="col",
    )  # fmt: skip
    for column, station in enumerate(stations):
        axes[0, column].set_title(station, loc="left", fontsize=11)
        months = np.concatenate([s.means[0] for s in several if s.station == station])
        years = months.astype("M8[Y]")
        axes[0, column].set_xlim(years.min().astype("M8[D]"), (years.max() + 1).astype("M8[D]"))
        for axis, variable in zip(axes[:, column], VARIABLES, strict=True):
            mine = [s for s in several if (s.station, s.variable) == (station, variable)]
            for one in mine:
                offset = KELVIN if one.units == "°C" else 0.0
                months, ours, theirs = one.means
                if one.name == BOTH:
                    look = {"color": "black", "linewidth": 1.8, "label": "reports"}
                    lines.monthly(axis, months, theirs - offset, **look)
                else:
                    look = {"color": looks[one.name], "linewidth": 1.0, "label": one.name}
                    lines.monthly(axis, months, ours - offset, **look)
            axis.grid(color="0.9")
            if mine and not column:
                axis.set_ylabel(f"{variable}\n[{mine[0].units}]")
    where = "reports: at the passes of the satellites, air at 10 m"
    lines.legend(figure, axes.flat, title=where)
    figure.suptitle(title, fontsize=14, fontweight="bold")
    return _saved(figure, path)


def places(
    latitude: Array, longitude: Array, feeds: Mapping[str, npt.NDArray[np.bool_]], path: Path,
    *, title: str,
) -> Path:  # fmt: skip
    """Where matchups are, by feed.

    Parameters
    ----------
    latitude, longitude : float array
        Of the matchups, degrees.
    feeds : mapping of str to bool array
        Which are of each feed.
    path : Path
        Of the PNG; a PDF goes beside it.
    title : str
    """
    import cartopy.crs as ccrs

    from fluxrecipes.nature.land import land_fraction

    plt = _pyplot()
    figure, axis = plt.subplots(
        figsize=(12, 5.4), layout="constrained",
        subplot_kw={"projection": ccrs.PlateCarree(central_longitude=200)},
    )  # fmt: skip
    lat, lon = -89.875 + 0.25 * np.arange(720), 0.125 + 0.25 * np.arange(1440)
    land = land_fraction() > 0.5
    axis.pcolormesh(
        lon, lat, np.ma.masked_equal(land, False), cmap="Greys", vmin=0, vmax=2,
        transform=ccrs.PlateCarree(), rasterized=True,
    )  # fmt: skip
    for at, (name, members) in enumerate(feeds.items()):
        if members.any():
            cells = np.unique(
                np.stack([latitude[members].round(1), longitude[members].round(1)]), axis=1
            )
            axis.plot(
                cells[1], cells[0], _MARKS[at], markersize=1.8, color=_COLOURS[at],
                transform=ccrs.PlateCarree(), label=f"{name}: {int(members.sum()):,}",
            )  # fmt: skip
    for name, (north, east) in zip(WITHHELD, WITHHELD_PLACES, strict=False):
        axis.plot(
            east, north, "s", markersize=9, markerfacecolor="none", markeredgecolor="black",
            transform=ccrs.PlateCarree(),
        )  # fmt: skip
        axis.annotate(
            name, (east, north), (7, 5), textcoords="offset points", fontsize=8,
            xycoords=ccrs.PlateCarree()._as_mpl_transform(axis),
        )  # fmt: skip
    axis.set_extent([20.01, 379.99, -65, 65], ccrs.PlateCarree())
    grid = axis.gridlines(draw_labels=["left", "bottom"], color="0.8", linewidth=0.5)
    grid.xlabel_style = grid.ylabel_style = {"size": 8, "color": "0.3"}
    figure.legend(
        loc="outside lower center", ncols=len(feeds), fontsize=9, markerscale=2,
        title="matchups; squares: withheld for the last test",
    )  # fmt: skip
    figure.suptitle(title, fontsize=14, fontweight="bold")
    return _saved(figure, path)


def _saved(figure: Any, path: Path) -> Path:
    tight = {"bbox_inches": "tight", "pad_inches": 0.1}
    figure.savefig(path, dpi=PRINT, **tight)
    figure.set_layout_engine("none")  # all is in its place
    figure.savefig(path.with_suffix(".pdf"), **tight)
    _pyplot().close(figure)
    return path


VARIABLES = tuple(name for name, *_ in COMPARED[:4])
