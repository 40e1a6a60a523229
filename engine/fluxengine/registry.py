"""What is installed: sources, tables, products, styles and verbs, found through entry points."""

from __future__ import annotations

import difflib
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from fluxengine.declare import Product, Source
from fluxengine.errors import ConfigError, DeclarationError, UnknownName
from fluxengine.styles import Style
from fluxengine.tables import Table

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

SOURCES, PRODUCTS, COMMANDS = "fluxforge.sources", "fluxforge.products", "fluxforge.commands"
TABLES, STYLES = "fluxforge.tables", "fluxforge.styles"


@dataclass(frozen=True)
class Recipe:
    """A product before its options are chosen.

    Parameters
    ----------
    name : str
    options : type
        Pydantic model of the science choices.
    build : callable
        From options to the product.
    """

    name: str
    options: type[BaseModel]
    build: Callable[[Any], Product]

    def product(self, chosen: Mapping[str, Any]) -> Product:
        """The product with some options chosen, the others at their defaults.

        Raises
        ------
        ConfigError
            Naming an unknown option or a value that does not fit.
        """
        try:
            options = self.options.model_validate(dict(chosen))
        except ValidationError as error:
            raise config_error(error, f"options of {self.name}", self.options) from None
        return self.build(options)


def source(name: str) -> Source:
    """An installed source."""
    known = _sources()
    if name not in known:
        if name in table_names():
            mend = "`fluxforge sources` lists the sources."
            raise UnknownName(f"'{name}' is a table of reports, no source.", mend=mend)
        near = suggestion(name, [*known, *table_names()])
        raise UnknownName(f"there is no source '{name}'.", mend=near)
    return known[name]


@cache
def _sources() -> dict[str, Source]:
    """An entry point gives one source, or a family of them by name."""
    found: dict[str, Source] = {}
    for entry in _found(SOURCES).values():
        loaded = entry.load()
        family = [loaded] if isinstance(loaded, Source) else loaded.values()
        found |= {one.name: one for one in family}
    return found


def table(name: str) -> Table:
    """An installed table of reports."""
    known = _found(TABLES)
    if name not in known:
        raise UnknownName(f"there is no table '{name}'.", mend=suggestion(name, known))
    found = known[name].load()
    if not isinstance(found, Table) or found.name != name:
        raise DeclarationError(f"this is no table called '{name}'", where=known[name].value)
    return found


def table_names() -> tuple[str, ...]:
    """Names of all installed tables; none is loaded."""
    return tuple(sorted(_found(TABLES)))


def style(name: str) -> Style:
    """An installed style of files.

    Raises
    ------
    UnknownName
        Naming those that are installed.
    """
    known = _found(STYLES)
    if name not in known:
        mend = f"Known: {', '.join(sorted(known)) or 'none'}."
        raise UnknownName(f"there is no style '{name}'.", where="--style", mend=mend)
    found = known[name].load()
    if not isinstance(found, Style) or found.name != name:
        raise DeclarationError(f"this is no style called '{name}'", where=known[name].value)
    return found


def recipe(name: str) -> Recipe:
    """An installed product's recipe: a function of its options, which the annotation names."""
    known = _found(PRODUCTS)
    if name not in known:
        raise UnknownName(f"there is no product '{name}'.", mend=suggestion(name, known))
    build = known[name].load()
    options = typing.get_type_hints(build).get(next(iter(inspect.signature(build).parameters), ""))
    if not _is_model(options):
        raise DeclarationError(
            f"the product '{name}' must be a function whose first argument is annotated with a"
            " pydantic model of its options",
            where=known[name].value,
        )
    return Recipe(name, options, build)


def source_names() -> tuple[str, ...]:
    """Names of all installed sources."""
    return tuple(sorted(_sources()))


def archive_names() -> frozenset[str]:
    """Archives that installed sources and feeds of tables are read from."""
    of_feeds = {feed.archive for name in table_names() for feed in table(name).feeds}
    return frozenset({one.archive for one in _sources().values()} | of_feeds)


def product_names() -> tuple[str, ...]:
    """Names of all installed products."""
    return tuple(sorted(_found(PRODUCTS)))


def commands() -> dict[str, EntryPoint]:
    """Verbs that recipes add to the command line; not loaded."""
    return _found(COMMANDS)


@cache
def _found(group: str) -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=group)}


def suggestion(name: str, known: typing.Iterable[str]) -> str:
    """The nearest known name, however it is capitalised, or all of them."""
    names = sorted(set(known) - {name})
    small = {one.lower(): one for one in names}
    near = difflib.get_close_matches(name.lower(), small, 1)
    return f"Did you mean '{small[near[0]]}'?" if near else f"Known: {', '.join(names)}."


def config_error(error: ValidationError, where: str, model: type[BaseModel]) -> ConfigError:
    """The first complaint of a validation, in plain words."""
    said = error.errors()
    # A misspelt key comes with the complaint that the right one is missing: that one explains less.
    first = next((e for e in said if e["type"] == "extra_forbidden"), said[0])
    *above, name = first["loc"] or ("",)
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        mend = suggestion(str(name), _keys(model, above))
        return ConfigError(f"unknown key '{place}'.", where=where, mend=mend)
    if first["type"] == "missing":
        return ConfigError(f"the key '{place}' is missing.", where=where, mend="Add it.")
    what = _plain(first, _example(_default(model, first["loc"])))
    return ConfigError(f"'{place}': {what}.", where=where)


def _plain(said: ErrorDetails, example: str) -> str:
    """A complaint in plain words."""
    such = f", such as {example}" if example else ""
    if said["type"] in ("tuple_type", "list_type"):
        return f"it is to be a list{such or ', in brackets'}"
    if said["type"] == "too_short":
        least = said["ctx"]["min_length"]
        return f"it needs at least {least} {'entry' if least == 1 else 'entries'}{such}"
    if said["type"] == "string_pattern_mismatch" and example:
        return f"'{said['input']}' is not written as it should be{such}"
    return said["msg"].removeprefix("Value error, ")


def _example(default: object) -> str:
    """A default as a run file has it, of several entries the first; empty where it has none."""
    if isinstance(default, tuple | list):
        return f"[{default[0]}]" if default else ""
    return str(default) if isinstance(default, str | int | float) else ""


def _default(model: type[BaseModel], path: typing.Iterable[int | str]) -> object:
    """The default at a place within a model; None where there is none."""
    *above, name = path or ("",)
    level = _level(model, above)
    field = level.model_fields.get(str(name)) if _is_model(level) else None
    if field is None or field.is_required():
        return None
    return field.get_default(call_default_factory=False)


def _keys(model: type[BaseModel], path: typing.Iterable[int | str]) -> list[str]:
    """Keys that are known at a place within a model."""
    level = _level(model, path)
    return list(level.model_fields) if _is_model(level) else []


def _level(model: type[BaseModel], path: typing.Iterable[int | str]) -> Any:
    """What is declared at a place within a model, itself a model where it has keys."""
    level: Any = model
    for part in path:
        if _is_model(level):
            field = level.model_fields.get(str(part))
            level = None if field is None else field.annotation
        else:  # a table: its values
            level = next(reversed(typing.get_args(level)), None)
        if isinstance(level, types.UnionType):  # a model, or nothing
            level = next(filter(_is_model, typing.get_args(level)), level)
    return level


def _is_model(kind: Any) -> typing.TypeGuard[type[BaseModel]]:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
