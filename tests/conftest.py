"""Where the real provider files are, and that no property depends on the clock."""

from __future__ import annotations

import os
from pathlib import Path

import pyproj  # noqa: F401  before anything loads ecCodes, which brings another PROJ
import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).parents[1]
REAL_DATA = Path(os.environ.get("FLUXFORGE_REAL_DATA", ROOT.parent / "shared" / "data"))

# A crowded machine is no fault of what is tested.
settings.register_profile("any-speed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-speed")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real provider files; without it a test is skipped."""
    if not (REAL_DATA / "rss").is_dir():
        pytest.skip(f"no real provider files at {REAL_DATA}; set FLUXFORGE_REAL_DATA to theirs")
    return REAL_DATA
