"""A record whose blocks take a while: by waiting, or by computing, for benchmarks of clusters."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import xarray as xr

from fluxengine.declare import Arrays, PlainStage, Product, Read, Source, Variable
from fluxengine.grid import Grid, counts, static

value = Variable("value", "1", "value")
SEED = Grid(static=static(), x=counts(0, 4))


def path_of(key: str) -> str:
    """One file for all."""
    return "seed.txt"


def decode(path: Path, key: str) -> xr.Dataset:
    """Four numbers."""
    return xr.Dataset({"value": (("static", "x"), np.ones((1, 4), "f4"))})


@dataclass(frozen=True)
class Busy(PlainStage):
    """One number for each cell of the block, after so many seconds of waiting or computing."""

    wait: float = 0.0
    compute: float = 0.0
    number: int = 1
    inputs: tuple[str, ...] = ("value",)
    outputs: tuple[Variable, ...] = (Variable("made", "1", "made"),)

    def load(self) -> Callable[[Arrays], Arrays]:
        """The stage's function."""

        def busy(arrays: Arrays) -> Arrays:
            time.sleep(self.wait)
            end = time.thread_time() + self.compute
            values = np.ones(50_000)
            while time.thread_time() < end:
                values = np.sqrt(values + 1.0)
            made = np.full(self.number, values[0])
            return {"made": xr.DataArray(made, dims=("task",), coords={"task": range(self.number)})}

        return busy


SOURCE = Source(
    "seed", SEED, path_of, decode, (value,), "seed", "/nowhere", "Seed", "nobody", "none", "none"
)


def product(blocks: int, *, wait: float = 0.0, compute: float = 0.0) -> Product:
    """So many blocks, each of one cell."""
    stage = Busy(wait, compute, blocks)
    grid = Grid(task=counts(0, blocks, block=1))
    return Product("busy", grid, (Read(SOURCE, ("value",)),), (stage,), stage.outputs)


def today() -> date:
    """Any day: nothing here has a time axis."""
    return date(2020, 1, 1)
