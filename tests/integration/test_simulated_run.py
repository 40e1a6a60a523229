"""A few simulated days from the providers' file formats to the record, and what can go wrong."""

from __future__ import annotations

import gzip
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import netCDF4
import numpy as np
import pytest

import fluxforge as ff

FIRST, LAST = "2019-01-01", "2019-01-04"
RUN_FILE = """\
product: deepflux
options: {{sensors: [f17], fill: interpolation, retrieve: regression, correct: none}}
period: {{first: {first}, last: {last}}}
archives: {{rss: archive/rss, oisst: archive/oisst}}
profiles:
  serial: {{store: store, cluster: {{kind: serial}}}}
  local: {{store: store, cluster: {{kind: local, workers: 2, memory: 3GiB}}}}
"""
PRODUCTS = ("deepflux-f17", "deepflux-merged", "deepflux-filled", "deepflux-passes", "deepflux")


@pytest.fixture(scope="module")
def world(fluxforge, tmp_path_factory):
    """A simulated archive with a run file beside it; not to be changed."""
    folder = tmp_path_factory.mktemp("world")
    fluxforge("simulate", folder / "archive", "--first", FIRST, "--last", LAST)
    (folder / "run.yaml").write_text(RUN_FILE.format(first=FIRST, last=LAST))
    return folder


@pytest.fixture(scope="module")
def made(fluxforge, world, tmp_path_factory):
    """The same after an undisturbed run; not to be changed."""
    folder = tmp_path_factory.mktemp("made") / "w"
    shutil.copytree(world, folder)
    told = fluxforge("run", "-c", folder / "run.yaml", "--profile", "local", "--json").stdout
    (folder / "told.json").write_text(told)
    return folder


@pytest.fixture
def own(world, tmp_path):
    """A copy of the archive to damage."""
    folder = tmp_path / "own"
    shutil.copytree(world, folder)
    return folder


@pytest.fixture
def own_made(made, tmp_path):
    """A copy of the archive and its published store to damage."""
    folder = tmp_path / "own"
    shutil.copytree(made, folder)
    return folder


def rss_file(folder: Path, day: str) -> Path:
    (path,) = (folder / "archive" / "rss").rglob(f"f17_{day.replace('-', '')}v7.gz")
    return path


def oisst_file(folder: Path, day: str) -> Path:
    (path,) = (folder / "archive" / "oisst").rglob(f"*.{day.replace('-', '')}.nc")
    return path


@pytest.fixture
def status(fluxforge):
    def read(folder: Path) -> dict[str, dict]:
        found = json.loads(fluxforge("status", "-c", folder / "run.yaml", "--json").stdout)
        return {d["dataset"]: d for d in found}

    return read


@pytest.fixture
def digests(status):
    return lambda folder: {name: d["content"] for name, d in status(folder).items()}


def test_the_record_is_complete_and_says_it_is_simulated_and_a_baseline(made):
    record = ff.open(made / "store")
    assert dict(record.sizes) == {"time": 4, "lat": 120, "lon": 360, "bounds": 2}
    assert "simulated" in record.attrs["notice"].lower()
    assert "baseline" in record.attrs["notice"].lower()
    sea = record["flux_state"].values < 12  # neither ice nor land
    there = np.isfinite(record["latent_heat_flux"].values)
    assert there[sea].mean() > 0.9
    assert not there[~sea].any()
    assert 60 < float(record["latent_heat_flux"].mean()) < 160


def test_the_provider_bytes_are_kept(made):
    raw = gzip.decompress(rss_file(made, "2019-01-02").read_bytes())
    maps = np.frombuffer(raw, "u1").reshape(2, 5, 720, 1440)
    source = ff.open(made / "store", "rss-f17").sel(time="2019-01-02")
    wind = source["wind_speed"].values
    flags = source["wind_speed_flag"].values
    bytes_back = np.where(flags == 2, np.round(np.nan_to_num(wind) / 0.2), flags)
    # The provider's first map of a DMSP day holds the descending passes; ours begins ascending.
    np.testing.assert_array_equal(bytes_back, maps[::-1, 1])


def test_the_run_came_to_what_was_planned(made):
    told = json.loads((made / "told.json").read_text())
    assert {planned["dataset"] for planned in told["planned"]} == set(told["actual"])
    for planned in told["planned"]:
        actual = told["actual"][planned["dataset"]]
        traffic = actual["traffic"]
        assert actual["tasks"] == planned["will_run"] + planned["may_run"]
        assert actual["memory"] <= planned["memory"]
        assert traffic["puts"] == planned["puts"]
        assert 0.9 * planned["gets"] <= traffic["gets"] <= planned["gets"]
        assert traffic["bytes_read"] <= planned["bytes_read"]
        assert traffic["bytes_written"] <= planned["bytes_written"]


def test_a_second_run_does_nothing(fluxforge, made):
    def touched():
        return {path: path.stat().st_mtime_ns for path in (made / "store").rglob("*")}

    before = touched()
    again = fluxforge("run", "-c", made / "run.yaml")
    assert "Nothing to do" in again.stdout
    assert touched() == before
    assert "Nothing to run" in fluxforge("plan", "-c", made / "run.yaml").stdout


def test_one_process_and_a_cluster_agree(fluxforge, own, made, digests):
    fluxforge("run", "-c", own / "run.yaml", "--profile", "serial")
    assert digests(own) == digests(made)


@pytest.mark.parametrize("after", ["rss-f17", "deepflux-filled"])
def test_a_killed_run_goes_on_to_the_same_digests(fluxforge, own, made, digests, after):
    command = [Path(sys.executable).with_name("fluxforge"), "run", "-c", own / "run.yaml"]
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not (own / "store" / after / "refs").is_dir() and time.monotonic() < deadline:
        time.sleep(0.05)
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert not (own / "store" / "deepflux" / "refs").is_dir(), "it was killed too late"
    fluxforge("run", "-c", own / "run.yaml")
    assert digests(own) == digests(made)


def test_a_changed_day_is_named_and_only_its_windows_run(fluxforge, own_made):
    path = rss_file(own_made, "2019-01-03")
    raw = bytearray(gzip.decompress(path.read_bytes()))
    start = raw.index(bytes([30] * 3), 720 * 1440)  # three wind cells of 6 m/s
    raw[start] = 31
    path.write_bytes(gzip.compress(bytes(raw), 1))
    plan = json.loads(fluxforge("plan", "-c", own_made / "run.yaml", "--json").stdout)
    found = {d["name"]: d for d in plan["datasets"]}
    assert [b["why"] for b in found["rss-f17"]["will_run"]] == [
        ["inputs changed: rss-f17 files 2019-01-03"]
    ]
    assert found["oisst"]["will_run"] == found["oisst"]["may_run"] == []
    assert found["deepflux-f17"]["may_run"][0]["why"] == ["waits for rss-f17: 2019-01-03"]
    done = json.loads(fluxforge("run", "-c", own_made / "run.yaml", "--json").stdout)
    assert set(done["published"]) >= {"rss-f17"}


@pytest.mark.parametrize("damage", ["truncated", "short", "other sensor", "missing"])
def test_a_bad_day_is_marked_and_the_run_goes_on(fluxforge, own, status, damage):
    path = rss_file(own, "2019-01-02")
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:50_000])
    elif damage == "short":
        path.write_bytes(gzip.compress(bytes(1000)))
    elif damage == "other sensor":
        path.write_bytes(gzip.compress(bytes(14_515_200), 1))
    else:
        path.unlink()
    done = fluxforge("run", "-c", own / "run.yaml", "--profile", "serial", check=3)
    assert path.name in done.stderr
    assert "Traceback" not in done.stderr
    found = status(own)
    assert found["rss-f17"]["failed" if damage != "missing" else "no_file"] == 1
    assert "2019-01-02" in found["rss-f17"]["notes"]
    record = ff.open(own / "store", "rss-f17")
    assert (record["wind_speed_flag"].sel(time="2019-01-02") == 1).all()
    assert not (record["wind_speed_flag"].sel(time="2019-01-03") == 1).any()
    assert np.isfinite(ff.open(own / "store")["latent_heat_flux"].sel(time="2019-01-02")).any()


def test_strict_stops_before_publication(fluxforge, own, status):
    rss_file(own, "2019-01-02").unlink()
    done = fluxforge("run", "-c", own / "run.yaml", "--profile", "serial", "--strict", check=1)
    assert "2019-01-02" in done.stderr
    assert all(dataset["published"] is None for dataset in status(own).values())


def test_oisst_without_sst_is_refused_and_the_good_value_kept(fluxforge, own_made, status, digests):
    before = digests(own_made)
    path = oisst_file(own_made, "2019-01-03")
    with netCDF4.Dataset(path, "a") as file:
        file.renameVariable("sst", "tos")
    done = fluxforge("run", "-c", own_made / "run.yaml", "--profile", "serial", check=3)
    assert path.name in done.stderr
    assert "sst" in done.stderr
    assert digests(own_made) == before
    assert "kept" in status(own_made)["oisst"]["notes"]["2019-01-03"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("period:", "perid:"), "Did you mean 'period'?"),
        (("first: 2019-01-01, last: 2019-01-04", "first: 2019-01-04, last: 2019-01-01"), "before"),
        (("product: deepflux", "product: deepflx"), "Did you mean 'deepflux'?"),
        (("options: {sensors", "options: {min_vald: 1, sensors"), "min_valid"),
        (("rss: archive/rss", "rss: archive/nowhere"), "archives"),
    ],
)
def test_a_wrong_run_file_is_explained(fluxforge, own_made, digests, change, said):
    run_file = own_made / "run.yaml"
    before, good = digests(own_made), run_file.read_text()
    run_file.write_text(good.replace(*change))
    done = fluxforge("run", "-c", run_file, check=1)
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    run_file.write_text(good)
    assert digests(own_made) == before


def test_a_folder_that_is_not_ours_is_left_alone(fluxforge, own):
    foreign = own / "store"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("mine")
    done = fluxforge("run", "-c", own / "run.yaml", check=1)
    assert "something else than a fluxforge store" in done.stderr
    assert [p.name for p in foreign.iterdir()] == ["thesis.txt"]


@pytest.mark.slow
def test_the_demonstration_prints_the_expected_skill(fluxforge, tmp_path):
    done = fluxforge("demo", "--out", tmp_path / "demo")
    assert "SIMULATED" in done.stdout
    assert (tmp_path / "demo" / "deepflux.png").stat().st_size > 50_000
    found = json.loads((tmp_path / "demo" / "scores.json").read_text())
    expected = json.loads(
        (Path(ff.__file__).parents[1] / "fluxrecipes/report/demo_expected.json").read_text()
    )
    for ours, theirs in zip(found["scores"], expected["scores"], strict=True):
        assert ours["variable"] == theirs["variable"]
        assert ours["rmse"] == pytest.approx(theirs["rmse"], rel=0.02)
