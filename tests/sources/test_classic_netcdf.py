"""Classic NetCDF headers: sound ones pass, whatever they hold; others never reach the library."""

import time
from contextlib import suppress
from pathlib import Path

import netCDF4
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fluxengine.errors import DamagedFile
from fluxrecipes.sources.classic_netcdf import check_classic

VERSIONS = {1: "NETCDF3_CLASSIC", 2: "NETCDF3_64BIT_OFFSET", 5: "NETCDF3_64BIT_DATA"}
KINDS = ("i1", "i2", "i4", "f4", "f8", "S1")
FUNCTION_SCOPED = [HealthCheck.function_scoped_fixture]


def write(path: Path, variables, records, version=1, attrs=3) -> Path:
    with netCDF4.Dataset(path, "w", format=VERSIONS[version]) as file:
        file.createDimension("time", None)
        file.createDimension("x", 5)
        file.setncatts({f"a{n}": "text of some length" for n in range(attrs)})
        for at, (kind, dims) in enumerate(variables):
            made = file.createVariable(f"v{at}", kind, dims)
            made.factor, made.title = np.float32(0.1), "of odd length"
            shape = tuple(records if name == "time" else 5 for name in dims)
            made[:] = np.full(shape, b"a") if kind == "S1" else np.ones(shape)
    return path


one = st.tuples(st.sampled_from(KINDS), st.sampled_from([(), ("x",), ("time",), ("time", "x")]))


@settings(max_examples=40, suppress_health_check=FUNCTION_SCOPED)
@given(st.lists(one, max_size=4), st.integers(0, 7), st.sampled_from([1, 2, 5]), st.integers(0, 3))
def test_sound_files_pass_and_shorter_ones_do_not(tmp_path, variables, records, version, attrs):
    path = write(tmp_path / "sound.nc", variables, records, version, attrs)
    check_classic(path, path)
    raw = path.read_bytes()
    written = [dims for _, dims in variables if records or "time" not in dims]
    if written:  # the last word may be filling
        path.write_bytes(raw[:-9])
        with pytest.raises(DamagedFile, match=r"variables end at byte|within its header"):
            check_classic(path, path)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    path = tmp_path_factory.mktemp("sound") / "file.nc"
    return write(path, [("i2", ("time", "x")), ("f4", ("x",))], 3).read_bytes()


@settings(max_examples=150, suppress_health_check=FUNCTION_SCOPED)
@given(st.data())
def test_what_passes_keeps_the_library_no_longer_than_a_sound_file(tmp_path, sound, data):
    raw = bytearray(sound)
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(3, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.nc"
    path.write_bytes(raw)
    try:
        check_classic(path, path)
    except DamagedFile:
        return
    began = time.process_time()
    with suppress(OSError, RuntimeError, UnicodeError), netCDF4.Dataset(path):
        pass
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    ("at", "word", "words"),
    [
        (3, b"\x09", "no version 9"),
        (8, b"\x00\x00\x00\x0b", "a list of kind 11 stands where one of kind 10 should"),
        (12, b"\xff\xff\xff\xff", "ends within its header"),
        (16, b"\x7f\xff\xff\xff", "ends within its header"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, at, word, words):
    path = write(tmp_path / "file.nc", [("i2", ("x",))], 0)
    raw = bytearray(path.read_bytes())
    raw[at : at + len(word)] = word
    path.write_bytes(raw)
    with pytest.raises(DamagedFile, match=words):
        check_classic(path, path)


def test_a_list_that_claims_billions_of_items_ends_with_the_file(tmp_path):
    """The library would believe it, for minutes."""
    path = tmp_path / "endless.nc"
    path.write_bytes(b"CDF\x01" + bytes(4) + b"\x00\x00\x00\x0a\x7f\xff\xff\xff" + bytes(3_000_000))
    with pytest.raises(DamagedFile, match="ends within its header, at byte 1,048,576"):
        check_classic(path, path)


def test_files_of_another_form_are_left_to_the_library(tmp_path):
    (tmp_path / "page.nc").write_text("<!DOCTYPE html>")
    check_classic(tmp_path / "page.nc", tmp_path / "page.nc")
