"""The ERA5-like files: the delivery's layout, and fields near the truth but not the truth."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr

from fluxrecipes.nature.files import era5

DAY = date(2018, 2, 1)
SEA = slice(120, 601)  # 60 N to 60 S


@pytest.fixture(scope="module")
def files(world, tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("era5")
    for kind in era5.daily_files((0,)):
        kind.write(world, root, DAY)
    return root


@pytest.fixture(scope="module")
def analysis(files) -> xr.Dataset:
    return xr.open_dataset(era5.path(files, DAY)).load()


@pytest.fixture(scope="module")
def truth(world) -> xr.Dataset:
    """At 00 UTC, on the 1° grid from north to south."""
    return world.surface(np.datetime64(DAY, "h"))


def at_cells(field: xr.DataArray) -> np.ndarray:
    """Mean over the nodes within each 1° cell, from south to north: (180, 360)."""
    values = field.values[0][::-1][1:-1]
    rows = np.stack([values[4 * i + 1 : 4 * i + 3].mean(axis=0) for i in range(179)])
    rows = np.vstack([rows, rows[-1:]])
    return rows.reshape(180, 360, 4)[:, :, 1:3].mean(axis=2)


def test_paths(files):
    names = sorted(str(p.relative_to(files)) for p in files.rglob("*.nc"))
    folder = "era5/2018/02/"
    assert names == [f"{folder}era5_20180201.nc", f"{folder}era5_20180201_accum.nc"]


@pytest.mark.parametrize(
    ("suffix", "stream", "shared"), [("", "instant", "sst"), ("_accum", "accum", "slhf")]
)
def test_its_structure_is_that_of_a_real_delivery(files, real_data, suffix, stream, shared):
    real = real_data / f"era5/valdivia/data_stream-oper_stepType-{stream}.nc"
    with (
        netCDF4.Dataset(era5.path(files, DAY, suffix)) as ours,
        netCDF4.Dataset(real) as theirs,
    ):
        assert ours.data_model == theirs.data_model
        assert set(theirs.dimensions) == set(ours.dimensions)
        for name in ("number", "valid_time", "latitude", "longitude", "expver", shared):
            mine, other = ours[name], theirs[name]
            assert (mine.dtype, mine.dimensions) == (other.dtype, other.dimensions)
            if name in ("number", "valid_time", "latitude", "longitude"):
                assert str(mine.__dict__) == str(other.__dict__)
        mine, other = ours[shared], theirs[shared]
        for filters in (mine.filters(), other.filters()):
            assert filters["zlib"] and filters["shuffle"] and filters["complevel"] == 1
        for attribute in (
            "units",
            "long_name",
            "standard_name",
            "GRIB_paramId",
            "coordinates",
            "GRIB_stepType",
            "GRIB_dataType",
            "GRIB_shortName",
            "GRIB_cfName",
        ):
            assert mine.getncattr(attribute) == other.getncattr(attribute), attribute
        assert np.isnan(mine.getncattr("_FillValue"))
        assert ours["expver"][:].tolist() == ["0001"]
        assert "SIMULATED" in ours.institution


def test_grid_and_time(analysis):
    assert analysis.latitude.values[[0, 1, -1]].tolist() == [90.0, 89.75, -90.0]
    assert analysis.longitude.values[[0, -1]].tolist() == [0.0, 359.75]
    assert analysis.valid_time.values.tolist() == [
        np.datetime64("2018-02-01T00:00:00", "ns").astype(int)
    ]
    names = {"u10", "v10", "d2m", "t2m", "msl", "sst", "sp", "siconc", "tcwv", "tclw"}
    assert set(analysis) == names


def test_values_stand_on_gribs_steps(analysis):
    for name in ("t2m", "u10", "tcwv"):
        values = np.unique(analysis[name].values.astype("f8"))
        step = np.diff(values).min()
        assert np.log2(step) == round(np.log2(step))
        assert (values % step == 0).all()
        assert np.ptp(values) / step < 2**16


def test_the_air_at_2_m_is_near_the_truth_and_lower_down_warmer_over_warm_water(analysis, truth):
    gap = (truth.sea_surface_temperature - truth.air_temperature).values
    error = at_cells(analysis.t2m) - truth.air_temperature.values
    band = slice(30, 150)
    assert 0.2 < np.nanstd(error[band]) < 0.9
    warm, cold = (np.nanmean(error[band][where[band]]) for where in (gap > 2, gap < -0.5))
    assert 0.1 < warm - cold < 0.8  # 2 m lies between the sea and 10 m
    assert (analysis.d2m <= analysis.t2m + 1e-2).all()


def test_its_errors_are_smooth_and_its_wind_a_little_weak(analysis, truth):
    speed = at_cells(np.hypot(analysis.u10, analysis.v10))
    strong = truth.wind_speed.values > 14
    assert -1.2 < np.nanmean((speed - truth.wind_speed.values)[strong]) < -0.2
    error = (at_cells(analysis.tcwv) - truth.water_vapour.values)[40:140]
    near = error[:, 1:] * error[:, :-1]
    assert np.nanmean(near) / np.nanvar(error) > 0.5
    assert np.nanstd(error) / np.nanmean(truth.water_vapour.values[40:140]) < 0.1


def test_sst_and_ice_are_missing_over_land_alone(analysis):
    missing = np.isnan(analysis.sst.values[0])
    assert 0.30 < missing.mean() < 0.36
    np.testing.assert_array_equal(missing, np.isnan(analysis.siconc.values[0]))
    assert float(analysis.siconc.max()) <= 1.0
    assert not np.isnan(analysis.t2m.values).any()


def test_accumulations_are_downward_joules_of_an_hour(files, analysis, world):
    from fluxkernels.bulk import bulk_flux

    with xr.open_dataset(era5.accumulated_path(files, DAY)) as file:
        latent, sensible = (-file[name].values[0] / 3600.0 for name in ("slhf", "sshf"))
        rain = file.tp.values[0]
    truth = world.surface(np.datetime64("2018-01-31T23:30"))
    flux = bulk_flux(
        truth.wind_speed.values,
        truth.sea_surface_temperature.values,
        truth.air_temperature.values,
        truth.specific_humidity.values,
    )
    for mine, true in ((latent, flux.latent), (sensible, flux.sensible)):
        found = at_cells(xr.DataArray(mine[None]))[30:150]
        both = np.isfinite(true[30:150])
        assert np.corrcoef(found[both], true[30:150][both])[0, 1] > 0.85
        assert abs(found[both].mean() - true[30:150][both].mean()) < 15
    assert rain.min() >= 0 and 0.5e-4 < rain[SEA].mean() < 4e-4  # metres an hour


def test_an_hour_is_the_same_whatever_other_hours_there_are(world, analysis, tmp_path):
    (instant, _) = era5.daily_files((0, 6))
    instant.write(world, tmp_path, DAY)
    with xr.open_dataset(era5.path(tmp_path, DAY)) as both:
        assert both.sizes["valid_time"] == 2
        np.testing.assert_array_equal(both.t2m[0].values, analysis.t2m[0].values)
        assert not np.array_equal(both.t2m[1].values, both.t2m[0].values)
