"""What a recipe declares: variables, sources, stages, gates and products."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from fluxengine.errors import DeclarationError
from fluxengine.grid import WHOLE, Axis, Block, Grid, Halo
from fluxengine.packing import Array, Packing

if TYPE_CHECKING:
    import xarray as xr
    from pangeo_forge_recipes.patterns import FilePattern

Arrays = Mapping[str, "xr.DataArray"]
Paths = str | tuple[str, ...]  # of one step

AS_IS = Packing("f4")

# Metadata of a field of a stage that never changes a value but by rounding, such as its device.
UNKEYED: Mapping[str, Any] = MappingProxyType({"keyed": False})

NEVER_WRITTEN = 0  # every flag variable's fill value
FAILED = 1  # every flag variable's code for a step or block that could not be made
ENGINE_FLAGS = {NEVER_WRITTEN: "never_written", FAILED: "failed"}

RECORD = "record"  # coordinate of a decoded file: the place of each step in it


def height_name(height: float) -> str:
    """Name of the scalar coordinate of a height [m]."""
    return f"height_{height:g}m"


@dataclass(frozen=True)
class Variable:
    """A name with units, meaning, valid range and packing.

    Parameters
    ----------
    name, units, long_name : str
        `units` in the words of UDUNITS; "1" for pure numbers.
    standard_name : str, optional
        From the CF table.
    valid_range : (float, float), optional
        In `units`; a value outside is an error, not a missing value.
    packing : Packing
        How it is stored.
    flags : mapping of int to str
        For flag variables: code to meaning. 0 and 1 always mean never_written and failed.
    height : float, optional
        Above the surface [m]: becomes a scalar height coordinate.
    attrs : mapping
        Further CF attributes.
    """

    name: str
    units: str
    long_name: str
    standard_name: str | None = None
    valid_range: tuple[float, float] | None = None
    packing: Packing = AS_IS
    flags: Mapping[int, str] = field(default_factory=dict)
    height: float | None = None
    attrs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def height_name(self) -> str | None:
        """Name of its scalar height coordinate."""
        return None if self.height is None else height_name(self.height)

    def stored(self, packing: Packing) -> Variable:
        """The same variable in another packing."""
        return replace(self, packing=packing)

    @property
    def is_flag(self) -> bool:
        """Whether values are codes."""
        return bool(self.flags)

    def cf_attributes(self) -> dict[str, Any]:
        """Attributes as CF wants them, without packing."""
        found: dict[str, Any] = {"long_name": self.long_name, "units": self.units}
        if self.standard_name:
            found["standard_name"] = self.standard_name
        if self.flags:
            del found["units"]
            found["flag_values"] = np.array(list(self.flags), self.packing.dtype)
            found["flag_meanings"] = " ".join(self.flags.values())
        if self.height_name:
            found["coordinates"] = self.height_name
        return found | dict(self.attrs)


def flag_variable(name: str, long_name: str, meanings: Mapping[int, str], **attrs: Any) -> Variable:
    """A flag variable whose codes 0 and 1 are the engine's, the others its own."""
    clash = set(meanings) & set(ENGINE_FLAGS)
    if clash:
        raise DeclarationError(f"flag codes {sorted(clash)} of '{name}' belong to the engine")
    packing = Packing("u1", fill=NEVER_WRITTEN)
    return Variable(
        name, "1", long_name, packing=packing, flags=ENGINE_FLAGS | dict(meanings), attrs=attrs
    )


@dataclass(frozen=True)
class Output:
    """Variables on one grid: a group of a dataset, the nameless one being its root.

    Parameters
    ----------
    group : str
    grid : Grid
        Its axes either end where the blocks of the dataset's own grid end, whatever their
        resolution, or have one block.
    variables : tuple of Variable
    """

    group: str
    grid: Grid
    variables: tuple[Variable, ...]

    def named(self, variable: Variable) -> str:
        """Path of a variable within the dataset."""
        return f"{self.group}/{variable.name}" if self.group else variable.name

    def spans(self, main: Grid, part: Block) -> dict[str, slice]:
        """Cells of this grid within a block, or a batch of one, of the dataset's own."""
        found = {}
        for name, axis in self.grid.axes.items():
            own, span = main.axes.get(name), part.spans.get(name)
            if own is None or span is None:
                found[name] = slice(0, axis.length)
                continue
            ends = (own.origin + own.step * np.array([span.start, span.stop])) - axis.origin
            found[name] = slice(*(ends // axis.step).tolist())
        return found

    def shard(self, main: Grid, block: Block) -> tuple[int, ...]:
        """Index of the shard that a block of the dataset's own grid owns."""
        at = dict(zip(main.dims, block.index, strict=True))
        return tuple(at.get(name, 0) for name in self.grid.dims)


def stored_as(outputs: tuple[Output, ...], name: str) -> tuple[Output, Variable]:
    """A variable, and the output that it is stored in."""
    return next((output, v) for output in outputs for v in output.variables if v.name == name)


def outputs_on(main: Grid, declared: tuple[Output, ...]) -> tuple[Output, ...]:
    """Outputs closed and cut into blocks as the dataset's own, closed grid is.

    Raises
    ------
    DeclarationError
        Where the blocks of two grids do not end together, so that two tasks would share a shard.
    """
    own, *others = declared
    return (replace(own, grid=main), *(replace(o, grid=_aligned(main, o)) for o in others))


def _aligned(main: Grid, output: Output) -> Grid:
    step, axes = main.dims[0], {}
    if output.grid.dims[0] != step:
        raise DeclarationError(f"the output '{output.group}' must begin with {step}")
    for name, axis in output.grid.axes.items():
        own = main.axes.get(name)
        if own is None:
            axes[name] = replace(axis, block=WHOLE)
        else:
            axes[name] = axis if axis == own else _cut_like(own, axis, name, output)
    for name, own in main.axes.items():
        if name not in axes and own.blocks > 1:
            raise DeclarationError(
                f"the output '{output.group}' has no {name}, along which the dataset has"
                f" {own.blocks} blocks: they would all write it",
                mend=f"Give the axis {name} one block.",
            )
    if main.step_axis.step % axes[step].step:
        raise DeclarationError(
            f"the output '{output.group}' must hold whole parts of a {step} step"
        )
    return Grid(**axes)


def _cut_like(own: Axis, axis: Axis, name: str, output: Output) -> Axis:
    """An axis of another resolution, with the extent and the blocks of the dataset's own."""
    length = own.length * own.step
    if own.unit != axis.unit or length % axis.step or own.block_length * own.step % axis.step:
        raise DeclarationError(
            f"blocks of {name} do not end together on the grids of the dataset and of its output"
            f" '{output.group}'"
        )
    is_step = name == output.grid.dims[0]  # how long it is the period says
    extent = (axis.origin, (axis.size or 0) * axis.step)
    if not is_step and extent != (own.origin, length):
        raise DeclarationError(f"{name} of the output '{output.group}' has another extent")
    block = own.block_length * own.step // axis.step
    size = length // axis.step
    return replace(axis, origin=own.origin, size=size, block=block, labels=own.labels)


@dataclass(frozen=True)
class Reference:
    """A variable of a provider's files whose bytes can be read where they lie.

    Parameters
    ----------
    variable : str
        Its name in the source's `provides`, whose packing is that of the file.
    name : str
        Its name in the file, a NetCDF4, HDF5 or NetCDF3 one.
    chunks : tuple of int
        Of one step, on the source's grid without the step axis; a file may have dimensions of size
        one besides. What is not chunked is one chunk. Where a file holds several steps, they lie
        along its first axis, and filtered chunks hold one each.
    filters : tuple of str
        HDF5 filters in the order in which they are applied.
    big_endian : bool
        The order of bytes; that of every NetCDF3 file.
    part : int
        Which file of a step holds it, where a step needs several.
    """

    variable: str
    name: str
    chunks: tuple[int, ...]
    filters: tuple[str, ...] = ()
    big_endian: bool = False
    part: int = 0


@dataclass(frozen=True)
class Source:
    """A dataset read from files that are found below an archive's root.

    Parameters
    ----------
    name : str
        Such as ``rss-f17``.
    grid : Grid
        Step axis first; the provider's own resolution.
    path : callable
        From a step's key (`Grid.step_key`: a day, a moment, a label) to the file's path below the
        archive's root; to a tuple of paths where a step needs several files.
    decode : callable
        From a local file and the key of the step it should hold to a dataset of one step with
        *packed* values in the packing of `provides` (flags included). Raises `DamagedFile` or
        `WrongFile`. Where `path` gives a tuple it gets a tuple of files, in the same order and
        with the same relative paths; where the source `holds_many` it gets a tuple of keys.
    provides : tuple of Variable
        What a decoded file holds.
    archive : str
        Which entry of the run file's ``archives`` gives the root.
    home : str
        The provider's own root URL, used where ``archives`` has no such entry.
    title, provider, licence, cite : str
        For people.
    file_type : str
        As pangeo-forge-recipes names it.
    instead : tuple of callable
        Each as `path`: files that stand in while that of `path` is not there, such as a preliminary
        one; the first that is there is taken. It is replaced as soon as a better one comes.
    holds_many : bool
        Whether a file holds several steps, for which `path` then gives the same file. `decode` gets
        the keys of the steps wanted of it, in order, and gives those of them that the file holds;
        the coordinate along the step axis tells which. Others count as missing.
    references : tuple of Reference
        Variables that a run may store as references into the files. Where the source `holds_many`,
        `decode` then gives a coordinate `record` as well, integers along the step axis: the place
        of each step in the file, from 0.
    on_request : bool
        Whether the provider makes files for whoever asks, so that there are none to read at `home`.
    """

    name: str
    grid: Grid
    path: Callable[[Any], Paths]
    decode: Callable[[Any, Any], xr.Dataset]
    provides: tuple[Variable, ...]
    archive: str
    home: str
    title: str
    provider: str
    licence: str
    cite: str
    file_type: str = "unknown"
    instead: tuple[Callable[[Any], Paths], ...] = ()
    holds_many: bool = False
    references: tuple[Reference, ...] = ()
    on_request: bool = False

    @property
    def variables(self) -> tuple[Variable, ...]:
        """What the dataset stores."""
        return self.provides

    @property
    def outputs(self) -> tuple[Output, ...]:
        """What it stores, on which grid."""
        return (Output("", self.grid, self.provides),)

    def pattern(self, grid: Grid) -> FilePattern:
        """The Pangeo-Forge file pattern of a closed grid.

        One file a step, or as many as it needs along a dimension ``part`` to be merged; where files
        hold several steps, one for each run of steps that share a file.
        """
        from pangeo_forge_recipes.patterns import ConcatDim, FilePattern, MergeDim

        name = grid.dims[0]
        keys = [grid.step_key(step) for step in range(grid.step_axis.length)]
        runs = [tuple(run) for _, run in groupby(keys, self.path)]
        firsts = [run[0] for run in runs] if self.holds_many else keys
        items = None if self.holds_many else 1
        dims: list[Any] = [ConcatDim(name, keys=firsts, nitems_per_file=items)]
        first = self.path(keys[0])
        if not isinstance(first, str):
            dims.append(MergeDim("part", keys=list(range(len(first)))))
        return FilePattern(_by_keyword(self.path, name), *dims, file_type=self.file_type)


def _by_keyword(path: Callable[[Any], Paths], name: str) -> Callable[..., str]:
    """A path function that takes its key under the name of the step axis, and perhaps a part."""

    def named(**keys: Any) -> str:
        found = path(keys[name])
        return found if isinstance(found, str) else found[keys["part"]]

    return named


Device = Literal["cpu", "cuda"]
Shapes = Mapping[str, tuple[int, ...]]


class Stage(Protocol):
    """Maps a window of arrays to new arrays.

    A frozen dataclass: its fields enter the key, but those whose metadata are `UNKEYED`.
    """

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the arrays it needs."""

    @property
    def outputs(self) -> tuple[Variable, ...]:
        """What it adds."""

    @property
    def halo(self) -> Halo:
        """Cells around a block that its output depends on.

        What it makes of them is cropped and need not be made: along each axis with a halo its
        inputs have a boolean coordinate, such as ``own_time``, which marks the block's own cells.
        """

    @property
    def weights(self) -> tuple[Path, ...]:
        """Files whose bytes enter the key."""

    @property
    def device(self) -> Device:
        """``cuda`` where it runs on a GPU: then one block at a time does.

        Its inputs and outputs may lie there, as arrays that xarray carries, such as CuPy's; other
        stages, gates and the store get them in main memory.
        """

    @property
    def kept(self) -> int:
        """Bytes that a worker holds from its first block on: a library that comes in, weights."""

    def memory(self, inputs: Shapes) -> int:
        """Bytes that it holds at once beside its inputs and outputs, given its inputs' shapes."""

    def seconds(self, inputs: Shapes) -> float:
        """Of one thread, by rule of thumb: for plans, until a block was made and is on record."""

    def load(self) -> Callable[[Arrays], Arrays]:
        """The function to run on each block; called once for each worker."""


@dataclass(frozen=True)
class PlainStage:
    """What most stages share: no halo, no weights, no GPU, as much memory again as its inputs."""

    @property
    def halo(self) -> Halo:
        """None."""
        return Halo()

    @property
    def weights(self) -> tuple[Path, ...]:
        """None."""
        return ()

    @property
    def device(self) -> Device:
        """The CPU."""
        return "cpu"

    @property
    def kept(self) -> int:
        """Nothing to speak of."""
        return 0

    def memory(self, inputs: Shapes) -> int:
        """As much again as its inputs in double precision."""
        return sum(8 * math.prod(shape) for shape in inputs.values())

    def seconds(self, inputs: Shapes) -> float:
        """Little beside reading and writing."""
        return 0.0


class Gate(Protocol):
    """A quality check on a finished block before it is stored."""

    def __call__(self, block: Arrays, published: tuple[Variable, ...]) -> str | None:
        """None if the block is good, else why it is not."""


class Domain(Protocol):
    """Where a product has cells at all. A frozen dataclass or function: it enters the key."""

    def __call__(self, grid: Grid) -> npt.NDArray[np.bool_]:
        """True inside; one axis for each of the grid's but the step axis."""


@dataclass(frozen=True)
class Read:
    """An upstream dataset and which of its variables a product takes.

    Parameters
    ----------
    dataset : Source or Product
    variables : tuple of str
    prefix : str
        Stands before the names by which stages know the variables: two datasets may have the same.
    partial : bool
        Whether the dataset may cover only some of the product's steps, or none of a run's period,
        as one satellite of many does. Where it has no step there are no values, and flags say so.
    """

    dataset: Source | Product
    variables: tuple[str, ...]
    prefix: str = ""
    partial: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """What stages know the variables by."""
        return tuple(f"{self.prefix}{name}" for name in self.variables)


@dataclass(frozen=True)
class Product:
    """A dataset computed from others.

    Parameters
    ----------
    name : str
    grid : Grid
    reads : tuple of Read
        Upstream datasets; the window rule of `Grid.window` says which cells.
    stages : tuple of Stage
        Run in order, fused in one task. Only the first may have a halo: a later one would be
        recomputed in every neighbour, so materialise its input as a product of its own.
    publishes : tuple of Variable
        What is stored on `grid`; each flag variable marks failed blocks.
    also : tuple of Output
        What is stored besides, on grids of their own, each a group of the dataset.
    domain : Domain, optional
        Blocks wholly outside are spared, and the mask is published as the variable ``domain``.
    gates : tuple of Gate
    title, summary : str
        For people and for the global attributes.
    attrs : mapping
        Further global attributes.
    batch : int
        Steps computed at once (`WHOLE` for the block): bounds memory, never changes a value.
    """

    name: str
    grid: Grid
    reads: tuple[Read, ...]
    stages: tuple[Stage, ...]
    publishes: tuple[Variable, ...]
    gates: tuple[Gate, ...] = ()
    title: str = ""
    summary: str = ""
    attrs: Mapping[str, Any] = field(default_factory=dict)
    batch: int = 0
    also: tuple[Output, ...] = ()
    domain: Domain | None = None

    def __post_init__(self) -> None:
        if any(stage.halo.widths for stage in self.stages[1:]):
            raise DeclarationError(
                f"only the first stage of '{self.name}' may have a halo",
                mend="Make the stages before it a product of their own.",
            )
        self._check_names()

    def _check_names(self) -> None:
        names = [name for read in self.reads for name in read.names]
        known = set(names)
        if len(known) < len(names):
            repeated = sorted({name for name in names if names.count(name) > 1})
            raise DeclarationError(
                f"'{self.name}' reads {repeated} more than once", mend="Give one Read a prefix."
            )
        for stage in self.stages:
            missing = set(stage.inputs) - known
            if missing:
                raise DeclarationError(
                    f"stage {type(stage).__name__} of '{self.name}' needs {sorted(missing)},"
                    " which nothing before it gives"
                )
            known |= {variable.name for variable in stage.outputs}
        stored = [variable.name for variable in self.variables]
        absent = set(stored) - known
        if absent:
            raise DeclarationError(f"'{self.name}' publishes {sorted(absent)}, which nothing makes")
        twice = {name for name in stored if stored.count(name) > 1}
        if twice:
            raise DeclarationError(f"'{self.name}' publishes {sorted(twice)} more than once")

    @property
    def variables(self) -> tuple[Variable, ...]:
        """What the dataset stores, on whichever grid."""
        return tuple(v for output in self.outputs for v in output.variables)

    @property
    def outputs(self) -> tuple[Output, ...]:
        """What it stores, on which grid."""
        return (Output("", self.grid, self.publishes), *self.also)

    @cached_property
    def halo(self) -> Halo:
        """Cells around a block that are read."""
        return self.stages[0].halo if self.stages else Halo()


Dataset = Source | Product


def wants_gpu(dataset: Dataset) -> bool:
    """Whether a stage of it runs on a GPU where there is one."""
    return isinstance(dataset, Product) and any(s.device == "cuda" for s in dataset.stages)


def upstream_first(
    product: Dataset, needed: Callable[[Read], bool] = lambda read: True
) -> tuple[Dataset, ...]:
    """The product and everything it needs to read, each once, upstream before downstream."""
    found: dict[str, Dataset] = {}

    def visit(dataset: Dataset) -> None:
        for read in filter(needed, getattr(dataset, "reads", ())):
            visit(read.dataset)
        known = found.setdefault(dataset.name, dataset)
        if known is not dataset and known != dataset:
            raise DeclarationError(f"two different datasets are called '{dataset.name}'")

    visit(product)
    return tuple(found.values())


__all__ = [
    "FAILED",
    "NEVER_WRITTEN",
    "UNKEYED",
    "Array",
    "Arrays",
    "Block",
    "Dataset",
    "Domain",
    "Gate",
    "Output",
    "Packing",
    "PlainStage",
    "Product",
    "Read",
    "Source",
    "Stage",
    "Variable",
    "flag_variable",
    "outputs_on",
    "stored_as",
    "upstream_first",
    "wants_gpu",
]
