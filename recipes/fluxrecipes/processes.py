"""Worker processes for work that needs no cluster: simulating an archive, computing its truth."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


@contextmanager
def pool(processes: int) -> Iterator[ProcessPoolExecutor]:
    """Single-threaded processes that start afresh: a fork of a process with threads may hang.

    Without the limit each process would bring a thread for every core, all waiting for one another.
    """
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as workers:
            try:
                yield workers
            finally:
                workers.shutdown(cancel_futures=True)
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
