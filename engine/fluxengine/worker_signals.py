"""What workers on this machine load first: Ctrl-C at a terminal is for the run, which ends them."""

from __future__ import annotations

import signal
from typing import Any


def dask_setup(_: Any) -> None:
    """Let a worker go on at Ctrl-C, which a terminal sends to all of its processes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
