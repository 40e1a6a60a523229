"""Daily bytemaps of Remote Sensing Systems, filled with what a simulated satellite sees.

Layers, packing, the order of the maps and the names are those of the sources' declaration, so
that what is written cannot differ from what is read.
"""

from __future__ import annotations

from datetime import date
from functools import partial
from pathlib import Path

import numpy as np
from isal import igzip, isal_zlib

from fluxrecipes.nature import instruments
from fluxrecipes.nature.files.kinds import Daily, whole
from fluxrecipes.nature.orbits import Pass, Satellite
from fluxrecipes.nature.world import World


def path(satellite: Satellite, root: Path, day: date) -> Path:
    """Where the provider keeps a satellite's map of a day."""
    return root / "rss" / satellite.instrument.path(day)


def daily_maps(satellite: Satellite) -> Daily:
    """The daily maps of a satellite."""
    return Daily(
        f"rss-{satellite.name}",
        partial(path, satellite),
        partial(_write_day, satellite),
        satellite.flies,
    )


def _write_day(satellite: Satellite, world: World, root: Path, day: date) -> None:
    with whole(path(satellite, root, day)) as part:
        write(world, part, satellite, day)


def write(world: World, path: Path, satellite: Satellite, day: date) -> None:
    """Write one day of a satellite: both passes, the one that the provider puts first ahead."""
    passes: tuple[Pass, ...] = ("ascending", "descending")
    ascending_first = satellite.instrument.first_map == "ascending"
    maps = [
        instruments.pass_map(world, satellite, np.datetime64(day), which)
        for which in (passes if ascending_first else passes[::-1])
    ]
    level = isal_zlib.ISAL_DEFAULT_COMPRESSION  # one higher takes longer for files no smaller
    path.write_bytes(igzip.compress(np.stack(maps).tobytes(), level, mtime=0))
