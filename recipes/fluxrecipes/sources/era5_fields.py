"""What a file of ERA5 single levels holds, whatever its format: layers of hourly maps.

A reader of one format (NetCDF, GRIB, Zarr) gives a `Layer` for each field that we know. Here is
what they share: the fields with their names and units, the checks of units, times and grid, and
what becomes of a layer's numbers. Sources: ECMWF's parameter database; the ERA5 data documentation
(accumulations cover the hour that ends at the time given; heat fluxes are positive downward) and,
of its known issues, "ERA5: large 10m winds".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fluxengine.declare import Packing, Variable
from fluxengine.errors import DamagedFile, WrongFile
from fluxrecipes import vocabulary as cf
from fluxrecipes.sources.gzipped import FETCH_AGAIN

Floats = npt.NDArray[np.float64]
Hours = npt.NDArray[np.datetime64]  # datetime64[h]

STEP = 0.25  # degrees between nodes
NODES = (721, 1440)  # latitudes -90 to 90, longitudes 0 to 359.75
FIRST, LAST = np.datetime64("1940-01-01T00", "h"), np.datetime64("2100-01-01T00", "h")
FINAL, PRELIMINARY = 1, 5  # experiment versions: ERA5, and ERA5T before it is checked
ERA5_LAND_STEP = 0.1
MOST_CELLS = 2**23  # of a map: the global grid has 2**20
# Before 19 February 2020, analysed winds at a place are unreal now and then, up to 300 m s-1. ECMWF
# takes components beyond this for such ("ERA5: large 10m winds"), and has left them out since.
UNREAL_WIND = 50.0  # m s-1
FEW, FEW_SHARE = 100, 0.02  # cells of a map that may be unreal, and the share of those it has

HOUR_MEAN = {"comment": "mean of the hour that ends at this time"}


@dataclass(frozen=True)
class Field:
    """A parameter: our variable, its names in files, its units there and what brings them to ours.

    Parameters
    ----------
    variable : Variable
        In the packing that we store it in.
    names : tuple of str
        Short names of GRIB, NetCDF and the research archives, and the long one of the Climate Data
        Store, which Zarr archives use; compared without regard to case. The last is the long one.
    units : tuple of str
        As `plain_units` writes them.
    scale : float
        Our value for a value of 1 there.
    accumulated : bool
        Whether files hold the sum over the hour that ends at the time given.
    """

    variable: Variable
    names: tuple[str, ...]
    units: tuple[str, ...]
    scale: float = 1.0
    accumulated: bool = False

    @property
    def long_name(self) -> str:
        """The name in the Climate Data Store."""
        return self.names[-1]

    def check_units(self, units: object, path: Path) -> None:
        """Raise `WrongFile` where `units` are not those that the field is known in."""
        if plain_units(units) not in self.units:
            expected = " or ".join(self.units)
            raise WrongFile(
                f"{self.long_name} is in '{units}', not in {expected}.", where=str(path)
            )

    def in_our_units(self, values: npt.NDArray[Any], path: Path) -> Floats:
        """A map in the units of `variable`, NaN in few cells that cannot be.

        ERA5 has unreal values at single places, which another download has, too. Where there are
        many, or nothing else, the file is at fault.

        Raises
        ------
        DamagedFile
            Where many values lie beyond what the field can have on Earth.
        """
        found: Floats = np.multiply(values, self.scale, dtype=np.float64)
        low, high = self.variable.valid_range or (-np.inf, np.inf)
        edge = self.variable.packing.scale / 2
        bad = (found < low - edge) | (found > high + edge)
        number = int(np.count_nonzero(bad))
        if number and number > _most_unreal(found):
            raise DamagedFile(
                f"{self.long_name} is {found[bad][0]:g} {self.variable.units} in one of"
                f" {number:,} cells beyond {low:g} to {high:g}.",
                where=str(path),
                mend="Its packing or its units are not what they say. " + FETCH_AGAIN,
            )
        if number:
            found[bad] = np.nan
        return found


def _most_unreal(values: Floats) -> int:
    """How many cells of a map may have a value that cannot be: few, and never all."""
    there = int(np.count_nonzero(~np.isnan(values)))
    return 0 if there < 2 else min(FEW, max(1, int(FEW_SHARE * there)))


def _within(
    variable: Variable, low: float, high: float, packing: Packing | None = None
) -> Variable:
    """A variable of the ocean with the values that ERA5 may have of it anywhere on Earth."""
    return replace(variable, valid_range=(low, high), packing=packing or variable.packing)


WIND_UNITS = ("m s-1", "m/s")
COLUMN_UNITS = ("kg m-2", "kg/m2")
FLUX_UNITS = ("J m-2", "J/m2")

INSTANT = (
    Field(
        _within(cf.eastward_wind, -UNREAL_WIND, UNREAL_WIND),
        ("u10", "10u", "VAR_10U", "10m_u_component_of_wind"),
        WIND_UNITS,
    ),
    Field(
        _within(cf.northward_wind, -UNREAL_WIND, UNREAL_WIND),
        ("v10", "10v", "VAR_10V", "10m_v_component_of_wind"),
        WIND_UNITS,
    ),
    Field(cf.air_temperature_2m, ("t2m", "2t", "VAR_2T", "2m_temperature"), ("K",)),
    Field(cf.dew_point_temperature_2m, ("d2m", "2d", "VAR_2D", "2m_dewpoint_temperature"), ("K",)),
    Field(
        _within(cf.sea_surface_temperature, 260, 315),
        ("sst", "sstk", "sea_surface_temperature"),
        ("K",),
    ),
    Field(
        _within(cf.sea_ice_fraction, 0, 1, Packing("i2", 1e-4, 0, -32768)),
        ("siconc", "ci", "sea_ice_cover"),
        ("(0 - 1)", "0 - 1", "1", "fraction"),
    ),
    Field(cf.air_pressure_at_mean_sea_level, ("msl", "mean_sea_level_pressure"), ("Pa",)),
    Field(
        _within(cf.surface_pressure, 45_000, 110_000, Packing("i2", 1.0, 77_500.0, -32768)),
        ("sp", "surface_pressure"),
        ("Pa",),
    ),
    Field(_within(cf.water_vapour, 0, 120), ("tcwv", "total_column_water_vapour"), COLUMN_UNITS),
    Field(
        _within(cf.cloud_liquid_water, -0.01, 9, Packing("i2", 3e-4, 0, -32768)),
        ("tclw", "total_column_cloud_liquid_water"),
        COLUMN_UNITS,
    ),
)
ACCUMULATED = (
    Field(
        replace(cf.precipitation_rate, attrs=HOUR_MEAN),
        ("tp", "total_precipitation"),
        ("m", "m of water equivalent"),
        scale=1000.0,
        accumulated=True,
    ),
    Field(
        replace(
            _within(cf.latent_heat_flux, -1600, 1600),
            long_name="turbulent latent heat flux at the surface, positive upward",
            attrs=HOUR_MEAN,
        ),
        ("slhf", "surface_latent_heat_flux"),
        FLUX_UNITS,
        scale=-1 / 3600,
        accumulated=True,
    ),
    Field(
        replace(
            _within(cf.sensible_heat_flux, -1600, 1600),
            long_name="turbulent sensible heat flux at the surface, positive upward",
            attrs=HOUR_MEAN,
        ),
        ("sshf", "surface_sensible_heat_flux"),
        FLUX_UNITS,
        scale=-1 / 3600,
        accumulated=True,
    ),
)
BY_NAME: Mapping[str, Field] = {
    name.lower(): field for field in (*INSTANT, *ACCUMULATED) for name in field.names
}


def plain_units(units: object) -> str:
    """Units without the signs of a power: ``m s**-1`` is ``m s-1``."""
    return str(units).replace("**", "").replace("^", "").strip()


# --- A field of a file -------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Nodes:
    """The nodes of a file's regular grid, in its own order: degrees north, degrees east."""

    lat: Floats
    lon: Floats

    @property
    def step(self) -> float | None:
        """Degrees between neighbours; None of a single node."""
        steps = [abs(float(axis[1] - axis[0])) for axis in (self.lat, self.lon) if axis.size > 1]
        return max(steps) if steps else None

    def __str__(self) -> str:
        return (
            f"{self.lat.size} x {self.lon.size} nodes from {self.lat[0]:g}N {self.lon[0]:g}E"
            f" to {self.lat[-1]:g}N {self.lon[-1]:g}E"
        )


@dataclass(frozen=True, eq=False)
class Layer:
    """A field's maps in one file.

    Parameters
    ----------
    field : Field
    hours : array of datetime64[h], shape (n,)
        In the file's order.
    preliminary : array of bool, shape (n,)
        Which of them are ERA5T.
    nodes : Nodes
    read : callable
        From the numbers of the first map and of the one after the last to their values in the
        file's units, float64, shape (maps, lat, lon), NaN where there is none.
    path : Path
        The file, for messages.
    at_once : int
        Maps to read together, so that a chunk of the file is unpacked once.
    """

    field: Field
    hours: Hours
    preliminary: npt.NDArray[np.bool_]
    nodes: Nodes
    read: Callable[[int, int], npt.NDArray[np.floating[Any]]]
    path: Path
    at_once: int = 1


@dataclass(frozen=True, eq=False)
class Map:
    """One hour of a layer: values in our units, shape (lat, lon), in the order of its nodes."""

    layer: Layer
    hour: np.datetime64
    preliminary: bool
    values: Floats


def maps(
    layers: Iterable[Layer], wanted: Callable[[Hours], npt.NDArray[np.bool_]]
) -> Iterator[Map]:
    """Every wanted map, one at a time.

    Of an hour that is there in both versions the final one comes last, unless it is empty: a file
    in the old form has each version at each hour, empty where the other applies.

    Raises
    ------
    DamagedFile
        An hour is there twice in one version, or many values are beyond what there is on Earth.
    """
    ranks: dict[tuple[str, np.datetime64], tuple[bool, bool]] = {}
    seen: set[tuple[str, np.datetime64, bool]] = set()
    for layer in layers:
        for found in _of_layer(layer, wanted(layer.hours)):
            name = layer.field.variable.name
            once, key = (name, found.hour, found.preliminary), (name, found.hour)
            if once in seen:
                what = f"{layer.field.long_name} at {found.hour} is in it twice."
                raise DamagedFile(what, where=str(layer.path))
            seen.add(once)
            rank = (not np.isnan(found.values).all(), not found.preliminary)
            if key not in ranks or rank > ranks[key]:
                ranks[key] = rank
                yield found


def _of_layer(layer: Layer, wanted: npt.NDArray[np.bool_]) -> Iterator[Map]:
    for first, stop in _runs(np.flatnonzero(wanted), layer.at_once):
        for number, values in enumerate(layer.read(first, stop), start=first):
            yield Map(
                layer,
                layer.hours[number],
                bool(layer.preliminary[number]),
                layer.field.in_our_units(values, layer.path),
            )


def _runs(numbers: npt.NDArray[np.intp], at_most: int) -> Iterator[tuple[int, int]]:
    """Runs of consecutive numbers, none longer than `at_most`."""
    for run in np.split(numbers, np.flatnonzero(np.diff(numbers) != 1) + 1):
        for start in range(0, run.size, at_most):
            part = run[start : start + at_most]
            yield int(part[0]), int(part[-1]) + 1


# --- Is it what it seems? ----------------------------------------------------------------------


def checked_nodes(lat: npt.NDArray[Any], lon: npt.NDArray[Any], path: Path) -> Nodes:
    """A regular grid from a file's coordinates.

    Raises
    ------
    WrongFile
        Not one-dimensional, not regular, or not on Earth; or ERA5-Land's grid of 0.1 degrees.
    """
    nodes = Nodes(_regular(lat, "latitude", path), _regular(lon, "longitude", path))
    if nodes.lat.size * nodes.lon.size > MOST_CELLS:
        raise WrongFile(f"a map of it would have more than {MOST_CELLS:,} cells.", where=str(path))
    if abs(nodes.lat).max() > 90.001:
        raise WrongFile(f"its latitudes reach {abs(nodes.lat).max():g}.", where=str(path))
    if abs(nodes.lon).max() > 720 or np.ptp(nodes.lon) > 359.999:
        raise WrongFile(
            f"its longitudes go round the globe more than once: {nodes}.", where=str(path)
        )
    if nodes.step is not None and abs(nodes.step - ERA5_LAND_STEP) < 1e-3:
        raise WrongFile(
            "its grid of 0.1 degrees is that of ERA5-Land, whose fields are not those of ERA5.",
            where=str(path),
        )
    return nodes


def _regular(axis: npt.NDArray[Any], name: str, path: Path) -> Floats:
    if axis.ndim > 1 or axis.size == 0 or axis.dtype.kind not in "fiu":
        raise WrongFile(f"its {name} is not one row of numbers: no regular grid.", where=str(path))
    with np.errstate(invalid="ignore"):  # a damaged number may be one that signals
        found = np.atleast_1d(axis).astype(np.float64)
    steps = np.diff(found)
    if not np.isfinite(found).all() or (
        steps.size and not np.allclose(steps, steps.mean(), rtol=1e-2, atol=0)
    ):
        raise WrongFile(f"its {name} does not go in equal steps.", where=str(path))
    return found


def places(nodes: Nodes, path: Path) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Rows and columns of a file's nodes on the global grid, south and Greenwich first.

    Raises
    ------
    WrongFile
        Its nodes are not neighbours on the 0.25 degree grid.
    """
    if nodes.step is not None and abs(nodes.step - STEP) > 1e-3:
        raise WrongFile(
            f"its grid has steps of {nodes.step:g} degrees ({nodes}); this source keeps the global"
            " grid of 0.25 degrees and regions of it.",
            where=str(path),
            mend="Download it without the option 'grid'.",
        )
    rows, columns = (nodes.lat + 90) / STEP, nodes.lon / STEP
    if max(abs(axis - np.rint(axis)).max() for axis in (rows, columns)) > 0.02:
        raise WrongFile(
            f"its nodes ({nodes}) are not those of the global grid of 0.25 degrees.",
            where=str(path),
            mend="Ask for an area whose bounds are multiples of 0.25 degrees.",
        )
    return np.rint(rows).astype(np.intp), np.rint(columns).astype(np.intp) % NODES[1]


def whole_hours(moments: npt.NDArray[np.datetime64], path: Path) -> Hours:
    """Times as hours.

    Raises
    ------
    DamagedFile
        A time that is none, or none that ERA5 has.
    WrongFile
        A time between hours.
    """
    if np.isnat(moments).any():
        raise DamagedFile("one of its times is missing.", where=str(path), mend=FETCH_AGAIN)
    seconds = moments.astype("datetime64[s]").astype(np.int64)
    hours = (np.rint(seconds / 3600).astype(np.int64)).astype("datetime64[h]")
    outside = (hours < FIRST) | (hours >= LAST)
    if outside.any():
        raise DamagedFile(
            f"it holds the time {hours[outside][0]}; ERA5 begins in {str(FIRST)[:4]}.",
            where=str(path),
        )
    if (abs(hours.astype("datetime64[s]").astype(np.int64) - seconds) > 1).any():
        raise WrongFile("its times are not whole hours.", where=str(path))
    return hours


def check_hourly(hours: Hours, path: Path) -> None:
    """Raise `WrongFile` where times are those of monthly means: each on the first of a month."""
    months = hours.astype("datetime64[M]")
    first = (hours.astype("datetime64[D]") == months.astype("datetime64[D]")).all()
    if first and np.unique(months).size > 1:
        raise WrongFile(
            "each of its times is the first of a month: it holds monthly means, not hours.",
            where=str(path),
        )


def is_preliminary(version: object, path: Path) -> bool:
    """Whether an experiment version is that of ERA5T.

    Raises
    ------
    WrongFile
        Neither ERA5 nor ERA5T.
    """
    text = version.decode("ascii", "replace") if isinstance(version, bytes) else str(version)
    try:
        number = int(float(text))
    except (ValueError, OverflowError):
        number = -1
    if number not in (FINAL, PRELIMINARY):
        raise WrongFile(
            f"its experiment version is '{text[:20]}', neither ERA5 (0001) nor ERA5T (0005).",
            where=str(path),
        )
    return number == PRELIMINARY
