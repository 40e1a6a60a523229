"""Arrays in a GPU's memory, CuPy's or torch's: checked, made flat, and solved where they are.

Nothing is copied to the GPU or from it but single numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device, is_jax_array, is_torch_array

from fluxkernels.errors import NotNumericError, PlaceError
from fluxkernels.limits import LIMITS, check_number, impossible
from fluxkernels.solving import Outputs, Solve, broadcast_shape


def evaluate(
    solve: Solve, inputs: Mapping[str, Any], outputs: Outputs, dtype: np.dtype[Any]
) -> list[Any]:
    """See `fluxkernels.evaluation.evaluate`: here, of arrays on one GPU, and numbers."""
    values = {name: _number_or_array(name, value) for name, value in inputs.items()}
    arrays = {name: value for name, value in values.items() if not isinstance(value, float)}
    xp, place = _namespace_and_device(arrays)
    real = xp.float32 if dtype == np.float32 else xp.float64
    shape = broadcast_shape({name: tuple(array.shape) for name, array in arrays.items()})
    for name, value in values.items():
        if isinstance(value, float):
            check_number(name, value)
        else:
            _check_limits(xp, name, value)
    size = math.prod(shape)
    flat = [x if isinstance(x, float) else _flat(xp, x, shape, real) for x in values.values()]
    results = [None if o is None else xp.empty(size, dtype=real, device=place) for o in outputs]
    if size:
        solve(flat, results, size)
    return [None if result is None else xp.reshape(result, shape) for result in results]


def _number_or_array(name: str, value: Any) -> Any:
    if hasattr(value, "__cuda_array_interface__"):
        return value
    if np.ndim(value) > 0:
        what = f"a {type(value).__name__} in main memory stands beside arrays on a GPU."
        raise PlaceError(what, name, "Move it there first, or the others to main memory.")
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise NotNumericError(f"not a number: {error}.", name, "Pass real numbers.") from error


def _namespace_and_device(arrays: Mapping[str, Any]) -> tuple[Any, Any]:
    """Array library and GPU of all arrays."""
    mend = "Pass CuPy arrays or CUDA tensors of torch, all of one kind and on one GPU."
    where = ", ".join(arrays)
    try:
        xp = array_namespace(*arrays.values())
    except TypeError as error:
        raise PlaceError(
            "arrays of more than one library, or of none known.", where, mend
        ) from error
    if any(is_jax_array(array) for array in arrays.values()):
        raise PlaceError("JAX arrays cannot be written to.", where, mend)
    places = [device(array) for array in arrays.values()]
    if any(place != places[0] for place in places):
        raise PlaceError("the arrays lie on more than one GPU.", where, mend)
    for name, array in arrays.items():
        if not xp.isdtype(array.dtype, ("real floating", "integral")):
            what = f"an array of {array.dtype} is not one of real numbers."
            raise NotNumericError(what, name, "Convert it first; use NaN for missing values.")
    return xp, places[0]


def _check_limits(xp: Any, name: str, array: Any) -> None:
    """Refuse values that are impossible in the unit asked for; NaN and inf pass as missing."""
    low, high = LIMITS[name][:2]
    bad = ((array < low) & (array > -math.inf)) | ((array > high) & (array < math.inf))
    if not bool(xp.any(bad)):
        return
    first = tuple(int(i[0]) for i in xp.nonzero(bad)) if bad.ndim else ()
    count = int(xp.count_nonzero(bad))
    raise impossible(name, float(array[first]), first, count, math.prod(array.shape))


def _flat(xp: Any, array: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    """One value after the other, in the result's order."""
    row = xp.reshape(xp.broadcast_to(xp.astype(array, dtype, copy=False), shape), (-1,))
    return row.contiguous() if is_torch_array(row) else xp.ascontiguousarray(row)
