"""RSS daily maps: every byte kept, passes in order, every damage said in words."""

import gzip
import pickle
import re
import subprocess
import sys
import tracemalloc
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rssfiles import EMPTY, LAND, UTC_BEHIND, bytemap, day_of_maps, pass_times

from fluxengine.declare import FAILED, NEVER_WRITTEN, Source
from fluxengine.errors import ConfigError, DamagedFile, MissingFile, WrongFile
from fluxrecipes.sources import passes, rss

DAY = date(2016, 1, 2)
F17 = rss.SOURCES["rss-f17"]
AMSR2 = rss.SOURCES["rss-amsr2"]
OTHERS = ("amsr2", "amsr2-v7.2", "amsre", "windsat", "gmi")
INSTRUMENTS = {f"rss-{instrument.sensor}": instrument for instrument in rss.INSTRUMENTS}


def headed(times: np.ndarray, northward: int) -> np.ndarray:
    """The same, with three minutes between 0 and 10 degrees north, or as many before."""
    minutes = northward * 0.25 * np.arange(-360, 360)[:, None] / 3.8
    valid = times <= 240
    return np.where(valid, np.rint((times + minutes / 6) % 240), times).astype(np.uint8)


def named(folder: Path, source: Source, day: date = DAY) -> Path:
    return folder / Path(source.path(day)).name


@pytest.fixture(scope="module")
def f17_maps() -> np.ndarray:
    """An F17 day, descending (morning) map first, with every byte in every layer but time."""
    maps = day_of_maps(5, 6.0, 18.0)
    maps[:, 1:, 600, :256] = np.arange(256)
    maps[:, 0, 600, :256] = np.where(np.arange(256) > 240, LAND, np.arange(256))
    return maps


@pytest.fixture(scope="module")
def f17_file(f17_maps, tmp_path_factory) -> Path:
    return bytemap(named(tmp_path_factory.mktemp("f17"), F17), f17_maps)


def rebuilt(dataset, name: str) -> np.ndarray:
    """The provider's bytes of a layer from its values and flags."""
    values, flags = dataset[name].values[0], dataset[f"{name}_flag"].values[0]
    return np.where(flags == rss.VALID, values, flags)


# --- the real file -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(real_data):
    """The decoded real day beside its raw bytes, read without the code under test."""
    path = real_data / "rss" / "f34_20160102v7.2.gz"
    raw = np.frombuffer(gzip.decompress(path.read_bytes()), "u1").reshape(2, 7, 720, 1440)
    return raw, rss.SOURCES["rss-amsr2-v7.2"].decode(path, DAY)


def test_real_day_is_kept_byte_for_byte(real):
    raw, dataset = real
    names = [layer.name for layer in rss.AMSR_LAYERS]
    assert names == [name for name in dataset if not name.endswith("_flag")]
    for number, name in enumerate(names):
        assert np.array_equal(rebuilt(dataset, name), raw[:, number]), name


def test_real_day_has_the_counts_of_its_raw_bytes(real):
    raw, dataset = real
    for number, layer in enumerate(rss.AMSR_LAYERS):
        counts = np.bincount(raw[:, number].ravel(), minlength=256)
        flags = np.bincount(dataset[f"{layer.name}_flag"].values.ravel(), minlength=256)
        assert flags[251:].tolist() == counts[251:].tolist()
        assert flags[rss.VALID] == counts[:251].sum()
        assert flags[NEVER_WRITTEN] == flags[FAILED] == 0
        missing = int((dataset[layer.name].values == rss.FILL).sum())
        assert missing == counts[251:].sum()
    assert (dataset.pass_time_flag.values == LAND).sum() == 2 * 350_547


def test_real_day_decodes_to_possible_values(real):
    raw, dataset = real
    sst_byte = raw[0, 1].astype(float)
    by_hand = np.where(sst_byte <= 250, sst_byte * 0.15 - 3 + 273.15, np.nan)
    sst = rss.SST.packing.unpack(dataset.sea_surface_temperature.values[0, 0], "f8")
    np.testing.assert_allclose(sst, by_hand, rtol=0, atol=1e-9)
    for layer in rss.AMSR_LAYERS:
        values = layer.packing.unpack(dataset[layer.name].values)
        low, high = layer.valid_range
        assert np.nanmin(values) >= low - 1e-5 and np.nanmax(values) <= high + 1e-5


def test_real_day_has_the_ascending_pass_first(real):
    _, dataset = real
    assert dataset.pass_order_from == "times of observation"
    hours = rss.TIME.packing.unpack(dataset.pass_time.values[0, :, 350:370])
    local = np.nanmedian((hours + UTC_BEHIND) % 24, axis=(1, 2))
    np.testing.assert_allclose(local, (13.5, 1.5), atol=0.3)


def test_values_are_those_of_the_provider_s_check_file(real_data, tmp_path):
    """A file of the bytes that WindSat's must have where RSS prints values decodes to these."""
    text = (real_data / "rss" / "windsat_v7.0.1_verify.txt").read_text()
    daily = re.split(r"\*{5,}", text)[2]
    rows = [line.split() for line in daily.splitlines() if re.match(r"\s+\d+\s+\d+\s", line)]
    lon, lat = np.array(rows, float)[:, :2].astype(int).T - 1
    printed = np.array(rows, float)[:, 2:]
    assert printed.shape == (30, 9)
    scale = np.array([6, 0.15, 0.2, 0.2, 0.3, 0.01, 0.1, 0.2, 1.5])  # of minutes, °C, m/s, mm, °
    offset = np.array([0, -3, 0, 0, 0, -0.05, 0, 0, 0])
    maps = np.full((2, 9, 720, 1440), EMPTY, np.uint8)
    steps = np.rint((printed - offset) / scale)
    maps[0][:, lat, lon] = np.where(printed == -999, 251, steps).T  # pass 1: morning, descending
    source, day = rss.SOURCES["rss-windsat"], date(2006, 4, 9)
    decoded = source.decode(bytemap(named(tmp_path, source, day), maps), day)
    for number, layer in enumerate(rss.WINDSAT_LAYERS):
        values = layer.packing.unpack(decoded[layer.name].values[0, 1, lat, lon])
        expected = np.where(printed[:, number] == -999, np.nan, printed[:, number])
        expected = expected / 60 if number == 0 else expected + 273.15 * (number == 1)
        np.testing.assert_allclose(values, expected, atol=0.005, err_msg=layer.name)


# --- values and flags --------------------------------------------------------------------------


@given(hnp.arrays(np.uint8, hnp.array_shapes(max_dims=3, max_side=20)))
def test_no_byte_is_lost(raw):
    values, flags = rss.split(raw)
    assert values.dtype == flags.dtype == np.uint8
    assert np.array_equal(np.where(flags == rss.VALID, values, flags), raw)
    assert np.array_equal(values == rss.FILL, raw > 250)
    assert set(np.unique(flags)) <= set(rss.CODES)


def test_every_byte_of_every_layer_survives(f17_file, f17_maps):
    dataset = F17.decode(f17_file, DAY)
    for number, layer in enumerate(rss.SSMI_LAYERS):
        assert np.array_equal(rebuilt(dataset, layer.name), f17_maps[::-1, number])


def test_decoded_files_keep_what_the_source_promises(f17_file):
    dataset = F17.decode(f17_file, DAY)
    assert list(dataset) == [variable.name for variable in F17.provides]
    for variable in F17.provides:
        found, packing = dataset[variable.name], variable.packing
        assert found.dims == F17.grid.dims and found.shape == (1, 2, 720, 1440)
        assert found.dtype == packing.dtype
        assert found.attrs == {
            "scale_factor": packing.scale,
            "add_offset": packing.offset,
            "_FillValue": packing.fill,
        }


def test_codes_251_to_253_in_the_time_layer_are_kept(tmp_path, f17_maps):
    maps = f17_maps.copy()
    maps[0, 0, 0, :3] = 251, 252, 253
    dataset = F17.decode(bytemap(named(tmp_path, F17), maps), DAY)
    assert dataset.pass_time_flag.values[0, 1, 0, :3].tolist() == [251, 252, 253]


# --- which map is which pass -------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name, one in INSTRUMENTS.items() if one.crossings])
@pytest.mark.parametrize("ascending_first", [True, False])
def test_passes_are_put_in_order_whichever_is_first(name, ascending_first, tmp_path):
    instrument, source = INSTRUMENTS[name], rss.SOURCES[name]
    day = date.fromisoformat(instrument.last or "2018-07-01")
    up = instrument.crossing(day)
    locals_ = (up, up + 12) if ascending_first else (up + 12, up)
    maps = day_of_maps(len(instrument.layers), *locals_)
    dataset = source.decode(bytemap(named(tmp_path, source, day), maps), day)
    ascending = maps[0 if ascending_first else 1]
    assert np.array_equal(dataset.pass_time.values[0, 0], ascending[0])
    assert np.array_equal(dataset.wind_speed.values[0, 0], ascending[1])


@settings(max_examples=25)
@given(
    st.sampled_from([one for one in rss.INSTRUMENTS if one.crossings]),
    st.dates(date(1992, 1, 1), date(2024, 12, 31)),
    st.booleans(),
    st.floats(-1, 1),
)
def test_order_holds_through_the_orbit_s_drift(instrument, day, ascending_first, error):
    up = instrument.crossing(day) + error
    times = np.stack([pass_times(up), pass_times(up + 12)])
    times = times if ascending_first else times[::-1]
    order, _ = passes.order_of_passes(instrument, times, Path("f"), day)
    assert order == ((0, 1) if ascending_first else (1, 0))


@settings(max_examples=25)
@given(st.floats(0, 24), st.booleans())
def test_passes_of_an_orbit_round_the_clock_are_told_by_their_heading(local, ascending_first):
    times = np.stack([headed(pass_times(local), 1), headed(pass_times(local + 9), -1)])
    times = times if ascending_first else times[::-1]
    order, why = passes.order_of_passes(INSTRUMENTS["rss-gmi"], times, Path("f"), DAY)
    assert order == ((0, 1) if ascending_first else (1, 0))
    assert why == "times of observation"


def test_heading_and_local_time_of_the_real_day_agree(real):
    raw, _ = real
    for times, orbit in zip(raw[:, 0], passes.ORBITS, strict=True):
        assert passes.by_heading(times) == orbit
        assert passes.by_clock(INSTRUMENTS["rss-amsr2"], times, Path("f"), DAY) == orbit


def test_a_heading_against_the_local_time_is_refused(tmp_path):
    maps = day_of_maps(5, 6.0, 18.0)
    maps[0, 0] = headed(maps[0, 0], 1)  # the morning pass of F17 flies southward
    with pytest.raises(
        WrongFile, match="heads as the ascending pass does has the local times of the descending"
    ):
        F17.decode(bytemap(named(tmp_path, F17), maps), DAY)


def test_one_empty_pass_is_known_by_the_other(tmp_path):
    path = named(tmp_path, F17)
    dataset = F17.decode(bytemap(path, day_of_maps(5, None, 6.0)), DAY)  # against the usual order
    assert (dataset.pass_time_flag.values[0, 0] == EMPTY).all()
    assert (dataset.pass_time_flag.values[0, 1] == rss.VALID).all()


@pytest.mark.parametrize(("source", "first"), [(F17, "descending"), (AMSR2, "ascending")])
def test_without_any_times_the_documented_order_holds(source, first, tmp_path):
    maps = day_of_maps(len(source.provides) // 2)
    maps[0] = LAND
    dataset = source.decode(bytemap(named(tmp_path, source), maps), DAY)
    assert "documentation" in dataset.pass_order_from
    flags = dataset.pass_time_flag.values[0, :, 0, 0]
    assert flags[passes.ORBITS.index(first)] == LAND


def test_times_off_the_equator_do_not_tell_a_pass(tmp_path):
    maps = day_of_maps(5)
    maps[:, 0, 600:] = pass_times(12.0)[600:]  # local noon fits neither pass of F17
    dataset = F17.decode(bytemap(named(tmp_path, F17), maps), DAY)
    assert "documentation" in dataset.pass_order_from


def test_a_map_of_another_satellite_is_refused(tmp_path):
    path = bytemap(named(tmp_path, AMSR2), day_of_maps(7, 18.0, 6.0))
    with pytest.raises(WrongFile, match=r"18\.0 h, fit neither pass of AMSR2.*13\.5 h asc.*1\.5 h"):
        AMSR2.decode(path, DAY)


def test_maps_of_mixed_passes_are_refused(tmp_path):
    maps = day_of_maps(5, 6.0, 18.0)
    maps[0, 0, :, ::2] = pass_times(18.0)[:, ::2]
    with pytest.raises(WrongFile, match="several passes in one"):
        F17.decode(bytemap(named(tmp_path, F17), maps), DAY)


def test_the_same_pass_twice_is_refused(tmp_path):
    with pytest.raises(WrongFile, match="both maps hold a descending pass"):
        F17.decode(bytemap(named(tmp_path, F17), day_of_maps(5, 6.0, 6.1)), DAY)


def test_a_file_of_several_streams_is_whole(tmp_path):
    """As gzip says; it is unpacked another way than those of one stream, which all are."""
    maps = day_of_maps(5, 6.0, 18.0)
    path = bytemap(named(tmp_path, F17), maps)
    usual = F17.decode(path, DAY)
    raw = maps.tobytes()
    path.write_bytes(gzip.compress(raw[:5_000_000]) + gzip.compress(raw[5_000_000:]))
    assert F17.decode(path, DAY).identical(usual)


# --- damaged and wrong files -------------------------------------------------------------------


def test_no_file(tmp_path):
    with pytest.raises(MissingFile, match="no such file"):
        F17.decode(named(tmp_path, F17), DAY)


def damaged(raw: bytes, kind: str) -> bytes:
    middle = len(raw) // 2
    return {
        "truncated": raw[:middle],
        "cut in the checksum": raw[:-3],
        "wrong checksum": raw[:-8] + bytes([raw[-8] ^ 1]) + raw[-7:],
        "wrong length field": raw[:-1] + bytes([raw[-1] ^ 1]),
        "corrupt stream": raw[:middle] + bytes(64) + raw[middle + 64 :],
        "trailing bytes": raw + b"more than there should be",
        "few trailing bytes": raw + b"more",
        "trailing bytes behind zeros": raw + bytes(9_000) + b"more",
        "half a stream behind": raw + gzip.compress(b"more")[:-5],
        "a web page": b"<!DOCTYPE html><title>Sign in</title>",
        "unpacked": gzip.decompress(raw),
    }[kind]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("truncated", r"cut short\. [\d,]+ bytes could be unpacked before"),
        ("cut in the checksum", "cut short"),
        ("wrong checksum", "CRC"),
        ("wrong length field", "length"),
        ("corrupt stream", "gzip"),
        ("trailing bytes", r"stream is whole, but bytes .* 10,368,000 bytes could be unpacked"),
        ("few trailing bytes", "stream is whole, but bytes follow that are none of it"),
        ("trailing bytes behind zeros", "stream is whole, but bytes follow"),
        ("half a stream behind", r"cut short\. 10,368,\d{3} bytes could be unpacked"),
        ("a web page", "Not a gzipped file"),
        ("unpacked", "Not a gzipped file"),
    ],
)
def test_damaged_gzip(f17_file, tmp_path, kind, words):
    path = tmp_path / f17_file.name
    path.write_bytes(damaged(f17_file.read_bytes(), kind))
    with pytest.raises(DamagedFile, match=words) as caught:
        F17.decode(path, DAY)
    assert caught.value.where == str(path) and caught.value.mend


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (14_515_200, "14,515,200 bytes is an AMSR-E, AMSR2, GMI or TMI daily map"),
        (18_662_400, "a WindSat daily map"),
        (4_147_200, "an SSM/I or SSMIS map averaged over days, which has no passes"),
        (6_220_800, "an AMSR-E, AMSR2, GMI or TMI map averaged"),
        (8_294_400, "a WindSat map averaged"),
    ],
)
def test_another_layout_is_named(tmp_path, size, words):
    path = bytemap(named(tmp_path, F17), np.zeros(size, np.uint8))
    with pytest.raises(WrongFile, match=re.escape(words)):
        F17.decode(path, DAY)


@pytest.mark.parametrize("size", [0, 1, 10_367_999, 10_368_001])
def test_a_length_of_no_layout_is_damage(tmp_path, size):
    path = bytemap(named(tmp_path, F17), np.zeros(size, np.uint8))
    with pytest.raises(DamagedFile, match=f"^{re.escape(str(path))}: {size:,} bytes") as caught:
        F17.decode(path, DAY)
    assert not isinstance(caught.value, WrongFile)


def test_a_folder_is_no_file(tmp_path):
    path = named(tmp_path, F17)
    path.mkdir()
    with pytest.raises(WrongFile, match="it is a folder, not a file") as caught:
        F17.decode(path, DAY)
    assert caught.value.where == str(path)


def test_an_empty_file_is_damage(tmp_path):
    path = named(tmp_path, F17)
    path.touch()
    with pytest.raises(DamagedFile, match="0 bytes after gunzip"):
        F17.decode(path, DAY)


def test_a_gzip_bomb_is_not_unpacked(tmp_path):
    path = bytemap(named(tmp_path, F17), np.zeros(100_000_000, np.uint8))
    tracemalloc.start()
    with pytest.raises(DamagedFile, match="more than 18,662,400 bytes"):
        F17.decode(path, DAY)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50_000_000


def test_times_past_midnight_are_refused(tmp_path, f17_maps):
    maps = f17_maps.copy()
    maps[1, 0, 0, :5] = 241
    with pytest.raises(DamagedFile, match="5 cells are timed after 24 h"):
        F17.decode(bytemap(named(tmp_path, F17), maps), DAY)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("f17_20160103v7.gz", "it holds the day 20160103"),
        ("f16_20160102v7.gz", "it holds SSMIS on DMSP F16, not SSMIS on DMSP F17"),
        ("f34_20160102v8.gz", "it holds AMSR2"),
        ("wsat_20160102v7.0.1.gz", "it holds WindSat"),
        ("f99_20160102v7.gz", "it holds another instrument"),
        ("f17_20160102v8.gz", "it is version v8, not v7"),
        ("f17_20160102rt.gz", "interim"),
        ("f17_20160102v7_d3d.gz", "averaged"),
        ("f17_201601v7.gz", "averaged"),
        ("F17_20160102v7.gz", "no pattern"),
        ("f17_20160102v7.gz.part", "no pattern"),
        ("map.gz", "no pattern"),
    ],
)
def test_a_file_of_another_name_is_refused(f17_file, tmp_path, name, words):
    path = tmp_path / name
    path.symlink_to(f17_file)
    with pytest.raises(WrongFile, match=words) as caught:
        F17.decode(path, DAY)
    assert "f17_20160102v7.gz" in caught.value.what


# --- declarations ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "day", "path"),
    [
        ("rss-f10", date(1992, 1, 1), "ssmi/f10/bmaps_v07/y1992/m01/f10_19920101v7.gz"),
        ("rss-f13", date(2000, 12, 31), "ssmi/f13/bmaps_v07/y2000/m12/f13_20001231v7.gz"),
        ("rss-f17", DAY, "ssmi/f17/bmaps_v07/y2016/m01/f17_20160102v7.gz"),
        ("rss-f18", DAY, "ssmi/f18/bmaps_v08/y2016/m01/f18_20160102v8.gz"),
        ("rss-amsr2", DAY, "amsr2/bmaps_v08/y2016/m01/f34_20160102v8.gz"),
        ("rss-amsr2-v7.2", DAY, "amsr2/bmaps_v07.2/y2016/m01/f34_20160102v7.2.gz"),
        ("rss-amsre", date(2005, 6, 7), "amsre/bmaps_v07/y2005/m06/f32_20050607v7.gz"),
        ("rss-windsat", DAY, "windsat/bmaps_v07.0.1/y2016/m01/wsat_20160102v7.0.1.gz"),
        ("rss-gmi", DAY, "gmi/bmaps_v08.2/y2016/m01/f35_20160102v8.2.gz"),
    ],
)
def test_the_provider_s_path(name, day, path):
    assert rss.SOURCES[name].path(day) == path


def test_pattern_has_a_file_for_each_day():
    pattern = F17.pattern(F17.grid.between(date(2015, 12, 31), date(2016, 1, 2)))
    assert [file for _, file in pattern.items()] == [
        "ssmi/f17/bmaps_v07/y2015/m12/f17_20151231v7.gz",
        "ssmi/f17/bmaps_v07/y2016/m01/f17_20160101v7.gz",
        "ssmi/f17/bmaps_v07/y2016/m01/f17_20160102v7.gz",
    ]


def test_periods_open_and_closed():
    with pytest.raises(ConfigError, match="end with 2009-11-04"):
        rss.SOURCES["rss-f13"].grid.between(date(2010, 1, 1), date(2010, 1, 2))
    assert F17.grid.between(date(2000, 1, 1), date(2006, 12, 21)).shape == (2, 2, 720, 1440)
    assert F17.grid.between(DAY, DAY).chunk_shape == (1, 1, 720, 1440)


def test_each_source_is_whole():
    dmsp = {f"rss-f{number}" for number in (10, 11, 13, 14, 15, 16, 17, 18)}
    assert set(rss.SOURCES) == dmsp | {f"rss-{name}" for name in OTHERS}
    for source in rss.SOURCES.values():
        names = [variable.name for variable in source.provides]
        assert len(set(names)) == len(names)
        assert set(source.provides[1].flags) == {0, 1, 2, 251, 252, 253, 254, 255}
        assert source.home.startswith("https://") and source.archive == "rss"


def test_the_two_passes_can_never_be_confused():
    for instrument in rss.INSTRUMENTS:
        assert instrument.reach < 6
        assert all(12 < hour < 24 for _, hour in instrument.crossings)  # the evening half, for all


def test_sources_travel_to_workers(f17_file):
    source = pickle.loads(pickle.dumps(F17))
    assert source.path(DAY) == F17.path(DAY)
    assert source.decode(f17_file, DAY).identical(F17.decode(f17_file, DAY))


def test_import_is_light():
    code = (
        "import sys, fluxrecipes.sources.rss, fluxrecipes.sources.oisst, fluxrecipes.sources.ndbc;"
        "print(*{'xarray', 'pandas', 'netCDF4', 'zarr'} & set(sys.modules))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == ""
