"""Training of the correction of bulk fluxes: ``fluxforge train correction``.

The net learns what the bulk fluxes of the passes lack against those of reports from the sea; or, by
choice, what the satellites' wind lacks, from which most of it comes: then the fluxes are computed
anew, and stay those of a bulk algorithm.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import Field

from fluxkernels.nets.mpfnet import MPFNet
from fluxkernels.nets.vocabulary import Vocabulary
from fluxrecipes import networks
from fluxrecipes.matchups.by_month import TABLE
from fluxrecipes.matchups.matching import Matchups
from fluxrecipes.training import loop, matched, scenes, settings
from fluxrecipes.training.calibration import calibrated
from fluxrecipes.training.labelled import Doubt, Label, Labels, OfMatchups, at_cells
from fluxrecipes.training.matched import Matched, Split
from fluxrecipes.training.points import Task
from fluxrecipes.training.scenes import Scene, Scenes
from fluxrecipes.training.settings import Made, Watch


class Correction(Matched, extra="forbid", frozen=True):
    """A train.yaml of ``fluxforge train correction``."""

    corrects: Literal["fluxes", "wind"] = Field("fluxes", description="what the net adds to")
    batch: int = Field(8, ge=1, description="passes a step")

    @property
    def vocabulary(self) -> Vocabulary:
        """What the net takes and gives."""
        return networks.CORRECTION if self.corrects == "fluxes" else networks.WIND_CORRECTION

    @property
    def doubt(self) -> Doubt:
        """How much of what is to be learned is the reports' own error."""
        return self.errors.of_fluxes if self.corrects == "fluxes" else self.errors.of_wind

    @property
    def label(self) -> Label:
        """What is to be learned."""
        return lacking_flux if self.corrects == "fluxes" else lacking_wind


def lacking_flux(scene: Scene, day: int, some: Matchups) -> Labels:
    """Flux of the report less that of the pass: sensible, latent."""
    pairs = (
        (some.sensible_heat_flux, networks.SENSIBLE),
        (some.latent_heat_flux, networks.LATENT),
    )
    return np.stack([told - at_cells(scene, q, day, some) for told, q in pairs], axis=1)


def lacking_wind(scene: Scene, day: int, some: Matchups) -> Labels:
    """Equivalent neutral wind of the report less that of the pass."""
    return (some.neutral_wind - at_cells(scene, networks.WIND, day, some))[:, None]


def task(net: MPFNet, asked: Correction, train: Scenes, validation: Scenes, split: Split) -> Task:
    """What the training loop asks.

    Raises
    ------
    NoMatchups
        FF721: none of the matchups is of days that have fluxes.
    """
    vocabulary, known = asked.vocabulary, np.ones(len(split.train), bool)
    tells = asked.label, asked.doubt
    return Task(
        net,
        vocabulary,
        OfMatchups(train, vocabulary, split.train, *tells, known),
        OfMatchups(validation, vocabulary, split.validation, *tells, split.met),
        batch=asked.batch,
        stay=asked.stay,
        checks=asked.checks,
        seed=asked.schedule.seed,
    )


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
    asked = settings.load(path, Correction)
    settings.check_devices([asked.schedule])
    read = (asked.datasets.filled, asked.datasets.merged, asked.datasets.passes, TABLE)
    content = asked.content(read)
    names, history = asked.all_located(asked.datasets), asked.net.history
    train, validation = (
        scenes.fluxes(asked.place, names, periods, history, asked.blocks)
        for periods in (asked.train, asked.validation)
    )
    split = matched.found(asked)
    torch.manual_seed(asked.schedule.seed)
    net = asked.begun(asked.net.built(asked.vocabulary, train), asked.vocabulary)
    learned = task(net, asked, train, validation, split)
    tell = watch(f"correction of {asked.corrects}", asked.schedule.steps)
    told = asked.configuration | {"content": content, "network": asdict(net.settings)}
    done = loop.train(learned, asked.schedule, asked.checkpoints, told, tell)
    errors = calibrated(learned)
    return asked.kept(net, asked.vocabulary, done.scores, done.commits, asked.orbit, errors)
