"""Three satellites with periods of their own, and the newest of them at each cell.

A file is a list of six numbers, as `toytiny` reads them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
from toytiny import NO_VALUE, NUMBERS, VALID, around, number, state

from fluxengine.declare import Arrays, PlainStage, Product, Read, Source, Variable
from fluxengine.grid import Grid, days

PERIODS = {
    "one": ("2020-01-01", "2020-01-06"),
    "two": ("2020-01-04", "2020-01-09"),
    "three": ("2020-01-12", None),
}


def satellite(name: str) -> Source:
    first, last = PERIODS[name]
    return replace(
        NUMBERS,
        name=f"fleet-{name}",
        grid=Grid(time=days(first, last, block=2, chunk=1), lon=around()),
        path=lambda day: f"{name}/{day}.json",
    )


FLEET = {name: satellite(name) for name in PERIODS}


@dataclass(frozen=True)
class Newest(PlainStage):
    """The last satellite of the list that has a value."""

    names: tuple[str, ...] = tuple(PERIODS)
    outputs: tuple[Variable, ...] = (number, state)

    @property
    def inputs(self) -> tuple[str, ...]:
        return tuple(
            f"{name}_{variable}" for name in self.names for variable in ("number", "state")
        )

    def load(self) -> Callable[[Arrays], Arrays]:
        def newest(arrays: Arrays) -> Arrays:
            found = arrays[f"{self.names[0]}_number"]
            for name in self.names[1:]:
                known = arrays[f"{name}_number"]
                assert (known.notnull() == (arrays[f"{name}_state"] == VALID)).all()
                found = known.where(known.notnull(), found)
            there = np.where(np.isfinite(found.values), VALID, NO_VALUE).astype("u1")
            return {"number": found, "state": found.copy(data=there)}

        return newest


def newest() -> Product:
    return Product(
        "newest",
        Grid(time=days("2020-01-01", block=4), lon=around()),
        reads=tuple(
            Read(source, ("number", "state"), prefix=f"{name}_", partial=True)
            for name, source in FLEET.items()
        ),
        stages=(Newest(),),
        publishes=(number, state),
    )


def value(name: str, day: date) -> int:
    """What each file holds six times."""
    return 100 * (list(PERIODS).index(name) + 1) + day.day
