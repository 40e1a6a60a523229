"""The reanalysis on the passes' cells, as a Zarr store: what ``deepflux-reanalysis`` would hold.

The fields are those of the ERA5-like files, with the same errors, but made at once on the 1° cells
and at the hours that `ReanalysisOnPasses` takes: for training over many years at a small part of
what hourly files at 0.25° cost. A cell is the mean of two points, spread so far by a filter of
three cells that it is as smooth as the mean of the files' nodes. Rain is that of the moment, not of
the hour before.

A store's time axis is fixed from the start, and each day is one chunk of each variable: so any day
can be added, in any order, as in the truth's stores.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import zarr
from numpy.typing import NDArray
from scipy import ndimage

from fluxengine.layout import stored_attributes
from fluxrecipes import vocabulary as cf
from fluxrecipes.nature import instruments, land
from fluxrecipes.nature.fields import Float, Points, hours_since_epoch
from fluxrecipes.nature.files import era5, truth
from fluxrecipes.nature.files.kinds import Daily
from fluxrecipes.nature.ocean import sea
from fluxrecipes.nature.world import World
from fluxrecipes.near_surface import NOMINAL_HOURS
from fluxrecipes.stages.reanalysis import OUTPUTS, RAIN, SEA, SPEED, WIND, as_seen, nearest_hour

PLACE = "reanalysis/passes.zarr"
TITLE = "Simulated reanalysis at the local times of the passes, on a 1 degree grid"
Cells = NDArray[np.float64]

_ROWS, _COLUMNS, _SOUTH = 120, 360, 120  # of cells; the world's row at 60 S
# Two of a cell's points, (row of 0.25°, degrees east), and what the mean over three cells adds to
# their spread: together as far as the files' smoothing, their nodes, and the mean over a cell.
_WITHIN = ((0, 0.25), (3, 0.75))
_SPREAD = (0.05, 0.14)  # weight of either neighbour, in latitude and longitude
_NAMES = {
    "u10": cf.eastward_wind.name,
    "v10": cf.northward_wind.name,
    "d2m": cf.dew_point_temperature_2m.name,
    "t2m": cf.air_temperature_2m.name,
    "sp": cf.surface_pressure.name,
    "tclw": cf.cloud_liquid_water.name,
    "tcwv": cf.water_vapour.name,
}


def on_passes() -> Daily:
    """Both passes of each day."""
    return Daily("reanalysis", _last_chunk, _write, truth.DAILY.serves, _create)


def passes(world: World, day: date) -> dict[str, Float]:
    """Both passes of a day.

    Returns
    -------
    dict of str to ndarray, shape (orbit, lat, lon)
        By the names of `fluxrecipes.stages.reanalysis.OUTPUTS`.
    """
    every, longitude = np.arange(24), np.arange(_COLUMNS, dtype=np.float64) + 0.5
    hours = np.stack([nearest_hour(every, local, longitude) for local in NOMINAL_HOURS])
    cells = _cells(world, day, hours)
    foundation, ice = _surface(world, day)
    temperature = cf.sea_surface_temperature.name
    cells[temperature] = np.where(_is_sea(), foundation + cells[temperature], np.nan)
    cells[cf.sea_ice_fraction.name] = np.broadcast_to(ice, cells[temperature].shape)
    return as_seen(cells, hours)


def _cells(world: World, day: date, hours: NDArray[np.intp]) -> dict[str, Cells]:
    """Fields on the cells, each column at its own hours, shape (orbit, lat, lon)."""
    points = _points(day, hours)
    # By the hour: what the fields are made of, hour by hour, is then made but once.
    order = np.argsort(points.hours, kind="stable")
    points = points.part(order)
    state = world.state(points, fine=False)
    fields = era5.analysed(world, points, state)
    named = {name: fields[short] for short, name in _NAMES.items()}
    named |= {cf.sea_surface_temperature.name: fields["sst"], RAIN.name: state.rain_rate}
    named[SPEED] = np.hypot(*(named.pop(name) for name in WIND))
    return {name: _smoothed(_in_place(values, order)) for name, values in named.items()}


def _in_place(values: Float, order: NDArray[np.intp]) -> Float:
    placed = np.empty_like(values)
    placed[order] = values
    return placed


def _points(day: date, hours: NDArray[np.intp]) -> Points:
    """The cells' points, in the order (orbit, within the cell, lat, lon)."""
    row, column = np.divmod(np.arange(_ROWS * _COLUMNS), _COLUMNS)
    start = hours_since_epoch(np.datetime64(day))
    rows = np.concatenate([_SOUTH + 4 * row + north for north, _ in _WITHIN])
    longitude = np.concatenate([column + east for _, east in _WITHIN]).astype(np.float32)
    times = [np.tile(start + at[column], len(_WITHIN)) for at in hours]
    return Points(np.tile(rows, len(hours)), np.tile(longitude, len(hours)), np.concatenate(times))


def _mean(values: Float) -> Cells:
    """Means over the cells' points, shape (orbit, lat, lon)."""
    parts = values.reshape(-1, len(_WITHIN), _ROWS, _COLUMNS)
    return np.asarray(parts.mean(axis=1, dtype="f8"))


def _smoothed(values: Float) -> Cells:
    """Means over the cells' points, spread over their neighbours."""
    grid = _mean(values)
    for axis, weight, edge in zip((1, 2), _SPREAD, ("nearest", "wrap"), strict=True):
        grid = ndimage.convolve1d(grid, [weight, 1.0 - 2.0 * weight, weight], axis, mode=edge)
    return grid


def _surface(world: World, day: date) -> tuple[Cells, Cells]:
    """Analysed SST [K] and ice fraction of a day, shape (1, lat, lon)."""
    points = _points(day, np.full((1, _COLUMNS), 12))
    below = sea(points, world.seed, world.physics)
    sst = np.maximum(below.temperature + instruments.analysis_error(world, points), -1.8)
    return _mean(sst) + cf.KELVIN, _mean(below.ice)


def _is_sea() -> NDArray[np.bool_]:
    """Cells of which enough is sea, shape (lat, lon)."""
    rows = slice(_SOUTH, _SOUTH + 4 * _ROWS)
    quarters = ~land.oisst_land()[rows].reshape(_ROWS, 4, _COLUMNS, 4)
    return np.asarray(quarters.mean(axis=(1, 3)) >= SEA)


# --- the store ---------------------------------------------------------------------------------


def _last_chunk(root: Path, day: date) -> Path:
    step = truth.DAILY.step(day)
    return root / PLACE / OUTPUTS[-1].name / "c" / str(step) / "0" / "0" / "0"


def _create(root: Path) -> None:
    truth.make_whole(root / PLACE, _fill)


def _fill(path: Path) -> None:
    group = zarr.create_group(path, attributes=truth.global_attributes(TITLE), zarr_format=3)
    steps = truth.put_times(group)
    truth.put_places(group, np.arange(_ROWS) - 59.5, np.arange(_COLUMNS) + 0.5)
    orbits = np.array(["ascending", "descending"])
    names = orbits.astype(np.dtypes.StringDType())
    truth.put_coordinate(group, "orbit", names, ("orbit",), {"long_name": "orbit"})
    for variable in OUTPUTS:
        group.create_array(
            variable.name,
            shape=(steps, 2, _ROWS, _COLUMNS),
            chunks=(1, 2, _ROWS, _COLUMNS),
            dtype=variable.packing.dtype,
            fill_value=variable.packing.zarr_fill,
            compressors=truth.CODEC,
            dimension_names=("time", "orbit", "lat", "lon"),
            attributes=stored_attributes(variable),
        )


def _write(world: World, root: Path, day: date) -> None:
    group = zarr.open_group(root / PLACE, mode="r+")
    made, step = passes(world, day), truth.DAILY.step(day)
    for variable in OUTPUTS:  # the state comes last, and tells that the others are there
        values = variable.packing.pack(made[variable.name], variable.name)
        truth.opened(group, variable.name)[step] = values
