"""The reanalysis on the passes' cells: the ERA5-like files' own fields, at less cost."""

from __future__ import annotations

import hashlib
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

from fluxengine.grid import degrees
from fluxrecipes import vocabulary as cf
from fluxrecipes.nature import archive
from fluxrecipes.nature.files import era5, reanalysis
from fluxrecipes.nature.files.table import Selection
from fluxrecipes.stages.conservative import Shares, edges_about
from fluxrecipes.stages.reanalysis import OUTPUTS, RAIN, SPEED, WIND, as_seen

FIRST, LAST = date(2016, 2, 28), date(2016, 2, 29)
ONLY_REANALYSIS = Selection(outputs=("reanalysis",))
UTC = 6  # an hour that some columns have in each pass
NAMES = {
    "eastward_wind": "u10",
    "northward_wind": "v10",
    "air_temperature_2m": "t2m",
    "dew_point_temperature_2m": "d2m",
    "surface_pressure": "sp",
    "sea_surface_temperature": "sst",
    "sea_ice_fraction": "siconc",
    "water_vapour": "tcwv",
    "cloud_liquid_water": "tclw",
}


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("reanalysis") / "a"
    return archive.simulate(root, FIRST, LAST, seed=2018, selection=ONLY_REANALYSIS, processes=1)


@pytest.fixture(scope="module")
def last_day(written) -> xr.Dataset:
    return xr.open_zarr(written / reanalysis.PLACE).sel(time=np.datetime64(LAST)).load()


@pytest.fixture(scope="module")
def of_files(world) -> dict[str, np.ndarray]:
    """What the ERA5-like fields of one hour become on the cells, all columns at that hour."""
    fields = era5.instant(world, np.datetime64(LAST, "h") + UTC, *era5._surface(world, LAST))
    nodes = {name: fields[short][::-1] for name, short in NAMES.items()}
    nodes[RAIN.name] = np.zeros((721, 1440))
    nodes[SPEED] = np.hypot(*(nodes.pop(name) for name in WIND))
    lat, lon = degrees(-60, 60, 1), degrees(0, 360, 1, periodic=True)
    shares = Shares.between(edges_about(np.arange(-90, 90.1, 0.25)), np.arange(1440) / 4, lat, lon)
    cells = {name: shares.mean(nodes[name], np.isfinite(nodes[name]), 0.5)[None] for name in nodes}
    return as_seen(cells, np.full((1, 360), UTC))


def digests(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@pytest.mark.filterwarnings("error")
def test_it_opens_as_the_dataset_that_the_stage_would_make(written):
    store = xr.open_zarr(written / reanalysis.PLACE)
    assert "SIMULATED" in store.attrs["title"]
    assert set(store.data_vars) == {variable.name for variable in OUTPUTS}
    assert store["orbit"].values.tolist() == ["ascending", "descending"]
    for variable in OUTPUTS:
        assert store[variable.name].dims == ("time", "orbit", "lat", "lon")
        assert variable.is_flag or store[variable.name].attrs["units"] == variable.units
    np.testing.assert_array_equal(store["lat"], np.arange(-59.5, 60))
    np.testing.assert_array_equal(store["lon"], np.arange(0.5, 360))


def test_what_was_not_simulated_has_no_value_and_no_state(written):
    store = xr.open_zarr(written / reanalysis.PLACE).sel(time="2016-03-01")
    assert np.isnan(store["air_temperature"].values).all()
    raw = zarr.open_group(written / reanalysis.PLACE, mode="r")["reanalysis_state"]
    assert not raw[int(np.flatnonzero(raw[:, 0, 60, 180])[-1]) + 1 :].any()


def test_states_tell_where_there_are_values(last_day):
    state = last_day["reanalysis_state"].values
    assert {cf.REANALYSIS, cf.LAND, cf.SEA_ICE} <= set(np.unique(state).tolist())
    for variable in OUTPUTS[:-1]:
        there = np.isfinite(last_day[variable.name].values)
        np.testing.assert_array_equal(there, state == cf.REANALYSIS)
    assert 0.6 < (state == cf.REANALYSIS).mean() < 0.75


def test_columns_are_taken_near_their_local_time(last_day):
    hours = np.nanmax(last_day["pass_time"].values, axis=1)
    local = (hours + last_day["lon"].values / 15.0) % 24.0
    for orbit, wanted in enumerate((18.0, 6.0)):
        apart = np.abs(local[orbit] - wanted)
        apart = np.minimum(apart, 24.0 - apart)
        late = hours[orbit] == 23.0  # the last of the day's hours: 24 UTC is of the next
        assert apart[~late].max() <= 0.55 and apart[late].max() < 1.0


@pytest.mark.parametrize(
    ("name", "rmse"),
    [
        ("air_temperature", 0.25),
        ("specific_humidity", 3e-4),
        ("wind_speed", 0.35),
        ("water_vapour", 0.8),
        ("sea_surface_temperature", 0.15),
    ],
)
def test_it_is_what_the_files_give_at_the_same_hour_and_as_smooth(last_day, of_files, name, rmse):
    here = last_day[name].where(last_day["pass_time"] == UTC).values
    there = np.broadcast_to(of_files[name], here.shape)
    both = np.isfinite(here) & np.isfinite(there)
    assert both.sum() > 500
    difference = (here - there)[both]
    assert abs(difference.mean()) < 0.1 * rmse + 0.02 * np.std(there[both])
    assert np.sqrt((difference**2).mean()) < rmse
    # Second differences along the meridian are what smoothing takes away.
    rough = [np.nanvar(np.diff(np.where(both, x, np.nan), 2, axis=1)) for x in (here, there)]
    assert 0.75 < rough[0] / rough[1] < 1.3


def test_its_errors_are_those_of_a_reanalysis(world, last_day):
    truth = world.surface(np.datetime64(LAST, "h") + UTC, (-60.0, 60.0))
    here = last_day["air_temperature"].where(last_day["pass_time"] == UTC).values[0]
    error = here - truth["air_temperature"].values
    assert 0.3 < np.nanstd(error) < 0.8


def test_days_added_in_another_order_give_the_same_bytes(written, tmp_path):
    for day in (LAST, FIRST, FIRST):
        archive.simulate(
            tmp_path / "b", day, day, seed=2018, selection=ONLY_REANALYSIS, processes=1
        )
    assert digests(tmp_path / "b") == digests(written)


def test_a_day_cut_short_is_written_again(written):
    before = digests(written)
    kind = reanalysis.on_passes()
    kind.place(written, LAST).unlink()  # it is written last
    archive.simulate(written, FIRST, LAST, seed=2018, selection=ONLY_REANALYSIS, processes=1)
    assert digests(written) == before
