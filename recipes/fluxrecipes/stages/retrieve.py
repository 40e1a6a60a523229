"""Retrieval of near-surface air temperature and humidity."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fluxengine.declare import Arrays, PlainStage, Variable
from fluxkernels.regression import QuadraticRegression
from fluxrecipes import vocabulary as cf
from fluxrecipes.shipped import SHIPPED as SHIPPED
from fluxrecipes.stages.plain import aligned


def read_regression(path: Path) -> QuadraticRegression:
    """The regression in a weights file, which holds JSON with a card of its making."""
    stored = json.loads(path.read_text(encoding="utf-8"))["coefficients"]
    return QuadraticRegression(**{name: tuple(values) for name, values in stored.items()})


@dataclass(frozen=True)
class RetrieveByRegression(PlainStage):
    """Baseline retrieval of air temperature and humidity from wind, vapour and SST.

    Parameters
    ----------
    model : Path
        Weights file of a `fluxkernels.regression.QuadraticRegression`: the name of one that comes
        with this package, or a whole path that every worker reaches.
    """

    model: Path
    inputs: tuple[str, ...] = ("wind_speed", "water_vapour", "sea_surface_temperature")
    outputs: tuple[Variable, ...] = cf.NEAR_SURFACE

    @property
    def weights(self) -> tuple[Path, ...]:
        """The regression's coefficients."""
        return (SHIPPED / self.model,)

    def load(self) -> Callable[[Arrays], Arrays]:
        """Read the coefficients."""
        regression = read_regression(SHIPPED / self.model)

        def retrieve(arrays: Arrays) -> Arrays:
            wind, vapour, sst = aligned(*(arrays[name] for name in self.inputs))
            near_surface = regression.predict(wind.values, vapour.values, sst.values)
            pairs = zip(self.outputs, near_surface, strict=True)
            return {variable.name: wind.copy(data=values) for variable, values in pairs}

        return retrieve
