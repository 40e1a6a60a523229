"""The package is light to import and its compiled code never stale."""

from __future__ import annotations

import doctest
import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba.core import dispatcher

import fluxkernels
from fluxkernels import compile as compiling
from fluxkernels import cpu
from fluxkernels.thermodynamics import HUMIDITY


def test_import_brings_no_compiler_in() -> None:
    """Neither Numba nor NumPy before a name is used; no Numba before a flux is; no PyTorch."""
    code = (
        "import sys, fluxkernels;"
        "heavy = {'numba', 'numpy', 'torch', 'safetensors'} & set(sys.modules);"
        "import fluxkernels.bulk; late = {'numba', 'xarray', 'torch'} & set(sys.modules);"
        "sys.exit(str(heavy | late) if heavy | late else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_public_names() -> None:
    """All are there, and an unknown one is refused as usual."""
    assert all(hasattr(fluxkernels, name) for name in fluxkernels.__all__)
    assert set(fluxkernels.__all__) <= set(dir(fluxkernels))
    with pytest.raises(AttributeError, match="no_such"):
        _ = fluxkernels.no_such


DOORS = ["", ".bulk", ".derivatives", ".thermodynamics"]


@pytest.mark.parametrize("name", [f"fluxkernels{door}" for door in DOORS])
def test_examples(name: str) -> None:
    """The examples in the documentation are true."""
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0


def test_the_cache_key_covers_every_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change in any module of physics makes other compiled code."""
    (tmp_path / "coare.py").write_text("A = 1")
    monkeypatch.setattr(compiling, "__file__", str(tmp_path / "compile.py"))
    digest = compiling._sources_digest.__wrapped__
    before = digest()
    (tmp_path / "coare.py").write_text("A = 2")
    assert digest() != before


def test_without_a_place_for_the_cache_it_compiles_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In a sealed image, where nothing can be written, each process compiles for itself."""

    def sealed(*_: Any) -> None:
        raise RuntimeError("cannot cache function: no locator available")

    physics = HUMIDITY._replace(name="humidity in a sealed image")
    monkeypatch.setattr(dispatcher.Dispatcher, "enable_caching", sealed)
    out = np.zeros(1)
    cpu.solver(physics, [(1.0, 0.0)] * 5)([20.0, 1000.0, 0.0, 1.0, 0.0], [out], 1)
    assert out[0] == pytest.approx(0.014729, abs=1e-6)
