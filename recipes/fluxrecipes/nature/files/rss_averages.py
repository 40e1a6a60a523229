"""Averaged bytemaps of Remote Sensing Systems, made from the simulated daily ones.

A mean is written when the archive holds every daily map of its days, so that its bytes do not
depend on the order in which the archive grew.
"""

from __future__ import annotations

import gzip
from calendar import monthrange
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from fluxrecipes.nature.instruments import LAST_VALUE, Bytes
from fluxrecipes.nature.orbits import Satellite
from fluxrecipes.sources import rss
from fluxrecipes.sources.gzipped import gunzip
from fluxrecipes.sources.rss_averages import AVERAGES, Average

_DIRECTION = 2.0 * np.pi / 240.0  # radians of a step of 1.5°


def due(satellite: Satellite, first: date, last: date) -> Iterator[tuple[str, list[date]]]:
    """Means that take in a day of a period: the path below the root and the days of each.

    Days outside the satellite's series are left out, as the provider has to.
    """
    for average in AVERAGES:
        for stamp, days in _windows(average, first, last):
            flown = [day for day in days if satellite.flies(day)]
            if flown:
                yield f"rss/{average.path(satellite.instrument, stamp)}", flown


def _windows(average: Average, first: date, last: date) -> Iterator[tuple[date, list[date]]]:
    """The day at which each mean stands, and its days."""
    if average.name == "3day":
        for n in range((last - first).days + 3):
            stamp = first + timedelta(days=n)
            yield stamp, [stamp - timedelta(days=back) for back in (2, 1, 0)]
    elif average.name == "weekly":
        sunday = first - timedelta(days=(first.weekday() + 1) % 7)
        while sunday <= last:
            yield sunday, [sunday + timedelta(days=n) for n in range(7)]
            sunday += timedelta(days=7)
    else:
        month = first.replace(day=1)
        while month <= last:
            length = monthrange(month.year, month.month)[1]
            yield month, [month + timedelta(days=n) for n in range(length)]
            month += timedelta(days=length)


def write(path: Path, satellite: Satellite, dailies: list[Path]) -> None:
    """Write the mean of daily maps over both passes, one day in memory at a time."""
    layers = satellite.instrument.layers[1:]
    names = [layer.name for layer in layers]
    direction = rss.WIND_DIRECTION.name
    mean = _Mean(len(layers), names.index(direction) if direction in names else None)
    for daily in dailies:
        raw = gunzip(daily, at_most=satellite.instrument.size)
        maps = np.frombuffer(raw, np.uint8).reshape(2, len(layers) + 1, *rss.CELLS)
        for one in maps:
            mean.add(one[1:])
    path.write_bytes(gzip.compress(mean.result().tobytes(), 4, mtime=0))


class _Mean:
    """Running mean of maps (layer, lat, lon) in the provider's steps.

    Where no map has a value, the lowest code tells why: no retrieval before ice, ice before
    coast, coast before no observation; land is land in every map.
    """

    def __init__(self, layers: int, direction: int | None) -> None:
        shape = (layers, *rss.CELLS)
        self._direction = direction  # the layer whose mean is one of angles
        self._count = np.zeros(shape, np.uint8)
        self._total = np.zeros(shape, np.uint32)
        self._code = np.full(shape, 255, np.uint8)
        self._vector = np.zeros((2, *rss.CELLS), np.float32)

    def add(self, maps: Bytes) -> None:
        valid = maps <= LAST_VALUE
        self._count += valid
        self._total += np.where(valid, maps, 0)
        self._code = np.where(valid, self._code, np.minimum(self._code, maps))
        if self._direction is not None:
            angle = maps[self._direction] * np.float32(_DIRECTION)
            seen = valid[self._direction]
            self._vector += np.where(seen, np.stack([np.sin(angle), np.cos(angle)]), 0.0)

    def result(self) -> Bytes:
        mean = np.rint(self._total / np.maximum(self._count, 1))
        if self._direction is not None:
            angle = np.arctan2(*self._vector) / _DIRECTION
            mean[self._direction] = np.mod(np.rint(angle), 240.0)
        return np.where(self._count > 0, mean.astype(np.uint8), self._code)
