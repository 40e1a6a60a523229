"""The loop that trains a network: steps, checks against held-back days, checkpoints.

It knows nothing of what is learned. A step's batch and all its chance come from the seed and the
step's number alone, so that a training that was killed goes on from its last checkpoint to the
very weights of an unbroken one: on a CPU, with the same number of threads. On a GPU the gradients
of what is sampled at points are added up in no fixed order, and the last digits may differ.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from fluxengine.errors import FluxforgeError
from fluxengine.provenance import code_commit
from fluxengine.worker import keep_memory
from fluxkernels.nets.predict import find_device
from fluxrecipes.training import checkpoint
from fluxrecipes.training.parallel import Group, group

Scores = dict[str, float]

UNKNOWN = "no version control"
_POWERS = 50  # steps of the power method: more than enough for norms to 1 in 1000


class TrainingDiverged(FluxforgeError, ArithmeticError):
    """The loss or a score is no number any more."""

    code = "FF701"


class OutOfMemory(FluxforgeError, MemoryError):
    """The memory of the machine, or of its GPU, does not suffice for a training."""

    code = "FF704"


class Task(Protocol):
    """What is learned from what."""

    net: nn.Module

    def loss(self, step: int, rng: np.random.Generator) -> Tensor:
        """The loss of a step's batch, which depends on nothing but the step, `rng` and the net."""

    def score(self) -> Scores:
        """Skill of the net as it stands, on data kept back; the first one decides, less is better.

        The net is in evaluation mode then.
        """


class Schedule(BaseModel, extra="forbid", frozen=True):
    """How long and how fast a network learns."""

    steps: int = Field(ge=1, description="batches at most")
    learning_rate: float = Field(1e-3, gt=0, description="highest; falls to 0 along a half cosine")
    warmup: int = Field(100, ge=0, description="steps in which the learning rate rises to it")
    optimizer: Literal["adamw", "radam"] = Field("adamw", description="as PyTorch has them")
    weight_decay: float = Field(1e-4, ge=0, description="decoupled from the gradient")
    clip: float = Field(1.0, gt=0, description="longest gradient")
    average: float = Field(
        0.998, ge=0, lt=1, description="of the weights that are kept: an exponential mean; 0: none"
    )
    precision: Literal["fp32", "bf16"] = Field("fp32", description="of products, not of weights")
    every: int = Field(500, ge=1, description="steps between two checks and checkpoints")
    patience: int = Field(10, ge=1, description="checks without a better score that end it")
    seed: int = Field(1, ge=0, description="of weights, batches and all else")
    threads: int = Field(0, ge=0, description="of the CPU; 0: as PyTorch takes them")
    device: str = Field("cpu", description="as PyTorch calls it: cpu, cuda")

    def rate(self, step: int) -> float:
        """The learning rate of a step, from 0."""
        rise = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        return self.learning_rate * rise * 0.5 * (1.0 + math.cos(math.pi * step / self.steps))


class Progress(NamedTuple):
    """How far a training is: steps done, the last loss, and scores where it was just checked."""

    step: int
    loss: float
    scores: Scores | None


@dataclass(frozen=True)
class Trained:
    """What came of it; the net holds the weights of the best check.

    Parameters
    ----------
    best_step, steps : int
        When it was best, and how many were done.
    scores : dict of str to float
        Of the best check.
    history : list of (int, dict)
        Scores of all checks, by step.
    seconds : float
        Of this process; what was done before an interruption does not count.
    commits : tuple of str
        Of the code that did the steps: one, but for what went on with other code.
    """

    best_step: int
    steps: int
    scores: Scores
    history: list[tuple[int, Scores]]
    seconds: float
    commits: tuple[str, ...] = ()


@dataclass
class _State:
    """All that a checkpoint holds."""

    net: nn.Module
    averaged: AveragedModel
    optimizer: torch.optim.Optimizer
    step: int = 0
    history: list[tuple[int, Scores]] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    commits: list[str] = field(default_factory=list)

    @property
    def best_check(self) -> int:
        """Which of the checks was the best."""
        return min(range(len(self.history)), key=lambda check: _deciding(self.history[check][1]))


def train(
    task: Task,
    schedule: Schedule,
    folder: Path,
    configuration: Mapping[str, Any],
    tell: Callable[[Progress], None] = lambda progress: None,
) -> Trained:
    """Train a task's net, from the folder's checkpoint where it holds one.

    Under ``torchrun`` every process takes batches of its own, gradients are averaged, and the first
    one checks, tells and writes.

    Parameters
    ----------
    task : Task
        Its net is trained in place.
    schedule : Schedule
    folder : Path
        For the checkpoint; made if need be.
    configuration : mapping
        All that the outcome depends on beside the schedule, fit for JSON.
    tell : callable, optional
        Takes the progress after each step.

    Raises
    ------
    DeviceError
        Where the device is not there.
    checkpoint.OtherTraining
        FF702: the folder holds the checkpoint of another configuration, schedule or net, or of
        another number of processes, whose batches are others.
    checkpoint.DamagedCheckpoint
        FF703: it cannot be read.
    TrainingDiverged
        FF701: loss or score became infinite or NaN. The last checkpoint stays.
    """
    began = time.perf_counter()
    keep_memory()
    if schedule.threads:
        torch.set_num_threads(schedule.threads)
    processes = group(schedule.device)
    device = find_device(processes.device)
    task.net.to(device).train()
    state = _begin(task.net, schedule)
    path = folder / checkpoint.NAME
    told = {
        "schedule": schedule.model_dump(),
        "configuration": dict(configuration),
        "processes": processes.size,
    }
    _resume(state, path, told)
    if state.step < schedule.steps and not _stalled(state, schedule):
        state.commits = list(dict.fromkeys([*state.commits, code_commit() or UNKNOWN]))
    forward = processes.wrapped(_Loss(task))
    while state.step < schedule.steps and not _stalled(state, schedule):
        loss = _step(forward, state, schedule, processes)
        scores = None
        if state.step % schedule.every == 0 or state.step == schedule.steps:
            scores = _check(task, state, processes)
            if processes.leads:
                _write(state, path, told)
        if processes.leads:
            tell(Progress(state.step, loss, scores))
    task.net.load_state_dict(state.best)
    task.net.eval()
    best_step, scores = state.history[state.best_check]
    seconds = time.perf_counter() - began
    commits = tuple(state.commits)
    return Trained(best_step, state.step, scores, state.history, seconds, commits)


class _Loss(nn.Module):
    """A task as a module whose output is its loss: what gradients are averaged around."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.net, self._task = task.net, task

    def forward(self, step: int, rng: np.random.Generator) -> Tensor:
        """The loss of a step."""
        return self._task.loss(step, rng)


def _begin(net: nn.Module, schedule: Schedule) -> _State:
    kind = {"adamw": torch.optim.AdamW, "radam": torch.optim.RAdam}[schedule.optimizer]
    more: dict[str, Any] = {"decoupled_weight_decay": True} if kind is torch.optim.RAdam else {}
    optimizer = kind(
        net.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay, **more
    )
    mean = get_ema_multi_avg_fn(schedule.average)  # type: ignore[no-untyped-call]
    return _State(net, AveragedModel(net, multi_avg_fn=mean, use_buffers=True), optimizer)


def _step(forward: nn.Module, state: _State, schedule: Schedule, processes: Group) -> float:
    """One batch: its gradient, the weights after it, and their running mean."""
    place = (schedule.seed, state.step, processes.rank)
    torch.manual_seed(int(np.random.SeedSequence(place).generate_state(1)[0]))
    for settings in state.optimizer.param_groups:
        settings["lr"] = schedule.rate(state.step)
    lower = torch.autocast(
        next(state.net.parameters()).device.type,
        torch.bfloat16,
        enabled=schedule.precision == "bf16",
    )
    with lower:
        loss = forward(state.step, np.random.default_rng(place))
    value = float(loss.detach())
    if not math.isfinite(value):
        raise TrainingDiverged(
            f"the loss is {value}.",
            where=f"step {state.step}",
            mend="Lower `learning_rate`, then start again from the last checkpoint or anew.",
        )
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(state.net.parameters(), schedule.clip)
    state.optimizer.step()
    state.averaged.update_parameters(state.net)
    state.step += 1
    return value


def _check(task: Task, state: _State, processes: Group) -> Scores:
    """Score the averaged weights; keep them where they are the best so far."""
    with _averaged(state):
        scores = processes.shared(task.score) if processes.leads else processes.shared(None)
        if not math.isfinite(_deciding(scores)):
            raise TrainingDiverged(f"the score is {scores}.", where=f"step {state.step}")
        state.history.append((state.step, scores))
        if state.best_check == len(state.history) - 1:
            state.best = {name: x.detach().clone() for name, x in state.net.state_dict().items()}
    return scores


@contextmanager
def _averaged(state: _State) -> Iterator[None]:
    """The net with the mean of its weights, in evaluation mode, for a while."""
    own = {name: tensor.detach().clone() for name, tensor in state.net.state_dict().items()}
    state.net.load_state_dict(state.averaged.module.state_dict())
    state.net.eval()
    _normalise(state.net)
    try:
        with torch.inference_mode():
            yield
    finally:
        state.net.load_state_dict(own)
        state.net.train()


@torch.no_grad()
def _normalise(net: nn.Module) -> None:
    """Find the spectral norms of weights anew: those of a mean are not the mean of them.

    A layer looks for its norm a step further each time that its weight is asked for in training.
    """
    for layer in net.modules():
        norms = layer.parametrizations if is_parametrized(layer) else None
        if not isinstance(norms, nn.ModuleDict):
            continue
        norms.train()
        for name in norms:
            for _ in range(_POWERS):
                getattr(layer, name)
        norms.eval()


def _deciding(scores: Scores) -> float:
    return next(iter(scores.values()))


def _stalled(state: _State, schedule: Schedule) -> bool:
    """Whether so many checks have not been better than the best."""
    checks = len(state.history)
    return bool(checks) and checks - 1 - state.best_check >= schedule.patience


# --- checkpoints ---------------------------------------------------------------------------------


def _write(state: _State, path: Path, told: Mapping[str, Any]) -> None:
    moments = state.optimizer.state_dict()["state"]
    tensors = {
        "net": state.net.state_dict(),
        "averaged": state.averaged.state_dict(),
        "best": state.best,
        "optimizer": {f"{i}.{name}": x for i, one in moments.items() for name, x in one.items()},
    }
    how_far = {"step": state.step, "history": state.history, "commits": state.commits}
    checkpoint.write(path, tensors, {**told, **how_far})


def _resume(state: _State, path: Path, told: Mapping[str, Any]) -> None:
    """Take up a checkpoint, where there is one."""
    found = checkpoint.read(path, told)
    if found is None:
        return
    tensors, document = found
    try:
        state.net.load_state_dict(tensors["net"])
        state.averaged.load_state_dict(tensors["averaged"])
    except (RuntimeError, KeyError) as error:
        raise checkpoint.OtherTraining(
            f"it is of another network: {str(error).splitlines()[-1].strip()}",
            where=str(path),
            mend=checkpoint.ANEW,
        ) from error
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors["optimizer"].items():
        number, _, what = name.partition(".")
        moments.setdefault(int(number), {})[what] = tensor
    groups = state.optimizer.state_dict()["param_groups"]
    state.optimizer.load_state_dict({"state": moments, "param_groups": groups})
    state.step, state.best = document["step"], tensors["best"]
    state.history = [(step, scores) for step, scores in document["history"]]
    state.commits = document["commits"]
