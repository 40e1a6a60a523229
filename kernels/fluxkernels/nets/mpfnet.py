"""MPFNet: reads values at points out of whole fields.

After the network of Wang, Wang and Li (IEEE TGRS, 2025): a matrix encoder sees the patterns of the
whole field at several scales, a point encoder the values at the target point, and both are fused.
The field is encoded once and may then be read anywhere, at a thousand points drawn for training or
at all cells of the grid. With wind, vapour and SST in and air temperature and humidity out it is a
retrieval; with fluxes in and out, a correction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fluxkernels.errors import SettingsError, ShapeError
from fluxkernels.nets.fourier import FourierLayer
from fluxkernels.nets.layers import ResidualMLP, in_float32, known, wrap

_WIDEST = 7.0  # of a log variance: errors from 1/33 of the scale to 33 times
_AT_ONCE = 4096  # points


@dataclass(frozen=True)
class MPFNetSettings:
    """What an MPFNet is built from.

    Parameters
    ----------
    predictors, outputs : int
        Fields that come in, and values that are read at a point.
    width : int
        Channels of the matrix encoder.
    levels : int
        Scales at which it looks, each half as fine as the one before.
    modes : tuple of int
        Waves in latitude and longitude that a Fourier layer keeps, at every level; 1 or more.
    reduced : int
        Channels of a level's map that are sampled at the points.
    history : int
        Days of values at the point, the present one included.
    point : int
        Width of point encoder and fusion.
    blocks : int
        Residual layers in either.
    position : bool
        Whether the net is told latitude and longitude.
    south, north, west : float
        Edges of the grid, degrees. Rows go from south to north, columns once around the globe
        eastward from `west`.

    Raises
    ------
    SettingsError
        Where these contradict each other.
    """

    predictors: int
    outputs: int
    width: int = 24
    levels: int = 3
    modes: tuple[int, int] = (12, 24)
    reduced: int = 16
    history: int = 1
    point: int = 64
    blocks: int = 2
    position: bool = True
    south: float = -60.0
    north: float = 60.0
    west: float = 0.0

    def __post_init__(self) -> None:
        counts = (self.predictors, self.outputs, self.width, self.levels, self.history, self.point)
        if min(counts) < 1:
            raise SettingsError("every number of channels, levels and days must be 1 or more.")
        if len(self.modes) != 2 or min(self.modes) < 1:
            raise SettingsError(
                f"modes are {list(self.modes)}.",
                "MPFNetSettings",
                "Keep one wave or more in latitude, and one or more in longitude.",
            )
        if not -90.0 <= self.south < self.north <= 90.0:
            raise SettingsError(
                f"a grid from {self.south} to {self.north} degrees north.", "MPFNetSettings"
            )


class Reading(NamedTuple):
    """What is read at points: a Gaussian for each output, in the outputs' scaled units.

    Parameters
    ----------
    mean, log_variance : Tensor, shape (B, N, outputs), or (B, outputs, H, W) of a whole grid
    """

    mean: Tensor
    log_variance: Tensor


class MPFNet(nn.Module):
    """Encodes fields once, and reads them at points.

    Parameters
    ----------
    settings : MPFNetSettings
    """

    def __init__(self, settings: MPFNetSettings) -> None:
        super().__init__()
        s = self.settings = settings
        self.lift = nn.Conv2d(2 * s.predictors, s.width, 1)
        self.layers = nn.ModuleList(FourierLayer(s.width, s.modes) for _ in range(s.levels))
        # Narrowed before they are sampled: interpolation at all points is what costs.
        self.narrow = nn.ModuleList(nn.Conv2d(s.width, s.reduced, 1) for _ in range(s.levels))
        inputs = s.history * s.predictors * 2 + (3 if s.position else 0)
        self.point = _residual(inputs, s.point, s.blocks)
        self.fuse = nn.Linear(s.levels * s.reduced + s.point, s.point)
        self.fusion = nn.Sequential(*(ResidualMLP(s.point) for _ in range(s.blocks)))
        self.head = nn.Linear(s.point, 2 * s.outputs)

    def encode(self, fields: Tensor, masks: Tensor) -> tuple[Tensor, ...]:
        """Feature maps of a whole field, to be read at any number of points.

        Parameters
        ----------
        fields : Tensor, shape (B, predictors, H, W)
            Scaled values. Under a mask of False they have no influence and may be NaN.
        masks : bool Tensor, shape (B, predictors, H, W)
            True where there is a value.

        Returns
        -------
        tuple of Tensor, shapes (B, reduced, H / 2**level, W / 2**level)

        Raises
        ------
        ShapeError
            Where the shapes are not those, or the grid cannot be halved evenly often enough.
        """
        self._check(fields, axes=4)
        field = self.lift(_with_masks(fields, masks, 1))
        maps = []
        for level, (layer, narrow) in enumerate(zip(self.layers, self.narrow, strict=True)):
            field = layer(F.avg_pool2d(field, 2) if level else field)
            maps.append(narrow(field))
        return tuple(maps)

    def read(
        self,
        maps: tuple[Tensor, ...],
        latitude: Tensor,
        longitude: Tensor,
        points: Tensor,
        masks: Tensor,
    ) -> Reading:
        """Read at points.

        Parameters
        ----------
        maps : tuple of Tensor
            What `encode` gave.
        latitude, longitude : Tensor, shape (B, N)
            Degrees north and east; longitude in any turn. Poleward of the grid's outermost rows
            the maps are read at these rows.
        points : Tensor, shape (B, N, history, predictors)
            Scaled values at the points, the present day last.
        masks : bool Tensor, shape (B, N, history, predictors)
            True where there is a value.

        Returns
        -------
        Reading
            Means and log variances, shape (B, N, outputs).

        Raises
        ------
        ShapeError
            Where points or masks are not of these shapes.
        """
        s = self.settings
        wanted = (*latitude.shape, s.history, s.predictors)
        if not points.shape == masks.shape == wanted or longitude.shape != latitude.shape:
            raise ShapeError(
                f"points are {tuple(points.shape)}, their masks {tuple(masks.shape)}, latitude "
                f"{tuple(latitude.shape)} and longitude {tuple(longitude.shape)}.",
                "points",
                f"Give points and masks of shape (batch, points, {s.history}, {s.predictors}).",
            )
        # Few at a time, so that their values stay in a processor's cache; a GPU wants many.
        given = (latitude, longitude, points, masks)
        some = max(latitude.shape[1], 1) if latitude.is_cuda else _AT_ONCE
        parts = zip(*(torch.split(x, some, dim=1) for x in given), strict=True)
        # Bfloat16 could not even tell the columns apart.
        around = tuple(wrap(field, 1).float() for field in maps)
        read = [self._read(around, *part) for part in parts]
        return Reading(*(torch.cat(side, dim=1) for side in zip(*read, strict=True)))

    def _read(
        self,
        maps: tuple[Tensor, ...],
        latitude: Tensor,
        longitude: Tensor,
        points: Tensor,
        masks: Tensor,
    ) -> Reading:
        around = [self._sampled(field, latitude, longitude) for field in maps]
        values = _with_masks(points, masks, 3).flatten(2)
        if self.settings.position:
            values = torch.cat([values, _position(latitude, longitude)], dim=-1)
        here = self.point(values)
        fused = self.fusion(here + self.fuse(torch.cat([*around, here], dim=-1)))
        mean, spread = in_float32(self.head, fused).chunk(2, dim=-1)
        # Held within bounds smoothly, so that the gradient leads back from anywhere.
        return Reading(mean, _WIDEST * torch.tanh(spread / _WIDEST))

    def forward(self, values: Tensor, masks: Tensor, wanted: Tensor | None = None) -> Reading:
        """Read at every cell of the grid, or at some.

        Parameters
        ----------
        values : Tensor, shape (B, history, predictors, H, W)
            Scaled values, the present day last. Under a mask of False they have no influence.
        masks : bool Tensor, shape (B, history, predictors, H, W)
            True where there is a value.
        wanted : bool Tensor, shape (B, H, W), optional
            True where it is to be read. Cells that no field wants take no time.

        Returns
        -------
        Reading
            Means and log variances, shape (B, outputs, H, W); NaN where no field wants any.
        """
        self._check(values, axes=5)
        batch, (rows, columns) = len(values), values.shape[-2:]
        if wanted is None:
            at = torch.arange(rows * columns, device=values.device)
        else:
            at = wanted.any(dim=0).flatten().nonzero()[:, 0]
        latitude, longitude = (where[at].expand(batch, -1) for where in self.cells(values))
        points, seen = (x.flatten(3)[..., at].permute(0, 3, 1, 2) for x in (values, masks))
        maps = self.encode(values[:, -1], masks[:, -1])
        found = []
        for told in self.read(maps, latitude, longitude, points, seen):
            cells = told.new_full((batch, self.settings.outputs, rows * columns), torch.nan)
            cells = cells.index_copy(2, at, told.transpose(1, 2))
            found.append(cells.reshape(batch, -1, rows, columns))
        return Reading(*found)

    def cells(self, fields: Tensor) -> tuple[Tensor, Tensor]:
        """Latitude and longitude of the cells' middles, degrees.

        Parameters
        ----------
        fields : Tensor, shape (..., H, W)
            Any fields on the grid.

        Returns
        -------
        latitude, longitude : float32 Tensor, shape (H · W,)
            Row by row.
        """
        s, (rows, columns) = self.settings, fields.shape[-2:]
        height, width = (s.north - s.south) / rows, 360.0 / columns
        row = torch.arange(rows, device=fields.device, dtype=torch.float32) + 0.5
        column = torch.arange(columns, device=fields.device, dtype=torch.float32) + 0.5
        latitude, longitude = torch.meshgrid(
            s.south + height * row, s.west + width * column, indexing="ij"
        )
        return latitude.flatten(), longitude.flatten()

    def _sampled(self, field: Tensor, latitude: Tensor, longitude: Tensor) -> Tensor:
        """Interpolate (B, C, h, w + 2), a column more on either side, at points: (B, N, C)."""
        s, rows, columns = self.settings, field.shape[-2], field.shape[-1] - 2
        row = (latitude - s.south) / (s.north - s.south) * rows - 0.5
        column = torch.remainder((longitude - s.west) / 360.0, 1.0) * columns - 0.5
        # To grid_sample the middle of the first cell is -1 and that of the last 1; beyond the
        # outermost rows the border's values go on.
        where = torch.stack([2 * (column + 1) / (columns + 1) - 1, 2 * row / (rows - 1) - 1], -1)
        sampled = F.grid_sample(
            field,
            where[:, None],
            mode="bilinear",
            padding_mode="border",
            align_corners=True,
        )
        return sampled[:, :, 0].transpose(1, 2)

    def _check(self, fields: Tensor, axes: int) -> None:
        s = self.settings
        days = () if axes == 4 else (s.history,)
        if fields.ndim != axes or fields.shape[1:-2] != (*days, s.predictors):
            raise ShapeError(
                f"fields are {tuple(fields.shape)}.",
                "fields",
                f"Give them as (batch, {', '.join(map(str, (*days, s.predictors)))}, latitude, "
                "longitude).",
            )
        coarsest = 2 ** (s.levels - 1)
        rows, columns = fields.shape[-2:]
        if rows % coarsest or columns % coarsest or rows < 2 * coarsest:
            raise ShapeError(
                f"{rows} × {columns} cells cannot be halved evenly {s.levels - 1} times.",
                "fields",
                f"Use a grid whose rows and columns are multiples of {coarsest}, two rows or more "
                "at the coarsest level.",
            )


def _residual(inputs: int, width: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, width), *(ResidualMLP(width) for _ in range(blocks)))


def _with_masks(values: Tensor, masks: Tensor, axis: int) -> Tensor:
    """Values, 0 where there is none, and beside them where there are."""
    there = known(values, masks)
    return torch.cat([there, masks.to(there.dtype)], dim=axis)


def _position(latitude: Tensor, longitude: Tensor) -> Tensor:
    """Where a point is, without a jump at any meridian: (B, N) to (B, N, 3)."""
    north, east = torch.deg2rad(latitude), torch.deg2rad(longitude)
    return torch.stack([torch.sin(north), torch.sin(east), torch.cos(east)], dim=-1)
