"""Which days a record has, and from what: counted from the states of its cells."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from fluxengine.declare import FAILED, NEVER_WRITTEN
from fluxrecipes import vocabulary as cf

if TYPE_CHECKING:
    import xarray as xr

Days = npt.NDArray[np.datetime64]
Counts = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.uint8]

STEPS = 30  # days read at once, where the store does not say how they lie

# What the cells of the open sea are, of a day; land, coast and ice have no part in it.
GROUPS = {
    "observed": (cf.OBSERVED,),
    "filled": (cf.INTERPOLATED, cf.PERSISTED, cf.COMPLETED),
    "reanalysis": (cf.REANALYSIS,),
    "without a value": (cf.NO_OBSERVATION, cf.NO_RETRIEVAL),
    "failed": (FAILED,),
    "never written": (NEVER_WRITTEN,),
}
OBSERVED, FILLED, REANALYSIS, WITHOUT, BROKEN, NEVER = range(len(GROUPS))
WITH_VALUE = [OBSERVED, FILLED, REANALYSIS]


class Kind(IntEnum):
    """What a day is."""

    COMPLETE = 0
    PARTIAL = 1
    UNSEEN = 2
    REANALYSIS = 3
    MISSING = 4


KINDS = {
    Kind.COMPLETE: ("complete", "every cell of the open sea has a value, observed or filled"),
    Kind.PARTIAL: ("with gaps", "some cells of the open sea have no value"),
    Kind.UNSEEN: ("filled only", "no cell was observed: all are filled from the days around"),
    Kind.REANALYSIS: ("from reanalysis", "of a pass or both, values were taken from a reanalysis"),
    Kind.MISSING: ("missing", "no cell has a value"),
}


@dataclass(frozen=True)
class Span:
    """Days one after the other that are alike.

    Parameters
    ----------
    first, last : datetime64[D]
    days : int
    why : str
        What they are, in words.
    """

    first: np.datetime64
    last: np.datetime64
    days: int
    why: str


@dataclass(frozen=True)
class Coverage:
    """Days of a period.

    Parameters
    ----------
    days : datetime64[D] array, shape (days,)
    counts : int array, shape (days, groups)
        Cells of each of `GROUPS`.
    stored : bool array, shape (days,)
        Whether the store has the day at all.
    land : bool array, shape (lat, lon)
    """

    days: Days
    counts: Counts
    stored: Flags
    land: Flags

    @property
    def kinds(self) -> Codes:
        """Of each day, a `Kind`; shape (days,)."""
        valid = self.counts[:, WITH_VALUE].sum(axis=1)
        lacking = self.counts[:, [WITHOUT, BROKEN, NEVER]].sum(axis=1)
        found = np.where(lacking > 0, Kind.PARTIAL, Kind.COMPLETE)
        found = np.where(self.counts[:, OBSERVED] == 0, Kind.UNSEEN, found)
        found = np.where(self.counts[:, REANALYSIS] > 0, Kind.REANALYSIS, found)
        return np.where(valid == 0, Kind.MISSING, found).astype(np.uint8)

    @property
    def shares(self) -> npt.NDArray[np.float64]:
        """Of the open sea's cells: observed, filled, of a reanalysis, without; shape (days, 4).

        A day that is missing as a whole is without any.
        """
        sea = self.counts.sum(axis=1)
        kept = self.counts[:, : WITHOUT + 1].astype(np.float64)
        kept[:, WITHOUT] += self.counts[:, BROKEN] + self.counts[:, NEVER]
        kept[sea == 0, WITHOUT] = 1.0
        return np.asarray(kept / np.maximum(sea, 1)[:, None])

    def number(self, kind: Kind) -> int:
        """Days of a kind."""
        return int((self.kinds == kind).sum())

    def spans(self, kind: Kind) -> list[Span]:
        """Days of a kind, those that follow on each other and are alike as one."""
        which = np.flatnonzero(self.kinds == kind).tolist()
        why = [self._why(day) if kind is Kind.MISSING else "" for day in which]
        return [
            Span(
                self.days[days[0]],
                self.days[days[-1]],
                len(days),
                words or self._of_cells(days, kind),
            )
            for days, words in _runs(which, why)
        ]

    def _why(self, day: int) -> str:
        if not self.stored[day]:
            return "not in the store: no run was asked for it"
        if self.counts[day, NEVER] and not self.counts[day, BROKEN]:
            return "never written"
        if self.counts[day, BROKEN]:
            return "failed: see quality checks"
        return "nothing was observed, and nothing filled"

    def _of_cells(self, days: list[int], kind: Kind) -> str:
        """Of what the cells of some days are, on average."""
        mean = 100.0 * self.shares[days].mean(axis=0)
        named = {
            Kind.PARTIAL: (WITHOUT, "without a value"),
            Kind.REANALYSIS: (REANALYSIS, "from reanalysis"),
            Kind.UNSEEN: (FILLED, "filled"),
        }
        group, words = named.get(kind, (OBSERVED, "observed"))
        share = "less than 0.1" if 0 < mean[group] < 0.1 else f"{mean[group]:.1f}"
        return f"{share} % of the cells {words}"

    def table(self) -> str:
        """All days as comma-separated values: kind, and shares of the open sea's cells."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("day", "kind", "observed", "filled", "reanalysis", "without"))
        for day, kind, shares in zip(self.days, self.kinds, self.shares, strict=True):
            writer.writerow((day, KINDS[Kind(kind)][0], *(f"{share:.4f}" for share in shares)))
        return text.getvalue()


def _runs(which: list[int], why: list[str]) -> Iterator[tuple[list[int], str]]:
    """Numbers that follow on each other and have the same words."""
    held: list[int] = []
    words = ""
    for number, told in zip(which, why, strict=True):
        if held and (number != held[-1] + 1 or told != words):
            yield held, words
            held = []
        held.append(number)
        words = told
    if held:
        yield held, words


def read(
    states: xr.DataArray, days: Days, advance: Callable[[int], None] = lambda days: None
) -> Coverage:
    """Count what the cells of each day are; a few days are held at once.

    Parameters
    ----------
    states : uint8 DataArray
        On (time, lat, lon), lazily read, with the codes of `fluxrecipes.vocabulary`.
    days : datetime64[D] array
        Of the period.
    advance : callable, optional
        Told of each number of days that were read.
    """
    times = states["time"].values.astype("M8[D]")
    counts = np.zeros((len(days), len(GROUPS)), np.int64)
    stored = np.isin(days, times)
    land = np.zeros(states.shape[1:], bool)
    for steps in steps_of(states, days):
        codes = states[steps].values
        land |= (codes == cf.LAND).any(axis=0)
        at = np.searchsorted(days, times[steps])
        counts[at] = [_counted(one) for one in codes]
        advance(len(at))
    return Coverage(days, counts, stored, land)


def _counted(codes: Codes) -> list[int]:
    number = np.bincount(codes.ravel(), minlength=256)
    return [int(number[list(members)].sum()) for members in GROUPS.values()]


def steps_of(values: xr.DataArray, days: Days) -> Iterator[slice]:
    """Steps of a record that lie in a period, as many at once as lie together in the store."""
    times = values["time"].values.astype("M8[D]")
    inside = np.flatnonzero((times >= days[0]) & (times <= days[-1]))
    encoded = values.encoding.get("shards") or values.encoding.get("chunks") or (STEPS,)
    length = max(1, int(encoded[0]))
    start, stop = int(inside[0]), int(inside[-1]) + 1
    while start < stop:
        end = min((start // length + 1) * length, stop)
        yield slice(start, end)
        start = end
