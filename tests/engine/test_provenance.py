"""Which commit a run says that its code is of."""

import importlib.util
import shutil
import subprocess
from pathlib import Path

from fluxengine import provenance


def git(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    subprocess.run(["git", "-C", str(folder), *who, *words], check=True, capture_output=True)


def commit_of_a_copy(folder: Path) -> str:
    """What the module says of itself where it lies in another folder."""
    copy = shutil.copy(provenance.__file__, folder / "provenance.py")
    made = importlib.util.spec_from_file_location("copied", copy)
    assert made is not None and made.loader is not None
    module = importlib.util.module_from_spec(made)
    made.loader.exec_module(module)
    return str(module.code_commit())


def test_the_commit_is_of_the_code_not_of_a_project_around_it(tmp_path: Path) -> None:
    installed = tmp_path / ".venv"
    installed.mkdir()
    git(tmp_path, "init")
    (tmp_path / ".gitignore").write_text(".venv\n")
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "-m", "somebody's own")
    assert commit_of_a_copy(installed) == ""
    commit_of_a_copy(tmp_path)
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "-m", "the code itself")
    commit = commit_of_a_copy(tmp_path)
    assert len(commit) == 40
    (tmp_path / ".gitignore").write_text("")
    assert commit_of_a_copy(tmp_path) == f"{commit}+"
