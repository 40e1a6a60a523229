"""How far reports from the sea are from their cells, by themselves.

It is stated, not fitted: no training can tell it from a network's own error. Ships err by far more
than buoys, and in humidity all err by a share of what air can hold.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field

from fluxkernels.thermodynamics import saturation_specific_humidity
from fluxrecipes.matchups.matching import STANDARD_PRESSURE, Matchups
from fluxrecipes.sources.reports import SHIP

Errors = npt.NDArray[np.float64]


class OfReports(BaseModel, extra="forbid", frozen=True):
    """Standard error of a report as a measure of its cell at the time of the pass."""

    ship: float = Field(ge=0, description="of a ship's")
    other: float = Field(ge=0, description="of a buoy's or a station's")

    def of(self, some: Matchups) -> Errors:
        """Of each matchup."""
        return np.where(some.kind == SHIP, self.ship, self.other)


class ReportErrors(BaseModel, extra="forbid", frozen=True):
    """Standard errors of what is reported, and of fluxes by the bulk formula of it.

    Defaults for ships are those of Kent, Challenor and Taylor (J. Atmos. Oceanic Technol. 16, 905,
    1999: 1.4 K, 1.1 g kg-1, 2.1 m s-1) and what follows for fluxes, for others what makers say of
    sensors, and what a point may differ from its cell. Of the ships of one's own archive
    `fluxforge matchup` tells it, from pairs of them in one cell.
    """

    air_temperature: OfReports = Field(OfReports(ship=1.4, other=0.3), description="K")
    specific_humidity: OfReports = Field(
        OfReports(ship=0.07, other=0.03), description="a share of that of saturated air"
    )
    wind_speed: OfReports = Field(OfReports(ship=2.1, other=0.6), description="m s-1")
    # Not what follows from the above for each report: one of a wind that is low by chance would
    # count for more, and the fluxes learned be too small (by 4 W m-2, tried).
    sensible_heat_flux: OfReports = Field(OfReports(ship=15.0, other=4.0), description="W m-2")
    latent_heat_flux: OfReports = Field(OfReports(ship=45.0, other=15.0), description="W m-2")

    def of_air(self, some: Matchups) -> Errors:
        """Of air temperature [K] and specific humidity [kg kg-1], shape (matchup, 2)."""
        saturated = saturation_specific_humidity(some.air_temperature, STANDARD_PRESSURE)
        humidity = self.specific_humidity.of(some) * np.asarray(saturated, np.float64)
        return np.stack([self.air_temperature.of(some), humidity], axis=1)

    def of_wind(self, some: Matchups) -> Errors:
        """Of the wind [m s-1], shape (matchup, 1)."""
        return self.wind_speed.of(some)[:, None]

    def of_fluxes(self, some: Matchups) -> Errors:
        """Of sensible and latent heat flux [W m-2], shape (matchup, 2)."""
        sides = self.sensible_heat_flux, self.latent_heat_flux
        return np.stack([one.of(some) for one in sides], axis=1)
