"""Which map holds the other pass of twelve hours before."""

from __future__ import annotations

import numpy as np
import pytest

from fluxrecipes.other_pass import same_day, twelve_hours_before

LONGITUDE = np.arange(0.5, 360.0)
LOCAL = (18.0, 6.0)


@pytest.mark.parametrize("orbit", [0, 1])
def test_each_cell_is_seen_twelve_hours_before(orbit: int) -> None:
    """Of maps that hold their own time of observation, everywhere but on the first day's rest."""
    days = 24.0 * np.arange(4)[:, None, None]
    seen = [days + (local - LONGITUDE / 15.0) % 24.0 + np.zeros((4, 3, 1)) for local in LOCAL]
    found = twelve_hours_before(seen[1 - orbit], orbit, LONGITUDE, axis=0)
    np.testing.assert_allclose((seen[orbit] - found)[1:], 12.0)
    now = same_day(orbit, LONGITUDE)
    assert now.sum() == 180
    np.testing.assert_allclose((seen[orbit] - found)[0][:, now], 12.0)
    assert not found[0][:, ~now].any()


def test_the_axis_of_days_may_be_any() -> None:
    maps = np.random.default_rng(0).normal(size=(5, 2, 3, 360))
    found = twelve_hours_before(np.moveaxis(maps, 0, 1), 1, LONGITUDE, axis=1)
    np.testing.assert_array_equal(
        found, np.moveaxis(twelve_hours_before(maps, 1, LONGITUDE, axis=0), 0, 1)
    )
    assert found.dtype == maps.dtype
