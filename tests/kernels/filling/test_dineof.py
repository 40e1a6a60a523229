"""DINEOF: low rank recovered, the rank found, observations kept, memory bounded."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluxkernels.errors import SampleError, ShapeError
from fluxkernels.filling.dineof import Settings, reconstruct

PRECISE = Settings(most_modes=4, tolerance=1e-9, most_iterations=5000)


def low_rank(rank: int, shape: tuple[int, int], seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    sizes = 3.0 * 0.7 ** np.arange(rank)
    return (rng.normal(size=(shape[0], rank)) * sizes) @ rng.normal(size=(rank, shape[1]))


def with_gaps(values: np.ndarray, seed: int, part: float = 0.3) -> np.ndarray:
    return np.where(np.random.default_rng(seed).random(values.shape) < part, np.nan, values)


@pytest.mark.parametrize("shape", [(30, 120), (120, 30)])
def test_an_exact_low_rank_is_recovered(shape: tuple[int, int]) -> None:
    truth = low_rank(3, shape, 1)
    made = reconstruct(with_gaps(truth, 2), settings=PRECISE)
    assert made.converged
    assert made.modes == 4  # the mean that is taken away is the fourth
    assert made.errors[4] < 1e-5 < 0.01 < made.errors[2]
    np.testing.assert_allclose(made.values, truth, atol=1e-5)


@pytest.mark.parametrize("rank", [2, 5])
def test_cross_validation_finds_about_the_rank_under_noise(rank: int) -> None:
    truth = low_rank(rank, (40, 400), 3)
    noisy = truth + np.random.default_rng(4).normal(scale=0.3, size=truth.shape)
    made = reconstruct(with_gaps(noisy, 5), held_back=0.05, settings=Settings(most_modes=12))
    assert abs(made.modes - rank) <= 1
    assert made.modes == np.argmin(made.errors)
    hidden = np.isnan(with_gaps(noisy, 5))
    error = np.sqrt(np.mean((made.values - truth)[hidden] ** 2))
    assert error < 0.25 < truth.std()
    assert made.errors.min() == pytest.approx(np.hypot(0.3, error), rel=0.1)


@given(seed=st.integers(0, 2**32 - 1), single=st.booleans())
@settings(max_examples=15)
def test_observed_values_are_kept_and_the_rest_is_filled(seed: int, single: bool) -> None:
    values = with_gaps(low_rank(2, (12, 30), seed) + 290.0, seed + 1, 0.4)
    values[:, 3] = np.nan
    values[5] = np.nan
    values = values.astype(np.float32 if single else np.float64)
    before = values.copy()
    made = reconstruct(values, held_back=0.1, seed=seed)
    seen = np.isfinite(values)
    np.testing.assert_array_equal(values, before)
    np.testing.assert_array_equal(made.values[seen], values[seen])
    assert made.values.dtype == values.dtype
    never = ~(seen.any(axis=1)[:, None] & seen.any(axis=0))
    np.testing.assert_array_equal(np.isnan(made.values), never)


def test_modes_tried_in_vain_leave_no_trace() -> None:
    noisy = low_rank(2, (20, 80), 15) + np.random.default_rng(16).normal(size=(20, 80))
    values = with_gaps(noisy, 17)
    made = reconstruct(values, held_back=0.1, settings=Settings(most_modes=9, patience=9))
    assert 0 < made.modes < 9 and made.errors.size == 10
    enough = reconstruct(values, held_back=0.1, settings=Settings(most_modes=made.modes))
    np.testing.assert_array_equal(made.values, enough.values)


def test_the_gaps_agree_with_the_patterns_of_the_filled_series() -> None:
    """Those of all observed values: what was held back is back in its place."""
    noisy = low_rank(2, (20, 80), 18) + np.random.default_rng(19).normal(size=(20, 80))
    values = with_gaps(noisy, 20)
    made = reconstruct(values, held_back=0.3, settings=replace(PRECISE, most_modes=2))
    assert made.modes == 2 and made.converged
    state = made.values - np.nanmean(values)
    patterns = np.linalg.svd(state)[0][:, :2]
    gaps = np.isnan(values)
    np.testing.assert_allclose((patterns @ patterns.T @ state)[gaps], state[gaps], atol=1e-6)


def test_noise_is_filled_with_its_mean() -> None:
    noise = np.random.default_rng(13).normal(5.0, 1.0, size=(15, 200))
    made = reconstruct(with_gaps(noise, 14), held_back=0.1)
    assert made.modes == 0 and made.converged
    hidden = np.isnan(with_gaps(noise, 14))
    np.testing.assert_allclose(made.values[hidden], 5.0, atol=0.1)


def test_the_seed_decides_and_a_mask_replaces_it() -> None:
    values = with_gaps(low_rank(3, (20, 60), 6), 7)
    first, again, other = (reconstruct(values, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.values, again.values)
    assert first.errors[1] != other.errors[1]
    swath = np.zeros(values.shape, bool)
    swath[4:8, 10:30] = True
    by_mask, anyway = (reconstruct(values, held_back=swath, seed=seed) for seed in (1, 2))
    np.testing.assert_array_equal(by_mask.values, anyway.values)
    assert by_mask.errors[1] != first.errors[1]


def test_it_says_that_it_did_not_converge() -> None:
    values = with_gaps(low_rank(3, (20, 60), 8), 9)
    hasty = reconstruct(values, settings=Settings(tolerance=1e-12, most_iterations=2))
    assert not hasty.converged


def test_memory_is_a_few_copies_of_the_values() -> None:
    values = with_gaps(low_rank(3, (40, 60_000), 10), 11).astype(np.float32)
    tracemalloc.start()
    reconstruct(values, settings=Settings(most_modes=2, most_iterations=3))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * values.nbytes


def test_what_cannot_be_filled_is_refused() -> None:
    values = low_rank(2, (6, 8), 12)
    with pytest.raises(ShapeError, match=r"FK103.*\(8,\)"):
        reconstruct(values[0])
    with pytest.raises(ShapeError, match="held_back"):
        reconstruct(values, held_back=np.ones((6, 7), bool))
    with pytest.raises(SampleError, match="0 steps and 0 cells"):
        reconstruct(np.full((6, 8), np.nan))
    for held_back in (0.0, 1.0):
        with pytest.raises(SampleError, match="would be held back"):
            reconstruct(values, held_back=held_back)
    with pytest.raises(SampleError, match="nothing can be tried"):
        Settings(most_modes=0)
