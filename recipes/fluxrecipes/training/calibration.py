"""How the standard errors of a trained network are to be taken, found on data kept from training.

What decides when a training stops serves for this too; so the factors may be a little too small.
"""

from __future__ import annotations

import numpy as np

from fluxkernels.nets.cards import ErrorModel
from fluxrecipes.error_structure import (
    FEWEST_PLATFORMS,
    FURTHEST_FROM_1,
    UNKNOWN,
    Samples,
    calibration,
    structure_of,
)
from fluxrecipes.near_surface import NOMINAL_HOURS
from fluxrecipes.training.labelled import Indices, Labels
from fluxrecipes.training.points import Residuals, Task

FEWEST = 300  # labels: with fewer, those of a few days on a few buoys decide


def calibrated(task: Task) -> dict[str, ErrorModel]:
    """Of each output of a trained net, on labels of platforms that training did not see.

    Every process of several finds it, each for itself: those with nothing to do would end, and
    one that ends is waited for by the others in vain.

    Parameters
    ----------
    task : Task
        Its net is trained, and in evaluation mode.

    Returns
    -------
    dict of str to ErrorModel
        By the name of the output. A factor of 1 and nothing else where there are too few labels,
        or too few platforms.
    """
    found, unlike = _kept(task.residuals())
    platforms, number = np.unique(found.platform, return_inverse=True)
    source = task.validation
    told = f"{len(number)} {source.labels} at {len(platforms)} {source.places}{unlike}"
    outputs = task.vocabulary.outputs
    if len(number) < FEWEST or len(platforms) < FEWEST_PLATFORMS:
        few = f"not calibrated, for there are only {told}"
        return {quantity.name: ErrorModel(found=few) for quantity in outputs}
    return {
        quantity.name: _model(found, at, number, f"calibrated on {told}")
        for at, quantity in enumerate(outputs)
    }


def _kept(found: Residuals) -> tuple[Residuals, str]:
    """Those of platforms that training did not see; all, where it saw all; and which in words."""
    unseen = ~found.known
    if not unseen.any():
        return found, ", on days that training did not see"
    return found.at(unseen), " that training did not see"


def _model(found: Residuals, at: int, platform: Indices, words: str) -> ErrorModel:
    """Of one output."""
    error, own = found.error[:, at], found.own[:, at]
    factor = calibration(error, own, found.report[:, at])
    bound = not 1.01 / FURTHEST_FROM_1 < factor < FURTHEST_FROM_1 / 1.01
    if bound:  # the variance is not 1 then, which the structure rests on
        words += f"; held at {factor:.2g}, beyond which no factor is believed"
    samples = Samples(
        error / (factor * own),
        platform,
        _time(found),
        found.passage,
        found.latitude,
        found.longitude,
    )
    structure = UNKNOWN if bound else structure_of(samples)
    if structure.systematic is None:
        words += "; too few pairs to tell what is systematic" if not bound else ""
    return ErrorModel(factor, *structure, found=words)


def _time(found: Residuals) -> Labels:
    """Days since 1970, of a pass at its nominal local time."""
    hours = np.array(NOMINAL_HOURS)[found.passage % 2] - found.longitude / 15.0
    return np.asarray(found.passage // 2 + hours % 24.0 / 24.0)
