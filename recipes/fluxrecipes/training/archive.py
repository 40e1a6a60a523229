"""Analysis-ready datasets as training reads them: a run of whole blocks at a time.

A store's block of thirty days is one object: a window of seven days drawn anywhere in the record
would read four times what it needs, for every sample. Here a *span* of consecutive blocks is read
once and serves many windows, and no more than one is held: what a training has of the one before,
be it for a check or for another phase, it lets go of first. Which span a step of the training
visits follows from the seed and the step alone, so that a run that goes on after a kill sees what
an unbroken one does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from fluxengine.config import Period
from fluxengine.errors import ConfigError, FluxforgeError
from fluxengine.place import Place
from fluxrecipes import stored
from fluxrecipes import vocabulary as cf
from fluxrecipes.stages.states import has_value as has_value

if TYPE_CHECKING:
    import xarray as xr

Days = npt.NDArray[np.datetime64]
Floats = npt.NDArray[np.float32]
States = npt.NDArray[np.uint8]
Indices = npt.NDArray[np.intp]

GRID = ("lat", "lon")
DIMENSIONS = ("time", "orbit", *GRID)
_DAY = np.timedelta64(1, "D")
_ROUNDED = 1e-3  # degrees: coordinates are computed
_SHORTEST = 10  # days that are read together, where each is an object of its own
_VISITS = 1  # beside the seed of a visit: its numbers are those of step 1, for another purpose


class NoValue(FluxforgeError, ValueError):
    """A dataset says that there is a value where it holds none."""

    code = "FF711"


class HeldOut(FluxforgeError, ValueError):
    """Training reaches into a period that is kept for the last test."""

    code = "FF712"


class Layer(NamedTuple):
    """A variable of a dataset and the flag variable that says where it has values."""

    name: str
    state: str

    @classmethod
    def of(cls, *names: str) -> tuple[Layer, ...]:
        """Variables each with a state of its own name."""
        return tuple(cls(name, f"{name}_state") for name in names)


@dataclass(frozen=True)
class Fields:
    """Some days of a dataset.

    Parameters
    ----------
    names : tuple of str
        Of the variables.
    values : float32 array, shape (variable, time, orbit, lat, lon)
        In SI units, NaN where the state tells of none. A dataset without passes has one orbit.
    states : uint8 array, of the same shape
        Codes of `fluxrecipes.vocabulary.STATES`; 0 and 1 where nothing was written, or it failed.
    """

    names: tuple[str, ...]
    values: Floats
    states: States

    def of(self, name: str) -> Floats:
        """Values of one variable, shape (time, orbit, lat, lon)."""
        values: Floats = self.values[self.names.index(name)]
        return values


@dataclass(frozen=True)
class Part:
    """A dataset, and what is wanted of it.

    Parameters
    ----------
    dataset : Dataset
        Variables and flags on (time, orbit, lat, lon), or without orbit; one step a day.
    layers : tuple of Layer
    where : str
        For errors: the store and the dataset.
    """

    dataset: xr.Dataset
    layers: tuple[Layer, ...]
    where: str

    @classmethod
    def opened(cls, store: Place, name: str, layers: Sequence[Layer]) -> Part:
        """A published dataset of a store, or a plain Zarr store by its path (``*.zarr``).

        Raises
        ------
        ConfigError
            Where it lacks a variable, or is no record of days on a grid.
        NotOurStore, UnknownName
        """
        dataset, where = stored.opened(store, name)
        part = cls(dataset, tuple(layers), where)
        lacking = sorted({n for layer in layers for n in layer} - set(part.dataset.variables))
        if lacking:
            raise ConfigError(
                f"it has no {', '.join(lacking)}.",
                where=part.where,
                mend="Name another dataset in `datasets`, or make this one anew.",
            )
        strange = set(part.dataset[layers[0].name].dims) ^ set(DIMENSIONS)
        if strange - {"orbit"}:
            raise ConfigError(
                f"its variables are on {part.dataset[layers[0].name].dims}.",
                where=part.where,
                mend="Training reads daily maps: time, perhaps orbit, lat and lon.",
            )
        return part

    @property
    def days(self) -> Days:
        """Of its steps."""
        days: Days = self.dataset["time"].values.astype("datetime64[D]")
        return days

    @property
    def block(self) -> int:
        """Steps that are read together: those in one object of the store, and no fewer than 10."""
        stored = self.dataset[self.layers[0].name].encoding
        sizes = stored.get("shards") or stored.get("chunks") or (len(self.days),)
        return max(int(sizes[0]), _SHORTEST)

    def written(self, periods: Sequence[Period] = ()) -> Days:
        """The days, of all or of some periods, that were written; told by a single cell of each."""
        days = self.days
        if periods:
            inside = np.flatnonzero(np.any([_within(days, one) for one in periods], axis=0))
            days = days[inside[0] : inside[-1] + 1] if inside.size else days[:0]
        if not days.size:
            return days
        first = int(np.searchsorted(self.days, days[0]))
        state = self.dataset[self.layers[0].state].isel(time=slice(first, first + days.size))
        cell = state.isel({name: 0 for name in state.dims if name != "time"}).values
        found: Days = days[_codes(cell) >= cf.OBSERVED]
        return found

    def read(self, days: Days) -> Fields:
        """Some of its days.

        Parameters
        ----------
        days : datetime64[D] array, ascending
            All within the dataset's own.

        Raises
        ------
        NoValue
            Where a state says that there is a value, and there is none: naming dataset, variable
            and day.
        """
        at = np.searchsorted(self.days, days)
        cut = self.dataset.isel(time=slice(int(at[0]), int(at[-1]) + 1))
        kept = at - at[0]
        states = {
            name: _codes(_on_passes(cut[name]))[kept] for name in {one.state for one in self.layers}
        }
        read = [self._checked(cut, layer, kept, states[layer.state], days) for layer in self.layers]
        return Fields(
            tuple(layer.name for layer in self.layers),
            np.stack(read),
            np.stack([states[layer.state] for layer in self.layers]),
        )

    def _checked(
        self, cut: xr.Dataset, layer: Layer, kept: Indices, states: States, days: Days
    ) -> Floats:
        values = _on_passes(cut[layer.name])[kept].astype(np.float32, copy=False)
        there = has_value(states)
        bad = there & ~np.isfinite(values)
        if bad.any():
            day = days[int(np.argmax(bad.any(axis=(1, 2, 3))))]
            raise NoValue(
                f"{layer.name} of {day} has no value in {int(bad.sum())} cells of which"
                f" {layer.state} says that there is one.",
                where=self.where,
                mend="`fluxforge verify` tells whether it was damaged; else make it anew.",
            )
        return np.where(there, values, np.float32(np.nan))


def _codes(flags: npt.NDArray[Any]) -> States:
    """Flags as codes: what was never written is read as NaN by xarray, and is 0."""
    codes: States = np.nan_to_num(flags, nan=0.0).astype(np.uint8)
    return codes


def _on_passes(array: xr.DataArray) -> npt.NDArray[Any]:
    """Values on (time, orbit, lat, lon), with a single orbit where there are none."""
    if "orbit" not in array.dims:
        array = array.expand_dims("orbit")
    values: npt.NDArray[Any] = array.transpose(*DIMENSIONS).values
    return values


@dataclass(frozen=True, eq=False)
class Span:
    """A run of days that is read at once.

    Parameters
    ----------
    days : datetime64[D] array
        In order. Those that were not written everywhere are left out: neighbours may be days apart.
    starts : int array
        First days, in `days`, of the windows of which every day was written everywhere.
    """

    days: Days
    starts: Indices


class Spans(Protocol):
    """What has runs of days to be visited."""

    @property
    def spans(self) -> tuple[Span, ...]:
        """The runs."""

    @property
    def weights(self) -> npt.NDArray[np.float64]:
        """How much each has to tell."""


def visited(of: Spans, seed: int, step: int, stay: int) -> Span:
    """The span of a step: the same for `stay` steps, then another, drawn by its weight."""
    random = np.random.default_rng((seed, _VISITS, step // stay))
    weights = of.weights / of.weights.sum()
    return of.spans[int(random.choice(len(of.spans), p=weights))]


class Archive:
    """Several datasets, read together.

    Memory is bounded by one span: `blocks` blocks of the first dataset, and the same days of the
    others.

    Parameters
    ----------
    parts : mapping of str to Part
        By role, such as ``"observed"``. The blocks are those of the first.
    periods : sequence of Period
        No window reaches outside of one of them.
    window : int
        Consecutive days that are needed together.
    blocks : int
        Of a span.

    Raises
    ------
    ConfigError
        Where no window can be drawn.
    """

    def __init__(
        self, parts: Mapping[str, Part], periods: Sequence[Period], window: int, blocks: int = 2
    ) -> None:
        self.parts = dict(parts)
        self.window = window
        first = next(iter(self.parts.values()))
        written = _common([part.written(periods) for part in self.parts.values()])
        self.spans = tuple(
            span
            for period in periods
            for span in _spans(first, period, written, window, blocks)
            if span.starts.size
        )
        _check_grids(list(self.parts.values()))
        if not self.spans:
            some = any(_starts(written[_within(written, one)], window).size for one in periods)
            raise _too_short(first, window, blocks) if some else self._none(periods)

    def _none(self, periods: Sequence[Period]) -> ConfigError:
        told = ", ".join(f"{period.first} to {period.last}" for period in periods)
        return ConfigError(
            f"there are no {self.window} consecutive days of {told} in all of"
            f" {', '.join(part.where for part in self.parts.values())}.",
            where="training data",
            mend="Run the products for these days, or name other periods.",
        )

    @property
    def latitudes(self) -> npt.NDArray[np.float64]:
        """Of the cells, degrees north."""
        return self._axis("lat")

    @property
    def longitudes(self) -> npt.NDArray[np.float64]:
        """Of the cells, degrees east."""
        return self._axis("lon")

    @property
    def spacing(self) -> float:
        """Of longitudes, degrees."""
        return float(self.longitudes[1] - self.longitudes[0])

    def _axis(self, name: str) -> npt.NDArray[np.float64]:
        part = next(iter(self.parts.values()))
        return np.asarray(part.dataset[name].values, np.float64)

    @property
    def weights(self) -> npt.NDArray[np.float64]:
        """How many windows each span has."""
        return np.array([span.starts.size for span in self.spans], float)

    def load(self, span: Span) -> dict[str, Fields]:
        """All parts of a span by role, not held: for who keeps what is made of them.

        Raises
        ------
        NoValue
        """
        return {role: part.read(span.days) for role, part in self.parts.items()}


def _too_short(part: Part, window: int, blocks: int) -> ConfigError:
    """Of blocks that are held at once, where the days are there and no window fits into them."""
    return ConfigError(
        f"{window} days are needed together, and {blocks} x {part.block} are held at once.",
        where=part.where,
        mend=f"Set `blocks` to {math.ceil((window - 1) / part.block) + 1}, or take fewer days.",
    )


def _check_grids(parts: Sequence[Part]) -> None:
    """Of one grid, which goes around the globe as the networks do."""
    first = parts[0].dataset
    longitudes = first["lon"].values.astype(np.float64)
    around = len(longitudes) * float(longitudes[1] - longitudes[0])
    if abs(around - 360.0) > _ROUNDED:
        raise ConfigError(
            f"a network needs the whole globe, and its longitudes make {around:g} degrees.",
            where=parts[0].where,
            mend="Train on datasets that go around the globe.",
        )
    for part in parts[1:]:
        if any(not np.array_equal(first[name].values, part.dataset[name].values) for name in GRID):
            raise ConfigError(
                f"it is on another grid than {parts[0].where}.",
                where=part.where,
                mend="Name datasets of one grid.",
            )


def _common(days: Sequence[Days]) -> Days:
    found = days[0]
    for others in days[1:]:
        found = np.intersect1d(found, others)
    return found


def _spans(part: Part, period: Period, written: Days, window: int, blocks: int) -> list[Span]:
    """Each run of so many blocks, clipped to the period: neighbours overlap by all but one."""
    days, length = part.days, part.block
    inside = np.flatnonzero(_within(days, period))
    if not inside.size:
        return []
    first, last = int(inside[0]) // length, int(inside[-1]) // length
    found = []
    for block in range(first, max(first, last - blocks + 1) + 1):
        run = days[block * length : (block + blocks) * length]
        run = run[(run >= np.datetime64(period.first)) & (run <= _last(period))]
        run = run[np.isin(run, written)]
        found.append(Span(run, _starts(run, window)))
    return found


def _within(days: Days, period: Period) -> npt.NDArray[np.bool_]:
    return np.asarray((days >= np.datetime64(period.first)) & (days <= _last(period)))


def _last(period: Period) -> np.datetime64:
    return np.datetime64(period.last)


def _starts(days: Days, window: int) -> Indices:
    """Where as many consecutive days begin."""
    if len(days) < window:
        return np.zeros(0, np.intp)
    apart = days[window - 1 :] - days[: len(days) - window + 1]
    return np.flatnonzero(apart == (window - 1) * _DAY)


def check_periods(
    train: Sequence[Period], validation: Sequence[Period], held_out: Sequence[Period], where: str
) -> None:
    """Refuse periods that would leak.

    Raises
    ------
    HeldOut
        Where training or validation touches what is held out.
    ConfigError
        Where they touch each other.
    """
    for told, periods in (("train", train), ("validation", validation)):
        for one in periods:
            for kept in held_out:
                if _touch(one, kept):
                    raise HeldOut(
                        f"{one.first} to {one.last} reaches into {kept.first} to {kept.last},"
                        " which is held out for the last test.",
                        where=f"{where}: {told}",
                        mend="Split the period around it.",
                    )
    for one in train:
        for other in validation:
            if _touch(one, other):
                raise ConfigError(
                    f"{one.first} to {one.last} is trained on, and {other.first} to {other.last}"
                    " is validated on.",
                    where=f"{where}: validation",
                    mend="Take days for it that are not trained on.",
                )


def _touch(one: Period, other: Period) -> bool:
    return one.first <= other.last and other.first <= one.last
