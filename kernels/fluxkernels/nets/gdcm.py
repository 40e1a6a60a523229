"""GDCM: completes gappy fields from a window of days.

After the network of Wang, Zhou and Li (Remote Sens. Environ. 324, 114760, 2025): ConvLSTMs read
the window, 3-D convolutions its day-to-day differences, and what these remember is weighted by
attention before a decoder joins both. `PAPER` is built from what is published of it; `COMPACT`
does the same at a quarter of the resolution, for computers without a GPU.

                     ConvLSTM, at each level ──────────────┬─────────────┐
    days ── entry ──┤                                 attention      skip, gated
                     differences: 3-D blocks, memory ──────┴── decoder ── ASPP ── head ── values
                                                                                    │
    days ── first guess: a mean of what is near and has drifted here ───────────────┘
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fluxkernels.errors import SettingsError, ShapeError
from fluxkernels.nets.drifting import DriftingMean, Guess
from fluxkernels.nets.layers import (
    ASPP,
    AttentionGate,
    ConvLSTM,
    PeriodicConv2d,
    PeriodicConv3d,
    PrototypeMemory,
    ResidualBlock,
    SqueezeExcitation,
    in_float32,
    known,
    upsample,
)

_FRESH = 2.5  # days from the target within which a first guess looks at passes


class Sighting(NamedTuple):
    """A pass that a first guess looks at: its day, its first field, and when it was, in days."""

    day: int
    first: int
    lag: float


@dataclass(frozen=True)
class GDCMSettings:
    """What a GDCM is built from.

    Parameters
    ----------
    variables : int
        Variables completed together.
    context : int
        Further fields of each day that help and are not completed: SST, the other pass.
    steps : int
        Days of the window.
    target : int
        Which of them is completed: the last one for a causal window, the middle for a centred.
    masks : bool
        Whether the net sees where values are missing, or only zeros there.
    scale : int
        Cells of the grid along one cell of the finest level at which ConvLSTM and decoder work.
    entry : int
        Channels of a day at that level; used where `scale` is not 1.
    lstm : tuple of int
        Channels of the ConvLSTM's states. The last one's of all days are kept.
    motion : tuple of int
        Channels of the 3-D blocks, one level each, every level half as fine as the one before.
        ConvLSTMs read all levels but the last.
    prototypes : int
        Vectors that the motion's memory holds at each level.
    attention : int
        Width of the layer that weighs memories.
    decoder, pyramid : int
        Channels of the decoder and of the ASPP behind it.
    dilations : tuple of int
        Of the ASPP.
    stem : int
        Channels at full resolution; used where `scale` is not 1.
    first_guess : bool
        Whether the net improves on a `DriftingMean` of what was observed, or begins at nothing.
        The mean's background follows the first field of context. Needs `masks` and context.
    other_pass : bool
        Whether the last `variables` fields of context are the same variables as seen by the other
        pass, twelve hours before: the first guess takes them as further sightings.

    Raises
    ------
    SettingsError
        Where these contradict each other.
    """

    variables: int = 1
    context: int = 0
    steps: int = 7
    target: int = 6
    masks: bool = True
    scale: int = 4
    entry: int = 32
    lstm: tuple[int, ...] = (32, 8)
    motion: tuple[int, ...] = (12, 24)
    prototypes: int = 32
    attention: int = 64
    decoder: int = 48
    pyramid: int = 32
    dilations: tuple[int, ...] = (1, 2, 4, 8)
    stem: int = 20
    first_guess: bool = False
    other_pass: bool = False

    def __post_init__(self) -> None:
        if self.variables < 1 or self.context < 0 or self.scale < 1:
            raise SettingsError("variables, context or scale is too small.", "GDCMSettings")
        if self.first_guess and not (self.masks and self.context):
            raise SettingsError(
                f"a first guess with {self.context} fields of context, masks seen: {self.masks}.",
                "GDCMSettings",
                "A mean of what was observed needs masks, and context for its background.",
            )
        if self.other_pass and self.context <= self.variables:
            raise SettingsError(
                f"{self.context} fields of context, with the other pass among them.",
                "GDCMSettings",
                "Give the other pass's variables after one field of context or more.",
            )
        if self.steps < 2 or not 0 <= self.target < self.steps:
            raise SettingsError(
                f"a window of {self.steps} days with day {self.target} as its target.",
                "GDCMSettings",
                "Take two days or more, and a target from 0 to steps - 1.",
            )
        if len(self.motion) < 2 or not self.lstm or not self.dilations:
            raise SettingsError(
                "motion needs two levels or more, lstm and dilations one.", "GDCMSettings"
            )

    @property
    def levels(self) -> int:
        """Levels at which ConvLSTMs read."""
        return len(self.motion) - 1

    @property
    def divisor(self) -> int:
        """Rows and columns of the grid must be multiples of this."""
        return self.scale << self.levels

    @property
    def sightings(self) -> tuple[Sighting, ...]:
        """What the first guess looks at: passes of the days about the target."""
        passes = ((0.0, 0), (0.5, -self.variables)) if self.other_pass else ((0.0, 0),)
        return tuple(
            Sighting(day, first, day - self.target - earlier)
            for earlier, first in passes
            for day in range(self.steps)
            if abs(day - self.target - earlier) <= _FRESH
        )

    @property
    def day(self) -> int:
        """Channels of a day as it comes in."""
        return (self.variables + self.context) * (2 if self.masks else 1)


PAPER = GDCMSettings(
    masks=False,
    scale=1,
    lstm=(128, 192, 12),
    motion=(24, 48, 96),
    prototypes=48,
    attention=256,
    decoder=256,
    pyramid=128,
    dilations=(1, 6, 12, 18),
)
"""One variable of one pass, causal: 11.47 M parameters and 2.34 TFLOP a window of 120 × 360 cells
(the authors' network has 12.2 M and 2.65 TFLOP). Prototypes' sharpness, batch normalisation in the
decoder and its width at half resolution are choices made here."""

COMPACT = GDCMSettings(variables=5, context=1, stem=18, first_guess=True)
"""The four microwave variables of a pass and where it rains, SST beside them, causal: 0.35 M
parameters and 7.3 GFLOP a window of 120 × 360 cells."""

COMPACT_CENTRED = replace(COMPACT, target=3)
"""As `COMPACT`, completing the middle of the window: for a record made after the fact."""

COMPACT_BOTH_PASSES = replace(
    COMPACT_CENTRED, context=6, stem=12, other_pass=True, steps=3, target=1
)
"""As `COMPACT_CENTRED`, with the other pass, twelve hours before, as context. With it a day on each
side does as well as three, in half of the time (tests/bench/RESULTS.md)."""


class GDCM(nn.Module):
    """Completes the target day of a window.

    Parameters
    ----------
    settings : GDCMSettings
        By default `COMPACT`.
    """

    def __init__(self, settings: GDCMSettings = COMPACT) -> None:
        super().__init__()
        s = self.settings = settings
        width = s.day if s.scale == 1 else s.entry
        self.entry = (
            nn.Identity() if s.scale == 1 else nn.Conv2d(s.day, width, s.scale, stride=s.scale)
        )
        self.features = nn.ModuleList(ConvLSTM(width, s.lstm) for _ in range(s.levels))
        self.motion = Motion(width, s.motion, s.prototypes)
        self.selection = nn.ModuleList(_selections(s))
        self.decoder = nn.ModuleList(_decoders(s))
        self.pyramid = ASPP(s.decoder, s.pyramid, s.dilations)
        self.head = _head(s)
        if s.first_guess:
            self.first_guess = DriftingMean(s.variables, tuple(at.lag for at in s.sightings))
            nn.init.normal_(self.head.values.weight, std=0.01)  # it begins near its guess

    def forward(self, values: Tensor, masks: Tensor) -> Tensor:
        """Estimate the target day everywhere, where it was observed as well.

        Parameters
        ----------
        values : Tensor, shape (B, T, V, H, W)
            Scaled values: the variables, then the context. Under a mask of False they have no
            influence and may be NaN.
        masks : bool Tensor, shape (B, T, V, H, W)
            True where there is a value.

        Returns
        -------
        Tensor, shape (B, variables, H, W)

        Raises
        ------
        ShapeError
            Where the shapes differ, are not those of the settings, or H and W are no multiples
            of `GDCMSettings.divisor`.
        DtypeError
            Where the masks are not boolean.
        """
        self._check(values)
        days = known(values, masks)
        s = self.settings
        guess = self._guess(days, masks) if s.first_guess else None
        if s.masks:
            days = torch.cat([days, masks.to(days.dtype)], dim=2)
        coarse = _each_day(self.entry, days)
        features = self._features(coarse)
        memories = self.motion(coarse[:, 1:] - coarse[:, :-1])
        field = memories.pop()
        for level in reversed(range(self.settings.levels)):
            seen = features[level : level + 2]
            selected = self.selection[level](seen, memories[level])
            field = self.decoder[level](field, torch.cat([features[level], selected], dim=1))
        fine = days.flatten(1, 2)
        if guess is None:
            estimate: Tensor = self.head(self.pyramid(field), fine)
            return estimate
        improved: Tensor = guess.values + self.head(
            self.pyramid(field), torch.cat([fine, *guess], dim=1)
        )
        return improved

    def _guess(self, days: Tensor, masks: Tensor) -> Guess:
        s = self.settings
        end = days.shape[2]
        values, seen = (
            torch.stack(
                [x[:, at.day, at.first % end :][:, : s.variables] for at in s.sightings], dim=1
            )
            for x in (days, masks)
        )
        guess: Guess = self.first_guess(values, seen, days[:, s.target, s.variables, None])
        return guess

    def _features(self, coarse: Tensor) -> list[Tensor]:
        """What the ConvLSTMs of each level keep of all days: (B, T · C, H, W) each."""
        features = []
        for level, lstm in enumerate(self.features):
            days = _each_day(nn.AvgPool2d(2**level), coarse) if level else coarse
            features.append(lstm(days).flatten(1, 2))
        return features

    def _check(self, values: Tensor) -> None:
        s = self.settings
        if values.ndim != 5 or values.shape[1:3] != (s.steps, s.variables + s.context):
            raise ShapeError(
                f"{tuple(values.shape)} is no window of {s.steps} days and "
                f"{s.variables + s.context} fields a day.",
                "values",
                "Give (batch, time, variable, latitude, longitude).",
            )
        if any(size % s.divisor for size in values.shape[3:]):
            raise ShapeError(
                f"{values.shape[3]} × {values.shape[4]} cells cannot be halved evenly.",
                "values",
                f"Use a grid whose rows and columns are multiples of {s.divisor}.",
            )


class Motion(nn.Module):
    """What changes from day to day, at several levels, as a memory knows it.

    Parameters
    ----------
    inputs : int
        Channels of a day.
    widths : sequence of int
        Channels of the 3-D blocks, a level each. A level gives twice as many.
    prototypes : int
        Vectors a level's memory holds.
    """

    def __init__(self, inputs: int, widths: tuple[int, ...], prototypes: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            ResidualBlock(a, b, dimensions=3, spectral=True)
            for a, b in zip((inputs, *widths), widths, strict=False)
        )
        self.outlets = nn.ModuleList(PeriodicConv3d(width, 2 * width) for width in widths)
        self.memories = nn.ModuleList(PrototypeMemory(2 * width, prototypes) for width in widths)

    def forward(self, differences: Tensor) -> list[Tensor]:
        """(B, T - 1, C, H, W) to (B, 2 width, H, W) of each level, the finest first."""
        field, levels = differences.transpose(1, 2), []
        parts = zip(self.blocks, self.outlets, self.memories, strict=True)
        for level, (block, outlet, memory) in enumerate(parts):
            field = block(F.max_pool3d(field, (1, 2, 2)) if level else field)
            levels.append(memory(outlet(field).mean(dim=2)))
        return levels


class Selection(nn.Module):
    """Weighs the channels of a memory by what the ConvLSTMs see.

    Parameters
    ----------
    seen : int
        Channels of all that is looked at.
    channels : int
        Channels to weigh.
    inner : int
        Width of the layer between.
    """

    def __init__(self, seen: int, channels: int, inner: int) -> None:
        super().__init__()
        self.weigh = nn.Sequential(
            nn.Linear(seen, inner), nn.ReLU(), nn.Linear(inner, channels), nn.Sigmoid()
        )

    def forward(self, seen: list[Tensor], memory: Tensor) -> Tensor:
        """Fields of any resolution, each (B, C, h, w), and (B, channels, H, W) to the latter."""
        means = torch.cat([field.mean(dim=(-2, -1)) for field in seen], dim=1)
        weighed: Tensor = memory * self.weigh(means)[..., None, None]
        return weighed


class Decoder(nn.Module):
    """One step to a finer level: what comes from below, and what the level itself knows.

    Parameters
    ----------
    inputs, skip, outputs : int
        Channels from below, of the level, and to give.
    """

    def __init__(self, inputs: int, skip: int, outputs: int) -> None:
        super().__init__()
        self.gate = AttentionGate(skip, inputs, max(skip // 2, 1))
        self.block = ResidualBlock(inputs + skip, outputs)
        self.weigh = SqueezeExcitation(outputs)

    def forward(self, coarse: Tensor, skip: Tensor) -> Tensor:
        """(B, inputs, H/2, W/2) and (B, skip, H, W) to (B, outputs, H, W)."""
        field = upsample(coarse, 2)
        joined = torch.cat([field, self.gate(skip, field)], dim=1)
        weighed: Tensor = self.weigh(self.block(joined))
        return weighed


class PlainHead(nn.Module):
    """From the decoder's level, which is the grid itself, to values."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(inputs)
        self.values = nn.Conv2d(inputs, outputs, 1)

    def forward(self, field: Tensor, days: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H, W); the days are not looked at again."""
        return in_float32(self.values, torch.tanh(self.norm(field)))


class FineHead(nn.Module):
    """From a coarser level to values on the grid, helped by one look at the days in full.

    Parameters
    ----------
    inputs, days, outputs : int
        Channels from the decoder, of all days together, and to give.
    stem : int
        Channels on the full grid.
    scale : int
        Cells of the grid along one of the decoder's.
    """

    def __init__(self, inputs: int, days: int, outputs: int, stem: int, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.stem = PeriodicConv2d(days, stem)
        self.narrow = nn.Sequential(nn.BatchNorm2d(inputs), nn.Tanh(), nn.Conv2d(inputs, stem, 1))
        self.block = ResidualBlock(2 * stem, stem)
        self.values = nn.Conv2d(stem, outputs, 1)

    def forward(self, field: Tensor, days: Tensor) -> Tensor:
        """(B, inputs, H/scale, W/scale) and (B, days, H, W) to (B, outputs, H, W)."""
        large = upsample(self.narrow(field), self.scale)
        small = torch.tanh(self.stem(days))
        return in_float32(self.values, self.block(torch.cat([large, small], dim=1)))


def _selections(s: GDCMSettings) -> list[Selection]:
    """One a level; each also sees the next coarser level's features, where there are any."""
    seen = s.steps * s.lstm[-1]
    return [
        Selection(seen * (2 if level + 1 < s.levels else 1), 2 * s.motion[level], s.attention)
        for level in range(s.levels)
    ]


def _decoders(s: GDCMSettings) -> list[Decoder]:
    """One a level, the finest first."""
    seen = s.steps * s.lstm[-1]
    return [
        Decoder(
            2 * s.motion[-1] if level + 1 == s.levels else s.decoder,
            seen + 2 * s.motion[level],
            s.decoder,
        )
        for level in range(s.levels)
    ]


def _head(s: GDCMSettings) -> PlainHead | FineHead:
    if s.scale == 1:
        return PlainHead(s.pyramid, s.variables)
    fine = s.steps * s.day + (2 * s.variables if s.first_guess else 0)
    return FineHead(s.pyramid, fine, s.variables, s.stem, s.scale)


def _each_day(net: nn.Module, days: Tensor) -> Tensor:
    """Apply a net on (B, C, H, W) to every day of (B, T, C, H, W)."""
    each: Tensor = net(days.flatten(0, 1)).unflatten(0, days.shape[:2])
    return each
