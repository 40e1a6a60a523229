"""Arrays in main memory: checked, made flat and of one dtype, and solved.

Callers' arrays are only read. Kernels see numbers, and one-dimensional arrays of as many values as
the result has, and fill arrays of that size: no point can touch another.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fluxkernels.errors import NotNumericError
from fluxkernels.limits import LIMITS, impossible
from fluxkernels.solving import Outputs, Solve, broadcast_shape

Array = NDArray[Any]


def evaluate(
    solve: Solve, inputs: Mapping[str, Any], outputs: Outputs, dtype: np.dtype[Any]
) -> list[Any]:
    """See `fluxkernels.evaluation.evaluate`: here, of NumPy arrays and what becomes one."""
    arrays = {name: _as_floats(name, value) for name, value in inputs.items()}
    shape = broadcast_shape({name: array.shape for name, array in arrays.items()})
    for name, array in arrays.items():
        _check_limits(name, array)
    flat = [_flat(array, shape, dtype) for array in arrays.values()]
    size = math.prod(shape)
    results = [None if wanted is None else np.empty(size, dtype) for wanted in outputs]
    solve(flat, results, size)
    return [None if result is None else result.reshape(shape)[()] for result in results]


def _as_floats(name: str, value: Any) -> Array:
    """View or convert to a float array; masked points become NaN in a copy."""
    try:
        masked = isinstance(value, np.ma.MaskedArray)
        array = np.ma.asarray(value) if masked else np.asarray(value)
    except (ValueError, TypeError) as error:
        raise NotNumericError(f"not an array: {error}.", name, "Pass real numbers.") from error
    if array.dtype.kind not in "fiu":
        raise NotNumericError(
            f"an array of {array.dtype} is not one of real numbers.",
            name,
            "Convert it first, e.g. with .astype(float); use NaN for missing values.",
        )
    # Half precision has no use here, and long double no compiled code.
    dtype = np.float32 if array.dtype.kind == "f" and array.dtype.itemsize <= 4 else np.float64
    array = array.astype(dtype, copy=False)
    return np.ma.filled(array, np.nan) if masked else array


def _check_limits(name: str, array: Array) -> None:
    """Refuse values that are impossible in the unit asked for; NaN and inf pass as missing."""
    limits = LIMITS[name]
    lowest = np.fmin.reduce(array, axis=None, initial=np.inf)
    highest = np.fmax.reduce(array, axis=None, initial=-np.inf)
    if lowest >= limits.low and highest <= limits.high:
        return
    bad = np.isfinite(array) & ~((array >= limits.low) & (array <= limits.high))
    if bad.any():
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        raise impossible(name, float(array[first]), first, int(bad.sum()), bad.size)


def _flat(array: Array, shape: tuple[int, ...], dtype: np.dtype[Any]) -> float | Array:
    if array.size == 1:
        return float(array.reshape(())[()])
    return np.ascontiguousarray(np.broadcast_to(array, shape).reshape(-1), dtype)
