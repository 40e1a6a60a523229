"""RSS AMSR2 ocean maps in NetCDF, version 8.2: daily passes and means, 0.25 degrees.

The provider's newer form of the maps in `rss`: floating-point values with -999 where there is none,
and masks that say why. Passes and, in daily files, times are as in the bytemaps. Values are packed
as the vocabulary has them, of which every step of a bytemap is a multiple; masks become the codes
of the bytemaps. Structure: headers of files that users of the archive have printed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fluxengine.declare import Source, Variable
from fluxengine.errors import DamagedFile, WrongFile
from fluxengine.grid import Grid, degrees, labels
from fluxrecipes import vocabulary as cf
from fluxrecipes.sources import netcdf, rss, rss_averages
from fluxrecipes.sources.gzipped import FETCH_AGAIN
from fluxrecipes.sources.passes import LAST_TIME, ORBITS, order_of_passes

if TYPE_CHECKING:
    import netCDF4
    import xarray as xr

Floats = npt.NDArray[np.float64]
Masks = npt.NDArray[np.uint8]
PackedArray = tuple[npt.NDArray[Any], dict[str, Any]]
Order = list[int] | slice

VERSION = "8.2"
FILL = -999.0
FASTEST = 70.0  # m/s, by the files' own valid_max
SLACK = 1e-3  # of a valid range, for the rounding of float32
AMSR2 = replace(
    next(one for one in rss.INSTRUMENTS if one.sensor == "amsr2"), sensor=f"amsr2-v{VERSION}"
)


@dataclass(frozen=True)
class Field:
    """A variable of the file: its name there, ours, its units there, and what brings it to ours."""

    name: str
    variable: Variable
    units: frozenset[str]
    shift: float = 0.0


def _wind(variable: Variable) -> Variable:
    return replace(variable, valid_range=(0, FASTEST))


SPEED = frozenset({"m s-1", "m/s", "m s^-1", "m.s-1"})
COLUMN = frozenset({"kg m-2", "kg/m^2", "kg/m2", "kg m^-2", "mm", "millimeters"})
RATE = frozenset({"mm hr-1", "mm h-1", "mm/hr", "mm/h", "mm hr^-1", "mm h^-1"})
TIME = cf.pass_time
FIELDS = (
    Field("SST", cf.sea_surface_temperature, netcdf.CELSIUS, cf.KELVIN),
    Field("wind_speed_LF", _wind(cf.wind_speed_lf), SPEED),
    Field("wind_speed_MF", _wind(cf.wind_speed), SPEED),
    Field("wind_speed_AW", _wind(cf.wind_speed_aw), SPEED),
    Field("water_vapor", cf.water_vapour, COLUMN),
    Field("cloud_liquid_water", cf.cloud_liquid_water, COLUMN),
    Field("rain_rate", cf.rain_rate, RATE),
)
# Later ones count where several apply; a cell without a value that no mask explains had no
# retrieval. A value in a cell of the last two is none.
MASKS = (("coast_mask", 253), ("sea_ice_mask", 252), ("noobs_mask", 254), ("land_mask", 255))
NEVER_SEEN = (254, 255)
NO_RETRIEVAL = 251


@dataclass(frozen=True)
class Maps:
    """One kind of file.

    Parameters
    ----------
    kind : str
        As the provider calls it: ``daily``, ``3day``, ``weekly``, ``monthly``.
    path : callable
        From the day at which a map stands to the path below the archive's root.
    span : callable
        From that day to the first and the last that the map rests on.
    has_passes : bool
    """

    kind: str
    path: Callable[[date], str]
    span: Callable[[date], tuple[date, date]]
    has_passes: bool = False

    @property
    def layers(self) -> tuple[Variable, ...]:
        """What a file holds, the time first where it has one."""
        fields = tuple(field.variable for field in FIELDS)
        return (TIME, *fields) if self.has_passes else fields

    @property
    def shape(self) -> tuple[int, ...]:
        """Of each variable in the file."""
        return (len(ORBITS), *rss.CELLS) if self.has_passes else rss.CELLS

    def decode(self, path: Path, day: date) -> xr.Dataset:
        """One file as packed values and flags.

        Parameters
        ----------
        path : Path
            A local file under the provider's name.
        day : date
            The day at which the map stands: the day, the last of three, a Sunday, the first of a
            month.

        Returns
        -------
        xarray.Dataset
            int16 values and uint8 flags, dims (time=1, orbit=2, lat=720, lon=1440), the ascending
            pass first; means have no orbit. Packing in each variable's attributes.

        Raises
        ------
        MissingFile, DamagedFile
            No file; not NetCDF, truncated, or with values that cannot be.
        WrongFile
            Of another day, sensor, version, grid, unit or kind of map.
        """
        import xarray as xr

        self._check_name(path, day)
        with netcdf.opened(path) as file:
            _check_sensor(file, path)
            _check_period(file, self.span(day), path)
            for name in ("lat", "lon"):
                netcdf.check_axis(file, name, GRID[name], path)
            arrays, attrs = self._read(file, path, day)
        dims = ("time", "orbit", "lat", "lon") if self.has_passes else ("time", "lat", "lon")
        packed = {name: (dims, array[np.newaxis], how) for name, (array, how) in arrays.items()}
        return xr.Dataset(packed, attrs=attrs)

    def _read(
        self, file: netCDF4.Dataset, path: Path, day: date
    ) -> tuple[dict[str, PackedArray], dict[str, str]]:
        """Each layer and its flag as stored, the maps in our order, and how that is known."""
        why = _why_missing(file, self.shape, path)
        arrays: dict[str, PackedArray] = {}
        order: Order = slice(None)
        attrs = {}
        if self.has_passes:
            hours = _times(file, self.shape, path, day)
            order, attrs["pass_order_from"] = _order(hours, path, day)
            arrays |= _packed(TIME, hours, why, order)
        for field in FIELDS:
            values = _values(file, field, self.shape, path)
            arrays |= _packed(field.variable, values, why, order)
        return arrays, attrs

    def _check_name(self, path: Path, day: date) -> None:
        expected = Path(self.path(day)).name
        if path.name == expected:
            return
        is_interim = path.name == expected.replace(".nc", "-rt.nc")
        what = "it is the interim map, which the provider replaces by the final one: it"
        raise WrongFile(f"{what if is_interim else 'its name'} is not {expected}.", where=str(path))


def _check_sensor(file: netCDF4.Dataset, path: Path) -> None:
    """Compare what the file says of itself; older files may not say it."""
    for name, expected in (("sensor", "AMSR2"), ("version", VERSION)):
        found = netcdf.text(file, name) or expected
        if found.lstrip("vV") != expected:
            raise WrongFile(f"its {name} is {found}, not {expected}.", where=str(path))


def _check_period(file: netCDF4.Dataset, span: tuple[date, date], path: Path) -> None:
    """The day on which the file says that its data begin, where it does, lies in the map's span."""
    found = netcdf.text(file, "time_coverage_start")[:10]
    if not found:
        return
    try:
        begin = date.fromisoformat(found)
    except ValueError:
        raise DamagedFile(f"its data begin at '{found}', no date.", where=str(path)) from None
    if not span[0] <= begin <= span[1]:
        raise WrongFile(
            f"inside it is {begin}, which is not from {span[0]} to {span[1]}.", where=str(path)
        )


# --- Values and why there are none -------------------------------------------------------------


def _values(file: netCDF4.Dataset, field: Field, shape: tuple[int, ...], path: Path) -> Floats:
    """Values in our units, NaN where the file has none."""
    found = netcdf.variable(file, field.name, path)
    units = netcdf.text(found, "units") or "none"
    if units not in field.units:
        expected = " or ".join(sorted(field.units))
        raise WrongFile(f"{field.name} is in '{units}', not {expected}.", where=str(path))
    values = _present(found, shape, path) + field.shift
    low, high = field.variable.valid_range or (-np.inf, np.inf)
    outside = int(((values < low - SLACK) | (values > high + SLACK)).sum())
    if outside:
        raise DamagedFile(
            f"{field.name} is outside {low - field.shift:g} to {high - field.shift:g} {units} at"
            f" {outside:,} cells.",
            where=str(path),
            mend=FETCH_AGAIN,
        )
    return values


def _present(found: netCDF4.Variable[Any], shape: tuple[int, ...], path: Path) -> Floats:
    """Numbers as they are meant, NaN for the fill value."""
    values = netcdf.numbers(found, shape, path)
    for name in ("_FillValue", "missing_value"):
        values[values == netcdf.number(found, name, FILL, path)] = np.nan
    scale = netcdf.number(found, "scale_factor", 1.0, path)
    return values * scale + netcdf.number(found, "add_offset", 0.0, path)


def _why_missing(file: netCDF4.Dataset, shape: tuple[int, ...], path: Path) -> Masks:
    """The code that a cell without a value has, from the file's masks."""
    why = np.full(shape, NO_RETRIEVAL, np.uint8)
    for name, code in MASKS:
        found = netcdf.variable(file, name, path)
        mask = netcdf.numbers(found, rss.CELLS if found.ndim == 2 else shape, path)
        if not np.isin(mask, (0, 1)).all():
            what = f"{name} has other values than 0 and 1."
            raise DamagedFile(what, where=str(path), mend=FETCH_AGAIN)
        why[np.broadcast_to(mask == 1, shape)] = code
    return why


def _times(file: netCDF4.Dataset, shape: tuple[int, ...], path: Path, day: date) -> Floats:
    """Hours since the start of the day, NaN where there is no observation."""
    found = netcdf.variable(file, "time", path)
    units = netcdf.text(found, "units")
    if not units.startswith("hours since "):
        raise WrongFile(f"time is in '{units}', not in hours since the day.", where=str(path))
    netcdf.check_day(netcdf.moment(0, units, path), day, path)
    hours = _present(found, shape, path)
    outside = int(((hours < -SLACK) | (hours > LAST_TIME / 10 + SLACK)).sum())
    if outside:
        what = f"{outside:,} cells are timed outside the day."
        raise DamagedFile(what, where=str(path), mend=FETCH_AGAIN)
    return hours


def _order(hours: Floats, path: Path, day: date) -> tuple[Order, str]:
    """Which map is ascending and which descending, and how that is known."""
    tenths = np.where(np.isnan(hours), 254, np.rint(np.nan_to_num(hours) * 10)).astype(np.uint8)
    order, told = order_of_passes(AMSR2, tenths, path, day)
    return list(order), told


def _packed(layer: Variable, values: Floats, why: Masks, order: Order) -> dict[str, PackedArray]:
    """A layer and its flag as stored, the maps in our order."""
    seen = np.where(np.isin(why, NEVER_SEEN), np.nan, values)
    return {
        variable.name: (array[order], variable.packing.attributes)
        for variable, array in rss.stored(layer, seen, why)
    }


# --- Sources -----------------------------------------------------------------------------------

FOLDER = f"amsr2/ocean/L3/v0{VERSION}"
GRID = {"lat": degrees(-90, 90, 0.25), "lon": degrees(0, 360, 0.25, periodic=True)}


def _name(kind: str, when: str) -> str:
    return f"RSS_AMSR2_ocean_L3_{kind}_{when}_v0{VERSION}.nc"


def _daily(day: date) -> str:
    return f"{FOLDER}/daily/{day:%Y}/{_name('daily', str(day))}"


def _three_days(day: date) -> str:
    return f"{FOLDER}/3day/{day:%Y}/{_name('3day', str(day))}"


def _weekly(sunday: date) -> str:
    return f"{FOLDER}/weekly/{_name('weekly', str(sunday + timedelta(days=6)))}"


def _monthly(day: date) -> str:
    return f"{FOLDER}/monthly/{_name('monthly', f'{day:%Y-%m}')}"


def _one_day(day: date) -> tuple[date, date]:
    return day, day


def _last_three(day: date) -> tuple[date, date]:
    return day - timedelta(days=2), day


def _week(sunday: date) -> tuple[date, date]:
    return sunday, sunday + timedelta(days=6)


def _month(day: date) -> tuple[date, date]:
    following = (day + timedelta(days=31)).replace(day=1)
    return day, following - timedelta(days=1)


DAILY = Maps("daily", _daily, _one_day, has_passes=True)
MEANS = {
    "3day": Maps("3day", _three_days, _last_three),
    "weekly": Maps("weekly", _weekly, _week),
    "monthly": Maps("monthly", _monthly, _month),
}


def _source(maps: Maps, name: str, grid: Grid, what: str) -> Source:
    return Source(
        name=name,
        grid=grid,
        path=maps.path,
        decode=maps.decode,
        provides=rss.with_flags(maps.layers),
        archive="rss",
        home=rss.HOME,
        title=f"{AMSR2.carrier}, {what}, v{VERSION}, from the provider's NetCDF",
        provider="Remote Sensing Systems",
        licence=rss.LICENCE,
        cite=f"Remote Sensing Systems: {AMSR2.carrier} ocean products, 0.25 degrees, version"
        f" {VERSION}. www.remss.com",
        file_type="netcdf4",
    )


def _sources() -> tuple[Source, ...]:
    name = f"rss-{AMSR2.sensor}"
    daily = Grid(time=rss.days_of(AMSR2), orbit=labels(*ORBITS), **GRID)
    means = (
        _source(
            MEANS[average.name],
            f"{name}-{average.name}",
            Grid(time=average.axis(AMSR2), **GRID),
            f"ocean maps, {average.what}",
        )
        for average in rss_averages.AVERAGES
    )
    return (_source(DAILY, name, daily, "daily ocean maps"), *means)


SOURCES: Mapping[str, Source] = {source.name: source for source in _sources()}
