"""By what scores are told: the state of the record's cells, and the wind, cloud, vapour and sea."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from fluxrecipes import vocabulary as cf

Array = npt.NDArray[Any]
Flags = npt.NDArray[np.bool_]
Group = tuple[str, str, Flags]

FILLS = {
    "observed": (cf.OBSERVED,),
    "filled": (cf.INTERPOLATED, cf.PERSISTED, cf.COMPLETED),
    "reanalysis": (cf.REANALYSIS,),
}
# By what the record has: name, unit shown, where that begins, and edges in it.
BINNED = (
    ("wind_speed", "m/s", 0.0, (3, 5, 7, 9, 12)),
    ("cloud_liquid_water", "mm", 0.0, (0.02, 0.05, 0.1, 0.2)),
    ("water_vapour", "mm", 0.0, (15, 25, 35, 45)),
    ("sea_surface_temperature", "°C", cf.KELVIN, (10, 18, 24, 28)),
)


def by_fill(state: Array) -> Iterator[Group]:
    """By what, which kind of cell, and its members.

    Parameters
    ----------
    state : uint8 array
        Codes of `fluxrecipes.vocabulary.STATES`.
    """
    for name, states in FILLS.items():
        yield "fill", name, np.isin(state, states)


def by_class(record: Mapping[str, Array]) -> Iterator[Group]:
    """By what, which class of it, and its members; what has no value is in none.

    Parameters
    ----------
    record : mapping of str to float array
        By the names of `BINNED`, in the units of the record.
    """
    for name, units, zero, edges in BINNED:
        values = record[name] - zero
        by = name.replace("_", " ")
        yield by, f"below {edges[0]} {units}", values < edges[0]
        for low, high in pairwise(edges):
            yield by, f"{low} to {high} {units}", (values >= low) & (values < high)
        yield by, f"{edges[-1]} {units} and above", values >= edges[-1]
