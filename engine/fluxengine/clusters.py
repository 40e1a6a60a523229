"""Clusters: where the workers are, from one entry of the run file."""

from __future__ import annotations

import logging
import re
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from fluxengine import clouds, machines
from fluxengine.deployments import PROFILER, TASKS_PER_THREAD, Deployment, as_environment
from fluxengine.errors import ClusterFailed, ConfigError, FluxforgeError, VersionMismatch
from fluxengine.provenance import COMPUTES
from fluxengine.worker import spare_modules

if TYPE_CHECKING:
    from fluxengine.config import ClusterConfig
    from fluxengine.executors import Executor, Mapped

CONNECT = "20s"
ANSWER = 60.0  # seconds in which a scheduler that was reached must have said who it is
GLANCE = 5.0  # seconds between two looks at whether workers may still come
STOP = 120.0  # seconds in which a cluster must have ended
# What changes values or breaks what travels between processes where it differs.
ON_SCHEDULER = ("python", "dask", "distributed")
ON_WORKERS = (*ON_SCHEDULER, "cloudpickle", *COMPUTES)
KINDS: dict[str, type[Deployment]] = {
    "local": machines.Local,
    "address": machines.Address,
    "ssh": machines.Ssh,
    "slurm": machines.Slurm,
    "kubernetes": clouds.Kubernetes,
    "coiled": clouds.Coiled,
}

Result = TypeVar("Result")
Tell = Callable[[str], None]


def silent(told: str) -> None:
    """Tell nobody."""


@contextmanager
def executor(config: ClusterConfig, tell: Tell = silent) -> Iterator[Executor]:
    """Start, or connect to, the workers a profile names; stop what was started.

    Parameters
    ----------
    config : ClusterConfig
    tell : callable, optional
        Takes a line about the cluster: its jobs, its dashboard, that it waits.

    Raises
    ------
    ConfigError
        Where an option cannot be used; nothing was started.
    ClusterFailed
        Where no worker came; what was started is stopped.
    VersionMismatch
        Where scheduler or workers have other versions than this process.
    """
    from fluxengine.executors import on_cluster, serial  # they load Zarr: after `prepare`

    if config.kind == "serial":
        yield serial
        return
    deployment = KINDS[config.kind](config).checked()
    with _client(deployment, tell) as client:
        yield on_cluster(client, in_flight=_in_flight(config, client), wait=config.wait)


def prepare(config: ClusterConfig) -> None:
    """Begin what makes workers start sooner, while it is found out whether they are needed."""
    if config.kind != "serial":
        KINDS[config.kind](config).prepare()


@contextmanager
def mapper(config: ClusterConfig, tell: Tell = silent) -> Iterator[Mapped]:
    """As `executor`, for any function of a module instead of blocks: what reads a store to tell.

    Raises
    ------
    ConfigError, ClusterFailed, VersionMismatch
        As `executor`.
    RunFailed
        Where workers fail, or none is left: from what is given, while it is gone through.
    """
    from fluxengine.executors import mapped_on, one_by_one

    if config.kind == "serial":
        yield one_by_one
        return
    deployment = KINDS[config.kind](config).checked()
    with _client(deployment, tell) as client:
        yield mapped_on(client, wait=config.wait)


def differences(versions: Mapping[str, Any]) -> list[str]:
    """What scheduler and workers have in other versions than this process.

    Parameters
    ----------
    versions : mapping
        As `distributed.Client.get_versions` gives them.
    """
    here = versions["client"]["packages"]
    there: list[tuple[str, Any, tuple[str, ...]]] = [
        ("the scheduler", versions["scheduler"], ON_SCHEDULER),
        *((f"worker {name}", host, ON_WORKERS) for name, host in versions["workers"].items()),
    ]
    return [
        f"{package} {_version(here, package)} here, {_version(host['packages'], package)} on {name}"
        for name, host, packages in there
        for package in packages
        if _version(here, package) != _version(host["packages"], package)
    ]


def _version(packages: Mapping[str, str | None], package: str) -> str:
    found = packages.get(package) or "missing"
    return ".".join(found.split(".")[:2]) if package == "python" else found


def _in_flight(config: ClusterConfig, client: Any) -> int:
    """Blocks enough for the threads of the profile, and for those that are there: maybe more.

    A scheduler that somebody started has the workers that he gave it.
    """
    there = 0
    with suppress(OSError):  # a scheduler that is gone by now: the first block says so in words
        found = client.scheduler_info(n_workers=-1).get("workers", {})
        there = sum(worker["nthreads"] for worker in found.values())
    return max(config.workers * config.threads, there) * TASKS_PER_THREAD


# --- from a deployment to a client with at least one worker --------------------------------------


@contextmanager
def _client(deployment: Deployment, tell: Tell) -> Iterator[Any]:
    end = time.monotonic() + deployment.config.wait
    with (
        deployment.surroundings(),
        _started(deployment, end, tell) as cluster,
        _connected(deployment, cluster, end) as client,
    ):
        try:
            _make_ready(deployment, client, end, tell)
        except OSError as error:
            raise _failed(deployment, f"its scheduler answers no more: {error}") from error
        spare_modules()  # the scheduler of a local cluster lives in this process
        yield client


def _make_ready(deployment: Deployment, client: Any, end: float, tell: Tell) -> None:
    """Wait for a worker, and look at what workers and scheduler are."""
    for line in deployment.started(client.scheduler_info()["services"].get("dashboard")):
        tell(line)
    _wait(deployment, client, end, tell)
    _compare(client)
    _warn_of_profilers(client, tell)


@contextmanager
def _started(deployment: Deployment, end: float, tell: Tell) -> Iterator[Any]:
    failed = ""
    try:
        yield _begin(deployment, end)
    except ClusterFailed as error:
        failed = str(error)
        raise
    finally:
        try:
            _within(STOP, deployment.stop)
        except Exception as error:  # told, not raised over what the run found
            what = deployment.words(error)
            if what not in failed:
                where = f"cluster of kind '{deployment.kind}'"
                tell(f"{where}: it may still be running ({what}). {deployment.log()}")


def _begin(deployment: Deployment, end: float) -> Any:
    try:
        return _within(end - time.monotonic(), deployment.start)
    except FluxforgeError:
        raise
    except Exception as error:
        raise _failed(deployment, deployment.words(error)) from error


@contextmanager
def _connected(deployment: Deployment, cluster: Any, end: float) -> Iterator[Any]:
    from distributed.versions import VersionMismatchWarning

    seconds = max(GLANCE, min(ANSWER, end - time.monotonic()))
    try:
        with warnings.catch_warnings():  # versions are compared here, where it matters
            warnings.simplefilter("ignore", VersionMismatchWarning)
            client = _client_of(cluster, deployment.security, seconds)
    except OSError as error:
        if deployment.kind == "address":
            raise ConfigError(
                f"no scheduler answers: {error}.",
                where=cluster,
                mend="Start one first, and give the scheduler's port, not the dashboard's.",
            ) from error
        raise _failed(deployment, f"its scheduler does not answer: {error}") from error
    with _unlogged("distributed.client"), client:
        yield client


def _client_of(cluster: Any, security: Any, seconds: float) -> Any:
    """A client, known before it is ready: what answers, but not as a scheduler, is left.

    Dask waits for ever where it finds a port of something else.
    """
    from distributed import Client

    client = object.__new__(Client)
    begin = partial(Client.__init__, client, cluster, timeout=CONNECT, security=security)
    try:
        _within(seconds, begin)
    except BaseException:
        if hasattr(client, "_loop_runner"):  # else nothing has begun
            with suppress(Exception):
                _within(GLANCE, client.close)
        raise
    return client


@contextmanager
def _unlogged(name: str) -> Iterator[None]:
    """No log of what comes back as an error in words: a lost scheduler leaves tracebacks there."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _wait(deployment: Deployment, client: Any, end: float, tell: Tell) -> None:
    """Until the first worker is there, the time is over, or none can come any more."""
    wait, told = deployment.config.wait, None
    while not _has_worker(client, min(GLANCE, end - time.monotonic())):
        state = deployment.state()
        during = f" ({state})" if state else ""
        if time.monotonic() > end:
            raise _failed(deployment, f"no worker came within {wait:g} s{during}")
        if hopeless := deployment.hopeless():
            raise _failed(deployment, hopeless)
        if during != told:
            tell(f"waiting at most {wait:g} s for the first worker{during}")
        told = during


def _has_worker(client: Any, seconds: float) -> bool:
    with suppress(TimeoutError):
        client.wait_for_workers(1, timeout=max(0.1, seconds))
        return True
    return False


def _compare(client: Any) -> None:
    """Refuse workers that would compute, or understand, something else."""
    found = client.get_versions(packages=ON_WORKERS[1:])
    if differ := differences(found):
        more = f" (and {len(differ) - 3} more)" if len(differ) > 3 else ""
        raise VersionMismatch(
            f"{'; '.join(differ[:3])}{more}.",
            where="versions",
            mend="Install the same there, `pip install -c infra/constraints.txt fluxforge`, or use"
            " the image of this version.",
        )


def _warn_of_profilers(client: Any, tell: Tell) -> None:
    """Workers that somebody else started may have what can hang them (`infra/decisions/0018`)."""
    if any(client.run(_may_hang, on_error="ignore").values()):
        ((name, value),) = as_environment({PROFILER: False}).items()
        tell(
            "workers run Dask's profiler, which can hang them under Python before 3.12:"
            f" start them with {name}={value} in their environment."
        )


def _may_hang(dask_worker: Any) -> bool:
    return sys.version_info < (3, 12) and "profile" in dask_worker.periodic_callbacks


def _failed(deployment: Deployment, what: str) -> ClusterFailed:
    config = deployment.config
    return ClusterFailed(
        f"it did not start: {what.rstrip('.')}. Tried: {_tried(config)}.",
        where=f"cluster of kind '{config.kind}'",
        mend=deployment.log(),
    )


def _tried(config: ClusterConfig) -> str:
    """The settings in words; of what may hold commands or credentials, only the names."""
    said = {name: getattr(config, name) for name in ("workers", "threads", "memory", "wait")}
    for name, value in sorted(config.options.items()):
        said[name] = value if name == "hosts" or _is_plain(value) else "…"
    return ", ".join(f"{name} {value}" for name, value in said.items())


def _is_plain(value: Any) -> bool:
    """A number, or a word that is no setting of a variable: neither a list nor a table."""
    return isinstance(value, int | float) or (
        isinstance(value, str) and re.search(r"[\s=]", value) is None
    )


def _within(seconds: float, call: Callable[[], Result]) -> Result:
    """`call()`, for so long at most: some libraries wait for ever. Ctrl-C ends the wait at once."""
    answer: Future[Result] = Future()

    def work() -> None:
        try:
            answer.set_result(call())
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=work, daemon=True, name="fluxforge-cluster").start()
    try:
        return answer.result(max(0.0, seconds))
    except TimeoutError as error:
        if answer.done():  # its own
            raise
        raise TimeoutError(f"nothing happened within {seconds:.0f} s") from error
