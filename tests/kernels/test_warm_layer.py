"""The diurnal warm layer against NOAA's own code, and what any such layer must obey."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fluxkernels import bulk_flux, bulk_flux_series, errors, specific_humidity
from fluxkernels.fluxes import BulkFlux
from fluxkernels.series import WarmLayer

Table = Callable[[Path], np.ndarray]
GOLDEN = Path(__file__).parent / "golden" / "coare36_warm_layer.csv.gz"
K = 273.15
FLUXES = {"sensible": "hsb", "latent": "hlb", "rain_heat": "hrain", "skin_cooling": "dT_skinx"}
LAYER = {
    "sensor_warming": "dT_warm_to_skin",
    "warming": "dT_warm",
    "thickness": "dz_warm",
    "current": "du_warm",
}


def noaa_series(given: np.ndarray, net_shortwave: np.ndarray) -> tuple[BulkFlux, WarmLayer]:
    """NOAA's cruise rows, their sea temperature as measured."""
    since = np.round((given["jd"] - 1.0) * 86400e9).astype("m8[ns]")
    at_sensor = 100.0 * (given["P"] - 0.125 * given["zt"])
    return bulk_flux_series(
        np.datetime64("2020-01-01", "ns") + since,
        given["lon"],
        given["u"],
        given["tsg"] + K,
        given["ta"] + K,
        specific_humidity(given["rh"] / 100.0, given["ta"] + K, at_sensor),
        sensor_depth=given["ztsg"],
        noaa_days=True,
        height_wind=given["zu"],
        height_temperature=given["zt"],
        height_humidity=given["zq"],
        pressure=100.0 * given["P"],
        latitude=given["lat"],
        boundary_layer_height=given["zi"],
        salinity=given["Ss"],
        rain=given["rain"] / 3600.0,
        shortwave_down=net_shortwave,
        albedo=0.0,
        longwave_down=given["lw_dn"],
    )


def test_noaa_series(coare_data: Path, table: Table) -> None:
    """All 2165 rows as NOAA's code has them, to the last digits."""
    expected = table(GOLDEN)
    flux, layer = noaa_series(table(coare_data / "test_36_data.txt"), expected["sw_net"])
    assert len(expected) == 2165
    assert (expected["dT_warm"] > 0.1).sum() > 100
    for field, column in FLUXES.items():
        np.testing.assert_allclose(getattr(flux, field), expected[column], rtol=0, atol=1e-10)
    np.testing.assert_allclose(flux.stress, expected["tau"], rtol=0, atol=1e-13)
    for field, column in LAYER.items():
        np.testing.assert_allclose(getattr(layer, field), expected[column], rtol=0, atol=1e-10)


def test_the_output_noaa_ships_on_days_without_holes(coare_data: Path, table: Table) -> None:
    """It was made from more rows than are shipped: elsewhere the two cannot agree."""
    given = table(coare_data / "test_36_data.txt")
    shipped = table(coare_data / "test_36_output_nowaves_warmlayer.txt.gz")
    assert shipped["dT_warm"][0] > 0.02  # which no code can know from the first row
    flux, layer = noaa_series(given, shipped["sw_net"])
    whole = np.isin(np.floor(given["jd"]), [18.0, 19.0, 26.0])
    assert whole.sum() == 223
    assert shipped["dT_warm"][whole].max() > 0.05
    np.testing.assert_allclose(flux.latent[whole], shipped["hlb"][whole], rtol=0, atol=1e-7)
    np.testing.assert_allclose(flux.sensible[whole], shipped["hsb"][whole], rtol=0, atol=1e-8)
    np.testing.assert_allclose(layer.warming[whole], shipped["dT_warm"][whole], rtol=0, atol=1e-10)


HOURS = np.datetime64("2019-12-31T22", "ns") + np.arange(54 * 6) * np.timedelta64(10, "m")


def sunshine(hours: np.ndarray = HOURS, longitude: float = 0.0) -> np.ndarray:
    """Downward shortwave of clear tropical days."""
    day = ((hours - hours[0].astype("M8[D]")) / np.timedelta64(1, "h") + longitude / 15.0) / 24.0
    return np.maximum(0.0, -900.0 * np.cos(2.0 * np.pi * day))


def calm(**changes: Any) -> tuple[BulkFlux, WarmLayer]:
    """Two days of a calm sunny sea, with changes."""
    call: dict[str, Any] = {
        "time": HOURS,
        "longitude": 0.0,
        "wind_speed": 2.0,
        "sea_surface_temperature": 301.0,
        "air_temperature": 300.0,
        "specific_humidity": 0.017,
        "sensor_depth": 5.0,
        "shortwave_down": sunshine(),
        "longwave_down": 410.0,
        "latitude": 0.0,
    }
    return bulk_flux_series(**(call | changes))


def test_a_calm_sunny_day_warms_and_a_storm_does_not() -> None:
    """Kelvins in a calm afternoon, nothing before sunrise or in a gale."""
    flux, layer = calm()
    night = sunshine() == 0.0
    assert 1.0 < layer.warming.max() < 5.0
    assert np.all(layer.warming[:40][night[:40]] == 0.0)
    assert np.all(layer.thickness > 0.0)
    assert np.all(layer.thickness <= 19.0)
    assert np.all(layer.sensor_warming <= layer.warming)
    assert calm(wind_speed=15.0)[1].warming.max() < 0.1
    warmed = bulk_flux(
        2.0, 301.0 + layer.sensor_warming, 300.0, 0.017,
        cool_skin=True, latitude=0.0, shortwave_down=sunshine(), longwave_down=410.0,
    )  # fmt: skip
    assert np.array_equal(warmed.latent, flux.latent)


@pytest.mark.parametrize("longitude", [-180.0, -60.0, 90.0, 180.0, 300.0])
def test_the_day_is_that_of_the_sun(longitude: float) -> None:
    """Elsewhere on Earth the same happens at the same local time."""
    shifted = HOURS - (longitude / 15.0 * 3600e9 * np.ones(1)).astype("m8[ns]")
    flux, layer = calm()
    elsewhere = calm(time=shifted, longitude=longitude)
    np.testing.assert_allclose(elsewhere[1].warming, layer.warming, rtol=0, atol=1e-9)
    np.testing.assert_allclose(elsewhere[0].latent, flux.latent, rtol=0, atol=1e-7)


def test_a_missing_time_is_passed_over() -> None:
    """NaN there and only there; after it, all is as if that time had not been."""
    wind = np.full(HOURS.size, 2.0)
    gone = 90
    wind[gone] = np.nan
    flux, layer = calm(wind_speed=wind)
    assert np.isnan(flux.latent[gone])
    assert np.isnan(layer.warming[gone])
    kept = np.arange(HOURS.size) != gone
    without = calm(time=HOURS[kept], wind_speed=wind[kept], shortwave_down=sunshine()[kept])
    assert np.array_equal(flux.latent[kept], without[0].latent)
    assert np.array_equal(layer.warming[kept], without[1].warming)


MEASURED = ("longitude", "sensor_depth", "shortwave_down", "longwave_down", "albedo", "latitude")


@pytest.mark.parametrize("cool_skin", [True, False])
@pytest.mark.parametrize("name", MEASURED)
def test_whatever_is_missing_is_passed_over(name: str, cool_skin: bool) -> None:
    """Every input that the layer needs, by NaN or by a mask, with the cool skin and without."""
    gone = 90
    kept = np.arange(HOURS.size) != gone
    whole = {"shortwave_down": sunshine(), "longwave_down": 410.0, "sensor_depth": 5.0}
    whole |= {"longitude": 0.0, "albedo": 0.055, "latitude": 0.0, "cool_skin": cool_skin}
    values = np.broadcast_to(whole[name], HOURS.shape)
    shorter = {**whole, "shortwave_down": sunshine()[kept]}
    expected = calm(**shorter, time=HOURS[kept])
    assert expected[1].warming[gone] > 0.5
    for holed in (np.where(kept, values, np.nan), np.ma.array(values, mask=~kept)):
        for made, without in zip(calm(**{**whole, name: holed}), expected, strict=True):
            for field, other in zip(made, without, strict=True):
                assert np.isnan(field[gone])
                assert np.array_equal(field[kept], other)


def test_points_do_not_touch_each_other() -> None:
    """A field of points is each of them alone; time is the first axis."""
    wind = np.array([[1.0, 2.0, 7.0]])
    depth = np.array([[0.3, 5.0, 1.0]])
    field = calm(wind_speed=wind, sensor_depth=depth, shortwave_down=sunshine()[:, None])
    assert field[0].latent.shape == (HOURS.size, 3)
    for point in range(3):
        alone = calm(wind_speed=wind[0, point], sensor_depth=depth[0, point])
        assert np.array_equal(field[0].latent[:, point], alone[0].latent)
        assert np.array_equal(field[1].warming[:, point], alone[1].warming)


def test_single_precision_is_enough() -> None:
    """float32 in, float32 out, within the precision of single fluxes."""
    flux, layer = calm()
    single = calm(shortwave_down=sunshine().astype(np.float32))
    assert single[1].warming.dtype == single[0].latent.dtype == np.float32
    np.testing.assert_allclose(single[1].warming, layer.warming, atol=2e-4)
    np.testing.assert_allclose(single[0].latent, flux.latent, atol=2e-2)


def test_a_series_of_no_times() -> None:
    """Gives nothing, and no error."""
    flux, layer = calm(time=HOURS[:0], shortwave_down=sunshine()[:0])
    assert flux.latent.shape == layer.warming.shape == (0,)


def test_only_what_was_asked_for() -> None:
    """What the next time needs is made, but not given."""
    flux, layer = calm(outputs=["latent"])
    assert flux.sensible is None
    assert np.array_equal(flux.latent, calm()[0].latent)
    assert layer.warming.max() > 1.0
    nothing, alone = calm(outputs=[])
    assert set(nothing) == {None}
    assert np.array_equal(alone.warming, layer.warming)


@pytest.mark.parametrize("chunked", [False, True])
def test_dataarrays(chunked: bool) -> None:
    """Dimensions by name, lazily over chunks of space; time leads."""
    xr = pytest.importorskip("xarray")
    said = {"standard_name": "time", "axis": "T"}
    time = xr.DataArray(HOURS, dims="time", coords={"time": ("time", HOURS, said)})
    wind = xr.DataArray([1.0, 2.0, 7.0], dims="lat", coords={"lat": [0.0, 1.0, 2.0]})
    sun = xr.DataArray(sunshine(), dims="time") * xr.ones_like(wind)
    if chunked:
        pytest.importorskip("dask.array")
        sun = sun.chunk(lat=2)
    flux, layer = calm(time=time, wind_speed=wind, shortwave_down=sun)
    assert flux.latent.dims == layer.warming.dims == ("time", "lat")
    assert layer.thickness.attrs["units"] == "m"
    assert flux.latent.time.attrs == layer.thickness.time.attrs == said
    assert (flux.latent.chunks is not None) == chunked
    assert np.array_equal(flux.latent.values[:, 1], calm()[0].latent)


SECONDS = (HOURS - np.datetime64(0, "s")) / np.timedelta64(1, "s")
NUMBERS = [
    SECONDS,
    SECONDS.astype(int),
    SECONDS.tolist(),
    SECONDS.astype(int).astype(object),
    HOURS - HOURS[0],
    [*HOURS.astype("M8[s]").tolist()[:-1], int(SECONDS[-1])],
]


@pytest.mark.parametrize("time", NUMBERS)
def test_numbers_are_no_times(time: Any) -> None:
    """Seconds taken for nanoseconds would make one moment of a year."""
    with pytest.raises(errors.TimeError, match=r"unit.*datetime64\[s\]"):
        calm(time=time)


def test_other_forms_of_times() -> None:
    """Datetimes, and strings as ISO 8601 has them."""
    expected = calm()[1].warming
    for time in (HOURS.astype("M8[s]"), HOURS.astype("M8[s]").tolist(), HOURS.astype(str)):
        assert np.array_equal(calm(time=time)[1].warming, expected)


def test_steps_too_long_for_a_day() -> None:
    """Six-hourly fields are refused; hours with gaps, and rounded ones, are not."""
    sun = sunshine()[:48]
    hourly = HOURS[0] + np.arange(48) * np.timedelta64(1, "h")
    with pytest.raises(errors.TimeError, match=r"6 h.*an hour or less"):
        calm(time=HOURS[0] + np.arange(48) * np.timedelta64(6, "h"), shortwave_down=sun)
    with pytest.raises(errors.TimeError, match="24 h"):
        calm(time=hourly[[0, 24]], shortwave_down=sun[:2])
    gaps = hourly + (np.arange(48) // 5) * np.timedelta64(9, "D")
    late = hourly + np.arange(48) * np.timedelta64(9, "s")
    for time in (hourly, gaps, late, hourly[:1]):
        flux, _ = calm(time=time, shortwave_down=sun[: time.size])
        assert np.isfinite(flux.latent).all()


def test_bad_times() -> None:
    """Each in words."""
    xr = pytest.importorskip("xarray")
    pytest.importorskip("dask.array")
    with pytest.raises(errors.TimeError, match=r"time\[1\].*Sort"):
        calm(time=HOURS[::-1])
    with pytest.raises(errors.TimeError, match=r"time\[3\].*NaT"):
        calm(time=np.where(np.arange(HOURS.size) == 3, np.datetime64("NaT"), HOURS))
    with pytest.raises(errors.TimeError, match="datetime64"):
        calm(time=["noon"])
    with pytest.raises(errors.ShapeError, match="first axis"):
        calm(time=HOURS[:7])
    with pytest.raises(errors.ShapeError, match="first axis"):
        calm(time=HOURS[:1])
    with pytest.raises(errors.OutOfRangeError, match="positive downward"):
        calm(sensor_depth=-5.0)
    with pytest.raises(TypeError, match="sunscreen"):
        calm(sunscreen=50)
    sun = xr.DataArray(sunshine(), dims="time")
    with pytest.raises(errors.TimeError, match=r"dataset\.time"):
        calm(shortwave_down=sun)
    with pytest.raises(errors.ShapeError, match="Rechunk"):
        calm(time=xr.DataArray(HOURS, dims="time"), shortwave_down=sun.chunk(time=100))


def test_a_wind_without_names_beside_dataarrays() -> None:
    """Its axes cannot be known; a number has none, and is the same at all times."""
    xr = pytest.importorskip("xarray")
    time, sun = xr.DataArray(HOURS, dims="time"), xr.DataArray(sunshine(), dims="time")
    call = {"time": time, "shortwave_down": sun}
    for wind in (np.full(HOURS.size, 2.0), np.full((HOURS.size, 3), 2.0), [2.0] * HOURS.size):
        with pytest.raises(errors.ShapeError, match=r"wind_speed.*no DataArray.*dims"):
            calm(**call, wind_speed=wind)
    for number in (2, np.float64(2.0), np.array(2.0)):
        assert np.array_equal(calm(**call, wind_speed=number)[0].latent, calm()[0].latent)
    with pytest.raises(errors.NotNumericError, match="wind_speed"):
        calm(**call, wind_speed="calm")


def test_times_of_other_rows() -> None:
    """A pandas Series of times has the index of the others."""
    pd = pytest.importorskip("pandas")
    wind = pd.Series(np.full(HOURS.size, 2.0), index=np.arange(HOURS.size) + 5)
    with pytest.raises(errors.ShapeError, match="index"):
        calm(time=pd.Series(HOURS), wind_speed=wind)
    same = calm(time=pd.Series(HOURS, wind.index), wind_speed=wind)
    assert np.array_equal(same[0].latent, calm()[0].latent)
