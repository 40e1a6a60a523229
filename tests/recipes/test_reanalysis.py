"""ERA5 on days without a satellite: cells, hours, wind, and what is filled."""

import numpy as np
import pytest
import xarray as xr

from fluxengine.grid import degrees
from fluxkernels.bulk import bulk_flux
from fluxkernels.thermodynamics import saturation_specific_humidity
from fluxrecipes import vocabulary as cf
from fluxrecipes.constellation import NO_SATELLITE
from fluxrecipes.products import deepflux
from fluxrecipes.stages.reanalysis import (
    FIELDS,
    PREFIX,
    RAIN,
    STATE,
    FillLostDays,
    ReanalysisOnPasses,
    nearest_hour,
)

VALID, NO_VALUE, NOT_IN_FILE = 2, 4, 5
LAT, LON = np.arange(-1, 1.01, 0.25), np.arange(0, 3.01, 0.25)
TYPICAL = {
    "eastward_wind": 6.0,
    "northward_wind": -8.0,
    "air_temperature_2m": 290.0,
    "dew_point_temperature_2m": 286.0,
    "surface_pressure": 101_000.0,
    "sea_surface_temperature": 293.0,
    "sea_ice_fraction": 0.0,
    "water_vapour": 25.0,
    "cloud_liquid_water": 0.1,
    "precipitation_rate": 0.2,
}


def day(hours: list[int], **fields: np.ndarray | float) -> dict[str, xr.DataArray]:
    """One day of ERA5 on three by two cells, with some hours in the file."""
    coords = {
        "time": np.array(["2000-12-01"], "datetime64[ns]"),
        "hour": np.arange(24),
        "lat": LAT,
        "lon": LON,
    }
    shape = tuple(len(c) for c in coords.values())
    made = {}
    for name in (v.name for v in (*FIELDS, RAIN)):
        values = np.broadcast_to(fields.get(name, TYPICAL[name]), shape).astype(float)
        flags = np.full(shape, NOT_IN_FILE, "u1")
        flags[:, hours] = VALID
        flags[np.isnan(values) & (flags == VALID)] = NO_VALUE
        made[name] = xr.DataArray(np.where(flags == VALID, values, np.nan), coords, tuple(coords))
        made[f"{name}_flag"] = xr.DataArray(flags, coords, tuple(coords))
    return made


def on_passes(hours: list[int], **fields: np.ndarray | float) -> dict[str, np.ndarray]:
    stage = ReanalysisOnPasses(degrees(-1, 1, 1), degrees(0, 3, 1))
    made = stage.load()(day(hours, **fields))
    assert set(made) == {v.name for v in stage.outputs}
    assert made["wind_speed"].dims == ("time", "orbit", "lat", "lon")
    np.testing.assert_allclose(made["wind_speed"]["lat"], [-0.5, 0.5])
    np.testing.assert_allclose(made["wind_speed"]["lon"], [0.5, 1.5, 2.5])
    return {name: values.values[0] for name, values in made.items()}


def test_each_column_takes_the_hour_nearest_to_its_local_time() -> None:
    """Of the same day: at 270.5 E it is 18 h at 23:58 UTC, and 0 UTC is of the evening before."""
    longitude = np.array([0.5, 90.5, 180.5, 270.5, 359.5])
    assert nearest_hour(np.arange(24), 18.0, longitude).tolist() == [18, 12, 6, 23, 18]
    assert nearest_hour(np.array([0, 6, 12, 18]), 6.0, longitude).tolist() == [6, 18, 18, 12, 6]
    assert nearest_hour(np.array([23]), 6.0, longitude).tolist() == [23] * 5
    assert nearest_hour(np.array([], int), 6.0, longitude).tolist() == [-1] * 5


def test_passes_are_taken_at_their_hours() -> None:
    hourly = np.arange(24.0)[None, :, None, None]
    made = on_passes(list(range(24)), water_vapour=hourly)
    assert made["pass_time"].tolist() == [[[18.0] * 3] * 2, [[6.0] * 3] * 2]
    np.testing.assert_allclose(made["water_vapour"], made["pass_time"])
    made = on_passes([0], water_vapour=hourly)  # the one hour that most people download
    assert not made["pass_time"].any() and not made["water_vapour"].any()


def test_cells_are_means_of_the_nodes_in_them_and_of_half_of_those_on_their_edges() -> None:
    steps = np.broadcast_to(np.arange(LON.size, dtype=float), (1, 24, LAT.size, LON.size))
    made = on_passes([0], water_vapour=steps)
    np.testing.assert_allclose(made["water_vapour"][0, 0], [2, 6, 10])


def test_winds_that_meet_in_a_cell_do_not_cancel() -> None:
    """A satellite sees how rough the sea is, whatever the wind's direction."""
    against = np.where(np.arange(day([0])["eastward_wind"].sizes["lon"]) % 2, 10.0, -10.0)
    made = on_passes(list(range(24)), eastward_wind=against, northward_wind=0.0)
    expected = on_passes(list(range(24)), eastward_wind=10.0, northward_wind=0.0)
    np.testing.assert_allclose(made["wind_speed"], expected["wind_speed"], rtol=1e-6)


def test_wind_is_the_equivalent_neutral_wind_of_satellites() -> None:
    made = on_passes([0])
    humidity = saturation_specific_humidity(286.0, 101_000.0)
    expected = bulk_flux(
        10.0,
        293.0,
        290.0,
        humidity,
        height_temperature=2.0,
        height_humidity=2.0,
        pressure=101_000.0,
    ).neutral_wind_10m
    np.testing.assert_allclose(made["wind_speed"], expected, rtol=1e-6)
    assert 10.05 < expected < 10.5  # unstable air: more stress than its wind would tell


def test_air_is_brought_from_2_to_10_m() -> None:
    made = on_passes([0])
    humidity = saturation_specific_humidity(286.0, 101_000.0)
    heights = {"height_temperature": 2.0, "height_humidity": 2.0, "pressure": 101_000.0}
    expected = bulk_flux(10.0, 293.0, 290.0, humidity, **heights)
    np.testing.assert_allclose(
        made["air_temperature"], expected.air_temperature_at_height, atol=1e-6
    )
    np.testing.assert_allclose(
        made["specific_humidity"], expected.specific_humidity_at_height, rtol=1e-6
    )
    assert 289.5 < made["air_temperature"].max() < 289.9  # the sea is warmer, the air mixed
    assert made["specific_humidity"].max() < humidity


def test_in_a_calm_below_warm_air_the_profile_does_not_run_away() -> None:
    calm = {"eastward_wind": 0.1, "northward_wind": 0.0, "sea_surface_temperature": 288.0}
    made = on_passes([0], **calm)
    assert (
        bulk_flux(
            0.1, 288.0, 290.0, 0.0086, height_temperature=2.0, height_humidity=2.0
        ).air_temperature_at_height
        > 293.0
    )
    assert 290.0 < made["air_temperature"].max() <= 292.2
    assert np.all((made["specific_humidity"] > 0.004) & (made["specific_humidity"] < 0.011))


def test_land_ice_and_what_the_file_lacks_are_told_apart() -> None:
    sea = np.full((1, 24, LAT.size, LON.size), 293.0)
    sea[..., :4] = np.nan  # land, over the first column of cells
    ice = np.zeros_like(sea)
    ice[..., 8:] = 0.9
    made = on_passes([0], sea_surface_temperature=sea, sea_ice_fraction=ice)
    assert made[STATE.name][0, 0].tolist() == [cf.LAND, cf.REANALYSIS, cf.SEA_ICE]
    assert np.isfinite(made["wind_speed"][0, 0]).tolist() == [False, True, False]
    assert set(on_passes([])[STATE.name].ravel()) == {cf.NO_OBSERVATION}


def merged(satellite: list[list[int]]) -> dict[str, xr.DataArray]:
    """Two days of one pass over two cells; each cell with the satellite that saw it."""
    dims = ("time", "orbit", "lat", "lon")
    seen = np.array(satellite)[:, None, None, :]
    there = seen != NO_SATELLITE
    made = {
        "satellite": seen,
        "pass_time": np.where(there, 18.0, np.nan),
        "wind_speed": np.where(there, 7.0, np.nan),
        "wind_speed_state": np.where(there, cf.OBSERVED, cf.NO_OBSERVATION),
        f"{PREFIX}wind_speed": np.full(seen.shape, 9.0),
        f"{PREFIX}pass_time": np.full(seen.shape, 6.0),
        f"{PREFIX}{STATE.name}": np.full(seen.shape, cf.REANALYSIS),
    }
    made[f"{PREFIX}wind_speed"][..., 1] = np.nan
    made[f"{PREFIX}{STATE.name}"][..., 1] = cf.LAND
    return {name: xr.DataArray(values, dims=dims) for name, values in made.items()}


def test_only_a_day_that_nobody_saw_is_filled() -> None:
    stage = FillLostDays((cf.wind_speed,))
    given = merged([[17, NO_SATELLITE], [NO_SATELLITE, NO_SATELLITE]])
    assert set(stage.inputs) == set(given)
    made = {name: values.values[:, 0, 0] for name, values in stage.load()(given).items()}
    assert set(made) == {v.name for v in stage.outputs}
    np.testing.assert_array_equal(made["wind_speed"], [[7, np.nan], [9, np.nan]])
    assert made["wind_speed_state"].tolist() == [
        [cf.OBSERVED, cf.NO_OBSERVATION],
        [cf.REANALYSIS, cf.LAND],
    ]
    np.testing.assert_array_equal(made["pass_time"][:, 0], [18, 6])


def test_a_field_that_the_reanalysis_lacks_stays_missing() -> None:
    given = merged([[NO_SATELLITE, NO_SATELLITE]])
    given[f"{PREFIX}wind_speed"][...] = np.nan
    given[f"{PREFIX}{STATE.name}"][...] = cf.REANALYSIS
    made = FillLostDays((cf.wind_speed,)).load()(given)
    assert set(made["wind_speed_state"].values.ravel()) == {cf.NO_OBSERVATION}


@pytest.mark.parametrize("sst", ["oisst", "satellite"])
def test_the_product_reads_era5_only_where_it_is_asked_to(sst: str) -> None:
    def inputs(choice: str) -> set[str]:
        options = deepflux.Options(lost_days=choice, sst=sst, sensors=("amsr2",))
        return {read.dataset.name for read in deepflux.merged(options).reads}

    assert inputs("era5") - inputs("leave") == {"deepflux-reanalysis"}
