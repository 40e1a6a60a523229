"""Packing: numbers as small integers in a store, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fluxengine.errors import OutOfRange

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Packing:
    """How values lie in the store: ``value = raw * scale + offset``; `fill` is missing.

    Float packings (``f4``, ``f8``) hold values as they are, NaN for missing.
    """

    dtype: str
    scale: float = 1.0
    offset: float = 0.0
    fill: int | None = None

    @property
    def is_float(self) -> bool:
        """Whether values are stored as they are."""
        return np.dtype(self.dtype).kind == "f"

    @property
    def is_plain_integer(self) -> bool:
        """Whether integers are stored as they are."""
        return np.dtype(self.dtype).kind in "iu" and (self.scale, self.offset) == (1.0, 0.0)

    @property
    def attributes(self) -> dict[str, Any]:
        """What a decoded file says of it, as CF has it."""
        return {"scale_factor": self.scale, "add_offset": self.offset, "_FillValue": self.fill}

    @property
    def zarr_fill(self) -> float | int:
        """What an absent chunk reads as."""
        return float("nan") if self.is_float else int(self.fill or 0)

    @property
    def unpacked(self) -> str:
        """Dtype of the numbers: f4 where that holds every one of them."""
        if np.dtype(self.dtype).itemsize > (4 if self.is_float else 2):
            return "f8"
        # Scaling and shifting round twice: both together must stay well within half a step.
        steps = 2**16 + abs(self.offset / self.scale)
        return "f4" if self.is_float or 4 * steps * np.finfo("f4").eps < 0.5 else "f8"

    def pack(self, values: Array, name: str) -> Array:
        """Values as stored; NaN becomes `fill`.

        Raises
        ------
        OutOfRange
            Where a value does not fit: packing never wraps or clips.
        """
        values = np.asarray(values)
        if self.is_float:
            return self._as_float(values, name)
        packed = np.empty(values.shape, self.dtype)
        # A step at a time: what is worked on stays in the processor's cache.
        rows = (values, packed) if values.ndim > 1 else (values[np.newaxis], packed[np.newaxis])
        buffer = np.empty(rows[0].shape[1:], np.float64)
        for given, made in zip(*rows, strict=True):
            if not self._fits(given, buffer, made):
                raise self._complaint(values, name)
        return packed

    def _fits(self, given: Array, buffer: Array, made: Array) -> bool:
        """Pack one step, and say whether all of it fits."""
        np.subtract(given, self.offset, out=buffer, dtype=np.float64)
        with np.errstate(over="ignore"):  # infinity fits nowhere
            np.divide(buffer, self.scale, out=buffer)
        np.rint(buffer, out=buffer)
        missing = np.isnan(buffer)
        holes = int(np.count_nonzero(missing))
        if holes:
            np.copyto(buffer, self.fill or 0, where=missing)
        low, high = (buffer.min(), buffer.max()) if buffer.size else (0.0, 0.0)
        info = np.iinfo(self.dtype)
        # Below the next power of two: as a float, the largest 64-bit integer is that power itself.
        if low < info.min or high >= int(info.max) + 1 or (holes and self.fill is None):
            return False
        np.copyto(made, buffer, casting="unsafe")
        if self.fill is None or not low <= self.fill <= high:
            return True
        return int(np.count_nonzero(made == self.fill)) == holes

    def _complaint(self, values: Array, name: str) -> OutOfRange:
        """What does not fit, in words."""
        with np.errstate(over="ignore"):
            raw = np.rint((values.astype(np.float64) - self.offset) / self.scale)
        info = np.iinfo(self.dtype)
        outside = (raw < info.min) | (raw >= int(info.max) + 1)
        bad = ~np.isnan(raw) & (outside | (raw == self.fill))
        if not bad.any():
            return OutOfRange(f"{name} has missing values, but its packing has no fill value.")
        low, high = (edge * self.scale + self.offset for edge in (info.min, info.max))
        return OutOfRange(
            f"{name} = {values[bad].ravel()[0]:g} at {int(bad.sum())} cells cannot be stored:"
            f" its packing holds {low:g} to {high:g}."
        )

    def _as_float(self, values: Array, name: str) -> Array:
        with np.errstate(over="ignore"):
            stored = values.astype(self.dtype, copy=False)
        bad = np.isinf(stored)
        if bad.any():
            bad &= np.isfinite(values)
        if bad.any():
            worst = values[bad].ravel()[0]
            raise OutOfRange(f"{name} = {worst:g} is too large to be stored as {self.dtype}.")
        return stored

    def unpack(self, raw: Array, dtype: str | None = None) -> Array:
        """Stored values as numbers, NaN where missing, by default in the dtype `unpacked`."""
        dtype = dtype or self.unpacked
        if self.is_float:
            return raw.astype(dtype, copy=False)
        values: npt.NDArray[np.floating[Any]] = np.empty(raw.shape, dtype)
        rows = (raw, values) if raw.ndim > 1 else (raw[np.newaxis], values[np.newaxis])
        for given, made in zip(*rows, strict=True):
            np.multiply(given, self.scale, out=made, dtype=made.dtype)
            if self.offset:
                made += self.offset
            if self.fill is not None:
                np.copyto(made, np.nan, where=given == self.fill)
        return values
