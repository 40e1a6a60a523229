"""Pictures of print quality, each as PNG and PDF, and small copies of them for a page."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fluxrecipes.report.calendar import BEGINS, MONTHS, places
from fluxrecipes.report.coverage import KINDS, Coverage, Days, Kind
from fluxrecipes.report.maps import PRINT, Panel, drawn, style
from fluxrecipes.report.units import shown

if TYPE_CHECKING:
    import xarray as xr

    from fluxrecipes.matchups.report import Validated
    from fluxrecipes.report.findings import Trends

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

# Okabe and Ito's colours, which every eye tells apart; the page has the same.
COLOURS = {
    Kind.COMPLETE: "#0072B2",
    Kind.PARTIAL: "#56B4E9",
    Kind.UNSEEN: "#F0E442",
    Kind.REANALYSIS: "#D55E00",
    Kind.MISSING: "#000000",
}
IN_PAGE = 1300  # dots across the copy of a picture in a page


@dataclass(frozen=True)
class Picture:
    """A picture in a folder, ``NAME.png`` and ``NAME.pdf``.

    Parameters
    ----------
    name, caption : str
    image : str
        A smaller copy as PNG, in base64.
    size : (int, int)
        Of the copy.
    of : str
        Whether it is one of the ``scores``.
    """

    name: str
    caption: str
    image: str
    size: tuple[int, int]
    of: str = ""


def means(
    folder: Path,
    maps: Mapping[str, xr.DataArray],
    titles: Mapping[str, str],
    land: Flags,
    what: str,
) -> Picture:
    """Maps of the means over the period.

    Parameters
    ----------
    folder : Path
    maps : mapping of str to DataArray
        By variable, on (lat, lon).
    titles : mapping of str to str
    land : bool array, shape (lat, lon)
    what : str
        Which record and period, and that it is simulated where it is.
    """
    panels = []
    for name, values in maps.items():
        units = str(values.attrs.get("units", "1"))
        _, factor, offset = shown(units)[:3]
        colours, limits = style(name, values.values * factor + offset, days=False)
        panels.append(Panel(values, titles[name], units, colours, limits))
    same = next(iter(maps.values()))
    shaded = same.copy(data=land) if land.any() else None
    figure = drawn(panels, title=f"Means of {what}", land=shaded)
    return _saved(figure, folder / "means", f"Means over the period: {what}.")


def calendar(folder: Path, coverage: Coverage, what: str) -> Picture:
    """Kinds of days, a row for each year."""
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    plt = _pyplot()
    year, slot = places(coverage.days)
    rows = int(year[-1] - year[0]) + 1
    cells = np.full((rows, 366), -1)
    cells[year - year[0], slot] = coverage.kinds
    figure, axis = plt.subplots(figsize=(11, 1.6 + 0.24 * rows), layout="constrained")
    axis.imshow(
        np.ma.masked_less(cells, 0),
        aspect="auto",
        cmap=ListedColormap(list(COLOURS.values())),
        vmin=-0.5,
        vmax=len(COLOURS) - 0.5,
        interpolation="nearest",
        extent=(0, 366, rows, 0),
    )
    axis.set_xticks(list(BEGINS[:-1]), MONTHS, ha="left")
    every = max(1, rows // 15)
    marked = np.arange(0, rows, every)
    axis.set_yticks(marked + 0.5, [str(year[0] + at) for at in marked])
    axis.tick_params(length=0)
    legend = [
        Patch(color=COLOURS[kind], label=f"{KINDS[kind][0]}: {coverage.number(kind)} days")
        for kind in Kind
        if coverage.number(kind)
    ]
    figure.legend(handles=legend, loc="outside lower center", ncols=len(legend), fontsize=9)
    figure.suptitle(f"Days of {what}", fontsize=13, fontweight="bold")
    return _saved(figure, folder / "coverage", f"Coverage: {what}.")


def series(
    folder: Path, lines: Sequence[tuple[str, str, Days, Floats]], note: str, what: str
) -> Picture:
    """Global means through time: title, unit, times and values of each."""
    plt = _pyplot()
    rows = -(-len(lines) // 2)
    figure, axes = plt.subplots(
        rows, 2, figsize=(11, 2.1 * rows + 0.8), layout="constrained", squeeze=False
    )
    for axis, (title, units, times, values) in zip(axes.flat, lines, strict=False):
        axis.plot(times.astype("M8[D]"), values, color=COLOURS[Kind.COMPLETE], linewidth=1.2)
        axis.set_title(title, loc="left", fontsize=11)
        axis.set_ylabel(units)
        axis.grid(alpha=0.3)
        axis.tick_params(axis="x", labelrotation=20)
    for axis in axes.flat[len(lines) :]:
        axis.set_visible(False)
    figure.suptitle(f"Global means of {what}", fontsize=13, fontweight="bold")
    figure.supxlabel(note, fontsize=8, color="0.3")
    return _saved(figure, folder / "series", f"Global means: {what}.")


def trends(folder: Path, found: Trends) -> Iterator[Picture]:
    """A map for each variable."""
    world = f" SIMULATED ({found.simulated})." if found.simulated else ""
    for name, panel in found.panels.items():
        caption = f"Trend of {panel.title}, of {found.title}.{world}"
        note = "Dots: significant by false discovery rate."
        if panel.crosses is not None:
            note += " Crosses: not observable, less than half of a known trend is given back."
        headed = replace(panel, title=f"Linear trend: {panel.title}")
        figure = drawn([headed], note=f"Of {found.title}.{world} {note}", abreast=1)
        yield _saved(figure, folder / f"trend_{name}", caption)


# Of files that this module writes, and of the numbers beside pictures of scores.
OURS = re.compile(
    r"((coverage|means|series|trend_[a-z][a-z0-9_]*"
    r"|densities|densities_.+_days|taylor|taylor_products|stations|places)\.(png|pdf)"
    r"|validation\.json)"
)
CAPTIONS = {
    "densities": "The record over the reports, counted; dashed: two standard deviations",
    "taylor": "Taylor diagrams: spread and correlation, and so centred errors",
    "taylor_products": "Taylor diagrams of daily products, on common days",
    "stations": "Monthly means at stations",
    "places": "Where the matchups are",
}


def matchups(folder: Path, validated: Validated) -> Iterator[Picture]:
    """All that validation against reports draws."""
    from fluxrecipes.matchups import report

    for path in report.write(validated, folder):
        if path.suffix == ".png":
            words = CAPTIONS.get(path.stem, path.stem.replace("_", " ").capitalize())
            world = validated.world[:1].upper() + validated.world[1:]
            yield replace(_copied(path, f"{words}. {world}."), of="scores")


def clear(folder: Path, kept: Collection[str]) -> None:
    """Remove what a former report drew, by its names; nothing else."""
    for path in sorted(folder.iterdir()):
        if path.name not in kept and OURS.fullmatch(path.name) and path.is_file():
            path.unlink()


def _pyplot() -> Any:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    return plt


def _saved(figure: Any, path: Path, caption: str) -> Picture:
    for kind in (".pdf", ".png"):
        figure.savefig(path.with_suffix(kind), dpi=PRINT, bbox_inches="tight", pad_inches=0.1)
    _pyplot().close(figure)
    return _copied(path.with_suffix(".png"), caption)


def _copied(path: Path, caption: str) -> Picture:
    """With a copy of fewer dots and colours."""
    from PIL import Image

    with Image.open(path) as image:
        small = image.convert("RGB")
        small.thumbnail((IN_PAGE, 10 * IN_PAGE))
        held = io.BytesIO()
        small.quantize(256, dither=Image.Dither.NONE).save(held, "PNG", optimize=True)
        text = base64.b64encode(held.getvalue()).decode("ascii")
        return Picture(path.stem, caption, text, small.size)
