"""Monthly records as trends take them: read, their months chosen, their years averaged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from fluxengine.errors import ConfigError, FluxforgeError
from fluxengine.registry import suggestion
from fluxrecipes.stages.averages import reanalysis_share
from fluxrecipes.stored import opened, simulated_world
from fluxrecipes.trends.recovery import UNTESTED
from fluxrecipes.trends.regions import NINO34, TROPICS, mean_over
from fluxrecipes.trends.series import years_of
from fluxrecipes.trends.settings import Record, Trends

if TYPE_CHECKING:
    import xarray as xr

Floats = npt.NDArray[np.float64]

FEWEST = 3  # years
MAPS = "time", "lat", "lon"
OBSERVABLE = "_observable"  # after a variable's name, in maps of recovered trends


class NoTrend(FluxforgeError, ValueError):
    """What was asked for has no trend: a variable that is not there, or too few years."""

    code = "FF751"


def read(record: Record, name: str, asked: Trends, fewest: int = FEWEST) -> xr.Dataset:
    """A dataset of a record with the months that count.

    Parameters
    ----------
    record : Record
    name : str
        Of the dataset: the record's own, or the one by pass.
    asked : Trends
        Which months count.
    fewest : int
        Years that must be there.

    Raises
    ------
    NoTrend
        FF751: fewer years.
    NotOurStore, UnknownName
    """
    dataset, where = of_period(record, name, asked)
    if asked.of != "days":
        _check_months(dataset, where)
    found = len(np.unique(years_of(dataset)))
    if found < fewest:
        raise NoTrend(
            f"years that are there: {found}. A trend needs {fewest}, and tells little of fewer than"
            " ten.",
            where=where,
            mend="Give a longer period, or run the record for more years.",
        )
    return dataset


def of_period(record: Record, name: str, asked: Trends) -> tuple[xr.Dataset, str]:
    """A dataset of a record with the times that count, however many, and what to call it.

    Raises
    ------
    NoTrend
        FF751: it has no time.
    NotOurStore, UnknownName
    """
    dataset, where = opened(record.place, name)
    if "time" not in dataset.dims:
        raise NoTrend("it has no time.", where=where, mend="Name monthly means.")
    if asked.period is not None:
        first, last = asked.period.first.isoformat(), asked.period.last.isoformat()
        dataset = dataset.sel(time=slice(first, last))
    return dataset.isel(time=~np.isin(years_of(dataset), asked.leave_out)), where


def of_its_world(asked: Trends, dataset: xr.Dataset) -> Trends:
    """What is asked, with the simulated world that the record's own notice tells of."""
    world = asked.simulated or simulated_world(dataset)
    return asked.model_copy(update={"simulated": world})


def _check_months(dataset: xr.Dataset, where: str) -> None:
    times = dataset["time"].values.astype("datetime64[D]")
    months = times.astype("datetime64[M]")
    if len(np.unique(months)) < len(months):
        raise NoTrend(
            f"there are {len(months)} times in {len(np.unique(months))} months.",
            where=where,
            mend="Name monthly means: `fluxforge products deepflux-monthly` makes them of days.",
        )


def variable(
    dataset: xr.Dataset,
    name: str,
    asked: Trends,
    where: str,
    *,
    axes: tuple[str, ...] = MAPS,
    of_others: bool = False,
) -> xr.DataArray:
    """A variable, loaded, with the months left out that are a reanalysis's by too large a share.

    Parameters
    ----------
    dataset : Dataset
    name : str
    asked : Trends
    where : str
        What to call the dataset.
    axes : tuple of str
        That it must have.
    of_others : bool
        Another record's may know nothing of a reanalysis: then no month of it is left out.

    Raises
    ------
    NoTrend
        FF751: it is not there, the message lists what is; or it has other axes.
    """
    values = unread(dataset, name, where, axes)
    share = reanalysis_share.name
    if asked.reanalysis_at_most < 1.0 and not (of_others and share not in dataset):
        if share not in dataset:
            raise NoTrend(
                f"there is no '{share}', by which months would be left out.",
                where=where,
                mend="Leave out `reanalysis_at_most`.",
            )
        values = values.where(dataset[share] <= asked.reanalysis_at_most)
    return values.load()


def unread(
    dataset: xr.Dataset, name: str, where: str, axes: tuple[str, ...] = MAPS
) -> xr.DataArray:
    """A variable with these axes.

    Raises
    ------
    NoTrend
        FF751: it is not there, the message lists what is; or it has other axes.
    """
    if name not in dataset:
        known = sorted(str(n) for n, v in dataset.data_vars.items() if v.dtype.kind == "f")
        raise NoTrend(f"there is no '{name}'.", where=where, mend=suggestion(name, known))
    if set(dataset[name].dims) != set(axes):
        raise NoTrend(
            f"'{name}' is on {', '.join(map(str, dataset[name].dims))}, not on {', '.join(axes)}.",
            where=where,
            mend="Name the mean of the passes as `dataset`, and what is by pass as `passes`.",
        )
    return dataset[name]


def regressors(
    asked: Trends,
    years: Floats,
    sea: xr.DataArray | None,
    told: npt.NDArray[np.bool_] | None = None,
) -> tuple[tuple[str, ...], Floats | None]:
    """What is taken out of annual series beside the trend.

    Parameters
    ----------
    asked : Trends
    years : array
        Of annual values; of those of months and days, the middle of each, with fractions.
    sea : DataArray, on (year, lat, lon), optional
        Sea surface temperature, for Niño 3.4.
    told : bool array, shape (year,), optional
        Years in which some series has a value: of the others nothing need be known.

    Returns
    -------
    tuple of str, and float array of shape (year, regressors) or None
    """
    names: list[str] = []
    columns: list[Floats] = []
    length = {"years": 1.0, "months": 1.0 / 12.0, "days": 1.0 / 365.25}[asked.of]
    for day in asked.steps:
        column = _after(day, years, length)
        if np.ptp(column) == 0.0:
            raise ConfigError(
                f"{day} does not lie within {int(years.min())} to {int(years.max())}.",
                where="steps",
                mend="Leave it out: nothing is known of one side of it.",
            )
        names.append(f"step on {day}")
        columns.append(column)
    if asked.without_enso:
        names.append("relative Niño 3.4")
        columns.append(_nino(years, sea, told))
    return tuple(names), np.stack(columns, axis=1) if columns else None


def _after(day: date, years: Floats, length: float) -> Floats:
    """Share of each year, or of each month, that comes after a day."""
    leap = day.year % 4 == 0 and (day.year % 100 != 0 or day.year % 400 == 0)
    when = day.year + (day.timetuple().tm_yday - 1) / (366.0 if leap else 365.0)
    start = years if length == 1.0 else years - length / 2
    return np.asarray(np.clip((start + length - when) / length, 0.0, 1.0))


def _nino(years: Floats, sea: xr.DataArray | None, told: npt.NDArray[np.bool_] | None) -> Floats:
    """Relative Niño 3.4: its sea surface temperature less that of all the tropics.

    So the index does not warm with them, and may keep the trend that ENSO itself had in these
    years, after van Oldenborgh et al., Defining El Niño indices in a warming climate, Environ. Res.
    Lett. 16, 044003, 2021.
    """
    if sea is None:
        raise NoTrend(
            "there is no sea surface temperature for Niño 3.4.",
            where="without_enso",
            mend="Name a dataset that has it.",
        )
    places = [sea[name].values.astype(float) for name in ("lat", "lon")]
    index = mean_over(NINO34, sea.values, *places) - mean_over(TROPICS, sea.values, *places)
    there = np.isfinite(index)
    wanted = np.ones_like(there) if told is None else told
    if not there[wanted].all():
        unknown = years[wanted & ~there]
        raise NoTrend(
            f"Niño 3.4 is not known in {', '.join(f'{year:.6g}' for year in unknown)}.",
            where="without_enso",
            mend="Leave these years out.",
        )
    return np.where(there, index - index[there].mean(), 0.0)


def orbits_of(dataset: xr.Dataset) -> Sequence[str]:
    """Names along the axis ``orbit``."""
    return [str(name) for name in dataset["orbit"].values] if "orbit" in dataset.dims else []


def observable(recovered: Path, several: Iterable[xr.DataArray]) -> dict[str, xr.DataArray]:
    """Where trends of variables can be observed, on their own grid.

    Parameters
    ----------
    recovered : Path
        Maps of `fluxforge recovery`.
    several : iterable of DataArray
        On (..., lat, lon).

    Returns
    -------
    dict of str to DataArray
        By the variable's name, of those that the file has.

    Raises
    ------
    NoTrend
        FF751: the file cannot be read, or has none of these maps.
    """
    import xarray as xr

    mend = "`fluxforge recovery` makes it."
    try:
        maps = xr.load_dataset(recovered, engine="netcdf4")
    except (OSError, ValueError) as error:
        raise NoTrend(f"it cannot be read ({error}).", where=str(recovered), mend=mend) from error
    if not any(str(one).endswith(OBSERVABLE) for one in maps):
        raise NoTrend("it has no maps of recovered trends.", where=str(recovered), mend=mend)
    found = {}
    for values in several:
        name = f"{values.name}{OBSERVABLE}"
        if name in maps:
            grid = {axis: values[axis] for axis in ("lat", "lon")}
            codes = maps[name].reindex(grid, method="nearest", tolerance=0.01, fill_value=UNTESTED)
            found[str(values.name)] = codes
    return found


def check_grids(together: Mapping[str, xr.DataArray], where: str = "beside") -> None:
    """Raise where records that are told side by side are on different grids."""
    own = together["record"]
    for name, values in together.items():
        same = all(
            values.sizes.get(axis) == own.sizes[axis]
            and np.allclose(values[axis].values.astype(float), own[axis].values.astype(float))
            for axis in ("lat", "lon")
        )
        if not same:
            raise NoTrend(
                "it is on another grid than the record.",
                where=f"{where}: {name}",
                mend="Bring it to the record's grid first, as the products comparison-* are.",
            )
