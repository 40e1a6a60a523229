"""Monthly series as lines."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

FEW = 12  # months: of so few the marks are what is seen


def monthly(axis: Any, months: npt.NDArray[Any], values: npt.NDArray[Any], **look: Any) -> None:
    """Draw a series with a mark in the middle of each month, broken where months are missing.

    Parameters
    ----------
    axis : matplotlib Axes
    months : datetime64[M] array
        Ascending.
    values : float array
    **look
        As of `matplotlib.axes.Axes.plot`.
    """
    import matplotlib as mpl

    every = np.arange(months.min(), months.max() + 1)
    whole = np.full(len(every), np.nan)
    whole[np.searchsorted(every, months)] = values
    few = len(every) <= FEW
    with mpl.rc_context({"date.converter": "concise"}):
        axis.plot(
            every.astype("M8[D]") + 14, whole, marker="o" if few else ".", markersize=4, **look
        )


def legend(figure: Any, axes: Any, **options: Any) -> None:
    """One legend below a figure, of all lines of its axes, each label once."""
    lines = {line.get_label(): line for axis in axes for line in axis.get_lines()}
    columns = min(len(lines), 6)
    figure.legend(
        lines.values(), lines.keys(), loc="outside lower center", ncols=columns, **options
    )
