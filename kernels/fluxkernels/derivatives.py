"""How bulk fluxes change with what they are computed from, for the propagation of errors."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import ArrayLike

from fluxkernels.bulk import all_arguments, bulk_flux
from fluxkernels.errors import HeightError, UnknownInputError
from fluxkernels.evaluation import is_labelled, is_on_device, result_dtype, with_attributes
from fluxkernels.fluxes import ATTRIBUTES, BulkFlux
from fluxkernels.limits import LIMITS
from fluxkernels.surface_layer import Inputs

_OBSERVED = ("wind_speed", "sea_surface_temperature", "air_temperature", "specific_humidity")

# Small beside what changes a flux's slope, large beside its rounding errors.
_STEPS = {
    "wind_speed": 1e-3,
    "sea_surface_temperature": 1e-3,
    "air_temperature": 1e-3,
    "specific_humidity": 1e-6,
    "height_wind": 1e-2,
    "height_temperature": 1e-2,
    "height_humidity": 1e-2,
    "pressure": 10.0,
    "latitude": 1e-2,
    "boundary_layer_height": 1.0,
    "salinity": 1e-2,
    "shortwave_down": 0.1,
    "longwave_down": 0.1,
    "albedo": 1e-3,
    "rain": 1e-6,
    "wave_speed": 1e-2,
    "wave_height": 1e-2,
    "current": 1e-3,
    "at_height": 1e-2,
}
_SHARE_OF_HEIGHT = 1e-3  # profiles are logarithms: near the sea a centimetre is far


def bulk_flux_derivatives(
    wind_speed: ArrayLike,
    sea_surface_temperature: ArrayLike,
    air_temperature: ArrayLike,
    specific_humidity: ArrayLike,
    *,
    by: Collection[str] = _OBSERVED,
    **options: Any,
) -> dict[str, BulkFlux]:
    """Partial derivatives of bulk fluxes, each by one of the inputs.

    Parameters
    ----------
    wind_speed, sea_surface_temperature, air_temperature, specific_humidity : array_like
        As in `bulk_flux`.
    by : str or collection of str, optional
        Names of physical arguments of `bulk_flux`; by default the four above.
    **options
        All other arguments of `bulk_flux`; choose `outputs` to save time and memory.

    Returns
    -------
    dict of str to BulkFlux
        For each name in `by` the derivatives of the outputs by it, in the output's unit for each
        unit of the input, such as W m-2 K-1; of the shape and dtype that the fluxes would have.

    Raises
    ------
    UnknownInputError
        FK113.
    KernelError
        As `bulk_flux` does.

    Notes
    -----
    Central differences in double precision, of a step so small that they are right to about one
    part in a million where the flux is smooth, and one-sided at a limit, such as no wind. They
    are of what is computed: at the few points where the iteration does not settle, or on a
    threshold of the algorithm, a derivative may be large and of no physical meaning.

    Examples
    --------
    >>> slopes = bulk_flux_derivatives(8.0, 300.15, 298.65, 0.0165, outputs=["latent"])
    >>> round(float(slopes["wind_speed"].latent), 1)
    15.4
    """
    observed = (wind_speed, sea_surface_temperature, air_temperature, specific_humidity)
    call = all_arguments(*observed, **options)
    names = (by,) if isinstance(by, str) else tuple(by)
    for name in names:
        if name not in _STEPS:
            mend = f"Choose among: {', '.join(_STEPS)}."
            raise UnknownInputError(f"a bulk flux does not depend on {name!r}.", "by", mend)
    dtype = result_dtype([call[name] for name in Inputs._fields], call["dtype"])
    # Whole once, so that what is wrong with the call is said of the call, not of a step in it.
    bulk_flux(**{**call, "outputs": ["stress"]})
    return {name: _slopes(call, name, dtype) for name in names}


def _slopes(call: dict[str, Any], name: str, dtype: np.dtype[Any]) -> BulkFlux:
    value = _double(call[name])
    below, above = _around(name, value)
    low, high = (bulk_flux(**{**call, name: moved, "dtype": "float64"}) for moved in (below, above))
    slopes = {}
    for field, right in high._asdict().items():
        if right is not None:
            slope = _as_dtype((right - getattr(low, field)) / (above - below), dtype)
            slopes[field] = _labelled(slope, field, name) if is_labelled(slope) else slope
    return BulkFlux(*(slopes.get(field) for field in BulkFlux._fields))  # type: ignore[arg-type]


def _labelled(slope: Any, field: str, name: str) -> Any:
    of = ATTRIBUTES[field]
    told = {
        "long_name": f"derivative of {of['long_name']} by {name.replace('_', ' ')}",
        "units": f"{of['units']} ({LIMITS[name].unit})-1",
    }
    return with_attributes(slope, told)


def _double(value: Any) -> Any:
    """The same in double precision, which the small steps need."""
    if isinstance(value, int | float):
        return float(value)
    if is_labelled(value):
        return value.astype(np.float64)
    if is_on_device(value):
        xp = array_namespace(value)
        return xp.astype(value, xp.float64)
    if np.ma.isMA(value):
        return np.ma.filled(np.ma.asarray(value, np.float64), np.nan)
    return np.asarray(value, np.float64)


def _as_dtype(value: Any, dtype: np.dtype[Any]) -> Any:
    if is_on_device(value):
        xp = array_namespace(value)
        return xp.astype(value, getattr(xp, dtype.name), copy=False)
    return value.astype(dtype)


def _around(name: str, value: Any) -> tuple[Any, Any]:
    """Values a step below and above, or at a limit; what is negative of a wind stays missing."""
    step = _step(name, value)
    below, above = value - step, value + step
    low = 0.0 if name == "wind_speed" else LIMITS[name].low
    high = LIMITS[name].high
    if math.isfinite(low):
        below = below + ((below < low) & (value >= low)) * (low - below)
    if math.isfinite(high):
        above = above - (above > high) * (above - high)
    return below, above


def _step(name: str, value: Any) -> Any:
    """How far to go to either side: of a height a small share only, so that it stays one."""
    longest = _STEPS[name]
    if LIMITS[name].error is not HeightError:
        return longest
    step = _SHARE_OF_HEIGHT * value
    return step - (step > longest) * (step - longest)
