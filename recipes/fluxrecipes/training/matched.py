"""What the trainings on matchups share: which matchups, what net, and for how long."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field

from fluxengine.config import Period
from fluxengine.place import Place
from fluxkernels.nets.mpfnet import MPFNet, MPFNetSettings
from fluxkernels.nets.vocabulary import Vocabulary
from fluxrecipes import constellation
from fluxrecipes.matchups import by_month, matching
from fluxrecipes.matchups.beside import once, one_name
from fluxrecipes.matchups.climatology import Climatology
from fluxrecipes.matchups.matching import Matchups, Rules
from fluxrecipes.training import settings
from fluxrecipes.training.labelled import NoMatchups
from fluxrecipes.training.report_errors import ReportErrors
from fluxrecipes.training.scenes import Scenes

Flags = npt.NDArray[np.bool_]
Waves = Annotated[int, Field(ge=1)]
Orbit = Literal["both", "ascending", "descending"]
ORBITS = {"both": (0, 1), "ascending": (0,), "descending": (1,)}


class Net(BaseModel, extra="forbid", frozen=True):
    """Size of the network; see `fluxkernels.nets.mpfnet.MPFNetSettings`."""

    width: int = Field(24, ge=1, description="channels of what sees the whole field")
    levels: int = Field(3, ge=1, description="scales, each half as fine as the one before")
    modes: tuple[Waves, Waves] = Field((12, 24), description="waves in latitude and longitude")
    reduced: int = Field(16, ge=1, description="channels that are read at a point")
    history: int = Field(1, ge=1, le=31, description="days of values at a point, with the present")
    point: int = Field(64, ge=1, description="width of what sees the point")
    blocks: int = Field(2, ge=1, description="layers of it")
    position: bool = Field(True, description="whether the net is told latitude and longitude")

    def built(self, vocabulary: Vocabulary, scenes: Scenes) -> MPFNet:
        """The net for a grid."""
        lat, lon = scenes.archive.latitudes, scenes.archive.longitudes
        half = 0.5 * float(lat[1] - lat[0])
        return MPFNet(
            MPFNetSettings(
                predictors=len(vocabulary.predictors),
                outputs=len(vocabulary.outputs),
                south=float(lat[0]) - half,
                north=float(lat[-1]) + half,
                west=float(lon[0]) - 0.5 * scenes.archive.spacing,
                **self.model_dump(),
            )
        )


class Matching(BaseModel, extra="forbid", frozen=True):
    """Which reports are matched with which passes."""

    sensors: tuple[str, ...] = Field(
        (), description="satellites whose passes count, such as f10 and f15 together; none: all"
    )
    withheld: tuple[str, ...] = Field(
        matching.WITHHELD, description="platforms that no training may see"
    )
    apart: float = Field(
        0.0,
        ge=0,
        description="km from the moorings kept for the last test within which nothing counts;"
        f" where these are withheld at least {matching.SURROUNDINGS:g}",
    )
    within: float = Field(0.5, gt=0, description="hours between a report and the pass")
    nominal: float = Field(
        3.0, ge=0, description="hours from the nominal time of a filled cell; 0: seen cells alone"
    )
    limit: float = Field(
        2.8, gt=0, description="standard deviations from the month's mean of a region"
    )
    unseen: float = Field(
        0.2,
        ge=0,
        lt=1,
        description="share of platforms that only validation sees; they decide when to stop",
    )

    @property
    def rules(self) -> Rules:
        """How near in time."""
        return Rules(self.within, self.nominal)


class Datasets(BaseModel, extra="forbid", frozen=True):
    """What is read, by name."""

    reanalysis: str = Field(
        "deepflux-reanalysis",
        description="complete fields with the air at 10 m; or the path of a plain store, *.zarr",
    )
    merged: str = Field(
        by_month.MERGED, description="passes with their times, before gaps are filled"
    )
    filled: str = Field(by_month.FILLED, description="passes with their gaps filled")
    sst: str = Field("deepflux-sst", description="sea surface temperature, for the retrieval")
    passes: str = Field(
        "deepflux-passes", description="SST, air and fluxes of the passes, for the correction"
    )


class Matched(settings.Training, extra="forbid", frozen=True):
    """The part of a train.yaml that is alike for the retrieval and the correction."""

    orbit: Orbit = Field("both", description="passes that the net is for")
    net: Net = Net.model_validate({})
    datasets: Datasets = Datasets.model_validate({})
    matchups: Matching = Matching.model_validate({})
    errors: ReportErrors = ReportErrors.model_validate({})
    checks: int = Field(48, ge=1, description="passes of each check")

    @property
    def orbits(self) -> tuple[int, ...]:
        """Numbers of the passes."""
        return ORBITS[self.orbit]


class Split(NamedTuple):
    """Matchups to learn from and to check with; `met` tells of which platforms both have some."""

    train: Matchups
    validation: Matchups
    met: Flags


def found(asked: Matched) -> Split:
    """Matchups of the periods of training and validation.

    Raises
    ------
    NoMatchups
        FF721: one of them has none.
    NotOurStore, UnknownName
        Also where there is no such satellite.
    """
    rules, names = asked.matchups, asked.datasets
    periods = (*asked.train, *asked.validation)
    every = of_periods(asked.place, periods, rules, names.merged, names.filled)
    if not every:
        raise _none(asked, asked.train)
    joined = Matchups.joined(every)
    whole = _allowed(once(joined, rules.withheld), asked)
    first = _during(whole, asked.train)
    # The limits know neither what is held out, which is not here, nor what checks the training.
    limits = Climatology.of(whole.at(first))
    fine = limits.plausible(whole, rules.limit)
    kept = unseen(whole, rules.unseen, one_name(joined))
    train = whole.at(first & fine & ~kept)
    later = _during(whole, asked.validation) & fine
    if not len(train):
        raise _none(asked, asked.train)
    if not later.any():
        raise _none(asked, asked.validation)
    return Split(train, whole.at(later), ~kept[later])


def of_periods(
    location: Place, periods: Sequence[Period], rules: Matching, merged: str, filled: str
) -> list[Matchups]:
    """Matchups of the periods that have some, by the rules of time alone: also what is withheld.

    Raises
    ------
    NotOurStore, UnknownName
    """
    found = (
        by_month.of_store(
            location,
            period.first,
            period.last,
            rules=rules.rules,
            merged=merged,
            filled=filled,
        )
        for period in periods
    )
    return [one for one in found if one is not None]


def _allowed(whole: Matchups, asked: Matched) -> Matchups:
    """Those of the asked satellites and passes, away from what is withheld."""
    rules = asked.matchups
    kept = np.isin(whole.orbit, asked.orbits)
    if rules.sensors:
        for name in rules.sensors:
            constellation.source_of(name)  # a misspelt one would have no report
        codes = [code for code, name in constellation.codes(rules.sensors).items()]
        kept &= np.isin(whole.satellite, codes)
    whole = whole.at(kept)
    return whole.at(~whole.near(matching.WITHHELD_PLACES, rules.apart)) if rules.apart else whole


def _during(whole: Matchups, periods: Sequence[Period]) -> Flags:
    during = np.zeros(len(whole), bool)
    for one in periods:
        during |= (whole.day >= np.datetime64(one.first)) & (whole.day <= np.datetime64(one.last))
    return during


def unseen(whole: Matchups, share: float, known_as: Mapping[bytes, bytes]) -> Flags:
    """Which are of platforms that training does not see: the same ones in every training.

    Parameters
    ----------
    whole : Matchups
    share : float
        Of the platforms.
    known_as : mapping of bytes to bytes
        Of `fluxrecipes.matchups.beside.one_name`, from all reports: what is withheld under one
        number must not teach under another.
    """
    names, which = np.unique(whole.platform, return_inverse=True)
    numbers = np.array([zlib.crc32(known_as[name]) for name in names.tolist()], np.int64)
    return np.asarray(numbers % 1000 < 1000 * share)[which]


def _none(asked: Matched, periods: Sequence[Period]) -> NoMatchups:
    told = ", ".join(f"{one.first} to {one.last}" for one in periods)
    return NoMatchups(
        f"there is no matchup of {told} to learn from or to check with.",
        where=asked.store,
        mend="Ingest `insitu` and run the passes for these days, name other periods, or widen"
        " `matchups`.",
    )
