"""What stages with a network share: which weights, whether they fit, and how a net is fed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from array_api_compat import array_namespace

from fluxengine.declare import UNKEYED, Array, Device, PlainStage, Shapes
from fluxengine.errors import ConfigError, RunFailed
from fluxkernels.errors import DeviceError, KernelError
from fluxkernels.nets.cards import Head, ModelCard, difference, read_head
from fluxkernels.nets.quantities import Quantity, Vocabulary
from fluxrecipes.shipped import SHIPPED
from fluxrecipes.stages.residence import as_array, as_tensor

if TYPE_CHECKING:
    import torch
    import xarray as xr

    from fluxkernels.nets.predict import Predictor

Precision = Literal["fp32", "bf16"]
Flags = npt.NDArray[np.bool_]

ANY = "any"  # sensor of a card: its net is for all of them
BOTH = "both"  # orbits of a card
_ON_GPU = 0.02  # of a core's time, by rule of thumb
_ROUNDED = 1e-3  # degrees: coordinates are computed
PYTORCH = 300_000_000  # bytes that it takes by being there, with what its libraries work in


class WrongWeights(RunFailed, ValueError):
    """Weights that are damaged, or made for something else than they are to be used for.

    It stops a run: no block could be made, and what is published is not to be given up for that.
    """

    code = "FF621"


@dataclass(frozen=True)
class NetworkStage(PlainStage):
    """A stage that runs a network of `fluxkernels.nets`.

    Parameters
    ----------
    model : Path
        Weights file: the name of one that comes with this package, or a whole path that every
        worker reaches.
    sensors : tuple of str
        Whose passes it is used for; weights must have been trained for one of them. Empty: no
        matter. It changes no value, and one satellite more makes no block again.
    precision : {"fp32", "bf16"}
        Of convolutions and matrix products.
    batch : int
        Windows or fields at once. A larger one keeps a GPU busy and takes more memory.
    device : {"cpu", "cuda"}
        Where it runs; ``cuda`` is refused where there is none.
    compiled : bool
        Whether PyTorch compiles it, for minutes and with a C++ compiler, once for each worker.
    """

    model: Path
    sensors: tuple[str, ...] = field(default=(), metadata=UNKEYED)
    precision: Precision = "fp32"
    batch: int = field(default=1, metadata=UNKEYED)
    device: Device = field(default="cpu", metadata=UNKEYED)
    compiled: bool = field(default=False, metadata=UNKEYED)

    @property
    def architecture(self) -> str:
        """Name of the network it runs."""
        raise NotImplementedError

    @property
    def vocabularies(self) -> tuple[Vocabulary, ...]:
        """What the network may take and give."""
        raise NotImplementedError

    @property
    def weights(self) -> tuple[Path, ...]:
        """The network's."""
        return (SHIPPED / self.model,)

    @property
    def kept(self) -> int:
        """PyTorch and the weights."""
        return PYTORCH + sum(path.stat().st_size for path in self.weights)

    def seconds(self, inputs: Shapes) -> float:
        """Of all passes, as measured on a core with AVX-512; a GPU takes a small part of it."""
        cells = max(math.prod(shape) for shape in inputs.values())
        return cells * self.seconds_a_cell * (_ON_GPU if self.device == "cuda" else 1.0)

    @property
    def seconds_a_cell(self) -> float:
        """Of one pass."""
        raise NotImplementedError

    @property
    def head(self) -> Head:
        """What the weights say of themselves, found fit for this stage. Needs no PyTorch.

        Raises
        ------
        ConfigError
            Where there is no such file.
        WrongWeights
            Where they are of another network, vocabulary, orbit or sensor, or no weights.
        """
        found = head_of(SHIPPED / self.model)
        self.check(found)
        return found

    def check(self, found: Head) -> None:
        """Raise `WrongWeights` where weights are not for this stage."""
        if found.architecture != self.architecture:
            raise self.refusal(f"they are of {found.architecture}, not of {self.architecture}.")
        card = found.card
        if card.vocabulary not in self.vocabularies:
            near = self.vocabularies[0]
            why = difference(card.vocabulary, near)
            raise self.refusal(f"they were trained for another vocabulary: {why}.")
        if card.orbit != BOTH:
            raise self.refusal(f"they were trained for {card.orbit} passes alone.")
        if self.sensors and set(self.strangers(card)) == set(self.sensors):
            raise self.refusal(
                f"they were trained for {card.sensor}, and these passes are of"
                f" {', '.join(self.sensors)}."
            )

    def strangers(self, card: ModelCard) -> tuple[str, ...]:
        """Those of its sensors whose passes no training saw."""
        trained = {name.strip() for name in card.sensor.split(",")}
        return () if ANY in trained else tuple(s for s in self.sensors if s not in trained)

    def refusal(self, why: str) -> WrongWeights:
        """The error that names the file."""
        return WrongWeights(
            why,
            where=str(self.model),
            mend="Name weights made for this, train some, or choose a baseline:"
            " `fill: interpolation`, `retrieve: regression`, `correct: none`.",
        )

    def predictor(self) -> tuple[Predictor, Head]:
        """The network, ready to run, with what its weights say of it.

        Raises
        ------
        ConfigError, WrongWeights
            As `head`; and where the tensors are damaged or do not fit.
        RunFailed
            Where the worker has no such device.
        """
        from fluxkernels.nets import weights
        from fluxkernels.nets.predict import Predictor

        head = self.head
        try:
            net = weights.load(SHIPPED / self.model, architecture=self.architecture).net
        except KernelError as error:
            raise self.refusal(str(error)) from error
        try:
            run = Predictor(
                net,
                batch=self.batch,
                device=self.device,
                precision=self.precision,
                compiled=self.compiled,
            )
        except DeviceError as error:
            raise RunFailed(
                f"this worker has no device '{self.device}' ({error}).",
                where=type(self).__name__,
                mend="Give the run workers with a GPU, or the option device: cpu.",
            ) from error
        return run, head


def head_of(path: Path) -> Head:
    """Head of a weights file.

    Raises
    ------
    ConfigError
        Where there is no such file.
    WrongWeights
        Where it is no weights file, by its beginning.
    """
    try:
        state = path.stat()
        return _head(path, state.st_size, state.st_mtime_ns)
    except OSError as error:
        raise ConfigError(
            f"these weights cannot be read: {error.strerror}.",
            where=path.name,
            mend="`fluxforge train` makes them; each worker needs the file at this path.",
        ) from error
    except KernelError as error:
        raise WrongWeights(str(error), where=path.name, mend="Name a file of weights.") from error


@lru_cache(maxsize=32)
def _head(path: Path, size: int, stamp: int) -> Head:
    """Kept as long as size and time stay the same: training may write anew."""
    return read_head(path)


def activations(head: Head, cells: int) -> int:
    """Bytes that a network holds at most while it works on one window or field, beside its inputs.

    Counted in channels of the whole grid, from what the network is built of, and made large enough
    for all that was measured.
    """
    of = {"GDCM": _gdcm_channels, "MPFNet": _mpfnet_channels}[head.architecture]
    return round(4 * cells * of(head.settings))


def _gdcm_channels(s: Mapping[str, Any]) -> float:
    day = (s["variables"] + s["context"]) * (2 if s["masks"] else 1)
    whole = 4 * s["steps"] * day + (8 * s["stem"] if s["scale"] > 1 else 0)
    entry = s["entry"] if s["scale"] > 1 else day
    seen = s["steps"] * s["lstm"][-1]
    coarse = float(s["steps"] * entry * 4)
    for level, width in enumerate(s["motion"]):
        states = 12 * max(s["lstm"]) + 2 * seen
        moved = 8 * s["steps"] * width
        decoded = 4 * (seen + 2 * width + s["decoder"] + s["pyramid"])
        coarse += (states + moved + decoded) / 4**level
    return float(whole + 2.5 * coarse / s["scale"] ** 2)


def _mpfnet_channels(s: Mapping[str, Any]) -> float:
    points = 4 * s["history"] * s["predictors"] + 4 * s["point"] + 2 * s["levels"] * s["reduced"]
    return float(points + 6 * s["width"] + 4 * s["outputs"])


class Window(NamedTuple):
    """Some days of fields, shape (days, channels, lat, lon), scaled, and where they are known."""

    values: Array
    masks: Flags


@dataclass(frozen=True)
class Channels:
    """Fields of a block with its halo, as a network takes them, where the fields lie.

    Parameters
    ----------
    values : float32 array, shape (time, orbit, channels, lat, lon)
        Scaled; 0 where nothing is known.
    masks : bool array, of the same shape
        True where there is a value.
    """

    values: Array
    masks: Flags

    @classmethod
    def of(cls, fields: Sequence[Array], quantities: Sequence[Quantity]) -> Channels:
        """From fields of shape (time, orbit, lat, lon), in the units of their quantities."""
        xp = array_namespace(*fields)
        time, orbit, *cells = fields[0].shape
        values = xp.zeros((time, orbit, len(quantities), *cells), dtype=xp.float32)
        masks = xp.zeros(values.shape, dtype=xp.bool)
        for at, (given, quantity) in enumerate(zip(fields, quantities, strict=True)):
            known = xp.isfinite(given)
            values[:, :, at] = xp.where(known, quantity.scaled(given), 0.0)
            masks[:, :, at] = known
        return cls(values, masks)

    def window(self, day: int, orbit: int, before: int, after: int) -> Window:
        """Days around one; beyond the first and the last one nothing is known."""
        first, last = day - before, day + after + 1
        there = slice(max(first, 0), min(last, len(self.values)))
        at = slice(there.start - first, there.stop - first)
        xp, shape = array_namespace(self.values), (before + 1 + after, *self.values.shape[2:])
        values, masks = xp.zeros(shape, dtype=xp.float32), xp.zeros(shape, dtype=xp.bool)
        values[at], masks[at] = self.values[there, orbit], self.masks[there, orbit]
        return Window(values, masks)


def in_batches(
    run: Predictor, windows: Iterator[tuple[Array, ...]], batch: int
) -> Iterator[tuple[torch.Tensor, ...]]:
    """What a network gives for each of many windows, of which only a batch is held at once."""
    while part := [window for _, window in zip(range(batch), windows, strict=False)]:
        xp = array_namespace(part[0][0])
        sides = (
            as_tensor(side[0][None] if len(side) == 1 else xp.stack(side))  # one needs no copy
            for side in zip(*part, strict=True)
        )
        yield from zip(*run(*sides), strict=True)


def natural(scaled: torch.Tensor, quantity: Quantity) -> Array:
    """A channel that a network gave, in its units, float64."""
    return as_array(scaled.double() * quantity.scale + quantity.offset)


class Edges(NamedTuple):
    """Where a grid ends in the south and the north, and where it begins in the west, degrees."""

    south: float
    north: float
    west: float


def check_globe(values: xr.DataArray, edges: Edges | None = None) -> None:
    """Networks go around the globe; and one that is told a place knows one grid.

    Parameters
    ----------
    values : DataArray
        With the coordinates ``lat`` and ``lon``.
    edges : Edges, optional
        Of the grid that the network was made for. Longitude may be told in any turn.

    Raises
    ------
    ConfigError
        Where longitude is not whole, or the grid has other edges.
    """
    lat, lon = (values[name].values.astype(np.float64) for name in ("lat", "lon"))
    width = float(lon[1] - lon[0])
    length = len(lon) * width
    if abs(length - 360.0) > _ROUNDED:
        raise ConfigError(
            f"a network needs the whole globe, and the block has {length:g} degrees.",
            where="lon",
            mend="Give the product's longitude one block.",
        )
    half = 0.5 * float(lat[1] - lat[0])
    own = Edges(float(lat[0]) - half, float(lat[-1]) + half, float(lon[0]) - 0.5 * width)
    if edges is None:
        return
    if max(abs(own.south - edges.south), abs(own.north - edges.north)) > _ROUNDED:
        raise ConfigError(
            f"the grid goes from {own.south:g} to {own.north:g} degrees north, the network was made"
            f" for {edges.south:g} to {edges.north:g}.",
            where="lat",
            mend="Train it for this grid.",
        )
    if abs(math.remainder(own.west - edges.west, 360.0)) > _ROUNDED:
        raise ConfigError(
            f"the grid begins at {own.west:g} degrees east, the network was made for one that"
            f" begins at {edges.west:g}.",
            where="lon",
            mend="Turn the longitudes of the grid, or train it for this one.",
        )
