"""Moist air and water: humidity in its several forms, density and latent heat, in SI, on arrays.

All take anything that `fluxkernels.bulk_flux` takes, and give what it would: arrays that broadcast
against each other, DataArrays, arrays on a GPU; NaN where something is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from numpy.typing import ArrayLike, DTypeLike

from fluxkernels.compile import Map
from fluxkernels.errors import UnknownFormulaError
from fluxkernels.evaluation import evaluate
from fluxkernels.humidity import (
    bolton,
    freezing_point,
    goff,
    ifs,
    mixing,
    murphy_koop,
    vapour_pressure,
)
from fluxkernels.limits import conversions
from fluxkernels.solving import Processor, Solve
from fluxkernels.surface_layer import latent_heat
from fluxkernels.vector_math import NAN, log_or_nan, where

FORMULAS = ("buck1981", "bolton1980", "goff1957", "murphy_koop2005", "ifs")
SURFACES = ("water", "ice", "either")
_BUCK, _BOLTON, _GOFF, _MURPHY_KOOP, _IFS = range(5)
_WATER, _ICE, _EITHER = range(3)
_DRY_GAS = 287.05  # J kg-1 K-1
_DRY_HEAT, _VAPOUR_HEAT = 1004.67, 1860.0  # J kg-1 K-1
_ZERO = 273.15
_PASSES = 12


class Saturation(NamedTuple):
    """How saturation is taken."""

    formula: int = _BUCK
    over: int = _EITHER


class Moisture(NamedTuple):
    """What humidity is computed from; each function needs some of it."""

    temperature: float  # °C
    pressure: float  # hPa
    salinity: float
    relative_humidity: float
    specific_humidity: float  # kg kg-1


class Result(NamedTuple):
    """What is computed."""

    value: float


def saturated(x: Moisture, temperature: float, o: Saturation) -> float:
    """Saturation vapour pressure (hPa) over fresh water, or ice below its freezing point."""
    ice = temperature < freezing_point(x.salinity) if o.over == _EITHER else o.over == _ICE
    if o.formula == _BOLTON:
        return bolton(temperature)
    if o.formula == _GOFF:
        return goff(temperature, ice)
    if o.formula == _MURPHY_KOOP:
        return murphy_koop(temperature, ice)
    if o.formula == _IFS:
        return ifs(temperature, ice)
    return vapour_pressure(temperature, x.pressure, ice)


def known(value: float, x: Moisture) -> Result:
    """Make NaN of what infinite input gave."""
    total = x.temperature + x.pressure + x.salinity + x.relative_humidity + x.specific_humidity
    return Result(where(total - total == 0.0, value, total - total))


def pressure_at(x: Moisture, o: Saturation) -> Result:
    """Saturation vapour pressure (Pa)."""
    return known(100.0 * saturated(x, x.temperature, o), x)


def humidity_at(x: Moisture, o: Saturation) -> Result:
    """Specific humidity (kg kg-1) of air of a relative humidity over water of a salinity."""
    saturation = (1.0 - 0.02 * x.salinity / 35.0) * saturated(x, x.temperature, o)
    vapour = x.relative_humidity * saturation
    # Of what boils no air is left that the vapour could be a share of.
    return known(where(vapour < x.pressure, mixing(vapour, x.pressure), NAN), x)


def vapour_in(x: Moisture) -> float:
    """Vapour pressure (hPa) of a specific humidity."""
    return x.specific_humidity * x.pressure / (0.622 + 0.378 * x.specific_humidity)


def relative_in(x: Moisture, o: Saturation) -> Result:
    """Relative humidity of a specific humidity."""
    return known(vapour_in(x) / saturated(x, x.temperature, o), x)


def dew_point_of(x: Moisture, o: Saturation) -> Result:
    """Temperature (K) at which air of this humidity would be saturated, by Buck's formula."""
    ice = o.over == _ICE
    enhanced = where(ice, 1.0003, 1.0007) + where(ice, 4.18e-6, 3.46e-6) * x.pressure
    rise = log_or_nan(vapour_in(x) / (where(ice, 6.1115, 6.1121) * enhanced))
    t = where(ice, 272.55, 240.97) * rise / (where(ice, 22.452, 17.502) - rise)
    return known(t + _ZERO, x)


def wet_bulb_of(x: Moisture, o: Saturation) -> Result:
    """Temperature (K) that water evaporating into the air brings it to, at constant pressure."""
    heat = _DRY_HEAT * (1.0 - x.specific_humidity) + _VAPOUR_HEAT * x.specific_humidity
    wet = x.temperature
    for _ in range(_PASSES):  # Newton's method
        saturation = mixing(saturated(x, wet, o), x.pressure)
        vaporisation = latent_heat(wet)
        excess = heat * (x.temperature - wet) - vaporisation * (saturation - x.specific_humidity)
        kelvin = wet + _ZERO
        slope = heat + vaporisation * vaporisation * saturation / (461.5 * kelvin * kelvin)
        wet = wet + excess / slope
    return known(wet + _ZERO, x)


def density_of(x: Moisture, o: Saturation) -> Result:
    """Density (kg m-3) of moist air."""
    virtual = (x.temperature + _ZERO) * (1.0 + 0.608 * x.specific_humidity)
    return known(100.0 * x.pressure / (_DRY_GAS * virtual), x)


def latent_heat_at(x: Moisture, o: Saturation) -> Result:
    """Latent heat of vaporisation (J kg-1)."""
    return known(latent_heat(x.temperature), x)


HUMIDITY = Map("humidity_at", humidity_at, Moisture, Result, Saturation())


def saturation_vapour_pressure(
    temperature: ArrayLike,
    pressure: ArrayLike = 101300.0,
    *,
    formula: str = "buck1981",
    over: str = "either",
    dtype: DTypeLike | None = None,
) -> Any:
    """Saturation vapour pressure over fresh water or ice.

    Parameters
    ----------
    temperature : array_like
        Kelvin, any shape.
    pressure : array_like, optional
        Pa; moist air under pressure holds a little more vapour than a vacuum, which only Buck's
        formula knows.
    formula : {"buck1981", "bolton1980", "goff1957", "murphy_koop2005", "ifs"}, optional
        See Notes.
    over : {"either", "water", "ice"}, optional
        ``"either"``: ice below 0 °C. Bolton's formula is for water only.
    dtype : dtype, optional
        float32 or float64; by default float32 when all arrays are float32, else float64.

    Returns
    -------
    ndarray, scalar or DataArray
        Pa, with the broadcast shape; NaN where an input is NaN or masked.

    Raises
    ------
    UnknownFormulaError
        FK114.
    OutOfRangeError, ShapeError, NotNumericError, DtypeError
        As `fluxkernels.bulk_flux` does.

    Notes
    -----
    Buck (1981): e = 6.1121 exp(17.502 t / (t + 240.97)) (1.0007 + 3.46e-6 p) over water,
    e = 6.1115 exp(22.452 t / (t + 272.55)) (1.0003 + 4.18e-6 p) over ice, t in °C, e and p
    in hPa. Bolton (1980): eq. 10. Goff (1957): the formula of the World Meteorological
    Organization. Murphy and Koop (2005): eq. 7 (ice) and 10 (water), good from 123 K. "ifs":
    ECMWF's model (IFS documentation CY47R3, part IV, eq. 7.5).

    Examples
    --------
    >>> round(float(saturation_vapour_pressure(293.15, formula="murphy_koop2005")), 1)
    2339.4
    """
    inputs = {"temperature": temperature, "pressure": pressure}
    named = ("", "saturation vapour pressure", "Pa")
    return _apply(pressure_at, inputs, _saturation(formula, over), named, dtype)


def saturation_specific_humidity(
    temperature: ArrayLike,
    pressure: ArrayLike,
    salinity: ArrayLike = 0.0,
    *,
    formula: str = "buck1981",
    over: str = "either",
    dtype: DTypeLike | None = None,
) -> Any:
    """Specific humidity of saturated air over water of a given salinity.

    With ``over="either"`` over ice below the freezing point of that water: 0 °C at salinity 0,
    so that the default is also the saturation humidity of air as COARE takes it; -1.92 °C at
    salinity 35. With a dew point as `temperature` it gives the actual specific humidity.

    Parameters
    ----------
    temperature : array_like
        Kelvin, any shape.
    pressure : array_like
        Pa at the same place, broadcast against `temperature`.
    salinity : array_like, optional
        Practical salinity; 35 for the open ocean's surface, 0 for air.
    formula, over, dtype
        As in `saturation_vapour_pressure`.

    Returns
    -------
    ndarray, scalar or DataArray
        kg kg-1, with the broadcast shape; NaN where an input is NaN or masked, or the vapour's
        pressure would reach that of the air.

    Raises
    ------
    UnknownFormulaError, OutOfRangeError, ShapeError, NotNumericError, DtypeError
        As `saturation_vapour_pressure` does.

    Notes
    -----
    The vapour pressure e is multiplied by 1 - 0.02 S / 35; q = 0.622 e / (p - 0.378 e), NaN where
    the water boils.

    Examples
    --------
    >>> round(float(saturation_specific_humidity(300.15, 101300.0, salinity=35.0)), 5)
    0.02183
    """
    inputs = {"temperature": temperature, "pressure": pressure, "salinity": salinity}
    return _apply(humidity_at, inputs, _saturation(formula, over), _SPECIFIC_HUMIDITY, dtype)


def specific_humidity(
    relative_humidity: ArrayLike,
    temperature: ArrayLike,
    pressure: ArrayLike,
    *,
    formula: str = "buck1981",
    over: str = "either",
    dtype: DTypeLike | None = None,
) -> Any:
    """Specific humidity of air from its relative humidity, as COARE converts it.

    Parameters
    ----------
    relative_humidity : array_like
        Fraction (CF unit 1), not per cent; by default relative to ice where the air is below 0 °C.
    temperature : array_like
        Air temperature, kelvin.
    pressure : array_like
        Pa at the height of the sensor; COARE takes the sea-level pressure less 12.5 Pa a
        metre.
    formula, over, dtype
        As in `saturation_vapour_pressure`.

    Returns
    -------
    ndarray, scalar or DataArray
        kg kg-1, with the broadcast shape; NaN where an input is NaN or masked, or the vapour's
        pressure would reach that of the air.

    Raises
    ------
    UnknownFormulaError, OutOfRangeError, ShapeError, NotNumericError, DtypeError
        As `saturation_vapour_pressure` does.

    Examples
    --------
    >>> round(float(specific_humidity(0.8, 298.15, 101175.0)), 5)
    0.01579
    """
    inputs = {
        "relative_humidity": relative_humidity,
        "temperature": temperature,
        "pressure": pressure,
    }
    return _apply(humidity_at, inputs, _saturation(formula, over), _SPECIFIC_HUMIDITY, dtype)


def relative_humidity(
    specific_humidity: ArrayLike,
    temperature: ArrayLike,
    pressure: ArrayLike,
    *,
    formula: str = "buck1981",
    over: str = "either",
    dtype: DTypeLike | None = None,
) -> Any:
    """Relative humidity of air: its vapour pressure over that of saturation.

    Parameters
    ----------
    specific_humidity : array_like
        kg kg-1.
    temperature, pressure : array_like
        Kelvin, Pa.
    formula, over, dtype
        As in `saturation_vapour_pressure`.

    Returns
    -------
    ndarray, scalar or DataArray
        Fraction; NaN where an input is NaN or masked.

    Raises
    ------
    UnknownFormulaError, OutOfRangeError, ShapeError, NotNumericError, DtypeError
        As `saturation_vapour_pressure` does.

    Examples
    --------
    >>> round(float(relative_humidity(0.015, 298.15, 101300.0)), 3)
    0.761
    """
    inputs = _moist_air(specific_humidity, temperature, pressure)
    named = ("relative_humidity", "relative humidity", "1")
    return _apply(relative_in, inputs, _saturation(formula, over), named, dtype)


def dew_point(
    specific_humidity: ArrayLike,
    pressure: ArrayLike,
    *,
    over: str = "water",
    dtype: DTypeLike | None = None,
) -> Any:
    """Temperature at which air of this humidity and pressure would be saturated (Buck, 1981).

    Parameters
    ----------
    specific_humidity : array_like
        kg kg-1.
    pressure : array_like
        Pa.
    over : {"water", "ice"}, optional
        Dew point or frost point.
    dtype : dtype, optional
        float32 or float64; by default float32 when all arrays are float32, else float64.

    Returns
    -------
    ndarray, scalar or DataArray
        Kelvin; NaN where an input is NaN or masked, or the air dry.

    Raises
    ------
    UnknownFormulaError, OutOfRangeError, ShapeError, NotNumericError, DtypeError
        As `saturation_vapour_pressure` does.

    Examples
    --------
    >>> round(float(dew_point(0.015, 101300.0)), 2)
    293.65
    """
    if over == "either":
        raise UnknownFormulaError("it is either dew or frost.", "over", "Choose water or ice.")
    inputs = {"specific_humidity": specific_humidity, "pressure": pressure}
    named = ("dew_point_temperature", "dew point", "K")
    return _apply(dew_point_of, inputs, _saturation("buck1981", over), named, dtype)


def wet_bulb_temperature(
    specific_humidity: ArrayLike,
    temperature: ArrayLike,
    pressure: ArrayLike,
    *,
    formula: str = "buck1981",
    over: str = "water",
    dtype: DTypeLike | None = None,
) -> Any:
    """Temperature to which evaporating water cools the air at constant pressure.

    Parameters
    ----------
    specific_humidity : array_like
        kg kg-1.
    temperature, pressure : array_like
        Kelvin, Pa.
    formula, over, dtype
        As in `saturation_vapour_pressure`.

    Returns
    -------
    ndarray, scalar or DataArray
        Kelvin; NaN where an input is NaN or masked.

    Raises
    ------
    UnknownFormulaError, OutOfRangeError, ShapeError, NotNumericError, DtypeError
        As `saturation_vapour_pressure` does.

    Notes
    -----
    The isobaric wet bulb: cp (T - Tw) = Lv(Tw) (qs(Tw) - q), solved by Newton's method, with the
    latent heat of vaporisation at the wet bulb and the heat capacity of the moist air.

    Examples
    --------
    >>> round(float(wet_bulb_temperature(0.015, 298.15, 101300.0)), 2)
    295.0
    """
    inputs = _moist_air(specific_humidity, temperature, pressure)
    named = ("wet_bulb_temperature", "wet-bulb temperature", "K")
    return _apply(wet_bulb_of, inputs, _saturation(formula, over), named, dtype)


def air_density(
    specific_humidity: ArrayLike,
    temperature: ArrayLike,
    pressure: ArrayLike,
    *,
    dtype: DTypeLike | None = None,
) -> Any:
    """Density of moist air: p / (287.05 T (1 + 0.608 q)).

    Parameters
    ----------
    specific_humidity : array_like
        kg kg-1.
    temperature, pressure : array_like
        Kelvin, Pa.
    dtype : dtype, optional
        float32 or float64; by default float32 when all arrays are float32, else float64.

    Returns
    -------
    ndarray, scalar or DataArray
        kg m-3; NaN where an input is NaN or masked.

    Raises
    ------
    OutOfRangeError, ShapeError, NotNumericError, DtypeError
        As `fluxkernels.bulk_flux` does.

    Examples
    --------
    >>> round(float(air_density(0.015, 298.15, 101300.0)), 4)
    1.1729
    """
    inputs = _moist_air(specific_humidity, temperature, pressure)
    named = ("air_density", "density of the air", "kg m-3")
    return _apply(density_of, inputs, Saturation(), named, dtype)


def latent_heat_of_vaporisation(temperature: ArrayLike, *, dtype: DTypeLike | None = None) -> Any:
    """Latent heat of vaporisation of water: (2.501 - 0.00237 t) 1e6, t in °C, as COARE has it.

    Parameters
    ----------
    temperature : array_like
        Of the water, kelvin.
    dtype : dtype, optional
        float32 or float64; by default float32 when all arrays are float32, else float64.

    Returns
    -------
    ndarray, scalar or DataArray
        J kg-1; NaN where the input is NaN or masked.

    Raises
    ------
    OutOfRangeError, NotNumericError, DtypeError
        As `fluxkernels.bulk_flux` does.

    Examples
    --------
    >>> float(latent_heat_of_vaporisation(273.15))
    2501000.0
    """
    named = ("", "latent heat of vaporisation", "J kg-1")
    return _apply(latent_heat_at, {"temperature": temperature}, Saturation(), named, dtype)


_SPECIFIC_HUMIDITY = ("specific_humidity", "specific humidity", "kg kg-1")
# What a function does not need is anything that keeps its NaN to itself.
_UNUSED = {
    "temperature": 273.15,
    "pressure": 101300.0,
    "salinity": 0.0,
    "relative_humidity": 1.0,
    "specific_humidity": 0.0,
}


def _moist_air(
    specific_humidity: ArrayLike, temperature: ArrayLike, pressure: ArrayLike
) -> dict[str, ArrayLike]:
    return {
        "specific_humidity": specific_humidity,
        "temperature": temperature,
        "pressure": pressure,
    }


def _saturation(formula: str, over: str) -> Saturation:
    for name, value, choices in (("formula", formula, FORMULAS), ("over", over, SURFACES)):
        if value not in choices:
            mend = f"Choose one of: {', '.join(choices)}."
            raise UnknownFormulaError(f"{value!r} is not known.", name, mend)
    if formula == "bolton1980" and over == "ice":
        mend = "Choose another formula, or water."
        raise UnknownFormulaError("Bolton's formula is for water only.", "over", mend)
    return Saturation(FORMULAS.index(formula), SURFACES.index(over))


def _apply(
    function: Callable[..., Result],
    given: Mapping[str, ArrayLike],
    options: Saturation,
    named: tuple[str, str, str],
    dtype: DTypeLike | None,
) -> Any:
    """Evaluate one of the functions above on what is given."""
    inputs = {name: given.get(name, unused) for name, unused in _UNUSED.items()}
    physics = Map(function.__name__, function, Moisture, Result, options)

    def make(processor: Processor) -> Solve:
        return processor.solver(physics, conversions(inputs))

    standard_name, long_name, units = named
    attributes = {"long_name": long_name, "units": units}
    if standard_name:
        attributes["standard_name"] = standard_name
    return evaluate(make, inputs, (attributes,), dtype)[0]
