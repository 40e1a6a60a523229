"""Stores: a folder, or a prefix of a bucket, with one repository for each dataset."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fluxengine import layout, place
from fluxengine.errors import NotOurStore, UnknownName
from fluxengine.layout import Layout
from fluxengine.ledger import Ledger
from fluxengine.lock import Lock, held
from fluxengine.place import Folder, Place, StorageOptions
from fluxengine.repository import MAIN, WORK, Repository, read_snapshot, storage_errors

if TYPE_CHECKING:
    import xarray as xr
    import zarr

MARKER = "fluxforge-store.json"


@dataclass(frozen=True)
class Store:
    """A place with datasets.

    Parameters
    ----------
    root : Place
    lock : Lock, optional
        Held by the run that writes through this object.
    """

    root: Place
    lock: Lock | None = field(default=None, compare=False)

    @classmethod
    def at(
        cls,
        location: str | Path | Place,
        options: StorageOptions | None = None,
        *,
        create: bool = False,
    ) -> Store:
        """The store at a place, made there if `create` and nothing is there yet.

        Parameters
        ----------
        location : str, Path or Place
            A folder, or ``s3://bucket/prefix``.
        options : StorageOptions, optional
            For object stores; what is missing is taken from the environment.
        create : bool

        Raises
        ------
        NotOurStore
            Where the place holds something else.
        """
        root = place.at(location, options)
        with storage_errors(root):
            if not _is_ours(root):
                try:
                    _refuse_foreign(root, create)
                except NotOurStore:
                    if not _is_ours(root):  # by now, as another run begins here, too
                        raise
                    return cls(root)
                (root / MARKER).write(json.dumps({"fluxforge-store": layout.FORMAT}) + "\n")
        return cls(root)

    @property
    def names(self) -> tuple[str, ...]:
        """Datasets that exist."""
        with storage_errors(self.root):
            found = self.root.children()
        return tuple(name for name in found if name[0] != "." and self.has(name))

    def has(self, name: str) -> bool:
        """Whether a dataset of that name exists."""
        with storage_errors(self.root):
            return _is_dataset(self.root / name)

    def repository(self, name: str) -> Repository:
        """An existing dataset."""
        if not self.has(name):
            raise UnknownName(
                f"the store has no dataset '{name}'.",
                where=str(self.root),
                mend=f"It has: {', '.join(self.names) or 'none yet'}.",
            )
        return Repository.open(self.root / name, self.lock)

    def create(self, wanted: Layout, book: Ledger) -> Repository:
        """A new dataset with its template committed to `work`; there as a whole or not at all."""
        return self.make(wanted.name, lambda path: Repository.create(path, wanted, book))

    def make(self, name: str, create: Callable[[Place], object]) -> Repository:
        """The dataset of that name, made by `create` where there is none yet."""
        path = self.root / name
        if not self.has(name):
            with storage_errors(path):
                if self.lock is not None:
                    self.lock.check()
                path.remove()  # what a run that died had begun: nothing was ever committed to it
            create(path)
        return self.repository(name)

    @contextmanager
    def locked(self) -> Iterator[Store]:
        """Hold the store for one run; a run that dies lets go of it.

        Yields
        ------
        Store
            The same; what is written through it is written only while the lock is held.

        Raises
        ------
        RunLocked
            Where another run holds it.
        """
        read_snapshot.cache_clear()  # opened, perhaps, with credentials that have expired since
        with held(self.root) as mine:
            yield replace(self, lock=mine)


def _is_dataset(path: Place) -> bool:
    """Whether the template was committed: only then is `work` made. A tag proves it as well."""
    return any(
        name == f"branch.{WORK}" or name.startswith("tag.") for name in (path / "refs").children()
    )


def _is_ours(root: Place) -> bool:
    marker = (root / MARKER).read()
    if marker is None:
        return False
    try:
        content = json.loads(marker)
    except ValueError:
        content = None
    written = content.get("fluxforge-store") if isinstance(content, dict) else None
    if written == layout.FORMAT:
        return True
    if not isinstance(written, int):
        what, mend = f"its {MARKER} cannot be read.", "Give another place."
    else:
        age = "a newer" if written > layout.FORMAT else "an older"
        what = f"{age} fluxforge wrote it, in format {written}; this one has {layout.FORMAT}."
        mend = "Use the fluxforge that wrote it, or give another place."
    raise NotOurStore(what, where=str(root), mend=mend)


def _refuse_foreign(root: Place, create: bool) -> None:
    if not root.is_empty():
        kind = "folder" if isinstance(root, Folder) else "prefix"
        raise NotOurStore(
            f"this {kind} holds something else than a fluxforge store (it has no {MARKER}).",
            where=str(root),
            mend=f"Give an empty or a new {kind}: nothing here was touched.",
        )
    if not create:
        raise NotOurStore(
            "there is no store here yet.", where=str(root), mend="`fluxforge run` makes one."
        )


def open_dataset(
    location: str | Path | Place,
    name: str | None = None,
    *,
    version: str | None = None,
    group: str | None = None,
    month: str | None = None,
    options: StorageOptions | None = None,
) -> xr.Dataset:
    """Open a published dataset lazily.

    Parameters
    ----------
    location : str, Path or Place
        A store, or the place of one dataset in it: a folder or ``s3://bucket/prefix``.
    name : str, optional
        Which dataset; by default the product that runs were asked for, where it was one alone.
    version : str, optional
        A published version such as ``v2``; by default the newest.
    group : str, optional
        Of a dataset with variables on several grids, one of the others.
    month : str, optional
        Of a table of reports, which month, such as ``2002-08``.
    options : StorageOptions, optional
        For object stores; what is missing is taken from the environment.

    Returns
    -------
    xarray.Dataset
        Decoded: physical units, NaN where there is no value.

    Raises
    ------
    NotOurStore, UnknownName
    """
    import xarray as xr

    repository = _found(place.at(location, options), name)
    if not repository.is_published:
        raise UnknownName(
            "nothing is published here yet", where=str(repository.path), mend="Finish the run."
        )
    snapshot = repository.version(version) if version else repository.tip(MAIN)
    group = _month(repository, snapshot, month) or group
    store = repository.store(snapshot)
    dataset: xr.Dataset = xr.open_zarr(store, group=group, consolidated=False, chunks=None)
    return dataset


def _month(repository: Repository, snapshot: str, month: str | None) -> str | None:
    """The group of a table's month; None of a dataset that is no table.

    Raises
    ------
    UnknownName
        Where the dataset has no such month, or none was named and it has nothing else.
    """
    root = repository.read(snapshot)
    months = sorted(root.group_keys()) if "table" in layout.read_mark(root) else []
    months = [name for name in months if not name.startswith("_")]
    if month in months or (not months and month is None):
        return month
    wrong = f"there is no month '{month}'" if month else "it is a table: say which month"
    has = f"It has months from {months[0]} to {months[-1]}." if months else "It is no table."
    raise UnknownName(wrong, where=str(repository.path), mend=has)


def read_published(store: Store, name: str) -> zarr.Group:
    """The published version of a dataset as stored: packed values, flags."""
    repository = store.repository(name)
    return repository.read(repository.tip(MAIN))


def _found(path: Place, name: str | None) -> Repository:
    with storage_errors(path):
        if name is None and _is_dataset(path) and (path / MARKER).read() is None:
            return Repository.open(path)
    store = Store.at(path)
    if name is not None:
        return store.repository(name)
    asked = [product for product in _asked_for(store) if store.has(product)]
    if len(asked) != 1:
        several = f": runs were asked for {', '.join(asked)}" if asked else ""
        mend = f"It has: {', '.join(store.names)}."
        raise UnknownName(f"say which dataset{several}.", where=str(path), mend=mend)
    return store.repository(asked[0])


def _asked_for(store: Store) -> list[str]:
    """Products that runs were asked for, the first one first."""
    content = _marker(store)
    found = content.get("products", content.get("product", []))
    return [found] if isinstance(found, str) else list(found)


def _marker(store: Store) -> dict[str, Any]:
    with storage_errors(store.root):
        content: dict[str, Any] = json.loads((store.root / MARKER).read() or "{}")
    return content


def remember_product(store: Store, product: str) -> None:
    """Note that a run was asked for it: `open_dataset` gives it where it is the only one."""
    known = _asked_for(store)
    if product not in known:
        content = {"fluxforge-store": layout.FORMAT, "products": [*known, product]}
        with storage_errors(store.root):
            (store.root / MARKER).write(json.dumps(content) + "\n")
