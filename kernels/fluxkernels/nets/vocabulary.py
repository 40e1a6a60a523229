"""What a network's channels are, and a guard over what is fed to it: for tests."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fluxkernels.errors import NotFiniteError, OutOfRangeError, ShapeError
from fluxkernels.nets.quantities import Quantity as Quantity
from fluxkernels.nets.quantities import Vocabulary as Vocabulary


def check_window(values: Tensor, masks: Tensor, quantities: tuple[Quantity, ...]) -> None:
    """Refuse a window of days that no net should be fed.

    Parameters
    ----------
    values : Tensor, shape (B, T, V, H, W)
        Scaled.
    masks : bool Tensor, of the same shape
        Only what is under True is looked at.
    quantities : tuple of Quantity, length V
        What the channels are.

    Raises
    ------
    ShapeError
        Where these are not the shapes, or the masks not boolean.
    NotFiniteError, OutOfRangeError
        Naming the quantity and the first place.
    """
    if values.ndim != 5 or values.shape != masks.shape or masks.dtype != torch.bool:
        raise ShapeError(
            f"values are {tuple(values.shape)}, masks {masks.dtype} {tuple(masks.shape)}.",
            "values",
            "Give (batch, time, variable, latitude, longitude), and boolean masks of that shape.",
        )
    if values.shape[2] != len(quantities):
        raise ShapeError(
            f"{values.shape[2]} channels where there are {len(quantities)} quantities.",
            ", ".join(quantity.name for quantity in quantities),
        )
    for channel, quantity in enumerate(quantities):
        there = values[:, :, channel].double() * quantity.scale + quantity.offset
        seen = masks[:, :, channel]
        _refuse(there, seen & ~torch.isfinite(there), quantity, NotFiniteError)
        # Room for what float32 loses in scaling back and forth.
        room = 1e-5 * (quantity.highest - quantity.lowest)
        outside = (there < quantity.lowest - room) | (there > quantity.highest + room)
        _refuse(there, seen & outside, quantity, OutOfRangeError)


def _refuse(
    values: Tensor,
    bad: Tensor,
    quantity: Quantity,
    error: type[NotFiniteError] | type[OutOfRangeError],
) -> None:
    if not bad.any():
        return
    first = tuple(int(i) for i in bad.nonzero()[0])
    raise error(
        f"{float(values[first]):g} {quantity.units} is not within {quantity.lowest:g} to "
        f"{quantity.highest:g}; {int(bad.sum())} of {bad.numel()} values are like it.",
        f"{quantity.name} at (batch, time, latitude, longitude) {first}",
        "Mask such values, or mend their unit or scaling.",
    )


class Checked(nn.Module):
    """A net that looks at what it is fed before it runs: for tests.

    Parameters
    ----------
    net : Module
        Takes values and masks, as `check_window` does.
    quantities : tuple of Quantity
        What its channels are.
    """

    def __init__(self, net: nn.Module, quantities: tuple[Quantity, ...]) -> None:
        super().__init__()
        self.net = net
        self.quantities = quantities

    def forward(self, values: Tensor, masks: Tensor) -> object:
        """What the net gives, of values that passed `check_window`."""
        check_window(values, masks, self.quantities)
        return self.net(values, masks)
