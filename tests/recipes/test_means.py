"""`fluxforge validate --means`: maps and series on common cells, of months and of days."""

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
from fluxrecipes.skill import command
from fluxrecipes.trends import means, settings
from fluxrecipes.trends.records import NoTrend

LAT, LON = np.arange(-55.0, 60.0, 10.0), np.arange(5.0, 360.0, 10.0)
DAYS = np.arange("2014-01-01", "2016-01-01", dtype="M8[D]")
RNG = np.random.default_rng(12)
UNITS = {
    "air_temperature": "K",
    "specific_humidity": "kg kg-1",
    "sensible_heat_flux": "W m-2",
    "latent_heat_flux": "W m-2",
}


def of_days() -> xr.Dataset:
    """Two years of days; land in one corner, and a cell that freezes in the first months."""
    shape = (len(DAYS), len(LAT), len(LON))
    season = np.cos(2 * np.pi * np.arange(len(DAYS)) / 365.25)[:, None, None]
    middle = {"K": (290.0, 5.0), "kg kg-1": (0.012, 0.002), "W m-2": (90.0, 20.0)}
    coords = {"time": DAYS.astype("M8[ns]"), "lat": LAT, "lon": LON}
    made = {}
    for name, unit in UNITS.items():
        mean, wide = middle[unit]
        values = mean + wide * season + wide * RNG.normal(size=shape) / 3.0
        values[:, :2, :3] = np.nan
        values[:70, 11, 20] = np.nan
        made[name] = xr.DataArray(
            values.astype("f4"), coords, ("time", "lat", "lon"), attrs={"units": unit}
        )
    return xr.Dataset(made)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("means")
    days = of_days()
    months = days.resample(time="MS").mean(keep_attrs=True)
    months = months.assign(air_temperature_2m=months["air_temperature"] + 0.4)
    months["air_temperature_2m"].attrs = {"units": "K"}
    flux = days["latent_heat_flux"].copy(deep=True) + 7.0
    flux[:, 5, 7] = np.nan
    product = days.assign(
        latent_heat_flux=flux.assign_attrs(units="W m-2"),
        air_temperature_2m=(days["air_temperature"] + 1.0).assign_attrs(units="K"),
    ).drop_vars("air_temperature")
    for name, one in (
        ("monthly", months),
        ("days", days),
        ("oaflux", product),
        ("fluxes", product[["latent_heat_flux", "sensible_heat_flux"]].isel(time=slice(31, None))),
        ("coarse", days.isel(lat=slice(0, None, 2))),
    ):
        one.to_zarr(made / f"{name}.zarr", zarr_format=3, consolidated=False)
    return made


def asked(folder: Path, **changes: Any) -> settings.Trends:
    content = {"store": ".", "dataset": "monthly.zarr", "out": "out", "simulated": "seed 3"}
    path = folder / "means.yaml"
    path.write_text(yaml.safe_dump(content | changes))
    return settings.load(path)


def beside(*names: str) -> dict[str, Any]:
    return {name: {"store": ".", "dataset": f"{name}.zarr"} for name in names}


def one(found: means.Means, variable: str, member: str, height: str = "") -> means.Mean:
    (mean,) = (m for m in found.of(variable) if m.member == member and height in ("", m.height))
    return mean


def by_xarray(months: xr.DataArray, always: np.ndarray) -> np.ndarray:
    weights = np.cos(np.radians(months["lat"]))
    return months.where(always).weighted(weights).mean(("lat", "lon")).values


def test_of_the_record_alone(folder: Path) -> None:
    found = means.of(asked(folder))
    months = xr.open_zarr(folder / "monthly.zarr", consolidated=False).load()
    for variable in means.VARIABLES:
        mean = one(found, variable, means.RECORD)
        always = np.isfinite(months[variable].values).all(axis=0)
        np.testing.assert_allclose(mean.series, by_xarray(months[variable], always), rtol=1e-6)
        days = months["time"].dt.days_in_month
        whole = months[variable].weighted(days).mean("time")
        np.testing.assert_allclose(mean.map.values[always], whole.values[always], rtol=5e-4)
        assert np.isnan(mean.map.values[0, 0])
        # Two months without ice are lacking in a year: it is still a mean of two years.
        assert mean.map.values[11, 20] == pytest.approx(whole.values[11, 20], rel=0.1)
        assert len(mean.months) == 24 and mean.units == UNITS[variable]


def test_days_give_the_same_as_their_months(folder: Path) -> None:
    months = means.of(asked(folder))
    days = means.of(asked(folder, dataset="days.zarr"))
    for by_month, by_day in zip(months.found, days.found, strict=True):
        np.testing.assert_array_equal(by_month.months, by_day.months)
        np.testing.assert_allclose(by_month.map.values, by_day.map.values, rtol=2e-5)
        np.testing.assert_allclose(by_month.series, by_day.series, rtol=1e-5)


def test_members_are_on_common_cells_and_months(folder: Path) -> None:
    found = means.of(asked(folder, beside=beside("oaflux", "fluxes")))
    record, product = (one(found, "latent_heat_flux", m) for m in (means.RECORD, "oaflux"))
    assert len(record.months) == 23 and record.months[0] == np.datetime64("2014-02")
    assert np.isnan(record.map.values[5, 7]) and np.isnan(product.map.values[5, 7])
    np.testing.assert_allclose(product.series - record.series, 7.0, atol=1e-3)
    assert means.apart(product, record) == pytest.approx(7.0, abs=1e-3)
    assert len(one(found, "specific_humidity", means.RECORD).months) == 24
    told = found.as_json()
    assert told["simulated"] == "seed 3"
    (mean,) = (
        m for m in told["means"]
        if m["variable"] == "latent_heat_flux" and m["member"] == "fluxes"
    )  # fmt: skip
    assert mean["root_mean_square_difference_of_maps"] == pytest.approx(7.0, abs=1e-3)
    assert mean["months"][0] == "2014-02" and len(mean["global_means"]) == 23


def test_air_is_compared_at_its_own_height(folder: Path) -> None:
    found = means.of(asked(folder, beside=beside("oaflux")))
    product = one(found, "air_temperature", "oaflux")
    assert product.height == "2 m" and found.record(product).height == "2 m"
    np.testing.assert_allclose(product.series - found.record(product).series, 0.6, atol=1e-3)
    of_day = means.of(asked(folder, dataset="days.zarr", beside=beside("oaflux")))
    product = one(of_day, "air_temperature", "oaflux")
    assert of_day.record(product).height == "10 m"  # that record has no other
    np.testing.assert_allclose(product.series - of_day.record(product).series, 1.0, atol=1e-3)


def test_what_has_no_means_is_told(folder: Path) -> None:
    with pytest.raises(ConfigError, match="no year has 9 months"):
        means.of(asked(folder, period={"first": "2014-01-01", "last": "2014-06-30"}))
    days = xr.open_zarr(folder / "days.zarr", consolidated=False).load()
    later = days.assign_coords(time=days["time"] + np.timedelta64(3650, "D"))
    later.to_zarr(folder / "later.zarr", zarr_format=3, consolidated=False)
    with pytest.raises(ConfigError, match="0 months"):
        means.of(asked(folder, beside=beside("later")))
    with pytest.raises(NoTrend, match="another grid"):
        means.of(asked(folder, beside=beside("coarse")))
    with pytest.raises(NoTrend, match="there is no 'air_temperature'"):
        means.of(asked(folder, dataset="fluxes.zarr"))
    with pytest.raises(NoTrend, match="reanalysis_share"):
        means.of(asked(folder, dataset="days.zarr", reanalysis_at_most=0.5))


def test_the_command_tells_and_draws(folder: Path) -> None:
    asked(folder, beside=beside("oaflux", "fluxes"))
    app = typer.Typer()
    app.command()(command.validate)
    call = ["--means", "-c", str(folder / "means.yaml")]
    done = CliRunner().invoke(app, call, env={"COLUMNS": "200"})
    assert done.exit_code == 0, (done.output, done.exception)
    rows = [line.split() for line in done.output.splitlines()]
    assert ["DeepFlux", "published,", "real", "80", "to", "90"] in rows
    ours = [line for line in done.output.splitlines() if line.startswith(("record ", "oaflux "))]
    assert ours and all("measured here, SIMULATED (seed 3)" in line for line in ours)
    for name in ("annual_means", "annual_means_latent_heat_flux", "global_means"):
        assert (folder / "out" / f"{name}.png").stat().st_size > 20_000
    told = json.loads((folder / "out" / "means.json").read_text())
    assert {one["member"] for one in told["means"]} == {"record", "oaflux", "fluxes"}
    (folder / "out" / "means.json").unlink()
    done = CliRunner().invoke(app, [*call, "--json", "--out", str(folder / "elsewhere")])
    assert json.loads(done.stdout) == told
    assert json.loads((folder / "elsewhere" / "means.json").read_text()) == told
    assert not (folder / "out" / "means.json").exists()
