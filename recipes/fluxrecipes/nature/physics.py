"""What may differ from one simulated world to another, and the worlds that have a name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Physics:
    """Trends, drifts and departures from the standard physics.

    Trends and drifts are zero in the middle of the record, mid-2006.

    Parameters
    ----------
    scale_height : float
        Factor on the mean scale height of water vapour.
    boundary_layer : float
        Factor on the part of the air that no satellite sees.
    observation_error : float
        Factor on the satellites' conditional biases and noise.
    wind_bias : float
        Factor on the conditional part of the wind's error alone: its curves become steeper.
    nino : float
        Factor on the El Niño-like mode.
    sea_trend : float
        Of SST, K a decade; the air follows, at constant relative humidity.
    gap_trend : float
        Of SST less air temperature, K a decade: the air falls back; relative humidity stays.
    humidity_trend : float
        Of relative humidity, a decade (0.01 is one per cent of saturation); all else stays.
    wind_trend : float
        Of the wind's speed, as a share of it, a decade; all else stays.
    sst_drift : float
        Of the SST analysis, K a decade: of the product, not of the sea.
    vapour_drift : float
        Of the satellites' vapour, kg m-2 a decade: of the product, not of the air.
    """

    scale_height: float = 1.0
    boundary_layer: float = 1.0
    observation_error: float = 1.0
    wind_bias: float = 1.0
    nino: float = 1.0
    sea_trend: float = 0.12
    gap_trend: float = 0.0
    humidity_trend: float = 0.0
    wind_trend: float = 0.0
    sst_drift: float = 0.0
    vapour_drift: float = 0.0


_RECORD = 2.9  # decades, 1992 to 2020

WORLDS: Mapping[str, Physics] = MappingProxyType(
    {
        "standard": Physics(),
        "no-trend": Physics(sea_trend=0.0),
        "equal-trends": Physics(sea_trend=0.2),
        "gap-trend": Physics(sea_trend=0.0, gap_trend=0.1),
        "humidity-trend": Physics(sea_trend=0.0, humidity_trend=-0.01),
        "wind-trend": Physics(sea_trend=0.0, wind_trend=0.02),
        "sst-drift": Physics(sea_trend=0.0, sst_drift=0.1 / _RECORD),
        "vapour-drift": Physics(sea_trend=0.0, vapour_drift=0.5 / _RECORD),
        "perturbed": Physics(
            scale_height=1.06, boundary_layer=1.15, observation_error=1.2, wind_bias=1.4, nino=0.7
        ),
    }
)
"""Worlds by name: the standard one; trends in the truth of all, of SST less air temperature, of
humidity, of the wind, or none; drifts of a product without any change of truth (0.1 K and 0.5 mm
over the record); and one of other physics, for tests of transfer."""
