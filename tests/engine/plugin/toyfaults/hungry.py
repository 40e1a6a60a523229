"""A product whose stage needs memory for every step that it is given at once."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel
from toyfields.products import PUBLISHED, axes
from toyfields.source import ORBITS, PASSES
from toyfields.stages import Coarsen, coarse_wind, wind_state

from fluxengine.declare import Arrays, PlainStage, Product, Read, Variable
from fluxengine.grid import Grid

HELD = 1.5  # seconds that the memory is held, so that whoever watches it can see


class Options(BaseModel, extra="forbid", frozen=True):
    """The science choices."""

    mib: int = 0
    at_most: int = 1_000


@dataclass(frozen=True)
class Hungry(PlainStage):
    """Passes the wind on. Fills `mib` MiB a step; refuses more than `at_most` steps at once."""

    mib: int
    at_most: int
    inputs: tuple[str, ...] = ("wind", "wind_state")
    outputs: tuple[Variable, ...] = (coarse_wind, wind_state)

    def load(self) -> Callable[[Arrays], Arrays]:
        def eat(arrays: Arrays) -> Arrays:
            steps = arrays["wind"].sizes["time"]
            if steps > self.at_most:
                raise MemoryError(f"{steps} steps at once")
            if self.mib:
                held = np.ones(steps * self.mib << 17)
                time.sleep(HELD)
                assert held[-1] == 1.0
            return arrays

        return eat


def hungry(o: Options) -> Product:
    """Coarser fields, at a price."""
    time, lat, lon = axes(4).values()
    return Product(
        "toy-hungry",
        Grid(time=time, orbit=ORBITS, lat=lat, lon=lon),
        reads=(Read(PASSES, ("wind", "wind_flag")),),
        stages=(Coarsen(), Hungry(o.mib, o.at_most)),
        publishes=PUBLISHED,
        title="Hungry toy wind",
    )
