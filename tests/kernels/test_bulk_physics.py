"""What any bulk algorithm must obey."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluxkernels import bulk_flux, saturation_specific_humidity

FREEZING_AT_35 = 273.15 - 1.9223
wind = st.floats(0.0, 35.0)
sea = st.floats(272.0, 305.0)
contrast = st.floats(-8.0, 8.0)
share = st.floats(0.2, 1.1)
quick = settings(max_examples=200)


@quick
@given(wind, sea, contrast, share)
def test_fluxes_follow_their_gradients(u: float, ts: float, dt: float, rh: float) -> None:
    """Heat and vapour go from more to less; stress is never negative."""
    q = rh * saturation_specific_humidity(ts + dt, 101300.0)
    flux = bulk_flux(u, ts, ts + dt, q)
    lapse = 0.00976 * 10.0  # the air would be this much warmer brought to the surface
    if abs(dt + lapse) > 1e-3:
        assert np.sign(flux.sensible) == -np.sign(dt + lapse)
    if abs(flux.surface_humidity - q) > 1e-6:
        assert np.sign(flux.latent) == np.sign(flux.surface_humidity - q)
    assert flux.stress >= 0.0
    assert np.sign(flux.evaporation) == np.sign(flux.latent)


@quick
@given(wind, sea, contrast, share)
def test_fluxes_are_their_transfer_coefficients(u: float, ts: float, dt: float, rh: float) -> None:
    """Density, wind with gusts, coefficient and difference multiply to the flux."""
    q = rh * saturation_specific_humidity(ts + dt, 101300.0)
    flux = bulk_flux(u, ts, ts + dt, q)
    gusty = np.hypot(flux.wind_speed, flux.gustiness)
    vaporisation = (2.501 - 0.00237 * (ts - 273.15)) * 1e6
    latent = flux.air_density * vaporisation * gusty * flux.transfer_coefficient_moisture
    stress = flux.air_density * gusty * u * flux.transfer_coefficient_momentum
    assert latent * (flux.surface_humidity - q) == pytest.approx(flux.latent, rel=1e-6, abs=1e-6)
    if u >= 0.1:
        assert stress == pytest.approx(flux.stress, rel=1e-12)


def test_a_calm_has_heat_fluxes_and_no_stress() -> None:
    """Gustiness carries heat at no wind; the mean stress vanishes without a 0/0."""
    flux = bulk_flux(0.0, 300.0, 298.0, 0.015)
    assert flux.stress == flux.transfer_coefficient_momentum == flux.wind_speed_at_height == 0.0
    assert flux.sensible > 1.0
    assert flux.latent > 10.0


def test_exact_equilibrium_is_finite() -> None:
    """Where sea and air agree to the last bit, coefficients keep their limit."""
    saturated = bulk_flux(7.0, 300.0, 299.0, 0.015).surface_humidity
    flux = bulk_flux(7.0, 300.0, 299.0, saturated)
    assert flux.latent == 0.0
    near = bulk_flux(7.0, 300.0, 299.0, saturated * (1 - 1e-9))
    expected = near.transfer_coefficient_moisture
    assert flux.transfer_coefficient_moisture == pytest.approx(expected, rel=1e-6)


def test_ice_is_rough_and_has_no_cool_skin() -> None:
    """The surface freezes at -1.92 °C at salinity 35, not at -1.8."""
    sea_ice = FREEZING_AT_35 + np.array([-0.01, 0.01])
    flux = bulk_flux(8.0, sea_ice, 265.0, 0.001, cool_skin=True)
    assert flux.roughness_length[0] == pytest.approx(0.0005)
    assert flux.roughness_length[1] < 0.0004
    assert flux.skin_cooling[0] == 0.0 < flux.skin_cooling[1]
    fresh = bulk_flux(8.0, sea_ice, 265.0, 0.001, salinity=0.0)
    np.testing.assert_allclose(fresh.roughness_length, 0.0005)


def test_a_negative_wind_is_missing() -> None:
    """A retrieval's small negative wind is no wind."""
    flux = bulk_flux(np.array([-0.1, -0.0, 5.0]), 300.0, 299.0, 0.015)
    assert np.isnan(flux.latent).tolist() == [True, False, False]


def test_infinite_values_are_missing() -> None:
    """Inf is nothing that was measured."""
    flux = bulk_flux(np.array([5.0, np.inf]), np.array([np.inf, 300.0]), 299.0, 0.015)
    assert all(np.isnan(field).all() for field in flux)


def test_cool_skin_lowers_the_latent_heat_flux(weather: dict[str, np.ndarray]) -> None:
    """On the mean: a cooler surface evaporates less."""
    warm, cool = bulk_flux(**weather), bulk_flux(**weather, cool_skin=True)
    assert 1.0 < np.mean(warm.latent - cool.latent) < 15.0
    assert (warm.skin_cooling == 0.0).all()


def test_net_shortwave_may_be_given() -> None:
    """Net radiation is downward radiation with no albedo."""
    args = (3.0, 300.0, 299.0, 0.015)
    net = bulk_flux(*args, cool_skin=True, shortwave_down=800.0 * 0.945, albedo=0.0)
    assert net.latent == bulk_flux(*args, cool_skin=True, shortwave_down=800.0).latent


@pytest.mark.parametrize("kind", ["actual", "neutral"])
def test_only_the_wind_over_the_water_counts(kind: str) -> None:
    """Water that runs with the wind takes from it, water against the wind adds to it."""
    over_water = np.array([6.0, 10.0, 1.0, 0.0])
    current = np.array([2.0, -2.0, 9.0, 8.0])
    flux = bulk_flux(8.0, 300.0, 298.0, 0.015, current=current, wind_kind=kind)
    same = bulk_flux(over_water, 300.0, 298.0, 0.015, wind_kind=kind)
    np.testing.assert_array_equal(flux.latent, same.latent)
    np.testing.assert_array_equal(flux.stress, same.stress)
    assert np.isnan(bulk_flux(-0.1, 300.0, 298.0, 0.015, current=-2.0).latent)


@pytest.mark.parametrize("algorithm", ["coare30", "coare35", "coare36"])
def test_the_profile_joins_what_is_given(algorithm: str) -> None:
    """Reduced to the sensors' own heights, wind, temperature and humidity are the inputs."""
    given_ = {"wind_speed": [3.0, 8.0, 8.0], "sea_surface_temperature": [300.0, 299.0, 283.0]}
    given_ |= {"air_temperature": [298.0, 299.5, 285.0], "specific_humidity": [0.015, 0.016, 0.008]}
    heights = {"height_wind": 4.0, "height_temperature": 3.0, "height_humidity": 2.0}
    for field, height in (
        ("wind_speed", 4.0),
        ("air_temperature", 3.0),
        ("specific_humidity", 2.0),
    ):
        flux = bulk_flux(**given_, **heights, at_height=height, algorithm=algorithm)
        np.testing.assert_allclose(getattr(flux, f"{field}_at_height"), given_[field], rtol=1e-12)


def test_fluxes_do_not_depend_on_the_height_of_observation(weather: dict[str, np.ndarray]) -> None:
    """What would be seen at 4 m of a surface layer known at 10 m gives its fluxes again.

    COARE takes the air's density at the thermometer's height: that alone is 0.07 %.
    """
    flux = bulk_flux(**weather, at_height=4.0)
    seen = {
        name: getattr(flux, f"{name}_at_height")
        for name in ("wind_speed", "air_temperature", "specific_humidity")
    }
    heights = {"height_wind": 4.0, "height_temperature": 4.0, "height_humidity": 4.0}
    again = bulk_flux(**(weather | seen), **heights)
    steady = np.abs(10.0 / flux.obukhov_length) < 1.0  # elsewhere ten passes are not enough
    assert steady.mean() > 0.8
    for name, atol in (("sensible", 0.05), ("latent", 0.1), ("stress", 1e-4)):
        np.testing.assert_allclose(
            getattr(again, name)[steady], getattr(flux, name)[steady], rtol=3e-3, atol=atol
        )
