"""Variables that tell the standard errors of others.

Apart from the vocabulary, on which every input rests: what is told of errors is no reason to ingest
anything again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fluxengine.declare import Packing, Variable
from fluxrecipes.vocabulary import DIFFERENCE

_ERROR_STEPS = {"K": 0.001, "kg kg-1": 1e-6, "m s-1": 0.001, "W m-2": 0.02}


def error_of(variable: Variable, told: Mapping[str, Any] | None = None) -> Variable:
    """Standard error of a variable, in its units.

    Parameters
    ----------
    variable : Variable
    told : mapping, optional
        Attributes: what is known of these errors.
    """
    name = f"{variable.standard_name} standard_error"
    return replace(_spread(variable, "", told), standard_name=name)


def systematic_error_of(variable: Variable, told: Mapping[str, Any] | None = None) -> Variable:
    """Systematic part of the standard error of a variable, as `error_of`.

    What stays at a place through a month. It has no standard name: CF knows none.
    """
    return _spread(variable, "_systematic", told)


def _spread(variable: Variable, part: str, told: Mapping[str, Any] | None) -> Variable:
    step = _ERROR_STEPS[variable.units]
    whole = "systematic part of the standard error" if part else "standard error"
    return Variable(
        f"{variable.name}_standard_error{part}",
        variable.units,
        f"{whole} of {variable.long_name}",
        valid_range=(0.0, 32_000 * step),
        packing=Packing("i2", step, 0, -32768),
        height=variable.height,
        attrs={**(DIFFERENCE if variable.units == "K" else {}), **(told or {})},
    )


def with_error(variable: Variable) -> Variable:
    """A variable that names its standard error and the part of it, published beside it."""
    errors = (error_of(variable), systematic_error_of(variable))
    named = {"ancillary_variables": " ".join(error.name for error in errors)}
    return replace(variable, attrs={**variable.attrs, **named})
