"""Tables that ERDDAP servers write as CSV, read as if they were NetCDF with one row for a report.

``.csv`` has a line of names and one of units; ``.csvp`` has units in parentheses behind the names.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from fluxengine.errors import DamagedFile, WrongFile
from fluxrecipes.sources.gzipped import FETCH_AGAIN, text_blocks
from fluxrecipes.sources.reports import Array
from fluxrecipes.sources.station_netcdf import Field, Station

BLOCK, LONGEST = 2**20, 2**14  # bytes of text read at once, and of a line
TEXTS = ("station", "array", "platform")
# As these servers write times; NumPy takes much more for one, such as "now" and "2016".
TIME = re.compile(r"(?P<utc>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?Z")
NO_TIME = ("", "NaN")
TITLE = re.compile(r"(?P<name>[^ (]+)(?: \((?P<units>.*)\))?")


@contextmanager
def opened(path: Path) -> Iterator[Station]:
    """A table as a file of reports along its rows.

    Raises
    ------
    MissingFile, DamagedFile
        No file; no table; a line with another number of fields, or without a number or a time
        where one should be; a last line that does not end, whose last number may be cut short.
    """
    names: list[str] = []
    units: list[str] = []
    columns: list[list[Array]] = []
    done = 0
    for _, block in text_blocks(path, BLOCK, LONGEST):
        rows = _rows(block, done, path)
        if not names:
            names, units, header = _header(rows, path)
            rows, done = rows[header:], header
            columns = [[] for _ in names]
        for at, row in enumerate(rows, done + 1):
            if len(row) != len(names):
                what = f"line {at} has {len(row)} fields, not {len(names)}."
                raise DamagedFile(what, where=str(path), mend=FETCH_AGAIN)
        for column, name, texts in zip(columns, names, zip(*rows, strict=True), strict=False):
            column.append(_converted(name, texts, done, path))
        done += len(rows)
    if not names:
        raise DamagedFile("it is empty.", where=str(path), mend=FETCH_AGAIN)
    fields = {}
    for name, unit, parts in zip(names, units, columns, strict=True):
        whole = np.concatenate(parts) if parts else np.empty(0)
        given: dict[str, Any] = {"units": "seconds since 1970-01-01" if name == "time" else unit}
        fields[name] = Field(path, name, ("row",), whole.shape, given, whole.__getitem__)
    yield Station(path, fields, {}, "row", fields["time"].shape[0])


def _rows(block: bytes, done: int, path: Path) -> list[list[str]]:
    """Fields of whole lines."""
    lines = block.decode("ascii", "replace").splitlines()
    reader = csv.reader(lines, strict=True)
    try:
        rows = list(reader)
    except csv.Error as error:
        what = f"up to line {done + reader.line_num} it cannot be read as CSV: {error}."
        raise DamagedFile(what, where=str(path), mend=FETCH_AGAIN) from None
    if len(rows) != len(lines):
        what = f"below line {done}, a quotation goes on beyond the end of its line."
        raise DamagedFile(what, where=str(path), mend=FETCH_AGAIN)
    if not block.endswith(b"\n"):
        what = f"it ends within line {done + len(rows)}: it was cut short."
        raise DamagedFile(what, where=str(path), mend=FETCH_AGAIN)
    return rows


def _header(rows: list[list[str]], path: Path) -> tuple[list[str], list[str], int]:
    """Names, units, and how many lines they take."""
    titles = [TITLE.fullmatch(text.strip()) for text in (rows[0] if rows else [])]
    names = [title["name"] for title in titles if title]
    if "time" not in names or len(names) != len(titles):
        what = "its first line does not name the columns of an ERDDAP table."
        raise WrongFile(what, where=str(path))
    if any(title["units"] for title in titles if title):
        return names, [title["units"] or "" for title in titles if title], 1
    units = rows[1] if len(rows) > 1 else []
    if len(units) != len(names) or units[names.index("time")] != "UTC":
        raise WrongFile("its second line does not give the units.", where=str(path))
    return names, units, 2


def _converted(name: str, texts: tuple[str, ...], done: int, path: Path) -> Array:
    if name in TEXTS:
        return np.array([text.encode("ascii", "replace") for text in texts], "S16")
    try:
        if name == "time":
            moments = np.array([_utc(text) for text in texts], "M8[s]")
            return moments.astype(np.int64).astype(np.float64)
        return np.array([float(text or "nan") for text in texts])
    except ValueError as error:
        what = f"{name} cannot be read between lines {done + 1} and {done + len(texts)}: {error}."
        raise DamagedFile(what, where=str(path), mend=FETCH_AGAIN) from None


def _utc(text: str) -> str:
    """A time as NumPy reads it."""
    if text in NO_TIME:
        return "NaT"
    found = TIME.fullmatch(text)
    if found is None:
        raise ValueError(f"'{text[:40]}' is not a time such as 2017-01-15T12:00:00Z")
    return found["utc"]
