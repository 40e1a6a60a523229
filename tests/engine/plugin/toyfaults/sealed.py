"""Wind as in `toyfields`, in gzip files that hold their own day: damage and mix-ups show."""

import gzip
import zlib
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import xarray as xr
from pydantic import BaseModel
from toyfields.products import PUBLISHED, axes
from toyfields.source import ORBITS, PASSES, as_provided
from toyfields.stages import Coarsen, Misbehave

from fluxengine.declare import Product, Read
from fluxengine.errors import DamagedFile, WrongFile
from fluxengine.grid import Grid

DAY = 8  # bytes of the day at the head of a file
SHAPE = (2, 24, 48)


def path(day: date) -> str:
    return f"{day:%Y}/wind_{day:%Y%m%d}.gz"


def encode(day: date, raw: np.ndarray) -> bytes:
    return gzip.compress(f"{day:%Y%m%d}".encode() + raw.astype("<i2").tobytes(), mtime=0)


def decode(file: Path, day: date) -> xr.Dataset:
    try:
        content = gzip.decompress(file.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise DamagedFile(f"no whole gzip file: {error}.", where=str(file)) from error
    if len(content) != DAY + 2 * np.prod(SHAPE):
        raise DamagedFile(f"it holds {len(content)} bytes.", where=str(file))
    if content[:DAY].decode("ascii", "replace") != f"{day:%Y%m%d}":
        raise WrongFile(f"it holds another day than {day}.", where=str(file))
    return as_provided(np.frombuffer(content, "<i2", offset=DAY).reshape(1, *SHAPE))


SEALED = replace(PASSES, name="toy-sealed", path=path, decode=decode, title="Toy wind, sealed")


class Options(BaseModel, extra="forbid", frozen=True):
    """The science choices."""

    pause: float = 0.0


def calm(o: Options) -> Product:
    """Coarser fields of the sealed files."""
    time, lat, lon = axes(4).values()
    return Product(
        "toy-calm",
        Grid(time=time, orbit=ORBITS, lat=lat, lon=lon),
        reads=(Read(SEALED, ("wind", "wind_flag")),),
        stages=(Coarsen(), Misbehave(o.pause)),
        publishes=PUBLISHED,
        title="Toy wind from sealed files",
    )
