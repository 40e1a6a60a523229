"""Plans: which blocks will run, which may run, and why. Nothing here computes or writes.

A block *will run* if it was never written or what it depends on differs from what the ledger says.
It *may run* if a step in its window is still pending upstream: whether it does is known only when
that step is there, for a change that yields the same values stops at the first stored dataset.

Plans are columns, one entry a block, so that hundreds of thousands of blocks are planned in
seconds; words are put together only for the blocks that somebody looks at.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntFlag
from functools import cached_property, partial
from typing import Any, overload

import numpy as np

from fluxengine import key, references
from fluxengine.declare import Array, Dataset, Paths, Product, Source, upstream_first
from fluxengine.files import FileId, local_parts, look, read_ahead, settled, which
from fluxengine.grid import Block, Grid, Indices
from fluxengine.ledger import (
    ABSENT,
    FAILED_STEP,
    HOLDS_VALUES,
    STEP_DIGEST,
    VALID,
    Flags,
    by_block,
)
from fluxengine.progress import QUIET, Progress
from fluxengine.stand import Request, Stand, check_cover, is_needed, take_stand, wanted_blocks
from fluxengine.window import Reach, reach

LOOKED_UP = 2_000  # blocks whose changed days are looked up one by one; of more, all steps count


class Why(IntFlag):
    """Reasons to make a block."""

    NEVER = 1
    EXTENDED = 2
    INPUTS = 4
    WEIGHTS = 8
    CODE = 16
    OPTIONS = 32
    QUARANTINED = 64
    WAITS = 128


OF_ALL_STEPS = Why.NEVER | Why.WEIGHTS | Why.CODE | Why.OPTIONS | Why.QUARANTINED
CERTAIN = OF_ALL_STEPS | Why.EXTENDED | Why.INPUTS
OF_STANDING = {"weights": Why.WEIGHTS, "code": Why.CODE, "options": Why.OPTIONS}


@dataclass(frozen=True)
class Input:
    """An upstream dataset as planned, and which of its rows each block rests on."""

    plan: DatasetPlan
    reach: Reach

    def rows_of(self, grid: Grid, number: int) -> tuple[slice, Indices]:
        """Upstream steps and tiles in the window of a block."""
        step_block, tile = divmod(number, grid.tiles)
        span = grid.step_axis.span(step_block)
        return self.reach.steps_of(range(span.start, span.stop)), self.reach.tiles[tile]


@dataclass(frozen=True)
class StepFiles:
    """The files of a source as they are now, one a step.

    Parameters
    ----------
    found : list of FileId or None
        None where there is none, or nobody asked.
    stamps, digests : uint8 arrays, shapes (steps, 8) and (steps, 32)
        Of a file that is gone, the digest it had: no reason to give its values up.
    """

    found: list[FileId | None]
    stamps: Array
    digests: Array


@dataclass(frozen=True)
class PlannedBlock:
    """A block with the reasons to make it."""

    number: int
    block: Block
    why: tuple[str, ...]


class PlannedBlocks(Sequence[PlannedBlock]):
    """Some blocks of a plan, put into words one at a time."""

    def __init__(self, plan: DatasetPlan, numbers: Indices) -> None:
        self._plan, self.numbers = plan, numbers

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, at: int) -> PlannedBlock: ...
    @overload
    def __getitem__(self, at: slice) -> PlannedBlocks: ...
    def __getitem__(self, at: int | slice) -> PlannedBlock | PlannedBlocks:
        if isinstance(at, slice):
            return PlannedBlocks(self._plan, self.numbers[at])
        number = int(self.numbers[at])
        return PlannedBlock(number, self._plan.stand.grid.numbered(number), self._plan.why(number))


@dataclass(frozen=True)
class DatasetPlan:
    """The plan of one dataset.

    Parameters
    ----------
    stand : Stand
    standing : dict
        Code, weights and options as they are now.
    inputs : dict of str to Input
        By upstream dataset; empty for a source.
    files : StepFiles or None
        Of a source.
    wanted : bool array, shape (blocks,)
        Blocks that the period touches and the domain does not spare.
    reasons : uint8 array, shape (blocks,)
        `Why` of each block, 0 for none.
    pending : bool array, shape (steps, tiles)
        Rows whose content may change.
    """

    stand: Stand
    standing: key.Parts
    inputs: Mapping[str, Input]
    files: StepFiles | None
    wanted: Flags
    reasons: Array
    pending: Flags

    @property
    def name(self) -> str:
        """The dataset's name."""
        return self.stand.dataset.name

    @property
    def blocks(self) -> PlannedBlocks:
        """All blocks with a reason."""
        return PlannedBlocks(self, np.flatnonzero(self.reasons))

    @property
    def will_run(self) -> PlannedBlocks:
        """Blocks that run for certain."""
        return PlannedBlocks(self, np.flatnonzero(self.reasons & CERTAIN))

    @property
    def may_run(self) -> PlannedBlocks:
        """Blocks that run if something upstream really changes."""
        return PlannedBlocks(self, np.flatnonzero(self.reasons == Why.WAITS))

    @property
    def touched(self) -> dict[int, dict[int, FileId]]:
        """Files with the same bytes at another place or of another time, by block and step.

        Of blocks that do not run. They were read to know it, and would be at every plan if the
        ledger did not note it. References hold for one state of a file: theirs are never touched.
        """
        if self.files is None or self.stand.layout.references:
            return {}
        known, found = self.stand.ledger.columns["stamps"], self.files.found
        moved = (self.files.stamps != known).any(axis=1)
        files: dict[int, dict[int, FileId]] = {}
        for number in np.flatnonzero(self.wanted & (self.reasons == 0)).tolist():
            steps, _ = self.stand.ledger.rows_of(number)
            for step in steps.start + np.flatnonzero(moved[steps]):
                if (file := found[step]) is not None:  # one that is gone keeps the stamp it had
                    files.setdefault(number, {})[int(step)] = file
        return files

    @property
    def bytes_written(self) -> int:
        """Bytes of the planned blocks, before compression."""
        steps, tiles = self._cells
        step_blocks, tile = np.divmod(np.flatnonzero(self.reasons), self.stand.grid.tiles)
        return round(int((steps[step_blocks] * tiles[tile]).sum()) * _bytes_a_cell(self.stand))

    @cached_property
    def _cells(self) -> tuple[Array, Array]:
        """Steps of each block along the step axis, cells of each tile."""
        axis, grid = self.stand.grid.step_axis, self.stand.grid
        steps = [axis.span(i).stop - axis.span(i).start for i in range(axis.blocks)]
        tiles = [math.prod(s.stop - s.start for s in spans) for spans in grid.tile_blocks()]
        return np.array(steps), np.array(tiles)

    @cached_property
    def standing_digest(self) -> bytes:
        """Digest of code, weights and options as they are now."""
        return key.standing_digest(self.standing)

    def why(self, number: int) -> tuple[str, ...]:
        """The reasons for a block, in words."""
        return tuple(_words(self, number))

    def key_inputs(self, number: int) -> bytes:
        """Digest of everything in a block's window."""
        if self.files is not None:
            steps, _ = self.stand.ledger.rows_of(number)
            return key.of_files(self.files.digests[steps])
        sha = hashlib.sha256()
        for name, given in self.inputs.items():
            steps, tiles = given.rows_of(self.stand.grid, number)
            rows = given.plan.stand.ledger.digests[steps]
            if not len(rows):
                continue  # a partial input without a step here: as if it were not read at all
            if len(tiles) != rows.shape[1]:
                rows = rows[:, tiles]
            sha.update(f"{name}|{rows.shape}|".encode())
            sha.update(np.ascontiguousarray(rows).data)
        return sha.digest()

    def window_digests(self, number: int) -> dict[str, dict[str, Any]]:
        """A short digest of each upstream step in a block's window, to tell later what changed."""
        found = {}
        for name, given in self.inputs.items():
            stand = given.plan.stand
            steps, tiles = given.rows_of(self.stand.grid, number)
            digests = "".join(
                hashlib.sha256(row.tobytes()).hexdigest()[:STEP_DIGEST]
                for row in stand.ledger.digests[steps][:, tiles]
            )
            snapshot = stand.snapshot
            found[name] = {"snapshot": snapshot, "first": steps.start, "digests": digests}
        return found


@dataclass(frozen=True, repr=False)
class Plan:
    """What a run would do, upstream first."""

    request: Request
    datasets: tuple[DatasetPlan, ...]

    def __repr__(self) -> str:
        """In a line: a plan of decades would fill a notebook."""
        will = sum(len(d.will_run) for d in self.datasets)
        may = sum(len(d.may_run) for d in self.datasets)
        return (
            f"<Plan of {self.request.product.name}: {will} blocks will run and {may} may,"
            f" in {len(self.datasets)} datasets>"
        )

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to run."""
        return not (self.described or any(d.reasons.any() for d in self.datasets))

    @property
    def described(self) -> tuple[str, ...]:
        """Datasets that will have other attributes, whether or not a block of them runs."""
        return tuple(d.name for d in self.datasets if d.stand.misdescribed)

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "product": self.request.product.name,
            "period": self.request.period_json(),
            "nothing_to_run": self.is_empty,
            "other_attributes": list(self.described),
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
        "blocks": int(plan.wanted.sum()),
        "will_run": [row(b) for b in plan.will_run],
        "may_run": [row(b) for b in plan.may_run],
        "bytes_written": plan.bytes_written,
    }


def make_plan(request: Request, progress: Progress = QUIET) -> Plan:
    """Compare what is wanted with what the ledgers say.

    Raises
    ------
    ConfigError, StoreMismatch
        Where the request does not fit the store.
    """
    plans: dict[str, DatasetPlan] = {}
    for dataset in upstream_first(request.product, partial(is_needed, request)):
        plans[dataset.name] = plan_dataset(request, dataset, plans, progress)
    return Plan(request, tuple(plans.values()))


def plan_dataset(
    request: Request,
    dataset: Dataset,
    upstream: Mapping[str, DatasetPlan],
    progress: Progress = QUIET,
) -> DatasetPlan:
    """Plan one dataset, given the plans of what it reads."""
    stands = {name: plan.stand for name, plan in upstream.items()}
    stand = take_stand(request, dataset, stands)
    check_cover(stand, stands)
    inputs, files = {}, None
    wanted = wanted_blocks(request, stand)
    if isinstance(dataset, Source):
        files = _files(request, stand, wanted, progress)
    else:
        for name in dict.fromkeys(read.dataset.name for read in dataset.reads):
            if name not in stands:
                continue
            reached = reach(stand.grid, dataset.halo, stands[name].grid)
            inputs[name] = Input(upstream[name], reached)
    reasons = np.zeros(len(wanted), "u1")
    pending = np.zeros(stand.ledger.states.shape, bool)
    standing = key.standing_parts(dataset)
    plan = DatasetPlan(stand, standing, inputs, files, wanted, reasons, pending)
    _fill_in_reasons(plan)
    return plan


# --- reasons -------------------------------------------------------------------------------------


def _fill_in_reasons(plan: DatasetPlan) -> None:
    """Work out `reasons` and `pending` of a plan that has none yet."""
    grid, book, wanted = plan.stand.grid, plan.stand.ledger, plan.wanted
    absent = by_block(grid, book.states == ABSENT)
    written = book.written
    _mark(plan, Why.NEVER, wanted & ~written)
    _mark(plan, Why.EXTENDED, wanted & written & absent)
    _mark_standing(plan, wanted & written)
    _mark(plan, Why.INPUTS, _inputs_changed(plan, wanted & written))
    if isinstance(plan.stand.dataset, Product):
        _mark(plan, Why.QUARANTINED, wanted & by_block(grid, book.states == FAILED_STEP))
    touched = _touched_by_pending(plan)
    _mark(plan, Why.WAITS, wanted & by_block(grid, touched))
    _mark_pending(plan, touched)


def _mark(plan: DatasetPlan, why: Why, blocks: Flags) -> None:
    plan.reasons[blocks] |= np.uint8(why)


def _mark_standing(plan: DatasetPlan, written: Flags) -> None:
    """Compare code, weights and options: once for each state of them that blocks were made in."""
    column = plan.stand.ledger.columns["standings"]
    now = np.frombuffer(plan.standing_digest, "u1")
    other = np.flatnonzero(written & (column != now).any(axis=1))
    if not len(other):
        return
    states, of_block = np.unique(column[other], axis=0, return_inverse=True)
    for at, state in enumerate(states):
        bits = Why(0)
        for part in _standing_words(plan, state.tobytes().hex()):
            bits |= OF_STANDING[part]
        plan.reasons[other[of_block.ravel() == at]] |= np.uint8(bits)


def _standing_words(plan: DatasetPlan, made_with: str) -> dict[str, str]:
    """What stands otherwise than when some block was made."""
    old = plan.stand.ledger.standing_parts.get(made_with)
    if old is None:
        return {"code": "code changed: the ledger does not say what it was"}
    return key.changed(old, plan.standing)


def _inputs_changed(plan: DatasetPlan, written: Flags) -> Flags:
    known = plan.stand.ledger.columns["inputs"]
    found = np.zeros(len(written), bool)
    for number in np.flatnonzero(written):
        found[number] = known[number].tobytes() != plan.key_inputs(int(number))
    return found


def _touched_by_pending(plan: DatasetPlan) -> Flags:
    touched = np.zeros_like(plan.pending)
    for given in plan.inputs.values():
        touched |= given.reach.touched(given.plan.pending)
    return touched


def _mark_pending(plan: DatasetPlan, touched: Flags) -> None:
    """Rows of the planned blocks that may come out otherwise than they are."""
    grid, book = plan.stand.grid, plan.stand.ledger
    whole = (plan.reasons & OF_ALL_STEPS) != 0
    moved = np.flatnonzero(((plan.reasons & Why.INPUTS) != 0) & ~whole)
    if plan.files is None and len(moved) > LOOKED_UP:
        whole[moved] = True
        moved = moved[:0]
    length = grid.step_axis.block_length
    rows = np.repeat(whole.reshape(-1, grid.tiles), length, axis=0)[: len(touched)]
    np.copyto(plan.pending, rows)
    wanted = np.repeat(plan.wanted.reshape(-1, grid.tiles), length, axis=0)[: len(touched)]
    np.logical_or(plan.pending, wanted & (touched | (book.states == ABSENT)), out=plan.pending)
    for number in moved:
        where = book.rows_of(int(number))
        plan.pending[where] |= _moved_steps(plan, int(number))


def _moved_steps(plan: DatasetPlan, number: int) -> Flags:
    """Steps of a block whose own window holds a step that differs from when it was made."""
    steps, _ = plan.stand.ledger.rows_of(number)
    if plan.files is not None:
        found: Flags = (plan.files.digests[steps] != plan.stand.ledger.columns["files"][steps]).any(
            axis=1
        )
        return found
    moved = np.zeros(steps.stop - steps.start, bool)
    for name, changed in _changed_inputs(plan, number).items():
        if changed is None:  # an input that is read no more, or was not read then
            return np.ones_like(moved)
        reached = plan.inputs[name].reach
        for step in changed:
            moved |= (reached.low[steps] <= step) & (step < reached.high[steps])
    return moved


def _changed_inputs(plan: DatasetPlan, number: int) -> dict[str, list[int] | None]:
    """Upstream steps that differ from when a block was made; None where the ledger cannot say."""
    record = plan.stand.ledger.record(number) or {}
    then, now = record.get("inputs", {}), plan.window_digests(number)
    found: dict[str, list[int] | None] = dict.fromkeys({*then} ^ {*now})
    for name in {*then} & {*now}:
        before, after = (_by_step(window[name]) for window in (then, now))
        found[name] = sorted(
            step for step in {*before, *after} if before.get(step) != after.get(step)
        )
    return found


def _by_step(window: Mapping[str, Any]) -> dict[int, str]:
    text, first = window["digests"], window["first"]
    return {
        first + at: text[at * STEP_DIGEST : (at + 1) * STEP_DIGEST]
        for at in range(len(text) // STEP_DIGEST)
    }


# --- words ---------------------------------------------------------------------------------------


def _words(plan: DatasetPlan, number: int) -> Iterator[str]:
    """The reasons for a block, each in words."""
    why = Why(int(plan.reasons[number]))
    grid, book = plan.stand.grid, plan.stand.ledger
    if why & Why.NEVER:
        yield "never written"
        return
    if why & Why.EXTENDED:
        steps, tile = book.rows_of(number)
        absent = steps.start + np.flatnonzero(book.states[steps, tile] == ABSENT)
        yield f"extended: {key.listed(grid.step_name(int(s)) for s in absent)}"
    elif why & Why.INPUTS:
        yield from _input_words(plan, number)
    made_with = book.columns["standings"][number].tobytes().hex()
    if why & (Why.WEIGHTS | Why.CODE | Why.OPTIONS):
        yield from _standing_words(plan, made_with).values()
    if why & Why.QUARANTINED:
        yield "quarantined"
    if why == Why.WAITS:
        yield from _waiting_words(plan, number)


def _input_words(plan: DatasetPlan, number: int) -> Iterator[str]:
    if plan.files is not None:
        steps, _ = plan.stand.ledger.rows_of(number)
        moved = steps.start + np.flatnonzero(_moved_steps(plan, number))
        names = key.listed(plan.stand.grid.step_name(int(s)) for s in moved)
        yield f"inputs changed: {plan.name} files {names}"
        return
    for name, changed in sorted(_changed_inputs(plan, number).items()):
        if changed is None:
            how = "is read now" if name in plan.inputs else "is not read any more"
            yield f"inputs changed: {name} {how}"
        elif changed:
            grid = plan.inputs[name].plan.stand.grid
            yield f"inputs changed: {name} {key.listed(grid.step_name(s) for s in changed)}"


def _waiting_words(plan: DatasetPlan, number: int) -> Iterator[str]:
    for name, given in plan.inputs.items():
        steps, tiles = given.rows_of(plan.stand.grid, number)
        late = steps.start + np.flatnonzero(given.plan.pending[steps][:, tiles].any(axis=1))
        if len(late):
            names = key.listed(given.plan.stand.grid.step_name(int(s)) for s in late)
            yield f"waits for {name}: {names}"


# --- sources -------------------------------------------------------------------------------------


def _files(request: Request, stand: Stand, wanted: Flags, progress: Progress) -> StepFiles:
    """The files of all steps of the wanted blocks."""
    source, grid, book = stand.dataset, stand.grid, stand.ledger
    assert isinstance(source, Source)
    known = book.columns
    found: list[FileId | None] = [None] * grid.step_axis.length
    stamps, digests = np.zeros_like(known["stamps"]), known["files"].copy()
    axis = grid.step_axis
    spans = [axis.span(int(n)) for n in np.flatnonzero(wanted)]  # a source has one tile
    steps = [step for span in spans for step in range(span.start, span.stop)]
    looked = _looked_for(request, stand, source, steps, progress)
    settle = references.settled if stand.layout.references else settled
    if not stand.layout.references:
        pairs = zip(looked, known["stamps"][steps], strict=True)
        new = local_parts(now for now, was in pairs if now and now.stamp_digest != was.tobytes())
        with progress.watch(f"reading {source.name}", len(new)) as tick:
            read_ahead(new, tick)
    for step, now in zip(steps, looked, strict=True):
        if now is None:
            continue  # where values are stored, its digest stays: no reason to give them up
        file = settle(now, known["stamps"][step].tobytes(), known["files"][step].tobytes())
        found[step] = file
        stamps[step] = np.frombuffer(file.stamp_digest, "u1")
        digests[step] = np.frombuffer(file.digest, "u1")
    return StepFiles(found, stamps, digests)


def _looked_for(
    request: Request, stand: Stand, source: Source, steps: Sequence[int], progress: Progress
) -> list[FileId | None]:
    """What is there for each step: its file, or the first that may stand in for it."""
    root = request.root_of(source)
    keys = [stand.grid.step_key(step) for step in steps]

    def seek(path: Callable[[Any], Paths], keys: Sequence[Any]) -> list[FileId | None]:
        shown = partial(progress.watch, f"looking for {source.name}")
        return look(root, [path(key) for key in keys], shown)

    found = seek(source.path, keys)
    for rank, instead in enumerate(source.instead, start=1):
        absent = [at for at, file in enumerate(found) if file is None]
        if not absent:
            break
        standing_in = seek(instead, [keys[at] for at in absent])
        for at, file in zip(absent, standing_in, strict=True):
            if file is not None and _may_stand_in(stand, source, steps[at], rank, file):
                found[at] = file
    return found


def _may_stand_in(stand: Stand, source: Source, step: int, rank: int, file: FileId) -> bool:
    """Whether a stand-in is no worse than the file that a step's stored values are from.

    The ledger knows that file by its path. Of values that an older fluxforge kept, as a later file
    was refused or gone, it does not: they count as the best file's, and wait for it.
    """
    book, name = stand.ledger, stand.grid.step_name(step)
    state = book.states[step, 0]
    if state not in HOLDS_VALUES:
        return True
    if state == VALID and book.columns["stamps"][step].tobytes() == file.stamp_digest:
        return True  # the very file that was read
    record = book.record(step // stand.grid.step_axis.block_length) or {}
    known = record.get("files", {}).get(name)
    if known is None or (state != VALID and name not in record.get("refused", {})):
        return False
    key = stand.grid.step_key(step)
    return which(known, [path(key) for path in (source.path, *source.instead)]) >= rank


def _bytes_a_cell(stand: Stand) -> float:
    """Bytes that are stored for each cell of the dataset's own grid, before compression."""
    own = math.prod(stand.grid.shape)
    return sum(
        math.prod(output.grid.shape) / own * np.dtype(v.packing.dtype).itemsize
        for output in stand.layout.copied
        for v in output.variables
    )


def valid_steps(stand: Stand, number: int) -> frozenset[int]:
    """Steps of a block that hold values now."""
    steps, tile = stand.ledger.rows_of(number)
    good = np.isin(stand.ledger.states[steps, tile], HOLDS_VALUES)
    return frozenset((steps.start + np.flatnonzero(good)).tolist())
