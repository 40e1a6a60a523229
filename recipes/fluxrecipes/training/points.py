"""Training of networks that read at points: batches of whole passes with some cells of each.

A pass is encoded once and read at all the cells drawn of it. What is learned is a Gaussian: the
variance that the net tells is of its own error. That of a matchup holds the error of the report
and of the cell's standing for a point as well; it is stated, and added to the net's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from fluxengine.errors import FluxforgeError
from fluxkernels.nets.mpfnet import MPFNet
from fluxkernels.nets.vocabulary import Quantity, Vocabulary
from fluxrecipes import networks
from fluxrecipes.matchup import Matchups
from fluxrecipes.training import loop
from fluxrecipes.training.archive import Floats, Span
from fluxrecipes.training.scenes import Scene, Scenes

Indices = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.float64]

NEEDED = (networks.WIND, networks.VAPOUR, networks.SST)  # without them nothing is retrieved
_VISITS, _CHECKS = 1, 2  # beside the seed, so that they share no numbers with the steps


class NoMatchups(FluxforgeError, ValueError):
    """There is not one report to learn from, or none to check with."""

    code = "FF721"


class Drawn(NamedTuple):
    """A pass and the cells that are read of it; scaled, with 0 for what is not known.

    Parameters
    ----------
    field : float32 array, shape (predictor, lat, lon)
    points : float32 array, shape (cell, history, predictor)
    latitude, longitude : float32 array, shape (cell,)
    labels : float32 array, shape (cell, output)
    known : bool array, shape (cell,)
        Marks of cells that are told apart in scores: whether training may have met the platform.
    """

    field: Floats
    points: Floats
    latitude: Floats
    longitude: Floats
    labels: Floats
    known: Flags


def drawn(
    scene: Scene,
    vocabulary: Vocabulary,
    history: int,
    day: int,
    orbit: int,
    cells: tuple[Indices, Indices],
    labels: Labels,
    known: Flags | None = None,
) -> Drawn:
    """Cells of a pass with their labels, in the units of the outputs; without those of no label.

    A label that is no number, or lies outside of what its quantity may be, is none.
    """
    outputs = vocabulary.outputs
    low, high = (np.array([getattr(q, side) for q in outputs]) for side in ("lowest", "highest"))
    fine = np.asarray(((labels >= low) & (labels <= high)).all(axis=1))
    row, column = (side[fine] for side in cells)
    days = range(day - history + 1, day + 1)
    offset, scale = (np.array([getattr(q, side) for q in outputs]) for side in ("offset", "scale"))
    marks = np.ones(len(fine), bool) if known is None else known
    return Drawn(
        scene.field(vocabulary.predictors, day, orbit),
        scene.points(vocabulary.predictors, days, orbit, row, column),
        scene.latitudes[row].astype(np.float32),
        scene.longitudes[column].astype(np.float32),
        ((labels[fine] - offset) / scale).astype(np.float32),
        marks[fine],
    )


class _Batch(NamedTuple):
    """Passes stacked, each filled up to as many cells with `weight` 0."""

    fields: Tensor
    points: Tensor
    latitude: Tensor
    longitude: Tensor
    labels: Tensor
    weight: Tensor
    known: Tensor


def _stacked(parts: Sequence[Drawn], device: torch.device) -> _Batch:
    most = max(1, *(len(part.latitude) for part in parts))

    def filled(values: Sequence[npt.NDArray[Any]]) -> Tensor:
        shape = (len(values), most, *values[0].shape[1:])
        whole = np.zeros(shape, values[0].dtype)
        for at, one in enumerate(values):
            whole[at, : len(one)] = one
        return torch.from_numpy(whole).to(device)

    names = ("points", "latitude", "longitude", "labels", "known")
    columns = {name: filled([getattr(part, name) for part in parts]) for name in names}
    weight = filled([np.ones(len(part.latitude), np.float32) for part in parts])
    fields = torch.from_numpy(np.stack([part.field for part in parts])).to(device)
    return _Batch(fields=fields, weight=weight, **columns)


class Task:
    """What the training loop asks: draws passes, and scores the net on others.

    Parameters
    ----------
    net : MPFNet
    vocabulary : Vocabulary
    train, validation : Source
    errors : sequence of float
        Standard error of the labels by themselves, in the units of the outputs.
    batch, stay, checks : int
        Passes a step, steps on one run of days, and passes of each check.
    seed : int
    """

    def __init__(
        self,
        net: MPFNet,
        vocabulary: Vocabulary,
        train: Source,
        validation: Source,
        *,
        errors: Sequence[float],
        batch: int,
        stay: int,
        checks: int,
        seed: int,
    ) -> None:
        self.net: nn.Module = net
        self._net, self.vocabulary = net, vocabulary
        self.train, self.validation = train, validation
        scaled = [e / q.scale for e, q in zip(errors, vocabulary.outputs, strict=True)]
        self._noise = torch.tensor(scaled).square().float()
        self._batch, self._stay, self._checks, self._seed = batch, stay, checks, seed
        self._kept: list[Drawn] | None = None

    def loss(self, step: int, rng: np.random.Generator) -> Tensor:
        """Negative log likelihood, mean over cells and outputs."""
        span = visited(self.train, self._seed, step, self._stay)
        batch = self._stacked(self.train.draw(span, self._batch, rng))
        likelihood, _ = self._errors(batch)
        weight = batch.weight[..., None]
        return (likelihood * weight).sum() / weight.sum().clamp_min(1.0) / likelihood.shape[-1]

    def score(self) -> loop.Scores:
        """On passes of the validation period; platforms that training did not meet decide."""
        if self._kept is None:
            rng = np.random.default_rng((self._seed, _CHECKS))
            self._kept = spread(self.validation, self._checks, rng)
        sums: dict[bool, Tensor] = {}
        for first in range(0, len(self._kept), self._batch):
            batch = self._stacked(self._kept[first : first + self._batch])
            likelihood, square = self._errors(batch)
            for known in (False, True):
                weight = (batch.weight * (batch.known == known))[..., None]
                told = torch.stack([likelihood, square, torch.ones_like(square)])
                added = (told * weight).sum((1, 2)).double()
                sums[known] = sums.get(known, torch.zeros_like(added)) + added
        return self._scores(sums)

    def _scores(self, sums: dict[bool, Tensor]) -> loop.Scores:
        """Cells of platforms that training never met decide, where there are any."""
        met = bool(sums[False][2].sum() == 0)
        total = sums[met]
        scores = {"log likelihood, negative": float((total[0] / total[2]).mean())}
        for known, of in ((met, ""), (not met, ", platforms of training")):
            count = sums[known][2]
            if count.sum():
                roots = (sums[known][1] / count).sqrt().tolist()
                for quantity, root in zip(self.vocabulary.outputs, roots, strict=True):
                    name = f"RMSE {quantity.name} [{quantity.units}]{of}"
                    scores[name] = quantity.scale * root
        return scores

    def _stacked(self, parts: Sequence[Drawn]) -> _Batch:
        return _stacked(parts, next(self.net.parameters()).device)

    def _errors(self, batch: _Batch) -> tuple[Tensor, Tensor]:
        """Negative log likelihood and squared error of each cell and output."""
        seen, there = batch.fields.isfinite(), batch.points.isfinite()
        maps = self._net.encode(batch.fields, seen)
        read = self._net.read(maps, batch.latitude, batch.longitude, batch.points, there)
        square = (read.mean.float() - batch.labels).square()
        variance = read.log_variance.float().exp() + self._noise.to(square.device)
        return 0.5 * (variance.log() + square / variance), square


class Source(Protocol):
    """Where passes with labels come from."""

    spans: tuple[Span, ...]
    weights: Labels
    """How much each run of days has to tell."""

    def draw(self, span: Span, number: int, rng: np.random.Generator) -> list[Drawn]:
        """Some passes of a span."""


def visited(source: Source, seed: int, step: int, stay: int) -> Span:
    """The span of a step: the same for `stay` steps, then another, by its weight."""
    random = np.random.default_rng((seed, _VISITS, step // stay))
    weights = source.weights / source.weights.sum()
    return source.spans[int(random.choice(len(source.spans), p=weights))]


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

    def __init__(
        self, scenes: Scenes, vocabulary: Vocabulary, cells: int, orbits: Sequence[int]
    ) -> None:
        self._scenes, self._vocabulary = scenes, vocabulary
        self._cells, self._orbits = cells, list(orbits)
        self._history = scenes.archive.window
        self.spans = scenes.archive.spans
        self.weights = np.array([span.starts.size for span in self.spans], float)

    def draw(self, span: Span, number: int, rng: np.random.Generator) -> list[Drawn]:
        """Some passes of a span; see `Source`."""
        scene = self._scenes.of(span)
        found = []
        for _ in range(number):
            day = int(rng.choice(span.starts)) + self._history - 1
            orbit = int(rng.choice(self._orbits))
            labels = np.stack([scene.fields[q.name][day, orbit] for q in self._vocabulary.outputs])
            fine = np.isfinite(labels).all(axis=0)
            fine &= np.logical_and.reduce(
                [np.isfinite(scene.fields[q.name][day, orbit]) for q in NEEDED]
            )
            row, column = np.nonzero(fine)
            if not row.size:
                raise NoMatchups(
                    f"the pass of {scene.days[day]} has no sea with a value.",
                    where="training data",
                    mend="Make the reanalysis of these days anew.",
                )
            chance = np.cumsum(np.cos(np.radians(scene.latitudes[row])))
            at = np.searchsorted(chance, rng.random(self._cells) * chance[-1])
            cells = row[at], column[at]
            told = labels[:, cells[0], cells[1]].T.astype(np.float64)
            found.append(drawn(scene, self._vocabulary, self._history, day, orbit, cells, told))
        return found


Label = Callable[[Scene, int, Matchups], Labels]
"""From a scene, the number of a day in it and matchups of one pass to labels (cell, output)."""


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
    known : bool array
        Of each matchup, whether training may have met its platform.

    Raises
    ------
    NoMatchups
        FF721: none of them is of these days.
    """

    def __init__(
        self,
        scenes: Scenes,
        vocabulary: Vocabulary,
        matchups: Matchups,
        label: Label,
        known: Flags,
    ) -> None:
        self._scenes, self._vocabulary, self._label = scenes, vocabulary, label
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

    def _drawn(self, scene: Scene, number: int) -> Drawn:
        part = np.arange(self._starts[number], self._ends[number])
        some = self._matchups.at(part)
        day, orbit = int(np.searchsorted(scene.days, some.day[0])), int(some.orbit[0])
        labels = self._label(scene, day, some)
        cells = some.row, some.column
        known = self._known[part]
        return drawn(scene, self._vocabulary, self._history, day, orbit, cells, labels, known)


def at_cells(scene: Scene, quantity: Quantity, day: int, some: Matchups) -> Labels:
    """A field at the cells of matchups of one pass, in its units."""
    field = scene.fields[quantity.name][day, int(some.orbit[0])]
    return np.asarray(field[some.row, some.column], np.float64)
