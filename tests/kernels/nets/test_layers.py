"""What each building block promises by itself."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from fluxkernels.errors import DtypeError, ShapeError
from fluxkernels.nets.fourier import FourierLayer, SpectralConv2d
from fluxkernels.nets.layers import (
    ASPP,
    AttentionGate,
    ConvLSTM,
    ConvLSTMCell,
    PeriodicConv2d,
    PeriodicConv3d,
    PrototypeMemory,
    ResidualBlock,
    ResidualMLP,
    SqueezeExcitation,
    in_float32,
    known,
    upsample,
    wrap,
)

FLAT = {
    "convolution": lambda: PeriodicConv2d(4, 5),
    "dilated": lambda: PeriodicConv2d(4, 5, dilation=3),
    "wide": lambda: PeriodicConv2d(4, 5, kernel=5),
    "residual": lambda: ResidualBlock(4, 5),
    "spectral norm": lambda: ResidualBlock(4, 5, spectral=True),
    "ASPP": lambda: ASPP(4, 5, (1, 2, 5)),
    "Fourier": lambda: FourierLayer(4, (3, 5)),
    "squeeze": lambda: SqueezeExcitation(4),
    "memory": lambda: PrototypeMemory(4, 3),
}
DEEP = {
    "convolution": lambda: PeriodicConv3d(4, 5),
    "residual": lambda: ResidualBlock(4, 5, dimensions=3),
    "spectral norm": lambda: ResidualBlock(4, 5, dimensions=3, spectral=True),
}


@pytest.mark.parametrize("turn", [1, 7])
@pytest.mark.parametrize("name", FLAT)
def test_a_turned_globe_gives_a_turned_result(name: str, turn: int) -> None:
    """No layer knows where longitude begins."""
    layer, field = FLAT[name]().eval(), torch.randn(2, 4, 8, 16)
    turned = layer(field.roll(turn, -1))
    assert turned.shape[0] == 2 and turned.shape[2:] == (8, 16)
    torch.testing.assert_close(turned, layer(field).roll(turn, -1), atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_a_convolution_by_days_is_one_in_three_dimensions(kernel: int) -> None:
    """PyTorch's own is slow on a CPU."""
    layer, field = PeriodicConv3d(4, 5, kernel), torch.randn(2, 4, 3, 8, 16)
    plain = nn.functional.conv3d(
        wrap(field, layer.reach), layer.weight, layer.bias, padding=(layer.reach, layer.reach, 0)
    )
    torch.testing.assert_close(layer(field), plain, atol=2e-6, rtol=1e-5)


def test_gates_that_are_shut_leave_no_numbers_too_small_for_a_cpu() -> None:
    """Below 1e-38 every product takes many times as long."""
    cell = ConvLSTMCell(2, 3)
    with torch.no_grad():
        cell.inward.bias.fill_(-95.0)
    states = cell(torch.randn(1, 7, 2, 8, 16))
    assert (states.abs()[states != 0] > 1e-30).all()


@pytest.mark.parametrize("name", DEEP)
def test_a_turned_globe_in_three_dimensions(name: str) -> None:
    """The same of (B, C, T, H, W)."""
    layer, field = DEEP[name]().eval(), torch.randn(2, 4, 3, 8, 16)
    turned = layer(field.roll(5, -1))
    assert turned.shape == (2, 5, 3, 8, 16)
    torch.testing.assert_close(turned, layer(field).roll(5, -1), atol=2e-6, rtol=1e-5)


def test_latitude_is_not_periodic() -> None:
    """What is in the north does not reach the south."""
    field = torch.zeros(1, 1, 8, 16)
    field[..., 0, :] = 1.0
    layer = PeriodicConv2d(1, 1, bias=False)
    assert layer(field)[..., 1, :].abs().min() > 0
    assert layer(field)[..., 2:, :].abs().max() == 0


def test_wrap_joins_east_and_west() -> None:
    """Column by column; and a layer that looks farther than once around is refused."""
    row = torch.arange(4.0).expand(1, 1, 2, 4)
    assert wrap(row, 2)[0, 0, 0].tolist() == [2, 3, 0, 1, 2, 3, 0, 1]
    assert wrap(row, 0) is row
    with pytest.raises(ShapeError, match="looks 5 columns"):
        wrap(row, 5)


def test_upsampling_goes_on_across_the_date_line() -> None:
    """A wave comes out as a finer wave, the last column no worse than the first."""
    coarse, fine = (2 * math.pi * (torch.arange(n) + 0.5) / n for n in (36, 72))
    field = torch.cos(coarse).expand(1, 1, 4, 36)
    assert (upsample(field, 2)[0, 0, 0] - torch.cos(fine)).abs().max() < 0.006
    assert upsample(field, 2).shape == (1, 1, 8, 72)
    assert upsample(field, 1) is field


def test_a_convlstm_knows_no_future() -> None:
    """A change on one day changes that day and the following ones, none before."""
    net, days = ConvLSTM(2, (4, 3)), torch.randn(1, 5, 2, 6, 8)
    other = days.clone()
    other[:, 3] += 1.0
    change = (net(other) - net(days)).abs().amax(dim=(0, 2, 3, 4))
    assert change[:3].max() == 0
    assert change[3:].min() > 1e-4


def test_a_convlstm_remembers() -> None:
    """The first day is still felt on the last, also at a cell that it did not touch."""
    net, days = ConvLSTM(1, (6,)), torch.randn(1, 6, 1, 6, 8)
    other = days.clone()
    other[:, 0, :, 2, 0] += 3.0
    change = (net(other) - net(days))[0, -1].abs().amax(dim=0)
    assert change[2, 0] > 1e-4
    assert change[2, 7] > 0  # west of the first column is the last


def test_spectral_norm_bounds_a_convolution() -> None:
    """Training drives the largest singular value of the weights to 1."""
    layer = ResidualBlock(3, 3, dimensions=3, spectral=True)
    with torch.no_grad():
        layer.first.parametrizations.weight.original *= 50.0
    for _ in range(30):
        weight = layer.first.weight.detach()
    assert float(torch.linalg.matrix_norm(weight.flatten(1), 2)) == pytest.approx(1.0, abs=1e-3)


def test_squeeze_excitation_keeps_the_scale() -> None:
    """The channels' weights have a mean of 1."""
    weights = SqueezeExcitation(16)(torch.ones(3, 16, 4, 4))[..., 0, 0]
    torch.testing.assert_close(weights.mean(dim=1), torch.ones(3))


def test_an_attention_gate_only_weakens() -> None:
    """One factor from 0 to 1 a cell, common to all channels."""
    skip, signal = torch.randn(2, 4, 5, 6), torch.randn(2, 3, 5, 6)
    factor = AttentionGate(4, 3, 2)(skip, signal) / skip
    assert ((factor > 0) & (factor < 1)).all()
    torch.testing.assert_close(factor, factor[:, :1].expand_as(factor))


def test_a_memory_knows_only_its_prototypes() -> None:
    """Sharpened enough, it answers with the prototype that points the same way."""
    memory = PrototypeMemory(4, 3)
    with torch.no_grad():
        memory.sharpness.fill_(1e4)
    field = (2.5 * memory.prototypes.detach())[None].permute(0, 2, 1)[..., None]
    torch.testing.assert_close(memory(field) * 2.5, field)


def test_the_spectrum_keeps_its_waves_and_drops_the_others() -> None:
    """With every matrix the identity, kept waves pass unchanged, at any resolution."""
    layer = SpectralConv2d(1, 1, (3, 4))
    with torch.no_grad():
        layer.weight[..., 0], layer.weight[..., 1] = 1.0, 0.0
    for rows, columns in ((8, 16), (16, 64)):
        east = 2 * math.pi * torch.arange(columns) / columns
        north = math.pi * (torch.arange(rows) + 0.5)[:, None] / rows
        large = torch.cos(2 * north) * torch.cos(3 * east - 0.4) + 0.7
        small = torch.cos(2 * north) * torch.cos(6 * east)
        passed = layer((large + small)[None, None])[0, 0]
        torch.testing.assert_close(passed, large, atol=1e-5, rtol=0)


def test_north_and_south_do_not_touch_in_the_spectrum() -> None:
    """A field that rises northward comes back without a jump at its edges.

    Taken as periodic, as the transform would, the same waves miss it by a third of its range there.
    """
    layer = SpectralConv2d(1, 1, (8, 1))
    with torch.no_grad():
        layer.weight[..., 0], layer.weight[..., 1] = 1.0, 0.0
    slope = torch.linspace(-1, 1, 64)[:, None].expand(64, 4)
    assert (layer(slope[None, None])[0, 0] - slope).abs().max() < 0.1


def test_a_field_without_the_modes_is_refused() -> None:
    """In words, rather than with fewer waves than the weights are for."""
    with pytest.raises(ShapeError, match="holds no 5 × 4 modes"):
        SpectralConv2d(1, 1, (5, 4))(torch.zeros(1, 1, 4, 8))


def test_known_values() -> None:
    """Chosen by the mask, whatever lies beneath; and masks of other kinds refused."""
    values = torch.tensor([1.0, math.nan, math.inf])
    assert known(values, torch.tensor([True, False, False])).tolist() == [1, 0, 0]
    with pytest.raises(DtypeError, match="float32"):
        known(values, torch.ones(3))
    with pytest.raises(ShapeError, match=r"\(2,\)"):
        known(values, torch.ones(2, dtype=torch.bool))


def test_last_layers_stay_exact() -> None:
    """Under autocast to bfloat16 too."""
    layer, points = nn.Linear(4, 2), torch.randn(5, 4)
    with torch.autocast("cpu", torch.bfloat16):
        rough, exact = layer(points), in_float32(layer, points)
    assert rough.dtype == torch.bfloat16
    assert torch.equal(exact, layer(points))


def test_a_residual_mlp_starts_from_its_input() -> None:
    """With the inner layers at 0 it is the identity."""
    layer, points = ResidualMLP(4), torch.randn(5, 4)
    nn.init.zeros_(layer.second.weight)
    nn.init.zeros_(layer.second.bias)
    assert torch.equal(layer(points), points)
