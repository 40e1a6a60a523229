"""GDCM: shapes, costs, and what may and may not influence its answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from fluxkernels.errors import DtypeError, SettingsError, ShapeError
from fluxkernels.nets.gdcm import (
    COMPACT,
    COMPACT_BOTH_PASSES,
    COMPACT_CENTRED,
    GDCM,
    PAPER,
    GDCMSettings,
    Motion,
)

Window = Callable[..., tuple[Tensor, Tensor]]


def _cost(settings: GDCMSettings) -> tuple[float, float]:
    """Millions of parameters, and GFLOP for a window of the globe, without computing anything."""
    with FakeTensorMode():
        net = GDCM(settings).eval()
        values = torch.zeros(1, settings.steps, settings.variables + settings.context, 120, 360)
        masks = torch.ones_like(values, dtype=torch.bool)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            assert net(values, masks).shape == (1, settings.variables, 120, 360)
    parameters = sum(parameter.numel() for parameter in net.parameters())
    return parameters / 1e6, counter.get_total_flops() / 1e9


@pytest.mark.parametrize("settings", [COMPACT, COMPACT_CENTRED, COMPACT_BOTH_PASSES])
def test_compact_presets_stay_within_their_budget(settings: GDCMSettings) -> None:
    """At most 8 GFLOP a window; few enough parameters to travel; full resolution only narrow."""
    parameters, gflop = _cost(settings)
    assert gflop <= 8.0
    assert parameters < 0.5
    assert settings.scale == 4 and settings.stem <= 24


def test_the_papers_preset_costs_what_the_papers_network_does() -> None:
    """12.2 M parameters and 2.65 TFLOP are told of it; ours comes within an eighth."""
    parameters, gflop = _cost(PAPER)
    assert parameters == pytest.approx(11.47, abs=0.01)
    assert gflop == pytest.approx(2650, rel=0.125)


def test_shapes(gdcm: GDCM, window: Window) -> None:
    """A window in, the target day of its variables out."""
    values, masks = window(gdcm, batch=3)
    assert gdcm(values, masks).shape == (3, gdcm.settings.variables, 12, 24)


def test_a_globe_turned_by_a_coarse_cell_gives_a_turned_result(gdcm: GDCM, window: Window) -> None:
    """By the coarsest level's cells, for pooling has its own boundaries."""
    values, masks = window(gdcm)
    turn = gdcm.settings.divisor
    turned = gdcm(values.roll(turn, -1), masks.roll(turn, -1))
    torch.testing.assert_close(turned, gdcm(values, masks).roll(turn, -1), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("hidden", [torch.nan, torch.inf, 1e30, -3.0])
def test_what_lies_under_a_mask_has_no_influence(gdcm: GDCM, window: Window, hidden: float) -> None:
    """Bit for bit, be it a fill value, NaN or a plausible number."""
    values, masks = window(gdcm)
    assert torch.equal(gdcm(values.where(masks, hidden), masks), gdcm(values, masks))


def test_every_observed_day_and_field_has_influence(gdcm: GDCM, window: Window) -> None:
    """So no channel or day is read in vain."""
    values, masks = window(gdcm, batch=1)
    values.requires_grad_()
    (gradient,) = torch.autograd.grad(gdcm(values, masks).sum(), values)
    assert (gradient.abs().amax(dim=(0, 3, 4)) > 0).all()
    assert (gradient[~masks] == 0).all()


def test_masks_are_seen_where_asked_for(window: Window) -> None:
    """A gap is told from an observed 0 by `COMPACT`, and not by `PAPER`."""
    small = {"entry": 4, "lstm": (4,), "decoder": 8, "pyramid": 4, "stem": 4, "dilations": (1, 2)}
    for masks_seen in (True, False):
        how = {"masks": masks_seen, "first_guess": masks_seen, **small}
        net = GDCM(replace(COMPACT, steps=2, target=1, **how)).eval()
        values = torch.zeros(1, 2, 6, 16, 24)
        full = torch.ones_like(values, dtype=torch.bool)
        assert torch.equal(net(values, full), net(values, ~full)) is not masks_seen


def test_gradients_reach_every_parameter(gdcm: GDCM, window: Window) -> None:
    """None is left out of the graph, and none is dead."""
    gdcm.train()
    gdcm(*window(gdcm)).square().mean().backward()
    dead = [
        name
        for name, parameter in gdcm.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().max() > 0
    ]
    assert dead == []


def test_it_learns(gdcm: GDCM, window: Window) -> None:
    """A few steps on one window bring it much closer."""
    values, masks = window(gdcm)
    gdcm.train()
    target = values[:, gdcm.settings.target, : gdcm.settings.variables].tanh()
    optimiser = torch.optim.Adam(gdcm.parameters(), lr=0.01)
    losses = []
    for _ in range(60):
        loss = nn.functional.mse_loss(gdcm(values, masks), target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_motion_is_seen_at_every_level() -> None:
    """The finest level first, each with twice its width and half the cells of the one before."""
    motion = Motion(2, (3, 4), 4).eval()
    still = torch.zeros(1, 3, 2, 8, 8)
    moving = torch.randn(1, 3, 2, 8, 8)
    finest, coarsest = motion(still)
    assert finest.shape == (1, 6, 8, 8) and coarsest.shape == (1, 8, 4, 4)
    for seen, unseen in zip(motion(moving), (finest, coarsest), strict=True):
        assert (seen - unseen).abs().max() > 1e-3


def test_the_motion_block_sees_changes_only(gdcm: GDCM, window: Window) -> None:
    """What is the same on all days cancels, whatever it is."""
    values, masks = window(gdcm)
    heard: list[Tensor] = []
    gdcm.motion.register_forward_pre_hook(lambda _, inputs: heard.append(inputs[0]))
    gdcm(values[:, :1].expand_as(values), masks[:, :1].expand_as(masks))
    assert len(heard) == 1
    assert heard[0].abs().max() == 0


def test_one_seed_gives_one_net(window: Window, gdcm: GDCM) -> None:
    """And another seed another."""
    made = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        made.append(GDCM(gdcm.settings).eval())
    values, masks = window(gdcm)
    one, same, other = (net(values, masks) for net in made)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_bfloat16_comes_close(gdcm: GDCM, window: Window) -> None:
    """Within some hundredths of the scale, on average much less; and in float32 outside."""
    values, masks = window(gdcm)
    full = gdcm(values, masks)
    with torch.autocast("cpu", torch.bfloat16):
        half = gdcm(values, masks)
    assert half.dtype == torch.float32
    assert (half - full).abs().mean() < 0.02 * full.std()
    assert not torch.equal(half, full)


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((1, 3, 3, 12, 22), "multiples of 4"),
        ((1, 3, 2, 12, 24), "3 days and 3 fields"),
        ((3, 3, 12, 24), "3 days and 3 fields"),
    ],
)
def test_other_windows_are_refused(shape: tuple[int, ...], said: str) -> None:
    """In words that name what is wanted."""
    net = GDCM(replace(COMPACT, variables=2, steps=3, target=2, scale=2))
    values = torch.zeros(shape)
    with pytest.raises(ShapeError, match=said):
        net(values, torch.ones_like(values, dtype=torch.bool))


def test_masks_must_be_boolean(gdcm: GDCM, window: Window) -> None:
    """Numbers would be ambiguous."""
    values, masks = window(gdcm)
    with pytest.raises(DtypeError):
        gdcm(values, masks.float())


@pytest.mark.parametrize(
    "wrong",
    [{"target": 7}, {"steps": 1, "target": 0}, {"motion": (8,)}, {"lstm": ()}, {"variables": 0}],
)
def test_settings_that_contradict_themselves(wrong: dict[str, int]) -> None:
    """Are refused before a net is built."""
    with pytest.raises(SettingsError):
        GDCMSettings(**wrong)
