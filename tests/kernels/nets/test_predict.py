"""Prediction: batches, memory, devices, precision."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from fluxkernels.errors import DeviceError, OutOfMemory, SettingsError, ShapeError
from fluxkernels.nets.gdcm import GDCM
from fluxkernels.nets.mpfnet import MPFNet
from fluxkernels.nets.predict import Predictor

Window = Callable[..., tuple[Tensor, Tensor]]


class _Hungry(nn.Module):
    """Doubles its input, and runs out of memory beyond so many windows."""

    def __init__(self, room: int, error: Exception) -> None:
        super().__init__()
        self.room, self.error = room, error
        self.tried: list[int] = []

    def forward(self, values: Tensor) -> Tensor:
        self.tried.append(len(values))
        if len(values) > self.room:
            raise self.error
        return 2 * values


ERRORS = [
    MemoryError("host"),
    torch.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_batches_are_halved_until_they_fit(error: Exception) -> None:
    """Once: what was learnt holds for the rest and for the next call."""
    net = _Hungry(3, error)
    predictor = Predictor(net, batch=16)
    values = torch.arange(11.0)[:, None]
    (doubled,) = predictor(values)
    assert torch.equal(doubled, 2 * values)
    assert net.tried == [11, 5, 2, 2, 2, 2, 2, 1]
    predictor(values[:4])
    assert net.tried[8:] == [2, 2]


def test_one_window_too_large_is_an_error() -> None:
    """Typed, and a MemoryError still; after every smaller batch was tried."""
    net = _Hungry(0, MemoryError("host"))
    with pytest.raises(OutOfMemory, match="one window alone") as raised:
        Predictor(net, batch=4)(torch.zeros(4, 1))
    assert isinstance(raised.value, MemoryError)
    assert net.tried == [4, 2, 1]


def test_other_errors_are_not_taken_for_memory() -> None:
    """They come out as they are, at once."""
    net = _Hungry(0, RuntimeError("shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="multiplied"):
        Predictor(net, batch=4)(torch.zeros(4, 1))
    assert net.tried == [4]


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_results_do_not_depend_on_the_batches(gdcm: GDCM, window: Window, batch: int) -> None:
    """To 1e-5 of the scale."""
    values, masks = window(gdcm, batch=5)
    (together,) = Predictor(gdcm, batch=5)(values, masks)
    (apart,) = Predictor(gdcm, batch=batch)(values, masks)
    torch.testing.assert_close(apart, together, atol=1e-5, rtol=0)


def test_a_reading_comes_as_its_parts(mpfnet: MPFNet, window: Window) -> None:
    """Mean and log variance, without a graph."""
    values, masks = window(mpfnet, batch=3)
    mean, spread = Predictor(mpfnet, batch=2)(values, masks)
    expected = mpfnet(values, masks)
    torch.testing.assert_close(mean, expected.mean, atol=1e-5, rtol=0)
    torch.testing.assert_close(spread, expected.log_variance, atol=1e-5, rtol=0)
    assert not mean.requires_grad


def test_the_net_is_run_as_for_evaluation(gdcm: GDCM, window: Window) -> None:
    """Batch statistics are neither used nor changed, though it came from training."""
    before = {name: tensor.clone() for name, tensor in gdcm.state_dict().items()}
    Predictor(gdcm.train(), batch=2)(*window(gdcm))
    assert all(torch.equal(before[name], tensor) for name, tensor in gdcm.state_dict().items())


def test_bfloat16_is_close_and_comes_back_as_float32(gdcm: GDCM, window: Window) -> None:
    """Lower, but not by much."""
    values, masks = window(gdcm)
    (full,) = Predictor(gdcm, batch=2)(values, masks)
    (half,) = Predictor(gdcm, batch=2, precision="bf16")(values, masks)
    assert half.dtype == torch.float32
    assert 0 < (half - full).abs().mean() < 0.02 * full.std()


def test_channels_last_changes_the_layout_only(gdcm: GDCM, window: Window) -> None:
    """The answer stays; the weights lie otherwise."""
    values, masks = window(gdcm)
    (plain,) = Predictor(gdcm, batch=2, channels_last=False)(values, masks)
    assert not gdcm.pyramid.branches[0].weight.is_contiguous(memory_format=torch.channels_last)
    (inner,) = Predictor(gdcm, batch=2)(values, masks)
    torch.testing.assert_close(inner, plain, atol=1e-5, rtol=0)
    weight = gdcm.pyramid.branches[0].weight
    assert weight.is_contiguous(memory_format=torch.channels_last)


def test_compiling_is_handed_to_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only where it is asked for."""
    compiled: list[nn.Module] = []

    def compile_it(net: nn.Module) -> nn.Module:
        compiled.append(net)
        return net

    monkeypatch.setattr(torch, "compile", compile_it)
    net = _Hungry(9, MemoryError())
    Predictor(net, batch=1)
    assert compiled == []
    Predictor(net, batch=1, compiled=True)(torch.zeros(1, 1))
    assert compiled == [net]


@pytest.mark.parametrize("device", ["cuda:63", "mps", "no-such-thing"])
def test_a_device_that_is_not_there(device: str) -> None:
    """Is refused before anything runs, and never replaced by another in silence."""
    with pytest.raises(DeviceError, match=f"no device '{device}'"):
        Predictor(_Hungry(1, MemoryError()), batch=1, device=device)


def test_calls_that_make_no_sense() -> None:
    """No windows, unequal ones, no batch, no such precision."""
    net = _Hungry(9, MemoryError())
    for inputs in ([torch.zeros(0, 1)], [torch.zeros(2, 1), torch.zeros(3, 1)], []):
        with pytest.raises(ShapeError):
            Predictor(net, batch=2)(*inputs)
    for wrong in ({"batch": 0}, {"batch": 1, "precision": "fp8"}):
        with pytest.raises(SettingsError):
            Predictor(net, **wrong)
