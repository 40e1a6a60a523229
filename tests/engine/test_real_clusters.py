"""A real SSH server and a real Slurm on loopback: same digests, and clear words where it fails.

Both run from a folder of the test's own and touch nothing of the machine's. `make servers` installs
their Debian packages; where these are not, the tests are skipped and say so.
"""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from processes import settings_of_the_cluster
from toyworld import World

from fluxengine import clusters
from fluxengine.config import ClusterConfig
from fluxengine.errors import ClusterFailed, ConfigError
from fluxengine.run import run

ROLES = ("client", "scheduler", "worker")
BEYOND_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
SLURM = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmdPort={node_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SchedulerParameters=sched_interval=1
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=2100 State=UNKNOWN
PartitionName=short Nodes=ALL Default=YES State=UP
PartitionName=shut Nodes=ALL State=DOWN
"""
SSHD = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
AuthorizedKeysFile {folder}/client.pub
PidFile {folder}/sshd.pid
PasswordAuthentication no
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
SetEnv PYTHONPATH={path}
"""


def program(name: str) -> str:
    """Where a server is installed, or a skipped test."""
    found = shutil.which(name, path=BEYOND_PATH)
    if found is None:
        pytest.skip(f"no {name} on this machine; `make servers` installs it on Debian")
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(true: Callable[[], object], what: str, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.05)


def answers(*command: str) -> bool:
    return subprocess.run(command, capture_output=True).returncode == 0


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., None]]:
    """Starts programs whose output goes to a file, and ends them with the tests."""
    log = tmp_path_factory.mktemp("servers") / "log"
    running = []

    def start(*command: str) -> None:
        with log.open("a") as out:
            running.append(subprocess.Popen(command, stdout=out, stderr=out))

    yield start
    for one in reversed(running):
        one.terminate()
        with suppress(subprocess.TimeoutExpired):
            one.wait(10)
        one.kill()


def content_of_a_run(world: World, config: ClusterConfig, told: list[str]) -> dict[str, str]:
    run(world.request(), lambda: clusters.executor(config, told.append))
    return world.content()


def fails(config: ClusterConfig, kind: type[Exception], match: str) -> None:
    with pytest.raises(kind, match=match), clusters.executor(config):
        pass


# --- SSH -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ssh(
    servers: Callable[..., None], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, object]:
    """Options of a cluster on this machine, reached through a server of our own."""
    sshd, keygen = program("sshd"), program("ssh-keygen")
    folder, port = tmp_path_factory.mktemp("sshd"), free_port()
    for key in ("host", "client"):
        quiet = [keygen, "-q", "-t", "ed25519", "-N", "", "-f", str(folder / key)]
        subprocess.run(quiet, check=True)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # emptied at every start, like the package makes it
    settings = SSHD.format(port=port, folder=folder, path=os.environ["PYTHONPATH"])
    (folder / "config").write_text(settings)
    known = f"[127.0.0.1]:{port} {(folder / 'host.pub').read_text()}"
    (folder / "known").write_text(known)
    servers(sshd, "-D", "-e", "-f", str(folder / "config"))
    wait_until(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0, "sshd")
    login = {
        "port": port,
        "username": getpass.getuser(),
        "client_keys": [str(folder / "client")],
        "known_hosts": str(folder / "known"),
    }
    return {"hosts": ["127.0.0.1", "127.0.0.1"], "connect_options": login}


def test_ssh_gives_the_same_digests_and_says_where_the_dashboard_is(
    world: World, first_run: World, ssh: dict[str, object]
) -> None:
    told: list[str] = []
    config = ClusterConfig(kind="ssh", workers=2, memory="2GiB", options=ssh)
    assert content_of_a_run(world, config, told) == first_run.content()
    login = ssh["connect_options"]
    assert isinstance(login, dict)
    assert f"-p {login['port']} {getpass.getuser()}@127.0.0.1" in told[0]


def listening(command: str) -> list[str]:
    """Addresses on which processes of a command, and those that they started, listen."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if command in " ".join(process.info["cmdline"] or ()):
            with suppress(psutil.Error):  # it has ended
                for one in (process, *process.children(True)):
                    found += one.net_connections("inet")
    return [c.laddr.ip for c in found if c.status == psutil.CONN_LISTEN]


def test_over_ssh_nothing_listens_beyond_loopback(ssh: dict[str, object]) -> None:
    with clusters.executor(ClusterConfig(kind="ssh", workers=1, options=ssh)):
        found = listening("distributed.cli.dask_spec")
        assert settings_of_the_cluster() == (False, 2.0)
    assert len(found) >= 4  # scheduler, nanny, worker, dashboards
    assert set(found) == {"127.0.0.1"}


def test_ssh_through_tls(ssh: dict[str, object], tmp_path: Path) -> None:
    from distributed import Security, get_client

    files = {}
    for name, text in Security.temporary().get_tls_config_for_role("worker").items():
        if text and "BEGIN" in text:
            files[name] = tmp_path / f"{name}.pem"
            files[name].write_text(text)
    names = [f"tls_{who}_{what}" for who in ROLES for what in ("cert", "key")]
    security = {name: str(files[name.rpartition("_")[2]]) for name in names}
    security["tls_ca_file"] = str(files["ca_file"])
    config = ClusterConfig(kind="ssh", workers=1, options=ssh, security=security)
    with clusters.executor(config):
        info = get_client().scheduler_info()
    assert info["address"].startswith("tls://127.0.0.1")
    assert all(worker.startswith("tls://127.0.0.1") for worker in info["workers"])


def test_what_the_other_side_of_ssh_says_is_told(ssh: dict[str, object]) -> None:
    options = ssh | {"remote_python": "/nowhere/python"}
    config = ClusterConfig(kind="ssh", options=options)
    fails(config, ClusterFailed, r"the other side: .*/nowhere/python.*Does `ssh 127\.0\.0\.1` go")


def test_a_host_that_is_not_known_is_refused(ssh: dict[str, object], tmp_path: Path) -> None:
    (tmp_path / "none").touch()
    login = ssh["connect_options"] | {"known_hosts": str(tmp_path / "none")}  # type: ignore[operator]
    config = ClusterConfig(kind="ssh", options=ssh | {"connect_options": login})
    fails(config, ClusterFailed, "Host key is not trusted")


# --- Slurm ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def slurm(servers: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A controller and one node."""
    munged, slurmctld, slurmd = (program(name) for name in ("munged", "slurmctld", "slurmd"))
    folder = tmp_path_factory.mktemp("slurm")
    for name in ("state", "spool"):
        (folder / name).mkdir()
    settings = SLURM.format(
        host=socket.gethostname().partition(".")[0],
        port=free_port(),
        node_port=free_port(),
        user=getpass.getuser(),
        folder=folder,
        cpus=os.cpu_count(),
    )
    (folder / "slurm.conf").write_text(settings)
    (folder / "key").write_bytes(os.urandom(1024))
    (folder / "key").chmod(0o400)
    names = {"key-file": "key", "socket": "munge.socket", "pid-file": "munged.pid"}
    names |= {"log-file": "munged.log", "seed-file": "seed"}
    places = [f"--{option}={folder / name}" for option, name in names.items()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
        servers(munged, "--foreground", "--force", *places)
        wait_until((folder / "munge.socket").exists, "munged")
        servers(slurmctld, "-D")
        wait_until(lambda: answers("sinfo"), "slurmctld")
        servers(slurmd, "-D")
        wait_until(lambda: "idle" in told("sinfo", "-ho", "%t"), "slurmd")
        yield


def told(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True).stdout


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slurm: None) -> Path:
    """Where one works: the jobs' logs go there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(clusters, "GLANCE", 0.5)
    return tmp_path


def slurm_config(**options: object) -> ClusterConfig:
    known = {"interface": "lo", "queue": "short"} | options
    return ClusterConfig(kind="slurm", workers=2, memory="1GiB", options=known)


def test_slurm_gives_the_same_digests_and_says_which_jobs_it_has(
    world: World, first_run: World, folder: Path
) -> None:
    path = world.run_file()
    cluster = "{kind: slurm, workers: 2, memory: 1GiB, options: {interface: lo, queue: short}}"
    path.write_text(path.read_text() + f"  slurm: {{store: ./store, cluster: {cluster}}}\n")
    command = [sys.executable, "-c", "from fluxengine.cli import script; script()"]
    words = ["run", "-c", str(path), "--profile", "slurm"]
    done = subprocess.run([*command, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "2 Slurm jobs: " in done.stderr
    assert f"their logs: {folder}/fluxforge-logs" in done.stderr
    assert "ssh -N -L" in done.stderr
    assert world.content() == first_run.content()
    wait_until(lambda: told("squeue", "-h") == "", "the jobs to end")


def test_the_run_itself_as_a_job(world: World, first_run: World, folder: Path) -> None:
    path = world.run_file()
    cluster = "{kind: slurm, workers: 1, memory: 1GiB, options: {interface: lo, queue: short}}"
    path.write_text(path.read_text() + f"  slurm: {{store: ./store, cluster: {cluster}}}\n")
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    script = Path(__file__).parents[2] / "infra" / "slurm" / "fluxforge.sbatch"
    small = ["--cpus-per-task=1", "--mem=500M", f"--export=ALL,PATH={programs}"]
    assert answers("sbatch", *small, str(script), str(path))
    wait_until(lambda: told("squeue", "-h") == "", "the jobs to end", 60)
    assert world.content() == first_run.content(), [p.read_text() for p in folder.glob("*.log")]


def test_slurm_through_tls(folder: Path) -> None:
    from distributed import get_client

    config = slurm_config().model_copy(update={"security": True})
    with clusters.executor(config):
        info = get_client().scheduler_info()
        found = listening("distributed.cli.dask_worker")
        assert settings_of_the_cluster() == (False, 2.0)
    assert all(worker.startswith("tls://127.0.0.1") for worker in info["workers"])
    assert set(found) == {"127.0.0.1"}


def test_what_sbatch_refuses_is_told(folder: Path) -> None:
    fails(slurm_config(queue="shrot"), ClusterFailed, "invalid partition specified: shrot.*Tried")


def test_jobs_that_end_before_a_worker_came_are_told_with_their_last_words(folder: Path) -> None:
    config = slurm_config(python="/nowhere/python")
    fails(config, ClusterFailed, "its jobs ended before a worker came: .*/nowhere/python")


def test_a_queue_that_is_shut_ends_in_an_error_and_leaves_no_job(folder: Path) -> None:
    config = slurm_config(queue="shut").model_copy(update={"wait": 2.0})
    fails(config, ClusterFailed, r"within 2 s \(2 PENDING \(PartitionDown\)\)")
    wait_until(lambda: told("squeue", "-h") == "", "the jobs to be cancelled")


def test_ctrl_c_while_it_waits_leaves_no_job(world: World, folder: Path) -> None:
    path = world.run_file()
    cluster = "{kind: slurm, workers: 2, memory: 1GiB, options: {interface: lo, queue: shut}}"
    path.write_text(path.read_text() + f"  slurm: {{store: ./store, cluster: {cluster}}}\n")
    program = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
from fluxengine.cli import script
script()
"""
    command = [sys.executable, "-c", program]
    words = ["run", "-c", str(path), "--profile", "slurm"]
    stacks = os.environ | {"PYTHONFAULTHANDLER": "1"}
    running = subprocess.Popen([*command, *words], stderr=subprocess.PIPE, text=True, env=stacks)
    wait_until(lambda: "PENDING" in told("squeue", "-ho", "%T"), "the jobs")
    running.send_signal(signal.SIGINT)
    try:  # at once, but for what may take so long to stop
        _, said = running.communicate(timeout=clusters.STOP + 10)
    except subprocess.TimeoutExpired:
        running.send_signal(signal.SIGABRT)  # where it hangs
        pytest.fail(running.communicate()[1])
    assert running.returncode not in (0, 3), said
    assert "Traceback" not in said
    assert told("squeue", "-h") == ""


def test_a_machine_without_slurm_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    fails(slurm_config(), ConfigError, "no `sbatch` on this machine.*on a login node")
