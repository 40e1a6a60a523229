"""Numbers of a run on real input: the provider's maps as ingested, and the product made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fluxengine import registry
from fluxengine.declare import Array, Variable
from fluxengine.store import Store, open_dataset, read_published
from fluxrecipes import vocabulary as cf
from fluxrecipes.gates import supersaturated
from fluxrecipes.products.deepflux import PUBLISHED
from fluxrecipes.sources.rss import VALID

if TYPE_CHECKING:
    import xarray as xr

CODES = (251, 252, 253, 254, 255)
# The provider's name of each layer.
LAYERS = {
    "pass_time": "time",
    "sea_surface_temperature": "sst",
    "wind_speed_lf": "wind_lf",
    "wind_speed": "wind_mf",
    "water_vapour": "vapor",
    "cloud_liquid_water": "cloud",
    "rain_rate": "rain",
}


def of_real_run(store: Store, source: str) -> dict[str, Any]:
    """Counts and statistics of the input, each pass and layer, and of the product.

    Input is on the provider's own grid and in the provider's units; the product on the 1° grid, in
    the units of the published record. Means are over cells, without area weights.
    """
    passes = open_dataset(store.root, "deepflux-passes")
    orbits = [str(name) for name in passes["orbit"].values]
    product = {orbit: _product(passes.sel(orbit=orbit)) for orbit in orbits}
    product["mean"] = _product(open_dataset(store.root, "deepflux"))
    return {
        "source": source,
        "days": [str(day)[:10] for day in passes["time"].values],
        "notice": passes.attrs.get("notice", ""),
        "input": _input(store, source, orbits),
        "product": product,
    }


def _input(store: Store, source: str, orbits: list[str]) -> dict[str, Any]:
    root: Any = read_published(store, source)
    layers = [v for v in registry.source(source).provides if not v.is_flag]
    return {
        orbit: {
            LAYERS[layer.name]: _layer(
                layer, root[layer.name][:, at], root[f"{layer.name}_flag"][:, at]
            )
            for layer in layers
        }
        for at, orbit in enumerate(orbits)
    }


def _layer(layer: Variable, raw: Array, flags: Array) -> dict[str, Any]:
    """Statistics straight from the stored bytes, in the provider's unit."""
    valid = raw[flags == VALID]
    celsius = layer.units == "K"
    offset = layer.packing.offset - (cf.KELVIN if celsius else 0.0)

    def value(byte: float) -> float:
        return round(float(byte) * layer.packing.scale + offset, 9)

    found: dict[str, Any] = {"valid": int(valid.size)}
    found |= {str(code): int((flags == code).sum()) for code in CODES}
    if valid.size:
        found |= {
            "mean": value(valid.mean(dtype=np.float64)),
            "min": value(valid.min()),
            "max": value(valid.max()),
        }
    return found | {"units": "degC" if celsius else layer.units}


def _product(record: xr.Dataset) -> dict[str, Any]:
    found: dict[str, Any] = {v.name: _statistics(record[v.name]) for v in PUBLISHED}
    known, above = supersaturated(
        record["specific_humidity"].values, record["air_temperature"].values
    )
    found["specific_humidity"]["share_above_saturation"] = above / max(1, known)
    return found


def _statistics(values: xr.DataArray) -> dict[str, Any]:
    finite = values.values[np.isfinite(values.values)].astype(np.float64)
    found: dict[str, Any] = {"valid": int(finite.size)}
    if finite.size:
        found |= {"mean": finite.mean(), "min": finite.min(), "max": finite.max()}
    return found | {"units": values.attrs["units"]}
