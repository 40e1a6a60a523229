"""What an archive is made of: files of a day, and series that grow by days; and safe writing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from fluxrecipes.nature.world import World

Rows = Any  # what a series keeps of one day; each kind has its own


def always(day: date) -> bool:
    """Every day is served."""
    return True


def nothing(root: Path) -> None:
    """No preparation is needed."""


@dataclass(frozen=True)
class Daily:
    """A file for each day, or a day of a store.

    Parameters
    ----------
    name : str
        In the archive's record.
    place : callable
        From the archive's root and a day to the path that exists when the day is whole.
    write : callable
        Makes a day: (world, root, day).
    serves : callable
        Whether there is such a file of a day.
    prepare : callable
        Called with the root before the first day is written.
    """

    name: str
    place: Callable[[Path, date], Path]
    write: Callable[[World, Path, date], None]
    serves: Callable[[date], bool] = always
    prepare: Callable[[Path], None] = nothing


@dataclass(frozen=True)
class Series:
    """Files that hold many days each, a calendar year at most.

    Parameters
    ----------
    name : str
        In the archive's record.
    files : callable
        From the root and a year to the paths of that year's files, whatever days they hold.
    rows : callable
        What the files keep of one day: (world, day).
    kept : callable
        From the root and a year to the rows that the files hold already, by day; only days that
        all of them have. A damaged file has none: it is then made anew.
    write : callable
        Write a year's files anew: (root, year, rows by day).
    """

    name: str
    files: Callable[[Path, int], list[Path]]
    rows: Callable[[World, date], Rows]
    kept: Callable[[Path, int], dict[date, Rows]]
    write: Callable[[Path, int, dict[date, Rows]], None]


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Give another name to write to; the file gets its own when it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
