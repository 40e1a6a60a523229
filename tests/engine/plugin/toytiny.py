"""The smallest chain with a halo in time, tiles and a seam, so that a run takes a moment.

``tiny-numbers`` reads six whole numbers a day around a circle of longitude; ``tiny-near`` adds up
half of them over neighbours in time and longitude, in three tiles; ``tiny-day`` adds up a day.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
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
from fluxengine.errors import DamagedFile
from fluxengine.grid import Axis, Grid, Halo, days, degrees

FILL = -32768
VALID, NO_VALUE = 2, 3
number = Variable("number", "1", "a whole number", packing=Packing("i2", fill=FILL))
state = flag_variable("state", "whether there is one", {VALID: "valid", NO_VALUE: "no_value"})


def around(tile: int = 0) -> Axis:
    return degrees(0, 360, 60, block=tile, periodic=True)


def path(day: date) -> str:
    return f"{day}.json"


def decode(file: Path, day: date) -> xr.Dataset:
    """A file is a list of numbers, null where there is none."""
    try:
        numbers = json.loads(file.read_text())
    except ValueError as error:
        raise DamagedFile("it is no list of numbers.", where=str(file)) from error
    raw = np.array([[FILL if n is None else n for n in numbers]], "i2")
    there = np.where(raw == FILL, NO_VALUE, VALID).astype("u1")
    dims = ("time", "lon")
    return xr.Dataset({"number": (dims, raw, {"_FillValue": FILL}), "state": (dims, there)})


NUMBERS = Source(
    name="tiny-numbers",
    grid=Grid(time=days("2020-01-01", block=2, chunk=1), lon=around()),
    path=path,
    decode=decode,
    provides=(number, state),
    archive="tiny",
    home="/nowhere/tiny",
    title="Tiny numbers",
    provider="Toy provider",
    licence="public domain",
    cite="Toy (2020)",
)


def _with_state(values: xr.DataArray) -> Arrays:
    there = np.where(np.isfinite(values.values), VALID, NO_VALUE).astype("u1")
    return {"number": values, "state": values.copy(data=there)}


@dataclass(frozen=True)
class Near(PlainStage):
    """Half of each number, added up over days before, the day after and both neighbours."""

    before: int = 1
    inputs: tuple[str, ...] = ("number",)
    outputs: tuple[Variable, ...] = (number, state)

    @property
    def halo(self) -> Halo:
        return Halo({"time": (self.before, 1), "lon": (1, 1)})

    def load(self) -> Callable[[Arrays], Arrays]:
        def near(arrays: Arrays) -> Arrays:
            halves = np.floor(arrays["number"].astype("f8") / 2)
            shifted = [
                halves.shift(time=days, lon=cells)
                for days in range(-1, self.before + 1)
                for cells in (-1, 0, 1)
            ]
            return _with_state(xr.concat(shifted, "shift").sum("shift", min_count=1))

        return near


@dataclass(frozen=True)
class Total(PlainStage):
    """All of a day, times a gain and a factor that is read from a file."""

    gain: int
    factor: Path
    inputs: tuple[str, ...] = ("number",)
    outputs: tuple[Variable, ...] = (number, state)

    @property
    def weights(self) -> tuple[Path, ...]:
        return (self.factor,)

    def load(self) -> Callable[[Arrays], Arrays]:
        times = self.gain * int(self.factor.read_text())
        return lambda arrays: _with_state(times * arrays["number"].sum("lon", min_count=1))


def near(before: int) -> Product:
    return Product(
        "tiny-near",
        Grid(time=days("2020-01-01", block=3), lon=around(tile=2)),
        reads=(Read(NUMBERS, ("number",)),),
        stages=(Near(before),),
        publishes=(number, state),
    )


def day(before: int, gain: int, factor: Path) -> Product:
    return Product(
        "tiny-day",
        Grid(time=days("2020-01-01", block=2)),
        reads=(Read(near(before), ("number",)),),
        stages=(Total(gain, factor),),
        publishes=(number, state),
    )
