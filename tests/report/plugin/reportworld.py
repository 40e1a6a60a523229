"""A record of a few cells, whose days are told by a word each: what a report of it must say."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import xarray as xr
from pydantic import BaseModel

from fluxengine.declare import Array, Arrays, PlainStage, Product, Read, Source, Variable
from fluxengine.errors import DamagedFile
from fluxengine.grid import Grid, days, degrees, labels, months
from fluxrecipes import vocabulary as cf
from fluxrecipes.stages.averages import MonthlyMeans

FIRST, LAST = date(2019, 11, 1), date(2020, 3, 31)
MAP = {"lat": degrees(-60, 60, 10), "lon": degrees(0, 360, 15, periodic=True)}
TIME = days("2019-11-01", block=5)
SHAPE = 12, 24
LAND = np.zeros(SHAPE, bool)
LAND[:, 2:5] = True
SEA = int((~LAND).sum())
GAPS = 7  # cells without a value of a day "gaps"
HOSTILE = '</script><img src="x" onerror="alert(1)">{{ 7 * 7 }}'

flux = replace(cf.latent_heat_flux, valid_range=(-700, 1600))
sea = cf.sea_surface_temperature
state = cf.flux_state
# What is not whole. Blocks are of five days: 11 to 15 December is one.
WORDS: Mapping[date, str] = {
    date(2019, 11, 3): "half",
    date(2019, 11, 8): "lost",
    date(2019, 11, 9): "lost",
    date(2019, 11, 20): "gaps",
    date(2019, 12, 12): "hot",
    date(2020, 1, 5): "filled",
    date(2020, 2, 27): "empty",
    date(2020, 2, 28): "empty",
    date(2020, 2, 29): "empty",
    date(2020, 3, 1): "empty",
    date(2020, 3, 10): "no word",
}
NO_FILE = (date(2020, 1, 20), date(2020, 1, 21))


def all_days() -> Iterator[date]:
    """Every day of the record."""
    day = FIRST
    while day <= LAST:
        yield day
        day += timedelta(days=1)


def path_of(day: date) -> str:
    """Where a day is."""
    return f"{day:%Y%m%d}.txt"


def values_of(day: date) -> Array:
    """The flux of a whole day: rows differ, and days."""
    rows = 100.0 + 5.0 * np.arange(SHAPE[0])
    field = rows[:, None] + np.zeros(SHAPE[1]) + 15.0 * ((day - FIRST).days % 10)
    return np.where(LAND, np.nan, field)


def states_of(word: str) -> Array:
    """The states of a day."""
    codes = np.full(SHAPE, cf.OBSERVED)
    if word == "half":
        codes[:, ::2] = cf.COMPLETED
    if word == "lost":
        codes[:6] = cf.REANALYSIS
    if word == "filled":
        codes[:] = cf.INTERPOLATED
    if word == "gaps":
        codes.ravel()[np.flatnonzero(~LAND.ravel())[:GAPS]] = cf.NO_OBSERVATION
    if word == "empty":
        codes[:] = cf.NO_OBSERVATION
    codes[LAND] = cf.LAND
    return codes.astype(np.uint8)


def decode(path: Path, day: date) -> xr.Dataset:
    """What the day's word says."""
    word = path.read_text().strip()
    if word not in ("whole", "half", "lost", "gaps", "filled", "empty", "hot"):
        raise DamagedFile(f"'{word}' is no word of it.", where=str(path))
    codes = states_of(word)
    field = np.where(codes <= cf.LAST_VALID, values_of(day), np.nan)
    if word == "hot":
        field = field + 1000.0
    raw = {
        flux.name: flux.packing.pack(field.astype("f4"), flux.name),
        sea.name: sea.packing.pack((field / 50.0 + 290.0).astype("f4"), sea.name),
    }
    packing = {v.name: v.packing for v in (flux, sea)}
    made = {
        name: (
            TIME_MAP,
            values[np.newaxis],
            {
                "scale_factor": packing[name].scale,
                "add_offset": packing[name].offset,
                "_FillValue": packing[name].fill,
            },
        )
        for name, values in raw.items()
    }
    return xr.Dataset({**made, state.name: (TIME_MAP, codes[np.newaxis], {"_FillValue": 0})})


TIME_MAP = ("time", "lat", "lon")
VARIABLES = (flux, sea, state)


@dataclass(frozen=True)
class Same(PlainStage):
    """Hand on what is given."""

    inputs: tuple[str, ...] = tuple(v.name for v in VARIABLES)
    outputs: tuple[Variable, ...] = VARIABLES

    def load(self) -> Callable[[Arrays], Arrays]:
        """The stage's function."""
        return dict


@dataclass(frozen=True)
class Twice(PlainStage):
    """The same of two passes."""

    inputs: tuple[str, ...] = Same.inputs
    outputs: tuple[Variable, ...] = VARIABLES

    def load(self) -> Callable[[Arrays], Arrays]:
        """The stage's function."""

        def twice(arrays: Arrays) -> Arrays:
            return {n: v.expand_dims(orbit=["up", "down"], axis=1) for n, v in arrays.items()}

        return twice


def not_too_hot(block: Arrays, published: tuple[Variable, ...]) -> str | None:
    """No flux is above 900 W m-2. What follows is for the curious."""
    hot = int((block[flux.name].values > 900.0).sum())
    return f"{hot} cells are hot: {HOSTILE}" if hot else None


class Options(BaseModel, extra="forbid", frozen=True):
    """None."""


SOURCE = Source(
    "small-sea", Grid(time=TIME, **MAP), path_of, decode, VARIABLES, "words", "/nowhere",
    "Words", "nobody", "none", HOSTILE,
)  # fmt: skip


def small_flux(o: Options) -> Product:
    """The record."""
    return Product(
        "small-flux",
        Grid(time=TIME, **MAP),
        (Read(SOURCE, Same.inputs),),
        (Same(),),
        VARIABLES,
        gates=(not_too_hot,),
        title=f"A small record {HOSTILE}",
        summary="Fluxes.",
        attrs={"license": "none", "notice": f"Made up. {HOSTILE}"},
    )


def small_months(o: Options) -> Product:
    """Its monthly means."""
    means = MonthlyMeans((flux, sea))
    return Product(
        "small-months",
        Grid(time=months("2019-11", block=12), **MAP),
        (Read(small_flux(o), means.inputs),),
        (means,),
        means.outputs,
        title="Months",
        batch=1,
    )


def small_passes(o: Options) -> Product:
    """The same by pass."""
    return Product(
        "small-passes",
        Grid(time=TIME, orbit=labels("up", "down"), **MAP),
        (Read(SOURCE, Same.inputs),),
        (Twice(),),
        VARIABLES,
        title="Passes",
    )


def write_archive(folder: Path, notice: str = "") -> None:
    """A file a day, but where there is none."""
    folder.mkdir(parents=True)
    if notice:
        (folder / "NOTICE.txt").write_text(notice)
    for day in all_days():
        if day not in NO_FILE:
            (folder / path_of(day)).write_text(WORDS.get(day, "whole"))


RUN_FILE = """\
product: {product}
period: {{first: {first}, last: {last}}}
archives: {{words: {folder}/archive}}
attributes: {{creator_name: {creator}}}
profiles: {{serial: {{store: {folder}/store, cluster: {{kind: serial}}}}}}
"""


def write_run_file(
    folder: Path, name: str = "run.yaml", product: str = "small-flux", first: date = FIRST,
    last: date = LAST,
) -> Path:  # fmt: skip
    """A run file in a folder."""
    path = folder / name
    text = RUN_FILE.format(
        product=product, first=first, last=last, folder=folder, creator=f"'{HOSTILE}'"
    )
    path.write_text(text)
    return path
