"""Land on the 0.25° grid, as the providers' maps have it.

The land fraction of each cell was counted once in the 30-arc-second mask of the package
``global-land-mask`` (from the GLOBE elevation model) and is kept in ``land_fraction.npz`` in
sixteenths. ``python -m fluxrecipes.nature.land`` makes the file again.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

_FILE = Path(__file__).with_name("land_fraction.npz")
_SHAPE = (720, 1440)
# Above this land fraction RSS's maps and OISST call a cell land: the counts of land cells of
# one real map of each (350,547 and 345,650) are met within 1 %.
_RSS_LAND, _OISST_LAND = 0.28, 0.45


@lru_cache(maxsize=1)
def land_fraction() -> NDArray[np.float32]:
    """Land fraction of each cell, shape (720, 1440), from 89.875 S and 0.125 E."""
    with np.load(_FILE) as stored:
        fraction: NDArray[np.float32] = (stored["sixteenths"] / 16.0).astype(np.float32)
    return fraction


@lru_cache(maxsize=1)
def rss_land() -> Mask:
    """Cells with code 255 in RSS maps, shape (720, 1440)."""
    return land_fraction() > _RSS_LAND


@lru_cache(maxsize=1)
def oisst_land() -> Mask:
    """Cells without SST in OISST files, shape (720, 1440)."""
    return land_fraction() > _OISST_LAND


@lru_cache(maxsize=1)
def rss_coast() -> Mask:
    """Sea cells whose microwave footprint catches land (code 253), shape (720, 1440)."""
    fraction = land_fraction()
    wide = np.pad(fraction, ((1, 1), (0, 0)), mode="edge")
    along = (wide[:-2] + wide[1:-1] + wide[2:]) / 3.0
    around = (np.roll(along, 1, axis=1) + along + np.roll(along, -1, axis=1)) / 3.0
    return np.asarray((around > 0.12) & ~rss_land())


@lru_cache(maxsize=1)
def sea_cells() -> Mask:
    """Cells of the 1° grid that are not wholly land, shape (180, 360)."""
    return np.asarray(~rss_land().reshape(180, 4, 360, 4).all(axis=(1, 3)))


def derive() -> NDArray[np.uint8]:
    """Count the land fraction anew, in sixteenths, shape (720, 1440).

    Takes some 2 GB of memory and the package ``global-land-mask``.
    """
    from global_land_mask import globe

    count = np.zeros(_SHAPE)
    within = (np.arange(30) + 0.5) / 120.0
    longitude = np.mod(np.arange(1440)[:, None] * 0.25 + within + 180.0, 360.0) - 180.0
    for row in range(_SHAPE[0]):
        latitude = -90.0 + 0.25 * row + within
        land = globe.is_land(latitude[:, None], longitude.reshape(1, -1))
        count[row] = land.reshape(30, 1440, 30).mean(axis=(0, 2))
    return np.round(16.0 * count).astype(np.uint8)


if __name__ == "__main__":
    np.savez_compressed(_FILE, sixteenths=derive())
