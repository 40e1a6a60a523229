"""DINEOF: gaps filled by the few patterns that the observed values themselves make out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh

from fluxkernels.errors import SampleError, ShapeError

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]

_CELLS_A_BLOCK = 8192  # projected at a time, so that no second array of the data's size is made


class Reconstruction(NamedTuple):
    """A gappy series filled, and how.

    Parameters
    ----------
    values : float array, shape (time, cell)
        Observed values as they were; NaN only in steps and in cells without any observation.
    modes : int
        Empirical orthogonal functions used; 0 where the mean fills gaps better than any.
    errors : float64 array, shape (tried,)
        RMSE on the values held back, with 0, 1, 2, ... modes; in the unit of the values.
    converged : bool
        Whether the last iteration changed less than the tolerance.
    """

    values: Array
    modes: int
    errors: Array
    converged: bool


@dataclass(frozen=True)
class Settings:
    """When to stop.

    Parameters
    ----------
    most_modes : int, optional
        Modes to try at most.
    patience : int, optional
        Modes to try beyond the best.
    tolerance : float, optional
        Root mean square change of the gaps in an iteration, as a part of the standard deviation
        of the observed values, at which to stop.
    most_iterations : int, optional
        For each number of modes.
    """

    most_modes: int = 20
    patience: int = 3
    tolerance: float = 1e-3
    most_iterations: int = 300

    def __post_init__(self) -> None:
        if min(self.most_modes, self.patience, self.most_iterations) < 1 or not self.tolerance > 0:
            raise SampleError(
                f"nothing can be tried with {self}.", "settings", "Give numbers above zero."
            )


DEFAULT = Settings()


def reconstruct(
    values: Array,
    *,
    held_back: float | Mask = 0.02,
    seed: int = 0,
    settings: Settings = DEFAULT,
) -> Reconstruction:
    """Fill gaps with truncated EOFs, iterated until the gaps agree with them.

    The number of modes is the one with the least error on observed values that are held back;
    with it, and with those values back in their places, the gaps are filled.

    Parameters
    ----------
    values : float array, shape (time, cell)
        Best anomalies from a climatology; NaN in gaps. Not changed.
    held_back : float or bool array, shape (time, cell), optional
        Part of the observed values to hold back at random, or which ones: whole swaths, say,
        where those are what is missing. Single values among observed neighbours are easier
        than such gaps and ask for more modes.
    seed : int, optional
        Of the random choice.
    settings : Settings, optional
        When to stop.

    Returns
    -------
    Reconstruction

    Raises
    ------
    ShapeError
        FK103: not (time, cell), or `held_back` of another shape.
    SampleError
        FK115: too little is observed, or nothing (or everything) is held back.

    Notes
    -----
    As in the paper the mean of all observed values is taken away, gaps begin at zero, and each
    number of modes begins where the one before ended. Unlike in the paper no mode at all may
    win: where rare peaks rule, as in rain, patterns made of them are worse than none. The
    patterns come from the smaller of the
    two covariance matrices. Memory: a copy of the values, masks of their size, the gaps' values
    twice, and a square of the shorter side.

    References
    ----------
    Beckers, J.-M., and M. Rixen, 2003: J. Atmos. Oceanic Technol., 20, 1839-1856.
    """
    if values.ndim != 2:
        raise ShapeError(f"values have shape {values.shape}.", "DINEOF", "Give (time, cell).")
    observed = np.isfinite(values)
    inner = np.ix_(observed.any(axis=1), observed.any(axis=0))
    seen = observed[inner]
    if min(seen.shape) < 2:
        raise SampleError(
            f"only {seen.shape[0]} steps and {seen.shape[1]} cells have observations.",
            "DINEOF",
            "Give a longer series.",
        )
    held = _held_back(observed, held_back, seed)[inner]
    made, modes, errors, converged = _fill(values[inner], seen, held, settings)
    full = np.full(values.shape, np.nan, made.dtype)
    full[inner] = made
    return Reconstruction(full, modes, errors, converged)


def _held_back(observed: Mask, held_back: float | Mask, seed: int) -> Mask:
    """Which observed values to hold back."""
    if isinstance(held_back, np.ndarray):
        if held_back.shape != observed.shape:
            raise ShapeError(
                f"its shape {held_back.shape} is not the values' {observed.shape}.",
                "held_back",
                "Give a mask of the values.",
            )
        held = observed & held_back
    else:
        places = np.flatnonzero(observed)
        number = min(round(held_back * places.size), places.size)
        chosen = np.random.default_rng(seed).choice(places, number, replace=False)
        held = np.zeros(observed.shape, bool)
        held.ravel()[chosen] = True
    if not 0 < held.sum() < observed.sum():
        raise SampleError(
            f"{int(held.sum())} of {int(observed.sum())} observed values would be held back.",
            "held_back",
            "Hold some of them back, not all.",
        )
    return held


def _fill(
    values: Array, seen: Mask, held: Mask, settings: Settings
) -> tuple[Array, int, Array, bool]:
    """Choose the number of modes, then fill: values, modes, errors and whether it converged."""
    truth, gaps = values[held], ~seen | held
    mean = float(values.mean(where=seen, dtype=np.float64))
    state = np.where(gaps, 0.0, values - mean)
    spread = np.sqrt(np.vdot(state, state) / np.count_nonzero(~gaps))
    limit = settings.tolerance * max(float(spread), np.finfo(float).tiny)
    errors = [_rms(mean - truth)]
    best = state[gaps]
    for modes in range(1, min(settings.most_modes, min(values.shape) - 1) + 1):
        _iterate(state, gaps, modes, limit, settings.most_iterations)
        errors.append(_rms(state[held] + mean - truth))
        if modes == _best(errors):
            best = state[gaps]
        if modes - _best(errors) >= settings.patience:
            break
    state[gaps] = best  # modes tried in vain leave no trace
    state[held] = truth - mean
    converged = _iterate(state, ~seen, _best(errors), limit, settings.most_iterations)
    state += mean
    np.copyto(state, values, where=seen)
    return state, _best(errors), np.array(errors), converged


def _best(errors: list[float]) -> int:
    """Number of modes with the least error; of equals the fewest."""
    return int(np.argmin(errors))


def _rms(difference: Array) -> float:
    return float(np.sqrt(np.mean(difference.astype(np.float64) ** 2)))


def _iterate(state: Array, gaps: Mask, modes: int, limit: float, most: int) -> bool:
    """Replace the gaps by their projection on the leading modes until they stay.

    Parameters
    ----------
    state : float array, shape (time, cell)
        Changed in place, in the gaps only.

    Returns
    -------
    bool
        Whether they stay.
    """
    if modes == 0:
        state[gaps] = 0.0
        return True
    long, missing = (state, gaps) if state.shape[0] <= state.shape[1] else (state.T, gaps.T)
    number = max(int(missing.sum()), 1)
    for _ in range(most):
        side = long.shape[0]
        patterns = eigh(long @ long.T, subset_by_index=(side - modes, side - 1))[1]
        squared = sum(
            _project(long[:, part], missing[:, part], patterns) for part in _blocks(long.shape[1])
        )
        if np.sqrt(squared / number) < limit:
            return True
    return False


def _blocks(cells: int) -> list[slice]:
    return [slice(k, k + _CELLS_A_BLOCK) for k in range(0, cells, _CELLS_A_BLOCK)]


def _project(part: Array, missing: Mask, patterns: Array) -> float:
    """Project a block's gaps, in place; the sum of squared changes."""
    projected = patterns @ (patterns.T @ part)
    change = np.subtract(projected, part, where=missing, out=np.zeros_like(projected))
    np.copyto(part, projected, where=missing)
    return float(np.einsum("ij,ij->", change, change, dtype=np.float64))
