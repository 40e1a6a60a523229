"""Reports of moored buoys in NDBC's standard meteorological text, a file a station and year."""

from __future__ import annotations

import gzip
import zlib
from collections import defaultdict
from datetime import date
from pathlib import Path

import numpy as np

from fluxrecipes.nature.fields import generator, hours_since_epoch
from fluxrecipes.nature.files.kinds import Series, whole
from fluxrecipes.nature.platforms import STATIONS, Measured, Sensors, measured, truth_at_sensors
from fluxrecipes.nature.world import World
from fluxrecipes.sources import stations

Text = dict[str, str]  # a day's lines of each station

HEADER = (
    "#YY  MM DD hh mm WDIR WSPD GST  WVHT   DPD   APD MWD   PRES  ATMP  WTMP  DEWP  VIS  TIDE\n"
    "#yr  mo dy hr mn degT m/s  m/s     m   sec   sec deg    hPa  degC  degC  degC  nmi    ft\n"
)
MINUTE = 50  # of the hour at which a report's ten-minute mean ends
_LOST_REPORT = 0.01
_SENSORS = Sensors(
    wind=0.15, wind_share=0.02, direction=5.0, pressure=20.0, air=0.1, water=0.06, dew=0.25
)


def path(root: Path, station: str, year: int) -> Path:
    """Where NDBC keeps a station's reports of a year."""
    return root / "ndbc/historical/stdmet" / f"{station}h{year}.txt.gz"


def day_reports(world: World, day: date) -> Text:
    """One UTC day of hourly reports of every station, a line each.

    A report that never came has no line; a sensor that failed has NDBC's missing value.
    """
    start = hours_since_epoch(np.datetime64(day))
    truth = truth_at_sensors(world, STATIONS, start + np.arange(24.0) + MINUTE / 60.0)
    stamp, number = str(day).replace("-", " "), int(start // 24)
    return {
        station.name: _text(
            {name: values[i] for name, values in truth.items()},
            stamp,
            generator(world.seed, f"buoy/{station.name}", number),
        )
        for i, station in enumerate(STATIONS)
    }


def _text(truth: Measured, stamp: str, random: np.random.Generator) -> str:
    values = measured(truth, _SENSORS, random)
    came = random.random(24) >= _LOST_REPORT
    return "".join(
        f"{stamp} {hour:02d} {MINUTE} {_line({n: float(v[hour]) for n, v in values.items()})}\n"
        for hour in np.flatnonzero(came)
    )


def _line(value: dict[str, float]) -> str:
    """The columns after the time; NDBC's 99, 999 and 9999 where there is no value."""
    direction = value["direction"] or 360.0  # 0 is NDBC's calm
    return (
        f"{_or(direction, 999):3.0f} {_or(value['wind'], 99):4.1f} "
        f"{_or(value['wind'] * 1.22, 99):4.1f} 99.00 99.00 99.00 999 "
        f"{_or(value['pressure'] / 100.0, 9999):6.1f} "
        f"{_or(value['air'] - 273.15, 999):5.1f} {_or(value['water'] - 273.15, 999):5.1f} "
        f"{_or(value['dew'] - 273.15, 999):5.1f} 99.0 99.00"
    )


def _or(value: float, missing: float) -> float:
    return missing if np.isnan(value) else value


def _files(root: Path, year: int) -> list[Path]:
    return [path(root, station.name, year) for station in STATIONS]


def _kept(root: Path, year: int) -> dict[date, Text]:
    texts: dict[str, dict[date, str]] = {}
    for station in STATIONS:
        texts[station.name] = defaultdict(str)
        for line in text_lines(path(root, station.name, year)):
            if not line.startswith("#"):
                texts[station.name][date.fromisoformat(line[:10].replace(" ", "-"))] += line
    common = set.intersection(*(set(days) for days in texts.values()))
    return {day: {name: days[day] for name, days in texts.items()} for day in common}


def text_lines(file: Path) -> list[str]:
    """Lines of a gzip text; none where it is absent or damaged."""
    try:
        return gzip.decompress(file.read_bytes()).decode("ascii").splitlines(keepends=True)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError):
        return []


def _write(root: Path, year: int, rows: dict[date, Text]) -> None:
    with whole(root / "ndbc" / stations.NAME) as part:
        part.write_text(_stations(), encoding="ascii")
    for station in STATIONS:
        text = HEADER + "".join(rows[day][station.name] for day in sorted(rows))
        with whole(path(root, station.name, year)) as part:
            part.write_bytes(gzip.compress(text.encode("ascii"), mtime=0))


def _stations() -> str:
    """Where the buoys are and how high their sensors: NDBC's files do not tell it."""
    lines = [
        f"{s.name},{s.latitude},{s.longitude},{s.anemometer},{s.thermometer},{s.depth},,"
        for s in STATIONS
    ]
    return "\n".join([",".join(stations.HEADER), *lines]) + "\n"


NDBC = Series("ndbc", _files, day_reports, _kept, _write)
