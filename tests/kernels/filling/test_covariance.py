"""The covariance of anomalies: counted from gappy fields, and fitted to what is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

from fluxkernels.errors import GridError, SampleError
from fluxkernels.filling.covariance import (
    Covariance,
    Grid,
    default_lags,
    fit,
    fit_by_latitude,
    lagged_products,
)

GRID = Grid(tuple(np.arange(-4.5, 5.0)), spacing=1.0, periodic=False)
MODEL = Covariance(signal=4.0, noise=1.0, zonal=700.0, meridional=300.0, temporal=2.0)


def in_steps(model: Covariance, times: int, columns: int, seed: int) -> np.ndarray:
    """A field of exactly the model's covariance: patterns that live on as AR(1) processes."""
    rng = np.random.default_rng(seed)
    y, x = (part.ravel() for part in np.meshgrid(range(10), range(columns), indexing="ij"))
    far = np.hypot((x[:, None] - x) / model.zonal, (y[:, None] - y) / model.meridional) * 111.195
    root = np.linalg.cholesky(model.signal * np.exp(-far))
    alive = np.exp(-1.0 / model.temporal)
    shocks = rng.normal(size=(times, x.size)) * np.sqrt(1 - alive**2)
    shocks[0] = rng.normal(size=x.size)
    signal = lfilter([1.0], [1.0, -alive], shocks, axis=0) @ root.T
    noise = rng.normal(size=signal.shape) * np.sqrt(model.noise)
    return (signal + noise).reshape(times, 10, columns)


@pytest.fixture(scope="module")
def anomalies() -> np.ndarray:
    values = in_steps(MODEL, 1500, 40, seed=1)
    return np.where(np.random.default_rng(2).random(values.shape) < 0.4, np.nan, values)


def test_a_known_covariance_is_found_again(anomalies: np.ndarray) -> None:
    found = fit(lagged_products(anomalies, default_lags(), periodic=False), GRID)
    assert found.signal + found.noise == pytest.approx(5.0, rel=0.05)
    assert found.noise == pytest.approx(1.0, rel=0.15)
    assert (found.zonal, found.meridional) == pytest.approx((700.0, 300.0), rel=0.15)
    assert found.temporal == pytest.approx(2.0, rel=0.1)
    assert found.drift == pytest.approx(0.0, abs=20.0)


def test_a_drift_is_found_with_its_sign(anomalies: np.ndarray) -> None:
    """The frame runs two cells a day to the east over fields that stand still within it."""
    moving = np.stack([anomalies[t, :, k : k + 28] for t, k in zip(*runs(1500, 12), strict=True)])
    sums = [
        lagged_products(moving[first : first + 7], default_lags(), periodic=False)
        for first in range(0, 1500 - 6, 7)
    ]
    total = sums[0]
    for more in sums[1:]:
        total = total + more
    assert fit(total, GRID).drift == pytest.approx(2 * 111.195, rel=0.15)


def runs(times: int, reach: int) -> tuple[np.ndarray, np.ndarray]:
    """Windows that move two cells west each step, seven steps long."""
    steps = np.arange(times)
    return steps, reach - 2 * (steps % 7)


def test_noise_alone_is_not_taken_for_signal() -> None:
    noise = np.random.default_rng(3).normal(size=(200, 10, 40))
    found = fit(lagged_products(noise, default_lags(), periodic=False), GRID)
    assert found.signal < 0.1 or min(found.zonal, found.meridional) < 60.0 or found.temporal < 0.3


@given(
    seed=st.integers(0, 2**32 - 1),
    lag=st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(-4, 4)),
    periodic=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_products_are_those_of_all_pairs(
    seed: int, lag: tuple[int, int, int], periodic: bool
) -> None:
    rng = np.random.default_rng(seed)
    values = np.where(rng.random((3, 4, 5)) < 0.3, np.nan, rng.normal(size=(3, 4, 5)))
    made = lagged_products(values, np.array([lag]), periodic=periodic)
    products, pairs = np.zeros(4), np.zeros(4)
    for t, y, x in np.ndindex(values.shape):
        to = (t + lag[0], y + lag[1], (x + lag[2]) % 5 if periodic else x + lag[2])
        if to[0] < 3 and to[1] < 4 and 0 <= to[2] < 5:
            product = values[t, y, x] * values[to]
            products[y] += np.nan_to_num(product)
            pairs[y] += np.isfinite(product)
    np.testing.assert_allclose(made.products[0], products, atol=1e-12)
    np.testing.assert_array_equal(made.pairs[0], pairs)


def test_bands_follow_the_latitude_without_steps() -> None:
    """Scales in km that differ between two halves; neighbours' never differ by much."""
    north = in_steps(MODEL, 300, 40, seed=4)
    south = in_steps(Covariance(1.0, 0.1, 250.0, 250.0, 1.0), 300, 40, seed=5)
    grid = Grid(tuple(np.arange(-9.5, 10.0)), spacing=1.0, periodic=False)
    sums = lagged_products(np.concatenate([south, north], 1), default_lags(), periodic=False)
    made = fit_by_latitude(sums, grid, band=8.0)
    assert len(made) == 20
    assert made[2].signal < 1.5 and made[17].signal > 3.0
    assert made[2].zonal < 400.0 < made[17].zonal
    steps = np.diff(np.log([one.signal for one in made]))
    assert abs(steps).max() < 0.6


def test_too_little_is_refused() -> None:
    empty = np.full((3, 10, 5), np.nan)
    with pytest.raises(SampleError, match=r"FK115.*0 lags have pairs"):
        fit(lagged_products(empty, default_lags(), periodic=False), GRID)
    with pytest.raises(SampleError, match="different lags"):
        lagged_products(empty, default_lags(2)) + lagged_products(empty, default_lags(3))
    with pytest.raises(SampleError, match="must be positive"):
        Covariance(1.0, 0.0, 0.0, 1.0, 1.0)
    with pytest.raises(GridError, match=r"FK116.*not evenly spaced"):
        Grid((0.0, 1.0, 3.0), 1.0)
