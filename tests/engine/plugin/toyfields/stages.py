"""Stages: a coarser grid, a mean over neighbours, a mean over passes, and ways to misbehave."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from fluxengine.declare import Arrays, Device, Packing, PlainStage, Variable, flag_variable
from fluxengine.grid import Halo
from toyfields.numbers import moving_sum
from toyfields.source import VALID, wind

coarse_wind = wind.stored(Packing("i2", 0.002, 0, -32768))
OBSERVED, NO_OBSERVATION = 2, 3
wind_state = flag_variable(
    "wind_state", "origin of wind", {OBSERVED: "observed", NO_OBSERVATION: "no_observation"}
)


@dataclass(frozen=True)
class Coarsen(PlainStage):
    """Mean of the valid cells of a grid `factor` times finer."""

    factor: int = 2
    inputs: tuple[str, ...] = ("wind", "wind_flag")
    outputs: tuple[Variable, ...] = (coarse_wind, wind_state)

    def load(self) -> Callable[[Arrays], Arrays]:
        def coarsen(arrays: Arrays) -> Arrays:
            valid = arrays["wind"].where(arrays["wind_flag"] == VALID)
            mean = valid.coarsen(lat=self.factor, lon=self.factor).mean()
            return {"wind": mean, "wind_state": _state(mean)}

        return coarsen


@dataclass(frozen=True)
class Smooth(PlainStage):
    """Mean over some days before, the day after and the neighbours in longitude."""

    before: int = 2
    inputs: tuple[str, ...] = ("wind",)
    outputs: tuple[Variable, ...] = (coarse_wind, wind_state)
    weights: tuple[Path, ...] = ()

    @property
    def halo(self) -> Halo:
        return Halo({"time": (self.before, 1), "lon": (1, 1)})

    def load(self) -> Callable[[Arrays], Arrays]:
        def smooth(arrays: Arrays) -> Arrays:
            there = arrays["wind"].notnull()
            total, number = arrays["wind"].fillna(0).values.astype("f8"), there.values.astype("f8")
            for axis, reach in (("time", (self.before, 1)), ("lon", (1, 1))):
                at = there.get_axis_num(axis)
                total, number = (moving_sum(a, at, *reach) for a in (total, number))
            mean = np.where(number > 0, total / np.maximum(number, 1), np.nan)
            made = arrays["wind"].copy(data=mean)
            return {"wind": made, "wind_state": _state(made)}

        return smooth


@dataclass(frozen=True)
class SmoothOnGpu(Smooth):
    """The same, for workers with a GPU where there are any."""

    @property
    def device(self) -> Device:
        return "cuda"


@dataclass(frozen=True)
class MeanOfPasses(PlainStage):
    """Mean over the passes, times a number that may come from a file."""

    gain: float = 1.0
    factor: Path | None = None
    inputs: tuple[str, ...] = ("wind",)
    outputs: tuple[Variable, ...] = (coarse_wind, wind_state)

    @property
    def weights(self) -> tuple[Path, ...]:
        return (self.factor,) if self.factor else ()

    def load(self) -> Callable[[Arrays], Arrays]:
        factor = float(self.factor.read_text()) if self.factor else 1.0

        def mean(arrays: Arrays) -> Arrays:
            made = arrays["wind"].mean("orbit") * (self.gain * factor)
            return {"wind": made, "wind_state": _state(made)}

        return mean


@dataclass(frozen=True)
class Misbehave(PlainStage):
    """Passes the wind on, slowly, and raises on one day while a file named `trap` exists."""

    pause: float = 0.0
    day: str = ""
    trap: str = ""
    inputs: tuple[str, ...] = ("wind", "wind_state")
    outputs: tuple[Variable, ...] = (coarse_wind, wind_state)

    def load(self) -> Callable[[Arrays], Arrays]:
        def misbehave(arrays: Arrays) -> Arrays:
            time.sleep(self.pause)
            days = arrays["wind"]["time"].values.astype("datetime64[D]").astype(str)
            if self.day in days and (not self.trap or Path(self.trap).exists()):
                raise RuntimeError(f"this stage dislikes {self.day}")
            return arrays

        return misbehave


def _state(values: xr.DataArray) -> xr.DataArray:
    state = np.where(np.isfinite(values.values), OBSERVED, NO_OBSERVATION).astype("u1")
    return values.copy(data=state)
