"""Scores of probabilities and of Gaussian estimates, against integrals and by hand."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from fluxkernels.errors import OutOfRangeError, ShapeError
from fluxkernels.stats import samples
from fluxkernels.stats.probability import brier, coverage, crps_gaussian, log_rmse
from fluxkernels.stats.skill import skill

RNG = np.random.default_rng(7)


def one(x: float) -> np.ndarray:
    return np.array([x])


def test_brier_by_hand() -> None:
    made = brier(np.array([0.9, 0.1, 0.6, np.nan]), np.array([1.0, 0.0, 0.0, 1.0]))
    assert made.points == 3
    assert made.score == pytest.approx((0.01 + 0.01 + 0.36) / 3)
    assert made.reference == made.uncertainty == pytest.approx(2 / 9)
    assert made.skill == pytest.approx(1 - made.score / (2 / 9))


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_brier_is_reliability_less_resolution_and_uncertainty(seed: int) -> None:
    """Exactly, for forecasts of one value in each bin."""
    rng = np.random.default_rng(seed)
    probability = rng.integers(0, 10, 200) / 10 + 0.05
    occurred = rng.random(200) < rng.random(200)
    made = brier(probability, occurred)
    assert made.score == pytest.approx(made.reliability - made.resolution + made.uncertainty)


def test_brier_against_another_forecast() -> None:
    occurred = RNG.random(20_000) < 0.3
    sure = np.where(occurred, 0.8, 0.1)
    climate = np.full(occurred.shape, 0.3)
    made = brier(sure, occurred, climate)
    assert made.reference == pytest.approx(0.21, abs=0.005)
    assert made.skill > 0.85
    assert brier(climate, occurred, sure).skill < 0
    assert brier(occurred.astype(float), occurred).score == 0.0
    assert np.isnan(brier(np.full(2, np.nan), np.zeros(2)).score)


@given(mean=st.floats(-5, 5), spread=st.floats(0.2, 4), value=st.floats(-8, 8))
@settings(max_examples=25, deadline=None)
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


def test_log_rmse_by_hand_and_blind_to_scale() -> None:
    x, y = np.array([0.0, 1.0, np.nan]), np.array([0.0, 3.0, 1.0])
    assert log_rmse(x, y, offset=0.1) == pytest.approx(np.log(3.1 / 1.1) / np.sqrt(2))
    assert log_rmse(5 * x, 5 * y, offset=0.5) == pytest.approx(log_rmse(x, y, offset=0.1))


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"FK103.*\(1,\), \(2,\)"):
        crps_gaussian(one(1.0), one(1.0), np.ones(2))
    with pytest.raises(OutOfRangeError, match=r"FK106.*percent"):
        brier(one(60.0), one(1.0))
    with pytest.raises(OutOfRangeError, match="roots of variances"):
        coverage(one(0.0), one(-1.0), one(0.0))
    with pytest.raises(OutOfRangeError, match="no probability"):
        coverage(one(0.0), one(1.0), one(0.0), level=95)
    with pytest.raises(OutOfRangeError, match="logarithm"):
        log_rmse(one(-1.0), one(1.0), offset=0.1)


CAUSES = {"swath": np.array([1, 1, 1, 0, 0, 0], bool), "rain": np.array([0, 0, 1, 1, 1, 0], bool)}
TRUTH = np.array([1.0, 2.0, 3.0, 4.0, np.nan, 100.0])


def test_causes_are_scored_apart_on_what_all_estimates_have() -> None:
    good, holey = TRUTH + 1.0, np.where(np.arange(6) == 0, np.nan, TRUTH)
    made = samples.by_cause(skill, {"good": (good,), "holey": (holey,)}, TRUTH, CAUSES)
    assert {cause: made[cause]["good"].points for cause in made} == {
        "swath": 2,
        "rain": 2,
        "all": 3,
    }
    assert made["all"]["good"].bias == 1.0 and made["swath"]["holey"].rmse == 0.0


def test_scores_of_mean_and_spread_take_both() -> None:
    made = samples.by_cause(crps_gaussian, {"sure": (TRUTH + 2.0, 0 * TRUTH)}, TRUTH, CAUSES)
    assert made["rain"]["sure"] == pytest.approx(2.0)


def test_masks_and_estimates_of_other_shapes_are_refused() -> None:
    with pytest.raises(ShapeError, match="short"):
        samples.by_cause(skill, {"short": (TRUTH[1:],)}, TRUTH, CAUSES)
    with pytest.raises(ShapeError, match="coast"):
        samples.by_cause(skill, {}, TRUTH, {"coast": np.ones(3, bool)})


def test_the_example_is_true() -> None:
    result = doctest.testmod(samples)
    assert result.attempted > 0 and result.failed == 0
