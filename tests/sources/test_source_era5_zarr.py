"""ERA5 as a Zarr archive: a day from its own few files, the same as from NetCDF."""

import json
import shutil
import sys
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

from era5_files import DAY, arco, attributes, global_map, hours, new_form, of

from fluxengine.errors import DamagedFile, MissingFile, WrongFile
from fluxrecipes.sources import era5, era5_zarr
from fluxrecipes.sources.era5 import VALID
from fluxrecipes.sources.era5_fields import BY_NAME

T2M = era5_zarr.source("few", [BY_NAME["t2m"]], "some")
NAME, LONG = "air_temperature_2m", "2m_temperature"
FIRST = 1_016_856  # 2 January 2016, in hours since 1900


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    """A day of one field, written by the Zarr library."""
    maps = np.stack([global_map(hour) for hour in range(24)])
    return arco(tmp_path_factory.mktemp("zarr") / "a.zarr", {LONG: maps}, datetime(2016, 1, 2))


@pytest.fixture
def copy(archive, tmp_path) -> Path:
    """What a day needs of the archive, as the engine fetches it."""
    for name in T2M.path(DAY):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(archive / name, tmp_path / name)
    return tmp_path


def decoded(root: Path, day: date = DAY):
    return T2M.decode(tuple(root / name for name in T2M.path(day)), day)


def test_a_day_needs_its_own_hours_and_no_file_that_grows():
    names = T2M.path(DAY)
    assert names[-24] == f"{LONG}/{FIRST}.0.0" and names[-1] == f"{LONG}/{FIRST + 23}.0.0"
    assert np.datetime64("1900-01-01T00") + np.timedelta64(FIRST, "h") == np.datetime64(DAY)
    small = set(names[:-24])
    assert small == {
        "time/.zattrs",
        *(f"{axis}/{part}" for axis in ("latitude", "longitude") for part in (".zarray", "0")),
        f"{LONG}/.zattrs",
    }


def test_a_day_is_the_same_as_from_netcdf(copy, tmp_path):
    found = decoded(copy)
    maps = np.stack([global_map(hour) for hour in (0, 23)])
    lat, lon = np.linspace(90, -90, 721), np.arange(1440) / 4
    path = new_form(tmp_path / "a.nc", hours(0, 23), {"t2m": maps}, lat=lat, lon=lon)
    expected = of("t2m").decode(path, (DAY,))
    for name in (NAME, f"{NAME}_flag"):
        assert found[name].dims == expected[name].dims and found[name].attrs == expected[name].attrs
        assert np.array_equal(found[name][0, [0, 23]], expected[name][0, [0, 23]])
    assert (found[f"{NAME}_flag"] == VALID).all() and found.time == expected.time
    values = T2M.provides[0].packing.unpack(found[NAME].values[0, 5], "f8")
    np.testing.assert_allclose(values[::-1], global_map(5), rtol=0, atol=0.0015001)


def test_the_whole_sources_say_what_they_are():
    for name, fields in (("era5-zarr", 10), ("era5-fluxes-zarr", 3)):
        source = era5_zarr.SOURCES[name]
        assert len(source.path(DAY)) == 5 + 25 * fields
        assert "ARCO-ERA5" in source.cite and "Hersbach" in source.cite
        assert not source.holds_many and source.grid == era5.GRID


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        (
            "time",
            {"units": "hours since 1900-01-01 06:00"},
            "counts 'hours since 1900-01-01 06:00'",
        ),
        ("time", {"units": "days since 1900-01-01"}, "counts 'days since"),
        (LONG, {"units": "degC"}, "2m_temperature is in 'degC', not in K"),
        (LONG, {"_ARRAY_DIMENSIONS": ["latitude", "longitude", "time"]}, "has the axes"),
    ],
)
def test_another_meaning_is_refused(copy, name, changes, words):
    attributes(copy, name, **changes)
    with pytest.raises(WrongFile, match=words) as caught:
        decoded(copy)
    assert caught.value.where == str(copy / name / ".zattrs")


@pytest.mark.parametrize(
    "changes", [{"chunks": [100]}, {"shape": [361]}, {"zarr_format": 3}, {"filters": [{"id": "x"}]}]
)
def test_another_grid_is_refused(copy, changes):
    path = copy / "latitude" / ".zarray"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(WrongFile, match="not as 721 in one chunk of Zarr format 2"):
        decoded(copy)


def test_another_chunk_layout_is_refused(copy):
    from numcodecs import Blosc

    two_hours = Blosc(cname="lz4").encode(np.zeros((2, 721, 1440), "f4"))
    (copy / LONG / f"{FIRST + 3}.0.0").write_bytes(two_hours)
    with pytest.raises(WrongFile, match=r"chunk of 8,305,920 bytes .* not one hour to a chunk"):
        decoded(copy)


def test_an_absent_hour(copy):
    (copy / LONG / f"{FIRST + 3}.0.0").unlink()
    with pytest.raises(MissingFile, match=f"{FIRST + 3}.0.0: there is no such file"):
        decoded(copy)


def test_text_that_is_no_json(copy):
    (copy / LONG / ".zattrs").write_text("<html>")
    with pytest.raises(DamagedFile, match="cannot be read as JSON"):
        decoded(copy)


@pytest.mark.parametrize("keep", [0, 10, 1000, 0.5, 0.999])
def test_a_truncated_chunk_is_damaged(copy, keep):
    path = copy / LONG / f"{FIRST}.0.0"
    raw = path.read_bytes()
    path.write_bytes(raw[: keep if isinstance(keep, int) else int(keep * len(raw))])
    with pytest.raises(DamagedFile, match="not the Blosc chunk"):
        decoded(copy)


@given(st.data())
@settings(max_examples=60)
def test_a_damaged_chunk_is_read_or_refused(archive, tmp_path_factory, data):
    raw = bytearray((archive / LONG / f"{FIRST}.0.0").read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, 40) | st.integers(0, len(raw) - 1))
        raw[at] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / "chunk"
    path.write_bytes(raw)
    try:
        found = era5_zarr._unpacked(path, "<f4", (721, 1440))
    except DamagedFile as error:
        assert error.what  # noqa: PT017 (either outcome is right, nothing else is)
    else:
        assert found.shape == (721, 1440)
