"""Convolution over the whole field at once, in the spectrum (Li et al., 2021).

Longitude is periodic, as the transform takes it to be. Latitude is not: transformed as it is, the
north would touch the south, and a border of zeros would make a cliff. The field is therefore
continued evenly (mirrored at its last row), so that it goes on without a jump. The mirror image is
added after longitude is transformed and cut to the modes kept, where it costs little.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fluxkernels.errors import ShapeError


class SpectralConv2d(nn.Module):
    """Mixes channels of each of the largest waves of a field by a matrix of its own.

    Amplitudes are taken free of the grid's size (a wave of amplitude 1 has it on any grid), so
    the weights mean the same on a finer one.

    Parameters
    ----------
    inputs, outputs : int
        Channels.
    modes : tuple of int
        Waves kept in latitude (of the mirrored field, in either direction) and longitude.
    """

    def __init__(self, inputs: int, outputs: int, modes: tuple[int, int]) -> None:
        super().__init__()
        self.modes = modes
        scale = 1.0 / (inputs * outputs) ** 0.5
        # Real and imaginary part last: a real tensor passes through any dtype and file.
        self.weight = nn.Parameter(scale * torch.randn(inputs, outputs, 2 * modes[0], modes[1], 2))

    def forward(self, field: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H, W), in float32 also where autocast rules.

        Raises
        ------
        ShapeError
            Where the field has fewer waves than are kept.
        """
        (north, east), (rows, columns) = self.modes, field.shape[-2:]
        if rows < north or columns // 2 < east:
            raise ShapeError(
                f"a field of {rows} × {columns} cells holds no {north} × {east} modes.",
                "fields",
                f"Keep at most {rows} × {columns // 2}, or use a larger field.",
            )
        with torch.autocast(field.device.type, enabled=False):
            waves = torch.fft.rfft(field.float(), dim=-1, norm="forward")[..., :east]
            waves = torch.cat([waves, waves.flip(-2)], dim=-2)
            waves = torch.fft.fft(waves, dim=-2, norm="forward")
            waves = torch.cat([waves[..., :north, :], waves[..., -north:, :]], dim=-2)
            matrix = torch.view_as_complex(self.weight.float())
            # Thousands of tiny products, for which a sum is much quicker than matrix products.
            mixed = (waves[:, :, None] * matrix).sum(dim=1)
            between = mixed.new_zeros(*mixed.shape[:2], 2 * (rows - north), east)
            mixed = torch.cat([mixed[..., :north, :], between, mixed[..., north:, :]], dim=-2)
            mixed = torch.fft.ifft(mixed, dim=-2, norm="forward")[..., :rows, :]
            result: Tensor = torch.fft.irfft(mixed, n=columns, dim=-1, norm="forward")
            return result


class FourierLayer(nn.Module):
    """Spectral convolution for the large scales beside a 1×1 convolution for the rest.

    Parameters
    ----------
    channels : int
        In and out.
    modes : tuple of int
        As in `SpectralConv2d`.
    """

    def __init__(self, channels: int, modes: tuple[int, int]) -> None:
        super().__init__()
        self.large = SpectralConv2d(channels, channels, modes)
        self.local = nn.Conv2d(channels, channels, 1)

    def forward(self, field: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        large: Tensor = self.large(field)
        bent: Tensor = F.gelu(large + self.local(field))
        return bent
