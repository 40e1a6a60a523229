"""What a planned block becomes: a job for a worker, and, when it is done, rows of the ledger."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

from fluxengine import key
from fluxengine.declare import Array
from fluxengine.digest import BYTES
from fluxengine.files import FileId
from fluxengine.ledger import STAMP, VALID, BlockRows
from fluxengine.plan import DatasetPlan, Why, valid_steps
from fluxengine.provenance import of_what_computes
from fluxengine.reading import Upstream
from fluxengine.repository import Repository
from fluxengine.store import Store
from fluxengine.task import Job, Outcome


def jobs(plan: DatasetPlan, store: Store, repository: Repository, batch: int) -> Iterator[Job]:
    """A job for each block that will run.

    Parameters
    ----------
    plan : DatasetPlan
    store : Store
    repository : Repository
        Of the dataset, with room for its steps.
    batch : int
        Steps to compute at once; 0 for the block.
    """
    stand, path = plan.stand, repository.path
    upstream = {name: _upstream(store, given.plan) for name, given in plan.inputs.items()}
    # One fork serves all tasks: it is only a base to write from, and each task returns its own.
    fork = repository.fork()
    previous = Upstream(path, stand.snapshot, stand.layout.outputs) if stand.snapshot else None
    for number in plan.will_run.numbers.tolist():
        block = stand.grid.numbered(number)
        yield Job(
            stand.dataset,
            stand.layout.outputs,
            block,
            path,
            fork,
            plan.standing,
            upstream,
            {step: plan.files.found[step] for step in block.steps} if plan.files else {},
            previous,
            valid_steps(stand, number),
            batch,
            stand.layout.references,
            _unchanged(plan, number),
            of_what_computes(),
        )


def _unchanged(plan: DatasetPlan, number: int) -> frozenset[int]:
    """Steps of a block whose references still hold: it is made again for other steps' files."""
    files, book = plan.files, plan.stand.ledger
    why = plan.reasons[number] & (Why.WEIGHTS | Why.CODE | Why.OPTIONS)
    if files is None or why or not plan.stand.layout.references:
        return frozenset()
    steps, tile = book.rows_of(number)
    good = steps.start + np.flatnonzero(book.states[steps, tile] == VALID)
    known = {step: files.found[step] for step in good.tolist()}
    return frozenset(step for step, file in known.items() if file is not None and file.sha256)


def _upstream(store: Store, plan: DatasetPlan) -> Upstream:
    stand = plan.stand
    return Upstream(store.root / plan.name, stand.snapshot, stand.layout.outputs)


def rows(
    plan: DatasetPlan, number: int, outcome: Outcome, provenance: Mapping[str, Any]
) -> BlockRows:
    """What the ledger will say of a finished block."""
    block = plan.stand.grid.numbered(number)
    stamps, files = _as_read(plan, block.steps, outcome.files)
    inputs = plan.key_inputs(number) if files is None else key.of_files(files)
    record = {
        "key": key.block_key(plan.standing_digest, inputs),
        "inputs": plan.window_digests(number),
        "files": dict(outcome.files),
        "notes": dict(outcome.notes),
        "traceback": outcome.traceback,
        "run": provenance["run"],
        "code_commit": provenance["code"],
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "batch": outcome.batch,
        "device": outcome.device,
        "worker": outcome.worker,
        "seconds": round(outcome.seconds, 3),
    }
    record = {name: value for name, value in record.items() if value or name == "notes"}
    standing = plan.standing_digest
    return BlockRows(
        block, outcome.states, outcome.digests, standing, inputs, record, stamps, files
    )


def _as_read(
    plan: DatasetPlan, steps: range, read: Mapping[str, Any]
) -> tuple[Array | None, Array | None]:
    """Files of a source block as the worker read them, not as they were planned."""
    if plan.files is None:
        return None, None
    # A file that is gone is noted as none, so that it is taken when it comes back.
    stamps, digests = np.zeros((len(steps), STAMP), "u1"), np.zeros((len(steps), BYTES), "u1")
    for at, step in enumerate(steps):
        known = read.get(plan.stand.grid.step_name(step))
        if known is not None:
            file = FileId(**known)
            stamps[at] = np.frombuffer(file.stamp_digest, "u1")
            # An unread file is noted as none, so that it is tried again.
            digests[at] = np.frombuffer(file.digest, "u1") if file.sha256 else 0
    return stamps, digests
