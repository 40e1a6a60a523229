"""A sensor that is defined outside the project, as recipes/ADDING_A_SENSOR.md tells to."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from fluxengine.store import Store, open_dataset
from fluxrecipes.constellation import codes

FLUXFORGE = Path(sys.executable).with_name("fluxforge")
GUIDE = Path(__file__).parents[2] / "recipes" / "ADDING_A_SENSOR.md"
DAYS = (date(2021, 3, 1), date(2021, 3, 2))
LAND, LOST, UNSEEN = 255, 251, 254
LAYERS = {"hour": 24.0, "wind": 20.0, "vapour": 60.0, "cloud": 1.0, "rain": 10.0}
RUN_FILE = """
product: deepflux
period: {{first: 2021-03-01, last: 2021-03-02}}
options: {{sensors: [mwx], fill: interpolation, retrieve: regression, correct: none}}
archives: {{mwx: {archive}}}
profiles: {{serial: {{store: {store}, cluster: {{kind: serial}}}}}}
"""
MERGED = """
from contextlib import nullcontext
from functools import partial
from datetime import date
from fluxengine import executors
from fluxengine.run import run
from fluxengine.stand import Request
from fluxengine.store import Store
from fluxrecipes.constellation import RECORD, Constellation, source_of
from fluxrecipes.products.deepflux import Options, merged

sensors = (*RECORD, "mwx")
newest = Constellation.of("newest", {{name: source_of(name) for name in sensors}}, {{}})
print(newest.order(date(2021, 3, 2)))
period = date(2021, 3, 1), date(2021, 3, 2)
store = Store.at({store!r}, create=True)
request = Request(merged(Options(sensors=("mwx",))), *period, store, {{"mwx": {archive!r}}})
run(request, partial(nullcontext, executors.serial))
"""


def block(language: str) -> str:
    """The guide's file in a language."""
    found = re.search(rf"```{language}\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert found
    return found[1]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the guide's module and the metadata that an installation of it leaves."""
    folder = tmp_path_factory.mktemp("package")
    (folder / "mwx.py").write_text(block("python"))
    info = folder / "mwx-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mwx\nVersion: 1.0\n")
    group, line = block("toml").strip().splitlines()
    name = re.search(r'"(.+)"', group)
    assert name
    (info / "entry_points.txt").write_text(f"[{name[1]}]\n{line.replace(chr(34), '')}\n")
    return folder


def day_of_maps(day: date) -> dict[str, np.ndarray]:
    random = np.random.default_rng(day.toordinal())
    why = np.full((2, 720, 1440), 0, "u1")
    why[:, 300:320] = LAND
    why[1, :, 700:900] = UNSEEN
    found = {name: most * random.random(why.shape) for name, most in LAYERS.items()}
    rainy = found["rain"] > 9.5
    why[rainy & (why == 0)] = LOST
    for name, values in found.items():
        values[(why != 0) if name == "wind" else (why > LOST)] = np.nan
    return found | {"why": why}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two days in the sensor's own format."""
    folder = tmp_path_factory.mktemp("archive")
    (folder / "2021").mkdir()
    for day in DAYS:
        with netCDF4.Dataset(folder / f"2021/mwx_{day:%Y%m%d}.nc", "w") as file:
            file.since = f"hours since {day}"
            for name, size in (("pass", 2), ("lat", 720), ("lon", 1440)):
                file.createDimension(name, size)
            file.createVariable("lat", "f4", ("lat",))[:] = -89.875 + 0.25 * np.arange(720)
            file.createVariable("lon", "f4", ("lon",))[:] = 0.125 + 0.25 * np.arange(1440)
            for name, values in day_of_maps(day).items():
                kind = "u1" if name == "why" else "f4"
                made = file.createVariable(name, kind, ("pass", "lat", "lon"), zlib=True)
                made[:] = values
    return folder


@pytest.fixture
def python(package: Path) -> Callable[..., str]:
    """Run Python, or fluxforge, where the package is installed."""

    def run(*arguments: object) -> str:
        path = os.pathsep.join([str(package), *filter(None, [os.environ.get("PYTHONPATH")])])
        program = Path(sys.executable) if arguments[0] == "-c" else FLUXFORGE
        done = subprocess.run(
            [program, *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_the_file_has_about_45_lines_of_declarations() -> None:
    lines = [line for line in block("python").splitlines() if line.strip()]
    assert len(lines) <= 62


def test_its_page_is_printed(python: Callable[..., str]) -> None:
    page = json.loads(python("sources", "mwx", "--json"))
    assert page["provider"] == "Example Space Agency"
    assert page["path"] == "2021/mwx_20210301.nc"
    assert [v["name"] for v in page["variables"]][:2] == ["pass_time", "pass_time_flag"]


def test_its_days_are_ingested(python: Callable[..., str], archive: Path, tmp_path: Path) -> None:
    run_file = tmp_path / "run.yaml"
    run_file.write_text(RUN_FILE.format(archive=archive, store=tmp_path / "store"))
    python("ingest", "mwx", "-c", run_file)
    stored = open_dataset(tmp_path / "store", "mwx")
    for at, day in enumerate(DAYS):
        given = day_of_maps(day)
        wind, flag = (stored[name][at].values for name in ("wind_speed", "wind_speed_flag"))
        np.testing.assert_allclose(wind, given["wind"], atol=0.0026)
        assert np.array_equal(flag, np.where(given["why"] == 0, 2, given["why"]))


def test_it_joins_the_constellation_as_the_newest(
    python: Callable[..., str], archive: Path, tmp_path: Path
) -> None:
    script = MERGED.format(store=str(tmp_path / "store"), archive=str(archive))
    assert python("-c", script).startswith("('mwx', 'f17', 'f16')")
    assert Store.at(tmp_path / "store").names == ("deepflux-merged", "deepflux-mwx", "mwx")
    merged = open_dataset(tmp_path / "store", "deepflux-merged")
    meanings = dict(
        zip(
            merged["satellite"].attrs["flag_values"],
            merged["satellite"].attrs["flag_meanings"].split(),
            strict=True,
        )
    )
    (code,) = codes(("mwx",))
    assert meanings[code] == "mwx"
    vapour = day_of_maps(DAYS[0])["vapour"][0, 120:600].reshape(120, 4, 360, 4).mean(axis=(1, 3))
    found = merged["water_vapour"][0].sel(orbit="ascending").values
    there = np.isfinite(found)
    assert there.mean() > 0.9 and set(np.unique(merged["satellite"][0, 0])) == {2, code}
    np.testing.assert_allclose(found[there], vapour[there], atol=0.006)
