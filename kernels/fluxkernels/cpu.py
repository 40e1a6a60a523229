"""Physics on a CPU: loops over blocks of points that run in vector registers, on threads.

A loop of ten passes for each point does not vectorise; ten loops over a block of points do, if
nothing in them branches or calls. `fluxkernels.loops` therefore works through blocks of `BLOCK`
points; what passes between the loops stands in rows of a scratch array that stays in the
processor's first cache.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, reduce
from typing import Any, TypeAlias

import numpy as np
from numba.core import decorators
from numpy.typing import NDArray

from fluxkernels import loops, vector_math
from fluxkernels.compile import Algorithm, Map, Specialiser, keep_on_disk, key, renamed
from fluxkernels.intrinsics import BLOCK, SUBSTITUTES
from fluxkernels.solving import Solve

Array: TypeAlias = NDArray[Any]

_POINTS_A_PIECE = 16384  # fewer are not worth a thread's while
_PIECES_A_THREAD = 8
_CACHE_LINE = 64
_INT64 = np.dtype(np.int64)

# Division by zero gives inf, as in NumPy and in the references. Of the fast-math flags only
# those that keep NaN and the order of sums: multiply-add in one, no sign of zero, x * (1 / y).
_OPTIONS: dict[str, Any] = {
    "error_model": "numpy",
    "nogil": True,
    "fastmath": {"contract", "nsz", "arcp"},
}
# What is compiled into its callers only.
_PART = {"forceinline": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
njit: Any = decorators.njit

Conversions: TypeAlias = Sequence[tuple[float, float]]
"""How callers' values become the physics': value * factor + offset."""


def solver(physics: Algorithm | Map, conversions: Conversions, threads: int | None = None) -> Solve:
    """Make what fills outputs from inputs; compiled at its first use, and kept on disk.

    Parameters
    ----------
    physics : Algorithm or Map
        What to compute.
    conversions : sequence of (float, float)
        From the callers' units to the physics', for each field of its inputs.
    threads : int, optional
        Default: one for each processor that this process may use, but a single one when
        called from a thread that is not the main one (whose maker is parallel already), and
        never more than one for fewer than 32768 points.

    Returns
    -------
    Solve
        See `fluxkernels.solving`.
    """
    factors, offsets = (np.array(column, np.float64) for column in zip(*conversions, strict=True))

    def solve(inputs: Sequence[Any], outputs: Sequence[Array | None], size: int) -> None:
        dtype = next(array.dtype for array in outputs if array is not None)
        run = _compiled(physics, dtype.name)
        varies = [isinstance(x, np.ndarray) for x in inputs]
        numbers = np.array([0.0 if v else x for x, v in zip(inputs, varies, strict=True)], dtype)
        addresses, steps = _addresses(inputs, numbers), np.array(varies, _INT64)
        targets = np.array([0 if a is None else a.ctypes.data for a in outputs], _INT64)

        def part(start: int, stop: int) -> None:
            scratch = _aligned(run.scratch_size, dtype)
            run(addresses, steps, factors, offsets, targets, scratch, start, stop)

        workers = _threads(threads)
        pieces = _pieces(size, workers)
        if len(pieces) == 1:
            part(0, size)
            return
        with ThreadPoolExecutor(workers) as pool:
            for done in [pool.submit(part, *piece) for piece in pieces]:
                done.result()

    return solve


def _addresses(inputs: Sequence[Any], numbers: Array) -> Array:
    """Where each input begins: in its array, or at its place among the numbers."""
    places = [
        x.ctypes.data if isinstance(x, np.ndarray) else numbers[k:].ctypes.data
        for k, x in enumerate(inputs)
    ]
    return np.array(places, _INT64)


def _threads(wanted: int | None) -> int:
    if wanted is not None:
        return wanted
    if threading.current_thread() is not threading.main_thread():
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _pieces(size: int, threads: int) -> list[tuple[int, int]]:
    """Cut the points into pieces of whole blocks, some for each thread: none waits for long."""
    most = 1 if threads == 1 else threads * _PIECES_A_THREAD
    count = max(1, min(most, size // _POINTS_A_PIECE))
    blocks = -(-size // BLOCK)
    ends = [min(size, BLOCK * (blocks * (k + 1) // count)) for k in range(count)]
    return list(zip([0, *ends[:-1]], ends, strict=True))


def _aligned(size: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Scratch array that begins where a cache line does."""
    raw = np.empty(size * dtype.itemsize + _CACHE_LINE, np.uint8)
    begin = -raw.ctypes.data % _CACHE_LINE
    return raw[begin : begin + size * dtype.itemsize].view(dtype)


@cache
def _compiled(physics: Algorithm | Map, dtype: str) -> Any:
    """Compile a driver: its arguments are those of `fluxkernels.loops.run`."""
    inlined, copy = njit(**_OPTIONS, **_PART), _specialiser(dtype)
    scope, size = _layout(physics)

    def loop(template: Callable[..., Any], **names: Any) -> Any:
        return inlined(renamed(template, {**vars(loops), **scope, **names}))

    if isinstance(physics, Map):
        work = loop(loops.map_block, function=copy(physics.function))
    else:

        def one_after_other(a: Any, b: Any) -> Any:
            return loop(loops.both_blocks, one=a, other=b)

        stepping = [loop(loops.step_block, step=copy(step)) for step in physics.steps]
        work = loop(
            loops.iterate_block,
            prepare_all=loop(loops.prepare_block, prepare=copy(physics.prepare)),
            guess_all=loop(loops.guess_block, guess=copy(physics.guess)),
            one_pass=reduce(one_after_other, stepping),
            keep_all=loop(loops.keep_block),
            finish_all=loop(loops.finish_block, finish=copy(physics.finish)),
        )
    names = {"work": work, "gather": loop(loops.gather_block), "scatter": loop(loops.scatter_block)}
    driver = njit(**_OPTIONS)(renamed(loops.run, {**vars(loops), **scope, **names}))
    keep_on_disk(driver, (key(physics), dtype))
    driver.scratch_size = size
    return driver


@cache
def _specialiser(dtype: str) -> Specialiser:
    """Copies that all drivers of a dtype share: each is compiled once, whatever the options."""
    substitutes = {**SUBSTITUTES, **vector_math.VECTOR[dtype]}
    return Specialiser(dtype, substitutes, njit(**_OPTIONS, **_PART))


def _layout(physics: Algorithm | Map) -> tuple[dict[str, Any], int]:
    """Names for the loops, with the first row of each record, and the size of the scratch."""
    scope: dict[str, Any] = {
        "INPUTS": physics.inputs,
        "OUTPUTS": physics.outputs,
        "OPTIONS": physics.options,
    }
    records = {"INPUT": physics.inputs, "OUTPUT": physics.outputs}
    if isinstance(physics, Algorithm):
        scope |= {"FIXED": physics.fixed, "STATE": physics.state, "KEPT": physics.kept}
        scope["PASSES"] = physics.passes
        records |= {"FIXED": physics.fixed, "STATE": physics.state, "KEPT": physics.kept}
    row = 0
    record: Any
    for name, record in records.items():
        scope[f"{name}_ROW"] = row * BLOCK
        row += len(record._fields)
    return scope, row * BLOCK
