"""What is wanted, and where each dataset stands: its layout for this request and its ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import numpy as np

from fluxengine import layout, references
from fluxengine.declare import (
    Array,
    Dataset,
    Product,
    Read,
    Reference,
    Source,
    outputs_on,
    upstream_first,
)
from fluxengine.errors import ConfigError, DeclarationError
from fluxengine.files import joined, notice
from fluxengine.grid import DAY, EPOCH, Axis, Grid, in_unit
from fluxengine.layout import Layout
from fluxengine.ledger import Flags, Ledger
from fluxengine.repository import Repository
from fluxengine.store import Store


@dataclass(frozen=True)
class Request:
    """What a user wants: a product over a period, from archives, in a store.

    Parameters
    ----------
    product : Product or Source
    first, last : date or None
        None where nothing the product rests on has a time axis.
    archives : mapping
        Archive name to root.
    store : Store or None
        None where it need not exist yet.
    attributes : mapping
        Global attributes of the product, such as ``creator_name``, and of the products it rests on
        that are not stored yet; they never enter a key.
    by_reference : frozenset of str
        Archives whose sources are stored as references into their files, not copied. It never
        enters a key: the values are the same.
    """

    product: Dataset
    first: date | None
    last: date | None
    store: Store | None
    archives: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[str, str] = field(default_factory=dict)
    by_reference: frozenset[str] = frozenset()

    def root_of(self, source: Source) -> str:
        """Root of the archive a source is read from.

        Raises
        ------
        ConfigError
            Where none was given, and the provider has no files to read.
        """
        if source.on_request and source.archive not in self.archives:
            raise ConfigError(
                f"the files of '{source.name}' are made on request; {source.home} has none to"
                " read.",
                where="archives",
                mend=f"Ask for them there, and say where they are: `archives: {{{source.archive}:"
                " …}` in the run file.",
            )
        return self.archives.get(source.archive, source.home)

    def period_json(self) -> dict[str, str] | None:
        """For machines."""
        return {"first": str(self.first), "last": str(self.last)} if self.first else None

    def period(self, dataset: Dataset) -> tuple[date, date]:
        """First and last day, for a dataset with a time axis.

        Raises
        ------
        ConfigError
            Where none was given.
        """
        if self.first is None or self.last is None:
            raise ConfigError("it needs a period.", where=dataset.name, mend="Add `period`.")
        return self.first, self.last


@dataclass(frozen=True)
class Stand:
    """A dataset as it stands.

    Parameters
    ----------
    dataset : Dataset
    layout : Layout
        As it is wanted.
    ledger : Ledger
        With room for the wanted steps.
    repository : Repository or None
        None where nothing is stored yet.
    snapshot : str
        What was read; empty where nothing is stored.
    misdescribed : bool
        Whether stored attributes are not the wanted ones.
    told : str
        The notice that is stored.
    """

    dataset: Dataset
    layout: Layout
    ledger: Ledger
    repository: Repository | None
    snapshot: str
    misdescribed: bool = False
    told: str = ""

    @property
    def until_made(self) -> Layout:
        """The layout as long as blocks are stored that wait to be made again."""
        told = _notice(self.told, self.layout.attrs.get("notice"))
        return replace(self.layout, attrs={**self.layout.attrs, **told})

    @property
    def grid(self) -> Grid:
        """Grid closed to the store's extent and the period."""
        return self.layout.grid


def is_needed(request: Request, read: Read) -> bool:
    """Whether a dataset takes part in a run: not if it is partial, and has no step in the period.

    One that is stored does: blocks at the ends of the period may rest on older steps of it.
    """
    axis = read.dataset.grid.step_axis
    if not read.partial or not axis.is_time:
        return True
    stored = request.store is not None and request.store.has(read.dataset.name)
    return stored or axis.meets(*request.period(read.dataset))


def take_stand(request: Request, dataset: Dataset, upstream: Mapping[str, Stand]) -> Stand:
    """The dataset as it is stored now, with the layout this request wants.

    Raises
    ------
    ConfigError, StoreMismatch
        Where the request does not fit the store.
    """
    if request.store is None or not request.store.has(dataset.name):
        attrs = _attributes(request, dataset, upstream, request.attributes)
        wanted = _layout(request, dataset, _closed(request, dataset), attrs)
        book = Ledger.empty(wanted.grid, wanted.inside, source=isinstance(dataset, Source))
        return Stand(dataset, wanted, book, None, "")
    repository = request.store.repository(dataset.name)
    snapshot = repository.tip()
    root = repository.read(snapshot)
    attrs = _attributes(request, dataset, upstream, dict(root.attrs))
    grid = _grown(request, dataset, layout.stored_grid(root))
    wanted = _layout(request, dataset, grid, attrs)
    layout.check(root, wanted)
    book = repository.ledger(snapshot).extended(wanted.grid)
    told = str(root.attrs.get("notice", ""))
    stand = Stand(dataset, wanted, book, repository, snapshot, told=told)
    if _keeps_older(request, stand):
        stand = replace(stand, layout=stand.until_made)
    return replace(stand, misdescribed=layout.differs(root, stand.layout))


def _keeps_older(request: Request, stand: Stand) -> bool:
    """Whether values may stay stored that were made under another notice.

    Of a product, those of blocks that the run does not look at. Those of a source may be of a file
    that is gone from its archive.
    """
    if isinstance(stand.dataset, Source):
        return True
    return bool((stand.ledger.written & ~wanted_blocks(request, stand)).any())


def _layout(request: Request, dataset: Dataset, grid: Grid, attrs: Mapping[str, Any]) -> Layout:
    outputs = outputs_on(grid, dataset.outputs)
    referred: tuple[Reference, ...] = ()
    if isinstance(dataset, Source) and dataset.archive in request.by_reference:
        referred = references.of(dataset, request.root_of(dataset))
    return Layout(dataset.name, grid, outputs, attrs, _domain(dataset, grid), referred)


def _domain(dataset: Dataset, grid: Grid) -> Array | None:
    if not isinstance(dataset, Product) or dataset.domain is None:
        return None
    mask = np.asarray(dataset.domain(grid))
    if mask.shape != grid.shape[1:] or mask.dtype != bool or not mask.any():
        raise DeclarationError(
            f"the domain of '{dataset.name}' must be booleans of shape {grid.shape[1:]}, some of"
            f" them true, not {mask.dtype} {mask.shape}"
        )
    return mask


def _closed(request: Request, dataset: Dataset) -> Grid:
    if not dataset.grid.step_axis.is_time:
        return dataset.grid
    return dataset.grid.between(*request.period(dataset))


def _grown(request: Request, dataset: Dataset, stored: Grid) -> Grid:
    """The stored grid, grown at its end where the request goes further."""
    axis = stored.step_axis
    if not axis.is_time:
        declared = dataset.grid.step_axis
        holds_it = axis.length >= declared.length
        same_names = axis.labels[: declared.length] == declared.labels
        return stored if holds_it and same_names else dataset.grid
    first, last = request.period(dataset)
    if not dataset.grid.step_axis.meets(first, last):
        if _touches(axis, first, last) or not _is_asked_for(request, dataset):
            return stored
        return dataset.grid.between(first, last)  # says what there is, as without a store
    begin, end = axis.day(0), axis.day(axis.length - 1)
    earliest = dataset.grid.between(first, max(last, begin)).step_axis.day(0)
    if earliest < begin:
        raise ConfigError(
            f"the period begins on {earliest}, but the store was made from {begin} on, and blocks"
            " are counted from there.",
            where=dataset.name,
            mend=f"Begin the period on {begin} or later, or give the run a new store.",
        )
    wanted = dataset.grid.between(begin, max(end, last))
    return stored if wanted.step_axis.length < axis.length else wanted


def _touches(axis: Axis, first: date, last: date) -> bool:
    """Whether any part of a cell lies within the days, such as some days of a month."""
    begins_in_time = axis.day(0) <= last
    return begins_in_time and (first <= axis.day(axis.length - 1) or first < axis.day(axis.length))


def _is_asked_for(request: Request, dataset: Dataset) -> bool:
    """Whether the product cannot do without a dataset: it, or all that it reads, is not partial."""
    asked_for = upstream_first(request.product, lambda read: not read.partial)
    return any(dataset.name == needed.name for needed in asked_for)


def wanted_blocks(request: Request, stand: Stand) -> Flags:
    """Blocks that the period touches and the domain does not spare, shape (blocks,)."""
    axis, tiles = stand.grid.step_axis, stand.grid.tiles
    touched = np.ones(axis.blocks, bool)
    if axis.is_time:
        first, last = request.period(stand.dataset)
        edges = in_unit(axis.edges, axis.unit, "s", up=False)
        begins = edges[: -1 : axis.block_length]
        ends = np.append(begins[1:], edges[-1])
        touched = (begins < ((last - EPOCH).days + 1) * DAY) & (ends > (first - EPOCH).days * DAY)
    return np.repeat(touched, tiles) & np.tile(~stand.ledger.outside, axis.blocks)


def check_cover(stand: Stand, upstream: Mapping[str, Stand]) -> None:
    """An input must reach as far as the dataset itself; only a halo may be cut off.

    Raises
    ------
    ConfigError
    """
    for read in getattr(stand.dataset, "reads", ()):
        if read.dataset.name not in upstream:
            continue
        given = upstream[read.dataset.name].grid
        for name, axis in stand.grid.axes.items():
            other = given.axes.get(name)
            if other is None or (read.partial and name == stand.grid.dims[0]):
                continue
            if other.periodic or axis.unit in ("label", "static"):
                continue
            if not _covers(other, axis):
                raise ConfigError(
                    f"its input {read.dataset.name} covers {name} {_ends(other)},"
                    f" but {_ends(axis)} is wanted.",
                    where=stand.dataset.name,
                    mend="Give a period that the input covers." if axis.is_time else "",
                )


def _covers(other: Axis, axis: Axis) -> bool:
    if other.is_time and axis.is_time:
        theirs, ours = (in_unit(a.edges, a.unit, "s", up=False) for a in (other, axis))
    elif other.unit == axis.unit:
        theirs, ours = other.edges, axis.edges
    else:
        return True  # the window rule refuses it, naming both units
    return bool(theirs[0] <= ours[0] and theirs[-1] >= ours[-1])


def _ends(axis: Axis) -> str:
    if axis.is_time:
        return f"{axis.name(0)} to {axis.name(axis.length - 1)}"
    cells = axis.coordinate()
    return f"{cells[0]} to {cells[-1]}"


def _attributes(
    request: Request,
    dataset: Dataset,
    upstream: Mapping[str, Stand],
    else_kept: Mapping[str, Any],
) -> dict[str, Any]:
    """Global attributes, with the notices of every archive the dataset rests on.

    Of a product that is only read here, another run file may have said what it does not declare.
    """
    if isinstance(dataset, Source):
        return _declared(dataset) | _notice(notice(request.root_of(dataset)))
    read = [upstream[r.dataset.name] for r in dataset.reads if r.dataset.name in upstream]
    notices = [stand.layout.attrs.get("notice") for stand in read]
    ours = dataset.attrs.get("notice"), request.attributes.get("notice")
    told = _notice(*notices, *ours)
    if dataset.name == request.product.name:
        return _declared(dataset) | dict(request.attributes) | told
    kept = {n: v for n, v in else_kept.items() if n not in (layout.MARK, "notice")}
    return kept | _declared(dataset) | told


def _declared(dataset: Dataset) -> dict[str, Any]:
    if isinstance(dataset, Product):
        return {"title": dataset.title, "summary": dataset.summary, **dataset.attrs}
    return {
        "title": dataset.title,
        "institution": dataset.provider,
        "license": dataset.licence,
        "references": dataset.cite,
    }


def _notice(*texts: Any) -> dict[str, str]:
    told = joined(*texts)
    return {"notice": told} if told else {}
