"""Matchups: which report belongs to which cell and pass, and what is made of it."""

from __future__ import annotations

import re
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from fluxkernels.bulk import bulk_flux
from fluxrecipes import vocabulary as cf
from fluxrecipes.constellation import CODES, NO_SATELLITE
from fluxrecipes.matchups import matching
from fluxrecipes.matchups.climatology import Climatology
from fluxrecipes.matchups.matching import (
    Matchups,
    Passes,
    Rules,
    match,
    usable,
)
from fluxrecipes.sources import ndbc
from fluxrecipes.sources.reports import GTMBA, ICOADS

DAYS = np.arange("2014-07-01", "2014-07-05", dtype="datetime64[D]")
LAT, LON = np.arange(-9.5, 10), np.arange(0.5, 360)
SHAPE = (len(DAYS), 2, len(LAT), len(LON))
F17 = CODES["f17"]


def passes(**changes: np.ndarray) -> Passes:
    """Every cell seen at 18 and 6 h local time."""
    longitude = np.broadcast_to(LON, SHAPE)
    local = np.broadcast_to(np.array([18.0, 6.0])[:, None, None], SHAPE)
    given = {
        "pass_time": (local - longitude / 15.0) % 24.0,
        "state": np.full(SHAPE, cf.OBSERVED, np.uint8),
        "satellite": np.full(SHAPE, F17, np.uint8),
    } | changes
    return Passes(DAYS, -10.0, 0.0, given["pass_time"], given["state"], given["satellite"])


def reports(times: list[str], **changes: object) -> xr.Dataset:
    """Reports of one buoy at 0.3 N 0.4 E, where the passes are at 17:58 and 5:58 UTC."""
    number = len(times)
    columns = {
        "time": np.array(times, "datetime64[s]").astype("datetime64[ns]"),
        "latitude": np.full(number, 0.3),
        "longitude": np.full(number, 0.4),
        "wind_speed": np.full(number, 7.0),
        "air_temperature": np.full(number, 298.0),
        "specific_humidity": np.full(number, 0.016),
        "sea_surface_temperature": np.full(number, 299.5),
        "air_pressure": np.full(number, 101_000.0),
        "height_wind": np.full(number, 4.0),
        "height_air_temperature": np.full(number, 3.0),
        "height_humidity": np.full(number, 2.5),
        "platform": np.full(number, b"41002", "S16"),
        "feed": np.full(number, 2),
        "platform_kind": np.full(number, 4),
        "report_status": np.full(number, 2),
        "wind_method": np.full(number, 2),
        "averaging": np.full(number, 2),
        "wind_quality": np.full(number, 2),
        "air_temperature_quality": np.full(number, 3),
        "humidity_quality": np.full(number, 4),
        "sea_surface_temperature_quality": np.full(number, 2),
    } | changes
    return xr.Dataset({name: ("report", values) for name, values in columns.items()})


def test_a_report_is_brought_to_10_m_and_to_fluxes() -> None:
    found = match(reports(["2014-07-02T18:10"]), passes())
    made = bulk_flux(
        7.0,
        299.5,
        298.0,
        0.016,
        height_wind=4.0,
        height_temperature=3.0,
        height_humidity=2.5,
        pressure=101_000.0,
        latitude=0.3,
    )
    expected = {
        "air_temperature": made.air_temperature_at_height,
        "specific_humidity": made.specific_humidity_at_height,
        "wind_speed": made.wind_speed_at_height,
        "neutral_wind": made.neutral_wind_10m,
        "sensible_heat_flux": made.sensible,
        "latent_heat_flux": made.latent,
        "sea_surface_temperature": 299.5,
    }
    for name, value in expected.items():
        np.testing.assert_allclose(getattr(found, name), [value], rtol=1e-9)
    assert found.neutral_wind[0] > found.wind_speed[0] > 7.3
    assert (found.row[0], found.column[0], found.orbit[0]) == (10, 0, 0)
    assert found.day[0] == np.datetime64("2014-07-02")
    assert (found.satellite[0], found.state[0], found.platform[0]) == (F17, cf.OBSERVED, b"41002")
    assert found.hours_apart[0] == pytest.approx(12 / 60, abs=1e-6)


def test_where_a_satellite_saw_the_cell_half_an_hour_counts() -> None:
    given = reports(["2014-07-02T17:29", "2014-07-03T17:27", "2014-07-03T06:27"])
    assert [str(day) for day in match(given, passes()).day] == ["2014-07-02", "2014-07-03"]
    assert len(match(given, passes(), rules=Rules(within=0.6))) == 3


def test_the_nearest_report_of_a_platform_is_taken_and_each_platform_has_its_own() -> None:
    times = ["2014-07-02T17:40", "2014-07-02T17:55", "2014-07-02T18:20", "2014-07-02T18:25"]
    winds = np.array([5.0, 6.0, 7.0, 8.0])
    found = match(reports(times, wind_speed=winds), passes())
    assert len(found) == 1
    assert abs(found.hours_apart[0]) < 0.07
    names = np.array([b"41002", b"41002", b"41002", b"SHIP1"], "S16")
    found = match(reports(times, wind_speed=winds, platform=names), passes())
    assert found.platform.tolist() == [b"41002", b"SHIP1"]
    assert found.wind_speed[1] > 8.0


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 2, 0]])
def test_of_one_report_in_several_feeds_that_nearest_to_the_sensor_is_taken(
    order: list[int],
) -> None:
    """ICOADS rounds times, here towards the pass at 17:58."""
    times = np.array(["2014-07-02T18:10:00", "2014-07-02T18:09:36", "2014-07-02T17:40:00"])
    feeds, winds = np.array([GTMBA, ICOADS, ICOADS]), np.array([5.0, 5.1, 6.0])
    given = reports(list(times[order]), feed=feeds[order], wind_speed=winds[order])
    found = match(given, passes())
    assert found.feed.tolist() == [GTMBA] and found.hours_apart[0] == pytest.approx(0.2, abs=1e-3)
    nearer = np.where(feeds[order] == GTMBA, np.datetime64("2014-07-02T18:20", "ns"), given["time"])
    found = match(given.assign(time=("report", nearer)), passes())
    assert found.feed.tolist() == [ICOADS]  # another report, and the nearest
    parts = [match(given.isel(report=[at]), passes()) for at in range(3)]
    assert Matchups.joined(parts).feed.tolist() == [GTMBA]


def test_a_filled_cell_meets_reports_near_the_hour_at_which_it_would_have_been_seen() -> None:
    time, state = passes().pass_time.copy(), passes().state.copy()
    time[:, :, 10, 0], state[:, :, 10, 0] = np.nan, cf.INTERPOLATED
    gaps = passes(pass_time=time, state=state)
    given = reports(["2014-07-02T16:00", "2014-07-02T11:00", "2014-07-03T07:30"])
    found = match(given, gaps)
    assert found.state.tolist() == [cf.INTERPOLATED] * 2
    np.testing.assert_allclose(found.hours_apart, [-1.967, 1.533], atol=0.01)
    assert not len(match(given, gaps, rules=Rules(nominal=0.0)))
    assert not found.observed.any()


@pytest.mark.parametrize("state", [cf.NO_OBSERVATION, cf.NO_RETRIEVAL, cf.LAND, 0, 1])
def test_a_cell_without_a_value_has_no_matchup(state: int) -> None:
    nothing = passes(state=np.full(SHAPE, state, np.uint8))
    assert not len(match(reports(["2014-07-02T18:00"]), nothing))


def test_a_pass_about_midnight_meets_reports_of_the_day_before_and_after() -> None:
    east = np.array([89.2] * 2)  # 6 h local time is 2 minutes after midnight
    early = reports(["2014-07-01T23:50", "2014-07-04T00:10"], longitude=east)
    found = match(early, passes())
    assert [str(day) for day in found.day] == ["2014-07-02", "2014-07-04"]
    np.testing.assert_allclose(found.hours_apart, [-0.2, 0.133], atol=0.01)
    late = passes(pass_time=np.full(SHAPE, 24.3))
    found = match(reports(["2014-07-03T00:20"]), late)
    assert set(found.day.astype(str)) == {"2014-07-02"}


def test_reports_off_the_grid_or_its_days_are_left_out() -> None:
    times = ["2014-07-02T18:00"] * 3 + ["2014-06-20T18:00", "2014-07-25T18:00"]
    latitude = np.array([10.01, -10.01, 9.99, 0.3, 0.3])
    found = match(reports(times, latitude=latitude), passes())
    assert found.row.tolist() == [19]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("report_status", 3),
        ("wind_method", 3),
        ("averaging", 3),
        ("wind_quality", 5),
        ("air_temperature_quality", 5),
        ("humidity_quality", 5),
        ("sea_surface_temperature_quality", 5),
        ("height_wind", np.nan),
        ("height_air_temperature", np.nan),
        ("height_humidity", np.nan),
        ("height_wind", 0.0),
        ("height_air_temperature", -1.0),
        ("height_humidity", np.inf),
        ("sea_surface_temperature", np.nan),
        ("specific_humidity", np.nan),
    ],
)
def test_doubtful_or_incomplete_reports_are_left_out(column: str, value: float) -> None:
    given = reports(["2014-07-02T18:00", "2014-07-03T18:00"])
    values = given[column].values.astype(float)
    values[0] = value
    changed = given.assign({column: ("report", values)})
    assert usable(changed).tolist() == [False, True]
    use = matching.use_of(changed)
    assert use.total() == 2 and use[matching.USABLE] == 1 and len(use) == 2


def test_a_height_of_0_m_does_not_stop_the_other_reports() -> None:
    given = reports(["2014-07-02T18:10", "2014-07-03T18:10"], height_wind=np.array([0.0, 4.0]))
    assert [str(day) for day in match(given, passes()).day] == ["2014-07-03"]


def test_of_several_reasons_against_a_report_the_first_is_told() -> None:
    given = reports(["2014-07-02T18:00"] * 4)
    nothing, good = np.nan, 0.016
    given = given.assign(
        specific_humidity=("report", [good, nothing, nothing, good]),
        height_wind=("report", [4.0, nothing, 4.0, nothing]),
        report_status=("report", [2, 3, 2, 2]),
    )
    expected = {"no specific humidity": 2, "unknown height of wind": 1, matching.USABLE: 1}
    assert matching.use_of(given) == expected
    assert matching.use_of(given.isel(report=[])) == {}


def test_without_pressure_the_standard_one_is_taken() -> None:
    given = reports(["2014-07-02T18:00"])
    less = given.assign(air_pressure=("report", [np.nan]))
    standard = given.assign(air_pressure=("report", [101_300.0]))
    assert match(less, passes()).latent_heat_flux == match(standard, passes()).latent_heat_flux


def test_withheld_platforms_are_known_by_any_case_and_by_their_surroundings() -> None:
    names = np.array([b"WHOTS", b"51wh0", b"41002"], "S16")
    found = match(reports(["2014-07-02T18:00"] * 3, platform=names), passes())
    assert found.platform[found.named(["whots", "51WH0"])].tolist() == [b"51wh0", b"WHOTS"]
    assert not found.near([(0.3, 4.9)], 499.0).any()
    assert found.near([(0.3, 4.9), (50.0, 50.0)], 502.0).all()


def test_months_that_are_joined_keep_one_matchup_of_a_cell_and_pass() -> None:
    east = np.array([90.2])
    july = match(reports(["2014-07-01T23:50"], longitude=east), passes())
    august = match(reports(["2014-07-02T00:05"], longitude=east), passes())
    both = Matchups.joined([july, august])
    assert len(both) == 1 and abs(both.hours_apart[0]) < 0.13


def test_passes_of_a_store_have_the_state_of_the_worse_of_wind_and_vapour() -> None:
    dims = ("time", "orbit", "lat", "lon")
    coords = {"time": DAYS.astype("datetime64[ns]"), "lat": LAT, "lon": LON}
    wind, vapour = np.full(SHAPE, cf.OBSERVED), np.full(SHAPE, float(cf.OBSERVED))
    vapour[0], vapour[1] = cf.PERSISTED, np.nan  # never written is NaN to xarray
    times = passes().pass_time
    merged = xr.Dataset(
        {"pass_time": (dims, times), "satellite": (dims, np.full(SHAPE, F17))}, coords
    )
    filled = xr.Dataset(
        {"wind_speed_state": (dims, wind), "water_vapour_state": (dims, vapour)}, coords
    )
    found = Passes.of(merged, filled)
    assert (found.south, found.west) == (-10.0, 0.0)
    assert found.state[:, 0, 0, 0].tolist() == [cf.PERSISTED] + [cf.OBSERVED] * 3
    winds = xr.Dataset(
        {"wind_speed": (dims, np.where(wind == 2, 7.0, 0)), "pass_time": (dims, times)}
    )
    winds = winds.assign_coords(coords)
    winds["wind_speed"][0, 0] = np.nan
    one = Passes.of_satellite(winds, NO_SATELLITE)
    assert one.state[0, :, 0, 0].tolist() == [cf.NO_OBSERVATION, cf.OBSERVED]


def many(number: int = 400, seed: int = 1) -> Matchups:
    """Reports of one box, and as many of another in the same zone, which is 10 K warmer."""
    random = np.random.default_rng(seed)
    found = match(reports(["2014-07-02T18:00"]), passes()).at(np.zeros(number, int))
    warm = np.arange(number) % 2 * 10.0
    return replace(
        found,
        longitude=np.where(warm > 0, 190.0, 10.0),
        air_temperature=288.0 + warm + random.standard_normal(number),
        specific_humidity=0.012 + 1e-3 * random.standard_normal(number),
        wind_speed=(2.7 + 0.5 * random.standard_normal(number)) ** 2,
    )


def test_what_lies_far_from_the_months_mean_of_its_region_is_told() -> None:
    given = many()
    limits = Climatology.of(given)
    share = limits.plausible(given).mean()
    assert 0.97 < share < 0.999  # of three Gaussian quantities 98.5 %
    odd = replace(
        given, air_temperature=np.where(np.arange(400) == 7, 290.0, given.air_temperature)
    )
    assert not limits.plausible(odd)[7]  # usual in the other box, odd in this one
    storm = replace(given, wind_speed=np.where(np.arange(400) == 8, 16.0, given.wind_speed))
    assert limits.plausible(storm)[8] == limits.plausible(given)[8]
    gust = replace(given, wind_speed=np.where(np.arange(400) == 8, 40.0, given.wind_speed))
    assert not limits.plausible(gust)[8]


def test_regions_with_few_reports_take_their_zones_limits_and_unknown_months_none() -> None:
    given = many()
    spread = replace(given, longitude=10.0 + np.arange(400) % 7 * 40.0)
    few = replace(spread, longitude=np.where(np.arange(400) < 10, 100.0, spread.longitude))
    limits = Climatology.of(few)
    warm = replace(few, air_temperature=np.full(400, 298.0))
    assert limits.plausible(warm)[:10].sum() >= 8  # within the spread of the whole zone
    elsewhere = replace(given, longitude=np.full(400, 100.0), air_temperature=warm.air_temperature)
    assert limits.plausible(replace(elsewhere, air_temperature=np.full(400, 340.0))).sum() == 0
    two_boxes = Climatology.of(given)  # those of one ocean know nothing of another
    assert two_boxes.plausible(replace(elsewhere, air_temperature=np.full(400, 340.0))).all()
    january = replace(warm, day=np.full(400, np.datetime64("2014-01-02")))
    assert limits.plausible(january).all()


# --- files of reports that roll on ---------------------------------------------------------------


def test_a_download_of_the_last_days_can_have_a_name_of_its_own(tmp_path: Path) -> None:
    """The name that the feed's page tells: of its station, and one of the feed's files."""
    told = re.search(r"realtime2/41002_\d{8}\.txt", ndbc.FEED.title)
    assert told and any(fnmatch(told[0], pattern) for pattern in ndbc.FEED.patterns)
    path = tmp_path / told[0]
    path.parent.mkdir()
    path.write_text(
        "#YY MM DD hh mm WDIR WSPD GST WVHT DPD APD MWD PRES ATMP WTMP DEWP VIS PTDY TIDE\n"
        "#yr mo dy hr mn degT m/s m/s m sec sec degT hPa degC degC degC nmi hPa ft\n"
        "2026 01 01 12 00 200 8.0 9.0 1.0 8 5.0 200 1016.0 20.0 22.0 15.0 MM -0.5 MM\n"
    )
    (rows,) = ndbc.read(path)
    assert rows.columns["platform"].tolist() == [b"41002"]
