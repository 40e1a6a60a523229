"""What is installed: sources, products and command-line verbs, found through entry points."""

from __future__ import annotations

import difflib
import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from pydantic import BaseModel, ValidationError

from fluxengine.declare import Product, Source
from fluxengine.errors import ConfigError, UnknownName

SOURCES, PRODUCTS, COMMANDS = "fluxforge.sources", "fluxforge.products", "fluxforge.commands"


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
        raise UnknownName(f"there is no source '{name}'.", mend=suggestion(name, known))
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


def recipe(name: str) -> Recipe:
    """An installed product's recipe: a function of one argument, annotated with its options."""
    known = _found(PRODUCTS)
    if name not in known:
        raise UnknownName(f"there is no product '{name}'.", mend=suggestion(name, known))
    build = known[name].load()
    (argument,) = inspect.signature(build).parameters
    return Recipe(name, typing.get_type_hints(build)[argument], build)


def source_names() -> tuple[str, ...]:
    """Names of all installed sources."""
    return tuple(sorted(_sources()))


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
    """The nearest known name, or all of them."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, 1)
    return f"Did you mean '{near[0]}'?" if near else f"Known: {', '.join(names)}."


def config_error(error: ValidationError, where: str, model: type[BaseModel]) -> ConfigError:
    """The first complaint of a validation, in plain words."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return ConfigError(
            f"unknown key '{place}'.", where=where, mend=suggestion(place, model.model_fields)
        )
    said = first["msg"].removeprefix("Value error, ")
    return ConfigError(f"'{place}': {said}.", where=where)
