"""deepflux: microwave passes to Ta, Qa and turbulent heat fluxes; daily, 1°, open ocean.

Follows the workflow of Wang, Wang and Li (ESSD, 2026): fill the gaps of each pass by itself,
retrieve near-surface air temperature and humidity, compute bulk fluxes, take the mean of both
passes. Filling and retrieval are baselines for now and say so in the published attributes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from fluxengine import registry
from fluxengine.declare import Product, Read, Variable
from fluxengine.grid import Axis, Grid, days, degrees, labels
from fluxrecipes import gates
from fluxrecipes import vocabulary as cf
from fluxrecipes.stages.fill import FillInTime
from fluxrecipes.stages.fluxes import BulkFlux, CombineStates
from fluxrecipes.stages.passes import PASSES, MeanOfPasses
from fluxrecipes.stages.regrid import OISST_REASONS, RSS_REASONS, Regrid
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

    satellite: str = Field("f17", description="whose passes: the RSS source's name without 'rss-'")
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


def gridded(o: Options) -> Product:
    """Each pass on the 1° grid, with counts and the kinds of missing.

    Ten days a block: it reads sixteen times the cells it writes.
    """
    regrid = Regrid(_retrieved(o), RSS_REASONS, min_valid=o.min_valid)
    source = registry.source(f"rss-{o.satellite}")
    return Product(
        "deepflux-gridded",
        Grid(time=_time(10), orbit=ORBITS, **OCEAN),
        reads=(Read(source, regrid.inputs),),
        stages=(regrid,),
        publishes=regrid.outputs,
        gates=(gates.valid_range,),
        title=f"Daily passes of {o.satellite} on a 1 degree grid",
        summary="Mean of the valid quarter-degree cells, their number, and why there is none.",
        attrs={"license": source.licence, "references": source.cite},
        batch=2,
    )


def filled(o: Options) -> Product:
    """Passes without gaps. Published by itself: the filling needs days around each block."""
    fill = FillInTime(_retrieved(o), o.reach)
    return Product(
        "deepflux-filled",
        Grid(time=_time(30), orbit=ORBITS, **OCEAN),
        reads=(Read(gridded(o), fill.inputs),),
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
