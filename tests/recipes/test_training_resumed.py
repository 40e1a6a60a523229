"""What a training goes on from, and what it refuses to go on from."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors
import safetensors.torch
import torch
import typer
from test_training_gaps import MICROWAVE, observed, publish, published, reanalysis, train_yaml
from test_training_loop import Lines, schedule
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm
from typer.testing import CliRunner

from fluxengine.errors import ConfigError
from fluxkernels.errors import DeviceError
from fluxkernels.nets.gdcm import GDCM
from fluxrecipes.training import checkpoint, command, gaps, loop, settings
from fluxrecipes.training.content import content_of


class Stopped(Exception):
    pass


def counted(steps: list[int], stop: int = -1) -> Any:
    """Watch steps; stop a training after one of them."""

    def tell(told: loop.Progress) -> None:
        steps.append(told.step)
        if told.step == stop:
            raise Stopped

    return lambda name, number: tell


def revised(store: Path) -> None:
    """Publish the same days anew, with half of every value."""
    shutil.rmtree(store)
    seen, whole = observed("2014-01-01"), reanalysis("2014-01-01")
    for name in MICROWAVE:
        seen[name], whole[name] = seen[name] * 0.5, whole[name] * 0.5
    publish(store, "deepflux-merged", seen)
    publish(store, "deepflux-reanalysis", whole)


def altered(path: Path, change: Any) -> None:
    """Write a checkpoint with another document."""
    with safetensors.safe_open(path, "pt") as file:
        document = json.loads(file.metadata()["fluxforge"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    change(document)
    path.write_bytes(safetensors.torch.save(tensors, {"fluxforge": json.dumps(document)}))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    published(tmp_path / "store")
    return tmp_path


def of_complete(folder: Path) -> Path:
    return folder / "weights" / "gdcm.training" / "complete" / checkpoint.NAME


# --- data ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop", [5, -1])
def test_a_training_whose_data_changed_is_refused(folder: Path, stop: int) -> None:
    """Whether it had come to its end or not."""
    path, steps = train_yaml(folder), list[int]()
    try:
        gaps.run(path, counted(steps, stop))
    except Stopped:
        assert stop == 5
    revised(folder / "store")
    with pytest.raises(checkpoint.OtherTraining, match="content: deepflux-merged"):
        gaps.run(path, counted(steps))
    assert len(steps) == (5 if stop == 5 else 12)


def test_the_same_data_elsewhere_are_the_same(folder: Path) -> None:
    gaps.run(train_yaml(folder), counted([]))
    shutil.move(folder / "store", folder / "moved")
    steps: list[int] = []
    gaps.run(train_yaml(folder, store="moved"), counted(steps))
    assert steps == []


def test_a_plain_store_is_known_by_its_files(tmp_path: Path) -> None:
    store = settings.place.at(str(tmp_path), settings.StorageOptions())
    for name in ("one.zarr", "two.zarr"):
        (tmp_path / name / "c").mkdir(parents=True)
        (tmp_path / name / "c" / "0").write_bytes(b"12345")
    one, two = (tmp_path / name for name in ("one.zarr", "two.zarr"))
    shutil.copystat(one / "c" / "0", two / "c" / "0")
    first = content_of(store, str(one))
    assert content_of(store, str(two)) == first == content_of(store, str(one))
    (one / "c" / "0").write_bytes(b"123456")
    assert content_of(store, str(one)) != first


# --- code and processes --------------------------------------------------------------------------


def test_the_card_names_the_code_that_did_the_steps(folder: Path, monkeypatch: Any) -> None:
    path, told = train_yaml(folder), {}
    for commit, stop in (("aaa", 5), ("bbb", -1), ("ccc", -1)):
        monkeypatch.setattr(loop, "code_commit", lambda commit=commit: commit)
        try:
            told[commit] = gaps.run(path, counted([], stop)).card.commit
        except Stopped:
            assert stop == 5
    assert told == {"bbb": "aaa, then bbb", "ccc": "aaa, then bbb"}


def test_another_number_of_processes_is_another_training(tmp_path: Path) -> None:
    how = schedule(steps=40, every=20)
    loop.train(Lines.new(), how, tmp_path, {})
    altered(tmp_path / checkpoint.NAME, lambda told: told.update(processes=2))
    with pytest.raises(checkpoint.OtherTraining, match="processes 2, not 1") as caught:
        loop.train(Lines.new(), how, tmp_path, {})
    assert caught.value.code == "FF702"


def test_a_checkpoint_that_lacks_a_setting_is_of_another_training(folder: Path) -> None:
    path = train_yaml(folder)
    gaps.run(path, counted([]))
    altered(of_complete(folder), lambda told: told["configuration"].pop("window"))
    with pytest.raises(checkpoint.OtherTraining, match="window not there, not None"):
        gaps.run(path, counted([]))


def test_a_checkpoint_of_a_net_of_other_sizes_is_of_another_training(
    folder: Path, monkeypatch: Any
) -> None:
    path = train_yaml(folder, schedule={"steps": 2, "every": 2, "threads": 1})
    gaps.run(path, counted([]))
    other = replace(gaps.PRESETS["compact"], stem=20)
    monkeypatch.setitem(gaps.PRESETS, "compact", other)
    with pytest.raises(checkpoint.OtherTraining, match="network: stem 18, not 20"):
        gaps.run(path, counted([]))


def test_a_checkpoint_of_other_layers_is_of_another_training(tmp_path: Path) -> None:
    loop.train(Lines.new(), schedule(steps=50), tmp_path, {})
    other = Lines(nn.Sequential(nn.Linear(3, 9), nn.Linear(9, 1)))
    with pytest.raises(checkpoint.OtherTraining, match="of another network: size mismatch"):
        loop.train(other, schedule(steps=50), tmp_path, {})


# --- norms ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("average", [0.0, 0.9, 0.998])
def test_spectral_norms_of_what_is_kept_are_1(tmp_path: Path, average: float) -> None:
    torch.manual_seed(0)
    inner = [spectral_norm(nn.Linear(16, 16)) for _ in range(2)]
    task = Lines(nn.Sequential(nn.Linear(3, 16), nn.Tanh(), *inner, nn.Linear(16, 1)))
    loop.train(task, schedule(steps=150, average=average), tmp_path, {})
    assert not task.net.training
    for layer in inner:
        assert torch.linalg.matrix_norm(layer.weight, 2).item() == pytest.approx(1.0, abs=1e-3)


# --- the second phase ----------------------------------------------------------------------------


def test_the_second_phase_goes_on_as_the_first_where_it_is_not_told(tmp_path: Path) -> None:
    first = {"steps": 12, "device": "cuda:0", "precision": "bf16", "threads": 3, "seed": 7}
    second = {"steps": 2, "precision": "fp32", "every": 1}
    path = train_yaml(tmp_path, schedule=first, finetune={"schedule": second})
    made = settings.load(path, gaps.Gaps).schedule_of("observed")
    assert (made.device, made.threads, made.seed) == ("cuda:0", 3, 7)
    assert (made.precision, made.steps, made.every) == ("fp32", 2, 1)
    assert made.learning_rate == loop.Schedule(steps=1).learning_rate


def test_the_device_of_every_phase_is_looked_for_first(folder: Path) -> None:
    phases: list[str] = []
    path = train_yaml(folder, finetune={"schedule": {"steps": 2, "device": "cuda:7"}})
    with pytest.raises(DeviceError, match="cuda:7"):
        gaps.run(path, lambda name, steps: phases.append(name) or (lambda told: None))
    assert phases == []


def test_processes_that_train_together_take_one_kind_of_device(monkeypatch: Any) -> None:
    schedules = [loop.Schedule(steps=1, device=device) for device in ("cpu", "meta")]
    settings.check_devices(schedules)
    monkeypatch.setenv("WORLD_SIZE", "2")
    settings.check_devices(schedules[:1])
    with pytest.raises(ConfigError, match="the phases run on cpu and meta"):
        settings.check_devices(schedules)


# --- paths and memory ----------------------------------------------------------------------------


def test_datasets_are_looked_for_from_the_folder_of_the_file(folder: Path) -> None:
    reanalysis("2014-01-01").to_zarr(folder / "fields.zarr", zarr_format=3)
    asked = settings.load(train_yaml(folder), gaps.Gaps)
    assert asked.located("fields.zarr") == str(folder / "fields.zarr")
    assert asked.located("deepflux-sst") == "deepflux-sst"
    assert asked.located("s3://bucket/passes.zarr") == "s3://bucket/passes.zarr"
    names = {"reanalysis": "fields.zarr"}
    schedule = {"steps": 1, "every": 1, "threads": 1}
    path = train_yaml(folder, datasets=names, checks=2, schedule=schedule)
    assert gaps.run(path, counted([])).path.exists()


def test_sst_of_a_plain_store_is_looked_for_there_too(folder: Path) -> None:
    sea = reanalysis("2014-01-01")[["sea_surface_temperature", "reanalysis_state"]]
    sea = sea.isel(orbit=0).rename(reanalysis_state="sea_surface_temperature_state")
    sea.to_zarr(folder / "sst.zarr", zarr_format=3)
    asked = settings.load(train_yaml(folder, datasets={"sst": "sst.zarr"}), gaps.Gaps)
    assert gaps.opened(asked, asked.train, 7).parts["sst"].where == str(folder / "sst.zarr")


@pytest.mark.parametrize("key", ["out", "start"])
def test_weights_in_a_bucket_are_refused(tmp_path: Path, key: str) -> None:
    path = train_yaml(tmp_path, **{key: "s3://bucket/gdcm.safetensors"})
    with pytest.raises(ConfigError, match=f"'{key}': s3://bucket/gdcm.safetensors is no file"):
        settings.load(path, gaps.Gaps)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB\nand more"),
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_want_of_memory_is_told_with_what_to_lower(
    folder: Path, monkeypatch: Any, error: Exception
) -> None:
    def exhausted(*given: Any) -> None:
        raise error

    monkeypatch.setattr(GDCM, "forward", exhausted)
    app = typer.Typer()
    app.command()(command.train)
    made = CliRunner().invoke(app, ["gdcm", "-c", str(train_yaml(folder))])
    assert isinstance(made.exception, loop.OutOfMemory) and made.exception.code == "FF704"
    assert "Lower `batch`" in str(made.exception) and "`blocks`" in str(made.exception)
    assert "\n" not in str(made.exception)


def test_other_errors_of_a_training_are_not_taken_for_want_of_memory(
    folder: Path, monkeypatch: Any
) -> None:
    def broken(*given: Any) -> None:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(GDCM, "forward", broken)
    app = typer.Typer()
    app.command()(command.train)
    made = CliRunner().invoke(app, ["gdcm", "-c", str(train_yaml(folder))])
    assert type(made.exception) is RuntimeError
