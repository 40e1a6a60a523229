"""A store with a small record in which days of every kind are known, and a report of it.

The plug-in lies on the path of this process, with entry points like an installed package.
"""

import sys
from collections.abc import Callable
from contextlib import nullcontext
from datetime import date
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parent / "plugin"))
sys.path.insert(0, str(Path(__file__).parents[1] / "recipes"))  # productworld

import productworld
from reportworld import HOSTILE, write_archive, write_run_file

from fluxengine import config, registry, requested
from fluxengine.executors import serial
from fluxengine.run import run
from fluxrecipes.matchups import file
from fluxrecipes.report.command import report
from fluxrecipes.stored import SIMULATED


@pytest.fixture(scope="session", autouse=True)
def plugin_is_found() -> None:
    """What was looked for before the plug-in lay on the path is looked for again."""
    registry._found.cache_clear()


def made(folder: Path, product: str = "small-flux") -> None:
    run_file = config.load(write_run_file(folder, f"{product}.yaml", product))
    asked = requested.of_product(run_file, run_file.profile(None), create=True)
    run(asked, lambda: nullcontext(serial))


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with archive, store and run file; not to be changed."""
    folder = tmp_path_factory.mktemp("world")
    write_archive(folder / "archive", f"{SIMULATED}a test: no observation.")
    for product in ("small-flux", "small-months", "small-passes"):
        made(folder, product)
    write_run_file(folder)
    return folder


@pytest.fixture(scope="session")
def call() -> Callable[..., str]:
    """Call `fluxforge report`; gives what it prints, and raises what it raises."""
    app = typer.Typer()
    app.command()(report)

    def called(*arguments: object) -> str:
        done = CliRunner().invoke(app, [str(one) for one in arguments])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.stdout

    return called


@pytest.fixture(scope="session")
def short(world: Path) -> Path:
    """A run file of forty days, so that maps are of days."""
    return write_run_file(world, "short.yaml", first=date(2020, 2, 1), last=date(2020, 3, 11))


@pytest.fixture(scope="session")
def trends(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `fluxforge trends` writes it, of years of made-up maps on the record's grid."""
    import numpy as np
    import xarray as xr

    from fluxrecipes.trends import document, settings
    from fluxrecipes.trends import report as writing

    folder = tmp_path_factory.mktemp("trends")
    months = np.arange("1992-01", "2002-01", dtype="M8[M]")
    rng = np.random.default_rng(3)
    rise = (np.arange(len(months)) / 120.0)[:, None, None]
    values = 100.0 + 20.0 * rise + rng.normal(size=(len(months), 12, 24))
    lat, lon = np.arange(-55.0, 60.0, 10.0), np.arange(7.5, 360.0, 15.0)
    made = xr.DataArray(
        values.astype("f4"),
        {"time": months.astype("M8[ns]"), "lat": lat, "lon": lon},
        ("time", "lat", "lon"),
        attrs={"units": "W m-2"},
    )
    made.to_dataset(name="latent_heat_flux").to_zarr(folder / "months.zarr")
    (folder / "trends.yaml").write_text(
        "{store: ., dataset: months.zarr, variables: [latent_heat_flux], attribution: false,"
        " simulated: made up, out: out}"
    )
    writing.write(document.of(settings.load(folder / "trends.yaml")))
    return folder / "out"


@pytest.fixture(scope="session")
def matchups(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as `fluxforge matchup` writes it, with daily products, of a world with a bad name."""
    path = tmp_path_factory.mktemp("matchups") / "matchups.nc"
    told = {
        "simulated": HOSTILE,
        "title": "Reports beside another record, 2014-01-01 to 2018-12-31",
        "source": "elsewhere/<b>",
    }
    file.write(path, productworld.stored()._replace(attrs=told))
    return path


@pytest.fixture(scope="session")
def whole(
    call: Callable[..., str],
    short: Path,
    trends: Path,
    matchups: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A page on forty days with all that can be on it."""
    out = tmp_path_factory.mktemp("whole")
    call("-c", short, "-o", out, "--trends", trends, "--matchups", matchups)
    return out / "report.html"
