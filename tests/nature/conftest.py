"""A small simulated archive, made once."""

from __future__ import annotations

import gzip
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from fluxrecipes.nature import World, archive

SEED = 2018
FIRST, LAST = date(2018, 1, 31), date(2018, 2, 1)


@pytest.fixture(scope="session")
def world() -> World:
    return World(SEED)


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two days, in two months, written in this process."""
    folder = tmp_path_factory.mktemp("archive")
    return archive.simulate(folder, FIRST, LAST, seed=SEED, processes=1)


@pytest.fixture(scope="session")
def maps(root: Path) -> np.ndarray:
    """The second day's RSS map: (pass, layer, lat, lon), bytes."""
    raw = gzip.decompress(archive.rss_path(root, LAST).read_bytes())
    return np.frombuffer(raw, np.uint8).reshape(2, 5, 720, 1440)
