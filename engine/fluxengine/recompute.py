"""Recomputation: some published blocks made once more, and compared with what is stored."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from fluxengine import layout
from fluxengine.declare import Array, Output, Product, Variable
from fluxengine.errors import ConfigError, StoreError
from fluxengine.key import changed
from fluxengine.ledger import VALID, Record
from fluxengine.plan import DatasetPlan, make_plan
from fluxengine.reading import Upstream
from fluxengine.repository import MAIN
from fluxengine.stand import Request
from fluxengine.store import Store
from fluxengine.task import Job, Made, make_block

# Units in the last place, by which other processors and numbers of threads round otherwise.
FLOAT_STEP = 8


@dataclass(frozen=True)
class Compared:
    """A block that was made once more.

    Parameters
    ----------
    dataset, block : str
    cells, differing : int
        Over all variables.
    worst : float
        Largest difference, in steps of the variable's packing; a step of floats is `FLOAT_STEP`
        units in the last place. Infinite where a value stands against none.
    same : bool
        No cell differs by more than one step, and no flag at all.
    remark : str
        What is otherwise than when it was made: code, weights, options.
    """

    dataset: str
    block: str
    cells: int
    differing: int
    worst: float
    same: bool
    remark: str

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return asdict(self)


def recompute(
    request: Request, number: int, seed: int = 0, *, only: str | None = None
) -> Iterator[Compared]:
    """Make some blocks of the product's chain once more and compare; nothing is written.

    They are those of the published versions; of a dataset of which nothing is published, those of
    its work, as for `verify`.

    Parameters
    ----------
    request : Request
        With a store that holds the product.
    number : int
        How many blocks, drawn at random over all datasets but the sources.
    seed : int
        Of the draw.
    only : str, optional
        Of this dataset alone.

    Raises
    ------
    ConfigError
        Where no block of the period is there; of a source there is none to be made.
    """
    plans = [p for p in make_plan(request).datasets if isinstance(p.stand.dataset, Product)]
    wanted = [_as_published(plan) for plan in plans if only in (None, plan.name)]
    known = [(plan, int(block)) for plan in wanted for block in _good(plan)]
    if request.store is None or not known:
        made = ", ".join(plan.name for plan in plans)
        raise ConfigError(
            f"there is no good block{f' of {only}' if only else ''} to make again.",
            mend=f"Run it first. What the run file's product makes is {made}.",
        )
    for plan, block in random.Random(seed).sample(known, min(number, len(known))):
        yield _compared(request.store, plan, block)


def _as_published(plan: DatasetPlan) -> DatasetPlan:
    """The plan with the dataset as it is published: its work may have gone further."""
    stand = plan.stand
    if stand.repository is None or not stand.repository.is_published:
        return plan
    snapshot = stand.repository.tip(MAIN)
    book = stand.repository.ledger(snapshot).extended(stand.grid)
    return replace(plan, stand=replace(stand, ledger=book, snapshot=snapshot))


def _good(plan: DatasetPlan) -> Array:
    """Blocks that hold values in every step."""
    book = plan.stand.ledger
    whole = [bool((book.states[book.rows_of(n)] == VALID).all()) for n in range(len(plan.wanted))]
    return np.flatnonzero(plan.wanted & np.array(whole))


def _compared(store: Store, plan: DatasetPlan, number: int) -> Compared:
    record = plan.stand.ledger.record(number) or {}
    job = _job(store, plan, number, record)
    made, arrays = make_block(job)
    differing, worst, cells = 0, 0.0, 0
    same = not made.notes
    for output, variable in job.stored:
        stored = _stored(plan, output, job)[variable.name]
        odd, by = _difference(variable, stored, arrays[output.named(variable)])
        differing, worst, cells = differing + odd, max(worst, by), cells + stored.size
        same &= odd == 0 or (not variable.is_flag and by <= 1)
    name = plan.stand.grid.numbered(number).name
    return Compared(plan.name, name, cells, differing, worst, same, _remark(plan, number, made))


def _job(store: Store, plan: DatasetPlan, number: int, record: Record) -> Job:
    stand = plan.stand
    assert stand.repository is not None and isinstance(stand.dataset, Product)
    upstream = {}
    for read in stand.dataset.reads:
        if read.dataset.name not in record["inputs"]:
            continue  # partial, and without a step in that run
        used = record["inputs"][read.dataset.name]["snapshot"]
        repository = store.repository(read.dataset.name)
        try:
            grids = layout.stored_grids(repository.read(used))
        except StoreError as error:
            raise StoreError(
                "the input that it was made from has been pruned.",
                where=f"{stand.dataset.name} {stand.grid.numbered(number).name}",
                mend="Keep more versions to be able to make blocks again.",
            ) from error
        outputs = tuple(replace(o, grid=grids[o.group]) for o in read.dataset.outputs)
        upstream[read.dataset.name] = Upstream(repository.path, used, outputs)
    block = stand.grid.numbered(number)
    fork, path = stand.repository.fork(), stand.repository.path
    outputs = stand.layout.outputs
    batch = record.get("batch", stand.dataset.batch)
    standing = plan.standing
    return Job(stand.dataset, outputs, block, path, fork, standing, upstream, batch=batch)


def _stored(plan: DatasetPlan, output: Output, job: Job) -> Mapping[str, Array]:
    assert plan.stand.repository is not None
    root: Any = plan.stand.repository.read(plan.stand.snapshot)
    spans = tuple(output.spans(job.grid, job.block).values())
    return {v.name: np.asarray(root[output.named(v)][spans]) for v in output.variables}


def _difference(variable: Variable, stored: Array, made: Array) -> tuple[int, float]:
    """Differing cells and the largest difference, in steps."""
    holes, others = (_missing(variable, raw) for raw in (stored, made))
    odd = (stored != made) & ~(holes & others)
    if not odd.any():
        return 0, 0.0
    number = int(odd.sum())
    if (holes != others).any():
        return number, math.inf  # a value is not within a step of none
    if not variable.packing.is_float:
        by = np.abs(made[odd].astype(np.int64) - stored[odd].astype(np.int64))
        return number, float(by.max())
    with np.errstate(invalid="ignore"):  # infinity has no steps
        by = np.abs(made[odd].astype("f8") - stored[odd]) / _step(stored, made)[odd]
    return number, float(np.nan_to_num(by, nan=np.inf).max())


def _missing(variable: Variable, raw: Array) -> Array:
    """Cells without a value; a flag always has one."""
    if variable.packing.is_float:
        return np.isnan(raw)
    fill = None if variable.is_flag else variable.packing.fill
    return np.zeros(raw.shape, bool) if fill is None else raw == fill


def _step(stored: Array, made: Array) -> Array:
    """How far floats may be apart at each cell and still be the same, as packed ones by one step.

    A cell near zero may be the difference of numbers as large as the others are.
    """
    size = np.maximum(np.abs(stored), np.abs(made))
    typical = np.nanmedian(np.abs(stored)).astype(stored.dtype)
    found: Array = FLOAT_STEP * np.spacing(np.maximum(size, typical)).astype("f8")
    return found


def _remark(plan: DatasetPlan, number: int, made: Made) -> str:
    if made.notes:
        return "; ".join(made.notes.values())
    book = plan.stand.ledger
    then = book.standing_parts.get(book.columns["standings"][number].tobytes().hex())
    return "; ".join(changed(then, plan.standing).values()) if then else ""
