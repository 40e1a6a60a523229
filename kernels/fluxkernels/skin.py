"""The ocean's cool skin: how much colder the interface is than the water just below.

References
----------
Fairall, C. W., E. F. Bradley, J. S. Godfrey, G. A. Wick, J. B. Edson and G. S. Young, 1996a:
Cool-skin and warm-layer effects on sea surface temperature. J. Geophys. Res., 101, 1295-1308.
Wick, G. A., J. C. Ohlmann, C. W. Fairall and A. T. Jessup, 2005: Improved oceanic cool-skin
corrections using a refined solar penetration model. J. Phys. Oceanogr., 35, 1986-1996.
"""

from __future__ import annotations

from fluxkernels.vector_math import exp, power, power_or_nan, sqrt, where

# Sea water: specific heat, density, kinematic viscosity, thermal conductivity (SI).
WATER_HEAT_CAPACITY = 4000.0
DENSITY = 1022.0
VISCOSITY = 1e-6
CONDUCTIVITY = 0.6
_EMISSIVITY = 0.97
_STEFAN_BOLTZMANN = 5.67e-8
_THICKEST = 0.01
_SAUNDERS = 16.0 * WATER_HEAT_CAPACITY * (DENSITY * VISCOSITY) ** 3 / CONDUCTIVITY**2


def thermal_expansion(temperature: float, salinity: float) -> float:
    """Thermal expansion coefficient of sea water (K-1) at °C and practical salinity.

    NaN below 1 °C, as in the reference's Python (its MATLAB takes the real part of a complex
    power there): `skin_thickness` then leaves out convection, whose drive is small or
    reversed in water that cold.
    """
    fresh = (2.2 * power_or_nan(temperature - 1.0, 0.82) - 5.0) * 1e-5
    salty = salty_expansion(temperature)
    return fresh + (salty - fresh) * salinity / 35.0


def salty_expansion(temperature: float) -> float:
    """Thermal expansion coefficient (K-1) of water of salinity 35, at °C above -3.2."""
    return 2.1e-5 * power_or_nan(temperature + 3.2, 0.79)


def haline_contraction(salinity: float) -> float:
    """Contraction coefficient times salinity, dimensionless."""
    return 0.00075 * salinity


def net_longwave(skin_kelvin: float, longwave_down: float) -> float:
    """Longwave radiation that the surface loses (W m-2)."""
    square = skin_kelvin * skin_kelvin
    return _EMISSIVITY * (_STEFAN_BOLTZMANN * square * square - longwave_down)


def absorbed_shortwave(net_shortwave: float, thickness: float) -> float:
    """Solar heating within the skin (W m-2); Fairall et al. (1996a), constant of Wick (2005)."""
    shallow = 6.6e-5 / thickness * (1.0 - exp(-thickness * (1.0 / 0.0008)))
    return net_shortwave * (0.065 + 11.0 * thickness - shallow)


def buoyancy_loss(cooling: float, latent: float, expansion: float, salting: float) -> float:
    """Surface buoyancy loss as a heat flux times expansion: cooling, and salt left behind."""
    return expansion * cooling + salting * latent


def salting(haline: float, vaporisation: float) -> float:
    """Buoyancy loss for each W m-2 of latent heat (K-1), by the salt that evaporation leaves."""
    return haline * WATER_HEAT_CAPACITY / vaporisation


def shear_scale(air_density: float) -> float:
    """Thickness of a skin that shear alone makes, for Saunders' constant 1, times u* (m2 s-1)."""
    return VISCOSITY / sqrt(air_density * (1.0 / DENSITY))


def stirring_scale(air_density: float, gravity: float) -> float:
    """Convection's part in the skin for each unit of buoyancy loss over u*^4."""
    return _SAUNDERS * gravity / (air_density * air_density)


def skin_thickness(
    buoyancy: float, friction_velocity: float, shear_scale: float, stirring_scale: float
) -> float:
    """Thickness of the skin (m): Saunders' constant reduced where convection stirs the water.

    A `buoyancy` that is NaN or not positive leaves shear alone, at most 1 cm thick.
    """
    per_friction = 1.0 / friction_velocity
    shear = shear_scale * per_friction
    square = per_friction * per_friction
    stirred = where(buoyancy > 0.0, buoyancy, 0.0)
    root = sqrt(stirring_scale * stirred) * square
    weakened = 6.0 * power(1.0 + root * sqrt(root), -0.333)
    return where(buoyancy > 0.0, weakened * shear, min(_THICKEST, 6.0 * shear))
