"""Arrays in, arrays out: air-sea physics without files, stores or clusters.

``import fluxkernels`` is light: nothing is compiled, and no compiler is imported, before a
public name is used.

Examples
--------
>>> from fluxkernels import bulk_flux
>>> flux = bulk_flux(8.0, 300.15, 298.65, 0.0165)
>>> round(float(flux.latent), 1)
146.5
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fluxkernels.bulk import bulk_flux
    from fluxkernels.derivatives import bulk_flux_derivatives
    from fluxkernels.errors import KernelError
    from fluxkernels.fluxes import BulkFlux
    from fluxkernels.series import WarmLayer, bulk_flux_series
    from fluxkernels.thermodynamics import (
        air_density,
        dew_point,
        latent_heat_of_vaporisation,
        relative_humidity,
        saturation_specific_humidity,
        saturation_vapour_pressure,
        specific_humidity,
        wet_bulb_temperature,
    )

__all__ = [
    "BulkFlux",
    "KernelError",
    "WarmLayer",
    "air_density",
    "bulk_flux",
    "bulk_flux_derivatives",
    "bulk_flux_series",
    "dew_point",
    "latent_heat_of_vaporisation",
    "relative_humidity",
    "saturation_specific_humidity",
    "saturation_vapour_pressure",
    "specific_humidity",
    "wet_bulb_temperature",
]

_HOME = {
    "BulkFlux": "fluxes",
    "KernelError": "errors",
    "WarmLayer": "series",
    "air_density": "thermodynamics",
    "bulk_flux": "bulk",
    "bulk_flux_derivatives": "derivatives",
    "bulk_flux_series": "series",
    "dew_point": "thermodynamics",
    "latent_heat_of_vaporisation": "thermodynamics",
    "relative_humidity": "thermodynamics",
    "saturation_specific_humidity": "thermodynamics",
    "saturation_vapour_pressure": "thermodynamics",
    "specific_humidity": "thermodynamics",
    "wet_bulb_temperature": "thermodynamics",
}


def __getattr__(name: str) -> Any:
    """Import the module behind a public name when it is first asked for."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, the ones not yet imported included."""
    return sorted({*globals(), *__all__})
