"""What failed, or was never written, counts as no value wherever values are counted."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from fluxengine.declare import FAILED, NEVER_WRITTEN
from fluxrecipes import vocabulary as cf
from fluxrecipes.stages.averages import MonthlyMeans
from fluxrecipes.stages.daily import MeanOfHours
from fluxrecipes.stages.fluxes import CombineStates
from fluxrecipes.stages.passes import PASSES, MeanOfPasses
from fluxrecipes.stages.states import has_value

NAN, LATENT = np.nan, cf.latent_heat_flux


def days(values: list[float], dtype: str) -> xr.DataArray:
    """Of one cell."""
    time = np.datetime64("2014-01-01") + np.arange(len(values)).astype("m8[D]").astype("m8[ns]")
    cells = np.array(values, dtype).reshape(-1, 1, 1)
    return xr.DataArray(cells, {"time": time}, ("time", "lat", "lon"))


def several(values: list[float], dtype: str, along: str) -> xr.DataArray:
    """Of one cell on one day."""
    dims = ("time", along, "lat", "lon")
    return xr.DataArray(np.array(values, dtype).reshape(1, -1, 1, 1), dims=dims)


def test_only_codes_of_values_tell_of_one() -> None:
    codes = np.array([NEVER_WRITTEN, FAILED, *cf.STATES], np.uint8)
    there = has_value(codes)
    assert codes[there].tolist() == [2, 3, 4, 5, 6]


@pytest.mark.parametrize("lost", [FAILED, NEVER_WRITTEN])
def test_failed_days_are_no_days_with_a_flux(lost: int) -> None:
    arrays = {
        LATENT.name: days([100.0] * 5 + [NAN] * 26, "f4"),
        cf.flux_state.name: days([cf.OBSERVED] * 5 + [lost] * 26, "u1"),
    }
    made = MonthlyMeans((LATENT,), min_days=10).load()(arrays)
    assert made["flux_days"].item() == 5
    for name in (LATENT.name, "filled_share", "reanalysis_share"):
        assert np.isnan(made[name].item())
    enough = MonthlyMeans((LATENT,), min_days=5).load()(arrays)
    assert enough[LATENT.name].item() == 100.0 and enough["filled_share"].item() == 0.0


@pytest.mark.parametrize(
    ("states", "needed", "state", "count"),
    [
        ((FAILED, FAILED), 1, FAILED, 0),
        ((NEVER_WRITTEN, NEVER_WRITTEN), 1, NEVER_WRITTEN, 0),
        ((FAILED, cf.OBSERVED), 1, cf.OBSERVED, 1),
        ((FAILED, cf.COMPLETED), 2, FAILED, 1),
        ((FAILED, cf.NO_OBSERVATION), 1, FAILED, 0),
    ],
)
def test_a_mean_of_passes_of_which_some_failed(
    states: tuple[int, int], needed: int, state: int, count: int
) -> None:
    values = [30.0 if has_value(np.array(one)) else NAN for one in states]
    arrays = {
        LATENT.name: several(values, "f4", "orbit"),
        cf.flux_state.name: several(list(states), "u1", "orbit"),
    }
    made = MeanOfPasses((LATENT,), needed).load()(arrays)
    assert made[cf.flux_state.name].item() == state and made[cf.flux_state.name].dtype == np.uint8
    assert made[PASSES.name].item() == count
    assert np.isfinite(made[LATENT.name].item()) == (count >= needed)


@pytest.mark.parametrize(
    ("states", "state"),
    [
        ((FAILED, FAILED, cf.OBSERVED), FAILED),
        ((cf.COMPLETED, FAILED, cf.OBSERVED), FAILED),
        ((cf.COMPLETED, NEVER_WRITTEN, cf.OBSERVED), NEVER_WRITTEN),
        ((NEVER_WRITTEN, FAILED, cf.OBSERVED), FAILED),
        ((FAILED, FAILED, cf.LAND), cf.LAND),
    ],
)
def test_a_flux_of_an_input_that_failed_is_no_flux(
    states: tuple[int, int, int], state: int
) -> None:
    names = CombineStates().inputs
    arrays = {n: several([s], "u1", "orbit") for n, s in zip(names, states, strict=True)}
    assert CombineStates().load()(arrays)["flux_state"].item() == state


def test_hours_that_failed_make_a_day_that_failed() -> None:
    arrays = {
        LATENT.name: several([NAN, NAN], "f4", "hour"),
        f"{LATENT.name}_state": several([FAILED, FAILED], "u1", "hour"),
    }
    made = MeanOfHours((LATENT,)).load()(arrays)
    assert made[f"{LATENT.name}_state"].item() == FAILED
