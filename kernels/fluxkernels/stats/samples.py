"""Which points to compare on: the same for all estimates, and apart by what caused the gap."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from fluxkernels.errors import ShapeError

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
Score = TypeVar("Score")

ALL = "all"


def common_sample(reference: Array, estimates: Mapping[str, Sequence[Array]]) -> Mask:
    """Where the reference and every part of every estimate is finite.

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
        _check(reference, name, parts)
    every = [np.isfinite(part) for parts in estimates.values() for part in parts]
    common: Mask = np.logical_and.reduce([np.isfinite(reference), *every])
    return common


def by_cause(
    score: Callable[..., Score],
    estimates: Mapping[str, Sequence[Array]],
    reference: Array,
    causes: Mapping[str, Mask],
) -> dict[str, dict[str, Score]]:
    """Score estimates on common samples, one for each cause of a gap and one for all of them.

    Gaps are not alike: what a swath did not see is like what it saw beside, what rain hid is
    not. One number over both is mostly that of the more frequent.

    Parameters
    ----------
    score : callable
        ``score(*parts, reference)`` on arrays of shape (point,), such as `skill`, `brier` or
        `crps_gaussian`.
    estimates : mapping of name to float arrays
        Each in the parts that `score` takes, of the reference's shape.
    reference : float array
        What was there.
    causes : mapping of name to bool array
        Where each cause made a gap (swath, rain, coast), of the reference's shape. They may
        overlap. Only these points count.

    Returns
    -------
    dict of cause to dict of name to score
        ``"all"``, a name that no cause may have, is the points with any of them.

    Raises
    ------
    ShapeError
        FK103: shapes differ.

    Examples
    --------
    >>> import numpy as np
    >>> from fluxkernels.stats.skill import skill
    >>> truth = np.array([1.0, 2.0, 3.0, 4.0])
    >>> causes = {"swath": np.array([1, 1, 0, 0], bool), "rain": np.array([0, 0, 1, 1], bool)}
    >>> scores = by_cause(skill, {"zero": (0 * truth,)}, truth, causes)
    >>> scores["rain"]["zero"].bias
    -3.5
    """
    for cause, mask in causes.items():
        _check(reference, cause, [mask])
    usable = common_sample(reference, estimates)
    anywhere = np.logical_or.reduce([np.zeros(reference.shape, bool), *causes.values()])
    samples = {**{cause: mask & usable for cause, mask in causes.items()}, ALL: anywhere & usable}
    return {
        cause: {
            name: score(*(part[mask] for part in parts), reference[mask])
            for name, parts in estimates.items()
        }
        for cause, mask in samples.items()
    }


def _check(reference: Array, name: str, parts: Sequence[Array]) -> None:
    for part in parts:
        if part.shape != reference.shape:
            raise ShapeError(
                f"its shape {part.shape} is not the reference's {reference.shape}.",
                name,
                "Give all estimates and causes on the reference's grid and times.",
            )
