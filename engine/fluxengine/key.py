"""Keys: everything a block's values depend on, kept in parts so that a change can be explained.

A block's key is two digests. One is over its inputs: the content of each upstream step and tile in
its window, or the bytes of its files. The other is over what *stands*, the same for every block of
a dataset: ``code``, a digest of each module reached by static imports; ``options``, the fields of
the stages; ``weights``, the digest of each weights file.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import hashlib
import importlib.util
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MethodType
from typing import Any

import numpy as np

from fluxengine.declare import Array, Dataset, Source, Stage, Variable
from fluxengine.digest import content_digest, file_digest, json_digest
from fluxengine.errors import ConfigError, DeclarationError

Parts = dict[str, Any]
SHORT = 16  # hex digits of a digest that are kept to explain a change
STANDING = 16  # bytes of the digest of what stands
ENGINE = "fluxengine"


def code_digests(dataset: Dataset) -> dict[str, str]:
    """Digest of every module the dataset's values depend on, never of the engine itself."""
    return _code_of(_callables(dataset))


def _code_of(things: Iterable[Any]) -> dict[str, str]:
    things = list(things)
    homes = {_home_of(thing) for thing in things}
    packages = {home.partition(".")[0] for home in homes} | {"fluxrecipes", "fluxkernels"}
    held = {_home_of(part) for thing in things for part in _parts_of(thing)}
    return _reached(tuple(sorted(homes | {h for h in held if h.partition(".")[0] in packages})))


def reader_parts(calls: Iterable[Any], options: Mapping[str, Any]) -> Parts:
    """What rows depend on beside a file's bytes: the code of reader and table, and `options`."""
    called = [call for call in calls if call is not None]
    code = {name: digest[:SHORT] for name, digest in _code_of(called).items()}
    named = {f"{at} read": _decoder(call) for at, call in enumerate(called)}
    return {"code": code, "options": {**named, **options}, "weights": {}}


def options_of(dataset: Dataset) -> dict[str, Any]:
    """The science choices: each stage with its fields, in order, and the gates."""
    if isinstance(dataset, Source):
        return {"0 decode": _decoder(dataset.decode)}
    stages = {f"{i} {type(s).__name__}": _plain(s) for i, s in enumerate(dataset.stages)}
    domain = {} if dataset.domain is None else {"domain": {"is": _plain(dataset.domain)}}
    return stages | {"gates": {_gate(gate): "checked" for gate in dataset.gates}} | domain


def _gate(gate: Any) -> str:
    plain = _plain(gate)
    if not isinstance(plain, dict):
        return str(plain)
    fields = ", ".join(f"{name}={value}" for name, value in plain.items())
    return f"{type(gate).__qualname__}({fields})"


def _decoder(decode: Any) -> dict[str, Any]:
    """A decoder with what it is bound to: a family of sources shares one function."""
    plain = _plain(decode)
    if isinstance(plain, list) and isinstance(plain[-1], Mapping):
        return {"by": plain[:-1], **plain[-1]}
    return {"by": plain}


def weights_of(dataset: Dataset) -> dict[str, str]:
    """Digest of each weights file, by name."""
    stages = () if isinstance(dataset, Source) else dataset.stages
    found: dict[str, str] = {}
    for stage in stages:
        for name, digest in weights_of_stage(stage).items():
            found[_unused(name, found)] = digest
    return found


def weights_of_stage(stage: Stage) -> dict[str, str]:
    """Digest of each of one stage's weights files, by name."""
    found: dict[str, str] = {}
    for path in stage.weights:
        try:
            state = path.stat()
        except OSError as error:
            raise ConfigError(
                f"the weights of {type(stage).__name__} cannot be read: {error.strerror}.",
                where=str(path),
                mend="`fluxforge train` makes them; each worker needs the file at this path.",
            ) from error
        digest = _weights_digest(path, state.st_size, state.st_mtime_ns)
        found[_unused(path.name, found)] = digest
    return found


def _unused(name: str, taken: Mapping[str, str]) -> str:
    """The name, numbered where another folder's file has it already."""
    numbered = (f"{name} #{number}" for number in itertools.count(2))
    return next(n for n in itertools.chain([name], numbered) if n not in taken)


def standing_parts(dataset: Dataset) -> Parts:
    """The parts of the key that are the same for every block."""
    return {
        "code": {name: digest[:SHORT] for name, digest in code_digests(dataset).items()},
        "options": options_of(dataset),
        "weights": {name: digest[:SHORT] for name, digest in weights_of(dataset).items()},
    }


def standing_digest(parts: Parts) -> bytes:
    """Digest of what is the same for every block of a dataset."""
    return bytes.fromhex(json_digest(parts))[:STANDING]


def block_key(standing: bytes, inputs: bytes) -> str:
    """Key of a block, in hex."""
    return hashlib.sha256(standing + inputs).hexdigest()


def of_files(digests: Array) -> bytes:
    """Digest of a source block's inputs, from those of its files, shape (steps, 32)."""
    return hashlib.sha256(digests.tobytes()).digest()


def changed(old: Parts, new: Parts) -> dict[str, str]:
    """What stands otherwise than before, in words: under ``weights``, ``code``, ``options``."""
    words = {}
    for name in ("weights", "code"):
        differing = _differing(old[name], new[name])
        if differing:
            words[name] = f"{name} changed: {listed(differing)}"
    if old["options"] != new["options"]:
        words["options"] = f"options changed: {_option_words(old['options'], new['options'])}"
    return words


def listed(names: Iterable[str], at_most: int = 4) -> str:
    """Names in a sentence: all of a few, else the first, the last and how many."""
    ordered = sorted(names)
    if len(ordered) <= at_most:
        return ", ".join(ordered)
    return f"{ordered[0]} … {ordered[-1]} ({len(ordered)})"


def _differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    return sorted(name for name in {*old, *new} if old.get(name) != new.get(name))


def _option_words(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    def flat(stages: Mapping[str, Any]) -> dict[str, Any]:
        return {f"{s}.{f}": v for s, fields in stages.items() for f, v in fields.items()}

    before, after = flat(old), flat(new)
    names = _differing(before, after)
    return ", ".join(
        f"{n.split(' ', 1)[-1]} {before.get(n, 'absent')} → {after.get(n, 'absent')}" for n in names
    )


def _callables(dataset: Dataset) -> Iterable[Any]:
    if isinstance(dataset, Source):
        return [dataset.decode]
    return [*dataset.stages, *dataset.gates, *([dataset.domain] if dataset.domain else [])]


def _parts_of(thing: Any) -> Iterator[Any]:
    """Everything with code of its own that a stage, a gate or a decoder holds."""
    yield thing
    inner: Iterable[Any] = ()
    if isinstance(thing, functools.partial):
        inner = [thing.func, *thing.args, *thing.keywords.values()]
    elif isinstance(thing, MethodType):
        inner = [thing.__self__]
    elif isinstance(thing, Mapping):
        inner = thing.values()
    elif isinstance(thing, tuple | list | set | frozenset):
        inner = thing
    elif dataclasses.is_dataclass(thing) and not isinstance(thing, type):
        inner = [getattr(thing, f.name) for f in dataclasses.fields(thing)]
    for part in inner:
        yield from _parts_of(part)


def _home_of(thing: Any) -> str:
    while isinstance(thing, functools.partial):
        thing = thing.func
    module: str = getattr(thing, "__module__", "") or type(thing).__module__
    return module


def _plain(value: Any) -> Any:
    """A declaration as JSON-able data."""
    if isinstance(value, Variable):
        return value.name
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        keyed = [f.name for f in dataclasses.fields(value) if f.metadata.get("keyed", True)]
        return {name: _plain(getattr(value, name)) for name in keyed}
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    if isinstance(value, set | frozenset):
        return sorted((_plain(v) for v in value), key=str)
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{value.shape} {content_digest({'': value}).hex()[:SHORT]}"
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, Path):
        return value.name  # where it lies may differ from machine to machine
    if isinstance(value, functools.partial):
        return [_plain(value.func), _plain(value.args), _plain(value.keywords)]
    if isinstance(value, MethodType):
        return [_plain(value.__func__), _plain(value.__self__)]
    if callable(value):
        return f"{_home_of(value)}.{getattr(value, '__qualname__', type(value).__name__)}"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, str | int | float | bool | None):
        return value
    if repr(value) == object.__repr__(value):
        raise DeclarationError(
            f"{value!r} cannot enter a key: its text differs from process to process",
            mend="Make it a frozen dataclass.",
        )
    return str(value)


@functools.lru_cache(maxsize=256)
def _weights_digest(path: Path, size: int, stamp: int) -> str:
    """Kept as long as size and time stay the same: training may write anew."""
    return file_digest(path)


@functools.cache
def _reached(modules: tuple[str, ...]) -> dict[str, str]:
    """Digests of `modules` and of all they import, within their own and sibling packages."""
    packages = sorted({name.partition(".")[0] for name in modules})
    found = {name for name in modules if name.partition(".")[0] != ENGINE}
    graph = _import_graph(tuple(p for p in packages if _is_package(p)))
    if graph is not None:
        for name in modules:
            if name in graph.modules:
                found |= graph.find_upstream_modules(name)
    return {name: _module_digest(name) for name in sorted(found)}


@functools.cache
def _import_graph(packages: tuple[str, ...]) -> Any:
    import grimp

    wanted = {*packages, *(p for p in ("fluxrecipes", "fluxkernels") if _is_package(p))} - {ENGINE}
    return grimp.build_graph(*sorted(wanted), cache_dir=None) if wanted else None


def _is_package(name: str) -> bool:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return False
    return spec is not None and spec.submodule_search_locations is not None


@functools.cache
def _module_digest(name: str) -> str:
    """Digest of a module's syntax tree without docstrings and comments."""
    if name == "__main__":
        raise DeclarationError(
            "a stage, gate or decoder of a script or notebook has no code to record",
            mend="Put it in a module that can be imported.",
        )
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.origin or not Path(spec.origin).is_file():
        return "built-in"
    if not spec.origin.endswith(".py"):
        return file_digest(Path(spec.origin))
    tree = ast.parse(Path(spec.origin).read_bytes())
    return json_digest(ast.unparse(_without_docstrings(tree)))


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return tree
