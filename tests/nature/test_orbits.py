"""Swaths of the satellites, and that the decoder tells their passes."""

from __future__ import annotations

import gzip
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from fluxrecipes.nature import land
from fluxrecipes.nature.orbits import F17, SATELLITES, Satellite, observation_hours
from fluxrecipes.sources import rss

DAY = np.datetime64("2018-01-05")
LONGITUDE = 0.125 + 0.25 * np.arange(1440)
PASSES = ("ascending", "descending")


def coverage(hours: np.ndarray, south: int, north: int) -> float:
    """Share of 1° cells with sea in which any of the sixteen cells was seen."""
    seen = (np.isfinite(hours) & ~land.rss_land()).reshape(180, 4, 360, 4).any(axis=(1, 3))
    rows = slice(south + 90, north + 90)
    return 100.0 * seen[rows][land.sea_cells()[rows]].mean()


@pytest.mark.parametrize("which", PASSES)
def test_coverage_is_that_of_ssmis(which):
    days = [observation_hours(F17, DAY + n, which) for n in range(4)]
    share = lambda a, b: np.mean([coverage(h, a, b) for h in days])  # noqa: E731
    # The nominal swath gives 79 and 67; whole maps of other sensors have 2-4 more.
    assert 80.0 < share(-60, 60) < 84.0
    assert 67.5 < share(-20, 20) < 72.0
    assert share(50, 60) > 99.0


@pytest.mark.parametrize("which", PASSES)
def test_local_time_is_the_satellites(which):
    hours = observation_hours(F17, DAY, which)[120:600]  # 60 S to 60 N
    apart = (hours + LONGITUDE / 15.0 - F17.local_hour(which, DAY) + 12.0) % 24.0 - 12.0
    assert abs(np.nanmedian(apart)) < 0.2
    assert (np.abs(apart[np.isfinite(apart)]) < 1.75).mean() > 0.97


@pytest.mark.parametrize("which", PASSES)
def test_times_lie_within_the_utc_day(which):
    hours = observation_hours(F17, DAY, which)
    assert np.nanmin(hours) >= 0.0
    assert np.nanmax(hours) < 24.0


def test_the_gaps_move_from_day_to_day():
    maps = [np.isfinite(observation_hours(F17, DAY + n, "ascending"))[360] for n in range(10)]
    assert all((a != b).mean() > 0.1 for a, b in pairwise(maps))
    assert np.any(maps, axis=0).all()  # in a few days every cell is seen


def test_later_revolutions_overwrite_earlier_ones():
    hours = observation_hours(F17, DAY, "descending")
    # A revolution sooner the Earth stood about 25.5° further east under the orbit: where the
    # place that far west was seen then, this one is seen now, unless the day is over.
    period, turn = F17.period / 60.0, round(F17.period / 60.0 * 15.0 / 0.25)
    again = np.roll(hours, -turn, axis=1) + period
    later = again[np.isfinite(again) & (again < 24.0) & np.isfinite(hours)]
    now = hours[np.isfinite(again) & (again < 24.0) & np.isfinite(hours)]
    assert (now >= later - 0.02).mean() > 0.999
    assert (now > later + 1.0).any()  # and at high latitudes there are several chances


def test_both_passes_see_a_place_about_twelve_hours_apart():
    up, down = (observation_hours(F17, DAY, which)[360] for which in PASSES)
    apart = np.abs(up - down)
    apart = apart[np.isfinite(apart)]
    assert np.median(np.minimum(apart, 24.0 - apart)) == pytest.approx(12.0, abs=1.0)


# --- every satellite ---------------------------------------------------------------------------

# Share of the sea seen between 60 S and 60 N by one kind of pass, %: nominal widths give 67
# (SSM/I) and 79 (SSMIS), to which real maps add 2-4; a real day of AMSR2 has 81.
COVERAGE = {
    **dict.fromkeys(("f10", "f11", "f13", "f14", "f15"), (69, 72)),
    **dict.fromkeys(("f16", "f17", "f18"), (81, 83)),
    **dict.fromkeys(("amsr2", "amsr2-v7.2"), (80, 82.5)),
    "amsre": (71, 77),
    "windsat": (49, 54),
    "gmi": (56, 62),
}


def days_of(satellite: Satellite, count: int) -> list[date]:
    """Days over the satellite's period, the first and the last among them."""
    last = satellite.instrument.last or "2020-12-31"
    first, last_day = date.fromisoformat(satellite.instrument.first), date.fromisoformat(last)
    span = (last_day - first).days
    return [first + timedelta(days=span * n // (count - 1)) for n in range(count)]


def test_every_instrument_of_the_sources_has_an_orbit():
    assert set(SATELLITES) == {one.sensor for one in rss.INSTRUMENTS}


@pytest.mark.parametrize("name", SATELLITES)
def test_coverage_of_every_satellite(name):
    low, high = COVERAGE[name]
    day = np.datetime64(SATELLITES[name].instrument.first) + 40
    maps = [observation_hours(SATELLITES[name], day + n, w) for n in range(2) for w in PASSES]
    assert low < np.mean([coverage(hours, -60, 60) for hours in maps]) < high


def test_coverage_by_latitude_is_that_of_a_real_day_of_amsr2(real_data):
    raw = gzip.decompress((real_data / "rss/f34_20160102v7.2.gz").read_bytes())
    times = np.frombuffer(raw, np.uint8).reshape(2, 7, 720, 1440)[:, 0]
    real = [np.where(seen <= 240, seen * 0.1, np.nan) for seen in times]
    day = np.datetime64("2016-01-02")
    ours = [observation_hours(SATELLITES["amsr2"], day + n, w) for n in range(4) for w in PASSES]
    for south in range(-60, 40, 20):  # the real day's north is full of narrow seas
        expected, found = (
            np.mean([coverage(hours, south, south + 20) for hours in maps]) for maps in (real, ours)
        )
        assert found == pytest.approx(expected, abs=2.5)


def test_local_times_drift_as_the_table_of_the_sources_says():
    for satellite in SATELLITES.values():
        for day in days_of(satellite, 3) if satellite.instrument.crossings else ():
            expected = satellite.instrument.crossing(day)
            assert satellite.local_hour("ascending", np.datetime64(day)) == expected
            hours = observation_hours(satellite, np.datetime64(day), "ascending")[350:370]
            apart = (hours + LONGITUDE / 15.0 - expected + 12.0) % 24.0 - 12.0
            assert abs(np.nanmedian(apart)) < 0.2


def test_gmi_runs_round_the_clock_in_82_days():
    gmi, day = SATELLITES["gmi"], np.datetime64("2015-03-01")
    start, quarter, again = (gmi.local_hour("ascending", day + n) for n in (0, 20, 82))
    assert again == pytest.approx(start)
    assert (start - quarter) % 24 == pytest.approx(24 * 20 / 82)
    seen = np.isfinite(observation_hours(gmi, day, "ascending")).any(axis=1)
    assert not seen[: ((90 - 70) * 4)].any() and seen[((90 - 68) * 4) : 360].all()
    # From one day to the next it goes on where it was: no step at midnight.
    late, early = (observation_hours(gmi, day + n, "ascending")[360] for n in (0, 1))
    solar = lambda hours: (hours + LONGITUDE / 15.0) % 24.0  # noqa: E731
    end, begin = np.nanargmax(late), np.nanargmin(early)
    step = (solar(early)[begin] - solar(late)[end] + 12) % 24 - 12
    assert abs(step) < 1.0


def maps_of(satellite: Satellite, day: date) -> np.ndarray:
    """A daily map with times alone, in the provider's order."""
    layers = len(satellite.instrument.layers)
    maps = np.full((2, layers, *rss.CELLS), 254, np.uint8)
    first = satellite.instrument.first_map
    order = PASSES if first == "ascending" else PASSES[::-1]
    for pass_map, which in zip(maps, order, strict=True):
        hours = observation_hours(satellite, np.datetime64(day), which)
        seen = np.isfinite(hours) & ~land.rss_land()
        pass_map[0, seen] = np.rint(hours[seen] * 10)
    return maps


@pytest.mark.parametrize("name", SATELLITES)
def test_the_decoder_tells_the_passes_over_the_whole_period(tmp_path: Path, name):
    """It refuses a map whose times contradict the satellite's heading or local time."""
    satellite = SATELLITES[name]
    for day in days_of(satellite, 3):
        maps = maps_of(satellite, day)
        path = tmp_path / satellite.instrument.file_name(day)
        path.write_bytes(gzip.compress(maps.tobytes(), 1))
        found = satellite.instrument.decode(path, day)
        assert found.attrs["pass_order_from"] == "times of observation"
        time = found[rss.TIME.name]
        ascending = 0 if satellite.instrument.first_map == "ascending" else 1
        np.testing.assert_array_equal(time.values[0, 0] == 255, maps[ascending, 0] == 254)


def test_the_swaths_of_satellites_overlap_and_leave_gaps():
    day = np.datetime64("2005-06-01")
    f13, f15 = (
        np.array(
            [
                np.isfinite(observation_hours(SATELLITES[n], day + k, "ascending")[280:440])
                for k in range(0, 40, 5)
            ]
        )
        for n in ("f13", "f15")
    )
    # Either alone sees 58 % of the tropics: 82 % together, were their orbits independent.
    assert 0.74 < (f13 | f15).mean() < 0.9
    assert (f13 & f15).mean(axis=(1, 2)).std() > 0.02  # one goes round faster than the other
