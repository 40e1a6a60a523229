"""Correction of bulk fluxes by a network: of the fluxes themselves, or of the wind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from fluxengine.declare import Array, Arrays, Variable
from fluxkernels.nets.cards import Head
from fluxkernels.nets.quantities import Vocabulary
from fluxrecipes import networks
from fluxrecipes import vocabulary as cf
from fluxrecipes.near_surface import relative_to_sea
from fluxrecipes.stages.plain import aligned
from fluxrecipes.stages.points import OF_PASS, PointStage, Reading, errors_of, of_pass
from fluxrecipes.standard_errors import error_of, systematic_error_of

if TYPE_CHECKING:
    from fluxkernels.nets.predict import Predictor

FIELDS = (
    cf.latent_heat_flux.name,
    cf.sensible_heat_flux.name,
    cf.sea_surface_temperature.name,
    cf.wind_speed.name,
    *(v.name for v in cf.NEAR_SURFACE),
)
CORRECTED_WIND = cf.wind_speed_corrected


@dataclass(frozen=True)
class _Corrects(PointStage):
    """What both kinds of correction share: what they look at, and that bulk fluxes are kept."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Fluxes and what they were computed from, the time of the pass and what was filled."""
        return (*FIELDS, *OF_PASS)

    def load(self) -> Callable[[Arrays], Arrays]:
        """Read the weights."""
        return partial(self._run, *self.predictor())

    def _run(self, run: Predictor, head: Head, arrays: Arrays) -> Arrays:
        fields = dict(zip(FIELDS, aligned(*(arrays[name] for name in FIELDS)), strict=True))
        first = fields[FIELDS[0]]
        given = self.held(fields)
        # Elsewhere training knows nothing: a field's edges would look otherwise than it saw them.
        there = np.isfinite(given[FIELDS[0]])
        given = {name: np.where(there, values, np.nan) for name, values in given.items()}
        sst, air, humidity = (given[name] for name in (FIELDS[2], *FIELDS[4:]))
        pair = relative_to_sea(sst, air, humidity)
        names = (networks.WARMTH.name, networks.DEFICIT.name)
        relative = dict(zip(names, pair, strict=True))
        read = self.read(run, head, first, given | relative | of_pass(arrays, first), there)
        bulk = {v.name: given[v.name.removesuffix("_bulk")] for v in cf.BULK_FLUXES}
        made = bulk | self.corrected(given, read)
        return {name: first.copy(data=values) for name, values in made.items()}

    def corrected(self, given: dict[str, Array], read: dict[str, Reading]) -> dict[str, Array]:
        """What is made of fields and of what the network says, by name."""
        raise NotImplementedError


@dataclass(frozen=True)
class CorrectFluxes(_Corrects):
    """Bulk fluxes plus what a network says is lacking.

    The bulk fluxes are kept under names of their own; the corrected ones take the plain names.

    Parameters
    ----------
    tells_errors : bool
        Whether the network's standard errors go with the fluxes. Those that follow from errors of
        wind and air are better known, where there are any: a report's flux errs by more than ours.
    """

    tells_errors: bool = True

    @property
    def outputs(self) -> tuple[Variable, ...]:
        """Bulk fluxes, corrected fluxes, and where asked for the standard errors of these."""
        errors = (of(flux) for flux in cf.FLUXES for of in (error_of, systematic_error_of))
        return (*cf.BULK_FLUXES, *cf.FLUXES, *(errors if self.tells_errors else ()))

    @property
    def vocabularies(self) -> tuple[Vocabulary, ...]:
        """A correction of fluxes."""
        return (networks.CORRECTION,)

    def corrected(self, given: dict[str, Array], read: dict[str, Reading]) -> dict[str, Array]:
        """Fluxes and their errors."""
        made: dict[str, Array] = {}
        for flux, quantity in zip(cf.FLUXES, networks.CORRECTION.outputs, strict=True):
            made |= _added(flux, given[flux.name], read[quantity.name])
        told = {variable.name for variable in self.outputs}
        return {name: values for name, values in made.items() if name in told}


@dataclass(frozen=True)
class CorrectWind(_Corrects):
    """Wind plus what a network says is lacking, for fluxes to be computed anew.

    The bulk fluxes of the wind as retrieved are kept under names of their own. Follow it with
    `fluxrecipes.stages.fluxes.BulkFlux` on the corrected wind.
    """

    @property
    def outputs(self) -> tuple[Variable, ...]:
        """Bulk fluxes, corrected wind, its standard error and the systematic part of this."""
        errors = (error_of(CORRECTED_WIND), systematic_error_of(CORRECTED_WIND))
        return (*cf.BULK_FLUXES, CORRECTED_WIND, *errors)

    @property
    def vocabularies(self) -> tuple[Vocabulary, ...]:
        """A correction of wind."""
        return (networks.WIND_CORRECTION,)

    def corrected(self, given: dict[str, Array], read: dict[str, Reading]) -> dict[str, Array]:
        """Wind and its errors."""
        return _added(CORRECTED_WIND, given[cf.wind_speed.name], read[networks.WIND_ERROR.name])


def _added(variable: Variable, given: Array, lacking: Reading) -> dict[str, Array]:
    """A value with its correction, held within its valid range, and the correction's errors."""
    assert variable.valid_range is not None
    error = np.where(np.isfinite(given), lacking.error, np.nan)
    return {
        variable.name: np.clip(given + lacking.mean, *variable.valid_range),
        **errors_of(variable, error, lacking.systematic),
    }
