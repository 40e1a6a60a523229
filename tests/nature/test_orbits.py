"""Swaths of a sun-synchronous satellite."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from fluxrecipes.nature import land
from fluxrecipes.nature.orbits import F17, observation_hours

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
    apart = (hours + LONGITUDE / 15.0 - F17.local_hour(which) + 12.0) % 24.0 - 12.0
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
