"""How rough COARE takes the sea to be: Charnock's number of the wind, or of its waves.

References
----------
Edson, J. B., et al., 2013: On the exchange of momentum over the open ocean. J. Phys.
Oceanogr., 43, 1589-1610.
Fairall, C. W., E. F. Bradley, J. E. Hare, A. A. Grachev and J. B. Edson, 2003: Bulk
parameterization of air-sea fluxes. J. Climate, 16, 571-591.
Oost, W. A., et al., 2002: New evidence for a relation between wind stress and wave age from
measurements during ASGAMAGE. Bound.-Layer Meteor., 103, 409-438.
Taylor, P. K., and M. J. Yelland, 2001: The dependence of sea surface roughness on the height and
steepness of the waves. J. Phys. Oceanogr., 31, 572-590.
"""

from __future__ import annotations

import math

from fluxkernels.surface_layer import Inputs, Options
from fluxkernels.vector_math import power_or_nan, where

_TWO_PI = 2.0 * math.pi


def charnock(neutral_wind: float) -> float:
    """Charnock's number of COARE 3.5 and 3.6 (Edson et al., 2013); negative in a calm."""
    return 0.0017 * min(neutral_wind, 19.0) - 0.005


def charnock_30(gusty_wind: float) -> float:
    """Charnock's number of COARE 3.0 (Fairall et al., 2003)."""
    return 0.011 + 0.007 * max(0.0, min(1.0, (gusty_wind - 10.0) * 0.125))


def grown_height(phase_speed: float, wind_10m: float) -> float:
    """Significant height (m) of waves of this phase speed that a wind has raised (COARE 3.6)."""
    grown = 0.02 * power_or_nan(phase_speed / wind_10m, 1.1) - 0.0025
    return max(grown * wind_10m * wind_10m, 0.25)


def of_waves(
    x: Inputs,
    height: float,
    gravity: float,
    viscosity: float,
    friction: float,
    wind_sea: float,
    later: bool,
    o: Options,
) -> float:
    """Charnock's number of the waves given, or of the wind sea where none are.

    3.6: sea state. 3.5: sea state, or wave age where no height is given. 3.0: Taylor and Yelland
    (2001), or Oost et al. (2002) where no height is given.
    """
    speed, age = x.wave_speed, friction / x.wave_speed
    per_square = gravity / (friction * friction)
    if o.version == 36:
        number = height * 0.2 * power_or_nan(age, 2.2) * per_square
    elif o.version == 35:
        rough = height * 0.091 * (age * age)
        if later:  # the reference takes the smooth flow's roughness off in all passes but the first
            rough = rough - 0.11 * viscosity / friction
        number = where(height >= 0.0, rough * per_square, 0.114 * power_or_nan(age, 0.622))
    else:
        length = _TWO_PI * speed * speed / gravity
        steep = 1200.0 * height * power_or_nan(height / length, 4.5)
        oost = 50.0 / _TWO_PI * length * power_or_nan(age, 4.5)
        number = where(height > 0.0, steep, oost) * per_square
    return where(x.wave_speed > 0.0, number, wind_sea)
