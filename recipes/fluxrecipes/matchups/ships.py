"""What a ship's report errs by: told by pairs of ships in one cell at one pass.

Two reports of one cell differ by the errors of both, the distance within the cell among them. So
errors are found without any truth; what all ships err by alike is not seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from fluxkernels.thermodynamics import saturation_specific_humidity
from fluxrecipes.matchups.matching import STANDARD_PRESSURE, Matchups
from fluxrecipes.sources.reports import SHIP
from fluxrecipes.tables import Table

FEWEST = 50  # pairs: an error is known to 10 % then
HUMIDITY = "specific_humidity"
UNITS: Mapping[str, str] = {
    "air_temperature": "K",
    HUMIDITY: "share of saturation",
    "wind_speed": "m/s",
    "sensible_heat_flux": "W/m²",
    "latent_heat_flux": "W/m²",
}


class ShipErrors(NamedTuple):
    """Standard errors of a ship's reports as measures of a cell, by quantity.

    Parameters
    ----------
    pairs : int
    errors : mapping of str to float
        K, m s-1 and W m-2; of humidity a share of that of saturated air.
    """

    pairs: int
    errors: Mapping[str, float]


def of_pairs(matchups: Matchups) -> ShipErrors | None:
    """Of ships that were in one cell at one pass; None where such pairs are too few."""
    ships = matchups.at(matchups.kind == SHIP)
    place = (ships.day, ships.orbit, ships.row, ships.column)
    order = np.lexsort((ships.platform, *place))
    first, second = order[:-1], order[1:]
    together = np.logical_and.reduce([side[first] == side[second] for side in place])
    together &= ships.platform[first] != ships.platform[second]
    one, other = ships.at(first[together]), ships.at(second[together])
    if len(one) < FEWEST:
        return None
    apart = {name: getattr(one, name) - getattr(other, name) for name in UNITS}
    between = (one.air_temperature + other.air_temperature) / 2.0
    apart[HUMIDITY] /= np.asarray(saturation_specific_humidity(between, STANDARD_PRESSURE))
    errors = {name: np.sqrt(np.nanmean(np.square(d)) / 2.0) for name, d in apart.items()}
    return ShipErrors(len(one), {name: float(error) for name, error in errors.items()})


def table(found: ShipErrors) -> Table:
    """As `errors` of a train.yaml wants them."""
    return Table(
        f"Two ships in one cell ({found.pairs:,} pairs) differ as if each erred by",
        ("quantity", "#error", "unit"),
        tuple((name, f"{found.errors[name]:.3g}", units) for name, units in UNITS.items()),
    )
