"""How anomalies at two places and times go together, and how data tell it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares

from fluxkernels.errors import GridError, SampleError

Array = npt.NDArray[Any]

KM_PER_DEGREE = np.pi * 6371.0 / 180.0  # of latitude, on a sphere


@dataclass(frozen=True)
class Grid:
    """A regular grid of latitude, longitude and time.

    Parameters
    ----------
    latitudes : tuple of float
        Degrees north, evenly spaced.
    spacing : float
        Of longitudes, degrees.
    step : float, optional
        Of times, days.
    periodic : bool, optional
        Whether the last longitude borders on the first.
    """

    latitudes: tuple[float, ...]
    spacing: float
    step: float = 1.0
    periodic: bool = True

    def __post_init__(self) -> None:
        steps = np.diff(self.latitudes)
        if steps.size and not (np.allclose(steps, steps[0]) and steps[0] != 0):
            raise GridError(
                "they are not evenly spaced.", "latitudes", "Bring the fields to a regular grid."
            )

    def lag(self, row: int | Array, dt: Array, dy: Array, dx: Array) -> Lag:
        """How far apart two points are in the plane that touches the sphere at a latitude.

        Parameters
        ----------
        row : int or int array
            Of the latitude.
        dt, dy, dx : int array
            Steps of time, latitude and longitude.

        Returns
        -------
        Lag
        """
        latitudes = np.asarray(self.latitudes)
        north = latitudes[1] - latitudes[0] if latitudes.size > 1 else 0.0
        east = self.spacing * np.cos(np.radians(latitudes[row]))
        return Lag(dt * self.step, dy * north * KM_PER_DEGREE, dx * east * KM_PER_DEGREE)


class Lag(NamedTuple):
    """The way from one point to another.

    Parameters
    ----------
    later : float array
        Days.
    north, east : float array
        km.
    """

    later: Array
    north: Array
    east: Array


@dataclass(frozen=True)
class Covariance:
    """Exponential in one distance through space and time, carried along the latitude.

    ``signal * exp(-sqrt((east - drift * later)**2 / zonal**2 + north**2 / meridional**2
    + later**2 / temporal**2))``: positive definite in the plane for any positive scales.

    One distance, not a product of space and time: what is small lives short, so that a day
    later only the large patterns are left. In simulated passes of wind, vapour and cloud the
    product was farther from the data, left larger errors and called them too small.

    Parameters
    ----------
    signal, noise : float
        Variance of what is sought, and of what single observations have besides (the nugget):
        instrument noise and what varies within a cell. In the squared unit of the values.
    zonal, meridional : float
        Scales, km.
    temporal : float
        Scale, days.
    drift : float, optional
        Eastward speed of the anomalies, km per day.
    """

    signal: float
    noise: float
    zonal: float
    meridional: float
    temporal: float
    drift: float = 0.0

    def __post_init__(self) -> None:
        positive = (self.signal, self.zonal, self.meridional, self.temporal)
        if not (min(positive) > 0 and self.noise >= 0):
            raise SampleError(
                f"signal and scales must be positive and noise not negative: {self}.",
                "covariance",
                "Give variances in squared units, and scales in km and days.",
            )

    def __call__(self, lag: Lag) -> Array:
        """Covariance of the signal at two points; of one shape with the lag."""
        return self.signal * _shape(lag, self.zonal, self.meridional, self.temporal, self.drift)


def _shape(lag: Lag, zonal: float, meridional: float, temporal: float, drift: float) -> Array:
    along, across = (lag.east - drift * lag.later) / zonal, lag.north / meridional
    correlation: Array = np.exp(-np.sqrt(along**2 + across**2 + (lag.later / temporal) ** 2))
    return correlation


@dataclass(frozen=True, eq=False)
class LaggedProducts:
    """What a sample tells of the covariance: sums over pairs of points, for each lag and latitude.

    Parameters
    ----------
    lags : int array, shape (lag, 3)
        Steps of time, latitude, longitude; the first lag is none.
    products : float64 array, shape (lag, lat)
        Sums of products of two anomalies, the southern one (the first, in index) at `lat`.
    pairs : float64 array, shape (lag, lat)
        Their number.
    """

    lags: npt.NDArray[np.int64]
    products: Array
    pairs: Array

    def __add__(self, other: LaggedProducts) -> LaggedProducts:
        """Sums over two samples with the same lags."""
        if not np.array_equal(self.lags, other.lags):
            raise SampleError("two sums have different lags.", "lags", "Use the same for all.")
        return LaggedProducts(self.lags, self.products + other.products, self.pairs + other.pairs)


DISTANCES = (0, 1, 2, 3, 5, 8, 12)


def default_lags(steps: int = 3, distances: Sequence[int] = DISTANCES) -> npt.NDArray[np.int64]:
    """Lags along each axis and both diagonals, at some distances and up to a number of steps.

    Parameters
    ----------
    steps : int, optional
        Longest lag in time.
    distances : sequence of int, optional
        In cells; the first is 0.

    Returns
    -------
    int array, shape (lag, 3)
    """
    far = distances[1:]
    east = [(0, d) for d in far]
    around = [(0, 0), *east, *((d, 0) for d in far), *((d, d) for d in far[:3])]
    west = [(0, -d) for d in far]
    first = [(0, *place) for place in around]
    later = [(t, *place) for t in range(1, steps + 1) for place in (*around, *west)]
    return np.array(first + later, np.int64)


def lagged_products(
    anomalies: Array, lags: npt.NDArray[np.int64], *, periodic: bool = True
) -> LaggedProducts:
    """Sum products of anomalies over all pairs at given lags.

    Parameters
    ----------
    anomalies : float array, shape (time, lat, lon)
        From the climatology; NaN in gaps.
    lags : int array, shape (lag, 3)
        Time and latitude steps not negative.
    periodic : bool, optional
        Whether the last longitude borders on the first.

    Returns
    -------
    LaggedProducts
        Sums of several pieces of a record add up.
    """
    observed = np.isfinite(anomalies)
    known = np.where(observed, anomalies, 0.0)
    sums = [_one_lag(known, observed, (dt, dy, dx), periodic) for dt, dy, dx in lags.tolist()]
    products, pairs = (np.stack(part) for part in zip(*sums, strict=True))
    return LaggedProducts(lags, products, pairs)


def _one_lag(
    known: Array, observed: Array, lag: tuple[int, int, int], periodic: bool
) -> tuple[Array, Array]:
    """Sums and numbers of products for each row."""
    dt, dy, dx = lag
    times, rows, columns = known.shape
    products, pairs = np.zeros(rows), np.zeros(rows)
    if dt >= times or dy >= rows or (abs(dx) >= columns and not periodic):
        return products, pairs
    for here, there in _columns(columns, dx, periodic):
        a = np.s_[: times - dt, : rows - dy, here]
        b = np.s_[dt:, dy:, there]
        products[: rows - dy] += np.einsum("tyx,tyx->y", known[a], known[b], dtype=np.float64)
        pairs[: rows - dy] += (observed[a] & observed[b]).sum(axis=(0, 2))
    return products, pairs


def _columns(size: int, dx: int, periodic: bool) -> list[tuple[slice, slice]]:
    """Columns and those `dx` to the east of them, in one piece or, across the seam, in two."""
    if not periodic:
        low, high = max(0, -dx), size - max(0, dx)
        return [(slice(low, high), slice(low + dx, high + dx))]
    shift = dx % size
    pieces = [(slice(0, size - shift), slice(shift, size))]
    return pieces + [(slice(size - shift, size), slice(0, shift))] * (shift > 0)


def fit(sums: LaggedProducts, grid: Grid, rows: slice | None = None) -> Covariance:
    """The covariance that comes nearest to the data's, over all rows or some.

    Parameters
    ----------
    sums : LaggedProducts
        Of the training sample.
    grid : Grid
        Of the anomalies.
    rows : slice, optional
        Latitudes to fit on.

    Returns
    -------
    Covariance

    Raises
    ------
    SampleError
        FK115: no variance, or no pairs of which to tell one of the scales.

    Notes
    -----
    Least squares, each lag weighted by its number of pairs. Scales are sought between a tenth of
    a cell and ten thousand km, and between a tenth of a step and a thousand days.
    """
    chosen = slice(None) if rows is None else rows
    pairs, products = sums.pairs[:, chosen], sums.products[:, chosen]
    number = pairs.sum(axis=1)
    used = number > 0
    index = np.arange(len(grid.latitudes))[chosen]
    _check(sums.lags, used, float(products[0].sum()), [grid.latitudes[k] for k in index[[0, -1]]])
    pairs, number = pairs[used], number[used]
    empirical = products[used].sum(axis=1) / number
    dt, dy, dx = (sums.lags[used, axis, None] for axis in range(3))
    lag = grid.lag(index[None, :], dt, dy, dx)
    return _nearest(lag, pairs / number[:, None], empirical, np.sqrt(number / number.max()), grid)


def _check(
    lags: npt.NDArray[np.int64], used: Array, total: float, latitudes: Sequence[float]
) -> None:
    """Refuse a sample that leaves a parameter where the search began."""
    where = f"covariance at latitudes {latitudes[0]:g} to {latitudes[1]:g}"
    if lags[0].any() or not total > 0:
        raise SampleError(
            "the anomalies have no variance.",
            where,
            "Give a sample that holds values, and lags that begin with none.",
        )
    for axis, name in enumerate(("time", "latitude", "longitude")):
        if not lags[used, axis].any():
            raise SampleError(
                f"no two values are any steps of {name} apart.",
                where,
                "Give a longer or less gappy sample, and lags along all axes.",
            )


def _nearest(lag: Lag, share: Array, empirical: Array, weight: Array, grid: Grid) -> Covariance:
    """Search the parameters; variances as parts of the whole, scales in logarithms."""
    variance = empirical[0]
    cell, step = 0.1 * grid.spacing * KM_PER_DEGREE, grid.step

    def misfit(p: Array) -> Array:
        signal, zonal, meridional, temporal, drift = p
        lx, ly, lt = np.exp([zonal, meridional, temporal])
        model = signal * (share * _shape(lag, lx, ly, lt, drift * 100.0)).sum(axis=1)
        model[0] = 1.0  # with the noise: the sample's variance is kept
        difference: Array = weight * (model - empirical / variance)
        return difference

    low = [0.01, np.log(cell), np.log(cell), np.log(0.1 * step), -30.0]
    high = [1.0, np.log(1e4), np.log(1e4), np.log(1e3), 30.0]
    start = [0.9, np.log(500.0), np.log(400.0), np.log(1.5), 0.0]
    found = least_squares(misfit, np.clip(start, low, high), bounds=(low, high), x_scale="jac").x
    zonal, meridional, temporal = np.exp(found[1:4]).tolist()
    signal = float(found[0] * variance)
    return Covariance(
        signal, float(variance) - signal, zonal, meridional, temporal, float(found[4] * 100.0)
    )


def fit_by_latitude(
    sums: LaggedProducts, grid: Grid, *, band: float = 20.0
) -> tuple[Covariance, ...]:
    """A covariance for each latitude, without steps between bands.

    Parameters
    ----------
    sums : LaggedProducts
        Of the training sample.
    grid : Grid
        Of the anomalies.
    band : float, optional
        Width of the bands that are fitted, degrees; they overlap by half.

    Returns
    -------
    tuple of Covariance, one for each latitude
        Between the centres of bands the parameters are interpolated.

    Raises
    ------
    SampleError
        FK115: a band's sample is too small.
    """
    latitudes = np.asarray(grid.latitudes)
    spacing = abs(latitudes[1] - latitudes[0]) if latitudes.size > 1 else band
    half = max(1, round(band / 2 / spacing))
    centres = list(range(0, latitudes.size, half))
    fits = [fit(sums, grid, slice(max(0, c - half), c + half + 1)) for c in centres]
    parameters = np.array([astuple(one) for one in fits])
    rows = np.arange(latitudes.size)
    made = [np.interp(rows, centres, column) for column in parameters.T]
    return tuple(Covariance(*map(float, row)) for row in zip(*made, strict=True))
