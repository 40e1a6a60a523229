"""Saturation and conversion of humidity."""

from __future__ import annotations

import numpy as np
import pytest

from fluxkernels import saturation_specific_humidity, specific_humidity


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
    given = np.array([300.0, np.nan], np.float32)
    value = saturation_specific_humidity(given, 101300.0)
    assert value.dtype == np.float32
    assert np.isnan(value).tolist() == [False, True]
    assert isinstance(saturation_specific_humidity(300.0, 101300.0), np.float64)
