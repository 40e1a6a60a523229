"""Runs: bring every dataset of a plan up to date, commit in batches, publish at the end.

Datasets are made upstream first; each is planned again once what it reads is there, so that a
change which yields the same values stops at the first stored dataset. Workers write through forks;
this process alone commits, under the store's run lock, and moves `main` only when all is done.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from fluxengine import provenance, references
from fluxengine.declare import Array, Source
from fluxengine.errors import RunFailed
from fluxengine.estimate import BLOCKS_PER_COMMIT, Estimate, Resources, batch_for, estimates
from fluxengine.executors import Executor
from fluxengine.ingest import no_file
from fluxengine.jobs import jobs, rows
from fluxengine.ledger import ABSENT, HOLDS_VALUES, OUTSIDE, BlockRows, Flags, by_block
from fluxengine.plan import CERTAIN, DatasetPlan, Why, make_plan, plan_dataset
from fluxengine.progress import QUIET, Progress
from fluxengine.repository import MAIN, PASSED_OVER, Fork, Repository
from fluxengine.stand import Request
from fluxengine.store import Store, remember_product
from fluxengine.task import Outcome
from fluxengine.traffic import Traffic

SECONDS_PER_COMMIT = 30.0

MEND = {
    True: "Mend the input (`archives` in the run file says where it is) and run again.",
    False: "`fluxforge status --json` tells of every block; mend the cause and run again.",
}

OpenExecutor = Callable[[], AbstractContextManager[Executor]]


@dataclass(frozen=True)
class Actual:
    """What making the blocks of a dataset came to, to be set beside its estimate.

    Parameters
    ----------
    tasks : int
    traffic : Traffic
    memory : int
        Bytes at the peak of the worker that held most.
    task_seconds, seconds : float
        Of all tasks together, and from the first to the last commit.
    """

    tasks: int = 0
    traffic: Traffic = field(default_factory=Traffic)
    memory: int = 0
    task_seconds: float = 0.0
    seconds: float = 0.0

    def with_task(self, outcome: Outcome, seconds: float) -> Actual:
        """One task more, finished so many seconds after the first was handed out."""
        return Actual(
            self.tasks + 1,
            self.traffic + outcome.traffic,
            max(self.memory, outcome.peak_memory),
            self.task_seconds + outcome.seconds,
            seconds,
        )

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return asdict(self)


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
    accepted : dict of str to int
        Blocks that were taken as made by the present code, by dataset.
    planned : tuple of Estimate
        What the plan said.
    actual : dict of str to Actual
        What it came to, by dataset.
    described : tuple of str
        Datasets that have other attributes now.
    """

    blocks: Mapping[str, int]
    published: Mapping[str, str]
    marked: tuple[str, ...]
    seconds: float
    accepted: Mapping[str, int] = field(default_factory=dict)
    planned: tuple[Estimate, ...] = ()
    actual: Mapping[str, Actual] = field(default_factory=dict)
    described: tuple[str, ...] = ()

    @property
    def did_nothing(self) -> bool:
        """Whether everything was up to date."""
        return not (self.blocks or self.published or self.accepted)

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "blocks": dict(self.blocks),
            "accepted": dict(self.accepted),
            "described": list(self.described),
            "published": dict(self.published),
            "marked": list(self.marked),
            "seconds": round(self.seconds, 2),
            "planned": [estimate.as_json() for estimate in self.planned],
            "actual": {name: actual.as_json() for name, actual in self.actual.items()},
        }


@dataclass
class _Run:
    """The state of one run: the executor starts only when the first block needs it."""

    request: Request
    store: Store
    open_executor: OpenExecutor
    progress: Progress
    strict: bool
    accept_code: bool
    resources: Resources
    stack: ExitStack
    executor: Executor | None = None
    plans: dict[str, DatasetPlan] = field(default_factory=dict)
    made: dict[str, int] = field(default_factory=dict)
    accepted: dict[str, int] = field(default_factory=dict)
    described: list[str] = field(default_factory=list)
    actual: dict[str, Actual] = field(default_factory=dict)
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
    accept_code: bool = False,
    resources: Resources | None = None,
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
    accept_code : bool
        Blocks for which nothing but the code changed are not made again: somebody knows that the
        new code gives the same values.
    resources : Resources, optional
        What the workers have: bounds how many steps are computed at once.

    Returns
    -------
    Summary

    Raises
    ------
    ConfigError
        Where a block does not fit into a worker's memory; nothing was started.
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
        plan, given = make_plan(request, progress), resources or Resources()
        for planned in plan.datasets:
            _refuse_without_files(planned)
        estimated = tuple(estimates(plan, given))
        state = _Run(request, store, open_executor, progress, strict, accept_code, given, stack)
        for planned in plan.datasets:
            _bring_up_to_date(state, planned)
        published = _publish(state)
    return Summary(
        state.made,
        published,
        tuple(state.marked),
        time.perf_counter() - began,
        state.accepted,
        estimated,
        state.actual,
        tuple(state.described),
    )


def _bring_up_to_date(state: _Run, planned: DatasetPlan) -> None:
    name = planned.name
    plan = _planned_again(state, planned)
    repository = _prepared(state, plan)
    state.published_before[name] = repository.tip(MAIN)
    if state.accept_code:
        _accept_code(state, plan, repository)
    _note_touched(state, plan, repository)
    # Everything upstream is done: what may still be pending there is a block that failed again.
    if len(plan.will_run):
        state.progress.begin(name, len(plan.will_run))
        _make(state, plan, repository)
        state.made[name] = len(plan.will_run)
    if plan.stand.misdescribed:  # by now no block is left that waits to be made again
        repository.describe(plan.stand.layout, state.provenance)
        state.described.append(name)
    stand = replace(plan.stand, repository=repository, snapshot=repository.tip())
    nothing = np.zeros_like(plan.pending)
    state.plans[name] = replace(plan, stand=stand, pending=nothing)
    _look_for_marks(state, state.plans[name])


def _planned_again(state: _Run, planned: DatasetPlan) -> DatasetPlan:
    """The plan as it is now that everything upstream is done; it may have come out as it was."""
    if not any(upstream in state.made for upstream in planned.inputs):
        inputs = {
            name: replace(given, plan=state.plans[name]) for name, given in planned.inputs.items()
        }
        return replace(planned, inputs=inputs, reasons=planned.reasons & np.uint8(CERTAIN))
    return plan_dataset(state.request, planned.stand.dataset, state.plans, state.progress)


def _refuse_without_files(plan: DatasetPlan) -> None:
    """Stop before a block is made of a source that has no file now and no value from before."""
    dataset, book = plan.stand.dataset, plan.stand.ledger
    if plan.files is None or not isinstance(dataset, Source) or not plan.wanted.any():
        return
    there = any(file is not None for file in plan.files.found)
    if there or np.isin(book.states, HOLDS_VALUES).any():
        return
    first = book.grid.numbered(int(np.argmax(plan.wanted))).steps[0]
    raise _unusable(plan, no_file(dataset, book.grid, first))


def _unusable(plan: DatasetPlan, why: str) -> RunFailed:
    """A dataset has nothing to give at all."""
    return RunFailed(
        f"not one step of {plan.name} can be used: {why.rstrip('.')}.",
        mend="Nothing was published. " + MEND[isinstance(plan.stand.dataset, Source)],
    )


def _accept_code(state: _Run, plan: DatasetPlan, repository: Repository) -> None:
    """Blocks whose code alone changed are taken as if they had been made by it."""
    numbers = np.flatnonzero(plan.reasons == Why.CODE)
    if not len(numbers):
        return
    book = plan.stand.ledger
    for number in numbers.tolist():
        book.accept(number, plan.standing_digest, plan.standing, state.provenance["run"])
        plan.reasons[number] = 0
    blocks = [book.grid.numbered(number) for number in numbers.tolist()]
    repository.commit([], book, blocks, state.provenance)
    state.accepted[plan.name] = len(blocks)


def _note_touched(state: _Run, plan: DatasetPlan, repository: Repository) -> None:
    """Have the ledger know files that were read and found as they were: once is enough."""
    book, touched = plan.stand.ledger, plan.touched
    for number, files in touched.items():
        book.note_files(number, files)
    if touched:
        blocks = [book.grid.numbered(number) for number in touched]
        repository.note(book, blocks, state.provenance)


def _prepared(state: _Run, plan: DatasetPlan) -> Repository:
    """The dataset's repository, made or extended as the plan's layout wants."""
    stand = plan.stand
    repository = stand.repository
    if repository is None:
        repository = state.store.create(stand.layout, stand.ledger)
    else:
        steps = repository.steps(stand.snapshot)
        if steps < stand.grid.step_axis.length:
            passed_over = steps, _asked_from(plan, steps)
            repository.extend(stand.until_made, stand.ledger, passed_over)
    if stand.misdescribed:
        repository.describe(stand.until_made, state.provenance)
    if isinstance(stand.dataset, Source) and stand.layout.references:
        repository = repository.referring(references.root(state.request.root_of(stand.dataset)))
    return repository


def _asked_from(plan: DatasetPlan, steps: int) -> int:
    """First step from some step on that lies in a wanted block."""
    axis, tiles = plan.stand.grid.step_axis, plan.stand.grid.tiles
    asked = np.repeat(plan.wanted.reshape(-1, tiles).any(axis=1), axis.block_length)
    return steps + int(np.argmax(asked[steps : axis.length]))


# --- making blocks -------------------------------------------------------------------------------


def _make(state: _Run, plan: DatasetPlan, repository: Repository) -> None:
    """Make what will run and commit it in batches; what was finished before an error as well."""
    made, batch = _Made(state, plan, repository), batch_for(plan, state.resources)
    try:
        for outcome in state.workers()(jobs(plan, state.store, repository, batch)):
            made.take(outcome)
        made.commit()
    except BaseException:  # Ctrl-C too
        with suppress(Exception):  # the first error is what went wrong
            made.commit()
        raise
    made.check()
    state.actual[plan.name] = made.actual


class _Made:
    """Blocks of one dataset that came back; the plan's ledger grows with them."""

    def __init__(self, state: _Run, plan: DatasetPlan, repository: Repository) -> None:
        self.state, self.plan, self.repository = state, plan, repository
        self.numbers = dict(_named(plan))
        self.missing = set(self.numbers)
        self.waiting: list[tuple[Outcome, BlockRows]] = []  # for a commit
        self.fresh: list[tuple[Fork, BlockRows]] = []  # of these, what is not in the store as it is
        self.began, self.last = time.perf_counter(), time.monotonic()
        self.actual = Actual()

    def take(self, outcome: Outcome | None) -> None:
        """One block more, or only a look at the time; commit what is worth it."""
        if outcome is not None:
            self._note(outcome)
        late = time.monotonic() - self.last > SECONDS_PER_COMMIT
        if len(self.waiting) >= BLOCKS_PER_COMMIT or late:
            self.commit()

    def _note(self, outcome: Outcome) -> None:
        number = self.numbers[outcome.job]
        row = rows(self.plan, number, outcome, self.state.provenance)
        if not self.plan.stand.ledger.holds(row):
            self.fresh.append((outcome.fork, row))
        self.waiting.append((outcome, row))
        self.missing.discard(outcome.job)

    def commit(self) -> None:
        """Commit what is waiting."""
        if self.fresh:
            self._write()
        waiting, self.waiting, self.fresh = self.waiting, [], []
        self.last = time.monotonic()
        for outcome, _ in waiting:
            self.actual = self.actual.with_task(outcome, time.perf_counter() - self.began)
            self.state.progress.advance(self.plan.name)
        _stop_if_strict(self.state, self.plan.name, [row for _, row in waiting])

    def _write(self) -> None:
        """Data and rows together: a row that the ledger has alone would speak of a hole."""
        book, (forks, fresh) = self.plan.stand.ledger, zip(*self.fresh, strict=True)
        try:
            for row in fresh:
                book.put(row, self.plan.standing)
            blocks = [row.block for row in fresh]
            self.repository.commit(forks, book, blocks, self.state.provenance)
        except Exception:  # it would fail again; but Ctrl-C in it calls for another try
            self.waiting, self.fresh = [], []
            raise

    def check(self) -> None:
        """Nothing may be lost on the way: the run would publish holes."""
        if self.missing:
            raise RunFailed(
                f"{len(self.missing)} of {len(self.numbers)} blocks did not come back from the"
                f" workers, {min(self.missing)} among them. Finished blocks are kept.",
                where=self.plan.name,
                mend="Nothing was published. Run the same command again.",
            )


def _named(plan: DatasetPlan) -> Iterator[tuple[str, int]]:
    """Name of each job and number of its block."""
    for number in plan.will_run.numbers.tolist():
        yield f"{plan.name}-{plan.stand.grid.numbered(number).name}", number


# --- what is not well ----------------------------------------------------------------------------


def _stop_if_strict(state: _Run, name: str, finished: Iterable[BlockRows]) -> None:
    if not state.strict:
        return
    for row in finished:
        for step, note in row.record["notes"].items():
            raise RunFailed(
                f"stopped at {step}: {note.rstrip('.')}.",
                where=name,
                mend="Nothing was published. Mend the input, or run without --strict.",
            )


def _look_for_marks(state: _Run, plan: DatasetPlan) -> None:
    """Collect the period's notes; stop where a dataset has nothing to give at all.

    And those of other blocks that this run publishes: an earlier one, of another period, may have
    left them unpublished, or not even made. What lies between that period and this one nobody
    asked for.
    """
    book, name = plan.stand.ledger, plan.name
    marked, unpublished = book.marked(), _unpublished(plan, state.published_before[name])
    told = plan.wanted | unpublished
    notes = sorted(book.notes(marked[told[marked]]))
    if not np.isin(book.states, HOLDS_VALUES).any():
        raise _unusable(plan, notes[0][1] if notes else "it is empty")
    state.marked += [f"{name} {step}: {note}" for step, note in notes]
    unmade = _unmade(plan, unpublished, state.published_before[name])
    if len(unmade):
        step = book.grid.step_name(book.grid.numbered(int(unmade[0])).steps[0])
        state.marked.append(
            f"{name} {step}: not made yet; an earlier run left {len(unmade)} such block(s): run a"
            " period that holds them"
        )


def _unmade(plan: DatasetPlan, unpublished: Flags, before: str) -> Array:
    """Numbers of the unpublished blocks with a step that was asked for and never made."""
    book, repository = plan.stand.ledger, plan.stand.repository
    assert repository is not None
    absent = book.states == ABSENT
    if not (unpublished & by_block(book.grid, absent)).any():
        return np.array([], int)
    for commit in repository.commits(plan.stand.snapshot, before):
        first, end = commit.metadata.get(PASSED_OVER, (0, 0))
        absent[first:end] = False
    return np.flatnonzero(unpublished & by_block(book.grid, absent))


def _unpublished(plan: DatasetPlan, before: str) -> Flags:
    """Which blocks are in another state than in the version that is published, shape (blocks,)."""
    book, repository = plan.stand.ledger, plan.stand.repository
    assert repository is not None
    if before == plan.stand.snapshot:
        return np.zeros_like(plan.wanted)
    changed = np.ones(book.states.shape, bool)
    if repository.versions:
        published = repository.ledger(before).states
        changed[: len(published)] = published != book.states[: len(published)]
    return by_block(book.grid, changed & (book.states != OUTSIDE))


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
