"""ERA5 in GRIB: the same days as from NetCDF; other products refused by their own headers."""

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

from era5_files import DAY, SHAPE, grib, hours, new_form, of, temperatures

from fluxengine.errors import DamagedFile, WrongFile
from fluxrecipes.sources import era5, grib_process
from fluxrecipes.sources.era5 import NO_VALUE, NOT_IN_FILE, PRELIMINARY, VALID

pytest.importorskip("cfgrib", reason="GRIB is read through cfgrib, which is not installed")

NAME = "air_temperature_2m"


def message(short: str, hour: int, values: np.ndarray, **keys: object) -> dict[str, object]:
    day = int(f"{DAY:%Y%m%d}")
    return {"shortName": short, "dataDate": day, "dataTime": 100 * hour} | keys | {"values": values}


def rain(values: float = 0.002, **keys: object) -> dict[str, object]:
    """Rain over the hour that ends at 01 UTC."""
    steps = {"type": "fc", "stepType": "accum", "startStep": 0, "endStep": 1}
    return message("tp", 0, np.full(SHAPE, values), **(steps | keys))


def test_grib_gives_the_same_day_as_netcdf(tmp_path):
    values = temperatures(2)
    messages = [message("2t", hour, maps) for hour, maps in zip((0, 6), values, strict=True)]
    one = of("t2m").decode(grib(tmp_path / "a.grib", *messages), (DAY,))
    other = of("t2m").decode(new_form(tmp_path / "a.nc", hours(0, 6), {"t2m": values}), (DAY,))
    assert np.array_equal(one[f"{NAME}_flag"], other[f"{NAME}_flag"])
    # GRIB rounds to 24 bits: next to the middle between two steps either may be taken.
    apart = one[NAME].values.astype(int) - other[NAME].values
    assert abs(apart).max() <= 1 and np.count_nonzero(apart) <= 2


def test_fields_hours_and_missing_values_of_grib(tmp_path):
    sst = temperatures(1)[0].clip(271, 305)
    sst[0, 0] = np.nan
    path = grib(
        tmp_path / "a.nc",  # whatever its name
        message("sst", 3, sst),
        message("2t", 3, temperatures(1)[0], expver="0005"),
        rain(),
    )
    found = era5.read(path)
    assert found.time.values.astype("datetime64[h]").tolist() == hours(1, 3).tolist()
    np.testing.assert_allclose(found.sea_surface_temperature[1], sst, atol=1e-4)
    flags = found.sea_surface_temperature_flag.values
    assert flags[1, 0, 0] == NO_VALUE and (flags[0] == NOT_IN_FILE).all()
    assert (found[f"{NAME}_flag"][1] == PRELIMINARY).all()
    np.testing.assert_allclose(found.precipitation_rate[0], 2.0, rtol=1e-5)
    assert (found.precipitation_rate_flag[0] == VALID).all()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (message("2t", 0, temperatures(1)[0], **{"class": "od"}), "of the class 'od' .operational"),
        (
            message("2t", 0, temperatures(1)[0], stream="moda"),
            "and the stream 'moda', not ERA5's hours",
        ),
        (message("2t", 0, temperatures(1)[0], deleteLocalDefinition=1), "of the class 'None'"),
        (message("2t", 0, temperatures(1)[0], type="em"), "of the type 'em', neither"),
        (message("2t", 0, temperatures(1)[0], expver="0099"), "experiment version is '0099'"),
        (message("2t", 30, temperatures(1)[0], dataTime=30), "not whole hours"),
        (rain(endStep=6), "summed over the steps 0 to 6, not over an hour"),
        (rain(stepType="instant"), "of the kind 'instant', not a sum"),
        (message("2t", 0, temperatures(1)[0], iScansNegatively=1), "do not go eastward row by row"),
        (message("skt", 0, temperatures(1)[0]), "none of the fields"),
    ],
)
def test_another_product_is_refused(tmp_path, given, words):
    path = grib(tmp_path / "a.grib", given)
    with pytest.raises(WrongFile, match=words) as caught:
        era5.read(path)
    assert caught.value.where == str(path)


@pytest.fixture(scope="module")
def two_messages(tmp_path_factory) -> bytes:
    values = temperatures(2)
    path = tmp_path_factory.mktemp("grib") / "a.grib"
    return grib(path, *(message("2t", h, values[h]) for h in (0, 1))).read_bytes()


def test_bytes_that_are_no_message_are_damage(tmp_path, two_messages):
    path = tmp_path / "a.grib"
    half = len(two_messages) // 2
    path.write_bytes(two_messages[:half] + b"some other bytes" + two_messages[half:])
    with pytest.raises(DamagedFile, match=f"bytes {half} to {half + 16} of it are no GRIB message"):
        era5.read(path)


@pytest.mark.parametrize("keep", [4, 30, 0.4, 0.9, 0.99])
def test_a_truncated_file_is_damaged(tmp_path, two_messages, keep):
    path = tmp_path / "a.grib"
    path.write_bytes(
        two_messages[: keep if isinstance(keep, int) else int(keep * len(two_messages))]
    )
    with pytest.raises(DamagedFile, match="GRIB"):
        era5.read(path)


@given(st.data())
@settings(max_examples=25)
def test_a_damaged_file_is_read_or_refused(two_messages, tmp_path_factory, data):
    raw = bytearray(two_messages)
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / "a.grib"
    path.write_bytes(raw)
    try:
        found = era5.read(path)
    except DamagedFile as error:
        where = error.where
    else:
        where = str(path)
        assert NAME in found
    assert where == str(path)


DEADLY = {192: 172, 227: 0, 275: 0}  # byte: value; found by flipping bytes; ecCodes 2.50


def test_a_message_that_kills_eccodes_is_damage(tmp_path, two_messages):
    raw = bytearray(two_messages)
    for byte, value in DEADLY.items():
        raw[byte] = value
    path = tmp_path / "a.grib"
    path.write_bytes(raw)
    with pytest.raises(DamagedFile, match="ecCodes ended its process with the code -11") as caught:
        era5.read(path)
    assert caught.value.where == str(path)


def test_an_answer_that_never_comes_is_damage(tmp_path, two_messages, monkeypatch):
    """A library that loops over a damaged message, in place of ecCodes."""
    (tmp_path / "cfgrib.py").write_text("while True: pass")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(grib_process, "PATIENCE", 0.2)
    path = tmp_path / "a.grib"
    path.write_bytes(two_messages)
    with pytest.raises(DamagedFile, match="ecCodes has given no answer for 0 s") as caught:
        era5.read(path)
    assert caught.value.where == str(path)


@pytest.mark.parametrize("error", ["ImportError", "RuntimeError"])
def test_without_cfgrib_the_message_says_how_to_get_it(tmp_path, two_messages, monkeypatch, error):
    (tmp_path / "cfgrib.py").write_text(f"raise {error}('not here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    path = tmp_path / "a.grib"
    path.write_bytes(two_messages)
    words = r"read through cfgrib: not here.* pip install 'fluxforge\[grib\]'"
    with pytest.raises(WrongFile, match=words):
        era5.read(path)
