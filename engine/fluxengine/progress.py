"""Progress: what wants to know how long work goes on."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

Tick = Callable[[], None]
Watch = Callable[[int], AbstractContextManager[Tick]]
"""Shows how far a number of files are."""


class Progress(Protocol):
    """Shows how far the blocks of each dataset are."""

    def begin(self, dataset: str, blocks: int) -> None:
        """A dataset starts."""

    def advance(self, dataset: str) -> None:
        """One of its blocks is done."""

    def watch(self, what: str, files: int) -> AbstractContextManager[Tick]:
        """Show something only while it goes on; what is given is called after each file."""


class _Quiet:
    def begin(self, dataset: str, blocks: int) -> None:
        """Nothing."""

    def advance(self, dataset: str) -> None:
        """Nothing."""

    def watch(self, what: str, files: int) -> AbstractContextManager[Tick]:
        """Nothing."""
        return nullcontext(unseen)


def unseen() -> None:
    """Tell nobody."""


def unwatched(files: int) -> AbstractContextManager[Tick]:
    """Show nobody."""
    return QUIET.watch("", files)


QUIET: Progress = _Quiet()
