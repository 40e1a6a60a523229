"""deepflux by months: means with their days, a climatology, departures from it, and by pass.

A month is a step: where a day is revised, its month is made again and no other, and what rests on
months (climatologies, trends) never reads the days of decades again.
"""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, Field, model_validator

from fluxengine.declare import Product, Read, Variable
from fluxengine.grid import Grid, labels, months
from fluxrecipes.products import deepflux, surface
from fluxrecipes.stages.averages import MONTHS, Climatology, Departures, MonthlyMeans
from fluxrecipes.stages.surface import QUANTITIES

FIRST = "1987-08"  # the first whole month of the satellites


class Years(BaseModel, extra="forbid", frozen=True):
    """Years of a climatology, both included."""

    first: int = Field(default=1992, description="first year")
    last: int = Field(default=2020, description="last year")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.last < self.first:
            raise ValueError(f"'last' ({self.last}) is before 'first' ({self.first})")
        return self


class Options(deepflux.Options, extra="forbid", frozen=True):
    """The science choices; these, and nothing else of the run file, enter the keys."""

    min_days: int = Field(10, ge=1, le=28, description="days with a flux that a monthly mean needs")
    climatology: Years = Field(Years(), description="years of the climatology")
    min_years: int = Field(
        10, ge=1, description="years in which a month must have a mean; fewer where these are fewer"
    )

    @property
    def daily(self) -> deepflux.Options:
        """What the days depend on."""
        names = deepflux.Options.model_fields
        return deepflux.Options(**{name: getattr(self, name) for name in names})


def _means(o: Options, of_passes: bool = True) -> MonthlyMeans:
    """Of all that a day has, or a pass."""
    erring = tuple((v, model.days) for v, model in deepflux.error_models(o.daily))
    return MonthlyMeans((*deepflux.published(o.daily), *QUANTITIES), o.min_days, erring, of_passes)


def _product(o: Options, name: str, days: Product, states: Product, what: str) -> Product:
    """Monthly means of fluxes and of what comes with them."""
    orbit = {"orbit": deepflux.ORBITS} if "orbit" in days.grid.axes else {}
    means, own = _means(o, of_passes=not orbit), {v.name for v in QUANTITIES}
    return Product(
        name,
        Grid(time=months(FIRST, block=12), **orbit, **deepflux.OCEAN),
        reads=(
            Read(days, tuple(n for n in means.inputs if n not in own)),
            Read(states, tuple(v.name for v in QUANTITIES)),
        ),
        stages=(means,),
        publishes=means.outputs,
        title=f"Monthly means of {what}",
        summary="Over the days with a flux: their number, and the share of them that was filled.",
        attrs=days.attrs,
        batch=1,
    )


def monthly(o: Options) -> Product:
    """Monthly means of the daily record."""
    days, states = deepflux.deepflux(o.daily), surface.surface(o.daily)
    return _product(o, "deepflux-monthly", days, states, "the daily record")


def monthly_passes(o: Options) -> Product:
    """Monthly means of the ascending and of the descending passes."""
    days, states = deepflux.passes(o.daily), surface.surface_passes(o.daily)
    return _product(o, "deepflux-monthly-passes", days, states, "each pass")


def _averaged(o: Options) -> tuple[Variable, ...]:
    """What has a climatology: values, not their errors."""
    errors = ("_standard_error", "_standard_error_systematic")
    return tuple(v for v in _means(o).variables if not v.name.endswith(errors))


def climatology(o: Options) -> Product:
    """Mean of each month of the year."""
    years = o.climatology
    fewest = min(o.min_years, years.last - years.first + 1)
    stage = Climatology(_averaged(o), years.first, years.last, fewest)
    return Product(
        "deepflux-climatology",
        Grid(month=labels(*MONTHS), **deepflux.OCEAN),
        reads=(Read(monthly(o), stage.inputs),),
        stages=(stage,),
        publishes=stage.outputs,
        title=f"Climatology of the months, {years.first} to {years.last}",
        summary="Mean over years of the monthly means.",
        attrs=deepflux.ATTRIBUTES,
    )


def anomalies(o: Options) -> Product:
    """Departures of each month from the climatology."""
    variables = _averaged(o)
    stage, usual = Departures(variables), climatology(o)
    return Product(
        "deepflux-anomalies",
        Grid(time=months(FIRST, block=12), **deepflux.OCEAN),
        reads=(
            Read(monthly(o), tuple(v.name for v in variables)),
            Read(usual, tuple(v.name for v in usual.publishes)),
        ),
        stages=(stage,),
        publishes=stage.outputs,
        title="Monthly departures from the climatology",
        summary="Monthly means less the mean of the same month over the years of the climatology.",
        attrs=deepflux.ATTRIBUTES,
        batch=1,
    )
