"""What a sensor must show: thresholds, each with its reason, and how they are looked for."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field

from fluxengine import config
from fluxrecipes import vocabulary as cf

# Ours, where nothing else is said: by what a bias makes of latent heat flux. At 7.5 m/s over a sea
# of 15 to 27 °C (COARE 3.6 and the baseline retrieval) 0.2 m/s of wind are 1.7 to 2.9 W m-2, and
# 0.3 kg m-2 of vapour 0.7 to 1.4 W m-2.


class Limits(BaseModel, extra="forbid", frozen=True):
    """Of one variable, in its unit: largest differences from the reference sensor."""

    bias: float = Field(gt=0, description="over the whole ocean, of both passes together")
    regional: float = Field(gt=0, description="in any region, and in any season")
    drift: float = Field(gt=0, description="of the difference, per year")


class Thresholds(BaseModel, extra="forbid", frozen=True):
    """What a sensor must show before it enters the record, and how that is looked for."""

    days: int = Field(
        30, ge=4, description="on which both sensors have values; fewer say too little to be told"
    )
    seasons: int = Field(
        2,
        ge=1,
        le=4,
        description="seen by both: winds and vapour of one season are not all there is",
    )
    hours: float = Field(
        6.0, gt=0, le=12, description="between two passes over a cell that are compared"
    )
    block: int = Field(
        5, ge=1, description="days that are resampled together: weather lasts that long"
    )
    wind_speed: Limits = Field(
        Limits(bias=0.2, regional=0.5, drift=0.2),
        description="m s-1; the region's is the uncertainty that GCOS asks of near-surface wind",
    )
    water_vapour: Limits = Field(
        Limits(bias=0.3, regional=1.0, drift=0.3), description="kg m-2; 1 is the provider's noise"
    )
    cloud_liquid_water: Limits = Field(
        Limits(bias=0.01, regional=0.02, drift=0.01),
        description="kg m-2; the provider's maps have steps of 0.01",
    )
    rain_rate: Limits = Field(
        Limits(bias=0.02, regional=0.05, drift=0.02),
        description="mm h-1; the ocean's mean is about 0.1",
    )
    spread: float = Field(
        0.05,
        gt=0,
        description="by which the ratio of standard deviations over all cells may differ from 1:"
        " fluxes are not linear in the wind",
    )
    seam_ratio: float = Field(
        1.1,
        gt=1,
        description="of jumps where satellites meet on a map, over those that the reference alone"
        " makes over the same distance and hours",
    )
    stations_wind: float = Field(
        0.3,
        gt=0,
        description="m s-1, difference of both sensors' biases against reports: free of the daily"
        " cycle, and of fewer places",
    )
    stations_ratio: float = Field(
        1.1, gt=1, description="of root mean square errors against reports, over the reference's"
    )

    def of(self, variable: str) -> Limits:
        """Limits of a variable of `fluxrecipes.vocabulary.MICROWAVE`."""
        found: Limits = getattr(self, variable)
        return found


VARIABLES = tuple(variable.name for variable in cf.MICROWAVE)


def load(path: Path | None) -> Thresholds:
    """Thresholds, those of a YAML file in the place of ours.

    Raises
    ------
    ConfigError
        FF201: naming the key that is wrong and what to do.
    """
    if path is None:
        return Thresholds.model_validate({})
    start = "`fluxforge validate --help` tells."
    return config.read(path, Thresholds, "file of thresholds", start)
