"""Tables: reports of stations and ships, gathered from many files into one group a month.

A grid has a place for every cell; reports come when and where they come. A `Table` therefore keeps
rows: each of its feeds reads one provider's files into `Rows` of the table's columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fluxengine.declare import Array, Variable
from fluxengine.errors import DeclarationError

TIME, FILE, ROW, FILES = "time", "file", "row", "files"
SOURCE_FEED, SOURCE_PATH = "source_feed", "source_path"
OF_ENGINE = (TIME, FILE, ROW, FILES, SOURCE_FEED, SOURCE_PATH)  # columns that the engine adds


@dataclass(frozen=True)
class Rows:
    """Some rows of one file, in columns.

    Parameters
    ----------
    columns : mapping of str to array
        One-dimensional, all of one length: ``time`` as datetime64[s], UTC; numbers as floating
        point, NaN where there is none; codes as integers; names as fixed-width bytes (``S``) of
        ASCII text. A column of the table that is left out counts as missing in every row.
    rejected : mapping of str to int
        Why rows of the file were left out, and how many.
    """

    columns: Mapping[str, Array]
    rejected: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Feed:
    """One provider's files of reports.

    Parameters
    ----------
    name : str
        Such as ``ndbc``.
    patterns : tuple of str
        Where its files lie below the archive's root: paths in which ``*`` stands for any text
        within a name.
    read : callable
        From a local file to its rows, in parts that fit into memory. Raises `DamagedFile` or
        `WrongFile`.
    archive, home : str
        As a `Source` has them.
    title, provider, licence, cite : str
        For people.
    order : callable, optional
        From a file's path to what files are sorted by before they are read, such as the year in its
        name: files of the same months that are read together cost one rewriting of those months.
        It changes no row. By default files are read in the order of their paths.
    rank : callable, optional
        From a file's path to how good its reports are, the lowest the best, such as 0 for what was
        controlled and 1 for what came in real time. Where rows are put together, the best files
        alone give the values: what a control took out does not come back from elsewhere. By
        default all are alike.
    beside : callable, optional
        From its files on this machine to what else `read` looks at, such as a table of stations:
        digests by name. Where they differ from those of the last run, all files are read again.
    """

    name: str
    patterns: tuple[str, ...]
    read: Callable[[Path], Iterator[Rows]]
    archive: str
    home: str
    title: str
    provider: str
    licence: str
    cite: str
    order: Callable[[str], str] | None = None
    rank: Callable[[str], int] | None = None
    beside: Callable[[Sequence[Path]], Mapping[str, str]] | None = None


@dataclass(frozen=True)
class Table:
    """A dataset of rows: one group a month, sorted by time. A month must fit into memory.

    Parameters
    ----------
    name : str
    columns : tuple of Variable
        What is kept of every row, beside ``time``; flag variables for codes. A column of names has
        the packing ``S<n>``.
    feeds : tuple of Feed
    title, summary : str
        For people.
    merges : tuple of str
        Columns of names or codes, such as ``platform``, that tell with ``time`` one report from
        another. Rows that agree in them but come from different files of one feed are put together
        into one: of each column the first value there is, in the order of the files' paths. (Of
        rows that agree within a file, the first is put together with the other file's first, the
        second with its second.) Rows are sorted by these columns, too. None: nothing is merged.
    place : callable, optional
        From the columns of rows to where they were made, shape (rows, axes): those which lie
        further apart than 1 on an axis are different reports, whatever their names. In the readers'
        package.
    absent : mapping of str to int
        For columns of codes, the code that says that a row has nothing of the kind: where rows are
        put together, it gives way to what another row says.
    completes : callable, optional
        From the columns of rows that were put together to those of them that can be told only now,
        such as what is computed from quantities of several files. In the readers' package.
    """

    name: str
    columns: tuple[Variable, ...]
    feeds: tuple[Feed, ...]
    title: str
    summary: str
    merges: tuple[str, ...] = ()
    place: Callable[[Mapping[str, Array]], Array] | None = None
    absent: Mapping[str, int] = field(default_factory=dict)
    completes: Callable[[Mapping[str, Array]], Mapping[str, Array]] | None = None

    def __post_init__(self) -> None:
        names = [column.name for column in self.columns]
        _refuse_twice(names, self.name)
        _refuse_twice([feed.name for feed in self.feeds], self.name)
        taken = set(names) & set(OF_ENGINE)
        if taken:
            raise DeclarationError(f"columns {sorted(taken)} of '{self.name}' are the engine's")
        for name in self.merges:
            kinds = [_kind(column) for column in self.columns if column.name == name]
            if kinds not in (["S"], ["i"], ["u"]):
                raise DeclarationError(
                    f"'{self.name}' merges by '{name}', which is no column of names or codes"
                )

        unknown = set(self.absent) - set(names)
        if unknown:
            raise DeclarationError(f"'{self.name}' has no columns {sorted(unknown)}")

    def feed(self, name: str) -> Feed | None:
        """One of its feeds; None where it has no such feed (any more)."""
        return next((feed for feed in self.feeds if feed.name == name), None)


def _kind(column: Variable) -> str:
    return np.dtype(column.packing.dtype).kind


def is_name(column: Variable) -> bool:
    """Whether a column holds names: text of a fixed width."""
    return _kind(column) == "S"


def _refuse_twice(names: list[str], where: str) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DeclarationError(f"'{where}' declares {twice} more than once")
