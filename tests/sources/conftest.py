"""Fields that could be the Earth's. Helpers beside these tests can be imported by their names."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))


def smooth(mean: float, amplitude: float, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """A wavy field (..., lat, lon) with about the mean, other in each step."""
    *front, rows, columns = shape
    lat = np.linspace(-np.pi, np.pi, rows)[:, np.newaxis]
    lon = np.linspace(0, 2 * np.pi, columns, endpoint=False)
    steps = np.arange(np.prod(front, dtype=int)).reshape(*front, 1, 1) + seed
    return mean + amplitude * np.sin(lat + 0.3 * steps) * np.cos(3 * lon + steps)


@pytest.fixture(scope="session")
def field() -> Callable[..., np.ndarray]:
    return smooth
