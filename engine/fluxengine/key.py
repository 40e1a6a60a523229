"""Keys: everything a block's values depend on, kept in parts so that a change can be explained.

A block's key is two digests. One is over its inputs: the content of each upstream step and tile in
its window, or the bytes of its files. The other is over what *stands*, the same for every block of
a dataset: ``code``, a digest of each module reached by static imports; ``options``, the fields of
the stages, what they read under which names, and what gates judge by; ``weights``, the digest of
each weights file.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import hashlib
import importlib.util
import inspect
import itertools
import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib.machinery import ModuleSpec
from importlib.metadata import entry_points
from pathlib import Path
from types import FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from fluxengine.declare import Array, Dataset, Product, Source, Stage, Variable
from fluxengine.digest import content_digest, file_digest, json_digest
from fluxengine.errors import ConfigError, DeclarationError
from fluxengine.registry import COMMANDS, PRODUCTS, SOURCES, STYLES, TABLES

Parts = dict[str, Any]
SHORT = 16  # hex digits of a digest that are kept to explain a change
STANDING = 16  # bytes of the digest of what stands
ENGINE, OURS = "fluxengine", frozenset({"fluxrecipes", "fluxkernels"})
GROUPS = (SOURCES, TABLES, PRODUCTS, STYLES, COMMANDS)
INSTALLED = frozenset({"site-packages", "dist-packages"})  # folders of libraries


def code_digests(dataset: Dataset) -> dict[str, str]:
    """Digest of every module the dataset's values depend on, never of the engine itself."""
    return _code_of(_callables(dataset))


def _code_of(things: Iterable[Any]) -> dict[str, str]:
    things = list(things)
    homes = {_home_of(thing) for thing in things}
    own = {_package_of(home) for home in homes}
    held = {_home_of(part) for thing in things for part in _parts_of(thing)}
    counted = {h for h in held if _package_of(h) in own or not _is_library(_package_of(h))}
    return _reached(tuple(sorted(homes | counted)))


def reader_parts(calls: Iterable[Any], options: Mapping[str, Any]) -> Parts:
    """What rows depend on beside a file's bytes: the code of reader and table, and `options`."""
    called = [call for call in calls if call is not None]
    code = {name: digest[:SHORT] for name, digest in _code_of(called).items()}
    named = {f"{at} read": _decoder(call) for at, call in enumerate(called)}
    return {"code": code, "options": {**named, **options}, "weights": {}}


def options_of(dataset: Dataset) -> dict[str, Any]:
    """The science choices: each stage with its fields, in order, what is read, and the gates."""
    if isinstance(dataset, Source):
        return {"0 decode": _decoder(dataset.decode)}
    stages = {f"{i} {type(s).__name__}": _plain(s) for i, s in enumerate(dataset.stages)}
    domain = {} if dataset.domain is None else {"domain": {"is": _plain(dataset.domain)}}
    gates = {"gates": {_gate(gate): "checked" for gate in dataset.gates}}
    judged = {v.name: _judged(v) for v in dataset.variables if v.flags or v.valid_range}
    return stages | {"reads": _reads(dataset), "publishes": judged} | gates | domain


def _reads(product: Product) -> dict[str, str]:
    """What is taken of each dataset, and by which names stages know it."""
    taken: dict[str, list[str]] = {}
    for read in product.reads:
        prefixed = f" as {read.prefix}…" if read.prefix else ""
        partial = ", where there is any" if read.partial else ""
        words = f"{' '.join(sorted(read.variables))}{prefixed}{partial}"
        taken.setdefault(read.dataset.name, []).append(words)
    return {name: "; ".join(sorted(words)) for name, words in taken.items()}


def _judged(variable: Variable) -> str:
    """What a gate may judge it by: gates are given the variables themselves."""
    if variable.flags:
        return f"{sorted(variable.flags)}"
    return " to ".join(str(float(end)) for end in variable.valid_range or ())


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
    before, after = _of_same_inputs(old["options"], new["options"])
    if before != after:
        words["options"] = f"options changed: {_option_words(before, after)}"
    return words


def _of_same_inputs(*both: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """Options with what is read of the datasets that both read: one more or less is an input's."""
    if not all("reads" in options for options in both):
        return both
    shared = set.intersection(*(set(options["reads"]) for options in both))
    return tuple({**o, "reads": {name: o["reads"][name] for name in shared}} for o in both)


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
        f"{_unnumbered(n)} {before.get(n, 'absent')} → {after.get(n, 'absent')}" for n in names
    )


def _unnumbered(name: str) -> str:
    """The name of an option without the number of its stage."""
    return name.split(" ", 1)[-1] if name[:1].isdigit() else name


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
        inner = [thing.__func__, thing.__self__]
    elif isinstance(thing, Mapping):
        inner = thing.values()
    elif isinstance(thing, tuple | list | set | frozenset):
        inner = thing
    elif dataclasses.is_dataclass(thing) and not isinstance(thing, type):
        inner = [getattr(thing, f.name) for f in dataclasses.fields(thing)]
    elif callable(thing):
        inner = _taken_along(thing).values()
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
    if isinstance(value, np.ndarray) and value.dtype.hasobject:
        return _plain(value.tolist())
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
    if isinstance(value, ModuleType):
        return value.__name__
    if callable(value) and (hasattr(value, "__qualname__") or not _has_state(value)):
        name = f"{_home_of(value)}.{getattr(value, '__qualname__', type(value).__name__)}"
        taken = _taken_along(value)
        return [name, _plain(taken)] if taken else name
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, str | int | float | bool | None):
        return value
    if " at 0x" in repr(value):
        raise DeclarationError(
            f"{value!r} cannot enter a key: its text differs from process to process",
            mend="Make it a frozen dataclass.",
        )
    return str(value)


def _has_state(value: Any) -> bool:
    """Whether an object may be told from others of its class."""
    slots = any(getattr(kind, "__slots__", ()) for kind in type(value).__mro__)
    return slots or getattr(value, "__dict__", None) != {}


def _taken_along(function: Any) -> dict[str, Any]:
    """What a function has from where it was made: its closure, and the defaults of a local one."""
    if not isinstance(function, FunctionType):  # such as one whose results are kept
        function = getattr(function, "__wrapped__", None)
    if not isinstance(function, FunctionType) or _is_library(_package_of(_home_of(function))):
        return {}
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    found = {name: cell.cell_contents for name, cell in cells}
    if "<" in function.__qualname__:  # others have their defaults in the text of their module
        given = inspect.signature(function, follow_wrapped=False).parameters.values()
        found |= {p.name: p.default for p in given if p.default is not p.empty}
    found.pop("__class__", None)  # of a method that calls its parent's
    return {name: held for name, held in found.items() if held is not function}


@functools.lru_cache(maxsize=256)
def _weights_digest(path: Path, size: int, stamp: int) -> str:
    """Kept as long as size and time stay the same: training may write anew."""
    return file_digest(path)


@functools.cache
def _reached(modules: tuple[str, ...]) -> dict[str, str]:
    """Digests of `modules` and of all they import, within their own and sibling packages.

    A module that lies in no package imports what it will, but libraries.
    """
    alone, imported = _by_lone_modules(modules)
    starts = sorted({*modules, *imported})
    found = {name for name in (*modules, *alone) if _package_of(name) != ENGINE}
    packages = {_package_of(name) for name in starts}
    graph = _import_graph(tuple(sorted(p for p in packages if _is_package(p))))
    if graph is not None:
        for name in starts:
            at = name if name in graph.modules else name.rpartition(".")[0]
            if at in graph.modules:
                found |= {at, *graph.find_upstream_modules(at)}
    return {name: _module_digest(name) for name in sorted(found)}


def _by_lone_modules(modules: Iterable[str]) -> tuple[set[str], set[str]]:
    """Modules in no package, with those that they import, and what they import of packages."""
    waiting, alone = [name for name in modules if not _is_package(_package_of(name))], set()
    imported: set[str] = set()
    while waiting:
        name = waiting.pop()
        alone.add(name)
        ours = {m for m in _imports_of(name) if not _is_library(_package_of(m))}
        files = {_package_of(m) for m in ours if not _is_package(_package_of(m))}
        imported |= {m for m in ours if _package_of(m) not in files}
        waiting += files - alone - set(waiting)
    return alone, imported


def _imports_of(name: str) -> Iterator[str]:
    """What a module's text imports: modules, or things in them, as far as can be told."""
    path = _file_of(name)
    if path is None or path.suffix != ".py":
        return
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@functools.cache
def _import_graph(packages: tuple[str, ...]) -> Any:
    import grimp

    wanted = {*packages, *(p for p in OURS if _is_package(p))} - {ENGINE}
    return grimp.build_graph(*sorted(wanted), cache_dir=None) if wanted else None


def _package_of(module: str) -> str:
    return module.partition(".")[0]


def _is_package(name: str) -> bool:
    spec = _spec_of(name)
    return spec is not None and spec.submodule_search_locations is not None


@functools.cache
def _is_library(package: str) -> bool:
    """Whether it is Python's, the engine or installed, and adds nothing to fluxforge."""
    if package in OURS | _plugins() or package == "__main__":
        return False
    spec = _spec_of(package)
    if spec is None or package == ENGINE or package in sys.stdlib_module_names:
        return True
    places = [spec.origin or "", *(spec.submodule_search_locations or ())]
    return any(INSTALLED & set(Path(place).parts) for place in places)


@functools.cache
def _plugins() -> frozenset[str]:
    """Packages that add something to fluxforge."""
    entries = (entry for group in GROUPS for entry in entry_points(group=group))
    return frozenset(_package_of(entry.module) for entry in entries)


def _spec_of(name: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None


def _file_of(name: str) -> Path | None:
    spec = _spec_of(name)
    path = Path(spec.origin) if spec is not None and spec.origin else None
    return path if path is not None and path.is_file() else None


@functools.cache
def _module_digest(name: str) -> str:
    """Digest of a module's syntax tree without docstrings and comments."""
    if name == "__main__":
        raise DeclarationError(
            "a stage, gate or decoder of a script or notebook has no code to record",
            mend="Put it in a module that can be imported.",
        )
    path = _file_of(name)
    if path is None:
        return "built-in"
    if path.suffix != ".py":
        return file_digest(path)
    tree = ast.parse(path.read_bytes())
    return json_digest(ast.unparse(_without_docstrings(tree)))


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return tree
