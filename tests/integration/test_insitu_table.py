"""Reports of all providers in one table: real files and moorings with a file for each quantity."""

import shutil
from collections import Counter
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr
import yaml

from fluxengine.store import open_dataset
from fluxkernels.thermodynamics import specific_humidity
from fluxrecipes.sources import reports

REAL = {
    "ndbc": ["41002h2021.txt", "46042w1996.txt.gz", "46097h201908qc.txt"],
    "imma": ["063-714_2010-07_subset.imma", "icoads_r300_d700_2002-08-01_subset.imma"],
    "whots": ["WHOTS-XX_MET_sys1.txt"],
}


def mooring(folder: Path, name: str, code: str, units: str, values: list[float]) -> None:
    """A GTMBA file of one quantity, hourly on 1 July 2010, at 0N 110W, as EPIC's files are."""
    folder.mkdir(parents=True, exist_ok=True)
    quality = {"AT_21": "QAT_5021", "RH_910": "QRH_5910", "WS_401": "QWS_5401"}[code]
    with netCDF4.Dataset(folder / name, "w", format="NETCDF3_CLASSIC") as file:
        for dim, size in (("time", len(values)), ("depth", 1), ("lat", 1), ("lon", 1)):
            file.createDimension(dim, size)
        file.createVariable("time", "f8", ("time",))[:] = np.arange(len(values))
        file["time"].units = "hours since 2010-07-01 00:00:00"
        for axis, value, unit in (
            ("depth", -3.0, "m"),
            ("lat", 0.0, "degree_north"),
            ("lon", 250.0, "degree_east"),
        ):
            file.createVariable(axis, "f4", (axis,))[:] = value
            file[axis].units = unit
        dims = ("time", "depth", "lat", "lon")
        found = file.createVariable(code, "f4", dims, fill_value=1e35)
        found.units = units
        found[:] = np.array(values).reshape(-1, 1, 1, 1)
        file.createVariable(quality, "f4", dims, fill_value=1e35)[:] = 2.0


@pytest.fixture
def tropical(tmp_path: Path) -> Path:
    folder = tmp_path / "gtmba"
    mooring(folder, "airt0n110w_hr.cdf", "AT_21", "C", [25.0, 25.5, 26.0])
    mooring(folder, "rh0n110w_hr.cdf", "RH_910", "%", [80.0, 81.0, 82.0, 83.0])
    mooring(folder, "w0n110w_hr.cdf", "WS_401", "m/s", [5.0, 6.0])
    return folder


def run_file(folder: Path, **archives: Path) -> Path:
    path = folder / "run.yaml"
    content = {
        "product": "insitu",
        "period": {"first": "1970-01-01", "last": "2025-12-31"},
        "archives": {name: str(root) for name, root in archives.items()},
        "profiles": {"serial": {"store": str(folder / "store"), "cluster": {"kind": "serial"}}},
    }
    path.write_text(yaml.safe_dump(content))
    return path


def month_of(folder: Path, month: str) -> xr.Dataset:
    return open_dataset(folder / "store", "insitu", month=month).load()


def test_quantities_of_a_mooring_come_together_whatever_file_they_are_in(
    fluxforge, tropical: Path, tmp_path: Path
) -> None:
    fluxforge("ingest", "insitu", "-c", run_file(tmp_path, gtmba=tropical), "--feed", "gtmba")
    july = month_of(tmp_path, "2010-07")
    assert july.sizes["report"] == 4 and july["files"].values.tolist() == [3, 3, 2, 1]
    np.testing.assert_allclose(july["wind_speed"], [5, 6, np.nan, np.nan])
    np.testing.assert_allclose(july["air_temperature"], [298.15, 298.65, 299.15, np.nan], rtol=1e-6)
    expected = specific_humidity(
        np.array([0.80, 0.81, 0.82]), np.array([298.15, 298.65, 299.15]), 101_325.0, over="water"
    )
    np.testing.assert_allclose(july["specific_humidity"][:3], expected, rtol=1e-5)
    assert np.isnan(july["specific_humidity"][3])
    np.testing.assert_allclose(july["relative_humidity"], [np.nan] * 3 + [0.83], rtol=1e-6)
    form = reports.RELATIVE + reports.ASSUMED
    assert july["humidity_form"].values.tolist() == [form] * 3 + [reports.NO_HUMIDITY]
    wind = july["wind_quality"].values
    assert (wind[:2] == reports.PROBABLY_GOOD).all() and (wind[2:] == reports.MISSING).all()
    assert (july["air_temperature_quality"].values[:3] == reports.PROBABLY_GOOD).all()


def test_a_file_that_comes_later_completes_the_rows(
    fluxforge, tropical: Path, tmp_path: Path
) -> None:
    config = run_file(tmp_path, gtmba=tropical)
    air = (tropical / "airt0n110w_hr.cdf").rename(tmp_path / "later.cdf")
    fluxforge("ingest", "insitu", "-c", config, "--feed", "gtmba")
    assert np.isnan(month_of(tmp_path, "2010-07")["specific_humidity"]).all()
    air.rename(tropical / "airt0n110w_hr.cdf")
    fluxforge("ingest", "insitu", "-c", config, "--feed", "gtmba")
    assert np.isfinite(month_of(tmp_path, "2010-07")["specific_humidity"]).sum() == 3
    fluxforge("verify", "--store", tmp_path / "store")


def test_real_reports_of_all_providers_lie_in_one_table(
    fluxforge, real_data: Path, tropical: Path, tmp_path: Path
) -> None:
    places = {"ndbc": "historical/stdmet", "imma": "", "whots": ""}
    for kind, names in REAL.items():
        for name in names:
            target = tmp_path / kind / places[kind] / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(real_data / "insitu" / kind / name, target)
    config = run_file(
        tmp_path,
        gtmba=tropical,
        ndbc=tmp_path / "ndbc",
        icoads=tmp_path / "imma",
        whots=tmp_path / "whots",
    )
    feeds = [part for name in ("gtmba", "ndbc", "icoads", "whots") for part in ("--feed", name)]
    told = fluxforge("ingest", "insitu", "-c", config, *feeds, check=3).stderr
    assert "46042w1996.txt.gz: its columns are frequencies: a wave spectrum" in told
    july = month_of(tmp_path, "2010-07")
    feed = july["feed"].attrs
    names = dict(zip(feed["flag_values"], feed["flag_meanings"].split(), strict=True))
    count = Counter(names[code] for code in july["feed"].values.tolist())
    assert count["gtmba"] == 4 and count["icoads"] > 4_000
    assert july.attrs["featureType"] == "point"
    assert (np.diff(july["time"].values) >= np.timedelta64(0)).all()
    summer = month_of(tmp_path, "2021-07")
    assert set(summer["platform"].values.tolist()) == {"41002"}
    told = fluxforge("status", "--store", tmp_path / "store").stdout
    assert "insitu" in told
    again = fluxforge("ingest", "insitu", "-c", config, *feeds, check=3).stdout
    assert "Nothing to do: insitu is up to date" in again
