"""`fluxforge export --style oaflux`: files that OAFlux's own reader takes for OAFlux's."""

from __future__ import annotations

import shutil
import subprocess
import sys
from contextlib import nullcontext
from datetime import date, timedelta
from pathlib import Path

import icechunk
import netCDF4
import numpy as np
import pytest
import typer
import xarray as xr
import zarr
from typer.testing import CliRunner

from fluxengine import cli, registry
from fluxengine.declare import Source
from fluxengine.errors import ConfigError, OutOfRange, UnknownName
from fluxengine.export import export
from fluxengine.grid import Grid, days
from fluxengine.run import run
from fluxengine.stand import Request
from fluxengine.store import Store, open_dataset
from fluxengine.task import run_block
from fluxengine.verify import verify
from fluxkernels.bulk import bulk_flux
from fluxrecipes import vocabulary as cf
from fluxrecipes.products.deepflux import OCEAN
from fluxrecipes.sources.oaflux import OAFLUX, QUANTITIES
from fluxrecipes.standard_errors import error_of, with_error
from fluxrecipes.styles.oaflux import files

FIRST, DAYS = date(2016, 1, 3), 3  # not from the first of January on
AIR, LATENT = cf.air_temperature, cf.latent_heat_flux
VARIABLES = (
    cf.wind_speed,
    cf.sea_surface_temperature,
    *map(with_error, cf.NEAR_SURFACE),
    *map(with_error, cf.FLUXES),
    *(error_of(v) for v in (*cf.NEAR_SURFACE, *cf.FLUXES)),
)
CHECKER = """
import sys
from compliance_checker.runner import CheckSuite, ComplianceChecker
CheckSuite.load_all_available_checkers()
ComplianceChecker.run_checker(sys.argv[1], ["cf:1.11"], 0, "normal", "-")
"""
TYPICAL = {
    "wind_speed": (7.0, 3.0),
    "sea_surface_temperature": (290.0, 10.0),
    "air_temperature": (289.0, 8.0),
    "specific_humidity": (0.009, 0.003),
    "sensible_heat_flux": (12.0, 15.0),
    "latent_heat_flux": (100.0, 60.0),
}


def field(name: str, day: date) -> np.ndarray:
    """A day of a variable, smooth, land in a corner."""
    mean, width = TYPICAL.get(name, (0.0, 0.0))
    lat, lon = np.arange(-59.5, 60)[:, None], np.arange(0.5, 360)[None, :]
    shape = np.cos(np.radians(lat * 1.5)) * np.cos(np.radians(lon + 20 * day.day + len(name)))
    values = mean + width * shape
    if name.endswith("standard_error"):
        values = TYPICAL[name.removesuffix("_standard_error")][1] * (0.2 + 0.1 * shape)
    values[80:100, 60:90] = np.nan
    return values


def decode(path: Path, day: date) -> xr.Dataset:
    made = {}
    for variable in VARIABLES:
        packing = variable.packing
        raw = packing.pack(field(variable.name, day), variable.name)
        made[variable.name] = (("time", "lat", "lon"), raw[None], packing.attributes)
    return xr.Dataset(made)


RECORD = Source(
    name="record",
    grid=Grid(time=days("2015-01-01", block=30), **OCEAN),
    path=lambda day: f"{day}.txt",
    decode=decode,
    provides=VARIABLES,
    archive="record",
    home="",
    title="A record",
    provider="test",
    licence="none",
    cite="none",
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Three days, published; simulated, as the archive's notice says."""
    folder = tmp_path_factory.mktemp("record")
    for step in range(DAYS):
        (folder / f"{FIRST + timedelta(step)}.txt").write_text("a day")
    (folder / "NOTICE.txt").write_text("SIMULATED DATA of an imagined world.")
    made = Store.at(folder / "store", create=True)
    request = Request(RECORD, FIRST, FIRST + timedelta(DAYS - 1), made, {"record": str(folder)})
    run(request, lambda: nullcontext(lambda jobs: map(run_block, jobs)))
    return made


@pytest.fixture(scope="module")
def written(store: Store, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    style = registry.style("oaflux")
    return list(export(store, "record", tmp_path_factory.mktemp("oaflux"), style=style))


def test_a_file_for_each_quantity_and_year(written: list[Path]) -> None:
    names = {f"{prefix}_oaflux_2016.nc" for prefix in QUANTITIES}
    assert {path.name for path in written} == names
    assert {path.name for path in written[0].parent.iterdir()} == names


def test_oafluxs_reader_finds_the_record(written: list[Path], store: Store) -> None:
    record = open_dataset(store.root, "record").load()
    paths = tuple(written[0].parent / f"{prefix}_oaflux_2016.nc" for prefix in QUANTITIES)
    read = OAFLUX.decode(paths, tuple(date(2016, 1, day) for day in (2, 3, 5, 6)))
    assert read["time"].values.astype("M8[D]").astype(str).tolist() == [
        "2016-01-02",  # which the record lacks
        "2016-01-03",
        "2016-01-05",
    ]
    by_name = {one.variable.name: one.variable.packing for one in QUANTITIES.values()}
    for name in ("wind_speed", "sea_surface_temperature", "latent_heat_flux"):
        values = by_name[name].unpack(read[name].values, "f8")
        ours, step = record[name].values[[0, 2]], by_name[name].scale
        np.testing.assert_allclose(values[1:, 30:150], ours, atol=0.5 * step + 1e-6)
        assert np.isnan(values[0]).all()
        assert np.isnan(values[:, :30]).all() and np.isnan(values[:, 150:]).all()


def test_air_is_that_of_2_m(written: list[Path], store: Store) -> None:
    day = open_dataset(store.root, "record").isel(time=0).load()
    made = bulk_flux(
        *(
            day[name].values
            for name in ("wind_speed", "sea_surface_temperature", AIR.name, "specific_humidity")
        ),
        latitude=day["lat"].values[:, None],
        wind_kind="neutral",
        at_height=2.0,
        outputs=("air_temperature_at_height", "specific_humidity_at_height"),
    )
    folder = written[0].parent
    with xr.open_dataset(folder / "ta_oaflux_2016.nc") as file:
        found = file["tmp2m"].sel(time="2016-01-03", lat=day["lat"], lon=day["lon"])
        np.testing.assert_allclose(found, made.air_temperature_at_height - 273.15, atol=0.0051)
        assert abs(found - (day[AIR.name] - 273.15)).max() > 0.1
        assert file["height"] == 2.0 and "COARE 3.6" in file["tmp2m"].attrs["comment"]
    with xr.open_dataset(folder / "qa_oaflux_2016.nc") as file:
        found = file["hum2m"].sel(time="2016-01-03", lat=day["lat"], lon=day["lon"])
        np.testing.assert_allclose(found, 1e3 * made.specific_humidity_at_height, atol=0.0051)


def test_the_form_is_oafluxs_and_the_sign_is_told(written: list[Path]) -> None:
    units = {"lh": "W/m^2", "sh": "W/m^2", "ws": "m/s", "qa": "g/kg", "ta": "degC", "ts": "degC"}
    for path in written:
        prefix = path.name[:2]
        with netCDF4.Dataset(path) as file:
            file.set_auto_maskandscale(False)
            assert file.data_model == "NETCDF3_CLASSIC"
            one = file[QUANTITIES[prefix].names[0]]
            assert one.shape == (5, 180, 360)
            assert (one.dtype, one.units, one.missing_value) == (np.int16, units[prefix], 32766)
            assert file["lat"][0] == -89.5 and file["lon"][0] == 0.5
            # The day of the year, as OAFlux counts, in words that tell the year too.
            assert file["time"][:].tolist() == [1, 2, 3, 4, 5]
            assert file["time"].units == "days since 2015-12-31"
            assert "positive upward" in file.comment and "not OAFlux" in file.comment
            assert "SIMULATED" in file.notice and "record v1" in file.history
            if prefix in ("lh", "sh"):
                assert "positive upward" in one.comment and "positive upward" in one.long_name
            assert ("err" in file.variables) == (prefix not in ("ws", "ts"))


def test_standard_errors_are_oafluxs_err(written: list[Path], store: Store) -> None:
    record = open_dataset(store.root, "record").isel(time=0).load()
    for prefix, name, factor in (("lh", LATENT.name, 1.0), ("ta", AIR.name, 1.0)):
        with xr.open_dataset(written[0].parent / f"{prefix}_oaflux_2016.nc") as file:
            found = file["err"].sel(time="2016-01-03", lat=record["lat"], lon=record["lon"])
            ours = record[f"{name}_standard_error"] * factor
            step = QUANTITIES[prefix].variable.packing.scale
            np.testing.assert_allclose(found, ours, atol=0.5 * step + 1e-5)
            assert file["err"].attrs["standard_name"].endswith(" standard_error")


@pytest.mark.parametrize("prefix", ["lh", "ta"])
def test_files_pass_the_cf_checker(written: list[Path], prefix: str) -> None:
    path = written[0].parent / f"{prefix}_oaflux_2016.nc"
    # Apart: it brings a NetCDF library of its own.
    told = subprocess.run(
        [sys.executable, "-c", CHECKER, path], capture_output=True, text=True, check=False
    )
    assert "All tests passed!" in told.stdout, told.stdout + told.stderr


def test_a_file_tells_the_extent_of_the_record_in_it(written: list[Path]) -> None:
    with xr.open_dataset(written[0], decode_cf=False) as made:
        assert made.attrs["time_coverage_start"] == "2016-01-03T00:00:00Z"
        assert made.attrs["time_coverage_duration"] == f"P{DAYS}D"
        assert made.attrs["geospatial_lat_min"] == float(OCEAN["lat"].coordinate()[0])
        assert made.attrs["processing_level"] == "not stated"


def test_what_others_wrote_is_not_replaced(store: Store, tmp_path: Path) -> None:
    style = registry.style("oaflux")
    (first, *_) = export(store, "record", tmp_path, style=style)
    (again, *_) = export(store, "record", tmp_path, style=style)
    assert again == first
    for attrs in ({"title": "the provider's own"}, {"id": "another-v1"}):
        xr.Dataset(attrs=attrs).to_netcdf(first)
        before = first.read_bytes()
        with pytest.raises(ConfigError, match="and no earlier export of record"):
            list(export(store, "record", tmp_path, style=style))
        assert first.read_bytes() == before
    first.write_text("not even NetCDF")
    with pytest.raises(ConfigError, match="and no earlier export of record"):
        list(export(store, "record", tmp_path, style=style))


def test_only_what_has_a_height_names_it(store: Store, tmp_path: Path) -> None:
    (file,) = export(store, "record", tmp_path, per="all")
    with xr.open_dataset(file, decode_cf=False) as made:
        named = {n: v.attrs["coordinates"] for n, v in made.items() if "coordinates" in v.attrs}
    with xr.open_dataset(file) as made:
        heights = {n for n, c in made.coords.items() if c.attrs.get("standard_name") == "height"}
    assert heights == {v.height_name for v in VARIABLES} - {None}
    assert named == {v.name: v.height_name for v in VARIABLES if v.height is not None}


def test_a_changed_height_is_found(store: Store, tmp_path: Path) -> None:
    shutil.copytree(str(store.root), tmp_path / "store")
    altered = Store.at(tmp_path / "store")
    assert verify(altered, "record").findings == ()
    place = icechunk.local_filesystem_storage(str(tmp_path / "store/record"))
    session = icechunk.Repository.open(place).writable_session("main")
    zarr.open_group(session.store, mode="r+")["height_10m"][...] = 2.0
    session.commit("behind the engine's back")
    (finding,) = verify(altered, "record").findings
    assert finding.what == "the coordinate height_10m has another value"


def test_what_cannot_be_written_so_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match=r"no style 'seaflux'\. Known: oaflux"):
        registry.style("seaflux")
    style = registry.style("oaflux")
    with pytest.raises(ConfigError, match="for a year each, not for month"):
        list(export(store, "record", tmp_path, per="month", style=style))
    record = open_dataset(store.root, "record").load()
    with pytest.raises(ConfigError, match="has none of them"):
        list(files(record[["specific_humidity"]]))
    with pytest.raises(ConfigError, match="has none of them"):
        list(files(record.assign_coords(lon=record["lon"] + 0.25)))
    edges = record["time_bnds"].values.copy()
    edges[:, 1] = edges[:, 0] + np.timedelta64(31, "D")  # as monthly means have them
    for monthly in (
        record.assign(time_bnds=(("time", "bounds"), edges)),
        record.drop_vars("time_bnds").isel(time=[0, 2]),
    ):
        with pytest.raises(ConfigError, match="hold daily fluxes"):
            list(files(monthly))
    record[LATENT.name][0, 0, 0] = 5000.0
    with pytest.raises(OutOfRange, match="lhtfl = 5000"):
        list(files(record))


def test_the_command(store: Store, tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(cli.export)
    call = ["record", "--store", str(store.root), "-o", str(tmp_path), "--style", "oaflux"]
    done = CliRunner().invoke(app, [*call, "--first", "2016-01-05"])
    assert done.exit_code == 0, done.output
    assert len(done.stdout.split()) == len(QUANTITIES)
    assert isinstance(CliRunner().invoke(app, [*call[:-1], "x"]).exception, UnknownName)
