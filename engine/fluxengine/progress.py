"""Progress: what wants to know how long work goes on."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Shows how far the blocks of each dataset are."""

    def begin(self, dataset: str, blocks: int) -> None:
        """A dataset starts."""

    def advance(self, dataset: str) -> None:
        """One of its blocks is done."""


class _Quiet:
    def begin(self, dataset: str, blocks: int) -> None:
        """Nothing."""

    def advance(self, dataset: str) -> None:
        """Nothing."""


QUIET: Progress = _Quiet()
