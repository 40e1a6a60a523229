"""The SeaFlux CDR: eight steps a day, codes as flags, what is refused.

The files written here have the names, dimensions, types and times that a printed day of the real
record shows (4 January 1994): time 01:30 to 22:30, lat and lon as float64 from -89.875 and 0.125,
both fluxes float32, ``fill_missing_qc`` with 3 over land.
"""

import shutil
from datetime import date
from pathlib import Path

import netCDF4
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fluxengine.errors import DamagedFile, MissingFile, WrongFile
from fluxengine.ingest import conformed
from fluxrecipes.sources.ohf_cdr import OHF_CDR

DAY = date(1994, 1, 4)
NAME = "SEAFLUX-OSB-CDR_V02R00_FLUX_D19940104_C20160824.nc"
LATENT, SENSIBLE = "surface_upward_latent_heat_flux", "surface_upward_sensible_heat_flux"
SHAPE = (8, 720, 1440)
LAT, LON = np.arange(-89.875, 90, 0.25), np.arange(0.125, 360, 0.25)
FILL = np.float32(-9999)


def write(path: Path, values=None, codes=None, **changes) -> Path:
    """A file like the provider's, but for what is said; without values all is missing."""
    times = changes.get("times", np.arange(8) * 10_800 + 5_400)
    lat, lon = changes.get("lat", LAT), changes.get("lon", LON)
    start = (DAY - date(1970, 1, 1)).days * 86_400
    with netCDF4.Dataset(path, "w") as file:
        for axis, cells in (("time", times + start), ("lat", lat), ("lon", lon)):
            file.createDimension(axis, len(cells))
            file.createVariable(axis, "f8", (axis,))[:] = cells
        file["time"].units = "seconds since 1970-01-01 00:00:00"
        for name in (LATENT, SENSIBLE):
            called = changes.get("names", {}).get(name, name)
            dims = ("time", "lat", "lon")
            made = file.createVariable(called, "f4", dims, fill_value=FILL, zlib=values is None)
            made.set_auto_maskandscale(False)
            made.units, made.standard_name = changes.get("units", "W/m^2"), name
            made.setncatts(changes.get("attrs", {}))
            if values is not None:
                made[:] = values[name]
        if not changes.get("without_codes"):
            made = file.createVariable(
                "fill_missing_qc", "i1", ("time", "lat", "lon"), fill_value=-1, zlib=True
            )
            if codes is not None:
                made[:] = codes
    return path


@pytest.fixture(scope="module")
def codes():
    found = np.zeros(SHAPE, "i1")
    for at, code in enumerate((1, 2, 3, 4, 5, 6)):
        found[:, 100 + 20 * at : 120 + 20 * at, :200] = code
    return found


@pytest.fixture(scope="module")
def values(field, codes):
    found = {}
    for name, mean, wave in ((LATENT, 95, 70), (SENSIBLE, 14, 30)):
        coarse = field(mean, wave, (8, 72, 144)).astype("f4")
        found[name] = coarse.repeat(10, axis=1).repeat(10, axis=2)
        found[name][(codes > 1) & (codes != 5)] = FILL
    found[LATENT][:, 400, 700] = FILL  # missing, though its code says there is a value
    return found


@pytest.fixture(scope="module")
def day(tmp_path_factory, values, codes):
    return write(tmp_path_factory.mktemp("ohf") / NAME, values, codes)


@pytest.fixture(scope="module")
def decoded(day):
    return OHF_CDR.decode(day, DAY)


def test_a_day_has_eight_steps_of_what_the_file_holds(decoded, values):
    for ours, theirs in (("latent_heat_flux", LATENT), ("sensible_heat_flux", SENSIBLE)):
        found = decoded[ours]
        assert found.dims == ("time", "hour", "lat", "lon") and found.shape == (1, *SHAPE)
        assert found.dtype == "f4"
        there = values[theirs] != FILL
        assert np.array_equal(found.values[0][there], values[theirs][there])
        assert np.isnan(found.values[0][~there]).all()
    assert list(decoded) == [variable.name for variable in OHF_CDR.provides]
    stored = conformed(OHF_CDR, OHF_CDR.grid.between(DAY, DAY), decoded, "")
    assert stored["latent_heat_flux"].shape == (1, *SHAPE)


def test_codes_become_flags(decoded, codes):
    flag = decoded["latent_heat_flux_flag"].values[0]
    for theirs, ours in ((1, 2), (2, 5), (3, 4), (4, 6), (5, 2), (6, 7)):
        assert (flag[codes == theirs] == ours).all(), theirs
    assert (flag[:, 400, 700] == 3).all() and flag[0, 0, 0] == 2
    assert (decoded["sensible_heat_flux_flag"].values[0][:, 400, 700] == 2).all()


def test_the_date_of_creation_is_left_to_the_archive():
    assert OHF_CDR.path(DAY) == "access/1994/SEAFLUX-OSB-CDR_V02R00_FLUX_D19940104_C*.nc"


def test_no_file(tmp_path):
    with pytest.raises(MissingFile):
        OHF_CDR.decode(tmp_path / NAME, DAY)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (NAME.replace("FLUX_D", "SST_D"), "it holds SST, not FLUX"),
        (NAME.replace("0104", "0105"), "it holds the day 19940105, not 19940104"),
        (NAME.replace("V02", "V01"), "not that of a file of the SeaFlux CDR, version 2"),
    ],
)
def test_files_of_other_names_are_refused(tmp_path, name, words):
    (tmp_path / name).touch()
    with pytest.raises(WrongFile, match=words):
        OHF_CDR.decode(tmp_path / name, DAY)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"times": np.arange(8) * 10_800 + 91_800}, "inside it are 8 steps from 1994-01-05"),
        ({"times": np.arange(4) * 21_600}, "inside it are 4 steps .* not 8 of 1994-01-04"),
        ({"lat": np.arange(-89.5, 90)}, "lat has 180 cells"),
        ({"lon": LON + 0.1}, "lon has 1440 cells"),
        ({"units": "kW"}, f"{LATENT} is in 'kW'"),
        ({"attrs": {"positive": "down"}}, "counts downward"),
        ({"names": {LATENT: "latent"}}, f"no variable '{LATENT}'"),
        ({"without_codes": True}, "no variable 'fill_missing_qc'"),
    ],
)
def test_wrong_content_is_refused(tmp_path, changes, words):
    path = write(tmp_path / NAME, **changes)
    with pytest.raises(WrongFile, match=words) as caught:
        OHF_CDR.decode(path, DAY)
    assert caught.value.where == str(path)


def test_another_scale_is_told_by_the_mean(tmp_path):
    tenfold = {name: np.full((1, 720, 1440), 900, "f4") for name in (LATENT, SENSIBLE)}
    path = write(tmp_path / NAME, tenfold, np.zeros((1, 720, 1440), "i1"))
    with pytest.raises(WrongFile, match=f"{LATENT} is 900 W m-2 on average"):
        OHF_CDR.decode(path, DAY)


def test_a_chunk_wider_than_the_variable_is_refused(tmp_path):
    """It would be unpacked whole."""
    path = tmp_path / NAME
    write(path)
    with netCDF4.Dataset(path, "w") as file:
        for axis, cells in (("lat", LAT), ("lon", LON), ("time", np.arange(8) * 10_800 + 5_400)):
            file.createDimension(axis, None if axis == "time" else len(cells))
            file.createVariable(axis, "f8", (axis,))[:] = cells
        file["time"].units = f"seconds since {DAY}"
        dims = ("time", "lat", "lon")
        for name in ("fill_missing_qc", LATENT, SENSIBLE):
            file.createVariable(name, "f4", dims, zlib=True, chunksizes=(500, 720, 1440))
    with pytest.raises(DamagedFile, match=r"has chunks of \[500, 720, 1440\]"):
        OHF_CDR.decode(path, DAY)


def rewritten(path: Path, name: str, dtype: object, cells: object, chunk: int = 0) -> Path:
    """A file whose time, lat and lon are as they should be, but for one of them."""
    with netCDF4.Dataset(path, "w") as file:
        for axis, centres in (("time", np.arange(8) * 3 + 1.5), ("lat", LAT), ("lon", LON)):
            other = axis == name
            file.createDimension(axis, None if other and chunk else len(centres))
            layout = {"zlib": True, "chunksizes": (chunk,)} if other and chunk else {}
            made = file.createVariable(axis, dtype if other else "f8", (axis,), **layout)
            made[:] = cells if other else centres
        file["time"].units = f"hours since {DAY}"
    return path


@pytest.mark.parametrize(("name", "count"), [("time", 8), ("lat", 720)])
def test_texts_for_numbers_are_refused(tmp_path, name, count):
    path = rewritten(tmp_path / NAME, name, str, np.array(["2003"] * count, object))
    with pytest.raises(WrongFile, match=f"{name} holds no numbers"):
        OHF_CDR.decode(path, DAY)


def test_lists_for_numbers_are_refused(tmp_path):
    path = write(tmp_path / NAME, names={LATENT: "of_others"})
    with netCDF4.Dataset(path, "a") as file:
        lists = file.createVLType("f4", "lists")
        file.createVariable(LATENT, lists, ("time", "lat", "lon")).units = "W/m^2"
    with pytest.raises(WrongFile, match=f"{LATENT} holds no numbers"):
        OHF_CDR.decode(path, DAY)


@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_times_that_are_not_finite_are_damage(tmp_path, odd):
    """The library would take them for the date that its units count from."""
    path = rewritten(tmp_path / NAME, "time", "f8", [odd, *(np.arange(1, 8) * 3 + 1.5)])
    with pytest.raises(DamagedFile, match="its time cannot be read: it is not finite"):
        OHF_CDR.decode(path, DAY)


def test_a_coordinate_in_far_wider_chunks_is_refused(tmp_path):
    path = rewritten(tmp_path / NAME, "lat", "f4", LAT, chunk=2**23)
    with pytest.raises(DamagedFile, match=r"lat has chunks of \[8388608\], and 720 cells"):
        OHF_CDR.decode(path, DAY)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A whole file of few bytes."""
    return write(tmp_path_factory.mktemp("small") / NAME).read_bytes()


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_file_is_read_or_refused_in_words(tmp_path, small, data):
    raw = bytearray(small)
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    cut = data.draw(st.none() | st.floats(0, 1))
    path = tmp_path / NAME
    path.write_bytes(raw if cut is None else raw[: int(cut * len(raw))])
    try:
        found = OHF_CDR.decode(path, DAY)
    except (DamagedFile, WrongFile):
        return
    assert found.latent_heat_flux.shape == (1, *SHAPE)


@pytest.mark.parametrize("keep", [0, 3_000, 0.3, 0.999])
def test_a_truncated_file_is_damaged(tmp_path, day, keep):
    path = Path(shutil.copy(day, tmp_path))
    raw = path.read_bytes()
    path.write_bytes(raw[: keep if isinstance(keep, int) else int(keep * len(raw))])
    with pytest.raises(DamagedFile) as caught:
        OHF_CDR.decode(path, DAY)
    assert caught.value.where == str(path) and caught.value.mend
