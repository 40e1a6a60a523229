"""Ships' reports in ICOADS' IMMA1: a line a report, a file a month.

The core of 108 characters and the attachments 1 (ICOADS), 7 (the ship's heights), 98 (identity)
and 99 (the report as it came: here a note that it is simulated). Blank is missing.
"""

from __future__ import annotations

import gzip
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fluxrecipes.nature.fields import Points, generator, hours_since_epoch
from fluxrecipes.nature.files.kinds import Series, whole
from fluxrecipes.nature.files.ndbc import text_lines
from fluxrecipes.nature.platforms import Measured, perfect
from fluxrecipes.nature.ships import SHIPS, Fleet, fleet
from fluxrecipes.nature.world import World

HOURS = (0, 6, 12, 18)  # UTC, at which ships report
_LOST = {"wind": 0.08, "pressure": 0.08, "air": 0.05, "dew": 0.3, "water": 0.15}
_CALM = 361.0  # the direction's code
_BASE36 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def path(root: Path, year: int, month: int) -> Path:
    """Where a month is: ``icoads/IMMA1_R3.0.0_YYYY-MM.gz``."""
    return root / "icoads" / f"IMMA1_R3.0.0_{year}-{month:02d}.gz"


def day_reports(world: World, day: date) -> str:
    """The reports of a UTC day, a line each, by hour and ship."""
    ships = fleet(world.seed)
    start = hours_since_epoch(np.datetime64(day))
    return "".join(
        line for hour in HOURS for line in _reports(world, ships, day, hour, start + hour)
    )


def _reports(world: World, ships: Fleet, day: date, hour: int, hours: float) -> list[str]:
    latitude, longitude, at_sea = ships.positions(hours)
    here = np.flatnonzero(at_sea)
    row = (4.0 * (latitude[here] + 90.0)).astype(np.intp)
    points = Points(row, longitude[here].astype(np.float32), np.full(here.size, hours))
    truth = perfect(world.state(points), ships.anemometer[here], ships.thermometer[here])
    number = int(hours)
    seen = _measured(truth, ships, here, generator(world.seed, "ships/report", number))
    stamp = f"{day.year:4d}{day.month:2d}{day.day:2d}{100 * hour:4d}"
    return [
        _line(stamp, number * SHIPS + ship, ships, ship, latitude[ship], longitude[ship], values)
        for ship, values in zip(here.tolist(), _rows(seen), strict=True)
    ]


def _rows(columns: Measured) -> list[dict[str, float]]:
    return [
        dict(zip(columns, row, strict=True))
        for row in zip(*(values.tolist() for values in columns.values()), strict=True)
    ]


def _measured(
    truth: Measured, ships: Fleet, here: NDArray[np.intp], random: np.random.Generator
) -> Measured:
    """What each ship's officer writes down, NaN where nothing: a ship keeps its bias."""
    noise = random.standard_normal((6, SHIPS))[:, here]
    chance = random.random((len(_LOST), SHIPS))[:, here]
    wind = truth["wind"] * ships.wind[here] + (0.8 + 0.09 * truth["wind"]) * noise[0]
    air = truth["air"] + ships.air[here] + 0.7 * noise[1]
    dew = truth["dew"] + ships.dew[here] + 0.9 * noise[2]
    seen = {
        "wind": np.maximum(wind, 0.0),
        "pressure": truth["pressure"] / 100.0 + 1.0 * noise[4],
        "air": air - 273.15,
        "dew": np.minimum(dew, air) - 273.15,
        "water": truth["water"] + ships.water[here] + 0.7 * noise[3] - 273.15,
    }
    for values, (name, share) in zip(chance, _LOST.items(), strict=True):
        seen[name] = np.where(values < share, np.nan, seen[name])
    tens = 10.0 * np.rint((truth["direction"] + 12.0 * noise[5]) / 10.0)  # reported so
    direction = np.where(seen["wind"] < 0.05, _CALM, np.mod(tens - 1.0, 360.0) + 1.0)
    seen["direction"] = np.where(np.isnan(seen["wind"]), np.nan, direction)
    return seen


# --- the line ----------------------------------------------------------------------------------


def _line(
    stamp: str,
    identity: int,
    ships: Fleet,
    ship: int,
    latitude: float,
    longitude: float,
    seen: dict[str, float],
) -> str:
    there = {name: value == value for name, value in seen.items()}
    text = (
        f"{stamp}{round(100 * latitude):5d}{round(100 * longitude):6d}"
        f" 1400     1{f'SIM{ship:04d}':<9}  "  # IM, ATTC, TI, LI, DS, VS, NID, II, ID, C1
        f"{_or('0', there['wind'])}{_number(seen['direction'], 3, 1)}"
        f"{_or('4', there['wind'])}{_number(seen['wind'], 3, 10)}"
        f"{'':6}{_number(seen['pressure'], 5, 10)}{'':4}"  # VI VV WW W1, SLP, A PPP
        f"{_or('0', there['air'] or there['dew'] or there['water'])}"
        f"{_number(seen['air'], 4, 10)}{'':5}"  # WBTI WBT
        f"{_or('0', there['dew'])}{_number(seen['dew'], 4, 10)}"
        f"{_or(' 1' if ships.intake[ship] else ' 0', there['water'])}"
        f"{_number(seen['water'], 4, 10)}"
    )
    tail = f"99 0SIMULATED {stamp.replace(' ', '0')} SIM{ship:04d}\n"
    return f"{text:<108}{_icoads(there)}{_heights(ships, ship)}{_identity(identity)}{tail}"


def _number(value: float, width: int, factor: int) -> str:
    return f"{round(factor * value):{width}d}" if value == value else " " * width


def _or(text: str, there: bool) -> str:
    return text if there else " " * len(text)


def _icoads(there: dict[str, bool]) -> str:
    """Attachment 1: deck 992 (telecommunicated), a ship, and flags: 1 sound, F or A missing."""
    air, water, wind, pressure, dew = (
        there[name] for name in ("air", "water", "wind", "pressure", "dew")
    )
    trim = "".join("1" if ok else "F" for ok in (water, air, wind, wind, pressure, dew))
    flags = [True, wind, False, False, False, pressure, air, False, dew, water, *[False] * 4]
    checked = "".join("1" if ok else "A" for ok in flags)
    return f" 165{'':6}992103 5 00{'':19}{trim}{checked}{'':5}"


def _heights(ships: Fleet, ship: int) -> str:
    """Attachment 7: heights of barometer, thermometer, and anemometer above the water, m."""
    bridge, mast = ships.thermometer[ship], ships.anemometer[ship]
    return f" 758{'':33}{bridge:3.0f}{bridge:3.0f}{mast:3.0f}{'':12}"


def _identity(number: int) -> str:
    """Attachment 98: a number of its own, release 3.0.0, blended, preferred."""
    digits = ""
    for _ in range(6):
        number, digit = divmod(number, 36)
        digits = _BASE36[digit] + digits
    return f"9815{digits}30021"


# --- the files ---------------------------------------------------------------------------------


def _files(root: Path, year: int) -> list[Path]:
    return [path(root, year, month) for month in range(1, 13)]


def _kept(root: Path, year: int) -> dict[date, str]:
    days: dict[date, list[str]] = {}
    for file in _files(root, year):
        for line in text_lines(file):
            day = date(int(line[:4]), int(line[4:6]), int(line[6:8]))
            days.setdefault(day, []).append(line)
    return {day: "".join(lines) for day, lines in days.items()}


def _write(root: Path, year: int, rows: dict[date, str]) -> None:
    for month, file in enumerate(_files(root, year), start=1):
        days = [day for day in sorted(rows) if day.month == month]
        if days:
            text = "".join(rows[day] for day in days)
            with whole(file) as part:
                part.write_bytes(gzip.compress(text.encode("ascii"), 6, mtime=0))


ICOADS = Series("icoads", _files, day_reports, _kept, _write)
