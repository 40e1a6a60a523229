"""Stand-ins for CuPy and its arrays: NumPy's functions work on them, and nothing brings them home.

As CuPy's do, they refuse to become NumPy arrays unasked, and to be computed with together with any.
"""

from __future__ import annotations

from typing import Any

import array_api_compat.numpy as xp
import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin


class FarArray(NDArrayOperatorsMixin):
    """An array of a GPU that is not there.

    Parameters
    ----------
    held : ndarray
    """

    fetched = 0  # how often any came to main memory
    device = "far"

    def __init__(self, held: np.ndarray) -> None:
        self._held = held

    dtype = property(lambda self: self._held.dtype)
    shape = property(lambda self: self._held.shape)
    ndim = property(lambda self: self._held.ndim)
    size = property(lambda self: self._held.size)
    T = property(lambda self: FarArray(self._held.T))

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {**self._held.__array_interface__, "version": 3}

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")

    def to_numpy(self) -> np.ndarray:
        """Fetch it: what xarray calls."""
        FarArray.fetched += 1
        return self._held

    def __dlpack__(self, **how: Any) -> Any:
        return self._held.__dlpack__(**how)

    def __dlpack_device__(self) -> Any:
        return self._held.__dlpack_device__()

    def __array_namespace__(self, **_: Any) -> Any:
        return NAMESPACE

    def __len__(self) -> int:
        return len(self._held)

    def __bool__(self) -> bool:
        return bool(self._held)

    def __float__(self) -> float:
        return float(self._held)

    def __int__(self) -> int:
        return int(self._held)

    def __getitem__(self, key: Any) -> Any:
        return _far(self._held[_near(key)])

    def __setitem__(self, key: Any, value: Any) -> None:
        self._held[_near(key)] = _near(value)

    def __array_ufunc__(self, ufunc: Any, method: str, *given: Any, **how: Any) -> Any:
        return _far(getattr(ufunc, method)(*_near(given), **how))

    def __array_function__(self, function: Any, _: Any, given: Any, how: Any) -> Any:
        return _far(function(*_near(given), **_near(how)))

    def astype(self, dtype: Any, **how: Any) -> FarArray:
        return FarArray(self._held.astype(dtype, **how))

    def view(self, dtype: Any) -> FarArray:
        return FarArray(self._held.view(dtype))

    def transpose(self, *axes: Any) -> FarArray:
        return FarArray(self._held.transpose(*axes))

    def reshape(self, *shape: Any) -> FarArray:
        return FarArray(self._held.reshape(*shape))


class _Namespace:
    """Functions of the array standard, on far arrays."""

    def __getattr__(self, name: str) -> Any:
        found = getattr(xp, name)
        if isinstance(found, type) or name == "isdtype" or not callable(found):
            return found

        def function(*given: Any, device: Any = None, **how: Any) -> Any:
            return _far(found(*_near(given), **_near(how)))

        return function


NAMESPACE = _Namespace()


def asarray(values: Any) -> FarArray:
    """As `cupy.asarray`: a copy, unless it is there."""
    return values if isinstance(values, FarArray) else FarArray(np.array(values))


def from_dlpack(tensor: Any) -> FarArray:
    """As `cupy.from_dlpack`: no copy."""
    return FarArray(tensor.numpy())


def _far(made: Any) -> Any:
    if isinstance(made, np.ndarray) and made.ndim:
        return FarArray(made)
    return type(made)(_far(one) for one in made) if isinstance(made, (list, tuple)) else made


def _near(given: Any) -> Any:
    if isinstance(given, FarArray):
        return given._held
    if isinstance(given, np.ndarray) and given.ndim:
        raise TypeError("Unsupported type <class 'numpy.ndarray'>")
    if isinstance(given, (list, tuple)):
        return type(given)(_near(one) for one in given)
    return {k: _near(v) for k, v in given.items()} if isinstance(given, dict) else given
