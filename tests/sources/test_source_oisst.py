"""OISST: integers kept, offset in kelvin, wrong and damaged files refused."""

from contextlib import nullcontext
from datetime import date
from functools import partial
from pathlib import Path

import h5py
import netCDF4
import numpy as np
import pytest

from fluxengine import executors
from fluxengine.errors import DamagedFile, MissingFile, WrongFile
from fluxengine.plan import make_plan
from fluxengine.run import run
from fluxengine.stand import Request
from fluxengine.store import Store, open_dataset
from fluxrecipes.sources import oisst
from fluxrecipes.sources.oisst import OISST

DAY = date(2016, 1, 2)
SHAPE = (1, 1, 720, 1440)
NAMES = {
    "sst": "sea_surface_temperature",
    "anom": "sea_surface_temperature_anomaly",
    "err": "sea_surface_temperature_error",
    "ice": "sea_ice_fraction",
}
UNITS = {"sst": "Celsius", "anom": "Celsius", "err": "Celsius", "ice": "%"}


def values(name: str) -> np.ndarray:
    """Small integers that fit each variable, a tenth of them fill."""
    low, high = {"sst": (-180, 3200), "ice": (15, 101)}.get(name, (0, 300))
    raw = np.random.default_rng(len(name)).integers(low, high, (72, 144))
    raw[::10] = -999
    return np.kron(raw, np.ones((10, 10), int)).reshape(SHAPE).astype("i2")


def write(
    folder: Path,
    *,
    name: str = "oisst-avhrr-v02r01.20160102.nc",
    title: str = "OISST Analysis, Version 2.1 - Final",
    time: float | None = None,
    time_units: str = "days since 1978-01-01 12:00:00",
    lat: np.ndarray | None = None,
    lon: np.ndarray | None = None,
    units: dict[str, str] | None = None,
    packing: dict[str, dict[str, object]] | None = None,
    dtype: str = "i2",
    without: tuple[str, ...] = (),
) -> Path:
    """A file like the provider's, but for what is said."""
    lat = np.arange(-89.875, 90, 0.25) if lat is None else lat
    lon = np.arange(0.125, 360, 0.25) if lon is None else lon
    time = (DAY - date(1978, 1, 1)).days if time is None else time
    path = folder / name
    with netCDF4.Dataset(path, "w") as file:
        file.title = title
        for axis, cells, unit in (
            ("time", [time], time_units),
            ("zlev", [0.0], "meters"),
            ("lat", lat, "degrees_north"),
            ("lon", lon, "degrees_east"),
        ):
            file.createDimension(axis, len(cells))
            file.createVariable(axis, "f4", (axis,))[:] = cells
            file[axis].units = unit
        for variable in set(NAMES) - set(without):
            _write_variable(file, variable, dtype, units or {}, packing or {})
    return path


def _write_variable(file, name, dtype, units, packing):
    attrs = {"scale_factor": np.float32(0.01), "add_offset": np.float32(0), "_FillValue": -999}
    attrs |= packing.get(name, {})
    fill = attrs.pop("_FillValue")
    dims = ("time", "zlev", "lat", "lon")
    made = file.createVariable(name, dtype, dims, zlib=True, complevel=1, fill_value=fill)
    made.set_auto_maskandscale(False)
    made.setncatts({key: value for key, value in attrs.items() if value is not None})
    made.units = units.get(name, UNITS[name])
    shape = made.shape
    made[:] = values(name)[:, :, : shape[2], : shape[3]]


# --- the real file -----------------------------------------------------------------------------


def test_real_day_is_kept_to_the_integer(real_data):
    path = real_data / "oisst" / "oisst-avhrr-v02r01.20260701.nc"
    dataset = OISST.decode(path, date(2026, 7, 1))
    with netCDF4.Dataset(path) as file:
        file.set_auto_maskandscale(False)
        raw = {name: file[name][:, 0] for name in NAMES}
    for theirs, ours in NAMES.items():
        assert dataset[ours].dtype == np.int16
        assert np.array_equal(dataset[ours].values, raw[theirs]), ours
    flags = dataset.sea_surface_temperature_flag.values
    assert (flags == 3).sum() == (raw["sst"] == -999).sum() > 300_000
    assert (flags == 2).sum() == (raw["sst"] != -999).sum()
    packings = {v.name: (v.packing.scale, v.packing.offset, v.packing.fill) for v in OISST.provides}
    assert packings == {name: tuple(dataset[name].attrs.values()) for name in dataset}


@pytest.mark.parametrize("theirs", ["sst", "err", "ice", "anom"])
def test_real_day_decodes_to_possible_values(real_data, theirs):
    path = real_data / "oisst" / "oisst-avhrr-v02r01.20260701.nc"
    variable = next(field.variable for field in oisst.FIELDS if field.name == theirs)
    found = OISST.decode(path, date(2026, 7, 1))[variable.name]
    unpacked = variable.packing.unpack(found.values, "f8")
    with netCDF4.Dataset(path) as file:
        by_library = file[theirs][:, 0].filled(np.nan) + (273.15 if theirs == "sst" else 0)
    # The library hides what exceeds the file's own valid_max, which the day's anomalies do.
    shown = np.isfinite(by_library)
    np.testing.assert_allclose(unpacked[shown], by_library[shown], atol=1e-4)
    assert np.isfinite(unpacked).sum() - shown.sum() < (20 if theirs == "anom" else 1)
    low, high = variable.valid_range
    assert np.nanmin(unpacked) >= low and np.nanmax(unpacked) <= high


# --- the form of a decoded day -----------------------------------------------------------------


def test_decoded_files_keep_what_the_source_promises(tmp_path):
    dataset = OISST.decode(write(tmp_path), DAY)
    assert list(dataset) == [variable.name for variable in OISST.provides]
    for variable in OISST.provides:
        found, packing = dataset[variable.name], variable.packing
        assert found.dims == ("time", "lat", "lon") and found.shape == (1, 720, 1440)
        assert found.dtype == packing.dtype
        assert found.attrs == {
            "scale_factor": packing.scale,
            "add_offset": packing.offset,
            "_FillValue": packing.fill,
        }
    assert np.array_equal(dataset.sea_surface_temperature, values("sst")[:, 0])


def test_other_packing_is_handed_on_as_found(tmp_path):
    other = {"scale_factor": np.float32(0.005), "add_offset": np.float32(10), "_FillValue": -32768}
    dataset = OISST.decode(write(tmp_path, packing={"sst": other}), DAY)
    attrs = dataset.sea_surface_temperature.attrs
    assert attrs == {"scale_factor": 0.005, "add_offset": 283.15, "_FillValue": -32768}
    assert (dataset.sea_surface_temperature_flag == 2).all()  # -999 is a value in this file


def test_pattern_has_a_file_for_each_day():
    pattern = OISST.pattern(OISST.grid.between(date(2015, 12, 31), date(2016, 1, 1)))
    assert [file for _, file in pattern.items()] == [
        "v2.1/access/avhrr/201512/oisst-avhrr-v02r01.20151231.nc",
        "v2.1/access/avhrr/201601/oisst-avhrr-v02r01.20160101.nc",
    ]
    assert pattern.file_type.name == "netcdf4"


def test_the_record_begins_in_september_1981():
    grid = OISST.grid.between(date(1980, 1, 1), date(1981, 9, 2))
    assert grid.shape == (2, 720, 1440) and grid.step_key(0) == date(1981, 9, 1)
    assert grid.chunk_shape == (1, 720, 1440)


# --- a preliminary day, until the final one is there -------------------------------------------

PRELIMINARY = "oisst-avhrr-v02r01.20160102_preliminary.nc"


@pytest.mark.parametrize("title", ["Interim", "Final"])
def test_a_preliminary_day_is_read_and_says_so(tmp_path, title):
    """Whatever its title is: the name is what the provider replaces."""
    title = f"OISST Analysis, Version 2.1 - {title}"
    found = OISST.decode(write(tmp_path, name=PRELIMINARY, title=title), DAY)
    final = OISST.decode(write(tmp_path), DAY)
    kind = oisst.KIND.name
    assert found.drop_vars(kind).identical(final.drop_vars(kind))
    assert (found[kind] == oisst.PRELIMINARY).all() and (final[kind] == oisst.FINAL).all()
    assert oisst.KIND.flags[oisst.PRELIMINARY] == "preliminary"


def test_the_final_file_replaces_the_preliminary_one_in_a_store(tmp_path):
    """As it goes every day: the run of today takes what there is, a later one what is final."""
    store = Store.at(tmp_path / "store", create=True)
    request = Request(OISST, DAY, DAY, store, {"oisst": str(tmp_path / "archive")})
    (tmp_path / "archive").mkdir()

    def kinds() -> list[int]:
        assert not run(request, partial(nullcontext, executors.serial)).marked
        stored = open_dataset(tmp_path / "store", "oisst")
        return np.unique(stored["analysis_flag"]).tolist()

    write(tmp_path / "archive", name=PRELIMINARY, title="OISST Analysis, Version 2.1 - Interim")
    assert kinds() == [oisst.PRELIMINARY]
    write(tmp_path / "archive")
    (planned,) = make_plan(request).datasets[0].will_run
    assert planned.why == ("inputs changed: oisst files 2016-01-02",)
    assert kinds() == [oisst.FINAL]
    (tmp_path / "archive" / PRELIMINARY).unlink()
    assert make_plan(request).is_empty


def test_where_the_preliminary_file_is():
    assert [one(DAY) for one in OISST.instead] == [f"v2.1/access/avhrr/201601/{PRELIMINARY}"]


# --- damaged and wrong files -------------------------------------------------------------------


def test_no_file(tmp_path):
    with pytest.raises(MissingFile, match="no such file"):
        OISST.decode(tmp_path / oisst.file_name(DAY), DAY)


@pytest.mark.parametrize("keep", [0, 100, 5_000, 0.5, 0.999])
def test_a_truncated_file_is_damaged(tmp_path, keep):
    path = write(tmp_path)
    raw = path.read_bytes()
    path.write_bytes(raw[: keep if isinstance(keep, int) else int(keep * len(raw))])
    with pytest.raises(DamagedFile, match="cannot be read as NetCDF") as caught:
        OISST.decode(path, DAY)
    assert caught.value.where == str(path) and caught.value.mend


def test_a_web_page_is_damaged(tmp_path):
    path = tmp_path / oisst.file_name(DAY)
    path.write_text("<!DOCTYPE html><title>503 Service unavailable</title>")
    with pytest.raises(DamagedFile, match="cannot be read as NetCDF"):
        OISST.decode(path, DAY)


def test_a_flipped_bit_among_the_values_is_damage(tmp_path):
    path = write(tmp_path)
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 16
    path.write_bytes(raw)
    with pytest.raises(DamagedFile, match="cannot be read as NetCDF"):
        OISST.decode(path, DAY)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("oisst-avhrr-v02r01.20160103_preliminary.nc", "it holds the day 20160103"),
        ("oisst-avhrr-v02r01.20160103.nc", "it holds the day 20160103"),
        ("avhrr-only-v2.20160102.nc", "not that of a daily OISST"),
    ],
)
def test_a_file_of_another_name_is_refused(tmp_path, name, words):
    path = tmp_path / name
    path.touch()
    with pytest.raises(WrongFile, match=words) as caught:
        OISST.decode(path, DAY)
    assert "oisst-avhrr-v02r01.20160102.nc" in caught.value.what


HALF_DEGREE = np.arange(-89.75, 90, 0.5)
NO_FILL = {"scale_factor": None}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"title": "OISST Analysis, Version 2.1 - Interim"}, "though its name says final"),
        ({"without": ("sst",)}, "no variable 'sst'; its variables are time, zlev"),
        ({"without": ("ice",)}, "no variable 'ice'"),
        ({"time": 13_900}, "inside it is 2016-01-22"),
        ({"lat": HALF_DEGREE}, "lat has 360 cells, not 720"),
        ({"lat": np.arange(89.875, -90, -0.25)}, "lat runs from 89.875 to -89.875, not from"),
        ({"lon": np.arange(-179.875, 180, 0.25)}, "lon runs from -179.875 to 179.875"),
        ({"units": {"sst": "K"}}, "sst is in 'K', not Celsius"),
        ({"units": {"ice": "m"}}, "ice is in 'm'"),
        ({"dtype": "f4"}, "float32 of shape .* not int16"),
    ],
)
def test_wrong_content_is_refused(tmp_path, changes, words):
    path = write(tmp_path, **changes)
    with pytest.raises(WrongFile, match=words) as caught:
        OISST.decode(path, DAY)
    assert caught.value.where == str(path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"time_units": "fortnights"}, "time cannot be read"),
        ({"time_units": ""}, "time cannot be read"),
        ({"time": 9.96921e36}, "time cannot be read"),
        ({"time": np.nan}, "time cannot be read: it is not finite"),
        ({"time": np.inf}, "time cannot be read: it is not finite"),
        ({"packing": {"sst": {"scale_factor": None}}}, "sst has no scale_factor"),
        ({"packing": {"ice": {"_FillValue": None}}}, "ice has no _FillValue"),
        (
            {"packing": {"ice": {"scale_factor": 1.0}}},
            "ice decodes to 15 to 100, not to within 0 to 1",
        ),
        ({"packing": {"sst": {"scale_factor": 0.1}}}, "sst decodes to -18 to 31"),
        ({"packing": {"sst": {"scale_factor": "0.01x"}}}, "scale_factor of '0.01x', which is no"),
        ({"packing": {"sst": {"scale_factor": ""}}}, "a scale_factor of '', which is no number"),
        ({"packing": {"sst": {"scale_factor": [0.01, 0.02]}}}, "which is no number"),
        ({"packing": {"sst": {"scale_factor": 0.0}}}, "sst is packed with scale 0, offset 0 and"),
        ({"packing": {"sst": {"add_offset": np.nan}}}, "offset nan and fill value -999: its"),
    ],
)
def test_content_that_cannot_be_told_is_damage(tmp_path, changes, words):
    with pytest.raises(DamagedFile, match=words):
        OISST.decode(write(tmp_path, **changes), DAY)


@pytest.mark.parametrize(
    ("fill", "words"),
    [
        ("x", "a _FillValue of 'x', which is no number"),
        (np.nan, "fill value nan: its values cannot be told"),
        (np.float32(-999.5), "fill value -999.5"),
        (np.int32(10**6), r"fill value 1e\+06"),
    ],
)
def test_a_fill_value_that_no_cell_can_have_is_damage(tmp_path, fill, words):
    path = write(tmp_path)
    with h5py.File(path, "r+") as file:  # the library itself writes no other than int16
        del file["sst"].attrs["_FillValue"]
        file["sst"].attrs["_FillValue"] = fill
    with pytest.raises(DamagedFile, match=words):
        OISST.decode(path, DAY)


def test_a_header_that_the_library_stumbles_over_is_damage(tmp_path):
    """An axis whose variable is another than its dimension says."""
    path = write(tmp_path)
    with h5py.File(path, "r+") as file:
        del file["lat"]
        file["lat"] = np.array([b"a"] * 720)
    with pytest.raises(DamagedFile, match="cannot be read as NetCDF: 'NoneType' object") as caught:
        OISST.decode(path, DAY)
    assert caught.value.where == str(path)


def test_a_folder_is_no_file(tmp_path):
    path = tmp_path / oisst.file_name(DAY)
    path.mkdir()
    with pytest.raises(WrongFile, match="it is a folder, not a file"):
        OISST.decode(path, DAY)


@pytest.mark.parametrize("name", ["sst", "of_others"])
def test_a_chunk_far_wider_than_its_variable_is_refused(tmp_path, name):
    """It would be unpacked whole."""
    path = write(tmp_path, without=(name,))
    with netCDF4.Dataset(path, "a") as file:
        file.createDimension("rows", None)
        file.createDimension("columns", None)
        dims, chunks = ("time", "zlev", "rows", "columns"), (1, 1, 8192, 4096)
        made = file.createVariable(name, "i2", dims, zlib=True, chunksizes=chunks)
        made[0, 0, :720, :1440] = 0
    words = rf"{name} has chunks of \[1, 1, 8192, 4096\], and 1 x 1 x 720 x 1440 cells"
    with pytest.raises(DamagedFile, match=words):
        OISST.decode(path, DAY)


def test_chunks_that_the_library_chooses_are_read(tmp_path):
    """It makes them widest where no axis has an end."""
    path = write(tmp_path)
    with netCDF4.Dataset(path, "a") as file:
        for axis in ("a", "b"):
            file.createDimension(axis, None)
        made = file.createVariable("of_others", "f8", ("a", "b"), zlib=True)
        made[0, 0] = 1.0
        assert made.chunking()[0] > 1000
    assert set(OISST.decode(path, DAY)) > {"sea_ice_fraction"}
