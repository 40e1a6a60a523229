"""Write the simulated world's archive: files as the providers lay them out.

The same world gives the same bytes: nothing in a file depends on when or where it was written.
Files are written under another name first, so that one with its right name is always whole.
"""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import as_completed
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from fluxengine.errors import FluxforgeError
from fluxengine.files import NOTICE
from fluxrecipes.nature import instruments, oisst_file, platforms
from fluxrecipes.nature.orbits import F17, Pass
from fluxrecipes.nature.weather import Physics
from fluxrecipes.nature.world import World
from fluxrecipes.processes import pool

VERSION = 2  # of the world: raise it when the same seed no longer gives the same bytes
Progress = Callable[[int, int], None]
Periods = list[tuple[date, date]]
Reports = dict[date, dict[str, str]]  # a day's lines of each station
Task = tuple[date, frozenset[str]]  # a day and what is to be made of it

_RECORD = "world.json"
_BUOYS = "buoys"
_STATIONS = tuple(station.name for station in platforms.STATIONS)
_DAYS_A_TASK = 3  # neighbouring days share the knots of the fields
# The provider's first map of a DMSP day holds the morning passes, which descend (F08 apart).
_PASSES: tuple[Pass, ...] = ("descending", "ascending")
_README = """SIMULATED DATA. These files are not the provider's.

fluxforge made them from an imagined world (seed {seed}, version {version}), in the formats of
Remote Sensing Systems (rss/), NOAA OISST v2.1 (oisst/) and NDBC (ndbc/), so that the recipes
can be tested against a known truth. Nothing in them was ever observed; the names of satellites
and stations only say whose orbit, layout and position were imitated. Do not pass them on as
data of those providers. world.json says what is here.
"""
_PROVIDERS = ("rss", "oisst", "ndbc")
_NOTICE = "SIMULATED DATA of an imagined world (seed {seed}): no observation went into it.\n"


class ForeignFolder(FluxforgeError, ValueError):
    """The folder holds files that are no simulated archive."""

    code = "FF601"


class OtherWorld(FluxforgeError, ValueError):
    """The folder holds the archive of another simulated world."""

    code = "FF602"


class BadPeriod(FluxforgeError, ValueError):
    """The period to simulate is empty or the wrong way round."""

    code = "FF603"


def simulate(
    root: Path,
    first: date,
    last: date,
    *,
    seed: int,
    physics: Physics | None = None,
    processes: int | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write the archive of a period, both days included; files already there are kept.

    Parameters
    ----------
    root : Path
        Folder of the archive: new, empty, or an archive of the same world.
    first, last : date
    seed : int
        Of the world, not negative.
    physics : Physics, optional
        Departures from the standard physics.
    processes : int, optional
        Worker processes; by default one for each processor this process may use. 1 works in
        this process.
    progress : callable, optional
        Called with the files done and the files to do, first with 0.

    Returns
    -------
    Path
        `root`.

    Raises
    ------
    BadPeriod
        FF603: `last` is before `first`.
    ForeignFolder
        FF601: the folder is not empty and no simulated archive.
    OtherWorld
        FF602: it is the archive of another seed, version or physics.
    """
    if last < first:
        raise BadPeriod(
            "the last day is before the first", where=f"{first}..{last}", mend="Swap them."
        )
    world = World(seed, physics or Physics())
    periods = merge_periods([*_claim(root, world), (first, last)])
    years = range(first.year, last.year + 1)
    reports = {year: _kept_reports(root, year) for year in years}
    tasks = _plan(root, periods, (first, last), reports)
    total = sum(len(kinds - {_BUOYS}) for _, kinds in tasks) + len(years) * len(_STATIONS)
    report = progress or (lambda done, of: None)
    report(0, total)
    done = 0
    for count, texts in _run(world, root, tasks, processes):
        for day, text in texts.items():
            reports[day.year][day] = text
        done += count
        report(done, total)
    for year in years:
        _write_reports(root, year, reports[year])
        done += len(_STATIONS)
        report(done, total)
    _write_record(root, world, periods)
    return root


def rss_path(root: Path, day: date) -> Path:
    """Where RSS keeps F17's map of a day."""
    folder = root / "rss/ssmi/f17/bmaps_v07" / f"y{day:%Y}" / f"m{day:%m}"
    return folder / f"f17_{day:%Y%m%d}v7.gz"


def oisst_path(root: Path, day: date) -> Path:
    """Where NOAA keeps OISST's file of a day."""
    folder = root / "oisst/v2.1/access/avhrr" / f"{day:%Y%m}"
    return folder / f"oisst-avhrr-v02r01.{day:%Y%m%d}.nc"


def ndbc_path(root: Path, station: str, year: int) -> Path:
    """Where NDBC keeps a station's reports of a year."""
    return root / "ndbc/historical/stdmet" / f"{station}h{year}.txt.gz"


def merge_periods(periods: Iterable[tuple[date, date]]) -> Periods:
    """Join periods (both ends included) that overlap or touch; sorted."""
    merged: Periods = []
    for first, last in sorted(periods):
        if merged and first <= merged[-1][1] + timedelta(days=1):
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return merged


def _plan(
    root: Path, periods: Periods, asked: tuple[date, date], reports: dict[int, Reports]
) -> list[Task]:
    """What each day still lacks."""
    tasks: list[Task] = []
    for day in _days_of(periods):
        kinds = set()
        if day.year in reports and day not in reports[day.year]:
            kinds.add(_BUOYS)
        if asked[0] <= day <= asked[1]:
            kinds |= {kind for kind, place, _ in _DAILY if not place(root, day).exists()}
        if kinds:
            tasks.append((day, frozenset(kinds)))
    return tasks


def _days_of(periods: Periods) -> Iterator[date]:
    for first, last in periods:
        yield from (first + timedelta(days=n) for n in range((last - first).days + 1))


def _run(
    world: World, root: Path, tasks: list[Task], processes: int | None
) -> Iterator[tuple[int, Reports]]:
    """Do the tasks, here or in worker processes; gives counts of files, and buoy reports."""
    starts = range(0, len(tasks), _DAYS_A_TASK)
    parts = [(world, root, tasks[start : start + _DAYS_A_TASK]) for start in starts]
    workers = min(processes or _processors(), len(parts))
    if workers <= 1:
        yield from (_work(*part) for part in parts)
        return
    with pool(workers) as processors:
        for future in as_completed([processors.submit(_work, *part) for part in parts]):
            yield future.result()


def _processors() -> int:
    """How many processors this process may use; macOS tells only how many there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _work(world: World, root: Path, tasks: list[Task]) -> tuple[int, Reports]:
    count, texts = 0, {}
    for day, kinds in tasks:
        for kind, place, write in _DAILY:
            if kind in kinds:
                with _whole(place(root, day)) as part:
                    write(world, part, day)
                count += 1
        if _BUOYS in kinds:
            texts[day] = platforms.day_reports(world, np.datetime64(day))
    return count, texts


def _write_rss(world: World, path: Path, day: date) -> None:
    maps = [instruments.pass_map(world, F17, np.datetime64(day), which) for which in _PASSES]
    path.write_bytes(gzip.compress(np.stack(maps).tobytes(), compresslevel=4, mtime=0))


def _write_sst(world: World, path: Path, day: date) -> None:
    fields = instruments.analysed_sst(world, np.datetime64(day))
    oisst_file.write(path, day, fields, name=oisst_path(Path(), day).name)


# Files of a day: kind, place below the root, writer.
_DAILY = (("rss", rss_path, _write_rss), ("oisst", oisst_path, _write_sst))


def _kept_reports(root: Path, year: int) -> Reports:
    """Reports that the year's files hold already, by day; days that all stations have."""
    texts: dict[str, dict[date, str]] = {}
    for station in _STATIONS:
        texts[station] = defaultdict(str)
        for line in _lines(ndbc_path(root, station, year)):
            if not line.startswith("#"):
                texts[station][date.fromisoformat(line[:10].replace(" ", "-"))] += line
    common = set.intersection(*(set(days) for days in texts.values()))
    return {day: {station: texts[station][day] for station in _STATIONS} for day in common}


def _lines(path: Path) -> list[str]:
    """Lines of a reports file; none where it is absent or damaged: it is then made anew."""
    try:
        return gzip.decompress(path.read_bytes()).decode("ascii").splitlines(keepends=True)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError):
        return []


def _write_reports(root: Path, year: int, reports: Reports) -> None:
    for station in _STATIONS:
        text = platforms.HEADER + "".join(reports[day][station] for day in sorted(reports))
        with _whole(ndbc_path(root, station, year)) as part:
            part.write_bytes(gzip.compress(text.encode("ascii"), mtime=0))


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """Give another name to write to; the file gets its own when it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _claim(root: Path, world: World) -> Periods:
    """Make sure the folder is free or this world's; give the periods it holds."""
    record = root / _RECORD
    if not record.exists():
        if root.exists() and any(root.iterdir()):
            raise ForeignFolder(
                "the folder holds files that are no simulated archive",
                where=str(root),
                mend="Choose a new or an empty folder.",
            )
        root.mkdir(parents=True, exist_ok=True)
        _write_record(root, world, [])
        return []
    try:
        found = json.loads(record.read_text(encoding="utf-8"))
        held = [(date.fromisoformat(a), date.fromisoformat(b)) for a, b in found["periods"]]
        same = all(found[name] == value for name, value in _identity(world).items())
    except (ValueError, KeyError, TypeError) as error:
        raise ForeignFolder(
            "the record of the simulated archive cannot be read",
            where=str(record),
            mend="Remove the folder and simulate again.",
        ) from error
    if not same:
        raise OtherWorld(
            f"the folder holds another simulated world (seed {found['seed']}, version "
            f"{found['version']})",
            where=str(root),
            mend=f"Choose another folder for seed {world.seed}, or remove this one.",
        )
    return held


def _identity(world: World) -> dict[str, Any]:
    return {"seed": world.seed, "version": VERSION, "physics": asdict(world.physics)}


def _write_record(root: Path, world: World, periods: Periods) -> None:
    record = {
        "simulated": True,
        "notice": "Simulated by fluxforge; not the providers' data.",
        **_identity(world),
        "periods": [[str(first), str(last)] for first, last in periods],
        "satellites": [F17.name],
        "stations": [asdict(station) for station in platforms.STATIONS],
    }
    with _whole(root / _RECORD) as part:
        part.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    with _whole(root / "README.txt") as part:
        part.write_text(_README.format(seed=world.seed, version=VERSION), encoding="utf-8")
    for provider in _PROVIDERS:  # ingest carries it on into the datasets made from the files
        with _whole(root / provider / NOTICE) as part:
            part.write_text(_NOTICE.format(seed=world.seed), encoding="utf-8")
