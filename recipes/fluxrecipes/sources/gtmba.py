"""Global Tropical Moored Buoy Array (TAO/TRITON, PIRATA, RAMA): its own NetCDF and ERDDAP's.

The provider's own files hold one site, variables by their EPIC names and codes (AT_21) with a
quality code for each value (QAT_5021). Most hold one quantity; those that begin with ``met`` hold
wind, air temperature, humidity and water temperature together. ERDDAP's files hold many sites as
series, one after another, or as plain rows; it also writes them as CSV.

Winds are reported by where they blow to. Times are the middle of the averaging interval.
Quality: 1 highest, 2 default, 3 adjusted; 4 (lower) and 5 (failed) are left out, 0 is missing.
So is every other code, as -9, for which the provider says to ask: it has 1 to 3 requested for data
that are probably valid. What has no code is kept as not checked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

from fluxengine.errors import DamagedFile, WrongFile
from fluxengine.tables import Feed, Rows
from fluxrecipes.sources import erddap_csv, reports
from fluxrecipes.sources import station_netcdf as nc
from fluxrecipes.sources.reports import Array, Measured
from fluxrecipes.sources.station_netcdf import Field, Numbers, Station

SPEED, DIRECTION, EAST, NORTH = ("WS_401", "WS_400"), ("WD_410",), ("WU_422",), ("WV_423",)
AIR, RELATIVE, WATER, PRESSURE = ("AT_21",), ("RH_910",), ("T_25",), ("BP_915",)
DEPTH_OF_WATER = ("ZSST_2003", "ZSST", "ZSST_3", "Z_SST")
KINDS = ((*SPEED, *EAST), (*AIR, *RELATIVE), WATER, PRESSURE)  # each at its own height
WANTED = (*SPEED, *EAST, *AIR, *RELATIVE, *WATER, *PRESSURE)
# In names of means of days and months: the provider's files, beside _hr and _10m, and those of
# ERDDAP, whose data sets are pmelTaoDyAirt and the like.
DAILY = re.compile(r"_dy\.|tao(?:dy|5day|mon)", re.IGNORECASE)
SITE = re.compile(r"\d+(?:\.\d+)?[ns]\d+(?:\.\d+)?[ew]", re.IGNORECASE)
CLOCK = ("time", "time2")
LATITUDES, LONGITUDES = ("lat", "latitude", "LATITUDE"), ("lon", "longitude", "LONGITUDE")


def read(path: Path) -> Iterator[Rows]:
    """Reports of a file, as rows of the in-situ table.

    A file of one quantity makes rows with that quantity alone: those of one site and time belong
    together. Relative humidity without air temperature is kept as such.

    Raises
    ------
    MissingFile, DamagedFile
        No file; not NetCDF, or damaged.
    WrongFile
        A file without surface quantities, or with units or a form that are not known.
    """
    with _opened(path) as station:
        if not any(station.first(name) for name in WANTED):
            names = ", ".join(list(station.fields)[:20])
            what = f"it has none of {', '.join(WANTED)}; its variables are {names}."
            raise WrongFile(what, where=str(path))
        places = _Places(station)
        averaging = _averaging(station, places)
        for part in station.parts():
            yield reports.rows(_reports(station, places, averaging, part))


def _opened(path: Path) -> AbstractContextManager[Station]:
    plain = path.name.lower().removesuffix(".gz")
    return erddap_csv.opened(path) if plain.endswith((".csv", ".csvp")) else nc.opened(path, "time")


def _averaging(station: Station, places: _Places) -> reports.Averaging | None:
    """How long the values of each site are means of; None where the file's name says: of days.

    One day alone shows no spacing.
    """
    if DAILY.search(station.path.name) or DAILY.search(station.text("id")):
        return None
    found = reports.Averaging(station.unspaced(*WANTED))
    for part in station.parts():
        found.add(station.times(part, *CLOCK), places.names(part, *places.position(part)))
    return found


def _reports(
    station: Station, places: _Places, averaging: reports.Averaging | None, part: slice
) -> reports.Reports:
    speed, direction = _wind(station, part)
    latitude, longitude = places.position(part)
    platform = places.names(part, latitude, longitude)
    return reports.Reports(
        feed=reports.GTMBA,
        time=station.times(part, *CLOCK),
        averaging=averaging.of(platform) if averaging else reports.LONG,
        platform=platform,
        kind=reports.MOORED,
        latitude=latitude,
        longitude=longitude,
        wind_speed=speed,
        wind_from_direction=direction,
        air_temperature=_measured(station, part, AIR, nc.TEMPERATURE),
        relative_humidity=_measured(station, part, RELATIVE, nc.FRACTION),
        sea_surface_temperature=_measured(station, part, WATER, nc.TEMPERATURE, sign=1),
        air_pressure=_measured(station, part, PRESSURE, nc.PRESSURE),
    )


# --- Quantities -----------------------------------------------------------------------------------


def _measured(
    station: Station,
    part: slice,
    names: tuple[str, ...],
    units: nc.Units,
    sign: int = -1,
) -> Measured:
    field = station.first(*names)
    if field is None:
        return reports.NONE
    values = station.in_si(field, station.values(field, part), units)
    return Measured(values, _quality(station, part, field), _height(station, part, field, sign))


def _wind(station: Station, part: slice) -> tuple[Measured, Numbers | float]:
    """Speed, and the direction that it blows from, from the components where there are no such."""
    speed, direction = station.first(*SPEED), station.first(*DIRECTION)
    east, north = station.first(*EAST), station.first(*NORTH)
    toward: Numbers | float = np.nan
    if direction is not None:
        given = station.values(direction, part)
        toward = np.where((given >= 0) & (given <= 360), given, np.nan)
    elif east is not None and north is not None:
        u, v = station.values(east, part), station.values(north, part)
        toward = np.degrees(np.arctan2(u, v))
    blown_from = np.mod(toward + 180.0, 360.0)
    if speed is not None:
        made = _measured(station, part, SPEED, nc.SPEED)
    elif east is not None and north is not None:
        u = station.in_si(east, station.values(east, part), nc.SPEED)
        v = station.in_si(north, station.values(north, part), nc.SPEED)
        verdict = _quality(station, part, east)
        made = Measured(np.hypot(u, v), verdict, _height(station, part, east, -1))
    else:
        return reports.NONE, np.nan
    if direction is not None:
        bad = _quality(station, part, direction) == reports.REJECTED
        blown_from = np.where(bad, np.nan, blown_from)
    return made, blown_from


def _quality(station: Station, part: slice, field: Field) -> Array:
    """Verdicts on the values of a variable, from its quality variable or that of its kin."""
    code = field.name.rpartition("_")[2]
    kin = ("401", "422", "423") if code in ("401", "400", "422", "423") else (code,)
    names = [
        name
        for name in station.fields
        if name.upper().startswith("Q") and name.rpartition("_")[2] in {f"5{k:0>3}" for k in kin}
    ]
    worst = np.zeros(part.stop - part.start, np.uint8)
    for found in filter(None, map(station.first, names)):
        worst = np.maximum(worst, _verdict(station.values(found, part)))
    return np.where(worst == 0, np.uint8(reports.NOT_CHECKED), worst)


def _verdict(codes: Numbers) -> Array:
    """Verdicts on values with such codes, NaN where there is none."""
    kinds = (np.isnan(codes), codes == 1, (codes > 1) & (codes <= 3))
    verdicts = (reports.NOT_CHECKED, reports.GOOD, reports.PROBABLY_GOOD)
    return np.select(kinds, verdicts, reports.REJECTED).astype(np.uint8)


def _height(station: Station, part: slice, field: Field, sign: int) -> Numbers | float:
    """Height above the sea, or with `sign` 1 depth [m]: files give depths, negative in the air.

    One depth for sensors of several kinds is the height of none of them; files of all of a site's
    meteorology have one for each variable.
    """
    if field.name in WATER and (series := station.first(*DEPTH_OF_WATER)):
        return station.values(series, part)
    if sum(any(_shares(station, field, name) for name in kind) for kind in KINDS) > 1:
        return np.nan
    depth: Numbers | float = float(station.levels(field)[0])
    row = station.first("depth")
    if np.isnan(depth) and row is not None:
        depth = station.values(row, part)
    height = sign * np.asarray(depth)
    return np.where((height > 0) & (height <= 50), height, np.nan)


def _shares(station: Station, field: Field, name: str) -> bool:
    """Whether the file has another variable whose depth is told by the same coordinate."""
    other = station.first(name)
    return other is not None and station.vertical(other) == station.vertical(field)


# --- Sites ----------------------------------------------------------------------------------------


class _Places:
    """Where reports are: one site, or a series of them one after another."""

    def __init__(self, station: Station) -> None:
        self.station = station
        sizes = station.fields.get("rowSize") or station.fields.get("row_size")
        self.along = sizes.dims if sizes else (station.along,)
        self.series = self._series(sizes) if sizes else np.arange(station.count)
        self.codes = self._codes()

    def _series(self, sizes: Field) -> Array:
        """Which series each report belongs to."""
        counts = sizes.numbers((slice(None),))
        station = self.station
        if np.isnan(counts).any() or (counts < 0).any() or counts.sum() != station.count:
            what = f"the lengths of its series do not add up to its {station.count:,} reports."
            raise DamagedFile(what, where=str(station.path))
        return np.repeat(np.arange(counts.size), counts.astype(np.int64))

    def _codes(self) -> Array | None:
        """Names of the sites in the file, as fixed-width bytes."""
        field = self.station.fields.get("station")
        if field is None or field.dims[:1] != self.along:
            return None
        raw = field.load((slice(None),) * len(field.dims))
        if raw.dtype == np.dtype("S1") and raw.ndim == 2:
            raw = np.ascontiguousarray(raw).view(f"S{raw.shape[1]}")[:, 0]
        if raw.dtype.kind in "UO":
            raw = np.array([str(name).encode("ascii", "replace") for name in raw.ravel()])
        return np.char.strip(raw) if raw.dtype.kind == "S" and raw.ndim == 1 else None

    def position(self, part: slice) -> tuple[Numbers | float, Numbers | float]:
        """Latitude and longitude [degrees]: of all reports, or of each."""
        latitude, longitude = (self._coordinate(part, names) for names in (LATITUDES, LONGITUDES))
        return latitude, longitude

    def _coordinate(self, part: slice, names: tuple[str, ...]) -> Numbers | float:
        field = next((self.station.fields[n] for n in names if n in self.station.fields), None)
        if field is not None and field.dims == self.along:
            return np.asarray(field.numbers((slice(None),))[self.series[part]])
        return self.station.position(part, *names)

    def names(
        self, part: slice, latitude: Numbers | float, longitude: Numbers | float
    ) -> Array | bytes:
        """Names of the sites: as the file, its name, or else their positions say."""
        if self.codes is not None:
            return np.asarray(self.codes[self.series[part]])
        found = SITE.search(self.station.path.name)
        if found:
            return found[0].lower().encode()
        if np.ndim(latitude) or np.ndim(longitude):
            what = "it does not tell which site its reports are of."
            raise WrongFile(what, where=str(self.station.path))
        return _site(float(latitude), float(longitude) % 360)


def _site(latitude: float, east: float) -> bytes:
    """Name of a site by its position, as the provider makes them: ``0n110w``."""
    north_south = f"{abs(latitude):g}{'s' if latitude < 0 else 'n'}"
    return (
        f"{north_south}{360 - east:g}w".encode()
        if east >= 180
        else (f"{north_south}{east:g}e".encode())
    )


FEED = Feed(
    name="gtmba",
    patterns=("*.cdf", "*/*.cdf", "*.nc", "*/*.nc", "*.csv", "*.csvp"),
    read=read,
    archive="gtmba",
    home="https://www.pmel.noaa.gov/gtmba",
    title="Global Tropical Moored Buoy Array: TAO/TRITON, PIRATA and RAMA",
    provider="NOAA Pacific Marine Environmental Laboratory",
    licence="free for use with acknowledgement of the GTMBA Project Office of NOAA/PMEL",
    cite="McPhaden et al. (1998), The Tropical Ocean-Global Atmosphere observing system: a decade"
    " of progress, J. Geophys. Res. 103; doi:10.1029/97JC02906",
)
