"""GTMBA files: the provider's own, ERDDAP's series and its CSV; heights, quality, directions."""

from pathlib import Path

import netCDF4
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluxengine.errors import DamagedFile, MissingFile, WrongFile
from fluxrecipes.sources import reports, station_netcdf
from fluxrecipes.sources.gtmba import read

from .insitu_fuzz import check, decoded, whole

REAL = "insitu/gtmba/DSG_ERDDAP_pmelTao5daySst.nc"
DAYS = np.arange(4)
# EPIC name: values, quality, units, depth
WIND = {
    "WU_422": ([3.0, -3.0, 0.0, 1.0], None, "m s-1"),
    "WV_423": ([4.0, 4.0, 0.0, 1e35], None, "m s-1"),
    "WS_401": ([5.0, 5.0, 0.0, 1e35], "QWS_5401", "m s-1"),
    "WD_410": ([36.87, 323.13, 0.0, 1e35], "QWD_5410", "degrees_true"),
}
AIR = {"AT_21": ([25.0, 26.0, 1e35, 24.0], "QAT_5021", "C")}
HUMIDITY = {"RH_910": ([80.0, 81.0, 82.0, 83.0], "QRH_5910", "PERCENT")}
WATER = {"T_25": ([27.5, 27.6, 27.7, 27.8], "QT_5025", "degree_C")}
PRESSURE = {"BP_915": ([1010.0, 1011.0, 1012.0, 1013.0], "QBP_5915", "MBAR")}


def native(path: Path, variables: dict, depth: float, quality=(1, 2, 3, 4), kind="NETCDF3_CLASSIC"):
    """A file as the provider delivers them: one site, axes (time, depth, lat, lon)."""
    with netCDF4.Dataset(path, "w", format=kind) as file:
        for name, size in (("time", None), ("depth", 1), ("lat", 1), ("lon", 1)):
            file.createDimension(name, size)
        axes = {
            "time": (DAYS, "days since 2012-02-28 12:00:00"),
            "depth": ([depth], "m"),
            "lat": ([-5.0], "degree_north"),
            "lon": ([265.0], "degree_east"),
        }
        for name, (values, units) in axes.items():
            made = file.createVariable(name, "f8", (name,))
            made.units = units
            made[:] = values
        for name, (values, verdict, units) in variables.items():
            made = file.createVariable(name, "f4", ("time", "depth", "lat", "lon"))
            made.units, made.missing_value = units, np.float32(1e35)
            made[:, 0, 0, 0] = values
            if verdict:
                made = file.createVariable(verdict, "f4", ("time", "depth", "lat", "lon"))
                made[:, 0, 0, 0] = quality
    return path


# --- real files -----------------------------------------------------------------------------------


def test_the_real_erddap_series(real_data):
    rows = whole(read, real_data / REAL)
    check(rows)
    columns = rows.columns
    assert columns["time"].size == 2312 and rows.rejected == {"no usable value": 64}
    assert str(columns["time"][0]) == "2017-01-15T12:00:00"
    assert columns["platform"][0] == b"0n0e" and columns["platform"][-1] == b"9n140w"
    assert (columns["latitude"][-1], columns["longitude"][-1]) == (9, 220)
    assert columns["sea_surface_temperature"][:2] == pytest.approx([28.592 + 273.15, 302.03])
    assert set(columns["depth_sea_surface_temperature"]) == {1, 1.5}
    assert set(columns["sea_surface_temperature_quality"]) == {reports.PROBABLY_GOOD}  # all are 2


def test_the_real_series_agree_with_the_netcdf_library(real_data):
    rows = whole(read, real_data / REAL)
    with netCDF4.Dataset(real_data / REAL) as file:
        values = file["T_25"][:].astype("f8").filled(np.nan) + 273.15
        values[file["QT_5025"][:] == 0] = np.nan
        names = np.repeat(netCDF4.chartostring(file["station"][:]), file["rowSize"][:])
    kept = ~np.isnan(values)
    np.testing.assert_allclose(rows.columns["sea_surface_temperature"], values[kept], rtol=1e-7)
    assert [name.decode() for name in rows.columns["platform"]] == names[kept].tolist()


# --- the provider's own form ----------------------------------------------------------------------


def test_wind_is_turned_to_where_it_blows_from(tmp_path):
    path = native(tmp_path / "w5s95w_dy.cdf", WIND, -4.0, quality=(1, 2, 1, 0))
    rows = whole(read, path)
    check(rows)
    columns = rows.columns
    assert columns["time"].astype(str).tolist() == [
        "2012-02-28T12:00:00", "2012-02-29T12:00:00", "2012-03-01T12:00:00"
    ]  # fmt: skip
    assert columns["wind_speed"].tolist() == [5, 5, 0]
    np.testing.assert_allclose(columns["wind_from_direction"], [216.87, 143.13, np.nan], atol=1e-3)
    assert columns["height_wind"].tolist() == [4, 4, 4]
    assert set(columns["platform"]) == {b"5s95w"}
    assert (columns["latitude"][0], columns["longitude"][0]) == (-5, 265)
    assert rows.rejected == {"no usable value": 1}


def test_a_direction_that_cannot_be_is_missing(tmp_path):
    wind = {name: WIND[name] for name in ("WS_401", "WD_410")}
    wind["WS_401"] = ([5.0] * 4, None, "m s-1")
    wind["WD_410"] = ([90.0, 999.0, -9.9, 360.0], None, "degrees_true")
    columns = whole(read, native(tmp_path / "w5s95w_hr.cdf", wind, -4.0)).columns
    np.testing.assert_equal(columns["wind_from_direction"], [270, np.nan, np.nan, 180])
    assert columns["wind_speed"].tolist() == [5] * 4


def test_components_do_where_there_is_no_speed(tmp_path):
    both = {name: WIND[name] for name in ("WU_422", "WV_423")}
    columns = whole(read, native(tmp_path / "w5s95w_hr.cdf", both, -4.0)).columns
    assert columns["wind_speed"].tolist() == [5, 5, 0]
    np.testing.assert_allclose(columns["wind_from_direction"], [216.87, 143.13, np.nan], atol=1e-3)
    assert set(columns["wind_quality"]) == {reports.NOT_CHECKED}


def test_a_file_of_all_quantities_gives_specific_humidity(tmp_path):
    path = native(
        tmp_path / "met5s95w_dy.cdf", AIR | HUMIDITY | WATER | PRESSURE, 0.0, (1, 2, 3, 1)
    )
    rows = whole(read, path)
    check(rows)
    columns = rows.columns
    # 80 % of 31.7 hPa at 25 °C and 1010 hPa (Magnus and the enhancement of moist air).
    assert columns["specific_humidity"][0] == pytest.approx(0.01584, rel=5e-3)
    assert columns["humidity_form"].tolist() == [
        reports.RELATIVE, reports.RELATIVE, reports.NO_HUMIDITY, reports.RELATIVE
    ]  # fmt: skip
    np.testing.assert_allclose(columns["relative_humidity"], [np.nan, np.nan, 0.82, np.nan])
    assert columns["air_pressure"].tolist() == [101_000, 101_100, 101_200, 101_300]
    assert np.isnan(columns["height_air_temperature"]).all()  # one depth for all tells none
    assert np.isnan(columns["depth_sea_surface_temperature"]).all()


def test_a_file_of_all_quantities_may_have_a_depth_for_each(tmp_path):
    """As the provider's have them, the depth of the water a second time where it has changed."""
    path = tmp_path / "met0n156e_dy.cdf"
    depths = {"s": -4.0, "d": -4.0, "a": -3.0, "h": -3.5, "sst": 1.0, "zsst": 1.0}
    measured = {
        "WS_401": ("s", [5.0] * 4, "m s-1"),
        "WD_410": ("d", [90.0] * 4, "degrees"),
        "AT_21": ("a", [25.0] * 4, "C"),
        "RH_910": ("h", [80.0] * 4, "%"),
        "T_25": ("sst", [27.0] * 4, "C"),
        "ZSST_2003": ("zsst", [1.0, 1.0, 1.5, 1.5], "m"),
    }
    native(path, {}, 0.0)
    with netCDF4.Dataset(path, "a") as file:
        for name, depth in depths.items():
            file.createDimension(f"dep{name}", 1)
            made = file.createVariable(f"dep{name}", "f4", (f"dep{name}",))
            made.setncatts({"units": "m", "epic_code": np.int32(3)})
            made[:] = depth
        for name, (axis, values, units) in measured.items():
            made = file.createVariable(name, "f4", ("time", f"dep{axis}", "lat", "lon"))
            made.units, made[:, 0, 0, 0] = units, values
    columns = whole(read, path).columns
    for name, height in (("wind", 4), ("air_temperature", 3), ("humidity", 3.5)):
        assert columns[f"height_{name}"].tolist() == [height] * 4
    assert columns["depth_sea_surface_temperature"].tolist() == [1, 1, 1.5, 1.5]
    assert columns["wind_from_direction"].tolist() == [270] * 4


@pytest.mark.parametrize("kind", ["NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF4"])
def test_quality_codes_decide_what_stays(tmp_path, kind):
    path = native(tmp_path / "sst5s95w_10m.cdf", WATER, 1.0, quality=(1, 2, 3, 4), kind=kind)
    rows = whole(read, path)
    assert rows.columns["sea_surface_temperature_quality"].tolist() == [
        reports.GOOD, reports.PROBABLY_GOOD, reports.PROBABLY_GOOD
    ]  # fmt: skip
    assert rows.rejected == {"no usable value": 1}
    assert rows.columns["depth_sea_surface_temperature"].tolist() == [1, 1, 1]


def test_only_codes_from_1_to_3_are_probably_valid(tmp_path):
    path = native(tmp_path / "sst5s95w_10m.cdf", WATER, 1.0, quality=(-9, 6, 9, 1e35))
    rows = whole(read, path)
    assert rows.columns["sea_surface_temperature"].tolist() == [np.float32(27.8 + 273.15)]
    assert rows.columns["sea_surface_temperature_quality"].tolist() == [reports.NOT_CHECKED]
    assert rows.rejected == {"no usable value": 3}


def test_humidity_alone_is_kept_as_such(tmp_path):
    columns = whole(read, native(tmp_path / "rh5s95w_dy.cdf", HUMIDITY, -3.0, (1, 1, 5, 0))).columns
    np.testing.assert_allclose(columns["relative_humidity"], [0.80, 0.81])
    assert np.isnan(columns["specific_humidity"]).all()
    assert columns["height_humidity"].tolist() == [3, 3]


def test_the_site_follows_from_the_position_where_no_name_tells(tmp_path):
    columns = whole(read, native(tmp_path / "renamed.cdf", WATER, 1.0)).columns
    assert set(columns["platform"]) == {b"5s95w"}


def test_epic_times_in_days_and_milliseconds(tmp_path):
    path = native(tmp_path / "t0n0e.cdf", WATER, 1.0, (1, 1, 1, 1))
    with netCDF4.Dataset(path, "a") as file:
        file["time"].units = "True Julian Day"
        file["time"][:] = 2_440_588 + DAYS
        made = file.createVariable("time2", "i4", ("time",))
        made.units = "msec since 0:00 GMT"
        made[:] = 12 * 3_600_000
    times = whole(read, path).columns["time"].astype(str)
    assert times[0] == "1970-01-01T12:00:00" and times[-1] == "1970-01-04T12:00:00"


# --- ERDDAP's CSV ---------------------------------------------------------------------------------

CSV = """\
array,station,wmo_platform_code,longitude,latitude,time,depth,AT_21,QAT_5021
,,,degrees_east,degrees_north,UTC,m,degree_C,
TAO/TRITON,0n110w,32323,250.0,0.0,2017-01-15T12:00:00Z,-3.0,25.5,1.0
PIRATA,"0n0e",13010,0.0,0.0,2017-01-15T12:00:00Z,-3.0,NaN,0.0
RAMA,8s100e,53056,100.0,-8.0,2017-01-16T12:00:00Z,-2.2,27.25,2.0
"""


def test_csv_with_units_below_or_behind_the_names(tmp_path):
    (tmp_path / "a.csv").write_text(CSV)
    rows = whole(read, tmp_path / "a.csv")
    check(rows)
    columns = rows.columns
    assert columns["platform"].tolist() == [b"0n110w", b"8s100e"]
    assert columns["air_temperature"].tolist() == [np.float32(298.65), np.float32(300.4)]
    assert columns["height_air_temperature"].tolist() == [3, np.float32(2.2)]
    lines = CSV.splitlines(keepends=True)
    titles = "array,station,wmo_platform_code,longitude (degrees_east),latitude (degrees_north),"
    titles += "time (UTC),depth (m),AT_21 (degree_C),QAT_5021\n"
    (tmp_path / "a.csvp").write_text(titles + "".join(lines[2:]))
    again = whole(read, tmp_path / "a.csvp")
    for name, column in columns.items():
        np.testing.assert_array_equal(again.columns[name], column)


def averaging(path: Path, times: list[tuple[str, str]]) -> list[int]:
    """What is said of the averaging of reports of some sites at some times."""
    lines = [f"TAO,{site},1,250.0,0.0,{time}:00Z,-3.0,25.5,1.0\n" for site, time in times]
    path.write_text("".join(CSV.splitlines(keepends=True)[:2] + lines))
    return whole(read, path).columns["averaging"].tolist()


ONE_DAY = [(site, "2017-01-15T12:00") for site in ("0n110w", "0n140w", "2n140w")]
NEXT_DAY = [(site, "2017-01-16T12:00") for site, _ in ONE_DAY]


def test_daily_means_of_several_sites_are_told_by_their_spacing_or_name(tmp_path):
    assert averaging(tmp_path / "a.csv", ONE_DAY + NEXT_DAY) == [reports.LONG] * 6
    assert averaging(tmp_path / "a.csv", ONE_DAY + NEXT_DAY[:1]) == [reports.LONG] * 4
    for name in ("pmelTaoDyAirt_1b58_1191.csv", "pmelTao5dayAirt.csv", "pmelTaoMonAirt.csv"):
        assert averaging(tmp_path / name, ONE_DAY) == [reports.LONG] * 3


def test_each_site_of_a_file_has_its_own_averaging(tmp_path):
    hourly = [("8n110w", f"2017-01-15T{hour}:00") for hour in (12, 13, 14)]
    found = averaging(tmp_path / "a.csv", [*hourly, *ONE_DAY[:1], *NEXT_DAY[:1]])
    assert found == [reports.SHORT] * 3 + [reports.LONG] * 2


def test_parts_of_a_file_have_the_same_averaging(tmp_path, monkeypatch):
    monkeypatch.setattr(station_netcdf, "PART", 3)
    path = native(tmp_path / "t0n0e.cdf", WATER, 1.0, (1, 1, 1, 1))
    assert set(whole(read, path).columns["averaging"]) == {reports.LONG}


@pytest.mark.parametrize(
    "time",
    [
        "now",
        "today",
        "2017",
        "2017-01-15",
        "2017-01-15T12:00:00",
        "2017-01-15T12:00:00+05:00",
        "2017-01-15 12:00:00Z",
        "1484481600",
    ],
)
def test_other_forms_of_time_are_refused(tmp_path, time):
    text = CSV.replace("2017-01-15T12:00:00Z", time, 1)
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DamagedFile, match="is not a time such as 2017-01-15T12:00:00Z"):
        whole(read, tmp_path / "a.csv")


def test_fractions_of_seconds_and_no_time(tmp_path):
    text = CSV.replace("00:00Z", "00:00.000Z", 1).replace("2017-01-16T12:00:00Z", "NaN")
    (tmp_path / "a.csv").write_text(text)
    rows = whole(read, tmp_path / "a.csv")
    assert rows.columns["time"].astype(str).tolist() == ["2017-01-15T12:00:00"]
    assert rows.rejected == {"no valid time": 1, "no usable value": 1}


@pytest.mark.parametrize("length", range(1, 7))
def test_a_csv_that_ends_within_a_line_is_refused(tmp_path, length):
    (tmp_path / "a.csv").write_text(CSV[:-length])
    with pytest.raises(DamagedFile, match="it ends within line 5: it was cut short"):
        whole(read, tmp_path / "a.csv")


UNQUOTED = CSV.replace('"', "")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (CSV.replace("PIRATA", '"PIRATA') + CSV.splitlines()[2] * 4000 + "\n", "as CSV"),
        (CSV.replace('"0n0e"', '"0n0e'), "cannot be read as CSV: unexpected end of data"),
        (UNQUOTED.replace("PI", '"PI').replace("RAMA", 'RAMA"'), "beyond the end of its line"),
    ],
)
def test_quotations_that_do_not_end_are_refused(tmp_path, text, words):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DamagedFile, match=words):
        whole(read, tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("25.5", "25.5.1", "AT_21 cannot be read between lines 3 and 5"),
        ("-15T", "-45T", "time cannot be read"),
        (",25.5", "", "line 3 has 8 fields, not 9"),
        ("array,station", "a b,station", "does not name the columns"),
        ("UTC", "CET", "does not give the units"),
        ("degree_C", "degree_F", "AT_21 is in 'degree_F'"),
        (CSV, "", "it is empty"),
    ],
)
def test_damaged_csv(tmp_path, old, new, words):
    (tmp_path / "a.csv").write_text(CSV.replace(old, new, 1))
    with pytest.raises(DamagedFile, match=words):
        whole(read, tmp_path / "a.csv")


# --- damaged and wrong files ----------------------------------------------------------------------


def test_no_file_and_other_files(tmp_path):
    with pytest.raises(MissingFile):
        whole(read, tmp_path / "none.cdf")
    (tmp_path / "x.cdf").write_text("not NetCDF")
    with pytest.raises(DamagedFile, match="cannot be read as NetCDF"):
        whole(read, tmp_path / "x.cdf")
    rain = {"RN_485": ([0.0] * 4, None, "MM/HR")}
    with pytest.raises(WrongFile, match="it has none of WS_401"):
        whole(read, native(tmp_path / "rain0n0e_dy.cdf", rain, -3.5))
    hot = {"AT_21": ([77.0] * 4, None, "degree_F")}
    with pytest.raises(WrongFile, match="AT_21 is in 'degree_F'"):
        whole(read, native(tmp_path / "airt0n0e_dy.cdf", hot, -3.0))


def test_a_classic_file_cut_anywhere_is_refused(real_data, tmp_path):
    raw = (real_data / REAL).read_bytes()
    for length in (0, 3, 100, 5_000, len(raw) // 2, len(raw) - 12_000):
        assert decoded(read, tmp_path / "cut.nc", raw[:length]) is None


@settings(max_examples=30)
@given(st.data())
def test_flips_of_the_real_file(tmp_path_factory, real_data, data):
    damaged = bytearray((real_data / REAL).read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        damaged[data.draw(st.integers(0, 8_000))] ^= 1 << data.draw(st.integers(0, 7))
    decoded(read, tmp_path_factory.getbasetemp() / "flipped.nc", bytes(damaged))


@settings(max_examples=30)
@given(st.data())
def test_flips_and_cuts_of_hdf5(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("hdf5") / "met0n0e_dy.cdf"
    raw = native(path, AIR | WATER, -3.0, kind="NETCDF4").read_bytes()
    length = data.draw(st.one_of(st.just(len(raw)), st.integers(1, len(raw))))
    damaged = bytearray(raw[:length])
    for _ in range(data.draw(st.integers(0, 5))):
        damaged[data.draw(st.integers(0, length - 1))] ^= 1 << data.draw(st.integers(0, 7))
    decoded(read, path, bytes(damaged))
