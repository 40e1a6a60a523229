"""Training of networks that read at points: batches of whole passes with some cells of each.

A pass is encoded once and read at all the cells drawn of it. What is learned is a Gaussian: the
variance that the net tells is of its own error. That of a matchup holds the error of the report
and of the cell's standing for a point as well; it is stated, and added to the net's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from fluxkernels.nets.mpfnet import MPFNet, Reading
from fluxkernels.nets.vocabulary import Vocabulary
from fluxrecipes.training import loop
from fluxrecipes.training.archive import visited
from fluxrecipes.training.labelled import Drawn, Flags, Labels, Placed, Source, spread

_CHECKS = 2  # beside the seed of a check: its numbers are those of step 2, its days are others


class Residuals(NamedTuple):
    """How far the net is from labels, beside how far it believes to be: scaled as its outputs.

    Parameters
    ----------
    error, own : float64 array, shape (label, output)
        Net less label, and the standard error that the net tells.
    report : float64 array, shape (label, output)
        Standard error of each label by itself.
    known : bool array, shape (label,)
        Whether training may have met the platform.
    platform, passage, latitude, longitude : array, shape (label,)
        As of `Placed`.
    """

    error: Labels
    own: Labels
    report: Labels
    known: Flags
    platform: npt.NDArray[Any]
    passage: npt.NDArray[np.int64]
    latitude: Labels
    longitude: Labels

    def at(self, which: Flags) -> Residuals:
        """Those with a mark."""
        return self._replace(
            error=self.error[which],
            own=self.own[which],
            report=self.report[which],
            known=self.known[which],
            platform=self.platform[which],
            passage=self.passage[which],
            latitude=self.latitude[which],
            longitude=self.longitude[which],
        )


class _Batch(NamedTuple):
    """Passes stacked, each filled up to as many cells with `weight` 0."""

    fields: Tensor
    points: Tensor
    latitude: Tensor
    longitude: Tensor
    labels: Tensor
    errors: Tensor
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

    names = ("points", "latitude", "longitude", "labels", "errors", "known")
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
        batch: int,
        stay: int,
        checks: int,
        seed: int,
    ) -> None:
        self.net: nn.Module = net
        self._net, self.vocabulary = net, vocabulary
        self.train, self.validation = train, validation
        self._batch, self._stay, self._checks, self._seed = batch, stay, checks, seed
        self._kept: list[Drawn] | None = None

    def release(self) -> None:
        """Let go of the days that are held: when another phase is to read its own."""
        self.train.release()
        self.validation.release()

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
            self.train.release()
            rng = np.random.default_rng((self._seed, _CHECKS))
            self._kept = spread(self.validation, self._checks, rng)
            self.validation.release()
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

    def residuals(self) -> Residuals:
        """On all that validation has."""
        self.train.release()
        columns: list[tuple[npt.NDArray[Any], ...]] = []
        every = self.validation.every(np.random.default_rng((self._seed, _CHECKS)))
        while part := [one for _, one in zip(range(self._batch), every, strict=False)]:
            columns += self._columns(part)
        self.validation.release()
        return Residuals(*(np.concatenate(column) for column in zip(*columns, strict=True)))

    def _columns(self, part: Sequence[Placed]) -> Iterator[tuple[npt.NDArray[Any], ...]]:
        """Of each pass, in the order of `Residuals`."""
        batch = self._stacked([one.drawn for one in part])
        with torch.inference_mode():
            read = self._read(batch)
            error = read.mean.double() - batch.labels
            sides = error, (0.5 * read.log_variance.double()).exp(), batch.errors.double()
            columns = [side.cpu().numpy() for side in sides]
        for at, one in enumerate(part):
            cells = len(one.platform)
            passage = np.full(cells, one.passage)
            place = one.platform, passage, one.latitude, one.longitude
            yield *(column[at, :cells] for column in columns), one.drawn.known, *place

    def _stacked(self, parts: Sequence[Drawn]) -> _Batch:
        return _stacked(parts, next(self.net.parameters()).device)

    def _errors(self, batch: _Batch) -> tuple[Tensor, Tensor]:
        """Negative log likelihood and squared error of each cell and output."""
        read = self._read(batch)
        square = (read.mean.float() - batch.labels).square()
        variance = read.log_variance.float().exp() + batch.errors.square()
        return 0.5 * (variance.log() + square / variance), square

    def _read(self, batch: _Batch) -> Reading:
        seen, there = batch.fields.isfinite(), batch.points.isfinite()
        maps = self._net.encode(batch.fields, seen)
        return self._net.read(maps, batch.latitude, batch.longitude, batch.points, there)
