"""ICOADS Release 3.0 in IMMA1: a report a line, a core of 108 characters and attachments.

Fields lie at fixed places; blank is missing. Attachments follow the core, each with its number and
its length (counting those four characters; none, or 0: to the end of the line). Used are 1 (ICOADS:
platform, duplicates, quality flags), 5 (relative humidity) and 7 (heights of a ship's sensors).
Lines are read many at once, as matrices of bytes.

Facts: the IMMA documentation of ICOADS Release 3.0, and real files.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fluxengine.errors import DamagedFile, WrongFile
from fluxengine.tables import Feed, Rows
from fluxrecipes import vocabulary as cf
from fluxrecipes.sources import reports
from fluxrecipes.sources.gzipped import FETCH_AGAIN, text_blocks
from fluxrecipes.sources.reports import Array, Measured, Reports

Bytes = npt.NDArray[np.uint8]

BLOCK, LONGEST = 2 * 2**20, 2**16  # bytes of text read at once, and of a line
CORE = 108
RELEASE = re.compile(r"IMMA1_R3\.0\.(\d+)_")
VERSION = 1  # of IMMA, in each line
BLANK, NEWLINE, RETURN, MINUS, ZERO = (int(c) for c in b" \n\r-0")
ICOADS, IMMT, META_VOS = 1, 5, 7  # attachments by number
WIDTHS = {ICOADS: 65, IMMT: 94, META_VOS: 58}
ABSENT, UNREADABLE = -(10**6), -(10**6) - 1  # no field reaches so far below zero

# Trimming flags against the climatology: 1 within 2.8 standard deviations, 2 and 3 beyond, 4 and 5
# beyond 3.5, 6 and 7 beyond 4.5; A to C: no limits there; D: landlocked; E: unusable; F: none.
TRIMMING = dict.fromkeys(range(36), reports.NOT_CHECKED) | {
    1: reports.GOOD,
    2: reports.DOUBTFUL,
    3: reports.DOUBTFUL,
    4: reports.DOUBTFUL,
    5: reports.DOUBTFUL,
    6: reports.REJECTED,
    7: reports.REJECTED,
    11: reports.GOOD,  # correct by another provider's checks
    13: reports.DOUBTFUL,
    14: reports.REJECTED,
}
# Flags of NCDC: 1 correct, 2 and 3 correctable, 4 to 6 suspect, 7 to 9 erroneous, A missing.
NCDC = dict.fromkeys(range(36), reports.GOOD) | {
    4: reports.DOUBTFUL,
    5: reports.DOUBTFUL,
    6: reports.DOUBTFUL,
    7: reports.REJECTED,
    8: reports.REJECTED,
    9: reports.REJECTED,
}
ERRONEOUS = (7, 8, 9)
PLATFORMS = (
    dict.fromkeys((0, 1, 2, 3, 4, 5), reports.SHIP)
    | {6: reports.MOORED, 7: reports.DRIFTING, 8: reports.ICE, 9: reports.ICE}
    | dict.fromkeys((10, 11, 12, 17), reports.HYDROGRAPHIC)
    | dict.fromkeys((13, 14, 16, 31), reports.COASTAL)
    | {15: reports.FIXED, 30: reports.ICE}
    | dict.fromkeys((18, 19, 20, 21), reports.PROFILER)
)
WINDS = dict.fromkeys((1, 4, 7, 8), reports.MEASURED) | dict.fromkeys(
    (0, 2, 3, 5, 6), reports.ESTIMATED
)
UNIQUE = 2  # up to this duplicate status a report is the best of its kind
THROWN_OUT = 14  # a duplicate status: automatic rejection
CALM, VARIABLE = 361, 362  # wind directions


def read(path: Path) -> Iterator[Rows]:
    """Reports of an IMMA1 file, plain or gzip, as rows of the in-situ table.

    Reports that ICOADS takes for worse duplicates, for landlocked or for wrong stay, with their
    ``report_status``; those without a date, an hour or a position, and lines that do not follow the
    format, are left out.

    Raises
    ------
    MissingFile, DamagedFile
        No file; damaged gzip; not one line of it in the format.
    WrongFile
        Another form of IMMA, or none.
    """
    lines = sound = 0
    rejected: Counter[str] = Counter()
    for begin, text in text_blocks(path, BLOCK, LONGEST):
        block = _Lines(text)
        if not begin:
            _check_version(block, path)
        lines += block.count
        for start in range(0, block.count, reports.PART):
            part = block.part(slice(start, start + reports.PART))
            whole, counts = part.well_formed()
            rejected += counts
            sound += int(np.count_nonzero(whole))
            yield reports.rows(_reports(part.where(whole)), rejected)
            rejected = Counter()
    if not lines:
        raise DamagedFile("it is empty.", where=str(path), mend=FETCH_AGAIN)
    if not sound:
        what = f"from byte 0 on, none of its {lines:,} lines follows the format IMMA1."
        raise DamagedFile(what, where=str(path), mend=FETCH_AGAIN)


# --- Lines and fields -----------------------------------------------------------------------------


class _Lines:
    """Lines of a text, and the places of fields in them."""

    def __init__(self, text: bytes) -> None:
        # Blanks behind the end: a window over the last line's end then holds nothing but blanks.
        raw = np.frombuffer(text + b" " * max(CORE, *WIDTHS.values()), np.uint8)
        size = len(text)
        ends = np.flatnonzero(raw[:size] == NEWLINE)
        self.open_end = not text.endswith(b"\n")
        if self.open_end:
            ends = np.append(ends, size)
        starts = np.concatenate(([0], ends[:-1] + 1))
        ends = ends - ((ends > starts) & (raw[ends - 1] == RETURN))
        filled = ends > starts
        self.raw, self.starts, self.ends = raw, starts[filled], ends[filled]

    @property
    def count(self) -> int:
        return int(self.starts.size)

    def part(self, which: slice) -> _Lines:
        made = object.__new__(_Lines)
        made.raw, made.starts, made.ends = self.raw, self.starts[which], self.ends[which]
        made.open_end = self.open_end and (which.stop or self.count) >= self.count
        return made

    def where(self, kept: Array) -> _Lines:
        made = self.part(slice(None))
        made.starts, made.ends = self.starts[kept], self.ends[kept]
        return made

    def window(self, offsets: Array, width: int) -> Fields:
        """The bytes from an offset of each line, blank beyond its end or where that is negative."""
        at = self.starts + offsets
        view = np.lib.stride_tricks.sliding_window_view(self.raw, width)
        left = np.where(offsets < 0, 0, self.ends - at)
        found = view[np.where(left > 0, at, 0)]
        short = np.flatnonzero(left < width)
        found[short] = np.where(np.arange(width) < left[short, None], found[short], BLANK)
        return Fields(np.ascontiguousarray(found.T))

    @cached_property
    def core(self) -> Fields:
        return self.window(np.zeros(self.count, np.int64), CORE)

    @cached_property
    def attachments(self) -> tuple[dict[int, Array], Array]:
        """Where each used attachment lies, -1 if nowhere, and whether all follow the format."""
        found = {number: np.full(self.count, -1) for number in WIDTHS}
        sound = np.ones(self.count, bool)
        at, going = np.full(self.count, CORE), np.arange(self.count)
        length = self.ends - self.starts
        while (going := going[at[going] + 4 <= length[going]]).size:
            head = self.where(going).window(at[going], 4)
            number, size = head.number(0, 2), head.length(2)
            ended = number == ABSENT  # blanks to the end of the line
            reaches = at[going] + size <= length[going]
            if self.open_end:  # a file cut short, or only its last newline
                reaches |= going < self.count - 1
            else:
                reaches[:] = True
            right = ((number > 0) & (size >= 4) & reaches) | (size == 0)
            sound[going[~ended & ~right]] = False
            for wanted, places in found.items():
                here = going[(number == wanted) & (places[going] < 0)]
                places[here] = at[here]
            at[going] += size
            going = going[~ended & right & (size > 0)]
        return found, sound

    def attachment(self, number: int) -> Fields:
        """Bytes of an attachment, blank where a line has none."""
        return self.window(self.attachments[0][number], WIDTHS[number])

    def well_formed(self) -> tuple[Array, Counter[str]]:
        """Which lines follow the format, and why the others do not."""
        whole = np.ones(self.count, bool)
        counts: Counter[str] = Counter()
        for reason, fine in (
            ("shorter than the core of 108 characters", self.ends - self.starts >= CORE),
            ("not version 1 of IMMA", self.core.number(23, 25) == VERSION),
            ("attachments not as the format says", self.attachments[1]),
        ):
            lost = int(np.count_nonzero(whole & ~fine))
            if lost:
                counts[reason] = lost
            whole &= fine
        return whole, counts


@dataclass(frozen=True)
class Fields:
    """Bytes of many lines, shape (place, line)."""

    bytes: Bytes

    def number(self, first: int, last: int) -> npt.NDArray[np.int32]:
        """Integers of a field; `ABSENT` where it is blank, `UNREADABLE` where it is no number.

        Digits stand at the right, blanks before them, and a minus may come between.
        """
        size = self.bytes.shape[1]
        value = np.zeros(size, np.int32)
        begun, negative, wrong = (np.zeros(size, bool) for _ in range(3))
        for row in self.bytes[first:last]:
            digit = row - np.uint8(ZERO)  # wraps above 9 for what is below "0"
            is_digit, is_minus = digit <= 9, row == MINUS
            wrong |= ~(is_digit | is_minus | (row == BLANK))
            wrong |= (begun | negative) & ~is_digit
            value = np.where(is_digit, value * 10 + digit, value)
            begun |= is_digit
            negative |= is_minus
        value = np.where(negative, -value, value)
        value[~begun] = ABSENT
        value[wrong | (negative & ~begun)] = UNREADABLE
        return value

    def code(self, at: int) -> npt.NDArray[np.int32]:
        """A base-36 digit; `ABSENT` or `UNREADABLE`."""
        return np.asarray(_BASE36[self.bytes[at]])

    def length(self, at: int) -> npt.NDArray[np.int32]:
        """An attachment's length: two digits, or base 36 where those do not reach; 0 if none."""
        decimal = self.number(at, at + 2)
        tens, ones = self.code(at), self.code(at + 1)
        wide = np.where((tens >= 0) & (ones >= 0), tens * 36 + ones, UNREADABLE)
        found = np.where(decimal == UNREADABLE, wide, decimal)
        return np.where(found == ABSENT, 0, found)

    def text(self, first: int, last: int) -> Array:
        """Text of a field without blanks behind it, as fixed-width bytes."""
        rows = self.bytes[first:last].copy()
        trailing = np.ones(rows.shape[1], bool)
        for row in rows[::-1]:
            trailing &= row == BLANK
            row[trailing] = 0
        return np.ascontiguousarray(rows.T).view(f"S{last - first}")[:, 0]

    def measured(
        self, first: int, last: int, quality: Array, scale: float, offset: float = 0.0
    ) -> Measured:
        """Values of a field in our units, with their quality."""
        raw = self.number(first, last)
        values = np.where(raw > UNREADABLE + 1, raw * scale + offset, np.nan)
        return Measured(values, np.where(raw == UNREADABLE, np.uint8(reports.UNUSABLE), quality))

    def metres(self, first: int, last: int) -> Array:
        """Heights [m], NaN where there is none."""
        raw = self.number(first, last)
        return np.where(raw >= 0, raw.astype(np.float64), np.nan)


def _base36() -> npt.NDArray[np.int32]:
    table = np.full(256, UNREADABLE, np.int32)
    table[BLANK] = ABSENT
    for value, character in enumerate(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"):
        table[character] = value
    return table


_BASE36 = _base36()


def _check_version(block: _Lines, path: Path) -> None:
    """Refuse a file whose first lines are not IMMA1; single bad lines are left out later."""
    versions = block.part(slice(0, 1000)).core.number(23, 25)
    if not versions.size or np.mean(versions == VERSION) >= 0.5:
        return
    if np.mean(versions == 0) >= 0.5:
        raise WrongFile("it is IMMA version 0, of before Release 3.0, not IMMA1.", where=str(path))
    what = f"from byte 0 on, most of {versions.size} lines do not say that they are IMMA1."
    raise DamagedFile(what, where=str(path), mend=FETCH_AGAIN)


# --- Reports --------------------------------------------------------------------------------------


def _reports(lines: _Lines) -> Reports:
    core, icoads = lines.core, lines.attachment(ICOADS)
    ship = lines.attachment(META_VOS)
    flags = _Flags(icoads)
    air = core.measured(69, 73, flags.air, 0.1, cf.KELVIN)
    thermometer = ship.metres(37, 40)
    wind, direction = _wind(core, flags, ship.metres(43, 46))
    return Reports(
        feed=reports.ICOADS,
        time=_times(core),
        platform=core.text(34, 43),
        kind=_lookup(PLATFORMS, icoads.number(16, 18), reports.UNKNOWN),
        latitude=_degrees(core.number(12, 17)),
        longitude=_degrees(core.number(17, 23)),
        wind_speed=wind,
        wind_from_direction=direction,
        wind_method=_lookup(WINDS, core.number(49, 50), reports.UNSAID),
        air_temperature=_at(air, thermometer),
        dew_point=_at(core.measured(79, 83, flags.dew_point, 0.1, cf.KELVIN), thermometer),
        relative_humidity=_at(
            lines.attachment(IMMT).measured(81, 85, flags.relative, 0.001), thermometer
        ),
        wet_bulb=_at(core.measured(74, 78, flags.wet_bulb, 0.1, cf.KELVIN), thermometer),
        sea_surface_temperature=_at(
            core.measured(85, 89, flags.water, 0.1, cf.KELVIN), ship.metres(32, 34)
        ),
        air_pressure=core.measured(59, 64, flags.pressure, 10.0),
        status=_status(icoads),
    )


def _at(measured: Measured, height: Array) -> Measured:
    return Measured(measured.values, measured.quality, height)


def _times(core: Fields) -> Array:
    year, month, day = core.number(0, 4), core.number(4, 6), core.number(6, 8)
    hour = core.number(8, 12)  # hundredths
    second = np.where((hour >= 0) & (hour <= 2399), hour * 36, -1)
    return reports.moments(year, month, day, second)


def _degrees(hundredths: Array) -> Array:
    return np.where(hundredths > UNREADABLE + 1, hundredths / 100.0, np.nan)


def _wind(core: Fields, flags: _Flags, height: Array) -> tuple[Measured, Array]:
    """Speed, and where it blows from: NaN in a calm or where it varies."""
    speed = core.measured(50, 53, flags.wind, 0.1)
    direction = core.number(46, 49)
    known = (direction >= 1) & (direction <= 360)
    odd = ~known & ~np.isin(direction, (ABSENT, CALM, VARIABLE))
    odd |= (direction == CALM) & (np.asarray(speed.values) > 0)
    quality = np.maximum(speed.quality, np.where(odd, np.uint8(reports.DOUBTFUL), np.uint8(0)))
    return Measured(speed.values, quality, height), np.where(known, direction, np.nan)


class _Flags:
    """Quality of each quantity by the trimming flags and those of NCDC."""

    def __init__(self, icoads: Fields) -> None:
        def trim(at: int) -> Array:
            return _lookup(TRIMMING, icoads.code(at), reports.NOT_CHECKED)

        def ncdc(at: int) -> Array:
            return _lookup(NCDC, icoads.code(at), reports.GOOD)

        humidity = trim(45)
        self.water = np.maximum(trim(40), ncdc(55))
        self.air = np.maximum(trim(41), ncdc(52))
        self.wind = np.maximum(np.maximum(trim(42), trim(43)), ncdc(47))
        self.pressure = np.maximum(trim(44), ncdc(51))
        self.wet_bulb = np.maximum(humidity, ncdc(53))
        self.dew_point = np.maximum(humidity, ncdc(54))
        self.relative = humidity


def _status(icoads: Fields) -> Array:
    """What ICOADS says of the whole report."""
    duplicate, landlocked, position = icoads.number(18, 20), icoads.code(62), icoads.code(46)
    dismissed = (duplicate == THROWN_OUT) | (landlocked == 1) | np.isin(position, ERRONEOUS)
    status = np.where(duplicate > UNIQUE, reports.DUPLICATE, reports.ACCEPTED)
    return np.where(dismissed, reports.DISMISSED, status).astype(np.uint8)


def _lookup(table: dict[int, int], codes: Array, other: int) -> Array:
    known = np.full(101, other, np.uint8)
    known[list(table)] = list(table.values())
    return known[np.where((codes >= 0) & (codes < 100), codes, 100)]


def _rank(path: str) -> int:
    """The latest release first; a file that does not say its own comes last."""
    found = RELEASE.search(path)
    return -int(found[1]) if found else 1


FEED = Feed(
    name="icoads",
    patterns=("IMMA1_R3.0.*", "*/IMMA1_R3.0.*", "*.imma", "*.imma.gz"),
    read=read,
    rank=_rank,
    archive="icoads",
    home="https://www.ncei.noaa.gov/data/international-comprehensive-ocean-atmosphere/v3/archive",
    title="International Comprehensive Ocean-Atmosphere Data Set, Release 3.0, IMMA1",
    provider="NOAA, NCAR and the ICOADS partners",
    licence="free for use with citation; see the provider's terms",
    cite="Freeman et al. (2017), ICOADS Release 3.0: a major update to the historical marine"
    " climate record, Int. J. Climatol. 37; doi:10.1002/joc.4775",
)
