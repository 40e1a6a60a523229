"""The simulated atmosphere over the sea: wind, near-surface air, vapour, cloud and rain.

What a satellite can and cannot see decides the shape of it. The air-sea differences of
temperature and humidity share an advective part, which goes with the wind across the SST
gradient and with an air-mass anomaly that shows in the vapour; and a boundary-layer part with a
memory of one to two days that no satellite input shows. Column vapour is near-surface humidity
times a scale height that varies by itself, and cloud and rain go with that height: so they help
to tell a deep moist column from a moist surface. In the tropics the air below deep cloud is
cooler and drier at the surface and the column above it moister: vapour alone misleads there, and
the cloud tells. The numbers are round, chosen to meet measured statistics; they are no model of
the general circulation.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fluxrecipes.nature import loops
from fluxrecipes.nature.fields import (
    LATITUDES,
    Float,
    Points,
    RandomField,
    Table,
    table,
)
from fluxrecipes.nature.ocean import Sea, bump, look_up_fixed, soft_excess
from fluxrecipes.nature.physics import Physics as Physics

KELVIN = 273.15
_GUSTINESS = 0.06  # of the mesoscale wind: the part below 1°


def _by_row(
    names: tuple[str, ...], knots: list[tuple[float, ...]]
) -> dict[str, tuple[Float, Float]]:
    """Interpolate a table by latitude to the world's rows: annual mean and July amplitude."""
    table = np.array(knots)
    rows = [np.interp(LATITUDES, table[:, 0], col).astype(np.float32) for col in table.T[1:]]
    return dict(zip(names, zip(rows[::2], rows[1::2], strict=True), strict=True))


# Latitude, then annual mean and amplitude (positive: larger in July) of: mean eastward and
# northward wind, sd of the synoptic and of the mesoscale wind, all in m/s.
_WINDS = _by_row(
    ("eastward", "northward", "synoptic", "mesoscale"),
    [
        (-90, 0, 0, 0, 0, 2.6, 0, 1.6, 0),
        (-70, -0.5, 0, 0, 0, 3.8, 0, 2.0, 0),
        (-62, 5.5, 0.5, -0.5, 0, 3.8, 0.09, 2.2, 0),
        (-53, 9.2, 0.6, -0.7, 0, 3.2, 0.6, 2.2, 0),
        (-43, 7.6, 0.6, -0.2, 0, 3.3, 0.7, 2.2, 0),
        (-33, 0.6, 2.4, 1.2, 0.2, 4.1, 0.8, 2.0, 0),
        (-24, -5.7, 0.6, 2.5, 0.3, 2.7, 0.7, 1.9, 0),
        (-15, -6.9, -1.0, 2.5, 0.6, 1.6, 0.2, 1.8, 0),
        (-6, -6.1, -1.0, 2.1, 1.2, 1.4, 0.1, 1.9, 0),
        (0, -5.4, 0.0, 0.8, 1.6, 1.4, 0.0, 2.0, 0),
        (7, -5.6, 1.4, -1.5, 1.7, 1.6, -0.1, 2.0, 0),
        (15, -7.3, 0.9, -2.6, 1.0, 1.8, -0.2, 1.8, 0),
        (25, -4.6, -0.4, -1.5, 0.3, 2.9, -0.52, 1.9, 0),
        (35, 3.6, -2.8, 0.2, 0.2, 4.1, -1.4, 2.0, 0),
        (45, 6.0, -2.2, 0.6, 0.2, 3.45, -1.3, 2.4, 0),
        (55, 4.6, -1.6, 0.4, 0.1, 3.55, -0.9, 2.5, 0),
        (65, 1.0, -0.5, 0, 0, 4.1, -1.03, 2.2, 0),
        (90, 0, 0, 0, 0, 2.6, -0.34, 1.6, 0),
    ]
)  # fmt: skip

# Latitude, then annual mean and amplitude (July) of: SST minus air temperature, K; scale height
# of the vapour, m; wetness (shift of the cloud's normal score); sea-level pressure, hPa; sd of
# the air-mass anomaly, K; logit of relative humidity.
_AIR = _by_row(
    ("gap", "height", "wetness", "pressure", "mass", "humidity"),
    [
        (-90, 0.5, 0.3, 2300, 0, -0.3, 0.0, 990, 0, 1.0, 0.0, 1.62, 0),
        (-65, 0.5, 0.3, 2150, 0, -0.4, 0.0, 986, 0, 1.15, 0.0, 1.62, 0),
        (-50, 0.5, 0.3, 2100, 0, -0.3, 0.1, 998, 0, 1.05, 0.25, 1.62, 0),
        (-35, 0.8, 0.3, 2080, -60, -0.1, 0.2, 1016, 2, 1.05, 0.2, 1.39, 0),
        (-22, 0.8, 0.2, 1900, -130, -0.3, -0.1, 1018, 2, 0.92, 0.1, 1.35, 0),
        (-10, 0.7, 0.1, 1890, -150, 0.12, -0.3, 1012, 1, 0.46, 0.0, 1.46, 0),
        (0, 0.6, 0.0, 1950, -60, 0.37, -0.1, 1010, 0.5, 0.4, 0.0, 1.53, 0),
        (7, 0.6, 0.0, 1990, 110, 0.52, 0.2, 1009, 0, 0.4, 0.0, 1.57, 0),
        (15, 0.7, -0.1, 1790, 250, -0.3, 0.4, 1012, -1, 0.56, 0.0, 1.44, 0),
        (25, 0.9, -0.4, 1720, 210, -0.3, 0.2, 1018, -1, 0.95, -0.2, 1.35, 0),
        (35, 1.0, -0.6, 1860, 110, 0.0, -0.3, 1017, 0, 1.12, -0.45, 1.39, 0),
        (47, 0.5, -0.40, 1930, 60, -0.3, -0.36, 1011, 2, 0.86, -0.4, 1.60, 0),
        (60, 0.8, -0.5, 2000, 0, -0.08, -0.25, 1008, 2, 1.35, -0.5, 1.60, 0),
        (90, 0.8, -0.6, 2300, 0, -0.4, 0.0, 1014, 0, 1.2, -0.3, 1.60, 0),
    ]
)  # fmt: skip

# Where convection rules the air near the surface: 1 within 15° of the equator, 0 beyond 40°.
_CONVECTIVE = np.interp(np.abs(LATITUDES), [15.0, 40.0], [1.0, 0.0]).astype(np.float32)

# Where winter air comes off a continent: longitude, latitude, widths, extra SST minus air
# temperature, K: annual mean and amplitude (July).
_COLD_COASTS = (
    (128, 36, 14, 8, 2.0, -2.6),  # East Asia
    (145, 46, 14, 7, 1.6, -2.2),  # Okhotsk
    (291, 38, 12, 8, 2.1, -2.7),  # North-West Atlantic
    (305, 54, 10, 7, 1.2, -1.8),  # Labrador
    (272, 28, 9, 4, 0.8, -1.2),  # Gulf of Mexico
    (15, 72, 22, 6, 1.0, -1.0),  # Norwegian Sea
    (283, -14, 12, 9, -0.4, 0.0),  # Peru: cold water under warm air
    (10, -21, 9, 8, -0.4, 0.0),  # Benguela
    (250, -1, 20, 3, -0.4, -0.3),  # Pacific cold tongue
)

# Memory in hours, then lengths in degrees east and north. What the satellite sees of the air is
# in the air mass, the column and the cloud; the layer and the moisture it does not see.
_SYNOPTIC = RandomField(
    "wind/synoptic", 39.0, 16.0, 12.5, power=2.0, spacing=1.0, streamfunction=True
)
_SLOW = RandomField(  # of the wind, eastward and northward, and of the column
    "air/slow", 15 * 24.0, 27.0, 9.0, power=1.7, spacing=1.0, steered=False, members=3
)
_MESOSCALE = RandomField(  # of the wind, of the cloud, of the air's temperature
    "weather/mesoscale", 17.0, 3.6, 2.6, power=1.35, members=4
)
_FINE = RandomField(  # of the wind, of the cloud, of rain and vapour
    "weather/fine", 4.3, 0.52, 0.5, power=1.2, spacing=0.25, period=60.0, members=4
)
_AIR_MASS = RandomField("air/mass", 79.0, 16.0, 6.2, power=1.5, spacing=1.0)
_LAYER = RandomField(  # of temperature, of humidity
    "air/layer", 35.0, 5.3, 3.7, power=1.4, spacing=1.0, steered=False, members=2
)
_COLUMN = RandomField("vapour/column", 23.0, 8.0, 5.0, power=1.5)


@dataclass(frozen=True)
class State:
    """Sea and air at points; flat float32 arrays of one length, SI unless said.

    Parameters
    ----------
    sea_surface_temperature, air_temperature : ndarray
        K; the air at 10 m.
    eastward_wind, northward_wind : ndarray
        Actual wind at 10 m, m s-1.
    specific_humidity : ndarray
        kg kg-1 at 10 m.
    water_vapour, cloud_liquid_water : ndarray
        kg m-2.
    rain_rate : ndarray
        mm h-1.
    surface_pressure : ndarray
        Pa.
    sea_ice_fraction : ndarray
        0 to 1.
    """

    sea_surface_temperature: Float
    air_temperature: Float
    eastward_wind: Float
    northward_wind: Float
    specific_humidity: Float
    water_vapour: Float
    cloud_liquid_water: Float
    rain_rate: Float
    surface_pressure: Float
    sea_ice_fraction: Float

    @cached_property
    def wind_speed(self) -> Float:
        """Actual wind speed at 10 m, m s-1."""
        return np.hypot(self.eastward_wind, self.northward_wind)


def state(points: Points, below: Sea, seed: int, physics: Physics, *, fine: bool = True) -> State:
    """Sea and air at points.

    Parameters
    ----------
    points : Points
    below : Sea
        The sea there.
    seed : int
    physics : Physics
    fine : bool
        With the variability of wind, vapour and air below 1° (as a 0.25° cell has it) or without
        (nearly the mean over a 1° cell: between 15° S and 15° N its air is 0.02 K warmer and
        0.04 g/kg moister). Cloud and rain always have it: their mean depends on it.
    """
    slow, mesoscale, small = (field.at(points, seed) for field in (_SLOW, _MESOSCALE, _FINE))
    wind = _Wind.at(points, seed, slow, mesoscale[:2] + (_GUSTINESS * fine) * small[:2])
    column = _Column.at(points, seed, slow[2], mesoscale[2], 0.34 * mesoscale[3])
    score = _wetness(column, wind.speed)
    cloudy = score + 0.55 * small[2]
    outflow = _outflow(column, cloudy if fine else score)
    sun = _sunshine(points)
    warming = 0.95 * sun * np.exp(wind.speed / -2.6)
    surface = below.temperature + warming
    gap = _gap(below, wind, column, outflow, physics)
    air = surface - gap - 0.6 * warming + 0.18 * sun - physics.gap_trend * points.decades
    humidity = _relative_humidity(gap, column, outflow, physics)
    humidity += physics.humidity_trend * points.decades
    humidity *= saturation(air, wind.pressure)
    vapour = _vapour(humidity, below, column, outflow, wind.speed, physics)
    if fine:
        vapour *= np.exp(0.006 * small[3])
    cloud, rain = _cloud_and_rain(cloudy, small[3])
    stronger = 1.0 + physics.wind_trend * points.decades
    return State(
        sea_surface_temperature=surface + KELVIN,
        air_temperature=air + KELVIN,
        eastward_wind=stronger * wind.east,
        northward_wind=stronger * wind.north,
        specific_humidity=humidity,
        water_vapour=vapour,
        cloud_liquid_water=cloud,
        rain_rate=rain,
        surface_pressure=wind.pressure,
        sea_ice_fraction=below.ice,
    )


@dataclass(frozen=True)
class _Column:
    """The drivers of the air column: climate by latitude, and normal scores."""

    gap: Float  # K
    height: Float  # m
    wetness: Float
    mass_sd: Float  # K
    humidity: Float  # logit
    convective: Float
    mass: Float
    layer: Float
    moisture: Float
    depth: Float
    seasonal: Float
    system: Float
    quick: Float

    @classmethod
    def at(cls, points: Points, seed: int, seasonal: Float, system: Float, quick: Float) -> _Column:
        cold, layer = _cold_coast(points), _LAYER.at(points, seed)
        return cls(
            gap=_climate(points, _AIR["gap"]) + cold,
            height=_climate(points, _AIR["height"]),
            wetness=_climate(points, _AIR["wetness"]),
            mass_sd=1.3 * _climate(points, _AIR["mass"]) + 0.63 * cold.clip(0.0),
            humidity=_climate(points, _AIR["humidity"]),
            convective=_CONVECTIVE[points.row],
            mass=0.72 * _AIR_MASS.at(points, seed)[0] + 0.69 * seasonal,
            layer=layer[0],
            moisture=layer[1],
            depth=_COLUMN.at(points, seed)[0],
            seasonal=seasonal,
            system=system,
            quick=quick,
        )


@dataclass(frozen=True)
class _Wind:
    """Wind components, m/s: all of it, and the part that lasts for hours; pressure, Pa."""

    east: Float
    north: Float
    steady_east: Float
    steady_north: Float
    pressure: Float

    @classmethod
    def at(cls, points: Points, seed: int, slow: Float, small: Float) -> _Wind:
        stream, east, north = _SYNOPTIC.at(points, seed)
        synoptic = 0.95 * _climate(points, _WINDS["synoptic"])
        u = _climate(points, _WINDS["eastward"]) + 1.5 * slow[0] + synoptic * east
        v = _climate(points, _WINDS["northward"]) + 0.9 * slow[1] + synoptic * north
        # Geostrophy ties the pressure anomaly to the streamfunction; weak at the equator.
        swing = 2.2 * np.sin(np.radians(points.latitude)) * synoptic
        pressure = _climate(points, _AIR["pressure"]) + swing * stream + _tide(points)
        mesoscale = _climate(points, _WINDS["mesoscale"])
        return cls(u + mesoscale * small[0], v + mesoscale * small[1], u, v, 100.0 * pressure)

    @cached_property
    def speed(self) -> Float:
        return np.hypot(self.east, self.north)


def _tide(points: Points) -> Float:
    """Semidiurnal tide of the pressure, hPa: highest at 10 and 22 h."""
    cosine, sine = points.solar_day
    twice = (cosine * cosine - sine * sine) * 0.5 - (2.0 * 0.866) * cosine * sine
    return 1.2 * np.cos(np.radians(points.latitude)) * twice


def _sunshine(points: Points) -> Float:
    """Height of the midday sun times the course of the day, highest at 14 h: -1 to 1."""
    declination = -23.4 * points.season(-10.0)
    cosine, sine = points.solar_day
    midday = np.cos(np.radians(points.latitude - declination)).clip(0.0)
    return midday * (-0.866 * cosine - 0.5 * sine)


def _wetness(column: _Column, speed: Float) -> Float:
    """Normal score of cloud and rain, without their finest part."""
    score: Float = column.wetness + 0.40 * column.depth + 0.18 * column.seasonal
    score += 0.12 * column.mass + 0.79 * column.system
    # Fronts and squalls: it rains more where it blows.
    score += 0.11 * (speed - 7.6)
    return score


def _outflow(column: _Column, score: Float) -> Float:
    """Share of the near-surface air, 0 to 1, that has come down from tropical cloud.

    The step lies at 0.05 kg/m² of cloud, which two fifths of the tropics have, and it is steep:
    so the cloud tells it exactly, and a quadratic in wind, vapour and SST does not.
    """
    share: Float = column.convective / (1.0 + np.exp((0.4 - score) * 4.0))
    return share


def _gap(below: Sea, wind: _Wind, column: _Column, outflow: Float, physics: Physics) -> Float:
    """SST minus air temperature at 10 m, K."""
    # Air keeps the temperature of the water it crossed about five hours before: m/s times
    # K per 1000 km times 5 h is 0.018 K.
    advected = 0.018 * (
        wind.steady_east * below.eastward_gradient.clip(-15, 15)
        + wind.steady_north * below.northward_gradient.clip(-15, 15)
    )
    # Convection holds the layer to the sea's temperature: the floor of Ta is 0.4 K there.
    held = (0.27 + 0.36 * column.mass_sd) * (1.0 - 0.4 * column.convective)
    hidden = held * column.layer + column.mass_sd * column.quick
    excess = advected - 0.62 * column.mass_sd * column.mass - physics.boundary_layer * hidden
    # Cold pools in the Bay of Bengal are typically 2 K cooler and 1 g/kg drier (Simoes-Sousa et
    # al., 2023). With what follows for the humidity, air below cloud is 1.1 K cooler here, as
    # not all of it is of one, and 1.4 g/kg drier.
    excess += 1.4 * outflow
    # Cold outbreaks go further than warm ones: a stable layer stops the exchange.
    excess += 0.07 * excess.clip(0.0) ** 2
    gap = column.gap - 0.6 + below.unfelt + excess
    squeezed: Float = 0.72 * gap + 0.28 * np.sqrt(gap * gap + 1.5)
    return squeezed


def _relative_humidity(gap: Float, column: _Column, outflow: Float, physics: Physics) -> Float:
    """Relative humidity at 10 m, below saturation by construction."""
    # Of relative humidity 7 % in the middle latitudes, as at PAPA, and 4 % in the tropics: this
    # decides the floor of Qa, with what the scale height does by itself.
    unseen = (0.42 - 0.20 * column.convective) * column.moisture
    unseen += (0.27 * column.mass_sd) * column.quick
    logit = column.humidity + 0.06 * column.mass + 0.06 * column.seasonal + 0.22 * column.depth
    logit += physics.boundary_layer * unseen - 0.13 * (gap - 1.0) - 0.15 * outflow
    humidity: Float = 0.985 / (1.0 + np.exp(-logit))
    return humidity


def saturation(celsius: NDArray[Any], pressure: NDArray[Any]) -> NDArray[Any]:
    """Saturation specific humidity over water, kg/kg (Bolton, 1980); pressure in Pa."""
    vapour = 611.2 * np.exp(17.67 * celsius / (celsius + 243.5))
    return 0.622 * vapour / (pressure - 0.378 * vapour)


def _vapour(
    humidity: Float, below: Sea, column: _Column, outflow: Float, speed: Float, physics: Physics
) -> Float:
    """Column water vapour, kg/m²: near-surface humidity times a scale height."""
    # Deep convection over warm water carries the vapour higher.
    warm = 1.0 / (1.0 + np.exp((27.6 - below.climatology) / 0.7))
    height = column.height * (0.93 + 0.28 * warm)
    # Over water warmer than its latitude air rises, over colder water it sinks.
    spread = 0.038 * below.regional.clip(-5.0, 4.0)
    spread += 0.120 * column.depth + 0.095 * column.system + 0.09 * column.seasonal
    spread += 0.082 * column.mass_sd * column.mass
    # Outflow is shallow: the column keeps what the surface has lost, and is moister below cloud.
    spread += 0.21 * outflow
    spread += 0.022 * (speed - 7.5)  # storms lift moist air
    vapour: Float = (1.14 * physics.scale_height) * humidity * height * np.exp(spread)
    # A saturated tropical column holds some 70 kg/m²: lean towards it smoothly.
    return vapour - 0.85 * soft_excess(vapour - 64.0, 5.0)


def _cloud_and_rain(score: Float, small: Float) -> tuple[Float, Float]:
    """Cloud water, kg/m², and rain, mm/h, from one normal score of wetness."""
    cloud = 0.030 * np.exp(1.45 * np.minimum(score, 1.5))
    cloud += 0.42 * np.maximum(score - 1.5, 0.0)
    wet = np.maximum(score + 0.46 * small - 1.17, 0.0)
    return cloud, (1.07 * wet) ** 2.1


def _climate(points: Points, rows: tuple[Float, Float]) -> Float:
    """Annual mean plus season at points."""
    values = np.empty_like(points.summer)
    loops.of_season(values, *rows, points.row, points.summer)
    return values


def _cold_coast(points: Points) -> Float:
    mean, amplitude = look_up_fixed(_cold_coast_maps(), points)
    extra: Float = mean + amplitude * points.summer
    return extra


@lru_cache(maxsize=1)
def _cold_coast_maps() -> Table:
    maps = np.zeros((2, LATITUDES.size, 720))
    for lon, lat, width, height, annual, seasonal in _COLD_COASTS:
        shape = bump(lon, lat, width, height)
        maps += np.stack([annual * shape, seasonal * shape])
    return table(maps)
