"""An hourly table over land, from daily maps and a static one; tiles of sea are spared."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xarray as xr
from pydantic import BaseModel

from fluxengine.declare import Arrays, Packing, PlainStage, Product, Read, Variable
from fluxengine.grid import Grid, degrees, every
from toyshapes.sources import HEIGHT, MAPS

heat = Variable("heat", "W m-2", "heat flux", packing=Packing("f4"))


class Options(BaseModel, extra="forbid", frozen=True):
    """The science choices."""

    north_of: float = 0.0


@dataclass(frozen=True)
class North:
    """Cells whose centre lies north of a latitude and east of 110° E."""

    of: float

    def __call__(self, grid: Grid) -> npt.NDArray[np.bool_]:
        lat, lon = (grid.axes[name].coordinate() for name in ("lat", "lon"))
        return (lat[:, None] > self.of) & (lon[None, :] > 110.0)


@dataclass(frozen=True)
class Emulate(PlainStage):
    """One row a cell and hour; a column for the level, the height and the hour."""

    inputs: tuple[str, ...] = ("level", "height")
    outputs: tuple[Variable, ...] = (heat,)

    def load(self) -> Callable[[Arrays], Arrays]:
        def emulate(arrays: Arrays) -> Arrays:
            day = arrays["level"]["time"].values
            hours = (day[:, None] + np.arange(24).astype("timedelta64[h]")[None, :]).ravel()
            level = arrays["level"].sel(time=hours, method="ffill").assign_coords(time=hours)
            height = arrays["height"].broadcast_like(level).transpose(*level.dims)
            hour = xr.zeros_like(level) + (hours.astype("datetime64[h]").astype(int) % 24)[
                :, None, None
            ].astype("f4")
            table = np.stack([a.values.ravel() for a in (level, height, hour)], axis=1)
            made = table @ np.array([2.0, 0.1, 1.0])
            return {"heat": level.copy(data=made.reshape(level.shape))}

        return emulate


def land(o: Options) -> Product:
    axes = {
        "lat": degrees(-20, 20, 5, block=4),
        "lon": degrees(100, 140, 5, block=4),
    }
    return Product(
        "toy-land",
        Grid(time=every(3600, "2020-01-01", block=48), **axes),
        reads=(Read(MAPS, ("level",)), Read(HEIGHT, ("height",))),
        stages=(Emulate(),),
        publishes=(heat,),
        domain=North(o.north_of),
        title="Toy land",
    )
