"""Estimates: what a plan will read, write, ask, hold in memory, take and cost.

One block of each dataset, the middle one of those planned, is worked out and stands for all: they
differ only at the ends of the axes. Bytes are those of packed values before compression, and what
a source reads is the size of its files. Times come from the ledger; before a block was ever made
they are assumed, and said to be.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np

from fluxengine.declare import Output, Product, Stage, Variable, stored_as
from fluxengine.errors import ConfigError
from fluxengine.grid import Block, Indices
from fluxengine.packing import Packing
from fluxengine.plan import DatasetPlan, Plan
from fluxengine.window import WindowCells, runs, window_cells

# Bytes of a worker that has imported what the engine needs, with what it keeps of memory it freed.
BASE = 400_000_000
ROOM = 0.8  # of a worker's memory: above it, Dask takes on no further task
ASSUMED = 100e6  # bytes, packed, that a thread reads, works on and writes in a second: a slow one
SAMPLE = 16  # blocks whose times are looked up
START = 6.0  # seconds until workers are there
BLOCKS_PER_COMMIT = 32
COMMIT = 12  # requests of a commit: ledger, manifests, snapshot, branch


@dataclass(frozen=True)
class Resources:
    """What a profile gives to a run.

    Parameters
    ----------
    workers, threads : int
    memory : int or None
        Bytes of each worker; None where nothing bounds them.
    prices : mapping
        ``worker_hour``, ``get_1000``, ``put_1000``.
    """

    workers: int = 1
    threads: int = 1
    memory: int | None = None
    prices: Mapping[str, float] = field(default_factory=dict)

    @property
    def slots(self) -> int:
        """Blocks that are made at once."""
        return self.workers * self.threads


@dataclass(frozen=True)
class Estimate:
    """Of all planned blocks of one dataset.

    Parameters
    ----------
    dataset : str
    will_run, may_run : int
        Blocks; one task each.
    gets, puts, bytes_read, bytes_written : int
        Requests for chunks or files and what they carry; of all blocks, those that may run too.
    memory : int
        Bytes at the peak of a worker.
    batch : int
        Steps computed at once.
    gpu_memory : int
        Bytes at the peak of a GPU, on which one block is computed at a time; 0 where none is used.
    block_seconds : float
        Of one block on one thread.
    assumed : bool
        Whether that is not from the ledger.
    """

    dataset: str
    will_run: int
    may_run: int
    gets: int
    puts: int
    bytes_read: int
    bytes_written: int
    memory: int
    batch: int
    gpu_memory: int
    block_seconds: float
    assumed: bool

    @property
    def blocks(self) -> int:
        """All that are planned."""
        return self.will_run + self.may_run

    def wall(self, resources: Resources) -> float:
        """Seconds with so many slots, one wave of blocks after the other."""
        return math.ceil(self.blocks / resources.slots) * self.block_seconds

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return asdict(self)


@dataclass(frozen=True)
class Bill:
    """What a whole plan takes and costs.

    Parameters
    ----------
    seconds : float
        From start to end.
    cost : float or None
        In the currency of the prices; None where the run file gives none.
    """

    seconds: float
    cost: float | None

    def as_json(self) -> dict[str, float | None]:
        """For machines."""
        return asdict(self)


def estimates(plan: Plan, resources: Resources) -> list[Estimate]:
    """An estimate of each dataset with planned blocks.

    Raises
    ------
    ConfigError
        Where a block does not fit into a worker's memory, one step at a time.
    """
    return [_estimate(d, resources) for d in plan.datasets if len(d.blocks)]


def bill(found: list[Estimate], resources: Resources) -> Bill:
    """Time and cost of a plan whose datasets are made one after the other."""
    seconds = sum(e.wall(resources) for e in found) + (START if found else 0.0)
    prices = resources.prices
    if not prices:
        return Bill(seconds, None)
    commits = sum(-(-e.blocks // BLOCKS_PER_COMMIT) * COMMIT for e in found)
    return Bill(
        seconds,
        prices.get("worker_hour", 0.0) * resources.workers * seconds / 3600
        + prices.get("get_1000", 0.0) * sum(e.gets for e in found) / 1000
        + prices.get("put_1000", 0.0) * (sum(e.puts for e in found) + commits) / 1000,
    )


def batch_for(plan: DatasetPlan, resources: Resources) -> int:
    """Steps to compute at once so that a worker's memory suffices.

    The product's own number, halved until it fits: a batch never changes a value.

    Raises
    ------
    ConfigError
        Where not even one step fits.
    """
    block = _middle(plan)
    batch = min(getattr(plan.stand.dataset, "batch", 0) or len(block.steps), len(block.steps))
    while resources.memory is not None:
        needed = memory(plan, block, batch, resources.threads)
        if needed <= ROOM * resources.memory or (batch == 1 and needed <= resources.memory):
            break
        if batch == 1:
            raise ConfigError(
                f"a worker needs {needed / 1e9:.1f} GB for {resources.threads} block(s) at once,"
                f" one step at a time, and has {resources.memory / 1e9:.1f} GB.",
                where=plan.name,
                mend="Raise `memory` of the cluster, or lower `threads`.",
            )
        batch = -(-batch // 2)
    return batch


def memory(plan: DatasetPlan, block: Block, batch: int, threads: int) -> int:
    """Bytes at the peak of a worker that makes as many blocks at once as it has threads."""
    dataset = plan.stand.dataset
    work = _of_product(plan, dataset, block, batch) if isinstance(dataset, Product) else None
    return BASE + _kept(plan) + threads * (work if work is not None else _of_source(plan, block))


def _kept(plan: DatasetPlan) -> int:
    """What workers hold of the stages that they ran so far: of this dataset and of its inputs."""
    stages = getattr(plan.stand.dataset, "stages", ()) if len(plan.blocks) else ()
    own = max((stage.kept for stage in stages), default=0)
    return max([own, *(_kept(upstream.plan) for upstream in plan.inputs.values())])


def _middle(plan: DatasetPlan) -> Block:
    """A planned block that stands for all: not the last one's few steps, if there is another."""
    grid, numbers = plan.stand.grid, plan.blocks.numbers
    full = numbers[numbers < (grid.step_blocks - 1) * grid.tiles]
    numbers = full if len(full) else numbers
    number = int(numbers[len(numbers) // 2]) if len(numbers) else 0
    return grid.numbered(number)


def _estimate(plan: DatasetPlan, resources: Resources) -> Estimate:
    block, batch = _middle(plan), batch_for(plan, resources)
    gets, read = _reading(plan, block, batch)
    blocks = len(plan.blocks)
    written = _packed_bytes(plan, block)
    seconds = _seconds_from_ledger(plan, block)
    return Estimate(
        plan.name,
        len(plan.will_run),
        len(plan.may_run),
        gets * blocks,
        sum(len(output.variables) for output in plan.stand.layout.copied) * blocks,
        round(read * blocks),
        plan.bytes_written,
        memory(plan, block, batch, resources.threads),
        batch,
        _on_gpu(plan, block, batch),
        _assumed(plan, block, batch, read + written) if seconds is None else seconds,
        seconds is None,
    )


def _assumed(plan: DatasetPlan, block: Block, batch: int, moved: float) -> float:
    """Of one block that was never made: for its bytes, and what its stages say."""
    product, seconds = plan.stand.dataset, moved / ASSUMED
    if not isinstance(product, Product):
        return seconds
    parts = list(block.batches(batch))
    for stage, given in _given(plan, product, parts[0], _shapes(plan, parts[0])):
        seconds += len(parts) * stage.seconds(given)
    return seconds


def _seconds_from_ledger(plan: DatasetPlan, block: Block) -> float | None:
    """Of one block on one thread, as the last ones took."""
    book = plan.stand.ledger
    made = np.flatnonzero(book.columns["standings"].any(axis=1))[-SAMPLE:]
    if not len(made):
        return None
    known = [book.record(int(number)) or {} for number in made]
    rates = [
        record["seconds"] / math.prod(book.grid.numbered(int(number)).shape)
        for number, record in zip(made, known, strict=True)
        if "seconds" in record
    ]
    return float(np.median(rates)) * math.prod(block.shape) if rates else None


# --- reading -------------------------------------------------------------------------------------


def _reading(plan: DatasetPlan, block: Block, batch: int) -> tuple[int, float]:
    """Requests and bytes of one block."""
    if plan.files is not None:
        held = [file for step in block.steps if (file := plan.files.found[step]) is not None]
        requests = sum(len(file.parts) or 1 for file in set(held))
        size = float(sum(max(file.size, 0) for file in set(held)))
        # What is referred to is read once more, through its references.
        referred = plan.stand.layout.references
        chunks = sum(map(plan.stand.layout.chunks_a_step, referred))
        return requests + chunks * len(held), size + min(size, len(held) * _bytes_a_step(plan))
    gets, read = 0, 0.0
    for part in block.batches(batch):
        for _, output, variable, cells, own in _windows(plan, part):
            requests, chunks = _requests(output, list(cells.stored.values()), own)
            gets += requests
            read += chunks * math.prod(own or output.grid.chunk_shape) * _width(variable.packing)
    return gets, read


def _bytes_a_step(plan: DatasetPlan) -> float:
    """What a step of a source takes uncompressed where it is referred to; 0 for a copy."""
    layout = plan.stand.layout
    elsewhere = {reference.variable for reference in layout.references}
    widths = [_width(v.packing) for v in layout.outputs[0].variables if v.name in elsewhere]
    return float(math.prod(layout.grid.shape[1:]) * sum(widths))


def _requests(output: Output, cells: list[Indices], own: tuple[int, ...] | None) -> tuple[int, int]:
    """Requests for, and inner chunks in, a window: a shard that is wanted whole is read at once.

    Of another one its index is, and each chunk. Chunks of its `own`, in the provider's files, lie
    in no shard.
    """
    lengths = own or output.grid.chunk_shape
    met = [_chunks(c, length) for c, length in zip(cells, lengths, strict=True)]
    chunks = math.prod(sum(map(len, each)) for each in met)
    if own is not None:
        return chunks, chunks
    shards = whole = 1
    for each, axis in zip(met, output.grid.axes.values(), strict=True):
        of_one = -(-axis.block_length // axis.chunk_length)
        shards *= sum(n[-1] // of_one - n[0] // of_one + 1 for n in each)
        whole *= of_one * sum(max(0, n.stop // of_one - -(-n.start // of_one)) for n in each)
    return shards + chunks - whole, chunks


def _chunks(cells: Indices, length: int) -> list[range]:
    """Numbers of an axis's chunks in each part that is read; of ends that meet in one, twice."""
    spans = runs(cells, length)
    return [range(span.start // length, (span.stop - 1) // length + 1) for span in spans]


class _Wanted(NamedTuple):
    """A variable that is read: the name that stages know, where it is stored, and its cells.

    `own` is the shape of its chunks where they lie in the provider's files.
    """

    name: str
    output: Output
    variable: Variable
    cells: WindowCells
    own: tuple[int, ...] | None


def _windows(plan: DatasetPlan, part: Block) -> Iterator[_Wanted]:
    """Every variable that is read for a part of a block."""
    product = plan.stand.dataset
    assert isinstance(product, Product)
    for read in product.reads:
        upstream = plan.inputs.get(read.dataset.name)
        given = upstream.plan.stand.layout if upstream else None
        own = {r.variable: (1, *r.chunks) for r in given.references} if given else {}
        outputs = given.outputs if given else read.dataset.outputs
        for name, known_by in zip(read.variables, read.names, strict=True):
            output, variable = stored_as(outputs, name)
            cells = window_cells(
                plan.stand.grid, part.spans, product.halo, output.grid, partial=read.partial
            )
            yield _Wanted(known_by, output, variable, cells, own.get(name))


# --- memory --------------------------------------------------------------------------------------


def _of_product(plan: DatasetPlan, product: Product, block: Block, batch: int) -> int:
    """The larger of computing the last batch and of writing the block."""
    part = next(block.batches(batch))
    shapes, window = {}, 0
    for name, output, variable, cells, own in _windows(plan, part):
        shape = shapes[name] = cells.shape
        window += math.prod(shape) * (_width(variable.packing) + _unpacked(variable))
        window += math.prod(own or output.grid.chunk_shape) * _width(variable.packing)
    working, made = 0, 0
    for _, _, outputs, beside in _stages(plan, product, part, shapes):
        working = max(working, made + outputs + beside)
        made += outputs
    packed = _packed_bytes(plan, block)
    copies = (1 if batch >= len(block.steps) else 2) if product.gates else 0
    values = copies * _values_bytes(plan, block)
    return max(window + working + packed + values, values + 2 * packed + _encoding(plan, block))


def _stages(
    plan: DatasetPlan, product: Product, part: Block, shapes: dict[str, tuple[int, ...]]
) -> Iterator[tuple[Stage, int, int, int]]:
    """Each stage with the bytes of its inputs, of its outputs, and what it needs beside them."""
    for stage, given in _given(plan, product, part, shapes):
        inputs = sum(8 * math.prod(shape) for shape in given.values())
        outputs = sum(8 * _cells(plan, part, v, given) for v in stage.outputs)
        yield stage, inputs, outputs, stage.memory(given)


def _given(
    plan: DatasetPlan, product: Product, part: Block, shapes: dict[str, tuple[int, ...]]
) -> Iterator[tuple[Stage, dict[str, tuple[int, ...]]]]:
    """Each stage with the shapes of its inputs."""
    for stage in product.stages:
        given = {name: shapes[name] for name in stage.inputs}
        yield stage, given
        shapes |= {v.name: _shape(plan, part, v, given) for v in stage.outputs}


def _shapes(plan: DatasetPlan, part: Block) -> dict[str, tuple[int, ...]]:
    """Of all that is read for a part of a block."""
    return {wanted.name: wanted.cells.shape for wanted in _windows(plan, part)}


def _on_gpu(plan: DatasetPlan, block: Block, batch: int) -> int:
    """The largest of the stages that run there."""
    product = plan.stand.dataset
    if not isinstance(product, Product):
        return 0
    part = next(block.batches(batch))
    parts = _stages(plan, product, part, _shapes(plan, part))
    return max((sum(sizes) for s, *sizes in parts if s.device == "cuda"), default=0)


def _of_source(plan: DatasetPlan, block: Block) -> int:
    """The block as stored, and beside it one step as it is decoded, or a shard as it is written."""
    step = block.narrowed(block.steps.start, block.steps.start + 1)
    largest = max(cells for cells, _ in _stored(plan, step))
    # Its bytes, the packed values made of them and a copy; numbers of one variable at a time.
    decoded = 3 * _packed_bytes(plan, step) + 3 * 8 * largest
    return _packed_bytes(plan, block) + max(decoded, _encoding(plan, block))


def _shape(
    plan: DatasetPlan, part: Block, variable: Variable, given: Mapping[str, tuple[int, ...]]
) -> tuple[int, ...]:
    """Of what a stage makes: as stored, where it is stored, else as its largest input."""
    for output in plan.stand.layout.outputs:
        if variable.name in {v.name for v in output.variables}:
            spans = output.spans(plan.stand.grid, part).values()
            return tuple(span.stop - span.start for span in spans)
    return max(given.values(), key=math.prod, default=())


def _cells(
    plan: DatasetPlan, part: Block, variable: Variable, given: Mapping[str, tuple[int, ...]]
) -> int:
    largest = max((math.prod(shape) for shape in given.values()), default=0)
    return max(math.prod(_shape(plan, part, variable, given)), largest if given else 0)


def _packed_bytes(plan: DatasetPlan, block: Block) -> int:
    return sum(cells * _width(v.packing) for cells, v in _stored(plan, block))


def _values_bytes(plan: DatasetPlan, block: Block) -> int:
    return sum(cells * 8 for cells, _ in _stored(plan, block))


def _encoding(plan: DatasetPlan, block: Block) -> int:
    """The largest shard while it is written: its chunks, and what they are compressed to."""
    return 3 * max(cells * _width(v.packing) for cells, v in _stored(plan, block))


def _stored(plan: DatasetPlan, block: Block) -> Iterator[tuple[int, Variable]]:
    """Cells of a block for each variable that is stored."""
    for output in plan.stand.layout.outputs:
        spans = output.spans(plan.stand.grid, block).values()
        cells = math.prod(span.stop - span.start for span in spans)
        for variable in output.variables:
            yield cells, variable


def _width(packing: Packing) -> int:
    return int(np.dtype(packing.dtype).itemsize)


def _unpacked(variable: Variable) -> int:
    """Bytes of a value as stages see it; flags are seen as they are stored."""
    return 0 if variable.is_flag else int(np.dtype(variable.packing.unpacked).itemsize)
