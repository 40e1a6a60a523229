"""Scores of point estimates: shares of what can be mended at all, intervals by kind of point.

Arrays in, numbers out. What is scored may be air from a retrieval, or fluxes before and after
their correction.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fluxkernels.errors import SampleError, ShapeError
from fluxkernels.stats.probability import coverage, crps_gaussian

Floats = npt.NDArray[np.floating[Any]]
Mask = npt.NDArray[np.bool_]


def mean_square(estimate: Floats, reference: Floats) -> float:
    """Mean square error over the points where both are finite; NaN where there is none."""
    _same(estimate, reference)
    error = estimate.astype(np.float64) - reference
    known = error[np.isfinite(error)]
    return float(np.mean(known**2)) if known.size else np.nan


def closed(estimate: float, baseline: float, floor: float) -> float:
    """Share of the mean square error between a baseline and a floor that an estimate closes.

    Parameters
    ----------
    estimate, baseline, floor : float
        Mean square errors; the floor is that of an oracle, below the baseline's.

    Returns
    -------
    float
        0 at the baseline, 1 at the floor; above 1 for what is better than the oracle, negative
        for what is worse than the baseline.

    Raises
    ------
    SampleError
        FK115: the oracle is no better than the baseline.
    """
    if not floor < baseline:
        raise SampleError(
            f"the oracle's mean square error, {floor:g}, is not below the baseline's, "
            f"{baseline:g}.",
            "gap closed",
            "Give the oracle more points, or a baseline that leaves something to close.",
        )
    return (baseline - estimate) / (baseline - floor)


class Correction(NamedTuple):
    """What a correction does to an estimate.

    Parameters
    ----------
    points : int
    before, after : float
        RMSE.
    lower : float
        Part by which the RMSE is lower.
    slope, spread : float
        Of the corrected on the reference by least squares; ratio of standard deviations.
    percentiles : (float, float)
        Corrected less reference at the 95th and the 99th percentile.
    removed : float
        Share of the correctable error's mean square that is gone; NaN where it is not known.
    ideal : float
        RMSE with the correctable error gone altogether; NaN where it is not known.
    """

    points: int
    before: float
    after: float
    lower: float
    slope: float
    spread: float
    percentiles: tuple[float, float]
    removed: float
    ideal: float


def correction(
    before: Floats, after: Floats, reference: Floats, ideal: Floats | None = None
) -> Correction:
    """Score a correction on the points where all are finite.

    Parameters
    ----------
    before, after, reference : float array
        Uncorrected, corrected, and what is true; of one shape and unit.
    ideal : float array, optional
        What the estimate would be with the correctable errors taken away and the others left:
        known in a simulated world.

    Raises
    ------
    ShapeError
        FK103: shapes differ.
    SampleError
        FK115: fewer than two points.
    """
    parts = _common(before, after, reference, *(() if ideal is None else (ideal,)))
    b, a, r = parts[:3]
    rmse = [float(np.sqrt(np.mean((x - r) ** 2))) for x in (b, a)]
    spread = float(np.std(r))
    slope = float(np.mean((a - a.mean()) * (r - r.mean()))) / spread**2 if spread > 0 else np.nan
    high = [float(np.percentile(a, q) - np.percentile(r, q)) for q in (95, 99)]
    removed, floor = np.nan, np.nan
    if ideal is not None:
        floor = mean_square(parts[3], r)
        removed = closed(rmse[1] ** 2, rmse[0] ** 2, floor)
    return Correction(
        int(r.size),
        rmse[0],
        rmse[1],
        1.0 - rmse[1] / rmse[0] if rmse[0] > 0 else np.nan,
        slope,
        float(np.std(a)) / spread if spread > 0 else np.nan,
        (high[0], high[1]),
        removed,
        float(np.sqrt(floor)),
    )


def monthly_bias(estimate: Floats, reference: Floats, months: npt.NDArray[Any]) -> dict[str, float]:
    """Mean of estimate less reference in each month, where both are finite.

    Parameters
    ----------
    estimate, reference : float array, shape (point,)
    months : datetime64[M] array, shape (point,)
    """
    _same(estimate, reference)
    error = estimate.astype(np.float64) - reference
    known = np.isfinite(error)
    return {
        str(month): float(error[known & (months == month)].mean())
        for month in np.unique(months[known])
    }


class Trust(NamedTuple):
    """Whether standard errors are what they say.

    Parameters
    ----------
    points : int
    inside68, inside95 : float
        Parts of the points inside the intervals.
    crps, width : float
        Continuous ranked probability score and mean standard error, in the unit of the values.
    holds : bool
        Whether both parts are as near to 0.68 and 0.95 as they must be.
    """

    points: int
    inside68: float
    inside95: float
    crps: float
    width: float
    holds: bool


OVERALL = "all"
_NEAR = {True: (0.05, 0.03), False: (0.08, 0.08)}  # of all points; of a kind of them


def trust(
    mean: Floats, error: Floats, reference: Floats, kinds: Mapping[str, Mask] | None = None
) -> dict[str, Trust]:
    """Score standard errors on all points, and on kinds of them.

    Parameters
    ----------
    mean, error, reference : float array
        Of one shape; points where one is not finite do not count.
    kinds : mapping of str to bool array, optional
        Such as fill states, bands of latitude, thirds of the wind, satellites.

    Raises
    ------
    ShapeError
        FK103: shapes differ.
    """
    _same(mean, error, reference, *(kinds or {}).values())
    everywhere = {OVERALL: np.ones(reference.shape, bool)}
    return {
        name: _trust(mean[at], error[at], reference[at], name == OVERALL)
        for name, at in {**everywhere, **(kinds or {})}.items()
    }


def _trust(mean: Floats, error: Floats, reference: Floats, overall: bool) -> Trust:
    known = np.isfinite(mean) & np.isfinite(error) & np.isfinite(reference)
    m, s, r = mean[known], error[known], reference[known]
    if not r.size:
        return Trust(0, np.nan, np.nan, np.nan, np.nan, False)
    parts = [coverage(m, s, r, level=level) for level in (0.68, 0.95)]
    near = _NEAR[overall]
    holds = abs(parts[0] - 0.68) <= near[0] and abs(parts[1] - 0.95) <= near[1]
    return Trust(
        int(r.size), parts[0], parts[1], crps_gaussian(m, s, r), float(s.mean()), bool(holds)
    )


def bands(
    latitude: Floats, edges: tuple[float, ...] = (-60, -30, -10, 10, 30, 60)
) -> dict[str, Mask]:
    """Points by latitude, degrees north; the last band holds its northern edge."""
    made = {}
    for south, north in pairwise(edges):
        last = latitude <= north if north == edges[-1] else latitude < north
        made[f"{south:g} to {north:g}"] = (latitude >= south) & last
    return made


def thirds(values: Floats, name: str) -> dict[str, Mask]:
    """Points by whether a value is in the lowest, the middle or the highest third."""
    low, high = np.nanpercentile(values, [100 / 3, 200 / 3])
    return {
        f"low {name}": values <= low,
        f"middle {name}": (values > low) & (values <= high),
        f"high {name}": values > high,
    }


def _common(*arrays: Floats) -> list[Floats]:
    """The points at which all are finite, in float64."""
    _same(*arrays)
    known = np.logical_and.reduce([np.isfinite(array) for array in arrays])
    if known.sum() < 2:
        raise SampleError("fewer than two points have all values.", "score", "Give more points.")
    return [array[known].astype(np.float64) for array in arrays]


def _same(*arrays: npt.NDArray[Any]) -> None:
    if len({array.shape for array in arrays}) > 1:
        raise ShapeError(
            f"shapes {', '.join(str(array.shape) for array in arrays)} differ.",
            "score",
            "Give arrays of one shape.",
        )
