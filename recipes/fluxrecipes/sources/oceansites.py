"""OceanSITES NetCDF of surface moorings: WHOTS, Stratus, NTAS and others.

Variables along TIME by the names of the OceanSITES manual (AIRT, RELH, WSPD, ...), a flag for each
value in the variable of the same name and ``_QC``. Heights and depths of sensors stand in
attributes of the variables or in vertical coordinates. Flags: 1 good, 2 probably good, 5 changed
are kept; 8 (interpolated) and 7 (nominal) are kept as doubtful; 3, 4, 6 and 9 are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fluxengine.errors import WrongFile
from fluxengine.tables import Feed, Rows
from fluxrecipes.sources import reports
from fluxrecipes.sources import station_netcdf as nc
from fluxrecipes.sources.reports import Array, Measured
from fluxrecipes.sources.station_netcdf import Field, Numbers, Station

AIR, RELATIVE, PRESSURE = ("AIRT",), ("RELH",), ("ATMS", "ATPR", "CAPH")
WATER, EAST, NORTH = ("SST", "TEMP"), ("UWND",), ("VWND",)
SPEED, DIRECTION = ("WSPD",), ("WDIR",)
AIR_NAMES = (*AIR, *RELATIVE, *PRESSURE, *SPEED, *EAST)
SURFACE = 5.0  # m: what is deeper is not sea surface temperature
VERDICTS = {
    0: reports.NOT_CHECKED,
    1: reports.GOOD,
    2: reports.PROBABLY_GOOD,
    3: reports.REJECTED,
    4: reports.REJECTED,
    5: reports.PROBABLY_GOOD,
    6: reports.REJECTED,
    7: reports.DOUBTFUL,
    8: reports.DOUBTFUL,
    9: reports.REJECTED,
}
BAD = (3, 4, 9)
HEIGHTS = ("sensor_height", "height", "height_above_sea_level", "sensor_mount_height")
DEPTHS = ("sensor_depth", "depth", "nominal_depth")
LENGTH = re.compile(
    r"(?P<number>[-+]?\d+(?:\.\d*)?(?:e[-+]?\d+)?)\s*(?P<unit>[a-z]*)", re.IGNORECASE
)
# What an angle is counted from or is relative to is not where the wind blows from or to.
NOT_NORTH = r"(?!\s+(?:the\s+)?(?:(?:true|magnetic|geographic)\s+)?n(?:orth)?\b)"
FROM = re.compile(rf"\bfrom\b{NOT_NORTH}")
TOWARD = re.compile(rf"\bto(?:wards?)?\b{NOT_NORTH}")
METRES = {"cm": 0.01, "mm": 0.001, "ft": 0.3048, "feet": 0.3048}  # other words: metres, or no unit


def read(path: Path) -> Iterator[Rows]:
    """Reports of a mooring's file, as rows of the in-situ table.

    Raises
    ------
    MissingFile, DamagedFile
        No file; not NetCDF, or damaged.
    WrongFile
        A file without surface quantities, or with units or a form that are not known.
    """
    with nc.opened(path, "TIME", "time") as station:
        water = _water(station)
        if water is None and not any(station.first(name) for name in AIR_NAMES):
            raise WrongFile(_nothing(station), where=str(path))
        averaging = _averaging(station)
        for part in station.parts():
            yield reports.rows(_reports(station, water, averaging, part))


def _averaging(station: Station) -> int:
    """How long the file's values are means of: by how far apart they are, or as it says."""
    found, site = reports.Averaging(station.unspaced(*AIR_NAMES, *WATER)), _platform(station)
    for part in station.parts():
        found.add(_times(station, part), site)
    return int(found.of(site))


def _times(station: Station, part: slice) -> Array:
    """Times, NaT where they are flagged bad."""
    time = "TIME" if "TIME" in station.fields else "time"
    moments = station.times(part, time)
    if flags := station.first(f"{time}_QC"):
        wrong = np.isin(station.flags(flags, part), BAD)
        moments = np.where(wrong, np.datetime64("NaT", "s"), moments)
    return moments


def _reports(
    station: Station, water: tuple[Field, int, float] | None, averaging: int, part: slice
) -> reports.Reports:
    speed, direction = _wind(station, part)
    return reports.Reports(
        feed=reports.OCEANSITES,
        time=_times(station, part),
        averaging=averaging,
        platform=_platform(station),
        kind=reports.MOORED,
        latitude=station.position(part, "LATITUDE", "latitude", "lat"),
        longitude=station.position(part, "LONGITUDE", "longitude", "lon"),
        wind_speed=speed,
        wind_from_direction=direction,
        air_temperature=_measured(station, part, AIR, nc.TEMPERATURE),
        relative_humidity=_measured(station, part, RELATIVE, nc.FRACTION),
        sea_surface_temperature=_water_temperature(station, part, water),
        air_pressure=_measured(station, part, PRESSURE, nc.PRESSURE),
    )


def _nothing(station: Station) -> str:
    """In words, what a file without any of our quantities has instead."""
    found = station.first(*WATER)
    if found is not None:
        return f"its {found.name} is not within {SURFACE:g} m of the surface, and it has no air."
    names = ", ".join(list(station.fields)[:20])
    return f"it has no quantity of the air or of the sea's surface; its variables are {names}."


def _platform(station: Station) -> bytes:
    """The site's code, which all its deployments share."""
    name = station.text("site_code", "platform_code", "id") or station.path.name.split(".")[0]
    return name.encode("ascii", "replace")[:16]


# --- Quantities -----------------------------------------------------------------------------------


def _measured(station: Station, part: slice, names: tuple[str, ...], units: nc.Units) -> Measured:
    field = station.first(*names)
    if field is None:
        return reports.NONE
    values = station.in_si(field, station.values(field, part), units)
    height = _height(station, field)
    return Measured(values, _quality(station, part, field), height)


def _wind(station: Station, part: slice) -> tuple[Measured, Numbers | float]:
    """Speed, and the direction that it blows from."""
    east, north = station.first(*EAST), station.first(*NORTH)
    blown_from: Numbers | float = _direction(station, part)
    speed = _measured(station, part, SPEED, nc.SPEED)
    if east is None or north is None:
        return speed, blown_from
    u = station.in_si(east, station.values(east, part), nc.SPEED)
    v = station.in_si(north, station.values(north, part), nc.SPEED)
    verdict = np.maximum(_quality(station, part, east), _quality(station, part, north))
    toward = np.degrees(np.arctan2(u, v))
    blown_from = np.where(verdict == reports.REJECTED, np.nan, np.mod(toward + 180.0, 360.0))
    if speed is reports.NONE:
        speed = Measured(np.hypot(u, v), verdict, _height(station, east))
    return speed, blown_from


def _direction(station: Station, part: slice) -> Numbers | float:
    """WDIR as where the wind blows from; none where the file does not say which it is."""
    field = station.first(*DIRECTION)
    if field is None:
        return np.nan
    rejected = _quality(station, part, field) == reports.REJECTED
    values = station.values(field, part)
    valid = (values >= 0) & (values <= 360) & ~rejected
    return np.where(valid, np.mod(values + _turn(field), 360.0), np.nan)


def _turn(field: Field) -> float:
    """What makes a direction one that the wind blows from: 0, 180, or NaN where nobody says."""
    for name in ("standard_name", "long_name"):
        said = field.text(name).lower().replace("_", " ")
        if FROM.search(said):
            return 0.0
        if TOWARD.search(said):
            return 180.0
    return np.nan


def _quality(station: Station, part: slice, field: Field, level: int = 0) -> Array:
    """Verdicts by the flags of a variable."""
    verdict = np.full(part.stop - part.start, reports.NOT_CHECKED, np.uint8)
    flags = station.first(f"{field.name}_QC")
    if flags is not None:
        codes = station.flags(flags, part, level if flags.dims == field.dims else 0)
        for code, meaning in VERDICTS.items():
            verdict[codes == code] = meaning
    return verdict


def _height(station: Station, field: Field, level: int = 0, sign: int = -1) -> float:
    """Height above the sea, or with `sign` 1 depth [m], from attributes or coordinates."""
    for names in (HEIGHTS, DEPTHS):
        lengths = list(LENGTH.finditer(field.text(*names)))
        if len(lengths) > level:
            # Many a depth of a sensor in the air is given without its minus, and the reverse.
            return abs(_metres(lengths[level]))
    found = sign * float(station.levels(field)[level])
    lowest = 0.0 if sign > 0 else 1e-3  # a level of 0 m is no height of a sensor in the air
    return found if lowest <= found <= 50 else np.nan


def _metres(length: re.Match[str]) -> float:
    return float(length["number"]) * METRES.get(length["unit"].lower(), 1.0)


def _water(station: Station) -> tuple[Field, int, float] | None:
    """Sea surface temperature: its variable, the level that is nearest the surface, its depth."""
    field = station.first(*WATER)
    if field is None:
        return None
    count = station.levels(field).size
    depths = np.array([_height(station, field, level, sign=1) for level in range(count)])
    if np.isnan(depths).all():
        # Of unknown depth: with meteorology beside it and one level it is the buoy's own sensor.
        met = any(station.first(name) for name in AIR_NAMES) or field.name == "SST"
        return (field, 0, np.nan) if count == 1 and met else None
    level = int(np.nanargmin(depths))
    return (field, level, float(depths[level])) if depths[level] <= SURFACE else None


def _water_temperature(
    station: Station, part: slice, water: tuple[Field, int, float] | None
) -> Measured:
    if water is None:
        return reports.NONE
    field, level, depth = water
    values = station.in_si(field, station.values(field, part, level), nc.TEMPERATURE)
    return Measured(values, _quality(station, part, field, level), depth)


FEED = Feed(
    name="oceansites",
    patterns=("DATA/*/OS_*.nc", "*/OS_*.nc", "OS_*.nc"),
    read=read,
    archive="oceansites",
    home="https://dods.ndbc.noaa.gov/thredds/fileServer/oceansites",
    title="Surface moorings in OceanSITES format: WHOTS, Stratus, NTAS",
    provider="OceanSITES; Woods Hole Oceanographic Institution",
    licence="free for use with acknowledgement of OceanSITES and the site's investigators",
    cite="OceanSITES Data Format Reference Manual 1.4; doi:10.25607/OBP-421",
)
