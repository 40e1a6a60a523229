"""How plain physics is made over for one dtype and one processor.

The physics modules hold plain Python functions of single numbers. `Specialiser` copies such a
function, and all that it reaches inside this package, with its numbers of one dtype and with the
processor's own elementary functions in the place of `fluxkernels.vector_math`'s. The copies are
compiled into one another: `fluxkernels.cpu` and `fluxkernels.cuda` say how.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dis import get_instructions
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any, NamedTuple

import numpy as np


class Algorithm(NamedTuple):
    """An iterative algorithm at one point, as its parts and the records they exchange.

    `prepare(x)` makes the `fixed` record from the inputs, `guess(x, fixed)` the first `state`;
    each of `steps`, called as `step(x, fixed, state)`, returns a record of those fields of the
    state that it changes. A pass is all steps in turn. `finish(x, fixed, first, state)` makes the
    outputs from the last state and from what is `kept` of the first pass. All take the options
    as a last argument.

    Short steps are fast ones: their loops run one after the other over a block of points, and
    the fewer instructions a loop has, the more of its points a processor works at side by side.
    """

    name: str
    prepare: Callable[..., Any]
    guess: Callable[..., Any]
    steps: tuple[Callable[..., Any], ...]
    finish: Callable[..., Any]
    passes: int
    inputs: type
    fixed: type
    state: type
    kept: type
    outputs: type
    options: Any


class Map(NamedTuple):
    """A function of one point, called as `function(x, options)`, that needs no iteration."""

    name: str
    function: Callable[..., Any]
    inputs: type
    outputs: type
    options: Any


class Specialiser:
    """Copies functions for one dtype and one processor; a function is copied only once.

    Parameters
    ----------
    dtype : {"float32", "float64"}
        Of every number in the copies.
    substitutes : mapping of function to function
        What to copy in the place of what.
    compiled : callable
        Compiles a copy that other copies will call.
    """

    def __init__(
        self,
        dtype: str,
        substitutes: Mapping[Callable[..., Any], Callable[..., Any]],
        compiled: Callable[[FunctionType], Any],
    ) -> None:
        self._real: Callable[[float], Any] = np.float32 if dtype == "float32" else float
        self._substitutes = substitutes
        self._compiled = compiled
        self._made: dict[Any, Any] = {}

    def __call__(self, function: Any) -> Any:
        """Compile the copy of a function, and of all that it reaches."""
        if function not in self._made:
            chosen = self._substitutes.get(function, function)
            ours = _is_ours(chosen)
            self._made[function] = self._compiled(self._copy(chosen)) if ours else chosen
        return self._made[function]

    def _copy(self, function: FunctionType) -> FunctionType:
        code = function.__code__
        constants = tuple(self._number(constant) for constant in code.co_consts)
        named = {
            step.argval: function.__globals__[step.argval]
            for step in get_instructions(code)
            if step.opname == "LOAD_GLOBAL" and step.argval in function.__globals__
        }
        scope = {name: self._value(value) for name, value in named.items()}
        return renamed(function, scope, code.replace(co_consts=constants))

    def _value(self, value: Any) -> Any:
        return self(value) if _is_ours(value) else self._number(value)

    def _number(self, value: Any) -> Any:
        if type(value) is tuple:  # of constants; options are named tuples
            return tuple(self._number(part) for part in value)
        return self._real(value) if type(value) is float else value


def _is_ours(value: Any) -> bool:
    return isinstance(value, FunctionType) and value.__module__.startswith("fluxkernels.")


def renamed(function: Any, scope: Mapping[str, Any], code: Any = None) -> FunctionType:
    """Copy a function with other globals."""
    scope = {"__builtins__": __builtins__, "__name__": function.__module__, **scope}
    copy = FunctionType(code or function.__code__, scope, function.__name__)
    copy.__defaults__ = function.__defaults__
    copy.__module__, copy.__qualname__ = function.__module__, function.__qualname__
    return copy


def key(physics: Algorithm | Map) -> str:
    """Tell apart what is compiled from the same sources; functions by name, not by address."""
    return repr([part if isinstance(part, int | str) else _label(part) for part in physics])


def _label(part: Any) -> str:
    if isinstance(part, tuple) and part and callable(part[0]):
        return " ".join(_label(one) for one in part)
    return f"{part.__module__}.{part.__qualname__}" if callable(part) else repr(part)


def keep_on_disk(dispatcher: Any, variant: tuple[str, ...]) -> None:
    """Let Numba keep what it compiles on disk, under a key that knows all of its sources.

    By itself Numba recompiles a cached function when its own file changes, but not when a function
    that it calls, in another file, does: yesterday's physics would run under today's code.
    """
    try:
        dispatcher.enable_caching()
    except RuntimeError:
        # Neither the package's folder nor the user's cache can be written to (a sealed
        # image, say): compile once in each process instead.
        return
    plain: Callable[..., tuple[Any, ...]] = dispatcher._cache._index_key
    extra = (*variant, _sources_digest())
    dispatcher._cache._index_key = lambda sig, codegen: (*plain(sig, codegen), *extra)


@cache
def _sources_digest() -> str:
    """Digest of the sources that a compiled function may have taken code from."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in sources)).hexdigest()
