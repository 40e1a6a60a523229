"""Content digests: what was stored, independent of chunks, codecs and library versions.

They are BLAKE3: a third of the processor's time of a run that only copies went into SHA-256.
Digests of input files stay SHA-256, as providers and their mirrors list them.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from blake3 import blake3

from fluxengine.declare import Array

BYTES = 32  # of a BLAKE3 or a SHA-256


def content_digest(arrays: Mapping[str, Array]) -> bytes:
    """Digest of named arrays as Zarr stores them: after packing, before codecs.

    Covers name, dtype, shape and little-endian bytes of each array, in order of the names; NaN
    payloads and the sign of zero do not count.
    """
    content = Content()
    for name in sorted(arrays):
        content.add(name, arrays[name])
    return content.digest()


class Content:
    """`content_digest` of arrays that are given one after the other, in order of their names."""

    def __init__(self) -> None:
        self._digest = blake3()

    def add(self, name: str, array: Array) -> None:
        """One array more."""
        array = _canonical(array)
        self._digest.update(f"{name}|{array.dtype.str}|{array.shape}|".encode())
        self._digest.update(array.reshape(-1).view(np.uint8).data)

    def digest(self) -> bytes:
        """Of all that was given."""
        return self._digest.digest()


def step_digests(arrays: Mapping[str, Array], steps: int) -> Array:
    """Content digest of each step over all arrays, shape (steps, 32).

    An array may have several cells for each step of the dataset's own grid.
    """
    cells = {name: len(array) // steps for name, array in arrays.items()}
    rows = [
        content_digest({n: a[k * cells[n] : (k + 1) * cells[n]] for n, a in arrays.items()})
        for k in range(steps)
    ]
    return np.frombuffer(b"".join(rows), "u1").reshape(steps, BYTES)


def _canonical(array: Array) -> Array:
    array = np.ascontiguousarray(array)
    if array.dtype.kind == "f":
        array = array + 0.0  # −0.0 becomes 0.0
        array[np.isnan(array)] = np.nan
    big = array.dtype.byteorder == ">" or (array.dtype.byteorder == "=" and sys.byteorder == "big")
    return array.astype(array.dtype.newbyteorder("<")) if big else array


def json_digest(value: Any) -> str:
    """Hex digest of a JSON-able value, independent of the order of its keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def file_digest(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
