"""Trends of a globe of series, all tests: one process, two threads, beside pymannkendall on some.

    python tests/bench/trends.py [annual] [monthly] [daily]

43,200 series of 29, 348 and 10,593 values: noise with autocorrelation, rounded as a store rounds.
Days come a slab at a time, as they are read.
"""

from __future__ import annotations

import resource
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import pymannkendall as mk

from fluxkernels.stats.field import significant
from fluxkernels.stats.rank import rank_trend
from fluxkernels.stats.trend import linear_trend

SERIES, SLAB = 43_200, 1_800
STEP = 0.002  # K: that of temperatures in the store
LENGTHS = {"annual": (29, 1), "monthly": (348, 12), "daily": (10_593, 365.2425)}
PEERS = {"annual": 400, "monthly": 60, "daily": 1}  # series that pymannkendall does


def slab(length: int, persistence: float, seed: int) -> np.ndarray[Any, Any]:
    """Series of a part of the globe, float32."""
    rng = np.random.default_rng(seed)
    made = rng.normal(size=(length, SLAB)).astype(np.float32)
    for step in range(1, length):
        made[step] += persistence * made[step - 1]
    return (np.round(made / STEP) * STEP + 290).astype(np.float32)


def trends(made: np.ndarray[Any, Any], times: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """All tests of some series."""
    rank_trend(made, times)
    return linear_trend(made, times).p_value


def globe(slabs: list[np.ndarray[Any, Any]], times: np.ndarray[Any, Any]) -> float:
    """Seconds for as many slabs as make a globe."""
    start = time.perf_counter()
    many = [slabs[at % len(slabs)] for at in range(SERIES // SLAB)]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(partial(trends, times=times), many))
    significant(np.concatenate(found))
    return time.perf_counter() - start


def main(which: list[str]) -> None:
    """Time each length."""
    trends(slab(12, 0.0, 0), np.arange(12.0))  # compiled, or from the cache
    trends(slab(120, 0.0, 0), np.arange(120.0))
    for name in which or LENGTHS:
        length, a_year = LENGTHS[name]
        times = np.arange(length) / a_year / 10.0
        daily = name == "daily"  # a slab of days takes long to make
        slabs = [slab(length, 0.8, seed) for seed in range(1 if daily else SERIES // SLAB)]
        rounds = [globe(slabs, times) for _ in range(1 if daily else 5)]
        ours = sorted(rounds)[len(rounds) // 2]
        start = time.perf_counter()
        for place in range(PEERS[name]):
            mk.original_test(slabs[0][:, place])
            mk.hamed_rao_modification_test(slabs[0][:, place])
        theirs = (time.perf_counter() - start) / PEERS[name] * SERIES
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(
            f"{name:<8} {SERIES} series of {length:>6}: {ours:6.2f} s; pymannkendall, one thread,"
            f" {PEERS[name]} of them scaled: {theirs:9.0f} s; memory so far {memory:.2f} GiB"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
