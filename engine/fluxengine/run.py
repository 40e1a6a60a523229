"""Runs: bring every dataset of a plan up to date, commit in batches, publish at the end.

Datasets are made upstream first; each is planned again once what it reads is there, so that a
change which yields the same values stops at the first stored dataset. Workers write through forks;
this process alone commits, under the store's run lock, and moves `main` only when all is done.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from fluxengine import key, provenance
from fluxengine.declare import Array, Dataset, Source, upstream_first
from fluxengine.errors import RunFailed
from fluxengine.executors import Executor
from fluxengine.files import FileId
from fluxengine.ledger import HOLDS_VALUES, STAMP, BlockRows
from fluxengine.plan import DatasetPlan, plan_dataset, valid_steps
from fluxengine.progress import QUIET, Progress
from fluxengine.stand import Request
from fluxengine.store import MAIN, Repository, Store, remember_product
from fluxengine.task import Job, Outcome, Upstream

BLOCKS_PER_COMMIT = 32
SECONDS_PER_COMMIT = 30.0

MEND = {
    True: "Mend the input (`archives` in the run file says where it is) and run again.",
    False: "`fluxforge status --json` tells of every block; mend the cause and run again.",
}

OpenExecutor = Callable[[], AbstractContextManager[Executor]]


@dataclass(frozen=True)
class Summary:
    """What a run did.

    Parameters
    ----------
    blocks : dict of str to int
        Blocks made, by dataset; datasets with nothing to do are absent.
    published : dict of str to str
        New version, by dataset.
    marked : tuple of str
        Each step or block of the period that holds no good values, with the reason.
    seconds : float
    """

    blocks: Mapping[str, int]
    published: Mapping[str, str]
    marked: tuple[str, ...]
    seconds: float

    @property
    def did_nothing(self) -> bool:
        """Whether everything was up to date."""
        return not self.blocks and not self.published

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "blocks": dict(self.blocks),
            "published": dict(self.published),
            "marked": list(self.marked),
            "seconds": round(self.seconds, 2),
        }


@dataclass
class _Run:
    """The state of one run: the executor starts only when the first block needs it."""

    request: Request
    store: Store
    open_executor: OpenExecutor
    progress: Progress
    strict: bool
    stack: ExitStack
    executor: Executor | None = None
    plans: dict[str, DatasetPlan] = field(default_factory=dict)
    made: dict[str, int] = field(default_factory=dict)
    published_before: dict[str, str] = field(default_factory=dict)
    marked: list[str] = field(default_factory=list)
    provenance: dict[str, Any] = field(default_factory=provenance.of_this_run)

    def workers(self) -> Executor:
        if self.executor is None:
            self.executor = self.stack.enter_context(self.open_executor())
        return self.executor


def run(
    request: Request,
    open_executor: OpenExecutor,
    *,
    progress: Progress = QUIET,
    strict: bool = False,
) -> Summary:
    """Bring the product up to date and publish it.

    Parameters
    ----------
    request : Request
        With a store.
    open_executor : callable
        Gives a context manager that starts the workers; called only if a block must be made.
    progress : Progress, optional
    strict : bool
        Stop before publication at the first missing or damaged file or failed block.

    Returns
    -------
    Summary

    Raises
    ------
    RunFailed
        Where a source has no valid step at all, or under `strict`; nothing is published then.
    RunLocked, LeaseLost, NoSpace, StoreError, PublicationConflict
        Finished blocks are kept, each dataset is published as before or as a whole, and the same
        command goes on from there.
    """
    if request.store is None:
        raise RunFailed("a run needs a store.")
    began = time.perf_counter()
    with request.store.locked() as store, ExitStack() as stack:
        request = replace(request, store=store)
        state = _Run(request, store, open_executor, progress, strict, stack)
        for dataset in upstream_first(request.product):
            _bring_up_to_date(state, dataset)
        published = _publish(state)
    return Summary(state.made, published, tuple(state.marked), time.perf_counter() - began)


def _bring_up_to_date(state: _Run, dataset: Dataset) -> None:
    name = dataset.name
    plan = plan_dataset(state.request, dataset, state.plans)
    repository = _prepared(state, plan)
    state.published_before[name] = repository.tip(MAIN)
    # Everything upstream is done: what may still be pending there is a block that failed again.
    if len(plan.will_run):
        state.progress.begin(name, len(plan.will_run))
        _make(state, plan, repository)
        state.made[name] = len(plan.will_run)
    stand = replace(plan.stand, repository=repository, snapshot=repository.tip())
    nothing = np.zeros_like(plan.pending)
    state.plans[name] = replace(plan, stand=stand, pending=nothing)
    _look_for_marks(state, state.plans[name])


def _prepared(state: _Run, plan: DatasetPlan) -> Repository:
    """The dataset's repository, made or extended as the plan's layout wants."""
    stand = plan.stand
    if stand.repository is None:
        return state.store.create(stand.layout, stand.ledger)
    if stand.repository.steps(stand.snapshot) < stand.grid.step_axis.length:
        stand.repository.extend(stand.layout, stand.ledger)
    return stand.repository


# --- making blocks -------------------------------------------------------------------------------


def _make(state: _Run, plan: DatasetPlan, repository: Repository) -> None:
    """Make what will run and commit it in batches; the plan's ledger grows with it."""
    book, numbers = plan.stand.ledger, dict(_named(plan))
    for batch in _batches(state.workers()(_jobs(state, plan, repository))):
        run = state.provenance["run"]
        made = [(o.fork, _rows(plan, numbers[o.job], o, run)) for o in batch]
        fresh = [(fork, rows) for fork, rows in made if not book.holds(rows)]
        for _, rows in fresh:
            book.put(rows, plan.standing)
        if fresh:
            forks, finished = [fork for fork, _ in fresh], [rows for _, rows in fresh]
            repository.commit(forks, plan.stand.layout, book, finished, state.provenance)
        for _ in batch:
            state.progress.advance(plan.name)
        _stop_if_strict(state, plan.name, [rows for _, rows in made])


def _named(plan: DatasetPlan) -> Iterator[tuple[str, int]]:
    """Name of each job and number of its block."""
    for number in plan.will_run.numbers.tolist():
        yield f"{plan.name}-{plan.stand.grid.numbered(number).name}", number


def _jobs(state: _Run, plan: DatasetPlan, repository: Repository) -> Iterator[Job]:
    stand, path = plan.stand, repository.path
    upstream = {name: _upstream(state, given.plan) for name, given in plan.inputs.items()}
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
        )


def _upstream(state: _Run, plan: DatasetPlan) -> Upstream:
    stand = plan.stand
    return Upstream(state.store.root / plan.name, stand.snapshot, stand.layout.outputs)


def _batches(outcomes: Iterable[Outcome]) -> Iterator[list[Outcome]]:
    """Outcomes in batches worth a commit: by number or by time."""
    batch: list[Outcome] = []
    last = time.monotonic()
    for outcome in outcomes:
        batch.append(outcome)
        if len(batch) >= BLOCKS_PER_COMMIT or time.monotonic() - last > SECONDS_PER_COMMIT:
            yield batch
            batch, last = [], time.monotonic()
    if batch:
        yield batch


def _rows(plan: DatasetPlan, number: int, outcome: Outcome, run: str) -> BlockRows:
    block = plan.stand.grid.numbered(number)
    stamps, files = _as_read(plan, block.steps, outcome.files)
    inputs = plan.key_inputs(number) if files is None else key.of_files(files)
    record = {
        "key": key.block_key(plan.standing_digest, inputs),
        "inputs": plan.window_digests(number),
        "files": dict(outcome.files),
        "notes": dict(outcome.notes),
        "traceback": outcome.traceback,
        "run": run,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "batch": outcome.batch,
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
    part = slice(steps.start, steps.stop)
    stamps, digests = np.zeros((len(steps), STAMP), "u1"), plan.files.digests[part].copy()
    for at, step in enumerate(steps):
        known = read.get(plan.stand.grid.step_name(step))
        if known is not None:
            file = FileId(**known)
            stamps[at] = np.frombuffer(file.stamp_digest, "u1")
            # An unread file is noted as none, so that it is tried again.
            digests[at] = np.frombuffer(file.digest, "u1") if file.sha256 else 0
    return stamps, digests


# --- what is not well ----------------------------------------------------------------------------


def _stop_if_strict(state: _Run, name: str, finished: Iterable[BlockRows]) -> None:
    if not state.strict:
        return
    for rows in finished:
        for step, note in rows.record["notes"].items():
            raise RunFailed(
                f"stopped at {step}: {note.rstrip('.')}.",
                where=name,
                mend="Nothing was published. Mend the input, or run without --strict.",
            )


def _look_for_marks(state: _Run, plan: DatasetPlan) -> None:
    """Collect the period's notes; stop where a dataset has nothing to give at all."""
    book, name = plan.stand.ledger, plan.name
    marked = book.marked()
    notes = sorted(book.notes(marked[plan.wanted[marked]]))
    if not np.isin(book.states, HOLDS_VALUES).any():
        first = notes[0][1] if notes else "it is empty"
        raise RunFailed(
            f"not one step of {name} can be used: {first.rstrip('.')}.",
            mend="Nothing was published. " + MEND[isinstance(plan.stand.dataset, Source)],
        )
    state.marked += [f"{name} {step}: {note}" for step, note in notes]


def _publish(state: _Run) -> dict[str, str]:
    """Publish every dataset that changed, upstream first."""
    if state.strict and state.marked:
        raise RunFailed(
            f"not published under --strict: {state.marked[0].rstrip('.')}.",
            mend="Mend the input, or run without --strict.",
        )
    published = {}
    repositories = {name: state.store.repository(name) for name in state.published_before}
    for name, before in state.published_before.items():
        repositories[name].check_unmoved(before)  # of all, before the first one moves
    for name, before in state.published_before.items():
        new = repositories[name].publish(before)
        if new is not None:
            published[name] = new
    if not isinstance(state.request.product, Source):
        remember_product(state.store, state.request.product.name)
    return published
