"""How workers on this machine start: forked from a process that has loaded what all of them need.

A worker that starts by itself loads libraries for two seconds, as long as a short run takes
otherwise. That process does so once, and while the run is still planned: `infra/decisions/0036`.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import forkserver
from typing import Any

LONGEST = 75  # letters of the folder for temporary files: a socket in it may have a name of 107
UNSET = "fluxforge.unset"  # where workers find, in their Dask configuration, what `unset` gave

_FOUND: set[str] = set()  # variables that were there when it began


def method() -> str:
    """How Python is to start workers: each by itself where there is no place for the socket.

    So too on systems other than Linux, whose own libraries may not be forked.
    """
    has_place = sys.platform == "linux" and len(tempfile.gettempdir()) <= LONGEST
    return "forkserver" if has_place else "spawn"


def begin(environment: Mapping[str, str]) -> None:
    """Start that process, unless it runs or cannot; it ends with this one. Returns at once.

    Parameters
    ----------
    environment : mapping of str to str
        Variables that libraries look at when they are loaded; those that are set already win.
    """
    if method() == "spawn":
        return
    forkserver.set_forkserver_preload(["fluxengine.preloaded"])
    _FOUND.update(os.environ)
    with _with_variables(environment), _without_interrupts():
        forkserver.ensure_running()


def unset() -> list[str]:
    """Variables that a fork may have from this process, which has them no more."""
    return sorted(_FOUND - os.environ.keys())


def dask_setup(_: Any) -> None:
    """What a worker does first: forget such variables, and go on at Ctrl-C.

    A terminal sends that to all of its processes; it is for the run, which ends its workers.
    """
    import dask

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in dask.config.get(UNSET, []):
        os.environ.pop(name, None)


@contextmanager
def _with_variables(given: Mapping[str, str]) -> Iterator[None]:
    added = {name: value for name, value in given.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """What is started meanwhile does not hear of Ctrl-C."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
