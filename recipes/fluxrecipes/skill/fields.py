"""Observed passes as fillers take them: runs of consecutive days, with the reasons of all gaps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fluxengine import store
from fluxengine.config import Period
from fluxengine.errors import ConfigError
from fluxengine.place import Place
from fluxrecipes import vocabulary as cf
from fluxrecipes.stored import is_plain
from fluxrecipes.training.archive import Days, Layer, Part, has_value

if TYPE_CHECKING:
    import xarray as xr

Floats = npt.NDArray[np.floating[Any]]
Mask = npt.NDArray[np.bool_]

VARIABLES = tuple(v.name for v in cf.MICROWAVE)
RAIN = cf.rain_rate.name
CAUSES: Mapping[str, int] = {
    "swath": cf.NO_OBSERVATION,
    "rain": cf.NO_RETRIEVAL,
    "coast": cf.COAST,
}
_DAY = np.timedelta64(1, "D")


@dataclass(frozen=True, eq=False)
class Passes:
    """Both passes of consecutive days.

    Parameters
    ----------
    days : datetime64[D] array, shape (time,)
        Consecutive.
    latitudes, longitudes : float64 array
        Degrees north; degrees east from 0, evenly spaced around the globe.
    values : dict of float32 array, shape (time, orbit, lat, lon)
        By variable, in its own unit; NaN where there is none.
    states : dict of uint8 array, of the same shape
        Codes of `fluxrecipes.vocabulary.STATES`.
    hours : float32 array, of the same shape
        Time of observation, UTC hours of the day; NaN where nothing was observed.
    """

    days: Days
    latitudes: npt.NDArray[np.float64]
    longitudes: npt.NDArray[np.float64]
    values: Mapping[str, Floats]
    states: Mapping[str, npt.NDArray[np.uint8]]
    hours: Floats

    def part(self, first: int, last: int) -> Passes:
        """The days with numbers from `first` to before `last`, as far as there are any."""
        cut = slice(max(first, 0), max(last, 0))
        return replace(
            self,
            days=self.days[cut],
            values={n: v[cut] for n, v in self.values.items()},
            states={n: v[cut] for n, v in self.states.items()},
            hours=self.hours[cut],
        )

    def without(self, hidden: Mask) -> Passes:
        """The same, some observed cells turned into gaps of the swath.

        Parameters
        ----------
        hidden : bool array, shape (time, orbit, lat, lon)
        """
        return replace(
            self,
            values={n: np.where(hidden, np.float32(np.nan), v) for n, v in self.values.items()},
            states={
                n: np.where(hidden & has_value(s), np.uint8(cf.NO_OBSERVATION), s)
                for n, s in self.states.items()
            },
        )

    @property
    def local_hours(self) -> npt.NDArray[np.float64]:
        """Mean local solar time of each orbit and latitude, hours, shape (orbit, lat).

        A latitude that was never seen is given its orbit's mean.
        """
        turn = np.exp(2j * np.pi / 24.0 * (self.hours + self.longitudes / 15.0))
        known = np.isfinite(self.hours)
        rows = np.where(known, turn, 0.0).sum(axis=(0, 3))
        whole = rows.sum(axis=1, keepdims=True)
        mean = np.where(np.abs(rows) > 0, rows, whole)
        hours: npt.NDArray[np.float64] = np.mod(np.angle(mean) * 24.0 / (2.0 * np.pi), 24.0)
        return hours

    def causes(self, name: str, day: int) -> dict[str, Mask]:
        """Where each cause made a gap of a variable on a day, (orbit, lat, lon) each."""
        state = self.states[name][day]
        return {cause: state == code for cause, code in CAUSES.items()}


def occurrence(rain: Floats, above: float) -> Floats:
    """1 where it rains more than `above`, 0 where not, NaN where nothing is known."""
    return np.where(np.isfinite(rain), rain > above, np.nan).astype(np.float32)


def opened(location: Place, dataset: str, names: Sequence[str] = VARIABLES) -> Part:
    """Passes of a store of ours, or of a plain Zarr that holds the same variables.

    Parameters
    ----------
    location : Place
        A store, or the Zarr itself.
    dataset : str
        Its name in a store, or the path of a plain Zarr (``*.zarr``); not used where the location
        is one.
    names : sequence of str
        Variables, each with its state.

    Raises
    ------
    ConfigError
        FF201: variables are missing, or there is nothing at that place.
    """
    layers = Layer.of(*names)
    if _is_plain(location, dataset):
        return _plain(location, dataset, layers, cf.pass_time.name)
    return Part.opened(location, dataset, layers)


def warmth(location: Place, dataset: str) -> Part:
    """Sea surface temperature of a store's dataset, by its own state or that of the fluxes.

    A plain Zarr has it itself, under its own name and with its own state.

    Raises
    ------
    ConfigError
        FF201: the dataset lacks it.
    """
    name = cf.sea_surface_temperature.name
    if _is_plain(location, dataset):
        return _plain(location, dataset, Layer.of(name))
    own = f"{name}_state" in store.open_dataset(location, dataset).variables
    return Part.opened(
        location, dataset, [Layer(name, f"{name}_state" if own else cf.flux_state.name)]
    )


def _is_plain(location: Place, dataset: str) -> bool:
    return is_plain(dataset) or (location / store.MARKER).read() is None


def _plain(location: Place, dataset: str, layers: Sequence[Layer], *also: str) -> Part:
    """Of a plain Zarr: the dataset, where its name is the path of one, or the location."""
    import xarray as xr

    path = dataset if is_plain(dataset) else str(location)
    if "://" not in path and not Path(path).exists():
        raise ConfigError("there is nothing here.", where=path, mend="Name a store, or a Zarr.")
    try:
        found: xr.Dataset = xr.open_zarr(path, consolidated=False)
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"this is neither a store nor a Zarr ({error}).", where=path) from error
    lacking = sorted({*also, *(n for layer in layers for n in layer)} - set(found.variables))
    if lacking:
        raise ConfigError(f"it has no {', '.join(lacking)}.", where=path)
    return Part(found, tuple(layers), path)


def read(part: Part, days: Days) -> Passes:
    """Some of a dataset's days, which must all be there.

    Raises
    ------
    NoValue
        FF711: a state says that there is a value where there is none.
    """
    fields = part.read(days)
    at = np.searchsorted(part.days, days)
    hours = part.dataset[cf.pass_time.name].isel(time=slice(int(at[0]), int(at[-1]) + 1))
    return Passes(
        days,
        part.dataset["lat"].values.astype(float),
        part.dataset["lon"].values.astype(float),
        {n: fields.values[i] for i, n in enumerate(fields.names)},
        {n: fields.states[i] for i, n in enumerate(fields.names)},
        hours.transpose("time", "orbit", "lat", "lon").values[at - at[0]].astype(np.float32),
    )


@dataclass(frozen=True)
class Run:
    """Consecutive days, and which of them are scored.

    Parameters
    ----------
    first, last : datetime64[D]
        Of the days to read, both included.
    targets : tuple of int
        Days to score, counted from the first.
    """

    first: np.datetime64
    last: np.datetime64
    targets: tuple[int, ...] = ()

    @property
    def days(self) -> Days:
        """All of them."""
        return np.arange(self.first, self.last + _DAY)


def runs(
    written: Days, periods: Sequence[Period], *, every: int, margin: int, longest: int = 30
) -> tuple[Run, ...]:
    """Runs of written days to score every n-th day of, with days around to fill from.

    Parameters
    ----------
    written : datetime64[D] array
        Days there are, ascending.
    periods : sequence of Period
        Scored days lie in them; days around may lie outside.
    every : int
        One day in so many of each period is scored; those that overlap are one.
    margin : int
        Days wanted before and after each scored one, as far as there are any.
    longest : int
        Days of a run that may be scored, so that several processes find work.

    Raises
    ------
    ConfigError
        FF201: no day of the periods is there.
    """
    wanted = days_of(written, periods, every)
    if not wanted.size:
        told = ", ".join(f"{one.first} to {one.last}" for one in periods)
        raise ConfigError(f"no day of {told} was written.", where="score", mend="Run them first.")
    made = []
    for piece in pieces(written):
        inside = wanted[(wanted >= piece[0]) & (wanted <= piece[-1])]
        while inside.size:
            some, inside = np.split(inside, [int((inside < inside[0] + longest * _DAY).sum())])
            first = max(piece[0], some[0] - margin * _DAY)
            last = min(piece[-1], some[-1] + margin * _DAY)
            made.append(Run(first, last, tuple(((some - first) / _DAY).astype(int).tolist())))
    return tuple(made)


def pieces(days: Days) -> list[Days]:
    """Consecutive days, each stretch by itself."""
    return np.split(days, np.flatnonzero(np.diff(days) != _DAY) + 1) if days.size else []


def sampled(
    written: Days, periods: Sequence[Period], *, length: int, count: int
) -> tuple[Run, ...]:
    """Stretches of the training periods, spread evenly, to fit covariances and patterns on.

    Parameters
    ----------
    length : int
        Days of a stretch.
    count : int
        Stretches at most.

    Raises
    ------
    ConfigError
        FF201: no stretch of that length is there.
    """
    starts = [
        run[k]
        for one in disjoint(periods)
        for run in pieces(within(written, one))
        for k in range(0, run.size - length + 1, length)
    ]
    if not starts:
        raise ConfigError(
            f"the days to fit on hold no {length} consecutive days.",
            where="fit",
            mend="Name longer periods, or run these days first.",
        )
    chosen = np.unique(np.linspace(0, len(starts) - 1, min(count, len(starts))).round().astype(int))
    return tuple(Run(starts[k], starts[k] + (length - 1) * _DAY) for k in chosen)


def days_of(written: Days, periods: Sequence[Period], every: int = 1) -> Days:
    """Every n-th written day of each period, in order and each once; those that overlap are one."""
    return np.concatenate([within(written, one)[::every] for one in disjoint(periods)])


def disjoint(periods: Sequence[Period]) -> list[Period]:
    """The same days in order, those of periods that overlap as one period."""
    made: list[Period] = []
    for one in sorted(periods, key=lambda period: period.first):
        if made and one.first <= made[-1].last:
            first, last = made[-1].first, max(made[-1].last, one.last)
            made[-1] = Period(first=first, last=last)
        else:
            made.append(one)
    return made


def within(days: Days, period: Period) -> Days:
    """Those of some days that lie in a period."""
    found: Days = days[(days >= np.datetime64(period.first)) & (days <= np.datetime64(period.last))]
    return found
