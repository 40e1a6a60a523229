"""Which satellite's wind is closest to reports."""

import numpy as np
import pytest
import xarray as xr

from fluxkernels.bulk import bulk_flux
from fluxrecipes.ranking import FEWEST, Closeness, Winds, closeness, ranking

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
        "platform": np.full(number, "41002"),
        "report_status": np.full(number, 2),
        "wind_method": np.full(number, 2),
        "averaging": np.full(number, 2),
        "wind_quality": np.full(number, 2),
    } | changes
    return xr.Dataset({name: ("report", values) for name, values in columns.items()})


def test_reports_are_brought_to_what_a_satellite_gives() -> None:
    made = bulk_flux(
        TRUTH, 299.0, 298.0, 0.016, height_wind=4.0, height_temperature=3.0, height_humidity=3.0
    )
    winds = Winds.of(reports(3))
    np.testing.assert_allclose(winds.speed, made.neutral_wind_10m)
    assert winds.speed[0] > TRUTH + 0.3


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("report_status", 3),
        ("wind_method", 3),
        ("averaging", 3),
        ("wind_quality", 5),
        ("height_wind", np.nan),
        ("sea_surface_temperature", np.nan),
    ],
)
def test_reports_that_cannot_be_compared_are_left_out(column: str, value: float) -> None:
    given = reports(4)
    values = given[column].values.astype(float)
    values[1] = value
    assert Winds.of(given.assign({column: ("report", values)})).speed.size == 3


def test_platforms_kept_for_validation_take_no_part() -> None:
    names = np.array(["41002", "51WH0", "41002", "32ST0"])
    assert Winds.of(reports(4, platform=names), leave_out=("51WH0", "32ST0")).speed.size == 2


def test_a_pass_is_compared_with_reports_of_its_cell_within_an_hour() -> None:
    winds = Winds.of(reports())
    found = closeness("2004-07", "f13", passes(0.5, 0.0), winds)
    hours = winds.hours % 24
    assert found is not None
    assert found.pairs == int(((abs(hours - 6) <= 1) | (abs(hours - 18) <= 1)).sum())
    assert found.bias == pytest.approx(TRUTH + 0.5 - winds.speed[0])
    assert found.rmse == pytest.approx(abs(found.bias))


def test_each_report_meets_the_cell_that_it_lies_in() -> None:
    given = passes(0.0, 0.0)
    given["wind_speed"][:] = given["lat"] * 100 + given["lon"]
    winds = Winds.of(reports())
    expected = (np.floor(winds.latitude) + 0.5) * 100 + np.floor(winds.longitude) + 0.5
    hours = winds.hours % 24
    near = (abs(hours - 6) <= 1) | (abs(hours - 18) <= 1)
    found = closeness("2004-07", "f13", given, winds)
    assert found is not None
    assert found.bias == pytest.approx((expected - winds.speed)[near].mean())


def test_too_few_pairs_say_nothing() -> None:
    assert closeness("2004-07", "f13", passes(0, 0), Winds.of(reports(FEWEST - 1))) is None
    unseen = passes(0, 0)
    unseen["pass_time"][:] = np.nan
    assert closeness("2004-07", "f13", unseen, Winds.of(reports())) is None


def test_the_closest_of_a_month_comes_first() -> None:
    def one(month: str, satellite: str, rmse: float) -> Closeness:
        return Closeness(month, satellite, 99, rmse, 0.0)

    found = [one("2004-08", "f13", 1.2), one("2004-07", "f15", 1.1), one("2004-07", "f13", 0.9)]
    assert ranking(found) == {"2004-07": ("f13", "f15"), "2004-08": ("f13",)}
