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
from importlib.metadata import version
from typing import Any, Protocol

from fluxengine import key
from fluxengine.declare import Dataset, Source, upstream_first
from fluxengine.errors import RunFailed
from fluxengine.executors import Executor
from fluxengine.ledger import VALID, BlockRows
from fluxengine.plan import (
    FILES,
    DatasetPlan,
    PlannedBlock,
    Request,
    Stand,
    file_inputs,
    plan_dataset,
    take_stand,
    valid_steps,
    wanted_blocks,
)
from fluxengine.store import MAIN, Repository, Store, remember_product
from fluxengine.task import Job, Outcome, Upstream

BLOCKS_PER_COMMIT = 32
SECONDS_PER_COMMIT = 30.0
RECORDED = ("numpy", "xarray", "zarr", "icechunk", "numba", "torch")

MEND = {
    True: "Mend the input (`archives` in the run file says where it is) and run again.",
    False: "`fluxforge status --json` tells of every block; mend the cause and run again.",
}

OpenExecutor = Callable[[], AbstractContextManager[Executor]]


class Progress(Protocol):
    """What wants to know how a run goes."""

    def begin(self, dataset: str, blocks: int) -> None:
        """A dataset starts."""

    def advance(self, dataset: str) -> None:
        """One of its blocks is stored."""


class Quiet:
    """No progress is shown."""

    def begin(self, dataset: str, blocks: int) -> None:
        """Nothing."""

    def advance(self, dataset: str) -> None:
        """Nothing."""


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

    def workers(self) -> Executor:
        if self.executor is None:
            self.executor = self.stack.enter_context(self.open_executor())
        return self.executor


def run(
    request: Request,
    open_executor: OpenExecutor,
    *,
    progress: Progress | None = None,
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
        state = _Run(request, store, open_executor, progress or Quiet(), strict, stack)
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
    if plan.will_run:
        state.progress.begin(name, len(plan.will_run))
        _make(state, plan, repository)
        state.made[name] = len(plan.will_run)
        # What downstream needs is the ledger as it is now; no file is looked at a second time.
        plan = replace(plan, stand=take_stand(state.request, dataset, state.plans))
    state.plans[name] = plan
    _look_for_marks(state, plan.stand)


def _prepared(state: _Run, plan: DatasetPlan) -> Repository:
    """The dataset's repository, made or extended as the plan's layout wants."""
    stand = plan.stand
    if stand.repository is None:
        return state.store.create(stand.layout)
    stored = len(stand.repository.ledger(stand.snapshot).states)
    if stored < stand.grid.step_axis.length:
        stand.repository.extend(stand.layout)
    return stand.repository


# --- making blocks -------------------------------------------------------------------------------


def _make(state: _Run, plan: DatasetPlan, repository: Repository) -> None:
    planned = {f"{plan.name}-{b.block.name}": b for b in plan.will_run}
    jobs = _jobs(state, plan, repository)
    book = plan.stand.ledger
    for batch in _batches(state.workers()(jobs)):
        made = [(o.fork, _rows(plan.stand, planned[o.job], o)) for o in batch]
        fresh = [(fork, rows) for fork, rows in made if not book.holds(rows)]
        forks, finished = [fork for fork, _ in fresh], [rows for _, rows in fresh]
        if finished:
            book = book.updated(finished)
            repository.commit(forks, plan.stand.layout, book, finished, _commit_metadata())
        for _ in batch:
            state.progress.advance(plan.name)
        _stop_if_strict(state, plan.name, [rows for _, rows in made])


def _jobs(state: _Run, plan: DatasetPlan, repository: Repository) -> Iterator[Job]:
    upstream = {}
    for read in getattr(plan.stand.dataset, "reads", ()):
        stand = state.plans[read.dataset.name].stand
        path = state.store.root / read.dataset.name
        upstream[read.dataset.name] = Upstream(path, stand.snapshot, stand.grid)
    # One fork serves all tasks: it is only a base to write from, and each task returns its own.
    fork, path = repository.fork(), repository.path
    previous = Upstream(path, plan.stand.snapshot, plan.stand.grid)
    for planned in plan.will_run:
        yield Job(
            plan.stand.dataset,
            plan.stand.grid,
            planned.block,
            path,
            fork,
            planned.parts,
            upstream,
            planned.files,
            previous if plan.stand.snapshot else None,
            valid_steps(plan.stand, planned.block),
        )


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


def _rows(stand: Stand, planned: PlannedBlock, outcome: Outcome) -> BlockRows:
    parts = planned.parts
    if isinstance(stand.dataset, Source):
        parts = _as_read(stand, parts, outcome)
    record = {
        "key": key.block_key(parts),
        "parts": parts,
        "notes": dict(outcome.notes),
        "seconds": round(outcome.seconds, 3),
    }
    if outcome.traceback:
        record["traceback"] = outcome.traceback
    return BlockRows(
        planned.block, stand.grid.tile(planned.block), outcome.states, outcome.digests, record
    )


def _as_read(stand: Stand, parts: key.Parts, outcome: Outcome) -> key.Parts:
    """Parts of a source block from the files as the worker read them, not as they were planned."""
    assert isinstance(stand.dataset, Source)
    digests = {step: file["sha256"][: key.SHORT] for step, file in outcome.files.items()}
    inputs = file_inputs(stand.dataset, digests)
    return {**parts, "inputs": inputs, FILES: dict(outcome.files)}


def _commit_metadata() -> dict[str, Any]:
    return {"fluxforge": version("fluxforge")} | _versions()


def _versions() -> dict[str, str]:
    found = {}
    for name in RECORDED:
        try:
            found[name] = version(name)
        except ModuleNotFoundError:
            continue
    return found


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


def _look_for_marks(state: _Run, stand: Stand) -> None:
    """Collect the period's notes; stop where a dataset has nothing to give at all."""
    notes = {
        f"{stand.dataset.name} {step}": note
        for block in wanted_blocks(state.request, stand.grid)
        for step, note in stand.ledger.records[block.name]["notes"].items()
    }
    if not (stand.ledger.states == VALID).any():
        first = next(iter(notes.values()), "it is empty")
        raise RunFailed(
            f"not one step of {stand.dataset.name} can be used: {first.rstrip('.')}.",
            mend="Nothing was published. " + MEND[isinstance(stand.dataset, Source)],
        )
    state.marked += [f"{place}: {note}" for place, note in sorted(notes.items())]


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
