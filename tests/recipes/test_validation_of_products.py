"""What `fluxforge validate --matchups` tells of products, wind, stations, counts, and errors."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import productworld
import pytest
import typer
from productworld import NUMBER, STATIONS
from typer.testing import CliRunner

from fluxengine.errors import ConfigError, UnknownName
from fluxrecipes import vocabulary as cf
from fluxrecipes.matchups import (
    cells,
    counts,
    day_scores,
    file,
    pictures,
    published,
    report,
    scores,
    stations,
    tables,
    wind,
)
from fluxrecipes.skill import command
from fluxrecipes.tables import Section, show_sections


@pytest.fixture(scope="module")
def stored() -> file.Stored:
    return productworld.stored()


@pytest.fixture(scope="module")
def path(stored: file.Stored, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("products") / "matchups.nc"
    file.write(made, stored)
    return made


@pytest.fixture(scope="module")
def found(path: Path) -> report.Validated:
    return report.of(path, held_out=False, purpose="")


# --- products ------------------------------------------------------------------------------------


def test_products_are_scored_on_the_days_that_all_have(found: report.Validated) -> None:
    assert found.days is not None
    days = found.days
    assert not (days.platform == b"WHOTS").any()  # withheld
    both = np.isfinite(days.products["shares"]["latent_heat_flux"])
    np.testing.assert_array_equal(day_scores.common(days), both)
    overall = [one for one in found.products if one.score.by == scores.ALL]
    assert {one.score.agreement.points for one in overall} == {int(both.sum())}
    for one in overall:
        if one.score.variable != "latent heat flux":
            continue
        x = days.products[one.product]["latent_heat_flux"][both].astype(float)
        y = days.in_situ["latent_heat_flux"][both].astype(float)
        assert one.score.agreement.rmse.value == pytest.approx(np.sqrt(np.mean((x - y) ** 2)))
        assert one.score.agreement.correlation.value == pytest.approx(np.corrcoef(x, y)[0, 1])
        assert one.score.agreement.rmse.low < one.score.agreement.rmse.value
    assert day_scores.alone(days) == {
        "record": len(days), "good": len(days), "shares": int(both.sum())
    }  # fmt: skip


def test_air_is_compared_at_its_own_height(found: report.Validated) -> None:
    """The product at 2 m is 0.5 K warmer than the truth at 10 m, the reports there 0.3 K."""
    bias = {
        one.product: (one.height, one.score.agreement.bias.value)
        for one in found.products
        if one.score.variable == "air temperature" and one.score.by == scores.ALL
    }
    assert bias["good"] == ("2 m", pytest.approx(0.2, abs=1e-4))
    assert bias["record"] == ("10 m", pytest.approx(0.0, abs=1e-4))
    assert "shares" not in bias  # it has fluxes alone
    assert {one.height for one in found.products if "flux" in one.score.variable} == {""}


def test_sets_are_told_where_there_are_several(path: Path) -> None:
    opened = report.of(path, held_out=True, purpose="a test")
    assert opened.opened_before == 0
    wanted = (scores.ALL, day_scores.SET)
    groups = {one.score.group for one in opened.products if one.score.by in wanted}
    assert groups == {"all", "training years", "withheld station"}
    points = {
        one.score.group: one.score.agreement.points
        for one in opened.products
        if one.product == "record" and one.score.variable == "latent heat flux"
    }
    assert points["all"] == points["training years"] + points["withheld station"]
    assert {one.station for one in opened.series} == {"WHOTS"}


def test_products_are_told_by_what_the_record_s_passes_were_like(found: report.Validated) -> None:
    assert found.days is not None
    days, both = found.days, day_scores.common(found.days)
    wind, sea = (days.conditions[n] for n in ("wind_speed", "sea_surface_temperature"))
    expected = {
        ("fill", "observed"): days.state == cf.OBSERVED,
        ("fill", "filled"): (days.state == cf.COMPLETED) | (days.state == cf.PERSISTED),
        ("fill", "reanalysis"): days.state == cf.REANALYSIS,
        ("wind speed", "below 3 m/s"): wind < 3,
        ("wind speed", "5 to 7 m/s"): (wind >= 5) & (wind < 7),
        ("wind speed", "12 m/s and above"): wind >= 12,
        ("cloud liquid water", "0.02 to 0.05 mm"): wind > 0,
        ("water vapour", "25 to 35 mm"): wind > 0,
        ("sea surface temperature", "10 to 18 °C"): np.isfinite(sea),
    }
    for (by, group), members in expected.items():
        mine = members & both
        for product, columns in days.products.items():
            (score,) = (
                one.score.agreement
                for one in found.products
                if (one.product, one.score.variable) == (product, "latent heat flux")
                and (one.score.by, one.score.group) == (by, group)
            )
            less = columns["latent_heat_flux"][mine].astype(float)
            less -= days.in_situ["latent_heat_flux"][mine]
            assert score.points == mine.sum() > 50, (by, group)
            assert score.rmse.value == pytest.approx(np.sqrt(np.mean(less**2))), (by, group)
            assert score.bias.value == pytest.approx(less.mean(), abs=1e-6), (by, group)
            assert score.rmse.low < score.rmse.value < score.rmse.high
            assert score.spread.value == pytest.approx(columns["latent_heat_flux"][mine].std())
    groups = {(one.score.by, one.score.group) for one in found.products}
    assert ("sea surface temperature", "below 10 °C") not in groups  # no such day
    told = [one for one in found.as_json()["products"] if one["by"] == "fill"]
    assert {one["product"] for one in told} == {"record", "good", "shares"}
    assert all(one["correlation"]["low"] is not None for one in told)


# --- triple collocation --------------------------------------------------------------------------


def test_errors_of_three_are_told_and_contradictions_too(found: report.Validated) -> None:
    latent = {t.names[2]: t for t in found.triples if t.variable == "latent heat flux"}
    independent = latent["shares"]
    errors = [one.value for one in independent.found.error]
    # Of the record 1, of the reports 12, of the product 8 W m-2, made so.
    np.testing.assert_allclose(errors, [1.0, 12.0, 8.0], atol=1.0)
    assert not independent.contradicted
    # The errors of reports and product are opposite: the record seems better than it can be.
    dependent = latent["good"]
    assert dependent.contradicted and dependent.found.variance[0] < 0
    told = dependent.as_json()
    assert told["assumptions_contradicted"] and told["record"]["error"]["value"] is None
    assert told["record"]["error_variance"] < 0
    assert told["record"]["share_of_resamples_below_zero"] > 0.9


def test_too_few_days_have_no_collocation(stored: file.Stored) -> None:
    assert stored.days is not None
    few = stored.days.at(np.arange(1, 8))
    assert day_scores.triples(few) == [] and len(day_scores.scores(few)) > 0


# --- wind ----------------------------------------------------------------------------------------


def test_wind_is_told_by_satellite_and_thirds(found: report.Validated) -> None:
    stored, which = found.stored, found.counted & found.stored.found.matchups.observed
    x = stored.found.record["wind_speed"].astype(float)
    y = stored.found.matchups.neutral_wind
    for code, name in ((16, "f16"), (17, "f17")):
        mine = which & (stored.found.matchups.satellite == code)
        before = scores.one(found.wind, wind.BEFORE, name, scores.ALL)
        after = scores.one(found.wind, wind.AFTER, name, scores.ALL)
        assert before is not None and after is not None
        assert before.points == after.points == int(mine.sum())  # filled cells do not count
        assert before.bias.value == pytest.approx(float((x - y)[mine].mean()), abs=1e-5)
        assert after.rmse.value < 0.75 * before.rmse.value
    thirds = [s for s in found.wind if s.by == scores.ALL and s.variable == wind.BEFORE]
    sizes = [one.agreement.points for one in thirds]
    assert len(thirds) == 4 and sizes[0] == sum(sizes[1:])
    assert max(sizes[1:]) - min(sizes[1:]) <= 2
    biases = np.array([one.agreement.bias.value for one in thirds[1:]])
    np.testing.assert_allclose(biases, 0.8, atol=0.1)
    low, high = np.quantile(y[which], (1 / 3, 2 / 3))  # by the reports alone, noise is a bias
    alone = [(x - y)[which & mine].mean() for mine in (y < low, y >= high)]
    assert alone[0] > 0.95 > 0.65 > alone[1]


def test_without_a_correction_there_is_no_after(stored: file.Stored) -> None:
    record = {k: v for k, v in stored.found.record.items() if k != "wind_speed_corrected"}
    plain = stored._replace(found=replace(stored.found, record=record))
    every = np.ones(NUMBER, bool)
    assert {one.variable for one in wind.scores(plain, every)} == {wind.BEFORE}
    none = stored._replace(found=replace(stored.found, record={}))
    assert wind.scores(none, every) == []


# --- stations ------------------------------------------------------------------------------------


def test_monthly_means_are_of_the_months_with_enough(found: report.Validated) -> None:
    matched, record = found.stored.found.matchups, found.stored.found.record
    station = found.series[0].station
    (both,) = (
        one
        for one in found.series
        if (one.station, one.variable, one.name) == (station, "air temperature", stations.BOTH)
    )
    mine = matched.named([station])
    months = matched.day.astype("M8[M]")
    assert both.means.months.tolist() == np.unique(months[mine]).tolist()
    at = mine & (months == both.means.months[4])
    assert both.means.estimate[4] == pytest.approx(record["air_temperature"][at].mean(), rel=1e-6)
    assert both.means.reference[4] == pytest.approx(matched.air_temperature[at].mean())
    names = {one.name: one for one in found.series if one.variable == "air temperature"}
    assert names["descending"].agreement.bias.value == pytest.approx(0.5, abs=1e-3)
    assert names["ascending"].agreement.bias.value == pytest.approx(0.0, abs=1e-3)
    assert names["good"].height == "2 m" and "record, days" in names
    few = stations.monthly(
        np.array(["2014-01-01"] * 9 + ["2014-02-01"] * 10, "M8[D]"),
        day_scores.Pair("x", "K", "", np.arange(19.0), np.zeros(19)),
        np.ones(19, bool),
    )
    assert few.months.tolist() == [np.datetime64("2014-02").item()]
    assert few.estimate.tolist() == [13.5]


def test_stations_are_chosen(found: report.Validated, path: Path) -> None:
    longest = list(dict.fromkeys(one.station for one in found.series))
    assert len(longest) == 3 and "WHOTS" not in longest
    named = report.of(path, held_out=False, purpose="", at_stations=["410007"])
    assert {one.station for one in named.series} == {"410007"}
    for name in ("WHOTS", "whots"):
        with pytest.raises(ConfigError, match="--held-out"):
            report.of(path, held_out=False, purpose="", at_stations=[name])
    log = path.parent / "openings.jsonl"
    before = log.read_text() if log.exists() else ""
    with pytest.raises(UnknownName, match="longest series are of"):
        report.of(path, held_out=True, purpose="a slip of the pen", at_stations=["41O02"])
    assert (log.read_text() if log.exists() else "") == before


# --- counts, the command -------------------------------------------------------------------------


def test_counts_add_up(found: report.Validated) -> None:
    told = {(one.satellite, one.network): one for one in found.counts}
    assert told[counts.ALL, counts.ALL].matchups == int(found.counted.sum())
    assert told[counts.ALL, counts.ALL].platforms == STATIONS - 1
    for network in ("ndbc", "gtmba"):
        parts = sum(told[name, network].matchups for name in ("f16", "f17"))
        assert told[counts.ALL, network].matchups == parts > 0
    assert told["f17", "icoads"] == counts.Count("f17", "icoads", 0, 0)


def test_the_command_tells_all_of_it(path: Path) -> None:
    app = typer.Typer()
    app.command()(command.validate)
    out = path.parent / "out"
    call = ["--matchups", str(path), "--out", str(out)]
    done = CliRunner().invoke(app, call, env={"COLUMNS": "200"})
    assert done.exit_code == 0, (done.output, done.exception)
    for words in (
        "by satellite and network", "Daily products against daily means", "this record, days",
        "CONTRADICTED", "Thirds are of the mean", "monthly means", "record, days",
        "Daily products by fill state", "fill: reanalysis",
    ):  # fmt: skip
        assert words in done.output, words
    lines = done.output.splitlines()
    titles = [line for line in lines if "Triple collocation" in line]
    assert titles and "measured here, SIMULATED" in titles[0]
    assert any("SIMULATED world (seed 9)" in line for line in lines)
    assert "WHOTS" not in done.output  # withheld, and its published figures with it
    for name in ("taylor_products", "stations", "places"):
        assert (out / f"{name}.png").stat().st_size > 20_000
    told = json.loads((out / "validation.json").read_text())
    assert {"counts", "wind", "products", "triple_collocation", "stations"} <= set(told)
    assert told["published_stations"][0] == published.STATIONS[0]._asdict()


# --- tables --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sections(found: report.Validated) -> dict[str, Section]:
    """By the first words of their titles."""
    return {one.title.split(":")[0].split(",")[0]: one for one in tables.sections(found)}


def test_what_is_printed_are_the_rows_of_the_sections(
    sections: dict[str, Section], capsys: pytest.CaptureFixture[str]
) -> None:
    show_sections(sections.values())
    printed = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    for section in sections.values():
        for table in section.tables:
            heads = " ".join(head.lstrip("#") for head in table.heads)
            assert table.long or heads in printed
            rows = [" ".join(" ".join(row).split()) for row in table.rows]
            assert all(len(row) == len(table.heads) for row in table.rows)
            assert set(rows) <= set(printed) or table.long
            assert not table.long or table.title not in printed


def test_all_figures_of_table_4_are_marked(found: report.Validated) -> None:
    section = next(one for one in tables.sections(found) if "Table 4" in one.title)
    for what, table in zip(("rmse", "correlation"), section.tables, strict=True):
        rows = {row[0]: row[1:] for row in table.rows}
        assert len(rows) == len(table.rows)
        assert {mark for mark, *_ in rows.values()} == {
            "published, real",
            "measured here, SIMULATED",
        }
        given = getattr(published.TABLE_4[1], what).values()
        assert rows["ERA5"] == ("published, real", *(f"{one:.2f}" for one in given))
        ours = [one for one in found.products if one.product == "good" and one.score.by == "all"]
        numbers = (f"{getattr(one.score.agreement, what).value:.2f}" for one in ours)
        assert rows["good, days"] == ("measured here, SIMULATED", *numbers)
        assert rows["shares, days"][1:3] == ("", "")  # it has no air
    real = replace(found, stored=found.stored._replace(attrs={"simulated": "no"}))
    (first, *_) = tables.sections(real)
    assert first.title.endswith("measured here, real") and real.as_json()["simulated"] is None


def test_products_stand_side_by_side_and_in_full(
    found: report.Validated, sections: dict[str, Section]
) -> None:
    section = sections["Daily products by fill state"]
    several = {one.title: one for one in section.tables}
    compact = several["latent heat flux [W/m²]: root mean square error, and bias in brackets"]
    full = several["latent heat flux [W/m²]: all figures"]
    assert compact.heads == ("group", "#days", "#stations", "#record", "#good", "#shares")
    assert not compact.long and full.long
    rows = {row[0]: row for row in compact.rows}
    scored = next(
        one.score.agreement
        for one in found.products
        if (one.product, one.score.variable) == ("good", "latent heat flux")
        and one.score.group == "reanalysis"
    )
    assert rows["fill: reanalysis"][4] == f"{scored.rmse.value:.2f} ({scored.bias.value:+.2f})"
    assert rows["fill: reanalysis"][1] == f"{scored.points:,}"
    assert len(full.rows) == 3 * len(rows)
    whole = next(row for row in full.rows if row[:2] == ("fill: reanalysis", "good"))
    assert f"{scored.rmse.low:.2f} to {scored.rmse.high:.2f}" in whole
    air = several["air temperature [°C]: root mean square error, and bias in brackets"]
    assert air.heads[3:] == ("#record, 10 m", "#good, 2 m")


def test_what_has_no_number_is_left_empty(stored: file.Stored) -> None:
    assert stored.days is not None
    one_day = day_scores.scores(stored.days.at(np.arange(1, 2)))
    assert one_day and {cells.rmse_and_bias(one.score) for one in one_day} == {""}
    assert not any("nan" in cell for one in one_day for cell in cells.of_group(one.score))


def test_without_products_it_is_said_what_brings_them(found: report.Validated) -> None:
    nothing = found.stored._replace(days=None)
    bare = replace(found, stored=nothing, days=None, products=[], triples=[])
    titles = {one.title.split(":")[0]: one for one in tables.sections(bare)}
    (said,) = titles["Daily products against daily means of reports"].before
    assert "fluxforge matchup --beside" in said
    assert "Triple collocation" not in titles
    uncommon = replace(found, days=None, products=[], triples=[])
    assert any("no day that all" in "".join(one.before) for one in tables.sections(uncommon))


def test_published_figures_stand_at_their_station(path: Path) -> None:
    opened = report.of(path, held_out=True, purpose="a test of the tables")
    *_, section = tables.sections(opened)
    (table,) = section.tables
    assert table.title.startswith("WHOTS: monthly means")
    rows = [row[:6] for row in table.rows if row[3] == published.MARK]
    assert ("air temperature", "ascending", "", "published, real", "", "0.40") in rows
    assert ("latent heat flux", "both passes", "", "published, real", "", "15.20") in rows
    assert any("section 4.2" in line for line in section.after)
    variables = [row[0] for row in table.rows]
    assert variables == sorted(variables, key=variables.index)  # each one's rows together


def test_a_picture_shows_stations_that_lack_a_series(
    found: report.Validated, tmp_path: Path
) -> None:
    some = [one for one in found.series if one.name != "good" or one.station.endswith("1")]
    assert pictures.series(some[:-3], tmp_path / "s.png", title="t").stat().st_size > 20_000
