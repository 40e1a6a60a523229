"""The kernels' loops use the whole width of a processor's registers."""

from __future__ import annotations

import llvmlite.binding as llvm
import numpy as np
import pytest
from numba.core import decorators

from fluxkernels.intrinsics import get, in_widest_registers, put


def doubled_wide(array: np.ndarray, count: int) -> None:
    in_widest_registers()
    for i in range(count):
        put(array, i, get(array, i) * get(array, i))


def test_loops_are_vectorised_as_wide_as_avx512_allows() -> None:
    if not llvm.get_host_cpu_features().get("avx512f"):
        pytest.skip("a processor without AVX-512 has no wider registers than those it uses")
    compiled = decorators.njit(doubled_wide)
    values = np.arange(100.0)
    compiled(values, 100)
    np.testing.assert_array_equal(values, np.arange(100.0) ** 2)
    (code,) = compiled.inspect_asm().values()
    assert "vmulpd" in code and "zmm" in code
