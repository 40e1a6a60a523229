"""What tells the content of a dataset from what it held at another time."""

from __future__ import annotations

import hashlib

from fsspec.core import url_to_fs

from fluxengine.place import Place
from fluxengine.repository import MAIN
from fluxengine.store import Store
from fluxrecipes.stored import is_plain

_TOLD = ("size", "mtime", "ETag", "LastModified")  # of a file: in a folder, in a bucket


def content_of(store: Place, name: str) -> str:
    """The published snapshot of a dataset; of a plain Zarr store a digest over its files.

    Of these names, sizes and times are looked at: a training is not to read years of days to learn
    whether it may go on.

    Parameters
    ----------
    store : Place
    name : str
        Of a dataset of the store, or the path of a plain Zarr store.

    Raises
    ------
    NotOurStore, UnknownName
    """
    if not is_plain(name):
        return Store.at(store).repository(name).tip(MAIN)
    system, root = url_to_fs(name)
    digest = hashlib.sha256()
    for path, told in sorted(system.find(root, detail=True).items()):
        known = [str(told[key]) for key in _TOLD if key in told]
        digest.update("\n".join([path.removeprefix(root), *known, ""]).encode())
    return digest.hexdigest()
