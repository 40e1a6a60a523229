"""Two passes of wind a day, one small NumPy file each day, on a 5 × 7.5 degree grid."""

from datetime import date
from pathlib import Path

import numpy as np
import xarray as xr

from fluxengine.declare import Packing, Source, Variable, flag_variable
from fluxengine.errors import DamagedFile, WrongFile
from fluxengine.grid import Grid, days, degrees, labels

ORBITS = labels("ascending", "descending")
GRID = Grid(
    time=days("2020-01-01", block=4, chunk=1),
    orbit=ORBITS,
    lat=degrees(-60, 60, 5),
    lon=degrees(0, 360, 7.5, periodic=True),
)
FILL = -32768
VALID, NO_VALUE = 2, 3
wind = Variable("wind", "m s-1", "wind speed", "wind_speed", (0, 60), Packing("i2", 0.01, 0, FILL))
wind_flag = flag_variable(
    "wind_flag", "whether there is a wind", {VALID: "valid", NO_VALUE: "no_value"}
)


def path(day: date) -> str:
    return f"{day:%Y}/wind_{day:%Y%m%d}.npy"


def decode(file: Path, day: date) -> xr.Dataset:
    try:
        raw = np.load(file)
    except (ValueError, EOFError) as error:
        raise DamagedFile(f"no NumPy file: {error}.", where=str(file)) from error
    if f"{day:%Y%m%d}" not in file.name:
        raise WrongFile(f"it holds another day than {day}.", where=str(file))
    if raw.size and raw.max() == 32767:
        raise ZeroDivisionError("a fault of this decoder that nobody foresaw")
    return as_provided(raw.astype("i2")[np.newaxis])


def as_provided(raw: np.ndarray) -> xr.Dataset:
    """A day of packed winds, with the flag that goes with them."""
    packing = {"scale_factor": 0.01, "add_offset": 0.0, "_FillValue": FILL}
    flag = np.where(raw == FILL, NO_VALUE, VALID).astype("u1")
    return xr.Dataset(
        {"wind": (GRID.dims, raw, packing), "wind_flag": (GRID.dims, flag, {"_FillValue": 0})}
    )


PASSES = Source(
    name="toy-passes",
    grid=GRID,
    path=path,
    decode=decode,
    provides=(wind, wind_flag),
    archive="toy",
    home="/nowhere/toy",
    title="Toy wind",
    provider="Toy provider",
    licence="public domain",
    cite="Toy (2020)",
)
