"""What was there: the simulated world at the time of the pass, or observed cells, hidden."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from fluxrecipes import vocabulary as cf
from fluxrecipes.constellation import codes
from fluxrecipes.skill.fields import CAUSES, VARIABLES, Passes
from fluxrecipes.training.archive import has_value

if TYPE_CHECKING:
    from fluxrecipes.nature.weather import State
    from fluxrecipes.nature.world import World

Floats = npt.NDArray[np.floating[Any]]
Mask = npt.NDArray[np.bool_]

AIR = tuple(v.name for v in cf.NEAR_SURFACE)
FLUXES = tuple(v.name for v in cf.FLUXES)
WIND_ERROR = "conditional_wind_error"  # m s-1: what a correction of the satellite's wind may learn
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
        self,
        passes: Passes,
        targets: tuple[int, ...],
        where: Mask,
        names: tuple[str, ...],
        satellite: npt.NDArray[np.uint8] | None = None,
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
            Of `VARIABLES` (wind as the 10-m equivalent neutral one), `AIR`, `FLUXES`, sea surface
            temperature; and `WIND_ERROR`.
        satellite : uint8 array, of the shape of `where`, optional
            Whose `WIND_ERROR` is asked: codes of `fluxrecipes.constellation`.

        Returns
        -------
        dict of float64 array, of the shape of `where`
            NaN elsewhere, over land, and where a satellite is none of the simulated ones.
        """
        from fluxrecipes.nature import World, land
        from fluxrecipes.nature.fields import hours_since_epoch
        from fluxrecipes.nature.physics import WORLDS

        row = np.round(passes.latitudes - 0.5).astype(int) + _EQUATOR
        asked = where & land.sea_cells()[row]
        target, orbit, lat, lon = np.nonzero(asked)
        expected = np.mod(passes.local_hours[orbit, lat] - passes.longitudes[lon] / 15.0, 24.0)
        seen = passes.hours[np.array(targets, int)[target], orbit, lat, lon]
        starts = np.array([hours_since_epoch(passes.days[day]) for day in targets])
        hours = starts[target] + np.where(np.isfinite(seen), seen, expected)
        world = World(self.seed, WORLDS[self.world])
        state = world.within(row[lat], lon, hours)
        means = {n: _mean(state, n) for n in names if n not in (*FLUXES, WIND_ERROR)}
        if set(FLUXES) & set(names):
            means |= _fluxes(state, passes.latitudes[lat])
        if WIND_ERROR in names:
            assert satellite is not None, "whose error it is must be said"
            means[WIND_ERROR] = _wind_error(world, state, satellite[asked])
        found = {}
        for name in names:
            found[name] = np.full(where.shape, np.nan)
            found[name][asked] = means[name]
        return found


def _mean(state: State, name: str) -> Floats:
    """Mean of each cell, whose four points stand together."""
    from fluxrecipes.nature import instruments

    neutral = name == cf.wind_speed.name
    return _of_cells(instruments.neutral_wind(state) if neutral else getattr(state, name))


def _of_cells(points: Floats) -> Floats:
    mean: Floats = points.reshape(-1, 4).mean(axis=1, dtype="f8")
    return mean


def _fluxes(state: State, latitudes: Floats) -> dict[str, Floats]:
    """From the wind itself and the pressure of the day, which the record does not know."""
    from fluxrecipes.nature.world import fluxes_of_cells

    names = (cf.sea_surface_temperature.name, *AIR, "surface_pressure")
    means = {name: _mean(state, name) for name in names}
    return fluxes_of_cells(means | {"wind_speed": _of_cells(state.wind_speed)}, latitudes)


def _wind_error(world: World, state: State, satellite: npt.NDArray[np.uint8]) -> Floats:
    """Conditional part of the error of the wind that each cell's satellite retrieves."""
    from fluxrecipes.nature.instruments import Character, wind_bias
    from fluxrecipes.nature.orbits import SATELLITES

    error = np.full(satellite.shape, np.nan)
    for code, name in codes(tuple(SATELLITES)).items():
        of_it = satellite == code
        if of_it.any():
            character = Character.of(world, SATELLITES[name].instrument.prefix)
            bias = _of_cells(wind_bias(state, character, world.physics.wind_bias))
            error[of_it] = world.physics.observation_error * bias[of_it]
    return error


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
