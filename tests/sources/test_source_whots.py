"""WHOTS raw text: the middle of the hour, where the wind comes from, and junk left out."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluxengine.errors import DamagedFile, MissingFile, WrongFile
from fluxrecipes.sources import reports
from fluxrecipes.sources.whots import read

from .insitu_fuzz import check, decoded, whole

REAL = "insitu/whots/WHOTS-XX_MET_sys1.txt"
HEADER = """\
% WHOTS-XX sys1 SN3 RAW full 28-Sep-2025.
% Time word is the time at the start of the averaging period.
% year mo day  hr    yday     BPR   ATMP   STMP   WNDE   WNDN  WSPD  WDIR     RH
%             UTC            mbar   degC   degC    m/s    m/s   m/s   deg      %
"""
LINE = "  2024 12  26  10 361.438 1019.81 24.580 25.223  -3.99   3.54   5.3 311.6  76.55\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "WHOTS_MET_sys1.txt"
    path.write_text(text)
    return path


def test_the_real_file(real_data):
    rows = whole(read, real_data / REAL)
    check(rows)
    columns = rows.columns
    assert columns["time"].size == 10_817 and rows.rejected == {}
    at = columns["time"].tolist().index(np.datetime64("2025-08-20T21:30:00").item())
    # 2025 8 20 21: 1018.37 mbar, 33.930 and 26.780 °C, 7.0 m/s towards 254.9°, 13.05 % (broken)
    assert columns["air_pressure"][at] == 101_837
    assert columns["air_temperature"][at] == np.float32(307.08)
    assert columns["sea_surface_temperature"][at] == np.float32(299.93)
    assert columns["wind_speed"][at] == 7
    assert columns["wind_from_direction"][at] == np.float32(74.9)
    assert columns["humidity_quality"][at] == reports.UNUSABLE
    assert np.isnan(columns["specific_humidity"][at])
    assert set(columns["platform"]) == {b"WHOTS"} and columns["longitude"][0] == 202


def test_junk_of_the_real_file_is_left_out_and_only_junk(real_data):
    path = real_data / REAL
    numbers = np.array([line.split() for line in path.read_text().splitlines()[5:]], float)
    columns = whole(read, path).columns
    for column, name, scale, offset, low, high in (
        (5, "air_pressure", 100, 0, 980, 1040),
        (6, "air_temperature", 1, 273.15, 14, 35),
        (7, "sea_surface_temperature", 1, 273.15, 18, 34),
    ):
        raw = numbers[:, column]
        expected = np.where((raw >= low) & (raw <= high), raw * scale + offset, np.nan)
        np.testing.assert_allclose(columns[name], expected, rtol=1e-6)
        assert np.isnan(expected).any()  # the file has junk in each of them
    assert (numbers[:, 6] == -20).sum() > 0 and numbers[:, 5].max() > 1500


def test_a_line_in_full(tmp_path):
    columns = whole(read, written(tmp_path, HEADER + LINE)).columns
    assert columns["time"].astype(str).tolist() == ["2024-12-26T10:30:00"]
    assert columns["wind_from_direction"][0] == np.float32(131.6)
    # 76.55 % of 30.9 hPa at 24.58 °C and 1019.81 hPa.
    assert columns["specific_humidity"][0] == pytest.approx(0.01458, rel=5e-3)
    assert columns["humidity_form"][0] == reports.RELATIVE
    assert columns["wind_quality"][0] == reports.NOT_CHECKED


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (LINE.replace(" 12  26", " 13  26"), "no valid time"),
        (LINE.replace(" 12  26  10", " 12  26  24"), "no valid time"),
        (LINE.replace("76.55", "76.5S"), "not a number"),
        (LINE.replace("76.55", ""), "wrong number of fields"),
        (LINE.replace("76.55", "7 6.55"), "wrong number of fields"),
    ],
)
def test_lines_left_out_say_why(tmp_path, line, reason):
    rows = whole(read, written(tmp_path, HEADER + LINE + line))
    assert rows.columns["time"].size == 1 and rows.rejected == {reason: 1}


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("", DamagedFile, "names its columns"),
        (LINE, DamagedFile, "names its columns"),
        (HEADER, DamagedFile, "not one line"),
        (HEADER.replace("ATMP", "TEMP") + LINE, WrongFile, "it has no ATMP but"),
        (HEADER.replace("WHOTS-XX", "NTAS-XX") + LINE, WrongFile, "does not name WHOTS"),
        (HEADER.replace("mbar", "inHg") + LINE, WrongFile, "BPR is in inHg, not mbar"),
        (HEADER.replace("start", "end") + LINE, WrongFile, "start of the averaging period"),
    ],
)
def test_other_files_are_refused(tmp_path, text, error, words):
    with pytest.raises(error, match=words):
        whole(read, written(tmp_path, text))


def test_no_file(tmp_path):
    with pytest.raises(MissingFile):
        whole(read, tmp_path / "none")


@settings(max_examples=25)
@given(st.data())
def test_flips_and_cuts_of_the_real_file(tmp_path_factory, real_data, data):
    damaged = bytearray((real_data / REAL).read_bytes()[: data.draw(st.integers(1, 20_000))])
    for _ in range(data.draw(st.integers(0, 5))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        damaged[at] ^= 1 << data.draw(st.integers(0, 7))
    decoded(read, tmp_path_factory.getbasetemp() / "WHOTS_MET_sys1.txt", bytes(damaged))


@settings(max_examples=25)
@given(st.binary(max_size=300))
def test_whatever_follows_the_header_it_is_decoded_or_refused(tmp_path_factory, tail):
    decoded(read, tmp_path_factory.getbasetemp() / "WHOTS_any.txt", HEADER.encode() + tail)


@pytest.mark.parametrize("length", range(1, len(LINE) - 4, 3))
def test_a_cut_never_invents_a_value(tmp_path, length):
    rows = whole(read, written(tmp_path, HEADER + LINE + LINE[:-length]))
    assert rows.columns["time"].size == 1
    assert rows.rejected == {"the file ends within the line": 1}
