"""Units for the eye: of what is stored in SI units."""

from __future__ import annotations

from typing import NamedTuple

from fluxrecipes.vocabulary import KELVIN


class Shown(NamedTuple):
    """How a stored unit is shown.

    Parameters
    ----------
    unit : str
    scale, offset : float
        From the stored unit; of differences the scale alone.
    digits : int
        After the point, of means and of their differences.
    """

    unit: str
    scale: float
    offset: float
    digits: int


SHOWN = {
    "K": Shown("°C", 1.0, -KELVIN, 3),
    "kg kg-1": Shown("g kg⁻¹", 1000.0, 0.0, 3),
    "W m-2": Shown("W m⁻²", 1.0, 0.0, 2),
    "m s-1": Shown("m s⁻¹", 1.0, 0.0, 3),
    "kg m-2": Shown("mm", 1.0, 0.0, 3),
    "mm h-1": Shown("mm h⁻¹", 1.0, 0.0, 3),
    "mm day-1": Shown("mm day⁻¹", 1.0, 0.0, 3),
    "1": Shown("1", 1.0, 0.0, 4),
}


def shown(units: str) -> Shown:
    """How a unit is shown; as it is stored, with raised exponents, where nothing is known of it."""
    raised = units.replace("-1", "⁻¹").replace("-2", "⁻²").replace("-3", "⁻³")
    return SHOWN.get(units, Shown(raised, 1.0, 0.0, 3))
