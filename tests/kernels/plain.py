"""An algorithm's parts run as the plain Python they are: what compiled code must agree with."""

from __future__ import annotations

from typing import Any

import numpy as np

from fluxkernels.compile import Algorithm


def solve(physics: Algorithm, x: Any, **given: float) -> tuple[Any, Any]:
    """Outputs and last state at one point; `given` replaces what was prepared."""
    options = physics.options
    x = physics.inputs(*(np.float64(value) for value in x))
    fixed = physics.prepare(x, options)._replace(**given)
    state, first = physics.guess(x, fixed, options), None
    for _ in range(physics.passes):
        for step in physics.steps:
            state = state._replace(**step(x, fixed, state, options)._asdict())
        first = first or physics.kept(*(getattr(state, name) for name in physics.kept._fields))
    return physics.finish(x, fixed, first, state, options), state
