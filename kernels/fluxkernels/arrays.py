"""From what callers hold to arrays that kernels take, and back: checks, broadcasting, labels.

Callers' arrays are only read. Kernels see one-dimensional arrays of one dtype, of one value or of
as many as the result has, and fill arrays of the result's size: no point can touch another.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fluxkernels.errors import (
    DtypeError,
    HeightError,
    KernelError,
    NotNumericError,
    OutOfRangeError,
    ShapeError,
)

Array: TypeAlias = NDArray[Any]
Solve: TypeAlias = Callable[[Sequence[Array], Sequence[Array | None], int], None]
"""Fills the outputs that are not None, each of the given size, from the inputs."""
Outputs: TypeAlias = Sequence[Mapping[str, str] | None]
"""What is asked for: see `evaluate`."""

KELVIN_OF_ZERO_CELSIUS = 273.15
_TO_CELSIUS = (1.0, -KELVIN_OF_ZERO_CELSIUS)
_CONVERSIONS: Mapping[str, tuple[float, float]] = {
    "sea_surface_temperature": _TO_CELSIUS,
    "air_temperature": _TO_CELSIUS,
    "temperature": _TO_CELSIUS,
    "pressure": (0.01, 0.0),  # Pa to hPa
    "rain": (3600.0, 0.0),  # kg m-2 s-1 to mm h-1
}
_ABOVE_ZERO = float(np.nextafter(0.0, 1.0))


class Limits(NamedTuple):
    """Range outside which a value must be of another unit, or a fill value."""

    low: float
    high: float
    unit: str
    mend: str
    error: type[KernelError] = OutOfRangeError


_FILL = "If it is a fill value, replace it by NaN."
_KELVIN = Limits(100.0, 400.0, "K", f"If it is in °C, add 273.15. {_FILL}")
_FRACTION = Limits(0.0, 2.0, "1", f"If it is in per cent, divide by 100. {_FILL}")
_RADIATION = Limits(
    -50.0, 2000.0, "W m-2", f"If it is accumulated (J m-2), divide by the seconds. {_FILL}"
)
_HEIGHT = Limits(_ABOVE_ZERO, math.inf, "m", "A height must be above the sea.", HeightError)
_ANY = Limits(-math.inf, math.inf, "1", "")

LIMITS: Mapping[str, Limits] = {
    "wind_speed": Limits(-math.inf, 200.0, "m s-1", _FILL),
    "sea_surface_temperature": _KELVIN,
    "air_temperature": _KELVIN,
    "temperature": _KELVIN,
    "specific_humidity": Limits(
        -0.1, 0.1, "kg kg-1", f"If it is in g kg-1, divide by 1000. {_FILL}"
    ),
    "relative_humidity": _FRACTION,
    "pressure": Limits(2000.0, 200000.0, "Pa", f"If it is in hPa, multiply by 100. {_FILL}"),
    "latitude": Limits(-90.0, 90.0, "degrees_north", _FILL),
    "salinity": Limits(0.0, 100.0, "1e-3", _FILL),
    "shortwave_down": _RADIATION,
    "longwave_down": _RADIATION,
    "albedo": Limits(0.0, 1.0, "1", _FILL),
    "rain": Limits(0.0, 0.5, "kg m-2 s-1", f"If it is in mm h-1, divide by 3600. {_FILL}"),
    "wave_speed": Limits(0.0, 100.0, "m s-1", _FILL),
    "wave_height": Limits(0.0, 50.0, "m", _FILL),
    "current": Limits(-10.0, 10.0, "m s-1", _FILL),
    "height_wind": _HEIGHT,
    "height_temperature": _HEIGHT,
    "height_humidity": _HEIGHT,
    "boundary_layer_height": _HEIGHT,
    "at_height": _HEIGHT,
    "utc_day": _ANY,
    "utc_seconds": _ANY,
    "longitude": Limits(-180.0, 360.0, "degrees_east", _FILL),
    "sensor_depth": Limits(0.0, 100.0, "m", "A depth is positive downward."),
}


def evaluate(
    solve: Solve, inputs: Mapping[str, Any], outputs: Outputs, dtype: DTypeLike | None
) -> list[Any]:
    """Broadcast named inputs, check them, and solve them.

    Parameters
    ----------
    solve : callable
        See `Solve`.
    inputs : mapping of str to array_like
        In the order that `solve` expects; any shapes that broadcast. Masked
        points count as missing (NaN). A DataArray makes the results DataArrays, lazy ones
        where it holds a Dask array.
    outputs : sequence of (mapping of str to str) or None
        Attributes of each output of `solve`, for a DataArray to carry; None if it is not asked
        for.
    dtype : dtype or None
        float32 or float64; None for float32 when all arrays are float32, else float64.

    Returns
    -------
    list of ndarray, scalar or DataArray
        One for each output, of the broadcast shape, or None if it was not asked for; NumPy scalars
        when all inputs are scalars.

    Raises
    ------
    NotNumericError, DtypeError, ShapeError, HeightError, OutOfRangeError
        Before anything is computed.
    """
    if any(is_labelled(value) for value in inputs.values()):
        return _evaluate_labelled(solve, inputs, outputs, dtype)
    arrays = {name: _as_floats(name, value) for name, value in inputs.items()}
    chosen = result_dtype(inputs.values(), dtype)
    shape = _broadcast_shape(arrays)
    for name, array in arrays.items():
        _check_limits(name, array, LIMITS[name])
    return _run(solve, list(arrays.values()), shape, outputs, chosen)


def is_given(value: Any) -> bool:
    """Whether an optional input is more than a single NaN."""
    return not (isinstance(value, float) and math.isnan(value))


def conversions(names: Iterable[str]) -> list[tuple[float, float]]:
    """How each input, in SI, becomes the physics': the factor, and what is added then."""
    return [_CONVERSIONS.get(name, (1.0, 0.0)) for name in names]


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


def result_dtype(values: Iterable[Any], requested: DTypeLike | None) -> np.dtype[Any]:
    """Choose float32 or float64; arrays decide before scalars, Python's numbers never do."""
    if requested is not None:
        return _requested_dtype(requested)
    typed = [value for value in values if type(value) not in (int, float)]
    shaped = [value for value in typed if np.ndim(value) > 0]
    dtypes = [getattr(value, "dtype", np.dtype(float)) for value in shaped or typed]
    single = bool(dtypes) and all(d.kind == "f" and d.itemsize <= 4 for d in dtypes)
    return np.dtype(np.float32 if single else np.float64)


def _requested_dtype(requested: DTypeLike) -> np.dtype[Any]:
    mend = "Ask for float32 or float64, or leave it out."
    try:
        dtype = np.dtype(requested)
    except TypeError as error:
        raise DtypeError(f"{requested!r} is no dtype.", "dtype", mend) from error
    if dtype not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise DtypeError(f"{dtype} is not supported.", "dtype", mend)
    return dtype


def _broadcast_shape(arrays: Mapping[str, Array]) -> tuple[int, ...]:
    try:
        return np.broadcast_shapes(*(array.shape for array in arrays.values()))
    except ValueError as error:
        shapes = ", ".join(f"{name} {a.shape}" for name, a in arrays.items() if a.ndim)
        raise ShapeError(
            "the shapes do not broadcast against each other.",
            shapes,
            "Give arrays of one shape, or insert axes of length 1.",
        ) from error


def _check_limits(name: str, array: Array, limits: Limits) -> None:
    """Refuse values that are impossible in the unit asked for; NaN and inf pass as missing."""
    lowest = np.fmin.reduce(array, axis=None, initial=np.inf)
    highest = np.fmax.reduce(array, axis=None, initial=-np.inf)
    if lowest >= limits.low and highest <= limits.high:
        return
    bad = np.isfinite(array) & ~((array >= limits.low) & (array <= limits.high))
    if bad.any():
        raise _limits_error(name, array, bad, limits)


def _limits_error(name: str, array: Array, bad: Array, limits: Limits) -> KernelError:
    first = tuple(int(i) for i in np.argwhere(bad)[0])
    where = f"{name}[{', '.join(map(str, first))}]" if first else name
    share = f" ({int(bad.sum())} of {bad.size} values)" if bad.size > 1 else ""
    what = f"{float(array[first]):g} is no {name.replace('_', ' ')} in {limits.unit}{share}."
    return limits.error(what, where, limits.mend)


def _run(
    solve: Solve,
    arrays: Sequence[Array],
    shape: tuple[int, ...],
    outputs: Outputs,
    dtype: np.dtype[Any],
) -> list[Any]:
    """Solve flat arrays; scalars stay single numbers."""
    rows = [a if a.size == 1 else np.broadcast_to(a, shape) for a in arrays]
    flat = [np.ascontiguousarray(row.reshape(-1), dtype) for row in rows]
    size = math.prod(shape)
    results = [None if wanted is None else np.empty(size, dtype) for wanted in outputs]
    solve(flat, results, size)
    return [None if result is None else result.reshape(shape)[()] for result in results]


def is_labelled(value: Any) -> bool:
    """Tell a DataArray without importing xarray: who passes one has imported it."""
    xarray = sys.modules.get("xarray")
    return xarray is not None and isinstance(value, xarray.DataArray)


def _evaluate_labelled(
    solve: Solve, inputs: Mapping[str, Any], outputs: Outputs, dtype: DTypeLike | None
) -> list[Any]:
    """Evaluate on the arrays inside DataArrays, broadcasting by the names of dimensions."""
    chosen = result_dtype(inputs.values(), dtype)
    wanted = [attributes for attributes in outputs if attributes is not None]

    def on_arrays(*values: Any) -> Any:
        named = dict(zip(inputs, values, strict=True))
        made = evaluate(solve, named, outputs, chosen)
        results = tuple(result for result in made if result is not None)
        return results if len(wanted) > 1 else results[0]

    try:
        made = sys.modules["xarray"].apply_ufunc(
            on_arrays,
            *inputs.values(),
            output_core_dims=[()] * len(wanted),
            dask="parallelized",
            output_dtypes=[chosen] * len(wanted),
            keep_attrs=False,
        )
    except KernelError:
        raise
    except ValueError as error:
        mend = "Align the coordinates first, e.g. with xarray.align."
        raise ShapeError(f"{error}.", "DataArrays", mend) from error
    results = iter(made if len(wanted) > 1 else [made])
    return [None if asked is None else next(results).assign_attrs(asked) for asked in outputs]
