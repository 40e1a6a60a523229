"""AMSR2's NetCDF maps: the same values, flags and passes as the bytemaps they replace."""

import gzip
import pickle
from datetime import date, timedelta
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import rssfiles

from fluxengine.errors import DamagedFile, MissingFile, WrongFile
from fluxrecipes import vocabulary as cf
from fluxrecipes.sources import rss, rss_netcdf

DAY = date(2016, 1, 2)
SOURCES = rss_netcdf.SOURCES
DAILY = SOURCES["rss-amsr2-v8.2"]
NAMES = [field.variable.name for field in rss_netcdf.FIELDS]


def named(folder: Path, name: str = "rss-amsr2-v8.2", day: date = DAY) -> Path:
    return folder / Path(SOURCES[name].path(day)).name


@pytest.fixture(scope="module")
def maps() -> np.ndarray:
    return rssfiles.world(7, 13.5, 1.5)


@pytest.fixture(scope="module")
def file(maps, tmp_path_factory) -> Path:
    return rssfiles.amsr2_netcdf(named(tmp_path_factory.mktemp("nc")), maps, DAY)


def assert_same_as_bytemap(dataset, raw: np.ndarray) -> None:
    """Every value within half a step of float32, every flag the bytemap's code."""
    layers = {"pass_time": 0} | {n: f[4] for n, f in zip(NAMES, rssfiles.FIELDS, strict=True)}
    for name, number in layers.items():
        variable = next(v for v in DAILY.provides if v.name == name)
        packing = rss.AMSR_LAYERS[number].packing
        expected = np.where(raw[:, number] <= 250, packing.unpack(raw[:, number], "f8"), np.nan)
        found = variable.packing.unpack(dataset[name].values[0], "f8")
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9, err_msg=name)
        codes = np.where(raw[:, number] <= 250, rss.VALID, raw[:, number])
        assert np.array_equal(dataset[f"{name}_flag"].values[0], codes), name


def test_a_file_says_what_the_bytemap_says(file, maps):
    dataset = DAILY.decode(file, DAY)
    assert dataset.pass_order_from == "times of observation"
    assert_same_as_bytemap(dataset, maps)


def test_the_real_bytemap_as_netcdf(real_data, tmp_path):
    raw = gzip.decompress((real_data / "rss" / "f34_20160102v7.2.gz").read_bytes())
    raw = np.frombuffer(raw, np.uint8).reshape(2, 7, 720, 1440)
    dataset = DAILY.decode(rssfiles.amsr2_netcdf(named(tmp_path), raw, DAY), DAY)
    assert_same_as_bytemap(dataset, raw)


def test_every_step_of_a_bytemap_is_one_of_ours():
    """Nothing is lost whichever form a day comes in."""
    raw = np.arange(251, dtype=np.uint8)
    ours = {v.name: v for v in DAILY.provides if not v.is_flag}
    for layer in (*rss.AMSR_LAYERS, rss.WIND_AW):
        values = layer.packing.unpack(raw, "f8")
        packing = ours[layer.name].packing
        again = packing.unpack(packing.pack(values, layer.name), "f8")
        np.testing.assert_allclose(again, values, rtol=0, atol=1e-9, err_msg=layer.name)


def test_decoded_files_keep_what_the_source_promises(file):
    dataset = DAILY.decode(file, DAY)
    assert set(dataset) == {variable.name for variable in DAILY.provides}
    for variable in DAILY.provides:
        found, packing = dataset[variable.name], variable.packing
        assert found.dims == DAILY.grid.dims and found.shape == (1, 2, 720, 1440)
        assert found.dtype == packing.dtype
        assert tuple(found.attrs.values()) == (packing.scale, packing.offset, packing.fill)


def test_passes_are_told_by_their_times(tmp_path, maps):
    swapped = rssfiles.amsr2_netcdf(named(tmp_path), maps[::-1], DAY)
    assert_same_as_bytemap(DAILY.decode(swapped, DAY), maps)


def test_masks_of_static_shape_are_read(tmp_path, maps):
    path = rssfiles.amsr2_netcdf(named(tmp_path), maps, DAY)
    with netCDF4.Dataset(path, "a") as file:
        file.renameVariable("land_mask", "old")
        file.createVariable("land_mask", "i1", ("lat", "lon"))[:] = maps[0, 0] == 255
    assert_same_as_bytemap(DAILY.decode(path, DAY), maps)


def test_a_value_on_land_is_none(tmp_path, maps):
    path = rssfiles.amsr2_netcdf(named(tmp_path), maps, DAY)
    with netCDF4.Dataset(path, "a") as file:
        file["wind_speed_MF"][0, 0, 0] = 51.0  # code 255 decoded as if it were a value
    dataset = DAILY.decode(path, DAY)
    assert dataset.wind_speed_flag.values[0, 0, 0, 0] == 255
    assert dataset.wind_speed.values[0, 0, 0, 0] == cf.wind_speed.packing.fill


@pytest.mark.parametrize(
    ("name", "day", "span"),
    [
        ("rss-amsr2-v8.2-3day", DAY, "2015-12-31"),
        ("rss-amsr2-v8.2-weekly", date(2015, 12, 27), "2015-12-27"),
        ("rss-amsr2-v8.2-monthly", date(2016, 1, 1), "2016-01-01"),
    ],
)
def test_means_have_no_passes(tmp_path, maps, name, day, span):
    mean = maps[0, 1:]
    path = rssfiles.amsr2_netcdf(named(tmp_path, name, day), mean, date.fromisoformat(span))
    dataset = SOURCES[name].decode(path, day)
    assert set(dataset) == {v.name for v in SOURCES[name].provides}
    assert dataset.rain_rate.dims == SOURCES[name].grid.dims
    flags = np.where(mean[-1] <= 250, rss.VALID, mean[-1])
    assert np.array_equal(dataset.rain_rate_flag.values[0], flags)


@pytest.mark.parametrize(
    ("name", "day", "path"),
    [
        ("rss-amsr2-v8.2", DAY, "daily/2016/RSS_AMSR2_ocean_L3_daily_2016-01-02_v08.2.nc"),
        ("rss-amsr2-v8.2-3day", DAY, "3day/2016/RSS_AMSR2_ocean_L3_3day_2016-01-02_v08.2.nc"),
        (
            "rss-amsr2-v8.2-weekly",
            date(2023, 7, 9),
            "weekly/RSS_AMSR2_ocean_L3_weekly_2023-07-15_v08.2.nc",
        ),
        (
            "rss-amsr2-v8.2-monthly",
            date(2023, 5, 1),
            "monthly/RSS_AMSR2_ocean_L3_monthly_2023-05_v08.2.nc",
        ),
    ],
)
def test_the_provider_s_path(name, day, path):
    assert SOURCES[name].path(day) == f"amsr2/ocean/L3/v08.2/{path}"
    grid = SOURCES[name].grid.between(day, day + timedelta(days=31))
    assert grid.step_key(0) == day


# --- damaged and wrong files -------------------------------------------------------------------


def test_no_file(tmp_path):
    with pytest.raises(MissingFile, match="no such file"):
        DAILY.decode(named(tmp_path), DAY)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("RSS_AMSR2_ocean_L3_daily_2016-01-02_v08.2-rt.nc", "interim map"),
        ("RSS_AMSR2_ocean_L3_daily_2016-01-03_v08.2.nc", "its name is not .*2016-01-02_v08.2.nc"),
        ("RSS_AMSR2_ocean_L3_3day_2016-01-02_v08.2.nc", "its name is not"),
    ],
)
def test_a_file_of_another_name_is_refused(file, tmp_path, name, words):
    path = tmp_path / name
    path.symlink_to(file)
    with pytest.raises(WrongFile, match=words):
        DAILY.decode(path, DAY)


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"sensor": "GMI"}, WrongFile, "its sensor is GMI, not AMSR2"),
        ({"version": "8.1"}, WrongFile, "its version is 8.1, not 8.2"),
        ({"time_coverage_start": "2016-01-03T00:00:00Z"}, WrongFile, "inside it is 2016-01-03"),
        ({"time_coverage_start": "yesterday"}, DamagedFile, "begin at 'yesterday'"),
        ({"time__units": "hours since 2016-01-03T00:00:00Z"}, WrongFile, "inside it is 2016-01-03"),
        ({"time__units": "minutes since 2016-01-02"}, WrongFile, "time is in 'minutes since"),
        ({"SST__units": "kelvin"}, WrongFile, "SST is in 'kelvin', not Celsius"),
        ({"rain_rate__units": None}, WrongFile, "rain_rate is in 'none', not mm"),
        ({"lat__units": None, "sensor": None, "version": None}, None, ""),
    ],
)
def test_other_content(tmp_path, maps, changes, kind, words):
    path = rssfiles.amsr2_netcdf(named(tmp_path), maps, DAY, **changes)
    if kind is None:
        assert_same_as_bytemap(DAILY.decode(path, DAY), maps)
        return
    with pytest.raises(kind, match=words) as caught:
        DAILY.decode(path, DAY)
    assert caught.value.where == str(path)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("SST", 40.0, "SST is outside -5.15 to 39.85 degrees_Celsius at 1 cells"),
        ("wind_speed_LF", -1.0, "wind_speed_LF is outside 0 to 70"),
        ("rain_rate", np.inf, "rain_rate is outside"),
        ("time", 24.5, "1 cells are timed outside the day"),
        ("sea_ice_mask", 3, "sea_ice_mask has other values than 0 and 1"),
    ],
)
def test_values_that_cannot_be(tmp_path, maps, name, value, words):
    path = rssfiles.amsr2_netcdf(named(tmp_path), maps, DAY)
    with netCDF4.Dataset(path, "a") as file:
        file[name][0, 300, 300] = value
    with pytest.raises(DamagedFile, match=words):
        DAILY.decode(path, DAY)


def test_another_satellite_s_times_are_refused(tmp_path):
    path = rssfiles.amsr2_netcdf(named(tmp_path), rssfiles.world(7, 18.0, 6.0), DAY)
    with pytest.raises(WrongFile, match="fit neither pass of AMSR2"):
        DAILY.decode(path, DAY)


def test_a_variable_that_is_gone_is_named(tmp_path, maps):
    path = rssfiles.amsr2_netcdf(named(tmp_path), maps, DAY)
    with netCDF4.Dataset(path, "a") as file:
        file.renameVariable("wind_speed_AW", "wind")
    with pytest.raises(WrongFile, match="no variable 'wind_speed_AW'; its variables are lat, lon"):
        DAILY.decode(path, DAY)


def test_sources_travel_to_workers():
    for source in SOURCES.values():
        again = pickle.loads(pickle.dumps(source))
        assert again.path(DAY) == source.path(DAY)
        assert again.decode.__self__ == source.decode.__self__
