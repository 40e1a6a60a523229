"""The plug-in `toyfields` and its small world.

The plug-in lies on the path of this process and of every process it starts, with entry points like
an installed package, so that workers and the command line find it.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PLUGIN = Path(__file__).parent / "plugin"
sys.path.insert(0, str(PLUGIN))

from toyworld import World  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def plugin_for_subprocesses() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(PLUGIN), prepend=os.pathsep)
        yield


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Twelve days of files, and no store yet."""
    made = World(tmp_path)
    made.write(*range(1, 13))
    return made


@pytest.fixture(scope="session")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A world after a first run; not to be changed."""
    ready = World(tmp_path_factory.mktemp("first-run"))
    ready.write(*range(1, 13))
    ready.run()
    return ready


@pytest.fixture
def made(first_run: World, tmp_path: Path) -> World:
    """The world after a first run. A copy: archives and stores may be moved."""
    shutil.copytree(first_run.folder, tmp_path, dirs_exist_ok=True)
    return World(tmp_path)
