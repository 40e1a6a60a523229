"""Integrated stability functions of Monin-Obukhov similarity.

All take zeta = z / L, positive where the air is stable, and work out both branches: the one
that does not apply is evaluated at zero.

COARE, unstable: the Kansas form blended, by zeta² / (1 + zeta²), with the form that is right
in free convection (Fairall et al., 1996b). Stable: Beljaars and Holtslag (1991), with the
slopes of each version.

Three identities keep the reference's answer and spare most of its functions:
2 log a + log b = log(a² b), pi/2 - 2 atan x = -2 atan((x - 1) / (x + 1)), and
atan((1 + 2 x) / sqrt 3) - pi/3 = atan((x - 1) / (sqrt 3 (x + 1))).

References
----------
Beljaars, A. C. M., and A. A. M. Holtslag, 1991: Flux parameterization over land surfaces for
atmospheric models. J. Appl. Meteor., 30, 327-341.
Fairall, C. W., E. F. Bradley, D. P. Rogers, J. B. Edson and G. S. Young, 1996b: Bulk
parameterization of air-sea fluxes for TOGA COARE. J. Geophys. Res., 101, 3747-3764.
Fairall, C. W., E. F. Bradley, J. E. Hare, A. A. Grachev and J. B. Edson, 2003: Bulk
parameterization of air-sea fluxes. J. Climate, 16, 571-591.
Edson, J. B., et al., 2013: On the exchange of momentum over the open ocean. J. Phys.
Oceanogr., 43, 1589-1610.
ECMWF, 2021: IFS documentation CY47R3, part IV: physical processes, section 3.2.
Large, W. G., and S. G. Yeager, 2009: The global climatology of an interannually varying air-sea
flux data set. Climate Dyn., 33, 341-364.
"""

from __future__ import annotations

import math

from fluxkernels.vector_math import LOG2_E, atan, exp, exp2, log, log2, sqrt, where

_ROOT3 = math.sqrt(3.0)
_TWO_THIRDS = 2.0 / 3.0
_ECMWF_TURN = 5.0 / 0.35
# The references' exponent: a true cube root gives other fluxes in the last digits they print.
_THIRD = 0.3333


def power_wind(zeta: float) -> float:
    """What `psi_momentum` needs of a power: see `_convection_or_decay`."""
    return _convection_or_decay(zeta, 10.15)


def power_scalar(zeta: float) -> float:
    """What `psi_scalar` needs of a power."""
    return _convection_or_decay(zeta, 34.15)


def psi_momentum(zeta: float, power: float) -> float:
    """Wind profile of COARE 3.5 and 3.6, in every pass (Edson et al., 2013)."""
    return _psi_wind(zeta, 0.7, 15.0, power)


def psi_momentum_first_guess(zeta: float) -> float:
    """Wind profile of COARE 3.5 and 3.6 in the first guess only."""
    return _psi_wind(zeta, 1.0, 18.0, _convection_or_decay(zeta, 10.0))


def psi_scalar(zeta: float, power: float) -> float:
    """Temperature and humidity profiles of COARE 3.5 and 3.6."""
    return _psi_scalar(zeta, 0.6667, power)


def psi_momentum_30(zeta: float, power: float) -> float:
    """Wind profile of COARE 3.0 (Fairall et al., 2003)."""
    stable = max(zeta, 0.0)
    value = -((1.0 + stable) + 0.667 * (stable - 14.28) * power + 8.525)
    unstable = _blend(zeta, _kansas_wind(zeta, 15.0), _convective(power))
    return where(zeta > 0.0, value, unstable)


def psi_scalar_30(zeta: float, power: float) -> float:
    """Temperature and humidity profiles of COARE 3.0 (Fairall et al., 2003)."""
    return where(zeta == 0.0, 0.0, _psi_scalar(zeta, 2.0 / 3.0, power))


def psi_momentum_ncar(zeta: float) -> float:
    """Wind profile of Large and Yeager (2009)."""
    return where(zeta >= 0.0, -5.0 * zeta, _kansas_wind(zeta, 16.0))


def psi_scalar_ncar(zeta: float) -> float:
    """Temperature and humidity profiles of Large and Yeager (2009)."""
    return where(zeta >= 0.0, -5.0 * zeta, _kansas_scalar(zeta, 16.0))


def psi_momentum_ecmwf(zeta: float) -> float:
    """Wind profile of the IFS (ECMWF, 2021, eq. 3.20-3.24), level beyond zeta -50 and 5."""
    z = max(-50.0, min(5.0, zeta))
    stable = -_decay_ecmwf(max(z, 0.0)) - max(z, 0.0) - _TWO_THIRDS * _ECMWF_TURN
    return where(z < 0.0, _kansas_wind(z, 16.0), stable)


def psi_scalar_ecmwf(zeta: float) -> float:
    """Temperature and humidity profiles of the IFS, likewise."""
    z = max(-50.0, min(5.0, zeta))
    growth = 1.0 + _TWO_THIRDS * max(z, 0.0)
    constant = 1.0 - _TWO_THIRDS * _ECMWF_TURN
    stable = -_decay_ecmwf(max(z, 0.0)) - growth * sqrt(growth) + constant
    return where(z < 0.0, _kansas_scalar(z, 16.0), stable)


def psi_momentum_ecmwf_guess(zeta: float) -> float:
    """Wind profile of COARE 3.0 as the IFS's first guess is made with."""
    stable, power = max(zeta, 0.0), power_wind(zeta)
    value = -((1.0 + stable) + 0.6667 * (stable - 14.28) * power + 8.525)
    return where(zeta < 0.0, _blend(zeta, _kansas_wind(zeta, 15.0), _convective(power)), value)


def psi_scalar_ecmwf_guess(zeta: float) -> float:
    """Temperature and humidity profiles likewise."""
    return _psi_scalar(zeta, _TWO_THIRDS, power_scalar(zeta))


def _decay_ecmwf(zeta: float) -> float:
    return _TWO_THIRDS * (zeta - _ECMWF_TURN) * exp(-0.35 * zeta)


def _psi_wind(zeta: float, slope: float, kansas: float, power: float) -> float:
    """Wind function with its stable slope and its two unstable coefficients."""
    stable = max(zeta, 0.0)
    offset = 0.75 * 5.0 / 0.35
    value = -(slope * stable + 0.75 * (stable - 5.0 / 0.35) * power + offset)
    unstable = _blend(zeta, _kansas_wind(zeta, kansas), _convective(power))
    return where(zeta < 0.0, unstable, value)


def _psi_scalar(zeta: float, slope: float, power: float) -> float:
    """Scalar function with the slope inside its stable power."""
    stable = max(zeta, 0.0)
    kansas = _kansas_scalar(zeta, 15.0)
    growth = 1.0 + slope * stable
    value = -(growth * sqrt(growth) + 0.6667 * (stable - 14.28) * power + 8.525)
    return where(zeta < 0.0, _blend(zeta, kansas, _convective(power)), value)


def _kansas_wind(zeta: float, coefficient: float) -> float:
    """Weakly unstable wind function."""
    square = sqrt(1.0 - coefficient * min(zeta, 0.0))
    x = sqrt(square)
    rise = 1.0 + x
    return log(rise * rise * (1.0 + square) * 0.125) - 2.0 * atan((x - 1.0) / rise)


def _kansas_scalar(zeta: float, coefficient: float) -> float:
    """Weakly unstable scalar function."""
    return 2.0 * log((1.0 + sqrt(1.0 - coefficient * min(zeta, 0.0))) * 0.5)


def _convection_or_decay(zeta: float, coefficient: float) -> float:
    """The power (1 - coefficient zeta)**0.3333 where unstable, exp(-0.35 zeta) where stable.

    A point needs one or the other, so that one exponential serves both.
    """
    root = _THIRD * log2(1.0 - coefficient * min(zeta, 0.0))
    return exp2(where(zeta < 0.0, root, -min(50.0, 0.35 * zeta) * LOG2_E))


def _convective(x: float) -> float:
    """Strongly unstable function, of wind and scalars alike."""
    turn = _ROOT3 * atan((x - 1.0) / (_ROOT3 * (1.0 + x)))
    return 1.5 * log((1.0 + x + x * x) * (1.0 / 3.0)) - turn


def _blend(zeta: float, weak: float, strong: float) -> float:
    """Pass from the weakly to the strongly unstable form."""
    square = zeta * zeta
    return weak + square / (1.0 + square) * (strong - weak)
