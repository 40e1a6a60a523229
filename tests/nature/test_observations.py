"""Simulated retrievals against statistics of a real day.

The numbers in comments are those of RSS's AMSR2 map of 2 January 2016, 60 S to 60 N, measured
with the functions below. The simulated ones are pooled over four days of four seasons and two
worlds; tolerances cover what single days differ by.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from fluxrecipes.nature import World, instruments, land
from fluxrecipes.nature.instruments import COAST, LAST_VALUE, NO_RETRIEVAL, SEA_ICE
from fluxrecipes.nature.orbits import F17

DAYS = ((2018, "2018-01-10"), (2018, "2018-07-20"), (5, "2018-04-12"), (5, "2018-10-15"))
NAMES = [name for name, _, _ in instruments.LAYERS]
BAND = slice(120, 600)


@pytest.fixture(scope="module")
def days() -> np.ndarray:
    """Maps (day, pass, layer, lat, lon) of 60 S to 60 N; ascending first."""
    return np.stack(
        [
            [
                instruments.pass_map(World(seed), F17, np.datetime64(day), which)[:, BAND]
                for which in ("ascending", "descending")
            ]
            for seed, day in DAYS
        ]
    )


@pytest.fixture(scope="module")
def one_degree(days) -> dict[str, np.ndarray]:
    """Means of the valid cells of each 1° cell, (day, pass, 120, 360)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # cells without a value
        return {name: np.nanmean(blocks(decode(days, name)), axis=(3, 5)) for name in NAMES}


def decode(days: np.ndarray, name: str) -> np.ndarray:
    layer = NAMES.index(name)
    _, scale, offset = instruments.LAYERS[layer]
    stored = days[:, :, layer]
    return np.where(stored <= LAST_VALUE, stored * scale + offset, np.nan).astype("f4")


def blocks(values: np.ndarray) -> np.ndarray:
    return values.reshape(*values.shape[:2], 120, 4, 360, 4)


def correlation(values: np.ndarray, zonal: int = 0, meridional: int = 0) -> float:
    """Of departures from the zonal mean, over valid pairs."""
    away = values - np.nanmean(values, axis=-1, keepdims=True)
    north = slice(meridional, None), slice(None, -meridional or None)
    a = np.roll(away, -zonal, axis=-1)[:, :, north[0]]
    b = away[:, :, north[1]]
    valid = np.isfinite(a) & np.isfinite(b)
    return float(np.corrcoef(a[valid], b[valid])[0, 1])


QUANTILES = {  # 5, 25, 50, 75, 95 %
    "wind_speed": ((2.5, 5.4, 7.7, 9.9, 13.8), 1.0),
    "water_vapour": ((6.7, 13.1, 22.3, 38.2, 60.5), 3.0),
    "cloud_liquid_water": ((-0.005, 0.01, 0.03, 0.08, 0.34), 0.05),
    "rain_rate": ((0.0, 0.0, 0.0, 0.01, 0.61), 0.25),
}


@pytest.mark.parametrize("name", QUANTILES)
def test_distribution_over_1_degree_cells(one_degree, name):
    expected, tolerance = QUANTILES[name]
    found = np.nanpercentile(one_degree[name], [5, 25, 50, 75, 95])
    np.testing.assert_allclose(found, expected, atol=tolerance)


CORRELATIONS = {  # zonal 1, 5, 10°; meridional 1, 5, 10°
    "wind_speed": (0.94, 0.58, 0.30, 0.90, 0.37, 0.05),
    "water_vapour": (0.97, 0.73, 0.47, 0.94, 0.51, 0.15),
    "cloud_liquid_water": (0.79, 0.21, 0.04, 0.72, 0.10, 0.01),
    "rain_rate": (0.64, 0.07, -0.01, 0.58, 0.05, 0.00),
}


@pytest.mark.parametrize("name", CORRELATIONS)
def test_correlation_in_space(one_degree, name):
    values = one_degree[name]
    found = [correlation(values, zonal=lag) for lag in (1, 5, 10)]
    found += [correlation(values, meridional=lag) for lag in (1, 5, 10)]
    np.testing.assert_allclose(found, CORRELATIONS[name], atol=0.16)


@pytest.mark.parametrize(
    ("name", "correlated", "rms"),
    [
        ("wind_speed", 0.67, 2.87),
        ("water_vapour", 0.946, 5.29),
        ("cloud_liquid_water", 0.35, 0.148),
        ("rain_rate", 0.16, 0.72),
    ],
)
def test_what_changes_in_twelve_hours(one_degree, name, correlated, rms):
    up, down = one_degree[name][:, 0], one_degree[name][:, 1]
    valid = np.isfinite(up) & np.isfinite(down)
    found = np.corrcoef(up[valid], down[valid])[0, 1]
    assert found == pytest.approx(correlated, abs=0.1)
    assert np.sqrt(np.mean((up - down)[valid] ** 2)) == pytest.approx(rms, rel=0.25)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("water_vapour", "cloud_liquid_water", 0.53),
        ("wind_speed", "cloud_liquid_water", 0.25),
        ("wind_speed", "water_vapour", 0.08),
        ("cloud_liquid_water", "rain_rate", 0.84),
    ],
)
def test_how_variables_go_together(one_degree, one, other, expected):
    a, b = (v - np.nanmean(v, axis=-1, keepdims=True) for v in (one_degree[one], one_degree[other]))
    valid = np.isfinite(a) & np.isfinite(b)
    assert np.corrcoef(a[valid], b[valid])[0, 1] == pytest.approx(expected, abs=0.12)


def test_loss_goes_with_rain(days):
    """P(251) by rain 0, .1-.5, .6-2, 2.1-5, more: wind .06 .88 .99 1 1; vapour 0 0 0 .18 .63."""
    rain = np.round(decode(days, "rain_rate") * 10)
    limits = ((0, 0), (1, 5), (6, 20), (21, 50), (51, 250))
    for name, expected in (
        ("wind_speed", (0.06, 0.88, 0.99, 1.0, 1.0)),
        ("water_vapour", (0.0, 0.0, 0.005, 0.18, 0.63)),
    ):
        lost = days[:, :, NAMES.index(name)] == NO_RETRIEVAL
        found = [lost[(rain >= low) & (rain <= high)].mean() for low, high in limits]
        np.testing.assert_allclose(found, expected, atol=0.04)


def test_cells_without_wind_are_the_moist_and_cloudy_ones(days):
    lost = days[:, :, NAMES.index("wind_speed")] == NO_RETRIEVAL
    kept = days[:, :, NAMES.index("wind_speed")] <= LAST_VALUE
    vapour, cloud = decode(days, "water_vapour"), decode(days, "cloud_liquid_water")
    assert np.nanmean(vapour[lost]) - np.nanmean(vapour[kept]) > 7.0  # 35 and 23 mm
    assert np.nanmean(cloud[lost]) > 0.2  # 0.30 and 0.03 mm
    assert np.nanmean(cloud[kept]) < 0.05


def test_shares_of_the_codes(days):
    """On the real day: wind lost 11 %, vapour 0.5 %, ice 0.6 %, coast 1.4 %; rain in 10 %."""
    sea = ~land.rss_land()[BAND]
    share = lambda name, code: 100 * (days[:, :, NAMES.index(name)][:, :, sea] == code).mean()  # noqa: E731
    assert 8.0 < share("wind_speed", NO_RETRIEVAL) < 16.0
    assert 0.2 < share("water_vapour", NO_RETRIEVAL) < 1.0
    assert share("rain_rate", NO_RETRIEVAL) <= 0.2
    assert 0.0 < share("wind_speed", SEA_ICE) < 1.5
    assert 1.0 < share("wind_speed", COAST) < 2.0
    rain = decode(days, "rain_rate")
    assert 0.07 < (rain[np.isfinite(rain)] > 0).mean() < 0.13


def test_rainy_1_degree_cells_are_three_times_as_frequent(one_degree):
    rain = one_degree["rain_rate"]
    assert 0.18 < (rain[np.isfinite(rain)] > 0).mean() < 0.34


@pytest.mark.parametrize(("low", "expected"), [(0, 3.7), (15, 7.2), (24, 10.8), (27, 12.2)])
def test_spread_of_vapour_at_one_sst(one_degree, low, expected):
    vapour, sst = one_degree["water_vapour"][:, 0], np.stack([analysed(*day) for day in DAYS])
    spread = np.nanstd(vapour[(sst >= low) & (sst < low + 3)])
    assert spread == pytest.approx(expected, rel=0.25)


def analysed(seed: int, day: str) -> np.ndarray:
    sst = instruments.analysed_sst(World(seed), np.datetime64(day))["sst"][BAND]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanmean(sst.reshape(120, 4, 360, 4), axis=(1, 3))


def test_wind_is_neutral_and_its_errors_are_those_of_buoy_comparisons(world):
    """Against an actual wind: sd 0.7 to 1.4 m/s, bias within 0.5; neutral less actual +0.1."""
    day = np.datetime64("2018-01-10")
    where = np.zeros((720, 1440), bool)
    where[120:600:3, ::3] = ~land.rss_land()[120:600:3, ::3]
    points, _ = instruments.pass_points(np.full((720, 1440), 12.0), day, where)
    truth = world.state(points)
    seen = instruments.retrieve(truth, instruments.Errors.of_pass(world, "f17", 1, points))
    error = seen["wind_speed"] - truth.wind_speed
    assert abs(np.nanmean(error)) < 0.5
    assert 0.6 < np.nanstd(error) < 1.4
    calm, gale = (np.nanstd(error[w]) for w in (truth.wind_speed < 4, truth.wind_speed > 14))
    assert gale > 1.5 * calm
    gap = truth.sea_surface_temperature - truth.air_temperature
    excess = instruments.neutral_excess(truth.wind_speed, gap)
    assert 0.0 < np.mean(excess) < 0.3
    assert (excess[gap > 2] > 0).all()
    assert (excess[gap < -1] < 0.01).all()
