"""Bulk fluxes of a time series, with the ocean's diurnal warm layer."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Number
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import array_namespace, device
from numpy.typing import ArrayLike, NDArray

from fluxkernels import warm_layer
from fluxkernels.bulk import all_arguments, physics_for
from fluxkernels.errors import ShapeError, TimeError
from fluxkernels.evaluation import check_indices, evaluate, is_labelled, result_dtype
from fluxkernels.fluxes import Array, BulkFlux, chosen
from fluxkernels.limits import conversions
from fluxkernels.solving import Processor, Solve
from fluxkernels.surface_layer import Inputs
from fluxkernels.warm_layer import BEFORE, Layer, Step

_FED_BACK = ("sensible", "latent", "rain_heat", "stress", "skin_cooling")
_OF_SERIES = ("longitude", "sensor_depth")
_LONGEST_STEP = 3660.0  # s: an hour, and a minute for times that were rounded


class WarmLayer(NamedTuple):
    """The warm layer at each time and place, of the shape of the fluxes."""

    sensor_warming: Array
    """Temperature below the cool skin less that at `sensor_depth`, K."""
    warming: Array
    """Temperature below the cool skin less that at the layer's base, K."""
    thickness: Array
    """m; 19 where there is none."""
    current: Array
    """Speed of the surface over that of the layer's base, m s-1."""


_ATTRIBUTES: Sequence[Mapping[str, str]] = (
    {"long_name": "warming between thermometer and interface", "units": "K"},
    {"long_name": "warming of the diurnal warm layer", "units": "K"},
    {"long_name": "thickness of the diurnal warm layer", "units": "m"},
    {"long_name": "current over the diurnal warm layer", "units": "m s-1"},
)


def bulk_flux_series(
    time: Any,
    longitude: ArrayLike,
    wind_speed: ArrayLike,
    sea_surface_temperature: ArrayLike,
    air_temperature: ArrayLike,
    specific_humidity: ArrayLike,
    *,
    sensor_depth: ArrayLike,
    noaa_days: bool = False,
    **options: Any,
) -> tuple[BulkFlux, WarmLayer]:
    """Bulk fluxes of a time series whose sea temperature is measured below a warm layer.

    In calm sunshine the sea's surface is warmer than a thermometer some metres below it says, by up
    to several kelvin. The layer is followed from one time to the next, and each time's fluxes
    are those of the warmed surface, with its cool skin.

    Parameters
    ----------
    time : array_like of datetime64, shape (n,)
        UTC, increasing: steps of an hour or less, at least half of them, for there may be gaps.
        Also datetime objects or ISO 8601 strings, but no numbers. For DataArrays, one with their
        dimension.
    longitude : array_like
        Degrees east, -180 to 360.
    wind_speed, sea_surface_temperature, air_temperature, specific_humidity : array_like
        As in `bulk_flux`; time is the first axis of arrays of the full number of dimensions.
    sensor_depth : array_like
        Metres below the surface of `sea_surface_temperature`, positive.
    noaa_days : bool, optional
        Tell days apart as NOAA's code does: a new one begins where the hour is less than the
        last, be they days apart, and west of 7.5 °W (longitudes below zero) at 0 UTC instead of
        at local midnight.
    **options
        All other arguments of `bulk_flux`. The cool skin is computed unless
        ``cool_skin=False``. Give the radiation: its defaults have no day and night. With
        ``outputs=[]`` there is the layer only.

    Returns
    -------
    flux : BulkFlux
        As from `bulk_flux`.
    layer : WarmLayer
        What the sea was warmer by.

    Raises
    ------
    TimeError
        FK109: times that are missing, are numbers or do not increase, and steps of more than an
        hour.
    ShapeError
        FK103: shapes that do not broadcast, a wind that is an array and no DataArray where others
        are, or a Dask array cut along time: what was before must be known.
    KernelError
        As `bulk_flux` does.

    Notes
    -----
    The scheme of COARE (Fairall et al., 1996a) with the numerics of NOAA's Python
    `coare36vnWarm_et`: a layer begins once the sun's heating, after losses, passes 50 W m-2, and
    is forgotten at midnight; none begins before a time between midnight and 6 h was seen. At a
    point where something is missing, radiation, longitude and `sensor_depth` too, the fluxes are
    NaN, and the layer passes over that time.

    References
    ----------
    Fairall, C. W., et al., 1996a: J. Geophys. Res., 101, 1295-1308.
    """
    options = {"cool_skin": True, **options}
    observed = (wind_speed, sea_surface_temperature, air_temperature, specific_humidity)
    call = all_arguments(*observed, **options)
    given = {name: call[name] for name in Inputs._fields}
    places = {"longitude": longitude, "sensor_depth": sensor_depth}
    moments = _days_and_seconds(time)
    inputs = _led_by_time(time, len(moments), {**given, **places})
    physics = physics_for(given, call["algorithm"], call["wind_kind"], call["cool_skin"])
    advancing = warm_layer.advancing(warm_layer.Options(noaa_days))
    units, threads = conversions(Step._fields), call["threads"]

    def make(processor: Processor) -> Solve:
        fluxes = processor.solver(physics, conversions(given), threads)
        return _in_time(fluxes, processor.solver(advancing, units, threads), moments)

    wanted = [*chosen(call["outputs"]), *_ATTRIBUTES]
    made = evaluate(make, inputs, wanted, result_dtype(given.values(), call["dtype"]))
    count = len(BulkFlux._fields)
    return BulkFlux(*made[:count]), WarmLayer(*made[count:])


def _days_and_seconds(time: Any) -> list[tuple[float, float]]:
    """Split times into whole days since the first and seconds of the day."""
    moments = _moments(time)
    if moments.ndim != 1:
        raise TimeError("times have more than one dimension.", "time", "Pass one for each step.")
    late = np.isnat(moments) | np.concatenate([[False], ~(np.diff(moments) > np.timedelta64(0))])
    if late.any():
        where = f"time[{int(np.argmax(late))}]"
        what = f"{moments[late][0]} is missing or not after the one before."
        raise TimeError(what, where, "Sort the times, and drop what is double.")
    _check_steps(moments)
    midnights = moments.astype("datetime64[D]")
    days = (midnights - midnights[:1]) / np.timedelta64(1, "D")
    seconds = (moments - midnights) / np.timedelta64(1, "s")
    return list(zip(days.tolist(), seconds.tolist(), strict=True))


def _moments(time: Any) -> NDArray[np.datetime64]:
    """Make datetime64 of times, but not of numbers, which NumPy would take for nanoseconds."""
    try:
        given = np.asarray(time)
        moments = np.atleast_1d(np.asarray(given, "datetime64[ns]"))
    except (ValueError, TypeError) as error:
        raise TimeError(f"not times: {error}.", "time", "Pass datetime64 values.") from error
    if given.size and _has_numbers(given):
        mend = 'Pass datetime64 values, e.g. seconds_since_1970.astype("datetime64[s]").'
        raise TimeError("numbers do not say of what unit, and since when.", "time", mend)
    return moments


def _has_numbers(given: NDArray[Any]) -> bool:
    if given.dtype.kind == "O":
        return any(isinstance(value, Number) for value in given.flat)
    return given.dtype.kind in "biufcm"


def _check_steps(moments: NDArray[np.datetime64]) -> None:
    """Refuse steps that are too long to follow a day; a median leaves room for gaps."""
    steps = np.diff(moments) / np.timedelta64(1, "s")
    typical = float(np.median(steps)) if steps.size else 0.0
    if typical > _LONGEST_STEP:
        what = f"the median step is {typical / 3600.0:.3g} h, too long to follow a day's layer."
        mend = "Pass steps of an hour or less, or ask `bulk_flux`, which knows no layer."
        raise TimeError(what, "time", mend)


def _led_by_time(time: Any, times: int, inputs: dict[str, Any]) -> dict[str, Any]:
    """Check that time is a dimension of the inputs, and make it the first of all."""
    check_indices({"time": time, **inputs})
    labelled = [value for value in inputs.values() if is_labelled(value)]
    if labelled or is_labelled(time):
        return _led_by_name(time, inputs)
    axes = max(np.ndim(value) for value in inputs.values())
    lengths = {np.shape(value)[0] for value in inputs.values() if 0 < axes == np.ndim(value)}
    if max(lengths, default=0) != times:
        what = f"{times} times, but first axes of {sorted(lengths)}."
        raise ShapeError(what, "time", "Time must be the first axis, of one input at least.")
    return inputs


def _led_by_name(time: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """Give the wind, the first of all inputs, time as its first dimension."""
    if not is_labelled(time):
        mend = "Pass it as one, e.g. dataset.time."
        raise TimeError("it is no DataArray, but others are.", "time", mend)
    for name, value in inputs.items():
        cut = [dim for dim in time.dims if len(getattr(value, "chunksizes", {}).get(dim, ())) > 1]
        if cut:
            mend = f"Rechunk it first: .chunk({{{cut[0]!r}: -1}})."
            raise ShapeError("it is cut along time.", name, mend)
    import xarray as xr

    wind = inputs["wind_speed"]
    if not is_labelled(wind):
        if np.ndim(wind) > 0:
            mend = 'Pass it as one, e.g. xarray.DataArray(wind, dims=("time",)).'
            raise ShapeError("it is no DataArray, but others are.", "wind_speed", mend)
        wind = xr.DataArray(wind)
    try:
        wind, time = xr.align(wind, time, join="exact")
    except ValueError as error:
        mend = "Align the coordinates first, e.g. with xarray.align."
        raise ShapeError(f"{error}.", "time", mend) from error
    return {**inputs, "wind_speed": xr.broadcast(wind, time)[0].transpose(*time.dims, ...)}


def _in_time(fluxes: Solve, advance: Solve, moments: Sequence[tuple[float, float]]) -> Solve:
    """Make what fills fluxes and layer, one time after the other."""
    names = (*BulkFlux._fields, *WarmLayer._fields)

    def solve(inputs: Sequence[Any], outputs: Sequence[Any], size: int) -> None:
        given = dict(zip((*Inputs._fields, *_OF_SERIES), inputs, strict=True))
        asked = dict(zip(names, outputs, strict=True))
        like = asked["warming"]
        points, xp = size // max(1, len(moments)), array_namespace(like)

        def row(value: float = 0.0) -> Any:
            return xp.full(points, value, dtype=like.dtype, device=device(like))

        layer = {name: row(value) for name, value in BEFORE._asdict().items()}
        past = {name: row() for name in _FED_BACK}
        for k, (day, seconds) in enumerate(moments if points else ()):
            here = slice(k * points, (k + 1) * points)
            now = {n: x if isinstance(x, float) else x[here] for n, x in given.items()}
            step = now | past | layer | {"utc_day": day, "utc_seconds": seconds}
            moved = {name: row() for name in Layer._fields}
            advance([step[name] for name in Step._fields], list(moved.values()), points)

            warmed = now["sea_surface_temperature"] + moved["sensor_warming"]
            now = now | {"sea_surface_temperature": warmed}
            made = {n: _part(asked[n], here, row if n in past else None) for n in BulkFlux._fields}
            fluxes([now[name] for name in Inputs._fields], list(made.values()), points)

            known = xp.isfinite(made["stress"])
            past = {name: xp.where(known, made[name], past[name]) for name in past}
            layer = {name: xp.where(known, moved[name], layer[name]) for name in layer}
            for name in WarmLayer._fields:
                asked[name][here] = xp.where(known, moved[name], row(math.nan))

    return solve


def _part(whole: Any, here: slice, else_make: Callable[[], Any] | None) -> Any:
    """Where a flux of one time goes: what the next time needs is made even if not asked for."""
    if whole is not None:
        return whole[here]
    return else_make() if else_make else None
