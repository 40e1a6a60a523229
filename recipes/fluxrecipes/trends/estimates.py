"""Trends of annual maps and of regions, with all tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fluxkernels.stats.field import significant
from fluxkernels.stats.rank import RankTrend, rank_trend
from fluxkernels.stats.trend import LinearTrend, linear_trend
from fluxrecipes.trends.offsets import Offset, unsure
from fluxrecipes.trends.regions import Region, mean_over
from fluxrecipes.trends.series import decades

if TYPE_CHECKING:
    import xarray as xr

Floats = npt.NDArray[np.float64]

LEVEL = 0.05  # of single tests
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """The trend of one series, in units a decade.

    Parameters
    ----------
    variable, orbit, region : str
    units : str
        Of the variable.
    values : int
        Years or months with one.
    slope, interval : float
        Least squares, and half the width of its 95 % interval.
    p : float
        Of no trend, with AR(1) residuals.
    autocorrelation : float
        Of these.
    theil_sen : float
    p_mann_kendall, p_hamed_rao : float
    """

    variable: str
    orbit: str
    region: str
    units: str
    values: int
    slope: float
    interval: float
    p: float
    autocorrelation: float
    theil_sen: float
    p_mann_kendall: float
    p_hamed_rao: float

    def as_json(self) -> dict[str, Any]:
        """For machines; None where there is no value."""
        return {k: or_none(v) for k, v in asdict(self).items()}


def or_none(value: Any) -> Any:
    """A value as JSON has it: None where there is none."""
    return None if isinstance(value, float) and not np.isfinite(value) else value


def maps(
    annual: xr.DataArray,
    regressors: Floats | None,
    false_discoveries: float,
    offsets: Sequence[Offset] = (),
) -> dict[str, xr.DataArray]:
    """Trends of all cells.

    Parameters
    ----------
    annual : DataArray
        On (year, ..., lat, lon).
    regressors : float array, shape (year, regressors), optional
    false_discoveries : float
        Share of the cells found that may be there by chance.
    offsets : sequence of Offset, optional
        Taken out of the series: intervals and p know how well they are known, tests by rank do not.

    Returns
    -------
    dict of str to DataArray
        ``trend`` and ``interval`` (half of the 95 % interval) a decade, ``p``, ``autocorrelation``,
        ``theil_sen``, ``p_mann_kendall``, ``p_hamed_rao``, ``significant`` by false discoveries,
        and the number of ``values``. Tests by rank know no regressors: with these they are NaN.
    """
    found = tests(annual, regressors, offsets)
    return found | {"significant": significant_of(found["p"], false_discoveries)}


def tests(
    annual: xr.DataArray, regressors: Floats | None, offsets: Sequence[Offset]
) -> dict[str, xr.DataArray]:
    """All of `maps` that is of each cell by itself."""
    years = annual["year"].values
    times = decades(years)
    by_squares = linear_trend(annual.values, times, regressors)
    known = [(one.on, one.known) for one in offsets]
    by_squares = unsure(by_squares, annual.values, years, regressors, known)
    ranked = by_rank(annual.values, times, regressors)
    found = {
        "trend": by_squares.slope,
        "interval": by_squares.within(CONFIDENCE),
        "p": by_squares.p_value,
        "autocorrelation": by_squares.autocorrelation,
        "theil_sen": ranked.slope,
        "p_mann_kendall": ranked.p_mann_kendall,
        "p_hamed_rao": ranked.p_hamed_rao,
        "values": by_squares.number,
    }
    empty = annual.isel(year=0, drop=True)
    return {name: empty.copy(data=np.asarray(one)) for name, one in found.items()}


def significant_of(p: xr.DataArray, share: float) -> xr.DataArray:
    """By false discoveries, of each map by itself where there are several."""
    if p.ndim == 2:
        return p.copy(data=significant(p.values, share))
    flat = p.values.reshape(-1, *p.shape[-2:])
    found = np.stack([significant(one, share) for one in flat])
    return p.copy(data=found.reshape(p.shape))


def by_rank(values: Floats, times: Floats, regressors: Floats | None) -> RankTrend:
    """Tests by rank; of nothing where there are regressors.

    Of series from which regressors were taken out beforehand they would find trends that are none:
    they do not know that a step and a trend are hard to tell apart.
    """
    return rank_trend(values if regressors is None else np.full_like(values, np.nan), times)


def of_regions(
    annual: xr.DataArray,
    regions: Mapping[str, Region],
    regressors: Floats | None,
    *,
    units: str,
    orbit: str,
    offsets: Sequence[Offset] = (),
) -> Iterator[Estimate]:
    """Trends of means over regions.

    Parameters
    ----------
    annual : DataArray
        On (year, lat, lon).
    regions : mapping of str to Region
    regressors : float array, shape (year, regressors), optional
    units, orbit : str
        As they are to be told.
    offsets : sequence of Offset, optional
        As of `maps`.
    """
    years = annual["year"].values
    latitude, longitude = (annual[name].values.astype(float) for name in ("lat", "lon"))
    for name, region in regions.items():
        series = mean_over(region, annual.values, latitude, longitude)
        known = [(one.on, one.known_in[name]) for one in offsets]
        linear = linear_trend(series, decades(years), regressors)
        linear = unsure(linear, series, years, regressors, known)
        ranked = by_rank(series, decades(years), regressors)
        yield estimate(linear, ranked, str(annual.name), orbit, name, units)


def estimate(
    linear: LinearTrend, ranked: RankTrend, variable: str, orbit: str, region: str, units: str
) -> Estimate:
    """The trend of one series, by all tests."""
    return Estimate(
        variable=variable,
        orbit=orbit,
        region=region,
        units=units,
        values=int(linear.number),
        slope=float(linear.slope),
        interval=float(linear.within(CONFIDENCE)),
        p=float(linear.p_value),
        autocorrelation=float(linear.autocorrelation),
        theil_sen=float(ranked.slope),
        p_mann_kendall=float(ranked.p_mann_kendall),
        p_hamed_rao=float(ranked.p_hamed_rao),
    )


def sizes(found: Mapping[str, xr.DataArray], false_discoveries: float) -> dict[str, float]:
    """Share of cells in which each test sees a trend at the 5 % level; NaN where it was not made.

    Where the record has none, that is the test's measured size.
    """
    tests = {"least squares": "p", "Mann-Kendall": "p_mann_kendall", "Hamed-Rao": "p_hamed_rao"}
    told = {}
    for name, key in tests.items():
        p = found[key].values
        known = np.isfinite(p)
        told[name] = float((p[known] < LEVEL).mean()) if known.any() else float("nan")
    there = np.isfinite(found["p"].values)
    share = found["significant"].values[there].mean() if there.any() else np.nan
    return told | {f"false discoveries at most {100 * false_discoveries:g} %": float(share)}
