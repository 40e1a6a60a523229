"""Optimal interpolation against the dense solution, and its errors against the truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import solve

from fluxkernels.errors import GridError, ShapeError, TimeError
from fluxkernels.filling.covariance import Covariance, Grid
from fluxkernels.filling.optimal_interpolation import Neighbourhood, interpolate
from fluxkernels.stats.probability import coverage

MODEL = Covariance(2.0, 0.3, 600.0, 350.0, 1.5, drift=150.0)
ALL = Neighbourhood(steps=9, radius=1e4, count=10_000)


def flat(rows: int, middle: float = 0.0, *, periodic: bool = False) -> Grid:
    return Grid(tuple(middle + np.arange(rows) - (rows - 1) / 2), 1.0, periodic=periodic)


def dense(points: np.ndarray, latitude: float, model: Covariance) -> np.ndarray:
    """Covariance of the signal between all points (time, row, column), written out anew."""
    km = 2 * np.pi * 6371.0 / 360
    t, y, x = points.T.astype(float)
    later, north = t[:, None] - t, km * (y[:, None] - y)
    east = km * np.cos(np.radians(latitude)) * (x[:, None] - x) - model.drift * later
    scaled = east / model.zonal, north / model.meridional, later / model.temporal
    return model.signal * np.exp(-np.linalg.norm(scaled, axis=0))


def gappy(shape: tuple[int, ...], seed: int, part: float = 0.5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.where(rng.random(shape) < part, np.nan, rng.normal(size=shape))


@pytest.mark.parametrize(("middle", "at"), [(0.0, 0), (0.0, 2), (-55.0, 1)])
def test_it_is_the_dense_solution_where_all_observations_are_near(middle: float, at: int) -> None:
    values, grid = gappy((3, 4, 7), 1), flat(4, middle)
    made = interpolate(values, at, grid, MODEL, neighbourhood=ALL)
    points = np.argwhere(np.isfinite(values))
    observed = values[np.isfinite(values)]
    for row, column in np.ndindex(4, 7):
        joint = dense(np.vstack([points, [at, row, column]]), grid.latitudes[row], MODEL)
        among, with_cell = joint[:-1, :-1] + MODEL.noise * np.eye(len(points)), joint[:-1, -1]
        weights = solve(among, with_cell, assume_a="pos")
        assert made.values[row, column] == pytest.approx(weights @ observed, abs=1e-10)
        variance = MODEL.signal - weights @ with_cell
        assert made.standard_error[row, column] == pytest.approx(np.sqrt(variance), abs=1e-8)


def test_it_uses_the_best_observations_only() -> None:
    """With two for each cell the weights are those of the two that go best with it."""
    values, grid = gappy((3, 3, 6), 2), flat(3)
    made = interpolate(
        values, 2, grid, MODEL, neighbourhood=Neighbourhood(steps=2, radius=900.0, count=2)
    )
    points = np.argwhere(np.isfinite(values))
    joint = dense(np.vstack([points, [2, 1, 3]]), grid.latitudes[1], MODEL)
    best = np.argsort(-joint[-1, :-1])[:2]
    among = joint[np.ix_(best, best)] + MODEL.noise * np.eye(2)
    expected = solve(among, joint[best, -1]) @ values[tuple(points[best].T)]
    assert made.values[1, 3] == pytest.approx(expected, abs=1e-12)


@given(seed=st.integers(0, 2**32 - 1), at=st.integers(0, 3))
@settings(max_examples=20)
def test_observed_values_are_returned_where_there_is_no_noise(seed: int, at: int) -> None:
    values = gappy((4, 5, 9), seed)
    made = interpolate(values, at, flat(5, 40.0), replace(MODEL, noise=0.0))
    seen = np.isfinite(values[at])
    np.testing.assert_allclose(made.values[seen], values[at][seen], atol=1e-9)
    np.testing.assert_allclose(made.standard_error[seen], 0.0, atol=1e-6)
    assert (made.standard_error[~seen] > 0.05).all()


@given(seed=st.integers(0, 2**32 - 1), shift=st.integers(1, 35))
@settings(max_examples=15)
def test_no_longitude_is_special_on_a_globe(seed: int, shift: int) -> None:
    values, grid = gappy((3, 4, 36), seed), flat(4, periodic=True)
    made = interpolate(values, 1, grid, MODEL)
    turned = interpolate(np.roll(values, shift, 2), 1, grid, MODEL)
    np.testing.assert_allclose(np.roll(made.values, shift, 1), turned.values, atol=1e-10)
    np.testing.assert_allclose(
        np.roll(made.standard_error, shift, 1), turned.standard_error, atol=1e-10
    )


@given(seed=st.integers(0, 2**32 - 1), factor=st.floats(-3.0, 3.0))
@settings(max_examples=15)
def test_it_is_linear_and_leaves_its_input_alone(seed: int, factor: float) -> None:
    values = gappy((3, 3, 8), seed)
    before = values.copy()
    one, other = (interpolate(v, 1, flat(3), MODEL) for v in (values, factor * values))
    np.testing.assert_allclose(other.values, factor * one.values, atol=1e-10)
    np.testing.assert_array_equal(other.standard_error, one.standard_error)
    np.testing.assert_array_equal(values, before)


def test_only_the_window_counts_and_only_what_was_asked_is_answered() -> None:
    values, window = gappy((9, 3, 12), 3), Neighbourhood(steps=2, radius=400.0)
    where = np.zeros((3, 12), bool)
    where[1, 2] = True
    made = interpolate(values, 4, flat(3), MODEL, where=where, neighbourhood=window)
    assert (np.isfinite(made.values) == where).all()
    spoilt = values.copy()
    spoilt[[0, 1, 7, 8]] = 99.0
    spoilt[:, :, 6:] = 99.0
    again = interpolate(spoilt, 4, flat(3), MODEL, where=where, neighbourhood=window)
    np.testing.assert_array_equal(made.values, again.values)
    spoilt[4, 1, 2] = 99.0
    other = interpolate(spoilt, 4, flat(3), MODEL, where=where, neighbourhood=window)
    assert other.values[1, 2] != made.values[1, 2]


def test_where_nothing_is_near_it_is_the_climatology_and_says_so() -> None:
    made = interpolate(np.full((3, 2, 30), np.nan), 1, flat(2), MODEL)
    np.testing.assert_array_equal(made.values, 0.0)
    np.testing.assert_allclose(made.standard_error, np.sqrt(MODEL.signal))


def test_each_latitude_has_its_own_covariance() -> None:
    values, other = gappy((3, 2, 9), 4), replace(MODEL, zonal=200.0, temporal=0.5)
    both = interpolate(values, 1, flat(2), [MODEL, other])
    for row, model in enumerate([MODEL, other]):
        alone = interpolate(values, 1, flat(2), model)
        np.testing.assert_array_equal(both.values[row], alone.values[row])


def test_standard_errors_are_those_of_a_known_field() -> None:
    """Over 150 realisations: unit variance of error / standard error, intervals that cover."""
    shape, grid, rng = (5, 6, 12), flat(6), np.random.default_rng(5)
    points = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1).reshape(-1, 3)
    root = np.linalg.cholesky(dense(points, 0.0, MODEL) + 1e-9 * np.eye(len(points)))
    truth = (root @ rng.normal(size=(len(points), 150))).T.reshape(150, *shape)
    noise = rng.normal(size=truth.shape) * np.sqrt(MODEL.noise)
    hidden = rng.random(shape) < 0.6
    observed = np.where(hidden, np.nan, truth + noise)
    made = [interpolate(one, 2, grid, MODEL) for one in observed]
    mean, error = (np.stack(part) for part in zip(*made, strict=True))
    score = (mean - truth[:, 2]) / error
    for cells in (hidden[2], ~hidden[2]):
        assert np.mean(score[:, cells] ** 2) == pytest.approx(1.0, abs=0.06)
        sample = mean[:, cells], error[:, cells], truth[:, 2][:, cells]
        assert coverage(*sample, level=0.68) == pytest.approx(0.68, abs=0.02)
        assert coverage(*sample, level=0.95) == pytest.approx(0.95, abs=0.01)
    wrong = np.mean(((mean - truth[:, 2]) / (0.8 * error)) ** 2)
    assert wrong > 1.3  # the test would see errors that are a fifth too small


def test_what_does_not_belong_together_is_refused() -> None:
    values = np.zeros((3, 4, 36))
    with pytest.raises(ShapeError, match=r"FK103.*3 latitudes"):
        interpolate(values, 1, flat(3), MODEL)
    with pytest.raises(ShapeError, match="5 covariances"):
        interpolate(values, 1, flat(4), [MODEL] * 5)
    with pytest.raises(TimeError, match=r"FK109.*no step 3 among 3"):
        interpolate(values, 3, flat(4), MODEL)
    with pytest.raises(GridError, match=r"FK116.*at latitude 88"):
        interpolate(values, 1, flat(4, 89.5, periodic=True), MODEL)
    with pytest.raises(GridError, match="nothing can be estimated"):
        Neighbourhood(count=0)
