"""A product that is defined outside the project, as recipes/ADDING_A_PRODUCT.md tells to."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from fluxengine.store import open_dataset
from fluxrecipes.nature import archive
from fluxrecipes.nature.files.table import Selection

FLUXFORGE = Path(sys.executable).with_name("fluxforge")
GUIDE = Path(__file__).parents[2] / "recipes" / "ADDING_A_PRODUCT.md"
DAY = date(2019, 1, 2)
RUN_FILE = """
product: windpower
period: {{first: 2019-01-02, last: 2019-01-02}}
options: {{sensors: [f17], fill: interpolation, density: 1.2}}
archives: {{rss: {folder}/archive/rss}}
profiles: {{serial: {{store: {folder}/store, cluster: {{kind: serial}}}}}}
"""


def block(language: str) -> str:
    """The guide's file in a language."""
    found = re.search(rf"```{language}\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert found
    return found[1]


@pytest.fixture(scope="module")
def fluxforge(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Run fluxforge where the guide's module is installed."""
    folder = tmp_path_factory.mktemp("package")
    (folder / "windpower.py").write_text(block("python"))
    info = folder / "windpower-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: windpower\nVersion: 1.0\n")
    group, line = block("toml").strip().splitlines()
    name = re.search(r'"(.+)"', group)
    assert name
    (info / "entry_points.txt").write_text(f"[{name[1]}]\n{line.replace(chr(34), '')}\n")
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])

    def run(*arguments: object) -> str:
        done = subprocess.run(
            [FLUXFORGE, *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_its_run_file_tells_its_options(fluxforge: Callable[..., str]) -> None:
    written = fluxforge("products", "windpower", "--run-file")
    assert re.search(r"density: 1\.22 +# of the air, kg m-3", written)
    assert "sensors:" in written


def test_it_is_made_of_the_record(fluxforge: Callable[..., str], tmp_path: Path) -> None:
    wanted = Selection(outputs=("rss",))
    archive.simulate(tmp_path / "archive", DAY, DAY, seed=3, selection=wanted, processes=1)
    run_file = tmp_path / "run.yaml"
    run_file.write_text(RUN_FILE.format(folder=tmp_path))
    assert "windpower" in fluxforge("run", "-c", run_file)
    made = open_dataset(tmp_path / "store").load()
    wind = open_dataset(tmp_path / "store", "deepflux-filled")["wind_speed"].load()
    expected = (0.6 * wind.astype("f8") ** 3).mean("orbit")
    assert made["wind_power"].attrs["units"] == "W m-2"
    there = np.isfinite(expected.values)
    assert 0.3 < there.mean() < 1 and (np.isfinite(made["wind_power"].values) == there).all()
    np.testing.assert_allclose(
        made["wind_power"].values[there], expected.values[there], rtol=1e-5, atol=0.006
    )
    again = "Nothing to do: windpower is up to date"
    assert again in " ".join(fluxforge("run", "-c", run_file).split())
