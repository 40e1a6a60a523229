"""The training loop: it learns, it stops, and a kill changes nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fluxkernels.errors import DeviceError
from fluxrecipes.training import checkpoint, loop

TRUTH = torch.tensor([[2.0, -1.0, 0.5]])


@dataclass
class Lines:
    """Learns a plane from noisy points; normalisation and dropout bring state and chance."""

    net: nn.Module
    pause: float = 0.0
    poison: int = -1
    chance: bool = True

    @classmethod
    def new(cls, **how: float) -> Lines:
        torch.manual_seed(0)
        layers = nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.1), nn.Linear(8, 1)
        return cls(nn.Sequential(*layers), **how)

    def loss(self, step: int, rng: np.random.Generator) -> Tensor:
        time.sleep(self.pause)
        if step == self.poison:
            return self.net(torch.full((2, 3), torch.nan)).mean()
        source = rng if self.chance else np.random.default_rng(step)
        points = torch.from_numpy(source.normal(size=(64, 3))).float()
        return (self.net(points) - points @ TRUTH.T).square().mean()

    def score(self) -> dict[str, float]:
        points = torch.from_numpy(np.random.default_rng(0).normal(size=(500, 3))).float()
        assert not self.net.training
        return {"mse": float((self.net(points) - points @ TRUTH.T).square().mean()), "n": 500.0}


def schedule(**changes: object) -> loop.Schedule:
    given = {"steps": 300, "learning_rate": 0.02, "warmup": 10, "every": 50, "average": 0.9}
    return loop.Schedule.model_validate({**given, "threads": 1, **changes})


def weights(net: nn.Module) -> dict[str, bytes]:
    return {name: x.numpy().tobytes() for name, x in net.state_dict().items()}


def test_it_learns_and_keeps_the_best_weights(tmp_path: Path) -> None:
    task = Lines.new()
    told: list[loop.Progress] = []
    made = loop.train(task, schedule(), tmp_path, {"data": "lines"}, told.append)
    assert made.steps == 300 and [step for step, _ in made.history] == list(range(50, 301, 50))
    assert made.scores["mse"] < 0.005 < made.history[0][1]["mse"]
    assert made.scores["mse"] == min(scores["mse"] for _, scores in made.history)
    assert task.score() == made.scores  # the net is left with the weights of that check
    assert [one.step for one in told] == list(range(1, 301))
    assert [one.step for one in told if one.scores] == list(range(50, 301, 50))


def test_the_seed_decides(tmp_path: Path) -> None:
    nets = {}
    for place, seed in (("a", 1), ("b", 1), ("c", 2)):
        task = Lines.new()
        loop.train(task, schedule(steps=60, seed=seed), tmp_path / place, {})
        nets[place] = weights(task.net)
    assert nets["a"] == nets["b"] != nets["c"]


@pytest.mark.parametrize("optimizer", ["adamw", "radam"])
def test_a_training_that_was_killed_ends_with_the_same_weights(
    tmp_path: Path, optimizer: str
) -> None:
    how = schedule(steps=200, every=20, optimizer=optimizer, precision="bf16")
    whole = Lines.new()
    unbroken = loop.train(whole, how, tmp_path / "whole", {"data": "lines"})
    script = (
        "import sys, torch; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "from test_training_loop import Lines, loop\n"
        "how = loop.Schedule.model_validate_json(sys.argv[3])\n"
        "loop.train(Lines.new(pause=0.02), how, Path(sys.argv[2]), {'data': 'lines'})\n"
    )
    command = [sys.executable, "-c", script, str(Path(__file__).parent)]
    folder = tmp_path / "killed"
    with subprocess.Popen([*command, str(folder), how.model_dump_json()]) as process:
        deadline = time.monotonic() + 60
        while not (folder / checkpoint.NAME).exists():
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.01)
        time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
    resumed = Lines.new()
    first: list[int] = []
    made = loop.train(resumed, how, folder, {"data": "lines"}, lambda told: first.append(told.step))
    assert 20 < first[0] < 200  # it went on, it did not begin again
    assert weights(resumed.net) == weights(whole.net)
    assert made.history == unbroken.history


def test_it_stops_when_nothing_gets_better(tmp_path: Path) -> None:
    task = Lines.new()
    made = loop.train(task, schedule(steps=5000, every=25, patience=2), tmp_path, {})
    assert made.steps < 5000
    assert made.steps == made.best_step + 2 * 25


def test_weights_that_are_no_numbers_are_told_and_never_kept(tmp_path: Path) -> None:
    with pytest.raises(loop.TrainingDiverged, match="step 120: the loss is nan") as caught:
        loop.train(Lines.new(poison=120), schedule(), tmp_path, {})
    assert caught.value.code == "FF701"
    resumed: list[int] = []
    loop.train(Lines.new(), schedule(), tmp_path, {}, lambda told: resumed.append(told.step))
    assert resumed[0] == 101


def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    loop.train(Lines.new(), schedule(steps=50), tmp_path, {"data": {"first": "2014"}})
    with pytest.raises(checkpoint.OtherTraining, match=r"learning_rate 0\.02, not 0\.03"):
        loop.train(Lines.new(), schedule(steps=50, learning_rate=0.03), tmp_path, {})
    with pytest.raises(checkpoint.OtherTraining, match="data: first '2014', not '2015'"):
        loop.train(Lines.new(), schedule(steps=50), tmp_path, {"data": {"first": "2015"}})


@pytest.mark.parametrize("damage", ["cut", "pickle", "text"])
def test_a_damaged_checkpoint_is_told(tmp_path: Path, damage: str) -> None:
    loop.train(Lines.new(), schedule(steps=50), tmp_path, {})
    path = tmp_path / checkpoint.NAME
    content = path.read_bytes()
    if damage == "pickle":
        torch.save({"net": torch.zeros(3)}, path)
    else:
        path.write_bytes(content[:-40] if damage == "cut" else b"steps: 50")
    with pytest.raises(checkpoint.DamagedCheckpoint, match="begin anew"):
        loop.train(Lines.new(), schedule(steps=50), tmp_path, {})


def test_a_gpu_that_is_not_there_is_told(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(DeviceError, match="cuda"):
        loop.train(Lines.new(), schedule(device="cuda"), tmp_path, {})


def test_two_processes_with_equal_batches_learn_what_one_does(tmp_path: Path) -> None:
    how = schedule(steps=40, every=20)
    alone = Lines.new(chance=False)
    alone.net[2] = nn.Identity()
    loop.train(alone, how, tmp_path / "one", {})
    script = tmp_path / "together.py"
    script.write_text(
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "from test_training_loop import Lines, loop, nn, checkpoint\n"
        "task = Lines.new(chance=False); task.net[2] = nn.Identity()\n"
        "how = loop.Schedule.model_validate_json(sys.argv[3])\n"
        "loop.train(task, how, Path(sys.argv[2]), {})\n"
        "import os; os._exit(0)\n"  # as the command: threads of the group abort a slow end
    )
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    folder = tmp_path / "two"
    rest = [str(script), str(Path(__file__).parent), str(folder), how.model_dump_json()]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([*launch, *rest], check=True, env=environment, timeout=120)
    expected = {"schedule": how.model_dump(), "configuration": {}}
    found = checkpoint.read(folder / checkpoint.NAME, expected)
    assert found is not None
    for name, tensor in alone.net.state_dict().items():
        torch.testing.assert_close(found[0]["best"][name], tensor, rtol=1e-5, atol=1e-6)
