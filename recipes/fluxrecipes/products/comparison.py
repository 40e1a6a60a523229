"""Flux products to compare deepflux with, each on its grid: daily, 1°, one unit, one sign.

Every product keeps its own heights of air and its own gaps. What covers a cell is weighed by area,
what lies within a day by time; nothing is filled. ERA5 labels its hours by their ends, so that its
days are an hour early: from 23 UTC the day before to 23 UTC.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from pydantic import BaseModel, Field

from fluxengine.declare import Product, Read, Source, Stage, Variable
from fluxengine.grid import Grid, days
from fluxrecipes import gates
from fluxrecipes import vocabulary as cf
from fluxrecipes.products.deepflux import OCEAN
from fluxrecipes.sources import era5, flux_files, ncep_r1
from fluxrecipes.sources.ifremer import IFREMER
from fluxrecipes.sources.oaflux import OAFLUX
from fluxrecipes.sources.ohf_cdr import OHF_CDR
from fluxrecipes.stages.conservative import Conservative
from fluxrecipes.stages.daily import LandWithoutWater, MeanOfHours, SpeedOfComponents
from fluxrecipes.stages.regrid import VALID_FLAG

REASONS = (
    (0, cf.NO_OBSERVATION),
    (1, cf.NO_OBSERVATION),
    (flux_files.NO_VALUE, cf.NO_OBSERVATION),
    (flux_files.LAND, cf.LAND),
    (flux_files.LAKE, cf.LAND),
    (flux_files.SEA_ICE, cf.SEA_ICE),
    (flux_files.UNRESOLVED, cf.NO_RETRIEVAL),
)
ERA5_LAND = 255  # beside ERA5's own codes
ERA5_REASONS = (
    (0, cf.NO_OBSERVATION),
    (1, cf.NO_OBSERVATION),
    (era5.NO_VALUE, cf.NO_OBSERVATION),
    (era5.NOT_IN_FILE, cf.NO_OBSERVATION),
    (ERA5_LAND, cf.LAND),
)
ERA5_DAY = (
    "A day's mean is of the hours that ERA5 labels 00 to 23 UTC by their ends: it covers the time"
    " from 23 UTC the day before to 23 UTC."
)
FLUXES = tuple((v.name, v) for v in cf.FLUXES)
# The skin of the open sea is the analysed sea surface temperature; land and ice are flagged.
NCEP_FIELDS = (
    *FLUXES,
    *((v.name, v) for v in (cf.air_temperature_2m, cf.specific_humidity_2m)),
    (cf.skin_temperature.name, cf.sea_surface_temperature),
)


class Options(BaseModel, extra="forbid", frozen=True):
    """The science choices; these, and nothing else of the run file, enter the keys."""

    min_valid: float = Field(
        0.5, gt=0, le=1, description="share of a 1° cell's area that must have a value"
    )
    min_hours: float = Field(
        0.5, gt=0, le=1, description="share of a day's times that must have a value"
    )


@dataclass(frozen=True)
class Member:
    """A product to compare with.

    Parameters
    ----------
    source : Source
    fields : tuple of (str, Variable)
        Names in the source and what they become.
    origin : int
        The state of its values.
    rows : str
        The source's dimension from south to north, with `edges` where that is not ``lat``.
    edges : tuple of float
    before : tuple of Stage
        What makes fields that the source has not.
    beside : tuple of Read
        Other sources that `before` needs.
    reasons : tuple of (int, int)
        From the source's flag codes to states.
    valid : tuple of int
        Flag codes of the source that stand for a value.
    note : str
        What a reader of its values must know beside.
    """

    source: Source
    fields: tuple[tuple[str, Variable], ...]
    origin: int = cf.OBSERVED
    rows: str = "lat"
    edges: tuple[float, ...] = ()
    before: tuple[Stage, ...] = ()
    beside: tuple[Read, ...] = ()
    reasons: tuple[tuple[int, int], ...] = REASONS
    valid: tuple[int, ...] = (VALID_FLAG,)
    note: str = ""


MET = (cf.wind_speed, cf.sea_surface_temperature)
MEMBERS = {
    "oaflux": Member(
        OAFLUX,
        (
            *FLUXES,
            *((v.name, v) for v in (*MET, cf.air_temperature_2m, cf.specific_humidity_2m)),
        ),
    ),
    "ohf-cdr": Member(OHF_CDR, FLUXES),
    "ifremer": Member(IFREMER, (*FLUXES, *((v.name, v) for v in (*MET, *cf.NEAR_SURFACE)))),
    "ncep-r1": Member(
        ncep_r1.SOURCES["ncep-r1"],
        NCEP_FIELDS,
        origin=cf.REANALYSIS,
        rows="row",
        edges=ncep_r1.EDGES,
    ),
    "ncep-r1-6h": Member(
        ncep_r1.SOURCES["ncep-r1-6h"],
        (*NCEP_FIELDS, (cf.wind_speed.name, cf.wind_speed)),
        origin=cf.REANALYSIS,
        rows="row",
        edges=ncep_r1.EDGES,
        before=(SpeedOfComponents(flux_files.flag_of(cf.wind_speed)),),
    ),
    "era5": Member(
        era5.SOURCES["era5-fluxes"],
        tuple((v.name, replace(v, attrs={"comment": ERA5_DAY})) for v in cf.FLUXES),
        origin=cf.REANALYSIS,
        before=(LandWithoutWater(tuple(map(era5.flag_of, cf.FLUXES)), ERA5_LAND, era5.NO_VALUE),),
        beside=(Read(era5.SOURCES["era5"], (f"{cf.sea_surface_temperature.name}_flag",)),),
        reasons=ERA5_REASONS,
        valid=(era5.VALID, era5.PRELIMINARY),
        note=ERA5_DAY,
    ),
}


SUMMARY = (
    "Area-weighted means of the valid cells, and of the times of each day, with why there is none;"
    " fluxes positive upward."
)


def oaflux(o: Options) -> Product:
    """OAFlux on the grid of deepflux."""
    return comparison("oaflux", o)


def ohf_cdr(o: Options) -> Product:
    """The NOAA climate data record of ocean heat fluxes on the grid of deepflux."""
    return comparison("ohf-cdr", o)


def ifremer(o: Options) -> Product:
    """IFREMER's turbulent fluxes on the grid of deepflux."""
    return comparison("ifremer", o)


def ncep(o: Options) -> Product:
    """Daily means of NCEP/NCAR Reanalysis 1 on the grid of deepflux."""
    return comparison("ncep-r1", o)


def ncep_6h(o: Options) -> Product:
    """Daily means of the six-hourly NCEP/NCAR Reanalysis 1, wind speed among them."""
    return comparison("ncep-r1-6h", o)


def reanalysis_5(o: Options) -> Product:
    """Daily means of ERA5's hourly fluxes on the grid of deepflux.

    ERA5's accumulations are labelled by the end of their hour (ERA5 data documentation), and the
    mean is of the labels 00 to 23 UTC: it covers the time from 23 UTC the day before to 23 UTC.
    """
    return comparison("era5", o)


def comparison(name: str, o: Options) -> Product:
    """A member of the comparison, ``comparison-<name>``."""
    member = MEMBERS[name]
    source, published = member.source, tuple(variable for _, variable in member.fields)
    regrid = Conservative(
        member.fields,
        member.reasons,
        OCEAN["lat"],
        OCEAN["lon"],
        o.min_valid,
        member.rows,
        member.edges,
        member.origin,
        member.valid,
    )
    has_hours = "hour" in source.grid.axes
    mean = (MeanOfHours(published, o.min_hours),) if has_hours else ()
    stages: tuple[Stage, ...] = (*member.before, regrid, *mean)
    needed = {name for stage in (*member.before, regrid) for name in stage.inputs}
    return Product(
        f"comparison-{name}",
        Grid(time=days("1987-07-09", block=30), **OCEAN),
        reads=(
            Read(source, tuple(v.name for v in source.provides if v.name in needed)),
            *member.beside,
        ),
        stages=stages,
        publishes=regrid.outputs,
        gates=(gates.valid_range, gates.each_state_agrees),
        title=f"{source.title}: on the daily 1 degree grid of deepflux",
        summary=f"{SUMMARY} {member.note}".strip(),
        attrs={"license": source.licence, "references": source.cite},
        batch=2 if has_hours else 10,
    )
