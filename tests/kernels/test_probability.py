"""Scores of Gaussian estimates, against integrals and by hand, and the points they are of."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from fluxkernels.errors import OutOfRangeError, ShapeError
from fluxkernels.stats.probability import coverage, crps_gaussian, crps_of_errors, inside
from fluxkernels.stats.samples import common_sample

RNG = np.random.default_rng(7)


def one(x: float) -> np.ndarray:
    return np.array([x])


@given(mean=st.floats(-5, 5), spread=st.floats(0.2, 4), value=st.floats(-8, 8))
@settings(max_examples=25)
def test_crps_is_the_integral_that_defines_it(mean: float, spread: float, value: float) -> None:
    below = quad(lambda x: norm.cdf(x, mean, spread) ** 2, mean - 12 * spread, value)[0]
    above = quad(lambda x: norm.sf(x, mean, spread) ** 2, value, max(value, mean) + 12 * spread)[0]
    made = crps_gaussian(one(mean), one(spread), one(value))
    if value >= mean - 12 * spread:
        assert made == pytest.approx(below + above, abs=1e-6)


def test_crps_of_the_sure_is_the_absolute_error_and_of_the_honest_is_least() -> None:
    assert crps_gaussian(np.zeros(2), np.zeros(2), np.array([3.0, -1.0])) == 2.0
    y = RNG.normal(size=50_000)
    zero = np.zeros_like(y)
    scores = [crps_gaussian(zero, zero + s, y) for s in (0.6, 1.0, 1.6)]
    assert scores[1] == min(scores)
    assert np.isnan(crps_gaussian(one(np.nan), one(1.0), one(1.0)))


def test_coverage_of_a_normal_sample() -> None:
    y = RNG.normal(3.0, 2.0, 100_000)
    mean, spread = np.full_like(y, 3.0), np.full_like(y, 2.0)
    for level in (0.68, 0.95):
        assert coverage(mean, spread, y, level=level) == pytest.approx(level, abs=0.005)
    assert coverage(mean, spread / 2, y, level=0.95) < 0.7
    assert np.isnan(coverage(one(np.nan), one(1.0), one(1.0)))


def test_scores_of_points_are_what_means_are_made_of() -> None:
    error, spread = RNG.normal(size=50), RNG.uniform(0.0, 2.0, 50)
    spread[7] = 0.0
    zero = np.zeros(50)
    assert crps_gaussian(zero, spread, error) == pytest.approx(crps_of_errors(error, spread).mean())
    assert coverage(zero, spread, error) == inside(error, spread, 0.95).mean()
    assert crps_of_errors(error, spread)[7] == abs(error[7])


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"FK103.*\(1,\), \(2,\)"):
        crps_gaussian(one(1.0), one(1.0), np.ones(2))
    with pytest.raises(OutOfRangeError, match=r"FK106.*roots of variances"):
        coverage(one(0.0), one(-1.0), one(0.0))
    with pytest.raises(OutOfRangeError, match="no probability"):
        coverage(one(0.0), one(1.0), one(0.0), level=95)


def test_the_common_sample_is_where_all_parts_of_all_estimates_are_finite() -> None:
    truth = np.array([1.0, 2.0, np.nan, 4.0, 5.0])
    holey = np.where(np.arange(5) == 0, np.nan, truth)
    spread = np.array([1.0, 1.0, 1.0, 1.0, np.inf])
    found = common_sample(truth, {"whole": (truth + 1.0,), "holey": (holey, spread)})
    assert found.tolist() == [False, True, False, True, False]
    with pytest.raises(ShapeError, match="short"):
        common_sample(truth, {"short": (truth[1:],)})
