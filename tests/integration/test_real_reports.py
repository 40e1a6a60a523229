"""Real reports from the sea beside a simulated record of their days, checked against raw files."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
import xarray as xr
import yaml

from fluxengine.store import open_dataset
from fluxrecipes import vocabulary as cf
from fluxrecipes.matchups import beside, file, matching
from fluxrecipes.matchups.climatology import Climatology
from fluxrecipes.matchups.matching import Matchups, Passes

FluxForge = Callable[..., CompletedProcess[str]]

FIRST, LAST = "2021-06-30", "2021-07-01"  # a turn of the month
PLACES = {  # of the files, below the archive's root
    "ndbc/41002h2021.txt": "historical/stdmet",
    "ndbc/46042w1996.txt.gz": "historical/stdmet",
    "ndbc/46097h201908qc.txt": "historical/stdmet",
    "imma/063-714_2010-07_subset.imma": "",
    "whots/WHOTS-XX_MET_sys1.txt": "",
}
NORTH, EAST, WIND_AT, AIR_AT = 31.759, 285.064, 4.1, 3.7  # heights: an example of what a user gives
HEADER = "station,latitude,longitude,height_wind,height_air,depth_water,heights_from,heights_until"
STATIONS = f"{HEADER}\n41002,{NORTH},{EAST},{WIND_AT},{AIR_AT},1.5,,\n"
FEEDS = ("--feed", "ndbc", "--feed", "icoads", "--feed", "whots")


@dataclass(frozen=True)
class World:
    """A store with real reports and a simulated record, and what commands said on the way."""

    folder: Path
    without_heights: str
    with_heights: str
    told: str

    def run_file(self, first: str = FIRST, last: str = LAST, **changes: object) -> Path:
        path = self.folder / "run.yaml"
        path.write_text(
            yaml.safe_dump(
                {
                    "product": "deepflux",
                    "period": {"first": first, "last": last},
                    "options": {
                        "sensors": ["f17"],
                        "fill": "interpolation",
                        "retrieve": "regression",
                        "correct": "none",
                    },
                    "archives": {
                        "rss": "simulated/rss",
                        "oisst": "simulated/oisst",
                        "ndbc": "ndbc",
                        "icoads": "imma",
                        "whots": "whots",
                        "era5": "era5",
                    },
                    "profiles": {"serial": {"store": "store", "cluster": {"kind": "serial"}}},
                }
                | changes
            )
        )
        return path

    @property
    def stored(self) -> file.Stored:
        return file.read(self.folder / "matchups.nc")


@pytest.fixture(scope="module")
def world(fluxforge: FluxForge, real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> World:
    """Reports are ingested before anybody tells the heights of their sensors, and again after."""
    folder = tmp_path_factory.mktemp("real-reports")
    for name, place in PLACES.items():
        target = folder / name.partition("/")[0] / place / Path(name).name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(real_data / "insitu" / name, target)
    fluxforge(
        *("simulate", folder / "simulated", "--first", FIRST, "--last", LAST),
        *("--with", "rss,oisst"),
    )
    made = World(folder, "", "", "")
    fluxforge("run", "-c", made.run_file())
    ingest = ("ingest", "insitu", *FEEDS, "-c")
    whole = {"product": "insitu", "options": {}}
    fluxforge(*ingest, made.run_file("1990-01-01", "2025-12-31", **whole), check=3)
    out = ("--out", folder / "matchups.nc")
    before = fluxforge("matchup", "-c", made.run_file(), *out, check=1).stderr
    (folder / "ndbc" / "stations.csv").write_text(STATIONS)
    again = fluxforge(*ingest, made.run_file("1990-01-01", "2025-12-31", **whole), check=3).stdout
    return World(folder, before, again, fluxforge("matchup", "-c", made.run_file(), *out).stdout)


# --- the raw file, read by ourselves -------------------------------------------------------------


def raw(real_data: Path) -> dict[str, np.ndarray]:
    """Columns of 41002's file as it says them, NaN where NDBC's nines stand."""
    lines = (real_data / "insitu/ndbc/41002h2021.txt").read_text().splitlines()
    names = lines[0].lstrip("#").split()
    rows = [dict(zip(names, line.split(), strict=True)) for line in lines[1:]]
    when = [f"{r['YY']}-{int(r['MM']):02}-{r['DD']}T{r['hh']}:{r['mm']}" for r in rows]
    found = {"time": np.array(when, "M8[s]")}
    for name, missing in (
        ("WSPD", 99),
        ("ATMP", 999),
        ("WTMP", 999),
        ("DEWP", 999),
        ("PRES", 9999),
    ):
        values = np.array([float(row[name]) for row in rows])
        found[name] = np.where(values == missing, np.nan, values)
    return found


def humidity(dew_point: float, pressure: float) -> float:
    """Specific humidity by Buck's formula (1981), of °C and hPa."""
    vapour = (
        6.1121 * np.exp(17.502 * dew_point / (dew_point + 240.97)) * (1.0007 + 3.46e-6 * pressure)
    )
    return float(0.622 * vapour / (pressure - 0.378 * vapour))


def profile(
    wind: float, air: float, sea: float, moist: float, pressure: float
) -> tuple[float, float, float, float]:
    """Air and humidity at 10 m and fluxes: roughness of Charnock, profiles of Paulson and Dyer."""
    karman, gravity = 0.4, 9.81
    kelvin = air + 273.15
    virtual = kelvin * (1 + 0.61 * moist)
    warm = (air + 0.0098 * AIR_AT) - sea
    damp = moist - 0.98 * humidity(sea, pressure)

    def shape(zeta: float, heat: bool) -> float:
        if zeta > 0:
            return -5.0 * min(zeta, 2.0)
        x = (1 - 16 * zeta) ** 0.25
        if heat:
            return float(2 * np.log((1 + x**2) / 2))
        return float(
            np.log((1 + x**2) / 2) + 2 * np.log((1 + x) / 2) - 2 * np.arctan(x) + np.pi / 2
        )

    friction, fall, dry, stable = 0.035 * wind, 0.0, 0.0, 0.0
    for _ in range(30):
        rough = 0.011 * friction**2 / gravity + 0.11 * 1.5e-5 / friction
        scalar = min(1.6e-4, 5.8e-5 / (friction * rough / 1.5e-5) ** 0.72)
        upward = -friction * (fall + 0.61 * kelvin * dry)
        gust = 1.2 * (gravity / virtual * max(upward, 0.0) * 600.0) ** (1 / 3)
        speed = np.hypot(wind, max(gust, 0.2))
        friction = karman * speed / (np.log(WIND_AT / rough) - shape(WIND_AT * stable, False))
        drop = karman / (np.log(AIR_AT / scalar) - shape(AIR_AT * stable, True))
        fall, dry = drop * warm, drop * damp
        stable = karman * gravity / virtual * (fall + 0.61 * kelvin * dry) / friction**2
    further = (
        np.log(10 / AIR_AT) - shape(10 * stable, True) + shape(AIR_AT * stable, True)
    ) / karman
    flux = -pressure * 100 / (287.1 * virtual) * friction
    return (
        air + fall * further - 0.0098 * (10 - AIR_AT),
        moist + dry * further,
        flux * 1004.67 * fall,
        flux * (2.501 - 0.00237 * sea) * 1e6 * dry,
    )


# --- from end to end -----------------------------------------------------------------------------


def test_reports_without_heights_are_told_and_how_to_give_them(
    world: World, real_data: Path
) -> None:
    own = raw(real_data)
    day = own["time"].astype("M8[D]")
    there = (day >= np.datetime64(FIRST)) & (day <= np.datetime64(LAST))
    whole = there & np.isfinite([own[n] for n in ("WSPD", "ATMP", "WTMP", "DEWP")]).all(axis=0)
    said = world.without_heights
    assert f"of {there.sum()} reports of these days none can be used" in said
    assert f"unknown height of wind {whole.sum()}" in said and "stations.csv" in said
    # What stands beside a file is part of what was read: nobody need touch the file itself.
    assert "insitu: files read 3" in world.with_heights


def test_the_command_says_what_became_of_every_report(world: World, real_data: Path) -> None:
    own = raw(real_data)
    day = own["time"].astype("M8[D]")
    there = (day >= np.datetime64(FIRST)) & (day <= np.datetime64(LAST))
    dry = there & np.isnan(own["WTMP"])
    rows = {line.rsplit(None, 1)[0].strip(): line.rsplit(None, 1)[-1] for line in lines(world.told)}
    assert rows["can be used"] == f"{there.sum() - dry.sum()}"
    assert rows.get("no sea surface temperature", "0") == f"{dry.sum()}"
    assert rows["kept"] == f"{len(world.stored.found)}"
    assert "can be used" in world.stored.attrs["reports"]


def lines(printed: str) -> Iterator[str]:
    return (line for line in printed.splitlines() if line.strip())


def test_matchups_are_what_the_raw_file_says_near_the_pass(world: World, real_data: Path) -> None:
    own, stored = raw(real_data), world.stored
    some, record = stored.found.matchups, stored.found.record
    assert 2 <= len(some) <= 4 and set(some.platform) == {b"41002"}  # two passes of two days
    merged = open_dataset(world.folder / "store", "deepflux-merged")
    passes = open_dataset(world.folder / "store", "deepflux-passes")
    complete = np.isfinite([own[n] for n in ("WSPD", "ATMP", "WTMP", "DEWP")]).all(axis=0)
    for at in range(len(some)):
        cell = {"time": some.day[at], "orbit": some.orbit[at]}
        place = {"lat": NORTH, "lon": EAST}
        seen = merged.isel(orbit=cell["orbit"]).sel(time=cell["time"]).sel(place, method="nearest")
        assert abs(float(seen["lat"]) - NORTH) <= 0.5 and abs(float(seen["lon"]) - EAST) <= 0.5
        if some.state[at] == cf.OBSERVED:
            pass_at = some.day[at] + np.timedelta64(round(float(seen["pass_time"]) * 3600), "s")
            apart = np.abs((own["time"] - pass_at) / np.timedelta64(1, "h"))
            nearest = np.flatnonzero(complete)[apart[complete].argmin()]
            assert own["time"][nearest] == some.time[at] and apart[nearest] <= 0.5
            assert abs(some.hours_apart[at]) == pytest.approx(apart[nearest], abs=0.01)
        number = int(np.flatnonzero(own["time"] == some.time[at])[0])
        pressure, sea = own["PRES"][number], own["WTMP"][number]
        moist = humidity(own["DEWP"][number], pressure)
        made = profile(own["WSPD"][number], own["ATMP"][number], sea, moist, pressure)
        assert some.sea_surface_temperature[at] == pytest.approx(sea + 273.15, abs=1e-3)
        assert some.air_temperature[at] - 273.15 == pytest.approx(made[0], abs=0.01)
        assert 1e3 * some.specific_humidity[at] == pytest.approx(1e3 * made[1], abs=0.02)
        assert some.sensible_heat_flux[at] == pytest.approx(made[2], rel=0.08, abs=0.2)
        assert some.latent_heat_flux[at] == pytest.approx(made[3], rel=0.08)
        said = passes.isel(orbit=cell["orbit"]).sel(time=cell["time"]).sel(place, method="nearest")
        for name in ("air_temperature", "latent_heat_flux", "sea_surface_temperature"):
            assert record[name][at] == np.float32(said[name])


def test_what_is_printed_says_that_the_record_is_simulated(
    world: World, fluxforge: FluxForge, tmp_path: Path
) -> None:
    call = ("validate", "--matchups", world.folder / "matchups.nc", "--out", tmp_path)
    printed = fluxforge(*call).stdout
    told = json.loads((tmp_path / "validation.json").read_text())
    assert told["simulated"].startswith("record: ") and told["simulated"].endswith("reports: real")
    assert told["points"] == len(world.stored.found)
    measured = [line for line in lines(printed) if "measured here" in line]
    assert measured and all("SIMULATED" in line for line in measured)
    words = printed.split()
    assert not {"nan", "+nan", "inf", "-inf"} & set(words)  # groups of a report or two
    correlations = [one["correlation"]["value"] for one in told["scores"]]
    assert all(one is None or abs(one) <= 1 for one in correlations)


def test_days_without_reports_or_with_none_of_use_are_errors_in_words(
    world: World, fluxforge: FluxForge, tmp_path: Path
) -> None:
    def said(first: str, last: str) -> str:
        call = ("matchup", "-c", world.run_file(first, last), "--out", tmp_path / "m.nc")
        return " ".join(fluxforge(*call, check=1).stderr.split())

    assert "has no report from 2016-01 to 2016-01. `fluxforge ingest insitu`" in said(
        "2016-01-02", "2016-01-03"
    )
    assert "of 288 reports of these days none can be used: no specific humidity 288" in said(
        "2019-08-01", "2019-08-02"
    )
    assert "of 4,663 reports of these days none can be used: no wind speed 4,483; rejected" in said(
        "2010-07-01", "2010-07-01"
    )
    assert "none of 144 reports that can be used lies in a cell of a pass" in said(
        "2021-07-05", "2021-07-05"
    )
    assert not (tmp_path / "m.nc").exists()


# --- of the table alone --------------------------------------------------------------------------


def test_reports_are_left_out_for_what_their_own_lines_say(world: World, real_data: Path) -> None:
    """Of each line of ICOADS: which of wind, air, sea and dew point it has; and its status."""
    text = (real_data / "insitu/imma/063-714_2010-07_subset.imma").read_text(errors="replace")
    left = Counter[str]()
    for line in text.splitlines():
        values = [line[a:b].strip() for a, b in ((50, 53), (85, 89), (69, 73), (79, 83))]
        for value, name in zip(values, ("wind", "sea", "air", "dew point"), strict=True):
            if not value:
                left[name] += 1
                break
        else:
            assert line[108:113] == " 165 "  # the attachment with the status of duplicates
            left["rejected" if line[126:128] == "14" else "other"] += 1
    use = matching.use_of(open_dataset(world.folder / "store", "insitu", month="2010-07"))
    assert use["rejected by the provider"] == left["rejected"] > 100 and not left["other"]
    assert use["no sea surface temperature"] == left["sea"]
    assert use[matching.USABLE] == 0
    nothing = 5000 - use.total()  # lines without one usable value are no rows
    assert use["no wind speed"] == left["wind"] - nothing


def passes_at(latitude: float, longitude: float, days: np.ndarray) -> Passes:
    """Of a cell that is seen at 10 and at 22 h UTC of each day."""
    shape = (len(days), 2, 1, 1)
    hours = np.broadcast_to(np.array([10.0, 22.0])[:, None, None], shape)
    state = np.full(shape, cf.OBSERVED, np.uint8)
    south, west = np.floor(latitude), np.floor(longitude)
    return Passes(days, float(south), float(west), hours, state, np.full(shape, 17, np.uint8))


def summer(world: World) -> Matchups:
    """All that 41002 reported about two passes a day, June to August 2021."""
    days = np.arange("2021-06-08", "2021-09-01", dtype="M8[D]")
    seen = passes_at(NORTH, EAST, days)
    months = (
        open_dataset(world.folder / "store", "insitu", month=month).load()
        for month in ("2021-06", "2021-07", "2021-08")
    )
    return Matchups.joined([matching.match(reports, seen) for reports in months])


def test_outliers_are_those_of_the_months_own_mean_and_spread(world: World) -> None:
    some = summer(world)
    assert len(some) > 150
    found = beside.Beside(some, {"latent_heat_flux": np.ones(len(some), np.float32)})
    told = beside.verdicts(found, beside.sets_of(some), 2.8)
    far = np.zeros(len(some), bool)
    for month in (6, 7, 8):
        mine = some.day.astype("M8[M]").astype(int) % 12 + 1 == month
        if mine.sum() < 50:
            continue
        for values in (
            some.air_temperature,
            some.specific_humidity,
            some.sea_surface_temperature,
            np.sqrt(some.wind_speed),
        ):
            own = values[mine].astype(float)
            far[mine] |= np.abs(own - own.mean()) > 2.8 * own.std()
    np.testing.assert_array_equal(told == beside.OUTLIER, far)
    assert 0 < far.sum() < 0.1 * len(some)
    assert Climatology.of(some).plausible(some).sum() == (~far).sum()


def test_a_buoy_that_comes_twice_counts_once(world: World) -> None:
    """The same real reports under ICOADS's number, rounded as ICOADS rounds."""
    some = summer(world)
    twin = some.at(np.arange(len(some)))
    columns = {one: getattr(twin, one) for one in twin.__dataclass_fields__}
    columns |= {
        "platform": np.full(len(some), b"4100200", "S16"),
        "feed": np.full(len(some), 6, np.uint8),
        "air_temperature": np.round(twin.air_temperature, 1),
        "wind_speed": np.round(twin.wind_speed, 1),
    }
    both = Matchups.concatenated([some, Matchups(**columns)])
    np.testing.assert_array_equal(beside.duplicates(both), both.platform == b"4100200")


def test_a_withheld_station_is_kept_back_whatever_its_file(world: World) -> None:
    reports = open_dataset(world.folder / "store", "insitu", month="2024-06").load()
    assert set(reports["platform"].values) == {"WHOTS"}
    assert matching.use_of(reports)[matching.USABLE] == 0  # the raw file tells no heights
    heights = {name: ("report", np.full(reports.sizes["report"], 3.0)) for name in matching.HEIGHTS}
    days = np.arange("2024-06-01", "2024-07-01", dtype="M8[D]")
    found = matching.match(reports.assign(heights), passes_at(22.75, 202.0, days))
    assert len(found) and (beside.sets_of(found) == beside.KEPT_BACK).all()


# --- a real reanalysis ---------------------------------------------------------------------------


@pytest.mark.slow
def test_a_reanalysis_of_another_region_is_refused_beside_the_reports(
    world: World, fluxforge: FluxForge, real_data: Path, tmp_path: Path
) -> None:
    """ERA5 off Valdivia has an hour of 1 July 2021, on which 41002 reported in the Atlantic."""
    names = {"accum": "2021/07/era5_20210701_accum.nc", "instant": "2021/07/era5_20210701.nc"}
    for kind, name in names.items():
        target = world.folder / "era5" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(real_data / f"era5/valdivia/data_stream-oper_stepType-{kind}.nc", target)
    few = {"min_hours": 0.04, "min_valid": 0.1}
    run = world.run_file("2021-07-01", LAST, product="comparison-era5", options=few)
    fluxforge("run", "-c", run)
    made = open_dataset(world.folder / "store", "comparison-era5").sel(time="2021-07-01").load()
    for variable, name in (("latent_heat_flux", "slhf"), ("sensible_heat_flux", "sshf")):
        ours, expected = made[variable], of_cells(real_data, name)
        assert int(ours.notnull().sum()) == len(expected) > 0
        for (south, west), value in expected.items():
            found = float(ours.sel(lat=south + 0.5, lon=west + 0.5))
            assert found == pytest.approx(value, abs=0.05)
    call = ("matchup", "-c", world.run_file(), "--beside", "era5=comparison-era5")
    said = fluxforge(*call, "--out", tmp_path / "m.nc", check=1).stderr
    assert "--beside era5: it has no value on any of" in said
    assert not (tmp_path / "m.nc").exists()


def of_cells(real_data: Path, name: str) -> dict[tuple[int, int], float]:
    """Upward flux at 12 UTC of cells of 1°, over the nodes' areas with sea in them."""
    folder = real_data / "era5/valdivia"
    with (
        xr.open_dataset(folder / "data_stream-oper_stepType-accum.nc") as sums,
        xr.open_dataset(folder / "data_stream-oper_stepType-instant.nc") as states,
    ):
        flux = -sums[name].sel(valid_time="2021-07-01T12") / 3600.0
        wet = states["sst"].sel(valid_time="2021-07-01T12").notnull()
        lat, lon = flux["latitude"].values, flux["longitude"].values % 360
        values, there = flux.values, wet.values
    found = {}
    for south in range(-42, -37):
        for west in range(284, 289):
            rows = np.ptp(np.sin(np.radians(_boxes(south, lat))), axis=0)
            area = rows[:, None] * np.ptp(_boxes(west, lon), axis=0) * there
            if area.sum() >= 0.1 * np.diff(np.sin(np.radians([south, south + 1]))).item():
                found[south, west] = float((area * values).sum() / area.sum())
    return found


def _boxes(edge: int, nodes: np.ndarray) -> np.ndarray:
    """Edges of the boxes about nodes, as far as they lie within the degree from an edge."""
    return np.clip([nodes - 0.125, nodes + 0.125], edge, edge + 1)
