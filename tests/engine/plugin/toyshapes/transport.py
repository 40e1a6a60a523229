"""A series with lead times from maps: what the last days say of the days to come."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import xarray as xr
from pydantic import BaseModel

from fluxengine.declare import Arrays, Packing, PlainStage, Product, Read, Variable
from fluxengine.grid import Grid, Halo, counts, days
from toyshapes.sources import MAPS

flow = Variable("flow", "1e6 m3 s-1", "transport", packing=Packing("f4"))


class Options(BaseModel, extra="forbid", frozen=True):
    """The science choices."""

    before: int = 3
    leads: int = 4


@dataclass(frozen=True)
class Forecast(PlainStage):
    """Mean level of the map, damped with lead time, summed over the days before."""

    before: int
    leads: int
    inputs: tuple[str, ...] = ("level",)
    outputs: tuple[Variable, ...] = (flow,)

    @property
    def halo(self) -> Halo:
        return Halo({"time": (self.before, 0)})

    def load(self) -> Callable[[Arrays], Arrays]:
        def forecast(arrays: Arrays) -> Arrays:
            daily = arrays["level"].mean(("lat", "lon")).values.astype("f8")
            past = [np.roll(daily, shift) for shift in range(self.before + 1)]
            for shift, values in enumerate(past):
                values[:shift] = 0.0
            lead = np.arange(self.leads)
            made = sum(past)[:, None] * 0.5 ** lead[None, :]
            coords = {"time": arrays["level"]["time"], "lead": lead}
            return {"flow": xr.DataArray(made, dims=("time", "lead"), coords=coords)}

        return forecast


def transport(o: Options) -> Product:
    return Product(
        "toy-transport",
        Grid(time=days("2020-01-01", block=5), lead=counts(0, o.leads)),
        reads=(Read(MAPS, ("level",)),),
        stages=(Forecast(o.before, o.leads),),
        publishes=(flow,),
        title="Toy transport",
    )
