"""Datasets by their names: of a store, or plain Zarr stores by their paths."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING

from fluxengine.errors import ConfigError
from fluxengine.place import Place
from fluxengine.store import open_dataset

if TYPE_CHECKING:
    import xarray as xr

SIMULATED = "SIMULATED DATA of "  # begins the notice of a simulated archive, then its world


def opened(store: Place, name: str) -> tuple[xr.Dataset, str]:
    """A dataset by its name in a store, or a plain Zarr store by its path, and what to call it.

    Raises
    ------
    ConfigError
        Where the plain store cannot be read.
    NotOurStore, UnknownName
    """
    if not is_plain(name):
        return open_dataset(store, name), f"{store}: {name}"
    import xarray as xr

    try:
        with warnings.catch_warnings():  # metadata in one place or in many: both are fine
            warnings.filterwarnings("ignore", "Failed to open Zarr store with consolidated")
            return xr.open_zarr(name, chunks=None), name
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(
            f"this is no Zarr store that can be read ({error}).",
            where=name,
            mend="`fluxforge simulate --with reanalysis` makes one.",
        ) from error


def simulated_world(dataset: xr.Dataset) -> str:
    """Of which simulated world a dataset is, as its notice says; empty where it says nothing.

    The notice of a simulated archive travels from its files into all that is made of them.
    """
    for line in str(dataset.attrs.get("notice", "")).splitlines():
        if line.startswith(SIMULATED):
            return line.removeprefix(SIMULATED).partition(":")[0]
    return ""


def world_of_all(members: Mapping[str, str]) -> str:
    """Of which simulated world all together are: of that of one as soon as one is simulated.

    Parameters
    ----------
    members : mapping of str to str
        Of the record, the reports and each product its simulated world, empty where it is real.

    Returns
    -------
    str
        Empty where all are real.
    """
    of: dict[str, list[str]] = {}
    for name, world in members.items():
        of.setdefault(world, []).append(name)
    if len(of) == 1:
        return next(iter(of))
    return "; ".join(f"{', '.join(names)}: {world or 'real'}" for world, names in of.items())


def is_plain(name: str) -> bool:
    """Whether a dataset's name is the path of a plain Zarr store."""
    return name.endswith(".zarr")
