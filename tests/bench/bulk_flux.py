"""Speed of `bulk_flux` beside its peers, in one process, taking turns.

Run it with ``make bench``. A million physical points; the median of five turns of each. Ratios
are to pycoare 0.4.3 with the same cool skin; it works in float64 only, and takes no notice of
the thermometer's height, so that its figure for 10 m stands beside ours for 2 m, too.
AirSeaFluxCode 1.3.4 has COARE 3.5 and stops at a tolerance of its own; it is given a tenth of the
points.
"""

from __future__ import annotations

import argparse
import logging
import os
import time
import warnings
from collections.abc import Callable

import numpy as np
from AirSeaFluxCode import AirSeaFluxCode
from pycoare.coare_36 import coare_36

from fluxkernels import bulk_flux

K = 273.15
PEER = "pycoare 0.4.3, float64"
OTHER_PEER = "AirSeaFluxCode 1.3.4, float64"
ONE_THREAD = "float32, all heights 10 m", "float64, all heights 10 m"
TWO_THREADS = "float32, all 10 m, two threads", "float64, all 10 m, two threads"


def weather(points: int) -> dict[str, np.ndarray]:
    """Draw winds and temperatures of an ice-free ocean."""
    rng = np.random.default_rng(0)
    sea = rng.uniform(2.0, 30.0, points)
    air = sea - rng.normal(1.0, 1.5, points)
    relative = rng.uniform(0.6, 0.95, points)
    saturated = 0.622 * 6.1121 * np.exp(17.502 * air / (air + 240.97)) / 1013.0
    wind = np.clip(rng.weibull(2.0, points) * 8.5, 0.3, 30.0)
    return {"u": wind, "ts": sea, "t": air, "rh": 100.0 * relative, "q": relative * saturated}


def seconds(call: Callable[[], object]) -> float:
    """Time one call."""
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def ours(
    given: dict[str, np.ndarray], dtype: str, height: float, skin: bool, threads: int
) -> Callable[[], object]:
    """Make a call of `bulk_flux`."""
    wind, sea, air, humidity = (
        values.astype(dtype) for values in (given["u"], given["ts"] + K, given["t"] + K, given["q"])
    )
    heights = {"height_temperature": height, "height_humidity": height}
    return lambda: bulk_flux(
        wind, sea, air, humidity, **heights, latitude=30.0, cool_skin=skin, threads=threads
    )


def theirs(given: dict[str, np.ndarray], skin: bool) -> Callable[[], object]:
    """Make a call of pycoare, with a relative humidity of its own: it changes it in place."""

    def call() -> object:
        return coare_36(
            given["u"], t=given["t"], rh=given["rh"].copy(), ts=given["ts"], p=1013.0, lat=30.0,
            zi=600.0, ss=35.0, rs=150.0, rl=370.0, jcool=int(skin),
        )  # fmt: skip

    return call


def others(given: dict[str, np.ndarray], skin: bool) -> Callable[[], object]:
    """Make a call of AirSeaFluxCode, with the first tenth of the points."""
    few = {name: values[: len(values) // 10] for name, values in given.items()}
    like = np.ones_like(few["u"])

    def call() -> object:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return AirSeaFluxCode(
                few["u"], few["t"] + K, few["ts"] + K, "bulk" if skin else "skin", "C35",
                lat=30.0 * like, hum=["q", few["q"]], P=1013.0 * like, hin=10, hout=10,
                Rl=370.0 * like, Rs=150.0 * like, cskin=int(skin), skin="C35", wl=0, maxiter=10,
            )  # fmt: skip

    return call


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--turns", type=int, default=5)
    chosen = parser.parse_args()
    # AirSeaFluxCode would write a log file into the current folder.
    logging.basicConfig(handlers=[logging.NullHandler()])
    given = weather(chosen.points)
    print(f"{chosen.points} points, medians of {chosen.turns} turns; {os.cpu_count()} processors")
    print(f"{'':34}{'no skin':>24}{'cool skin':>24}")
    rows = [
        (ONE_THREAD[0], "f4", 10.0, 1),
        (ONE_THREAD[1], "f8", 10.0, 1),
        ("float32, zt = zq = 2 m", "f4", 2.0, 1),
        ("float64, zt = zq = 2 m", "f8", 2.0, 1),
        (TWO_THREADS[0], "f4", 10.0, 2),
        (TWO_THREADS[1], "f8", 10.0, 2),
    ]
    calls = {(PEER, skin): theirs(given, skin) for skin in (False, True)}
    calls |= {(OTHER_PEER, skin): others(given, skin) for skin in (False, True)}
    points = dict.fromkeys(calls, chosen.points) | {
        (OTHER_PEER, skin): chosen.points // 10 for skin in (False, True)
    }
    for label, dtype, height, threads in rows:
        for skin in (False, True):
            calls[label, skin] = ours(given, dtype, height, skin, threads)
            points[label, skin] = chosen.points
    for call in calls.values():
        call()  # compiled, and memory at hand, before anything is timed
    turns = [{key: seconds(call) for key, call in calls.items()} for _ in range(chosen.turns)]
    rate = {key: points[key] / np.median([turn[key] for turn in turns]) / 1e6 for key in calls}
    for label in (PEER, OTHER_PEER, *(row[0] for row in rows)):
        cells = [
            f"{rate[label, skin]:7.2f} M/s {rate[label, skin] / rate[PEER, skin]:6.1f} x"
            for skin in (False, True)
        ]
        print(f"{label:34}{cells[0]:>24}{cells[1]:>24}")
    for one, two in zip(ONE_THREAD, TWO_THREADS, strict=True):
        gains = [f"{rate[two, skin] / rate[one, skin]:.2f} x" for skin in (False, True)]
        print(f"{'two threads over one, ' + one[:7]:34}{gains[0]:>24}{gains[1]:>24}")


if __name__ == "__main__":
    main()
