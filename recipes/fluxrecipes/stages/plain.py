"""What most stages share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fluxengine.grid import Halo

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True)
class PlainStage:
    """A stage with no halo and no weights."""

    @property
    def halo(self) -> Halo:
        """None."""
        return Halo()

    @property
    def weights(self) -> tuple[Path, ...]:
        """None."""
        return ()


def aligned(*arrays: xr.DataArray) -> tuple[xr.DataArray, ...]:
    """Arrays broadcast to one another, dimensions as in the first."""
    import xarray as xr

    return tuple(a.transpose(*arrays[0].dims) for a in xr.broadcast(*arrays))
