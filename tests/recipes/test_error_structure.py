"""What is found of errors whose structure is known, and what it makes of the errors of means."""

from __future__ import annotations

import math
import tracemalloc
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluxrecipes.error_of_mean import WrongErrors, effective_number
from fluxrecipes.error_of_mean import error_of_mean as of_record
from fluxrecipes.error_structure import (
    FURTHEST_FROM_1,
    UNKNOWN,
    Samples,
    Structure,
    calibration,
    structure_of,
)

error_of_mean = partial(of_record, both_passes=False)


class Known(NamedTuple):
    """A field of errors at platforms in a part of an ocean, on two passes a day."""

    systematic: float = 0.3
    days: float = 2.0
    kilometres: float = 400.0
    report: float = 0.5
    platforms: int = 60
    length: int = 240
    moving: float = 0.0  # km a day

    def drawn(self, seed: int) -> Samples:
        rng = np.random.default_rng(seed)
        latitude, longitude = (
            rng.uniform(*side, self.platforms) for side in ((-20, 20), (150, 190))
        )
        place = unit(latitude, longitude)
        distance = 6371.0 * np.arccos(np.clip(place @ place.T, -1, 1))
        shape = np.exp(-distance / self.kilometres) + 1e-9 * np.eye(self.platforms)
        root = np.linalg.cholesky(shape)
        passes = 2 * self.length
        random = root @ rng.standard_normal((self.platforms, passes))
        kept = math.exp(-0.5 / self.days)
        for at in range(1, passes):
            random[:, at] = kept * random[:, at - 1] + math.sqrt(1 - kept**2) * random[:, at]
        lasting = rng.standard_normal(self.platforms)
        lasting *= 1 / np.sqrt(np.mean(lasting**2))  # so that the share is this draw's own
        whole = math.sqrt(self.systematic) * lasting[:, None]
        whole = whole + math.sqrt(1 - self.systematic) * random
        whole += self.report * rng.standard_normal(whole.shape)
        platform, passage = np.nonzero(rng.random(whole.shape) < 0.7)
        moved = self.moving / 111.0 * passage / 2.0
        return Samples(
            whole[platform, passage],
            platform,
            passage / 2.0,
            passage,
            latitude[platform] + moved,
            longitude[platform],
        )


def unit(latitude: Any, longitude: Any) -> Any:
    north, east = np.radians(latitude), np.radians(longitude)
    level = np.cos(north)
    return np.stack([level * np.cos(east), level * np.sin(east), np.sin(north)], axis=-1)


@pytest.mark.parametrize(
    "known",
    [Known(), Known(0.05, 0.6, 150.0), Known(0.0, 1.0, 300.0), Known(0.6, 1.5, 900.0, 1.5)],
)
def test_a_known_structure_is_found(known: Known) -> None:
    """Reports may err more than the retrieval itself."""
    found = [structure_of(known.drawn(seed)) for seed in range(3)]
    share, days, kilometres = (np.mean([one[at] for one in found]) for at in range(3))
    assert share == pytest.approx(known.systematic, abs=0.04)
    assert days == pytest.approx(known.days, rel=0.25)
    assert kilometres == pytest.approx(known.kilometres, rel=0.25)


def test_what_is_found_does_not_depend_on_order_or_sign_or_the_dateline() -> None:
    samples = Known(platforms=30, length=90).drawn(4)
    order = np.random.default_rng(1).permutation(len(samples.error))
    other = Samples(*(column[order] for column in samples))
    turned = (other.longitude + 200.0) % 360.0
    assert (np.diff(np.sort(turned)) > 100).any()  # it lies across the dateline now
    other = other._replace(error=-other.error, longitude=turned)
    assert structure_of(other) == pytest.approx(structure_of(samples), rel=1e-6)


def test_a_bias_that_all_places_share_makes_no_length_longer() -> None:
    samples = Known(0.0, 1.0, 300.0).drawn(1)
    shared = np.sqrt(0.6) * samples.error + np.sqrt(0.4)
    found, without = structure_of(samples._replace(error=shared)), structure_of(samples)
    assert found.systematic == pytest.approx(0.4, abs=0.03)
    assert found.days == pytest.approx(without.days, rel=0.15)
    assert found.kilometres == pytest.approx(without.kilometres, rel=0.15)


def test_errors_of_reports_alone_have_no_structure() -> None:
    samples = Known(report=3.0).drawn(2)
    noise = np.random.default_rng(0).standard_normal(len(samples.error))
    found = structure_of(samples._replace(error=noise))
    assert found.systematic == pytest.approx(0.0, abs=0.02)
    assert found.days is not None and found.days < 0.2
    assert found.kilometres is not None and found.kilometres < 60.0


def test_too_few_pairs_tell_nothing() -> None:
    assert structure_of(Known(platforms=4, length=90).drawn(1)) == UNKNOWN
    assert structure_of(Known(length=8).drawn(1)) == UNKNOWN
    empty = Samples(*(np.zeros(0, kind) for kind in (float, int, float, int, float, float)))
    assert structure_of(empty) == UNKNOWN
    ships = Known(moving=200.0, length=60).drawn(1)  # never long in one place
    assert structure_of(ships) == UNKNOWN
    lonely = Known(platforms=6, length=90).drawn(1)
    scattered = lonely._replace(latitude=lonely.platform * 20.0 - 50.0, longitude=0 * lonely.time)
    found = structure_of(scattered)
    assert found.days is not None and found.kilometres is None


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.7])
def test_the_factor_is_that_by_which_errors_are_told_too_small(factor: float) -> None:
    rng = np.random.default_rng(5)
    own = rng.uniform(0.3, 1.5, 6000)
    error = factor * own * rng.standard_normal(6000) + 0.5 * rng.standard_normal(6000)
    found = calibration(error, own, 0.5)
    assert found == pytest.approx(factor, rel=0.05)
    slopes = []
    for one in (found * 0.99, found * 1.01):
        variance = (one * own) ** 2 + 0.25
        slopes.append(np.mean((1 - error**2 / variance) * own**2 / variance))
    assert slopes[0] < 0 < slopes[1]  # of the likelihood: it is the maximum


def test_a_factor_stays_within_its_bounds() -> None:
    error = np.random.default_rng(6).standard_normal(500)
    own = np.full(500, 0.01)
    assert calibration(error, own, 0.0) == pytest.approx(FURTHEST_FROM_1)
    assert calibration(error, np.ones(500), 5.0) == pytest.approx(1 / FURTHEST_FROM_1)


# --- means ---------------------------------------------------------------------------------------


def drawn_means(known: Structure, sizes: np.ndarray, where: np.ndarray, number: int) -> np.ndarray:
    """Means over days and cells of errors of one standard deviation, in many draws."""
    assert known.systematic is not None and known.days is not None and known.kilometres is not None
    rng = np.random.default_rng(8)
    distance = 6371.0 * np.arccos(np.clip(unit(*where) @ unit(*where).T, -1, 1))
    shape = np.exp(-distance / known.kilometres) + 1e-9 * np.eye(len(distance))
    root = np.linalg.cholesky(shape)
    days, cells = sizes.shape
    state = rng.standard_normal((number, cells)) @ root.T
    kept, total = math.exp(-1 / known.days), np.zeros(number)
    lasting = rng.standard_normal(number)[:, None]
    area = np.cos(np.radians(where[0]))
    for day in range(days):
        if day:
            fresh = rng.standard_normal((number, cells)) @ root.T
            state = kept * state + math.sqrt(1 - kept**2) * fresh
        error = math.sqrt(known.systematic) * lasting + math.sqrt(1 - known.systematic) * state
        total += (error * sizes[day] * area).sum(axis=1)
    return total / (days * area.sum())


def test_the_error_of_a_months_mean_is_that_of_draws() -> None:
    """Where the root of the number of days is far from it."""
    total = np.random.default_rng(2).uniform(8.0, 20.0, 30)
    known, here = Structure(0.2, 2.5, 300.0), np.zeros((2, 1))
    spread = drawn_means(known, total[:, None], here, 40_000).std()
    found = error_of_mean(total, math.sqrt(0.2) * total, correlation_days=2.5)
    assert found.total == pytest.approx(spread, rel=0.03)
    assert found.systematic == pytest.approx(math.sqrt(0.2) * total.mean())
    assert found.total > 2.5 * math.sqrt(np.mean(total**2) / 30)


def test_the_error_of_a_regions_mean_is_that_of_draws() -> None:
    latitude, longitude = (x.ravel() for x in np.meshgrid(np.arange(50, 57), np.arange(178, 184)))
    where = np.stack([latitude, longitude]).astype(float)
    sizes = np.random.default_rng(3).uniform(0.5, 1.5, (5, latitude.size))
    known = Structure(0.1, 1.2, 250.0)
    spread = drawn_means(known, sizes, where, 20_000).std()
    options: dict[str, Any] = {"latitude": where[0], "longitude": where[1] - 360.0}
    found = error_of_mean(
        sizes, math.sqrt(0.1) * sizes, correlation_days=1.2, correlation_kilometres=250.0, **options
    )
    assert found.total == pytest.approx(spread, rel=0.03)
    alone = error_of_mean(sizes, 0 * sizes, correlation_days=0, correlation_kilometres=0, **options)
    weight = np.cos(np.radians(where[0]))
    single = np.sqrt(np.sum((sizes * weight) ** 2)) / (5 * weight.sum())
    assert alone.total == pytest.approx(single)


def test_it_is_at_the_front_door() -> None:
    """Takes what is published, as it is read."""
    import xarray as xr

    import fluxforge as ff

    time = np.arange("2016-01-01", "2016-01-31", dtype="M8[D]").astype("M8[ns]")
    total = xr.DataArray(np.full(30, 12.0, "f4"), {"time": time}, ["time"])
    found = ff.error_of_mean(total, 0.5 * total, correlation_days=2.0, both_passes=False)
    expected = 36.0 + 108.0 / effective_number(30, 2.0)
    assert found.total == pytest.approx(math.sqrt(expected), rel=1e-5)


@pytest.mark.parametrize("days", [0.24, 0.75, 3.0, math.inf])
def test_days_of_both_passes_are_more_alike(days: float) -> None:
    """Passes are 12 hours apart, and the error of a day is that of the mean of two."""
    rng, alike = np.random.default_rng(0), math.exp(-0.5 / days)
    passes = rng.standard_normal((60, 20_000))
    for one in range(1, 60):
        passes[one] = alike * passes[one - 1] + math.sqrt(1 - alike**2) * passes[one]
    means = passes.reshape(30, 2, -1).mean(axis=1)
    of_day = np.full(30, math.sqrt((1 + alike) / 2))
    found = of_record(of_day, 0 * of_day, correlation_days=days)
    assert found.total == pytest.approx(means.mean(axis=0).std(), rel=0.02)
    assert of_record(of_day, 0 * of_day, correlation_days=0).total == pytest.approx(
        of_day[0] / math.sqrt(30)
    )


def test_many_cells_go_by_parts() -> None:
    rng = np.random.default_rng(1)
    latitude, longitude = rng.uniform(-60, 60, 700), rng.uniform(0, 360, 700)
    sizes = rng.uniform(1, 2, (2, 700))
    found = error_of_mean(
        sizes,
        0 * sizes,
        correlation_days=1.0,
        correlation_kilometres=800.0,
        latitude=latitude,
        longitude=longitude,
    )
    weight = np.cos(np.radians(latitude))
    r = (sizes * weight / (2 * weight.sum())).ravel()
    place = unit(latitude, longitude)
    near = np.exp(-6371.0 / 800.0 * np.arccos(np.clip(place @ place.T, -1, 1)))
    e = math.exp(-1)
    assert found.total**2 == pytest.approx(r @ np.kron([[1, e], [e, 1]], near) @ r)


@given(st.integers(1, 40), st.integers(1, 5), st.floats(0.0, 50.0), st.integers(0, 99))
@settings(max_examples=40)
def test_the_mean_of_days_and_cells_is_the_sum_over_all_pairs(
    days: int, cells: int, fading: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    latitude, longitude = rng.uniform(-60, 60, cells), rng.uniform(0, 360, cells)
    sizes = rng.uniform(1, 2, (days, cells))
    sizes[rng.random(sizes.shape) < 0.2] = np.nan
    sizes[0, 0] = 1.0
    for days_of_memory in (fading, 0.0, math.inf):
        found = error_of_mean(
            sizes,
            0 * sizes,
            correlation_days=days_of_memory,
            correlation_kilometres=3000.0,
            latitude=latitude,
            longitude=longitude,
        )
        weight = np.isfinite(sizes) * np.cos(np.radians(latitude))
        r = (np.nan_to_num(sizes) * weight / weight.sum()).ravel()
        apart = np.abs(np.subtract.outer(np.arange(days), np.arange(days)))
        place = unit(latitude, longitude)
        angle = np.arccos(np.clip(place @ place.T, -1, 1))
        near = np.exp(-6371.0 / 3000.0 * np.where(angle < 1e-6, 0.0, angle))
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            in_time = np.where(apart == 0, 1.0, np.exp(-apart / days_of_memory))
        expected = r @ np.kron(in_time, near) @ r
        assert found.total**2 == pytest.approx(expected, rel=1e-9)


def test_the_mean_of_the_whole_record_needs_memory_for_its_days_and_not_for_pairs_of_them() -> None:
    days = 10_593
    total = np.random.default_rng(2).uniform(5, 20, days)
    tracemalloc.start()
    try:
        found = error_of_mean(total, 0.4 * total, correlation_days=2.5)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 5e6
    random = np.sqrt(1 - 0.4**2) * total / days
    by_lag = sum(  # of later lags exp(-100) is left
        (1 + (lag > 0)) * math.exp(-lag / 2.5) * (random[lag:] @ random[: days - lag])
        for lag in range(250)
    )
    expected = by_lag + (0.4 * total.mean()) ** 2
    assert found.total == pytest.approx(math.sqrt(expected), rel=1e-12)


@given(st.integers(1, 60), st.floats(0.0, 50.0), st.floats(0.0, 1.0))
@settings(max_examples=50)
def test_errors_alike_follow_from_the_effective_number(
    number: int, days: float, share: float
) -> None:
    found = error_of_mean(np.full(number, 2.0), np.full(number, 2.0 * share), correlation_days=days)
    effective = effective_number(number, days)
    assert effective * (1 + 1e-9) >= 1.0 and effective <= number * (1 + 1e-9)
    expected = 4.0 * (share**2 + (1 - share**2) / effective)
    assert found.total**2 == pytest.approx(expected, rel=1e-6)


def test_the_effective_number_between_its_bounds() -> None:
    assert effective_number(30, 0.0) == 30
    assert effective_number(30, math.inf) == pytest.approx(1.0)
    assert effective_number(1, 3.0) == 1
    # Of a long series it is n (1 - r) / (1 + r).
    r = math.exp(-1 / 2.0)
    assert effective_number(20_000, 2.0) == pytest.approx(20_000 * (1 - r) / (1 + r), rel=1e-3)


def test_days_and_cells_without_a_value_do_not_count() -> None:
    total, part = np.array([1.0, np.nan, 2.0]), np.array([0.5, np.nan, 1.0])
    found = error_of_mean(total, part, correlation_days=1.0)
    random = np.sqrt(0.75) * np.array([0.5, 1.0])
    expected = (random**2).sum() + 2 * random.prod() * math.exp(-2)
    assert found.systematic == pytest.approx(0.75)
    assert found.total == pytest.approx(math.sqrt(expected + 0.75**2))


@pytest.mark.parametrize(
    ("total", "part", "cells", "said"),
    [
        (np.ones(3), np.ones(2), 0, "of shape"),
        (np.ones((2, 2, 2)), np.ones((2, 2, 2)), 0, "of shape"),
        (np.ones((2, 3)), np.ones((2, 3)), 0, "3 cells"),
        (np.ones((2, 3)), np.ones((2, 3)), 2, "3 cells"),
        (np.full(3, np.nan), np.ones(3), 0, "no value"),
        (np.ones(3), np.full(3, 1.1), 0, "exceeds"),
    ],
)
def test_errors_of_which_no_mean_can_be_told(
    total: np.ndarray, part: np.ndarray, cells: int, said: str
) -> None:
    place = {"latitude": np.zeros(cells), "longitude": np.zeros(cells)} if cells else {}
    with pytest.raises(WrongErrors, match=said) as told:
        error_of_mean(total, part, correlation_days=1.0, **place)
    assert told.value.code == "FF741"
