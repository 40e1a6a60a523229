"""A sensor beside another as pictures: regions and seasons, days, maps, and a Taylor diagram."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fluxrecipes.matchups import pictures as drawn
from fluxrecipes.report.maps import Panel, draw
from fluxrecipes.sensors import overlap
from fluxrecipes.sensors.overlap import GLOBAL, PLACES, Overlap
from fluxrecipes.sensors.settings import VARIABLES, Thresholds
from fluxrecipes.sensors.stations import COMPARED, Met
from fluxrecipes.sensors.verdict import UNITS
from fluxrecipes.sources.passes import ORBITS

# For every eye: all, then the seasons.
COLOURS = {"all": "#000000", "DJF": "#0072B2", "MAM": "#009E73", "JJA": "#D55E00", "SON": "#CC79A7"}
BOX, FEWEST = 5, 50  # degrees of a box of a map, and pairs that it needs


def _axes(rows: int, columns: int, size: tuple[float, float], **more: Any) -> tuple[Any, Any, Any]:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(rows, columns, figsize=size, layout="constrained", **more)
    return plt, figure, np.ravel(axes)


def regions(found: Overlap, asked: Thresholds, path: Path, title: str) -> Path:
    """Mean differences of each region, with 95 % intervals, of all days and of each season.

    Parameters
    ----------
    found : Overlap
    asked : Thresholds
        What is permitted is shaded.
    path : Path
        Of the PNG.
    title : str
    """
    plt, figure, axes = _axes(1, len(VARIABLES), (15, 6.4), sharey=True)
    kinds = {"all": None} | {season: season for season in found.seasons(asked.block)}
    places = list(PLACES)
    for axis, name in zip(axes, VARIABLES, strict=True):
        limits, whole = asked.of(name), places.index(GLOBAL)
        axis.axvspan(-limits.regional, limits.regional, color="0.93")
        axis.fill_betweenx([whole - 0.5, whole + 0.5], -limits.bias, limits.bias, color="0.82")
        axis.axvline(0.0, color="0.5", linewidth=0.8)
        for at, (label, season) in enumerate(kinds.items()):
            several = [overlap.bias(found, name, asked.block, place, season) for place in places]
            value, low, high = np.array(several).T
            rows = np.arange(len(places)) + 0.22 * (at - (len(kinds) - 1) / 2)
            axis.errorbar(
                value, rows, xerr=np.abs([value - low, high - value]), fmt="o", markersize=4,
                color=COLOURS[label], linewidth=1.2, label="all days" if season is None else label,
            )  # fmt: skip
        axis.set_yticks(range(len(places)), places)
        axis.set_xlabel(f"{name.replace('_', ' ')} [{UNITS[name]}]")
    axes[0].invert_yaxis()
    axes[-1].legend(fontsize=9, loc="lower right")
    shades = "shaded: permitted; darker: over the whole ocean on all days"
    figure.suptitle(f"{title}: mean difference by region, 95 % intervals; {shades}")
    return _saved(plt, figure, path)


def days(found: Overlap, path: Path, title: str) -> Path:
    """Mean difference of each day over the whole ocean."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    plt, figure, axes = _axes(len(VARIABLES), 1, (11, 8.5), sharex=True)
    for axis, name in zip(axes, VARIABLES, strict=True):
        values = overlap.daily(found, name)
        axis.axhline(0.0, color="0.6", linewidth=0.8)
        axis.plot(found.days.astype("M8[ns]"), values, "o", markersize=3.5, color="#0072B2")
        axis.set_ylabel(f"{name.replace('_', ' ')}\n[{UNITS[name]}]", fontsize=9)
        locator: Any = AutoDateLocator()  # type: ignore[no-untyped-call]
        axis.xaxis.set_major_locator(locator)
        axis.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    figure.suptitle(f"{title}: mean over the ocean, day by day")
    return _saved(plt, figure, path)


def maps(found: Overlap, asked: Thresholds, path: Path, title: str) -> Path:
    """Where both sensors differ on average."""
    import xarray as xr

    middles = (one.reshape(-1, BOX).mean(axis=1) for one in (found.latitude, found.longitude))
    coords = dict(zip(("lat", "lon"), middles, strict=True))
    panels = []
    for name, values in overlap.mean_maps(found, BOX, FEWEST).items():
        limit = asked.of(name).regional
        shown = xr.DataArray(values, coords, ("lat", "lon"))
        words = name.replace("_", " ")
        limits = (-limit, limit)
        panels.append(Panel(shown, words, "", "RdBu_r", limits, (UNITS[name], 1.0, 0.0)))
    note = f"Means of {BOX}° boxes; the ends of a bar are what a region may have."
    return draw(panels, path, title=f"{title}: mean difference", note=note)


def taylor(met: tuple[Met, Met], labels: tuple[str, str], path: Path, title: str) -> Path:
    """Taylor diagrams of both sensors, of all passes and of each kind."""
    several = {}
    for name in COMPARED:
        kinds = {"": None} | {f", {orbit}": n for n, orbit in enumerate(ORBITS)}
        several[name] = {
            f"{label}{words}": one.agreement(name, orbit)
            for words, orbit in kinds.items()
            for label, one in zip(labels, met, strict=True)
        }
    return drawn.taylor(several, path, title=title)


def _saved(plt: Any, figure: Any, path: Path) -> Path:
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return path
