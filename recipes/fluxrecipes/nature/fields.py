"""Fields that can be asked at any place and time, without stepping there.

A random field is a chain of *knots*: independent noise maps, one every `step` hours, each made
from (seed, name, knot number) alone. At a time between two knots the field is their sum with
weights cos and sin of the same angle, so its variance is the same at all times; each map drifts
with the flow while it lives. Any time costs two look-ups, and no state is carried.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft, special

from fluxrecipes.nature import loops

Float = NDArray[np.floating[Any]]
Index = NDArray[np.intp]
Table = NDArray[np.float32]  # maps for `look_up`

ROWS = 720  # rows of the world: cell centres at 0.25°, from 89.875 S
SPACING = 0.25
LATITUDES = np.linspace(-89.875, 89.875, ROWS)
YEAR = 365.2425 * 24.0  # hours
_EPOCH = np.datetime64("1950-01-01T00:00:00", "ms")
_MIDSUMMER = 205.0  # day of the year at which the atmosphere's annual cycle turns
_MIDDLE = 56.5 * YEAR  # hours since 1950 at the middle of 1992-2020
_KILOMETRES_PER_DEGREE = 111.2
_QUARTER = np.float32(np.pi / 2.0)  # of a circle: what the weights go through in a step


def hours_since_epoch(time: np.datetime64) -> float:
    """Hours from the start of 1950 (UTC) to `time`."""
    return float((time.astype("datetime64[ms]") - _EPOCH) / np.timedelta64(1, "h"))


@dataclass(frozen=True)
class Points:
    """Places and times: flat arrays of one length.

    Parameters
    ----------
    row : ndarray of int
        Row of the 0.25° grid, 0 at 89.875 S.
    longitude : ndarray of float32
        Degrees east, 0 to 360; any value, not only cell centres.
    hours : ndarray of float64
        Hours since the start of 1950, UTC.
    shift : ndarray of float32, optional
        Degrees by which the weather is taken from further east. Weather is alike all along a
        circle of latitude, climate is not: each shift is another draw of the weather at one
        place, so that its statistics need no decades.

    Raises
    ------
    ValueError
        Where a row is none of the grid's.
    """

    row: Index
    longitude: Float
    hours: NDArray[np.float64]
    shift: Float | None = None

    def __post_init__(self) -> None:
        # The loops that read the maps do not look.
        if self.row.size and not (self.row.min() >= 0 and self.row.max() < ROWS):
            rows = f"{self.row.min()} to {self.row.max()}"
            raise ValueError(f"rows {rows} are not all of the grid's, 0 to {ROWS - 1}")

    @cached_property
    def latitude(self) -> Float:
        """Degrees north of the rows' centres."""
        return LATITUDES.astype(np.float32)[self.row]

    @cached_property
    def flow(self) -> Float:
        """Mean flow that carries the weather: degrees of longitude an hour, eastward."""
        return _flow_of_rows()[self.row]

    @cached_property
    def weather_longitude(self) -> Float:
        """Longitude at which random fields are looked up."""
        return self.longitude if self.shift is None else self.longitude + self.shift

    @cached_property
    def summer(self) -> Float:
        """Annual cycle of the atmosphere: 1 in late July, -1 in late January."""
        return self.season(_MIDSUMMER)

    def season(self, day: float) -> Float:
        """Annual cycle that is 1 on a day of the year and -1 half a year later."""
        cosine, sine = self._of_the_year
        angle = 2.0 * np.pi * 24.0 * day / YEAR
        return cosine * np.float32(np.cos(angle)) + sine * np.float32(np.sin(angle))

    @cached_property
    def _of_the_year(self) -> tuple[Float, Float]:
        return _circle(self.hours / YEAR)

    @cached_property
    def solar_day(self) -> tuple[Float, Float]:
        """Cosine and sine of the local mean solar time's angle, 0 at midnight."""
        return _circle((self.hours + self.longitude / 15.0) / 24.0)

    @cached_property
    def decades(self) -> Float:
        """Decades since the middle of the record, mid-2006."""
        return ((self.hours - _MIDDLE) / (10.0 * YEAR)).astype(np.float32)

    def part(self, which: slice | Index | NDArray[np.bool_]) -> Points:
        """The points of a slice, or those with an index or a mark."""
        shift = None if self.shift is None else self.shift[which]
        return Points(self.row[which], self.longitude[which], self.hours[which], shift)

    def __len__(self) -> int:
        return self.row.size


def _circle(turns: NDArray[np.float64]) -> tuple[Float, Float]:
    """Cosine and sine of an angle given in turns."""
    angle = ((turns - np.floor(turns)) * (2.0 * np.pi)).astype(np.float32)
    return np.cos(angle), np.sin(angle)


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
        Degrees between its columns, 0.25 to 1. At 0.25 the nearest column is taken, at others
        it is interpolated.
    period : float
        Degrees after which it repeats in longitude: a tile suffices for the finest scales.
    steered : bool
        Carried by the mean flow.
    drift : float
        Degrees an hour eastward besides.
    members : int
        Independent maps that share all this.
    streamfunction : bool
        The map is followed by the unit winds u = -d/dy, v = d/dx that belong to it (one member,
        power 2 only).
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
    members: int = 1
    streamfunction: bool = False

    def at(self, points: Points, seed: int) -> Float:
        """Values at points.

        Returns
        -------
        ndarray, shape (maps, points)
            A map for each member; three for a streamfunction.
        """
        if math.isinf(self.step):
            return self.map(points, seed, 0)
        knot, angle = np.empty(len(points), np.intp), np.empty(len(points), np.float32)
        ages, weights = np.empty((2, 2, len(points)), np.float32)
        loops.between_knots(knot, ages, angle, points.hours, self.step, _QUARTER)
        np.cos(angle, out=weights[0])
        np.sin(angle, out=weights[1])
        flow = self._flow(points)
        values = np.empty((self.members + 2 * self.streamfunction, len(points)), np.float32)
        for number in _distinct(knot):
            loops.carried(
                values,
                _noise(self, seed, number),
                _noise(self, seed, number + 1),
                number,
                knot,
                points.row,
                points.weather_longitude,
                flow,
                ages,
                weights,
                self.period,
                self._nearest,
            )
        return values

    def map(self, points: Points, seed: int, number: int) -> Float:
        """Values at points of the one map with this number, at rest; shape (maps, points)."""
        turn = points.weather_longitude * np.float32(1.0 / self.period)
        return look_up(_noise(self, seed, number), points.row, turn, nearest=self._nearest)

    @property
    def _nearest(self) -> bool:
        return self.spacing <= SPACING

    def _flow(self, points: Points) -> Float:
        """Degrees of longitude an hour at which the field is carried there."""
        flow = points.flow if self.steered else np.zeros(len(points), np.float32)
        return flow + np.float32(self.drift) if self.drift else flow


def _distinct(knot: Index) -> list[int]:
    """The numbers that occur; mostly one or two."""
    first, last = (int(knot.min()), int(knot.max())) if knot.size else (0, -1)
    if last - first < 2:
        return list(range(first, last + 1))
    return [int(number) for number in np.unique(knot)]


def look_up(maps: Table, row: Index, turn: Float, *, nearest: bool = False) -> Float:
    """Read maps at points.

    Parameters
    ----------
    maps : ndarray
        As `table` makes them.
    row : ndarray of int, shape (points,)
    turn : ndarray of float32, shape (points,)
        Place along a row, 1 for the whole row; any value.
    nearest : bool
        Take the nearest column; otherwise interpolate.

    Returns
    -------
    ndarray of float32, shape (maps, points)
    """
    values = np.empty((maps.shape[-1], row.size), np.float32)
    loops.at_rest(values, maps, row, turn, nearest)
    return values


def table(maps: NDArray[np.floating[Any]]) -> Table:
    """Maps to be read at points: (maps, rows, columns) to (rows, columns + 2, maps).

    The first columns stand again at the end, where the next one is looked for.
    """
    count, rows, columns = maps.shape
    found = np.empty((rows, columns + loops.MORE, count), np.float32)
    found[:, :columns] = np.moveaxis(maps, 0, -1)
    found[:, columns:] = found[:, : loops.MORE]
    return found


def white_noise(random: np.random.Generator, shape: tuple[int, ...]) -> Float:
    """Independent standard normal numbers (quantiles of 16 random bits: none beyond 4.2)."""
    count = math.prod(shape)
    raw = random.bit_generator.random_raw(count // 4 + 1)
    bits = np.asarray(raw, "<u8").view("<u2")[:count]
    values = np.empty(count, np.float32)
    loops.looked_up(values, _quantiles(), bits)
    return values.reshape(shape)


@lru_cache(maxsize=1)
def _quantiles() -> Float:
    return np.asarray(special.ndtri((np.arange(1 << 16) + 0.5) / (1 << 16)), np.float32)


def generator(seed: int, name: str, number: int) -> np.random.Generator:
    """Random generator of one named purpose and number (a knot, a day) of one world."""
    words = [seed, zlib.crc32(name.encode()), number + (1 << 31)]
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence(words)))


@lru_cache(maxsize=40)
def _noise(field: RandomField, seed: int, knot: int) -> Table:
    """Maps of one knot as `table` makes them."""
    root, width = _root_spectrum(field), _torus(field)[1]
    maps = []
    for member in range(field.members):
        random = generator(seed, f"{field.name}/{member}", knot)
        drawn = white_noise(random, (*root.shape, 2)).view(np.complex64)[..., 0]
        # Columns beyond those drawn are zero: so does the transform take them.
        along = fft.ifft(drawn * root, axis=0, overwrite_x=True)
        maps.append(fft.irfft(along[:ROWS], n=width, axis=1, overwrite_x=True))
    if field.streamfunction:
        maps += _unit_winds(field, maps[0])
    return table(np.stack(maps))


def _torus(field: RandomField) -> tuple[int, int]:
    """Rows and columns on which noise is made: padding keeps the poles from meeting."""
    rows = 768 if field.meridional < 4.5 else 960  # 12° and 60° of padding; quick to transform
    return rows, round(field.period / field.spacing)


def _unit_winds(field: RandomField, stream: Float) -> list[Float]:
    """Wind of a streamfunction, each component with unit variance."""
    west, east = np.roll(stream, 1, axis=1), np.roll(stream, -1, axis=1)
    northward = (east - west) * (field.zonal / math.sqrt(8.0) / field.spacing)
    eastward = -np.gradient(stream, SPACING, axis=0) * (field.meridional / math.sqrt(2.0))
    return [eastward, northward]


@lru_cache(maxsize=32)
def _root_spectrum(field: RandomField) -> Float:
    """Factor on complex noise, of unit variance in each part, that gives the field's spectrum.

    Returns
    -------
    ndarray, shape (rows, columns)
        For the half spectrum's columns, without the last ones: those with all but 1e-4 of the
        variance.
    """
    rows, width = _torus(field)
    y = np.minimum(np.arange(rows), rows - np.arange(rows)) * SPACING
    x = np.minimum(np.arange(width), width - np.arange(width)) * field.spacing
    squared = (y[:, None] / field.meridional) ** 2 + (x[None, :] / field.zonal) ** 2
    power = fft.rfft2(np.exp(-(squared ** (field.power / 2.0)))).real.clip(0.0)
    # Each column stands for two, but for the first (and the last): of those a real transform
    # takes the real part alone, half of the variance.
    power[:, 1:-1] *= 0.5
    power *= rows * width
    weight = power.sum(axis=0)
    weight[1:-1] *= 2.0
    enough = int(np.searchsorted(np.cumsum(weight), (1.0 - 1e-4) * weight.sum())) + 1
    return np.ascontiguousarray(np.sqrt(power[:, :enough]), np.float32)
