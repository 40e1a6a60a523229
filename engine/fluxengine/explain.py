"""Lineage: where one published value comes from, down to the files, with what lies between.

Everything is read from the stores: what the ledger noted when a block was made, and the upstream
versions that it was made from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby, product
from typing import Any

import numpy as np
import zarr

from fluxengine import layout
from fluxengine.declare import Array
from fluxengine.errors import ConfigError, StoreError, UnknownName
from fluxengine.grid import Axis, Grid, Halo, Indices, in_unit
from fluxengine.ledger import STATE_WORDS, STEP_DIGEST, Ledger, Record
from fluxengine.packing import Packing
from fluxengine.repository import MAIN, Repository
from fluxengine.store import Store
from fluxengine.table_store import is_table_in

TOLD = ("key", "run", "when", "notes", "seconds", "batch", "device", "worker", "code_commit")
FEW = 4  # values that are listed one by one; of more, their mean and range

Spans = Mapping[str, slice]


@dataclass(frozen=True)
class Value:
    """A variable at the cell, or over the cells, that are explained.

    Parameters
    ----------
    name, units : str
    shown : str
        The value, the meaning of a flag, or mean and range of many.
    cells, missing : int
    """

    name: str
    units: str
    shown: str
    cells: int
    missing: int


@dataclass(frozen=True)
class Lineage:
    """One dataset's part in a value.

    Parameters
    ----------
    dataset, snapshot : str
    block : str
        Its name; of several, the first and the last.
    state : str
        Of the steps; of several, how many are in which.
    where : dict of str to str
        The cell, or range of cells, along each axis.
    values : tuple of Value
    made : dict
        Key, run, code, options, weights, notes: what the ledger says of the block; of several, the
        notes of each and what else they have in common.
    files : dict of str to dict
        Of a source, the file of each step: path, size, SHA-256.
    window : str
        Steps of this dataset that the block downstream rests on.
    remark : str
        Where what is shown is not what was used.
    inputs : tuple of Lineage
    """

    dataset: str
    snapshot: str
    block: str
    state: str
    where: Mapping[str, str]
    values: tuple[Value, ...]
    made: Mapping[str, Any]
    files: Mapping[str, Any] = field(default_factory=dict)
    window: str = ""
    remark: str = ""
    inputs: tuple[Lineage, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return asdict(self)


def explain(
    store: Store, name: str, point: Mapping[str, str], *, version: str | None = None
) -> Lineage:
    """Where the values of one cell come from.

    Parameters
    ----------
    store : Store
    name : str
        A published dataset.
    point : mapping of str to str
        A value for each axis: ``{"time": "2016-01-02", "lat": "10", "lon": "150"}``; of a table
        of reports the time, and names or codes.
    version : str, optional
        By default the newest.

    Raises
    ------
    ConfigError
        Where the point is no cell of the dataset.
    UnknownName
    """
    repository = store.repository(name)
    if not repository.is_published:
        raise UnknownName("nothing is published here yet", where=name, mend="Finish the run.")
    snapshot = repository.version(version) if version else repository.tip(MAIN)
    if is_table_in(repository):
        from fluxengine.table_explain import explain_reports

        return explain_reports(repository, name, snapshot, point)
    grid = layout.stored_grid(repository.read(snapshot))
    return _lineage(store, repository, name, snapshot, _cell(grid, point, name))


def _cell(grid: Grid, point: Mapping[str, str], name: str) -> Spans:
    wrong = sorted(set(point) - set(grid.dims))
    absent = [n for n, a in grid.axes.items() if n not in point and a.length > 1]
    if wrong or absent:
        which = f"it has no axis {', '.join(wrong)}" if wrong else f"say {', '.join(absent)} too"
        example = " ".join(f"{n}={_coordinate(a, 0)}" for n, a in grid.axes.items() if a.length > 1)
        raise ConfigError(f"{which}.", where=name, mend=f"Such as: {example}")
    found = {}
    for dim, axis in grid.axes.items():
        at = find(axis, point[dim], dim) if dim in point else 0
        found[dim] = slice(at, at + 1)
    return found


def find(axis: Axis, text: str, name: str) -> int:
    """Number of the cell that a value lies in.

    Raises
    ------
    ConfigError
        Where it lies in none.
    """
    if axis.unit in ("label", "static"):
        if text in axis.labels:
            return axis.labels.index(text)
        raise ConfigError(f"{name} has no '{text}'.", mend=f"It has: {', '.join(axis.labels)}.")
    try:
        at = (_quanta(axis, text) - axis.origin) // axis.step
    except (ValueError, OverflowError):
        raise ConfigError(
            f"'{text}' is no {name}.", mend=f"Such as {_coordinate(axis, 0)}."
        ) from None
    if axis.periodic:
        return at % axis.length
    if not 0 <= at < axis.length:
        ends = f"{_coordinate(axis, 0)} to {_coordinate(axis, axis.length - 1)}"
        raise ConfigError(f"{name} {text} is outside: it goes from {ends}.")
    return at


def _quanta(axis: Axis, text: str) -> int:
    if axis.is_time:
        seconds = np.array(np.datetime64(text, "s").astype(np.int64))
        return int(in_unit(seconds, "s", axis.unit, up=False))
    return int(np.floor(float(text) * (3600 if axis.unit == "arcsec" else 1)))


@dataclass(frozen=True)
class _Part:
    """A block that some of the cells lie in: those cells, and what was noted of it."""

    number: int
    cells: Spans
    record: Record

    @property
    def steps(self) -> slice:
        """Cells along the step axis."""
        return next(iter(self.cells.values()))

    @property
    def inputs(self) -> Mapping[str, Any]:
        """What was noted of each dataset that the block was made from."""
        found: Mapping[str, Any] = self.record.get("inputs", {})
        return found


def _lineage(
    store: Store, repository: Repository, name: str, snapshot: str, spans: Spans, **about: str
) -> Lineage:
    root, book = repository.read(snapshot), repository.ledger(snapshot)
    grid, parts = book.grid, list(_parts(book, spans))
    return Lineage(
        name,
        snapshot,
        _ends(*(grid.numbered(part.number).name for part in (parts[0], parts[-1]))),
        _state(book, parts),
        {n: _range(grid.axes[n], span) for n, span in spans.items() if grid.axes[n].length > 1},
        tuple(_values(root, grid, spans)),
        _made(book, parts),
        _files(grid, parts),
        inputs=tuple(_inputs(store, grid, parts)),
        **about,
    )


def _parts(book: Ledger, spans: Spans) -> Iterator[_Part]:
    """The blocks that cells lie in."""
    axes = book.grid.axes
    lengths = {n: axis.block_length for n, axis in axes.items()}
    ranges = [range(spans[n].start // k, (spans[n].stop - 1) // k + 1) for n, k in lengths.items()]
    for index in product(*ranges):
        block = book.grid.block(index)
        cells = {n: _common(spans[n], span) for n, span in block.spans.items()}
        number = book.grid.number(block)
        yield _Part(number, cells, book.record(number) or {})


def _common(one: slice, other: slice) -> slice:
    return slice(max(one.start, other.start), min(one.stop, other.stop))


def _around(parts: Sequence[_Part]) -> Spans:
    """From the first to the last of the cells of several blocks."""
    return {
        n: slice(min(p.cells[n].start for p in parts), max(p.cells[n].stop for p in parts))
        for n in parts[0].cells
    }


def _state(book: Ledger, parts: Sequence[_Part]) -> str:
    """The state of the steps, or how many are in which."""
    states = [book.states[part.steps, part.number % book.grid.tiles] for part in parts]
    return _counted(np.concatenate(states), STATE_WORDS)


def _counted(codes: Array, words: Mapping[int, str]) -> str:
    """What all codes mean, or how many mean what."""
    found = zip(*np.unique(codes, return_counts=True), strict=True)
    told = [(words.get(int(code), f"code {code}"), int(number)) for code, number in found]
    return told[0][0] if len(told) == 1 else ", ".join(f"{word} {number}" for word, number in told)


def _range(axis: Axis, span: slice) -> str:
    return _ends(*(_coordinate(axis, at) for at in (span.start, span.stop - 1)))


def _ends(first: str, last: str) -> str:
    return first if first == last else f"{first} … {last}"


def _coordinate(axis: Axis, cell: int) -> str:
    return f"{axis.coordinate()[cell]:g}" if axis.unit == "arcsec" else axis.name(cell)


def _inputs(store: Store, grid: Grid, parts: Sequence[_Part]) -> Iterator[Lineage]:
    """Upstream datasets; one more than once where blocks were made from several versions of it."""
    for name in dict.fromkeys(name for part in parts for name in part.inputs):
        for alike in _of_one_version(parts, name):
            given = _input(store, grid, alike, name)
            if given is not None:
                yield given


def _of_one_version(parts: Sequence[_Part], name: str) -> Iterator[list[_Part]]:
    """Blocks one after the other that were made from the same version of a dataset."""
    using = [part for part in parts if name in part.inputs]
    for _, alike in groupby(using, lambda part: part.inputs[name]["snapshot"]):
        yield list(alike)


def _input(store: Store, grid: Grid, parts: Sequence[_Part], name: str) -> Lineage | None:
    """An upstream dataset as it was when blocks were made; None where it had no step here."""
    repository, spans = store.repository(name), _around(parts)
    snapshot, remark = parts[0].inputs[name]["snapshot"], ""
    try:
        theirs = layout.stored_grid(repository.read(snapshot))
    except StoreError:
        snapshot = repository.tip(MAIN)
        theirs = layout.stored_grid(repository.read(snapshot))
        remark = "the version that was used has been pruned: shown as it is published now"
    step = theirs.dims[0]
    if not len(grid.axis_window(step, spans.get(step, slice(0, 0)), Halo(), theirs.step_axis)):
        return None
    cells = _cells_of(theirs, grid, spans)
    window = _window(theirs, [part.inputs[name] for part in parts])
    return _lineage(store, repository, name, snapshot, cells, window=window, remark=remark)


def _span(cells: Indices) -> slice:
    return slice(int(cells.min()), int(cells.max()) + 1) if len(cells) else slice(0, 1)


def _window(grid: Grid, used: Sequence[Mapping[str, Any]]) -> str:
    """Steps that blocks rest on, in words."""
    ends = [(u["first"], u["first"] + len(u["digests"]) // STEP_DIGEST) for u in used]
    held = [(first, last) for first, last in ends if last > first]
    if not held:
        return ""
    stop = min(max(last for _, last in held), grid.step_axis.length)
    return _range(grid.step_axis, slice(min(first for first, _ in held), stop))


def _values(root: zarr.Group, grid: Grid, spans: Spans) -> list[Value]:
    """Every variable at the cells, on whichever grid."""
    found = []
    for path, theirs in layout.stored_variables(root).items():
        cells = _cells_of(theirs, grid, spans)
        array: Any = root[path]
        raw = np.asarray(array[tuple(cells.values())])
        found.append(_value(path, raw, dict(array.attrs)))
    return found


def _cells_of(theirs: Grid, grid: Grid, spans: Spans) -> dict[str, slice]:
    """Cells of another grid that some cells of a grid lie over."""
    return {
        dim: _span(grid.axis_window(dim, spans.get(dim, slice(0, 0)), Halo(), axis))
        for dim, axis in theirs.axes.items()
    }


def _value(name: str, raw: Array, attrs: Mapping[str, Any]) -> Value:
    if "flag_values" in attrs:
        meanings = dict(zip(attrs["flag_values"], attrs["flag_meanings"].split(), strict=True))
        return Value(name, "", _counted(raw, meanings), raw.size, 0)
    packing = Packing(
        raw.dtype.str[1:],
        float(attrs.get("scale_factor", 1.0)),
        float(attrs.get("add_offset", 0.0)),
        attrs.get("_FillValue"),
    )
    values = packing.unpack(raw, "f8").ravel()
    good = values[np.isfinite(values)]
    return Value(
        name, str(attrs.get("units", "")), _shown(good), values.size, values.size - good.size
    )


def _shown(good: Array) -> str:
    if not good.size:
        return "no value"
    if good.size <= FEW:
        return ", ".join(f"{value:.6g}" for value in good)
    return f"mean {good.mean():.6g}, from {good.min():.6g} to {good.max():.6g}"


def _made(book: Ledger, parts: Sequence[_Part]) -> dict[str, Any]:
    """How the blocks were made: what holds of all of them, and the notes of each."""
    each = [_made_alone(book, part) for part in parts if part.record] or [{}]
    shared = {n: v for n, v in each[0].items() if all(other.get(n) == v for other in each)}
    notes = {step: note for one in each for step, note in one.get("notes", {}).items()}
    return shared | ({"notes": notes} if "notes" in each[0] else {})


def _made_alone(book: Ledger, part: _Part) -> dict[str, Any]:
    standing = book.columns["standings"][part.number].tobytes().hex()
    known = book.standing_parts.get(standing, {})
    told = {name: part.record[name] for name in TOLD if name in part.record}
    return told | {name: known[name] for name in ("options", "weights", "code") if name in known}


def _files(grid: Grid, parts: Sequence[_Part]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part in parts:
        files = part.record.get("files", {})
        names = [grid.step_name(step) for step in range(part.steps.start, part.steps.stop)]
        found |= {name: files[name] for name in names if name in files}
    return found
