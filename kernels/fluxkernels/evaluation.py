"""From what callers hold to what kernels take, and back: labels, dtypes, and where to compute."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fluxkernels import host_arrays
from fluxkernels.errors import DtypeError, KernelError, ShapeError
from fluxkernels.solving import Outputs, Processor, Solve


def evaluate(
    make: Callable[[Processor], Solve],
    inputs: Mapping[str, Any],
    outputs: Outputs,
    dtype: DTypeLike | None,
) -> list[Any]:
    """Broadcast named inputs, check them, and solve them where they are.

    Parameters
    ----------
    make : callable
        Makes a `Solve` for a processor: `fluxkernels.cuda` where an input is an array on a GPU,
        else `fluxkernels.cpu`.
    inputs : mapping of str to array_like
        In the order that `Solve` expects; any shapes that broadcast. Masked points count as
        missing (NaN). A DataArray makes the results DataArrays, lazy ones where it holds a Dask
        array.
    outputs : sequence of (mapping of str to str) or None
        See `Outputs`.
    dtype : dtype or None
        float32 or float64; None for float32 when all arrays are float32, else float64.

    Returns
    -------
    list of array, scalar or DataArray
        One for each output, of the broadcast shape, or None if it was not asked for; NumPy scalars
        when all inputs are scalars, arrays on a GPU when one was given.

    Raises
    ------
    NotNumericError, DtypeError, ShapeError, HeightError, OutOfRangeError, PlaceError
        Before anything is computed.
    """
    check_indices(inputs)
    chosen = result_dtype(inputs.values(), dtype)
    if any(is_labelled(value) for value in inputs.values()):
        return _evaluate_labelled(make, inputs, outputs, chosen)
    # Compilers are imported only when they are needed.
    if any(is_on_device(value) for value in inputs.values()):
        from fluxkernels import cuda, device_arrays

        return device_arrays.evaluate(make(cuda), inputs, outputs, chosen)
    from fluxkernels import cpu

    return host_arrays.evaluate(make(cpu), inputs, outputs, chosen)


def is_labelled(value: Any) -> bool:
    """Tell a DataArray without importing xarray: who passes one has imported it."""
    xarray = sys.modules.get("xarray")
    return xarray is not None and isinstance(value, xarray.DataArray)


def is_on_device(value: Any) -> bool:
    """Tell an array in a GPU's memory: CuPy's, or a CUDA tensor of torch."""
    return hasattr(value, "__cuda_array_interface__")


def check_indices(values: Mapping[str, Any]) -> None:
    """Refuse objects of pandas whose rows or columns differ: they are taken by position.

    Raises
    ------
    ShapeError
        FK103.
    """
    pandas = sys.modules.get("pandas")
    if pandas is None:
        return
    seen: dict[int, tuple[str, Any]] = {}
    for name, value in values.items():
        if isinstance(value, pandas.Series | pandas.DataFrame):
            first, other = seen.setdefault(value.ndim, (name, value))
            if not all(a.equals(b) for a, b in zip(value.axes, other.axes, strict=True)):
                mend = "Align them first, e.g. with pandas.concat, or pass their values."
                raise ShapeError("index or columns differ.", f"{first}, {name}", mend)


def result_dtype(values: Iterable[Any], requested: DTypeLike | None) -> np.dtype[Any]:
    """Choose float32 or float64; arrays decide before scalars, Python's numbers never do."""
    if requested is not None:
        return _requested_dtype(requested)
    typed = [value for value in values if type(value) not in (int, float)]
    shaped = [value for value in typed if _ndim(value) > 0]
    dtypes = [_dtype(value) for value in shaped or typed]
    single = bool(dtypes) and all(d.kind == "f" and d.itemsize <= 4 for d in dtypes)
    return np.dtype(np.float32 if single else np.float64)


def _ndim(value: Any) -> int:
    try:
        return np.ndim(value)
    except ValueError:
        return 1  # rows of different lengths: refused later, by name


def _dtype(value: Any) -> np.dtype[Any]:
    """NumPy's name for an array's dtype; what has none becomes float64."""
    if is_on_device(value):
        return np.dtype(str(value.__cuda_array_interface__["typestr"]))
    dtype = getattr(value, "dtype", None)
    return np.dtype(dtype if isinstance(dtype, np.dtype) else float)


def _requested_dtype(requested: DTypeLike) -> np.dtype[Any]:
    mend = "Ask for float32 or float64, or leave it out."
    try:
        dtype = np.dtype(requested)
    except TypeError as error:
        raise DtypeError(f"{requested!r} is no dtype.", "dtype", mend) from error
    if dtype not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise DtypeError(f"{dtype} is not supported.", "dtype", mend)
    return dtype


def _evaluate_labelled(
    make: Callable[[Processor], Solve],
    inputs: Mapping[str, Any],
    outputs: Outputs,
    dtype: np.dtype[Any],
) -> list[Any]:
    """Evaluate on the arrays inside DataArrays, broadcasting by the names of dimensions."""
    wanted = [attributes for attributes in outputs if attributes is not None]

    def on_arrays(*values: Any) -> Any:
        named = dict(zip(inputs, values, strict=True))
        made = evaluate(make, named, outputs, dtype)
        results = tuple(result for result in made if result is not None)
        return results if len(wanted) > 1 else results[0]

    try:
        made = sys.modules["xarray"].apply_ufunc(
            on_arrays,
            *inputs.values(),
            output_core_dims=[()] * len(wanted),
            dask="parallelized",
            output_dtypes=[dtype] * len(wanted),
            keep_attrs="drop_conflicts",  # of coordinates; those of the values are replaced below
        )
    except KernelError:
        raise
    except ValueError as error:
        mend = "Align the coordinates first, e.g. with xarray.align."
        raise ShapeError(f"{error}.", "DataArrays", mend) from error
    results = iter(made if len(wanted) > 1 else [made])
    return [None if asked is None else with_attributes(next(results), asked) for asked in outputs]


def with_attributes(labelled: Any, attributes: Mapping[str, str]) -> Any:
    """Take a DataArray's attributes for others; its coordinates keep theirs."""
    return labelled.drop_attrs(deep=False).assign_attrs(attributes)
