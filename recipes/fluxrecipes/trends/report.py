"""Trends as tables for the eye, a file of maps, a file of numbers and a picture."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fluxengine import show
from fluxengine.repository import storage_errors
from fluxrecipes.report.maps import Panel, draw, even
from fluxrecipes.report.units import shown
from fluxrecipes.trends.document import MEAN, Found
from fluxrecipes.trends.estimates import Estimate
from fluxrecipes.trends.records import OBSERVABLE
from fluxrecipes.trends.recovery import LOST

if TYPE_CHECKING:
    import xarray as xr


class Files(NamedTuple):
    """What was written."""

    maps: Path
    numbers: Path
    picture: Path


def tables(found: Found) -> None:
    """Print what was found."""
    first, last = found.years
    show.out.print(
        f"[bold]Trends per decade of {found.asked.world}[/], {OF[found.asked.of]} {first} to {last}"
    )
    for one in found.offsets:
        unit, scale, _, digits = shown(one.units)
        size = f"{one.mean * scale:+.{digits}f} ± {one.error * scale:.{digits}f} {unit}"
        what = one.variable.replace("_", " ")
        show.out.print(f"Taken away: offset of {what} on {one.on}, {size}, {one.months} months.")
    if found.removed:
        show.out.print(f"Taken out beside the trend: {', '.join(found.removed)}.")
    for variable in dict.fromkeys(one.variable for one in found.regions):
        mine = [one for one in found.regions if one.variable == variable]
        _table(variable.replace("_", " "), "orbit", mine)
    for flux, parts in found.causes.items():
        some = [one for one in parts if one.region == "global"]
        _table(f"what contributes to {flux.replace('_', ' ')}, global", "variable", some)
    if found.beside:
        for variable in dict.fromkeys(one.variable for one in found.beside["record"]):
            _beside(found, variable)
    _sizes(found)
    if found.observable:
        _lost(found)
    show.out.print(
        "\n± 95 % and p come from least squares with AR(1) residuals; r1 is their autocorrelation"
        " at lag 1. MK, HR: Mann-Kendall and Hamed-Rao, for comparison."
    )
    if found.offsets:
        show.out.print(
            "± and p know how well the offsets are known; MK and HR do not, nor does what is said"
            " of contributions."
        )


def _beside(found: Found, variable: str) -> None:
    """Records one below the other, region by region."""
    several = [
        (name, one)
        for name, many in found.beside.items()
        for one in many
        if one.variable == variable
    ]
    order = {region: place for place, region in enumerate(found.asked.boxes)}
    title = f"{variable.replace('_', ' ')}: common cells and years, nothing taken out"
    _rows(title, "record", sorted(several, key=lambda pair: order[pair[1].region]))


def _table(title: str, by: str, several: Sequence[Estimate]) -> None:
    _rows(title, by, [(getattr(one, by).replace("_", " "), one) for one in several])


TESTS = ("#p", "#r1", "#Theil-Sen", "#p MK", "#p HR", "#values")


def row(name: str, one: Estimate) -> tuple[str, ...]:
    """Cells of a table with the heads region, `name`'s, trend, ± 95 % and `TESTS`."""
    _, scale, _, digits = shown(one.units)
    return (
        one.region,
        name,
        _number(one.slope * scale, digits, "+"),
        _number(one.interval * scale, digits),
        _chance(one.p),
        _number(one.autocorrelation, 2),
        _number(one.theil_sen * scale, digits, "+"),
        _chance(one.p_mann_kendall),
        _chance(one.p_hamed_rao),
        str(one.values),
    )


def _rows(title: str, by: str, several: Sequence[tuple[str, Estimate]]) -> None:
    unit = shown(several[0][1].units).unit
    heads = ("region", by, "#trend", "#± 95 %", *TESTS)
    show.out.print()
    rows = [row(name, one) for name, one in several]
    show.table(f"{title} [{unit} per decade]", heads, rows, wide=True)


def _number(value: float, digits: int, sign: str = "") -> str:
    return f"{value:{sign}.{digits}f}" if np.isfinite(value) else ""


def _chance(p: float) -> str:
    return "<0.001" if p < 0.001 else _number(p, 3)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if np.isfinite(share) else ""


def _sizes(found: Found) -> None:
    tests = list(next(iter(found.sizes.values())))
    rows = [
        (name.replace("_", " "), *(_percent(share[test]) for test in tests))
        for name, share in found.sizes.items()
    ]
    show.out.print()
    heads = ("variable", *(f"#{test}" for test in tests))
    title = "Share of the cells with p < 0.05: where nothing has a trend, the size of the test"
    show.table(title, heads, rows, wide=True)


def _lost(found: Found) -> None:
    told = ", ".join(
        f"{name.replace('_', ' ')} {100 * share:.0f} %" for name, share in found.lost.items()
    )
    show.out.print(f"\nCells in which too little of a known trend is given back: {told}.")


def write(found: Found) -> Files:
    """Write maps as NetCDF, numbers as JSON, and a picture, into the folder that was asked for."""
    folder, (first, last) = found.asked.out, found.years
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        numbers = folder / "trends.json"
        numbers.write_text(json.dumps(found.as_json(), indent=2, allow_nan=False) + "\n")
        maps = folder / "trends.nc"
        unfinished = maps.with_suffix(".unfinished")  # somebody may be reading the last ones
        as_dataset(found).to_netcdf(unfinished, engine="netcdf4")
        unfinished.replace(maps)
        picture = draw(
            list(_panels(found)),
            folder / "trends.png",
            title=f"Linear trends per decade, {first}–{last}: {found.asked.world}",
            note="Marks stand on some of the cells. Dots: significant, of which"
            f" {100 * found.asked.false_discoveries:g} % or fewer are expected by chance (false"
            " discovery rate)."
            + (
                " Crosses: not observable, too little of a known trend is given back."
                if found.observable
                else " Whether trends can be observed here was not tested."
            )
            + (f" Taken out: {', '.join(found.removed)}." if found.removed else ""),
        )
    return Files(maps, numbers, picture)


LONG = {
    "trend": "linear trend per decade of {}, by least squares",
    "interval": "half of the 95 % interval of the trend per decade of {}",
    "p": "probability of no trend of {}, residuals AR(1)",
    "autocorrelation": "autocorrelation of what the trend leaves of {}",
    "theil_sen": "Theil-Sen trend per decade of {}",
    "p_mann_kendall": "probability of no trend of {}, Mann-Kendall",
    "p_hamed_rao": "probability of no trend of {}, Hamed-Rao",
    "significant": "whether the trend of {} is significant, by false discovery rate",
    "values": "number of values of {}, of years or months",
}
OF = {
    "years": "annual means",
    "months": "departures of months",
    "days": "departures of days",
}
PER_DECADE = ("trend", "interval", "theil_sen")


def as_dataset(found: Found) -> xr.Dataset:
    """All maps: ``VARIABLE_trend`` and so on; of passes with an axis ``orbit``."""
    import xarray as xr

    made: dict[str, xr.DataArray] = {}
    for (variable, orbit), maps in found.maps.items():
        suffix = "" if orbit == MEAN else f"_{orbit.replace(' ', '_')}"
        for what, values in maps.items():
            units = str(values.attrs.get("units", "1"))
            decade = f"{units} decade-1" if units != "1" else "decade-1"
            attrs = {
                "long_name": LONG[what].format(variable.replace("_", " ")),
                "units": decade if what in PER_DECADE else "1",
            }
            kind = "i1" if what == "significant" else "i2" if what == "values" else "f4"
            plain = values.astype(kind).drop_attrs(deep=False)
            made[f"{variable}_{what}{suffix}"] = plain.assign_attrs(attrs)
    for variable, codes in found.observable.items():
        made[f"{variable}{OBSERVABLE}"] = codes
    first, last = found.years
    title = f"Linear trends of {OF[found.asked.of]}, {first} to {last}, of {found.asked.world}"
    attrs = {"title": title, "Conventions": "CF-1.11", "source": found.asked.dataset}
    return xr.Dataset(made, attrs=attrs)


def _panels(found: Found) -> Iterator[Panel]:
    """A map of each variable of the mean of passes, in colours that are even about zero."""
    for (variable, orbit), maps in found.maps.items():
        if orbit == MEAN:
            yield panel(maps["trend"], maps["significant"], found.observable.get(variable))


def panel(trend: xr.DataArray, significant: xr.DataArray, observable: xr.DataArray | None) -> Panel:
    """A map of a trend, with dots where it is significant, and crosses where it is not observable.

    Parameters
    ----------
    trend : DataArray
        On (lat, lon), by the name of its variable and in the unit of it, a decade.
    significant : DataArray
        Of the same shape.
    observable : DataArray, optional
        Of the same shape, as `fluxforge recovery` writes it.
    """
    unit, scale, *_ = shown(str(trend.attrs.get("units", "1")))
    return Panel(
        trend,
        str(trend.name).replace("_", " "),
        "",
        "RdBu_r",
        even(trend.values * scale),
        (f"{unit} per decade", scale, 0.0),
        significant.astype(bool),
        None if observable is None else observable == LOST,
    )
