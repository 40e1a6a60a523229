"""Loads what workers on this machine need, in the process that they are forks of: `prefork`.

Nobody else imports it. Garbage is not looked for meanwhile: there is none among a million objects
that stay, and looking took a quarter of the time.
"""

import gc
from importlib import import_module

# What would not outlive a fork: a thread, or a GPU that was looked for. None of these does either
# when it is loaded, but for the allocator of PyArrow, which knows of forks.
LOADED = (
    "fluxengine.cli",
    "fluxengine.clusters",
    "fluxengine.task",
    "distributed.http.worker",
    "xarray",
    "dask.array",
    "grimp",
)

gc.disable()
try:
    for name in LOADED:
        import_module(name)
finally:
    gc.freeze()  # so that workers neither look through it nor copy it by that
    gc.enable()
