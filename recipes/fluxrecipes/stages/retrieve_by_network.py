"""Retrieval of near-surface air temperature and humidity by a network, with their errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from fluxengine.declare import Arrays, Variable
from fluxkernels.nets.cards import Head
from fluxkernels.nets.quantities import Vocabulary
from fluxrecipes import networks
from fluxrecipes import vocabulary as cf
from fluxrecipes.near_surface import from_sea
from fluxrecipes.stages.plain import aligned
from fluxrecipes.stages.points import OF_PASS, PointStage, errors_of, of_pass
from fluxrecipes.standard_errors import error_of, systematic_error_of

if TYPE_CHECKING:
    from fluxkernels.nets.predict import Predictor

AIR, HUMIDITY = cf.NEAR_SURFACE
NEEDED = ("wind_speed", "water_vapour", "sea_surface_temperature")  # else there is no flux


@dataclass(frozen=True)
class RetrieveByMPFNet(PointStage):
    """Air temperature and specific humidity by an MPFNet.

    It gives the air relative to the sea, as a Gaussian. Humidity is held below saturation. Standard
    errors are the network's, calibrated as its card says, and leave out that of the sea surface
    temperature. There is a value where wind, vapour and SST have one; cloud and rain may be
    missing.
    """

    @property
    def inputs(self) -> tuple[str, ...]:
        """Microwave fields, SST, the time of the pass and what was filled."""
        return (*(v.name for v in cf.MICROWAVE), NEEDED[2], *OF_PASS)

    @property
    def outputs(self) -> tuple[Variable, ...]:
        """Both, with their standard errors and the systematic parts of these."""
        errors = (of(v) for v in cf.NEAR_SURFACE for of in (error_of, systematic_error_of))
        return (*cf.NEAR_SURFACE, *errors)

    @property
    def vocabularies(self) -> tuple[Vocabulary, ...]:
        """Of the retrieval."""
        return (networks.RETRIEVAL,)

    def load(self) -> Callable[[Arrays], Arrays]:
        """Read the weights."""
        return partial(self._run, *self.predictor())

    def _run(self, run: Predictor, head: Head, arrays: Arrays) -> Arrays:
        names = (*(v.name for v in cf.MICROWAVE), NEEDED[2])
        fields = dict(zip(names, aligned(*(arrays[name] for name in names)), strict=True))
        first = fields[names[0]]
        given = self.held(fields)
        wind, vapour, sst = (given[name] for name in NEEDED)
        there = np.isfinite(wind) & np.isfinite(vapour) & np.isfinite(sst)
        read = self.read(run, head, first, given | of_pass(arrays, first), there)
        warmth, deficit = (read[quantity.name] for quantity in networks.RETRIEVAL.outputs)
        air, humidity = from_sea(np.where(there, sst, np.nan), warmth.mean, deficit.mean)
        made = dict(zip((AIR.name, HUMIDITY.name), (air, humidity), strict=True))
        for variable, reading in zip(cf.NEAR_SURFACE, (warmth, deficit), strict=True):
            error = np.where(there, reading.error, np.nan)
            made |= errors_of(variable, error, reading.systematic)
        return {name: first.copy(data=values) for name, values in made.items()}
