"""One block, end to end: read its window, run the stages, check, pack, write, digest.

Runs on a worker. Only digests, notes and the forked session travel back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from zarr.core.sync import sync

from fluxengine.declare import (
    Array,
    Arrays,
    Dataset,
    Product,
    Read,
    Source,
    Stage,
    Variable,
)
from fluxengine.digest import BYTES, content_digest
from fluxengine.errors import (
    CodeMismatch,
    DeclarationError,
    FluxforgeError,
    GateFailed,
    NoSpace,
    OutOfRange,
    RunFailed,
    StoreError,
)
from fluxengine.files import FileId
from fluxengine.grid import Block, Grid, Halo
from fluxengine.ingest import Step, failed_cells, read_step, traced
from fluxengine.key import Parts, standing_parts, weights_of_stage
from fluxengine.ledger import FAILED_STEP, VALID
from fluxengine.place import Place
from fluxengine.store import Fork, read_snapshot, storage_errors, stored_values

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True)
class Upstream:
    """Where an input lies: place of the dataset, pinned snapshot, and its closed grid."""

    path: Place
    snapshot: str
    grid: Grid


@dataclass(frozen=True)
class Job:
    """All a worker needs for one block."""

    dataset: Dataset
    grid: Grid
    block: Block
    path: Place
    fork: Fork
    parts: Parts
    upstream: Mapping[str, Upstream] = field(default_factory=dict)
    files: Mapping[int, FileId | None] = field(default_factory=dict)
    previous: Upstream | None = None
    keep: frozenset[int] = frozenset()

    @property
    def name(self) -> str:
        """Such as ``deepflux-0003-0-0``, shown on the dashboard."""
        return f"{self.dataset.name}-{self.block.name}"


@dataclass(frozen=True)
class Outcome:
    """What comes back of a block.

    Parameters
    ----------
    job : str
        Its name.
    fork : ForkSession
        Holds the chunks that were written.
    states : uint8 array, shape (steps,)
    digests : uint8 array, shape (steps, 32)
    notes : dict of str to str
        Step name to why it failed or what was refused.
    files : dict of str to dict
        Step name to the file it came from.
    traceback : str
        Of what a stage raised; empty otherwise.
    seconds : float
    """

    job: str
    fork: Fork
    states: Array
    digests: Array
    notes: Mapping[str, str]
    files: Mapping[str, Any]
    traceback: str
    seconds: float


def run_block(job: Job) -> Outcome:
    """Make one block and write it through the job's fork.

    Raises
    ------
    CodeMismatch
        Where this worker has other code or weights than the client.
    NoSpace, StoreError, RunFailed
        Where storage or memory fail: the run stops. A fault of the block itself never raises.
    """
    began = time.perf_counter()
    _same_code(job)
    try:
        made = _ingested(job) if isinstance(job.dataset, Source) else _computed(job, job.dataset)
    except MemoryError as error:
        raise RunFailed(
            f"the memory does not suffice for one block: {error}. Finished blocks are kept.",
            where=job.name,
            mend="Give each worker more `memory`, then run again.",
        ) from error
    with storage_errors(job.path):
        _write(job, made.arrays)
    return Outcome(
        job.name,
        job.fork,
        made.states,
        _digests(made.arrays, len(job.block.steps)),
        made.notes,
        made.files,
        made.traceback,
        time.perf_counter() - began,
    )


@dataclass(frozen=True)
class _Made:
    arrays: Mapping[str, Array]
    states: Array
    notes: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, Any] = field(default_factory=dict)
    traceback: str = ""


def _same_code(job: Job) -> None:
    mine = standing_parts(job.dataset)
    for part in ("code", "weights"):
        for name, digest in job.parts[part].items():
            if mine[part].get(name) != digest:
                raise CodeMismatch(
                    f"this worker has {part} '{name}' {mine[part].get(name)},"
                    f" the client planned with {digest}.",
                    where=job.name,
                    mend="Install the same fluxforge on every worker, then run again.",
                )


# --- sources -------------------------------------------------------------------------------------


def _ingested(job: Job) -> _Made:
    assert isinstance(job.dataset, Source)
    arrays = _empty(job)
    states = np.zeros(len(job.block.steps), "u1")
    notes: dict[str, str] = {}
    files: dict[str, Any] = {}
    traces = []
    for at, number in enumerate(job.block.steps):
        step = _kept(job, number, read_step(job.dataset, job.grid, number, job.files[number]))
        for name, values in step.arrays.items():
            arrays[name][at] = values[0]
        states[at] = step.state
        name = job.grid.step_name(number)
        if step.note:
            notes[name] = step.note
        if step.traceback:
            traces.append(step.traceback)
        if step.file is not None:
            files[name] = step.file.as_json()
    return _Made(arrays, states, notes, files, "\n".join(traces)[-4000:])


def _kept(job: Job, number: int, step: Step) -> Step:
    """A good step that is stored already is not given up for a damaged or vanished file."""
    if step.state == VALID or number not in job.keep or job.previous is None:
        return step
    root = read_snapshot(job.previous.path, job.previous.snapshot)
    with stored_values(job.path):
        arrays = {v.name: _array(root, v.name)[number : number + 1] for v in job.dataset.variables}
    note = f"the values ingested before are kept: {step.note}"
    return Step(arrays, VALID, step.file, note, step.traceback)


# --- products ------------------------------------------------------------------------------------


def _computed(job: Job, product: Product) -> _Made:
    try:
        parts = [_batch(job, product, part) for part in _batches(job.block, product.batch)]
        block = {v.name: _joined([p[v.name] for p in parts], job.grid) for v in product.publishes}
        for gate in product.gates:
            why = gate(block, product.publishes)
            if why:
                raise GateFailed(why, where=job.name)
        arrays = {v.name: _packed(v, block[v.name].values) for v in product.publishes}
        return _Made(arrays, np.full(len(job.block.steps), VALID, "u1"))
    except (NoSpace, StoreError, MemoryError):
        raise
    except Exception as error:  # whatever a stage does, the rest of the run goes on
        states = np.full(len(job.block.steps), FAILED_STEP, "u1")
        known = isinstance(error, FluxforgeError)
        note = str(error) if known else f"{type(error).__name__}: {error}"
        names = {f"block {job.block.name} from {job.grid.step_name(job.block.steps[0])}": note}
        cells = failed_cells(product.publishes, job.block.shape)
        return _Made(cells, states, names, traceback="" if known else traced(error))


def _batches(block: Block, length: int) -> Iterator[Block]:
    steps = block.steps
    for start in range(steps.start, steps.stop, length or len(steps)):
        yield block.narrowed(start, min(start + (length or len(steps)), steps.stop))


def _batch(job: Job, product: Product, part: Block) -> dict[str, xr.DataArray]:
    """Outputs of all stages on one batch, cropped to its own cells."""
    arrays: dict[str, xr.DataArray] = {}
    for read in product.reads:
        arrays |= read_window(job, read, part, product.halo)
    for stage in product.stages:
        made = _loaded(stage)({name: arrays[name] for name in stage.inputs})
        arrays |= {v.name: made[v.name] for v in stage.outputs}
    return {v.name: _cropped(arrays[v.name], job.grid, part) for v in product.publishes}


def _joined(parts: list[xr.DataArray], grid: Grid) -> xr.DataArray:
    """Batches along the step axis."""
    import xarray as xr

    return parts[0] if len(parts) == 1 else xr.concat(parts, grid.dims[0])


_LOADED: dict[str, Callable[[Arrays], Arrays]] = {}


def _loaded(stage: Stage) -> Callable[[Arrays], Arrays]:
    """A stage's function, loaded once for each worker."""
    name = f"{type(stage).__module__}.{stage!r} {weights_of_stage(stage)}"
    if name not in _LOADED:
        _LOADED[name] = stage.load()
    return _LOADED[name]


def read_window(job: Job, read: Read, part: Block, halo: Halo) -> dict[str, xr.DataArray]:
    """Variables of an upstream dataset over a block's window, unpacked, with coordinates."""
    upstream = job.upstream[read.dataset.name]
    window = job.grid.window(part.spans, halo, upstream.grid)
    root = read_snapshot(upstream.path, upstream.snapshot)
    variables = {v.name: v for v in read.dataset.variables}
    with stored_values(upstream.path):
        return {
            name: _read(root, variables[name], upstream.grid, list(window.values()))
            for name in read.variables
        }


def _read(root: zarr.Group, variable: Variable, grid: Grid, cells: Sequence[Array]) -> xr.DataArray:
    import xarray as xr

    raw = _selected(_array(root, variable.name), cells)
    values = raw if variable.is_flag else variable.packing.unpack(raw)
    coords = {
        name: axis.coordinate()[index]
        for (name, axis), index in zip(grid.axes.items(), cells, strict=True)
    }
    return xr.DataArray(values, dims=grid.dims, coords=coords, name=variable.name)


def _selected(array: Any, cells: Sequence[Array]) -> Array:
    """Cells of a stored array; runs of neighbours are read as slices."""
    if all(_is_run(index) for index in cells):
        region = tuple(slice(int(i[0]), int(i[-1]) + 1) for i in cells)
        found: Array = array[region]
    else:
        found = array.oindex[tuple(cells)]
    return found


def _is_run(index: Array) -> bool:
    return len(index) > 0 and int(index[-1]) - int(index[0]) == len(index) - 1


def _cropped(values: xr.DataArray, grid: Grid, part: Block) -> xr.DataArray:
    """Only the block's own cells, dimensions in the grid's order; a lacking one is broadcast."""
    if set(values.dims) - set(grid.dims):
        raise DeclarationError(f"a stage gives {values.name} on {values.dims}, not {grid.dims}.")
    own = {name: grid.axes[name].coordinate()[span] for name, span in part.spans.items()}
    values = values.expand_dims({n: own[n] for n in grid.dims if n not in values.dims})
    cells = {name: _found(values, name, labels) for name, labels in own.items()}
    return values.isel(cells).transpose(*grid.dims)


def _found(values: xr.DataArray, axis: str, labels: Array) -> slice:
    """Where a block's own coordinates stand: a halo may hold some of them a second time."""
    size, length = values.sizes[axis], len(labels)
    if axis not in values.coords and size == length:
        return slice(None)
    there = values[axis].values
    for start in range(size - length + 1):
        if _same(there[start : start + length], labels):
            return slice(start, start + length)
    raise DeclarationError(f"a stage gives {values.name} without the block's own cells of '{axis}'")


def _same(found: Array, wanted: Array) -> bool:
    """Equal coordinates; a computed one may be off by rounding."""
    if wanted.dtype.kind == "f" and found.dtype.kind == "f":
        return bool(np.allclose(found, wanted, rtol=1e-9, atol=1e-6))
    return bool((found == wanted).all())


# --- both ----------------------------------------------------------------------------------------


def _empty(job: Job) -> dict[str, Array]:
    return {v.name: np.empty(job.block.shape, v.packing.dtype) for v in job.dataset.variables}


def _packed(variable: Variable, values: Array) -> Array:
    """Values as stored; flags are codes already.

    Raises
    ------
    OutOfRange
        Where a value does not fit its packing, or a flag is none of the declared codes.
    """
    if not variable.is_flag:
        return variable.packing.pack(values, variable.name)
    unknown = ~np.isin(values, list(variable.flags))
    if unknown.any():
        code = values[unknown].ravel()[0]
        raise OutOfRange(f"{variable.name} = {code} at {int(unknown.sum())} cells is no flag of it")
    return values.astype(variable.packing.dtype)


def _write(job: Job, arrays: Mapping[str, Array]) -> None:
    root = zarr.open_group(job.fork.store, mode="r+")
    region = tuple(job.block.spans.values())
    for name, values in arrays.items():
        array = _array(root, name)
        # The task owns the whole shard. Zarr would read the old one first, and stumble if damaged.
        shard = array.metadata.encode_chunk_key(job.block.index)
        sync((array.store_path / shard).delete())
        array[region] = values


def _digests(arrays: Mapping[str, Array], steps: int) -> Array:
    rows = [content_digest({n: a[k : k + 1] for n, a in arrays.items()}) for k in range(steps)]
    return np.frombuffer(b"".join(rows), "u1").reshape(steps, BYTES)


def _array(root: zarr.Group, name: str) -> Any:
    return root[name]
