"""NOAA's reference files, and a plausible set of points."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def coare_data(real_data: Path) -> Path:
    """Folder of NOAA's own COARE input and output."""
    return real_data / "coare"


@pytest.fixture(scope="session")
def weather() -> dict[str, np.ndarray]:
    """Ten thousand plausible points: wind, sea and air temperature, specific humidity."""
    rng = np.random.default_rng(20)
    sea = rng.uniform(272.0, 304.0, 10_000)
    air = sea + rng.normal(-1.0, 2.0, sea.size)
    return {
        "wind_speed": rng.uniform(0.0, 30.0, sea.size),
        "sea_surface_temperature": sea,
        "air_temperature": air,
        "specific_humidity": 0.0038
        * np.exp(0.065 * (air - 273.15))
        * rng.uniform(0.5, 1.0, sea.size),
    }
