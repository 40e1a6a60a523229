"""train.yaml: what is trained on what, for how long, and where the weights go."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Self, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    PrivateAttr,
    field_validator,
    model_validator,
)

from fluxengine import config, place
from fluxengine.config import Period
from fluxengine.digest import file_digest
from fluxengine.errors import ConfigError
from fluxengine.place import Place, StorageOptions
from fluxkernels.errors import KernelError
from fluxkernels.nets import weights
from fluxkernels.nets.cards import read_head
from fluxkernels.nets.gdcm import GDCM
from fluxkernels.nets.mpfnet import MPFNet
from fluxkernels.nets.predict import find_device
from fluxkernels.nets.vocabulary import Vocabulary
from fluxkernels.nets.weights import ErrorModel, ModelCard
from fluxrecipes.stored import is_plain
from fluxrecipes.training.archive import check_periods
from fluxrecipes.training.content import content_of
from fluxrecipes.training.loop import Progress, Schedule
from fluxrecipes.training.parallel import leads, together


def _several(given: Any) -> Any:
    """One period, or a list of them."""
    return [given] if isinstance(given, dict) else given


def _as_the_first_phase(given: Any) -> Any:
    """Keys of a train.yaml; a second phase goes on where and as the first one, if not told so."""
    second = given.get("finetune") if isinstance(given, dict) else None
    if not isinstance(second, dict):
        return given
    first, later = given.get("schedule"), second.get("schedule")
    if not isinstance(first, dict) or not isinstance(later, dict):
        return given
    kept = {key: first[key] for key in HANDED_ON if key in first}
    return given | {"finetune": second | {"schedule": kept | later}}


Net = TypeVar("Net", GDCM, MPFNet)
Periods = Annotated[tuple[Period, ...], BeforeValidator(_several), Field(min_length=1)]
HANDED_ON = ("device", "precision", "threads", "seed")
TEST_YEAR = Period.model_validate({"first": "2018-01-01", "last": "2018-12-31"})


class Training(BaseModel, extra="forbid", frozen=True):
    """What all trainings share. Each verb adds its own keys in a subclass.

    Paths are relative to the folder of the file.
    """

    store: str = Field(description="where the datasets are")
    storage: StorageOptions = StorageOptions()
    train: Periods
    validation: Periods = Field(description="for early stopping and the card")
    held_out: Annotated[tuple[Period, ...], BeforeValidator(_several)] = Field(
        (TEST_YEAR,), description="no window of training or validation may touch it"
    )
    batch: int = Field(4, ge=1, description="samples a step")
    blocks: int = Field(2, ge=1, description="blocks of the store held in memory at once")
    stay: int = Field(50, ge=1, description="steps for which the same blocks serve")
    schedule: Schedule
    out: Path = Field(description="file of the weights: *.safetensors")
    start: Path | None = Field(
        None,
        description="weights of the same network to begin from, such as another sensor's; none:"
        " random ones",
    )
    data: str = Field(description="for the model card: what was trained on, in words")
    sensor: str = Field(description="for the model card: whose passes, such as f17")

    @model_validator(mode="before")
    @classmethod
    def _handed_on(cls, given: Any) -> Any:
        return _as_the_first_phase(given)

    @field_validator("out", "start", mode="before")
    @classmethod
    def _on_this_machine(cls, path: Any) -> Any:
        if "://" in str(path):
            raise ValueError(f"{path} is no file: weights are kept in a folder, not in a bucket")
        return path

    @model_validator(mode="after")
    def _weights_file(self) -> Self:
        if self.out.suffix != ".safetensors":
            raise ValueError(f"'out' is {self.out.name}; weights are kept as *.safetensors")
        return self

    _base: Path = PrivateAttr(default=Path())

    def located(self, name: str) -> str:
        """The name of a dataset; of a plain Zarr store its path, from the folder of the file."""
        return located(self._base, name) if is_plain(name) else name

    def all_located(self, datasets: BaseModel) -> dict[str, str]:
        """The names of the key ``datasets`` by role, of plain Zarr stores their paths."""
        names = datasets.model_dump()
        return {role: self.located(name) for role, name in names.items() if name}

    def content(self, datasets: Iterable[str]) -> dict[str, str]:
        """What datasets hold at present, by their names in the file; see `content_of`.

        Raises
        ------
        NotOurStore, UnknownName
        """
        return {name: content_of(self.place, self.located(name)) for name in datasets}

    @property
    def place(self) -> Place:
        """Where its store lies."""
        return place.at(self.store, self.storage)

    @property
    def period(self) -> str:
        """Of the training data, in words: for the model card."""
        return ", ".join(f"{one.first} to {one.last}" for one in self.train)

    @property
    def configuration(self) -> dict[str, Any]:
        """What the outcome depends on beside the schedule: not where things lie."""
        told = self.model_dump(mode="json", exclude={"store", "storage", "out", "schedule"})
        return told | {"start": file_digest(self.start) if self.start else None}

    def begun(self, net: Net, vocabulary: Vocabulary) -> Net:
        """The net, with the weights of `start` where they are named.

        Raises
        ------
        ConfigError
            FF201: there are none, or they are of another network or vocabulary.
        """
        if self.start is None:
            return net
        try:
            found = weights.load(
                self.start, architecture=type(net).__name__, vocabulary=vocabulary
            ).net
        except (KernelError, OSError) as error:
            raise ConfigError(str(error), where=f"start: {self.start}") from error
        if found.settings != net.settings:
            raise ConfigError(
                f"they are of a network of other sizes: {found.settings}, not {net.settings}.",
                where=f"start: {self.start}",
                mend="Train a network of these sizes, or begin from random weights.",
            )
        net.load_state_dict(found.state_dict())
        return net

    def kept(
        self,
        net: GDCM | MPFNet,
        vocabulary: Vocabulary,
        skill: Mapping[str, float],
        commits: Sequence[str],
        orbit: str = "both",
        errors: Mapping[str, ErrorModel] | None = None,
    ) -> Made:
        """Write the weights with their card; of several processes the first one does.

        Parameters
        ----------
        net : GDCM or MPFNet
        vocabulary : Vocabulary
        skill : mapping of str to float
        commits : sequence of str
            Of the code that did the steps of each phase.
        orbit : str
        errors : mapping of str to ErrorModel, optional
        """
        before = read_head(self.start).card.data if self.start else self.data
        card = ModelCard(
            data=self.data if before == self.data else f"{self.data}; before that {before}",
            period=self.period,
            skill=dict(skill),
            commit=", then ".join(dict.fromkeys(commits)),
            seed=self.schedule.seed,
            sensor=self.sensor,
            orbit=orbit,
            vocabulary=vocabulary,
            errors=errors or {},
        )
        if leads():
            self.out.parent.mkdir(parents=True, exist_ok=True)
            weights.save(self.out, net, card)
        return Made(self.out, card)

    @property
    def checkpoints(self) -> Path:
        """Folder beside the weights from which a training that was cut off goes on."""
        return self.out.with_suffix(".training")


Watch = Callable[[str, int], Callable[[Progress], None]]
"""Takes the name and the number of steps of a phase, gives what is told of each of its steps."""


class Made(NamedTuple):
    """Trained weights: their file and what is told of them."""

    path: Path
    card: ModelCard


Kind = TypeVar("Kind", bound=Training)


def located(base: Path, path: str) -> str:
    """A path from a folder; of a bucket, as ``s3://...``, it is whole already."""
    return path if "://" in path else str(base / Path(path).expanduser())


def check_devices(schedules: Sequence[Schedule]) -> None:
    """Refuse, before anything is read, a device of any phase that is not there.

    Raises
    ------
    DeviceError
    ConfigError
        Where processes that ``torchrun`` started would train phases on different devices: they are
        brought together once, for one kind of them.
    """
    for schedule in schedules:
        find_device(schedule.device)
    devices = list(dict.fromkeys(schedule.device for schedule in schedules))
    if len(devices) > 1 and together():
        raise ConfigError(
            f"the phases run on {' and '.join(devices)}, and several processes train together.",
            where="finetune: schedule: device",
            mend="Train all phases on one kind of device, or without torchrun.",
        )


def load(path: Path, model: type[Kind]) -> Kind:
    """Read a train.yaml.

    Parameters
    ----------
    path : Path
    model : type
        `Training`, or what a verb makes of it.

    Raises
    ------
    ConfigError
        Naming the key that is wrong and what to do.
    HeldOut
        Where training or validation reaches into a period that is held out.
    """
    made = config.read(path, model, "file for training", "`fluxforge train --help` shows one.")
    check_periods(made.train, made.validation, made.held_out, str(path))
    base = path.resolve().parent
    store = located(base, made.store)
    out = base / made.out.expanduser()
    start = base / made.start.expanduser() if made.start else None
    made = made.model_copy(update={"store": store, "out": out, "start": start})
    made._base = base  # type: ignore[misc]  # what is frozen are the keys of the file
    return made
