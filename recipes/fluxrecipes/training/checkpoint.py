"""A training's checkpoint: one safetensors file, written whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from fluxengine.errors import FluxforgeError

NAME = "checkpoint.safetensors"
_DOCUMENT = "fluxforge"
ANEW = "Delete it to begin anew, or choose another folder."

Tensors = Mapping[str, Mapping[str, Tensor]]


class OtherTraining(FluxforgeError, ValueError):
    """The folder holds the checkpoint of another training."""

    code = "FF702"


class DamagedCheckpoint(FluxforgeError, OSError):
    """A checkpoint cannot be read."""

    code = "FF703"


def write(path: Path, tensors: Tensors, document: Mapping[str, Any]) -> None:
    """Write a checkpoint in the place of the one before.

    Parameters
    ----------
    path : Path
    tensors : mapping of str to mapping of str to Tensor
        By group and name; groups have no dot in their name.
    document : mapping
        Fit for JSON; floats come back bit for bit.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    flat = {
        f"{group}.{name}": tensor.detach().cpu().contiguous().clone()
        for group, named in tensors.items()
        for name, tensor in named.items()
    }
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with part.open("wb") as file:
        file.write(safetensors.torch.save(flat, {_DOCUMENT: json.dumps(document)}))
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def read(
    path: Path, expected: Mapping[str, Any]
) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]] | None:
    """Read a checkpoint; None where there is none.

    Parameters
    ----------
    path : Path
    expected : mapping
        What its document must say under the same names.

    Raises
    ------
    OtherTraining
        FF702: its document says something else.
    DamagedCheckpoint
        FF703: it is no whole checkpoint.
    """
    if not path.exists():
        return None
    try:
        with safetensors.safe_open(path, "pt") as file:
            document = json.loads(file.metadata()[_DOCUMENT])
            flat = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
        raise DamagedCheckpoint(
            f"this is no whole checkpoint ({error}).", where=str(path), mend=ANEW
        ) from error
    wanted = json.loads(json.dumps(expected))  # as JSON gives it back: lists for tuples
    if found := [name for name, value in wanted.items() if document.get(name) != value]:
        differs = _difference(wanted, document, found[0])
        since = "Days published since count, even those that it does not read. "
        raise OtherTraining(
            f"it is of another training: {differs}.",
            where=str(path),
            mend=(since if "content: " in differs else "") + ANEW,
        )
    tensors: dict[str, dict[str, Tensor]] = {}
    for name, tensor in flat.items():
        group, _, rest = name.partition(".")
        tensors.setdefault(group, {})[rest] = tensor
    return tensors, document


class _Absent:
    """In the place of a setting that another version of this code does not know."""

    def __repr__(self) -> str:
        return "not there"


_ABSENT = _Absent()


def _difference(wanted: Mapping[str, Any], found: Mapping[str, Any], name: str) -> str:
    """The first setting that differs, by its path."""
    here, there = wanted.get(name, _ABSENT), found.get(name, _ABSENT)
    if isinstance(here, dict) and isinstance(there, dict):
        pairs = {k: (here.get(k, _ABSENT), there.get(k, _ABSENT)) for k in {*here, *there}}
        differing = min(k for k, (mine, its) in pairs.items() if mine != its)
        return f"{name}: {_difference(here, there, differing)}"
    return f"{name} {there!r}, not {here!r}"
