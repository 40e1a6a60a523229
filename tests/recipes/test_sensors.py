"""Assessing a sensor: known biases, drifts and seams are found, and a bad sensor is refused."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
import typer
import xarray as xr
from click.testing import Result
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from fluxengine import show
from fluxengine.declare import Source
from fluxengine.errors import ConfigError, UnknownName
from fluxengine.grid import Grid, days, degrees, labels
from fluxengine.run import run
from fluxengine.stand import Request
from fluxengine.store import Store
from fluxengine.task import run_block
from fluxkernels.stats.agreement import Interval
from fluxrecipes import vocabulary as cf
from fluxrecipes.constellation import satellite_of
from fluxrecipes.matchups.matching import Matchups
from fluxrecipes.sensors import assessment, overlap, report, seams, stations, verdict
from fluxrecipes.sensors import settings as limits
from fluxrecipes.sensors.settings import VARIABLES
from fluxrecipes.sensors.stations import COMPARED, Met
from fluxrecipes.sensors.verdict import FAILS, FIT, HOLDS, OPEN, UNDECIDED, UNFIT, Check
from fluxrecipes.skill import command

AMSR2, F17 = 31, 17
LAT, LON = np.arange(-59.5, 60), np.arange(0.5, 60)  # narrow: quick
AROUND = np.arange(3.0, 360, 6)
LOCAL = {"amsr2": (14.0, 2.0), "f17": (18.0, 6.0)}
CYCLE = 0.4  # m/s, highest at 15 h local time
MEMORY = 30.0  # h, of the weather


def some_days(number: int, first: str = "2014-01-01") -> np.ndarray:
    return np.datetime64(first, "D") + np.arange(number)


def weather(number: int, seed: int = 1) -> np.ndarray:
    """Hourly fields, smooth in space, that forget themselves exponentially in time."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(seed)
    kept = np.exp(-1.0 / MEMORY)
    field, found = None, []
    for _ in range(24 * number + 1):
        noise = gaussian_filter(rng.normal(size=(len(LAT), len(LON))), 3, mode=("reflect", "wrap"))
        noise /= noise.std()
        field = noise if field is None else kept * field + np.sqrt(1 - kept**2) * noise
        found.append(field)
    return np.stack(found)


def passes(
    name: str,
    sky: np.ndarray,
    when: np.ndarray,
    *,
    bias: float = 0.0,
    drift: float = 0.0,
    noise: float = 0.2,
    cycle: float = 0.0,
    lon: np.ndarray = LON,
) -> xr.Dataset:
    """What a satellite sees: at its local times, with errors of its own."""
    rng = np.random.default_rng(sum(map(ord, name)))
    hours = (np.array(LOCAL[name])[:, None] - lon / 15.0) % 24.0  # (orbit, lon)
    step = np.rint(hours).astype(int)
    values = np.empty((len(when), 2, len(LAT), len(lon)))
    for day in range(len(when)):
        for orbit in range(2):
            for column in range(len(lon)):
                values[day, orbit, :, column] = sky[24 * day + step[orbit, column], :, column]
    turned = np.cos(2 * np.pi * (np.array(LOCAL[name]) - 15.0) / 24.0)
    values += 7.0 + bias + cycle * turned[None, :, None, None]
    values += (drift * (when - when[0]).astype(float) / 365.25)[:, None, None, None]
    values += rng.normal(0, noise, values.shape)
    dims, times = ("time", "orbit", "lat", "lon"), when.astype("M8[ns]")
    pass_time = np.broadcast_to(hours[None, :, None, :], values.shape)
    fields = {variable: (dims, values.copy()) for variable in VARIABLES}
    coords = {"time": times, "orbit": ["ascending", "descending"], "lat": LAT, "lon": lon}
    return xr.Dataset({**fields, "pass_time": (dims, pass_time.copy())}, coords)


@pytest.fixture(scope="module")
def sky() -> np.ndarray:
    return weather(30)


def compared(ours: xr.Dataset, theirs: xr.Dataset, hours: float = 6.0) -> overlap.Overlap:
    return overlap.of_datasets(ours, theirs, ours["time"].values.astype("M8[D]"), hours)


# --- overlap -------------------------------------------------------------------------------------


def test_a_bias_is_told_from_the_daily_cycle(sky: np.ndarray) -> None:
    when = some_days(30)
    ours = passes("amsr2", sky, when, bias=0.3, cycle=CYCLE)
    found = compared(ours, passes("f17", sky, when, cycle=CYCLE))
    np.testing.assert_allclose(found.local_times, np.transpose([LOCAL["amsr2"], LOCAL["f17"]]))
    told = overlap.bias(found, "wind_speed", 5)
    assert told.low < 0.3 < told.high and told.value == pytest.approx(0.3, abs=0.05)
    # At 14 and 18 h, and the opposite at night.
    part = CYCLE * (np.cos(2 * np.pi * -1 / 24) - np.cos(2 * np.pi * 3 / 24))
    assert overlap.daily_cycle(found, "wind_speed", 5).value == pytest.approx(part, abs=0.03)
    ascending = overlap.agreement_in(found, "wind_speed", 5, orbit=0)
    assert ascending.bias.value == pytest.approx(0.3 + part, abs=0.04)


def test_every_longitude_has_pairs_of_both_passes(sky: np.ndarray) -> None:
    """Midnight lies between the passes of 2 and 6 h somewhere: the next day's pass is taken."""
    when = some_days(6)
    both = (passes(name, sky, when, lon=AROUND) for name in ("amsr2", "f17"))
    found = compared(*both)
    number = found.maps["wind_speed"][0][60]
    assert number.min() >= 2 * len(when) - 1 and number.max() == 2 * len(when)


def test_passes_too_far_apart_are_not_compared(sky: np.ndarray) -> None:
    when = some_days(4)
    found = compared(passes("amsr2", sky, when), passes("f17", sky, when), hours=3.9)
    assert not found.points["wind_speed"].any()
    assert np.isnan(overlap.bias(found, "wind_speed", 5).value)


def test_scores_are_those_of_all_pairs_weighed_by_area(sky: np.ndarray) -> None:
    when = some_days(6)
    same = passes("f17", sky, when)
    ours = same.copy(deep=True)
    ours["wind_speed"] += 0.1 * same["wind_speed"] - 0.5
    found = compared(ours, same)
    told = overlap.agreement_in(found, "wind_speed", 2)
    x, y = (d["wind_speed"].values.ravel() for d in (ours, same))
    area = np.broadcast_to(np.cos(np.radians(LAT))[:, None], same["wind_speed"].shape).ravel()
    assert told.points == x.size and told.clusters == 3
    assert told.bias.value == pytest.approx(np.average(x - y, weights=area))
    spread = np.sqrt(np.cov(x, aweights=area, ddof=0))
    assert told.spread.value == pytest.approx(spread, rel=1e-6)
    assert told.correlation.value == pytest.approx(1.0)
    assert overlap.spread_ratio(found, "wind_speed", 2).value == pytest.approx(1.1, rel=1e-6)


@given(shift=st.floats(-2, 2))
@settings(max_examples=8)
def test_a_shift_of_a_sensor_shifts_what_is_told_and_nothing_else(shift: float) -> None:
    when, sky = some_days(4), weather(4, seed=5)
    ours, theirs = passes("amsr2", sky, when), passes("f17", sky, when)
    plain = compared(ours, theirs)
    ours["wind_speed"] += shift
    moved = compared(ours, theirs)
    for place in ("global", "tropics, 5 S-5 N", "40-60 N"):
        before, after = (overlap.bias(one, "wind_speed", 2, place) for one in (plain, moved))
        np.testing.assert_allclose(np.array(after) - np.array(before), shift, atol=1e-9)
    cycles = [np.array(overlap.daily_cycle(one, "wind_speed", 2)) for one in (plain, moved)]
    np.testing.assert_allclose(*cycles, atol=1e-9)


def test_seasons_and_drift(sky: np.ndarray) -> None:
    when = np.concatenate([some_days(15), some_days(15, "2014-07-01")])
    ours = passes("amsr2", sky, when, drift=0.5)
    found = compared(ours, passes("f17", sky, when))
    assert found.seasons(5) == ("DJF", "JJA")
    drift = overlap.drift(found, "wind_speed", 5)
    assert drift.low < 0.5 < drift.high and drift.value == pytest.approx(0.5, abs=0.1)
    winter, summer = (overlap.bias(found, "wind_speed", 5, season=s) for s in found.seasons(5))
    assert summer.value - winter.value == pytest.approx(0.25, abs=0.05)
    assert np.isnan(overlap.bias(found, "wind_speed", 5, season="MAM").value)


def test_a_season_counts_with_the_days_of_two_blocks(sky: np.ndarray) -> None:
    when = some_days(30, "2014-01-31")  # to 1 March
    found = compared(passes("amsr2", sky, when), passes("f17", sky, when))
    assert found.seasons(5) == ("DJF",) and found.seasons(1) == ("DJF",)
    of_week = replace(found, days=some_days(30, "2014-02-20"))
    assert of_week.seasons(4) == ("DJF", "MAM") and of_week.seasons(5) == ("MAM",)
    asked = limits.load(None)
    (seen,) = (
        c for c in verdict.checks(found, None, None, None, asked) if c.what == "seasons seen"
    )
    assert seen.result == FAILS and seen.note == "DJF in 30 days"
    few = asked.model_copy(update={"block": 20})
    made = {(c.what, c.variable): c for c in verdict.checks(found, None, None, None, few)}
    assert made["seasons seen", ""].note == "none in 30 days"
    assert made["bias, worst season", "wind_speed"].result == OPEN


def test_too_few_days_are_told() -> None:
    with pytest.raises(overlap.TooLittleOverlap, match="on 12 days; 30 are needed") as told:
        overlap.check(some_days(12), 30, "amsr2 and f17")
    assert told.value.code == "FF761"


# --- seams ---------------------------------------------------------------------------------------


def merged_of(ours: xr.Dataset, theirs: xr.Dataset, stripes: np.ndarray) -> xr.Dataset:
    """The new sensor in some columns, the reference in the others."""
    there = xr.DataArray(stripes, dims="lon")
    made = ours.where(there, theirs)
    codes = np.where(stripes, AMSR2, F17).astype("u1")
    return made.assign(satellite=xr.where(made["wind_speed"] > -1e9, codes, codes))


STRIPES = np.arange(len(LON)) // 4 % 2 == 0  # no seam where the last column meets the first


def of_seams(ours: xr.Dataset, theirs: xr.Dataset) -> seams.Seams:
    when = ours["time"].values.astype("M8[D]")
    merged = merged_of(ours, theirs, STRIPES)
    looked = xr.DataArray(STRIPES, dims="lon")  # the new sensor has gaps between its stripes
    seen = ours.assign(pass_time=ours["pass_time"].where(looked))
    return seams.of_datasets(seen, theirs, merged, (AMSR2, F17), when)


def test_what_the_hours_between_make_is_no_seam(sky: np.ndarray) -> None:
    when = some_days(30)
    theirs = passes("f17", sky, when)
    found = of_seams(passes("amsr2", sky, when), theirs)
    good = seams.ratio(found, "wind_speed", 5)
    assert good.value == pytest.approx(1.0, abs=0.04) and good.low < good.value < good.high
    # Each row has a seam at the end of each stripe, and none is one that merging has chosen.
    assert seams.number(found, "wind_speed") == 30 * 2 * len(LAT) * 14
    assert seams.number(found, "wind_speed", seams.CHOSEN) == 0
    assert seams.ratio_within(found, "wind_speed", 5).value == pytest.approx(1.0, abs=0.02)
    biased = of_seams(passes("amsr2", sky, when, bias=1.0), theirs)
    assert seams.ratio(biased, "wind_speed", 5).low > 1.1
    noisy = of_seams(passes("amsr2", sky, when, noise=1.0), theirs)
    assert seams.ratio(noisy, "wind_speed", 5).low > 1.1
    assert seams.ratio_within(noisy, "wind_speed", 5).low > 1.5


def test_seams_that_merging_chooses_are_counted_apart(sky: np.ndarray) -> None:
    when = some_days(4)
    ours, theirs = passes("amsr2", sky, when), passes("f17", sky, when)
    merged = merged_of(ours, theirs, STRIPES)
    found = seams.of_datasets(ours, theirs, merged, (AMSR2, F17), when)  # looked everywhere
    assert seams.number(found, "wind_speed") == 0
    assert seams.number(found, "wind_speed", seams.CHOSEN) == 4 * 2 * len(LAT) * 14
    assert np.isnan(seams.ratio(found, "wind_speed", 5).value)
    nothing = seams.of_datasets(ours, theirs, None, (0, 0), when)
    assert np.isnan(seams.ratio(nothing, "wind_speed", 5).value)


def test_squared_differences_grow_with_the_hours_as_an_exponential_does() -> None:
    true = 0.5 + 2.0 * (1.0 - np.exp(-np.arange(25) / 17.0))
    made = seams._expected(*(np.array([true[hour]]) for hour in (0, 12, 24)))
    np.testing.assert_allclose(made[0], true, rtol=1e-6)
    flat = seams._expected(np.array([0.5]), np.array([2.0]), np.array([1.9]))[0]
    assert flat[0] == 0.5 and (flat[1:] == 2.0).all()  # forgotten within twelve hours
    still = seams._expected(np.array([0.5]), np.array([0.4]), np.array([0.4]))[0]
    np.testing.assert_allclose(still, 0.5)


def test_the_step_on_entering_is_the_sensors_and_not_the_choice_of_dry_cells(
    sky: np.ndarray,
) -> None:
    when = some_days(20)
    theirs = passes("f17", sky, when)
    ours = passes("amsr2", sky, when, bias=0.4).isel(time=slice(10, None))
    merged = merged_of(ours, theirs.isel(time=slice(10, None)), STRIPES)
    alone = theirs.isel(time=slice(0, 10)).assign(
        satellite=(theirs["wind_speed"].isel(time=slice(0, 10)) * 0 + F17).astype("u1")
    )
    merged = xr.concat([alone, merged], "time")
    overlapping = when[10:]
    found = seams.entry(ours, theirs, merged, AMSR2, overlapping, 5)
    assert found is not None
    assert found.first == when[10] and found.days_before == 10
    own = found.own["wind_speed"]
    assert own.value == pytest.approx(0.4 * STRIPES.mean(), abs=0.02) and own.low > 0.15
    assert found.whole["wind_speed"].value == pytest.approx(own.value)
    # Where the new sensor lost a variable to rain, and only there, the drier cell was chosen.
    lost = np.zeros(ours["rain_rate"].shape, bool)
    lost[..., 20:40, :] = True
    ours["wind_speed"] = ours["wind_speed"].where(~lost)
    merged["rain_rate"][10:] = merged["rain_rate"][10:].where(~lost, theirs["rain_rate"][10:] - 2.0)
    chosen = seams.entry(ours, theirs, merged, AMSR2, overlapping, 5)
    assert chosen is not None
    assert chosen.own["rain_rate"].value == pytest.approx(own.value, abs=0.05)
    assert chosen.whole["rain_rate"].value < own.value - 0.2
    assert seams.entry(ours, theirs, merged, 99, overlapping, 5) is None


# --- stations ------------------------------------------------------------------------------------


def beside_reports(bias: float, noise: float, hour: float, seed: int, number: int = 3000) -> Met:
    """A satellite at forty stations, each with a wind and a fault of its own."""
    rng = np.random.default_rng(seed)
    station = rng.integers(0, 40, number)
    fault = np.random.default_rng(0).normal(0, 0.5, 40)[station]
    level = np.random.default_rng(1).uniform(5, 10, 40)[station]
    true = level + CYCLE * np.cos(2 * np.pi * (hour - 15) / 24) + rng.normal(0, 2, number)
    other = np.random.default_rng(9).normal(8, 2, number)
    columns = dict.fromkeys(Matchups.__dataclass_fields__, other)
    columns |= {
        "platform": np.array([f"P{n:03}".encode() for n in station], "S16"),
        "orbit": rng.integers(0, 2, number),
        "neutral_wind": true - fault,
    }
    estimates = {name: true + bias + rng.normal(0, noise, number) for name in COMPARED}
    return Met(Matchups(**columns), estimates)


def test_the_difference_at_stations_knows_no_daily_cycle_and_no_station() -> None:
    ours, theirs = beside_reports(0.3, 1.0, 13.5, 2), beside_reports(0.1, 0.8, 18.0, 3)
    apart = stations.difference(ours, theirs, "wind")
    assert apart.low < 0.2 < apart.high and apart.high - apart.low < 0.2
    cycle = stations.daily_cycle(ours, theirs, "wind")
    part = CYCLE * (np.cos(2 * np.pi * -1.5 / 24) - np.cos(2 * np.pi * 3 / 24))
    assert cycle.low < part < cycle.high
    ratio = stations.ratio(ours, theirs, "wind")
    both = (one.agreement("wind").rmse.value for one in (ours, theirs))
    assert ratio.value == pytest.approx(next(both) / next(both)) and ratio.low > 1.02


def test_stations_that_only_one_sensor_met_do_not_count() -> None:
    ours, theirs = beside_reports(0.3, 1.0, 13.5, 2), beside_reports(0.1, 0.8, 13.5, 3)
    one_more = ours.matchups.platform.copy()
    one_more[:200] = b"ELSEWHERE"
    wrong = {
        name: np.where(one_more == b"ELSEWHERE", 99.0, v) for name, v in ours.estimates.items()
    }
    changed = Met(replace(ours.matchups, platform=one_more), wrong)
    assert stations.difference(changed, theirs, "wind").value == pytest.approx(0.2, abs=0.1)
    assert stations.ratio(changed, theirs, "wind").value < 1.5


# --- verdict -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("measured", "result"),
    [
        ((0.1, 0.05, 0.15), HOLDS),
        ((-0.1, -0.19, 0.05), HOLDS),
        ((0.1, -0.05, 0.25), OPEN),
        ((0.25, 0.15, 0.35), OPEN),
        ((0.25, 0.21, 0.35), FAILS),
        ((-0.25, -0.3, -0.22), FAILS),
        ((0.1, np.nan, np.nan), OPEN),
        ((np.nan, np.nan, np.nan), OPEN),
    ],
)
def test_a_check_holds_by_its_whole_interval(measured: tuple[float, ...], result: str) -> None:
    check = Check("bias", "wind_speed", "m/s", Interval(*measured), -0.2, 0.2)
    assert check.result == result
    assert json.loads(json.dumps(check.as_json(), allow_nan=False))["result"] == result
    assert verdict.verdict([check]) == {HOLDS: FIT, FAILS: UNFIT, OPEN: UNDECIDED}[result]


def test_one_failure_is_enough_and_one_open_check_leaves_it_open() -> None:
    good, unknown, bad = (
        Check("bias", "", "", Interval(value, value, high), -1, 1)
        for value, high in ((0.0, 0.0), (0.0, 2.0), (1.5, 2.0))
    )
    assert verdict.verdict([good, good]) == FIT
    assert verdict.verdict([good, unknown]) == UNDECIDED
    assert verdict.verdict([good, unknown, bad]) == UNFIT


def test_a_region_that_fails_is_not_hidden_behind_one_that_is_open() -> None:
    several = {"far, open": (0.1, -2.0, 2.2), "fails": (0.7, 0.6, 0.8), "fine": (0.0, -0.1, 0.1)}
    made = [
        Check("bias", "", "m/s", Interval(*one), -0.5, 0.5, place) for place, one in several.items()
    ]
    assert verdict._worst(made).note == "fails"
    assert verdict._worst([made[0], made[2]]).note == "far, open"
    alone = replace(made[0], measured=Interval(0.001, np.nan, np.nan), note="one block")
    worst = verdict._worst([made[2], alone])
    assert worst.note == "one block" and worst.result == OPEN
    assert verdict._worst([made[1], alone]).note == "fails"
    unknown = replace(made[0], measured=Interval(np.nan, np.nan, np.nan))
    assert verdict._worst([unknown]).result == OPEN
    assert verdict._worst([made[2], unknown]).note == "fine; no pairs in far, open"


def test_thresholds_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "limits.yaml"
    path.write_text("days: 60\nwind_speed: {bias: 0.1, regional: 0.4, drift: 0.1}\n")
    found = limits.load(path)
    assert found.days == 60 and found.of("wind_speed").bias == 0.1
    assert found.of("water_vapour") == limits.load(None).of("water_vapour")
    path.write_text("seam_ration: 1.2\n")
    with pytest.raises(ConfigError, match=r"unknown key 'seam_ration'.*seam_ratio"):
        limits.load(path)
    path.write_text("wind_speed: {bias: 0.1}\n")
    with pytest.raises(ConfigError, match=r"'wind_speed.regional' is missing"):
        limits.load(path)


# --- the whole, from a store ---------------------------------------------------------------------

DAYS, FIRST = 8, date(2017, 12, 27)  # three of them in the test year
GRID = Grid(
    time=days("2017-12-01", block=30),
    orbit=labels("ascending", "descending"),
    lat=degrees(-60, 60, 1),
    lon=degrees(0, 360, 1, periodic=True),
)
FIELDS = {
    "wind_speed": (7.0, 2.0),
    "water_vapour": (25.0, 8.0),
    "cloud_liquid_water": (0.1, 0.02),
    "rain_rate": (0.5, 0.1),
}


def published(folder: Path, store: Store, name: str, bias: float) -> None:
    """A dataset of passes, as a run leaves it; in the merged one sensors alternate."""
    is_merged = name == "merged"
    hours = LOCAL.get(name, LOCAL["f17"])
    stripes = np.arange(360) // 30 % 2 == 0

    def decode(path: Path, day: date) -> xr.Dataset:
        rng = np.random.default_rng([day.toordinal(), sum(map(ord, name))])
        shape, made = (2, 120, 360), {}
        world = np.random.default_rng(day.toordinal()).normal(size=shape)
        when = np.broadcast_to(
            (np.array(hours)[:, None] - GRID.axes["lon"].coordinate() / 15) % 24, (2, 360)
        )[:, None].repeat(120, axis=1)
        for variable in cf.MICROWAVE:
            mean, width = FIELDS[variable.name]
            values = mean + width * world + 0.02 * width * rng.normal(size=shape)
            own = stripes if is_merged else name == "amsr2"
            values = values + np.where(own, bias * width, 0.0)
            made[variable.name] = packed(variable, values.clip(*(variable.valid_range or ())))
        made["pass_time"] = packed(cf.pass_time, when)
        if is_merged:
            code = np.where(stripes, AMSR2, F17).astype("u1") * np.ones(shape, "u1")
            attrs = {"scale_factor": 1.0, "add_offset": 0.0, "_FillValue": 0}
            made["satellite"] = (GRID.dims, code[None], attrs)
        return xr.Dataset(made)

    flags = (satellite_of(("f17", "amsr2")),) if is_merged else ()
    source = Source(
        name=f"deepflux-{name}",
        grid=GRID,
        path=lambda day: f"{day}.txt",
        decode=decode,
        provides=(*cf.MICROWAVE, cf.pass_time, *flags),
        archive="passes",
        home="",
        title=name,
        provider="test",
        licence="none",
        cite="none",
    )
    request = Request(source, FIRST, FIRST + timedelta(DAYS - 1), store, {"passes": str(folder)})
    run(request, lambda: nullcontext(lambda jobs: map(run_block, jobs)))


def packed(variable: cf.Variable, values: np.ndarray) -> tuple[object, ...]:
    packing = variable.packing
    return GRID.dims, packing.pack(values[None], variable.name), packing.attributes


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of two sensors, of which the new one is too high by a tenth of its spread."""
    made = tmp_path_factory.mktemp("sensors")
    (made / "in").mkdir()
    for step in range(DAYS):
        (made / "in" / f"{FIRST + timedelta(step)}.txt").write_text("a day")
    (made / "in" / "NOTICE.txt").write_text("SIMULATED DATA of a test: of no use.\n")
    store = Store.at(made / "store", create=True)
    for name in ("f17", "amsr2", "merged"):
        published(made / "in", store, name, 0.15)
    (made / "run.yaml").write_text(
        "product: deepflux-merged\nprofiles: {here: {store: store, cluster: {kind: serial}}}\n"
    )
    (made / "limits.yaml").write_text("days: 4\nseasons: 1\nblock: 1\n")
    return made


def call(folder: Path, *more: str) -> Result:
    app = typer.Typer()
    app.command()(command.validate)
    words = ["--sensor", "amsr2", "-c", str(folder / "run.yaml"), "--out", str(folder / "out")]
    return CliRunner().invoke(app, [*words, *more], env={"COLUMNS": "200"})


def test_a_real_sensor_beside_simulated_reports_is_not_passed_off_as_real(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = beside_reports(0.3, 1.0, 13.5, 2), beside_reports(0.1, 0.8, 18.0, 3)
    monkeypatch.setattr(assessment, "simulated_world", lambda passes: "")
    monkeypatch.setattr(assessment, "world_of_reports", lambda place, months: "a test")
    own = ("--limits", str(folder / "limits.yaml"))
    assert "measured here, real" in call(folder, *own).output  # no reports, all else real
    monkeypatch.setattr(assessment, "_met", lambda *_: (ours, theirs))
    mixed = "SIMULATED world (amsr2, f17: real; reports: a test)"
    assert mixed in call(folder, *own).output
    told = json.loads((folder / "out" / "assessment.json").read_text())
    assert told["simulated"] == "amsr2, f17: real; reports: a test"


def test_a_biased_sensor_is_refused_in_words_numbers_and_pictures(folder: Path) -> None:
    own = ("--limits", str(folder / "limits.yaml"))
    done = call(folder, *own)
    assert done.exit_code == 1, (done.output, done.exception)
    printed = done.output
    assert "amsr2: not fit (SIMULATED world (a test))" in printed
    assert "amsr2 beside f17" in printed and "5 days, 2017-12-27 to 2017-12-31" in printed
    told = json.loads((folder / "out" / "assessment.json").read_text())
    assert told["simulated"] == "a test" and told["opened_before"] is None
    by = {(c["what"], c["variable"]): c for c in told["checks"]}
    wind = by["bias", "wind_speed"]
    assert wind["value"] == pytest.approx(0.3, abs=0.01) and wind["result"] == FAILS
    assert wind["low"] > wind["at_most"] == 0.2
    assert by["step on entering", "wind_speed"]["value"] == pytest.approx(0.15, abs=0.01)
    assert by["difference at stations", "wind"]["result"] == OPEN  # there is no table of reports
    assert by["drift", "water_vapour"]["result"] == OPEN  # of five days
    for name in ("regions", "days", "maps"):
        assert (folder / "out" / f"{name}.png").stat().st_size > 10_000


def test_the_test_year_is_opened_only_in_writing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "_pictures", lambda found, out: iter(()))
    own = ("--limits", str(folder / "limits.yaml"), "--held-out", "--json")
    done = call(folder, *own)
    assert isinstance(done.exception, ConfigError)
    assert not (folder / "store" / "openings.jsonl").exists()
    done = call(folder, *own, "--purpose", "a test")
    told = json.loads(done.stdout)
    assert json.loads((folder / "out" / "assessment.json").read_text()) == told
    assert told["days"] == DAYS and told["last"] == "2018-01-03" and told["opened_before"] == 0
    assert told["which_stations"] == "withheld stations"
    assert "a test" in (folder / "store" / "openings.jsonl").read_text()


def test_what_is_not_there_is_told(folder: Path) -> None:
    done = call(folder)
    found = done.exception
    assert isinstance(found, overlap.TooLittleOverlap)
    assert "on 5 days; 30 are needed" in str(found)
    done = call(folder, "--beside", "f16")
    found = done.exception
    assert isinstance(found, UnknownName) and "no passes of 'f16'" in str(found)
    assert "amsr2, f17" in str(found)
    assert "beside itself" in str(call(folder, "--beside", "amsr2").exception)


@pytest.fixture(scope="module")
def assessed(folder: Path) -> assessment.Assessed:
    """Beside the reference that was found."""
    store, own = Store.at(folder / "store"), limits.load(folder / "limits.yaml")
    asked = assessment.Asked(store.root, "amsr2", "", ("f17", "amsr2"), None, own)
    with show.bars("days") as progress:
        return assessment.of(asked, progress)


def test_the_reference_is_the_sensor_that_shares_most_days(assessed: assessment.Assessed) -> None:
    assert assessed.beside == "f17" and len(assessed.overlap.days) == 5
    assert assessed.met is None and assessed.jumps is not None


@pytest.mark.parametrize(
    ("interval_of_one", "words", "code"),
    [
        ((0.0, 0.1), "amsr2: fit (SIMULATED world (a test)): all 2 checks hold", 0),
        ((0.0, 0.3), "amsr2: undecided (SIMULATED world (a test)): 1 of 2 open: bias wind", 1),
        ((0.25, 0.3), "amsr2: not fit (SIMULATED world (a test)): 1 of 2 fail: bias wind", 1),
    ],
)
def test_the_exit_code_is_0_only_for_a_fit_sensor(
    assessed: assessment.Assessed,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    interval_of_one: tuple[float, float],
    words: str,
    code: int,
) -> None:
    good, one = (
        Check(what, "wind_speed", "m/s", Interval(high, low, high), -0.2, 0.2)
        for what, (low, high) in (("drift", (0.0, 0.1)), ("bias", interval_of_one))
    )
    made = replace(assessed, checks=[good, one])
    monkeypatch.setattr(assessment, "of", lambda asked, progress: made)
    monkeypatch.setattr(report, "write", lambda found, out: [])
    done = call(folder)
    assert done.exit_code == code and words in done.output.replace("\n", " ")
