"""How close the simulated world comes to a real day: the same statistics of both.

A `Day` holds the two passes of one satellite's day, 60° S to 60° N, as the provider stores them;
it is read from RSS's AMSR2 file, or simulated on the same orbit. Every function here takes a
`Day` and does not know which it is. ``python -m fluxrecipes.report.realism FILE`` prints the
table of both.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fluxrecipes.nature.instruments import (
    LAND,
    LAST_VALUE,
    NO_RETRIEVAL,
)
from fluxrecipes.nature.orbits import SATELLITES, Pass
from fluxrecipes.vocabulary import KELVIN

if TYPE_CHECKING:
    from fluxrecipes.nature.world import World

Float = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]

FIELDS = ("wind_speed", "water_vapour", "cloud_liquid_water", "rain_rate")
WITH_SST = (*FIELDS, "sea_surface_temperature")
PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
LAGS = (1, 2, 5, 10)  # degrees
BANDS = tuple(range(-60, 60, 10))  # southern edges, degrees north
SST_BINS = ((0, 3), (15, 18), (24, 27), (27, 30))  # °C
RAIN_BINS = ((0, 0), (1, 5), (6, 20), (21, 50), (51, 250))  # steps of 0.1 mm/h, both included
CROSSED = (
    ("water_vapour", "sea_surface_temperature"),
    ("water_vapour", "cloud_liquid_water"),
    ("wind_speed", "cloud_liquid_water"),
    ("wind_speed", "water_vapour"),
    ("cloud_liquid_water", "rain_rate"),
)
_WEIGHTS = np.broadcast_to(np.cos(np.radians(np.arange(-59.5, 60.0)))[:, None], (120, 360))
_BAND = slice(120, 600)  # rows of 60° S to 60° N on the 0.25° grid
_AMSR2_V72 = "rss-amsr2-v7.2"
AMSR2 = SATELLITES["amsr2-v7.2"]


class Layer(NamedTuple):
    """One variable of a day: bytes (pass, 480, 1440), ascending first, and their packing."""

    stored: NDArray[np.uint8]
    scale: float
    offset: float


@dataclass(frozen=True)
class Day:
    """Both passes of one satellite's day between 60° S and 60° N, ascending first.

    Parameters
    ----------
    layers : dict of Layer
        By the vocabulary's name, in the provider's units (m/s, mm, mm/h, °C), and ``pass_time``.
    """

    layers: dict[str, Layer]

    def codes(self, name: str) -> NDArray[np.uint8]:
        """Bytes as stored, shape (2, 480, 1440)."""
        return self.layers[name].stored

    def fine(self, name: str) -> Float:
        """Values at 0.25°, shape (2, 480, 1440); NaN where there is none."""
        stored, scale, offset = self.layers[name]
        values = stored * np.float32(scale) + np.float32(offset)
        return np.where(stored <= LAST_VALUE, values, np.float32(np.nan))

    def cells(self, name: str) -> Float:
        """Means of the valid cells of each 1° cell, shape (2, 120, 360)."""
        return self._cells[name]

    def departures(self, name: str) -> Float:
        """The same less the mean along each circle of latitude of each pass."""
        return _departures(self.cells(name))

    @cached_property
    def _cells(self) -> dict[str, Float]:
        return {name: _one_degree(self.fine(name)) for name in self.layers}

    @cached_property
    def sea(self) -> Mask:
        """0.25° cells that are not land, shape (480, 1440)."""
        return np.asarray(self.codes("wind_speed")[0] != LAND)


def real_day(path: Path, day: date) -> Day:
    """Read RSS's AMSR2 daily map, version 7.2.

    Raises
    ------
    MissingFile, DamagedFile, WrongFile
        As the source `rss-amsr2-v7.2` does.
    """
    from fluxengine import registry

    source = registry.source(_AMSR2_V72)
    data = source.decode(path, day)
    layers = {}
    for variable in source.provides:
        if variable.is_flag:
            continue
        packing, celsius = variable.packing, KELVIN if variable.units == "K" else 0.0
        flags = data[f"{variable.name}_flag"].values[0]
        # The source's flags keep the codes above the last value, 2 stands for a value.
        stored = np.where(flags > LAST_VALUE, flags, data[variable.name].values[0])
        layers[variable.name] = Layer(stored[:, _BAND], packing.scale, packing.offset - celsius)
    return Day(layers)


def simulated_day(world: World, day: np.datetime64) -> Day:
    """The same satellite's day in a simulated world."""
    from fluxrecipes.nature import instruments

    passes: tuple[Pass, ...] = ("ascending", "descending")
    maps = [instruments.pass_map(world, AMSR2, day, which)[:, _BAND] for which in passes]
    layers = {}
    for stored, layer in zip(np.stack(maps, axis=1), AMSR2.instrument.layers, strict=True):
        packing, celsius = layer.packing, KELVIN if layer.units == "K" else 0.0
        layers[layer.name] = Layer(stored, packing.scale, packing.offset - celsius)
    return Day(layers)


def _blocks(values: NDArray[Any]) -> NDArray[Any]:
    rows, columns = values.shape[-2:]
    return values.reshape(*values.shape[:-2], rows // 4, 4, columns // 4, 4)


def _one_degree(values: Float) -> Float:
    blocks = _blocks(values)
    count = np.isfinite(blocks).sum(axis=(-3, -1))
    total = np.nansum(blocks, axis=(-3, -1), dtype="f8")
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _mean(values: Float, axis: int) -> Float:
    """Mean of the valid ones along an axis, kept; NaN (and no warning) where there is none."""
    count = np.isfinite(values).sum(axis=axis, keepdims=True)
    return np.where(
        count > 0, np.nansum(values, axis=axis, keepdims=True) / np.maximum(count, 1), np.nan
    )


def _departures(values: Float) -> Float:
    return values - _mean(values, -1)


def correlate(a: Float, b: Float) -> float:
    """Correlation over the pairs that are both valid."""
    valid = np.isfinite(a) & np.isfinite(b)
    return float(np.corrcoef(a[valid], b[valid])[0, 1])


# --- what is seen ---------------------------------------------------------------------------------


def coverage(day: Day) -> dict[str, Float]:
    """Share of 1° cells, not wholly land, with a value, %.

    Returns
    -------
    dict of ndarray
        ``swath``, ``water_vapour``, ``wind_speed``: (2, 13), each pass, the twelve 10° bands
        from 60° S and all of them; ``either`` and ``both`` passes for wind: (13,).
    """
    sea: Mask = np.asarray(_blocks(day.sea).any(axis=(1, 3)))
    seen: dict[str, Mask] = {
        "swath": np.asarray(_blocks(day.codes("pass_time") <= LAST_VALUE).any(axis=(2, 4))),
        **{name: np.isfinite(day.cells(name)) for name in ("water_vapour", "wind_speed")},
    }
    wind = seen["wind_speed"]
    found = {name: np.stack([_by_band(part, sea) for part in mask]) for name, mask in seen.items()}
    return found | {
        "either": _by_band(wind[0] | wind[1], sea),
        "both": _by_band(wind[0] & wind[1], sea),
    }


def _by_band(seen: Mask, sea: Mask) -> Float:
    parts = [*(slice(10 * n, 10 * n + 10) for n in range(12)), slice(None)]
    return np.array([100.0 * seen[rows][sea[rows]].mean() for rows in parts])


def share_of_code(day: Day, name: str, code: int) -> Float:
    """Share of the 0.25° cells that are not land with a code, each pass, %."""
    return np.array([100.0 * (part[day.sea] == code).mean() for part in day.codes(name)])


def loss_by_rain(day: Day, name: str) -> Float:
    """Share of 0.25° cells without retrieval (251) at `RAIN_BINS` of that cell's rain."""
    rain, lost = day.codes("rain_rate"), day.codes(name) == NO_RETRIEVAL
    return np.array([lost[(rain >= low) & (rain <= high)].mean() for low, high in RAIN_BINS])


def around_lost_wind(day: Day, name: str) -> tuple[float, float]:
    """Mean of a variable at 0.25° cells that lost the wind, and at those that kept it."""
    stored, values = day.codes("wind_speed"), day.fine(name)
    return (
        float(np.nanmean(values[stored == NO_RETRIEVAL])),
        float(np.nanmean(values[stored <= LAST_VALUE])),
    )


def rain_share(day: Day) -> tuple[float, float]:
    """Share of 0.25° and of 1° cells with a rain rate that have rain, %."""
    fine, cells = day.fine("rain_rate"), day.cells("rain_rate")
    return tuple(100.0 * float((v[np.isfinite(v)] > 0).mean()) for v in (fine, cells))  # type: ignore[return-value]


def local_times(day: Day) -> Float:
    """Local mean solar time of the middle of each pass, and % of cells within 1.5 h of it."""
    hours = day.fine("pass_time") + (np.arange(1440) + 0.5) / 60.0
    found = []
    for part in hours[:, 120:360]:  # 30° S to 30° N
        angle = part[np.isfinite(part)] * (np.pi / 12.0)
        middle = np.angle(np.exp(1j * angle).mean()) * 12.0 / np.pi % 24.0
        away = np.abs((angle * 12.0 / np.pi - middle + 12.0) % 24.0 - 12.0)
        found.append((middle, 100.0 * (away <= 1.5).mean()))
    return np.array(found).T


# --- the fields, at 1° ----------------------------------------------------------------------------


def percentiles(day: Day, name: str) -> Float:
    """Percentiles `PERCENTILES` of 1° cells, ascending pass."""
    cells = day.cells(name)[0]
    valid = np.isfinite(cells)
    order = np.argsort(cells[valid])
    share = np.cumsum(_WEIGHTS[valid][order])
    at = np.array(PERCENTILES) / 100.0
    return np.asarray(np.interp(at, share / share[-1], cells[valid][order]))


def mean_and_spread(day: Day, name: str) -> tuple[float, float]:
    """Mean and standard deviation over the 1° cells, ascending pass."""
    cells = day.cells(name)[0]
    valid = np.isfinite(cells)
    mean = np.average(cells[valid], weights=_WEIGHTS[valid])
    variance = np.average((cells[valid] - mean) ** 2, weights=_WEIGHTS[valid])
    return float(mean), float(np.sqrt(variance))


def spread_within(day: Day, name: str) -> float:
    """Standard deviation about the mean of a 1° cell of its sixteen, where all are valid."""
    blocks = _blocks(day.fine(name)[0])
    whole = np.isfinite(blocks).all(axis=(1, 3))
    return float(np.sqrt(blocks.var(axis=(1, 3))[whole].mean()))


def autocorrelation(day: Day, name: str, axis: str) -> Float:
    """Correlation of departures at `LAGS` degrees, ascending pass; axis "lon" or "lat"."""
    away = day.departures(name)[0]
    if axis == "lon":
        return np.array([correlate(np.roll(away, -lag, axis=1), away) for lag in LAGS])
    return np.array([correlate(away[lag:], away[:-lag]) for lag in LAGS])


def between_passes(day: Day, name: str) -> tuple[float, float]:
    """Correlation and rms difference of the two passes over 1° cells."""
    up, down = day.cells(name)
    return correlate(up, down), float(np.sqrt(np.nanmean((up - down) ** 2)))


def crossed(day: Day, one: str, other: str) -> float:
    """Correlation of the departures of two variables, ascending pass."""
    return correlate(day.departures(one)[0], day.departures(other)[0])


def vapour_given_sst(day: Day) -> Float:
    """Standard deviation of vapour over 1° cells in `SST_BINS`, mm."""
    sst, vapour = day.cells("sea_surface_temperature")[0], day.cells("water_vapour")[0]
    return np.array([np.nanstd(vapour[(sst >= low) & (sst < high)]) for low, high in SST_BINS])


def diurnal_sst(day: Day) -> float:
    """Median of ascending (afternoon) less descending (night) SST, K."""
    up, down = day.cells("sea_surface_temperature")
    return float(np.nanmedian(up - down))
