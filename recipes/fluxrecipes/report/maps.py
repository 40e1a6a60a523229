"""Maps: several panels, units on every bar, colours that every eye tells apart."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyproj  # noqa: F401  first: cfgrib, which xarray loads where it is installed, has another PROJ

from fluxengine.declare import Array, Variable
from fluxrecipes.report.units import shown

if TYPE_CHECKING:
    import xarray as xr

LAND, NO_VALUE = "0.55", "0.90"
PRINT = 300  # dots an inch


@dataclass(frozen=True)
class Panel:
    """One map.

    Parameters
    ----------
    values : DataArray
        On (lat, lon), in the variable's own unit.
    title : str
    units : str
        As stored.
    colours : str
        A matplotlib colour map.
    limits : (float, float), optional
        In the shown unit; by default the 1st and 99th percentile.
    shown : (str, float, float), optional
        The shown unit, and scale and offset from the stored one; by default as of
        `fluxrecipes.report.units`.
    dots, crosses : bool DataArray, optional
        On (lat, lon): cells that get one or the other, some of them.
    """

    values: xr.DataArray
    title: str
    units: str
    colours: str = "viridis"
    limits: tuple[float, float] | None = None
    shown: tuple[str, float, float] | None = None
    dots: xr.DataArray | None = None
    crosses: xr.DataArray | None = None


STYLES = {
    "sea_surface_temperature": ("cividis", (-2.0, 31.0)),
    "air_temperature": ("cividis", (-2.0, 31.0)),
    "wind_speed": ("viridis", (0.0, 18.0)),
    "water_vapour": ("viridis", (0.0, 65.0)),
    "specific_humidity": ("viridis", (0.0, 21.0)),
    "latent_heat_flux": ("magma", (0.0, 300.0)),
    "sensible_heat_flux": ("PuOr_r", (-80.0, 80.0)),
}


def style(name: str, shown: Array, *, days: bool) -> tuple[str, tuple[float, float]]:
    """Colours of a variable, and their limits.

    Of days the usual ones; of means, which vary less, nearly all that there is: even about zero
    where colours part there.

    Parameters
    ----------
    name : str
        Of the variable.
    shown : float array
        All that is to be shown, in the unit for the eye.
    days : bool
    """
    colours, usual = STYLES.get(name, ("viridis", None))
    if days and usual is not None:
        return colours, usual
    known = shown[np.isfinite(shown)]
    low, high = np.percentile(known, (0.5, 99.5)) if known.size else (0.0, 1.0)
    if usual is not None and usual[0] == -usual[1]:
        low, high = -max(abs(low), abs(high)), max(abs(low), abs(high))
    return colours, (float(low), float(high) if high > low else float(low) + 1.0)


def panel(values: xr.DataArray, variable: Variable, title: str) -> Panel:
    """A panel in the variable's usual colours."""
    colours, limits = STYLES.get(variable.name, ("viridis", None))
    return Panel(values, title, variable.units, colours, limits)


def title_of(long_name: str) -> str:
    """The head of a map: what a variable is, without its particulars."""
    return long_name.partition(",")[0].replace(" at the sea surface", "")


def even(values: Any) -> tuple[float, float]:
    """Limits of colours that are even about zero, between which 98 of 100 values lie."""
    sizes = np.abs(values[np.isfinite(values)])
    largest = float(np.percentile(sizes, 98)) if sizes.size else 0.0
    return (-largest, largest) if largest > 0 else (-1.0, 1.0)


def draw(
    panels: Sequence[Panel], path: Path, *, title: str, note: str = "", land: Any = None
) -> Path:
    """Draw panels two abreast on a world map and write a PNG.

    Parameters
    ----------
    panels : sequence of Panel
    path : Path
    title, note : str
    land : bool DataArray, optional
        On (lat, lon): drawn dark, other cells without a value light. No coastline is downloaded.

    Returns
    -------
    Path
        `path`.
    """
    import matplotlib.pyplot as plt

    figure = drawn(panels, title=title, note=note, land=land)
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path


def drawn(
    panels: Sequence[Panel],
    *,
    title: str = "",
    note: str = "",
    land: Any = None,
    abreast: int = 2,
) -> Any:
    """The figure that `draw` writes, its panels so many abreast."""
    import matplotlib as mpl

    mpl.use("Agg")
    import cartopy.crs as ccrs
    import matplotlib.pyplot as plt

    rows = -(-len(panels) // abreast)
    figure, axes = plt.subplots(
        rows,
        abreast,
        figsize=(6.5 * abreast, 2.35 * rows + 1.1),
        subplot_kw={"projection": ccrs.PlateCarree(central_longitude=200)},
        layout="constrained",
        squeeze=False,
    )
    for axis, one in zip(axes.flat, panels, strict=False):
        _draw_one(figure, axis, one)
        if land is not None:
            _shade(axis, land)
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    if title:
        figure.suptitle(title, fontsize=14, fontweight="bold")
    if note:
        grey = "Dark grey: land; light grey: no value. " if land is not None else ""
        wrapped = textwrap.wrap(grey + note, 85 * abreast)
        figure.supxlabel("\n".join(wrapped), fontsize=9, color="0.3")
    return figure


def _shade(axis, land: xr.DataArray) -> None:  # type: ignore[no-untyped-def]
    import cartopy.crs as ccrs
    from matplotlib.colors import ListedColormap

    axis.pcolormesh(
        land["lon"].values,
        land["lat"].values,
        np.ma.masked_equal(land.values.astype("u1"), 0),
        transform=ccrs.PlateCarree(),
        cmap=ListedColormap([LAND]),
        shading="nearest",
        rasterized=True,
    )


def _mark(axis, one: Panel) -> None:  # type: ignore[no-untyped-def]
    """Dots some 3° apart, crosses some 6°: the colours stay visible."""
    import cartopy.crs as ccrs

    lat, lon = one.values["lat"].values, one.values["lon"].values
    spacing = float(abs(lat[1] - lat[0]))
    looks = ((one.dots, "ok", 1.3, 3.0), (one.crosses, "xk", 2.6, 6.0))
    for cells, mark, size, apart in looks:
        if cells is not None:
            step = max(1, round(apart / spacing))
            every = np.zeros((len(lat), len(lon)), bool)
            every[step // 2 :: step, step // 2 :: step] = True
            row, column = np.nonzero(cells.values & every)
            axis.plot(
                lon[column],
                lat[row],
                mark,
                markersize=size,
                markeredgewidth=0.5 if mark == "xk" else 0.2,
                markeredgecolor="k" if mark == "xk" else "w",
                transform=ccrs.PlateCarree(),
            )


def _draw_one(figure, axis, one: Panel) -> None:  # type: ignore[no-untyped-def]
    import cartopy.crs as ccrs

    unit, scale, offset = one.shown or shown(one.units)[:3]
    values = one.values.values * scale + offset
    low, high = one.limits or tuple(np.nanpercentile(values, (1, 99)))
    lat, lon = one.values["lat"].values, one.values["lon"].values
    axis.set_extent([20.01, 379.99, lat.min() - 0.5, lat.max() + 0.5], ccrs.PlateCarree())
    axis.set_facecolor(NO_VALUE)
    drawn = axis.pcolormesh(
        lon,
        lat,
        values,
        transform=ccrs.PlateCarree(),
        cmap=one.colours,
        vmin=low,
        vmax=high,
        shading="nearest",
        rasterized=True,
    )
    _mark(axis, one)
    lines = axis.gridlines(draw_labels=["left", "bottom"], color="1", alpha=0.35, linewidth=0.5)
    lines.xlabel_style = lines.ylabel_style = {"size": 8, "color": "0.3"}
    axis.set_title(one.title, fontsize=11, loc="left")
    bar = figure.colorbar(drawn, ax=axis, shrink=0.7, pad=0.015, extend="both")
    bar.set_label(unit, fontsize=9)
    bar.ax.tick_params(labelsize=8)
