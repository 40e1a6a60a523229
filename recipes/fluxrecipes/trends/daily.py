"""Trends of daily values, a tile of the globe after the other: decades of days fit in no memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from fluxkernels.stats.trend import linear_trend
from fluxrecipes.trends import estimates
from fluxrecipes.trends.estimates import Estimate
from fluxrecipes.trends.regions import Region
from fluxrecipes.trends.series import decades

if TYPE_CHECKING:
    import xarray as xr

Floats = npt.NDArray[np.float64]

HARMONICS = 4  # of the year
TILE = 30  # degrees or so, where the store says nothing of chunks


def days_of(daily: xr.DataArray) -> Floats:
    """Years with fractions, of the middle of each day."""
    days = daily["time"].values.astype("datetime64[D]")
    years = days.astype("datetime64[Y]")
    length = ((years + 1).astype("datetime64[D]") - years.astype("datetime64[D]")).astype(float)
    into = (days - years.astype("datetime64[D]")).astype(float) + 0.5
    return np.asarray(years.astype(float) + 1970.0 + into / length)


def of(
    daily: xr.DataArray,
    regions: Mapping[str, Region],
    regressors: Floats | None,
    *,
    false_discoveries: float,
    units: str,
    orbit: str,
) -> tuple[dict[str, xr.DataArray], list[Estimate]]:
    """Trends of all cells and of regions, of what is left when the season is taken out.

    Parameters
    ----------
    daily : DataArray
        On (time, lat, lon), not loaded: each tile is read once.
    regions : mapping of str to Region
    regressors : float array, shape (time, regressors), optional
    false_discoveries : float
        As of `estimates.maps`.
    units, orbit : str
        As they are to be told.

    Returns
    -------
    maps : dict of str to DataArray
    regions : list of Estimate
        Of the mean departure of all cells that a day has: cells come and go, and departures from
        each cell's own season hardly care.
    """
    years = days_of(daily)
    total = {name: np.zeros((2, years.size)) for name in regions}
    tiles = [_of_tile(tile, years, regressors, regions, total) for tile in _tiles(daily)]
    maps = _joined(tiles, daily)
    maps["significant"] = estimates.significant_of(maps["p"], false_discoveries)
    found = []
    for name, (weighed, weight) in total.items():
        series = np.where(weight > 0, weighed / np.maximum(weight, 1e-9), np.nan)
        label = (str(daily.name), orbit, name, units)
        linear = linear_trend(series, decades(years), regressors)
        ranked = estimates.by_rank(series, decades(years), regressors)
        found.append(estimates.estimate(linear, ranked, *label))
    return maps, found


def _tiles(daily: xr.DataArray) -> Iterator[xr.DataArray]:
    """Loaded, by the store's chunks, so that each is decoded once."""
    size = daily.encoding.get("preferred_chunks", {})
    rows, columns = size.get("lat", TILE), size.get("lon", 2 * TILE)
    for row in range(0, daily.sizes["lat"], rows):
        for column in range(0, daily.sizes["lon"], columns):
            tile = daily.isel(lat=slice(row, row + rows), lon=slice(column, column + columns))
            yield tile.transpose("time", "lat", "lon").load()


def _of_tile(
    tile: xr.DataArray,
    years: Floats,
    regressors: Floats | None,
    regions: Mapping[str, Region],
    total: Mapping[str, Floats],
) -> dict[str, xr.DataArray]:
    """Maps of a tile; its departures are added to the regions' series."""
    apart = tile.rename(time="year").assign_coords(year=years)
    apart = apart.copy(data=without_season(tile.values, years))
    latitude, longitude = (tile[name].values.astype(float) for name in ("lat", "lon"))
    area = np.cos(np.radians(latitude))[:, None]
    there = np.isfinite(apart.values)
    for name, region in regions.items():
        inside = area * region.holds(latitude, longitude)
        if inside.any():
            total[name][0] += np.tensordot(np.where(there, apart.values, 0.0), inside, axes=2)
            total[name][1] += np.tensordot(there, inside, axes=2)
    return estimates.tests(apart, regressors, ())


def without_season(values: npt.NDArray[np.floating], years: Floats) -> npt.NDArray[np.float32]:
    """Values without the harmonics of the year, which are fitted beside a trend.

    Parameters
    ----------
    values : float array, shape (time, ...)
    years : array, shape (time,)

    Returns
    -------
    float32 array, of the same shape
        About zero at the middle of the years, with the trend.
    """
    turn = 2.0 * np.pi * years[:, None] * np.arange(1, HARMONICS + 1)
    season = np.concatenate([np.cos(turn), np.sin(turn)], axis=1)
    fit = linear_trend(values, decades(years), season)
    left: npt.NDArray[np.float32] = values.astype(np.float32) - fit.coefficients[0].astype(
        np.float32
    )
    for wave, size in zip(season.T, fit.coefficients[1:], strict=True):
        left -= wave.astype(np.float32).reshape(-1, *[1] * (values.ndim - 1)) * size.astype("f4")
    return left


def _joined(tiles: list[dict[str, xr.DataArray]], daily: xr.DataArray) -> dict[str, xr.DataArray]:
    """Maps of the globe of those of its tiles."""
    import xarray as xr

    grid = {name: daily[name] for name in ("lat", "lon")}
    made = {}
    for name, first in tiles[0].items():
        whole = np.zeros((daily.sizes["lat"], daily.sizes["lon"]), first.dtype)
        joined = xr.DataArray(whole, grid, ("lat", "lon"), daily.name, daily.attrs)
        for tile in tiles:
            joined.loc[{"lat": tile[name]["lat"], "lon": tile[name]["lon"]}] = tile[name]
        made[name] = joined
    return made
