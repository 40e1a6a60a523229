"""The verb from end to end: what is in the page and beside it, what is refused and how."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from datetime import date
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from PIL import Image
from reportworld import HOSTILE, write_run_file

from fluxengine import config, requested
from fluxengine.errors import ConfigError, FluxforgeError, NotOurStore, UnknownName
from fluxrecipes.report import command, fields, findings, page, subject
from fluxrecipes.report import pictures as draw

Call = Callable[..., str]
Refused = Callable[..., FluxforgeError]


@pytest.fixture(scope="module")
def made(call: Call, world: Path, trends: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report") / "deeper" / "out"
    call("-c", world / "run.yaml", "-o", out, "--trends", trends)
    return out


@pytest.fixture(scope="module")
def text(made: Path) -> str:
    return (made / "report.html").read_text(encoding="utf-8")


class Elements(HTMLParser):
    """All start tags with their attributes, and the text outside of style and script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._inside = tag

    def handle_data(self, data: str) -> None:
        if self._inside not in ("script", "style"):
            self.text.append(data)


def test_pictures_are_there_for_print(made: Path) -> None:
    names = {path.name for path in (made / "pictures").iterdir()}
    stems = ("coverage", "means", "series", "trend_latent_heat_flux")
    assert names == {f"{stem}.{kind}" for stem in stems for kind in ("png", "pdf")}
    for stem in stems:
        with Image.open(made / "pictures" / f"{stem}.png") as image:
            assert image.info["dpi"][0] == pytest.approx(300, abs=1)
            assert image.size[0] > 1500
        assert (made / "pictures" / f"{stem}.pdf").read_bytes().startswith(b"%PDF")


def test_nothing_unfinished_is_left(made: Path) -> None:
    assert sorted(path.name for path in made.iterdir()) == ["pictures", "report.html"]


def test_the_page_says_what_is_there_and_what_is_not(text: str) -> None:
    said = " ".join(" ".join(Elements(text).text).split())
    for words in (
        "SIMULATED.",
        "small-flux v1",
        "2019-11-01 to 2020-03-31",
        "failed: see quality checks",
        "nothing was observed, and nothing filled",
        "50.0 % of the cells from reanalysis",
        "No flux is above 900 W m-2",
        "no file 20200120.txt",
        "252 cells are hot",
        "fluxforge matchup -c run.yaml",
        "5 monthly means",
        "Linear trends per decade",
    ):
        assert words in said, words


def test_quarantine_is_counted(text: str) -> None:
    found = re.search(r"<dt>Quarantined or refused</dt><dd>(\d+)</dd>", text)
    assert found and found[1] == "4"  # a block, two days without a file, a damaged one


def test_nothing_of_the_data_becomes_a_tag_or_is_filled_in(text: str) -> None:
    assert HOSTILE not in text
    elements = Elements(text)
    assert not any("onerror" in attributes for _, attributes in elements.found)
    assert [tag for tag, _ in elements.found].count("script") == 2
    assert "{{ 7 * 7 }}" in text  # told as it is, not evaluated
    shown = "".join(elements.text)
    assert HOSTILE in shown  # and shown in full: creator, notice, licence, reason


def test_the_page_fetches_nothing_and_says_so_to_the_browser(text: str) -> None:
    elements = Elements(text)
    policy = next(
        a["content"] for _, a in elements.found if a.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None and "default-src 'none'" in policy and "img-src data:" in policy
    for tag in ("style", "script"):
        (inline,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    for tag, attributes in elements.found:
        assert tag not in ("link", "iframe", "object", "embed", "audio", "video")
        for name in ("src", "href", "action", "srcset", "xlink:href"):
            value = attributes.get(name) or "#"
            assert value.startswith(("#", "data:", "pictures/")), value
        assert "style" not in attributes  # the policy would forbid it


def test_every_picture_says_what_it_shows(text: str) -> None:
    for tag, attributes in Elements(text).found:
        if tag == "img":
            assert attributes["alt"]
        if tag == "svg" and "aria-hidden" not in attributes:
            assert attributes["role"] == "img"
            assert attributes.get("aria-label") or attributes.get("aria-labelledby")


def test_ids_are_told_once_and_those_that_are_named_exist(text: str) -> None:
    elements = Elements(text)
    ids = [a["id"] for _, a in elements.found if "id" in a]
    assert len(ids) == len(set(ids))
    named = [a[k] for _, a in elements.found for k in ("aria-labelledby", "for") if a.get(k)]
    named += [str(a["href"])[1:] for _, a in elements.found if str(a.get("href")).startswith("#")]
    assert set(named) <= set(ids)


def test_a_short_record_is_told_by_days_and_for_machines(
    call: Call, short: Path, tmp_path: Path
) -> None:
    told = json.loads(call("-c", short, "-o", tmp_path, "--json", "--variable", "latent_heat_flux"))
    assert told["frames"] == "40 days"
    assert told["days"]["missing"] == 5
    assert told["size"] == (tmp_path / "report.html").stat().st_size < page.BUDGET
    assert len(told["pictures"]) == 6
    assert len(told["remarks"]) == 2  # neither matchups nor trends


def test_pictures_of_a_former_report_go_and_nothing_else(tmp_path: Path) -> None:
    former = ("trend_sst.png", "densities_oaflux_days.pdf", "validation.json", "means.png")
    mine = ("trend.png", "my_means.png", "means.png.txt", "notes.pdf", "Places.png")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name in (*former, *mine):
        (pictures / name).write_text("old")
    (pictures / "series.png").mkdir()
    with page._folder(tmp_path) as unfinished:
        (unfinished / "pictures").mkdir()
        (unfinished / "pictures" / "means.png").write_text("new")
        (unfinished / "report.html").write_text("new")
        assert len(list(pictures.iterdir())) == 10
    assert {path.name for path in pictures.iterdir()} == {*mine, "means.png", "series.png"}
    assert (pictures / "means.png").read_text() == "new"


def test_all_that_is_drawn_is_known_as_ours(made: Path, whole: Path) -> None:
    drawn = [path.name for out in (made, whole.parent) for path in (out / "pictures").iterdir()]
    assert "validation.json" in drawn and len(drawn) > 20
    assert all(map(draw.OURS.fullmatch, drawn))


def test_days_without_any_value_make_a_report_too(call: Call, world: Path, tmp_path: Path) -> None:
    run_file = write_run_file(world, "empty.yaml", first=date(2020, 2, 28), last=date(2020, 2, 29))
    told = json.loads(call("-c", run_file, "-o", tmp_path, "--json"))
    assert told["days"]["missing"] == 2
    assert "no value anywhere" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_report_of_months_is_of_their_days(world: Path, tmp_path: Path) -> None:
    run_file = write_run_file(tmp_path, product="small-months")
    loaded = config.load(run_file)
    store = config.load(world / "run.yaml").profile(None).place
    assert subject.of(loaded, store).product.name == "small-flux"


def test_monthly_means_of_the_store_are_used_while_they_are_of_these_days(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fluxengine.executors import serial
    from fluxengine.run import run

    monkeypatch.setitem(subject.MONTHLY, "small-flux", "small-months")
    shutil.copytree(world, tmp_path / "w")
    run_file = config.load(write_run_file(tmp_path / "w"))
    store = run_file.profile(None).place
    used = subject.of(run_file, store)
    assert used.months_from == "small-months v1" and not used.remarks
    of_days = replace(used, months=None)
    months, days = (fields.fields(one, "latent_heat_flux") for one in (used, of_days))
    np.testing.assert_allclose(months.values, days.values, atol=1e-4)

    (tmp_path / "w" / "archive" / "20200210.txt").write_text("half")
    run(
        requested.of_product(run_file, run_file.profile(None), create=True),
        lambda: nullcontext(serial),
    )
    now = subject.of(run_file, store)
    assert now.months is None
    assert "made from other days" in now.remarks[0] and "`fluxforge run`" in now.remarks[0]


def test_a_record_without_monthly_means_says_what_makes_them(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(subject.MONTHLY, "small-flux", "small-years")
    run_file = config.load(world / "run.yaml")
    found = subject.of(run_file, run_file.profile(None).place)
    assert found.months is None
    assert found.remarks[0].endswith("`fluxforge run` of small-years makes them.")


# --- what is refused -----------------------------------------------------------------------------


@pytest.fixture
def refused(call: Call) -> Callable[..., FluxforgeError]:
    """What a call ends with; nothing is written."""

    def refusal(run_file: Path, *more: object) -> FluxforgeError:
        with pytest.raises(FluxforgeError) as caught:
            call("-c", run_file, "-o", run_file.parent / "never", *more)
        assert not (run_file.parent / "never").exists()
        return caught.value

    return refusal


def test_a_variable_that_is_not_there_is_named_with_the_nearest(
    refused: Refused, short: Path
) -> None:
    problem = refused(short, "--variable", "latent_heat_flus")
    assert isinstance(problem, UnknownName)
    assert "latent_heat_flux" in str(problem)


def test_a_product_without_daily_maps_is_refused(refused: Refused, world: Path) -> None:
    problem = refused(write_run_file(world, "passes.yaml", "small-passes"))
    assert isinstance(problem, ConfigError)
    assert "one map a day" in str(problem)


def test_an_unknown_product_is_refused(refused: Refused, world: Path) -> None:
    run_file = write_run_file(world, "unknown.yaml", "small-fluks")
    assert "small-flux" in str(refused(run_file))


def test_a_period_without_a_day_is_refused(refused: Refused, world: Path) -> None:
    run_file = write_run_file(world, "later.yaml", first=date(2021, 1, 1), last=date(2021, 2, 1))
    problem = refused(run_file)
    assert isinstance(problem, ConfigError)
    assert "2019-11-01 to 2020-03-31" in str(problem)


def test_a_place_for_the_page_that_cannot_be_used_is_told_at_once(
    call: Call, short: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "_counted", lambda *_: pytest.fail("computed before it was told"))
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConfigError, match="this place cannot be used: Not a directory"):
        call("-c", short, "-o", tmp_path / "file" / "report")


def test_from_how_many_days_on_maps_are_of_months_is_in_the_help() -> None:
    assert f"Maps of more than {subject.BY_DAYS} days are of months" in str(command.report.__doc__)


def test_a_folder_that_is_no_store_is_refused_and_left_alone(
    refused: Refused, tmp_path: Path
) -> None:
    run_file = write_run_file(tmp_path)
    assert isinstance(refused(run_file), NotOurStore)
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "mine.txt").write_text("mine")
    assert isinstance(refused(run_file), NotOurStore)
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["mine.txt"]


def test_trends_that_are_none_are_refused(
    refused: Refused, short: Path, trends: Path, tmp_path: Path
) -> None:
    assert "no such file" in str(refused(short, "--trends", tmp_path))
    wrong = tmp_path / "wrong"
    shutil.copytree(trends, wrong)
    (wrong / "trends.json").write_text("[1]")
    assert "are no trends" in str(refused(short, "--trends", wrong))
    (wrong / "trends.json").write_bytes((trends / "trends.json").read_bytes())
    (wrong / "trends.nc").write_text("no NetCDF")
    assert "cannot be read" in str(refused(short, "--trends", wrong))
    xr.Dataset({"other": 1}).to_netcdf(wrong / "trends.nc")
    assert "no map" in str(refused(short, "--trends", wrong))


def test_matchups_that_are_none_are_refused(refused: Refused, short: Path, tmp_path: Path) -> None:
    assert "matchup" in str(refused(short, "--matchups", tmp_path / "none.nc"))


def test_cells_whose_trend_cannot_be_observed_get_crosses(trends: Path, tmp_path: Path) -> None:
    folder = tmp_path / "observable"
    shutil.copytree(trends, folder)
    with xr.open_dataset(trends / "trends.nc") as opened:
        maps = opened.load()
    north = (maps["lat"] > 0) & maps["latent_heat_flux_trend"].notnull()
    maps["latent_heat_flux_observable"] = north.astype("i1")
    maps.to_netcdf(folder / "trends.nc")
    crosses = findings.trends(folder).panels["latent_heat_flux"].crosses
    assert crosses is not None
    assert (crosses.values == (maps["lat"].values < 0)[:, None]).all()
    assert findings.trends(folder).is_tested
    assert not findings.trends(trends).is_tested


def test_the_trends_of_the_table_are_those_that_were_found(trends: Path) -> None:
    told = json.loads((trends / "trends.json").read_text())
    whole = next(one for one in told["regions"] if one["region"] == "global")
    table = findings.trends(trends).tables[0]
    assert table.title == "latent heat flux [W m⁻² per decade]"
    row = next(row for row in table.rows if row[0] == "global")
    assert row[2] == f"{whole['slope']:+.2f}"
    assert abs(float(row[2]) - 20.0) < 0.5  # what was put in
