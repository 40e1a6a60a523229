"""What callers' numbers mean: their units, the physics' units, and what cannot be."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from fluxkernels.errors import HeightError, KernelError, OutOfRangeError

KELVIN_OF_ZERO_CELSIUS = 273.15
_TO_CELSIUS = (1.0, -KELVIN_OF_ZERO_CELSIUS)
_CONVERSIONS: Mapping[str, tuple[float, float]] = {
    "sea_surface_temperature": _TO_CELSIUS,
    "air_temperature": _TO_CELSIUS,
    "temperature": _TO_CELSIUS,
    "pressure": (0.01, 0.0),  # Pa to hPa
    "rain": (3600.0, 0.0),  # kg m-2 s-1 to mm h-1
}
_ABOVE_ZERO = float(np.finfo(np.float32).tiny)  # in single precision too


class Limits(NamedTuple):
    """Range outside which a value must be of another unit, or a fill value."""

    low: float
    high: float
    unit: str
    mend: str
    error: type[KernelError] = OutOfRangeError


_FILL = "If it is a fill value, replace it by NaN."
_KELVIN = Limits(100.0, 400.0, "K", f"If it is in °C, add 273.15. {_FILL}")
_FRACTION = Limits(0.0, 2.0, "1", f"If it is in per cent, divide by 100. {_FILL}")
_RADIATION = Limits(
    -50.0, 2000.0, "W m-2", f"If it is accumulated (J m-2), divide by the seconds. {_FILL}"
)
_HEIGHT = Limits(_ABOVE_ZERO, math.inf, "m", "A height must be above the sea.", HeightError)

LIMITS: Mapping[str, Limits] = {
    "wind_speed": Limits(-math.inf, 200.0, "m s-1", _FILL),
    "sea_surface_temperature": _KELVIN,
    "air_temperature": _KELVIN,
    "temperature": _KELVIN,
    "specific_humidity": Limits(
        -0.1, 0.1, "kg kg-1", f"If it is in g kg-1, divide by 1000. {_FILL}"
    ),
    "relative_humidity": _FRACTION,
    "pressure": Limits(2000.0, 200000.0, "Pa", f"If it is in hPa, multiply by 100. {_FILL}"),
    "latitude": Limits(-90.0, 90.0, "degrees_north", _FILL),
    "salinity": Limits(0.0, 100.0, "1e-3", _FILL),
    "shortwave_down": _RADIATION,
    "longwave_down": _RADIATION,
    "albedo": Limits(0.0, 1.0, "1", _FILL),
    "rain": Limits(0.0, 0.5, "kg m-2 s-1", f"If it is in mm h-1, divide by 3600. {_FILL}"),
    "wave_speed": Limits(0.0, 100.0, "m s-1", _FILL),
    "wave_height": Limits(0.0, 50.0, "m", _FILL),
    "current": Limits(-10.0, 10.0, "m s-1", _FILL),
    "height_wind": _HEIGHT,
    "height_temperature": _HEIGHT,
    "height_humidity": _HEIGHT,
    "boundary_layer_height": _HEIGHT,
    "at_height": _HEIGHT,
    "longitude": Limits(-180.0, 360.0, "degrees_east", _FILL),
    "sensor_depth": Limits(0.0, 100.0, "m", "A depth is positive downward."),
}


def conversions(names: Iterable[str]) -> list[tuple[float, float]]:
    """How each input, in SI, becomes the physics': the factor, and what is added then."""
    return [_CONVERSIONS.get(name, (1.0, 0.0)) for name in names]


def check_number(name: str, value: float) -> None:
    """Refuse a single number outside its limits; NaN and inf pass as missing."""
    limits = LIMITS[name]
    if math.isfinite(value) and not limits.low <= value <= limits.high:
        raise impossible(name, value, (), 1, 1)


def impossible(
    name: str, value: float, place: tuple[int, ...], count: int, size: int
) -> KernelError:
    """Make the error for `count` of `size` values outside their limits, the first at `place`."""
    limits = LIMITS[name]
    where = f"{name}[{', '.join(map(str, place))}]" if place else name
    share = f" ({count} of {size} values)" if size > 1 else ""
    what = f"{value:g} is no {name.replace('_', ' ')} in {limits.unit}{share}."
    return limits.error(what, where, limits.mend)
