"""What made a record: versions of the software, the commit of the code, the run."""

from __future__ import annotations

import functools
import platform
import subprocess
import uuid
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RECORDED = ("fluxforge", "numpy", "xarray", "zarr", "icechunk", "numba", "torch")
COMPUTES = ("numpy", "zarr", "icechunk", "fluxforge")  # what makes and writes a block's values
GIT = 5  # seconds it may take


def of_this_run() -> dict[str, Any]:
    """For the metadata of each commit of a run: versions, code, when it began, and its name."""
    began = datetime.now(UTC)
    return {
        "run": f"{began:%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:6]}",
        "began": began.isoformat(timespec="seconds"),
        "code": code_commit() or "no version control",
        "python": platform.python_version(),
        **_versions(),
    }


@functools.cache
def code_commit() -> str:
    """Commit that the code was checked out from, with ``+`` where files differ from it."""
    folder = Path(__file__).parent
    try:
        # Not of a repository that merely has the folder below it, such as a virtual environment's.
        _git(folder, "ls-files", "--error-unmatch", Path(__file__).name)
        commit = _git(folder, "rev-parse", "HEAD")
        return commit + ("+" if _git(folder, "status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.SubprocessError):
        return ""


def _git(folder: Path, *words: str) -> str:
    command = ["git", "-C", str(folder), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=GIT)
    return done.stdout.strip()


@functools.cache
def of_what_computes() -> tuple[tuple[str, str], ...]:
    """Versions that all who make a run's blocks must have alike."""
    python = ".".join(platform.python_version_tuple()[:2])
    return ("python", python), *_versions(COMPUTES).items()


def _versions(names: tuple[str, ...] = RECORDED) -> dict[str, str]:
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
