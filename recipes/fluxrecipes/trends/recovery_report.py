"""What is given back of known trends: tables, a file of maps, numbers, and a picture."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from fluxengine import show
from fluxengine.repository import storage_errors
from fluxrecipes.report.maps import Panel, draw
from fluxrecipes.report.units import shown
from fluxrecipes.trends.recovery import UNTESTED, Recovered, Trend
from fluxrecipes.trends.report import Files

if TYPE_CHECKING:
    import xarray as xr

MAPS = "recovery.nc"
TOLD = "global"  # the region of the tables; all are in the file of numbers


def tables(found: Recovered) -> None:
    """Print what was found."""
    numbers = sorted(set(found.days.values()))
    days = f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
    show.out.print(
        f"[bold]Known trends in SIMULATED worlds[/], {days} days of each, beside one without"
    )
    given = [one for one in found.trends if one.region == TOLD]
    real = [one for one in given if one.fraction is not None]
    false = [one for one in given if one.fraction is None and abs(one.record) > 0]
    if real:
        heads = ("variable", "world", "#true", "#record", "#given back", "95 %")
        show.out.print()
        show.table("Trends per decade, global", heads, [_real(one) for one in real], wide=True)
    if false:
        title = "False trends per decade, global: the truth has none"
        show.out.print()
        show.table(
            title, ("variable", "world", "#record"), [_false(one) for one in false], wide=True
        )
    show.out.print()
    show.table(
        f"Where less than {found.asked.least:g} is given back a trend is not observable",
        ("variable", "#observable", "#of the ocean tested"),
        list(_shares(found)),
    )


def _real(one: Trend) -> tuple[str, ...]:
    assert one.fraction is not None
    unit, scale, _, digits = shown(one.units)
    value, low, high = one.fraction
    return (
        f"{one.variable.replace('_', ' ')} [{unit}]",
        one.world,
        f"{one.truth * scale:+.{digits}f}",
        f"{one.record * scale:+.{digits}f}",
        f"{value:.2f}",
        f"{low:.2f} to {high:.2f}" if np.isfinite(low) else "",
    )


def _false(one: Trend) -> tuple[str, ...]:
    unit, scale, _, digits = shown(one.units)
    name = f"{one.variable.replace('_', ' ')} [{unit}]"
    return name, one.world, f"{one.record * scale:+.{digits}f}"


def _shares(found: Recovered) -> Iterator[tuple[str, str, str]]:
    """Of each variable the share of the tested area that is observable, and that is tested."""
    for variable in found.asked.variables:
        codes = found.observable(variable)
        area = np.cos(np.radians(codes["lat"].values.astype(float)))[:, None]
        weight = np.broadcast_to(area, codes.shape)
        tested = codes.values != UNTESTED
        sea = np.any([np.isfinite(one.values) for one in found.fractions.values()], axis=0)
        name = variable.replace("_", " ")
        if not tested.any():
            yield name, "no world has a trend in it", ""
            continue
        seen = weight[codes.values == 1].sum() / weight[tested].sum()
        yield name, f"{100 * seen:.0f} %", f"{100 * weight[tested].sum() / weight[sea].sum():.0f} %"


def write(found: Recovered) -> Files:
    """Write maps as NetCDF, numbers as JSON, and a picture, into the folder that was asked for."""
    folder = found.asked.out
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        numbers = folder / "recovery.json"
        numbers.write_text(json.dumps(found.as_json(), indent=2, allow_nan=False) + "\n")
        maps = folder / MAPS
        unfinished = maps.with_suffix(".unfinished")
        as_dataset(found).to_netcdf(unfinished, engine="netcdf4")
        unfinished.replace(maps)
        picture = draw(
            list(_panels(found)),
            folder / "recovery.png",
            title="Share of known trends that the record gives back: SIMULATED worlds",
            note="The least of all worlds in which the variable has a trend. Crosses, on some of"
            f" the cells: less than {found.asked.least:g}, not observable. Grey: land, or no world"
            " tests it there.",
        )
    return Files(maps, numbers, picture)


def as_dataset(found: Recovered) -> xr.Dataset:
    """``VARIABLE_recovered``, with an axis ``world``, and ``VARIABLE_observable``."""
    import xarray as xr

    made: dict[str, xr.DataArray] = {}
    worlds = xr.DataArray(list(found.asked.worlds), dims="world", name="world")
    for variable in found.asked.variables:
        name = variable.replace("_", " ")
        several = [found.fractions[variable, world] for world in found.asked.worlds]
        made[f"{variable}_recovered"] = (
            xr.concat(several, dim=worlds)
            .astype("f4")
            .assign_attrs(
                long_name=f"trend of {name} in the record over that in the truth", units="1"
            )
        )
        made[f"{variable}_observable"] = found.observable(variable).assign_attrs(
            long_name=f"whether a trend of {name} can be observed",
            flag_values=np.array([UNTESTED, 0, 1], np.int8),
            flag_meanings="not_tested not_observable observable",
        )
    attrs = {
        "title": "Share of known trends that a record gives back, in simulated worlds",
        "Conventions": "CF-1.11",
        "simulated": "yes",
        "least": found.asked.least,
    }
    return xr.Dataset(made, attrs=attrs)


def _panels(found: Recovered) -> Iterator[Panel]:
    """The least fraction of each variable that any world has a trend in."""
    for variable in found.asked.variables:
        several = [one for (name, _), one in found.fractions.items() if name == variable]
        least = np.fmin.reduce([one.values for one in several])
        if np.isnan(least).all():
            continue
        lost = found.observable(variable) == 0
        values = several[0].copy(data=least)
        name = variable.replace("_", " ")
        yield Panel(values, name, "1", "PuOr", (0.0, 2.0), ("given back", 1.0, 0.0), crosses=lost)
