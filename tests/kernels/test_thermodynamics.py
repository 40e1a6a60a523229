"""Saturation, the forms of humidity, and moist air."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluxkernels import (
    air_density,
    dew_point,
    errors,
    latent_heat_of_vaporisation,
    relative_humidity,
    saturation_specific_humidity,
    saturation_vapour_pressure,
    specific_humidity,
    wet_bulb_temperature,
)
from fluxkernels.thermodynamics import FORMULAS


def buck(celsius: float, hectopascal: float) -> float:
    """Buck (1981) over water, written once more."""
    pure = 6.1121 * np.exp(17.502 * celsius / (celsius + 240.97))
    vapour = pure * (1.0007 + 3.46e-6 * hectopascal)
    return float(0.622 * vapour / (hectopascal - 0.378 * vapour))


@pytest.mark.parametrize("celsius", [0.0, 10.0, 29.5])
def test_buck(celsius: float) -> None:
    """The formula named in the documentation."""
    value = saturation_specific_humidity(celsius + 273.15, 101300.0)
    assert value == pytest.approx(buck(celsius, 1013.0), rel=1e-12)


def test_salt_lowers_saturation_in_proportion() -> None:
    """2 % at salinity 35, less in brackish water."""
    ratio = saturation_specific_humidity(300.0, 101300.0, np.array([0.0, 17.5, 35.0]))
    np.testing.assert_allclose(ratio / ratio[0], [1.0, 0.99, 0.98], rtol=3e-4)


def test_over_ice_below_the_freezing_point_of_the_water() -> None:
    """At -1 °C fresh water is frozen and sea water is not."""
    fresh, salt = saturation_specific_humidity(272.15, 101300.0, np.array([0.0, 35.0]))
    assert fresh < buck(-1.0, 1013.0)
    assert salt == pytest.approx(0.98 * buck(-1.0, 1013.0), rel=1e-3)


def test_relative_humidity_of_one_is_saturation() -> None:
    """Both public functions are one formula."""
    temperature = np.linspace(250.0, 305.0, 23).reshape(1, 23)
    pressure = np.array([[100_000.0], [102_000.0]])
    saturated = saturation_specific_humidity(temperature, pressure)
    assert saturated.shape == (2, 23)
    np.testing.assert_array_equal(specific_humidity(1.0, temperature, pressure), saturated)
    assert (specific_humidity(0.5, temperature, pressure) < 0.51 * saturated).all()


def test_dtype_and_missing_values() -> None:
    """As in bulk_flux."""
    air = np.array([300.0, np.nan], np.float32)
    value = saturation_specific_humidity(air, 101300.0)
    assert value.dtype == np.float32
    assert np.isnan(value).tolist() == [False, True]
    assert isinstance(saturation_specific_humidity(300.0, 101300.0), np.float64)


# Murphy and Koop (2005), table C1 (Pa): temperature, over ice, over water.
MURPHY_KOOP = [
    (150.0, 6.106e-6, 1.562e-5),
    (180.0, 0.0053975, 0.011239),
    (210.0, 0.70202, 1.2335),
    (240.0, 27.272, 37.667),
    (273.15, 611.154, 611.213),
    (273.16, 611.657, 611.657),
]


@pytest.mark.parametrize(("kelvin", "ice", "water"), MURPHY_KOOP)
def test_murphy_and_koop_at_the_points_they_print(kelvin: float, ice: float, water: float) -> None:
    """To the digits of their table."""
    for over, printed in (("ice", ice), ("water", water)):
        value = saturation_vapour_pressure(kelvin, formula="murphy_koop2005", over=over)
        assert value == pytest.approx(printed, rel=1.5e-4)


@pytest.mark.parametrize("formula", FORMULAS)
def test_all_formulas_are_of_the_same_water(formula: str) -> None:
    """Within half a per cent of the best between 0 and 40 °C, and over ice down to -40 °C."""
    warm, cold = np.linspace(273.16, 313.0, 9), np.linspace(233.0, 273.0, 9)
    best = saturation_vapour_pressure(warm, formula="murphy_koop2005")
    enhancement = 1.0045 if formula == "buck1981" else 1.0  # of moist air under pressure
    value = saturation_vapour_pressure(warm, formula=formula) / enhancement
    np.testing.assert_allclose(value, best, rtol=5e-3)
    if formula != "bolton1980":
        best = saturation_vapour_pressure(cold, formula="murphy_koop2005", over="ice")
        value = saturation_vapour_pressure(cold, formula=formula) / enhancement
        np.testing.assert_allclose(value, best, rtol=1e-2)


kelvins = st.floats(255.0, 312.0)
pascals = st.floats(80_000.0, 105_000.0)
shares = st.floats(0.05, 1.0)
quick = settings(max_examples=100)


@quick
@given(shares, kelvins, pascals, st.sampled_from(FORMULAS))
def test_there_and_back(share: float, kelvin: float, pascal: float, formula: str) -> None:
    """Relative to specific humidity and back; dew point to specific humidity and back."""
    over = "water" if formula == "bolton1980" else "either"
    humidity = specific_humidity(share, kelvin, pascal, formula=formula, over=over)
    back = relative_humidity(humidity, kelvin, pascal, formula=formula, over=over)
    assert back == pytest.approx(share, rel=1e-9)
    dew = dew_point(humidity, pascal)
    again = saturation_specific_humidity(dew, pascal, over="water")
    assert again == pytest.approx(humidity, rel=1e-9)
    frost = dew_point(humidity, pascal, over="ice")
    again = saturation_specific_humidity(frost, pascal, over="ice")
    assert again == pytest.approx(humidity, rel=1e-9)


@quick
@given(shares, kelvins, pascals)
def test_the_wet_bulb_is_between_dew_point_and_air(share: float, kelvin: float, p: float) -> None:
    """And the heat that evaporates the water is what the air loses."""
    humidity = specific_humidity(share, kelvin, p, over="water")
    wet = wet_bulb_temperature(humidity, kelvin, p)
    assert dew_point(humidity, p) - 1e-6 <= wet <= kelvin + 1e-6
    heat = 1004.67 * (1.0 - humidity) + 1860.0 * humidity
    saturation = saturation_specific_humidity(wet, p, over="water")
    vaporised = latent_heat_of_vaporisation(wet) * (saturation - humidity)
    assert heat * (kelvin - wet) == pytest.approx(vaporised, abs=1e-4)
    assert wet_bulb_temperature(
        specific_humidity(1.0, kelvin, p, over="water"), kelvin, p
    ) == pytest.approx(kelvin, abs=1e-9)


def test_known_states_of_the_air() -> None:
    """From other people's work."""
    # Stull (2011, J. Appl. Meteor. Climatol., 50): 20 °C, 50 %, 1013.25 hPa: 13.7 °C.
    humidity = specific_humidity(0.5, 293.15, 101325.0)
    assert wet_bulb_temperature(humidity, 293.15, 101325.0) == pytest.approx(286.85, abs=0.1)
    # The standard atmosphere at sea level.
    assert air_density(0.0, 288.15, 101325.0) == pytest.approx(1.225, abs=2e-4)
    assert latent_heat_of_vaporisation(273.15) == 2.501e6


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("pressure", [20_000.0, 101_300.0])
def test_no_humidity_where_water_boils(formula: str, pressure: float) -> None:
    """A share of the air's mass is never negative, nor more than all; hot dry air has one."""
    hot = np.linspace(280.0, 400.0, 241)
    boils = saturation_vapour_pressure(hot, pressure, formula=formula) >= pressure
    assert 10 < boils.sum() < hot.size - 100
    humidity = saturation_specific_humidity(hot, pressure, formula=formula)
    assert np.array_equal(np.isnan(humidity), boils)
    assert (humidity[~boils] > 0.0).all() and (humidity[~boils] < 1.0).all()
    assert np.array_equal(
        specific_humidity(1.0, hot, pressure, formula=formula), humidity, equal_nan=True
    )
    assert 0.0 < specific_humidity(0.01, 380.0, pressure, formula=formula) < 0.1


def test_labels_and_missing_values() -> None:
    """Units on DataArrays; NaN of what is missing; a dry air has no dew point."""
    xr = pytest.importorskip("xarray")
    air = xr.DataArray([290.0, np.nan], dims="time")
    assert relative_humidity(0.01, air, 101300.0).attrs["units"] == "1"
    for function in (relative_humidity, wet_bulb_temperature, air_density):
        assert np.isnan(function(0.01, air, 101300.0).values).tolist() == [False, True]
    assert np.isnan(dew_point(np.array([0.0, 0.01, np.inf]), 101300.0)).tolist() == [
        True,
        False,
        True,
    ]


def test_what_is_not_known_is_refused() -> None:
    """In words, with the choices."""
    with pytest.raises(errors.UnknownFormulaError, match="murphy_koop2005"):
        saturation_vapour_pressure(290.0, formula="tetens")
    with pytest.raises(errors.UnknownFormulaError, match="either"):
        saturation_vapour_pressure(290.0, over="snow")
    with pytest.raises(errors.UnknownFormulaError, match="water only"):
        saturation_vapour_pressure(290.0, formula="bolton1980", over="ice")
    with pytest.raises(errors.UnknownFormulaError, match="dew or frost"):
        dew_point(0.01, 101300.0, over="either")
    with pytest.raises(errors.OutOfRangeError, match="divide by 1000"):
        dew_point(10.0, 101300.0)
