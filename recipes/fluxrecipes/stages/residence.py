"""Arrays stay where a stage computes: in main memory, or on a GPU from stage to stage.

On a GPU they are CuPy's, which xarray carries; PyTorch reads and writes the same bytes by DLPack,
and `fluxkernels` computes on them where they lie. The engine brings them back when a stage without
a GPU, or the store, wants them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from fluxengine.declare import Array, Device
from fluxengine.errors import RunFailed

if TYPE_CHECKING:
    import torch


def brought(values: Array, device: Device) -> Array:
    """An array in the memory of a device: itself where it lies there.

    Raises
    ------
    RunFailed
        Where the device is a GPU and CuPy is not installed.
    """
    return values if device == "cpu" else _library(device).asarray(values)


def as_tensor(values: Array) -> torch.Tensor:
    """The same bytes as a tensor, wherever they lie."""
    import torch
    from torch.utils.dlpack import from_dlpack

    # Not every DLPack knows truth values; as bytes they are the same.
    if values.dtype == bool:
        return from_dlpack(values.view("u1")).view(torch.bool)
    return from_dlpack(values)


def as_array(values: torch.Tensor) -> Array:
    """The same bytes as an array, wherever they lie."""
    made: Array = _library(values.device.type).from_dlpack(values)
    return made


def _library(device: str) -> Any:
    """NumPy or CuPy."""
    if device == "cpu":
        return np
    try:
        return import_module("cupy")
    except ImportError as error:
        raise RunFailed(
            "stages that run on a GPU hand arrays to each other as CuPy's, and there is none.",
            where="device: cuda",
            mend="Install fluxforge[cuda12] or fluxforge[cuda13] on every worker.",
        ) from error
