"""What networks that read at points learn from: passes with labels at some of their cells."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from fluxengine.errors import FluxforgeError
from fluxkernels.nets.vocabulary import Quantity, Vocabulary
from fluxrecipes import networks
from fluxrecipes.matchups.matching import Matchups
from fluxrecipes.training.archive import Floats, Span
from fluxrecipes.training.scenes import Scene, Scenes

Indices = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.float64]

NEEDED = (networks.WIND, networks.VAPOUR, networks.SST)  # without them nothing is retrieved
_FOLLOWED = 400  # cells of complete fields, which serve as buoys do


class NoMatchups(FluxforgeError, ValueError):
    """There is not one report to learn from, or none to check with."""

    code = "FF721"


class Drawn(NamedTuple):
    """A pass and the cells that are read of it; scaled, NaN where nothing is known.

    Parameters
    ----------
    field : float32 array, shape (predictor, lat, lon)
    points : float32 array, shape (cell, history, predictor)
    latitude, longitude : float32 array, shape (cell,)
    labels : float32 array, shape (cell, output)
    errors : float32 array, shape (cell, output)
        Standard error of each label by itself; 0 of one that is exact.
    known : bool array, shape (cell,)
        Marks of cells that are told apart in scores: whether training may have met the platform.
    """

    field: Floats
    points: Floats
    latitude: Floats
    longitude: Floats
    labels: Floats
    errors: Floats
    known: Flags


def drawn(
    scene: Scene,
    vocabulary: Vocabulary,
    history: int,
    day: int,
    orbit: int,
    cells: tuple[Indices, Indices],
    labels: Labels,
    errors: Labels | None = None,
    known: Flags | None = None,
) -> Drawn:
    """Cells of a pass with their labels, in the units of the outputs; without those of no label.

    A label that is no number, or lies outside of what its quantity may be, is none. Without errors
    labels are exact.
    """
    outputs, fine = vocabulary.outputs, plausible(vocabulary, labels)
    row, column = (side[fine] for side in cells)
    days = range(day - history + 1, day + 1)
    offset, scale = (np.array([getattr(q, side) for q in outputs]) for side in ("offset", "scale"))
    doubt = np.zeros_like(labels) if errors is None else errors
    marks = np.ones(len(fine), bool) if known is None else known
    return Drawn(
        scene.field(vocabulary.predictors, day, orbit),
        scene.points(vocabulary.predictors, days, orbit, row, column),
        scene.latitudes[row].astype(np.float32),
        scene.longitudes[column].astype(np.float32),
        ((labels[fine] - offset) / scale).astype(np.float32),
        (doubt[fine] / scale).astype(np.float32),
        marks[fine],
    )


def plausible(vocabulary: Vocabulary, labels: Labels) -> Flags:
    """Which labels are numbers that their quantities may be, shape (cell,)."""
    sides = ("lowest", "highest")
    low, high = (np.array([getattr(q, side) for q in vocabulary.outputs]) for side in sides)
    return np.asarray(((labels >= low) & (labels <= high)).all(axis=1))


class Placed(NamedTuple):
    """A pass with all cells that are known of it, and whose they are.

    Parameters
    ----------
    drawn : Drawn
    platform : array, shape (cell,)
        Name, or number.
    passage : int
        Twice the number of the day since 1970, and 1 more for a descending pass.
    latitude, longitude : float64 array, shape (cell,)
        Of the report, degrees north and east.
    """

    drawn: Drawn
    platform: npt.NDArray[Any]
    passage: int
    latitude: Labels
    longitude: Labels


class Source(Protocol):
    """Where passes with labels come from."""

    spans: tuple[Span, ...]
    weights: Labels
    """How much each run of days has to tell."""

    labels: str
    places: str
    """What its labels are, and what they are at, in words."""

    def draw(self, span: Span, number: int, rng: np.random.Generator) -> list[Drawn]:
        """Some passes of a span."""

    def every(self, rng: np.random.Generator) -> Iterator[Placed]:
        """All passes once, each with whatever can be followed from pass to pass."""

    def release(self) -> None:
        """Let go of what was read last: a run of days takes much memory."""


def spread(source: Source, number: int, rng: np.random.Generator) -> list[Drawn]:
    """Passes of all of a source's time."""
    at = np.linspace(0, len(source.spans) - 1, number).round().astype(int)
    places, counts = np.unique(at, return_counts=True)
    pairs = zip(places.tolist(), counts.tolist(), strict=True)
    return [one for place, count in pairs for one in source.draw(source.spans[place], count, rng)]


class OfFields:
    """Cells drawn at random from complete fields, by area, with labels from other fields.

    Parameters
    ----------
    scenes : Scenes
    vocabulary : Vocabulary
    cells : int
        Of each pass.
    orbits : sequence of int
    """

    labels, places = "values of the reanalysis", "cells"

    def __init__(
        self, scenes: Scenes, vocabulary: Vocabulary, cells: int, orbits: Sequence[int]
    ) -> None:
        self._scenes, self._vocabulary = scenes, vocabulary
        self._cells, self._orbits = cells, list(orbits)
        self._history = scenes.archive.window
        self.spans = scenes.archive.spans
        self.weights = scenes.archive.weights

    def draw(self, span: Span, number: int, rng: np.random.Generator) -> list[Drawn]:
        """Some passes of a span; see `Source`."""
        scene = self._scenes.of(span)
        found = []
        for _ in range(number):
            day = int(rng.choice(span.starts)) + self._history - 1
            orbit = int(rng.choice(self._orbits))
            row, column = np.nonzero(self._fine(scene, day, orbit))
            if not row.size:
                raise NoMatchups(
                    f"the pass of {scene.days[day]} has no sea with a value.",
                    where="training data",
                    mend="Make the reanalysis of these days anew.",
                )
            at = _by_area(scene.latitudes[row], self._cells, rng)
            found.append(self._drawn(scene, day, orbit, (row[at], column[at])))
        return found

    def release(self) -> None:
        """Let go of the scene that is held; see `Source`."""
        self._scenes.release()

    def every(self, rng: np.random.Generator) -> Iterator[Placed]:
        """All passes at the same cells; see `Source`. A cell under ice for a while is left out."""
        cells: tuple[Indices, Indices] | None = None
        done: set[np.datetime64] = set()  # spans overlap
        for span in self.spans:
            scene, last = self._scenes.of(span), span.starts + self._history - 1
            for day in (one for one in last.tolist() if scene.days[one] not in done):
                done.add(scene.days[day])
                for orbit in self._orbits:
                    fine = self._fine(scene, day, orbit)
                    if cells is None:
                        row, column = np.nonzero(fine)
                        at = np.unique(_by_area(scene.latitudes[row], _FOLLOWED, rng))
                        cells = row[at], column[at]
                    yield self._placed(scene, day, orbit, cells, fine)

    def _placed(
        self, scene: Scene, day: int, orbit: int, cells: tuple[Indices, Indices], fine: Flags
    ) -> Placed:
        kept = np.flatnonzero(fine[cells])
        kept = kept[plausible(self._vocabulary, self._told(scene, day, orbit, cells)[kept])]
        row, column = (side[kept] for side in cells)
        return Placed(
            self._drawn(scene, day, orbit, (row, column)),
            kept,
            _passage(scene.days[day], orbit),
            scene.latitudes[row],
            scene.longitudes[column],
        )

    def _fine(self, scene: Scene, day: int, orbit: int) -> Flags:
        """Where there are labels and what is needed to find them."""
        names = [q.name for q in (*self._vocabulary.outputs, *NEEDED)]
        parts = [np.isfinite(scene.fields[name][day, orbit]) for name in names]
        return np.asarray(np.logical_and.reduce(parts))

    def _told(self, scene: Scene, day: int, orbit: int, cells: tuple[Indices, Indices]) -> Labels:
        fields = [scene.fields[q.name][day, orbit] for q in self._vocabulary.outputs]
        return np.stack([field[cells] for field in fields], axis=1).astype(np.float64)

    def _drawn(self, scene: Scene, day: int, orbit: int, cells: tuple[Indices, Indices]) -> Drawn:
        told = self._told(scene, day, orbit, cells)
        return drawn(scene, self._vocabulary, self._history, day, orbit, cells, told)


def _by_area(latitudes: Labels, number: int, rng: np.random.Generator) -> Indices:
    """Some of the cells with these latitudes, at random."""
    chance = np.cumsum(np.cos(np.radians(latitudes)))
    return np.asarray(np.searchsorted(chance, rng.random(number) * chance[-1]))


def _passage(day: np.datetime64, orbit: int) -> int:
    return 2 * int(day.astype("datetime64[D]").astype(np.int64)) + orbit


Label = Callable[[Scene, int, Matchups], Labels]
"""From a scene, the number of a day in it and matchups of one pass to labels (cell, output)."""
Doubt = Callable[[Matchups], Labels]
"""From matchups to the standard errors of their labels by themselves (cell, output)."""


class OfMatchups:
    """Cells with a report, all of a pass together.

    Parameters
    ----------
    scenes : Scenes
    vocabulary : Vocabulary
    matchups : Matchups
    label : callable
        Takes a scene, a day's number in it and the matchups of one pass, gives what is to be
        learned, shape (cell, output).
    doubt : callable
        Takes the same matchups, gives the standard errors of what is to be learned.
    known : bool array
        Of each matchup, whether training may have met its platform.

    Raises
    ------
    NoMatchups
        FF721: none of them is of these days.
    """

    labels, places = "matchups", "platforms"

    def __init__(
        self,
        scenes: Scenes,
        vocabulary: Vocabulary,
        matchups: Matchups,
        label: Label,
        doubt: Doubt,
        known: Flags,
    ) -> None:
        self._scenes, self._vocabulary = scenes, vocabulary
        self._label, self._doubt = label, doubt
        self._history = scenes.archive.window
        order = np.lexsort((matchups.orbit, matchups.day))
        self._matchups, self._known = matchups.at(order), known[order]
        day, orbit = self._matchups.day.astype(np.int64), self._matchups.orbit
        changed = (day[1:] != day[:-1]) | (orbit[1:] != orbit[:-1])
        self._starts = np.flatnonzero(np.concatenate([[len(order) > 0], changed]))
        self._ends = np.append(self._starts[1:], len(order))
        passes = {span: self._of(span) for span in scenes.archive.spans}
        self._passes = {span: found for span, found in passes.items() if found.size}
        self.spans = tuple(self._passes)
        self.weights = np.array([found.size for found in self._passes.values()], float)
        if not self.spans:
            raise NoMatchups(
                "no report of these days lies in a cell of a pass.",
                where="training data",
                mend="Ingest `insitu` for them, name other periods, or widen what is asked of"
                " matchups.",
            )

    def _of(self, span: Span) -> Indices:
        """Passes with a report on the last day of a window of the span."""
        days = span.days[span.starts + self._history - 1]
        return np.flatnonzero(np.isin(self._matchups.day[self._starts], days))

    def draw(self, span: Span, number: int, rng: np.random.Generator) -> list[Drawn]:
        """Some passes of a span; see `Source`."""
        scene, passes = self._scenes.of(span), self._passes[span]
        chosen = rng.choice(passes, min(number, passes.size), replace=False)
        return [self._drawn(scene, int(one)) for one in np.sort(chosen)]

    def release(self) -> None:
        """Let go of the scene that is held; see `Source`."""
        self._scenes.release()

    def every(self, rng: np.random.Generator) -> Iterator[Placed]:
        """All passes with all their matchups; see `Source`. Nothing is drawn."""
        done = np.zeros(0, np.intp)  # spans overlap
        for span, passes in self._passes.items():
            fresh = np.setdiff1d(passes, done)
            for number in fresh.tolist():
                yield self._placed(self._scenes.of(span), number)
            done = np.union1d(done, fresh)

    def _drawn(self, scene: Scene, number: int) -> Drawn:
        return self._placed(scene, number).drawn

    def _placed(self, scene: Scene, number: int) -> Placed:
        part = np.arange(self._starts[number], self._ends[number])
        day = int(np.searchsorted(scene.days, self._matchups.day[part[0]]))
        labels = self._label(scene, day, self._matchups.at(part))
        fine = plausible(self._vocabulary, labels)
        part, labels = part[fine], labels[fine]
        some, orbit = self._matchups.at(part), int(self._matchups.orbit[self._starts[number]])
        at, known = (some.row, some.column), self._known[part]
        given = (labels, self._doubt(some), known)
        return Placed(
            drawn(scene, self._vocabulary, self._history, day, orbit, at, *given),
            some.platform,
            _passage(scene.days[day], orbit),
            some.latitude,
            some.longitude,
        )


def at_cells(scene: Scene, quantity: Quantity, day: int, some: Matchups) -> Labels:
    """A field at the cells of matchups of one pass, in its units."""
    field = scene.fields[quantity.name][day, int(some.orbit[0])]
    return np.asarray(field[some.row, some.column], np.float64)
