"""Metadata: what describes a dataset to its readers, and the digests that prove it.

Titles, units, packing, shapes and codecs lie in one document for each group and array. Their
digests are attributes of the ledger's group, which alone has none of its own: what else it says has
digests already.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import zarr
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync

from fluxengine.digest import json_digest
from fluxengine.errors import StoreError

GROUP = "_ledger"  # of the ledger, which has the digests of the metadata as well
DIGESTS = "metadata_digests"


def sign(root: zarr.Group) -> None:
    """Note the digests of all metadata as they are now."""
    digests = json.dumps(_digests(root), sort_keys=True)
    root[GROUP].update_attributes({DIGESTS: digests})


def altered(root: zarr.Group) -> Iterator[str]:
    """Paths of groups and arrays whose metadata are not as they were signed."""
    signed = json.loads(str(root[GROUP].attrs.get(DIGESTS, "{}")))
    found = _digests(root)
    for path in sorted(signed.keys() | found.keys()):
        if signed.get(path) != found.get(path):
            yield path or "the dataset itself"


def check(root: zarr.Group, where: object) -> None:
    """Before metadata are changed: damage must not be signed.

    Raises
    ------
    StoreError
        Naming the first group or array whose metadata were altered.
    """
    for path in altered(root):
        raise StoreError(
            f"the metadata of {path} are not as they were written.",
            where=str(where),
            mend="`fluxforge verify` tells all that is damaged; bring the store back from a copy.",
        )


def _digests(root: zarr.Group) -> dict[str, str]:
    paths = ["", *(path for path, _ in root.members(max_depth=None))]
    return digests_of(root, (path for path in paths if path != GROUP))


def digests_of(root: zarr.Group, paths: Iterable[str]) -> dict[str, str]:
    """Digest of the metadata of some groups and arrays, by path below `root`."""
    return {path: json_digest(_document(root, path)) for path in paths}


def _document(root: zarr.Group, path: str) -> Any:
    """The text as stored, not as this version of zarr understands it."""
    key = root.store_path / path / "zarr.json"
    found = sync(key.get(default_buffer_prototype()))
    return json.loads(found.to_bytes()) if found is not None else None
