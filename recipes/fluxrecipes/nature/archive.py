"""Write the simulated world's archive: files as the providers lay them out.

The same world gives the same bytes: nothing in a file depends on when or where it was written,
or on what else was. Files are written under another name first, so that one with its right name
is always whole; several processes may add to an archive at once. Work goes on year by year, so
memory does not grow with the period.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import as_completed
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from fluxengine.errors import FluxforgeError
from fluxrecipes.nature.files import ndbc, oisst, rss, rss_averages
from fluxrecipes.nature.files.kinds import Daily, Rows, Series, whole
from fluxrecipes.nature.files.table import Selection
from fluxrecipes.nature.orbits import F17, Satellite
from fluxrecipes.nature.record import Record, days_of
from fluxrecipes.nature.weather import Physics
from fluxrecipes.nature.world import World
from fluxrecipes.processes import pool

if TYPE_CHECKING:
    from fluxengine.show import Bars

Progress = Callable[[int, int], None]
Task = tuple[date, frozenset[str]]  # a day and the kinds that are to be made of it
Made = tuple[int, dict[str, dict[date, Rows]]]  # a count of files, and days of series

# Held while what others may add to is read and written anew; a process that dies lets go of it.
_LOCK = ".write-lock"
_DAYS_A_TASK = 3  # neighbouring days share the knots of the fields
_AVERAGES = "rss-averages"


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
    selection: Selection | None = None,
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
    selection : Selection, optional
        What to write; by default F17, OISST and buoys.
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
        FF602: it is the archive of another seed, version, physics or choice of hours.
    """
    if last < first:
        raise BadPeriod(
            "the last day is before the first", where=f"{first}..{last}", mend="Swap them."
        )
    record = Record.claim(root, World(seed, physics or Physics()))
    Writer(record, selection or Selection(), processes or _processors()).write(
        first, last, progress or (lambda done, of: None)
    )
    return root


def simulate_with_bars(progress: Bars, root: Path, first: date, last: date, **options: Any) -> None:
    """Do as `simulate`, showing how far it is."""
    told = 0

    def tell(done: int, total: int) -> None:
        nonlocal told
        if done == 0 and total:
            progress.begin("simulated archive", total)
        elif done:
            progress.advance("simulated archive", done - told)
        told = done

    simulate(root, first, last, **options, progress=tell)


def rss_path(root: Path, day: date) -> Path:
    """Where RSS keeps F17's map of a day."""
    return rss.path(F17, root, day)


oisst_path = oisst.path
ndbc_path = ndbc.path


class Writer:
    """Writes what is lacking of a selection.

    Parameters
    ----------
    record : Record
        Of the archive, claimed.
    selection : Selection
    processes : int
        1 works in this process.
    """

    def __init__(self, record: Record, selection: Selection, processes: int) -> None:
        self._record, self._root = record, record.root
        self._selection, self._processes = selection, processes
        kinds = selection.kinds()
        self._daily = [kind for kind in kinds if isinstance(kind, Daily)]
        self._series = [kind for kind in kinds if isinstance(kind, Series)]

    def write(self, first: date, last: date, progress: Progress) -> None:
        """Write a period year by year; the record says at each year's end what is there."""
        if self._selection.needs_hours():
            self._record.fix_hours(self._selection.hours)
        years = [
            (max(first, date(year, 1, 1)), min(last, date(year, 12, 31)))
            for year in range(first.year, last.year + 1)
        ]
        for kind in self._daily:
            kind.prepare(self._root)
        averages = self._averages(first, last)
        total = sum(self._count(self._plan(*year), year[0].year) for year in years) + len(averages)
        done = 0
        progress(done, total)
        for year in years:
            for count in self._write_year(*year):
                done += count
                progress(done, total)
        for count in self._run(_average, averages):
            done += count
            progress(done, total)
        self._note()

    def _plan(self, first: date, last: date) -> list[Task]:
        """What each day of a year lacks; of series also the days that their files have lost."""
        lacking: dict[date, set[str]] = defaultdict(set)
        for kind in self._daily:
            for day in days_of(first, last):
                if kind.serves(day) and not kind.place(self._root, day).exists():
                    lacking[day].add(kind.name)
        for series in self._series:
            wanted = {*days_of(first, last), *self._record.held(series.name, first.year)}
            for day in wanted - set(series.kept(self._root, first.year)):
                lacking[day].add(series.name)
        return [(day, frozenset(lacking[day])) for day in sorted(lacking)]

    def _count(self, tasks: list[Task], year: int) -> int:
        """Files that tasks make or change."""
        names = [name for _, kinds in tasks for name in kinds]
        daily = {kind.name for kind in self._daily}
        changed = [kind for kind in self._series if kind.name in names]
        return sum(name in daily for name in names) + sum(
            len(kind.files(self._root, year)) for kind in changed
        )

    def _write_year(self, first: date, last: date) -> Iterator[int]:
        """Do what a year lacks; gives counts of files."""
        tasks, year = self._plan(first, last), first.year
        parts = [
            (self._selection, self._record.world, self._root, tasks[start : start + _DAYS_A_TASK])
            for start in range(0, len(tasks), _DAYS_A_TASK)
        ]
        fresh: dict[str, dict[date, Rows]] = defaultdict(dict)
        for count, rows in self._run(_work, parts):
            for name, days in rows.items():
                fresh[name].update(days)
            yield count
        for series in self._series:
            if series.name in fresh:
                self._put(series, year, fresh[series.name])
                yield len(series.files(self._root, year))
        days = days_of(first, last)
        for series in self._series:
            self._record.add(series.name, days)
        for kind in self._daily:
            self._record.add(kind.name, filter(kind.serves, days))
        self._note()

    def _put(self, series: Series, year: int, fresh: dict[date, Rows]) -> None:
        """Add days to a year's files, with those that another process wrote meanwhile."""
        with FileLock(self._root / _LOCK):
            series.write(self._root, year, series.kept(self._root, year) | fresh)

    def _note(self) -> None:
        """Write the record, with what another process noted meanwhile."""
        with FileLock(self._root / _LOCK):
            self._record.write(output.folder for output in self._selection.chosen())

    def _averages(self, first: date, last: date) -> list[tuple[Any, ...]]:
        """Averaged maps that are lacking and whose days are here or will be."""
        if _AVERAGES not in self._selection.outputs:
            return []
        asked = set(days_of(first, last)) if "rss" in self._selection.outputs else set()
        return [
            (self._root / place, satellite, paths)
            for satellite in self._selection.flown()
            for place, days in rss_averages.due(satellite, first, last)
            if not (self._root / place).exists()
            for paths in [[rss.path(satellite, self._root, day) for day in days]]
            if all(day in asked or p.exists() for day, p in zip(days, paths, strict=True))
        ]

    def _run(self, work: Callable[..., Any], parts: list[tuple[Any, ...]]) -> Iterator[Any]:
        """Results of the parts as they come, made here or in worker processes."""
        workers = min(self._processes, len(parts))
        if workers <= 1:
            yield from (work(*part) for part in parts)
            return
        with pool(workers) as processors:
            for future in as_completed([processors.submit(work, *part) for part in parts]):
                yield future.result()


def _work(selection: Selection, world: World, root: Path, tasks: list[Task]) -> Made:
    """Write the daily files of some days, and give the series' rows of them."""
    count = 0
    rows: dict[str, dict[date, Rows]] = {}
    kinds = selection.kinds()
    for day, lacking in tasks:  # the kinds of a day share the knots of its hours
        for kind in kinds:
            if kind.name not in lacking:
                continue
            if isinstance(kind, Daily):
                kind.write(world, root, day)
                count += 1
            else:
                rows.setdefault(kind.name, {})[day] = kind.rows(world, day)
    return count, rows


def _average(path: Path, satellite: Satellite, dailies: list[Path]) -> int:
    with whole(path) as part:
        rss_averages.write(part, satellite, dailies)
    return 1


def _processors() -> int:
    """How many processors this process may use; macOS tells only how many there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
