"""Arithmetic of the stages: a module that they import, so its code counts as theirs."""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def moving_sum(values: Array, axis: int, before: int, after: int) -> Array:
    """Sum over a window that is cut off at the ends. Always in the same order: exact anywhere."""
    moved = np.moveaxis(values, axis, 0)
    total = np.zeros_like(moved)
    for shift in range(-before, after + 1):
        target = slice(max(0, -shift), len(moved) - max(0, shift))
        source = slice(max(0, shift), len(moved) - max(0, -shift))
        total[target] += moved[source]
    return np.moveaxis(total, 0, axis)
