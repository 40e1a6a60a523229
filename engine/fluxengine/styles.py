"""Styles: how a published dataset is written as files, such as those of another product.

A style comes from a recipe, through the entry points ``fluxforge.styles``: it tells what the files
of a period are called and hold. The engine opens, describes and writes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import xarray as xr

Per = Literal["all", "year", "month"]


@dataclass(frozen=True)
class File:
    """A file that is to be written.

    Parameters
    ----------
    name : str
        Without a folder.
    dataset : Dataset
        With a time coordinate; global attributes on origin and extent are added.
    encoding : mapping of str to mapping
        Of each variable, as `xarray.Dataset.to_netcdf` takes it.
    """

    name: str
    dataset: xr.Dataset
    encoding: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Style:
    """Files of a form of their own.

    Parameters
    ----------
    name : str
    per : {"all", "year", "month"}
        The period of a file.
    files : callable
        From a period of the published dataset, lazily read, to its files. It raises `ConfigError`
        where the dataset has nothing that they could hold.
    format : {"NETCDF4", "NETCDF3_CLASSIC"}
    """

    name: str
    per: Per
    files: Callable[[xr.Dataset], Iterator[File]]
    format: Literal["NETCDF4", "NETCDF3_CLASSIC"] = "NETCDF4"
