"""Where the real provider files are."""

from __future__ import annotations

import os
from pathlib import Path

import pyproj  # noqa: F401  before anything loads ecCodes, which brings another PROJ
import pytest

ROOT = Path(__file__).parents[1]
REAL_DATA = Path(os.environ.get("FLUXFORGE_REAL_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real provider files; without it a test is skipped."""
    if not (REAL_DATA / "rss").is_dir():
        pytest.skip(f"no real provider files at {REAL_DATA}; set FLUXFORGE_REAL_DATA to theirs")
    return REAL_DATA
