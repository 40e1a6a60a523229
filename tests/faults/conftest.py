"""Worlds for the fault run, and the table that it ends with."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

PLUGIN = Path(__file__).parents[1] / "engine" / "plugin"
sys.path.insert(0, str(PLUGIN))

from toyworld import World  # noqa: E402
from trials import DAYS, Tally, Worlds  # noqa: E402

COLUMNS = ("scenario", "seeds", "blocks", "lost", "differing", "seconds", "remark")


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Iterator[Callable[[str], Tally]]:
    """Begins a row of the table; a test may begin several."""
    rows: list[tuple[Tally, float]] = []

    def begin(scenario: str) -> Tally:
        rows.append((Tally(scenario), time.monotonic()))
        return rows[-1][0]

    yield begin
    for row, began in rows:
        row.seconds = row.seconds or time.monotonic() - began
        # A property of the report: it also arrives where pytest-xdist runs the tests.
        request.node.user_properties.append(("fault", asdict(row)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The table, in the order in which the scenarios are written."""
    reports = [r for found in terminalreporter.stats.values() for r in found]
    rows = {
        (report.location, value["scenario"]): value
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name == "fault"
    }
    if not rows:
        return
    terminalreporter.section("what was survived")
    cells = [[_shown(rows[key][c]) for c in COLUMNS] for key in sorted(rows)]
    widths = [max(len(row[k]) for row in [COLUMNS, *cells]) for k in range(len(COLUMNS))]
    for row in [COLUMNS, *cells]:
        terminalreporter.write_line("  ".join(map(_aligned, row, widths, COLUMNS)).rstrip())


def _shown(value: object) -> str:
    return f"{value:.0f}" if isinstance(value, float) else str(value)


def _aligned(cell: str, width: int, column: str) -> str:
    return cell.ljust(width) if column in ("scenario", "remark") else cell.rjust(width)


@pytest.fixture(scope="session", autouse=True)
def plugin_for_subprocesses() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(PLUGIN), prepend=os.pathsep)
        yield


@pytest.fixture(autouse=True)
def scratch(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a killed run leaves behind goes where it is deleted; a short name, for sockets in it."""
    with TemporaryDirectory(prefix="ff-", ignore_cleanup_errors=True) as folder:
        monkeypatch.setenv("TMPDIR", folder)
        yield


@pytest.fixture(scope="session")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Worlds:
    def clean(seed: int) -> World:
        made = World(tmp_path_factory.mktemp(f"clean-{seed}"))
        made.write(*range(1, DAYS + 1), seed=seed)
        made.run(DAYS)
        return made

    return Worlds((clean(0), clean(1)))


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[Path]:
    """New empty folders, one after the other."""
    return (_folder(tmp_path, number) for number in range(10_000))


def _folder(base: Path, number: int) -> Path:
    folder = base / f"world-{number}"
    folder.mkdir()
    return folder
