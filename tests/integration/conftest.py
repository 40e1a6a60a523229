"""Whole runs through the command line, as a user makes them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def fluxforge():
    """Call the command line; gives the finished process with its output."""

    def call(*arguments: object, check: int | None = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [Path(sys.executable).with_name("fluxforge"), *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
            env=os.environ | {"COLUMNS": "200"},
        )
        if check is not None:
            assert done.returncode == check, done.stdout + done.stderr
        return done

    return call
