"""Windows of days with gaps, to learn how to fill them.

Two kinds. *Complete*: fields of a reanalysis are thinned as a satellite would have thinned them;
the target is the whole target day. *Observed*: of what the satellite saw on the target day more is
hidden, and the target is that: fewer cells, but with the satellite's own errors.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import starmap
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from fluxengine.errors import ConfigError
from fluxkernels.nets.vocabulary import Quantity
from fluxrecipes import networks
from fluxrecipes import vocabulary as cf
from fluxrecipes.coast import continued
from fluxrecipes.other_pass import twelve_hours_before
from fluxrecipes.training.archive import Days, Fields, has_value
from fluxrecipes.training.masks import Mask, RainLoss, swaths

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]
Phase = Literal["complete", "observed"]


class Sample(NamedTuple):
    """One window and what is to be said of its target day."""

    values: Floats
    """Scaled, 0 in gaps, shape (time, field, lat, lon): variables, SST, the other pass."""
    masks: Mask
    """True where there is a value; of the same shape."""
    target: Floats
    """Scaled, 0 where not known, shape (variable, lat, lon)."""
    missing: Mask
    """Gaps of the target day whose value is known; of the target's shape."""
    kept: Mask
    """Values of the target day that the net was given; of the target's shape."""


@dataclass(frozen=True, eq=False)
class Scene:
    """Some days of complete and of observed fields, scaled, 0 where there is no value.

    Parameters
    ----------
    complete, observed : float32 array, shape (variable, time, orbit, lat, lon)
    known : bool array, shape (time, orbit, lat, lon)
        Open sea, where the complete fields have values.
    retrieved : bool array, shape (variable, time, orbit, lat, lon)
        Where the satellite has values.
    swath : bool array, shape (time, orbit, lat, lon)
        Where it looked.
    rain : float32 array, shape (time, orbit, lat, lon)
        Of the complete fields, mm h-1; NaN where not known.
    sst : float32 array, shape (time, orbit, lat, lon)
    sea : bool array, of the same shape
        Where there is an SST.
    coast : bool array, shape (variable, lat, lon)
        Where the satellite never has a value, though there is sea: told as coast, and not once
        observed.
    """

    complete: Floats
    known: Mask
    observed: Floats
    retrieved: Mask
    swath: Mask
    rain: Floats
    sst: Floats
    sea: Mask
    coast: Mask

    @classmethod
    def of(cls, fields: Mapping[str, Fields], spacing: float, wet: float = 0.0) -> Scene:
        """Make a scene of what was read.

        Parameters
        ----------
        fields : mapping of str to Fields
            ``"observed"`` and ``"reanalysis"`` with the four microwave variables, ``"sst"`` with
            sea surface temperature.
        spacing : float
            Of longitudes, degrees.
        wet : float
            Rain of the complete fields above which it rains, mm h-1: see `RainLoss.wet`.
        """
        seen, whole, sea = fields["observed"], fields["reanalysis"], fields["sst"]
        known = np.asarray(has_value(whole.states).all(axis=0))
        rain = networks.MICROWAVE.index(networks.RAIN)
        # What was filled before says nothing new.
        retrieved = _with_occurrence(seen.states == cf.OBSERVED, rain)
        # Coasts are told only within the swath; and rain beside land is called coast as well.
        coast = (seen.states == cf.COAST).any(axis=(0, 1, 2)) & ~retrieved.any(axis=(1, 2))
        warmth = continued(sea.of(networks.SST.name))
        passes = seen.values.shape[2]
        return cls(
            complete=_scaled(whole, known[None], wet),
            known=known,
            observed=_scaled(seen, retrieved[:-1], 0.0),
            retrieved=retrieved,
            # The lowest code of a cell tells whether anything was seen: observed comes first.
            swath=swaths(seen.states.min(axis=0), spacing),
            rain=np.where(known, whole.of(networks.RAIN.name), np.float32(np.nan)),
            sst=_on_scale(np.broadcast_to(warmth, (warmth.shape[0], passes, *warmth.shape[2:]))),
            sea=np.broadcast_to(np.isfinite(warmth), known.shape),
            coast=coast,
        )


def _with_occurrence(of_variables: Array, rain: int) -> Array:
    """What is told of the microwave variables; of rain's occurrence what is told of its rate."""
    return np.concatenate([of_variables, of_variables[rain : rain + 1]])


def _scaled(fields: Fields, there: Mask, wet: float) -> Floats:
    """The microwave variables and rain's occurrence, scaled, 0 where nothing is there."""
    there = np.broadcast_to(there, fields.values.shape)
    made = np.zeros((len(networks.FILLED), *fields.values.shape[1:]), np.float32)
    for at, quantity in enumerate(networks.MICROWAVE):
        made[at] = np.where(there[at], quantity.scaled(fields.of(quantity.name)), 0.0)
    rain = networks.MICROWAVE.index(networks.RAIN)
    made[-1] = (fields.of(networks.RAIN.name) > wet) & there[rain]
    return made


def _on_scale(warmth: Floats) -> Floats:
    values = networks.SST.scaled(warmth)
    filled: Floats = np.nan_to_num(values, nan=0.0).astype(np.float32, copy=False)
    return filled


@dataclass(frozen=True, eq=False)
class Calibration:
    """What training takes from the data before it starts.

    Parameters
    ----------
    loss : RainLoss
        Of all of `networks.FILLED`.
    change : float array, shape (variable,)
        As of `daily_change`: errors of the variables are weighed by it, so that all count alike
        whatever their scaling.
    """

    loss: RainLoss
    change: Array


def rain_loss(
    spans: Iterable[Mapping[str, Fields]], spacing: float, where: str = "observed"
) -> RainLoss:
    """What rain cost the satellite in some spans of days.

    Parameters
    ----------
    spans, spacing
        As of `Scene.of`.
    where : str
        What the observed fields are called in an error.

    Raises
    ------
    ConfigError
        Where a satellite saw nothing at all.
    """
    # Mapped, not looped: a loop would hold one span while the next is read.
    states, rain, complete = zip(*map(partial(_rained, spacing), spans), strict=True)
    rate = networks.MICROWAVE.index(networks.RAIN)
    lost = _with_occurrence(np.concatenate(states, axis=1), rate)
    if not (lost.size and any(one.size for one in complete)):
        raise ConfigError(
            "no cell of the days that are looked at first was observed by a satellite.",
            where=where,
            mend="Name passes with their gaps in `datasets: observed`, or other days in `train`.",
        )
    return RainLoss.learned(lost, np.concatenate(rain), np.concatenate(complete))


def _rained(spacing: float, read: Mapping[str, Fields]) -> tuple[Array, Array, Array]:
    """States and rain of cells that a satellite saw or lost, and rain of the complete fields."""
    scene, seen = Scene.of(read, spacing), read["observed"]
    inside = scene.swath & np.isin(seen.states, (cf.OBSERVED, cf.NO_RETRIEVAL)).all(axis=0)
    rain = seen.of(networks.RAIN.name)[inside]
    return seen.states[:, inside], rain, scene.rain[scene.known & scene.swath]


def daily_change(scenes: Iterable[tuple[Days, Scene]]) -> Array:
    """Mean squared change of the complete fields from one day to the next, shape (variable,).

    Parameters
    ----------
    scenes : iterable of (datetime64[D] array, Scene)
        With their days: where some are missing, days stand beside each other that are apart.
    """
    mean: Array = np.mean(list(starmap(_changed, scenes)), axis=0)
    return mean


def _changed(days: Days, scene: Scene) -> Array:
    """Of one scene."""
    in_a_row = np.diff(days) == np.timedelta64(1, "D")
    both = scene.known[1:] & scene.known[:-1] & in_a_row[:, None, None, None]
    changed: Array = np.square(np.diff(scene.complete, axis=1))[:, both].mean(axis=1)
    return changed


@dataclass(frozen=True, eq=False)
class Windows:
    """Draws windows from scenes.

    Parameters
    ----------
    steps, target : int
        Days of a window, and which of them is completed.
    variables : tuple of Quantity
        What is completed, of `networks.FILLED`.
    sst, other_pass : bool
        What else the net sees.
    loss : RainLoss
    longitudes : array, shape (lon,)
        Degrees east.
    """

    steps: int
    target: int
    variables: tuple[Quantity, ...]
    sst: bool
    other_pass: bool
    loss: RainLoss
    longitudes: npt.NDArray[np.float64]

    def draw(
        self,
        scene: Scene,
        starts: npt.NDArray[np.intp],
        phase: Phase,
        eta: float,
        rng: np.random.Generator,
        turned: bool = True,
    ) -> Sample:
        """A window.

        Parameters
        ----------
        scene : Scene
        starts : int array
            First days that a window may have.
        phase : {"complete", "observed"}
            What the target is.
        eta : float
            Chance of a missing cell to be given after all: of complete fields only.
        rng : numpy.random.Generator
        turned : bool
            Whether swaths are laid on fields, and both on the grid, at any longitude.
        """
        start, lender = (int(rng.choice(starts)) for _ in range(2))
        orbit, width = int(rng.integers(scene.known.shape[1])), scene.known.shape[-1]
        turn, both = (int(rng.integers(width)) if turned else 0 for _ in range(2))
        place = _Place(slice(start, start + self.steps), lender, orbit, turn)
        gaps = self._gaps(scene, place, phase, eta, rng)
        fields = [self._given(scene, place, gaps, phase)]
        if self.sst:
            at = (slice(None), place.days, orbit)
            fields.append((scene.sst[None][at], scene.sea[None][at]))
        if self.other_pass:
            other = place._replace(orbit=1 - orbit)
            # Of what was observed, nothing is hidden in the pass that only helps.
            more = self._gaps(scene, other, phase, eta, rng) if phase == "complete" else None
            fields.append(self._before(orbit, *self._given(scene, other, more, phase)))
        values, masks = (
            np.concatenate(parts).swapaxes(0, 1) for parts in zip(*fields, strict=True)
        )
        values = np.where(masks, values, np.float32(0.0))
        parts = (values, masks, *self._asked(scene, place, gaps, phase))
        return Sample(*(np.roll(part, both, axis=-1) for part in parts))

    def _before(self, orbit: int, *maps: Array) -> tuple[Array, Array]:
        """Values and masks of the other pass, twelve hours before each of this one."""
        values, masks = (twelve_hours_before(x, orbit, self.longitudes, axis=1) for x in maps)
        return values, masks

    @property
    def _chosen(self) -> list[int]:
        return [networks.FILLED.index(one) for one in self.variables]

    def _gaps(
        self, scene: Scene, place: _Place, phase: Phase, eta: float, rng: np.random.Generator
    ) -> Mask:
        """What is taken away, shape (variable, time, lat, lon)."""
        lent = slice(place.lender, place.lender + self.steps)
        unseen = ~np.roll(scene.swath[lent, place.orbit], place.turn, axis=-1)
        if phase == "observed":
            unseen[np.arange(self.steps) != self.target] = False
            return np.broadcast_to(unseen, (len(self.variables), *unseen.shape))
        rain = scene.rain[place.days, place.orbit]
        rained = self.loss.lost(rain, rng.random(rain.shape, dtype=np.float32))
        given_after_all = rng.random(rain.shape, dtype=np.float32) < eta
        coast = scene.coast[self._chosen, None]
        gaps: Mask = (unseen | rained[self._chosen]) & ~given_after_all | coast
        return gaps

    def _given(
        self, scene: Scene, place: _Place, gaps: Mask | None, phase: Phase
    ) -> tuple[Floats, Mask]:
        """Values and masks of a pass's days, shape (variable, time, lat, lon)."""
        values, there = _of(scene, phase)
        at = (self._chosen, place.days, place.orbit)
        masks = np.broadcast_to(there, values.shape)[at]
        return values[at], masks if gaps is None else masks & ~gaps

    def _asked(
        self, scene: Scene, place: _Place, gaps: Mask, phase: Phase
    ) -> tuple[Floats, Mask, Mask]:
        """Target, where it is missing, and where it was given."""
        values, there = _of(scene, phase)
        at = (self._chosen, place.days.start + self.target, place.orbit)
        known, gap = np.broadcast_to(there, values.shape)[at], gaps[:, self.target]
        return values[at], known & gap, known & ~gap


class _Place(NamedTuple):
    """Where a window is taken from, whose swaths it gets, and how far these are turned."""

    days: slice
    lender: int
    orbit: int
    turn: int


def _of(scene: Scene, phase: Phase) -> tuple[Floats, Mask]:
    if phase == "complete":
        return scene.complete, scene.known[None]
    return scene.observed, scene.retrieved
