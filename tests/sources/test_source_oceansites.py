"""OceanSITES moorings: names, flags, heights, directions, levels; what is not at the surface."""

from pathlib import Path

import netCDF4
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluxengine.errors import DamagedFile, MissingFile, WrongFile
from fluxrecipes.sources import reports, station_netcdf
from fluxrecipes.sources.oceansites import read

from .insitu_fuzz import check, decoded, whole

TEMPLATE = "insitu/oceansites/OS_EXAMPLEFILE_FORMAT-1-2_D.nc"
HOURS = 22_000 + np.arange(4) / 24  # 2010-03-27, days since 1950
# Name: values, units, attributes
MET = {
    "AIRT": ([24.0, 24.5, 25.0, 25.5], "degree_Celsius", {"sensor_height": 2.7}),
    "RELH": ([70.0, 75.0, 80.0, 85.0], "percent", {"sensor_height": 2.6}),
    "ATMS": ([1015.0, 1015.5, 1016.0, 1016.5], "mbar", {}),
    "UWND": ([-6.0, -6.0, 0.0, 3.0], "m s-1", {"sensor_height": "3.3 m"}),
    "VWND": ([0.0, -8.0, 5.0, 4.0], "m s-1", {}),
    "TEMP": ([25.0, 25.1, 25.2, 25.3], "degree_C", {"sensor_depth": 1.5}),
}


def mooring(
    path: Path, variables: dict, flags: dict | None = None, kind="NETCDF4", times=HOURS
) -> Path:
    """A file as a site's data centre writes it, with flags where given."""
    with netCDF4.Dataset(path, "w", format=kind) as file:
        file.site_code, file.platform_code = "WHOTS", "WHOTS-7"
        for name, size in (("TIME", None), ("LATITUDE", 1), ("LONGITUDE", 1)):
            file.createDimension(name, size)
        axes = {
            "TIME": (times, "days since 1950-01-01T00:00:00Z"),
            "LATITUDE": ([22.75], "degrees_north"),
            "LONGITUDE": ([-157.9], "degrees_east"),
        }
        for name, (values, units) in axes.items():
            made = file.createVariable(name, "f8", (name,))
            made.units = units
            made[:] = values
        for name, (values, units, attrs) in variables.items():
            made = file.createVariable(name, "f4", ("TIME",), fill_value=-9999.0)
            made.units = units
            made.setncatts(attrs)
            made[:] = values
        for name, codes in (flags or {}).items():
            made = file.createVariable(f"{name}_QC", "i1", ("TIME",), fill_value=-128)
            made[:] = codes
    return path


def with_levels(path: Path, depths: list[float], name: str = "DEPTH") -> Path:
    """A file of temperatures at several depths."""
    mooring(path, {})
    with netCDF4.Dataset(path, "a") as file:
        file.createDimension(name, len(depths))
        made = file.createVariable(name, "f4", (name,))
        made.units, made[:] = "m", depths
        made = file.createVariable("TEMP", "f4", (name, "TIME"))
        made.units = "degree_Celsius"
        made[:] = 10 + np.arange(len(depths))[:, None] + np.arange(4) / 10
        made = file.createVariable("TEMP_QC", "i1", (name, "TIME"))
        made[:] = 4
        made[-1] = 1
    return path


def test_the_real_template_of_the_deep_ocean_is_refused(real_data):
    with pytest.raises(WrongFile, match="TEMP is not within 5 m of the surface"):
        whole(read, real_data / TEMPLATE)


@pytest.mark.parametrize("kind", ["NETCDF3_CLASSIC", "NETCDF4"])
def test_a_mooring_with_all_that_is_used(tmp_path, kind):
    rows = whole(read, mooring(tmp_path / "OS_WHOTS_2010_D_M.nc", MET, kind=kind))
    check(rows)
    columns = rows.columns
    assert columns["time"].astype(str).tolist() == [
        f"2010-03-27T0{hour}:00:00" for hour in range(4)
    ]
    assert set(columns["platform"]) == {b"WHOTS"}
    assert columns["longitude"][0] == pytest.approx(202.1)
    assert columns["wind_speed"].tolist() == [6, 10, 5, 5]
    np.testing.assert_allclose(columns["wind_from_direction"], [90, 36.87, 180, 216.87], atol=0.01)
    assert columns["air_temperature"][0] == pytest.approx(297.15)
    # 70 % of 29.96 hPa at 24 °C and 1015 hPa.
    assert columns["specific_humidity"][0] == pytest.approx(0.01295, rel=5e-3)
    assert columns["sea_surface_temperature"][3] == pytest.approx(298.45)
    assert columns["air_pressure"].tolist() == [101_500, 101_550, 101_600, 101_650]
    heights = [columns[name][0] for name in ("height_wind", "height_air_temperature")]
    assert heights == pytest.approx([3.3, 2.7])
    assert columns["height_humidity"][0] == np.float32(2.6)
    assert columns["depth_sea_surface_temperature"][0] == 1.5


def test_flags(tmp_path):
    long = {"AIRT": MET["AIRT"], "TEMP": MET["TEMP"]}
    path = mooring(tmp_path / "OS_X.nc", long, {"AIRT": [1, 2, 3, 8], "TEMP": [0, 5, 9, 4]})
    rows = whole(read, path)
    check(rows)
    assert rows.rejected == {"no usable value": 1}
    assert rows.columns["air_temperature_quality"].tolist() == [
        reports.GOOD, reports.PROBABLY_GOOD, reports.DOUBTFUL
    ]  # fmt: skip
    assert rows.columns["sea_surface_temperature_quality"].tolist() == [
        reports.NOT_CHECKED, reports.PROBABLY_GOOD, reports.REJECTED
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["NETCDF3_CLASSIC", "NETCDF4"])
def test_flags_may_be_characters(tmp_path, kind):
    path = mooring(tmp_path / "OS_X.nc", {"AIRT": MET["AIRT"], "TEMP": MET["TEMP"]}, kind=kind)
    with netCDF4.Dataset(path, "a") as file:
        for name, codes in {"AIRT": b"124 ", "TEMP": b"\x00151", "TIME": b"1114"}.items():
            fill = b" " if name == "AIRT" else b"\xff"
            made = file.createVariable(f"{name}_QC", "S1", ("TIME",), fill_value=fill)
            made.setncatts({"valid_min": "0", "valid_max": "9"})
            made[:] = np.frombuffer(codes, "S1")
    rows = whole(read, path)
    assert rows.rejected == {"no valid time": 1}
    assert rows.columns["air_temperature_quality"].tolist() == [
        reports.GOOD, reports.PROBABLY_GOOD, reports.REJECTED
    ]  # fmt: skip
    assert rows.columns["sea_surface_temperature_quality"].tolist() == [
        reports.NOT_CHECKED, reports.GOOD, reports.PROBABLY_GOOD
    ]  # fmt: skip


def test_a_quantity_in_characters_is_refused(tmp_path):
    path = mooring(tmp_path / "OS_X.nc", {"TEMP": MET["TEMP"]})
    with netCDF4.Dataset(path, "a") as file:
        file.createVariable("AIRT", "S1", ("TIME",)).units = "degree_Celsius"
    with pytest.raises(WrongFile, match=r"AIRT holds \|S1, no numbers"):
        whole(read, path)


def test_a_time_that_is_flagged_bad_is_no_time(tmp_path):
    path = mooring(tmp_path / "OS_X.nc", MET, {"TIME": [1, 4, 1, 1]})
    assert whole(read, path).rejected == {"no valid time": 1}


@pytest.mark.parametrize(
    ("attrs", "expected"),
    [
        ({"standard_name": "wind_from_direction"}, 100),
        ({"standard_name": "wind_to_direction"}, 280),
        ({"long_name": "direction the wind blows toward"}, 280),
        ({"long_name": "wind direction"}, np.nan),  # which of both, nobody says
        (
            {
                "standard_name": "wind_to_direction",
                "long_name": "wind direction, toward, clockwise from true north",
            },
            280,
        ),
        ({"standard_name": "wind_to_direction", "long_name": "from which it blows"}, 280),
        ({"standard_name": "wind_from_direction", "long_name": "from, relative to north"}, 100),
        ({"long_name": "wind direction, to, clockwise from true north"}, 280),
        ({"long_name": "wind from direction, clockwise from north"}, 100),
        ({"long_name": "wind direction, clockwise from north"}, np.nan),
        ({"long_name": "wind direction relative to true north"}, np.nan),
    ],
)
def test_direction_is_believed_only_if_it_says_which_it_is(tmp_path, attrs, expected):
    wind = {
        "WSPD": ([5.0] * 4, "m/s", {}),
        "WDIR": ([100.0] * 4, "degree", attrs),
    }
    columns = whole(read, mooring(tmp_path / "OS_X.nc", wind)).columns
    np.testing.assert_equal(columns["wind_from_direction"], [expected] * 4)


@pytest.mark.parametrize(("name", "depths"), [("DEPTH", [100, 10, 1]), ("HEIGHT", [-50, -9, -1])])
def test_the_level_next_to_the_surface_is_taken(tmp_path, name, depths):
    columns = whole(read, with_levels(tmp_path / "OS_X.nc", depths, name)).columns
    np.testing.assert_allclose(columns["sea_surface_temperature"], 285.15 + np.arange(4) / 10)
    assert set(columns["depth_sea_surface_temperature"]) == {1}
    assert set(columns["sea_surface_temperature_quality"]) == {reports.GOOD}


def test_what_is_deeper_is_no_surface_temperature(tmp_path):
    with pytest.raises(WrongFile, match="not within 5 m"):
        whole(read, with_levels(tmp_path / "OS_X.nc", [10, 40]))


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"PSAL": ([35.0] * 4, "1", {})}, "no quantity of the air"),
        ({"AIRT": ([75.0] * 4, "degree_F", {})}, "AIRT is in 'degree_F', not in one of"),
        ({"ATMS": ([29.9] * 4, "inHg", {})}, "ATMS is in 'inHg'"),
    ],
)
def test_other_quantities_and_units_are_refused(tmp_path, variables, words):
    with pytest.raises(WrongFile, match=words):
        whole(read, mooring(tmp_path / "OS_X.nc", variables))


def test_fill_values_and_nonsense_are_missing(tmp_path):
    met = {"AIRT": ([-9999.0, np.nan, 1e35, 99.0], "degC", {})} | {"TEMP": MET["TEMP"]}
    columns = whole(read, mooring(tmp_path / "OS_X.nc", met)).columns
    assert np.isnan(columns["air_temperature"]).all()
    assert columns["air_temperature_quality"].tolist() == [
        *[reports.MISSING] * 3, reports.UNUSABLE
    ]  # fmt: skip


def stored(path: Path, values: np.ndarray, **attrs) -> np.ndarray:
    """Air temperatures [degrees Celsius] as read from a file that has just these numbers."""
    mooring(path, {"TEMP": MET["TEMP"]})
    with netCDF4.Dataset(path, "a") as file:
        fill = attrs.pop("_FillValue", None)
        made = file.createVariable("AIRT", values.dtype, ("TIME",), fill_value=fill)
        made.set_auto_maskandscale(False)
        made.units = "degree_Celsius"
        made.setncatts(attrs)
        made[:] = values
    return whole(read, path).columns["air_temperature"] - 273.15


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("f4", np.float64(-9.99)),
        ("f8", np.float32(-9.99)),
        ("f4", "-9.99"),
        ("f4", np.array([-99.0, -9.99])),
        ("f8", ["-99", "-9.99"]),
    ],
)
def test_a_missing_value_of_another_type_is_missing(tmp_path, kind, code):
    given = np.array([20.0, -9.99, 21.0, 22.0], kind)
    found = stored(tmp_path / "OS_X.nc", given, missing_value=code)
    np.testing.assert_allclose(found, [20, np.nan, 21, 22], atol=1e-4)


def test_an_integer_code_of_numbers_with_fractions(tmp_path):
    found = stored(tmp_path / "OS_X.nc", np.array([20, 9, 21, 22], "f4"), missing_value=np.int16(9))
    np.testing.assert_allclose(found, [20, np.nan, 21, 22], atol=1e-4)


@pytest.mark.parametrize("name", ["missing_value", "scale_factor", "valid_min"])
def test_an_attribute_that_is_no_number_is_refused(tmp_path, name):
    given = np.array([20.0, 21.0, 22.0, 23.0], "f4")
    with pytest.raises(WrongFile, match=f"AIRT has a {name} of 'nine', which is no number"):
        stored(tmp_path / "OS_X.nc", given, **{name: "nine"})
    assert stored(tmp_path / "OS_X.nc", given, **{name: " "})[0] == pytest.approx(20, abs=1e-4)


PACKED = {"scale_factor": 0.1, "add_offset": 5.0}


@pytest.mark.parametrize(
    ("given", "attrs", "expected"),
    [
        (np.array([5, -1, 30, 41], "f4"), {"valid_min": 0.0, "valid_max": 40.0}, [5, 0, 30, 0]),
        (np.array([5, -1, 30, 41], "f4"), {"valid_range": np.array([0.0, 40.0])}, [5, 0, 30, 0]),
        (np.array([0.3, 0.2], "f4").repeat(2), {"valid_min": 0.3}, [0.3, 0.3, 0, 0]),
        (
            np.array([200, 210, -100, 401], "i2"),
            {"valid_range": np.array([0, 400], "i2"), **PACKED},
            [25, 26, 0, 0],
        ),
        (
            np.array([200, 210, -100, 400], "i2"),
            {"valid_range": np.array([0.0, 40.0]), **PACKED},  # with fractions: as unpacked
            [25, 26, 0, 0],
        ),
    ],
)
def test_what_is_outside_of_the_valid_range_is_missing(tmp_path, given, attrs, expected):
    found = stored(tmp_path / "OS_X.nc", given, **attrs)
    wanted = np.where(np.array(expected) == 0, np.nan, expected)
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_a_range_of_times_that_counts_from_another_year_is_ignored(tmp_path):
    path = mooring(tmp_path / "OS_X.nc", MET)
    with netCDF4.Dataset(path, "a") as file:  # as the template of the data centres has it
        file["TIME"].setncatts({"valid_min": 730_486.0, "valid_max": 730_505.0})
    assert whole(read, path).columns["time"].size == 4


def test_unsigned_numbers_in_types_without_them(tmp_path):
    given = np.array([200, 210, 30, 255], "u1").view("i1")
    attrs = {"_Unsigned": "true", "scale_factor": 0.1, "valid_max": np.int8(-2)}  # 254
    found = stored(tmp_path / "OS_X.nc", given, **attrs)
    np.testing.assert_allclose(found, [20, 21, 3, np.nan], atol=1e-4)
    found = stored(tmp_path / "OS_X.nc", given, _FillValue=np.int8(-1), **attrs)
    np.testing.assert_allclose(found, [20, 21, 3, np.nan], atol=1e-4)


@pytest.mark.parametrize("calendar", ["noleap", "julian", "360_day"])
def test_times_of_another_calendar_are_refused(tmp_path, calendar):
    path = mooring(tmp_path / "OS_X.nc", MET)
    with netCDF4.Dataset(path, "a") as file:
        file["TIME"].calendar = "Gregorian"
    assert whole(read, path).columns["time"].size == 4
    with netCDF4.Dataset(path, "a") as file:
        file["TIME"].calendar = calendar
    with pytest.raises(WrongFile, match=f"its times are in the calendar '{calendar}'"):
        whole(read, path)


# --- how long values are means of, and how high sensors are ---------------------------------------


def spaced(path: Path, days: np.ndarray, attrs: dict | None = None, **of_the_file) -> set[int]:
    """What is said of the averaging of a mooring's reports at some days."""
    air = {"AIRT": (np.full(len(days), 24.0), "degree_Celsius", attrs or {})}
    with netCDF4.Dataset(mooring(path, air, times=days), "a") as file:
        file.setncatts(of_the_file)
    return set(whole(read, path).columns["averaging"].tolist())


MEAN = {"cell_methods": "TIME: mean (interval: 10 minutes)"}
POINT = {"cell_methods": "TIME: point LATITUDE: point"}


@pytest.mark.parametrize(
    ("days", "attrs", "resolution", "expected"),
    [
        (22_000 + np.arange(4.0), {}, "", reports.LONG),
        (22_003 - np.arange(4.0), MEAN, "", reports.LONG),  # the newest first
        (HOURS, MEAN, "", reports.SHORT),
        (HOURS, {}, "PT1H", reports.SHORT),
        (HOURS, {}, "P1D", reports.SHORT),  # what times show counts
        (HOURS, {}, "P60.00M", reports.SHORT),  # as Woods Hole has it, for PT60M
        (HOURS[:1], {}, "", reports.SHORT),
        (HOURS[:1], POINT, "", reports.SHORT),
        (HOURS[:1], MEAN, "", reports.LONG),  # of how long, nobody says
        (HOURS[:1], POINT, "P1D", reports.LONG),
        (HOURS[:1], POINT, "PT180M", reports.LONG),
        (HOURS[:1], POINT, "P0Y0M0DT1H0M0S", reports.SHORT),
    ],
)
def test_means_of_a_day_are_told_apart(tmp_path, days, attrs, resolution, expected):
    found = spaced(tmp_path / "OS_X.nc", days, attrs, time_coverage_resolution=resolution)
    assert found == {expected}


def test_the_last_part_of_a_daily_file_is_daily_too(tmp_path, monkeypatch):
    monkeypatch.setattr(station_netcdf, "PART", 3)
    assert spaced(tmp_path / "OS_X.nc", 22_000 + np.arange(4.0)) == {reports.LONG}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("2.5 m above the sea", 2.5),
        ("250 cm above the sea", 2.5),
        ("99 cm", 0.99),
        (-2.5, 2.5),
        ("0.0", np.nan),
        (0.0, np.nan),
        (10_000.0, np.nan),
        (np.float32(1e35), np.nan),
    ],
)
def test_heights_that_cannot_be_are_unknown(tmp_path, given, expected):
    air = {"AIRT": ([24.0] * 4, "degree_Celsius", {"sensor_height": given})}
    columns = whole(read, mooring(tmp_path / "OS_X.nc", air)).columns
    np.testing.assert_allclose(columns["height_air_temperature"], expected, rtol=1e-6)


def as_woods_hole_has_it(path: Path, kind: str, position: tuple[str, ...]) -> Path:
    """Heights as coordinates of one value, named by the variables; ranges of all, places too."""
    with netCDF4.Dataset(path, "w", format=kind) as file:
        file.site_code = "SPURS"
        for name, size in (("TIME", 4), ("LATITUDE", 1), ("LONGITUDE", 1)):
            file.createDimension(name, size)
        made = file.createVariable("TIME", "f8", ("TIME",))
        made.units, made[:] = "days since 1950-01-01 00:00:00", HOURS
        for name, value in (("LATITUDE", 24.581116666666667), ("LONGITUDE", -38.0)):
            made = file.createVariable(name, "f8", (name,) if position else ())
            made.setncatts({"valid_min": value, "valid_max": value})
            made[...] = value
        heights = {"DEPTH": 0.865, "HEIGHT_RHAT": 2.945, "HEIGHT_WND": 3.295, "HEIGHT_SW": 3.4}
        for name, value in heights.items():
            made = file.createVariable(name, "f8", ())
            made.setncatts({"axis": "Z", "positive": "down" if name == "DEPTH" else "up"})
            made[...] = value
        where = {"AIRT": "HEIGHT_RHAT", "RELH": "HEIGHT_RHAT", "TEMP": "DEPTH"}
        for name, (values, units, _) in MET.items():
            made = file.createVariable(name, "f8", ("TIME",))
            at = where.get(name, "HEIGHT_WND")
            attrs = {"FillValue": 1e35, "coordinates": f"TIME {at} LATITUDE LONGITUDE"}
            made.setncatts(attrs | {"units": units, "valid_min": -20.0, "valid_max": 1100.0})
            made[:] = values
    return path


@pytest.mark.parametrize("kind", ["NETCDF4", "NETCDF3_CLASSIC"])
@pytest.mark.parametrize("position", [("LATITUDE",), ()])
def test_heights_may_be_coordinates_of_one_value(tmp_path, kind, position):
    path = as_woods_hole_has_it(tmp_path / "OS_SPURS_2012_D_M.nc", kind, position)
    rows = whole(read, path)
    check(rows)
    columns = rows.columns
    assert columns["time"].size == 4 and set(columns["platform"]) == {b"SPURS"}
    np.testing.assert_allclose(columns["latitude"], 24.581116666666667, rtol=1e-7)
    assert set(columns["longitude"]) == {322}
    for name, height in (("wind", 3.295), ("air_temperature", 2.945), ("humidity", 2.945)):
        np.testing.assert_allclose(columns[f"height_{name}"], height, rtol=1e-6)
    np.testing.assert_allclose(columns["depth_sea_surface_temperature"], 0.865, rtol=1e-6)
    np.testing.assert_allclose(columns["wind_speed"], [6, 10, 5, 5])


# --- damaged files --------------------------------------------------------------------------------


def test_no_file_and_no_netcdf(tmp_path):
    with pytest.raises(MissingFile):
        whole(read, tmp_path / "OS_none.nc")
    for data in (b"", b"CDF\x01", b"CDF\x02" + b"\xff" * 100, b"\x89HDF\r\n\x1a\n" + b"0" * 99):
        (tmp_path / "OS_X.nc").write_bytes(data)
        with pytest.raises(DamagedFile):
            whole(read, tmp_path / "OS_X.nc")


@pytest.mark.parametrize("kind", ["NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA"])
def test_a_classic_file_cut_anywhere_is_refused(tmp_path, kind):
    path = mooring(tmp_path / "OS_X.nc", MET, kind=kind)
    assert whole(read, path).columns["time"].size == 4
    raw = path.read_bytes()
    for length in range(0, len(raw) - 1, 97):
        assert decoded(read, tmp_path / "cut.nc", raw[:length]) is None


def test_a_chunk_far_wider_than_its_series_is_refused(tmp_path):
    """It is unpacked whole, however few of its cells the variable has."""
    path = mooring(tmp_path / "OS_X.nc", {"TEMP": MET["TEMP"]})
    for name, cells in (("AIRT", 2**20), ("RELH", 2**26)):
        with netCDF4.Dataset(path, "a") as file:
            file.createVariable(name, "f4", ("TIME",), zlib=True, chunksizes=(cells,))
            file[name].units = "degree_Celsius" if name == "AIRT" else "percent"
        if name == "AIRT":
            assert whole(read, path).columns["time"].size == 4
    with pytest.raises(DamagedFile, match=r"RELH has chunks of \[67108864\], and 4 cells"):
        whole(read, path)


def test_a_chunk_of_more_than_any_series_needs_is_refused(tmp_path, monkeypatch):
    path = mooring(tmp_path / "OS_X.nc", MET)
    monkeypatch.setattr(station_netcdf, "LARGEST_CHUNK", 2**10)
    with pytest.raises(DamagedFile, match="a chunk of TIME would take 4,096 bytes, more than 1,0"):
        whole(read, path)


@settings(max_examples=40)
@given(st.data())
def test_flips_are_decoded_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("flips") / "OS_X.nc"
    kind = data.draw(st.sampled_from(["NETCDF3_CLASSIC", "NETCDF3_64BIT_DATA", "NETCDF4"]))
    damaged = bytearray(mooring(path, MET, {"AIRT": [1, 1, 1, 1]}, kind).read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    decoded(read, path, bytes(damaged))
