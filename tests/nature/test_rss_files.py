"""Satellite maps of the simulated world, read back by the recipes that read the provider's."""

from __future__ import annotations

import gzip
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from fluxrecipes.nature import World, archive, instruments, land
from fluxrecipes.nature.fields import Points
from fluxrecipes.nature.files import rss as maps
from fluxrecipes.nature.files import rss_averages
from fluxrecipes.nature.files.table import Selection
from fluxrecipes.nature.orbits import SATELLITES
from fluxrecipes.nature.record import OtherWorld
from fluxrecipes.sources import rss
from fluxrecipes.sources.rss_averages import AVERAGES, Maps

DAY = date(2018, 2, 1)
SEA = ~land.rss_land()
BAND = slice(120, 600)  # 60 S to 60 N
SENSORS = {"f18": 5, "amsr2": 7, "windsat": 9}


@pytest.fixture(scope="module")
def written(world: World, tmp_path_factory) -> dict[str, Path]:
    """A day of a satellite of each kind, in the provider's names."""
    folder = tmp_path_factory.mktemp("rss")
    paths = {}
    for name in SENSORS:
        paths[name] = folder / SATELLITES[name].instrument.file_name(DAY)
        maps.write(world, paths[name], SATELLITES[name], DAY)
    return paths


@pytest.fixture(scope="module")
def days(written) -> dict[str, xr.Dataset]:
    return {name: SATELLITES[name].instrument.decode(path, DAY) for name, path in written.items()}


def raw(path: Path, layers: int) -> np.ndarray:
    return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8).reshape(2, layers, 720, 1440)


def decoded(day: xr.Dataset, name: str) -> np.ndarray:
    """Values of both passes, NaN where there is none."""
    return xr.decode_cf(day)[name].values[0]


@pytest.mark.parametrize("name", SENSORS)
def test_what_is_written_is_what_is_decoded(written, days, name):
    """Every byte comes back, as a value or as the flag that stands for it."""
    instrument, day = SATELLITES[name].instrument, days[name]
    assert day.attrs["pass_order_from"] == "times of observation"
    bytes_written = raw(written[name], SENSORS[name])
    if instrument.first_map == "descending":
        bytes_written = bytes_written[::-1]
    for layer, variable in enumerate(instrument.layers):
        flag = day[f"{variable.name}_flag"].values[0]
        back = np.where(flag == rss.VALID, day[variable.name].values[0], flag)
        np.testing.assert_array_equal(back, bytes_written[:, layer])


def test_decoded_values_are_the_retrievals_to_the_packing_step(world, days):
    day, which, satellite = np.datetime64(DAY), "ascending", SATELLITES["f18"]
    hours = instruments.observation_hours(satellite, day, which)
    points, column = instruments.pass_points(hours, day, np.isfinite(hours) & SEA)
    truth = world.state(points)
    got = decoded(days["f18"], "water_vapour")[0][points.row, column]
    same = np.isfinite(got) & (truth.sea_ice_fraction < 0.1)
    error = got[same] - truth.water_vapour[same]
    assert abs(error.mean()) < 0.5 and error.std() < 2.0
    seconds = days["f18"]["pass_time"].values[0, 0][points.row, column]
    seen = seconds <= 240
    apart = seconds[seen] * 0.1 - hours[points.row, column][seen]
    assert np.abs(apart).max() <= 0.05 + 1e-9


def test_satellites_do_not_share_their_errors_but_versions_do(world):
    points = Points(np.arange(300, 400), np.full(100, 200.0, "f4"), np.full(100, 6e5))
    draws = {
        name: instruments.Errors.of_pass(world, one.instrument.prefix, 4, points)
        for name, one in SATELLITES.items()
    }
    np.testing.assert_array_equal(draws["amsr2"].white, draws["amsr2-v7.2"].white)
    for part in ("white", "swath"):
        first = {getattr(errors, part)[0, :2].tobytes() for errors in draws.values()}
        assert len(first) == len(SATELLITES) - 1


def test_shares_of_lost_cells_are_those_of_a_real_day_of_amsr2(days):
    """251 there: SST 20 %, wind LF 16, MF 11-14, vapour 0.5, cloud and rain at most 0.2."""

    def share(name: str) -> float:
        flags = days["amsr2"][f"{name}_flag"].values[0]
        return 100 * (flags[:, BAND][:, SEA[BAND]] == 251).mean()

    assert 14 < share("sea_surface_temperature") < 24
    assert 8 < share("wind_speed") < 16
    assert share("wind_speed_lf") > share("wind_speed") - 1
    assert share("water_vapour") < 1
    assert share("cloud_liquid_water") <= 0.2 and share("rain_rate") <= 0.2


def test_the_two_winds_of_amsr2_differ_as_on_a_real_day(days):
    low, high = (decoded(days["amsr2"], name) for name in ("wind_speed_lf", "wind_speed"))
    difference, cloud = low - high, decoded(days["amsr2"], "cloud_liquid_water")
    for (begin, end), spread in (((0, 3), 0.24), ((6, 9), 0.41), ((12, 16), 0.58)):
        calm = (high >= begin) & (high < end) & np.isfinite(difference)
        assert difference[calm].std() == pytest.approx(spread, abs=0.14)
    assert np.nanmean(difference[cloud < 0.02]) == pytest.approx(0.19, abs=0.06)
    assert np.nanmean(difference[cloud > 0.18]) == pytest.approx(-0.32, abs=0.12)


def test_windsat_sees_the_wind_in_rain_and_where_it_blows(world, days):
    day = days["windsat"]
    assert not (day["wind_speed_aw_flag"].values == 251).any()
    toward = decoded(day, "wind_to_direction")
    assert np.nanmin(toward) >= 0 and np.nanmax(toward) <= 360
    north_east_trades = toward[:, 410:450, 720:880]  # 12 to 22 N, mid-Pacific
    assert 200 < np.nanmedian(north_east_trades) < 290


def test_sst_of_amsr2_is_that_of_the_sea_at_the_time(days, root):
    with xr.open_dataset(archive.oisst_path(root, DAY)) as analysis:
        cold = analysis.sst[0, 0].values + 273.15
    difference = decoded(days["amsr2"], "sea_surface_temperature") - cold
    assert abs(np.nanmean(difference)) < 0.3 and 0.3 < np.nanstd(difference) < 1.0


# --- averages ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def month(tmp_path_factory) -> Path:
    """An archive that pretends to hold January and half of February 2018 of WindSat.

    The maps are tiny inventions: what is tested is which means are made, and how.
    """
    root = tmp_path_factory.mktemp("averages")
    for n in range(45):
        day = date(2018, 1, 1) + timedelta(days=n)
        made = np.full((2, 9, 720, 1440), 254, np.uint8)
        made[..., 700:, :] = 255
        made[:, 1:, 300:400] = 100 + n
        made[0, 8, 300:400], made[1, 8, 300:400] = 236, 2  # directions of 354° and 3°
        made[1, 1:, 400:410], made[:, 1:, 410:420] = 251, 252
        path = maps.path(SATELLITES["windsat"], root, day)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(made.tobytes(), 1))
    return root


def test_averages_are_read_back_and_are_means_of_their_days(month):
    satellite = SATELLITES["windsat"]
    due = dict(rss_averages.due(satellite, date(2018, 1, 7), date(2018, 1, 31)))
    for average, stamp, n in (("3day", date(2018, 1, 9), 7), ("weekly", date(2018, 1, 7), 9)):
        (kind,) = (one for one in AVERAGES if one.name == average)
        source = Maps(satellite.instrument, kind)
        place = f"rss/{source.path(stamp)}"
        path = month / place
        path.parent.mkdir(parents=True, exist_ok=True)
        dailies = [maps.path(satellite, month, day) for day in due[place]]
        rss_averages.write(path, satellite, dailies)
        found = source.decode(path, stamp)
        assert (found["wind_speed"].values[0, 300:400] == 100 + n).all()
        assert set(np.unique(found["wind_to_direction"].values[0, 300:400])) <= {238, 239, 0}
        flags = found["wind_speed_flag"].values[0]
        assert (flags[400:410] == 251).all() and (flags[410:420] == 252).all()
        assert (flags[700:] == 255).all() and (flags[:300] == 254).all()


def test_which_means_a_period_asks_for():
    due = dict(rss_averages.due(SATELLITES["windsat"], date(2018, 1, 31), date(2018, 2, 1)))
    lengths = {place.rpartition("/")[2]: len(days) for place, days in due.items()}
    assert lengths == {
        "wsat_20180131v7.0.1_d3d.gz": 3,
        "wsat_20180201v7.0.1_d3d.gz": 3,
        "wsat_20180202v7.0.1_d3d.gz": 3,
        "wsat_20180203v7.0.1_d3d.gz": 3,
        "wsat_20180203v7.0.1.gz": 7,
        "wsat_201801v7.0.1.gz": 31,
        "wsat_201802v7.0.1.gz": 28,
    }
    first = dict(rss_averages.due(SATELLITES["f13"], date(1995, 5, 9), date(1995, 5, 9)))
    assert min(len(days) for days in first.values()) == 1  # no days before the series


def test_only_means_whose_days_are_all_there_are_written(month):
    writer = archive.Writer(
        archive.Record(month, World(1), {}),
        Selection(outputs=("rss-averages",), satellites=("windsat",)),
        processes=1,
    )
    lacking = writer._averages(date(2018, 1, 1), date(2018, 2, 14))
    names = {path.name for path, _, _ in lacking}
    assert "wsat_201801v7.0.1.gz" in names  # January is whole, February is not
    assert "wsat_201802v7.0.1.gz" not in names
    assert "wsat_20180210v7.0.1.gz" in names and "wsat_20180217v7.0.1.gz" not in names
    assert "wsat_20180101v7.0.1_d3d.gz" not in names  # the last days of 2017 are missing


def test_hours_of_one_archive_are_settled_once(tmp_path):
    record = archive.Record.claim(tmp_path / "a", World(1))
    record.fix_hours((0, 12))
    record.write()
    again = archive.Record.claim(tmp_path / "a", World(1))
    again.fix_hours((12, 0))
    with pytest.raises(OtherWorld, match="hours"):
        again.fix_hours((0,))
