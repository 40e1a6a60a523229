"""Standard errors of bulk fluxes, propagated from those of what they are computed from."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from fluxengine.declare import UNKEYED, Array, Arrays, Device, PlainStage, Shapes, Variable
from fluxkernels.nets.cards import ErrorModel
from fluxrecipes import vocabulary as cf
from fluxrecipes.stages.fluxes import choices
from fluxrecipes.stages.plain import aligned
from fluxrecipes.stages.points import error_within
from fluxrecipes.stages.residence import brought
from fluxrecipes.standard_errors import error_of, systematic_error_of

if TYPE_CHECKING:
    import xarray as xr

# Standard error, m s-1, by where the wind comes from, and the share of its variance that stays at a
# place. Assumed: errors are about what is published of passes against buoys, of reanalysis, and of
# gaps of a day or more; shares about what the simulated world has, where a satellite's bias is a
# third of its small error and hardly anything of what a gap costs. Validation is to replace them.
WIND_ERRORS = (
    (cf.OBSERVED, 1.0, 0.35),
    (cf.INTERPOLATED, 2.5, 0.05),
    (cf.PERSISTED, 3.0, 0.05),
    (cf.REANALYSIS, 1.7, 0.2),
    (cf.COMPLETED, 2.0, 0.1),
)
# How the rest fades: of gaps, in the simulated world. That of observed wind fades sooner.
WIND_STRUCTURE = ErrorModel(
    systematic=max(share for *_, share in WIND_ERRORS),
    days=0.75,
    kilometres=450.0,
    found="assumed, by where it comes from",
)
BY = ("wind_speed", "air_temperature", "specific_humidity")
_PARTS = (error_of, systematic_error_of)


@dataclass(frozen=True)
class ErrorsOfFluxes(PlainStage):
    """Standard errors of both fluxes, to first order, from errors taken as independent.

    Systematic parts are propagated by themselves, in the same way. That of sea surface temperature
    is left out: air is retrieved relative to it, so both err together.

    Parameters
    ----------
    algorithm : str
        As `fluxkernels.bulk.bulk_flux` names it.
    wind : Variable
        The wind that the fluxes rest on.
    wind_errors : tuple of (int, float, float)
        State of the wind, its standard error [m s-1], and the share of the variance of this that is
        systematic. Empty: the wind has a standard error of its own beside it, and its systematic
        part.
    device : {"cpu", "cuda"}
        Where it is computed, and where the errors stay.
    """

    algorithm: str = "coare36"
    wind: Variable = cf.wind_speed
    wind_errors: tuple[tuple[int, float, float], ...] = WIND_ERRORS
    device: Device = field(default="cpu", metadata=UNKEYED)

    @property
    def inputs(self) -> tuple[str, ...]:
        """What the fluxes rest on, and the errors of it."""
        errors = (of(v).name for of in _PARTS for v in cf.NEAR_SURFACE)
        return (*self._observed, *errors, *self._of_wind)

    @property
    def outputs(self) -> tuple[Variable, ...]:
        """The standard errors and their systematic parts."""
        return tuple(of(flux) for flux in cf.FLUXES for of in _PARTS)

    @property
    def _observed(self) -> tuple[str, ...]:
        return (self.wind.name, "sea_surface_temperature", *(v.name for v in cf.NEAR_SURFACE))

    @property
    def _of_wind(self) -> tuple[str, ...]:
        if self.wind_errors:
            return (f"{cf.wind_speed.name}_state",)
        return tuple(of(self.wind).name for of in _PARTS)

    def memory(self, inputs: Shapes) -> int:
        """Inputs in double precision, two slopes for each of three, and one evaluation."""
        return 3 * super().memory(inputs)

    def load(self) -> Callable[[Arrays], Arrays]:
        """Compile the kernel."""
        from fluxkernels.derivatives import bulk_flux_derivatives

        def propagate(arrays: Arrays) -> Arrays:
            fields = aligned(*(arrays[name] for name in self.inputs))
            wind, held = fields[0], [brought(given.data, self.device) for given in fields]
            how = choices(wind, self.algorithm, self.device)
            taken, whole = _known(held[: len(self._observed)]) if self.device == "cpu" else _ALL
            how["latitude"] = taken(how["latitude"])
            held = [taken(values) for values in held]
            observed, errors = held[: len(self._observed)], held[len(self._observed) :]
            slopes = bulk_flux_derivatives(*observed, by=BY, **how)
            of_wind = self._wind_errors(errors[4:])
            made: dict[str, xr.DataArray] = {}
            for flux, name in zip(cf.FLUXES, ("sensible", "latent"), strict=True):
                by = [getattr(slopes[quantity], name) for quantity in BY]
                total = _propagated(by, (of_wind[0], *errors[0:2]))
                total = error_within(error_of(flux), total)
                systematic = np.minimum(_propagated(by, (of_wind[1], *errors[2:4])), total)
                pair = zip(_PARTS, (total, systematic), strict=True)
                made |= {of(flux).name: wind.copy(data=whole(values)) for of, values in pair}
            return made

        return propagate

    def _wind_errors(self, given: list[Array]) -> tuple[Array, Array]:
        """Of the wind, total and systematic: by its states, or as given."""
        if not self.wind_errors:
            total, systematic = given
            return total, systematic
        table = np.full((2, 256), np.nan)
        for state, error, share in self.wind_errors:
            table[:, state] = error, error * math.sqrt(share)
        known = brought(table, self.device)
        return known[0, given[0]], known[1, given[0]]


def _as_it_is(values: Array) -> Array:
    return values


_ALL = _as_it_is, _as_it_is


def _known(observed: Sequence[Array]) -> tuple[Callable[[Array], Array], Callable[[Array], Array]]:
    """What takes cells where all is known out of an array, and what puts them back among NaN.

    A third of the cells is land. On a GPU choosing would cost more than it saves.
    """
    there = np.logical_and.reduce([np.isfinite(values) for values in observed])

    def taken(values: Array) -> Array:
        chosen: Array = np.broadcast_to(values, there.shape)[there]
        return chosen

    def whole(values: Array) -> Array:
        made = np.full(there.shape, np.nan, values.dtype)
        made[there] = values
        return made

    return taken, whole


def _propagated(slopes: Sequence[Array], errors: Sequence[Array]) -> Array:
    """Error of a flux: the root of the sum of squares of what each error makes of it."""
    squares = (np.square(slope * error) for slope, error in zip(slopes, errors, strict=True))
    error: Array = np.sqrt(sum(squares))
    return error


def of_fluxes(wind: ErrorModel, air: ErrorModel, humidity: ErrorModel) -> ErrorModel:
    """What is known of propagated errors: their random part lasts as long as the longest of three.

    Which of them weighs most differs from cell to cell; so no mean is told too sure. What is not
    known to be random has no part in it, and the share of what is systematic is no single number.
    """
    known = [one for one in (wind, air, humidity) if one.systematic is not None]
    return ErrorModel(
        days=_longest([one.days for one in known]),
        kilometres=_longest([one.kilometres for one in known]),
        found=f"propagated from those of wind ({wind.found}), air temperature ({air.found}) and"
        f" humidity ({humidity.found})",
    )


def _longest(lengths: Sequence[float | None]) -> float | None:
    """None where one is not known, for it may be longer."""
    told = [one for one in lengths if one is not None]
    return max(told) if told and len(told) == len(lengths) else None
