"""ICOADS IMMA1: fields at their places, attachments by their lengths, flags, and damage."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluxengine.errors import DamagedFile, MissingFile, WrongFile
from fluxrecipes.sources import reports
from fluxrecipes.sources.icoads import CORE, read

from .insitu_fuzz import check, decoded, whole

# First place and width of the fields that the tests set, from the format's own table.
CORE_FIELDS = {
    "YR": (0, 4), "MO": (4, 2), "DY": (6, 2), "HR": (8, 4), "LAT": (12, 5), "LON": (17, 6),
    "IM": (23, 2), "ATTC": (25, 1), "ID": (34, 9), "D": (46, 3), "WI": (49, 1), "W": (50, 3),
    "SLP": (59, 5), "AT": (69, 4), "WBT": (74, 4), "DPT": (79, 4), "SST": (85, 4),
}  # fmt: skip
ICOADS_FIELDS = {
    "PT": (16, 2), "DUPS": (18, 2), "SF": (40, 1), "AF": (41, 1), "UF": (42, 1), "VF": (43, 1),
    "PF": (44, 1), "RF": (45, 1), "ZNC": (46, 1), "WNC": (47, 1), "PNC": (51, 1), "LZ": (62, 1),
}  # fmt: skip
SHIP_FIELDS = {"DOS": (32, 2), "HOT": (37, 3), "HOA": (43, 3)}
USUAL = {
    "YR": 2010, "MO": 7, "DY": 1, "HR": 1250, "LAT": -1234, "LON": 18000, "IM": 1, "ATTC": 1,
    "ID": "ABCD     ", "D": 270, "WI": 1, "W": 55, "SLP": 10132, "AT": 250, "DPT": 200, "SST": 261,
}  # fmt: skip


def put(width: int, places: dict, values: dict) -> str:
    text = [" "] * width
    for name, value in values.items():
        first, size = places[name]
        text[first : first + size] = f"{value!s:>{size}}"
    return "".join(text)


def core(**changes) -> str:
    return put(CORE, CORE_FIELDS, USUAL | changes)


def icoads(**values) -> str:
    return " 165" + put(65, ICOADS_FIELDS, {"PT": 5, "DUPS": 0} | values)[4:]


def ship(**values) -> str:
    return " 758" + put(58, SHIP_FIELDS, values)[4:]


def written(folder: Path, *lines: str, end: str = "\n") -> Path:
    path = folder / "reports.imma"
    path.write_text("\n".join(lines) + end)
    return path


def one(folder: Path, *lines: str) -> dict:
    """The columns of the only row."""
    rows = whole(read, written(folder, *lines))
    assert rows.columns["time"].size == 1, rows.rejected
    return {name: column[0] for name, column in rows.columns.items()}


# --- real files -----------------------------------------------------------------------------------


def test_real_buoys_are_as_their_text_says(real_data):
    rows = whole(read, real_data / "insitu/imma/063-714_2010-07_subset.imma")
    check(rows)
    assert rows.columns["time"].size == 4663 and rows.rejected == {"no usable value": 337}
    names = rows.columns["platform"].tolist()
    assert set(rows.columns["feed"]) == {reports.ICOADS}

    def value(platform: bytes, name: str):
        return rows.columns[name][names.index(platform)]

    # The provider's own record, behind the report, repeats these in other units and more digits.
    assert value(b"23009", "latitude") == pytest.approx(15.00)
    assert value(b"23009", "longitude") == pytest.approx(90.01)
    assert value(b"23009", "wind_speed") == pytest.approx(5.1)
    assert value(b"23009", "wind_from_direction") == 200
    assert value(b"23009", "air_pressure") == pytest.approx(100_250)
    assert value(b"23009", "air_temperature") == pytest.approx(301.75)
    assert value(b"23009", "sea_surface_temperature") == pytest.approx(302.85)
    assert value(b"23009", "platform_kind") == reports.MOORED
    assert value(b"23009", "humidity_form") == reports.DEW_POINT
    # Dew point 25.9 °C: 33.42 hPa by Magnus' formula, 0.4 % more in moist air; at 1002.5 hPa.
    assert value(b"23009", "specific_humidity") == pytest.approx(0.02108, rel=2e-3)
    assert value(b"25595", "sea_surface_temperature") == pytest.approx(277.65)
    assert value(b"25595", "platform_kind") == reports.DRIFTING
    assert np.isnan(value(b"25595", "air_temperature"))


def test_every_value_of_a_real_file_is_the_one_in_its_columns(real_data):
    path = real_data / "insitu/imma/063-714_2010-07_subset.imma"
    rows = whole(read, path)
    theirs = {}
    for line in path.read_text().splitlines():
        key = (line[34:43].strip().encode(), line[:12])
        theirs.setdefault(key, []).append((line[85:89], line[59:64], line[69:73]))
    seconds = rows.columns["time"] - rows.columns["time"].astype("M8[D]")
    hundredths = seconds.astype(int) // 36
    seen = 0
    for i, platform in enumerate(rows.columns["platform"].tolist()):
        year, month, day = str(rows.columns["time"][i])[:10].split("-")
        key = (platform, f"{year}{int(month):2d}{int(day):2d}{hundredths[i]:4d}")
        for column, place, scale, offset in (
            ("sea_surface_temperature", 0, 0.1, 273.15),
            ("air_pressure", 1, 10, 0),
            ("air_temperature", 2, 0.1, 273.15),
        ):
            found = rows.columns[column][i]
            if not np.isnan(found):
                texts = [given[place] for given in theirs[key] if given[place].strip()]
                close = [abs(int(text) * scale + offset - found) < 0.01 for text in texts]
                assert any(close), (key, column, found, texts)
                seen += 1
    assert seen > 6000


def test_reports_that_icoads_throws_out_stay_and_say_so(real_data):
    rows = whole(read, real_data / "insitu/imma/icoads_r300_d700_2002-08-01_subset.imma")
    check(rows)
    assert rows.columns["report_status"].tolist() == [reports.DISMISSED] * 5
    assert rows.columns["air_temperature"][:2] == pytest.approx([274.95, 273.35])
    assert rows.columns["wind_speed"][1] == 4 and rows.columns["wind_from_direction"][1] == 40


# --- fields ---------------------------------------------------------------------------------------


def test_a_ship_with_all_that_is_used(tmp_path):
    row = one(tmp_path, core() + icoads(SF=1, AF=1, UF=1, VF=1, PF=1, RF=1) + ship(HOA=25, HOT=18))
    assert str(row["time"]) == "2010-07-01T12:30:00"
    assert row["platform"] == b"ABCD" and row["platform_kind"] == reports.SHIP
    assert (row["latitude"], row["longitude"]) == (np.float32(-12.34), 180)
    assert (row["wind_speed"], row["wind_from_direction"]) == (5.5, 270)
    assert row["air_temperature"] == np.float32(298.15)
    assert row["sea_surface_temperature"] == np.float32(299.25)
    assert row["air_pressure"] == 101_320
    assert row["wind_method"] == reports.MEASURED and row["report_status"] == reports.ACCEPTED
    heights = [row[f"height_{name}"] for name in ("wind", "air_temperature", "humidity")]
    assert heights == [25, 18, 18]
    qualities = [row[f"{name}_quality"] for name in reports.JUDGED]
    assert qualities == [reports.GOOD] * 5


@pytest.mark.parametrize("metres", [0, 101, 999])
def test_heights_of_no_ship_are_unknown(tmp_path, metres):
    row = one(tmp_path, core(ATTC=2) + icoads() + ship(HOT=metres, HOA=metres, DOS=0))
    heights = [row[f"height_{name}"] for name in ("wind", "air_temperature", "humidity")]
    assert np.isnan(heights).all()
    assert row["depth_sea_surface_temperature"] == 0


def test_the_wet_bulb_gives_the_humidity_where_there_is_no_dew_point(tmp_path):
    row = one(tmp_path, core(DPT="", WBT=210) + icoads())
    assert row["humidity_form"] == reports.WET_BULB
    # Psychrometer: e = es(21) - 6.6e-4 p (25 - 21) = 24.87 - 2.67 = 22.2 hPa; q = 13.75 g/kg.
    assert row["specific_humidity"] == pytest.approx(0.01375, rel=0.01)


@pytest.mark.parametrize(
    ("changes", "speed", "direction", "quality"),
    [
        ({"D": 361, "W": 0}, 0, np.nan, reports.NOT_CHECKED),
        ({"D": 362}, 5.5, np.nan, reports.NOT_CHECKED),
        ({"D": ""}, 5.5, np.nan, reports.NOT_CHECKED),
        ({"D": 360}, 5.5, 0, reports.NOT_CHECKED),
        ({"D": 361}, 5.5, np.nan, reports.DOUBTFUL),  # a calm that blows
        ({"D": 400}, 5.5, np.nan, reports.DOUBTFUL),
        ({"D": -50}, 5.5, np.nan, reports.DOUBTFUL),
        ({"D": 0}, 5.5, np.nan, reports.DOUBTFUL),
        ({"W": ""}, np.nan, np.nan, reports.MISSING),
        ({"W": "5x"}, np.nan, np.nan, reports.UNUSABLE),
        ({"W": 999}, np.nan, np.nan, reports.UNUSABLE),
    ],
)
def test_calms_variable_winds_and_what_is_no_wind(tmp_path, changes, speed, direction, quality):
    row = one(tmp_path, core(**changes) + icoads())
    np.testing.assert_equal([row["wind_speed"], row["wind_from_direction"]], [speed, direction])
    assert row["wind_quality"] == quality


@pytest.mark.parametrize(
    ("flags", "quality"),
    [
        ({"SF": "1"}, reports.GOOD),
        ({"SF": "3"}, reports.DOUBTFUL),
        ({"SF": "7"}, reports.REJECTED),
        ({"SF": "C"}, reports.NOT_CHECKED),
        ({"SF": "E"}, reports.REJECTED),
        ({"SF": "#"}, reports.NOT_CHECKED),
        ({}, reports.NOT_CHECKED),
    ],
)
def test_trimming_flags(tmp_path, flags, quality):
    row = one(tmp_path, core() + icoads(**flags))
    assert row["sea_surface_temperature_quality"] == quality
    assert np.isnan(row["sea_surface_temperature"]) == (quality == reports.REJECTED)


def test_flags_of_ncdc_count_where_they_are_worse(tmp_path):
    row = one(tmp_path, core() + icoads(UF=1, VF=1, WNC=5, PF=1, PNC=8))
    assert row["wind_quality"] == reports.DOUBTFUL
    assert row["air_pressure_quality"] == reports.REJECTED


@pytest.mark.parametrize(
    ("flags", "status"),
    [
        ({"DUPS": 2}, reports.ACCEPTED),
        ({"DUPS": 3}, reports.DUPLICATE),
        ({"DUPS": 14}, reports.DISMISSED),
        ({"LZ": 1}, reports.DISMISSED),
        ({"ZNC": 7}, reports.DISMISSED),
    ],
)
def test_status_of_whole_reports(tmp_path, flags, status):
    assert one(tmp_path, core() + icoads(**flags))["report_status"] == status


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"HR": ""}, "no valid time"),
        ({"HR": 2400}, "no valid time"),
        ({"DY": ""}, "no valid time"),
        ({"DY": 31, "MO": 2}, "no valid time"),
        ({"MO": 13}, "no valid time"),
        ({"YR": "2O10"}, "no valid time"),
        ({"LAT": ""}, "no valid position"),
        ({"LAT": 9001}, "no valid position"),
        ({"LON": 36001}, "no valid position"),
        ({"LAT": "1-23"}, "no valid position"),
        ({"IM": 0}, "not version 1 of IMMA"),
        (dict.fromkeys(("W", "SLP", "AT", "DPT", "SST"), ""), "no usable value"),
    ],
)
def test_reports_left_out_say_why(tmp_path, changes, reason):
    path = written(tmp_path, core() + icoads(), core() + icoads(), core(**changes) + icoads())
    rows = whole(read, path)
    assert rows.columns["time"].size == 2 and rows.rejected == {reason: 1}


def test_longitudes_of_both_conventions(tmp_path):
    rows = whole(read, written(tmp_path, *(core(LON=lon) for lon in (-1000, 35000, 0, 36000))))
    assert rows.columns["longitude"].tolist() == [350, 350, 0, 0]


# --- attachments ----------------------------------------------------------------------------------


def test_attachments_are_found_by_their_lengths(tmp_path):
    long = " 82U" + "x" * 98  # 2U is 102 in base 36
    supplement = "99 0" + "anything, 1650 really"
    row = one(tmp_path, core() + long + ship(HOA=30) + icoads(PT=6) + supplement)
    assert row["height_wind"] == 30 and row["platform_kind"] == reports.MOORED


@pytest.mark.parametrize(
    "tail", ["", "    ", " ", icoads()[:50].rstrip(), icoads() + "99  more", icoads() + " " * 30]
)
def test_trimmed_and_padded_lines_are_read(tmp_path, tail):
    assert one(tmp_path, core() + tail)["sea_surface_temperature"] == np.float32(299.25)


@pytest.mark.parametrize("tail", ["x165", " 1 3", " 1-5abc", "??" * 20])
def test_broken_attachments_spoil_their_line(tmp_path, tail):
    rows = whole(read, written(tmp_path, core() + icoads(), core() + tail + " " * 9))
    assert rows.rejected == {"attachments not as the format says": 1}


def test_a_byte_too_few_in_the_core_is_noticed(tmp_path):
    shifted = core()[:50] + core()[51:] + icoads()
    rows = whole(read, written(tmp_path, core() + icoads(), shifted))
    assert rows.columns["time"].size == 1
    assert rows.rejected == {"attachments not as the format says": 1}


# --- forms of files, and damage -------------------------------------------------------------------


def test_gzip_and_line_ends_and_blank_lines_change_nothing(tmp_path):
    line = core() + icoads(SF=1)
    plain = whole(read, written(tmp_path, line, line))
    (tmp_path / "x.gz").write_bytes(gzip.compress(f"{line}\r\n\n{line}".encode()))
    packed = whole(read, tmp_path / "x.gz")
    for name, column in plain.columns.items():
        np.testing.assert_array_equal(packed.columns[name], column)


def test_a_file_read_in_many_blocks_is_the_same(tmp_path, monkeypatch):
    lines = [core(ID=f"{i:<9}") + icoads() for i in range(200)]
    path = written(tmp_path, *lines)
    at_once = whole(read, path)
    monkeypatch.setattr("fluxrecipes.sources.icoads.BLOCK", 1000)
    monkeypatch.setattr("fluxrecipes.sources.reports.PART", 2)
    assert at_once.columns["platform"].tolist() == [str(i).encode() for i in range(200)]
    for name, column in whole(read, path).columns.items():
        np.testing.assert_array_equal(at_once.columns[name], column)


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("", DamagedFile, "it is empty"),
        ("\n\n", DamagedFile, "it is empty"),
        ("<html>404</html>\n" * 9, DamagedFile, "from byte 0 on, most of 9 lines do not say"),
        (core(IM=0), WrongFile, "version 0"),
        ("x" * 200_000, DamagedFile, "more than 65,536 bytes"),
        (core()[:40] + "\n", DamagedFile, "none of its 1 lines follows the format"),
    ],
)
def test_other_files_are_refused(tmp_path, text, error, words):
    with pytest.raises(error, match=words):
        whole(read, written(tmp_path, text, end=""))


def test_no_file_and_a_bomb(tmp_path):
    with pytest.raises(MissingFile):
        whole(read, tmp_path / "none")
    bomb = tmp_path / "bomb.gz"
    bomb.write_bytes(gzip.compress((core() + "\n").encode() * 300_000))
    with pytest.raises(DamagedFile, match="more than 100 times its size"):
        whole(read, bomb)


@settings(max_examples=25)
@given(st.lists(st.one_of(st.binary(max_size=300), st.just((core() + icoads()).encode()))))
def test_whatever_is_in_a_file_it_is_decoded_or_refused(tmp_path_factory, lines):
    decoded(read, tmp_path_factory.getbasetemp() / "any.imma", b"\n".join(lines))


@settings(max_examples=25)
@given(st.data())
def test_flips_and_cuts_of_a_real_file(tmp_path_factory, real_data, data):
    raw = (real_data / "insitu/imma/063-714_2010-07_subset.imma").read_bytes()[:30_000]
    length = data.draw(st.integers(0, len(raw)))
    damaged = bytearray(raw[: length or None])
    for _ in range(data.draw(st.integers(0, 5))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        damaged[at] ^= 1 << data.draw(st.integers(0, 7))
    decoded(read, tmp_path_factory.getbasetemp() / "flipped.imma", bytes(damaged))


@settings(max_examples=25)
@given(st.integers(0, 2 * len(core() + icoads())))
def test_a_cut_never_invents_a_value(tmp_path_factory, length):
    line = core() + icoads(SF=1)
    folder = tmp_path_factory.mktemp("cut")
    full = whole(read, written(folder, line, line))
    (folder / "cut").write_text(f"{line}\n{line}\n"[:length])
    rows = decoded(read, folder / "cut", (folder / "cut").read_bytes())
    if rows is None:
        return
    for name in ("sea_surface_temperature", "wind_speed", "air_pressure", "latitude"):
        size = rows.columns["time"].size
        np.testing.assert_array_equal(rows.columns[name], full.columns[name][:size])
