"""Tables: reports of stations and ships, gathered from many files into one group a month.

A grid has a place for every cell; reports come when and where they come. A `Table` therefore keeps
rows: each of its feeds reads one provider's files into `Rows` of the table's columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fluxengine.declare import Array, Variable


@dataclass(frozen=True)
class Rows:
    """Some rows of one file, in columns.

    Parameters
    ----------
    columns : mapping of str to array
        One-dimensional, all of one length: ``time`` as datetime64[s], UTC; numbers as floating
        point, NaN where there is none; codes as integers; names as fixed-width bytes (``S``).
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


@dataclass(frozen=True)
class Table:
    """A dataset of rows: one group a month, one file's rows after another's.

    Parameters
    ----------
    name : str
    columns : tuple of Variable
        What is kept of every row, beside ``time``; flag variables for codes. A column of names has
        the packing ``S<n>``.
    feeds : tuple of Feed
    title, summary : str
        For people.
    """

    name: str
    columns: tuple[Variable, ...]
    feeds: tuple[Feed, ...]
    title: str
    summary: str
