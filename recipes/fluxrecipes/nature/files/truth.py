"""The truth itself, as Zarr stores: daily means at 1°, and moments at 0.25°.

A store's time axis is fixed from the start, so that any day can be added, in any order, by
writing chunks of its own and nothing else: the bytes do not depend on how the store grew. Each
step is one chunk of each variable; those of the variable that comes last are written last, and
tell that the others are there. The archive's record says which days are.
"""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec, BloscShuffle
from zarr.errors import ZarrUserWarning

from fluxengine.declare import Variable
from fluxrecipes import vocabulary as cf
from fluxrecipes.nature import land
from fluxrecipes.nature.fields import LATITUDES, Float, Points, hours_since_epoch
from fluxrecipes.nature.files.kinds import Daily
from fluxrecipes.nature.weather import State
from fluxrecipes.nature.world import World

FIRST, LAST = date(1990, 1, 1), date(2029, 12, 31)  # of the time axis
_EPOCH = np.datetime64("1950-01-01")
CODEC = BloscCodec(cname="zstd", clevel=3, shuffle=BloscShuffle.shuffle)
_FLUXES = ("sensible_heat_flux", "latent_heat_flux")
_WINDS = {
    "wind_speed": "actual wind speed at 10 m",
    "eastward_wind": "eastward wind at 10 m",
    "northward_wind": "northward wind at 10 m",
}
_UNITS = {"rain_rate": "mm h-1"}


@dataclass(frozen=True)
class Template:
    """What a store is before anything is written to it.

    Parameters
    ----------
    place : str
        Below the archive's root.
    title : str
    hourly : bool
        Steps are hours, not days.
    latitudes, longitudes : ndarray
        Degrees.
    names : tuple of str
        Of the variables.
    cell_methods : str
    """

    place: str
    title: str
    hourly: bool
    latitudes: Float
    longitudes: Float
    names: tuple[str, ...]
    cell_methods: str

    @property
    def a_day(self) -> int:
        """Steps a day."""
        return 24 if self.hourly else 1

    def step(self, day: date) -> int:
        """Number of a day's first step."""
        return (day - FIRST).days * self.a_day

    def serves(self, day: date) -> bool:
        """Whether a day is on the time axis."""
        return FIRST <= day <= LAST

    def chunk(self, root: Path, name: str, step: int) -> Path:
        """The file that holds a step of a variable."""
        return root / self.place / name / "c" / str(step) / "0" / "0"

    def create(self, root: Path) -> None:
        """Make the empty store, whole or not at all; keep one that is there."""
        make_whole(root / self.place, self._fill)

    def _fill(self, path: Path) -> None:
        group = zarr.create_group(path, attributes=global_attributes(self.title), zarr_format=3)
        steps = put_times(group, self.a_day)
        shape = (self.latitudes.size, self.longitudes.size)
        put_places(group, self.latitudes, self.longitudes)
        for name in self.names:
            group.create_array(
                name,
                shape=(steps, *shape),
                chunks=(1, *shape),
                dtype="f4",
                fill_value=np.nan,
                compressors=CODEC,
                dimension_names=("time", "lat", "lon"),
                attributes={**_attributes(name), "cell_methods": self.cell_methods},
            )

    def put(self, root: Path, step: int, fields: Mapping[str, Any]) -> None:
        """Write a step's fields (lat, lon), in the order of the names."""
        group = zarr.open_group(root / self.place, mode="r+")
        for name in self.names:
            opened(group, name)[step] = np.asarray(fields[name], np.float32)


_BASE = (
    "sea_surface_temperature",
    "wind_speed",
    "air_temperature",
    "specific_humidity",
    "water_vapour",
    "cloud_liquid_water",
    "rain_rate",
    "surface_pressure",
    "sea_ice_fraction",
)
DAILY = Template(
    "truth/daily.zarr",
    "Simulated truth: daily means at 1 degree",
    False,
    np.arange(180) - 89.5,
    np.arange(360) + 0.5,
    (*_BASE, *_FLUXES),
    "area: mean time: mean",
)
HOURLY = Template(
    "truth/hourly.zarr",
    "Simulated truth: moments at 0.25 degree",
    True,
    LATITUDES,
    0.125 + 0.25 * np.arange(1440),
    (*_BASE, "eastward_wind", "northward_wind", *_FLUXES),
    "time: point",
)


def daily_means() -> Daily:
    """Daily means at 1°, from eight times of each day."""
    return Daily(
        "truth", partial(_last_chunk, DAILY, (0,)), _write_means, DAILY.serves, DAILY.create
    )


def moments(hours: Sequence[int]) -> Daily:
    """The state at hours of each day, at 0.25°."""
    steps = tuple(hours)
    return Daily(
        "truth-0.25",
        partial(_last_chunk, HOURLY, steps),
        partial(_write_moments, steps),
        HOURLY.serves,
        HOURLY.create,
    )


def _last_chunk(template: Template, steps: tuple[int, ...], root: Path, day: date) -> Path:
    return template.chunk(root, template.names[-1], template.step(day) + steps[-1])


def _write_means(world: World, root: Path, day: date) -> None:
    means = world.daily_truth(np.datetime64(day))
    DAILY.put(root, DAILY.step(day), {name: means[name].values for name in DAILY.names})


def _write_moments(hours: tuple[int, ...], world: World, root: Path, day: date) -> None:
    for hour in hours:
        fields = moment(world, np.datetime64(day, "h") + hour)
        HOURLY.put(root, HOURLY.step(day) + hour, fields)


def moment(world: World, time: np.datetime64) -> dict[str, Float]:
    """The state and the fluxes at one time on the 0.25° grid, NaN over land: (720, 1440)."""
    row, column = np.nonzero(~land.rss_land())
    longitude = (0.125 + 0.25 * column).astype(np.float32)
    state = world.state(Points(row, longitude, np.full(row.size, hours_since_epoch(time))))
    values = {name: getattr(state, name) for name in State.__dataclass_fields__}
    values["wind_speed"] = state.wind_speed
    fields = {}
    for name, points in (values | _fluxes(state, row)).items():
        fields[name] = np.full(land.rss_land().shape, np.nan, np.float32)
        fields[name][row, column] = points
    return fields


def _fluxes(state: State, row: Any) -> dict[str, Float]:
    from fluxkernels.bulk import bulk_flux  # compiles at first use

    flux = bulk_flux(
        state.wind_speed,
        state.sea_surface_temperature,
        state.air_temperature,
        state.specific_humidity,
        pressure=state.surface_pressure,
        latitude=LATITUDES.astype(np.float32)[row],
        outputs={"sensible", "latent"},
    )
    return {"sensible_heat_flux": flux.sensible, "latent_heat_flux": flux.latent}


def make_whole(path: Path, fill: Callable[[Path], None]) -> None:
    """Make an empty store, whole or not at all; keep one that is there."""
    if path.exists():
        return
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    shutil.rmtree(part, ignore_errors=True)
    fill(part)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ZarrUserWarning)  # Zarr 3 has not settled it yet
        zarr.consolidate_metadata(part)  # without it xarray warns at every opening
    path.parent.mkdir(parents=True, exist_ok=True)
    part.rename(path)


def put_times(group: zarr.Group, a_day: int = 1) -> int:
    """Write the time axis, and give its number of steps."""
    steps = a_day * ((LAST - FIRST).days + 1)
    unit = "days" if a_day == 1 else "hours"
    start = int((np.datetime64(FIRST) - _EPOCH) / np.timedelta64(1, "D")) * a_day
    attributes = {"units": f"{unit} since 1950-01-01", "calendar": "standard"}
    times = start + np.arange(steps, dtype="i4")
    put_coordinate(group, "time", times, ("time",), {"standard_name": "time", **attributes})
    return steps


def put_places(group: zarr.Group, latitudes: Float, longitudes: Float) -> None:
    """Write the horizontal axes, degrees."""
    put_coordinate(group, "lat", latitudes, ("lat",), _LATITUDE)
    put_coordinate(group, "lon", longitudes, ("lon",), _LONGITUDE)


def opened(group: zarr.Group, name: str) -> zarr.Array[Any]:
    """An array of a store."""
    array = group[name]
    if not isinstance(array, zarr.Array):
        raise TypeError(f"{name} is no array of the truth's store")
    return array


def put_coordinate(
    group: zarr.Group, name: str, values: Any, dims: tuple[str, ...], attributes: dict[str, Any]
) -> None:
    """Write a coordinate as one chunk."""
    array = group.create_array(
        name,
        shape=values.shape,
        chunks=values.shape,
        dtype="string" if values.dtype.kind == "T" else values.dtype,
        compressors=CODEC,
        dimension_names=dims,
        attributes=attributes,
    )
    array[:] = values


def _attributes(name: str) -> dict[str, str]:
    if name in _WINDS:
        return {"long_name": _WINDS[name], "standard_name": name, "units": "m s-1"}
    variable: Variable = getattr(cf, name)
    standard = variable.standard_name or name
    return {
        "long_name": variable.long_name,
        "standard_name": standard,
        "units": _UNITS.get(name, variable.units),
    }


def global_attributes(title: str) -> dict[str, str]:
    """What a store says of itself."""
    return {
        "Conventions": "CF-1.11",
        "title": f"SIMULATED. {title}",
        "summary": "The sea and the air of an imagined world; no observation went into it.",
        "institution": "none: simulated",
        "source": "simulated world of fluxforge",
        "comment": "Steps without a value anywhere were not simulated.",
    }


_LATITUDE = {"standard_name": "latitude", "units": "degrees_north"}
_LONGITUDE = {"standard_name": "longitude", "units": "degrees_east"}
