"""NCEP R1: the Gaussian grid, both generations of files, land and ice, what is refused.

The files written here have the form that printed headers of NOAA PSL's files show: (time, lat=94,
lon=192) from 88.542 N and Greenwich, either float32 in NetCDF4 with hours since 1800, or int16 in
classic NetCDF with scale_factor, add_offset and missing_value 32766 and "hours since 1-1-1
00:00:0.0", where 1948 begins at 17,067,072 and 2001 at 17,531,688.
"""

import shutil
from datetime import date, datetime, timedelta
from pathlib import Path

import netCDF4
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fluxengine.errors import DamagedFile, MissingFile, WrongFile
from fluxengine.ingest import conformed
from fluxrecipes.sources import flux_files, ncep_r1
from fluxrecipes.sources.ncep_r1 import SOURCES

DAILY, SIX = SOURCES["ncep-r1"], SOURCES["ncep-r1-6h"]
YEAR, DAYS = 2001, 3
FIRST = date(YEAR, 1, 1)
LAT = np.round(ncep_r1.LATITUDES[::-1], 3).astype("f4")  # as printed, from the north
LON = np.arange(0, 360, 1.875).astype("f4")
# Unit, mean and wave, and the old packing: scale and offset.
FIELDS = {
    "lhtfl": ("W/m^2", 60, 40, 0.1, 1276.5),
    "shtfl": ("W/m^2", 14, 25, 1.0, 30766.0),
    "air": ("degK", 279, 20, 0.01, 477.66),
    "shum": ("kg/kg", 0.0085, 0.006, 1e-6, 0.032666),
    "skt": ("degK", 281, 18, 0.01, 477.66),
    "uwnd": ("m/s", 1, 6, 0.01, 202.66),
    "vwnd": ("m/s", 0, 4, 0.01, 202.66),
}
NEW = "hours since 1800-01-01 00:00:0.0"
OLD = "hours since 1-1-1 00:00:0.0"
OLD_2001 = 17_531_688


def stem(name: str) -> str:
    level = {"lhtfl": "sfc", "shtfl": "sfc", "skt": "sfc", "uwnd": "10m", "vwnd": "10m"}
    return f"{name}.{level.get(name, '2m')}"


def hours(units: str, steps: int, every: int) -> np.ndarray:
    new = (datetime(YEAR, 1, 1) - datetime(1800, 1, 1)).total_seconds() / 3600
    return (new if units == NEW else OLD_2001) + every * np.arange(steps)


def write(folder: Path, name: str, values, every=24, **changes) -> Path:
    """A file like NOAA PSL's, but for what is said."""
    path = folder / f"{stem(name)}.gauss.{changes.get('year', YEAR)}.nc"
    is_old, units = changes.get("old", False), changes.get("time_units", NEW)
    unit, _, _, scale, offset = FIELDS[name]
    times = changes.get("times", hours(units, len(values), every))
    with netCDF4.Dataset(path, "w", format="NETCDF3_CLASSIC" if is_old else "NETCDF4") as file:
        file.title = changes.get("title", "mean daily NMC reanalysis (2001)")
        file.dataset_title = "NCEP-NCAR Reanalysis 1"
        lat, lon = changes.get("lat", LAT), changes.get("lon", LON)
        for axis, cells in (("lat", lat), ("lon", lon), ("time", times)):
            file.createDimension(axis, None if axis == "time" else len(cells))
            file.createVariable(axis, "f8" if axis == "time" else "f4", (axis,))[:] = cells
        file["time"].units = units
        kind, fill = ("i2", 32766) if is_old else ("f4", np.float32(-9.96921e36))
        dims = ("time", "lat", "lon")
        told = {} if changes.get("bare") else {"fill_value": fill}
        made = file.createVariable(changes.get("called", name), kind, dims, **told)
        made.set_auto_maskandscale(False)
        made.units = changes.get("units", unit)
        if told:
            made.missing_value = np.array(fill, kind)
        made.var_desc = changes.get("var_desc", "Latent Heat Net Flux")
        if is_old:
            made.scale_factor, made.add_offset = np.float32(scale), np.float32(offset)
            values = np.rint((values - made.add_offset) / made.scale_factor)
        made[:] = values[: len(times), : len(lat), : len(lon)]
    return path


def write_mask(folder: Path, land, **changes) -> Path:
    path = folder / "land.sfc.gauss.nc"
    with netCDF4.Dataset(path, "w") as file:
        for axis, cells in (("time", [0.0]), ("lat", LAT), ("lon", LON)):
            file.createDimension(axis, len(cells))
            file.createVariable(axis, "f4", (axis,))[:] = cells
        file["time"].units = NEW
        file.createVariable("land", "f4", ("time", "lat", "lon"))[:] = land
    return path


@pytest.fixture(scope="module")
def land():
    """From the north, as in files."""
    found = np.zeros((94, 192), "f4")
    found[20:50, 10:60] = 1
    return found


@pytest.fixture(scope="module")
def truth(field):
    """Values of three days, four steps each, from the north; ice in the far north."""
    found = {
        name: field(mean, wave, (4 * DAYS, 94, 192), at)
        for at, (name, (_, mean, wave, *_)) in enumerate(FIELDS.items())
    }
    found["skt"] = np.maximum(found["skt"], 272)
    found["skt"][:, :5] = 255
    return found


@pytest.fixture(scope="module", params=["new", "old"])
def daily(request, tmp_path_factory, truth, land):
    """The files of a year, in both forms."""
    folder = tmp_path_factory.mktemp(request.param)
    old = {"old": True, "time_units": OLD} if request.param == "old" else {}
    fields = [write(folder, name, truth[name][::4], **old) for name in list(FIELDS)[:5]]
    return (*fields, write_mask(folder, land))


@pytest.fixture(scope="module")
def six(tmp_path_factory, truth, land):
    folder = tmp_path_factory.mktemp("six")
    fields = [write(folder, name, truth[name], every=6) for name in FIELDS]
    return (*fields, write_mask(folder, land))


def unpacked(found):
    if found.dtype.kind == "f":
        return found.values.astype("f8")
    return found.values * found.attrs["scale_factor"] + found.attrs["add_offset"]


def test_both_generations_of_files_give_the_same_days(daily, truth):
    days = (FIRST, FIRST + timedelta(2))
    dataset = DAILY.decode(daily, days)
    assert dataset.time.values.astype("datetime64[D]").tolist() == list(days)
    assert list(dataset) == [variable.name for variable in DAILY.provides]
    for quantity in ncep_r1.SCALARS.values():
        name = quantity.names[0]
        found = dataset[quantity.variable.name]
        assert found.dims == ("time", "row", "lon") and found.shape == (2, 94, 192)
        step = FIELDS[name][3] if found.dtype == "i2" else 1e-4 * abs(FIELDS[name][1])
        # Rows run from the south here.
        np.testing.assert_allclose(unpacked(found), truth[name][[0, 8], ::-1], atol=0.51 * step)


@pytest.mark.parametrize("none", [netCDF4.default_fillvals["f4"], -1e35, np.inf])
def test_what_stands_for_no_value_is_none_also_where_the_file_names_none(tmp_path, daily, none):
    values = np.full((3, 94, 192), 279.0)
    values[0, 50, 7] = none
    path = write(tmp_path, "air", values, bare=True)
    files = tuple(path if "air.2m." in old.name else old for old in daily)
    found = DAILY.decode(files, (FIRST,))
    at = (0, 93 - 50, 7)  # rows run from the south here
    assert np.isnan(found.air_temperature_2m.values[at])
    assert found.air_temperature_2m_flag.values[at] == flux_files.NO_VALUE
    assert np.isnan(found.air_temperature_2m.values).sum() == 1


def test_land_and_ice_are_flagged(daily, land):
    flag = DAILY.decode(daily, (FIRST,)).latent_heat_flux_flag.values[0, ::-1]
    assert (flag[land == 1] == 4).all() and (flag[:5] == 5).all()
    assert (flag[5:][land[5:] == 0] == 2).all()


def test_six_hourly_steps_lie_along_an_axis_of_hours(six, truth):
    day = FIRST + timedelta(1)
    dataset = SIX.decode(six, (day,))
    stored = conformed(SIX, SIX.grid.between(day, day), dataset, "")
    assert np.array_equal(stored["northward_wind"], dataset.northward_wind)
    assert dataset.latent_heat_flux.dims == ("time", "hour", "row", "lon")
    for name, ours in (("lhtfl", "latent_heat_flux"), ("uwnd", "eastward_wind")):
        found = dataset[ours].values[0]
        np.testing.assert_allclose(found, truth[name][4:8, ::-1].astype("f4"))
    assert dataset.sizes == {"time": 1, "hour": 4, "row": 94, "lon": 192}


def test_rows_have_the_latitudes_and_areas_of_the_quadrature():
    edges = np.array(ncep_r1.EDGES)
    assert LAT[0] == pytest.approx(88.542) and LAT[46] == pytest.approx(0.952)
    assert (edges[:-1] < ncep_r1.LATITUDES).all() and (edges[1:] > ncep_r1.LATITUDES).all()
    assert edges[[0, 47, 94]] == pytest.approx([-90, 0, 90], abs=1e-9)
    assert DAILY.grid.axes["lon"].coordinate()[:2].tolist() == [0.0, 1.875]


def test_paths_are_those_of_noaa_psl():
    paths = DAILY.path(date(2016, 5, 1))
    assert paths[0] == "Dailies/surface_gauss/lhtfl.sfc.gauss.2016.nc"
    assert paths[-1] == "surface_gauss/land.sfc.gauss.nc" and len(paths) == 6
    assert SIX.path(date(2016, 5, 1))[5] == "surface_gauss/uwnd.10m.gauss.2016.nc"


def test_days_that_a_file_lacks_are_left_out(tmp_path, six, truth):
    files = [Path(shutil.copy(path, tmp_path)) for path in six]
    write(tmp_path, "air", truth["air"][:7], every=6)  # the second day is not whole
    wanted = tuple(FIRST + timedelta(n) for n in range(5))
    assert SIX.decode(tuple(files), wanted).sizes["time"] == 1
    assert SIX.decode(tuple(files), wanted[3:]).sizes["time"] == 0


@pytest.mark.parametrize(
    ("start", "units", "calendar", "day"),
    [
        (17_067_072, OLD, "standard", "1948-01-01"),
        (OLD_2001, OLD, "", "2001-01-01"),
        (1_297_320, NEW, "", "1948-01-01"),
        (OLD_2001 - 48, OLD, "proleptic_gregorian", "2001-01-01"),
    ],
)
def test_times_are_counted_as_the_provider_counts_them(tmp_path, start, units, calendar, day):
    with netCDF4.Dataset(tmp_path / "t.nc", "w") as file:
        file.createDimension("time", 2)
        time = file.createVariable("time", "f8", ("time",))
        time[:], time.units = [start, start + 6], units
        if calendar:
            time.calendar = calendar
        found = flux_files.moments(file, tmp_path / "t.nc")
    assert found.tolist() == [datetime.fromisoformat(day), datetime.fromisoformat(f"{day}T06:00")]


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("air", {"title": "4x Daily NCEP/DOE Reanalysis 2"}, "another reanalysis, which names its"),
        ("lhtfl", {"year": 2002}, "its name is not lhtfl.sfc.gauss.2001.nc"),
        ("lhtfl", {"times": hours(NEW, 3, 24) + 8760}, "to 2002-01-03T00:00:00, not the year 2001"),
        ("lhtfl", {"times": hours(NEW, 3, 6)}, "its steps are not 24 hours apart"),
        ("lhtfl", {"lat": np.linspace(90, -90, 94)}, "lat has 94 cells from 90 to -90"),
        ("lhtfl", {"lon": LON + 0.9}, "lon has 192 cells"),
        ("shum", {"units": "g/kg"}, "shum is 8.5.*e-06 kg kg-1 on average; usual is 0.002"),
        ("skt", {"units": "%"}, "skt is in '%', which is no unit of temperature of the surface"),
        ("air", {"units": "degC"}, "air = .* K at .* cells; possible is 160 to 340"),
        ("lhtfl", {"var_desc": "Latent heat flux, positive downward"}, "counts downward"),
        ("shtfl", {"called": "lhtfl"}, "no variable 'shtfl'"),
    ],
)
def test_wrong_content_is_refused(tmp_path, daily, truth, name, changes, words):
    path = write(tmp_path, name, truth[name][::4], **changes)
    files = tuple(path if f"{stem(name)}." in old.name else old for old in daily)
    with pytest.raises((WrongFile, DamagedFile), match=words) as caught:
        DAILY.decode(files, (FIRST,))
    assert caught.value.where == str(path)


def test_downward_fluxes_are_told_by_their_mean(tmp_path, daily, truth):
    path = write(tmp_path, "lhtfl", -truth["lhtfl"][::4])
    with pytest.raises(WrongFile, match="Its unit, scale or sign is another"):
        DAILY.decode((path, *daily[1:]), (FIRST,))


def test_a_mask_of_other_codes_is_damage(tmp_path, daily, land):
    with pytest.raises(DamagedFile, match="not 0 for sea and 1 for land"):
        DAILY.decode((*daily[:-1], write_mask(tmp_path, 2 * land)), (FIRST,))


def test_no_file(tmp_path, daily):
    with pytest.raises(MissingFile):
        DAILY.decode((tmp_path / "lhtfl.sfc.gauss.2001.nc", *daily[1:]), (FIRST,))


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_file_is_read_or_refused_in_words(tmp_path, daily, data):
    raw = bytearray(daily[0].read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        # Most of what can go wrong stands at the beginning.
        end = data.draw(st.sampled_from([1_500, len(raw) - 1]))
        raw[data.draw(st.integers(0, end))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.none() | st.floats(0, 1))
    path = tmp_path / daily[0].name
    path.write_bytes(raw if cut is None else raw[: int(cut * len(raw))])
    try:
        found = DAILY.decode((path, *daily[1:]), (FIRST,))
    except (DamagedFile, WrongFile):
        return
    assert found.latent_heat_flux.shape in {(1, 94, 192), (0, 94, 192)}
