"""deepflux: microwave passes to Ta, Qa and turbulent heat fluxes; daily, 1°, open ocean.

Follows the workflow of Wang, Wang and Li (ESSD, 2026): merge the satellites, fill the gaps of each
pass by itself, retrieve near-surface air temperature and humidity, compute bulk fluxes, take the
mean of both passes. Filling and retrieval are baselines for now and say so in the published
attributes.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from fluxengine import registry
from fluxengine.declare import Product, Read, Variable
from fluxengine.grid import WHOLE, Axis, Grid, days, degrees, labels
from fluxrecipes import gates
from fluxrecipes import vocabulary as cf
from fluxrecipes.constellation import RECORD, Constellation, Rule, source_of
from fluxrecipes.stages.fill import FillInTime
from fluxrecipes.stages.fluxes import BulkFlux, CombineStates
from fluxrecipes.stages.merge import MergeSatellites, merged_inputs
from fluxrecipes.stages.passes import PASSES, MeanOfPasses
from fluxrecipes.stages.reanalysis import PREFIX, RAIN, FillLostDays, ReanalysisOnPasses
from fluxrecipes.stages.regrid import (
    OISST_REASONS,
    RSS_REASONS,
    ObservationTime,
    Regrid,
)
from fluxrecipes.stages.retrieve import RetrieveByRegression

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
BASELINE = (
    "Baseline: gaps are filled by interpolation and persistence in time; air temperature and"
    " humidity come from a quadratic regression fitted on a simulated world, not on observations."
)
ATTRIBUTES = {
    "references": "Wang, Wang and Li: Global open-ocean daily turbulent heat flux dataset"
    " (1992-2020) from SSM/I via deep learning, Earth Syst. Sci. Data, 2026",
    "license": "CC BY 4.0, and the terms of the input data",
    "keywords": "latent heat flux, sensible heat flux, air-sea interaction, near-surface air"
    " temperature, near-surface humidity, microwave radiometer",
    "source": "SSM/I, SSMIS or AMSR2 ocean retrievals of Remote Sensing Systems, and NOAA OISST",
    "notice": BASELINE,
}


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
    fill: Literal["interpolation"] = Field(
        "interpolation", description="gap filling: the baseline, in time"
    )
    reach: int = Field(3, ge=1, le=15, description="days the gap filling looks back and ahead")
    retrieve: Literal["regression"] = Field(
        "regression", description="retrieval of Ta and Qa: the baseline"
    )
    bulk: Literal["coare36"] = Field("coare36", description="bulk flux algorithm")
    min_passes: Literal[1, 2] = Field(
        1, description="passes with a value that the daily mean needs"
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
    merge = MergeSatellites(_retrieved(o), Constellation.of(o.merge, sources, o.ranking))
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
        attrs=ATTRIBUTES,
        batch=5,
    )


def filled(o: Options) -> Product:
    """Passes without gaps. Published by itself: the filling needs days around each block."""
    fill = FillInTime(_retrieved(o), o.reach)
    return Product(
        "deepflux-filled",
        Grid(time=_time(30), orbit=ORBITS, **OCEAN),
        reads=(Read(merged(o), fill.inputs),),
        stages=(fill,),
        publishes=fill.outputs,
        gates=(gates.valid_range,),
        title="Daily passes with gaps filled in time",
        summary="Observed values are kept; each filled value is marked as such.",
        attrs=ATTRIBUTES,
    )


def passes(o: Options) -> Product:
    """Near-surface air and fluxes of each pass."""
    own_sst = ("sea_surface_temperature",) if o.sst == "satellite" else ()
    taken = ("wind_speed", "water_vapour", *own_sst)
    reads = [Read(filled(o), tuple(n for name in taken for n in (name, f"{name}_state")))]
    regrid_sst = Regrid((cf.sea_surface_temperature,), OISST_REASONS, min_valid=o.min_valid)
    if o.sst == "oisst":
        reads.append(Read(registry.source("oisst"), regrid_sst.inputs))
    return Product(
        "deepflux-passes",
        Grid(time=_time(30), orbit=ORBITS, **OCEAN),
        reads=tuple(reads),
        stages=(
            *([regrid_sst] if o.sst == "oisst" else []),
            RetrieveByRegression(Path("regression.json")),
            BulkFlux(o.bulk),
            CombineStates(),
        ),
        publishes=(*PUBLISHED, cf.flux_state),
        gates=(gates.valid_range, gates.below_saturation, gates.states_agree),
        title="Near-surface air and turbulent heat fluxes of each pass",
        summary="Air temperature, humidity and bulk heat fluxes at the time of each pass.",
        attrs=ATTRIBUTES,
        batch=10,
    )


def deepflux(o: Options) -> Product:
    """Mean of both passes: the published record."""
    mean = MeanOfPasses(PUBLISHED, o.min_passes)
    return Product(
        "deepflux",
        Grid(time=_time(30), **OCEAN),
        reads=(Read(passes(o), mean.inputs),),
        stages=(mean,),
        publishes=(*PUBLISHED, cf.flux_state, PASSES),
        gates=(gates.valid_range, gates.states_agree),
        title="Daily turbulent heat fluxes over the global ocean from microwave passes",
        summary="Mean of the ascending and the descending pass: near-surface air temperature and"
        " humidity, and latent and sensible heat flux, on a daily 1 degree grid, 60S to 60N.",
        attrs=ATTRIBUTES,
    )
