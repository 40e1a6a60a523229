"""The stages of the deepflux chain, each on arrays small enough to check by hand."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import fluxrecipes
from fluxengine import registry
from fluxengine.key import code_digests
from fluxkernels.filling.temporal import EMPTY, INTERPOLATED, KEPT, PERSISTED, fill_in_time
from fluxkernels.stats.skill import skill
from fluxrecipes import gates
from fluxrecipes import vocabulary as cf
from fluxrecipes.products import deepflux
from fluxrecipes.stages.fill import FillInTime
from fluxrecipes.stages.fluxes import BulkFlux, CombineStates
from fluxrecipes.stages.passes import PASSES, MeanOfPasses
from fluxrecipes.stages.regrid import RSS_REASONS, Regrid
from fluxrecipes.standard_errors import error_of, systematic_error_of

NAN = np.nan
INSTALLED = Path(fluxrecipes.__file__).parent


def field(values, dims=("time", "orbit", "lat", "lon"), step=1.0):
    values = np.asarray(values)
    coords = {
        d: (np.arange(n) + 0.5) * (step if d in ("lat", "lon") else 1)
        for d, n in zip(dims, values.shape, strict=True)
    }
    return xr.DataArray(values, dims=dims, coords=coords)


def regridded(values, flags, min_valid=0.5):
    stage = Regrid((cf.wind_speed,), RSS_REASONS, min_valid=min_valid)
    arrays = {"wind_speed": field(values, step=0.25), "wind_speed_flag": field(flags, step=0.25)}
    return stage.load()(arrays)


def one_cell(valid: int, rest: int):
    """Sixteen quarter-degree cells, the first `valid` of them 1, 2, 3 …, the rest with a code."""
    values, flags = np.full(16, NAN, "f4"), np.full(16, rest, "u1")
    values[:valid], flags[:valid] = np.arange(1, valid + 1), 2
    return values.reshape(1, 1, 4, 4), flags.reshape(1, 1, 4, 4)


def test_the_coarse_value_is_the_mean_of_the_valid_cells_and_their_number_is_stored():
    made = regridded(*one_cell(8, 254))
    assert made["wind_speed"].item() == 4.5
    assert made["wind_speed_count"].item() == 8
    assert made["wind_speed_state"].item() == cf.OBSERVED
    assert made["wind_speed"]["lat"].item() == 0.5


def test_too_few_valid_cells_give_no_value_but_their_number_and_the_reason():
    made = regridded(*one_cell(7, 251))
    assert np.isnan(made["wind_speed"].item())
    assert made["wind_speed_count"].item() == 7
    assert made["wind_speed_state"].item() == cf.NO_RETRIEVAL
    assert regridded(*one_cell(7, 251), min_valid=0.3)["wind_speed"].item() == 4.0


@pytest.mark.parametrize(
    ("code", "state"),
    [
        (255, cf.LAND),
        (254, cf.NO_OBSERVATION),
        (253, cf.COAST),
        (252, cf.SEA_ICE),
        (251, cf.NO_RETRIEVAL),
        (1, cf.NO_OBSERVATION),
        (0, cf.NO_OBSERVATION),
    ],
)
def test_the_kinds_of_missing_stay_apart(code, state):
    assert regridded(*one_cell(0, code))["wind_speed_state"].item() == state


def test_a_few_valid_cells_beside_land_are_coast():
    assert regridded(*one_cell(3, 255))["wind_speed_state"].item() == cf.COAST


def test_a_cell_is_land_only_if_all_of_it_is():
    values, flags = one_cell(0, 255)
    flags[0, 0, 0, 0] = 254
    assert regridded(values, flags)["wind_speed_state"].item() == cf.NO_OBSERVATION


def test_gaps_are_interpolated_between_days_and_persisted_at_the_ends():
    filled = fill_in_time(np.array([NAN, 1.0, NAN, NAN, 4.0, NAN])[:, None], 3)
    assert filled.values[:, 0].tolist() == [1, 1, 2, 3, 4, 4]
    assert filled.how[:, 0].tolist() == [
        PERSISTED,
        KEPT,
        INTERPOLATED,
        INTERPOLATED,
        KEPT,
        PERSISTED,
    ]


def test_nothing_beyond_the_reach_is_used():
    filled = fill_in_time(np.array([1.0, NAN, NAN, NAN, NAN, NAN, NAN])[:, None], 2)
    assert filled.how[:, 0].tolist() == [KEPT, PERSISTED, PERSISTED] + [EMPTY] * 4
    assert np.isnan(filled.values[3:]).all()


gappy = hnp.arrays("f4", (14, 3), elements=st.floats(-5, 5, width=32) | st.just(NAN))


@settings(max_examples=60)
@given(gappy, st.integers(1, 4), st.integers(1, 13))
def test_filling_in_blocks_with_a_halo_equals_filling_the_whole(values, reach, cut):
    before = values.copy()
    whole = fill_in_time(values, reach)
    start, stop = max(0, cut - reach), min(len(values), cut + reach)
    first, second = fill_in_time(values[:stop], reach), fill_in_time(values[start:], reach)
    parts = np.concatenate([first.values[:cut], second.values[cut - start :]])
    np.testing.assert_array_equal(parts, whole.values)
    np.testing.assert_array_equal(values, before)
    observed = ~np.isnan(values)
    np.testing.assert_array_equal(whole.values[observed], values[observed])


def test_land_and_sea_ice_are_never_filled():
    stage = FillInTime((cf.wind_speed,), reach=2)
    values = field(np.array([5.0, NAN, NAN, NAN, 5.0], "f4").reshape(5, 1, 1, 1))
    for state, expected in ((cf.NO_OBSERVATION, cf.INTERPOLATED), (cf.LAND, cf.LAND)):
        states = np.array([cf.OBSERVED, state, state, state, cf.OBSERVED], "u1")
        made = stage.load()(
            {"wind_speed": values, "wind_speed_state": field(states.reshape(5, 1, 1, 1))}
        )
        assert made["wind_speed_state"].values.ravel()[2] == expected
        assert np.isnan(made["wind_speed"].values.ravel()[2]) == (expected == cf.LAND)


def test_sst_without_an_orbit_axis_serves_both_passes():
    shape = (2, 2, 3, 4)
    sst = field(np.full((2, 3, 4), 300.0), dims=("time", "lat", "lon"))
    arrays = {
        "wind_speed": field(np.full(shape, 7.0)),
        "sea_surface_temperature": sst,
        "air_temperature": field(np.full(shape, 298.5)),
        "specific_humidity": field(np.full(shape, 0.0165)),
    }
    made = BulkFlux().load()(arrays)
    assert made["latent_heat_flux"].shape == shape
    assert (made["latent_heat_flux"] > 50).all()
    assert made["sensible_heat_flux"].dims == ("time", "orbit", "lat", "lon")


def test_the_state_of_a_flux_is_that_of_its_least_direct_input():
    states = [cf.OBSERVED, cf.PERSISTED, cf.OBSERVED]
    arrays = {
        name: field(np.full((1, 1, 1, 1), state, "u1"))
        for name, state in zip(CombineStates().inputs, states, strict=True)
    }
    assert CombineStates().load()(arrays)["flux_state"].item() == cf.PERSISTED


@pytest.mark.parametrize(
    ("passes", "states", "needed", "mean", "state", "count"),
    [
        ((10, 20), (cf.OBSERVED, cf.OBSERVED), 1, 15, cf.OBSERVED, 2),
        ((10, 20), (cf.OBSERVED, cf.INTERPOLATED), 2, 15, cf.INTERPOLATED, 2),
        ((10, NAN), (cf.OBSERVED, cf.NO_RETRIEVAL), 1, 10, cf.OBSERVED, 1),
        ((10, NAN), (cf.OBSERVED, cf.NO_RETRIEVAL), 2, NAN, cf.NO_RETRIEVAL, 1),
        ((NAN, NAN), (cf.NO_OBSERVATION, cf.SEA_ICE), 1, NAN, cf.NO_OBSERVATION, 0),
    ],
)
def test_mean_of_passes(passes, states, needed, mean, state, count):
    flux = field(np.array(passes, "f4").reshape(1, 2, 1, 1))
    arrays = {
        "latent_heat_flux": flux,
        cf.flux_state.name: field(np.array(states, "u1").reshape(1, 2, 1, 1)),
    }
    made = MeanOfPasses((cf.latent_heat_flux,), needed).load()(arrays)
    np.testing.assert_equal(made["latent_heat_flux"].item(), mean)
    assert made[cf.flux_state.name].item() == state
    assert made[PASSES.name].item() == count


def test_errors_of_a_mean_of_passes_are_those_of_means_of_draws():
    """With systematic parts that are shared, and random ones correlated over twelve hours."""
    total, part, days = np.array([2.0, 3.0]), np.array([1.0, 1.8]), 0.8
    random = np.sqrt(total**2 - part**2)
    rng = np.random.default_rng(3)
    alike = np.exp(-0.5 / days)
    first, other = rng.standard_normal((2, 400_000))
    pair = np.stack([first, alike * first + np.sqrt(1 - alike**2) * other])
    draws = random[:, None] * pair + part[:, None] * rng.standard_normal(400_000)
    means = {"both": draws.mean(axis=0).std(), "one": draws[1].std()}

    def told(first, needed=1, days=days):
        variable = cf.latent_heat_flux
        errors = error_of(variable), systematic_error_of(variable)
        arrays = {cf.flux_state.name: field(np.full((1, 2, 1, 1), cf.OBSERVED, "u1"))}
        for error, values in zip(errors, (total, part), strict=True):
            values = np.where([first, True], values, NAN).astype("f4")
            arrays[error.name] = field(values.reshape(1, 2, 1, 1))
        made = MeanOfPasses(errors, needed, ((variable, days),)).load()(arrays)
        return [made[error.name].item() for error in errors]

    assert told(first=True)[0] == pytest.approx(means["both"], rel=5e-3)
    assert told(first=True)[1] == pytest.approx(1.4)
    assert told(first=False) == pytest.approx([means["one"], 1.8], rel=5e-3)
    assert np.isnan(told(first=False, needed=2)).all()
    fully = 0.5 * random.sum()  # random parts that are the same in both passes
    assert told(first=True, days=None)[0] == pytest.approx(np.hypot(fully, 1.4))


def test_gates_name_what_is_wrong():
    block = {
        "specific_humidity": field(np.full((1, 1, 1, 1), 0.02)),
        "air_temperature": field(np.full((1, 1, 1, 1), 283.0)),
        "latent_heat_flux": field(np.full((1, 1, 1, 1), 2000.0)),
        "flux_state": field(np.full((1, 1, 1, 1), cf.LAND, "u1")),
    }
    assert "above saturation in 1 of 1" in str(gates.below_saturation(block, ()))
    assert "latent_heat_flux = 2000" in str(gates.valid_range(block, (cf.latent_heat_flux,)))
    assert "1 cells" in str(gates.states_agree(block, ()))


def test_skill_against_numpy():
    rng = np.random.default_rng(1)
    y = rng.normal(size=200)
    x = y + rng.normal(0.5, 0.3, 200)
    x[3] = NAN
    found, ok = skill(x, y), np.isfinite(x)
    assert found.points == 199
    assert found.bias == pytest.approx((x - y)[ok].mean())
    assert found.rmse == pytest.approx(np.sqrt(((x - y)[ok] ** 2).mean()))
    assert found.correlation == pytest.approx(np.corrcoef(x[ok], y[ok])[0, 1])


def test_skill_weighs_points():
    found = skill(np.array([1.0, 3.0]), np.array([0.0, 0.0]), np.array([3.0, 1.0]))
    assert found.bias == pytest.approx(1.5)


def test_every_option_is_explained_and_reaches_the_chain():
    for name, info in deepflux.Options.model_fields.items():
        assert info.description, name
    names = [d.name for d in _chain(deepflux.Options(sensors=("f17",)))]
    assert names == [
        "rss-f17",
        "deepflux-f17",
        "deepflux-merged",
        "oisst",
        "deepflux-sst",
        "deepflux-filled",
        "deepflux-passes",
        "deepflux",
    ]
    baselines = {"fill": "interpolation", "retrieve": "regression", "correct": "none"}
    own = _chain(deepflux.Options(sensors=("amsr2",), sst="satellite", **baselines))
    assert "oisst" not in [d.name for d in own]


def _chain(options):
    from fluxengine.declare import upstream_first

    return upstream_first(deepflux.deepflux(options))


def test_the_physics_of_fluxes_enters_their_key():
    """A block is made again when what made it changes, down to the loops it ran in."""
    fluxes = {product.name: product for product in _chain(deepflux.Options())}["deepflux-passes"]
    names = {name.removeprefix("fluxkernels.") for name in code_digests(fluxes)}
    assert {"coare", "stability", "skin", "humidity", "compile", "cpu", "loops"} <= names


@pytest.mark.parametrize("name", registry.product_names())
def test_a_product_names_no_folder_of_this_installation(name: str) -> None:
    """Workers have their own: in an image, or in another environment."""
    assert str(INSTALLED).encode() not in pickle.dumps(registry.recipe(name).product({}))
