"""Points of passes: what retrievals are told there, and the air that there was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fluxengine.errors import ConfigError
from fluxkernels.nets.quantities import Quantity
from fluxrecipes import networks
from fluxrecipes import vocabulary as cf
from fluxrecipes.matchups.matching import cell_of, edges_of
from fluxrecipes.near_surface import clock, from_sea, local_hours
from fluxrecipes.skill import fields
from fluxrecipes.skill.closing import bands, thirds
from fluxrecipes.skill.fields import VARIABLES, Passes
from fluxrecipes.skill.network import loaded
from fluxrecipes.skill.settings import Retrieval, Validation
from fluxrecipes.skill.truth import AIR, Simulated
from fluxrecipes.stages.states import was_filled
from fluxrecipes.training import labelled
from fluxrecipes.training.archive import Days, Part

if TYPE_CHECKING:
    from fluxrecipes.nature.platforms import Station

Floats = npt.NDArray[np.floating[Any]]
Mask = npt.NDArray[np.bool_]
Fields = Mapping[str, Floats]
Cells = tuple[npt.NDArray[Any], ...]  # pass, row and column of points
GridCells = tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]  # rows and columns
Air = tuple[Floats, Floats]  # temperature [K] and humidity [kg kg-1] of points

SST = cf.sea_surface_temperature.name
INPUTS = tuple(quantity.name for quantity in networks.RETRIEVAL.predictors)
NEEDED = tuple(quantity.name for quantity in labelled.NEEDED)
BEYOND = (*VARIABLES, SST)  # of the truth: what the oracle is told
OCEAN, SEEN, UNSEEN = PLACES = ("ocean", "other stations", "withheld stations")


class Sample(NamedTuple):
    """Points of some passes.

    Parameters
    ----------
    inputs : float64 array, shape (point, input)
        `INPUTS`, in their units, NaN where there is none; then sine of latitude, sine and cosine
        of longitude.
    perfect : float64 array, shape (point, input)
        `BEYOND` as they were, then the same three.
    air : (float64 array, float64 array), shape (point,)
        True air temperature and humidity.
    day : datetime64[D] array, shape (point,)
    place : int array, shape (point,)
        Which of `PLACES`.
    networks : dict of str to (float64 array, float64 array)
        What each network retrieves there.
    errors : dict of str to (float64 array, float64 array)
        With what standard errors.
    """

    inputs: Floats
    perfect: Floats
    air: Air
    day: Days
    place: npt.NDArray[np.int64]
    networks: dict[str, Air]
    errors: dict[str, Air]

    @property
    def kinds(self) -> dict[str, Mask]:
        """Points by what was filled, latitude and wind."""
        filled = [
            self.inputs[:, INPUTS.index(q.name)] > 0
            for q in (networks.WIND_FILLED, networks.VAPOUR_FILLED)
        ]
        latitude = np.degrees(np.arcsin(np.clip(self.inputs[:, len(INPUTS)], -1.0, 1.0)))
        return {
            "observed": ~(filled[0] | filled[1]),
            "filled": filled[0] | filled[1],
            **bands(latitude),
            **thirds(self.inputs[:, INPUTS.index(VARIABLES[0])], "wind"),
        }

    @property
    def sst(self) -> Floats:
        """As the retrievals are told it, K."""
        return self.inputs[:, INPUTS.index(SST)]


@dataclass(frozen=True, eq=False)
class Inputs:
    """The datasets that the retrieval is fed from."""

    observed: Part
    filled: Part
    sst: Part

    @classmethod
    def opened(cls, asked: Validation) -> Inputs:
        """As `Validation.datasets` names them; all are the same where the store is a Zarr."""
        names, place = asked.datasets, asked.place
        assert names.sst is not None
        return cls(
            fields.opened(place, names.observed),
            fields.opened(place, names.filled),
            fields.warmth(place, names.sst),
        )

    @property
    def days(self) -> Days:
        """Those that all of them have."""
        both = np.intersect1d(self.observed.written(), self.filled.written())
        return np.intersect1d(both, self.sst.written())

    def of(self, day: np.datetime64) -> tuple[Passes, dict[str, Floats]]:
        """Passes of a day, and what networks are told of it, (orbit, lat, lon) each."""
        days = np.array([day])
        passes = fields.read(self.observed, days)
        filled = self.filled.read(days)
        told = {name: filled.of(name)[0].astype(np.float64) for name in VARIABLES}
        warmth = self.sst.read(days).of(SST)[0].astype(np.float64)
        told[SST] = np.broadcast_to(warmth, passes.hours.shape[1:])
        hand = clock(local_hours(passes.hours, passes.longitudes)[0])
        for quantity, side in zip((networks.HOUR_COS, networks.HOUR_SIN), hand, strict=True):
            told[quantity.name] = np.asarray(side)
        for quantity in (networks.WIND_FILLED, networks.VAPOUR_FILLED):
            name = quantity.name.removesuffix("_filled")
            state = filled.states[filled.names.index(name), 0]
            told[quantity.name] = was_filled(state)
        return passes, told


def station_cells(part: Part) -> dict[int, GridCells]:
    """Rows and columns of the grid in which moorings lie, by their number among `PLACES`.

    They are the cells that their reports are matched with; moorings off the grid have none.
    """
    from fluxrecipes.nature.moorings import FLUX_MOORINGS, MOORINGS

    def cells(stations: Sequence[Station]) -> GridCells:
        latitude, longitude = np.array([(s.latitude, s.longitude) for s in stations]).T
        row, column = cell_of(latitude, longitude, *edges_of(part.dataset))
        rows, columns = (part.dataset.sizes[name] for name in ("lat", "lon"))
        inside = (row >= 0) & (row < rows) & (column < columns)
        return row[inside], column[inside]

    seen = [station for station, _ in MOORINGS.values()]
    return {PLACES.index(SEEN): cells(seen), PLACES.index(UNSEEN): cells(FLUX_MOORINGS)}


def draw(
    parts: Inputs,
    days: Days,
    of: Retrieval,
    referee: Simulated,
    weights: Sequence[Path] = (),
    stations: Mapping[int, GridCells] = MappingProxyType({}),
) -> Iterator[Sample]:
    """Points of each day with what a retrieval needs: drawn ones, and those of stations."""
    nets = {f"mpfnet:{path.stem}": Network.read(path) for path in weights}
    for day in days:
        passes, told = parts.of(day)
        rng = np.random.default_rng((of.seed, int(day.astype(int))))
        needed = np.logical_and.reduce([np.isfinite(told[name]) for name in NEEDED])
        where = chosen(needed, passes.latitudes, of.points, rng)
        kind = np.zeros(where.shape[1:], np.int64)
        for number, (row, column) in stations.items():
            kind[row, column] = number
        where |= needed & (kind > 0)
        truth = referee.at(passes, (0,), where[None], (*AIR, *BEYOND))
        known = where & np.isfinite(truth[AIR[0]][0])
        maps = {name: net.of(parts, day, told) for name, net in nets.items()}
        yield _points(passes, told, truth, known, kind, maps)


def everything(parts: Inputs, days: Days, of: Retrieval, referee: Simulated) -> Iterator[Sample]:
    """Many points for the oracle, wherever there is sea: of these nothing need be observed."""
    count = max(of.oracle_points // (2 * days.size), 1)
    for day in days:
        passes = fields.read(parts.observed, np.array([day]))
        rng = np.random.default_rng((of.seed, 1, int(day.astype(int))))
        sea = ~np.isin(passes.states[VARIABLES[0]][0], (cf.LAND, cf.SEA_ICE))
        where = chosen(sea, passes.latitudes, count, rng)
        truth = referee.at(passes, (0,), where[None], (*AIR, *BEYOND))
        known = where & np.isfinite(truth[AIR[0]][0])
        nothing = np.full(known.shape, np.nan)
        kind = np.zeros(known.shape[1:], np.int64)
        yield _points(passes, dict.fromkeys(INPUTS, nothing), truth, known, kind, {})


def chosen(
    there: npt.NDArray[np.bool_],
    latitudes: npt.NDArray[np.float64],
    count: int,
    rng: np.random.Generator,
) -> npt.NDArray[np.bool_]:
    """Draw so many cells of each pass, by their area, of shape (orbit, lat, lon)."""
    picked = np.zeros(there.shape, bool)
    area = np.broadcast_to(np.cos(np.radians(latitudes))[:, None], there.shape[1:])
    for orbit, cells in enumerate(there):
        flat = np.flatnonzero(cells)
        if flat.size:
            weight = area.ravel()[flat]
            some = rng.choice(flat, min(count, flat.size), False, weight / weight.sum())
            picked[orbit].ravel()[some] = True
    return picked


def _points(
    passes: Passes,
    told: Fields,
    truth: Fields,
    at: npt.NDArray[np.bool_],
    kind: npt.NDArray[np.int64],
    maps: Mapping[str, tuple[Air, Air]],
) -> Sample:
    cells = np.nonzero(at)
    return Sample(
        with_place(passes, [told[name] for name in INPUTS], cells),
        with_place(passes, [truth[name][0] for name in BEYOND], cells),
        (truth[AIR[0]][0][at], truth[AIR[1]][0][at]),
        np.full(int(at.sum()), passes.days[0]),
        kind[cells[1:]],
        *(
            {name: (both[k][0][at], both[k][1][at]) for name, both in maps.items()}
            for k in range(2)
        ),
    )


def with_place(passes: Passes, maps: Sequence[Floats], cells: Cells) -> Floats:
    """Maps at cells, and where these lie, as `Sample` has them, shape (point, input)."""
    _, row, column = cells
    north, east = np.radians(passes.latitudes[row]), np.radians(passes.longitudes[column])
    place = [np.sin(north), np.sin(east), np.cos(east)]
    return np.stack([*(one[cells] for one in maps), *place], axis=1)


def joined(samples: Iterator[Sample]) -> Sample:
    """Samples as one."""
    parts = list(samples)

    def both(pairs: Sequence[Air]) -> Air:
        return np.concatenate([one[0] for one in pairs]), np.concatenate([one[1] for one in pairs])

    names = list(parts[0].networks)
    return Sample(
        np.concatenate([one.inputs for one in parts]),
        np.concatenate([one.perfect for one in parts]),
        both([one.air for one in parts]),
        np.concatenate([one.day for one in parts]),
        np.concatenate([one.place for one in parts]),
        {name: both([one.networks[name] for one in parts]) for name in names},
        {name: both([one.errors[name] for one in parts]) for name in names},
    )


@dataclass(frozen=True, eq=False)
class Network:
    """An MPFNet ready to run, with the factors that calibrate its standard errors."""

    run: Any
    history: int
    factors: tuple[float, ...]
    predictors: tuple[Quantity, ...]

    @classmethod
    def read(cls, path: Path) -> Network:
        """Of a file of weights; `ConfigError` where it is not of the retrieval."""
        from fluxkernels.nets.predict import Predictor

        net, card = loaded(path, "MPFNet")
        taken, known = card.vocabulary, networks.RETRIEVAL
        if taken.outputs != known.outputs or not set(taken.predictors) <= set(known.predictors):
            raise ConfigError("they are not of the retrieval.", where=str(path))
        settings: Any = net.settings
        factors = tuple(card.error_model(q.name).factor for q in taken.outputs)
        return cls(Predictor(net, batch=1), int(settings.history), factors, taken.predictors)

    def of(self, parts: Inputs, day: np.datetime64, today: Fields) -> tuple[Air, Air]:
        """Air of both passes of a day and its standard errors, (orbit, lat, lon) each."""
        import torch

        before = day + np.arange(1 - self.history, 0) * np.timedelta64(1, "D")
        days = [parts.of(one)[1] if one in parts.days else None for one in before]
        found: list[tuple[Floats, ...]] = []
        for orbit, sst in enumerate(today[SST]):
            values = np.stack([self._channels(one, today, orbit) for one in (*days, today)])
            masks = np.isfinite(values)
            given = torch.from_numpy(np.where(masks, values, 0.0)[None])
            mean, spread = (
                x[0].double().numpy() for x in self.run(given, torch.from_numpy(masks[None]))
            )
            quantities = list(enumerate(networks.RETRIEVAL.outputs))
            air = from_sea(sst, *(mean[k] * q.scale + q.offset for k, q in quantities))
            errors = (self.factors[k] * np.exp(0.5 * spread[k]) * q.scale for k, q in quantities)
            found.append((*air, *errors))
        warm, moist, *spreads = (np.stack(maps) for maps in zip(*found, strict=True))
        return (warm, moist), (spreads[0], spreads[1])

    def _channels(self, told: Fields | None, like: Fields, orbit: int) -> npt.NDArray[np.float32]:
        """Scaled predictors of a pass, NaN where there is none, shape (predictor, lat, lon)."""
        if told is None:
            return np.full((len(self.predictors), *like[SST].shape[1:]), np.nan, np.float32)
        scaled = [(told[q.name][orbit] - q.offset) / q.scale for q in self.predictors]
        return np.stack(scaled).astype(np.float32)
