"""How far an estimate is from a reference."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fluxkernels.stats.series import filled

Array = npt.NDArray[Any]


class Skill(NamedTuple):
    """Scores of an estimate on the points that both have.

    Parameters
    ----------
    points : int
        Points compared.
    rmse, bias : float
        In the unit of the values; bias is estimate minus reference.
    correlation : float
        Pearson's.
    """

    points: int
    rmse: float
    bias: float
    correlation: float


def skill(estimate: Array, reference: Array, weights: Array | None = None) -> Skill:
    """RMSE, bias and correlation over the points where both are finite and not masked.

    Parameters
    ----------
    estimate, reference : float array
        Of one shape.
    weights : float array, optional
        Such as the area of each cell; by default all points count alike.

    Returns
    -------
    Skill
        NaN scores where fewer than two points can be compared.

    Raises
    ------
    ValueError
        Where the shapes differ.
    """
    given, truth = filled(estimate), filled(reference)
    if given.shape != truth.shape:
        raise ValueError(f"shapes {given.shape} and {truth.shape} differ")
    both = np.isfinite(given) & np.isfinite(truth)
    x, y = given[both].astype(np.float64), truth[both].astype(np.float64)
    if x.size < 2:
        return Skill(int(x.size), np.nan, np.nan, np.nan)
    w = np.ones_like(x) if weights is None else np.broadcast_to(filled(weights), both.shape)[both]
    w = w / w.sum()
    bias = float(w @ (x - y))
    rmse = float(np.sqrt(w @ (x - y) ** 2))
    dx, dy = x - w @ x, y - w @ y
    spread = np.sqrt((w @ dx**2) * (w @ dy**2))
    return Skill(int(x.size), rmse, bias, float(w @ (dx * dy) / spread) if spread > 0 else np.nan)
