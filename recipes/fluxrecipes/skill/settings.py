"""validate.yaml: which networks are scored beside which baselines, on what."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, Field, model_validator

from fluxengine import config, place
from fluxengine.config import Period
from fluxengine.place import Place, StorageOptions
from fluxengine.store import MARKER
from fluxrecipes.products.deepflux import Options
from fluxrecipes.skill.fields import VARIABLES
from fluxrecipes.skill.protocol import check_fit
from fluxrecipes.stored import is_plain

Method = Literal["climatology", "temporal", "oi-causal", "oi-centred", "oi-both", "dineof"]
Baseline = Literal["quadratic", "boosting", "mlp", "boosting-reports", "mlp-reports", "oracle"]
METHODS: tuple[Method, ...] = (
    "climatology",
    "temporal",
    "oi-causal",
    "oi-centred",
    "oi-both",
    "dineof",
)


def _several(given: Any) -> Any:
    """One period, or a list of them."""
    return [given] if isinstance(given, dict) else given


Periods = Annotated[tuple[Period, ...], BeforeValidator(_several), Field(min_length=1)]


class Truth(BaseModel, extra="forbid", frozen=True):
    """The simulated world that the passes were made from."""

    seed: int = Field(ge=0)
    world: str = Field("standard", description="its physics, as `fluxforge simulate --world`")

    @model_validator(mode="after")
    def _known(self) -> Self:
        from fluxrecipes.nature.physics import WORLDS

        if self.world not in WORLDS:
            raise ValueError(f"there is no world '{self.world}', only {', '.join(WORLDS)}")
        return self


class Datasets(BaseModel, extra="forbid", frozen=True):
    """What is read: names in the store, or paths of plain Zarrs (``*.zarr``).

    Names are not looked at where `store` itself is a plain Zarr.
    """

    observed: str = Field("deepflux-merged", description="passes with gaps and states")
    filled: str = Field("deepflux-filled", description="passes without, for the retrieval")
    sst: str | None = Field("deepflux-sst", description="sea surface temperature, for networks")


class Gaps(BaseModel, extra="forbid", frozen=True):
    """Scoring of gap filling."""

    weights: tuple[Path, ...] = Field((), description="of GDCM, any number of presets and seeds")
    methods: tuple[Method, ...] = Field(METHODS, min_length=1, description="baselines")
    variables: tuple[str, ...] = Field(VARIABLES, min_length=1)
    rains_above: float = Field(
        0.01,
        ge=0,
        description="mm h-1 from which on it rains: where the simulated satellite sees rain as"
        " often as there is any, so that no method starts with a bias",
    )
    stretches: int = Field(
        12, ge=1, description="of ten days of the fit, for covariances and patterns"
    )

    @model_validator(mode="after")
    def _known(self) -> Self:
        if strange := sorted(set(self.variables) - set(VARIABLES)):
            raise ValueError(f"{', '.join(strange)}: scored are {', '.join(VARIABLES)}")
        return self


class Retrieval(BaseModel, extra="forbid", frozen=True):
    """Scoring of the retrieval of air temperature and humidity."""

    weights: tuple[Path, ...] = Field((), description="of MPFNet")
    methods: tuple[Baseline, ...] = Field(
        ("quadratic", "boosting", "mlp", "oracle"),
        description="baselines, fitted on the truth; `boosting-reports` and `mlp-reports` learn"
        " from reports, as networks do where no truth is known",
    )
    points: int = Field(1000, ge=10, description="cells drawn of each pass, for fit and score")
    days: int = Field(120, ge=1, description="days of the fit at most")
    stations: bool = Field(
        False, description="also at moorings, withheld and others: opens WHOTS, Stratus, NTAS"
    )
    oracle_points: int = Field(
        1_000_000, ge=10, description="of the truth, that the oracle is fitted on"
    )
    seed: int = Field(1, ge=0, description="of draws and fits")


class Chains(BaseModel, extra="forbid", frozen=True):
    """Scoring of the record's stages one after another, from passes with gaps to fluxes."""

    options: Options = Field(
        default=Options.model_validate({}), description="as of a run file of deepflux: which stages"
    )
    also: tuple[Options, ...] = Field(
        (),
        max_length=25,
        description="further chains, on the same cells; the first one is what they are to beat",
    )
    budget: bool = Field(True, description="also with each stage replaced by the truth in turn")
    points: int = Field(
        2000,
        ge=10,
        description="cells drawn of each pass for standard errors and corrections; the rest is"
        " scored on all cells",
    )
    reports: bool = Field(
        True, description="also against the reports of the table `insitu`, where the store has it"
    )
    stations: bool = Field(
        False, description="with the reports of withheld stations: opens WHOTS, Stratus, NTAS"
    )
    seed: int = Field(1, ge=0, description="of draws")

    @property
    def all(self) -> tuple[Options, ...]:
        """The options of all chains, the one to beat first."""
        return (self.options, *self.also)

    @model_validator(mode="after")
    def _opens(self) -> Self:
        if self.stations and not self.reports:
            raise ValueError("'stations' opens reports, and 'reports' leaves them out")
        return self


class Validation(BaseModel, extra="forbid", frozen=True):
    """A validate.yaml. Paths are relative to the folder of the file."""

    store: str = Field(description="where the datasets are: a run's store, or a plain Zarr")
    storage: StorageOptions = StorageOptions()
    datasets: Datasets = Field(default_factory=lambda: Datasets.model_validate({}))
    fit: Annotated[tuple[Period, ...], BeforeValidator(_several)] = Field(
        (), description="baselines are fitted on these days; never 2018"
    )
    score: Periods = Field(description="what is scored")
    every: int = Field(5, ge=1, description="one day in so many is scored")
    truth: Truth | None = Field(
        None, description="the simulated world; none: observed cells are hidden, and are the truth"
    )
    purpose: str = Field("", description="for the log, where held-out data are opened: what for")
    processes: int = Field(1, ge=1)
    gaps: Gaps | None = None
    retrieval: Retrieval | None = None
    chain: Chains | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.gaps is None and self.retrieval is None and self.chain is None:
            raise ValueError("nothing is to be scored: give 'gaps', 'retrieval', 'chain'")
        if not self.fit and (self.gaps is not None or self.retrieval is not None):
            raise ValueError("'fit' is missing: the days to fit the baselines on")
        if self.truth is None and (self.retrieval is not None or self.chain is not None):
            raise ValueError(
                "'retrieval' and 'chain' are scored against the air of a simulated world: 'truth'"
            )
        return self

    @property
    def place(self) -> Place:
        """Where its store lies."""
        return place.at(self.store, self.storage)

    @property
    def log(self) -> Place:
        """Where openings are written down: in the store, or beside a plain Zarr."""
        if (self.place / MARKER).read() is not None or "://" in self.store:
            return self.place
        return place.at(Path(self.store).parent)

    @property
    def weights(self) -> tuple[Path, ...]:
        """All files of weights, those that come with fluxforge too."""
        from fluxrecipes.skill.chain import stages_of

        gaps = self.gaps.weights if self.gaps else ()
        retrieval = self.retrieval.weights if self.retrieval else ()
        chains = self.chain.all if self.chain else ()
        used = [w for options in chains for stage in stages_of(options) for w in stage.weights]
        return tuple(dict.fromkeys((*gaps, *retrieval, *used)))


def load(path: Path) -> Validation:
    """Read a validate.yaml.

    Raises
    ------
    ConfigError
        FF201: naming the key that is wrong and what to do.
    HeldOut
        FF712: a period to fit on touches the test year.
    """
    start = "`fluxforge validate --help` shows one."
    made = config.read(path, Validation, "file for validation", start)
    check_fit(made.fit, made.score, str(path))
    base = path.resolve().parent

    def at(one: Path) -> Path:
        return base / one.expanduser()

    def of(name: str) -> str:
        return str(at(Path(name))) if is_plain(name) and "://" not in name else name

    store = made.store if "://" in made.store else str(at(Path(made.store)))
    named = made.datasets.model_dump(exclude_none=True)
    datasets = made.datasets.model_copy(update={key: of(name) for key, name in named.items()})
    update: dict[str, Any] = {"store": store, "datasets": datasets}
    for name in ("gaps", "retrieval"):
        part = getattr(made, name)
        if part is not None:
            moved = tuple(at(one) for one in part.weights)
            update[name] = part.model_copy(update={"weights": moved})
    return made.model_copy(update=update)
