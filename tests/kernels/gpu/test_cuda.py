"""What a GPU makes is what a CPU makes. Run in Numba's simulator by `test_simulated_gpu.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fluxkernels import bulk_flux, bulk_flux_series, errors, specific_humidity

To = Callable[[Any], Any]
POINTS = 24  # few: the simulator takes its time


def points(seed: int, dtype: str = "f8") -> dict[str, np.ndarray]:
    """Plausible points, the edges too: ice, a calm, a gale, what is missing."""
    rng = np.random.default_rng(seed)
    sea = rng.uniform(269.0, 304.0, POINTS)
    air = sea + rng.normal(-1.0, 3.0, POINTS)
    wind = rng.uniform(0.0, 32.0, POINTS)
    wind[:4] = 0.0, 0.3, np.nan, -1.0
    sea[4] = np.inf
    drawn = {
        "wind_speed": wind,
        "sea_surface_temperature": sea,
        "air_temperature": air,
        "specific_humidity": 0.0038 * np.exp(0.065 * (air - 273.15)) * rng.uniform(0.4, 1, POINTS),
    }
    return {name: values.astype(dtype) for name, values in drawn.items()}


CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "cool skin": {"cool_skin": True, "shortwave_down": 400.0},
    "neutral wind": {"wind_kind": "neutral"},
    "heights": {"height_temperature": 2.0, "height_humidity": 3.0, "at_height": 4.0},
    "waves": {"wave_speed": 9.0, "wave_height": 2.0, "rain": 1e-3, "current": 0.5},
    "3.5": {"algorithm": "coare35", "cool_skin": True},
    "ncar": {"algorithm": "ncar", "height_temperature": 2.0, "wind_kind": "neutral"},
    "ecmwf": {"algorithm": "ecmwf", "height_temperature": 2.0},
    "3.0": {"algorithm": "coare30", "wave_speed": 9.0},
}


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=2, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32 - 1))
def test_doubles(case: str, seed: int, to_gpu: To, to_host: To) -> None:
    """All outputs of all options, to the last digits."""
    given_ = points(seed)
    expected = bulk_flux(**given_, **CASES[case])
    flux = bulk_flux(**{name: to_gpu(x) for name, x in given_.items()}, **CASES[case])
    for name, field in flux._asdict().items():
        np.testing.assert_allclose(
            to_host(field), getattr(expected, name), rtol=1e-9, atol=1e-13, err_msg=name
        )


def test_singles(to_gpu: To, to_host: To) -> None:
    """float32 in, float32 out, as near as single precision must be."""
    given_ = points(2, "f4")
    expected = bulk_flux(**given_, cool_skin=True, dtype="float64")
    flux = bulk_flux(**{name: to_gpu(x) for name, x in given_.items()}, cool_skin=True)
    for name, atol in (("sensible", 5e-3), ("latent", 5e-3), ("stress", 1e-5)):
        made = to_host(getattr(flux, name))
        assert made.dtype == np.float32
        np.testing.assert_allclose(made, getattr(expected, name), rtol=0, atol=atol)


def test_shapes_and_strides(to_gpu: To, to_host: To) -> None:
    """Broadcast as NumPy does; views in any order; inputs as they were; results stay there."""
    given_ = points(3)
    grid = {name: values[:24].reshape(2, 3, 4) for name, values in given_.items()}
    grid["wind_speed"] = grid["wind_speed"].transpose(0, 2, 1).copy().transpose(0, 2, 1)
    latitude = np.array([[[10.0], [20.0], [60.0]]])
    on_gpu = {name: to_gpu(x) for name, x in grid.items()}
    on_gpu["wind_speed"] = to_gpu(np.swapaxes(grid["wind_speed"], 1, 2).copy()).swapaxes(1, 2)
    flux = bulk_flux(**on_gpu, latitude=to_gpu(latitude), outputs=["latent"])
    expected = bulk_flux(**grid, latitude=latitude)
    assert hasattr(flux.latent, "__cuda_array_interface__") or type(flux.latent) is np.ndarray
    assert flux.stress is None
    assert tuple(flux.latent.shape) == (2, 3, 4)
    np.testing.assert_allclose(to_host(flux.latent), expected.latent, rtol=1e-9)
    for name, values in grid.items():
        assert np.array_equal(to_host(on_gpu[name]), values, equal_nan=True)


def test_scalar_arrays_and_whole_numbers(to_gpu: To, to_host: To) -> None:
    """Arrays of no dimension, of one value, of none, and of integers."""
    flux = bulk_flux(to_gpu(np.array(8.0)), 300.0, 299.0, 0.015)
    assert float(flux.latent) == pytest.approx(float(bulk_flux(8.0, 300.0, 299.0, 0.015).latent))
    whole = bulk_flux(to_gpu(np.arange(3)), 300.0, to_gpu(np.array([299.0])), 0.015)
    expected = bulk_flux(np.arange(3), 300.0, 299.0, 0.015)
    np.testing.assert_allclose(to_host(whole.latent), expected.latent, rtol=1e-9)
    assert tuple(bulk_flux(to_gpu(np.empty((0, 3))), 300.0, 299.0, 0.015).latent.shape) == (0, 3)


def test_humidity_and_series(to_gpu: To, to_host: To) -> None:
    """The other doors lead there, too."""
    air = np.linspace(262.0, 303.0, 9)
    humidity = specific_humidity(0.8, to_gpu(air), 101300.0)
    np.testing.assert_allclose(to_host(humidity), specific_humidity(0.8, air, 101300.0), rtol=1e-12)
    time = np.datetime64("2020-01-01") + np.arange(30) * np.timedelta64(60, "m")
    sun = np.maximum(0.0, -900.0 * np.cos(2.0 * np.pi * np.arange(30) / 24.0))
    call = {"sensor_depth": 3.0, "latitude": 0.0, "longwave_down": 410.0}
    expected = bulk_flux_series(time, 0.0, 2.0, 301.0, 300.0, 0.017, shortwave_down=sun, **call)
    made = bulk_flux_series(time, 0.0, 2.0, 301.0, 300.0, 0.017, shortwave_down=to_gpu(sun), **call)
    assert expected[1].warming.max() > 0.5
    np.testing.assert_allclose(to_host(made[0].latent), expected[0].latent, rtol=1e-9)
    np.testing.assert_allclose(to_host(made[1].warming), expected[1].warming, rtol=1e-9)


def test_dataarrays_on_the_gpu(to_gpu: To, to_host: To) -> None:
    """Labels stay, and the arrays under them stay where they are."""
    xr = pytest.importorskip("xarray")
    given_ = points(4)
    wind = xr.DataArray(to_gpu(given_["wind_speed"]), dims="point", coords={"point": range(POINTS)})
    rest = {name: to_gpu(x) for name, x in given_.items() if name != "wind_speed"}
    flux = bulk_flux(wind, **rest)
    assert flux.latent.dims == ("point",)
    assert flux.latent.attrs["units"] == "W m-2"
    np.testing.assert_allclose(to_host(flux.latent.data), bulk_flux(**given_).latent, rtol=1e-9)


def test_wrong_calls(to_gpu: To) -> None:
    """Each in words, before anything is computed."""
    wind = to_gpu(np.array([5.0, 8.0]))
    with pytest.raises(errors.PlaceError, match="main memory"):
        bulk_flux(wind, np.array([300.0, 301.0]), 299.0, 0.015)
    with pytest.raises(errors.OutOfRangeError, match=r"sea_surface_temperature\[1\].*273\.15"):
        bulk_flux(wind, to_gpu(np.array([300.0, 27.0])), 299.0, 0.015)
    twice = to_gpu(np.repeat([[300.0], [301.0], [-999.0]], 2, axis=1))
    with pytest.raises(errors.OutOfRangeError, match=r"\[2, 0\].*2 of 6"):
        bulk_flux(wind, twice, 299.0, 0.015)
    with pytest.raises(errors.OutOfRangeError, match="divide by 1000"):
        bulk_flux(wind, 300.0, 299.0, 15.0)
    with pytest.raises(errors.HeightError, match="height_wind"):
        bulk_flux(wind, 300.0, 299.0, 0.015, height_wind=0.0)
    with pytest.raises(errors.HeightError, match=r"at_height\[1\]"):
        bulk_flux(wind, 300.0, 299.0, 0.015, at_height=to_gpu(np.array([10.0, 0.0], np.float32)))
    with pytest.raises(errors.ShapeError, match=r"wind_speed \(2,\)"):
        bulk_flux(wind, to_gpu(np.full(3, 300.0)), 299.0, 0.015)
    with pytest.raises(errors.NotNumericError, match="bool"):
        bulk_flux(to_gpu(np.array([True, False])), 300.0, 299.0, 0.015)
    with pytest.raises(errors.NotNumericError, match="wind_speed"):
        bulk_flux(None, to_gpu(np.array([300.0])), 299.0, 0.015)
