"""The archive: the providers' formats, whole, the same bytes each time, and its own folder."""

from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
import sys
import threading
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr

from fluxkernels.bulk import bulk_flux
from fluxrecipes.nature import World, archive, instruments, land, platforms
from fluxrecipes.nature.fields import Points
from fluxrecipes.nature.files.kinds import Daily, Series, whole
from fluxrecipes.nature.files.table import Selection
from fluxrecipes.nature.record import ForeignFolder, OtherWorld, Record, merge_periods

SEED = 2018
FIRST, LAST = date(2018, 1, 31), date(2018, 2, 1)


def digests(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    }


def test_every_file_of_the_period_is_where_its_provider_keeps_it(root):
    names = set(digests(root))
    assert {
        "world.json",
        "README.txt",
        "rss/ssmi/f17/bmaps_v07/y2018/m01/f17_20180131v7.gz",
        "rss/ssmi/f17/bmaps_v07/y2018/m02/f17_20180201v7.gz",
        "oisst/v2.1/access/avhrr/201801/oisst-avhrr-v02r01.20180131.nc",
        "oisst/v2.1/access/avhrr/201802/oisst-avhrr-v02r01.20180201.nc",
        "ndbc/historical/stdmet/46006h2018.txt.gz",
        "ndbc/NOTICE.txt",
        "ndbc/stations.csv",
    } <= names
    own = {archive._LOCK, *(f"{p}/NOTICE.txt" for p in ("rss", "oisst", "ndbc"))}
    assert len(names - own) == (7 + len(platforms.STATIONS))


def test_the_record_says_simulated(root):
    record = json.loads((root / "world.json").read_text())
    assert record["simulated"] is True
    assert record["seed"] == SEED
    assert record["holds"] == {
        kind: [["2018-01-31", "2018-02-01"]] for kind in ("ndbc", "oisst", "rss-f17")
    }
    assert "SIMULATED" in (root / "README.txt").read_text()


def test_growing_by_days_in_worker_processes_gives_the_same_bytes(root, tmp_path):
    archive.simulate(tmp_path / "b", LAST, LAST, seed=SEED, processes=1)
    calls = []
    archive.simulate(
        tmp_path / "b", FIRST, LAST, seed=SEED, processes=2, progress=lambda *n: calls.append(n)
    )
    assert digests(tmp_path / "b") == digests(root)
    total = 2 + len(platforms.STATIONS)  # the other day's files, and the year's reports
    assert calls[0] == (0, total)
    assert calls[-1] == (total, total)


def test_files_already_there_are_kept_and_a_lost_one_comes_back(root):
    path = archive.rss_path(root, FIRST)
    before, kept = digests(root), archive.rss_path(root, LAST).stat().st_mtime_ns
    path.unlink()
    archive.simulate(root, FIRST, LAST, seed=SEED, processes=1)
    assert digests(root) == before
    assert archive.rss_path(root, LAST).stat().st_mtime_ns == kept


def test_foreign_folders_other_worlds_and_empty_periods_are_refused(root, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ForeignFolder, match="no simulated archive"):
        archive.simulate(tmp_path, FIRST, LAST, seed=SEED)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(OtherWorld, match="seed 2018"):
        archive.simulate(root, FIRST, LAST, seed=SEED + 1)
    with pytest.raises(archive.BadPeriod):
        archive.simulate(tmp_path / "new", LAST, FIRST, seed=SEED)
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn/world.json").write_text("{")
    with pytest.raises(ForeignFolder, match="cannot be read"):
        archive.simulate(tmp_path / "torn", FIRST, LAST, seed=SEED)


def test_a_record_keeps_what_another_process_noted(tmp_path):
    mine = Record.claim(tmp_path / "a", World(3))
    other = Record.claim(tmp_path / "a", World(3))
    other.add("oisst", [FIRST])
    other.write()
    mine.add("oisst", [LAST])
    mine.add("ndbc", [LAST])
    mine.write()
    found = Record.claim(tmp_path / "a", World(3))
    assert found.holds == {"oisst": [(FIRST, LAST)], "ndbc": [(LAST, LAST)]}
    assert found.held("oisst", 2018) == [FIRST, LAST]


DIARY = "diary.txt"


def kept(root: Path, year: int) -> dict[date, str]:
    """Days of a series that is a line for each."""
    path = root / DIARY
    lines = path.read_text().splitlines() if path.exists() else []
    return {date.fromisoformat(line): line for line in lines}


def put(root: Path, year: int, rows: dict[date, str]) -> None:
    with whole(root / DIARY) as part:
        part.write_text("".join(f"{rows[day]}\n" for day in sorted(rows)))


diary = Series("diary", lambda root, year: [root / DIARY], lambda world, day: str(day), kept, put)


@dataclass(frozen=True)
class Diary(Selection):
    """A selection of one series, which is written in a moment."""

    outputs: tuple[str, ...] = ()
    series: Series = diary

    def kinds(self) -> list[Daily | Series]:
        return [self.series]


def wrote(root: Path, first: int, last: int, series: Series = diary) -> None:
    record = Record.claim(root, World(3))
    days = date(2001, 1, first), date(2001, 1, last)
    archive.Writer(record, Diary(series=series), 1).write(*days, lambda done, of: None)


def test_two_that_add_to_a_series_at_once_lose_no_day(tmp_path):
    root, calls = tmp_path / "a", []
    other = threading.Thread(target=wrote, args=(root, 3, 4))

    def slowly(place: Path, year: int) -> dict[date, str]:
        found = kept(place, year)
        calls.append(year)
        if len(calls) == 3:  # it has read what it will write anew: now comes the other
            other.start()
            other.join(1)
        return found

    wrote(root, 1, 2, replace(diary, kept=slowly))
    other.join(30)
    assert not other.is_alive()
    days = [date(2001, 1, day) for day in (1, 2, 3, 4)]
    assert sorted(kept(root, 2001)) == days
    assert Record.claim(root, World(3)).holds == {"diary": [(days[0], days[-1])]}


def test_a_process_that_was_killed_while_it_wrote_keeps_nobody_out(tmp_path):
    root = tmp_path / "a"
    wrote(root, 1, 1)
    program = f"""
import os
from filelock import FileLock
FileLock({str(root / archive._LOCK)!r}).acquire()
os._exit(9)
"""
    assert subprocess.run([sys.executable, "-c", program]).returncode == 9
    wrote(root, 2, 2)
    assert len(kept(root, 2001)) == 2


def test_periods_join_where_they_touch():
    january = (date(2018, 1, 1), date(2018, 1, 31))
    february = (date(2018, 2, 1), date(2018, 2, 28))
    april = (date(2018, 4, 1), date(2018, 4, 2))
    joined = [(date(2018, 1, 1), date(2018, 2, 28)), april]
    assert merge_periods([april, february, january]) == joined


class TestRss:
    def test_size_and_codes(self, maps):
        land_cells = land.rss_land()
        assert (maps[:, :, land_cells] == instruments.LAND).all()
        assert not (maps[:, :, ~land_cells] == instruments.LAND).any()
        unseen = maps == instruments.NO_OBSERVATION
        assert (unseen == unseen[:, :1]).all()  # code 254 is the same in every layer
        time = maps[:, 0][(maps[:, 0] != instruments.LAND) & ~unseen[:, 0]]
        assert time.max() <= 240

    def test_morning_pass_comes_first(self, maps):
        hours = np.where(maps[:, 0] <= 240, maps[:, 0] * 0.1, np.nan)[:, 120:600]
        local = (hours + (0.125 + 0.25 * np.arange(1440)) / 15.0) % 24.0
        assert np.nanmedian(local, axis=(1, 2)) == pytest.approx([6.36, 18.36], abs=0.2)

    def test_land_count_is_near_the_real_maps(self):
        assert abs(int(land.rss_land().sum()) - 350_547) < 3_000

    def test_values_hold_the_scales(self):
        values = np.array([0.0, 7.13, 60.0, np.nan])
        assert instruments.quantise(values, 0.2, 0.0).tolist() == [0, 36, 250, 251]
        assert instruments.quantise(np.array([-0.2, 0.0]), 0.01, -0.05).tolist() == [0, 5]


class TestOisst:
    def test_xarray_opens_and_decodes_it(self, root):
        with xr.open_dataset(archive.oisst_path(root, LAST)) as day:
            assert day.time.values[0] == np.datetime64("2018-02-01T12:00")
            assert day.sst.dims == ("time", "zlev", "lat", "lon")
            np.testing.assert_array_equal(np.isnan(day.sst[0, 0]), land.oisst_land())
            assert float(day.sst.min()) >= -1.8001
            assert 28.0 < float(day.sst.max()) < 34.0
            assert 0.149 <= float(day.ice.min()) <= float(day.ice.max()) <= 1.0
            assert "SIMULATED" in day.attrs["title"]

    def test_its_structure_is_the_real_files(self, root, real_data):
        real = real_data / "oisst/oisst-avhrr-v02r01.20260701.nc"
        with (
            netCDF4.Dataset(archive.oisst_path(root, LAST)) as ours,
            netCDF4.Dataset(real) as theirs,
        ):
            assert {n: d.size for n, d in ours.dimensions.items()} == {
                n: d.size for n, d in theirs.dimensions.items()
            }
            assert list(ours.variables) == list(theirs.variables)
            for name, variable in theirs.variables.items():
                mine = ours[name]
                assert (mine.dtype, mine.dimensions) == (variable.dtype, variable.dimensions)
                assert mine.chunking() == variable.chunking()
                assert mine.filters() == variable.filters()
                assert mine.__dict__ == variable.__dict__

    def test_it_is_the_truth_with_small_errors(self, root, world):
        with xr.open_dataset(archive.oisst_path(root, LAST)) as day:
            seen = day.sst[0, 0].values.reshape(180, 4, 360, 4).mean(axis=(1, 3)) + 273.15
        true = world.daily_truth(np.datetime64(LAST)).sea_surface_temperature.values
        error = (seen - true)[40:140]
        assert abs(np.nanmean(error)) < 0.1
        assert 0.2 < np.nanstd(error) < 0.45


class TestNdbc:
    def lines(self, root: Path, station: str) -> list[str]:
        path = archive.ndbc_path(root, station, 2018)
        return gzip.decompress(path.read_bytes()).decode("ascii").splitlines()

    def test_layout_is_the_modern_one(self, root):
        head, units, *rows = self.lines(root, "46006")
        names = "#YY MM DD hh mm WDIR WSPD GST WVHT DPD APD MWD PRES ATMP WTMP DEWP VIS TIDE"
        assert " ".join(head.split()) == names
        assert units.startswith("#yr")
        assert all(len(row.split()) == 18 for row in rows)
        assert 44 <= len(rows) <= 48
        assert rows[0].startswith("2018 01 31 00 50")

    def test_columns_stand_where_the_real_files_have_them(self, root, real_data):
        real = (real_data / "insitu/ndbc/46097h201908qc.txt").read_text().splitlines()
        ours = self.lines(root, "46006")
        assert ours[0].split() == real[0].split()
        assert {len(row) for row in ours[2:]} == {len(row) for row in real[2:]}
        ends = [{i for i, c in enumerate(row) if c == " "} for row in (ours[2], real[2])]
        assert {16, 20, 25, 30} <= ends[0] & ends[1]

    def test_values_are_physical_or_the_missing_ones(self, root):
        for station in platforms.STATIONS:
            rows = np.array([r.split() for r in self.lines(root, station.name)[2:]], float)
            valid = lambda column, missing: column[column != missing]  # noqa: E731
            assert (valid(rows[:, 6], 99.0) < 40).all()
            assert ((valid(rows[:, 12], 9999.0) > 930) & (valid(rows[:, 12], 9999.0) < 1060)).all()
            both = (rows[:, 13] != 999.0) & (rows[:, 15] != 999.0)
            assert (rows[both, 15] <= rows[both, 13] + 1e-9).all()  # dew point, air

    def test_stations_stand_in_the_open_sea_on_all_oceans(self):
        for station in platforms.STATIONS:
            row, column = int((station.latitude + 90) * 4), int(station.longitude * 4)
            assert not land.rss_land()[row - 8 : row + 8, column - 8 : column + 8].any()
            assert abs(station.latitude) < 60
        assert len({station.name for station in platforms.STATIONS}) >= 8

    def test_values_at_the_sensors_give_back_those_of_10_m(self, world):
        stations = platforms.STATIONS
        row = np.array([int((station.latitude + 90) * 4) for station in stations])
        longitude = np.array([station.longitude for station in stations], np.float32)
        truth = world.state(Points(row, longitude, np.full(row.size, 596_000.0)))
        anemometer = np.array([station.anemometer for station in stations])
        heights = np.array([station.thermometer for station in stations])
        wind, air, humidity = platforms.at_sensors(truth, anemometer, heights)
        flux = bulk_flux(
            wind,
            truth.sea_surface_temperature.astype("f8"),
            air,
            humidity,
            height_wind=anemometer,
            height_temperature=heights,
            height_humidity=heights,
            pressure=truth.surface_pressure.astype("f8"),
        )
        assert (wind < truth.wind_speed).all()  # lower down it blows less
        np.testing.assert_allclose(flux.wind_speed_at_height, truth.wind_speed, atol=1e-3)
        np.testing.assert_allclose(flux.air_temperature_at_height, truth.air_temperature, atol=1e-3)
        np.testing.assert_allclose(
            flux.specific_humidity_at_height, truth.specific_humidity, atol=1e-6
        )
