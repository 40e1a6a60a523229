"""Every wrong call is refused with its own code, before anything is computed."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from fluxkernels import bulk_flux, errors, saturation_specific_humidity

GOOD: dict[str, Any] = {
    "wind_speed": np.array([5.0, 8.0]),
    "sea_surface_temperature": np.array([300.0, 301.0]),
    "air_temperature": np.array([299.0, 299.5]),
    "specific_humidity": np.array([0.015, 0.016]),
}
CASES = [
    ({"algorithm": "coare26"}, "FK101", ValueError, "coare36"),
    ({"wind_kind": "10m"}, "FK102", ValueError, "neutral"),
    ({"wind_speed": np.ones(3)}, "FK103", ValueError, r"wind_speed \(3,\)"),
    ({"wind_speed": ["a", "b"]}, "FK104", TypeError, "wind_speed"),
    ({"wind_speed": None}, "FK104", TypeError, "wind_speed"),
    ({"wind_speed": [[1.0], [2.0, 3.0]]}, "FK104", TypeError, "wind_speed"),
    ({"wind_speed": np.array([True, False])}, "FK104", TypeError, "bool"),
    ({"wind_speed": np.array([1j, 2.0])}, "FK104", TypeError, "complex"),
    ({"pressure": np.array(["2000-01-01"], "M8[D]")}, "FK104", TypeError, "pressure"),
    ({"height_wind": 0.0}, "FK105", ValueError, "height_wind"),
    ({"height_temperature": -2.0}, "FK105", ValueError, "above the sea"),
    ({"height_humidity": np.array([2.0, 0.0])}, "FK105", ValueError, r"height_humidity\[1\]"),
    ({"boundary_layer_height": 0.0}, "FK105", ValueError, "boundary_layer_height"),
    ({"sea_surface_temperature": np.array([26.0, 27.0])}, "FK106", ValueError, "add 273.15"),
    ({"air_temperature": 25.0}, "FK106", ValueError, "air_temperature: 25 is no air"),
    ({"specific_humidity": np.array([15.0, 16.0])}, "FK106", ValueError, "divide by 1000"),
    ({"pressure": 1013.0}, "FK106", ValueError, "multiply by 100"),
    ({"sea_surface_temperature": np.array([300.0, -999.0])}, "FK106", ValueError, "fill value"),
    ({"wind_speed": np.array([9999.0, 5.0])}, "FK106", ValueError, "1 of 2"),
    ({"longwave_down": 1.3e6}, "FK106", ValueError, "J m-2"),
    ({"latitude": 120.0}, "FK106", ValueError, "latitude"),
    ({"salinity": -1.0}, "FK106", ValueError, "salinity"),
    ({"albedo": 6.0}, "FK106", ValueError, "albedo"),
    ({"dtype": "int32"}, "FK107", TypeError, "float32 or float64"),
    ({"algorithm": "ncar", "cool_skin": True}, "FK112", ValueError, "cool_skin.*ncar"),
    ({"algorithm": "ecmwf", "wave_speed": 8.0}, "FK112", ValueError, "wave_speed.*ecmwf"),
    ({"algorithm": ["coare36"]}, "FK101", ValueError, "coare36"),
    ({"wind_kind": np.array(["actual", "neutral"])}, "FK102", ValueError, "as measured"),
    ({"cool_skin": np.array([True, False])}, "FK112", ValueError, "cool_skin.*True or False"),
    ({"cool_skin": "no"}, "FK112", ValueError, "cool_skin.*True or False"),
    ({"algorithm": "ncar", "wave_height": 2.0}, "FK112", ValueError, "wave_height.*ncar"),
    ({"algorithm": "ecmwf", "wave_height": np.ones(2)}, "FK112", ValueError, "wave_height"),
    ({"outputs": []}, "FK108", ValueError, "no field.*latent"),
    ({"outputs": ["latent", "laten"]}, "FK108", ValueError, "no 'laten'.*latent"),
    ({"at_height": 0.0}, "FK105", ValueError, "at_height"),
    ({"dtype": "no such"}, "FK107", TypeError, "no such"),
]


@pytest.mark.parametrize(("wrong", "code", "builtin", "message"), CASES)
def test_bad_arguments(
    wrong: dict[str, Any], code: str, builtin: type[Exception], message: str
) -> None:
    """The error has its code, is the built-in too, says what and where, and can travel."""
    with pytest.raises(errors.KernelError, match=message) as caught:
        bulk_flux(**(GOOD | wrong))
    assert isinstance(caught.value, builtin)
    assert caught.value.code == code
    assert code in str(caught.value)
    travelled = pickle.loads(pickle.dumps(caught.value))
    assert (type(travelled), str(travelled)) == (type(caught.value), str(caught.value))


@pytest.mark.parametrize(
    "zero",
    [np.float32(0.0), np.float64(0.0), 0, np.array(0.0, "f4"), *(np.zeros(2, t) for t in "fdi")],
)
@pytest.mark.parametrize(
    "name",
    ["height_wind", "height_temperature", "height_humidity", "boundary_layer_height", "at_height"],
)
def test_no_height_is_zero_in_any_precision(name: str, zero: Any) -> None:
    """The least of double precision is 0 in single precision."""
    with pytest.raises(errors.HeightError, match=rf"FK105\] {name}.*0 is no"):
        bulk_flux(**(GOOD | {name: zero}))


def test_codes_are_unique() -> None:
    """One code, one meaning."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    codes = [kind.code for kind in kinds if issubclass(kind, errors.KernelError)]
    assert len(codes) == len(set(codes)) == 27


def test_all_missing_is_no_error() -> None:
    """A block over land has nothing to compute and nothing wrong with it."""
    nothing = np.full(4, np.nan)
    assert np.isnan(bulk_flux(nothing, nothing, nothing, nothing).latent).all()
    masked = np.ma.masked_all(4)
    assert np.isnan(bulk_flux(masked, 300.0, 299.0, 0.015).latent).all()


def test_a_fill_value_under_a_mask_is_no_error() -> None:
    """What the mask hides is not looked at, and the masked array stays as it was."""
    sea = np.ma.masked_equal(np.array([300.0, -999.0], np.float32), -999.0)
    flux = bulk_flux(8.0, sea, 299.0, 0.015)
    assert np.isnan(flux.latent).tolist() == [False, True]
    assert flux.latent.dtype == np.float32
    assert sea.data[1] == -999.0


def test_misaligned_dataarrays() -> None:
    """The refusal of xarray comes as ours."""
    xr = pytest.importorskip("xarray")
    wind = xr.DataArray([5.0, 8.0], coords={"time": [1, 2]}, dims="time")
    sea = xr.DataArray([300.0, 301.0], coords={"time": [2, 3]}, dims="time")
    with pytest.raises(errors.ShapeError, match="Align"):
        bulk_flux(wind, sea, 299.0, 0.015)
    with pytest.raises(errors.OutOfRangeError, match=r"273\.15"):
        bulk_flux(wind, 27.0, 299.0, 0.015)
    with pytest.raises(errors.UnknownOutputError, match="latent"):
        bulk_flux(wind, 300.0, 299.0, 0.015, outputs=[])


def test_pandas_series_of_other_rows() -> None:
    """They are taken by position: of other stations, or in another order, they are refused."""
    pd = pytest.importorskip("pandas")
    wind = pd.Series([5.0, 8.0], index=["a", "b"])
    sea = pd.Series([300.0, 301.0], index=["b", "a"])
    for other in (sea, sea.iloc[:1], pd.Series([300.0, 301.0])):
        with pytest.raises(errors.ShapeError, match=r"FK103.*sea_surface_temperature.*index"):
            bulk_flux(wind, other, 299.0, 0.015)
    frame = pd.DataFrame([[5.0, 8.0]])
    with pytest.raises(errors.ShapeError, match="index"):
        bulk_flux(frame, frame.rename(columns={0: "x"}) + 295.0, 299.0, 0.015)
    expected = bulk_flux(wind.values, sea.values, 299.0, 0.015).latent
    for same in (sea.values, pd.Series(sea.values, wind.index.copy())):
        assert np.array_equal(bulk_flux(wind, same, 299.0, 0.015).latent, expected)


def test_humidity_refuses_the_same_mistakes() -> None:
    """The gates' formula has the same door."""
    with pytest.raises(errors.OutOfRangeError, match=r"273\.15"):
        saturation_specific_humidity(25.0, 101300.0)
