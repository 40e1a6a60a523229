"""What a run file asks for: of a product, of a table of reports, of the workers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches

from fluxengine import registry
from fluxengine.config import ClusterConfig, Profile, RunFile
from fluxengine.declare import Source, upstream_first
from fluxengine.errors import ConfigError
from fluxengine.estimate import Resources
from fluxengine.stand import Request
from fluxengine.store import Store
from fluxengine.table_plan import TableRequest

CLOUDS = ("kubernetes", "coiled")  # kinds of cluster


def of_product(run_file: RunFile, profile: Profile, *, create: bool) -> Request:
    """What the run file asks for. The store is made only if `create`."""
    archives = {name: archive.root for name, archive in run_file.archives.items()}
    roots = {f"archives.{name}": root for name, root in archives.items()}
    check_reach(profile.cluster, {"store": profile.store} | roots)
    product = registry.recipe(run_file.product).product(run_file.options)
    read = upstream_first(product)
    _check_names(archives, {one.archive for one in read if isinstance(one, Source)})
    store = _opened(profile, create)
    period = run_file.period
    first, last = (period.first, period.last) if period else (None, None)
    referred = frozenset(n for n, a in run_file.archives.items() if a.by == "reference")
    return Request(product, first, last, store, archives, run_file.attributes, referred)


def _check_names(archives: Iterable[str], used: Collection[str]) -> None:
    """Refuse a misspelt archive: its source would be looked for at the provider's own address.

    A run file may name archives that another command reads, such as those of reports.
    """
    for name in sorted(set(archives) - set(used)):
        near = get_close_matches(name, used, 1)
        if near and name not in registry.archive_names():
            raise ConfigError(
                f"'{name}' is the archive of no source.",
                where="archives",
                mend=f"Did you mean '{near[0]}'?",
            )


def of_table(run_file: RunFile, profile: Profile, name: str, *, create: bool) -> TableRequest:
    """What the run file asks for of a table; it is read here, whatever the cluster."""
    table = registry.table(name)
    period = run_file.period
    first, last = (period.first, period.last) if period else (None, None)
    store = _opened(profile, create)
    roots = {name: archive.root for name, archive in run_file.archives.items()}
    return TableRequest(table, first, last, roots, store)


def _opened(profile: Profile, create: bool) -> Store | None:
    if create or not profile.place.is_empty():
        return Store.at(profile.place, create=create)
    return None


def resources(run_file: RunFile, profile: Profile) -> Resources:
    """What a profile's workers have, and what the run file says they cost."""
    from dask.utils import parse_bytes

    prices = run_file.prices.model_dump() if run_file.prices else {}
    cluster = profile.cluster
    if cluster.kind == "serial":
        return Resources(prices=prices)
    memory = int(parse_bytes(cluster.memory))
    return Resources(cluster.workers, cluster.threads, memory, prices)


def check_reach(config: ClusterConfig, places: Mapping[str, str]) -> None:
    """Refuse folders of this machine where workers in the cloud shall use them.

    Parameters
    ----------
    config : ClusterConfig
    places : mapping of str to str
        Paths or URLs, by what the run file calls them.
    """
    for name, place in places.items():
        if config.kind in CLOUDS and place.partition("://")[0] in (place, "file", "memory"):
            raise ConfigError(
                f"{place} is on this machine, and the workers of a cluster of kind"
                f" '{config.kind}' are not.",
                where=name,
                mend="Give a place that both reach, such as s3://bucket/prefix.",
            )
