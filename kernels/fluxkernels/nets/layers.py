"""Building blocks of the networks, on fields that are periodic in longitude.

Shapes are (B, C, H, W): batch, channel, latitude, longitude; in three dimensions (B, C, T, H, W).
Beyond the first and last row a field continues with 0. That is what a missing value is too: both
say that nothing is known there.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from fluxkernels.errors import DtypeError, ShapeError

# A gate at 2e-9 is shut. Numbers that go on shrinking below 1e-38 slow a CPU down many times.
_SHUT = 20.0


def wrap(field: Tensor, columns: int) -> Tensor:
    """Continue a field around the globe on both sides.

    Parameters
    ----------
    field : Tensor, shape (..., W)
    columns : int
        How many to add on each side, at most W.

    Returns
    -------
    Tensor, shape (..., W + 2 columns)

    Raises
    ------
    ShapeError
        Where the field is narrower than `columns`.
    """
    width = field.shape[-1]
    if columns > width:
        raise ShapeError(
            f"a layer looks {columns} columns east and west, and the field has {width}.",
            "longitude",
            "Use a wider field, or smaller kernels and dilations.",
        )
    if columns == 0:
        return field
    return torch.cat([field[..., -columns:], field, field[..., :columns]], dim=-1)


def upsample(field: Tensor, factor: int) -> Tensor:
    """Interpolate bilinearly to a grid `factor` times as fine, across the date line as elsewhere.

    Parameters
    ----------
    field : Tensor, shape (B, C, H, W)
    factor : int

    Returns
    -------
    Tensor, shape (B, C, factor H, factor W)
    """
    if factor == 1:
        return field
    fine = F.interpolate(wrap(field, 1), scale_factor=factor, mode="bilinear")
    return fine[..., factor:-factor]


def known(values: Tensor, masks: Tensor) -> Tensor:
    """Values where there are any, else 0.

    Chosen, not multiplied: what lies under a mask may be NaN.

    Parameters
    ----------
    values : Tensor
    masks : bool Tensor, of the same shape
        True where there is a value.

    Returns
    -------
    Tensor, of the same shape

    Raises
    ------
    ShapeError
        Where the shapes differ.
    DtypeError
        Where the masks are not boolean.
    """
    if values.shape != masks.shape:
        raise ShapeError(
            f"values are {tuple(values.shape)} and masks {tuple(masks.shape)}.",
            "masks",
            "Give one mask a value.",
        )
    if masks.dtype != torch.bool:
        raise DtypeError(
            f"masks are {masks.dtype}.", "masks", "Pass booleans, True where there is a value."
        )
    return torch.where(masks, values, 0.0)


def in_float32(layer: nn.Module, field: Tensor) -> Tensor:
    """Apply a net's last layer in float32 also where autocast rules.

    bfloat16 knows a value to 1 part in 256 only: of an air temperature scaled by 10 K, to 0.1 K.
    """
    with torch.autocast(field.device.type, enabled=False):
        values: Tensor = layer(field.float())
        return values


class PeriodicConv2d(nn.Conv2d):
    """Convolution that keeps the size: periodic in longitude, 0 beyond the first and last row.

    Parameters
    ----------
    inputs, outputs : int
        Channels.
    kernel : int
        Odd width of the square kernel.
    dilation : int
        Cells between the kernel's points.
    bias : bool
        Whether a constant is added.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 3, dilation: int = 1, bias: bool = True
    ) -> None:
        self.reach = dilation * (kernel // 2)
        super().__init__(
            inputs, outputs, kernel, padding=(self.reach, 0), dilation=dilation, bias=bias
        )

    def forward(self, field: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H, W)."""
        return super().forward(wrap(field, self.reach))


class PeriodicConv3d(nn.Conv3d):
    """As `PeriodicConv2d`, with the same kernel along time; 0 before the first and after the last.

    Parameters
    ----------
    inputs, outputs : int
        Channels.
    kernel : int
        Odd width of the cubic kernel.
    bias : bool
        Whether a constant is added.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, bias: bool = True) -> None:
        self.reach = kernel // 2
        super().__init__(inputs, outputs, kernel, padding=(self.reach, self.reach, 0), bias=bias)

    def forward(self, field: Tensor) -> Tensor:
        """(B, inputs, T, H, W) to (B, outputs, T, H, W)."""
        around = wrap(field, self.reach)
        return super().forward(around) if field.is_cuda else self._by_days(around)

    def _by_days(self, field: Tensor) -> Tensor:
        """In two dimensions, days around each as channels: on a CPU in an eighth of the time."""
        batch, _, steps = field.shape[:3]
        days = F.pad(field.movedim(2, 1), (0, 0, 0, 0, 0, 0, self.reach, self.reach))
        around = [days[:, day : day + steps] for day in range(2 * self.reach + 1)]
        weight = self.weight.movedim(2, 1).flatten(1, 2)
        given = torch.cat(around, dim=2).flatten(0, 1)
        made = F.conv2d(given, weight, self.bias, padding=(self.reach, 0))
        return made.reshape(batch, steps, *made.shape[1:]).movedim(1, 2)


class ConvLSTMCell(nn.Module):
    """Long short-term memory whose gates are convolutions (Shi et al., 2015; no peepholes).

    Parameters
    ----------
    inputs, hidden : int
        Channels of what comes in and of the state.
    kernel : int
        Odd width of the kernels.
    """

    def __init__(self, inputs: int, hidden: int, kernel: int = 3) -> None:
        super().__init__()
        self.hidden = hidden
        self.inward = PeriodicConv2d(inputs, 4 * hidden, kernel)
        self.recurrent = PeriodicConv2d(hidden, 4 * hidden, kernel, bias=False)
        with torch.no_grad():  # remember by default: else gradients fade over the window
            assert self.inward.bias is not None
            self.inward.bias[hidden : 2 * hidden] += 1.0

    def forward(self, series: Tensor) -> Tensor:
        """Run along time from an empty state.

        Parameters
        ----------
        series : Tensor, shape (B, T, inputs, H, W)

        Returns
        -------
        Tensor, shape (B, T, hidden, H, W)
            A step depends on itself and the steps before it only.
        """
        batch, steps = series.shape[:2]
        # What comes in does not wait for the state: one convolution serves all steps.
        inward = self.inward(series.flatten(0, 1)).unflatten(0, (batch, steps))
        memory: Tensor | None = None
        states: list[Tensor] = []
        for step in range(steps):
            gates = inward[:, step]
            if states:
                gates = gates + self.recurrent(states[-1])
            state, memory = self._step(gates, memory)
            states.append(state)
        return torch.stack(states, dim=1)

    @staticmethod
    def _step(gates: Tensor, memory: Tensor | None) -> tuple[Tensor, Tensor]:
        enter, keep, show, candidate = gates.clamp(-_SHUT, _SHUT).chunk(4, dim=1)
        fresh = torch.sigmoid(enter) * torch.tanh(candidate)
        memory = fresh if memory is None else torch.sigmoid(keep) * memory + fresh
        return torch.sigmoid(show) * torch.tanh(memory), memory


class ConvLSTM(nn.Sequential):
    """Stack of `ConvLSTMCell`, each reading the states of the one before.

    Parameters
    ----------
    inputs : int
        Channels of what comes in.
    hidden : sequence of int
        Channels of each cell's state.
    kernel : int
        Odd width of the kernels.
    """

    def __init__(self, inputs: int, hidden: Sequence[int], kernel: int = 3) -> None:
        widths = [inputs, *hidden]
        super().__init__(
            *(ConvLSTMCell(a, b, kernel) for a, b in zip(widths, hidden, strict=False))
        )


class ResidualBlock(nn.Module):
    """Two convolutions beside a 1×1 skip, with Tanh.

    Parameters
    ----------
    inputs, outputs : int
        Channels.
    dimensions : int
        2 for (B, C, H, W), 3 for (B, C, T, H, W).
    spectral : bool
        Keep the convolutions' scale by spectral normalisation, instead of batch normalisation.
    """

    def __init__(
        self, inputs: int, outputs: int, dimensions: int = 2, spectral: bool = False
    ) -> None:
        super().__init__()
        self.first = _bounded(inputs, outputs, dimensions, spectral)
        self.second = _bounded(outputs, outputs, dimensions, spectral)
        self.skip = _convolution(inputs, outputs, dimensions, kernel=1)

    def forward(self, field: Tensor) -> Tensor:
        """(B, inputs, ...) to (B, outputs, ...), each within -1 to 1."""
        inner = self.second(torch.tanh(self.first(field)))
        return torch.tanh(inner + self.skip(field))


def _convolution(
    inputs: int, outputs: int, dimensions: int, kernel: int = 3, bias: bool = True
) -> nn.Module:
    if dimensions == 3:
        return PeriodicConv3d(inputs, outputs, kernel, bias=bias)
    return PeriodicConv2d(inputs, outputs, kernel, bias=bias)


def _bounded(inputs: int, outputs: int, dimensions: int, spectral: bool) -> nn.Module:
    """A convolution whose output's scale is kept in bounds."""
    if spectral:
        bounded: nn.Module = spectral_norm(_convolution(inputs, outputs, dimensions))
        return bounded
    norm = nn.BatchNorm3d if dimensions == 3 else nn.BatchNorm2d
    # Batch normalisation takes off any constant, so none is added before it.
    return nn.Sequential(
        _convolution(inputs, outputs, dimensions, bias=False),
        norm(outputs),
    )


class SqueezeExcitation(nn.Module):
    """Weights for the channels from their global means (Hu et al., 2018), by softmax.

    The weights are scaled to a mean of 1: softmax alone would shrink the field by the number of
    channels.

    Parameters
    ----------
    channels : int
        Of the field.
    reduction : int
        The weights come from a layer of ``channels / reduction`` values, at least 4.
    """

    def __init__(self, channels: int, reduction: int = 8) -> None:
        super().__init__()
        inner = max(channels // reduction, 4)
        self.weigh = nn.Sequential(
            nn.Linear(channels, inner), nn.ReLU(), nn.Linear(inner, channels)
        )

    def forward(self, field: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        weights = torch.softmax(self.weigh(field.mean(dim=(-2, -1))), dim=-1)
        return field * (weights * weights.shape[-1])[..., None, None]


class AttentionGate(nn.Module):
    """Lets through what a coarser signal asks for, cell by cell (Oktay et al., 2018).

    Parameters
    ----------
    skip, signal : int
        Channels of the field to gate and of the signal.
    inner : int
        Channels in which both are compared.
    """

    def __init__(self, skip: int, signal: int, inner: int) -> None:
        super().__init__()
        self.of_skip = nn.Conv2d(skip, inner, 1)
        self.of_signal = nn.Conv2d(signal, inner, 1, bias=False)
        self.score = nn.Conv2d(inner, 1, 1)

    def forward(self, skip: Tensor, signal: Tensor) -> Tensor:
        """(B, skip, H, W) and (B, signal, H, W) to (B, skip, H, W)."""
        score = self.score(torch.relu(self.of_skip(skip) + self.of_signal(signal)))
        return skip * torch.sigmoid(score)


class ASPP(nn.Module):
    """Atrous spatial pyramid: dilated convolutions side by side, summed (Chen et al., 2018).

    Parameters
    ----------
    inputs, outputs : int
        Channels.
    dilations : sequence of int
        One branch each.
    """

    def __init__(self, inputs: int, outputs: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            PeriodicConv2d(inputs, outputs, dilation=dilation) for dilation in dilations
        )
        self.join = nn.Conv2d(outputs, outputs, 1)

    def forward(self, field: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H, W)."""
        total = self.branches[0](field)
        for branch in self.branches[1:]:
            total = total + branch(field)
        joined: Tensor = self.join(torch.relu(total))
        return joined


class PrototypeMemory(nn.Module):
    """Replaces each cell's vector by a mixture of learned prototypes, the nearest weighing most.

    Parameters
    ----------
    channels : int
        Length of a vector.
    prototypes : int
        How many there are.
    """

    def __init__(self, channels: int, prototypes: int) -> None:
        super().__init__()
        self.prototypes = nn.Parameter(torch.randn(prototypes, channels))
        # Cosines lie within -1 to 1: unsharpened, softmax would make every mixture the same.
        self.sharpness = nn.Parameter(torch.tensor(10.0))

    def forward(self, field: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        vectors = F.normalize(field.movedim(1, -1), dim=-1)
        cosines = vectors @ F.normalize(self.prototypes, dim=-1).T
        mixture: Tensor = torch.softmax(self.sharpness * cosines, dim=-1) @ self.prototypes
        return mixture.movedim(-1, 1)


class ResidualMLP(nn.Module):
    """A fully connected layer pair with a skip, for values at points.

    Parameters
    ----------
    width : int
        Values a point.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.first = nn.Linear(width, width)
        self.second = nn.Linear(width, width)

    def forward(self, points: Tensor) -> Tensor:
        """(..., width) to the same shape."""
        change: Tensor = self.second(F.gelu(self.first(self.norm(points))))
        return points + change
