"""Derivatives of bulk fluxes."""

from __future__ import annotations

import numpy as np
import pytest

from fluxkernels import bulk_flux, bulk_flux_derivatives, errors

OBSERVED = ("wind_speed", "sea_surface_temperature", "air_temperature", "specific_humidity")


def test_they_foretell_the_change_of_a_flux(weather: dict[str, np.ndarray]) -> None:
    """A small change of all inputs together is the sum of what each alone does."""
    settled = weather["wind_speed"] > 3.0
    given = {name: values[settled] for name, values in weather.items()}
    slopes = bulk_flux_derivatives(**given, outputs=["latent", "sensible", "stress"])
    assert set(slopes) == set(OBSERVED)
    change = dict(zip(OBSERVED, (0.01, 0.02, -0.01, 2e-5), strict=True))
    before = bulk_flux(**given)
    after = bulk_flux(**{name: values + change[name] for name, values in given.items()})
    for field, scale in (("latent", 1.0), ("sensible", 0.3), ("stress", 1e-3)):
        foretold = sum(getattr(slopes[name], field) * change[name] for name in OBSERVED)
        actual = getattr(after, field) - getattr(before, field)
        assert np.quantile(np.abs(foretold - actual), 0.99) < 0.02 * scale
        assert np.median(np.abs(actual)) > 0.3 * scale


def test_known_slopes() -> None:
    """Of what is linear in its input, the slope is known."""
    slopes = bulk_flux_derivatives(
        8.0, 300.0, 299.0, 0.015, by=["rain", "at_height", "current", "wind_speed"], rain=1e-3
    )
    flux = bulk_flux(8.0, 300.0, 299.0, 0.015, rain=1e-3)
    assert slopes["rain"].rain_heat == pytest.approx(flux.rain_heat / 1e-3, rel=1e-6)
    assert slopes["rain"].latent == 0.0
    # The wind's profile: dU/dz = u* / (kappa z) (U / S) phi, with phi near one in this air.
    gradient = flux.friction_velocity / 0.4 / 10.0
    assert slopes["at_height"].wind_speed_at_height == pytest.approx(gradient, rel=0.3)
    assert slopes["current"].latent == pytest.approx(-slopes["wind_speed"].latent, rel=1e-6)


def test_a_calm_is_differentiated_on_its_own_side() -> None:
    """At no wind, at no rain, at the pole: one-sided, and never NaN."""
    slopes = bulk_flux_derivatives(
        0.0, 300.0, 298.0, 0.012, by=["wind_speed", "rain", "latitude", "albedo"], latitude=90.0,
        albedo=1.0, cool_skin=True,
    )  # fmt: skip
    assert np.isfinite(slopes["wind_speed"].latent)
    assert slopes["rain"].rain_heat > 0.0
    assert np.isfinite(slopes["latitude"].latent)
    assert np.isfinite(slopes["albedo"].latent)


def test_what_is_missing_is_nan_in_a_plain_array() -> None:
    """By a mask, or as a negative wind however small; as in the fluxes themselves."""
    masked = np.ma.array([8.0, 8.0], mask=[False, True])
    for slope in bulk_flux_derivatives(masked, 300.0, 299.0, 0.015).values():
        assert type(slope.latent) is np.ndarray
        assert np.isnan(slope.latent).tolist() == [False, True]
    wind = np.array([-2.0, -1e-3, -5e-4, -1e-9, 0.0, 5e-4])
    missing = np.isnan(bulk_flux(wind, 300.0, 299.0, 0.015).latent).tolist()
    for slope in bulk_flux_derivatives(wind, 300.0, 299.0, 0.015).values():
        assert np.isnan(slope.latent).tolist() == missing == [True] * 4 + [False] * 2
    assert np.isnan(bulk_flux_derivatives(-5e-4, 300.0, 299.0, 0.015)["wind_speed"].latent)


@pytest.mark.parametrize("height", [1e-4, 5e-3, 1e-2, 0.5, 10.0])
def test_heights_near_the_sea(height: float) -> None:
    """A legal height has a slope: that of a logarithm, which no fixed step would find."""
    slopes = bulk_flux_derivatives(8.0, 300.0, 299.0, 0.015, by=["at_height"], at_height=height)
    ratio = np.array([1.0 - 1e-4, 1.0 + 1e-4])
    wind = bulk_flux(8.0, 300.0, 299.0, 0.015, at_height=height * ratio).wind_speed_at_height
    expected = np.diff(wind)[0] / (2e-4 * height)
    assert slopes["at_height"].wind_speed_at_height == pytest.approx(expected, rel=2e-6)
    low = {"height_temperature": np.array([height, 10.0])}
    slope = bulk_flux_derivatives(8.0, 300.0, 299.0, 0.015, by=list(low), **low)
    assert np.isfinite(slope["height_temperature"].latent).all()


def test_single_precision_is_not_lost_in_small_steps(weather: dict[str, np.ndarray]) -> None:
    """The steps are taken in double precision; the result has the inputs' dtype."""
    single = {name: values.astype(np.float32) for name, values in weather.items()}
    double = {name: values.astype(np.float64) for name, values in single.items()}
    slope = bulk_flux_derivatives(**single, outputs=["latent"])["air_temperature"].latent
    expected = bulk_flux_derivatives(**double, outputs=["latent"])["air_temperature"].latent
    assert slope.dtype == np.float32
    np.testing.assert_allclose(slope, expected, rtol=1e-6, atol=1e-6)


def test_labels_and_units() -> None:
    """Dimensions stay, and what is said of coordinates; the unit is one of a derivative."""
    xr = pytest.importorskip("xarray")
    said = {"standard_name": "latitude", "units": "degrees_north"}
    lat = ("lat", [10.0, 11.0], said)
    wind = xr.DataArray([5.0, 8.0], {"lat": lat}, "lat", attrs={"units": "m s-1", "note": "x"})
    slope = bulk_flux_derivatives(wind, 300.0, 299.0, 0.015)["wind_speed"].latent
    assert slope.dims == ("lat",)
    assert slope.lat.attrs == said
    assert set(slope.attrs) == {"long_name", "units"}
    assert slope.attrs["units"] == "W m-2 (m s-1)-1"
    assert "wind speed" in slope.attrs["long_name"]


def test_by_one_input() -> None:
    """Its name alone, as of one output."""
    slopes = bulk_flux_derivatives(8.0, 300.0, 299.0, 0.015, by="wind_speed", outputs="latent")
    assert list(slopes) == ["wind_speed"]
    assert slopes == bulk_flux_derivatives(
        8.0, 300.0, 299.0, 0.015, by=["wind_speed"], outputs=["latent"]
    )


def test_wrong_calls() -> None:
    """In words."""
    with pytest.raises(errors.UnknownInputError, match=r"'wind'.*wind_speed"):
        bulk_flux_derivatives(8.0, 300.0, 299.0, 0.015, by=["wind"])
    with pytest.raises(errors.UnknownInputError, match=r"'wind'.*wind_speed"):
        bulk_flux_derivatives(8.0, 300.0, 299.0, 0.015, by="wind")
    with pytest.raises(errors.UnknownOutputError, match="latent"):
        bulk_flux_derivatives(8.0, 300.0, 299.0, 0.015, outputs=[])
    with pytest.raises(errors.OutOfRangeError, match="27 is no"):
        bulk_flux_derivatives(8.0, 27.0, 299.0, 0.015)
