"""What the networks of the record take and give: one place for training and for running them.

Air is given relative to the sea: air temperature as its difference from sea surface temperature,
humidity as its deficit from saturation over sea water. Both lie near zero, where the sea is known
far better than the air.
"""

from __future__ import annotations

from dataclasses import replace

from fluxkernels.nets.quantities import Quantity, Vocabulary

WIND = Quantity("wind_speed", "m s-1", 7.5, 4.0, 0.0, 60.0)
VAPOUR = Quantity("water_vapour", "kg m-2", 28.0, 16.0, 0.0, 90.0)
CLOUD = Quantity("cloud_liquid_water", "kg m-2", 0.05, 0.1, -0.06, 3.0)
RAIN = Quantity("rain_rate", "mm h-1", 0.0, 1.0, 0.0, 60.0)
RAINING = Quantity("rain_occurrence", "1", 0.0, 1.0, 0.0, 1.0)
SST = Quantity("sea_surface_temperature", "K", 291.0, 9.0, 268.0, 313.0)
# Of the pass, as the hand of a 24-hour clock, so that midnight is no jump.
HOUR_COS = Quantity("local_hour_cosine", "1", 0.0, 1.0, -1.0, 1.0)
HOUR_SIN = Quantity("local_hour_sine", "1", 0.0, 1.0, -1.0, 1.0)
# 0 where the satellite saw it, 1 where a gap was filled: what is told of errors rests on it.
WIND_FILLED = Quantity("wind_speed_filled", "1", 0.0, 1.0, 0.0, 1.0)
VAPOUR_FILLED = Quantity("water_vapour_filled", "1", 0.0, 1.0, 0.0, 1.0)
WARMTH = Quantity("air_minus_sea_temperature", "K", -1.0, 2.0, -40.0, 25.0)
DEFICIT = Quantity("humidity_deficit", "kg kg-1", 3.5e-3, 2e-3, -0.015, 0.035)
SENSIBLE = Quantity("sensible_heat_flux", "W m-2", 10.0, 20.0, -700.0, 1600.0)
LATENT = Quantity("latent_heat_flux", "W m-2", 100.0, 70.0, -700.0, 1600.0)
SENSIBLE_ERROR = Quantity("sensible_heat_flux_correction", "W m-2", 0.0, 20.0, -700.0, 700.0)
LATENT_ERROR = Quantity("latent_heat_flux_correction", "W m-2", 0.0, 50.0, -1000.0, 1000.0)
WIND_ERROR = Quantity("wind_speed_correction", "m s-1", 0.0, 1.5, -20.0, 20.0)

PASS = (HOUR_COS, HOUR_SIN, WIND_FILLED, VAPOUR_FILLED)
MICROWAVE = (WIND, VAPOUR, CLOUD, RAIN)

# Rain's occurrence is completed beside its rate: a mean rate alone does not tell how likely it is.
FILLED = (*MICROWAVE, RAINING)
GAPS = Vocabulary((*FILLED, SST), FILLED)
# With the other pass, twelve hours before, as context; see `fluxrecipes.other_pass`.
OTHER_PASS = tuple(replace(quantity, name=f"other_pass_{quantity.name}") for quantity in FILLED)
GAPS_BOTH_PASSES = Vocabulary((*GAPS.predictors, *OTHER_PASS), FILLED)
RETRIEVAL = Vocabulary((*MICROWAVE, SST, *PASS), (WARMTH, DEFICIT))
CORRECTION = Vocabulary(
    (LATENT, SENSIBLE, WARMTH, DEFICIT, SST, WIND, *PASS), (SENSIBLE_ERROR, LATENT_ERROR)
)
WIND_CORRECTION = Vocabulary(CORRECTION.predictors, (WIND_ERROR,))
