"""Saturation of water vapour over water, sea and ice, by the formulas in use.

Scalar, in °C, hPa and kg kg-1; `fluxkernels.thermodynamics` has them for arrays in SI. COARE, and
with it this package where nothing else is said, takes Buck's.

References
----------
Bolton, D., 1980: The computation of equivalent potential temperature. Mon. Wea. Rev., 108,
1046-1053 (eq. 10).
Buck, A. L., 1981: New equations for computing vapor pressure and enhancement factor.
J. Appl. Meteor., 20, 1527-1532.
ECMWF, 2021: IFS documentation CY47R3, part IV: physical processes (eq. 7.5; after Buck and
Alduchov and Eskridge).
Goff, J. A., 1957: Saturation pressure of water on the new Kelvin temperature scale. Trans. Am.
Soc. Heat. Vent. Eng., 63, 347-354 (as in WMO-No. 49, appendix A).
Murphy, D. M., and T. Koop, 2005: Review of the vapour pressures of ice and supercooled water for
atmospheric applications. Q. J. R. Meteorol. Soc., 131, 1539-1565 (eq. 7 and 10).
"""

from __future__ import annotations

from fluxkernels.vector_math import exp, log, sqrt, where

_LN10 = 2.302585092994046


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


def bolton(temperature: float) -> float:
    """Saturation vapour pressure (hPa) over water at °C (Bolton, 1980)."""
    return 6.112 * exp(17.67 * temperature / (temperature + 243.5))


def ifs(temperature: float, ice: bool) -> float:
    """Saturation vapour pressure (hPa) over water or ice at °C, as ECMWF's model has it."""
    t = temperature + 273.15
    return 6.1121 * exp(where(ice, 22.587, 17.502) * (t - 273.16) / (t - where(ice, -0.7, 32.19)))


def goff(temperature: float, ice: bool) -> float:
    """Saturation vapour pressure (hPa) over water or ice at °C (Goff, 1957)."""
    ratio = (temperature + 273.15) / 273.16
    inverse, logarithm = 1.0 / ratio, log(ratio) * (1.0 / _LN10)
    cold = exp(_LN10 * (-8.2969 * (ratio - 1.0)))
    warm = exp(_LN10 * (4.76955 * (1.0 - inverse)))
    water = 10.79574 * (1.0 - inverse) - 5.02800 * logarithm
    water = water + 1.50475e-4 * (1.0 - cold) + 0.42873e-3 * (warm - 1.0) + 0.78614
    frozen = -9.09685 * (inverse - 1.0) + 3.56654 * logarithm + 0.87682 * (1.0 - ratio) + 0.78614
    return exp(_LN10 * where(ice, frozen, water))


def murphy_koop(temperature: float, ice: bool) -> float:
    """Saturation vapour pressure (hPa) over water or ice at °C (Murphy and Koop, 2005)."""
    t = temperature + 273.15
    logarithm = log(t)
    bend = 1.0 - 2.0 / (exp(0.083 * (t - 218.8)) + 1.0)  # tanh
    water = 54.842763 - 6763.22 / t - 4.210 * logarithm + 0.000367 * t
    water = water + bend * (53.878 - 1331.22 / t - 9.44523 * logarithm + 0.014025 * t)
    frozen = 9.550426 - 5723.265 / t + 3.53068 * logarithm - 0.00728332 * t
    return 0.01 * exp(where(ice, frozen, water))
