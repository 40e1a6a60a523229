"""The baseline retrieval: its shape, its bounds, its making, and a real day."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest

from fluxkernels.bulk import bulk_flux
from fluxkernels.regression import QuadraticRegression, fit, quadratic_terms, scale
from fluxkernels.thermodynamics import saturation_specific_humidity
from fluxrecipes.training import regression as training


@pytest.fixture(scope="module")
def card() -> dict:
    return json.loads(training.WEIGHTS.read_text())


@pytest.fixture(scope="module")
def shipped(card) -> QuadraticRegression:
    return QuadraticRegression(**{n: tuple(v) for n, v in card["coefficients"].items()})


@pytest.fixture(scope="module")
def held_out() -> training.Sample:
    return training.held_out_sample(days=8, points_a_day=1500)


def test_any_shape_and_nan_stays_where_it_is(shipped):
    wind, sst = np.full((2, 1, 4), 8.0), np.full((3, 1), 300.0)
    wind[0, 0, 1] = np.nan
    air, humidity = shipped.predict(wind, 40.0, sst)
    assert air.shape == humidity.shape == (2, 3, 4)
    missing = np.zeros((2, 3, 4), bool)
    missing[0, :, 1] = True
    np.testing.assert_array_equal(np.isnan(air), missing)
    np.testing.assert_array_equal(np.isnan(humidity), missing)


def test_inputs_are_left_alone_and_each_matters(shipped):
    base = [np.array([8.0]), np.array([40.0]), np.array([298.0])]
    copies = [values.copy() for values in base]
    first = shipped.predict(*base)
    np.testing.assert_array_equal(base, copies)
    for i, change in enumerate((3.0, 8.0, 2.0)):
        moved = [values + change * (i == j) for j, values in enumerate(base)]
        assert not np.allclose(shipped.predict(*moved)[1], first[1], rtol=1e-3)


def test_the_terms_are_the_polynomial_that_predict_computes(shipped):
    rng = np.random.default_rng(0)
    inputs = rng.uniform([0, 2, 272], [25, 70, 304], (200, 3)).T
    terms = quadratic_terms(scale(inputs, shipped.lower, shipped.upper))
    np.testing.assert_allclose(inputs[2] - terms @ shipped.gap, shipped.predict(*inputs)[0])


def test_beyond_the_training_range_inputs_are_held(shipped):
    inside = shipped.predict(shipped.upper[0], shipped.upper[1], 300.0)
    np.testing.assert_allclose(shipped.predict(60.0, 90.0, 300.0), inside)
    warm, hot = (shipped.predict(7.0, 50.0, shipped.upper[2] + more)[0] for more in (0.0, 2.0))
    assert hot - warm == pytest.approx(2.0)  # the air still follows the water


def test_humidity_stays_below_saturation_for_any_input(shipped):
    wind, vapour, sst = np.meshgrid(
        np.linspace(0, 50, 21), np.linspace(0, 90, 31), np.linspace(270, 308, 39)
    )
    air, humidity = shipped.predict(wind, vapour, sst)
    saturation = saturation_specific_humidity(air, 101_300.0, 35.0)
    assert (humidity <= 0.98 * saturation).all()
    assert (humidity > 0).all()


def test_a_wrong_number_of_coefficients_is_refused(shipped):
    with pytest.raises(ValueError, match="gap must hold 10"):
        QuadraticRegression(shipped.lower, shipped.upper, shipped.gap[:9], shipped.humidity)


def test_fit_recovers_a_quadratic():
    rng = np.random.default_rng(1)
    wind, vapour, sst = rng.uniform([1, 5, 275], [18, 60, 302], (5000, 3)).T
    gap = 1.0 + 0.02 * wind - 0.001 * (vapour - 30.0) ** 2 + 0.002 * wind * (sst - 290.0)
    humidity = 0.8 * saturation_specific_humidity(sst - gap, 101_300.0, 35.0)
    model = fit(wind, vapour, sst, sst - gap, humidity)
    inner = [
        np.clip(v, a, b)
        for v, a, b in zip((wind, vapour, sst), model.lower, model.upper, strict=True)
    ]
    same = np.all([a == b for a, b in zip(inner, (wind, vapour, sst), strict=True)], axis=0)
    air, found = model.predict(wind, vapour, sst)
    np.testing.assert_allclose(air[same], (sst - gap)[same], atol=0.02)
    np.testing.assert_allclose(found[same], humidity[same], rtol=0.01)


def test_the_card_says_what_it_was_trained_on(card):
    assert card["trained on"] == "simulated world"
    assert card["world"]["seed"] != card["held out"]["seed"]
    assert card["world"]["years"][1] < card["held out"]["years"][0] < 2018
    assert card["world"]["samples"] > 50_000


def test_skill_on_a_world_and_years_held_out(shipped, held_out, card):
    """On a part of the sample it is what the card says; where it must land: test_targets."""
    found = training.skill(shipped, held_out)
    for name, value in found.items():
        assert value == pytest.approx(card["held out"][name], abs=0.08)


def test_a_refit_on_fewer_days_gives_nearly_the_shipped_regression(shipped, held_out):
    model, sample = training.train(days=10, points_a_day=1800)
    assert len(sample.wind) > 12_000
    warm, moist = (
        np.subtract(a, b)
        for a, b in zip(model.predict(*held_out[:3]), shipped.predict(*held_out[:3]), strict=True)
    )
    assert np.sqrt(np.mean(warm**2)) < 0.25
    assert 1000 * np.sqrt(np.mean(moist**2)) < 0.3


def test_fluxes_of_a_real_day_are_sound(shipped, real_data):
    """AMSR2 of 2 January 2016, 60 S to 60 N: climatologies have LHF 90-105, SHF 10-15 W/m²."""
    raw = gzip.decompress((real_data / "rss/f34_20160102v7.2.gz").read_bytes())
    maps = np.frombuffer(raw, np.uint8).reshape(2, 7, 720, 1440)[:, :, 120:600].astype("f8")
    maps[maps > 250] = np.nan
    sst, wind, vapour = maps[:, 1] * 0.15 + 270.15, maps[:, 3] * 0.2, maps[:, 4] * 0.3
    air, humidity = shipped.predict(wind, vapour, sst)
    valid = np.isfinite(humidity)
    weight = np.broadcast_to(
        np.cos(np.radians(-59.875 + 0.25 * np.arange(480)))[:, None], valid.shape[1:]
    )
    weight = np.broadcast_to(weight, valid.shape)[valid]
    flux = bulk_flux(wind[valid], sst[valid], air[valid], humidity[valid], wind_kind="neutral")
    assert 85.0 < np.average(flux.latent, weights=weight) < 115.0
    assert 5.0 < np.average(flux.sensible, weights=weight) < 20.0
    relative = humidity[valid] / saturation_specific_humidity(air[valid], 101_300.0, 35.0)
    assert relative.max() < 1.0
    assert 0.75 < np.average(relative, weights=weight) < 0.85
