"""The front door: ``import fluxforge as ff``.

Then ``ff.open``, ``ff.plan``, ``ff.run``, ``ff.explain``, ``ff.verify``, ``ff.bulk_flux``, and
``ff.error_of_mean`` for means over days and regions. Each is imported when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fluxengine.api import explain, plan, run, verify
    from fluxengine.store import open_dataset as open
    from fluxkernels.bulk import bulk_flux
    from fluxrecipes.error_of_mean import error_of_mean

__all__ = ["bulk_flux", "error_of_mean", "explain", "open", "plan", "run", "verify"]

_HOMES = {
    "open": ("fluxengine.store", "open_dataset"),
    "plan": ("fluxengine.api", "plan"),
    "run": ("fluxengine.api", "run"),
    "explain": ("fluxengine.api", "explain"),
    "verify": ("fluxengine.api", "verify"),
    "bulk_flux": ("fluxkernels.bulk", "bulk_flux"),
    "error_of_mean": ("fluxrecipes.error_of_mean", "error_of_mean"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"fluxforge has no '{name}'; it has {', '.join(__all__)}")
    module, attribute = _HOMES[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted(__all__)
