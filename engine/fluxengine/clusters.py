"""Clusters: where the workers are, from one entry of the run file."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

from pydantic import BaseModel, Field

from fluxengine.errors import ConfigError
from fluxengine.executors import Executor, on_cluster, serial

# Workers complain of lost heartbeats while they are stopped; what fails comes back as a result.
QUIET_WORKERS = {"distributed.nanny.pre-spawn-environ.DASK_LOGGING__DISTRIBUTED": "critical"}
CONNECT = "20s"
TASKS_PER_THREAD = 2  # one computing, one waiting at the worker


class ClusterConfig(BaseModel, extra="forbid", frozen=True):
    """Where a run computes. `options` are the cluster class's own names, checked against it."""

    kind: Literal["serial", "local", "address"] = "local"
    workers: int = Field(2, ge=1)
    threads: int = Field(1, ge=1)
    memory: str = "4GiB"
    address: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)


@contextmanager
def executor(config: ClusterConfig) -> Iterator[Executor]:
    """Start, or connect to, the workers a profile names; stop what was started."""
    if config.kind == "serial":
        yield serial
    elif config.kind == "address":
        with _connected(config) as ready:
            yield ready
    else:
        with _local(config) as ready:
            yield ready


@contextmanager
def _local(config: ClusterConfig) -> Iterator[Executor]:
    import dask
    from distributed import Client, LocalCluster

    _check_names(LocalCluster, config.options)
    wanted: dict[str, Any] = {
        "n_workers": config.workers,
        "threads_per_worker": config.threads,
        "memory_limit": config.memory,
        "host": "127.0.0.1",
        "dashboard_address": "127.0.0.1:0",
        "silence_logs": 40,
    }
    with (
        tempfile.TemporaryDirectory(prefix="fluxforge-workers-") as scratch,
        dask.config.set(QUIET_WORKERS),
        LocalCluster(**(wanted | {"local_directory": scratch} | config.options)) as cluster,
        Client(cluster) as client,
    ):
        yield on_cluster(client, in_flight=_in_flight(config))


@contextmanager
def _connected(config: ClusterConfig) -> Iterator[Executor]:
    from distributed import Client

    if not config.address:
        raise ConfigError(
            "a cluster of kind 'address' needs one.",
            where="cluster.address",
            mend="Such as tcp://127.0.0.1:8786.",
        )
    try:
        client = Client(config.address, timeout=CONNECT)
    except OSError as error:
        raise ConfigError(
            f"no scheduler answers: {error}", where=config.address, mend="Start one first."
        ) from error
    with client:
        yield on_cluster(client, in_flight=_in_flight(config))


def _in_flight(config: ClusterConfig) -> int:
    return config.workers * config.threads * TASKS_PER_THREAD


def _check_names(cluster: type, options: Mapping[str, Any]) -> None:
    """`LocalCluster` swallows misspelt names: compare them with its signature and its workers'."""
    from distributed import Nanny, Worker

    known = {p for kind in (cluster, Nanny, Worker) for p in inspect.signature(kind).parameters}
    wrong = sorted(set(options) - known)
    if wrong:
        raise ConfigError(
            f"{cluster.__name__} has no option {', '.join(wrong)}.", where="cluster.options"
        )
