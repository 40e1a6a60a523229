"""What some stages share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import xarray as xr


def aligned(*arrays: xr.DataArray) -> tuple[xr.DataArray, ...]:
    """Arrays broadcast to one another, dimensions as in the first."""
    import xarray as xr

    return tuple(a.transpose(*arrays[0].dims) for a in xr.broadcast(*arrays))
