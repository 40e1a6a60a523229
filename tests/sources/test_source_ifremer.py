"""IFREMER's fluxes as the Ocean Heat Flux project hands them out: a day, any packing, any order.

The names of variables, the file's name and the grid of whole quarters of a degree are those of
programs that read the real files (cells from 180 W and 90 S); packing and units are tried in all
forms, for no file was seen.
"""

from datetime import date
from pathlib import Path

import netCDF4
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fluxengine.errors import DamagedFile, MissingFile, WrongFile
from fluxengine.ingest import conformed
from fluxrecipes.sources.ifremer import IFREMER, QUANTITIES

DAY = date(2004, 5, 29)
NAME = "ifremerflux-20040529120000-OHF-L4-global_daily_0.25x0.25-v0.7-f01.0.nc"
LAT, LON = np.arange(-90, 90, 0.25), np.arange(-180, 180, 0.25)
# By the names in the file: unit, mean and wave there, and the mean in ours.
FIELDS = {
    "surface_upward_latent_heat_flux": ("W m-2", 95, 60, 95),
    "surface_upward_sensible_heat_flux": ("W m-2", 14, 30, 14),
    "wind_speed": ("m s-1", 7.5, 4, 7.5),
    "air_surface_specific_humidity": ("g kg-1", 10, 6, 0.01),
    "air_temperature": ("degree_Celsius", 14, 12, 287.15),
    "sea_surface_temperature": ("kelvin", 288, 12, 288),
}
FILL = -32768


def write(path: Path, field=None, **changes) -> Path:
    """A file like the project's, but for what is said; without a field all is missing."""
    lat, lon = changes.get("lat", LAT), changes.get("lon", LON)
    packed, units = changes.get("packed", True), changes.get("units", {})
    with netCDF4.Dataset(path, "w") as file:
        hours = (changes.get("day", DAY) - date(1950, 1, 1)).days * 24 + 12
        for axis, cells in (("time", [hours]), ("lat", lat), ("lon", lon)):
            file.createDimension(axis, len(cells))
            file.createVariable(axis, "f8", (axis,))[:] = cells
        file["time"].units = "hours since 1950-01-01"
        for at, (name, (unit, mean, wave, _)) in enumerate(FIELDS.items()):
            if name in changes.get("without", ()):
                continue
            kind, fill, scale = ("i2", FILL, 0.01) if packed else ("f4", np.float32(-999), 1.0)
            made = file.createVariable(name, kind, ("time", "lat", "lon"), fill_value=fill, zlib=1)
            made.set_auto_maskandscale(False)
            made.units = units.get(name, unit)
            if packed:
                made.setncatts({"scale_factor": scale, "add_offset": float(mean)})
            if field is None:
                continue
            values = field(0 if packed else mean, wave, (1, len(lat), len(lon)), at) / scale
            values[:, :200, :300] = fill
            made[:] = np.rint(values) if packed else values
    return path


def unpacked(found):
    values = found.values.astype("f8")
    if found.dtype.kind == "i":
        values[found.values == found.attrs["_FillValue"]] = np.nan
        values = values * found.attrs["scale_factor"] + found.attrs["add_offset"]
    return values


@pytest.mark.parametrize("packed", [True, False])
def test_a_day_comes_out_in_our_units_cells_and_order(tmp_path, field, packed):
    dataset = IFREMER.decode(write(tmp_path / NAME, field, packed=packed), DAY)
    assert list(dataset) == [variable.name for variable in IFREMER.provides]
    stored = conformed(IFREMER, IFREMER.grid.between(DAY, DAY), dataset, "")
    for at, (quantity, (_, mean, wave, ours)) in enumerate(
        zip(QUANTITIES, (FIELDS[q.names[0]] for q in QUANTITIES), strict=True)
    ):
        found = dataset[quantity.variable.name]
        assert found.dims == ("time", "lat", "lon") and found.shape == (1, 721, 1440)
        values = unpacked(found)[0]
        np.testing.assert_allclose(stored[quantity.variable.name][0], values, rtol=1e-5)
        assert np.nanmean(values) == pytest.approx(ours, rel=0.25), (at, mean, wave)
        flag = dataset[f"{quantity.variable.name}_flag"].values[0]
        assert np.array_equal(flag == 2, np.isfinite(values))
        # The file begins at 180 W: that is our column 720; our last row, 90 N, it has not.
        assert (flag[:200, 720:1020] == 3).all() and (flag[:720, :720] == 2).all()
        assert (flag[720] == 3).all()
    assert IFREMER.grid.axes["lat"].coordinate()[0] == -90.0
    assert IFREMER.grid.axes["lon"].coordinate()[:2].tolist() == [0.0, 0.25]


def test_every_order_of_cells_gives_the_same(tmp_path, field):
    band = np.arange(-80, 80.1, 0.25)
    first = IFREMER.decode(write(tmp_path / NAME, field, lat=band), DAY)

    (tmp_path / "b").mkdir()
    path = tmp_path / "b" / NAME
    write(path, lat=band[::-1], lon=np.arange(0, 360, 0.25))
    with netCDF4.Dataset(tmp_path / NAME) as source, netCDF4.Dataset(path, "a") as target:
        for name in FIELDS:
            for file in (source, target):
                file[name].set_auto_maskandscale(False)
            target[name][:] = np.roll(source[name][:][:, ::-1], 720, axis=2)  # as our files are
    assert IFREMER.decode(path, DAY).equals(first)
    assert (first.latent_heat_flux_flag[0, :40] == 3).all()  # 90 S to 80 S
    assert (first.latent_heat_flux_flag[0, 241:681] == 2).all()


def test_the_last_version_is_left_to_the_archive():
    assert IFREMER.path(DAY) == (
        "2004/ifremerflux-20040529120000-OHF-L4-global_daily_0.25x0.25-*.nc"
    )


def test_no_file(tmp_path):
    with pytest.raises(MissingFile):
        IFREMER.decode(tmp_path / NAME, DAY)


CENTRES = np.arange(-89.875, 90, 0.25)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"day": date(2004, 5, 28)}, "inside it is 2004-05-28T12:00:00, not 2004-05-29"),
        ({"lat": CENTRES}, "lat has 720 cells from -89.875 to 89.875, not the product's 721"),
        ({"lon": LON[:-1]}, "lon has 1439 cells"),
        ({"units": {"wind_speed": "knots"}}, "wind_speed is in 'knots'"),
        ({"units": {"sea_surface_temperature": "g/kg"}}, "sea_surface_temperature is in 'g/kg'"),
        ({"without": ["air_temperature"]}, "no variable 'air_temperature'"),
    ],
)
def test_wrong_content_is_refused(tmp_path, changes, words):
    path = write(tmp_path / NAME, **changes)
    with pytest.raises(WrongFile, match=words) as caught:
        IFREMER.decode(path, DAY)
    assert caught.value.where == str(path)


@pytest.mark.parametrize(
    ("name", "unit"),
    [("sea_surface_temperature", "degC"), ("air_surface_specific_humidity", "kg/kg")],
)
def test_a_unit_that_the_values_deny_is_refused(tmp_path, field, name, unit):
    path = write(tmp_path / NAME, field, units={name: unit})
    with pytest.raises((WrongFile, DamagedFile), match=f"{name} (is|=) .*(usual|possible) is"):
        IFREMER.decode(path, DAY)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (NAME.replace("ifremerflux", "seaflux"), "it holds the product seaflux"),
        (NAME.replace("0529", "0530"), "it holds the day 20040530"),
        ("flux_20040529.nc", "not that of a daily file of the Ocean Heat Flux project"),
    ],
)
def test_files_of_other_names_are_refused(tmp_path, name, words):
    (tmp_path / name).touch()
    with pytest.raises(WrongFile, match=words):
        IFREMER.decode(tmp_path / name, DAY)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
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
        found = IFREMER.decode(path, DAY)
    except (DamagedFile, WrongFile):
        return
    assert found.latent_heat_flux.shape == (1, 721, 1440)
