"""Daily products beside means of days of the reports: what is taken, what counts."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
import xarray as xr
import yaml
from matchupworld import DAYS, LAT, LON, datasets, matchups
from typer.testing import CliRunner

from fluxengine import place
from fluxengine.errors import ConfigError, UnknownName
from fluxrecipes import stored
from fluxrecipes import vocabulary as cf
from fluxrecipes.at_10m import at_2m, at_10m
from fluxrecipes.matchups import beside, by_month, command, conditions, daily, file
from fluxrecipes.matchups.beside import Asked
from fluxrecipes.matchups.daily import Days
from fluxrecipes.matchups.matching import Rules
from fluxrecipes.sources.reports import GTMBA, ICOADS

HOURS = 24 * len(DAYS)
SHAPE = (len(DAYS), len(LAT), len(LON))
NUMBER = np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE)


def reports(month: str) -> xr.Dataset:
    """Of three platforms in one cell, whose air warms by the hour of the day.

    MOORED reports every hour, and every ten minutes before six; its twin in ICOADS every hour;
    LAZY never after 18 h.
    """
    first = np.datetime64(month, "M").astype("M8[m]")
    last = (np.datetime64(month, "M") + 1).astype("M8[m]")
    every = np.arange(first, last, 10)
    minute = (every - every.astype("M8[D]")).astype(int)
    hourly, often = minute % 60 == 0, minute < 360
    some = {
        (b"MOORED", GTMBA): hourly | often,
        (b"TWIN", ICOADS): hourly,
        (b"LAZY", GTMBA): hourly & (minute < 1080),
    }
    times = np.concatenate([every[mine] for mine in some.values()])
    sizes = [int(mine.sum()) for mine in some.values()]
    names, feeds = (np.repeat(one, sizes) for one in zip(*some, strict=True))
    number, lazy = len(times), np.repeat([0.0, 0.0, 1.0], sizes)
    hour = (times - times.astype("M8[D]")).astype(int) / 60.0
    columns: dict[str, Any] = {
        "time": times.astype("M8[ns]"),
        "platform": names.astype("S16"),
        "feed": feeds.astype("u1"),
        "air_temperature": 290.0 + hour / 10.0 + 2.0 * lazy,
    }
    columns |= {n: np.full(number, 2) for n in ("report_status", "wind_method", "averaging")}
    judged = ("wind", "air_temperature", "humidity", "sea_surface_temperature")
    columns |= {f"{name}_quality": np.full(number, 2) for name in judged}
    values = {
        "latitude": 0.3,
        "longitude": 0.4,
        "wind_speed": 7.0,
        "specific_humidity": 0.010,
        "sea_surface_temperature": 293.5,
        "air_pressure": 101_000.0,
        "height_wind": 4.0,
        "height_air_temperature": 3.0,
        "height_humidity": 2.5,
        "platform_kind": 4,
    }
    columns |= {name: np.full(number, value) for name, value in values.items()}
    return xr.Dataset({name: ("report", np.asarray(one)) for name, one in columns.items()})


def product(names: list[str], lat: np.ndarray = LAT, lon: np.ndarray = LON) -> xr.Dataset:
    """Each value says its day and cell: the running number on the record's grid, NaN beyond."""
    made = np.full((len(DAYS), len(lat), len(lon)), np.nan, np.float32)
    row, column = (np.searchsorted(mine, all_) for mine, all_ in ((lat, LAT), (lon, LON)))
    made[:, row[:, None], column] = NUMBER
    dims, coords = ("time", "lat", "lon"), {"time": DAYS.astype("M8[ns]"), "lat": lat, "lon": lon}
    return xr.Dataset(dict.fromkeys(names, (dims, made)), coords)


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> dict[str, xr.Dataset]:
    """A store with the record and two products, one of them on a wider grid."""
    fluxes = ["sensible_heat_flux", "latent_heat_flux"]
    made = datasets() | {
        "deepflux": product(["air_temperature", "specific_humidity", *fluxes]),
        "comparison-oaflux": product(["air_temperature_2m", *fluxes], np.arange(-9.5, 10.0)),
        "comparison-ohf-cdr": product(fluxes).isel(time=slice(0, 40)),
    }

    def opened(location: object, name: str, month: str | None = None) -> xr.Dataset:
        if name == "insitu":
            if month not in ("2014-01", "2014-02"):
                raise UnknownName(f"there is no month {month}.")
            return reports(str(month))
        if name not in made:
            raise UnknownName(f"the store has no dataset '{name}'", mend=f"It has: {list(made)}.")
        return made[name]

    for module in (by_month, beside, stored):
        monkeypatch.setattr(module, "open_dataset", opened)
    return made


ASKED = Asked(
    place.at("nowhere"),
    date(2014, 1, 1),
    date(2014, 2, 28),
    Rules(),
    daily.products_of(["oaflux=comparison-oaflux", "ohf-cdr=comparison-ohf-cdr"], daily.DATASET),
)


def all_days() -> tuple[beside.Beside, list[Days]]:
    parts = [daily.of_month(ASKED, month) for month in ASKED.months]
    found = beside.whole(part.found for part in parts)
    assert found is not None
    return found, [part.days for part in parts if part.days is not None]


def test_in_a_calm_below_warm_air_no_wind_falls_below_none() -> None:
    wind = np.array([0.0, 0.01, 0.1, 0.2, 0.5])
    upper = at_10m(wind, np.full(5, 295.0), np.full(5, 299.0), np.full(5, 0.01), height_wind=25.0)
    for told in (upper.wind_speed, upper.neutral_wind):
        assert (told >= 0.0).all() and (told < 1.0).all()


def test_a_day_is_the_mean_of_its_quarters(known: dict[str, xr.Dataset]) -> None:
    days = Days.concatenated(all_days()[1])
    assert set(days.platform) == {b"MOORED", b"TWIN"}  # the other lacks the evening
    assert len(days) == 2 * len(DAYS)
    moored = days.at((days.platform == b"MOORED") & (days.day == DAYS[7]))
    assert moored.reports.tolist() == [18 + 36] and moored.feed.tolist() == [GTMBA]
    one = reports("2014-01")
    one = one.isel(report=(one["platform"] == b"MOORED").values)
    hour = one["time"].dt.hour.values + one["time"].dt.minute.values / 60.0
    given = [one[n].values for n in ("wind_speed", "sea_surface_temperature", "air_temperature")]
    heights = {"height_wind": 4.0, "height_temperature": 3.0, "height_humidity": 2.5}
    options = heights | {"pressure": 101_000.0, "latitude": 0.3}
    upper = at_10m(*given, one["specific_humidity"].values, **options)
    lower = at_2m(*given, one["specific_humidity"].values, **options)
    for name, values in (
        ("air_temperature", upper.air_temperature),
        ("latent_heat_flux", upper.latent_heat_flux),
        ("air_temperature_2m", lower[0]),
        ("specific_humidity_2m", lower[1]),
    ):
        quarters = [values[hour // 6 == quarter].mean() for quarter in range(4)]
        assert moored.in_situ[name][0] == pytest.approx(np.mean(quarters), rel=1e-6), name
        assert abs(values.mean() - np.mean(quarters)) > 1e-6 or "humidity" in name
    below, above = moored.in_situ["air_temperature_2m"], moored.in_situ["air_temperature"]
    assert (below > above).all()  # the sea is warmer than the air


def test_a_product_is_that_of_the_cell_and_day(known: dict[str, xr.Dataset]) -> None:
    days = Days.concatenated(all_days()[1])
    expected = NUMBER[(days.day - DAYS[0]).astype(int), days.row, days.column]
    assert list(days.products) == ["record", "oaflux", "ohf-cdr"]
    np.testing.assert_array_equal(days.products["record"]["air_temperature"], expected)
    np.testing.assert_array_equal(days.products["oaflux"]["air_temperature_2m"], expected)
    assert "air_temperature" not in days.products["oaflux"]
    late = days.day >= DAYS[40]
    shorter = days.products["ohf-cdr"]["latent_heat_flux"]
    assert np.isnan(shorter[late]).all()
    np.testing.assert_array_equal(shorter[~late], expected[~late])


def test_a_day_has_the_state_and_the_mean_of_the_record_s_passes(
    known: dict[str, xr.Dataset],
) -> None:
    passes, filled = (known[f"deepflux-{name}"].copy(deep=True) for name in ("passes", "filled"))
    known |= {"deepflux-passes": passes, "deepflux-filled": filled}
    told = (
        (cf.OBSERVED, cf.OBSERVED, cf.OBSERVED),
        (cf.COMPLETED, cf.OBSERVED, cf.COMPLETED),
        (cf.OBSERVED, cf.REANALYSIS, cf.REANALYSIS),
        (cf.PERSISTED, cf.NO_RETRIEVAL, cf.PERSISTED),
        (cf.NO_OBSERVATION, cf.SEA_ICE, 0),
    )
    for day, (ascending, descending, _) in enumerate(told):
        passes["flux_state"][day, 0], passes["flux_state"][day, 1] = ascending, descending
    filled["wind_speed"][0, 0], filled["wind_speed"][0, 1] = 4.0, 7.0
    filled["wind_speed"][1, 0], filled["wind_speed"][1, 1] = np.nan, 7.0
    filled["wind_speed"][2] = np.nan
    days = Days.concatenated(all_days()[1])
    for day, (*_, state) in enumerate(told):
        mine = days.day == DAYS[day]
        assert mine.sum() == 2 and set(days.state[mine]) == {state}
    wind = [days.conditions["wind_speed"][days.day == DAYS[day]] for day in range(3)]
    np.testing.assert_allclose(wind, [[5.5] * 2, [7.0] * 2, [np.nan] * 2])
    later = days.day == DAYS[7]
    cell = {"lat": days.row[later][0], "lon": days.column[later][0]}
    vapour = filled["water_vapour"].isel(time=7, **cell).values
    np.testing.assert_allclose(days.conditions["water_vapour"][later], vapour.mean())
    assert set(days.conditions) == {name for name, *_ in conditions.BINNED}


def test_days_count_where_their_matchups_do(known: dict[str, xr.Dataset]) -> None:
    found, parts = all_days()
    some = found.matchups
    sets = beside.sets_of(some)
    told = np.full(len(some), beside.KEPT, np.uint8)
    told[beside.duplicates(some)] = beside.DUPLICATE
    moored = some.platform == b"MOORED"
    told[moored & (some.day == DAYS[3]) & (some.orbit == 1)] = beside.OUTLIER
    told[moored & (some.day == DAYS[4]) & (some.orbit == 1)] = beside.NO_RECORD
    told[moored & (some.day == DAYS[5])] = beside.NO_RECORD
    days = daily.judged(parts, some, told, sets)
    assert days is not None and set(days.platform) == {b"MOORED"}
    assert set(DAYS) - set(days.day) == {DAYS[3], DAYS[5]}
    assert (days.sets == beside.TRAIN).all()
    assert daily.judged(parts, some, np.full_like(told, beside.OUTLIER), sets) is None
    assert daily.judged([], some, told, sets) is None


def test_sets_of_days_are_those_of_their_matchups() -> None:
    some = matchups(3, platform=np.array([b"A", b"WHOTS", b"C"], "S16"))
    empty = np.zeros(3, np.float32)
    days = Days(
        some.platform, some.day, some.row, some.column, some.latitude, some.longitude, some.feed,
        np.full(3, 24), np.zeros(3, np.uint8), np.zeros(3, np.uint8), {},
        {"latent_heat_flux": empty}, {"record": {"latent_heat_flux": empty}},
    )  # fmt: skip
    backwards = days.at(np.array([2, 1, 0]))
    kept = np.full(3, beside.KEPT, np.uint8)
    found = daily.judged([backwards], some, kept, beside.sets_of(some))
    assert found is not None
    assert found.sets.tolist() == [beside.TRAIN, beside.KEPT_BACK, beside.TRAIN]


def test_a_day_with_one_withheld_matchup_is_withheld() -> None:
    some = matchups(2, column=np.array([3, 3]), platform=np.array([b"A", b"A"], "S16"))
    some = replace(some, orbit=np.array([0, 1]))
    days = Days(
        some.platform[:1], some.day[:1], some.row[:1], some.column[:1], some.latitude[:1],
        some.longitude[:1], some.feed[:1], np.full(1, 24), np.zeros(1, np.uint8),
        np.zeros(1, np.uint8), {}, {}, {"record": {}},
    )  # fmt: skip
    kept = np.full(2, beside.KEPT, np.uint8)
    for sets in ([beside.TRAIN, beside.KEPT_BACK], [beside.KEPT_BACK, beside.TRAIN]):
        found = daily.judged([days], some, kept, np.array(sets, np.uint8))
        assert found is not None and found.sets.tolist() == [beside.KEPT_BACK]


def test_ships_alone_have_no_day_beside_a_product() -> None:
    with pytest.raises(ConfigError, match="--beside oaflux, ohf-cdr: no platform that counts"):
        daily.check_days(None, ASKED)
    daily.check_days(None, replace(ASKED, daily=()))


def test_a_file_gives_back_the_days(known: dict[str, xr.Dataset], tmp_path: Path) -> None:
    found, parts = all_days()
    sets = beside.sets_of(found.matchups)
    told = np.full(len(found), beside.KEPT, np.uint8)
    days = daily.judged(parts, found.matchups, told, sets)
    assert days is not None
    file.write(tmp_path / "m.nc", file.Stored(found, told, sets, {"simulated": "no"}, days))
    again = file.read(tmp_path / "m.nc").days
    assert again is not None
    for name in daily.PLAIN:
        before, after = getattr(days, name), getattr(again, name)
        if before.dtype.kind == "f":
            np.testing.assert_allclose(after, before, rtol=1e-6)
        else:
            np.testing.assert_array_equal(after, before)
    assert list(again.products) == list(days.products)
    for product_name, columns in days.products.items():
        for name, values in columns.items():
            np.testing.assert_array_equal(again.products[product_name][name], values)
    for name in ("in_situ", "conditions"):
        before, after = getattr(days, name), getattr(again, name)
        assert list(before) == list(after) != []
        for quantity, values in before.items():
            np.testing.assert_array_equal(after[quantity], values)
    with xr.open_dataset(tmp_path / "m.nc", group="days") as opened:
        assert opened["oaflux_air_temperature_2m"].attrs["units"] == "K"
        assert opened["record_latent_heat_flux"].attrs["units"] == "W m-2"
        assert opened["of_passes_cloud_liquid_water"].attrs["units"] == "kg m-2"
        assert "filled_by_network" in opened["state"].attrs["flag_meanings"]
    file.write(tmp_path / "none.nc", file.Stored(found, told, sets, {"simulated": "no"}))
    assert file.read(tmp_path / "none.nc").days is None


def test_a_file_without_the_state_of_days_is_refused(
    known: dict[str, xr.Dataset], tmp_path: Path
) -> None:
    found, parts = all_days()
    sets = beside.sets_of(found.matchups)
    told = np.full(len(found), beside.KEPT, np.uint8)
    days = daily.judged(parts, found.matchups, told, sets)
    file.write(tmp_path / "m.nc", file.Stored(found, told, sets, {"simulated": "no"}, days))
    with (
        xr.open_dataset(tmp_path / "m.nc") as whole,
        xr.open_dataset(tmp_path / "m.nc", group="days") as old,
    ):
        whole.to_netcdf(tmp_path / "old.nc")
        old.drop_vars("state").to_netcdf(tmp_path / "old.nc", mode="a", group="days")
    with pytest.raises(ConfigError, match=r"state.*fluxforge matchup"):
        file.read(tmp_path / "old.nc")


@pytest.mark.parametrize(
    "options", [["oaflux"], ["=x"], ["a b=x"], ["oaflux="], ["a=x", "a=y"], ["record=x"], ["1=x"]]
)
def test_what_is_no_product_is_refused(options: list[str]) -> None:
    with pytest.raises(ConfigError, match="NAME=DATASET"):
        daily.products_of(options, "deepflux")
    assert daily.products_of([], "deepflux") == ()


def test_a_path_is_whole_for_workers_elsewhere() -> None:
    found = dict(daily.products_of(["a=x.zarr", "b=s3://bucket/x.zarr", "c=name"], "deepflux"))
    assert Path(found["a"]).is_absolute() and found["a"].endswith("x.zarr")
    assert found["b"] == "s3://bucket/x.zarr" and found["c"] == "name"


def test_a_product_that_cannot_be_compared_is_told(
    known: dict[str, xr.Dataset], tmp_path: Path
) -> None:
    def checked(dataset: str) -> None:
        daily.check(replace(ASKED, daily=daily.products_of([f"x={dataset}"], "deepflux")))

    checked("comparison-oaflux")
    with pytest.raises(UnknownName, match=r"--beside x: .*comparison-era5.*It has: .*ohf-cdr"):
        checked("comparison-era5")
    with pytest.raises(UnknownName, match="--daily"):
        daily.check(replace(ASKED, daily=daily.products_of(["x=comparison-oaflux"], "nothing")))
    known["other"] = product(["latent_heat_flux"]).isel(lat=slice(1, None))
    with pytest.raises(ConfigError, match="lacks cells"):
        checked("other")
    known["other"] = product(["wind_speed"])
    with pytest.raises(ConfigError, match="none of air_temperature"):
        checked("other")
    known["other"] = product(["latent_heat_flux"]).assign_coords(time=DAYS + 400)
    with pytest.raises(ConfigError, match="no day from"):
        checked("other")
    known["other"] = product(["latent_heat_flux"]).isel(time=[0, 31])
    with pytest.raises(ConfigError, match="31 days apart"):  # of months
        checked("other")
    plain = tmp_path / "plain.zarr"
    product(["latent_heat_flux"]).to_zarr(plain, zarr_format=3, consolidated=False)
    checked(str(plain))


def test_the_command_takes_products(known: dict[str, xr.Dataset], tmp_path: Path) -> None:
    content = {
        "product": "deepflux",
        "period": {"first": "2014-01-01", "last": "2014-02-28"},
        "profiles": {"local": {"store": str(tmp_path / "s"), "cluster": {"kind": "serial"}}},
    }
    run = tmp_path / "run.yaml"
    run.write_text(yaml.safe_dump(content))
    app = typer.Typer()
    app.command()(command.matchup)
    out = tmp_path / "matchups.nc"
    call = ["-c", str(run), "--out", str(out), "--beside", "oaflux=comparison-oaflux"]
    done = CliRunner().invoke(app, call, env={"COLUMNS": "200"})
    assert done.exit_code == 0, (done.output, done.exception)
    days = file.read(out).days
    assert days is not None and set(days.platform) <= {b"MOORED", b"TWIN"}
    assert f"{len(days):,} days of platforms" in done.output
    assert "record, oaflux" in done.output
    known["elsewhere"] = product(["latent_heat_flux"]) * np.nan
    apart = CliRunner().invoke(app, [*call, "--beside", "era5=elsewhere"])
    assert isinstance(apart.exception, ConfigError)
    assert re.search(r"--beside era5: it has no value on any of \d+ days", str(apart.exception))
    missing = CliRunner().invoke(app, [*call, "--beside", "era5=comparison-era5"])
    assert isinstance(missing.exception, UnknownName)
    assert "comparison-oaflux" in str(missing.exception)
