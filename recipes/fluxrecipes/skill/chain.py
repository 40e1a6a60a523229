"""The record's stages on days of passes: as they are, or with the truth in the place of one.

The stages are those of the products of `deepflux`, run on arrays in memory; nothing is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from fluxengine.declare import Arrays, Stage
from fluxengine.errors import ConfigError
from fluxrecipes import vocabulary as cf
from fluxrecipes.products import deepflux
from fluxrecipes.products.deepflux import Options
from fluxrecipes.skill.fields import VARIABLES, Passes
from fluxrecipes.skill.truth import AIR, FLUXES
from fluxrecipes.stages.fill import FILLABLE
from fluxrecipes.standard_errors import error_of
from fluxrecipes.training.archive import Part, has_value

if TYPE_CHECKING:
    import xarray as xr

Floats = npt.NDArray[np.floating[Any]]
Truth = Mapping[str, Floats]
Where = Literal["gaps", "observed", "everywhere"]
Maps = dict[str, Floats]  # of one day, (orbit, lat, lon) each

SST = cf.sea_surface_temperature.name
SCORED = (*AIR, *FLUXES)
BULK = dict(zip(FLUXES, (v.name for v in cf.BULK_FLUXES), strict=True))
ERRORS = {v.name: error_of(v).name for v in (*cf.NEAR_SURFACE, *cf.FLUXES)}
TRUE = (*VARIABLES, SST, *SCORED)  # what the variants are given, and are scored against

WHOLE, UNCORRECTED = "chain", "uncorrected"
_NEVER_WRITTEN = np.uint8(0)


def stages_of(options: Options) -> tuple[Stage, ...]:
    """The record's stages from passes with gaps to fluxes, gap filling first.

    Raises
    ------
    ConfigError, WrongWeights
        Where weights are not there, or are for something else.
    """
    return (*deepflux.filled(options).stages, *deepflux.passes(options).stages)


@dataclass(frozen=True, eq=False)
class Chain:
    """Stages one after another.

    Parameters
    ----------
    name : str
    stages : tuple of Stage
        Gap filling, retrieval, bulk fluxes; then what is chosen of correction and standard errors,
        and the states.
    """

    name: str
    stages: tuple[Stage, ...]

    @classmethod
    def of(cls, options: Options) -> Chain:
        """As options say."""
        return cls(named(options), stages_of(options))

    @cached_property
    def _steps(self) -> tuple[tuple[Stage, Callable[[Arrays], Arrays]], ...]:
        return tuple((stage, stage.load()) for stage in self.stages)

    @property
    def history(self) -> int:
        """Days before the one in question that stages after the gap filling look at."""
        return max(stage.halo("time")[0] for stage in self.stages[1:])

    @property
    def margin(self) -> int:
        """Days around the one in question that all of them need."""
        return max(self.stages[0].halo("time")) + self.history

    @property
    def corrects(self) -> bool:
        """Whether a stage corrects the bulk fluxes."""
        return any(BULK[FLUXES[0]] in [v.name for v in s.outputs] for s in self.stages)

    def fill(self, arrays: Arrays, wanted: Sequence[int]) -> Arrays:
        """Fill the gaps of some days out of the days around them.

        Parameters
        ----------
        arrays : mapping of str to DataArray
            As `arrays_of` gives them, of consecutive days.
        wanted : sequence of int
            Numbers of the days, ascending.

        Returns
        -------
        mapping of str to DataArray
            All of the given and what was filled, of these days alone.
        """
        stage, run = self._steps[0]
        given = {name: arrays[name] for name in stage.inputs}
        for name in VARIABLES:
            state = given[f"{name}_state"]
            given[f"{name}_state"] = state.copy(data=_left_out(state.values, wanted))
        filled = dict(arrays) | dict(run(given))
        return {name: values.isel(time=list(wanted)) for name, values in filled.items()}

    def finish(
        self, filled: Arrays, true_air: Truth | None = None, *, corrected: bool = True
    ) -> Maps:
        """Run the stages after the gap filling, and take the last day of what they give.

        Parameters
        ----------
        filled : mapping of str to DataArray
            As of `fill`: one day, and before it the days of `history`.
        true_air : mapping of str to float array, shape (time, orbit, lat, lon), optional
            Taken in the place of what is retrieved, where it is finite.
        corrected : bool, optional
            False: up to the bulk fluxes.

        Returns
        -------
        dict of float array, shape (orbit, lat, lon)
        """
        made = dict(filled)
        for number, (stage, run) in enumerate(self._steps[1 : None if corrected else 3]):
            made |= run({name: made[name] for name in stage.inputs})
            if number == 0 and true_air is not None:
                made |= {name: _true(made[name], true_air[name]) for name in AIR}
        return {name: values.values[-1] for name, values in made.items()}

    def variants(self, filled: Arrays, truth: Truth) -> dict[str, Maps]:
        """What comes out with one thing true in turn.

        What is put in the place of a value counts as observed. A correction mends the wind above
        all: where the wind is true it is left out.

        Parameters
        ----------
        filled : mapping of str to DataArray
        truth : mapping of str to float array, shape (time, orbit, lat, lon)
            `TRUE`, on the same days; NaN where nothing is known.

        Returns
        -------
        dict of str to dict of float array, shape (orbit, lat, lon)
            By what is true.
        """
        wind = VARIABLES[:1]
        inputs = with_truth(filled, truth, (*VARIABLES, SST), "everywhere")
        return {
            "true in gaps": self.finish(with_truth(filled, truth, VARIABLES, "gaps")),
            "true where observed": self.finish(with_truth(filled, truth, VARIABLES, "observed")),
            "true SST": self.finish(with_truth(filled, truth, (SST,), "everywhere")),
            "true wind": self.finish(
                with_truth(filled, truth, wind, "everywhere"), corrected=False
            ),
            "true inputs": self.finish(inputs, corrected=False),
            "true air": self.finish(filled, truth),
            "all true": self.finish(inputs, truth, corrected=False),
        }

    def without(self, wind_error: Floats, filled: Arrays, made: Maps) -> Maps:
        """Bulk fluxes with an error of the wind taken away, and all other errors left.

        What was filled was filled from winds that err so, and is taken to err so, too.

        Parameters
        ----------
        wind_error : float array, shape (orbit, lat, lon)
            m s-1.
        filled : mapping of str to DataArray
        made : dict of float array
            What the chain gives, with the air that it retrieved.
        """
        _, run = self._steps[2]
        wind = filled[VARIABLES[0]].isel(time=[-1])
        given = {name: wind.copy(data=made[name][None]) for name in AIR}
        given[VARIABLES[0]] = wind.copy(data=np.maximum(wind.values - wind_error, 0.0))
        given[SST] = filled[SST].isel(time=[-1])
        return {name: values.values[0] for name, values in run(given).items()}


def _left_out(state: npt.NDArray[np.uint8], wanted: Sequence[int]) -> npt.NDArray[np.uint8]:
    """States in which only gaps of some days are such that gap filling fills them.

    On the other days they are as if never written: not seen either, and no time is spent on them.
    """
    other = np.ones(len(state), bool)
    other[list(wanted)] = False
    quiet = other[:, None, None, None] & np.isin(state, FILLABLE)
    return np.where(quiet, _NEVER_WRITTEN, state)


def with_truth(arrays: Arrays, truth: Truth, names: Sequence[str], where: Where) -> Arrays:
    """Arrays with true values in the place of some, which then count as observed.

    Parameters
    ----------
    arrays : mapping of str to DataArray
        Each variable and its state.
    truth : mapping of str to float array
    names : sequence of str
        Variables.
    where : {"gaps", "observed", "everywhere"}
        In which of the cells that have a value: those that were filled, those that were seen, or
        all of them.
    """
    made = dict(arrays)
    for name in names:
        values, state = arrays[name], arrays[f"{name}_state"]
        seen, there = state.values == cf.OBSERVED, has_value(state.values)
        of_kind = {"gaps": there & ~seen, "observed": seen, "everywhere": there}[where]
        chosen = of_kind & np.isfinite(truth[name])
        made[name] = values.copy(data=np.where(chosen, truth[name], values.values))
        told = np.where(chosen, np.uint8(cf.OBSERVED), state.values)
        made[f"{name}_state"] = state.copy(data=told)
    return made


def _true(given: xr.DataArray, truth: Floats) -> xr.DataArray:
    return given.copy(data=np.where(np.isfinite(truth), truth, given.values))


def arrays_of(passes: Passes, warmth: Part) -> Arrays:
    """Passes and sea surface temperature as stages take them.

    Parameters
    ----------
    passes : Passes
    warmth : Part
        Of sea surface temperature; days that it lacks have none. One of the day stands for both
        passes.
    """
    import xarray as xr

    dims = ("time", "orbit", "lat", "lon")
    coords = {
        "time": passes.days.astype("datetime64[ns]"),
        "orbit": ["ascending", "descending"],
        "lat": passes.latitudes,
        "lon": passes.longitudes,
    }
    given: dict[str, npt.NDArray[Any]] = {**passes.values, cf.pass_time.name: passes.hours}
    given |= {f"{name}_state": state for name, state in passes.states.items()}
    there = np.isin(passes.days, warmth.days)
    values = np.full(passes.hours.shape, np.nan, np.float32)
    state = np.zeros(passes.hours.shape, np.uint8)
    if there.any():
        read = warmth.read(passes.days[there])
        values[there], state[there] = read.values[0], read.states[0]
    given |= {SST: values, f"{SST}_state": state}
    return {name: xr.DataArray(of, coords, dims) for name, of in given.items()}


def named(options: Options) -> str:
    """A name for tables: the stages that are chosen, or the files of their weights."""
    own = options.weights
    parts = [
        path.stem if path is not None else choice
        for path, choice in (
            (own.fill, options.fill),
            (own.retrieve, options.retrieve),
            (own.correct, options.correct),
        )
    ]
    return ", ".join(parts if options.correct != "none" else parts[:2])


def chains_of(several: Sequence[Options]) -> tuple[Chain, ...]:
    """Chains by name.

    Raises
    ------
    ConfigError
        FF201: two cannot be told apart.
    """
    made = tuple(Chain.of(one) for one in several)
    names = [one.name for one in made]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(
            f"several chains are named {'; '.join(twice)}.",
            where="chain",
            mend="Leave one out, or name files of weights apart: the tables tell chains by them.",
        )
    return made
