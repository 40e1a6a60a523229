"""Maps, means and frames against numbers that are worked out here by other ways."""

from __future__ import annotations

import base64
import io
import subprocess
import sys
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from PIL import Image
from reportworld import LAND, WORDS, all_days, flux, values_of, write_run_file

from fluxengine import config
from fluxrecipes.report import charts, fields, frames, page, subject
from fluxrecipes.report.frames import Sheet
from fluxrecipes.report.subject import Subject

PACKED = 0.026  # half a packing step of the flux


def about(run_file: Path) -> Subject:
    loaded = config.load(run_file)
    return subject.of(loaded, loaded.profile(None).place)


def test_a_short_record_has_maps_of_days(short: Path) -> None:
    of = about(short)
    assert of.by_days
    values = fields.fields(of, flux.name)
    assert values["time"].values.astype("M8[D]").tolist() == of.days.tolist()
    at = (date(2020, 2, 14) - of.first).days
    expected = values_of(date(2020, 2, 14))
    assert np.nanmax(np.abs(values.values[at] - expected)) < PACKED
    assert np.isnan(values.values[(date(2020, 2, 29) - of.first).days]).all()


def test_a_longer_one_has_months_of_the_days_with_a_value(world: Path) -> None:
    values = fields.fields(about(world / "run.yaml"), flux.name)
    assert frames.labels_of(values) == ["2019-11", "2019-12", "2020-01", "2020-02", "2020-03"]
    lost = {date(2019, 12, d) for d in range(11, 16)} | {date(2020, 3, 10)}
    lost |= {date(2020, 1, 20), date(2020, 1, 21)}
    lost |= {day for day, word in WORDS.items() if word == "empty"}
    for at, month in enumerate(values["time"].values.astype("M8[M]")):
        some = [d for d in all_days() if np.datetime64(d, "M") == month and d not in lost]
        expected = np.mean([values_of(day) for day in some], axis=0)
        there = ~LAND.copy()
        if at == 0:
            there.ravel()[np.flatnonzero(~LAND.ravel())[:7]] = False  # a gap on one of the days
        assert np.abs(values.values[at] - expected)[there].max() < PACKED
        assert np.isnan(values.values[at][LAND]).all()


def test_months_of_the_engine_and_of_the_report_are_the_same(world: Path) -> None:
    """`small-months` is made by the stage that makes deepflux-monthly."""
    from fluxengine.store import open_dataset

    ours = fields.fields(about(world / "run.yaml"), flux.name)
    theirs = open_dataset(world / "store", "small-months")[flux.name]
    np.testing.assert_allclose(ours.values, theirs.values, atol=1e-4)


def test_a_month_with_few_days_has_no_mean() -> None:
    days = np.arange("2020-01-01", "2020-02-01", dtype="M8[D]")
    values = np.full((31, 1, 2), np.nan, "f4")
    values[:9, 0, 0], values[:10, 0, 1] = 1.0, 1.0
    part = xr.DataArray(
        values, {"time": days.astype("M8[ns]"), "lat": [0.0], "lon": [0.0, 1.0]},
        ("time", "lat", "lon"),
    )  # fmt: skip
    (made,) = fields._monthly(iter([part]), days)
    assert np.isnan(made.values[0, 0, 0]) and made.values[0, 0, 1] == 1.0


def test_global_means_are_over_cells_that_are_always_there() -> None:
    values = np.full((3, 2, 2), 10.0)
    values[:, 1] = 20.0
    values[1, 0, 0] = np.nan
    values[0, 0, 0] = 1e6  # would count if a cell that comes and goes did
    given = xr.DataArray(values, {"lat": [0.5, 60.5], "lon": [0.5, 1.5]}, ("time", "lat", "lon"))
    series, share = fields.global_mean(given)
    near, far = np.cos(np.radians(0.5)), np.cos(np.radians(60.5))
    assert series == pytest.approx([(10 * near + 2 * 20 * far) / (near + 2 * far)] * 3)
    assert share == pytest.approx((near + 2 * far) / (2 * near + 2 * far))


def test_the_mean_of_months_is_weighted_by_their_days() -> None:
    times = np.array(["2019-01", "2019-02"], "M8[M]").astype("M8[ns]")
    values = np.array([[[1.0]], [[2.0]]])
    given = xr.DataArray(
        values, {"time": times, "lat": [0.0], "lon": [0.0]}, ("time", "lat", "lon")
    )
    whole = np.arange("2019-01-01", "2019-03-01", dtype="M8[D]")
    assert fields.over_time(given, whole).item() == pytest.approx((31 + 2 * 28) / 59)
    cut_short = np.arange("2019-01-31", "2019-02-03", dtype="M8[D]")
    assert fields.over_time(given, cut_short).item() == pytest.approx((1 + 2 * 2) / 3)


def test_a_month_that_the_period_cuts_short_counts_with_its_days_there(world: Path) -> None:
    """Of a few more than a hundred days, the last two of November 2019 the first."""
    of = about(write_run_file(world, "cut.yaml", first=date(2019, 11, 29), last=date(2020, 3, 31)))
    values = fields.fields(of, flux.name)
    assert not of.by_days and frames.labels_of(values)[0] == "2019-11"
    mean = fields.over_time(values, fields.days_of(of))
    weighed = np.average(values.values, axis=0, weights=[2, 31, 31, 29, 31])
    np.testing.assert_allclose(mean.values, weighed, rtol=1e-5)
    assert "".join(page._cut_short(of, values["time"].values)) == " 2019-11 is of 2 of its 30 days."


def test_days_that_the_record_has_not_count_for_nothing(world: Path) -> None:
    of = about(write_run_file(world, "before.yaml", first=date(2019, 10, 1)))
    assert fields.days_of(of)[0] == np.datetime64("2019-11-01")
    whole = fields.fields(of, flux.name)
    assert list(page._cut_short(of, whole["time"].values)) == []


# --- frames --------------------------------------------------------------------------------------


def globe(steps: int = 3, monthly: bool = False) -> xr.DataArray:
    lat, lon = np.arange(-59.5, 60.0), np.arange(0.5, 360.0)
    values = (lat[:, None] + 0 * lon + np.arange(steps)[:, None, None]).astype("f4")
    values[:, 50:60, 100:120] = np.nan
    unit = "M" if monthly else "D"
    times = (np.datetime64("2001-01", unit) + np.arange(steps)).astype("M8[ns]")
    return xr.DataArray(
        values, {"time": times, "lat": lat, "lon": lon}, ("time", "lat", "lon"), name="height",
        attrs={"units": "m"},
    )  # fmt: skip


def decoded(image: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(image)))


def test_a_frame_has_north_up_africa_at_its_edge_and_each_cell_in_its_colour() -> None:
    values = globe()
    sheet = Sheet(values["lat"].values, values["lon"].values)
    land = np.zeros((120, 360), bool)
    land[50:55, 100:120] = True
    made = frames.film(values, "Height", sheet, land)
    image = decoded(made.frames[0].image)
    assert image.size == (360, 120)
    assert image.mode == "P"
    colours = np.asarray(image.convert("RGBA"))
    edges = made.scale.edges

    def colour(lat: float, lon: float) -> tuple[int, ...]:
        return tuple(colours[int(60 - lat), int((lon - 20) % 360)].tolist())

    for lat in (-59.5, -10.5, 0.5, 33.5, 59.5):
        at = int(np.clip(np.searchsorted(edges, lat, "right") - 1, 0, len(edges) - 2))
        assert colour(lat, 200.5) == (*made.scale.colours[at], 255)
    assert colour(-7.5, 110.5) == (*frames.LAND_COLOUR, 255)  # land
    assert colour(-3.5, 110.5)[3] == 0  # no value: the page shows through
    assert "mean" in made.frames[0].told and made.frames[0].told.endswith(" m")


def test_meridians_and_parallels_are_where_they_belong() -> None:
    sheet = Sheet(np.arange(-59.5, 60.0), np.arange(0.5, 360.0))
    assert sheet.meridians[0] == (40.0, "60° E")
    assert sheet.meridians[2] == (160.0, "180°")
    assert (30.0, "30° N") in sheet.parallels


def test_a_region_is_not_turned() -> None:
    sheet = Sheet(np.arange(-4.5, 5.0), np.arange(100.5, 160.0))
    assert sheet.turn == 0
    assert sheet.meridians == [(20.0, "120° E")]


def test_frames_that_do_not_fit_become_years_or_fewer() -> None:
    values = globe(36, monthly=True)
    sheet = Sheet(values["lat"].values, values["lon"].values)
    both = frames.films(values, "Height", sheet, None, share=10**9)
    assert {step: len(film.frames) for step, film in both.items()} == {"month": 36, "year": 3}
    assert frames.choose([both], 10**9).told == "36 monthly means"
    years = frames.choose([both], both["month"].size - 1)
    assert years.told == "3 annual means"
    assert [frame.label for frame in years.films[0].frames] == ["2001", "2002", "2003"]
    assert "one in 2" in frames.choose([both], both["year"].size - 1).told
    little = frames.films(values, "Height", sheet, None, share=100)
    assert set(little) == {"year"}  # months are not even drawn


def test_a_chart_breaks_where_there_is_no_value() -> None:
    days = np.arange("2020-01-01", "2020-01-06", dtype="M8[D]")
    made = charts.line("x", "K", days, np.array([1.0, 2.0, np.nan, 4.0, 5.0]))
    assert made.shapes[0][1].count("M") == 2
    assert "from 1 to 5 K" in made.told
    assert "no value" in charts.line("x", "K", days, np.full(5, np.nan)).told


def test_shares_fill_the_chart() -> None:
    days = np.array(["2020-01-01"], "M8[D]")
    made = charts.areas("x", days, np.array([[0.25, 0.75]]), ("a", "b"))
    assert made.told == "x: on average a 25.0 %, b 75.0 %."
    numbers = [float(n) for point in made.shapes[0][1][1:-1].split("L") for n in point.split()]
    assert min(numbers[::2]) == charts.LEFT and max(numbers[::2]) == charts.WIDTH - charts.RIGHT


def test_a_finer_grid_is_averaged_to_what_a_page_shows() -> None:
    lat, lon = np.arange(-0.75, 1.0, 0.5), np.arange(0.25, 360.0, 0.5)
    values = np.arange(4.0)[:, None] + np.zeros(720)
    values[0, 1] = np.nan
    given = xr.DataArray(values, {"lat": lat, "lon": lon}, ("lat", "lon"))
    made = fields.coarse(given)
    assert made.shape == (2, 360)
    assert made["lat"].values.tolist() == [-0.5, 0.5] and made["lon"].values[0] == 0.5
    assert made.values[0, 0] == pytest.approx((0 + 1 + 1) / 3) and made.values[1, 5] == 2.5


def test_a_process_that_has_drawn_ends_well_beside_another_proj() -> None:
    """xarray loads cfgrib, and with it ecCodes' own PROJ, as soon as it opens anything."""
    program = (
        "from fluxrecipes.report import maps\n"
        "import xarray, cartopy.crs\n"
        "xarray.backends.list_engines()\n"
        "cartopy.crs.PlateCarree()\n"
        "import pyproj; print(pyproj.CRS('EPSG:4326').name)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "WGS 84"), done.stderr
