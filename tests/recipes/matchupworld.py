"""A small world to match reports in: passes of two months on a band about the equator."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import xarray as xr

from fluxrecipes import vocabulary as cf
from fluxrecipes.matchups import beside
from fluxrecipes.matchups.matching import Matchups
from fluxrecipes.sources.reports import NDBC

DAYS = np.arange("2014-01-01", "2014-03-01", dtype="M8[D]")
LAT, LON = np.arange(-4.5, 5.0), np.arange(0.5, 360.0)
SHAPE = (len(DAYS), 2, len(LAT), len(LON))


def matchups(number: int = 6, **changes: Any) -> Matchups:
    given: dict[str, Any] = {
        "platform": np.array([f"P{n}".encode() for n in range(number)], "S16"),
        "satellite": np.full(number, 17, np.uint8),
        "orbit": np.zeros(number, np.intp),
        "day": np.full(number, DAYS[3]),
        "row": np.full(number, 4),
        "column": np.arange(number),
        "latitude": np.full(number, 0.2),
        "longitude": np.arange(number) + 0.4,
        "state": np.full(number, cf.OBSERVED, np.uint8),
        "time": np.full(number, np.datetime64("2014-01-04T18:00:00")),
        "feed": np.full(number, NDBC, np.uint8),
        "kind": np.full(number, 4, np.uint8),
    }
    for one in fields(Matchups):
        given.setdefault(one.name, np.full(number, 1.0))
    given["air_temperature"] = np.full(number, 298.0)
    return Matchups(**(given | changes))


def hours() -> np.ndarray:
    local = np.array([18.0, 6.0])[:, None, None]
    return np.broadcast_to((local - LON / 15.0) % 24.0, SHAPE)


def datasets() -> dict[str, xr.Dataset]:
    coords = {"time": DAYS.astype("M8[ns]"), "lat": LAT, "lon": LON}
    dims = ("time", "orbit", "lat", "lon")
    state = np.full(SHAPE, cf.OBSERVED, np.uint8)
    number = np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE)
    merged = {"pass_time": hours(), "satellite": np.full(SHAPE, 17, np.uint8)}
    filled = dict.fromkeys(beside.OF_FILLED, number)
    filled |= {f"{name}_state": state for name in ("wind_speed", "water_vapour")}
    passes = {"latent_heat_flux": number + 0.5, "air_temperature": number}
    passes |= {"sea_surface_temperature": np.full(SHAPE, 295.0, "f4"), "flux_state": state}
    return {
        name: xr.Dataset({n: (dims, v) for n, v in made.items()}, coords)
        for name, made in (
            ("deepflux-merged", merged),
            ("deepflux-filled", filled),
            ("deepflux-passes", passes),
        )
    }
