"""Deployments: what all kinds of clusters have in common.

A kind (`cluster_kinds`) says which library starts it, what `workers`, `threads` and `memory` are
called there, and where to look when nothing comes. `options` of the run file are the library's own
names and go over these presets; most of the libraries swallow misspelt ones, so they are compared
with signatures.
"""

from __future__ import annotations

import getpass
import inspect
import signal
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fluxengine.errors import ConfigError
from fluxengine.registry import suggestion
from fluxengine.worker import KEPT_MEMORY

if TYPE_CHECKING:
    from fluxengine.config import ClusterConfig

Options = dict[str, Any]

LOOPBACK = "127.0.0.1"
IDLE = 3600  # seconds after which a scheduler elsewhere ends itself when its client was killed
ORPHANED = 60  # seconds after which a worker ends itself without a scheduler
DASHBOARD = f"{LOOPBACK}:0"  # reached through a tunnel: whoever sees a dashboard can read logs
TASKS_PER_THREAD = 2  # one computing, one waiting at the worker
# On every cluster that a run starts: `infra/decisions/0017`, `0018` and `0021` say why.
PROFILER = "distributed.worker.profile.enabled"
ENVIRONMENT = "distributed.nanny.pre-spawn-environ."  # variables that a worker begins with
SETTINGS: Options = {
    PROFILER: False,  # it can hang a worker for ever
    "distributed.scheduler.worker-saturation": float(TASKS_PER_THREAD),
    "distributed.admin.tick.interval": "500ms",
    "distributed.admin.system-monitor.gil.enabled": False,
    **{f"{ENVIRONMENT}{name}": kept for name, kept in KEPT_MEMORY.items()},
}
OURS = {"asynchronous", "loop", "security"}  # not for `options`: the run depends on them
SIZES = {  # what libraries call what the run file says beside `options`, and a plan counts with
    "n_workers": "workers",
    "threads_per_worker": "threads",
    "nthreads": "threads",
    "memory_limit": "memory",
}


class Deployment:
    """One kind of cluster, and one entry of a run file for it.

    Parameters
    ----------
    config : ClusterConfig
    """

    called: str  # what the library calls it
    tls = True  # whether `security` can be passed on
    tls_here: tuple[str, ...] = ("tls_ca", "tls_client")  # which of its files this machine reads
    sizes: Mapping[str, str] = SIZES
    for_each: tuple[str, ...] = ()  # tables in `options` that may be lists of them

    def __init__(self, config: ClusterConfig) -> None:
        self.config = config
        self.kind = config.kind
        self.cluster: Any = None  # from the moment it begins to start

    # --- what each kind says of itself

    def launcher(self) -> Any:
        """The class or function that starts it, imported only now."""
        raise NotImplementedError

    def signatures(self) -> dict[str, list[Any]]:
        """What takes the options, by place: '' for the options themselves, or a name in them."""
        raise NotImplementedError

    def presets(self) -> Options:
        """The library's names for what the run file says, and safer defaults than its own."""
        raise NotImplementedError

    def check(self) -> None:
        """Refuse what cannot work, before anything starts."""

    def prepare(self) -> None:
        """Begin what makes workers start sooner, though it is not known yet if they are needed."""

    def log(self) -> str:
        """How to see the log of workers that do not come."""
        return ""

    def started(self, dashboard: int | None) -> list[str]:
        """What to tell when the scheduler runs."""
        return []

    def state(self) -> str:
        """What its workers wait for, where that can be known."""
        return ""

    def hopeless(self) -> str:
        """Why no worker will come any more, or nothing."""
        return ""

    def words(self, error: Exception) -> str:
        """What the library said, and what was behind it, in one line."""
        said, behind = _one_line(error), _one_line(_first_cause(error))
        if not said:
            return behind or type(error).__name__
        return said if behind in said else f"{said.rstrip('.')} ({behind})"

    # --- what all have in common

    def start(self) -> Any:
        """Start it. May take long, or for ever: it can be stopped half-made."""
        library, options = self.launcher(), self.options
        if isinstance(library, type):  # as a call does, but known before it is ready
            self.cluster = object.__new__(library)
            self.cluster.__init__(**options)
        else:
            self.cluster = library(**options)
        return self.cluster

    def stop(self) -> None:
        """End all that was started."""
        if hasattr(self.cluster, "_loop_runner"):  # else nothing has begun
            self.cluster.close()

    @contextmanager
    def surroundings(self) -> Iterator[None]:
        """What must hold from before it starts until it ended."""
        import dask
        import distributed  # noqa: F401  (first: what it adds to the settings would go with ours)

        with dask.config.set(SETTINGS):
            yield

    @cached_property
    def options(self) -> Options:
        """Presets, and over them the options of the run file, tables merged."""
        return merged(self.presets(), self.config.options)

    def checked(self) -> Deployment:
        """Itself, once every name and value that can be looked at was.

        Raises
        ------
        ConfigError
            Naming the option, and the nearest right one.
        """
        for place, takers in self.signatures().items():
            self._check_names(place, takers)
        if self.config.security and not self.tls:
            raise ConfigError(
                f"a cluster of kind '{self.kind}' takes no `security`: it has its own.",
                where="cluster.security",
                mend="Take it out.",
            )
        self._check_certificates()
        self.check()
        return self

    @cached_property
    def security(self) -> Any:
        """TLS of this cluster: distributed's own `Security`, or nothing."""
        from distributed import Security

        given = self.config.security
        if not given:
            return None
        try:
            return Security.temporary() if given is True else Security(**with_versions(given))
        except (TypeError, ValueError) as error:
            known = sorted(set(Security.__slots__))
            raise ConfigError(
                f"{error}.", where="cluster.security", mend=f"Known: {', '.join(known)}."
            ) from error

    def _check_certificates(self) -> None:
        """Refuse files of certificates that are not there, or are none."""
        given = self.config.security if self.security else {}
        for name, file in given.items() if isinstance(given, dict) else ():
            in_place = "\n" in str(file)  # distributed takes the text of a file too
            if name.startswith(self.tls_here) and not (in_place or Path(str(file)).is_file()):
                raise ConfigError(
                    f"there is no file {file}.",
                    where=f"cluster.security.{name}",
                    mend="Give its path on this machine.",
                )
        try:
            self.ssl_context()
        except OSError as error:
            raise ConfigError(
                f"the certificates cannot be used: {error}.",
                where="cluster.security",
                mend="It needs files in PEM format, and the key of each certificate.",
            ) from error

    def ssl_context(self) -> Any:
        """What this process shows of itself, or nothing; Dask's own configuration may name it."""
        from distributed import Security

        return (self.security or Security()).get_connection_args("client")["ssl_context"]

    def _check_names(self, place: str, takers: list[Any]) -> None:
        known = {p for taker in takers for p in inspect.signature(taker).parameters} - OURS
        where = ".".join(filter(None, ("cluster.options", place)))
        for name in (name for table in self._tables(place) for name in table):
            if takers and name in self.sizes:
                raise ConfigError(
                    f"{name}: the profile itself says that, and what it says would be left aside.",
                    where=where,
                    mend=f"Write `{self.sizes[name]}` beside `options`.",
                )
            if name not in known:
                mend = _mend(name, known, self.sizes)
                raise ConfigError(f"{self.called} has no option {name}.", where=where, mend=mend)

    def _tables(self, place: str) -> list[Mapping[str, Any]]:
        """The options, or those at a place within them: a table, or where it may be a list, many.

        Raises
        ------
        ConfigError
            Where it is something else, or a key with nothing below it.
        """
        if not place:
            return [self.config.options]
        within = self.config.options.get(place, {})
        tables = within if place in self.for_each and isinstance(within, list) else [within]
        if not all(isinstance(table, Mapping) for table in tables):
            raise ConfigError(
                "it is to be a table of options.",
                where=f"cluster.options.{place}",
                mend=f"Such as `{place}: {{name: value}}`, or take it out.",
            )
        return tables

    def _import(self, module: str, package: str) -> Any:
        try:
            with ctrl_c_kept():
                return import_module(module)
        except ImportError as error:
            raise ConfigError(
                f"a cluster of kind '{self.kind}' needs {package}: {error}.",
                where="cluster.kind",
                mend="pip install 'fluxforge[clusters]'",
            ) from error


@contextmanager
def ctrl_c_kept() -> Iterator[None]:
    """Importing dask-jobqueue makes Ctrl-C end the process with exit code 0: take that back."""
    before = signal.getsignal(signal.SIGINT)
    yield
    if signal.getsignal(signal.SIGINT) is not before:
        signal.signal(signal.SIGINT, before)


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> Options:
    """Two tables of options, those `above` first; tables within them are merged alike."""
    both = {**below, **above}
    for name in below.keys() & above.keys():
        if isinstance(below[name], Mapping) and isinstance(above[name], Mapping):
            both[name] = merged(below[name], above[name])
    return both


def with_versions(security: Mapping[str, Any]) -> Options:
    """What Dask's `Security` takes, for versions as its configuration has them: 1.2 and 1.3."""
    import ssl

    known = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
    made = dict(security)
    for name in made.keys() & {"tls_min_version", "tls_max_version"}:
        made[name] = known.get(str(made[name]), made[name])
    return made


def as_environment(settings: Mapping[str, Any]) -> dict[str, str]:
    """Settings of Dask as variables of the environment, for processes that do not inherit them."""
    return {_variable(name): str(value) for name, value in settings.items()}


def _variable(name: str) -> str:
    if name.startswith(ENVIRONMENT):
        return name.removeprefix(ENVIRONMENT)
    return "DASK_" + name.replace(".", "__").replace("-", "_").upper()


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _first_cause(error: BaseException) -> BaseException:
    """What began it: libraries say only that something did not start."""
    seen = [error]
    while (cause := seen[-1].__cause__) is not None and cause not in seen:
        seen.append(cause)
    return seen[-1]


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it."""
    return host in ("localhost", "::1") or host.startswith("127.")


def tunnel(port: int | None, to: str) -> list[str]:
    """How to see a dashboard that listens on another machine's loopback."""
    if port is None:
        return []
    return [
        f"dashboard: http://{LOOPBACK}:{port}/status, from elsewhere after"
        f" `ssh -N -L {port}:{LOOPBACK}:{port} {to}`"
    ]


def this_machine() -> str:
    """User and host, as one would write them after `ssh`."""
    return f"{getpass.getuser()}@{socket.gethostname()}"


def _mend(name: str, known: set[str], sizes: Mapping[str, str]) -> str:
    if name in OURS:
        return "Write `security` beside `options`." if name == "security" else "Take it out."
    near = get_close_matches(name, sorted({*known, *sizes}), 1)
    if known and near and near[0] in sizes:
        return f"Write `{sizes[near[0]]}` beside `options`."
    return suggestion(name, known) if known else "It takes none."


def workers() -> list[Any]:
    """What takes options of workers."""
    from distributed import Nanny, Worker

    return [Nanny, Worker]


def scheduler() -> Any:
    """What takes options of schedulers."""
    from distributed import Scheduler

    return Scheduler
