"""How well air can be retrieved from what satellites see: a floor that no method goes below."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fluxrecipes.nature import World, instruments, land
from fluxrecipes.nature.fields import Points, hours_since_epoch
from fluxrecipes.training import regression as training


def test_a_quadratic_regression_lands_where_it_should():
    """Ta 0.9-1.3 K and Qa 1.0-1.3 g/kg, in another world and other years."""
    held_out = json.loads(training.WEIGHTS.read_text())["held out"]
    # To the decimal in which the target is stated.
    assert 0.9 <= round(held_out["air_temperature_rmse_K"], 1) <= 1.3
    assert 1.0 <= round(held_out["specific_humidity_rmse_g_kg-1"], 1) <= 1.3


def perfect(world: World, days: list[np.datetime64], count: int, seed: int) -> np.ndarray:
    """Noise-free inputs (SST, wind, vapour, cloud, latitude) and air (Ta, Qa) of open sea."""
    random = np.random.default_rng(seed)
    row, column = np.nonzero(~land.rss_land()[100:620])
    weight = np.cos(np.radians((row + 100.5) / 4.0 - 90.0))
    parts = []
    for day in days:
        drawn = random.choice(row.size, count, p=weight / weight.sum())
        hours = hours_since_epoch(day) + 6.0 * random.integers(0, 4, count)
        longitude = (0.125 + 0.25 * column[drawn]).astype(np.float32)
        points = Points(row[drawn] + 100, longitude, hours)
        truth = world.state(points)
        gap = truth.sea_surface_temperature - truth.air_temperature
        neutral = truth.wind_speed + instruments.neutral_excess(truth.wind_speed, gap)
        fields = (truth.sea_surface_temperature, neutral, truth.water_vapour)
        fields += (truth.cloud_liquid_water, points.latitude)
        labels = (truth.air_temperature, 1000.0 * truth.specific_humidity)
        parts.append(np.stack([*fields, *labels])[:, truth.sea_ice_fraction < 0.15])
    return np.concatenate(parts, axis=1)


@pytest.fixture(scope="module")
def oracle() -> dict[str, float]:
    """RMSE of boosting on a million perfect points: Ta [K], the same in the tropics, Qa [g/kg]."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    random = np.random.default_rng(0)
    learn = perfect(World(1), training.draw_days((2007, 2015), 50, random), 21_000, 1)
    test = perfect(World(2), training.draw_days((2016, 2017), 16, random), 5_000, 2)
    assert learn.shape[1] > 1_000_000
    errors = {}
    for name, label in (("air", 5), ("humidity", 6)):
        model = HistGradientBoostingRegressor(
            max_iter=200, max_leaf_nodes=63, learning_rate=0.15, random_state=0
        )
        # The air less the sea: what is to be found out beyond the SST.
        base = (learn[0], test[0]) if name == "air" else (0.0, 0.0)
        model.fit(learn[:5].T, learn[label] - base[0])
        errors[name] = model.predict(test[:5].T) + base[1] - test[label]
    errors["tropics"] = errors["air"][np.abs(test[4]) < 15.0]
    return {name: float(np.sqrt(np.mean(error**2))) for name, error in errors.items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("air", 0.6, 0.8), ("tropics", 0.3, 0.5), ("humidity", 0.6, 0.8)],
)
def test_an_oracle_reaches_the_inherent_floor(oracle, name, low, high):
    """Ta 0.6-0.8 K, in the tropics 0.4; Qa 0.6-0.8 g/kg."""
    assert low <= oracle[name] <= high


@pytest.mark.slow
def test_the_oracle_beats_the_quadratic_regression(oracle):
    card = json.loads(training.WEIGHTS.read_text())["held out"]
    assert oracle["air"] < card["air_temperature_rmse_K"]
    assert oracle["humidity"] < card["specific_humidity_rmse_g_kg-1"]
