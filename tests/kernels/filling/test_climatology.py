"""The seasonal cycle: recovered from gaps, pooled where data are few, added up from pieces."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluxkernels.errors import SampleError, ShapeError
from fluxkernels.filling.climatology import TERMS, Climatology, SeasonalSums, fit, gather, harmonics

DAYS = np.arange(0.0, 1461.0, 3.0)


def exactly(sums: SeasonalSums) -> Climatology:
    return fit(sums, borrowed=0.0, damping=0.0)


def cycle(rng: np.random.Generator, shape: tuple[int, int] = (4, 6)) -> np.ndarray:
    return rng.normal(size=(TERMS, *shape)) + np.array([300.0, 0, 0, 0, 0])[:, None, None]


def with_gaps(values: np.ndarray, rng: np.random.Generator, part: float = 0.6) -> np.ndarray:
    return np.where(rng.random(values.shape) < part, np.nan, values)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_a_cycle_is_recovered_from_gappy_steps(seed: int) -> None:
    rng = np.random.default_rng(seed)
    true = Climatology(cycle(rng), np.zeros((4, 6)))
    made = exactly(gather(with_gaps(true.at(DAYS), rng), DAYS))
    np.testing.assert_allclose(made.coefficients, true.coefficients, atol=1e-8)
    np.testing.assert_allclose(made.at([45.5, 5000.0]), true.at([45.5, 5000.0]), atol=1e-7)
    assert (made.spread < 1e-4).all()  # of 300: what subtracting squares leaves of nothing


def test_each_cell_is_its_own_least_squares_fit() -> None:
    rng = np.random.default_rng(1)
    values = with_gaps(rng.normal(280.0, 3.0, (DAYS.size, 3, 4)), rng)
    made = exactly(gather(values, DAYS))
    series = values[:, 2, 1]
    seen = np.isfinite(series)
    own = np.linalg.lstsq(harmonics(DAYS[seen]), series[seen], rcond=None)[0]
    np.testing.assert_allclose(made.coefficients[:, 2, 1], own, rtol=1e-9)
    residual = series[seen] - harmonics(DAYS[seen]) @ own
    assert made.spread[2, 1] == pytest.approx(residual.std(), rel=1e-6)


def test_pieces_add_up_to_the_whole_and_years_left_out_leave_no_trace() -> None:
    rng = np.random.default_rng(2)
    values = with_gaps(rng.normal(size=(DAYS.size, 3, 4)), rng)
    used = (DAYS < 365) | (DAYS >= 731)
    pieces = gather(values[DAYS < 365], DAYS[DAYS < 365]) + gather(
        values[DAYS >= 731], DAYS[DAYS >= 731]
    )
    spoilt = np.where(used[:, None, None], values, 1e6)
    whole = fit(gather(spoilt[used], DAYS[used]))
    np.testing.assert_allclose(fit(pieces).coefficients, whole.coefficients, rtol=1e-9)


def test_a_cell_without_observations_takes_its_neighbours_cycle_even_across_the_seam() -> None:
    true = Climatology(
        np.broadcast_to(cycle(np.random.default_rng(3), (1, 1)), (5, 3, 8)), np.ones(1)
    )
    values = true.at(DAYS)
    values[:, :, 0] = np.nan
    values[:, :, 3:] = np.nan
    values[:, :, 7] = true.at(DAYS)[:, :, 7]
    made = fit(gather(values, DAYS), radius=1, damping=0.0)
    np.testing.assert_allclose(made.coefficients[:, 1, 0], true.coefficients[:, 1, 0], rtol=1e-6)
    assert np.isnan(made.coefficients[:, :, 5]).all() and np.isnan(made.spread[:, 5]).all()
    alone = fit(gather(values, DAYS), radius=1, damping=0.0, periodic=False)
    assert np.isfinite(alone.coefficients[:, 1, 0]).all()  # column 1 is still its neighbour
    values[:, :, 1] = np.nan
    alone = fit(gather(values, DAYS), radius=1, damping=0.0, periodic=False)
    assert np.isnan(alone.coefficients[:, 1, 0]).all()


def test_many_observations_outweigh_the_neighbours() -> None:
    rng = np.random.default_rng(4)
    level = np.zeros((1, 3, 3))
    level[:, 1, 1] = 8.0
    values = level + rng.normal(0.0, 0.1, (DAYS.size, 3, 3))
    few = fit(
        gather(np.where(np.arange(DAYS.size)[:, None, None] < 5, values, np.nan), DAYS), radius=1
    )
    many = fit(gather(values, DAYS), radius=1)
    assert few.coefficients[0, 1, 1] < 4.0
    assert many.coefficients[0, 1, 1] == pytest.approx(8.0, abs=0.3)


def test_damping_keeps_the_cycle_in_hand_where_a_season_is_hidden() -> None:
    rng = np.random.default_rng(5)
    summer = (DAYS % 365.2425 > 180) & (DAYS % 365.2425 < 260)
    values = np.where(summer[:, None, None], rng.normal(10.0, 1.0, (DAYS.size, 1, 1)), np.nan)
    sums = gather(values, DAYS)
    winter = [15.0]
    loose = abs(exactly(sums).at(winter) - 10.0).item()
    held = abs(fit(sums, borrowed=0.0, damping=2.0).at(winter) - 10.0).item()
    assert held < 1.5 < loose


def test_what_cannot_be_fitted_is_refused() -> None:
    with pytest.raises(SampleError, match=r"FK115.*no cell has an observation"):
        fit(gather(np.full((4, 2, 2), np.nan), np.arange(4)))
    with pytest.raises(SampleError, match="4 cells do not determine"):
        exactly(gather(np.ones((4, 2, 2)), np.arange(4)))
    with pytest.raises(ShapeError, match=r"FK103.*\(4, 2\)"):
        gather(np.ones((4, 2)), np.arange(4))
    with pytest.raises(ShapeError):
        gather(np.ones((4, 2, 2)), np.arange(3))
