"""Matchups with the record beside them: what is taken, what is left out and why, and their file."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
import xarray as xr
import yaml
from matchupworld import DAYS, SHAPE, datasets, matchups
from typer.testing import CliRunner

from fluxengine import place
from fluxengine.errors import ConfigError, UnknownName
from fluxrecipes import stored
from fluxrecipes.matchups import beside, by_month, command, file
from fluxrecipes.matchups.beside import Asked, Beside
from fluxrecipes.matchups.matching import WITHHELD, Matchups, Rules
from fluxrecipes.sources.reports import GTMBA, ICOADS, NDBC, OCEANSITES

RNG = np.random.default_rng(8)


def copies(**changes: Any) -> Matchups:
    """A buoy's report and its copy through ICOADS, in one cell and pass."""
    given = {
        "column": np.array([7, 7]),
        "feed": np.array([ICOADS, GTMBA], np.uint8),
        "time": np.array(["2014-01-04T18:10", "2014-01-04T18:00"], "M8[s]"),
        "air_temperature": np.array([298.1, 298.0]),
    }
    return matchups(2, **(given | changes))


def test_the_copy_further_from_the_sensor_is_the_duplicate() -> None:
    assert beside.duplicates(copies()).tolist() == [True, False]
    three = matchups(
        3,
        column=np.array([7, 7, 7]),
        feed=np.array([ICOADS, NDBC, GTMBA], np.uint8),
    )
    assert beside.duplicates(three).tolist() == [True, True, False]


@pytest.mark.parametrize(
    "changes",
    [
        {"time": np.array(["2014-01-04T18:20", "2014-01-04T18:00"], "M8[s]")},
        {"air_temperature": np.array([298.3, 298.0])},
        {"wind_speed": np.array([1.0, 2.0])},
        {"column": np.array([7, 8])},
        {"orbit": np.array([0, 1])},
        {"day": DAYS[:2]},
        {"platform": np.array([b"A", b"A"], "S16")},  # the nearest in time was taken already
    ],
)
def test_two_reports_are_two(changes: dict[str, Any]) -> None:
    assert not beside.duplicates(copies(**changes)).any()


def test_sets_are_by_station_and_year() -> None:
    some = matchups(
        5,
        day=np.array(
            ["2014-05-01", "2016-05-01", "2017-12-31", "2018-01-01", "2014-05-01"], "M8[D]"
        ),
        platform=np.array([b"a", b"b", b"c", b"d", b"Stratus"], "S16"),
    )
    expected = [beside.TRAIN, beside.VALIDATION, beside.VALIDATION, beside.TEST, beside.KEPT_BACK]
    assert beside.sets_of(some).tolist() == expected


@pytest.mark.parametrize("feed", [ICOADS, OCEANSITES])
def test_a_copy_of_a_withheld_report_is_withheld_whichever_is_nearer_to_the_sensor(
    feed: int,
) -> None:
    """The last is as like the copy as the copy is like the withheld one."""
    some = matchups(
        4,
        column=np.array([7, 7, 7, 7]),
        platform=np.array([b"1700123", b"Whots", b"41002", b"other"], "S16"),
        feed=np.array([feed, NDBC, NDBC, ICOADS], np.uint8),
        air_temperature=np.array([298.1, 298.0, 302.0, 298.2]),
    )
    assert beside.reported_by(some, ["WHOTS"]).tolist() == [True, True, False, True]
    assert beside.sets_of(some).tolist() == [beside.KEPT_BACK] * 2 + [2, beside.KEPT_BACK]
    assert beside.once(some, ["WHOTS"]).platform.tolist() == [b"41002"]
    assert not beside.reported_by(some, ["NTAS"]).any() and len(beside.once(some)) == 2


def test_what_comes_from_near_a_withheld_mooring_is_withheld_by_any_name() -> None:
    """Its own report may lack heights, or lie in the next cell: then no copy would be known."""
    some = matchups(
        3,
        platform=np.array([b"1700123", b"SHIP7", b"41002"], "S16"),
        latitude=np.array([22.75, -19.6, 22.7]),
        longitude=np.array([202.1, 274.4, 204.0]),
    )
    assert beside.reported_by(some, ["stratus", "ntas"]).tolist() == [True, True, False]
    assert beside.once(some, WITHHELD).platform.tolist() == [b"41002"]
    assert beside.sets_of(some).tolist() == [beside.KEPT_BACK] * 2 + [beside.TRAIN]
    assert len(beside.once(some, ["46246"])) == 3


def test_what_is_held_out_sets_no_limits() -> None:
    """Of the test year alone nothing is implausible; of the tuning years too these tell."""
    number = 400
    air = RNG.normal(298.0, 0.5, number)
    air[0], air[200] = 290.0, 290.0
    column, row = np.arange(number) % 360, np.arange(number) // 360
    tests, tuning = np.datetime64("2018-01-04"), np.datetime64("2016-01-04")
    record = {"latent_heat_flux": np.full(number, 100.0, np.float32)}
    for day, outliers in (
        (np.full(number, tests), []),
        (np.where(np.arange(number) < 200, tests, tuning), [0, 200]),
    ):
        some = matchups(number, air_temperature=air, column=column, row=row, day=day)
        told = beside.verdicts(Beside(some, record), beside.sets_of(some), 4.5)
        assert np.flatnonzero(told == beside.OUTLIER).tolist() == outliers
    names = np.full(number, b"WHOTS", "S16")
    some = matchups(number, air_temperature=air, column=column, row=row, platform=names)
    told = beside.verdicts(Beside(some, record), beside.sets_of(some), 4.5)
    assert (told == beside.KEPT).all()


def test_why_a_matchup_does_not_count() -> None:
    number = 400
    air = RNG.normal(298.0, 0.5, number)
    air[0] = 290.0
    some = matchups(
        number, air_temperature=air, column=np.arange(number) % 360, row=np.arange(number) // 360
    )
    latent = np.full(number, 100.0, np.float32)
    latent[1] = np.nan
    found = Beside(some, {"latent_heat_flux": latent})
    told = beside.verdicts(found, beside.sets_of(some), 4.5)
    assert told[0] == beside.OUTLIER and told[1] == beside.NO_RECORD
    assert beside.counts(told, beside.VERDICTS)["kept"] == number - 2


def test_a_file_gives_back_what_was_written(tmp_path: Path) -> None:
    some = matchups(5, day=DAYS[:5], satellite=np.array([17, 17, 16, 101, 2], np.uint8))
    record = {"latent_heat_flux": np.arange(5, dtype=np.float32)}
    sets, verdicts = np.arange(5, dtype=np.uint8) % 2 + 2, np.arange(5, dtype=np.uint8) % 3 + 2
    path = tmp_path / "deep" / "matchups.nc"
    stored = file.Stored(Beside(some, record), verdicts, sets, {"simulated": "seed 1"})
    file.write(path, stored)
    again = file.read(path)
    for one in fields(Matchups):
        before, after = getattr(some, one.name), getattr(again.found.matchups, one.name)
        if before.dtype.kind == "f":
            np.testing.assert_allclose(after, before, rtol=1e-6)
        else:
            np.testing.assert_array_equal(after, before)
    np.testing.assert_array_equal(again.found.record["latent_heat_flux"], np.arange(5))
    np.testing.assert_array_equal(again.sets, sets)
    np.testing.assert_array_equal(again.verdicts, verdicts)
    assert again.attrs["simulated"] == "seed 1"
    with xr.open_dataset(path) as opened:
        assert "newcomer_101" in opened["satellite"].attrs["flag_meanings"]
        assert opened["in_situ_latent_heat_flux"].attrs["units"] == "W m-2"
        assert opened["record_latent_heat_flux"].attrs["units"] == "W m-2"
    other = tmp_path / "other.nc"
    xr.Dataset({"x": 1}).to_netcdf(other)
    for wrong in (other, tmp_path / "none.nc"):
        with pytest.raises(ConfigError, match="fluxforge matchup"):
            file.read(wrong)


# --- from a store --------------------------------------------------------------------------------


def month_of_reports(month: str) -> xr.Dataset:
    """Of one buoy, every three hours, and of its twin in ICOADS."""
    first = np.datetime64(month, "M").astype("M8[h]")
    last = (np.datetime64(month, "M") + 1).astype("M8[h]")
    times = np.repeat(np.arange(first, last, 3).astype("M8[ns]"), 2)
    number = len(times)
    columns: dict[str, Any] = {
        "time": times,
        "platform": np.tile(np.array([b"41002", b"4100200"], "S16"), number // 2),
        "feed": np.tile(np.array([NDBC, ICOADS], "u1"), number // 2),
    }
    columns |= {n: np.full(number, 2) for n in ("report_status", "wind_method", "averaging")}
    judged = ("wind", "air_temperature", "humidity", "sea_surface_temperature")
    columns |= {f"{name}_quality": np.full(number, 2) for name in judged}
    values = {
        "latitude": 0.3,
        "longitude": 0.4,
        "wind_speed": 7.0,
        "air_temperature": 298.0,
        "specific_humidity": 0.016,
        "sea_surface_temperature": 299.5,
        "air_pressure": 101_000.0,
        "height_wind": 4.0,
        "height_air_temperature": 3.0,
        "height_humidity": 2.5,
        "platform_kind": 4,
    }
    columns |= {name: np.full(number, value) for name, value in values.items()}
    return xr.Dataset({name: ("report", np.asarray(one)) for name, one in columns.items()})


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> None:
    known = datasets()

    def opened(location: object, name: str, month: str | None = None) -> xr.Dataset:
        if name != "insitu":
            return known[name]
        if month not in ("2014-01", "2014-02"):
            raise UnknownName(f"there is no month {month}.")
        return month_of_reports(str(month))

    for module in (by_month, beside, stored):
        monkeypatch.setattr(module, "open_dataset", opened)


def test_the_record_beside_a_report_is_that_of_its_cell_and_pass(store: None) -> None:
    asked = Asked(place.at("nowhere"), date(2014, 1, 1), date(2014, 2, 28), Rules())
    known = ((month, by_month.reports_of(asked.location, month)) for month in asked.months)
    found = beside.whole(beside.of_month(asked, month, some) for month, some in known)
    assert found is not None and len(np.unique(found.matchups.platform)) == 2
    some = found.matchups
    number = np.ravel_multi_index(
        ((some.day - DAYS[0]).astype(int), some.orbit, some.row, some.column), SHAPE
    )
    np.testing.assert_allclose(found.record["wind_speed"], number)
    np.testing.assert_allclose(found.record["latent_heat_flux"], number + 0.5)
    assert "sensible_heat_flux_bulk" not in found.record  # that record was not corrected
    # 59 days, two passes, and each matchup once, also those near the turn of the month.
    assert len(found) == 2 * 2 * len(DAYS)
    assert beside.duplicates(some).sum() == len(found) // 2
    assert (some.feed[beside.duplicates(some)] == ICOADS).all()


def test_the_command(store: None, tmp_path: Path) -> None:
    run = asked_of(tmp_path / "s")
    app = typer.Typer()
    app.command()(command.matchup)
    out = tmp_path / "matchups.nc"
    done = CliRunner().invoke(app, ["-c", str(run), "--out", str(out), "--simulated", "seed 1"])
    assert done.exit_code == 0, (done.output, done.exception)
    assert "118" in done.output and "training years" in done.output
    assert file.read(out).attrs["simulated"] == "seed 1"
    run.write_text(run.read_text().replace("2014", "2015"))
    done = CliRunner().invoke(app, ["-c", str(run), "--out", str(out)])
    assert isinstance(done.exception, UnknownName) and "ingest insitu" in str(done.exception)


def asked_of(store: Path) -> Path:
    content = {
        "product": "deepflux",
        "period": {"first": "2014-01-01", "last": "2014-02-28"},
        "profiles": {"local": {"store": str(store), "cluster": {"kind": "serial"}}},
    }
    run = store.with_name("run.yaml")
    run.write_text(yaml.safe_dump(content))
    return run


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("height_humidity", np.nan, r"unknown height of humidity 944\..*`stations.csv`"),
        ("wind_method", 3, r"wind not said to be measured 944\..*ingest insitu"),
        ("latitude", 50.0, "none of 944 reports that can be used lies in a cell"),
    ],
)
def test_why_there_is_no_matchup_is_told(
    store: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    column: str,
    value: float,
    words: str,
) -> None:
    opened = by_month.open_dataset

    def changed(location: object, name: str, month: str | None = None) -> xr.Dataset:
        found = opened(location, name, month=month)
        if name != "insitu":
            return found
        return found.assign({column: ("report", np.full(found.sizes["report"], value))})

    monkeypatch.setattr(by_month, "open_dataset", changed)
    app = typer.Typer()
    app.command()(command.matchup)
    run = asked_of(tmp_path / "s")
    done = CliRunner().invoke(app, ["-c", str(run), "--out", str(tmp_path / "m.nc")])
    assert isinstance(done.exception, ConfigError)
    assert re.search(words, str(done.exception)), done.exception
    assert not (tmp_path / "m.nc").exists()


@pytest.mark.parametrize(
    ("record", "reports", "told"),
    [
        ("", "", "no"),
        ("seed 1", "seed 1", "seed 1"),
        ("seed 1", "", "record: seed 1; reports: real"),
        ("", "seed 1", "record: real; reports: seed 1"),
        ("seed 1", "seed 2", "record: seed 1; reports: seed 2"),
    ],
)
def test_what_is_simulated_is_told_of_record_and_reports(
    store: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record: str,
    reports: str,
    told: str,
) -> None:
    opened, worlds = by_month.open_dataset, {"insitu": reports, beside.PASSES: record}

    def noticed(location: object, name: str, month: str | None = None) -> xr.Dataset:
        world = worlds.get(name, "")
        notice = {"notice": f"SIMULATED DATA of {world}: none of it is real."} if world else {}
        return opened(location, name, month=month).assign_attrs(notice)

    for module in (by_month, beside, stored):
        monkeypatch.setattr(module, "open_dataset", noticed)
    app = typer.Typer()
    app.command()(command.matchup)
    out = tmp_path / "m.nc"
    done = CliRunner().invoke(app, ["-c", str(asked_of(tmp_path / "s")), "--out", str(out)])
    assert done.exit_code == 0, (done.output, done.exception)
    assert file.read(out).attrs["simulated"] == told


def test_parts_are_joined_by_the_nearest() -> None:
    one = Beside(matchups(1, hours_apart=np.array([0.4])), {"x": np.array([1.0])})
    other = replace(one, matchups=matchups(1, hours_apart=np.array([-0.1])))
    other = replace(other, record={"x": np.array([2.0])})
    whole = Beside.joined([one, other])
    assert len(whole) == 1 and whole.record["x"].tolist() == [2.0]
    assert beside.whole([None, None]) is None
