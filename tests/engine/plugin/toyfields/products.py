"""Three products in a row: coarser, smoother, one value a day."""

from pathlib import Path

from pydantic import BaseModel

from fluxengine.declare import Arrays, Product, Read, Variable
from fluxengine.grid import WHOLE, Axis, Grid, days, degrees
from toyfields.source import ORBITS, PASSES
from toyfields.stages import Coarsen, MeanOfPasses, Misbehave, Smooth, coarse_wind, wind_state

PUBLISHED = (coarse_wind, wind_state)


class Options(BaseModel, extra="forbid", frozen=True):
    """The science choices."""

    before: int = 2
    gain: float = 1.0
    factor: Path | None = None
    day: str = ""
    trap: str = ""
    pause: float = 0.0


def axes(block: int, tile: int = WHOLE) -> dict[str, Axis]:
    return {
        "time": days("2020-01-01", block=block),
        "lat": degrees(-60, 60, 10),
        "lon": degrees(0, 360, 15, block=tile, periodic=True),
    }


def _grid(block: int, tile: int = WHOLE) -> Grid:
    time, lat, lon = axes(block, tile).values()
    return Grid(time=time, orbit=ORBITS, lat=lat, lon=lon)


def not_calm(block: Arrays, published: tuple[Variable, ...]) -> str | None:
    """A gate on the whole block: a share of its cells must have wind."""
    share = float((block["wind"] > 0).mean())
    return None if share > 0.5 else f"only {share:.0%} of the cells have wind."


def coarse(o: Options, block: int = 4, batch: int = WHOLE) -> Product:
    return Product(
        "toy-coarse",
        _grid(block),
        reads=(Read(PASSES, ("wind", "wind_flag")),),
        stages=(Coarsen(), Misbehave(o.pause, o.day, o.trap)),
        publishes=PUBLISHED,
        batch=batch,
    )


def smooth(o: Options, block: int = 4, tile: int = 8, batch: int = WHOLE) -> Product:
    return Product(
        "toy-smooth",
        _grid(block, tile),
        reads=(Read(coarse(o, block, batch), ("wind",)),),
        stages=(Smooth(o.before),),
        publishes=PUBLISHED,
        gates=(not_calm,),
        batch=batch,
    )


def toy(o: Options, block: int = 4, tile: int = 8, batch: int = WHOLE) -> Product:
    return Product(
        "toy",
        Grid(**axes(block)),
        reads=(Read(smooth(o, block, tile, batch), ("wind",)),),
        stages=(MeanOfPasses(o.gain, o.factor),),
        publishes=PUBLISHED,
        title="Daily toy wind",
        batch=batch,
    )
