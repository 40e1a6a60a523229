"""NDBC standard meteorological files in every layout; spectra and damage refused."""

import gzip
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluxengine.errors import DamagedFile, MissingFile, WrongFile
from fluxrecipes.sources import reports
from fluxrecipes.sources.ndbc import read, read_stdmet

from .insitu_fuzz import check, decoded, whole

MODERN = """\
#YY  MM DD hh mm WDIR WSPD GST  WVHT   DPD   APD MWD   PRES  ATMP  WTMP  DEWP  VIS  TIDE
#yr  mo dy hr mn degT m/s  m/s     m   sec   sec deg    hPa  degC  degC  degC  nmi    ft
2019 08 01 00 00 231  1.6 99.0 99.00 99.00 99.00 999 1017.3  15.7  13.5 999.0 99.0 99.00
2019 08 01 00 10 222 99.0 99.0  1.07  8.30 99.00 295 9999.0 999.0 999.0   9.9 99.0 99.00
"""
HEADER, UNITS, LINE, SECOND = MODERN.splitlines()
Y1990 = """\
YY MM DD hh WD   WSPD GST  WVHT  DPD   APD  MWD  BAR    ATMP  WTMP  DEWP  VIS
90 01 31 23 120 05.4 06.9 01.50 08.30 05.80 999 1019.3  14.9  15.6 999.0 99.0
"""
Y2000 = """\
YYYY MM DD hh WD   WSPD GST  WVHT  DPD   APD  MWD  BAR    ATMP  WTMP  DEWP  VIS  TIDE
2000 02 29 06 120 05.4 06.9 01.50 08.30 05.80 999 1019.3  14.9  15.6  10.0 99.0 99.00
"""
Y2005 = """\
YYYY MM DD hh mm  WD  WSPD GST  WVHT  DPD   APD  MWD  BAR    ATMP  WTMP  DEWP  VIS  TIDE
2005 12 31 23 50 120 05.4 06.9 01.50 08.30 05.80 999 1019.3  14.9  15.6  10.0 99.0 99.00
"""
Y1975 = """\
YY MM DD hh WD   WSPD GST  WVHT  DPD   APD  MWD  BARO   ATMP  WTMP  DEWP  VIS
75 02 28 23 120 05.4 06.9 01.50 08.30 05.80 999 1019.3  14.9  15.6 999.0 99.0
"""
REALTIME = """\
#YY  MM DD hh mm WDIR WSPD GST  WVHT   DPD   APD MWD   PRES  ATMP  WTMP  DEWP  VIS PTDY  TIDE
#yr  mo dy hr mn degT m/s  m/s     m   sec   sec degT   hPa  degC  degC  degC  nmi  hPa    ft
2018 08 01 15 10 160  6.0  7.0    MM    MM    MM  MM 1022.9    MM  28.0    MM   MM   MM    MM
2018 08 01 15 00  MM   MM  8.0    MM    MM    MM  MM     MM  26.1  28.1  18.1   MM +0.6    MM
"""
NAMES = {
    "wind_from_direction": "degree",
    "wind_speed": "m s-1",
    "air_temperature": "K",
    "sea_surface_temperature": "K",
    "dew_point_temperature": "K",
    "surface_pressure": "Pa",
}


def write(folder: Path, text: str, name: str = "station.txt") -> Path:
    path = folder / name
    path.write_text(text)
    return path


# --- real files --------------------------------------------------------------------------------

PLACES = {
    "WDIR": 5,
    "WSPD": 6,
    "PRES": 12,
    "ATMP": 13,
    "WTMP": 14,
    "DEWP": 15,
}  # the same in all three
FILLS = {
    "WDIR": "999",
    "WSPD": "99.0",
    "PRES": "9999.0",
    "ATMP": "999.0",
    "WTMP": "999.0",
    "DEWP": "999.0",
}
OURS = dict(zip(("WDIR", "WSPD", "ATMP", "WTMP", "DEWP", "PRES"), NAMES, strict=True))


@pytest.mark.parametrize(
    ("name", "lines"),
    [("41002_realtime2_201808.txt", 6560), ("41002h2021.txt", 12215), ("46097h201908qc.txt", 4464)],
)
def test_real_files_have_the_counts_and_means_of_their_text(real_data, name, lines):
    path = real_data / "insitu" / "ndbc" / name
    rows = [line.split() for line in path.read_text().splitlines() if line[0] != "#"]
    dataset = read_stdmet(path)
    assert dataset.sizes["time"] == len(rows) == lines
    assert dataset.rejected_lines == 0 and dataset.rejected_reasons == ""
    for theirs, ours in OURS.items():
        texts = [row[PLACES[theirs]] for row in rows]
        numbers = [float(t) for t in texts if t not in ("MM", FILLS[theirs])]
        offset = 273.15 if NAMES[ours] == "K" else 0
        scale = 100 if NAMES[ours] == "Pa" else 1
        assert int(dataset[ours].notnull().sum()) == len(numbers), ours
        if numbers:
            expected = np.mean(numbers) * scale + offset
            assert float(dataset[ours].mean()) == pytest.approx(expected, rel=1e-9), ours


def test_real_times_are_sorted_and_whole(real_data):
    newest_first = read_stdmet(real_data / "insitu" / "ndbc" / "41002_realtime2_201808.txt")
    assert newest_first.indexes["time"].is_monotonic_increasing
    assert str(newest_first.time.values[0]) == "2018-06-17T00:00:00.000000000"
    last = newest_first.isel(time=-1)
    assert str(last.time.values) == "2018-08-01T15:10:00.000000000"
    assert float(last.wind_speed) == 6.0 and float(last.surface_pressure) == 102_290.0
    assert np.isnan(last.air_temperature)


def test_real_spectrum_is_refused(real_data):
    with pytest.raises(WrongFile, match="columns are frequencies: a wave spectrum"):
        read_stdmet(real_data / "insitu" / "ndbc" / "46042w1996.txt.gz")


# --- layouts -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "time"),
    [
        (Y1975, "1975-02-28T23:00"),
        (Y1990, "1990-01-31T23:00"),
        (Y2000, "2000-02-29T06:00"),
        (Y2005, "2005-12-31T23:50"),
    ],
)
def test_old_layouts(tmp_path, text, time):
    dataset = read_stdmet(write(tmp_path, text))
    assert dataset.time.values.tolist() == np.array([time], "M8[ns]").tolist()
    assert float(dataset.wind_speed.item()) == 5.4
    assert dataset.surface_pressure.item() == pytest.approx(101_930)
    assert dataset.air_temperature.item() == pytest.approx(288.05)
    assert dataset.sea_surface_temperature.item() == pytest.approx(288.75)
    dew = dataset.dew_point_temperature.item()
    assert np.isnan(dew) if text in (Y1975, Y1990) else dew == pytest.approx(283.15)


def test_fills_become_nan_and_values_do_not(tmp_path):
    dataset = read_stdmet(write(tmp_path, MODERN))
    missing = {name: dataset[name].isnull().values.tolist() for name in NAMES}
    assert missing == {
        "wind_from_direction": [False, False],
        "wind_speed": [False, True],
        "air_temperature": [False, True],
        "sea_surface_temperature": [False, True],
        "dew_point_temperature": [True, False],
        "surface_pressure": [False, True],
    }


def test_realtime_is_turned_and_its_mm_is_missing(tmp_path):
    dataset = read_stdmet(write(tmp_path, REALTIME))
    np.testing.assert_allclose(dataset.wind_speed, [np.nan, 6.0])
    np.testing.assert_allclose(dataset.air_temperature, [299.25, np.nan])
    np.testing.assert_allclose(dataset.surface_pressure, [np.nan, 102_290])


def test_collapsed_spacing_and_gzip_change_nothing(tmp_path):
    plain = read_stdmet(write(tmp_path, MODERN))
    collapsed = "\n".join(re.sub(" +", " ", line) for line in MODERN.splitlines())
    assert read_stdmet(write(tmp_path, collapsed)).identical(plain)
    packed = tmp_path / "station.txt.gz"
    packed.write_bytes(gzip.compress(MODERN.encode()))
    assert read_stdmet(packed).identical(plain)
    misnamed = tmp_path / "packed.txt"
    misnamed.write_bytes(packed.read_bytes())
    assert read_stdmet(misnamed).identical(plain)


def test_units_and_heights_are_said(tmp_path):
    dataset = read_stdmet(write(tmp_path, MODERN))
    assert {name: dataset[name].units for name in dataset} == NAMES
    assert dataset.time.dtype == "M8[ns]"
    assert "anemometer" in dataset.wind_speed.long_name
    assert "10 m" not in dataset.air_temperature.long_name


# --- lines left out ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("2019 08 01 00 20 231  1.6 99.0", "wrong number of fields"),
        (LINE + " 1", "wrong number of fields"),
        (LINE.replace("2019 08 01", "2019 02 30"), "no such time"),
        (LINE.replace("2019 08 01 00", "2019 08 01 24"), "no such time"),
        (LINE.replace("2019", "0019"), "no such time"),
        (LINE.replace("2019", "05"), "no such time"),
        (LINE.replace("00 00 231", "00 xx 231"), "no such time"),
        (LINE.replace("00 00 231", "00 20 231").replace("15.7", "1S.7"), "not a number"),
        (LINE.replace("00 00 231", "00 20 231").replace("15.7", "nan"), "not a number"),
        (LINE.replace("00 00 231", "00 20 231").replace("15.7", "1\u00e9.7"), "not a number"),
        (LINE, "time given before"),
    ],
)
def test_rejected_lines_are_counted_with_their_reason(tmp_path, line, reason):
    dataset = read_stdmet(write(tmp_path, f"{MODERN}{line}\n\n"))
    assert dataset.sizes["time"] == 2
    assert dataset.rejected_lines == 1 and dataset.rejected_reasons == f"{reason}: 1"


def test_of_equal_times_the_first_in_the_file_is_kept(tmp_path):
    dataset = read_stdmet(write(tmp_path, MODERN + LINE.replace("  1.6", "  9.9")))
    assert dataset.wind_speed.values[0] == 1.6


def test_reasons_add_up(tmp_path):
    dataset = read_stdmet(write(tmp_path, f"{MODERN}x\ny\n{LINE}\n"))
    assert dataset.rejected_lines == 3
    assert dataset.rejected_reasons == "time given before: 1; wrong number of fields: 2"


@settings(max_examples=50)
@given(st.integers(0, len(MODERN) - 1))
def test_a_cut_never_invents_an_observation(tmp_path_factory, length):
    whole = read_stdmet(write(tmp_path_factory.mktemp("whole"), MODERN))
    try:
        cut = read_stdmet(write(tmp_path_factory.mktemp("cut"), MODERN[:length]))
    except DamagedFile:
        return
    assert cut.drop_attrs().equals(whole.drop_attrs().isel(time=slice(cut.sizes["time"])))


# --- damaged and wrong files -------------------------------------------------------------------


def test_no_file(tmp_path):
    with pytest.raises(MissingFile, match="no such file"):
        read_stdmet(tmp_path / "none.txt")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it is empty"),
        ("\n\n", "it is empty"),
        ("<!DOCTYPE html>\n<title>404</title>", "it begins with '<!DOCTYPE html>'"),
        (LINE, "it begins with '2019 08 01"),
        (HEADER + "\n" + UNITS + "\n", "no line of it can be read: it has none"),
        (HEADER + "\nx\n", "no line of it can be read: wrong number of fields: 1"),
    ],
)
def test_what_is_no_table_is_damage(tmp_path, text, words):
    path = write(tmp_path, text)
    with pytest.raises(DamagedFile, match=re.escape(words)) as caught:
        read_stdmet(path)
    assert caught.value.where == str(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("YY MM DD hh .030 .040\n96 01 01 00 .06 .62\n", "a wave spectrum"),
        ("#YY MM DD hh mm .0200 .0325\n2020 01 01 00 40 0.0 0.0\n", "a wave spectrum"),
        ("#YY MM DD hh mm WDIR WSPD GDR GST GTIME\n", "no ATMP, WTMP, DEWP, PRES but WDIR WSPD"),
        (MODERN.replace("m/s  m/s", "kts  kts"), "WSPD is in kts, not m/s"),
        (MODERN.replace("degC  degC  degC", "degF  degF  degF"), "ATMP is in degF, not degC"),
        (
            MODERN.replace(" nmi    ft", "").replace("degC  degC  degC", "degC"),
            "WTMP is in nothing",
        ),
    ],
)
def test_other_kinds_of_file_are_refused(tmp_path, text, words):
    with pytest.raises(WrongFile, match=words):
        read_stdmet(write(tmp_path, text))


def test_damaged_gzip(tmp_path):
    path = tmp_path / "station.txt.gz"
    path.write_bytes(gzip.compress(MODERN.encode() * 50)[:-20])
    with pytest.raises(DamagedFile, match="cut short"):
        read_stdmet(path)


# --- TIDE came in the middle of 2000 --------------------------------------------------------------

WITHOUT_TIDE = "2000 01 01 00 120 05.4 06.9 01.50 08.30 05.80 999 1019.3  14.9  15.6  10.0 99.0"


def test_lines_of_2000_without_the_new_column_are_read_until_it_comes(tmp_path):
    header, line = Y2000.splitlines()
    later = WITHOUT_TIDE.replace("01 01 00", "03 01 00")
    lines = [header, WITHOUT_TIDE, WITHOUT_TIDE.replace("01 00", "01 01"), line, later]
    dataset = read_stdmet(write(tmp_path, "\n".join(lines)))
    assert dataset.sizes["time"] == 3 and dataset.rejected_reasons == "wrong number of fields: 1"
    assert dataset.dew_point_temperature.values[0] == pytest.approx(283.15)
    other_year = "\n".join([header, WITHOUT_TIDE.replace("2000", "2001"), line])
    assert read_stdmet(write(tmp_path, other_year)).rejected_lines == 1


def test_notes_between_lines_are_no_reports(tmp_path):
    noted = read_stdmet(write(tmp_path, f"{HEADER}\n{UNITS}\n{LINE}\n# new payload\n{SECOND}\n"))
    assert noted.sizes["time"] == 2 and noted.rejected_lines == 0


def test_underscores_are_no_part_of_numbers(tmp_path):
    dataset = read_stdmet(write(tmp_path, MODERN.replace(" 1017.3", " 10_7.3")))
    assert dataset.rejected_reasons == "not a number: 1"


# --- rows of the in-situ table --------------------------------------------------------------------


def test_a_real_year_becomes_rows(real_data):
    rows = whole(read, real_data / "insitu/ndbc/41002h2021.txt")
    check(rows)
    columns = rows.columns
    assert columns["time"].size == 12_215 and rows.rejected == {}
    # 2021 6 08 03 30 164 3.8 ... 1023.3 25.8 25.9 23.5
    assert str(columns["time"][0]) == "2021-06-08T03:30:00"
    assert set(columns["platform"]) == {b"41002"}
    assert (columns["latitude"][0], columns["longitude"][0]) == pytest.approx((31.759, 285.064))
    assert (columns["wind_speed"][0], columns["wind_from_direction"][0]) == (np.float32(3.8), 164)
    assert columns["air_temperature"][0] == np.float32(298.95)
    assert columns["sea_surface_temperature"][0] == np.float32(299.05)
    assert columns["air_pressure"][0] == 102_330
    # 28.96 hPa at 23.5 °C by Magnus, 0.4 % more in moist air.
    assert columns["specific_humidity"][0] == pytest.approx(0.01786, rel=2e-3)
    assert set(columns["air_temperature_quality"]) == {reports.GOOD, reports.MISSING}
    assert np.isnan(columns["height_wind"]).all()  # nobody says for this year


def test_real_recent_files_are_checked_less(real_data):
    rows = whole(read, real_data / "insitu/ndbc/41002_realtime2_201808.txt")
    check(rows)
    assert rows.rejected == {"no usable value": 23}
    assert set(rows.columns["wind_quality"]) == {reports.PROBABLY_GOOD, reports.MISSING}


def test_heights_hold_for_their_years(tmp_path):
    early = MODERN.replace("2019 08", "2010 08")
    rows = whole(read, write(tmp_path, early, "41002h2010.txt"))
    assert rows.columns["height_wind"].tolist() == [5, 5]
    assert rows.columns["height_air_temperature"].tolist() == [4, 4]


def test_a_station_nobody_knows_is_left_out_and_can_be_told(tmp_path):
    path = write(tmp_path, MODERN, "99999h2019.txt")
    rows = whole(read, path)
    reason = "position of station 99999 unknown: add it to a stations.csv beside its file"
    assert rows.rejected == {reason: 2} and rows.columns["time"].size == 0
    header = "station,latitude,longitude,height_wind,height_air,depth_water,heights_from"
    told = f"{header},heights_until\n99999,10,-20,4.1,3.7,1.5,,2019-08-01\n"
    (tmp_path / "stations.csv").write_text(told)
    columns = whole(read, path).columns
    assert columns["longitude"].tolist() == [340, 340]
    np.testing.assert_equal(columns["height_humidity"], np.float32([np.nan, 3.7]))  # with humidity
    assert columns["depth_sea_surface_temperature"][0] == 1.5


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("station,lat,lon\n", "its header is not station,latitude"),
        ("9,9,9\n", "line 2 cannot be read: it has 3 fields, not 8"),
        ("41002,x,0,,,,,\n", "line 2 cannot be read: could not convert"),
        ("41002,91,0,,,,,\n", "there is no such position"),
        ("41002,1,0,500,,,,\n", "a height is not above 0 m, or above 100 m"),
        ("41002,1,0,0,,,,\n", "a height is not above 0 m, or above 100 m"),
        ("41002,1,0,,-1,,,\n", "a height is not above 0 m, or above 100 m"),
        ("41002,1,0,,,-1,,\n", "a depth is below 0 m or above 100 m"),
        ("41002,1,0,5,,,2019-13-01,\n", "line 2 cannot be read"),
    ],
)
def test_a_damaged_table_of_stations_is_refused(tmp_path, text, words):
    header = "station,latitude,longitude,height_wind,height_air,depth_water,heights_from"
    whole_text = text if text.startswith("station") else f"{header},heights_until\n{text}"
    (tmp_path / "stations.csv").write_text(whole_text)
    with pytest.raises(DamagedFile, match=re.escape(words)):
        whole(read, write(tmp_path, MODERN, "41002h2019.txt"))


TOLD = """\
station,latitude,longitude,height_wind,height_air,depth_water,heights_from,heights_until
99999,10,-20,4.1,3.7,0,,
"""


@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig"])
def test_a_table_as_spreadsheets_save_it_is_read(tmp_path, coding):
    (tmp_path / "stations.csv").write_bytes(TOLD.replace("\n", "\r\n").encode(coding))
    columns = whole(read, write(tmp_path, MODERN, "99999h2019.txt")).columns
    assert columns["height_wind"][0] == np.float32(4.1)
    assert columns["depth_sea_surface_temperature"][0] == 0


@pytest.mark.parametrize(
    "told",
    [
        f"{TOLD}# Boëte\n".encode("latin-1"),
        TOLD.encode("utf-16"),
        f'{TOLD}"{"x" * 200_000}",,,,,,,\n'.encode(),
    ],
)
def test_a_table_that_is_no_csv_in_utf_8_is_refused(tmp_path, told):
    (tmp_path / "stations.csv").write_bytes(told)
    with pytest.raises(DamagedFile, match=r"it cannot be read as CSV in UTF-8: .*Save it as CSV"):
        whole(read, write(tmp_path, MODERN, "99999h2019.txt"))


@pytest.mark.parametrize(
    ("name", "station"),
    [
        ("41002h2021.txt", "41002"),
        ("41002.txt", "41002"),
        ("4100272006.txt.gz", "41002"),
        ("41002a2005.txt", "41002"),
        ("satls.txt", "SATLS"),
    ],
)
def test_stations_by_the_names_of_their_files(tmp_path, name, station):
    columns = whole(read, write(tmp_path, MODERN, name)).columns
    assert set(columns["platform"]) == {station.encode()}


@pytest.mark.parametrize("name", ["eb01h1976.txt", "buzm3h2000.txt"])
def test_early_buoys_and_coastal_stations_have_names_too(tmp_path, name):
    (reason,) = whole(read, write(tmp_path, MODERN, name)).rejected
    assert reason.startswith(f"position of station {name[: name.index('h')].upper()} unknown")


def test_a_name_without_a_station_is_refused(tmp_path):
    with pytest.raises(WrongFile, match="does not begin with a station"):
        whole(read, write(tmp_path, MODERN, "x.txt"))


def test_calm_has_no_direction_and_impossible_values_are_left_out(tmp_path):
    still = LINE.replace("231  1.6", "  0  0.0").replace("1017.3", "   0.0")
    row = whole(read, write(tmp_path, f"{HEADER}\n{UNITS}\n{still}\n", "41002h2019.txt")).columns
    assert row["wind_speed"][0] == 0 and np.isnan(row["wind_from_direction"][0])
    assert row["air_pressure_quality"][0] == reports.UNUSABLE


@settings(max_examples=25)
@given(st.data())
def test_flips_and_cuts_of_a_real_file(tmp_path_factory, real_data, data):
    raw = (real_data / "insitu/ndbc/46097h201908qc.txt").read_bytes()
    damaged = bytearray(raw[: data.draw(st.integers(1, 20_000))])
    for _ in range(data.draw(st.integers(0, 5))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        damaged[at] ^= 1 << data.draw(st.integers(0, 7))
    decoded(read, tmp_path_factory.getbasetemp() / "46097h2019.txt", bytes(damaged))
