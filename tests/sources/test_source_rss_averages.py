"""Averaged RSS maps: values as the provider prints them, names, and what else a file may be."""

import gzip
import pickle
import re
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from fluxengine.errors import DamagedFile, WrongFile
from fluxrecipes.sources import rss, rss_averages

SOURCES = rss_averages.SOURCES
LAND, MISSING = 255, 251
SHAPE = (8, 720, 1440)
# The maps that RSS prints values of: heading in the check file, ours, the day at which it stands.
PRINTED = [
    ("3-day File", "rss-windsat-3day", date(2006, 4, 9)),
    ("Weekly File", "rss-windsat-weekly", date(2006, 4, 9)),
    ("Monthly File", "rss-windsat-monthly", date(2006, 4, 1)),
]


def written(folder: Path, name: str, day: date, maps: np.ndarray) -> Path:
    path = folder / Path(SOURCES[name].path(day)).name
    path.write_bytes(gzip.compress(maps.tobytes(), compresslevel=1))
    return path


@pytest.mark.parametrize(("heading", "name", "day"), PRINTED)
def test_values_are_those_of_the_provider_s_check_file(heading, name, day, real_data, tmp_path):
    text = (real_data / "rss" / "windsat_v7.0.1_verify.txt").read_text()
    parts = re.split(r"\*{5,}", text)
    table = parts[[part.strip().lower() for part in parts].index(heading.lower()) + 1]
    rows = [line.split() for line in table.splitlines() if re.match(r"\s+\d+\s+\d+\s", line)]
    lon, lat = np.array(rows, float)[:, :2].astype(int).T - 1
    printed = np.array(rows, float)[:, 2:]
    assert printed.shape == (30, 8)
    scale = np.array([0.15, 0.2, 0.2, 0.3, 0.01, 0.1, 0.2, 1.5])  # of °C, m/s, mm, °
    offset = np.array([-3, 0, 0, 0, -0.05, 0, 0, 0])
    maps = np.full(SHAPE, LAND, np.uint8)
    steps = np.rint((printed - offset) / scale)
    maps[:, lat, lon] = np.where(printed == -999, MISSING, steps).T
    decoded = SOURCES[name].decode(written(tmp_path, name, day, maps), day)
    for number, layer in enumerate(rss.WINDSAT_LAYERS[1:]):
        values = layer.packing.unpack(decoded[layer.name].values[0, lat, lon])
        expected = np.where(printed[:, number] == -999, np.nan, printed[:, number])
        expected = expected + 273.15 * (number == 0)
        np.testing.assert_allclose(values, expected, atol=0.005, err_msg=layer.name)
        flags = decoded[f"{layer.name}_flag"].values[0]
        assert flags[0, 0] == LAND
        assert set(flags[lat, lon]) <= {rss.VALID, MISSING}


def test_a_daily_map_under_a_week_s_name_is_refused(tmp_path):
    """The names are the same."""
    day, name = date(2015, 12, 27), "rss-f17-weekly"
    daily = np.full((2, 5, 720, 1440), LAND, np.uint8)
    path = written(tmp_path, name, day, daily)
    assert path.name == Path(rss.SOURCES["rss-f17"].path(date(2016, 1, 2))).name
    with pytest.raises(WrongFile, match="an SSM/I or SSMIS daily map"):
        SOURCES[name].decode(path, day)


def test_a_length_of_no_layout_is_damage(tmp_path):
    day, name = date(2016, 1, 1), "rss-f17-monthly"
    path = written(tmp_path, name, day, np.zeros(12345, np.uint8))
    with pytest.raises(DamagedFile, match="12,345 bytes is the length of no RSS map"):
        SOURCES[name].decode(path, day)


def test_a_map_of_another_month_is_refused(tmp_path):
    name = "rss-f17-monthly"
    path = written(tmp_path, name, date(2016, 2, 1), np.zeros((4, 720, 1440), np.uint8))
    with pytest.raises(WrongFile, match=r"its name is not f17_201601v7\.gz"):
        SOURCES[name].decode(path, date(2016, 1, 1))


def test_periods_cover_those_of_the_daily_maps():
    assert set(SOURCES) == {
        f"{name}-{kind}" for name in rss.SOURCES for kind in ("3day", "weekly", "monthly")
    }
    for name, source in SOURCES.items():
        daily = rss.SOURCES[name.rpartition("-")[0]].grid.axes["time"]
        time = source.grid.axes["time"]
        assert time.day(0) <= daily.day(0)
        assert (time.size is None) == (daily.size is None)
    weekly = SOURCES["rss-f13-weekly"].grid
    assert weekly.step_key(0) == date(1995, 5, 7)  # the Sunday before the first day, a Tuesday
    assert weekly.step_key(weekly.shape[0] - 1) == date(2009, 11, 1)


@pytest.mark.parametrize(
    ("name", "day", "path"),
    [
        ("rss-f13-3day", date(2000, 12, 31), "ssmi/f13/bmaps_v07/y2000/m12/f13_20001231v7_d3d.gz"),
        ("rss-f13-weekly", date(2000, 12, 31), "ssmi/f13/bmaps_v07/weeks/f13_20010106v7.gz"),
        ("rss-f13-monthly", date(2000, 12, 1), "ssmi/f13/bmaps_v07/y2000/m12/f13_200012v7.gz"),
    ],
)
def test_the_provider_s_path(name, day, path):
    assert SOURCES[name].path(day) == path


def test_sources_travel_to_workers():
    day, source = date(2016, 1, 3), SOURCES["rss-gmi-weekly"]
    assert pickle.loads(pickle.dumps(source)).path(day) == source.path(day)
