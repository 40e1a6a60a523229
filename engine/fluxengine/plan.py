"""Plans: which blocks will run, which may run, and why. Nothing here computes or writes.

A block *will run* if it was never written or what it depends on differs from what the ledger says.
It *may run* if a step in its window is still pending upstream: whether it does is known only when
that step is there, for a change that yields the same values stops at the first stored dataset.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np

from fluxengine import key, layout
from fluxengine.declare import Array, Dataset, Product, Source, upstream_first
from fluxengine.errors import ConfigError
from fluxengine.files import FileId, look, notice, settled
from fluxengine.grid import Axis, Block, Grid, Indices
from fluxengine.layout import Layout
from fluxengine.ledger import ABSENT, FAILED_STEP, VALID, Ledger
from fluxengine.store import Repository, Store

FILES = "files"


@dataclass(frozen=True)
class Request:
    """What a user wants: a product over a period, from archives, in a store.

    Parameters
    ----------
    product : Product or Source
    first, last : date
    archives : mapping
        Archive name to root.
    store : Store or None
        None where it need not exist yet.
    attributes : mapping
        Global attributes of the products, such as ``creator_name``; they never enter a key.
    """

    product: Dataset
    first: date
    last: date
    store: Store | None
    archives: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[str, str] = field(default_factory=dict)

    def root_of(self, source: Source) -> str:
        """Root of the archive a source is read from."""
        return self.archives.get(source.archive, source.home)


@dataclass(frozen=True)
class Stand:
    """A dataset as it stands: its layout for this request and what its ledger holds."""

    dataset: Dataset
    layout: Layout
    ledger: Ledger
    repository: Repository | None
    snapshot: str

    @property
    def grid(self) -> Grid:
        """Grid closed to the store's extent and the period."""
        return self.layout.grid

    def states_of(self, block: Block) -> Array:
        """Ledger states of a block's steps, shape (steps,)."""
        steps = block.steps
        found: Array = self.ledger.states[steps.start : steps.stop, self.grid.tile(block)]
        return found


@dataclass(frozen=True)
class PlannedBlock:
    """A block with the reasons to make it."""

    block: Block
    why: tuple[str, ...]
    certain: bool
    parts: key.Parts
    files: Mapping[int, FileId | None] = field(default_factory=dict)


@dataclass(frozen=True)
class DatasetPlan:
    """The plan of one dataset.

    Parameters
    ----------
    stand : Stand
    blocks : tuple of PlannedBlock
    wanted : int
        Blocks the period touches.
    pending : bool array, shape (steps, tiles)
        Steps whose content may change.
    """

    stand: Stand
    blocks: tuple[PlannedBlock, ...]
    wanted: int
    pending: Array

    @property
    def name(self) -> str:
        """The dataset's name."""
        return self.stand.dataset.name

    @property
    def will_run(self) -> tuple[PlannedBlock, ...]:
        """Blocks that run for certain."""
        return tuple(b for b in self.blocks if b.certain)

    @property
    def may_run(self) -> tuple[PlannedBlock, ...]:
        """Blocks that run if something upstream really changes."""
        return tuple(b for b in self.blocks if not b.certain)

    @property
    def bytes_written(self) -> int:
        """Bytes of the planned blocks, before compression."""
        width = sum(np.dtype(v.packing.dtype).itemsize for v in self.stand.dataset.variables)
        return width * sum(math.prod(b.block.shape) for b in self.blocks)


@dataclass(frozen=True)
class Plan:
    """What a run would do, upstream first."""

    request: Request
    datasets: tuple[DatasetPlan, ...]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to run."""
        return not any(d.blocks for d in self.datasets)

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "product": self.request.product.name,
            "period": {"first": str(self.request.first), "last": str(self.request.last)},
            "nothing_to_run": self.is_empty,
            "datasets": [_dataset_json(d) for d in self.datasets],
        }


def _dataset_json(plan: DatasetPlan) -> dict[str, Any]:
    def row(planned: PlannedBlock) -> dict[str, Any]:
        grid, steps = plan.stand.grid, planned.block.steps
        return {
            "block": planned.block.name,
            "first": grid.step_name(steps[0]),
            "last": grid.step_name(steps[-1]),
            "why": list(planned.why),
        }

    return {
        "name": plan.name,
        "blocks": plan.wanted,
        "will_run": [row(b) for b in plan.will_run],
        "may_run": [row(b) for b in plan.may_run],
        "bytes_written": plan.bytes_written,
    }


def make_plan(request: Request) -> Plan:
    """Compare what is wanted with what the ledgers say.

    Raises
    ------
    ConfigError, StoreMismatch
        Where the request does not fit the store.
    """
    plans: dict[str, DatasetPlan] = {}
    for dataset in upstream_first(request.product):
        plans[dataset.name] = plan_dataset(request, dataset, plans)
    return Plan(request, tuple(plans.values()))


def plan_dataset(
    request: Request, dataset: Dataset, upstream: Mapping[str, DatasetPlan]
) -> DatasetPlan:
    """Plan one dataset, given the plans of what it reads."""
    stand = take_stand(request, dataset, upstream)
    _check_cover(stand, upstream)
    standing = key.standing_parts(dataset)
    planned, wanted = [], 0
    pending = np.zeros(stand.ledger.states.shape, bool)
    for block in wanted_blocks(request, stand.grid):
        wanted += 1
        found = (
            _source_block(request, stand, dataset, block, standing)
            if isinstance(dataset, Source)
            else _product_block(stand, dataset, block, standing, upstream)
        )
        if found is not None:
            candidate, steps = found
            planned.append(candidate)
            pending[steps, stand.grid.tile(block)] = True
    return DatasetPlan(stand, tuple(planned), wanted, pending)


def take_stand(request: Request, dataset: Dataset, upstream: Mapping[str, DatasetPlan]) -> Stand:
    """The dataset as it is stored now, with the layout this request wants."""
    attrs = _attributes(request, dataset, upstream)
    if request.store is None or not request.store.has(dataset.name):
        grid = dataset.grid.between(request.first, request.last)
        wanted = Layout(dataset.name, grid, dataset.variables, attrs)
        return Stand(dataset, wanted, Ledger.empty(grid), None, "")
    repository = request.store.repository(dataset.name)
    snapshot = repository.tip()
    root = repository.read(snapshot)
    grid = _grown(request, dataset, layout.stored_grid(root))
    wanted = Layout(dataset.name, grid, dataset.variables, attrs)
    layout.check(root, wanted)
    book = repository.ledger(snapshot).extended(grid)
    return Stand(dataset, wanted, book, repository, snapshot)


def _check_cover(stand: Stand, upstream: Mapping[str, DatasetPlan]) -> None:
    """An input must reach as far as the dataset itself; only a halo may be cut off."""
    for read in getattr(stand.dataset, "reads", ()):
        given = upstream[read.dataset.name].stand.grid
        for name, axis in stand.grid.axes.items():
            other = given.axes.get(name)
            if other is None or other.unit != axis.unit or other.periodic or axis.unit == "label":
                continue
            if other.edges[0] > axis.edges[0] or other.edges[-1] < axis.edges[-1]:
                raise ConfigError(
                    f"its input {read.dataset.name} covers {name} {_ends(other)},"
                    f" but {_ends(axis)} is wanted.",
                    where=stand.dataset.name,
                    mend="Give a period that the input covers." if axis.unit == "s" else "",
                )


def _ends(axis: Axis) -> str:
    cells = axis.coordinate()
    return " to ".join(str(cells[at]).removesuffix("T00:00:00.000000000") for at in (0, -1))


def _attributes(
    request: Request, dataset: Dataset, upstream: Mapping[str, DatasetPlan]
) -> dict[str, Any]:
    """Global attributes, with the notices of every archive the dataset rests on."""
    if isinstance(dataset, Source):
        told = notice(request.root_of(dataset))
        attrs: dict[str, Any] = {
            "title": dataset.title,
            "institution": dataset.provider,
            "license": dataset.licence,
            "references": dataset.cite,
        }
        return attrs | ({"notice": told} if told else {})
    notices = [upstream[r.dataset.name].stand.layout.attrs.get("notice") for r in dataset.reads]
    own = dataset.attrs.get("notice")
    # One notice a line, each once, however many ways it came.
    told = "\n".join(dict.fromkeys(line for n in [*notices, own] if n for line in n.splitlines()))
    described = {"title": dataset.title, "summary": dataset.summary, **dataset.attrs}
    return described | dict(request.attributes) | ({"notice": told} if told else {})


def _grown(request: Request, dataset: Dataset, stored: Grid) -> Grid:
    """The stored grid, grown at its end where the period goes further."""
    if stored.step_axis.unit != "s":
        return stored
    begin, end = stored.step_day(0), stored.step_day(stored.step_axis.length - 1)
    earliest = dataset.grid.between(request.first, max(request.last, begin)).step_day(0)
    if earliest < begin:
        raise ConfigError(
            f"the period begins on {earliest}, but the store was made from {begin} on, and blocks"
            " are counted from there.",
            where=dataset.name,
            mend=f"Begin the period on {begin} or later, or give the run a new store.",
        )
    return dataset.grid.between(begin, max(end, request.last))


def wanted_blocks(request: Request, grid: Grid) -> Iterator[Block]:
    """Blocks that the period touches."""
    if grid.step_axis.unit != "s":
        yield from grid.blocks()
        return
    for block in grid.blocks():
        if (
            grid.step_day(block.steps[0]) <= request.last
            and grid.step_day(block.steps[-1]) >= request.first
        ):
            yield block


def _source_block(
    request: Request, stand: Stand, source: Source, block: Block, standing: key.Parts
) -> tuple[PlannedBlock, list[int]] | None:
    grid, record = stand.grid, stand.ledger.records.get(block.name)
    known = record["parts"].get(FILES, {}) if record else {}
    root = request.root_of(source)
    pattern = source.pattern(
        grid.between(grid.step_day(block.steps[0]), grid.step_day(block.steps[-1]))
    )
    files = {
        step: settled(look(root, path), known.get(grid.step_name(step)))
        for step, (_, path) in zip(block.steps, pattern.items(), strict=True)
    }
    parts = source_parts(source, grid, files, standing)
    gone = _vanished(stand, block, parts, record, source)
    why, steps = _reasons(stand, block, parts, record, set(gone))
    return (PlannedBlock(block, tuple(why), True, parts, files), steps) if why else None


def _vanished(
    stand: Stand, block: Block, parts: key.Parts, record: Mapping[str, Any] | None, source: Source
) -> list[str]:
    """Steps that are stored but whose file is gone: no reason to give them up."""
    if record is None:
        return []
    before, now = (found["inputs"][_files_of(source)] for found in (record["parts"], parts))
    names = [stand.grid.step_name(step) for step in block.steps]
    return [name for name in names if name in before and name not in now]


def source_parts(
    source: Source, grid: Grid, files: Mapping[int, FileId | None], standing: key.Parts
) -> key.Parts:
    """Parts of a source block's key: the digest of each file that is there."""
    digests = {
        grid.step_name(step): file.sha256[: key.SHORT] or f"unread {file.size} {file.stamp}"
        for step, file in files.items()
        if file is not None
    }
    return {**standing, "inputs": file_inputs(source, digests)}


def file_inputs(source: Source, digests: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """The ``inputs`` of a source block: digest of each file by step name."""
    return {_files_of(source): dict(digests)}


def _files_of(source: Source) -> str:
    return f"{source.name} {FILES}"


def _product_block(
    stand: Stand,
    product: Product,
    block: Block,
    standing: key.Parts,
    upstream: Mapping[str, DatasetPlan],
) -> tuple[PlannedBlock, list[int]] | None:
    parts = {**standing, "inputs": _input_digests(stand.grid, product, block, upstream)}
    record = stand.ledger.records.get(block.name)
    why, steps = _reasons(stand, block, parts, record, set())
    waiting = _waits(stand.grid, product, block, upstream)
    names = frozenset(key.changed(record["parts"], parts)[1] if record else ())
    steps = sorted({*_dependent(stand.grid, product, block, upstream, names), *steps})
    if why:
        every = list(block.steps) if _is_wholesale(why) else steps
        return PlannedBlock(block, tuple(why), True, parts), every
    if waiting:
        return PlannedBlock(block, tuple(waiting), False, parts), steps
    return None


def _is_wholesale(why: list[str]) -> bool:
    """Whether a reason concerns every step of the block."""
    return any(not word.startswith(("inputs changed", "extended")) for word in why)


def _reasons(
    stand: Stand,
    block: Block,
    parts: key.Parts,
    record: Mapping[str, Any] | None,
    ignored: set[str],
) -> tuple[list[str], list[int]]:
    """Why a block must run, in words, and the steps that may come out otherwise."""
    everything = list(block.steps)
    if record is None:
        return ["never written"], everything
    states = stand.states_of(block)
    absent = [s for s, state in zip(block.steps, states, strict=True) if state == ABSENT]
    named = {stand.grid.step_name(s): s for s in block.steps}
    why, names = key.changed(_without(record["parts"], ignored), _without(parts, ignored))
    if absent:
        why = [w for w in why if not w.startswith("inputs changed")]
        why.insert(0, f"extended: {key.listed(stand.grid.step_name(s) for s in absent)}")
    if isinstance(stand.dataset, Product) and (states == FAILED_STEP).any():
        why.append("quarantined")
    wholesale = _is_wholesale(why)
    steps = everything if wholesale else [named[n] for n in names if n in named] + absent
    return why, sorted(set(steps)) if why else []


def _without(parts: key.Parts, ignored: set[str]) -> key.Parts:
    if not ignored:
        return parts
    inputs = {
        name: {step: digest for step, digest in digests.items() if step not in ignored}
        for name, digests in parts["inputs"].items()
    }
    return {**parts, "inputs": inputs}


def _input_digests(
    grid: Grid, product: Product, block: Block, upstream: Mapping[str, DatasetPlan]
) -> dict[str, dict[str, str]]:
    found = {}
    for read in product.reads:
        stand = upstream[read.dataset.name].stand
        steps, tiles = _touched(stand.grid, grid.window(block.spans, product.halo, stand.grid))
        found[read.dataset.name] = {
            stand.grid.step_name(step): stand.ledger.digest_words(step, tiles, key.SHORT)
            for step in steps
            if stand.ledger.states[step, tiles].any()
        }
    return found


def _waits(
    grid: Grid, product: Product, block: Block, upstream: Mapping[str, DatasetPlan]
) -> list[str]:
    words = []
    for read in product.reads:
        plan = upstream[read.dataset.name]
        steps, tiles = _touched(
            plan.stand.grid, grid.window(block.spans, product.halo, plan.stand.grid)
        )
        names = [plan.stand.grid.step_name(s) for s in steps if plan.pending[s, tiles].any()]
        if names:
            words.append(f"waits for {plan.name}: {key.listed(names)}")
    return words


def _dependent(
    grid: Grid,
    product: Product,
    block: Block,
    upstream: Mapping[str, DatasetPlan],
    changed: frozenset[str],
) -> list[int]:
    """Steps of the block whose own window holds a pending or a changed step."""
    plans = [upstream[read.dataset.name] for read in product.reads]
    if not changed and not any(plan.pending.any() for plan in plans):
        return []
    return [
        step
        for step in block.steps
        if any(_moves(grid, product, block.narrowed(step, step + 1), p, changed) for p in plans)
    ]


def _moves(
    grid: Grid, product: Product, part: Block, plan: DatasetPlan, changed: frozenset[str]
) -> bool:
    window = grid.window(part.spans, product.halo, plan.stand.grid)
    steps, tiles = _touched(plan.stand.grid, window)
    pending = bool(plan.pending[np.ix_(steps, tiles)].any())
    return pending or any(plan.stand.grid.step_name(step) in changed for step in steps)


def _touched(grid: Grid, window: Mapping[str, Indices]) -> tuple[list[int], list[int]]:
    """Steps and tile numbers of `grid` that a window reads."""
    (_, steps), *others = window.items()
    tiles = np.zeros(1, np.intp)
    for name, cells in others:
        axis = grid.axes[name]
        numbers = np.unique(cells // axis.block_length)
        tiles = (tiles[:, None] * axis.blocks + numbers[None, :]).ravel()
    return steps.tolist(), tiles.tolist()


def valid_steps(stand: Stand, block: Block) -> frozenset[int]:
    """Steps of a block that hold values now."""
    pairs = zip(block.steps, stand.states_of(block), strict=True)
    return frozenset(step for step, state in pairs if state == VALID)
