"""`fluxforge validate --matchups`: scores in groups, what is held out, tables and pictures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from fluxengine.errors import ConfigError, UnknownName
from fluxkernels.stats.agreement import Agreement, agreement
from fluxrecipes import vocabulary as cf
from fluxrecipes.matchups import beside, file, pictures, published, report, scores, stations
from fluxrecipes.matchups.beside import Beside
from fluxrecipes.matchups.matching import Matchups
from fluxrecipes.skill import command
from fluxrecipes.sources.reports import GTMBA, MOORED, NDBC, SHIP, UNKNOWN

NUMBER = 3000
WHERE = ("platform", "kind", "longitude")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Matchups of thirty platforms in 2015 to 2018; passes descending are 1 K too warm."""
    made = tmp_path_factory.mktemp("matchups")
    rng = np.random.default_rng(4)
    station = rng.integers(0, 30, NUMBER)
    orbit = rng.integers(0, 2, NUMBER)
    platform = np.array([f"4100{n:02}".encode() for n in station], "S16")
    platform[station == 0] = b"WHOTS"
    days = np.datetime64("2015-01-01") + rng.integers(0, 1461, NUMBER)
    reported = {
        "air_temperature": 290 + rng.normal(0, 5, NUMBER),
        "specific_humidity": 0.012 + rng.normal(0, 0.003, NUMBER),
        "sensible_heat_flux": rng.normal(10, 8, NUMBER),
        "latent_heat_flux": rng.normal(110, 50, NUMBER),
        "sea_surface_temperature": 291 + rng.normal(0, 5, NUMBER),
        "wind_speed": rng.uniform(1, 15, NUMBER),
    }
    reported["neutral_wind"] = reported["wind_speed"] + 0.1
    matchups = Matchups(
        platform=platform,
        satellite=np.full(NUMBER, 17, np.uint8),
        orbit=orbit,
        day=days.astype("M8[D]"),
        row=np.zeros(NUMBER, np.intp),
        column=np.arange(NUMBER) % 360,
        latitude=rng.uniform(-50, 50, NUMBER),
        longitude=rng.uniform(0, 360, NUMBER),
        hours_apart=np.zeros(NUMBER),
        state=rng.choice([cf.OBSERVED, cf.COMPLETED], NUMBER).astype(np.uint8),
        time=days.astype("M8[s]"),
        feed=np.where(station < 15, NDBC, GTMBA).astype(np.uint8),
        kind=np.full(NUMBER, 4, np.uint8),
        **reported,
    )
    spread = {"air_temperature": 0.5, "specific_humidity": 0.001, "wind_speed": 1.0}
    record = {
        name: (reported[name] + rng.normal(0, spread.get(name, 5.0), NUMBER)).astype("f4")
        for name in (*beside.OF_PASSES[:5], "wind_speed")
    }
    record["air_temperature"] += orbit.astype("f4")
    record["sensible_heat_flux_bulk"] = record["sensible_heat_flux"] + np.float32(4.0)
    record["latent_heat_flux_bulk"] = record["latent_heat_flux"] + np.float32(20.0)
    record |= {n: rng.uniform(0, 0.3, NUMBER).astype("f4") for n in ("cloud_liquid_water",)}
    record |= {"water_vapour": rng.uniform(5, 60, NUMBER).astype("f4")}
    verdicts = np.full(NUMBER, beside.KEPT, np.uint8)
    verdicts[:100] = beside.OUTLIER
    record["air_temperature"][:100] = 400.0
    record["specific_humidity"][100] = np.nan
    sets = beside.sets_of(matchups)
    told = {
        "simulated": "seed 4",
        "title": file.TITLE.format(first="2015-01-01", last="2018-12-31"),
        "source": "a/store",
    }
    stored = file.Stored(Beside(matchups, record), verdicts, sets, told)
    file.write(made / "matchups.nc", stored)
    return made


def test_ships_and_names_of_nobody_are_no_stations(folder: Path) -> None:
    stored = file.read(folder / "matchups.nc")
    matchups, counted = stored.found.matchups, stored.verdicts == beside.KEPT
    names = np.unique(matchups.platform)[:6]
    others = (b"SHIP", b"", b"maskstid", b"WDK123", b"ROAMS", b"EAST")
    platform, kind, longitude = (getattr(matchups, n).copy() for n in WHERE)
    latitude = np.where(np.isin(matchups.platform, names), 10.0, matchups.latitude)
    for name, other in zip(names, others, strict=True):
        mine = matchups.platform == name
        platform[mine] = other
        kind[mine] = MOORED if other in (b"SHIP", b"") else SHIP if other == b"WDK123" else UNKNOWN
    east = platform == b"EAST"
    longitude[east] = np.where(np.arange(east.sum()) % 2, 359.8, 0.1)  # both sides of Greenwich
    kind[np.flatnonzero(platform == b"410014")[0]] = SHIP  # told wrongly once
    changed = {"platform": platform, "kind": kind, "longitude": longitude, "latitude": latitude}
    moved = stored._replace(found=replace(stored.found, matchups=replace(matchups, **changed)))
    found = stations._longest(moved.found.matchups)
    assert len(found) == 25 and {"EAST", "410014"} <= set(found)
    assert not {"SHIP", "", "MASKSTID", "WDK123", "ROAMS"} & set(found)
    told = stations.chosen(moved, counted, (), held_out=False)
    assert set(told) <= set(found)
    for name in ("ship", "WDK123"):
        with pytest.raises(UnknownName, match=f"'{name}' is no station: it moves, or is many"):
            stations.chosen(moved, counted, [name], held_out=False)
    with pytest.raises(UnknownName, match="no matchup of '41O14' counts"):
        stations.chosen(moved, counted, ["41O14"], held_out=False)


def test_groups_are_scored_on_their_own_points(folder: Path) -> None:
    found = report.of(folder / "matchups.nc", held_out=False, purpose="")
    stored = found.stored
    ascending = scores.one(found.scores, "air temperature", "pass", "ascending")
    descending = scores.one(found.scores, "air temperature", "pass", "descending")
    assert ascending is not None and descending is not None
    assert ascending.bias.value == pytest.approx(0.0, abs=0.05)
    assert descending.bias.value == pytest.approx(1.0, abs=0.05)
    assert descending.rmse.value == pytest.approx(np.sqrt(1.25), abs=0.05)
    bulk = scores.one(found.scores, "latent heat flux, bulk", scores.ALL, scores.ALL)
    after = scores.one(found.scores, "latent heat flux", scores.ALL, scores.ALL)
    assert bulk is not None and after is not None
    assert bulk.bias.value - after.bias.value == pytest.approx(20.0, abs=1e-3)
    whole = scores.one(found.scores, "air temperature", scores.ALL, scores.ALL)
    assert whole is not None
    # Without outliers, 2018, the withheld station, and what one of the variables lacks.
    kept_back = np.isin(stored.sets, report.HELD_OUT)
    there = np.isfinite(stored.found.record["specific_humidity"])
    assert whole.points == int(((stored.verdicts == beside.KEPT) & ~kept_back & there).sum())
    for by in ("fill", "feed", "wind speed", "latitude"):
        points = [
            s.agreement.points for s in found.scores if s.by == by and s.variable == whole_of(found)
        ]
        assert sum(points) == whole.points, by
    assert not [s for s in found.scores if s.group in ("test 2018", "withheld station")]


def whole_of(found: report.Validated) -> str:
    return found.scores[0].variable


def test_a_look_at_what_is_held_out_is_written_down(folder: Path) -> None:
    path = folder / "matchups.nc"
    with pytest.raises(ConfigError, match="--purpose"):
        report.of(path, held_out=True, purpose="")
    assert not (folder / "openings.jsonl").exists()
    first = report.of(path, held_out=True, purpose="a test of the log")
    second = report.of(path, held_out=True, purpose="again")
    assert first.opened_before == 0 and second.opened_before == 1
    lines = (folder / "openings.jsonl").read_text().splitlines()
    assert "a test of the log" in lines[0] and "withheld_station" in lines[0]
    assert {s.group for s in first.scores if s.by == "set"} == {
        "training years",
        "validation 2016 2017",
        "test 2018",
        "withheld station",
    }


def test_a_taylor_diagram_shows_its_worst_estimates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(5)
    truth, clusters = rng.normal(size=2000), np.arange(2000) // 50

    def of(slope: float, noise: float) -> Agreement:
        return agreement(slope * truth + noise * rng.normal(size=2000), truth, clusters)

    drawn: list[Any] = []
    monkeypatch.setattr(pictures, "_saved", lambda figure, path: drawn.append(figure) or path)
    good, wide, against = of(1.0, 0.3), of(3.0, 1.0), of(-0.5, 0.5)
    still = agreement(truth, np.ones(2000), clusters)  # reports all alike: there is no ratio
    several = {
        "good": {"one": good},
        "wide": {"one": good, "other": wide, "none": still},
        "against": {"one": against},
        "empty": {},
    }
    pictures.taylor(several, tmp_path / "taylor.png", title="")
    ends = []
    for axis, labelled in zip(drawn[0].axes, several.values(), strict=True):
        shown = {line.get_label(): line.get_xydata()[0] for line in axis.get_lines()}
        ends.append((axis.get_xlim()[1], axis.get_ylim()[1]))
        for label, one in labelled.items():
            angle, radius = shown[label]
            if one is still:
                assert np.isnan([angle, radius]).all()
                continue
            assert 0 <= angle <= axis.get_xlim()[1] and 0 < radius <= axis.get_ylim()[1]
            assert np.cos(angle) == pytest.approx(one.correlation.value)
            ratio = one.spread.value / one.spread_of_reference.value
            assert radius == pytest.approx(ratio)
    quarter, half = np.pi / 2, np.pi
    assert [angle for angle, _ in ends] == pytest.approx([quarter, quarter, half, quarter])
    assert [ends[n][1] for n in (0, 2, 3)] == [1.5] * 3 and ends[1][1] > 3.0


def test_the_command_tells_draws_and_keeps_published_figures_apart(folder: Path) -> None:
    app = typer.Typer()
    app.command()(command.validate)
    out = folder / "out"
    call = ["--matchups", str(folder / "matchups.nc"), "--out", str(out)]
    printed = CliRunner().invoke(app, call, env={"COLUMNS": "200"})
    assert printed.exit_code == 0, (printed.output, printed.exception)
    for row in published.TABLE_4:
        assert f"{row.product} {row.orbit}".strip() in printed.output
    marked = [line for line in printed.output.splitlines() if "this record, both passes" in line]
    assert marked and all("measured here, SIMULATED" in line for line in marked)
    assert "SIMULATED world (seed 4)" in printed.output
    told = " ".join(printed.output.split())
    assert "beside deepflux, 2015-01-01 to 2018-12-31; of the store a/store." in told
    assert "Qa [g/kg]" in printed.output
    for name in ("densities", "taylor", "places"):
        assert (out / f"{name}.png").stat().st_size > 20_000
        assert (out / f"{name}.pdf").stat().st_size > 5_000
    told = json.loads(CliRunner().invoke(app, [*call, "--json"]).stdout)
    assert told["simulated"] == "seed 4" and told["opened_before"] is None
    assert json.loads((out / "validation.json").read_text()) == told


@pytest.mark.parametrize("number", [1, 2])
def test_groups_of_a_report_or_two_have_no_numbers_made_of_nothing(
    folder: Path, tmp_path: Path, number: int
) -> None:
    """Two reports with one sea surface temperature have no spread to divide by."""
    stored = file.read(folder / "matchups.nc")
    two = np.flatnonzero(stored.verdicts == beside.KEPT)[200 : 200 + number]
    found = stored.found.at(two)
    sea = np.full_like(found.matchups.sea_surface_temperature, 299.65)
    found = replace(found, matchups=replace(found.matchups, sea_surface_temperature=sea))
    train = np.full(number, beside.TRAIN, np.uint8)
    few = stored._replace(found=found, verdicts=stored.verdicts[two], sets=train)
    file.write(tmp_path / "few.nc", few)
    app = typer.Typer()
    app.command()(command.validate)
    call = ["--matchups", str(tmp_path / "few.nc"), "--out", str(tmp_path / "out")]
    printed = CliRunner().invoke(app, call, env={"COLUMNS": "200"})
    assert printed.exit_code == 0, (printed.output, printed.exception)
    assert "sea surface temperature [°C]" in printed.output
    assert not {"nan", "+nan", "inf", "-inf"} & set(printed.output.split())


def test_nothing_to_score_is_told(folder: Path, tmp_path: Path) -> None:
    stored = file.read(folder / "matchups.nc")
    nothing = stored._replace(verdicts=np.full(NUMBER, beside.DUPLICATE, np.uint8))
    file.write(tmp_path / "none.nc", nothing)
    with pytest.raises(ConfigError, match="no matchup counts"):
        report.of(tmp_path / "none.nc", held_out=False, purpose="")
    app = typer.Typer()
    app.command()(command.validate)
    done = CliRunner().invoke(app, [])
    assert isinstance(done.exception, ConfigError) and "--matchups" in str(done.exception)


def test_a_report_has_the_same_scores_and_opens_nothing(folder: Path, tmp_path: Path) -> None:
    from PIL import Image

    from fluxrecipes.report import findings, pictures

    opened = folder / "openings.jsonl"
    before = opened.read_bytes() if opened.exists() else b""
    validated = findings.scores(folder / "matchups.nc")
    assert (opened.read_bytes() if opened.exists() else b"") == before
    assert not np.isin(validated.stored.sets[validated.counted], report.HELD_OUT).any()
    first, *more = findings.sections_of(validated)
    overall = scores.one(validated.scores, "air temperature", scores.ALL, scores.ALL)
    assert overall is not None
    together = first.tables[1]
    row = next(row for row in together.rows if row[0] == "air temperature")
    assert row[together.heads.index("#RMSE")] == f"{overall.rmse.value:.3f}"
    assert row[together.heads.index("#points")] == f"{overall.points:,}"
    titles = {table.title for section in more for table in section.tables}
    assert titles >= {"air temperature [°C]", "latent heat flux [W/m²]"}
    drawn = list(pictures.matchups(tmp_path, validated))
    assert [picture.name for picture in drawn] == ["densities", "taylor", "places"]
    assert all("SIMULATED" in picture.caption for picture in drawn)
    with Image.open(tmp_path / "densities.png") as image:
        assert image.info["dpi"][0] == pytest.approx(300, abs=1)
