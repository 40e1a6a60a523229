"""Training of GDCM, the network that fills gaps: ``fluxforge train gdcm``.

First on the complete fields of a reanalysis, thinned more and more as the satellite would have
thinned them; then, where it is asked for, on the observations themselves, of which more is hidden.
Errors count where something is missing: what was observed is kept as it is. The error is squared
(but for the largest), so that the net learns the mean of what may be there, and of rain's
occurrence the probability.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import torch
from pydantic import BaseModel, Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from fluxengine.config import Period
from fluxengine.errors import ConfigError
from fluxkernels.nets import gdcm
from fluxkernels.nets.gdcm import GDCM, GDCMSettings
from fluxkernels.nets.vocabulary import Quantity, Vocabulary
from fluxrecipes import networks
from fluxrecipes.training import loop, settings
from fluxrecipes.training.archive import Archive, Layer, Part, Span, visited
from fluxrecipes.training.windows import (
    Calibration,
    Phase,
    Sample,
    Scene,
    Windows,
    daily_change,
    rain_loss,
)

PRESETS: Mapping[str, GDCMSettings] = {
    "paper": gdcm.PAPER,
    "compact": gdcm.COMPACT,
    "compact-centred": gdcm.COMPACT_CENTRED,
    "compact-both-passes": gdcm.COMPACT_BOTH_PASSES,
}
VOCABULARIES: Mapping[str, Vocabulary] = {
    "compact": networks.GAPS,
    "compact-centred": networks.GAPS,
    "compact-both-passes": networks.GAPS_BOTH_PASSES,
}
CALIBRATED_ON = 3  # spans at most
_CHECKS = 2  # beside the seed of a check: its numbers are those of step 2, its days are others


class Datasets(BaseModel, extra="forbid", frozen=True):
    """What is read, by name."""

    observed: str = Field("deepflux-merged", description="passes with gaps and states")
    reanalysis: str = Field("deepflux-reanalysis", description="complete fields, on the same grid")
    sst: str | None = Field(
        None, description="sea surface temperature, such as deepflux-sst; none: the reanalysis's"
    )


class Finetune(BaseModel, extra="forbid", frozen=True):
    """The second phase, on observations of which more is hidden."""

    schedule: loop.Schedule = Field(
        description="device, precision, threads and seed: those of the first phase, if not told"
    )
    rehearse: float = Field(
        0.25,
        ge=0,
        lt=1,
        description="share of samples that are still complete fields: only these tell what is"
        " where it rains",
    )


class Gaps(settings.Training, extra="forbid", frozen=True):
    """A train.yaml of ``fluxforge train gdcm``."""

    preset: Literal["paper", "compact", "compact-centred", "compact-both-passes"] = Field(
        "compact", description="which network"
    )
    variable: (
        Literal["wind_speed", "water_vapour", "cloud_liquid_water", "rain_rate", "rain_occurrence"]
        | None
    ) = Field(None, description="of the preset `paper`, which does one at a time")
    window: int | None = Field(None, ge=3, description="its days; none: as many as the preset has")
    datasets: Datasets = Field(default_factory=lambda: Datasets.model_validate({}))
    curriculum: float = Field(
        0.3, ge=0, le=1, description="share of the steps in which fields go from full to gappy"
    )
    kept_weight: float = Field(
        0.05, ge=0, description="what an error counts where the value was given, beside a gap's 1"
    )
    beta: float = Field(
        5.0, gt=0, description="scaled error up to which it is squared; beyond, it is linear"
    )
    checks: int = Field(16, ge=1, description="windows of each check")
    finetune: Finetune | None = None

    @model_validator(mode="after")
    def _one_variable_of_the_paper(self) -> Self:
        if (self.preset == "paper") != (self.variable is not None):
            raise ValueError(
                "'variable' goes with the preset 'paper', which fills one, and with no other"
            )
        return self

    @property
    def phases(self) -> tuple[Phase, ...]:
        """What is learned from, in turn."""
        return ("complete", "observed") if self.finetune else ("complete",)

    @property
    def datasets_read(self) -> tuple[str, ...]:
        """Names of what is read, each once."""
        names = self.datasets
        return tuple(name for name in (names.observed, names.reanalysis, names.sst) if name)

    def schedule_of(self, phase: Phase) -> loop.Schedule:
        """Of one phase."""
        if phase == "observed" and self.finetune is not None:
            return self.finetune.schedule
        return self.schedule

    def configuration_of(self, phase: Phase) -> dict[str, Any]:
        """All that a phase's outcome depends on beside its own schedule."""
        told = self.configuration | {"phase": phase}
        if phase == "complete":  # what comes after it may be changed without doing it again
            return {name: one for name, one in told.items() if name != "finetune"}
        return told | {"before": self.schedule.model_dump(mode="json")}

    @property
    def architecture(self) -> GDCMSettings:
        """Of the preset, with the window asked for: it ends with its target or has it amidst."""
        preset = PRESETS[self.preset]
        if self.window is None:
            return preset
        causal = preset.target == preset.steps - 1
        target = self.window - 1 if causal else self.window // 2
        return replace(preset, steps=self.window, target=target)

    @property
    def vocabulary(self) -> Vocabulary:
        """What the net takes and gives."""
        if self.variable is None:
            return VOCABULARIES[self.preset]
        one = next(one for one in networks.FILLED if one.name == self.variable)
        return Vocabulary((one,), (one,))


class GapTask:
    """What the training loop asks of one phase.

    Parameters
    ----------
    net : GDCM
    asked : Gaps
    phase : {"complete", "observed"}
    train, validation : Archive
        Of the roles ``"observed"``, ``"reanalysis"`` and ``"sst"``.
    calibration : Calibration
    """

    def __init__(
        self,
        net: GDCM,
        asked: Gaps,
        phase: Phase,
        train: Archive,
        validation: Archive,
        calibration: Calibration,
    ) -> None:
        self.net: nn.Module = net
        self.asked, self.phase = asked, phase
        self.schedule = asked.schedule_of(phase)
        self.train, self.validation = train, validation
        self.outputs = asked.vocabulary.outputs
        chosen = [networks.FILLED.index(one) for one in self.outputs]
        self._change = torch.from_numpy(calibration.change[chosen]).float()
        area = np.cos(np.radians(train.latitudes))[:, None]
        self._area = torch.from_numpy(area / area.mean()).float()
        s = net.settings
        self.windows = Windows(
            steps=s.steps,
            target=s.target,
            variables=self.outputs,
            sst=s.context > 0,
            other_pass=s.other_pass,
            loss=calibration.loss,
            longitudes=train.longitudes,
        )
        self._held: tuple[Span, Scene] | None = None
        self._checks: list[Sample] | None = None

    @property
    def device(self) -> torch.device:
        """Where the net is."""
        return next(self.net.parameters()).device

    def loss(self, step: int, rng: np.random.Generator) -> Tensor:
        """Squared error in gaps by what a day changes, mean over the variables."""
        span = visited(self.train, self.schedule.seed, step, self.asked.stay)
        scene = self._scene(span)
        batch = _stacked(
            [self._drawn(scene, span, step, rng) for _ in range(self.asked.batch)], self.device
        )
        beta = self.asked.beta
        estimate = self.net(batch.values, batch.masks)
        error = 2.0 * beta * F.smooth_l1_loss(estimate, batch.target, reduction="none", beta=beta)
        weight = batch.missing + self.asked.kept_weight * batch.kept
        return self._relative(self._sums(error, weight))

    def score(self) -> loop.Scores:
        """Skill in the gaps of some windows of the validation period."""
        if self._checks is None:
            self._checks = self._validation()
        sums = torch.zeros(2, len(self.outputs), device=self.device)
        for first in range(0, len(self._checks), self.asked.batch):
            batch = _stacked(self._checks[first : first + self.asked.batch], self.device)
            estimate = within(self.net(batch.values, batch.masks), self.outputs)
            sums += self._sums((estimate - batch.target).square(), batch.missing.float())
        told = [
            _skill(*pair) for pair in zip(self.outputs, (sums[0] / sums[1]).tolist(), strict=True)
        ]
        return {"error in gaps": float(self._relative(sums))} | dict(told)

    def _sums(self, error: Tensor, weight: Tensor) -> Tensor:
        """Of weighted errors, and of weights: shape (2, variable)."""
        weight = weight * self._area.to(weight.device)
        return torch.stack([(error * weight).sum((0, 2, 3)), weight.sum((0, 2, 3))])

    def _relative(self, sums: Tensor) -> Tensor:
        """A variable without a gap in the whole batch counts as one without an error."""
        return (sums[0] / sums[1].clamp_min(1e-6) / self._change.to(sums.device)).mean()

    def _scene(self, span: Span) -> Scene:
        if self._held is None or self._held[0] is not span:
            self._held = None  # before the next is read: one is held, not two
            self._held = (span, self._seen(self.train, span))
        return self._held[1]

    def _seen(self, archive: Archive, span: Span) -> Scene:
        return Scene.of(archive.load(span), archive.spacing, self.windows.loss.wet)

    def _drawn(self, scene: Scene, span: Span, step: int, rng: np.random.Generator) -> Sample:
        asked, eta = self.asked, 0.0
        if self.phase == "complete" and asked.curriculum:
            eta = max(0.0, 1.0 - step / (asked.curriculum * self.schedule.steps))
        phase = self.phase
        if asked.finetune is not None and phase == "observed":
            phase = "complete" if rng.random() < asked.finetune.rehearse else phase
        return self.windows.draw(scene, span.starts, phase, eta, rng)

    def _validation(self) -> list[Sample]:
        """Windows of all the validation period, the same at every check."""
        self._held = None  # before those of the validation are read
        spans, checks = self.validation.spans, self.asked.checks
        at = np.linspace(0, len(spans) - 1, checks).round().astype(int)
        rng, found = np.random.default_rng((self.schedule.seed, _CHECKS)), []
        for place in np.unique(at):
            span = spans[place]
            scene = self._seen(self.validation, span)
            found += [
                self.windows.draw(scene, span.starts, self.phase, 0.0, rng, turned=False)
                for _ in range(int((at == place).sum()))
            ]
        full = ~np.any([sample.missing.any(axis=(1, 2)) for sample in found], axis=0)
        if full.any():
            names = [one.name for one, none in zip(self.outputs, full, strict=True) if none]
            raise ConfigError(
                f"nothing that is known is missing of {', '.join(names)} in {checks} windows"
                f" ({self.phase}).",
                where="validation",
                mend="Validate on a longer period, or in more `checks`.",
            )
        return found


class _Batch(NamedTuple):
    """Samples stacked, on the device; see `Sample`."""

    values: Tensor
    masks: Tensor
    target: Tensor
    missing: Tensor
    kept: Tensor


def _stacked(samples: Sequence[Sample], device: torch.device) -> _Batch:
    parts = zip(*samples, strict=True)
    return _Batch(*(torch.from_numpy(np.stack(part)).to(device) for part in parts))


def within(estimate: Tensor, quantities: Sequence[Quantity]) -> Tensor:
    """An estimate, scaled, held within what its quantities may be.

    Parameters
    ----------
    estimate : Tensor, shape (batch, variable, lat, lon)
    quantities : sequence of Quantity
    """
    bounds = [
        [(getattr(one, bound) - one.offset) / one.scale for one in quantities]
        for bound in ("lowest", "highest")
    ]
    low, high = (estimate.new_tensor(bound)[:, None, None] for bound in bounds)
    return torch.minimum(torch.maximum(estimate, low), high)


def _skill(quantity: Quantity, square: float) -> tuple[str, float]:
    """Name and value of a score from the mean squared error, scaled."""
    if quantity is networks.RAINING:
        return f"Brier score {quantity.name} [1]", square
    return f"RMSE {quantity.name} [{quantity.units}]", quantity.scale * square**0.5


def opened(asked: Gaps, periods: Sequence[Period], window: int) -> Archive:
    """What a training reads of some periods.

    Raises
    ------
    ConfigError, NotOurStore, UnknownName
    """
    store, names = asked.place, asked.datasets
    observed, complete = asked.located(names.observed), asked.located(names.reanalysis)
    microwave = [one.name for one in networks.MICROWAVE]
    state = "reanalysis_state"
    sst = networks.SST.name
    parts = {
        "observed": Part.opened(store, observed, Layer.of(*microwave)),
        "reanalysis": Part.opened(store, complete, [Layer(n, state) for n in microwave]),
        "sst": Part.opened(store, asked.located(names.sst), Layer.of(sst))
        if names.sst
        else Part.opened(store, complete, [Layer(sst, state)]),
    }
    return Archive(parts, periods, window, asked.blocks)


def calibrate(archive: Archive) -> Calibration:
    """From some spans, evenly spread over the training periods.

    Raises
    ------
    ConfigError
        Where a satellite saw nothing in them.
    """
    number = min(CALIBRATED_ON, len(archive.spans))
    at = np.linspace(0, len(archive.spans) - 1, number).round().astype(int)
    spans = [archive.spans[i] for i in at]
    seen = archive.parts["observed"].where
    loss = rain_loss(map(archive.load, spans), archive.spacing, seen)
    change = daily_change(
        (s.days, Scene.of(archive.load(s), archive.spacing, loss.wet)) for s in spans
    )
    return Calibration(loss, change)


def run(path: Path, watch: settings.Watch) -> settings.Made:
    """Train as a train.yaml says, and write the weights.

    Parameters
    ----------
    path : Path
        Of the train.yaml.
    watch : callable
        Takes the name and the number of steps of each phase as it starts, gives what is told of
        every step.

    Returns
    -------
    Made
        The weights' file and card.

    Raises
    ------
    ConfigError, HeldOut, NoValue, DeviceError, TrainingDiverged
    """
    asked = settings.load(path, Gaps)
    settings.check_devices([asked.schedule_of(phase) for phase in asked.phases])
    architecture = asked.architecture
    found = {"content": asked.content(asked.datasets_read), "network": asdict(architecture)}
    train = opened(asked, asked.train, architecture.steps)
    validation = opened(asked, asked.validation, architecture.steps)
    calibration = calibrate(train)
    torch.manual_seed(asked.schedule.seed)
    net = asked.begun(GDCM(architecture), asked.vocabulary)
    skill: dict[str, float] = {}
    commits: list[str] = []
    for phase in asked.phases:
        task = GapTask(net, asked, phase, train, validation, calibration)
        tell = watch(f"gdcm, {phase}", task.schedule.steps)
        folder = asked.checkpoints / phase
        told = asked.configuration_of(phase) | found
        done = loop.train(task, task.schedule, folder, told, tell)
        commits += done.commits
        skill |= {f"{phase}: {name}": value for name, value in done.scores.items()}
    return asked.kept(net, asked.vocabulary, skill, commits)
