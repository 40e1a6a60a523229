"""What was there: the simulated world at the time of the pass, or observed cells, hidden."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from fluxrecipes import vocabulary as cf
from fluxrecipes.skill.fields import CAUSES, VARIABLES, Passes
from fluxrecipes.training.archive import has_value

Floats = npt.NDArray[np.floating[Any]]
Mask = npt.NDArray[np.bool_]

AIR = tuple(v.name for v in cf.NEAR_SURFACE)
_EQUATOR = 90  # row of the 1° grid whose southern edge it is


class Question(NamedTuple):
    """What fillers are given, and where they are scored.

    Parameters
    ----------
    given : Passes
        Perhaps with cells hidden.
    causes : dict of str to dict of str to bool array, shape (target, orbit, lat, lon)
        By variable and cause of the gap.
    truth : dict of str to float array, of the same shape
        By variable, NaN where it is not known.
    """

    given: Passes
    causes: Mapping[str, Mapping[str, Mask]]
    truth: Mapping[str, Floats]


class Referee(Protocol):
    """Who knows what was there."""

    def ask(self, passes: Passes, targets: tuple[int, ...], names: tuple[str, ...]) -> Question:
        """What to fill of some days, and the answers."""


@dataclass(frozen=True)
class Simulated:
    """The simulated world that the passes were made from: it knows every gap.

    Parameters
    ----------
    seed : int
    world : str, optional
        Name of its physics, as `fluxforge simulate --world` takes.
    """

    seed: int
    world: str = "standard"

    def ask(self, passes: Passes, targets: tuple[int, ...], names: tuple[str, ...]) -> Question:
        """All gaps over open sea, and the truth at the local time of the pass."""
        causes = {
            name: {
                cause: np.stack([passes.causes(name, day)[cause] for day in targets])
                for cause in CAUSES
            }
            for name in names
        }
        wanted = np.any([mask for by in causes.values() for mask in by.values()], axis=0)
        truth = self.at(passes, targets, wanted, names)
        return Question(passes, causes, truth)

    def at(
        self, passes: Passes, targets: tuple[int, ...], where: Mask, names: tuple[str, ...]
    ) -> dict[str, Floats]:
        """The truth at some cells.

        Each cell is asked at the hour at which it was seen, or would have been: by the local
        time of its orbit at its latitude.

        Parameters
        ----------
        passes : Passes
        targets : tuple of int
            Days.
        where : bool array, shape (target, orbit, lat, lon)
        names : tuple of str
            Of `VARIABLES` (wind as the 10-m equivalent neutral one) and `AIR`.

        Returns
        -------
        dict of float64 array, of the shape of `where`
            NaN elsewhere, and over land.
        """
        from fluxrecipes.nature import World, instruments, land
        from fluxrecipes.nature.fields import hours_since_epoch
        from fluxrecipes.nature.physics import WORLDS

        row = np.round(passes.latitudes - 0.5).astype(int) + _EQUATOR
        asked = where & land.sea_cells()[row]
        target, orbit, lat, lon = np.nonzero(asked)
        expected = np.mod(passes.local_hours[orbit, lat] - passes.longitudes[lon] / 15.0, 24.0)
        seen = passes.hours[np.array(targets, int)[target], orbit, lat, lon]
        starts = np.array([hours_since_epoch(passes.days[day]) for day in targets])
        hours = starts[target] + np.where(np.isfinite(seen), seen, expected)
        state = World(self.seed, WORLDS[self.world]).within(row[lat], lon, hours)
        found = {}
        for name in names:
            points = (
                instruments.neutral_wind(state)
                if name == cf.wind_speed.name
                else getattr(state, name)
            )
            values = np.full(where.shape, np.nan)
            values[asked] = points.reshape(-1, 4).mean(axis=1, dtype="f8")
            found[name] = values
        return found


@dataclass(frozen=True)
class Hidden:
    """Observed cells that are hidden: for real archives, of which nobody knows the truth.

    The gaps of another day's swath are laid over the day. Only such gaps can be borrowed: what
    rain hides is hidden by that day's own rain, and what was there is known of no such cell. The
    reference has the errors of the observations.

    Parameters
    ----------
    shift : int, optional
        Days to the other day: one whose swaths lie elsewhere.
    """

    shift: int = 2

    def ask(self, passes: Passes, targets: tuple[int, ...], names: tuple[str, ...]) -> Question:
        """Observed cells under the other day's gaps."""
        hidden = np.zeros(passes.hours.shape, bool)
        for day in targets:
            other = day + self.shift if day + self.shift < passes.days.size else day - self.shift
            if 0 <= other < passes.days.size:
                gaps = [passes.states[n][other] == cf.NO_OBSERVATION for n in VARIABLES]
                hidden[day] = np.all(gaps, axis=0)
        chosen = list(targets)
        causes = {
            name: {"swath": hidden[chosen] & has_value(passes.states[name][chosen])}
            for name in names
        }
        truth = {name: passes.values[name][chosen].astype(np.float64) for name in names}
        return Question(passes.without(hidden), causes, truth)
