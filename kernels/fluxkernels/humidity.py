"""Water vapour over sea, ice and in air, as COARE takes it: Buck (1981).

Scalar functions work in the reference's units (°C, hPa, kg kg-1); the public ones in SI on
arrays.

References
----------
Buck, A. L., 1981: New equations for computing vapor pressure and enhancement factor.
J. Appl. Meteor., 20, 1527-1532.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from numpy.typing import ArrayLike, DTypeLike

from fluxkernels.compile import Map
from fluxkernels.evaluation import evaluate
from fluxkernels.limits import conversions
from fluxkernels.solving import Processor, Solve
from fluxkernels.vector_math import exp, sqrt, where


def freezing_point(salinity: float) -> float:
    """Temperature (°C) at which sea water of this practical salinity freezes at the surface."""
    s = salinity
    return -0.0575 * s + 0.00171052 * (s * sqrt(s)) - 0.0002154996 * s * s


def vapour_pressure_over_water(temperature: float, pressure: float) -> float:
    """Saturation vapour pressure (hPa) over liquid water at °C and hPa (Buck, 1981)."""
    return vapour_pressure(temperature, pressure, False)


def vapour_pressure(temperature: float, pressure: float, ice: bool) -> float:
    """Saturation vapour pressure (hPa) over liquid water or ice at °C and hPa (Buck, 1981)."""
    t = temperature
    power = where(ice, 22.452, 17.502) * t / (t + where(ice, 272.55, 240.97))
    enhancement = where(ice, 1.0003, 1.0007) + where(ice, 4.18e-6, 3.46e-6) * pressure
    return where(ice, 6.1115, 6.1121) * exp(power) * enhancement


def mixing(vapour_pressure: float, pressure: float) -> float:
    """Specific humidity (kg kg-1) of air with this vapour pressure, both in one unit."""
    return 0.622 * vapour_pressure / (pressure - 0.378 * vapour_pressure)


class Moisture(NamedTuple):
    """What specific humidity is computed from."""

    temperature: float  # °C
    pressure: float  # hPa
    salinity: float
    relative_humidity: float


class Humidity(NamedTuple):
    """What is computed."""

    specific_humidity: float


def humidity_at(x: Moisture, options: None) -> Humidity:
    """Specific humidity (kg kg-1) over water of a salinity, or over ice below its freezing."""
    ice = x.temperature < freezing_point(x.salinity)
    vapour = (1.0 - 0.02 * x.salinity / 35.0) * vapour_pressure(x.temperature, x.pressure, ice)
    return Humidity(mixing(x.relative_humidity * vapour, x.pressure))


_SPECIFIC_HUMIDITY = {
    "standard_name": "specific_humidity",
    "long_name": "specific humidity",
    "units": "kg kg-1",
}
HUMIDITY = Map("humidity", humidity_at, Moisture, Humidity, None)


def saturation_specific_humidity(
    temperature: ArrayLike,
    pressure: ArrayLike,
    salinity: ArrayLike = 0.0,
    *,
    dtype: DTypeLike | None = None,
) -> Any:
    """Specific humidity of saturated air over water of a given salinity.

    Over ice below the freezing point of that water: 0 °C at salinity 0, so that the default
    is also the saturation humidity of air as COARE takes it; -1.92 °C at salinity 35. With a
    dew point as `temperature` it gives the actual specific humidity.

    Parameters
    ----------
    temperature : array_like
        Kelvin, any shape.
    pressure : array_like
        Pa at the same place, broadcast against `temperature`.
    salinity : array_like, optional
        Practical salinity; 35 for the open ocean's surface, 0 for air.
    dtype : dtype, optional
        float32 or float64; by default float32 when all arrays are float32, else float64.

    Returns
    -------
    ndarray, scalar or DataArray
        kg kg-1, with the broadcast shape; NaN where an input is NaN or masked.

    Raises
    ------
    OutOfRangeError, ShapeError, NotNumericError, DtypeError
        As `fluxkernels.bulk_flux` does.

    Notes
    -----
    Buck (1981): e = 6.1121 exp(17.502 t / (t + 240.97)) (1.0007 + 3.46e-6 p) over water,
    e = 6.1115 exp(22.452 t / (t + 272.55)) (1.0003 + 4.18e-6 p) over ice, t in °C, e and p
    in hPa; e is multiplied by 1 - 0.02 S / 35; q = 0.622 e / (p - 0.378 e).

    Examples
    --------
    >>> round(float(saturation_specific_humidity(300.15, 101300.0, salinity=35.0)), 5)
    0.02183
    """
    return _specific_humidity(temperature, pressure, salinity, 1.0, dtype)


def specific_humidity(
    relative_humidity: ArrayLike,
    temperature: ArrayLike,
    pressure: ArrayLike,
    *,
    dtype: DTypeLike | None = None,
) -> Any:
    """Specific humidity of air from its relative humidity, as COARE converts it.

    Relative to ice where the air is below 0 °C.

    Parameters
    ----------
    relative_humidity : array_like
        Fraction (CF unit 1), not per cent.
    temperature : array_like
        Air temperature, kelvin.
    pressure : array_like
        Pa at the height of the sensor; COARE takes the sea-level pressure less 12.5 Pa a
        metre.
    dtype : dtype, optional
        float32 or float64; by default float32 when all arrays are float32, else float64.

    Returns
    -------
    ndarray, scalar or DataArray
        kg kg-1, with the broadcast shape; NaN where an input is NaN or masked.

    Raises
    ------
    OutOfRangeError, ShapeError, NotNumericError, DtypeError
        As `fluxkernels.bulk_flux` does.

    Examples
    --------
    >>> round(float(specific_humidity(0.8, 298.15, 101175.0)), 5)
    0.01579
    """
    return _specific_humidity(temperature, pressure, 0.0, relative_humidity, dtype)


def _specific_humidity(
    temperature: ArrayLike,
    pressure: ArrayLike,
    salinity: ArrayLike,
    relative_humidity: ArrayLike,
    dtype: DTypeLike | None,
) -> Any:
    inputs = {
        "temperature": temperature,
        "pressure": pressure,
        "salinity": salinity,
        "relative_humidity": relative_humidity,
    }

    def make(processor: Processor) -> Solve:
        return processor.solver(HUMIDITY, conversions(inputs))

    return evaluate(make, inputs, (_SPECIFIC_HUMIDITY,), dtype)[0]
