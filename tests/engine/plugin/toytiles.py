"""A globe of any resolution, smoothed in time, latitude and longitude, in one block or in tiles.

No big files: each holds a seed, from which the decoder makes a day.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
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
from fluxengine.grid import WHOLE, Axis, Grid, Halo, days, degrees

Floats = npt.NDArray[np.float32]
FILL = -32768
STEP = 0.01
REACH = {"time": 1, "lat": 2, "lon": 3}  # cells on either side
wind = Variable("wind", "m s-1", "wind speed", packing=Packing("i2", STEP, 0, FILL))
smooth = Variable("smooth", "m s-1", "mean over neighbours", packing=Packing("i2", STEP, 0, FILL))
running = Variable("running", "m s-1", "the same", packing=Packing("i2", STEP, 0, FILL))
VALID, NO_VALUE = 2, 3
origin = flag_variable("origin", "whether any neighbour has wind", {VALID: "yes", NO_VALUE: "no"})


def axes(cells: int, lat_tiles: int = 1, lon_tiles: int = 1, chunk: int = 45) -> dict[str, Axis]:
    """Latitude and longitude with so many cells a degree, cut into tiles; chunks in degrees."""
    step, chunk = 1 / cells, chunk * cells
    lat, lon = 180 * cells // lat_tiles, 360 * cells // lon_tiles
    return {
        "lat": degrees(-90, 90, step, block=lat, chunk=chunk),
        "lon": degrees(0, 360, step, block=lon, chunk=chunk, periodic=True),
    }


def time(block: int) -> Axis:
    return days("2020-01-01", block=block, chunk=10)


def path(day: date) -> str:
    return f"{day}.txt"


def raw_day(cells: int, seed: int) -> npt.NDArray[np.int16]:
    """A day of wind as stored: waves around the globe and noise, with holes and empty belts."""
    dice = np.random.default_rng(seed)
    lat, lon = (np.linspace(0, 2 * np.pi, n * cells, dtype="f4") for n in (180, 360))
    waves = np.sin(3 * lat + dice.random())[:, None] * np.cos(5 * lon + dice.random())[None, :]
    raw = (1500 + 800 * waves).astype("i2")
    raw += dice.integers(-300, 300, raw.shape, dtype="i2")
    raw[dice.integers(0, 5, raw.shape, dtype="u1") == 0] = FILL
    raw[np.arange(180 * cells) // cells % 40 < 6] = FILL  # wider than a mean can bridge at 1 degree
    return raw


def decode(cells: int, file: Path, day: date) -> xr.Dataset:
    raw = raw_day(cells, int(file.read_text()))
    packing = {"scale_factor": STEP, "add_offset": 0.0, "_FillValue": FILL}
    return xr.Dataset({"wind": (("time", "lat", "lon"), raw[np.newaxis], packing)})


def sky(cells: int, block: int) -> Source:
    return Source(
        name="tiles-sky",
        grid=Grid(time=time(block), **axes(cells)),
        path=path,
        decode=partial(decode, cells),
        provides=(wind,),
        archive="tiles",
        home="/nowhere/tiles",
        title="Toy sky",
        provider="Toy provider",
        licence="public domain",
        cite="Toy (2020)",
    )


def neighbours(values: Floats, axis: int, reach: int) -> Floats:
    """Sum over neighbours, always in the same order: exact wherever a block begins."""
    total = np.zeros_like(values)
    ours, theirs = np.moveaxis(total, axis, 0), np.moveaxis(values, axis, 0)
    for shift in range(-reach, reach + 1):
        into = slice(max(0, -shift), len(ours) - max(0, shift))
        ours[into] += theirs[max(0, shift) : len(ours) + min(0, shift)]
    return total


def by_running_sum(values: Floats, reach: int) -> Floats:
    """The same along longitude, as a difference of sums from the block's edge: rounded otherwise
    wherever a block begins."""
    length = values.shape[-1]
    sums = np.zeros((*values.shape[:-1], length + 1), "f4")
    np.cumsum(values, axis=-1, dtype="f4", out=sums[..., 1:])
    stop, start = (np.clip(np.arange(length) + n, 0, length) for n in (reach + 1, -reach))
    return sums[..., stop] - sums[..., start]


@dataclass(frozen=True)
class Smooth(PlainStage):
    """Mean over the neighbours that have a value, in two ways."""

    inputs: tuple[str, ...] = ("wind",)
    outputs: tuple[Variable, ...] = (smooth, running, origin)

    @property
    def halo(self) -> Halo:
        return Halo({name: (reach, reach) for name, reach in REACH.items()})

    def load(self) -> Callable[[Arrays], Arrays]:
        def mean(arrays: Arrays) -> Arrays:
            given = arrays["wind"]
            there = np.isfinite(given.values)
            total, number = np.where(there, given.values, 0).astype("f4"), there.astype("f4")
            for axis, name in enumerate(("time", "lat")):
                total, number = (neighbours(a, axis, REACH[name]) for a in (total, number))
            around = REACH["lon"]
            number = neighbours(number, 2, around)
            number[number == 0] = np.nan
            means = [
                s / number for s in (neighbours(total, 2, around), by_running_sum(total, around))
            ]
            states = np.where(np.isfinite(number), VALID, NO_VALUE).astype("u1")
            made = dict(zip(("smooth", "running", "origin"), [*means, states], strict=True))
            return {name: given.copy(data=values) for name, values in made.items()}

        return mean


def product(name: str, cells: int, block: int, tiles: tuple[int, int], batch: int) -> Product:
    """The same product, in so many tiles of latitude and longitude."""
    return Product(
        name,
        Grid(time=time(block), **axes(cells, *tiles)),
        reads=(Read(sky(cells, block), ("wind",)),),
        stages=(Smooth(),),
        publishes=(smooth, running, origin),
        batch=batch or WHOLE,
    )
