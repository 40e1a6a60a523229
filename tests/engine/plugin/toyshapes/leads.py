"""A swath made ten times finer, stored on two grids: each scene by itself, in tiles."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import xarray as xr
from pydantic import BaseModel

from fluxengine.declare import Arrays, Output, Packing, PlainStage, Product, Read, Variable
from fluxengine.grid import Grid, Halo, counts, labels
from toyshapes.sources import CELL, LINES, PIXELS, SCENES, scenes

lead = Variable("lead", "1", "share of open water", packing=Packing("f4"))
share = Variable("share", "1", "share of open water in a coarse cell", packing=Packing("f4"))
TILE = 4  # lines


class Options(BaseModel, extra="forbid", frozen=True):
    """The science choices."""

    number: int = len(SCENES)


def refined(values: np.ndarray, axis: int) -> np.ndarray:
    """Linear between cell centres, ten times as many cells; the first and last five are nearest."""
    size = values.shape[axis]
    at = (np.arange(size * CELL) + 0.5) / CELL - 0.5
    low = np.clip(np.floor(at).astype(int), 0, size - 1)
    high = np.clip(low + 1, 0, size - 1)
    weight = np.clip(at - low, 0, 1)
    weight = weight.reshape([-1 if k == axis else 1 for k in range(values.ndim)])
    return values.take(low, axis) * (1 - weight) + values.take(high, axis) * weight


@dataclass(frozen=True)
class Refine(PlainStage):
    """Ten times finer; a cell needs its neighbours."""

    inputs: tuple[str, ...] = ("brightness",)
    outputs: tuple[Variable, ...] = (lead, share)

    @property
    def halo(self) -> Halo:
        return Halo({"y": (1, 1)})

    def load(self) -> Callable[[Arrays], Arrays]:
        def refine(arrays: Arrays) -> Arrays:
            coarse = arrays["brightness"]
            fine = refined(refined(coarse.values.astype("f8"), 1), 2)
            open_water = (fine > 271.0).astype("f8")
            scene, lines, pixels = fine.shape
            blocks = open_water.reshape(scene, lines // CELL, CELL, pixels // CELL, CELL)
            y, x = (
                (coarse[n].values[:, None] + np.arange(CELL)[None, :]).ravel() for n in ("y", "x")
            )
            made = xr.DataArray(
                open_water, dims=coarse.dims, coords={"scene": coarse["scene"], "y": y, "x": x}
            )
            return {"lead": made, "share": coarse.copy(data=blocks.mean(axis=(2, 4)))}

        return refine


def leads(o: Options) -> Product:
    scene = labels(*SCENES[: o.number], block=2)
    coarse = Grid(
        scene=scene,
        y=counts(0, LINES * CELL, CELL, block=TILE),
        x=counts(0, PIXELS * CELL, CELL),
    )
    fine = Grid(scene=scene, y=counts(0, LINES * CELL, chunk=20), x=counts(0, PIXELS * CELL))
    return Product(
        "toy-leads",
        coarse,
        reads=(Read(scenes(o.number), ("brightness",)),),
        stages=(Refine(),),
        publishes=(share,),
        also=(Output("fine", fine, (lead,)),),
        title="Toy leads",
    )
