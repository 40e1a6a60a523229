"""`fluxforge recovery` on small worlds whose records give back a known share of their trends."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
import xarray as xr
import yaml
from typer.testing import CliRunner

from fluxengine.errors import ConfigError
from fluxrecipes.trends import (
    command,
    document,
    recovery,
    recovery_report,
    recovery_settings,
    settings,
)

LAT, LON = np.arange(-55.0, 60.0, 10.0), np.arange(5.0, 360.0, 10.0)
DAYS = np.concatenate(
    [np.datetime64(f"{year}-01-04") + 91 * np.arange(4) for year in (1996, 2005, 2017)]
)
DECADES = (DAYS - np.datetime64("2006-07-01")).astype(float) / 3652.5
VARIABLES = ["air_temperature", "specific_humidity", "sea_minus_air_temperature", "wind_speed"]
UNITS = {"specific_humidity": "kg kg-1", "wind_speed": "m s-1"}


def world(
    folder: Path,
    name: str,
    *,
    truth: dict[str, float] | None = None,
    given_back: float | np.ndarray = 1.0,
    false: float = 0.0,
    seed: int = 3,
) -> dict[str, str]:
    """Truth with trends, and a record that gives back a share of them and has noise and gaps."""
    rng = np.random.default_rng(seed)
    shape = (len(DAYS), len(LAT), len(LON))
    usual = {
        "sea_surface_temperature": rng.normal(295, 4, shape),
        "air_temperature": rng.normal(293, 5, shape),
        "specific_humidity": rng.normal(0.010, 0.003, shape),
        "wind_speed": rng.normal(8, 3, shape),
    }
    noise = {n: rng.normal(0, 0.2 * v.std(), shape) for n, v in usual.items()}
    gaps = rng.random(shape) < 0.2
    grid = {"time": DAYS.astype("M8[ns]"), "lat": LAT, "lon": LON}

    def put(values: dict[str, np.ndarray], path: Path) -> None:
        made = {
            n: (("time", "lat", "lon"), v, {"units": UNITS.get(n, "K")}) for n, v in values.items()
        }
        xr.Dataset(made, grid).to_zarr(path, zarr_format=3, consolidated=False)

    moved = {n: (truth or {}).get(n, 0.0) * DECADES[:, None, None] for n in usual}
    drift = {n: false * DECADES[:, None, None] * (n == "air_temperature") for n in usual}
    put(
        {
            n: np.where(gaps, np.nan, v + noise[n] + given_back * moved[n] + drift[n])
            for n, v in usual.items()
        },
        folder / f"{name}.zarr",
    )
    told = {"store": ".", "dataset": f"{name}.zarr"}
    if truth is not None:
        put({n: v + moved[n] for n, v in usual.items()}, folder / f"{name}-truth.zarr")
        longer = xr.open_zarr(folder / f"{name}-truth.zarr", chunks=None).load()
        days = np.arange(DAYS[0] - 3, DAYS[-1] + 5).astype("M8[ns]")  # as simulated truths have
        longer.reindex(time=days).drop_encoding().to_zarr(
            folder / f"{name}-truth.zarr", mode="w", zarr_format=3, consolidated=False
        )
        told["truth"] = f"{name}-truth.zarr"
    return told


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("worlds")
    north = np.where(LAT > 0, 0.9, 0.3)[:, None]
    asked = {
        "reference": world(made, "still", truth={}),
        "worlds": {
            "warmer": world(made, "warmer", truth={"air_temperature": 0.2}, given_back=north),
            "wetter": world(made, "wetter", truth={"specific_humidity": -2e-4}, given_back=0.6),
            "drifting": world(made, "drifting", false=0.05),
        },
        "variables": VARIABLES,
        "out": "out",
    }
    (made / "recovery.yaml").write_text(yaml.safe_dump(asked))
    return made


def found(folder: Path, **changes: Any) -> recovery.Recovered:
    told = yaml.safe_load((folder / "recovery.yaml").read_text()) | changes
    (folder / "changed.yaml").write_text(yaml.safe_dump(told))
    return recovery.of(recovery_settings.load(folder / "changed.yaml"))


def one(of: recovery.Recovered, world: str, variable: str, region: str = "global") -> Any:
    (trend,) = (
        t for t in of.trends if (t.world, t.variable, t.region) == (world, variable, region)
    )
    return trend


def test_the_share_given_back_is_found_through_noise_and_gaps(folder: Path) -> None:
    made = found(folder)
    assert made.days == dict.fromkeys(("warmer", "wetter", "drifting"), len(DAYS))
    warmer = one(made, "warmer", "air_temperature")
    assert warmer.truth == pytest.approx(0.2, abs=1e-9)
    # Weather, noise and gaps are the same in both worlds: nothing is left of them.
    assert warmer.fraction.value == pytest.approx(0.6, abs=0.01)
    assert warmer.fraction.low < 0.6 < warmer.fraction.high
    kuroshio = one(made, "warmer", "air_temperature", "Kuroshio")
    assert kuroshio.fraction == pytest.approx((0.9, 0.9, 0.9))
    apart = one(made, "warmer", "sea_minus_air_temperature")
    assert apart.truth == pytest.approx(-0.2, abs=1e-9)
    assert apart.fraction.value == pytest.approx(0.6, abs=0.01)
    wetter = one(made, "wetter", "specific_humidity")
    assert wetter.units == "kg kg-1" and wetter.fraction.value == pytest.approx(0.6)


def test_what_a_drift_makes_is_false_and_no_share(folder: Path) -> None:
    drifting = one(found(folder), "drifting", "air_temperature")
    assert drifting.fraction is None and drifting.truth == 0.0
    assert drifting.record == pytest.approx(0.05, abs=1e-9)


def test_where_less_than_half_is_given_back_is_not_observable(folder: Path) -> None:
    made = found(folder)
    air = made.observable("air_temperature")
    assert (air.sel(lat=slice(0, None)) == recovery.OBSERVABLE).all()
    assert (air.sel(lat=slice(None, 0)) == recovery.LOST).all()
    assert (made.observable("specific_humidity") == recovery.OBSERVABLE).all()
    assert (made.observable("wind_speed") == recovery.UNTESTED).all()
    strict = found(folder, least=0.7)
    assert (strict.observable("specific_humidity") == recovery.LOST).all()


def test_trends_are_marked_where_they_cannot_be_observed(folder: Path) -> None:
    app = typer.Typer()
    app.command()(command.recovery)
    done = CliRunner().invoke(app, ["-c", str(folder / "recovery.yaml"), "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["simulated"] and told["share_of_tested_cells_observable"]["wind_speed"] is None
    months = np.datetime64("2001-01") + np.arange(60)
    some = np.random.default_rng(1).normal(290, 1, (60, len(LAT), len(LON)))
    record = {n: (("time", "lat", "lon"), some, {"units": "K"}) for n in VARIABLES}
    xr.Dataset(record, {"time": months.astype("M8[ns]"), "lat": LAT, "lon": LON}).to_zarr(
        folder / "monthly.zarr", zarr_format=3, consolidated=False
    )
    (folder / "trends.yaml").write_text(
        yaml.safe_dump(
            {
                "store": ".",
                "dataset": "monthly.zarr",
                "variables": VARIABLES,
                "recovered": "out/recovery.nc",
                "out": "trends",
            }
        )
    )
    app = typer.Typer()
    app.command()(command.trends)
    done = CliRunner().invoke(app, ["-c", str(folder / "trends.yaml")])
    assert done.exit_code == 0, done.output
    assert "air temperature 50 %" in " ".join(done.stdout.split())
    maps = xr.open_dataset(folder / "trends" / "trends.nc")
    assert (maps["air_temperature_observable"] == recovery.LOST).sum() == maps["lat"].size * 18
    asked = settings.load(folder / "trends.yaml")
    assert document.of(asked).lost["specific_humidity"] == 0.0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"variables": ["air_temperatur"]}, "Did you mean 'air_temperature'"),
        ({"reference": {"store": ".", "dataset": "still.zarr"}}, "truth of the reference"),
        ({"worlds": {}}, "worlds"),
    ],
)
def test_what_cannot_be_compared_says_why(folder: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises((recovery.NothingInCommon, ConfigError), match=said):
        found(folder, **changes)


def test_intervals_are_those_of_few_clusters(folder: Path) -> None:
    """Blocks of a region are few: of one nothing is known, of two little."""
    made = found(folder, block=45)
    alone = one(made, "warmer", "air_temperature", "East Australian Current").fraction
    assert np.isfinite(alone.value) and np.isnan([alone.low, alone.high]).all()
    told = one(made, "warmer", "air_temperature", "East Australian Current").as_json()
    assert told["fraction"] == [alone.value, None, None]
    recovery_report.tables(made)
    number = recovery._Blocks(np.zeros((7, 1, 4)), np.arange(4).reshape(1, 4))
    there, held = np.ones((1, 4), bool), 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        days, given = np.linspace(-1, 1, 20), rng.normal(0.6, 0.2, 4)
        sums = [days * 0 + 1, days, days**2]
        some = [np.add.outer(given * 0, s).sum(axis=1) for s in sums]
        record, truth = np.outer(given, days), np.outer(np.ones(4), days)
        rest = [(x * w).sum(axis=1) for x in (record, truth) for w in (days * 0 + 1, days)]
        blocks = replace(number, sums=np.stack([*some, *rest])[:, None, :])
        low, high = blocks.over(there, 1e-6)[2][1:]
        held += low < 0.6 < high
    assert held > 178  # 95 %, less what 200 draws may do


def test_each_world_has_days_of_its_own(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    some = xr.open_zarr(folder / "warmer.zarr", chunks=None).isel(time=[0, 1, 5, 6, 11])
    some.load().drop_encoding().to_zarr(tmp_path / "some.zarr", zarr_format=3, consolidated=False)
    truth = str(folder / "warmer-truth.zarr")
    worlds = {
        "few": {"store": ".", "dataset": str(tmp_path / "some.zarr"), "truth": truth},
        "all": {"store": ".", "dataset": "warmer.zarr", "truth": truth},
    }
    made = found(folder, worlds=worlds)
    assert made.days == {"few": 5, "all": len(DAYS)} == made.as_json()["days"]
    recovery_report.tables(made)
    assert f"5 to {len(DAYS)} days of each" in capsys.readouterr().out


def test_days_of_one_year_tell_no_trend(folder: Path, tmp_path: Path) -> None:
    short = xr.open_zarr(folder / "warmer.zarr", chunks=None).sel(time="2005")
    short.load().drop_encoding().to_zarr(tmp_path / "short.zarr", zarr_format=3, consolidated=False)
    worlds = {"short": {"store": ".", "dataset": str(tmp_path / "short.zarr")}}
    with pytest.raises(recovery.NothingInCommon, match=r"4 days .* 0\.7 years apart"):
        found(folder, worlds=worlds)
