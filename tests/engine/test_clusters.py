"""Clusters of every kind, up to where a real one would begin: names, presets, scripts, refusals."""

import inspect
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from processes import Cluster, settings_of_the_cluster
from toyworld import World

from fluxengine import api, clusters, config, describe, machines, registry
from fluxengine.clusters import differences, executor
from fluxengine.config import ClusterConfig
from fluxengine.deployments import PROFILER, Deployment, as_environment, merged
from fluxengine.errors import ClusterFailed, ConfigError, VersionMismatch
from fluxengine.requested import check_reach

GOLDEN = Path(__file__).parent / "golden"
INFRA = Path(__file__).parents[2] / "infra"
IMAGE = {"image": "registry.example/fluxforge:0.1.0", "namespace": "flux"}
VERSION = {"major": "1", "minor": "30", "gitVersion": "v1.30.0"}
MISSING = {"message": "the server could not find the requested resource"}
HOSTS = {"hosts": ["localhost"]}


def deployment(kind: str, options: dict[str, object] | None = None, **settings: Any) -> Deployment:
    config = ClusterConfig(kind=kind, options=options or {}, **settings)
    return clusters.KINDS[kind](config).checked()


def refused(match: str, kind: str, options: dict[str, object] | None = None, **more: Any) -> None:
    """Whatever is wrong is said before anything starts."""
    with pytest.raises(ConfigError, match=match):
        deployment(kind, options, **more)


@pytest.fixture
def sbatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that submits jobs, as far as one can see."""
    (tmp_path / "sbatch").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.chdir(tmp_path)


# --- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "options", "complaint"),
    [
        ("local", {"procesess": True}, "LocalCluster has no option procesess.*'processes'"),
        ("local", {"scheduler_kwargs": {"prot": 1}}, r"scheduler_kwargs: .*no option prot.*'port'"),
        ("address", {"timeout": 3}, "an address has no option timeout. It takes none"),
        ("ssh", HOSTS | {"wroker_options": {}}, "SSHCluster has no option wroker_options"),
        ("ssh", HOSTS | {"worker_options": {"nmae": 1}}, "no option nmae.*'name'"),
        ("ssh", HOSTS | {"connect_options": {"usrname": ""}}, "no option usrname.*'username'"),
        ("ssh", HOSTS | {"connect_options": [{"prot": 1}]}, "no option prot.*'port'"),
        ("slurm", {"que": "short"}, "SLURMCluster has no option que.*'queue'"),
        ("slurm", {"scheduler_options": {"interfase": ""}}, "interfase.*'interface'"),
        ("kubernetes", {"imgae": "x"}, "KubeCluster has no option imgae.*'image'"),
        ("coiled", {"worker_ram": "8GiB"}, "coiled.Cluster has no option worker_ram"),
        ("coiled", {"worker_options": {"ntreads": 1}}, "no option ntreads. Write `threads` beside"),
        ("local", {"security": {}}, "has no option security. Write `security` beside `options`"),
        ("coiled", {"asynchronous": True}, "has no option asynchronous. Take it out"),
    ],
)
def test_misspelt_options_are_refused_with_the_right_name(
    kind: str, options: dict[str, object], complaint: str
) -> None:
    refused(complaint, kind, options)


@pytest.mark.parametrize(
    ("kind", "options", "complaint"),
    [
        ("ssh", {}, r"needs a list of hosts.*\[head, node1, node2\]"),
        ("ssh", {"hosts": ["head", "node"]}, "scheduler, and it listens on loopback unless told"),
        ("kubernetes", {}, "needs an image with fluxforge in it"),
        (
            "kubernetes",
            {"custom_cluster_spec": "x.yaml", "env": {}},
            "env: the manifest of `custom_cluster_spec` says that",
        ),
    ],
)
def test_what_a_kind_cannot_do_without_is_asked_for(
    kind: str, options: dict[str, object], complaint: str
) -> None:
    refused(complaint, kind, options)


def test_slurm_must_be_told_the_network_of_its_nodes(sbatch: None) -> None:
    refused("nodes must reach the scheduler.*interface: ib0", "slurm")
    deployment("slurm", {"interface": "ib0"})
    deployment("slurm", {"scheduler_options": {"host": "10.0.0.1"}})


@pytest.mark.parametrize(
    ("kind", "security", "complaint"),
    [
        ("local", {"tls_ca": "x"}, "Unknown parameters.*tls_ca.*Known: .*tls_ca_file"),
        ("ssh", True, "temporary certificates cannot travel"),
        ("coiled", True, "takes no `security`: it has its own"),
        ("kubernetes", {"tls_ca_file": "x"}, "takes no `security`"),
    ],
)
def test_tls_that_cannot_be_passed_on_is_refused(
    kind: str, security: object, complaint: str
) -> None:
    options = {"ssh": HOSTS, "kubernetes": IMAGE}.get(kind, {})
    with pytest.raises(ConfigError, match=complaint):
        deployment(kind, options, security=security).options  # noqa: B018


@pytest.mark.parametrize("memory", ["much", "8 giga", "-1GiB"])
def test_memory_is_a_number_of_bytes(memory: str) -> None:
    with pytest.raises(ValueError, match="memory"):
        ClusterConfig(memory=memory)


@pytest.mark.parametrize(
    ("kind", "module", "package"),
    [
        ("ssh", "asyncssh", "asyncssh"),
        ("slurm", "dask_jobqueue.core", "dask-jobqueue"),
        ("kubernetes", "dask_kubernetes.operator.kubecluster.kubecluster", "dask-kubernetes"),
    ],
)
def test_a_library_that_is_not_installed_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, kind: str, module: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    refused(rf"needs {package}: .*pip install 'fluxforge\[clusters\]'", kind, HOSTS)


def test_slurms_library_does_not_keep_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGINT)
    for name in [name for name in sys.modules if name.startswith("dask_jobqueue")]:
        monkeypatch.delitem(sys.modules, name)
    machines.Slurm(ClusterConfig(kind="slurm")).launcher()
    assert signal.getsignal(signal.SIGINT) is before


# --- presets -------------------------------------------------------------------------------------


def test_options_go_over_presets_and_tables_are_merged() -> None:
    assert merged({"a": 1, "t": {"x": 1, "y": 2}}, {"a": 2, "t": {"y": 3}}) == {
        "a": 2,
        "t": {"x": 1, "y": 3},
    }


def test_a_local_cluster_is_on_loopback() -> None:
    made = deployment("local", workers=3, memory="1GiB").options
    assert (made["n_workers"], made["memory_limit"]) == (3, "1GiB")
    assert made["host"] == "127.0.0.1"
    assert made["dashboard_address"] == "127.0.0.1:0"
    told = {"dashboard_address": ":8787"}
    assert deployment("local", told).options["dashboard_address"] == ":8787"


def test_ssh_deals_its_workers_out_to_the_hosts() -> None:
    options = {
        "hosts": ["head", "a", "b"],
        "remote_python": ["p0", "p1", "p2"],
        "scheduler_options": {"interface": "eth1"},
    }
    made = deployment("ssh", options, workers=3, threads=2).options
    assert made["hosts"] == ["head", "a", "b", "a"]
    assert made["remote_python"] == ["p0", "p1", "p2", "p1"]
    assert made["worker_options"]["nthreads"] == 2
    assert made["worker_options"]["interface"] == "eth1"
    assert "host" not in made["scheduler_options"]
    assert made["scheduler_options"]["dashboard_address"] == "127.0.0.1:0"


def test_one_host_has_scheduler_and_workers_on_loopback() -> None:
    made = deployment("ssh", HOSTS, workers=2).options
    assert made["hosts"] == ["localhost"] * 3
    assert made["worker_options"]["host"] == made["scheduler_options"]["host"] == "127.0.0.1"


def test_an_interface_takes_the_place_of_loopback() -> None:
    told = HOSTS | {"scheduler_options": {"interface": "lo"}}
    made = deployment("ssh", told).options
    for part in ("scheduler_options", "worker_options"):
        assert made[part]["interface"] == "lo"
        assert "host" not in made[part]
    made = deployment("ssh", told | {"worker_options": {"host": "127.0.0.1"}}).options
    assert "interface" not in made["worker_options"]
    assert "host" not in deployment("local", {"interface": "lo"}).options


def test_the_job_script_of_slurm(sbatch: None, tmp_path: Path) -> None:
    options = {
        "queue": "short",
        "account": "climate",
        "walltime": "04:00:00",
        "interface": "ib0",
        "python": "/shared/venv/bin/python",
        "job_extra_directives": ["--gres=gpu:1"],
        "job_script_prologue": ["module load gcc"],
    }
    assert script(options, threads=4) == (GOLDEN / "slurm.sh").read_text()


def test_several_workers_in_one_slurm_job(sbatch: None) -> None:
    made = script({"interface": "ib0", "processes": 4}, threads=2)
    assert "--cpus-per-task=8" in made
    assert "--mem=32G" in made
    assert "--nthreads 2 --memory-limit 8.00GiB --nworkers 4 --nanny" in made


def script(options: dict[str, object], **settings: Any) -> str:
    """The job script that `sbatch` would get, from the job's own class."""
    from dask_jobqueue.slurm import SLURMJob

    made = deployment("slurm", options, workers=40, memory="8GiB", **settings).options
    known = {p for kind in SLURMJob.__mro__[:2] for p in inspect.signature(kind).parameters}
    job = {name: value for name, value in made.items() if name in known}
    text = SLURMJob("tcp://10.0.0.1:8786", "fluxforge-0", **job).job_script()
    return text.replace(str(Path.cwd()), "/home/me")


def test_the_arguments_of_coiled_fit_its_signature() -> None:
    import coiled

    options = {"region": "us-west-2", "spot_policy": "on-demand", "tags": {"project": "flux"}}
    made = deployment("coiled", options, workers=100, memory="8GiB").options
    bound = inspect.signature(coiled.Cluster).bind(**made)
    assert bound.arguments == {
        "n_workers": 100,
        "worker_cpu": [2, 4],
        "worker_memory": ["8GiB", "16.00 GiB"],
        "worker_options": {"nthreads": 1},
        "spot_policy": "on-demand",
        "allow_ingress_from": "me",
        "wait_for_workers": False,
        "timeout": 300.0,
        "show_widget": False,
        "region": "us-west-2",
        "tags": {"project": "flux"},
    }


def test_coiled_takes_machine_types_or_sizes_not_both() -> None:
    made = deployment("coiled", {"worker_vm_types": ["m6i.large"]}).options
    assert not {"worker_cpu", "worker_memory"} & made.keys()


def test_a_cluster_of_the_same_name_is_not_taken_over() -> None:
    from dask_kubernetes.operator.kubecluster.kubecluster import CreateMode

    assert deployment("kubernetes", IMAGE).options["create_mode"] is CreateMode.CREATE_ONLY
    other = IMAGE | {"create_mode": "CONNECT_ONLY"}
    assert deployment("kubernetes", other).options["create_mode"] is CreateMode.CONNECT_ONLY
    with pytest.raises(ConfigError, match="'SHARE' is not a valid CreateMode"):
        deployment("kubernetes", IMAGE | {"create_mode": "SHARE"}).options  # noqa: B018


def test_a_manifest_of_ones_own_gets_the_workers_of_the_profile(tmp_path: Path) -> None:
    own = {
        "metadata": {"name": "mine"},
        "spec": {
            "worker": {"replicas": 1, "spec": {"x": 1, "containers": [{"name": "worker"}]}},
            "scheduler": {"spec": {"containers": [{"name": "scheduler"}]}},
        },
    }
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(own))
    options = {"custom_cluster_spec": str(tmp_path / "own.yaml")}
    made = deployment("kubernetes", options, workers=7).options["custom_cluster_spec"]
    assert made["spec"]["worker"]["replicas"] == 7
    assert made["spec"]["worker"]["spec"]["x"] == 1
    with pytest.raises(ConfigError, match="cannot be read"):
        deployment("kubernetes", {"custom_cluster_spec": "none.yaml"}).options  # noqa: B018


# --- up to the last call -------------------------------------------------------------------------


class Kubernetes(BaseHTTPRequestHandler):
    """An API server that knows its version and has no operator."""

    posted: list[Any]

    def do_GET(self) -> None:
        known = self.path == "/version/"
        self._answer(200 if known else 404, VERSION if known else MISSING)

    def do_POST(self) -> None:
        self.posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self._answer(404, MISSING)

    def _answer(self, code: int, body: dict[str, str]) -> None:
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        with suppress(BrokenPipeError):  # who asked has gone
            self.wfile.write(data)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def kubernetes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """What is posted to an API server on loopback."""
    handler = type("Handler", (Kubernetes,), {"posted": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    place = {"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}
    context = {"name": "t", "context": {"cluster": "c", "user": "u", "namespace": "flux"}}
    user = {"name": "u", "user": {"token": "none"}}
    config = {"clusters": [place], "contexts": [context], "users": [user], "current-context": "t"}
    (tmp_path / "kube").write_text(json.dumps(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kube"))
    yield handler.posted
    server.shutdown()


def test_what_kubernetes_is_asked_for_and_what_is_told_without_an_operator(
    kubernetes: list[Any],
) -> None:
    options = IMAGE | {"name": "flux-run"}
    config = ClusterConfig(kind="kubernetes", workers=100, memory="8GiB", options=options)
    with pytest.raises(ClusterFailed) as caught, executor(config):
        pass

    assert kubernetes == [yaml.safe_load((GOLDEN / "daskcluster.yaml").read_text())]
    assert "Tried: workers 100, threads 1, memory 8GiB" in str(caught.value)
    assert "Is the Dask operator installed (infra/kubernetes)?" in str(caught.value)


def test_kubernetes_that_cannot_be_found_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    config = ClusterConfig(kind="kubernetes", options=IMAGE)
    match = r"did not start: .*kubectl -n flux get pods"
    with pytest.raises(ClusterFailed, match=match), executor(config):
        pass


def test_coiled_without_a_network_is_told_in_seconds() -> None:
    import dask

    began = time.monotonic()
    config = ClusterConfig(kind="coiled", options={"environ": {"X": "hidden"}})
    with (
        dask.config.set({"coiled.server": "https://coiled.invalid"}),
        pytest.raises(ClusterFailed, match="Cannot connect") as caught,
        executor(config),
    ):
        pass
    assert time.monotonic() - began < 10
    assert "coiled login" in str(caught.value)
    assert "environ …" in str(caught.value)
    assert "hidden" not in str(caught.value)


# --- waiting, and stopping what waits -------------------------------------------------------------


class Slow:
    """A library that waits for ever; told when it is closed."""

    closed = False

    def __init__(self) -> None:
        self._loop_runner = None
        threading.Event().wait()

    def close(self) -> None:
        Slow.closed = True


def test_a_library_that_waits_for_ever_is_left_and_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machines.Local, "launcher", lambda self: Slow)
    monkeypatch.setattr(machines.Local, "signatures", lambda self: {})
    monkeypatch.setattr(machines.Local, "options", {})
    match = r"nothing happened within 0 s\. Tried: workers 2"
    with pytest.raises(ClusterFailed, match=match), executor(ClusterConfig(wait=0.2)):
        pass
    assert Slow.closed


def test_a_scheduler_without_workers_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from distributed import LocalCluster

    monkeypatch.setattr(clusters, "GLANCE", 0.2)
    told: list[str] = []
    with LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address=None) as empty:
        address = empty.scheduler_address
        config = ClusterConfig(kind="address", address=address, wait=0.6)
        match = f"no worker came within 0.6 s.*dask worker {address}"
        with pytest.raises(ClusterFailed, match=match), executor(config, told.append):
            pass
    assert told == ["waiting at most 0.6 s for the first worker"]


def test_a_scheduler_that_dies_before_the_first_block_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = Cluster(tmp_path)
    monkeypatch.setattr(clusters, "CONNECT", "2s")  # and as long it is looked for again
    monkeypatch.setattr(clusters, "_compare", lambda _: started.kill())
    try:
        match = "its scheduler answers no more"
        with pytest.raises(ClusterFailed, match=match), executor(started.config()):
            pass
    finally:
        started.kill()


def test_temporary_certificates_on_a_local_cluster() -> None:
    from distributed import get_client

    with executor(ClusterConfig(workers=1, memory="1GiB", security=True)):
        assert get_client().scheduler_info()["address"].startswith("tls://127.0.0.1")


def test_a_local_cluster_has_no_profiler_and_the_next_block_at_each_thread() -> None:
    with executor(ClusterConfig(workers=1, memory="1GiB")):
        assert settings_of_the_cluster() == (False, 2.0)


def test_settings_end_with_the_cluster_and_take_nothing_with_them() -> None:
    """In a process that has not imported distributed before."""
    program = """
import dask
from fluxengine.config import ClusterConfig
from fluxengine.machines import Address
with Address(ClusterConfig(kind="address", address="tcp://127.0.0.1:1")).surroundings():
    from distributed import Client
    assert not dask.config.get("distributed.worker.profile.enabled")
assert dask.config.get("distributed.worker.profile.enabled")
dask.config.get("distributed.client.direct-to-workers")
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_profilers_of_workers_that_somebody_started_are_told(tmp_path: Path) -> None:
    """Under later versions of Python they do no harm."""
    told: list[str] = []
    for with_profiler in (False, True):
        started = Cluster(tmp_path, env=as_environment({PROFILER: with_profiler}))
        try:
            with executor(started.config(), told.append):
                pass
        finally:
            started.kill()
    assert len(told) == (sys.version_info < (3, 12))
    assert all("DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED=False" in line for line in told)


# --- versions ------------------------------------------------------------------------------------


def versions(**worker: str | None) -> dict[str, Any]:
    here = dict.fromkeys(clusters.ON_WORKERS, "1.0") | {"python": "3.11.7.final.0"}
    host = {"packages": here}
    return {"client": host, "scheduler": host, "workers": {"a": {"packages": here | worker}}}


def test_versions_are_compared_and_both_named() -> None:
    assert differences(versions()) == []
    assert differences(versions(python="3.11.2.final.0")) == []  # same minor version
    assert differences(versions(python="3.12.0.final.0")) == ["python 3.11 here, 3.12 on worker a"]
    assert differences(versions(zarr="3.0")) == ["zarr 1.0 here, 3.0 on worker a"]
    assert differences(versions(fluxforge=None)) == ["fluxforge 1.0 here, missing on worker a"]


def test_a_scheduler_may_lack_what_only_workers_need() -> None:
    found = versions()
    found["scheduler"] = {"packages": dict.fromkeys(("dask", "distributed"), "1.0")}
    found["scheduler"]["packages"]["python"] = "3.11.2.final.0"
    assert differences(found) == []
    found["scheduler"]["packages"]["dask"] = "0.9"
    assert differences(found) == ["dask 1.0 here, 0.9 on the scheduler"]


def test_a_worker_with_another_version_is_refused(tmp_path: Path) -> None:
    from distributed import LocalCluster

    other = tmp_path / "fluxforge-9.9.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: fluxforge\nVersion: 9.9\n")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    with LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address=None) as cluster:
        worker = subprocess.Popen(
            [Path(sys.executable).with_name("dask"), "worker", cluster.scheduler_address],
            env=os.environ | {"PYTHONPATH": path},
            stderr=subprocess.DEVNULL,
        )
        config = ClusterConfig(kind="address", address=cluster.scheduler_address, wait=60)
        match = r"fluxforge \S+ here, 9\.9 on worker tcp://"
        with pytest.raises(VersionMismatch, match=match), executor(config):
            pass
    worker.wait(20)


# --- what workers in the cloud cannot reach -------------------------------------------------------


@pytest.mark.parametrize("kind", ["kubernetes", "coiled"])
@pytest.mark.parametrize("place", ["/data/store", "file:///data/store", "store"])
def test_a_folder_of_this_machine_is_refused_for_workers_in_the_cloud(
    kind: str, place: str
) -> None:
    config = ClusterConfig(kind=kind)
    with pytest.raises(ConfigError, match=f"^store: {place} is on this machine.*s3://"):
        check_reach(config, {"store": place})
    check_reach(config, {"store": "s3://bucket/store"})
    check_reach(ClusterConfig(), {"store": place})


def test_a_run_file_with_a_local_store_on_a_cloud_cluster_is_refused(world: World) -> None:
    path = world.run_file()
    text = path.read_text().replace("kind: serial", "kind: coiled")
    path.write_text(text)
    for verb in (api.plan, api.run):
        with pytest.raises(ConfigError, match=r"store: .* is on this machine.*kind 'coiled'"):
            verb(path, profile="serial")
    assert not world.store.exists()
    path.write_text(text.replace(f"store: {world.store}", "store: s3://bucket/x"))
    with pytest.raises(ConfigError, match=r"archives\.toy: .* is on this machine"):
        api.plan(path, profile="serial")


# --- what infra/ says ----------------------------------------------------------------------------


def profiles(page: Path) -> list[dict[str, Any]]:
    """The profiles that a page shows."""
    blocks = [
        yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.S)
    ]
    return [one for block in blocks for one in block.values() if "store" in one]


PAGES = [page for page in sorted(INFRA.rglob("*.md")) if profiles(page)]


def test_each_kind_of_cluster_has_a_page() -> None:
    kinds = {profile["cluster"]["kind"] for page in PAGES for profile in profiles(page)}
    assert kinds == {"ssh", "slurm", "kubernetes", "coiled"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(INFRA)))
def test_the_profiles_on_a_page_are_accepted(
    page: Path, sbatch: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(INFRA.parent)
    for profile in profiles(page):
        config = ClusterConfig.model_validate(profile["cluster"])
        check_reach(config, {"store": profile["store"]})
        assert clusters.KINDS[config.kind](config).checked().options


def test_the_commented_profiles_of_a_new_run_file_are_accepted(
    sbatch: None, tmp_path: Path
) -> None:
    text = describe.run_file(registry.recipe("toy"))
    opened = re.sub(r"^  # (?=[a-z]+:$|  )", "  ", text, flags=re.M)
    run_file = config_file(tmp_path, opened)
    assert {*run_file.profiles} == {"local", "serial", "slurm", "ssh", "kubernetes", "coiled"}
    for profile in run_file.profiles.values():
        if profile.cluster.kind != "serial":
            assert clusters.KINDS[profile.cluster.kind](profile.cluster).checked().options


def config_file(folder: Path, text: str) -> config.RunFile:
    (folder / "run.yaml").write_text(text)
    return config.load(folder / "run.yaml")


MANIFESTS = [GOLDEN / "daskcluster.yaml", *(INFRA / "kubernetes").glob("[gw]*.yaml")]


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.name)
def test_manifests_are_what_the_operators_schema_says(manifest: Path) -> None:
    import dask_kubernetes
    import jsonschema

    charts = Path(dask_kubernetes.__file__).parent / "operator" / "deployment" / "helm"
    crd = next(charts.rglob("crds/daskcluster.yaml"))
    schema = yaml.safe_load(crd.read_text())["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    jsonschema.validate(yaml.safe_load(manifest.read_text()), schema)


def test_manifests_start_programs_that_this_dask_has() -> None:
    from importlib.metadata import entry_points

    programs = {entry.name for entry in entry_points(group="dask_cli")}
    for manifest in MANIFESTS:
        spec = yaml.safe_load(manifest.read_text())["spec"]
        for part in ("worker", "scheduler"):
            dask, program, *_ = spec[part]["spec"]["containers"][0]["args"]
            assert dask == "dask" and program in programs
