"""Series side by side: what all statistics over time ask of their arguments."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from fluxkernels.errors import NotNumericError, ShapeError, TimeError

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

FEWEST = 3  # values that a trend needs


def filled(values: Any) -> Array:
    """Values as a plain array, with NaN where a mask hides them; what is plain is not copied.

    Below the mask of what netCDF4 hands out are fill values, which are finite.

    Parameters
    ----------
    values : array_like
        Whole numbers with a mask become float64; floats keep their precision.
    """
    if np.ma.isMA(values) and values.dtype.kind in "fiub":
        floats = values if values.dtype.kind == "f" else values.astype(np.float64)
        return np.asarray(np.ma.filled(floats, np.nan))
    return np.asarray(values)


def as_series(values: Array) -> tuple[Array, tuple[int, ...]]:
    """Values as (time, series), NaN where they are masked, and the shape of all axes but time.

    Raises
    ------
    ShapeError
        FK103: there is no axis of time.
    NotNumericError
        FK104: they are no real numbers.
    """
    given = filled(values)
    if given.ndim == 0 or not len(given):
        raise ShapeError(f"shape {given.shape} has no time.", "values", "Give (time, ...).")
    if given.dtype.kind not in "fiub":
        raise NotNumericError(f"numbers of type {given.dtype} have no trend.", "values")
    if given.dtype not in (np.float32, np.float64):
        given = given.astype(np.float64)
    return given.reshape(len(given), math.prod(given.shape[1:])), given.shape[1:]


def check_times(times: Array, length: int) -> Floats:
    """Times as float64.

    Raises
    ------
    ShapeError
        FK103: they are not along the values.
    TimeError
        FK109: they do not ascend.
    """
    given = np.asarray(times)
    if given.shape != (length,):
        raise ShapeError(
            f"of shape {given.shape}, beside values of {length} times.",
            "times",
            "Give one time for each value.",
        )
    if given.dtype.kind not in "fiu":
        raise TimeError(
            f"of type {given.dtype}.", "times", "Give numbers, such as years: slopes are by these."
        )
    numbers = filled(times).astype(np.float64)
    if not np.isfinite(numbers).all() or (np.diff(numbers) <= 0).any():
        raise TimeError("not ascending.", "times", "Give each time once, in order.")
    return numbers
