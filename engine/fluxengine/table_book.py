"""The book of a table: what is known of each file that was read and of each month that is stored.

It lies in columns in the group ``_ledger``, and is committed together with the rows it speaks of.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import zarr

from fluxengine import key
from fluxengine.digest import json_digest
from fluxengine.errors import StoreError
from fluxengine.files import FileId
from fluxengine.layout import COMPRESSORS
from fluxengine.ledger import GROUP, ROWS_PER_CHUNK
from fluxengine.table_rows import Key

DAMAGED = "the book of its files was altered."


@dataclass(frozen=True)
class Window:
    """The months that a table holds: both included, open where empty."""

    first: str = ""
    last: str = ""

    def holds(self, other: Window) -> bool:
        """Whether all months of another lie within."""
        return self.hull(other) == self

    def hull(self, other: Window) -> Window:
        """The smallest window around both."""
        first = min(self.first, other.first)  # open sorts first
        last = max(self.last, other.last) if self.last and other.last else ""
        return Window(first, last)

    def seconds(self) -> tuple[np.datetime64 | None, np.datetime64 | None]:
        """When it begins and when it is over."""
        begin = np.datetime64(self.first, "s") if self.first else None
        end = (np.datetime64(self.last, "M") + 1).astype("M8[s]") if self.last else None
        return begin, end


@dataclass(frozen=True)
class FileEntry:
    """What is known of a file.

    Parameters
    ----------
    feed, path : str
        Whose it is, and where below the archive's root.
    found, size, stamp : str, int, str
        As `FileId` has them, of the last time it was read.
    sha256 : str
        Of the bytes that were read last; empty where they were not read to the end.
    code : str
        Digest of what the reader's rows depend on, then.
    held : str
        SHA-256 of the bytes whose rows the table holds; empty where it holds none.
    rows : int
        How many it holds.
    rejected : str
        JSON: why other rows were left out, and how many.
    months : str
        Which months they lie in, as runs: ``1999-01:2004-08 2005-01``.
    first, last : str
        The window in which its rows were wanted.
    note : str
        Why it could not be read; empty where it could.
    """

    feed: str
    path: str
    found: str
    size: int
    stamp: str
    sha256: str
    code: str
    held: str
    rows: int
    rejected: str
    months: str
    first: str
    last: str
    note: str

    @property
    def key(self) -> Key:
        """What it is known by."""
        return self.feed, self.path

    @property
    def window(self) -> Window:
        """The months in which its rows were wanted."""
        return Window(self.first, self.last)

    def noted(self, now: FileId) -> FileEntry:
        """The same, of a file of another place, size or time."""
        return replace(self, found=now.path, size=now.size, stamp=now.stamp, sha256=now.sha256)


@dataclass(frozen=True)
class MonthEntry:
    """What is known of a month: rows, files, and digests of its content and its metadata."""

    month: str
    rows: int
    files: int
    digest: str
    metadata: str


@dataclass(frozen=True)
class Book:
    """All that is known of a table; every change makes a new book.

    Parameters
    ----------
    files : mapping of (str, str) to FileEntry
    months : mapping of str to MonthEntry
    standings : mapping of str to dict
        What readers' rows depend on, by the digest that files name.
    window : Window or None
        None where nothing was asked for yet.
    notices : mapping of str to str
        What the keeper of a feed's archive wants every user to read.
    """

    files: Mapping[Key, FileEntry] = field(default_factory=dict)
    months: Mapping[str, MonthEntry] = field(default_factory=dict)
    standings: Mapping[str, key.Parts] = field(default_factory=dict)
    window: Window | None = None
    notices: Mapping[str, str] = field(default_factory=dict)

    def with_files(self, entries: Iterable[FileEntry], without: Collection[Key] = ()) -> Book:
        """With other entries of some files, and without those of others."""
        files = {known: entry for known, entry in self.files.items() if known not in without}
        files |= {entry.key: entry for entry in entries}
        return replace(self, files=files)

    def pruned(self) -> Book:
        """Without standings that no file names."""
        used = {entry.code for entry in self.files.values()}
        standings = {code: parts for code, parts in self.standings.items() if code in used}
        return replace(self, standings=standings)

    def with_month(self, month: str, entry: MonthEntry | None) -> Book:
        """With another entry of a month, or with none."""
        months = {name: known for name, known in self.months.items() if name != month}
        return replace(self, months=months if entry is None else months | {month: entry})

    def rejected(self) -> dict[str, dict[str, int]]:
        """Why rows were left out, and how many, by feed."""
        found: dict[str, dict[str, int]] = {}
        for entry in self.files.values():
            reasons = found.setdefault(entry.feed, {})
            for reason, number in json.loads(entry.rejected).items():
                reasons[reason] = reasons.get(reason, 0) + number
        return {feed: dict(sorted(reasons.items())) for feed, reasons in sorted(found.items())}


# --- months as runs ------------------------------------------------------------------------------


def as_runs(months: Iterable[str]) -> str:
    """Months in a few words: ``1999-01:2004-08 2005-01``."""
    numbers = np.array(sorted(months), "M8[M]")
    if not len(numbers):
        return ""
    runs = np.split(numbers, np.flatnonzero(np.diff(numbers).astype("i8") != 1) + 1)
    return " ".join(str(r[0]) if len(r) == 1 else f"{r[0]}:{r[-1]}" for r in runs)


def from_runs(text: str) -> list[str]:
    """The months that `as_runs` wrote."""
    found: list[str] = []
    for run in text.split():
        first, _, last = run.partition(":")
        stop = np.datetime64(last or first, "M") + 1
        found += [str(month) for month in np.arange(np.datetime64(first, "M"), stop)]
    return found


# --- storage -------------------------------------------------------------------------------------

Columns = dict[str, list[list[str]]]  # of files and of months, a list of texts for each field
KINDS: dict[str, Any] = {"files": FileEntry, "months": MonthEntry}
NUMBERS = ("size", "rows", "files")
TEXTS: tuple[str, ...] = ("standings", "window", "notices")


def write(root: zarr.Group, book: Book) -> None:
    """Store the book, sealed: an array of texts for files and for months, a row for each field."""
    group, columns, texts = root.require_group(GROUP), _columns(book), _texts(book)
    for name, values in columns.items():
        shape = len(values), len(values[0])
        if name not in group:
            group.create_array(
                name,
                shape=shape,
                chunks=(1, ROWS_PER_CHUNK),
                dtype="string",
                compressors=COMPRESSORS,
                attributes={"fields": [field.name for field in fields(KINDS[name])]},
            )
        array: Any = group[name]
        array.resize(shape)
        if shape[1]:
            array[...] = np.array(values, np.dtypes.StringDType())
    group.update_attributes({**texts, "seal": _seal(columns, texts)})


def read(root: zarr.Group, where: str) -> Book:
    """The book of an opened dataset.

    Raises
    ------
    StoreError
        Where it is not as it was written.
    """
    group: Any = root[GROUP]
    columns = {name: group[name][...].tolist() for name in KINDS}
    texts = {name: str(group.attrs[name]) for name in TEXTS}
    if group.attrs.get("seal") != _seal(columns, texts):
        mend = "Bring the store back from a copy, or make the table anew in another store."
        raise StoreError(DAMAGED, where=where, mend=mend)
    files, months = (_entries(kind, columns[name]) for name, kind in KINDS.items())
    window = json.loads(texts["window"])
    return Book(
        {entry.key: entry for entry in files},
        {entry.month: entry for entry in months},
        json.loads(texts["standings"]),
        None if window is None else Window(*window),
        json.loads(texts["notices"]),
    )


def _columns(book: Book) -> Columns:
    """Files and months are sorted, so that equal books are stored alike."""
    known: dict[str, Mapping[Any, Any]] = {"files": book.files, "months": book.months}
    return {
        name: [[str(getattr(known[name][k], f.name)) for k in sorted(known[name])] for f in of]
        for name, of in ((name, fields(kind)) for name, kind in KINDS.items())
    }


def _entries(kind: Any, columns: list[list[str]]) -> list[Any]:
    names = [field.name for field in fields(kind)]
    typed = [
        list(map(int, column)) if name in NUMBERS else column
        for name, column in zip(names, columns, strict=True)
    ]
    return [kind(*values) for values in zip(*typed, strict=True)]


def _texts(book: Book) -> dict[str, str]:
    window = None if book.window is None else [book.window.first, book.window.last]
    values = (dict(book.standings), window, dict(book.notices))
    return {n: json.dumps(v, sort_keys=True) for n, v in zip(TEXTS, values, strict=True)}


def _seal(columns: Columns, texts: Mapping[str, str]) -> str:
    return json_digest([columns, dict(texts)])
