"""Means as tables for the eye, a file of numbers, maps and series as pictures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fluxengine import show
from fluxengine.repository import storage_errors
from fluxrecipes.matchups import published
from fluxrecipes.report import lines
from fluxrecipes.report.maps import STYLES, Panel, draw, even
from fluxrecipes.report.units import shown
from fluxrecipes.trends.means import RECORD, VARIABLES, Mean, Means, apart

_COLOURS = ("black", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "0.6")


def tables(found: Means) -> None:
    """Print global means of each member on common cells, and how far they are from the record."""
    first, last = _period(found)
    show.out.print(f"[bold]Means of {found.asked.world}[/], months of {first} to {last}")
    heads = ("member", "height", "figures", "#months", "#mean", "#less the record")
    more = ("#σ of that by month", "#RMSD of maps")
    for variable in VARIABLES:
        rows = [_row(found, one) for one in found.of(variable)]
        given = [
            (one.product, "", published.MARK, "", f"{one.low:g} to {one.high:g}", "", "", "")
            for one in published.GLOBAL_MEANS
            if one.variable == variable
        ]
        unit = shown(found.of(variable)[0].units).unit
        show.out.print()
        title = f"{variable.replace('_', ' ')} [{unit}]"
        show.table(title, (*heads, *more), [*rows, *given], wide=True)
    show.out.print(
        "\nOf each variable all members are on the same cells and months; global means are over"
        " cells that all have in every month. RMSD: of annual means."
        f" Published: {published.GLOBAL_PAPER}, monthly means 1992 to 2020, of other cells."
    )


def _row(found: Means, one: Mean) -> tuple[str, ...]:
    unit = shown(one.units)
    beside, own = found.record(one), one is found.record(one)
    less = (one.series - beside.series) * unit.scale
    world = f"measured here, {found.asked.world if found.asked.simulated else 'real'}"
    told = (np.nanmean(less), np.nanstd(less), apart(one, beside) * unit.scale)
    cells = ["", "", ""] if own else [f"{value:.{unit.digits}f}" for value in told]
    mean = np.nanmean(one.series) * unit.scale + unit.offset
    months = str(len(one.months))
    return one.member, one.height, world, months, f"{mean:.{unit.digits}f}", *cells


def _period(found: Means) -> tuple[Any, Any]:
    months = found.found[0].months
    return months[0], months[-1]


def write(found: Means) -> list[Path]:
    """Write numbers and pictures into the folder that was asked for; give their paths."""
    folder = found.asked.out
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        numbers = folder / "means.json"
        numbers.write_text(json.dumps(found.as_json(), indent=2, allow_nan=False) + "\n")
        return [numbers, *_maps(found, folder), _series(found, folder / "global_means.png")]


def _maps(found: Means, folder: Path) -> Iterator[Path]:
    """The record's annual means, and of each variable what others have more than it."""
    first, last = _period(found)
    period = f"{first} to {last}: {found.asked.world}"
    own = [found.of(variable)[0] for variable in VARIABLES]
    yield draw(
        [_panel(one) for one in own],
        folder / "annual_means.png",
        title=f"Annual means, {period}",
        note="On cells that the record and all beside it have." if found.asked.beside else "",
    )
    for record in own:
        others = [one for one in found.of(record.variable) if one.member != RECORD]
        if others:
            words = record.variable.replace("_", " ")
            yield draw(
                [_difference(one, found.record(one)) for one in others],
                folder / f"annual_means_{record.variable}.png",
                title=f"Annual means of {words} less the record's, {period}",
                note="Of each month and cell that all have.",
            )


def _panel(one: Mean) -> Panel:
    colours, (low, high) = STYLES[one.variable]
    limits = even(one.map.values) if low == -high else None
    return Panel(one.map, one.variable.replace("_", " "), one.units, colours, limits)


def _difference(one: Mean, record: Mean) -> Panel:
    unit = shown(one.units)
    values = one.map.copy(data=one.map.values - record.map.values)
    limits = even(values.values * unit.scale)
    heights = f", {one.height}" if one.height == record.height else f", {one.height} less 10 m"
    title = f"{one.member}{heights if one.height else ''}"
    return Panel(values, title, "", "RdBu_r", limits, (unit.unit, unit.scale, 0.0))


def _series(found: Means, path: Path) -> Path:
    """Monthly global means, a row for each variable."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        len(VARIABLES), 1, figsize=(11, 2.5 * len(VARIABLES) + 1), layout="constrained", sharex=True
    )
    members = list(dict.fromkeys(one.member for one in found.found))
    for axis, variable in zip(axes, VARIABLES, strict=True):
        unit = shown(found.of(variable)[0].units)
        for one in found.of(variable):
            values = one.series * unit.scale + unit.offset
            look = {
                "color": _COLOURS[members.index(one.member) % len(_COLOURS)],
                "linestyle": "--" if one.height == "2 m" else "-",
                "label": f"{one.member}, 2 m" if one.height == "2 m" else one.member,
            }
            lines.monthly(axis, one.months, values, linewidth=1.2, **look)
        axis.set_ylabel(f"{variable.replace('_', ' ')}\n[{unit.unit}]")
        axis.grid(color="0.9")
    lines.legend(figure, axes)
    figure.suptitle(f"Monthly means over common cells: {found.asked.world}", fontweight="bold")
    figure.savefig(path, dpi=130)
    plt.close(figure)
    return path
