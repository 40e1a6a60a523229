"""Training of the gap-filling net: what it is fed and refuses, and a kill that changes nothing.

The store is a small one written with zarr: waves that drift eastward, rain in their crests, swaths
that move by eight columns a day.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import weakref
from pathlib import Path
from typing import Any

import icechunk
import numpy as np
import pytest
import torch
import typer
import xarray as xr
import yaml
from typer.testing import CliRunner

from fluxengine.config import Period
from fluxengine.errors import ConfigError
from fluxengine.layout import FORMAT
from fluxengine.store import MARKER
from fluxkernels.nets import weights
from fluxkernels.nets.vocabulary import check_window
from fluxrecipes import networks
from fluxrecipes import vocabulary as cf
from fluxrecipes.training import checkpoint, command, gaps, settings
from fluxrecipes.training.archive import Archive, HeldOut, Layer, NoValue, Part, visited
from fluxrecipes.training.masks import RainLoss, swaths
from fluxrecipes.training.windows import Scene, Windows, daily_change, rain_loss

DAYS, ROWS, COLUMNS = 60, 16, 48
SPACING = 360 / COLUMNS
SHAPE = (DAYS, 2, ROWS, COLUMNS)
DIMS = ("time", "orbit", "lat", "lon")
MICROWAVE = [one.name for one in networks.MICROWAVE]


def truth() -> dict[str, np.ndarray]:
    day, orbit, row, column = np.meshgrid(*map(np.arange, SHAPE), indexing="ij")
    phase = 2 * np.pi * ((column - 2.0 * (day + orbit / 2)) / 24 + row / 16)
    wave, rain = np.sin(phase), np.maximum(np.cos(phase) - 0.7, 0) * 10
    values = {
        "wind_speed": 8 + 4 * wave,
        "water_vapour": 30 + 10 * np.cos(phase),
        "cloud_liquid_water": 0.1 + 0.1 * np.cos(phase),
        "rain_rate": rain,
        "sea_surface_temperature": 290 + 8 * np.cos(np.pi * (row / 8 - 1)),
    }
    return {name: one.astype("f4") for name, one in values.items()}


def land() -> np.ndarray:
    mask = np.zeros((ROWS, COLUMNS), bool)
    mask[:6, 10:16] = True
    return mask


def looked() -> np.ndarray:
    """Swaths every 24 columns, 16 wide."""
    day, orbit, row, column = np.meshgrid(*map(np.arange, SHAPE), indexing="ij")
    return (column + 8 * day + 4 * orbit + row // 4) % 24 < 16


def coords(first: str) -> dict[str, Any]:
    return {
        "time": np.datetime64(first) + np.arange(DAYS).astype("m8[D]").astype("m8[ns]"),
        "lat": np.linspace(-56, 56, ROWS),
        "lon": SPACING / 2 + SPACING * np.arange(COLUMNS),
    }


def observed(first: str) -> xr.Dataset:
    values, made = truth(), {}
    for name in MICROWAVE:
        state = np.where(looked(), cf.OBSERVED, cf.NO_OBSERVATION).astype("u1")
        if name == "wind_speed":
            state[looked() & (values["rain_rate"] > 1)] = cf.NO_RETRIEVAL
        state[:, :, land()] = cf.LAND
        made[name] = DIMS, np.where(state == cf.OBSERVED, values[name], np.nan)
        made[f"{name}_state"] = DIMS, state
    return xr.Dataset(made, coords(first))


def reanalysis(first: str) -> xr.Dataset:
    state = np.where(land(), cf.LAND, np.full(SHAPE, cf.REANALYSIS)).astype("u1")
    made = {
        name: (DIMS, np.where(state == cf.REANALYSIS, one, np.nan)) for name, one in truth().items()
    }
    return xr.Dataset({**made, "reanalysis_state": (DIMS, state)}, coords(first))


def publish(store: Path, name: str, dataset: xr.Dataset) -> None:
    """As the engine does: a repository with a marked root and a version."""
    (store / name).mkdir(parents=True)
    (store / MARKER).write_text(json.dumps({"fluxforge-store": FORMAT}))
    repository = icechunk.Repository.create(icechunk.local_filesystem_storage(str(store / name)))
    session = repository.writable_session("main")
    mark = {"format": FORMAT, "dataset": name}
    chunks = {one: {"chunks": (15, 2, ROWS, COLUMNS)} for one in dataset.data_vars}
    dataset.assign_attrs(fluxforge=json.dumps(mark)).to_zarr(
        session.store, encoding=chunks, consolidated=False
    )
    repository.create_tag("v1", session.commit("written"))
    repository.create_branch("work", repository.lookup_branch("main"))


def published(store: Path, first: str = "2014-01-01") -> None:
    publish(store, "deepflux-merged", observed(first))
    publish(store, "deepflux-reanalysis", reanalysis(first))


def train_yaml(folder: Path, **changes: Any) -> Path:
    schedule = {"steps": 12, "learning_rate": 3e-3, "warmup": 2, "every": 4, "average": 0.5}
    content = {
        "store": "store",
        "train": {"first": "2014-01-01", "last": "2014-02-10"},
        "validation": [{"first": "2014-02-11", "last": "2014-03-01"}],
        "preset": "compact",
        "batch": 2,
        "stay": 3,
        "checks": 4,
        "schedule": {**schedule, "threads": 1},
        "out": "weights/gdcm.safetensors",
        "data": "waves",
        "sensor": "f17",
    }
    path = folder / "train.yaml"
    path.write_text(yaml.safe_dump(content | changes))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    published(tmp_path / "store")
    return tmp_path


def untold(name: str, steps: int) -> Any:
    return lambda progress: None


def parts(**datasets: xr.Dataset) -> dict[str, Part]:
    seen = datasets.get("observed", observed("2014-01-01"))
    whole = datasets.get("reanalysis", reanalysis("2014-01-01"))
    state = "reanalysis_state"
    return {
        "observed": Part(seen, Layer.of(*MICROWAVE), "store: seen"),
        "reanalysis": Part(whole, tuple(Layer(n, state) for n in MICROWAVE), "store: whole"),
        "sst": Part(whole, (Layer("sea_surface_temperature", state),), "store: whole"),
    }


def archive(window: int = 7, **datasets: xr.Dataset) -> Archive:
    period = Period.model_validate({"first": "2014-01-01", "last": "2014-02-20"})
    return Archive(parts(**datasets), [period], window)


# --- what is read --------------------------------------------------------------------------------


def test_spans_are_runs_of_blocks_and_stay_within_the_period() -> None:
    given = parts()
    for part in given.values():
        for one in part.dataset.data_vars.values():
            one.encoding["chunks"] = (15, 2, ROWS, COLUMNS)
    period = Period.model_validate({"first": "2014-01-10", "last": "2014-02-20"})
    made = Archive(given, [period], window=7, blocks=2)
    assert [str(span.days[0]) for span in made.spans] == ["2014-01-10", "2014-01-16", "2014-01-31"]
    assert [len(span.days) for span in made.spans] == [21, 30, 21]
    days = [one.days[one.starts] for one in made.spans]
    assert len(np.unique(np.concatenate(days))) == 42 - 6
    stays = [visited(made, 1, step, 10) for step in range(200)]
    assert all(stays[step] is stays[step - step % 10] for step in range(200))
    assert len(set(map(id, stays))) == 3
    assert [id(visited(made, 2, step, 10)) for step in range(200)] != list(map(id, stays))


def test_a_day_that_was_never_written_is_in_no_window() -> None:
    seen = observed("2014-01-01")
    for name in MICROWAVE:
        seen[f"{name}_state"].values[20] = 0
    made = archive(observed=seen)
    for span in made.spans:
        for start in span.starts:
            window = span.days[start : start + 7]
            assert np.datetime64("2014-01-21") not in window
            assert (np.diff(window) == np.timedelta64(1, "D")).all()


def test_a_value_that_is_not_there_is_told_by_dataset_variable_and_day() -> None:
    seen = observed("2014-01-01")
    there = np.argwhere(seen["water_vapour_state"].values[9] == cf.OBSERVED)[0]
    seen["water_vapour"].values[9, *there] = np.nan
    made = archive(observed=seen)
    with pytest.raises(NoValue, match=r"store: seen: water_vapour of 2014-01-10.* in 1 cells"):
        made.load(made.spans[0])


def test_no_window_of_the_period_is_told() -> None:
    with pytest.raises(ConfigError, match="no 70 consecutive days"):
        archive(window=70)


# --- gaps ----------------------------------------------------------------------------------------


def test_swaths_go_on_over_land() -> None:
    """Columns of one revolution, 25.4°, are 3.4 of ours: use swaths that repeat by 3."""
    column = np.broadcast_to(np.arange(COLUMNS) % 3 != 0, SHAPE)
    state = np.where(column, cf.OBSERVED, cf.NO_OBSERVATION).astype("u1")
    state[..., 9:11] = cf.LAND
    np.testing.assert_array_equal(swaths(state, SPACING), column)


def test_rain_loss_is_learned_by_rank() -> None:
    rng = np.random.default_rng(1)
    rain = np.maximum(rng.normal(size=50_000) - 0.5, 0)
    rain[rain > 0] += 0.01
    wet, heavy = rain > 0, rain > np.quantile(rain, 0.99)
    states = np.full((2, rain.size), cf.OBSERVED)
    states[0, wet & (rng.random(rain.size) < 0.9)] = cf.NO_RETRIEVAL
    states[1, heavy] = cf.NO_RETRIEVAL
    drizzle = np.where(rain > 0, rain, rng.uniform(0, 1e-3, rain.size))  # rains everywhere
    loss = RainLoss.learned(states, rain, drizzle / 10)
    assert (drizzle / 10 > loss.wet).mean() == pytest.approx(wet.mean(), abs=1e-3)
    lost = loss.lost(drizzle / 10, rng.random(rain.size))
    assert lost[0][wet].mean() == pytest.approx(0.9, abs=0.02)
    assert not lost[:, ~wet].any()
    assert lost[1][heavy].mean() > 0.5 and lost[1][~heavy].mean() < 0.01


def test_the_heaviest_rain_is_lost_as_often_as_rain_itself_was() -> None:
    """The satellite lost the heaviest tenth of the wet cells, and their rain with it."""
    rng = np.random.default_rng(1)
    rain = np.maximum(rng.normal(size=50_000) - 0.5, 0)
    rain[rain > 0] += 0.01
    wet = rain > 0
    heavy = rain > np.quantile(rain[wet], 0.9)
    states = np.where(heavy, cf.NO_RETRIEVAL, np.full((2, rain.size), cf.OBSERVED))
    loss = RainLoss.learned(states, np.where(heavy, np.nan, rain), rain)
    lost = loss.lost(rain, rng.random(rain.size))
    assert lost[0][wet].mean() == pytest.approx(0.1, abs=0.01)
    for rank in (0.9, 0.95, 0.99):
        assert lost[0][rain > np.quantile(rain[wet], rank)].mean() > 0.7
    assert not lost[0][rain < np.quantile(rain[wet], 0.8)].any()


def test_a_change_of_a_day_is_told_by_days_in_a_row() -> None:
    seen = observed("2014-01-01")
    for name in MICROWAVE:
        seen[f"{name}_state"].values[np.arange(DAYS) % 5 > 1] = 0  # two of five days
    made, whole = archive(window=2, observed=seen), archive()
    assert set(np.diff(made.spans[0].days).astype(int)) == {1, 4}
    some, every = (
        daily_change([(one.spans[0].days, Scene.of(one.load(one.spans[0]), SPACING))])
        for one in (made, whole)
    )
    np.testing.assert_allclose(some[:2], every[:2], rtol=0.05)


def test_days_that_no_satellite_observed_are_told(tmp_path: Path) -> None:
    seen = observed("2014-01-01")
    for name in MICROWAVE:
        state = seen[f"{name}_state"].values
        there = np.isin(state, (cf.OBSERVED, cf.NO_RETRIEVAL))
        state[there] = cf.REANALYSIS
        seen[name].values[:] = np.where(state == cf.REANALYSIS, 1.0, np.nan)
    publish(tmp_path / "store", "deepflux-merged", seen)
    publish(tmp_path / "store", "deepflux-reanalysis", reanalysis("2014-01-01"))
    with pytest.raises(ConfigError, match=r"deepflux-merged: no cell .* was observed"):
        gaps.run(train_yaml(tmp_path), untold)


def drawn(
    phase: Any, eta: float = 0.0, other: bool = False, seed: int = 3, **datasets: xr.Dataset
) -> tuple[Any, Scene]:
    made = archive(**datasets)
    fields = made.load(made.spans[0])
    loss = rain_loss([fields], SPACING)
    windows = Windows(7, 3, networks.FILLED, True, other, loss, made.longitudes)
    scene = Scene.of(fields, SPACING, loss.wet)
    rng = np.random.default_rng(seed)
    return windows.draw(scene, made.spans[0].starts, phase, eta, rng), scene


def test_a_complete_window_is_thinned_by_swaths_and_its_own_rain() -> None:
    sample, scene = drawn("complete")
    assert sample.values.shape == sample.masks.shape == (7, 6, ROWS, COLUMNS)
    check_window(*(torch.from_numpy(x)[None] for x in sample[:2]), networks.GAPS.predictors)
    assert not sample.values[~sample.masks].any()  # nothing shows through
    assert (sample.missing ^ sample.kept).sum() == 5 * scene.known[0, 0].sum()
    rain, wind = sample.target[3], 0
    assert sample.missing[wind][rain > 1.1].all() and not sample.missing[3][rain > 1.1].all()
    np.testing.assert_array_equal(sample.target[4], rain > 0)
    np.testing.assert_array_equal(sample.masks[3, :5], sample.kept)
    np.testing.assert_array_equal(sample.values[3, :5][sample.kept], sample.target[sample.kept])
    land_turned = ~(sample.missing | sample.kept)[3]
    assert not sample.masks[:, :5][:, :, land_turned].any()


def test_it_rains_as_often_as_the_satellite_saw() -> None:
    drizzling = reanalysis("2014-01-01")
    drizzling["rain_rate"] = drizzling["rain_rate"] + 1e-3  # everywhere and always, as of models
    dry, scene = drawn("complete")
    same, _ = drawn("complete", reanalysis=drizzling)
    np.testing.assert_array_equal(dry.target[4], same.target[4])
    seen = scene.observed[4][scene.retrieved[4]].mean()
    known = scene.known
    assert scene.complete[4][known].mean() == pytest.approx(seen, abs=0.02)


def test_the_curriculum_begins_with_whole_fields() -> None:
    shares = [float(drawn("complete", eta)[0].missing[1:].mean()) for eta in (1.0, 0.5, 0.0)]
    assert shares[0] == 0.0 < shares[1] < shares[2]
    assert shares[1] == pytest.approx(shares[2] / 2, rel=0.15)


def test_coasts_are_learned_and_never_given() -> None:
    seen, coast = observed("2014-01-01"), np.zeros((ROWS, COLUMNS), bool)
    coast[6, 10:16] = True
    for name in MICROWAVE:
        state = seen[f"{name}_state"].values
        state[(state == cf.OBSERVED) & coast] = cf.COAST  # told within the swath alone
    sample, _ = drawn("complete", eta=1.0, observed=seen)
    assert (sample.missing.sum(axis=(1, 2)) == coast.sum()).all()
    assert not sample.masks[:, :5][:, :, sample.missing[0]].any()


def test_what_is_seen_on_other_days_is_no_coast() -> None:
    """A cell beside land whose wind was once lost in rain, and told as coast."""
    seen, cell = observed("2014-01-01"), (7, 12)
    wind = seen["wind_speed_state"].values
    wind[:, :, *cell][wind[:, :, *cell] == cf.OBSERVED] = cf.COAST  # it never has a wind
    vapour = seen["water_vapour_state"].values
    once = tuple(np.argwhere(vapour[:, :, *cell] == cf.OBSERVED)[0])
    vapour[*once, *cell] = cf.COAST
    _, scene = drawn("complete", observed=seen)
    assert scene.coast.sum() == 1 and scene.coast[0, *cell]
    sample, _ = drawn("complete", eta=1.0, observed=seen)
    assert sample.missing.sum(axis=(1, 2)).tolist() == [1, 0, 0, 0, 0]


def test_of_observations_more_is_hidden_on_the_target_day_alone() -> None:
    hidden = [drawn("observed", seed=seed)[0] for seed in range(8)]
    assert any(sample.missing.any() for sample in hidden)
    for sample in hidden:
        assert not (sample.missing & sample.masks[3, :5]).any()
        np.testing.assert_array_equal(sample.kept, sample.masks[3, :5])
        given = sample.masks[[0, 1, 2, 4, 5, 6], 1].mean()
        assert given == pytest.approx(looked().mean() * (~land()).mean(), abs=0.02)
        assert not sample.missing[0][sample.target[3] > 1].any()  # no wind was retrieved there


def test_the_other_pass_comes_after_the_rest_and_of_the_same_day() -> None:
    """The waves drift by one column between the passes of a day."""
    sample, _ = drawn("complete", eta=1.0, other=True)
    assert sample.values.shape[1] == len(networks.GAPS_BOTH_PASSES.predictors) == 11
    both = sample.masks[:, 1] & sample.masks[:, 7]
    apart = np.abs(sample.values[:, 1] - sample.values[:, 7])[both]
    assert 0.05 < apart.max() < 10 / 16 * 2 * np.pi / 24 + 1e-5


# --- where it begins -----------------------------------------------------------------------------


def test_it_begins_with_the_weights_of_another_training(folder: Path) -> None:
    first = gaps.run(train_yaml(folder), untold)
    still = {"steps": 1, "learning_rate": 1e-12, "average": 0.0, "threads": 1}
    changes = {"start": "weights/gdcm.safetensors", "out": "weights/more.safetensors"}
    second = gaps.run(train_yaml(folder, schedule=still, data="tides", **changes), untold)
    before, after = (
        dict(weights.load(made.path).net.named_parameters()) for made in (first, second)
    )
    for name, tensor in before.items():  # a step of no length changes running means alone
        torch.testing.assert_close(after[name], tensor, rtol=0, atol=1e-9)
    assert second.card.data == "tides; before that waves"


def test_weights_to_begin_with_must_be_of_the_same_network(folder: Path) -> None:
    gaps.run(train_yaml(folder), untold)
    changes = {"start": "weights/gdcm.safetensors", "out": "weights/more.safetensors"}
    with pytest.raises(ConfigError, match="of a network of other sizes"):
        gaps.run(train_yaml(folder, preset="compact-centred", **changes), untold)
    (folder / "weights" / "gdcm.safetensors").unlink()
    with pytest.raises(ConfigError, match="No such file"):
        gaps.run(train_yaml(folder, **changes), untold)


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["train", "validation"])
def test_what_is_held_out_is_not_touched(tmp_path: Path, key: str) -> None:
    path = train_yaml(tmp_path, **{key: {"first": "2017-12-25", "last": "2018-01-01"}})
    with pytest.raises(HeldOut, match=f"{key}: 2017-12-25 to 2018-01-01 reaches into") as caught:
        settings.load(path, gaps.Gaps)
    assert caught.value.code == "FF712"


def test_training_and_validation_do_not_meet(tmp_path: Path) -> None:
    path = train_yaml(tmp_path, validation={"first": "2014-02-10", "last": "2014-03-01"})
    with pytest.raises(ConfigError, match="is trained on"):
        settings.load(path, gaps.Gaps)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"presett": "compact"}, "unknown key 'presett'. Did you mean 'preset'"),
        ({"preset": "paper"}, "'variable' goes with the preset 'paper'"),
        ({"variable": "wind_speed"}, "'variable' goes with the preset 'paper'"),
        ({"out": "weights.pt"}, "weights are kept as"),
        ({"datasets": {"observed": "deepflux"}}, "no dataset 'deepflux'"),
        ({"datasets": {"observed": "deepflux-reanalysis"}}, "has no cloud_liquid_water_state"),
    ],
)
def test_a_wrong_train_yaml_is_told(folder: Path, changes: Any, match: str) -> None:
    with pytest.raises(Exception, match=match):
        gaps.run(train_yaml(folder, **changes), untold)


def test_a_gpu_that_is_not_there_is_told_by_the_command(folder: Path) -> None:
    app = typer.Typer()
    app.command()(command.train)
    schedule = {"steps": 2, "device": "cuda:7"}
    made = CliRunner().invoke(app, ["gdcm", "-c", str(train_yaml(folder, schedule=schedule))])
    assert isinstance(made.exception, ConfigError) and "cuda:7" in str(made.exception)


def test_a_validation_without_a_gap_is_told(folder: Path) -> None:
    """One window, and the swaths of its own days: of these nothing more can be hidden."""
    how = {"schedule": {"steps": 1, "threads": 1}}
    path = train_yaml(
        folder,
        finetune=how,
        validation={"first": "2014-02-11", "last": "2014-02-17"},
        **how,
    )
    with pytest.raises(ConfigError, match=r"nothing that is known is missing of wind_speed, "):
        gaps.run(path, untold)


# --- the whole -----------------------------------------------------------------------------------


def test_the_command_trains_both_phases_and_writes_a_card(folder: Path) -> None:
    app = typer.Typer()
    app.command()(command.train)
    second = {"steps": 4, "learning_rate": 1e-3, "every": 2, "threads": 1}
    path = train_yaml(folder, finetune={"schedule": second}, preset="compact-both-passes")
    made = CliRunner().invoke(app, ["gdcm", "-c", str(path)])
    assert made.exit_code == 0, made.output
    net, card = weights.load(
        folder / "weights" / "gdcm.safetensors",
        architecture="GDCM",
        sensor="f17",
        vocabulary=networks.GAPS_BOTH_PASSES,
    )
    assert card.period == "2014-01-01 to 2014-02-10" and card.data == "waves"
    assert card.skill["complete: RMSE wind_speed [m s-1]"] > 0
    assert 0 < card.skill["observed: Brier score rain_occurrence [1]"] < 1
    assert not net.training


def test_the_papers_net_is_trained_for_one_variable(folder: Path, monkeypatch: Any) -> None:
    small = gaps.GDCMSettings(
        masks=False, scale=1, lstm=(4, 4), motion=(4, 4, 4), attention=8, decoder=8, pyramid=8
    )
    monkeypatch.setitem(gaps.PRESETS, "paper", small)
    schedule = {"steps": 3, "every": 3, "threads": 1}
    path = train_yaml(folder, preset="paper", variable="water_vapour", schedule=schedule)
    made = gaps.run(path, untold)
    assert [one.name for one in made.card.vocabulary.predictors] == ["water_vapour"]
    assert set(made.card.skill) == {
        "complete: error in gaps",
        "complete: RMSE water_vapour [kg m-2]",
    }


def test_it_learns(folder: Path) -> None:
    schedule = {"steps": 80, "learning_rate": 5e-3, "warmup": 5, "every": 10, "average": 0.8}
    path = train_yaml(folder, curriculum=0.1, schedule={**schedule, "threads": 1})
    losses: list[float] = []
    scores: list[float] = []

    def watch(name: str, steps: int) -> Any:
        def tell(told: Any) -> None:
            losses.append(told.loss)
            if told.scores:
                scores.append(next(iter(told.scores.values())))

        return tell

    gaps.run(path, watch)
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[8:18])
    assert scores[-1] < 0.6 * scores[0]


def test_one_run_of_days_is_held_at_a_time(folder: Path, monkeypatch: Any) -> None:
    made: list[weakref.ref[Scene]] = []
    of = Scene.of.__func__  # type: ignore[attr-defined]

    def counted(cls: type[Scene], *given: Any) -> Scene:
        assert not [one for one in made if one() is not None]
        scene = of(cls, *given)
        made.append(weakref.ref(scene))
        return scene

    monkeypatch.setattr(Scene, "of", classmethod(counted))
    second = {"steps": 4, "every": 2, "threads": 1}
    gaps.run(train_yaml(folder, finetune={"schedule": second}), untold)
    assert len(made) > 6


def test_a_killed_training_ends_with_the_bytes_of_an_unbroken_one(tmp_path: Path) -> None:
    made = {}
    for name in ("whole", "again", "killed"):
        (tmp_path / name).mkdir()
        published(tmp_path / name / "store")
        train_yaml(tmp_path / name)
    for name in ("whole", "again"):
        made[name] = gaps.run(tmp_path / name / "train.yaml", untold).path.read_bytes()
    script = (
        "import sys, time; from pathlib import Path\n"
        "from fluxrecipes.training import gaps\n"
        "slow = lambda told: time.sleep(0.2)\n"
        "gaps.run(Path(sys.argv[1]), lambda name, steps: slow)\n"
    )
    path = tmp_path / "killed" / "train.yaml"
    written = tmp_path / "killed" / "weights" / "gdcm.training" / "complete" / checkpoint.NAME
    with subprocess.Popen([sys.executable, "-c", script, str(path)]) as process:
        deadline = time.monotonic() + 120
        while not written.exists():
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.02)
        time.sleep(0.3)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    first: list[int] = []
    resumed = gaps.run(path, lambda name, steps: lambda told: first.append(told.step))
    assert 4 < first[0] <= 12
    assert resumed.path.read_bytes() == made["whole"] == made["again"]


def test_another_seed_makes_another_net(folder: Path) -> None:
    made = []
    for seed in (1, 2):
        schedule = {"steps": 2, "every": 2, "seed": seed, "threads": 1}
        path = train_yaml(folder, schedule=schedule, out=f"{seed}.safetensors")
        made.append(weights.load(gaps.run(path, untold).path).net.state_dict())
    assert any((a != b).any() for a, b in zip(*(one.values() for one in made), strict=True))


@pytest.mark.parametrize("preset", sorted(gaps.PRESETS))
def test_presets_and_vocabularies_agree(tmp_path: Path, preset: str) -> None:
    variable = {"variable": "wind_speed"} if preset == "paper" else {}
    asked = settings.load(train_yaml(tmp_path, preset=preset, **variable), gaps.Gaps)
    s = gaps.PRESETS[preset]
    assert len(asked.vocabulary.predictors) == s.variables + s.context
    assert len(asked.vocabulary.outputs) == s.variables


@pytest.mark.parametrize(
    ("preset", "window", "target"),
    [("compact", 5, 4), ("compact-centred", 5, 2), ("compact-both-passes", 11, 5)],
)
def test_a_window_of_other_days_ends_with_its_target_or_has_it_amidst(
    folder: Path, preset: str, window: int, target: int
) -> None:
    schedule = {"steps": 1, "every": 1, "threads": 1}
    path = train_yaml(folder, preset=preset, window=window, schedule=schedule, checks=1)
    net = weights.load(gaps.run(path, untold).path).net
    assert (net.settings.steps, net.settings.target) == (window, target)


def test_two_processes_train_both_phases_together(tmp_path: Path) -> None:
    """As ``torchrun`` starts them; the first one alone tells and writes."""
    published(tmp_path / "store")
    second = {"steps": 2, "every": 2, "threads": 1}
    path = train_yaml(tmp_path, finetune={"schedule": second})
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    script = "from fluxengine.cli import script; script()"
    verb = ["--no-python", sys.executable, "-c", script, "train", "gdcm", "-c", str(path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*launch, *verb], env=environment, timeout=300, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("weights  ") == 1
    _, card = weights.load(tmp_path / "weights" / "gdcm.safetensors", architecture="GDCM")
    assert card.skill["observed: Brier score rain_occurrence [1]"] > 0
