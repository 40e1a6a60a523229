"""The process that makes blocks: what it has loaded, what it computes on, what memory it holds."""

from __future__ import annotations

import ctypes
import gc
import os
import platform
import resource
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import cache
from pathlib import Path
from typing import Any

from fluxengine.declare import Arrays, Dataset, Stage, wants_gpu
from fluxengine.key import reader_parts, standing_digest, weights_of_stage

_GPU = threading.Lock()
_LOADED: dict[tuple[Any, ...], Callable[[Arrays], Arrays]] = {}
_LOADING: dict[tuple[Any, ...], threading.RLock] = {}
_LOADING_ANY = threading.Lock()
_PEAK_OF = ""  # the dataset since whose first block the peak of this process is counted
_MODULES = 0  # that the garbage collector is kept from
FEW = 50  # modules more are not worth a collection
# What a process keeps of what it freed, the largest array that is made of it, and that all of its
# threads share it: decision 0021.
KEPT_MEMORY = {
    "MALLOC_TRIM_THRESHOLD_": 256 * 2**20,
    "MALLOC_MMAP_THRESHOLD_": 32 * 2**20,
    "MALLOC_ARENA_MAX": 1,
}
_OPTIONS = {  # mallopt's, of glibc
    "MALLOC_TRIM_THRESHOLD_": -1,
    "MALLOC_MMAP_THRESHOLD_": -3,
    "MALLOC_ARENA_MAX": -8,
}


def loaded(stage: Stage) -> Callable[[Arrays], Arrays]:
    """A stage's function, loaded once for each worker; other stages load meanwhile."""
    known_by = _known_by(stage)
    with _LOADING_ANY:
        loading = _LOADING.setdefault(known_by, threading.RLock())
    with loading:
        if known_by not in _LOADED:
            _LOADED[known_by] = stage.load()
        return _LOADED[known_by]


def _known_by(stage: Stage) -> tuple[Any, ...]:
    """What tells a stage from any other: all that enters the key, and what its text says beside.

    Of a large array the text leaves out most, and it rounds; the key leaves out folders, devices
    and all but the names of variables.
    """
    keyed = standing_digest(reader_parts([stage], {}))
    return type(stage), keyed, repr(stage), stage.device, *weights_of_stage(stage).items()


def device_of(stage: Stage) -> AbstractContextManager[Any]:
    """One block at a time on a worker's GPU; the others read and write meanwhile."""
    return _GPU if stage.device == "cuda" else nullcontext()


def device_name(dataset: Dataset) -> str:
    """The GPU, where a stage wants one and there is one; else the CPU and its threads."""
    torch = sys.modules.get("torch")  # a stage that uses it has imported it
    if wants_gpu(dataset) and torch is not None and torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    return f"{platform.machine()}, {os.environ.get('OMP_NUM_THREADS') or os.cpu_count()} threads"


def worker_name() -> str:
    """Name of the Dask worker, or of this machine."""
    distributed = sys.modules.get("distributed")
    if distributed is not None:
        with suppress(ValueError):  # not on a worker
            return str(distributed.get_worker().name)
    return platform.node()


def begin(dataset: str) -> None:
    """Before a block: count memory anew with each dataset, and spare the garbage collector.

    What an earlier dataset held, or freed and kept, is not of this one.
    """
    global _PEAK_OF
    spare_modules()
    keep_memory()
    if dataset != _PEAK_OF:
        _PEAK_OF = dataset
        with suppress(OSError, AttributeError):  # another system: the peak since the start then
            ctypes.CDLL("libc.so.6").malloc_trim(0)
            Path("/proc/self/clear_refs").write_text("5")


@cache
def keep_memory() -> None:
    """Keep what is freed for the next arrays, unless the environment says how much of it.

    Else the system takes their pages back and clears them anew for each: a third of the time that
    a network takes.
    """
    if KEPT_MEMORY.keys() & os.environ.keys():
        return
    with suppress(OSError, AttributeError):  # another C library
        library = ctypes.CDLL("libc.so.6")
        for name, value in KEPT_MEMORY.items():
            library.mallopt(_OPTIONS[name], value)


def spare_modules() -> None:
    """Modules stay: to look through them for garbage again and again took a tenth of the time."""
    global _MODULES
    if len(sys.modules) > _MODULES + FEW:
        _MODULES = len(sys.modules)
        gc.collect()
        gc.freeze()


def peak_memory() -> int:
    """Bytes that this process held at most since its first block of the present dataset."""
    with suppress(OSError):  # no Linux
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return 1024 * int(line.split()[1])
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
