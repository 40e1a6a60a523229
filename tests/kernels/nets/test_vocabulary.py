"""Scalings, and the net that looks at what it is fed."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from fluxkernels.errors import (
    KernelError,
    NotFiniteError,
    OutOfRangeError,
    SettingsError,
    ShapeError,
)
from fluxkernels.nets.vocabulary import Checked, Quantity

WIND = Quantity("wind_speed", "m s-1", 8.0, 4.0, 0.0, 60.0)
VAPOUR = Quantity("water_vapour", "kg m-2", 25.0, 15.0, 0.0, 75.0)


class _Sum(nn.Module):
    """Stands for a net."""

    def forward(self, values: Tensor, masks: Tensor) -> Tensor:
        return values.where(masks, 0.0).sum(dim=1)


@pytest.fixture
def natural() -> Tensor:
    """Wind and vapour of two days, in their units."""
    return torch.rand(1, 2, 2, 4, 6) * torch.tensor([60.0, 75.0])[:, None, None]


def scaled(natural: Tensor) -> Tensor:
    """Wind and vapour as a net takes them."""
    parts = [WIND.scaled(natural[:, :, 0]), VAPOUR.scaled(natural[:, :, 1])]
    return torch.stack(parts, dim=2)


def test_a_channel_is_scaled_by_its_offset_and_scale(natural: Tensor) -> None:
    """Of arrays and of tensors, in their own precision."""
    inside = scaled(natural)
    assert inside[0, 0, 0, 0, 0] == (natural[0, 0, 0, 0, 0] - 8.0) / 4.0
    assert inside.dtype == torch.float32 and WIND.scaled(natural.numpy()).dtype == "float32"


def test_what_is_sound_passes(natural: Tensor) -> None:
    """Bounds themselves included; what lies under a mask is not looked at."""
    natural[0, 0, 0, 0, :2] = torch.tensor([0.0, 60.0])
    masks = torch.ones_like(natural, dtype=torch.bool)
    natural[0, 1, 1, 2, 3:5] = torch.tensor([math.nan, 1e4])
    masks[0, 1, 1, 2, 3:5] = False
    values = scaled(natural)
    checked = Checked(_Sum(), (WIND, VAPOUR))
    assert torch.equal(checked(values, masks), _Sum()(values, masks))


@pytest.mark.parametrize(
    ("value", "error"),
    [(math.nan, NotFiniteError), (-math.inf, NotFiniteError), (76.0, OutOfRangeError)],
)
def test_what_is_not_is_named_with_its_place(
    natural: Tensor, value: float, error: type[KernelError]
) -> None:
    """The quantity, the number and its unit, the first index."""
    natural[0, 1, 1, 2, 3] = value
    values = scaled(natural)
    place = r"water_vapour at \(batch, time, latitude, longitude\) \(0, 1, 2, 3\): "
    with pytest.raises(error, match=place + ".*kg m-2 is not within 0 to 75; 1 of 48"):
        Checked(_Sum(), (WIND, VAPOUR))(values, torch.ones_like(values, dtype=torch.bool))


def test_shapes_and_masks_are_looked_at(natural: Tensor) -> None:
    """Masks of numbers, missing axes, missing channels."""
    checked, masks = Checked(_Sum(), (WIND, VAPOUR)), torch.ones_like(natural, dtype=torch.bool)
    for values, seen in (
        (natural, masks.float()),
        (natural[0], masks[0]),
        (natural, masks[:, :1]),
        (natural[:, :, :1], masks[:, :, :1]),
    ):
        with pytest.raises(ShapeError):
            checked(values, seen)


@pytest.mark.parametrize(
    "wrong", [(0.0, 0.0, 0.0, 1.0), (math.nan, 1.0, 0.0, 1.0), (0.0, 1.0, 1.0, 1.0)]
)
def test_a_quantity_must_make_sense(wrong: tuple[float, ...]) -> None:
    """A scale to divide by, finite numbers, bounds in order."""
    with pytest.raises(SettingsError, match="wind"):
        Quantity("wind", "m s-1", *wrong)
