"""Bulk fluxes of a time series, with the ocean's diurnal warm layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fluxkernels import arrays, warm_layer
from fluxkernels.arrays import Array, Solve
from fluxkernels.bulk import all_arguments, physics_for
from fluxkernels.compile import Algorithm
from fluxkernels.errors import ShapeError, TimeError
from fluxkernels.fluxes import BulkFlux, chosen
from fluxkernels.surface_layer import Inputs
from fluxkernels.warm_layer import BEFORE, Layer, Step

_FED_BACK = ("sensible", "latent", "rain_heat", "stress", "skin_cooling")
_OF_SERIES = ("utc_day", "utc_seconds", "longitude", "sensor_depth")


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
        UTC, increasing: steps of an hour or less. For DataArrays, one with their dimension.
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
        ``cool_skin=False``. Give the radiation: its defaults have no day and night.

    Returns
    -------
    flux : BulkFlux
        As from `bulk_flux`.
    layer : WarmLayer
        What the sea was warmer by.

    Raises
    ------
    TimeError
        FK109: times that are missing or do not increase.
    ShapeError
        FK103: shapes that do not broadcast, or a Dask array cut along time: what was before
        must be known.
    KernelError
        As `bulk_flux` does.

    Notes
    -----
    The scheme of COARE (Fairall et al., 1996a) with the numerics of NOAA's Python
    `coare36vnWarm_et`: a layer begins once the sun's heating, after losses, passes 50 W m-2, and
    is forgotten at midnight; none begins before a time between midnight and 6 h was seen. At a
    point where something is missing the fluxes are NaN, and the layer passes over that time.

    References
    ----------
    Fairall, C. W., et al., 1996a: J. Geophys. Res., 101, 1295-1308.
    """
    options = {"cool_skin": True, **options}
    observed = (wind_speed, sea_surface_temperature, air_temperature, specific_humidity)
    call = all_arguments(*observed, **options)
    given = {name: call[name] for name in Inputs._fields}
    days, seconds = _days_and_seconds(time)
    day, second = _along_time(time, days, seconds, [*given.values(), longitude, sensor_depth])
    inputs = dict(zip(_OF_SERIES, (day, second, longitude, sensor_depth), strict=True)) | given
    _refuse_cut_time(inputs)
    physics = physics_for(given, call["algorithm"], call["wind_kind"], call["cool_skin"])
    solve = _in_time(physics, warm_layer.Options(noaa_days), len(days), call["threads"])
    wanted = [*chosen(call["outputs"]), *_ATTRIBUTES]
    dtype = arrays.result_dtype(given.values(), call["dtype"])
    made = arrays.evaluate(solve, inputs, wanted, dtype)
    count = len(BulkFlux._fields)
    return BulkFlux(*made[:count]), WarmLayer(*made[count:])


def _days_and_seconds(time: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Split times into whole days since the first and seconds of the day."""
    try:
        moments = np.atleast_1d(np.asarray(time, "datetime64[ns]"))
    except (ValueError, TypeError) as error:
        raise TimeError(f"not times: {error}.", "time", "Pass datetime64 values.") from error
    if moments.ndim != 1:
        raise TimeError("times have more than one dimension.", "time", "Pass one for each step.")
    late = np.isnat(moments) | np.concatenate([[False], ~(np.diff(moments) > np.timedelta64(0))])
    if late.any():
        where = f"time[{int(np.argmax(late))}]"
        what = f"{moments[late][0]} is missing or not after the one before."
        raise TimeError(what, where, "Sort the times, and drop what is double.")
    midnights = moments.astype("datetime64[D]")
    days = (midnights - midnights[:1]) / np.timedelta64(1, "D")
    return days, (moments - midnights) / np.timedelta64(1, "s")


def _along_time(
    time: Any, days: NDArray[np.float64], seconds: NDArray[np.float64], others: Sequence[Any]
) -> tuple[Any, Any]:
    """Give days and seconds the dimension of time: by name, or the first of all."""
    if arrays.is_labelled(time):
        return time.copy(data=days), time.copy(data=seconds)
    if any(arrays.is_labelled(value) for value in others):
        mend = "Pass it as one, e.g. dataset.time."
        raise TimeError("it is no DataArray, but others are.", "time", mend)
    axes = max(1, *(np.ndim(value) for value in others))
    first = [np.shape(value)[0] for value in others if np.ndim(value) == axes]
    if any(length not in (1, len(days)) for length in first):
        what = f"{len(days)} times, but first axes of {sorted(set(first))}."
        raise ShapeError(what, "time", "Time must be the first axis.")
    shape = (-1,) + (1,) * (axes - 1)
    return days.reshape(shape), seconds.reshape(shape)


def _refuse_cut_time(inputs: Mapping[str, Any]) -> None:
    for name, value in inputs.items():
        if not arrays.is_labelled(value):
            continue
        for dim in inputs["utc_day"].dims:
            if len(value.chunksizes.get(dim, ())) > 1:
                mend = f"Rechunk it first: .chunk({{{dim!r}: -1}})."
                raise ShapeError("it is cut along time.", name, mend)


def _in_time(
    physics: Algorithm, layer_options: warm_layer.Options, times: int, threads: int | None
) -> Solve:
    """Make what fills fluxes and layer, one time after the other."""
    from fluxkernels import cpu  # brings the compiler in: not before it is needed

    fluxes = cpu.solver(physics, arrays.conversions(Inputs._fields), threads)
    advance = cpu.solver(
        warm_layer.advancing(layer_options), arrays.conversions(Step._fields), threads
    )

    names = (*BulkFlux._fields, *WarmLayer._fields)

    def solve(inputs: Sequence[Array], outputs: Sequence[Array | None], size: int) -> None:
        points, dtype = size // times, inputs[0].dtype
        given = dict(zip((*_OF_SERIES, *Inputs._fields), inputs, strict=True))
        asked: dict[str, Any] = dict(zip(names, outputs, strict=True))
        layer = {name: np.full(points, x, dtype) for name, x in BEFORE._asdict().items()}
        past = {name: np.zeros(points, dtype) for name in _FED_BACK}
        for start in range(0, size, points):
            here = slice(start, start + points)
            now = {name: x if x.size == 1 else x[here] for name, x in given.items()}
            step = now | past | layer
            moved = {name: np.empty(points, dtype) for name in Layer._fields}
            advance([step[name] for name in Step._fields], list(moved.values()), points)

            now["sea_surface_temperature"] = (
                now["sea_surface_temperature"] + moved["sensor_warming"]
            )
            made = _rows(asked, here, past)
            fluxes([now[name] for name in Inputs._fields], list(made.values()), points)

            known = np.isfinite(made["stress"])
            for name in _FED_BACK:
                np.copyto(past[name], made[name], where=known)
            for name in Layer._fields:
                np.copyto(layer[name], moved[name], where=known)
            for name in WarmLayer._fields:
                asked[name][here] = np.where(known, moved[name], np.nan)

    return solve


def _rows(asked: Mapping[str, Any], here: slice, past: Mapping[str, Array]) -> dict[str, Any]:
    """Where the fluxes of one time go: what the next time needs is made even if not asked for."""
    rows = {name: asked[name] for name in BulkFlux._fields}
    return {
        name: row[here] if row is not None else np.empty_like(past[name]) if name in past else None
        for name, row in rows.items()
    }
