"""Run files: product, period, options, archives, prices, and profiles that say where it runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from fluxengine import place, registry
from fluxengine.errors import ConfigError
from fluxengine.place import Place, StorageOptions

# Words of what is nobody else's business, in a key or in whatever a value says.
NAMES = re.compile(
    r"secret|pass_?word|passwd|pass_?phrase|token|access_?key|api_?key|private_?key|credential",
    re.I,
)
# Before the @ of an address: who logs in where no key does, a container of Azure, nobody.
PUBLIC = r"(?<!ssh)(?<!sftp)(?<!abfs)(?<!abfss)(?<!wasb)(?<!wasbs)://(?!anonymous@[^\s@]*$)"
# What is one by its form: user or key in a URL (of ssh, a password), a signature, a header, a key.
FORMS = re.compile(
    rf"{PUBLIC}[^/\s]*@|://[^/\s:@]*:(?!\d+/)\S*@|[?&]sig=|(?<!by)(?<!over)pass="
    r"|\bbearer\s+\S+$|BEGIN [A-Z ]*PRIVATE KEY|\bAKIA[0-9A-Z]{12}",
    re.I,
)
# Places may be called by such words: a manifest that refers to a secret, a bucket.
PLACE = re.compile(r"([a-z0-9]+://)?[\w.~-]*(/[\w.~-]+)+/?|[\w.~-]+\.(ya?ml|pem)", re.I)


Model = TypeVar("Model", bound=BaseModel)


class Period(BaseModel, extra="forbid", frozen=True):
    """First and last day, both included."""

    first: date
    last: date

    @model_validator(mode="after")
    def _in_order(self) -> Period:
        if self.last < self.first:
            raise ValueError(
                f"the period ends on {self.last}, before it starts on {self.first};"
                " swap the two days or correct one"
            )
        return self


class ClusterConfig(BaseModel, extra="forbid", frozen=True):
    """Where a run computes.

    Parameters
    ----------
    kind : str
    workers, threads : int
        Workers, and threads of each.
    memory : str
        Of each worker, such as 8GiB.
    wait : float
        Seconds in which the first worker must be there, time in a queue included; later, in which
        another one must come where none is left.
    address : str, optional
        Of the scheduler, for kind `address` alone.
    security : bool or dict
        TLS between client, scheduler and workers: names of `distributed.Security`, or true for
        certificates made for this run.
    options : dict
        The names of the library that starts the cluster, checked against it.
    """

    kind: Literal["serial", "local", "address", "ssh", "slurm", "kubernetes", "coiled"] = "local"
    workers: int = Field(2, ge=1)
    threads: int = Field(1, ge=1)
    memory: str = Field("4GiB", pattern=r"^\d+(\.\d+)? ?([kMGT]i?)?B?$")
    wait: float = Field(300, gt=0)
    address: str | None = None
    security: bool | dict[str, Any] = False
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _of_this_kind(self) -> ClusterConfig:
        """Nothing that its kind would leave aside without a word."""
        if self.address is not None and self.kind != "address":
            raise ValueError(
                f"a cluster of kind '{self.kind}' takes no `address`;"
                " write `kind: address` beside it, or take it out"
            )
        if self.kind == "serial" and (self.options or self.security):
            name = "options" if self.options else "security"
            raise ValueError(
                f"kind 'serial' computes in this process and takes no `{name}`; take it out"
            )
        return self


class Profile(BaseModel, extra="forbid", frozen=True):
    """Where a run happens: never enters a key. `storage` is for stores on object storage."""

    store: str
    storage: StorageOptions = StorageOptions()
    cluster: ClusterConfig = Field(default_factory=lambda: ClusterConfig.model_validate({}))

    @property
    def place(self) -> Place:
        """Where its store lies."""
        return place.at(self.store, self.storage)


class Archive(BaseModel, extra="forbid", frozen=True):
    """Where input files are, and whether their values are copied or read where they lie."""

    root: str
    by: Literal["copy", "reference"] = "copy"


class Prices(BaseModel, extra="forbid", frozen=True):
    """What things cost, in one currency: of a plan's cost in words."""

    worker_hour: float = Field(0.0, ge=0)
    get_1000: float = Field(0.0, ge=0)
    put_1000: float = Field(0.0, ge=0)


class RunFile(BaseModel, extra="forbid", frozen=True):
    """A whole run file."""

    product: str
    period: Period | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    archives: dict[str, Archive] = Field(default_factory=dict)
    attributes: dict[str, str] = Field(default_factory=dict)
    prices: Prices | None = None
    profiles: dict[str, Profile]

    @field_validator("options", "archives", "attributes", mode="before")
    @classmethod
    def _left_empty(cls, given: Any) -> Any:
        """A key with nothing below it, or with comments alone: none of them."""
        return {} if given is None else given

    @field_validator("archives", mode="before")
    @classmethod
    def _by_root(cls, given: Any) -> Any:
        """An archive of which nothing but its root is said."""
        if not isinstance(given, dict):
            return given
        return {n: {"root": a} if isinstance(a, str) else a for n, a in given.items()}

    def profile(self, name: str | None) -> Profile:
        """A profile by name; the only or first one where none is named."""
        if name is None:
            return next(iter(self.profiles.values()))
        if name not in self.profiles:
            raise ConfigError(
                f"the run file has no profile '{name}'.",
                mend=registry.suggestion(name, self.profiles),
            )
        return self.profiles[name]


def load(path: Path) -> RunFile:
    """Read a run file; paths in it are relative to its folder.

    Raises
    ------
    ConfigError
        Naming the key that is wrong and what to do.
    """
    start = "`fluxforge products NAME --run-file` writes one to start from."
    run_file = read(path, RunFile, "run file", start)
    if not run_file.profiles:
        raise ConfigError("'profiles' is empty.", where=str(path), mend="Name at least one.")
    return _absolute(run_file, path.resolve().parent)


def read(path: Path, model: type[Model], kind: str, start: str) -> Model:
    """A YAML file that a person wrote, as its model has it.

    Parameters
    ----------
    path : Path
    model : type
    kind : str
        What it is, such as "run file".
    start : str
        How to come by one, for the error where there is none.

    Raises
    ------
    ConfigError
        FF201: it cannot be read, is no table of keys, holds a credential, or a key is wrong.
    """
    try:
        return model.model_validate(_content(path, kind, start))
    except ValidationError as error:
        raise registry.config_error(error, str(path), model) from None


def _content(path: Path, kind: str, start: str) -> dict[str, Any]:
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"cannot be read: {getattr(error, 'strerror', 'it is no text')}.",
            where=str(path),
            mend=start,
        ) from error
    try:
        written, content = yaml.compose(text, yaml.SafeLoader), yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a day that is none
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        what = getattr(error, "problem", None) or error
        raise ConfigError(f"{line}it cannot be read as YAML: {what}.", where=str(path)) from error
    _refuse_secrets(written, path)
    if not isinstance(content, dict):
        raise ConfigError(f"a {kind} is a table of keys.", where=str(path))
    return content


def _refuse_secrets(written: yaml.Node | None, path: Path) -> None:
    """Look at keys and values, not at comments: those may speak of credentials."""
    for node in _nodes(written):
        for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
            named = _is_secret(str(key.value)) and not _says_only_which(key, value)
            if named or FORMS.search(str(key.value)):
                raise _secret(key, path)
        if isinstance(node, yaml.ScalarNode) and _holds_secret(node.value):
            raise _secret(node, path)


def _nodes(written: yaml.Node | None) -> Iterator[yaml.Node]:
    """Tables, lists and values, each once and in their order; keys go with their tables."""
    waiting, seen = [written] if written else [], set[int]()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:  # a file may refer to a part of itself, even from within
            continue
        seen.add(id(node))
        yield node
        if isinstance(node, yaml.CollectionNode):
            pairs = isinstance(node, yaml.MappingNode)
            waiting += reversed([one[1] for one in node.value] if pairs else node.value)


def _is_secret(key: str) -> bool:
    return NAMES.search(key.replace("-", "_")) is not None


def _says_only_which(key: yaml.Node, value: yaml.Node) -> bool:
    """Coiled's `credentials: local` only says which ones to take."""
    return key.value == "credentials" and value.value in ("local", "null", "~", "")


def _holds_secret(value: str) -> bool:
    named = _is_secret(value) and PLACE.fullmatch(value) is None
    return named or FORMS.search(value) is not None


def _secret(node: yaml.Node, path: Path) -> ConfigError:
    return ConfigError(
        f"line {node.start_mark.line + 1} looks like a credential.",
        where=str(path),
        mend="Credentials come from the environment only: take it out of the file.",
    )


def _absolute(run_file: RunFile, base: Path) -> RunFile:
    def at(location: str) -> str:
        return location if "://" in location else str(base / Path(location).expanduser())

    def profile(given: Profile) -> Profile:
        cluster, options = given.cluster, given.cluster.options
        manifest = options.get("custom_cluster_spec")
        if isinstance(manifest, str):
            options = options | {"custom_cluster_spec": at(manifest)}
            cluster = cluster.model_copy(update={"options": options})
        return given.model_copy(update={"store": at(given.store), "cluster": cluster})

    profiles = {name: profile(given) for name, given in run_file.profiles.items()}
    archives = {n: a.model_copy(update={"root": at(a.root)}) for n, a in run_file.archives.items()}
    return run_file.model_copy(update={"profiles": profiles, "archives": archives})
