"""Arrays on a GPU: torch's where there is one, stand-ins for them in Numba's simulator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fluxkernels import cuda


class OnDevice(np.ndarray):
    """An array that says it lies on a GPU, for the simulator, where there is none."""

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """Say so."""
        return {**self.__array_interface__, "version": 3}


def _libraries() -> dict[str, Callable[[Any], Any]]:
    """What brings a NumPy array to the GPU, for each library that can."""
    if cuda.SIMULATED:
        return {"simulator": lambda array: np.asarray(array).view(OnDevice)}
    libraries: dict[str, Callable[[Any], Any]] = {}
    if cuda.cuda.is_available():
        torch = pytest.importorskip("torch")
        if torch.cuda.is_available():
            libraries["torch"] = lambda array: torch.as_tensor(np.asarray(array), device="cuda")
        try:
            import cupy
        except ImportError:
            pass
        else:
            libraries["cupy"] = cupy.asarray
    return libraries


LIBRARIES = _libraries()


@pytest.fixture(params=LIBRARIES or ["none"])
def to_gpu(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    """Bring a NumPy array to the GPU."""
    if not LIBRARIES:
        pytest.skip("no GPU; `NUMBA_ENABLE_CUDASIM=1` simulates one")
    return LIBRARIES[request.param]


@pytest.fixture
def to_host() -> Callable[[Any], np.ndarray]:
    """Bring an array back."""

    def bring(array: Any) -> np.ndarray:
        if hasattr(array, "cpu"):
            return np.asarray(array.cpu())
        return np.asarray(array.get() if hasattr(array, "get") else array)

    return bring
