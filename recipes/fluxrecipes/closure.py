"""The gate of closure, apart from the others: it rests on the bulk algorithm, and they do not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fluxengine.declare import Array, Arrays, Variable
from fluxrecipes import vocabulary as cf
from fluxrecipes.stages.fluxes import BulkFlux

UNCLOSED_SHARE = 0.001  # of the cells looked at: on a threshold of the algorithm a flux may jump


@dataclass(frozen=True)
class Closure:
    """Bulk fluxes follow from what is published beside them, as well as it is stored.

    Parameters
    ----------
    algorithm : str
        As `fluxkernels.bulk.bulk_flux` names it.
    fluxes : tuple of Variable
        The sensible and the latent one.
    wind : Variable
        The wind that they rest on.
    every : int
        Of the rows and columns one in so many is looked at.
    """

    algorithm: str = "coare36"
    fluxes: tuple[Variable, ...] = cf.FLUXES
    wind: Variable = cf.wind_speed
    every: int = 5

    def __call__(self, block: Arrays, published: tuple[Variable, ...]) -> str | None:
        """None if they do, else in how many cells they do not."""
        bulk = BulkFlux(self.algorithm)
        rests_on = (self.wind, cf.sea_surface_temperature, *cf.NEAR_SURFACE)
        part = slice(self.every // 2, None, self.every)
        stored = {}
        for name, variable in zip(bulk.inputs, rests_on, strict=True):
            few = block[variable.name].isel(lat=part, lon=part)
            raw = variable.packing.pack(few.values, variable.name)
            stored[name] = few.copy(data=variable.packing.unpack(raw))
        again = bulk.load()(stored)
        for flux, made in zip(self.fluxes, bulk.outputs, strict=True):
            given = block[flux.name].isel(lat=part, lon=part).values
            wrong = _unlike(given, again[made.name].values)
            if wrong > UNCLOSED_SHARE * max(1, int(np.isfinite(given).sum())):
                return (
                    f"{flux.name} does not follow from wind, SST, air and humidity in {wrong} of"
                    f" {given.size} cells looked at."
                )
        return None


def _unlike(fluxes: Array, again: Array) -> int:
    """Cells that differ by more than rounding can make them, or have a value in one only."""
    apart = np.abs(fluxes - again) > 0.5 + 0.01 * np.abs(again)
    return int((apart | (np.isfinite(fluxes) != np.isfinite(again))).sum())
