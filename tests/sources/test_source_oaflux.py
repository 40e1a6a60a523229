"""OAFlux: days of a year's six files, told by the file's name; units, gaps, what is refused.

The files written here are as WHOI's readme of 29 July 2017 and programs that read the real ones
have them: classic NetCDF, gzipped; dims time, lat, lon; ``lhtfl`` and so on as int16 with
missing_value 32766 and a scale factor, ``err`` beside; time counting the days of the year.
"""

import gzip
import shutil
from contextlib import nullcontext
from datetime import date, timedelta
from pathlib import Path

import netCDF4
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fluxengine.errors import DamagedFile, MissingFile, RunFailed, WrongFile
from fluxengine.ingest import conformed
from fluxengine.run import run
from fluxengine.stand import Request
from fluxengine.status import of_store
from fluxengine.store import Store, open_dataset
from fluxengine.task import run_block
from fluxrecipes.sources.oaflux import OAFLUX, QUANTITIES

YEAR, DAYS = 2016, 4
FIRST = date(YEAR, 1, 1)
LAT, LON = np.arange(-89.5, 90), np.arange(0.5, 360)
MEANS = {
    "lh": ("lhtfl", "w/m^2", 0.1, 90, 60),
    "sh": ("shtfl", "w/m^2", 0.1, 12, 30),
    "ws": ("wnd10", "m/s", 0.01, 7.5, 4),
    "qa": ("hum2m", "g/kg", 0.01, 10, 6),
    "ta": ("tmp2m", "degree C", 0.01, 14, 12),
    "ts": ("tmpsf", "degree C", 0.01, 15, 12),
}


@pytest.fixture(scope="module")
def packed(field):
    """Integers of each file, land in a corner."""
    made = {}
    for at, (prefix, (_, _, scale, mean, amplitude)) in enumerate(MEANS.items()):
        values = np.rint(field(mean, amplitude, (DAYS, 180, 360), at) / scale).astype("i2")
        values[:, :60, :80] = 32766
        made[prefix] = values
    return made


def write(folder, prefix, values, *, year=YEAR, suffix=".nc.gz", time=None, **changes) -> Path:
    """A file like the provider's, but for what is said."""
    name, units, scale, *_ = MEANS[prefix]
    path = folder / f"{prefix}_oaflux_{year}{suffix}"
    plain = folder / f"{prefix}.plain"
    time = np.arange(1, len(values) + 1) if time is None else time
    lat, lon = changes.get("lat", LAT), changes.get("lon", LON)
    attrs = {"units": units, "missing_value": np.int16(32766), "scale_factor": np.float32(scale)}
    attrs |= changes.get("attrs", {})
    with netCDF4.Dataset(plain, "w", format="NETCDF3_CLASSIC") as file:
        for axis, cells in (("time", time), ("lat", lat), ("lon", lon)):
            is_record = axis == "time" and changes.get("records", False)
            file.createDimension(axis, None if is_record else len(cells))
            file.createVariable(axis, "f4", (axis,))[:] = cells
        file["time"].units = changes.get("time_units", "day of year")
        for called in (changes.get("name", name), "err"):
            made = file.createVariable(called, changes.get("dtype", "i2"), ("time", "lat", "lon"))
            made.set_auto_maskandscale(False)
            made.long_name = f"daily mean of {called}, positive upward"
            made.setncatts({k: v for k, v in attrs.items() if v is not None})
            made[:] = values[: len(time), : len(lat), : len(lon)]
    if suffix.endswith(".gz"):
        path.write_bytes(gzip.compress(plain.read_bytes(), compresslevel=1))
    else:
        shutil.copy(plain, path)
    plain.unlink()
    return path


@pytest.fixture(scope="module")
def year(tmp_path_factory, packed):
    """The six files of a year; not to be changed."""
    folder = tmp_path_factory.mktemp("oaflux")
    return tuple(write(folder, prefix, packed[prefix]) for prefix in QUANTITIES)


def test_integers_are_kept_and_only_the_packing_changes_the_unit(year, packed):
    days = (FIRST + timedelta(1), FIRST + timedelta(3))
    dataset = OAFLUX.decode(year, days)
    assert dataset.time.values.astype("datetime64[D]").tolist() == list(days)
    for prefix, quantity in QUANTITIES.items():
        found, packing = dataset[quantity.variable.name], quantity.variable.packing
        assert found.dims == ("time", "lat", "lon") and found.dtype == "i2"
        assert np.array_equal(found, packed[prefix][[1, 3]])
        assert found.attrs["_FillValue"] == packing.fill == 32766
        assert found.attrs["scale_factor"] == pytest.approx(packing.scale, rel=1e-12)
        assert found.attrs["add_offset"] == packing.offset
        flag = dataset[f"{quantity.variable.name}_flag"]
        assert (flag == 3).sum() == 2 * 60 * 80 and (flag == 2).sum() == 2 * (64_800 - 4_800)
    assert list(dataset) == [variable.name for variable in OAFLUX.provides]
    one = OAFLUX.decode(year, days[:1])
    kept = conformed(OAFLUX, OAFLUX.grid.between(days[0], days[0]), one, "")
    assert all(np.array_equal(kept[name], one[name]) for name in one)


def test_values_come_out_in_kelvin_and_kilograms(year):
    dataset = OAFLUX.decode(year, (FIRST,))
    means = {}
    for quantity in QUANTITIES.values():
        packing = quantity.variable.packing
        means[quantity.names[0]] = np.nanmean(
            packing.unpack(dataset[quantity.variable.name].values)
        )
    assert means["tmpsf"] == pytest.approx(288, abs=2)
    assert means["hum2m"] == pytest.approx(0.01, abs=1e-3)
    assert means["lhtfl"] == pytest.approx(90, abs=10)


def test_days_that_a_file_lacks_are_left_out(tmp_path, year, packed):
    short = [shutil.copy(path, tmp_path) for path in year]
    write(tmp_path, "ta", packed["ta"][:2])
    dataset = OAFLUX.decode(tuple(map(Path, short)), tuple(FIRST + timedelta(n) for n in range(6)))
    assert dataset.sizes["time"] == 2
    assert OAFLUX.decode(tuple(map(Path, short)), (date(YEAR, 7, 1),)).sizes["time"] == 0


def test_paths_are_those_of_the_year_and_preliminary_ones_stand_in():
    assert OAFLUX.holds_many and OAFLUX.path(FIRST) == OAFLUX.path(date(YEAR, 12, 31))
    assert OAFLUX.path(FIRST)[0] == "daily/turbulence/lh_oaflux_2016.nc.gz"
    assert [instead(FIRST)[1] for instead in OAFLUX.instead] == [
        f"daily/turbulence/sh_oaflux_2016{suffix}" for suffix in (".nc", "rt.nc.gz", "rt.nc")
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"suffix": ".nc"},
        {"suffix": "rt.nc.gz"},
        {"attrs": {"units": "W m-2"}},
        {"attrs": {"units": None}},
        {"attrs": {"scale_factor": None}},
        {"attrs": {"scale_factor": np.float32(0.1), "_FillValue": np.int16(32766)}},
        {"time": np.arange(4) + 0.5, "time_units": f"days since {YEAR}-01-01"},
    ],
)
def test_what_files_may_say_otherwise(tmp_path, year, packed, changes):
    path = write(tmp_path, "lh", packed["lh"], **changes)
    found = OAFLUX.decode((path, *year[1:]), (FIRST,)).latent_heat_flux
    assert np.array_equal(found[0], packed["lh"][0])
    assert found.attrs["scale_factor"] == pytest.approx(0.1, rel=1e-12)


def test_cells_are_brought_into_our_order(tmp_path, year, packed):
    turned = np.roll(packed["lh"], 180, axis=2)[:, ::-1]
    path = write(tmp_path, "lh", turned, lat=LAT[::-1], lon=LON - 180)
    assert np.array_equal(
        OAFLUX.decode((path, *year[1:]), (FIRST,)).latent_heat_flux[0], packed["lh"][0]
    )


def test_another_packing_is_handed_on(tmp_path, year, packed):
    values = np.where(packed["lh"] == 32766, 32766, packed["lh"] // 2).astype("i2")
    path = write(tmp_path, "lh", values, attrs={"scale_factor": np.float32(0.2)})
    found = OAFLUX.decode((path, *year[1:]), (FIRST,)).latent_heat_flux
    assert found.attrs["scale_factor"] == pytest.approx(0.2) and (found[0] == values[0]).all()


WRONG = [
    ({"attrs": {"units": "mm/day"}}, "lhtfl is in 'mm/day', which is no unit of"),
    ({"attrs": {"scale_factor": np.float32(1.0)}}, "possible is -700 to 1600|on average"),
    ({"attrs": {"scale_factor": np.float32(0.001)}}, "on average; usual is 10 to 250"),
    ({"attrs": {"long_name": "latent heat, positive downward"}}, "counts downward"),
    ({"lat": np.arange(-89.75, 90, 0.5)[:180]}, "lat has 180 cells from -89.75"),
    ({"lat": LAT[:90]}, "lat has 90 cells from -89.5 to -0.5, not the product's 180"),
    ({"lon": LON + 0.5}, "lon has 360 cells from 1 to 360, not the product's 360 from 0.5"),
    ({"name": "evapr"}, "no variable 'lhtfl'; its variables are time, lat, lon, evapr"),
    ({"year": 2015}, "its name is not lh_oaflux_2016.nc.gz"),
    ({"time": np.arange(4)}, "does not count the days of 2016 from the first on"),
    ({"time": np.array([1.0, 2, 3, np.nan])}, "does not count the days"),
    ({"time": np.arange(4), "time_units": "days since 2015-01-01"}, "does not count the days"),
]


@pytest.mark.parametrize(("changes", "words"), WRONG)
def test_wrong_content_is_refused(tmp_path, year, packed, changes, words):
    path = write(tmp_path, "lh", packed["lh"], **changes)
    with pytest.raises((WrongFile, DamagedFile), match=words) as caught:
        OAFLUX.decode((path, *year[1:]), (FIRST,))
    assert caught.value.where == str(path)


def test_downward_fluxes_are_told_by_their_mean(tmp_path, year, packed):
    values = np.where(packed["lh"] == 32766, 32766, -packed["lh"]).astype("i2")
    path = write(tmp_path, "lh", values)
    with pytest.raises(WrongFile, match="Its unit, scale or sign is another"):
        OAFLUX.decode((path, *year[1:]), (FIRST,))


@pytest.mark.parametrize(
    ("steps", "unit", "words"),
    [
        (12, "month", "12 steps in the unit 'month', not days: monthly means"),
        (5, "months since 2016-01-01", "not days: monthly means"),
        (12, "", "monthly means"),
        (367, "day of year", "2016 has 366"),
    ],
)
def test_other_lengths_of_a_year_are_refused(tmp_path, year, steps, unit, words):
    one_cell = {"lat": LAT[:1], "lon": LON[:1], "time_units": unit}
    path = write(tmp_path, "lh", np.zeros((steps, 1, 1), "i2"), **one_cell)
    with pytest.raises(WrongFile, match=words):
        OAFLUX.decode((path, *year[1:]), (FIRST,))


@pytest.mark.parametrize(
    ("unit", "time"),
    [
        ("day of year", np.arange(1, 13)),
        (f"days since {YEAR}-01-01", np.arange(12)),
        (f"hours since {YEAR}-01-01", 24 * np.arange(12)),
    ],
)
def test_the_first_twelve_days_of_a_year_are_no_months(tmp_path, packed, unit, time):
    more = {"suffix": "rt.nc.gz", "time_units": unit, "time": time}
    files = [write(tmp_path, one, packed[one].repeat(3, axis=0), **more) for one in QUANTITIES]
    found = OAFLUX.decode(tuple(files), (FIRST + timedelta(11), FIRST + timedelta(12)))
    assert found.time.values.astype("datetime64[D]").tolist() == [FIRST + timedelta(11)]
    assert np.array_equal(found.latent_heat_flux[0], packed["lh"][3])


@pytest.mark.parametrize("suffix", [".nc", ".nc.gz"])
def test_a_folder_is_no_file(tmp_path, year, suffix):
    path = tmp_path / f"lh_oaflux_{YEAR}{suffix}"
    path.mkdir()
    with pytest.raises(WrongFile, match="it is a folder, not a file"):
        OAFLUX.decode((path, *year[1:]), (FIRST,))


def test_files_in_another_order_are_refused(year):
    with pytest.raises(WrongFile, match="its name is not lh_oaflux_2016"):
        OAFLUX.decode((year[1], year[0], *year[2:]), (FIRST,))


def test_no_file(tmp_path, year):
    with pytest.raises(MissingFile):
        OAFLUX.decode((tmp_path / "lh_oaflux_2016.nc.gz", *year[1:]), (FIRST,))


def test_a_plain_file_cut_short_is_damage_not_zeros(tmp_path, year, packed):
    path = write(tmp_path, "lh", packed["lh"], suffix=".nc")
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) * 3 // 4])
    with pytest.raises(DamagedFile, match="it was cut short: its variables end at byte"):
        OAFLUX.decode((path, *year[1:]), (FIRST,))


def test_a_small_file_that_unpacks_to_much_is_refused(tmp_path, year, monkeypatch):
    monkeypatch.setattr("fluxrecipes.sources.oaflux.LARGEST", 1_000_000)
    path = tmp_path / "lh_oaflux_2016.nc.gz"
    path.write_bytes(gzip.compress(bytes(30_000_000), compresslevel=1))
    with pytest.raises(DamagedFile, match="unpacks to more than 1,000,000 bytes"):
        OAFLUX.decode((path, *year[1:]), (FIRST,))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.floats(0, 1), st.integers(0, 255), st.booleans())
def test_a_damaged_gzip_file_is_always_told(tmp_path, year, where, byte, cut):
    raw = bytearray(year[0].read_bytes())
    at = int(where * (len(raw) - 1))
    if raw[at] == byte and not cut:
        return
    raw[at] = byte
    path = tmp_path / year[0].name
    path.write_bytes(raw[:at] if cut else raw)
    try:
        found = OAFLUX.decode((path, *year[1:]), (FIRST,))
    except (DamagedFile, WrongFile):
        return
    # Only bytes of the gzip header that say nothing of the data may change.
    sound = OAFLUX.decode(year, (FIRST,))
    assert not cut and at < 10 and found.latent_heat_flux.equals(sound.latent_heat_flux)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_changed_header_is_read_or_refused_in_words(tmp_path, year, data):
    plain = bytearray(gzip.decompress(year[0].read_bytes()))
    for _ in range(data.draw(st.integers(1, 4))):
        plain[data.draw(st.integers(0, 900))] = data.draw(st.integers(0, 255))
    path = tmp_path / "lh_oaflux_2016.nc"
    path.write_bytes(plain)
    try:
        found = OAFLUX.decode((path, *year[1:]), (FIRST,))
    except (DamagedFile, WrongFile):
        return
    assert found.latent_heat_flux.shape == (1, 180, 360)


# --- Unpacked files, by copy and by reference --------------------------------------------------


def ingested(folder: Path, by: str) -> Store:
    """The days of an archive in a store of their own."""
    store = Store.at(folder / by, create=True)
    archives, last = {"oaflux": str(folder / "archive")}, FIRST + timedelta(DAYS - 1)
    referred = frozenset({"oaflux"} if by == "reference" else ())
    request = Request(OAFLUX, FIRST, last, store, archives, by_reference=referred)
    run(request, lambda: nullcontext(lambda jobs: map(run_block, jobs)))
    return store


def bytes_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("suffix", [".nc", "rt.nc"])
@pytest.mark.parametrize("records", [False, True])
def test_unpacked_files_by_reference_equal_their_copy(tmp_path, packed, suffix, records):
    folder = tmp_path / "archive" / "daily/turbulence"
    folder.mkdir(parents=True)
    for prefix in QUANTITIES:
        write(folder, prefix, packed[prefix], suffix=suffix, records=records)
    stores = [ingested(tmp_path, by) for by in ("copy", "reference")]
    contents = [[one["content"] for one in of_store(store)] for store in stores]
    assert contents[0] == contents[1]
    copy, reference = (open_dataset(store.root, "oaflux") for store in stores)
    assert copy.equals(reference)
    for prefix, quantity in QUANTITIES.items():
        variable = quantity.variable
        values = variable.packing.unpack(packed[prefix], "f8")
        np.testing.assert_allclose(reference[variable.name], values, rtol=1e-12)
    assert bytes_below(tmp_path / "reference") < 0.2 * bytes_below(tmp_path / "copy")


def test_packed_files_cannot_be_read_in_place(tmp_path, year):
    folder = tmp_path / "archive"
    folder.mkdir()
    for path in year:
        shutil.copy(path, folder)
    ingested(tmp_path, "copy")
    with pytest.raises(RunFailed, match=r"packed as a whole, by gzip\. Unpack the files"):
        ingested(tmp_path, "reference")
