"""Passes in the order of local time.

The map of a UTC day has a seam: at the longitude where the pass falls on midnight UTC its two
sides were seen a day apart. And of a day's two passes either may be the earlier one, depending on
longitude. By local days neither is so: what is then left is that the place a step east of 359.5°
is that at 0.5° one local day earlier, as the day number changes on the way around the globe. With
columns carried over so at both ends, distances in time are right everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Slots:
    """Where each pass of each UTC day is among the passes of local days.

    Parameters
    ----------
    hours : tuple of float
        Local solar time of each pass; one or two passes.
    longitudes : float array
        Degrees east, 0 to 360.
    pad : int
        Columns carried over at each end.
    """

    hours: tuple[float, ...]
    longitudes: Array
    pad: int

    @property
    def step(self) -> float:
        """Days from one slot to the next."""
        return 1.0 / len(self.hours)

    @property
    def order(self) -> tuple[int, ...]:
        """The passes, the day's first one first."""
        return tuple(int(k) for k in np.argsort(self.hours))

    def later(self, orbit: int) -> npt.NDArray[np.bool_]:
        """Columns whose pass of a UTC day belongs to the next local day."""
        return np.asarray(self.hours[orbit] - self.longitudes / 15.0 < 0.0)

    def arranged(self, values: Array) -> Array:
        """Passes by local time.

        Parameters
        ----------
        values : float array, shape (time, orbit, lat, lon)

        Returns
        -------
        float array, shape (slot, lat, pad + lon + pad)
            NaN where the days given hold nothing.
        """
        days, passes, rows, columns = values.shape
        slots = np.full(((days + 1) * passes, rows, columns), np.nan, values.dtype)
        for rank, orbit in enumerate(self.order):
            later = self.later(orbit)
            for shift, where in ((0, ~later), (1, later)):
                chosen = slice(shift * passes + rank, (days + shift) * passes, passes)
                slots[chosen, :, where] = values[:, orbit][..., where]
        return self._around(slots)

    def _around(self, slots: Array) -> Array:
        passes, pad = len(self.hours), self.pad
        west = np.full_like(slots[..., :pad], np.nan)
        east = west.copy()
        west[:-passes] = slots[passes:, :, -pad:]
        east[passes:] = slots[:-passes, :, :pad]
        return np.concatenate([west, slots, east], axis=-1)

    def places(self, day: int, orbit: int) -> tuple[tuple[int, npt.NDArray[np.bool_]], ...]:
        """The slots that hold a pass of a UTC day, each with the columns (of lon) it holds."""
        passes, rank = len(self.hours), self.order.index(orbit)
        later = self.later(orbit)
        return ((day * passes + rank, ~later), ((day + 1) * passes + rank, later))
