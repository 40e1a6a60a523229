"""Lineage of reports: which files a row of a table was read from, and by what."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr

from fluxengine import layout
from fluxengine.declare import Array, Packing
from fluxengine.errors import ConfigError, UnknownName
from fluxengine.explain import Lineage, Value
from fluxengine.key import listed
from fluxengine.repository import Repository
from fluxengine.table_book import Book
from fluxengine.table_book import read as read_book
from fluxengine.table_rows import Month
from fluxengine.table_store import read_month
from fluxengine.tables import FILE, FILES, OF_ENGINE, ROW, TIME

MOST = 20  # reports that are told one by one
SHOWN = 6  # names that are told as examples


def explain_reports(
    repository: Repository, name: str, snapshot: str, point: Mapping[str, str]
) -> Lineage:
    """Where the reports of one time, and perhaps of one platform, come from.

    Parameters
    ----------
    repository : Repository
    name, snapshot : str
    point : mapping of str to str
        ``time`` and any columns of names or codes.

    Raises
    ------
    ConfigError
        Where the point is none of the table's, or too many reports fit.
    UnknownName
        Where no report fits.
    """
    root = repository.read(snapshot)
    book = read_book(root, str(repository.path))
    moment = _moment(point, name)
    month = str(moment.astype("M8[M]"))
    if month not in book.months:
        raise UnknownName(f"there is no report of {month}", where=name)
    stored = read_month(root, month)
    described = layout.read_mark(root)["table"]
    fits = _fits(stored.rows, point, name)
    which = np.flatnonzero(fits & (stored.rows[TIME] == moment.astype("i8")))
    if not len(which):
        raise _none(stored.rows, moment, fits, [*point, *described["merges"]], name)
    if len(which) > MOST:
        theirs = _examples(stored.rows[which], described["merges"])
        mend = f"Say more. They have {theirs}." if theirs else ""
        raise ConfigError(f"{len(which)} reports fit.", where=name, mend=mend)
    told = _Told((name, snapshot, month), stored, book, described, _attributes(root, month))
    made = tuple(told.report(stored.rows[at]) for at in which)
    if len(made) == 1:
        return made[0]
    where = {TIME: str(moment)}
    return Lineage(name, snapshot, month, f"{len(made)} reports", where, (), {}, inputs=made)


def _moment(point: Mapping[str, str], name: str) -> np.datetime64:
    try:
        return np.datetime64(point[TIME].removesuffix("Z").replace(" ", "T"), "s")
    except KeyError:
        raise ConfigError("say the time, too.", where=name, mend="time=2002-08-01T12:00") from None
    except ValueError:
        raise ConfigError(f"'{point[TIME]}' is no time.", where=name) from None


def _fits(rows: Array, point: Mapping[str, str], name: str) -> Array:
    """Which rows have the names and codes that were given."""
    found = np.ones(len(rows), bool)
    for column, value in point.items():
        if column == TIME:
            continue
        kind = rows.dtype[column].kind if column in (rows.dtype.names or ()) else ""
        if kind not in ("S", "i", "u"):
            raise ConfigError(f"it has no column '{column}' of names or codes.", where=name)
        found &= rows[column].astype("U") == value
    return found


def _none(
    rows: Array, moment: np.datetime64, fits: Array, columns: Sequence[str], name: str
) -> UnknownName:
    """No report is of this time and has these names: what there is instead."""
    then = rows[TIME] == moment.astype("i8")
    if then.any():
        what = "there are reports of this time, but none with these names or codes"
        return UnknownName(what, where=name, mend=f"They have {_examples(rows[then], columns)}.")
    if not fits.any():
        what = "there is no report with these names or codes in this month"
        return UnknownName(what, where=name, mend=f"It has {_examples(rows, columns)}.")
    fitting = rows[fits]
    near = fitting[[np.abs(fitting[TIME] - moment.astype("i8")).argmin()]]
    when = np.datetime64(int(near[TIME][0]), "s")
    mend = f"The nearest in this month, in UTC: time={when} {_examples(near, columns)}".rstrip()
    return UnknownName("there is no report of this time", where=name, mend=mend)


def _examples(rows: Array, columns: Sequence[str]) -> str:
    """Names and codes that some rows have, as they are asked for."""
    asked = [column for column in dict.fromkeys(columns) if column != TIME]
    found = {column: np.unique(rows[column]).astype("U").tolist() for column in asked}
    return " ".join(f"{column}={listed(names, SHOWN)}" for column, names in found.items())


def _attributes(root: zarr.Group, month: str) -> dict[str, Mapping[str, Any]]:
    """What a month says of each of its columns."""
    group: Any = root[month]
    return {name: dict(array.attrs) for name, array in group.arrays()}


@dataclass(frozen=True)
class _Told:
    """Puts rows of one month into words.

    Parameters
    ----------
    base : tuple of str
        Table, snapshot and month.
    stored : Month
    book : Book
    described : dict
        The table's columns and what it merges by.
    attributes : dict
        Of each column: units, meanings of codes.
    """

    base: tuple[str, str, str]
    stored: Month
    book: Book
    described: Mapping[str, Any]
    attributes: Mapping[str, Mapping[str, Any]]

    def report(self, row: Any) -> Lineage:
        """A report, with the rows it was put together from."""
        if FILES not in (row.dtype.names or ()) or row[FILES] == 1:
            return self._read(row, "as it was read")
        taken = tuple(self._read(part, "as it was read") for part in self._partners(row))
        state = f"put together from {row[FILES]} files"
        return Lineage(*self.base, state, self._where(row), self._values(row), {}, inputs=taken)

    def _partners(self, row: Any) -> Array:
        """Rows of the same time, platform, feed and turn: those that this one was made of."""
        parts = self.stored.parts
        feeds = np.array([feed for feed, _ in self.stored.sources])
        same: Array = feeds[parts[FILE]] == feeds[row[FILE]]
        for column in (TIME, *self.described["merges"]):
            same &= parts[column] == row[column]
        group = parts[same]  # sorted by file and row
        turns = np.arange(len(group)) - np.searchsorted(group[FILE], group[FILE])
        first = (group[FILE] == row[FILE]) & (group[ROW] == row[ROW])
        found: Array = group[np.isin(turns, turns[first])]
        return found

    def _read(self, row: Any, state: str) -> Lineage:
        entry = self.book.files[self.stored.sources[row[FILE]]]
        file = {"path": entry.found, "size": entry.size, "sha256": entry.held}
        standing = self.book.standings.get(entry.code, {})
        made = {"code": standing.get("code", {}), "rejected": json.loads(entry.rejected)}
        made["notes"] = {entry.path: entry.note} if entry.note else {}
        files = {f"{entry.feed}, row {row[ROW]}": file}
        where, values = self._where(row), self._values(row)
        return Lineage(*self.base, state, where, values, made, files)

    def _where(self, row: Any) -> dict[str, str]:
        names = [n for n in row.dtype.names if row.dtype[n].kind == "S"]
        return {TIME: str(np.datetime64(int(row[TIME]), "s"))} | {
            name: row[name].decode() for name in names
        }

    def _values(self, row: Any) -> tuple[Value, ...]:
        return tuple(self._value(row))

    def _value(self, row: Any) -> Iterator[Value]:
        for name in row.dtype.names:
            if name in OF_ENGINE or row.dtype[name].kind == "S":
                continue
            attrs = self.attributes[name]
            if "flag_values" in attrs:
                yield Value(name, "", _meaning(int(row[name]), attrs), 1, 0)
                continue
            number = Packing(**self.described["columns"][name]).unpack(np.array([row[name]]))[0]
            missing, units = int(np.isnan(number)), str(attrs.get("units", ""))
            yield Value(name, units, "no value" if missing else f"{number:g}", 1, missing)


def _meaning(code: int, attrs: Mapping[str, Any]) -> str:
    meanings = dict(zip(attrs["flag_values"], attrs["flag_meanings"].split(), strict=True))
    return str(meanings.get(code, f"code {code}"))
