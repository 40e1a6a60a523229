"""deepflux: microwave passes to Ta, Qa and turbulent heat fluxes; daily, 1°, open ocean.

Follows the workflow of Wang, Wang and Li (ESSD, 2026): merge the satellites, fill the gaps of each
pass by itself, retrieve near-surface air temperature and humidity, compute bulk fluxes, correct
them, take the mean of both passes. Filling, retrieval and correction are done by networks, or by
baselines where the options say so; the published attributes tell which, and what networks were
trained on.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, Field, field_validator, model_validator

from fluxengine import registry
from fluxengine.declare import Product, Read, Stage, Variable
from fluxengine.grid import WHOLE, Axis, Grid, days, degrees, labels
from fluxkernels.nets.cards import ErrorModel
from fluxrecipes import gates
from fluxrecipes import vocabulary as cf
from fluxrecipes.closure import Closure
from fluxrecipes.constellation import RECORD, Constellation, Rule, source_of
from fluxrecipes.stages.correct import CorrectFluxes, CorrectWind
from fluxrecipes.stages.fill import FillInTime
from fluxrecipes.stages.fill_by_network import FillByGDCM
from fluxrecipes.stages.flux_errors import WIND_ERRORS, WIND_STRUCTURE, ErrorsOfFluxes, of_fluxes
from fluxrecipes.stages.fluxes import BulkFlux, CombineStates
from fluxrecipes.stages.merge import MergeSatellites, merged_inputs
from fluxrecipes.stages.network import NetworkStage
from fluxrecipes.stages.passes import PASSES, MeanOfPasses
from fluxrecipes.stages.reanalysis import PREFIX, RAIN, FillLostDays, ReanalysisOnPasses
from fluxrecipes.stages.regrid import (
    OISST_REASONS,
    RSS_REASONS,
    ObservationTime,
    Regrid,
)
from fluxrecipes.stages.retrieve import RetrieveByRegression
from fluxrecipes.stages.retrieve_by_network import RetrieveByMPFNet
from fluxrecipes.standard_errors import error_of, systematic_error_of, with_error

OCEAN = {
    "lat": degrees(-60, 60, 1, chunk=30),
    "lon": degrees(0, 360, 1, chunk=60, periodic=True),
}
ORBITS = labels("ascending", "descending")
PUBLISHED = (
    cf.sea_surface_temperature,
    cf.wind_speed,
    cf.water_vapour,
    *cf.NEAR_SURFACE,
    *cf.FLUXES,
)
INTERPOLATES = "Baseline: gaps are filled by interpolation and persistence in time."
REGRESSES = (
    "Baseline: air temperature and humidity come from a quadratic regression fitted on a simulated"
    " world, not on observations."
)
ATTRIBUTES = {
    "references": "Wang, Wang and Li: Global open-ocean daily turbulent heat flux dataset"
    " (1992-2020) from SSM/I via deep learning, Earth Syst. Sci. Data, 2026",
    "license": "CC BY 4.0, and the terms of the input data",
    "processing_level": "Level 4",
    "keywords": "latent heat flux, sensible heat flux, air-sea interaction, near-surface air"
    " temperature, near-surface humidity, microwave radiometer",
    "source": "SSM/I, SSMIS or AMSR2 ocean retrievals of Remote Sensing Systems, and NOAA OISST",
}
ONE_SIGMA = (
    "One standard deviation. The random part is the root of the standard error squared less its"
    " systematic part squared. What stays at a place through a month is systematic, and what is not"
    " known to be random counts as such. Of the mean of two passes systematic parts are taken as"
    " equal, random ones as correlated in time. A correlation time T is that of single passes:"
    " random errors of means of two, k days apart, are correlated by"
    " exp(-k / T) (1 + cosh(1 / (2 T))) / (1 + exp(-1 / (2 T))), T in days."
)
CAUSAL = "gdcm-compact"  # the network that looks at no day after the one it completes
BOTH_PASSES = "gdcm-compact-both-passes"  # that which sees the other pass of a day, too
ON_GPU = 16  # windows at once: enough to keep it busy


class Weights(BaseModel, extra="forbid", frozen=True):
    """Weights of one's own in the place of those that come with fluxforge."""

    fill: Path | None = None
    retrieve: Path | None = None
    correct: Path | None = None

    @field_validator("*")
    @classmethod
    def _whole(cls, path: Path | None) -> Path | None:
        if path is not None and not path.is_absolute():
            raise ValueError(f"{path} must be a whole path, which every worker reaches")
        return path


class Options(BaseModel, extra="forbid", frozen=True):
    """The science choices; these, and nothing else of the run file, enter the keys."""

    sensors: tuple[str, ...] = Field(
        RECORD,
        min_length=1,
        description="whose passes: satellites of RSS (f17, amsr2), or other sources by name",
    )
    merge: Rule = Field(
        "newest",
        description="which satellite is believed first: newest, fixed-local-time (f11, f13, f17:"
        " for trends), or closest-to-in-situ (by a ranking)",
    )
    ranking: dict[str, tuple[str, ...]] = Field(
        default_factory=dict,
        description="for closest-to-in-situ: month (2004-07) to satellites, the closest first",
    )
    lost_days: Literal["leave", "era5"] = Field(
        "leave",
        description="days on which no satellite saw anything: left to the gap filling, or taken"
        " from ERA5 and marked",
    )
    sst: Literal["oisst", "satellite"] = Field(
        "oisst", description="sea surface temperature from OISST, or from the passes themselves"
    )
    min_valid: float = Field(
        0.5, gt=0, le=1, description="share of the 16 quarter-degree cells a 1° mean needs"
    )
    fill: Literal[
        "interpolation", "gdcm-compact", "gdcm-compact-centred", "gdcm-compact-both-passes"
    ] = Field(
        "gdcm-compact-both-passes",
        description="gap filling: by a network that sees the days before, the days around, or"
        " these of both passes (as many as its weights say); or the baseline, in time",
    )
    reach: int = Field(3, ge=1, le=15, description="days that interpolation looks back and ahead")
    retrieve: Literal["regression", "mpfnet"] = Field(
        "mpfnet", description="retrieval of Ta and Qa: by a network, or the baseline"
    )
    correct: Literal["none", "mpfnet", "wind"] = Field(
        "mpfnet", description="correction of the bulk fluxes, or of the wind, by a network"
    )
    weights: Weights = Field(
        default=Weights(), description="weights of your own for fill, retrieve, correct: paths"
    )
    precision: Literal["fp32", "bf16"] = Field("fp32", description="of the networks")
    device: Literal["cpu", "cuda"] = Field(
        "cpu",
        description="where networks and the bulk formula run; changing it makes nothing again, and"
        " with cuda a machine without a GPU is an error",
    )
    compiled: bool = Field(
        False,
        description="PyTorch compiles the networks: minutes on each worker, which needs a C++"
        " compiler; worth it for years of days; changing it makes nothing again",
    )
    bulk: Literal["coare36"] = Field("coare36", description="bulk flux algorithm")
    min_passes: Literal[1, 2] = Field(
        1, description="passes with a value that the daily mean needs"
    )

    @field_validator("sensors")
    @classmethod
    def _each_once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"{twice} is named twice")
        return names

    @model_validator(mode="after")
    def _weights_are_used(self) -> Self:
        baselines = {"fill": "interpolation", "retrieve": "regression", "correct": "none"}
        for part, baseline in baselines.items():
            if getattr(self.weights, part) is not None and getattr(self, part) == baseline:
                raise ValueError(
                    f"'weights' names some for '{part}', and '{part}: {baseline}' uses none;"
                    " leave them out or choose a network"
                )
        return self


def _network(o: Options, model: str, own: Path | None) -> dict[str, Any]:
    """What all stages with a network are told."""
    return {
        "model": own or Path(f"{model}.safetensors"),
        "sensors": o.sensors,
        "precision": o.precision,
        "batch": ON_GPU if o.device == "cuda" else 1,
        "device": o.device,
        "compiled": o.compiled,
    }


def _fill(o: Options) -> FillInTime | FillByGDCM:
    if o.fill == "interpolation":
        return FillInTime(cf.MICROWAVE, o.reach)
    network = _network(o, o.fill, o.weights.fill)
    return FillByGDCM(causal=o.fill == CAUSAL, other_pass=o.fill == BOTH_PASSES, **network)


def _retrieve(o: Options) -> RetrieveByRegression | RetrieveByMPFNet:
    if o.retrieve == "regression":
        return RetrieveByRegression(Path("regression.json"))
    return RetrieveByMPFNet(**_network(o, "mpfnet", o.weights.retrieve))


def _correct(o: Options) -> CorrectFluxes | CorrectWind | None:
    if o.correct == "none":
        return None
    if o.correct == "wind":
        return CorrectWind(**_network(o, "mpfnet-wind", o.weights.correct))
    network = _network(o, "mpfnet-correction", o.weights.correct)
    return CorrectFluxes(**network, tells_errors=o.retrieve != "mpfnet")


def _after_bulk(o: Options) -> tuple[Stage, ...]:
    """Correction and standard errors, as far as they are chosen."""
    correct, wind = _correct(o), cf.wind_speed
    stages: tuple[Stage, ...] = ()
    if isinstance(correct, CorrectFluxes):
        stages = (correct,)
    elif correct is not None:
        wind = cf.wind_speed_corrected
        inputs = (wind.name, *BulkFlux.inputs[1:])
        stages = (correct, BulkFlux(o.bulk, inputs, device=o.device))
    if o.retrieve == "mpfnet":
        errors = WIND_ERRORS if wind is cf.wind_speed else ()
        stages += (ErrorsOfFluxes(o.bulk, wind, errors, o.device),)
    return stages


def published(o: Options) -> tuple[Variable, ...]:
    """Variables of the record: with standard errors and bulk fluxes where there are any."""
    corrected_wind = (cf.wind_speed_corrected,) if o.correct == "wind" else ()
    models = error_models(o)
    erring = [variable for variable, _ in models]
    return (
        *(with_error(v) if v in erring else v for v in (*PUBLISHED, *corrected_wind)),
        *(cf.BULK_FLUXES if o.correct != "none" else ()),
        *(
            of(variable, _structure(model))
            for variable, model in models
            for of in (error_of, systematic_error_of)
        ),
    )


def error_models(o: Options) -> list[tuple[Variable, ErrorModel]]:
    """Variables of the record that have standard errors, and what is known of these."""
    retrieve, correct = _retrieve(o), _correct(o)
    found: list[tuple[Variable, ErrorModel]] = []
    wind = WIND_STRUCTURE
    if isinstance(correct, CorrectWind):
        (wind,) = correct.error_models
        found.append((cf.wind_speed_corrected, wind))
    if isinstance(retrieve, RetrieveByMPFNet):
        found += zip(cf.NEAR_SURFACE, retrieve.error_models, strict=True)
        model = of_fluxes(wind, *retrieve.error_models)
        found += [(flux, model) for flux in cf.FLUXES]
    elif isinstance(correct, CorrectFluxes):
        found += zip(cf.FLUXES, correct.error_models, strict=True)
    return found


def _structure(model: ErrorModel) -> dict[str, Any]:
    """Attributes of standard errors: what is known of them beside their size."""
    told: dict[str, Any] = {"comment": ONE_SIGMA, "calibration": model.found}
    if model.days is not None:
        told["random_error_correlation_time_days"] = round(model.days, 2)
    if model.kilometres is not None:
        told["random_error_correlation_length_km"] = round(model.kilometres)
    return told


def _closures(o: Options) -> tuple[Closure, ...]:
    """Of the bulk fluxes; and of those of the corrected wind."""
    if o.correct == "none":
        return (Closure(o.bulk),)
    own = Closure(o.bulk, cf.BULK_FLUXES)
    of_wind = (Closure(o.bulk, cf.FLUXES, cf.wind_speed_corrected),)
    return (own, *(of_wind if o.correct == "wind" else ()))


def _noticed(*notices: str) -> dict[str, str]:
    """Attributes with notices, a line each: what an input says already is not said twice."""
    return {**ATTRIBUTES, "notice": "\n".join(filter(None, notices))}


def _told(stage: NetworkStage, what: str) -> str:
    """What a network does, and on what it was trained, as its weights say."""
    card = stage.head.card
    told = f"{what} by a network ({stage.architecture}) trained on {card.data.rstrip('. ')}."
    strangers = stage.strangers(card)
    if not strangers:
        return told
    return f"{told} It saw passes of {card.sensor}, and is used for {', '.join(strangers)} as well."


def _fill_notice(o: Options) -> str:
    fill = _fill(o)
    return _told(fill, "Gaps are filled") if isinstance(fill, FillByGDCM) else INTERPOLATES


def _notices(o: Options) -> tuple[str, str, str]:
    """Of filling, retrieval and correction."""
    retrieve, correct = _retrieve(o), _correct(o)
    what = "Wind is" if o.correct == "wind" else "Bulk fluxes are"
    return (
        _fill_notice(o),
        _told(retrieve, "Air temperature and humidity are retrieved")
        if isinstance(retrieve, RetrieveByMPFNet)
        else REGRESSES,
        _told(correct, f"{what} corrected") if correct else "",
    )


def _time(block: int) -> Axis:
    return days("1987-07-09", block=block)


def _retrieved(o: Options) -> tuple[Variable, ...]:
    """What is taken from the satellite."""
    return (cf.sea_surface_temperature, *cf.MICROWAVE) if o.sst == "satellite" else cf.MICROWAVE


def gridded(o: Options, sensor: str) -> Product:
    """Each pass of one satellite on the 1° grid, with counts and the kinds of missing.

    Ten days a block: it reads sixteen times the cells it writes.
    """
    regrid, when = Regrid(_retrieved(o), RSS_REASONS, min_valid=o.min_valid), ObservationTime()
    source = source_of(sensor)
    return Product(
        f"deepflux-{sensor}",
        Grid(time=replace(source.grid.step_axis, block=10, chunk=WHOLE), orbit=ORBITS, **OCEAN),
        reads=(Read(source, (*regrid.inputs, *when.inputs)),),
        stages=(regrid, when),
        publishes=(*regrid.outputs, *when.outputs),
        gates=(gates.valid_range,),
        title=f"Daily passes of {sensor} on a 1 degree grid",
        summary="Mean of the valid quarter-degree cells, their number, and why there is none.",
        attrs={"license": source.licence, "references": source.cite},
        batch=2,
    )


class NoOptions(BaseModel, extra="forbid", frozen=True):
    """There is nothing to choose."""


def of_reanalysis(_: NoOptions) -> Product:
    """ERA5 as two passes a day, to train on and for days without a satellite."""
    return reanalysis()


def reanalysis() -> Product:
    """ERA5 as two passes a day on the 1° grid: for days without a satellite."""
    stage = ReanalysisOnPasses(OCEAN["lat"], OCEAN["lon"])
    rain = {RAIN.name, f"{RAIN.name}_flag"}
    return Product(
        "deepflux-reanalysis",
        Grid(time=_time(10), orbit=ORBITS, **OCEAN),
        reads=(
            Read(registry.source("era5"), tuple(n for n in stage.inputs if n not in rain)),
            Read(registry.source("era5-fluxes"), tuple(n for n in stage.inputs if n in rain)),
        ),
        stages=(stage,),
        publishes=stage.outputs,
        gates=(gates.valid_range,),
        title="ERA5 at the local times of the passes, on a 1 degree grid",
        summary="Means over the cells, at the hour nearest to 18 and 6 h local time.",
        attrs={"license": "CC-BY-4.0, Copernicus Climate Change Service"},
        batch=1,
    )


def merged(o: Options) -> Product:
    """Passes of all satellites, in each cell of the one that is believed first."""
    gridded_by = {sensor: gridded(o, sensor) for sensor in o.sensors}
    sources = {sensor: source_of(sensor) for sensor in o.sensors}
    order = Constellation.of(o.merge, sources, o.ranking)
    merge = MergeSatellites(_retrieved(o), order, (cf.cloud_liquid_water.name, cf.rain_rate.name))
    taken, fill = merged_inputs(_retrieved(o)), FillLostDays(_retrieved(o))
    with_era5 = o.lost_days == "era5"
    given = tuple(n.removeprefix(PREFIX) for n in fill.inputs if n.startswith(PREFIX))
    return Product(
        "deepflux-merged",
        Grid(time=_time(30), orbit=ORBITS, **OCEAN),
        reads=tuple(
            Read(product, taken, prefix=f"{sensor}_", partial=True)
            for sensor, product in gridded_by.items()
        )
        + ((Read(reanalysis(), given, prefix=PREFIX),) if with_era5 else ()),
        stages=(merge, fill) if with_era5 else (merge,),
        publishes=merge.outputs,
        gates=(gates.valid_range,),
        title="Daily passes of several satellites on a 1 degree grid",
        summary="Each cell from one pass of one satellite, with its name and time of observation.",
        attrs={**ATTRIBUTES, "processing_level": "Level 3"},
        batch=5,
    )


def sst(o: Options) -> Product:
    """Sea surface temperature on the 1° grid: the analysis of the day, or each pass's own."""
    own = o.sst == "satellite"
    stage: Stage = (
        FillInTime((cf.sea_surface_temperature,), o.reach)
        if own
        else Regrid((cf.sea_surface_temperature,), OISST_REASONS, min_valid=o.min_valid)
    )
    return Product(
        "deepflux-sst",
        Grid(time=_time(30), **({"orbit": ORBITS} if own else {}), **OCEAN),
        reads=(Read(merged(o) if own else registry.source("oisst"), stage.inputs),),
        stages=(stage,),
        publishes=stage.outputs,
        gates=(gates.valid_range,),
        title="Sea surface temperature on a 1 degree grid",
        summary="Of each pass, with gaps filled in time."
        if own
        else "Mean of the valid quarter-degree cells of the daily analysis.",
        attrs=_noticed(INTERPOLATES if own else ""),
        batch=10,
    )


def filled(o: Options) -> Product:
    """Passes without gaps. Published by itself: the filling needs days around each block."""
    fill = _fill(o)
    by_network = isinstance(fill, FillByGDCM)
    handed_on = (cf.pass_time,) if _needs_time(o) else ()
    names = tuple(n for n in fill.inputs if n != cf.sea_surface_temperature.name)
    reads = [Read(merged(o), (*names, *(v.name for v in handed_on)))]
    if by_network:
        reads.append(Read(sst(o), (cf.sea_surface_temperature.name,)))
    return Product(
        "deepflux-filled",
        Grid(time=_time(30), orbit=ORBITS, **OCEAN),
        reads=tuple(reads),
        stages=(fill,),
        publishes=(*fill.outputs, *handed_on),
        gates=(gates.valid_range, *([gates.each_state_agrees] if by_network else [])),
        title="Daily passes with gaps filled",
        summary="Observed values are kept; each filled value is marked as such.",
        attrs=_noticed(_fill_notice(o)),
    )


def _needs_time(o: Options) -> bool:
    """Whether a network after the filling is told the local time of a pass."""
    return o.retrieve == "mpfnet" or o.correct != "none"


def passes(o: Options) -> Product:
    """Near-surface air and fluxes of each pass."""
    states = ("wind_speed_state", "water_vapour_state")
    for_networks = (*(v.name for v in cf.MICROWAVE), cf.pass_time.name)
    taken = for_networks if _needs_time(o) else ("wind_speed", "water_vapour")
    return Product(
        "deepflux-passes",
        Grid(time=_time(30), orbit=ORBITS, **OCEAN),
        reads=(
            Read(filled(o), (*taken, *states)),
            Read(sst(o), ("sea_surface_temperature", "sea_surface_temperature_state")),
        ),
        stages=(_retrieve(o), BulkFlux(o.bulk, device=o.device), *_after_bulk(o), CombineStates()),
        publishes=(*published(o), cf.flux_state),
        gates=(gates.valid_range, gates.below_saturation, gates.states_agree, *_closures(o)),
        title="Near-surface air and turbulent heat fluxes of each pass",
        summary="Air temperature, humidity and heat fluxes at the time of each pass.",
        attrs=_noticed(*_notices(o)),
        batch=10,
    )


def deepflux(o: Options) -> Product:
    """Mean of both passes: the published record."""
    chain = passes(o)  # first: of several faults the first in the chain is told
    erring = tuple((v, model.days) for v, model in error_models(o))
    mean = MeanOfPasses(published(o), o.min_passes, erring)
    return Product(
        "deepflux",
        Grid(time=_time(30), **OCEAN),
        reads=(Read(chain, mean.inputs),),
        stages=(mean,),
        publishes=(*published(o), cf.flux_state, PASSES),
        gates=(gates.valid_range, gates.states_agree),
        title="Daily turbulent heat fluxes over the global ocean from microwave passes",
        summary="Mean of the ascending and the descending pass: near-surface air temperature and"
        " humidity, and latent and sensible heat flux, on a daily 1 degree grid, 60S to 60N.",
        attrs=_noticed(*_notices(o)),
    )
