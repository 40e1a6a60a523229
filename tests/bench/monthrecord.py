"""The daily 1° record of 29 years of one flux, and its monthly means, for benchmarks."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import xarray as xr

from fluxengine.declare import Product, Read, Source
from fluxengine.grid import Grid, days, degrees, months
from fluxrecipes import vocabulary as cf
from fluxrecipes.stages.averages import MonthlyMeans

FIRST = date(1992, 1, 1)
FLUX, STATE = cf.latent_heat_flux, cf.flux_state
MAP = {
    "lat": degrees(-60, 60, 1, chunk=30),
    "lon": degrees(0, 360, 1, chunk=60, periodic=True),
}
DAYS = Grid(time=days("1992-01-01", block=30), **MAP)
NOISE = np.random.default_rng(1).normal(90.0, 60.0, (120, 360)).astype(np.float32)


def path_of(day: date) -> str:
    """Where a day is: nothing is in the file."""
    return f"{day.year}.txt"


def decode(path: Path, day: date) -> xr.Dataset:
    """Noise, moved by a cell a day, with a tenth of the cells without a value."""
    values = np.roll(NOISE, day.toordinal(), axis=1)[np.newaxis]
    lost = values < np.percentile(NOISE, 10)
    state = np.where(lost, cf.NO_OBSERVATION, cf.OBSERVED).astype("u1")
    packing = {
        "scale_factor": FLUX.packing.scale,
        "add_offset": FLUX.packing.offset,
        "_FillValue": FLUX.packing.fill,
    }
    packed = np.round((values - FLUX.packing.offset) / FLUX.packing.scale)
    stored = np.where(lost, FLUX.packing.fill, packed).astype(FLUX.packing.dtype)
    return xr.Dataset(
        {FLUX.name: (DAYS.dims, stored, packing), STATE.name: (DAYS.dims, state, {"_FillValue": 0})}
    )


RECORD = Source(
    "record", DAYS, path_of, decode, (FLUX, STATE), "record", "/nowhere",
    "Record", "nobody", "none", "",
)  # fmt: skip
MEANS = MonthlyMeans((FLUX,), 10)
MONTHLY = Product(
    "monthly",
    Grid(time=months("1992-01", block=12), **MAP),
    (Read(RECORD, (FLUX.name, STATE.name)),),
    (MEANS,),
    MEANS.outputs,
    batch=1,
)
