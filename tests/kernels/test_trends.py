"""Trends of series against scipy and pymannkendall, by properties, and by how often they err."""

from __future__ import annotations

import doctest
import warnings
from collections.abc import Callable

import numpy as np
import pymannkendall as mk
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import linregress, theilslopes
from scipy.stats import t as student

from fluxkernels.errors import (
    KernelError,
    NotNumericError,
    OutOfRangeError,
    SampleError,
    ShapeError,
    TimeError,
)
from fluxkernels.stats import field, inversions, rank, trend
from fluxkernels.stats.collocation import resampled_collocation, triple_collocation
from fluxkernels.stats.field import significant
from fluxkernels.stats.rank import rank_trend
from fluxkernels.stats.trend import linear_trend, mean_of

EXACT = pytest.approx


def noise(length: int, many: int, persistence: float = 0.0, seed: int = 5) -> np.ndarray:
    made = np.random.default_rng(seed).normal(size=(length + 100, many))
    for step in range(1, len(made)):
        made[step] += persistence * made[step - 1]
    return made[100:]


KINDS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "plain": lambda x: x,
    "rounded": lambda x: np.round(x, 1),  # many pairs are level
    "rain": lambda x: np.round(np.maximum(x - 1.0, 0.0), 2),  # most are
    "rare": lambda x: (x > 1.0) * 1.0,
    "wandering": lambda x: np.cumsum(x, axis=0),
    "far apart": lambda x: np.exp(6.0 * x),  # some far from all others
    "steps": lambda x: np.round(np.arange(len(x))[:, None] / 7.0) + np.zeros_like(x),
    "constant": lambda x: 0.0 * x + 271.5,
}


def test_constant_series_have_no_trend_in_their_rounding() -> None:
    years = np.arange(1992.0, 2021.0)
    rounding = 271.35 * (1.0 + 1e-15 * np.sign(noise(29, 500)))
    for series in (np.full((29, 3), 271.35), rounding, np.where(noise(29, 500) > 0, 7.1, np.nan)):
        found = linear_trend(series, years)
        assert (found.slope == 0).all() and (found.p_value == 1).all()
        assert (found.within() == 0).all() and (found.autocorrelation == 0).all()
        beside = linear_trend(series, years, noise(29, 1))
        np.testing.assert_array_equal(beside.coefficients[1:][:, np.isfinite(beside.slope)], 0.0)
    exact = linear_trend(0.1 * years, years)
    assert exact.slope == EXACT(0.1) and exact.p_value < 1e-10


@pytest.mark.parametrize("persistence", [0.0, 0.5])
def test_means_know_what_their_values_depend_on(persistence: float) -> None:
    series = noise(36, 4000, persistence)
    series[::7] = np.nan
    found = mean_of(series)
    np.testing.assert_allclose(found.mean, np.nanmean(series, axis=0), atol=1e-12)
    assert 0.92 < (np.abs(found.mean) < found.within()).mean() < 0.97
    season = np.cos(2 * np.pi * np.arange(36) / 12)[:, None]
    beside = mean_of(series + 3.0 * season, season)
    assert 0.91 < (np.abs(beside.mean) < beside.within()).mean() < 0.97
    assert np.median(mean_of(series + 3.0 * season).within()) > 2 * np.median(beside.within())
    assert np.isnan(mean_of(np.array([1.0, 2.0])).standard_error)


@pytest.mark.parametrize(("number", "least"), [(12, 0.81), (18, 0.89), (24, 0.91), (120, 0.93)])
def test_means_beside_a_season_know_what_it_hides(number: int, least: float) -> None:
    """A wave that is fitted takes some of what values have of the ones before."""
    turn = 2 * np.pi * np.arange(number) / 12
    found = mean_of(noise(number, 6000, 0.6), np.stack([np.cos(turn), np.sin(turn)], axis=1))
    assert least < (np.abs(found.mean) < found.within()).mean() < 0.97


def test_an_error_from_without_widens_and_has_its_own_freedom() -> None:
    values = noise(29, 3000)
    plain = linear_trend(values, np.arange(29.0))
    none = plain.with_error(np.zeros(3000), np.full(3000, 5.0))
    np.testing.assert_allclose(none.within(), plain.within())
    np.testing.assert_allclose(none.p_value, plain.p_value)
    other = 0.1 * np.random.default_rng(1).normal(size=(6, 3000))
    known = mean_of(other)
    moved = plain._replace(slope=plain.slope + known.mean)
    told = moved.with_error(known.standard_error, known.freedom)
    assert 0.93 < (np.abs(told.slope) < told.within()).mean() < 0.98
    np.testing.assert_array_equal(told.p_value < 0.05, np.abs(told.slope) > told.within())
    assert (np.abs(moved.slope) < moved.within()).mean() < 0.85


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("length", [3, 4, 5, 29, 91, 92, 300])
def test_ranks_agree_with_pymannkendall(kind: str, length: int) -> None:
    series = KINDS[kind](noise(length, 2))
    found = rank_trend(series, np.arange(1.0, length + 1))  # as it counts when it takes trends off
    for place in range(series.shape[1]):
        one = series[:, place]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            plain = mk.original_test(one)
        assert found.slope[place] == EXACT(plain.slope, rel=1e-12, abs=1e-15)
        assert found.intercept[place] == EXACT(plain.intercept - plain.slope, rel=1e-10, abs=1e-10)
        assert found.score[place] == plain.s
        assert found.variance[place] == EXACT(plain.var_s, rel=1e-12)
        assert found.tau[place] == EXACT(plain.Tau, rel=1e-12)
        assert found.p_mann_kendall[place] == EXACT(plain.p, abs=1e-12)
        if kind in ("constant", "steps") or length < 5:
            continue  # what the trend leaves is nothing, or rounding
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            widened = mk.hamed_rao_modification_test(one)
        assert found.p_hamed_rao[place] == EXACT(widened.p, abs=1e-12, nan_ok=True)


@given(
    values=st.lists(st.integers(-6, 6), min_size=3, max_size=130),
    slope=st.floats(-2, 2),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=150)
def test_any_series_at_any_times(values: list[int], slope: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.integers(1, 5, len(values))) / 4.0
    series = np.array(values, float)
    if seed % 2:
        series = series + slope * times
    found = rank_trend(series, times)
    assert found.slope == EXACT(theilslopes(series, times)[0], rel=1e-12, abs=1e-14)
    rising = np.sign(series[None, :] - series[:, None])[np.triu_indices(len(series), 1)]
    assert found.score == rising.sum()


def test_days_of_decades() -> None:
    """Where not all pairs can be looked at: the middle slope is the middle one all the same."""
    length = 2500
    times = np.arange(length) / 365.25
    series = noise(length, 4, 0.9) + 0.05 * times[:, None]
    series[:, 1] = np.round(series[:, 1], 2)
    series[900:1000, 2] = np.nan
    series[7, 3] = 1e9  # a value far from all others
    found = rank_trend(series.astype(np.float32), times)
    for place in range(4):
        there = np.isfinite(series[:, place])
        one = series[there, place].astype(np.float32).astype(float)
        by_scipy = theilslopes(one, times[there])
        assert found.slope[place] == EXACT(by_scipy[0], rel=1e-12)
        assert found.intercept[place] == EXACT(by_scipy[1], rel=1e-10)


@pytest.mark.parametrize("size", [5e-324, 1e-310, 1e-300, 1e300, 1e307])
def test_values_as_small_and_as_large_as_there_are(size: float) -> None:
    """What is left of them has no width, or none that is a number: no key may leave the table."""
    times = np.arange(120.0)
    with np.errstate(over="ignore", invalid="ignore"):
        for series in (size * times, size * np.sign(np.sin(times)), size * noise(120, 1)[:, 0]):
            found, number = rank_trend(series, times), np.isfinite(series).sum()
            assert found.number == number and abs(found.score) <= number * (number - 1) / 2


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_middle_two_slopes_on_either_side_of_zero(sign: float) -> None:
    """Of a step in a hundred values just half of all pairs are level."""
    series = sign * (np.arange(100) >= 55)
    found = rank_trend(series, np.arange(100.0))
    assert abs(found.score) == 2475 == 100 * 99 // 4
    assert found.slope == EXACT(sign / 99 / 2, rel=1e-12)
    assert found.slope == EXACT(theilslopes(series, np.arange(100.0))[0], rel=1e-12)


def test_gaps_leave_out_a_time_and_not_its_place() -> None:
    times = np.arange(12.0)
    series = 3.0 - 0.5 * times
    series[[2, 3, 8]] = np.nan
    for found in (rank_trend(series, times), linear_trend(series, times)):
        assert found.slope == EXACT(-0.5, rel=1e-12)
        assert found.number == 9


def test_few_values_have_no_trend() -> None:
    series = np.full((5, 3), np.nan)
    series[:2, 1], series[[0, 2, 4], 2] = [1.0, 2.0], [1.0, 2.0, 4.0]
    by_rank, by_squares = rank_trend(series, np.arange(5)), linear_trend(series, np.arange(5))
    for found in (by_rank, by_squares):
        np.testing.assert_array_equal(found.number, [0, 2, 3])
        assert np.isnan(found.slope[:2]).all() and np.isfinite(found.slope[2])
    assert np.isnan(by_rank.p_mann_kendall[:2]).all() and np.isnan(by_squares.p_value[:2]).all()
    nowhere = rank_trend(np.empty((5, 0, 2)), np.arange(5))
    assert nowhere.slope.shape == (0, 2)
    assert np.isnan(linear_trend(np.ones((2, 3)), np.arange(2), np.ones((2, 1))).slope).all()


@pytest.mark.parametrize("length", [5, 29, 348])
@pytest.mark.parametrize("gaps", [0.0, 0.2])
def test_least_squares_agree_with_scipy(length: int, gaps: float) -> None:
    series, times = noise(length, 12) + 300.0, 199.2 + np.arange(length) / 10.0
    series[np.random.default_rng(1).random(series.shape) < gaps] = np.nan
    found = linear_trend(series, times)
    for place in range(series.shape[1]):
        there = np.isfinite(series[:, place])
        if there.sum() < 4:
            continue
        one = linregress(times[there], series[there, place])
        assert found.slope[place] == EXACT(one.slope, rel=1e-10, abs=1e-10)
        assert found.coefficients[0, place] == EXACT(one.intercept, rel=1e-10)
        freedom = found.effective[place] - 2.0
        error = one.stderr * np.sqrt((there.sum() - 2.0) / freedom)
        assert found.standard_error[place] == EXACT(error, rel=1e-10)
        chance = 2.0 * student.sf(abs(one.slope) / error, freedom)
        assert found.p_value[place] == EXACT(chance, rel=1e-9)
        half = student.ppf(0.975, freedom) * error
        assert found.within(0.95)[place] == EXACT(half, rel=1e-9)


def test_regressors_take_what_is_theirs() -> None:
    length = 40
    times = np.arange(length) / 10.0
    step, wave = (times > 1.7) * 1.0, np.sin(5.0 * times)
    series = (2.0 + 0.3 * times + 1.5 * step - 0.7 * wave)[:, None] + np.zeros((1, 2))
    series[5:9, 1] = np.nan
    found = linear_trend(series, times, np.stack([step, wave], axis=1))
    np.testing.assert_allclose(found.slope, 0.3, rtol=1e-10)
    np.testing.assert_allclose(found.coefficients[:, 0], [2.0, 1.5, -0.7], rtol=1e-10)
    noisy = series + noise(length, 2)
    there = np.isfinite(noisy[:, 1])
    design = np.stack([np.ones(length), step, wave, times], axis=1)[there]
    by_numpy = np.linalg.lstsq(design, noisy[there, 1])[0]
    found = linear_trend(noisy, times, np.stack([step, wave], axis=1))
    assert found.slope[1] == EXACT(by_numpy[-1], rel=1e-10)
    gone = noisy.copy()
    gone[:20] = np.nan  # the step lies where nothing is
    assert np.isnan(linear_trend(gone, times, step[:, None]).slope).all()


@pytest.mark.parametrize(
    ("persistence", "size"), [(0.0, 0.038), (0.2, 0.059), (0.4, 0.070), (0.6, 0.075)]
)
def test_how_often_a_trend_is_seen_where_none_is(persistence: float, size: float) -> None:
    """Of 29 years at the 5 % level; what was published for the procedure, within 0.8 points."""
    series = noise(29, 8000, persistence)
    found = linear_trend(series, np.arange(29))
    assert (found.p_value < 0.05).mean() == EXACT(size, abs=0.008)


def test_shapes_are_kept_and_inputs_too() -> None:
    series = noise(20, 12).reshape(20, 3, 4)
    before = series.copy()
    for found in (rank_trend(series, np.arange(20)), linear_trend(series, np.arange(20))):
        assert found.slope.shape == (3, 4) == found.number.shape
        alone = type(found)(*(np.asarray(x) for x in found))
        assert alone.slope[1, 2] == found.slope[1, 2]
    np.testing.assert_array_equal(series, before)
    one = rank_trend(series[:, 1, 2], np.arange(20))
    assert one.slope == rank_trend(series, np.arange(20)).slope[1, 2]


@pytest.mark.parametrize(
    ("wrong", "call"),
    [
        (ShapeError, lambda f: f(np.zeros((5, 2)), np.arange(4))),
        (ShapeError, lambda f: f(np.float64(1.0), np.arange(1))),
        (ShapeError, lambda f: f(np.empty((0, 2)), np.empty(0))),
        (TimeError, lambda f: f(np.zeros(3), np.array([1.0, 1.0, 2.0]))),
        (TimeError, lambda f: f(np.zeros(3), np.array([1.0, np.nan, 2.0]))),
        (TimeError, lambda f: f(np.zeros(2), np.array(["2001", "2002"], "M8[Y]"))),
        (NotNumericError, lambda f: f(np.array(["a", "b"]), np.arange(2))),
    ],
)
@pytest.mark.parametrize("function", [rank_trend, linear_trend])
def test_what_has_no_trend_is_refused(
    wrong: type[KernelError], call: Callable[..., object], function: Callable[..., object]
) -> None:
    with pytest.raises(wrong):
        call(function)


def test_what_cannot_be_told_apart_is_refused() -> None:
    times = np.arange(10.0)
    with pytest.raises(SampleError, match="told apart"):
        linear_trend(np.zeros(10), times, np.stack([times], axis=1))
    with pytest.raises(ShapeError):
        linear_trend(np.zeros(10), times, np.zeros((9, 1)))
    with pytest.raises(SampleError, match="finite"):
        linear_trend(np.zeros(10), times, np.full((10, 1), np.nan))
    with pytest.raises(OutOfRangeError):
        rank_trend(np.zeros(10), times, significance=5.0)


def test_counting_with_more_than_two_bytes() -> None:
    length = 70_000
    key = np.random.default_rng(2).permutation(length)
    rows, orders = key[None].astype(float), np.argsort(key)[None]
    falling, level, variance = (np.empty(1) for _ in range(3))
    inversions.scores(
        rows, orders, np.array([length]), falling, level, variance, inversions.room(length)
    )
    some = np.sort(key[:35_000])
    between = len(some) - np.searchsorted(some, key[35_000:])
    halves = [key[:35_000], key[35_000:]]
    within = sum(_inversions(half) for half in halves)
    assert falling[0] == within + between.sum() and level[0] == 0


def _inversions(key: np.ndarray) -> int:
    """By sorting halves."""
    if len(key) < 2:
        return 0
    middle = len(key) // 2
    first, last = key[:middle], key[middle:]
    across = middle - np.searchsorted(np.sort(first), last)
    return _inversions(first) + _inversions(last) + int(across.sum())


# --- maps and collocations ---------------------------------------------------------------------


def test_maps_without_a_trend_show_next_to_none() -> None:
    rng = np.random.default_rng(4)
    empty = rng.random((2000, 500))  # maps of independent points
    found = np.array([significant(one).any() for one in empty])
    assert found.mean() == EXACT(0.10, abs=0.02)
    there = np.concatenate([rng.random(900), rng.random(100) * 1e-5])
    seen = significant(there.reshape(10, 100)).ravel()
    assert seen[900:].all() and seen[:900].sum() <= 30
    gaps = np.where(rng.random(1000) < 0.5, np.nan, there)
    assert not significant(gaps)[np.isnan(gaps)].any()
    assert not significant(np.full(3, np.nan)).any()


@pytest.mark.parametrize("bad", [0.0, 1.0, -0.1])
def test_no_share(bad: float) -> None:
    with pytest.raises(OutOfRangeError):
        significant(np.array([0.1]), bad)
    with pytest.raises(OutOfRangeError):
        significant(np.array([0.1, 1.2]))


def test_three_measurements_tell_their_errors() -> None:
    rng = np.random.default_rng(6)
    truth = 3.0 * rng.normal(size=200_000)
    gains, errors = np.array([1.0, 0.8, 1.2]), np.array([0.5, 1.0, 0.3])
    seen = [g * truth + e * rng.normal(size=truth.size) for g, e in zip(gains, errors, strict=True)]
    seen[0][:100] = np.nan
    found = triple_collocation(*seen)
    assert found.points == truth.size - 100
    np.testing.assert_allclose(found.error, errors, rtol=0.02)
    np.testing.assert_allclose(found.scale, gains, rtol=0.01)
    by_hand = [np.corrcoef(one[100:], truth[100:])[0, 1] for one in seen]
    np.testing.assert_allclose(found.correlation, by_hand, rtol=0.002)
    again = triple_collocation(*(one.reshape(400, 500) for one in seen))
    np.testing.assert_allclose(again.error, found.error)


def test_intervals_of_three_measurements_know_of_stations() -> None:
    """The same numbers as of the plain sample; 95 of 100 intervals hold the error, nearly."""
    inside, errors = [], np.array([0.5, 1.0, 0.3])
    for seed in range(120):
        rng = np.random.default_rng(seed)
        station = np.repeat(np.arange(40), 60)
        size = np.exp(rng.normal(0, 0.3, 40))[station]  # stations differ in their errors
        size = size / np.sqrt(np.exp(2 * 0.3**2))
        truth = 3.0 * rng.normal(size=station.size)
        seen = [truth + e * size * rng.normal(size=station.size) for e in errors]
        seen[1][:7] = np.nan
        found = resampled_collocation(*seen, station, resamples=200)
        plain = triple_collocation(*seen)
        np.testing.assert_allclose([one.value for one in found.error], plain.error)
        np.testing.assert_allclose([one.value for one in found.scale], plain.scale)
        np.testing.assert_allclose([one.value for one in found.correlation], plain.correlation)
        assert (found.points, found.clusters) == (plain.points, 40)
        assert found.contradicted[1] == 0.0
        inside.append(found.error[1].low <= 1.0 <= found.error[1].high)
    assert np.mean(inside) == pytest.approx(0.93, abs=0.05)


def test_a_variance_below_zero_is_told() -> None:
    """The errors of two are opposite: what the third has in common with both looks too much."""
    rng = np.random.default_rng(5)
    truth, shared, own = rng.normal(size=(3, 4000))
    first = truth + 0.1 * own
    second, third = truth - 0.5 * shared, truth + 0.5 * shared
    found = resampled_collocation(first, second, third, np.arange(4000) % 50)
    assert found.variance[0] < 0 and found.contradicted[0] > 0.9
    assert found.variance[1] > 0 and found.contradicted[1] == 0.0
    assert np.isnan(found.error[0].value)
    alone = resampled_collocation(first, second, third, np.zeros(4000), resamples=10)
    assert alone.clusters == 1 and np.isnan(alone.error[0].low)
    assert np.isnan(alone.contradicted).all()


def test_what_cannot_be_collocated() -> None:
    with pytest.raises(SampleError):
        triple_collocation(*(np.arange(9.0) for _ in range(3)))
    with pytest.raises(ShapeError):
        triple_collocation(np.zeros(20), np.zeros(20), np.zeros(21))
    with pytest.raises(ShapeError):
        resampled_collocation(np.zeros(20), np.zeros(20), np.zeros(20), np.zeros(21))
    rng = np.random.default_rng(1)
    unlike = triple_collocation(*rng.normal(size=(3, 30)))
    assert unlike.points == 30  # nothing in common: some errors are not known
    assert np.isnan(unlike.error).any() or np.isfinite(unlike.error).all()


@pytest.mark.parametrize("module", [rank, trend, field])
def test_examples(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]
