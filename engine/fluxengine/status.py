"""Status: what a store holds, what is published, and what is not well."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from fluxengine.ledger import ABSENT, FAILED_STEP, HOLDS_VALUES, MISSING_STEP
from fluxengine.repository import MAIN
from fluxengine.store import Store


def of_store(store: Store) -> list[dict[str, Any]]:
    """One record a dataset, as `fluxforge status --json` prints it.

    ``content`` is one digest over the content digests of all steps: equal content, equal digest.
    """
    return [_of_dataset(store, name) for name in store.names]


def _of_dataset(store: Store, name: str) -> dict[str, Any]:
    repository = store.repository(name)
    snapshot = repository.tip()
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
        "unpublished_work": not versions or repository.tip(MAIN) != snapshot,
        "content": hashlib.sha256(book.digests.tobytes()).hexdigest(),
        "notes": dict(sorted(notes.items())),
    }
