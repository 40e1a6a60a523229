"""Twenty-nine years of daily 1° maps and three cheap products of them, written as a user would."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
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
from fluxengine.grid import Grid, Halo, days, degrees
from fluxengine.stand import Request
from fluxengine.store import Store

FIRST, LAST = date(1992, 1, 1), date(2020, 12, 31)
DAYS = (LAST - FIRST).days + 1
TIME = days("1992-01-01", block=30)
MAP = {
    "lat": degrees(-60, 60, 1, chunk=30),
    "lon": degrees(0, 360, 1, chunk=60, periodic=True),
}
GRID = Grid(time=TIME, **MAP)
wind = Variable("wind", "m s-1", "wind", packing=Packing("i2", 0.01, 0, -32768))
state = flag_variable("state", "what it is", {2: "valid"})
PATTERN = np.random.default_rng(0).integers(200, 2000, (120, 360)).astype("i2")


def path_of(day: date) -> str:
    """Where a day is."""
    return f"{day:%Y/%Y%m%d}.txt"


def decode(path: Path, day: date) -> xr.Dataset:
    """The pattern, moved and raised by the number in the file."""
    number = int(path.read_text())
    values = np.roll(PATTERN, number, axis=1) + np.int16(number % 100)
    packing = {"scale_factor": 0.01, "add_offset": 0.0, "_FillValue": -32768}
    flags = np.full((1, *values.shape), 2, "u1")
    return xr.Dataset(
        {
            "wind": (GRID.dims, values[np.newaxis], packing),
            "state": (GRID.dims, flags, {"_FillValue": 0}),
        }
    )


@dataclass(frozen=True)
class Same(PlainStage):
    """Hand on what is given."""

    inputs: tuple[str, ...] = ("wind", "state")
    outputs: tuple[Variable, ...] = (wind, state)

    def load(self) -> Callable[[Arrays], Arrays]:
        """The stage's function."""
        return dict


@dataclass(frozen=True)
class Before(PlainStage):
    """Mean of a day and the six before."""

    inputs: tuple[str, ...] = ("wind",)
    outputs: tuple[Variable, ...] = (wind,)

    @property
    def halo(self) -> Halo:
        """The six days before."""
        return Halo({"time": (6, 0)})

    def load(self) -> Callable[[Arrays], Arrays]:
        """The stage's function."""
        return lambda arrays: {"wind": arrays["wind"].rolling(time=7, min_periods=1).mean()}


@dataclass(frozen=True)
class GlobalMean(PlainStage):
    """One number a day."""

    inputs: tuple[str, ...] = ("wind",)
    outputs: tuple[Variable, ...] = (wind.stored(Packing("f8")),)

    def load(self) -> Callable[[Arrays], Arrays]:
        """The stage's function."""
        return lambda arrays: {"wind": arrays["wind"].astype("f8").mean(("lat", "lon"))}


DAILY = Source(
    "daily",
    GRID,
    path_of,
    decode,
    (wind, state),
    "daily",
    "/nowhere",
    "Daily",
    "nobody",
    "none",
    "",
)
SAME = Product("same", GRID, (Read(DAILY, ("wind", "state")),), (Same(),), (wind, state))
WEEKLY = Product("weekly", GRID, (Read(SAME, ("wind",)),), (Before(),), (wind,))
SERIES = Product(
    "series", Grid(time=TIME), (Read(WEEKLY, ("wind",)),), (GlobalMean(),), GlobalMean().outputs
)


def write_archive(folder: Path) -> None:
    """A file a day."""
    for number in range(DAYS):
        file = folder / "archive" / path_of(FIRST + timedelta(days=number))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(str(number))


def request(folder: Path, store: str = "store") -> Request:
    """Ask for all of it."""
    place = Store.at(folder / store, create=True)
    return Request(SERIES, FIRST, LAST, place, {"daily": str(folder / "archive")})
