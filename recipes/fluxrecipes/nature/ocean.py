"""The simulated sea surface: temperature and ice.

A smooth climatology (zonal mean, warm and cold regions, western boundary fronts) plus
anomalies: a slow basin-scale part, an El Niño-like index, and mesoscale eddies that are
strongest at the fronts. The numbers are round values of common knowledge, chosen by us.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from fluxrecipes.nature.fields import (
    LATITUDES,
    Float,
    Points,
    RandomField,
    Table,
    look_up,
    table,
)
from fluxrecipes.nature.physics import Physics

Grid = NDArray[np.float64]

FREEZING = -1.8  # °C, sea water at the ice edge
_COLUMNS = 720  # of the climatology's maps: 0.5°
_LONGITUDES = np.linspace(0.0, 359.5, _COLUMNS)
_WARMEST = 240.0  # day of the year of the northern SST maximum

# Latitude, annual mean and seasonal amplitude (positive: warmest in late August), °C. Below
# freezing the value is a potential temperature that decides the ice cover.
_ZONAL = np.array(
    [
        (-90, -4.0, 0.0), (-78, -3.0, -0.6), (-70, -2.1, -1.1), (-65, -1.2, -1.4),
        (-60, 1.4, -1.1), (-55, 4.0, -0.9), (-50, 6.8, -1.2), (-45, 11.4, -1.6),
        (-40, 16.0, -2.1), (-35, 18.9, -2.4), (-30, 20.9, -2.4), (-25, 23.1, -2.1),
        (-20, 24.7, -1.7), (-15, 26.2, -1.3), (-10, 27.5, -1.0), (-5, 28.6, -0.8),
        (0, 28.7, -0.5), (5, 29.0, 0.0), (10, 28.4, 0.4), (15, 27.5, 0.8),
        (20, 26.2, 1.2), (25, 24.9, 1.9), (30, 22.7, 2.8), (35, 20.2, 3.7),
        (40, 17.1, 4.0), (45, 12.8, 3.6), (50, 8.9, 3.2), (55, 7.1, 2.9),
        (60, 5.5, 2.6), (65, 4.2, 2.3), (70, 1.6, 2.2), (75, -0.9, 1.6),
        (80, -2.8, 0.7), (90, -5.0, 0.3),
    ]
)  # fmt: skip

# Warm and cold regions: longitude, latitude, widths (e-folding, degrees), annual, seasonal °C.
_REGIONS = (
    (150, 3, 40, 14, 1.2, 0.0),  # western Pacific warm pool
    (80, 2, 25, 13, 0.8, 0.0),  # Indian Ocean
    (255, -1, 26, 4, -2.6, -1.0),  # Pacific cold tongue
    (283, -15, 16, 12, -4.6, -0.4),  # Peru
    (355, -3, 18, 7, -1.2, -0.9),  # Atlantic cold tongue
    (9, -21, 13, 11, -4.8, -0.3),  # Benguela
    (237, 31, 12, 9, -3.2, -0.5),  # California
    (344, 23, 10, 10, -3.0, -0.4),  # Canary
    (45, -25, 14, 9, 1.8, 0.0),  # Mozambique
    (158, -21, 20, 9, 1.7, 0.0),  # Coral Sea
    (315, -28, 14, 9, 1.2, 0.0),  # Brazil
    (305, -46, 9, 7, -3.0, 0.0),  # Malvinas
    (25, -50, 50, 8, -3.2, 0.0),  # subpolar, south of Africa
    (195, -52, 50, 8, 3.4, 0.0),  # south-west Pacific
    (112, -33, 10, 7, 0.6, 0.0),  # Leeuwin
    (345, 56, 28, 12, 4.6, -0.4),  # North Atlantic Drift
    (10, 71, 26, 8, 4.6, 0.0),  # Norwegian Sea
    (303, 58, 14, 9, -6.0, 2.2),  # Labrador
    (276, 60, 10, 8, -7.0, 5.0),  # Hudson Bay
    (25, 60, 9, 5, -5.5, 4.0),  # Gulf of Bothnia
    (300, 74, 60, 6, -2.0, 0.3),  # Baffin Bay
    (147, 54, 15, 8, -6.8, 4.4),  # Okhotsk and Oyashio
    (165, 47, 18, 5, -2.0, 0.3),  # Oyashio
    (187, 62, 20, 6, -5.6, 2.6),  # Bering Sea
    (215, 54, 17, 8, 2.0, 0.2),  # Gulf of Alaska
    (180, 42, 28, 6, -1.6, 0.0),  # subarctic Pacific
    (20, 38, 24, 6, 4.0, 1.5),  # Mediterranean
    (45, 24, 14, 8, 1.2, 3.0),  # Red Sea, Persian Gulf
    (122, 37, 8, 6, -3.5, 3.5),  # Yellow Sea
    (275, 27, 14, 6, 2.0, 0.5),  # Gulf of Mexico
)

# Fronts: longitudes between which they run, latitude at both ends, half width, half step °C.
_FRONTS = (
    (285, 325, 37.0, 43.0, 1.3, -3.5),  # Gulf Stream
    (140, 175, 35.0, 39.5, 1.4, -3.0),  # Kuroshio
    (302, 325, -38.0, -43.0, 1.5, 2.5),  # Brazil-Malvinas confluence
    (15, 70, -39.5, -43.5, 1.3, 2.4),  # Agulhas return current
    (0, 360, -50.5, -50.5, 1.8, 0.8),  # Antarctic Circumpolar Current
)

_BASIN = RandomField(
    "sst/basin", 62 * 24.0, 18.0, 9.0, power=1.7, spacing=1.0, steered=False, drift=-0.001
)
# K: smaller in the tropics.
_BASIN_SPREAD = np.interp(np.abs(LATITUDES), [0, 20, 48, 90], [0.6, 0.6, 1.28, 0.9]).astype("f4")
_EDDIES = RandomField("sst/eddies", 19 * 24.0, 1.7, 1.3, power=1.6, steered=False, drift=-0.0015)
_NINO = RandomField("sst/nino", 190 * 24.0, 40.0, 40.0, power=2.0, spacing=1.0, steered=False)


@dataclass(frozen=True)
class Sea:
    """Foundation sea surface at points.

    Parameters
    ----------
    temperature : ndarray
        Foundation SST, °C.
    climatology : ndarray
        What it would be without anomalies, °C.
    potential : ndarray
        The same as `temperature`, not held at freezing, °C: it decides the ice.
    eastward_gradient, northward_gradient : ndarray
        Of the climatology, K per 1000 km.
    regional : ndarray
        Climatology less its mean over the circle of latitude, K.
    unfelt : ndarray
        Part of the temperature too fine for the air to follow, K.
    """

    temperature: Float
    climatology: Float
    potential: Float
    eastward_gradient: Float
    northward_gradient: Float
    regional: Float
    unfelt: Float

    def part(self, which: slice | NDArray[np.bool_]) -> Sea:
        """The points of a slice, or those with a mark."""
        return Sea(**{one.name: getattr(self, one.name)[which] for one in fields(self)})

    @property
    def ice(self) -> Float:
        """Sea ice area fraction."""
        cover = np.clip((-1.5 - self.potential) / 1.1, 0.0, 1.0)
        return np.asarray(cover * cover * (3.0 - 2.0 * cover), np.float32)


def sea(points: Points, seed: int, physics: Physics) -> Sea:
    """Foundation SST and what goes with it at points."""
    mean, amplitude, east, north, regional, spread, pattern = look_up_fixed(_maps(), points)
    climatology = mean + amplitude * points.season(_WARMEST)
    eddies = spread * _EDDIES.at(points, seed)[0]
    total = climatology + _BASIN_SPREAD[points.row] * _BASIN.at(points, seed)[0]
    total += (physics.nino * pattern) * nino_index(points.hours, seed)
    total += eddies
    return Sea(
        temperature=_hold(total) + physics.sea_trend * points.decades,
        climatology=_hold(climatology),
        potential=total,
        eastward_gradient=east,
        northward_gradient=north,
        regional=regional,
        unfelt=0.5 * eddies,
    )


def _hold(temperature: Float) -> Float:
    """Hold the SST smoothly between freezing and what evaporation allows, about 31 °C."""
    warm = temperature - 0.7 * soft_excess(temperature - 31.4, 0.8)
    return FREEZING + soft_excess(warm - FREEZING, 0.4)


def soft_excess(value: Float, width: float) -> Float:
    """max(value, 0) with its corner rounded over about `width` to each side."""
    return 0.5 * (value + np.sqrt(value * value + (width * width)))


def look_up_fixed(maps: Table, points: Points) -> Float:
    """Values at points of a `table` of maps on the climatology's grid of 0.5°."""
    return look_up(maps, points.row, points.longitude * np.float32(1.0 / 360.0))


@lru_cache(maxsize=1)
def _maps() -> Table:
    """What the sea's temperature is made of.

    Annual mean, seasonal amplitude, eastward and northward gradient and regional part of the
    mean, standard deviation of the eddies, El Niño's pattern.
    """
    mean, amplitude = _climatology()
    return table(np.stack([mean[0], amplitude, *mean[1:], _eddies(), 0.9 * bump(240, 0, 40, 6)]))


@lru_cache(maxsize=1)
def _climatology() -> tuple[Grid, Grid]:
    """Annual mean of (SST, gradients, regional), (4, 720, 720); seasonal amplitude of SST."""
    mean, amplitude = (
        np.repeat(PchipInterpolator(_ZONAL[:, 0], _ZONAL[:, i])(LATITUDES)[:, None], _COLUMNS, 1)
        for i in (1, 2)
    )
    for lon, lat, width, height, annual, seasonal in _REGIONS:
        shape = bump(lon, lat, width, height)
        mean += annual * shape
        amplitude += seasonal * shape
    for front in _FRONTS:
        mean += _front(*front)
    return _with_gradients(mean), amplitude


def _with_gradients(temperature: Grid) -> Grid:
    east = np.roll(temperature, -1, 1) - np.roll(temperature, 1, 1)
    north = np.gradient(temperature, axis=0)
    cosine = np.maximum(np.cos(np.radians(LATITUDES)), 0.1)[:, None]
    # Columns are 0.5°, the rows 0.25° of 111.2 km apart; in K per 1000 km.
    gradients = east / (0.1112 * cosine), north / (0.25 * 0.1112)
    return np.stack([temperature, *gradients, temperature - temperature.mean(1, keepdims=True)])


def bump(lon: float, lat: float, width: float, height: float) -> Grid:
    """Gaussian region on the climatology's grid, shape (720, 720); widths are e-folding."""
    away = (_LONGITUDES - lon + 180.0) % 360.0 - 180.0
    north = np.exp(-(((LATITUDES - lat) / height) ** 2))
    return np.asarray(north[:, None] * np.exp(-((away / width) ** 2))[None, :])


def _front(west: float, east: float, start: float, end: float, width: float, step: float) -> Grid:
    """A step across a line of latitude that meanders a little, fading out to both sides."""
    part = (_LONGITUDES - west) / (east - west)
    window = np.where((part > 0) & (part < 1), np.sin(np.pi * np.clip(part, 0, 1)) ** 0.7, 0.0)
    if east - west >= 360:
        window = np.ones(_COLUMNS)
    axis = start + (end - start) * part + 0.7 * np.sin(2 * np.pi * _LONGITUDES / 15.0)
    across = LATITUDES[:, None] - axis[None, :]
    fade = np.exp(-((across / 7.0) ** 2))
    return np.asarray(step * window * np.tanh(across / width) * fade)


def _eddies() -> Grid:
    """Standard deviation of eddies, K: larger where the climatology has a gradient."""
    gradient = np.hypot(*_climatology()[0][1:3])
    amplitude = 0.36 + 1.3 * np.clip(gradient - 6.0, 0.0, 30.0) / 30.0
    # Less where the pole's meridians meet and under the ice.
    return np.asarray(amplitude * np.clip((75.0 - np.abs(LATITUDES)) / 10.0, 0.2, 1.0)[:, None])


def nino_index(hours: NDArray[np.float64], seed: int) -> Float:
    """El Niño-like index at hours since the start of 1950: normal, lasting for half a year."""
    if not hours.size:
        return np.empty(0, np.float32)
    edges = 24.0 * np.arange(hours.min() // 24.0, hours.max() // 24.0 + 2.0)
    on_equator = Points(np.full(edges.size, 360), np.full(edges.size, 230, np.float32), edges)
    return np.asarray(np.interp(hours, edges, _NINO.at(on_equator, seed)[0]), np.float32)
