"""trends.yaml: trends of what, over which years, and what is taken out before."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Self

from pydantic import BaseModel, Field, model_validator

from fluxengine import config, place
from fluxengine.config import Period
from fluxengine.place import Place, StorageOptions
from fluxrecipes import vocabulary as cf
from fluxrecipes.stages.surface import sea_minus_air_humidity, sea_minus_air_temperature
from fluxrecipes.stored import is_plain
from fluxrecipes.trends.regions import REGIONS, Region
from fluxrecipes.trends.series import Of

# The figures 11 and 12 of the paper, and the wind.
VARIABLES = (
    cf.sensible_heat_flux,
    cf.latent_heat_flux,
    sea_minus_air_temperature,
    sea_minus_air_humidity,
    cf.sea_surface_temperature,
    cf.air_temperature,
    cf.specific_humidity,
    cf.wind_speed,
)


class Box(BaseModel, extra="forbid", frozen=True):
    """A region of one's own, degrees north and east."""

    south: float = Field(ge=-90, le=90)
    north: float = Field(ge=-90, le=90)
    west: float = Field(default=0.0, ge=0, le=360)
    east: float = Field(default=360.0, ge=0, le=360)

    @model_validator(mode="after")
    def _upright(self) -> Self:
        if self.north <= self.south:
            raise ValueError(f"its north, {self.north}, does not lie north of {self.south}")
        return self


class Record(BaseModel, extra="forbid", frozen=True):
    """Where monthly means are: a dataset of a store, or a plain Zarr (``*.zarr``) by its path."""

    store: str = Field(description="a store, or a folder of plain Zarrs")
    storage: StorageOptions = StorageOptions()
    dataset: str = Field("deepflux-monthly", description="monthly means, on (time, lat, lon)")

    @property
    def place(self) -> Place:
        """Where its store lies."""
        return place.at(self.store, self.storage)


class Overlap(BaseModel, extra="forbid", frozen=True):
    """Records of the satellites before and after a change, which have months in common."""

    on: date = Field(description="first day of the satellite after it in the record")
    before: Record
    after: Record


class Trends(Record, extra="forbid", frozen=True):
    """A trends.yaml. Paths are relative to the folder of the file."""

    passes: str | None = Field(
        None, description="the same by pass, such as deepflux-monthly-passes; none: the mean alone"
    )
    period: Period | None = Field(None, description="of whole years; none: all that are there")
    variables: tuple[str, ...] = Field(
        tuple(v.name for v in VARIABLES), min_length=1, description="monthly means, by name"
    )
    regions: dict[str, Box] = Field(
        default_factory=dict, description="regions of your own beside those that are known"
    )
    of: Of = Field(
        "years",
        description="annual means, departures of months, or of days: maps and regions of a daily"
        " dataset alone",
    )
    min_months: int = Field(9, ge=1, le=12, description="with a value that a year needs")
    reanalysis_at_most: float = Field(
        1.0,
        ge=0,
        le=1,
        description="share of a month's days from a reanalysis; else it is left out",
    )
    leave_out: tuple[int, ...] = Field((), description="years that do not count")
    steps: tuple[date, ...] = Field(
        (), description="days on which the record may jump, such as changes of satellites"
    )
    overlaps: tuple[Overlap, ...] = Field(
        (),
        description="changes of satellites whose offset is estimated where both flew, and taken"
        " from all that comes after, of the mean of passes",
    )
    without_enso: bool = Field(
        False, description="take out what goes with Niño 3.4, relative to the tropics"
    )
    false_discoveries: float = Field(
        0.10, gt=0, lt=1, description="share of the cells found that may be there by chance"
    )
    attribution: bool = Field(
        True, description="what sea, air and wind contribute to the trends of fluxes"
    )
    beside: dict[str, Record] = Field(
        default_factory=dict,
        description="other records, on the same grid, whose trends are told beside: another SST,"
        " another product, other satellites",
    )
    recovered: Path | None = Field(
        None,
        description="maps of `fluxforge recovery`: where a trend cannot be observed is marked",
    )
    simulated: str = Field(
        "", description="of which simulated world the record is, where its notice does not say it"
    )
    out: Path = Field(Path("trends"), description="folder of maps, tables and pictures")

    @model_validator(mode="after")
    def _regions_are_new(self) -> Self:
        if known := sorted(set(self.regions) & set(REGIONS)):
            raise ValueError(f"the regions {known} are known already: choose other names")
        return self

    @model_validator(mode="after")
    def _names_are_free(self) -> Self:
        if "record" in self.beside:
            raise ValueError(
                "'record' is what the record itself is called: name those beside otherwise"
            )
        twice = next((day for day in self.steps if self.steps.count(day) > 1), None)
        if twice is not None:
            raise ValueError(f"'steps': {twice} is named twice")
        return self

    @model_validator(mode="after")
    def _days_stand_alone(self) -> Self:
        if self.of == "days":
            others = ("passes", "overlaps", "without_enso", "beside")
            told = [name for name in others if getattr(self, name)]
            if told or self.reanalysis_at_most < 1.0:
                name = (*told, "reanalysis_at_most")[0]
                raise ValueError(f"'{name}' is of months: of days it cannot be asked for")
        return self

    @property
    def world(self) -> str:
        """Of which world the record is, in words for titles."""
        return f"SIMULATED ({self.simulated})" if self.simulated else "the record"

    @property
    def boxes(self) -> dict[str, Region]:
        """All regions, those that are known first."""
        own = {name: Region(**box.model_dump()) for name, box in self.regions.items()}
        return REGIONS | own


def load(path: Path) -> Trends:
    """Read a trends.yaml.

    Raises
    ------
    ConfigError
        FF201: naming the key that is wrong and what to do.
    """
    made = config.read(path, Trends, "file for trends", "`fluxforge trends --help` shows one.")
    base = path.resolve().parent

    def at(one: str) -> str:
        return one if "://" in one else str(base / Path(one).expanduser())

    def named(one: str) -> str:
        return at(one) if is_plain(one) else one

    def located(one: Record) -> Record:
        return one.model_copy(update={"store": at(one.store), "dataset": named(one.dataset)})

    beside = {name: located(one) for name, one in made.beside.items()}
    overlaps = tuple(
        one.model_copy(update={"before": located(one.before), "after": located(one.after)})
        for one in made.overlaps
    )
    own = {"store": at(made.store), "dataset": named(made.dataset), "out": Path(at(str(made.out)))}
    passes = named(made.passes) if made.passes else None
    recovered = Path(at(str(made.recovered))) if made.recovered else None
    others = {
        "passes": passes,
        "beside": beside,
        "overlaps": overlaps,
        "recovered": recovered,
    }
    return made.model_copy(update={**own, **others})
