"""`fluxforge trends` on small records whose trends are known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
import xarray as xr
import yaml
from typer.testing import CliRunner

from fluxengine.errors import ConfigError
from fluxkernels.bulk import bulk_flux
from fluxrecipes.nature.record import _NOTICE as NOTICE
from fluxrecipes.trends import command, document, offsets, records, report, settings
from fluxrecipes.trends.regions import REGIONS, Region, mean_over
from fluxrecipes.trends.series import annual, anomalies

LAT, LON = np.arange(-55.0, 60.0, 10.0), np.arange(5.0, 360.0, 10.0)
YEARS = 20
MONTHS = np.datetime64("1992-01") + np.arange(12 * YEARS)
DECADES = (np.arange(12 * YEARS) - 12 * YEARS / 2 + 0.5) / 120.0
RNG = np.random.default_rng(11)


def months(values: np.ndarray, units: str = "K") -> xr.DataArray:
    coords = {"time": MONTHS.astype("M8[ns]"), "lat": LAT, "lon": LON}
    return xr.DataArray(values.astype("f4"), coords, ("time", "lat", "lon"), attrs={"units": units})


def noise(spread: float) -> np.ndarray:
    return RNG.normal(0, spread, (len(MONTHS), len(LAT), len(LON)))


def season() -> np.ndarray:
    of_year = np.cos(2 * np.pi * np.arange(len(MONTHS)) / 12)
    return -4.0 * of_year[:, None, None] * np.sin(np.radians(LAT))[:, None]


def trend(by: float) -> np.ndarray:
    return by * DECADES[:, None, None]


def a_record() -> xr.Dataset:
    """SST warms by 0.3 K a decade, air by 0.1; humidity and wind stay."""
    sea = 295.0 + season() + trend(0.3) + noise(0.05)
    air = 293.5 + season() + trend(0.1) + noise(0.05)
    humidity = 0.010 + noise(5e-5)
    wind = 7.0 + noise(0.1)
    flux = bulk_flux(
        wind,
        sea,
        air,
        humidity,
        latitude=LAT[:, None],
        wind_kind="neutral",
        outputs=("sensible", "latent"),
    )
    made = {
        "sea_surface_temperature": months(sea),
        "air_temperature": months(air),
        "specific_humidity": months(humidity, "kg kg-1"),
        "wind_speed": months(wind, "m s-1"),
        "sensible_heat_flux": months(flux.sensible, "W m-2"),
        "latent_heat_flux": months(flux.latent, "W m-2"),
        "sea_minus_air_temperature": months(sea - air),
        "sea_minus_air_humidity": months(0.018 - humidity, "kg kg-1"),
        "reanalysis_share": months(np.zeros_like(sea), "1"),
    }
    land = np.zeros((len(LAT), len(LON)), bool)
    land[4:6, 3:6] = True
    return xr.Dataset({name: one.where(~land) for name, one in made.items()})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("trends")
    record = a_record()
    record.to_zarr(made / "monthly.zarr", zarr_format=3, consolidated=False)
    apart = xr.concat(
        [record, record + trend(0.02)], dim=xr.DataArray(["ascending", "descending"], dims="orbit")
    ).transpose("time", "orbit", "lat", "lon")
    for name in record:
        apart[name].attrs = record[name].attrs
    apart.to_zarr(made / "passes.zarr", zarr_format=3, consolidated=False)
    return made


def asked(folder: Path, **changes: Any) -> settings.Trends:
    content = {"store": ".", "dataset": "monthly.zarr", "out": "out"} | changes
    path = folder / "trends.yaml"
    path.write_text(yaml.safe_dump(content))
    return settings.load(path)


def one(found: document.Found, variable: str, orbit: str = "mean", region: str = "global") -> Any:
    (estimate,) = (
        e for e in found.regions if (e.variable, e.orbit, e.region) == (variable, orbit, region)
    )
    return estimate


def test_known_trends_are_found(folder: Path) -> None:
    found = document.of(asked(folder, variables=["sea_surface_temperature", "wind_speed"]))
    warming, wind = one(found, "sea_surface_temperature"), one(found, "wind_speed")
    assert found.years == (1992, 2011)
    assert warming.slope == pytest.approx(0.3, abs=0.002) and warming.p < 1e-6
    assert abs(warming.slope - 0.3) < 2 * warming.interval < 0.02
    assert abs(wind.slope) < 2 * wind.interval
    maps = found.maps["sea_surface_temperature", "mean"]
    np.testing.assert_allclose(np.nanmean(maps["trend"]), 0.3, atol=0.003)
    land = np.isnan(maps["trend"].values)
    assert land.sum() == 6 and maps["significant"].values[~land].all()
    assert not maps["significant"].values[land].any() and (maps["values"].values[land] == 0).all()
    assert found.maps["wind_speed", "mean"]["significant"].values.mean() < 0.01
    assert found.sizes["wind_speed"]["least squares"] < 0.09
    assert {e.region for e in found.regions} == set(REGIONS)


def test_passes_and_their_difference(folder: Path) -> None:
    found = document.of(
        asked(folder, variables=["air_temperature"], passes="passes.zarr", attribution=False)
    )
    slopes = [
        one(found, "air_temperature", orbit).slope
        for orbit in ("mean", "ascending", "descending", document.DIFFERENCE)
    ]
    np.testing.assert_allclose(slopes, [0.1, 0.1, 0.12, -0.02], atol=0.002)


def test_contributions_add_up_to_the_trend_of_a_flux(folder: Path) -> None:
    fluxes = ["latent_heat_flux", "sensible_heat_flux"]
    found = document.of(asked(folder, variables=fluxes))
    for flux in fluxes:
        parts = {e.variable: e.slope for e in found.causes[flux] if e.region == "global"}
        whole = one(found, flux).slope
        assert sum(parts.values()) == pytest.approx(whole, rel=1e-5)
        assert abs(parts["rest"]) < 0.05 * whole  # the bulk formula's curvature
        assert abs(parts["wind_speed"]) < 0.05 * whole
    # The sea warms, which the air's own warming takes back for the sensible heat flux alone.
    parts = {e.variable: e.slope for e in found.causes[fluxes[1]] if e.region == "global"}
    ratio = parts["air_temperature"] / parts["sea_surface_temperature"]
    assert ratio == pytest.approx(-1 / 3, abs=0.05)


def test_a_jump_is_taken_for_a_trend_unless_a_step_is_fitted(tmp_path: Path) -> None:
    jump = (np.datetime64("2002-05") <= MONTHS)[:, None, None] * 0.5
    record = xr.Dataset({"wind_speed": months(7.0 + jump + noise(0.05), "m s-1")})
    record.to_zarr(tmp_path / "monthly.zarr", zarr_format=3, consolidated=False)
    given: dict[str, Any] = {"variables": ["wind_speed"], "attribution": False}
    plain = one(document.of(asked(tmp_path, **given)), "wind_speed")
    assert plain.slope == pytest.approx(0.37, abs=0.03) and plain.p_mann_kendall < 0.05
    found = document.of(asked(tmp_path, steps=["2002-05-01"], **given))
    mended = one(found, "wind_speed")
    assert abs(mended.slope) < 0.01 and mended.p > 0.05
    assert found.removed == ("step on 2002-05-01",)
    assert np.isnan(mended.p_mann_kendall)  # tests by rank know nothing of steps
    with pytest.raises(ConfigError, match="does not lie within 1992 to 2011"):
        document.of(asked(tmp_path, steps=["2012-05-01"], **given))


def test_trends_of_months_are_those_of_years_and_know_of_autocorrelation(folder: Path) -> None:
    given: dict[str, Any] = {"variables": ["air_temperature", "wind_speed"], "attribution": False}
    years, months_of = (document.of(asked(folder, of=of, **given)) for of in ("years", "months"))
    for name in given["variables"]:
        annual_one, monthly_one = one(years, name), one(months_of, name)
        assert (annual_one.values, monthly_one.values) == (YEARS, 12 * YEARS)
        assert monthly_one.slope == pytest.approx(annual_one.slope, abs=2 * annual_one.interval)
        assert abs(monthly_one.autocorrelation) < 0.2  # neither the season nor steps are left
    assert months_of.as_json()["of"] == "months"
    stepped = document.of(asked(folder, of="months", steps=["2000-05-16"], **given))
    assert abs(one(stepped, "air_temperature").slope - 0.1) < 0.01


def test_trends_of_days_know_neither_season_nor_tiles(tmp_path: Path) -> None:
    days = np.datetime64("2001-01-01") + np.arange(1826)
    when = np.arange(days.size) / 3652.5
    turn = 2 * np.pi * np.arange(days.size) / 365.25
    lat, lon = np.arange(-35.0, 40.0, 10.0), np.arange(5.0, 360.0, 40.0)
    shape = (days.size, lat.size, lon.size)
    rng = np.random.default_rng(5)
    slopes = np.where(lat > 0, 0.5, -0.2)[:, None]
    values = 300.0 + rng.normal(0, 0.3, shape) + slopes * when[:, None, None]
    values += (6.0 * np.cos(turn) + 2.0 * np.sin(2 * turn))[:, None, None]
    values[rng.random(shape) < 0.3] = np.nan
    values[:, 0, 0] = np.nan
    grid = {"time": days.astype("M8[ns]"), "lat": lat, "lon": lon}
    record = xr.DataArray(values.astype("f4"), grid, ("time", "lat", "lon"), attrs={"units": "K"})
    chunks = {"air_temperature": {"chunks": (30, 3, 4)}}
    record.to_dataset(name="air_temperature").to_zarr(
        tmp_path / "daily.zarr", zarr_format=3, consolidated=False, encoding=chunks
    )
    given: dict[str, Any] = {"dataset": "daily.zarr", "variables": ["air_temperature"]}
    found = document.of(asked(tmp_path, of="days", **given))
    maps = found.maps["air_temperature", "mean"]
    known = np.isfinite(maps["trend"].values)
    assert known.sum() == known.size - 1 and maps["values"].values[0, 0] == 0
    error = (maps["trend"].values - slopes) / maps["interval"].values * 1.96
    assert 0.8 < np.nanstd(error) < 1.2 and abs(np.nanmean(error)) < 0.3
    np.testing.assert_allclose(
        maps["theil_sen"].values[known], maps["trend"].values[known], atol=0.05
    )
    tropics = one(found, "air_temperature", region="tropics, 5-20 N")
    assert tropics.slope == pytest.approx(0.5, abs=0.02) and tropics.values == days.size
    with pytest.raises(ConfigError, match="'without_enso' is of months"):
        asked(tmp_path, of="days", without_enso=True, **given)


def test_offsets_of_overlaps_mend_a_jump_and_leave_the_trend(tmp_path: Path) -> None:
    """The sensor after 2002-05 is 0.5 too high in the north; both fly for a year and a half."""
    true = 7.0 + trend(0.2) + season() * 0.2 + noise(0.05)
    high = 0.5 * (LAT > 0)[:, None]
    later = (np.datetime64("2002-05") <= MONTHS)[:, None, None]
    both = (np.datetime64("2001-02") <= MONTHS) & (np.datetime64("2002-07") >= MONTHS)
    store = {"zarr_format": 3, "consolidated": False}
    for name, values in {
        "monthly": true + later * high,
        "before": np.where((np.datetime64("2002-07") >= MONTHS)[:, None, None], true, np.nan),
        "after": np.where(both[:, None, None] | later, true + high, np.nan),
    }.items():
        record = xr.Dataset({"wind_speed": months(values, "m s-1")})
        record.to_zarr(tmp_path / f"{name}.zarr", **store)
    given: dict[str, Any] = {"variables": ["wind_speed"], "attribution": False}
    assert one(document.of(asked(tmp_path, **given)), "wind_speed").slope > 0.3
    overlap = {
        "on": "2002-05-02",
        "before": {"store": ".", "dataset": "before.zarr"},
        "after": {"store": ".", "dataset": "after.zarr"},
    }
    found = document.of(asked(tmp_path, overlaps=[overlap], **given))
    assert one(found, "wind_speed").slope == pytest.approx(0.2, abs=0.01)
    (offset,) = found.offsets
    beside = {"before": {"store": ".", "dataset": "monthly.zarr"}}
    told = document.of(asked(tmp_path, overlaps=[overlap], beside=beside, **given)).beside
    assert told["record"][0].slope == told["before"][0].slope  # nothing is taken out of either
    assert offset.months == 18 and offset.mean == pytest.approx(0.25, abs=0.01)
    np.testing.assert_allclose(offset.field.sel(lat=slice(0, None)), 0.5, atol=1e-5)
    np.testing.assert_allclose(offset.field.sel(lat=slice(None, 0)), 0.0, atol=1e-5)
    short = xr.open_zarr(tmp_path / "after.zarr", chunks=None).sel(time=slice("2002-05", None))
    short.load().drop_encoding().to_zarr(tmp_path / "short.zarr", **store)
    overlap["after"] = {"store": ".", "dataset": "short.zarr"}
    with pytest.raises(records.NoTrend, match="3 months of wind_speed in common"):
        document.of(asked(tmp_path, overlaps=[overlap], **given))


@pytest.mark.parametrize(("persistence", "narrow"), [(0.0, 0.3), (0.6, 0.1)])
def test_intervals_know_how_well_an_offset_is_known(
    tmp_path: Path, persistence: float, narrow: float
) -> None:
    """Of records whose satellites differ at random from month to month, 95 % hold the truth.

    A year whose months depend on each other tells little: intervals are wide, but they hold.
    """
    both = (np.datetime64("2001-11") <= MONTHS) & (np.datetime64("2002-10") >= MONTHS)
    later = (np.datetime64("2002-05") <= MONTHS)[:, None, None] * 0.5
    sides = {name: {"store": ".", "dataset": f"{name}.zarr"} for name in ("before", "after")}
    given: dict[str, Any] = {"variables": ["wind_speed"], "attribution": False}
    given["overlaps"] = [{"on": "2002-05-02", **sides}]
    wrong, allowed = [], []
    for number in range(40):
        differ = np.random.default_rng(number).normal(0, 0.3, (MONTHS.size, 1, 1))
        for month in range(1, MONTHS.size):
            differ[month] += persistence * differ[month - 1]
        true = 7.0 + trend(0.2) + noise(0.05)
        for name, values in {
            "monthly": true + later,
            "before": np.where(both[:, None, None], true, np.nan),
            "after": np.where(both[:, None, None], true + 0.5 + differ, np.nan),
        }.items():
            record = xr.Dataset({"wind_speed": months(values, "m s-1")})
            record.to_zarr(tmp_path / f"{name}.zarr", mode="w", zarr_format=3, consolidated=False)
        found = document.of(asked(tmp_path, **given))
        maps = found.maps["wind_speed", "mean"]
        told = one(found, "wind_speed")
        wrong.append([told.slope - 0.2, float(maps["trend"][3, 5]) - 0.2])
        allowed.append([told.interval, float(maps["interval"][3, 5])])
    assert ((np.abs(wrong) < allowed).mean(axis=0) > 0.88).all()
    assert (np.std(wrong, axis=0) / np.median(allowed, axis=0) > narrow).all()  # of 1.96, 0.51


def test_enso_can_be_taken_out(tmp_path: Path) -> None:
    mode = np.repeat(RNG.normal(0, 1, YEARS), 12)[:, None, None]
    pattern = np.exp(-((LAT / 15.0) ** 2))[:, None] * ((LON > 180) & (LON < 270))
    sea = 295.0 + trend(0.2) + mode * pattern + noise(0.02)
    wind = 7.0 - 0.5 * mode + noise(0.02)
    record = xr.Dataset(
        {"sea_surface_temperature": months(sea), "wind_speed": months(wind, "m s-1")}
    )
    record.to_zarr(tmp_path / "monthly.zarr", zarr_format=3, consolidated=False)
    given: dict[str, Any] = {"variables": ["wind_speed"], "attribution": False}
    with_it = one(document.of(asked(tmp_path, **given)), "wind_speed")
    without = one(document.of(asked(tmp_path, without_enso=True, **given)), "wind_speed")
    assert without.interval < 0.1 * with_it.interval
    assert abs(without.slope) < 0.02
    del record["sea_surface_temperature"]
    record.to_zarr(tmp_path / "other.zarr", zarr_format=3, consolidated=False)
    with pytest.raises(records.NoTrend, match=r"Niño 3\.4"):
        document.of(asked(tmp_path, dataset="other.zarr", without_enso=True, **given))


def test_other_records_are_told_on_common_cells_and_years(folder: Path, tmp_path: Path) -> None:
    other = xr.open_zarr(folder / "monthly.zarr", chunks=None).load()
    other = other.sel(time=slice("1995", None)).where(LAT[:, None] > 0)
    other["air_temperature"] = other["air_temperature"] * 1.0 + trend(0.1)[36:].astype("f4")
    other.to_zarr(tmp_path / "other.zarr", zarr_format=3, consolidated=False)
    beside = {"warmer": {"store": str(tmp_path), "dataset": str(tmp_path / "other.zarr")}}
    found = document.of(asked(folder, variables=["air_temperature"], beside=beside))
    slopes = {
        name: next(e for e in several if e.region == "global")
        for name, several in found.beside.items()
    }
    assert {e.values for e in slopes.values()} == {17}
    assert slopes["warmer"].slope - slopes["record"].slope == pytest.approx(0.1, abs=1e-3)
    assert {e.region: e.values for e in found.beside["record"]}["Agulhas Current"] == 0
    coarse = other.isel(lat=slice(None, None, 2))
    coarse.to_zarr(tmp_path / "coarse.zarr", zarr_format=3, consolidated=False)
    beside["warmer"]["dataset"] = str(tmp_path / "coarse.zarr")
    with pytest.raises(records.NoTrend, match="another grid"):
        document.of(asked(folder, variables=["air_temperature"], beside=beside))


def test_months_of_a_reanalysis_and_years_can_be_left_out(tmp_path: Path) -> None:
    record = a_record()
    some = record["reanalysis_share"].values
    some[24:36] = 0.6
    record["air_temperature"].values[24:36] += 5.0
    record.to_zarr(tmp_path / "monthly.zarr", zarr_format=3, consolidated=False)
    given: dict[str, Any] = {"variables": ["air_temperature"], "attribution": False}
    spoilt = one(document.of(asked(tmp_path, **given)), "air_temperature")
    for change in ({"reanalysis_at_most": 0.5}, {"leave_out": [1994]}):
        mended = one(document.of(asked(tmp_path, **given, **change)), "air_temperature")
        assert mended.values == 19 and spoilt.values == 20
        assert mended.slope == pytest.approx(0.1, abs=0.003) and abs(spoilt.slope - 0.1) > 0.1
    # Of a year that does not count Niño 3.4 need not be known; and of others no reanalysis.
    for of in ("years", "months"):
        some = asked(tmp_path, of=of, leave_out=[1994], without_enso=True, **given)
        assert one(document.of(some), "air_temperature").slope == pytest.approx(0.1, abs=0.01)
    record.drop_vars("reanalysis_share").to_zarr(
        tmp_path / "other.zarr", zarr_format=3, consolidated=False
    )
    beside = {"other": {"store": ".", "dataset": "other.zarr"}}
    some = asked(tmp_path, reanalysis_at_most=0.5, beside=beside, **given)
    assert document.of(some).beside["other"][0].values == 19  # in the years that all have


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"variables": ["latent_heat_flx"]}, "Did you mean 'latent_heat_flux'"),
        ({"period": {"first": "1992-01-01", "last": "1993-12-31"}}, "years that are there: 2"),
        ({"dataset": "nothing.zarr"}, "no Zarr store"),
        ({"passes": "daily.zarr"}, "monthly means"),
        (
            {"dataset": "passes.zarr"},
            "on time, orbit, lat, lon, not on time.* as `passes`",
        ),
        ({"beside": {"others": {"store": ".", "dataset": "passes.zarr"}}}, "not on time, lat, lon"),
        (
            {"beside": {"late": {"store": ".", "dataset": "late.zarr"}}},
            "of air temperature that all records have: 1",
        ),
        ({"beside": {"record": {"store": "."}}}, "what the record itself is called"),
        ({"steps": ["2001-05-01", "2001-05-01"]}, "2001-05-01 is named twice"),
    ],
)
def test_what_cannot_be_told_says_why(folder: Path, changes: dict[str, Any], said: str) -> None:
    daily = folder / "daily.zarr"
    if not daily.exists():
        days = np.datetime64("1992-01-01") + np.arange(50)
        times = {"time": days.astype("M8[ns]")}
        xr.Dataset({"air_temperature": (("time",), np.zeros(50))}, times).to_zarr(
            daily, zarr_format=3, consolidated=False
        )
        late = xr.open_zarr(folder / "monthly.zarr", chunks=None).sel(time=slice("2007", None))
        late = late.assign_coords(time=late["time"] + np.timedelta64(1461, "D"))
        late.load().drop_encoding().to_zarr(folder / "late.zarr", zarr_format=3, consolidated=False)
    with pytest.raises((records.NoTrend, ConfigError), match=said):
        document.of(asked(folder, **{"variables": ["air_temperature"], **changes}))


def test_a_simulated_record_says_so_by_itself(folder: Path, tmp_path: Path) -> None:
    record = xr.open_zarr(folder / "monthly.zarr", chunks=None)[["wind_speed"]].load()
    record.attrs["notice"] = NOTICE.format(seed=4) + "A network filled its gaps."
    record.drop_encoding().to_zarr(tmp_path / "monthly.zarr", zarr_format=3, consolidated=False)
    given: dict[str, Any] = {"variables": ["wind_speed"], "attribution": False}
    assert document.of(asked(tmp_path, **given)).asked.simulated == "an imagined world (seed 4)"
    assert document.of(asked(folder, **given)).asked.simulated == ""


def test_a_misspelt_key_is_told(folder: Path) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'passes'"):
        asked(folder, pases="x")
    with pytest.raises(ConfigError, match="known already"):
        asked(folder, regions={"global": {"south": 0, "north": 1}})


def test_the_command_writes_what_it_prints(folder: Path) -> None:
    boxes = {"box": {"south": -30, "north": 20, "west": 340, "east": 40}}
    asked(folder, regions=boxes, passes="passes.zarr", simulated="a small world")
    app = typer.Typer()
    app.command()(command.trends)
    done = CliRunner().invoke(app, ["-c", str(folder / "trends.yaml"), "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["simulated"] == "a small world" and told["years"] == [1992, 2011]
    assert json.loads((folder / "out" / "trends.json").read_text()) == told
    assert {e["region"] for e in told["regions"]} >= {"box", "global"}
    maps = xr.open_dataset(folder / "out" / "trends.nc")
    assert maps["latent_heat_flux_trend"].attrs["units"] == "W m-2 decade-1"
    assert "latent_heat_flux_trend_ascending" in maps and "SIMULATED" in maps.attrs["title"]
    picture = folder / "out" / "trends.png"
    assert picture.stat().st_size > 50_000
    printed = CliRunner().invoke(app, ["-c", str(folder / "trends.yaml")])
    assert printed.exit_code == 0 and "SIMULATED" in printed.output
    assert "what contributes to latent heat flux" in printed.output
    assert str(picture) in printed.output.replace("\n", "")


def test_what_was_not_tested_is_left_empty(folder: Path) -> None:
    """Tests by rank know no steps; the rate of false discoveries is the one that was asked for."""
    asked(folder, steps=["2000-05-08"], false_discoveries=0.3, variables=["air_temperature"])
    app = typer.Typer()
    app.command()(command.trends)
    done = CliRunner().invoke(app, ["-c", str(folder / "trends.yaml"), "--json"])
    assert done.exit_code == 0, done.output
    sizes = json.loads(done.stdout)["share_of_cells_with_p_below_0.05"]["air_temperature"]
    assert sizes["Mann-Kendall"] is None and sizes["least squares"] > 0.9
    assert sizes["false discoveries at most 30 %"] > 0.9
    printed = CliRunner().invoke(app, ["-c", str(folder / "trends.yaml")])
    assert printed.exit_code == 0 and "nan" not in printed.output


# --- parts ---------------------------------------------------------------------------------------


def test_a_year_is_not_moved_by_a_month_that_is_missing() -> None:
    values = 290.0 + season() + 0.0 * noise(1.0)
    whole = annual(months(values))
    by_days = months(values).astype(float).resample(time="1D").ffill().groupby("time.year").mean()
    np.testing.assert_allclose(whole.isel(year=1).values, by_days.isel(year=1).values, atol=2e-3)
    gappy = months(values)
    gappy.values[12:15] = np.nan  # a winter
    gappy.values[24:28] = np.nan
    made = annual(gappy, min_months=9)
    np.testing.assert_allclose(made.values[1], whole.values[1], atol=1e-3)
    assert np.isnan(made.values[2]).all()


@pytest.mark.parametrize("there", ["early", "late", "few"])
def test_a_month_that_is_there_for_a_part_of_the_record_takes_nothing_off_the_trend(
    there: str,
) -> None:
    """An edge of the ice: its own mean of such a month is that of these years alone."""
    years = np.arange(1992, 2021)
    times = np.arange("1992-01", "2021-01", dtype="M8[M]")
    month, year = times.astype(int) % 12, 1970 + times.astype(int) // 12
    values = 0.1 * (year + month / 12.0 - 2006.0) + np.cos(month * np.pi / 6.0)
    winter = month < 3
    gone = {"early": year > 2005, "late": year < 2006, "few": year != 1995}[there]
    gappy = xr.DataArray(
        np.where(winter & gone, np.nan, values)[:, None],
        {"time": times.astype("M8[ns]")},
        ("time", "cell"),
    )
    made = annual(gappy, min_months=9)
    np.testing.assert_allclose(np.diff(made.values[:, 0]), 0.1, atol=2e-3)
    away = anomalies(gappy)
    slope = np.polyfit(*np.stack([away["year"], away[:, 0]])[:, np.isfinite(away[:, 0])], 1)[0]
    assert slope == pytest.approx(0.1, rel=1e-6) and made.sizes["year"] == years.size


@pytest.mark.parametrize("seen", [(1, 2), (0, 1, 2), (11, 0, 1, 2, 3)])
def test_offsets_do_not_guess_what_ice_hides(seen: tuple[int, ...]) -> None:
    """A wave through a season's months says nothing of the year: the mean of them is told."""
    month = np.arange("1997-01", "2007-01", dtype="datetime64[M]")
    there = np.isin(month.astype(int) % 12, seen)
    lat, lon = np.array([-75.0, -65.0, -5.0]), np.array([5.0, 15.0])
    apart = 0.5 + np.random.default_rng(3).normal(0, 0.3, (month.size, 3, 2))
    apart[~there, :2] = np.nan
    told = offsets._by_block(apart, month, lat, lon)
    assert np.isfinite(told.mean).all()
    np.testing.assert_allclose(told.mean[0], np.nanmean(apart[:, :2], axis=(0, 1)), atol=0.15)
    assert (np.abs(told.mean - 0.5) < 4 * told.standard_error).all()
    assert (told.standard_error < 0.3).all()
    alone = offsets._level(apart[there, 0, 0], month[there])  # all that both satellites have
    assert alone.mean == pytest.approx(apart[there, 0, 0].mean())


def test_a_month_belongs_to_the_satellite_of_most_of_its_days() -> None:
    months_of = {"2002-05-16": "2002-05", "2002-05-17": "2002-06", "2002-02-15": "2002-02"}
    for day, month in months_of.items():
        assert offsets._first_after(np.datetime64(day)) == np.datetime64(month)


def test_cells_that_come_and_go_do_not_move_a_mean() -> None:
    values = np.broadcast_to(LAT[None, :, None], (5, len(LAT), len(LON))).copy()
    values[2, LAT > 0] = np.nan
    values[4] = np.nan
    series = mean_over(Region(-90, 90), values, LAT, LON)
    np.testing.assert_allclose(series[:4], series[0])
    assert np.isnan(series[4]) and series[0] < 0
    over_greenwich = Region(-90, 90, 350, 20).holds(LAT, LON)
    assert LON[over_greenwich[0]].tolist() == [5.0, 15.0, 355.0]
    nowhere = mean_over(Region(80, 90), values, LAT, LON)
    assert np.isnan(nowhere).all()


def test_units_for_the_eye() -> None:
    assert report.shown("kg kg-1")[1] == 1000.0
    assert report.shown("furlong")[0] == "furlong"
