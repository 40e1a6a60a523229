"""How often tests see a trend in 29 years of a simulated world that has none: their measured size.

The truth of the world, twice a month on every fourth degree: what retrievals and passes add to it
is no trend either, and nearer to white noise.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import yaml

from fluxrecipes.nature import WORLDS, World, land
from fluxrecipes.nature.fields import Points, hours_since_epoch
from fluxrecipes.nature.world import fluxes_of_cells
from fluxrecipes.trends import document, settings

EVERY = 16  # quarters of a degree
ROWS = np.arange(120, 600, EVERY)
SEA = np.nonzero(~land.rss_land()[120:600:EVERY, ::EVERY])
LAT, LON = 0.25 * ROWS - 89.875, np.arange(0.125, 360.0, 0.25 * EVERY)
MONTHS = np.datetime64("1992-01") + np.arange(29 * 12)
VARIABLES = (
    "sea_surface_temperature",
    "air_temperature",
    "specific_humidity",
    "wind_speed",
    "latent_heat_flux",
)
UNITS = ("K", "K", "kg kg-1", "m s-1", "W m-2")


def month(world: World, of: np.datetime64) -> dict[str, np.ndarray]:
    """Mean of two times of a month."""
    row, longitude = ROWS[SEA[0]], LON[SEA[1]].astype(np.float32)
    total = {name: np.zeros(row.size) for name in VARIABLES}
    for day in (6, 21):
        when = hours_since_epoch(of.astype("M8[D]") + day)
        state = world.state(Points(row, longitude, np.full(row.size, when)), fine=False)
        means = {n: getattr(state, n).astype(float) for n in (*VARIABLES[:3], "surface_pressure")}
        means["wind_speed"] = state.wind_speed.astype(float)
        means |= fluxes_of_cells(means, LAT[SEA[0]])
        for name in VARIABLES:
            total[name] += means[name] / 2.0
    return total


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("sizes")
    world = World(1, WORLDS["no-trend"])
    values = np.full((len(VARIABLES), len(MONTHS), len(LAT), len(LON)), np.nan, np.float32)
    for at, of in enumerate(MONTHS):
        found = month(world, of)
        for number, name in enumerate(VARIABLES):
            values[number, at][SEA] = found[name]
    grid = {"time": MONTHS.astype("M8[ns]"), "lat": LAT, "lon": LON}
    record = {
        name: (("time", "lat", "lon"), values[n], {"units": UNITS[n]})
        for n, name in enumerate(VARIABLES)
    }
    xr.Dataset(record, grid).to_zarr(made / "monthly.zarr", zarr_format=3, consolidated=False)
    return made


@pytest.mark.slow
@pytest.mark.parametrize("of", ["years", "months"])
def test_tests_find_trends_in_a_world_without_as_often_as_they_say(folder: Path, of: str) -> None:
    told = {
        "store": ".",
        "dataset": "monthly.zarr",
        "variables": list(VARIABLES),
        "of": of,
        "attribution": False,
    }
    (folder / "trends.yaml").write_text(yaml.safe_dump(told))
    found = document.of(settings.load(folder / "trends.yaml"))
    print(f"\nshare of cells with p < 0.05, of {of}, no trend (simulated)")
    for name, sizes in found.sizes.items():
        print(f"{name:<26}", {test: round(share, 3) for test, share in sizes.items()})
        assert 0.01 < sizes["least squares"] < 0.12
        assert sizes["least squares"] <= sizes["Hamed-Rao"] + 0.02
        assert sizes["false discoveries at most 10 %"] < 0.05
