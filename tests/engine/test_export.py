"""Exported files bear the version that their values are of, and say when their period ends."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from reportsworld import Reports, hourly
from toyworld import World, day

from fluxengine import export as exporting
from fluxengine.errors import ConfigError, RunFailed, StoreError, UnknownName
from fluxengine.export import export
from fluxengine.repository import Repository
from fluxengine.store import Store, open_dataset
from fluxengine.styles import File, Style


def exported(world: World, folder: str = "files") -> list[xr.Dataset]:
    found = []
    for file in export(world.opened(), "toy", world.folder / folder):
        with xr.open_dataset(file) as opened:
            found.append(opened.load())
        assert opened.attrs["product_version"] in file.name
    return found


def killed_before_its_tag(world: World, patch: pytest.MonkeyPatch) -> None:
    """A run that dies after `main` moved and before the version had a name."""
    tag = Repository._tag

    def dying(self: Repository, snapshot: str) -> str:
        if str(self.path).endswith("/toy"):
            raise KeyboardInterrupt
        return tag(self, snapshot)

    with patch.context() as patched:
        patched.setattr(Repository, "_tag", dying)
        with pytest.raises(KeyboardInterrupt):
            world.run()


def test_what_bears_no_version_yet_is_not_exported_as_the_version_before(
    made: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.write(*range(1, 13), seed=7)
    killed_before_its_tag(made, monkeypatch)
    with pytest.raises(StoreError, match=r"toy: what was published last bears no version yet"):
        exported(made)
    assert not (made.folder / "files").exists()
    made.run()  # the same command goes on
    (file,) = exported(made)
    assert file.attrs["id"] == "toy-v2"
    np.testing.assert_array_equal(file["wind"], open_dataset(made.store, version="v2")["wind"])


def test_what_is_published_meanwhile_does_not_enter_the_files(
    made: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def published_first(*args: object, **options: object) -> xr.Dataset:
        made.write(*range(1, 13), seed=7)
        made.run()
        return open_dataset(*args, **options)

    monkeypatch.setattr(exporting, "open_dataset", published_first)
    (file,) = exported(made)
    assert file.attrs["product_version"] == "v1"
    then, now = (open_dataset(made.store, version=version)["wind"] for version in ("v1", "v2"))
    np.testing.assert_array_equal(file["wind"], then)
    assert not np.array_equal(then, now, equal_nan=True)


def test_a_version_that_was_restored_is_exported_under_its_new_name(made: World) -> None:
    repository = made.opened().repository("toy")
    assert repository.restore(repository.version("v1")) == "v2"
    (file,) = exported(made)
    assert file.attrs["product_version"] == "v2"


def test_nothing_is_exported_of_what_is_not_published(world: World) -> None:
    world.file(6).write_bytes(b"damaged")
    with pytest.raises(RunFailed):
        world.run(strict=True)
    with pytest.raises(UnknownName, match="nothing is published here yet"):
        list(export(world.opened(), "toy-passes", world.folder / "files"))


def test_a_period_is_told_as_acdd_has_it(made: World) -> None:
    (file,) = exported(made)
    assert file.attrs["time_coverage_start"] == "2020-01-01T00:00:00Z"
    assert file.attrs["time_coverage_end"] == "2020-01-12T00:00:00Z"
    assert file.attrs["time_coverage_duration"] == "P12D"
    assert file["time_bnds"].values[-1, 1] == np.datetime64("2020-01-13")


def test_a_part_of_a_year_does_not_replace_the_files_of_the_whole(made: World) -> None:
    folder = made.folder / "files"
    (whole,) = export(made.opened(), "toy", folder)
    before = whole.read_bytes()
    (part,) = export(made.opened(), "toy", folder, first=day(5), last=day(6))
    assert (whole.name, part.name) == ("toy_v1_2020.nc", "toy_v1_20200105_20200106.nc")
    assert whole.read_bytes() == before


def test_nor_do_those_of_a_style_which_are_called_after_years(made: World) -> None:
    folder = made.folder / "files"

    def of_year(part: xr.Dataset) -> Iterator[File]:
        yield File("theirs_2020.nc", part.drop_encoding(), {})

    style = Style("theirs", "year", of_year)
    (part,) = export(made.opened(), "toy", folder, first=day(5), style=style)
    part.unlink()
    (whole,) = export(made.opened(), "toy", folder, style=style)
    before = whole.read_bytes()
    with pytest.raises(ConfigError, match=r"theirs_2020\.nc: it is there, and a part of its year"):
        list(export(made.opened(), "toy", folder, first=day(5), style=style))
    assert whole.read_bytes() == before
    (again,) = export(made.opened(), "toy", folder, style=style)
    assert again == whole


def test_reports_are_no_files_of_a_grid(tmp_path: Path) -> None:
    world = Reports(tmp_path)
    world.write("moorings/tao/a_dy.txt", hourly("A", "2002-08-01", 2))
    world.write("buoys/hist/b.txt", hourly("B", "2002-08-01", 2))
    world.run()
    with pytest.raises(ConfigError, match=r"a table of reports.*month='2002-08'"):
        list(export(Store.at(world.store), "toy-reports", tmp_path / "files"))
