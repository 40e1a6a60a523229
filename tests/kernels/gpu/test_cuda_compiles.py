"""The kernels compile to the GPU's assembly, on a computer without a GPU, too."""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import Any

import pytest

from fluxkernels import cuda, thermodynamics, warm_layer
from fluxkernels.bulk import all_arguments, physics_for
from fluxkernels.limits import conversions
from fluxkernels.surface_layer import Inputs
from fluxkernels.thermodynamics import Moisture


@pytest.fixture(autouse=True)
def hopper(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compile for compute capability 9.0, whatever is here."""
    if cuda.SIMULATED or find_spec("numba_cuda") is None:
        pytest.skip("numba-cuda is not installed; `make gpu` installs it")
    from numba.cuda import dispatcher

    card = type("Card", (), {"compute_capability": (9, 0)})
    monkeypatch.setattr(dispatcher, "get_current_device", lambda: card)


def assembly(physics: Any, arrays: int, dtype: str) -> str:
    """Compile a kernel whose first inputs are arrays, with all outputs."""
    from numba.cuda import compile_ptx, types

    names = physics.inputs._fields
    wanted = (True,) * len(physics.outputs._fields)
    varying = tuple(k < arrays for k in range(len(names)))
    shape = cuda.Shape(varying, wanted, tuple(conversions(names)), dtype)
    real = getattr(types, dtype)
    signature = (
        types.UniTuple(real[::1], arrays),
        types.UniTuple(real, len(names) - arrays + 1),
        types.UniTuple(real[::1], len(wanted)),
        types.int64,
    )
    quick = dtype == "float32"
    text, _ = compile_ptx(cuda.written(physics, shape), signature, cc=(9, 0), fastmath=quick)
    return str(text)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("extras", [False, True])
@pytest.mark.parametrize("algorithm", ["coare30", "coare35", "coare36", "ncar", "ecmwf"])
def test_bulk_fluxes(algorithm: str, extras: bool, dtype: str) -> None:
    """In single precision without a double, and without a call."""
    coare = {"cool_skin": True, "wave_speed": 8.0} if algorithm.startswith("coare") else {}
    options = {**coare, "at_height": 2.0} if extras else {}
    call = all_arguments(8.0, 300.0, 299.0, 0.015, **options)
    given = {name: call[name] for name in Inputs._fields}
    text = assembly(physics_for(given, algorithm, "actual", call["cool_skin"]), 4, dtype)
    assert ".target sm_90" in text
    if dtype == "float32":
        assert not re.search(r"\b(add|mul|fma|div|sqrt|cvt)\.[a-z.]*f64", text)
        assert not re.search(r"\bcall\.", text)


def test_what_is_compiled_is_kept() -> None:
    """On disk, under a key that knows the sources; numba-cuda's cache takes functions of text."""
    varying = (True, True, *(False,) * (len(Moisture._fields) - 2))
    units = tuple(conversions(Moisture._fields))
    shape = cuda.Shape(varying, (True,), units, "float32")
    kernel = cuda._compiled(thermodynamics.HUMIDITY, shape)
    assert type(kernel._cache).__name__ == "CUDACache"
    codegen = type("Codegen", (), {"magic_tuple": lambda self: ("sm_90",)})()
    assert len(kernel._cache._index_key((), codegen)[-1]) == 64


def test_other_kernels() -> None:
    """Humidity and the warm layer."""
    assert ".target sm_90" in assembly(thermodynamics.HUMIDITY, 2, "float32")
    layer = warm_layer.advancing(warm_layer.Options(noaa_days=False))
    assert ".target sm_90" in assembly(layer, 5, "float32")
