"""A picture of a plan: every block of every dataset, and which of them run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fluxengine.errors import ConfigError
from fluxengine.ledger import by_block

if TYPE_CHECKING:
    from fluxengine.declare import Array
    from fluxengine.plan import DatasetPlan, Plan

KINDS = ("up to date", "will run", "may run", "marked", "not asked for")
COLOURS = ("#c7d3dd", "#d55e00", "#e69f00", "#000000", "#ffffff")  # told apart by everyone
LINES = 200  # blocks between which lines are still drawn
SUFFIXES = (".png", ".svg", ".pdf")


def draw_plan(plan: Plan, path: Path) -> None:
    """Draw one row of blocks for each dataset, tiles above one another, upstream on top.

    Raises
    ------
    ConfigError
        Where the file's name says no picture.
    """
    if path.suffix not in SUFFIXES:
        raise ConfigError(
            f"'{path.suffix}' is no kind of picture.", where=str(path), mend="Use .png or .svg."
        )
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    shown = plan.datasets
    figure = Figure(figsize=(10, 1.2 + 0.75 * len(shown)), layout="constrained")
    FigureCanvasAgg(figure)
    rows = figure.subplots(len(shown), 1, squeeze=False)[:, 0]
    for axes, dataset in zip(rows, shown, strict=True):
        colours = ListedColormap(COLOURS)
        extent = (0, dataset.stand.grid.step_blocks, dataset.stand.grid.tiles, 0)
        axes.imshow(_kinds(dataset), cmap=colours, vmin=0, vmax=4, aspect="auto", extent=extent)
        for at in range(1, extent[1]) if extent[1] <= LINES else ():
            axes.axvline(at, color="#ffffff", linewidth=1)
        axes.set_ylabel(_label(dataset), rotation=0, ha="right", va="center")
        _ticks(axes, dataset)
    figure.suptitle(_title(plan))
    patches = [
        Patch(facecolor=c, edgecolor="#888888", label=k)
        for k, c in zip(KINDS, COLOURS, strict=True)
    ]
    figure.legend(handles=patches, loc="outside lower center", ncols=len(KINDS), frameon=False)
    figure.savefig(path, dpi=150)


def _kinds(dataset: DatasetPlan) -> Array:
    """Number of the kind of each block, shape (tiles, step blocks)."""
    book = dataset.stand.ledger
    kinds = np.zeros(len(dataset.wanted), int)
    marked = np.zeros(len(kinds), bool)
    marked[book.marked()] = True
    kinds[marked] = KINDS.index("marked")
    kinds[dataset.may_run.numbers] = KINDS.index("may run")
    kinds[dataset.will_run.numbers] = KINDS.index("will run")
    never = ~by_block(book.grid, book.states > 0)
    kinds[~dataset.wanted & never] = KINDS.index("not asked for")
    outside = np.tile(book.outside, book.grid.step_blocks)
    kinds[outside] = KINDS.index("not asked for")
    return kinds.reshape(book.grid.step_blocks, book.grid.tiles).T


def _label(dataset: DatasetPlan) -> str:
    counts = f"{len(dataset.will_run)} + {len(dataset.may_run)} of {int(dataset.wanted.sum())}"
    reads = ", ".join(dataset.inputs)
    return f"{dataset.name}\n{counts} blocks" + (f"\nfrom {reads}" if reads else "")


def _ticks(axes: object, dataset: DatasetPlan) -> None:
    """A few steps by name."""
    axis = dataset.stand.grid.step_axis
    at = np.unique(np.linspace(0, axis.blocks - 1, min(axis.blocks, 6)).round().astype(int))
    axes.set_yticks([])  # type: ignore[attr-defined]
    names = [axis.name(axis.span(int(block)).start) for block in at]
    axes.set_xticks(at, names, fontsize=8)  # type: ignore[attr-defined]


def _title(plan: Plan) -> str:
    asked = plan.request
    period = f", {asked.first} to {asked.last}" if asked.first else ""
    return f"{asked.product.name}{period}: blocks that will + may run"
