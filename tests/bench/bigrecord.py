"""A record of 29 years in very many blocks, for benchmarks, written as a user would."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import xarray as xr

from fluxengine.declare import Arrays, Packing, PlainStage, Product, Read, Source, Variable
from fluxengine.grid import Grid, Halo, days, degrees

FIRST, LAST = date(1992, 1, 1), date(2020, 12, 31)
wind = Variable("wind", "m s-1", "wind speed", packing=Packing("i2", 0.01, 0, -32768))


@dataclass(frozen=True)
class Pass(PlainStage):
    """Hand the wind on."""

    reach: int = 0
    inputs: tuple[str, ...] = ("wind",)
    outputs: tuple[Variable, ...] = (wind,)

    @property
    def halo(self) -> Halo:
        """So many days and cells."""
        ends = (self.reach, self.reach)
        return Halo({"time": (self.reach, 0), "lat": ends, "lon": ends})

    def load(self) -> Callable[[Arrays], Arrays]:
        """Never called here."""
        return lambda arrays: arrays


def decode(path: Path, day: date) -> xr.Dataset:
    """Never called here."""
    raise NotImplementedError


def path_of(day: date) -> str:
    """Where a day would be."""
    return f"{day:%Y}/{day:%Y%m%d}.npy"


def chain() -> Product:
    """Build the source and the two products."""
    full = {"lat": degrees(-60, 60, 0.25), "lon": degrees(0, 360, 0.25, periodic=True)}
    tiles = {
        "lat": degrees(-60, 60, 0.25, block=30),
        "lon": degrees(0, 360, 0.25, block=58, periodic=True),
    }
    time_axis = days("1992-01-01", block=30)
    source = Source(
        "big-source", Grid(time=time_axis, **full), path_of, decode, (wind,), "big", "/nowhere",
        "Big", "nobody", "none", "none",
    )  # fmt: skip
    one = Product(
        "big-one", Grid(time=time_axis, **tiles), (Read(source, ("wind",)),), (Pass(),), (wind,)
    )
    return Product(
        "big-two", Grid(time=time_axis, **tiles), (Read(one, ("wind",)),), (Pass(2),), (wind,)
    )
