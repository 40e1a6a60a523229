"""The in-situ table: its declaration, and how reports of any provider become its rows."""

import gzip
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fluxengine.errors import DamagedFile, MissingFile, WrongFile
from fluxengine.tables import Feed, Table
from fluxkernels import wet_bulb_temperature
from fluxrecipes.sources import reports, stations
from fluxrecipes.sources.gzipped import text_blocks
from fluxrecipes.sources.insitu import INSITU
from fluxrecipes.sources.reports import Measured, Reports

from .insitu_fuzz import check

NOON = np.array(["2010-07-01T12:00:00"], "M8[s]")


def report(**given) -> Reports:
    """A report of a moored buoy with what is given, at noon."""
    usual = {"feed": reports.NDBC, "time": NOON, "platform": b"X", "kind": reports.MOORED}
    return Reports(**(usual | {"latitude": 10.0, "longitude": -20.0} | given))


def row(**given) -> dict:
    made = reports.rows(report(**given))
    check(made)
    return {name: column[0] for name, column in made.columns.items()}


# --- declaration ----------------------------------------------------------------------------------


def reports_at(lon: float, lat: float, platform: bytes) -> dict[str, np.ndarray]:
    columns = {"longitude": [lon], "latitude": [lat], "platform": [platform]}
    return {name: np.array(values) for name, values in columns.items()}


@pytest.mark.parametrize(
    ("platform", "one", "other", "same"),
    [
        (b"0N0E", (359.98, 0.0), (0.02, 0.01), True),  # a mooring where longitudes begin
        (b"41002", (285.0, 31.8), (285.0, 32.5), False),
        (b"SHIP", (200.5, 10.5), (200.6, 10.5), False),
        (b"SHIP", (200.5, 10.5), (200.5, 10.5), True),
        (b"", (200.5, 10.5), (200.5, 10.6), False),
        (b"WDD1", (10.0, 89.9), (200.0, 89.9), True),  # longitudes meet at the pole
    ],
)
def test_where_reports_are_the_same_platforms(
    platform: bytes, one: tuple[float, float], other: tuple[float, float], same: bool
) -> None:
    places = [reports.place(reports_at(*at, platform)) for at in (one, other)]
    assert (np.abs(places[0] - places[1]).max() <= 1.0) == same


def test_controlled_files_come_before_real_time_and_later_releases_before_earlier() -> None:
    ndbc, icoads = INSITU.feed("ndbc"), INSITU.feed("icoads")
    assert ndbc and ndbc.rank and icoads and icoads.rank
    paths = ["realtime2/41002.txt", "stdmet/Jul/41002.txt", "historical/stdmet/41002h2010.txt.gz"]
    assert sorted(paths, key=ndbc.rank) == paths[::-1]
    paths = ["sub.imma", "IMMA1_R3.0.0_2010-07", "2015/IMMA1_R3.0.1_2015-01", "IMMA1_R3.0.2_2020"]
    assert sorted(paths, key=icoads.rank) == paths[::-1]


def test_the_table_is_declared_in_full():
    assert isinstance(INSITU, Table) and all(isinstance(feed, Feed) for feed in INSITU.feeds)
    names = [variable.name for variable in INSITU.columns]
    assert len(names) == len(set(names)) and "time" not in names
    assert [feed.name for feed in INSITU.feeds] == list(reports.FEEDS.values())
    for feed in INSITU.feeds:
        assert feed.patterns and feed.home.startswith("https://") and feed.licence and feed.cite
    for variable in INSITU.columns:
        assert variable.cf_attributes()["long_name"]
        assert np.dtype(variable.packing.dtype).kind in "Sfu"


def test_declaring_imports_neither_netcdf_nor_xarray_nor_numba():
    heavy = "('xarray', 'netCDF4', 'scipy', 'numba', 'pandas')"
    code = f"import sys, fluxrecipes.sources.insitu; assert not set({heavy}) & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


# --- values, quality, humidity --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "quality", "expected"),
    [
        (290.0, reports.GOOD, reports.GOOD),
        (290.0, reports.DOUBTFUL, reports.DOUBTFUL),
        (290.0, reports.REJECTED, reports.REJECTED),
        (150.0, reports.GOOD, reports.UNUSABLE),
        (np.inf, reports.GOOD, reports.UNUSABLE),
        (np.nan, reports.GOOD, reports.MISSING),
        (np.nan, reports.UNUSABLE, reports.UNUSABLE),
    ],
)
def test_quality_says_why_a_value_is_missing(value, quality, expected):
    found = row(air_temperature=Measured(value, quality), air_pressure=Measured(101_000.0))
    assert found["air_temperature_quality"] == expected
    assert np.isnan(found["air_temperature"]) == (expected >= reports.REJECTED)


def test_of_several_forms_of_humidity_the_first_usable_counts():
    air, wet = Measured(298.15), Measured(294.15, height=3.0)
    pressure = Measured(101_300.0)
    dew = row(air_temperature=air, dew_point=Measured(293.15), wet_bulb=wet, air_pressure=pressure)
    assert dew["humidity_form"] == reports.DEW_POINT
    # 23.37 hPa over water at 20 °C (WMO), 0.4 % more in moist air, at 1013 hPa.
    assert dew["specific_humidity"] == pytest.approx(0.01454, rel=2e-3)
    above = row(air_temperature=air, dew_point=Measured(300.0), wet_bulb=wet, air_pressure=pressure)
    assert above["humidity_form"] == reports.WET_BULB and above["height_humidity"] == 3
    none = row(air_temperature=air, dew_point=Measured(300.0), air_pressure=pressure)
    assert none["humidity_form"] == reports.NO_HUMIDITY
    assert none["humidity_quality"] == reports.UNUSABLE


def test_humidity_without_air_temperature():
    pressure = Measured(101_300.0)
    wet = row(wet_bulb=Measured(294.15, reports.GOOD), air_pressure=pressure)
    assert wet["humidity_quality"] == reports.MISSING
    relative = row(relative_humidity=Measured(0.8, reports.GOOD), air_pressure=pressure)
    assert relative["relative_humidity"] == np.float32(0.8)
    assert relative["humidity_quality"] == reports.GOOD
    dew = row(dew_point=Measured(312.5, reports.GOOD), air_pressure=pressure)
    assert dew["humidity_quality"] == reports.UNUSABLE  # more vapour than there is over any sea


def test_a_standard_pressure_is_assumed_and_said():
    found = row(dew_point=Measured(293.15))
    assert found["humidity_form"] == reports.DEW_POINT + reports.ASSUMED
    same = row(dew_point=Measured(293.15), air_pressure=Measured(reports.STANDARD_PRESSURE))
    assert found["specific_humidity"] == same["specific_humidity"]


@settings(max_examples=50)
@given(st.floats(263.0, 313.0), st.floats(0.1, 1.0), st.floats(95_000.0, 105_000.0))
def test_the_wet_bulb_inverts_the_kernel(air, fraction, pressure):
    humidity = 0.003 + 0.012 * fraction
    wet = wet_bulb_temperature(humidity, air, pressure)
    again = reports.humidity_of_wet_bulb(
        np.array([float(wet)]), np.array([air]), np.array([pressure])
    )
    assert again[0] == pytest.approx(humidity, rel=1e-6)


def test_saturated_sensors_do_not_exceed_saturation():
    air, pressure = Measured(298.15), Measured(101_300.0)
    found = [
        row(air_temperature=air, air_pressure=pressure, relative_humidity=Measured(fraction))
        for fraction in (1.0, 1.02)
    ]
    assert found[0]["specific_humidity"] == found[1]["specific_humidity"]


# --- heights and averaging ------------------------------------------------------------------------


@pytest.mark.parametrize("metres", [0.0, -3.0, 100.5, 1e6, np.inf, np.nan])
def test_heights_that_cannot_be_are_unknown(metres):
    values = {"wind_speed": 5.0, "air_temperature": 290.0, "dew_point": 285.0}
    found = row(**{name: Measured(value, height=metres) for name, value in values.items()})
    heights = [found[f"height_{name}"] for name in ("wind", "air_temperature", "humidity")]
    assert np.isnan(heights).all()


@pytest.mark.parametrize(
    ("metres", "expected"), [(0.0, 0.0), (99.0, 99.0), (-1.0, np.nan), (101.0, np.nan)]
)
def test_depths_that_cannot_be_are_unknown(metres, expected):
    found = row(sea_surface_temperature=Measured(290.0, height=metres))
    np.testing.assert_equal(found["depth_sea_surface_temperature"], expected)


def test_averaging_is_told_from_all_reports_of_a_platform():
    days = NOON + np.arange(3).astype("m8[D]")
    found = reports.Averaging(reports.SHORT)
    assert found.of(b"A") == reports.SHORT
    found.add(days, b"A")
    found.add(NOON + np.arange(3).astype("m8[h]"), np.array([b"B"] * 3))
    found.add(np.array(["NaT"], "M8[s]"), b"C")
    assert found.of(np.array([b"A", b"B", b"A"])).tolist() == [
        reports.LONG, reports.SHORT, reports.LONG
    ]  # fmt: skip
    assert found.of(b"C") == reports.LONG  # as half of the spacings of the others
    found.add(np.empty(0, "M8[s]"), np.empty(0, "S5"))
    assert found.of(np.empty(0, "S5")).shape == (0,)


# --- rows left out --------------------------------------------------------------------------------


def test_reasons_add_up_with_the_readers_own():
    times = np.array(["2010-01-01", "NaT", "2010-01-01", "2010-01-01"], "M8[s]")
    given = report(
        time=times,
        latitude=np.array([0.0, 0.0, 91.0, 0.0]),
        sea_surface_temperature=Measured(np.array([290.0, 290.0, 290.0, np.nan])),
    )
    made = reports.rows(given, Counter({"wrong number of fields": 3}))
    assert made.columns["time"].size == 1
    assert made.rejected == {
        "wrong number of fields": 3,
        "no valid time": 1,
        "no valid position": 1,
        "no usable value": 1,
    }


def test_longitudes_run_from_0_to_360():
    given = report(
        time=np.repeat(NOON, 5),
        longitude=np.array([-180.0, -1e-9, 0.0, 359.5, 360.0]),
        air_pressure=Measured(101_000.0),
    )
    assert reports.rows(given).columns["longitude"].tolist() == [180, 0, 0, 359.5, 0]


@settings(max_examples=50)
@given(st.data())
def test_any_numbers_make_sound_rows(data):
    size = data.draw(st.integers(0, 20))

    def numbers(scale: float):
        elements = st.one_of(st.floats(width=64), st.floats(0.9 * scale, 1.1 * scale))
        return data.draw(hnp.arrays(np.float64, size, elements=elements))

    quality = data.draw(hnp.arrays(np.uint8, size, elements=st.integers(2, 7)))
    with np.errstate(invalid="ignore", over="ignore"):
        made = reports.rows(
            report(
                time=np.repeat(NOON, size),
                latitude=numbers(50.0),
                longitude=numbers(180.0),
                wind_speed=Measured(numbers(10.0), quality),
                wind_from_direction=numbers(180.0),
                air_temperature=Measured(numbers(290.0), quality),
                dew_point=Measured(numbers(285.0), quality),
                relative_humidity=Measured(numbers(0.8), quality),
                wet_bulb=Measured(numbers(288.0), quality),
                sea_surface_temperature=Measured(numbers(290.0), quality),
                air_pressure=Measured(numbers(101_000.0), quality),
            )
        )
    check(made)
    assert made.columns["time"].size + sum(made.rejected.values()) == size


@pytest.mark.parametrize(
    ("date", "second", "expected"),
    [
        ((2000, 2, 29), 86_399, "2000-02-29T23:59:59"),
        ((1900, 2, 29), 0, "NaT"),
        ((2010, 4, 31), 0, "NaT"),
        ((2010, 0, 1), 0, "NaT"),
        ((2010, 1, 1), 86_400, "NaT"),
        ((1649, 1, 1), 0, "NaT"),
        ((1662, 10, 15), 0, "1662-10-15T00:00:00"),
    ],
)
def test_moments(date, second, expected):
    found = reports.moments(*(np.array([part]) for part in (*date, second)))
    assert str(found[0]) == expected


# --- stations and text ----------------------------------------------------------------------------


def test_tables_of_stations_are_known_by_their_bytes(tmp_path):
    files = [tmp_path / "ndbc" / "historical" / name for name in ("41002h2021.txt", "41001.txt")]
    alone = stations.tables(files)
    assert set(alone) == {"packaged", "stations.csv"} and stations.tables([]) == alone
    (tmp_path / "ndbc" / "historical").mkdir(parents=True)
    above = tmp_path / "ndbc" / "stations.csv"
    above.write_text("a")
    told = stations.tables(files)
    assert told != alone and told["packaged"] == alone["packaged"]
    above.write_text("b")
    assert stations.tables(files) not in (alone, told)
    (above.parent / "historical" / "stations.csv").write_text("a")
    assert len(stations.tables(files)["stations.csv"].split()) == 2


def test_the_packaged_stations_are_sound(tmp_path):
    table = stations._table(stations.PACKAGED, 0)
    assert len(table) > 300 and {"41002", "46097", "SATLS", "WHOTS"} <= set(table)
    for name, station in table.items():
        latitude, longitude = station.position
        assert abs(latitude) <= 90 and 0 <= longitude <= 360, name
    assert stations.station("41002", tmp_path / "x").position == (31.759, 285.064)


@settings(max_examples=60)
@given(st.binary(max_size=400), st.integers(1, 50), st.booleans())
def test_blocks_are_the_text_and_end_with_lines(tmp_path_factory, text, size, packed):
    path = tmp_path_factory.getbasetemp() / "blocks"
    if text[:2] == b"\x1f\x8b":
        return
    path.write_bytes(gzip.compress(text) if packed else text)
    blocks = list(text_blocks(path, size, 1000))
    assert b"".join(block for _, block in blocks) == text
    assert [begin for begin, _ in blocks] == np.cumsum([0, *(len(b) for _, b in blocks)])[
        :-1
    ].tolist()
    assert all(block.endswith(b"\n") for _, block in blocks[:-1])


def test_blocks_refuse_what_is_no_text(tmp_path):
    path = tmp_path / "x"
    with pytest.raises(MissingFile):
        list(text_blocks(path, 100, 100))
    path.write_bytes(b"ab\n" + b"x" * 500)
    with pytest.raises(DamagedFile, match="at byte 3 a line has more than 100 bytes"):
        list(text_blocks(path, 50, 100))
    path.write_bytes(gzip.compress(b"line\n" * 1000)[:-9])
    with pytest.raises(DamagedFile, match=r"cut short\. 5,000 bytes could be unpacked"):
        list(text_blocks(path, 50, 100))
    path.write_bytes(gzip.compress(b"line\n" * 1000) + b"garbage")
    with pytest.raises(
        DamagedFile, match=r"stream is whole, but bytes follow .* 5,000 bytes could"
    ):
        list(text_blocks(path, 50, 100))
    with pytest.raises(WrongFile, match="it is a folder, not a file"):
        list(text_blocks(tmp_path, 50, 100))
