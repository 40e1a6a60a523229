"""How physics becomes machine code: the only module that knows Numba's options.

The physics modules hold small scalar functions and mark them with `inline` or `block_loop`.
What the marks mean can change here, for another processor or another compiler, without
touching the physics.

Numba recompiles a cached function when its own file changes, but not when a function that it
calls, in another file, does: yesterday's physics would run under today's code. `block_loop`
therefore puts a digest of all the package's modules into the cache key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

from numba.core import decorators

F = TypeVar("F", bound=Callable[..., Any])

# Division by zero gives inf, as in NumPy and in the reference. No fast-math flag: the answers
# are compared with a reference bit by bit further than its flags would allow.
_SCALAR: dict[str, Any] = {"error_model": "numpy", "nogil": True}


def inline(function: F) -> F:
    """Compile a scalar function that other compiled functions call.

    It is not cached by itself: it becomes part of each `block_loop` that uses it.
    """
    return cast(F, _njit(function))


def block_loop(function: F) -> F:
    """Compile a loop over the points of a block, and keep the code on disk.

    The loop releases the GIL and shares nothing between points, so threads may each run it
    on blocks of their own.
    """
    dispatcher = _njit(function)
    try:
        dispatcher.enable_caching()
    except RuntimeError:
        # Neither the package's folder nor the user's cache can be written to (a sealed
        # image, say): compile once in each process instead.
        return cast(F, dispatcher)
    plain_key: Callable[[Any, Any], tuple[Any, ...]] = dispatcher._cache._index_key
    dispatcher._cache._index_key = lambda sig, codegen: (*plain_key(sig, codegen), _digest())
    return cast(F, dispatcher)


def _njit(function: Callable[..., Any]) -> Any:
    njit: Any = decorators.njit
    return njit(**_SCALAR)(function)


@cache
def _digest() -> str:
    """Digest of the sources that a compiled loop may have taken code from."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in sources)).hexdigest()
