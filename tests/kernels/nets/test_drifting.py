"""The first guess: a mean of what is near, moved as weather moves, over a background."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from fluxkernels.errors import SettingsError
from fluxkernels.nets.drifting import DriftingMean
from fluxkernels.nets.gdcm import COMPACT, COMPACT_BOTH_PASSES, COMPACT_CENTRED, GDCMSettings

ROWS, COLUMNS = 9, 24


def sharp(mean: DriftingMean) -> DriftingMean:
    """Weights of nothing but the cell itself, and trust in whatever there is."""
    with torch.no_grad():
        for weights, middle in ((mean.north, 5), (mean.east, 6)):
            weights.fill_(-10.0)
            weights[..., middle] = 0.0
        mean.doubt.fill_(-3.0)
    return mean


def no_ground() -> Tensor:
    return torch.zeros(1, 1, ROWS, COLUMNS)


def test_a_constant_stays_one_wherever_anything_is_near_and_the_wanted_day_counts_most() -> None:
    mean = DriftingMean(2, (-1.0, 0.0, 1.0), radius=(2, 2))
    values, masks = (torch.zeros(1, 3, 2, ROWS, COLUMNS) for _ in range(2))
    values += 5.0
    masks[0, :, :, 4, 0] = 1.0
    with torch.no_grad():
        made = mean(values * masks, masks.bool(), no_ground())
        near = torch.zeros(ROWS, COLUMNS, dtype=torch.bool)
        near[2:7, [22, 23, 0, 1, 2]] = True  # across the seam
        assert (made.values[..., ~near] < 0.01).all() and (made.values[..., near] > 4.0).all()
        assert (made.trust[..., ~near] < 1e-5).all() and (made.trust[..., near] > 0.01).all()
        assert (made.trust < 1).all()
        values[:, 1] = 7.0
        assert (mean(values * masks, masks.bool(), no_ground()).values[..., 4, 0] > 6.0).all()


def test_what_drifts_is_found_where_it_has_drifted_to() -> None:
    """Yesterday's field lies two columns and one row back, and today nothing was seen."""
    torch.manual_seed(0)
    today = torch.randn(1, ROWS, COLUMNS)
    mean = sharp(DriftingMean(1, (-1.0, 0.0)))
    values = torch.stack([today.roll((-1, -2), (1, 2)), torch.zeros_like(today)], dim=1)[:, :, None]
    masks = torch.zeros_like(values, dtype=torch.bool)
    masks[:, 0] = True
    with torch.no_grad():
        still = mean(values, masks, no_ground()).values
        mean.drift[0], mean.drift[1] = 0.1, 0.2  # cells a day, in tens
        made = mean(values, masks, no_ground()).values
    torch.testing.assert_close(made[0, 0, 1:], today[0, 1:])  # before the first row nothing was
    assert not torch.allclose(still[0, 0, 1:], today[0, 1:])


def test_where_nothing_is_near_the_background_follows_the_ground() -> None:
    mean = DriftingMean(2, (0.0,))
    ground = torch.randn(1, 1, ROWS, COLUMNS)
    masks = torch.zeros(1, 1, 2, ROWS, COLUMNS, dtype=torch.bool)
    with torch.no_grad():
        mean.background[:] = torch.tensor([[1.0, 2.0], [0.5, 0.0], [0.0, 0.25]])[..., None, None]
        made = mean(masks.float(), masks, ground)
    expected = torch.cat([1 + ground / 2, 2 + ground.square() / 4], dim=1)
    torch.testing.assert_close(made.values, expected)
    assert (made.trust == 0).all()


def test_the_globe_has_no_seam() -> None:
    mean = DriftingMean(1, (-1.0, 0.0))
    with torch.no_grad():
        mean.drift[1] = torch.linspace(-0.5, 1.3, 13)
    values = torch.randn(1, 2, 1, ROWS, COLUMNS)
    masks = torch.rand_like(values) > 0.7
    ground = torch.randn(1, 1, ROWS, COLUMNS)
    with torch.no_grad():
        made = mean(values * masks, masks, ground)
        turned = mean(*(x.roll(7, -1) for x in (values * masks, masks, ground)))
    for one, other in zip(made, turned, strict=True):
        torch.testing.assert_close(one.roll(7, -1), other, rtol=1e-4, atol=1e-5)


def test_sightings_are_told_by_day_field_and_age() -> None:
    assert [at.lag for at in COMPACT.sightings] == [-2.0, -1.0, 0.0]
    assert [at.lag for at in COMPACT_CENTRED.sightings] == [-2.0, -1.0, 0.0, 1.0, 2.0]
    both = COMPACT_BOTH_PASSES.sightings
    assert [at.lag for at in both] == [-1.0, 0.0, 1.0, -1.5, -0.5, 0.5]
    assert {(at.first, at.day - at.lag) for at in both} == {(0, 1.0), (-5, 1.5)}


@pytest.mark.parametrize("how", [{"masks": False}, {"context": 0}])
def test_a_guess_needs_masks_and_ground(how: dict[str, int]) -> None:
    with pytest.raises(SettingsError, match="first guess"):
        replace(COMPACT, **how)


def test_the_other_pass_comes_after_other_context() -> None:
    with pytest.raises(SettingsError, match="other pass"):
        GDCMSettings(variables=4, context=4, other_pass=True)
