"""One block, end to end: read its window, run the stages, check, pack, write, digest.

Runs on a worker. Only digests, notes and the forked session travel back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from heapq import merge
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import zarr
from zarr.storage import StorePath

from fluxengine.declare import (
    Array,
    Arrays,
    Dataset,
    Output,
    Product,
    Reference,
    Source,
    Stage,
    Variable,
)
from fluxengine.digest import BYTES, Content, step_digests
from fluxengine.errors import (
    ChangedFile,
    CodeMismatch,
    FluxforgeError,
    GateFailed,
    NoSpace,
    OutOfRange,
    RunFailed,
    StoreError,
    VersionMismatch,
)
from fluxengine.files import FileId
from fluxengine.grid import Block, Grid
from fluxengine.ingest import Step, failed_cells, read_steps, told, traced
from fluxengine.key import Parts, standing_parts
from fluxengine.ledger import FAILED_STEP, KEPT, VALID
from fluxengine.outages import stored_values
from fluxengine.place import Place
from fluxengine.provenance import of_what_computes
from fluxengine.reading import Cells, Inputs, StoredWindow, Upstream, read_window
from fluxengine.references import Pointer
from fluxengine.repository import Fork, ReadStore, storage_errors, stored_array
from fluxengine.shards import Alike, Shard, store_all
from fluxengine.traffic import CountedStore, Traffic, counted, note_read
from fluxengine.worker import begin, device_name, device_of, loaded, peak_memory, worker_name

if TYPE_CHECKING:
    import xarray as xr

Result = TypeVar("Result")


@dataclass(frozen=True)
class Job:
    """All a worker needs for one block."""

    dataset: Dataset
    outputs: tuple[Output, ...]
    block: Block
    path: Place
    fork: Fork
    parts: Parts
    upstream: Inputs = field(default_factory=dict)
    files: Mapping[int, FileId | None] = field(default_factory=dict)
    previous: Upstream | None = None
    keep: frozenset[int] = frozenset()
    batch: int = 0
    references: tuple[Reference, ...] = ()
    unchanged: frozenset[int] = frozenset()
    versions: tuple[tuple[str, str], ...] = ()

    @property
    def grid(self) -> Grid:
        """The dataset's own grid, closed: what its blocks are counted on."""
        return self.outputs[0].grid

    @property
    def stored(self) -> Iterator[tuple[Output, Variable]]:
        """Every variable with the output it belongs to."""
        return ((output, v) for output in self.outputs for v in output.variables)

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
    batch : int
        Steps that were computed at once.
    seconds : float
    traffic : Traffic
    peak_memory : int
        Bytes that the worker held at most since its first block of the dataset.
    device, worker : str
        What it was computed on, and the worker's name.
    """

    job: str
    fork: Fork
    states: Array
    digests: Array
    notes: Mapping[str, str]
    files: Mapping[str, Any]
    traceback: str
    batch: int
    seconds: float
    traffic: Traffic
    peak_memory: int
    device: str
    worker: str


def run_block(job: Job) -> Outcome:
    """Make one block and write it through the job's fork.

    Raises
    ------
    CodeMismatch, VersionMismatch
        Where this worker has other code or weights than the client, or other libraries: it may have
        come after those that were there when the run began.
    NoSpace, StoreError, RunFailed
        Where storage or memory fail: the run stops. A fault of the block itself never raises.
    """
    began = time.perf_counter()
    begin(job.dataset.name)
    with counted() as traffic:
        _same_code(job)
        shards = _shards(job)
        if isinstance(job.dataset, Source):
            made = _ingested(job, job.dataset, shards)
        else:
            made, arrays = _computed(job, job.dataset)
            for name, shard in shards.items():
                shard.append(arrays[name])
        with storage_errors(job.path):
            store_all(shards.values())
    return Outcome(
        job.name,
        job.fork,
        made.states,
        made.digests,
        made.notes,
        made.files,
        made.traceback,
        made.batch,
        time.perf_counter() - began,
        traffic,
        peak_memory(),
        device_name(job.dataset),
        worker_name(),
    )


def make_block(job: Job) -> tuple[Made, dict[str, Array]]:
    """Make one block of a product and write nothing. Raises as `run_block` does.

    Returns
    -------
    made : Made
    arrays : dict of str to array
        As they would be stored, by their path within the dataset.
    """
    assert isinstance(job.dataset, Product)
    _same_code(job)
    return _computed(job, job.dataset)


@dataclass(frozen=True)
class Made:
    """What is to be said of a block: states and digests of its steps, and the rest."""

    states: Array
    digests: Array
    notes: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, Any] = field(default_factory=dict)
    traceback: str = ""
    batch: int = 0


def _same_code(job: Job) -> None:
    here = dict(of_what_computes())
    for name, wanted in job.versions:
        if here.get(name) != wanted:
            raise VersionMismatch(
                f"{name} {wanted} where the run was started, {here.get(name, 'missing')} on this"
                f" worker, {worker_name()}.",
                where=job.name,
                mend="Finished blocks are kept. Stop that worker, or install the same there, and"
                " run again.",
            )
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


def _ingested(job: Job, source: Source, shards: Mapping[str, Shard]) -> Made:
    """Every step of the block, given to its shards one after the other."""
    try:
        return _read_steps(job, source, shards)
    except MemoryError as error:
        raise _too_little_memory(job, error) from error


def _read_steps(job: Job, source: Source, shards: Mapping[str, Shard]) -> Made:
    states = np.zeros(len(job.block.steps), "u1")
    digests = np.zeros((len(states), BYTES), "u1")
    notes: dict[str, str] = {}
    files: dict[str, Any] = {}
    traces: list[str] = []
    counted_last: FileId | None = None
    pointer = Pointer(source, job.references, job.grid, job.fork, lambda name: _array(job, name))
    files_read = {n: file for n, file in job.files.items() if n not in job.unchanged}
    held = ((n, _as_stored(job, n)) for n in sorted(job.unchanged))
    read_now = read_steps(pointer.watched, job.grid, files_read)
    for number, read in merge(held, read_now, key=itemgetter(0)):
        step = pointer.pointed(number, _kept(job, number, read))
        pointer.blank(number, step)
        at = number - job.block.steps.start
        digests[at] = np.frombuffer(_stored(step, shards), "u1")
        states[at] = step.state
        name = job.grid.step_name(number)
        if step.note:
            notes[name] = told(step.note)
        if step.traceback and step.traceback not in traces[-1:]:
            traces.append(step.traceback)
        if step.file is not None:
            files[name] = step.file.as_json()
        file = read.file if number in files_read else None
        if file is not None and file is not counted_last:
            counted_last = file
            note_read(max(file.size, 0), requests=len(file.parts) or 1)
    return Made(states, digests, notes, files, "\n".join(traces)[-4000:], 1)


def _stored(step: Step, shards: Mapping[str, Shard]) -> bytes:
    """Give a step to the shards; its content digest, of each array while it is in the cache."""
    content, alike = Content(), Alike()
    for name, values in sorted(step.arrays.items()):
        content.add(name, values)
        if name in shards:
            shards[name].append(values, alike)
    return content.digest()


def _kept(job: Job, number: int, step: Step) -> Step:
    """A good step that is stored already is not given up for a damaged or vanished file."""
    if step.state == VALID or number not in job.keep or job.previous is None:
        return step
    try:
        stored = _as_stored(job, number)
    except ChangedFile:  # it was the very file that its values were read from
        return step
    note = f"the values ingested before are kept: {step.note}"
    return Step(stored.arrays, KEPT, step.file, note, step.traceback)


def _as_stored(job: Job, number: int) -> Step:
    """A step as it was ingested before."""
    assert job.previous is not None
    path, snapshot = job.previous.path, job.previous.snapshot
    with stored_values(str(job.path)):
        arrays = {
            v.name: stored_array(path, snapshot, v.name)[number : number + 1]
            for v in job.dataset.variables
        }
    return Step(arrays, VALID, job.files[number])


# --- products ------------------------------------------------------------------------------------


def _computed(job: Job, product: Product) -> tuple[Made, dict[str, Array]]:
    """What is to be said of the block, and its packed arrays by their path in the dataset."""
    states, notes, trace, batch = np.full(len(job.block.steps), VALID, "u1"), {}, "", 0
    try:
        arrays, batch = _tried_again(lambda: _in_batches(job, product))
    except (NoSpace, StoreError, RunFailed):
        raise
    except Exception as error:  # whatever a stage does, the rest of the run goes on
        states[:] = FAILED_STEP
        known = isinstance(error, FluxforgeError)
        note = str(error) if known else f"{type(error).__name__}: {error}"
        first = f"block {job.block.name} from {job.grid.step_name(job.block.steps[0])}"
        arrays, notes = _failed(job), {first: told(note)}
        trace = "" if known else traced(error)
    digests = step_digests(arrays, len(states))
    return Made(states, digests, notes, traceback=trace, batch=batch), arrays


def _tried_again(make: Callable[[], Result]) -> Result:
    """Once more, where a stage raises what it should not; a refusal in words is final."""
    try:
        return make()
    except FluxforgeError:
        raise
    except Exception:  # whatever it was, the second time tells whether it is the block's own
        return make()


def _in_batches(job: Job, product: Product) -> tuple[dict[str, Array], int]:
    """All steps of a block, fewer at once where the memory of host or device does not suffice.

    Gives the packed arrays, and how many steps it were at once.
    """
    batch = job.batch or len(job.block.steps)
    while True:
        try:
            return _whole_block(job, product, batch), batch
        except Exception as error:
            if not _is_out_of_memory(error):
                raise
            if batch == 1:
                raise _too_little_memory(job, error) from error
        batch = -(-batch // 2)


def _is_out_of_memory(error: Exception) -> bool:
    """On the host, or on a GPU as torch and CuPy call it."""
    return isinstance(error, MemoryError) or type(error).__name__ in (
        "OutOfMemoryError",
        "CUDAOutOfMemoryError",
    )


def _too_little_memory(job: Job, error: Exception) -> RunFailed:
    return RunFailed(
        f"the memory does not suffice for one step at a time: {error}. Finished blocks are kept.",
        where=job.name,
        mend="Give each worker more `memory`, then run again.",
    )


def _whole_block(job: Job, product: Product, batch: int) -> dict[str, Array]:
    functions = [_function(stage) for stage in product.stages]
    parts = [_batch(job, product, functions, part) for part in job.block.batches(batch)]
    _pass_gates(job, product, [part.values for part in parts])
    return {o.named(v): _joined([p.packed[v.name] for p in parts]) for o, v in job.stored}


def _function(stage: Stage) -> Callable[[Arrays], Arrays]:
    """A stage's function; what it loads may go to the GPU."""
    with device_of(stage):
        return loaded(stage)


def _pass_gates(job: Job, product: Product, parts: list[dict[str, xr.DataArray]]) -> None:
    import xarray as xr

    if not product.gates:
        return
    along = job.grid.dims[0]
    block = parts[0]
    if len(parts) > 1:
        block = {name: xr.concat([part[name] for part in parts], along) for name in parts[0]}
    for gate in product.gates:
        why = gate(block, product.variables)
        if why:
            raise GateFailed(why, where=job.name)


def _failed(job: Job) -> dict[str, Array]:
    """No values in the whole block, flags that say so."""
    found: dict[str, Array] = {}
    for output in job.outputs:
        spans = output.spans(job.grid, job.block).values()
        shape = tuple(span.stop - span.start for span in spans)
        cells = failed_cells(output.variables, shape)
        found |= {output.named(v): cells[v.name] for v in output.variables}
    return found


@dataclass(frozen=True)
class _Part:
    """A batch of a block: its values, kept for the gates alone, and what is stored of them."""

    values: dict[str, xr.DataArray]
    packed: dict[str, Array]


def _batch(
    job: Job, product: Product, functions: list[Callable[[Arrays], Arrays]], part: Block
) -> _Part:
    """Outputs of all stages on one batch, cropped to its own cells."""
    read: dict[str, StoredWindow] = {}
    for one in product.reads:
        read |= read_window(job.grid, job.upstream, one, part, product.halo)
    arrays = {name: window.values for name, window in read.items()}
    for stage, function in zip(product.stages, functions, strict=True):
        if stage.device == "cpu":
            arrays |= {name: arrays[name].as_numpy() for name in stage.inputs}
        with device_of(stage):
            made = function({name: arrays[name] for name in stage.inputs})
        arrays |= {v.name: made[v.name] for v in stage.outputs}
    arrays = {name: array.as_numpy() for name, array in arrays.items()}
    values, packed = {}, {}
    own = {output.group: Cells.of(output, job.grid, part) for output in job.outputs}
    for output, variable in job.stored:
        name, cells = variable.name, own[output.group]
        given = next((w for w in read.values() if w.holds(arrays[name], variable)), None)
        if given is None or product.gates:
            values[name] = cells.of_values(arrays[name])
        if given is None:
            packed[name] = _packed(variable, values[name].values)
        else:  # handed on as it was read: stored as it was read, bit for bit
            packed[name] = cells.of_values(given.as_stored()).values
    return _Part(values if product.gates else {}, packed)


def _joined(parts: list[Array]) -> Array:
    """Batches along the step axis."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


# --- both ----------------------------------------------------------------------------------------


def _packed(variable: Variable, values: Array) -> Array:
    """Values as stored; flags are codes already.

    Raises
    ------
    OutOfRange
        Where a value does not fit its packing, or a flag is none of the declared codes.
    """
    if not variable.is_flag:
        return variable.packing.pack(values, variable.name)
    known = _known_codes(values, variable)
    if not known.all():
        code, unknown = values[~known].ravel()[0], ~known
        raise OutOfRange(f"{variable.name} = {code} at {int(unknown.sum())} cells is no flag of it")
    return values.astype(variable.packing.dtype)


def _known_codes(values: Array, variable: Variable) -> Array:
    if values.dtype != np.uint8:
        return np.isin(values, list(variable.flags))
    table = np.zeros(256, bool)
    table[list(variable.flags)] = True
    return table[values]


def _shards(job: Job) -> dict[str, Shard]:
    """What the task owns, by path in the dataset; of references it owns no shard."""
    elsewhere = {reference.variable for reference in job.references}
    named = {output.named(v): output for output, v in job.stored}
    return {
        name: Shard(_array(job, name), output.shard(job.grid, job.block))
        for name, output in named.items()
        if name not in elsewhere
    }


def _array(job: Job, name: str) -> zarr.Array[Any]:
    """A stored array in the job's fork: what is known of it is not fetched for every block."""
    array = stored_array(job.path, job.fork.snapshot_id, name)
    inner = array.async_array
    store = ReadStore(job.fork.store, job.path) if job.references else job.fork.store
    place = StorePath(CountedStore(store), array.path)
    # Opened, an array has forgotten that empty chunks are stored; to look for them takes longer.
    config = replace(inner.config, write_empty_chunks=True)
    return zarr.Array(zarr.AsyncArray(inner.metadata, place, config))
