"""Scenes of a swath, daily maps, and a map of heights that never changes: NumPy files."""

from datetime import date
from functools import partial
from pathlib import Path

import numpy as np
import xarray as xr

from fluxengine.declare import Packing, Source, Variable
from fluxengine.errors import DamagedFile
from fluxengine.grid import Grid, counts, days, degrees, labels, static

SCENES = tuple(f"A{number:03}" for number in range(1, 8))
CELL = 10  # metres, as it were: the fine grid of a scene has cells of 1
LINES, PIXELS = 12, 16
MAP = {"lat": degrees(-20, 20, 5), "lon": degrees(100, 140, 5)}

brightness = Variable("brightness", "K", "brightness temperature", packing=Packing("f4"))
level = Variable("level", "m", "sea level", packing=Packing("f4"))
height = Variable("height", "m", "height of the land", packing=Packing("f4"))


def decode(variable: Variable, dims: tuple[str, ...], file: Path, key: object) -> xr.Dataset:
    try:
        values = np.load(file)
    except (ValueError, EOFError) as error:
        raise DamagedFile(f"no NumPy file: {error}.", where=str(file)) from error
    return xr.Dataset({variable.name: (dims, values.astype("f4")[np.newaxis])})


def source(name: str, grid: Grid, variable: Variable, path: object) -> Source:
    return Source(
        name=name,
        grid=grid,
        path=path,
        decode=partial(decode, variable, grid.dims),
        provides=(variable,),
        archive="shapes",
        home="/nowhere/shapes",
        title=name,
        provider="Toy provider",
        licence="public domain",
        cite="Toy (2020)",
    )


def scene_path(scene: str) -> str:
    return f"scenes/{scene}.npy"


def day_path(day: date) -> str:
    return f"maps/{day:%Y%m%d}.npy"


def height_path(_: str) -> str:
    return "height.npy"


def scenes(number: int = len(SCENES)) -> Source:
    """The first so many scenes."""
    swath = {"y": counts(0, LINES * CELL, CELL), "x": counts(0, PIXELS * CELL, CELL)}
    grid = Grid(scene=labels(*SCENES[:number], block=2), **swath)
    return source("toy-scenes", grid, brightness, scene_path)


MAPS = source("toy-maps", Grid(time=days("2020-01-01", block=5), **MAP), level, day_path)
HEIGHT = source("toy-height", Grid(static=static(), **MAP), height, height_path)
SOURCES = {one.name: one for one in (scenes(), MAPS, HEIGHT)}
