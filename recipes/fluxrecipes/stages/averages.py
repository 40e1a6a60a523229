"""Means over months, over the years of a climatology, and departures from it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fluxengine.declare import AS_IS, Arrays, Packing, PlainStage, Variable
from fluxengine.errors import ConfigError
from fluxrecipes import vocabulary as cf
from fluxrecipes.stages.passes import APART, PASSES
from fluxrecipes.stages.states import has_value
from fluxrecipes.standard_errors import error_of, systematic_error_of

if TYPE_CHECKING:
    import xarray as xr

Array = npt.NDArray[Any]

SHARE = Packing("i2", 1e-4, 0, -32768)
flux_days = Variable(
    "flux_days",
    "1",
    "days with a flux, over which all means are taken",
    "number_of_observations",
    packing=Packing("u1", fill=255),
)
filled_share = Variable(
    "filled_share",
    "1",
    "share of the days with a flux on which an input was filled, by whatever",
    valid_range=(0, 1),
    packing=SHARE,
)
reanalysis_share = Variable(
    "reanalysis_share",
    "1",
    "share of the days with a flux on which an input was filled from a reanalysis",
    valid_range=(0, 1),
    packing=SHARE,
)
BESIDE = (flux_days, filled_share, reanalysis_share)


def mean_of(variable: Variable, cells: str = "time: mean") -> Variable:
    """A mean of a variable: no packing, for trends are smaller than its steps."""
    return replace(
        variable, packing=AS_IS, valid_range=None, attrs={**variable.attrs, "cell_methods": cells}
    )


@dataclass(frozen=True)
class MonthlyMeans(PlainStage):
    """Means over the days of each month that have a flux, and where the values come from.

    Of standard errors that of the mean is told, as `fluxrecipes.error_of_mean` does for one cell:
    systematic parts are the same on all days, random ones of single passes are correlated by
    exp(-t / T). Days that are means of two passes, 12 hours apart, are then more alike: two of
    them k days apart by exp(-k / T) (1 + cosh(12 h / T)) / (1 + exp(-12 h / T)).

    Parameters
    ----------
    variables : tuple of Variable
        Daily ones; with the standard errors and their systematic parts, of those that have any.
    min_days : int
        Days with a flux that a mean needs.
    erring : tuple of (Variable, float or None)
        Variables that have standard errors, and T [days] of these; None takes them as the same.
    of_passes : bool
        Whether days are means of passes, as many as ``flux_count`` says. Days with one are taken as
        of the same pass beside each other, and beside days with both as of either.
    """

    variables: tuple[Variable, ...]
    min_days: int = 10
    erring: tuple[tuple[Variable, float | None], ...] = ()
    of_passes: bool = False

    @property
    def inputs(self) -> tuple[str, ...]:
        """The variables and the state of the flux; of means of passes their number."""
        counted = (PASSES.name,) if self.of_passes else ()
        return (*(v.name for v in self.variables), cf.flux_state.name, *counted)

    @property
    def outputs(self) -> tuple[Variable, ...]:
        """Means, days, and shares."""
        return (*(mean_of(v) for v in self.variables), *BESIDE)

    def load(self) -> Callable[[Arrays], Arrays]:
        """The stage's function."""
        import xarray as xr

        def means(arrays: Arrays) -> Arrays:
            state = arrays[cf.flux_state.name]
            months = state["time"].values.astype("datetime64[M]")
            parts = [self._month(arrays, months == month) for month in np.unique(months)]
            beside = {n: c for n, c in state.coords.items() if n != "time" and c.dims != ("time",)}
            coords = {**beside, "time": np.unique(months).astype("datetime64[ns]")}
            return {
                name: xr.DataArray(np.stack([part[name] for part in parts]), coords, state.dims)
                for name in parts[0]
            }

        return means

    def _month(self, arrays: Arrays, days: Array) -> dict[str, Array]:
        """Of the days that are marked: arrays without time."""
        state = arrays[cf.flux_state.name].values[days]
        there = has_value(state)
        both = arrays[PASSES.name].values[days] > 1 if self.of_passes else np.zeros_like(there)
        number = there.sum(axis=0)
        enough = number >= self.min_days
        found = {v.name: _mean(arrays[v.name].values[days], there, enough) for v in self.variables}
        for variable, correlation in self.erring:
            whole, part = error_of(variable).name, systematic_error_of(variable).name
            total, lasting = (arrays[name].values[days] for name in (whole, part))
            random = _random(total, lasting, there & enough)
            variance = _variance(random, both, correlation)
            found[whole] = np.sqrt(variance + found[part].astype(np.float64) ** 2).astype("f4")
        filled = there & (state != cf.OBSERVED)
        told = filled, there & (state == cf.REANALYSIS)
        shares = [np.where(enough, one.sum(axis=0) / np.maximum(number, 1), np.nan) for one in told]
        found[flux_days.name] = number.astype(np.uint8)
        found[filled_share.name], found[reanalysis_share.name] = (s.astype("f4") for s in shares)
        return found


def _mean(values: Array, there: Array, enough: Array) -> Array:
    """Over the days that are there and have a value, in float32."""
    known = there & np.isfinite(values)
    number = known.sum(axis=0)
    total = np.where(known, values, 0.0).sum(axis=0, dtype=np.float64)
    mean = np.where(enough & (number > 0), total / np.maximum(number, 1), np.nan)
    return mean.astype(np.float32)


def _random(total: Array, systematic: Array, there: Array) -> Array:
    """Random errors of the days by their number, 0 where there is none: of a mean their sum."""
    square = np.where(there, total.astype(np.float64) ** 2 - systematic**2, 0.0).clip(min=0.0)
    number = np.maximum((there & np.isfinite(total)).sum(axis=0), 1)
    random: Array = np.sqrt(np.nan_to_num(square)) / number
    return random


def _variance(random: Array, both: Array, correlation: float | None) -> Array:
    """Variance of a sum of random errors of days, some of them of the mean of both passes."""
    length = math.inf if correlation is None else correlation
    day = np.arange(len(random))
    apart = np.abs(day[:, None] - day)
    other = apart > 0
    same = other * np.exp(-apart / length)
    # Of two days: the mean over each pass of one with each pass of the other.
    sides = np.exp(-(apart + APART) / length) + np.exp(-np.abs(apart - APART) / length)
    mixed = other * (2.0 * np.exp(-apart / length) + sides) / 4.0
    one = np.where(both, 0.0, random)
    passes = one + np.where(both, random, 0.0) / np.sqrt((1.0 + np.exp(-APART / length)) / 2.0)
    sums = [
        (random**2).sum(axis=0),
        (passes * np.tensordot(mixed, passes, axes=1)).sum(axis=0),
        (one * np.tensordot(same - mixed, one, axes=1)).sum(axis=0),
    ]
    return np.asarray(sum(sums))


@dataclass(frozen=True)
class Climatology(PlainStage):
    """Mean of each month of the year over some years; the months stand along ``month``.

    Parameters
    ----------
    variables : tuple of Variable
        Monthly means.
    first, last : int
        Years, both included; all months of them must be there.
    min_years : int
        Of the same month that a mean needs.
    """

    variables: tuple[Variable, ...]
    first: int
    last: int
    min_years: int

    @property
    def inputs(self) -> tuple[str, ...]:
        """The variables."""
        return tuple(v.name for v in self.variables)

    @property
    def outputs(self) -> tuple[Variable, ...]:
        """The same, over years."""
        return tuple(over_years(v) for v in self.variables)

    def load(self) -> Callable[[Arrays], Arrays]:
        """The stage's function."""

        def climatology(arrays: Arrays) -> Arrays:
            return {of.name: self._of(arrays[v.name], of) for v, of in self._pairs()}

        return climatology

    def _pairs(self) -> Iterator[tuple[Variable, Variable]]:
        return zip(self.variables, self.outputs, strict=True)

    def _of(self, values: xr.DataArray, made: Variable) -> xr.DataArray:
        import xarray as xr

        years = values["time"].values.astype("datetime64[Y]").astype(int) + 1970
        wanted = (years >= self.first) & (years <= self.last)
        if wanted.sum() < 12 * (self.last - self.first + 1):
            raise ConfigError(
                f"{int(wanted.sum())} months of {self.first} to {self.last} are there.",
                where="options.climatology",
                mend="Name whole years within the period of the run.",
            )
        by_year = values.values[wanted].reshape(-1, 12, *values.shape[1:])
        there = np.isfinite(by_year)
        mean = _mean(by_year, there, there.sum(axis=0) >= self.min_years)
        coords = {n: c for n, c in values.coords.items() if "time" not in c.dims}
        dims = ("month", *values.dims[1:])
        return xr.DataArray(mean, {**coords, "month": list(MONTHS)}, dims, made.name)


MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def over_years(variable: Variable) -> Variable:
    """Of a climatology."""
    made = mean_of(variable, "time: mean within years time: mean over years")
    return replace(made, name=f"{variable.name}_climatology", attrs=_alone(made))


def departure_of(variable: Variable) -> Variable:
    """Of a month from the climatology."""
    made = mean_of(variable)
    kelvin = cf.DIFFERENCE if variable.units == "K" else {}
    return replace(
        made,
        name=f"{variable.name}_anomaly",
        long_name=f"{variable.long_name}: departure from the climatology",
        standard_name=None,
        attrs={**_alone(made), **kelvin},
    )


def _alone(variable: Variable) -> dict[str, Any]:
    """Attributes of a variable whose standard errors are not beside it."""
    return {key: told for key, told in variable.attrs.items() if key != "ancillary_variables"}


@dataclass(frozen=True)
class Departures(PlainStage):
    """Monthly means less the climatology of their month.

    Parameters
    ----------
    variables : tuple of Variable
        Monthly means.
    """

    variables: tuple[Variable, ...]

    @property
    def inputs(self) -> tuple[str, ...]:
        """The monthly means and their climatology."""
        return tuple(n for v in self.variables for n in (v.name, over_years(v).name))

    @property
    def outputs(self) -> tuple[Variable, ...]:
        """The departures."""
        return tuple(departure_of(v) for v in self.variables)

    def load(self) -> Callable[[Arrays], Arrays]:
        """The stage's function."""

        def departures(arrays: Arrays) -> Arrays:
            made = {}
            for variable in self.variables:
                values, usual = arrays[variable.name], arrays[over_years(variable).name]
                month = values["time"].values.astype("datetime64[M]").astype(int) % 12
                there = usual.transpose("month", *values.dims[1:]).values[month]
                made[departure_of(variable).name] = values.copy(data=values.values - there)
            return made

        return departures
