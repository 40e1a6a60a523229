"""Monthly means, climatologies and what comes with the fluxes, by hand and beside xarray's own."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from fluxengine import registry
from fluxengine.errors import ConfigError
from fluxkernels.bulk import bulk_flux
from fluxrecipes import vocabulary as cf
from fluxrecipes.error_of_mean import error_of_mean
from fluxrecipes.products import months
from fluxrecipes.stages import surface
from fluxrecipes.stages.averages import Climatology, Departures, MonthlyMeans, mean_of
from fluxrecipes.stages.passes import PASSES, MeanOfPasses
from fluxrecipes.standard_errors import error_of, systematic_error_of

RNG = np.random.default_rng(3)
LATENT = cf.latent_heat_flux


def daily(values: np.ndarray, first: str = "2014-01-01") -> xr.DataArray:
    """On (time, lat, lon), or with an orbit."""
    dims = ("time", "orbit", "lat", "lon") if values.ndim == 4 else ("time", "lat", "lon")
    time = np.datetime64(first) + np.arange(len(values)).astype("m8[D]").astype("m8[ns]")
    return xr.DataArray(values, {"time": time}, dims)


def flux_and_state(days: int = 90) -> dict[str, xr.DataArray]:
    codes = [cf.OBSERVED, cf.COMPLETED, cf.REANALYSIS, cf.NO_OBSERVATION]
    state = RNG.choice(codes, p=[0.5, 0.2, 0.1, 0.2], size=(days, 4, 5)).astype("u1")
    state[:, 0, 0] = cf.LAND
    flux = RNG.normal(100, 30, state.shape).astype("f4")
    flux[state > cf.LAST_VALID] = np.nan
    return {LATENT.name: daily(flux), cf.flux_state.name: daily(state)}


@pytest.mark.parametrize("name", registry.product_names())
def test_every_product_has_the_errors_that_its_variables_name(name: str) -> None:
    published = registry.recipe(name).product({}).publishes
    named = {n for v in published for n in v.attrs.get("ancillary_variables", "").split()}
    assert named <= {variable.name for variable in published}


def test_monthly_means_are_xarrays() -> None:
    arrays = flux_and_state()
    made = MonthlyMeans((LATENT,), min_days=1).load()(arrays)
    flux, state = arrays[LATENT.name], arrays[cf.flux_state.name]
    by_month = flux.resample(time="MS").mean()
    np.testing.assert_allclose(made[LATENT.name].values, by_month.values, rtol=1e-6)
    np.testing.assert_array_equal(made[LATENT.name]["time"].values, by_month["time"].values)
    number = flux.resample(time="MS").count().values
    np.testing.assert_array_equal(made["flux_days"].values, number)
    with np.errstate(invalid="ignore"):
        for name, codes in (
            ("filled_share", [cf.COMPLETED, cf.REANALYSIS]),
            ("reanalysis_share", [cf.REANALYSIS]),
        ):
            share = state.isin(codes).resample(time="MS").sum().values / number
            np.testing.assert_allclose(made[name].values, share, rtol=1e-6)
    assert made["flux_days"].dtype == np.uint8 and not made["flux_days"].values[:, 0, 0].any()


def test_a_month_with_too_few_days_has_no_mean() -> None:
    arrays = flux_and_state(31)
    state = arrays[cf.flux_state.name]
    state.values[9:, 1, 1], state.values[10:, 1, 2] = cf.NO_OBSERVATION, cf.NO_OBSERVATION
    state.values[:9, 1, 1], state.values[:10, 1, 2] = cf.OBSERVED, cf.OBSERVED
    arrays[LATENT.name].values[:, 1, 1:3] = 5.0  # also where no flux is told
    made = MonthlyMeans((LATENT,), min_days=10).load()(arrays)
    assert np.isnan(made[LATENT.name].values[0, 1, 1]) and made["flux_days"].values[0, 1, 1] == 9
    assert made[LATENT.name].values[0, 1, 2] == 5.0 and made["flux_days"].values[0, 1, 2] == 10
    assert np.isnan(made["filled_share"].values[0, 1, 1])


@pytest.mark.parametrize("correlation", [2.5, None])
def test_errors_of_months_are_those_of_means(correlation: float | None) -> None:
    arrays = flux_and_state(31)
    there = np.isfinite(arrays[LATENT.name].values)
    total = np.where(there, RNG.uniform(10, 30, there.shape), np.nan)
    lasting = total * 0.4
    variables = (LATENT, error_of(LATENT), systematic_error_of(LATENT))
    named = dict(zip((v.name for v in variables[1:]), map(daily, (total, lasting)), strict=True))
    stage = MonthlyMeans(variables, 1, ((LATENT, correlation),))
    made = stage.load()(arrays | named)
    for row, column in ((1, 1), (2, 3), (3, 4)):
        asked = float("inf") if correlation is None else correlation
        cell = total[:, row, column], lasting[:, row, column]
        one = error_of_mean(*cell, correlation_days=asked, both_passes=False)
        whole, part = (made[v.name].values[0, row, column] for v in variables[1:])
        assert whole == pytest.approx(one.total, rel=1e-5)
        assert part == pytest.approx(one.systematic, rel=1e-5)
    assert np.isnan(made[variables[1].name].values[0, 0, 0])


def told_and_true(days: float, lost: float, number: int = 4000) -> tuple[float, float]:
    """Standard error of a month as the stages tell it, and of draws; `lost` of the passes are."""
    rng = np.random.default_rng(0)
    alike = np.exp(-0.5 / days)
    errors = rng.standard_normal((60, number))
    for one in range(1, 60):
        errors[one] = alike * errors[one - 1] + np.sqrt(1 - alike**2) * errors[one]
    there = rng.random((30, 2)) >= lost
    there[~there.any(axis=1), 0] = True
    weights = there / there.sum(axis=1, keepdims=True) / 30
    true = (weights.reshape(60, 1) * errors).sum(axis=0).std()
    shape = (30, 2, 1, 1)
    variables = (LATENT, error_of(LATENT), systematic_error_of(LATENT))
    known = np.where(there, 1.0, np.nan).reshape(shape)
    arrays = {v.name: daily(known * x) for v, x in zip(variables, (100.0, 1.0, 0.0), strict=True)}
    state = np.where(there, cf.OBSERVED, cf.NO_OBSERVATION).reshape(shape).astype("u1")
    day = MeanOfPasses(variables, 1, ((LATENT, days),)).load()(
        arrays | {cf.flux_state.name: daily(state)}
    )
    month = MonthlyMeans(variables, 10, ((LATENT, days),), of_passes=True).load()(day)
    return month[variables[1].name].item(), true


@pytest.mark.parametrize("days", [0.24, 0.5, 0.75, 1.12, 1.52, 3.0])
@pytest.mark.parametrize("lost", [0.0, 0.3])
def test_errors_of_months_of_two_passes_a_day_are_those_of_draws(days: float, lost: float) -> None:
    told, true = told_and_true(days, lost, 20_000)
    assert told == pytest.approx(true, rel=0.02)


def test_months_of_days_with_one_pass_are_those_of_single_passes() -> None:
    total = RNG.uniform(10, 30, (31, 2, 2))
    variables = (LATENT, error_of(LATENT), systematic_error_of(LATENT))
    values = zip(variables, (total, total, 0.3 * total), strict=True)
    arrays = {v.name: daily(x) for v, x in values}
    arrays[cf.flux_state.name] = daily(np.full(total.shape, cf.OBSERVED, "u1"))
    plain = MonthlyMeans(variables, 1, ((LATENT, 0.8),)).load()(arrays)
    counted = MonthlyMeans(variables, 1, ((LATENT, 0.8),), of_passes=True).load()
    one, two = (
        counted(arrays | {PASSES.name: daily(np.full(total.shape, n, "u1"))}) for n in (1, 2)
    )
    name = variables[1].name
    np.testing.assert_allclose(one[name], plain[name], rtol=1e-6)
    assert (two[name] > 1.01 * plain[name]).all()


def monthly(years: int, first: int = 2001) -> xr.DataArray:
    values = RNG.normal(size=(12 * years, 3, 2)).astype("f4")
    values[5, 1, 1] = values[17, 1, 1] = np.nan
    months_of = np.datetime64(f"{first}-01") + np.arange(12 * years)
    time = months_of.astype("M8[ns]")
    return xr.DataArray(values, {"time": time, "lat": [0.5, 1.5, 2.5]}, ("time", "lat", "lon"))


def test_a_climatology_is_the_mean_of_its_years_and_departures_are_from_it() -> None:
    given = monthly(5)
    stage = Climatology((LATENT,), 2002, 2004, 3)
    made = stage.load()({LATENT.name: given})["latent_heat_flux_climatology"]
    some = given.sel(time=slice("2002", "2004"))
    by_xarray = some.groupby("time.month").mean(skipna=False)
    np.testing.assert_allclose(made.values, by_xarray.values, rtol=1e-5, atol=1e-6)
    assert made.dims == ("month", "lat", "lon") and made["month"].values[0] == "Jan"
    assert np.isnan(made.values[5, 1, 1])
    loose = Climatology((LATENT,), 2002, 2004, 2).load()({LATENT.name: given})
    assert np.isfinite(loose["latent_heat_flux_climatology"].values[5, 1, 1])
    arrays = {LATENT.name: given, made.name: made}
    apart = Departures((LATENT,)).load()(arrays)["latent_heat_flux_anomaly"]
    expected = given.groupby("time.month") - by_xarray
    np.testing.assert_allclose(apart.values, expected.values, rtol=1e-5, atol=1e-6)


def test_years_of_a_climatology_that_are_swapped_are_refused() -> None:
    years = {"first": 2020, "last": 1992}
    with pytest.raises(ConfigError, match=r"'last' \(1992\) is before 'first' \(2020\)"):
        registry.recipe("deepflux-climatology").product({"climatology": years})


def test_years_that_are_not_there_are_told() -> None:
    with pytest.raises(ConfigError, match="24 months of 2004 to 2006 are there"):
        Climatology((LATENT,), 2004, 2006, 1).load()({LATENT.name: monthly(5)})


def test_means_of_temperatures_and_counts_are_described() -> None:
    made = mean_of(cf.air_temperature)
    assert made.attrs["cell_methods"] == "time: mean" and made.packing.dtype == "f4"
    departures = Departures((cf.air_temperature,)).outputs[0]
    assert departures.attrs["units_metadata"] == "temperature: difference"
    assert departures.standard_name is None


@pytest.mark.parametrize("correct", ["mpfnet", "wind", "none"])
@pytest.mark.parametrize(
    "name",
    [
        "deepflux-surface-passes",
        "deepflux-surface",
        "deepflux-monthly",
        "deepflux-monthly-passes",
        "deepflux-climatology",
        "deepflux-anomalies",
    ],
)
def test_the_products_can_be_made(name: str, correct: str) -> None:
    product = registry.recipe(name).product({"correct": correct})
    assert product.name == name
    wind = registry.recipe("deepflux-surface-passes").product({"correct": correct}).stages[0]
    told = "wind_speed_corrected" if correct == "wind" else "wind_speed"
    assert wind.inputs[0] == told


def test_a_month_rests_on_its_days() -> None:
    product = registry.recipe("deepflux-monthly").product({})
    options = months.Options()
    assert product.reads[0].dataset == registry.recipe("deepflux").product({})
    assert options.daily.model_dump() == registry.recipe("deepflux").options().model_dump()
    (means,), (single,) = (
        registry.recipe(f"deepflux-monthly{end}").product({}).stages for end in ("", "-passes")
    )
    assert PASSES.name in means.inputs and PASSES.name in product.reads[0].variables
    assert PASSES.name not in single.inputs


# --- states of the surface -----------------------------------------------------------------------


def passes() -> dict[str, xr.DataArray]:
    shape = (2, 2, 3, 4)

    def field(low: float, high: float) -> xr.DataArray:
        values = RNG.uniform(low, high, shape).astype("f4")
        coords = {"lat": [-30.5, 0.5, 40.5], "lon": [10.5, 100.5, 190.5, 280.5]}
        return daily(values).assign_coords(coords)

    sea = field(285, 300)
    made = {
        "wind_speed": field(1, 15),
        "sea_surface_temperature": sea,
        "air_temperature": sea - field(0, 3),
        "specific_humidity": field(0.004, 0.006),
        "latent_heat_flux": field(20, 300),
        "pass_time": field(0, 24),
    }
    made["latent_heat_flux"].values[0, 0, 1, 2] = np.nan
    state = np.full(shape, cf.OBSERVED, "u1")
    state[0, 0, 0] = [cf.LAND, cf.COAST, cf.SEA_ICE, cf.NO_OBSERVATION]
    made["flux_state"] = sea.copy(data=state)
    return made


def test_states_of_the_surface_follow_from_the_fluxes() -> None:
    arrays = passes()
    made = surface.SurfaceStates().load()(arrays)
    assert set(made) == {v.name for v in surface.QUANTITIES}
    for variable in surface.QUANTITIES:
        values = made[variable.name].values
        assert np.isnan(values[0, 0, 1, 2]) and np.isfinite(values).sum() == values.size - 1
        low, high = variable.valid_range
        assert np.nanmin(values) >= low and np.nanmax(values) <= high, variable.name
    at = {"time": 1, "orbit": 1, "lat": 2, "lon": 3}
    one = {name: float(array.isel(at)) for name, array in arrays.items()}
    got = {name: float(array.isel(at)) for name, array in made.items()}
    flux = bulk_flux(
        one["wind_speed"],
        one["sea_surface_temperature"],
        one["air_temperature"],
        one["specific_humidity"],
        latitude=40.5,
        wind_kind="neutral",
        at_height=2.0,
    )
    assert got["wind_stress"] == pytest.approx(flux.stress, rel=1e-4)
    assert got["actual_wind_speed"] == pytest.approx(flux.wind_speed, rel=1e-4)
    assert got["air_temperature_2m"] == pytest.approx(flux.air_temperature_at_height, abs=1e-3)
    assert got["sea_surface_humidity"] == pytest.approx(flux.surface_humidity, rel=1e-2)
    difference = one["sea_surface_temperature"] - one["air_temperature"]
    assert got["sea_minus_air_temperature"] == pytest.approx(difference, abs=1e-4)
    # 100 W m-2 evaporate 3.5 mm a day.
    depth = one["latent_heat_flux"] / 100 * 3.5
    assert got["evaporation"] == pytest.approx(depth, rel=0.02)


def test_what_is_within_range_is_so_again_when_it_was_packed() -> None:
    for variable in surface.QUANTITIES:
        low, high = variable.valid_range
        ends = np.array([low, high], np.float32)
        again = variable.packing.unpack(variable.packing.pack(ends, variable.name))
        if low == 0.0 and variable.packing.offset == 0.0:
            assert again[0] == 0.0
        assert np.abs(again - ends).max() <= variable.packing.scale, variable.name
    assert surface.wind_stress.packing.offset == 0.0  # of a calm there is none below 0


def test_what_a_cell_is_and_when_it_was_seen() -> None:
    arrays = passes()
    made = surface.WhenAndWhere().load()(arrays)
    kinds = made["surface_type"].values[0, 0, 0]
    expected = [surface.LAND, surface.COAST, surface.SEA_ICE, surface.OPEN_OCEAN]
    assert kinds.tolist() == expected
    when = arrays["pass_time"]
    hours = (when + when["lon"] / 15.0) % 24.0
    np.testing.assert_allclose(made["local_time"].values, hours.values, atol=1e-4)
