"""What is said where a file of matchups is none, or cannot be written."""

from pathlib import Path

import productworld
import pytest
import xarray as xr

from fluxengine.errors import ConfigError
from fluxrecipes.matchups import command, file
from fluxrecipes.skill.command import validate

RUN_FILE = """\
product: deepflux
period: {first: 2014-01-01, last: 2014-01-31}
profiles:
  serial: {store: store, cluster: {kind: serial}}
"""


def test_a_place_that_cannot_be_used_is_told_before_anything_is_computed(tmp_path: Path) -> None:
    run = tmp_path / "run.yaml"
    run.write_text(RUN_FILE)  # of a store that is not there
    with pytest.raises(ConfigError, match="this place cannot be used: Not a directory"):
        command.matchup(run, out=run / "m.nc")
    with pytest.raises(ConfigError, match="it is a folder"):
        command.matchup(run, out=tmp_path)
    assert list(tmp_path.iterdir()) == [run]


def test_a_file_that_cannot_be_put_in_place_leaves_nothing_behind(tmp_path: Path) -> None:
    taken = tmp_path / "out"
    taken.mkdir()
    with pytest.raises(ConfigError, match="this place cannot be used: Is a directory"):
        file.write(taken, productworld.stored())
    assert list(tmp_path.iterdir()) == [taken]


def test_a_file_that_is_none_of_matchups_is_told_in_plain_words(tmp_path: Path) -> None:
    path = tmp_path / "m.nc"
    with pytest.raises(ConfigError, match="there is no such file"):
        file.read(path)
    path.write_text("no NetCDF")
    with pytest.raises(ConfigError, match=r"m\.nc: it is no NetCDF file, or is damaged\. `flux"):
        file.read(path)
    path.unlink()
    xr.Dataset({"x": 1}).to_netcdf(path)
    with pytest.raises(ConfigError) as caught:
        file.read(path)
    assert caught.value.what == "it is no file of matchups: it has no variable platform."
    with pytest.raises(ConfigError, match="it is a folder"):
        file.read(tmp_path)


def test_where_scores_go_is_looked_at_before_they_are_made(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(ConfigError, match="this place cannot be used"):
        validate(matchups=tmp_path / "none.nc", out=tmp_path / "taken")
