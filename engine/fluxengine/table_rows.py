"""Rows of a table in memory: one structured array, a field a column; checked, sorted, merged.

Values are packed as they are stored. Beside the table's columns every row has ``file``, an index
into the sorted files of the set of rows it belongs to, and ``row``, its place among the rows that
the reader gave of that file. So rows have one order, whatever the order in which files came.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from fluxengine.declare import Array, Variable
from fluxengine.digest import content_digest
from fluxengine.errors import DamagedFile, DeclarationError, OutOfRange
from fluxengine.tables import FILE, FILES, ROW, TIME, Rows, Table, is_name

Key = tuple[str, str]  # feed, and the file's path below its archive's root
# What xarray and pandas can tell in nanoseconds: a time outside is an error of a reader.
EARLIEST, LATEST = np.datetime64("1678-01-01", "s"), np.datetime64("2262-01-01", "s")
FAULT = "This is a fault of the feed's reader."


@dataclass(frozen=True)
class Reports:
    """Rows with the files they were read from.

    Parameters
    ----------
    sources : tuple of (str, str)
        Feed and path of each file, sorted.
    rows : structured array
        Of the dtype `dtype_of` gives; ``file`` is an index into `sources`.
    """

    sources: tuple[Key, ...]
    rows: Array


def dtype_of(table: Table) -> np.dtype[np.void]:
    """The dtype of a table's rows, packed."""
    fields = [(TIME, "<i8")]
    fields += [(c.name, np.dtype(c.packing.dtype).newbyteorder("<").str) for c in table.columns]
    fields += [(FILE, "<i4"), (ROW, "<i4")]
    return np.dtype(fields + ([(FILES, "<u2")] if table.merges else []))


# --- checks --------------------------------------------------------------------------------------


def packed(table: Table, given: Rows, first: int, where: str) -> Array:
    """What a reader gave, checked and packed.

    Parameters
    ----------
    table : Table
    given : Rows
    first : int
        How many rows of the file came before these.
    where : str
        The file, for messages.

    Raises
    ------
    DeclarationError
        Where a column is unknown, or of another dtype or length than it should be.
    OutOfRange
        Where a value lies outside a column's valid range, or is no code of it.
    DamagedFile
        Where a time is none.
    """
    _check_names(table, given, where)
    times = np.asarray(given.columns[TIME])
    made = np.zeros(len(times), dtype_of(table))
    made[TIME] = _seconds(times, where)
    for column in table.columns:
        values = given.columns.get(column.name)
        if values is None:
            made[column.name] = missing_value(column, where)
        else:
            made[column.name] = _as_stored(column, np.asarray(values), len(made), where)
    made[ROW] = np.arange(first, first + len(made))
    if table.merges:
        made[FILES] = 1
    return made


def _check_names(table: Table, given: Rows, where: str) -> None:
    known = {TIME, *(column.name for column in table.columns)}
    unknown = sorted(set(given.columns) - known)
    if unknown:
        what = f"its rows have a column '{unknown[0]}', which '{table.name}' has not."
        raise DeclarationError(what, where=where, mend=FAULT)
    if TIME not in given.columns:
        raise DeclarationError("its rows have no column 'time'.", where=where, mend=FAULT)


def _seconds(times: Array, where: str) -> Array:
    if times.dtype != np.dtype("datetime64[s]") or times.ndim != 1:
        what = f"the column 'time' is {_described(times)}, not datetime64[s] along one axis."
        raise DeclarationError(what, where=where, mend=FAULT)
    inside = (times >= EARLIEST) & (times < LATEST)  # NaT is neither
    if not inside.all():
        raise DamagedFile(f"'time' = {times[~inside][0]} is no time of a report.", where=where)
    return times.astype("i8")


def _as_stored(column: Variable, values: Array, length: int, where: str) -> Array:
    expected, kinds = ("names", "S") if is_name(column) else ("numbers", "fiu")
    if column.is_flag:
        expected, kinds = "codes", "iu"
    if values.shape != (length,) or values.dtype.kind not in kinds:
        what = f"the column '{column.name}' is {_described(values)}, not {length} {expected}."
        raise DeclarationError(what, where=where, mend=FAULT)
    if is_name(column):
        return _names(column, values, where)
    if column.is_flag:
        _check_codes(column, values, where)
        return values.astype(column.packing.dtype)
    if values.dtype.kind != "f" and column.packing.is_plain_integer:
        return _integers(column, values, where)
    _check_range(column, values, where)
    try:
        return column.packing.pack(values, column.name)
    except OutOfRange as error:
        raise OutOfRange(error.what, where=where) from None


def _described(values: Array) -> str:
    return f"{values.dtype} of shape {values.shape}"


def _names(column: Variable, values: Array, where: str) -> Array:
    stored = values.astype(column.packing.dtype)
    longer = stored != values
    if longer.any():
        what = (
            f"'{column.name}' = {bytes(values[longer][0])!r} is longer than {column.packing.dtype}."
        )
        raise OutOfRange(what, where=where)
    if stored.size and (np.ascontiguousarray(stored).view("u1") > 127).any():
        raise OutOfRange(f"'{column.name}' holds a name that is no ASCII text.", where=where)
    return stored


def _check_codes(column: Variable, values: Array, where: str) -> None:
    unknown = ~np.isin(values, list(column.flags))
    if unknown.any():
        what = f"'{column.name}' = {values[unknown][0]} is none of its codes."
        raise OutOfRange(what, where=where)


def _integers(column: Variable, values: Array, where: str) -> Array:
    """Integers that are stored as they are; the packing's fill value stands for none."""
    there = values if column.packing.fill is None else values[values != column.packing.fill]
    _check_range(column, there, where)
    stored = values.astype(column.packing.dtype)
    if (stored != values).any():
        what = f"'{column.name}' = {values[stored != values][0]} is no {column.packing.dtype}."
        raise OutOfRange(what, where=where)
    return stored


def _check_range(column: Variable, values: Array, where: str) -> None:
    low, high = column.valid_range or (-np.inf, np.inf)
    outside = (values < low) | (values > high) | np.isinf(values)
    if outside.any():
        raise OutOfRange(
            f"'{column.name}' = {values[outside][0]:g} {column.units} at {int(outside.sum())} rows"
            f" lies outside {low:g} to {high:g}.",
            where=where,
        )


def missing_value(column: Variable, where: str = "") -> bytes | float | int:
    """What stands in a row that has no value of a column."""
    if is_name(column):
        return b""
    if column.packing.is_float:
        return float("nan")
    if column.packing.fill is None:
        what = f"its rows lack the column '{column.name}', which has no value for 'missing'."
        raise DeclarationError(what, where=where, mend=FAULT)
    return column.packing.fill


# --- months and files ----------------------------------------------------------------------------


def by_month(rows: Array) -> Iterator[tuple[str, Array]]:
    """The rows of each month, such as ``2002-08``, in the order they have."""
    if not len(rows):
        return
    months = rows[TIME].astype("datetime64[s]").astype("datetime64[M]")
    order = np.argsort(months, kind="stable")
    cuts = np.flatnonzero(np.diff(months[order]).astype("i8")) + 1
    for part in np.split(order, cuts):
        yield str(months[part[0]]), rows[part]


def joined(table: Table, parts: Iterable[Reports], without: Collection[Key] = ()) -> Reports:
    """Rows put together, less those of some files."""
    parts = list(parts)
    keys = sorted({key for part in parts for key in part.sources} - set(without))
    at = {key: number for number, key in enumerate(keys)}
    found = [np.zeros(0, dtype_of(table))]
    for part in parts:
        numbers = np.array([at.get(key, -1) for key in part.sources], "i4")[part.rows[FILE]]
        rows = part.rows[numbers >= 0]
        rows[FILE] = numbers[numbers >= 0]
        found.append(rows)
    return _without_idle(Reports(tuple(keys), np.concatenate(found)))


def _without_idle(reports: Reports) -> Reports:
    """The same without files that have no row."""
    used, file = np.unique(reports.rows[FILE], return_inverse=True)
    reports.rows[FILE] = file.astype("i4")
    return Reports(tuple(reports.sources[k] for k in used), reports.rows)


# --- order and merging ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Month:
    """A month as it is stored.

    Parameters
    ----------
    sources : tuple of (str, str)
        The files, sorted.
    rows : structured array
        Sorted; where the table merges, ``files`` says how many rows each was put together from.
    parts : structured array
        The rows that were put together, as they were read.
    """

    sources: tuple[Key, ...]
    rows: Array
    parts: Array

    @property
    def digest(self) -> str:
        """Hex digest of all of it."""
        names = "\n".join(f"{feed}\t{path}" for feed, path in self.sources)
        arrays = {"sources": np.frombuffer(names.encode(), "u1")}
        for prefix, rows in (("", self.rows), ("parts/", self.parts)):
            arrays |= {prefix + name: rows[name] for name in rows.dtype.names or ()}
        return content_digest(arrays).hex()

    def as_read(self) -> Reports:
        """The rows as they were read from the files."""
        if FILES not in (self.rows.dtype.names or ()):
            return Reports(self.sources, self.rows)
        alone = self.rows[self.rows[FILES] == 1]
        return Reports(self.sources, np.concatenate([self.parts, alone]))


def arranged(table: Table, reports: Reports) -> Month:
    """Rows sorted and, where the table wants it, merged."""
    rows = reports.rows[_order(table, reports.rows)]
    if not table.merges or not len(rows):
        return Month(reports.sources, rows, rows[:0])
    group = _groups(table, reports.sources, rows)
    rank = _ranks(table, reports.sources)[rows[FILE]]
    order = np.lexsort((rows[ROW], rows[FILE], group))
    turn = np.zeros(len(rows), np.intp)
    turn[order] = _turns(group[order], rows[FILE][order])
    order = np.lexsort((rows[FILE], rank, turn, group))
    rows, group, turn, rank = rows[order], group[order], turn[order], rank[order]
    starts = np.flatnonzero(_changes(group) | _changes(turn))
    sizes = np.diff(np.append(starts, len(rows)))
    merged = _first_values(table, rows, starts, rank == np.repeat(rank[starts], sizes))
    merged[FILES] = sizes
    _complete(table, merged, sizes > 1)
    parts = rows[np.repeat(sizes > 1, sizes)]
    merged, parts = (found[_order(table, found)] for found in (merged, parts))
    return Month(reports.sources, merged, parts)


def _complete(table: Table, merged: Array, several: Array) -> None:
    """Fill in what only rows put together can tell."""
    if table.completes is None or not several.any():
        return
    given = {column.name: merged[column.name][several] for column in table.columns}
    for name, values in table.completes(given).items():
        merged[name][several] = values


def _order(table: Table, rows: Array) -> Array:
    keys = [rows[ROW], rows[FILE]]
    for name in reversed(table.merges):
        keys += list(reversed(_sortable(rows[name])))
    return np.lexsort((*keys, rows[TIME]))


def _sortable(column: Array) -> list[Array]:
    """A column as numbers that sort as it does: names, eight letters at a time."""
    if column.dtype.kind != "S":
        return [column]
    width = -(-column.dtype.itemsize // 8)
    letters = np.ascontiguousarray(column.astype(f"S{8 * width}")).view(">u8")
    return list(letters.reshape(-1, width).astype("u8").T)


def _groups(table: Table, sources: tuple[Key, ...], rows: Array) -> Array:
    """Of each sorted row the number of its group: one time, key, feed and place."""
    names = [feed for feed, _ in sources]
    feeds = np.unique(names, return_inverse=True)[1][rows[FILE]]
    other = _changes(rows[TIME]) | _changes(feeds)
    for name in table.merges:
        for column in _sortable(rows[name]):
            other |= _changes(column)
    group: Array = np.cumsum(other)
    if table.place is None:
        return group
    where = table.place({column.name: rows[column.name] for column in table.columns})
    return _parted(group, np.asarray(where, np.float64))


def _parted(group: Array, where: Array) -> Array:
    """Sorted groups taken apart where there is a gap of more than 1 on an axis."""
    starts = np.flatnonzero(_changes(group))
    spread: Array = np.fmax.reduceat(where, starts) - np.fmin.reduceat(where, starts)
    apart: Array = np.any(spread > 1.0, axis=1)
    wide = np.flatnonzero(np.repeat(apart, np.diff(np.append(starts, len(group)))))
    if not len(wide):
        return group
    made, part = group.copy(), group[wide]
    for axis in where[wide].T:
        order = np.lexsort((axis, part))
        gap = np.diff(axis[order], prepend=axis[order[0]]) > 1.0
        part[order] = np.cumsum(_changes(part[order]) | gap)
    made[wide] = part + group[-1]
    return made


def _ranks(table: Table, sources: tuple[Key, ...]) -> Array:
    """How good the reports of each file are, the lowest the best."""
    ranks = {feed.name: feed.rank for feed in table.feeds if feed.rank is not None}
    return np.array([ranks[feed](path) if feed in ranks else 0 for feed, path in sources])


def _turns(group: Array, file: Array) -> Array:
    """Of rows sorted by group and file, the place of each among its file's in its group."""
    place = np.arange(len(group))
    begins = np.where(_changes(group) | _changes(file), place, 0)
    turns: Array = place - np.maximum.accumulate(begins)
    return turns


def _changes(values: Array) -> Array:
    """Where a value differs from the one before; True at the first."""
    found = np.ones(len(values), bool)
    found[1:] = values[1:] != values[:-1]
    return found


def _first_values(table: Table, rows: Array, starts: Array, best: Array) -> Array:
    """A row for each group of rows: of each column the first value that the best of them have."""
    made, last = rows[starts], len(rows)
    for column in table.columns:
        there = best & _is_there(column, rows[column.name])
        if column.name in table.absent:
            there &= rows[column.name] != table.absent[column.name]
        if there.all():
            continue
        first = np.minimum.reduceat(np.where(there, np.arange(last), last), starts)
        made[column.name] = rows[column.name][np.where(first < last, first, starts)]
    return made


def _is_there(column: Variable, values: Array) -> Array:
    if column.packing.is_float:
        return ~np.isnan(values)
    if not is_name(column) and column.packing.fill is None:
        return np.ones(len(values), bool)
    there: Array = values != missing_value(column)
    return there
