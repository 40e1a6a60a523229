"""Physics on an NVIDIA GPU: one thread for each point, from the same sources as on a CPU.

A kernel is written for one physics, for which of its inputs are arrays, and for which outputs
are asked for: what nobody wants is not computed. All that it says is in which order the physics'
functions are called; the functions are copies of those that `fluxkernels.cpu` runs, with the
GPU's own elementary functions in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from itertools import compress, count
from types import FunctionType
from typing import Any, NamedTuple, get_type_hints

import numpy as np
from array_api_compat import is_cupy_array, is_torch_array
from numba import config as numba_config
from numba import cuda as numba_cuda

from fluxkernels import vector_math
from fluxkernels.compile import Algorithm, Map, Specialiser, keep_on_disk, key
from fluxkernels.errors import MissingPackageError
from fluxkernels.solving import Solve
from fluxkernels.vector_math import exp2, log2

cuda: Any = numba_cuda
SIMULATED: bool = getattr(numba_config, "ENABLE_CUDASIM", False)
"""Whether Numba runs plain Python instead of a GPU (NUMBA_ENABLE_CUDASIM=1)."""
_THREADS = 128  # of a block


class Shape(NamedTuple):
    """What a kernel is compiled for, beside its physics."""

    varying: tuple[bool, ...]  # which inputs are arrays
    wanted: tuple[bool, ...]  # which outputs are asked for
    conversions: tuple[tuple[float, float], ...]
    dtype: str


def solver(
    physics: Algorithm | Map, conversions: Sequence[tuple[float, float]], threads: int | None = None
) -> Solve:
    """Make what fills outputs from inputs, all on one GPU; compiled at its first use.

    Parameters
    ----------
    physics : Algorithm or Map
        What to compute.
    conversions : sequence of (float, float)
        From the callers' units to the physics', for each field of its inputs: factor, offset.
    threads : int, optional
        Of no meaning here.

    Returns
    -------
    Solve
        See `fluxkernels.solving`; it returns when the work is queued on the stream that the
        arrays' library works on.
    """
    if not SIMULATED and find_spec("numba_cuda") is None:
        what = "Numba needs the package numba-cuda to compile for a GPU, and does not find it."
        raise MissingPackageError(what, "", "Install fluxforge[cuda12] or fluxforge[cuda13].")

    def solve(inputs: Sequence[Any], outputs: Sequence[Any], size: int) -> None:
        results = tuple(array for array in outputs if array is not None)
        dtype = np.dtype(str(results[0].dtype).removeprefix("torch."))
        shape = Shape(
            varying=tuple(not isinstance(x, float) for x in inputs),
            wanted=tuple(array is not None for array in outputs),
            conversions=tuple(conversions),
            dtype=dtype.name,
        )
        arrays = tuple(x for x in inputs if not isinstance(x, float))
        converted = zip(inputs, conversions, strict=True)
        numbers = [dtype.type(x * f + o) for x, (f, o) in converted if isinstance(x, float)]
        spare = dtype.type(0)  # a kernel takes no empty tuple
        run = _compiled(physics, shape)
        index, stream = _place(results[0])
        with cuda.gpus[index]:
            run[-(-size // _THREADS), _THREADS, stream](arrays, (*numbers, spare), results, size)

    return solve


def _place(array: Any) -> tuple[int, Any]:
    """GPU of an array, and the stream that its library works on now."""
    if is_torch_array(array):
        import torch

        index, pointer = array.device.index, torch.cuda.current_stream(array.device).cuda_stream
    elif is_cupy_array(array):
        import cupy

        index, pointer = array.device.id, cupy.cuda.get_current_stream().ptr
    else:
        index, pointer = 0, 0
    return index, cuda.external_stream(pointer) if pointer else 0


@cache
def _compiled(physics: Algorithm | Map, shape: Shape) -> Any:
    """Compile a kernel: its arguments are the arrays, the numbers, the results and their size."""
    # Quick division and roots in single precision. Numba gives this flag's leave to forget about
    # NaN to the kernel's own arithmetic only: it has none, the physics stands in functions.
    kernel = cuda.jit(written(physics, shape), fastmath=shape.dtype == "float32")
    if hasattr(kernel, "enable_caching"):  # the simulator compiles nothing
        keep_on_disk(kernel, (key(physics), repr(shape)))
    return kernel


def written(physics: Algorithm | Map, shape: Shape) -> FunctionType:
    """Write a kernel as a Python function, with all that it calls compiled for the GPU."""
    copy = _specialiser(shape.dtype)
    real = np.dtype(shape.dtype).type
    scope: dict[str, Any] = {"cuda": cuda, "INPUTS": physics.inputs, "OPTIONS": physics.options}
    scope["scaled"] = copy(_scaled)
    scope |= {f"factor_{k}": real(factor) for k, (factor, _) in enumerate(shape.conversions)}
    scope |= {f"offset_{k}": real(offset) for k, (_, offset) in enumerate(shape.conversions)}
    if isinstance(physics, Map):
        scope["function"] = copy(physics.function)
        solution = ["made = function(x, OPTIONS)"]
    else:
        scope |= {name: copy(getattr(physics, name)) for name in ("prepare", "guess", "finish")}
        scope |= {"KEPT": physics.kept, "PASSES": physics.passes}
        scope["one_pass"] = cuda.jit(device=True)(_one_pass(physics, copy))
        kept = ", ".join(f"state.{name}" for name in _names(physics.kept))
        solution = [line.format(kept=kept) for line in _ITERATION]
    body = [f"x = INPUTS({', '.join(_reads(shape))})", *solution, *_writes(physics, shape)]
    return _function("kernel", _KERNEL.format(body="\n        ".join(body)), scope)


@cache
def _specialiser(dtype: str) -> Specialiser:
    """Copies that all kernels of a dtype share."""
    return Specialiser(dtype, _math(dtype), cuda.jit(device=True))


_KERNEL = """
def kernel(arrays, numbers, results, size):
    i = cuda.grid(1)
    if i < size:
        {body}
"""
_ITERATION = (
    "fixed = prepare(x, OPTIONS)",
    "state = one_pass(x, fixed, guess(x, fixed, OPTIONS))",
    "first = KEPT({kept})",
    "for _ in range(1, PASSES):",
    "    state = one_pass(x, fixed, state)",
    "made = finish(x, fixed, first, state, OPTIONS)",
)
_PASS = """
def one_pass(x, fixed, state):
    {steps}
    return state
"""


def _scaled(value: float, factor: float, offset: float) -> float:
    return value * factor + offset


def _names(record: Any) -> tuple[str, ...]:
    """Names of the fields of a named tuple's class."""
    names: tuple[str, ...] = record._fields
    return names


def _reads(shape: Shape) -> list[str]:
    """Where each input comes from, in the physics' units."""
    arrays, numbers = count(), count()
    return [
        f"scaled(arrays[{next(arrays)}][i], factor_{k}, offset_{k})"
        if varies
        else f"numbers[{next(numbers)}]"
        for k, varies in enumerate(shape.varying)
    ]


def _writes(physics: Algorithm | Map, shape: Shape) -> list[str]:
    """Where each output goes that is asked for."""
    names = compress(_names(physics.outputs), shape.wanted)
    return [f"results[{k}][i] = made.{name}" for k, name in enumerate(names)]


def _one_pass(physics: Algorithm, copy: Specialiser) -> FunctionType:
    """Write all steps of a pass, each followed by the state with what it changed."""
    scope: dict[str, Any] = {"OPTIONS": physics.options, "STATE": physics.state}
    lines = []
    for k, step in enumerate(physics.steps):
        scope[f"step_{k}"] = copy(step)
        changed = _names(get_type_hints(step)["return"])
        news = (f"{'new' if name in changed else 'state'}.{name}" for name in _names(physics.state))
        lines += [f"new_{k} = step_{k}(x, fixed, state, OPTIONS)"]
        lines += [f"state = STATE({', '.join(news)})".replace("new.", f"new_{k}.")]
    return _function("one_pass", _PASS.format(steps="\n    ".join(lines)), scope)


def _function(name: str, source: str, scope: dict[str, Any]) -> FunctionType:
    """Make a function of its source; for Numba's cache it stands in this file."""
    scope["__name__"] = __name__
    exec(compile(source, __file__, "exec"), scope)
    function: FunctionType = scope[name]
    return function


def _power(base: float, exponent: float) -> float:
    return exp2(exponent * log2(base))


_NAMES = ("log", "log2", "exp", "exp2", "atan", "sin", "sqrt")
_QUICK = {"log": "fast_logf", "log2": "fast_log2f", "exp": "fast_expf", "sin": "fast_sinf"}


def _math(dtype: str) -> dict[Any, Any]:
    """The GPU's elementary functions of a dtype, in place of those of plain Python.

    In single precision its special function unit's, right to about two units in the last place:
    with errors as large as those can be, COARE's fluxes stay within half of what single precision
    is allowed to be off, 5e-3 W m-2 and 1e-5 N m-2. ECMWF's are off by up to 1e-2 W m-2 on a
    processor, too. NCAR's passes do not settle near neutral: there any rounding grows, at up to a
    few points in a thousand beyond those bounds, and at some in a million to tens of W m-2 and
    several 1e-3 N m-2.
    """
    if SIMULATED:
        # The simulator runs plain Python, where math.log(-1) raises; a GPU gives NaN, and so
        # does NumPy.
        functions = [getattr(np, {"atan": "arctan"}.get(name, name)) for name in _NAMES]
    else:
        from numba.cuda import libdevice

        single = dtype == "float32"
        names = [_QUICK.get(name, f"{name}f") if single else name for name in _NAMES]
        functions = [getattr(libdevice, name) for name in names]
    plain = [getattr(vector_math, name) for name in _NAMES]
    return {**dict(zip(plain, functions, strict=True)), vector_math.power: _power}
