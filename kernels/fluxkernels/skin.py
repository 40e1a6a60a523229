"""The ocean's cool skin: how much colder the interface is than the water just below.

References
----------
Fairall, C. W., E. F. Bradley, J. S. Godfrey, G. A. Wick, J. B. Edson and G. S. Young, 1996a:
Cool-skin and warm-layer effects on sea surface temperature. J. Geophys. Res., 101, 1295-1308.
Wick, G. A., J. C. Ohlmann, C. W. Fairall and A. T. Jessup, 2005: Improved oceanic cool-skin
corrections using a refined solar penetration model. J. Phys. Oceanogr., 35, 1986-1996.
"""

from __future__ import annotations

import math

from fluxkernels.compile import inline

# Sea water: specific heat, density, kinematic viscosity, thermal conductivity (SI).
HEAT_CAPACITY = 4000.0
DENSITY = 1022.0
VISCOSITY = 1e-6
CONDUCTIVITY = 0.6
_HALINE_CONTRACTION = 0.00075
_EMISSIVITY = 0.97
_STEFAN_BOLTZMANN = 5.67e-8
_THICKEST = 0.01


@inline
def thermal_expansion(temperature: float, salinity: float) -> float:
    """Thermal expansion coefficient of sea water (K-1) at °C and practical salinity.

    NaN below 1 °C, as in the reference's Python (its MATLAB takes the real part of a complex
    power there): `skin_thickness` then leaves out convection, whose drive is small or
    reversed in water that cold.
    """
    fresh = (2.2 * math.pow(temperature - 1.0, 0.82) - 5.0) * 1e-5
    salty = 2.1e-5 * math.pow(temperature + 3.2, 0.79)
    return fresh + (salty - fresh) * salinity / 35.0


@inline
def net_longwave(skin_kelvin: float, longwave_down: float) -> float:
    """Longwave radiation that the surface loses (W m-2)."""
    return _EMISSIVITY * (_STEFAN_BOLTZMANN * skin_kelvin**4 - longwave_down)


@inline
def absorbed_shortwave(net_shortwave: float, thickness: float) -> float:
    """Solar heating within the skin (W m-2); Fairall et al. (1996a), constant of Wick (2005)."""
    shallow = 6.6e-5 / thickness * (1.0 - math.exp(-thickness / 0.0008))
    return net_shortwave * (0.065 + 11.0 * thickness - shallow)


@inline
def buoyancy_loss(
    cooling: float, latent: float, vaporisation: float, expansion: float, salinity: float
) -> float:
    """Surface buoyancy loss as a heat flux times expansion: cooling, and salt left behind."""
    salt = _HALINE_CONTRACTION * salinity * latent * HEAT_CAPACITY / vaporisation
    return expansion * cooling + salt


@inline
def skin_thickness(
    buoyancy: float, friction_velocity: float, air_density: float, gravity: float
) -> float:
    """Thickness of the skin (m): Saunders' constant reduced where convection stirs the water.

    A `buoyancy` that is NaN or not positive leaves shear alone, at most 1 cm thick.
    """
    water_velocity = math.sqrt(air_density / DENSITY) * friction_velocity
    if not buoyancy > 0.0:
        return min(_THICKEST, 6.0 * VISCOSITY / water_velocity)
    water = 16.0 * gravity * HEAT_CAPACITY * (DENSITY * VISCOSITY) ** 3
    convection = water / (CONDUCTIVITY**2 * air_density**2) * buoyancy / friction_velocity**4
    saunders = 6.0 / math.pow(1.0 + math.pow(convection, 0.75), 0.333)
    return saunders * VISCOSITY / water_velocity
