"""Sources whose files are not one a step: several steps a file, several files a step, others.

A file is a JSON table from days to six numbers.
"""

import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import numpy as np
import xarray as xr
from toytiny import FILL, NUMBERS, VALID

from fluxengine.declare import Source
from fluxengine.errors import DamagedFile
from fluxengine.grid import Grid, days, degrees

DIMS = ("time", "lon")
GRID = Grid(
    time=days("2020-01-01", block=4, chunk=1), lon=degrees(0, 360, 60, block=0, periodic=True)
)
times_read: list[str] = []  # names of the files that were decoded in this process


def source(name: str, **fields: object) -> Source:
    return Source(
        **{
            **{f: getattr(NUMBERS, f) for f in Source.__dataclass_fields__},
            "name": name,
            "grid": GRID,
            **fields,
        }
    )


def _table(file: Path) -> dict[str, list[int]]:
    times_read.append(file.name)
    try:
        return dict(json.loads(file.read_text()))
    except ValueError as error:
        raise DamagedFile("it is no table.", where=str(file)) from error


def _dataset(rows: Sequence[Sequence[int]]) -> xr.Dataset:
    raw = np.array(rows, "i2").reshape(-1, 6)
    return xr.Dataset(
        {
            "number": (DIMS, raw, {"_FillValue": FILL}),
            "state": (DIMS, np.full(raw.shape, VALID, "u1")),
        }
    )


def month_path(day: date) -> str:
    return f"{day:%Y-%m}.json"


def decode_month(file: Path, wanted: tuple[date, ...]) -> xr.Dataset:
    table = _table(file)
    held = [day for day in wanted if str(day) in table]
    times = np.array(held, "datetime64[s]")
    return _dataset([table[str(day)] for day in held]).assign_coords(time=times)


def halves_path(day: date) -> tuple[str, str]:
    return f"west/{day}.json", f"east/{day}.json"


def decode_halves(files: tuple[Path, Path], day: date) -> xr.Dataset:
    west, east = (_table(file)[str(day)] for file in files)
    assert [file.parent.name for file in files] == ["west", "east"]
    return _dataset([west + east])


def decode_day(file: Path, day: date) -> xr.Dataset:
    return _dataset([_table(file)[str(day)]])


MONTHLY = source("monthly", path=month_path, decode=decode_month, holds_many=True)
HALVES = source("halves", path=halves_path, decode=decode_halves)
DATED = source("dated", path=lambda day: f"day_{day}_c*.json", decode=decode_day)
FINAL = source(
    "final",
    path=lambda day: f"final/{day}.json",
    instead=(lambda day: f"preliminary/{day}.json",),
    decode=decode_day,
)
