"""Retrievals of F17 through the seasons. How they compare with a real day: test_targets_day."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fluxrecipes.nature import World, instruments, land
from fluxrecipes.nature.instruments import COAST, LAST_VALUE, NO_RETRIEVAL, SEA_ICE
from fluxrecipes.nature.orbits import F17
from fluxrecipes.sources.rss import AMSR_LAYERS

DAYS = ((2018, "2018-07-20"), (5, "2018-10-15"))
NAMES = [layer.name for layer in F17.instrument.layers]
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


def decode(days: np.ndarray, name: str) -> np.ndarray:
    layer = NAMES.index(name)
    packing = F17.instrument.layers[layer].packing
    scale, offset = packing.scale, packing.offset
    stored = days[:, :, layer]
    return np.where(stored <= LAST_VALUE, stored * scale + offset, np.nan).astype("f4")


@pytest.mark.parametrize(
    ("name", "expected", "tolerance"),
    [  # 5, 50, 95 %
        ("wind_speed", (2.4, 7.5, 13.8), 1.2),
        ("water_vapour", (7.0, 25.0, 61.0), 6.0),
        ("cloud_liquid_water", (-0.005, 0.03, 0.34), 0.06),
        ("rain_rate", (0.0, 0.0, 0.6), 0.3),
    ],
)
def test_other_seasons_have_like_values(days, name, expected, tolerance):
    found = np.nanpercentile(decode(days, name), [5, 50, 95])
    np.testing.assert_allclose(found, expected, atol=tolerance)


def test_loss_goes_with_rain_in_every_season(days):
    rain = np.round(decode(days, "rain_rate") * 10)
    for day, wet in zip(days, rain, strict=True):
        lost = day[:, NAMES.index("wind_speed")] == NO_RETRIEVAL
        assert lost[wet > 5].mean() > 0.97
        assert lost[wet == 0].mean() < 0.12


def test_shares_of_the_codes(days):
    """Some ice below 60°, coast 1.4 %; wind lost at a tenth, vapour where it pours."""
    sea = ~land.rss_land()[BAND]

    def share(name: str, code: int) -> float:
        return 100.0 * float((days[:, :, NAMES.index(name)][:, :, sea] == code).mean())

    assert 8.0 < share("wind_speed", NO_RETRIEVAL) < 16.0
    assert 0.2 < share("water_vapour", NO_RETRIEVAL) < 1.2
    assert share("rain_rate", NO_RETRIEVAL) == 0.0
    assert 0.0 < share("wind_speed", SEA_ICE) < 2.0
    assert 1.0 < share("wind_speed", COAST) < 2.0


def test_layers_may_be_those_of_another_instrument(world):
    """Seven hold the five of an SSM/I map, byte for byte."""
    day = np.datetime64("2018-01-31")
    five = instruments.pass_map(world, F17, day, "ascending")
    seven_layers = replace(F17, instrument=replace(F17.instrument, layers=AMSR_LAYERS))
    seven = instruments.pass_map(world, seven_layers, day, "ascending")
    np.testing.assert_array_equal(seven[[0, 3, 4, 5, 6]], five)
    celsius = seven[1][seven[1] <= LAST_VALUE] * 0.15 - 3.0
    assert -3.0 <= celsius.min() < celsius.max() < 36.0


def test_where_the_map_says_ice_there_is_ice(world):
    day = np.datetime64("2018-01-31")
    stored = instruments.pass_map(world, F17, day, "ascending")
    hours = instruments.observation_hours(F17, day, "ascending")
    value = stored[4] <= LAST_VALUE
    for code, low, high in ((stored[4] == SEA_ICE, 0.15, 1.0), (value, 0.0, 0.15)):
        points, _ = instruments.pass_points(hours, day, code)
        ice = world.state(points.part(slice(None, None, 50))).sea_ice_fraction
        assert low <= ice.min() <= ice.max() <= high


def test_neutral_wind_exceeds_the_actual_where_the_air_is_unstable(world):
    day = np.datetime64("2018-01-10")
    where = np.zeros((720, 1440), bool)
    where[120:600:3, ::3] = ~land.rss_land()[120:600:3, ::3]
    points, _ = instruments.pass_points(np.full((720, 1440), 12.0), day, where)
    truth = world.state(points)
    gap = truth.sea_surface_temperature - truth.air_temperature
    excess = instruments.neutral_excess(truth.wind_speed, gap)
    assert np.mean(excess) == pytest.approx(0.13, abs=0.08)  # on the real day's stability
    assert (excess[gap > 2] > 0).all()
    assert (excess[gap < -1] < 0.01).all()
