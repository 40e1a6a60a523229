"""The simulated world: a nature run with random access in time, and its observation.

`World` gives the truth at any time from a seed; `archive.simulate` observes it as satellites,
analyses and buoys do, and writes files in the providers' own formats.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fluxrecipes.nature.archive import simulate
    from fluxrecipes.nature.physics import WORLDS, Physics
    from fluxrecipes.nature.world import World

__all__ = ["WORLDS", "Physics", "World", "simulate"]

_HOME = {"WORLDS": "physics", "Physics": "physics", "World": "world", "simulate": "archive"}


def __getattr__(name: str) -> Any:
    """Import the module behind a public name when it is first asked for."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
