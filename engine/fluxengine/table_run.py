"""Runs of tables: read the files that must be read, rewrite the months they touch, publish.

A file's rows enter the table only once all of it was read. Rows of many files are gathered before
the months are rewritten that they touch; a file with more rows than are gathered is written bit by
bit into changes that are committed when it ends, or dropped if it turns out to be damaged. Rows and
book are committed together, so that a run which dies leaves whole files.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from fluxengine import provenance, table_store
from fluxengine.declare import Array
from fluxengine.errors import FluxforgeError, MissingFile, NoSpace, RunFailed, StoreError
from fluxengine.files import FileId, as_read, is_unchanged, local_copies
from fluxengine.ingest import told
from fluxengine.outages import is_full
from fluxengine.progress import QUIET, Progress
from fluxengine.repository import MAIN, NOTED, Changes, Repository, storage_errors
from fluxengine.table_book import Book, FileEntry, MonthEntry, Window, as_runs, from_runs
from fluxengine.table_plan import PlannedFile, TablePlan, TableRequest, make_plan, notices, why
from fluxengine.table_rows import Key, Reports, arranged, by_month, joined, packed
from fluxengine.tables import FILE, TIME, Table

ROWS_HELD = 2_000_000  # rows that are gathered before months are rewritten
ROWS_A_PIECE = 50  # what an array costs beside its rows, in rows
SECONDS_PER_COMMIT = 60.0
MEND = "Mend the input (`archives` in the run file says where it is) and run again."

Pieces = dict[str, list[Reports]]  # by month


@dataclass(frozen=True)
class TableSummary:
    """What a run of a table did.

    Parameters
    ----------
    table : str
    read : int
        Files.
    months : int
        That were rewritten.
    rows : int
        That the table holds.
    rejected : mapping of str to mapping of str to int
        Why rows of its files were left out, and how many, by feed.
    published : str or None
        New version.
    marked : tuple of str
        Files that could not be read, feeds without files, and months without a report.
    gone : tuple of (str, str)
        Feed and path of files that are there no more; the rows read of them stay.
    seconds : float
    """

    table: str
    read: int
    months: int
    rows: int
    rejected: Mapping[str, Mapping[str, int]]
    published: str | None
    marked: tuple[str, ...]
    gone: tuple[Key, ...]
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        lists = {
            "marked": list(self.marked),
            "gone": [{"feed": feed, "path": path} for feed, path in self.gone],
        }
        return {**self.__dict__, **lists, "seconds": round(self.seconds, 2)}


def run(request: TableRequest, *, progress: Progress = QUIET, strict: bool = False) -> TableSummary:
    """Bring a table up to date and publish it.

    Parameters
    ----------
    request : TableRequest
        With a store.
    progress : Progress, optional
    strict : bool
        Stop before publication at the first file that cannot be read.

    Raises
    ------
    RunFailed
        Where there is no row at all, or under `strict`; nothing is published then.
    ConfigError, StoreMismatch, RunLocked, LeaseLost, NoSpace, StoreError, PublicationConflict
        Files that were committed are kept, and the same command goes on from there.
    """
    if request.store is None:
        raise RunFailed("a run needs a store.")
    began = time.perf_counter()
    with request.store.locked() as store:
        plan = make_plan(replace(request, store=store))
        writer = _writer(plan)
        before = writer.repository.tip(MAIN)
        progress.begin(plan.name, len(plan.reads))
        for planned in plan.reads:
            _take(writer, plan, planned)
            if strict:
                _stop_if_refused(plan, writer, planned)
            progress.advance(plan.name)
        _settle(writer, plan)
        writer.commit()
        writer.note_touched(plan.touched)
        marked = tuple(_marks(plan, writer.stored))
        _refuse_publication(plan, writer.stored, marked, strict)
        published = writer.repository.publish(before)
    rows = sum(entry.rows for entry in writer.stored.months.values())
    seconds, rejected = time.perf_counter() - began, writer.stored.rejected()
    return TableSummary(
        plan.name,
        len(plan.reads),
        _changed(plan.book, writer.stored),
        rows,
        rejected,
        published,
        marked,
        tuple(entry.key for entry in plan.gone if entry.key in writer.stored.files),
        seconds,
    )


# --- writing -------------------------------------------------------------------------------------


@dataclass
class _Writer:
    """What is gathered, and the changes that are not committed yet.

    Parameters
    ----------
    stored, draft : Book
        As committed, and with what was written since.
    notes : dict of (str, str) to FileEntry
        Of files that were read since.
    held : dict of str to list of Reports
        Rows by month, still to be written.
    leaving : dict of str to set of (str, str)
        Files whose former rows go, by month.
    """

    table: Table
    repository: Repository
    stored: Book
    draft: Book
    attrs: Mapping[str, Any]
    notes: dict[Key, FileEntry] = field(default_factory=dict)
    held: Pieces = field(default_factory=dict)
    leaving: dict[str, set[Key]] = field(default_factory=dict)
    weight: int = 0
    changes: Changes | None = None
    since: float = field(default_factory=time.monotonic)
    provenance: dict[str, Any] = field(default_factory=provenance.of_this_run)

    def drop(self, entry: FileEntry) -> None:
        """The rows that a file gave are to go."""
        for month in from_runs(entry.months):
            self.leaving.setdefault(month, set()).add(entry.key)

    def gather(self, pieces: Pieces, weight: int) -> None:
        """Rows of a file that was read to its end."""
        for month, reports in pieces.items():
            self.held.setdefault(month, []).extend(reports)
        self.weight += weight

    def write(self) -> None:
        """Rewrite the months that something was gathered for."""
        with storage_errors(self.repository.path):
            for month in sorted({*self.held, *self.leaving}):
                self._rewrite(month, self.held.get(month, []), self.leaving.get(month, ()))
        self.held, self.leaving, self.weight = {}, {}, 0

    def _rewrite(self, month: str, added: list[Reports], leaving: Collection[Key]) -> None:
        root, known = self._open().root, self.draft.months.get(month)
        if known is not None:
            before = table_store.read_month(root, month).as_read()
            added = [joined(self.table, [before], leaving), *added]
        made = arranged(self.table, joined(self.table, added))
        if known is not None and made.digest == known.digest:
            return
        entry: MonthEntry | None = None
        if len(made.rows):
            entry = table_store.write_month(root, self.table, month, made, self.attrs)
        else:
            table_store.drop_month(root, month)
        self.draft = self.draft.with_month(month, entry)

    def _open(self) -> Changes:
        if self.changes is None:
            self.changes = self.repository.changes()
            table_store.check_metadata(self.changes.root)
        return self.changes

    def commit(self) -> None:
        """Make all of it part of the table, if there is anything."""
        self.write()
        self.enter_notes()
        if self.draft != self.stored:
            changes = self._open()
            with storage_errors(self.repository.path):
                self.draft = table_store.described(changes.root, self.attrs, self.draft)
                table_store.save(changes.root, self.draft)
            # Months know their attributes: where none differs, there is nothing to publish.
            noted = {NOTED: True} if self.draft.months == self.stored.months else {}
            changes.commit(_message(self.stored, self.draft), {**self.provenance, **noted})
        self.stored, self.changes, self.since = self.draft, None, time.monotonic()

    def note_touched(self, touched: Mapping[Key, FileId]) -> None:
        """Have the book know files that were read and found as they were: once is enough."""
        if not touched:
            return
        files = [self.stored.files[known].noted(now) for known, now in touched.items()]
        changes, noted = self._open(), self.stored.with_files(files)
        with storage_errors(self.repository.path):
            table_store.save(changes.root, noted)
        changes.commit(f"{len(files)} files noted", {**self.provenance, NOTED: True})
        self.stored, self.draft, self.changes = noted, noted, None

    def note(self, entry: FileEntry) -> None:
        """What is known of a file now."""
        self.notes[entry.key] = entry

    def enter_notes(self) -> None:
        """Bring the draft of the book up to date."""
        self.draft = self.draft.with_files(self.notes.values())
        self.notes = {}

    def discard(self) -> None:
        """Forget what was written since the last commit, all of it by one file."""
        self.draft = replace(self.draft, months=self.stored.months)
        self.changes = None


def _changed(before: Book, now: Book) -> int:
    """How many months have another content."""
    both = ({month: e.digest for month, e in book.months.items()} for book in (before, now))
    return len({month for month, _ in set.symmetric_difference(*(set(d.items()) for d in both))})


def _message(before: Book, now: Book) -> str:
    files = sum(before.files.get(known) != entry for known, entry in now.files.items())
    months = sum(before.months.get(month) != entry for month, entry in now.months.items())
    return f"{files} files, {months} months"


def _writer(plan: TablePlan) -> _Writer:
    """The table's repository, made if need be, and what is to be written into it."""
    table, store = plan.request.table, plan.request.store
    standings = {plan.code_of(feed): plan.standing[feed.name] for feed in plan.request.chosen}
    draft = replace(
        plan.book,
        window=plan.window,
        notices=notices(plan),
        standings={**plan.book.standings, **standings},
    )
    attrs = table_store.attributes(table, draft)

    def fill(root: Any) -> None:
        table_store.create(root, table, attrs, plan.book)

    repository = plan.repository
    if repository is None:
        assert store is not None
        repository = store.make(plan.name, lambda path: Repository.begin(path, plan.name, fill))
    return _Writer(table, repository, plan.book, draft, attrs)


# --- reading -------------------------------------------------------------------------------------


class _Refused(Exception):
    """A file cannot be read; says why, for its note."""


@dataclass
class _Reading:
    """A file that is being read, with the rows that were not written yet."""

    planned: PlannedFile
    window: Window
    pieces: Pieces = field(default_factory=dict)
    months: set[str] = field(default_factory=set)
    rejected: Counter[str] = field(default_factory=Counter)
    rows: int = 0
    weight: int = 0
    spilled: bool = False

    def add(self, rows: Array) -> None:
        """Keep the rows that lie in the window."""
        rows = rows[_within(rows[TIME], self.window)]
        self.rows += len(rows)
        for month, part in by_month(rows):
            part[FILE] = 0
            self.pieces.setdefault(month, []).append(Reports((self.planned.key,), part))
            self.months.add(month)
            self.weight += len(part) + ROWS_A_PIECE

    def spill(self, writer: _Writer, former: FileEntry | None) -> None:
        """Make room: commit what others gave, and write what this file gave so far."""
        if not self.spilled:
            writer.commit()
        if self.weight > ROWS_HELD:
            self.hand_over(writer, former)
            writer.write()
            self.spilled = True

    def hand_over(self, writer: _Writer, former: FileEntry | None) -> None:
        """Give the rows to be written; the file's former rows go, once."""
        if former is not None and not self.spilled:
            writer.drop(former)
        writer.gather(self.pieces, self.weight)
        self.pieces, self.weight = {}, 0


def _within(times: Array, window: Window) -> Array:
    begin, end = window.seconds()
    inside = np.ones(len(times), bool)
    if begin is not None:
        inside &= times >= begin.astype("i8")
    if end is not None:
        inside &= times < end.astype("i8")
    return inside


def _take(writer: _Writer, plan: TablePlan, planned: PlannedFile) -> None:
    """Read one file; what it gave is gathered, or why it gave nothing is noted."""
    former = writer.draft.files.get(planned.key)
    reading = _Reading(planned, plan.window)
    file = planned.file
    try:
        with local_copies(planned.file) as (path,):
            file = _identified(planned.file, path)
            if former is not None and not why(plan, planned.feed, former, file):
                writer.note(former.noted(file))  # fetched, and found to be as it was
                return
            _read(writer, reading, former, path)
        if not is_unchanged(file):
            file = replace(file, sha256="")  # counts as unread: the next run reads it again
            raise _Refused(f"{file.path}: the file changed while it was read.")
    except MissingFile:  # between the listing and now: as if it had not been listed
        return
    except _Refused as error:
        if reading.spilled:
            writer.discard()
        writer.note(_refused(plan, planned, former, file, str(error)))
        return
    reading.hand_over(writer, former)
    writer.note(_read_entry(plan, reading, file))
    if writer.weight > ROWS_HELD or time.monotonic() - writer.since > SECONDS_PER_COMMIT:
        writer.commit()


def _identified(file: FileId, path: Path) -> FileId:
    try:
        return as_read(file, [path])
    except FileNotFoundError:
        raise MissingFile("the file vanished from its archive.", where=file.path) from None
    except OSError as error:
        raise _Refused(f"{file.path}: it cannot be read: {error.strerror}.") from error


def _read(writer: _Writer, reading: _Reading, former: FileEntry | None, path: Path) -> None:
    for rows, rejected in _parts(writer.table, reading.planned, path):
        reading.add(rows)
        reading.rejected.update(rejected)
        if writer.weight + reading.weight > ROWS_HELD:
            reading.spill(writer, former)


def _parts(
    table: Table, planned: PlannedFile, path: Path
) -> Iterator[tuple[Array, Mapping[str, int]]]:
    """The file's rows in parts, checked and packed.

    Raises
    ------
    _Refused
        Where the file is damaged, or its reader gives what the table cannot hold.
    """
    first = 0
    try:
        for given in planned.feed.read(path):
            rows = packed(table, given, first, planned.file.path)
            first += len(rows)
            yield rows, {str(reason): int(number) for reason, number in given.rejected.items()}
    except (NoSpace, StoreError, MissingFile, MemoryError):
        raise
    except FluxforgeError as error:
        raise _Refused(str(error)) from error
    except Exception as error:  # damage that the reader did not foresee: the other files go on
        if is_full(error):
            raise
        raise _Refused(f"{planned.file.path}: {type(error).__name__}: {error}") from error


# --- what the book will say ----------------------------------------------------------------------


def _read_entry(plan: TablePlan, reading: _Reading, file: FileId) -> FileEntry:
    planned = reading.planned
    return FileEntry(
        *planned.key,
        found=file.path,
        size=file.size,
        stamp=file.stamp,
        sha256=file.sha256,
        code=plan.code_of(planned.feed),
        held=file.sha256,
        rows=reading.rows,
        rejected=json.dumps(reading.rejected, sort_keys=True),
        months=as_runs(reading.months),
        first=plan.window.first,
        last=plan.window.last,
        note="",
    )


def _refused(
    plan: TablePlan, planned: PlannedFile, former: FileEntry | None, file: FileId, note: str
) -> FileEntry:
    """What is noted of a file that could not be read: the rows it gave before stay."""
    if former is None:
        former = replace(_read_entry(plan, _Reading(planned, plan.window), file), held="")
    tried = former.noted(file)
    return replace(tried, code=plan.code_of(planned.feed), note=told(note))


def _settle(writer: _Writer, plan: TablePlan) -> None:
    """What the book says of files that were not read."""
    writer.enter_notes()
    files = writer.draft.files
    held = {(e.feed, e.held) for e in files.values() if e.key in plan.there and e.held}
    for entry in plan.gone:
        if not entry.held or (entry.feed, entry.held) in held:  # never read, or lies elsewhere
            writer.drop(entry)
            writer.draft = writer.draft.with_files([], [entry.key])
        elif entry.note:  # the damaged file is gone; what it gave before stays
            writer.draft = writer.draft.with_files([replace(entry, sha256="", note="")])
    writer.draft = writer.draft.pruned()


def _stop_if_refused(plan: TablePlan, writer: _Writer, planned: PlannedFile) -> None:
    entry = writer.notes.get(planned.key)
    if entry is not None and entry.note:
        raise RunFailed(
            f"stopped: {entry.note.rstrip('.')}.",
            where=f"{plan.name} {entry.feed}",
            mend="Nothing was published. Mend the input, or run without --strict.",
        )


def _marks(plan: TablePlan, book: Book) -> Iterator[str]:
    """What is not well, in words."""
    yield from plan.empty
    for known in sorted(plan.there & book.files.keys()):
        entry = book.files[known]
        if entry.note:
            kept = f" The {entry.rows} rows read of it before are kept." if entry.held else ""
            yield f"{entry.feed}: {entry.note}{kept}"
    for entry in plan.gone:
        if entry.key in book.files and not entry.window.holds(plan.window):
            yield f"{entry.feed}: {entry.path} is gone: of it only {entry.months} can be kept."
    yield from _without_report(plan.request.window, book)


def _without_report(asked: Window, book: Book) -> Iterator[str]:
    """That a table with other months has none of those that were asked for."""
    if not book.months or any(asked.holds(Window(month, month)) for month in book.months):
        return
    since, until = (
        f" {word} {m}" if m else "" for word, m in (("from", asked.first), ("to", asked.last))
    )
    yield f"no report{since}{until}: the table's months are {as_runs(book.months)}."


def _refuse_publication(plan: TablePlan, book: Book, marked: tuple[str, ...], strict: bool) -> None:
    if strict and marked:
        raise RunFailed(
            f"not published under --strict: {marked[0].rstrip('.')}.",
            mend="Mend the input, or run without --strict.",
        )
    if not book.months:
        first = _why_none(book) or (marked or ("its files have none in these months",))[0]
        raise RunFailed(
            f"there is not one row of {plan.name}: {first.rstrip('.')}.",
            mend="Nothing was published. " + MEND,
        )


def _why_none(book: Book) -> str:
    """In words, why most rows were left out; empty where none was."""
    reasons = [(n, f, why) for f, of in book.rejected().items() for why, n in of.items()]
    if not reasons:
        return ""
    number, feed, reason = max(reasons)
    return (
        "its files have none in these months that can be used;"
        f" of {feed} {number:,} rows were left out: {reason}"
    )
