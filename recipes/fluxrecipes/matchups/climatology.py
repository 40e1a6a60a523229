"""What reports can be: the mean and the spread of what is reported in a region and month."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fluxrecipes.matchups.matching import Flags, Floats, Indices, Matchups


@dataclass(frozen=True)
class Climatology:
    """Monthly mean and spread of what is reported, in boxes of 10° by 20° and in zones of 10°.

    A zone tells of a box without reports only where reports come from a third of its circle: a buoy
    of one ocean knows nothing of another.

    Wind counts by its square root, which is nearly Gaussian: of wind itself a limit below the mean
    would lie below zero, and one above it would cut off storms.

    Parameters
    ----------
    mean, deviation : ndarray, shape (variable, 12, 18, 18)
        NaN where there are too few reports to tell.
    """

    mean: Floats
    deviation: Floats

    @classmethod
    def of(cls, matchups: Matchups) -> Climatology:
        """From matchups: without what is held out, or the limits would know it."""
        month, zone, box = _regions(matchups)
        values = _checked(matchups)
        shape = (12, _ZONES, _BOXES)
        in_boxes = _moments(values, np.ravel_multi_index((month, zone, box), shape), shape)
        in_zones = _moments(values, np.ravel_multi_index((month, zone), shape[:2]), shape[:2])
        boxes = np.zeros(shape, bool)
        boxes[month, zone, box] = True
        known = boxes.sum(axis=-1) >= _FEWEST_BOXES
        coarser = [np.where(known, one, np.nan) for one in in_zones]
        mean, deviation = (
            np.where(np.isfinite(fine), fine, coarse[..., None])
            for fine, coarse in zip(in_boxes, coarser, strict=True)
        )
        return cls(mean, deviation)

    def plausible(self, matchups: Matchups, limit: float = 2.8) -> Flags:
        """Which lie within so many standard deviations, in all of `CHECKED`, or are not known."""
        at = (slice(None), *_regions(matchups))
        far = np.abs(_checked(matchups) - self.mean[at]) > limit * self.deviation[at]
        return np.asarray(~far.any(axis=0))


CHECKED = ("air_temperature", "specific_humidity", "sea_surface_temperature", "wind_speed")
_ZONES, _BOXES = 18, 18
_FEWEST = 50  # reports from which a spread is taken
_FEWEST_BOXES = 6  # of a zone


def _checked(matchups: Matchups) -> Floats:
    values = np.stack([np.asarray(getattr(matchups, name), float) for name in CHECKED])
    values[-1] = np.sqrt(values[-1].clip(min=0.0))
    return values


def _regions(matchups: Matchups) -> tuple[Indices, Indices, Indices]:
    """Month, zone and box of each."""
    month = matchups.day.astype("M8[M]").astype(int) % 12
    zone = np.floor((matchups.latitude + 90.0) / 10.0).astype(np.intp).clip(0, _ZONES - 1)
    box = np.floor(matchups.longitude % 360.0 / 20.0).astype(np.intp).clip(0, _BOXES - 1)
    return month, zone, box


def _moments(values: Floats, region: Indices, shape: tuple[int, ...]) -> tuple[Floats, Floats]:
    """Mean and standard deviation by region, NaN of those with too few."""
    size = int(np.prod(shape))
    count = np.bincount(region, minlength=size)
    enough = np.where(count >= _FEWEST, count, np.nan)
    mean = np.stack([np.bincount(region, one, size) for one in values]) / enough
    apart = (values - mean[:, region]) ** 2
    spread = np.stack([np.bincount(region, one, size) for one in apart]) / enough
    whole = (len(values), *shape)
    return mean.reshape(whole), np.sqrt(spread).reshape(whole)
