"""Bytemaps that others put into NetCDF: the same day as from the bytemap, or refused in words."""

import gzip
from datetime import date
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import rssfiles
import xarray as xr

from fluxengine.errors import DamagedFile, MissingFile, WrongFile
from fluxrecipes.sources import rss, rss_averages, rss_ghrc

DAY = date(2016, 1, 2)
F17 = rss.SOURCES["rss-f17"]
GHRC = rss_ghrc.SOURCES["rss-f17-ghrc"]
NAMES = ("f17_20160102v7.nc", "f17_ssmis_20160102v7.nc", "f17_20160102v7.gz", "f17_20160102v7.nc4")


@pytest.fixture(scope="module")
def maps() -> np.ndarray:
    return rssfiles.world(5, 6.0, 18.0)


@pytest.fixture(scope="module")
def expected(maps, tmp_path_factory):
    path = tmp_path_factory.mktemp("f17") / Path(F17.path(DAY)).name
    return F17.decode(rssfiles.bytemap(path, maps), DAY)


@pytest.fixture(scope="module")
def file(maps, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("ghrc") / Path(GHRC.path(DAY)).name
    return rssfiles.ghrc_netcdf(path, maps, DAY)


# --- read right --------------------------------------------------------------------------------


def test_a_day_of_ghrc_is_the_day_of_the_bytemap(file, expected):
    """Its attributes call the first map ascending; its times, as on a real day, say otherwise."""
    found = GHRC.decode(file, DAY)
    assert found.identical(expected)
    assert (found.wind_speed_flag.values[..., :60, :] == rssfiles.LAND).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_conversion_is_known_by_its_bytes(file, expected, tmp_path, name):
    path = tmp_path / name
    path.symlink_to(file)
    assert F17.decode(path, DAY).identical(expected)


@pytest.mark.parametrize("dtype", ["u1", "i1", "i8"])
def test_bytes_of_any_integer_type(maps, expected, tmp_path, dtype):
    path = rssfiles.ghrc_netcdf(tmp_path / NAMES[0], maps, DAY, dtype)
    assert F17.decode(path, DAY).identical(expected)


def test_bytes_without_any_packing(maps, expected, tmp_path):
    path = rssfiles.ghrc_netcdf(tmp_path / NAMES[0], maps, DAY, "u1")
    with netCDF4.Dataset(path, "a") as changed:
        for name, *_ in rssfiles.GHRC_LAYERS:
            changed[name].delncattr("scale_factor")
            changed[name].delncattr("add_offset")
    assert F17.decode(path, DAY).identical(expected)


def as_floats(file: Path, path: Path, change=lambda dataset: dataset) -> Path:
    """What becomes of a conversion that is opened and saved: land is wind of 51 m/s."""
    with xr.open_dataset(file, decode_times=False) as opened:
        loaded = opened.load()
    for name in loaded.variables:
        loaded[name].encoding = {}
    assert float(loaded.wind_speed.max()) == pytest.approx(51.0)
    change(loaded).to_netcdf(path)
    return path


def test_values_decoded_with_their_codes_are_told_apart_again(file, expected, tmp_path):
    assert F17.decode(as_floats(file, tmp_path / NAMES[0]), DAY).identical(expected)


def test_times_in_minutes(file, expected, tmp_path):
    def in_minutes(dataset):
        dataset["sst_dtime"] = (dataset.sst_dtime * 60).rename("mingmt")
        return dataset.rename(sst_dtime="mingmt")

    assert F17.decode(as_floats(file, tmp_path / NAMES[0], in_minutes), DAY).identical(expected)


def test_axes_in_any_order(file, expected, tmp_path):
    def turned(dataset):
        dataset = dataset.isel(latitude=slice(None, None, -1)).roll(longitude=720, roll_coords=True)
        dataset["longitude"] = (dataset.longitude + 180) % 360 - 180
        return dataset.transpose("longitude", "latitude", "time").rename(
            latitude="lat", longitude="lon"
        )

    assert F17.decode(as_floats(file, tmp_path / NAMES[0], turned), DAY).identical(expected)


@pytest.mark.parametrize(
    ("kind", "begin", "name"),
    [
        ("3day", DAY, "f17_ssmis_20160102v7_d3d.nc"),
        ("weekly", date(2015, 12, 27), "f17_ssmis_20160102v7_wk.nc"),  # to that Saturday
        ("monthly", date(2016, 1, 1), "f17_ssmis_201601v7.nc"),
    ],
)
def test_a_converted_mean(maps, tmp_path, kind, begin, name):
    source = rss_averages.SOURCES[f"rss-f17-{kind}"]
    mean = maps[0, 1:]
    path = tmp_path / Path(source.path(begin)).name
    expected = source.decode(rssfiles.bytemap(path, mean), begin)
    converted = rssfiles.ghrc_netcdf(tmp_path / name, mean, begin)
    assert source.decode(converted, begin).identical(expected)


# --- refused -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.where(d.wind_speed < 50.1), "sst_dtime has no value at .* cells. The codes"),
        (lambda d: d.assign(wind_speed=d.wind_speed.clip(max=50)), "no whole steps"),
        (lambda d: d.assign(wind_speed=d.wind_speed * 1.94384), "no whole steps"),
        (lambda d: d.coarsen(latitude=2, longitude=2).mean(), "none of its variables"),
        (lambda d: d.drop_vars("rainfall_rate"), "is rain_rate on 2 x 720 x 1440 cells"),
        (lambda d: d.drop_vars("latitude"), "it has no coordinate lat"),
        (lambda d: d.assign_coords(latitude=d.latitude + 0.125), "latitude is not a bytemap's"),
    ],
)
def test_what_cannot_be_read_back(file, tmp_path, change, words):
    path = as_floats(file, tmp_path / NAMES[0], change)
    with pytest.raises(WrongFile, match=words) as caught:
        F17.decode(path, DAY)
    assert caught.value.where == str(path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"wind_speed__add_offset": np.float32(25.4)}, "scale 0.2 and offset 25.4, not 0.2 and 0"),
        ({"wind_speed__scale_factor": "0.2"}, "has a scale_factor of '0.2', which is no number"),
        ({"satid": "DMSP-F16"}, "its satid is DMSP-F16, not f17"),
        ({"begin_time": "2016-01-03T00:00:00Z"}, "its begin_time is 2016-01-03, not 2016-01-02"),
        ({"sst_dtime__units": "hours since 2016-01-03"}, "inside it is 2016-01-03"),
    ],
)
def test_other_content(maps, tmp_path, changes, words):
    path = rssfiles.ghrc_netcdf(tmp_path / NAMES[0], maps, DAY, **changes)
    with pytest.raises(DamagedFile, match=words):
        F17.decode(path, DAY)


@pytest.mark.parametrize(
    ("number", "words"), [(-32767, "at 7 cells that are no bytes"), (256, "that are no bytes")]
)
def test_fill_values_of_the_converter(maps, tmp_path, number, words):
    path = rssfiles.ghrc_netcdf(tmp_path / NAMES[0], maps, DAY)
    with netCDF4.Dataset(path, "a") as file:
        file.set_auto_maskandscale(False)
        file["wind_speed"][0, 0, :7] = number
    with pytest.raises(WrongFile, match=words):
        F17.decode(path, DAY)


def test_codes_taken_out(maps, tmp_path):
    path = rssfiles.ghrc_netcdf(tmp_path / NAMES[0], np.where(maps == 255, 0, maps), DAY)
    with pytest.raises(WrongFile, match=r"no cell with the code of land, 255\. The codes that"):
        F17.decode(path, DAY)


def test_times_past_midnight(maps, tmp_path):
    late = maps.copy()
    late[0, 0, 300, :3] = 245
    with pytest.raises(DamagedFile, match="3 cells are timed after 24 h"):
        F17.decode(rssfiles.ghrc_netcdf(tmp_path / NAMES[0], late, DAY), DAY)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("f17_ssmis_20160103v7.nc", "it holds the day 20160103"),
        ("f16_ssmis_20160102v7.nc", "it holds SSMIS on DMSP F16"),
        ("f17_ssmis_20160102v7_d3d.nc", "it is an averaged map"),
        ("f17_ssmis_20160102v8.nc", "it is version v8, not v7"),
        ("wind.nc", "its name follows no pattern of RSS maps"),
    ],
)
def test_a_conversion_of_another_name_is_refused(file, tmp_path, name, words):
    path = tmp_path / name
    path.symlink_to(file)
    with pytest.raises(WrongFile, match=words):
        F17.decode(path, DAY)


def test_a_chunk_far_wider_than_its_variable_is_refused(maps, tmp_path):
    """It would be unpacked whole."""
    path = rssfiles.ghrc_netcdf(tmp_path / NAMES[0], maps, DAY)
    with netCDF4.Dataset(path, "a") as file:
        file.renameVariable("wind_speed", "as_it_was")
        file.createDimension("columns", None)
        dims, chunks = ("time", "latitude", "columns"), (2, 720, 10_000)
        made = file.createVariable("wind_speed", "i2", dims, zlib=True, chunksizes=chunks)
        made[:, :, :1440] = 255
    with pytest.raises(DamagedFile, match=r"wind_speed has chunks of \[2, 720, 10000\]"):
        F17.decode(path, DAY)


def test_netcdf_packed_with_gzip_and_the_reverse(file, maps, tmp_path):
    path = tmp_path / "f17_20160102v7.gz"
    path.write_bytes(gzip.compress(file.read_bytes(), 1))
    with pytest.raises(WrongFile, match="it is NetCDF packed with gzip"):
        F17.decode(path, DAY)
    path = rssfiles.bytemap(tmp_path / "f17_ssmis_20160102v7.nc", maps)
    with pytest.raises(WrongFile, match="named as a map converted to NetCDF is, but holds no"):
        F17.decode(path, DAY)
    with pytest.raises(DamagedFile, match="it is no NetCDF file"):
        GHRC.decode(path, DAY)


def test_a_week_is_not_taken_for_its_last_day(maps, tmp_path):
    path = rssfiles.ghrc_netcdf(tmp_path / "f17_ssmis_20160102v7_wk.nc", maps, DAY)
    with pytest.raises(WrongFile, match="it is an averaged map, which has no passes"):
        F17.decode(path, DAY)


# --- declarations ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "day", "path"),
    [
        ("rss-f13-ghrc", date(2000, 12, 31), "ssmi/f13/daily/data/2000/f13_ssmi_20001231v7.nc"),
        ("rss-f17-ghrc", DAY, "ssmis/f17/daily/data/2016/f17_ssmis_20160102v7.nc"),
    ],
)
def test_the_path_at_ghrc(name, day, path):
    assert rss_ghrc.SOURCES[name].path(day) == path


def test_each_converted_satellite_is_there():
    satellites = (10, 11, 13, 14, 15, 16, 17)
    assert set(rss_ghrc.SOURCES) == {f"rss-f{number}-ghrc" for number in satellites}
    for name, source in rss_ghrc.SOURCES.items():
        of_rss = rss.SOURCES[name.removesuffix("-ghrc")]
        assert source.provides == of_rss.provides and source.grid == of_rss.grid
        assert source.archive == "ghrc"


def test_only_its_own_name_at_ghrc(file, tmp_path):
    path = tmp_path / "f17_20160102v7.nc"
    path.symlink_to(file)
    with pytest.raises(WrongFile, match=r"its name is not f17_ssmis_20160102v7\.nc"):
        GHRC.decode(path, DAY)
    with pytest.raises(MissingFile):
        GHRC.decode(tmp_path / Path(GHRC.path(DAY)).name, DAY)
