"""Speed of the record's chain for a day and pass: each stage, with the networks and gates it has.

Run it with ``make bench-chain`` on a quiet machine. A process for each core runs the stages of
`deepflux` with the shipped weights on passes of 120 × 360 cells, as the engine's workers do, all at
once; told is the time of a pass by the number of processes. Values are random, within what can be:
no network's time depends on them. Reading and writing are left out.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import time
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import xarray as xr
from global_land_mask.globe import is_ocean

from fluxengine.declare import Product
from fluxengine.deployments import SETTINGS, as_environment
from fluxrecipes import vocabulary as cf
from fluxrecipes.products.deepflux import ORBITS, Options, filled, passes

DAYS = 5
BEFORE, AFTER = filled(Options(sensors=("f17",))).stages[0].halo("time")
ROUNDS = 5
CORES = len(os.sched_getaffinity(0))
PRECISIONS = ("fp32", "bf16")
FIELDS = {  # middle and half the width of what is drawn
    "wind_speed": (7.5, 2.0),
    "water_vapour": (28.0, 6.0),
    "cloud_liquid_water": (0.08, 0.01),
    "rain_rate": (0.1, 0.02),
    "sea_surface_temperature": (291.0, 3.0),
    "pass_time": (12.0, 4.0),
}
SWATH, SEEN = 25.0, 0.6  # degrees from one to the next, and the share that is seen


def block() -> dict[str, xr.DataArray]:
    """Some days of both passes, with those around them, and with gaps."""
    rng = np.random.default_rng(1)
    number = BEFORE + DAYS + AFTER
    coords = {
        "time": np.datetime64("2016-01-01", "ns") + np.arange(number) * np.timedelta64(1, "D"),
        "orbit": list(ORBITS.labels),
        "lat": np.arange(-59.5, 60),
        "lon": np.arange(0.5, 360),
    }
    shape = tuple(len(values) for values in coords.values())
    # Stripes from north to south that move on from pass to pass, as swaths do.
    swath = np.add.outer(SWATH * 0.3 * np.arange(2 * number), coords["lon"]) % SWATH
    seen = swath.reshape(number, 2, 1, 360) < SEEN * SWATH
    sea = is_ocean(coords["lat"][:, None], (coords["lon"] + 180) % 360 - 180)
    state = np.where(sea, np.where(seen, cf.OBSERVED, cf.NO_OBSERVATION), cf.LAND).astype("u1")
    state_of_sea = np.where(sea, cf.OBSERVED, cf.LAND).astype("u1")
    made = {}
    for name, (mean, spread) in FIELDS.items():
        values = rng.uniform(mean - spread, mean + spread, shape).astype("f4")
        own = state if name in {v.name for v in cf.MICROWAVE} else state_of_sea
        made[name] = np.where(own == cf.OBSERVED, values, np.float32(np.nan))
        made[f"{name}_state"] = np.broadcast_to(own, shape)
    return {n: xr.DataArray(v, coords, tuple(coords)) for n, v in made.items()}


def products(precision: str) -> tuple[Product, Product]:
    """Filling, and what comes after it."""
    options = Options(sensors=("f17",), precision=precision)
    return filled(options), passes(options)


def seconds(precision: str) -> dict[str, float]:
    """Of each stage and of the gates for one pass of one day: the median of some rounds."""
    import torch

    torch.set_num_threads(1)
    whole = block()
    own = whole["wind_speed"]["time"][BEFORE : BEFORE + DAYS]
    spent: dict[str, list[float]] = {}
    chain = products(precision)
    stages = [[(stage, stage.load()) for stage in product.stages] for product in chain]
    for _ in range(ROUNDS + 1):
        arrays = dict(whole)
        for product, loaded in zip(chain, stages, strict=True):
            for stage, run in loaded:
                begun = time.perf_counter()
                arrays |= run({name: arrays[name] for name in stage.inputs})
                spent.setdefault(type(stage).__name__, []).append(time.perf_counter() - begun)
            arrays = {name: values.sel(time=own) for name, values in arrays.items()}
            begun = time.perf_counter()
            made = {v.name: arrays[v.name] for v in product.variables}
            for gate in product.gates:
                assert gate(made, product.variables) is None, gate
            spent.setdefault("gates", []).append(time.perf_counter() - begun)
    filled_at_once = {"FillByGDCM": DAYS + BEFORE + AFTER}
    rounds = {name: np.reshape(all_of, (ROUNDS + 1, -1)).sum(1) for name, all_of in spent.items()}
    return {
        name: statistics.median(turns[1:]) / (2 * filled_at_once.get(name, DAYS))
        for name, turns in rounds.items()
    }


def arithmetic(precision: str) -> float:
    """GFLOP a second of matrix products of this process."""
    import torch

    torch.set_num_threads(1)
    size = 2048
    a = torch.randn(size, size).to(torch.bfloat16 if precision == "bf16" else torch.float32)
    turns = []
    for _ in range(2 * ROUNDS):
        begun = time.perf_counter()
        a @ a
        turns.append(time.perf_counter() - begun)
    return 2 * size**3 / min(turns) / 1e9


def main() -> None:
    """Print a table."""
    as_workers = as_environment(SETTINGS)
    os.environ.update(as_workers)
    print(" ".join(f"{name}={value}" for name, value in as_workers.items()))
    with ProcessPoolExecutor(CORES, multiprocessing.get_context("spawn")) as pool:
        for precision in PRECISIONS:
            speed = sum(pool.map(arithmetic, [precision] * CORES))
            found = list(pool.map(seconds, [precision] * CORES))
            each = {n: statistics.fmean(one[n] for one in found) / CORES for n in found[0]}
            total = sum(each.values())
            print(f"\n{precision}, {CORES} processes of one thread; matrices {speed:.0f} GFLOP/s")
            for name, taken in each.items():
                print(f"  {name:20} {taken * 1e3:7.1f} ms  {taken / total:5.0%}")
            print(f"  {'a day and pass':20} {total * 1e3:7.1f} ms", flush=True)


if __name__ == "__main__":
    main()
