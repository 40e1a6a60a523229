"""What a network's channels are: names, units, scalings and plausible ranges. Without PyTorch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from fluxkernels.errors import SettingsError


@dataclass(frozen=True)
class Quantity:
    """One channel.

    Parameters
    ----------
    name : str
        Such as ``"wind_speed"``.
    units : str
        Of the value outside the net.
    offset, scale : float
        A net works with (value - offset) / scale.
    lowest, highest : float
        Bounds of a plausible value, in `units`.

    Raises
    ------
    SettingsError
        Where the numbers are not finite, the scale is not positive or the bounds cross.
    """

    name: str
    units: str
    offset: float
    scale: float
    lowest: float
    highest: float

    def __post_init__(self) -> None:
        numbers = (self.offset, self.scale, self.lowest, self.highest)
        if not all(map(math.isfinite, numbers)) or self.scale <= 0 or self.lowest >= self.highest:
            raise SettingsError(
                f"offset, scale, lowest and highest are {numbers}.",
                self.name,
                "Give finite numbers, a positive scale, and lowest below highest.",
            )

    def scaled(self, values: Any) -> Any:
        """Values in `units` as a net takes them: an array, or a tensor, of any shape."""
        return (values - self.offset) / self.scale


@dataclass(frozen=True)
class Vocabulary:
    """What goes into a net and what comes out, in the order of its channels.

    Parameters
    ----------
    predictors, outputs : tuple of Quantity
    """

    predictors: tuple[Quantity, ...]
    outputs: tuple[Quantity, ...]
