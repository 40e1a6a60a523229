"""The variables of the project: one name, unit, meaning, valid range and packing for each.

Recipes say ``from fluxrecipes import vocabulary as cf`` and then ``cf.wind_speed``. Units are SI as
CF writes them; fluxes are positive upward. Sources replace the packing by their provider's own.
"""

from __future__ import annotations

from dataclasses import replace

from fluxengine.declare import Packing, Variable, flag_variable

KELVIN = 273.15

# CF asks of every temperature whether 0 K is a point on the scale or no difference.
ON_SCALE = {"units_metadata": "temperature: on_scale"}
DIFFERENCE = {"units_metadata": "temperature: difference"}

pass_time = Variable(
    "pass_time",
    "h",
    "time of observation, UTC, since the start of the day",
    valid_range=(0, 25),
    packing=Packing("i2", 0.01, 0, -32768),
)
wind_speed = Variable(
    "wind_speed",
    "m s-1",
    "10-m equivalent neutral wind speed",
    "wind_speed",
    (0, 60),
    Packing("i2", 0.005, 0, -32768),
    height=10.0,
)
wind_speed_lf = Variable(
    "wind_speed_lf",
    "m s-1",
    "10-m equivalent neutral wind speed from the lower frequencies (10 GHz and up)",
    "wind_speed",
    (0, 60),
    Packing("i2", 0.005, 0, -32768),
    height=10.0,
)
wind_speed_aw = Variable(
    "wind_speed_aw",
    "m s-1",
    "10-m equivalent neutral wind speed, in rain too",
    "wind_speed",
    (0, 60),
    Packing("i2", 0.005, 0, -32768),
    height=10.0,
)
wind_to_direction = Variable(
    "wind_to_direction",
    "degree",
    "direction that the wind blows to, clockwise from north",
    "wind_to_direction",
    (0, 360),
    Packing("i2", 0.1, 0, -32768),
    height=10.0,
)
wind_from_direction = Variable(
    "wind_from_direction",
    "degree",
    "direction that the wind blows from, clockwise from north",
    "wind_from_direction",
    (0, 360),
    Packing("i2", 0.1, 0, -32768),
)
water_vapour = Variable(
    "water_vapour",
    "kg m-2",
    "columnar water vapour",
    "atmosphere_mass_content_of_water_vapor",
    (0, 90),
    Packing("i2", 0.005, 0, -32768),
)
cloud_liquid_water = Variable(
    "cloud_liquid_water",
    "kg m-2",
    "columnar cloud liquid water; retrievals scatter about zero under clear sky",
    "atmosphere_mass_content_of_cloud_liquid_water",
    (-0.06, 3),
    Packing("i2", 0.0002, 0, -32768),
)
rain_rate = Variable(
    "rain_rate",
    "mm h-1",
    "rain rate at the surface",
    "rainfall_rate",
    (0, 60),
    Packing("i2", 0.002, 0, -32768),
)
eastward_wind = Variable(
    "eastward_wind",
    "m s-1",
    "eastward wind at 10 m",
    "eastward_wind",
    (-100, 100),
    Packing("i2", 0.005, 0, -32768),
    height=10.0,
)
northward_wind = Variable(
    "northward_wind",
    "m s-1",
    "northward wind at 10 m",
    "northward_wind",
    (-100, 100),
    Packing("i2", 0.005, 0, -32768),
    height=10.0,
)
precipitation_rate = Variable(
    "precipitation_rate",
    "mm h-1",
    "precipitation, rain and snow, as a depth of liquid water",
    "lwe_precipitation_rate",
    (-0.05, 160),
    Packing("i2", 0.005, 0, -32768),
)
sea_surface_temperature = Variable(
    "sea_surface_temperature",
    "K",
    "sea surface temperature",
    "sea_surface_temperature",
    (268, 313),
    Packing("i2", 0.002, 290.0, -32768),
    attrs=ON_SCALE,
)
sea_surface_temperature_anomaly = Variable(
    "sea_surface_temperature_anomaly",
    "K",
    "departure of sea surface temperature from the 1971-2000 climatology",
    "sea_surface_temperature_anomaly",
    (-30, 30),
    Packing("i2", 0.01, 0, -999),
    attrs=DIFFERENCE,
)
sea_surface_temperature_error = Variable(
    "sea_surface_temperature_error",
    "K",
    "estimated error standard deviation of analysed sea surface temperature",
    "sea_surface_temperature standard_error",
    (0, 10),
    Packing("i2", 0.01, 0, -999),
    attrs=DIFFERENCE,
)
sea_ice_fraction = Variable(
    "sea_ice_fraction",
    "1",
    "sea ice area fraction",
    "sea_ice_area_fraction",
    (0, 1),
    Packing("i2", 0.01, 0, -999),
)
air_temperature = Variable(
    "air_temperature",
    "K",
    "air temperature at 10 m",
    "air_temperature",
    (230, 325),
    Packing("i2", 0.002, 280.0, -32768),
    height=10.0,
    attrs=ON_SCALE,
)
air_temperature_2m = Variable(
    "air_temperature_2m",
    "K",
    "air temperature at 2 m, over land and ice too",
    "air_temperature",
    (160, 340),
    Packing("i2", 0.003, 250.0, -32768),
    height=2.0,
    attrs=ON_SCALE,
)
dew_point_temperature_2m = Variable(
    "dew_point_temperature_2m",
    "K",
    "dew point temperature at 2 m, over land and ice too",
    "dew_point_temperature",
    (155, 320),
    Packing("i2", 0.003, 250.0, -32768),
    height=2.0,
    attrs=ON_SCALE,
)
specific_humidity = Variable(
    "specific_humidity",
    "kg kg-1",
    "specific humidity at 10 m",
    "specific_humidity",
    (0, 0.035),
    Packing("i2", 1e-6, 0.015, -32768),
    height=10.0,
)
specific_humidity_2m = Variable(
    "specific_humidity_2m",
    "kg kg-1",
    "specific humidity at 2 m",
    "specific_humidity",
    (-0.001, 0.04),  # spectral models undershoot zero
    height=2.0,
)
skin_temperature = Variable(
    "skin_temperature",
    "K",
    "temperature of the surface: the skin of land and ice, the water's at sea",
    "surface_temperature",
    (170, 360),
    attrs=ON_SCALE,
)
dew_point_temperature = Variable(
    "dew_point_temperature",
    "K",
    "dew point temperature",
    "dew_point_temperature",
    (210, 313),
    Packing("i2", 0.002, 270.0, -32768),
    attrs=ON_SCALE,
)
surface_pressure = Variable(
    "surface_pressure",
    "Pa",
    "air pressure at the surface",
    "surface_air_pressure",
    (85000, 110000),
    Packing("i2", 1.0, 97500.0, -32768),
)
air_pressure_at_mean_sea_level = Variable(
    "air_pressure_at_mean_sea_level",
    "Pa",
    "air pressure at mean sea level",
    "air_pressure_at_mean_sea_level",
    (85000, 112000),
    Packing("i2", 1.0, 97500.0, -32768),
)
latent_heat_flux = Variable(
    "latent_heat_flux",
    "W m-2",
    "turbulent latent heat flux at the sea surface, positive upward",
    "surface_upward_latent_heat_flux",
    (-700, 1600),
    Packing("i2", 0.05, 0, -32768),
)
sensible_heat_flux = Variable(
    "sensible_heat_flux",
    "W m-2",
    "turbulent sensible heat flux at the sea surface, positive upward",
    "surface_upward_sensible_heat_flux",
    (-700, 1600),
    Packing("i2", 0.05, 0, -32768),
)

wind_speed_corrected = replace(
    wind_speed,
    name="wind_speed_corrected",
    long_name="10-m equivalent neutral wind speed, corrected towards reports in situ",
)
sensible_heat_flux_bulk = replace(
    sensible_heat_flux,
    name="sensible_heat_flux_bulk",
    long_name="turbulent sensible heat flux of the bulk algorithm, before its correction",
)
latent_heat_flux_bulk = replace(
    latent_heat_flux,
    name="latent_heat_flux_bulk",
    long_name="turbulent latent heat flux of the bulk algorithm, before its correction",
)

MICROWAVE = (wind_speed, water_vapour, cloud_liquid_water, rain_rate)
NEAR_SURFACE = (air_temperature, specific_humidity)
FLUXES = (sensible_heat_flux, latent_heat_flux)
BULK_FLUXES = (sensible_heat_flux_bulk, latent_heat_flux_bulk)

# Where a value of a product comes from, or why there is none. The order matters: where a result
# rests on several inputs, its state is the one that comes last; see `fluxrecipes.stages.states`.
OBSERVED, INTERPOLATED, PERSISTED, REANALYSIS, COMPLETED = 2, 3, 4, 5, 6
NO_OBSERVATION, NO_RETRIEVAL, COAST, SEA_ICE, LAND = 10, 11, 12, 13, 14
STATES = {
    OBSERVED: "observed",
    INTERPOLATED: "filled_by_interpolation_in_time",
    PERSISTED: "filled_by_persistence",
    REANALYSIS: "filled_by_reanalysis",
    COMPLETED: "filled_by_network",  # of what the days around have, reanalysis too
    NO_OBSERVATION: "no_observation",
    NO_RETRIEVAL: "no_retrieval",
    COAST: "bad_or_coast",
    SEA_ICE: "sea_ice",
    LAND: "land",
}
LAST_VALID = COMPLETED


def state_of(variable: str) -> Variable:
    """Flag variable that says where each value of `variable` comes from, or why it is absent."""
    return flag_variable(
        f"{variable}_state",
        f"origin of {variable.replace('_', ' ')}, or why there is none",
        STATES,
        standard_name="status_flag",
    )


flux_state = state_of("flux")


def count_of(variable: str, of: str) -> Variable:
    """How many values of a finer grid a mean of `variable` rests on."""
    return Variable(
        f"{variable}_count",
        "1",
        f"number of valid {of} in the mean of {variable.replace('_', ' ')}",
        "number_of_observations",
        packing=Packing("u1", fill=255),
    )
