"""Status: what a store holds, what is published, and what is not well."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from fluxengine.ledger import ABSENT, FAILED_STEP, HOLDS_VALUES, MISSING_STEP
from fluxengine.repository import Repository
from fluxengine.store import Store
from fluxengine.table_book import Book
from fluxengine.table_book import read as read_book
from fluxengine.table_store import is_table


def of_store(store: Store) -> list[dict[str, Any]]:
    """One record a dataset, as `fluxforge status --json` prints it.

    ``content`` is one digest over the content digests of all steps: equal content, equal digest.
    """
    return [_of_dataset(store, name) for name in store.names]


def _of_dataset(store: Store, name: str) -> dict[str, Any]:
    repository = store.repository(name)
    snapshot = repository.tip()
    root = repository.read(snapshot)
    if is_table(root):
        return _of_table(repository, name, read_book(root, str(repository.path)))
    book = repository.ledger(snapshot)
    grid, states = book.grid, book.states
    versions = repository.versions
    notes = dict(book.notes(book.marked()))
    return {
        "dataset": name,
        "first": grid.step_name(0),
        "last": grid.step_name(grid.step_axis.length - 1),
        "valid": int(np.isin(states, HOLDS_VALUES).sum()),
        "failed": int((states == FAILED_STEP).sum()),
        "no_file": int((states == MISSING_STEP).sum()),
        "never_written": int((states == ABSENT).sum()),
        "published": versions[-1] if versions else None,
        "unpublished_work": repository.has_unpublished,
        "content": hashlib.sha256(book.digests.tobytes()).hexdigest(),
        "notes": dict(sorted(notes.items())),
    }


def _of_table(repository: Repository, name: str, book: Book) -> dict[str, Any]:
    versions, months = repository.versions, sorted(book.months)
    refused = {f"{e.feed} {e.path}": e.note for e in book.files.values() if e.note}
    digests = "".join(book.months[month].digest for month in months)
    return {
        "dataset": name,
        "first": months[0] if months else "",
        "last": months[-1] if months else "",
        "months": len(months),
        "rows": sum(entry.rows for entry in book.months.values()),
        "files": len(book.files),
        "refused": len(refused),
        "rejected": book.rejected(),
        "published": versions[-1] if versions else None,
        "unpublished_work": repository.has_unpublished,
        "content": hashlib.sha256(digests.encode()).hexdigest(),
        "notes": dict(sorted(refused.items())),
    }
