"""Retrieval of near-surface air temperature and humidity."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fluxengine.declare import Arrays, Variable
from fluxrecipes import vocabulary as cf
from fluxrecipes.stages.plain import PlainStage, aligned


@dataclass(frozen=True)
class RetrieveByRegression(PlainStage):
    """Baseline retrieval of air temperature and humidity from wind, vapour and SST.

    Parameters
    ----------
    model : Path
        Weights file of a `fluxkernels.regression.QuadraticRegression`.
    """

    model: Path
    inputs: tuple[str, ...] = ("wind_speed", "water_vapour", "sea_surface_temperature")
    outputs: tuple[Variable, ...] = cf.NEAR_SURFACE

    @property
    def weights(self) -> tuple[Path, ...]:
        """The regression's coefficients."""
        return (self.model,)

    def load(self) -> Callable[[Arrays], Arrays]:
        """Read the coefficients."""
        from fluxkernels.regression import QuadraticRegression

        regression = QuadraticRegression.load(self.model)

        def retrieve(arrays: Arrays) -> Arrays:
            wind, vapour, sst = aligned(*(arrays[name] for name in self.inputs))
            near_surface = regression.predict(wind.values, vapour.values, sst.values)
            pairs = zip(self.outputs, near_surface, strict=True)
            return {variable.name: wind.copy(data=values) for variable, values in pairs}

        return retrieve
