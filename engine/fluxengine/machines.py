"""Workers on machines one has: this one, a scheduler that runs already, SSH, Slurm.

Schedulers and dashboards listen on loopback unless the run file says otherwise.
"""

from __future__ import annotations

import getpass
import logging
import os
import shutil
import subprocess
import tempfile
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fluxengine import prefork
from fluxengine.deployments import (
    DASHBOARD,
    ENVIRONMENT,
    IDLE,
    LOOPBACK,
    ORPHANED,
    SETTINGS,
    SIZES,
    Deployment,
    Options,
    as_environment,
    is_loopback,
    scheduler,
    this_machine,
    tunnel,
    with_versions,
    workers,
)
from fluxengine.errors import ConfigError
from fluxengine.worker import KEPT_MEMORY

if TYPE_CHECKING:
    from fluxengine.config import ClusterConfig

# Workers complain of lost heartbeats while they are stopped; what fails comes back as a result.
QUIET = {"DASK_LOGGING__DISTRIBUTED": "critical"}
LOCAL_WORKERS = {f"{ENVIRONMENT}{name}": value for name, value in QUIET.items()}
# What Python and libraries find that begin before Dask has told workers their environment: as it
# would, so that sets have the same order in every run.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), 1)
AT_START = QUIET | ONE_THREAD | KEPT_MEMORY | {"PYTHONHASHSEED": 6640}
ENCRYPTED = ("tls", "wss")  # schemes of addresses
LOGS = "fluxforge-logs"  # of Slurm's jobs, in the folder one works in
SUBMISSION = 60  # seconds that a command of Slurm may take
LINES = {  # options of dask-jobqueue that are lists of lines or words, each with an example
    "job_script_prologue": "module load gcc",
    "job_extra_directives": "--constraint=skylake",
    "job_directives_skip": "--mem",
    "worker_extra_args": "--lifetime=55m",
}


class Local(Deployment):
    """Worker processes on this machine."""

    called = "LocalCluster"
    tls_here = ("tls_ca", "tls_client", "tls_scheduler", "tls_worker")

    def launcher(self) -> Any:
        """Of distributed."""
        from distributed import LocalCluster

        return LocalCluster

    def prepare(self) -> None:
        """Begin to load what workers need."""
        prefork.begin({name: str(value) for name, value in AT_START.items()})

    def start(self) -> Any:
        """By then it has begun, or does now."""
        import distributed.utils

        self.prepare()
        # Else Dask would name other modules to load, and load them here too: Pandas takes 0.3 s.
        distributed.utils._forkserver_preload_set = True
        return super().start()

    def signatures(self) -> dict[str, list[Any]]:
        """Options that are not its own go to the workers."""
        return {"": [self.launcher(), *workers()], "scheduler_kwargs": [scheduler()]}

    def presets(self) -> Options:
        """All on loopback."""
        network = {} if "interface" in self.config.options else {"host": LOOPBACK}
        return network | {
            "n_workers": self.config.workers,
            "threads_per_worker": self.config.threads,
            "memory_limit": self.config.memory,
            "dashboard_address": DASHBOARD,
            "silence_logs": 40,
            "security": self.security,
        }

    @contextmanager
    def surroundings(self) -> Iterator[None]:
        """What workers spill goes where it is deleted; a terminal's Ctrl-C is not for them."""
        import dask

        told = dask.config.get("distributed.nanny.environ", {}) | dict(os.environ)
        first = [*dask.config.get("distributed.worker.preload", []), prefork.__name__]
        with (
            super().surroundings(),
            tempfile.TemporaryDirectory(prefix="fluxforge-workers-") as scratch,
            dask.config.set(LOCAL_WORKERS | {"temporary-directory": scratch}),
            dask.config.set({"distributed.worker.preload": first}),
            dask.config.set({"distributed.worker.multiprocessing-method": prefork.method()}),
            # A fork has the environment of its parent, which is older than this process's.
            dask.config.set({"distributed.nanny.environ": told, prefork.UNSET: prefork.unset()}),
        ):
            yield


class Address(Deployment):
    """A scheduler that somebody started."""

    called = "an address"

    def signatures(self) -> dict[str, list[Any]]:
        """Nothing is started, so nothing takes options."""
        return {"": []}

    def check(self) -> None:
        """There must be one that Dask understands, and certificates for one with TLS."""
        if not self.config.address:
            raise _no_address("a cluster of kind 'address' needs one")
        encrypted = _scheme_of(self.config.address) in ENCRYPTED
        if encrypted and self.ssl_context() is None:
            raise ConfigError(
                f"{self.config.address} answers only to certificates.",
                where="cluster.security",
                mend="Name their files: tls_ca_file, tls_client_cert, tls_client_key.",
            )
        if self.config.security is True:
            raise ConfigError(
                "a scheduler that runs already does not know certificates made for this run.",
                where="cluster.security",
                mend="Name the files of its own: tls_ca_file, tls_client_cert, ….",
            )
        if self.security and self.security.require_encryption and not encrypted:
            raise _no_address(f"`security` is given, and {self.config.address} has none", "tls")

    @cached_property
    def options(self) -> Options:
        """The address alone."""
        return {"address": self.config.address}

    def start(self) -> Any:
        """It runs already, and goes on."""
        return self.config.address

    def log(self) -> str:
        """Of what was started elsewhere."""
        return f"Start workers with `dask worker {self.config.address}`; they print why they fail."


def _scheme_of(address: str) -> str:
    """Of an address as Dask itself reads it."""
    from distributed.comm.addressing import parse_address
    from distributed.comm.registry import get_backend

    try:
        scheme, place = parse_address(address)
        if not get_backend(scheme).get_address_host(place):
            raise ValueError(f"missing host in address {place!r}")
    except ValueError as error:
        raise _no_address(f"'{address}' is no address of a scheduler: {error}") from error
    return scheme


def _no_address(what: str, scheme: str = "tcp") -> ConfigError:
    mend = f"Such as {scheme}://{LOOPBACK}:8786."
    return ConfigError(f"{what}.", where="cluster.address", mend=mend)


class Ssh(Deployment):
    """Machines that one can log in to; the first of `hosts` has the scheduler."""

    called = "SSHCluster"
    for_each = ("connect_options",)

    def __init__(self, config: ClusterConfig) -> None:
        super().__init__(config)
        self.hosts: list[str] = config.options.get("hosts", [])
        self.heard = Heard()

    def launcher(self) -> Any:
        """Of distributed."""
        self._import("asyncssh", "asyncssh")
        from distributed import SSHCluster

        return SSHCluster

    def signatures(self) -> dict[str, list[Any]]:
        """`connect_options` are asyncssh's."""
        from distributed import SpecCluster

        ssh = self._import("asyncssh", "asyncssh")
        return {
            "": [self.launcher(), SpecCluster],
            "worker_options": workers(),
            "scheduler_options": [scheduler()],
            "connect_options": [ssh.connect, ssh.SSHClientConnectionOptions.prepare],
        }

    def check(self) -> None:
        """There must be hosts, and a scheduler that they reach."""
        if not _is_list_of_text(self.hosts) or not self.hosts:
            raise ConfigError(
                "a cluster of kind 'ssh' needs a list of hosts: their names or addresses.",
                where="cluster.options.hosts",
                mend="The first has the scheduler, the others the workers: [head, node1, node2].",
            )
        if self.config.security is True:
            raise ConfigError(
                "temporary certificates cannot travel to other machines.",
                where="cluster.security",
                mend="Name files that each of them has: tls_ca_file, tls_worker_cert, ….",
            )
        told = self.config.options.get("scheduler_options", {})
        if not self._all_here() and not {"host", "interface"} & told.keys():
            raise ConfigError(
                "the workers must reach the scheduler, and it listens on loopback unless told.",
                where="cluster.options.scheduler_options",
                mend="Give the `interface` of the private network, such as {interface: eth1}.",
            )

    def presets(self) -> Options:
        """`workers` in all; each ends itself a while after its scheduler is gone."""
        common: Options = {"dashboard_address": DASHBOARD}
        if isinstance(self.config.security, dict):
            common["security"] = with_versions(self.config.security)
        network = {"host": LOOPBACK} if self._all_here() else {}
        head = {"port": 0, "idle_timeout": IDLE} | self._listens("scheduler_options", network)
        told = self.config.options.get("scheduler_options", {})
        if "interface" in told:
            network = {"interface": told["interface"]}
        worker = self._listens("worker_options", network) | {
            "nthreads": self.config.threads,
            "memory_limit": self.config.memory,
            "death_timeout": ORPHANED,
        }
        return {
            "worker_options": common | worker,
            "scheduler_options": common | head,
            "security": self.security,
        }

    @cached_property
    def options(self) -> Options:
        """Workers are dealt out to the hosts in turn, and what is given for each host with them."""
        made = super().options
        for name in ("hosts", "connect_options", "remote_python"):
            given = made.get(name)
            if isinstance(given, list) and len(given) == len(self.hosts):
                dealt = islice(cycle(given[1:] or given), self.config.workers)
                made[name] = [given[0], *dealt]
        return made

    @contextmanager
    def surroundings(self) -> Iterator[None]:
        """Dask throws away what the other side says, but for its log."""
        logger = logging.getLogger("distributed.deploy.ssh")
        level, propagate = logger.level, logger.propagate
        logger.addHandler(self.heard)
        logger.setLevel(logging.INFO)
        logger.propagate = False
        try:
            with super().surroundings():
                yield
        finally:
            logger.removeHandler(self.heard)
            logger.setLevel(level)
            logger.propagate = propagate

    def words(self, error: Exception) -> str:
        """With the last that the other side said."""
        said = super().words(error)
        return f"{said} (the other side: {' / '.join(self.heard.lines)})" if self.heard else said

    def log(self) -> str:
        """Workers write to the connection."""
        return f"Does `ssh {self.hosts[0]}` go through without a question, and Python start there?"

    def started(self, dashboard: int | None) -> list[str]:
        """The dashboard is on the first host's loopback."""
        options = self.config.options.get("connect_options", {})
        first = options[0] if isinstance(options, list) else options
        to = [f"-p {first['port']}"] if "port" in first else []
        user = f"{first['username']}@" if "username" in first else ""
        return tunnel(dashboard, " ".join([*to, user + self.hosts[0]]))

    def _listens(self, place: str, network: Options) -> Options:
        """Where it listens, unless it is told: host and interface exclude each other."""
        told = self.config.options.get(place, {})
        return {} if {"host", "interface"} & told.keys() else network

    def _all_here(self) -> bool:
        return all(is_loopback(host) for host in self.hosts)


class Heard(logging.Handler):
    """The last lines of a log."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: deque[str] = deque(maxlen=3)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        if line := " ".join(record.getMessage().split()):
            self.lines.append(line)

    def __bool__(self) -> bool:
        return bool(self.lines)


class Slurm(Deployment):
    """Jobs of a Slurm queue; the scheduler runs in this process, on the login node."""

    called = "SLURMCluster"
    sizes = SIZES | {"cores": "threads", "memory": "memory"}
    tls_here = ("tls_ca", "tls_client", "tls_scheduler")

    def launcher(self) -> Any:
        """Of dask-jobqueue."""
        return self._import("dask_jobqueue", "dask-jobqueue").SLURMCluster

    def signatures(self) -> dict[str, list[Any]]:
        """Options that are not the cluster's own go to the jobs."""
        core = self._import("dask_jobqueue.core", "dask-jobqueue")
        job = self._import("dask_jobqueue.slurm", "dask-jobqueue").SLURMJob
        return {"": [core.JobQueueCluster, core.Job, job], "scheduler_options": [scheduler()]}

    def check(self) -> None:
        """There must be a Slurm, and a scheduler that its nodes reach."""
        import dask

        if shutil.which("sbatch") is None:
            raise ConfigError(
                "there is no `sbatch` on this machine.",
                where="cluster.kind",
                mend="Run it where jobs are submitted: on a login node of the Slurm cluster.",
            )
        self._check_values()
        told = self.config.options.get("scheduler_options", {})
        usual = dask.config.get("jobqueue.slurm.interface", None)
        if not (self.config.options.get("interface") or usual or {"host", "interface"} & {*told}):
            raise ConfigError(
                "the workers on the nodes must reach the scheduler on this machine.",
                where="cluster.options",
                mend="Name the network between them, such as {interface: ib0}; `ip -br addr`"
                " lists what there is.",
            )

    def _check_values(self) -> None:
        """Of what is counted with here, and of lists: a text would become a line per letter."""
        several = self.config.options.get("processes", 1)
        if not isinstance(several, int) or isinstance(several, bool) or several < 1:
            raise ConfigError(
                "it is to be the number of workers in a job.",
                where="cluster.options.processes",
                mend="Such as `processes: 4`, without quotes.",
            )
        for option, example in LINES.items():
            if option in self.config.options:
                _check_lines(self.config.options[option], f"cluster.options.{option}", example)

    def presets(self) -> Options:
        """A job for each worker, unless `processes` packs several into one."""
        from dask.utils import format_bytes, parse_bytes

        several = self.config.options.get("processes", 1)
        memory = self.config.memory
        if several > 1:
            memory = format_bytes(several * parse_bytes(memory)).replace(" ", "")
        return {
            "cores": several * self.config.threads,
            "memory": memory,
            "processes": 1,  # else dask-jobqueue makes four workers of eight cores
            "job_name": "fluxforge",
            "log_directory": str(Path(LOGS).resolve()),
            "shared_temp_directory": str(Path.cwd()),
            "scheduler_options": {"dashboard_address": DASHBOARD},
            "security": self.security,
        }

    @cached_property
    def options(self) -> Options:
        """Dashboards of workers go to loopback too, and jobs inherit no settings of Dask."""
        exports = [f"export {name}={value}" for name, value in as_environment(SETTINGS).items()]
        return super().options | {
            "worker_extra_args": [
                "--dashboard-address",
                DASHBOARD,
                *self._told("worker_extra_args"),
            ],
            "job_script_prologue": [*exports, *self._told("job_script_prologue")],
        }

    def _told(self, option: str) -> list[str]:
        """By the run file, or else by the user's own configuration of dask-jobqueue."""
        import dask

        name = f"jobqueue.slurm.{option.replace('_', '-')}"
        usual = dask.config.get(name, None) or []
        _check_lines(usual, name, LINES[option])
        told: list[str] = self.config.options.get(option, usual)
        return told

    def start(self) -> Any:
        """The scheduler, then the jobs: so that what `sbatch` says comes back as an exception."""
        cluster = super().start()
        for _ in range(-(-self.config.workers // self.options["processes"])):
            cluster.worker_spec.update(cluster.new_worker_spec())
        cluster.sync(cluster._correct_state)
        return cluster

    def stop(self) -> None:
        """Jobs do not say that they are closed, and the library would stop half-way for that."""
        if hasattr(self.cluster, "_created"):
            self.cluster._created.clear()
        super().stop()

    def words(self, error: Exception) -> str:
        """What the command said, without the command."""
        said = str(error).rpartition("stderr:")[2].strip()
        return " ".join(said.split()) or super().words(error)

    def log(self) -> str:
        """A file for each job."""
        folder = self.options["log_directory"]
        return f"The jobs write to {folder}; `squeue --me` lists them, `sinfo` the nodes."

    def started(self, dashboard: int | None) -> list[str]:
        """Which jobs wait."""
        jobs = self._jobs()
        what = f"{len(jobs)} Slurm jobs: {', '.join(jobs)}" if jobs else "no Slurm job"
        logs = f"{what}; their logs: {self.options['log_directory']}"
        return [logs, *tunnel(dashboard, this_machine())]

    def hopeless(self) -> str:
        """When no job is left in the queue."""
        if self.state():
            return ""
        told = self._last_words()
        return f"its jobs ended before a worker came{': ' + told if told else ''}"

    def state(self) -> str:
        """The states of the jobs, such as "3 PENDING (Resources)"; all is well if Slurm is mute."""
        command = ["squeue", "--noheader", "--format=%i|%T (%r)", f"--user={getpass.getuser()}"]
        try:
            told = subprocess.run(command, capture_output=True, text=True, timeout=SUBMISSION)
        except (OSError, subprocess.TimeoutExpired):
            return "squeue does not answer"
        if told.returncode:
            return "squeue does not answer"
        found = dict(line.split("|", 1) for line in told.stdout.splitlines())
        states = Counter(found[job] for job in self._jobs() if job in found)
        return ", ".join(f"{number} {state}" for state, number in sorted(states.items()))

    def _jobs(self) -> list[str]:
        return sorted((str(w.job_id) for w in self.cluster.workers.values() if w.job_id), key=int)

    def _last_words(self) -> str:
        """The last line that a job of this cluster wrote before it ended."""
        options = self.options
        for job in self._jobs():
            log = Path(options["log_directory"]) / f"{options['job_name']}-{job}.err"
            lines = log.read_text(errors="replace").split("\n") if log.exists() else []
            if said := [line.strip() for line in lines if line.strip()]:
                return said[-1]
        return ""


def _is_list_of_text(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _check_lines(value: object, where: str, example: str) -> None:
    if not _is_list_of_text(value):
        name = where.rpartition(".")[2]
        raise ConfigError(
            "it is to be a list of texts.", where=where, mend=f'Such as `{name}: ["{example}"]`.'
        )
