"""Plans of tables: which files must be read, and why. Nothing here reads rows or writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from fluxengine import key, table_store
from fluxengine.errors import ConfigError, StoreMismatch
from fluxengine.files import FileId, is_local, joined, local, notice, settled
from fluxengine.repository import Repository
from fluxengine.store import Store
from fluxengine.table_book import Book, FileEntry, Window
from fluxengine.table_book import read as read_book
from fluxengine.table_files import find
from fluxengine.table_rows import Key
from fluxengine.tables import Feed, Table


@dataclass(frozen=True)
class TableRequest:
    """What a user wants: a table's months, from archives, in a store.

    Parameters
    ----------
    table : Table
    first, last : date or None
        Days in the first and the last month; None for all that the files hold.
    archives : mapping
        Archive name to root.
    store : Store or None
        None where it need not exist yet.
    feeds : tuple of str
        Which ones to bring up to date; all where it is empty. The others' rows stay.
    """

    table: Table
    first: date | None
    last: date | None
    archives: Mapping[str, str]
    store: Store | None
    feeds: tuple[str, ...] = ()

    def root_of(self, feed: Feed) -> str:
        """Root of the archive a feed is read from."""
        return self.archives.get(feed.archive, feed.home)

    @property
    def chosen(self) -> tuple[Feed, ...]:
        """The feeds to bring up to date.

        Raises
        ------
        ConfigError
            Where the table has no feed of a name.
        """
        for name in self.feeds:
            if self.table.feed(name) is None:
                raise ConfigError(
                    f"'{self.table.name}' has no feed '{name}'.",
                    mend=f"It has: {', '.join(feed.name for feed in self.table.feeds)}.",
                )
        return tuple(f for f in self.table.feeds if not self.feeds or f.name in self.feeds)

    @property
    def window(self) -> Window:
        """The months asked for.

        Raises
        ------
        ConfigError
            Where the last comes before the first.
        """
        first, last = (f"{day:%Y-%m}" if day else "" for day in (self.first, self.last))
        if first and last and last < first:
            raise ConfigError(f"the last month, {last}, comes before the first, {first}.")
        return Window(first, last)


@dataclass(frozen=True)
class PlannedFile:
    """A file to read, and why."""

    feed: Feed
    path: str
    file: FileId
    why: str

    @property
    def key(self) -> Key:
        """What the book knows it by."""
        return self.feed.name, self.path

    def as_json(self) -> dict[str, str]:
        """For machines."""
        return {"feed": self.feed.name, "path": self.path, "why": self.why}


@dataclass(frozen=True)
class TablePlan:
    """What a run would do.

    Parameters
    ----------
    request : TableRequest
    book : Book
        As stored; empty where there is no table yet.
    repository : Repository or None
    window : Window
        The months that the table will hold: those it holds, and those asked for.
    standing : mapping of str to dict
        What each chosen feed's rows depend on, now.
    reads : tuple of PlannedFile
        In the order in which they are read.
    there : frozenset of (str, str)
        All files that were found.
    gone : tuple of FileEntry
        Files of the chosen feeds that were read once and are gone. Their rows stay.
    empty : tuple of str
        In words, feeds of which no file was found.
    touched : mapping of (str, str) to FileId
        Files with the same bytes at another place or of another time.
    """

    request: TableRequest
    book: Book
    repository: Repository | None
    window: Window
    standing: Mapping[str, key.Parts]
    reads: tuple[PlannedFile, ...] = ()
    there: frozenset[Key] = frozenset()
    gone: tuple[FileEntry, ...] = ()
    empty: tuple[str, ...] = ()
    touched: Mapping[Key, FileId] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The table's name."""
        return self.request.table.name

    def code_of(self, feed: Feed) -> str:
        """Digest of what a feed's rows depend on."""
        return key.standing_digest(self.standing[feed.name]).hex()

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "table": self.request.table.name,
            "files": len(self.there),
            "will_read": [planned.as_json() for planned in self.reads],
            "gone": [{"feed": entry.feed, "path": entry.path} for entry in self.gone],
            "without_files": list(self.empty),
            "nothing_to_run": not self.reads,
        }


def make_plan(request: TableRequest) -> TablePlan:
    """Compare the files as they are with what the book says.

    Raises
    ------
    ConfigError, StoreMismatch, StoreError
        Where the request does not fit the store, or an archive cannot be listed.
    """
    repository, book = _stored(request)
    window = request.window if book.window is None else book.window.hull(request.window)
    files = {feed.name: find(feed, request.root_of(feed)) for feed in request.chosen}
    standing = {f.name: _standing(request.table, f, files[f.name]) for f in request.chosen}
    plan = TablePlan(request, book, repository, window, standing)
    for feed in request.chosen:
        plan = _with_feed(plan, feed, files[feed.name])
    return plan


def _stored(request: TableRequest) -> tuple[Repository | None, Book]:
    name = request.table.name
    if request.store is None or not request.store.has(name):
        return None, Book()
    repository = request.store.repository(name)
    root = repository.read(repository.tip())
    if not table_store.is_table(root):
        what = "the store has a dataset of that name which is no table."
        raise StoreMismatch(what, where=name, mend="Give the run a new store.")
    table_store.check(root, request.table)
    return repository, read_book(root, str(repository.path))


def _standing(table: Table, feed: Feed, files: Mapping[str, FileId]) -> key.Parts:
    columns = {c.name: f"{c.valid_range} {sorted(c.flags)}" for c in table.columns}
    options: dict[str, Any] = {"columns": columns, "absent": dict(table.absent)}
    if feed.beside is not None:
        here = [local(file.path) for file in files.values() if is_local(file.path)]
        options["beside"] = dict(feed.beside(here))
    return key.reader_parts([feed.read, table.completes], options)


def _with_feed(plan: TablePlan, feed: Feed, files: Mapping[str, FileId]) -> TablePlan:
    reads, touched = list(plan.reads), dict(plan.touched)
    for path in sorted(files, key=feed.order):
        file = files[path]
        entry = plan.book.files.get((feed.name, path))
        now = file if entry is None else _settled(file, entry)
        reason = why(plan, feed, entry, now)
        if reason:
            reads.append(PlannedFile(feed, path, now, reason))
        elif entry is not None and entry.noted(now) != entry:
            touched[entry.key] = now
    there = {(feed.name, path) for path in files}
    entries = (entry for entry in plan.book.files.values() if entry.feed == feed.name)
    gone = tuple(entry for entry in entries if entry.key not in there)
    root = plan.request.root_of(feed)
    words = f"{feed.name}: no file {' or '.join(feed.patterns)} in {root}"
    return replace(
        plan,
        reads=tuple(reads),
        there=plan.there | there,
        gone=plan.gone + gone,
        empty=plan.empty if files else (*plan.empty, words),
        touched=touched,
    )


def _settled(file: FileId, entry: FileEntry) -> FileId:
    known = FileId(entry.found, entry.size, entry.stamp)
    return settled(file, known.stamp_digest, bytes.fromhex(entry.sha256))


def why(plan: TablePlan, feed: Feed, entry: FileEntry | None, now: FileId) -> str:
    """Why a file must be read, in words; empty where it need not be."""
    if entry is None:
        return "new"
    if not entry.sha256:
        return "it could not be read to the end"
    if now.sha256 != entry.sha256:
        return "changed"
    if entry.code != plan.code_of(feed):
        old = plan.book.standings.get(entry.code)
        words = key.changed(old, plan.standing[feed.name]).values() if old else ()
        return "; ".join(words) or "code changed"
    if not entry.note and not entry.window.holds(plan.window):
        return "more months are wanted"
    return ""


def notices(plan: TablePlan) -> dict[str, str]:
    """What the keepers of the feeds' archives want told, and what they once wanted.

    Rows of files that are gone stay, and what was to be told of them.
    """
    told = dict(plan.book.notices)
    for feed in plan.request.chosen:
        text = joined(told.get(feed.name), notice(plan.request.root_of(feed)))
        if text:
            told[feed.name] = text
    return told
