"""Files of moorings and ships: read by plain means, against the layouts of the real ones."""

from __future__ import annotations

import gzip
import hashlib
from datetime import date
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr

from fluxrecipes.nature import archive, land
from fluxrecipes.nature.fields import Points, hours_since_epoch
from fluxrecipes.nature.files import gtmba, icoads, oceansites
from fluxrecipes.nature.files.table import Selection
from fluxrecipes.nature.moorings import FLUX_MOORINGS, MOORINGS, position
from fluxrecipes.nature.ships import SHIPS, fleet

FIRST, LAST = date(2018, 1, 31), date(2018, 2, 1)
PLATFORMS = Selection(outputs=("gtmba", "oceansites", "icoads"))
CORE = {  # first column and width of ICOADS' core, as its documentation counts them
    "YR": (0, 4),
    "MO": (4, 2),
    "DY": (6, 2),
    "HR": (8, 4),
    "LAT": (12, 5),
    "LON": (17, 6),
    "IM": (23, 2),
    "ATTC": (25, 1),
    "II": (32, 2),
    "ID": (34, 9),
    "DI": (45, 1),
    "D": (46, 3),
    "WI": (49, 1),
    "W": (50, 3),
    "SLP": (59, 5),
    "IT": (68, 1),
    "AT": (69, 4),
    "DPTI": (78, 1),
    "DPT": (79, 4),
    "SI": (83, 2),
    "SST": (85, 4),
}


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("platforms") / "a"
    return archive.simulate(root, FIRST, LAST, seed=2018, selection=PLATFORMS, processes=1)


def digests(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_days_added_in_another_order_give_the_same_bytes(written, tmp_path):
    for day in (LAST, FIRST):
        archive.simulate(tmp_path / "b", day, day, seed=2018, selection=PLATFORMS, processes=1)
    assert digests(tmp_path / "b") == digests(written)


@pytest.mark.parametrize(
    ("place", "length"),
    [
        ("gtmba/2018/airt0n110w_hr.cdf", 200),
        ("gtmba/2018/w0n110w_dy.cdf", None),
        ("oceansites/DATA/NTAS/OS_NTAS_2018_D_M.nc", 200),
        ("icoads/IMMA1_R3.0.0_2018-02.gz", 200),
        ("icoads/IMMA1_R3.0.0_2018-01.gz", None),
    ],
)
def test_a_lost_or_damaged_file_is_made_anew(written, place, length):
    before, path = digests(written), written / place
    if length is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:length])
    archive.simulate(written, FIRST, LAST, seed=2018, selection=PLATFORMS, processes=1)
    assert digests(written) == before


# --- the tropical arrays -----------------------------------------------------------------------


def test_positions_follow_from_the_sites_names():
    assert position("0n110w") == (0.0, 250.0)
    assert position("1.5s80.5e") == (-1.5, 80.5)
    assert len(MOORINGS) > 100
    for station, _ in MOORINGS.values():
        row, column = int((station.latitude + 90) * 4), int(station.longitude * 4)
        assert not land.rss_land()[row, column], station.name


@pytest.mark.parametrize(
    ("prefix", "names"),
    [
        ("w", {"WU_422", "WV_423", "WS_401", "WD_410", "QWS_5401", "QWD_5410"}),
        ("airt", {"AT_21", "QAT_5021", "SAT_6021"}),
        ("rh", {"RH_910", "QRH_5910", "SRH_6910"}),
        ("sst", {"T_25", "QT_5025", "ST_6025"}),
    ],
)
def test_layout_of_the_arrays_files(written, prefix, names):
    with netCDF4.Dataset(gtmba.path(written, 2018, prefix, "0n110w", "dy")) as file:
        assert file.data_model == "NETCDF3_CLASSIC"
        assert names <= set(file.variables)
        for name in names:
            assert file[name].dimensions == ("time", "depth", "lat", "lon")
            assert file[name].epic_code == int(name.partition("_")[2])
            assert file[name].missing_value == np.float32(1e35)
        assert file["time"].units == "days since 2018-01-31 12:00:00"
        assert file["time"][:].tolist() == [0, 1]
        assert float(file["lon"][0]) == 250.0
        height = {"w": -4.0, "airt": -3.0, "rh": -3.0, "sst": 1.0}[prefix]
        assert float(file["depth"][0]) == height


def test_triton_has_its_own_heights(written):
    with xr.open_dataset(gtmba.path(written, 2018, "w", "0n156e", "hr")) as wind:
        assert float(wind.depth[0]) == -3.5
        assert wind.sizes["time"] == 48


def test_flags_and_fill_go_together_and_codes_are_the_providers(written):
    seen = set()
    for site in MOORINGS:
        with netCDF4.Dataset(gtmba.path(written, 2018, "airt", site, "hr")) as file:
            file.set_auto_mask(False)
            value, quality = file["AT_21"][:].ravel(), file["QAT_5021"][:].ravel()
            np.testing.assert_array_equal(value == np.float32(1e35), quality == 0)
            seen |= set(quality.tolist())
    assert seen <= {0, 1, 2, 3, 4, 5} and {0, 1, 2} <= seen


def test_hourly_values_are_the_truth_with_small_errors(written, world):
    names = list(MOORINGS)
    stations = [MOORINGS[name][0] for name in names]
    start = hours_since_epoch(np.datetime64(LAST))
    row = np.repeat([int((s.latitude + 90) * 4) for s in stations], 24)
    longitude = np.repeat([s.longitude for s in stations], 24).astype("f4")
    truth = world.state(Points(row, longitude, np.tile(start + np.arange(24.0), len(names))))

    def of(prefix: str, code: str, quality: str) -> np.ndarray:
        parts = []
        for name in names:
            with xr.open_dataset(gtmba.path(written, 2018, prefix, name, "hr")) as file:
                parts.append(file[code].where(file[quality].isin([1, 2, 3])).values.ravel()[24:])
        return np.concatenate(parts)

    air = of("airt", "AT_21", "QAT_5021") + 273.15 - truth.air_temperature
    assert abs(np.nanmean(air)) < 0.3 and np.nanstd(air) < 0.35  # 3 m, not 10
    sst = of("sst", "T_25", "QT_5025") + 273.15 - truth.sea_surface_temperature
    assert np.nanstd(sst) < 0.03
    # Toward: with the wind, and so against what NDBC's files say.
    east = of("w", "WU_422", "QWS_5401")
    assert np.corrcoef(east[np.isfinite(east)], truth.eastward_wind[np.isfinite(east)])[0, 1] > 0.95
    direction = of("w", "WD_410", "QWD_5410")
    toward = np.degrees(np.arctan2(truth.eastward_wind, truth.northward_wind)) % 360
    apart = np.abs((direction - toward + 180) % 360 - 180)[truth.wind_speed > 4]
    assert np.nanpercentile(apart, 95) < 15
    humidity = of("rh", "RH_910", "QRH_5910")
    assert 60 < np.nanmean(humidity) < 95 and np.nanmax(humidity) <= 100


def test_daily_values_are_means_of_the_hours(written):
    for site in list(MOORINGS)[::10]:
        with (
            xr.open_dataset(gtmba.path(written, 2018, "airt", site, "hr")) as hours,
            xr.open_dataset(gtmba.path(written, 2018, "airt", site, "dy")) as days,
        ):
            sound = hours.AT_21.where(hours.QAT_5021.isin([1, 2, 3])).values.reshape(2, 24)
            for i in range(2):
                if np.isfinite(sound[i]).sum() >= 12:
                    assert float(days.AT_21[i, 0, 0, 0]) == pytest.approx(np.nanmean(sound[i]))


# --- flux moorings -----------------------------------------------------------------------------


@pytest.mark.parametrize("site", [station.name for station in FLUX_MOORINGS])
def test_oceansites_layout(written, site, real_data):
    template = real_data / "insitu/oceansites/OS_EXAMPLEFILE_FORMAT-1-2_D.nc"
    with (
        netCDF4.Dataset(oceansites.path(written, site, 2018)) as ours,
        netCDF4.Dataset(template) as theirs,
    ):
        assert ours["TIME"].units == theirs["TIME"].units
        assert ours["TIME"].dtype == theirs["TIME"].dtype
        assert {"TIME", "LATITUDE", "LONGITUDE", "DEPTH"} <= set(ours.variables)
        assert ours["AIRT_QC"].conventions == theirs["TEMP_QC"].conventions
        assert ours["AIRT_QC"].dtype == theirs["TEMP_QC"].dtype
        assert ours["TEMP"].units == theirs["TEMP"].units
        assert ours.data_type == theirs.data_type
        assert float(ours["AIRT"].sensor_height) == pytest.approx(3.1)
        assert float(ours["WSPD"].sensor_height) == pytest.approx(3.4)
        for name in ("AIRT", "RELH", "UWND", "TEMP"):
            missing = np.ma.getmaskarray(ours[name][:])
            np.testing.assert_array_equal(missing, ours[f"{name}_QC"][:] == 9)
    with xr.open_dataset(oceansites.path(written, site, 2018)) as day:
        assert str(day.TIME.values[0])[:16] == "2018-01-31T00:00"
        speed = np.hypot(day.UWND, day.VWND)
        np.testing.assert_allclose(speed, day.WSPD, atol=1e-3)
        assert 10 < float(day.AIRT.mean()) < 30 and 940 < float(day.ATMS.mean()) < 1040


# --- ships -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reports(written) -> list[str]:
    text = gzip.decompress(icoads.path(written, 2018, 2).read_bytes()).decode("ascii")
    return text.splitlines()


def column(reports: list[str], name: str, scale: float = 1.0) -> np.ndarray:
    begin, width = CORE[name]
    texts = [line[begin : begin + width].strip() for line in reports]
    return np.array([float(text) * scale if text else np.nan for text in texts])


def attachments(line: str) -> list[tuple[str, str]]:
    """Number and text of each, told apart by their lengths."""
    found, at = [], 108
    while at < len(line):
        number, length = line[at : at + 2].strip(), int(line[at + 2 : at + 4])
        end = at + length if length else len(line)
        found.append((number, line[at:end]))
        at = end
    return found


def test_lines_are_imma1_as_the_real_ones_are(reports, real_data):
    real = (real_data / "insitu/imma/063-714_2010-07_subset.imma").read_text("latin-1")
    theirs = [number for number, _ in attachments(real.splitlines()[0])]
    for line in reports[::50]:
        found = attachments(line)
        assert [number for number, _ in found] == ["1", "7", "98", "99"]
        assert set(theirs) - {number for number, _ in found} == set()
        assert int(line[25]) == len(found)
        assert line[23:25] == " 1"
        assert len(dict(found)["1"]) == 65 and len(dict(found)["98"]) == 15
        assert dict(found)["98"][10:13] == "300"
        assert "SIMULATED" in dict(found)["99"]


def test_reports_are_of_the_day_and_each_has_its_own_number(reports):
    assert {line[:8] for line in reports} == {"2018 2 1"}
    assert sorted({float(hour) for hour in column(reports, "HR", 0.01)}) == [0, 6, 12, 18]
    identities = [dict(attachments(line))["98"][4:10] for line in reports]
    assert len(set(identities)) == len(reports) > 600


def test_values_are_the_truth_with_the_errors_of_ships(reports, world):
    latitude, longitude = column(reports, "LAT", 0.01), column(reports, "LON", 0.01)
    assert ((longitude >= 0) & (longitude < 360)).all()
    row = (4 * (latitude + 90) + 1e-6).astype(int)
    hours = hours_since_epoch(np.datetime64(LAST)) + column(reports, "HR", 0.01)
    truth = world.state(Points(row, longitude.astype("f4"), hours))
    sst = column(reports, "SST", 0.1) + 273.15 - truth.sea_surface_temperature
    assert 0.5 < np.nanstd(sst) < 1.2 and abs(np.nanmean(sst)) < 0.4
    air = column(reports, "AT", 0.1) + 273.15 - truth.air_temperature
    assert 0.5 < np.nanstd(air) < 1.2
    wind = column(reports, "W", 0.1) / truth.wind_speed
    assert 1.0 < np.nanmedian(wind) < 1.3  # measured at 15 to 45 m
    pressure = column(reports, "SLP", 10.0) - truth.surface_pressure
    assert 60 < np.nanstd(pressure) < 150
    assert (column(reports, "DPT") <= column(reports, "AT") + 1)[
        np.isfinite(column(reports, "DPT") + column(reports, "AT"))
    ].all()
    direction = column(reports, "D")
    assert set(direction[np.isfinite(direction)] % 10) <= {0.0, 1.0}  # tens, or 361 for calm
    share_missing = np.isnan(column(reports, "DPT")).mean()
    assert 0.2 < share_missing < 0.4
    np.testing.assert_array_equal(np.isnan(direction), np.isnan(column(reports, "W")))


def test_attachment_7_has_the_heights(reports):
    ships = fleet(2018)
    for line in reports[::40]:
        heights = dict(attachments(line))["7"]
        ship = int(line[37:41])
        assert len(heights) == 58
        assert int(heights[37:40]) == round(ships.thermometer[ship])  # HOT
        assert int(heights[43:46]) == round(ships.anemometer[ship])  # HOA


def test_ships_go_on_without_a_step_and_stay_at_sea():
    ships, start = fleet(1), 596_000.0
    here, soon = (ships.positions(start + hour) for hour in (0.0, 1.0))
    moved = np.abs((soon[1] - here[1] + 180) % 360 - 180) + np.abs(soon[0] - here[0])
    assert moved.max() < 1.0 and np.median(moved) > 0.1
    assert 0.85 < np.mean([ships.positions(start + 6.0 * n)[2].mean() for n in range(20)]) <= 1.0
    assert here[0].size == SHIPS and np.abs(here[0]).max() < 70
