"""What the commands say: of places, names, days and versions, in words that lead on."""

import errno
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field, ValidationError
from reportsworld import Reports, hourly, report
from toyworld import World, day
from typer.testing import CliRunner

from fluxengine import cli, explain, history, registry, show
from fluxengine.config import ClusterConfig
from fluxengine.errors import ConfigError, StoreError, UnknownName
from fluxengine.export import export
from fluxengine.outages import check_file, check_folder
from fluxengine.repository import storage_errors
from fluxengine.store import Store

# --- places --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "number",
    [errno.EROFS, errno.EACCES, errno.ENOTDIR, errno.EISDIR, errno.ENOENT, errno.ENAMETOOLONG],
)
def test_a_place_that_cannot_be_written_is_no_fault_of_a_storage(number: int) -> None:
    said = f"ro/x: this place cannot be used: {os.strerror(number)}"
    with pytest.raises(ConfigError, match=said) as caught, storage_errors("ro/x"):
        raise OSError(number, os.strerror(number), "ro/x/part")
    may = number in (errno.EROFS, errno.EACCES)
    assert ("the right to write there" in caught.value.mend) is may
    told = cli._in_words(OSError(number, os.strerror(number), "ro/x/part"))
    assert isinstance(told, ConfigError) and told.where == "ro/x/part"


def test_what_no_other_place_would_mend_stays_a_fault_of_the_storage() -> None:
    with pytest.raises(StoreError, match="the storage failed"), storage_errors("here"):
        raise OSError(errno.EIO, "Input/output error", "here/part")


def test_a_place_for_files_is_looked_at_beforehand_and_left_as_it_is(tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("mine")
    check_folder(tmp_path / "new" / "newer")
    check_file(tmp_path / "new" / "m.nc")
    check_file(taken)  # it is replaced
    for unfit in (taken, taken / "deeper", tmp_path / ("x" * 300)):
        with pytest.raises(ConfigError, match="this place cannot be used"):
            check_folder(unfit)
    with pytest.raises(ConfigError, match="it is a folder"):
        check_file(tmp_path)
    assert list(tmp_path.iterdir()) == [taken]


def test_files_are_exported_to_no_place_below_a_file(made: World) -> None:
    with pytest.raises(ConfigError, match="this place cannot be used: Not a directory"):
        list(export(made.opened(), "toy", made.run_file() / "files"))


# --- commands ------------------------------------------------------------------------------------


def refused(*words: object) -> ConfigError | UnknownName:
    done = CliRunner().invoke(cli.app, [*map(str, words)])
    assert isinstance(done.exception, ConfigError | UnknownName), done.output
    return done.exception


def test_a_run_file_is_of_a_product() -> None:
    told = refused("products", "--run-file")
    assert "say of which product" in told.what and "toy" in told.mend


def test_what_is_made_again_needs_a_run_file_and_says_so_before_all_else(
    made: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def too_early(*_: object, **__: object) -> None:
        pytest.fail("verified, and then refused")

    monkeypatch.setattr("fluxengine.verify.verify", too_early)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.yaml").unlink(missing_ok=True)
    told = refused("verify", "--recompute", 1, "--store", made.store)
    assert told.where == "run.yaml" and "cannot be read" in told.what


def test_a_dataset_that_is_not_there_is_no_damaged_one(made: World) -> None:
    for verb in ("verify", "history"):
        told = refused(verb, "nosuch", "--store", made.store)
        assert isinstance(told, UnknownName) and "toy-smooth" in told.mend


# --- names ---------------------------------------------------------------------------------------


def test_a_table_is_no_source_and_nobody_is_asked_whether_he_meant_what_he_wrote() -> None:
    with pytest.raises(UnknownName, match="'toy-reports' is a table of reports, no source"):
        registry.source("toy-reports")
    assert "'f17'" not in registry.suggestion("f17", ["f17", "f18"])


def test_names_are_suggested_however_they_are_capitalised() -> None:
    assert registry.suggestion("F17", ["f17", "amsr2"]) == "Did you mean 'f17'?"
    assert registry.suggestion("WHOTS", ["Whots"]) == "Did you mean 'Whots'?"


class Chosen(BaseModel, extra="forbid"):
    """Options of a product."""

    sensors: tuple[str, ...] = Field(("f17", "f18"), min_length=1)
    ranking: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    cluster: ClusterConfig | None = None
    either: dict[str, int] | list[int] = Field(default_factory=dict)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"sensors": "f17"}, "'sensors': it is to be a list, such as [f17]."),
        ({"sensors": []}, "'sensors': it needs at least 1 entry, such as [f17]."),
        ({"ranking": {"2018-01": "f17"}}, "'ranking.2018-01': it is to be a list, in brackets."),
        (
            {"cluster": {"memory": "lots"}},
            "'cluster.memory': 'lots' is not written as it should be, such as 4GiB.",
        ),
        ({"either": 1}, "'either.dict[str,int]': Input should be a valid dictionary."),
    ],
)
def test_what_a_model_complains_of_is_said_in_plain_words(
    given: Mapping[str, Any], words: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        Chosen.model_validate(given)
    assert str(registry.config_error(caught.value, "here", Chosen)) == f"here: {words}"


# --- days and versions ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("days", "words"),
    [
        ({"first": 40}, "no day from 2020-02-09 on: it has 2020-01-01 to 2020-01-12."),
        ({"last": -3}, "no day from 2020-01-01 to 2019-12-28: it has 2020-01-01 to 2020-01-12."),
        ({"first": 6, "last": 5}, "the period ends on 2020-01-05, before it starts on 2020-01-06."),
    ],
)
def test_an_export_tells_which_days_there_are(
    made: World, days: Mapping[str, int], words: str
) -> None:
    asked = {name: day(number) for name, number in days.items()}
    with pytest.raises(ConfigError) as caught:
        list(export(made.opened(), "toy", made.folder / "files", **asked))
    assert words in caught.value.what


def test_a_version_that_is_published_again_is_known_as_such(
    made: World, capsys: pytest.CaptureFixture[str]
) -> None:
    made.write(6, seed=1)
    made.run()
    store = Store.at(made.store)
    history.restore(store, "toy", "v1")
    found = history.versions(store, "toy")
    assert [version.like for version in found] == ["", "", "v1"]
    show.history("toy", found)
    assert "v3, as v1" in capsys.readouterr().out


# --- reports -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Reports:
    """Two buoys by the hour, and a mooring of many platforms at one time."""
    made = Reports(tmp_path_factory.mktemp("reports"))
    one = report("2002-08-01T00:30:00", "b", wind=6.5, sst=290.5, quality=3)
    made.write("buoys/hist/a.txt", [*hourly("a", "2002-08-01", 3), one])
    many = [report("2002-08-02T00:00:00", f"m{k:02}", wind=k) for k in range(30)]
    made.write("moorings/x/m_dy.txt", many)
    made.run()
    return made


def explained(world: Reports, **point: str) -> explain.Lineage:
    return explain.explain(Store.at(world.store), "toy-reports", point)


def test_values_of_a_report_have_units_and_codes_their_meanings(reports: Reports) -> None:
    told = explained(reports, time="2002-08-01T00:30", platform="b")
    found = {value.name: (value.shown, value.units) for value in told.values}
    assert found["wind"] == ("6.5", "m s-1") and found["sst"] == ("290.5", "K")
    assert found["quality"] == ("doubtful", "")


@pytest.mark.parametrize(
    ("point", "words"),
    [
        (
            {"time": "2002-08-01T00:30", "platform": "zzz"},
            "there are reports of this time, but none with these names or codes."
            " They have platform=b.",
        ),
        ({"time": "2002-08-01T07:00", "platform": "zzz"}, "It has platform=a … m29 (32)."),
        (
            {"time": "2002-08-01T01:20", "platform": "a"},
            "The nearest in this month, in UTC: time=2002-08-01T01:00:00 platform=a",
        ),
        (
            {"time": "2002-08-01T00:31"},
            "The nearest in this month, in UTC: time=2002-08-01T00:30:00 platform=b",
        ),
        ({"time": "2002-08-02"}, "30 reports fit. Say more. They have platform=m00 … m29 (30)."),
    ],
)
def test_of_a_report_that_is_not_there_the_next_is_told(
    reports: Reports, point: Mapping[str, str], words: str
) -> None:
    with pytest.raises((ConfigError, UnknownName)) as caught:
        explained(reports, **point)
    assert words in str(caught.value)


def test_months_that_a_restored_table_lost_are_told(tmp_path: Path) -> None:
    world = Reports(tmp_path)

    def write(days: Iterable[str]) -> None:
        world.write("buoys/hist/a.txt", [line for one in days for line in hourly("a", one, 2)])
        world.run()

    write(["2002-08-01"])
    write(["2002-08-01", "2002-09-01"])
    store = Store.at(world.store)
    history.restore(store, "toy-reports", "v1")
    last = history.versions(store, "toy-reports")[-1]
    assert (last.name, last.like, last.which) == ("v3", "v1", "2002-09")
    assert (last.added, last.changed, last.removed, last.same) == (0, 0, 1, 1)
