"""Runs of days as the networks that read at points take them: for a retrieval or a correction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from fluxengine.config import Period
from fluxengine.errors import ConfigError
from fluxengine.place import Place
from fluxkernels.nets.vocabulary import Quantity
from fluxrecipes import networks, stored
from fluxrecipes import vocabulary as cf
from fluxrecipes.near_surface import clock, local_hours, relative_to_sea
from fluxrecipes.stages.states import was_filled
from fluxrecipes.training import archive
from fluxrecipes.training.archive import Archive, Days, Fields, Floats, Layer, Part, Span

if TYPE_CHECKING:
    import xarray as xr

Flags = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.intp]
Named = dict[str, Floats]

MICROWAVE = tuple(one.name for one in networks.MICROWAVE)
SST, AIR, HUMIDITY = networks.SST.name, cf.air_temperature.name, cf.specific_humidity.name
FLUXES = {networks.LATENT.name: cf.latent_heat_flux, networks.SENSIBLE.name: cf.sensible_heat_flux}
TIME = cf.pass_time.name


@dataclass(frozen=True)
class Scene:
    """Some days of passes.

    Parameters
    ----------
    days : datetime64[D] array
    latitudes, longitudes : ndarray
        Of the cells, degrees.
    fields : dict of str to float32 array, shape (time, orbit, lat, lon)
        By the names of quantities, in their units; NaN where there is no value.
    """

    days: Days
    latitudes: npt.NDArray[np.float64]
    longitudes: npt.NDArray[np.float64]
    fields: Named

    def field(self, quantities: Sequence[Quantity], day: int, orbit: int) -> Floats:
        """A whole pass, scaled, shape (quantity, lat, lon)."""
        return np.stack([_scaled(self.fields[q.name][day, orbit], q) for q in quantities])

    def points(
        self,
        quantities: Sequence[Quantity],
        days: Sequence[int],
        orbit: int,
        row: Indices,
        column: Indices,
    ) -> Floats:
        """Cells on some days, scaled, shape (cell, day, quantity)."""
        found = [
            [_scaled(self.fields[q.name][day, orbit, row, column], q) for q in quantities]
            for day in days
        ]
        return np.ascontiguousarray(np.moveaxis(np.asarray(found, np.float32), 2, 0))


def _scaled(values: Floats, quantity: Quantity) -> Floats:
    given: Floats = quantity.scaled(values).astype(np.float32, copy=False)
    return given


Make = Callable[[Mapping[str, Fields]], Named]


class Scenes:
    """Reads a run of days and makes a scene of it; holds the one that was read last.

    Parameters
    ----------
    read : Archive
    times : DataArray, dims (time, orbit, lat, lon)
        UTC hours of the passes, NaN where a cell was not seen.
    make : callable
        From the parts of the archive, by role, to fields.
    """

    def __init__(self, read: Archive, times: xr.DataArray, make: Make) -> None:
        self.archive, self._times, self._make = read, times, make
        self._held: tuple[Span, Scene] | None = None

    def of(self, span: Span) -> Scene:
        """The scene of a span.

        Raises
        ------
        NoValue
        """
        if self._held is None or self._held[0] is not span:
            self._held = None  # before the next is read: one is held, not two
            self._held = (span, self._load(span))
        return self._held[1]

    def release(self) -> None:
        """Let go of the scene that is held."""
        self._held = None

    def _load(self, span: Span) -> Scene:
        fields = self._make(self.archive.load(span))
        latitudes, longitudes = self.archive.latitudes, self.archive.longitudes
        when = self._times.sel(time=span.days.astype("datetime64[ns]"))
        hours = local_hours(when.transpose(*archive.DIMENSIONS).values, longitudes)
        cosine, sine = (side.astype(np.float32) for side in clock(hours))
        told = {networks.HOUR_COS.name: cosine, networks.HOUR_SIN.name: sine}
        return Scene(span.days, latitudes, longitudes, fields | told)


# --- what each training looks at -----------------------------------------------------------------


def reanalysis(
    store: Place, name: str, periods: Sequence[Period], history: int, blocks: int
) -> Scenes:
    """Complete fields of a reanalysis, with the air that a retrieval is to find.

    Raises
    ------
    ConfigError, NotOurStore, UnknownName
    """
    wanted = [Layer(n, "reanalysis_state") for n in (*MICROWAVE, SST, AIR, HUMIDITY)]
    parts = {"reanalysis": Part.opened(store, name, wanted)}
    times = _times(store, name)
    return Scenes(Archive(parts, periods, history, blocks), times, _of_reanalysis)


def completed(
    store: Place,
    names: Mapping[str, str],
    periods: Sequence[Period],
    history: int,
    blocks: int,
) -> Scenes:
    """Passes of satellites with their gaps filled, and the SST beside them.

    Parameters
    ----------
    store : Place
    names : mapping of str to str
        Of the datasets ``filled``, ``merged`` and ``sst``.
    periods : sequence of Period
    history, blocks : int
        As of `Archive`.

    Raises
    ------
    ConfigError, NotOurStore, UnknownName
    """
    parts = {
        "filled": Part.opened(store, names["filled"], Layer.of(*MICROWAVE)),
        "sst": Part.opened(store, names["sst"], Layer.of(SST)),
    }
    times = _times(store, names["merged"])
    return Scenes(Archive(parts, periods, history, blocks), times, _of_passes)


def fluxes(
    store: Place,
    names: Mapping[str, str],
    periods: Sequence[Period],
    history: int,
    blocks: int,
) -> Scenes:
    """Bulk fluxes of passes and what they were computed from; as `completed`.

    Of passes that were corrected already those are taken that were not.
    """
    dataset, _ = stored.opened(store, names["passes"])
    bulk = {name: f"{variable.name}_bulk" for name, variable in FLUXES.items()}
    bulk = {n: bulk[n] if bulk[n] in dataset else v.name for n, v in FLUXES.items()}
    wanted = (SST, AIR, HUMIDITY, networks.WIND.name, *bulk.values())
    filled = (networks.WIND.name, networks.VAPOUR.name)
    parts = {
        "filled": Part.opened(store, names["filled"], Layer.of(*filled)),
        "passes": Part.opened(
            store, names["passes"], [Layer(name, cf.flux_state.name) for name in wanted]
        ),
    }
    times = _times(store, names["merged"])
    make = partial(_of_fluxes, bulk)
    return Scenes(Archive(parts, periods, history, blocks), times, make)


def _times(store: Place, name: str) -> xr.DataArray:
    dataset, where = stored.opened(store, name)
    if TIME not in dataset:
        raise ConfigError(
            f"it has no {TIME}.", where=where, mend="Name the passes before their gaps are filled."
        )
    return dataset[TIME]


def _of_reanalysis(read: Mapping[str, Fields]) -> Named:
    given = read["reanalysis"]
    fields = {name: given.of(name) for name in (*MICROWAVE, SST)}
    nothing = np.where(np.isfinite(given.of(SST)), np.float32(0), np.float32(np.nan))
    filled = {one.name: nothing for one in (networks.WIND_FILLED, networks.VAPOUR_FILLED)}
    return fields | filled | _relative(given)


def _of_passes(read: Mapping[str, Fields]) -> Named:
    given = read["filled"]
    fields = {name: given.of(name) for name in MICROWAVE}
    sst = np.broadcast_to(read["sst"].of(SST), fields[MICROWAVE[0]].shape)
    return fields | {SST: sst} | _filled(given)


def _of_fluxes(bulk: Mapping[str, str], read: Mapping[str, Fields]) -> Named:
    given = read["passes"]
    fields = {name: given.of(name) for name in (SST, networks.WIND.name)}
    fields |= {name: given.of(stored) for name, stored in bulk.items()}
    return fields | _relative(given) | _filled(read["filled"])


def _relative(given: Fields) -> Named:
    """Air relative to the sea: of a reanalysis what is to be learned, of fluxes what is known."""
    pair = relative_to_sea(given.of(SST), given.of(AIR), given.of(HUMIDITY))
    names = (networks.WARMTH.name, networks.DEFICIT.name)
    return {name: value.astype(np.float32) for name, value in zip(names, pair, strict=True)}


def _filled(given: Fields) -> Named:
    """Of wind and vapour, where no satellite saw them."""
    found = {}
    pairs = (
        (networks.WIND, networks.WIND_FILLED),
        (networks.VAPOUR, networks.VAPOUR_FILLED),
    )
    for of, told in pairs:
        states = given.states[given.names.index(of.name)]
        found[told.name] = was_filled(states).astype(np.float32)
    return found
