"""Which satellite's wind is closest to reports."""

from datetime import date
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

from fluxengine.place import Folder
from fluxkernels.bulk import bulk_flux
from fluxrecipes import ranking as module
from fluxrecipes.matchups.matching import WITHHELD
from fluxrecipes.ranking import FEWEST, Closeness, closeness, ranking
from fluxrecipes.sources.reports import ICOADS

DAYS = np.arange("2004-07-01", "2004-07-08", dtype="datetime64[D]").astype("datetime64[ns]")
LAT, LON = np.arange(-9.5, 10), np.arange(0.5, 20)
TRUTH = 8.0


def passes(bias: float, noise: float, hour: float = 6.0) -> xr.Dataset:
    shape = (len(DAYS), 2, len(LAT), len(LON))
    random = np.random.default_rng(3)
    dims = ("time", "orbit", "lat", "lon")
    coords = {"time": DAYS, "orbit": ["ascending", "descending"], "lat": LAT, "lon": LON}
    wind = TRUTH + bias + noise * random.standard_normal(shape)
    times = np.broadcast_to(np.array([hour + 12, hour])[None, :, None, None], shape)
    return xr.Dataset({"wind_speed": (dims, wind), "pass_time": (dims, times.copy())}, coords)


def reports(number: int = 400, **changes: object) -> xr.Dataset:
    random = np.random.default_rng(5)
    hours = random.integers(0, 24 * len(DAYS), number)
    columns = {
        "time": DAYS[0] + hours.astype("timedelta64[h]"),
        "latitude": random.uniform(-9.9, 9.9, number),
        "longitude": random.uniform(0.1, 19.9, number),
        "wind_speed": np.full(number, TRUTH),
        "air_temperature": np.full(number, 298.0),
        "specific_humidity": np.full(number, 0.016),
        "sea_surface_temperature": np.full(number, 299.0),
        "height_wind": np.full(number, 4.0),
        "height_air_temperature": np.full(number, 3.0),
        "height_humidity": np.full(number, 3.0),
        "air_pressure": np.full(number, np.nan),
        "platform": np.array([f"P{n:04}" for n in range(number)]),
        "report_status": np.full(number, 2),
        "feed": np.full(number, 2),
        "platform_kind": np.full(number, 4),
        "wind_method": np.full(number, 2),
        "averaging": np.full(number, 2),
        "wind_quality": np.full(number, 2),
        "air_temperature_quality": np.full(number, 2),
        "humidity_quality": np.full(number, 4),
        "sea_surface_temperature_quality": np.full(number, 3),
    } | changes
    return xr.Dataset({name: ("report", values) for name, values in columns.items()})


def neutral_wind(latitude: np.ndarray) -> np.ndarray:
    heights = {"height_wind": 4.0, "height_temperature": 3.0, "height_humidity": 3.0}
    made = bulk_flux(TRUTH, 299.0, 298.0, 0.016, latitude=latitude, **heights)
    return np.asarray(made.neutral_wind_10m)


def near_passes(given: xr.Dataset) -> np.ndarray:
    hours = given["time"].values.astype("datetime64[h]").astype(int) % 24
    return (abs(hours - 6) <= 1) | (abs(hours - 18) <= 1)


def test_a_pass_is_compared_with_reports_of_its_cell_within_an_hour() -> None:
    given = reports()
    found = closeness("2004-07", "f13", passes(0.5, 0.0), given)
    near = near_passes(given)
    expected = neutral_wind(given["latitude"].values)
    assert found is not None
    assert found.pairs == near.sum()
    assert expected[0] > TRUTH + 0.3
    assert found.bias == pytest.approx((TRUTH + 0.5 - expected)[near].mean())
    assert found.rmse == pytest.approx(abs(found.bias), rel=1e-3)


def test_each_report_meets_the_cell_that_it_lies_in() -> None:
    winds = passes(0.0, 0.0)
    winds["wind_speed"][:] = winds["lat"] * 100 + winds["lon"]
    given = reports()
    latitude, longitude = given["latitude"].values, given["longitude"].values
    expected = (np.floor(latitude) + 0.5) * 100 + np.floor(longitude) + 0.5
    found = closeness("2004-07", "f13", winds, given)
    assert found is not None
    difference = (expected - neutral_wind(latitude))[near_passes(given)]
    assert found.bias == pytest.approx(difference.mean())


def test_platforms_kept_for_validation_take_no_part() -> None:
    given = reports()
    left = [name for name in given["platform"].values if name.endswith("7")]
    some = closeness("2004-07", "f13", passes(0, 0), given, leave_out=left)
    near = near_passes(given) & ~np.isin(given["platform"].values, left)
    assert some is not None
    assert some.pairs == near.sum()


def test_a_report_that_comes_twice_counts_once_and_a_withheld_one_under_no_number() -> None:
    given = reports()
    names = given["platform"].values
    through_icoads = {"platform": np.char.add(names, "00"), "feed": np.full(len(names), ICOADS)}
    copy = given.assign({name: ("report", values) for name, values in through_icoads.items()})
    both = xr.concat([given, copy], "report")
    winds = passes(0.3, 0.5)
    assert closeness("2004-07", "f13", winds, both) == closeness("2004-07", "f13", winds, given)
    left = [name for name in names if name.endswith("7")]
    some = closeness("2004-07", "f13", winds, both, left)
    assert some == closeness("2004-07", "f13", winds, given, left)


def test_too_few_pairs_say_nothing() -> None:
    given = reports()
    near = np.flatnonzero(near_passes(given))
    assert closeness("2004-07", "f13", passes(0, 0), given.isel(report=near[:FEWEST])) is not None
    few = given.isel(report=near[: FEWEST - 1])
    assert closeness("2004-07", "f13", passes(0, 0), few) is None
    unseen = passes(0, 0)
    unseen["pass_time"][:] = np.nan
    assert closeness("2004-07", "f13", unseen, given) is None


def test_the_closest_of_a_month_comes_first() -> None:
    def one(month: str, satellite: str, rmse: float) -> Closeness:
        return Closeness(month, satellite, 99, rmse, 0.0)

    found = [one("2004-08", "f13", 1.2), one("2004-07", "f15", 1.1), one("2004-07", "f13", 0.9)]
    assert ranking(found) == {"2004-07": ("f13", "f15"), "2004-08": ("f13",)}


def test_withheld_stations_rank_no_satellite(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else they would choose the very data that they later score."""
    left: list[tuple[str, ...]] = []

    def of_month(*given: object) -> None:
        left.append(tuple(given[-1]))  # type: ignore[arg-type]

    store = SimpleNamespace(names=("insitu", "deepflux-f17"))
    monkeypatch.setattr(module, "Store", SimpleNamespace(at=lambda _: store))
    monkeypatch.setattr(module, "open_dataset", lambda *_: passes(0.0, 0.1))
    monkeypatch.setattr(module, "reports_of", lambda *_: reports())
    monkeypatch.setattr(module, "closeness", of_month)
    module.of_store(Folder(Path("store")), ("f17",), date(2004, 7, 1), date(2004, 7, 31))
    assert left == [WITHHELD]


def test_months_of_the_test_year_are_neither_read_nor_ranked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Their numbers would be looked at, and would decide the merge, with no line in the log."""
    read: list[str] = []

    def reports_of(location: object, month: str) -> None:
        read.append(month)

    store = SimpleNamespace(names=("insitu", "deepflux-f17"))
    monkeypatch.setattr(module, "Store", SimpleNamespace(at=lambda _: store))
    monkeypatch.setattr(module, "open_dataset", lambda *_: passes(0.0, 0.1))
    monkeypatch.setattr(module, "reports_of", reports_of)
    told: list[str] = []
    period = date(2017, 11, 1), date(2019, 2, 28)
    module.of_store(Folder(Path("store")), ("f17",), *period, tell=told.append)
    assert read == ["2017-11", "2017-12", "2019-01", "2019-02"]
    (line,) = told
    assert "2018-01 to 2018-12" in line and "held out" in line and "newest" in line
    module.of_store(
        Folder(Path("store")), ("f17",), date(2019, 1, 1), date(2019, 1, 31), tell=told.append
    )
    assert len(told) == 1
