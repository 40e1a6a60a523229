"""Workers on machines one rents: Kubernetes, Coiled. They need a store that all of them reach."""

from __future__ import annotations

import inspect
from copy import deepcopy
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

import yaml

from fluxengine.deployments import (
    IDLE,
    ORPHANED,
    SETTINGS,
    SIZES,
    Deployment,
    Options,
    as_environment,
    merged,
    scheduler,
    this_machine,
    tunnel,
    workers,
)
from fluxengine.errors import ConfigError

MANIFEST = "cluster.options.custom_cluster_spec"
CLUSTER_NAME = "dask.org/cluster-name"  # by which the service finds its scheduler


class Kubernetes(Deployment):
    """Pods, made by the Dask operator."""

    called = "KubeCluster"
    tls = False

    def launcher(self) -> Any:
        """Of dask-kubernetes."""
        return self._operator().KubeCluster

    def signatures(self) -> dict[str, list[Any]]:
        """Besides KubeCluster's own it takes those of distributed's base class."""
        from distributed.deploy.cluster import Cluster

        return {"": [self.launcher(), Cluster]}

    def check(self) -> None:
        """A manifest of one's own says all that `options` would."""
        clash = sorted(self._described() & self.config.options.keys())
        if "custom_cluster_spec" in self.config.options and clash:
            raise ConfigError(
                f"{', '.join(clash)}: the manifest of `custom_cluster_spec` says that.",
                where="cluster.options",
                mend="Write it there.",
            )
        if "custom_cluster_spec" not in self.config.options and not self.config.options.get(
            "image"
        ):
            raise ConfigError(
                "a cluster of kind 'kubernetes' needs an image with fluxforge in it.",
                where="cluster.options.image",
                mend="infra/images says how to build one.",
            )

    def presets(self) -> Options:
        """Of the pods: as much as each worker has."""
        threads, memory = str(self.config.threads), self.config.memory.replace(" ", "")
        size = {"memory": memory.removesuffix("B")}  # Kubernetes writes 8Gi
        command = f"dask worker --nthreads {threads} --memory-limit {memory} --death-timeout"
        return {
            "name": f"fluxforge-{uuid4().hex[:8]}",
            "n_workers": self.config.workers,
            "env": as_environment(SETTINGS),
            "resources": {"requests": {"cpu": threads} | size, "limits": size},
            "worker_command": f"{command} {ORPHANED}",
            "idle_timeout": IDLE,
            "resource_timeout": int(self.config.wait),
            "create_mode": "CREATE_ONLY",  # its default joins a run of the same name
            "quiet": True,
        }

    @cached_property
    def options(self) -> Options:
        """The pods as a manifest, and what else KubeCluster takes."""
        made = super().options
        manifest = made.pop("custom_cluster_spec", None)
        described = {name: made.pop(name) for name in self._described() if name in made}
        try:
            mode = self._operator().CreateMode(made["create_mode"])
        except ValueError as error:
            where = "cluster.options.create_mode"
            raise ConfigError(f"{error}.", where=where, mend="CREATE_ONLY is usual.") from error
        if manifest is None:
            spec = self._manifest(described)
        else:
            spec = self._own(manifest, anew=mode is type(mode).CREATE_ONLY)
        _set_environment(spec)
        return made | {"custom_cluster_spec": spec, "create_mode": mode}

    def _manifest(self, described: Options) -> Options:
        spec: Options = self._operator().make_cluster_spec(**described)
        # The library calls `dask-scheduler`, which distributed has dropped.
        container = spec["spec"]["scheduler"]["spec"]["containers"][0]
        container["args"] = ["dask", "scheduler", *container["args"][1:]]
        return spec

    def _own(self, manifest: str | Options, *, anew: bool) -> Options:
        """A manifest of the user's, with so many workers as the profile says.

        Its name gets an end of its own: two runs with one manifest are two clusters.
        """
        own: Any = manifest
        if isinstance(manifest, str):
            try:
                own = yaml.safe_load(Path(manifest).expanduser().read_text())
            except (OSError, ValueError, yaml.YAMLError) as error:
                raise _no_manifest(f"cannot be read: {error}") from error
        _check_manifest(own)
        spec = merged(deepcopy(own), {"spec": {"worker": {"replicas": self.config.workers}}})
        if anew:
            name = f"{spec['metadata']['name']}-{uuid4().hex[:8]}"
            spec["metadata"]["name"] = name
            scheduler, selector = spec["spec"]["scheduler"], {CLUSTER_NAME: name}
            scheduler["service"] = merged(scheduler.get("service") or {}, {"selector": selector})
        return spec

    def start(self) -> Any:
        """A cluster that was there before, under the same name, is somebody else's to end."""
        try:
            return super().start()
        except ValueError as error:
            if "already exists" in str(error):
                self.cluster.shutdown_on_close = False
            raise

    def _operator(self) -> Any:
        return self._import("dask_kubernetes.operator.kubecluster.kubecluster", "dask-kubernetes")

    def _described(self) -> set[str]:
        """Options that describe the pods."""
        return set(inspect.signature(self._operator().make_cluster_spec).parameters)

    def log(self) -> str:
        """Of pods, by kubectl."""
        space = self.config.options.get("namespace")
        kubectl = f"kubectl -n {space}" if space else "kubectl"
        return (
            f"`{kubectl} get pods`, `{kubectl} describe daskcluster` and `{kubectl} logs POD` show"
            " what happened. Is the Dask operator installed (infra/kubernetes)?"
        )

    def started(self, dashboard: int | None) -> list[str]:
        """The library forwards the dashboard to this machine."""
        what = f"Kubernetes cluster {self.cluster.name} in namespace {self.cluster.namespace}"
        return [what, *tunnel(int(self.cluster.forwarded_dashboard_port), this_machine())]


def _no_manifest(what: str) -> ConfigError:
    mend = "infra/kubernetes has two to start from."
    return ConfigError(f"{what}.", where=MANIFEST, mend=mend)


def _check_manifest(manifest: Any) -> None:
    """Refuse one without what is looked at here."""
    try:
        named = isinstance(manifest["metadata"]["name"], str)
        for part in ("worker", "scheduler"):
            named = named and isinstance(_container(manifest, part), dict)
    except (LookupError, TypeError):
        named = False
    if not named:
        raise _no_manifest(
            "it is no manifest of a DaskCluster: it needs a metadata.name, and containers of"
            " spec.worker and spec.scheduler"
        )


def _container(spec: Options, part: str) -> Options:
    """The one that Dask runs in, of workers or of the scheduler."""
    container: Options = spec["spec"][part]["spec"]["containers"][0]
    return container


def _set_environment(spec: Options) -> None:
    """What a run needs of Dask, where the user's own environment does not say it."""
    for part in ("worker", "scheduler"):
        container = _container(spec, part)
        env = container.get("env") or []
        said = {one.get("name") for one in env if isinstance(one, dict)}
        ours = as_environment(SETTINGS).items()
        container["env"] = [*env, *({"name": n, "value": v} for n, v in ours if n not in said)]


class Coiled(Deployment):
    """Machines in the cloud, by Coiled."""

    called = "coiled.Cluster"
    tls = False
    sizes = SIZES | {"worker_memory": "memory"}

    def launcher(self) -> Any:
        """Of coiled."""
        return self._import("coiled", "coiled").Cluster

    def signatures(self) -> dict[str, list[Any]]:
        """Coiled has no **kwargs: a misspelt name would fail there too, but later."""
        return {
            "": [self.launcher()],
            "worker_options": workers(),
            "scheduler_options": [scheduler()],
        }

    def presets(self) -> Options:
        """A machine for each worker: a range of sizes, since clouds have few."""
        from dask.utils import format_bytes, parse_bytes

        threads, memory = self.config.threads, self.config.memory
        size: Options = {
            "worker_cpu": [max(2, threads), max(4, 2 * threads)],
            "worker_memory": [memory, format_bytes(2 * parse_bytes(memory))],
        }
        if "worker_vm_types" in self.config.options:
            size = {}  # one or the other
        return size | {
            "n_workers": self.config.workers,
            "worker_options": {"nthreads": threads},
            "spot_policy": "spot_with_fallback",
            "allow_ingress_from": "me",  # its default is everyone
            "wait_for_workers": False,  # waited for here
            "timeout": self.config.wait,
            "show_widget": False,
        }

    def log(self) -> str:
        """By its own command."""
        return (
            "`coiled cluster logs NAME` shows its log, https://cloud.coiled.io its state."
            " Is there an account (`coiled login`), and a network?"
        )

    def started(self, dashboard: int | None) -> list[str]:
        """Dashboards of Coiled ask who one is."""
        return [f"Coiled cluster {self.cluster.name}", f"dashboard: {self.cluster.dashboard_link}"]
