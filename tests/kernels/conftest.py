"""NOAA's reference files, a plausible set of points, and physics run as it is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fluxkernels.compile import Algorithm


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


@pytest.fixture(scope="session")
def table() -> Callable[[Path], np.ndarray]:
    """Read a table with named columns, gzipped or not."""

    def read(path: Path) -> np.ndarray:
        comma = "," if ".csv" in path.name else None
        return np.genfromtxt(path, delimiter=comma, names=True, dtype=None, encoding="ascii")

    return read


@pytest.fixture(scope="session")
def in_plain_python() -> Callable[..., tuple[Any, Any]]:
    """Solve one point with the plain Python that the physics is: outputs and last state.

    What is given by name replaces what was prepared of the inputs.
    """

    def solve(physics: Algorithm, x: Any, **given: float) -> tuple[Any, Any]:
        options = physics.options
        x = physics.inputs(*(np.float64(value) for value in x))
        fixed = physics.prepare(x, options)._replace(**given)
        state, first = physics.guess(x, fixed, options), None
        for _ in range(physics.passes):
            for step in physics.steps:
                state = state._replace(**step(x, fixed, state, options)._asdict())
            first = first or physics.kept(*(getattr(state, name) for name in physics.kept._fields))
        return physics.finish(x, fixed, first, state, options), state

    return solve
