"""Plan and run from Python: a run file in, a plan or a summary out."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from fluxengine import clusters, config
from fluxengine.executors import Executor
from fluxengine.plan import Plan, make_plan
from fluxengine.run import Summary
from fluxengine.run import run as run_request


def plan(run_file: str | Path, *, profile: str | None = None) -> Plan:
    """What `run` would do, and why.

    Parameters
    ----------
    run_file : str or Path
    profile : str, optional
        By default the first one.

    Raises
    ------
    FluxforgeError
        Where the run file or the store cannot be used.
    """
    loaded = config.load(Path(run_file))
    return make_plan(config.request(loaded, loaded.profile(profile), create=False))


def run(
    run_file: str | Path,
    *,
    profile: str | None = None,
    strict: bool = False,
    accept_code: bool = False,
) -> Summary:
    """Bring the run file's product up to date and publish it.

    Parameters
    ----------
    run_file : str or Path
    profile : str, optional
        By default the first one.
    strict : bool
        Stop, unpublished, at the first missing or damaged input.
    accept_code : bool
        Do not make blocks again for which nothing but the code changed.

    Raises
    ------
    FluxforgeError
        Where it could not be done; what is published is untouched.
    """
    loaded = config.load(Path(run_file))
    chosen = loaded.profile(profile)

    def workers() -> AbstractContextManager[Executor]:
        return clusters.executor(chosen.cluster)

    return run_request(
        config.request(loaded, chosen, create=True), workers, strict=strict, accept_code=accept_code
    )
