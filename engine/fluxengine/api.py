"""From Python what the command line does: plan, run, explain and verify."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from fluxengine import clusters, config, registry, requested
from fluxengine.executors import Executor
from fluxengine.explain import Lineage
from fluxengine.explain import explain as explain_point
from fluxengine.plan import Plan, make_plan
from fluxengine.run import Summary
from fluxengine.run import run as run_request
from fluxengine.store import Store
from fluxengine.table_plan import TablePlan
from fluxengine.table_plan import make_plan as plan_table
from fluxengine.table_run import TableSummary
from fluxengine.table_run import run as run_table
from fluxengine.verify import Verified
from fluxengine.verify import verify as verify_dataset


def plan(run_file: str | Path, *, profile: str | None = None) -> Plan | TablePlan:
    """What `run` would do, and why. The run file's product may be a table of reports.

    Parameters
    ----------
    run_file : str or Path
    profile : str, optional
        By default the first one.

    Returns
    -------
    Plan or TablePlan
        `is_empty` says whether there is nothing to run, `datasets` what there is, one dataset
        after the other; `as_json()` gives all of it. Of a table of reports: `reads`.

    Raises
    ------
    FluxforgeError
        Where the run file or the store cannot be used.
    """
    loaded = config.load(Path(run_file))
    chosen = loaded.profile(profile)
    if loaded.product in registry.table_names():
        return plan_table(requested.of_table(loaded, chosen, loaded.product, create=False))
    return make_plan(requested.of_product(loaded, chosen, create=False))


def run(
    run_file: str | Path,
    *,
    profile: str | None = None,
    strict: bool = False,
    accept_code: bool = False,
) -> Summary | TableSummary:
    """Bring the run file's product, or table of reports, up to date and publish it.

    Parameters
    ----------
    run_file : str or Path
    profile : str, optional
        By default the first one.
    strict : bool
        Stop, unpublished, at the first missing or damaged input.
    accept_code : bool
        Do not make blocks again for which nothing but the code changed. Of a table, files are read
        again all the same.

    Returns
    -------
    Summary or TableSummary
        `blocks` made and versions `published` by dataset, and what is `marked`: each step without
        good values, with the reason. `as_json()` gives all of it.

    Raises
    ------
    FluxforgeError
        Where it could not be done; what is published is untouched.
    """
    loaded = config.load(Path(run_file))
    chosen = loaded.profile(profile)
    if loaded.product in registry.table_names():
        asked = requested.of_table(loaded, chosen, loaded.product, create=True)
        return run_table(asked, strict=strict)

    clusters.prepare(chosen.cluster)

    def workers() -> AbstractContextManager[Executor]:
        return clusters.executor(chosen.cluster)

    return run_request(
        requested.of_product(loaded, chosen, create=True),
        workers,
        strict=strict,
        accept_code=accept_code,
        resources=requested.resources(loaded, chosen),
    )


def explain(
    location: str | Path, name: str, *, version: str | None = None, **point: object
) -> Lineage:
    """Where the values of one cell come from.

    Parameters
    ----------
    location : str or Path
        A store.
    name : str
        A published dataset.
    version : str, optional
        By default the newest.
    **point
        A value for each axis.

    Examples
    --------
    >>> explain("store", "deepflux", time="2019-01-12", lat=10, lon=150)  # doctest: +SKIP

    Raises
    ------
    FluxforgeError
        Where the point is no cell, or nothing is published.
    """
    store = Store.at(location)
    return explain_point(store, name, {n: str(v) for n, v in point.items()}, version=version)


def verify(location: str | Path, name: str | None = None) -> tuple[Verified, ...]:
    """Compare what is stored with what was written.

    Parameters
    ----------
    location : str or Path
        A store.
    name : str, optional
        One dataset; by default all.

    Returns
    -------
    tuple of Verified
        With `findings`, one for each thing that is not as it was written.
    """
    store = Store.at(location)
    return tuple(verify_dataset(store, one) for one in ([name] if name else store.names))
