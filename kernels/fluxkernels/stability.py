"""Integrated stability functions of Monin-Obukhov similarity, as COARE 3.6 has them.

All take zeta = z / L. Unstable: the Kansas form blended, by zeta² / (1 + zeta²), with the form
that is right in free convection (Fairall et al., 1996b). Stable: Beljaars and Holtslag (1991).

References
----------
Beljaars, A. C. M., and A. A. M. Holtslag, 1991: Flux parameterization over land surfaces for
atmospheric models. J. Appl. Meteor., 30, 327-341.
Fairall, C. W., E. F. Bradley, D. P. Rogers, J. B. Edson and G. S. Young, 1996b: Bulk
parameterization of air-sea fluxes for TOGA COARE. J. Geophys. Res., 101, 3747-3764.
Edson, J. B., et al., 2013: On the exchange of momentum over the open ocean. J. Phys.
Oceanogr., 43, 1589-1610.
"""

from __future__ import annotations

import math

from fluxkernels.compile import inline

_ROOT3 = math.sqrt(3.0)
# The reference's exponent: a true cube root gives other fluxes in the last digits it prints.
_THIRD = 0.3333


@inline
def psi_momentum(zeta: float) -> float:
    """Stability function of the wind profile, used in every pass (Edson et al., 2013)."""
    return _psi_wind(zeta, 0.7, 15.0, 10.15)


@inline
def psi_momentum_first_guess(zeta: float) -> float:
    """Stability function of the wind profile in the first guess only."""
    return _psi_wind(zeta, 1.0, 18.0, 10.0)


@inline
def psi_scalar(zeta: float) -> float:
    """Stability function of the temperature and humidity profiles."""
    if zeta < 0.0:
        kansas = 2.0 * math.log((1.0 + math.sqrt(1.0 - 15.0 * zeta)) / 2.0)
        return _blend(zeta, kansas, _psi_convective(zeta, 34.15))
    decay = math.exp(-min(50.0, 0.35 * zeta))
    return -(math.pow(1.0 + 0.6667 * zeta, 1.5) + 0.6667 * (zeta - 14.28) * decay + 8.525)


@inline
def _psi_wind(zeta: float, slope: float, kansas: float, convective: float) -> float:
    """Wind function with its stable slope and its two unstable coefficients."""
    if zeta < 0.0:
        return _blend(zeta, _psi_kansas(zeta, kansas), _psi_convective(zeta, convective))
    decay = math.exp(-min(50.0, 0.35 * zeta))
    offset = 0.75 * 5.0 / 0.35
    return -(slope * zeta + 0.75 * (zeta - 5.0 / 0.35) * decay + offset)


@inline
def _psi_kansas(zeta: float, coefficient: float) -> float:
    """Weakly unstable wind function."""
    x = math.pow(1.0 - coefficient * zeta, 0.25)
    logs = 2.0 * math.log((1.0 + x) / 2.0) + math.log((1.0 + x * x) / 2.0)
    return logs - 2.0 * math.atan(x) + 2.0 * math.atan(1.0)


@inline
def _psi_convective(zeta: float, coefficient: float) -> float:
    """Strongly unstable function, of wind and scalars alike."""
    x = math.pow(1.0 - coefficient * zeta, _THIRD)
    logs = 1.5 * math.log((1.0 + x + x * x) / 3.0)
    return logs - _ROOT3 * math.atan((1.0 + 2.0 * x) / _ROOT3) + 4.0 * math.atan(1.0) / _ROOT3


@inline
def _blend(zeta: float, weak: float, strong: float) -> float:
    """Pass from the weakly to the strongly unstable form."""
    share = zeta * zeta / (1.0 + zeta * zeta)
    return (1.0 - share) * weak + share * strong
