"""The truth as Zarr stores: what the world says, in any order, whole."""

from __future__ import annotations

import hashlib
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

from fluxrecipes.nature import archive
from fluxrecipes.nature.files import truth
from fluxrecipes.nature.files.table import Selection

FIRST, LAST = date(2018, 1, 31), date(2018, 2, 1)
ONLY_TRUTH = Selection(outputs=("truth",))


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("truth") / "a"
    return archive.simulate(root, FIRST, LAST, seed=2018, selection=ONLY_TRUTH, processes=1)


def digests(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@pytest.mark.filterwarnings("error")
def test_xarray_opens_it_and_finds_the_world(written, world):
    store = xr.open_zarr(written / truth.DAILY.place)
    assert "SIMULATED" in store.attrs["title"]
    assert zarr.open_group(written / truth.DAILY.place, mode="r").metadata.zarr_format == 3
    day = store.sel(time=[np.datetime64("2018-02-01")]).load()
    expected = world.daily_truth(np.datetime64(LAST))
    for name in truth.DAILY.names:
        np.testing.assert_array_equal(day[name].values[0], expected[name].values.astype("f4"))
        assert {"units", "standard_name", "long_name", "cell_methods"} <= set(day[name].attrs)
    np.testing.assert_array_equal(day.lat, expected.lat)
    np.testing.assert_array_equal(day.lon, expected.lon)


def test_what_was_not_simulated_has_no_value_anywhere(written):
    store = xr.open_zarr(written / truth.DAILY.place)
    assert np.isnan(store.air_temperature.sel(time="2018-02-02").values).all()
    assert 0.6 < np.isfinite(store.air_temperature.sel(time="2018-02-01").values).mean() < 0.75


def test_days_added_in_another_order_give_the_same_bytes(written, tmp_path):
    for day in (LAST, FIRST, FIRST):
        archive.simulate(tmp_path / "b", day, day, seed=2018, selection=ONLY_TRUTH, processes=1)
    assert digests(tmp_path / "b") == digests(written)


def test_a_day_cut_short_is_written_again(written, tmp_path):
    before = digests(written)
    step = truth.DAILY.step(LAST)
    truth.DAILY.chunk(written, truth.DAILY.names[-1], step).unlink()  # it is written last
    truth.DAILY.chunk(written, "air_temperature", step).write_bytes(b"torn")
    archive.simulate(written, FIRST, LAST, seed=2018, selection=ONLY_TRUTH, processes=1)
    assert digests(written) == before


def test_moments_at_a_quarter_degree(world, tmp_path):
    truth.HOURLY.create(tmp_path)
    kind = truth.moments((0,))
    kind.write(world, tmp_path, LAST)
    assert kind.place(tmp_path, LAST).exists()
    store = xr.open_zarr(tmp_path / truth.HOURLY.place)
    moment = store.sel(time="2018-02-01T00:00").load()
    coarse = moment.air_temperature.values.reshape(180, 4, 360, 4)
    complete = np.isfinite(coarse).all(axis=(1, 3))
    expected = world.surface(np.datetime64("2018-02-01T00:00")).air_temperature.values
    difference = (coarse.mean(axis=(1, 3)) - expected)[complete]
    # The mean of a 1 degree cell is that of four of its sixteen: right on average.
    assert np.median(np.abs(difference)) < 0.1 and abs(difference.mean()) < 0.01
    np.testing.assert_allclose(
        moment.wind_speed, np.hypot(moment.eastward_wind, moment.northward_wind), rtol=1e-5
    )


def test_days_off_the_axis_are_left_out():
    assert not truth.DAILY.serves(date(1979, 12, 31))
    assert truth.DAILY.serves(date(1992, 1, 1)) and truth.DAILY.serves(date(2020, 12, 31))
