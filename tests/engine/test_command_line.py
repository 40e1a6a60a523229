"""The command line as a user meets it: its words, its exit codes, and what it imports."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pytest
from toyworld import World

from fluxengine import cli, config, show
from fluxengine.store import Store

FLUXFORGE = Path(sys.executable).with_name("fluxforge")
HEAVY = {"torch", "dask", "distributed", "xarray", "matplotlib", "pandas", "cartopy"}
IMPORTED = """
import atexit, sys
atexit.register(lambda: print(*sorted({name.partition(".")[0] for name in sys.modules})))
from fluxengine.cli import main
main()
"""


@dataclass(frozen=True)
class Done:
    """What a command printed."""

    stdout: str
    stderr: str


@pytest.fixture
def fluxforge(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Done]:
    """Run the command in this process and check its exit code."""

    def run(*words: object, code: int = 0) -> Done:
        monkeypatch.setattr(sys, "argv", ["fluxforge", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        done = Done(*capsys.readouterr())
        assert ended.value.code == code, done
        return done

    return run


def process(*words: object, code: int = 0) -> Done:
    """Run the installed command in a process of its own and check its exit code."""
    done = subprocess.run([FLUXFORGE, *map(str, words)], capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    return Done(done.stdout, done.stderr)


def imported(*words: object) -> set[str]:
    """Top-level packages that the command had imported when it ended."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED, *map(str, words)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    assert not imported("--help") & (HEAVY | {"zarr", "icechunk"})
    before = os.times().children_user
    process("--help")
    assert os.times().children_user - before < 1  # seconds; 0.3 on an idle machine


def test_the_version(fluxforge: Callable[..., Done]) -> None:
    assert fluxforge("--version").stdout == f"fluxforge {version('fluxforge')}\n"


@pytest.mark.parametrize("verb", ["sources", "products", "plan", "run", "ingest", "status"])
def test_every_verb_has_help_with_an_example(verb: str, fluxforge: Callable[..., Done]) -> None:
    assert f"Example: fluxforge {verb}" in fluxforge(verb, "--help").stdout


@pytest.mark.parametrize(("verb", "shown"), [("train", "[f10, f15]"), ("validate", "[gdcm.")])
def test_lists_in_a_help_are_not_taken_for_markup(
    verb: str, shown: str, fluxforge: Callable[..., Done]
) -> None:
    assert shown in fluxforge(verb, "--help").stdout


def test_paragraphs_of_a_help_flow_and_examples_stay() -> None:
    text = """Do it.

    One line,
    and another.

      store: here
      out: there
    """
    assert cli.flowing(text) == "Do it.\n\nOne line, and another.\n\n  store: here\n  out: there"
    assert cli.flowing(cli.flowing(text)) == cli.flowing(text)


def test_a_wide_table_of_numbers_is_not_cut_off(capsys: pytest.CaptureFixture[str]) -> None:
    numbers = [f"{n}.25" for n in range(40)]
    show.table("", ["what", *("#n" for _ in numbers)], [["all of them", *numbers]], wide=True)
    assert capsys.readouterr().out.splitlines()[1].split() == ["all", "of", "them", *numbers]


def test_a_plan_with_nothing_to_run_says_so_and_imports_neither_torch_nor_a_cluster(
    made: World, fluxforge: Callable[..., Done]
) -> None:
    path = made.run_file()
    assert "Nothing to run: toy is up to date for 2020-01-01 to 2020-01-12." in (
        fluxforge("plan", "-c", path).stdout
    )
    assert not imported("plan", "-c", path) & {"torch", "distributed", "matplotlib", "cartopy"}


def test_a_run_with_nothing_to_do_starts_no_cluster(
    made: World, fluxforge: Callable[..., Done]
) -> None:
    path = made.run_file()
    assert "Nothing to do" in fluxforge("run", "-c", path, "--profile", "local").stdout
    assert "distributed" not in imported("run", "-c", path, "--profile", "local")


def test_plan_and_run_give_machines_json(world: World, fluxforge: Callable[..., Done]) -> None:
    path = world.run_file()
    plan = json.loads(fluxforge("plan", "-c", path, "--json").stdout)
    assert {d["name"]: len(d["will_run"]) for d in plan["datasets"]}["toy-passes"] == 3
    summary = json.loads(fluxforge("run", "-c", path, "--json").stdout)
    assert summary["blocks"] == {"toy-passes": 3, "toy-coarse": 3, "toy-smooth": 9, "toy": 3}
    status = json.loads(fluxforge("status", "--store", world.store, "--json").stdout)
    assert {record["dataset"]: record["content"] for record in status} == world.content()
    assert json.loads(fluxforge("plan", "-c", path, "--json").stdout)["nothing_to_run"]


def test_marked_days_are_exit_code_three_and_named(world: World) -> None:
    world.file(3).unlink()
    world.file(7).write_bytes(b"")
    done = process("run", "-c", world.run_file(), code=3)
    assert "Published: toy-passes v1" in done.stdout
    assert "toy-passes 2020-01-03: no file" in done.stderr
    assert "toy-passes 2020-01-07" in done.stderr
    assert "no file 2020/wind_20200103.npy" in process("status", "--store", world.store).stdout


def test_a_failed_block_is_exit_code_three(world: World, fluxforge: Callable[..., Done]) -> None:
    path = world.run_file(options="{day: 2020-01-06}".replace("2020-01-06", "'2020-01-06'"))
    assert "dislikes 2020-01-06" in fluxforge("run", "-c", path, code=3).stderr


def test_strict_is_exit_code_one_and_publishes_nothing(world: World) -> None:
    world.file(3).unlink()
    done = process("run", "-c", world.run_file(), "--strict", code=1)
    assert "Error FF503: toy-passes: stopped at 2020-01-03: no file" in done.stderr
    status = json.loads(process("status", "--store", world.store, "--json").stdout)
    assert [record["published"] for record in status] == [None]


def test_one_source_can_be_ingested_alone(world: World, fluxforge: Callable[..., Done]) -> None:
    toy = fluxforge("ingest", "toy-passes", "-c", world.run_file())
    assert "Blocks made: toy-passes 3" in toy.stdout


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["plan", "-c", "no.yaml"], "Error FF201: no.yaml: cannot be read"),
        (["products", "toi"], "there is no product 'toi'. Did you mean 'toy'?"),
        (["sources", "toy-pases"], "Did you mean 'toy-passes'?"),
        (["status", "--store", "/"], "this folder holds something else"),
    ],
)
def test_an_error_is_one_paragraph_without_traceback(
    words: list[str], complaint: str, fluxforge: Callable[..., Done]
) -> None:
    done = fluxforge(*words, code=1)
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_debug_shows_the_traceback() -> None:
    done = process("--debug", "plan", "-c", "no.yaml", code=1)
    assert "Traceback" in done.stderr
    assert "ConfigError" in done.stderr


def test_an_interrupt_within_a_finaliser_is_not_lost() -> None:
    program = """
import signal, time
from fluxengine import cli

class Held:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)

def main():
    Held()
    time.sleep(60)

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
cli.main = main
cli.script()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=30)
    assert done.returncode != 0
    assert b"unraisable" not in done.stderr
    assert b"ignored" not in done.stderr


def test_a_store_in_use_is_exit_code_one(made: World) -> None:
    from fluxengine.store import Store

    made.write(5, seed=1)
    with Store.at(made.store).locked():
        assert "another run" in process("run", "-c", made.run_file(), code=1).stderr


def test_days_without_files_are_told_in_a_line(world: World) -> None:
    for number in (3, 4, 5, 9):
        world.file(number).unlink()
    world.file(7).write_bytes(b"")
    world.run()
    status = process("status", "--store", world.store).stdout
    assert "toy-passes 2020-01-03 to 2020-01-05, 3 of them: no file" in status
    assert "toy-passes 2020-01-09: no file" in status and "toy-passes 2020-01-07: " in status


def test_plugins_are_listed_like_built_in_ones(fluxforge: Callable[..., Done]) -> None:
    assert "toy-passes" in fluxforge("sources").stdout
    assert "Daily toy wind" in fluxforge("products").stdout
    assert "gain" in fluxforge("products", "toy").stdout
    assert "product: toy" in fluxforge("products", "toy", "--run-file").stdout


def test_a_new_run_file_publishes_nobody_s_name(
    tmp_path: Path, fluxforge: Callable[..., Done]
) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(fluxforge("products", "toy", "--run-file").stdout)
    assert "creator_name" in path.read_text() and config.load(path).attributes == {}


def test_places_that_cannot_be_used_are_told(
    made: World, fluxforge: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = made.run_file()
    said = fluxforge("export", "toy", "--store", made.store, "-o", taken, code=1).stderr
    assert "run.yaml" in said and "it is a file" in said and "Traceback" not in said

    def refuse(*_: object) -> None:
        raise NotADirectoryError(errno.ENOTDIR, "Not a directory", str(taken / "world.json"))

    monkeypatch.setattr(Store, "at", refuse)
    said = fluxforge("status", "--store", made.store, code=1).stderr
    assert "world.json" in said and "this place cannot be used: Not a directory." in said


def test_what_is_made_again_is_of_the_named_dataset_and_store(
    made: World, fluxforge: Callable[..., Done], tmp_path: Path
) -> None:
    run = made.run_file(store=tmp_path / "another")
    words = ("--store", made.store, "--recompute", 2, "-c", run, "--json")
    told = json.loads(fluxforge("verify", "toy-smooth", *words).stdout)
    assert [one["dataset"] for one in told["recomputed"]] == ["toy-smooth"] * 2
    refused = fluxforge("verify", "toy-passes", *words, code=1)
    assert "no good block of toy-passes" in refused.stderr and "toy-smooth" in refused.stderr
    found = json.loads(refused.stdout)  # what was verified before is told all the same
    assert found["datasets"][0]["dataset"] == "toy-passes" and found["recomputed"] == []


def test_where_a_value_can_be_asked_is_told_in_degrees(
    made: World, fluxforge: Callable[..., Done]
) -> None:
    words = ("explain", "toy", "--store", made.store, "time=2020-01-06")
    outside = fluxforge(*words, "lat=80", "lon=0", code=1).stderr
    lowest = outside.partition("goes from ")[2].partition(" to ")[0]
    assert abs(float(lowest)) <= 90.0
    example = fluxforge(*words, "lat=0", code=1).stderr.partition("Such as: ")[2].split()
    assert fluxforge("explain", "toy", "--store", made.store, *example).stdout
