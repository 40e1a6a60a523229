"""Standard errors of bulk fluxes, propagated from those of what they are computed from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fluxengine.declare import Array, Arrays, PlainStage, Shapes, Variable
from fluxrecipes import vocabulary as cf
from fluxrecipes.stages.fluxes import choices
from fluxrecipes.stages.plain import aligned
from fluxrecipes.stages.points import error_within

# m s-1, by where the wind comes from. Assumed: about what is published of passes against buoys, of
# reanalysis, and of gaps of a day or more; they are to be replaced by what validation finds.
WIND_ERRORS = (
    (cf.OBSERVED, 1.0),
    (cf.INTERPOLATED, 2.5),
    (cf.PERSISTED, 3.0),
    (cf.REANALYSIS, 1.7),
    (cf.COMPLETED, 2.0),
)
BY = ("wind_speed", "air_temperature", "specific_humidity")


@dataclass(frozen=True)
class ErrorsOfFluxes(PlainStage):
    """Standard errors of both fluxes, to first order, from errors taken as independent.

    That of sea surface temperature is left out: air is retrieved relative to it, so both err
    together.

    Parameters
    ----------
    algorithm : str
        As `fluxkernels.bulk.bulk_flux` names it.
    wind : Variable
        The wind that the fluxes rest on.
    wind_errors : tuple of (int, float)
        State of the wind and its standard error [m s-1]. Empty: the wind has a standard error of
        its own beside it.
    """

    algorithm: str = "coare36"
    wind: Variable = cf.wind_speed
    wind_errors: tuple[tuple[int, float], ...] = WIND_ERRORS

    @property
    def inputs(self) -> tuple[str, ...]:
        """What the fluxes rest on, and the errors of it."""
        errors = (cf.error_of(v).name for v in cf.NEAR_SURFACE)
        return (*self._observed, *errors, self._of_wind)

    @property
    def outputs(self) -> tuple[Variable, ...]:
        """The standard errors."""
        return tuple(cf.error_of(flux) for flux in cf.FLUXES)

    @property
    def _observed(self) -> tuple[str, ...]:
        return (self.wind.name, "sea_surface_temperature", *(v.name for v in cf.NEAR_SURFACE))

    @property
    def _of_wind(self) -> str:
        return f"{cf.wind_speed.name}_state" if self.wind_errors else cf.error_of(self.wind).name

    def memory(self, inputs: Shapes) -> int:
        """Inputs in double precision, two slopes for each of three, and one evaluation."""
        return 3 * super().memory(inputs)

    def load(self) -> Callable[[Arrays], Arrays]:
        """Compile the kernel."""
        from fluxkernels.derivatives import bulk_flux_derivatives

        def errors(arrays: Arrays) -> Arrays:
            fields = aligned(*(arrays[name] for name in self.inputs))
            wind, sst, air, humidity, air_error, humidity_error, of_wind = fields
            observed = (values.values for values in (wind, sst, air, humidity))
            slopes = bulk_flux_derivatives(*observed, by=BY, **choices(wind, self.algorithm))
            given = (self._wind_error(of_wind.values), air_error.values, humidity_error.values)
            made = {}
            for flux, name in zip(cf.FLUXES, ("sensible", "latent"), strict=True):
                parts = [
                    np.square(getattr(slopes[by], name) * error)
                    for by, error in zip(BY, given, strict=True)
                ]
                error = cf.error_of(flux)
                total = error_within(error, np.sqrt(sum(parts)))
                made[error.name] = wind.copy(data=total)
            return made

        return errors

    def _wind_error(self, given: Array) -> Array:
        """Of the states of the wind, or as given."""
        if not self.wind_errors:
            return given
        table = np.full(256, np.nan)
        for state, error in self.wind_errors:
            table[state] = error
        return np.asarray(table[given])
