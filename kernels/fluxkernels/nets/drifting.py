"""A first guess for a gap filler: what was observed nearby, carried to where it has drifted."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fluxkernels.nets.layers import wrap

_KNOTS = 13  # of a drift, from the first row to the last
_FASTER = 10.0  # weights of a few numbers each learn with steps so many times as large
_FEWEST = 1e-6  # weight of an observation that is as good as none


class Guess(NamedTuple):
    """A first guess and what it rests on.

    Parameters
    ----------
    values : Tensor, shape (B, V, H, W)
    trust : Tensor, of the same shape
        From 0, where nothing was observed anywhere near, to 1.
    """

    values: Tensor
    trust: Tensor


class DriftingMean(nn.Module):
    """Mean of what was observed about each cell, before and after, moved as weather moves.

    A convolution of the values by one of their mask (normalised convolution; Knutsson and Westin,
    1993), with learned weights for each sighting, after each was shifted along with a drift that
    depends on latitude alone: west winds carry weather half a swath a day. What is averaged is the
    departure from a background that follows the first field of context, such as SST; where nothing
    is near, the background remains.

    Parameters
    ----------
    variables : int
        Each has weights of its own; the drift is theirs together.
    lags : tuple of float
        When each sighting was made, in days from the wanted one.
    radius : (int, int)
        Cells looked at to the north and to the east, either side.
    """

    def __init__(
        self, variables: int, lags: tuple[float, ...], radius: tuple[int, int] = (5, 6)
    ) -> None:
        super().__init__()
        self.radius = radius
        self.lags = lags
        north, east = (torch.arange(-far, far + 1).abs().float() for far in radius)
        age = 4.0 * torch.tensor(lags).abs()
        # Scales to begin with that fit simulated wind, vapour, cloud and rain at 1°.
        self.north = nn.Parameter(-0.9 * north.repeat(variables, len(lags), 1) / _FASTER)
        self.east = nn.Parameter(-(age[:, None] + 0.9 * east).repeat(variables, 1, 1) / _FASTER)
        self.drift = nn.Parameter(torch.zeros(2, _KNOTS))
        self.sharpness = nn.Parameter(torch.zeros(variables, 1, 1))
        self.doubt = nn.Parameter(torch.full((variables, 1, 1), -6.0 / _FASTER))
        self.background = nn.Parameter(torch.zeros(3, variables, 1, 1))

    def forward(self, values: Tensor, masks: Tensor, ground: Tensor) -> Guess:
        """Guess the wanted day.

        Parameters
        ----------
        values : Tensor, shape (B, T, V, H, W)
            Of all sightings, 0 where there are none.
        masks : bool Tensor, of the same shape
        ground : Tensor, shape (B, 1, H, W)
            What the background follows, 0 where it is not known.

        Returns
        -------
        Guess
        """
        # Float32 throughout: a mean's last bits are the signal where all about it is alike.
        with torch.autocast(values.device.type, enabled=False):
            moved, seen = self._moved(torch.cat([values, masks], dim=2).float()).chunk(2, dim=2)
            background = self._background(ground.float())
            departures = torch.cat([moved - seen * background[:, None], seen], dim=2)
            total, share = self._spread(departures.transpose(1, 2)).chunk(2, dim=1)
            weight = ((share + _FEWEST).log() * (_FASTER * self.sharpness)[:, None]).exp()
            doubt = (_FASTER * self.doubt).exp()
            near = (share * weight).sum(dim=2)
            mean = (total * weight).sum(dim=2) / (near + doubt)
            return Guess(mean + background, near / (near + 1.0))

    def _background(self, ground: Tensor) -> Tensor:
        constant, slope, curve = self.background.unbind()
        return constant + slope * ground + curve * ground.square()

    def _moved(self, fields: Tensor) -> Tensor:
        """(B, T, C, H, W), each sighting as it would have drifted to the wanted time."""
        batch, *_, rows, columns = fields.shape
        drift = F.interpolate(
            _FASTER * self.drift[None], size=rows, mode="linear", align_corners=True
        )[0]
        lags = drift.new_tensor(self.lags)
        north, east = (drift[:, None] * lags[:, None])[..., None]
        row = torch.arange(rows, device=fields.device)[:, None] + north
        column = torch.arange(columns, device=fields.device) + east
        column = torch.remainder(column, columns).expand(-1, rows, -1)
        row = row.expand_as(column)
        # To grid_sample the middle of the first cell is -1, of the last 1; one column is added on
        # either side.
        places = torch.stack([2 * (column + 1) / (columns + 1) - 1, 2 * row / (rows - 1) - 1], -1)
        moved = F.grid_sample(
            wrap(fields.flatten(0, 1), 1),
            places.repeat(batch, 1, 1, 1),
            mode="bilinear",
            padding_mode="zeros",
            align_corners=True,
        )
        return moved.reshape(fields.shape)

    def _spread(self, fields: Tensor) -> Tensor:
        """Weighted sums about each cell: (B, 2 V, T, H, W), north and east one after the other."""
        north, east = (
            (_FASTER * x).exp().flatten(0, 1)[:, None].repeat(2, 1, 1)
            for x in (self.north, self.east)
        )
        many, (up, aside) = len(north), self.radius
        sums = F.conv2d(fields.flatten(1, 2), north[..., None], padding=(up, 0), groups=many)
        sums = F.conv2d(wrap(sums, aside), east[:, :, None], groups=many)
        return sums.reshape(fields.shape)
