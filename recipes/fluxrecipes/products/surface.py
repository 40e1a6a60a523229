"""deepflux-surface: what users of flux products expect beside the fluxes, of passes and of days."""

from __future__ import annotations

from fluxengine.declare import Product, Read
from fluxengine.grid import Grid, days
from fluxrecipes import gates
from fluxrecipes import vocabulary as cf
from fluxrecipes.constellation import satellite_of
from fluxrecipes.products import deepflux
from fluxrecipes.products.deepflux import Options
from fluxrecipes.stages.passes import PASSES, MeanOfPasses
from fluxrecipes.stages.surface import QUANTITIES, SurfaceStates, WhenAndWhere, local_time
from fluxrecipes.stages.surface import surface_type as kind


def surface_passes(o: Options) -> Product:
    """Of each pass, with its time, its satellite, and what each cell is."""
    wind = cf.wind_speed_corrected if o.correct == "wind" else cf.wind_speed
    states, where = SurfaceStates(o.bulk, wind.name), WhenAndWhere()
    satellite = satellite_of(o.sensors)
    return Product(
        "deepflux-surface-passes",
        Grid(time=days("1987-07-09", block=30), orbit=deepflux.ORBITS, **deepflux.OCEAN),
        reads=(
            Read(deepflux.passes(o), (*states.inputs, cf.flux_state.name)),
            Read(deepflux.merged(o), (cf.pass_time.name, satellite.name)),
        ),
        stages=(states, where),
        publishes=(*QUANTITIES, cf.pass_time, local_time, satellite, kind, cf.flux_state),
        gates=(gates.valid_range,),
        title="States of sea surface and near-surface air of each pass",
        summary="Actual wind, surface humidity, differences of sea and air, relative humidity,"
        " stress, evaporation, density and air at 2 m, with the time and the satellite of each.",
        attrs=deepflux.ATTRIBUTES,
        batch=10,
    )


def surface(o: Options) -> Product:
    """Mean of both passes."""
    mean = MeanOfPasses(QUANTITIES, o.min_passes)
    return Product(
        "deepflux-surface",
        Grid(time=days("1987-07-09", block=30), **deepflux.OCEAN),
        reads=(Read(surface_passes(o), mean.inputs),),
        stages=(mean,),
        publishes=(*QUANTITIES, cf.flux_state, PASSES),
        gates=(gates.valid_range,),
        title="Daily states of sea surface and near-surface air",
        summary="Mean of the ascending and the descending pass, on the days and cells of the"
        " product deepflux.",
        attrs=deepflux.ATTRIBUTES,
    )
