"""The daily 1° record of 29 years and a product that only copies it, for benchmarks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np
import xarray as xr

from fluxengine.declare import (
    Arrays,
    Packing,
    PlainStage,
    Product,
    Read,
    Source,
    Variable,
    flag_variable,
)
from fluxengine.grid import Grid, days, degrees

PACKED = Packing("i2", 0.01, 0, -32768)
FIELDS = tuple(Variable(f"field{k}", "1", f"field {k}", packing=PACKED) for k in range(8))
FLAGS = tuple(flag_variable(f"state{k}", f"state {k}", {2: "valid", 3: "filled"}) for k in range(2))
VARIABLES = (*FIELDS, *FLAGS)
GRID = Grid(
    time=days("1992-01-01", block=30),
    lat=degrees(-60, 60, 1, chunk=30),
    lon=degrees(0, 360, 1, chunk=60, periodic=True),
)


@dataclass(frozen=True)
class Copy(PlainStage):
    """Hand on what it is given."""

    inputs: tuple[str, ...] = tuple(v.name for v in VARIABLES)
    outputs: tuple[Variable, ...] = field(default=VARIABLES)

    def load(self) -> Callable[[Arrays], Arrays]:
        """The stage's function."""
        return dict


def path_of(day: date) -> str:
    """Where a day is."""
    return f"{day:%Y/%Y%m%d}.npz"


def decode(path: Path, day: date) -> xr.Dataset:
    """One day: each field is a smooth wave with noise of a tenth of a unit."""
    seed = np.load(path)
    random = np.random.default_rng(int(seed["day"]))
    lat, lon = GRID.axes["lat"].coordinate(), GRID.axes["lon"].coordinate()
    made = {}
    for at, variable in enumerate(FIELDS):
        wave = np.cos(np.deg2rad(lat))[:, None] * np.sin(np.deg2rad(lon + 9 * at))[None, :]
        values = 1000 * wave + random.normal(0, 10, wave.shape)
        attrs = {"scale_factor": 0.01, "add_offset": 0.0, "_FillValue": -32768}
        made[variable.name] = (GRID.dims, values[np.newaxis].astype("i2"), attrs)
    for variable in FLAGS:
        codes = random.choice([2, 3], wave.shape, p=[0.9, 0.1]).astype("u1")
        made[variable.name] = (GRID.dims, codes[np.newaxis], {"_FillValue": 0})
    return xr.Dataset(made)


DAILY = Source(
    "days", GRID, path_of, decode, VARIABLES, "days", "/nowhere", "Days", "nobody", "none", "none"
)
COPY = Product(
    "copy",
    GRID,
    reads=(Read(DAILY, tuple(v.name for v in VARIABLES)),),
    stages=(Copy(),),
    publishes=VARIABLES,
)
