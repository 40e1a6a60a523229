"""Stages that run on a GPU hand arrays on there. Run by `test_simulated_gpu.py` with stand-ins."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

sys.path.insert(0, str(Path(__file__).parent))
import stand_in
from stand_in import FarArray

from fluxengine.errors import RunFailed
from fluxkernels import cuda
from fluxkernels.nets import predict
from fluxrecipes import networks
from fluxrecipes import vocabulary as cf
from fluxrecipes.stages import residence
from fluxrecipes.stages.correct import CorrectFluxes, CorrectWind
from fluxrecipes.stages.flux_errors import ErrorsOfFluxes
from fluxrecipes.stages.fluxes import BulkFlux
from fluxrecipes.stages.retrieve_by_network import RetrieveByMPFNet

LAT, LON = np.arange(-50.0, 60, 20), np.arange(11.25, 360, 22.5)
SHAPE = (1, 2, len(LAT), len(LON))
STORED = {
    "wind_speed": (7.0, 3.0),
    "water_vapour": (30.0, 8.0),
    "cloud_liquid_water": (0.1, 0.02),
    "rain_rate": (0.2, 0.1),
    "sea_surface_temperature": (291.0, 4.0),
}


def there_is_one() -> bool:
    """A GPU, with CuPy to speak to it."""
    try:
        import cupy
    except ImportError:
        return False
    return bool(cupy.cuda.is_available() and torch.cuda.is_available())


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Callable[[xr.DataArray], bool]:
    """A GPU or what stands for it; tells whether an array lies there."""
    if there_is_one():
        return lambda array: hasattr(array.data, "__cuda_array_interface__")
    if not cuda.SIMULATED:
        pytest.skip("no GPU; `NUMBA_ENABLE_CUDASIM=1` simulates one")
    cpu = torch.device("cpu")
    monkeypatch.setattr(predict, "find_device", lambda name: cpu)
    monkeypatch.setattr(residence, "_library", lambda device: stand_in)
    return lambda array: isinstance(array.data, FarArray)


def day() -> dict[str, xr.DataArray]:
    """Passes as they are read from a store."""
    rng = np.random.default_rng(3)
    coords = {
        "time": np.arange("2016-01-01", "2016-01-02", dtype="M8[D]").astype("M8[ns]"),
        "orbit": ["ascending", "descending"],
        "lat": LAT,
        "lon": LON,
    }
    made = {n: rng.normal(m, s, SHAPE).astype("f4") for n, (m, s) in STORED.items()}
    made["wind_speed"] = np.abs(made["wind_speed"])
    made["rain_rate"][0, 0, 3, 4] = made["wind_speed"][0, 1, 2, :3] = np.nan
    made["wind_speed"][..., 6:] = np.nan  # of more points the simulator takes too long
    states = np.full(SHAPE, cf.OBSERVED, "u1")
    states[0, 0] = cf.COMPLETED
    made |= {f"{name}_state": states for name in ("wind_speed", "water_vapour")}
    made["pass_time"] = rng.uniform(0, 24, SHAPE).astype("f4")
    return {n: xr.DataArray(v, coords, tuple(coords)) for n, v in made.items()}


@pytest.mark.parametrize("corrects", ["none", "fluxes", "wind"])
def test_a_block_stays_on_the_gpu_from_retrieval_to_the_last_flux(
    gpu: Callable[[xr.DataArray], bool],
    mpfnet_file: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    corrects: str,
) -> None:
    air = mpfnet_file(networks.RETRIEVAL)

    def chain(device: str) -> list:
        first = [RetrieveByMPFNet(air, device=device), BulkFlux(device=device)]
        if corrects == "fluxes":
            model = mpfnet_file(networks.CORRECTION)
            correct = CorrectFluxes(model, tells_errors=False, device=device)
            return [*first, correct, ErrorsOfFluxes(device=device)]
        if corrects == "none":
            return [*first, ErrorsOfFluxes(device=device)]
        wind, own = cf.wind_speed_corrected, (cf.wind_speed_corrected.name, *BulkFlux.inputs[1:])
        correct = CorrectWind(mpfnet_file(networks.WIND_CORRECTION), device=device)
        errors = ErrorsOfFluxes(wind=wind, wind_errors=(), device=device)
        return [*first, correct, BulkFlux(inputs=own, device=device), errors]

    FarArray.fetched, with_gpu = 0, day()
    for stage in chain("cuda"):
        made = stage.load()({name: with_gpu[name] for name in stage.inputs})
        assert all(gpu(made[v.name]) for v in stage.outputs), stage
        with_gpu |= made
    assert FarArray.fetched == 0

    monkeypatch.undo()
    alone = day()
    for stage in chain("cpu"):
        alone |= stage.load()({name: alone[name] for name in stage.inputs})
    for name, values in alone.items():
        found = with_gpu[name].as_numpy().values
        np.testing.assert_allclose(found, values.values, rtol=2e-4, atol=1e-4, err_msg=name)


def test_without_cupy_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(RunFailed, match="cuda12") as raised:
        residence.brought(np.zeros(3), "cuda")
    assert "CuPy" in str(raised.value)
