"""What front doors, arrays and processors agree on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np

from fluxkernels.compile import Algorithm, Map
from fluxkernels.errors import ShapeError

Solve: TypeAlias = Callable[[Sequence[Any], Sequence[Any], int], None]
"""``solve(inputs, outputs, size)`` fills the outputs that are not None, contiguous arrays of `size`
values and one dtype, from inputs that are such arrays, or numbers, one for each field of the
physics'."""

Outputs: TypeAlias = Sequence[Mapping[str, str] | None]
"""For each output its attributes, which a DataArray will carry; None if it is not asked for."""


class Processor(Protocol):
    """What computes: `fluxkernels.cpu`, `fluxkernels.cuda`."""

    def solver(
        self,
        physics: Algorithm | Map,
        conversions: Sequence[tuple[float, float]],
        threads: int | None = None,
    ) -> Solve:
        """Make what fills outputs from inputs, after conversion to the physics' units."""
        ...


def broadcast_shape(shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    """Shape of the result of named inputs; a `ShapeError` if they do not broadcast."""
    try:
        return np.broadcast_shapes(*shapes.values())
    except ValueError as error:
        listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items() if shape)
        raise ShapeError(
            "the shapes do not broadcast against each other.",
            listed,
            "Give arrays of one shape, or insert axes of length 1.",
        ) from error
