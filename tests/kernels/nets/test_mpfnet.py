"""MPFNet: encode once, read everywhere, and the same answer however it is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from fluxkernels.errors import SettingsError, ShapeError
from fluxkernels.nets import mpfnet as module
from fluxkernels.nets.layers import wrap
from fluxkernels.nets.mpfnet import MPFNet, MPFNetSettings

Window = Callable[..., tuple[Tensor, Tensor]]


def _all_cells(net: MPFNet, values: Tensor, masks: Tensor) -> tuple[Tensor, ...]:
    """What `read` takes to read every cell: latitude, longitude, points, masks."""
    latitude, longitude = (where.expand(len(values), -1) for where in net.cells(values))
    points, seen = (x.flatten(3).permute(0, 3, 1, 2) for x in (values, masks))
    return latitude, longitude, points, seen


def test_shapes(mpfnet: MPFNet, window: Window) -> None:
    """Maps halve at each level; a reading is a mean and a log variance for each output."""
    values, masks = window(mpfnet)
    maps = mpfnet.encode(values[:, -1], masks[:, -1])
    assert [tuple(m.shape) for m in maps] == [(2, 4, 12, 24), (2, 4, 6, 12)]
    reading = mpfnet(values, masks)
    assert reading.mean.shape == reading.log_variance.shape == (2, 2, 12, 24)


def test_the_default_costs_what_was_planned() -> None:
    """2.0 M parameters; 3.7 GFLOP for all 43,200 points of a field."""
    with FakeTensorMode():
        net = MPFNet(MPFNetSettings(predictors=5, outputs=2)).eval()
        values = torch.zeros(1, 1, 5, 120, 360)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            net(values, torch.ones_like(values, dtype=torch.bool))
    assert sum(p.numel() for p in net.parameters()) == pytest.approx(2.04e6, rel=0.01)
    assert counter.get_total_flops() < 4e9


@pytest.mark.parametrize("parts", [2, 7, 288])
def test_reading_in_parts_is_reading_at_once(mpfnet: MPFNet, window: Window, parts: int) -> None:
    """A point's answer does not depend on which others are read with it."""
    values, masks = window(mpfnet)
    whole = mpfnet(values, masks)
    maps = mpfnet.encode(values[:, -1], masks[:, -1])
    where = _all_cells(mpfnet, values, masks)
    pieces = [
        mpfnet.read(maps, *piece)
        for piece in zip(*(x.tensor_split(parts, dim=1) for x in where), strict=True)
    ]
    for read, expected in zip(zip(*pieces, strict=True), whole, strict=True):
        joined = torch.cat(read, dim=1).transpose(1, 2).reshape(expected.shape)
        torch.testing.assert_close(joined, expected, atol=1e-6, rtol=1e-6)


def test_many_points_are_read_some_at_a_time(
    mpfnet: MPFNet, window: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which nobody can tell from the answer."""
    values, masks = window(mpfnet)
    whole = mpfnet(values, masks)
    monkeypatch.setattr(module, "_AT_ONCE", 50)
    for found, expected in zip(mpfnet(values, masks), whole, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)


def test_only_cells_that_are_wanted_are_read(mpfnet: MPFNet, window: Window) -> None:
    """Where any field of the batch wants one; the rest are no numbers."""
    values, masks = window(mpfnet)
    wanted = torch.rand(masks[:, 0, 0].shape) < 0.3
    some = wanted.any(dim=0).expand_as(wanted)[:, None]
    for found, whole in zip(mpfnet(values, masks, wanted), mpfnet(values, masks), strict=True):
        assert torch.equal(found.isnan(), ~some.expand_as(found))
        there = some.expand_as(found)
        torch.testing.assert_close(found[there], whole[there], atol=1e-6, rtol=1e-6)
    nothing = mpfnet(values, masks, torch.zeros_like(wanted))
    assert nothing.mean.isnan().all()


def test_at_the_middle_of_a_cell_the_map_is_read_as_it_is(mpfnet: MPFNet) -> None:
    """Cells are where `cells` says they are, at every level."""
    for rows, columns in ((12, 24), (6, 12)):
        field = torch.randn(1, 3, rows, columns)
        latitude, longitude = (where[None] for where in mpfnet.cells(field))
        sampled = mpfnet._sampled(wrap(field, 1), latitude, longitude)
        torch.testing.assert_close(sampled, field.flatten(2).transpose(1, 2), atol=1e-5, rtol=1e-5)


def test_between_cells_the_map_is_interpolated(mpfnet: MPFNet) -> None:
    """Linearly, across the date line too; beyond the last row it goes on."""
    field = torch.arange(24.0).expand(1, 1, 12, 24)
    latitude = torch.zeros(1, 4)
    longitude = torch.tensor([[30.0, 0.0, 360.0, -7.5]])
    sampled = mpfnet._sampled(wrap(field, 1), latitude, longitude)[0, :, 0]
    torch.testing.assert_close(sampled, torch.tensor([1.5, 11.5, 11.5, 23.0]))
    north = torch.arange(12.0)[:, None].expand(1, 1, 12, 24)
    high = mpfnet._sampled(wrap(north, 1), torch.tensor([[55.0, 59.9, 75.0]]), torch.zeros(1, 3))[
        0, :, 0
    ]
    torch.testing.assert_close(high, torch.tensor([11.0, 11.0, 11.0]))


@settings(max_examples=30)
@given(turns=st.integers(-3, 3), east=st.floats(0.0, 359.9), north=st.floats(-60, 60))
def test_longitude_may_be_told_in_any_turn(turns: int, east: float, north: float) -> None:
    """170 W and 190 E are one place."""
    torch.manual_seed(0)
    net = MPFNet(MPFNetSettings(1, 1, width=4, levels=1, modes=(2, 2), reduced=4, point=8)).eval()
    field = torch.randn(1, 1, 8, 16)
    maps = net.encode(field, torch.ones_like(field, dtype=torch.bool))
    point = torch.zeros(1, 1, 1, 1)
    read = [
        net.read(
            maps,
            torch.full((1, 1), north),
            torch.full((1, 1), longitude),
            point,
            torch.ones_like(point, dtype=torch.bool),
        ).mean
        for longitude in (east, east + 360.0 * turns)
    ]
    torch.testing.assert_close(*read, atol=1e-4, rtol=1e-4)


def test_without_position_a_turned_globe_gives_a_turned_result(window: Window) -> None:
    """By the coarsest level's cells. With position it does not, and should not."""
    for position in (False, True):
        net = MPFNet(
            MPFNetSettings(3, 2, width=6, levels=2, modes=(3, 4), point=16, position=position)
        ).eval()
        values, masks = window(net)
        turned = net(values.roll(2, -1), masks.roll(2, -1)).mean
        change = (turned - net(values, masks).mean.roll(2, -1)).abs().max()
        assert (change < 1e-5) is not position


@pytest.mark.parametrize("hidden", [torch.nan, torch.inf, -3.0])
def test_what_lies_under_a_mask_has_no_influence(
    mpfnet: MPFNet, window: Window, hidden: float
) -> None:
    """Land in the fields, and days that a point was not seen."""
    values, masks = window(mpfnet)
    spoilt = mpfnet(values.where(masks, hidden), masks)
    assert all(map(torch.equal, spoilt, mpfnet(values, masks)))


def test_every_day_and_predictor_has_influence(mpfnet: MPFNet, window: Window) -> None:
    """The present field everywhere, the days before at the point only."""
    values, masks = window(mpfnet, batch=1)
    values.requires_grad_()
    here = mpfnet(values, torch.ones_like(masks)).mean[0, :, 5, 7].sum()
    (gradient,) = torch.autograd.grad(here, values)
    assert (gradient.abs().amax(dim=(0, 3, 4)) > 0).all()
    assert (gradient[0, -1].abs() > 0).sum() > 0.9 * gradient[0, -1].numel()
    assert gradient[0, 0].nonzero().tolist() == [[p, 5, 7] for p in range(3)]


def test_gradients_reach_every_parameter(mpfnet: MPFNet, window: Window) -> None:
    """Also where the head is read at a few points only, as in training."""
    values, masks = window(mpfnet)
    where = [x[:, ::17] for x in _all_cells(mpfnet, values, masks)]
    reading = mpfnet.read(mpfnet.encode(values[:, -1], masks[:, -1]), *where)
    nn.functional.gaussian_nll_loss(
        reading.mean, torch.ones_like(reading.mean), reading.log_variance.exp()
    ).backward()
    dead = [
        name
        for name, parameter in mpfnet.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().max() > 0
    ]
    assert dead == []


def test_the_variance_stays_within_bounds(mpfnet: MPFNet, window: Window) -> None:
    """However far the head runs, and with a gradient that leads back."""
    nn.init.constant_(mpfnet.head.bias, 10.0)
    spread = mpfnet(*window(mpfnet)).log_variance
    assert spread.max() < 7.0
    spread.sum().backward()
    assert mpfnet.head.bias.grad is not None and mpfnet.head.bias.grad[2:].abs().min() > 0


def test_bfloat16_comes_close(mpfnet: MPFNet, window: Window) -> None:
    """And places are still found: in bfloat16 a degree is lost."""
    values, masks = window(mpfnet)
    full = mpfnet(values, masks)
    with torch.autocast("cpu", torch.bfloat16):
        half = mpfnet(values, masks)
    for low, high in zip(half, full, strict=True):
        assert low.dtype == torch.float32
        assert (low - high).abs().mean() < 0.02 * high.std()


def test_what_does_not_fit_is_refused(mpfnet: MPFNet, window: Window) -> None:
    """In words that name the shapes."""
    values, masks = window(mpfnet)
    with pytest.raises(ShapeError, match="halved evenly"):
        mpfnet(values[..., :23], masks[..., :23])
    with pytest.raises(ShapeError, match="2, 3, latitude"):
        mpfnet(values[:, :1], masks[:, :1])
    maps = mpfnet.encode(values[:, -1], masks[:, -1])
    latitude, longitude, points, seen = _all_cells(mpfnet, values, masks)
    with pytest.raises(ShapeError, match="points are"):
        mpfnet.read(maps, latitude, longitude, points[:, :5], seen)


def test_settings_that_contradict_themselves(mpfnet: MPFNet) -> None:
    """Are refused before a net is built."""
    for wrong in ({"levels": 0}, {"south": 60.0}, {"predictors": 0}):
        with pytest.raises(SettingsError):
            replace(mpfnet.settings, **wrong)


@pytest.mark.parametrize("modes", [(0, 3), (2, 0), (2, -1), (2,)])
def test_waves_that_cannot_be_kept_are_refused(modes: tuple[int, int]) -> None:
    """Before a layer is built of none."""
    with pytest.raises(SettingsError, match="one wave or more in latitude"):
        MPFNetSettings(3, 2, modes=modes)
