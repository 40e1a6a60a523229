"""recovery.yaml: records of simulated worlds whose trends are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from fluxengine import config
from fluxengine.errors import ConfigError
from fluxrecipes.stored import is_plain
from fluxrecipes.trends.settings import VARIABLES, Record


class World(Record, extra="forbid", frozen=True):
    """A simulated world: the record that was made of its files, and its truth."""

    dataset: str = Field("deepflux", description="daily means, on (time, lat, lon)")
    truth: str | None = Field(
        None,
        description="as `fluxforge simulate --with truth` writes it; none: the reference's own,"
        " so that all the record shows beside is false",
    )


class Recovery(BaseModel, extra="forbid", frozen=True):
    """A recovery.yaml. Paths are relative to the folder of the file."""

    reference: World = Field(description="the world without trends and drifts")
    worlds: dict[str, World] = Field(
        min_length=1, description="those with: of the same seed, so that their weather is the same"
    )
    variables: tuple[str, ...] = Field(tuple(v.name for v in VARIABLES), min_length=1)
    block: int = Field(
        10, ge=1, le=45, description="degrees: of maps, and of what is resampled for intervals"
    )
    least: float = Field(
        0.5, gt=0, le=1, description="fraction from which on a trend counts as observable"
    )
    out: Path = Field(Path("recovery"), description="folder of map, numbers and picture")


def load(path: Path) -> Recovery:
    """Read a recovery.yaml.

    Raises
    ------
    ConfigError
        FF201: naming the key that is wrong and what to do.
    """
    start = "`fluxforge recovery --help` shows one."
    made = config.read(path, Recovery, "file for recovery", start)
    if made.reference.truth is None:
        raise ConfigError(
            "the truth of the reference is not told.",
            where=f"{path}: reference",
            mend="Give `truth`: `fluxforge simulate --world no-trend --with truth` writes it.",
        )
    base = path.resolve().parent
    worlds = {name: _located(one, base) for name, one in made.worlds.items()}
    reference, out = _located(made.reference, base), base / made.out.expanduser()
    return made.model_copy(update={"reference": reference, "worlds": worlds, "out": out})


def _located(world: World, base: Path) -> World:
    def at(one: str) -> str:
        return one if "://" in one else str(base / Path(one).expanduser())

    places: dict[str, Any] = {"store": at(world.store)}
    if is_plain(world.dataset):
        places["dataset"] = at(world.dataset)
    if world.truth is not None:
        places["truth"] = at(world.truth)
    return world.model_copy(update=places)
