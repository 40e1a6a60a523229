"""The real AMSR2 day from file to published fluxes, checked against its raw bytes."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
from pathlib import Path

import icechunk
import numpy as np
import pytest
import xarray as xr
import yaml

LAYERS = {  # provider's scale and offset, in the file's order
    "time": (0.1, 0.0),
    "sst": (0.15, -3.0),
    "wind_lf": (0.2, 0.0),
    "wind_mf": (0.2, 0.0),
    "vapor": (0.3, 0.0),
    "cloud": (0.01, -0.05),
    "rain": (0.1, 0.0),
}


@pytest.fixture(scope="module")
def archive(real_data, tmp_path_factory):
    """A copy that a test may change."""
    folder = tmp_path_factory.mktemp("input") / "rss"
    folder.mkdir()
    name = "f34_20160102v7.2.gz"
    (folder / name).write_bytes((real_data / "rss" / name).read_bytes())
    return folder


@pytest.fixture(scope="module")
def out(fluxforge, archive, tmp_path_factory):
    """What one run leaves behind."""
    folder = tmp_path_factory.mktemp("real")
    fluxforge("demo", "--real", archive.parent, "--out", folder)
    return folder


@pytest.fixture(scope="module")
def summary(out):
    return json.loads((out / "summary.json").read_text())


@pytest.mark.parametrize(("at", "orbit"), list(enumerate(["ascending", "descending"])))
@pytest.mark.parametrize(("number", "layer"), list(enumerate(LAYERS)))
def test_the_input_part_agrees_with_the_raw_bytes(archive, summary, at, orbit, number, layer):
    raw = np.frombuffer(gzip.decompress(next(archive.iterdir()).read_bytes()), "u1")
    one = raw.reshape(2, len(LAYERS), 720, 1440)[at, number]
    scale, offset = LAYERS[layer]
    values = one[one <= 250].astype("f8") * scale + offset
    found = summary["input"][orbit][layer]
    assert found["valid"] == values.size
    for code in range(251, 256):
        assert found[str(code)] == np.count_nonzero(one == code)
    for name, expected in (("mean", values.mean()), ("min", values.min()), ("max", values.max())):
        assert found[name] == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("part", ["ascending", "descending", "mean"])
def test_the_product_is_physically_sound(summary, part):
    found = summary["product"][part]
    assert 60 < found["latent_heat_flux"]["mean"] < 160
    assert 0 < found["sensible_heat_flux"]["mean"] < 40
    assert found["specific_humidity"]["share_above_saturation"] < 0.005
    assert 285 < found["air_temperature"]["mean"] < found["sea_surface_temperature"]["mean"] < 298
    assert 10_000 < found["latent_heat_flux"]["valid"] < 43_200


def test_the_mean_covers_what_either_pass_covers(summary):
    valid = {k: v["latent_heat_flux"]["valid"] for k, v in summary["product"].items()}
    assert max(valid["ascending"], valid["descending"]) < valid["mean"]
    assert valid["mean"] < valid["ascending"] + valid["descending"]


def test_pictures_are_drawn(out):
    for name in ("deepflux", "ascending", "descending"):
        assert (out / f"{name}.png").stat().st_size > 50_000


def test_the_same_run_again_does_nothing_and_says_so(fluxforge, archive, out):
    again = fluxforge("demo", "--real", archive.parent, "--out", out)
    assert "Nothing to do" in again.stdout


def test_the_store_opens_with_plain_xarray(out):
    repository = icechunk.Repository.open(
        icechunk.local_filesystem_storage(str(out / "store" / "deepflux"))
    )
    record = xr.open_zarr(repository.readonly_session("main").store, consolidated=False)
    assert dict(record.sizes) == {"time": 1, "lat": 120, "lon": 360, "bounds": 2}
    assert str(record["time"].values[0])[:10] == "2016-01-02"
    assert 60 < float(record["latent_heat_flux"].mean()) < 160
    assert record["latent_heat_flux"].attrs["standard_name"] == "surface_upward_latent_heat_flux"


def test_the_front_door_opens_the_record(out):
    import fluxforge as ff

    record = ff.open(out / "store")
    assert "simulated" in record.attrs["notice"]
    assert ff.plan(out / "run.yaml").is_empty


@pytest.fixture(scope="module")
def beside_reports(fluxforge, out, tmp_path_factory):
    """The real record with reports of simulated buoys of its day in the same store."""
    folder = tmp_path_factory.mktemp("beside")
    shutil.copytree(out / "store", folder / "store")
    day = ("--first", "2016-01-02", "--last", "2016-01-02")
    fluxforge("simulate", folder / "simulated", *day, "--with", "ndbc")
    run_file = folder / "run.yaml"
    content = yaml.safe_load((out / "run.yaml").read_text())
    ingest = {"product": "insitu", "options": {}, "archives": {"ndbc": "simulated/ndbc"}}
    run_file.write_text(yaml.safe_dump(content | ingest))
    fluxforge("ingest", "insitu", "--feed", "ndbc", "-c", run_file, "--profile", "serial")
    run_file.write_text(yaml.safe_dump(content))
    return folder


def test_a_real_record_beside_simulated_reports_is_not_passed_off_as_real(
    fluxforge, beside_reports, tmp_path
):
    out = tmp_path / "matchups.nc"
    call = ("matchup", "-c", beside_reports / "run.yaml", "-p", "serial", "--out", out)
    told = fluxforge(*call).stdout
    assert "can be used" in told and "validation 2016 2017" in told
    printed = fluxforge("validate", "--matchups", out, "--out", tmp_path).stdout
    measured = [line for line in printed.splitlines() if "measured here" in line]
    assert measured and all("SIMULATED" in line for line in measured)
    scored = json.loads((tmp_path / "validation.json").read_text())
    assert scored["simulated"].startswith("record: real; reports: an imagined world")
    assert scored["points"] > 10


def test_one_real_day_has_no_reports_no_trend_and_no_annual_mean(fluxforge, out, tmp_path):
    asked = tmp_path / "trends.yaml"
    asked.write_text(f"store: {out / 'store'}\ndataset: deepflux\nout: {tmp_path / 'told'}\n")
    for words, *call in (
        ("no dataset 'insitu'", "matchup", "-c", out / "run.yaml", "--out", tmp_path / "m.nc"),
        ("years that are there: 1. A trend needs 3", "trends", "-c", asked),
        ("1 months of 1 years are common", "validate", "--means", "-c", asked),
    ):
        failed = fluxforge(*call, check=1)
        assert words in failed.stderr and "Traceback" not in failed.stderr
    assert not (tmp_path / "told").exists() and not (tmp_path / "m.nc").exists()


def test_after_a_change_of_bytes_the_plan_names_block_and_day(fluxforge, archive, out, tmp_path):
    folder = tmp_path / "changed"
    shutil.copytree(out, folder)
    shutil.copytree(archive, folder / "rss")
    run_file = folder / "run.yaml"
    run_file.write_text(run_file.read_text().replace(str(archive), str(folder / "rss")))
    assert "Nothing to run" in fluxforge("plan", "-c", run_file).stdout  # moved, but the same

    file = next((folder / "rss").iterdir())
    raw = bytearray(gzip.decompress(file.read_bytes()))
    raw[1440 * 720 * 2 + 1440 * 360 + 700] ^= 3
    file.write_bytes(gzip.compress(bytes(raw), 1))
    plan = json.loads(fluxforge("plan", "-c", run_file, "--json").stdout)
    found = {d["name"]: d for d in plan["datasets"]}
    source = found["rss-amsr2-v7.2"]["will_run"]
    assert [b["why"] for b in source] == [["inputs changed: rss-amsr2-v7.2 files 2016-01-02"]]
    made = ("amsr2-v7.2", "merged", "filled", "passes")
    for name in (*(f"deepflux-{part}" for part in made), "deepflux"):
        assert found[name]["will_run"] == []
        assert "2016-01-02" in found[name]["may_run"][0]["why"][0]


def test_a_truncated_file_is_an_error_and_nothing_is_published(fluxforge, archive, tmp_path):
    folder = tmp_path / "rss"
    folder.mkdir()
    good = next(archive.iterdir())
    (folder / good.name).write_bytes(good.read_bytes()[:100_000])
    failed = fluxforge("demo", "--real", tmp_path, "--out", tmp_path / "out", check=1)
    assert good.name in failed.stderr
    assert "truncated" in failed.stderr or "gz" in failed.stderr
    assert "Traceback" not in failed.stderr
    status = json.loads(fluxforge("status", "-c", tmp_path / "out" / "run.yaml", "--json").stdout)
    assert all(dataset["published"] is None for dataset in status)


@pytest.mark.parametrize("conventions", ["cf:1.11", "acdd:1.3"])
@pytest.mark.parametrize("dataset", ["deepflux", "deepflux-passes"])
def test_exported_netcdf_passes_the_checker(fluxforge, out, tmp_path, dataset, conventions):
    done = fluxforge("export", dataset, "--store", out / "store", "-o", tmp_path)
    (path,) = done.stdout.split()
    checker = Path(sys.executable).with_name("compliance-checker")
    report = subprocess.run(
        [checker, "-t", conventions, path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert report.returncode == 0, report.stdout
    assert "All tests passed!" in report.stdout


def test_exported_netcdf_holds_the_published_values(fluxforge, out, tmp_path):
    import fluxforge as ff

    done = fluxforge("export", "deepflux", "--store", out / "store", "-o", tmp_path)
    with xr.open_dataset(done.stdout.strip()) as exported:
        published = ff.open(out / "store")
        for name in published.data_vars:
            if published[name].dtype.kind == "M":
                np.testing.assert_array_equal(exported[name], published[name])
            else:
                np.testing.assert_allclose(exported[name], published[name], rtol=1e-6)
        assert exported["air_temperature"].coords["height_10m"] == 10.0
