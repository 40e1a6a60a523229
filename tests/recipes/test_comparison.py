"""Flux products on one grid: areas are kept, kinds of missing stay apart, days are whole."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fluxengine.declare import upstream_first
from fluxengine.grid import Axis, degrees
from fluxrecipes import gates
from fluxrecipes import vocabulary as cf
from fluxrecipes.products import comparison
from fluxrecipes.sources import era5, flux_files, ncep_r1
from fluxrecipes.stages.conservative import Conservative
from fluxrecipes.stages.daily import LandWithoutWater, MeanOfHours, SpeedOfComponents

NAN = np.nan
GLOBE = {"lat": degrees(-90, 90, 1), "lon": degrees(0, 360, 1, periodic=True)}
FLUX = cf.latent_heat_flux
NAME, FLAG, STATE = FLUX.name, f"{FLUX.name}_flag", f"{FLUX.name}_state"


def on_cells(values, lat, lon, rows="lat", front=()):
    """A field on cells with such centres."""
    coords = {rows: lat, "lon": lon}
    return xr.DataArray(np.asarray(values), dims=(*front, rows, "lon"), coords=coords)


def regridded(values, flags, lat, lon, target=GLOBE, **changes):
    stage = Conservative(((NAME, FLUX),), comparison.REASONS, **target, **changes)
    rows = stage.rows
    return stage.load()(
        {NAME: on_cells(values, lat, lon, rows), FLAG: on_cells(flags, lat, lon, rows)}
    )


def areas(edges):
    return np.diff(np.sin(np.radians(edges)))[:, np.newaxis]


def regular(step, offset=0.5):
    """Centres of a global grid, and the edges of its rows; offset 0 centres cells on the poles."""
    count = round(180 / step) + (offset == 0)
    lat = -90 + step * (np.arange(count) + offset)
    edges = np.clip(-90 + step * (np.arange(count + 1) + offset - 0.5), -90, 90)
    return lat, step * (np.arange(round(360 / step)) + offset), edges


GAUSSIAN = (ncep_r1.LATITUDES, 1.875 * np.arange(192), np.array(ncep_r1.EDGES))
GRIDS = {
    "1 degree": (regular(1.0), {}),
    "quarter": (regular(0.25), {}),
    "quarter on the poles": (regular(0.25, offset=0), {}),
    "wide": (regular(2.5, offset=0), {}),
    "gaussian": (GAUSSIAN, {"rows": "row", "edges": ncep_r1.EDGES}),
}


@pytest.mark.parametrize("grid", GRIDS)
def test_the_mean_over_the_globe_is_kept(grid):
    (lat, lon, edges), how = GRIDS[grid]
    values = np.random.default_rng(3).normal(90, 60, (len(lat), len(lon)))
    made = regridded(values, np.full(values.shape, 2, "u1"), lat, lon, **how)
    before = (values * areas(edges)).sum() / (areas(edges).sum() * len(lon))
    coarse = areas(np.arange(-90, 91))
    after = (made[NAME].values.astype("f8") * coarse).sum() / (coarse.sum() * 360)
    assert after == pytest.approx(before, rel=1e-6)
    assert (made[STATE] == cf.OBSERVED).all()


@settings(max_examples=25)
@given(
    hnp.arrays("f8", (6, 8), elements=st.floats(-200, 800)),
    st.integers(0, 7),
    st.sampled_from([30.0, 60.0, 90.0]),
)
def test_any_field_keeps_its_mean_wherever_its_columns_begin(values, roll, step):
    """The target's cells need not fit: sixths and eighths of the globe to other parts of it."""
    lat, lon = -75 + 30.0 * np.arange(6), 45.0 * np.arange(8)
    target = {"lat": degrees(-90, 90, step), "lon": degrees(0, 360, step, periodic=True)}
    turned = np.roll(values, roll, axis=1)
    made = regridded(turned, np.full((6, 8), 2, "u1"), lat, np.roll(lon, roll), target)
    edges, coarse = np.arange(-90, 91, 30), np.arange(-90, 91, step)
    before = (values * areas(edges)).sum() / 8
    after = (made[NAME].values * areas(coarse)).sum() / (360 / step)
    assert after == pytest.approx(before, rel=1e-5, abs=1e-3)
    low, high = made[NAME].min(), made[NAME].max()
    assert values.min() - 1e-3 <= low and high <= values.max() + 1e-3


def test_a_grid_that_is_ours_is_handed_through():
    lat, lon, _ = regular(1.0)
    values = np.random.default_rng(0).normal(80, 40, (180, 360)).astype("f4")
    made = regridded(values, np.full(values.shape, 2, "u1"), lat, lon)
    np.testing.assert_allclose(made[NAME], values, rtol=1e-6)
    assert np.array_equal(made[NAME]["lat"], lat) and np.array_equal(made[NAME]["lon"], lon)


def test_cells_are_weighed_by_area():
    """Two rows of one cell: the nearer to the pole has less of it."""
    lat, lon = np.array([60.25, 60.75]), np.array([0.25, 0.75])
    target = {"lat": Axis("arcsec", 60 * 3600, 3600, 1), "lon": degrees(0, 1, 1)}
    made = regridded([[1.0, 1.0], [3.0, 3.0]], np.full((2, 2), 2, "u1"), lat, lon, target)
    south, north = areas([60, 60.5, 61]).ravel()
    assert made[NAME].item() == pytest.approx((south + 3 * north) / (south + north))
    assert made[NAME].item() < 2


def test_a_window_that_holds_a_column_twice_counts_it_once():
    """So a periodic axis is read whose first cell is centred on Greenwich."""
    lat, lon, _ = GAUSSIAN
    values = np.random.default_rng(1).normal(80, 40, (94, 192))
    flags = np.full(values.shape, 2, "u1")
    how = {"rows": "row", "edges": ncep_r1.EDGES}
    once = regridded(values, flags, lat, lon, **how)
    again = [0]
    twice = regridded(
        np.hstack([values, values[:, again]]),
        np.hstack([flags, flags[:, again]]),
        lat,
        np.append(lon, 0.0),
        **how,
    )
    xr.testing.assert_allclose(once[NAME], twice[NAME])


def one_degree(valid: int, rest: int):
    """Sixteen quarter-degree cells of one at the equator, the first so many valid."""
    values, flags = np.full(16, NAN), np.full(16, rest, "u1")
    values[:valid], flags[:valid] = np.arange(1, valid + 1), 2
    quarters = np.arange(0.125, 1, 0.25)
    target = {"lat": degrees(0, 1, 1), "lon": degrees(0, 1, 1)}
    made = regridded(values.reshape(4, 4), flags.reshape(4, 4), quarters, quarters, target)
    return made[NAME].item(), made[STATE].item()


@pytest.mark.parametrize(
    ("code", "state"),
    [
        (0, cf.NO_OBSERVATION),
        (1, cf.NO_OBSERVATION),
        (flux_files.NO_VALUE, cf.NO_OBSERVATION),
        (flux_files.LAND, cf.LAND),
        (flux_files.LAKE, cf.LAND),
        (flux_files.SEA_ICE, cf.SEA_ICE),
        (flux_files.UNRESOLVED, cf.NO_RETRIEVAL),
    ],
)
def test_the_kinds_of_missing_stay_apart(code, state):
    value, found = one_degree(4, code)
    assert np.isnan(value) and found == (cf.COAST if state == cf.LAND else state)
    assert one_degree(0, code)[1] == state


def test_half_a_cell_is_enough():
    value, state = one_degree(9, flux_files.LAND)
    assert value == pytest.approx(5, abs=1e-3) and state == cf.OBSERVED


def test_a_source_may_have_more_than_one_code_of_a_value():
    lat, lon, _ = regular(1.0)
    flags = np.full((180, 360), 3, "u1")
    assert np.isnan(regridded(np.ones(flags.shape), flags, lat, lon)[NAME]).all()
    assert (regridded(np.ones(flags.shape), flags, lat, lon, valid=(2, 3))[NAME] == 1).all()


def test_what_is_flagged_valid_but_not_there_does_not_count():
    quarters = np.arange(0.125, 1, 0.25)
    target = {"lat": degrees(0, 1, 1), "lon": degrees(0, 1, 1)}
    values = np.full((4, 4), 7.0)
    values[0, 0] = NAN
    made = regridded(values, np.full((4, 4), 2, "u1"), quarters, quarters, target)
    assert made[NAME].item() == pytest.approx(7)


def test_cells_that_are_not_equally_wide_are_refused():
    with pytest.raises(ValueError, match="not equally wide"):
        regridded(np.ones((3, 4)), np.full((3, 4), 2, "u1"), [0.0, 1.0, 3.0], 90.0 * np.arange(4))


# --- days ----------------------------------------------------------------------------------------


def of_hours(values, states, min_hours=0.5):
    dims = ("time", "hour", "lat", "lon")
    arrays = {
        NAME: xr.DataArray(np.reshape(values, (1, -1, 1, 1)), dims=dims),
        STATE: xr.DataArray(np.reshape(np.array(states, "u1"), (1, -1, 1, 1)), dims=dims),
    }
    made = MeanOfHours((FLUX,), min_hours).load()(arrays)
    return made[NAME].item(), made[STATE].item()


def test_the_mean_of_a_day_needs_enough_of_it():
    observed, ice = cf.OBSERVED, cf.SEA_ICE
    assert of_hours([10, 20, NAN, 60], [observed, observed, ice, observed]) == (30, observed)
    value, state = of_hours([10, NAN, NAN, NAN], [observed, ice, cf.LAND, ice])
    assert np.isnan(value) and state == ice
    assert of_hours([10, NAN, NAN, NAN], [observed, ice, ice, ice], 0.25) == (10, observed)


def test_speed_is_that_of_each_time_not_of_the_mean_wind():
    flag = flux_files.flag_of(cf.wind_speed)
    arrays = {
        "eastward_wind": xr.DataArray([3.0, -3.0], dims="hour"),
        "northward_wind": xr.DataArray([4.0, -4.0], dims="hour"),
        "eastward_wind_flag": xr.DataArray(np.array([2, 4], "u1"), dims="hour"),
    }
    made = SpeedOfComponents(flag).load()(arrays)
    assert made["wind_speed"].values.tolist() == [5.0, 5.0]
    assert made["wind_speed_flag"].values.tolist() == [2, 4]


# --- products ------------------------------------------------------------------------------------

MADE = {name: comparison.comparison(name, comparison.Options()) for name in comparison.MEMBERS}


def inputs_of(product, rng):
    """What the engine would read for two days, seven eighths of it valid."""
    (read,) = product.reads
    source = read.dataset
    axes = list(source.grid.axes.items())[1:]
    coords = {name: axis.coordinate() for name, axis in axes}
    shape = (2, *(axis.length for _, axis in axes))
    flags = rng.choice(np.array([2, 2, 2, 2, 2, 2, 2, 4], "u1"), shape)
    arrays = {}
    for variable in source.provides:
        if variable.name in read.variables:
            usual = {"K": 285, "kg kg-1": 0.01, "W m-2": 50, "m s-1": 6}.get(variable.units, 0)
            values = flags if variable.is_flag else np.full(shape, usual, "f4")
            arrays[variable.name] = xr.DataArray(
                values, dims=("time", *coords), coords={"time": [0, 1], **coords}
            )
    return arrays


@pytest.mark.parametrize("name", [name for name in MADE if name != "era5"])  # 0.5 GB of hours
def test_every_member_comes_on_the_grid_of_deepflux(name):
    """Stages joined as the engine joins them, and the product's own gates."""
    product = MADE[name]
    arrays = inputs_of(product, np.random.default_rng(5))
    for stage in product.stages:
        arrays |= stage.load()({n: arrays[n] for n in stage.inputs})
    block = {variable.name: arrays[variable.name] for variable in product.publishes}
    for variable in product.publishes:
        found = block[variable.name]
        assert found.dims == ("time", "lat", "lon") and found.shape == (2, 120, 360)
        axes = product.grid.axes
        assert np.array_equal(found["lat"], axes["lat"].coordinate())
        assert np.array_equal(found["lon"], axes["lon"].coordinate())
    assert np.nanmean(block["latent_heat_flux"]) == pytest.approx(50, rel=1e-5)
    for gate in product.gates:
        assert gate(block, product.publishes) is None
    if name == "ncep-r1-6h":
        assert np.nanmean(block["wind_speed"]) == pytest.approx(6 * np.sqrt(2), rel=1e-5)


def test_members_publish_both_fluxes_in_one_unit_and_say_whence_they_are():
    for name, product in MADE.items():
        assert product.name == f"comparison-{name}"
        units = {variable.name: variable.units for variable in product.publishes}
        assert units["latent_heat_flux"] == units["sensible_heat_flux"] == "W m-2"
        assert {units[v] for v in units if "temperature" in v and "state" not in v} <= {"K"}
        assert next(iter(upstream_first(product))).name.startswith(name)
        assert product.attrs["references"] and product.attrs["license"]
    assert comparison.MEMBERS["ncep-r1"].origin == cf.REANALYSIS


def test_options_reach_the_stages_and_are_explained():
    chosen = comparison.Options(min_valid=0.25, min_hours=1)
    regrid, mean = comparison.ohf_cdr(chosen).stages
    assert regrid.min_valid == 0.25 and mean.min_hours == 1
    assert all(info.description for info in comparison.Options.model_fields.values())


def test_era5_is_read_with_its_sea_temperature_which_tells_what_is_land():
    product = MADE["era5"]
    assert [read.dataset.name for read in product.reads] == ["era5-fluxes", "era5"]
    assert product.reads[1].variables == ("sea_surface_temperature_flag",)
    assert [type(s).__name__ for s in product.stages] == [
        "LandWithoutWater",
        "Conservative",
        "MeanOfHours",
    ]


def test_fluxes_over_land_are_no_fluxes_of_the_sea():
    flags = tuple(map(era5.flag_of, cf.FLUXES))
    stage = LandWithoutWater(flags, land=255, no_value=era5.NO_VALUE)
    water = np.full((1, 24, 1, 3), era5.NOT_IN_FILE, "u1")
    water[:, 0] = [era5.VALID, era5.NO_VALUE, era5.PRELIMINARY]  # one hour was downloaded
    coords = ("time", "hour", "lat", "lon")
    flux = np.full((1, 24, 1, 3), era5.VALID, "u1")
    given = {v.name: xr.DataArray(flux, dims=coords) for v in flags}
    given["sea_surface_temperature_flag"] = xr.DataArray(water, dims=coords)
    assert set(stage.inputs) == set(given)
    for made in stage.load()(given).values():
        assert made.dtype == np.uint8
        assert made.transpose(*coords).values.tolist() == [[[[2, 255, 2]]] * 24]


def test_the_gate_tells_values_without_state():
    state = xr.DataArray(np.array([cf.OBSERVED, cf.LAND], "u1"))
    block = {NAME: xr.DataArray([1.0, 2.0]), STATE: state}
    said = gates.each_state_agrees(block, (FLUX, cf.state_of(NAME)))
    assert said == "1 cells of latent_heat_flux have a value but no state of one, or reverse."
    assert gates.each_state_agrees({NAME: xr.DataArray([1.0]), STATE: state[:1]}, (FLUX,)) is None
