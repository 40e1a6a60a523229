"""Reports of stations and ships in one form, whichever provider they come from.

A reader hands over what a file says as `Reports`: values in SI units with the provider's verdict on
each. `rows` makes the columns of the in-situ table of it: it keeps what is physically possible,
computes one form of humidity, and says what was left out and why.

Wind is as measured, at the height of the anemometer, and its direction is where it blows from.
Heights are NaN where the provider does not tell them; none is guessed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from fluxengine.declare import Packing, Variable, flag_variable
from fluxengine.tables import Rows
from fluxrecipes import vocabulary as cf
from fluxrecipes.sphere import EARTH_RADIUS, unit_vectors

Array = npt.NDArray[Any]
PART = 100_000  # rows that a reader hands over at once

# --- Codes ----------------------------------------------------------------------------------------

# The order matters: where several verdicts meet, the highest counts.
GOOD, PROBABLY_GOOD, NOT_CHECKED, DOUBTFUL, REJECTED, UNUSABLE, MISSING = range(2, 9)
QUALITY = {
    GOOD: "good",
    PROBABLY_GOOD: "probably_good",
    NOT_CHECKED: "not_checked",
    DOUBTFUL: "doubtful",
    REJECTED: "left_out_rejected_by_provider",
    UNUSABLE: "left_out_unreadable_or_impossible",
    MISSING: "not_reported",
}
NDBC, GTMBA, OCEANSITES, WHOTS, ICOADS = range(2, 7)
FEEDS = {NDBC: "ndbc", GTMBA: "gtmba", OCEANSITES: "oceansites", WHOTS: "whots", ICOADS: "icoads"}
UNKNOWN, SHIP, MOORED, DRIFTING, ICE, COASTAL, FIXED, PROFILER, HYDROGRAPHIC = range(2, 11)
KINDS = {
    UNKNOWN: "unknown",
    SHIP: "ship",
    MOORED: "moored_buoy",
    DRIFTING: "drifting_buoy",
    ICE: "ice_station_or_buoy",
    COASTAL: "coastal_or_island_station",
    FIXED: "fixed_ocean_platform",
    PROFILER: "float_or_glider",
    HYDROGRAPHIC: "hydrographic_station",
}
ACCEPTED, DUPLICATE, DISMISSED = range(2, 5)
STATUSES = {
    ACCEPTED: "accepted",
    DUPLICATE: "worse_duplicate_of_another_report",
    DISMISSED: "rejected_by_provider",
}
MEASURED, ESTIMATED, UNSAID = range(2, 5)
METHODS = {MEASURED: "measured", ESTIMATED: "estimated", UNSAID: "not_said"}
SHORT, LONG = range(2, 4)
AVERAGES = {SHORT: "an_hour_or_less", LONG: "longer_than_an_hour_such_as_a_day"}
WIDE = np.timedelta64(2, "h")  # means of more than an hour are further apart
NO_HUMIDITY, DEW_POINT, RELATIVE, WET_BULB = range(2, 6)
FORMS = {DEW_POINT: "dew_point", RELATIVE: "relative_humidity", WET_BULB: "wet_bulb"}
ASSUMED = 3  # added to the form where the pressure was not reported
HUMIDITY_FORMS = {
    NO_HUMIDITY: "none",
    DEW_POINT: "dew_point",
    RELATIVE: "relative_humidity",
    WET_BULB: "wet_bulb_temperature",
    DEW_POINT + ASSUMED: "dew_point_at_standard_pressure",
    RELATIVE + ASSUMED: "relative_humidity_at_standard_pressure",
    WET_BULB + ASSUMED: "wet_bulb_temperature_at_standard_pressure",
}
STANDARD_PRESSURE = 101_325.0  # Pa
HIGHEST, DEEPEST = 100.0, 100.0  # m, of sensors in the air and of sea surface temperature
NOBODY = (b"", b"SHIP", b"PLAT", b"BUOY", b"RIGG", b"MASKSTID")  # names that stand for none
# How far apart two reports of one time can be the same: a mooring may be told by where it is or
# by where it should be; one from nobody is the same at the same spot alone.
SAME_PLATFORM, SAME_SPOT = 50.0, 0.05  # km

# --- Columns --------------------------------------------------------------------------------------


def _as_reported(variable: Variable, long_name: str, limits: tuple[float, float]) -> Variable:
    return replace(
        variable,
        long_name=long_name,
        valid_range=limits,
        packing=Packing("f4"),
        height=None,
        attrs=dict(variable.attrs),
    )


def _height(of: str, long_name: str, standard_name: str, positive: str) -> Variable:
    attrs = {"positive": positive, "comment": "missing where the provider does not tell it"}
    return Variable(of, "m", long_name, standard_name, packing=Packing("f4"), attrs=attrs)


def _quality(of: str) -> Variable:
    name = of.replace("_", " ")
    return flag_variable(
        f"{of}_quality",
        f"quality of {name}, or why there is none",
        QUALITY,
        standard_name="quality_flag",
    )


PLATFORM = Variable(
    "platform", "1", "call sign or number of the platform", "platform_id", packing=Packing("S16")
)
LATITUDE = Variable("latitude", "degrees_north", "latitude", "latitude", (-90, 90), Packing("f4"))
LONGITUDE = Variable(
    "longitude", "degrees_east", "longitude, 0 to 360", "longitude", (0, 360), Packing("f4")
)
VALUES = (
    _as_reported(cf.wind_speed, "wind speed at the height of the anemometer", (0, 75)),
    _as_reported(
        cf.wind_from_direction,
        "direction that the wind blows from, clockwise from north; missing in a calm",
        (0, 360),
    ),
    _as_reported(cf.air_temperature, "air temperature at the height of the sensor", (210, 330)),
    _as_reported(cf.specific_humidity, "specific humidity at the height of the sensor", (0, 0.04)),
    _as_reported(cf.sea_surface_temperature, "sea surface temperature as measured", (268, 313)),
    Variable(
        "air_pressure",
        "Pa",
        "air pressure at sea level or at the platform, which is near it",
        "air_pressure_at_mean_sea_level",
        (85_000, 110_000),
        Packing("f4"),
    ),
    Variable(
        "relative_humidity",
        "1",
        "relative humidity, only where no air temperature came with it",
        "relative_humidity",
        (0.05, 1.02),
        Packing("f4"),
    ),
)
LIMITS = {v.name: v.valid_range for v in VALUES if v.valid_range} | {
    "dew_point": (210.0, 313.0),
    "wet_bulb": (210.0, 313.0),
}
JUDGED = ("wind", "air_temperature", "humidity", "sea_surface_temperature", "air_pressure")
COLUMNS = (
    PLATFORM,
    flag_variable("platform_kind", "kind of platform", KINDS),
    flag_variable("feed", "whose file the report was in", FEEDS),
    flag_variable("report_status", "what the provider says of the whole report", STATUSES),
    flag_variable("averaging", "time that the values are means of", AVERAGES),
    LATITUDE,
    LONGITUDE,
    _height("height_wind", "height of the anemometer above the sea", "height", "up"),
    _height("height_air_temperature", "height of the thermometer above the sea", "height", "up"),
    _height("height_humidity", "height of the hygrometer above the sea", "height", "up"),
    _height("depth_sea_surface_temperature", "depth of the water sensor", "depth", "down"),
    *VALUES,
    flag_variable("wind_method", "whether wind was measured or estimated", METHODS),
    flag_variable("humidity_form", "what specific humidity was computed from", HUMIDITY_FORMS),
    *(_quality(name) for name in JUDGED),
)

ABSENT = {f"{name}_quality": MISSING for name in JUDGED} | {
    "humidity_form": NO_HUMIDITY,
    "wind_method": UNSAID,
    "platform_kind": UNKNOWN,
}

# --- What readers hand over -----------------------------------------------------------------------


@dataclass(frozen=True)
class Measured:
    """Values of one quantity in SI units, what their provider says of them, and where.

    Parameters
    ----------
    values : array or float
        NaN where there is none.
    quality : array or int
        `GOOD`, `PROBABLY_GOOD`, `NOT_CHECKED`, `DOUBTFUL`, `REJECTED`, or `UNUSABLE` for what
        stands in the file but cannot be read.
    height : array or float
        Above the sea [m]; of water, its depth. NaN where unknown; what cannot be is unknown, too.
    """

    values: Array | float = np.nan
    quality: Array | int = NOT_CHECKED
    height: Array | float = np.nan


NONE = Measured()


@dataclass(frozen=True)
class Reports:
    """Some reports of one file, as arrays along the reports or as one value for all.

    Times are datetime64[s], NaT where there is none; positions in degrees, longitudes in any
    convention; pressures in Pa, temperatures in K, relative humidity a fraction, wind in m s-1.
    """

    feed: int
    time: Array
    platform: Array | bytes
    kind: Array | int
    latitude: Array | float
    longitude: Array | float
    wind_speed: Measured = NONE
    wind_from_direction: Array | float = np.nan
    wind_method: Array | int = MEASURED
    air_temperature: Measured = NONE
    dew_point: Measured = NONE
    relative_humidity: Measured = NONE
    wet_bulb: Measured = NONE
    sea_surface_temperature: Measured = NONE
    air_pressure: Measured = NONE
    status: Array | int = ACCEPTED
    averaging: Array | int = SHORT


def moments(year: Array, month: Array, day: Array, second: Array) -> Array:
    """Times as datetime64[s] from integers, `second` of the day; NaT where there is no such time.

    NaT too outside the years 1650 to 2100.
    """
    valid = (year >= 1650) & (year < 2100) & (month >= 1) & (month <= 12)
    valid &= (day >= 1) & (day <= 31) & (second >= 0) & (second < 86_400)
    months = np.where(valid, (year - 1970) * 12 + month - 1, 0).astype("M8[M]")
    days = months.astype("M8[D]") + np.where(valid, day - 1, 0).astype("m8[D]")
    valid &= days.astype("M8[M]") == months  # no 31 February
    times = days.astype("M8[s]") + np.where(valid, second, 0).astype("m8[s]")
    return np.where(valid, times, np.datetime64("NaT", "s"))


class Averaging:
    """How long the values of a file's platforms are means of, by the time between their reports.

    A part of a file need not show it, nor one report of a platform: all reports are to be added
    before any is asked for. A platform with a single one is like the others of its file.

    Parameters
    ----------
    unspaced : int
        `SHORT` or `LONG`, where no platform has two reports.
    """

    def __init__(self, unspaced: int) -> None:
        self.unspaced = unspaced
        self.spacings: Counter[bytes] = Counter()
        self.wide: Counter[bytes] = Counter()

    def add(self, times: Array, platform: Array | bytes) -> None:
        """Some reports, in any order; NaT where there is no time."""
        known = ~np.isnat(times)
        named = np.broadcast_to(np.asarray(platform), times.shape)[known]
        names, number = np.unique(named, return_inverse=True)
        order = np.lexsort((times[known], number))
        apart, number = np.diff(times[known][order]), number[order]
        follows = (np.diff(number) == 0) & (apart > np.timedelta64(0))
        for counts, which in ((self.spacings, follows), (self.wide, follows & (apart > WIDE))):
            found = np.bincount(number[1:][which], minlength=names.size)
            counts.update(dict(zip(names.tolist(), found.tolist(), strict=True)))

    def of(self, platform: Array | bytes) -> Array:
        """`SHORT` or `LONG` of each report."""
        names, number = np.unique(np.asarray(platform), return_inverse=True)
        others = _mostly(self.wide.total(), self.spacings.total(), self.unspaced)
        made = [_mostly(self.wide[n], self.spacings[n], others) for n in names.tolist()]
        return np.array(made, np.uint8)[number].reshape(np.shape(platform))


def _mostly(wide: int, spacings: int, unspaced: int) -> int:
    if not spacings:
        return unspaced
    return LONG if 2 * wide >= spacings else SHORT


def rows(reports: Reports, rejected: Counter[str] | None = None) -> Rows:
    """Rows of the in-situ table.

    Parameters
    ----------
    reports : Reports
    rejected : Counter, optional
        What the reader left out already.

    Returns
    -------
    Rows
        Without reports that have no valid time, no valid position, or no usable value.
    """
    made, used = _judged(reports)
    kept, counts = _kept(reports, used)
    made |= {
        "time": reports.time,
        "platform": np.asarray(reports.platform),
        "platform_kind": reports.kind,
        "feed": reports.feed,
        "report_status": reports.status,
        "averaging": reports.averaging,
        "latitude": reports.latitude,
        "longitude": np.mod(reports.longitude, 360.0),
        "wind_method": reports.wind_method,
    }
    columns = {"time": reports.time[kept].astype("M8[s]")}
    for variable in COLUMNS:
        whole = np.broadcast_to(np.asarray(made[variable.name]), reports.time.shape)
        columns[variable.name] = whole[kept].astype(variable.packing.dtype)
    longitude = columns["longitude"]
    longitude[longitude == 360.0] = 0.0  # where single precision rounds up to it
    return Rows(columns, dict((rejected or Counter()) + counts))


def none_of(count: int, reason: str, rejected: Counter[str]) -> Rows:
    """No rows, because all `count` reports of a file are left out for one reason."""
    columns = {"time": np.empty(0, "M8[s]")}
    columns |= {variable.name: np.empty(0, variable.packing.dtype) for variable in COLUMNS}
    return Rows(columns, dict(rejected + Counter({reason: count})))


def _kept(reports: Reports, used: Array) -> tuple[Array, Counter[str]]:
    """Which reports become rows, and why the others do not."""
    latitude = np.broadcast_to(np.asarray(reports.latitude, np.float64), used.shape)
    longitude = np.broadcast_to(np.asarray(reports.longitude, np.float64), used.shape)
    placed = (np.abs(latitude) <= 90) & (longitude >= -180) & (longitude <= 360)
    kept = np.ones(used.shape, bool)
    counts: Counter[str] = Counter()
    for reason, fine in (
        ("no valid time", ~np.isnat(reports.time)),
        ("no valid position", placed),
        ("no usable value", used),
    ):
        lost = int(np.count_nonzero(kept & ~fine))
        if lost:
            counts[reason] = lost
        kept &= fine
    return kept, counts


def place(columns: Mapping[str, Array]) -> Array:
    """Where reports were made, in units of which those of one platform lie within 1.

    A name that many platforms bear tells nothing: such reports are the same within 50 m alone.

    Parameters
    ----------
    columns : mapping of str to array
        Of the in-situ table.

    Returns
    -------
    array, shape (rows, 3)
        On the sphere, from its centre.
    """
    unit = np.where(np.isin(columns["platform"], NOBODY), SAME_SPOT, SAME_PLATFORM)
    vectors = unit_vectors(columns["latitude"], columns["longitude"])
    return np.asarray((EARTH_RADIUS / unit)[:, None] * vectors)


def completed(columns: Mapping[str, Array]) -> dict[str, Array]:
    """Specific humidity of rows put together, where temperature and humidity were in two files.

    Parameters
    ----------
    columns : mapping of str to array
        Of the in-situ table.

    Returns
    -------
    dict of str to array
        specific_humidity, relative_humidity and humidity_form.
    """
    names = ("specific_humidity", "relative_humidity", "air_temperature", "air_pressure")
    humidity, alone, air, pressure = (columns[name].astype(np.float64) for name in names)
    assumed = np.isnan(pressure)
    pressure = np.where(assumed, STANDARD_PRESSURE, pressure)
    relative = np.where(np.isnan(humidity), alone, np.nan)
    made = _specific(RELATIVE, relative, air, pressure)
    found = ~np.isnan(made)
    form = np.where(assumed, RELATIVE + ASSUMED, RELATIVE)
    return {
        "specific_humidity": np.where(found, made, humidity),
        "relative_humidity": np.where(np.isnan(humidity) & ~found, alone, np.nan),
        "humidity_form": np.where(found, form, columns["humidity_form"]),
    }


# --- What is usable -------------------------------------------------------------------------------


def _judged(reports: Reports) -> tuple[dict[str, Any], Array]:
    """Columns of values with their quality, heights and forms, and which reports have any."""
    size = reports.time.size
    found = {
        name: _usable(getattr(reports, name), LIMITS[name], size)
        for name in ("wind_speed", "air_temperature", "sea_surface_temperature", "air_pressure")
    }
    values = {name: value for name, (value, _) in found.items()}
    quality = {name: verdict for name, (_, verdict) in found.items()}
    humid = _humidity(reports, values["air_temperature"], values["air_pressure"])
    values["wind_from_direction"] = _direction(reports, values["wind_speed"])
    made: dict[str, Any] = values | humid
    made |= {f"{name}_quality": quality[name] for name in JUDGED if name in quality}
    made["wind_quality"] = quality["wind_speed"]
    made["height_wind"] = _possible(reports.wind_speed.height, is_height)
    made["height_air_temperature"] = _possible(reports.air_temperature.height, is_height)
    made["height_humidity"] = _possible(humid["height_humidity"], is_height)
    depth = reports.sea_surface_temperature.height
    made["depth_sea_surface_temperature"] = _possible(depth, is_depth)
    used = np.zeros(size, bool)
    for variable in VALUES:
        used |= ~np.isnan(made[variable.name])
    return made, used


def is_height(metres: Array | float) -> Array:
    """Whether a sensor in the air can be so high above the sea; NaN is no height."""
    given = np.asarray(metres)
    return np.asarray((given > 0) & (given <= HIGHEST))


def is_depth(metres: Array | float) -> Array:
    """Whether a sensor of sea surface temperature can be so deep: at 0 m, too."""
    given = np.asarray(metres)
    return np.asarray((given >= 0) & (given <= DEEPEST))


def _possible(metres: Array | float, can_be: Callable[[Array | float], Array]) -> Array:
    return np.where(can_be(metres), metres, np.nan)


def _usable(given: Measured, limits: tuple[float, float], size: int) -> tuple[Array, Array]:
    """Values within their limits that the provider did not reject, and the quality of each."""
    values = np.array(np.broadcast_to(np.asarray(given.values, np.float64), size))
    quality = np.array(np.broadcast_to(np.asarray(given.quality, np.uint8), size))
    outside = (values < limits[0]) | (values > limits[1])
    absent = np.isnan(values) & (quality != UNUSABLE)
    quality[outside] = UNUSABLE
    quality[absent] = MISSING
    values[quality >= REJECTED] = np.nan
    return values, quality


def _direction(reports: Reports, speed: Array) -> Array:
    direction = np.broadcast_to(np.asarray(reports.wind_from_direction, np.float64), speed.shape)
    valid = (direction >= 0) & (direction <= 360) & (speed > 0)
    return np.where(valid, np.mod(direction, 360.0), np.nan)


def _humidity(reports: Reports, air: Array, pressure: Array) -> dict[str, Any]:
    """Specific humidity from the first usable of its forms, and which that was."""
    size = air.size
    humidity, alone, height = (np.full(size, np.nan) for _ in range(3))
    form, quality = np.full(size, NO_HUMIDITY, np.uint8), np.full(size, MISSING, np.uint8)
    assumed = np.isnan(pressure)
    pressure = np.where(assumed, STANDARD_PRESSURE, pressure)
    for code, name in FORMS.items():
        given: Measured = getattr(reports, name)
        if given is NONE:
            continue
        values, verdict = _usable(given, LIMITS[name], size)
        made = _specific(code, values, air, pressure)
        lone = ~np.isnan(values) & np.isnan(air) & (code != DEW_POINT)
        verdict[~np.isnan(values) & np.isnan(made) & ~lone] = UNUSABLE
        if code == RELATIVE:
            alone = np.where(lone & np.isnan(humidity), values, np.nan)
        else:
            verdict[lone] = MISSING  # a wet bulb says nothing without the dry one
        taken = np.isnan(humidity) & np.isnan(alone) & (verdict != MISSING)
        taken |= (code == RELATIVE) & ~np.isnan(alone)
        humidity[taken], quality[taken] = made[taken], verdict[taken]
        height[taken] = np.broadcast_to(np.asarray(given.height, np.float64), size)[taken]
        form[taken & ~np.isnan(made)] = code
    form[assumed & (form != NO_HUMIDITY)] += ASSUMED
    return {
        "specific_humidity": humidity,
        "relative_humidity": alone,
        "humidity_form": form,
        "humidity_quality": quality,
        "height_humidity": height,
    }


def _specific(form: int, values: Array, air: Array, pressure: Array) -> Array:
    """Specific humidity from one of its forms, NaN where that cannot be or is not known.

    Dew points, wet bulbs and relative humidities are over water, as the World Meteorological
    Organization has them reported, also below freezing.
    """
    from fluxkernels.thermodynamics import saturation_specific_humidity, specific_humidity

    made = np.full(values.shape, np.nan)
    at = ~np.isnan(values)
    if form == DEW_POINT:
        at &= ~(values > air + 1.0)  # whole degrees, rounded apart, may differ by one
    else:
        at &= ~np.isnan(air)
    if form == WET_BULB:
        at &= ~(values > air + 0.5)
    if not at.any():
        return made
    values, air, pressure = values[at], air[at], pressure[at]
    if form == DEW_POINT:
        found = saturation_specific_humidity(values, pressure, over="water")
    elif form == RELATIVE:
        found = specific_humidity(np.minimum(values, 1.0), air, pressure, over="water")
    else:
        found = humidity_of_wet_bulb(values, air, pressure)
    low, high = LIMITS["specific_humidity"]
    made[at] = np.where((found > low) & (found <= high), found, np.nan)
    return made


def humidity_of_wet_bulb(wet: Array, air: Array, pressure: Array) -> Array:
    """Specific humidity [kg kg-1] of air with a wet bulb: K, K and Pa.

    The isobaric wet bulb, cp (T - Tw) = Lv(Tw) (qs(Tw) - q) with the heat capacity of moist air,
    solved for q: the inverse of `fluxkernels.wet_bulb_temperature`.
    """
    from fluxkernels.thermodynamics import (
        latent_heat_of_vaporisation,
        saturation_specific_humidity,
    )

    heat = np.asarray(latent_heat_of_vaporisation(wet))
    saturated = np.asarray(saturation_specific_humidity(wet, pressure, over="water"))
    fall = air - wet
    dry, vapour = 1004.67, 1860.0  # heat capacities, J kg-1 K-1
    return np.asarray((heat * saturated - dry * fall) / (heat + (vapour - dry) * fall))
