"""Daily ocean maps of Remote Sensing Systems (SSM/I, SSMIS, AMSR, WindSat, GMI), 0.25 degrees.

A file is gzip of headerless bytes, C order (pass, layer, lat=720, lon=1440), south and Greenwich
first. A byte up to 250 is a value, ``byte * scale + offset``; the five above say why there is none.
Both are kept exactly: the values in the provider's own packing, the codes in a flag variable beside
each. Layouts and codes: the provider's reading routines, readme files and data descriptions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fluxengine.declare import Packing, Source, Variable, flag_variable
from fluxengine.errors import DamagedFile, WrongFile
from fluxengine.grid import Axis, Grid, days, degrees, labels
from fluxrecipes import vocabulary as cf
from fluxrecipes.sources import netcdf, rss_conversions
from fluxrecipes.sources.gzipped import FETCH_AGAIN, gunzip
from fluxrecipes.sources.passes import LAST_TIME, ORBITS, order_of_passes

if TYPE_CHECKING:
    import xarray as xr

Bytes = npt.NDArray[np.uint8]

HOME = "https://data.remss.com"
LICENCE = "free for research with attribution to Remote Sensing Systems; see the provider's terms"
CELLS = rss_conversions.CELLS
FILL = 255  # all bits set, as `split` needs
LAST_VALUE = 250  # a valid maximum: codes begin above it
VALID = 2
CODES = {
    VALID: "valid",
    251: "no_retrieval",
    252: "sea_ice",
    253: "bad_or_coast",
    254: "no_observation",
    255: "land",
}


def _packed(variable: Variable, scale: float, offset: float = 0.0) -> Variable:
    return variable.stored(Packing("u1", scale, offset, FILL))


TIME = _packed(cf.pass_time, 0.1)
SST = _packed(cf.sea_surface_temperature, 0.15, cf.KELVIN - 3.0)
WIND_LF = _packed(cf.wind_speed_lf, 0.2)
WIND = _packed(cf.wind_speed, 0.2)
WIND_AW = _packed(cf.wind_speed_aw, 0.2)
WIND_DIRECTION = _packed(cf.wind_to_direction, 1.5)
VAPOUR = _packed(cf.water_vapour, 0.3)
CLOUD = _packed(cf.cloud_liquid_water, 0.01, -0.05)
RAIN = _packed(cf.rain_rate, 0.1)

SSMI_LAYERS = (TIME, WIND, VAPOUR, CLOUD, RAIN)
AMSR_LAYERS = (TIME, SST, WIND_LF, WIND, VAPOUR, CLOUD, RAIN)
WINDSAT_LAYERS = (*AMSR_LAYERS, WIND_AW, WIND_DIRECTION)


@dataclass(frozen=True)
class Instrument:
    """One satellite's series of daily maps.

    Parameters
    ----------
    sensor : str
        Its name in our datasets, such as ``f17``.
    carrier : str
        Instrument and satellite, for people.
    prefix, version, folder : str
        Parts of the provider's path ``folder/yYYYY/mMM/prefix_YYYYMMDDversion.gz``.
    first, last : str
        Days of the series; no `last`, and it goes on.
    layers : tuple of Variable
        In the file's order, time first, in the provider's packing.
    first_map : {"ascending", "descending"}
        Which pass the provider documents as the first map.
    crossings : tuple of (float, float)
        Decimal year and local time [h] of the ascending pass over the equator. Empty where it goes
        round the clock in weeks, as for GMI.
    reach : float
        How far [h] a pass's local times may lie from `crossings`: half a swath and the error of
        the table. Below 6 h, or the two passes could not be told apart.
    """

    sensor: str
    carrier: str
    prefix: str
    version: str
    folder: str
    first: str
    last: str | None
    layers: tuple[Variable, ...]
    first_map: str
    crossings: tuple[tuple[float, float], ...]
    reach: float

    @property
    def size(self) -> int:
        """Bytes of a daily file after gunzip."""
        return len(ORBITS) * len(self.layers) * CELLS[0] * CELLS[1]

    def crossing(self, day: date) -> float:
        """Local time [h] at which the ascending pass crosses the equator, orbit drift included."""
        year = day.year + (day.timetuple().tm_yday - 1) / 365.25
        years, hours = np.array(self.crossings).T
        return float(np.interp(year, years, hours))

    def path(self, day: date) -> str:
        """Where the provider keeps a day, below the archive's root."""
        return f"{self.folder}/y{day:%Y}/m{day:%m}/{self.file_name(day)}"

    def file_name(self, day: date) -> str:
        """The provider's name of a day's file."""
        return f"{self.prefix}_{day:%Y%m%d}{self.version}.gz"

    def decode(self, path: Path, day: date) -> xr.Dataset:
        """One day's file as packed values and flags.

        Parameters
        ----------
        path : Path
            A local file under the provider's name; or of that map in NetCDF, as told by its bytes,
            under a name that still says satellite, day and version.
        day : date
            The day it should hold.

        Returns
        -------
        xarray.Dataset
            uint8, dims (time=1, orbit=2, lat=720, lon=1440), the ascending pass first; packing in
            each variable's attributes.

        Raises
        ------
        MissingFile, DamagedFile
            No file; not gzip, truncated, of no known length, or with times past 24 h.
        WrongFile
            Of another day, sensor, version or kind of map.
        """
        maps = self._converted(path, day) if netcdf.is_netcdf_file(path) else self._own(path, day)
        order, why = order_of_passes(self, maps[:, 0], path, day)
        ordered = maps if order == (0, 1) else maps[::-1]
        return _dataset(ordered, self.layers, why)

    def _own(self, path: Path, day: date) -> Bytes:
        """The bytes of a bytemap, shape (pass, layer, lat, lon)."""
        _check_name(self, path, day)
        return _maps(self, path)

    def _converted(self, path: Path, day: date) -> Bytes:
        """The bytes of a bytemap that someone has put into NetCDF."""
        _check_name(self, path, day, converted=True)
        return _timed(rss_conversions.read(path, self.layers, day, self.prefix), path)


def _dmsp(
    number: int,
    first: str,
    last: str | None,
    crossings: tuple[tuple[float, float], ...],
    *,
    version: str = "v7",
) -> Instrument:
    """A satellite of the DMSP series.

    The provider documents the local morning map as first: the descending pass on all of them but
    F08, which is not here. The crossing times are recalled to about an hour, hence the wide reach.
    """
    return Instrument(
        sensor=f"f{number}",
        carrier=f"{'SSM/I' if number < 16 else 'SSMIS'} on DMSP F{number}",
        prefix=f"f{number}",
        version=version,
        folder=f"ssmi/f{number}/bmaps_v0{version[1:]}",
        first=first,
        last=last,
        layers=SSMI_LAYERS,
        first_map="descending",
        crossings=crossings,
        reach=3.5,
    )


def _amsr2(sensor: str, version: str) -> Instrument:
    """AMSR2 in one processing version; its orbit is held at 13:30, its ascending map is first."""
    return Instrument(
        sensor=sensor,
        carrier="AMSR2 on GCOM-W1",
        prefix="f34",
        version=version,
        folder=f"amsr2/bmaps_v0{version[1:]}",
        first="2012-07-02",
        last=None,
        layers=AMSR_LAYERS,
        first_map="ascending",
        crossings=((2012.5, 13.5),),
        reach=2.0,
    )


# Aqua's orbit was held at 13:30 and Coriolis' at 18:00; the provider documents the morning maps of
# WindSat as first, as its check file says too.
AMSRE = Instrument(
    sensor="amsre",
    carrier="AMSR-E on Aqua",
    prefix="f32",
    version="v7",
    folder="amsre/bmaps_v07",
    first="2002-06-01",
    last="2011-10-04",
    layers=AMSR_LAYERS,
    first_map="descending",
    crossings=((2002.5, 13.5),),
    reach=2.0,
)
WINDSAT = Instrument(
    sensor="windsat",
    carrier="WindSat on Coriolis",
    prefix="wsat",
    version="v7.0.1",
    folder="windsat/bmaps_v07.0.1",
    first="2003-02-05",
    last="2020-10-19",
    layers=WINDSAT_LAYERS,
    first_map="descending",
    crossings=((2003.0, 18.0),),
    reach=2.0,
)
GMI = Instrument(
    sensor="gmi",
    carrier="GMI on the GPM core satellite",
    prefix="f35",
    version="v8.2",
    folder="gmi/bmaps_v08.2",
    first="2014-03-04",
    last=None,
    layers=AMSR_LAYERS,
    first_map="ascending",
    crossings=(),
    reach=0.0,
)


# Periods are those in which each satellite serves the record. F15's last weeks lie after 14 August
# 2006, when its radar beacon began to disturb the 22 GHz channel: a product decides on them.
INSTRUMENTS = (
    _dmsp(10, "1992-01-01", "1997-11-14", ((1991.0, 19.7), (1995.7, 22.1), (1997.9, 22.3))),
    _dmsp(11, "1992-01-01", "2000-05-16", ((1992.0, 17.1), (1995.7, 18.2), (2000.4, 19.4))),
    _dmsp(13, "1995-05-09", "2009-11-04", ((1995.3, 17.7), (2009.8, 18.3))),
    _dmsp(14, "1997-05-14", "2008-08-08", ((1997.3, 20.5), (2008.6, 17.3))),
    _dmsp(15, "1999-12-24", "2006-08-31", ((2000.0, 21.4), (2006.7, 20.0))),
    _dmsp(16, "2003-11-01", None, ((2003.8, 20.0), (2010.0, 18.5), (2015.0, 16.2), (2020.0, 15.8))),
    _dmsp(17, "2006-12-20", None, ((2006.9, 17.5), (2020.0, 18.5))),
    _dmsp(18, "2009-11-01", None, ((2009.8, 20.0), (2020.0, 17.0)), version="v8"),
    _amsr2("amsr2", "v8"),
    _amsr2("amsr2-v7.2", "v7.2"),
    AMSRE,
    WINDSAT,
    GMI,
)


def with_flags(layers: tuple[Variable, ...]) -> tuple[Variable, ...]:
    """Each layer with the variable that says why it has no value."""
    return tuple(v for layer in layers for v in (layer, flag_of(layer)))


def flag_of(variable: Variable) -> Variable:
    """The variable that says why a layer has no value."""
    meaning = f"why {variable.name.replace('_', ' ')} has no value, in the provider's codes"
    return flag_variable(f"{variable.name}_flag", meaning, CODES, standard_name="status_flag")


def days_of(instrument: Instrument) -> Axis:
    """The days of its series, each a chunk of its own."""
    return days(instrument.first, instrument.last, block=10, chunk=1)


def _source(instrument: Instrument) -> Source:
    return Source(
        name=f"rss-{instrument.sensor}",
        grid=Grid(
            time=days_of(instrument),
            orbit=labels(*ORBITS),
            lat=degrees(-90, 90, 0.25),
            lon=degrees(0, 360, 0.25, periodic=True),
        ),
        path=instrument.path,
        decode=instrument.decode,
        provides=with_flags(instrument.layers),
        archive="rss",
        home=HOME,
        title=f"{instrument.carrier}, daily ocean maps, {instrument.version}",
        provider="Remote Sensing Systems",
        licence=LICENCE,
        cite=f"Remote Sensing Systems: {instrument.carrier} ocean products, daily, 0.25 degrees,"
        f" version {instrument.version[1:]}. www.remss.com",
    )


SOURCES: Mapping[str, Source] = {
    source.name: source for source in (_source(instrument) for instrument in INSTRUMENTS)
}


# --- Is it the file that was asked for? --------------------------------------------------------

# As the provider names bytemaps, and as others name what they convert: f17_ssmis_20160102v7.nc, and
# that of a week f17_ssmis_20160102v7_wk.nc, which the provider calls as the map of its last day.
WEEK = "_wk"
NAME = re.compile(
    r"(?P<prefix>f\d\d|wsat)_([a-z][a-z\d]*_)?(?P<day>\d{4,8})(?P<version>v[\d.]+?|rt)"
    rf"(?P<mean>_d3d|{WEEK})?\.(gz|nc4?|cdf|h5)"
)
CARRIERS = {i.prefix: i.carrier for i in INSTRUMENTS} | {
    "f08": "SSM/I on DMSP F08",
    "f12": "TMI",
    "f32": "AMSR-E",
    "f35": "GMI",
    "wsat": "WindSat",
}
AMSR_FAMILY = "an AMSR-E, AMSR2, GMI or TMI"
DAILY = {5: "an SSM/I or SSMIS", 7: AMSR_FAMILY, 9: "a WindSat"}  # layers of a pass, with time
AVERAGED = {4: "an SSM/I or SSMIS", 6: AMSR_FAMILY, 8: "a WindSat"}  # no pass axis, no time
KNOWN_SIZES = {
    2 * layers * CELLS[0] * CELLS[1]: f"{owner} daily map" for layers, owner in DAILY.items()
} | {
    layers * CELLS[0] * CELLS[1]: f"{owner} map averaged over days, which has no passes"
    for layers, owner in AVERAGED.items()
}


def bytemap_name(name: str) -> str:
    """The provider's name of the map that a file was converted from; empty where none can be."""
    found = NAME.fullmatch(name)
    if not found:
        return ""
    mean = "" if found["mean"] in (None, WEEK) else found["mean"]
    return f"{found['prefix']}_{found['day']}{found['version']}{mean}.gz"


def _check_name(instrument: Instrument, path: Path, day: date, *, converted: bool = False) -> None:
    """Nothing inside tells the day and little the satellite: the name must be the provider's."""
    expected = instrument.file_name(day)
    found = NAME.fullmatch(path.name)
    is_day = converted and found and not found["mean"]
    if expected in (path.name, bytemap_name(path.name) if is_day else ""):
        return
    what = _why_not(instrument, found, day) if found else "its name follows no pattern of RSS maps"
    raise WrongFile(f"{what}; this day's file is {expected}.", where=str(path))


def _why_not(instrument: Instrument, found: re.Match[str], day: date) -> str:
    """In words, what a file of this name is instead."""
    if found["prefix"] != instrument.prefix:
        carrier = CARRIERS.get(found["prefix"], "another instrument")
        return f"it holds {carrier}, not {instrument.carrier}"
    if found["mean"] or len(found["day"]) != 8:
        return "it is an averaged map, which has no passes"
    if found["day"] != f"{day:%Y%m%d}":
        return f"it holds the day {found['day']}"
    if found["version"] == "rt":
        return "it is the interim map, which the provider replaces by the final one"
    if found["version"] == instrument.version:
        return "it is named as a map converted to NetCDF is, but holds no NetCDF"
    return f"it is version {found['version']}, not {instrument.version}"


def _maps(instrument: Instrument, path: Path) -> Bytes:
    """The file's bytes, shape (pass, layer, lat, lon)."""
    raw = gunzip(path, at_most=max(KNOWN_SIZES))
    if netcdf.is_netcdf(raw):
        raise WrongFile(
            "it is NetCDF packed with gzip, not a bytemap.", where=str(path), mend="Unpack it."
        )
    if len(raw) != instrument.size:
        raise _wrong_size(instrument, len(raw), path)
    shape = (len(ORBITS), len(instrument.layers), *CELLS)
    return _timed(np.frombuffer(raw, np.uint8).reshape(shape), path)


def _timed(maps: Bytes, path: Path) -> Bytes:
    """The maps, where all their times are times or codes."""
    # Codes 251 to 253 are accepted in the time layer, though none was ever seen there: the format's
    # table of codes names no layer, and the flags keep them. 241 to 250 are neither time nor code.
    late = np.count_nonzero(maps[:, 0] - np.uint8(LAST_TIME + 1) < LAST_VALUE - LAST_TIME)
    if late:
        raise DamagedFile(
            f"{late:,} cells are timed after 24 h.", where=str(path), mend=FETCH_AGAIN
        )
    return maps


def _wrong_size(instrument: Instrument, size: int, path: Path) -> DamagedFile:
    where, expected = str(path), f"{instrument.carrier} daily maps have {instrument.size:,} bytes"
    if size in KNOWN_SIZES:
        return WrongFile(f"{size:,} bytes is {KNOWN_SIZES[size]}; {expected}.", where=where)
    count = f"{size:,}" if size <= max(KNOWN_SIZES) else f"more than {max(KNOWN_SIZES):,}"
    what = f"{count} bytes after gunzip is the length of no RSS map; {expected}."
    return DamagedFile(what, where=where, mend=FETCH_AGAIN)


# --- Bytes to values and flags -----------------------------------------------------------------


def split(raw: Bytes) -> tuple[Bytes, Bytes]:
    """Provider's bytes as packed values (255 where missing) and flags, both of the same shape.

    Every byte comes back as ``where(flag == 2, value, flag)``.
    """
    # In arrays of their own, or those of maps in reverse order would be in reverse order too. In
    # whole words, map by map: NumPy's `where` and `maximum` take bytes one by one.
    values, flags = np.empty((2, *raw.shape), np.uint8)
    maps = (array.reshape(-1, *raw.shape[-2:]) for array in (raw, values, flags))
    for given, value, flag in zip(*maps, strict=True):
        np.greater(given, LAST_VALUE, out=value.view(bool))
        code = np.negative(value, out=value)  # 255 where the byte is a code
        np.bitwise_xor(given, np.uint8(VALID), out=flag)
        flag &= code
        flag ^= np.uint8(VALID)  # the byte where there is a code, else VALID
        np.bitwise_or(given, code, out=value)
    return values, flags


def _dataset(maps: Bytes, layers: tuple[Variable, ...], why: str) -> xr.Dataset:
    import xarray as xr

    found = packed(np.moveaxis(maps, 1, 0), layers, ("time", "orbit", "lat", "lon"))
    return xr.Dataset(found, attrs={"pass_order_from": why})


def packed(
    raw: Bytes, layers: tuple[Variable, ...], dims: tuple[str, ...]
) -> dict[str, tuple[tuple[str, ...], Bytes, dict[str, Any]]]:
    """Values and flags of all layers, the first axis of `raw`, as xarray takes them: one step."""
    found = {}
    for layer, layer_bytes in zip(layers, raw, strict=True):
        for variable, values in zip((layer, flag_of(layer)), split(layer_bytes), strict=True):
            found[variable.name] = (dims, values[np.newaxis], variable.packing.attributes)
    return found


def dataset_of(
    layers: Iterable[tuple[Variable, npt.NDArray[Any]]], why: Bytes, dims: tuple[str, ...]
) -> xr.Dataset:
    """One step of packed values and flags, from numbers.

    Parameters
    ----------
    layers : iterable of (Variable, array)
        Values in the variable's units; those that are not finite are missing.
    why : uint8 array
        The code of each cell that has no value; of the shape of a layer.
    dims : tuple of str
        The step axis first, which `layers` lack.

    Raises
    ------
    OutOfRange
        Where a value does not fit its packing.
    """
    import xarray as xr

    found = {}
    for layer, values in layers:
        for variable, array in stored(layer, values, why):
            found[variable.name] = (dims, array[np.newaxis], variable.packing.attributes)
    return xr.Dataset(found)


def stored(
    layer: Variable, values: npt.NDArray[Any], why: Bytes
) -> tuple[tuple[Variable, npt.NDArray[Any]], tuple[Variable, Bytes]]:
    """A layer and its flag as they are stored, from numbers; see `dataset_of`."""
    present = np.isfinite(values)
    packed = layer.packing.pack(np.where(present, values, np.nan), layer.name)
    return (layer, packed), (flag_of(layer), np.where(present, np.uint8(VALID), why))
