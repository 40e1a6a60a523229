"""The nature run: random access, and a climate within what is known of the real one."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from fluxkernels.thermodynamics import saturation_specific_humidity
from fluxrecipes.nature import Physics, World, land
from fluxrecipes.nature.fields import Points

NOON = np.datetime64("2018-07-10T12:00")


@pytest.fixture(scope="module")
def truth() -> xr.Dataset:
    """Daily means of four days, one of each season."""
    days = ("2018-01-10", "2018-04-10", "2018-07-10", "2018-10-10")
    parts = [World(5).daily_truth(np.datetime64(day), (-60, 60)) for day in days]
    return xr.concat(parts, "time")


def open_ocean(data: xr.Dataset) -> xr.Dataset:
    return data.where(data.sea_ice_fraction < 0.15)


def mean(values: xr.DataArray) -> float:
    return float(values.weighted(np.cos(np.radians(values.lat))).mean())


def test_any_time_without_stepping_and_two_calls_are_equal(world):
    first = world.surface(NOON)
    world.surface(NOON + np.timedelta64(3000, "D"))
    xr.testing.assert_identical(World(world.seed).surface(NOON), first)


def test_a_part_of_the_globe_is_the_same_as_in_the_whole(world):
    whole, part = world.surface(NOON), world.surface(NOON, (-10, 20))
    xr.testing.assert_identical(whole.sel(lat=part.lat), part)


def test_grid_names_and_land(world):
    surface = world.surface(NOON)
    assert surface.sizes == {"lat": 180, "lon": 360}
    assert (surface.lat[0], surface.lat[-1]) == (-89.5, 89.5)
    assert (surface.lon[0], surface.lon[-1]) == (0.5, 359.5)
    for values in surface.data_vars.values():
        np.testing.assert_array_equal(np.isfinite(values), land.sea_cells())
        assert values.attrs["units"]


def test_it_is_continuous_in_time(world):
    a, b = (open_ocean(world.surface(NOON + np.timedelta64(s, "s"))) for s in (0, 60))
    limits = {"sea_surface_temperature": 0.05, "air_temperature": 0.3, "water_vapour": 1.5}
    for name, limit in limits.items():
        assert float(np.abs(a[name] - b[name]).max()) < limit, name


def test_states_are_single_precision_and_an_empty_question_is_answered(world):
    points = Points(np.array([400]), np.array([200.0], np.float32), np.array([596_000.0]))
    for name in (state := world.state(points)).__dataclass_fields__:
        assert getattr(state, name).dtype == np.float32, name
    assert world.state(points.part(slice(0, 0))).wind_speed.size == 0
    assert np.isnan(world.surface(NOON, (-90, -86)).wind_speed).all()


def test_worlds_of_other_seeds_or_physics_differ(world):
    here, other = world.surface(NOON), World(world.seed + 1).surface(NOON)
    assert float(np.abs(here.wind_speed - other.wind_speed).mean()) > 1.0
    moist = World(world.seed, Physics(scale_height=1.2)).surface(NOON)
    assert float(moist.water_vapour.mean() / here.water_vapour.mean()) > 1.1
    xr.testing.assert_equal(moist.specific_humidity, here.specific_humidity)


def test_the_air_is_never_saturated_and_fields_keep_their_ranges(truth):
    sea = open_ocean(truth)
    saturation = saturation_specific_humidity(
        sea.air_temperature.values, sea.surface_pressure.values
    )
    relative = (sea.specific_humidity / saturation).values
    assert np.nanmax(relative) < 1.0
    assert 0.78 < np.nanmedian(relative) < 0.83
    assert 271.0 < sea.sea_surface_temperature.min() < sea.sea_surface_temperature.max() < 306.0
    assert sea.water_vapour.max() < 85.0
    assert sea.wind_speed.max() < 40.0


def test_global_means_are_those_of_the_real_ocean(truth):
    sea = open_ocean(truth)
    assert 90.0 < mean(sea.latent_heat_flux) < 108.0
    assert 6.0 < mean(sea.sensible_heat_flux) < 15.0
    assert 7.0 < mean(sea.wind_speed) < 8.0
    assert 27.0 < mean(sea.water_vapour) < 33.0
    assert 0.06 < mean(sea.cloud_liquid_water) < 0.11
    assert 2.0 < 24.0 * mean(sea.rain_rate) < 4.5  # mm a day
    assert 0.7 < mean(sea.sea_surface_temperature - sea.air_temperature) < 1.3


def test_sst_has_its_great_features(truth):
    sst = truth.sea_surface_temperature.mean("time") - 273.15

    def at(lat: float, lon: float) -> float:
        box = sst.sel(lat=slice(lat - 2, lat + 2), lon=slice(lon - 3, lon + 3))
        return float(box.mean())

    assert at(0, 155) > 28.0  # warm pool
    assert at(0, 155) - at(-1, 255) > 3.0  # cold tongue
    assert at(-20, 200) - at(-20, 283) > 2.0  # Peru
    assert at(36, 295) - at(46, 308) > 8.0  # across the Gulf Stream
    assert at(58, 345) - at(52, 160) > 3.0  # North Atlantic Drift, Oyashio


@pytest.mark.parametrize(
    ("month", "north", "south"), [("03", (11, 17), (1, 5)), ("09", (3, 8), (14, 21))]
)
def test_sea_ice_covers_what_it_should(world, month, north, south):
    ice = world.surface(np.datetime64(f"2018-{month}-05")).sea_ice_fraction
    area = (12_364.0 * np.cos(np.radians(ice.lat)) * (ice > 0.15)).sum("lon") / 1e6
    assert north[0] < area.where(area.lat > 0).sum() < north[1]  # million km²
    assert south[0] < area.where(area.lat < 0).sum() < south[1]
