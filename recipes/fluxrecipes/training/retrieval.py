"""Training of the retrieval of near-surface air: ``fluxforge train mpfnet``.

First on a reanalysis, from whose complete fields the net learns what wind, vapour and SST tell of
the air; then on matchups of completed satellite fields with reports from the sea. Both phases learn
air relative to the sea of the SST analysis, which stands in the place of the real one when the net
is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, Field, field_validator

from fluxkernels.nets.mpfnet import MPFNet
from fluxkernels.nets.vocabulary import Vocabulary
from fluxrecipes import networks
from fluxrecipes.matchups.by_month import TABLE
from fluxrecipes.matchups.matching import Matchups
from fluxrecipes.near_surface import relative_to_sea
from fluxrecipes.training import loop, matched, scenes, settings
from fluxrecipes.training.calibration import calibrated
from fluxrecipes.training.labelled import Labels, OfFields, OfMatchups, at_cells
from fluxrecipes.training.matched import Matched, Split
from fluxrecipes.training.points import Task
from fluxrecipes.training.scenes import Scene
from fluxrecipes.training.settings import Made, Watch

Phase = Literal["reanalysis", "matchups"]
OF_MATCHUPS = ("finetune", "matchups", "errors")  # keys that the first phase knows nothing of


class Finetune(BaseModel, extra="forbid", frozen=True):
    """The second phase, on matchups."""

    schedule: loop.Schedule = Field(
        description="device, precision, threads and seed: those of the first phase, if not told"
    )
    batch: int = Field(8, ge=1, description="passes a step")


class Retrieval(Matched, extra="forbid", frozen=True):
    """A train.yaml of ``fluxforge train mpfnet``."""

    batch: int = Field(2, ge=1, description="passes a step, of the reanalysis")
    cells: int = Field(1000, ge=1, description="cells that are read of each pass")
    finetune: Finetune | None = None
    predictors: tuple[str, ...] = Field(
        (),
        description="what the net is told, such as [wind_speed, water_vapour], to see what each is"
        " worth: `fluxforge validate` takes such weights, the record does not; none: all",
    )

    @field_validator("predictors")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        all_of_them = [one.name for one in networks.RETRIEVAL.predictors]
        if strange := [name for name in names if name not in all_of_them]:
            raise ValueError(
                f"there is no predictor {', '.join(strange)}; there are {', '.join(all_of_them)}"
            )
        return names

    @property
    def vocabulary(self) -> Vocabulary:
        """What the net takes and gives."""
        told, whole = self.predictors, networks.RETRIEVAL
        chosen = tuple(one for one in whole.predictors if not told or one.name in told)
        return replace(whole, predictors=chosen)

    @property
    def schedules(self) -> tuple[loop.Schedule, ...]:
        """Of the phases, in turn."""
        return (self.schedule, *((self.finetune.schedule,) if self.finetune else ()))

    def datasets_read(self, phase: Phase) -> tuple[str, ...]:
        """Names of all that a phase's outcome rests on."""
        names = self.datasets
        if phase == "reanalysis":
            return (names.reanalysis,)
        return (names.reanalysis, names.filled, names.merged, names.sst, TABLE)

    def configuration_of(self, phase: Phase) -> dict[str, Any]:
        """All that a phase's outcome depends on beside its own schedule."""
        told = self.configuration | {"phase": phase}
        if phase == "reanalysis":  # what comes after it may be changed without doing it again
            return {name: one for name, one in told.items() if name not in OF_MATCHUPS}
        return told | {"before": self.schedule.model_dump(mode="json")}


def label(scene: Scene, day: int, some: Matchups) -> Labels:
    """Reported air relative to the analysed sea."""
    sst = at_cells(scene, networks.SST, day, some)
    return np.stack(relative_to_sea(sst, some.air_temperature, some.specific_humidity), axis=1)


def pretraining(net: MPFNet, asked: Retrieval, parts: Mapping[str, scenes.Scenes]) -> Task:
    """The first phase: random cells of the reanalysis, whose labels count as exact.

    Parameters
    ----------
    net : MPFNet
    asked : Retrieval
    parts : mapping of str to Scenes
        ``train`` and ``validation``.
    """
    sources = {
        name: OfFields(one, asked.vocabulary, asked.cells, asked.orbits)
        for name, one in parts.items()
    }
    return Task(
        net,
        asked.vocabulary,
        sources["train"],
        sources["validation"],
        batch=asked.batch,
        stay=asked.stay,
        checks=asked.checks,
        seed=asked.schedule.seed,
    )


def finetuning(
    net: MPFNet,
    asked: Retrieval,
    second: Finetune,
    parts: Mapping[str, scenes.Scenes],
    split: Split,
) -> Task:
    """The second phase: cells of completed passes with a report.

    Raises
    ------
    NoMatchups
        FF721: none of them is of days that were completed.
    """
    known = np.ones(len(split.train), bool)
    vocabulary, tells = asked.vocabulary, (label, asked.errors.of_air)
    return Task(
        net,
        vocabulary,
        OfMatchups(parts["train"], vocabulary, split.train, *tells, known),
        OfMatchups(parts["validation"], vocabulary, split.validation, *tells, split.met),
        batch=second.batch,
        stay=asked.stay,
        checks=asked.checks,
        seed=second.schedule.seed,
    )


def opened(asked: Retrieval, phase: Phase) -> dict[str, scenes.Scenes]:
    """What a phase reads, for training and for validation.

    Raises
    ------
    ConfigError, NotOurStore, UnknownName
    """
    names, history = asked.all_located(asked.datasets), asked.net.history
    found = {}
    for role, periods in (("train", asked.train), ("validation", asked.validation)):
        if phase == "reanalysis":
            name = names["reanalysis"]
            found[role] = scenes.reanalysis(asked.place, name, periods, history, asked.blocks)
        else:
            found[role] = scenes.completed(asked.place, names, periods, history, asked.blocks)
    return found


def run(path: Path, watch: Watch) -> Made:
    """Train as a train.yaml says, and write the weights.

    Parameters
    ----------
    path : Path
        Of the train.yaml.
    watch : callable
        See `settings.Watch`.

    Raises
    ------
    ConfigError, HeldOut, NoValue, NoMatchups, DeviceError, TrainingDiverged
    """
    asked = settings.load(path, Retrieval)
    settings.check_devices(asked.schedules)
    second = asked.finetune
    content = asked.content(asked.datasets_read("matchups" if second else "reanalysis"))
    parts = opened(asked, "reanalysis")
    split = matched.found(asked) if second else None  # what lacks is told before hours of training
    torch.manual_seed(asked.schedule.seed)
    net = asked.begun(asked.net.built(asked.vocabulary, parts["train"]), asked.vocabulary)
    phases: list[tuple[Phase, Task, loop.Schedule]] = [
        ("reanalysis", pretraining(net, asked, parts), asked.schedule)
    ]
    if second is not None and split is not None:
        task = finetuning(net, asked, second, opened(asked, "matchups"), split)
        phases.append(("matchups", task, second.schedule))
    skill: dict[str, float] = {}
    commits: list[str] = []
    for phase, task, schedule in phases:
        tell = watch(f"mpfnet, {phase}", schedule.steps)
        read = {name: content[name] for name in asked.datasets_read(phase)}
        told = asked.configuration_of(phase) | {"content": read, "network": asdict(net.settings)}
        done = loop.train(task, schedule, asked.checkpoints / phase, told, tell)
        task.release()
        commits += done.commits
        skill |= {f"{phase}: {name}": value for name, value in done.scores.items()}
    errors = calibrated(phases[-1][1])
    return asked.kept(net, asked.vocabulary, skill, commits, asked.orbit, errors)
