"""Statistics of masked arrays, as netCDF4 hands them out, with fill values below the mask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fluxkernels.errors import ShapeError, TimeError
from fluxkernels.stats.agreement import agreement, sums_of
from fluxkernels.stats.collocation import resampled_collocation, triple_collocation
from fluxkernels.stats.field import significant
from fluxkernels.stats.probability import coverage, crps_gaussian, inside
from fluxkernels.stats.rank import rank_trend
from fluxkernels.stats.samples import common_sample
from fluxkernels.stats.series import as_series, check_times, filled
from fluxkernels.stats.skill import skill
from fluxkernels.stats.trend import linear_trend, mean_of

POINTS = 120
TIMES = np.arange(float(POINTS))
LABELS = np.arange(POINTS) % 11
FILL = {"f4": 9.96921e36, "f8": 9.96921e36, "i2": -32767}

STATISTICS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "skill": lambda x, y, z: skill(x, y),
    "skill with weights": lambda x, y, z: skill(x, y, abs(z)),
    "agreement": lambda x, y, z: agreement(x, y, LABELS, resamples=30),
    "sums of scores": lambda x, y, z: sums_of(x, y, abs(z)),
    "collocation": triple_collocation,
    "resampled": lambda x, y, z: resampled_collocation(x, y, z, LABELS, resamples=30),
    "crps": lambda x, y, z: crps_gaussian(x, abs(y), z),
    "coverage": lambda x, y, z: coverage(x, abs(y), z, level=0.5),
    "inside": lambda x, y, z: inside(x, abs(y), 0.5),
    "common sample": lambda x, y, z: common_sample(x, {"y": (y,), "z": (z, x)}),
    "rank trend": lambda x, y, z: rank_trend(x.reshape(30, 4), TIMES[:30]),
    "linear trend": lambda x, y, z: linear_trend(x, TIMES),
    "mean": lambda x, y, z: mean_of(x),
    "significant": lambda x, y, z: significant(abs(x) / 100, 0.9),
}


def fields(dtype: str) -> tuple[list[Any], list[np.ndarray]]:
    """Three fields that agree somewhat: masked, and the same with NaN."""
    rng = np.random.default_rng(4)
    truth = rng.normal(0.0, 20.0, POINTS)
    masked, plain = [], []
    for _ in range(3):
        values = (truth + rng.normal(0.0, 6.0, POINTS)).astype(dtype)
        gone = rng.random(POINTS) < 0.2
        values[gone] = FILL[dtype]
        masked.append(np.ma.array(values, mask=gone))
        plain.append(np.where(gone, np.nan, values).astype("f8" if dtype == "i2" else dtype))
    return masked, plain


@pytest.mark.parametrize("dtype", FILL)
@pytest.mark.parametrize("name", STATISTICS)
def test_masked_values_count_as_nan(name: str, dtype: str) -> None:
    """To the last bit; what is below the mask is not looked at, and the result is no masked one."""
    masked, plain = fields(dtype)
    found, expected = STATISTICS[name](*masked), STATISTICS[name](*plain)
    np.testing.assert_equal(found, expected)
    parts = found if isinstance(found, tuple) else [found]
    assert not any(np.ma.isMA(part) for part in parts)


def test_regardless_of_what_is_below_the_mask() -> None:
    """NaN below it is no more missing than a number."""
    p = np.ma.array([0.001, 0.0001, 7.0, np.nan, 0.9], mask=[False, True, True, True, False])
    assert significant(p).tolist() == [True, False, False, False, False]


def test_points_of_masked_labels_do_not_count() -> None:
    """They are of no station, and not all of one."""
    (x, y, z), (a, b, c) = fields("f8")
    gone = LABELS == 3
    labels = np.ma.array(LABELS, mask=gone)
    without = np.where(gone, np.nan, a)
    assert agreement(x, y, labels) == agreement(without, b, LABELS)
    assert resampled_collocation(x, y, z, labels) == resampled_collocation(without, b, c, LABELS)
    with pytest.raises(ShapeError):
        agreement(x, y, labels[1:])


def test_masked_times_are_refused() -> None:
    """Even where what is below the mask ascends."""
    assert check_times(np.ma.array(TIMES, mask=False), POINTS).tolist() == TIMES.tolist()
    for dtype in ("f8", "i4"):
        with pytest.raises(TimeError, match="ascending"):
            check_times(np.ma.array(TIMES.astype(dtype), mask=TIMES == 5), POINTS)


def test_filled() -> None:
    """Floats keep their precision, whole numbers become double; what is plain is not copied."""
    whole = np.ma.array([1, 2], mask=[False, True])
    assert filled(whole).dtype == np.float64 and np.isnan(filled(whole)).tolist() == [False, True]
    single = whole.astype(np.float32)
    assert filled(single).dtype == as_series(single)[0].dtype == np.float32
    assert single.tolist() == [1.0, None] and not np.isnan(single.data).any()
    plain = np.arange(3.0)
    assert filled(plain) is plain
    assert np.isnan(filled(np.ma.masked))
