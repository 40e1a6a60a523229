"""The covariance of anomalies: counted from gappy fields, and fitted to what is known."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from operator import add

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluxkernels.errors import GridError, SampleError
from fluxkernels.filling.covariance import (
    Covariance,
    Grid,
    LaggedProducts,
    default_lags,
    fit,
    fit_by_latitude,
    lagged_products,
)

GRID = Grid(tuple(np.arange(-4.5, 5.0)), spacing=1.0, periodic=False)
MODEL = Covariance(4.0, 1.0, zonal=700.0, meridional=300.0, temporal=2.0, drift=300.0)


def drawn(model: Covariance, number: int, seed: int, part: float = 0.0) -> list[np.ndarray]:
    """Gappy fields of 4 steps, 10 rows and 16 columns, of exactly the model's covariance."""
    rng, shape = np.random.default_rng(seed), (4, 10, 16)
    t, y, x = (part.ravel() for part in np.meshgrid(*map(np.arange, shape), indexing="ij"))
    later = t[:, None] - t
    east = (x[:, None] - x) * 111.195 - model.drift * later
    far = east / model.zonal, (y[:, None] - y) * 111.195 / model.meridional, later / model.temporal
    root = np.linalg.cholesky(model.signal * np.exp(-np.linalg.norm(far, axis=0)))
    fields = (root @ rng.normal(size=(t.size, number))).T.reshape(number, *shape)
    fields += rng.normal(size=fields.shape) * np.sqrt(model.noise)
    return list(np.where(rng.random(fields.shape) < part, np.nan, fields))


def summed(pieces: list[np.ndarray]) -> LaggedProducts:
    lags = default_lags()
    return reduce(add, (lagged_products(piece, lags, periodic=False) for piece in pieces))


def test_a_known_covariance_is_found_again() -> None:
    found = fit(summed(drawn(MODEL, 250, seed=1, part=0.4)), GRID)
    assert found.signal + found.noise == pytest.approx(5.0, rel=0.1)
    assert found.noise == pytest.approx(1.0, rel=0.15)
    assert (found.zonal, found.meridional) == pytest.approx((700.0, 300.0), rel=0.2)
    assert found.temporal == pytest.approx(2.0, rel=0.15)
    assert found.drift == pytest.approx(300.0, abs=40.0)


def test_a_drift_to_the_west_is_negative() -> None:
    found = fit(summed(drawn(replace(MODEL, drift=-200.0), 100, seed=2)), GRID)
    assert found.drift == pytest.approx(-200.0, abs=40.0)


def test_noise_alone_is_not_taken_for_signal() -> None:
    noise = np.random.default_rng(3).normal(size=(200, 10, 40))
    found = fit(lagged_products(noise, default_lags(), periodic=False), GRID)
    assert found.signal < 0.1 or min(found.zonal, found.meridional) < 60.0 or found.temporal < 0.3


@given(
    seed=st.integers(0, 2**32 - 1),
    lag=st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(-4, 4)),
    periodic=st.booleans(),
)
@settings(max_examples=60)
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
    """Two halves with scales of their own; neighbouring latitudes never differ by much."""
    other = Covariance(1.0, 0.1, 250.0, 250.0, 1.0)
    halves = zip(drawn(other, 100, seed=4), drawn(MODEL, 100, seed=5), strict=True)
    grid = Grid(tuple(np.arange(-9.5, 10.0)), spacing=1.0, periodic=False)
    made = fit_by_latitude(summed([np.concatenate(pair, 1) for pair in halves]), grid, band=8.0)
    assert len(made) == 20
    assert made[2].signal < 1.5 and made[17].signal > 3.0
    assert made[2].zonal < 400.0 < made[17].zonal
    steps = np.diff(np.log([one.signal for one in made]))
    assert abs(steps).max() < 0.6


def test_too_little_is_refused() -> None:
    empty = np.full((3, 10, 5), np.nan)
    with pytest.raises(SampleError, match=r"FK115.*-4.5 to 4.5: the anomalies have no variance"):
        fit(lagged_products(empty, default_lags(), periodic=False), GRID)
    one_day = drawn(MODEL, 1, seed=6)[0][:1]
    with pytest.raises(SampleError, match="any steps of time apart"):
        fit(lagged_products(one_day, default_lags(), periodic=False), GRID)
    with pytest.raises(SampleError, match="different lags"):
        lagged_products(empty, default_lags(2)) + lagged_products(empty, default_lags(3))
    with pytest.raises(SampleError, match="must be positive"):
        Covariance(1.0, 0.0, 0.0, 1.0, 1.0)
    with pytest.raises(GridError, match=r"FK116.*not evenly spaced"):
        Grid((0.0, 1.0, 3.0), 1.0)
