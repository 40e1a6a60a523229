"""Quality checks on finished blocks, before they are stored."""

from __future__ import annotations

import numpy as np

from fluxengine.declare import Array, Arrays, Variable

SUPERSATURATED_SHARE = 0.005  # of the cells with humidity
PRESSURE = 101_300.0  # Pa


def valid_range(block: Arrays, published: tuple[Variable, ...]) -> str | None:
    """Every value lies in its variable's valid range."""
    for variable in published:
        if variable.valid_range is None or variable.is_flag:
            continue
        low, high = variable.valid_range
        values = block[variable.name].values
        bad = (values < low) | (values > high)
        if bad.any():
            return (
                f"{variable.name} = {values[bad].ravel()[0]:g} {variable.units} at"
                f" {int(bad.sum())} cells; its valid range is {low:g} to {high:g}."
            )
    return None


def below_saturation(block: Arrays, published: tuple[Variable, ...]) -> str | None:
    """Air over the sea is hardly ever supersaturated."""
    known, above = supersaturated(
        block["specific_humidity"].values, block["air_temperature"].values
    )
    if known and above > SUPERSATURATED_SHARE * known:
        return f"specific humidity is above saturation in {above} of {known} cells."
    return None


def supersaturated(humidity: Array, air_temperature: Array) -> tuple[int, int]:
    """Cells with humidity, and those of them above saturation at their air temperature."""
    from fluxkernels.thermodynamics import saturation_specific_humidity

    limit = saturation_specific_humidity(air_temperature, PRESSURE)
    return int(np.isfinite(humidity).sum()), int((humidity > limit).sum())


def states_agree(block: Arrays, published: tuple[Variable, ...]) -> str | None:
    """A flux is there exactly where its state says so."""
    from fluxrecipes.stages.states import has_value

    there = np.isfinite(block["latent_heat_flux"].values)
    told = has_value(block["flux_state"].values)
    wrong = int((there != told).sum())
    return f"{wrong} cells have a flux but no state of one, or the reverse." if wrong else None


def each_state_agrees(block: Arrays, published: tuple[Variable, ...]) -> str | None:
    """Every variable that has a state has a value exactly where its state says so."""
    from fluxrecipes.stages.states import has_value

    for variable in published:
        state = block.get(f"{variable.name}_state")
        if state is None:
            continue
        there = np.isfinite(block[variable.name].values)
        wrong = int((there != has_value(state.values)).sum())
        if wrong:
            return f"{wrong} cells of {variable.name} have a value but no state of one, or reverse."
    return None
