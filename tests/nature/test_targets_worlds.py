"""Worlds by name: trends in the truth, drifts of products without any, and other physics."""

from __future__ import annotations

import numpy as np
import pytest

from fluxkernels.thermodynamics import saturation_specific_humidity
from fluxrecipes.nature import WORLDS, Physics, World, instruments, land, ocean
from fluxrecipes.nature.fields import Points, hours_since_epoch
from fluxrecipes.nature.weather import State

SEED = 4
YEARS = (1992, 2001, 2011, 2020)
DAYS = [np.datetime64(f"{year}-07-01") for year in YEARS]
SEA = np.nonzero(~land.rss_land()[160:560:8, ::8])  # 50° S to 50° N, every other degree


def points_of(day: np.datetime64) -> Points:
    row, column = 160 + 8 * SEA[0], 8 * SEA[1]
    hours = np.full(row.size, hours_since_epoch(day) + 12.0)
    return Points(row, (0.25 * column + 0.125).astype(np.float32), hours)


def truths(name: str) -> list[State]:
    world = World(SEED, WORLDS[name])
    return [world.state(points_of(day)) for day in DAYS]


def slope(values: list[np.ndarray], others: list[np.ndarray]) -> float:
    """Per decade, of the mean difference from the same weather without trends."""
    apart = [float(np.nanmean(a - b)) for a, b in zip(values, others, strict=True)]
    return 10.0 * float(np.polyfit(YEARS, apart, 1)[0])


def relative(state: State) -> np.ndarray:
    return state.specific_humidity / saturation_specific_humidity(
        state.air_temperature.astype("f8"), state.surface_pressure.astype("f8")
    )


@pytest.fixture(scope="module")
def still() -> list[State]:
    return truths("no-trend")


@pytest.mark.parametrize(
    ("name", "sea", "air", "humidity", "wind"),
    [
        ("standard", 0.12, 0.12, 0.0, 0.0),
        ("equal-trends", 0.2, 0.2, 0.0, 0.0),
        ("gap-trend", 0.0, -0.1, 0.0, 0.0),
        ("humidity-trend", 0.0, 0.0, -0.01, 0.0),
        ("wind-trend", 0.0, 0.0, 0.0, 0.02),
        ("sst-drift", 0.0, 0.0, 0.0, 0.0),
        ("vapour-drift", 0.0, 0.0, 0.0, 0.0),
    ],
)
def test_trends_of_the_truth(name, sea, air, humidity, wind, still):
    """K, K, relative humidity, and the wind as a share of itself, a decade."""
    found = truths(name)

    def trend(value) -> float:
        return slope([value(state) for state in found], [value(state) for state in still])

    assert trend(lambda s: s.sea_surface_temperature) == pytest.approx(sea, abs=0.003)
    assert trend(lambda s: s.air_temperature) == pytest.approx(air, abs=0.003)
    assert trend(relative) == pytest.approx(humidity, abs=3e-4)
    mean = np.mean([state.wind_speed.mean() for state in still])
    assert trend(lambda s: s.wind_speed) / mean == pytest.approx(wind, abs=0.001)


def reported_vapour(name: str) -> list[np.ndarray]:
    world, found = World(SEED, WORLDS[name]), []
    for day in DAYS:
        points = points_of(day)
        errors = instruments.Errors.of_pass(world, "f17", 1, points)
        found.append(instruments.retrieve(world.state(points), errors)["water_vapour"])
    return found


def reported_sst(name: str) -> list[np.ndarray]:
    world = World(SEED, WORLDS[name])
    return [instruments.analysed_sst(world, day)["sst"][160:560] for day in (DAYS[0], DAYS[-1])]


@pytest.fixture(scope="module")
def still_reports() -> tuple[list[np.ndarray], list[np.ndarray]]:
    return reported_sst("no-trend"), reported_vapour("no-trend")


@pytest.mark.parametrize(
    ("name", "sst", "vapour"),
    [
        ("equal-trends", 0.58, 1.0),
        ("gap-trend", 0.0, -0.5),
        ("humidity-trend", 0.0, -0.9),
        ("sst-drift", 0.1, 0.0),
        ("vapour-drift", 0.0, 0.5),
    ],
)
def test_trends_of_what_satellites_report(name, sst, vapour, still_reports):
    """K and mm over the record: a drift looks like a trend, and there is none in the truth."""
    seen, moist = reported_sst(name), reported_vapour(name)
    change = [np.nanmean(a - b) for a, b in zip(seen, still_reports[0], strict=True)]
    years = YEARS[-1] - YEARS[0]
    assert 29.0 / years * (change[1] - change[0]) == pytest.approx(sst, abs=0.01)
    found = 2.9 * slope(moist, still_reports[1])
    # The truth's share of the vapour's trend follows from humidity: within a quarter.
    assert found == pytest.approx(vapour, abs=0.25 * abs(vapour) + 0.03)


def test_the_perturbed_world_differs_in_more_than_its_seed(still):
    world = World(SEED, WORLDS["perturbed"])
    there = world.state(points_of(DAYS[1]))
    moist = there.water_vapour.mean() / still[1].water_vapour.mean()
    assert 1.03 < moist < 1.09
    character = instruments.Character.of(world, "f17")
    plain, steep = (
        instruments.wind_bias(there, character, curves).std()
        for curves in (1.0, world.physics.wind_bias)
    )
    assert steep == pytest.approx(1.4 * plain, rel=1e-4)


def test_el_nino_comes_and_goes():
    """An index that lasts for months and changes from year to year, over sixty years."""
    month = 730.5
    hours = hours_since_epoch(np.datetime64("1960-01-15")) + month * np.arange(720)
    index = np.concatenate([ocean.nino_index(hours[i : i + 1], SEED) for i in range(720)])
    assert index.std() == pytest.approx(1.0, abs=0.25)
    away = index - index.mean()
    assert np.mean(away[3:] * away[:-3]) > 0.6 * index.var()
    assert abs(np.mean(away[24:] * away[:-24])) < 0.4 * index.var()


def test_el_nino_warms_the_equatorial_pacific():
    points = points_of(DAYS[0])
    index = float(ocean.nino_index(points.hours[:1], SEED)[0])
    with_it, twice, without = (
        ocean.sea(points, SEED, Physics(nino=nino)).potential for nino in (1.0, 2.0, 0.0)
    )
    np.testing.assert_allclose(twice - without, 2.0 * (with_it - without), atol=1e-4)
    pattern = (with_it - without) / index
    east = (np.abs(points.latitude) < 2) & (np.abs(points.longitude - 240) < 5)
    assert pattern[east].mean() > 0.8
    assert np.abs(pattern[np.abs(points.latitude) > 25]).max() < 0.01


def test_each_satellite_errs_in_its_own_way():
    """A conditional bias, of .3 to .7 m/s, that the fields of the product explain."""
    world = World(SEED)
    truth = world.state(points_of(DAYS[1]))
    biases = [
        instruments.wind_bias(truth, instruments.Character.of(world, name))
        for name in ("f11", "f13", "f17")
    ]
    for bias in biases:
        assert 0.25 < np.sqrt(np.mean(bias**2)) < 0.7
    for one, other in ((0, 1), (1, 2), (0, 2)):
        assert np.abs(biases[one] - biases[other]).mean() > 0.03


def wind_errors(name: str) -> tuple[State, np.ndarray, np.ndarray]:
    """Truth, error against the neutral wind without noise of loss, and the bias part of it."""
    world = World(SEED)
    points = Points(
        np.repeat(np.arange(160, 560, 2), 720),
        np.tile(0.5 * np.arange(720) + 0.125, 200).astype(np.float32),
        np.full(144_000, hours_since_epoch(DAYS[1])),
    )
    truth = world.state(points)
    errors = instruments.Errors.of_pass(world, name, 5, points)
    none = instruments.Errors(0 * errors.swath, 0 * errors.white, errors.chance, errors.character)
    seen, clean = (instruments.retrieve(truth, e)["wind_speed"] for e in (errors, none))
    return truth, seen - clean, instruments.wind_bias(truth, errors.character)


@pytest.fixture(scope="module")
def of_f17() -> tuple[State, np.ndarray, np.ndarray]:
    return wind_errors("f17")


def test_noise_of_the_wind_grows_with_the_wind(of_f17):
    """As the difference of two retrievals does: .24, .41, .58, 1.2 m/s; 1.6 times that."""
    truth, noise, _ = of_f17
    speed = truth.wind_speed
    limits = ((0, 3), (6, 9), (12, 16), (16, 40))
    found = [np.nanstd(noise[(speed >= low) & (speed < high)]) for low, high in limits]
    np.testing.assert_allclose(np.divide(found, 1.6), (0.24, 0.41, 0.58, 1.2), rtol=0.3)


def test_bias_of_the_wind_under_clear_and_cloudy_sky(of_f17):
    """Between two retrievals: +.19 at cloud below .02 mm to -.32 above .18 mm."""
    truth, _, bias = of_f17
    cloud = truth.cloud_liquid_water
    clear, thick = bias[cloud < 0.02].mean(), bias[cloud > 0.18].mean()
    assert clear - thick == pytest.approx(0.51, abs=0.2)


def test_noise_of_the_wind_is_correlated_along_the_swath(of_f17):
    noise = of_f17[1].reshape(200, 720)
    both = lambda a, b: np.isfinite(a) & np.isfinite(b)  # noqa: E731
    along = (noise[4:], noise[:-4])  # 2° north
    across = (noise[:, 4:], noise[:, :-4])  # 2° east
    found = [np.corrcoef(a[both(a, b)], b[both(a, b)])[0, 1] for a, b in (along, across)]
    assert found[0] > 0.3
    assert found[0] > 2.0 * found[1]


def test_satellite_less_buoy():
    """Sd 1.0 to 1.4 m/s and bias within 1, within half an hour and 25 km."""
    world, random = World(SEED), np.random.default_rng(0)
    here = points_of(DAYS[1])
    there = Points(here.row + 1, here.longitude, here.hours + 0.5)
    for name in ("f11", "f13", "f17"):
        errors = instruments.Errors.of_pass(world, name, 7, here)
        seen = instruments.retrieve(world.state(here), errors)["wind_speed"]
        wind = world.state(there).wind_speed
        buoy = wind + (0.15 + 0.02 * wind) * random.standard_normal(wind.size)
        assert 0.9 < np.nanstd(seen - buoy) < 1.4
        assert abs(np.nanmean(seen - buoy)) < 1.0
