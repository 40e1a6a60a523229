"""The nature run: what sea and air were, at any time, from a seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TypeVar

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from fluxrecipes.nature import land, ocean, weather
from fluxrecipes.nature.fields import Float, Points, hours_since_epoch
from fluxrecipes.nature.ocean import Sea
from fluxrecipes.nature.physics import Physics
from fluxrecipes.nature.weather import State

_OfPoints = TypeVar("_OfPoints", Sea, State)
_CHUNK = 1 << 15  # points at a time: temporaries stay in the processor's cache
_SAMPLES = 8  # times a day in a daily mean

# Four of a 1° cell's sixteen 0.25° cells, one in each row and in each column: their mean is
# exact for any field that is linear, or quadratic along one axis.
_SUB_ROWS = np.array([0, 1, 2, 3])
_SUB_COLUMNS = np.array([1, 3, 0, 2])


@dataclass(frozen=True)
class World:
    """One simulated world.

    Any time may be asked without stepping to it; the same question always has the same
    answer, bit for bit on one machine.

    Parameters
    ----------
    seed : int
        Not negative.
    physics : Physics, optional
        Departures from the standard physics, for tests of transfer.
    """

    seed: int
    physics: Physics = field(default_factory=Physics)

    def sea(self, points: Points) -> Sea:
        """Foundation sea surface at points; see `ocean.sea`."""
        chunks = _chunks(points)
        return _joined([ocean.sea(points.part(c), self.seed, self.physics) for c in chunks])

    def state(self, points: Points, *, fine: bool = True, below: Sea | None = None) -> State:
        """Sea and air at points; see `weather.state`. `below` is the sea there, where known."""
        parts = []
        for chunk in _chunks(points):
            some = points.part(chunk)
            known = None if below is None else below.part(chunk)
            water = known or ocean.sea(some, self.seed, self.physics)
            parts.append(weather.state(some, water, self.seed, self.physics, fine=fine))
        return _joined(parts)

    def surface(
        self, time: np.datetime64, latitudes: tuple[float, float] = (-90.0, 90.0)
    ) -> xr.Dataset:
        """Means over the sea cells of the global 1° grid at one time.

        Parameters
        ----------
        time : numpy.datetime64
            UTC.
        latitudes : tuple of float
            Southern and northern edge, whole degrees.

        Returns
        -------
        xarray.Dataset
            On (lat, lon): sea_surface_temperature [K], wind_speed [m s-1, actual at 10 m],
            air_temperature [K, 10 m], specific_humidity [kg kg-1, 10 m], water_vapour and
            cloud_liquid_water [kg m-2], rain_rate [mm h-1], surface_pressure [Pa],
            sea_ice_fraction; NaN over land.
        """
        cells = _Cells.between(latitudes)
        means = cells.means(self, hours_since_epoch(time))
        return cells.dataset(means).assign_coords(time=time.astype("datetime64[ns]"))

    def within(
        self, row: NDArray[np.intp], column: NDArray[np.intp], hours: NDArray[np.float64]
    ) -> State:
        """Sea and air at the four points by which 1° cells are known, each cell at its own time.

        Parameters
        ----------
        row, column : ndarray of int, shape (cell,)
            Of the 1° grid, from 89.5 S and 0.5 E.
        hours : ndarray of float64, shape (cell,)
            Since the start of 1950, UTC.

        Returns
        -------
        State
            Arrays of four times the length: the points of a cell stand together, and their mean
            is the cell's.
        """
        rows = 4 * row[:, None] + _SUB_ROWS
        longitude = column[:, None] + 0.25 * _SUB_COLUMNS + 0.125
        points = Points(rows.ravel(), longitude.ravel().astype("f4"), np.repeat(hours, 4))
        return self.state(points, fine=False)

    def daily_truth(
        self, day: np.datetime64, latitudes: tuple[float, float] = (-90.0, 90.0)
    ) -> xr.Dataset:
        """Daily means, from eight times of the UTC day, and the turbulent fluxes.

        Parameters
        ----------
        day : numpy.datetime64
        latitudes : tuple of float
            Southern and northern edge, whole degrees.

        Returns
        -------
        xarray.Dataset
            As `surface`, and sensible_heat_flux and latent_heat_flux [W m-2, upward] by
            COARE from each time's fields, then averaged.
        """
        cells = _Cells.between(latitudes)
        start = hours_since_epoch(day.astype("datetime64[D]"))
        total: dict[str, Float] = {}
        for sample in range(_SAMPLES):
            means = cells.means(self, start + 24.0 * (sample + 0.5) / _SAMPLES)
            means |= fluxes_of_cells(means, cells.latitude)
            for name, values in means.items():
                total[name] = total.get(name, 0.0) + values / _SAMPLES
        return cells.dataset(total).assign_coords(time=day.astype("datetime64[ns]"))


def _chunks(points: Points) -> Iterator[slice]:
    """Slices that cover the points; an empty one where there are none."""
    return (slice(i, i + _CHUNK) for i in range(0, max(len(points), 1), _CHUNK))


def _joined(parts: list[_OfPoints]) -> _OfPoints:
    """Arrays of points, chunk after chunk."""
    if len(parts) == 1:
        return parts[0]
    names = (one.name for one in fields(parts[0]))
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    return replace(parts[0], **joined)


@dataclass(frozen=True)
class _Cells:
    """Sea cells of the 1° grid between two latitudes."""

    south: int
    row: NDArray[np.intp]
    column: NDArray[np.intp]
    shape: tuple[int, int]

    @classmethod
    def between(cls, latitudes: tuple[float, float]) -> _Cells:
        south, north = (round(edge) + 90 for edge in latitudes)
        row, column = np.nonzero(land.sea_cells()[south:north])
        return cls(south, row + south, column, (north - south, 360))

    @property
    def latitude(self) -> Float:
        return self.row - 89.5

    def means(self, world: World, hours: float) -> dict[str, Float]:
        """Mean of each variable over each cell."""
        state = world.within(self.row, self.column, np.full(self.row.size, hours))
        names = [*State.__dataclass_fields__, "wind_speed"]
        means = {n: getattr(state, n).reshape(-1, 4).mean(axis=1, dtype="f8") for n in names}
        return {n: v for n, v in means.items() if not n.endswith("ward_wind")}

    def dataset(self, values: dict[str, Float]) -> xr.Dataset:
        """Put the cells' values on the grid, NaN elsewhere."""
        variables = {}
        for name, value in values.items():
            grid = np.full(self.shape, np.nan)
            grid[self.row - self.south, self.column] = value
            variables[name] = (("lat", "lon"), grid, _ATTRIBUTES[name])
        lat = self.south - 89.5 + np.arange(self.shape[0])
        return xr.Dataset(variables, {"lat": lat, "lon": 0.5 + np.arange(360)})


def fluxes_of_cells(means: Mapping[str, Float], latitude: Float) -> dict[str, Float]:
    """Turbulent fluxes of cells from the means of what they rest on.

    Parameters
    ----------
    means : mapping of str to ndarray
        wind_speed [m s-1, actual at 10 m], sea_surface_temperature, air_temperature [K],
        specific_humidity [kg kg-1], surface_pressure [Pa].
    latitude : ndarray
        Degrees north.

    Returns
    -------
    dict of ndarray
        sensible_heat_flux, latent_heat_flux [W m-2, upward].
    """
    from fluxkernels.bulk import bulk_flux  # compiles at first use

    flux = bulk_flux(
        means["wind_speed"],
        means["sea_surface_temperature"],
        means["air_temperature"],
        means["specific_humidity"],
        pressure=means["surface_pressure"],
        latitude=latitude,
    )
    return {"sensible_heat_flux": flux.sensible, "latent_heat_flux": flux.latent}


_ATTRIBUTES = {
    "sea_surface_temperature": {"units": "K"},
    "wind_speed": {"units": "m s-1", "long_name": "actual wind speed at 10 m"},
    "air_temperature": {"units": "K", "long_name": "air temperature at 10 m"},
    "specific_humidity": {"units": "kg kg-1", "long_name": "specific humidity at 10 m"},
    "water_vapour": {"units": "kg m-2"},
    "cloud_liquid_water": {"units": "kg m-2"},
    "rain_rate": {"units": "mm h-1"},
    "surface_pressure": {"units": "Pa"},
    "sea_ice_fraction": {"units": "1"},
    "sensible_heat_flux": {"units": "W m-2", "long_name": "upward sensible heat flux"},
    "latent_heat_flux": {"units": "W m-2", "long_name": "upward latent heat flux"},
}
