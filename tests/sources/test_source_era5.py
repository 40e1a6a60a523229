"""ERA5: every form of file to the same packed days, wrong and damaged files refused."""

import pickle
import subprocess
import sys
import zipfile
from datetime import date
from pathlib import Path

import h5py
import netCDF4
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

from era5_files import (
    COLUMNS,
    DAY,
    LAT,
    LON,
    ROWS,
    SHAPE,
    hours,
    new_form,
    of,
    old_form,
    seconds,
    temperatures,
    zipped,
)

from fluxengine.declare import FAILED, NEVER_WRITTEN
from fluxengine.errors import DamagedFile, MissingFile, WrongFile
from fluxrecipes.sources import era5
from fluxrecipes.sources.era5 import NO_VALUE, NOT_IN_FILE, PRELIMINARY, SOURCES, VALID

CELLS = np.ix_(ROWS, COLUMNS)
T2M = of("t2m")
NAME = "air_temperature_2m"
HALF_STEP = 0.0015 * (1 + 1e-9)  # K


def decoded(path: Path, *days: date, source=T2M) -> xr.Dataset:
    return source.decode(path, days or (DAY,))


def unpacked(dataset: xr.Dataset, name: str = NAME, day: int = 0, source=T2M) -> np.ndarray:
    """Values of a day's hours in the region that the files here have."""
    packing = next(v.packing for v in source.provides if v.name == name)
    part = dataset[name].values[day][:, CELLS[0], CELLS[1]]
    return packing.unpack(part, "f8")


def region_flags(dataset: xr.Dataset, name: str = NAME, day: int = 0) -> np.ndarray:
    return dataset[f"{name}_flag"].values[day][:, CELLS[0], CELLS[1]]


# --- real files --------------------------------------------------------------------------------

REAL = {
    "era5.nc": {"u10": "eastward_wind", "v10": "northward_wind"},
    "era5_1995-07-14T12.nc": {
        "u10": "eastward_wind",
        "v10": "northward_wind",
        "d2m": "dew_point_temperature_2m",
        "t2m": "air_temperature_2m",
        "sp": "surface_pressure",
    },
    "valdivia/data_stream-oper_stepType-instant.nc": {"sst": "sea_surface_temperature"},
}


@pytest.mark.parametrize("file", REAL)
def test_real_files_are_read_as_the_library_decodes_them(real_data, file):
    found = era5.read(real_data / "era5" / file)
    with xr.open_dataset(real_data / "era5" / file) as theirs:
        for short, name in REAL[file].items():
            expected = theirs[short].values.reshape(found[name].shape)
            np.testing.assert_allclose(found[name], expected, rtol=1e-5, atol=1e-5)
            assert np.array_equal(found[f"{name}_flag"] == VALID, np.isfinite(expected))
        clock = theirs["valid_time" if "valid_time" in theirs else "time"]
        assert np.array_equal(found.time, np.atleast_1d(clock.values))
    kept = [name for name in found if not name.endswith("_flag")]
    assert sorted(kept) == sorted(REAL[file].values())  # and none of what is no field of ours


def test_real_sums_become_upward_fluxes(real_data):
    path = real_data / "era5" / "valdivia" / "data_stream-oper_stepType-accum.nc"
    found = era5.read(path)
    with xr.open_dataset(path) as theirs:
        np.testing.assert_allclose(found.latent_heat_flux, -theirs.slhf / 3600, rtol=1e-6)
        np.testing.assert_allclose(found.sensible_heat_flux, -theirs.sshf / 3600, rtol=1e-6)
    assert 20 < float(found.latent_heat_flux.mean()) < 150  # the sea loses heat


def test_a_real_hour_is_placed_on_the_global_grid(real_data):
    path = real_data / "era5" / "era5_1995-07-14T12.nc"
    day, source = date(1995, 7, 14), of("sp")
    dataset = decoded(path, day, source=source)
    with xr.open_dataset(path) as theirs:
        expected = theirs.sp.values
        rows = np.rint((theirs.latitude.values.astype("f8") + 90) * 4).astype(int)
        columns = np.rint(theirs.longitude.values.astype("f8") * 4).astype(int) % 1440
    found = dataset.surface_pressure.values[0, 12][np.ix_(rows, columns)]
    packing = source.provides[0].packing
    np.testing.assert_allclose(packing.unpack(found, "f8"), expected, rtol=0, atol=0.51)
    flags = dataset.surface_pressure_flag.values[0]
    assert (flags == VALID).sum() == expected.size == 105 * 237
    assert (flags[12] == VALID).sum() == expected.size  # and so in no other hour
    assert (flags == NOT_IN_FILE).sum() == flags.size - expected.size


def test_a_real_file_off_the_grid_is_refused_for_days(real_data):
    with pytest.raises(WrongFile, match=r"3 x 3 nodes from 56.61N -61.72E .* not those of"):
        decoded(real_data / "era5" / "era5.nc", date(2018, 2, 1), source=of("u10"))


# --- the form of decoded days ------------------------------------------------------------------


def test_an_hour_is_kept_to_half_a_step(tmp_path):
    values = temperatures(2)
    path = new_form(tmp_path / "a.nc", hours(0, 7), {"t2m": values})
    dataset = decoded(path)
    found, flags = unpacked(dataset), region_flags(dataset)
    np.testing.assert_allclose(found[[0, 7]], values, rtol=0, atol=HALF_STEP)
    assert (flags[[0, 7]] == VALID).all()
    others = np.delete(np.arange(24), [0, 7])
    assert np.isnan(found[others]).all() and (flags[others] == NOT_IN_FILE).all()
    assert (dataset[f"{NAME}_flag"].values == VALID).sum() == values.size  # and nowhere else


def test_decoded_days_keep_what_the_source_promises(tmp_path):
    source = of("t2m", "sst")
    dataset = decoded(
        new_form(tmp_path / "a.nc", hours(3), {"t2m": temperatures(1)}), source=source
    )
    assert list(dataset) == [variable.name for variable in source.provides]
    for variable in source.provides:
        found, packing = dataset[variable.name], variable.packing
        assert found.dims == source.grid.dims and found.shape == (1, 24, 721, 1440)
        assert found.dtype == packing.dtype
        assert found.attrs["scale_factor"] == packing.scale
        assert found.attrs["add_offset"] == packing.offset
        assert found.attrs["_FillValue"] == packing.fill
    assert dataset.time.values == np.datetime64(DAY)
    assert (dataset.sea_surface_temperature_flag == NOT_IN_FILE).all()  # a field the file has not


def test_the_grid_has_its_nodes_in_the_middle_of_cells():
    lat, lon = era5.GRID.axes["lat"].coordinate(), era5.GRID.axes["lon"].coordinate()
    assert (lat[0], lat[-1], lat.size) == (-90, 90, 721)
    assert (lon[0], lon[1], lon[-1], lon.size) == (0, 0.25, 359.75, 1440)
    assert era5.GRID.axes["hour"].coordinate().tolist() == list(range(24))


@pytest.mark.parametrize("lon", [LON, LON % 360 + 360 * (LON >= 0), LON + 360])
def test_longitudes_are_found_however_they_are_counted(tmp_path, lon):
    values = temperatures(1)
    path = new_form(tmp_path / "a.nc", hours(0), {"t2m": values}, lon=lon)
    np.testing.assert_allclose(unpacked(decoded(path))[0], values[0], rtol=0, atol=HALF_STEP)


def test_latitudes_may_go_northward(tmp_path):
    values = temperatures(1)
    path = new_form(tmp_path / "a.nc", hours(0), {"t2m": values[:, ::-1]}, lat=LAT[::-1])
    np.testing.assert_allclose(unpacked(decoded(path))[0], values[0], rtol=0, atol=HALF_STEP)


def test_land_has_no_sea_surface_temperature(tmp_path):
    values = temperatures(1)
    values[0, 0, 0] = np.nan
    source = of("sst")
    dataset = decoded(
        new_form(tmp_path / "a.nc", hours(0), {"sst": np.clip(values, 271, 305)}), source=source
    )
    flags = region_flags(dataset, "sea_surface_temperature")[0]
    assert flags[0, 0] == NO_VALUE and (flags == VALID).sum() == flags.size - 1
    assert np.isnan(unpacked(dataset, "sea_surface_temperature", source=source)[0, 0, 0])


@pytest.mark.parametrize("name", ["t2m", "2t", "T2M", "VAR_2T", "2m_temperature"])
def test_a_field_is_known_by_any_of_its_names(tmp_path, name):
    path = new_form(tmp_path / "a.nc", hours(0), {name: temperatures(1)}, units={name: "K"})
    assert (region_flags(decoded(path))[0] == VALID).all()


def test_sums_become_rates_and_upward_fluxes(tmp_path):
    given = {"tp": 0.004, "slhf": -360_000.0, "sshf": 36_000.0}
    maps = {name: np.full((1, *SHAPE), value) for name, value in given.items()}
    source = era5.source("x", era5.ACCUMULATED, era5.daily(".nc"), None, "sums")
    dataset = decoded(new_form(tmp_path / "a.nc", hours(5), maps, step="accum"), source=source)
    found = {n: unpacked(dataset, n, source=source)[5, 0, 0] for n in dataset if "flag" not in n}
    expected = {"precipitation_rate": 4.0, "latent_heat_flux": 100.0, "sensible_heat_flux": -10.0}
    assert found == pytest.approx(expected)


# --- a month, a zip, both versions -------------------------------------------------------------


def test_days_of_a_month_are_those_wanted_that_it_holds(tmp_path):
    days = [date(2016, 1, day) for day in (30, 31)]
    times = np.concatenate([hours(0, 12, day=day) for day in days])
    values = temperatures(4)
    path = new_form(tmp_path / "a.nc", times, {"t2m": values})
    dataset = decoded(path, date(2016, 1, 29), *days)
    assert dataset.time.values.astype("datetime64[D]").tolist() == days
    np.testing.assert_allclose(
        unpacked(dataset, day=1)[[0, 12]], values[2:], rtol=0, atol=HALF_STEP
    )
    only = decoded(path, days[1])
    assert np.array_equal(only[NAME].values[0], dataset[NAME].values[1])


def test_times_may_be_out_of_order(tmp_path):
    values = temperatures(3)
    path = new_form(tmp_path / "a.nc", hours(9, 2, 5), {"t2m": values})
    found = unpacked(decoded(path))
    np.testing.assert_allclose(found[[9, 2, 5]], values, rtol=0, atol=HALF_STEP)


def test_preliminary_hours_are_flagged_in_the_new_form(tmp_path):
    path = new_form(
        tmp_path / "a.nc", hours(0, 1), {"t2m": temperatures(2)}, expver=["0001", "0005"]
    )
    flags = region_flags(decoded(path))
    assert (flags[0] == VALID).all() and (flags[1] == PRELIMINARY).all()


@pytest.mark.parametrize("dtype", ["S1", "i4", "f8"])
def test_versions_may_be_letters_or_numbers(tmp_path, dtype):
    path = new_form(tmp_path / "a.nc", hours(0, 1), {"t2m": temperatures(2)}, expver=None)
    versions = np.array([b"0001", b"0005"]).view("S1").reshape(2, 4)
    with netCDF4.Dataset(path, "a") as file:
        file.createDimension("letters", 4)
        dims = ("valid_time", "letters") if dtype == "S1" else ("valid_time",)
        file.createVariable("expver", dtype, dims)[:] = versions if dtype == "S1" else [1, 5]
    flags = region_flags(decoded(path))
    assert (flags[0] == VALID).all() and (flags[1] == PRELIMINARY).all()


@pytest.mark.parametrize("versions", [["0001", "0005"], ["0005", "0001"]])
def test_of_an_hour_in_both_versions_the_final_one_is_kept(tmp_path, versions):
    values = temperatures(2)
    path = new_form(tmp_path / "a.nc", hours(6, 6), {"t2m": values}, expver=versions)
    dataset, final = decoded(path), values[versions.index("0001")]
    np.testing.assert_allclose(unpacked(dataset)[6], final, rtol=0, atol=HALF_STEP)
    assert (region_flags(dataset)[6] == VALID).all()


def test_both_versions_of_the_old_form_are_merged(tmp_path):
    raw = np.full((3, 2, *SHAPE), -32767, "i2")
    raw[0, 0], raw[1, 1] = 1000, 2000  # the first hour is final, the second preliminary
    dataset = decoded(old_form(tmp_path / "a.nc", hours(0, 1, 2), {"t2m": raw}))
    flags, found = region_flags(dataset), unpacked(dataset)
    assert (flags[0] == VALID).all() and (flags[1] == PRELIMINARY).all()
    assert (flags[2] == NO_VALUE).all()
    np.testing.assert_allclose(found[:2, 0, 0], [282.0, 284.0], rtol=0, atol=HALF_STEP)


@given(
    st.floats(1e-4, 1e-2),
    st.floats(230, 280),
    st.lists(st.integers(-3000, 3000), min_size=25, max_size=25),
)
@settings(max_examples=10)
def test_the_old_form_is_read_by_its_own_packing(tmp_path_factory, scale, offset, numbers):
    raw = np.array(numbers, "i2").reshape(1, *SHAPE)
    path = tmp_path_factory.mktemp("old") / "a.nc"
    old_form(path, hours(0), {"t2m": raw}, scale=scale, offset=offset)
    found = era5.read(path)[NAME].values
    np.testing.assert_allclose(found, raw * scale + offset, rtol=1e-12)


@pytest.mark.parametrize("form", ["NETCDF3_CLASSIC", "NETCDF4", "NETCDF4_CLASSIC"])
def test_the_old_form_may_be_saved_again(tmp_path, form):
    raw = np.arange(25, dtype="i2").reshape(1, *SHAPE)
    found = era5.read(old_form(tmp_path / "a.nc", hours(0), {"t2m": raw}, form=form))
    np.testing.assert_allclose(found[NAME], raw * 0.002 + 280)


def both(folder: Path) -> Path:
    instant = new_form(folder / "i.nc", hours(1), {"t2m": temperatures(1)})
    sums = new_form(folder / "s.nc", hours(1), {"tp": np.full((1, *SHAPE), 0.001)}, step="accum")
    names = ("data_stream-oper_stepType-instant_nc", "data_stream-oper_stepType-accum_nc")
    return zipped(folder / "era5_20160102.nc", **dict(zip(names, (instant, sums), strict=True)))


def test_a_zip_that_calls_itself_nc_holds_both_kinds(tmp_path):
    path = both(tmp_path)
    assert (region_flags(decoded(path))[1] == VALID).all()
    rain = of("tp")
    found = unpacked(decoded(path, source=rain), "precipitation_rate", source=rain)
    assert np.allclose(found[1], 1.0)
    assert set(era5.read(path)) > {NAME, "precipitation_rate"}


def test_names_in_a_zip_lead_nowhere(tmp_path):
    inner = new_form(tmp_path / "i.nc", hours(1), {"t2m": temperatures(1)})
    path = tmp_path / "folder" / "a.nc"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../escaped.nc", inner.read_bytes())
    assert NAME in era5.read(path)
    assert not list(tmp_path.rglob("escaped*")) and not (tmp_path.parent / "escaped.nc").exists()


def test_a_zip_out_of_all_proportion_is_not_unpacked(tmp_path):
    path = zipped(tmp_path / "a.nc", bomb_nc=bytes(64 * 2**20))
    assert path.stat().st_size < 100_000
    with pytest.raises(DamagedFile, match="would unpack to 67,108,864 bytes, more than 16,777,216"):
        era5.read(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
@pytest.mark.parametrize("damaged", [False, True])
def test_a_zip_packed_otherwise_than_by_deflate_is_refused(tmp_path, method, damaged):
    path = tmp_path / "a.nc"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("inner.nc", np.random.default_rng(0).bytes(1000))
    raw = path.read_bytes()
    path.write_bytes(raw[:200] + bytes(400) + raw[600:] if damaged else raw)
    with pytest.raises(DamagedFile, match=f"'inner.nc' in it is packed by method {method}") as told:
        era5.read(path)
    assert "by deflate" in told.value.mend


def test_a_zip_with_a_damaged_index_is_damaged(tmp_path):
    """A member without a name, and one at a place that no file reaches."""
    path = zipped(tmp_path / "a.nc", inner_nc=b"much the same")
    raw = path.read_bytes()
    index, end = raw.rfind(b"PK\x01\x02"), raw.rfind(b"PK\x05\x06")
    nameless = bytearray(raw[index:end])
    nameless[28:32] = (0).to_bytes(2, "little") + len("inner.nc").to_bytes(2, "little")
    far = bytearray(raw[index:end])
    far[30:32], far[42:46] = (12).to_bytes(2, "little"), b"\xff" * 4
    far += b"\x01\x00\x08\x00" + (2**62).to_bytes(8, "little")
    for changed in (nameless, far):
        size = len(changed).to_bytes(4, "little")
        path.write_bytes(raw[:index] + changed + raw[end : end + 12] + size + raw[end + 16 :])
        with pytest.raises(DamagedFile, match="it cannot be unzipped: "):
            era5.read(path)


def test_an_error_in_a_zip_names_the_member(tmp_path):
    path = zipped(tmp_path / "a.nc", inner_nc=b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(DamagedFile, match="cannot be read as NetCDF") as caught:
        era5.read(path)
    assert caught.value.where == f"{path} (inner.nc)"


@pytest.mark.parametrize("keep", [4, 40, 0.5, 0.99])
def test_a_truncated_zip_is_damaged(tmp_path, keep):
    path = both(tmp_path)
    raw = path.read_bytes()
    path.write_bytes(raw[: keep if isinstance(keep, int) else int(keep * len(raw))])
    with pytest.raises(DamagedFile, match="cannot be unzipped"):
        decoded(path)


def test_a_zip_of_something_else(tmp_path):
    with pytest.raises(WrongFile, match=r"a zip that holds readme.txt: neither NetCDF nor GRIB"):
        era5.read(zipped(tmp_path / "a.nc", **{"readme.txt": b"hello"}))


# --- wrong files -------------------------------------------------------------------------------

MONTHS = np.array(["2016-01-01T00", "2016-02-01T00"], "datetime64[h]")
TENTH, HALF = np.arange(2.0, 1.55, -0.1), np.arange(2.0, -0.1, -0.5)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"units": {"t2m": "degC"}}, "2m_temperature is in 'degC', not in K"),
        ({"units": {"t2m": "Kelvin-ish"}}, "is in 'Kelvin-ish'"),
        ({"stream": "moda"}, "holds monthly means, not ERA5's hours"),
        ({"stream": "enda"}, "holds the ensemble's members"),
        ({"stream": "wxyz"}, "holds the stream 'wxyz'"),
        ({"step": "avgua"}, "of the kind 'avgua', not a value at the hour"),
        ({"step": "accum"}, "of the kind 'accum', not a value at the hour"),
        ({"attrs": {"GRIB_dataType": "em"}}, "of the type 'em', neither analysis nor forecast"),
        ({"attrs": {"cell_methods": "time: mean"}}, "a statistic over time"),
        ({"expver": "0078"}, "experiment version is '0078', neither ERA5"),
        ({"calendar": "noleap"}, "in the calendar 'noleap'"),
        ({"lat": TENTH, "lon": TENTH}, "grid of 0.1 degrees is that of ERA5-Land"),
        ({"lat": HALF, "lon": HALF}, "steps of 0.5 degrees .* keeps the global grid of 0.25"),
        ({"lat": LAT + 0.1}, "not those of the global grid"),
        ({"lat": LAT + 89}, "latitudes reach 91"),
        ({"lat": LAT**3}, "latitude does not go in equal steps"),
        ({"lon": LON * 400}, "longitudes go round the globe more than once"),
        ({"times": hours(0, day=date(2016, 1, 3))}, "it holds 2016-01-03, not 2016-01-02"),
        ({"times": hours(0) + np.timedelta64(30, "m")}, "not whole hours"),
        ({"times": MONTHS}, "each of its times is the first of a month"),
        ({"name": "u100"}, "none of the fields t2m; it has none that is known"),
        ({"name": "u10"}, "none of the fields t2m; it has u10"),
        (
            {"dims": ("valid_time", "level", "latitude", "longitude"), "extra": {"level": 2}},
            "an axis 'level' of 2",
        ),
        (
            {"dims": ("valid_time", "number", "latitude", "longitude"), "extra": {"number": 10}},
            "axis 'number' of 10",
        ),
    ],
)
def test_wrong_content_is_refused(tmp_path, changes, words):
    times, name = changes.pop("times", hours(0)), changes.pop("name", "t2m")
    shape = (changes.get("lat", LAT).size, changes.get("lon", LON).size)
    values = temperatures(len(times), shape)
    if "extra" in changes:
        values = np.repeat(values[:, None], *changes["extra"].values(), axis=1)
    path = new_form(tmp_path / "a.nc", times, {name: values}, **changes)
    with pytest.raises(WrongFile, match=words) as caught:
        decoded(path)
    assert caught.value.where == str(path)


def test_a_field_under_two_names_is_refused(tmp_path):
    both_names = {"t2m": temperatures(1), "2m_temperature": temperatures(1)}
    path = new_form(tmp_path / "a.nc", hours(0), both_names, units={"2m_temperature": "K"})
    with pytest.raises(WrongFile, match="2m_temperature twice, as 't2m' and as '2m_temperature'"):
        decoded(path)


@pytest.mark.parametrize("what", ["daily_reduce(how=mean)", "cdo daymean in.nc", "cdo monavg a b"])
def test_statistics_over_time_are_refused(tmp_path, what):
    path = new_form(tmp_path / "a.nc", hours(0), {"t2m": temperatures(1)})
    with netCDF4.Dataset(path, "a") as file:
        file.history = f"{file.history}\n{what}"
    with pytest.raises(WrongFile, match="statistics over time, not hours"):
        decoded(path)


def test_the_time_at_which_a_forecast_began_is_refused(tmp_path):
    path = old_form(tmp_path / "a.nc", hours(0), {"t2m": np.zeros((1, *SHAPE), "i2")})
    with netCDF4.Dataset(path, "a") as file:
        file["time"].standard_name = "forecast_reference_time"
    with pytest.raises(WrongFile, match="at which forecasts began, and it has no 'valid_time'"):
        decoded(path)


def test_another_centre_is_refused(tmp_path):
    path = new_form(tmp_path / "a.nc", hours(0), {"t2m": temperatures(1)})
    with netCDF4.Dataset(path, "a") as file:
        file.GRIB_centre = "kwbc"
    with pytest.raises(WrongFile, match="of the centre 'kwbc', not of ECMWF"):
        decoded(path)


def test_sums_over_unknown_spans_are_refused(tmp_path):
    sums = {"tp": np.full((1, HALF.size, HALF.size), 100)}
    path = old_form(tmp_path / "a.nc", hours(0), sums, scale=1e-6, offset=0, lat=HALF, lon=HALF)
    with pytest.raises(
        WrongFile, match="over how long total_precipitation is summed cannot be told"
    ):
        era5.read(path)


def test_a_file_too_large_to_be_read_whole(tmp_path):
    path = new_form(tmp_path / "a.nc", hours(0), {"t2m": temperatures(1)})
    with pytest.raises(WrongFile, match="read whole it takes 225 bytes, more than 200"):
        era5.read(path, at_most=200)


# --- damaged files -----------------------------------------------------------------------------


def test_no_file(tmp_path):
    with pytest.raises(MissingFile, match="no such file"):
        decoded(tmp_path / "a.nc")


@pytest.mark.parametrize(
    "text", [b"", b"<!DOCTYPE html><title>503</title>", b"CDF\x05" + bytes(99)]
)
def test_what_is_no_file_of_era5(tmp_path, text):
    path = tmp_path / "a.nc"
    path.write_bytes(text)
    with pytest.raises(DamagedFile, match="neither NetCDF, nor GRIB, nor a zip"):
        decoded(path)


@pytest.mark.parametrize("write", [new_form, old_form])
@pytest.mark.parametrize("keep", [8, 100, 0.5, 0.9, 0.98])
def test_a_truncated_file_is_damaged(tmp_path, write, keep):
    raw = np.zeros((9, *SHAPE), "i2") if write is old_form else temperatures(9)
    path = write(tmp_path / "a.nc", hours(*range(9)), {"t2m": raw})
    whole = path.read_bytes()
    path.write_bytes(whole[: keep if isinstance(keep, int) else int(keep * len(whole))])
    with pytest.raises(DamagedFile, match="cannot be read as NetCDF"):
        era5.read(path)


def test_a_sound_file_over_a_damaged_one_is_read_anew(tmp_path):
    path = new_form(tmp_path / "a.nc", hours(0), {"t2m": temperatures(1)})
    sound = path.read_bytes()
    path.write_bytes(sound[: len(sound) // 2])
    with pytest.raises(DamagedFile):
        era5.read(path)
    path.write_bytes(sound)
    assert np.array_equal(era5.read(path)[NAME][0], temperatures(1)[0])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"time_units": "fortnights"}, "times cannot be read"),
        ({"time_units": ""}, "times cannot be read"),
        ({"raw_times": np.array([9.96921e36])}, "times cannot be read"),
        ({"raw_times": np.array([-2e9])}, "holds the time 1906-.* ERA5 begins in 1940"),
        ({"attrs": {"scale_factor": np.float32(0)}}, "packed with scale 0"),
        ({"attrs": {"scale_factor": "much"}}, "'much' where its packing needs a number"),
        ({"attrs": {"add_offset": np.float32(-200)}}, "cells beyond 160 to 340"),
    ],
)
def test_content_that_cannot_be_is_damage(tmp_path, changes, words):
    path = new_form(tmp_path / "a.nc", hours(0), {"t2m": temperatures(1)}, **changes)
    with pytest.raises(DamagedFile, match=words):
        decoded(path)


@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_times_that_are_not_finite_are_damage(tmp_path, odd):
    """The library would take them for the date that their units count from."""
    raw = np.array([seconds(hours(0))[0], odd])
    path = new_form(tmp_path / "a.nc", hours(0, 1), {"t2m": temperatures(2)}, raw_times=raw)
    with pytest.raises(DamagedFile, match="times cannot be read: it is not finite"):
        era5.read(path)


@pytest.mark.parametrize(
    ("name", "shape", "chunks", "words"),
    [
        ("latitude", (5,), (2**23,), r"latitude has chunks of \[8388608\], and 5 cells"),
        ("t2m", (1, 5, 5), (1, 2048, 4096), r"t2m has chunks of \[1, 2048, 4096\], and 1 x 5 x 5"),
        ("longitude", (2**21,), (2**10,), "its longitude has 2,097,152 values"),
    ],
)
def test_a_file_that_would_take_far_more_memory_than_it_needs(tmp_path, name, shape, chunks, words):
    """Chunks are unpacked whole, and axes are read when a file is opened."""
    path = new_form(tmp_path / "a.nc", hours(0), {"t2m": temperatures(1)})
    with h5py.File(path, "r+") as file:
        del file[name]
        most = (None,) * len(shape)
        file.create_dataset(name, shape, "f4", chunks=chunks, maxshape=most, compression=1)
    with pytest.raises(DamagedFile, match=words) as caught:
        era5.read(path)
    assert caught.value.where == str(path)


@pytest.mark.parametrize("without", ["scale_factor"])
def test_integers_without_a_scale_are_refused(tmp_path, without):
    raw = np.full((1, *SHAPE), 280)
    path = old_form(tmp_path / "a.nc", hours(0), {"t2m": raw}, without=(without,))
    with pytest.raises(WrongFile, match="int16 without a scale: its values cannot be told"):
        decoded(path)


def test_an_hour_twice_is_damage(tmp_path):
    path = new_form(tmp_path / "a.nc", hours(4, 4), {"t2m": temperatures(2)})
    with pytest.raises(DamagedFile, match="2m_temperature at 2016-01-02T04 is in it twice"):
        decoded(path)


@pytest.fixture(scope="module")
def small_files(tmp_path_factory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("small")
    raw = {"t2m": np.arange(50, dtype="i2").reshape(2, *SHAPE)}
    return {
        "old": old_form(folder / "o.nc", hours(0, 1), raw).read_bytes(),
        "new": new_form(folder / "n.nc", hours(0, 1), {"t2m": temperatures(2)}).read_bytes(),
        "zip": both(folder).read_bytes(),
    }


def read_or_refused(path: Path) -> xr.Dataset | DamagedFile:
    try:
        return era5.read(path)
    except DamagedFile as error:
        return error


@given(st.data())
@settings(max_examples=150)
def test_a_damaged_file_is_read_or_refused_in_words(small_files, tmp_path_factory, data):
    raw = bytearray(small_files[data.draw(st.sampled_from(["old", "new", "zip"]))])
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / "a.nc"
    path.write_bytes(raw[: data.draw(st.integers(len(raw) // 2, len(raw)))])
    found = read_or_refused(path)
    if isinstance(found, DamagedFile):
        assert found.where.startswith(str(path)) and len(found.what) > 20
    else:
        assert NAME in found or "precipitation_rate" in found


# --- declarations ------------------------------------------------------------------------------


def test_files_are_found_by_day_or_else_by_month():
    source = SOURCES["era5"]
    assert source.path(DAY) == "2016/01/era5_20160102.nc"
    assert [one(DAY) for one in source.instead] == ["2016/era5_201601.nc"]
    fluxes = SOURCES["era5-fluxes"]
    assert fluxes.path(DAY) == "2016/01/era5_20160102_accum.nc"
    assert [one(DAY) for one in fluxes.instead] == [source.path(DAY)]


@pytest.mark.parametrize("name", SOURCES)
def test_each_source_says_whose_and_what_it_is(name):
    source = SOURCES[name]
    assert "Hersbach" in source.cite and "10.24381/cds.adbb2d47" in source.cite
    assert "ECMWF" in source.provider and "CC-BY" in source.licence
    assert source.holds_many and source.archive == "era5"
    assert pickle.loads(pickle.dumps(source)).path(DAY) == source.path(DAY)  # it goes to workers
    for variable in source.provides:
        if variable.is_flag:
            assert {NEVER_WRITTEN, FAILED} < set(variable.flags)
        else:
            low, high = variable.valid_range
            packing = variable.packing
            variable.packing.pack(np.array([low, high, np.nan]), variable.name)
            assert packing.unpack(np.array([packing.fill], packing.dtype)) != 0


def test_declaring_the_sources_imports_no_reader():
    code = (
        "import sys; from fluxrecipes.sources import era5, era5_zarr;"
        "print({'xarray', 'netCDF4', 'h5netcdf', 'zarr', 'cfgrib'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
