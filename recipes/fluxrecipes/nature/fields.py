"""Fields that can be asked at any place and time, without stepping there.

A random field is a chain of *knots*: independent noise maps, one every `step` hours, each made
from (seed, name, knot number) alone. At a time between two knots the field is their sum with
weights cos and sin of the same angle, so its variance is the same at all times; each map drifts
with the flow while it lives. Any time costs two look-ups, and no state is carried.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

Float = NDArray[np.floating[Any]]
Index = NDArray[np.intp]

ROWS = 720  # rows of the world: cell centres at 0.25°, from 89.875 S
SPACING = 0.25
LATITUDES = np.linspace(-89.875, 89.875, ROWS)
YEAR = 365.2425 * 24.0  # hours
_EPOCH = np.datetime64("1950-01-01T00:00:00", "ms")
_MIDSUMMER = 205.0  # day of the year at which the atmosphere's annual cycle turns
_PADDED = 960  # rows of the noise's torus: 60° of padding keep the poles from meeting
_KILOMETRES_PER_DEGREE = 111.2


def annual_angle(hours: NDArray[np.float64] | float, day: float) -> NDArray[np.float64]:
    """Angle of the annual cycle, 0 on the given day of the year."""
    return np.asarray(2.0 * np.pi * (hours - 24.0 * day) / YEAR)


def hours_since_epoch(time: np.datetime64) -> float:
    """Hours from the start of 1950 (UTC) to `time`."""
    return float((time.astype("datetime64[ms]") - _EPOCH) / np.timedelta64(1, "h"))


@dataclass(frozen=True)
class Points:
    """Places and times: three flat arrays of one length.

    Parameters
    ----------
    row : ndarray of int
        Row of the 0.25° grid, 0 at 89.875 S.
    longitude : ndarray of float32
        Degrees east, 0 to 360; any value, not only cell centres.
    hours : ndarray of float64
        Hours since the start of 1950, UTC.
    """

    row: Index
    longitude: Float
    hours: NDArray[np.float64]

    @cached_property
    def latitude(self) -> Float:
        """Degrees north of the rows' centres."""
        return LATITUDES.astype(np.float32)[self.row]

    @cached_property
    def flow(self) -> Float:
        """Mean flow that carries the weather: degrees of longitude an hour, eastward."""
        return _flow_of_rows()[self.row]

    @cached_property
    def summer(self) -> Float:
        """Annual cycle of the atmosphere: 1 in late July, -1 in late January."""
        return np.cos(annual_angle(self.hours, _MIDSUMMER)).astype(np.float32)

    @cached_property
    def solar_hour(self) -> Float:
        """Local mean solar time, hours."""
        return np.asarray(np.mod(self.hours + self.longitude / 15.0, 24.0), np.float32)

    def part(self, which: slice) -> Points:
        """The points of one slice."""
        return Points(self.row[which], self.longitude[which], self.hours[which])

    def __len__(self) -> int:
        return self.row.size


@lru_cache(maxsize=1)
def _flow_of_rows() -> Float:
    """Easterly flow in the tropics, westerly in the middle latitudes, degrees an hour."""
    speed = np.interp(np.abs(LATITUDES), [0, 12, 25, 42, 58, 75, 90], [-6, -5.5, 0, 9, 8, 2, 0])
    kilometres = _KILOMETRES_PER_DEGREE * np.cos(np.radians(LATITUDES))
    return (speed * 3.6 / kilometres).astype(np.float32)


@dataclass(frozen=True)
class RandomField:
    """A Gaussian random field of zero mean and unit variance.

    Its correlation at lags x, y degrees is exp(-((x / zonal)² + (y / meridional)²)^(power / 2)).

    Parameters
    ----------
    name : str
        Enters the seed: two fields of different names are independent.
    step : float
        Hours between knots, about its e-folding time along the flow; ``inf`` for a fixed map.
        Steps that do not divide a day keep the knots off the satellites' hours.
    zonal, meridional : float
        Correlation lengths, degrees.
    power : float
        2 is smooth, 1 rough.
    spacing : float
        Degrees between its columns, 0.25 to 1.
    period : float
        Degrees after which it repeats in longitude: a tile suffices for the finest scales.
    steered : bool
        Carried by the mean flow.
    drift : float
        Degrees an hour eastward besides.
    kind : {"scalar", "pair", "streamfunction"}
        "pair" is two independent maps; "streamfunction" three: the function and the unit
        winds u = -d/dy, v = d/dx that belong to it (power 2 only).
    """

    name: str
    step: float
    zonal: float
    meridional: float
    power: float = 1.5
    spacing: float = 0.5
    period: float = 360.0
    steered: bool = True
    drift: float = 0.0
    kind: str = "scalar"

    def at(self, points: Points, seed: int) -> Float:
        """Values at points.

        Returns
        -------
        ndarray, shape (maps, points)
            One map for a scalar, two for a pair, three for a streamfunction.
        """
        if math.isinf(self.step):
            return self.map(points, seed, 0)
        phase = points.hours / self.step
        first = np.floor(phase).astype(np.intp)
        part = (phase - first).astype(np.float32)
        angle = part * (np.pi / 2.0)
        value = self._carried(points, seed, first, part * (self.step))
        value *= np.cos(angle)
        later = self._carried(points, seed, first + 1, (part - 1) * (self.step))
        value += later * np.sin(angle)
        return value

    def map(self, points: Points, seed: int, number: int) -> Float:
        """Values at points of the one map with this number, at rest; shape (maps, points)."""
        return self._carried(points, seed, np.full(len(points), number, np.intp), 0.0)

    def _carried(self, points: Points, seed: int, knot: Index, age: Float | float) -> Float:
        speed = points.flow + (self.drift) if self.steered else (self.drift)
        column = (points.longitude - speed * age) / (self.spacing)
        return look_up(lambda k: _noise(self, seed, k), knot, points.row, column)


def look_up(maps: Callable[[int], Float], knot: Index, row: Index, column: Float) -> Float:
    """Interpolate in longitude on the maps of each point's knot.

    Parameters
    ----------
    maps : callable
        Gives for a knot number an array (maps, rows, columns), periodic in its last axis.
    knot, row : ndarray of int, shape (points,)
    column : ndarray of float, shape (points,)
        Fractional column; any value.

    Returns
    -------
    ndarray of float32, shape (maps, points)
    """
    first = int(knot.min()) if knot.size else 0
    last = int(knot.max()) if knot.size else 0
    if first == last:
        stack = maps(first)[:, None]
    else:
        stack = np.stack([maps(k) for k in range(first, last + 1)], axis=1)
    width = stack.shape[-1]
    floor = np.floor(column)
    part = (column - floor).astype(np.float32)
    west = floor.astype(np.intp) % width
    east = np.where(west == width - 1, 0, west + 1)
    start = row * width if first == last else ((knot - first) * stack.shape[2] + row) * width
    west += start
    east += start
    values = np.empty((stack.shape[0], row.size), np.float32)
    for value, table in zip(values, stack, strict=True):
        flat = table.reshape(-1)
        left = flat.take(west)
        value[:] = left + part * (flat.take(east) - left)
    return values


def white_noise(seed: int, name: str, number: int, shape: tuple[int, ...]) -> Float:
    """Independent standard normal numbers that depend on nothing but the arguments."""
    return generator(seed, name, number).standard_normal(shape, dtype=np.float32)


def generator(seed: int, name: str, number: int) -> np.random.Generator:
    """Random generator of one named purpose and number (a knot, a day) of one world."""
    words = [seed, zlib.crc32(name.encode()), number + (1 << 31)]
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence(words)))


@lru_cache(maxsize=64)
def _noise(field: RandomField, seed: int, knot: int) -> Float:
    """Maps of one knot, shape (maps, 720, columns)."""
    spectrum = _root_spectrum(field)
    width = round(field.period / field.spacing)
    names = (f"{field.name}/0", f"{field.name}/1") if field.kind == "pair" else (field.name,)
    maps = []
    for name in names:
        white = white_noise(seed, name, knot, (_PADDED, width))
        maps.append(fft.irfft2(fft.rfft2(white) * spectrum, s=white.shape)[:ROWS])
    if field.kind == "streamfunction":
        maps += _unit_winds(field, maps[0])
    return np.stack(maps).astype(np.float32)


def _unit_winds(field: RandomField, stream: Float) -> list[Float]:
    """Wind of a streamfunction, each component with unit variance."""
    west, east = np.roll(stream, 1, axis=1), np.roll(stream, -1, axis=1)
    northward = (east - west) * (field.zonal / math.sqrt(8.0) / field.spacing)
    eastward = -np.gradient(stream, SPACING, axis=0) * (field.meridional / math.sqrt(2.0))
    return [eastward, northward]


@lru_cache(maxsize=32)
def _root_spectrum(field: RandomField) -> Float:
    """Square root of the power spectrum that belongs to the field's correlation."""
    width = round(field.period / field.spacing)
    y = np.minimum(np.arange(_PADDED), _PADDED - np.arange(_PADDED)) * SPACING
    x = np.minimum(np.arange(width), width - np.arange(width)) * field.spacing
    squared = (y[:, None] / field.meridional) ** 2 + (x[None, :] / field.zonal) ** 2
    spectrum = fft.rfft2(np.exp(-(squared ** (field.power / 2.0)))).real
    root: Float = np.sqrt(np.maximum(spectrum, 0.0)).astype(np.float32)
    return root
