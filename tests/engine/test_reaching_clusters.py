"""What a cluster is told by: addresses, certificates, sizes, and why it did not start."""

import os
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from fluxengine import clusters, executors, machines
from fluxengine.clusters import executor
from fluxengine.config import ClusterConfig
from fluxengine.deployments import Deployment
from fluxengine.errors import ClusterFailed, ConfigError


def checked(kind: str, options: dict[str, object] | None = None, **settings: Any) -> Deployment:
    config = ClusterConfig(kind=kind, options=options or {}, **settings)
    return clusters.KINDS[kind](config).checked()


def refused(match: str, kind: str, **settings: Any) -> None:
    with pytest.raises(ConfigError, match=match):
        checked(kind, **settings)


@pytest.fixture
def certificates(tmp_path: Path) -> dict[str, str]:
    """Files of a client's certificates, and of nobody else's."""
    from distributed import Security

    made = Security.temporary()
    names = ("tls_ca_file", "tls_client_cert", "tls_client_key")
    for name in names:
        (tmp_path / name).write_text(getattr(made, name))
    return {name: str(tmp_path / name) for name in names}


@pytest.mark.parametrize(
    ("address", "complaint"),
    [
        (None, "needs one"),
        ("http://127.0.0.1:8786", "'http://.*' is no address.*unknown address scheme 'http'"),
        ("localhost", "'localhost' is no address of a scheduler: missing port number"),
        ("tcp://127.0.0.1", "missing port number.*Such as tcp://127.0.0.1:8786"),
        ("tcp://:8786", "missing host"),
        ("tcp://127.0.0.1:1/ x", "is no address of a scheduler"),
        ("tls://127.0.0.1:8786", r"answers only to certificates.*Name their files: tls_ca_file"),
    ],
)
def test_an_address_that_is_none_is_refused_with_its_reason(
    address: str | None, complaint: str
) -> None:
    refused(complaint, "address", address=address)


def test_addresses_that_dask_understands_are_accepted(certificates: dict[str, str]) -> None:
    for address in ("tcp://127.0.0.1:8786", "127.0.0.1:8786", "[::1]:8786", "ws://node:8786"):
        assert checked("address", address=address).options == {"address": address}
    checked("address", address="tls://127.0.0.1:8786", security=certificates)


def test_certificates_that_are_not_there_or_are_none_are_named(
    certificates: dict[str, str], tmp_path: Path
) -> None:
    there, gone = {"address": "tls://127.0.0.1:9"}, {"tls_client_key": "/nowhere/key.pem"}
    match = r"cluster\.security\.tls_client_key: there is no file /nowhere/key\.pem"
    refused(match, "address", security=certificates | gone, **there)
    refused(match, "local", security=certificates | gone)
    of_workers = {"tls_worker_cert": "/nowhere/on/this/machine.pem"}
    checked("ssh", {"hosts": ["localhost"]}, security=certificates | of_workers)
    refused("tls_worker_cert: there is no file", "local", security=certificates | of_workers)
    (tmp_path / "tls_client_cert").write_text("nothing")
    match = "the certificates cannot be used: .*PEM format"
    refused(match, "address", security=certificates, **there)


@pytest.mark.parametrize("version", [1.3, "1.3", 772])
def test_versions_and_ciphers_of_tls_are_no_files(
    certificates: dict[str, str], version: object
) -> None:
    options = {"tls_min_version": version, "tls_max_version": version, "tls_ciphers": "HIGH"}
    made = checked("local", security=certificates | options).security
    assert made.tls_min_version == made.tls_max_version == ssl.TLSVersion.TLSv1_3
    match = r"tls_min_version='new' is not supported.*Known: .*tls_min_version"
    refused(match, "local", security=certificates | {"tls_min_version": "new"})


def test_certificates_are_of_the_scheduler_that_runs_already(
    certificates: dict[str, str],
) -> None:
    match = "does not know certificates made for this run"
    refused(match, "address", address="tls://127.0.0.1:9", security=True)
    match = "`security` is given, and tcp://127.0.0.1:9 has none. Such as tls://"
    refused(match, "address", address="tcp://127.0.0.1:9", security=certificates)


def test_why_a_local_cluster_did_not_start_is_told() -> None:
    config = ClusterConfig(workers=1, options={"host": "nowhere.invalid"})
    match = r"Scheduler failed to start \(.*(resolution|not known)\)"
    with pytest.raises(ClusterFailed, match=match), executor(config):
        pass


def test_what_was_behind_an_error_is_told_once_and_without_end() -> None:
    words = machines.Local(ClusterConfig()).words
    error, cause = RuntimeError("it did not start."), OSError("no room")
    assert words(error) == "it did not start."
    error.__cause__ = cause
    assert words(error) == "it did not start (no room)"
    cause.__cause__ = error
    assert words(error) == "it did not start (no room)"
    error.args = ("it did not start: no room",)
    assert words(error) == "it did not start: no room"
    assert words(TimeoutError()) == "TimeoutError"


def test_what_was_tried_is_told_without_commands_and_variables() -> None:
    options = {
        "hosts": ["head", "node"],
        "queue": "short",
        "cores": 4,
        "job_script_prologue": ["export KEY=hidden"],
        "worker_extra_args": ["--key", "hidden"],
        "worker_command": "dask worker --key hidden",
        "env_extra": "KEY=hidden",
        "env": {"KEY": "hidden"},
    }
    told = clusters._tried(ClusterConfig(options=options))
    assert "hidden" not in told
    assert "queue short" in told and "cores 4" in told and "['head', 'node']" in told
    assert "job_script_prologue …" in told


# --- a port of something else --------------------------------------------------------------------


@pytest.fixture
def mute() -> Iterator[str]:
    """A port that takes connections and says nothing that Dask understands, as a dashboard's."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"


def test_a_port_of_something_else_is_not_waited_for_for_ever(
    mute: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distributed import Client, get_client

    monkeypatch.setattr(clusters, "CONNECT", "0.5s")
    monkeypatch.setattr(clusters, "ANSWER", 1.5)
    monkeypatch.setattr(clusters, "GLANCE", 1.0)
    before, began = set(Client._instances), time.monotonic()
    match = "no scheduler answers: .*the scheduler's port, not the dashboard's"
    config = ClusterConfig(kind="address", address=mute)
    with pytest.raises(ConfigError, match=match), executor(config):
        pass
    assert time.monotonic() - began < 10
    assert set(Client._instances) == before
    with pytest.raises(ValueError, match="No global client"):
        get_client()


# --- sizes ---------------------------------------------------------------------------------------


def test_as_many_blocks_are_in_flight_as_the_workers_that_are_there_ask_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And never fewer than the profile says: workers of its own come later."""
    from distributed import LocalCluster

    asked: list[int] = []
    monkeypatch.setattr(executors, "on_cluster", lambda _, in_flight, wait: asked.append(in_flight))
    with LocalCluster(
        n_workers=3, threads_per_worker=4, processes=False, protocol="tcp", dashboard_address=None
    ) as cluster:
        for workers in (2, 20):
            config = ClusterConfig(
                kind="address", address=cluster.scheduler_address, workers=workers
            )
            with executor(config):
                pass
    assert asked == [2 * 3 * 4, 2 * 20]


SSH = {"hosts": ["localhost"]}


@pytest.mark.parametrize(
    ("kind", "options", "ours"),
    [
        ("local", {"n_workers": 16}, "workers"),
        ("local", {"threads_per_worker": 2}, "threads"),
        ("local", {"nthreads": 2}, "threads"),
        ("local", {"memory_limit": "1GiB"}, "memory"),
        ("ssh", SSH | {"worker_options": {"nthreads": 4}}, "threads"),
        ("ssh", SSH | {"worker_options": {"memory_limit": "1GiB"}}, "memory"),
        ("ssh", SSH | {"worker_options": {"n_workers": 4}}, "workers"),
        ("slurm", {"cores": 8}, "threads"),
        ("slurm", {"memory": "64GB"}, "memory"),
        ("slurm", {"n_workers": 8}, "workers"),
        ("kubernetes", {"image": "x", "n_workers": 8}, "workers"),
        ("coiled", {"n_workers": 8}, "workers"),
        ("coiled", {"worker_memory": "64GiB"}, "memory"),
        ("coiled", {"worker_options": {"nthreads": 8}}, "threads"),
    ],
)
def test_a_size_is_said_once_beside_the_options(
    kind: str, options: dict[str, Any], ours: str
) -> None:
    match = rf"the profile itself says that.*Write `{ours}` beside `options`"
    refused(match, kind, options=options)


# --- values that no library could use ------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "options", "complaint"),
    [
        ("ssh", {"hosts": [1, 2]}, r"needs a list of hosts: .*\[head, node1, node2\]"),
        ("ssh", {"hosts": None}, "needs a list of hosts"),
        ("ssh", SSH | {"scheduler_options": None}, "scheduler_options: it is to be a table"),
        (
            "ssh",
            SSH | {"worker_options": [{}]},
            "worker_options: .*`worker_options: {name: value}`",
        ),
        ("ssh", SSH | {"connect_options": "me"}, "connect_options: it is to be a table"),
        ("slurm", {"interface": "lo", "scheduler_options": None}, "scheduler_options: it is to be"),
        ("slurm", {"interface": "lo", "processes": "2"}, "processes: .*`processes: 4`, without"),
        ("slurm", {"interface": "lo", "processes": 0}, "processes: it is to be the number"),
        ("slurm", {"interface": "lo", "processes": None}, "processes: it is to be the number"),
        (
            "slurm",
            {"job_script_prologue": "module load gcc"},
            r'a list of texts. Such as `job_script_prologue: \["module load gcc"\]`',
        ),
        ("slurm", {"job_script_prologue": None}, "job_script_prologue: it is to be a list"),
        ("slurm", {"worker_extra_args": "--resources GPU=1"}, "worker_extra_args: it is to be a"),
        ("slurm", {"worker_extra_args": ["--nprocs", 2]}, "worker_extra_args: it is to be a"),
        ("slurm", {"job_extra_directives": "--mem=0"}, "job_extra_directives: it is to be a"),
    ],
)
def test_a_value_of_another_type_is_refused_in_words(
    kind: str,
    options: dict[str, Any],
    complaint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "sbatch").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    options = {"interface": "lo"} | options if kind == "slurm" else options
    refused(complaint, kind, options=options)


def test_lists_of_the_users_own_configuration_are_looked_at_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import dask

    (tmp_path / "sbatch").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    made = checked("slurm", {"interface": "lo"})
    match = r"^jobqueue\.slurm\.job-script-prologue: it is to be a list"
    with (
        dask.config.set({"jobqueue.slurm.job-script-prologue": "module load gcc"}),
        pytest.raises(ConfigError, match=match),
    ):
        made.options  # noqa: B018


# --- manifests -----------------------------------------------------------------------------------

MANIFESTS = Path(__file__).parents[2] / "infra" / "kubernetes"
GIL = "DASK_DISTRIBUTED__ADMIN__SYSTEM_MONITOR__GIL__ENABLED"
PROFILES = "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED"


def spec_of(manifest: object, **options: object) -> Any:
    told = {"custom_cluster_spec": manifest, **options}
    return checked("kubernetes", told).options["custom_cluster_spec"]


def environment(spec: Any, part: str) -> dict[str, str]:
    env = spec["spec"][part]["spec"]["containers"][0]["env"]
    found = {one["name"]: one["value"] for one in env}
    assert len(found) == len(env)
    return found


@pytest.mark.parametrize("name", ["with-secret", "gpu"])
def test_two_runs_with_one_manifest_are_two_clusters(name: str) -> None:
    file = MANIFESTS / f"{name}.yaml"
    written = yaml.safe_load(file.read_text())
    found = [spec_of(str(file)), spec_of(written), spec_of(written)]
    names = [spec["metadata"]["name"] for spec in found]
    assert len({*names}) == 3
    for spec in found:
        assert spec["metadata"]["name"].startswith(f"{written['metadata']['name']}-")
        selector = spec["spec"]["scheduler"]["service"]["selector"]
        assert selector == {
            "dask.org/cluster-name": spec["metadata"]["name"],
            "dask.org/component": "scheduler",
        }
    assert written == yaml.safe_load(file.read_text())
    there = spec_of(written, create_mode="CONNECT_ONLY")
    assert there["metadata"]["name"] == written["metadata"]["name"]


def test_the_settings_of_a_run_go_into_every_manifest_but_over_nobodys() -> None:
    written = yaml.safe_load((MANIFESTS / "with-secret.yaml").read_text())
    own = {"name": PROFILES, "value": "True"}
    written["spec"]["worker"]["spec"]["containers"][0]["env"] = [own, {"name": "X", "value": "1"}]
    spec = spec_of(written)
    worker, scheduler = environment(spec, "worker"), environment(spec, "scheduler")
    assert (worker[PROFILES], worker["X"], worker[GIL]) == ("True", "1", "False")
    assert (scheduler[PROFILES], scheduler[GIL]) == ("False", "False")


@pytest.mark.parametrize("env", [{"X": "1"}, [{"name": "X", "value": "1"}], None])
def test_the_settings_of_a_run_go_beside_an_environment_of_any_form(env: object) -> None:
    made = checked("kubernetes", {"image": "x", "env": env}).options["custom_cluster_spec"]
    for part in ("worker", "scheduler"):
        found = environment(made, part)
        assert found[PROFILES] == "False"
        assert found.get("X") == ("1" if env else None)


@pytest.mark.parametrize("text", ["", "kind: DaskCluster", "metadata: {name: x}", "- x", "{", "\0"])
def test_a_manifest_of_something_else_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "own.yaml").write_text(text)
    match = r"custom_cluster_spec: (it is no manifest of a DaskCluster|cannot be read)"
    with pytest.raises(ConfigError, match=match):
        spec_of(str(tmp_path / "own.yaml"))


def test_a_cluster_that_was_there_before_is_not_ended_by_a_run_that_finds_its_name_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The API server is a stand-in; the library is not."""
    from dask_kubernetes.operator.kubecluster import kubecluster

    deleted: list[str] = []

    class There:
        def __init__(self, name: str, namespace: str | None = None) -> None:
            self.name = name

        def __await__(self) -> Iterator[Any]:
            yield from ()
            return self

        async def exists(self) -> bool:
            return self.name not in deleted

        async def delete(self) -> None:
            deleted.append(self.name)

        @classmethod
        async def get(cls, name: str, namespace: str | None = None) -> "There":
            return cls(name)

    monkeypatch.setattr(kubecluster, "DaskCluster", There)
    options = {"image": "x", "namespace": "flux", "name": "of-another-run"}
    config = ClusterConfig(kind="kubernetes", wait=20, options=options)
    match = "Cluster of-another-run already exists"
    with pytest.raises(ClusterFailed, match=match), executor(config):
        pass
    assert deleted == []
