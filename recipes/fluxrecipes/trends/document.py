"""All that `fluxforge trends` finds: maps, and estimates of regions, in one value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fluxrecipes import vocabulary as cf
from fluxrecipes.trends import attribution, daily, estimates, records
from fluxrecipes.trends.estimates import Estimate, or_none
from fluxrecipes.trends.offsets import Offset, estimated, mended
from fluxrecipes.trends.recovery import LOST
from fluxrecipes.trends.series import series_of
from fluxrecipes.trends.settings import Trends

if TYPE_CHECKING:
    import xarray as xr

Maps = dict[str, "xr.DataArray"]
Floats = npt.NDArray[np.float64]

MEAN, DIFFERENCE = "mean", "ascending less descending"


@dataclass(frozen=True)
class Found:
    """Trends of a record.

    Parameters
    ----------
    asked : Trends
    years : (int, int)
        The first and the last.
    removed : tuple of str
        What was taken out of the series beside the trend.
    offsets : list of Offset
        Taken from what comes after each change of satellites.
    maps : dict
        By variable and orbit: see `estimates.maps`.
    regions : list of Estimate
        Of the record.
    sizes : dict
        By variable: the share of the cells in which each test sees a trend.
    beside : dict of str to list of Estimate
        Of other records, and the record itself, on cells and years that all have.
    causes : dict of str to list of Estimate
        By flux: what contributes to its trend, the variable being the cause.
    observable : dict of str to DataArray
        By variable: codes of `fluxrecipes.trends.recovery`, of those that were tested.
    """

    asked: Trends
    years: tuple[int, int]
    removed: tuple[str, ...]
    offsets: list[Offset] = field(default_factory=list)
    maps: dict[tuple[str, str], Maps] = field(default_factory=dict)
    regions: list[Estimate] = field(default_factory=list)
    sizes: dict[str, dict[str, float]] = field(default_factory=dict)
    beside: dict[str, list[Estimate]] = field(default_factory=dict)
    causes: dict[str, list[Estimate]] = field(default_factory=dict)
    observable: dict[str, xr.DataArray] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """For machines: all but the maps."""
        return {
            "simulated": self.asked.simulated or None,
            "dataset": self.asked.dataset,
            "years": list(self.years),
            "of": self.asked.of,
            "removed": list(self.removed),
            "offsets": [one.as_json() for one in self.offsets],
            "regions": [one.as_json() for one in self.regions],
            "share_of_cells_with_p_below_0.05": {
                name: {test: or_none(share) for test, share in sizes.items()}
                for name, sizes in self.sizes.items()
            },
            "beside": {k: [one.as_json() for one in v] for k, v in self.beside.items()},
            "share_of_cells_not_observable": self.lost,
            "causes": {k: [one.as_json() for one in v] for k, v in self.causes.items()},
        }

    @property
    def lost(self) -> dict[str, float]:
        """Share of the cells of each tested variable in which a trend cannot be observed."""
        told = {}
        for name, codes in self.observable.items():
            there = np.isfinite(self.maps[name, MEAN]["trend"].values)
            told[name] = float((codes.values[there] == LOST).mean()) if there.any() else 0.0
        return told


def of(asked: Trends, tell: Callable[[str], None] = lambda line: None) -> Found:
    """Trends of all that is asked for.

    Parameters
    ----------
    asked : Trends
    tell : callable, optional
        Takes a line on what is being done.

    Raises
    ------
    NoTrend
        FF751: a variable that is not there, or too few years.
    NotOurStore, UnknownName, ConfigError
    """
    dataset = records.read(asked, asked.dataset, asked)
    asked = records.of_its_world(asked, dataset)
    where = f"{asked.place}: {asked.dataset}"
    if asked.of == "days":
        return _of_days(asked, dataset, where, tell)
    offsets = {name: estimated(asked, name, tell) for name in _offset(asked)}

    def monthly(name: str) -> xr.DataArray:
        return mended(records.variable(dataset, name, asked, where), offsets.get(name, ()))

    def own(name: str) -> xr.DataArray:
        return series_of(monthly(name), asked.of, asked.min_months)

    def unmended(name: str) -> xr.DataArray:
        plain = records.variable(dataset, name, asked, where)
        return series_of(plain, asked.of, asked.min_months)

    series = {}
    for name in asked.variables:
        tell(f"Series of {name.replace('_', ' ')}.")
        series[name] = own(name)
    years = np.asarray(next(iter(series.values()))["year"].values, np.float64)
    sea = cf.sea_surface_temperature.name
    warmth = None
    if asked.without_enso and sea in dataset:
        warmth = series[sea] if sea in series else own(sea)
    some = [np.isfinite(one.values).any(axis=(1, 2)) for one in series.values()]
    removed, regressors = records.regressors(asked, years, warmth, np.any(some, axis=0))
    told = [one for several in offsets.values() for one in several]
    found = Found(asked, (int(years[0]), int(years[-1])), removed, told)
    _add_observable(found, series.values())
    for name, values in series.items():
        _add(found, values, regressors, MEAN, offsets.get(name, ()))
    if asked.passes:
        _add_passes(found, asked.passes, years, regressors, tell)
    if asked.attribution:
        _add_causes(found, monthly, regressors, tell)
    if asked.beside:
        plain = {name: unmended(name) for name in offsets if name in series}
        _add_beside(found, series | plain, tell)
    return found


def _of_days(asked: Trends, dataset: xr.Dataset, where: str, tell: Callable[[str], None]) -> Found:
    """Maps and regions of days, one variable after the other."""
    several = [records.unread(dataset, name, where) for name in asked.variables]
    years = daily.days_of(several[0])
    removed, regressors = records.regressors(asked, years, None)
    found = Found(asked, (int(years[0]), int(years[-1])), removed)
    _add_observable(found, several)
    for values in several:
        name = str(values.name)
        tell(f"Days of {name.replace('_', ' ')}.")
        maps, regions = daily.of(
            values,
            asked.boxes,
            regressors,
            false_discoveries=asked.false_discoveries,
            units=str(values.attrs.get("units", "1")),
            orbit=MEAN,
        )
        _put(found, name, MEAN, maps, regions)
    return found


def _add_observable(found: Found, several: Iterable[xr.DataArray]) -> None:
    """Where trends of the variables can be observed, where that is known."""
    if found.asked.recovered is not None:
        found.observable.update(records.observable(found.asked.recovered, several))


def _offset(asked: Trends) -> tuple[str, ...]:
    """Variables whose offsets are asked for: those of the trends, and what contributes to them."""
    if not asked.overlaps:
        return ()
    fluxes = any(v.name in asked.variables for v in cf.FLUXES)
    causes = [v.name for v in attribution.CAUSES] if asked.attribution and fluxes else []
    return tuple(dict.fromkeys((*asked.variables, *causes)))


def _add(
    found: Found,
    values: xr.DataArray,
    regressors: Floats | None,
    orbit: str,
    offsets: Sequence[Offset] = (),
) -> None:
    """Maps and regions of one variable, from which offsets may have been taken out."""
    maps = estimates.maps(values, regressors, found.asked.false_discoveries, offsets)
    regions = _of_regions(values, found.asked, regressors, orbit, offsets)
    _put(found, str(values.name), orbit, maps, regions)


def _put(found: Found, name: str, orbit: str, maps: Maps, regions: Iterable[Estimate]) -> None:
    found.maps[name, orbit] = maps
    if orbit == MEAN:
        found.sizes[name] = estimates.sizes(maps, found.asked.false_discoveries)
    found.regions.extend(regions)


def _of_regions(
    values: xr.DataArray,
    asked: Trends,
    regressors: Floats | None,
    orbit: str,
    offsets: Sequence[Offset] = (),
) -> Iterator[Estimate]:
    units = str(values.attrs.get("units", "1"))
    return estimates.of_regions(
        values, asked.boxes, regressors, units=units, orbit=orbit, offsets=offsets
    )


def _add_passes(
    found: Found,
    name: str,
    years: Floats,
    regressors: Floats | None,
    tell: Callable[[str], None],
) -> None:
    """The same by pass, and the difference of the passes."""
    asked = found.asked
    dataset = records.read(asked, name, asked)
    for variable in asked.variables:
        tell(f"By pass: {variable.replace('_', ' ')}.")
        monthly = records.variable(
            dataset, variable, asked, f"{asked.place}: {name}", axes=("orbit", *records.MAPS)
        )
        values = series_of(monthly, asked.of, asked.min_months).reindex(year=years)
        orbits = records.orbits_of(dataset)
        by_pass = {orbit: values.sel(orbit=orbit, drop=True) for orbit in orbits}
        for orbit, one in by_pass.items():
            _add(found, one, regressors, orbit)
        if {"ascending", "descending"} <= set(by_pass):
            apart = by_pass["ascending"].copy(
                data=by_pass["ascending"].values - by_pass["descending"].values
            )
            _add(found, apart, regressors, DIFFERENCE)


def _add_causes(
    found: Found,
    monthly: Callable[[str], xr.DataArray],
    regressors: Floats | None,
    tell: Callable[[str], None],
) -> None:
    """What contributes to the trend of each flux that was asked for."""
    asked = found.asked
    for flux in (v.name for v in cf.FLUXES if v.name in asked.variables):
        tell(f"What contributes to the trend of {flux.replace('_', ' ')}.")
        needed = (*(v.name for v in attribution.CAUSES), flux)
        given = {name: monthly(name) for name in needed}
        parts = attribution.contributions(given, flux, "coare36", asked.of, asked.min_months)
        units = str(given[flux].attrs.get("units", "1"))
        found.causes[flux] = [
            estimate
            for cause, values in parts.items()
            for estimate in estimates.of_regions(
                values.rename(cause), asked.boxes, regressors, units=units, orbit=MEAN
            )
        ]


def _add_beside(found: Found, series: dict[str, xr.DataArray], tell: Callable[[str], None]) -> None:
    """Other records, and the record, on common cells and years; nothing is taken out of any."""
    asked = found.asked
    for variable, own in series.items():
        together = {"record": own}
        for name, other in asked.beside.items():
            dataset = records.read(other, other.dataset, asked)
            if variable not in dataset:
                tell(f"{name} has no {variable.replace('_', ' ')}: the record is alone.")
                continue
            tell(f"{name}: {variable.replace('_', ' ')}.")
            monthly = records.variable(dataset, variable, asked, str(other.place), of_others=True)
            together[name] = series_of(monthly, asked.of, asked.min_months)
        if len(together) == 1:
            continue
        years = sorted(set.intersection(*(set(v["year"].values) for v in together.values())))
        if len(years) < records.FEWEST:
            raise records.NoTrend(
                f"years of {variable.replace('_', ' ')} that all records have: {len(years)}.",
                where="beside",
                mend=f"Leave out one of {', '.join(asked.beside)}, or run it for these years.",
            )
        aligned = {k: v.sel(year=years) for k, v in together.items()}
        records.check_grids(aligned)
        common = np.logical_and.reduce([np.isfinite(v.values) for v in aligned.values()])
        for name, values in aligned.items():
            some = values.where(common)
            found.beside.setdefault(name, []).extend(_of_regions(some, asked, None, MEAN))
