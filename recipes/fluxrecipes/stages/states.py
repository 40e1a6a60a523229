"""What states of values say: whether there is one, and which state a result has of several."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from fluxengine.declare import FAILED, NEVER_WRITTEN, Array
from fluxrecipes import vocabulary as cf

if TYPE_CHECKING:
    import xarray as xr

# What was not made is worse than any value, and better than what stands in the way for good.
_RANKS = np.arange(256, dtype=np.uint8)
_RANKS[[NEVER_WRITTEN, FAILED]] = cf.LAST_VALID + 1, cf.LAST_VALID + 2
_CODES = np.arange(256, dtype=np.uint8)
_CODES[_RANKS[[NEVER_WRITTEN, FAILED]]] = NEVER_WRITTEN, FAILED


def has_value(states: Array) -> npt.NDArray[np.bool_]:
    """Where a state says that there is a value, observed or filled.

    Codes of the engine are below those of values: of what was never written, and of what failed.
    """
    return np.asarray((states >= cf.OBSERVED) & (states <= cf.LAST_VALID))


def was_filled(states: Array) -> Array:
    """1 where there is a value that no satellite saw, 0 where one did, NaN where there is none."""
    return np.where(has_value(states), states != cf.OBSERVED, np.nan)


def of_all(states: list[Array]) -> Array:
    """State of a result that needs all of several: the one furthest from an observed value.

    That is the highest code; but what failed, or was never written, comes between the values and
    the reasons for which there can be none.
    """
    return np.asarray(_CODES[np.maximum.reduce([_RANKS[one] for one in states])])


def of_mean(states: xr.DataArray, enough: xr.DataArray, along: str) -> xr.DataArray:
    """State of a mean along a dimension.

    Of values the least direct one tells it. Without enough of them the lesser obstacle does: before
    all others that something failed, for else there might be a value.

    Parameters
    ----------
    states : DataArray
    enough : DataArray, without the dimension
        Where the mean has a value.
    along : str
    """
    ranks = states.copy(data=_RANKS[states.values])
    best = ranks.where(ranks <= cf.LAST_VALID, 0).max(along)
    lacking = ranks.where(ranks > cf.LAST_VALID, 255).min(along)
    told = best.where(enough, lacking)
    return told.copy(data=_CODES[told.values.astype(np.uint8)])
