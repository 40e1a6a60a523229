"""Agreement with clustered measurements: by hand, by properties, and how often intervals hold."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fluxkernels.errors import ShapeError
from fluxkernels.stats import agreement as module
from fluxkernels.stats.agreement import (
    agreement,
    agreement_of_sums,
    estimate,
    interval,
    sums_of,
)

RNG = np.random.default_rng(2)


@given(seed=st.integers(0, 2**32 - 1), offset=st.floats(-300, 300))
@settings(max_examples=60)
def test_scores_are_what_they_are_called(seed: int, offset: float) -> None:
    rng = np.random.default_rng(seed)
    y = offset + rng.normal(0, 2, 300)
    x = offset + 0.8 * (y - offset) + rng.normal(0.5, 1, 300)
    found = agreement(x, y, rng.integers(0, 12, 300), resamples=50)
    assert found.rmse.value == pytest.approx(np.sqrt(((x - y) ** 2).mean()))
    assert found.bias.value == pytest.approx((x - y).mean())
    assert found.correlation.value == pytest.approx(np.corrcoef(x, y)[0, 1])
    assert found.spread.value == pytest.approx(x.std())
    assert found.spread_of_reference.value == pytest.approx(y.std())
    assert found.slope.value == pytest.approx(np.polyfit(y, x, 1)[0])
    assert found.centred.value == pytest.approx(np.std(x - y))
    assert found.p95 == pytest.approx(np.quantile(x, 0.95) - np.quantile(y, 0.95))
    for one in (found.rmse, found.bias, found.correlation, found.slope):
        assert one.low <= one.value <= one.high or one.low == pytest.approx(one.high, rel=0.3)


def test_intervals_know_of_clusters() -> None:
    """Stations with biases of their own: the bias of all holds in 95 of 100 samples, nearly."""
    inside = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        station = np.repeat(np.arange(30), 50)
        y = rng.normal(size=station.size)
        x = y + rng.normal(0, 1, 30)[station] + rng.normal(0, 0.5, station.size)
        bias = agreement(x, y, station, resamples=300).bias
        inside.append(bias.low <= 0.0 <= bias.high)
    assert np.mean(inside) == pytest.approx(0.94, abs=0.04)


def test_gaps_and_small_samples() -> None:
    x, y = np.array([1.0, np.nan, 3.0, 4.0]), np.array([1.0, 2.0, np.nan, 5.0])
    found = agreement(x, y, np.array([b"a", b"a", b"b", b"a"]))
    assert found.points == 2 and found.clusters == 1
    assert found.rmse.value == pytest.approx(np.sqrt(0.5)) and np.isnan(found.rmse.low)
    nothing = agreement(np.full(3, np.nan), np.zeros(3), np.zeros(3))
    assert nothing.points == 0 and np.isnan(nothing.rmse.value)
    flat = agreement(np.ones(4), np.arange(4.0), np.arange(4))
    assert np.isnan(flat.correlation.value) and flat.spread.value == 0.0
    assert np.isnan(module.scores(np.zeros(7))).all()
    still = agreement(np.arange(4.0), np.ones(4), np.arange(4))
    assert np.isnan(still.slope.value) and still.spread_of_reference.value == 0.0


@given(value=st.floats(-400, 400), number=st.integers(2, 20_000), offset=st.floats(-30, 30))
@example(value=-1.75, number=1870, offset=0.0)  # rounding adds up
@settings(max_examples=100)
def test_values_that_are_all_the_same_agree_with_nothing(
    value: float, number: int, offset: float
) -> None:
    """Three reports beside one filled wind had an infinite correlation, by rounding."""
    flat = np.full(number, np.float32(value), float)
    found = agreement(flat, offset + np.sin(np.arange(number)), np.zeros(number))
    assert found.spread.value == 0.0 and np.isnan(found.correlation.value)
    line = np.linspace(0.0, 1e-3, number)
    assert agreement(line + offset, line, np.zeros(number)).correlation.value <= 1.0


def test_the_same_sample_has_the_same_intervals() -> None:
    x, y, of = RNG.normal(size=200), RNG.normal(size=200), RNG.integers(0, 9, 200)
    assert agreement(x, y, of) == agreement(x, y, of)
    with pytest.raises(ShapeError):
        agreement(x, y[1:], of)


def test_resamples_are_the_same_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ships come by the hundred thousand: draws of all of them at once would not fit."""
    sums = RNG.normal(size=(50, 3))
    whole = module.resampled(sums, 40)
    assert whole.shape == (40, 3)
    monkeypatch.setattr(module, "_AT_ONCE", 350)
    np.testing.assert_allclose(module.resampled(sums, 40), whole)
    assert module.resampled(sums[:1], 40).shape == (0, 3)


def test_examples() -> None:
    assert doctest.testmod(module).failed == 0


def mean_of(sums: np.ndarray) -> np.ndarray:
    """From number and sum, or from the sums of scores."""
    return sums[..., 1] / sums[..., 0]


def test_intervals_of_few_blocks_are_wide_enough() -> None:
    """Of seven blocks the mean holds in about 95 of 100 samples; plainly resampled in 88."""
    inside: dict[bool, list[bool]] = {True: [], False: []}
    for seed in range(400):
        values = np.random.default_rng(seed).normal(0, 1, 7)
        sums = np.stack([np.ones(7), values], axis=1)
        plainly = np.quantile(mean_of(module.resampled(sums)), (0.025, 0.975))
        told = estimate(mean_of, sums)
        inside[True].append(told.low <= 0.0 <= told.high)
        inside[False].append(plainly[0] <= 0.0 <= plainly[1])
    assert np.mean(inside[True]) == pytest.approx(0.95, abs=0.03)
    assert np.mean(inside[False]) < 0.91


def test_sums_give_the_agreement_of_points() -> None:
    rng = np.random.default_rng(7)
    x, y, member = rng.normal(5, 2, 500), rng.normal(5, 2, 500), rng.integers(0, 9, 500)
    sums = np.zeros((9, 7))
    np.add.at(sums, member, sums_of(x, y).T)
    ours, theirs = agreement_of_sums(sums, 500), agreement(x, y, member)
    for name in ("rmse", "bias", "correlation", "centred", "slope"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-9)
    value, low, high = interval(mean_of, sums)
    assert low < value < high and value == pytest.approx(x.mean())


def test_scores_of_few_stations_have_intervals_that_are_wide_enough() -> None:
    """Of three moorings, each with a bias of its own, in all scores that have one."""
    inside = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        member = np.repeat(np.arange(3), 40)
        y = rng.normal(0, 2, member.size)
        x = y + rng.normal(0, 1, 3)[member] + rng.normal(0, 1, member.size)
        found = agreement(x, y, member)
        inside.append(found.bias.low <= 0.0 <= found.bias.high)
        assert found.rmse.low >= 0.0 and found.correlation.high <= 1.0
    assert np.mean(inside) == pytest.approx(0.95, abs=0.04)
