"""Where the real provider files are."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
REAL_DATA = Path(os.environ.get("FLUXFORGE_REAL_DATA", REPOSITORY.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real provider files; without it a test is skipped."""
    if not REAL_DATA.is_dir():
        pytest.skip("no real provider files here: set FLUXFORGE_REAL_DATA to their folder")
    return REAL_DATA
