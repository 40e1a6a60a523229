"""Which points to compare on: the same for all estimates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fluxkernels.errors import ShapeError
from fluxkernels.stats.series import filled

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]

ALL = "all"


def common_sample(reference: Array, estimates: Mapping[str, Sequence[Array]]) -> Mask:
    """Where the reference and every part of every estimate is finite and not masked.

    Parameters
    ----------
    reference : float array
    estimates : mapping of name to float arrays
        Each in its parts: an estimate, or mean and standard deviation. Of the reference's shape.

    Returns
    -------
    bool array
        Of the reference's shape.

    Raises
    ------
    ShapeError
        FK103: shapes differ.
    """
    for name, parts in estimates.items():
        for part in parts:
            _check(reference, name, part)
    every = [np.isfinite(filled(part)) for parts in estimates.values() for part in parts]
    common: Mask = np.logical_and.reduce([np.isfinite(filled(reference)), *every])
    return common


def _check(reference: Array, name: str, part: Array) -> None:
    if part.shape != reference.shape:
        raise ShapeError(
            f"its shape {part.shape} is not the reference's {reference.shape}.",
            name,
            "Give all estimates on the reference's grid and times.",
        )
