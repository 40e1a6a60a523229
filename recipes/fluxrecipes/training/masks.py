"""Where a satellite would have lost a field that is known everywhere: its swaths, and rain.

Swaths are borrowed from another day. Loss to rain is not: it depends on the day's own rain, and a
net that was trained on gaps that know nothing of it would take gaps for ordinary weather.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fluxrecipes import vocabulary as cf

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]

REVOLUTION = 25.4  # degrees of longitude between two swaths of imagers in sun-synchronous orbits
NEIGHBOURS = 7  # revolutions to either side that are asked
# Classes of rain by rank: dry, then shares of the wet cells. The heaviest lose vapour and cloud.
WET_SHARES = np.array([0.0, 0.15, 0.3, 0.45, 0.6, 0.7, 0.8, 0.87, 0.93, 0.97, 0.99])


def swaths(states: Array, spacing: float) -> Mask:
    """Where a satellite looked, over land, ice and coasts too, where its maps do not tell.

    There it is taken from the neighbouring revolutions, whose swaths have the same shape: only so
    can a day's swaths be laid on a field that was turned to another longitude.

    Parameters
    ----------
    states : uint8 array, shape (..., time, orbit, lat, lon)
        Codes of `fluxrecipes.vocabulary.STATES`.
    spacing : float
        Of longitudes, degrees.

    Returns
    -------
    bool array, of the same shape
    """
    seen = (states == cf.OBSERVED) | (states == cf.NO_RETRIEVAL)
    told = ~np.isin(states, (cf.COAST, cf.SEA_ICE, cf.LAND))
    found: Mask = seen & told
    known = told.copy()
    for number in range(1, NEIGHBOURS + 1):
        shift = round(number * REVOLUTION / spacing)
        for way in (shift, -shift):
            new = ~known & np.roll(told, way, -1)
            found |= new & np.roll(seen, way, -1)
            known |= new
    return found


@dataclass(frozen=True, eq=False)
class RainLoss:
    """How likely rain is to cost the satellite each variable.

    Rain is told by its rank among the cells of a field, so that what was learned of a satellite's
    rain holds for that of a reanalysis, which rains more often and less.

    Parameters
    ----------
    edges : float array, shape (class - 1,)
        Of the classes, in rain of the complete fields, mm h-1. The first class is as good as dry.
    chances : float array, shape (variable, class)
        To be lost.
    """

    edges: Array
    chances: Array

    @property
    def wet(self) -> float:
        """Rain of the complete fields, mm h-1, above which it rains as often as the satellite saw.

        A reanalysis rains a little nearly everywhere: above nothing at all is no measure.
        """
        return float(self.edges[0])

    @classmethod
    def learned(cls, states: Array, rain: Array, complete: Array) -> RainLoss:
        """From what a satellite lost.

        Parameters
        ----------
        states : uint8 array, shape (variable, cell)
            Of cells within the swath, each observed or without a retrieval.
        rain : float array, shape (cell,)
            As observed, NaN where it was lost itself: that is the heaviest of all.
        complete : float array, shape (other cell,)
            Rain of complete fields.
        """
        heavy = np.where(np.isnan(rain), np.inf, rain)
        dry = float((heavy <= 0.0).mean())
        ranks = dry + (1.0 - dry) * WET_SHARES
        classes = np.searchsorted(_quantiles(heavy, ranks), heavy, side="left")
        number = np.bincount(classes, minlength=len(ranks) + 1)
        lost = [
            np.bincount(classes, of == cf.NO_RETRIEVAL, minlength=len(ranks) + 1) for of in states
        ]
        # Where rain itself was lost the heaviest classes are one, and those above it empty.
        told = np.maximum.accumulate(np.where(number > 0, np.arange(len(number)), 0))
        chances = (np.stack(lost) / np.maximum(number, 1))[:, told]
        return cls(_quantiles(complete, ranks), chances)

    def lost(self, rain: Array, chance: Array) -> Mask:
        """What is lost of fields.

        Parameters
        ----------
        rain : float array, of any shape
        chance : float array, of the same shape
            Uniform from 0 to 1; one for all variables, as one rain hides them all.

        Returns
        -------
        bool array, shape (variable, ...)
        """
        classes = np.searchsorted(self.edges, rain, side="left")
        return np.stack([chance < of[classes] for of in self.chances.astype(np.float32)])


def _quantiles(values: Array, ranks: Array) -> Array:
    """Values of these ranks: of the sample itself, none between two (one of which may be inf)."""
    ordered = np.sort(values)
    places = np.ceil(ranks * len(ordered) - 1e-6).astype(int) - 1  # a rank of 5 / 9 of 9 is 5
    found: Array = ordered[places.clip(0, len(ordered) - 1)]
    return found
